"""studies/rows.py: its likelihoods, and the estimates that fits are held against."""

import numpy as np
from scipy.stats import multivariate_normal, norm

from avo.benchmarks.studies import rows

THETA = np.array([0.5, -1.0, 0.7])


def test_likelihoods_are_those_of_what_was_seen() -> None:
    x = np.random.default_rng(0).normal(size=(9, 2))
    whole = multivariate_normal(THETA[:2], [[1.0, 1.4], [1.4, 4.0]]).logpdf(x)
    np.testing.assert_allclose(rows.log_likelihoods(x, THETA), whole, rtol=1e-10)
    x[:4, 0] = x[4:, 1] = np.nan
    one = np.concatenate([norm.logpdf(x[:4, 1], -1.0, 2.0), norm.logpdf(x[4:, 0], 0.5, 1.0)])
    np.testing.assert_allclose(rows.log_likelihoods(x, THETA), one, rtol=1e-10)


def test_the_best_estimate_of_a_mean_is_the_weighted_one() -> None:
    x, w = np.random.default_rng(1).normal(3.0, 2.0, 40), np.random.default_rng(2).gamma(1.0, size=40)
    mean = np.average(x, weights=w)
    place, error = rows.best(lambda theta: norm.logpdf(x, theta[0], 2.0), np.array([2.0]), w)
    np.testing.assert_allclose(place, mean, rtol=1e-5)
    np.testing.assert_allclose(error, np.sqrt(np.sum((w * (x - mean)) ** 2)) / w.sum(), rtol=1e-4)
    _, plain = rows.best(lambda theta: norm.logpdf(x, theta[0], 2.0), np.array([2.0]), np.ones(40))
    np.testing.assert_allclose(plain, 2.0 / np.sqrt(40), rtol=1e-4)
