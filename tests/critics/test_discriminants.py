"""avo.critics.told_apart: the accuracy of the best rule between normals, and p-values that chance has."""

import numpy as np
import pytest
from scipy.stats import norm

from avo.critics import Apart, told_apart


def normals(n: int, m: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray, float]:
    """N(mu + shift, S) and N(mu, S) with S = A A^T of unequal scales, and delta, which is |A^-1 shift|."""
    rng = np.random.default_rng(seed)
    a, shift = np.array([[30.0, 0.0, 0.0], [2.0, 0.5, 0.0], [-0.02, 0.01, 0.04]]), np.array([21.0, 1.1, 0.02])
    x, y = (rng.normal(size=(k, 3)) @ a.T + np.array([500.0, -3.0, 0.1]) for k in (n, m))
    return x + shift, y, float(np.linalg.norm(np.linalg.solve(a, shift)))


@pytest.mark.parametrize("by", ["lda", "qda", "logistic"])
def test_two_normals_are_told_apart_as_well_as_by_the_best_rule(by) -> None:
    x, y, delta = normals(9000, 4000)
    found = told_apart(x, y, by=by, permutations=1)
    expected = norm.cdf(delta / 2)
    # Each share is binomial, and half of the accuracy
    error = np.sqrt(expected * (1 - expected) * (1 / 9000 + 1 / 4000)) / 2
    assert found.stderr == pytest.approx(error, rel=0.1)
    assert abs(found.accuracy - expected) < 4 * error
    assert found.delta == pytest.approx(delta, abs=8 * error / norm.pdf(delta / 2))


def test_spreads_are_seen_by_qda_alone() -> None:
    # N(0, 1) and N(0, s^2): the best rule is |x| < c, c^2 = 2 s^2 log s / (s^2 - 1)
    rng, s = np.random.default_rng(1), 2.5
    x, y = rng.normal(size=(6000, 1)) - 7, s * rng.normal(size=(6000, 1)) - 7
    c = np.sqrt(2 * s**2 * np.log(s) / (s**2 - 1))
    expected = (2 * norm.cdf(c) - 1 + 2 * norm.sf(c / s)) / 2
    quadratic, linear = (told_apart(x, y, by=by, permutations=20) for by in ("qda", "lda"))
    assert abs(quadratic.accuracy - expected) < 4 * quadratic.stderr and quadratic.p_value == 1 / 21
    assert abs(linear.accuracy - 0.5) < 5 * linear.stderr


def test_samples_of_one_law_have_p_values_of_chance() -> None:
    rng = np.random.default_rng(2)
    p = [
        told_apart(rng.normal(size=(40, 2)), rng.normal(size=(25, 2)), folds=2, permutations=9, seed=seed).p_value
        for seed in range(20)
    ]
    # 2 of 20 are .1 by chance; 7 have a chance of .003, and so has a mean beyond .37 and .73
    assert np.sum(np.array(p) <= 0.1) < 7 and 0.37 < np.mean(p) < 0.73


def test_same_seed_same_numbers_and_series_are_flattened() -> None:
    rng = np.random.default_rng(3)
    x, y = rng.normal(size=(50, 3, 2)) + 0.4, rng.normal(size=(60, 3, 2))
    first = told_apart(x, y, permutations=9, seed=5)
    assert first == told_apart(x.reshape(50, 6), y.reshape(60, 6), permutations=9, seed=5)
    assert isinstance(first, Apart)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"by": "svm"}, "by must be"),
        ({"y": np.ones((30, 2))}, "rows of one shape"),
        ({"folds": 1}, "folds must be"),
        ({"folds": 31}, "a row for each of 31 folds"),
        ({"by": "qda", "folds": 2, "x": np.ones((6, 3))}, "estimates a covariance of 3 columns"),
    ],
)
def test_mistakes_end_in_a_sentence(change, words) -> None:
    given = {"x": np.ones((30, 3)), "y": np.ones((30, 3))} | change
    with pytest.raises(ValueError, match=words):
        told_apart(given.pop("x"), given.pop("y"), **given)
