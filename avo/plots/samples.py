"""Observations and simulations, drawn side by side or alone, by the form of x."""

import math
from collections.abc import Sequence
from typing import get_args

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from avo.checks import text
from avo.containers import Held, coordinates
from avo.observations import Kind, kind_of
from avo.plots.given import axes_given, numbers
from avo.plots.images import compared_images, drawn_images
from avo.plots.style import (
    FITTED,
    OBSERVED,
    PANELS,
    SIMULATED,
    AxisLike,
    Canvas,
    canvas,
    columns_of,
    finished,
    grid,
    legend_above,
    lowest,
    room,
    with_unit,
)

ROWS = 4  # single observations drawn of each kind
KINDS = ("scalar", *get_args(Kind))  # forms of x, which each have a picture of their own
SINGLE = ((FITTED, 0.7), (SIMULATED, 0.7), (OBSERVED, 1.2))  # colours and widths of single simulations among many
TICKS, LABEL = 30, 0.2  # labels written below an axis at most, and inches that one takes
SCATTERED, MARKED = 500, 60  # points of a scatter; a longer series is drawn without a mark at each point


def predictive(
    x_obs: Held, x_sim: Held, axes: Sequence[AxisLike] = (), quantity: str = "x", unit: str = "",
    *, kind: str | None = None, figure: Canvas | None = None, ax: Axes | None = None,
) -> Figure:  # fmt: skip
    """Draw observed beside simulated data.

    One number per observation gives a histogram, with a bar per value where all are whole numbers; a vector of at most
    8 numbers a histogram per entry; a longer vector or a series its median and 5 to 95 % band at every point, beside a
    few single observations; images their means and the difference at one scale, a row for each channel, and of a volume
    the mean over its first axis.

    Args:
        x_obs: observations, with shape (m, *x_shape).
        x_sim: simulations, with shape (n, *x_shape).
        axes: the axes of x, with names, units and coordinates, as in `Problem.axes` and `result.axes`; left out: what
            a DataFrame or DataArray says of its own.
        quantity: what x measures; "x" where columns with names measure different things.
        unit: its unit.
        kind: form of x, as for `draws`; None: from the shape.
        figure: a Figure or SubFigure to draw into; None: a new one.
        ax: axes to draw into, where the picture has one panel.

    Returns:
        The figure.

    Raises:
        ValueError: if the shapes of single rows differ, or `ax` is given to a picture of several panels.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> predictive(rng.normal(size=50), rng.normal(size=99), quantity="voltage", unit="mV").axes[0].get_xlabel()
        'voltage (mV)'
    """
    axes, quantity, unit = axes_given(axes, x_obs), text("quantity", quantity), text("unit", unit)
    obs, sim = numbers("x_obs", x_obs), numbers("x_sim", x_sim)
    if obs.ndim == 0 or obs.shape[1:] != sim.shape[1:]:
        raise ValueError(f"x_obs and x_sim must have rows of the same shape; got shapes {obs.shape} and {sim.shape}.")
    kind = kind_of(obs.shape[1:], kind)
    if obs.ndim == 1:
        return _vector(obs[:, None], sim[:, None], [with_unit(quantity, unit)], figure, ax)
    if obs.ndim == 2 and obs.shape[1] <= PANELS and kind != "series":
        return _vector(obs, sim, entry_labels(obs.shape[1], axes, quantity, unit), figure, ax)
    _refuse(ax)
    if obs.ndim > 2 and (kind == "image" or obs.ndim > 3):
        return compared_images(obs, sim, axes, with_unit(quantity, unit), figure)
    if obs.ndim == 3 and obs.shape[2] <= PANELS:
        labels = [with_unit(f"{quantity}, {_channel(axes, i)}", unit) for i in range(obs.shape[2])]
    else:  # more channels than there is room for: all their entries in a row
        axes = axes if obs.ndim == 2 else ()
        obs, sim = (a.reshape(len(a), -1, 1) for a in (obs, sim))
        labels = [with_unit(quantity, unit)]
    return _series(obs, sim, labels, axes[0] if axes else None, figure)


def draws(
    x: Held,
    axes: Sequence[AxisLike] = (),
    quantity: str = "x",
    unit: str = "",
    kind: str | None = None,
    *,
    figure: Canvas | None = None,
    ax: Axes | None = None,
) -> Figure:
    """Draw simulations alone: what one observation looks like, and how much observations differ.

    One number gives a histogram, with a bar per value where all are whole numbers; two a scatter; a vector of at most 8
    a histogram per entry, a longer one the range of every entry and a few single observations; a series the same
    against its axis, with a panel per channel; images are images, three of them beside the mean of all, a row for each
    channel, and of a volume the mean over its first axis.

    Args:
        x: simulations, with shape (n, *x_shape), at least one.
        axes: the axes of x, with names, units and coordinates, as in `Problem.axes`.
        quantity: what x measures.
        unit: its unit.
        kind: form of x, "scalar", "vector", "series" or "image", as a problem's tags say it; None: from the shape, see
            `avo.observations.kind_of`.
        figure: a Figure or SubFigure to draw into; None: a new one.
        ax: axes to draw into, where the picture has one panel.

    Returns:
        The figure.

    Raises:
        ValueError: if there is no row, `kind` is another word, or `ax` is given to a picture of several panels.

    Example:
        >>> x = np.random.default_rng(0).normal(size=(200, 2))
        >>> axes = draws(x, quantity="place", unit="m").axes[0]
        >>> axes.get_xlabel(), axes.get_ylabel()
        ('place, column 0 (m)', 'place, column 1 (m)')
    """
    if hasattr(x, "simulate"):
        raise ValueError(f"x must be simulations, such as problem.simulate(key, theta); got a {type(x).__name__}.")
    if hasattr(x, "theta"):
        raise ValueError(
            f"x must be simulations, with shape (n, *x_shape); got a {type(x).__name__}. Draw them at its estimate, "
            "simulate(key, jax.numpy.tile(result.theta, (n, 1))), of a population at result.sample(key, n); "
            "avo.plots.predictive sets them beside the observations."
        )
    axes, quantity, unit = axes_given(axes, x), text("quantity", quantity), text("unit", unit)
    x = numbers("x", x)
    if x.ndim == 0 or len(x) == 0:
        raise ValueError(f"x must hold at least one observation along its first axis; got shape {x.shape}.")
    kind = kind_of(x.shape[1:], kind)
    if x.ndim == 1:
        return _vector(None, x[:, None], [with_unit(quantity, unit)], figure, ax)
    if x.ndim > 3 or (kind == "image" and x.ndim > 2):
        _refuse(ax)
        return drawn_images(x, axes, with_unit(quantity, unit), figure)
    if x.ndim == 2 and kind != "series" and x.shape[1] <= PANELS:
        labels = entry_labels(x.shape[1], axes, quantity, unit)
        return _scatter(x, labels, figure, ax) if x.shape[1] == 2 else _vector(None, x, labels, figure, ax)
    return _lines(x, axes, quantity, unit, joined=kind == "series" or x.ndim == 3, figure=figure, ax=ax)


def _refuse(ax: Axes | None) -> None:
    if ax is not None:
        raise ValueError("ax= takes a picture of one panel, and this one has several; pass figure=.")


def _edges(obs: np.ndarray, sim: np.ndarray) -> np.ndarray:
    """Choose edges that both samples share: whole numbers lie in the middle of their bars, far tails outside."""
    both = np.concatenate([obs, sim])
    both = both[np.isfinite(both)]
    if not len(both):
        return np.array([-0.5, 0.5])
    whole = np.all(both == np.round(both))
    low, high = (both.min(), both.max()) if whole else np.percentile(both, [0.2, 99.8])
    if whole and high - low <= 60:
        return np.arange(low - 0.5, high + 1)
    if high <= low:
        return np.array([low - 0.5, low + 0.5])
    return np.linspace(low, high, 1 + int(np.clip(math.sqrt(min(len(obs), len(sim))), 8, 40)))


def entry_labels(count: int, axes: Sequence[AxisLike], quantity: str, unit: str) -> list[str]:
    """Name the entries of the last axis of x by its labels, behind what they all measure, or else by coordinates."""
    if axes and (labels := getattr(axes[-1], "labels", ())):
        own = any("(" in label for label in labels)  # with units of their own they say what they are
        same = f"{quantity}, " if unit or (quantity != "x" and not own) else ""
        return [with_unit(f"{same}{label}", unit) for label in labels]
    name, own, values = (axes[-1].name, axes[-1].unit, axes[-1].values) if axes else ("column", "", np.arange(count))
    words = coordinates(np.asarray(values))
    return [with_unit(" ".join(filter(None, (f"{quantity}, {name}", word, own))), unit) for word in words]


def _tick(axes: Axes, places: np.ndarray, axis: AxisLike | None) -> None:
    """Write the labels of an axis, if it has any, at their places."""
    if labels := getattr(axis, "labels", ()):
        inches = axes.figure.figure.bbox.width / axes.figure.figure.dpi * _share(axes)
        every = -(-len(labels) // max(1, min(TICKS, int(inches / LABEL))))  # more would lie on top of one another
        axes.set_xticks(places[::every], labels[::every], rotation=90, fontsize="small")


def _share(axes: Axes) -> float:
    """Say which part of the figure's width is that of a panel, its labels included."""
    spec = axes.get_subplotspec()
    return 1.0 if spec is None else len(spec.colspan) / spec.get_gridspec().ncols


def _channel(axes: Sequence[AxisLike], i: int) -> str:
    """Name a channel by the second axis of x, if there is one."""
    if len(axes) < 2:
        return f"channel {i}"
    labels = getattr(axes[1], "labels", ())
    return labels[i] if labels else f"{axes[1].name} {coordinates(np.asarray(axes[1].values))[i]}"


def _vector(
    x_obs: np.ndarray | None, x_sim: np.ndarray, labels: Sequence[str], figure: Canvas | None, ax: Axes | None
) -> Figure:
    """Draw a histogram per column, of both samples or of simulations alone."""
    figure, panels = grid(len(labels), 2.4 if len(labels) > 1 else 3.2, figure, ax)
    obs = x_sim[:0] if x_obs is None else x_obs
    for axes, x, y, label in zip(panels, obs.T, x_sim.T, labels, strict=True):
        edges = _edges(x if len(x) else y, y)
        outline = {"histtype": "step", "color": SIMULATED, "lw": 2}
        filled = {"histtype": "stepfilled", "color": OBSERVED, "alpha": 0.35}
        if x_obs is None:
            drawn = [(y, "simulated", filled | {"color": SIMULATED}), (y, None, outline | {"lw": 1})]
        else:
            drawn = [(x, "observed", filled), (y, "simulated", outline)]
        for values, name, style in drawn:
            values = values[np.isfinite(values)]
            # Percentages of each sample, that samples of different size can be compared
            share = np.full(len(values), 100 / max(len(values), 1))
            axes.hist(values, edges.tolist(), weights=share, label=name, **style)
        if edges[1] - edges[0] == 1:
            axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.set_xlabel(label)
        axes.set_ylabel("share (%)")
    if x_obs is not None and ax is not None:
        ax.legend(frameon=False)
    elif x_obs is not None:
        legend_above(figure, panels[0])
    return finished(figure)


def _series(
    obs: np.ndarray, sim: np.ndarray, labels: Sequence[str], axis: AxisLike | None, figure: Canvas | None
) -> Figure:
    t = np.arange(obs.shape[1]) if axis is None else np.asarray(axis.values)
    figure = canvas((10, 1.2 + 2.8 * len(labels)), figure)
    shape = (len(labels), 2) if room(figure) > 1 else (2 * len(labels), 1)
    panels = figure.subplots(*shape, sharex=True, sharey="row", squeeze=False).reshape(len(labels), 2)
    for (bands, rows), x, y, label in zip(panels, np.moveaxis(obs, 2, 0), np.moveaxis(sim, 2, 0), labels, strict=True):
        low, median, high = _band(x)
        bands.fill_between(t, low, high, color=OBSERVED, alpha=0.25, lw=0, label="observed, 5 to 95 %")
        bands.plot(t, median, color=OBSERVED, lw=2.5, label="observed, median")
        low, median, high = _band(y)
        bands.plot(t, low, color=SIMULATED, lw=1, ls="--", label="simulated, 5 to 95 %")
        bands.plot(t, high, color=SIMULATED, lw=1, ls="--")
        bands.plot(t, median, color=SIMULATED, lw=1.2, label="simulated, median")
        for values, name, color in ((x, "observed", OBSERVED), (y, "simulated", SIMULATED)):
            for i, row in enumerate(values[:ROWS]):
                rows.plot(t, row, color=color, lw=0.8, alpha=0.8, label=f"{name}, single" if i == 0 else None)
        bands.set_ylabel(label)
    for axes in panels[-1][-shape[1] :]:
        axes.set_xlabel(with_unit(axis.name, axis.unit) if axis else "index")
    for axes in panels[-1]:
        axes.margins(x=0)
        _tick(axes, t, axis)
    panels[0, 0].set_title("all observations and simulations", fontsize="medium")
    panels[0, 1].set_title(f"{min(ROWS, len(obs))} of each", fontsize="medium")
    handles, names = panels[0, 0].get_legend_handles_labels()
    figure.legend(handles, names, loc="outside lower center", ncols=columns_of(figure, names), frameon=False)
    return finished(figure)


def _band(x: np.ndarray) -> np.ndarray:
    """Compute 5, 50 and 95 % at every point, NaN where no row has a value."""
    found, there = np.full((3, x.shape[1]), np.nan), ~np.isnan(x).all(0)
    found[:, there] = np.nanpercentile(x[:, there], [5, 50, 95], axis=0)
    return found


def _scatter(x: np.ndarray, labels: Sequence[str], figure: Canvas | None, ax: Axes | None) -> Figure:
    figure, (axes,) = grid(1, 3.2, figure or (None if ax is not None else canvas((4.6, 4.0))), ax)
    axes.scatter(*x[:SCATTERED].T, s=9, color=SIMULATED, alpha=0.5, lw=0)
    axes.locator_params(nbins=6)
    axes.set_xlabel(labels[0])
    axes.set_ylabel(labels[1])
    return finished(figure)


def _lines(
    x: np.ndarray, axes: Sequence[AxisLike], quantity: str, unit: str, *, joined: bool, figure: Canvas | None,
    ax: Axes | None,
) -> Figure:  # fmt: skip
    """Draw single observations over the range of all, a panel per channel."""
    channels = x[:, :, None] if x.ndim == 2 else x
    axis = axes[0] if axes else None
    t = np.arange(x.shape[1]) if axis is None else np.asarray(axis.values)
    own = figure is None and ax is None
    figure, panels = grid(channels.shape[2], 1.7 if x.ndim == 3 else 3.0, figure, ax)
    if own and isinstance(figure, Figure):
        figure.set_figwidth(max(figure.get_figwidth(), 7))
    marker = "o" if len(t) <= MARKED or not joined else None
    for i, panel in enumerate(panels):
        values = channels[:, :, i]
        low, high = np.nanpercentile(values, [5, 95], axis=0)
        if joined:
            panel.fill_between(t, low, high, color=SIMULATED, alpha=0.2, lw=0, label="5 to 95 % of all")
        else:
            panel.vlines(t, low, high, color=SIMULATED, alpha=0.3, lw=4, label="5 to 95 % of all")
        for row, (color, width) in zip(values, SINGLE, strict=False):
            panel.plot(t, row, color=color, lw=width if joined else 0, marker=marker, ms=2 + width)
        panel.margins(x=0.03 if marker else 0.01)
        _tick(panel, t, axis)
        if x.ndim == 3:
            panel.set_title(_channel(axes, i), fontsize="small", pad=3)
    for panel in lowest(panels):
        panel.set_xlabel(with_unit(axis.name, axis.unit) if axis else "index")
    if ax is not None:
        ax.set_ylabel(with_unit(quantity, unit))
    else:
        figure.supylabel(with_unit(quantity, unit), fontsize="medium")
    return finished(figure)
