"""Reading observations, and cutting recordings into them.

A fit wants m observations of one shape, an array (m, *x_shape). Files hold them already (`read`), or hold one long
recording from which they are cut: windows of a series (`windows`, `log_price_windows`) or heartbeats around their R
peaks (`beats`, `read_beats`). Nothing is filled in, smoothed or sorted here; what cannot be read is an error that says
where.

Rows and columns in messages count from 0, as in NumPy; lines of a file from 1, as in an editor.
"""

import csv
import difflib
import gzip
import zipfile
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from jaxtyping import Float, Int
from numpy.typing import ArrayLike

READABLE = (".npy", ".npz", ".csv", ".csv.gz", ".dat", ".hea")
MILLIVOLTS = {"v": 1e3, "mv": 1.0, "uv": 1e-3, "µv": 1e-3}

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
    path = _existing(Path(path))
    name = path.name.lower()
    if key is not None and not name.endswith(".npz"):
        raise ValueError(f"key chooses an array of an .npz file; got key={key!r} for {path}. Leave it out.")
    if name.endswith((".csv", ".csv.gz")):
        return _read_csv(path, columns)
    if name.endswith((".dat", ".hea")):
        record = _record(path)
        return _select(record.p_signal, columns, record.sig_name, path)
    if name.endswith((".npy", ".npz")):
        return _select(_read_numpy(path, key), columns, None, path)
    raise ValueError(
        f"{path}: cannot read files of this kind; expected one of {', '.join(READABLE)}. Save as .npy or .csv."
    )


def windows(series: ArrayLike, length: int, step: int | None = None) -> np.ndarray:
    """Cut a series into windows of equal length; what is left at the end is dropped.

    The series is taken as evenly sampled and without gaps: split it at joins and gaps first.

    Args:
        series: the series, with shape (points,) or (points, *channels).
        length: points of a window.
        step: points from the start of one window to the start of the next; None: `length`, no overlap. Overlapping
            windows are not independent observations, and errors computed from them are too small.

    Returns:
        The windows, with shape (n, length, *channels).

    Raises:
        ValueError: if `length` or `step` is below 1, or the series is shorter than one window.

    Example:
        >>> windows(np.arange(7), 3)
        array([[0, 1, 2],
               [3, 4, 5]])
        >>> windows(np.arange(7), 3, step=2)
        array([[0, 1, 2],
               [2, 3, 4],
               [4, 5, 6]])
    """
    series = np.asarray(series)
    step = length if step is None else step
    for name, value in (("length", length), ("step", step)):
        if value != int(value) or value < 1:
            raise ValueError(f"{name} must be a whole number of points, at least 1; got {value}.")
    if series.ndim == 0 or len(series) < length:
        raise ValueError(
            f"series must have at least length={length} points; got shape {series.shape}. Use shorter windows."
        )
    starts = np.arange(0, len(series) - length + 1, step)
    return series[starts[:, None] + np.arange(length)]


def log_price_windows(price: ArrayLike, length: int) -> Float[np.ndarray, "n length"]:
    """Cut a price series into paths of log price relative to their start: x_t = log(price_t / price_0), t = 1..length.

    This is the shape of `avo.simulators.brownian`: a path starts at 0 and its start is not returned. The last price of
    a window is the start of the next, so that the windows share no increment and none is lost between them.

    Args:
        price: prices at even times, with shape (points,).
        length: increments of a window.

    Returns:
        The paths, with shape ((points - 1) // length, length).

    Raises:
        ValueError: if a price is not a positive number, or there are fewer than `length` + 1 of them.

    Example:
        >>> log_price_windows(np.exp([0.0, 0.5, 0.25, 1.25, 2.25]), 2)
        array([[0.5 , 0.25],
               [1.  , 2.  ]])
    """
    price = np.asarray(price, dtype=float)
    if price.ndim != 1 or len(price) <= length:
        raise ValueError(
            f"price must be one series of at least length + 1 = {length + 1} prices; got shape {price.shape}. "
            "Choose one column, or shorter windows."
        )
    bad = np.flatnonzero(~(np.isfinite(price) & (price > 0)))
    if bad.size:
        raise ValueError(
            f"price must be positive numbers; price[{bad[0]}] is {price[bad[0]]:g}. Remove or fill such rows."
        )
    paths = windows(np.log(price), length + 1, step=length)
    return paths[:, 1:] - paths[:, :1]


def scales(paths: Float[ArrayLike, "m points"]) -> dict[str, float]:
    """Compute three closed-form scales of the increments of paths that start at 0, equal for Brownian motion.

    Args:
        paths: with shape (m, points), without their start.

    Returns:
        "sd", the standard deviation of all increments; "window", the median of the paths' own standard deviations;
        "iqr", the inter-quartile range over that of N(0, 1).

    Example:
        >>> paths = np.cumsum([[1.0, -1.0, 1.0, -1.0], [2.0, -2.0, 2.0, -2.0]], axis=1)
        >>> {name: round(value, 4) for name, value in scales(paths).items()}
        {'sd': 1.5811, 'window': 1.5, 'iqr': 1.8533}
    """
    increments = np.diff(np.asarray(paths), axis=1, prepend=0.0)
    low, high = np.percentile(increments, [25, 75])
    return {
        "sd": float(increments.std()),
        "window": float(np.median(increments.std(axis=1))),
        "iqr": float((high - low) / 1.348980),
    }


def beat_times(fs: float, before: float = 0.3, after: float = 0.5) -> Float[np.ndarray, "points"]:
    """Times of a heartbeat's points relative to its R peak, in s: the multiples of 1 / fs in [-before, after).

    Args:
        fs: sampling rate, in Hz.
        before: start of the beat before the R peak, in s.
        after: end of the beat after the R peak, in s.

    Returns:
        The times, with shape (points,); 0 is one of them.

    Example:
        >>> beat_times(10, before=0.25, after=0.3)
        array([-0.2, -0.1,  0. ,  0.1,  0.2])
    """
    if not (fs > 0 and before >= 0 and after > 0):
        raise ValueError(
            f"fs and after must be above 0 and before at least 0; got fs={fs}, before={before}, after={after}."
        )
    # Rounding keeps a point that lies on the edge up to float error: .29 s at 100 Hz is 28.999999999999996 points.
    first, end = np.ceil(np.round([-before * fs, after * fs], 6))
    return np.arange(first, end) / fs


def beats(
    signal: ArrayLike,
    r_peaks: ArrayLike,
    fs: float,
    before: float = 0.3,
    after: float = 0.5,
) -> Float[np.ndarray, "n points"]:
    """Cut heartbeats around their R peaks, on the sampling grid of the record; point t is at `beat_times(...)[t]`.

    Beats that do not lie inside the record as a whole are left out.

    Args:
        signal: one lead, with shape (samples,).
        r_peaks: sample numbers of the R peaks.
        fs: sampling rate, in Hz.
        before: start of a beat before its R peak, in s.
        after: end of a beat after its R peak, in s.

    Returns:
        The beats, with shape (n, points), in the signal's unit.

    Raises:
        ValueError: if the R peaks are not sample numbers of the signal, or no beat lies inside it.

    Example:
        >>> beats(np.arange(100.0), [2, 30, 70], fs=10, before=0.3, after=0.2)
        array([[27., 28., 29., 30., 31.],
               [67., 68., 69., 70., 71.]])
    """
    return _cut(np.asarray(signal), np.asarray(r_peaks), fs, beat_times(fs, before, after))


def read_beats(
    path: str | Path,
    lead: int | str = 0,
    symbols: Sequence[str] = ("N",),
    before: float = 0.3,
    after: float = 0.5,
    fs: float | None = None,
    baseline: tuple[float, float] | None = None,
) -> Float[np.ndarray, "n points"]:
    """Cut the labelled heartbeats out of a WFDB record and its `.atr` labels.

    The labels of `.atr` files stand on or near the R peak, as their annotators put them; beats are not realigned.

    Args:
        path: the record, with or without `.dat` or `.hea`.
        lead: lead by number from 0 or by name.
        symbols: labels of the beats to take, `N` for normal ones.
        before: start of a beat before its label, in s.
        after: end of a beat after its label, in s.
        fs: sampling rate of the returned beats, in Hz, by linear interpolation (no low-pass filter: a rate far below
            the record's aliases); None: the record's own.
        baseline: (start, end) in s relative to the label, for example (-0.09, -0.05), just before the QRS complex: each
            beat's mean over this stretch is subtracted from it. None: as recorded.

    Returns:
        The beats in mV, with shape (n, points); point t is at `beat_times(fs, before, after)[t]`.

    Raises:
        FileNotFoundError: if the record or its labels are missing.
        ValueError: if the lead, the labels or its unit are not found, or `baseline` lies outside the beat.
        ImportError: if wfdb is not installed.

    Example:
        >>> import tempfile, wfdb
        >>> folder, spikes = tempfile.mkdtemp(), np.zeros((400, 1))
        >>> spikes[[100, 300]] = [[1.0], [0.5]]
        >>> wfdb.wrsamp("s", 100, ["mV"], ["II"], spikes, fmt=["16"], adc_gain=[200], baseline=[0], write_dir=folder)
        >>> wfdb.wrann("s", "atr", np.array([100, 300]), symbol=["N", "V"], write_dir=folder)
        >>> read_beats(Path(folder) / "s", before=0.02, after=0.03)
        array([[0., 0., 1., 0., 0.]])
    """
    path = Path(path)
    header = path.with_suffix(".hea") if path.suffix in (".dat", ".hea", ".atr") else path.with_name(path.name + ".hea")
    record = _record(_existing(header))
    labels = _wfdb().rdann(str(_existing(header.with_suffix(".atr")).with_suffix("")), "atr")
    taken = np.isin(labels.symbol, list(symbols))
    if not taken.any():
        found = ", ".join(sorted(set(labels.symbol)))
        raise ValueError(
            f"symbols must be labels of {header.with_suffix('.atr')}, which has {found}; got {list(symbols)}."
        )
    position = _position(lead, record.sig_name, record.n_sig, "lead", header)
    unit = record.units[position]
    if unit.lower() not in MILLIVOLTS:
        raise ValueError(f"lead {lead!r} of {header} must be in V, mV or uV; its unit is {unit!r}. Use avo.data.read.")
    times = beat_times(record.fs if fs is None else fs, before, after)
    x = MILLIVOLTS[unit.lower()] * _cut(record.p_signal[:, position], labels.sample[taken], record.fs, times)
    if baseline is None:
        return x
    stretch = (times >= baseline[0]) & (times < baseline[1])
    if not stretch.any():
        raise ValueError(
            f"baseline must hold a point of the beat, [-{before}, {after}) s around its label; got {baseline}."
        )
    return x - x[:, stretch].mean(axis=1, keepdims=True)


def validate_observations(x_obs: ArrayLike, name: str = "x_obs") -> Float[np.ndarray, "m *x_shape"]:
    """Check observations once, before a fit.

    Args:
        x_obs: the observations, with shape (m, *x_shape).
        name: what messages call them.

    Returns:
        The observations as float64, same shape.

    Raises:
        ValueError: if they are not finite numbers of one shape, or fewer than 2.

    Example:
        >>> validate_observations([[1, 2], [3, 4], [5, 6]]).dtype
        dtype('float64')
        >>> validate_observations([[1.0, 2.0], [3.0, float("nan")]])
        Traceback (most recent call last):
            ...
        ValueError: x_obs must hold finite numbers; x_obs[1, 1] is nan (row 1, column 1; 1 of 2 rows affected). Remove
        or fill such rows.
    """
    try:
        x = np.asarray(x_obs)
    except ValueError as error:
        raise ValueError(
            f"{name} must be an array with one observation per row; got rows of different shapes. "
            "Make them equally long."
        ) from error
    if x.dtype.kind not in "biuf":
        raise ValueError(
            f"{name} must be an array of real numbers; got dtype {x.dtype}. Convert it, or leave out columns that hold "
            "anything else."
        )
    if x.ndim == 0:
        raise ValueError(f"{name} must be an array with one observation per row; got the single number {x}.")
    if x.size == 0:
        raise ValueError(f"{name} must hold observations, one per row; got an empty array of shape {x.shape}.")
    if len(x) < 2:
        raise ValueError(
            f"{name} must hold at least 2 observations, one per row; got {len(x)} (shape {x.shape}). Cut a recording "
            "into windows (avo.data.windows), or use a posterior method for a single observation."
        )
    finite = np.isfinite(x)
    if not finite.all():
        row, *rest = at = tuple(np.argwhere(~finite)[0].tolist())
        column = f", column {rest[0] if len(rest) == 1 else tuple(rest)}" if rest else ""
        rows = int(np.sum(~finite.reshape(len(x), -1).all(axis=1)))
        raise ValueError(
            f"{name} must hold finite numbers; {name}[{', '.join(map(str, at))}] is {x[at]} (row {row}{column}; "
            f"{rows} of {len(x)} rows affected). Remove or fill such rows."
        )
    return x.astype(np.float64)


def _existing(path: Path) -> Path:
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
    return [_position(column, names, width, "columns", path) for column in chosen]


def _position(column: str | int, names: Sequence[str] | None, width: int, argument: str, path: Path) -> int:
    if isinstance(column, str):
        # A name that stands twice is refused too: which one is meant only a number can say.
        if names is not None and list(names).count(column) == 1:
            return list(names).index(column)
    elif 0 <= column < width:
        return int(column)
    named = f" or a name among {', '.join(names)}" if names else ""
    raise ValueError(f"{argument} must be a number from 0 to {width - 1}{named} (in {path}); got {column!r}.")


def _wfdb() -> ModuleType:
    try:
        import wfdb
    except ImportError as error:
        raise ImportError("Reading WFDB records needs the package wfdb: pip install 'avo[ecg]'.") from error
    return wfdb


def _record(path: Path) -> Any:
    header = _existing(path.with_suffix(".hea"))
    return _wfdb().rdrecord(str(header.with_suffix("")))


def _cut(
    signal: Float[np.ndarray, "samples"],
    r_peaks: Int[np.ndarray, "beats"],
    fs: float,
    times: Float[np.ndarray, "points"],
) -> Float[np.ndarray, "n points"]:
    if signal.ndim != 1:
        raise ValueError(f"signal must be one lead with shape (samples,); got shape {signal.shape}. Choose one column.")
    if r_peaks.ndim != 1 or r_peaks.dtype.kind not in "iu":
        raise ValueError(
            f"r_peaks must be sample numbers, integers with shape (beats,); got dtype {r_peaks.dtype} and shape "
            f"{r_peaks.shape}. Times in s become sample numbers by np.round(times * fs).astype(int)."
        )
    if r_peaks.size and (r_peaks.min() < 0 or r_peaks.max() >= len(signal)):
        raise ValueError(
            f"r_peaks must be sample numbers from 0 to {len(signal) - 1}; got {r_peaks.min()} to {r_peaks.max()}."
        )
    at = r_peaks[:, None].astype(np.int64) + np.round(times * fs, 6)
    at = at[(at[:, 0] >= 0) & (at[:, -1] <= len(signal) - 1)]
    if len(at) == 0:
        raise ValueError(
            f"signal must hold at least one whole beat; none of {len(r_peaks)} R peaks has its window inside the "
            f"{len(signal)} samples. Shorten before and after."
        )
    below = np.floor(at).astype(np.int64)
    weight = at - below
    # The sample above is read only where it counts: on the record's own grid a missing neighbour must not spread.
    above = np.where(weight > 0, below + 1, below)
    return np.where(weight > 0, (1 - weight) * signal[below] + weight * signal[above], signal[below])
