"""Which parts of x decide each parameter, drawn."""

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator

from avo.checks import whole
from avo.plots.given import fitted
from avo.plots.style import FITTED, OBSERVED, SIMULATED, Canvas, canvas, cut, decades, finished, legend_above, room
from avo.refine.sensitivity import BLURRED, Sensitivity
from avo.refine.subsets import STANDS_OUT
from avo.result import Result

FARTHEST = 30.0  # times the error by all parts, beyond which it matters no more how far


def sensitivity(result: Result, parts: int = 20, *, figure: Canvas | None = None) -> Figure:
    """Draw by how much the error of each parameter grows without a part of x, and by that part alone, a panel each.

    The further right the blue point, the more the part decides; the further left the open one, the less it needs the
    others. An arrow is an error that is larger than where it stands, and the simulations that the fit kept do not tell
    by how much; at the right end it is 30 times the error by all parts, or more. Where the estimate without a part
    differs by more than three standard errors of the difference, these are written beside it. Above stand how many
    parts are left out, and where what the fit kept tells less than all of x.

    Of a population it is the standard deviation that the parts of one row leave of its own parameters; a dotted line
    stands at that of the population, which no part at all would leave.

    Args:
        result: the fit.
        parts: drawn at most, those that decide most.
        figure: a Figure or SubFigure to draw into; None: a new one.

    Raises:
        ValueError: as `result.sensitivity`.
    """
    found, parts = fitted(result).sensitivity(), whole("parts", parts)
    deciding = np.nan_to_num(found.without, nan=1.0).max(1)
    some = np.sort(np.argsort(-deciding, kind="stable")[:parts])
    columns = min(4, len(found.names), room(figure, 2.2))
    lines = -(-len(found.names) // columns)
    figure = canvas((2.4 * columns + 2.6, (1.0 + 0.24 * len(some)) * lines + 0.5), figure)
    panels = figure.subplots(lines, columns, sharex=True, sharey=True, squeeze=False).ravel()
    for axes in panels[len(found.names) :]:
        axes.remove()
    for i, axes in enumerate(panels[: len(found.names)]):
        _panel(axes, found, some, i)
        axes.tick_params(labelbottom=i + columns >= len(found.names))
    panels[0].set_yticks(range(len(some)), [cut(found.parts[p], 34) for p in some], fontsize="small")
    panels[0].set_ylim(len(some) - 0.5, -0.5)
    one = found.spread is not None
    words = "what parts of a row leave of its parameter / what all leave" if one else "error / error by all parts of x"
    figure.supxlabel(words, fontsize="medium")
    if notes := _notes(found, len(some)):
        figure.suptitle("\n".join(notes), fontsize="small", x=0.01, ha="left")
    legend_above(figure, *panels[: len(found.names)])
    return finished(figure)


def _notes(found: Sensitivity, drawn: int) -> list[str]:
    """Say what the picture leaves out, and what its numbers cannot say: what the table says below itself."""
    notes = []
    if drawn < len(found.parts):
        notes.append(f"{drawn} of {len(found.parts)} parts, those that decide most; parts= draws more.")
    if unseen := [name for name, error in zip(found.names, found.stderr, strict=True) if np.isinf(error)]:
        notes.append(f"The simulations that the fit kept do not tell {cut(', '.join(unseen))} even by all parts.")
    blur = np.nan_to_num(found.blur, posinf=0)
    if blur.max(initial=0) > BLURRED:
        worst = int(blur.argmax())
        words = "What is kept of x tells less than all of it: by all parts here"
        notes.append(f"{words} the error of {cut(found.names[worst], 24)} is {blur[worst]:.2g} times the fit's own.")
    return notes


def _panel(axes: Axes, found: Sensitivity, some: np.ndarray, i: int) -> None:
    """Draw both errors of one parameter, part by part."""
    places = np.arange(len(some))
    axes.set_xlim(0.85, FARTHEST * 1.25)
    axes.axvline(1, color=OBSERVED, lw=0.8)
    if found.spread is not None and found.spread[i] < FARTHEST:
        axes.axvline(found.spread[i], color=OBSERVED, lw=0.8, ls=":", label="by no part at all")
    axes.hlines(places, 0.85, FARTHEST * 1.25, color=OBSERVED, lw=0.4, alpha=0.25)
    without, alone = found.least
    for values, least, color, face, words in (
        (found.alone[some, i], alone[some, i], OBSERVED, "w", "by it alone"),
        (found.without[some, i], without[some, i], FITTED, FITTED, "without the part"),
    ):
        inside = values < FARTHEST
        style: Any = {"color": color, "mfc": face, "ls": "none"}
        axes.plot(values[inside], places[inside], "o", ms=5.5, label=words, **style)
        beyond = ~inside & ~np.isnan(values)
        label = f"{words}: at least this" if beyond.any() else None
        axes.plot(np.minimum(least[beyond], FARTHEST), places[beyond], ">", ms=5.5, label=label, **style)
    for k, z in enumerate(np.nan_to_num(found.z[some, i])):
        if abs(z) > STANDS_OUT:
            axes.annotate(
                f"{z:+.1f} s.e.", (1, k), (0.98, k - 0.1), xycoords=axes.get_yaxis_transform(), ha="right", va="bottom",
                fontsize="x-small", color=SIMULATED,
            )  # fmt: skip
    decades(axes, "x")
    axes.xaxis.set_minor_locator(NullLocator())
    axes.tick_params("y", length=0)
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.set_title(cut(found.names[i], 24), fontsize="medium")
