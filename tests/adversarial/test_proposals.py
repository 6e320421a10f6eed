"""avo.adversarial.proposals: the Gaussian against SciPy."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.stats import multivariate_normal

from avo.adversarial.proposals import START_SD, Gaussian

LOC = np.array([1.3, -0.4, 2.7])
LOG_SCALE = np.log(np.array([0.3, 1.7, 0.9]))
LOWER = np.array([[9.0, 9.0, 9.0], [0.6, 9.0, 9.0], [-1.2, 0.8, 9.0]])  # the nines lie outside and must not count

PROPOSALS = {
    "diagonal": Gaussian(jnp.asarray(LOC), jnp.asarray(LOG_SCALE)),
    "full": Gaussian(jnp.asarray(LOC), jnp.asarray(LOG_SCALE), jnp.asarray(LOWER)),
}
# L = diag(scale) (I + strictly lower), written out
SCALE = np.array([0.3, 1.7, 0.9])
FACTORS = {
    "diagonal": np.diag(SCALE),
    "full": np.array([[0.3, 0.0, 0.0], [0.6 * 1.7, 1.7, 0.0], [-1.2 * 0.9, 0.8 * 0.9, 0.9]]),
}
CASES = pytest.mark.parametrize("kind", PROPOSALS)


def reference(kind: str):  # noqa: ANN201
    return multivariate_normal(LOC, FACTORS[kind] @ FACTORS[kind].T)


@CASES
def test_factor_by_hand(kind: str) -> None:
    np.testing.assert_allclose(PROPOSALS[kind].factor(), FACTORS[kind], rtol=1e-14, atol=0)
    np.testing.assert_allclose(PROPOSALS[kind].sd(), np.sqrt(np.diag(FACTORS[kind] @ FACTORS[kind].T)), rtol=1e-13)


@CASES
def test_log_prob_is_scipys(kind: str) -> None:
    u = np.random.default_rng(0).normal(1.0, 2.0, (20, 3))
    found = jax.vmap(PROPOSALS[kind].log_prob)(jnp.asarray(u))
    np.testing.assert_allclose(found, reference(kind).logpdf(u), rtol=1e-11)


@CASES
def test_entropy_is_scipys(kind: str) -> None:
    np.testing.assert_allclose(float(PROPOSALS[kind].entropy()), reference(kind).entropy(), rtol=1e-12)


@CASES
def test_spread_is_loc_plus_factor_z(kind: str) -> None:
    z = np.array([[0.5, -1.1, 2.0], [0.0, 0.3, -0.7]])
    expected = np.stack([LOC + FACTORS[kind] @ row for row in z])
    np.testing.assert_allclose(PROPOSALS[kind].transform(jnp.asarray(z)), expected, rtol=1e-13)


@CASES
def test_moments_of_samples(kind: str) -> None:
    n = 40_000
    u = np.asarray(PROPOSALS[kind].sample(jax.random.key(3), n))
    covariance = FACTORS[kind] @ FACTORS[kind].T
    variance = np.diag(covariance)
    # Four standard errors: sqrt(C_ii / n) of a mean, sqrt((C_ii C_jj + C_ij^2) / n) of a covariance
    assert np.all(np.abs(u.mean(0) - LOC) < 4 * np.sqrt(variance / n))
    error = np.sqrt((np.outer(variance, variance) + covariance**2) / n)
    assert np.all(np.abs(np.cov(u.T) - covariance) < 4 * error)


@CASES
def test_same_key_same_samples(kind: str) -> None:
    draws = [np.asarray(PROPOSALS[kind].sample(jax.random.key(k), 5)) for k in (3, 3, 4)]
    np.testing.assert_array_equal(draws[0], draws[1])
    assert not np.any(draws[0] == draws[2])


@CASES
def test_with_factor_keeps_loc_and_takes_the_covariance(kind: str) -> None:
    # Neither triangular nor symmetric, so that only factor factor^T can be reproduced
    factor = np.array([[0.5, -0.3, 0.1], [0.9, 1.4, -0.6], [-0.2, 0.8, 2.1]])
    new = PROPOSALS[kind].with_factor(jnp.asarray(factor))
    np.testing.assert_array_equal(new.loc, LOC)
    covariance = factor @ factor.T
    expected = covariance if kind == "full" else np.diag(np.diag(covariance))
    np.testing.assert_allclose(new.factor() @ new.factor().T, expected, rtol=1e-12, atol=1e-14)
    assert jax.tree.structure(new) == jax.tree.structure(PROPOSALS[kind])
    u = jnp.array([0.2, 0.9, 1.6])
    np.testing.assert_allclose(float(new.log_prob(u)), multivariate_normal(LOC, expected).logpdf(u), rtol=1e-11)


@CASES
def test_gradient_of_the_entropy(kind: str) -> None:
    g = jax.grad(lambda q: q.entropy())(PROPOSALS[kind])
    np.testing.assert_array_equal(g.loc, np.zeros(3))
    np.testing.assert_array_equal(g.log_scale, np.ones(3))


@pytest.mark.parametrize("full", [True, False])
def test_start(full: bool) -> None:
    q = Gaussian.start(3, loc=0.7, sd=0.4, full=full)
    np.testing.assert_array_equal(q.loc, [0.7] * 3)
    np.testing.assert_allclose(q.factor(), 0.4 * np.eye(3), rtol=1e-14)
    assert (q.lower is not None) == full
    np.testing.assert_array_equal(Gaussian.start(3, loc=jnp.asarray(LOC), full=full).loc, LOC)
    default = Gaussian.start(2)
    np.testing.assert_array_equal(default.loc, np.zeros(2))
    np.testing.assert_allclose(default.sd(), [START_SD] * 2, rtol=1e-14)
    assert default.lower is not None


@pytest.mark.parametrize("q", PROPOSALS.values(), ids=PROPOSALS)
def test_score_is_the_gradient_of_log_prob(q: Gaussian) -> None:
    z = jnp.asarray(np.random.default_rng(5).normal(size=(4, 3)))
    score, u = q.score(z), q.transform(z)
    for i in range(4):
        exact = jax.grad(lambda q, i=i: q.log_prob(u[i]))(q)
        np.testing.assert_allclose(score.loc[i], q.factor().T @ exact.loc, rtol=1e-10)
        np.testing.assert_allclose(score.log_scale[i], exact.log_scale, rtol=1e-10)
        for ours, its in zip(jax.tree.leaves(score.lower), jax.tree.leaves(exact.lower), strict=True):
            np.testing.assert_allclose(ours[i], its, rtol=1e-10, atol=1e-12)


def test_a_stretched_proposal_is_one_map_after_the_other() -> None:
    q = Gaussian(jnp.array([0.3, -2.0]), jnp.array([0.4, -1.1]), jnp.array([[0.0, 0.0], [1.7, 0.0]]))
    by = Gaussian(jnp.array([-0.6, 0.2]), jnp.array([-0.3, 0.9]), jnp.array([[0.0, 0.0], [-0.8, 0.0]]))
    z = jax.random.normal(jax.random.key(0), (5, 2))
    np.testing.assert_allclose(q.stretched(by).transform(z), q.transform(by.transform(z)), rtol=1e-6)
