"""The simulator's misfit: against the exact residual of a linear model, calibrated, and finding what it should."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from latents.factors import RNG
from scipy import stats
from sklearn.metrics import roc_auc_score

import avo
from avo import latents
from avo.latents import Misfit, misfit, residuals

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
def scores() -> dict[str, Misfit]:
    theta = encode(normal(800, 1))
    return {
        name: misfit(jax.random.key(2), simulate, encode, theta, draws=32, statistic=name)
        for name in ("both", "distance", "tails")
    }


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


def test_misfit_is_standardised_by_rows_that_did_not_whiten_it():
    """Of 160 reference rows 80 whiten 40 entries: they themselves come out shorter than fresh rows, by about one SD."""
    mix = np.linalg.cholesky(0.9 ** np.abs(np.subtract.outer(np.arange(T), np.arange(T))))

    @jax.jit
    def correlated(key, theta):
        return LOC + SD * jax.random.normal(key, (theta.shape[0], T)) @ mix.T + 0.0 * theta

    def level(x):
        return np.zeros((len(x), 1))

    score = misfit(jax.random.key(0), correlated, level, np.zeros((160, 1)), draws=16, statistic="distance")
    fresh = score(jax.random.key(9), np.asarray(correlated(jax.random.key(100), np.zeros((1000, 1)))))
    assert abs(fresh.mean()) < 4 * np.sqrt(1 / 80 + 1 / 1000)


def test_misfit_takes_a_poor_encoder_as_it_is():
    """Its errors are far larger than the noise, along DESIGN and unequal over entries: whitened they count as one."""

    def poor(x):
        return encode(x) + np.sin(100 * x[:, :D])

    score = misfit(jax.random.key(3), simulate, poor, RNG(2).normal(size=(4000, D)), draws=16)
    rest, variance = residuals._residuals(jax.random.key(4), score.simulate, poor, normal(4000, 5), 16)
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
    x, anomalous = latents.contaminate(jax.random.key(41), clean, kind, 0.2, noise=SD)
    area = {name: roc_auc_score(anomalous, score(jax.random.key(42), x)) for name, score in scores.items()}
    assert area["both"] > both
    if distance is None:  # same variance, heavier tails: most rows lie nearer than normal ones
        assert area["distance"] < 0.45 and area["tails"] > 0.75
    else:
        assert area["distance"] > distance


def test_misfit_does_not_depend_on_units_or_on_how_noisy_theta_makes_x(scores):
    x = normal(60, 50)
    theta = encode(normal(800, 1))
    other = misfit(
        jax.random.key(2), lambda k, t: 700 * simulate(k, t) - 9e3, lambda y: encode((y + 9e3) / 700), theta, draws=32
    )
    np.testing.assert_allclose(
        other(jax.random.key(51), 700 * x - 9e3), scores["both"](jax.random.key(51), x), atol=1e-3
    )
    scaled = lambda key, t: t * jax.random.normal(key, (t.shape[0], 50))  # noqa: E731
    theta = np.geomspace(0.1, 10, 300)[:, None]
    score = misfit(jax.random.key(52), scaled, lambda y: y.std(1, keepdims=True), theta, draws=16)
    found = score(jax.random.key(53), scaled(jax.random.key(54), theta))
    assert abs(roc_auc_score(theta[:, 0] > 1, found) - 0.5) < 0.12  # standard error .03


def test_misfit_traces_once_per_shape_and_marks_what_cannot_be_simulated():
    traced = []

    def fails(key, theta):
        traced.append(theta.shape)
        x = theta + jax.random.normal(key, (theta.shape[0], 20))
        return jnp.where(jnp.abs(theta) < 5, x, jnp.nan)

    mean = lambda x: x.mean(1, keepdims=True)  # noqa: E731
    score = misfit(jax.random.key(0), fails, mean, RNG(0).normal(size=(150, 1)), draws=16)
    found = score(jax.random.key(1), np.array([[0.0] * 20, [9.0] * 20]) + RNG(1).normal(size=(2, 20)))
    assert np.isfinite(found[0]) and found[1] == np.inf
    assert traced == [(150, 1), (2, 1)]


def test_misfit_of_a_host_simulator_is_that_of_numpy():
    host = avo.from_numpy(lambda rng, theta: theta[0] + rng.normal(size=20))
    mean = lambda x: x.mean(1, keepdims=True)  # noqa: E731
    score = misfit(jax.random.key(0), host, mean, RNG(0).normal(size=(150, 1)), draws=16)
    x = RNG(1).normal(size=(100, 20))
    anomalous = np.arange(100) < 50
    x[anomalous, 3] += 6
    assert roc_auc_score(anomalous, score(jax.random.key(1), x)) > 0.95


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda x: misfit(jax.random.key(0), simulate, encode, x[:9, :3]), "m of at least 100"),
        (lambda x: misfit(jax.random.key(0), simulate, encode, x[:, :3], statistic="max"), "statistic must be"),
        (lambda x: misfit(jax.random.key(0), simulate, lambda x: x[:, 0], x[:, :3]), "encode must return one row"),
    ],
)
def test_what_does_not_fit_is_named(call, message):
    with pytest.raises(ValueError, match=message):
        call(normal(120, 70))
