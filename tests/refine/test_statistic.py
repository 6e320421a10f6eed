"""avo.refine.statistic: the regression is ridge regression, and t is E[y | x] where that is known.

All fits have three values, conditions included, and four outputs, as those of the other tests of refining: they share
their compiled programs.
"""

import gc
import weakref
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jaxtyping import ArrayLike
from sklearn.linear_model import BayesianRidge

from avo.execution.programs import PROGRAMS
from avo.observations import Observed
from avo.refine import features, statistic
from avo.refine.features import CLIP, make_features
from avo.refine.statistic import LearnedStatistic, Pairs, apply, learn_statistic, ridge

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
    return learn_statistic(jax.random.key(0), Observed(x[:300]), Pairs(u, x, y))


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
    monkeypatch.setattr(statistic, "SWEEPS", 1000)
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
    t = learn_statistic(jax.random.key(1), Observed(x[:300]), Pairs(u, x, y))
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
    t = learn_statistic(
        jax.random.key(5), Observed(x[:300]), Pairs(u, x, np.tile(y, 2), None, part, np.tile(weight, 2))
    )
    fresh = RNG(7).normal(size=(N, 3)) * SD * 4 + B
    exact = (fresh - B) @ (H / (4 * SD[:, None]) ** 2)  # the score at u = 0, but for its constant
    found = apply(t, fresh)
    for k in range(2):
        assert np.corrcoef(found[:, k], exact[:, k])[0, 1] > 0.99
    pooled = learn_statistic(jax.random.key(5), Observed(x[:300]), Pairs(u, x, np.tile(u, 2)))
    # the narrow one is known by its place, which bends the other regression
    assert np.corrcoef(apply(pooled, fresh)[:, 0], exact[:, 0])[0, 1] < 0.97


def test_conditions_are_used() -> None:
    """x = c u1 + e: E[u1 | x, c] = c x / (c^2 + 1), of whose variance x alone explains next to nothing."""
    rng = RNG(4)
    u, c = rng.normal(size=(2 * N, 2)), rng.normal(size=(2 * N, 1)) * 3 + 0.5
    x = np.concatenate([c * u[:, :1] + rng.normal(size=(2 * N, 1)), u[:, 1:] + rng.normal(size=(2 * N, 1))], 1)
    y = np.concatenate([u, u**2], 1)
    t = learn_statistic(jax.random.key(2), Observed(x[:300], c[:300]), Pairs(u[:N], x[:N], y[:N], c[:N]))
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
    t = learn_statistic(jax.random.key(3), Observed(x[:300]), Pairs(u, x, y))
    expected = y[:eighth].mean(0) / 8 + exact * 7 / 8
    assert np.all(np.mean((apply(t, x) - expected) ** 2, 0) / y.var(0) < 0.02)


def test_image_shows_how_its_parts_go_together() -> None:
    rng, n = RNG(3), 4000
    u, bright = rng.normal(size=(n, 1)), rng.choice([-1.0, 1.0], size=(n, 1, 1))
    x = rng.normal(size=(n, 24, 25))
    x[:, :4, :4] += bright
    x[:, 20:, 21:] += bright * u[:, :, None]  # no pixel alone tells of u, nor all of them by a sum
    t = learn_statistic(jax.random.key(0), Observed(x[:500]), Pairs(u[:3000], x[:3000], u[:3000]), steps=50)
    # The sign is plain from the first part; given it the 16 pixels of the other leave the variance 1/17 of u: R^2 = .94
    assert 1 - np.mean((apply(t, x[3000:]) - u[3000:]) ** 2) / np.mean(u[3000:] ** 2) > 0.7


def test_constant_columns_are_learned_from() -> None:
    u, x, y, exact = linear(N, 12)
    x[:, 1] = -3.0
    t = learn_statistic(jax.random.key(4), Observed(x[:300]), Pairs(u, x, y))
    two = [0, 2]
    left = np.linalg.inv(H[two] @ H[two].T + np.diag(SD[two] ** 2))
    mean = (x[:, two] - B[two]) @ (H[two].T @ left).T
    assert np.all(np.mean((apply(t, x)[:, :2] - mean) ** 2, 0) < 0.01)
    still = np.full_like(x, 2.0)
    nothing = learn_statistic(jax.random.key(4), Observed(still), Pairs(u, still, y))
    # Nothing is seen: E[y | x] is the mean of y, here of the 3500 pairs not held out
    np.testing.assert_allclose(apply(nothing, still[:3]), np.tile(y.mean(0), (3, 1)), atol=4 * y.std() / np.sqrt(N))


def test_large_x_is_learned(monkeypatch: pytest.MonkeyPatch) -> None:
    """x = u f + e: E[u | x] = f . x / (1 + |f|^2)."""
    monkeypatch.setattr(statistic, "STEPS", 50)
    rng = RNG(1)
    pattern = rng.normal(size=600)
    pattern *= 2 / np.linalg.norm(pattern)
    u = rng.normal(size=(1500, 1))
    x = u * pattern + rng.normal(size=(1500, 600))
    train, test = slice(0, 1000), slice(1000, None)
    t = learn_statistic(jax.random.key(4), Observed(x[:100]), Pairs(u[train], x[train], u[train]))
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
    np.testing.assert_allclose(seen[3:9], CLIP**2)  # products, of values that are cut
    np.testing.assert_allclose(seen[9:], 0.0, atol=1e-12)  # above all observed quantiles
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
    net = statistic._network(jax.random.key(1), k - features.indicators, 3)
    t = LearnedStatistic(features, middle, size, weights, bias, net, net_size)
    back = LearnedStatistic.from_arrays("t", {name: np.asarray(a) for name, a in t.to_arrays("t").items()})
    assert jax.tree.structure(back) == jax.tree.structure(t)
    for a, b in zip(jax.tree.leaves(back), jax.tree.leaves(t), strict=True):
        np.testing.assert_array_equal(a, b) if eqx.is_array(a) else None
    assert back.features.c_shift is not None and back.features.moved is not None and back.features.basis is None


def test_apply_is_the_same_whatever_the_number(learned: LearnedStatistic) -> None:
    _, x, _, _ = linear(statistic.CHUNK + 3, 9)
    whole = apply(learned, x)
    np.testing.assert_array_equal(whole[-3:], apply(learned, x[-3:]))
    np.testing.assert_allclose(whole[5], learned(jnp.asarray(x[5])), rtol=1e-9, atol=1e-12)
    assert whole.dtype == np.float64 and whole.shape == (statistic.CHUNK + 3, 4)


def padded(a: np.ndarray, value: ArrayLike) -> Any:
    return jnp.asarray(np.concatenate([a, np.full((512 - len(a), a.shape[1]), value)]))


def test_programs_of_a_users_functions_go_with_them() -> None:
    def user() -> Any:
        return lambda x: 2.5 * x

    fn, x = user(), np.arange(6.0).reshape(3, 2)
    np.testing.assert_allclose(apply(fn, x), 2.5 * x, rtol=1e-12)
    gone = weakref.ref(fn)
    del fn
    for _ in range(PROGRAMS):
        apply(user(), x)
    gc.collect()
    assert gone() is None


def test_padding_never_enters() -> None:
    rng = RNG(10)
    f = rng.normal(size=(300, 9))
    y = np.sin(f[:, :4])
    key_net, key = jax.random.split(jax.random.key(2))
    net = statistic._network(key_net, 9, 4)
    count, looks = (jnp.asarray(37), jnp.asarray(300)), jnp.asarray(30)
    trained = []
    for v, w in ((0.0, 0.0), (100.0, -5.0), (np.nan, np.nan)):
        rows = statistic.Rows(padded(f, v), padded(y, w), padded(np.ones_like(y), w), *count)
        trained.append(statistic._train(key, net, rows, looks))
    first, *others = [jax.tree.leaves(eqx.filter(t, eqx.is_array)) for t in trained]
    for other in others:
        for a, b in zip(first, other, strict=True):
            np.testing.assert_array_equal(a, b)
    assert np.abs(trained[0](jnp.asarray(f[0]))).max() > 0  # and something was learned


def test_the_network_is_that_of_the_least_held_out_error() -> None:
    """Where there is nothing to learn it stays zero, or does hardly worse than zero on new pairs."""
    rng = RNG(11)
    f, y = rng.normal(size=(300, 9)), rng.normal(size=(300, 4))
    key_net, key = jax.random.split(jax.random.key(2))
    net, looks = statistic._network(key_net, 9, 4), jnp.asarray(30)
    rows = padded(f, 0), padded(y, 0), padded(np.ones_like(y), 0)
    t = statistic._train(key, net, statistic.Rows(*rows, jnp.asarray(37), jnp.asarray(300)), looks)
    held = np.mean((jax.vmap(t)(jnp.asarray(f[:37])) - y[:37]) ** 2)
    assert held <= np.mean(y[:37] ** 2) + 1e-12
    assert np.mean(np.asarray(jax.vmap(t)(jnp.asarray(rng.normal(size=(2000, 9))))) ** 2) < 0.1


def test_one_program_for_all_usual_numbers_of_pairs(monkeypatch: pytest.MonkeyPatch) -> None:
    traces = 0

    def counted(x: Any) -> Any:
        nonlocal traces
        traces += 1
        return jax.nn.silu(x)

    def network(key: Any, k: int, out: int) -> Any:
        return eqx.nn.MLP(k, out, statistic.WIDTH, statistic.DEPTH, activation=counted, key=key)

    monkeypatch.setattr(statistic, "_network", network)
    monkeypatch.setattr(statistic, "STEPS", 50)
    found = []
    for n in (300, 16_385, statistic.MOST_PADDED, statistic.MOST_PADDED + 1):
        u, x, y, _ = linear(n, n)
        learn_statistic(jax.random.key(0), Observed(x), Pairs(u, x, y))
        found.append(traces)
    assert 0 < found[0] == found[1] == found[2] < found[3]
