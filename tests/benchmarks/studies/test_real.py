"""Fits to real recordings as users make them (benchmarks/studies/real.py); skipped where they are absent."""

from pathlib import Path

import numpy as np
import pytest

from avo.benchmarks.studies import real

# Fractions of the default, to be quick
PATHS, BEATS, SWINGS = 40_000, 60_000, 60_000


pytestmark = pytest.mark.usefixtures("single_precision")


@pytest.fixture(scope="module")
def bitcoin(shared_data: Path) -> real.Row:
    return real.bitcoin(shared_data, PATHS)


def test_bitcoin_sigma_lies_within_the_closed_form_scales(bitcoin: real.Row) -> None:
    assert bitcoin["observations"] == 232
    known = bitcoin["scales"]
    # Published with the recording, to two digits
    np.testing.assert_allclose([known["sd"], known["window"], known["iqr"]], [7.6e-4, 5.8e-4, 5.1e-4], rtol=0.01)
    assert known["iqr"] <= bitcoin["sigma"] <= known["sd"]
    assert bitcoin["met"]


def test_bitcoin_drift_is_said_to_be_not_identified(bitcoin: real.Row, shared_data: Path) -> None:
    ends = real.price_paths(shared_data)[:, -1]
    # The closed-form drift, mean(X_T) / T, is within one standard deviation of 0
    assert abs(ends.mean() / real.MINUTES) < bitcoin["mu_sd"]
    assert "drift not identified" in real.table([bitcoin])


def test_control_agrees_with_maximum_likelihood(bitcoin: real.Row) -> None:
    row = real.control(bitcoin["sigma"], budget=PATHS)
    assert row["sigma"] == pytest.approx(row["mle"], rel=0.05)
    assert row["met"]


def test_heartbeat_explains_the_held_out_median_beat(shared_data: Path, tmp_path: Path) -> None:
    pytest.importorskip("wfdb", reason="reading the record needs the extra avo-sbi[ecg]")
    row = real.heartbeat(shared_data, BEATS)
    first, second = real.normal_beats(shared_data)
    assert row["observations"] == len(first) and abs(len(second) - len(first)) <= 1
    assert row["explained"] >= 0.93
    assert row["explained"] == real.explained(np.median(second, axis=0), row["mean"])
    assert row["met"]
    figure = real.heartbeat_figure(row)
    median, mean = figure.axes[0].lines
    np.testing.assert_array_equal(median.get_ydata(), row["median"])
    np.testing.assert_array_equal(mean.get_ydata(), row["mean"])
    figure.savefig(tmp_path / "beat.png")


def test_swing_recordings_hang_down_at_zero_and_are_split_at_the_join(shared_data: Path) -> None:
    parts = real.swings(shared_data)
    assert [len(part) for part in parts] == [3667, 1834]
    for part in parts:
        angle, velocity = part.T
        assert real.stiffness(angle, velocity, 0.01) == pytest.approx(real.PUBLISHED_W0_SQ, rel=0.01)
        assert real.stiffness(angle + np.pi, velocity, 0.01) < 0  # the recording's own zero is at the top
        assert abs(angle).max() < 1.7
    assert abs(parts[0][0, 1]) > 1.0  # not at rest at the start
    # No jump at the join: the angle moves by the mean velocity times dt, as everywhere
    before, after = parts[0][-1], parts[1][0]
    assert after[0] - before[0] == pytest.approx(0.01 * (before[1] + after[1]) / 2, abs=1e-3)


def test_swing_windows_do_not_overlap_and_do_not_cross_the_join(shared_data: Path) -> None:
    x, starts = real.swing_windows(shared_data)
    assert x.shape == (27, 50) and starts.shape == (27, 2)
    first, second = real.swings(shared_data)
    np.testing.assert_array_equal(x[0], first[4:201:4, 0])
    np.testing.assert_array_equal(starts[17], first[3400])
    np.testing.assert_array_equal(starts[18], second[0])
    np.testing.assert_array_equal(x[-1], second[1604:1801:4, 0])


def test_swing_recovers_the_published_frequency(shared_data: Path) -> None:
    row = real.swing(shared_data, SWINGS)
    assert row["w0_sq"] == pytest.approx(real.PUBLISHED_W0_SQ, rel=0.01)
    assert row["rms"] < 0.02
    assert row["met"]


def test_absent_recordings_are_said_plainly(tmp_path: Path) -> None:
    results = real.rows(tmp_path / "nowhere")
    assert [row["recording"] for row in results] == ["bitcoin", "control", "heartbeat", "swing"]
    assert all("no folder" in row["skipped"] and "AVO_DATA" in row["skipped"] for row in results)
    assert real.table(results).count("skipped: ") == 4


def test_one_absent_file_skips_its_row_only_by_name(tmp_path: Path) -> None:
    results = real.rows(tmp_path)
    assert "btcusdt_1m_2024-12.csv.gz" in results[0]["skipped"]
    assert results[1]["skipped"] == "needs the sigma fitted to bitcoin"
