"""The tasks of the suite: a simulator, a truth and observations per seed, what is judged, and the floor.

The truth of seed s has positions drawn uniformly from the inner 80 % of each parameter's range, or of the part of it
that `inner` names, where the rest of the range holds cases that no data decide; the m observations come from randomness
that no fit uses. A *position* is 0 at the lower bound and 1 at the upper, linear for `Interval`, logarithmic for
`LogInterval`; u = logit(position).

Judged are the positions of the parameters; of `epem`, where only one combination of two is identified, that of the
asymmetry. The floor is the standard deviation of the maximum-likelihood estimate (suite/floors.py), and

    error over floor = sqrt(mean over what is judged of ((estimate - truth) / floor)^2)

is 1 in the root mean square for the maximum likelihood, and no less than sqrt(1 + m / M) for an estimate that compares
m observations with M simulations. A fit succeeds if each judged error is at most 5 % of the range, or 4 floors where
the data do not allow that.

A new task is one entry of `TASKS`: a problem whose parameters all have two bounds, with a `log_prob` or `features` that
stand in for one. `summary` is what the rivals see of an observation; avo sees x as it is.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cache, cached_property
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float
from scipy.special import expit, logit

from avo import simulators
from avo.adversarial.proposals import Gaussian
from avo.benchmarks.suite.floors import (
    constrain,
    covariance,
    information,
    maximise,
    simulate,
    slopes,
    unconstrain,
)
from avo.checks import one_of
from avo.simulators import Problem
from avo.simulators.ecg import FIFTEEN
from avo.simulators.epem import asymmetry, likeliest_asymmetry
from avo.space import Interval, Positive, Real, Space

OBSERVATIONS, PUBLISHED_OBSERVATIONS = 1000, 20_000
BUDGETS = (1_000, 10_000, 100_000, 1_000_000)
INNER = (0.1, 0.9)
ALLOWED, ALLOWED_FLOORS = 0.05, 4.0
SIX = ("poisson", "linear5", "epem", "brownian", "pendulum", "g_and_k")  # where all rivals run

Summary = Callable[[np.ndarray], np.ndarray]


def truth(
    problem: Problem, seed: int, low: float | np.ndarray = INNER[0], high: float | np.ndarray = INNER[1]
) -> tuple[np.ndarray, np.ndarray]:
    """Draw positions uniformly, from the inner 80 % of each range: positions and theta, each with shape (d,)."""
    position = np.random.default_rng(seed).uniform(low, high, problem.space.dim)
    return position, np.asarray(problem.space.constrain(jnp.asarray(logit(position), jnp.float32)))


def observe(problem: Problem, theta: np.ndarray, m: int, seed: int) -> np.ndarray:
    """Simulate m observations at one theta, from randomness that no fit uses."""
    key = jax.random.fold_in(jax.random.key(2**20), seed)
    return simulate(problem, theta, m, key)


def _columns(x: np.ndarray) -> np.ndarray:
    return np.asarray(x, float).reshape(len(x), -1)


@dataclass(frozen=True, eq=False)
class Task:
    """A problem with known truths, and how fits of it are judged.

    Args:
        problem: the simulator; its parameters all have two bounds.
        summary: x (n, *x_shape) -> statistics of each observation (n, k), for the rivals that compare such.
        inner: name -> range of positions from which truths are drawn, where it is not the inner 80 %.
        judge: theta (d,) -> what is judged, as positions (k,); None: the positions of theta.
        features: x -> (n, k), whose means stand in for a likelihood where there is none.
        mle_of: x_obs -> maximum-likelihood theta in closed form, where scoring from the truth does not do.
        m: number of observations.
        label: name of the task, where it is not the problem's.
        fixed: theta of every seed, where the truth is a published one and not drawn.
        start: the published start of the proposal, which avo's methods take; None: their own.

    Raises:
        ValueError: if a task has neither a problem with `log_prob` nor features.
    """

    problem: Problem
    summary: Summary = _columns
    inner: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    judge: Callable[[np.ndarray], np.ndarray] | None = None
    features: Summary | None = None
    mle_of: Callable[[np.ndarray], np.ndarray] | None = None
    m: int = OBSERVATIONS
    label: str = ""
    fixed: tuple[float, ...] | None = None
    start: Gaussian | None = None

    def __post_init__(self) -> None:
        if not self.has_likelihood and self.features is None:
            raise ValueError(
                f"task {self.name} must have a problem with log_prob, or features= whose means stand in for a "
                "likelihood; got neither."
            )

    @property
    def name(self) -> str:
        """Name of the task: its label, or its problem's name."""
        return self.label or self.problem.name

    @property
    def space(self) -> Space:
        """The parameters."""
        return self.problem.space

    @property
    def has_likelihood(self) -> bool:
        """Whether the floor is that of the maximum likelihood."""
        return self.problem.log_prob is not None

    @cached_property
    def _inner(self) -> np.ndarray:
        return np.array([self.inner.get(name, INNER) for name in self.space.names]).T

    def truth(self, seed: int) -> Float[np.ndarray, " d"]:
        """Draw the truth of a seed: theta, with shape (d,)."""
        if self.fixed is not None:
            return np.asarray(self.fixed, np.float32)
        return truth(self.problem, seed, *self._inner)[1]

    def observe(self, seed: int) -> Float[np.ndarray, "m *x_shape"]:
        """Simulate the observations of a seed."""
        return observe(self.problem, self.truth(seed), self.m, seed)

    def judged(self, theta: Float[np.ndarray, " d"]) -> Float[np.ndarray, " k"]:
        """Compute what is judged of an estimate, as positions in [0, 1]."""
        return expit(unconstrain(self.space, theta)) if self.judge is None else self.judge(theta)

    def floor(self, seed: int) -> Float[np.ndarray, " k"]:
        """Compute the standard deviation of the maximum-likelihood estimate of what is judged, with shape (k,)."""
        u = unconstrain(self.space, self.truth(seed))
        slope = np.stack(
            [
                (self.judged(constrain(self.space, u + s)) - self.judged(constrain(self.space, u - s))) / 2e-4
                for s in 1e-4 * np.eye(len(u))
            ],
            1,
        )
        return np.sqrt(np.diag(slope @ covariance(information(self.problem, u, self.features), self.m) @ slope.T))

    def mle(self, seed: int) -> tuple[np.ndarray, np.ndarray]:
        """Maximise the likelihood of a seed's observations, starting at the truth: theta and its standard errors.

        Raises:
            ValueError: if the task has no likelihood.
        """
        if not self.has_likelihood:
            raise ValueError(f"{self.name} has no likelihood.")
        u, x_obs = unconstrain(self.space, self.truth(seed)), self.observe(seed)
        if self.mle_of is not None:
            return self.mle_of(x_obs), np.full(len(u), np.inf)
        found = maximise(self.problem, x_obs, u)
        return constrain(self.space, found.u), np.abs(slopes(self.space, found.u)) * np.sqrt(np.diag(found.covariance))


# --- what the rivals see of an observation ---------------------------------------------------------------------------


def _log_sd(x: np.ndarray) -> np.ndarray:
    return np.log(np.maximum(x.std(1), 1e-6))


def _end_and_size(path: np.ndarray) -> np.ndarray:
    """Take the end of a path from 0 and the logarithmic spread of its steps."""
    return np.stack([path[:, -1], _log_sd(np.diff(path, axis=1, prepend=0.0))], 1)


def _log_price(x: np.ndarray) -> np.ndarray:
    return np.log(np.maximum(np.asarray(x, float), 1e-12))


def _jumps(x: np.ndarray) -> np.ndarray:
    """End, spread, middle size, asymmetry and tails of the returns, and how many are far out."""
    path = _log_price(x)
    steps = np.diff(path, axis=1, prepend=0.0)
    middle = np.maximum(np.median(np.abs(steps), 1), 1e-6)
    far = steps / middle[:, None]
    cubes = np.cbrt((far**3).mean(1))
    tails = np.log((far**4).mean(1))
    return np.stack([path[:, -1], _log_sd(steps), np.log(middle), cubes, tails, (np.abs(far) > 6).sum(1)], 1)


def _returning(x: np.ndarray) -> np.ndarray:
    """Mean, logarithmic spread, and logarithmic spread of the steps of a path that returns to its mean."""
    x = np.asarray(x, float)
    return np.stack([x.mean(1), _log_sd(x), _log_sd(np.diff(x, axis=1))], 1)


def _returning_above_zero(x: np.ndarray) -> np.ndarray:
    x = np.maximum(np.asarray(x, float), 1e-12)
    return np.stack([np.log(x.mean(1)), _log_sd(np.sqrt(x)), _log_sd(np.diff(np.sqrt(x), axis=1))], 1)


def _blocks(count: int) -> Summary:
    """Average a series over equal blocks."""
    return lambda x: np.asarray(x, float).reshape(len(x), count, -1).mean(2)


def _quantiles(x: np.ndarray) -> np.ndarray:
    """Take the first time, which is a wait and a service, and twelve quantiles."""
    x = np.asarray(x, float)
    return np.concatenate([x[:, :1], np.quantile(x, np.linspace(0, 1, 12), axis=1).T], 1)


def _multipoles(x: np.ndarray) -> np.ndarray:
    """Sum of the tracks, of their directions q, and of the traceless part of q q^T over an image's pixels."""
    pixels = x.shape[1]
    middle = (np.arange(pixels) + 0.5) / pixels
    cos, turn = np.meshgrid(2 * middle - 1, 2 * np.pi * (middle - 0.5), indexing="ij")
    sin = np.sqrt(1 - cos**2)
    q = np.stack([sin * np.cos(turn), sin * np.sin(turn), cos]).reshape(3, -1)
    pairs = np.stack([q[0] * q[1], q[0] * q[2], q[1] * q[2], q[0] ** 2 - q[1] ** 2, 3 * q[2] ** 2 - 1])
    weights = np.concatenate([np.ones((1, q.shape[1])), q, pairs])
    return np.asarray(x, float).reshape(len(x), -1) @ weights.T


def _with_products(summary: Summary) -> Summary:
    """Add the products of all pairs of statistics."""

    def features(x: np.ndarray) -> np.ndarray:
        z = summary(x)
        i, j = np.triu_indices(z.shape[1])
        return np.concatenate([z, z[:, i] * z[:, j]], 1)

    return features


def _asymmetry_position(theta: np.ndarray) -> np.ndarray:
    with jax.enable_x64(True):
        return np.asarray((asymmetry(jnp.asarray(theta, float)) + 2.0) / 4.0)[None]


def _epem_mle(x_obs: np.ndarray) -> np.ndarray:
    """Take the point with G = 1.45 on the ridge of the likelihood: 2 G tanh((2 E - 90) / 9) = likeliest a."""
    with jax.enable_x64(True):
        a = float(likeliest_asymmetry(jnp.asarray(x_obs, float)))
    return np.array([45.0 + 4.5 * np.arctanh(a / 2.9), 1.45])


def _asymmetry_itself(theta: np.ndarray) -> np.ndarray:
    return 4.0 * _asymmetry_position(theta) - 2.0


def _published(problem: Problem, space: Space, start: tuple[float, float], judge: Summary, **options: Any) -> Task:
    """Make a task of Louppe, Hermans and Cranmer: their truth, space, start and number of observations.

    Errors are in the unit of what is judged, and no positions.
    """
    return Task(
        replace(problem, space=space), judge=judge, m=PUBLISHED_OBSERVATIONS, label=f"{problem.name}-published",
        start=Gaussian.start(space.dim, *start, full=False), **options,
    )  # fmt: skip


def _linear5() -> Problem:
    # Published on the whole real line; rivals need bounds
    return replace(simulators.linear5(), space=Space(alpha=Interval(-5.0, 5.0), beta=Interval(-5.0, 5.0)))


TASKS: dict[str, Callable[[], Task]] = {
    "poisson": lambda: Task(simulators.poisson()),
    "linear5": lambda: Task(_linear5()),
    "epem": lambda: Task(simulators.epem(), judge=_asymmetry_position, mle_of=_epem_mle),
    "epem2": lambda: Task(simulators.epem2()),
    "brownian": lambda: Task(simulators.brownian(), _end_and_size),
    "geometric_brownian": lambda: Task(simulators.geometric_brownian(), lambda x: _end_and_size(_log_price(x))),
    "ornstein_uhlenbeck": lambda: Task(simulators.ornstein_uhlenbeck(), _returning),
    "merton": lambda: Task(simulators.merton(), _jumps),
    "cir": lambda: Task(simulators.cir(), _returning_above_zero),
    "pendulum": lambda: Task(simulators.pendulum(), _blocks(20)),
    "ecg": lambda: Task(simulators.ecg(), _blocks(40)),
    # Where k is large the tails are decided by a few numbers, and where g is large the data do not decide it
    "g_and_k": lambda: Task(
        simulators.g_and_k(),
        lambda x: np.arcsinh(_columns(x)),
        inner={"B": (0.05, 0.3), "g": (0.1, 0.4), "k": (0.02, 0.1)},
    ),
    "mg1": lambda: Task(simulators.mg1(), _quantiles, features=_with_products(_quantiles)),
    "lotka_volterra": lambda: Task(simulators.lotka_volterra(), lambda x: np.log(_columns(x))),
    # Slower epidemics are not over their peak at the last test, the slowest have no positive test
    "sir": lambda: Task(simulators.sir(), lambda x: np.sqrt(_columns(x)), inner={"beta": (0.4, 0.9)}),
    "detector": lambda: Task(simulators.detector(), _multipoles, features=_with_products(_multipoles)),
}

# Run where they are named: more free parameters, no bounds, more observations, and the tasks as published
VARIANTS: dict[str, Callable[[], Task]] = {
    "ecg15": lambda: Task(simulators.ecg(free=FIFTEEN), _blocks(40), label="ecg15"),
    "linear5-unbounded": lambda: Task(simulators.linear5(), label="linear5-unbounded"),
    "poisson-20000": lambda: Task(
        simulators.poisson(), m=PUBLISHED_OBSERVATIONS, label="poisson-20000", fixed=(7.0,), judge=np.asarray
    ),
    "linear5-20000": lambda: Task(
        simulators.linear5(), m=PUBLISHED_OBSERVATIONS, label="linear5-20000", fixed=(1.0, -1.0), judge=np.asarray
    ),
    "poisson-published": lambda: _published(
        simulators.poisson(), Space(rate=Positive(1.0)), (float(np.log(5.0)), 0.1), np.log, fixed=(7.0,)
    ),
    "linear5-published": lambda: _published(
        simulators.linear5(), simulators.linear5().space, (0.0, 1.0), np.asarray, fixed=(1.0, -1.0)
    ),
    "epem-published": lambda: _published(
        simulators.epem(), Space(energy=Real(40.0, 10.0), coupling=Real(0.5, 1.0)), (0.5, 0.1), _asymmetry_itself,
        fixed=(42.0, 1.1), mle_of=_epem_mle,
    ),
}  # fmt: skip


def task_names() -> list[str]:
    """Name the tasks of the study, then the variants."""
    return [*TASKS, *VARIANTS]


@cache
def get(name: str) -> Task:
    """Make a task once, so that its fits share one compiled program.

    Raises:
        ValueError: if there is no such task.

    Example:
        >>> task = get("poisson")
        >>> x_obs = task.observe(seed=3)
        >>> x_obs.shape, [round(float(v), 4) for v in task.floor(seed=3)]
        ((1000,), [0.0026])
    """
    return (TASKS | VARIANTS)[one_of("task", name, task_names())]()
