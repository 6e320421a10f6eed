"""`Problem.log_prob` against SciPy's densities, and against the simulator whose law it is.

Statistical tolerances are 5 standard errors of means over the simulations.
"""

from collections.abc import Callable
from functools import lru_cache
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import integrate, optimize, special, stats

import avo.simulators
from avo.simulators.bessel import log_bessel
from avo.simulators.linear5 import R
from avo.simulators.problem import Problem

get = lru_cache(avo.simulators.get)
VARIANTS: dict[str, tuple[str, dict[str, Any]]] = {
    "cir from a start": ("cir", {"points": 12, "duration": 1.7, "start": 0.9}),
    "ecg offset": ("ecg", {"free": ("r_amp", "offset", "snr"), "values": {"offset": 0.07}}),
    "g_and_k sample": ("g_and_k", {"draws": 3}),
    "geometric_brownian from 35": ("geometric_brownian", {"points": 9, "duration": 0.7, "start": 35.0}),
    "merton from 35": ("merton", {"points": 9, "duration": 0.7, "start": 35.0}),
    "ornstein_uhlenbeck from a start": ("ornstein_uhlenbeck", {"points": 12, "duration": 1.7, "start": -0.4}),
}
KNOWN = [name for name in avo.simulators.names() if get(name).log_prob is not None]


def problem_of(name: str) -> Problem:
    registered, options = VARIANTS.get(name, (name, {}))
    return get(registered) if name == registered else avo.simulators.get(registered, **options)


@lru_cache
def drawn(name: str) -> tuple[Problem, np.ndarray, np.ndarray]:
    """A problem, its truth, and 1000 simulations there."""
    problem = problem_of(name)
    theta = np.asarray(problem.theta_true)
    return problem, theta, np.asarray(jax.jit(problem.simulate)(jax.random.key(7), jnp.tile(theta, (1000, 1))))


def step_of(problem: Problem) -> float:
    return float(problem.axes[0].values[-1]) / problem.x_shape[0]


# --- SciPy's densities --------------------------------------------------------------------------------------------


def linear5(_: Problem, theta: np.ndarray, x: np.ndarray) -> np.ndarray:
    z = x @ np.linalg.inv(R).T
    humps = 0.5 * stats.norm.pdf(z[:, 2], -2.0, 1.0) + 0.5 * stats.norm.pdf(z[:, 2], 2.0, 0.5)
    waits = stats.expon.logpdf(z[:, 3], scale=1 / 3) + stats.expon.logpdf(z[:, 4], scale=2.0)
    normal = stats.norm.logpdf(z[:, 0], theta[0], 1.0) + stats.norm.logpdf(z[:, 1], theta[1], 3.0)
    return normal + np.log(humps) + waits - np.log(abs(np.linalg.det(R)))


def epem(_: Problem, theta: np.ndarray, x: np.ndarray) -> np.ndarray:
    a = np.clip(2 * theta[1] * np.tanh((2 * theta[0] - 90) / 9), -2, 2)
    return np.log(3 / 8 * (1 + x**2 + a * x))


def epem2(problem: Problem, theta: np.ndarray, x: np.ndarray) -> np.ndarray:
    return epem(problem, theta, x[:, 0]) + epem(problem, theta + [10.0, 0.0], x[:, 1])


def brownian(problem: Problem, theta: np.ndarray, x: np.ndarray) -> np.ndarray:
    times = problem.axes[0].values
    return stats.multivariate_normal.logpdf(x, theta[0] * times, theta[1] ** 2 * np.minimum.outer(times, times))


def log_normal_path(problem: Problem, theta: np.ndarray, x: np.ndarray, start: float = 1.0) -> np.ndarray:
    times, log_x = problem.axes[0].values, np.log(x / start)
    mean, covariance = (theta[0] - theta[1] ** 2 / 2) * times, theta[1] ** 2 * np.minimum.outer(times, times)
    return stats.multivariate_normal.logpdf(log_x, mean, covariance) - np.log(x).sum(1)


def ornstein_uhlenbeck(problem: Problem, theta: np.ndarray, x: np.ndarray, start: float | None = None) -> np.ndarray:
    """One normal law over the whole path, by its covariance."""
    (rate, mean, sigma), t = theta, problem.axes[0].values
    covariance = sigma**2 / (2 * rate) * np.exp(-rate * np.abs(t[:, None] - t[None]))
    away = np.zeros(len(t))
    if start is not None:
        covariance = covariance - sigma**2 / (2 * rate) * np.exp(-rate * (t[:, None] + t[None]))
        away = (start - mean) * np.exp(-rate * t)
    return stats.multivariate_normal.logpdf(x, mean + away, covariance)


def merton(problem: Problem, theta: np.ndarray, x: np.ndarray, start: float = 1.0) -> np.ndarray:
    (mu, sigma, rate, jump_mean, jump_sd), dt = theta, step_of(problem)
    returns, density = np.diff(np.log(x), axis=1, prepend=np.log(start)), 0.0
    for n in range(30):
        mean, sd = (mu - sigma**2 / 2) * dt + n * jump_mean, np.sqrt(sigma**2 * dt + n * jump_sd**2)
        density = density + stats.poisson.pmf(n, rate * dt) * stats.norm.pdf(returns, mean, sd)
    return (np.log(density) - np.log(x)).sum(1)


def cir(problem: Problem, theta: np.ndarray, x: np.ndarray, start: float | None = None) -> np.ndarray:
    (rate, mean, sigma), dt = theta, step_of(problem)
    c, df = -np.expm1(-rate * dt) * sigma**2 / (4 * rate), 4 * rate * mean / sigma**2
    before = x[:, :-1] if start is None else np.c_[np.full(len(x), start), x[:, :-1]]
    after = x[:, 1:] if start is None else x
    moves = stats.ncx2.logpdf(after / c, df, before * np.exp(-rate * dt) / c) - np.log(c)
    first = stats.gamma.logpdf(x[:, 0], df / 2, scale=sigma**2 / (2 * rate)) if start is None else 0.0
    return first + moves.sum(1)


def g_and_k(_: Problem, theta: np.ndarray, x: np.ndarray) -> np.ndarray:
    """By SciPy's root and a derivative worked out by hand."""
    a, b, g, k = theta

    def quantile(z: float) -> float:
        return a + b * (1 + 0.8 * np.tanh(g * z / 2)) * (1 + z**2) ** k * z

    def log_density(value: float) -> float:
        z: Any = optimize.brentq(lambda z: quantile(z) - value, -30, 30, xtol=1e-14)
        skew, tail = 1 + 0.8 * np.tanh(g * z / 2), (1 + z**2) ** k
        slope = 0.4 * g / np.cosh(g * z / 2) ** 2 * tail * z + skew * tail * (1 + 2 * k * z**2 / (1 + z**2))
        return stats.norm.logpdf(z) - np.log(b * slope)

    return np.vectorize(log_density)(x).reshape(len(x), -1).sum(1)


def normal_errors(sd: float) -> Callable[..., np.ndarray]:
    return lambda problem, theta, x: stats.norm.logpdf(x, problem.mean(theta), sd).sum(1)


def ecg(problem: Problem, theta: np.ndarray, x: np.ndarray) -> np.ndarray:
    """20 dB below the root mean square of the waves."""
    beat = np.asarray(problem.mean(theta))
    return stats.norm.logpdf(x, beat, 0.1 * np.sqrt(np.mean(beat**2))).sum(1)


def ecg_offset(problem: Problem, theta: np.ndarray, x: np.ndarray) -> np.ndarray:
    """The noise is measured against the waves, without the offset."""
    mean = np.asarray(problem.mean(theta))
    return stats.norm.logpdf(x, mean, 10 ** (-theta[2] / 20) * np.sqrt(np.mean((mean - theta[1]) ** 2))).sum(1)


def lotka_volterra(problem: Problem, theta: np.ndarray, x: np.ndarray) -> np.ndarray:
    return stats.lognorm.logpdf(x, 0.1, scale=np.asarray(problem.mean(theta)) * np.exp(-0.005)).sum(1)


def gaussian_mixture(_: Problem, theta: np.ndarray, x: np.ndarray) -> np.ndarray:
    wide, narrow = (stats.multivariate_normal(theta, covariance).pdf(x) for covariance in (np.eye(2), 0.01 * np.eye(2)))
    return np.log(wide / 2 + narrow / 2)


def gaussian_linear(_: Problem, theta: np.ndarray, x: np.ndarray) -> np.ndarray:
    return stats.multivariate_normal(theta, 0.1 * np.eye(10)).logpdf(x)


SCIPY: dict[str, Callable[..., np.ndarray]] = {
    "brownian": brownian,
    "cir": cir,
    "cir from a start": lambda *a: cir(*a, start=0.9),
    "ecg": ecg,
    "ecg offset": ecg_offset,
    "epem": epem,
    "epem2": epem2,
    "g_and_k": g_and_k,
    "g_and_k sample": g_and_k,
    "gaussian_linear": gaussian_linear,
    "gaussian_linear_uniform": gaussian_linear,
    "gaussian_mixture": gaussian_mixture,
    "geometric_brownian": log_normal_path,
    "geometric_brownian from 35": lambda *a: log_normal_path(*a, start=35.0),
    "linear5": linear5,
    "lotka_volterra": lotka_volterra,
    "merton": merton,
    "merton from 35": lambda *a: merton(*a, start=35.0),
    "ornstein_uhlenbeck": ornstein_uhlenbeck,
    "ornstein_uhlenbeck from a start": lambda *a: ornstein_uhlenbeck(*a, start=-0.4),
    "oscillator": normal_errors(0.05),
    "pendulum": normal_errors(0.05),
    "pendulum_driven": normal_errors(0.05),
    "poisson": lambda _, theta, x: stats.poisson.logpmf(x, theta[0]),
    "sir": lambda p, theta, x: stats.binom.logpmf(x, 1000, np.asarray(p.mean(theta)) / 1000).sum(1),
}


def test_every_density_is_compared() -> None:
    assert set(KNOWN) | set(VARIANTS) == set(SCIPY)


@pytest.mark.parametrize("name", SCIPY)
def test_the_density_is_scipys(name: str) -> None:
    problem, theta, x = drawn(name)
    x = x[:20]
    u = np.asarray(problem.space.unconstrain(theta))
    for shift in (0.0, 0.02 * np.cos(np.arange(len(u)))):  # of u, so that no two parameters move alike
        at = np.asarray(problem.space.constrain(jnp.asarray(u + shift)))
        ours = np.asarray(problem.log_prob(at, x))
        assert ours.shape == (20,)
        np.testing.assert_allclose(ours, SCIPY[name](problem, at, x), rtol=1e-8, atol=1e-7)


@pytest.mark.parametrize("name", SCIPY)
def test_the_density_is_that_of_the_simulator(name: str) -> None:
    """Scores average to zero at the truth, and p(x | theta') / p(x | theta) to one; over 1000 simulations."""
    problem, theta, x = drawn(name)
    u, n = problem.space.unconstrain(theta), len(x)

    def density(u: jax.Array) -> jax.Array:
        return problem.log_prob(problem.space.constrain(u), x)

    slopes = jax.jit(lambda u: (density(u), jax.jacfwd(density)(u)))
    at, score = map(np.asarray, slopes(u))
    assert (np.abs(score.mean(0)) < 5 * score.std(0) / np.sqrt(n)).all()
    away = u + 0.3 / (score.std(0) * np.sqrt(len(u)))
    ratio = np.exp(np.asarray(slopes(away)[0]) - at)
    assert 0 < ratio.std() < 1 and abs(ratio.mean() - 1) < 5 * ratio.std() / np.sqrt(n)


@pytest.mark.parametrize(("theta", "start"), [((1.5, 0.7, 0.5), None), ((0.4, 0.5, 1.3), None), ((0.4, 0.5, 1.3), 0.8)])
def test_cir_where_it_touches_zero(theta: tuple[float, ...], start: float | None) -> None:
    """Also where Feller's condition fails, df < 2."""
    problem = avo.simulators.cir(points=3, duration=0.3, start=start)
    x = np.array([[0.7, 0.9, 0.62], [0.02, 0.003, 0.4]])
    np.testing.assert_allclose(problem.log_prob(theta, x), cir(problem, np.array(theta), x, start), atol=1e-8)


@pytest.mark.parametrize("order", [-0.98, -0.3, 0.0, 0.5, 12.3, 61.7, 250.0])
def test_the_bessel_function_is_scipys(order: float) -> None:
    z = np.array([0.04, 3.0, 40.0, 700.0, 9000.0])
    exact = special.ive(order, z)
    there = exact > 1e-290
    np.testing.assert_allclose(log_bessel(order, z)[there], np.log(exact[there]), atol=1e-9, rtol=1e-12)


def test_the_bessel_function_below_the_least_number() -> None:
    """The series' first term, (z / 2)^v / Gamma(v + 1)."""
    assert special.ive(45.0, 1e-8) == 0.0
    assert float(log_bessel(45.0, 1e-8)) == pytest.approx(45.0 * np.log(5e-9) - special.gammaln(46.0), rel=1e-10)


def test_one_number_integrates_to_one() -> None:
    angle, counts, tails = get("epem"), get("poisson"), get("g_and_k")
    nodes, weights = np.polynomial.legendre.leggauss(9)
    assert weights @ np.exp(np.asarray(angle.log_prob([48.7, 0.83], nodes))) == pytest.approx(1.0, abs=1e-12)
    assert np.isneginf(np.asarray(angle.log_prob([48.7, 0.83], np.array([-1.1, 1.1])))).all()
    assert np.exp(np.asarray(counts.log_prob([11.3], np.arange(80)))).sum() == pytest.approx(1.0, abs=1e-12)
    values = np.linspace(-20.0, 400.0, 200_001)
    total = integrate.simpson(np.exp(np.asarray(tails.log_prob([3.0, 1.0, 2.0, 0.5], values))), x=values)
    assert total == pytest.approx(1.0, abs=1e-5)


def test_what_lies_below_zero_by_rounding_is_at_zero() -> None:
    """z3 of linear5 is exponential; R^-1 x may come out as -1e-7."""
    problem, z = get("linear5"), np.array([[1.3, -0.4, 2.1, 0.0, 0.7]] * 3)
    z[1, 3], z[2, 3] = -1e-6, -0.01
    at, rounded, outside = np.asarray(problem.log_prob([1.0, -1.0], z @ R.T))
    assert rounded == pytest.approx(at, abs=1e-9) and np.isneginf(outside)


def test_known_starts_are_inputs() -> None:
    problem = avo.simulators.pendulum(points=7, known_start=True)
    inputs = np.array([[1.2, 0.0], [-0.3, 4.1]])
    x = np.asarray(problem.simulate(jax.random.key(1), jnp.tile(problem.theta_true, (2, 1)), jnp.asarray(inputs)))
    means = np.stack([problem.mean(problem.theta_true, c) for c in inputs])
    expected = stats.norm.logpdf(x, means, 0.05).sum(1)
    np.testing.assert_allclose(problem.log_prob(problem.theta_true, x, inputs), expected, rtol=1e-10)
    with pytest.raises(ValueError, match="known_start=True needs inputs of shape"):
        problem.log_prob(problem.theta_true, x)


def test_shapes_are_checked() -> None:
    problem = get("brownian")
    with pytest.raises(ValueError, match=r"theta must have shape \(2,\), mu, sigma; got \(3,\)"):
        problem.log_prob(np.ones(3), np.ones((5, 64)))
    with pytest.raises(ValueError, match=r"x must have shape \(m, 64\), an observation of brownian in each row; got"):
        problem.log_prob(np.ones(2), np.ones(64))


def test_none_where_no_density_is_known() -> None:
    none: list[tuple[str, dict[str, Any]]] = [
        ("detector", {}), ("mg1", {}), ("ecgsyn", {}), ("g_and_k", {"draws": 9, "summaries": True}),
        ("ecg", {"noise": ("white", "wander")}), ("ecg", {"noise": ()}), ("pendulum", {"noise": 0.0}),
    ]  # fmt: skip
    assert [avo.simulators.get(name, **options).log_prob for name, options in none] == [None] * len(none)
