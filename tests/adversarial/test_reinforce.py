"""REINFORCE: derivatives known exactly, the algebra of the baselines, and the law of the orthogonal draws."""

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.stats import kstest

from avo.adversarial.reinforce import orthogonal, reinforce_gradient
from avo.critics import jensen_shannon, wasserstein

# x = u + noise, u ~ N(LOC, SD^2), psi = (loc, log sd)
LOC, SD, NOISE = 1.3, 0.6, 0.4
A, C, B = -0.7, 5.0, 0.9
COSTS: dict[str, tuple[Callable[[Any], Any], tuple[float, float]]] = {
    # E[a x + c] = a loc + c
    "linear": (lambda x: A * x + C, (A, 0.0)),
    # E[b x^2] = b (loc^2 + sd^2 + noise^2)
    "quadratic": (lambda x: B * x**2, (2 * B * LOC, 2 * B * SD**2)),
}
UNBIASED = ["none", "leave-one-out", "optimal"]


def score(z: Any) -> Any:
    """grad of log N(u; loc, sd^2) over (loc, log sd) at z = (u - loc) / sd."""
    return jnp.stack([z / SD, z**2 - 1.0], axis=-1)


def batches(key: Any, count: int, groups: int) -> tuple[Any, Any]:
    """z and x of `count` batches with groups of one, with shape (count, groups, 1)."""
    key_z, key_x = jax.random.split(key)
    z = jax.random.normal(key_z, (count, groups, 1))
    return z, LOC + SD * z + NOISE * jax.random.normal(key_x, z.shape)


@partial(jax.jit, static_argnums=2)
def _estimates(cost: Any, z: Any, baseline: Any) -> Any:
    return jax.vmap(lambda f, s: reinforce_gradient(f, s, baseline))(cost, score(z))


def estimates(cost: Any, z: Any, baseline: str) -> np.ndarray:
    return np.asarray(_estimates(cost, z, baseline))


def by_loops(cost: np.ndarray, score: np.ndarray, baseline: str) -> np.ndarray:
    """The docstring of `reinforce`, row by row."""
    groups, size, p = score.shape
    rows = [(i, j) for i in range(groups) for j in range(size)]
    total = np.zeros(p)
    for i, j in rows:
        others = [r for r in rows if r[0] != i]
        for k in range(p):
            if baseline == "none":
                b = 0.0
            elif baseline == "mean":
                b = np.mean([cost[r] for r in rows])
            elif baseline == "leave-one-out":
                b = np.mean([cost[r] for r in others])
            else:
                b = sum(cost[r] * score[r][k] ** 2 for r in others) / sum(score[r][k] ** 2 for r in others)
            total[k] += (cost[i, j] - b) * score[i, j, k]
    return total / len(rows)


@pytest.mark.parametrize("baseline", UNBIASED)
@pytest.mark.parametrize("name", COSTS)
def test_unbiased_against_the_exact_derivative(name: str, baseline: str) -> None:
    cost, exact = COSTS[name]
    z, x = batches(jax.random.key(5), 10_000, 10)  # 1e5 draws; batches of ten show a bias of 1 / 10
    g = estimates(cost(x), z, baseline)
    error = g.std(0, ddof=1) / np.sqrt(len(g))
    assert np.all(np.abs(g.mean(0) - exact) < 3 * error)
    if name == "quadratic" and baseline != "none":  # the test can tell a tenth from nothing
        assert 0.1 * exact[0] > 6 * error[0]


@pytest.mark.parametrize("baseline", UNBIASED)
def test_costs_of_a_critic_are_unbiased(baseline: str) -> None:
    """d(x) = 1.2 x - 0.5 and its three costs: x ~ N(loc, sd^2 + noise^2), so derivatives are integrals."""
    z, x = batches(jax.random.key(15), 10_000, 10)
    nodes, weights = np.polynomial.hermite_e.hermegauss(60)
    spread = np.hypot(SD, NOISE)
    for loss in (wasserstein(), jensen_shannon("non-saturating"), jensen_shannon("saturating")):

        def cost(x: Any, loss: Any = loss) -> Any:
            return loss.cost(1.2 * x - 0.5)

        slope = np.asarray(jax.vmap(jax.grad(cost))(jnp.asarray(LOC + spread * nodes))) * weights / weights.sum()
        # d/d loc E[f] = E[f'(x)], and d/d log sd E[f] = E[f'(x) z] sd^2 / spread with z = (x - loc) / spread
        exact = np.array([slope.sum(), slope @ nodes * SD**2 / spread])
        g = estimates(cost(x), z, baseline)
        error = g.std(0, ddof=1) / np.sqrt(len(g))
        assert np.all(np.abs(g.mean(0) - exact) < 3 * error)
        assert abs(exact[0]) > 10 * error[0] and exact[0] < 0  # a step down raises loc, and with it d


@pytest.mark.parametrize("name", COSTS)
def test_batch_mean_shrinks_by_exactly_one_minus_one_over_m(name: str) -> None:
    cost, _ = COSTS[name]
    z, x = batches(jax.random.key(6), 10_000, 10)
    mean, loo = (estimates(cost(x), z, b) for b in ("mean", "leave-one-out"))
    np.testing.assert_allclose(mean, (1 - 1 / 10) * loo, rtol=1e-11, atol=1e-12)


def test_baselines_reduce_the_variance() -> None:
    cost, _ = COSTS["linear"]  # with a constant of 5, arbitrary as a critic's
    z, x = batches(jax.random.key(7), 10_000, 10)
    variance = {b: estimates(cost(x), z, b).var(0) for b in UNBIASED}
    # The location's variance per draw: none E[f^2 z^2] / sd^2 = 50, leave-one-out 2.0; variances are known to 3 %
    assert variance["leave-one-out"][0] < 0.1 * variance["none"][0]
    assert variance["optimal"][0] < 0.1 * variance["none"][0]
    assert np.all(variance["leave-one-out"] < variance["none"])


@pytest.mark.parametrize("baseline", ["leave-one-out", "mean", "optimal"])
def test_a_constant_in_the_cost_changes_nothing(baseline: str) -> None:
    z, x = batches(jax.random.key(8), 10_000, 10)
    plain, shifted = (estimates(COSTS["quadratic"][0](x) + c, z, baseline) for c in (0.0, 123.0))
    np.testing.assert_allclose(shifted, plain, rtol=1e-10, atol=1e-11)


@pytest.mark.parametrize("baseline", ["none", "mean", *UNBIASED[1:]])
def test_groups_by_loops(baseline: str) -> None:
    rng = np.random.default_rng(9)
    cost, s = rng.normal(2.0, 1.5, (5, 3)), rng.normal(0.3, 1.1, (5, 3, 2))
    found = reinforce_gradient(jnp.asarray(cost), jnp.asarray(s), baseline)  # type: ignore[arg-type]
    np.testing.assert_allclose(found, by_loops(cost, s, baseline), rtol=1e-12)


@pytest.mark.parametrize("baseline", UNBIASED)
def test_groups_of_mirrored_thetas_with_several_x_are_unbiased(baseline: str) -> None:
    cost, exact = COSTS["quadratic"]
    key_z, key_x = jax.random.split(jax.random.key(10))
    half = jnp.repeat(jax.random.normal(key_z, (20_000, 3, 1)), 2, axis=2)  # two x a theta
    z = jnp.concatenate([half, -half], axis=2)  # and two thetas a group
    x = LOC + SD * z + NOISE * jax.random.normal(key_x, z.shape)
    g = estimates(cost(x), z, baseline)
    error = g.std(0, ddof=1) / np.sqrt(len(g))
    assert np.all(np.abs(g.mean(0) - exact) < 3 * error)
    # Leaving out the row alone shrinks the derivative for log sd by 3 / 11, four rows with one z^2 to a group of eleven
    assert baseline == "none" or 3 / 11 * exact[1] > 10 * error[1]


def test_unknown_baseline() -> None:
    with pytest.raises(ValueError, match=r"baseline must be one of none, mean, leave-one-out, optimal; got 'median'"):
        reinforce_gradient(jnp.ones((3, 1)), jnp.ones((3, 1, 2)), "median")  # type: ignore[arg-type]


@pytest.mark.parametrize(("n", "d"), [(3, 3), (6, 3), (8, 3), (5, 7), (4, 1)])
def test_orthogonal_blocks(n: int, d: int) -> None:
    z = np.asarray(orthogonal(jax.random.key(12), n, d))
    assert z.shape == (n, d)
    for first in range(0, n, d):
        block = z[first : first + d]
        size = np.sum(block[0] ** 2)
        # Rows of one block are orthogonal and equally long; over a whole block Z^T Z is the same multiple of I
        np.testing.assert_allclose(block @ block.T, size * np.eye(len(block)), rtol=1e-12, atol=1e-12)
        if len(block) == d:
            np.testing.assert_allclose(block.T @ block, size * np.eye(d), rtol=1e-12, atol=1e-12)


def test_orthogonal_blocks_are_independent() -> None:
    z = np.asarray(orthogonal(jax.random.key(12), 6, 3))
    lengths = np.sum(z**2, axis=1)
    assert abs(lengths[0] - lengths[3]) > 1e-3
    assert np.abs(z[:3] @ z[3:].T).max() > 1e-3


@pytest.mark.parametrize("d", [1, 2, 5])
def test_rows_are_standard_normal(d: int) -> None:
    z = np.asarray(jax.vmap(lambda key: orthogonal(key, d, d))(jax.random.split(jax.random.key(13), 4000)))
    for row in {0, d - 1}:  # each row alone is N(0, I), the last one of a QR too
        for column in {0, d - 1}:
            assert kstest(z[:, row, column], "norm").pvalue > 0.001
        assert kstest(np.sum(z[:, row] ** 2, axis=1), "chi2", args=(d,)).pvalue > 0.001
