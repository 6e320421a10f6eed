"""The page's pictures: each drawn twice, for wide and for narrow screens, as SVG in the page's own colours.

Matplotlib writes text as text, and colours as they are; those become the page's variables, so that one picture serves
light and dark. Ids are left out but for those that a picture refers to, which are its own.
"""

import io
import re
import warnings
from collections.abc import Callable
from typing import Any, NamedTuple

import matplotlib
import numpy as np
from jaxtyping import ArrayLike
from matplotlib.figure import Figure

from avo.plots.estimates import forest, identifiability, told_directions
from avo.plots.images import Pixels
from avo.plots.misfits import misfit, population, standing_out
from avo.plots.runs import failures, history
from avo.plots.samples import predictive
from avo.plots.style import FITTED, OBSERVED, PANELS, SIMULATED
from avo.refine.kept import view_of
from avo.report.words import escaped, plain
from avo.result import Result

WIDE, NARROW = 6.4, 3.9  # inches
COLOURS = {
    OBSERVED: "var(--observed)",
    SIMULATED: "var(--simulated)",
    FITTED: "var(--fitted)",
    "#000000": "var(--ink)",
    "#ffffff": "var(--page)",
}
STYLE = {
    "svg.fonttype": "none",
    "font.size": 9.0,
    "axes.linewidth": 0.7,
    "figure.facecolor": "none",
    "savefig.facecolor": "none",
    "axes.facecolor": "none",
    "axes.spines.top": False,
    "axes.spines.right": False,
}
CORRELATED = 0.7  # share of independent features below which it is said how many there are
ROWS = 500  # of simulations and observations behind a picture


class Picture(NamedTuple):
    """One picture: its heading, a sentence on how to read it, what it shows for who cannot see it, and its SVGs."""

    title: str
    words: str
    alt: str
    wide: str
    narrow: str


def drawn(
    name: str, title: str, words: str, alt: str, draw: Callable[[Figure], object], heights: tuple[float, float]
) -> Picture:
    """Draw a picture in both widths.

    Args:
        name: unique in the page; ids are derived from it.
        title: heading.
        words: how to read it.
        alt: what it shows.
        draw: draws into a figure.
        heights: in inches, of the wide and of the narrow one.
    """
    found = []
    for width, height in zip((WIDE, NARROW), heights, strict=True):
        style: Any = STYLE | {"svg.hashsalt": f"{name}-{width}"}
        with matplotlib.rc_context(style), warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # of letters that a font lacks, and browsers do not
            figure = Figure(figsize=(width, height), layout="constrained")
            draw(figure)
            found.append(_svg(figure, alt))
    return Picture(title, words, alt, *found)


def _svg(figure: Figure, alt: str) -> str:
    """Write a figure as the SVG element of a page."""
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None, "Format": None, "Type": None})
    text = plain(buffer.getvalue())
    text = re.sub(r"<metadata>.*?</metadata>", "", text[text.index("<svg") :], flags=re.DOTALL)
    text = re.sub(r'<style type="text/css">.*?</style>', "", text, flags=re.DOTALL)
    text = re.sub(r"<!--.*?-->\n?", "", text, flags=re.DOTALL)
    referred = set(re.findall(r'(?:href="#|url\(#)([^")]+)', text))
    text = re.sub(r' id="([^"]*)"', lambda found: found[0] if found[1] in referred else "", text)
    for colour, own in COLOURS.items():
        text = text.replace(colour, own)
    head = re.match(r'<svg[^>]*viewBox="([^"]*)"[^>]*>', text)
    assert head is not None
    # Inside a page neither namespaces nor a size are needed
    return f'<svg role="img" aria-label="{escaped(alt)}" viewBox="{head[1]}">' + text[head.end() :].strip()


def all_pictures(result: Result, truth: ArrayLike | None = None) -> list[Picture]:
    """Draw what there is of a result, what it says of the observations first, how it came about last."""
    found = []
    d = len(result.names)
    if result.kept is not None:
        found += [_predictive(result), _misfit(result)]
    if result.kept is not None and result.kept.encoded is not None:
        lines = -(-d // 2), d
        found.append(
            drawn(
                "population",
                "The population",
                "Blue: the fitted population. Grey: what single observations say of their own parameters, which "
                "shrinks towards the middle, the more the less a row says.",
                f"Histograms of {', '.join(result.names)} over the population.",
                lambda figure: population(result, figure=figure),
                (2.3 * lines[0] + 0.5, 2.3 * lines[1] + 0.5),
            )
        )
    if result.stderr is not None:
        found.append(_forest(result, truth))
    if result.stderr is not None and d > 1:
        found.append(_identifiability(result, truth))
    found.append(_history(result, truth))
    if any(result.failures.values()):
        found.append(_failures(result))
    return found


def _predictive(result: Result) -> Picture:
    kept, view = result.kept, view_of(result.x_shape)
    assert kept is not None
    rows = np.linspace(0, len(kept.observed) - 1, min(ROWS, len(kept.observed))).round().astype(int)
    shape = () if result.x_shape == () else view.shape
    obs = kept.observed[rows].reshape(-1, *shape)
    sim = kept.x[: kept.there][:ROWS].reshape(-1, *shape)
    kind, axes = view.kind, view.axes(result.axes)
    if kind == "image" and not axes:
        axes = [Pixels(name, np.arange(size)) for name, size in zip(("row", "column"), view.pixels, strict=True)]
    count, *more = view.shape
    channels = more[0] if kind == "series" and more else 1
    if kind == "image":
        heights = 4.6, 10.2
    elif kind == "series" or count > PANELS:
        heights = 2.4 * channels + 0.8, 3.6 * channels + 1.0
    else:
        heights = 2.3 * -(-count // 2) + 0.6, 2.3 * count + 0.6
    blocks = " An image is drawn by means over blocks of its pixels."
    left_out = "" if view.whole else blocks if kind == "image" else " Some of the points are drawn."
    words = f"{len(obs)} observations beside {len(sim)} simulations at the estimate.{left_out}"
    return drawn(
        "predictive", "Observed beside simulated", words,
        "Observations in grey beside simulations at the estimate in orange.",
        lambda figure: predictive(
            obs, sim, axes, result.quantity.name or "x", result.quantity.unit, figure=figure,
            kind=kind if kind != "vector" else None,
        ), heights,
    )  # fmt: skip


def _misfit(result: Result) -> Picture:
    names, z, limit, independent = standing_out(result)
    most, beyond = min(len(z), 16), int(np.sum(np.abs(z) > limit))
    words = "Means and standard deviations of x, those that differ most. "
    if independent < CORRELATED * len(z):
        words += (
            f"They are correlated, and all {len(z)} say about as much as {independent:.2g} independent ones: one cause "
            "moves many. "
        )
    words += (
        f"If the simulator is right, all lie between the dotted lines, at {limit:.1f} standard errors, in 199 of 200 "
        f"fits; here {beyond or 'none'} of all {len(z)} lie{'s' * (beyond == 1)} beyond."
    )
    worst = ", ".join(names[i] for i in np.argsort(-np.abs(z))[:3])
    return drawn(
        "misfit", "Misfit by feature", words, f"Differences between observations and simulations; largest for {worst}.",
        lambda figure: misfit(result, most, figure=figure), (0.22 * most + 1.2, 0.22 * most + 1.2),
    )  # fmt: skip


def _forest(result: Result, truth: ArrayLike | None) -> Picture:
    sources = 1 + len(result.elsewhere) + 2 * (result.by_data is not None)
    height = (0.62 + 0.24 * sources) * len(result.names) + 0.5
    whose = "the median of the population; orange, 90 % of its members" if result.population else "each parameter"
    return drawn(
        "forest", "Intervals", f"90 % intervals of {whose}. Dotted: the whole range, where the data do not say.",
        f"Intervals of {', '.join(result.names)}; the numbers are in the table.",
        lambda figure: forest(result, truth, figure=figure), (height, height),
    )  # fmt: skip


def _identifiability(result: Result, truth: ArrayLike | None) -> Picture:
    d = len(result.names)
    pairs = min(6, d * (d - 1) // 2)
    bars = 0.9 + 0.4 * min(d, 8)
    wide, narrow = -(-pairs // 2), pairs
    alt = told_directions(result)
    words = (
        "Ellipses: the error of two parameters together, 50 and 90 %. Points: how well each direction is known, that "
    )
    words += f"is, a weighted sum of parameters, each in units of its range. {alt}"
    return drawn(
        "identifiability", "What the data identify", words, alt,
        lambda figure: identifiability(result, truth, figure=figure), (2.7 * wide + bars, 3.0 * narrow + bars),
    )  # fmt: skip


def _history(result: Result, truth: ArrayLike | None) -> Picture:
    panels = 1 + len(result.names)
    words = (
        "The gap between observed and simulated data as the critic sees it, and where the proposal looked; shaded: the "
        "search, and the refining that ends in the estimate."
    )
    return drawn(
        "history", "How the fit went", words, "Course of the fit over its simulator calls, up to the estimates.",
        lambda figure: history(result, truth, figure=figure), (2.1 * -(-panels // 2) + 0.6, 2.1 * panels + 0.6),
    )  # fmt: skip


def _failures(result: Result) -> Picture:
    kinds, place = sum(bool(n) for n in result.failures.values()), result.failures.place
    height = 0.35 * kinds + 1.4 + (0 if place is None else 0.95 * len(place.bounds))
    return drawn(
        "failures", "Failed calls", "Calls that failed are left out, and counted.", result.failures.summary(),
        lambda figure: failures(result, figure=figure), (height, height),
    )  # fmt: skip
