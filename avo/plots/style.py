"""What all pictures share: colours, panels, axes in decades, and quantities written with their units."""

import io
import math
from collections.abc import Sequence
from typing import Any, Literal, Protocol, TypeAlias

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.axis import Axis, XAxis
from matplotlib.figure import Figure, SubFigure
from matplotlib.text import Text
from matplotlib.ticker import FixedFormatter, FuncFormatter, LogLocator, MaxNLocator, NullFormatter

from avo.checks import came
from avo.parameters import Count, Parameter

OBSERVED, SIMULATED, FITTED = "#3b3b3b", "#d95f02", "#1f6fb4"
PANELS = 8  # a vector of at most this length, or a series of at most this many channels, gets a panel per entry
NARROWEST = 2.6  # inches of a panel in the user's own figure
LETTER, MARK = 0.6, 5.0  # of the size of letters: the width of one, and of what stands before a legend's entry
MOST = 4  # columns of a legend
LABELS = 8  # of a logarithmic axis at most
MANY = 1e5  # from which a tick is written as 2e5
POINTS = 1000  # drawn per line; more only makes the file larger

Canvas: TypeAlias = Figure | SubFigure


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


class Picture(Figure):
    """A figure that a notebook shows wherever it stands last in a cell; Matplotlib's own need pyplot for that.

    Example:
        >>> Picture(figsize=(2, 1))._repr_png_()[1:4]
        b'PNG'
    """

    def _repr_png_(self) -> bytes:
        image = io.BytesIO()
        self.savefig(image, format="png", dpi=self.dpi)
        return image.getvalue()


def canvas(size: tuple[float, float], figure: Canvas | None = None) -> Canvas:
    """Take the user's figure, or make one of a size, in inches."""
    _check_own(figure)
    return Picture(figsize=size, layout="constrained") if figure is None else figure


def _check_own(figure: Any, ax: Any = None) -> None:
    """Check the figure or axes of the user's own."""
    if figure is not None and not isinstance(figure, (Figure, SubFigure)):
        raise ValueError(f"figure must be a Figure or SubFigure of matplotlib; got {came(figure)}.")
    if ax is not None and not isinstance(ax, Axes):
        raise ValueError(f"ax must be axes of matplotlib, such as figure.subplots(); got {came(ax)}.")


def room(figure: Canvas | None, each: float = NARROWEST) -> int:
    """Say how many panels, or other things of a width in inches, stand side by side in the user's figure."""
    _check_own(figure)
    return 99 if figure is None else max(1, int(figure.bbox.width / figure.dpi / each))


def legend_above(figure: Canvas, *panels: Axes) -> None:
    """Write one legend of some panels above all, as many entries in a row as there is room for."""
    found: dict[str, Any] = {}
    for axes in panels:
        found = dict(zip(*axes.get_legend_handles_labels()[::-1], strict=True)) | found
    if found:
        handles, names = list(found.values()), list(found)
        figure.legend(handles, names, loc="outside upper right", ncols=columns_of(figure, names), frameon=False)


def columns_of(figure: Canvas, names: Sequence[str]) -> int:
    """Say in how many columns the entries of a legend find room, one below the other in each.

    Example:
        >>> names = ["observed", "simulated", "95 %, if the simulator is right"]
        >>> [columns_of(Figure(figsize=(inches, 2)), names) for inches in (8, 5, 3)]
        [3, 2, 1]
    """
    size = float(matplotlib.rcParams["font.size"]) / 72
    for columns in range(min(len(names), MOST), 1, -1):
        parts = [part.tolist() for part in np.array_split(np.array(names, object), columns)]
        wide = sum(LETTER * max(map(len, part)) + MARK for part in parts) * size
        if wide * figure.dpi <= figure.bbox.width:
            return columns
    return 1


def grid(
    count: int, height: float = 2.2, figure: Canvas | None = None, ax: Axes | None = None
) -> tuple[Canvas, list[Axes]]:
    """Make `count` panels, at most 4 in a row, in the user's figure, as many in a row as it has room for, or axes.

    Raises:
        ValueError: if axes are given to a picture of several panels.
    """
    _check_own(figure, ax)
    if ax is not None:
        if figure is not None or count != 1:
            raise ValueError(
                f"ax= takes a picture of one panel, and this one has {count}"
                f"{' and got figure= too' if figure is not None else ''}; pass figure=, a Figure or a SubFigure."
            )
        return ax.figure, [ax]
    columns = count if count <= 3 else min(4, math.ceil(math.sqrt(count)))
    columns = min(columns, room(figure))
    rows = -(-count // columns)
    figure = canvas((max(3.3 * columns, 5) + 0.7, height * rows + 0.8), figure)
    panels = figure.subplots(rows, columns, squeeze=False).ravel()
    for axes in panels[count:]:
        axes.remove()
    return figure, list(panels[:count])


def lowest(panels: Sequence[Axes]) -> list[Axes]:
    """Pick the panels with none below them."""
    if len(panels) == 1:
        return list(panels)
    columns = max(axes.get_subplotspec().colspan.stop for axes in panels)  # pyright: ignore[reportOptionalMemberAccess]
    return list(panels[-columns:])


class _Ticks(LogLocator):
    """Ticks of a logarithmic axis whose labels find room beside one another, two at least.

    The first that fit of: 1, 2, 5 and their like in each decade; 1 and 3; 1; every second, third... decade. Where an
    axis is too short in decades for any of them, ticks are even, as on a linear axis.
    """

    def tick_values(self, vmin: float, vmax: float) -> Any:
        low, high = sorted((vmin, vmax))
        if not (low > 0 and np.isfinite(high) and high > low):
            return super().tick_values(vmin, vmax)
        first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
        powers = 10.0 ** np.arange(first, last + 1)
        finer = [np.outer(powers, subs).ravel() for subs in ((1.0, 2.0, 5.0), (1.0, 3.0), (1.0,))]
        coarser = [10.0 ** np.arange(math.ceil(first / k) * k, last + 1, k) for k in range(2, last - first + 1)]
        even = [np.asarray(MaxNLocator(n, steps=[1, 2, 2.5, 5, 10]).tick_values(low, high)) for n in (5, 4, 3, 2, 1)]
        fallback = np.array([])
        for least, sets in ((3, finer + coarser), (3, even), (2, finer + coarser + even)):
            for values in sets:
                inside = values[(values >= low * (1 - 1e-9)) & (values <= high * (1 + 1e-9))]
                if least <= len(inside) <= LABELS and self._fit(inside, low, high):
                    return inside
                if len(inside) and not len(fallback):
                    fallback = inside
        ends = fallback[[0, -1]] if len(fallback) > 1 else fallback
        return ends if self._fit(ends, low, high) else ends[:1]

    def _fit(self, values: np.ndarray, low: float, high: float) -> bool:
        """Say whether the labels of some values find room on the axis."""
        if not isinstance(self.axis, Axis):
            return True
        size, box = float(matplotlib.rcParams["font.size"]), self.axis.axes.bbox
        inches = 72 / self.axis.axes.figure.dpi  # pyright: ignore[reportOptionalMemberAccess]
        if isinstance(self.axis, XAxis):
            length, wide = box.width * inches, np.array([LETTER * size * len(plain_number(v)) for v in values])
        else:
            length, wide = box.height * inches, np.full(len(values), size)
        places = length * np.log(values / low) / math.log(high / low)
        return bool(np.all(np.diff(places) > (wide[1:] + wide[:-1]) / 2 + size / 2))


def plain_number(value: float) -> str:
    """Write the number of a tick.

    Example:
        >>> [plain_number(value) for value in (0.002, 1.5, 50000.0, 2e5, 1e6, 2e-7)]
        ['0.002', '1.5', '50000', '2e5', '1e6', '2e-7']
    """
    digits, e, power = f"{value:g}".partition("e")
    if not e and value >= MANY:
        digits, e, power = f"{value:.5e}".partition("e")
    return f"{float(digits):g}e{int(power)}" if e else digits


def decades(axes: Axes, which: Literal["x", "y"]) -> None:
    """Make an axis logarithmic, with ticks that read 0.2, 0.5, 1, as many as there is room for.

    Example:
        >>> axes = Figure().subplots()
        >>> _ = axes.set_ylim(0.3, 6), decades(axes, "y")
        >>> [text.get_text() for text in axes.get_yticklabels()]
        ['0.5', '1', '2', '5']
    """
    axes.set(**{f"{which}scale": "log"})
    axis = getattr(axes, f"{which}axis")
    axis.set_major_locator(_Ticks())
    axis.set_major_formatter(FuncFormatter(lambda value, _: plain_number(value)))
    axis.set_minor_formatter(NullFormatter())


def ticked(axes: Axes, which: Literal["x", "y"], parameter: Parameter, most: int | None = 5) -> None:
    """Give an axis the ticks of a parameter: in decades where it is logarithmic, whole numbers of a count.

    Example:
        >>> axes = Figure().subplots()
        >>> _ = axes.plot([5, 5]), ticked(axes, "y", Count(1, 30))
        >>> all(tick == round(tick) for tick in axes.get_yticks())
        True
    """
    if parameter.logarithmic:
        decades(axes, which)
        return
    axis = getattr(axes, f"{which}axis")
    axes.ticklabel_format(axis=which, useOffset=False)
    if isinstance(parameter, Count):
        low, high = sorted(axis.get_view_interval())
        middle, reach = (low + high) / 2, max((high - low) / 2, 1.2)
        axes.set(**{f"{which}lim": (middle - reach, middle + reach)})
        axis.set_major_locator(MaxNLocator(5 if most is None else most, integer=True))
    elif most is not None:
        axes.locator_params(which, nbins=most)


def finished(figure: Canvas) -> Figure:
    """Take all names as they are, a dollar sign too, fold or cut long ones, and give the figure that holds them."""
    for text in figure.findobj(Text):
        text.set_parse_math(False)
    for axes in figure.axes:
        axes.set(xlabel=cut(axes.get_xlabel()), ylabel=folded(cut(axes.get_ylabel()), _letters(axes)))
        for text in (axes.title, axes.xaxis.label):
            text.set_wrap(True)  # at the edges of the figure
        for axis in (axes.xaxis, axes.yaxis):
            formatter = axis.get_major_formatter()
            if isinstance(formatter, FixedFormatter):
                formatter.seq = [cut(label) for label in formatter.seq]
                for tick in axis.get_major_ticks():
                    tick.label1.set_parse_math(False)
    whole: Any = figure.figure
    return whole


def _letters(axes: Axes) -> int:
    """Say how many letters find room along the height of a panel."""
    spec, whole = axes.get_subplotspec(), axes.figure
    share = 1.0 if spec is None else len(spec.rowspan) / spec.get_gridspec().nrows
    return int(share * whole.bbox.height / whole.figure.dpi * 72 / (LETTER * float(matplotlib.rcParams["font.size"])))


def folded(words: str, letters: int) -> str:
    """Break words in two lines where they are longer than so many letters.

    Example:
        >>> folded("clearance of creatinine (l/h)", 20), folded("rate (1/h)", 20)
        ('clearance of\\ncreatinine (l/h)', 'rate (1/h)')
    """
    if len(words) <= letters or " " not in words:
        return words
    spaces = [i for i, sign in enumerate(words) if sign == " "]
    at = min(spaces, key=lambda i: abs(2 * i - len(words)))
    return f"{words[:at]}\n{words[at + 1 :]}"


def cut(words: str, most: int = 44) -> str:
    """Shorten a name that would leave no room for the picture.

    Example:
        >>> cut("energy"), cut("a" * 50, 9)
        ('energy', 'aaaa...aa')
    """
    return words if len(words) <= most else f"{words[: most - 5]}...{words[-2:]}"
