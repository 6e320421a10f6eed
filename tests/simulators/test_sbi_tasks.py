"""The standard tasks of simulation-based inference against their exact laws, and against sbibm's reference posteriors.

Tolerances as in test_simulators.py: 5 standard errors, and p > 1e-3 for Kolmogorov-Smirnov and chi-square tests. The
reference posteriors are draws from p(theta | x_obs) that sbibm made with its own simulators:

- simulations at these draws must reproduce x_obs, and
- where the likelihood p(x | theta) is known, Stein's identities must hold over the draws, for any differentiable
  posterior pi of phi: E[grad log pi] = 0 and E[(phi - E[phi]) grad log pi^T] = -I.

Both read the constants of the simulators' modules, and a test at the end changes each constant and wants them to fail.
"""

import bz2
import functools
import importlib
import math
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import integrate, linalg, optimize, special, stats

import avo.simulators
from avo.simulators.bernoulli_glm import bernoulli_glm, design, prior_precision
from avo.simulators.hodgkin_huxley import AMPLITUDE, gate_rates, hodgkin_huxley, ratio, summarize, trajectory
from avo.simulators.lotka_volterra import log_populations
from avo.simulators.ode import solve
from avo.simulators.sir import infected
from avo.simulators.slcp_distractors import constants

KEY = jax.random.key(31)


@functools.cache
def compiled(name: str) -> Callable[..., jax.Array]:
    return jax.jit(avo.simulators.get(name).simulate)


def draws(name: str, theta: np.ndarray | list, n: int | None = None) -> np.ndarray:
    """Simulate rows of theta, or one theta n times."""
    rows = np.asarray(theta, dtype=float) if n is None else np.tile(np.asarray(theta, dtype=float), (n, 1))
    return np.asarray(compiled(name)(KEY, rows), dtype=np.float64)


def scales(name: str) -> np.ndarray:
    """Scales of a space that is `Real` in all its parameters."""
    space = avo.simulators.get(name).space
    return np.asarray(space.constrain(np.ones(space.dim)) - space.constrain(np.zeros(space.dim)))


def module(name: str) -> ModuleType:
    """The module of a simulator: in `avo.simulators` its factory has the same name."""
    return importlib.import_module(f"avo.simulators.{name}")


@functools.cache
def reference(folder: Path, name: str) -> tuple[np.ndarray, np.ndarray]:
    """The observation and the draws from its posterior."""
    task = folder / "sbibm" / name
    observation = np.loadtxt(task / "observation.csv", delimiter=",", skiprows=1)
    with bz2.open(task / "reference_posterior_samples.csv.bz2", "rt") as file:
        return observation, np.loadtxt(file, delimiter=",", skiprows=1)


def assert_moments(x: np.ndarray, mean: np.ndarray, cov: np.ndarray) -> None:
    """Compare the mean and covariance of the rows of x, each within 5 standard errors estimated from the rows."""
    n, centred = len(x), x - mean
    assert np.all(np.abs(centred.mean(axis=0)) < 5 * np.sqrt(np.diag(cov) / n))
    products = centred[:, :, None] * centred[:, None, :]
    assert np.all(np.abs(products.mean(axis=0) - cov) < 5 * products.std(axis=0) / math.sqrt(n))


def assert_stein(phi: np.ndarray, score: np.ndarray) -> None:
    """Hold draws phi and the gradients of their log posterior to Stein's identities, within 5 standard errors."""
    n, away = len(phi), phi - phi.mean(axis=0)
    assert np.all(np.abs(score.mean(axis=0)) < 5 * score.std(axis=0) / math.sqrt(n))
    products = away[:, :, None] * score[:, None, :]
    assert np.all(np.abs(products.mean(axis=0) + np.eye(phi.shape[1])) < 5 * products.std(axis=0) / math.sqrt(n))


def assert_not_extreme(x: np.ndarray, observation: np.ndarray) -> None:
    """No number of the observation lies among the outermost 0.1 % of its simulations; ties count half."""
    rank = np.mean(x < observation, axis=0) + 0.5 * np.mean(x == observation, axis=0)
    assert np.all((rank > 1e-3) & (rank < 1 - 1e-3))


def test_all_are_registered() -> None:
    tasks = {"two_moons", "gaussian_linear", "gaussian_linear_uniform", "gaussian_mixture", "slcp", "slcp_distractors"}
    tasks |= {"bernoulli_glm", "sir", "lotka_volterra", "hodgkin_huxley"}
    assert tasks <= set(avo.simulators.names())
    sizes = {name: (avo.simulators.get(name).space.dim, *avo.simulators.get(name).x_shape) for name in tasks}
    assert sizes == {
        "two_moons": (2, 2), "gaussian_linear": (10, 10), "gaussian_linear_uniform": (10, 10),
        "gaussian_mixture": (2, 2), "slcp": (5, 8), "slcp_distractors": (5, 100), "bernoulli_glm": (10, 10),
        "sir": (2, 10), "lotka_volterra": (4, 20), "hodgkin_huxley": (2, 7),
    }  # fmt: skip


# --- Runge-Kutta --------------------------------------------------------------------------------------------------


def test_runge_kutta_converges_at_order_4() -> None:
    a = np.array([[-0.3, 1.7], [-1.2, 0.1]])
    start, end = np.array([1.3, -0.4]), 2.9
    exact = linalg.expm(end * a) @ start

    def error(steps: int) -> float:
        (path,) = solve(lambda y: (jnp.asarray(a) @ y[0],), (start,), end / steps, steps, 2)
        assert np.array_equal(path[0], start)
        return float(np.abs(path[1] - exact).max())

    errors = [error(n) for n in (50, 100, 200)]
    # Halving the step divides the error by 2^4, up to a term of relative order h.
    assert np.allclose([errors[0] / errors[1], errors[1] / errors[2]], 16, rtol=0.05)


def test_runge_kutta_keeps_the_asked_points() -> None:
    (path,) = solve(lambda y: (jnp.ones(()),), (jnp.asarray(0.7),), 0.25, 3, 5)
    assert np.allclose(path, 0.7 + 0.75 * np.arange(5), rtol=0, atol=1e-12)


# --- two moons ----------------------------------------------------------------------------------------------------


def moon(theta: np.ndarray, x: np.ndarray, offset: float = 0.25) -> tuple[np.ndarray, np.ndarray]:
    """Radius and angle of x on the crescent: theta is turned by -45 degrees, its first coordinate made negative."""
    turned = theta @ (np.array([[1.0, -1.0], [1.0, 1.0]]) / math.sqrt(2))
    p = x - np.stack([-np.abs(turned[..., 0]), turned[..., 1]], axis=-1) - np.array([offset, 0.0])
    return np.hypot(p[..., 0], p[..., 1]), np.arctan2(p[..., 1], p[..., 0])


@pytest.mark.parametrize("theta", [(0.37, -0.81), (-0.53, 0.12)])
def test_two_moons_law(theta: tuple[float, float]) -> None:
    n = 20_000
    r, a = moon(np.array(theta), draws("two_moons", theta, n))
    assert stats.kstest(r, stats.norm(0.1, 0.01).cdf).pvalue > 1e-3
    assert stats.kstest(a, stats.uniform(-math.pi / 2, math.pi).cdf).pvalue > 1e-3
    assert abs(np.corrcoef(r, a)[0, 1]) < 5 / math.sqrt(n)


def test_two_moons_does_not_tell_theta_from_its_mirror_image() -> None:
    x = draws("two_moons", [[0.3, 0.45]])
    assert np.allclose(draws("two_moons", [[-0.45, -0.3]]), x, rtol=0, atol=1e-12)
    assert np.abs(draws("two_moons", [[0.3, -0.45]]) - x).max() > 0.1


def check_two_moons(observation: np.ndarray, theta: np.ndarray) -> None:
    constants = module("two_moons")

    def assert_crescent(x: np.ndarray) -> None:
        r, a = moon(theta, x, constants.OFFSET)
        assert stats.kstest(r, stats.norm(constants.RADIUS, constants.RADIUS_SD).cdf).pvalue > 1e-3
        assert stats.kstest(a, stats.uniform(-math.pi / 2, math.pi).cdf).pvalue > 1e-3

    # The prior is flat and covers the whole posterior, so that seen from x_obs the draws of theta follow the law of x.
    assert_crescent(observation)
    assert_crescent(draws("two_moons", theta))


# --- Gaussian tasks -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["gaussian_linear", "gaussian_linear_uniform"])
def test_gaussian_law(name: str) -> None:
    theta, n = np.linspace(-0.9, 0.7, 10), 20_000
    x = draws(name, theta, n)
    z = (x - theta).ravel() / math.sqrt(0.1)
    assert stats.kstest(z, "norm").pvalue > 1e-3
    assert abs(np.mean(z**2) - 1) < 5 * math.sqrt(2 / z.size)
    assert np.all(np.abs(np.corrcoef(x.T) - np.eye(10)) < 5 / math.sqrt(n))
    estimate = avo.simulators.get(name).mle(x[:700])
    assert np.allclose(estimate, x[:700].mean(axis=0), rtol=0, atol=1e-12)


def check_gaussian_linear(observation: np.ndarray, theta: np.ndarray) -> None:
    prior = scales("gaussian_linear") ** 2  # variances
    weight, var = prior / (prior + 0.1), 0.1 * prior / (prior + 0.1)
    posterior = (theta - weight * observation) / np.sqrt(var)
    assert stats.kstest(posterior.ravel(), "norm").pvalue > 1e-3
    predictive = (draws("gaussian_linear", theta) - weight * observation) / np.sqrt(var + 0.1)
    assert stats.kstest(predictive.ravel(), "norm").pvalue > 1e-3
    assert_not_extreme(draws("gaussian_linear", theta), observation)


def check_gaussian_linear_uniform(observation: np.ndarray, theta: np.ndarray) -> None:
    x, sd = draws("gaussian_linear_uniform", theta), math.sqrt(0.1)
    # Posterior: N(x_obs, 0.1) cut to the box. Simulations at its draws: that plus N(0, 0.1), by quadrature.
    low, high = avo.simulators.gaussian_linear_uniform().space["theta3"].support
    nodes, weights = np.polynomial.legendre.leggauss(60)
    t = 0.5 * (low + high) + 0.5 * (high - low) * nodes
    density = weights[:, None] * stats.norm.pdf(t[:, None], observation, sd)  # (nodes, 10)
    density /= density.sum(axis=0)
    probability = np.stack([stats.norm.cdf(x[:, j, None], t, sd) @ density[:, j] for j in range(10)])
    assert stats.kstest(probability.ravel(), "uniform").pvalue > 1e-3
    assert_not_extreme(x, observation)


def test_gaussian_mixture_law() -> None:
    n, theta = 20_000, np.array([2.3, -4.7])
    away = draws("gaussian_mixture", theta, n) - theta

    def cdf(v: np.ndarray) -> np.ndarray:
        return 0.5 * stats.norm.cdf(v) + 0.5 * stats.norm.cdf(v, scale=0.1)

    for column in away.T:
        assert stats.kstest(column, cdf).pvalue > 1e-3
    quantiles = np.array([optimize.brentq(lambda v, q=q: cdf(v) - q, -6, 6) for q in (0.03, 0.3, 0.5, 0.71, 0.98)])
    below = (away[:, :1] <= quantiles).mean(axis=0)
    exact = np.array([0.03, 0.3, 0.5, 0.71, 0.98])
    assert np.all(np.abs(below - exact) < 5 * np.sqrt(exact * (1 - exact) / n))
    # Both coordinates share the component: Cov(x1^2, x2^2) = Var(sd^2) = (0.99 / 2)^2. The rows do not.
    products = (away[:, 0] ** 2 - 0.505) * (away[:, 1] ** 2 - 0.505)
    assert abs(products.mean() - 0.495**2) < 5 * products.std() / math.sqrt(n)
    assert abs(np.corrcoef(np.abs(away[1:, 0]), np.abs(away[:-1, 0]))[0, 1]) < 5 / math.sqrt(n)


# --- SLCP ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "theta", [(0.7, -2.9, -1.0, -0.9, 0.6), (-1.3, 0.4, 0.3, 1.7, -1.1), (0.2, 0.1, 0.0, 1.2, 2.9)]
)
def test_slcp_law(theta: tuple[float, ...]) -> None:
    n = 5000
    x = draws("slcp", theta, n)
    s1, s2, rho = theta[2] ** 2, theta[3] ** 2, math.tanh(theta[4])
    cov = np.array([[s1**2, rho * s1 * s2], [rho * s1 * s2, s2**2]]) + 1e-6 * np.eye(2)
    assert_moments(x, np.tile(theta[:2], 4), np.kron(np.eye(4), cov))
    white = np.linalg.solve(np.linalg.cholesky(cov), (x.reshape(-1, 2) - theta[:2]).T)
    assert stats.kstest(white.ravel(), "norm").pvalue > 1e-3


def test_slcp_does_not_tell_signs_apart() -> None:
    x = draws("slcp", [[0.7, -2.9, -1.0, 0.9, 0.6]])
    for signs in ([1, 1, 1, 1, 1], [1, 1, -1, -1, 1]):
        assert np.allclose(
            draws("slcp", np.abs([[0, 0, -1.0, 0.9, 0]]) * signs + [[0.7, -2.9, 0, 0, 0.6]]), x, atol=1e-12
        )


def test_slcp_mle_inverts_the_moments() -> None:
    theta = np.array([0.8, -1.7, 1.1, 0.6, -0.9])
    s1, s2, rho = theta[2] ** 2, theta[3] ** 2, math.tanh(theta[4])
    cov = np.array([[s1**2, rho * s1 * s2], [rho * s1 * s2, s2**2]]) + 1e-6 * np.eye(2)
    points = np.random.default_rng(5).normal(size=(28, 2))
    points = points - points.mean(axis=0)
    points = points @ np.linalg.inv(np.linalg.cholesky(points.T @ points / 28)).T  # of covariance I, exactly
    x = (points @ np.linalg.cholesky(cov).T + theta[:2]).reshape(7, 8)
    assert np.allclose(avo.simulators.slcp().mle(x), theta, rtol=0, atol=1e-9)


# Observation 1 of sbibm's slcp and the places where slcp_distractors shows it.
SLCP_OBSERVATION = [2.3718784, 0.49947417, 9.931435, 1.7136912, -10.436423, -1.9067793, -1.2343777, -0.09735]
SLCP_PLACES = [22, 33, 23, 67, 42, 21, 16, 90]


def test_slcp_distractors_shows_the_signal_at_the_published_places() -> None:
    theta = [0.7, -2.9, -1.0, -0.9, 0.6]
    x = draws("slcp_distractors", theta, 4000)
    s1, s2, rho = 1.0, 0.81, math.tanh(0.6)
    cov = np.array([[s1**2, rho * s1 * s2], [rho * s1 * s2, s2**2]]) + 1e-6 * np.eye(2)
    assert_moments(x[:, SLCP_PLACES], np.tile(theta[:2], 4), np.kron(np.eye(4), cov))
    noisy = np.full((3, 100), 1e3)
    noisy[:, SLCP_PLACES] = np.array(SLCP_OBSERVATION) * [[1.0], [0.9], [1.2]]
    mle = avo.simulators.slcp().mle(noisy[:, SLCP_PLACES])
    assert np.array_equal(avo.simulators.slcp_distractors().mle(noisy), mle)


def test_slcp_distractors_noise_is_a_mixture_of_student_t() -> None:
    rng = np.random.RandomState(42)  # the sequence of sbibm's script that generates the constants
    mu = np.array([15 * rng.normal(size=92) for _ in range(20)])
    factors = np.array([3 * (np.tril(rng.normal(size=(92, 92))) + np.diag(np.exp(rng.normal(size=92)))) for _ in mu])
    order = rng.permutation(100)
    assert all(np.allclose(a, b, rtol=1e-14) for a, b in zip(constants(), (mu, factors, order), strict=True))
    x = draws("slcp_distractors", [0.7, -2.9, -1.0, -0.9, 0.6], 10_000)
    noise = x[:, np.argsort(order)[8:]]
    # Any projection w of the mixture is a mixture of t with 2 degrees of freedom, of scales |L_k^T w|.
    for w in (*np.random.default_rng(7).normal(size=(3, 92)), np.eye(92)[0], np.eye(92)[90]):
        loc, scale = mu @ w, np.linalg.norm(np.swapaxes(factors, 1, 2) @ w, axis=1)

        def cdf(v: np.ndarray, loc: np.ndarray = loc, scale: np.ndarray = scale) -> np.ndarray:
            return stats.t.cdf((v[:, None] - loc) / scale, df=2).mean(axis=1)

        assert stats.kstest(noise @ w, cdf).pvalue > 1e-3


# --- Bernoulli GLM ------------------------------------------------------------------------------------------------

# Observation 1 of sbibm's bernoulli_glm, as spikes and as their statistic.
SPIKES = "1101111111100000011111110001110111100000111100001110001111001100011111001110000000111000111110000111"
STATISTIC = [56.0, 3.32306, 14.356438, 11.104893, -4.167525, -18.507809, -21.917496, -9.553517, -0.357257, -5.497825]


def test_bernoulli_glm_statistic_is_the_published_one() -> None:
    assert np.allclose([int(c) for c in SPIKES] @ design(), STATISTIC, rtol=0, atol=1e-5)


@pytest.mark.parametrize("seed", [4, 9])
def test_bernoulli_glm_moments(seed: int) -> None:
    theta = 0.6 * scales("bernoulli_glm") * np.random.default_rng(seed).normal(size=10)
    v = design()
    p = special.expit(v @ theta)
    assert_moments(draws("bernoulli_glm", theta, 10_000), v.T @ p, v.T @ np.diag(p * (1 - p)) @ v)


def test_bernoulli_glm_raw_spikes() -> None:
    raw, theta, n = bernoulli_glm(summary="raw"), bernoulli_glm().theta_true, 4000
    y = np.asarray(jax.jit(raw.simulate)(KEY, np.tile(theta, (n, 1))))
    p = special.expit(design() @ theta)
    assert raw.x_shape == (100,) and set(np.unique(y)) == {0.0, 1.0}
    assert np.allclose(raw.mean(theta), p, rtol=0, atol=1e-12)
    # Sum over the 100 spikes of their squared standardised frequency: chi-square with 100 degrees of freedom.
    assert stats.chi2.sf(np.sum((y.mean(axis=0) - p) ** 2 / (p * (1 - p) / n)), 100) > 1e-3
    assert np.allclose(y @ design(), draws("bernoulli_glm", theta, n), rtol=0, atol=1e-9)


def test_bernoulli_glm_prior() -> None:
    theta = np.random.default_rng(2).normal(size=10)
    # -2 log density without its constant: half the squared offset and the squares of second differences and values.
    f = np.concatenate([[0.0, 0.0], theta[1:]])
    exact = 0.5 * theta[0] ** 2 + np.sum((f[2:] - 2 * f[1:-1] + f[:-2] + np.sqrt(np.arange(9) / 9) * f[2:]) ** 2)
    assert np.isclose(theta @ prior_precision() @ theta, exact, rtol=1e-12)
    assert np.allclose(scales("bernoulli_glm"), np.sqrt(np.diag(np.linalg.inv(prior_precision()))), rtol=1e-12)


def test_bernoulli_glm_names_the_wrong_argument() -> None:
    with pytest.raises(ValueError, match="summary must be one of sufficient, raw; got 'none'"):
        bernoulli_glm(summary="none")


# --- SIR ----------------------------------------------------------------------------------------------------------

SIR_THETAS = [(1.79, 0.069), (1.79, 0.227), (0.09, 0.227), (0.3, 0.11), (0.615, 0.192), (1.787, 0.0941), (1.79, 0.174)]


def solve_sir(beta: float, gamma: float) -> np.ndarray:
    solution = integrate.solve_ivp(
        lambda t, y: [-beta * y[0] * y[1] / 1e6, beta * y[0] * y[1] / 1e6 - gamma * y[1]],
        (0, 153), [1e6 - 1, 1.0], method="DOP853", t_eval=17.0 * np.arange(10), rtol=1e-12, atol=1e-9,
    )  # fmt: skip
    return solution.y[1] / 1e6


@pytest.mark.parametrize("x64", [True, False])
def test_sir_solves_its_equations(x64: bool) -> None:
    with jax.enable_x64(x64):
        found = np.asarray(jax.vmap(infected)(jnp.array(SIR_THETAS)), dtype=np.float64)
    exact = np.array([solve_sir(*theta) for theta in SIR_THETAS])
    # The module promises both.
    assert np.abs(found - exact).max() < 2.4e-5
    assert np.all(np.abs(found - exact) < 0.0016 * np.sqrt(exact * (1 - exact) / 1000))


def test_sir_counts_are_binomial() -> None:
    n, theta = 20_000, (0.3, 0.11)
    x, p = draws("sir", theta, n), solve_sir(*theta)
    assert np.array_equal(x, np.round(x))
    assert p.max() > 0.19 and p.min() < 1e-5  # few and many infected
    for column, q in zip(x.T, p, strict=True):
        low, high = (int(v) for v in stats.binom.ppf([0.002, 0.998], 1000, q))
        expected = stats.binom.pmf(np.arange(low, high + 1), 1000, q)
        expected[0], expected[-1] = stats.binom.cdf(low, 1000, q), stats.binom.sf(high - 1, 1000, q)
        if high == low:  # all but a few counts are 0
            assert abs(np.mean(column == 0) - (1 - q) ** 1000) < 5 * math.sqrt(1000 * q / n)
            continue
        observed = np.bincount((np.clip(column, low, high) - low).astype(int), minlength=high - low + 1)
        assert stats.chisquare(observed, n * expected).pvalue > 1e-3
    assert np.all(np.abs(np.corrcoef(x[:, 1:8].T) - np.eye(7)) < 5 / math.sqrt(n))


def check_sir(observation: np.ndarray, theta: np.ndarray) -> None:
    tested = module("sir").TESTED

    def log_posterior(phi: jax.Array) -> jax.Array:
        p = infected(jnp.exp(phi))
        prior = -0.5 * jnp.sum(((phi - jnp.log(jnp.array([0.4, 0.125]))) / jnp.array([0.5, 0.2])) ** 2)
        return prior + jnp.sum(observation * jnp.log(p) + (tested - observation) * jnp.log1p(-p))

    phi = np.log(theta)
    assert_stein(phi, np.asarray(jax.jit(jax.vmap(jax.jacfwd(log_posterior)))(phi)))
    assert_not_extreme(draws("sir", theta), observation)


# --- Lotka-Volterra -----------------------------------------------------------------------------------------------

LV_THETAS = [(0.686, 0.108, 0.888, 0.117), (0.25, 0.19, 3.2, 0.014), (2.9, 0.02, 0.31, 0.17), (3.2, 0.016, 3.0, 0.062)]
LV_THETAS += [
    (3.95, 0.0112, 3.95, 0.222),
    (0.2077, 0.0783, 3.4658, 0.0128),
]  # the worst of the space, in either precision


def solve_lotka_volterra(alpha: float, beta: float, gamma: float, delta: float) -> np.ndarray:
    solution = integrate.solve_ivp(
        lambda t, y: [alpha * y[0] - beta * y[0] * y[1], -gamma * y[1] + delta * y[0] * y[1]],
        (0, 18.9), [30.0, 1.0], method="DOP853", t_eval=np.linspace(0, 18.9, 10), rtol=1e-12, atol=1e-30,
    )  # fmt: skip
    return solution.y.ravel()


@pytest.mark.parametrize(("x64", "tolerance"), [(True, 1.9e-3), (False, 9.5e-3)])
def test_lotka_volterra_solves_its_equations(x64: bool, tolerance: float) -> None:
    with jax.enable_x64(x64):
        found = np.asarray(jax.vmap(log_populations)(jnp.array(LV_THETAS)), dtype=np.float64)
    exact = np.log(np.clip([solve_lotka_volterra(*theta) for theta in LV_THETAS], 1e-10, 1e4))
    assert (exact < -20).any()  # populations that nearly die out
    assert np.abs(found - exact).max() < tolerance  # as the module promises


def test_lotka_volterra_holds_extremes() -> None:
    low = log_populations(jnp.array([3.9, 0.0112, 0.2, 0.222]))
    assert np.isclose(low.min(), math.log(1e-10), atol=1e-12) and low.max() < math.log(1e4)
    many = (3.0, 0.001, 1.0, 1e-4)  # outside the space, in which none of 4000 thetas reached the upper end
    assert solve_lotka_volterra(*many).max() > 1.2e4
    assert np.isclose(log_populations(jnp.array(many)).max(), math.log(1e4), atol=1e-12)


def test_lotka_volterra_noise_is_log_normal() -> None:
    theta, n = (0.61, 0.13, 0.77, 0.094), 3000
    x = draws("lotka_volterra", theta, n)
    residual = (np.log(x) - np.log(solve_lotka_volterra(*theta))) / 0.1
    assert stats.kstest(residual.ravel(), "norm").pvalue > 1e-3
    assert np.all(np.abs(np.corrcoef(residual.T) - np.eye(20)) < 5 / math.sqrt(n))


def check_lotka_volterra(observation: np.ndarray, theta: np.ndarray) -> None:
    middle, log_x, noise = jnp.array([-0.125, -3.0, -0.125, -3.0]), np.log(observation), module("lotka_volterra").NOISE

    def log_posterior(phi: jax.Array) -> jax.Array:
        prior = -0.5 * jnp.sum(((phi - middle) / 0.5) ** 2)
        return prior - 0.5 * jnp.sum(((log_x - log_populations(jnp.exp(phi))) / noise) ** 2)

    phi = np.log(theta)
    assert_stein(phi, np.asarray(jax.jit(jax.vmap(jax.jacfwd(log_posterior)))(phi)))
    assert_not_extreme(draws("lotka_volterra", theta), observation)


# --- Hodgkin-Huxley -----------------------------------------------------------------------------------------------


def rates_by_hand(v: float) -> np.ndarray:
    """alpha and beta of m, h, n, p as the literature prints them, with shape (4, 2)."""
    w = v + 60.0
    p_inf = 1 / (1 + math.exp(-(v + 35) / 10))
    tau_p = 600 / (3.3 * math.exp((v + 35) / 20) + math.exp(-(v + 35) / 20))
    return np.array(
        [
            [-0.32 * (w - 13) / (math.exp(-(w - 13) / 4) - 1), 0.28 * (w - 40) / (math.exp((w - 40) / 5) - 1)],
            [0.128 * math.exp(-(w - 17) / 18), 4 / (1 + math.exp(-(w - 40) / 5))],
            [-0.032 * (w - 15) / (math.exp(-(w - 15) / 5) - 1), 0.5 * math.exp(-(w - 10) / 40)],
            [p_inf / tau_p, (1 - p_inf) / tau_p],
        ]
    )


def neuron(y: np.ndarray, theta: tuple[float, float], current: float) -> np.ndarray:
    """Time derivative of (V, m, h, n, p), independent of the library."""
    v, (m, h, n, p) = y[0], y[1:]
    rates = rates_by_hand(v)
    ions = theta[0] * m**3 * h * (v - 53) + theta[1] * n**4 * (v + 107) + 0.07 * p * (v + 107) + 0.1 * (v + 70)
    return np.array([current - ions, *(rates[:, 0] * (1 - y[1:]) - rates[:, 1] * y[1:])])


def steady(v: float) -> np.ndarray:
    rates = rates_by_hand(v)
    return np.array([v, *(rates[:, 0] / rates.sum(axis=1))])


def test_hodgkin_huxley_rates() -> None:
    for v in (-93.2, -70.3, -51.7, -12.4, 41.9):
        assert np.allclose(gate_rates(jnp.array(v)), rates_by_hand(v), rtol=1e-12)
    # The three 0 / 0: their limits by l'Hopital are 0.32 * 4, 0.28 * 5 and 0.032 * 5.
    for x64 in (True, False):
        with jax.enable_x64(x64):
            at = [float(gate_rates(jnp.asarray(v))[i][j]) for v, i, j in ((-47.0, 0, 0), (-20.0, 0, 1), (-45.0, 2, 0))]
            assert np.allclose(at, [1.28, 1.4, 0.16], rtol=1e-6)
            beside = jnp.array([-3e-5, -1e-7, 1e-7, 3e-5])
            assert np.allclose(ratio(beside), 1 - beside / 2, rtol=1e-6)


def test_hodgkin_huxley_converges_at_order_4() -> None:
    theta, current, end = (50.0, 5.0), 3.2, 14.0  # a spike and its recovery
    exact = integrate.solve_ivp(
        lambda t, y: neuron(y, theta, current), (0, end), steady(-70.0), method="DOP853", rtol=1e-13, atol=1e-13
    ).y[0]
    assert exact.max() > 30
    solver = jax.jit(trajectory, static_argnames="step")
    ends = [float(solver(theta, np.full(round(end / h), current), step=h)[-1]) for h in (0.02, 0.01, 0.005)]
    errors = np.abs(np.array(ends) - exact[-1])
    # Halving the step divides the error by 2^4, up to a term of relative order h.
    assert np.allclose(errors[:-1] / errors[1:], 16, rtol=0.15)


@pytest.mark.parametrize("theta", [(50.0, 5.0), (12.3, 9.1)])
def test_hodgkin_huxley_follows_its_equations_through_the_step(theta: tuple[float, float]) -> None:
    problem = hodgkin_huxley(output="voltage", noise=0.0)
    times = problem.axes[0].values
    y, exact = steady(-70.0), [-70.0]
    for start, end, current in ((0.0, 10.0, 0.0), (10.0, 110.0, 5e-4 / (math.pi * 0.007**2)), (110.0, 120.0, 0.0)):
        inside = times[(times > start + 1e-9) & (times < end + 1e-9)]
        solution = integrate.solve_ivp(
            lambda t, y, current=current: neuron(y, theta, current), (start, inside[-1]), y,
            method="LSODA", t_eval=inside, rtol=1e-8, atol=1e-8,
        )  # fmt: skip
        y = solution.y[:, -1]
        exact.extend(solution.y[0])
    voltage = np.asarray(problem.simulate(KEY, np.array([theta]))[0])
    assert np.abs(voltage - exact).max() < 1.2
    assert np.abs(voltage[:200] - exact[:200]).max() < 2e-2  # through the first spike


def test_hodgkin_huxley_rests_where_the_currents_cancel() -> None:
    theta = (50.0, 5.0)
    rest = np.asarray(optimize.brentq(lambda v: neuron(steady(v), theta, 0.0)[0], -90.0, -65.0))
    # The slow potassium current takes 100 ms there.
    voltage = jax.jit(trajectory, static_argnames="step")(theta, np.zeros(40_000), step=0.05)
    assert abs(float(voltage[-1]) - rest) < 1e-6


def test_hodgkin_huxley_noise_is_white() -> None:
    theta, n, noise = (50.0, 5.0), 2000, 0.1
    problem = hodgkin_huxley(output="voltage", noise=noise)
    v = np.asarray(jax.jit(problem.simulate)(KEY, np.tile(theta, (n, 1))))[:, :100]
    # Linearised about its mean, dy = A y dt + noise dW e_V has the variance int_0^t |(exp(A s) e_V)_V|^2 noise^2 ds.
    y = steady(float(v.mean()))
    step = 1e-5
    a = np.stack([(neuron(y + step * e, theta, 0) - neuron(y - step * e, theta, 0)) / (2 * step) for e in np.eye(5)], 1)
    for k in (5, 97):
        s = np.linspace(0, 0.1 * k, 400)
        response = np.array([linalg.expm(a * t)[0, 0] for t in s])
        exact = noise * math.sqrt(np.trapezoid(response**2, s))
        # Linearisation and the step of 0.025 ms are below 1 %.
        assert abs(v[:, k].std() / exact - 1) < 0.01 + 5 / math.sqrt(2 * n)


def statistics_by_hand(v: np.ndarray) -> np.ndarray:
    """The seven statistics in NumPy and SciPy, spikes found one by one."""
    during = v[400:4400]
    count, last = 0, -math.inf
    for i in range(1, 3999):
        if during[i - 1] > -10 and during[i] >= during[i - 1] and during[i] > during[i + 1]:
            count += i - last > 20  # 0.5 ms
            last = i
    shape = [during.mean(), during.var(), stats.skew(during), stats.kurtosis(during, fisher=False)]
    return np.array([count, v[:400].mean(), v[360:400].std(), *shape])


def test_hodgkin_huxley_statistics() -> None:
    thetas = np.array([[50.0, 5.0], [2.1, 9.0], [3.468, 4.057], [79.9, 0.01], [77.4, 0.22], [20.2, 4.07]])
    current = np.where((np.arange(4800) >= 400) & (np.arange(4800) < 4400), AMPLITUDE, 0.0)
    current = current + 0.1 / math.sqrt(0.025) * np.random.default_rng(8).normal(size=(6, 4800))
    voltage = jax.jit(jax.vmap(trajectory))(thetas, current)
    found, exact = (
        np.asarray(jax.vmap(summarize)(voltage)),
        np.array([statistics_by_hand(np.asarray(v)) for v in voltage]),
    )
    assert np.allclose(found, exact, rtol=1e-9)
    assert exact[0, 0] == 5 and exact[1, 0] == 0  # spikes, and none


def test_hodgkin_huxley_spikes_are_half_a_millisecond_apart() -> None:
    for later, spikes in ((16, 1), (28, 2)):  # steps of 0.025 ms: 0.4 and 0.7 ms
        spike = jnp.array([-5.0, 20.0, -5.0])
        voltage = jnp.full(4801, -70.0).at[1000:1003].set(spike).at[1000 + later : 1003 + later].set(spike)
        assert summarize(voltage)[0] == spikes


def test_hodgkin_huxley_summary_is_that_of_its_voltage() -> None:
    theta = np.array([[50.0, 5.0], [31.0, 2.2]])
    full = draws("hodgkin_huxley", theta)
    recorded = np.asarray(jax.jit(hodgkin_huxley(output="voltage").simulate)(KEY, theta))
    # Every fourth voltage: a mean differs by a quarter of what the noise and the drift change within 0.1 ms.
    assert np.allclose(recorded[:, :100].mean(axis=1), full[:, 1], rtol=0, atol=0.02)
    assert np.allclose(recorded[:, 100:1100].mean(axis=1), full[:, 3], rtol=0, atol=0.2)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"output": "spikes"}, "output must be one of summary, voltage; got"),
        ({"noise": -0.1}, "noise must be a finite number of at least 0; got -0.1"),
        ({"noise": math.inf}, "noise must be a finite number of at least 0; got inf"),
    ],
)
def test_hodgkin_huxley_names_the_wrong_argument(options: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        hodgkin_huxley(**options)


# --- reference posteriors -----------------------------------------------------------------------------------------

CHECKS: dict[str, Callable[[np.ndarray, np.ndarray], None]] = {
    "gaussian_linear": check_gaussian_linear,
    "gaussian_linear_uniform": check_gaussian_linear_uniform,
    "lotka_volterra": check_lotka_volterra,
    "sir": check_sir,
    "two_moons": check_two_moons,
}


@pytest.mark.parametrize("name", CHECKS)
def test_reference_posterior(name: str, shared_data: Path) -> None:
    observation, theta = reference(shared_data, name)
    CHECKS[name](observation, theta)
    low, high = np.transpose([parameter.support for parameter in avo.simulators.get(name).space])
    assert np.all((low < theta) & (theta < high))


@pytest.mark.parametrize(
    ("name", "constant", "factor"),
    [
        ("lotka_volterra", "INTERVAL", 1.1),
        ("lotka_volterra", "NOISE", 1.1),
        ("lotka_volterra", "PREDATORS", 1.1),
        ("lotka_volterra", "PREY", 1.1),
        ("sir", "DAYS_APART", 18 / 17),
        ("sir", "POPULATION", 1.2),
        ("sir", "TESTED", 1.1),
        ("two_moons", "OFFSET", 1.1),
        ("two_moons", "RADIUS", 1.1),
        ("two_moons", "RADIUS_SD", 1.2),
    ],
)
def test_reference_posterior_shows_a_wrong_constant(
    name: str, constant: str, factor: float, shared_data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    right = getattr(module(name), constant)
    monkeypatch.setattr(module(name), constant, type(right)(round(factor * right, 9)))
    monkeypatch.setitem(globals(), "compiled", compiled.__wrapped__)  # the cached simulators have the right constant
    with pytest.raises(AssertionError):
        CHECKS[name](*reference(shared_data, name))


@pytest.mark.parametrize("factor", [0.9, 1.1])
@pytest.mark.parametrize("name", ["gaussian_linear", "gaussian_linear_uniform"])
def test_reference_posterior_shows_a_wrong_gaussian_noise(
    name: str, factor: float, shared_data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    right = compiled(name)
    wrong = lambda key, theta: theta + factor * (right(key, theta) - theta)  # noqa: E731
    monkeypatch.setitem(globals(), "compiled", lambda _: wrong)
    with pytest.raises(AssertionError):
        CHECKS[name](*reference(shared_data, name))


@pytest.mark.parametrize(
    ("name", "priors"),
    [
        ("lotka_volterra", [(-0.125, 0.5), (-3.0, 0.5), (-0.125, 0.5), (-3.0, 0.5)]),
        ("sir", [(math.log(0.4), 0.5), (math.log(0.125), 0.2)]),
    ],
)
def test_space_is_three_standard_deviations_of_the_log_normal_prior(
    name: str, priors: list[tuple[float, float]]
) -> None:
    for parameter, (mean, sd) in zip(avo.simulators.get(name).space, priors, strict=True):
        assert np.allclose(np.log(parameter.support), [mean - 3 * sd, mean + 3 * sd], rtol=0, atol=1e-12)
