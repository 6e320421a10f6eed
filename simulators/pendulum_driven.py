"""The damped pendulum driven by a periodic torque, its angle measured with noise.

    angle'' = -w0^2 sin(angle) - damping angle' + drive cos(frequency t)
    x_i = angle(t_i) + noise e_i,  e_i ~ N(0, 1)

It starts at rest, hanging down. Torques are per moment of inertia; as without a drive, no record of angles tells
gravity from length. In units of w0, damping = 1/2 and frequency = 2/3 is the textbook case: the angle repeats with the
drive's period at drive = 0.9 and 1.35, with twice the period at 1.07 and 1.45, and is chaotic at 1.15 and 1.5.

The equation is solved by the classical Runge-Kutta method of order 4 with steps h <= 0.1 / w0 at the largest w0 of the
space. Over the default 6 s and 2000 thetas drawn evenly over the space (w0_sq evenly in its logarithm) the angle's
largest error has, in double precision, the median 2e-7 rad, 95 % quantile 1.3e-5 and 99 % quantile 5e-4; in single
precision 8e-7, 5e-5 and 1.3e-3. The largest were near 0.9 rad, at (62.9, 0.81, 38.2, 7.1), where the motion is chaotic.

Identified: all four, by a record that holds the first swings or large ones. Small swings, once the start has died out,
are a sine with the drive's frequency, whose amplitude and phase are two numbers for w0_sq, damping and drive.

Limits: where the motion is chaotic neighbouring paths part exponentially: no method follows a path for long, and the
likelihood of a long record is rugged. The drive's phase is known.

Source: Baker and Gollub, Chaotic Dynamics (1990); the ranges are ours.
"""

import math
from collections.abc import Mapping, Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike, Float

from avo.checks import grid
from avo.simulators.ode import runge_kutta
from avo.simulators.problem import Axis, Problem, choose, vectorize
from avo.simulators.register import Header
from avo.space import Interval, LogInterval

HEADER = Header(
    summary="damped pendulum driven by a periodic torque, angles measured with noise",
    tags=("series", "physics", "chaos", "population"),
    x_shape=(100,),
    parameters="w0_sq (1/s^2), damping (1/s), drive (rad/s^2), frequency (rad/s)",
    x="angle (rad) along time (s)",
)

PARAMETERS = {
    "w0_sq": LogInterval(9.0, 100.0, unit="1/s^2"),
    "damping": Interval(0.2, 4.0, unit="1/s"),
    "drive": Interval(1.0, 40.0, unit="rad/s^2"),
    "frequency": Interval(1.0, 10.0, unit="rad/s"),
}
DEFAULTS = {"w0_sq": 24.5, "damping": 2.5, "drive": 15.0, "frequency": 3.3}
_LARGEST_W0 = math.sqrt(PARAMETERS["w0_sq"].high)


def trajectory(
    w0_sq: ArrayLike,
    damping: ArrayLike,
    drive: ArrayLike,
    frequency: ArrayLike,
    angle: ArrayLike,
    velocity: ArrayLike,
    *,
    step: ArrayLike,
    steps: int,
) -> Float[Array, "steps 2"]:
    """Solve angle'' = -w0_sq sin(angle) - damping angle' + drive cos(frequency t) by Runge-Kutta steps of order 4.

    Args:
        w0_sq: squared small-angle frequency g / l, in 1/s^2.
        damping: damping rate, in 1/s.
        drive: amplitude of the drive, as an angular acceleration in rad/s^2.
        frequency: angular frequency of the drive, in rad/s.
        angle: angle at t = 0 from hanging down, in rad.
        velocity: angular velocity at t = 0, in rad/s.
        step: time step, in s.
        steps: number of steps.

    Returns:
        angle (rad, not wrapped) and angular velocity (rad/s) after each step, with shape (steps, 2).

    Example:
        >>> path = trajectory(25.0, 1.0, 0.2, 5.0, 0.0, 0.0, step=0.02, steps=1000)  # small swings at resonance
        >>> jnp.abs(path[-100:, 0].max() - 0.2 / (1.0 * 5.0)) < 1e-4  # amplitude drive / (damping frequency)
        Array(True, dtype=bool)
    """

    def rate(time: ArrayLike, state: Float[Array, "2"]) -> Float[Array, "2"]:
        torque = jnp.cos(jnp.asarray(frequency * time)) * drive
        return jnp.stack([state[1], -jnp.sin(state[0]) * w0_sq - state[1] * damping + torque])

    def advance(state: Float[Array, "2"], i: Array) -> tuple[Float[Array, "2"], Float[Array, "2"]]:
        # Time is one more state, whose rate is 1
        _, state = runge_kutta(lambda at: (1.0, rate(*at)), (i * step, state), step)
        return state, state

    start = jnp.stack([jnp.asarray(angle, dtype=float), jnp.asarray(velocity, dtype=float)])
    return jax.lax.scan(advance, start, jnp.arange(steps, dtype=float))[1]


def pendulum_driven(
    points: int = 100,
    duration: float = 6.0,
    noise: float = 0.05,
    free: str | Sequence[str] = tuple(PARAMETERS),
    values: Mapping[str, float] | None = None,
) -> Problem:
    """Noisy angles of a driven pendulum, angle'' = -w0_sq sin(angle) - damping angle' + drive cos(frequency t).

    The times are duration / points, 2 duration / points, ..., duration after the start at rest, hanging down.

    Args:
        points: measured angles per observation.
        duration: time of the last one, in s.
        noise: standard deviation of the measurement noise, in rad.
        free: parameters to fit, in the order of theta's columns. The others stay at w0_sq = 24.5, damping = 2.5,
            drive = 15 and frequency = 3.3.
        values: parameter -> its value: fixed there, or the truth where it is free.

    Returns:
        `Problem` with parameters w0_sq (1/s^2), damping (1/s), drive (rad/s^2) and frequency (rad/s); x has shape
        (points,), in rad, not wrapped.

    Raises:
        ValueError: if an argument is out of range or names an unknown parameter.

    Example:
        >>> problem = pendulum_driven(free=("w0_sq", "drive"))
        >>> problem.simulate(jax.random.key(0), jnp.array([[24.5, 15.0]])).shape
        (1, 100)
    """
    grid(points, duration, noise)
    choice = choose({name: (kind, DEFAULTS[name]) for name, kind in PARAMETERS.items()}, free, values)
    held = DEFAULTS | dict(values or {})
    if held["w0_sq"] <= 0 or held["damping"] < 0:
        raise ValueError(f"values: w0_sq must be above zero, damping not below; got {values!r}.")

    dt = duration / points
    substeps = max(1, math.ceil(dt * max(_LARGEST_W0, math.sqrt(held["w0_sq"])) / 0.1 - 1e-9))

    def mean(theta: Float[Array, "d"]) -> Float[Array, "points"]:
        path = trajectory(**choice.named(theta), angle=0.0, velocity=0.0, step=dt / substeps, steps=points * substeps)
        return path[substeps - 1 :: substeps, 0]

    def draw(key: Array, theta: Float[Array, "d"]) -> Float[Array, "points"]:
        return mean(theta) + noise * jax.random.normal(key, (points,))

    def log_prob(theta: Float[Array, "d"], x: Float[Array, "points"]) -> Float[Array, ""]:
        return jnp.sum(jax.scipy.stats.norm.logpdf(x, mean(theta), noise))

    return Problem(
        name="pendulum_driven",
        summary=HEADER.summary,
        simulate=vectorize(draw),
        space=choice.space,
        theta_true=choice.theta_true,
        x_shape=(points,),
        axes=(Axis("time", "s", dt * np.arange(1, points + 1)),),
        quantity="angle",
        unit="rad",
        mean=mean,
        log_prob=log_prob if noise > 0 else None,
        tags=HEADER.tags,
    )
