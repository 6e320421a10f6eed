"""The statistic: the regression is ridge regression, t is E[u | x] where that is known, features hold what matters.

All fits have three values, conditions included, and four outputs, as those of the other tests of refining: they share
their compiled programs.
"""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jaxtyping import ArrayLike
from sklearn.linear_model import BayesianRidge

from avo.refine import features
from avo.refine import statistic as scores
from avo.refine.features import CLIP, Features, make_features, quadratic
from avo.refine.statistic import LearnedStatistic, apply, learn_statistic, ridge

RNG = np.random.default_rng
N = 4000

# A linear-Gaussian model: x = H u + b + e, u ~ N(0, I) in two dimensions, e ~ N(0, S) in three
H = np.array([[30.0, 0.0], [-0.2, 0.5], [1.0, 4.0]])
B = np.array([170.0, -3.0, 0.4])
SD = np.array([20.0, 0.3, 6.0])
K = H.T @ np.linalg.inv(H @ H.T + np.diag(SD**2))  # E[u | x] = K (x - b)
V = np.eye(2) - K @ H  # Cov[u | x]


def linear(n: int, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Pairs u, x with outputs (u, exp(u / 2)) and their expectations given x."""
    rng = RNG(seed)
    u = rng.normal(size=(n, 2))
    x = u @ H.T + B + rng.normal(size=(n, 3)) * SD
    mean = (x - B) @ K.T
    return (
        u,
        x,
        np.concatenate([u, np.exp(u / 2)], 1),
        np.concatenate([mean, np.exp(mean / 2 + np.diagonal(V) / 8)], 1),
    )


def counts(n: int, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Counts with log rates 0.4 + u1, 1 + u2, 0.2 + u2, u ~ N(0, I), and E[(u, exp(u / 2)) | x] by quadrature."""
    rng = RNG(seed)
    u = rng.normal(size=(n, 2))
    x = rng.poisson(np.exp([0.4, 1.0, 0.2] + u[:, [0, 1, 1]])).astype(float)
    grid = np.linspace(-6, 6, 601)
    second = (x[:, [1]] + x[:, [2]]) * grid - np.exp(1.0 + grid) - np.exp(0.2 + grid)
    log = [x[:, [0]] * grid - np.exp(0.4 + grid), second]
    weight = [np.exp(a - grid**2 / 2 - (a - grid**2 / 2).max(1, keepdims=True)) for a in log]
    means = [[(w @ g) / w.sum(1) for w in weight] for g in (grid, np.exp(grid / 2))]
    return u, x, np.concatenate([u, np.exp(u / 2)], 1), np.concatenate(means, 0).T


@pytest.fixture(scope="module")
def learned() -> LearnedStatistic:
    u, x, y, _ = linear(N, 0)
    return learn_statistic(jax.random.key(0), x[:300], None, u, x, None, y)


# --- regression ------------------------------------------------------------------------------------------------------


def pairs(n: int, seed: int, noise: float) -> tuple[np.ndarray, np.ndarray]:
    rng = RNG(seed)
    f = rng.normal(size=(n, 5)) @ np.diag([1.0, 3.0, 0.2, 1.0, 1.0]) + [0.0, 7.0, 1.0, 0.0, -2.0]
    f[:, 4] += f[:, 3]
    y = f @ rng.normal(size=(5, 3)) + [1.0, -20.0, 0.3] + noise * rng.normal(size=(n, 3)) * [1.0, 10.0, 0.1]
    return f, y


def centred(n: int, seed: int, noise: float) -> tuple[np.ndarray, np.ndarray]:
    f, y = pairs(n, seed, noise)
    return f - f.mean(0), y - y.mean(0)


def test_ridge_without_noise_is_least_squares() -> None:
    f, y = centred(300, 0, noise=0.0)
    W = ridge(f, y, np.array([0, 0, 1, 1, 1]))
    # the least penalty is 1e-8 n, beside eigenvalues above 0.03 n
    np.testing.assert_allclose(W, np.linalg.lstsq(f, y, rcond=None)[0], atol=3e-6)


def test_ridge_of_one_kind_is_the_bayesian_ridge_of_scikit_learn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scores, "SWEEPS", 1000)
    f, y = centred(60, 1, noise=6.0)
    flat = {f"{name}_{i}": 1e-300 for name in ("alpha", "lambda") for i in (1, 2)}
    W = ridge(f, y, np.zeros(5, int))
    least = np.linalg.lstsq(f, y, rcond=None)[0]
    for k in range(3):
        fit = BayesianRidge(fit_intercept=False, tol=1e-9, max_iter=10000, **flat).fit(f, y[:, k])
        # the last change of the penalty is below 1 %, and so, by its order, is that of what it takes away
        assert np.abs(W[:, k] - fit.coef_).max() < 0.03 * np.abs(least[:, k] - fit.coef_).max()


def test_ridge_weighs_squares_of_errors() -> None:
    f, y = centred(60, 1, noise=6.0)
    part, weight, kinds = (
        RNG(4).integers(0, 9, size=60),
        RNG(4).uniform(0.2, 3.0, size=(9, 3)),
        np.array([0, 0, 1, 1, 1]),
    )
    W = ridge(f, y, kinds, part, weight)
    for k in range(3):
        rows = np.sqrt(weight[part, k : k + 1])
        np.testing.assert_allclose(W[:, k : k + 1], ridge(f * rows, y[:, k : k + 1] * rows, kinds))
    assert np.abs(W - ridge(f, y, kinds)).max() > 0.01


def test_ridge_of_two_kinds_forgets_the_one_that_says_nothing() -> None:
    rng = RNG(5)
    f = rng.normal(size=(400, 25))
    y = f[:, :5] @ np.array([[1.0], [-2.0], [0.5], [0.0], [3.0]]) + 8.0 * rng.normal(size=(400, 1))
    kinds = np.repeat([0, 1], [5, 20])
    W = ridge(f, y, kinds)[:, 0]
    least = np.linalg.lstsq(f, y, rcond=None)[0][:, 0]
    assert np.linalg.norm(W[5:]) < 0.3 * np.linalg.norm(least[5:])
    # a kind with large coefficients is hardly shrunk: noise 8 / sqrt(400) = 0.4 each, signal 3.8 in all
    assert np.linalg.norm(W[:5] - least[:5]) < 0.1 * np.linalg.norm(least[:5])


def test_ridge_of_equal_columns_is_finite_and_shares_the_weight() -> None:
    f = RNG(2).normal(size=(200, 1)) @ np.ones((1, 2))
    W = ridge(f, 4.0 * f[:, :1], np.zeros(2, int))
    np.testing.assert_allclose(W, 2.0, rtol=1e-6)


def test_kinds_of_features_count_values_products_and_moments() -> None:
    u, x, _, _ = linear(200, 3)
    k = x.shape[1]
    vector = make_features(x, None, u, x)
    assert vector.kinds(k + k * (k + 1) // 2).tolist() == [0] * k + [1] * (k * (k + 1) // 2)
    series = RNG(0).normal(size=(200, 40))
    features = make_features(series, u[:200, :1], u[:200], series)
    count = features(jnp.asarray(series[0]), jnp.asarray(u[0, :1])).size
    assert features.kinds(count).tolist() == [0] * 41 + [2] * (count - 41)


# --- E[y | x] --------------------------------------------------------------------------------------------------------


def excess(t: LearnedStatistic, x: np.ndarray, exact: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Mean square distance from E[y | x], as a fraction of the variance of y."""
    return np.mean((apply(t, x) - exact) ** 2, axis=0) / y.var(0)


def test_learned_in_a_linear_gaussian_model(learned: LearnedStatistic) -> None:
    _, x, y, exact = linear(4000, 1)
    # 3500 pairs, ten coefficients: 10 / 3500 = 0.3 % of the residual variance; the network may add as much again
    assert np.all(excess(learned, x, exact, y) < 0.01)


def test_learned_from_counts() -> None:
    u, x, y, _ = counts(N, 2)
    t = learn_statistic(jax.random.key(1), x[:300], None, u, x, None, y)
    _, x, y, exact = counts(4000, 3)
    found = excess(t, x, exact, y)
    assert np.all(found < 0.015)
    # what a straight line in x misses is several times as much
    line = np.column_stack([x, np.ones(len(x))])
    straight = np.mean((line @ np.linalg.lstsq(line, exact, rcond=None)[0] - exact) ** 2, axis=0) / y.var(0)
    assert np.all(found[:2] < 0.3 * straight[:2])


def test_parts_each_have_their_own_constant() -> None:
    """Two proposals, one far to the side and wide, one narrow: one score, t = K' (x - b), up to a constant."""
    rng = RNG(6)
    spread, mean = np.repeat([[1.0, 0.5], [0.2, 0.4]], N, 0), np.repeat([[0.0, 0.0], [2.0, -1.5]], N, 0)
    zeta = rng.normal(size=(2 * N, 2))
    u = mean + spread * zeta
    x = u @ H.T + B + rng.normal(size=(2 * N, 3)) * SD * 4
    y, weight = zeta / spread, np.minimum(spread[[0, N]] ** 2, 1.0)
    part = np.repeat([0, 1], N)
    t = learn_statistic(jax.random.key(5), x[:300], None, u, x, None, np.tile(y, 2), part, np.tile(weight, 2))
    fresh = RNG(7).normal(size=(N, 3)) * SD * 4 + B
    exact = (fresh - B) @ (H / (4 * SD[:, None]) ** 2)  # the score at u = 0, but for its constant
    found = apply(t, fresh)
    for k in range(2):
        assert np.corrcoef(found[:, k], exact[:, k])[0, 1] > 0.99
    pooled = learn_statistic(jax.random.key(5), x[:300], None, u, x, None, np.tile(u, 2))
    # the narrow one is known by its place, which bends the other regression
    assert np.corrcoef(apply(pooled, fresh)[:, 0], exact[:, 0])[0, 1] < 0.97


def test_conditions_are_used() -> None:
    """x = c u1 + e: E[u1 | x, c] = c x / (c^2 + 1), of whose variance x alone explains next to nothing."""
    rng = RNG(4)
    u, c = rng.normal(size=(2 * N, 2)), rng.normal(size=(2 * N, 1)) * 3 + 0.5
    x = np.concatenate([c * u[:, :1] + rng.normal(size=(2 * N, 1)), u[:, 1:] + rng.normal(size=(2 * N, 1))], 1)
    y = np.concatenate([u, u**2], 1)
    t = learn_statistic(jax.random.key(2), x[:300], c[:300], u[:N], x[:N], c[:N], y[:N])
    exact = np.stack([c[:, 0] * x[:, 0] / (c[:, 0] ** 2 + 1), x[:, 1] / 2], 1)
    error = np.mean((apply(t, x[N:], c[N:])[:, :2] - exact[N:]) ** 2, 0)
    assert error[0] < 0.05 and error[1] < 0.01  # the first is far from linear in what the regression sees
    swapped = apply(t, x[N:], c[N:][::-1])[:, 0]
    assert np.mean((swapped - exact[N:, 0]) ** 2) > 10 * error[0]


def test_held_out_pairs_are_shuffled() -> None:
    """The first eighth teaches nothing: were the pairs held out the first ones, no regression would help them."""
    u, x, y, exact = linear(N, 5)
    eighth = N // 8
    y[:eighth] = y[RNG(6).permutation(eighth)]
    t = learn_statistic(jax.random.key(3), x[:300], None, u, x, None, y)
    expected = y[:eighth].mean(0) / 8 + exact * 7 / 8
    assert np.all(np.mean((apply(t, x) - expected) ** 2, 0) / y.var(0) < 0.02)


# --- features --------------------------------------------------------------------------------------------------------


def reproduces(features: Features, x: np.ndarray, wanted: np.ndarray) -> None:
    """Find each wanted statistic in the span of the features and 1, to rounding."""
    f = np.column_stack([np.asarray(jax.vmap(features)(jnp.asarray(x))), np.ones(len(x))])
    scale = np.maximum(np.abs(f).max(0), 1e-300)
    W = np.linalg.lstsq(f / scale, wanted, rcond=1e-12)[0]
    assert len(f) > f.shape[1] + 20  # else anything is found
    np.testing.assert_allclose(f / scale @ W, wanted, atol=1e-8 * np.abs(wanted).max())


def brownian(n: int, seed: int, T: int = 41) -> np.ndarray:
    rng = RNG(seed)
    drift, sd = rng.normal(size=(n, 1)), rng.uniform(0.5, 2, (n, 1))
    return 30 + np.cumsum(drift / T + sd * rng.normal(size=(n, T)) / np.sqrt(T), axis=1)


def ar(n: int, seed: int, T: int = 41) -> np.ndarray:
    rng, x = RNG(seed), np.zeros((n, T))
    phi = rng.uniform(-0.9, 0.9, n)
    x[:, 0] = rng.normal(size=n)
    for t in range(1, T):
        x[:, t] = phi * x[:, t - 1] + rng.normal(size=n)
    return 5.0 * x - 2.0


@pytest.mark.parametrize("make", [brownian, ar])
@pytest.mark.parametrize("channels", [False, True])
def test_features_of_a_series_hold_its_sufficient_statistics(make: Any, channels: bool) -> None:
    if channels:
        x = np.stack([make(400, 0), 3 * make(400, 1) + make(400, 0)], axis=2)
        zeta = RNG(2).normal(size=(400, 2))
        wanted = [
            *(np.diff(x, axis=1)[:, :, i] * np.diff(x, axis=1)[:, :, j] for i, j in ((0, 0), (0, 1), (1, 1))),
            *(x[:, 1:, i] * x[:, :-1, i] for i in (0, 1)),
        ]
        features = make_features(x[:50], None, zeta, x)
        return reproduces(features, x, np.stack([a.sum(1) for a in wanted], 1))
    x, zeta = make(400, 0), RNG(2).normal(size=(400, 2))
    features = make_features(x[:50] + 1.0, None, zeta, x)  # the observations' own units
    if make is brownian:  # net change and quadratic variation; for jumps, other powers of increments
        d = np.diff(x, axis=1)
        wanted = [x[:, -1] - x[:, 0], x[:, 0], (d**2).sum(1), *((np.abs(d) ** k).sum(1) for k in (0.5, 1, 3, 4))]
        wanted = np.stack([*wanted, (d[:, 4:] * d[:, :-4]).sum(1)], 1)
    else:  # x_0^2 and sums of (1, x_t, x_t-1)-products, of deviations from any level
        past, now = x[:, :-1] + 2.0, x[:, 1:] + 2.0
        wanted = np.stack([(x[:, 0] + 2) ** 2, (past**2).sum(1), (now * past).sum(1), (now**2).sum(1), now.sum(1)], 1)
    reproduces(features, x, wanted)


def test_features_of_short_vectors_are_values_and_all_products() -> None:
    x = RNG(0).normal([100.0, -2.0, 0.0], [10.0, 0.1, 1.0], (60, 3))
    features = make_features(x, None, x[:, :2], x)
    z = (x - x.mean(0)) / x.std(0)
    np.testing.assert_allclose(
        jax.vmap(features)(jnp.asarray(x)), np.concatenate([z, quadratic(z)], 1), rtol=1e-9, atol=1e-12
    )


def test_residual_of_a_series_leaves_out_what_u_moves() -> None:
    """x = u f + s e has s^2 |e|^2 in its residual, whatever u: the sum of squares over directions that do not move."""
    rng = RNG(0)
    shapes = np.stack([np.sin(np.arange(41.0)), np.linspace(-1, 1, 41)])
    zeta, s = rng.normal(size=(4000, 2)), 0.05
    x = (zeta @ (20 * shapes) + s * rng.normal(size=(4000, 41)))[:, :, None]
    features = make_features(x, None, zeta, x)
    moved = np.asarray(features.moved)
    np.testing.assert_allclose(moved.T @ moved, np.eye(moved.shape[1]), atol=1e-9)
    assert moved.shape[1] == 5  # two directions, and three products that are noise
    # The last two features are the squared ends, before them the residual's mean square and its products at two lags
    r2 = apply(features, x)[:, -5] * x.std() ** 2 * 41 / s**2
    # Four standard errors of 4000 chi-squares, less what five directions fitted to 4000 rows take
    assert abs(r2.mean() / 36 - 1) < 4 * np.sqrt(2 / 36 / 4000) + 2 * 5 / 4000
    assert np.all(np.abs(np.corrcoef(r2, np.concatenate([zeta, zeta**2], 1).T)[0, 1:]) < 4 / np.sqrt(4000))


@pytest.mark.parametrize(("shape", "series"), [((33, 2), True), ((24, 24), False), ((24, 24, 1), False)])
def test_features_of_all_shapes_are_finite_whatever_is_constant(shape: tuple[int, ...], series: bool) -> None:
    rng = RNG(1)
    zeta = rng.normal(size=(300, 2))
    x = 7.0 + zeta[:, 0].reshape(-1, *[1] * len(shape)) * rng.normal(size=shape) + 0.01 * rng.normal(size=(300, *shape))
    x[:, :3] = 2.0  # constant in data and simulations
    for x_obs, sims in ((x[:100], x), (np.full((20, *shape), 3.5), x), (x[:100], np.full_like(x, 3.5))):
        features = make_features(x_obs, None, zeta, sims)
        f = apply(features, sims)
        assert (features.level is not None) == series
        assert np.isfinite(f).all() and f.ndim == 2
        assert f.shape[1] < 300 + (0 if series else 36 * 37 // 2)


def test_image_shows_how_its_parts_go_together() -> None:
    rng, n = RNG(3), 4000
    u, bright = rng.normal(size=(n, 1)), rng.choice([-1.0, 1.0], size=(n, 1, 1))
    x = rng.normal(size=(n, 24, 25))
    x[:, :4, :4] += bright
    x[:, 20:, 21:] += bright * u[:, :, None]  # no pixel alone tells of u, nor all of them by a sum
    t = learn_statistic(jax.random.key(0), x[:500], None, u[:3000], x[:3000], None, u[:3000], steps=50)
    # The sign is plain from the first part; given it the 16 pixels of the other leave the variance 1/17 of u: R^2 = .94
    assert 1 - np.mean((apply(t, x[3000:]) - u[3000:]) ** 2) / np.mean(u[3000:] ** 2) > 0.7


def test_constant_columns_are_learned_from() -> None:
    u, x, y, exact = linear(N, 12)
    x[:, 1] = -3.0
    t = learn_statistic(jax.random.key(4), x[:300], None, u, x, None, y)
    two = [0, 2]
    left = np.linalg.inv(H[two] @ H[two].T + np.diag(SD[two] ** 2))
    mean = (x[:, two] - B[two]) @ (H[two].T @ left).T
    assert np.all(np.mean((apply(t, x)[:, :2] - mean) ** 2, 0) < 0.01)
    still = np.full_like(x, 2.0)
    nothing = learn_statistic(jax.random.key(4), still, None, u, still, None, y)
    # Nothing is seen: E[y | x] is the mean of y, here of the 3500 pairs not held out
    np.testing.assert_allclose(apply(nothing, still[:3]), np.tile(y.mean(0), (3, 1)), atol=4 * y.std() / np.sqrt(N))


def test_large_x_is_learned(monkeypatch: pytest.MonkeyPatch) -> None:
    """x = u f + e: E[u | x] = f . x / (1 + |f|^2)."""
    monkeypatch.setattr(scores, "STEPS", 50)
    rng = RNG(1)
    pattern = rng.normal(size=600)
    pattern *= 2 / np.linalg.norm(pattern)
    u = rng.normal(size=(1500, 1))
    x = u * pattern + rng.normal(size=(1500, 600))
    train, test = slice(0, 1000), slice(1000, None)
    t = learn_statistic(jax.random.key(4), x[:100], None, u[train], x[train], None, u[train])
    assert t.features.basis is not None and t.features.basis.shape == (600, features.COMPONENTS + 2)
    exact = x @ pattern / 5
    # |f|^2 / (1 + |f|^2) = .8 of the variance can be explained; some 300 numbers from 875 pairs take a part of that
    assert np.mean((apply(t, x[test])[:, 0] - exact[test]) ** 2) < 0.25


# --- safety ----------------------------------------------------------------------------------------------------------


def test_outliers_are_cut(learned: LearnedStatistic) -> None:
    """Beyond CLIP standard deviations of every feature nothing changes; t stays within what the clip allows."""
    for direction in np.eye(3):
        far = [learned(jnp.asarray(B + 10.0**k * SD * direction)) for k in (5, 9)]
        np.testing.assert_array_equal(*far)
    seen = np.asarray(learned.features(jnp.asarray(B + 1e12)))
    np.testing.assert_allclose(seen[3:], CLIP**2)  # products, of values that are cut
    size = np.abs(learned.weights).sum(0) * CLIP + np.abs(learned.bias) + 10 * np.abs(learned.net_size)
    assert np.all(np.abs(learned(jnp.asarray(B + 1e12))) < size)


def test_round_trip_is_exact(learned: LearnedStatistic) -> None:
    _, x, _, _ = linear(50, 7)
    arrays = {k: np.asarray(a) for k, a in learned.to_arrays("some.name").items()}
    assert all(k.startswith("some.name.") for k in arrays)
    assert all(a.dtype.kind == "f" for a in arrays.values())
    back = LearnedStatistic.from_arrays("some.name", arrays | {"other.weights": np.zeros((2, 2))})
    np.testing.assert_array_equal(apply(back, x), apply(learned, x))
    for a, b in zip(jax.tree.leaves(back), jax.tree.leaves(learned), strict=True):
        np.testing.assert_array_equal(a, b) if eqx.is_array(a) else None


def test_round_trip_of_a_series_with_conditions() -> None:
    rng = RNG(8)
    u, x, c = rng.normal(size=(300, 1)), rng.normal(size=(300, 36)), rng.normal(size=(300, 2))
    features = make_features(x, c, u, x)
    k = jax.eval_shape(features, jnp.asarray(x[0]), jnp.asarray(c[0])).shape[0]
    middle, size, weights, bias, net_size = (jnp.asarray(rng.normal(size=s)) for s in (k, k, (k, 3), 3, 3))
    t = LearnedStatistic(features, middle, size, weights, bias, scores._network(jax.random.key(1), k, 3), net_size)
    back = LearnedStatistic.from_arrays("t", {name: np.asarray(a) for name, a in t.to_arrays("t").items()})
    assert jax.tree.structure(back) == jax.tree.structure(t)
    for a, b in zip(jax.tree.leaves(back), jax.tree.leaves(t), strict=True):
        np.testing.assert_array_equal(a, b) if eqx.is_array(a) else None
    assert back.features.c_shift is not None and back.features.moved is not None and back.features.basis is None


def test_apply_is_the_same_whatever_the_number(learned: LearnedStatistic) -> None:
    _, x, _, _ = linear(scores.CHUNK + 3, 9)
    whole = apply(learned, x)
    np.testing.assert_array_equal(whole[-3:], apply(learned, x[-3:]))
    np.testing.assert_allclose(whole[5], learned(jnp.asarray(x[5])), rtol=1e-9, atol=1e-12)
    assert whole.dtype == np.float64 and whole.shape == (scores.CHUNK + 3, 4)


def padded(a: np.ndarray, value: ArrayLike) -> Any:
    return jnp.asarray(np.concatenate([a, np.full((512 - len(a), a.shape[1]), value)]))


def test_padding_never_enters() -> None:
    rng = RNG(10)
    f = rng.normal(size=(300, 9))
    y = np.sin(f[:, :4])
    keys = jax.random.split(jax.random.key(2))
    count = jnp.asarray(37), jnp.asarray(300), jnp.asarray(30)
    trained = [scores._train(keys, padded(f, v), padded(y, w), padded(np.ones_like(y), w), *count)
               for v, w in ((0.0, 0.0), (100.0, -5.0), (np.nan, np.nan))]  # fmt: skip
    first, *others = [jax.tree.leaves(eqx.filter(t, eqx.is_array)) for t in trained]
    for other in others:
        for a, b in zip(first, other, strict=True):
            np.testing.assert_array_equal(a, b)
    assert np.abs(trained[0](jnp.asarray(f[0]))).max() > 0  # and something was learned


def test_the_network_is_that_of_the_least_held_out_error() -> None:
    """Where there is nothing to learn it stays zero, or does hardly worse than zero on new pairs."""
    rng = RNG(11)
    f, y = rng.normal(size=(300, 9)), rng.normal(size=(300, 4))
    keys, count = jax.random.split(jax.random.key(2)), (jnp.asarray(37), jnp.asarray(300), jnp.asarray(30))
    t = scores._train(keys, padded(f, 0), padded(y, 0), padded(np.ones_like(y), 0), *count)
    held = np.mean((jax.vmap(t)(jnp.asarray(f[:37])) - y[:37]) ** 2)
    assert held <= np.mean(y[:37] ** 2) + 1e-12
    assert np.mean(np.asarray(jax.vmap(t)(jnp.asarray(rng.normal(size=(2000, 9))))) ** 2) < 0.1


def test_one_program_for_all_numbers_up_to_a_power_of_four(monkeypatch: pytest.MonkeyPatch) -> None:
    traces = 0

    def counted(x: Any) -> Any:
        nonlocal traces
        traces += 1
        return jax.nn.silu(x)

    def network(key: Any, k: int, out: int) -> Any:
        return eqx.nn.MLP(k, out, scores.WIDTH, scores.DEPTH, activation=counted, key=key)

    monkeypatch.setattr(scores, "_network", network)
    monkeypatch.setattr(scores, "STEPS", 50)
    jax.clear_caches()  # of programs with the network as it is
    found = []
    for n in (300, 5000, 16_384, 16_385):
        u, x, y, _ = linear(n, n)
        learn_statistic(jax.random.key(0), x, None, u, x, None, y)
        found.append(traces)
    assert 0 < found[0] == found[1] == found[2] < found[3]
