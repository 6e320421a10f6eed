"""avo.variational.natural: the worth of ranks, the natural gradient, the correlation that shortens steps."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.stats import rankdata

import avo
from avo.adversarial.proposals import Gaussian
from avo.variational.natural import Asked, Search, _move, ask, correlation, tell, worth

SPACE = avo.Space(a=avo.Real(), b=avo.Real(), c=avo.Interval(-1, 3))
PAIRS = 4
ASK, TELL = jax.jit(partial(ask, SPACE, PAIRS)), jax.jit(partial(tell, SPACE, PAIRS))


@pytest.mark.parametrize("change", [np.exp, lambda f: 7 * f - 40, lambda f: f**3])
def test_any_increasing_function_of_f_is_worth_the_same(change) -> None:
    values = np.random.default_rng(0).normal(size=12)
    np.testing.assert_array_equal(worth(jnp.asarray(values)), worth(jnp.asarray(change(values))))


def test_worth_is_that_of_wierstra() -> None:
    values = np.random.default_rng(1).normal(size=10)
    raw = np.maximum(0, np.log(10 / 2 + 1) - np.log(1 + np.argsort(np.argsort(values))))
    np.testing.assert_allclose(worth(jnp.asarray(values)), raw / raw.sum(), atol=1e-12)
    tied = worth(jnp.asarray(np.append(values, values)))  # twice each: the worth of 20, shared by two
    raw = np.maximum(0, np.log(20 / 2 + 1) - np.log(np.arange(1, 21)))
    shared = (raw / raw.sum()).reshape(10, 2).mean(1)[np.argsort(np.argsort(values))]
    np.testing.assert_allclose(tied, np.append(shared, shared), atol=1e-12)


def test_correlation_is_spearmans() -> None:
    # Over all rows of two independent evaluations, one at a time among the others of the first
    rng = np.random.default_rng(2)
    signal = rng.normal(size=4000)
    once, again = signal + rng.normal(size=4000), signal + rng.normal(size=4000)
    terms = []
    for i in range(0, 4000, 10):
        values = jnp.asarray(once[i : i + 10])
        terms.append(float(correlation(values, jnp.asarray(again[i]))))
    expected = float(np.corrcoef(rankdata(once), rankdata(again))[0, 1])
    assert abs(np.mean(terms) - expected) < 4 * np.std(terms) / np.sqrt(len(terms))
    assert abs(expected - 0.48) < 0.05  # (6 / pi) asin(rho / 2) of rho = 1 / 2


def test_the_step_is_the_natural_gradient_of_a_normal() -> None:
    # cost = a . z + z^T B z: E[cost z] = a, E[cost (z_i^2 - 1)] = 2 B_ii, E[cost z_i z_j] = 2 B_ij of a symmetric B
    a, b = np.array([0.7, -1.3]), np.array([[0.5, -0.4], [-0.4, -0.9]])
    zeta = jax.random.normal(jax.random.key(0), (200_000, 2))
    z = np.concatenate([zeta, -zeta])
    move = _move(200_000, zeta, jnp.asarray(z @ a + np.einsum("ni,ij,nj->n", z, b, z)), jnp.array(0.25))
    rate = (9 + 3 * np.log(2)) / (5 * 2 * np.sqrt(2))
    # 200,000 pairs: standard errors below 4 / sqrt(200,000) = .009, times what multiplies them
    np.testing.assert_allclose(move.loc, -0.25 * a, atol=0.01)
    np.testing.assert_allclose(move.log_scale, -0.25 * rate * np.diag(b), atol=0.015)
    assert move.lower is not None
    np.testing.assert_allclose(move.lower[1, 0], -0.25 * rate * 2 * b[1, 0], atol=0.015)


def test_steps_shorten_as_repeats_disagree() -> None:
    state = Search.start(jnp.zeros(3), 0.5, 100)
    asked = ASK(jax.random.key(1), state)
    assert asked.theta.shape == (9, 3)
    np.testing.assert_array_equal(asked.theta[8], asked.theta[0])
    u = np.asarray(SPACE.unconstrain(asked.theta))
    np.testing.assert_allclose(u[:4], -u[4:8], atol=1e-5)
    values = jnp.asarray(np.random.default_rng(0).permutation(8.0 + np.arange(8)))
    far = jnp.where(values[0] > 11.5, 0.0, 99.0)
    moved = {}
    for name, again in (("same", values[0]), ("other", far)):
        after, _ = TELL(state._replace(step=jnp.array(95)), asked, jnp.append(values, again))
        moved[name] = np.asarray(after.proposal.loc), float(after.agreement)
    # 5 / 100 of the new term, the rest of the old one, 1
    term = float(correlation(values, far))
    assert moved["same"][1] == pytest.approx(1) and moved["other"][1] == pytest.approx(0.95 + 0.05 * term, abs=1e-6)
    np.testing.assert_allclose(moved["other"][0], moved["other"][1] * moved["same"][0], rtol=1e-5)


def test_what_failed_ranks_last_and_is_told() -> None:
    state = Search.start(jnp.zeros(3), 0.5, 100)
    asked = ASK(jax.random.key(1), state)
    values = np.array([3.0, 1.0, np.nan, 2.0, 5.0, 4.0, 7.0, 8.0, 3.0])
    worst = np.where(np.isnan(values), 9.0, values)
    after, told = TELL(state, asked, jnp.asarray(values))
    also, _ = TELL(state, asked, jnp.asarray(worst))
    np.testing.assert_array_equal(after.proposal.loc, also.proposal.loc)
    assert (int(told.failed), float(told.low), float(told.high)) == (1, 1.0, 8.0)
    assert float(told.value) == pytest.approx(33 / 8)
    np.testing.assert_array_equal(after.best_theta, asked.theta[1])


def test_a_bound_is_as_far_as_q_goes() -> None:
    q = Gaussian(jnp.array([40.0, -2.0, 40.0]), jnp.log(jnp.array([9.0, 0.5, 9.0])), jnp.zeros((3, 3)))
    state = Search.start(jnp.zeros(3), 0.5, 100)._replace(proposal=q)
    after, told = TELL(state, Asked(jnp.zeros((4, 3)), jnp.zeros((9, 3))), jnp.zeros(9))
    np.testing.assert_allclose(after.proposal.loc, [40.0, -2.0, 18.0])
    np.testing.assert_allclose(told.sd, [9.0, 0.5, 1.5], rtol=1e-5)


def test_late_centres_are_averaged_and_early_ones_are_not() -> None:
    state, centres, averages = Search.start(jnp.zeros(3), 0.5, 10), [], []
    for i in range(10):
        asked = ASK(jax.random.key(i), state)
        state, told = TELL(state, asked, jnp.sum(asked.theta, axis=1))
        centres.append(np.asarray(told.u))
        averages.append(np.asarray(state.average))
    np.testing.assert_allclose(averages[:7], centres[:7], rtol=1e-6)
    np.testing.assert_allclose(averages[-1], np.mean(centres[7:], axis=0), rtol=1e-6)  # the last 3 of 10
