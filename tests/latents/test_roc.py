"""Rates of detection: by hand, by sklearn, at their known error, and on heartbeats that cardiologists labelled."""

from pathlib import Path

import numpy as np
import pytest
from latents.factors import RNG
from scipy import stats
from sklearn.metrics import average_precision_score, roc_auc_score

import avo
from avo import latents
from avo.latents import roc


def test_detection_by_hand():
    """Scores 5 4 4 3 2 1 of + - + - + -: pairs won 3, 1.5 and 1 of 9, and steps of recall at 1, 2/3 and 3/5."""
    s, anomalous = [5.0, 4.0, 4.0, 3.0, 2.0, 1.0], [1, 0, 1, 0, 1, 0]
    found = latents.detection(s, anomalous, false_alarms=0.4)
    assert found.auc.value == pytest.approx((3 + 2.5 + 1) / 9)
    assert found.average_precision.value == pytest.approx((1 + 2 / 3 + 3 / 5) / 3)
    assert found.tpr.value == pytest.approx(2 / 3)
    assert latents.detection(s, anomalous).tpr.value == pytest.approx(1 / 3)
    assert (found.anomalies, found.normal) == (3, 3)
    top = latents.detection([*s, np.inf, -np.inf], [*anomalous, 1, 0])
    assert top.tpr.value == pytest.approx(2 / 4)


def test_the_share_found_counts_thresholds_between_others_on_a_line():
    """Of each of 100 scores one row is an anomaly, one is not: at half of the false alarms half are found, not less."""
    found = latents.detection(np.repeat(np.arange(100), 2), np.tile([False, True], 100), false_alarms=0.5)
    assert found.tpr.value == 0.5 and found.tpr.low < 0.5 < found.tpr.high


def test_rates_of_resamples_are_those_of_sklearn():
    s, anomalous = RNG(7).integers(0, 30, 200), RNG(8).uniform(size=200) < 0.2
    s = s + 8 * anomalous
    counts = [np.bincount(s[kind], minlength=s.max() + 1)[::-1] for kind in (anomalous, ~anomalous)]
    area, precision, found = roc._rates(*counts, 0.05)
    assert area == pytest.approx(roc_auc_score(anomalous, s))
    assert precision == pytest.approx(average_precision_score(anomalous, s))
    assert found == pytest.approx(latents.detection(s, anomalous, false_alarms=0.05, resamples=10).tpr.value)


def test_bootstrap_interval_has_the_width_of_the_known_error():
    """Of N(1, 1) against N(0, 1) the area is Phi(1 / sqrt 2) = .760; Hanley and McNeil (1982) give its error."""
    a, n1, n0 = stats.norm.cdf(np.sqrt(0.5)), 80, 400
    q1, q2 = a / (2 - a), 2 * a**2 / (1 + a)
    error = np.sqrt((a * (1 - a) + (n1 - 1) * (q1 - a**2) + (n0 - 1) * (q2 - a**2)) / (n1 * n0))
    s = np.concatenate([RNG(9).normal(1, 1, n1), RNG(10).normal(0, 1, n0)])
    found = latents.detection(s, np.arange(n1 + n0) < n1, resamples=500).auc
    assert abs(found.value - a) < 3 * error
    # 500 resamples know a quantile to some 8 %; the error's formula is an approximation itself
    assert found.high - found.low == pytest.approx(2 * 1.645 * error, rel=0.25)


def test_premature_beats_of_record_100_are_found(shared_data: Path):
    """PCA learns from the first half of the normal beats, in time; the 33 premature atrial ones start too early."""
    cut = {
        label: avo.data.read_beats(shared_data / "ecg" / "100", symbols=label, before=0.6, after=0.5, fs=125)
        for label in ("N", "A")
    }
    cut = {label: x - np.median(x, axis=1, keepdims=True) for label, x in cut.items()}
    learned, calibration, fresh = np.array_split(cut["N"], [1100, 1650])
    _, _, axes = np.linalg.svd(learned - learned.mean(0), full_matrices=False)

    def score(x):
        shown = (x - learned.mean(0)) @ axes[:10].T @ axes[:10]
        return latents.reconstruction_error(x, learned.mean(0) + shown)

    s, premature = (
        np.concatenate([score(fresh), score(cut["A"])]),
        np.repeat([False, True], [len(fresh), len(cut["A"])]),
    )
    found = latents.detection(s, premature)
    assert found.auc.value > 0.98 and found.auc.low > 0.95
    assert found.average_precision.value > 0.8 and found.anomalies == 33
    p = latents.conformal_p(s, score(calibration))
    assert np.mean(p[premature] <= 0.02) > 0.8 and np.mean(p[~premature] <= 0.02) < 0.06


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda s: latents.detection(s, s * 0), "name some of both kinds; got 0 anomalies"),
        (lambda s: latents.detection(s, np.where(s > 12, "V", "N")), "labels must be true for anomalies"),
        (lambda s: latents.detection(s, s), "labels must be true for anomalies"),
        (lambda s: latents.detection(s * np.nan, s > 12), "scores must be numbers"),
        (lambda s: latents.detection(s, s > 12, false_alarms=1.0), r"false_alarms must be a number in \[0, 1\)"),
    ],
)
def test_what_does_not_fit_is_named(call, message):
    with pytest.raises(ValueError, match=message):
        call(RNG(70).normal(size=120) + 12)
