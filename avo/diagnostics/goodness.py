"""Does the simulator, at the fit, reproduce the data? `check` asks observations that the fit did not see.

Each statistic T of the held-out observations x_new stands among the same statistic of B replicates. Replicate b has a
plausible truth of its own, drawn from the estimate's uncertainty, and as many rows as x_new:

    theta_b ~ estimate's error,    x_b ~ p(x | theta_b),    T_b = T(x_b; reference),    T_0 = T(x_new; reference),

the reference being simulations at the estimate itself, the same for all. Truth and estimate differ as theta_b and
estimate do, so that T_0 is one of B + 1 exchangeable numbers where the simulator is right, however many new
observations there are: with 20 times as many as the fit had, all of them see the estimate's error, x_new as the
replicates. Without theta_b a correct simulator would be rejected. What is measured:

- *Classifier.* Rows are halved, a discriminant learned on one half judges the other, both ways, ten times over, anew
  for each replicate. It is Fisher's, on bounded functions phi of a row (`avo.diagnostics.features.functions`),

      w = M Delta_A,    T = w . Delta_B / |M^(-1/2) w|,    Delta = mean phi(x) - mean phi(reference),

  in closed form: all that a replicate leaves behind are the means of phi over its halves. M^-1 is the covariance of
  such a mean: that of phi over the reference, and where the B + 1 means vary by more than chance, what they vary by.
  These few directions are where an error of the estimate moves x; the classifier would else find nothing but it.
- *Gap.* E_new[d] - E_reference[d] of the fitted critic, which has never seen x_new.
- *Features* with names (`avo.diagnostics.features.names`). z = (T_0 - mean T_b) / (sd T_b sqrt(1 + 1 / B)); p by
  Student's t with B - 1 degrees of freedom, exact where T is normal, as it nearly is for means over many rows, and for
  the logarithms of spreads and kurtoses, which stand for them. Ranks among 199 replicates could not survive Holm's
  correction; so far out in the tails, p is an approximation.

The overall p-value is calibrated as Westfall and Young (1993) do: of each of the B + 1 sets the smallest p of the three
parts, each judged against the B others, ranked among the B + 1.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike, Float, PRNGKeyArray
from scipy.linalg import solve_triangular
from scipy.special import stdtr
from tqdm import tqdm

from avo.adversarial.loop import block_size
from avo.adversarial.settings import Settings
from avo.checks import whole
from avo.diagnostics import features as summaries
from avo.diagnostics.features import Frame, Look
from avo.execution.simulator import check_simulator
from avo.observations import location_scale, number_clusters, validate_observations
from avo.result import Result

LEAST_ROWS = 20
LEAST_REPLICATES = 19  # with fewer no rank is as small as 5 %
REFERENCE = 4  # simulations at the estimate per new observation, at least
LEAST_REFERENCE = 1000
CLASSIFIED = 4000  # rows that the classifier looks at, a random subset where there are more
SPLITS = 10  # halvings that the classifier averages: of a single one the verdict depends on chance
RIDGE = 0.1  # share of phi's variances added to its covariance; of .05 to 10, those up to .3 find most
SMALLEST = 1e-6  # of a spread, in units of x's scale: below lies rounding
LEVEL = 0.05


class Row(NamedTuple):
    """One feature.

    Args:
        name: what it is.
        observed: its value in x_new.
        expected: its mean over the replicates.
        z: how far apart they are, in standard deviations of the replicates.
        p: two-sided, corrected for the number of features by Holm's method.
    """

    name: str
    observed: float
    expected: float
    z: float
    p: float


class Part(NamedTuple):
    """A statistic of x_new, its p-value by rank, and its values in the replicates, with shape (replicates,)."""

    statistic: float
    p: float
    null: Float[np.ndarray, " replicates"]


@dataclass(frozen=True, eq=False, repr=False)
class Check:
    """What `check` found.

    Args:
        p_value: of the hypothesis that the simulator reproduces x_new; at most 5 % in 5 % of the checks where it does.
        table: one `Row` per feature.
        classifier: the cross-fitted classifier between x_new and simulations; large where it tells them apart.
        gap: the fitted critic's gap on x_new; far from the replicates', to either side, where the critic tells.
        rows: observations in x_new.
        classified: those of them that the classifier saw.
        replicates: simulated sets.
        calls: simulator calls spent.
        failed: calls that returned NaN or infinity and were left out.
    """

    p_value: float
    table: list[Row]
    classifier: Part
    gap: Part
    rows: int
    classified: int
    replicates: int
    calls: int
    failed: int

    def __repr__(self) -> str:
        return f"Check(p_value={self.p_value:.3g}; {self.rows:,} observations, {self.replicates} replicates)"

    def summary(self, features: int = 10) -> str:
        """Write the verdict, the parts, and as a table the features that stand out most.

        Args:
            features: rows of the table; all features with p at most 5 % are shown.
        """
        verdict = "does not reproduce" if self.p_value <= LEVEL else "is not found to differ from"
        ordered = sorted(self.table, key=lambda row: (row.p, -abs(row.z)))
        shown = ordered[: max(features, sum(row.p <= LEVEL for row in ordered))]
        cells = [["feature", "observed", "expected", "z", "p (Holm)"]]
        cells += [[r.name, f"{r.observed:.4g}", f"{r.expected:.4g}", f"{r.z:+.1f}", f"{r.p:.2g}"] for r in shown]
        widths = [max(len(row[k]) for row in cells) for k in range(len(cells[0]))]
        subset = f", on {self.classified:,} of the observations" if self.classified < self.rows else ""
        more = [f"({len(ordered) - len(shown)} more features)"] if len(shown) < len(ordered) else []
        failed = f", of which {self.failed:,} not finite and left out" if self.failed else ""
        return "\n".join(
            [
                f"The simulator at the fit {verdict} the {self.rows:,} new observations: p = {self.p_value:.3g}",
                f"classifier: {self.classifier.statistic:.3g}, p = {self.classifier.p:.3g}{subset}",
                f"critic's gap: {self.gap.statistic:.3g}, p = {self.gap.p:.3g}",
                "",
                *("  ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)).rstrip() for row in cells),
                *more,
                "",
                f"{self.replicates} replicates, {self.calls:,} simulator calls{failed}",
            ]
        )


class _Sample(NamedTuple):
    """Rows, which of them are finite, and their conditions; what is not finite is filled and has no weight."""

    x: Any
    ok: Any
    inputs: Any


class _Halves(NamedTuple):
    """The rows that the classifier looks at, and which of them belong to each half of each split, 0 or 1."""

    rows: Array  # (n,)
    member: Array  # (splits, 2, n)


class _Seen(NamedTuple):
    """What is kept of a sample: features, means of phi over the halves (splits, 2, functions), the critic's mean."""

    features: np.ndarray
    means: np.ndarray
    critic: float


def check(
    result: Result,
    simulate: Callable[..., Any],
    x_new: ArrayLike,
    *,
    inputs: ArrayLike | None = None,
    groups: ArrayLike | None = None,
    replicates: int = 199,
    seed: int = 0,
    progress: bool = True,
) -> Check:
    """Ask whether the simulator, at the fit, reproduces observations that the fit did not see.

        p = (1 + #{b : M_b <= M_0}) / (1 + B),    M the smallest p of classifier, gap and features

    Set 0 is x_new; sets 1 to B are simulated at plausible truths drawn from the estimate's error, and go through the
    same computation, the classifier's training included (see the head of avo/diagnostics/goodness.py). Where the
    simulator is right, p <= 5 % in 5 % of the checks. Observations must be independent of those that were fitted: split
    yours before the fit. They must be independent of each other too, or come in `groups`, of each of which one row is
    looked at.

    Args:
        result: a fit with errors, `avo.fit(..., refine=True)`.
        simulate: the simulator of the fit.
        x_new: held-out observations, with shape (m, *x_shape), at least 20. Vectors of 16 points or more, and (T, C)
            with T of 16 or more, are looked at as series; others by columns. The classifier sees a random subset of
            4000 where there are more; features and gap see all.
        inputs: their known conditions, with shape (m, *c_shape), where the fit had any; simulations have the same.
        groups: label of each row's cluster (beats of one patient, windows of one day); at least 20
            clusters, of each of which one row, drawn by the seed, stands for all.
        replicates: simulated sets, B, at least 19. A check costs (B + 4) m simulator calls, a few more for m < 250.
        seed: same seed, same numbers.
        progress: show a bar.

    Returns:
        `Check`: `.p_value`, `.table`, `.classifier`, `.gap`, `.summary()`; `avo.plots.check` draws it. Features,
        counted from 0, have names such as "kurtosis of increments, mean": computed in each observation, then the mean
        over observations; "spread" is the standard deviation over them.

    Raises:
        ValueError: if the fit has no error, x_new does not belong to it or has fewer than 20 rows, an argument is not
            as described, or most simulations are not finite.

    Example:
        >>> import avo
        >>> problem = avo.simulators.get("poisson")
        >>> x = problem.simulate(jax.random.key(0), jnp.full((2000, 1), 7.0))
        >>> result = avo.fit(problem.simulate, x[:1000], problem.space, budget=30_000, progress=False)
        >>> found = avo.check(result, problem.simulate, x[1000:], replicates=39, progress=False)
        >>> found.p_value > 1 / 40
        True
    """
    x, c, replicates, seed = _arguments(result, x_new, inputs, replicates, seed)
    if groups is not None:
        rows = _one_of_each(groups, len(x), seed)
        x, c = x[rows], None if c is None else c[rows]
    simulate = check_simulator(simulate, result.space, x, c, block_size(Settings()))
    key_reference, key_sets, key_random = jax.random.split(jax.random.key(seed), 3)
    observed = _observed(x, c)
    draw = partial(_draw, simulate, observed)
    blocks = max(REFERENCE, -(-LEAST_REFERENCE // len(x)))
    reference = [draw(result.central, jax.random.fold_in(key_reference, i)) for i in range(blocks)]

    look = summaries.look_of(result.x_shape, 0 if c is None else c[0].size)
    frame = _frame(look, key_random, reference)
    halves = _halves(len(x), seed)
    see = partial(_see, result, look, frame, halves)
    seen, failed = [see(observed)], sum(int(np.sum(~sample.ok)) for sample in reference)
    for b in tqdm(range(replicates), unit=" replicates", disable=None if progress else True, dynamic_ncols=True):
        sample = draw(result.replicate, jax.random.fold_in(key_sets, b))
        failed += int(np.sum(~sample.ok))
        seen.append(see(sample))

    classifier = _classify(look, frame, halves, reference, np.stack([s.means for s in seen]))
    critic = np.mean([see(sample).critic for sample in reference])
    gap = np.array([s.critic for s in seen]) - critic
    p_value, table = _judge(look, frame, np.stack([s.features for s in seen]), classifier, gap)
    return Check(
        p_value=p_value,
        table=table,
        classifier=Part(float(classifier[0]), _rank(classifier), classifier[1:]),
        gap=Part(float(gap[0]), _rank(np.abs(_standing(gap[:, None])[:, 0])), gap[1:]),
        rows=len(x),
        classified=len(halves.rows),
        replicates=replicates,
        calls=(blocks + replicates) * len(x),
        failed=failed,
    )


def _arguments(
    result: Any, x_new: ArrayLike, inputs: ArrayLike | None, replicates: Any, seed: Any
) -> tuple[np.ndarray, np.ndarray | None, int, int]:
    """Check what a user may get wrong: x_new and inputs as float64, replicates and seed as int."""
    if not hasattr(result, "x_shape"):
        raise ValueError(f"result must be what avo.fit returned; got {result!r}.")
    if result.stderr is None:
        raise ValueError(
            "result has no error of its estimate, and without it nobody can say how far a right simulator may lie from "
            "the data; fit with avo.fit(..., refine=True)."
        )
    x = validate_observations(x_new, "x_new")
    if x.shape[1:] != tuple(result.x_shape):
        raise ValueError(
            f"x_new must have rows like those that were fitted, shaped {tuple(result.x_shape)}; got {x.shape[1:]}."
        )
    if len(x) < LEAST_ROWS:
        raise ValueError(f"x_new must have at least {LEAST_ROWS} rows, one observation each; got {len(x)}.")
    c = None if inputs is None else validate_observations(inputs, "inputs")
    if c is not None and len(c) != len(x):
        raise ValueError(f"inputs must have one row per observation: x_new has {len(x)}, inputs {len(c)}.")
    replicates, seed = whole("replicates", replicates, LEAST_REPLICATES), whole("seed", seed, least=0)
    _check_critic(result, x, c)
    return x, c, replicates, seed


def _one_of_each(groups: ArrayLike, m: int, seed: int) -> np.ndarray:
    """Draw one row of each group."""
    labels = number_clusters(groups, m)
    if labels.max() + 1 < LEAST_ROWS:
        raise ValueError(f"groups must name at least {LEAST_ROWS} groups; got {labels.max() + 1}.")
    order = np.random.default_rng(seed).permutation(m)
    return np.sort(order[np.unique(labels[order], return_index=True)[1]])


def _check_critic(result: Any, x: np.ndarray, c: np.ndarray | None) -> None:
    pack = getattr(result.critic, "pack", 1)
    try:
        z = result.view(x[:pack], None if c is None else c[:pack])
        eqx.filter_eval_shape(result.critic, z[0] if pack == 1 else z)
    except (TypeError, ValueError, IndexError) as error:
        came = "no inputs" if c is None else f"inputs of shape {c.shape[1:]}"
        raise ValueError(
            f"x_new with {came} is not what this fit's critic was made for; give inputs as avo.fit had them. "
            f"It said: {' '.join(str(error).split())[:200]}"
        ) from error


def _observed(x: np.ndarray, c: np.ndarray | None) -> _Sample:
    dtype = jnp.result_type(float)
    return _Sample(x, np.ones(len(x), bool), None if c is None else jnp.asarray(c, dtype))


def _draw(simulate: Callable, observed: _Sample, thetas: Callable, key: PRNGKeyArray) -> _Sample:
    """Simulate as many rows as were observed, under the same conditions."""
    x_new, _, c = observed
    key_theta, key_x = jax.random.split(key)
    theta = thetas(key_theta, len(x_new))
    x = simulate(key_x, theta) if c is None else simulate(key_x, theta, c)
    if x.shape != x_new.shape:
        raise ValueError(f"simulate must return x shaped like x_new, {x_new.shape}; got {x.shape}.")
    ok = np.isfinite(np.asarray(x)).reshape(len(x), -1).all(axis=1)
    if 2 * ok.sum() < len(x):
        raise ValueError(
            f"simulate returned NaN or infinity in {np.sum(~ok)} of {len(x)} draws, at parameters such as "
            f"{np.asarray(theta)[~ok][0].tolist()}; check that it works there, at and around the estimate."
        )
    if not ok.all():
        keep = ok.reshape((-1,) + (1,) * (x.ndim - 1))
        x = np.where(keep, np.asarray(x), x_new[:1])
    return _Sample(x, ok, c)


def _frame(look: Look, key: PRNGKeyArray, reference: list[_Sample]) -> Frame:
    """Take units from the reference simulations, and draw the classifier's random functions."""
    dtype = jnp.result_type(float)
    x = np.concatenate([np.asarray(s.x, np.float64)[s.ok] for s in reference])
    # One unit for all points of a series, or increments would mean nothing
    shift, scale = (a.reshape(look.x_shape) for a in location_scale(x[..., None] if look.series else x))
    z = jnp.asarray((x - shift) / scale, dtype)
    s = _summaries(look, z)
    middle, width = (jnp.asarray(a, dtype) for a in location_scale(np.asarray(s, np.float64)))
    pairs = summaries.correlations(s, jnp.full((len(s), 1), 1 / len(s), dtype)) if not look.series else jnp.zeros(0)
    c = np.asarray(reference[0].inputs if look.inputs else np.zeros((2, 0)), np.float64)
    centre, extent = (jnp.asarray(a, dtype) for a in location_scale(c.reshape(len(c), -1)))
    return Frame(
        shift, scale, middle, width, pairs, centre, extent, *summaries.random_functions(key, s.shape[1] + look.inputs)
    )


def _halves(rows: int, seed: int) -> _Halves:
    """Choose the rows that the classifier sees, and halve them several times; the same way in all sets."""
    rng = np.random.default_rng(seed)
    chosen = rng.permutation(rows)[:CLASSIFIED]
    first = rng.permuted(np.tile(np.arange(len(chosen)) < len(chosen) // 2, (SPLITS, 1)), axis=1)
    return _Halves(jnp.asarray(chosen), jnp.asarray(np.stack([first, ~first], axis=1), jnp.result_type(float)))


def _see(result: Any, look: Look, frame: Frame, halves: _Halves, sample: _Sample) -> _Seen:
    """Compute all that is kept of a sample."""
    found, means = _measure(look, frame, halves, *_standardized(frame, sample), sample.ok)
    value = _critic_mean(result.critic, jnp.asarray(result.view(sample.x, sample.inputs)), sample.ok)
    return _Seen(np.asarray(found, np.float64), np.asarray(means, np.float64), float(value))


_summaries = eqx.filter_jit(summaries.summaries)


def _phi(look: Look, frame: Frame, rows: Array, z: Array, s: Array, c: Array | None) -> Array:
    return summaries.functions(look, frame, z[rows], s[rows], None if c is None else c[rows])


@eqx.filter_jit
def _measure(look: Look, frame: Frame, halves: _Halves, z: Array, c: Array | None, ok: Array) -> tuple[Array, Array]:
    """Compute features, and means of phi over each half of each split."""
    ok, s = jnp.asarray(ok), summaries.summaries(look, z)
    weight = halves.member * ok[halves.rows].astype(z.dtype)[None, None]
    means = weight @ _phi(look, frame, halves.rows, z, s, c) / jnp.maximum(weight.sum(2, keepdims=True), 1)
    return summaries.features(look, frame, s, c, ok), means


@eqx.filter_jit
def _values(look: Look, frame: Frame, halves: _Halves, z: Array, c: Array | None) -> Array:
    return _phi(look, frame, halves.rows, z, summaries.summaries(look, z), c)


@eqx.filter_jit
def _critic_mean(critic: Any, z: Array, ok: Array) -> Array:
    """Average the critic over the finite rows; over packs of consecutive ones where it takes several at once."""
    ok, k = jnp.asarray(ok), getattr(critic, "pack", 1)
    if k > 1:
        packs = len(z) // k
        z, ok = z[: packs * k].reshape((packs, k) + z.shape[1:]), ok[: packs * k].reshape(packs, k).all(axis=1)
    weight = ok.astype(z.dtype)
    return weight @ jax.vmap(critic)(z) / jnp.maximum(weight.sum(), 1)


def _standardized(frame: Frame, sample: _Sample) -> tuple[Array, Array | None]:
    z = jnp.asarray((sample.x - frame.shift[None]) / frame.scale[None], jnp.result_type(float))
    return z, None if sample.inputs is None else sample.inputs.reshape(len(z), -1)


def _classify(
    look: Look,
    frame: Frame,
    halves: _Halves,
    reference: list[_Sample],
    means: Float[np.ndarray, "sets splits 2 functions"],
) -> Float[np.ndarray, " sets"]:
    """Train the discriminant on each half of each set, judge it on the other: the statistic of each set."""
    rows, member = np.asarray(halves.rows), np.asarray(halves.member, np.float64)
    phi = np.stack([np.asarray(_values(look, frame, halves, *_standardized(frame, s)), np.float64) for s in reference])
    ok = np.stack([np.asarray(sample.ok)[rows] for sample in reference]).astype(float)  # (blocks, rows)
    total, count = np.einsum("br,brp->rp", ok, phi), ok.sum(0)
    # Given its conditions, for sets differ in x alone
    rest = (ok[..., None] * (phi - (total / np.maximum(count, 1)[:, None])[None])).reshape(-1, phi.shape[2])
    covariance = rest.T @ rest / max(np.sum(np.maximum(count - 1, 0)), 1)
    simulated = member @ count
    delta = means - (member @ total / simulated[..., None])[None]
    delta /= np.sqrt(1 / member.sum(2) + 1 / simulated)[None, :, :, None]
    # A function that never varies in the simulations has no variance, and counts by the second term where data differ
    root = np.linalg.cholesky(covariance + np.diag(RIDGE * np.diag(covariance) + 1e-6))
    v = solve_triangular(root, delta.reshape(-1, delta.shape[3]).T, lower=True).T.reshape(delta.shape)
    return _discriminate(v)


def _discriminate(v: Float[np.ndarray, "sets splits 2 functions"]) -> Float[np.ndarray, " sets"]:
    """Compute T from mean differences in units in which chance alone gives each component a variance of about one."""
    sets, _, _, functions = v.shape
    both = v.sum(2).mean(1) / np.sqrt(2)
    deviation = both - both.mean(0)
    scatter = deviation.T @ deviation
    # Above this edge (Marchenko and Pastur 1967) lies no variance of pure chance
    edge = (1 + np.sqrt(functions / (sets - 1))) ** 2
    found = np.empty(sets)
    for i in range(sets):
        # From the other sets only: what a set itself adds to a direction leans on the noise of both its halves
        others = scatter - np.outer(deviation[i], deviation[i]) * sets / (sets - 1)
        variance, directions = np.linalg.eigh(others / (sets - 2))
        keep = variance > edge
        shrunk, directions = 1 - 1 / np.sqrt(variance[keep]), directions[:, keep]
        u = v[i] - (v[i] @ directions * shrunk) @ directions.T
        length = np.maximum(np.linalg.norm(u, axis=2), 1e-30)
        found[i] = np.mean(np.sum(u[:, 0] * u[:, 1], axis=1) * np.sum(1 / length, axis=1)) / np.sqrt(2)
    return found


def _standing(t: Float[np.ndarray, "sets statistics"]) -> Float[np.ndarray, "sets statistics"]:
    """Compute each set's z among all other sets: (t_i - mean of others) / (sd of others * sqrt(1 + 1 / others))."""
    n = len(t)
    rounding = 1e-6 * np.maximum(1, np.abs(t[1:].mean(0)))  # statistics are of order one, their spread 1 / sqrt(rows)
    deviation = t - t.mean(0)
    variance = np.maximum((deviation**2).sum(0) - deviation**2 * n / (n - 1), 0) / (n - 2)
    variance[0] = t[1:].var(0, ddof=1)  # the difference above rounds to nothing where x_new is far out
    sd, apart = np.sqrt(variance), deviation * n / (n - 1)
    z = np.where(np.abs(apart) > rounding, np.copysign(np.inf, apart), 0.0)
    return np.divide(apart, sd * np.sqrt(n / (n - 1)), out=z, where=sd > rounding)


def _judge(
    look: Look, frame: Frame, features: np.ndarray, classifier: np.ndarray, gap: np.ndarray
) -> tuple[float, list[Row]]:
    """Compute the overall p-value, and the table."""
    logarithms = np.log(np.maximum(features, SMALLEST))
    degrees, z = len(gap) - 2, _standing(np.where(summaries.positive(look), logarithms, features))
    p = 2 * stdtr(degrees, -np.abs(z))
    parts = [
        stdtr(degrees, -_standing(classifier[:, None])[:, 0]),
        2 * stdtr(degrees, -np.abs(_standing(gap[:, None])[:, 0])),
        p.min(1) * p.shape[1],
    ]
    factor, offset = summaries.units(look, frame)
    table = zip(
        summaries.names(look),
        (features[0] * factor + offset).tolist(),
        (features[1:].mean(0) * factor + offset).tolist(),
        z[0].tolist(),
        holm(p[0]).tolist(),
        strict=True,
    )
    return _rank(-np.min(parts, axis=0)), [Row(*row) for row in table]


def _rank(t: Float[np.ndarray, " sets"]) -> float:
    """Rank the first of exchangeable numbers: p = (1 + #{others at least as large}) / all."""
    return float(np.mean(t >= t[0]))


def holm(p: Float[ArrayLike, " n"]) -> Float[np.ndarray, " n"]:
    """Correct p-values for their number (Holm 1979): p_(i) -> max over j <= i of min(1, (n + 1 - j) p_(j)).

    Example:
        >>> holm([0.01, 0.04, 0.03]).tolist()
        [0.03, 0.06, 0.06]
    """
    values = np.asarray(p, dtype=float)
    order = np.argsort(values)
    corrected = np.empty_like(values)
    steps = np.arange(len(values), 0, -1) * values[order]
    corrected[order] = np.minimum(np.maximum.accumulate(steps), 1.0)
    return corrected
