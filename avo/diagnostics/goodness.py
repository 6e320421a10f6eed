"""Does the simulator, at the fit, reproduce the data? `check` asks observations that the fit did not see.

Each statistic T of the held-out observations x_new stands among the same statistic of B replicates. Replicate b has a
plausible truth of its own, drawn from the estimate's uncertainty, and as many rows as x_new:

    theta_b ~ estimate's error,    x_b ~ p(x | theta_b),    T_b = T(x_b; reference),    T_0 = T(x_new; reference),

the reference being simulations at the estimate itself, the same for all. Truth and estimate differ as theta_b and
estimate do, so that T_0 is one of B + 1 exchangeable numbers where the simulator is right, however many new
observations there are: with 20 times as many as the fit had, all of them see the estimate's error, x_new as the
replicates. Without theta_b a correct simulator would be rejected. What is measured:

- *Classifier.* How well the rows of x_new and of the reference are told apart (`avo.diagnostics.classifier`).
- *Gap.* E_new[d] - E_reference[d] of the fitted critic, which has never seen x_new.
- *Features* with names (`avo.diagnostics.features.names`). z = (T_0 - mean T_b) / (sd T_b sqrt(1 + 1 / B)); p by
  Student's t with B - 1 degrees of freedom, exact where T is normal, as it nearly is for means over many rows, and for
  the logarithms of standard deviations and kurtoses, which stand for them. Ranks among 199 replicates could not
  survive Holm's correction; so far out in the tails, p is an approximation.

The overall p-value is calibrated as Westfall and Young (1993) do: of each of the B + 1 sets the smallest p of the three
parts, each judged against the B others, ranked among the B + 1.
"""

from contextlib import closing
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float
from scipy.special import stdtr

from avo import checks
from avo.adversarial.critic import pack_size
from avo.adversarial.loop import block_size
from avo.adversarial.packs import packed_rows
from avo.adversarial.settings import Settings
from avo.alerts import warn
from avo.checks import came, flag, whole
from avo.containers import Axis, Held, arranged, named_columns, same_rows
from avo.diagnostics.classifier import Classifier, classify, half_means, make_classifier
from avo.diagnostics.features import Look, Units, in_units_of_x, look_of, names, positive, sample_features, summaries
from avo.diagnostics.pvalues import holm, rank, standing
from avo.diagnostics.samples import Sample, draw_sample, in_units, observed_sample, units_of
from avo.execution.calls import Calls
from avo.execution.host import HostSimulator
from avo.execution.simulator import check_simulator, handed
from avo.gaps import Gaps
from avo.observations import Observed, number_clusters
from avo.progress import bar
from avo.result import Result
from avo.rows import observe_new
from avo.tables import aligned
from avo.types import Simulator
from avo.weights import shares_of, thinned, validate_weights

LEAST_ROWS = 20
LEAST_REPLICATES = 19  # with fewer no rank is as small as 5 %
REFERENCE = 4  # simulations at the estimate per new observation, at least
LEAST_REFERENCE = 1000
SMALLEST = 1e-6  # of a standard deviation, in units of x's scale: below lies rounding
LEVEL = 0.05
FITTED = "these are the observations of the fit, which its critic knows by heart"


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
        fitted: whether x_new are the observations of the fit itself, of which the p-value says nothing.
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
    fitted: bool = False

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
        subset = f", on {self.classified:,} of the observations" if self.classified < self.rows else ""
        more = [f"({len(ordered) - len(shown)} more features)"] if len(shown) < len(ordered) else []
        failed = f", of which {self.failed:,} failed and were left out" if self.failed else ""
        words = f"The simulator at the fit {verdict} the {self.rows:,} new observations: p = {self.p_value:.3g}"
        if self.p_value <= 1 / (1 + self.replicates):
            words += f", the smallest that {self.replicates} replicates allow"
        if self.fitted:
            words = f"No test of the simulator, {FITTED}: p = {self.p_value:.3g}"
        return "\n".join(
            [
                words,
                f"classifier: {self.classifier.statistic:.3g}, p = {self.classifier.p:.3g}{subset}",
                f"critic's gap: {self.gap.statistic:.3g}, p = {self.gap.p:.3g}",
                "",
                *aligned(cells),
                *more,
                "",
                f"{self.replicates} replicates, {self.calls:,} simulator calls{failed}",
            ]
        )


class _Seen(NamedTuple):
    """What is kept of a sample: features, means of phi over the halves (splits, 2, functions), the critic's mean."""

    features: np.ndarray
    means: np.ndarray
    critic: float


def check(
    result: Result,
    simulate: Simulator,
    x_new: Held,
    *,
    inputs: Held | None = None,
    groups: Held | None = None,
    weights: Held | None = None,
    replicates: int = 199,
    budget: int | None = None,
    seed: int = 0,
    executor: Any = None,
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
        x_new: held-out observations, with shape (m, *x_shape), at least 20; where the fit's columns had names, those
            of a frame are taken by name. NaN is missing where values were missing in the fit; simulations get the same
            gaps. What `avo.observations.kind_of` calls a
            series is looked at as such, an image by the means of 6 x 6 blocks, a vector by its columns. The classifier
            sees a random subset of 4000 where there are more; features and gap see all.
        inputs: their known conditions, with shape (m, *c_shape), where the fit had any; simulations have the same.
        groups: label of each row's cluster (beats of one patient, windows of one day); at least 20 clusters, of each of
            which one row, drawn by the seed, stands for all.
        weights: importance weights, as in `avo.fit`. Rows are kept with probability w / max w, by the seed: what is
            left, at least 20 rows, is a plain sample of what the weights stand for.
        replicates: simulated sets, B, at least 19. A check costs (B + 4) m simulator calls, a few more for m < 250.
        budget: simulator calls, at most: as many sets as they allow, of those. None: no limit.
        seed: same seed, same numbers.
        executor: where calls of a simulator outside JAX are made, as in `avo.fit`. Calls that fail are left out.
        progress: show a bar.

    Returns:
        `Check`: `.p_value`, `.table`, `.classifier`, `.gap`, `.summary()`; `avo.plots.check` draws it. Features,
        counted from 0, have names such as "kurtosis of increments, mean": computed in each observation, then the mean
        over observations; "sd" is the standard deviation over them.

    Raises:
        ValueError: if the fit has no error, x_new does not belong to it or has fewer than 20 rows, an argument is not
            as described, or most simulations are not finite.

    Example:
        >>> import avo
        >>> problem = avo.simulators.get("poisson")
        >>> x = problem.simulate(jax.random.key(0), jnp.full((2000, 1), 7.0))
        >>> result = avo.fit(problem.simulate, x[:1000], problem.space, budget=5000, progress=False)
        >>> found = avo.check(result, problem.simulate, x[1000:], replicates=19, progress=False)
        >>> found.p_value > 1 / 20
        True
    """
    (x, c, known), replicates, seed = _arguments(result, x_new, inputs, replicates, seed)
    same_rows(x_new=x_new, inputs=inputs, groups=groups, weights=weights)
    progress = flag("progress", progress)
    shares = shares_of(validate_weights(weights, len(x)))
    clusters = None if groups is None else number_clusters(groups, len(x))
    fitted = Observed(x, c, clusters, shares).digest == getattr(result, "data", None)
    if fitted:
        warn(
            f"x_new: {FITTED}; any simulator would seem wrong. Split yours before the fit, and check with the other "
            "part; how the fit judges its own observations stands in result.summary().",
        )
    rows = _independent(clusters, shares, len(x), seed)
    replicates = sets_within(budget, replicates, len(x) if rows is None else len(rows))
    if rows is not None:
        x, c, known = x[rows], None if c is None else c[rows], None if known is None else known[rows]
    checked = check_simulator(simulate, result.space, x, known, block_size(Settings()))
    observed = observed_sample(x, c)
    full, gaps = partial(handed, checked, result.space), getattr(result, "gaps", None)
    if not isinstance(checked, HostSimulator):
        found = _check(result, _shown(checked, gaps), observed, full, seed, (replicates, progress))
    else:
        with closing(Calls(checked, len(x), x.shape[1:], executor=executor, max_failures=0.5)) as calls:
            found = _check(result, _shown(calls.alone, gaps), observed, full, seed, (replicates, progress))
    return replace(found, fitted=fitted)


def reference_sets(rows: int) -> int:
    """Compute how many sets, as large as the observations, are simulated at the estimate."""
    return max(REFERENCE, -(-LEAST_REFERENCE // rows))


def sets_within(budget: int | None, replicates: int, rows: int) -> int:
    """Compute how many simulated sets of so many rows, at most `replicates`, a budget of calls allows.

    Raises:
        ValueError: if they are too few for a check.

    Example:
        >>> sets_within(None, 199, 500), sets_within(50_000, 199, 500), sets_within(10**9, 199, 500)
        (199, 96, 199)
    """
    if budget is None:
        return replicates
    sets = whole("budget", budget) // rows - reference_sets(rows)
    if sets < LEAST_REPLICATES:
        least = (LEAST_REPLICATES + reference_sets(rows)) * rows
        raise ValueError(
            f"budget={budget:,} is too small: a check of {rows:,} observations takes at least {least:,} simulator "
            "calls; allow more, or hand over fewer observations."
        )
    return min(replicates, sets)


def _shown(simulate: Any, gaps: Gaps | None) -> Any:
    """Give simulations the gaps of the observations, where these have some."""
    if gaps is None:
        return simulate

    def filled(key: Any, theta: Any, c: Any) -> np.ndarray:
        known = gaps.known(c)
        x = simulate(key, theta) if known is None else simulate(key, theta, known)
        return gaps.filled(np.asarray(x), np.asarray(c))

    return filled


def _check(
    result: Result, simulate: Simulator, observed: Sample, full: Any, seed: int, sets: tuple[int, bool]
) -> Check:
    """Draw so many sets, with a bar or without, and look at them; `full` makes theta of free parameters."""
    replicates, progress = sets
    x, _, c = observed
    key_reference, key_sets, key_random = jax.random.split(jax.random.key(seed), 3)

    def draw(thetas: Any, key: Any) -> Sample:
        return draw_sample(simulate, observed, lambda *of: full(thetas(*of)), key)

    blocks = reference_sets(len(x))
    reference = [draw(result.central, jax.random.fold_in(key_reference, i)) for i in range(blocks)]

    look = look_of(result.x_shape, 0 if c is None else c[0].size)
    units = units_of(look, reference, getattr(result, "gaps", None))
    classifier = make_classifier(key_random, look, units, len(x), seed)
    see = partial(_see, result, classifier)
    seen, failed = [see(observed)], sum(int(np.sum(~sample.ok)) for sample in reference)
    with bar(replicates, "check", "simulated sets", progress) as shown:
        for b in range(replicates):
            sample = draw(result.replicate, jax.random.fold_in(key_sets, b))
            failed += int(np.sum(~sample.ok))
            seen.append(see(sample))
            shown.update()

    told_apart = classify(classifier, reference, np.stack([s.means for s in seen]))
    gap = np.array([s.critic for s in seen]) - np.mean([see(sample).critic for sample in reference])
    called = names(look, _names(result)[0], _conditions_of(result))
    p_value, table = _judge(look, called, classifier.units, np.stack([s.features for s in seen]), told_apart, gap)
    return Check(
        p_value=p_value,
        table=table,
        classifier=Part(float(told_apart[0]), rank(told_apart), told_apart[1:]),
        gap=Part(float(gap[0]), rank(np.abs(standing(gap[:, None])[:, 0])), gap[1:]),
        rows=len(x),
        classified=len(classifier.rows),
        replicates=replicates,
        calls=(blocks + replicates) * len(x),
        failed=failed,
    )


def _as_in_fit(x: np.ndarray, c: np.ndarray | None, unit: np.ndarray | None) -> None:
    """Refuse conditions where the fit had none, none where it had some, and those of another shape."""
    had = None if unit is None else (len(x), *unit.shape)
    if had is not None and c is None:
        raise ValueError(
            f"inputs must be the known conditions of x_new, shape {had}, as the fit had inputs=; got none. The "
            "simulator is called with them."
        )
    if had is None and c is not None:
        raise ValueError(f"inputs must be left out, as the fit had none; got inputs of shape {c.shape}.")
    if had is not None and c is not None and c.shape != had:
        raise ValueError(f"inputs must have rows as in the fit, shape {had}; got inputs of shape {c.shape}.")


def _arguments(
    result: Any, x_new: Held, inputs: Held | None, replicates: Any, seed: Any
) -> tuple[tuple[np.ndarray, np.ndarray | None, np.ndarray | None], int, int]:
    """Check what a user may get wrong: x_new and inputs as float64, replicates and seed as int.

    Returns:
        x_new, its conditions as the critic sees them, and those that the simulator gets; replicates; seed.
    """
    if not hasattr(result, "x_shape"):
        raise ValueError(f"result must be what avo.fit returned; got {came(result)}.")
    if result.stderr is None:
        raise ValueError(
            "result has no error of its estimate, and without it nobody can say how far a right simulator may lie from "
            "the data; fit with avo.fit(..., refine=True)."
        )
    axes, input_axes = _names(result)
    inputs, gaps = arranged("inputs", inputs, input_axes), getattr(result, "gaps", None)
    x, c, known = observe_new(arranged("x_new", x_new, axes), inputs, gaps, "x_new", 2)
    if gaps is None and (frame := getattr(result, "frame", None)) is not None:
        _as_in_fit(x, c, frame.c_shift)
    if x.shape[1:] != tuple(result.x_shape):
        raise ValueError(
            f"x_new must have rows like those that were fitted, shaped {tuple(result.x_shape)}; got {x.shape[1:]}."
        )
    if len(x) < LEAST_ROWS:
        raise ValueError(f"x_new must have at least {LEAST_ROWS} rows, one observation each; got {len(x)}.")
    replicates, seed = whole("replicates", replicates, LEAST_REPLICATES), checks.seed("seed", seed)
    _check_critic(result, x, c)
    return (x, c, known), replicates, seed


def _names(result: Any) -> tuple[tuple[Axis, ...], tuple[Axis, ...]]:
    """Take the names of x's entries and of known conditions, of whatever stands for a result."""
    return getattr(result, "axes", ()), getattr(result, "input_axes", ())


def _conditions_of(result: Any) -> tuple[Axis, ...]:
    """Name the conditions that critic and classifier see, the mask's columns last; () for their numbers."""
    axes, input_axes = _names(result)
    gaps = getattr(result, "gaps", None)
    if gaps is None:
        return input_axes
    own = input_axes[0].entries if len(input_axes) == 1 else ()
    known = own or tuple(f"input {j}" for j in range(gaps.own))
    at = [int(np.flatnonzero(gaps.column == k)[0]) for k in range(gaps.columns)]
    entries = axes[0].entries if len(axes) == 1 else ()
    lacking = tuple(f"{entries[i] if entries else f'entry {i}'} missing" for i in at)
    return named_columns([*known, *lacking])


def _independent(clusters: np.ndarray | None, shares: np.ndarray | None, m: int, seed: int) -> np.ndarray | None:
    """Choose rows that neither depend on one another nor have weights; None: all of them."""
    if clusters is None and shares is None:
        return None
    rng, labels = np.random.default_rng(seed), np.arange(m) if clusters is None else clusters
    if clusters is not None and labels.max() + 1 < LEAST_ROWS:
        raise ValueError(f"groups must name at least {LEAST_ROWS} clusters; got {labels.max() + 1}.")
    order = rng.permutation(m)
    if shares is not None and clusters is not None:  # the first of a cluster is each with its share
        order = np.argsort(rng.exponential(size=m) / np.maximum(shares, 1e-300))
    rows = np.sort(order[np.unique(labels[order], return_index=True)[1]])
    if shares is None:
        return rows
    rows = rows[thinned(np.bincount(labels, shares)[labels[rows]], rng)]
    if len(rows) < LEAST_ROWS:
        raise ValueError(
            f"weights must leave at least {LEAST_ROWS} rows, each kept with probability w / max w; they leave "
            f"{len(rows)} of {m}. Cut the largest weights, or take more rows."
        )
    return rows


def _check_critic(result: Any, x: np.ndarray, c: np.ndarray | None) -> None:
    if result.critic is None:
        raise ValueError(
            "result is of stored pairs, and a check needs the critic of a fit that simulates; fit with the simulator."
        )
    pack = pack_size(result.critic)
    try:
        z = result.view(x[:pack], None if c is None else c[:pack])
        eqx.filter_eval_shape(result.critic, z[0] if pack == 1 else z)
    except (TypeError, ValueError, IndexError) as error:
        came = "no inputs" if c is None else f"inputs of shape {c.shape[1:]}"
        raise ValueError(
            f"x_new with {came} is not what this fit's critic was made for; give inputs as avo.fit had them. "
            f"It said: {' '.join(str(error).split())[:200]}"
        ) from error


def _see(result: Any, classifier: Classifier, sample: Sample) -> _Seen:
    """Compute all that is kept of a sample."""
    found, means = _measure(classifier, *in_units(classifier.units, sample), sample.ok)
    value = _critic_mean(result.critic, jnp.asarray(result.view(sample.x, sample.inputs)), sample.ok)
    return _Seen(np.asarray(found, np.float64), np.asarray(means, np.float64), float(value))


@eqx.filter_jit
def _measure(classifier: Classifier, z: Array, c: Array | None, ok: Array) -> tuple[Array, Array]:
    """Compute the features of a sample, and the means of the classifier's functions over each half of each split."""
    ok, s = jnp.asarray(ok), summaries(classifier.look, z)
    means = half_means(classifier, z, s, c, ok)
    return sample_features(classifier.look, classifier.units, s, c, ok), means


@eqx.filter_jit
def _critic_mean(critic: Any, z: Array, ok: Array) -> Array:
    """Average the critic over the finite rows; over packs of consecutive ones where it takes several at once."""
    ok, k = jnp.asarray(ok), pack_size(critic)
    if k > 1:
        whole_packs = slice(len(z) // k * k)
        z, ok = packed_rows(z[whole_packs], k), packed_rows(ok[whole_packs], k).all(axis=1)
    weight = ok.astype(z.dtype)
    return weight @ jax.vmap(critic)(z) / jnp.maximum(weight.sum(), 1)


def _judge(
    look: Look, called: list[str], units: Units, features: np.ndarray, classifier: np.ndarray, gap: np.ndarray
) -> tuple[float, list[Row]]:
    """Compute the overall p-value, and the table."""
    logarithms = np.log(np.maximum(features, SMALLEST))
    degrees, z = len(gap) - 2, standing(np.where(positive(look), logarithms, features))
    p = 2 * stdtr(degrees, -np.abs(z))
    parts = [
        stdtr(degrees, -standing(classifier[:, None])[:, 0]),
        2 * stdtr(degrees, -np.abs(standing(gap[:, None])[:, 0])),
        p.min(1) * p.shape[1],
    ]
    factor, offset = in_units_of_x(look, units)
    table = zip(
        called,
        (features[0] * factor + offset).tolist(),
        (features[1:].mean(0) * factor + offset).tolist(),
        z[0].tolist(),
        holm(p[0]).tolist(),
        strict=True,
    )
    return rank(-np.min(parts, axis=0)), [Row(*row) for row in table]
