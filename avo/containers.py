"""Arrays as users hold them, of pandas, xarray or PyTorch or with a mask: their numbers, and the names they bring.

None of these packages is imported here: where an object of theirs came, its package is there already.
"""

import math
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple, Protocol, TypeAlias

import numpy as np
from jaxtyping import ArrayLike


class HasArray(Protocol):
    """What makes an array of itself: a DataFrame or Series, a DataArray, a tensor."""

    def __array__(self) -> np.ndarray: ...


LONG = 4  # digits of a coordinate that are written as they are
LABELLED = 1000  # names of rows are kept of so few; of more, a result keeps some rows alone

Held: TypeAlias = ArrayLike | HasArray


class Axis(NamedTuple):
    """One axis of x: its name, unit and coordinates; `labels` name entries that differ, unit included."""

    name: str
    unit: str
    values: np.ndarray
    labels: tuple[str, ...] = ()

    @property
    def entries(self) -> tuple[str, ...]:
        """Names of the entries: their labels, else their coordinates, unless these only count.

        Example:
            >>> Axis("lag", "steps", np.array([1, 5])).entries, Axis("column", "", np.arange(3)).entries
            (('lag 1 steps', 'lag 5 steps'), ())
        """
        values = np.asarray(self.values)
        if self.labels or np.array_equal(values, np.arange(len(values))):
            return self.labels
        return tuple(" ".join(filter(None, (self.name, word, self.unit))) for word in coordinates(values))

    def to_json(self) -> dict[str, Any]:
        """Describe it by plain values, for `Axis.from_json`."""
        return self._asdict() | {"values": np.asarray(self.values).tolist(), "labels": list(self.labels)}

    @staticmethod
    def from_json(words: dict[str, Any]) -> "Axis":
        """Read what `to_json` gave.

        Example:
            >>> Axis.from_json(Axis("column", "", np.arange(2), ("angle", "rate")).to_json())
            Axis(name='column', unit='', values=array([0, 1]), labels=('angle', 'rate'))
        """
        return Axis(words["name"], words["unit"], np.array(words["values"]), tuple(words["labels"]))


def coordinates(values: np.ndarray) -> tuple[str, ...]:
    """Write coordinates, long ones to two digits of the way to the nearest other one, by which they are told apart.

    Example:
        >>> coordinates(np.arange(-2, 2) / 12), coordinates(np.array([1 / 7, 10 / 7, 100 / 7]))
        (('-0.167', '-0.083', '0', '0.083'), ('0.1', '1.4', '14'))
        >>> coordinates(np.array([0.125, 0.25])), coordinates(np.array([1999.5, 2000.25]))
        (('0.125', '0.25'), ('1999.5', '2000.25'))
    """
    values = np.asarray(values)
    words = tuple(map(_word, values.tolist()))
    if values.dtype.kind != "f" or max(map(_digits, words), default=0) <= LONG:
        return words
    each, which = np.unique(values, return_inverse=True)
    gaps = np.concatenate([[np.inf], np.diff(each), [np.inf]])
    apart = np.minimum(gaps[:-1], gaps[1:])[which]
    return tuple(map(_to_digits, values.tolist(), apart.tolist()))


def _digits(word: str) -> int:
    """Count the digits of a number that are more than its place."""
    return sum(c.isdigit() for c in word.partition("e")[0].lstrip("-0."))


def _to_digits(value: float, apart: float) -> str:
    if not (math.isfinite(value) and math.isfinite(apart)) or value == 0:
        return _word(value)
    last = math.floor(math.log10(float(f"{apart:.3g}"))) - 1
    digits = math.floor(math.log10(abs(value))) - last + 1
    return f"{value:.{digits}g}" if digits > 0 else "0"


class Quantity(NamedTuple):
    """What x measures: its name and unit, "" where nobody said so."""

    name: str = ""
    unit: str = ""


@dataclass(frozen=True, eq=False)
class Labelled:
    """Observations x, with shape (m, *x_shape), one `Axis` for each axis of a row, what they measure, names of rows."""

    x: np.ndarray
    axes: tuple[Axis, ...]
    quantity: Quantity = Quantity()
    labels: tuple[str, ...] = ()

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return np.array(self.x, dtype, copy=copy)


def of_package(value: Any, package: str, *kinds: str) -> bool:
    """Say whether a value is of one of a package's classes; it cannot be where nobody imported the package."""
    return isinstance(value, tuple(getattr(sys.modules.get(package), kind, ()) for kind in kinds))


def is_frame(value: Any) -> bool:
    """Say whether a value is a DataFrame or Series of pandas."""
    return of_package(value, "pandas", "DataFrame", "Series")


def plain(name: str, value: Any, missing: bool = False, advice: str = "") -> Any:
    """Take the numbers out of what a user holds them in, for `numpy.asarray`.

    Args:
        name: what messages call the argument.
        value: a DataFrame or Series, a DataArray, a tensor, a masked array without masked entries, or what NumPy takes
            as it is; also a list of such.
        missing: whether entries may be masked, which then are NaN.
        advice: what else to do about masked entries, for the message.

    Raises:
        ValueError: if a column of a frame is not numeric, an entry is masked, a Dataset came, or a tensor has no
            counterpart in NumPy.

    Example:
        >>> x = np.ma.masked_equal([[1.5, -999.0], [2.5, 3.5]], -999.0)
        >>> plain("x_obs", x)
        Traceback (most recent call last):
            ...
        ValueError: x_obs has 1 masked entry of 4, in 1 of 2 rows, and avo does not know what stood there. Leave such
        rows out, x_obs[~numpy.ma.getmaskarray(x_obs).any(axis=1)], or fill them.
        >>> plain("x_obs", x[1:]).tolist()
        [[2.5, 3.5]]
    """
    if isinstance(value, Labelled):
        return value.x
    if of_package(value, "pandas", "DataFrame"):
        return _numbers_of_frame(name, value)
    if of_package(value, "pandas", "Series"):
        return _numbers_of_frame(name, value.to_frame("" if value.name is None else value.name))[:, 0]
    if of_package(value, "xarray", "Dataset", "DataTree"):
        raise ValueError(
            f"{name} must be one array; got a {type(value).__name__} with {', '.join(map(str, value)) or 'none'}. "
            f"Choose a variable, {name}[NAME], or stack several by {name}.to_dataarray().transpose(...)."
        )
    if of_package(value, "xarray", "DataArray"):
        return plain(name, value.data, missing, advice)
    if hasattr(value, "detach") and hasattr(value, "cpu"):
        return _numbers_of_tensor(name, value)
    if np.ma.isMaskedArray(value):
        hidden = missing and np.ma.getmaskarray(value).any()
        return np.ma.filled(value.astype(np.float64), np.nan) if hidden else _unmasked(name, value, advice)
    if isinstance(value, (list, tuple)) and any(map(_held, value)):
        return [plain(f"{name}[{i}]", part, missing, advice) for i, part in enumerate(value)]
    return value


def _held(value: Any) -> bool:
    return np.ma.isMaskedArray(value) or hasattr(value, "detach") or is_frame(value)


def _numbers_of_frame(name: str, frame: Any) -> np.ndarray:
    """Take a frame's numbers as float64, missing values as NaN; columns of anything else are named."""
    kinds = [getattr(dtype, "numpy_dtype", getattr(dtype, "subtype", dtype)) for dtype in frame.dtypes]
    other = [
        (column, dtype)
        for column, dtype, kind in zip(frame.columns, frame.dtypes, kinds, strict=True)
        if getattr(kind, "kind", "O") not in "biuf"
    ]
    if other:
        shown = ", ".join(f"{_name(column)!r} has dtype {dtype}" for column, dtype in other[:5])
        more = f", and {len(other) - 5} more" if len(other) > 5 else ""
        raise ValueError(
            f"{name} must hold numbers in every column; {shown}{more}. Convert such columns, or leave them out by "
            f"{name}.drop(columns=...)."
        )
    # Row by row, as observations are: sums over another order of memory differ in the last bit
    return np.ascontiguousarray(frame.to_numpy(dtype=np.float64, na_value=np.nan))


def _numbers_of_tensor(name: str, tensor: Any) -> Any:
    try:
        return tensor.detach().cpu().numpy()
    except (TypeError, RuntimeError) as error:
        raise ValueError(
            f"{name} is no tensor for NumPy ({str(error).splitlines()[0]}). Convert it, {name}.float()."
        ) from error


def padded(rows: Any) -> np.ndarray | None:
    """Pad rows of unequal length by NaN at their ends; None where they differ in more than that, or are no numbers.

    Example:
        >>> padded([[1.0, 2.0], [3.0], []]).tolist()
        [[1.0, 2.0], [3.0, nan], [nan, nan]]
    """
    try:
        parts = [np.asarray(row, dtype=np.float64) for row in rows]
    except (TypeError, ValueError):
        return None
    if any(part.ndim == 0 for part in parts) or len({part.shape[1:] for part in parts}) != 1:
        return None
    x = np.full((len(parts), max(map(len, parts)), *parts[0].shape[1:]), np.nan)
    for row, part in zip(x, parts, strict=True):
        row[: len(part)] = part
    return x


def _unmasked(name: str, value: np.ma.MaskedArray, advice: str = "") -> np.ndarray:
    """Take an array whose mask hides nothing."""
    mask = np.ma.getmaskarray(value)
    if not (count := int(mask.sum())):
        return np.asarray(value.data)
    many = mask.ndim > 1
    rows = f", in {mask.reshape(len(mask), -1).any(axis=1).sum()} of {len(mask)} rows," if many else ""
    axes = "" if not many else ".any(axis=1)" if mask.ndim == 2 else f".any(axis={tuple(range(1, mask.ndim))})"
    raise ValueError(
        f"{name} has {count} masked entr{'y' if count == 1 else 'ies'} of {mask.size}{rows} and avo does not know what "
        f"stood there. Leave such rows out, {name}[~numpy.ma.getmaskarray({name}){axes}], or fill them{advice}."
    )


def words_of(name: str, value: Any) -> np.ndarray:
    """Take labels, one for each row, of a Series, of a frame with one column, or of an array; missing ones are None.

    Raises:
        ValueError: if a frame has several columns, or an entry is masked.
    """
    if of_package(value, "pandas", "DataFrame"):
        if value.shape[1] != 1:
            raise ValueError(
                f"{name} must have one label for each row; got a frame with {value.shape[1]} columns, "
                f"{', '.join(map(_name, value.columns[:5]))}. Choose one of them."
            )
        value = value.iloc[:, 0]
    if of_package(value, "pandas", "Series", "Index", "Categorical"):
        series = sys.modules["pandas"].Series(value)
        return series.to_numpy(dtype=object, na_value=None)
    return np.asarray(plain(name, value))


def same_rows(**given: Any) -> None:
    """Refuse frames whose rows are the same, but in another order: avo goes by place, and would pair them wrongly.

    Raises:
        ValueError: if the indexes of two of them hold the same labels in different orders.
    """
    frames = [(name, value.index) for name, value in given.items() if is_frame(value)]
    for name, index in frames[1:]:
        first, own = frames[0]
        if len(index) == len(own) and not index.equals(own) and set(index) == set(own):
            raise ValueError(
                f"{name} has the rows of {first} in another order, by their indexes. Order them alike: "
                f"{name} = {name}.loc[{first}.index]; or, where the order is right, {name} = {name}.to_numpy()."
            )


# --- names -----------------------------------------------------------------------------------------------------------


def axes_of(value: Any) -> tuple[Axis, ...]:
    """Take the names of x's entries from observations that bring some: an `Axis` for each axis of a row, or none.

    Columns of a frame that only count, and dimensions without a name or coordinates, are no names.
    """
    if isinstance(value, Labelled):
        return value.axes
    if of_package(value, "pandas", "DataFrame"):
        return _axis_of_columns(list(value.columns), value.columns.name)
    if of_package(value, "xarray", "DataArray"):
        found = tuple(_axis_of_dimension(value, str(dim)) for dim in value.dims[1:])
        named = any(axis.entries or not axis.name.startswith("dim_") for axis in found)
        return found if named else ()
    return ()


def quantity_of(value: Any) -> Quantity:
    """Take what x measures from observations that say so: the name of a DataArray and its attribute `units`."""
    if isinstance(value, Labelled):
        return value.quantity
    if of_package(value, "xarray", "DataArray"):
        return Quantity(str(value.name or ""), str(value.attrs.get("units", "")))
    return Quantity()


def labels_of(value: Any) -> tuple[str, ...]:
    """Take the names of rows from observations that have an index, at most `LABELLED`; () where it only counts.

    Example:
        >>> labels_of(Labelled(np.zeros((2, 3)), (), labels=("Delft", "Leiden"))), labels_of(np.zeros((2, 3)))
        (('Delft', 'Leiden'), ())
    """
    if isinstance(value, Labelled):
        return value.labels if len(value.labels) <= LABELLED else ()
    if not is_frame(value) or len(value) > LABELLED or list(value.index) == list(range(len(value))):
        return ()
    return tuple(map(_name, value.index))


def _axis_of_columns(columns: Sequence[Any], name: Any = None) -> tuple[Axis, ...]:
    count = np.arange(len(columns))
    axis = "column" if name is None else str(name)
    if all(isinstance(column, (int, float, np.number)) for column in columns):
        values = np.array(columns, float)
        counts = np.array_equal(values, count) and name is None
        return () if counts or not np.isfinite(values).all() else (Axis(axis, "", values),)
    return (Axis(axis, "", count, tuple(map(_name, columns))),)


def named_columns(names: Sequence[str]) -> tuple[Axis, ...]:
    """Make the axes of a table of which the columns have these names; () where there are none."""
    return (Axis("column", "", np.arange(len(names)), tuple(names)),) if names else ()


def _axis_of_dimension(array: Any, dim: str) -> Axis:
    """Take a dimension's coordinates: numbers, or words as labels; others, such as dates, are left out."""
    size = array.sizes[dim]
    if dim not in array.coords:
        return Axis(dim, "", np.arange(size))
    along = array.coords[dim]
    values, unit = np.asarray(along.values), str(along.attrs.get("units", ""))
    if values.dtype.kind in "biuf" and np.isfinite(values).all():
        return Axis(dim, unit, values)
    words = values.dtype.kind in "UT" or all(isinstance(value, str) for value in values.tolist())
    return Axis(dim, unit, np.arange(size), tuple(map(str, values.tolist())) if words else ())


def refuse_namesakes(name: str, value: Any) -> None:
    """Refuse observations of which two entries along an axis have the same name, or coordinate: no table tells them.

    Raises:
        ValueError: names them.

    Example:
        >>> refuse_namesakes("x_obs", Labelled(np.zeros((4, 3)), named_columns(("a", "b", "a"))))
        Traceback (most recent call last):
            ...
        ValueError: x_obs must have a name of its own for each column; columns 0 and 2 both are 'a'. Rename one, or hand
        over bare numbers.
    """
    for axis in axes_of(value):
        entries = axis.labels or np.asarray(axis.values).tolist()
        first: dict[Any, int] = {}
        for i, entry in enumerate(entries):
            if (j := first.setdefault(entry, i)) != i:
                word = repr(entry) if isinstance(entry, str) else f"{entry:g}"
                along = "column" if isinstance(value, Labelled) or is_frame(value) else f"entry along {axis.name}"
                many = "columns" if along == "column" else "entries"
                raise ValueError(
                    f"{name} must have a name of its own for each {along}; {many} {j} and {i} both are {word}. Rename "
                    "one, or hand over bare numbers."
                )


def arranged(name: str, value: Any, axes: tuple[Axis, ...]) -> Any:
    """Take the columns that a fit had, in its order, from a table whose columns have names.

    Args:
        name: what messages call the argument.
        value: anything; only tables of named columns change.
        axes: the fit's own.

    Raises:
        ValueError: if a column is missing.
    """
    own, found = _columns(axes), _columns(axes_of(value))
    if not own or not found or own == found:
        return value
    if not axes[0].labels and axes_of(value)[0].labels and len(own) == len(found):
        return value  # coordinates are no names of columns: those that the file has, or the user renamed
    if missing := [column for column in own if column not in found]:
        raise ValueError(
            f"{name} must have the columns of the fit, {', '.join(own[:9])}; got {', '.join(found[:9])}, without "
            f"{', '.join(missing[:9])}. Rename them, or hand over bare numbers in the fit's order."
        )
    if twice := [column for column in own if found.count(column) > 1]:
        raise ValueError(f"{name} must have each column of the fit once; it has {twice[0]} twice. Rename one.")
    order = [found.index(column) for column in own]
    if isinstance(value, Labelled):
        return replace(value, x=value.x[:, order], axes=axes)
    return value.iloc[:, order] if is_frame(value) else value[:, order]


def _columns(axes: tuple[Axis, ...]) -> list[str]:
    """The names by which columns are told apart, of tables."""
    return [_name(column) for column in axes[0].labels or np.asarray(axes[0].values).tolist()] if len(axes) == 1 else []


def _name(column: Any) -> str:
    """Write a column's name; the levels of several beside one another."""
    return " ".join(str(part) for part in column if str(part)) if isinstance(column, tuple) else _word(column)


def _word(value: Any) -> str:
    return f"{value:g}" if isinstance(value, (int, float, np.number)) else str(value)
