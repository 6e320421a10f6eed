"""What a result keeps of simulations and observations, beside one another: by feature, and what was encoded of rows."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from avo.checks import whole
from avo.plots.given import fitted
from avo.plots.style import (
    FITTED,
    OBSERVED,
    SIMULATED,
    Canvas,
    canvas,
    decades,
    finished,
    grid,
    legend_above,
    with_unit,
)
from avo.refine.kept import Kept, view_of
from avo.result import Result

FARTHEST = 20.0  # |z| that is drawn
BAND = 1.96  # of a normal z, 95 %
LARGEST, DRAWS = 0.995, 10_000  # level below which the largest |z| stays, found from so many draws
BARS = 30
MEMBERS = 4000  # drawn from a fitted population


def kept_of(result: Result, what: str) -> Kept:
    """Take what a result keeps, or say why it cannot be drawn."""
    kept = fitted(result).kept
    if kept is None:
        raise ValueError(f"{what} needs a fit with refine=True that found a solution; {result.message}")
    return kept


def misfit(result: Result, features: int = 20, *, figure: Canvas | None = None, ax: Axes | None = None) -> Figure:
    """Draw by how much means and standard deviations of x differ between observations and simulations at the estimate.

        z = (observed - simulated) / sqrt(standard errors squared)

    where 95 % of z lie in the orange band if the simulator is right, and in 199 of 200 fits all of them, drawn or not,
    between the dotted lines. Features of x are correlated, and one cause moves many of them: the lines allow for how
    many there are, and for how they correlate over simulations at the estimate. The standard errors are those of as
    many rows as the observations have (independent ones, where the fit had clusters) and of the simulations that the
    result keeps, by the larger of the two samples' spreads: where x is rarely far from zero, a sample that happened to
    see less of that knows its error too well, and |z| > 3 came in up to 26 % of right models, rather than in .5 % at
    most.
    An arrow is a feature that differs by 20 standard errors or more.

    Args:
        result: the fit.
        features: drawn at most, those with the largest |z|.
        figure: a Figure or SubFigure to draw into; None: a new one.
        ax: axes to draw into.

    Raises:
        ValueError: if the fit keeps no simulations, or both `figure` and `ax` are given.
    """
    found, features = standing_out(result), whole("features", features)
    z = found.z
    order = np.argsort(-np.abs(z))[:features][::-1]
    own = figure if ax is not None else canvas((7, 1.4 + 0.26 * len(order)), figure)
    figure, (axes,) = grid(1, 0.0, own, ax)
    axes.axvspan(-BAND, BAND, color=SIMULATED, alpha=0.2, lw=0, label="95 %, if the simulator is right")
    axes.axvline(0, color=SIMULATED, lw=1)
    for side in (-1, 1):
        label = f"199 of 200 times all {len(z)}" if side > 0 else None
        axes.axvline(side * found.limit, color=SIMULATED, lw=1.5, ls=":", label=label)
    drawn = np.clip(z[order], -FARTHEST, FARTHEST)
    far, places = np.abs(z[order]) > FARTHEST, np.arange(len(order))
    axes.plot(drawn[~far], places[~far], "o", color=OBSERVED, ms=5)
    for side, marker in ((-1, "<"), (1, ">")):
        beyond = far & (drawn * side > 0)
        axes.plot(drawn[beyond], places[beyond], marker, color=OBSERVED, ms=6)
    axes.set_yticks(range(len(order)), [found.names[i] for i in order], fontsize="small")
    axes.set_xlim(*(np.array([-1, 1]) * max(3.5, 1.08 * found.limit, 1.08 * np.abs(drawn).max(initial=0))))
    axes.set_xlabel("(observed - simulated) / standard error")
    if far.any():
        axes.set_title(f"arrows: {FARTHEST:g} standard errors or more", fontsize="small", loc="left")
    if ax is None:
        legend_above(figure, axes)
    else:
        ax.legend(frameon=False)
    return finished(figure)


class Standing(NamedTuple):
    """Means and standard deviations of the numbers of x, observed beside simulated.

    Args:
        names: theirs.
        z: (observed - simulated) / standard error of each.
        limit: that all |z| stay below in 99.5 % of fits with a right simulator.
        independent: number of independent features that would say as much as these, which are correlated.
    """

    names: list[str]
    z: Float[np.ndarray, " k"]
    limit: float
    independent: float


def standing_out(result: Result) -> Standing:
    """Compare means and standard deviations of the numbers of x with simulations; constants are left out."""
    kept = kept_of(result, "misfit")
    x = np.asarray(kept.x[: kept.there], float)  # NaN where a value is missing
    seen = np.sum(~np.isnan(x), axis=0) > 1
    x = np.where(seen, x, 0.0)
    own = np.concatenate([x, (x - np.nanmean(x, 0)) ** 2], 1)
    mean, mean_error, variance, variance_error = np.asarray(kept.moments, float)
    observed = np.concatenate([mean, variance])
    # As many independent rows as the errors say
    independent = np.where(mean_error > 0, variance / np.where(mean_error > 0, mean_error, 1.0) ** 2, kept.rows)
    spread = np.concatenate([variance, independent * variance_error**2])
    # Of what is rarely large, either sample alone may have seen too little to know how far its mean errs
    spread = np.maximum(np.nanvar(own, 0), spread)
    error = np.sqrt(spread * (1 / np.tile(independent, 2) + 1 / np.sum(~np.isnan(own), axis=0)))
    names = [f"{name}, {what}" for what in ("mean", "sd") for name in view_of(result.x_shape).names(result.axes)]
    some = np.tile(seen, 2) & (error > 1e-9 * (np.abs(observed) + 1e-30))
    z = (observed - np.nanmean(own, 0))[some] / error[some]
    return Standing(list(np.array(names)[some]), z, *_together(own[:, some]))


def _together(own: Float[np.ndarray, "n k"]) -> tuple[float, float]:
    """Say of correlated features what the largest of all |z| stays below, and how many independent ones they are like.

        P(max |z| < limit) = .995,  z ~ N(0, R),        independent = k^2 / sum_ij R_ij^2

    R the correlations over simulations, of n of which chance adds (1 - R_ij^2)^2 / n to R_ij^2.

    Example:
        >>> own = np.random.default_rng(0).normal(size=(4000, 10))
        >>> found = *_together(own), *_together(own[:, [0] * 10])  # Phi^-1((1 + .995^(1 / 10)) / 2) = 3.48
        >>> [bool(abs(a - b) < 0.1) for a, b in zip(found, (3.48, 10.0, 2.81, 1.0), strict=True)]
        [True, True, True, True]
    """
    n, k = own.shape
    if not k:
        return float("inf"), 0.0
    deviation = np.nan_to_num(own - np.nanmean(own, 0))  # what is missing is as far off as the mean
    size = deviation.std(0)
    R = deviation.T @ deviation / n / np.outer(*[np.where(size > 0, size, 1.0)] * 2)
    np.fill_diagonal(R, 1.0)
    values, vectors = np.linalg.eigh(R)
    normal = np.random.default_rng(0).normal(size=(DRAWS, k))
    z = normal @ (vectors * np.sqrt(np.maximum(values, 0))).T
    square = np.sum(R**2 - (1 - R**2) ** 2 / n)
    return float(np.quantile(np.abs(z).max(1), LARGEST)), float(k**2 / max(square, k))


def population(result: Result, *, figure: Canvas | None = None) -> Figure:
    """Draw the fitted population, and what was encoded of single observations, parameter by parameter.

    E[theta | x] of a row shrinks towards the middle of the population, the more the less the row says, so that the grey
    histogram is narrower than the blue population.

    Args:
        result: a fit with target="population".
        figure: a Figure or SubFigure to draw into; None: a new one.

    Raises:
        ValueError: if the fit is of a point, or keeps nothing.
    """
    kept = kept_of(result, "population")
    if kept.encoded is None:
        raise ValueError(
            'population needs a fit with target="population"; this one has one theta for all observations.'
        )
    figure, panels = grid(len(result.names), 2.4, figure)
    normal = np.random.default_rng(0).normal(size=(MEMBERS, result.space.dim))
    u = np.asarray(result.proposal.loc, float) + normal @ np.asarray(result.proposal.factor(), float).T
    members = np.asarray(result.space.constrain(u), float)
    for i, (axes, name, parameter) in enumerate(zip(panels, result.names, result.space, strict=True)):
        both = np.concatenate([members[:, i], kept.encoded[:, i]])
        low, high = np.quantile(both, [0.002, 0.998])
        logarithmic = parameter.logarithmic and low > 0
        edges = (
            np.geomspace(low, high, BARS) if logarithmic else np.linspace(low, high if high > low else low + 1, BARS)
        )
        for values, color, words, style in (
            (kept.encoded[:, i], OBSERVED, "encoded rows", {"histtype": "stepfilled", "alpha": 0.35}),
            (members[:, i], FITTED, "fitted population", {"histtype": "step", "lw": 2}),
        ):
            weights = np.full(len(values), 100 / len(values))
            axes.hist(values, edges.tolist(), weights=weights, color=color, label=words, **style)
        axes.axvline(float(result.theta[i]), color=FITTED, lw=1, ls=":", label="median")
        if logarithmic:
            decades(axes, "x")
        axes.set_xlabel(with_unit(name, parameter.unit))
        axes.set_ylabel("share (%)")
    legend_above(figure, panels[0])
    return finished(figure)
