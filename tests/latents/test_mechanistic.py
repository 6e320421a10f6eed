"""Parameters of single signals by optimisation, against closed forms of least squares."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import avo
from avo.latents import Mechanistic
from avo.simulators import Problem
from avo.simulators.problem import vectorize

T = np.linspace(-1.0, 2.0, 11)
A = np.stack([1 + 0 * T, T, np.sin(3 * T)], axis=1)
ROOT = np.linalg.cholesky(0.09 * (0.8 ** np.abs(np.arange(11)[:, None] - np.arange(11))))  # of noise, an AR(1)
TRUTH = np.array([0.7, -1.3, 2.4])


def line(size=True):
    """Three coefficients in correlated noise; the fourth parameter is the noise's logarithm, which no mean shows."""

    def draw(key, theta):
        noise = jnp.asarray(ROOT) @ jax.random.normal(key, (11,))
        return jnp.asarray(A) @ theta[:3] + jnp.exp(theta[3] if size else 0.2) * noise

    ranges = {"a": avo.Real(0, 2), "b": avo.Interval(-5, 3), "c": avo.Interval(0, 9), "size": avo.Interval(-1, 1)}
    d = 4 if size else 3
    return Problem(
        name="line",
        summary="",
        simulate=vectorize(draw),
        space=avo.Space(**dict(list(ranges.items())[:d])),
        theta_true=np.array([*TRUTH, 0.2])[:d],
        x_shape=(11,),
        mean=lambda theta: jnp.asarray(A) @ theta[:3],
    )


def rows(problem, n, seed=1):
    return np.asarray(problem.simulate(jax.random.key(seed), np.tile(problem.theta_true, (n, 1))), float)


@pytest.fixture(scope="module")
def of_line():
    return Mechanistic(line(), rows=4000)


def test_it_is_generalised_least_squares_with_its_errors(of_line):
    x = rows(line(), 250)
    found = of_line.explain(x)
    C = ROOT @ ROOT.T
    inverse = np.linalg.inv(A.T @ np.linalg.solve(C, A))
    exact = np.linalg.solve(C, x.T).T @ A @ inverse
    sd = np.exp(0.2) * np.sqrt(np.diagonal(inverse))
    # The noise's shape is known from some 20,000 draws; one signal's size is that of the regression, known to a fifth
    assert np.abs(found.theta[:, :3] - exact).max(0) == pytest.approx(np.zeros(3), abs=0.15 * sd.min())
    np.testing.assert_allclose(np.median(found.stderr[:, :3], axis=0), sd, rtol=0.1)
    z = (found.theta - [*TRUTH, 0.2]) / found.stderr
    assert np.abs(z.mean(0)[:3]).max() < 4 / np.sqrt(250)
    assert np.abs(z.std(0)[:3] - 1).max() < 0.2
    # Of the noise's size it keeps the regression
    assert np.corrcoef(found.theta[:, 3], of_line.library.learned(x)[:, 3])[0, 1] == pytest.approx(1.0)
    np.testing.assert_allclose(found.fitted, found.theta[:, :3] @ A.T, atol=1e-5)
    np.testing.assert_allclose(of_line.decode(found.theta), found.fitted, atol=1e-5)


def test_p_values_are_uniform_where_the_simulator_is_right_and_small_where_it_is_not():
    x, of_line = rows(line(), 300, seed=2), Mechanistic(line(size=False), rows=1000)
    p = of_line.explain(x).p_value
    # Shares of 300 within four standard deviations
    assert all(abs(np.mean(p < level) - level) < 4 * np.sqrt(level * (1 - level) / 300) for level in (0.1, 0.5, 0.9))
    bent = of_line.explain(x[:40] + 4 * (-1.0) ** np.arange(11))
    assert bent.p_value.max() < 0.01
    assert bent.misfit.min() > 4
    # What is not explained widens the errors
    assert np.median(bent.stderr[:, 0]) > 2 * np.median(of_line.explain(x[:40]).stderr[:, 0])


def test_equal_noise_is_plain_least_squares_and_bounds_hold():
    problem = line()
    x = rows(problem, 30) + 7 * A[:, 1]  # b beyond its bound
    theta = Mechanistic(problem, rows=1000, noise="equal").encode(x)
    others = np.linalg.lstsq(A[:, [0, 2]], (x - 3 * A[:, 1]).T, rcond=None)[0].T
    np.testing.assert_allclose(theta[:, 1], 3.0, atol=1e-4)
    np.testing.assert_allclose(theta[:, [0, 2]], np.clip(others, [-np.inf, 0], [np.inf, 9]), atol=0.02)


def test_a_mean_that_is_not_known_is_learned(of_line):
    x = rows(line(), 100, seed=3)
    exact, learned = of_line.explain(x), Mechanistic(replace(line(), mean=None), rows=4000).explain(x)
    apart = (learned.theta - exact.theta)[:, :3] / exact.stderr[:, :3]
    assert np.sqrt(np.mean(apart**2)) < 0.4


def test_two_solutions_are_told():
    def draw(key, theta):
        return jnp.stack([theta[0] ** 2, theta[0] ** 2 + 1]) + 0.1 * jax.random.normal(key, (2,))

    space = avo.Space(a=avo.Interval(-3, 3))
    mean = lambda theta: jnp.stack([theta[0] ** 2, theta[0] ** 2 + 1])  # noqa: E731
    square = Problem("square", "", vectorize(draw), space, np.array([1.4]), (2,), mean=mean)
    found = Mechanistic(square, rows=1000).explain(rows(square, 20))
    assert found.tied.mean() > 0.8
    np.testing.assert_allclose(np.abs(found.theta[:, 0]), 1.4, atol=0.2)
    assert "another solution" in found.summary()


def test_the_same_seed_gives_the_same_numbers(of_line):
    x = rows(line(), 20)
    again = Mechanistic(line(), rows=4000)
    np.testing.assert_array_equal(again.encode(x), of_line.encode(x))
    assert "3 signals" in repr(of_line.explain(x[:3]))


def test_what_cannot_be_done_is_said(of_line):
    with pytest.raises(ValueError, match=r"x must be signals of line, shape \(n, 11\); got \(2, 5\)"):
        of_line.encode(np.ones((2, 5)))
    with pytest.raises(ValueError, match="theta must have shape"):
        of_line.decode(np.ones(4))
    with pytest.raises(ValueError, match="noise must be one of simulated, equal"):
        Mechanistic(line(), noise="white")
    flat = replace(line(), mean=lambda theta: jnp.ones(11))
    with pytest.raises(ValueError, match="does not depend on a, b, c, size"):
        Mechanistic(flat, rows=1000).encode(rows(line(), 2))
    space = avo.Space(a=avo.Count(1, 9), b=avo.Angle(360), c=avo.Real(), size=avo.Real())
    with pytest.raises(ValueError, match="no counts and no angles; got a, b"):
        Mechanistic(replace(line(), space=space))
    with pytest.raises(ValueError, match="problem must take no inputs; pendulum takes"):
        Mechanistic(avo.simulators.pendulum(known_start=True))
