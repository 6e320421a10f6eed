"""Which parts of x decide each parameter: what the estimate would be without a part, and by it alone.

A part is a column of x, a window of a series, a patch of an image. For a set S of parts a statistic that sees these
alone is learned, and the equation of avo/refine/equation.py solved by it at the estimate,

    t_S = B^T C^-1 f_S(x),    u_S = A_S^+ (tbar_S - m_S),    Cov_S = A_S^+ V_S A_S^+T,    A_S = dm_S / du,

with f_S features of the parts, C their covariance and B the slope of their mean at the estimate, of which no weights
say more, and V_S the covariance of tbar_S. With S all parts, all but one, and one alone this gives

    without   sqrt(Cov_S / Cov) of each parameter, infinite where the other parts do not identify it;
    change    u_S - u, whose variance is that of the paired terms A_S^+ t_S(x_i) - A^+ t(x_i) of the same observations,
              and of the same simulations; where t is efficient, Cov_S - Cov, as in Hausman's test;
    alone     sqrt(Cov_S / Cov) again.

A change that stands out says that this part and the others ask for different parameters: the simulator has one of them
wrong. All rests on the rows that a finished run keeps (avo/refine/kept.py): m_S and A_S by one local regression
(avo/refine/local.py) of all t_S, each half of the rows judged by what was learned from the other (avo/refine/reuse.py).
No feature but products of two parts sees more than one of them, so that leaving a part out leaves out its features, and
all sets share C and B. V_S is that of simulations at the estimate. The fewer of the rows lie around the estimate, the
less is known of slopes: of 2000 rows and three parameters errors to some 15 %, their ratios to some 10 %.

Source: Hausman, Econometrica 46 (1978), 1251, for the difference of an efficient and a less efficient estimate.
"""

from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy import linalg, stats

from avo import exports
from avo.refine.equation import Information, Noise, information
from avo.refine.estimate import UNDETERMINED
from avo.refine.kept import Kept, view_of
from avo.refine.linear import LinearSpace
from avo.refine.local import EACH, WIDER, Local, coefficients, fit_local
from avo.refine.parts import features_of, parts_of
from avo.refine.point import told
from avo.refine.scores import Normal
from avo.tables import aligned, written

if TYPE_CHECKING:
    from avo.result import Result

PENALTIES = [(a, b) for a in (1e-3, 1e-2, 1e-1) for b in (1e-2, 1e-1, 1.0, 10.0)]  # of values, and of the rest
SINGLE = 0.01  # level of the test that a direction moves t: to call one lost that is not says more than the reverse
LENT = 0.15  # of a parameter in directions that are not identified, beyond which it is no matter of noise
STANDS_APART = 0.01  # level of the test that a window is too wide
SHOWN = 8  # parts that are printed of each parameter
STANDS_OUT = 3.0  # standard errors from which a change is marked
BLURRED = 1.5  # errors in units of the fit's, from which the print says that what is kept of x tells less


class Sensitivity(NamedTuple):
    """Which parts of x decide each parameter, with shape (p, d); print it.

    Args:
        names: of the parameters.
        units: theirs.
        parts: names of the parts of x.
        stderr: standard error of each parameter by all parts, as the data alone and these rows have it.
        blur: that error in units of the fit's own, above 1 where what is kept of x, or the features here, tell less.
        without: error when a part is left out, in units of `stderr`; infinite where the others do not identify it.
        change: of the estimate when a part is left out, in the parameter's unit; NaN where it is not identified.
        change_stderr: its own standard error.
        alone: error by a part alone, in units of `stderr`.

    No part makes an error smaller by its absence: what is below 1 is chance, and shows how much of it there is.
    """

    names: tuple[str, ...]
    units: tuple[str, ...]
    parts: tuple[str, ...]
    stderr: Float[np.ndarray, " d"]
    blur: Float[np.ndarray, " d"]
    without: Float[np.ndarray, "p d"]
    change: Float[np.ndarray, "p d"]
    change_stderr: Float[np.ndarray, "p d"]
    alone: Float[np.ndarray, "p d"]

    @property
    def z(self) -> Float[np.ndarray, "p d"]:
        """Changes in units of their errors."""
        return self.change / np.where(self.change_stderr > 0, self.change_stderr, np.nan)

    def order(self, i: int) -> Int[np.ndarray, " p"]:
        """Sort the parts by how much they decide a parameter, the first most."""
        return np.lexsort((np.nan_to_num(self.alone[:, i], nan=np.inf), -np.nan_to_num(self.without[:, i])))

    def __str__(self) -> str:
        rows = [["parameter", "part", "error without", "change without", "+-", "unit", "error by it alone"]]
        for i, (name, unit) in enumerate(zip(self.names, self.units, strict=True)):
            order = self.order(i)
            for k, p in enumerate(order[:SHOWN]):
                change = "", ""
                if np.isfinite(self.change[p, i]):
                    value, error = written(self.change[p, i], self.change_stderr[p, i])
                    change = value + " *" * bool(abs(self.z[p, i]) > STANDS_OUT), error
                ratios = [_times(a[p, i]) for a in (self.without, self.alone)]
                rows.append([name if k == 0 else "", self.parts[p], ratios[0], *change, unit, ratios[1]])
            if len(order) > SHOWN:
                rows.append(["", f"{len(order) - SHOWN} parts more", "", "", "", "", ""])
        notes = ["Errors are in units of that by all parts; inf where the data would not identify the parameter."]
        if unseen := [name for name, error in zip(self.names, self.stderr, strict=True) if np.isinf(error)]:
            notes.append(
                f"The simulations that the fit kept do not tell {', '.join(unseen)} even by all parts; more calls may."
            )
        if np.any(np.abs(np.nan_to_num(self.z)) > STANDS_OUT):
            notes.append(
                f"* beyond {STANDS_OUT:g} standard errors: this part and the others disagree on the parameter."
            )
        if np.nanmax(np.nan_to_num(self.blur, posinf=np.nan), initial=0) > BLURRED:
            worst = int(np.nanargmax(np.nan_to_num(self.blur, posinf=0)))
            notes.append(
                f"What is kept of x tells less than all of it: the error of {self.names[worst]} by all parts here is "
                f"{self.blur[worst]:.2g} times the fit's own."
            )
        return "\n".join([*aligned(rows), *notes])

    def to_frame(self) -> Any:
        """Make a DataFrame: a row for each parameter and part, with without, change, change_stderr and alone.

        Raises:
            ImportError: if pandas is not installed.
        """
        pandas = exports.need_pandas("to_frame")
        index = pandas.MultiIndex.from_product([self.names, self.parts], names=["parameter", "part"])
        tables = {name: getattr(self, name) for name in ("without", "change", "change_stderr", "alone")}
        return pandas.DataFrame({name: a.T.ravel() for name, a in tables.items()}, index)


def _times(ratio: float) -> str:
    return "" if np.isnan(ratio) else "inf" if np.isinf(ratio) else f"x {ratio:.3g}"


class Half(NamedTuple):
    """What one half of the rows says of the features at the estimate: their covariance there, and their slope."""

    covariance: Float[np.ndarray, "q q"]
    slope: Float[np.ndarray, "q d"]

    @staticmethod
    def of(zeta: Float[np.ndarray, "n d"], f: Float[np.ndarray, "n q"]) -> "Half":
        """Regress features on zeta, where these are within a ball that holds all."""
        local = fit_local(zeta / _ball(zeta), f, powers=False)
        return Half(local.residuals.T @ local.residuals / len(f), local.slope / _ball(zeta))

    def solve(self, some: np.ndarray, penalty: Float[np.ndarray, " q"]) -> Float[np.ndarray, "q d"]:
        """Compute C^-1 B of some features, the others have weight zero."""
        found = np.zeros(self.slope.shape)
        if some.any():
            square = self.covariance[np.ix_(some, some)] + np.diag(penalty[some])
            found[some] = linalg.solve(square, self.slope[some], assume_a="pos")
        return found

    def information(self, weights: Float[np.ndarray, "q d"]) -> Float[np.ndarray, " d"]:
        """Compute what t of weights from elsewhere says of its own direction: slope^2 / variance."""
        own, variance = np.sum(weights * self.slope, 0), np.sum(weights * (self.covariance @ weights), 0)
        return np.maximum(own, 0) ** 2 / np.maximum(variance, 1e-300)


class Learned(NamedTuple):
    """Two halves, and the penalties of each output that serve them best."""

    halves: tuple[Half, Half]
    penalties: Float[np.ndarray, "d q"]

    @staticmethod
    def of(one: Half, other: Half, values: Bool[np.ndarray, " q"]) -> "Learned":
        """Choose penalties by what weights from each half say in the other."""
        every, tried = np.ones(len(values), bool), [np.where(values, a, b) for a, b in PENALTIES]
        found = [
            other.information(one.solve(every, penalty)) + one.information(other.solve(every, penalty))
            for penalty in tried
        ]
        return Learned((one, other), np.array(tried)[np.argmax(found, axis=0)])

    def weights(self, some: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Learn t from each half by some features."""
        found = [np.zeros(half.slope.shape) for half in self.halves]
        for penalty in np.unique(self.penalties, axis=0):
            outputs = np.all(self.penalties == penalty, axis=1)
            for own, half in zip(found, self.halves, strict=True):
                own[:, outputs] = half.solve(some, penalty)[:, outputs]
        return found[0], found[1]


def _ball(zeta: Float[np.ndarray, "n d"]) -> float:
    """Find a radius that holds all rows."""
    return float(np.linalg.norm(zeta, axis=1).max()) * (1 + 1e-9) + 1e-12


class Solved(NamedTuple):
    """The equation by some parts: the error of theta, the step, and its terms over observations and simulations."""

    stderr: Float[np.ndarray, " d"]
    step: Float[np.ndarray, " d"]
    terms_obs: Float[np.ndarray, "m d"]
    terms_sim: Float[np.ndarray, "n d"]


def sensitivity_of(result: "Result") -> Sensitivity:
    """Tell which parts of x decide each parameter of a finished fit.

    Raises:
        ValueError: if the fit is of a population, keeps no simulations, or had conditions, weights or missing values.
    """
    kept = _kept(result)
    parts, own = parts_of(result)
    view, line = view_of(result.x_shape), LinearSpace(result.space)
    seen = features_of(kept, own, view.shape, view.kind)
    assert result.estimate is not None
    place = line.of(np.asarray(kept.u[0], float))  # where the last simulations were made, which led to the estimate
    w = line.near(line.of(np.asarray(kept.u, float)), place)
    q = Normal(place, _width(w[kept.there :]))
    zeta = q.units(w)
    order = np.random.default_rng(0).permutation(len(zeta))
    rows = order[: len(order) // 2], order[len(order) // 2 :]
    try:
        one, other = (Half.of(zeta[some], seen.f[some]) for some in rows)
        learned = Learned.of(one, other, seen.values)
    except np.linalg.LinAlgError as error:
        raise _few(len(zeta)) from error
    sets = [np.ones(len(parts), bool), *~np.eye(len(parts), dtype=bool), *np.eye(len(parts), dtype=bool)]
    t, t_obs = [], []
    for some in sets:
        weights = learned.weights(~np.any(seen.sees[~some], axis=0))
        own_t = np.empty(zeta.shape)
        middle = seen.f_obs.mean(0)
        for half, judge in zip(rows, weights[::-1], strict=True):
            own_t[half] = (seen.f[half] - middle) @ judge
        t.append(own_t)
        t_obs.append((seen.f_obs - middle) @ (weights[0] + weights[1]) / 2)
    equation = _Regressed.of(zeta, np.stack(t, 1), q, kept, max(kept.rows, round(result.estimate.freedom) + 1))
    every, *others = [equation.solved(result, i, t_obs[i]) for i in range(len(sets))]
    without, alone = others[: len(parts)], others[len(parts) :]
    slope, wide = result.estimate.slope(result.space), _wider(result, kept)
    changes = [_change(every, each) for each in without]
    identified = np.isfinite([each.stderr for each in without]) & np.isfinite(every.stderr)
    given = result.by_data.stderr if result.by_data is not None else result.stderr
    with np.errstate(invalid="ignore"):
        return Sensitivity(
            names=result.names,
            units=result.space.units,
            parts=parts,
            stderr=every.stderr,
            blur=every.stderr * wide * result.estimate.simulation_noise / np.asarray(given),
            without=_ratios(without, every),
            change=np.where(identified, [slope * step for step, _ in changes], np.nan),
            change_stderr=np.where(identified, [wide * np.abs(slope) * sd for _, sd in changes], np.nan),
            alone=_ratios(alone, every),
        )


def _kept(result: "Result") -> Kept:
    """Take what the result keeps, or say why there is nothing to learn from."""
    estimate = result.estimate
    if estimate is None:
        raise ValueError(f"sensitivity needs a fit with refine=True that found a solution; {result.message}")
    if estimate.population_covariance is not None:
        raise ValueError(
            'sensitivity needs a fit with target="point"; of a population, each part of x tells of location and spread '
            "at once. Fit x_obs without a part, and compare the errors."
        )
    given = {
        "inputs=": result.gaps is None and result.frame is not None and result.frame.c_shift is not None,
        "missing values": result.gaps is not None,
        "weights=": result.weighted is not None,
    }
    if named := [name for name, there in given.items() if there]:
        raise ValueError(
            f"sensitivity does not know {' and '.join(named)}: the rows that a fit keeps come without. Fit x_obs "
            "without a part, and compare the errors."
        )
    if estimate.kept is None:
        raise ValueError(
            "sensitivity needs the simulations that a fit keeps near its answer, and this one kept none: a fit of "
            "stored pairs has none, and one of very few calls may not. Fit with a simulator and a larger budget."
        )
    return estimate.kept


def _straight(zeta: Float[np.ndarray, "n d"], t: Float[np.ndarray, "n k"]) -> float:
    """Find the radius of the widest window in which terms of third order do not change the slope beyond chance.

    Where rows are too few for these terms it holds all of them.
    """
    far, radius = np.linalg.norm(zeta, axis=1), _ball(zeta)
    apart, least = np.sort(far[far > 0]), EACH * coefficients(zeta.shape[1])
    while np.searchsorted(apart, radius) >= least:
        some = far < radius
        try:
            narrow, wide = (fit_local(zeta[some] / radius, t[some], powers=powers) for powers in (False, True))
        except np.linalg.LinAlgError:
            return radius
        weights = wide.slope_weights - narrow.slope_weights
        errors = (wide.residuals[:, :, None] * weights[:, None, :]).reshape(len(weights), -1)
        way = (wide.slope - narrow.slope).ravel()
        size = way @ np.linalg.pinv(errors.T @ errors, rcond=1e-10, hermitian=True) @ way
        if size < stats.chi2.isf(STANDS_APART, len(way)):
            return radius
        radius /= WIDER**2
    return min(_ball(zeta), radius * WIDER**2)


def _width(w: Float[np.ndarray, "n d"]) -> Float[np.ndarray, "d d"]:
    """Find a factor of the covariance of the rows around the estimate."""
    around = w - w.mean(0)
    try:
        return np.linalg.cholesky(around.T @ around / len(around))
    except np.linalg.LinAlgError as error:
        raise _few(len(w)) from error


def _few(rows: int) -> ValueError:
    return ValueError(
        f"sensitivity needs more simulations near the answer than the {rows:,} that this fit kept; give the fit a "
        "larger budget."
    )


class _Regressed(NamedTuple):
    """m of all sets of parts at the estimate, with shape (sets, d), by one local regression.

    Args:
        local: the regression, whose columns are t of the sets, behind one another.
        units: leads from steps of w to those of the regression.
        V: covariance of one t, of each set, with shape (sets, d, d).
        m: number of observations.
    """

    local: Local
    units: Float[np.ndarray, "d d"]
    V: Float[np.ndarray, "sets d d"]
    m: int

    @staticmethod
    def of(
        zeta: Float[np.ndarray, "n d"], t: Float[np.ndarray, "n sets d"], q: Normal, kept: Kept, m: int
    ) -> "_Regressed":
        """Regress in the widest window in which the slope of m of all parts is that of a quadratic."""
        n, sets, d = t.shape
        radius = _straight(zeta, t[:, 0])
        some = np.linalg.norm(zeta, axis=1) < radius
        local = fit_local(zeta[some] / radius, t[some].reshape(some.sum(), -1), powers=False)
        there = t[: kept.there] - t[: kept.there].mean(0)
        V = np.einsum("nsi,nsj->sij", there, there) / max(len(there) - 1, 1)
        return _Regressed(local, np.linalg.inv(radius * q.factor), V, m)

    def solved(self, result: "Result", i: int, t_obs: Float[np.ndarray, "m d"]) -> Solved:
        """Solve the equation by the set i of parts."""
        estimate, line = result.estimate, LinearSpace(result.space)
        assert estimate is not None
        d = t_obs.shape[1]
        some, place = slice(i * d, (i + 1) * d), line.of(np.asarray(estimate.loc, float))
        if not np.any(self.V[i]):  # nothing is seen of x
            return Solved(
                np.full(d, np.inf), np.zeros(d), np.zeros(t_obs.shape), np.zeros((len(self.local.residuals), d))
            )
        slope, V = self.local.slope[some] @ self.units, self.V[i] / self.m
        noise = Noise(self.local.residuals[:, some], self.local.slope_weights @ self.units)
        found = information(slope, V, noise, UNDETERMINED, SINGLE)
        known = found.vectors[:, found.identified]  # A^+ V A^+T less what the slope's noise adds to the information
        covariance = known / found.values[found.identified] @ known.T
        vectors = np.where(found.identified, found.vectors, _cleared(slope, V, noise, found))
        seen = found._replace(vectors=vectors)
        own = replace(estimate, **told(line, place, covariance, seen), alone=None, between=None)
        own = replace(own, loc=estimate.loc)
        stderr = own.stderr(result.space)
        step = -found.inverse @ self.local.value[some]
        # Errors of m, and of the slope along the step: -A^+ (dm + dA step)
        weights = self.local.value_weights + self.local.slope_weights @ self.units @ step
        terms = -weights[:, None] * self.local.residuals[:, some] @ found.inverse.T
        return Solved(stderr, step, t_obs @ found.inverse.T / len(t_obs), terms)


def _cleared(
    A: Float[np.ndarray, "k d"], V: Float[np.ndarray, "k k"], noise: Noise, found: Information
) -> Float[np.ndarray, "d d"]:
    """Leave out of the directions that are not identified the parameters that only the slope's noise turns them into.

    Noise dA turns a direction v that is free by e = -(A_i^T W dA v) / (A_i^T W A_i) into parameter i, and dA is a sum
    over rows of independent terms e_n w_n^T.
    """
    W, free = np.linalg.pinv(V, rcond=1e-10, hermitian=True), found.vectors[:, ~found.identified]
    own = np.maximum(np.einsum("ki,kl,li->i", A, W, A), 1e-300)
    turned = (noise.residuals @ W @ A / own) ** 2
    chance, lent = turned.T @ np.sum((noise.weights @ free) ** 2, axis=1), np.sum(free**2, axis=1)
    apart = (lent < LENT) & (lent < STANDS_OUT**2 * chance)
    return np.where(apart[:, None], 0.0, found.vectors)


def _change(every: Solved, left: Solved) -> tuple[Float[np.ndarray, " d"], Float[np.ndarray, " d"]]:
    """Compute the difference of two estimates from the same rows, and its standard error, in w."""
    terms = [left.terms_obs - every.terms_obs, left.terms_sim - every.terms_sim]
    return left.step - every.step, np.sqrt(sum(np.sum(a**2, axis=0) for a in terms))


def _ratios(found: list[Solved], every: Solved) -> Float[np.ndarray, "p d"]:
    """Divide errors by those by all parts; NaN where these are infinite."""
    errors = np.array([each.stderr for each in found])
    return np.where(np.isfinite(every.stderr), errors / every.stderr, np.nan)


def _wider(result: "Result", kept: Kept) -> float:
    """Say by what factor errors of means are wider than those of independent rows, where the fit had clusters."""
    assert result.estimate is not None
    if result.estimate.freedom + 1 >= kept.rows:
        return 1.0
    independent = np.asarray(kept.t[: kept.there], float).std(0) / np.sqrt(kept.rows)
    return max(1.0, float(np.max(kept.scores[1] / np.maximum(independent, 1e-300))))
