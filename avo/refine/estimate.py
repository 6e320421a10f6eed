"""What a refined fit knows of its parameters: errors, intervals, directions, the moments of a population.

What is known of a point is known on the scale w of avo/refine/linear.py, of a population in u: there the estimate is
nearly normal. Intervals are mapped to theta by their ends, standard errors by the delta method. How the numbers come
about is in avo/refine/point.py and population.py.
"""

from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray
from scipy import stats

from avo.adversarial.proposals import START_SD
from avo.parameters import TURN
from avo.refine.counts import wholes
from avo.refine.custom import Only, restored_statistic
from avo.refine.identifiability import Combination, Direction, Identifiability, combined
from avo.refine.kept import Kept
from avo.refine.linear import WIDTH, LinearSpace
from avo.refine.statistic import LearnedStatistic
from avo.space import Space
from avo.tables import aligned, written
from avo.types import Statistic

UNIDENTIFIED = 0.5  # standard deviation in u from which a population's mean counts as not identified
UNDETERMINED = 2.5  # that in w of a point's direction: nine tenths of such an error span a range of 4 from either end
CENTRAL = float(stats.norm.isf(0.05))  # half of the central 90 % of a normal distribution
POINTS = 2**14  # of a scrambled net, for a population's moments in physical units
LOOSE = 0.3  # standard deviation that directions which are not identified may lend to a parameter that is: a fifth of
# their own, as far as a fifth of its range where they lead from end to end of the others'
ALONE = 0.99  # share of a parameter in what is not identified above which no other has part in it
DISAGREE = 5.0  # standard errors beyond which encoded observations spread otherwise than encoded simulations
CONTRADICT = 3.0  # standard errors beyond which data and what is known disagree
UNLIKELY = 0.005  # p of the observations at the estimate, below which the simulator does not reproduce them
DEPENDENT = 1e-4  # p below which rows of the observations depend on one another
SURE = 2.0  # standard errors above zero, from which a variance has an error rather than an upper bound


@lru_cache(maxsize=64)
def _slope(space: Space, loc: tuple[float, ...], dtype: Any) -> Float[np.ndarray, " d"]:
    """Compute d theta / du at a place once: to trace it takes long, and a summary asks for it many times."""
    return np.diagonal(np.asarray(jax.jacobian(space.constrain)(jnp.asarray(loc, dtype))))


class Moments(NamedTuple):
    """Mean, standard deviation and correlation of the parameters over a population, with standard errors.

    Where a standard deviation does not differ from zero, its error is NaN and sd_upper its upper limit at level 95 %;
    elsewhere sd_upper is NaN.
    """

    mean: Float[np.ndarray, " d"]
    sd: Float[np.ndarray, " d"]
    corr: Float[np.ndarray, "d d"]
    mean_stderr: Float[np.ndarray, " d"]
    sd_stderr: Float[np.ndarray, " d"]
    corr_stderr: Float[np.ndarray, "d d"]
    sd_upper: Float[np.ndarray, " d"]


def spread(moments: Moments, i: int) -> tuple[str, str]:
    """Write a standard deviation and its error; where it does not differ from zero, its upper limit and no error."""
    if np.isfinite(moments.sd_stderr[i]):
        return written(moments.sd[i], moments.sd_stderr[i])
    return f"< {moments.sd_upper[i]:.2g}", ""


class _Population(NamedTuple):
    theta: Moments
    u: Moments


class Population(_Population):
    """A fitted population: moments of theta, in physical units, and of u; print it."""

    names: tuple[str, ...]
    units: tuple[str, ...]

    @staticmethod
    def of(space: Space, theta: Moments, u: Moments) -> "Population":
        """Name the parameters, for the print."""
        found = Population(theta, u)
        found.names, found.units = space.names, space.units
        return found

    def __str__(self) -> str:
        t, d = self.theta, len(self.theta.mean)
        rows = [["parameter", "mean", "+- (mean)", "sd", "+- (sd)", "unit"]]
        for i, (name, unit) in enumerate(zip(self.names, self.units, strict=True)):
            rows.append([name, *written(t.mean[i], t.mean_stderr[i]), *spread(t, i), unit])
        pairs = [(i, j) for j in range(d) for i in range(j) if np.isfinite(t.corr_stderr[i, j])]
        told = [
            f"correlation of {self.names[i]} and {self.names[j]}: {t.corr[i, j]:+.2f} +- {t.corr_stderr[i, j]:.2f}"
            for i, j in pairs
        ]
        return "\n".join([*aligned(rows), *([""] if told else []), *told])


class Neighbours(NamedTuple):
    """How rows of the observations correlate with those near them, in what they say of each parameter.

    How the numbers come about is in avo/refine/neighbours.py.

    Args:
        correlation: between rows that are `lag` apart, of the normal scores of their ranks.
        lag: number of rows, where the correlation is largest.
        widening: factor by which the correlations that are seen widen the error of independent rows.
        p_value: of a correlation as clear between independent rows, of any parameter at any lag.
    """

    correlation: Float[np.ndarray, " d"]
    lag: Float[np.ndarray, " d"]
    widening: Float[np.ndarray, " d"]
    p_value: Float[np.ndarray, " d"]

    @property
    def dependent(self) -> np.ndarray:
        """For which parameters the rows depend on one another so that the stated error is too small."""
        return (self.p_value < DEPENDENT) & (self.widening > 1)


def symmetric(entries: Float[np.ndarray, " q"], d: int) -> Float[np.ndarray, "d d"]:
    """Fill a symmetric matrix from its upper triangle."""
    S = np.zeros((d, d))
    S[np.triu_indices(d)] = entries
    return S + np.triu(S, 1).T


def floored(covariance: Float[np.ndarray, "d d"], floor: float) -> Float[np.ndarray, "d d"]:
    """Compute a factor of a covariance whose standard deviations are raised to a floor."""
    values, vectors = np.linalg.eigh(covariance)
    return vectors * np.sqrt(np.maximum(values, floor**2))


class Alone(NamedTuple):
    """An estimate by the data alone, where something else is known of the parameters; entries as in `Estimate`.

    Its counts are the whole numbers next to what the data alone say, and the others stand beside these.
    """

    loc: Float[np.ndarray, " d"]
    covariance: Float[np.ndarray, "d d"]
    values: Float[np.ndarray, " d"]
    vectors: Float[np.ndarray, "d d"]
    identified: np.ndarray
    between: Float[np.ndarray, " d"] | None = None


@dataclass(frozen=True, eq=False, kw_only=True)
class Estimate:
    """An estimate with its error.

    Args:
        loc: the estimate, in u; of a population, the mean.
        population_covariance: covariance of u over a population; None for a point.
        covariance: of w at loc; of a population, of (loc, upper triangle of `population_covariance`) in u. What is not
            identified has the standard deviation 1.5 of the usual start.
        values: information about each direction, 1 / sd^2; zero or less where there is none.
        vectors: the directions in w, of a population in u, in columns.
        identified: which of them the data identify.
        statistic: x -> t(x), the learned scores of the equation that was solved. To the estimate, x_i adds
            A^+ (t(x_i) - tbar) / m: its influence.
        encoder: x -> E[theta | x] under the reference.
        reference: (loc, factor) of N(loc, factor factor^T) in w, of a population in u, under which E[theta | x] is
            meant.
        simulation_noise: sqrt(1 + m / M): by so much do M simulations widen the error at least, M those of the last
            comparison and of the slope.
        moved: length of the last step, in standard errors per direction.
        freedom: number of observations, or of clusters of them, less one; of weighted ones the effective number.
        encoded: of a population, the standard deviation of E[theta | x] over the observations, that over simulations
            at the fit, and how far their variances differ, in standard errors. The equation does not use it.
        p_value: of a point without clusters, that of the observations against simulations at the estimate
            (avo/refine/agreement.py).
        hidden: whether x responds to what the learned t leaves open, so that p is not known.
        neighbours: how rows of the observations depend on their neighbours; None where clusters are given.
        failing: share of the simulations at the estimate that failed. The others are compared with the observations:
            what is estimated is theta of x given that a call succeeds.
        alone: the estimate by the data alone, where more is known of parameters (avo/refine/known.py); else None.
        apart: by how many standard errors the data and what is known disagree.
        between: w before counts were taken to whole numbers, whose error `covariance` is; None where there are none.
        kept: simulations near the estimate, and what the observations look like (avo/refine/kept.py).
    """

    loc: Float[np.ndarray, " d"]
    population_covariance: Float[np.ndarray, "d d"] | None = None
    covariance: Float[np.ndarray, "p p"]
    values: Float[np.ndarray, " d"]
    vectors: Float[np.ndarray, "d d"]
    identified: np.ndarray
    statistic: LearnedStatistic
    encoder: LearnedStatistic
    reference: tuple[np.ndarray, np.ndarray]
    simulation_noise: float
    moved: float
    freedom: float
    encoded: Float[np.ndarray, "3 d"] | None = None
    p_value: float | None = None
    hidden: bool = False
    neighbours: Neighbours | None = None
    failing: float = 0.0
    alone: Alone | None = None
    apart: float = 0.0
    between: Float[np.ndarray, " d"] | None = None
    kept: Kept | None = None

    @property
    def by_data(self) -> "Estimate":
        """The estimate by the data alone: this one, where nothing else is known."""
        return self if self.alone is None else replace(self, **self.alone._asdict(), alone=None, apart=0.0)

    @property
    def sd(self) -> Float[np.ndarray, " d"]:
        """Standard error of loc, in w, of a population in u."""
        return np.sqrt(np.diagonal(self.covariance)[: len(self.loc)])

    @property
    def free(self) -> Float[np.ndarray, "d k"]:
        """Directions that are not identified, along which the fit says nothing."""
        return self.vectors[:, ~self.identified & (self.values <= 1 / START_SD**2)]

    @property
    def without_effect(self) -> np.ndarray:
        """Which parameters may move alone, all others held, and x stays as it is."""
        return np.linalg.norm(self.free, axis=1) > ALONE

    def _scale(self, space: Space) -> tuple[Any, Float[np.ndarray, " d"], Float[np.ndarray, " d"]]:
        """Give the scale of the error: its map to theta, the place of the estimate, and d theta / d place."""
        slope = _slope(space, tuple(np.asarray(self.loc).tolist()), jnp.result_type(float))
        if self.population_covariance is not None:
            return space.constrain, np.asarray(self.loc), slope
        line = LinearSpace(space)
        return line.constrain, line.of(self.loc), slope / line.rate(self.loc)

    def slope(self, space: Space) -> Float[np.ndarray, " d"]:
        """Compute d theta / dw at the estimate, of a population d theta / du."""
        return self._scale(space)[2]

    def _errors(self, space: Space) -> Float[np.ndarray, " d"]:
        """Standard errors on the scale of `_scale`, those of parameters beside a count as the count leaves them."""
        if self.between is None:
            return self.sd
        return np.sqrt(wholes(LinearSpace(space), self.between, self.covariance).variance)

    def unidentified(self, space: Space) -> np.ndarray:
        """Which parameters the data do not identify.

        Of a point, those whose central 90 % interval spans the support, or that directions which are not identified
        lend more than .3 in w, which is no error but the width of the usual start; without two bounds, those with a
        standard error above the 1.5 of the usual start; angles, whose interval spans a turn. Of a population, those
        with one above .5 in u.
        """
        if self.population_covariance is not None:
            return self.sd > UNIDENTIFIED
        lent, w = START_SD * np.linalg.norm(self.free, axis=1), LinearSpace(space).of(self.loc)
        reach = CENTRAL * self.sd
        spanned = np.where(space.bounded, (w <= reach) & (w + reach >= WIDTH), self.sd > START_SD)
        spanned = np.where(space.angles, reach >= TURN / 2, spanned)
        return spanned | (lent > LOOSE)

    def stderr(self, space: Space) -> Float[np.ndarray, " d"]:
        """Standard error of theta: |d theta / dw| sd, infinite where the data do not identify a parameter."""
        return np.where(self.unidentified(space), np.inf, np.abs(self._scale(space)[2]) * self._errors(space))

    def interval(self, space: Space, level: float) -> Float[np.ndarray, "d 2"]:
        """Ends of theta(w -+ q sd), q Student's quantile; the bounds beyond them, and for what is not identified.

        Those of an angle lie around the estimate, below zero or beyond the period where it is near these. Those of a
        count are the first and last whole number inside, and the estimate at least.
        """
        constrain, place, slope = self._scale(space)
        middle = place if self.between is None else np.where(space.counts, self.between, place)
        reach = stats.t.isf((1 - level) / 2, self.freedom) * self._errors(space)
        ends = np.stack([middle - reach, middle + reach])
        support = np.array([p.support for p in space])
        found = np.asarray(constrain(ends), float).T
        if self.population_covariance is None:
            beyond = LinearSpace(space).inside(ends) != ends
            found = np.where(beyond.T, support, found)
        theta, around = np.asarray(constrain(place), float), np.stack([-reach, reach], axis=1) * slope[:, None]
        found = np.where(space.angles[:, None], theta[:, None] + around, found)
        n = np.round(theta)
        inside = np.stack([np.minimum(np.ceil(found[:, 0]), n), np.maximum(np.floor(found[:, 1]), n)], axis=1)
        found = np.where(space.counts[:, None], inside, found)
        whole_turn = space.angles & (np.diff(found)[:, 0] >= space.periods)
        return np.where((self.unidentified(space) | whole_turn)[:, None], support, found)

    def identifiability(self, space: Space) -> Identifiability:
        """Sort the directions, the worst identified first; of each, its largest weight is positive."""
        found = []
        for k in np.argsort(self.values):
            v = self.vectors[:, k]
            sd = float(1 / np.sqrt(self.values[k])) if self.values[k] > 0 else float("inf")
            found.append(Direction(v * np.sign(v[np.argmax(abs(v))]), sd, bool(self.identified[k]), space.names))
        return Identifiability.of(found, np.abs(self.slope(space)), space.units)

    def combinations(self, space: Space) -> tuple[Combination, ...]:
        """Find what the data identify of several parameters together; of a population, of its median."""
        _, _, slope = self._scale(space)
        loose, d = self.unidentified(space), len(self.loc)
        theta = np.asarray(space.constrain(self.loc), float)
        return combined(space, theta, slope, self.covariance[:d, :d], self.free, loose)

    def continuous(self, space: Space) -> Float[np.ndarray, " d"]:
        """Theta before counts were taken to whole numbers: that of `between`, of loc where there are none."""
        line = LinearSpace(space)
        return np.asarray(line.constrain(line.of(self.loc) if self.between is None else self.between), float)

    def counted(self, space: Space) -> dict[str, tuple[float, float]]:
        """Name the counts that the data identify, each with what it was before it was made whole, and its error."""
        rows = zip(space.names, space.counts, self.continuous(space), self.stderr(space), strict=True)
        return {name: (float(t), float(error)) for name, count, t, error in rows if count and np.isfinite(error)}

    def replicate(self, space: Space, key: PRNGKeyArray, n: int, exact: bool = False) -> Float[Array, "n d"]:
        """Draw a plausible truth, and from it theta of n observations; `exact`: from the estimate itself."""
        d, free = len(self.loc), self.free
        constrain, place, _ = self._scale(space)
        covariance = self.covariance.copy()
        covariance[:d, :d] -= START_SD**2 * free @ free.T  # the fit says nothing there, whatever the value
        key_psi, key_u = jax.random.split(key)
        factor = jnp.asarray(floored(covariance, 0.0), float)
        psi = jnp.zeros(len(factor)) if exact else factor @ jax.random.normal(key_psi, (len(factor),))
        if self.between is not None and not exact:
            place = self.between
        loc = jnp.asarray(place, float) + psi[:d]
        if self.population_covariance is None:
            return jnp.tile(self._whole(space, loc), (n, 1))
        i, j = np.triu_indices(d)
        shift = jnp.zeros((d, d)).at[i, j].set(psi[d:]).at[j, i].set(psi[d:])
        values, vectors = jnp.linalg.eigh(jnp.asarray(self.population_covariance, float) + shift)
        spread = vectors * jnp.sqrt(jnp.maximum(values, 0.0))[None]
        return constrain(loc[None] + jax.random.normal(key_u, (n, d)) @ spread.T)

    def truths(self, space: Space, key: PRNGKeyArray, n: int) -> Float[Array, "n d"]:
        """Draw n plausible truths of theta, of a population its central values, from the normal error of the estimate.

        What is not identified has the width of the usual start, cut off at the bounds.
        """
        d, (constrain, place, _) = len(self.loc), self._scale(space)
        normal = jax.random.normal(key, (n, d))
        place = place if self.between is None else self.between
        at = jnp.asarray(place, float)[None] + normal @ jnp.asarray(floored(self.covariance[:d, :d], 0.0).T)
        return constrain(at) if self.population_covariance is not None else self._whole(space, at)

    def _whole(self, space: Space, w: Any) -> Array:
        """Map w of a point to theta, counts to the nearest whole numbers and the others along with them."""
        line = LinearSpace(space)
        if self.between is not None:
            w = jnp.asarray(wholes(line, np.asarray(w, float), self.covariance).w, float)
        return space.nearest_whole(line.constrain(w))

    def population(self, space: Space) -> Population | None:
        """Compute the moments of a population, with errors by the delta method; None for a point."""
        if self.population_covariance is None:
            return None
        d = len(self.loc)
        i, j = np.triu_indices(d)
        factor = floored(self.population_covariance, 1e-3)
        psi = jnp.asarray(np.concatenate([self.loc, (factor @ factor.T)[i, j]]), float)
        normal = stats.norm.ppf(stats.qmc.Sobol(d, rng=0).random(POINTS))

        def unpack(psi: Array) -> tuple[Array, Array]:
            return psi[:d], jnp.zeros((d, d)).at[i, j].set(psi[d:]).at[j, i].set(psi[d:])

        # theta_i depends on u_i alone; by Price's theorem (1958) d E[f] / dS_ij = E[d2f / du_i du_j], half of it for
        # i = j. The way through a factor of S would divide by what is left where parameters are nearly proportional
        own_slope = lambda fn: lambda u: jax.jvp(fn, (u,), (jnp.ones_like(u),))[1]  # noqa: E731
        at, first = jnp.asarray(self.loc + normal @ factor.T, float), own_slope(space.constrain)
        theta, t1, t2 = space.constrain(at), first(at), own_slope(first)(at)
        middle = theta.mean(0)
        theta = theta - middle[None]

        def in_theta(moved: Array) -> tuple[Array, Array]:
            a, S = unpack(moved - psi)  # zero; only the derivatives matter
            change = t1 * a[None] + t2 * (jnp.diagonal(S) / 2)[None]
            square = theta.T @ theta + change.T @ theta + theta.T @ change + (t1.T @ t1) * S
            shift = change.mean(0)
            return middle + shift, square / POINTS - jnp.outer(shift, shift)

        unidentified = self.unidentified(space)
        found = (self._known(self._moments(of, psi), unidentified) for of in (in_theta, unpack))
        return Population.of(space, *found)

    def _known(self, found: Moments, unidentified: np.ndarray) -> Moments:
        """Take away what is said of parameters that the data do not identify: it would be the usual start's width."""
        either = (unidentified[:, None] | unidentified[None, :]) & ~np.eye(len(unidentified), dtype=bool)
        return found._replace(
            mean_stderr=np.where(unidentified, np.inf, found.mean_stderr),
            sd_stderr=np.where(unidentified, np.nan, found.sd_stderr),
            sd_upper=np.where(unidentified, np.inf, found.sd_upper),
            corr_stderr=np.where(either, np.nan, found.corr_stderr),
        )

    def _moments(self, of: Any, psi: Array) -> Moments:
        d = len(self.loc)

        def described(psi: Array) -> tuple[Array, Array, Array]:
            mean, covariance = of(psi)
            variance = jnp.diagonal(covariance)
            return mean, variance, covariance / jnp.sqrt(jnp.outer(variance, variance))

        def error(slope: Array) -> np.ndarray:
            rows = np.asarray(slope, float).reshape(-1, len(psi))
            return np.sqrt(np.einsum("kp,pq,kq->k", rows, self.covariance, rows))

        mean, v, corr = (np.asarray(a, float) for a in jax.jit(described)(psi))
        mean_error, v_error, corr_error = map(error, jax.jit(jax.jacobian(described))(psi))
        sd, small = np.sqrt(v), v < SURE * v_error
        upper = np.where(small, np.sqrt(v + stats.norm.isf(0.05) * v_error), np.nan)
        corr_error = np.where(small[:, None] | small[None, :], np.nan, corr_error.reshape(d, d))
        np.fill_diagonal(corr_error, 0.0)
        return Moments(mean, sd, corr, mean_error, np.where(small, np.nan, v_error / (2 * sd)), corr_error, upper)

    def to_files(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """Describe the estimate as arrays and words, for `from_files`."""
        arrays = {f"estimate.{name}": getattr(self, name) for name in ARRAYS if getattr(self, name) is not None}
        arrays |= {"estimate.reference.loc": self.reference[0], "estimate.reference.factor": self.reference[1]}
        if self.neighbours is not None:
            arrays["estimate.neighbours"] = np.stack(self.neighbours)
        custom = self.statistic.features.custom
        words: dict[str, Any] = {"custom": None if custom is None else custom.describe()}
        words |= {"simulation_noise": self.simulation_noise, "moved": self.moved, "freedom": self.freedom}
        words |= {"p_value": self.p_value, "hidden": self.hidden, "failing": self.failing}
        if self.alone is not None:
            alone = self.alone._asdict()
            arrays |= {f"estimate.alone.{name}": a for name, a in alone.items() if a is not None}
            words["apart"] = self.apart
        arrays |= {} if self.kept is None else self.kept.to_arrays()
        arrays |= self.statistic.to_arrays("estimate.statistic")
        return arrays | self.encoder.to_arrays("estimate.encoder"), words

    @staticmethod
    def from_files(
        arrays: dict[str, np.ndarray], words: dict[str, Any], statistic: Statistic | Only | None = None
    ) -> "Estimate":
        """Read what `to_files` gave; a statistic of the user's own is in no file."""
        custom = restored_statistic(words.get("custom"), statistic)
        words = {name: word for name, word in words.items() if name != "custom"}
        known: dict[str, Any] = {name: arrays.get(f"estimate.{name}") for name in ARRAYS}
        if (rows := arrays.get("estimate.neighbours")) is not None:
            known["neighbours"] = Neighbours(*rows)
        if "estimate.alone.loc" in arrays:
            known["alone"] = Alone(
                **{n: arrays[f"estimate.alone.{n}"] for n in Alone._fields if f"estimate.alone.{n}" in arrays}
            )
        reference = arrays["estimate.reference.loc"], arrays["estimate.reference.factor"]
        learned = {
            name: LearnedStatistic.from_arrays(f"estimate.{name}", arrays, custom) for name in ("statistic", "encoder")
        }
        known["kept"] = Kept.from_arrays(arrays)
        return Estimate(**known, **learned, reference=reference, **words)  # pyright: ignore[reportArgumentType]


ARRAYS = ("loc", "population_covariance", "covariance", "values", "vectors", "identified", "encoded", "between")
