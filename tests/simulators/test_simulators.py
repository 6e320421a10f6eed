"""Every simulator against its protocol and its exact law.

Statistical tolerances are 5 standard errors, derived from the sample size where they are used; Kolmogorov-Smirnov and
chi-square tests ask for p > 1e-3. Seeds are fixed, so that a test passes always or never.
"""

import functools
import math
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jaxtyping import ArrayLike
from scipy import stats

import avo.simulators
from avo.simulators.epem import asymmetry, epem, quantile
from avo.simulators.linear5 import R, linear5
from avo.simulators.poisson import poisson
from avo.simulators.problem import Problem

KEY = jax.random.key(20)
# The tests of one simulator follow one another and share its programs
every_simulator = pytest.mark.parametrize("name", avo.simulators.names(), scope="module")


ALL_LOSSES = ("w0_sq", "damping", "start", "velocity", "drag", "friction")
NO_LOSSES = {"free": ("w0_sq", "start", "velocity"), "values": {"damping": 0.0}, "method": "exact"}
VARIANTS: dict[str, tuple[str, dict[str, Any]]] = {
    "bernoulli_glm raw": ("bernoulli_glm", {"summary": "raw"}),
    "ecg infarction": ("ecg", {"q": "double", "infarction": True, "noise": ("white", "wander", "mains", "muscle")}),
    "ecgsyn beats of 12 leads": ("ecgsyn", {"window": (-0.3, 0.5), "leads": 12}),
    "ecgsyn strips of 12 leads": ("ecgsyn", {"duration": 2.0, "leads": 12, "noise": ("wander", "muscle")}),
    "g_and_k sample": ("g_and_k", {"draws": 20}),
    "g_and_k summaries": ("g_and_k", {"draws": 20, "summaries": True}),
    "hodgkin_huxley voltage": ("hodgkin_huxley", {"output": "voltage"}),
    "ma2 summaries": ("ma2", {"summaries": True}),
    "mg1 quantiles": ("mg1", {"quantiles": 5}),
    "pendulum exact": ("pendulum", NO_LOSSES),
    "pendulum known start": ("pendulum", {"known_start": True}),
    "pendulum leapfrog": ("pendulum", {"method": "leapfrog"}),
    "pendulum losses": ("pendulum", {"free": ALL_LOSSES}),
    "ricker summaries": ("ricker", {"summaries": True}),
}
every_variant = pytest.mark.parametrize("name", [*avo.simulators.names(), *VARIANTS], scope="module")

ROWS = 64  # of every batch, so that each simulator is compiled once


class Simulator:
    """A registered problem or a variant of one, and its compiled simulator, which counts its traces by dtype."""

    def __init__(self, name: str) -> None:
        registered, options = VARIANTS.get(name, (name, {}))
        self.problem, self.traces = avo.simulators.get(registered, **options), Counter[str]()
        self.inputs = [np.random.default_rng(5).normal(0.0, 2.0, (ROWS, 2))] if "known_start" in options else []
        self.compiled = jax.jit(self._counted)

    def _counted(self, key: jax.Array, theta: jax.Array) -> jax.Array:
        self.traces[str(theta.dtype)] += 1
        return self.problem.simulate(key, theta, *map(jnp.asarray, self.inputs))

    def __call__(self, theta: ArrayLike, key: jax.Array = KEY) -> jax.Array:
        """Simulate a batch of ROWS rows."""
        return self.compiled(key, theta)

    def many(self, theta: jax.Array) -> np.ndarray:
        """Simulate as many batches as theta has, with a key each."""
        batches = np.asarray(theta).reshape(-1, ROWS, theta.shape[-1])  # slices of JAX arrays are slow
        return np.concatenate([self(batch, jax.random.key(i)) for i, batch in enumerate(batches)])


simulator = functools.cache(Simulator)


@pytest.fixture
def single_precision() -> Iterator[None]:
    """As users run; double precision has its shapes and dtypes checked, and the exact tests."""
    with jax.enable_x64(False):
        yield


as_users_run = pytest.mark.usefixtures("single_precision")


def random_thetas(problem: Problem, n: int) -> jax.Array:
    return problem.space.constrain(1.5 * jax.random.normal(jax.random.key(11), (n, problem.space.dim)))


def repeat(theta: list[float] | np.ndarray | jax.Array, n: int) -> jax.Array:
    return jnp.tile(jnp.asarray(theta, dtype=float), (n, 1))


# --- one law, many simulators -------------------------------------------------------------------------------------


@every_simulator
def test_describes_itself(name: str) -> None:
    problem = avo.simulators.get(name)
    assert problem.name == name
    assert problem.summary and "\n" not in problem.summary
    assert problem.theta_true.shape == (problem.space.dim,)
    for value, parameter in zip(problem.theta_true, problem.space, strict=True):
        low, high = parameter.support
        assert low < value < high
    assert tuple(len(axis.values) for axis in problem.axes) == problem.x_shape


@every_variant
def test_shape_and_dtype(name: str) -> None:
    simulate = simulator(name)
    problem = simulate.problem
    x = jax.eval_shape(simulate.compiled, KEY, random_thetas(problem, ROWS))  # variants need not be compiled
    assert x.shape == (ROWS, *problem.x_shape)
    assert x.dtype == jnp.result_type(float)
    estimate = problem.mle(jnp.ones(x.shape))
    assert estimate is None or estimate.shape == (problem.space.dim,)


@as_users_run
@every_simulator
def test_key_decides_everything_in_one_trace(name: str) -> None:
    simulate = simulator(name)
    theta = random_thetas(simulate.problem, ROWS)
    x = simulate(theta)
    assert np.array_equal(x, simulate(np.asarray(theta)))
    assert not np.array_equal(x, simulate(theta, jax.random.key(21)))
    assert simulate.traces[str(x.dtype)] == 1  # in all tests so far


@as_users_run
@every_simulator
def test_rows_are_independent(name: str) -> None:
    simulate = simulator(name)
    problem = simulate.problem
    same = repeat(problem.theta_true, ROWS)
    x = np.asarray(simulate(same)).reshape(ROWS, -1)
    assert len(np.unique(x, axis=0)) == ROWS or "discrete" in problem.tags
    changed = np.asarray(simulate(same.at[5].set(random_thetas(problem, 1)[0]))).reshape(ROWS, -1)
    others = np.arange(ROWS) != 5
    assert np.array_equal(x[others], changed[others])
    # Under independence the correlation of n neighbouring pairs, 63 of a batch, has standard deviation 1 / sqrt(n).
    many = simulate.many(repeat(problem.theta_true, 32 * ROWS)).reshape(32, ROWS, -1)
    last = many[..., -1]
    assert abs(np.corrcoef(last[:, 1:].ravel(), last[:, :-1].ravel())[0, 1]) < 5 / math.sqrt(32 * 63)
    # Counts may agree by chance, with probability .11 for two of `poisson`, but not in 32 batches
    assert len(np.unique(many.swapaxes(0, 1).reshape(ROWS, -1), axis=0)) == ROWS


@as_users_run
@every_simulator
def test_vmap_and_batches_of_one_equal_rows_of_a_batch(name: str) -> None:
    simulate = simulator(name)
    theta, keys = random_thetas(simulate.problem, ROWS), jnp.stack([KEY, jax.random.key(1)])
    ones = jax.jit(jax.vmap(simulate.problem.simulate))(keys, theta[:2, None])
    assert ones.shape == (2, 1, *simulate.problem.x_shape)
    other = simulate(theta[np.r_[1, 0, 2:ROWS]], keys[1])  # its first row is that of theta[1]
    for one, x in zip(ones, (simulate(theta), other), strict=True):
        # Vectorised and scalar instructions may round the last bits differently.
        scale = float(jnp.abs(x).max()) * float(jnp.finfo(x.dtype).eps)
        assert np.allclose(one, x[:1], rtol=0, atol=256 * scale)


@as_users_run
@every_variant
def test_finite_over_the_space_and_at_its_edges(name: str) -> None:
    simulate = simulator(name)
    problem = simulate.problem
    batches, corners = (10, 4) if name in VARIANTS else (47, 16)  # 3,008 thetas
    x = simulate.many(random_thetas(problem, batches * ROWS))
    assert x.dtype == jnp.float32
    assert np.isfinite(x).all()
    edges = jnp.where(jax.random.bernoulli(KEY, shape=(corners * ROWS, problem.space.dim)), 40.0, -40.0)
    assert np.isfinite(simulate.many(problem.space.constrain(edges))).all()


@as_users_run
@every_simulator
def test_nan_in_nan_out(name: str) -> None:
    """Of each parameter: a count or an image drawn at NaN must not look like one."""
    simulate = simulator(name)
    theta = np.tile(np.asarray(simulate.problem.theta_true, dtype=np.float32), (ROWS, 1))
    theta[np.arange(ROWS), np.arange(ROWS) % simulate.problem.space.dim] = np.nan
    assert np.isnan(np.asarray(simulate(theta)).reshape(ROWS, -1)).any(axis=1).all()


@as_users_run
@every_simulator
def test_mean_is_the_average(name: str) -> None:
    simulate = simulator(name)
    if simulate.problem.mean is None:
        pytest.skip(f"the mean of {name} is not known without simulating")
    n = 50 * ROWS
    for theta in random_thetas(simulate.problem, 3):
        x = np.asarray(simulate.many(repeat(theta, n)), dtype=np.float64)
        mean = simulate.problem.mean(theta)
        assert mean.shape == simulate.problem.x_shape
        rounding = 1e-6 * np.abs(x).max(axis=0)
        # Where each of n counts is 0, less than 10 were expected in all: exp(-10) = 5e-5.
        rare = 10 / n * np.all(x == 0, axis=0)
        assert np.all(np.abs(x.mean(axis=0) - mean) < 5 * x.std(axis=0) / math.sqrt(n) + rounding + rare)


def test_registry() -> None:
    assert set(avo.simulators.names()) >= {"brownian", "ecg", "epem", "linear5", "pendulum", "poisson"}
    assert avo.simulators.get("pendulum", points=17).x_shape == (17,)


@pytest.mark.parametrize(("wrong", "near"), [("browian", "brownian"), ("pendulm", "pendulum"), ("linear-5", "linear5")])
def test_unknown_name_suggests_the_nearest(wrong: str, near: str) -> None:
    with pytest.raises(ValueError, match=f"got '{wrong}'. Did you mean '{near}'"):
        avo.simulators.get(wrong)


def test_unknown_name_without_a_near_one_lists_all() -> None:
    with pytest.raises(ValueError, match="Known: bernoulli_glm, brownian, ") as error:
        avo.simulators.get("xyzzy")
    assert "Did you mean" not in str(error.value)


# --- poisson ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("rate", [1.3, 6.7, 10.4, 28.9])
def test_poisson_law(rate: float) -> None:
    n = 20_000
    x = np.asarray(jax.jit(poisson().simulate)(KEY, repeat([rate], n)))
    assert np.array_equal(x, np.round(x)) and x.min() >= 0
    low, high = (int(v) for v in stats.poisson.ppf([0.002, 0.998], rate))
    cells = np.clip(x, low, high) - low
    observed = np.bincount(cells.astype(int), minlength=high - low + 1)
    expected = stats.poisson.pmf(np.arange(low, high + 1), rate)
    expected[0], expected[-1] = stats.poisson.cdf(low, rate), stats.poisson.sf(high - 1, rate)
    assert stats.chisquare(observed, n * expected).pvalue > 1e-3


def test_poisson_mle_is_the_mean() -> None:
    assert np.allclose(poisson().mle(jnp.array([3.0, 4.0, 8.0])), [5.0])


# --- brownian -----------------------------------------------------------------------------------------------------

DRIFT, SPREAD, POINTS, DURATION = 0.8, 0.45, 7, 2.3


def brownian_paths(n: int) -> np.ndarray:
    problem = avo.simulators.brownian(points=POINTS, duration=DURATION)
    return np.asarray(problem.simulate(KEY, repeat([DRIFT, SPREAD], n)), dtype=np.float64)


def test_brownian_increments() -> None:
    dt = DURATION / POINTS
    increments = np.diff(brownian_paths(5000), axis=1, prepend=0.0)
    law = stats.norm(DRIFT * dt, SPREAD * math.sqrt(dt))
    assert stats.kstest(increments.ravel(), law.cdf).pvalue > 1e-3


def test_brownian_mean_and_covariance() -> None:
    n, times = 20_000, DURATION / POINTS * np.arange(1, POINTS + 1)
    x = brownian_paths(n)
    exact = SPREAD**2 * np.minimum.outer(times, times)
    assert np.all(np.abs(x.mean(axis=0) - DRIFT * times) < 5 * np.sqrt(np.diag(exact) / n))
    error = np.sqrt((np.outer(np.diag(exact), np.diag(exact)) + exact**2) / n)
    assert np.all(np.abs(np.cov(x.T) - exact) < 5 * error)


def test_brownian_mle_spread() -> None:
    sets, m = 400, 100
    x = brownian_paths(sets * m).reshape(sets, m, POINTS)
    estimates = np.asarray(jax.vmap(avo.simulators.brownian(points=POINTS, duration=DURATION).mle)(jnp.asarray(x)))
    theory = np.array([SPREAD / math.sqrt(m * DURATION), SPREAD / math.sqrt(2 * m * POINTS)])
    # With n = m points increments the estimate of sigma is low by 3 sigma / 4n: .04 of its spread, within .25 allowed.
    assert np.all(np.abs(estimates.mean(axis=0) - [DRIFT, SPREAD]) < 5 * theory / math.sqrt(sets))
    assert np.all(np.abs(estimates.std(axis=0) / theory - 1) < 5 / math.sqrt(2 * sets))


# --- epem ---------------------------------------------------------------------------------------------------------


def epem_cdf(a: float) -> Callable[[np.ndarray], np.ndarray]:
    density = np.polynomial.Polynomial([3 / 8, 3 * a / 8, 3 / 8])
    return lambda x: density.integ(lbnd=-1)(x)


@pytest.mark.parametrize("theta", [(42.0, 0.9), (42.0, 1.1), (45.0, 1.0), (44.0, 1.0), (50.0, 1.5), (40.0, 1.5)])
def test_epem_law(theta: tuple[float, float]) -> None:
    energy, coupling = theta
    a = np.clip(2 * coupling * math.tanh(10 * (2 * energy - 90) / 90), -2, 2)
    assert np.isclose(asymmetry(jnp.array(theta)), a, atol=1e-6)
    n = 20_000
    x = np.asarray(jax.jit(epem().simulate)(KEY, repeat([energy, coupling], n)), dtype=np.float64)
    assert np.abs(x).max() <= 1
    assert stats.kstest(x, epem_cdf(a)).pvalue > 1e-3
    assert abs(x.mean() - a / 4) < 5 * math.sqrt((2 / 5 - a**2 / 16) / n)
    # E[x^2] = 2/5 whatever a; the published sampler gives .377 at (45, 1). Var[x^2] = 9/35 - 4/25.
    assert abs((x**2).mean() - 2 / 5) < 5 * math.sqrt((9 / 35 - 4 / 25) / n)


def test_epem_clips_to_a_density() -> None:
    assert np.array_equal(asymmetry(jnp.array([[50.0, 1.5], [40.0, 1.5]])), [2.0, -2.0])
    assert abs(float(asymmetry(jnp.array([50.0, 1.24])))) < 2


@pytest.mark.parametrize("a", [-2.0, -1.999999, -0.7, 0.0, 1e-9, 1.3, 1.999999, 2.0])
def test_epem_quantile_inverts_the_cdf(a: float) -> None:
    with jax.enable_x64(True):
        u = np.concatenate([[0.0, 1e-9, 0.5, 1.0], np.linspace(0.001, 0.999, 999)])
        x = np.asarray(quantile(u, np.full_like(u, a)))
        assert np.allclose(epem_cdf(a)(x), u, rtol=0, atol=1e-14)
        assert np.abs(x).max() <= 1


# --- linear5 ------------------------------------------------------------------------------------------------------


def test_linear5_law() -> None:
    n, alpha, beta = 20_000, 0.7, -1.6
    x = np.asarray(jax.jit(linear5().simulate)(KEY, repeat([alpha, beta], n)), dtype=np.float64)
    z = np.linalg.solve(R, x.T)
    laws: list[Callable[[np.ndarray], np.ndarray]] = [
        stats.norm(alpha, 1).cdf,
        stats.norm(beta, 3).cdf,
        lambda v: 0.5 * stats.norm.cdf(v, -2, 1) + 0.5 * stats.norm.cdf(v, 2, 0.5),
        stats.expon(scale=1 / 3).cdf,
        stats.expon(scale=2).cdf,
    ]
    for row, law in zip(z, laws, strict=True):
        assert stats.kstest(row, law).pvalue > 1e-3
    assert np.all(np.abs(np.corrcoef(z) - np.eye(5)) < 5 / math.sqrt(n))
    cov = R @ np.diag([1, 9, 4.625, 1 / 9, 4]) @ R.T
    centred = (x - x.mean(axis=0)).T
    error = np.sqrt(np.mean((centred[:, None] * centred[None]) ** 2, axis=-1) / n)
    assert np.all(np.abs(np.cov(x.T) - cov) < 5 * error)


def test_linear5_matrix_is_the_published_one() -> None:
    # By rows, in 1e-8, from the code published with the article
    table = """
        131229955   10499961   48310515  -32499380  -26387927
         10499961  115833058  -55865473   25275522  -39790775
         48310515  -55865473  225874579  -52087938  -39271231
         32499380   25275522  -52087938  140349250  -63521059
        -26387927  -39790775  -39271231  -63521059  100000000
    """
    assert np.array_equal(np.round(1e8 * R).astype(int).ravel(), [int(word) for word in table.split()])
    assert np.isclose(np.linalg.cond(R), 13.5, atol=0.1)


def test_linear5_mle_spread() -> None:
    sets, m = 150, 20_000
    problem = linear5()
    estimate = jax.jit(lambda key: problem.mle(problem.simulate(key, repeat([1.0, -1.0], m))))
    estimates = np.stack([estimate(jax.random.key(seed)) for seed in range(sets)])
    theory = np.array([1.0, 3.0]) / math.sqrt(m)
    assert np.allclose(theory, [0.0071, 0.0212], atol=5e-5)
    assert np.all(np.abs(estimates.mean(axis=0) - [1.0, -1.0]) < 5 * theory / math.sqrt(sets))
    assert np.all(np.abs(estimates.std(axis=0) / theory - 1) < 5 / math.sqrt(2 * sets))
