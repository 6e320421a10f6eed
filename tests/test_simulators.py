"""Every simulator against its protocol and its exact law.

Statistical tolerances are 5 standard errors, derived from the sample size where they are used; Kolmogorov-Smirnov and
chi-square tests ask for p > 1e-3. Seeds are fixed, so that a test passes always or never.
"""

import functools
import math
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import integrate, special, stats

import avo.simulators
from avo.simulators.ecg import FIFTEEN, SEVEN, ecg, gaussian_wave, waveform
from avo.simulators.epem import asymmetry, epem, quantile
from avo.simulators.linear5 import R, linear5
from avo.simulators.pendulum import pendulum, trajectory
from avo.simulators.poisson import poisson
from avo.simulators.problem import Problem

KEY = jax.random.key(20)
every_simulator = pytest.mark.parametrize("name", avo.simulators.names())


@functools.cache
def compiled(name: str) -> tuple[Problem, Callable[..., jax.Array]]:
    """A registered problem and its simulator, compiled once per shape for all tests."""
    problem = avo.simulators.get(name)
    return problem, jax.jit(problem.simulate)


def random_thetas(problem: Problem, n: int) -> jax.Array:
    return problem.space.constrain(1.5 * jax.random.normal(jax.random.key(11), (n, problem.space.dim)))


def repeat(theta: list[float], n: int) -> jax.Array:
    return jnp.tile(jnp.array(theta), (n, 1))


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


@every_simulator
def test_shape_and_dtype(name: str) -> None:
    problem, simulate = compiled(name)
    x = simulate(KEY, random_thetas(problem, 64))
    assert x.shape == (64, *problem.x_shape)
    assert x.dtype == jnp.result_type(float)
    assert problem.mle(x) is None or problem.mle(x).shape == (problem.space.dim,)


@every_simulator
def test_key_decides_everything(name: str) -> None:
    problem, simulate = compiled(name)
    theta = random_thetas(problem, 64)
    x = simulate(KEY, theta)
    assert np.array_equal(x, simulate(KEY, theta))
    assert not np.array_equal(x, simulate(jax.random.key(21), theta))


@every_simulator
def test_rows_are_independent(name: str) -> None:
    problem, simulate = compiled(name)
    same = repeat(list(problem.theta_true), 64)
    x = np.asarray(simulate(KEY, same)).reshape(64, -1)
    assert len(np.unique(x, axis=0)) > 8
    changed = np.asarray(simulate(KEY, same.at[5].set(random_thetas(problem, 1)[0]))).reshape(64, -1)
    others = np.arange(64) != 5
    assert np.array_equal(x[others], changed[others])
    # Under independence the correlation of n neighbouring pairs has standard deviation 1 / sqrt(n).
    many = np.asarray(simulate(KEY, repeat(list(problem.theta_true), 4001))).reshape(4001, -1)[:, -1]
    assert abs(np.corrcoef(many[1:], many[:-1])[0, 1]) < 5 / math.sqrt(4000)


@every_simulator
def test_batch_of_one_equals_row_of_batch(name: str) -> None:
    problem, simulate = compiled(name)
    theta = random_thetas(problem, 64)
    x = simulate(KEY, theta)
    # Vectorised and scalar instructions may round the last bits differently.
    scale = float(jnp.abs(x).max()) * float(jnp.finfo(x.dtype).eps)
    assert np.allclose(simulate(KEY, theta[:1]), x[:1], rtol=0, atol=64 * scale)


@every_simulator
def test_finite_over_the_space_and_at_its_edges(name: str) -> None:
    problem, simulate = compiled(name)
    with jax.enable_x64(False):  # as users run
        x = simulate(KEY, random_thetas(problem, 10_000))
        assert x.dtype == jnp.float32
        assert jnp.isfinite(x).all()
        edges = jnp.where(jax.random.bernoulli(KEY, shape=(10_000, problem.space.dim)), 40.0, -40.0)
        assert jnp.isfinite(simulate(KEY, problem.space.constrain(edges))).all()


@every_simulator
def test_one_trace_under_jit_and_vmap(name: str) -> None:
    problem = avo.simulators.get(name)
    traces = 0

    def counted(key: jax.Array, theta: jax.Array) -> jax.Array:
        nonlocal traces
        traces += 1
        return problem.simulate(key, theta)

    simulate = jax.jit(counted)
    theta = random_thetas(problem, 128).reshape(2, 64, -1)
    x = simulate(KEY, theta[0])
    simulate(jax.random.key(1), theta[1])
    assert traces == 1
    keys = jnp.stack([KEY, jax.random.key(1)])
    batches = jax.jit(jax.vmap(problem.simulate))(keys, theta)
    assert batches.shape == (2, 64, *problem.x_shape)
    tolerance = 256 * float(jnp.finfo(x.dtype).eps) * float(jnp.abs(x).max())
    assert np.allclose(batches[0], x, rtol=0, atol=tolerance)


@every_simulator
def test_mean_is_the_average(name: str) -> None:
    problem, simulate = compiled(name)
    if problem.mean is None:
        pytest.skip("no mean is known without simulating")
    for theta in random_thetas(problem, 3):
        x = np.asarray(simulate(KEY, repeat(list(theta), 10_000)), dtype=np.float64)
        mean = problem.mean(theta)
        assert mean.shape == problem.x_shape
        rounding = 1e-5 * np.abs(x).max()
        assert np.all(np.abs(x.mean(axis=0) - mean) < 5 * x.std(axis=0) / math.sqrt(10_000) + rounding)


def test_registry() -> None:
    assert set(avo.simulators.names()) >= {"brownian", "ecg", "epem", "linear5", "pendulum", "poisson"}
    assert avo.simulators.get("pendulum", points=17).x_shape == (17,)


@pytest.mark.parametrize(("wrong", "near"), [("browian", "brownian"), ("pendulm", "pendulum"), ("linear-5", "linear5")])
def test_unknown_name_suggests_the_nearest(wrong: str, near: str) -> None:
    with pytest.raises(ValueError, match=f"got '{wrong}'. Did you mean '{near}'"):
        avo.simulators.get(wrong)


def test_unknown_name_without_a_near_one_lists_all() -> None:
    with pytest.raises(ValueError, match="Known: brownian, ") as error:
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
    assert R[0, 3] == -0.3249938 and R[3, 0] == 0.3249938
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


# --- pendulum -----------------------------------------------------------------------------------------------------


def solve_pendulum(w0_sq: float, damping: float, angle: float, velocity: float, times: np.ndarray) -> np.ndarray:
    solution = integrate.solve_ivp(
        lambda t, y: [y[1], -w0_sq * np.sin(y[0]) - damping * y[1]],
        (0, times[-1]), [angle, velocity], method="DOP853", t_eval=times, rtol=1e-12, atol=1e-12,
    )  # fmt: skip
    return solution.y[0]


@pytest.mark.parametrize("theta", [(100.0, 0.0, 2.0), (97.3, 0.03, 1.9), (24.5, 0.15, 1.1), (9.2, 0.98, 0.23)])
def test_pendulum_solves_its_equation(theta: tuple[float, float, float]) -> None:
    problem = pendulum(noise=0.0)
    times = problem.axes[0].values
    with jax.enable_x64(True):
        x = problem.simulate(jax.random.key(0), np.array([theta]))[0]
    # The module promises 6e-4 per rad of swing; the noise is 0.05.
    assert np.abs(x - solve_pendulum(*theta, 0.0, times)).max() < 6e-4 * theta[2]


def test_pendulum_in_single_precision() -> None:
    theta, problem = (97.3, 0.03, 1.9), pendulum(noise=0.0)
    with jax.enable_x64(False):
        x = problem.simulate(jax.random.key(0), np.array([theta]))[0]
    assert np.abs(x - solve_pendulum(*theta, 0.0, problem.axes[0].values)).max() < 6e-4 * theta[2]


@pytest.mark.parametrize(("points", "duration"), [(13, 4.0), (400, 4.0), (1000, 1.0)])
def test_pendulum_accuracy_does_not_depend_on_the_grid(points: int, duration: float) -> None:
    problem, theta = pendulum(points=points, duration=duration, noise=0.0), (81.0, 0.07, 1.7)
    assert np.isclose(problem.axes[0].values[-1], duration)
    with jax.enable_x64(True):
        x = problem.simulate(jax.random.key(0), np.array([theta]))[0]
    assert np.abs(x - solve_pendulum(*theta, 0.0, problem.axes[0].values)).max() < 6e-4 * theta[2]


def test_pendulum_converges_at_order_4() -> None:
    with jax.enable_x64(True):
        exact = solve_pendulum(31.0, 0.2, 1.3, 0.7, np.array([2.0]))[0]
        errors = [abs(float(trajectory(31.0, 0.2, 1.3, 0.7, 2.0 / n, n)[-1, 0]) - exact) for n in (400, 800, 1600)]
    # Halving the step divides the error by 2^4, up to a term of relative order h.
    assert np.allclose([errors[0] / errors[1], errors[1] / errors[2]], 16, rtol=0.05)


def test_pendulum_conserves_energy_undamped() -> None:
    w0_sq, angle = 24.5, 1.4
    with jax.enable_x64(True):
        path = trajectory(w0_sq, 0.0, angle, 0.0, 0.002, 5000)
    energy = path[:, 1] ** 2 / 2 - w0_sq * jnp.cos(path[:, 0])
    # RK4 loses energy at a relative rate of order w0 (w0 h)^5, 5e-10 over these 10 s.
    assert np.abs(energy + w0_sq * np.cos(angle)).max() < 1e-8 * w0_sq


def test_pendulum_loses_energy_by_damping() -> None:
    with jax.enable_x64(True):
        path = trajectory(24.5, 0.4, 0.001, 0.0, 0.002, 1000)
    # Small swings: angle = A exp(-damping t / 2) cos(w t + phase), w^2 = w0^2 - damping^2 / 4.
    w, t = math.sqrt(24.5 - 0.04), 0.002 * np.arange(1, 1001)
    exact = 0.001 * np.exp(-0.2 * t) * (np.cos(w * t) + 0.2 / w * np.sin(w * t))
    assert np.abs(path[:, 0] - exact).max() < 1e-8


@pytest.mark.parametrize("angle", [0.001, 1.0, 2.0, 3.0])
def test_pendulum_period(angle: float) -> None:
    w0_sq = 17.3
    period = 4 / math.sqrt(w0_sq) * special.ellipk(math.sin(angle / 2) ** 2)
    if angle == 0.001:
        assert np.isclose(period, 2 * math.pi / math.sqrt(w0_sq), rtol=1e-7)
    with jax.enable_x64(True):
        path = np.asarray(trajectory(w0_sq, 0.0, angle, 0.0, period / 4000, 4000))
    assert np.allclose(path[-1], [angle, 0.0], rtol=0, atol=1e-8)
    assert np.allclose(path[1999], [-angle, 0.0], rtol=0, atol=1e-8)


def test_pendulum_noise() -> None:
    problem = pendulum(points=40, noise=0.07)
    x = np.asarray(problem.simulate(KEY, repeat([24.5, 0.15, 1.1], 500)), dtype=np.float64)
    residual = (x - np.asarray(problem.mean(problem.theta_true))) / 0.07
    assert stats.kstest(residual.ravel(), "norm").pvalue > 1e-3


def test_pendulum_with_inputs_equals_plain() -> None:
    theta = np.array([[31.0, 0.2, 1.3], [64.2, 0.06, 0.4]])
    inputs = np.stack([theta[:, 2], np.zeros(2)], axis=1)
    plain, recorded = pendulum(), pendulum(start="inputs")
    assert recorded.space.names == ("w0_sq", "damping")
    x = plain.simulate(KEY, theta)
    assert np.allclose(recorded.simulate(KEY, theta[:, :2], inputs), x, rtol=0, atol=1e-5)
    assert np.allclose(recorded.mean(theta[1, :2], inputs[1]), plain.mean(theta[1]), rtol=0, atol=1e-5)


def test_pendulum_inputs_are_angle_and_velocity() -> None:
    problem = pendulum(points=60, duration=0.6, noise=0.0, start="inputs")
    theta, inputs = np.array([[64.2, 0.06]] * 2), np.array([[-0.6, 4.3], [1.2, 17.0]])
    with jax.enable_x64(True):
        x = problem.simulate(jax.random.key(0), theta, inputs)
    for row, start in zip(x, inputs, strict=True):
        exact = solve_pendulum(64.2, 0.06, start[0], start[1], problem.axes[0].values)
        assert np.abs(row - exact).max() < 1e-4


def test_pendulum_free_parameters() -> None:
    problem = pendulum(free=("damping", "w0_sq"))
    assert problem.space.names == ("damping", "w0_sq")
    full = pendulum().simulate(KEY, np.array([[40.0, 0.3, 1.1]]))
    assert np.allclose(problem.simulate(KEY, np.array([[0.3, 40.0]])), full, rtol=0, atol=1e-6)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"free": ("length",)}, "free must name different parameters out of w0_sq, damping, start"),
        ({"free": ("start",), "start": "inputs"}, "out of w0_sq, damping; got"),
        ({"start": "moving"}, "start must be"),
        ({"points": 0}, "points must be above zero; got 0"),
        ({"duration": -1.0}, "duration must be above zero"),
        ({"noise": -0.1}, "noise must not be negative"),
    ],
)
def test_pendulum_names_the_wrong_argument(options: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        pendulum(**options)


# --- ecg ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("amp", [0.37, -0.62])
@pytest.mark.parametrize(("order", "peak"), [(0, 0.0), (1, -1.0), (2, 0.0)])
def test_ecg_wave_has_its_amplitude(order: int, peak: float, amp: float) -> None:
    centre, width = 0.13, 0.021
    t = centre + width * np.linspace(-6, 6, 24_001)
    wave = np.asarray(gaussian_wave(t, amp, centre, width, order))
    assert np.isclose(np.abs(wave).max(), abs(amp), rtol=1e-5)
    assert np.isclose(gaussian_wave(np.array([centre + peak * width]), amp, centre, width, order)[0], amp, rtol=1e-5)


@pytest.mark.parametrize(("order", "factor"), [(1, 0.021 * math.exp(0.5)), (2, -(0.021**2))])
def test_ecg_orders_are_derivatives(order: int, factor: float) -> None:
    with jax.enable_x64(True):
        derivative: Callable = lambda t: 0.37 * jnp.exp(-(((t - 0.13) / (math.sqrt(2) * 0.021)) ** 2))  # noqa: E731
        for _ in range(order):
            derivative = jax.grad(derivative)
        t = jnp.linspace(0.05, 0.21, 33)
        assert np.allclose(gaussian_wave(t, 0.37, 0.13, 0.021, order), factor * jax.vmap(derivative)(t), atol=1e-12)


def test_ecg_width_conventions() -> None:
    beside = np.array([0.03 + 0.011])
    single = waveform(beside, {"s_amp": -0.4, "s_centre": 0.03, "s_width": 0.011})
    assert np.isclose(single[0], -0.4 * math.exp(-0.5), rtol=1e-4)
    for half in ("q1", "q2"):
        value = waveform(beside, {f"{half}_amp": -0.4, f"{half}_centre": 0.03, f"{half}_width": 0.011})
        assert np.isclose(value[0], -0.4 * math.exp(-1), rtol=1e-4)


def test_ecg_waveform_sums_its_waves() -> None:
    problem = ecg(free=FIFTEEN, orders={"t": 1, "p": 2})
    t = problem.axes[0].values
    expected = np.zeros(200)
    for wave, (amp, centre, width) in zip("pqrst", problem.theta_true.reshape(5, 3), strict=True):
        u = (t - centre) / width
        gauss = np.exp(-(u**2) / 2)
        expected += amp * {"p": (1 - u**2) * gauss, "t": -u * math.exp(0.5) * gauss}.get(wave, gauss)
    assert np.allclose(problem.mean(problem.theta_true), expected, atol=1e-5)


def test_ecg_double_q() -> None:
    problem = ecg(q="double")
    assert problem.space.names == ("p_amp", "q1_amp", "q2_amp", "r_amp", "s_amp", "t_amp", "t_centre", "t_width")
    change = problem.mean(problem.theta_true + np.eye(8)[1]) - problem.mean(problem.theta_true)
    assert np.allclose(change, np.exp(-(((problem.axes[0].values + 0.032) / 0.01) ** 2)), atol=1e-5)


def test_ecg_grid() -> None:
    problem = ecg(rate=360.0, window=(-0.25, 0.45))
    assert problem.x_shape == (252,)
    assert np.allclose(np.diff(problem.axes[0].values), 1 / 360) and problem.axes[0].values[0] == -0.25
    assert ecg().x_shape == (200,)


@pytest.mark.parametrize("snr", [13.0, 20.0])
def test_ecg_signal_to_noise_ratio(snr: float) -> None:
    beats = 500
    problem = ecg(snr=snr, free=("r_amp", "offset"))
    theta = [1.3, 0.08]
    f = np.asarray(problem.mean(theta), dtype=np.float64)
    x = np.asarray(problem.simulate(KEY, repeat(theta, beats)), dtype=np.float64)
    measured = 10 * np.log10(np.mean((f - 0.08) ** 2) / np.mean((x - f) ** 2))
    # The noise variance of N samples has relative standard deviation sqrt(2 / N), 10 / ln 10 times that in dB.
    assert abs(measured - snr) < 5 * 10 / math.log(10) * math.sqrt(2 / (beats * 200))
    assert stats.kstest(((x - f) / (x - f).std()).ravel(), "norm").pvalue > 1e-3


def test_ecg_snr_as_a_parameter() -> None:
    problem = ecg(free=("snr",), snr=24.0)
    assert problem.theta_true == [24.0] and problem.space.units == ("dB",)
    quiet, loud = (problem.simulate(KEY, np.array([[v]]))[0] - problem.mean(np.array([v])) for v in (34.0, 16.0))
    assert np.allclose(loud, 10 ** (18 / 20) * quiet, rtol=1e-2, atol=1e-5)


def test_ecg_presets() -> None:
    assert SEVEN == ("p_amp", "q_amp", "r_amp", "s_amp", "t_amp", "t_centre", "t_width")
    assert ecg().space.names == SEVEN
    assert FIFTEEN[:4] == ("p_amp", "p_centre", "p_width", "q_amp") and FIFTEEN[-1] == "t_width" and len(FIFTEEN) == 15
    fifteen = ecg(free=FIFTEEN)
    assert fifteen.space.names == FIFTEEN
    assert np.allclose(fifteen.mean(fifteen.theta_true), ecg().mean(ecg().theta_true), atol=1e-6)
    assert jnp.isfinite(fifteen.simulate(KEY, random_thetas(fifteen, 1000))).all()
    for value, parameter in zip(fifteen.theta_true, fifteen.space, strict=True):
        assert parameter.support[0] < value < parameter.support[1]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"free": ("u_amp",)}, "free must name different parameters out of p_amp"),
        ({"free": ("q_amp",), "q": "double"}, "q1_amp"),
        ({"free": ("r_amp", "r_amp")}, "different"),
        ({"orders": {"t": 3}}, "orders must map"),
        ({"orders": {"q": 1}, "q": "double"}, "orders must map"),
        ({"q": "triple"}, "q must be"),
        ({"rate": 0.0}, "rate above zero"),
        ({"window": (0.5, -0.3)}, "window must be"),
        ({"free": ("snr",), "snr": 40.0}, "snr must lie inside"),
    ],
)
def test_ecg_names_the_wrong_argument(options: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ecg(**options)
