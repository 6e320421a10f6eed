"""What all pictures share: colours, panels, and quantities written with their units."""

import math
from collections.abc import Sequence
from typing import Protocol

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

OBSERVED, SIMULATED, FITTED = "#3b3b3b", "#d95f02", "#1f6fb4"
PANELS = 8  # a vector of at most this length, or a series of at most this many channels, gets a panel per entry
POINTS = 1000  # drawn per line; more only makes the file larger


class AxisLike(Protocol):
    """One axis of x: its name, unit and coordinates; `avo.simulators.Axis` is one, and may have labels."""

    @property
    def name(self) -> str: ...
    @property
    def unit(self) -> str: ...
    @property
    def values(self) -> np.ndarray: ...


def with_unit(name: str, unit: str) -> str:
    """Write a quantity with its unit, "voltage (mV)"; without unit the name alone.

    Example:
        >>> with_unit("voltage", "mV"), with_unit("count", "")
        ('voltage (mV)', 'count')
    """
    return f"{name} ({unit})" if unit else name


def grid(count: int, height: float = 2.2) -> tuple[Figure, list[Axes]]:
    """Make `count` panels, at most 4 in a row."""
    columns = count if count <= 3 else min(4, math.ceil(math.sqrt(count)))
    rows = -(-count // columns)
    figure = Figure(figsize=(max(3.3 * columns, 5) + 0.7, height * rows + 0.8), layout="constrained")
    panels = figure.subplots(rows, columns, squeeze=False).ravel()
    for axes in panels[count:]:
        axes.remove()
    return figure, list(panels[:count])


def lowest(panels: Sequence[Axes]) -> list[Axes]:
    """Pick the panels with none below them."""
    columns = max(axes.get_subplotspec().colspan.stop for axes in panels)  # pyright: ignore[reportOptionalMemberAccess]
    return list(panels[-columns:])
