"""A simulator with a learned residual, against a linear simulator and a residual that are known."""

from copy import copy
from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import avo
from avo.latents import GreyBox, Mechanistic
from avo.latents.discrepancy import basis
from avo.simulators import Problem
from avo.simulators.problem import vectorize

T = np.linspace(-1.0, 2.0, 30)
A = np.stack([1 + 0 * T, T], axis=1)
NOISE = 0.05
_off = lambda v: v - A @ np.linalg.lstsq(A, v, rcond=None)[0]  # noqa: E731
WAVES = np.stack([_off(np.sin(4 * T)), _off(T**3)], axis=1)  # what no line has
FAST = {"latents": 2, "rows": 1000, "steps": 400, "width": 32, "noise": "equal"}


def line():
    def draw(key, theta):
        return jnp.asarray(A) @ theta + NOISE * jax.random.normal(key, (30,))

    return Problem(
        name="line",
        summary="",
        simulate=vectorize(draw),
        space=avo.Space(a=avo.Interval(-3, 5), b=avo.Interval(-5, 3)),
        theta_true=np.array([0.7, -1.3]),
        x_shape=(30,),
        mean=lambda theta: jnp.asarray(A) @ theta,
    )


def signals(n, seed, size=1.0):
    """Lines with a residual in two directions, of unequal sizes: x, its residual, theta."""
    rng = np.random.default_rng(seed)
    theta = rng.uniform([-2, -3], [3, 2], (n, 2))
    g = size * rng.normal([0.4, -0.1], [0.5, 0.2], (n, 2)) @ WAVES.T
    return theta @ A.T + g + NOISE * rng.normal(size=(n, 30)), g, theta


@pytest.fixture(scope="module")
def fitted():
    return GreyBox(line(), **FAST).fit(signals(200, 1)[0], seed=3)


@pytest.fixture(scope="module")
def alone(fitted):
    """The simulator alone, with the programs that are compiled already."""
    physics = copy(fitted)
    physics.__class__ = Mechanistic
    return physics


def test_theta_is_least_squares_and_the_residual_is_recovered(fitted):
    x, g, _ = signals(100, 2)
    exact = np.linalg.lstsq(A, x.T, rcond=None)[0].T
    found = fitted.explain(x)
    np.testing.assert_allclose(found.theta, exact, atol=1e-4)
    np.testing.assert_array_equal(found.theta, fitted.encode(x))
    np.testing.assert_allclose(found.residual @ A, 0.0, atol=1e-4)  # nothing that a line explains
    # Two numbers from 30 with noise have an error of .05 sqrt(2 / 30) = .013, a small network some more; g is .6
    assert np.sqrt(np.mean((found.residual - g) ** 2)) < 0.03
    assert np.sqrt(np.mean(g**2)) > 0.4
    np.testing.assert_allclose(found.residual, fitted.residual(x), atol=1e-6)
    np.testing.assert_allclose(fitted.decode(found.theta, fitted.codes(x)), found.fitted, atol=1e-4)
    np.testing.assert_allclose(fitted.decode(found.theta), found.theta @ A.T, atol=1e-4)
    left = np.sum((x - found.theta @ A.T) ** 2), np.sum((x - x.mean(1, keepdims=True)) ** 2)
    assert fitted.shares[:, 0] == pytest.approx(1 - left[0] / left[1], abs=0.1)
    assert fitted.shares[:, 1].min() > 0.99
    assert "3 seeds; a residual was found by 3" in fitted.summary()


def test_where_the_simulator_is_right_there_is_no_residual_and_errors_stay(fitted, alone):
    x = signals(200, 4, size=0.0)[0]
    box = copy(fitted).fit(x)
    assert box.gains.tolist() == [0.0, 0.0, 0.0]
    found, physics = box.explain(x[:40]), alone.explain(x[:40])
    assert not found.residual.any() and not found.codes.any()
    # No direction is special: the errors are those of plain least squares, within what 40 misfits scatter
    np.testing.assert_allclose(found.stderr, physics.stderr, rtol=1e-6)
    exact = NOISE * np.sqrt(np.diagonal(np.linalg.inv(A.T @ A)))
    np.testing.assert_allclose(np.median(found.stderr, axis=0), exact, rtol=0.1)
    assert "found by 0" in box.summary()


def test_what_is_left_in_few_directions_widens_errors(fitted, alone):
    x = signals(40, 5)[0]
    found = fitted.explain(x)
    G = found.residual  # of two directions of unequal size, of which the larger counts
    few = np.trace(G @ G.T) ** 2 / np.sum((G @ G.T) ** 2)
    assert 1.0 < few < 2.0
    # Beyond the noise, each variance is (k - d) / few times as large
    ratio = (found.stderr / alone.explain(x).stderr) ** 2
    assert np.median(ratio) == pytest.approx(28 / few, rel=0.15)


def test_the_same_seed_gives_the_same_bits_and_groups_are_held_out_whole(fitted):
    x = signals(200, 1)[0]
    again = copy(fitted).fit(x, seed=3)
    np.testing.assert_array_equal(again.codes(x[:5]), fitted.codes(x[:5]))
    with pytest.raises(ValueError, match="groups"):
        again.fit(x[:20], groups=np.zeros(20))


def test_a_parameter_at_its_bound_leaves_the_rest_to_the_residual(fitted):
    Q = fitted._basis(np.array([[0.1, 0.2], [0.1, fitted.library.high[1]]]))
    assert np.linalg.matrix_rank(Q[0]) == 2
    np.testing.assert_allclose(np.abs(Q[1].T @ (np.ones(30) / np.sqrt(30))), [1.0, 0.0], atol=1e-6)


def test_units_of_the_noise_are_taken_off_again():
    box = GreyBox(line(), **(FAST | {"noise": "simulated"}))
    W = np.asarray(box._squares.whiten)
    g = np.random.default_rng(0).normal(size=(4, 30))
    weighed = g * W if W.ndim == 1 else g @ W.T
    np.testing.assert_allclose(box._unweighed(weighed), g, atol=1e-4)


def test_basis_spans_what_the_columns_span():
    J = np.random.default_rng(1).normal(size=(3, 7, 2)) * [1e-3, 5.0]
    Q = basis(np.concatenate([J, J[..., :1] - J[..., 1:]], axis=2))  # the third says nothing new
    for one, columns in zip(Q, J, strict=True):
        np.testing.assert_allclose(one @ one.T, columns @ np.linalg.pinv(columns), atol=1e-9)


def test_what_cannot_be_done_is_said(fitted):
    with pytest.raises(ValueError, match=r"call \.fit\(x\) first"):
        GreyBox(line(), **FAST).codes(signals(3, 1)[0])
    with pytest.raises(ValueError, match="x must have 10 signals or more"):
        GreyBox(line(), **FAST).fit(signals(9, 1)[0])
    with pytest.raises(ValueError, match=r"z must have shape \(2, 2\), a row for each of theta; got \(2, 3\)"):
        fitted.decode(np.ones((2, 2)), np.ones((2, 3)))
    with pytest.raises(ValueError, match="members must be"):
        GreyBox(line(), members=2)
    with pytest.raises(ValueError, match="problem must take no inputs"):
        GreyBox(replace(line(), inputs=avo.simulators.pendulum(known_start=True).inputs))
