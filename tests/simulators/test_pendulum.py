"""Pendulums against exact solutions, conservation laws, published tables and SciPy; elliptic functions against SciPy.

Statistical tolerances are 5 standard errors, derived from the sample size where they are used; Kolmogorov-Smirnov tests
ask for p > 1e-3. Seeds are fixed.
"""

import math
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import integrate, linalg, special, stats

from avo.simulators import pendulum_driven as driven_problem
from avo.simulators import pendulum_stochastic as stochastic_problem
from avo.simulators.elliptic import ellipf, ellipj, ellipk
from avo.simulators.pendulum import DEFAULTS, exact, leapfrog, pendulum, trajectory, trajectory_with_friction
from avo.simulators.pendulum_driven import trajectory as driven
from avo.simulators.pendulum_stochastic import random_path

KEY = jax.random.key(20)


def repeat(theta: list[float], n: int) -> jax.Array:
    return jnp.tile(jnp.array(theta), (n, 1))


def solve_pendulum(w0_sq: float, damping: float, angle: float, velocity: float, times: np.ndarray) -> np.ndarray:
    """Angle and velocity by an independent method of order 8, with shape (points, 2)."""
    solution = integrate.solve_ivp(
        lambda t, y: [y[1], -w0_sq * np.sin(y[0]) - damping * y[1]],
        (0, times[-1]), [angle, velocity], method="DOP853", t_eval=times, rtol=3e-14, atol=1e-14,
    )  # fmt: skip
    return solution.y.T


# --- elliptic functions -------------------------------------------------------------------------------------------

RNG = np.random.default_rng(5)
NEAR_ONE = 10.0 ** RNG.uniform(-9, -1, 200)
M = np.concatenate([RNG.uniform(0.0, 1.0, 200), NEAR_ONE, 1.0 - NEAR_ONE])
M1 = 1.0 - M  # without rounding for M above 1/2


def test_elliptic_functions_are_those_of_scipy() -> None:
    u = RNG.uniform(-40.0, 40.0, M1.size)
    for ours, theirs in zip(jax.jit(ellipj)(u, M1), special.ellipj(u, M), strict=True):
        # Rounding of u alone moves the phase by 40 eps = 1e-14.
        assert np.abs(ours - theirs).max() < 1e-13
    phi = RNG.uniform(-20.0, 20.0, M1.size)
    assert np.allclose(jax.jit(ellipf)(phi, M1), special.ellipkinc(phi, M), rtol=1e-13, atol=0)
    tiny = 10.0 ** -np.arange(0.0, 61.0, 5.0)
    assert np.allclose(ellipk(tiny), special.ellipkm1(tiny), rtol=3e-15, atol=0)


def test_elliptic_functions_at_the_ends() -> None:
    # Abramowitz and Stegun, table 17.1: K(m = 0.5). Gauss: it is gamma(1/4)^2 / (4 sqrt(pi)).
    assert math.isclose(ellipk(0.5), 1.854074677301372, rel_tol=1e-15)
    u = np.array([-2.1, 0.4, 1.7, 9.0])
    jacobi = jax.jit(ellipj)
    sn, cn, dn, am = jacobi(u, 1.0)
    assert np.allclose([sn, cn, dn, am], [np.sin(u), np.cos(u), np.ones(4), u], rtol=0, atol=4e-15)
    sn, cn, dn, am = jacobi(u, 0.0)
    assert np.allclose([sn, cn, dn], [np.tanh(u), 1 / np.cosh(u), 1 / np.cosh(u)], rtol=0, atol=1e-15)
    assert np.allclose(jax.jit(ellipf)(am[:3], 0.0), u[:3], rtol=1e-14, atol=0)


def test_elliptic_functions_in_single_precision() -> None:
    u = RNG.uniform(-10.0, 10.0, M1.size)
    exact_values = special.ellipj(u.astype(np.float32), 1.0 - M1.astype(np.float32).astype(float))
    with jax.enable_x64(False):
        for ours, theirs in zip(jax.jit(ellipj)(u, M1), exact_values, strict=True):
            assert ours.dtype == jnp.float32
            assert np.abs(ours - theirs).max() < 1e-5


# --- the exact solution -------------------------------------------------------------------------------------------

W0_SQ = 24.5
W0 = math.sqrt(W0_SQ)


def velocity_at(k_sq: float, angle: float) -> float:
    """Start velocity that makes the modulus k^2: below 1 it swings, above it rotates."""
    return 2.0 * W0 * math.sqrt(k_sq - math.sin(angle / 2.0) ** 2)


STARTS = {
    "at rest": (1.1, 0.0),
    "swinging out": (1.1, 3.3),
    "swinging back": (-0.3, -4.1),
    "nearly upright": (3.0, 0.0),
    "a turn later": (-9.3, 0.4),
    "below the separatrix": (0.3, velocity_at(0.999, 0.3)),
    "above the separatrix": (0.3, -velocity_at(1.001, 0.3)),
    "rotating": (0.4, 11.0),
    "rotating back": (0.4, -11.0),
    "rotating fast, turns later": (20.0, -31.0),
}
exact_path = jax.jit(exact)


@pytest.mark.parametrize("name", STARTS)
def test_exact_solution(name: str) -> None:
    times = np.linspace(0.06, 10.0, 40)
    error = np.abs(exact_path(W0_SQ, *STARTS[name], times) - solve_pendulum(W0_SQ, 0.0, *STARTS[name], times))
    assert error[:, 0].max() < 1e-9 and error[:, 1].max() < 1e-9


@pytest.mark.parametrize("k_sq", [1 - 1e-6, 1 + 1e-6])
def test_exact_solution_beside_the_separatrix(k_sq: float) -> None:
    # Until the second pass near the top; later DOP853 itself is off by more than 1e-9.
    times = np.linspace(0.01, 2.4, 40)
    start = (-0.4, velocity_at(k_sq, 0.4))
    error = np.abs(exact_path(W0_SQ, *start, times) - solve_pendulum(W0_SQ, 0.0, *start, times))
    assert error[:, 0].max() < 1e-9


@pytest.mark.parametrize("way", [1.0, -1.0])
def test_exact_solution_on_the_separatrix(way: float) -> None:
    times = np.linspace(0.0, 3.0, 40)
    angle = way * (4.0 * np.arctan(np.exp(W0 * times)) - math.pi)
    path = exact_path(W0_SQ, 0.0, 2.0 * W0 * way, times)
    assert np.abs(path[:, 0] - angle).max() < 1e-12
    assert np.abs(path[:, 1] - 2.0 * way * W0 / np.cosh(W0 * times)).max() < 1e-12


def test_exact_solution_at_rest_and_at_zero_time() -> None:
    times = np.linspace(0.0, 3.0, 40)
    assert np.array_equal(exact_path(W0_SQ, 0.0, 0.0, times), np.zeros((40, 2)))
    for start in STARTS.values():
        assert np.allclose(exact_path(W0_SQ, *start, times)[0], start, rtol=0, atol=2e-14)


@pytest.mark.parametrize(("angle", "ratio"), [(0.1, 1.00063), (1.0, 1.06633), (2.0, 1.32890), (3.0, 2.57123)])
def test_period(angle: float, ratio: float) -> None:
    period = 4.0 / W0 * float(ellipk(math.cos(angle / 2.0) ** 2))
    assert math.isclose(period * W0 / (2.0 * math.pi), ratio, abs_tol=5e-6)
    path = exact_path(W0_SQ, angle, 0.0, period * np.array([0.25, 0.5, 1.0, 7.0]))
    assert np.allclose(path[:, 0], [0.0, -angle, angle, angle], rtol=0, atol=1e-12)
    assert np.allclose(path[0, 1], -2.0 * W0 * math.sin(angle / 2.0), rtol=1e-12)


def test_exact_solution_released_nearly_upright() -> None:
    angle = math.pi - 1e-5  # 1 - k^2 = 2.5e-11 must keep its digits
    quarter = float(ellipk(math.sin((math.pi - angle) / 2.0) ** 2)) / W0
    assert math.isclose(quarter * W0, math.log(4.0 / 5e-6), rel_tol=1e-9)  # K near the separatrix
    path = exact_path(W0_SQ, angle, 0.0, quarter * np.array([1.0, 2.0, 3.0, 8.0]))
    assert np.allclose(path[:, 0], [0.0, -angle, 0.0, angle], rtol=0, atol=1e-8)
    assert np.allclose(path[[0, 2], 1], [-2.0 * W0, 2.0 * W0], rtol=1e-8)


def test_exact_solution_of_small_swings() -> None:
    times = np.linspace(0.0, 3.0, 40)
    harmonic = 1e-5 * (np.cos(W0 * times) + 0.7 * np.sin(W0 * times))
    assert np.abs(exact_path(W0_SQ, 1e-5, 0.7e-5 * W0, times)[:, 0] - harmonic).max() < 1e-14


def test_exact_solution_in_single_precision() -> None:
    times = np.linspace(0.1, 4.0, 40)
    with jax.enable_x64(False):
        path = jax.jit(exact)(W0_SQ, 1.9, 2.6, times)
        assert path.dtype == jnp.float32
    assert np.abs(path[:, 0] - solve_pendulum(W0_SQ, 0.0, 1.9, 2.6, times)[:, 0]).max() < 3e-5


# --- Runge-Kutta --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("theta", [(100.0, 0.0, 2.0), (97.3, 0.03, 1.9), (24.5, 0.15, 1.1), (9.2, 0.98, 0.23)])
def test_pendulum_solves_its_equation(theta: tuple[float, float, float]) -> None:
    problem = pendulum(noise=0.0)
    x = problem.mean(np.array(theta))
    # The module promises 6e-4 per rad of swing; the noise is 0.05.
    assert np.abs(x - solve_pendulum(*theta, 0.0, problem.axes[0].values)[:, 0]).max() < 6e-4 * theta[2]


def test_pendulum_in_single_precision() -> None:
    theta, problem = (97.3, 0.03, 1.9), pendulum(noise=0.0)
    with jax.enable_x64(False):
        x = problem.mean(np.array(theta))
        assert x.dtype == jnp.float32
    assert np.abs(x - solve_pendulum(*theta, 0.0, problem.axes[0].values)[:, 0]).max() < 6e-4 * theta[2]


@pytest.mark.parametrize(("points", "duration"), [(13, 4.0), (400, 4.0), (1000, 1.0)])
def test_pendulum_accuracy_does_not_depend_on_the_grid(points: int, duration: float) -> None:
    problem, theta = pendulum(points=points, duration=duration), (81.0, 0.07, 1.7)
    assert np.isclose(problem.axes[0].values[-1], duration)
    x = problem.mean(np.array(theta))
    assert np.abs(x - solve_pendulum(*theta, 0.0, problem.axes[0].values)[:, 0]).max() < 6e-4 * theta[2]


def test_runge_kutta_converges_at_order_4() -> None:
    end = solve_pendulum(31.0, 0.2, 1.3, 0.7, np.array([2.0]))[0, 0]
    errors = [abs(float(trajectory(31.0, 0.2, 1.3, 0.7, 2.0 / n, n)[-1, 0]) - end) for n in (400, 800, 1600)]
    # Halving the step divides the error by 2^4, up to a term of relative order h.
    assert np.allclose([errors[0] / errors[1], errors[1] / errors[2]], 16, rtol=0.05)


def test_runge_kutta_loses_energy_by_damping() -> None:
    path = trajectory(24.5, 0.4, 0.001, 0.0, 0.002, 1000)
    # Small swings: angle = A exp(-damping t / 2) cos(w t + phase), w^2 = w0^2 - damping^2 / 4.
    w, t = math.sqrt(24.5 - 0.04), 0.002 * np.arange(1, 1001)
    damped = 0.001 * np.exp(-0.2 * t) * (np.cos(w * t) + 0.2 / w * np.sin(w * t))
    assert np.abs(path[:, 0] - damped).max() < 1e-8


# --- leapfrog -----------------------------------------------------------------------------------------------------


def energy(path: jax.Array) -> np.ndarray:
    return np.asarray(path[:, 1] ** 2 / 2.0 - W0_SQ * jnp.cos(path[:, 0])) / W0_SQ


@pytest.mark.parametrize(("damping", "start"), [(0.0, (1.3, 0.7)), (0.6, (1.3, 0.7)), (0.0, (0.4, 11.0))])
def test_leapfrog_converges_at_order_2(damping: float, start: tuple[float, float]) -> None:
    end = solve_pendulum(W0_SQ, damping, *start, np.array([2.0]))[0]
    errors = [np.abs(leapfrog(W0_SQ, damping, *start, 2.0 / n, np.zeros(n))[-1] - end) for n in (400, 800, 1600)]
    # Halving the step divides the error by 2^2, up to a term of relative order h^2.
    assert np.allclose([errors[0] / errors[1], errors[1] / errors[2]], 4, rtol=0.02)


def test_leapfrog_keeps_its_energy_and_runge_kutta_does_not() -> None:
    steps = 100_000  # 1000 s, 670 periods
    start = energy(jnp.array([[1.5, 0.0]]))
    error = energy(leapfrog(W0_SQ, 0.0, 1.5, 0.0, 0.01, np.zeros(steps))) - start
    first, last = np.abs(error[: steps // 10]).max(), np.abs(error[-steps // 10 :]).max()
    # Bounded at order h^2, (w0 h)^2 / 5 here, and the same at the end as at the start: no drift.
    assert 1e-4 < first < 5e-4
    assert math.isclose(first, last, rel_tol=1e-3)
    rk4 = np.abs(energy(trajectory(W0_SQ, 0.0, 1.5, 0.0, 0.01, steps)) - start)
    assert math.isclose(rk4[-1] / rk4[steps // 10 - 1], 10.0, rel_tol=0.05)  # grows in proportion to time


def test_leapfrog_runs_backwards() -> None:
    turned = leapfrog(W0_SQ, 0.0, 1.3, 0.7, 0.02, np.zeros(500))[-1] * jnp.array([1.0, -1.0])
    back = leapfrog(W0_SQ, 0.0, turned[0], turned[1], 0.02, np.zeros(500))[-1]
    assert np.allclose(back, [1.3, -0.7], rtol=0, atol=1e-11)


@pytest.mark.parametrize("damping", [0.0, 0.37])
def test_leapfrog_shrinks_area_by_the_damping_only(damping: float) -> None:
    def end(start: jax.Array) -> jax.Array:
        return leapfrog(W0_SQ, damping, start[0], start[1], 0.03, jnp.zeros(100))[-1]

    area = np.linalg.det(jax.jit(jax.jacfwd(end))(jnp.array([1.3, 0.7])))
    assert math.isclose(area, math.exp(-damping * 3.0), rel_tol=1e-11)


@pytest.mark.parametrize("method", ["rk4", "leapfrog", "exact"])
def test_methods_of_the_simulator_agree(method: str) -> None:
    options = {"free": ("w0_sq", "start"), "values": {"damping": 0.0, "velocity": -1.7}}
    problem = pendulum(points=40, noise=0.0, method=method, **options)
    theta = np.array([[63.0, 1.6], [11.0, 0.3]])
    x = jax.jit(problem.simulate)(KEY, theta)
    for row, (w0_sq, start) in zip(x, theta, strict=True):
        error = np.abs(row - solve_pendulum(w0_sq, 0.0, start, -1.7, problem.axes[0].values)[:, 0]).max()
        assert error < {"rk4": 1e-3, "leapfrog": 1e-3, "exact": 1e-9}[method]


# --- drag and dry friction ----------------------------------------------------------------------------------------

LOSSES = {"damping": 0.1, "drag": 0.07, "friction": 0.6}


def swing(way: float, start: float, state: list[float], end: float) -> tuple[float, Callable]:
    """One way until the velocity is zero, with DOP853: the time of the turn, or the end, and the state before it."""
    damping, drag, friction = LOSSES.values()

    def slope(t: float, y: np.ndarray) -> list[float]:
        return [y[1], -W0_SQ * math.sin(y[0]) - damping * y[1] - way * (drag * y[1] ** 2 + friction)]

    def turn(t: float, y: np.ndarray) -> float:
        return y[1] * way

    turn.terminal, turn.direction = True, -1.0  # pyright: ignore[reportFunctionMemberAccess]
    options = {"method": "DOP853", "dense_output": True, "rtol": 1e-12, "atol": 1e-12}
    path = integrate.solve_ivp(slope, (start, end), state, events=turn, **options)
    return path.t[-1], path.sol


def solve_with_friction(angle: float, velocity: float, times: np.ndarray) -> np.ndarray:
    """Swing by swing; it rests where friction holds it."""
    x, start = np.zeros((len(times), 2)), 0.0
    while start < times[-1]:
        x[times > start] = [angle, 0.0]
        pull = -W0_SQ * math.sin(angle)
        if velocity == 0.0 and abs(pull) <= LOSSES["friction"]:
            break
        end, state = swing(math.copysign(1.0, velocity or pull), start, [angle, velocity], times[-1])
        during = (times > start) & (times <= end)
        if during.any():
            x[during] = state(times[during]).T
        start, angle, velocity = end, state(end)[0], 0.0
    return x


def test_friction_converges_at_order_4() -> None:
    times = np.linspace(0.12, 12.0, 100)  # ten swings and, at last, rest
    reference = solve_with_friction(1.3, 0.4, times)
    errors = [
        np.abs(
            trajectory_with_friction(W0_SQ, **LOSSES, angle=1.3, velocity=0.4, step=0.12 / n, steps=100 * n)[n - 1 :: n]
            - reference
        ).max()
        for n in (4, 8, 16)
    ]
    assert reference[-1, 1] == 0.0 and errors[0] < 2e-4
    # Halving the step divides the error by 2^4, up to a term of relative order h; without the cut at the turning
    # points the error would only halve.
    assert np.allclose([errors[0] / errors[1], errors[1] / errors[2]], 16, rtol=0.08)


def test_dry_friction_shortens_small_swings_by_the_same_amount() -> None:
    # Small swings about +- friction / w0^2: each is shorter by 2 friction / w0^2, lasts pi / w0, and the last is stuck.
    offset = 0.013e-3
    path = trajectory_with_friction(W0_SQ, 0.0, 0.0, offset * W0_SQ, 1e-4, 0.0, step=math.pi / W0 / 100, steps=600)
    turns = [1e-4 - 2 * offset, 1e-4 - 4 * offset, 1e-4 - 6 * offset, 1e-4 - 8 * offset]
    expected = np.array([-turns[0], turns[1], -turns[2], turns[3], turns[3], turns[3]])
    assert abs(turns[3]) < offset  # it stays there
    assert np.allclose(path[99::100, 0], expected, rtol=0, atol=1e-11)
    assert np.array_equal(path[450:, 1], np.zeros(150))


def test_dry_friction_holds_what_does_not_swing() -> None:
    angles = jnp.array([0.3, -0.3, math.pi, 0.31, -0.31])
    friction = W0_SQ * math.sin(0.305)
    run = jax.vmap(lambda angle: trajectory_with_friction(W0_SQ, 0.0, 0.0, friction, angle, 0.0, step=0.01, steps=5))
    paths = np.asarray(run(angles))
    assert np.array_equal(paths[:3], np.tile(np.stack([angles[:3], np.zeros(3)], 1)[:, None], (1, 5, 1)))
    assert np.all(np.abs(paths[3:, -1, 0]) < 0.31) and np.all(np.sign(paths[3:, -1, 1]) == [-1.0, 1.0])


@pytest.mark.parametrize("angle", [2.1, -1.4])
def test_drag_in_the_phase_plane(angle: float) -> None:
    drag = 0.23
    path = np.asarray(trajectory_with_friction(W0_SQ, 0.0, drag, 0.0, angle, 0.0, step=0.002, steps=180))
    a, way = path[:, 0], -np.sign(angle)  # within the first swing d(v^2)/da + 2 way drag v^2 = -2 w0^2 sin(a): linear

    def homogeneous(a: np.ndarray) -> np.ndarray:
        return 2 * W0_SQ * (np.cos(a) - 2 * way * drag * np.sin(a)) / (1 + 4 * drag**2)

    squared = homogeneous(a) - homogeneous(np.array(angle)) * np.exp(-2 * way * drag * (a - angle))
    assert np.allclose(path[:, 1], way * np.sqrt(squared), rtol=0, atol=1e-8)


def test_without_friction_it_is_the_damped_pendulum() -> None:
    path = trajectory_with_friction(W0_SQ, 0.3, 0.0, 0.0, 1.3, 0.4, step=0.01, steps=400)
    assert np.abs(path - solve_pendulum(W0_SQ, 0.3, 1.3, 0.4, 0.01 * np.arange(1, 401))).max() < 5e-6


def test_simulator_with_all_losses() -> None:
    free = ("start", "friction", "drag", "damping", "velocity", "w0_sq")
    problem = pendulum(free=free, noise=0.0)
    assert problem.space.names == free
    x = jax.jit(problem.mean)(np.array([1.3, LOSSES["friction"], LOSSES["drag"], LOSSES["damping"], 0.4, W0_SQ]))
    assert np.abs(x - solve_with_friction(1.3, 0.4, problem.axes[0].values)[:, 0]).max() < 1e-4
    held = pendulum(free=("w0_sq",), noise=0.0, values={"start": 1.3, "velocity": 0.4, **LOSSES})
    assert np.allclose(jax.jit(held.mean)(np.array([W0_SQ])), x, rtol=0, atol=1e-12)
    low, high = np.array([parameter.support for parameter in problem.space]).T
    assert ((low < problem.theta_true) & (problem.theta_true < high)).all()


# --- the simulator ------------------------------------------------------------------------------------------------


def test_pendulum_noise() -> None:
    problem = pendulum(points=40, noise=0.07)
    x = np.asarray(jax.jit(problem.simulate)(KEY, repeat([24.5, 0.15, 1.1], 500)))
    residual = (x - np.asarray(problem.mean(problem.theta_true))) / 0.07
    assert stats.kstest(residual.ravel(), "norm").pvalue > 1e-3


def test_pendulum_with_inputs_equals_plain() -> None:
    theta = np.array([[31.0, 0.2, 1.3], [64.2, 0.06, 0.4]])
    inputs = np.stack([theta[:, 2], np.zeros(2)], axis=1)
    plain, recorded = pendulum(), pendulum(known_start=True)
    assert recorded.space.names == ("w0_sq", "damping")
    x = jax.jit(plain.simulate)(KEY, theta)
    assert np.allclose(jax.jit(recorded.simulate)(KEY, theta[:, :2], inputs), x, rtol=0, atol=1e-5)
    assert np.allclose(recorded.mean(theta[1, :2], inputs[1]), plain.mean(theta[1]), rtol=0, atol=1e-5)


def test_pendulum_inputs_are_angle_and_velocity() -> None:
    problem = pendulum(points=60, duration=0.6, noise=0.0, known_start=True)
    theta, inputs = np.array([[64.2, 0.06]] * 2), np.array([[-0.6, 4.3], [1.2, 17.0]])
    x = jax.jit(problem.simulate)(KEY, theta, inputs)
    for row, start in zip(x, inputs, strict=True):
        assert np.abs(row - solve_pendulum(64.2, 0.06, *start, problem.axes[0].values)[:, 0]).max() < 1e-4


def test_pendulum_free_parameters() -> None:
    problem = pendulum(free=("damping", "w0_sq"))
    assert problem.space.names == ("damping", "w0_sq")
    assert problem.theta_true.tolist() == [DEFAULTS["damping"], DEFAULTS["w0_sq"]]
    full = pendulum().mean(np.array([40.0, 0.3, 1.1]))
    assert np.allclose(problem.mean(np.array([0.3, 40.0])), full, rtol=0, atol=1e-6)
    assert pendulum(known_start=True).space.names == ("w0_sq", "damping")
    assert pendulum(values={"start": 0.7}).theta_true.tolist() == [24.5, 0.15, 0.7]


def test_pendulum_is_called_damped_where_it_is() -> None:
    assert pendulum().summary.startswith("damped pendulum")
    still = pendulum(free=("w0_sq",), values={"damping": 0.0}, method="exact")
    assert still.summary.startswith("pendulum without losses")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"free": ("length",)},
            "free must name some of w0_sq, damping, start, velocity, drag, friction; got 'length'.",
        ),
        ({"free": ("start",), "known_start": True}, "must name some of w0_sq, damping, drag, friction; got 'start'."),
        ({"points": 0}, "points must be a whole number of at least 1; got 0"),
        ({"duration": -1.0}, "duration must be a finite number above zero"),
        ({"noise": -0.1}, "noise must be a finite number of at least 0"),
        ({"values": {"length": 0.4}}, "values must name some of w0_sq, damping, start, velocity"),
        (
            {"values": {"start": 0.4}, "known_start": True},
            "must name some of w0_sq, damping, drag, friction; got 'start'.",
        ),
        (
            {"values": {"damping": 0.0}},
            r"damping must lie inside \(0, 1\) where it is free; got 0. To fix it there, leave it out of free: "
            r"free=\('w0_sq', 'start'\).",
        ),
        ({"free": ("start",), "values": {"w0_sq": 0.0}}, "w0_sq must be above zero"),
        ({"values": {"drag": -0.1}}, "damping, drag and friction not below"),
        ({"values": {"velocity": math.inf}}, "velocity must be a finite number; got inf"),
        ({"method": "euler"}, "method must be one of rk4, leapfrog, exact; got 'euler'"),
        (
            {"method": "exact"},
            "does not solve damping: use \"rk4\", or leave them out of free and set values={'damping'",
        ),
        ({"method": "leapfrog", "values": {"drag": 0.1, "friction": 0.2}}, "does not solve drag, friction"),
    ],
)
def test_pendulum_names_the_wrong_argument(options: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        pendulum(**options)


# --- driven -------------------------------------------------------------------------------------------------------


def solve_driven(theta: tuple[float, ...], start: tuple[float, float], times: np.ndarray) -> np.ndarray:
    w0_sq, damping, drive, frequency = theta
    solution = integrate.solve_ivp(
        lambda t, y: [y[1], -w0_sq * np.sin(y[0]) - damping * y[1] + drive * np.cos(frequency * t)],
        (0, times[-1]), start, method="DOP853", t_eval=times, rtol=1e-12, atol=1e-12,
    )  # fmt: skip
    return solution.y.T


def test_driven_converges_at_order_4() -> None:
    theta, start = (31.0, 0.9, 13.0, 4.1), (0.3, -0.7)
    end = solve_driven(theta, start, np.array([3.0]))[0]
    errors = [np.abs(driven(*theta, *start, step=3.0 / n, steps=n)[-1] - end) for n in (300, 600, 1200)]
    assert np.allclose([errors[0] / errors[1], errors[1] / errors[2]], 16, rtol=0.1)


def test_driven_simulator_solves_its_equation() -> None:
    problem = driven_problem(free=("drive", "w0_sq", "frequency"), noise=0.0)
    x = problem.mean(np.array([17.0, 70.0, 6.1]))
    reference = solve_driven((70.0, 2.5, 17.0, 6.1), (0.0, 0.0), problem.axes[0].values)[:, 0]
    assert np.abs(x - reference).max() < 1e-5


def test_driven_small_swings() -> None:
    w0_sq, damping, drive, w, h = 24.5, 0.8, 1e-5, 3.7, 0.004
    path = driven(w0_sq, damping, drive, w, 0.0, 0.0, step=h, steps=1000)
    times, free = h * np.arange(1, 1001), math.sqrt(w0_sq - damping**2 / 4.0)
    scale = (w0_sq - w**2) ** 2 + (damping * w) ** 2
    cos, sin = drive * (w0_sq - w**2) / scale, drive * damping * w / scale  # the lasting part
    b = -(damping / 2.0 * cos + w * sin) / free  # and the one that dies out, both zero at the start
    decay = np.exp(-damping * times / 2.0)
    expected = cos * np.cos(w * times) + sin * np.sin(w * times)
    expected += decay * (-cos * np.cos(free * times) + b * np.sin(free * times))
    assert np.abs(path[:, 0] - expected).max() < 1e-5 * np.abs(expected).max()


def test_driven_periods_are_the_published_ones() -> None:
    # Baker and Gollub, Chaotic Dynamics, damping 1/2, frequency 2/3, w0 = 1: periods 1, 2, chaos, 1, 2, 4, chaos.
    drives, period, per = np.array([0.9, 1.07, 1.15, 1.35, 1.45, 1.47, 1.5]), 3.0 * math.pi, 150
    run = jax.vmap(
        lambda drive: driven(1.0, 0.5, drive, 2.0 / 3.0, 0.2, 0.0, step=period / per, steps=160 * per)[
            per - 1 :: per, 1
        ]
    )
    strobed = np.asarray(jax.jit(run)(drives))[:, -60:]
    assert [len(np.unique(row.round(4))) for row in strobed[[0, 1, 3, 4, 5]]] == [1, 2, 1, 2, 4]
    assert all(len(np.unique(row.round(4))) > 30 for row in strobed[[2, 6]])


# --- pushed at random ---------------------------------------------------------------------------------------------

DAMPING, KICK = 0.8, 2.0


def exact_covariance(time: float) -> np.ndarray:
    """Covariance of (angle, velocity) of small swings started at one point, by Van Loan's matrix exponential."""
    a, q = np.array([[0.0, 1.0], [-W0_SQ, -DAMPING]]), np.diag([0.0, KICK**2])
    blocks = linalg.expm(np.block([[-a, q], [np.zeros((2, 2)), a.T]]) * time)
    return blocks[2:, 2:].T @ blocks[:2, 2:]


def test_random_pushes_have_weak_order_2() -> None:
    exact_cov, errors = exact_covariance(1.1), []
    for steps in (60, 120):
        step = 1.1 / steps
        # About hanging down the path is linear in its pushes: their Jacobian gives the scheme's covariance exactly.
        ends = jax.jacobian(lambda e, h=step: leapfrog(W0_SQ, DAMPING, 0.0, 0.0, h, e)[-1])(jnp.zeros(steps))
        variance = KICK**2 * (1.0 - math.exp(-2.0 * DAMPING * step)) / (2.0 * DAMPING)
        errors.append(np.asarray(variance * ends @ ends.T) - exact_cov)
    assert np.allclose(errors[0] / errors[1], 4, rtol=0.02)


def test_small_random_swings_have_the_exact_law() -> None:
    n, scale, step, steps = 20_000, 1e-4, 0.01, 110
    draw = jax.jit(
        jax.vmap(lambda key: random_path(key, W0_SQ, DAMPING, KICK * scale, 0.1e-3, 0.7e-3, step=step, steps=steps)[-1])
    )
    ends = np.asarray(draw(jax.random.split(KEY, n))) / scale
    cov = exact_covariance(step * steps)
    flow = linalg.expm(np.array([[0.0, 1.0], [-W0_SQ, -DAMPING]]) * step * steps)
    # The scheme itself is off by (w0 h)^2 / 10 of the scale at most: 2.5e-4 here.
    bias = 3e-4 * np.sqrt(np.diag(cov))
    assert np.all(np.abs(ends.mean(axis=0) - flow @ [1.0, 7.0]) < 5 * np.sqrt(np.diag(cov) / n) + 10 * bias)
    error = np.sqrt((np.outer(np.diag(cov), np.diag(cov)) + cov**2) / n)
    assert np.all(np.abs(np.cov(ends.T) - cov) < 5 * error + np.outer(bias, np.sqrt(np.diag(cov))))


def test_random_pushes_reach_the_stationary_law() -> None:
    n, kick, damping = 4000, 6.3, 1.7
    draw = jax.jit(jax.vmap(lambda key: random_path(key, W0_SQ, damping, kick, 2.0, 0.0, step=0.02, steps=500)[-1]))
    angle, velocity = np.asarray(draw(jax.random.split(KEY, n))).T
    temperature = kick**2 / (2.0 * damping)  # 11.7: many go over the top, and the start is forgotten after 17 / damping
    assert stats.kstest(velocity, stats.norm(0.0, math.sqrt(temperature)).cdf).pvalue > 1e-3
    wrapped = np.mod(angle + math.pi, 2.0 * math.pi) - math.pi
    assert stats.kstest(wrapped, stats.vonmises(W0_SQ / temperature).cdf).pvalue > 1e-3
    assert abs(np.corrcoef(np.cos(angle), velocity**2)[0, 1]) < 5 / math.sqrt(n)


def test_stochastic_simulator_is_its_path_and_noise() -> None:
    n, noise, kick, start = 10_000, 3e-3, 0.02, (0.04, -0.13)
    problem = stochastic_problem(points=20, duration=1.1, noise=noise, angle=start[0], velocity=start[1])
    x = np.asarray(jax.jit(problem.simulate)(KEY, repeat([W0_SQ, DAMPING, kick], n)))
    # Small swings: the mean is the damped pendulum's; the spread that of the pushes, nearly equal, and of the noise.
    calm = solve_pendulum(W0_SQ, DAMPING, *start, problem.axes[0].values)[:, 0]
    variances = [(kick / KICK) ** 2 * exact_covariance(time)[0, 0] + noise**2 for time in problem.axes[0].values]
    assert 0.3 < (variances[-1] - noise**2) / noise**2 < 3.0
    assert np.all(np.abs(x.mean(axis=0) - calm) < 5 * np.sqrt(np.array(variances) / n) + 1e-5)
    assert np.all(np.abs(x.var(axis=0) / variances - 1) < 5 * math.sqrt(2 / n) + 2e-3)


@pytest.mark.parametrize(
    ("factory", "options", "message"),
    [
        (
            driven_problem,
            {"free": ("start",)},
            "free must name some of w0_sq, damping, drive, freq",
        ),
        (driven_problem, {"duration": 0.0}, "duration must be a finite number above zero; got 0.0"),
        (stochastic_problem, {"points": 2.5}, "points must be a whole number of at least 1; got 2.5"),
        (stochastic_problem, {"angle": math.nan}, "angle must be a finite number; got nan"),
    ],
)
def test_other_pendulums_name_the_wrong_argument(factory, options: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        factory(**options)
