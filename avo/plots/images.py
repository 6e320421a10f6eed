"""Observations that are images, channels last, or volumes, of which the mean over the first axis is shown."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from avo.observations import planes
from avo.plots.style import AxisLike, Canvas, canvas, finished, room, with_unit

SINGLE = 3  # single images drawn
VALUES, DIFFERENCE = "magma_r", "RdBu_r"
ERRORS = 4.0  # standard errors at which the colours of a difference end


class Pixels(NamedTuple):
    """A side of an image in pixels, of which the image may show means over blocks; rows go down."""

    name: str
    values: np.ndarray
    unit: str = ""


def _style(x: np.ndarray, axes: Sequence[AxisLike]) -> tuple[list[str], dict[str, Any]]:
    """Name the two sides of an image, and say how it is drawn: with coordinates where both sides have some.

    Lengths are equal along both sides where these have one unit, and pixels are square where they have not.
    """
    style: dict[str, Any] = {"aspect": "equal", "interpolation": "nearest"}
    if len(axes) < 2 or len(axes) < x.ndim - 2:
        return ["row", "column"], style
    rows, columns = (axes[0], axes[1]) if x.ndim == 3 or x.shape[-1] == planes(x).shape[-1] else axes[-2:]
    ends = (*_ends(np.asarray(columns.values)), *_ends(np.asarray(rows.values)))
    if rows.unit != columns.unit:  # no length along one is a length along the other: pixels are square
        wide, high = ends[1] - ends[0], ends[3] - ends[2]
        style["aspect"] = abs(wide / len(columns.values)) / abs(high / len(rows.values))
    if isinstance(rows, Pixels):
        ends = (*ends[:2], *ends[:1:-1])
    style |= {"extent": ends, "origin": "upper" if isinstance(rows, Pixels) else "lower"}
    return [with_unit(axis.name, axis.unit) for axis in (rows, columns)], style


def _ends(values: np.ndarray) -> tuple[float, float]:
    """Find the outer edges of pixels with these centres."""
    half = (values[-1] - values[0]) / (2 * max(1, len(values) - 1)) or 0.5
    return float(values[0] - half), float(values[-1] + half)


def _named(panels: np.ndarray, names: Sequence[str]) -> None:
    for axes in panels[-1]:
        axes.set_xlabel(names[1])
    for axes in panels[:, 0]:
        axes.set_ylabel(names[0])


def drawn_images(
    x: Float[np.ndarray, "n *x_shape"], axes: Sequence[AxisLike], label: str, figure: Canvas | None = None
) -> Figure:
    """Draw three images beside the mean of all, a row for each channel, the second axis of x to the right."""
    images, (names, style) = planes(x), _style(x, axes)
    single, channels = images[:SINGLE], images.shape[-1]
    figure = canvas((2.3 * (len(single) + 1) + 1.2, 0.5 + 2.4 * channels), figure)
    panels = figure.subplots(channels, len(single) + 1, sharex=True, sharey=True, squeeze=False)
    # One scale for the single images; the mean of sparse ones would be black on it
    low, high = float(np.nanmin(single)), float(np.nanmax(single))
    whole = np.all(single == np.round(single))
    for c, row in enumerate(panels):
        for panel, image in zip(row, single[..., c], strict=False):
            drawn = panel.imshow(image, vmin=low, vmax=high, cmap=VALUES, **style)
        figure.colorbar(drawn, ax=row[:-1], label=label, ticks=MaxNLocator(integer=True) if whole else None)
        mean = row[-1].imshow(np.nanmean(images[..., c], axis=0), cmap=VALUES, **style)
        figure.colorbar(mean, ax=row[-1], label=f"mean of {len(x)}")
        if channels > 1:
            row[0].set_title(f"channel {c}", fontsize="medium")
    _whole_ticks(panels[0, 0], style)
    _told(figure, x)
    _named(panels, names)
    return finished(figure)


def _whole_ticks(axes: Axes, style: dict[str, Any]) -> None:
    """Number rows and columns of pixels, which have no coordinates, by whole numbers; all panels share them."""
    if "extent" not in style:
        for axis in (axes.xaxis, axes.yaxis):
            axis.set_major_locator(MaxNLocator("auto", integer=True))


def _told(figure: Canvas, x: np.ndarray) -> None:
    """Say above the panels of volumes what is shown of them."""
    if planes(x).size != x.size:
        figure.suptitle(f"volumes of {' x '.join(map(str, x.shape[1:]))}: means over the first axis", fontsize="medium")


def compared_images(
    obs: Float[np.ndarray, "m *x_shape"],
    sim: Float[np.ndarray, "n *x_shape"],
    axes: Sequence[AxisLike],
    label: str,
    figure: Canvas | None = None,
) -> Figure:
    """Draw the means of observed and simulated images and their difference at one scale; of each channel a row.

    Of one channel there is a second row: a single image of each at one scale, and the difference in standard errors.
    """
    (x, y), (names, style) = map(planes, (obs, sim)), _style(obs, axes)
    channels = x.shape[-1]
    rows = 2 if channels == 1 else channels
    figure = canvas((10, 0.4 + 2.7 * rows), figure)
    shape = (rows, 3) if room(figure) > 1 else (3 * rows, 1)
    panels = figure.subplots(*shape, sharex=True, sharey=True, squeeze=False).reshape(rows, 3)
    for c in range(channels):
        _means(figure, panels[c], np.nanmean(x[..., c], 0), np.nanmean(y[..., c], 0), label, style)
        if channels > 1:
            panels[c, 0].set_title(f"observed, mean,\nchannel {c}", fontsize="medium")
    if channels == 1:
        _singles(figure, panels[1], x[..., 0], y[..., 0], label, style)
    _whole_ticks(panels[0, 0], style)
    _told(figure, obs)
    _named(panels.reshape(shape), names)
    return finished(figure)


def _means(
    figure: Canvas, row: np.ndarray, observed: np.ndarray, simulated: np.ndarray, label: str, style: dict[str, Any]
) -> None:  # fmt: skip
    """Draw two means and their difference; a step of the difference's colours is worth as much as one of theirs."""
    low, high = (float(f([observed, simulated])) for f in (np.nanmin, np.nanmax))
    reach = (high - low) / 2 or 1.0
    for axes, image, name in zip(row, (observed, simulated), ("observed", "simulated"), strict=False):
        drawn = axes.imshow(image, vmin=low, vmax=high, cmap=VALUES, **style)
        axes.set_title(f"{name},\nmean", fontsize="medium")
    figure.colorbar(drawn, ax=row[:2], label=label)
    difference = row[2].imshow(simulated - observed, vmin=-reach, vmax=reach, cmap=DIFFERENCE, **style)
    largest = float(np.nanmax(np.abs(simulated - observed)))
    row[2].set_title(f"simulated - observed,\nat most {largest:.2g}", fontsize="medium")
    figure.colorbar(difference, ax=row[2], label=label)


def _singles(
    figure: Canvas, row: Sequence[Axes] | np.ndarray, x: np.ndarray, y: np.ndarray, label: str, style: dict[str, Any]
) -> None:  # fmt: skip
    """Draw a single image of each, and the difference of the means in units of its standard error."""
    low, high = (float(f([x[0], y[0]])) for f in (np.nanmin, np.nanmax))
    for axes, image, name in zip(row, (x[0], y[0]), ("observed", "simulated"), strict=False):
        drawn = axes.imshow(image, vmin=low, vmax=high, cmap=VALUES, **style)
        axes.set_title(f"{name},\na single one", fontsize="medium")
    figure.colorbar(drawn, ax=row[:2], label=label)
    error = np.sqrt(np.nanvar(x, 0) / len(x) + np.nanvar(y, 0) / len(y))
    apart = (np.nanmean(y, 0) - np.nanmean(x, 0)) / np.where(error > 0, error, 1.0)
    drawn = row[2].imshow(apart, vmin=-ERRORS, vmax=ERRORS, cmap=DIFFERENCE, **style)
    row[2].set_title("difference /\nstandard error", fontsize="medium")
    figure.colorbar(drawn, ax=row[2], label="standard errors", extend="both")
