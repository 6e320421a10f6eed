"""avo.metric: linear simulators, whose metric is known."""

import jax
import jax.numpy as jnp
import numpy as np

from avo.metric import MEMORY, RIDGE, Metric

D, P = 2, 3
A = np.array([[1.5, -0.4], [0.3, 0.8], [-0.9, 0.2]])  # x = A u + noise, with shape (p, d)


def pairs(
    seed: int, n: int, centre: np.ndarray, noise: np.ndarray | float = 0.0, matrix: np.ndarray = A, sd: float = 0.3
):
    """Mirrored pairs around u = 0 with the same noise in both halves: du, x+ and x-."""
    v = np.random.default_rng(seed).normal(0.0, sd, (n, matrix.shape[1]))
    move = v @ matrix.T
    return jnp.asarray(2 * v), jnp.asarray(centre + noise + move), jnp.asarray(centre + noise - move)


def fed(*batches: tuple) -> Metric:  # type: ignore[type-arg]
    metric = Metric.start(batches[0][0].shape[1], int(np.prod(batches[0][1].shape[1:])))
    for du, plus, minus, *ok in batches:
        metric = metric.update(du, plus, minus, ok[0] if ok else jnp.ones(len(du), bool))
    return metric


def test_linear_map_around_zero() -> None:
    # The squares of x+ and x- are equal there: M = A^T A. The jitter of the solve is 1e-6 of the moments
    metric = fed(pairs(0, 16, np.zeros(P)))
    np.testing.assert_allclose(metric.matrix(), A.T @ A, rtol=1e-5)


def test_squares_count_where_x_is_not_centred() -> None:
    # x+^2 - x-^2 = 2 centre * (x+ - x-): J^T = [A; 2 diag(centre) A], M = A^T (I + 4 diag(centre^2)) A
    centre = np.array([0.7, -1.1, 0.4])
    metric = fed(pairs(1, 16, centre))
    np.testing.assert_allclose(metric.matrix(), A.T @ np.diag(1 + 4 * centre**2) @ A, rtol=1e-5)


def test_a_parameter_of_spread_is_seen_through_the_squares() -> None:
    # x = exp(u) e with e = +-1 in equal parts: no effect on the mean, 4 sinh(v) cosh(v) ~ 4 v on the square
    v = np.array([0.01, 0.02, -0.015, 0.01, 0.02, -0.015])[:, None]
    e = np.array([1.0, 1.0, 1.0, -1.0, -1.0, -1.0])[:, None]
    metric = fed((jnp.asarray(2 * v), jnp.asarray(np.exp(v) * e), jnp.asarray(np.exp(-v) * e)))
    np.testing.assert_allclose(metric.matrix(), [[4.0]], rtol=1e-3)


def test_the_same_noise_in_both_halves_cancels() -> None:
    n = 2000
    noise = np.random.default_rng(3).normal(size=(n, P))
    metric = fed(pairs(2, n, np.zeros(P), noise))
    # Only the squares, 2 noise * move, see it: slopes about zero with standard error 2 |A_j| sd(noise) / sqrt(n)
    slopes = np.asarray(jnp.linalg.solve(metric.square, metric.cross))
    np.testing.assert_allclose(slopes[:, :P], A.T, rtol=1e-10)
    assert np.all(np.abs(slopes[:, P:]) < 4 * 2 * np.linalg.norm(A, axis=1)[None] * np.sqrt(2 / n))


def test_observations_of_any_shape() -> None:
    du, plus, minus = pairs(0, 16, np.zeros(P))
    flat = fed((du, plus, minus)).matrix()
    np.testing.assert_array_equal(fed((du, plus[..., None], minus[..., None])).matrix(), flat)
    scalar = fed((du, plus[:, 0], minus[:, 0])).matrix()
    np.testing.assert_allclose(scalar, np.outer(A[0], A[0]), rtol=1e-5)


def test_factor_moves_x_equally_far_in_every_direction() -> None:
    metric = fed(pairs(4, 16, np.zeros(P)))
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
    metric = fed(pairs(5, 16, np.zeros(2), matrix=np.diag([1.0, 0.01])))
    factor = np.asarray(metric.factor(jnp.array(0.1), jnp.array(0.7)))
    np.testing.assert_allclose(factor @ factor.T, np.diag([0.01, 0.49]), rtol=1e-5, atol=1e-6)
    wide = np.asarray(metric.factor(jnp.array(0.1), jnp.array(100.0)))
    np.testing.assert_allclose(wide @ wide.T, np.diag([0.01, 100.0]), rtol=1e-3, atol=1e-3)
    # A ceiling below the spread does not narrow the stiffest direction
    low = np.asarray(metric.factor(jnp.array(0.1), jnp.array(0.02)))
    np.testing.assert_allclose(low @ low.T, np.diag([0.01, 0.01]), rtol=1e-5, atol=1e-6)


def test_a_flat_direction_counts_as_the_ridge() -> None:
    metric = fed(pairs(6, 16, np.zeros(2), matrix=np.diag([1.0, 0.0])))
    factor = np.asarray(metric.factor(jnp.array(0.001), jnp.array(1e9)))
    np.testing.assert_allclose(np.sort(np.diag(factor @ factor.T)), [1e-6, (0.001 / RIDGE) ** 2], rtol=1e-4)


def test_an_empty_metric_is_finite() -> None:
    factor = np.asarray(Metric.start(D, P).factor(jnp.array(0.2), jnp.array(0.5)))
    assert np.all(np.isfinite(factor))
    assert np.all(np.diag(factor @ factor.T) <= 0.5**2 + 1e-12)


def test_masked_pairs_have_no_influence() -> None:
    du, plus, minus = pairs(7, 8, np.array([0.2, 0.5, -0.3]))
    ok = jnp.asarray([True, False, True, True, False, True, True, True])
    other = jnp.where(ok[:, None], plus, 77.0), jnp.where(ok[:, None], minus, -5.0)
    a, b = fed((du, plus, minus, ok)), fed((du, *other, ok))
    for left, right in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True):
        np.testing.assert_array_equal(left, right)
    # Only the size of the weight, common to both moments, knows of them: M is that of the other pairs
    keep = np.flatnonzero(ok)
    np.testing.assert_allclose(a.matrix(), fed((du[keep], plus[keep], minus[keep])).matrix(), rtol=1e-5)


def test_fading() -> None:
    first, second = pairs(8, 16, np.zeros(P)), pairs(9, 16, np.zeros(P), matrix=-2.0 * A)
    one, both = fed(first), fed(first, second)
    alone = fed(second)
    for a, b, c in zip(one, both, alone, strict=True):
        np.testing.assert_allclose(b, MEMORY * a + c, rtol=1e-12, atol=1e-14)
    long = fed(first, *[second] * 500)  # MEMORY^500 = 4e-5 is left of the first
    np.testing.assert_allclose(long.matrix(), 4 * A.T @ A, rtol=1e-4)


def test_wide_and_narrow_pairs_weigh_the_same() -> None:
    wide, narrow = pairs(10, 16, np.zeros(P), sd=3.0), pairs(10, 16, np.zeros(P), sd=0.003)
    for a, b in zip(fed(wide), fed(narrow), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-12)
