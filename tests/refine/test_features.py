"""avo.refine.features: what the regression sees holds the sufficient statistics that are known."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import special

from avo.refine.features import LEVELS, POINTS, Features, make_features, quadratic, quantiles
from avo.refine.statistic import apply

RNG = np.random.default_rng


def knots_of(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    found = quantiles(x)
    assert found is not None
    return found


def test_kinds_of_features_count_values_products_and_moments() -> None:
    rng = RNG(3)
    u, x = rng.normal(size=(200, 2)), rng.normal(size=(200, 3))
    k = x.shape[1]
    vector = make_features(x, None, u, x)
    some = k * LEVELS
    assert vector.kinds(k + k * (k + 1) // 2 + some).tolist() == [0] * k + [1] * (k * (k + 1) // 2) + [5] * some
    series = RNG(0).normal(size=(200, 40))
    features = make_features(series, u[:200, :1], u[:200], series)
    count = features(jnp.asarray(series[0]), jnp.asarray(u[0, :1])).size
    some = 2 * LEVELS
    assert features.kinds(count).tolist() == [0] * 41 + [2] * (count - 41 - some) + [5] * some


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


def test_features_of_short_vectors_are_values_and_all_products_then_indicators() -> None:
    x = RNG(0).normal([100.0, -2.0, 0.0], [10.0, 0.1, 1.0], (60, 3))
    features = make_features(x, None, x[:, :2], x)
    z = (x - x.mean(0)) / x.std(0)
    f = np.asarray(jax.vmap(features)(jnp.asarray(x)))
    np.testing.assert_allclose(f[:, :9], np.concatenate([z, quadratic(z)], 1), rtol=1e-9, atol=1e-12)
    knots, widths = knots_of(x)
    far = 2 * (knots - x[:, :, None]) / widths
    np.testing.assert_allclose(f[:, 9:], special.expit(far).reshape(60, -1), rtol=1e-6, atol=1e-9)


def test_indicators_of_a_series_average_values_and_increments_over_time() -> None:
    """Against NumPy, channel by channel; a long series shows points that are evenly spread."""
    for T in (40, 2 * POINTS):
        x = RNG(1).gamma(2.0, size=(50, T, 2)) * [1.0, 30.0]
        features, step = make_features(x, None, RNG(2).normal(size=(50, 1)), x), 1 if T < POINTS else 2
        knots, widths = knots_of(x)
        columns = [x[:, ::step, 0], x[:, ::step, 1], np.diff(x, axis=1)[:, ::step, 0], np.diff(x, axis=1)[:, ::step, 1]]
        wanted = [
            special.expit(2 * (q[:, None] - column[:, None]) / w[:, None]).mean(2)
            for column, q, w in zip(columns, knots, widths, strict=True)
        ]
        f = np.asarray(jax.vmap(features)(jnp.asarray(x)))
        found = f[:, features.kinds(f.shape[1]) == 5]
        np.testing.assert_allclose(found, np.concatenate(wanted, 1), rtol=1e-6, atol=1e-9)


def test_indicators_stand_at_quantiles() -> None:
    """Of 300 values from 1/100 to 99/100, evenly in logit; their means are the distribution function there."""
    x = RNG(3).standard_cauchy((300, 2)) * [1.0, 1e3] + [5.0, 0.0]
    knots, widths = knots_of(x)
    levels = special.expit(np.linspace(-np.log(100), np.log(100), 25))
    np.testing.assert_allclose(knots, np.quantile(x, levels, axis=0).T, rtol=1e-12)
    assert np.all(widths > 0) and np.all(np.diff(knots, axis=1) > 0)
    features = make_features(x, None, x[:, :1], x)
    f = np.asarray(jax.vmap(features)(jnp.asarray(x)))[:, 5:].mean(0).reshape(2, 25)
    assert np.abs(f - levels).max() < 0.05  # where the quantiles lie far apart, the indicators are wide


@pytest.mark.parametrize(
    ("shape", "count"), [((1,), 25), ((4,), 25), ((15,), 6), ((40, 16), 3), ((5, 5, 33), 3), ((5, 5, 34), None)]
)
def test_indicators_are_at_most_a_hundred(shape: tuple[int, ...], count: int | None) -> None:
    """Of a series with 16 channels and their increments 32 columns have three each; 34 would have fewer, and none."""
    found = quantiles(RNG(0).poisson(3.0, size=(80, *shape)).astype(float))  # with ties
    if count is None:
        assert found is None
        return
    columns = {(40, 16): 32}.get(shape, shape[-1])
    assert found is not None
    assert found[0].shape == found[1].shape == (columns, count) and np.all(found[1] > 0)


def test_a_value_far_from_all_observations_rules_no_feature() -> None:
    x = RNG(0).normal(size=(200, 2))
    features = make_features(x, None, x[:, :1], x)
    f = apply(features, np.array([[1e30, -1e30], [1e3, -1e3]]))
    assert np.isfinite(f).all() and np.abs(f).max() < 2100  # 30 (1 + log(1e30 / 30)) = 2000, its products cut at 8


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
    f = apply(features, x)
    r2 = f[:, features.kinds(f.shape[1]) == 2][:, -5] * x.std() ** 2 * 41 / s**2
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
        assert (features.channel_shift is not None) == series
        assert np.isfinite(f).all() and f.ndim == 2
        assert f.shape[1] < 300 + (0 if series else 36 * 37 // 2)
