"""Cutting heartbeats out of continuous records, around their R peaks."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import ArrayLike, Float, Int

from avo.alerts import warn
from avo.checks import nonnegative, positive, whole
from avo.containers import plain
from avo.data.columns import existing, find_column, positions
from avo.data.complexes import BEATS, band_passed, check_labels, likeness
from avo.data.reading import need_wfdb, read_record

MILLIVOLTS = {"v": 1e3, "mv": 1.0, "uv": 1e-3, "µv": 1e-3}
ALIKE, UNEVEN = 0.5, 0.45  # likeness below which, and spread of RR above which, peaks are hardly heartbeats
NAMED = 5  # beats named in a warning


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
    positive("fs", fs, ", in Hz")
    nonnegative("before", before, ", in s")
    positive("after", after, ", in s")
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

    Beats that do not lie inside the record as a whole are left out. Of beats with NaN, and of flat ones, a warning says
    which they are.

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
    times = beat_times(fs, before, after)
    return _cut(signal, r_peaks, fs, times)


def read_beats(
    path: str | Path,
    lead: int | str | Sequence[int | str] = 0,
    symbols: Sequence[str] | None = ("N",),
    before: float = 0.3,
    after: float = 0.5,
    *,
    fs: float | None = None,
    baseline: tuple[float, float] | None = None,
) -> Float[np.ndarray, "n points"]:
    """Cut the heartbeats out of a WFDB record: the labelled ones of its `.atr` file, or all that `r_peaks` finds.

    The labels of `.atr` files stand on or near the R peak, as their annotators put them; beats are not realigned.
    Labels that count time by another clock than the record, as their file then says, are taken to the nearest sample;
    where most labels of beats stand beside no steep peak of the lead, and would by a clock of another rate, they are
    refused.
    Of beats with NaN, and of flat ones, a warning says which they are.

    Args:
        path: the record, with or without `.dat` or `.hea`.
        lead: lead by number from 0 or by name; several for beats of several leads.
        symbols: labels of the beats to take, `N` for normal ones; None: no labels are read, and all beats taken whose R
            peaks are found in this lead, the first of several (`r_peaks`), for records that have no labels.
        before: start of a beat before its label, in s.
        after: end of a beat after its label, in s.
        fs: sampling rate of the returned beats, in Hz, by linear interpolation (no low-pass filter: a rate far below
            the record's aliases); None: the record's own.
        baseline: (start, end) in s relative to the label, for example (-0.09, -0.05), just before the QRS complex: each
            beat's mean over this stretch is subtracted from it. None: as recorded.

    Returns:
        The beats in mV, with shape (n, points), or (n, points, leads) of several; point t is at
        `beat_times(fs, before, after)[t]`.

    Raises:
        FileNotFoundError: if the record or its labels are missing.
        ValueError: if the lead, the labels or its unit are not found, labels lie beyond the record or beside its
            beats, or `baseline` lies outside the beat.
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
    record = read_record(existing(header))
    several = not isinstance(lead, int | str)
    leads = lead if several else [lead]
    positions(leads, record.sig_name, record.n_sig, "lead", header)
    signals = [_in_millivolts(record, each, header) for each in leads]
    first = signals[0]
    peaks = _found(first, record.fs) if symbols is None else _labelled(header, symbols, record.fs, first)
    times = beat_times(record.fs if fs is None else fs, before, after)
    start, end = (-np.inf, np.inf) if baseline is None else baseline
    stretch = (times >= start) & (times < end)
    if not stretch.any():
        raise ValueError(
            f"baseline must hold a point of the beat, [-{before}, {after}) s around its label; got {baseline}."
        )
    x = np.stack([_cut(signal, peaks, record.fs, times) for signal in signals], axis=2)
    x = x if baseline is None else x - x[:, stretch].mean(axis=1, keepdims=True)
    return x if several else x[:, :, 0]


def _in_millivolts(record: Any, lead: int | str, header: Path) -> np.ndarray:
    """Take one lead of a record, in mV."""
    position = find_column(lead, record.sig_name, record.n_sig, "lead", header)
    unit = record.units[position]
    if unit.lower() not in MILLIVOLTS:
        raise ValueError(f"lead {lead!r} of {header} must be in V, mV or uV; its unit is {unit!r}. Use avo.data.read.")
    return MILLIVOLTS[unit.lower()] * record.p_signal[:, position]


def _labelled(
    header: Path, symbols: Sequence[str], fs: float, signal: Float[np.ndarray, "samples"]
) -> Int[np.ndarray, "beats"]:
    """Read at which samples of a record the labels of some kinds stand."""
    file = header.with_suffix(".atr")
    if not file.is_file():
        try:
            existing(file)
        except FileNotFoundError as error:
            raise FileNotFoundError(f"{error} A record without labels: symbols=None looks for its R peaks.") from None
    labels = need_wfdb().rdann(str(file.with_suffix("")), "atr")
    taken = np.isin(labels.symbol, list(symbols))
    if not taken.any():
        found = ", ".join(sorted(set(labels.symbol)))
        raise ValueError(f"symbols must be labels of {file}, which has {found}; got {list(symbols)}.")
    peaks = given = np.asarray(labels.sample[taken], np.int64)
    if labels.fs is not None and labels.fs != fs:
        peaks = np.round(peaks * (fs / labels.fs)).astype(np.int64)
    if peaks.max() >= len(signal):
        raise ValueError(
            f"{file} has a label at {peaks.max() / fs:.1f} s, and its record ends at {len(signal) / fs:.1f} s: labels "
            "of another record, or of another clock than the file says. symbols=None looks for R peaks in the record."
        )
    if BEATS.issuperset(symbols):
        check_labels(signal, fs, given, labels.fs, file)
    return peaks


def _found(signal: np.ndarray, fs: float) -> Int[np.ndarray, "beats"]:
    """Find the R peaks of a lead, whose gaps are bridged by straight lines, in which no peak counts."""
    there = np.isfinite(signal)
    if there.all() or not there.any():
        return r_peaks(signal, fs)
    places = np.arange(len(signal))
    peaks = r_peaks(np.interp(places, places[there], signal[there]), fs)
    return peaks[there[peaks]]


def _finite(signal: np.ndarray) -> None:
    if not np.all(np.isfinite(signal)):
        first = np.flatnonzero(~np.isfinite(signal))[0]
        raise ValueError(f"signal must be finite; sample {first} is not. Take a part without gaps, or fill them.")


def r_peaks(signal: ArrayLike, fs: float) -> Int[np.ndarray, "beats"]:
    """Find the R peaks of a record without labels: wfdb's XQRS detector, then the highest point nearby.

    XQRS marks QRS complexes; each mark is moved to the extreme within 0.06 s, the highest point or the lowest, as most
    of the record's complexes point. XQRS was made for about 1 mV, so that a lead of smaller complexes would seem empty:
    it sees the signal in units of half the 99th percentile of |signal| between 5 and 20 Hz.

    It finds peaks in noise as well, some three a second; a warning says how even and how alike they are (`regularity`)
    where they are hardly heartbeats.

    Args:
        signal: one lead, with shape (samples,).
        fs: sampling rate, in Hz.

    Returns:
        Sample numbers, rising.

    Raises:
        ValueError: if the signal is not one lead of finite numbers of at least 1 s, or holds no QRS complex.
        ImportError: if wfdb is not installed.

    Example:
        >>> t = np.arange(0, 20, 1 / 250)
        >>> beat = np.exp(-((t % 0.8 - 0.4) ** 2) / (2 * 0.012**2))  # R peaks at .4 s, 1.2 s, ...
        >>> np.unique(np.diff(r_peaks(beat, 250)))
        array([200])
    """
    signal = _lead(signal, fs)
    if not fs > 40:
        raise ValueError(f"fs must be above 40 Hz to show a QRS complex; got fs={fs}.")
    if len(signal) < fs:
        raise ValueError(f"signal must last at least 1 s; got {len(signal)} samples at {fs:g} Hz.")
    _finite(signal)
    need_wfdb()
    from wfdb.processing import xqrs_detect

    band = band_passed(signal, fs)
    size = np.percentile(np.abs(band), 99) / 2
    found = np.asarray(xqrs_detect(sig=signal / size, fs=fs, verbose=False) if size > 0 else [], int)
    if len(found) == 0:
        raise ValueError("signal must hold heartbeats; no QRS complex was found. Is fs right?")
    near, far = max(1, round(0.06 * fs)), max(1, round(0.5 * fs))
    parts = [signal[max(0, i - far) : i + far + 1] for i in found]
    heights = np.array([[part.max() - np.median(part), np.median(part) - part.min()] for part in parts])
    sign = 1.0 if np.median(heights[:, 0] - heights[:, 1]) >= 0 else -1.0
    starts = np.maximum(found - near, 0)
    peaks = np.unique([i + np.argmax(sign * signal[i : i + 2 * near + 1]) for i in starts])
    found = regularity(signal, peaks, fs)
    if found.alike < ALIKE or found.spread > UNEVEN:
        warn(f"{found}. Look at the lead: is it an ECG, is fs right, is it noise?")
    return peaks


class Regularity(NamedTuple):
    """How even and how alike heartbeats are; print it.

    Args:
        beats: their number.
        rate: 60 s over the median interval, in 1/min; NaN of a single beat.
        spread: interquartile range of the intervals over their median: .05 to .15 in sinus rhythm, about .3 in atrial
            fibrillation, about .5 of peaks in noise; NaN of fewer than three beats.
        alike: median correlation of a complex, 0.1 s to either side of its peak, with the mean of the others: above .9
            of clean leads, .2 to .4 of peaks in noise; NaN of a single beat.
    """

    beats: int
    rate: float
    spread: float
    alike: float

    def __str__(self) -> str:
        return (
            f"{self.beats} R peaks, {self.rate:.0f} a minute; the middle half of the intervals spreads over "
            f"{100 * self.spread:.0f} % of their median, and a complex correlates by {self.alike:.2f} with the others"
        )


def regularity(signal: ArrayLike, r_peaks: ArrayLike, fs: float) -> Regularity:
    """Measure how even the intervals of R peaks are, and how alike their complexes.

    Args:
        signal: one lead, with shape (samples,).
        r_peaks: sample numbers of the R peaks, rising.
        fs: sampling rate, in Hz.

    Raises:
        ValueError: if the R peaks are not sample numbers of the signal.

    Example:
        >>> t = np.arange(0, 20, 1 / 250)
        >>> beat = np.exp(-((t % 0.8 - 0.4) ** 2) / (2 * 0.012**2))
        >>> print(regularity(beat, np.arange(100, 5000, 200), 250))
        25 R peaks, 75 a minute; the middle half of the intervals spreads over 0 % of their median, and a complex
        correlates by 1.00 with the others
    """
    signal = _lead(signal, fs)
    peaks = np.sort(_peaks(r_peaks, signal))
    intervals = np.diff(peaks) / fs
    rate = 60 / float(np.median(intervals)) if len(intervals) else np.nan
    low, high = np.quantile(intervals, [0.25, 0.75]) if len(intervals) > 1 else (np.nan, np.nan)
    return Regularity(len(peaks), rate, float(high - low) * rate / 60, likeness(signal, peaks, fs))


def padded_beats(
    signal: ArrayLike,
    r_peaks: ArrayLike,
    fs: float,
    *,
    rate: float = 125.0,
    points: int = 187,
    length: float = 1.2,
    stretch: float = 10.0,
    scaled: bool = True,
) -> Float[np.ndarray, "n points"]:
    """Cut heartbeats as the "Heartbeat" set on Kaggle has them: from an R peak on, zeros after 1.2 RR, in [0, 1].

    The record is taken in stretches of 10 s. In each, RR is the median interval of its R peaks, and a beat is what
    follows an R peak for 1.2 RR, so that it ends shortly after the next; linear interpolation to 125 Hz, zeros up to
    187 points. Beats that end after their stretch are left out, and stretches with fewer than two R peaks.

    Args:
        signal: one lead, with shape (samples,).
        r_peaks: sample numbers of the R peaks, of all beats whatever their kind.
        fs: sampling rate, in Hz.
        rate: sampling rate of the returned beats, in Hz (no low-pass filter, as in `read_beats`).
        points: of a beat; longer ones are cut off.
        length: of a beat, in units of RR.
        stretch: in s.
        scaled: whether each stretch is mapped to [0, 1] by its minimum and maximum, as in that set. Zeros are then its
            lowest value; else they are zero in the signal's unit.

    Returns:
        The beats, with shape (n, points); point k is k / rate s after the R peak.

    Raises:
        ValueError: if the signal is not finite, the R peaks are not sample numbers of it, or no beat is left.

    Source: Kachuee, Fazeli and Sarrafzadeh 2018, arXiv:1805.00794, section III, whose resampling is not stated.

    Example:
        >>> signal = np.tile([2.0, 1.0, 0.0, 1.0], 10)
        >>> padded_beats(signal, np.arange(0, 40, 4), fs=4, rate=4, points=7)[0]
        array([1. , 0.5, 0. , 0.5, 1. , 0. , 0. ])
    """
    signal = _lead(signal, fs)
    _finite(signal)
    peaks = np.sort(_peaks(r_peaks, signal))
    for name, value in (("rate", rate), ("length", length), ("stretch", stretch)):
        positive(name, value)
    points = whole("points", points)
    found, size = [np.zeros((0, points))], max(1, round(stretch * fs))
    for start in range(0, len(signal), size):
        part = signal[start : start + size]
        own = peaks[(peaks >= start) & (peaks < start + len(part))] - start
        if len(own) < 2:
            continue
        low, high = part.min(), part.max()
        if scaled:
            part = (part - low) / (high - low if high > low else 1.0)
        # Rounding keeps points that lie on a sample, and out one that lies on the end, up to float error
        times = np.arange(np.ceil(np.round(length * np.median(np.diff(own)) * rate / fs, 6)))
        at = own[:, None] + np.round(times * fs / rate, 6)
        at, k = at[at[:, -1] <= len(part) - 1], min(len(times), int(points))
        found.append(np.pad(np.interp(at[:, :k], np.arange(len(part)), part), ((0, 0), (0, int(points) - k))))
    x = np.concatenate(found)
    if len(x) == 0:
        raise ValueError(
            f"signal must hold stretches of {stretch} s with two R peaks and a beat of {length} RR inside; got "
            f"{len(peaks)} R peaks in {len(signal) / fs:.1f} s."
        )
    return x


def _cut(
    signal: ArrayLike,
    r_peaks: ArrayLike,
    fs: float,
    times: Float[np.ndarray, "points"],
) -> Float[np.ndarray, "n points"]:
    signal = _lead(signal, fs)
    r_peaks = _peaks(r_peaks, signal)
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
    x = np.where(weight > 0, (1 - weight) * signal[below] + weight * signal[above], signal[below])
    _warn_of_empty(x, at[:, 0] / fs)
    return x


def _warn_of_empty(x: Float[np.ndarray, "n points"], starts: Float[np.ndarray, " n"]) -> None:
    """Name beats with NaN, and those of which all points are equal, as of a lead that is off or at its limit."""
    missing = ~np.isfinite(x).all(1)
    flat = ~missing & (np.ptp(x, axis=1) == 0)
    words = []
    for some, what in ((missing, "NaN"), (flat, "one value throughout")):
        if some.any():
            rows = np.flatnonzero(some)
            named = ", ".join(f"{i} (from {starts[i]:.1f} s)" for i in rows[:NAMED])
            words.append(f"{len(rows)} of {len(x)} beats hold {what}: row {named}{', ...' * (len(rows) > NAMED)}")
    if words:
        warn(
            f"{'; '.join(words)}. Leave them out: x[np.isfinite(x).all(1) & (np.ptp(x, axis=1) > 0)].",
        )


def _lead(signal: ArrayLike, fs: float) -> np.ndarray:
    signal = np.asarray(plain("signal", signal))
    if signal.ndim != 1:
        raise ValueError(f"signal must be one lead with shape (samples,); got shape {signal.shape}. Choose one column.")
    positive("fs", fs, ", in Hz")
    return signal


def _peaks(r_peaks: ArrayLike, signal: np.ndarray) -> np.ndarray:
    r_peaks = np.asarray(r_peaks)
    if r_peaks.ndim != 1 or r_peaks.dtype.kind not in "iu":
        raise ValueError(
            f"r_peaks must be sample numbers, integers with shape (beats,); got dtype {r_peaks.dtype} and shape "
            f"{r_peaks.shape}. Times in s become sample numbers by np.round(times * fs).astype(int)."
        )
    if r_peaks.size and (r_peaks.min() < 0 or r_peaks.max() >= len(signal)):
        raise ValueError(
            f"r_peaks must be sample numbers from 0 to {len(signal) - 1}; got {r_peaks.min()} to {r_peaks.max()}."
        )
    return r_peaks
