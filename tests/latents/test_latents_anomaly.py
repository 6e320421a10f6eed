"""avo.latents.anomaly: exact p-values, rates by hand and by sklearn, scores that find what they should and no more."""

from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats
from sklearn.metrics import average_precision_score, roc_auc_score

import avo
from avo import latents
from avo.latents import anomaly

RNG = np.random.default_rng
T, D = 40, 3
DESIGN = RNG(0).normal(size=(T, D)) * [5.0, 0.3, 1.0]
PINV = np.linalg.pinv(DESIGN)
LOC, SD = 12.0, 0.2


@jax.jit
def simulate(key: Any, theta: Any) -> Any:
    """x = LOC + DESIGN theta + N(0, SD^2), which least squares inverts."""
    return LOC + theta @ DESIGN.T + SD * jax.random.normal(key, (theta.shape[0], T))


def encode(x: np.ndarray) -> np.ndarray:
    return (x - LOC) @ PINV.T


def spearman(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.corrcoef(stats.rankdata(a), stats.rankdata(b))[0, 1])


def normal(n: int, seed: int) -> np.ndarray:
    return np.asarray(simulate(jax.random.key(seed), RNG(seed).normal(size=(n, D))))


@pytest.fixture(scope="module")
def scores() -> dict[str, latents.Misfit]:
    theta = encode(normal(800, 1))
    return {
        name: latents.misfit(jax.random.key(2), simulate, encode, theta, draws=32, statistic=name)
        for name in ("both", "distance", "tails")
    }


def test_conformal_p_values_are_uniform_exactly():
    """Each of m + 1 exchangeable scores is as likely the new one: then p is each of 1/(m + 1), ..., 1 once."""
    values = RNG(3).permutation(7.0 ** np.arange(20))
    p = [latents.conformal_p([v], np.delete(values, i))[0] for i, v in enumerate(values)]
    np.testing.assert_allclose(np.sort(p), np.arange(1, 21) / 20)
    tied = RNG(4).integers(0, 5, 30).astype(float)
    p = np.array([latents.conformal_p([v], np.delete(tied, i))[0] for i, v in enumerate(tied)])
    assert all(np.mean(p <= level) <= level + 1e-12 for level in np.arange(1, 31) / 30)


def test_threshold_says_what_the_p_value_says():
    calibration = RNG(5).integers(0, 40, 99).astype(float)
    found = RNG(6).integers(-5, 50, 300) / 1.0
    p = latents.conformal_p(found, calibration)
    for level in (0.01, 0.05, 0.07, 0.29, 0.5, 0.99):
        np.testing.assert_array_equal(found > latents.threshold(calibration, level), p <= level + 1e-12)
    assert latents.threshold(calibration, 0.009) == np.inf


def test_detection_by_hand():
    """Scores 5 4 4 3 2 1 of + - + - + -: pairs won 3, 1.5 and 1 of 9, and steps of recall at 1, 2/3 and 3/5."""
    s, odd = [5.0, 4.0, 4.0, 3.0, 2.0, 1.0], [1, 0, 1, 0, 1, 0]
    found = latents.detection(s, odd, false_alarms=0.4)
    assert found.auc.value == pytest.approx((3 + 2.5 + 1) / 9)
    assert found.average_precision.value == pytest.approx((1 + 2 / 3 + 3 / 5) / 3)
    assert found.tpr.value == pytest.approx(2 / 3)
    assert latents.detection(s, odd).tpr.value == pytest.approx(1 / 3)
    assert (found.odd, found.normal) == (3, 3)
    top = latents.detection([*s, np.inf, -np.inf], [*odd, 1, 0])
    assert top.tpr.value == pytest.approx(2 / 4)


def test_the_share_found_counts_thresholds_between_others_on_a_line():
    """Of each of 100 scores one row is odd and one is not: at half of the false alarms half are found, not less."""
    found = latents.detection(np.repeat(np.arange(100), 2), np.tile([False, True], 100), false_alarms=0.5)
    assert found.tpr.value == 0.5 and found.tpr.low < 0.5 < found.tpr.high


def test_rates_of_resamples_are_those_of_sklearn():
    s, odd = RNG(7).integers(0, 30, 200), RNG(8).uniform(size=200) < 0.2
    s = s + 8 * odd
    counts = [np.bincount(s[kind], minlength=s.max() + 1)[::-1] for kind in (odd, ~odd)]
    area, precision, found = anomaly._rates(*counts, 0.05)
    assert area == pytest.approx(roc_auc_score(odd, s))
    assert precision == pytest.approx(average_precision_score(odd, s))
    assert found == pytest.approx(latents.detection(s, odd, false_alarms=0.05, resamples=10).tpr.value)


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


def test_reconstruction_error_and_elbo_are_their_equations():
    x, x_hat = RNG(11).normal(size=(2, 5, 4, 2)) + 3
    np.testing.assert_allclose(latents.reconstruction_error(x, x_hat), ((x - x_hat) ** 2).mean((1, 2)))
    mean, log_var = RNG(12).normal(size=(2, 5, 3))
    v = 0.3
    likelihood = stats.norm.logpdf(x, x_hat, np.sqrt(v)).sum((1, 2))
    draws = mean + np.exp(log_var / 2) * RNG(13).normal(size=(200_000, 1, 3))
    q, p = stats.norm.logpdf(draws, mean, np.exp(log_var / 2)), stats.norm.logpdf(draws)
    kl = (q - p).sum(2)
    found = latents.negative_elbo(x, x_hat, mean, log_var, v)
    error = kl.std(0) / np.sqrt(200_000)
    assert np.all(np.abs(found - (kl.mean(0) - likelihood)) < 5 * error)
    both = latents.negative_elbo(x, np.stack([x_hat, x_hat + 1]), mean, log_var, v)
    shifted = latents.negative_elbo(x, x_hat + 1, mean, log_var, v)
    np.testing.assert_allclose(both, (found + shifted) / 2)


def test_misfit_ranks_as_the_exact_residual(scores):
    """Encoder and simulator are linear: distance must order rows as |(1 - P) x|^2 does, P the hat matrix."""
    x = normal(400, 20)
    rest = (x - LOC) - (x - LOC) @ PINV.T @ DESIGN.T
    distance = scores["distance"](jax.random.key(21), x)
    # By chance: means over 32 draws are off by 1/32 of the variance, C by its 400 rows, and 3 of 40 directions, which
    # the fit has emptied, hold nothing but that
    assert spearman(distance, np.sum(rest**2, axis=1)) > 0.92
    tails = scores["tails"](jax.random.key(21), x)
    assert spearman(tails, stats.kurtosis(rest, axis=1)) > 0.75
    np.testing.assert_array_equal(scores["both"](jax.random.key(21), x), np.maximum(distance, tails))


def test_misfit_takes_a_poor_encoder_as_it_is():
    """Its errors are far larger than the noise, along DESIGN and unequal over entries: whitened they count as one."""

    def poor(x):
        return encode(x) + np.sin(100 * x[:, :D])

    score = latents.misfit(jax.random.key(3), simulate, poor, RNG(2).normal(size=(4000, D)), draws=16)
    rest, variance = anomaly._residuals(jax.random.key(4), score.simulate, poor, normal(4000, 5), 16)
    w = (score.noise.standardise(rest, variance) - score.centre) @ score.whiten
    # C is known from 2000 rows: eigenvalues of 40 directions within (1 +- sqrt(40 / 2000) +- sqrt(40 / 4000))^2
    assert 0.5 < np.linalg.eigvalsh(np.cov(w.T)).min() and np.linalg.eigvalsh(np.cov(w.T)).max() < 1.6
    assert np.linalg.eigvalsh(np.cov(rest.T)).max() > 100 * SD**2


def test_misfit_of_normal_observations_is_calibrated(scores):
    p = latents.conformal_p(
        scores["both"](jax.random.key(30), normal(1000, 31)), scores["both"](jax.random.key(32), normal(1000, 33))
    )
    # Two samples of 1000: sd of the share below .1 is sqrt(2 * .09 / 1000) = .013
    assert abs(np.mean(p <= 0.1) - 0.1) < 0.045
    assert abs(np.mean(p) - 0.5) < 0.06


@pytest.mark.parametrize(
    ("kind", "both", "distance"),
    [("noise", 0.7, None), ("drift", 0.9, 0.9), ("wave", 0.7, 0.75), ("outliers", 0.9, 0.9)],
)
def test_misfit_finds_each_kind(scores, kind, both, distance):
    clean = LOC + RNG(40).normal(size=(2000, D)) @ DESIGN.T
    x, odd = latents.contaminate(jax.random.key(41), clean, kind, 0.2, noise=SD)
    area = {name: roc_auc_score(odd, score(jax.random.key(42), x)) for name, score in scores.items()}
    assert area["both"] > both
    if distance is None:  # same variance, heavier tails: most rows lie nearer than normal ones
        assert area["distance"] < 0.45 and area["tails"] > 0.75
    else:
        assert area["distance"] > distance


def test_misfit_does_not_depend_on_units_or_on_how_noisy_theta_makes_x(scores):
    x = normal(60, 50)
    theta = encode(normal(800, 1))
    other = latents.misfit(
        jax.random.key(2), lambda k, t: 700 * simulate(k, t) - 9e3, lambda y: encode((y + 9e3) / 700), theta, draws=32
    )
    np.testing.assert_allclose(
        other(jax.random.key(51), 700 * x - 9e3), scores["both"](jax.random.key(51), x), atol=1e-3
    )
    spread = lambda key, t: t * jax.random.normal(key, (t.shape[0], 50))  # noqa: E731
    theta = np.geomspace(0.1, 10, 300)[:, None]
    score = latents.misfit(jax.random.key(52), spread, lambda y: y.std(1, keepdims=True), theta, draws=16)
    found = score(jax.random.key(53), spread(jax.random.key(54), theta))
    assert abs(roc_auc_score(theta[:, 0] > 1, found) - 0.5) < 0.12  # standard error .03


def test_misfit_traces_once_per_shape_and_marks_what_cannot_be_simulated():
    traced = []

    def fails(key, theta):
        traced.append(theta.shape)
        x = theta + jax.random.normal(key, (theta.shape[0], 20))
        return jnp.where(jnp.abs(theta) < 5, x, jnp.nan)

    mean = lambda x: x.mean(1, keepdims=True)  # noqa: E731
    score = latents.misfit(jax.random.key(0), fails, mean, RNG(0).normal(size=(150, 1)), draws=16)
    found = score(jax.random.key(1), np.array([[0.0] * 20, [9.0] * 20]) + RNG(1).normal(size=(2, 20)))
    assert np.isfinite(found[0]) and found[1] == np.inf
    assert traced == [(150, 1), (2, 1)]


def test_misfit_of_a_host_simulator_is_that_of_numpy():
    host = avo.from_numpy(lambda rng, theta: theta[0] + rng.normal(size=20))
    mean = lambda x: x.mean(1, keepdims=True)  # noqa: E731
    score = latents.misfit(jax.random.key(0), host, mean, RNG(0).normal(size=(150, 1)), draws=16)
    x = RNG(1).normal(size=(100, 20))
    odd = np.arange(100) < 50
    x[odd, 3] += 6
    assert roc_auc_score(odd, score(jax.random.key(1), x)) > 0.95


def test_contaminations_are_what_they_say():
    clean = np.zeros((4000, 50)) + 7
    key = jax.random.key(60)
    x, odd = latents.contaminate(key, clean, "noise", 0.25, noise=0.4, degrees=6)
    assert odd.sum() == 1000
    for rows, kurtosis in ((x[odd], 6.0), (x[~odd], 3.0)):  # Student with 6 degrees: 3 + 6 / (6 - 4)
        assert rows.mean() == pytest.approx(7, abs=0.01)
        assert rows.std() == pytest.approx(0.4, rel=0.02)
        assert stats.kurtosis(rows.ravel(), fisher=False) == pytest.approx(kurtosis, rel=0.2)
    x, odd = latents.contaminate(key, clean, "outliers", 0.01, size=3.0, points=0.2)
    moved = x[odd] - 7
    assert odd.sum() == 40 and not (x[~odd] - 7).any()
    assert set(np.unique(np.abs(moved))) == {0.0, 3.0}
    assert np.mean(moved != 0) == pytest.approx(0.2, abs=4 * np.sqrt(0.16 / 2000))
    assert np.all((latents.contaminate(key, clean, "outliers", size=3.0, points=1e-9)[0] != 7).sum(1) <= 1)
    x, odd = latents.contaminate(key, clean, "wave", 0.1, size=2.0)
    height = np.abs(x[odd] - 7)
    assert height.max(1).min() > 1.95 and height.max() <= 2
    assert 0.05 * np.sqrt(2 * np.pi) * 2 == pytest.approx(height.mean(1).max(), rel=0.05)  # the bump's area
    x, odd = latents.contaminate(key, clean[..., None] * [1.0, 2.0], "drift", 0.1, size=2.0)
    np.testing.assert_allclose(np.abs(x[odd][:, [0, 49], 1] - 14), [[0.0, 2.0]] * 400)
    again, same = latents.contaminate(key, clean, "noise", 0.25, noise=0.4, degrees=6)
    assert same.sum() == 1000 and not np.array_equal(
        again, latents.contaminate(jax.random.key(1), clean, "noise", 0.25, noise=0.4)[0]
    )


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

    s, odd = np.concatenate([score(fresh), score(cut["A"])]), np.repeat([False, True], [len(fresh), len(cut["A"])])
    found = latents.detection(s, odd)
    assert found.auc.value > 0.98 and found.auc.low > 0.95
    assert found.average_precision.value > 0.8 and found.odd == 33
    p = latents.conformal_p(s, score(calibration))
    assert np.mean(p[odd] <= 0.02) > 0.8 and np.mean(p[~odd] <= 0.02) < 0.06


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda x: latents.detection(x[:, 0], x[:, 0] * 0), "name some of both kinds; got 0 odd ones"),
        (lambda x: latents.detection(x[:, 0], np.where(x[:, 0] > 12, "V", "N")), "labels must be true where odd"),
        (lambda x: latents.detection(x[:, 0], x[:, 0]), "labels must be true where odd"),
        (lambda x: latents.detection(x[:, 0] * np.nan, x[:, 0] > 12), "scores must be numbers"),
        (lambda x: latents.threshold(x[:, 0], 1.5), "level must be a number in"),
        (lambda x: latents.conformal_p(x, x[:, 0]), r"scores must be numbers with shape \(n,\)"),
        (lambda x: latents.contaminate(jax.random.key(0), x, "noise"), "needs noise="),
        (lambda x: latents.contaminate(jax.random.key(0), x, "wave"), "or size= in units of x"),
        (lambda x: latents.contaminate(jax.random.key(0), x, "bump", noise=1.0), "kind must be one of noise, drift"),
        (lambda x: latents.contaminate(jax.random.key(0), x, "wave", 2.0, noise=1.0), "share must be a number in"),
        (lambda x: latents.negative_elbo(x, x[:, :2], x, x, 1.0), "reconstructed must be shaped like x"),
        (lambda x: latents.negative_elbo(x, x, x[:1], x[:1], 1.0), "mean must have one row of latents for each of 120"),
        (lambda x: latents.negative_elbo(x, x, x, x[:9], 1.0), "mean and log_var must have one row"),
        (lambda x: latents.negative_elbo(x, x, x, x, np.ones(2)), "variance must be a finite number above zero"),
        (lambda x: latents.reconstruction_error(x, x[:9]), "x and reconstructed must have .* in one shape; got"),
        (lambda x: latents.reconstruction_error(x, x * np.nan), "reconstructed must hold finite numbers"),
        (lambda x: latents.contaminate(jax.random.key(0), x, "wave", size=np.nan), "size must be a finite number"),
        (lambda x: latents.misfit(jax.random.key(0), simulate, encode, x[:9, :3]), "m of at least 100"),
        (lambda x: latents.misfit(jax.random.key(0), simulate, encode, x[:, :3], statistic="max"), "statistic must be"),
        (
            lambda x: latents.misfit(jax.random.key(0), simulate, lambda x: x[:, 0], x[:, :3]),
            "encode must return one row",
        ),
    ],
)
def test_what_does_not_fit_is_named(call, message):
    with pytest.raises(ValueError, match=message):
        call(normal(120, 70))
