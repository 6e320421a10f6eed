"""`--preset`: a registered simulator as recorded data need it, with ranges, and a start of the fit, from these.

    full, of ecg    all waves, T2, the ST segment and the offset, 22 parameters and the noise; of several leads with one
                    theta. Beats come from a WFDB record, at its labels of normal beats or its R peaks, or from an array
                    (n, points) or (n, points, leads) in mV, whose sampling rate --option rate= says.

Least squares on medians of beats, of the whole and of parts in time, (`avo.latents.Mechanistic`) give the start, beside
which the fit begins without a search, and the ranges: from the least to the largest of them and a tenth of the usual
range more to either side. Parameters of single beats, 500 at most, found likewise, are written beside the fit.
"""

import csv
import io
import warnings
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

import avo
from avo import data
from avo.alerts import warn
from avo.budget import enough_beside
from avo.checks import one_of
from avo.command.sources import Reading, Source, Task, read
from avo.command.words import literal, named_pairs, ranged, with_known
from avo.folder import write_bytes
from avo.latents.mechanistic import explained
from avo.space import Space

if TYPE_CHECKING:
    from avo.simulators import Problem

PRESETS = {"ecg": ("full",)}
FIRST, END = -0.3, 0.55  # s, of a beat
BASELINE = (-0.09, -0.05)  # s, the level before the QRS complex, which is taken off
FASTEST = 250.0  # Hz, above which every second sample, or third, does
READ = ("columns", "key")  # how a file is read: which leads, which array
PARTS = 10  # of the beats, in time
WIDER = 0.1  # of the usual range
NOISE, QUIET = 10.0, 40.0  # dB below what least squares leave, and the least noise: beats differ by more than noise
LIBRARY = 8000  # simulations from which least squares start
MOST = 500  # beats whose parameters are written, at most
BESIDE = 0.05  # standard deviation of q in u where the fit begins


class Beats(NamedTuple):
    """Heartbeats: x (m, points) or (m, points, leads) in mV, their sampling rate, and names of several leads."""

    x: np.ndarray
    rate: float
    leads: tuple[str, ...] | None


class Preset(NamedTuple):
    """What to fit, where to start, and the least squares that gave both."""

    task: Task
    start: np.ndarray
    encoder: avo.latents.Mechanistic
    words: str

    @property
    def proposal(self) -> avo.Gaussian:
        """Where the steps begin, which least squares found."""
        space = self.task.source.space
        return avo.Gaussian.start(space.dim, space.unconstrain(self.start), BESIDE)

    @property
    def calls(self) -> int:
        """Calls of a fit without budget."""
        return enough_beside(len(self.task.observed))


def preset_of(
    name: str, simulator: str, file: Path | None, reading: Reading, *, option: list[str] | None = None,
    ranges: list[str] | None = None, fix: list[str] | None = None, prior: list[str] | None = None,
    others: Mapping[str, object] = MappingProxyType({}),
) -> Preset:  # fmt: skip
    """Find what to fit by `--preset`; other options that would say so, by their names, are refused.

    Raises:
        ValueError: if the simulator has no such preset, or the data do not suit it.
    """
    if simulator not in PRESETS:
        raise ValueError(f"--preset is for {', '.join(PRESETS)}; leave it out for {simulator}.")
    one_of("--preset", name, PRESETS[simulator])
    if given := [name for name, value in others.items() if value]:
        raise ValueError(f"--preset says what is fitted, and how; leave {' and '.join(given)} out.")
    if file is None:
        raise ValueError("--preset takes its ranges from recorded data; give them by --data.")
    beats = _beats(file, reading, option)
    problem, medians = _wide(beats), _medians(beats.x)
    encoder = avo.latents.Mechanistic(problem, rows=LIBRARY, noise="equal")
    theta = encoder.encode(medians)
    fitted = np.asarray(problem.mean(theta[0]))  # pyright: ignore[reportOptionalCall]
    told = float(explained(medians[:1], fitted[None])[0])
    ready, start = _fitted(problem, beats, theta, fitted)
    space = with_known(ranged(ready.space, ranges), fix, prior)
    words = f"least squares: {problem.space.dim} parameters explain {100 * told:.2f} % of the median beat"
    start = np.asarray(space.free(start))
    return Preset(Task(Source("ecg", ready.simulate, space, ready), beats.x, None), start, encoder, words)


def task_again(space: Space, file: Path, reading: Reading, option: list[str] | None) -> Task:
    """Find what a run of `--preset full` was fitted with, for observations that it has not seen."""
    beats = _beats(file, reading, option)
    window = (FIRST, FIRST + beats.x.shape[1] / beats.rate)
    problem = avo.simulators.ecg(space.columns, rate=beats.rate, window=window, leads=beats.leads)
    return Task(Source("ecg", problem.simulate, space, problem), beats.x, None)


def write_beats(out: Path, preset: Preset) -> Path:
    """Write parameters of beats, `MOST` of them evenly chosen, and the share of each that they explain: beats.csv."""
    x = preset.task.observed
    rows = np.linspace(0, len(x) - 1, min(MOST, len(x))).round().astype(int)
    theta = preset.encoder.encode(x[rows])
    told = explained(x[rows], preset.encoder.decode(theta))
    lines = io.StringIO(newline="")
    table = csv.writer(lines)
    table.writerow(["beat", *preset.encoder.problem.space.names, "explained"])
    for row, each, share in zip(rows.tolist(), theta, told, strict=True):
        table.writerow([row, *(f"{value:.6g}" for value in each), f"{share:.5f}"])
    write_bytes(out / "beats.csv", lines.getvalue().encode())
    return out / "beats.csv"


def _beats(file: Path, reading: Reading, words: list[str] | None) -> Beats:
    """Read heartbeats from a record, or from an array whose rate is said."""
    option = {key: literal(value) for key, value in named_pairs(words, "--option").items()}
    if unknown := [name for name in option if name != "rate"]:
        raise ValueError(f"--option: the preset full takes rate= alone, of beats in an array; got {unknown[0]}.")
    others = [name for name, value in reading._asdict().items() if value not in (None, False) and name not in READ]
    if others:
        raise ValueError(f"--{others[0].replace('_', '-')} has no part in --preset full; leave it out.")
    if file.suffix in (".dat", ".hea") or not file.suffix:
        return _record(file, reading)
    rate = option.get("rate")
    if not isinstance(rate, int | float):
        raise ValueError(f"--option rate=HZ must say the sampling rate of the beats in {file}.")
    x = read(file, reading).x
    if x.ndim not in (2, 3) or x.shape[1] < 40:
        raise ValueError(f"{file} must hold beats in mV, shape (n, points) or (n, points, leads); got {x.shape}.")
    return Beats(x, float(rate), None if x.ndim == 2 else tuple(f"lead{i + 1}" for i in range(x.shape[2])))


def _record(file: Path, reading: Reading) -> Beats:
    header = data.header_of(file)
    columns = [0] if reading.columns is None else [int(c) if c.isdigit() else c for c in reading.columns.split(",")]
    names = [header.sig_name[c] if isinstance(c, int) and c < header.n_sig else str(c) for c in columns]
    rate = header.fs / np.ceil(header.fs / FASTEST)
    symbols = ("N",) if file.with_suffix(".atr").is_file() else None
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".* beats hold ")  # said below
        x = data.read_beats(file, columns, symbols, -FIRST, END, fs=rate, baseline=BASELINE)
    recorded = np.isfinite(x).all((1, 2)) & (np.ptp(x, axis=1) > 0).all(1)
    if not recorded.any():
        raise ValueError(f"{file} must hold beats of {', '.join(names)}; all hold NaN, or one value throughout.")
    if not recorded.all():
        words = "hold NaN, or one value throughout, and are left out"
        warn(f"{np.sum(~recorded)} of {len(x)} beats of {', '.join(names)} {words}.")
    x = x[recorded]
    return Beats(x[..., 0], rate, None) if len(names) == 1 else Beats(x, rate, tuple(names))


def _medians(x: np.ndarray) -> np.ndarray:
    """Compute the median beat, then those of parts in time."""
    parts = np.array_split(x, max(1, min(PARTS, len(x) // 5)))
    return np.stack([np.median(part, axis=0) for part in (x, *parts)])


def _wide(beats: Beats) -> "Problem":
    """Make the full model with ranges for any beat, its amplitudes as wide as the largest of these."""
    from avo.simulators.ecg import WIDE

    larger = max(1.0, float(np.abs(np.median(beats.x, axis=0)).max()) / 2.0)
    ranges = {
        name: (larger * low, larger * high) if name.endswith("amp") or name == "offset" else (low, high)
        for name, (low, high) in WIDE.items()
    }
    window = (FIRST, FIRST + beats.x.shape[1] / beats.rate)
    return avo.simulators.ecg((*WIDE,), rate=beats.rate, window=window, ranges=ranges, leads=beats.leads)


def _fitted(problem: "Problem", beats: Beats, theta: np.ndarray, fitted: np.ndarray) -> tuple["Problem", np.ndarray]:
    """Make the problem of the fit, with ranges around what least squares found, and its start."""
    low, high = np.array([parameter.support for parameter in problem.space]).T
    margin = WIDER * (high - low)
    ends = np.maximum(theta.min(0) - margin, low), np.minimum(theta.max(0) + margin, high)
    inside = np.clip(theta[0], ends[0] + 0.02 * margin, ends[1] - 0.02 * margin)
    rest, wave = np.var(beats.x - fitted), np.mean((fitted - np.median(fitted, axis=0)) ** 2)
    snr = float(10 * np.log10(wave / rest))
    ranges = dict(zip(problem.space.names, zip(*ends, strict=True), strict=True))
    ranges |= {"snr": (snr - NOISE, max(snr + NOISE, QUIET))}
    values = dict(zip(problem.space.names, inside.tolist(), strict=True)) | {"snr": snr}
    window = (FIRST, FIRST + beats.x.shape[1] / beats.rate)
    names = (*problem.space.names, "snr")
    ready = avo.simulators.ecg(
        names, rate=beats.rate, window=window, ranges=ranges, values=values, leads=beats.leads
    )  # fmt: skip
    return ready, np.array([values[name] for name in names])
