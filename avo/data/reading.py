"""Reading files of observations; rows and columns count from 0, lines of a file from 1."""

import csv
import difflib
import gzip
import io
import re
import warnings
import zipfile
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np

from avo.checks import one_of
from avo.containers import is_frame, plain, words_of

TEXT = (".csv", ".csv.gz", ".tsv", ".txt", ".dat")
FRAMES = (".parquet", ".feather")
READABLE = (".npy", ".npz", *TEXT, *FRAMES, ".hea")

Columns = str | int | Sequence[str | int]


class Table(NamedTuple):
    """What a file holds: observations x, the names of their columns, and what stands beside them in other columns.

    Args:
        x: the observations, with shape (m, ...).
        names: of the columns of x, () where the file has none.
        inputs: known conditions, with shape (m, k), where columns were named for them.
        input_names: of their columns, likewise.
        groups: labels of clusters, with shape (m,), where a column was named for them.
        index: what names the rows, with shape (m,), where a column was named for it.
        index_name: name of that column.
        weights: of the rows, with shape (m,), where a column was named for them.
    """

    x: np.ndarray
    names: tuple[str, ...] = ()
    inputs: np.ndarray | None = None
    input_names: tuple[str, ...] = ()
    groups: np.ndarray | None = None
    index: np.ndarray | None = None
    index_name: str = ""
    weights: np.ndarray | None = None


def read(
    path: str | Path, *, columns: Columns | None = None, key: str | None = None, decimal: str | None = None
) -> np.ndarray:
    """Read observations, one per row, from a file.

    Read are `.npy`; `.npz`; text, `.csv`, `.csv.gz`, `.tsv`, `.txt`, `.dat`; `.parquet` and `.feather`, by pandas; and
    WFDB records by their `.hea`, or the `.dat` beside it (one row per sample, one column per lead, in physical units).

    Of text, lines that begin with # and empty ones are skipped. What parts the cells is seen from the last line with
    numbers: semicolons, tabs, commas, else white space. Lines before the first number are headings: the first one as
    wide as the data names the columns, others are titles and skipped. A first column without a name that only tells
    rows apart, as pandas and R write it, is left out, with a warning. A first row 0,1,2,... is an observation, with a
    warning; only of three columns or more, of which other rows have decimals, it numbers them.

    A comma is a decimal one where semicolons, tabs or white space part the cells. A file of rows such as

        1,5
        2,25

    may have one column or two. It is refused unless a heading names two columns, or `columns` or `decimal` is given, or
    the second numbers cannot be decimals: these are equally long, or do not end in 0.

    Args:
        path: the file.
        columns: column(s) to keep, by name or by number from 0, in this order; other columns of a table may then hold
            text. A list keeps a column axis, a single name or number drops it. None: all.
        key: array to take from an `.npz` file; None: `x`, or the only one.
        decimal: decimal sign of a text file, "." or ","; None: seen from the file.

    Returns:
        The numbers, with shape (m, ...); (m, k) from tables and WFDB files.

    Raises:
        FileNotFoundError: if there is no such file; names similar ones beside it.
        ValueError: if the file cannot be read as numbers; says where.
        ImportError: if a WFDB record is asked for and wfdb is not installed, or another file and pandas is not.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp()) / "swing.csv"
        >>> _ = path.write_text("time,angle\\n0.0,1.5\\n0.1,1.25\\n")
        >>> read(path)
        array([[0.  , 1.5 ],
               [0.1 , 1.25]])
        >>> read(path, columns="angle")
        array([1.5 , 1.25])
        >>> _ = path.write_text("time;angle\\n0,0;1,5\\n0,1;1,25\\n")
        >>> read(path, columns="angle")
        array([1.5 , 1.25])
    """
    return read_table(path, columns=columns, key=key, decimal=decimal).x


def read_table(
    path: str | Path,
    *,
    columns: Columns | None = None,
    key: str | None = None,
    decimal: str | None = None,
    inputs: Columns | None = None,
    groups: str | int | None = None,
    index: str | int | None = None,
    weights: str | int | None = None,
    missing: bool = False,
) -> Table:
    """Read observations, and what stands in columns beside them.

    Args:
        path: the file, as for `read`.
        columns: columns of the observations; None: all that are not named below.
        key: array of an `.npz` file.
        decimal: decimal sign of a text file.
        inputs: columns of known conditions; of an `.npz` file, the name of an array.
        groups: column of labels of clusters, which may be text; of an `.npz` file, the name of an array.
        index: column of names of the rows, which may be text; likewise.
        weights: column of weights of the rows; likewise, but numbers.
        missing: whether cells of text may be empty, NA, N/A, null or a point, and rows lack cells at their ends: NaN.

    Raises:
        FileNotFoundError: as `read`.
        ValueError: as `read`.
        ImportError: as `read`.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp()) / "patients.csv"
        >>> _ = path.write_text("who,dose,left,right\\nann,0.5,1,2\\nbob,1.5,3,4\\n")
        >>> table = read_table(path, inputs="dose", groups="who")
        >>> table.x.tolist(), table.names, table.inputs.tolist(), table.groups.tolist()
        ([[1.0, 2.0], [3.0, 4.0]], ('left', 'right'), [[0.5], [1.5]], ['ann', 'bob'])
    """
    path = existing(Path(path))
    name = path.name.lower()
    if key is not None and not name.endswith(".npz"):
        raise ValueError(f"key chooses an array of an .npz file; got key={key!r} for {path}. Leave it out.")
    if decimal is not None:
        one_of("decimal", decimal, (".", ","))
    source: Any
    if name.endswith((".npy", ".npz")):
        source = _Arrays(path, key)
    elif name.endswith(".hea") or (name.endswith(".dat") and path.with_suffix(".hea").exists()):
        record = read_record(path)
        source = _Numbers(path, record.p_signal, record.sig_name)
    elif name.endswith(TEXT):
        source = _Cells(path, columns is not None, decimal, missing)
    elif name.endswith(FRAMES):
        source = _Frame(path)
    else:
        raise ValueError(
            f"{path}: cannot read files of this kind; expected one of {', '.join(READABLE)}. Save as .npy or .csv."
        )
    aside = {"inputs": inputs, "groups": groups, "index": index, "weights": weights}
    taken = {word: source.places(named, word) for word, named in aside.items() if named is not None}
    if columns is None:
        others = [place for places in taken.values() for place in places]
        x, names = source.rest(others)
        if x.size == 0:
            raise ValueError(f"{path} has no column left for observations besides {', '.join(taken)}.")
    else:
        places = source.places(columns, "columns")
        x, names = source.numbers(places), source.named(places)
        x = x[..., 0] if isinstance(columns, (str, int)) else x
    table = Table(x, names)
    if "inputs" in taken:
        c = source.numbers(taken["inputs"])
        table = table._replace(inputs=c.reshape(len(c), -1), input_names=source.named(taken["inputs"]))
    if "weights" in taken:
        table = table._replace(weights=np.asarray(source.numbers(taken["weights"]), float).reshape(len(x), -1)[:, 0])
    if "groups" in taken:
        table = table._replace(groups=source.words(taken["groups"][0]))
    if "index" in taken:
        called = source.named(taken["index"])
        table = table._replace(index=source.words(taken["index"][0]), index_name=called[0] if called else "index")
    return table


class _Numbers:
    """An array of numbers, of which the last axis may have names."""

    def __init__(self, path: Path, x: np.ndarray, names: Sequence[str] | None = None) -> None:
        self.path, self.x, self.names = path, x, None if names is None else list(names)

    def places(self, columns: Columns, argument: str) -> list[Any]:
        if self.x.ndim < 2:
            raise ValueError(
                f"{argument} chooses along the last axis of a table; {self.path} has shape {self.x.shape}. "
                "Leave it out."
            )
        return _positions(columns, self.names, self.x.shape[-1], argument, self.path)

    def rest(self, others: Sequence[Any]) -> tuple[np.ndarray, tuple[str, ...]]:
        if not others:
            return self.x, tuple(self.names or ())
        kept = [i for i in range(self.x.shape[-1]) if i not in others]
        return self.numbers(kept), self.named(kept)

    def numbers(self, places: list[Any]) -> np.ndarray:
        return self.x[..., places]

    def named(self, places: list[Any]) -> tuple[str, ...]:
        return tuple(self.names[i] for i in places) if self.names else ()

    def words(self, place: Any) -> np.ndarray:
        return self.x[..., place]


class _Arrays(_Numbers):
    """A file of NumPy's; of an `.npz` file a name is that of an array beside x."""

    def __init__(self, path: Path, key: str | None) -> None:
        super().__init__(path, _read_numpy(path, key))

    def places(self, columns: Columns, argument: str) -> list[Any]:
        if argument != "columns" and isinstance(columns, str) and self.path.suffix.lower() == ".npz":
            return [_read_numpy(self.path, columns, words=argument not in ("inputs", "weights"), argument=argument)]
        return super().places(columns, argument)

    def rest(self, others: Sequence[Any]) -> tuple[np.ndarray, tuple[str, ...]]:
        return super().rest([other for other in others if isinstance(other, int)])

    def numbers(self, places: list[Any]) -> np.ndarray:
        return places[0] if places and isinstance(places[0], np.ndarray) else super().numbers(places)

    def named(self, places: list[Any]) -> tuple[str, ...]:
        return ()

    def words(self, place: Any) -> np.ndarray:
        return place if isinstance(place, np.ndarray) else super().words(place)


class _Frame(_Numbers):
    """A file that pandas reads."""

    def __init__(self, path: Path) -> None:
        kind = path.suffix.lower()
        try:
            import pandas

            frame = pandas.read_parquet(path) if kind == ".parquet" else pandas.read_feather(path)
        except ImportError as error:
            raise ImportError(f"Reading {kind} files needs pandas and pyarrow: pip install pandas pyarrow.") from error
        except (OSError, ValueError) as error:
            raise ValueError(f"{path} cannot be read as a {kind} file ({error}). Save it again.") from error
        assert is_frame(frame)
        self.path, self.frame, self.names = path, frame, [str(column) for column in frame.columns]

    def places(self, columns: Columns, argument: str) -> list[Any]:
        return _positions(columns, self.names, len(self.names or ()), argument, self.path)

    def rest(self, others: Sequence[Any]) -> tuple[np.ndarray, tuple[str, ...]]:
        kept = [i for i in range(self.frame.shape[1]) if i not in others]
        return self.numbers(kept), self.named(kept)

    def numbers(self, places: list[Any]) -> np.ndarray:
        try:
            return plain(str(self.path), self.frame.iloc[:, places])
        except ValueError as error:
            raise ValueError(f"{str(error).partition(' Convert')[0]} Choose other columns.") from error

    def words(self, place: Any) -> np.ndarray:
        return words_of(str(self.path), self.frame.iloc[:, place])


def existing(path: Path) -> Path:
    if path.is_dir():
        raise ValueError(f"{path} is a folder; expected a file. Name one of the files in it.")
    if not path.exists():
        if not path.parent.is_dir():
            raise FileNotFoundError(f"There is no file {path}: the folder {path.parent} does not exist.")
        near = difflib.get_close_matches(path.name, [p.name for p in path.parent.iterdir()])
        hint = f" Similar names beside it: {', '.join(near)}." if near else ""
        raise FileNotFoundError(f"There is no file {path}.{hint}")
    if path.stat().st_size == 0:
        raise ValueError(f"{path} is empty; expected observations, one per row.")
    return path


def _read_numpy(path: Path, key: str | None, words: bool = False, argument: str = "key") -> np.ndarray:
    found: list[str] = []
    try:
        if path.suffix.lower() == ".npy":
            with path.open("rb") as file:
                x = np.lib.format.read_array(file, allow_pickle=False)
        else:
            with np.load(path, allow_pickle=False) as archive:
                found = archive.files
                wanted = key or ("x" if "x" in found or len(found) != 1 else found[0])
                x = archive[wanted] if wanted in found else None
    except (ValueError, TypeError, EOFError, OSError, zipfile.BadZipFile) as error:
        raise ValueError(f"{path} cannot be read as an array of numbers ({error}). Save it again.") from error
    if x is None:
        raise ValueError(f"{argument} must name one of the arrays in {path}: {', '.join(found)}; got {key!r}.")
    if x.dtype.kind not in ("biufUS" if words else "biuf"):
        raise ValueError(f"{path} must hold real numbers; got dtype {x.dtype}. Convert the array and save it again.")
    return x


class _Cells(_Numbers):
    """A table in text: its rows of cells with their lines, and the names of its columns."""

    def __init__(self, path: Path, chosen: bool, decimal: str | None, missing: bool = False) -> None:
        self.path, self.missing, text = path, missing, _text_of(path)
        sign = _separator(text, path.name.lower())
        try:
            lines = list(_rows(text, sign))
        except csv.Error as error:
            raise ValueError(f"{path} cannot be read as a table ({error}). Save it as plain text, UTF-8.") from error
        if decimal == "," and sign == "," and not any("," in cell for _, row in lines for cell in row):
            sign, lines = "\n", [(line, [",".join(row)]) for line, row in lines]
        first = next((i for i, (_, row) in enumerate(lines) if any(_like_number(cell) for cell in row)), None)
        if first is not None and _numbers_columns(lines[first][1]) and lines[first][1][0] == "" and lines[first + 1 :]:
            first += 1  # a heading 0, 1, 2, ... behind that of an index, which is empty
        if first is None:
            line = next((",".join(row) for _, row in lines), "")
            parted = SEPARATORS.get(sign, repr(sign))
            raise ValueError(
                f"{path} must hold numbers in cells separated by {parted}; its first line is {line[:60]!r}."
            )
        headings, self.lines = lines[:first], lines[first:]
        if missing:
            width = max(len(row) for _, row in self.lines)
            self.lines = [(line, row + [""] * (width - len(row))) for line, row in self.lines]
        if decimal is None and not chosen:
            self._refuse_decimal_commas(sign, headings)
        self.comma = decimal == "," or (decimal is None and sign != "," and self._has_decimal_commas())
        self._take_headings(headings)
        self.left = self._unnamed_index(sign, headings)

    def _refuse_decimal_commas(self, sign: str, headings: list[tuple[int, list[str]]]) -> None:
        """Refuse rows such as 1,5, which are one column with decimal commas as well as two columns."""
        if sign != "," or any(len(row) == 2 for _, row in headings):
            return
        after = []
        for _, row in self.lines:
            pair = re.fullmatch(r"\s*[+-]?\d+,(\d+)\s*", ",".join(row))
            if pair is None:
                return
            after.append(pair[1])
        if len(set(map(len, after))) == 1 or not any(len(digits) > 1 and digits.endswith("0") for digits in after):
            line, row = self.lines[0]
            raise ValueError(
                f"{self.path} may hold one column with decimal commas or two columns of whole numbers: line {line} is "
                f"{','.join(row)!r}. Say which, by decimal=',' or columns=[0, 1] (--decimal , or --columns 0,1), or "
                "write decimal points."
            )

    def _has_decimal_commas(self) -> bool:
        """Say whether cells have decimal commas; refuse where the table has decimal points, too."""
        cells = [(line, cell.strip()) for line, row in self.lines for cell in row]
        commas = [(line, cell) for line, cell in cells if re.fullmatch(DECIMAL_COMMA, cell)]
        points = [(line, cell) for line, cell in cells if "." in cell and _number(cell) is not None]
        if commas and points:
            raise ValueError(
                f"{self.path} must have one decimal sign; line {commas[0][0]} has {commas[0][1]!r}, line "
                f"{points[0][0]} has {points[0][1]!r}. Write decimal points in both."
            )
        return bool(commas)

    def _take_headings(self, headings: list[tuple[int, list[str]]]) -> None:
        """Take the names of columns, and judge a first row 0, 1, 2, ... of which nothing says what it is."""
        first = self.lines[0][1]
        width = len(first)
        wide = [line for line in headings if len(line[1]) == width]
        # More lines than one without a number are no headings, but rows whose cells are not numbers
        self.names = [cell.strip() for cell in wide[0][1]] if wide else None
        self.lines = wide[1:] + self.lines
        if wide or not self.lines[1:]:
            return
        if not _numbers_columns(first):
            self._warn_of_times()
            return
        told, line = ",".join(first[:9]), self.lines[0][0]
        decimals = any(self._value(cell) is not None and not cell.strip().lstrip("+-").isdigit()
                       for _, row in self.lines[1:] for cell in row)  # fmt: skip
        if width > 2 and decimals:
            self.lines = self.lines[1:]
            what = "numbers the columns, and is left out; if it is an observation, write 0.0"
        else:
            what = "is taken for an observation; if it numbers the columns, delete it"
        warnings.warn(f"{self.path}: the first row (line {line}), {told}, {what}.", stacklevel=4)

    def _warn_of_times(self) -> None:
        """Warn of a first row that rises in even steps, as times and places in a heading do and the second does not."""
        if not self._even(self.lines[0][1]) or self._even(self.lines[1][1]):
            return
        line, row = self.lines[0]
        warnings.warn(
            f"{self.path}: the first row (line {line}), {','.join(row[:5])},..., rises in even steps and is taken for "
            f"an observation; if it is a heading, give it names, such as {row[0].strip()} s.",
            stacklevel=5,
        )

    def _even(self, row: list[str]) -> bool:
        """Say whether a row rises in steps that are even but for the rounding of its cells."""
        values = np.array([self._value(cell) if self._value(cell) is not None else np.nan for cell in row], float)
        steps = np.diff(values)
        return len(row) >= EVEN and bool(np.all(steps > 0)) and float(np.ptp(steps)) <= 0.05 * float(steps.mean())

    def _unnamed_index(self, sign: str, headings: list[tuple[int, list[str]]]) -> list[int]:
        """Find a first column that has no name and only numbers or names the rows, as pandas and R write it."""
        width = len(self.lines[0][1])
        if sign != "," and self.names is None and headings and 1 < width == len(headings[-1][1]) + 1:
            # R's write.table, which parts cells by blanks, gives the column of row names no heading at all
            self.names = ["", *(cell.strip() for cell in headings[-1][1])]
            if not self._counts():
                self.names = None
        if self.names is None or width < 2 or self.names[0] not in ("", "Unnamed: 0") or not all(self.names[1:]):
            return []
        if not (self._counts() or all(self._value(row[0]) is None for _, row in self.lines)):
            return []
        return [0]

    def _counts(self) -> bool:
        """Say whether the first column holds whole numbers that are all different, rising."""
        cells = [row[0].strip() for _, row in self.lines]
        return all(cell.isdigit() for cell in cells) and all(
            int(b) > int(a) for a, b in zip(cells[:-1], cells[1:], strict=True)
        )

    def places(self, columns: Columns, argument: str) -> list[Any]:
        return _positions(columns, self.names, len(self.lines[0][1]), argument, self.path)

    def rest(self, others: Sequence[Any]) -> tuple[np.ndarray, tuple[str, ...]]:
        if left := [i for i in self.left if i not in others]:
            warnings.warn(
                f"{self.path}: the first column has no name and only tells rows apart; it is left out. To take it, "
                "choose it by columns.",
                stacklevel=4,
            )
        kept = [i for i in range(len(self.lines[0][1])) if i not in (*others, *left)]
        return self.numbers(kept), self.named(kept)

    def numbers(self, places: list[Any]) -> np.ndarray:
        x = np.empty((len(self.lines), len(places)))
        for i, (line, row) in enumerate(self.lines):
            self._check_width(i)
            for j, position in enumerate(places):
                value = self._value(row[position])
                if value is None:
                    column = repr(self.names[position]) if self.names else position
                    known = row[position].strip().lower() in LACKING
                    words = " Or say --missing (missing=True): it is a missing value." if known else ""
                    raise ValueError(
                        f"{self.path} must hold numbers; row {i} (line {line}), column {column} holds "
                        f"{row[position]!r}. Mend the cell, or choose other columns.{words}"
                    )
                x[i, j] = value
        return x

    def words(self, place: Any) -> np.ndarray:
        for i in range(len(self.lines)):
            self._check_width(i)
        return np.array([row[place].strip() for _, row in self.lines])

    def _check_width(self, i: int) -> None:
        width, (line, row) = len(self.lines[0][1]), self.lines[i]
        if len(row) != width:
            raise ValueError(
                f"{self.path} must have {width} cells in every row, as in its first; row {i} (line {line}) has "
                f"{len(row)}. Mend it, or say --missing (missing=True): shorter rows lack their ends."
            )

    def _value(self, cell: str) -> float | None:
        if self.missing and cell.strip().lower() in LACKING:
            return float("nan")
        if not self.comma:
            return _number(cell)
        return _number(cell.replace(",", ".")) if "." not in cell else None


LACKING = ("", "na", "n/a", "null", "none", ".")  # cells that hold no number, where values may be missing
DECIMAL_COMMA = r"[+-]?\d*,\d+([eE][+-]?\d+)?"
EVEN = 5  # columns from which a row that rises in even steps may be a heading
SEPARATORS = {",": "commas", ";": "semicolons", "\t": "tabs", " ": "white space", "\n": "lines"}


def _text_of(path: Path) -> list[str]:
    """Read the lines of a text file, line ends kept."""
    opened = gzip.open if path.name.lower().endswith(".gz") else open
    try:
        with opened(path, "rt", encoding="utf-8-sig", newline="") as file:
            text: Any = file.read()
    except (UnicodeDecodeError, EOFError, OSError) as error:
        if path.suffix.lower() == ".dat":
            raise ValueError(
                f"{path} is no text, and no {path.with_suffix('.hea').name} beside it says that it is a WFDB record."
            ) from error
        raise ValueError(f"{path} cannot be read as a CSV file ({error}). Save it as plain text, UTF-8.") from error
    return list(io.StringIO(text, newline=""))


def _separator(text: list[str], name: str) -> str:
    """See what parts the cells, from the last line with a digit; a first line `sep=;`, as Excel reads it, says so."""
    lines = [line.strip() for line in text if line.strip() and not line.lstrip().startswith("#")]
    if lines and (said := re.fullmatch(r"sep=(.)", lines[0])):
        return said[1]
    # Not the first line: a title may have digits, and any sign
    data = [line for line in lines if re.search(r"\d", line)]
    line = re.sub(r'"[^"]*"', "0", data[-1]) if data else ""
    for sign in ";\t":
        if sign in line and any(map(_like_number, line.split(sign))):
            return sign
    commas, blanks = sum(_number(cell) is not None for cell in line.split(",")), sum(map(_like_number, line.split()))
    if name.endswith((".csv", ".csv.gz")):
        return " " if "," not in line and blanks == len(line.split()) > 1 else ","
    return "," if commas > blanks else " "


def _rows(text: list[str], sign: str) -> Any:
    """Part lines into cells, with the number of the line each row ends at; empty lines and comments are skipped."""
    if sign == " ":
        text = [" ".join(line.split()) + "\n" for line in text]
    reader = csv.reader(text, delimiter=sign)
    for row in reader:
        said = reader.line_num == 1 and re.fullmatch(r"sep=.?", sign.join(row).rstrip(sign))
        if not (said or _skipped(row)):
            yield reader.line_num, row


def _skipped(row: list[str]) -> bool:
    return row == [] or row[0].lstrip().startswith("#") or (len(row) == 1 and not row[0].strip())


def _number(cell: str) -> float | None:
    try:
        return float(cell)
    except ValueError:
        return None


def _like_number(cell: str) -> bool:
    return _number(cell) is not None or bool(re.fullmatch(DECIMAL_COMMA, cell.strip()))


def _numbers_columns(row: list[str]) -> bool:
    """Say whether cells are 0, 1, 2, ..., behind an empty one or not."""
    cells = [cell.strip() for cell in row]
    cells = cells[1:] if cells[0] == "" else cells
    return len(row) > 1 and cells == [str(i) for i in range(len(cells))]


def _positions(columns: Columns, names: Sequence[str] | None, width: int, argument: str, path: Path) -> list[int]:
    chosen = [columns] if isinstance(columns, (str, int)) else list(columns)
    return [find_column(column, names, width, argument, path) for column in chosen]


def find_column(column: str | int, names: Sequence[str] | None, width: int, argument: str, path: Path) -> int:
    if isinstance(column, str):
        # A name that stands twice is refused too: which one is meant only a number can say.
        if names is not None and list(names).count(column) == 1:
            return list(names).index(column)
    elif 0 <= column < width:
        return int(column)
    named = f" or a name among {', '.join(filter(None, names))}" if names else ""
    raise ValueError(f"{argument} must be a number from 0 to {width - 1}{named} (in {path}); got {column!r}.")


def need_wfdb() -> ModuleType:
    try:
        import wfdb
    except ImportError as error:
        raise ImportError("Reading WFDB records needs the package wfdb: pip install 'avo-sbi[ecg]'.") from error
    return wfdb


def header_of(path: Path) -> Any:
    """Read a WFDB record's header: `sig_name`, `n_sig`, `fs` and others."""
    header = existing(path.with_suffix(".hea"))
    return need_wfdb().rdheader(str(header.with_suffix("")))


def read_record(path: Path) -> Any:
    header = existing(path.with_suffix(".hea"))
    return need_wfdb().rdrecord(str(header.with_suffix("")))
