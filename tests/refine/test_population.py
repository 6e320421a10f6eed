"""avo.refine.population: steps and solutions by hand, and populations with moments that are known."""

from types import SimpleNamespace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from known_statistic import Linear
from scipy import stats

import avo
from avo.execution.blocks import Drawn, Draws
from avo.observations import Observed
from avo.refine import population
from avo.refine.equation import Equation, Noise, Residual
from avo.refine.estimate import Estimate, Moments, floored
from avo.refine.neighbours import correlations
from avo.refine.population import Psi
from avo.refine.scores import Normal
from avo.refine.statistic import apply

pytestmark = pytest.mark.usefixtures("single_precision")

RNG = np.random.default_rng
SIZE = 64


def test_chain_maps_steps_to_moments() -> None:
    rng = RNG(5)
    loc, L, delta = rng.normal(size=2), rng.normal(size=(2, 2)), rng.normal(size=5)
    mean, covariance = population._moved(Normal(loc, L), delta)
    S = np.array([[delta[2], delta[3]], [delta[3], delta[4]]])
    np.testing.assert_allclose(mean, loc + L @ delta[:2])
    np.testing.assert_allclose(covariance, L @ (np.eye(2) + S) @ L.T)
    change = np.concatenate([mean - loc, (covariance - L @ L.T)[np.triu_indices(2)]])
    np.testing.assert_allclose(population._chain(L) @ delta, change, rtol=1e-9)
    np.testing.assert_allclose(population._delta(Normal(loc, L), Psi(mean, covariance)), delta, rtol=1e-9)


def test_a_step_is_bounded() -> None:
    np.testing.assert_allclose(
        population._bounded(np.array([0.1, -0.2, 0.3, 0.1, -0.2]), 2), [0.1, -0.2, 0.3, 0.1, -0.2]
    )
    far = population._bounded(np.array([3.0, -4.0, 50.0, 0.0, -7.0]), 2)
    np.testing.assert_allclose(far, [0.6, -0.8, np.e - 1, 0.0, np.exp(-1) - 1])


POP_SPACE = avo.Space(a=avo.Real(), b=avo.Real())
E_SD = np.array([0.3, 0.5])


def noisy(key: Any, theta: Any) -> Any:
    """x = u + e, and a third value that says nothing."""
    e = jax.random.normal(key, (len(theta), 3))
    return jnp.concatenate([theta + e[:, :2] * E_SD[None], 3.0 + e[:, 2:]], axis=1)


def fit_population(x: np.ndarray, loc: Any, sd: float, budget: int = 40_960) -> Estimate:
    draws = Draws(jax.jit(noisy), POP_SPACE, jax.random.key(7), SIZE, (3,))
    q = Normal(np.asarray(loc, float), sd * np.eye(2))
    found = population.solve_population(draws, Observed(x), q, budget=budget, seed=3)
    assert draws.calls == budget
    return found


def moments(found: Estimate) -> Moments:
    both = found.population(POP_SPACE)
    assert both is not None
    np.testing.assert_allclose(both.theta.mean, both.u.mean, atol=1e-3)
    return both.u


def test_population_has_the_observations_moments_less_the_noise() -> None:
    m, C = 1000, np.array([[0.5, -0.2], [-0.2, 0.3]])
    rng = RNG(6)
    u = rng.multivariate_normal([0.6, -1.1], C, m)
    x = np.concatenate([u + rng.normal(size=(m, 2)) * E_SD, 3.0 + rng.normal(size=(m, 1))], 1)
    x = x[np.argsort(x[:, 0])]
    found = fit_population(x, [0.4, -0.9], 0.5)
    # A row says of the means what it has; sorted by the first of its values, rows are like their neighbours in that
    rows, known = found.neighbours, correlations(x[:, :2])
    assert rows is not None and rows.dependent[0] and rows.lag[0] == 1
    np.testing.assert_allclose(rows.correlation, known.correlation, atol=0.05)
    np.testing.assert_allclose(rows.widening, known.widening, rtol=0.05)
    n = m / (found.simulation_noise**2 - 1)
    assert 20_000 < n < 40_000  # the last round has half of the calls, and what the others left
    S = np.cov(x[:, :2].T, bias=True)
    V = C + np.diag(E_SD**2)
    scale = np.sqrt(np.diagonal(V) / m)
    i, j = np.triu_indices(2)
    z = x[:, :2] - x[:, :2].mean(0)
    entries = (z[:, i] * z[:, j]).std(0) / np.sqrt(m)
    np.testing.assert_allclose(found.sd, z.std(0) / np.sqrt(m) * found.simulation_noise, rtol=0.05)
    np.testing.assert_allclose(np.sqrt(np.diagonal(found.covariance)[2:]), entries * found.simulation_noise, rtol=0.1)
    assert found.population_covariance is not None
    near = 4 * np.sqrt(found.simulation_noise**2 - 1) + 0.15  # of an error: the simulations' noise, and what t loses
    assert np.all(np.abs(found.loc - x[:, :2].mean(0)) < near * scale)
    expected = S - np.diag(E_SD**2)
    assert np.all(np.abs(found.population_covariance - expected)[i, j] < near * entries)
    got = moments(found)
    np.testing.assert_allclose(got.sd, np.sqrt(np.diagonal(found.population_covariance)), rtol=1e-6)
    np.testing.assert_allclose(got.sd_stderr, entries[[0, 2]] / 2 / got.sd * found.simulation_noise, rtol=0.1)
    np.testing.assert_allclose(got.corr[0, 1], found.population_covariance[0, 1] / np.prod(got.sd), rtol=1e-6)
    assert np.isnan(got.sd_upper).all()
    # t solves the equation: its mean over x is that over fresh simulations from the population
    u = RNG(20).multivariate_normal(found.loc, found.population_covariance, 40_000)
    t_obs, t = apply(found.statistic, x), apply(found.statistic, np.asarray(noisy(jax.random.key(11), jnp.asarray(u))))
    assert np.all(np.abs(t_obs.mean(0) - t.mean(0)) < 4 * t.std(0) * np.sqrt(1 / 40_000 + 1 / 20_000))
    covered = stats.chi2.isf(1e-4, 5)
    off = np.concatenate([found.loc - [0.6, -1.1], (found.population_covariance - C)[i, j]])
    assert off @ np.linalg.solve(found.covariance, off) < covered


def mixed(m: int, rng: Any) -> np.ndarray:
    """x of a population that is not normal: two values of u."""
    u = np.where(rng.uniform(size=(m, 1)) < 0.5, [0.0, -1.5], [1.2, -0.7])
    return np.concatenate([u + rng.normal(size=(m, 2)) * E_SD, 3.0 + rng.normal(size=(m, 1))], 1)


def test_a_last_step_that_is_too_long_counts_as_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    x = mixed(300, RNG(16))
    plain = fit_population(x, [0.4, -0.9], 0.5)
    monkeypatch.setattr(population, "STILL", 0.0)
    added = fit_population(x, [0.4, -0.9], 0.5)
    np.testing.assert_array_equal(added.loc, plain.loc)
    values = np.linalg.eigvalsh(added.covariance - plain.covariance)
    assert values[-1] > 0 and np.all(np.abs(values[:-1]) < 1e-9 * values[-1])
    assert added.moved == plain.moved > 0


@pytest.mark.usefixtures("double_precision")
def test_the_slope_of_a_population_is_a_sum_over_its_noise() -> None:
    rng, d = RNG(17), 2
    zeta = rng.normal(size=(400, d))
    draws = Draws(jax.jit(noisy), POP_SPACE, jax.random.key(7), SIZE, (3,))
    t: Any = Linear(jnp.asarray(rng.normal(size=(5, 3))))
    equation = Equation(draws, Observed(rng.normal(size=(50, 3))), t)
    drawn = Drawn.of(zeta, rng.normal(size=(400, 3)) + np.append(zeta**2, zeta[:, :1], 1))
    found = population._linearized(equation, drawn, Normal(np.zeros(d), np.eye(d)), zeta)
    of_drawn = drawn.x @ np.asarray(t.weights).T
    np.testing.assert_allclose(found.A, (of_drawn - of_drawn.mean(0)).T @ found.noise.weights, atol=1e-9)


def test_encoded_observations_spread_as_encoded_simulations_where_a_population_fits() -> None:
    rng = RNG(18)
    t: Any = Linear(jnp.asarray([[1.0, 0.0, 0.5], [0.0, -2.0, 0.0]]))
    x, again = rng.normal(size=(300, 3)) * [1.0, 2.0, 1.0], Drawn.of(np.zeros((900, 2)), rng.normal(size=(900, 3)))
    sd, sd_sim, z = population._encoded(t, Observed(x), again)
    W = np.asarray(t.weights)
    np.testing.assert_allclose(sd, (x @ W.T).std(0), rtol=1e-6)
    np.testing.assert_allclose(sd_sim, (again.x @ W.T).std(0), rtol=1e-6)
    assert abs(z[0]) < 4
    # 16 and 4: the error of the first is 16 sqrt(2 / 300), of the second 4 sqrt(2 / 900)
    np.testing.assert_allclose(z[1], 12 / np.hypot(16 * np.sqrt(2 / 300), 4 * np.sqrt(2 / 900)), rtol=0.25)
    grouped = population._encoded(t, Observed(np.repeat(x, 2, axis=0), None, np.repeat(np.arange(300), 2)), again)
    np.testing.assert_allclose(grouped[2], z, rtol=1e-9)
    right = fit_population(
        np.concatenate([RNG(6).normal(size=(800, 2)), 3 + RNG(7).normal(size=(800, 1))], 1), [0, 0], 0.5
    )
    assert right.encoded is not None and np.all(np.abs(right.encoded[2]) < 4)


@pytest.mark.parametrize("size", [1.0, 9.0, 1e-3])
def test_the_floor_is_half_of_what_one_observation_leaves(monkeypatch: pytest.MonkeyPatch, size: float) -> None:
    """By hand: means known to .5 sd V_0 / 2 and .8 sd V_1 / .5, from 50 observations, and .05 and .5 the bounds."""
    A, V = np.diag([2.0, 0.5, 1.0, 3.0, 1.5]), np.diag([0.0512, 0.0028, 0.01, 0.02, 0.03]) * size
    start, still = Psi(np.array([0.3, -1.0]), np.diag([0.25, 0.64])), Noise(np.zeros((1, 5)), np.zeros((1, 5)))

    def linearized(equation: Any, drawn: Any, q: Normal, zeta: Any) -> population.Linearized:
        return population.Linearized(q, A, still, Residual(np.full(5, 1e-3), V, V, 0 * V))

    monkeypatch.setattr(population, "_linearized", linearized)
    equation: Any = SimpleNamespace(observed=Observed(np.zeros((50, 3))), draws=lambda u: None)
    learner: Any = SimpleNamespace(normal=lambda rows: np.zeros((rows, 2)), draws=SimpleNamespace(calls=0))
    begin = population.State(start, start, np.full(2, 0.1))
    state, taken = population._approach(equation, learner, begin, 4, 3, end=1000)
    errors = np.sqrt([0.0512, 0.0028]) * [0.5 / 2.0, 0.8 / 0.5] * np.sqrt(size)
    expected = np.sqrt(50) * errors / 2
    assert taken == 1 and (size != 1 or (np.all(expected > 0.05) and np.all(expected < 0.5)))
    np.testing.assert_allclose(state.floor, np.clip(expected, 0.05, 0.5), rtol=1e-9)


def test_population_without_spread_has_an_upper_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    compared, encoded = [], population._encoded
    monkeypatch.setattr(population, "_encoded", lambda *parts: (compared.append(parts[2].u), encoded(*parts))[1])
    rng = RNG(7)
    x = np.concatenate([[0.6, -1.1] + rng.normal(size=(600, 2)) * E_SD, 3.0 + rng.normal(size=(600, 1))], 1)
    found = fit_population(x, [0.5, -1.0], 0.2)
    got, (u,) = moments(found), compared
    # Encoded observations are compared with simulations of the answer, not of the wider q that it was found with
    scatter = np.linalg.norm(floored(np.asarray(found.population_covariance), 0.0), axis=1)
    np.testing.assert_allclose(u.std(0), scatter, rtol=4 / np.sqrt(2 * len(u)), atol=1e-9)
    np.testing.assert_array_less(np.abs(u.mean(0) - found.loc), 4 * scatter / np.sqrt(len(u)) + 1e-9)
    assert np.all(scatter < 0.8 * np.linalg.norm(found.reference[1], axis=1))
    assert np.isnan(got.sd_stderr).all()
    # E_SD^2 is known to sqrt(2 / 600) = 6 %: the variance is below 2 * 1.64 + 2 of that
    assert np.all(np.isfinite(got.sd_upper)) and np.all(got.sd_upper < np.sqrt(5 * 0.06) * E_SD)
    assert np.all(got.sd_upper >= got.sd)
    near = 4 * np.sqrt(600 / 20_480) + 0.15
    assert np.all(np.abs(got.mean - x[:, :2].mean(0)) < near * E_SD / np.sqrt(600))


def test_a_variance_that_would_be_negative_is_zero_and_the_rest_solved_anew() -> None:
    """m is linear in mean and covariance here; the observations scatter less in b than the simulations' noise alone."""
    rng = RNG(30)
    loc, factor = np.array([0.3, -1.0]), np.array([[0.5, 0.0], [0.2, 0.7]])
    A = rng.normal(size=(5, 5)) + 3 * np.eye(5)
    V = np.diag([1.0, 2.0, 0.5, 1.5, 1.0]) * 1e-6
    kept = A[:, 0].copy()
    still = Noise(np.zeros((1, 5)), np.zeros((1, 5)))
    chain = population._chain(factor)

    def solved(mean: np.ndarray, covariance: np.ndarray) -> tuple[Psi, population.Solution]:
        psi = np.concatenate([mean - loc, (covariance - factor @ factor.T)[np.triu_indices(2)]])
        r = A @ np.linalg.solve(chain, psi)
        return population.Linearized(Normal(loc, factor), A, still, Residual(r, V, V, 0 * V)).solve()

    mean, C = np.array([0.5, -0.6]), np.array([[0.3, 0.1], [0.1, 0.4]])
    answer, found = solved(mean, C)
    np.testing.assert_allclose(answer[0], mean, rtol=1e-9)
    np.testing.assert_allclose(answer[1], C, rtol=1e-9)
    assert found.free.all() and found.information.identified.all()
    np.testing.assert_allclose(
        found.covariance(np.zeros((5, 5))), chain @ np.linalg.inv(A.T @ np.linalg.inv(V) @ A) @ chain.T, rtol=1e-6
    )

    # A direction that moves nothing is as wide in u as the usual start, however narrow q is
    A[:, 0] = 0.0
    _, blind = solved(mean, C)
    there = population.Linearized(Normal(loc, factor), A, still, Residual(A @ np.ones(5), V, V, 0 * V))
    for covariance in (blind.covariance(np.zeros((5, 5))), there.free_covariance()):
        first = np.linalg.solve(chain, np.linalg.solve(chain, covariance).T)[0, 0]  # in units of q's first column
        np.testing.assert_allclose(first, 1.5**2 / (factor[:, 0] @ factor[:, 0]), rtol=1e-3)
    A[:, 0] = kept

    answer, found = solved(mean, np.array([[0.3, 0.1], [0.1, -0.4]]))
    assert found.free.tolist() == [True, True, True, False, False]
    # Weighted least squares with the covariance and the variance of b held at zero
    B = A @ np.linalg.inv(chain)
    target = B @ np.concatenate(
        [mean - loc, (np.array([[0.3, 0.1], [0.1, -0.4]]) - factor @ factor.T)[np.triu_indices(2)]]
    )
    target = target + B[:, 3:] @ (factor @ factor.T)[np.triu_indices(2)][1:]
    weight = np.sqrt(1 / np.diag(V))
    known = np.linalg.lstsq(B[:, :3] * weight[:, None], target * weight, rcond=None)[0]
    np.testing.assert_allclose(np.concatenate([answer[0] - loc, [answer[1][0, 0] - 0.25]]), known, rtol=1e-8)
    np.testing.assert_allclose(answer[1].ravel()[1:], 0.0, atol=1e-15)
    beside = np.arange(25.0).reshape(5, 5)
    covariance = found.covariance(beside)
    np.testing.assert_array_equal(covariance[3:, 3:], beside[3:, 3:])
    np.testing.assert_array_equal(covariance[:3, 3:], 0.0)
    np.testing.assert_allclose(found.change(Psi(loc, 0 * C), Psi(loc + [0.5, 0.0], 0 * C)), [1.0, 0.0, 0.0])
