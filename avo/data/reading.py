"""Reading files of observations; rows and columns count from 0, lines of a file from 1."""

import csv
import difflib
import gzip
import zipfile
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

READABLE = (".npy", ".npz", ".csv", ".csv.gz", ".dat", ".hea")

Columns = str | int | Sequence[str | int]


def read(path: str | Path, *, columns: Columns | None = None, key: str | None = None) -> np.ndarray:
    """Read observations, one per row, from a file.

    Read are `.npy`; `.npz`; `.csv` and `.csv.gz` (cells separated by commas, `#` comments, an optional line of column
    names); and WFDB records by their `.dat` or `.hea` (one row per sample, one column per lead, in physical units). In
    a CSV file, lines before the first number are headings: the first one as wide as the data names the columns,
    narrower or wider ones are titles and skipped. A first row 0,1,2,... numbers the columns.

    Args:
        path: the file.
        columns: column(s) to keep, by name (CSV, WFDB) or by number from 0, in this order; other columns of a CSV file
            may then hold text. A list keeps a column axis, a single name or number drops it. None: all.
        key: array to take from an `.npz` file; None: `x`, or the only one.

    Returns:
        The numbers, with shape (m, ...); (m, k) from CSV and WFDB files.

    Raises:
        FileNotFoundError: if there is no such file; names similar ones beside it.
        ValueError: if the file cannot be read as numbers; says where.
        ImportError: if a WFDB record is asked for and wfdb is not installed.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp()) / "swing.csv"
        >>> _ = path.write_text("time,angle\\n0.0,1.5\\n0.1,1.25\\n")
        >>> read(path)
        array([[0.  , 1.5 ],
               [0.1 , 1.25]])
        >>> read(path, columns="angle")
        array([1.5 , 1.25])
    """
    path = existing(Path(path))
    name = path.name.lower()
    if key is not None and not name.endswith(".npz"):
        raise ValueError(f"key chooses an array of an .npz file; got key={key!r} for {path}. Leave it out.")
    if name.endswith((".csv", ".csv.gz")):
        return _read_csv(path, columns)
    if name.endswith((".dat", ".hea")):
        record = read_record(path)
        return _select(record.p_signal, columns, record.sig_name, path)
    if name.endswith((".npy", ".npz")):
        return _select(_read_numpy(path, key), columns, None, path)
    raise ValueError(
        f"{path}: cannot read files of this kind; expected one of {', '.join(READABLE)}. Save as .npy or .csv."
    )


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


def _read_numpy(path: Path, key: str | None) -> np.ndarray:
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
        raise ValueError(f"key must name one of the arrays in {path}: {', '.join(found)}; got {key!r}.")
    if x.dtype.kind not in "biuf":
        raise ValueError(f"{path} must hold real numbers; got dtype {x.dtype}. Convert the array and save it again.")
    return x


def _read_csv(path: Path, columns: Columns | None) -> np.ndarray:
    opened = gzip.open if path.name.lower().endswith(".gz") else open
    try:
        with opened(path, "rt", encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(file)
            lines = [(reader.line_num, row) for row in reader if not _skipped(row)]
    except (UnicodeDecodeError, EOFError, OSError, csv.Error) as error:
        raise ValueError(f"{path} cannot be read as a CSV file ({error}). Save it as plain text, UTF-8.") from error
    first = next((i for i, (_, row) in enumerate(lines) if any(_number(cell) is not None for cell in row)), None)
    if first is None:
        line = next((",".join(row) for _, row in lines), "")
        raise ValueError(f"{path} must hold numbers in cells separated by commas; its first line is {line[:60]!r}.")
    width = len(lines[first][1])
    if (
        width > 1
        and [cell.strip() for cell in lines[first][1]] == [str(i) for i in range(width)]
        and lines[first + 1 :]
    ):
        first += 1  # columns without names, numbered from 0 by the program that wrote them
    headings = [line for line in lines[:first] if len(line[1]) == width]
    names = [cell.strip() for cell in headings[0][1]] if headings else None
    rows = headings[1:] + lines[first:]
    kept = range(width) if columns is None else _positions(columns, names, width, path)
    x = np.empty((len(rows), len(kept)))
    for i, (line, row) in enumerate(rows):
        if len(row) != width:
            raise ValueError(
                f"{path} must have {width} cells in every row, as in its first; row {i} (line {line}) has {len(row)}."
            )
        for j, position in enumerate(kept):
            value = _number(row[position])
            if value is None:
                column = repr(names[position]) if names else position
                raise ValueError(
                    f"{path} must hold numbers; row {i} (line {line}), column {column} holds {row[position]!r}. "
                    "Mend the cell, or choose other columns."
                )
            x[i, j] = value
    return x[:, 0] if isinstance(columns, (str, int)) else x


def _skipped(row: list[str]) -> bool:
    return row == [] or row[0].lstrip().startswith("#") or (len(row) == 1 and not row[0].strip())


def _number(cell: str) -> float | None:
    try:
        return float(cell)
    except ValueError:
        return None


def _select(x: np.ndarray, columns: Columns | None, names: Sequence[str] | None, path: Path) -> np.ndarray:
    if columns is None:
        return x
    if x.ndim < 2:
        raise ValueError(f"columns chooses along the last axis of a table; {path} has shape {x.shape}. Leave it out.")
    x = x[..., _positions(columns, names, x.shape[-1], path)]
    return x[..., 0] if isinstance(columns, (str, int)) else x


def _positions(columns: Columns, names: Sequence[str] | None, width: int, path: Path) -> list[int]:
    chosen = [columns] if isinstance(columns, (str, int)) else list(columns)
    return [find_column(column, names, width, "columns", path) for column in chosen]


def find_column(column: str | int, names: Sequence[str] | None, width: int, argument: str, path: Path) -> int:
    if isinstance(column, str):
        # A name that stands twice is refused too: which one is meant only a number can say.
        if names is not None and list(names).count(column) == 1:
            return list(names).index(column)
    elif 0 <= column < width:
        return int(column)
    named = f" or a name among {', '.join(names)}" if names else ""
    raise ValueError(f"{argument} must be a number from 0 to {width - 1}{named} (in {path}); got {column!r}.")


def need_wfdb() -> ModuleType:
    try:
        import wfdb
    except ImportError as error:
        raise ImportError("Reading WFDB records needs the package wfdb: pip install 'avo-sbi[ecg]'.") from error
    return wfdb


def read_record(path: Path) -> Any:
    header = existing(path.with_suffix(".hea"))
    return need_wfdb().rdrecord(str(header.with_suffix("")))
