"""Least squares of single rows beside SciPy's, with bounds and with weights."""

import jax.numpy as jnp
import numpy as np
from scipy import optimize

from avo.refine.rowwise import RowSquares, best_of, small_ones

T = np.linspace(0.3, 5.0, 23)
LOW, HIGH = np.array([-1.0, 0.2, -np.inf]), np.array([4.0, 2.0, np.inf])


def curve(w):
    """A decaying wave, whose third parameter has no bound."""
    return w[0] * jnp.exp(-jnp.asarray(T) / w[1]) * jnp.cos(T) + 0.3 * w[2]


def signals():
    rng = np.random.default_rng(3)
    w = rng.uniform([-0.5, 0.3, -4.0], [6.0, 2.6, 4.0], (12, 3))  # some beyond the bounds
    return np.stack([np.asarray(curve(jnp.asarray(each))) for each in w]) + 0.05 * rng.normal(size=(12, len(T)))


def test_it_ends_where_scipy_does_and_at_the_same_bounds():
    x = signals()
    W = np.random.default_rng(5).normal(size=(19, 23)) / 4
    w, square = RowSquares(curve, LOW, HIGH, W)(x, np.tile([1.0, 1.0, 0.0], (12, 1)), steps=200)
    for row, found, least in zip(x, w, square, strict=True):
        best = optimize.least_squares(
            lambda w, row=row: W @ (row - np.asarray(curve(jnp.asarray(w)))), [1.0, 1.0, 0.0], bounds=(LOW, HIGH),
            xtol=1e-12, ftol=1e-12,
        )  # fmt: skip
        assert least < 2 * best.cost * (1 + 1e-3)
        np.testing.assert_allclose(found, best.x, rtol=0.02, atol=0.02)
    assert np.sum(w[:, 0] == HIGH[0]) >= 2  # bounds that were needed are met exactly


def test_a_line_is_solved_as_by_the_normal_equations():
    rng = np.random.default_rng(0)
    A, x, weight = rng.normal(size=(9, 2)), rng.normal(size=(4, 9)), rng.uniform(0.5, 2.0, 9)
    line = RowSquares(lambda w: jnp.asarray(A) @ w + 1.5, np.full(2, -np.inf), np.full(2, np.inf), weight)
    w, square = line(x, np.zeros((4, 2)), steps=100)
    exact = np.linalg.lstsq(weight[:, None] * A, (weight * (x - 1.5)).T, rcond=None)[0].T
    np.testing.assert_allclose(w, exact, atol=1e-3)
    left = weight * (x - 1.5 - exact @ A.T)
    np.testing.assert_allclose(square, np.sum(left**2, axis=1), rtol=1e-4)
    np.testing.assert_allclose(line.rest(x, exact), left, atol=1e-9)
    np.testing.assert_allclose(line.slope(exact[:1])[0], weight[:, None] * A, atol=1e-9)


def test_of_several_starts_the_best_end_stands_first():
    twice = RowSquares(lambda w: jnp.stack([w[0] ** 2 - 2.0, 0.2 * w[0]]), np.array([-3.0]), np.array([3.0]))
    w, square = best_of(twice, np.zeros((1, 2)) + [0.0, 0.2], np.array([[[-1.0], [1.0], [2.0]]]), steps=100)
    assert w[0, 0, 0] > 0 and w[0, -1, 0] < 0
    assert square[0, 0] < square[0, -1]
    np.testing.assert_allclose(square[0, 0], square[0, 1], rtol=1e-3)


def test_where_the_curve_is_no_number_there_is_no_answer():
    sometimes = RowSquares(lambda w: jnp.sqrt(w) * jnp.ones(2), np.array([-1.0]), np.array([4.0]))
    w, square = sometimes(np.full((2, 2), 1.5), np.array([[-0.5], [0.5]]), steps=50)
    assert np.isinf(square[0])
    np.testing.assert_allclose(w[1], 2.25, rtol=1e-3)


def test_small_ones_are_the_least():
    a = np.array([[5.0, 1.0, 3.0, 2.0], [0.0, 9.0, -1.0, 4.0]])
    assert [set(row) for row in small_ones(a, 2)] == [{1, 3}, {0, 2}]
    assert small_ones(a, 7).shape == (2, 4)
