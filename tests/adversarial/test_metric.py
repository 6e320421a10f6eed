"""avo.adversarial.metric: linear simulators, whose metric is known."""

import jax
import jax.numpy as jnp
import numpy as np

from avo.adversarial.metric import MEMORY, RIDGE, Metric

D, P = 2, 3
A = np.array([[1.5, -0.4], [0.3, 0.8], [-0.9, 0.2]])  # x = A u + noise, with shape (p, d)


def pairs(seed: int, n: int, noise: np.ndarray | float = 0.0, matrix: np.ndarray = A, sd: float = 0.3):
    """Mirrored pairs whose halves share their random numbers: du and dx = A du + noise."""
    du = 2 * np.random.default_rng(seed).normal(0.0, sd, (n, matrix.shape[1]))
    return jnp.asarray(du), jnp.asarray(du @ matrix.T + noise)


def fed(*batches: tuple) -> Metric:  # type: ignore[type-arg]
    metric = Metric.start(batches[0][0].shape[1], int(np.prod(batches[0][1].shape[1:])))
    for du, dx, *ok in batches:
        metric = metric.update(du, dx, ok[0] if ok else jnp.ones(len(du), bool))
    return metric


def test_linear_map() -> None:
    # All of dx is J^T du: M = A^T A. The jitter of the solve is 1e-5 of the moments
    np.testing.assert_allclose(fed(pairs(0, 16)).matrix(), A.T @ A, rtol=1e-4)


def test_what_leaves_the_mean_of_x_alone_counts_by_how_far_it_moves_each_x() -> None:
    # x = (2 u_0, s u_1 e) with e of mean zero and E e^2 = 1: J = diag(2, ~0), and E |dx|^2 = 4 du_0^2 + s^2 du_1^2
    n, s = 4000, 0.35
    rng = np.random.default_rng(1)
    du = rng.normal(0.0, [0.1, 0.7], (n, 2))
    e = np.where(rng.random(n) < 0.5, 1.0, -1.0)
    dx = np.stack([2.0 * du[:, 0], s * du[:, 1] * e], axis=1)
    m = np.asarray(fed((jnp.asarray(du), jnp.asarray(dx))).matrix())
    np.testing.assert_allclose(np.diag(m), [4.0, s**2], rtol=4 / np.sqrt(n) + 2e-4)
    assert abs(m[0, 1]) < 4 * 2.0 * s / np.sqrt(n)


def test_noise_that_knows_nothing_of_u_is_laid_on_du_the_less_the_wider_it_is() -> None:
    # |dx|^2 = 3 r^2 whatever du. With v_k = du_k^2: E v_k = s^2, E v v^T = s^4 (2 I + 1 1^T), D_k = 3 r^2 / (d+2) / s^2
    n, r = 4000, 0.1
    noise = r * np.random.default_rng(3).normal(size=(n, P))
    narrow, wide = (np.asarray(fed(pairs(2, n, noise, 0 * A, sd)).matrix()) for sd in (0.3, 3.0))
    np.testing.assert_allclose(np.diag(narrow), 3 * r**2 / ((D + 2) * 0.6**2), rtol=0.1)
    np.testing.assert_allclose(wide, narrow / 100, rtol=1e-4)


def test_observations_of_any_shape() -> None:
    du, dx = pairs(0, 16)
    flat = fed((du, dx)).matrix()
    np.testing.assert_array_equal(fed((du, dx[..., None])).matrix(), flat)
    scalar = fed((du, dx[:, 0])).matrix()
    np.testing.assert_allclose(scalar, np.outer(A[0], A[0]), rtol=1e-4, atol=1e-5)


def test_factor_moves_x_equally_far_in_every_direction() -> None:
    metric = fed(pairs(4, 16))
    factor = np.asarray(metric.factor(jnp.array(0.05), jnp.array(100.0)))
    move = A @ factor
    # (A L)^T (A L) = s^2 lambda_max I
    largest = np.linalg.eigvalsh(A.T @ A)[-1]
    np.testing.assert_allclose(move.T @ move, 0.05**2 * largest * np.eye(D), rtol=1e-5, atol=1e-7)
    # and the stiffest direction itself has spread s
    stiffest = np.linalg.eigh(A.T @ A)[1][:, -1]
    np.testing.assert_allclose(stiffest @ factor @ factor.T @ stiffest, 0.05**2, rtol=1e-5)


def test_ceiling() -> None:
    # x moves by 1 in the first direction and by .01 in the second: wanted sd (.1, 10), limited to (.1, .7)
    metric = fed(pairs(5, 16, matrix=np.diag([1.0, 0.01])))
    factor = np.asarray(metric.factor(jnp.array(0.1), jnp.array(0.7)))
    np.testing.assert_allclose(factor @ factor.T, np.diag([0.01, 0.49]), rtol=1e-5, atol=1e-6)
    wide = np.asarray(metric.factor(jnp.array(0.1), jnp.array(100.0)))
    np.testing.assert_allclose(wide @ wide.T, np.diag([0.01, 100.0]), rtol=1e-3, atol=1e-3)
    # A ceiling below the spread does not narrow the stiffest direction
    low = np.asarray(metric.factor(jnp.array(0.1), jnp.array(0.02)))
    np.testing.assert_allclose(low @ low.T, np.diag([0.01, 0.01]), rtol=1e-5, atol=1e-6)


def test_a_flat_direction_counts_as_the_ridge() -> None:
    metric = fed(pairs(6, 16, matrix=np.diag([1.0, 0.0])))
    factor = np.asarray(metric.factor(jnp.array(0.001), jnp.array(1e9)))
    np.testing.assert_allclose(np.sort(np.diag(factor @ factor.T)), [1e-6, (0.001 / RIDGE) ** 2], rtol=1e-4)


def test_an_empty_metric_is_finite() -> None:
    factor = np.asarray(Metric.start(D, P).factor(jnp.array(0.2), jnp.array(0.5)))
    assert np.all(np.isfinite(factor))
    assert np.all(np.diag(factor @ factor.T) <= 0.5**2 + 1e-12)


def test_masked_pairs_have_no_influence() -> None:
    du, dx = pairs(7, 8)
    ok = jnp.asarray([True, False, True, True, False, True, True, True])
    a, b = fed((du, dx, ok)), fed((du, jnp.where(ok[:, None], dx, 77.0), ok))
    for left, right in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True):
        np.testing.assert_array_equal(left, right)
    # Only the size of the weight, common to all moments, knows of them: M is that of the other pairs
    keep = np.flatnonzero(ok)
    np.testing.assert_allclose(a.matrix(), fed((du[keep], dx[keep])).matrix(), rtol=1e-5)


def test_fading() -> None:
    first, second = pairs(8, 16), pairs(9, 16, matrix=-2.0 * A)
    one, both = fed(first), fed(first, second)
    alone = fed(second)
    for a, b, c in list(zip(one, both, alone, strict=True))[:3]:  # what is left over depends on the J of the time
        np.testing.assert_allclose(b, MEMORY * a + c, rtol=1e-12, atol=1e-14)
    long = fed(first, *[second] * 500)  # MEMORY^500 = 4e-5 is left of the first
    np.testing.assert_allclose(long.matrix(), 4 * A.T @ A, rtol=1e-4)


def test_wide_and_narrow_pairs_weigh_the_same() -> None:
    wide, narrow = pairs(10, 16, sd=3.0), pairs(10, 16, sd=0.003)
    for a, b in zip(fed(wide), fed(narrow), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-12)
