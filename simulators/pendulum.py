"""The damped pendulum, its angle measured with noise.

    angle'' = -w0^2 sin(angle) - damping angle',    x_i = angle(t_i) + noise e_i,  e_i ~ N(0, 1)

Angle 0 hangs down. Of gravity g, length l and mass only w0^2 = g / l is in the equation: the mass cancels, and no
record of angles tells g from l. The simulator therefore has w0_sq as its parameter.

The equation is solved by the classical Runge-Kutta method of order 4 with steps h <= 0.2 / w0 at the largest w0 of the
space. The phase error after a time t is near w0 t (w0 h)^4 / 120. Over the default 4 s the angle is off by at most
1.2e-3 rad, at the largest w0 and start of the ranges: a fortieth of the noise; near the defaults by a thousandth of it.
"""

import math
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike, Float

from avo.simulators.problem import Axis, Problem, vectorize
from avo.space import Interval, LogInterval, Space

PARAMETERS = {
    "w0_sq": LogInterval(9.0, 100.0, unit="1/s^2"),
    "damping": Interval(0.0, 1.0, unit="1/s"),
    "start": Interval(0.2, 2.0, unit="rad"),
}
DEFAULTS = {"w0_sq": 24.5, "damping": 0.15, "start": 1.1}
_LARGEST_W0 = math.sqrt(PARAMETERS["w0_sq"].high)


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
        k1 = rate(state)
        k2 = rate(state + 0.5 * step * k1)
        k3 = rate(state + 0.5 * step * k2)
        k4 = rate(state + step * k3)
        state = state + (step / 6.0) * (k1 + 2.0 * k2 + 2.0 * k3 + k4)
        return state, state

    start = jnp.stack([jnp.asarray(angle, dtype=float), jnp.asarray(velocity, dtype=float)])
    return jax.lax.scan(advance, start, None, length=steps)[1]


def pendulum(
    points: int = 100,
    duration: float = 4.0,
    noise: float = 0.05,
    free: tuple[str, ...] | None = None,
    start: Literal["rest", "inputs"] = "rest",
) -> Problem:
    """Noisy angles of a damped pendulum: angle'' = -w0_sq sin(angle) - damping angle', measured at even times.

    The times are duration / points, 2 duration / points, ..., duration after the start. The ranges are those of a
    laboratory pendulum of 0.1 m to 1 m.

    Args:
        points: measured angles per observation.
        duration: time of the last one, in s.
        noise: standard deviation of the measurement noise, in rad.
        free: parameters to fit, in the order of theta's columns; None: all. The others stay at w0_sq = 24.5 (length
            0.4 m), damping = 0.15, start = 1.1.
        start: "rest": released at rest from the angle `start`, a parameter. "inputs": each observation has a known
            start, `simulate(key, theta, inputs)` with inputs of shape (n, 2), angle (rad) and angular velocity (rad/s);
            `start` is then no parameter.

    Returns:
        `Problem` with parameters w0_sq (1/s^2), damping (1/s) and start (rad); x has shape (points,), in rad.

    Raises:
        ValueError: if an argument is out of range or names an unknown parameter.

    Example:
        >>> problem = pendulum()
        >>> problem.simulate(jax.random.key(0), jnp.array([[24.5, 0.15, 1.1]])).shape
        (1, 100)
        >>> recorded = pendulum(points=50, duration=0.5, start="inputs")
        >>> inputs = jnp.array([[1.2, 0.0], [-0.3, 4.1]])
        >>> recorded.simulate(jax.random.key(0), jnp.array([[64.2, 0.06], [64.2, 0.06]]), inputs).shape
        (2, 50)
    """
    if start not in ("rest", "inputs"):
        raise ValueError(f'start must be "rest" or "inputs"; got {start!r}.')
    for name, value in {"points": points, "duration": duration}.items():
        if value <= 0:
            raise ValueError(f"{name} must be above zero; got {value}.")
    if noise < 0:
        raise ValueError(f"noise must not be negative; got {noise}.")
    known = tuple(PARAMETERS) if start == "rest" else ("w0_sq", "damping")
    free = known if free is None else tuple(free)
    if not free or len(set(free)) != len(free) or not set(free) <= set(known):
        raise ValueError(f"free must name different parameters out of {', '.join(known)}; got {free!r}.")

    dt = duration / points
    substeps = max(1, math.ceil(dt * _LARGEST_W0 / 0.2 - 1e-9))

    def mean(theta: Float[Array, "d"], inputs: Float[ArrayLike, "2"] | None = None) -> Float[Array, "points"]:
        theta = jnp.asarray(theta, dtype=float)
        values: dict[str, Any] = DEFAULTS | {name: theta[i] for i, name in enumerate(free)}
        if start == "inputs":
            angle, velocity = jnp.asarray(inputs, dtype=float)
        else:
            angle, velocity = values["start"], 0.0
        path = trajectory(values["w0_sq"], values["damping"], angle, velocity, dt / substeps, points * substeps)
        return path[substeps - 1 :: substeps, 0]

    def draw(key: Array, theta: Float[Array, "d"], *inputs: Float[Array, "2"]) -> Float[Array, "points"]:
        return mean(theta, *inputs) + noise * jax.random.normal(key, (points,))

    return Problem(
        name="pendulum",
        summary="damped pendulum, angles measured with noise",
        simulate=vectorize(draw),
        space=Space(**{name: PARAMETERS[name] for name in free}),
        theta_true=np.array([DEFAULTS[name] for name in free]),
        x_shape=(points,),
        axes=(Axis("time", "s", dt * np.arange(1, points + 1)),),
        quantity="angle",
        unit="rad",
        mean=mean,
        tags=("series", "physics", "population"),
    )
