"""avo.data.complexes: QRS complexes are found, and labels that stand beside none are noticed."""

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from avo import data
from avo.data.complexes import check_labels, likeness, steep_places

FS = 360.0
RNG = np.random.default_rng(3)
BEATS = np.cumsum(RNG.uniform(0.7, 1.0, 80))  # s
TIMES = np.arange(0, BEATS[-1] + 0.5, 1 / FS)


def lead(noise: float = 0.02, height: float = 1.0) -> np.ndarray:
    """Narrow complexes, each with a broad T wave .3 s later."""
    away = TIMES[:, None] - BEATS
    clean = np.sum(height * np.exp(-((away / 0.015) ** 2)) + 0.3 * np.exp(-(((away - 0.3) / 0.06) ** 2)), axis=1)
    return clean + noise * np.random.default_rng(5).normal(size=len(TIMES))


def counted(at: np.ndarray, rate: float) -> np.ndarray:
    return np.round(at * rate).astype(np.int64)


@pytest.mark.parametrize("height", [1.0, -1.0, 80.0])
def test_steep_places_are_the_beats(height: float) -> None:
    found = steep_places(lead(0.02 * abs(height), height), FS)
    assert len(found) == len(BEATS) and np.abs(found / FS - BEATS).max() < 0.01
    gapped = lead()
    gapped[counted(np.array([20.0]), FS)[0] :][:400] = np.nan  # over a second, in which there is a beat
    assert len(BEATS) - 3 <= len(steep_places(gapped, FS)) <= len(BEATS)
    for signal, fs in ((np.zeros(5000), FS), (lead(), 30.0), (np.ones(9), FS)):
        assert len(steep_places(signal, fs)) == 0


def test_likeness_by_hand() -> None:
    signal = np.zeros(100)
    signal[[20, 50, 80]] = [1.0, 2.0, -1.0]
    # Of unit size they are e, e and -e: the first two have the others' sum zero, the last one 2 e
    assert likeness(signal, np.array([20, 50, 80]), 50.0) == pytest.approx(0.0, abs=1e-12)
    assert likeness(signal, np.array([20, 50]), 50.0) == pytest.approx(1.0)
    assert np.isnan(likeness(signal, np.array([20]), 50.0))


@pytest.mark.parametrize("rate", [250.0, 500.0, 257.0])
def test_labels_by_another_clock_inside_the_record_are_refused(rate: float) -> None:
    """The file says no rate, so that labels counted at 250 Hz come to stand at 250/360 of their time."""
    at = BEATS[BEATS * rate < len(TIMES)]
    words = rf"x.atr has labels that stand at no heartbeat: \d\d % of {len(at)} are farther than 0.08 s from any "
    words += r"steep peak of the lead, counted at 360 Hz, the rate of the file or, where it says none, of the record; "
    words += rf"counted at {rate:g} Hz 100 % stand at one\. Write that"
    with pytest.raises(ValueError, match=words):
        check_labels(lead(), FS, counted(at, rate), None, Path("x.atr"))
    with pytest.raises(ValueError, match=r"counted at 360 Hz, the rate of .*wfdb.wrann\(..., fs=\d+\)"):
        check_labels(lead(), FS, counted(at, rate), FS, Path("x.atr"))
    check_labels(lead(), FS, counted(at, rate), rate, Path("x.atr"))


def test_labels_of_another_record_are_warned_of() -> None:
    at = np.sort(np.random.default_rng(8).uniform(1, BEATS[-1], 70))
    with pytest.warns(UserWarning, match=r"stand at no heartbeat: .*no usual rate fits. Are they labels of"):
        check_labels(lead(), FS, counted(at, FS), None, Path("x.atr"))


@pytest.mark.filterwarnings("error")
def test_nothing_is_said_of_labels_that_may_be_right() -> None:
    right = counted(BEATS, FS)
    for late in (0.0, 0.05, -0.15, 0.3):  # by whatever part of a beat they were put
        check_labels(lead(), FS, np.clip(right + round(late * FS), 0, None), None, Path("x.atr"))
    noise = np.random.default_rng(9).normal(size=len(TIMES))
    check_labels(noise, FS, right, None, Path("x.atr"))  # a lead that is off
    check_labels(lead(), FS, right[:7] // 2, None, Path("x.atr"))  # too few
    check_labels(np.zeros(len(TIMES)), FS, right // 2, None, Path("x.atr"))


def test_a_record_with_labels_by_another_clock(tmp_path: Path) -> None:
    wfdb = pytest.importorskip("wfdb", reason="wfdb is not installed (extra ecg)")
    form: dict[str, Any] = {"fmt": ["16"], "adc_gain": [2000], "baseline": [0], "write_dir": str(tmp_path)}
    wfdb.wrsamp("r", FS, ["mV"], ["II"], lead()[:, None], **form)
    for symbol, rate, ok in (("N", 360, True), ("N", 250, False), ("t", 250, True)):
        at = counted(BEATS[BEATS > 1.0], rate)
        wfdb.wrann("r", "atr", at, symbol=[symbol] * len(at), write_dir=str(tmp_path))
        if ok:
            assert data.read_beats(tmp_path / "r", symbols=(symbol,)).shape[1] == 288
            continue
        with pytest.raises(ValueError, match=r"r.atr has labels .* counted at 250 Hz \d+ % stand at one.*symbols=None"):
            data.read_beats(tmp_path / "r")
        assert len(data.read_beats(tmp_path / "r", symbols=None)) > 70


def test_the_labels_of_record_100_stand_at_its_beats(shared_data: Path) -> None:
    wfdb = pytest.importorskip("wfdb", reason="wfdb is not installed (extra ecg)")
    path = shared_data / "ecg" / "100"
    labels, signals = wfdb.rdann(str(path), "atr"), data.read(path.with_suffix(".dat"))
    at = labels.sample[np.isin(labels.symbol, ["N", "A", "V"])]
    with warnings.catch_warnings(action="error"):
        for signal in signals.T:
            for part in (slice(0, 360 * 30), slice(None)):
                check_labels(signal[part], FS, at[at < len(signal[part])], labels.fs, path)
    for signal in signals.T:
        with pytest.raises(ValueError, match="counted at 250 Hz"):
            check_labels(signal, FS, counted(at / FS, 250), None, path)
