"""Solutions of equal misfit beside one another."""

import numpy as np
from matplotlib.figure import Figure

from avo.plots.given import fitted
from avo.plots.style import FITTED, OBSERVED, Canvas, canvas, finished, ticked, with_unit
from avo.result import Result
from avo.space import Angle

ERRORS = 1.645  # standard errors to either side of a 90 % interval


def modes(result: Result, *, figure: Canvas | None = None) -> Figure:
    """Draw the solutions of equal misfit that a fit found: where in its range each has a parameter, a panel each.

    A row is a solution, the answer first, with p of the observations at it; bars hold 90 % of the normal error, and
    values stand beside them with their standard errors, since solutions lie many errors apart.

    Args:
        result: the fit.
        figure: a Figure or SubFigure to draw into; None: a new one.

    Raises:
        ValueError: if the fit has one solution only, or none.
    """
    found = fitted(result).modes
    if not found:
        raise ValueError(
            f'modes needs a fit with refine=True and target="point" that found a solution; {result.message}'
        )
    if len(found) == 1:
        raise ValueError(
            "modes needs a fit that found several solutions of equal misfit; this one found one. Draw it by "
            "avo.plots.forest."
        )
    rows = np.arange(len(found))
    figure = canvas((7.5, (0.75 + 0.34 * len(rows)) * len(result.names) + 0.3), figure)
    panels = figure.subplots(len(result.names), 1, squeeze=False)[:, 0]
    named = ["the answer", *(f"solution {k + 1}" for k in rows[1:])]
    labels = [
        name if mode.p_value is None else f"{name}, p = {mode.p_value:.2g}"
        for name, mode in zip(named, found, strict=True)
    ]
    for i, (axes, name, parameter) in enumerate(zip(panels, result.names, result.space, strict=True)):
        low, high = parameter.support
        for k, mode in enumerate(found):
            value, error = float(mode.theta[i]), float(mode.stderr[i])
            color = OBSERVED if k else FITTED
            around = value + ERRORS * error * np.array([-1.0, 1.0])
            around = around if isinstance(parameter, Angle) and np.isfinite(error) else np.clip(around, low, high)
            ends = np.asarray(mode.whole.get(name, around), float)
            if np.isfinite(ends).all():
                axes.plot(
                    ends,
                    [k, k],
                    color=color,
                    lw=4 if np.isfinite(error) else 1.5,
                    ls="-" if np.isfinite(error) else ":",
                )
            axes.plot([value], [k], "o", color="w", mec=color, mew=1.5, ms=6, zorder=4)
            words = mode.words(i, "±") if np.isfinite(error) else f"{value:.4g}, not identified"
            place = {"xy": (1.01, k), "xycoords": axes.get_yaxis_transform(), "va": "center", "fontsize": "small"}
            axes.annotate(words, color=color, annotation_clip=False, **place)  # pyright: ignore[reportArgumentType]
        if np.isfinite([low, high]).all():
            drawn = axes.dataLim.intervalx  # of an angle an interval may go beyond
            axes.set_xlim(min(low, drawn[0]), max(high, drawn[1]))
        else:
            axes.margins(x=0.15)
        ticked(axes, "x", parameter, 6)
        axes.set_ylim(len(rows) - 0.5, -0.5)
        axes.set_yticks(rows, labels)
        axes.tick_params("y", length=0)
        axes.spines[["top", "right", "left"]].set_visible(False)
        axes.set_xlabel(with_unit(name, parameter.unit))
    return finished(figure)
