"""The pendulum, damped or free, its angle measured with noise.

    angle'' = -w0^2 sin(angle) - damping angle' - drag |angle'| angle' - friction sign(angle')
    x_i = angle(t_i) + noise e_i,  e_i ~ N(0, 1)

Angle 0 hangs down. Of gravity g, length l and mass only w0^2 = g / l is in the equation: the mass cancels, and no
record of angles tells g from l. The simulator therefore has w0_sq as its parameter. The three losses are viscous
(linear in the velocity), quadratic (air) and dry (Coulomb: the pendulum stays where friction >= w0^2 |sin(angle)|).

`exact` solves the pendulum without losses by elliptic functions, libration and rotation alike. With the modulus

    k^2 = (angle'_0 / 2 w0)^2 + sin^2(angle_0 / 2)

it swings for k < 1 and rotates for k > 1; k = 1 is the separatrix.

    sin(angle / 2) = k sn(w0 t + u0 | k^2)  for k < 1,    angle / 2 = am(w0 k t + u0 | 1 / k^2)  for k > 1

In double precision it agrees with SciPy's DOP853 to 1e-9 rad over 10 s for |k^2 - 1| >= 1e-3, and over 2.4 s at 1e-6.

`trajectory`, and `trajectory_with_friction` for drag and dry friction, are Runge-Kutta methods of order 4; the latter
stops at each turning point, where the right-hand side jumps, and thereby keeps its order. The steps of the simulator
are h <= 0.2 / w0 at the largest w0 of the space. The phase error after a time t is near w0 t (w0 h)^4 / 120. Over the
default 4 s the angle of a pendulum released at rest is off by less than 6e-4 of the start angle: 1.2e-3 rad at the
largest, a fortieth of the noise.

`leapfrog` is of order 2 and, without damping, symplectic: its energy error is of order h^2 and stays bounded for all
times, while that of Runge-Kutta grows. The simulator's steps for it are h <= 0.02 / w0: the angle is off by less than
1e-3 rad at w0_sq = 63, released from 1.6 rad with -1.7 rad/s.

Identified: w0_sq, start and velocity by the swings, the losses by how the swings die out: small ones exponentially by
viscous damping, as 1 / t by drag, in equal steps by dry friction. Where a record ends before they have lost much, the
three losses cannot be told apart.

Limits: a rigid pendulum in a plane, with a pivot at rest; the noise is independent from time to time. Beside the
separatrix a small change of a parameter decides between swinging and rotating.

Source: Landau and Lifshitz, Mechanics, section 11; for the elliptic functions see `avo.simulators.elliptic`.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike, Float

from avo.checks import flag, grid, one_of, some_of
from avo.simulators.elliptic import ellipf, ellipj
from avo.simulators.ode import runge_kutta
from avo.simulators.problem import Axis, Inputs, Problem, choose, vectorize
from avo.simulators.register import Header
from avo.space import Interval, LogInterval

HEADER = Header(
    summary="damped pendulum, angles measured with noise",
    tags=("series", "physics", "population"),
    x_shape=(100,),
    parameters="w0_sq (1/s^2), damping (1/s), start (rad)",
    x="angle (rad) along time (s)",
)

PARAMETERS = {
    "w0_sq": LogInterval(9.0, 100.0, unit="1/s^2"),
    "damping": Interval(0.0, 1.0, unit="1/s"),
    "start": Interval(0.2, 2.0, unit="rad"),
    "velocity": Interval(-8.0, 8.0, unit="rad/s"),
    "drag": Interval(0.0, 0.3, unit="1/rad"),
    "friction": Interval(0.0, 2.0, unit="rad/s^2"),
}
DEFAULTS = {"w0_sq": 24.5, "damping": 0.15, "start": 1.1, "velocity": 0.0, "drag": 0.0, "friction": 0.0}
_WHERE_FREE = {"velocity": 2.3, "drag": 0.07, "friction": 0.4}
_LARGEST_STEP = {"rk4": 0.2, "leapfrog": 0.02}  # times w0


def exact(
    w0_sq: ArrayLike, angle: ArrayLike, velocity: ArrayLike, times: Float[ArrayLike, "points"]
) -> Float[Array, "points 2"]:
    """Solve angle'' = -w0_sq sin(angle) by elliptic functions, for any start: at rest, moving or rotating.

    Args:
        w0_sq: squared small-angle frequency g / l, in 1/s^2.
        angle: start angle from hanging down, in rad.
        velocity: start angular velocity, in rad/s.
        times: times after the start, in s.

    Returns:
        angle (rad, not wrapped) and angular velocity (rad/s), with shape (points, 2).

    Example:
        >>> from avo.simulators.elliptic import ellipk
        >>> period = 4 / 5.0 * ellipk(jnp.cos(1.0) ** 2)  # released from 2 rad, w0 = 5 / s
        >>> jnp.abs(exact(25.0, 2.0, 0.0, period * jnp.array([0.5, 1.0]))[:, 0] - jnp.array([-2.0, 2.0])).max() < 1e-5
        Array(True, dtype=bool)
    """
    w0 = jnp.sqrt(jnp.asarray(w0_sq, dtype=float))
    angle, times = jnp.asarray(angle, dtype=float), jnp.asarray(times, dtype=float)
    turns = 2.0 * math.pi * jnp.round(angle / (2.0 * math.pi))
    half, speed = (angle - turns) / 2.0, velocity / (2.0 * w0)
    sin, cos, way = jnp.sin(half), jnp.cos(half), jnp.sign(speed)
    k = jnp.hypot(sin, speed)
    below = (cos - jnp.abs(speed)) * (cos + jnp.abs(speed))  # 1 - k^2 without cancellation
    rotates = below <= 0.0
    m1 = jnp.where(rotates, -below / jnp.maximum(k, 1.0) ** 2, below)
    phase = jnp.where(rotates, way * half, jnp.arctan2(sin, speed))
    sn, cn, dn, am = ellipj(jnp.where(rotates, k, 1.0) * w0 * times + ellipf(phase, m1), m1)
    return jnp.stack(
        [
            turns + 2.0 * jnp.where(rotates, way * am, jnp.arctan2(k * sn, dn)),
            2.0 * w0 * k * jnp.where(rotates, way * dn, cn),
        ],
        axis=-1,
    )


def trajectory(
    w0_sq: ArrayLike, damping: ArrayLike, angle: ArrayLike, velocity: ArrayLike, step: float, steps: int
) -> Float[Array, "steps 2"]:
    """Solve angle'' = -w0_sq sin(angle) - damping angle' by Runge-Kutta steps of order 4.

    Args:
        w0_sq: squared small-angle frequency g / l, in 1/s^2.
        damping: damping rate, in 1/s.
        angle: start angle from hanging down, in rad.
        velocity: start angular velocity, in rad/s.
        step: time step, in s.
        steps: number of steps.

    Returns:
        angle (rad) and angular velocity (rad/s) after each step, with shape (steps, 2).

    Example:
        >>> end = trajectory(25.0, 0.0, 0.01, 0.0, step=0.01, steps=126)[-1, 0]
        >>> jnp.abs(end - 0.01 * jnp.cos(5 * 1.26)) < 1e-5
        Array(True, dtype=bool)
    """

    def rate(state: Float[Array, "2"]) -> Float[Array, "2"]:
        return jnp.stack([state[1], -jnp.sin(state[0]) * w0_sq - state[1] * damping])

    def advance(state: Float[Array, "2"], _: None) -> tuple[Float[Array, "2"], Float[Array, "2"]]:
        state = runge_kutta(rate, state, step)
        return state, state

    return jax.lax.scan(advance, _state(angle, velocity), None, length=steps)[1]


def trajectory_with_friction(
    w0_sq: ArrayLike,
    damping: ArrayLike,
    drag: ArrayLike,
    friction: ArrayLike,
    angle: ArrayLike,
    velocity: ArrayLike,
    *,
    step: float,
    steps: int,
) -> Float[Array, "steps 2"]:
    """Solve the pendulum with all three losses by Runge-Kutta steps of order 4 that end at the turning points.

        angle'' = -w0_sq sin(angle) - damping angle' - way (drag angle'^2 + friction),    way = sign(angle')

    Within a step `way` is held, so that the right-hand side is smooth. Where the velocity changes sign within a step,
    the step is cut there; the rest of it goes on in the other direction, or stays if friction >= w0_sq |sin(angle)|.
    The step must be shorter than half a swing.

    Args:
        w0_sq: squared small-angle frequency g / l, in 1/s^2.
        damping: viscous damping rate, in 1/s.
        drag: quadratic damping, in 1/rad.
        friction: dry friction, as an angular acceleration in rad/s^2.
        angle: start angle from hanging down, in rad.
        velocity: start angular velocity, in rad/s.
        step: time step, in s.
        steps: number of steps.

    Returns:
        angle (rad) and angular velocity (rad/s) after each step, with shape (steps, 2).

    Example:
        >>> path = trajectory_with_friction(25.0, 0.0, 0.0, 1.0, 0.1, 0.0, step=0.01, steps=400)
        >>> jnp.abs(path[-1] - jnp.array([-0.02, 0.0])).max() < 1e-4  # half a swing, 0.08 too short, then stuck
        Array(True, dtype=bool)
    """

    def rate(way: Array) -> Any:
        def slope(state: Float[Array, "2"]) -> Float[Array, "2"]:
            loss = state[1] * damping + way * (state[1] ** 2 * drag + friction)
            return jnp.stack([state[1], -jnp.sin(state[0]) * w0_sq - loss])

        return slope

    def way_from_rest(angle: Array) -> Array:
        pull = -jnp.sin(angle) * w0_sq
        return jnp.where(jnp.abs(pull) > friction, jnp.sign(pull), 0.0)

    def advance(state: Float[Array, "2"], _: None) -> tuple[Float[Array, "2"], Float[Array, "2"]]:
        way = jnp.where(state[1] == 0.0, way_from_rest(state[0]), jnp.sign(state[1]))
        whole = runge_kutta(rate(way), state, step)
        turns = whole[1] * way < 0.0
        # The time when the velocity is zero: by a straight line, then by two Newton steps, which is far more exact
        # than the method itself.
        stop = step * state[1] / jnp.where(turns, state[1] - whole[1], 1.0)
        for _correction in range(2):
            near = runge_kutta(rate(way), state, stop)
            stop = jnp.clip(stop - near[1] / rate(way)(near)[1], 0.0, step)
        still = jnp.stack([runge_kutta(rate(way), state, stop)[0], jnp.zeros_like(stop)])
        back = way_from_rest(still[0])
        rest = jnp.where(back == 0.0, still, runge_kutta(rate(back), still, step - stop))
        state = jnp.where(turns, rest, jnp.where(way == 0.0, state, whole))
        return state, state

    return jax.lax.scan(advance, _state(angle, velocity), None, length=steps)[1]


def leapfrog(
    w0_sq: ArrayLike,
    damping: ArrayLike,
    angle: ArrayLike,
    velocity: ArrayLike,
    step: float,
    pushes: Float[ArrayLike, "steps"],
) -> Float[Array, "steps 2"]:
    """Solve angle'' = -w0_sq sin(angle) - damping angle' by leapfrog steps of order 2, with pushes to the velocity.

    A step is: half a kick, half a drift, the exact decay of the velocity, half a drift, half a kick,

        v -= h/2 w0_sq sin(a);  a += h/2 v;  v = exp(-damping h) v + push;  a += h/2 v;  v -= h/2 w0_sq sin(a)

    Without damping and pushes it is the symplectic leapfrog (velocity Verlet): it conserves area, can be run backwards,
    and its energy does not drift. Random pushes make it the "BAOAB" scheme of Leimkuhler and Matthews (2013).

    Args:
        w0_sq: squared small-angle frequency g / l, in 1/s^2.
        damping: damping rate, in 1/s.
        angle: start angle from hanging down, in rad.
        velocity: start angular velocity, in rad/s.
        step: time step, in s.
        pushes: added to the velocity in the middle of each step, in rad/s; zeros where nothing pushes.

    Returns:
        angle (rad) and angular velocity (rad/s) after each step, with shape (steps, 2).

    Example:
        >>> end = leapfrog(25.0, 0.0, 0.01, 0.0, step=0.01, pushes=jnp.zeros(126))[-1, 0]
        >>> jnp.abs(end - 0.01 * jnp.cos(5 * 1.26)) < 1e-5
        Array(True, dtype=bool)
    """
    half, decay = 0.5 * step, jnp.exp(-jnp.asarray(damping, dtype=float) * step)

    def advance(state: tuple[Array, Array], push: Array) -> tuple[tuple[Array, Array], Array]:
        angle, velocity = state
        velocity = velocity - half * w0_sq * jnp.sin(angle)
        angle = angle + half * velocity
        velocity = decay * velocity + push
        angle = angle + half * velocity
        velocity = velocity - half * w0_sq * jnp.sin(angle)
        return (angle, velocity), jnp.stack([angle, velocity])

    start = _state(angle, velocity)
    return jax.lax.scan(advance, (start[0], start[1]), jnp.asarray(pushes, dtype=float))[1]


def _state(angle: ArrayLike, velocity: ArrayLike) -> Float[Array, "2"]:
    return jnp.stack([jnp.asarray(angle, dtype=float), jnp.asarray(velocity, dtype=float)])


def pendulum(
    points: int = 100,
    duration: float = 4.0,
    noise: float = 0.05,
    free: str | Sequence[str] | None = None,
    values: Mapping[str, float] | None = None,
    *,
    known_start: bool = False,
    method: Literal["rk4", "leapfrog", "exact"] = "rk4",
) -> Problem:
    """Noisy angles of a pendulum with losses, measured at even times.

        angle'' = -w0_sq sin(angle) - damping angle' - drag |angle'| angle' - friction sign(angle')

    The times are duration / points, 2 duration / points, ..., duration after the start. The ranges are those of a
    laboratory pendulum of 0.1 m to 1 m.

    Args:
        points: measured angles per observation.
        duration: time of the last one, in s.
        noise: standard deviation of the measurement noise, in rad.
        free: parameters to fit, in the order of theta's columns; None: w0_sq, damping and start. The others stay at
            w0_sq = 24.5 (length 0.4 m), damping = 0.15, start = 1.1, and velocity, drag and friction at 0.
        values: parameter -> its value: fixed there, or the truth where it is free.
        known_start: each observation has a known start, `simulate(key, theta, inputs)` with inputs of shape (n, 2),
            angle (rad) and angular velocity (rad/s); `start` and `velocity` are then no parameters.
        method: "rk4", "leapfrog" (viscous damping only) or "exact" (no losses).

    Returns:
        `Problem` with parameters w0_sq (1/s^2), damping (1/s) and start (rad), or those that `free` names out of them
        and velocity (rad/s), drag (1/rad), friction (rad/s^2); x has shape (points,), in rad.

    Raises:
        ValueError: if an argument is out of range, names an unknown parameter, or asks for a method that does not
            solve the losses.

    Example:
        >>> problem = pendulum()
        >>> problem.simulate(jax.random.key(0), jnp.array([[24.5, 0.15, 1.1]])).shape
        (1, 100)
        >>> recorded = pendulum(points=50, duration=0.5, known_start=True)
        >>> inputs = jnp.array([[1.2, 0.0], [-0.3, 4.1]])
        >>> recorded.simulate(jax.random.key(0), jnp.array([[64.2, 0.06], [64.2, 0.06]]), inputs).shape
        (2, 50)
        >>> pendulum(free=("w0_sq", "start", "velocity"), values={"damping": 0.0}, method="exact").theta_true.tolist()
        [24.5, 1.1, 2.3]
    """
    grid(points, duration, noise)
    flag("known_start", known_start)
    names = [name for name in PARAMETERS if not (known_start and name in ("start", "velocity"))]
    free = tuple(name for name in ("w0_sq", "damping", "start") if name in names) if free is None else free
    free = some_of("free", free, names)
    defaults = DEFAULTS | {name: value for name, value in _WHERE_FREE.items() if name in free}
    choice = choose({name: (PARAMETERS[name], defaults[name]) for name in names}, free, values)
    held = defaults | dict(values or {})
    if held["w0_sq"] <= 0 or min(held[name] for name in ("damping", "drag", "friction")) < 0:
        raise ValueError(f"values: w0_sq must be above zero, damping, drag and friction not below; got {values}.")
    lossy = {name for name in ("damping", "drag", "friction") if name in free or held[name] != 0.0}
    _check_method(method, lossy)

    dt = duration / points
    times = dt * np.arange(1, points + 1)
    largest_w0 = math.sqrt(PARAMETERS["w0_sq"].high if "w0_sq" in free else held["w0_sq"])
    substeps = max(1, math.ceil(dt * largest_w0 / _LARGEST_STEP.get(method, math.inf) - 1e-9))

    def mean(theta: Float[Array, "d"], *inputs: Float[Array, "2"]) -> Float[Array, "points"]:
        named = choice.named(theta)
        w0_sq, damping = named["w0_sq"], named["damping"]
        if known_start:
            angle, velocity = inputs[0]
        else:
            angle, velocity = named["start"], named["velocity"]
        step, steps = dt / substeps, points * substeps
        if method == "exact":
            path = exact(w0_sq, angle, velocity, times)
        elif method == "leapfrog":
            path = leapfrog(w0_sq, damping, angle, velocity, step, jnp.zeros(steps))
        elif lossy <= {"damping"}:
            path = trajectory(w0_sq, damping, angle, velocity, step, steps)
        else:
            drag, friction = named["drag"], named["friction"]
            path = trajectory_with_friction(w0_sq, damping, drag, friction, angle, velocity, step=step, steps=steps)
        return path[substeps - 1 :: substeps, 0]

    def draw(key: Array, theta: Float[Array, "d"], *inputs: Float[Array, "2"]) -> Float[Array, "points"]:
        return mean(theta, *inputs) + noise * jax.random.normal(key, (points,))

    def log_prob(theta: Float[Array, "d"], x: Float[Array, "points"], *inputs: Float[Array, "2"]) -> Float[Array, ""]:
        return jnp.sum(jax.scipy.stats.norm.logpdf(x, mean(theta, *inputs), noise))

    return Problem(
        name="pendulum",
        summary=HEADER.summary if lossy else "pendulum without losses, angles measured with noise",
        simulate=vectorize(draw),
        space=choice.space,
        theta_true=choice.theta_true,
        x_shape=(points,),
        axes=(Axis("time", "s", times),),
        quantity="angle",
        unit="rad",
        mean=mean,
        log_prob=log_prob if noise > 0 else None,
        tags=HEADER.tags,
        inputs=Inputs("known_start=True", ("angle", "angular velocity")) if known_start else None,
    )


def _check_method(method: str, lossy: set[str]) -> None:
    """Check that the method solves the losses that are there."""
    solved = {"rk4": {"damping", "drag", "friction"}, "leapfrog": {"damping"}, "exact": set()}
    one_of("method", method, tuple(solved))
    if extra := sorted(lossy - solved[method]):
        raise ValueError(
            f'method "{method}" does not solve {", ".join(extra)}: use "rk4", or leave them out of free and set '
            f"values={ {name: 0.0 for name in extra} }."
        )
