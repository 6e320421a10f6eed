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
wrong. All rests on the rows that a finished run keeps (avo/refine/kept.py): m_S and A_S by one local regression of all
t_S (avo/refine/subsets.py), each half of the rows judged by what was learned from the other (avo/refine/halves.py). No
feature but products of two parts sees more than one of them, so that leaving a part out leaves out its features, and
all sets share C and B. V_S is that of simulations at the estimate. The fewer of the rows lie around the estimate, the
less is known of slopes: of 2000 rows and three parameters errors to some 15 %, their ratios to some 10 %.

An error without a part, or by it alone, is given where each direction on which the parameter depends is seen to move
t_S (tested one after another, at 1 in 1000, against the largest that noise shows), or noise can hide no dependence
on the others. Else it is open, and what it is at least is told: by the directions that are seen, and by the upper
limits at 95 % of what the others may say (avo/refine/subsets.py).

    conditions    c_i of a row, and the mask of what is missing of it, are given in every set: f_S holds x_S and x_S c,
                  each less what a regression on c explains, f - E[f | c], in simulations as in observations, so that
                  C, B and V_S are those given c (avo/refine/parts.py);
    weights       tbar_S = sum_i p_i t_S(x_i), the terms are p_i t_S(x_i), and V_S in Cov_S is the sandwich of these
                  (avo/weights.py), since weights may go with x;
    populations   each row has its own u: errors are what the parts leave of that, changes those of the population
                  (avo/refine/members.py).

Source: Hausman, Econometrica 46 (1978), 1251, for the difference of an efficient and a less efficient estimate.
"""

from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from jaxtyping import Float, Int

from avo import exports
from avo.refine.halves import Half, Learned, halved, judged
from avo.refine.kept import Kept, view_of
from avo.refine.linear import LinearSpace
from avo.refine.members import members_of
from avo.refine.parts import Seen, features_of, parts_of
from avo.refine.scores import Normal
from avo.refine.subsets import STANDS_OUT, Regressed, Solved
from avo.tables import aligned, written
from avo.weights import mean_of

if TYPE_CHECKING:
    from avo.result import Result

SHOWN = 8  # parts that are printed of each parameter
AGAINST = 2.0  # by which errors without a part may be above those by another part alone, by chance
BLURRED = 1.5  # errors in units of the fit's, from which the print says that what is kept of x tells less
Sets = list[np.ndarray]  # of parts: which are in each


class Sensitivity(NamedTuple):
    """Which parts of x decide each parameter, with shape (p, d); print it.

    Of a population, whose rows have a theta each, it is told of one row: "error" then means the standard deviation that
    the parts of its x leave of its theta. Changes are those of the fitted population's median.

    Args:
        names: of the parameters.
        units: theirs.
        parts: names of the parts of x.
        stderr: standard error of each parameter by all parts, as the data alone and these rows have it.
        blur: that error in units of the fit's own, of a population of what the fit's own scores of x leave; above 1
            where what is kept of x, or the features here, tell less.
        without: error when a part is left out, in units of `stderr`; infinite where the others do not identify it.
        change: of the estimate when a part is left out, in the parameter's unit; NaN where it is not identified.
        change_stderr: its own standard error.
        alone: error by a part alone, in units of `stderr`.
        spread: of a population the standard deviation of theta over it, which no part at all would leave, in units of
            `stderr`; else None.
        without_least: `without`, and where that is infinite what it is at least: the data may identify the parameter
            there, but the simulations that the fit kept do not tell. Infinite where they tell that the data do not.
        alone_least: the same of `alone`.

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
    spread: Float[np.ndarray, " d"] | None = None
    without_least: Float[np.ndarray, "p d"] | None = None
    alone_least: Float[np.ndarray, "p d"] | None = None

    @property
    def least(self) -> tuple[Float[np.ndarray, "p d"], Float[np.ndarray, "p d"]]:
        """What errors without a part, and by it alone, are at least, in units of `stderr`: as they are, where known."""
        without, alone = self.without_least, self.alone_least
        return self.without if without is None else without, self.alone if alone is None else alone

    @property
    def z(self) -> Float[np.ndarray, "p d"]:
        """Changes in units of their errors."""
        return self.change / np.where(self.change_stderr > 0, self.change_stderr, np.nan)

    def order(self, i: int) -> Int[np.ndarray, " p"]:
        """Sort the parts by how much they decide a parameter, the first most."""
        without, alone = self.least
        return np.lexsort((np.nan_to_num(alone[:, i], nan=np.inf), -np.nan_to_num(without[:, i])))

    def __str__(self) -> str:
        rows = [["parameter", "part", "error without", "change without", "+-", "unit", "error by it alone"]]
        for i, (name, unit) in enumerate(zip(self.names, self.units, strict=True)):
            if np.isinf(self.stderr[i]):
                continue
            order = self.order(i)
            for k, p in enumerate(order[:SHOWN]):
                change = "", ""
                if np.isfinite(self.change[p, i]):
                    value, error = written(self.change[p, i], self.change_stderr[p, i])
                    change = value + " *" * bool(abs(self.z[p, i]) > STANDS_OUT), error
                pairs = zip((self.without, self.alone), self.least, strict=True)
                ratios = [_at_least(a[p, i], least[p, i]) for a, least in pairs]
                rows.append([name if k == 0 else "", self.parts[p], ratios[0], *change, unit, ratios[1]])
            if len(order) > SHOWN:
                rows.append(["", f"and {len(order) - SHOWN} more", "", "", "", "", ""])
        return "\n".join([*(aligned(rows) if rows[1:] else []), *self._notes()])

    def _notes(self) -> list[str]:
        """Say what the numbers are, and where they are not to be trusted."""
        notes = ["Errors are in units of that by all parts; inf where the data would not identify the parameter."]
        known = [
            np.isinf(a) & np.isfinite(least) for a, least in zip((self.without, self.alone), self.least, strict=True)
        ]
        if np.any(known):
            notes.append('">" is all that the simulations that the fit kept tell of an error: it is larger.')
        if self.spread is not None:
            pairs = zip(self.names, self.spread, strict=True)
            wide = ", ".join(f"{name} {_times(ratio)}" for name, ratio in pairs if np.isfinite(ratio))
            notes = [
                "Errors are what the parts of one row leave of its own parameters, in units of what all leave; no "
                f"part at all leaves the spread of the population: {wide or 'it has none'}. Changes are those of the "
                "population's median.",
            ]
        if open_ := [self.names[i] for i in np.flatnonzero(np.isinf(self.stderr) & ~np.isinf(self.blur))]:
            notes.append(
                f"The data do not identify {', '.join(open_)} by themselves, whichever parts are there; fix what "
                "result.combinations() names, and fit again, to see what tells the rest."
            )
        if unseen := [self.names[i] for i in np.flatnonzero(np.isinf(self.stderr) & np.isinf(self.blur))]:
            notes.append(
                f"The simulations that the fit kept do not tell {', '.join(unseen)} even by all parts; more calls may."
            )
        if np.any(np.abs(np.nan_to_num(self.z)) > STANDS_OUT):
            notes.append(
                f"* beyond {STANDS_OUT:g} standard errors: this part and the others disagree on the parameter."
            )
        if len(self.parts) > 1 and np.any(self.without > AGAINST * self._least_alone()):
            notes.append(
                "Without some part errors are larger than by another part alone, which cannot be: the simulations that "
                "the fit kept are too few for this table. Give the fit a larger budget."
            )
        if np.nanmax(np.nan_to_num(self.blur, posinf=np.nan), initial=0) > BLURRED:
            worst = int(np.nanargmax(np.nan_to_num(self.blur, posinf=0)))
            notes.append(
                f"What is kept of x tells less than all of it: the error of {self.names[worst]} by all parts here is "
                f"{self.blur[worst]:.2g} times the fit's own."
            )
        return notes

    def _least_alone(self) -> Float[np.ndarray, "p d"]:
        """Find the least error by a single part other than each."""
        return np.stack([np.delete(self.alone, p, axis=0).min(axis=0) for p in range(len(self.parts))])

    def to_frame(self) -> Any:
        """Make a DataFrame: a row for each parameter and part, with without, change, change_stderr and alone.

        Then without_least and alone_least, what these errors are at least where the simulations do not tell.

        Raises:
            ImportError: if pandas is not installed.
        """
        pandas = exports.need_pandas("to_frame")
        index = pandas.MultiIndex.from_product([self.names, self.parts], names=["parameter", "part"])
        tables = {name: getattr(self, name) for name in ("without", "change", "change_stderr", "alone")}
        tables |= dict(zip(("without_least", "alone_least"), self.least, strict=True))
        return pandas.DataFrame({name: a.T.ravel() for name, a in tables.items()}, index)


def _at_least(ratio: float, least: float) -> str:
    """Write an error; where it is infinite, for want of simulations, what it is at least."""
    return f"> {_times(least)}" if np.isinf(ratio) and np.isfinite(least) else _times(ratio)


def _times(ratio: float) -> str:
    return "" if np.isnan(ratio) else "inf" if np.isinf(ratio) else f"x {ratio:.3g}"


def sensitivity_of(result: "Result") -> Sensitivity:
    """Tell which parts of x decide each parameter of a finished fit, or of a row of a population.

    Raises:
        ValueError: if the fit keeps no simulations, too few of them, or an earlier version kept them without their
            known conditions or the observations' weights.
    """
    kept = _kept(result)
    parts, own = parts_of(result)
    view = view_of(result.x_shape)
    seen = features_of(kept, own, view.shape, view.kind)
    sets = [np.ones(len(parts), bool), *~np.eye(len(parts), dtype=bool), *np.eye(len(parts), dtype=bool)]
    try:
        if result.population is not None:
            return _of_members(result, kept, parts, seen, sets)
        return _of_point(result, kept, parts, seen, sets)
    except np.linalg.LinAlgError as error:
        raise ValueError(
            f"sensitivity needs more simulations near the answer than the {len(kept.u):,} that this fit kept; give the "
            "fit a larger budget."
        ) from error


def _of_members(result: "Result", kept: Kept, parts: tuple[str, ...], seen: Seen, sets: Sets) -> Sensitivity:
    """Tell it of a row of a population."""
    assert result.estimate is not None
    loc = np.asarray(result.estimate.loc, float)
    found = members_of(result.estimate, kept, result.space.near(np.asarray(kept.u, float), loc), seen, sets)
    every, slope, p = found.left[0], result.estimate.slope(result.space), len(parts)
    change, change_stderr = _changes(result, kept, found.solved[0], found.solved[1 : 1 + p])
    with np.errstate(invalid="ignore", divide="ignore"):
        ratios = found.left[1:] / every
        return Sensitivity(
            names=result.names,
            units=result.space.units,
            parts=parts,
            stderr=np.abs(slope) * every,
            blur=every / found.left_by_scores,
            without=ratios[:p],
            change=change,
            change_stderr=change_stderr,
            alone=ratios[p:],
            spread=found.spread / every,
        )


def _of_point(result: "Result", kept: Kept, parts: tuple[str, ...], seen: Seen, sets: Sets) -> Sensitivity:
    """Tell it of theta that all observations share."""
    assert result.estimate is not None
    line = LinearSpace(result.space)
    place = line.of(np.asarray(kept.u[0], float))  # where the last simulations were made, which led to the estimate
    w = line.near(line.of(np.asarray(kept.u, float)), place)
    q = Normal(place, _width(w[kept.there :]))
    zeta, rows = q.units(w), halved(len(w))
    tilts = seen.tilts(zeta)
    one, other = (Half.of(zeta[some], seen.f[some], None if tilts is None else tilts[some]) for some in rows)
    learned = Learned.of(one, other, seen.values)
    middle = mean_of(seen.f_obs, kept.shares)
    f, f_obs, t, t_obs = seen.f - middle, seen.f_obs - middle, [], []
    for some in sets:
        weights = learned.weights(~np.any(seen.sees[~some], axis=0))
        t.append(judged(f, rows, weights))
        t_obs.append(f_obs @ (weights[0] + weights[1]) / 2)
    equation = Regressed.of(zeta, np.stack(t, 1), tilts, q, kept, _observed(result, kept))
    every, *others = [equation.solved(result, i, t_obs[i]) for i in range(len(sets))]
    without, alone = others[: len(parts)], others[len(parts) :]
    change, change_stderr = _changes(result, kept, every, without)
    given = replace(result.estimate.by_data, between=None).stderr(result.space)  # as here: counts are not made whole
    with np.errstate(invalid="ignore"):
        return Sensitivity(
            names=result.names,
            units=result.space.units,
            parts=parts,
            stderr=every.stderr,
            blur=every.stderr * _wider(result, kept) * result.estimate.simulation_noise / np.asarray(given),
            without=_ratios(without, every),
            change=change,
            change_stderr=change_stderr,
            alone=_ratios(alone, every),
            without_least=_least(without, every),
            alone_least=_least(alone, every),
        )


def _kept(result: "Result") -> Kept:
    """Take what the result keeps, or say why there is nothing to learn from."""
    estimate = result.estimate
    if estimate is None:
        raise ValueError(f"sensitivity needs a fit with refine=True that found a solution; {result.message}")
    kept = estimate.kept
    if kept is None:
        raise ValueError(
            "sensitivity needs the simulations that a fit keeps near its answer, and this one kept none: a fit of "
            "stored pairs has none, and one of very few calls may not. Fit with a simulator and a larger budget."
        )
    lacking = {
        "known conditions (inputs=) of its simulations": _conditioned(result) and kept.inputs is None,
        "weights of the observations that are kept": (
            result.weighted is not None and result.population is None and kept.shares is None
        ),
    }
    if named := [name for name, lacks in lacking.items() if lacks]:
        raise ValueError(
            f"sensitivity needs the {' and the '.join(named)}, which versions of avo before this one did not keep: fit "
            "anew, with the same seed and budget."
        )
    return kept


def _conditioned(result: "Result") -> bool:
    """Say whether the simulator gets known conditions; a mask of missing values is none."""
    if result.gaps is not None:
        return result.gaps.own > 0
    return result.frame is not None and result.frame.c_shift is not None


def _width(w: Float[np.ndarray, "n d"]) -> Float[np.ndarray, "d d"]:
    """Find a factor of the covariance of the rows around the estimate."""
    around = w - w.mean(0)
    return np.linalg.cholesky(around.T @ around / len(around))


def _changes(
    result: "Result", kept: Kept, every: Solved, without: list[Solved]
) -> tuple[Float[np.ndarray, "p d"], Float[np.ndarray, "p d"]]:
    """Compute the differences of estimates from the same rows, and their standard errors; NaN where not identified."""
    assert result.estimate is not None
    slope, wide = result.estimate.slope(result.space), _wider(result, kept)
    found = [_change(every, each) for each in without]
    identified = np.isfinite([each.stderr for each in without]) & np.isfinite(every.stderr)
    change = np.where(identified, [slope * step for step, _ in found], np.nan)
    return change, np.where(identified, [wide * np.abs(slope) * sd for _, sd in found], np.nan)


def _change(every: Solved, left: Solved) -> tuple[Float[np.ndarray, " d"], Float[np.ndarray, " d"]]:
    """Compute the difference of two estimates from the same rows, and its standard error, in w."""
    terms = [left.terms_obs - every.terms_obs, left.terms_sim - every.terms_sim]
    return left.step - every.step, np.sqrt(sum(np.sum(a**2, axis=0) for a in terms))


def _ratios(found: list[Solved], every: Solved) -> Float[np.ndarray, "p d"]:
    """Divide errors by those by all parts; NaN where these are infinite."""
    errors = np.array([each.stderr for each in found])
    return np.where(np.isfinite(every.stderr), errors / every.stderr, np.nan)


def _least(found: list[Solved], every: Solved) -> Float[np.ndarray, "p d"]:
    """Divide what errors are at least by those by all parts, which no part alone has less than."""
    least, errors = (np.array([getattr(each, word) for each in found]) for word in ("least", "stderr"))
    ratios = np.where(np.isfinite(every.stderr), least / every.stderr, np.nan)
    return np.where(np.isinf(errors), np.maximum(ratios, 1.0), ratios)


def _observed(result: "Result", kept: Kept) -> float:
    """Count the observations, of weighted ones equal ones that say as much."""
    assert result.estimate is not None
    if result.weighted is not None:
        return result.weighted[1]
    return max(kept.rows, round(result.estimate.freedom) + 1)


def _wider(result: "Result", kept: Kept) -> float:
    """Say by what factor errors of means are wider than those of independent rows, where the fit had clusters."""
    assert result.estimate is not None
    rows = kept.rows if result.weighted is None else result.weighted[1]
    if result.estimate.freedom + 1 >= rows * (1 - 1e-9):
        return 1.0
    independent = np.asarray(kept.t[: kept.there], float).std(0) / np.sqrt(rows)
    return max(1.0, float(np.max(kept.scores[1] / np.maximum(independent, 1e-300))))
