"""Diffusions against their exact laws and closed-form estimates; SDE solvers against exact orders and sdeint.

Statistical tolerances are 5 standard errors, derived from the sample size where they are used; Kolmogorov-Smirnov tests
ask for p > 1e-3. Seeds are fixed.
"""

import math
import sys
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from avo.simulators import brownian, cir, geometric_brownian, merton, ornstein_uhlenbeck, sde, sde_from_numpy
from avo.simulators.problem import Problem
from avo.simulators.sde import SDEINT, solve

KEY = jax.random.key(20)


def draw(problem: Problem, theta: list[float], n: int) -> np.ndarray:
    return np.asarray(jax.jit(problem.simulate)(KEY, jnp.tile(jnp.array(theta), (n, 1))))


def agrees(values: np.ndarray, cdf: Callable) -> bool:
    return stats.kstest(np.ravel(values), cdf).pvalue > 1e-3


def uncorrelated(a: np.ndarray, b: np.ndarray) -> bool:
    return abs(np.corrcoef(a.ravel(), b.ravel())[0, 1]) < 5 / math.sqrt(a.size)


# --- geometric Brownian motion ------------------------------------------------------------------------------------


def test_geometric_brownian_law() -> None:
    mu, sigma, duration, start = 0.4, 0.7, 2.3, 35.0
    x = draw(geometric_brownian(points=5, duration=duration, start=start), [mu, sigma], 4000)
    time = duration * np.arange(1, 6) / 5
    for i in (0, 2, 4):
        law = stats.lognorm(sigma * math.sqrt(time[i]), scale=start * math.exp((mu - sigma**2 / 2) * time[i]))
        assert agrees(x[:, i], law.cdf)
    returns = np.diff(np.log(x), axis=1)
    assert uncorrelated(returns[:, 1:], returns[:, :-1])


def test_geometric_brownian_estimate() -> None:
    mu, sigma, sets, m, points, duration = 0.4, 0.7, 400, 50, 5, 2.3
    problem = geometric_brownian(points=points, duration=duration, start=35.0)
    x = draw(problem, [mu, sigma], sets * m).reshape(sets, m, points)
    estimates = np.asarray(jax.vmap(problem.mle)(x))
    n = m * points
    theory = np.array([math.sqrt(sigma**2 / (m * duration) + sigma**4 / (2 * n)), sigma / math.sqrt(2 * n)])
    # With n returns the estimate of sigma is low by 3 sigma / 4n: .07 of its spread, within .25 allowed.
    assert np.all(np.abs(estimates.mean(axis=0) - [mu, sigma]) < 5 * theory / math.sqrt(sets))
    assert np.all(np.abs(estimates.std(axis=0) / theory - 1) < 5 / math.sqrt(2 * sets))


# --- Ornstein-Uhlenbeck -------------------------------------------------------------------------------------------

RATE, MEAN, SIGMA = 1.7, -0.6, 0.8


@pytest.mark.parametrize("start", [None, 2.1])
def test_ornstein_uhlenbeck_law(start: float | None) -> None:
    dt, n = 0.35, 4000
    problem = ornstein_uhlenbeck(points=6, duration=6 * dt, start=start)
    x = draw(problem, [RATE, MEAN, SIGMA], n)
    stationary = SIGMA / math.sqrt(2 * RATE)
    away = 0.0 if start is None else (start - MEAN) * np.exp(-RATE * dt * np.arange(1, 7))
    spread = stationary * (1.0 if start is None else np.sqrt(1 - np.exp(-2 * RATE * dt * np.arange(1, 7))))
    assert np.allclose(problem.mean(np.array([RATE, MEAN, SIGMA])), MEAN + away, rtol=1e-12)
    z = (x - MEAN - away) / spread
    for i in (0, 1, 5):
        assert agrees(z[:, i], stats.norm.cdf)
    a = math.exp(-RATE * dt)
    steps = (x[:, 1:] - MEAN - a * (x[:, :-1] - MEAN)) / (stationary * math.sqrt(1 - a * a))
    assert agrees(steps, stats.norm.cdf)
    assert uncorrelated(steps, x[:, :-1])


def test_ornstein_uhlenbeck_estimate() -> None:
    sets, m, points, dt = 300, 20, 40, 0.2
    problem = ornstein_uhlenbeck(points=points, duration=points * dt)
    x = draw(problem, [RATE, MEAN, SIGMA], sets * m).reshape(sets, m, points)
    estimates = np.asarray(jax.vmap(problem.mle)(x))
    n, a = m * (points - 1), math.exp(-RATE * dt)
    residual = SIGMA * math.sqrt((1 - a * a) / (2 * RATE))
    log_slope = 1 / (a * math.log(a)) + 2 * a / (1 - a * a)  # of log sigma^2 in a, at fixed residual variance
    theory = np.array(
        [
            math.sqrt((1 / a**2 - 1) / n) / dt,
            residual / (1 - a) / math.sqrt(n),
            SIGMA / 2 * math.sqrt(2 / n + log_slope**2 * (1 - a * a) / n),
        ]
    )
    # rate is high by 4 / (m T) at most, the bias of one long path: .17 of its spread, within .29 allowed
    assert np.all(np.abs(estimates.mean(axis=0) - [RATE, MEAN, SIGMA]) < 5 * theory / math.sqrt(sets))
    assert np.all(np.abs(estimates.std(axis=0) / theory - 1) < 5 / math.sqrt(2 * sets))


def test_ornstein_uhlenbeck_estimate_maximises_the_likelihood() -> None:
    dt, start = 0.3, 1.9
    problem = ornstein_uhlenbeck(points=30, duration=30 * dt, start=start)
    x = jnp.asarray(draw(problem, [RATE, MEAN, SIGMA], 4))

    def log_likelihood(theta: jax.Array) -> jax.Array:
        rate, mean, sigma = theta
        path = jnp.concatenate([jnp.full((4, 1), start), x], axis=1)
        a = jnp.exp(-rate * dt)
        v = sigma**2 * (1 - a * a) / (2 * rate)
        return -jnp.sum((path[:, 1:] - mean - a * (path[:, :-1] - mean)) ** 2 / v + jnp.log(v)) / 2

    estimate = problem.mle(x)
    # At the top the score is zero beside its own spread, the root of the number of steps.
    assert np.all(np.abs(jax.jit(jax.grad(log_likelihood))(estimate)) < 1e-9 * math.sqrt(120))


def test_ornstein_uhlenbeck_estimate_without_a_rate_is_nan() -> None:
    estimate = ornstein_uhlenbeck(points=4).mle(jnp.array([[1.0, -1.0, 1.1, -0.9]]))
    assert estimate is not None and jnp.isnan(estimate[0])


# --- Cox-Ingersoll-Ross -------------------------------------------------------------------------------------------

four_steps = jax.jit(cir(points=4, duration=1.0).simulate)


@pytest.mark.parametrize(
    "theta", [(1.7, 0.9, 0.6), (0.8, 0.3, 1.4), (0.3, 4.1, 0.1)], ids=["Feller", "touching zero", "calm"]
)
def test_cir_law(theta: tuple[float, float, float]) -> None:
    rate, mean, sigma = theta
    dt, n = 0.25, 1500
    c = sigma**2 * -math.expm1(-rate * dt) / (4 * rate)
    df = 4 * rate * mean / sigma**2
    assert (df > 2) == (sigma < 1)
    x = np.asarray(four_steps(KEY, jnp.tile(jnp.array(theta), (n, 1))))
    assert (x >= 0).all()
    stationary = stats.gamma(df / 2, scale=sigma**2 / (2 * rate))
    assert agrees(x[:, 0], stationary.cdf) and agrees(x[:, -1], stationary.cdf)
    u = stats.ncx2.cdf(x[:, 1:] / c, df, x[:, :-1] * math.exp(-rate * dt) / c)
    assert agrees(u, stats.uniform.cdf)
    assert uncorrelated(u, x[:, :-1])


def test_cir_from_a_known_start_in_single_precision() -> None:
    rate, mean, sigma, dt, start, n = 0.9, 1.3, 0.1, 0.01, 2.4, 4000
    c = sigma**2 * -math.expm1(-rate * dt) / (4 * rate)
    with jax.enable_x64(False):  # as users run; the noncentrality is 95,000
        x = draw(cir(points=2, duration=2 * dt, start=start), [rate, mean, sigma], n).astype(float)
    law = stats.ncx2(4 * rate * mean / sigma**2, start * math.exp(-rate * dt) / c)
    assert law.args[1] > 9e4 and agrees(x[:, 0] / c, law.cdf)
    expected = mean + (start - mean) * np.exp(-rate * dt * np.array([1.0, 2.0]))
    assert np.allclose(cir(points=2, duration=2 * dt, start=start).mean(np.array([rate, mean, sigma])), expected)
    assert np.all(np.abs(x.mean(axis=0) - expected) < 5 * x.std(axis=0) / math.sqrt(n))


@pytest.mark.parametrize("x64", [True, False])
@pytest.mark.parametrize(
    ("theta", "start", "dt"),
    [
        ((0.9, 1.3, 0.1), 5.0, 1e-4),
        ((0.9, 1.3, 0.1), 5.0, 1e-6),
        ((0.5, 0.3, 1.4), 2.0, 1e-7),
        ((0.5, 0.3, 1.4), 0.2, 0.3),
        ((0.5, 0.3, 1.4), 0.02, 0.05),
    ],
    ids=["large", "huge", "huge, df .3", "small, df .3", "middle, df .3"],
)
def test_cir_at_any_noncentrality(theta: tuple[float, float, float], start: float, dt: float, x64: bool) -> None:
    rate, mean, sigma = theta
    n = 4000
    with jax.enable_x64(x64):
        x = draw(cir(points=1, duration=dt, start=start), list(theta), n)[:, 0].astype(float)
    c = sigma**2 * -math.expm1(-rate * dt) / (4 * rate)
    df, nc = 4 * rate * mean / sigma**2, start * math.exp(-rate * dt) / c
    # A noncentral chi-square is normal up to its skewness, which is sqrt(8 / nc) at most
    law = stats.ncx2(df, nc) if nc < 1e5 else stats.norm(df + nc, math.sqrt(2 * df + 4 * nc))
    assert agrees(x / c, law.cdf)
    assert (nc < 2) if df < 1 and dt > 1e-2 else (nc > 1e7)


def test_ornstein_uhlenbeck_short_steps_in_single_precision() -> None:
    n, dt = 20_000, 5e-8  # 1 - a is 1.4 times the spacing of numbers below 1
    with jax.enable_x64(False):
        x = draw(ornstein_uhlenbeck(points=1, duration=dt, start=0.0), [RATE, 0.0, SIGMA], n).astype(float)
    sd = SIGMA * math.sqrt(-math.expm1(-2 * RATE * dt) / (2 * RATE))
    assert abs(x.std() / sd - 1) < 4 / math.sqrt(2 * n)


# --- Merton -------------------------------------------------------------------------------------------------------

JUMPS = (0.3, 0.25, 9.0, -0.11, 0.07)  # mu, sigma, rate, jump mean, jump sd


@pytest.fixture(scope="module")
def returns() -> np.ndarray:
    """Logarithmic returns over .1 year, with shape (40,000, 5), the first from the known start."""
    x = draw(merton(points=5, duration=0.5, start=35.0), list(JUMPS), 40_000)
    return np.diff(np.log(x), axis=1, prepend=math.log(35.0))


def test_merton_law(returns: np.ndarray) -> None:
    mu, sigma, rate, jump, sd = JUMPS
    k = np.arange(30)
    weights = stats.poisson.pmf(k, rate * 0.1)
    loc, scale = (mu - sigma**2 / 2) * 0.1 + k * jump, np.sqrt(sigma**2 * 0.1 + k * sd**2)
    assert agrees(returns[:2000], lambda v: stats.norm.cdf(np.subtract.outer(v, loc) / scale) @ weights)
    assert uncorrelated(returns[:, 1:], returns[:, :-1])
    assert uncorrelated(np.abs(returns[:, 1:]), np.abs(returns[:, :-1]))


def test_merton_cumulants(returns: np.ndarray) -> None:
    mu, sigma, rate, jump, sd = JUMPS
    exact = 0.1 * np.array(
        [
            mu - sigma**2 / 2 + rate * jump,
            sigma**2 + rate * (jump**2 + sd**2),
            rate * (jump**3 + 3 * jump * sd**2),
            rate * (jump**4 + 6 * jump**2 * sd**2 + 3 * sd**4),
        ]
    )
    parts = returns.reshape(200, -1)  # 200 sets of 1000 returns
    found = np.array([[stats.kstat(part, order) for order in (1, 2, 3, 4)] for part in parts])
    # k-statistics are unbiased; their error is known from their spread over the sets.
    assert np.all(np.abs(found.mean(axis=0) - exact) < 5 * found.std(axis=0) / math.sqrt(200))


@pytest.mark.parametrize(
    ("factory", "options", "message"),
    [
        (geometric_brownian, {"start": 0.0}, "start must be a finite number above zero; got 0.0"),
        (geometric_brownian, {"points": 0}, "points must be a whole number of at least 1; got 0"),
        (geometric_brownian, {"start": math.inf}, "start must be a finite number above zero; got inf"),
        (brownian, {"points": 0}, "points must be a whole number of at least 1; got 0"),
        (brownian, {"points": 2.5}, "points must be a whole number of at least 1; got 2.5"),
        (brownian, {"duration": -1.0}, "duration must be a finite number above zero; got -1.0"),
        (brownian, {"duration": math.nan}, "duration must be a finite number above zero; got nan"),
        (ornstein_uhlenbeck, {"start": math.nan}, "start must be a finite number, or None"),
        (ornstein_uhlenbeck, {"points": 1}, "points must be at least 2 where the start is stationary"),
        (cir, {"start": -1.0}, "start must be a finite number above zero, or None for the stationary law; got -1.0"),
        (cir, {"duration": 0.0}, "duration must be a finite number above zero; got 0.0"),
        (merton, {"start": -2.0}, "start must be a finite number above zero; got -2.0"),
    ],
)
def test_diffusions_name_the_wrong_argument(factory, options: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        factory(**options)


# --- SDE solvers --------------------------------------------------------------------------------------------------

GROWTH = jnp.array([0.6, 0.9])  # of the geometric Brownian motion that the orders are measured on


def growth(x, t, theta):
    return theta[0] * x


def growth_noise(x, t, theta):
    return theta[1] * x


def strong_errors(method: str, steps: tuple[int, ...], n: int = 2000) -> np.ndarray:
    """E |X_1 - exact| over n paths on shared Brownian paths, for several numbers of steps."""
    fine = np.random.default_rng(8).normal(0.0, math.sqrt(1 / steps[-1]), (n, steps[-1]))
    exact = np.exp(0.6 - 0.9**2 / 2 + 0.9 * fine.sum(axis=1))
    errors = []
    for count in steps:
        dw = fine.reshape(n, count, -1).sum(axis=2)
        ends = jax.vmap(lambda w, h=1 / count: solve(growth, growth_noise, GROWTH, 1.0, w, h, method=method)[-1])(dw)
        errors.append(np.abs(ends - exact).mean())
    return np.array(errors)


@pytest.mark.parametrize(("method", "order"), [("euler", 0.5), ("milstein", 1.0)])
def test_strong_order(method: str, order: float) -> None:
    steps = (32, 128, 512)
    errors = strong_errors(method, steps)
    slope = np.polyfit(np.log(1 / np.array(steps)), np.log(errors), 1)[0]
    # The slope's error over 2000 paths is below .02 (spread over seeds); higher terms add as much.
    assert abs(slope - order) < 0.07


def test_milstein_by_hand() -> None:
    # One step of dX = X^2 dW from 3 with dw = 0.2, h = 0.1: 3 + 9 * 0.2 + 9 * 6 (0.04 - 0.1) / 2.
    x = solve(
        lambda x, t, theta: 0.0 * x, lambda x, t, theta: x**2, GROWTH, 3.0, jnp.array([0.2]), 0.1, method="milstein"
    )
    assert math.isclose(x[0], 3 + 1.8 - 1.62, rel_tol=1e-14)


@pytest.mark.parametrize("method", ["euler", "milstein"])
def test_diagonal_noise_is_scalar_noise_per_coordinate(method: str) -> None:
    dw = np.random.default_rng(3).normal(0.0, 0.2, (20, 2))

    def noise(x, t, theta):
        return jnp.stack([theta[0] * x[0] ** 2, jnp.sin(x[1]) + t])

    together = solve(lambda x, t, theta: t - x, noise, GROWTH, jnp.array([0.3, 1.2]), dw, 0.04, method=method)
    apart = [
        solve(lambda x, t, theta: t - x, field, GROWTH, start, dw[:, i], 0.04, method=method)
        for i, (start, field) in enumerate(
            [(0.3, lambda x, t, theta: theta[0] * x**2), (1.2, lambda x, t, theta: jnp.sin(x) + t)]
        )
    ]
    assert np.allclose(together, np.stack(apart, axis=1), rtol=1e-13, atol=0)


def test_milstein_is_euler_where_the_noise_is_additive() -> None:
    dw = np.random.default_rng(3).normal(0.0, 0.2, 30)
    paths = [
        solve(lambda x, t, theta: -x, lambda x, t, theta: 1.0 + t, GROWTH, 0.4, dw, 0.04, method=m) for m in METHODS
    ]
    assert np.array_equal(*paths)


METHODS = ("euler", "milstein")


def test_general_noise_mixes_the_wiener_processes() -> None:
    mix, drift = jnp.array([[0.3, -1.1, 0.4], [0.9, 0.2, -0.7]]), jnp.array([0.5, -0.2])
    dw = np.random.default_rng(3).normal(0.0, 0.2, (25, 3))
    x = solve(lambda x, t, theta: drift, lambda x, t, theta: mix, GROWTH, jnp.array([0.3, 1.2]), dw, 0.04)
    exact = np.array([0.3, 1.2]) + np.outer(0.04 * np.arange(1, 26), drift) + np.cumsum(dw, axis=0) @ mix.T
    assert np.allclose(x, exact, rtol=1e-12, atol=1e-13)


def test_time_runs_from_zero() -> None:
    x = solve(lambda x, t, theta: jnp.cos(3 * t), lambda x, t, theta: 0.0, GROWTH, 0.7, jnp.zeros(40), 0.05)
    assert np.allclose(x, 0.7 + 0.05 * np.cumsum(np.cos(3 * 0.05 * np.arange(40))), rtol=0, atol=1e-14)


SYSTEMS = {
    "scalar": (1, 1, lambda x, t: 0.4 - 1.3 * x + t, lambda x, t: 0.5 * x + 0.2 * t),
    "diagonal": (2, 2, lambda x, t: 0.4 - 1.3 * x + t, lambda x, t: 0.5 * x + 0.2 * t),
    "general": (2, 3, lambda x, t: 0.4 - x[::-1], lambda x, t: 0.3 * x[:, None] * np.array([[1.0, -2.0, 0.5]]) + t),
}


@pytest.mark.parametrize("name", SYSTEMS)
def test_euler_is_that_of_sdeint_on_the_same_increments(name: str) -> None:
    sdeint = pytest.importorskip("sdeint")
    d, w, drift, noise = SYSTEMS[name]
    dw = np.random.default_rng(4).normal(0.0, 0.2, (50, w))
    start = np.array([0.7, -0.4])[:d]
    matrix = noise if name == "general" else lambda x, t: np.diag(noise(x, t))
    theirs = sdeint.itoEuler(drift, matrix, start, 0.04 * np.arange(51), dW=dw)[1:]
    ours = solve(
        lambda x, t, theta: drift(x, t),
        lambda x, t, theta: noise(x, t),
        GROWTH,
        start[0] if name == "scalar" else start,
        dw[:, 0] if name == "scalar" else dw,
        0.04,
    )
    assert np.allclose(ours.reshape(theirs.shape), theirs, rtol=1e-12, atol=1e-13)


def test_milstein_follows_sdeint_on_the_same_increments() -> None:
    sdeint = pytest.importorskip("sdeint")
    fine = np.random.default_rng(4).normal(0.0, math.sqrt(1 / 512), (40, 512))
    apart = []
    for count in (128, 512):
        dw = fine.reshape(40, count, -1).sum(axis=2)
        repeated = (dw[:, :, None, None] ** 2 - 1 / count) / 2
        times = np.linspace(0.0, 1.0, count + 1)
        theirs = [
            sdeint.itoSRI2(lambda x, t: 0.6 * x, lambda x, t: 0.9 * x[:, None], np.ones(1), times, dW=a, I=b)[-1, 0]
            for a, b in zip(dw[:, :, None], repeated, strict=True)
        ]
        ours = jax.vmap(lambda a, h=1 / count: solve(growth, growth_noise, GROWTH, 1.0, a, h, method="milstein")[-1])(
            dw
        )
        apart.append(np.abs(ours - np.array(theirs)).mean())
    # Both are of strong order 1 on the same path, so they approach each other at order 1.
    assert apart[1] < 0.01 and 3.0 < apart[0] / apart[1] < 5.3


def test_sde_has_the_law_of_its_method() -> None:
    # Euler-Maruyama of Ornstein-Uhlenbeck is an AR(1) series with a = 1 - rate h and step variance sigma^2 h.
    n, points, substeps, duration = 4000, 3, 4, 0.9
    h = duration / points / substeps
    simulate = sde(
        lambda x, t, theta: theta[0] * (theta[1] - x), lambda x, t, theta: theta[2],
        lambda theta: theta[1] + 2.0, points, duration, substeps,
    )  # fmt: skip
    x = np.asarray(jax.jit(simulate)(KEY, jnp.tile(jnp.array([RATE, MEAN, SIGMA]), (n, 1))))
    assert x.shape == (n, points)
    a, steps = 1 - RATE * h, substeps * np.arange(1, points + 1)
    z = (x - MEAN - 2.0 * a**steps) / np.sqrt(SIGMA**2 * h * (1 - a ** (2 * steps)) / (1 - a * a))
    for column in z.T:
        assert agrees(column, stats.norm.cdf)


def test_sde_of_vectors_and_general_noise() -> None:
    n, mix = 4000, jnp.array([[0.3, -1.1, 0.4], [0.9, 0.2, -0.7]])
    simulate = sde(lambda x, t, theta: 0.0 * x, lambda x, t, theta: theta[0] * mix, [1.0, -2.0], 3, 0.6, 2)
    x = np.asarray(jax.jit(simulate)(KEY, jnp.full((n, 1), 1.4)))
    assert x.shape == (n, 3, 2)
    cov = 1.4**2 * 0.6 * np.asarray(mix @ mix.T)
    error = np.sqrt((np.outer(np.diag(cov), np.diag(cov)) + cov**2) / n)
    assert np.all(np.abs(x[:, -1].mean(axis=0) - [1.0, -2.0]) < 5 * np.sqrt(np.diag(cov) / n))
    assert np.all(np.abs(np.cov(x[:, -1].T) - cov) < 5 * error)


def test_sde_in_single_precision_and_by_milstein() -> None:
    n = 4000
    with jax.enable_x64(False):
        simulate = sde(growth, growth_noise, 1.0, points=2, duration=1.0, substeps=40, method="milstein")
        x = jax.jit(simulate)(KEY, jnp.tile(GROWTH, (n, 1)))
        assert x.dtype == jnp.float32
    law = stats.lognorm(0.9, scale=math.exp(0.6 - 0.9**2 / 2))
    assert agrees(np.asarray(x[:, -1], dtype=float), law.cdf)  # Milstein's bias at h = 1/80 is far below 1 / sqrt(n)


# --- sdeint behind it ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", SDEINT)
def test_every_method_of_sdeint_is_called_by_its_name(method: str) -> None:
    pytest.importorskip("sdeint")
    # Without noise a linear equation tells the methods apart: Euler's growth per step is 1 + z, that of the explicit
    # methods of order 2 is 1 + z + z^2 / 2; the implicit one is near the exact growth.
    simulate = sde_from_numpy(lambda x, t, theta: theta[0] * x, lambda x, t, theta: 0.0, 2.0, 3, 0.6, 2, method=method)
    z, steps = 0.5 * 0.1, np.array([2, 4, 6])
    x = simulate(KEY, np.array([[0.5]]))[0]
    per_step = {"itoEuler": 1 + z, "stratKP2iS": math.exp(z)}.get(method, 1 + z + z**2 / 2)
    assert np.allclose(x, 2.0 * per_step**steps, rtol=1e-3 if method == "stratKP2iS" else 1e-13)


@pytest.mark.parametrize(("method", "drift"), [("itoint", 0.3 - 0.8**2 / 2), ("stratHeun", 0.3)])
def test_sdeint_by_ito_and_by_stratonovich(method: str, drift: float) -> None:
    pytest.importorskip("sdeint")
    n, duration = 300, 1.5
    simulate = sde_from_numpy(
        lambda x, t, theta: theta[0] * x, lambda x, t, theta: theta[1] * x, 1.7, 2, duration, 10, method=method
    )
    x = simulate(KEY, np.tile([0.3, 0.8], (n, 1)))
    assert x.shape == (n, 2)
    law = stats.norm(math.log(1.7) + drift * duration, 0.8 * math.sqrt(duration))
    assert agrees(np.log(x[:, -1]), law.cdf)
    assert np.array_equal(simulate(KEY, np.tile([0.3, 0.8], (2, 1))), x[:2])
    assert not np.array_equal(simulate(jax.random.key(21), np.array([[0.3, 0.8]])), x[:1])


def test_sdeint_takes_vectors_and_matrices() -> None:
    pytest.importorskip("sdeint")
    mix = np.array([[0.3, -1.1, 0.4], [0.9, 0.2, -0.7]])
    n, start = 400, lambda theta: np.array([1.0, theta[1]])
    simulate = sde_from_numpy(
        lambda x, t, theta: 0 * x, lambda x, t, theta: theta[0] * mix, start, 3, 0.6, 1, method="itoEuler"
    )
    x = simulate(KEY, np.tile([1.4, -2.0], (n, 1)))
    assert x.shape == (n, 3, 2)
    cov = 1.4**2 * 0.6 * mix @ mix.T
    error = np.sqrt((np.outer(np.diag(cov), np.diag(cov)) + cov**2) / n)
    assert np.all(np.abs(x[:, -1].mean(axis=0) - [1.0, -2.0]) < 5 * np.sqrt(np.diag(cov) / n))
    assert np.all(np.abs(np.cov(x[:, -1].T) - cov) < 5 * error)
    own = sde_from_numpy(lambda x, t, theta: 0 * x, lambda x, t, theta: theta, [0.0, 0.0], 2, 1.3, 1, method="itoEuler")
    ends = own(KEY, np.tile([0.5, 2.0], (n, 1)))[:, -1] / (math.sqrt(1.3) * np.array([0.5, 2.0]))
    assert agrees(ends, stats.norm.cdf) and uncorrelated(ends[:, 0], ends[:, 1])


def test_without_sdeint_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sdeint", None)
    with pytest.raises(ImportError, match=r"sde_from_numpy needs the package sdeint: pip install 'avo-sbi\[sde\]'"):
        sde_from_numpy(growth, growth_noise, 1.0)


def constant(value):
    return lambda x, t, theta: jnp.asarray(value)


@pytest.mark.parametrize(
    ("drift", "noise", "start", "options", "message"),
    [
        (constant([1.0, 2.0]), constant(1.0), 0.0, {}, r"drift must return the state's shape, \(\); got \(2,\)"),
        (
            constant([1.0, 2.0]),
            constant(1.0),
            [0.0, 1.0],
            {},
            r"diffusion must return .* \(2,\) or, for general noise, ",
        ),
        (constant(1.0), constant([1.0]), 0.0, {}, r"diffusion must return the state's shape, \(\); got \(1,\)"),
        (constant([1.0, 2.0]), constant(np.ones((3, 2))), [0.0, 1.0], {}, r"\(2, number of Wiener .*got \(3, 2\)"),
        (
            constant([1.0, 2.0]),
            constant(np.ones((2, 3))),
            [0.0, 1.0],
            {"method": "milstein"},
            "needs scalar or diagonal",
        ),
        (constant(1.0), constant(1.0), [[0.0]], {}, "start must be a scalar or a vector"),
    ],
)
def test_shapes_that_do_not_fit(drift, noise, start, options: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        sde(drift, noise, start, **options)(KEY, jnp.ones((2, 1)))


def test_increments_that_do_not_fit() -> None:
    field = constant([1.0, 2.0])
    with pytest.raises(ValueError, match=r"increments must have shape \(steps, 2\) .*; got \(7, 1\)"):
        solve(field, field, GROWTH, [0.0, 1.0], jnp.ones((7, 1)), 0.1)
    with pytest.raises(ValueError, match="method must be"):
        solve(field, field, GROWTH, [0.0, 1.0], jnp.ones((7, 2)), 0.1, method="heun")


@pytest.mark.parametrize(
    ("factory", "options", "message"),
    [
        (sde, {"method": "itoint"}, r"method must be one of euler, milstein \(sdeint's are in sde_from_numpy\); got"),
        (
            sde_from_numpy,
            {"method": "euler"},
            r"method must be one of itoint, .* \(JAX's are in sde\); got 'euler'",
        ),
        (sde, {"substeps": 0}, "substeps must be a whole number of at least 1; got 0"),
        (sde_from_numpy, {"points": -3}, "points must be a whole number of at least 1; got -3"),
    ],
)
def test_sde_names_the_wrong_argument(factory, options: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        factory(growth, growth_noise, 1.0, **options)
