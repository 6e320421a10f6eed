"""Parameters of single observations by optimisation, beside closed forms."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import avo
from avo.simulators import Problem
from avo.simulators.problem import vectorize

pytestmark = pytest.mark.usefixtures("single_precision")

T = np.linspace(0.2, 2.0, 9)
A = np.stack([1 + 0 * T, T], axis=1)
SD = 0.3
LOC, SIGMA = np.array([0.5, -0.4]), np.array([[0.5, 0.1], [0.1, 0.3]])  # of a population
SPACE = avo.Space(a=avo.Real(), b=avo.Real())


def draw(key, theta):
    return jnp.asarray(A) @ theta + SD * jax.random.normal(key, (9,))


def mean(theta):
    return jnp.asarray(A) @ theta


LINE = Problem("line", "", vectorize(draw), SPACE, np.array([0.5, -0.4]), (9,), mean=mean)


def rows(theta, seed):
    return np.asarray(LINE.simulate(jax.random.key(seed), theta), float)


@pytest.fixture(scope="module")
def point():
    x = rows(np.tile(LOC, (150, 1)), 0)
    return avo.fit(LINE.simulate, x, SPACE, budget=20_000, progress=False)


@pytest.fixture(scope="module")
def population():
    theta = LOC + np.random.default_rng(0).normal(size=(800, 2)) @ np.linalg.cholesky(SIGMA).T
    return avo.fit(vectorize(draw), rows(theta, 1), SPACE, target="population", budget=60_000, progress=False)


def test_of_a_point_it_is_least_squares_however_far_the_rows_lie(point):
    far = np.array([[4.0, -3.0], [-2.0, 1.5], [0.1, 0.2]])
    x = rows(far, 2)
    exact = np.linalg.lstsq(A, x.T, rcond=None)[0].T
    # White noise, whose covariance is that of some thousand kept simulations: a hundredth of the errors, .2 and .2
    np.testing.assert_allclose(point.encode(x, refine=mean), exact, atol=0.05)
    np.testing.assert_allclose(point.encode(x, refine=True), point.encode(x, refine=LINE.mean), atol=1e-6)
    assert np.abs(point.encode(x)[:2] - exact[:2]).max() > 0.5  # the regression knows only what is near


def test_of_a_population_it_is_the_posterior_mean_under_the_fitted_one(population):
    theta = LOC + np.random.default_rng(5).normal(size=(60, 2)) @ np.linalg.cholesky(SIGMA).T
    x = rows(theta, 3)
    found = population.estimate
    prior = np.linalg.inv(found.population_covariance)
    precision = A.T @ A / SD**2 + prior
    exact = np.linalg.solve(precision, (x @ A / SD**2 + prior @ found.loc).T).T
    sd = np.sqrt(np.diagonal(np.linalg.inv(precision)))
    assert (np.abs(population.encode(x, refine=mean) - exact) < 0.25 * sd).all()
    assert np.sqrt(np.mean(((population.encode(x, refine=True) - exact) / sd) ** 2)) < 0.6


def test_what_cannot_be_done_is_said(point, population, tmp_path):
    x = rows(np.tile(LOC, (2, 1)), 4)
    with pytest.raises(ValueError, match="refine must be True, False or the simulator's mean"):
        point.encode(x, refine="mean")
    with pytest.raises(ValueError, match=r"refine, a mean, must give one x, shape \(9,\); it gave \(2,\)"):
        point.encode(x, refine=lambda theta: theta)
    point.save(tmp_path / "point")
    with pytest.raises(ValueError, match="refine=True needs the simulator's mean, .* refine=problem.mean"):
        avo.load(tmp_path / "point").encode(x, refine=True)
    np.testing.assert_array_equal(avo.load(tmp_path / "point").encode(x, refine=mean), point.encode(x, refine=mean))
