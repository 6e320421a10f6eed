"""avo.refine.scores: the score of a proposal, and what simulations of several teach about one."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from avo.refine.scores import monomials, scores_of_parts

RNG = np.random.default_rng


def test_scores_are_those_of_each_part() -> None:
    rng = RNG(1)
    factor, mean = np.array([[0.3, 0.0], [-0.2, 2.0]]), np.array([1.0, -4.0])
    zeta = np.concatenate([rng.normal(size=(500, 2)) @ factor.T + mean, np.ones((60, 2)), rng.normal(size=(7, 2))])
    own, each = np.cov(zeta[:500].T), np.array([0.25, 3.0])
    y, weight = scores_of_parts(zeta, np.repeat([0, 1, 2], [500, 60, 7]), np.zeros(2))
    np.testing.assert_allclose(y[:500], np.linalg.solve(own, (zeta[:500] - zeta[:500].mean(0)).T).T, rtol=1e-9)
    # wide parts weigh no more than one in units of q; those that do not spread, or are few, nothing
    np.testing.assert_allclose(weight[0], np.minimum(1 / np.diagonal(np.linalg.inv(own)), 1))
    assert weight[0, 1] == 1.0 and weight[0, 0] < 0.1
    assert weight.shape == (3, 2) and not weight[1:].any()
    # E[y | x] is the same for all parts where u + e is seen, e of variance 1 / each: each x / (each + 1)
    y, weight = scores_of_parts(zeta[:500], np.zeros(500, int), each)
    posterior = np.linalg.inv(np.diag(each) + np.linalg.inv(own))
    slope = np.linalg.inv(own) @ np.cov(zeta[:500].T, y.T)[:2, 2:]  # of y on zeta
    np.testing.assert_allclose(slope.T @ posterior @ np.diag(each), np.diag(each / (each + 1)), atol=1e-9)
    np.testing.assert_allclose(weight[0, 1], min(4.0 / np.linalg.inv(posterior)[1, 1], 1.0))


def test_monomials_are_the_score_of_the_proposal() -> None:
    rng = RNG(4)
    loc, L = rng.normal(size=3), np.tril(rng.normal(size=(3, 3))) + 2 * np.eye(3)
    i, j = np.triu_indices(3)

    def log_prob(delta: Any, u: Any) -> Any:
        S = jnp.zeros((3, 3)).at[i, j].set(delta[3:]).at[j, i].set(delta[3:])
        return jax.scipy.stats.multivariate_normal.logpdf(u, loc + L @ delta[:3], L @ (jnp.eye(3) + S) @ L.T)

    zeta = rng.normal(size=(5, 3))
    exact = [jax.grad(log_prob)(jnp.zeros(9), jnp.asarray(loc + L @ z)) for z in zeta]
    np.testing.assert_allclose(monomials(zeta), exact, rtol=1e-9, atol=1e-9)
