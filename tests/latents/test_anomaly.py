"""Scores of anomaly are their equations; p-values and thresholds are exact."""

import numpy as np
import pytest
from latents.factors import RNG
from scipy import stats

from avo import latents


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


X = RNG(70).normal(size=(120, 40)) + 12


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda x: latents.threshold(x[:, 0], 1.5), r"level must be a number in \(0, 1\); got 1.5"),
        (lambda x: latents.conformal_p(x, x[:, 0]), r"scores must be numbers with shape \(n,\)"),
        (lambda x: latents.negative_elbo(x, x[:, :2], x, x, 1.0), "reconstructed must be shaped like x"),
        (lambda x: latents.negative_elbo(x, x, x[:1], x[:1], 1.0), "mean must have one row of latents for each of 120"),
        (lambda x: latents.negative_elbo(x, x, x, x[:9], 1.0), "mean and log_var must have one row"),
        (lambda x: latents.negative_elbo(x, x, x, x, np.ones(2)), "variance must be a finite number above zero"),
        (lambda x: latents.reconstruction_error(x, x[:9]), "x and reconstructed must have .* in one shape; got"),
        (lambda x: latents.reconstruction_error(x, x * np.nan), "reconstructed must hold finite numbers"),
    ],
)
def test_what_does_not_fit_is_named(call, message):
    with pytest.raises(ValueError, match=message):
        call(X)
