"""QRS complexes of an ECG: where they are, how alike they are, and whether labels of beats stand at them.

A file of labels counts samples, and may count by another rate than it says. Then its labels drift away from the beats:
most of them stand far from any complex, what lies around them is not alike, and by the right rate they all fit.
"""

from pathlib import Path

import numpy as np
from jaxtyping import Float, Int
from scipy.ndimage import uniform_filter1d
from scipy.signal import butter, find_peaks, sosfiltfilt

from avo.alerts import warn

BAND = (5.0, 20.0)  # Hz, of a QRS complex
COMPLEX = 0.1  # s to either side of an R peak, in which complexes are held beside one another
NEAR = 0.08  # s from a complex within which a label belongs to it: the halves of a wide one
APART, STEEP = 0.25, 0.4  # s between complexes at least, and share of the usual steepness that one has
LEAST = 8  # labels, and complexes, from which anything is said
CLEAR, UNLIKE, FITS = 0.8, 0.5, 0.8  # likeness of complexes, that of misplaced labels, share of labels at a right rate
RATES = (100, 125, 128, 200, 250, 256, 257, 300, 360, 400, 480, 500, 512, 600, 720, 800, 1000, 1024, 2000, 5000)  # Hz
BEATS = frozenset("NLRBAaJSVrFejnE/fQ?")  # labels that stand at a QRS complex, by WFDB's code


def band_passed(signal: Float[np.ndarray, " samples"], fs: float) -> Float[np.ndarray, " samples"]:
    """Keep what a signal has between 5 and 20 Hz."""
    return sosfiltfilt(butter(2, BAND, "bandpass", fs=fs, output="sos"), signal)


def steep_places(signal: Float[np.ndarray, " samples"], fs: float) -> Int[np.ndarray, " places"]:
    """Find where a signal is steepest between 5 and 20 Hz, as in QRS complexes, each at the extreme of that band.

    Args:
        signal: one lead; NaN is bridged.
        fs: sampling rate, in Hz.

    Returns:
        Sample numbers, rising; none of a signal that is too short or too slowly sampled to show any.

    Example:
        >>> t = np.arange(0, 20, 1 / 250)
        >>> beat = np.exp(-((t % 0.8 - 0.4) ** 2) / (2 * 0.012**2))  # at .4 s, 1.2 s, ...
        >>> np.unique(np.diff(steep_places(beat, 250)))
        array([200])
    """
    there = np.isfinite(signal)
    if fs <= 2 * BAND[1] or there.sum() < max(fs, 100):
        return np.zeros(0, int)
    at = np.arange(len(signal))
    band = band_passed(np.interp(at, at[there], signal[there]), fs)
    steepness = uniform_filter1d(np.abs(np.gradient(band)), max(1, round(COMPLEX * fs)))
    height = STEEP * float(np.percentile(steepness, 98))
    places = find_peaks(steepness, height=height, distance=max(1, round(APART * fs)))[0] if height > 0 else at[:0]
    reach = round(NEAR * fs)
    starts = np.maximum(places - reach, 0)
    return np.unique([i + int(np.argmax(np.abs(band[i : i + 2 * reach + 1]))) for i in starts.tolist()]).astype(int)


def likeness(signal: Float[np.ndarray, " samples"], peaks: Int[np.ndarray, " beats"], fs: float) -> float:
    """Compute the median correlation of what lies .1 s to either side of a peak with the mean of the others.

    Returns:
        It; NaN of a single peak.
    """
    reach = max(1, round(COMPLEX * fs))
    inside = peaks[(peaks >= reach) & (peaks < len(signal) - reach)]
    parts = signal[inside[:, None] + np.arange(-reach, reach + 1)].astype(float)
    parts = parts[np.isfinite(parts).all(1)]
    parts = parts - parts.mean(1, keepdims=True)
    parts = parts / np.maximum(np.linalg.norm(parts, axis=1, keepdims=True), 1e-300)
    others = parts.sum(0) - parts
    alike = np.sum(parts * others, axis=1) / np.maximum(np.linalg.norm(others, axis=1), 1e-300)
    return float(np.median(alike)) if len(parts) > 1 else np.nan


def check_labels(
    signal: Float[np.ndarray, " samples"], fs: float, labels: Int[np.ndarray, " beats"], clock: float | None, file: Path
) -> None:
    """Look whether labels of beats stand at the complexes of a signal.

    Args:
        signal: one lead.
        fs: its sampling rate, in Hz.
        labels: where they stand, in samples by their own clock.
        clock: how many of these are a second, as their file says; None: it does not, and they are the signal's.
        file: of the labels, for messages.

    Raises:
        ValueError: if most stand far from any complex, and would not by another rate; a warning if by none.
    """
    own = fs if clock is None else clock
    places = steep_places(signal, fs)
    if min(len(labels), len(places)) < LEAST or (near := _near(labels / own, places / fs)) >= 0.5:
        return
    at = np.clip(np.round(labels * (fs / own)).astype(int), 0, len(signal) - 1)
    if _steady(labels / own, places / fs) or likeness(signal, at, fs) > UNLIKE or likeness(signal, places, fs) < CLEAR:
        return  # labels that all stand beside their beats, or a lead of which nothing can be said
    words = (
        f"{file} has labels that stand at no heartbeat: {100 * (1 - near):.0f} % of {len(labels)} are farther than "
        f"{NEAR:g} s from any steep peak of the lead, counted at {own:g} Hz, the rate of the file or, where it says "
        "none, of the record"
    )
    inside = [rate for rate in {*RATES, fs, own} if labels.max() / rate <= len(signal) / fs]
    share, rate = max((_near(labels / rate, places / fs), rate) for rate in inside)
    if share >= FITS:
        raise ValueError(
            f"{words}; counted at {rate:g} Hz {100 * share:.0f} % stand at one. Write that rate into the file, "
            f"wfdb.wrann(..., fs={rate:g}), or let R peaks be found in the record, symbols=None."
        )
    warn(
        f"{words}, and no usual rate fits. Are they labels of another record? symbols=None looks for R peaks.",
    )


def _steady(labels: Float[np.ndarray, " beats"], places: Float[np.ndarray, " places"]) -> bool:
    """Say whether labels stand always as long behind a complex, or before one, as by another part of the beat."""
    after = np.clip(np.searchsorted(places, labels), 1, len(places) - 1)
    behind, before = labels - places[after - 1], places[after] - labels
    return bool(min(np.ptp(np.quantile(each, [0.25, 0.75])) for each in (behind, before)) < NEAR)


def _near(labels: Float[np.ndarray, " beats"], places: Float[np.ndarray, " places"]) -> float:
    """Say which share of labels stands near a complex, both in s."""
    after = np.clip(np.searchsorted(places, labels), 1, len(places) - 1)
    apart = np.minimum(np.abs(labels - places[after - 1]), np.abs(labels - places[after]))
    return float(np.mean(apart <= NEAR))
