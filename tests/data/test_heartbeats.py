"""Heartbeats: cut where they belong, in the units asked for, and refused with a reason."""

import sys

import numpy as np
import pytest

from avo import data


@pytest.mark.parametrize(
    "fs,before,after,first,points", [(360, 0.3, 0.5, -108, 288), (125, 0.3, 0.5, -37, 100), (100, 0.29, 0.5, -29, 79)]
)
def test_beat_times_are_multiples_of_the_sampling_interval(fs, before, after, first, points):
    times = data.beat_times(fs, before, after)
    np.testing.assert_allclose(times * fs, first + np.arange(points), atol=1e-9)
    assert -before - 1e-9 <= times[0] < -before + 1 / fs and after - 1 / fs - 1e-9 <= times[-1] < after


def test_beats_of_spikes_at_an_odd_rate():
    fs, peaks = 257, np.array([40, 300, 611, 901, 1210])
    signal = np.full(1300, -0.25)
    signal[peaks] = [2.0, 3.0, 4.0, 5.0, 6.0]
    signal[peaks + 3] = -1.5
    cut = data.beats(signal, peaks, fs, before=0.2, after=0.37)
    zero = int(np.flatnonzero(data.beat_times(fs, 0.2, 0.37) == 0)[0])
    expected = np.full(
        (3, zero + 96), -0.25
    )  # .37 * 257 = 95.09: 96 points from the R peak on; the outer two do not fit
    expected[:, zero] = [3.0, 4.0, 5.0]
    expected[:, zero + 3] = -1.5
    assert zero == 51  # .2 * 257 = 51.4
    np.testing.assert_array_equal(cut, expected)


def test_beats_refuse():
    signal = np.zeros(100)
    with pytest.raises(
        ValueError, match=r"r_peaks must be sample numbers, integers with shape \(beats,\); got dtype float64"
    ):
        data.beats(signal, [1.5], 10)
    with pytest.raises(ValueError, match=r"r_peaks must be sample numbers from 0 to 99; got 50 to 100"):
        data.beats(signal, [50, 100], 10)
    with pytest.raises(ValueError, match=r"none of 2 R peaks has its window inside the 100 samples"):
        data.beats(signal, [1, 99], 10)
    with pytest.raises(ValueError, match=r"signal must be one lead with shape \(samples,\); got shape \(100, 2\)"):
        data.beats(np.zeros((100, 2)), [50], 10)
    with pytest.raises(ValueError, match=r"fs must be a finite number above zero, in Hz; got 0"):
        data.beat_times(0)


@pytest.fixture
def ramp_record(tmp_path):
    """A record whose lead `uv` rises by 40 microvolts a sample, so that a value tells its time."""
    wfdb = pytest.importorskip("wfdb", reason="wfdb is not installed (extra ecg)")
    ramp = np.stack([np.zeros(500), 40.0 * np.arange(500)], axis=1)
    wfdb.wrsamp(
        "ramp",
        250,
        ["mV", "uV"],
        ["flat", "uv"],
        ramp,
        fmt=["16", "16"],
        adc_gain=[200.0, 0.5],
        baseline=[0, 0],
        write_dir=str(tmp_path),
    )
    wfdb.wrann("ramp", "atr", np.array([10, 100, 200, 300]), symbol=["N", "N", "V", "N"], write_dir=str(tmp_path))
    return tmp_path / "ramp"


def test_read_beats_of_a_ramp(ramp_record):
    # Sample k holds .04 k mV; the first N has no full window.
    expected = 0.04 * (np.array([[100], [300]]) + np.arange(-50, 25))
    np.testing.assert_allclose(data.read_beats(ramp_record, "uv", before=0.2, after=0.1), expected, atol=1e-12)
    np.testing.assert_allclose(
        data.read_beats(ramp_record.with_suffix(".dat"), 1, ("V",), before=0.2, after=0.1),
        0.04 * (200 + np.arange(-50, 25))[None],
        atol=1e-12,
    )
    # Linear interpolation is exact on a ramp: 330 Hz from 250 Hz.
    times = data.beat_times(330, 0.2, 0.1)
    np.testing.assert_allclose(
        data.read_beats(ramp_record, "uv", before=0.2, after=0.1, fs=330),
        0.04 * (np.array([[100], [300]]) + 250 * times),
        atol=1e-9,
    )
    # The mean over samples -10..-6 is the value at -8.
    np.testing.assert_allclose(
        data.read_beats(ramp_record, "uv", before=0.2, after=0.1, baseline=(-0.04, -0.02)),
        np.tile(0.04 * (np.arange(-50, 25) + 8), (2, 1)),
        atol=1e-12,
    )


def test_labels_by_another_clock_stand_where_they_were_put(ramp_record):
    """Labels at 125 Hz, or at 1000 Hz, of a record at 250 Hz: 200 samples in are .8 s in."""
    import wfdb

    folder = str(ramp_record.parent)
    expected = 0.04 * (np.array([[100], [301]]) + np.arange(-50, 25))
    for fs, places in ((125, [50, 150.5]), (1000, [400, 1203]), (250, [100, 301])):
        at = np.round(places).astype(int)
        wfdb.wrann("ramp", "atr", at, symbol=["N", "N"], fs=fs, write_dir=folder)
        wanted = expected if fs == 1000 or fs == 250 else 0.04 * (2 * at[:, None] + np.arange(-50, 25))
        np.testing.assert_allclose(data.read_beats(ramp_record, "uv", before=0.2, after=0.1), wanted, atol=1e-12)
    wfdb.wrann("ramp", "atr", np.array([100, 700]), symbol=["N", "N"], fs=250, write_dir=folder)
    with pytest.raises(ValueError, match=r"ramp.atr has a label at 2.8 s, and its record ends at 2.0 s.*symbols=None"):
        data.read_beats(ramp_record, "uv")


def test_a_record_without_labels(tmp_path):
    """Its R peaks are found; beats with a gap and flat ones are named."""
    wfdb = pytest.importorskip("wfdb", reason="wfdb is not installed (extra ecg)")
    fs, t = 250, np.arange(0, 40, 1 / 250)
    lead = np.exp(-((t % 0.8 - 0.4) ** 2) / (2 * 0.012**2))  # R peaks at .4 s, 1.2 s, ...
    broken = lead.copy()
    broken[round(10.2 * fs) : round(10.3 * fs)] = np.nan  # .2 s after the R peak at 10.0 s
    both = np.stack([lead, broken], axis=1)
    wfdb.wrsamp("bare", fs, ["mV", "mV"], ["II", "V1"], both, fmt=["16", "16"], adc_gain=[2000.0] * 2,
                baseline=[0, 0], write_dir=str(tmp_path))  # fmt: skip
    with pytest.raises(FileNotFoundError, match=r"bare.atr.*symbols=None looks for its R peaks"):
        data.read_beats(tmp_path / "bare")
    x = data.read_beats(tmp_path / "bare", symbols=None)
    assert len(x) in (48, 49) and np.all(x.argmax(1) == 75)  # .3 s at 250 Hz
    with pytest.warns(
        UserWarning, match=r"^1 of \d+ beats hold NaN: row \d+ \(from 9.7 s\). Leave them out: x\["
    ) as found:
        gapped = data.read_beats(tmp_path / "bare", "V1", symbols=None)
    row = int(str(found[0].message).split("row ")[1].split()[0])
    assert len(gapped) == len(x) and np.flatnonzero(np.isnan(gapped).any(1)).tolist() == [row]


def test_flat_beats_are_named():
    signal = np.sin(np.arange(400.0))
    signal[200:320] = 1.5
    with pytest.warns(
        UserWarning, match=r"2 of 3 beats hold one value throughout: row 1 \(from 22.0 s\), 2 \(from 26.0"
    ):
        data.beats(signal, [50, 240, 280], 10, before=2.0, after=3.0)


def test_peaks_in_noise_are_said_to_be_uneven():
    pytest.importorskip("wfdb", reason="wfdb is not installed (extra ecg)")
    noise = np.random.default_rng(0).normal(size=250 * 30)
    with pytest.warns(UserWarning, match=r"R peaks, 1\d\d a minute; .* Look at the lead: is it an ECG") as warned:
        peaks = data.r_peaks(noise, 250)
    found = data.regularity(noise, peaks, 250)
    assert found.beats == len(peaks) > 60 and found.alike < 0.4 and found.spread > 0.3
    assert str(warned[0].message).startswith(str(found))


def test_regularity_of_known_peaks():
    """Intervals of 80, 100, 100 and 120 samples; complexes that are alike, one of them the other way round."""
    fs, peaks = 100, np.array([50, 130, 230, 330, 450])
    signal = np.zeros(520)
    signal[peaks] = [1.0, 2.0, 1.5, 0.7, 1.1]
    found = data.regularity(signal, peaks, fs)
    assert (found.beats, found.rate, found.alike) == (5, pytest.approx(60.0), pytest.approx(1.0))
    assert found.spread == pytest.approx(0.1)  # quarters of 80, 100, 100, 120: 95 and 105
    signal[peaks[1]] *= -1
    assert data.regularity(signal, peaks, fs).alike == pytest.approx(1.0)  # a median
    signal[peaks] = 1.0 + 0.5 * np.arange(5)
    signal[peaks + 4] = [0.0, 0.0, 0.0, 0.0, 3.0]
    unit = np.array([[1.0, 0.0], [1.0, 0.0], [1.0, 0.0], [1.0, 0.0], [3 / 18**0.5, 3 / 18**0.5]])
    unit = np.pad(unit, ((0, 0), (0, 19)))  # 21 points, less their mean
    unit = unit - unit.mean(1, keepdims=True)
    unit /= np.linalg.norm(unit, axis=1, keepdims=True)
    expected = [np.corrcoef(unit[i], np.delete(unit, i, 0).sum(0))[0, 1] for i in range(5)]
    assert data.regularity(signal, peaks, fs).alike == pytest.approx(np.median(expected))
    assert np.isnan(data.regularity(signal, peaks[:1], fs)[1:]).all()


def test_read_beats_refuses(ramp_record):
    with pytest.raises(ValueError, match=r"symbols must be labels of .*ramp.atr, which has N, V; got \['A'\]"):
        data.read_beats(ramp_record, symbols=("A",))
    with pytest.raises(ValueError, match=r"lead must be a number from 0 to 1 or a name among flat, uv .*got 'II'"):
        data.read_beats(ramp_record, lead="II")
    with pytest.raises(ValueError, match=r"lead must name each column once; got 'uv' twice, as 1 too"):
        data.read_beats(ramp_record, lead=["uv", 1])
    with pytest.raises(ValueError, match=r"lead must name at least one column of .*ramp.hea; got none"):
        data.read_beats(ramp_record, lead=[])
    with pytest.raises(ValueError, match=r"baseline must hold a point of the beat"):
        data.read_beats(ramp_record, baseline=(0.6, 0.7))
    with pytest.raises(FileNotFoundError, match=r"ramps.hea. Similar names beside it: ramp.hea"):
        data.read_beats(ramp_record.with_name("ramps"))
    ramp_record.with_suffix(".atr").unlink()
    with pytest.raises(FileNotFoundError, match=r"ramp.atr"):
        data.read_beats(ramp_record)


def test_without_wfdb_the_message_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "wfdb", None)
    (tmp_path / "100.hea").write_text("100 2 360 650000\n")
    with pytest.raises(ImportError, match=r"pip install 'avo-sbi\[ecg\]'"):
        data.read(tmp_path / "100.hea")


def test_padded_beats_of_a_ramp():
    # 1.2 RR = 1.2 * 36 / 40 = 1.08 s; 27 points at 25 Hz, the point at 1.08 s is not among them
    fs, signal = 40, 0.3 * np.arange(1000) - 7.0
    peaks = np.array([5, 41, 77, 100, 136, 190, 410, 830, 860])  # median interval of the first stretch: 36
    cut = data.padded_beats(signal, peaks, fs, rate=25, points=30, stretch=10.0, scaled=False)
    k = np.arange(27)
    first = [signal[p] + 0.3 * fs * k / 25 for p in (5, 41, 77, 100, 136, 190)]
    np.testing.assert_allclose(cut[:6, :27], first, atol=1e-9)
    np.testing.assert_array_equal(cut[:6, 27:], 0.0)
    # Of the second stretch's only peak no RR is known; that of the third is 30 samples: .9 s, 23 points
    assert len(cut) == 6 + 2
    np.testing.assert_allclose(cut[6, :23], signal[830] + 0.3 * fs * np.arange(23) / 25, atol=1e-9)
    # Scaled by the lowest and highest value of its own stretch
    scaled = data.padded_beats(signal, peaks, fs, rate=25, points=30)
    np.testing.assert_allclose(scaled[0, :27], (5 + fs * k / 25) / 399, atol=1e-9)
    # Longer than there are points: cut off; ending after the stretch: left out
    np.testing.assert_allclose(data.padded_beats(signal, peaks, fs, rate=25, points=20, scaled=False), cut[:, :20])
    assert len(data.padded_beats(signal[:230], peaks[:6], fs, rate=25)) == 5


def test_padded_beats_refuse():
    with pytest.raises(ValueError, match=r"two R peaks and a beat of 1.2 RR inside; got 1 R peaks in 4.0 s"):
        data.padded_beats(np.zeros(40), [5], 10)
    with pytest.raises(ValueError, match=r"r_peaks must be sample numbers, integers"):
        data.padded_beats(np.zeros(40), [5.0, 9.0], 10)
    with pytest.raises(ValueError, match=r"points must be a whole number of at least 1; got 0"):
        data.padded_beats(np.zeros(40), [5, 9], 10, points=0)
    with pytest.raises(ValueError, match=r"signal must be one lead"):
        data.padded_beats(np.zeros((40, 2)), [5, 9], 10)
    with pytest.raises(ValueError, match=r"fs must be a finite number above zero, in Hz; got 0"):
        data.r_peaks(np.zeros(40), 0)
    with pytest.raises(ValueError, match=r"fs must be above 40 Hz to show a QRS complex; got fs=10"):
        data.r_peaks(np.zeros(40), 10)
    with pytest.raises(ValueError, match=r"signal must be finite; sample 3 is not"):
        data.r_peaks([0.0, 1.0, 2.0, np.nan, *np.zeros(100)], 100)
    with pytest.raises(ValueError, match=r"signal must last at least 1 s; got 99 samples at 100 Hz"):
        data.r_peaks(np.zeros(99), 100)
    with pytest.raises(ValueError, match=r"signal must be finite; sample 7 is not"):
        data.padded_beats([*np.zeros(7), np.inf, *np.zeros(40)], [5, 9], 10)


@pytest.mark.parametrize("height", [1.3, -1.3, 0.05, -80.0])  # whatever the unit
def test_r_peaks_of_spikes(height):
    pytest.importorskip("wfdb", reason="wfdb is not installed (extra ecg)")
    rng, fs = np.random.default_rng(0), 257
    peaks = np.cumsum(rng.integers(180, 260, 20))
    t = np.arange(peaks[-1] + 200)[:, None]
    signal = 0.7 + height * np.sum(np.exp(-((t - peaks) ** 2) / (2 * 3.0**2)), axis=1)
    found = data.r_peaks(signal + 0.01 * height * rng.normal(size=len(signal)), fs)
    assert len(found) >= 19  # the detector may take the first beat to learn
    assert np.all(np.abs(found[:, None] - peaks).min(1) <= 1)


def test_r_peaks_of_record_100(shared_data):
    wfdb = pytest.importorskip("wfdb", reason="wfdb is not installed (extra ecg)")
    path = shared_data / "ecg" / "100"
    signal = data.read(path.with_suffix(".dat"), columns="MLII")[: 360 * 300]
    labels = wfdb.rdann(str(path), "atr")
    at = labels.sample[np.isin(labels.symbol, ["N", "A", "V"]) & (labels.sample < 360 * 300)]
    found = data.r_peaks(signal, 360)
    near = np.abs(found[:, None] - at)
    assert np.mean(near.min(0) <= 18) > 0.99 and np.mean(near.min(1) <= 18) > 0.99  # within .05 s
    x = data.padded_beats(signal, found, 360)
    assert x.shape[1] == 187 and x.min() == 0 and x.max() == 1
    assert 0.8 * len(found) < len(x) < len(found)
    assert np.median(x[:, 0]) > 0.9  # a beat begins at its R peak
    # 74 beats a minute: 1.2 RR are .97 s, 122 of 187 points
    assert np.median((x > 0).sum(1)) == pytest.approx(1.2 * np.median(np.diff(at)) / 360 * 125, abs=3)


def test_r_peaks_agree_between_leads(shared_data):
    pytest.importorskip("wfdb", reason="wfdb is not installed (extra ecg)")
    with np.load(shared_data / "ecg" / "ptb_10subjects_15lead.npz") as ptb:
        counts = [[len(data.r_peaks(ptb["adu"][s, lead] / 2000, 1000)) for lead in (1, 10)] for s in range(10)]
    assert np.array_equal(counts, np.median(counts, axis=1, keepdims=True) * np.ones((1, 2)))


def test_record_100(shared_data):
    pytest.importorskip("wfdb", reason="wfdb is not installed (extra ecg)")
    path = shared_data / "ecg" / "100.dat"
    # WFDB format 212 unpacked by hand: two 12-bit samples in three bytes; mV = (x - 1024) / 200.
    raw = np.fromfile(path, np.uint8).astype(int).reshape(-1, 3)
    x = raw[:, 0] + ((raw[:, 1] & 15) << 8)
    mv = (np.where(x > 2047, x - 4096, x) - 1024) / 200
    np.testing.assert_allclose(data.read(path, columns="MLII"), mv, atol=1e-12)
    # 2239 normal beats, less the first (sample 77, .3 s is 108 samples) and the last (649991 of 650000).
    cut = data.read_beats(path)
    assert cut.shape == (2237, 288)
    np.testing.assert_allclose(cut[0], mv[370 - 108 : 370 + 180], atol=1e-12)
    median = np.median(cut, axis=0)
    assert abs(data.beat_times(360)[median.argmax()]) < 0.01
    assert 0.9 < median.max() - np.median(median) < 1.6
