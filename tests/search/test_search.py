"""avo.search: misfits and regressions that are known in closed form, and a search that finds its way."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import avo
from avo.budget import SearchRows
from avo.execution.blocks import Drawn, Draws
from avo.observations import Observed
from avo.refine.custom import custom_statistic
from avo.search.misfit import LEAST_VARIANCE, Misfit
from avo.search.region import search
from avo.search.regression import adjusted, estimate

RNG = np.random.default_rng


def test_residuals_are_whitened_by_the_observations() -> None:
    """Of a number and its square, shown by a user's statistic: their covariance, and the misfit, by hand."""
    x, u = RNG(1).normal(3.0, 2.0, size=(500, 1)), RNG(2).normal(size=(320, 1))
    custom = custom_statistic(avo.Only(jnp.tanh), x)  # bounded, so that nothing is cut
    misfit = Misfit(Observed(x), Drawn.of(u, 3.0 + 2.0 * u), 1.5, custom)

    def shown(values: np.ndarray) -> np.ndarray:
        z = (np.tanh(values) - np.tanh(x).mean()) / np.tanh(x).std()
        return np.concatenate([z, z**2], 1)

    f, places = shown(x), RNG(3).normal(2.5, 2.0, size=(4, 80, 1))
    r = np.stack([(shown(rows).mean(0) - f.mean(0)) / f.std(0) for rows in places])
    W = np.linalg.inv(np.cov((f / f.std(0)).T) + LEAST_VARIANCE * np.eye(2))
    z = misfit.residuals(Drawn.of(np.zeros((320, 1)), places.reshape(320, 1)), 80)
    np.testing.assert_allclose(np.sum(z**2, 1), np.einsum("nk,kl,nl->n", r, W, r), rtol=1e-6)
    np.testing.assert_allclose(misfit.of(z, 80), np.log1p(z**2 / (1 / 80 + 1 / 500)).mean(1), rtol=1e-12)


def test_failed_simulations_count_as_far() -> None:
    x = RNG(1).normal(size=(200, 1))
    u = RNG(2).normal(size=(320, 1))
    misfit = Misfit(Observed(x), Drawn.of(u, u), 1.5)
    rows = RNG(3).normal(size=(64, 1))
    some = np.where(np.arange(64)[:, None] % 8 == 0, np.nan, rows)
    all_of_them = np.full((64, 1), np.nan)
    values = [misfit.of(misfit.residuals(Drawn.of(rows, a), 64), 64)[0] for a in (rows, some, all_of_them)]
    assert values[0] < values[1] < values[2] and np.isfinite(values).all()


def test_adjusted_places_follow_the_best_ridge() -> None:
    """Against the normal equations, at a penalty that a direct search of the evidence finds."""
    rng = RNG(4)
    z, B = rng.normal(size=(30, 50)) * np.linspace(0.1, 3.0, 50), rng.normal(size=(50, 2)) * [0.3, 2.0]
    u = np.array([0.4, -7.0]) + z @ B + 0.5 * rng.normal(size=(30, 2))
    z_new, u_new = rng.normal(size=(3, 50)), rng.normal(size=(3, 2))
    found, zc = adjusted(z, u, z_new, u_new), z - z.mean(0)

    def log_evidence(p: float, y: np.ndarray) -> float:
        # y ~ N(0, s (I + zc zc^T / p)) over the n - 1 directions that the mean leaves
        basis = np.linalg.svd(np.eye(30) - 1 / 30)[0][:, :29]
        K = basis.T @ (np.eye(30) + zc @ zc.T / p) @ basis
        y = basis.T @ y
        return -0.5 * np.linalg.slogdet(K)[1] - 29 / 2 * np.log(y @ np.linalg.solve(K, y) / 29)

    for k in range(2):
        y = u[:, k] - u[:, k].mean()
        penalties = np.linalg.norm(zc, 2) ** 2 * np.logspace(-7, 2, 37)
        p = max(penalties, key=lambda p: log_evidence(p, y))
        slope = np.linalg.solve(zc.T @ zc + p * np.eye(50), zc.T @ y)
        np.testing.assert_allclose(found[:, k], u_new[:, k] - z_new @ slope, rtol=1e-6)


def test_the_spread_of_an_estimate_is_that_of_places_held_out() -> None:
    """With ten times as many z as places, a slope's own places would say that nothing is left open."""
    rng, wide = RNG(5), 400
    z = 0.05 * rng.normal(size=(40, wide))  # where asinh is straight
    u = 1.5 + z[:, :1] * 4.0 + 0.3 * rng.normal(size=(40, 1))
    loc, covariance = estimate(z, u)
    assert abs(loc[0] - 1.5) < 4 * 0.36 / np.sqrt(40)
    assert 0.2**2 < covariance[0, 0] < 0.6**2


LINE = avo.Space(a=avo.Interval(-3, 5), b=avo.LogInterval(0.1, 10), c=avo.Real(2.0, 3.0))
TRUTH = np.array([1.7, 0.6, -1.0])


def line(key: jax.Array, theta: jax.Array) -> jax.Array:
    """Five points on a line of slope a from c, with errors of standard deviation b."""
    t = jnp.array([0.0, 0.4, 1.0, 1.7, 2.0])[None]
    return theta[:, 2:] + theta[:, :1] * t + theta[:, 1:2] * jax.random.normal(key, (len(theta), 5))


@pytest.mark.parametrize("seed", range(3))
def test_a_search_ends_near_the_truth(seed: int) -> None:
    x = np.asarray(line(jax.random.key(40 + seed), jnp.tile(jnp.asarray(TRUTH), (400, 1))))
    draws = Draws(jax.jit(line), LINE, jax.random.key(seed), 16, (5,))
    found = search(draws, Observed(x), budget=6000, seed=seed)
    assert draws.calls <= 6000 and draws.calls == sum(len(part.u) for part in found.drawn)
    # One observation leaves .5, 1.1 and .4 in u at least; sixteen a place, and some 40 places, a tenth of that
    off = found.q.loc - np.asarray(LINE.unconstrain(TRUTH))
    assert np.all(np.abs(off) < 0.25)
    again = search(Draws(jax.jit(line), LINE, jax.random.key(seed), 16, (5,)), Observed(x), budget=6000, seed=seed)
    np.testing.assert_array_equal(again.q.loc, found.q.loc)


@pytest.mark.parametrize(("calls", "size"), [(15_000, 16), (4_000, 8), (2_222, 5), (40_000, 64)])
def test_a_search_never_exceeds_its_calls(calls: int, size: int) -> None:
    rows = SearchRows.of(calls, size)
    assert rows.each % size == 0 and rows.choice % size == 0 and rows.each >= 16
    used = rows.each * (rows.first + rows.stages * rows.stage) + (rows.stages + 1) * 4 * rows.choice
    assert 0.8 * calls < used <= calls


def test_too_few_calls_are_refused() -> None:
    with pytest.raises(ValueError, match="a search in blocks of 16 rows takes at least 1600 calls; got 1000."):
        SearchRows.of(1000, 16)
