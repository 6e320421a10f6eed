"""Reading files of observations; rows and columns count from 0, lines of a file from 1."""

from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np

from avo.checks import one_of
from avo.data.columns import Arrays, Columns, Frames, Numbers, existing
from avo.data.text import Cells

TEXT = (".csv", ".csv.gz", ".tsv", ".txt", ".dat")
FRAMES = (".parquet", ".feather")
READABLE = (".npy", ".npz", *TEXT, *FRAMES, ".hea")


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
    path: str | Path,
    *,
    columns: Columns | None = None,
    key: str | None = None,
    decimal: str | None = None,
    index: str | int | None = None,
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

    Thousands may be parted: 1,234.5, or 1.234,5, or 1 234, or 1'234, as all numbers of the columns that are read say
    together. Where they leave it open what a comma is (1,234), or whether a row is one number or several cells (1 234
    in a file of white space), the file is refused, and `decimal` or `columns` decides. Exponents may be Fortran's,
    1.5D+03. Without another heading a comment above the numbers, # time angle, names the columns where it has one word
    for each.

    Args:
        path: the file.
        columns: column(s) to keep, by name or by number from 0, in this order; other columns of a table may then hold
            text. A list keeps a column axis, a single name or number drops it. None: all.
        key: array to take from an `.npz` file; None: `x`, or the only one.
        decimal: decimal sign of a text file, "." or ","; None: seen from the file.
        index: column that names the rows, such as a date; it is left out (`read_table` gives the names, and what else
            stands beside the observations).

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
    return read_table(path, columns=columns, key=key, decimal=decimal, index=index).x


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
        source = Arrays(path, key)
    elif name.endswith(".hea") or (name.endswith(".dat") and path.with_suffix(".hea").exists()):
        record = read_record(path)
        source = Numbers(path, record.p_signal, record.sig_name)
    elif name.endswith(TEXT):
        source = Cells(path, columns is not None, decimal, missing)
    elif name.endswith(FRAMES):
        source = Frames(path)
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
