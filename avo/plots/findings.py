"""What `avo.check` found, drawn."""

import math

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from avo.checks import came, whole
from avo.diagnostics.goodness import Check, Part
from avo.plots.style import OBSERVED, SIMULATED, Canvas, canvas, finished


def check(found: Check, features: int = 20, *, figure: Canvas | None = None) -> Figure:
    """Draw what `avo.check` found: features by how far they stand out, and the two statistics among their replicates.

    The orange band holds 95 % of the replicates in each feature; a filled point has a corrected p of at most 5 %.

    Args:
        found: what `avo.check` returned.
        features: drawn at most, those with the largest |z|.
        figure: a Figure or SubFigure to draw into; None: a new one.

    Returns:
        The figure, with three panels: features, classifier, critic's gap.

    Example:
        >>> from avo.diagnostics.goodness import Row
        >>> part = Part(2.3, 0.02, np.random.default_rng(0).normal(size=99))
        >>> found = Check(0.03, [Row("level, mean", 1.0, 0.8, 3.1, 0.01)], part, part, 300, 300, 99, 30_900, 0)
        >>> [axes.get_xlabel() for axes in check(found).axes]
        ['z', 'classifier', "critic's gap"]
    """
    if not isinstance(found, Check):
        raise ValueError(f"found must be what avo.check returned; got {came(found)}.")
    features = whole("features", features)
    rows = sorted(found.table, key=lambda row: -abs(row.z))[:features][::-1]
    figure = canvas((11, max(4.0, 1.4 + 0.26 * len(rows))), figure)
    panels = figure.subplot_mosaic([["z", "classifier"], ["z", "gap"]], width_ratios=[3, 2])
    # Far out it matters no more how far, and what is infinite has no place at all
    z = np.clip([row.z for row in rows], -20, 20)
    filled = np.array([row.p <= 0.05 for row in rows])
    panels["z"].axvspan(-1.96, 1.96, color=SIMULATED, alpha=0.2, lw=0, label="replicates, 95 %")
    panels["z"].axvline(0, color=SIMULATED, lw=1)
    for group, style in ((filled, OBSERVED), (~filled, "none")):
        panels["z"].scatter(z[group], np.flatnonzero(group), c=style, edgecolors=OBSERVED, s=30, zorder=3)
    panels["z"].set_yticks(range(len(rows)), [row.name for row in rows], fontsize="small")
    panels["z"].set_xlabel("z" if np.all(np.abs(z) < 20) else "z, drawn at 20 where larger")
    for name, part, label in (("classifier", found.classifier, "classifier"), ("gap", found.gap, "critic's gap")):
        _part(panels[name], part, label)
    figure.suptitle(
        f"{found.rows:,} {'fitted' if found.fitted else 'new'} observations: p = {found.p_value:.3g}", fontsize="medium"
    )
    handles, names = panels["classifier"].get_legend_handles_labels()
    figure.legend(handles, names, loc="outside lower right", ncols=2, frameon=False)
    return finished(figure)


def _part(axes: Axes, part: Part, label: str) -> None:
    """Draw a statistic among its replicates."""
    axes.hist(part.null, bins=max(8, int(math.sqrt(len(part.null)))), color=SIMULATED, alpha=0.6, label="replicates")
    axes.axvline(part.statistic, color=OBSERVED, lw=2, label="new observations")
    axes.set_xlabel(label)
    axes.set_title(f"p = {part.p:.3g}", fontsize="medium")
    axes.set_yticks([])
