"""`minimize`: the least value of any function, noisy, with jumps or without a derivative.

A proposal q(u; psi) follows the natural gradient of E_{u ~ q}[f(theta(u))] (avo/variational/natural.py) until it is a
point or the calls are spent. The last calls compare, at fresh randomness, the centre, the mean of late centres, and the
point of the lowest call; what is stated of the best of them comes from further calls still, since the lowest of many
noisy values is too low.
"""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import ArrayLike, Float, PRNGKeyArray

from avo import checks
from avo.adversarial.proposals import START_SD
from avo.budget import CHUNK, MOST_BUDGET
from avo.checks import between, flag, positive, whole
from avo.execution.failures import Failures
from avo.progress import bar
from avo.sizes import by_rows
from avo.space import Space, check_space, start_in
from avo.variational.minimum import CHANCE, End, Ending, Minimum, early, ending, joined
from avo.variational.natural import Search, Told, pairs_for
from avo.variational.objective import InJax, OnHost, counted

BEGUN = 0.3  # standard deviation of q in u around a given start
EACH, HOST_EACH = 10_000, 1000  # calls for each parameter, where no budget is given
LAST = 0.05  # of the calls: half to choose among the ends, half to state the value
LEAST_STEPS = 10
ENDS = 3
LAST_KEY = 2**31 - 1  # names the key of the last calls; steps have the numbers below


def minimize(
    f: Callable[..., Any],
    space: Space,
    *,
    budget: int | None = None,
    seed: int = 0,
    start: Mapping[str, float] | ArrayLike | None = None,
    pairs: int | None = None,
    tolerance: float = 1e-6,
    executor: Any = None,
    max_failures: float = 0.5,
    progress: bool = True,
) -> Minimum:
    """Find where a function is least: one that is noisy, has jumps, or has no derivative.

    It is variational optimization (Staines and Barber 2012, arXiv:1212.4507) by the natural gradient,

        psi <- psi - rate F(psi)^-1 grad_psi E_{u ~ q(u; psi)}[ rank of f(theta(u)) ]

    (Wierstra et al. 2014; avo/variational/natural.py): the half of `avo.fit` that moves a proposal, with f in place of
    the critic. The mean of f is minimised where f is noisy. A smooth f with a gradient is better left to those who use
    it; one with many minima may need more `pairs`, or several starts.

    Args:
        f: `f(theta) -> number` of one theta, a NumPy array with shape (d,); or in JAX `f(key, theta) -> values` of
            many, theta (n, d), one value each, row by row; or `avo.from_numpy(f)` of `f(rng, theta) -> number`, which
            draws its randomness from rng. What the space fixes has its columns in theta too.
        space: names, kinds, supports and units of the parameters (docs/kinds.md has angles and whole numbers).
        budget: calls of f in all, never exceeded; those of the search and those that state the value. None: 10,000 for
            each parameter, 1,000 outside JAX. It ends earlier where q has narrowed to a point.
        seed: same seed, same numbers.
        start: a theta to begin at, by name or in order, with q N(u, .3^2 I) there. None: N(0, 1.5^2 I) in u, which
            covers what has two bounds.
        pairs: mirrored pairs of a step, two at least. None: (4 + 3 log d) / 2, three at least. More find the lowest of
            many minima more often, and take more calls.
        tolerance: q is a point where it is narrower, in each coordinate, than this share of its range.
        executor: where calls outside JAX are made, as in `avo.fit`: a number of processes, or an executor.
        max_failures: share of failed calls, from 0 to 1, beyond which a search outside JAX stops. A call fails that
            raises, or returns another shape, NaN, infinity or numbers beyond 1e30; it ranks last, and counts.
        progress: show a bar.

    Returns:
        `Minimum` with `.theta`, `.value`, `.error`, `.spread`, `.status`, `.summary()`, `.history`.

    Raises:
        ValueError: if an argument is not as described, or all first calls failed.
        RuntimeError: if more calls outside JAX failed than `max_failures`.

    Example:
        >>> import avo
        >>> def cost(theta):  # with a jump, least at (2.5, -1)
        ...     return abs(theta[0] - 2.5) + (theta[1] + 1) ** 2 + float(theta[0] > 3)
        >>> space = avo.Space(a=avo.Interval(-10, 10), b=avo.Real())
        >>> found = avo.minimize(cost, space, budget=2000, progress=False)
        >>> found.theta.round(3).tolist(), found.status, found.calls < 2000
        ([2.5, -1.0], 'converged', True)
    """
    check_space(space)
    pairs = pairs_for(space.dim) if pairs is None else whole("pairs", pairs, least=2)
    progress, tolerance = flag("progress", progress), positive("tolerance", tolerance)
    seed, max_failures = checks.seed("seed", seed), between("max_failures", max_failures, 0, 1)
    calls = counted(f, space, pairs, executor, max_failures)
    if budget is None:
        budget = space.dim * (HOST_EACH if isinstance(calls, OnHost) else EACH)
    divided = Division.of(whole("budget", budget, most=MOST_BUDGET), pairs)
    loc = np.zeros(space.dim) if start is None else start_in(space, start)
    state = Search.start(jnp.asarray(loc, jnp.result_type(float)), START_SD if start is None else BEGUN, divided.steps)
    try:
        return _searched(calls, state, divided, seed, tolerance=tolerance, progress=progress)
    finally:
        calls.close()


class Division(NamedTuple):
    """How the calls are divided: steps, then blocks of `pairs` calls to choose by, for each end, and to state f by."""

    steps: int
    choose: int
    state: int

    @staticmethod
    def of(budget: int, pairs: int) -> "Division":
        """Divide a budget.

        Raises:
            ValueError: if it is too small.

        Example:
            >>> Division.of(1000, 4)
            Division(steps=105, choose=2, state=6)
        """
        choose = max(int(LAST / 2 * budget) // (ENDS * pairs), 1)
        state = max(int(LAST / 2 * budget) // pairs, 1)
        each = 2 * pairs + 1
        last = (ENDS * choose + state) * pairs
        if (steps := (budget - last) // each) < LEAST_STEPS:
            raise ValueError(
                f"budget={budget} is too small: a step takes {each} calls, the end {last}; at least "
                f"{last + LEAST_STEPS * each} are needed, and hundreds for each parameter are usual."
            )
        return Division(steps, choose, state)


def _searched(
    calls: InJax | OnHost, state: Search, divided: Division, seed: int, *, tolerance: float, progress: bool
) -> Minimum:
    """Take the steps, then the last calls."""
    key, space, told = jax.random.key(seed), calls.space, []
    end: End = ""
    theta, value, error = None, float("nan"), float("nan")
    stopped: tuple[Ending, str] | None = None
    try:
        with bar(divided.steps, "minimize", "steps", progress) as shown:
            while not end and int(state.step) < divided.steps:
                count = min(calls.chunk, divided.steps - int(state.step))
                state, now = calls.steps(key, state, count)
                told.append(now)
                if not np.isfinite(float(state.best)):
                    raise _useless(calls, now)
                end = early(space, state.proposal, tolerance, told[-CHUNK // calls.chunk :])
                shown.set_postfix_str(f"f {now.value[-1]:.4g}, {calls.calls:,} calls", refresh=False)
                shown.update(count)
        theta, value, error = _chosen(calls, state, divided, jax.random.fold_in(key, LAST_KEY))
    except KeyboardInterrupt:
        if not told:
            raise
        stopped = "stopped", f"stopped by the user after {int(state.step)} of {divided.steps} steps."
    every = joined(told)
    status, message = stopped or ending(every, error, end, space)
    failures = Failures(calls.failures, calls.where(), calls.failures.examples)
    history = _history(space, every, (2 * calls.pairs + 1) * np.arange(1, len(every.value) + 1))
    theta = _inside(space, state.proposal.loc) if theta is None else theta
    return Minimum(space, theta, value, error, state.proposal, calls.calls, failures, status, message, history, seed)


def _history(space: Space, told: Told, calls: np.ndarray) -> dict[str, np.ndarray]:
    return {
        "calls": calls,
        **{name: np.asarray(getattr(told, name)) for name in ("value", "low", "failed", "agreement", "u", "sd")},
        "theta": by_rows(space.constrain, told.u),
    }


def _inside(space: Space, u: Any) -> Float[np.ndarray, " d"]:
    """Take u to theta, counts whole."""
    return np.asarray(space.nearest_whole(space.constrain(u)), float)


def _chosen(
    calls: InJax | OnHost, state: Search, divided: Division, key: PRNGKeyArray
) -> tuple[Float[np.ndarray, " d"], float, float]:
    """Choose among the ends by fresh calls, and state f at the best by further ones: theta, value, error.

    The mean of late centres comes first, then the last centre and the lowest call, which must be lower than chance
    allows.
    """
    space = calls.space
    ends = [_inside(space, state.average), _inside(space, state.proposal.loc), np.asarray(state.best_theta, float)]
    best: tuple[Any, np.ndarray] | None = None
    for i, theta in enumerate(ends):
        if any(np.array_equal(theta, other) for other in ends[:i]):
            continue
        values = calls.at(jax.random.fold_in(key, i), theta, divided.choose)
        if best is None or _lower(values, best[1]):
            best = theta, values
    assert best is not None
    theta, values = best
    if not (np.ptp(values) == 0 and float(state.agreement) > 1 - 1e-3):  # NaN where a call failed
        values = calls.at(jax.random.fold_in(key, ENDS), theta, divided.state)
    value, error = _mean(values)
    return theta, value, error


def _mean(values: np.ndarray) -> tuple[float, float]:
    """Compute the mean of the calls that did not fail, and its standard error."""
    fine = values[np.isfinite(values)]
    if len(fine) < 2:
        return float("nan"), float("nan")
    return float(fine.mean()), float(fine.std(ddof=1) / np.sqrt(len(fine))) if np.ptp(fine) else 0.0


def _lower(values: np.ndarray, than: np.ndarray) -> bool:
    """Say whether one mean is lower than another, by more than chance; of what fails at all calls never."""
    (mean, error), (other, beside) = _mean(values), _mean(than)
    return bool(np.isnan(other)) or mean < other - CHANCE * float(np.hypot(error, beside))


def _useless(calls: InJax | OnHost, told: Told) -> ValueError:
    """Make the error of a function all of whose first calls failed, with the first of them where it said why."""
    space, kind = calls.space, max(calls.failures, key=lambda kind: calls.failures[kind])
    theta = dict(zip(space.columns, space.full(_inside(space, jnp.asarray(told.u[0]))).tolist(), strict=True))
    _, words = calls.failures.examples.get(kind, (0, f"near {theta}"))
    return ValueError(
        f"f failed in all of its first {calls.calls} calls, {calls.failures[kind]} of them by {kind!r}: {words} "
        "Check that it returns one finite number, or narrow the space."
    )
