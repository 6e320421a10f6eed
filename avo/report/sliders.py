"""What the page's sliders need, as plain values: places and parameters, the emulator, the observations, and the misfit.

A slider has 100 steps to either side of the estimate, evenly on the scale on which x follows the parameter most nearly
in proportion (avo/refine/linear.py), as far as the kept simulations lie, or to a bound. The parameter's values at all
steps are written down, so that the page knows nothing of kinds of parameters.

How well a setting fits is said in standard errors, the root mean square of

    (what is observed - what the emulator says) / standard error

over means of x, its variances, and the mean learned scores, each of the three groups with a third of the weight. What
that is when the model is right is drawn from normal z with the correlations of the simulations' own. Of a population it
is asked of one row: the root mean square of (x - mean) / sd over its numbers.
"""

from typing import Any

import numpy as np
from jaxtyping import Float

from avo.containers import Axis, Quantity
from avo.observations import planes
from avo.parameters import Count, unwound
from avo.plots.samples import entry_labels
from avo.plots.style import with_unit
from avo.refine.encoding import inside
from avo.refine.identifiability import PURE
from avo.refine.kept import Kept, View, evenly, view_of
from avo.refine.linear import LinearSpace
from avo.report.emulator import fit_emulator, monomials
from avo.result import Result
from avo.tables import rounded

STEPS = 100  # of a slider, to either side of the estimate
REACH = 2.5  # standard deviations of the kept simulations that it spans
DRAWS = 2000  # of the misfit when the model is right
INSIDE = 0.99  # share of the kept simulations within the distance that counts as near
BARS = 24  # of a histogram
ROWS = 6  # single rows of a population's observations in the page
DIGITS = 6


class Sliders:
    """The sliders of a result that keeps simulations.

    Args:
        result: the fit.
        kept: what it keeps.
    """

    def __init__(self, result: Result, kept: Kept) -> None:
        self.result, self.kept, self.view = result, kept, view_of(result.x_shape)
        self.line = LinearSpace(result.space)
        self.centre = self.line.of(np.asarray(result.proposal.loc, float))
        w = self.line.of(np.asarray(kept.u, float))
        around = w[kept.there :] if len(w) - kept.there > 10 * result.space.dim else w
        covariance = np.atleast_2d(np.cov(around.T)) + 1e-12 * np.eye(result.space.dim)
        precision = np.linalg.inv(covariance)
        self.half = REACH / np.sqrt(np.diagonal(precision))
        self.z = (w - self.centre) / self.half
        self.precision = precision * np.outer(self.half, self.half)
        away = around / self.half - self.centre / self.half
        self.far = float(np.quantile(np.einsum("nd,de,ne->n", away, self.precision, away), INSIDE))
        own = np.nanstd(np.where(np.isnan(kept.x).all(0), 0.0, kept.x), 0)
        shift, scale = kept.moments[0], np.sqrt(np.maximum(kept.moments[2], 0))
        spread = np.where(scale > 0, scale, np.maximum(own, 1e-12)).astype(float)
        self.emulator = fit_emulator(self.z, kept.x, kept.t, (shift.astype(float), spread))

    @property
    def population(self) -> bool:
        """Whether each observation has a theta of its own."""
        return self.result.settings.get("target") == "population"

    @property
    def conditions(self) -> bool:
        """Whether each observation has known conditions, over which x is averaged."""
        estimate, gaps = self.result.estimate, self.result.gaps
        if gaps is not None:  # whose mask stands among the conditions, and is none that the simulator gets
            return gaps.own > 0
        return estimate is not None and estimate.encoder.features.c_shift is not None

    def values(self) -> dict[str, Any]:
        """Describe them by plain values, for the page's script."""
        emulator, kept = self.emulator, self.kept
        found = {
            "parameters": [self._parameter(i) for i in range(self.result.space.dim)],
            "precision": _short(self.precision),
            "far": max(self.far, float(REACH**2) * 1.02),
            "emulator": {
                "powers": emulator.powers.tolist(),
                "mean": _short(emulator.mean),
                "scale": _short(emulator.scale),
                "band": _short(emulator.band),
                "ends": _short(emulator.ends),
                "heldAt": emulator.held_at.tolist(),
                "variance": _short(emulator.variance),
                "roughness": _short(emulator.roughness),
                "error": _short(emulator.error),
            },
            "observed": {
                "quantiles": _short(kept.quantiles[[0, 4]]),
                "moments": _short(kept.moments),
                "scores": _short(kept.scores),
            },
            "chart": chart(self.result, self.view, kept),
            "rows": self._rows(),
        }
        return found | {"right": self._right()}

    def _parameter(self, i: int) -> dict[str, Any]:
        """Describe one slider: its steps, in z and in theta, the estimate in the middle."""
        name = self.result.names[i]
        low = max(-1.0, (self.line.low[i] - self.centre[i]) / self.half[i])
        high = min(1.0, (self.line.high[i] - self.centre[i]) / self.half[i])
        z = np.concatenate([np.linspace(min(low, 0.0), 0, STEPS + 1), np.linspace(0, max(high, 0.0), STEPS + 1)[1:]])
        places = np.tile(self.centre, (len(z), 1))
        places[:, i] += z * self.half[i]
        theta = np.asarray(self.line.constrain(places), float)[:, i]
        parameter, estimate = self.result.space[name], float(self.result.theta[i])
        wide = unwound(theta, estimate, self.result.space.periods[i])  # at an angle's seam theta jumps
        step = max(np.ptp(wide) / (2 * STEPS), 1e-300)
        words = [rounded(value, 30 * step) for value in theta]
        words[STEPS] = f"{estimate:.0f}" if isinstance(parameter, Count) else rounded(estimate, 3 * step)
        unit = parameter.unit
        return {"name": name, "unit": "" if unit == PURE else unit, "z": _short(z), "theta": words}

    def _rows(self) -> list[dict[str, Any]]:
        """Choose rows of a population's observations, from one end of what they encode to the other."""
        if not self.population or self.kept.encoded is None:
            return []
        kept = self.kept
        theta = np.asarray(kept.encoded, float)
        spread = (theta - theta.mean(0)) / np.maximum(theta.std(0), 1e-12)
        along = np.linalg.svd(spread, full_matrices=False)[2][0]
        order = np.argsort(spread @ along)
        chosen = order[evenly(len(order), ROWS + 2)[1:-1]] if len(order) > ROWS + 2 else order
        numbers = evenly(kept.rows, len(kept.observed))
        u = np.asarray(self.result.space.unconstrain(inside(self.result.space, theta[chosen])), float)  # pyright: ignore[reportArgumentType]
        z = np.clip((self.line.of(u) - self.centre) / self.half, -1, 1)
        return [
            {"row": self._label(int(numbers[i])), "x": _short(kept.observed[i]), "z": _short(at)}
            for i, at in zip(chosen, z, strict=True)
        ]

    def _label(self, i: int) -> str:
        return self.result.labels[i] if self.result.labels else f"row {i}"

    def _right(self) -> dict[str, float]:
        """Say between which misfits 90 % of right models lie, in the middle, and at the estimate."""
        kept, k = self.kept, self.kept.x.shape[1]
        emulator = self.emulator
        f = monomials(self.z, emulator.powers)
        e = (kept.x - f @ emulator.mean[:, :k]) / np.exp(f[:, : len(emulator.scale)] @ emulator.scale)
        e = e / np.sqrt(np.maximum(emulator.variance, 1e-300))
        if self.population:
            found = np.sqrt(np.nanmean(e**2, 1))
            return {"low": float(np.quantile(found, 0.05)), "high": float(np.quantile(found, 0.95))}
        own = np.nan_to_num(np.clip(e[: kept.there], -8, 8))  # what is missing is as far off as the mean
        features = np.concatenate([own, own**2, kept.t[: kept.there]], 1)
        features = (features - features.mean(0)) / np.maximum(features.std(0), 1e-12)
        values, vectors = np.linalg.eigh(features.T @ features / len(features))
        normal = np.random.default_rng(0).normal(size=(DRAWS, len(values)))
        z = normal * np.sqrt(np.maximum(values, 0)) @ vectors.T
        groups = [z[:, :k], z[:, k : 2 * k], z[:, 2 * k :]]
        found = np.sqrt(np.mean([np.mean(part**2, 1) for part in groups], 0))
        return {"low": float(np.quantile(found, 0.05)), "high": float(np.quantile(found, 0.95))}


def chart(result: Result, view: View, kept: Kept) -> dict[str, Any]:
    """Say how x is drawn: strips of a vector's numbers, lines of a series, or an image; with the names of its axes."""
    thin = view.axes(result.axes)
    if view.kind == "vector":
        histograms = [_histogram(column) for column in kept.observed.T]  # of few rows, some column may have no value
        return {"kind": "strips", "names": strips_of(view, result), "histograms": histograms}
    if view.kind == "image":
        rows, columns = planes(np.zeros((1, *result.x_shape))).shape[1:3]
        return {"kind": "image", "shape": list(view.shape), "pixels": [rows, columns]}
    t = thin[0].values if thin else np.array(view.places[0])
    name = with_unit(thin[0].name, thin[0].unit) if thin else "index"
    return {"kind": "series", "t": _short(t), "name": name, "channels": channels_of(view, thin, result.quantity)}


def strips_of(view: View, result: Result) -> list[str]:
    """Name the numbers of a vector, with what they measure where that is known."""
    if not result.quantity.name:
        return view.names(result.axes)
    if result.x_shape == ():
        return [with_unit(*result.quantity)]
    return entry_labels(view.shape[0], view.axes(result.axes), *result.quantity)


def channels_of(view: View, thin: tuple[Axis, ...], quantity: Quantity) -> list[str]:
    """Name the channels of a series, with what x measures where that is known."""
    if len(view.shape) == 1:
        return [with_unit(*quantity)] if quantity.name else [""]
    own = list(thin[1].entries) if len(thin) > 1 else []
    own = own or [f"channel {i}" for i in view.places[1]]
    return [with_unit(f"{quantity.name}, {name}", quantity.unit) for name in own] if quantity.name else own


def _histogram(column: Float[np.ndarray, " r"]) -> dict[str, Any]:
    """Count observed values in bars; whole numbers lie in the middle of theirs."""
    values = np.asarray(column, float)
    values = values[~np.isnan(values)]
    if not len(values):
        return {"low": None, "high": None, "counts": []}
    low, high = np.quantile(values, [0.005, 0.995])
    if np.all(values == np.round(values)) and high - low < BARS:
        edges = np.arange(low.round() - 0.5, high.round() + 1)
    else:
        edges = np.linspace(low, high, BARS + 1) if high > low else np.array([low - 0.5, low + 0.5])
    counts, _ = np.histogram(values, edges)
    return {"low": _short(edges[0]), "high": _short(edges[-1]), "counts": counts.tolist()}


def _short(values: Any) -> Any:
    """Make plain numbers of few digits; what is missing, NaN, is None."""
    array: Any = np.asarray(values, float)
    if array.ndim:
        return [_short(value) for value in array]
    return None if np.isnan(array) else float(f"{float(array):.{DIGITS}g}")
