"""avo.data: every reader gives back what was written, every cut is where it should be, every refusal says where."""

import gzip
import sys

import numpy as np
import pytest

from avo import data

X = np.array([[1.5, -2.25, 3.0], [4.125, 5.5, -6.75], [7.0, 8.5, 9.25], [0.1, 1e-300, -1e300]])


def written(path, text):
    path.write_text(text, encoding="utf-8")
    return path


# --- arrays ----------------------------------------------------------------------------------------------------------


def test_npy_round_trip(tmp_path):
    x = np.arange(24.0).reshape(4, 3, 2)
    np.save(tmp_path / "x.npy", x)
    np.testing.assert_array_equal(data.read(tmp_path / "x.npy"), x)
    np.testing.assert_array_equal(data.read(str(tmp_path / "x.npy"), columns=1), x[..., 1])
    np.testing.assert_array_equal(data.read(tmp_path / "x.npy", columns=[1, 0]), x[..., [1, 0]])


def test_npz_takes_x_or_the_only_array_or_the_named_one(tmp_path):
    np.savez(tmp_path / "two.npz", theta=X + 1, x=X)
    np.savez(tmp_path / "one.npz", ecg=X[0])
    np.savez(tmp_path / "neither.npz", a=X, b=X)
    np.testing.assert_array_equal(data.read(tmp_path / "two.npz"), X)
    np.testing.assert_array_equal(data.read(tmp_path / "two.npz", key="theta"), X + 1)
    np.testing.assert_array_equal(data.read(tmp_path / "one.npz"), X[0])
    with pytest.raises(ValueError, match=r"key must name one of the arrays in .*neither.npz: a, b; got None"):
        data.read(tmp_path / "neither.npz")
    with pytest.raises(ValueError, match=r"one of the arrays in .*two.npz: theta, x; got 'y'"):
        data.read(tmp_path / "two.npz", key="y")


def test_arrays_that_are_not_numbers(tmp_path):
    np.save(tmp_path / "text.npy", np.array(["a", "b"]))
    np.save(tmp_path / "object.npy", np.array([[1], "a"], dtype=object))
    written(tmp_path / "broken.npz", "not an archive")
    with pytest.raises(ValueError, match=r"text.npy must hold real numbers; got dtype <U1"):
        data.read(tmp_path / "text.npy")
    with pytest.raises(ValueError, match=r"object.npy cannot be read as an array of numbers"):
        data.read(tmp_path / "object.npy")
    with pytest.raises(ValueError, match=r"broken.npz cannot be read as an array of numbers"):
        data.read(tmp_path / "broken.npz")


def test_arguments_that_do_not_apply(tmp_path):
    np.save(tmp_path / "x.npy", X[0])
    with pytest.raises(ValueError, match=r"key chooses an array of an .npz file; got key='x'"):
        data.read(tmp_path / "x.npy", key="x")
    with pytest.raises(ValueError, match=r"columns chooses along the last axis of a table; .* has shape \(3,\)"):
        data.read(tmp_path / "x.npy", columns=0)


# --- CSV -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["x.csv", "x.csv.gz", "X.CSV"])
@pytest.mark.parametrize("header", ["", "mu, sigma ,\u03b8\n", '"a, b",c,d\n', "# a,b,c\n\n"])
def test_csv_round_trip(tmp_path, name, header):
    text = header + "\n".join(",".join(map(repr, row)) for row in X.tolist()) + "\n"
    raw = text.encode("utf-8-sig")
    (tmp_path / name).write_bytes(gzip.compress(raw) if name.endswith("gz") else raw)
    np.testing.assert_array_equal(data.read(tmp_path / name), X)


def test_csv_one_column_keeps_its_axis(tmp_path):
    path = written(tmp_path / "x.csv", "1.5\n\n2.5\n# remark\n3.5\n")
    np.testing.assert_array_equal(data.read(path), [[1.5], [2.5], [3.5]])
    np.testing.assert_array_equal(data.read(path, columns=0), [1.5, 2.5, 3.5])


def test_csv_title_header_and_text_columns(tmp_path):
    path = written(
        tmp_path / "x.csv", "Created on 2019,somewhere\nday,high, low\n2019-10-17,7.5,-2\n2019-10-16,8.25,3\n"
    )
    np.testing.assert_array_equal(data.read(path, columns=["low", "high"]), [[-2, 7.5], [3, 8.25]])
    np.testing.assert_array_equal(data.read(path, columns=["high", 2]), [[7.5, -2], [8.25, 3]])
    np.testing.assert_array_equal(data.read(path, columns="low"), [-2, 3])
    with pytest.raises(ValueError, match=r"row 0 \(line 3\), column 'day' holds '2019-10-17'"):
        data.read(path)


@pytest.mark.parametrize("column", ["lo", "x", 3, -1])
def test_csv_unknown_column(tmp_path, column):
    path = written(tmp_path / "x.csv", "x,x,low\n1,2,3\n")
    with pytest.raises(
        ValueError, match=rf"columns must be a number from 0 to 2 or a name among x, x, low .*got {column!r}"
    ):
        data.read(path, columns=[column])


def test_csv_cell_that_is_not_a_number(tmp_path):
    with pytest.raises(ValueError, match=r"row 1 \(line 4\), column 'b' holds 'n/a'"):
        data.read(written(tmp_path / "named.csv", "# remark\na,b\n1,2\n3,n/a\n"))
    with pytest.raises(ValueError, match=r"row 2 \(line 3\), column 0 holds ''"):
        data.read(written(tmp_path / "plain.csv", "1,2\n3,4\n,6\n"))
    # A first row with one bad cell is a row, not a line of names.
    with pytest.raises(ValueError, match=r"row 0 \(line 1\), column 1 holds 'oops'"):
        data.read(written(tmp_path / "first.csv", "1,oops\n3,4\n"))
    # Nor does a second line without numbers pass for a heading.
    with pytest.raises(ValueError, match=r"row 0 \(line 2\), column 'a' holds 'oops'"):
        data.read(written(tmp_path / "second.csv", "a\noops\n3\n"))


def test_csv_ragged_row(tmp_path):
    with pytest.raises(ValueError, match=r"must have 2 cells in every row, as in its first; row 2 \(line 4\) has 3"):
        data.read(written(tmp_path / "x.csv", "a,b\n1,2\n3,4\n5,6,7\n"))


def test_csv_without_numbers(tmp_path):
    cases = (("names.csv", "a,b\n", "'a,b'"), ("semicolons.csv", "1;2\n3;4\n", "'1;2'"), ("blank.csv", "\n \n", "''"))
    for name, text, first in cases:
        with pytest.raises(ValueError, match=rf"numbers in cells separated by commas; its first line is {first}"):
            data.read(written(tmp_path / name, text))
    (tmp_path / "latin.csv").write_bytes("größe\n1\n".encode("latin-1"))
    (tmp_path / "plain.csv.gz").write_bytes(b"1,2\n")
    for name in ("latin.csv", "plain.csv.gz"):
        with pytest.raises(ValueError, match=rf"{name} cannot be read as a CSV file"):
            data.read(tmp_path / name)


# --- files that are not there or not readable ------------------------------------------------------------------------


def test_missing_file_names_its_neighbours(tmp_path):
    written(tmp_path / "beats.csv", "1\n")
    with pytest.raises(FileNotFoundError, match=r"There is no file .*beat.csv. Similar names beside it: beats.csv\."):
        data.read(tmp_path / "beat.csv")
    with pytest.raises(FileNotFoundError, match=r"There is no file .*zzz.npy\.$"):
        data.read(tmp_path / "zzz.npy")
    with pytest.raises(FileNotFoundError, match=r"the folder .*nowhere does not exist"):
        data.read(tmp_path / "nowhere" / "x.npy")


@pytest.mark.parametrize("name", ["x.npy", "x.npz", "x.csv", "x.csv.gz", "x.hea"])
def test_empty_file(tmp_path, name):
    with pytest.raises(ValueError, match=r"is empty; expected observations, one per row"):
        data.read(written(tmp_path / name, ""))


def test_unknown_kind_and_folder(tmp_path):
    with pytest.raises(
        ValueError, match=r"x.mat: cannot read files of this kind; expected one of .npy, .npz, .csv, .csv.gz"
    ):
        data.read(written(tmp_path / "x.mat", "1"))
    with pytest.raises(ValueError, match=r"is a folder; expected a file"):
        data.read(tmp_path)


# --- windows ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "points,length,step,starts", [(23, 5, None, [0, 5, 10, 15]), (23, 5, 9, [0, 9, 18]), (5, 5, 2, [0])]
)
def test_windows_start_where_they_should(points, length, step, starts):
    series = np.arange(points) + 100
    expected = [series[start : start + length] for start in starts]
    np.testing.assert_array_equal(data.windows(series, length, step), expected)


def test_windows_keep_channels():
    series = np.arange(14).reshape(7, 2)
    np.testing.assert_array_equal(data.windows(series, 3), [series[:3], series[3:6]])


@pytest.mark.parametrize(
    "length,step,message",
    [
        (0, None, "length must be"),
        (3, 0, "step must be"),
        (2.5, None, "length must be"),
        (8, None, "at least length=8 points"),
    ],
)
def test_windows_refuse(length, step, message):
    with pytest.raises(ValueError, match=message):
        data.windows(np.arange(7), length, step)


def test_log_price_windows_lose_no_increment():
    log_price = np.cumsum(np.random.default_rng(3).normal(0.3, 1.7, 20)) + 11.0
    paths = data.log_price_windows(np.exp(log_price), 6)
    assert paths.shape == (3, 6)
    np.testing.assert_allclose(np.diff(paths, axis=1, prepend=0.0).ravel(), np.diff(log_price)[:18], atol=1e-12)


def test_log_price_windows_refuse():
    with pytest.raises(ValueError, match=r"price\[2\] is -1"):
        data.log_price_windows([3.0, 2.0, -1.0, 4.0], 2)
    with pytest.raises(ValueError, match=r"price\[0\] is nan"):
        data.log_price_windows([np.nan, 2.0, 1.0, 4.0], 2)
    with pytest.raises(ValueError, match=r"length \+ 1 = 5 prices; got shape \(4,\)"):
        data.log_price_windows([3.0, 2.0, 1.0, 4.0], 4)


def test_log_return_windows_are_all_increments():
    log_price = np.cumsum(np.random.default_rng(4).normal(0.3, 1.7, 20)) + 11.0
    returns = data.log_return_windows(np.exp(log_price), 6)
    np.testing.assert_allclose(returns, np.diff(log_price)[:18].reshape(3, 6), atol=1e-12)
    with pytest.raises(ValueError, match=r"price\[1\] is 0"):
        data.log_return_windows([3.0, 0.0, 1.0], 2)


def test_minute_prices(shared_data):
    close = data.read(shared_data / "btc" / "btcusdt_1m_2024-12.csv.gz", columns="close")
    assert close.shape == (41761,) and close[0] == 96440.0
    paths = data.log_price_windows(close, 180)
    assert paths.shape == (232, 180)
    # The published closed-form scale of these windows: standard deviation of the increments per minute.
    assert np.diff(paths, axis=1, prepend=0.0).std() == pytest.approx(7.6e-4, abs=0.05e-4)


def test_pendulum_recording(shared_data):
    swing = data.read(shared_data / "pendulum" / "single_pendulum_100hz.csv", columns=["theta_rad", "omega_rad_s"])
    assert swing.shape[1] == 2
    np.testing.assert_array_equal(swing[1], [1.545292, 2.488345])


# --- heartbeats ------------------------------------------------------------------------------------------------------


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


def test_read_beats_refuses(ramp_record):
    with pytest.raises(ValueError, match=r"symbols must be labels of .*ramp.atr, which has N, V; got \['A'\]"):
        data.read_beats(ramp_record, symbols=("A",))
    with pytest.raises(ValueError, match=r"lead must be a number from 0 to 1 or a name among flat, uv .*got 'II'"):
        data.read_beats(ramp_record, lead="II")
    with pytest.raises(ValueError, match=r"baseline must hold a point of the beat"):
        data.read_beats(ramp_record, baseline=(0.6, 0.7))
    with pytest.raises(FileNotFoundError, match=r"ramps.hea. Similar names beside it: ramp.hea"):
        data.read_beats(ramp_record.with_name("ramps"))
    ramp_record.with_suffix(".atr").unlink()
    with pytest.raises(FileNotFoundError, match=r"ramp.atr"):
        data.read_beats(ramp_record)


def test_without_wfdb_the_message_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "wfdb", None)
    with pytest.raises(ImportError, match=r"pip install 'avo-sbi\[ecg\]'"):
        data.read(written(tmp_path / "100.hea", "100 2 360 650000\n"))


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


# --- parts -----------------------------------------------------------------------------------------------------------


def test_split_by_time():
    parts = data.split(20)
    np.testing.assert_array_equal(parts.train, np.arange(14))
    np.testing.assert_array_equal(parts.validation, np.arange(14, 17))
    np.testing.assert_array_equal(parts.test, np.arange(17, 20))
    parts = data.split(23, (0.5, 0.3, 0.2), gap=2)  # ends before rows 12 (11.5, to even), 18 and 23
    np.testing.assert_array_equal(parts.train, np.arange(12))
    np.testing.assert_array_equal(parts.validation, np.arange(14, 18))
    np.testing.assert_array_equal(parts.test, np.arange(20, 23))
    parts = data.split(10, (0.6, 0.0, 0.4), gap=1)
    assert [part.tolist() for part in parts] == [[0, 1, 2, 3, 4, 5], [], [7, 8, 9]]
    assert [len(part) for part in data.split(7, (0.0, 0.0, 1.0), gap=3)] == [0, 0, 7]


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("fractions", [(0.7, 0.15, 0.15), (0.5, 0.0, 0.5), (0.05, 0.05, 0.9)])
def test_split_by_group_divides_no_group(seed, fractions):
    rng = np.random.default_rng(seed)
    groups = rng.choice([f"s{i}" for i in range(9)], 400, p=np.arange(1, 10) / 45)
    parts = data.split(400, fractions, groups=groups, seed=seed)
    assert np.array_equal(np.sort(np.concatenate(parts)), np.arange(400))
    owners = [set(groups[part]) for part in parts]
    assert not (owners[0] & owners[1] or owners[0] & owners[2] or owners[1] & owners[2])
    assert [bool(owner) for owner in owners] == [fraction > 0 for fraction in fractions]
    assert all(np.all(np.diff(part) > 0) for part in parts if len(part))
    again = data.split(400, fractions, groups=groups, seed=seed)
    assert all(np.array_equal(a, b) for a, b in zip(parts, again, strict=True))


def test_split_by_equal_groups_has_the_sizes_asked_for():
    groups = np.repeat(np.arange(20), 7)
    sizes = {tuple(len(part) for part in data.split(140, groups=groups, seed=seed)) for seed in range(5)}
    assert sizes == {(98, 21, 21)}
    tests = [tuple(data.split(140, groups=groups, seed=seed).test) for seed in range(5)]
    assert len(set(tests)) == 5


@pytest.mark.parametrize(
    "arguments,options,message",
    [
        ((4,), {"groups": [1, 1, 2, 2]}, r"groups must be at least 3, one for each part, .* got 2: 1, 2"),
        ((4,), {"groups": [1, 2, 3]}, r"groups must have one label for each row, shape \(4,\); got shape \(3,\)"),
        ((4,), {"groups": [1, 2, 3, 4], "gap": 1}, r"gap is between parts in time; got gap=1 with groups"),
        ((4,), {}, r"4 rows are too few for parts of \[0.7, 0.15, 0.15\] with a gap of 0"),
        ((20,), {"gap": 3}, r"20 rows are too few .* with a gap of 3"),
        ((20, (0.5, 0.5)), {}, r"fractions must be three numbers .* got \(0.5, 0.5\)"),
        ((20, (0.5, 0.6, -0.1)), {}, r"fractions must be three numbers of at least 0 that add up to 1"),
        ((2.5,), {}, r"rows must be a whole number of at least 1; got 2.5"),
        ((20,), {"gap": -1}, r"gap must be a whole number of at least 0; got -1"),
    ],
)
def test_split_refuses(arguments, options, message):
    with pytest.raises(ValueError, match=message):
        data.split(*arguments, **options)


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


# --- validation at the edge ------------------------------------------------------------------------------------------


def test_valid_observations_become_float64():
    for x in (
        [[1, 2], [3, 4]],
        np.array([True, False]),
        np.array([1.5, 2.5], np.float32),
        np.ones((3, 2, 4), np.uint8),
    ):
        valid = data.validate_observations(x)
        assert valid.dtype == np.float64 and valid.shape == np.shape(x)
        np.testing.assert_array_equal(valid, x)


def test_validation_leaves_the_callers_array_alone():
    x = X.copy()
    data.validate_observations(x)[0] = 99.0
    np.testing.assert_array_equal(x, X)


@pytest.mark.parametrize(
    "at,value,shape,message",
    [
        ((3, 5), np.nan, (7, 6), r"x_obs\[3, 5\] is nan \(row 3, column 5; 1 of 7 rows affected\)"),
        ((4,), -np.inf, (7,), r"x_obs\[4\] is -inf \(row 4; 1 of 7 rows affected\)"),
        ((2, 1, 3), np.inf, (5, 2, 4), r"x_obs\[2, 1, 3\] is inf \(row 2, column \(1, 3\); 1 of 5 rows affected\)"),
        ((slice(2, 5),), np.nan, (7, 6), r"x_obs\[2, 0\] is nan \(row 2, column 0; 3 of 7 rows affected\)"),
    ],
)
def test_values_that_are_not_finite(at, value, shape, message):
    x = np.ones(shape)
    x[at] = value
    with pytest.raises(ValueError, match=message):
        data.validate_observations(x)


@pytest.mark.parametrize(
    "x,message",
    [
        (3.5, r"x_new must be an array with one observation per row; got the single number 3.5"),
        ([], r"x_new must hold observations, one per row; got an empty array of shape \(0,\)"),
        (np.ones((4, 0)), r"got an empty array of shape \(4, 0\)"),
        (np.ones((1, 5)), r"x_new must hold at least 2 observations, one per row; got 1 \(shape \(1, 5\)\)"),
        ([["1", "2"], ["3", "4"]], r"x_new must be an array of real numbers; got dtype <U1"),
        (np.array([[1], None], dtype=object), r"got dtype object"),
        ([1j, 2.0], r"got dtype complex128"),
        ([[1.0, 2.0], [3.0]], r"x_new must be an array with one observation per row; got rows of different shapes"),
    ],
)
def test_observations_that_are_not_an_array_of_numbers(x, message):
    with pytest.raises(ValueError, match=message):
        data.validate_observations(x, "x_new")


def test_csv_with_numbered_columns(tmp_path):
    file = written(tmp_path / "numbered.csv", "0,1\n0.5,2.5\n0,1\n")
    np.testing.assert_array_equal(data.read(file), [[0.5, 2.5], [0.0, 1.0]])
