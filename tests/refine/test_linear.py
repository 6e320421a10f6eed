"""avo.refine.linear: the scale of the last steps, and steps that end at a bound."""

import jax
import jax.numpy as jnp
import numpy as np

import avo
from avo.execution.blocks import Draws
from avo.refine.linear import EDGE, LinearDraws, LinearSpace, held

RNG = np.random.default_rng
SPACE = avo.Space(a=avo.Interval(-3, 5), b=avo.Positive(2.5), c=avo.LogInterval(0.2, 30.0), d=avo.Real(10.0, 4.0))
LINE = LinearSpace(SPACE)


def test_w_is_the_place_in_the_range_and_back() -> None:
    u = RNG(0).normal(0, 3, size=(200, 4))
    w, theta = LINE.of(u), np.asarray(SPACE.constrain(u))
    np.testing.assert_allclose(w[:, 0], 4 * (theta[:, 0] + 3) / 8, rtol=1e-10)
    np.testing.assert_allclose(w[:, 2], 4 * np.log(theta[:, 2] / 0.2) / np.log(150), rtol=1e-10)
    np.testing.assert_array_equal(w[:, [1, 3]], u[:, [1, 3]])
    np.testing.assert_allclose(LINE.u(w), u, rtol=1e-9)
    np.testing.assert_allclose(LINE.u(jnp.asarray(w)), u, rtol=1e-9)
    np.testing.assert_allclose(LINE.constrain(w), theta, rtol=1e-10)
    slope = (LINE.of(u + 1e-6) - LINE.of(u - 1e-6)) / 2e-6
    np.testing.assert_allclose(LINE.rate(u), slope, rtol=1e-5, atol=1e-9)


def test_beyond_a_bound_is_the_bound() -> None:
    w = np.array([[-0.3, -9.0, 4.7, -8.0], [4.0, 9.0, 0.0, 8.0]])
    ends = np.array([[EDGE, -9.0, 4 - EDGE, -8.0], [4 - EDGE, 9.0, EDGE, 8.0]])
    np.testing.assert_array_equal(LINE.inside(w), ends)
    np.testing.assert_allclose(LINE.of(LINE.u(w)), ends, rtol=1e-9)
    theta = np.asarray(LINE.constrain(w))
    np.testing.assert_allclose(theta[:, [0, 2]], [[-3, 30], [5, 0.2]], rtol=1e-5)
    assert np.all((theta[:, 0] > -3) & (theta[:, 0] < 5))


def test_simulations_are_those_of_u_and_say_where_they_were() -> None:
    def simulate(key: jax.Array, theta: jax.Array) -> jax.Array:
        return theta + jax.random.normal(key, theta.shape)

    make = lambda: Draws(jax.jit(simulate), SPACE, jax.random.key(3), 4, (4,))  # noqa: E731
    u = RNG(1).normal(size=(8, 4))
    linear, plain = LinearDraws(make()), make()
    w = LINE.of(u)
    w[3, 0] = -1.0
    drawn = linear(w, mirrored=True)
    u[3, 0] = LINE.u(w)[3, 0]
    np.testing.assert_allclose(drawn.x, plain(u, mirrored=True).x, rtol=1e-9)
    np.testing.assert_array_equal(drawn.u, LINE.inside(w))
    assert linear.calls == 8 and linear.whole(11) == 8 and linear.size == 4


def test_a_step_beyond_bounds_is_the_nearest_inside() -> None:
    """(s - step)^T C^-1 (s - step) is least over the box: its gradient is zero, or points out of it."""
    rng, bounded, met = RNG(2), np.array([True, False, True, False]), 0
    for _ in range(30):
        root = rng.normal(size=(4, 4))
        C = root @ root.T
        start = np.where(bounded, rng.uniform(0.2, 3.8, 4), rng.normal(size=4))
        step = rng.normal(0, 2.5, 4)
        move, P = held(LINE, start, step, C)
        low, high = (np.abs(start + move - end) < 1e-9 for end in (LINE.low, LINE.high))
        gradient = np.linalg.solve(C, move - step)
        size = 1e-6 * (1 + np.abs(gradient).max())
        assert np.all(np.abs(gradient[~low & ~high]) < size)
        assert np.all(gradient[low] > -size) and np.all(gradient[high] < size)
        at, free = low | high, ~low & ~high
        met += at.sum()
        np.testing.assert_allclose(P[at], 0.0, atol=1e-9)
        np.testing.assert_allclose(P[np.ix_(free, free)], np.eye(free.sum()), atol=1e-9)
        # What is left is not correlated with what is held
        np.testing.assert_allclose((P @ C)[np.ix_(free, at)], 0.0, atol=1e-7)
    assert met > 10


def test_what_is_not_identified_stays_where_a_bound_stops_the_rest() -> None:
    line = LinearSpace(avo.Space(a=avo.Interval(0, 1), b=avo.Interval(0, 1)))
    along = np.array([1.0, 0.5])
    move, P = held(line, np.array([1.0, 2.0]), -2.0 * along, 0.3 * np.outer(along, along))
    np.testing.assert_allclose(move, [-1.0 + EDGE, -0.5], rtol=1e-4)
    np.testing.assert_allclose(P, [[0.0, 0.0], [-0.5, 1.0]], atol=1e-9)


def test_a_step_inside_is_left_alone() -> None:
    move, P = held(LINE, np.full(4, 2.0), np.array([1.9, -7.0, -1.9, 30.0]), np.eye(4))
    np.testing.assert_allclose(move, [1.9, -7.0, -1.9, 30.0])
    np.testing.assert_array_equal(P, np.eye(4))
