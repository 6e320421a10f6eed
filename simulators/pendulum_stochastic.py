"""The damped pendulum pushed at random, as by a bath or by turbulent air: a Langevin equation.

    d angle = velocity dt
    d velocity = (-w0^2 sin(angle) - damping velocity) dt + kick dW
    x_i = angle(t_i) + noise e_i,  e_i ~ N(0, 1)

After many times 1 / damping the pendulum forgets its start: with the temperature T = kick^2 / (2 damping) its
stationary density is proportional to exp(-(velocity^2 / 2 - w0^2 cos(angle)) / T). The velocity is then N(0, T), and
the angle, wrapped to a turn, independent of it with the von Mises law of concentration w0^2 / T.

Identified: w0_sq by the frequency of the swings, kick by their roughness, damping by how fast they are forgotten. A
record shorter than 1 / damping tells kick, but hardly damping; the stationary law alone tells w0^2 / T only, and the
velocities would tell T, but they are not observed.

Limits: the start is known, and the pushes are white noise: no gust lasts.

Source: for the steps, those of `avo.simulators.pendulum.leapfrog` with random pushes, Leimkuhler and Matthews (Applied
Mathematics Research eXpress 2013, 34-56), whose name for the scheme is "BAOAB": the decay of the velocity and its noise
are exact, the rest is the symplectic leapfrog. Its weak order is 2, and the stationary law of the angle is exact for
small swings. The steps are h <= 0.1 / w0 at the largest w0 of the space.
"""

import math
from collections.abc import Mapping, Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike, Float

from avo.checks import finite, grid
from avo.simulators.pendulum import leapfrog
from avo.simulators.problem import Axis, Problem, choose, vectorize
from avo.simulators.register import Header
from avo.space import LogInterval

HEADER = Header(
    summary="damped pendulum pushed at random, angles measured with noise",
    tags=("series", "physics", "diffusion", "population"),
    x_shape=(100,),
    parameters="w0_sq (1/s^2), damping (1/s), kick (rad/s^1.5)",
    x="angle (rad) along time (s)",
)

PARAMETERS = {
    "w0_sq": LogInterval(9.0, 100.0, unit="1/s^2"),
    "damping": LogInterval(0.05, 5.0, unit="1/s"),
    "kick": LogInterval(0.1, 10.0, unit="rad/s^1.5"),
}
DEFAULTS = {"w0_sq": 24.5, "damping": 0.8, "kick": 2.0}


def random_path(
    key: Array,
    w0_sq: ArrayLike,
    damping: ArrayLike,
    kick: ArrayLike,
    angle: ArrayLike,
    velocity: ArrayLike,
    *,
    step: float,
    steps: int,
) -> Float[Array, "steps 2"]:
    """Draw a path of d velocity = (-w0_sq sin(angle) - damping velocity) dt + kick dW, of weak order 2 in the step.

    A push in the middle of each step is N(0, kick^2 (1 - exp(-2 damping step)) / (2 damping)).

    Args:
        key: random key.
        w0_sq: squared small-angle frequency g / l, in 1/s^2.
        damping: damping rate, above zero, in 1/s.
        kick: strength of the noise, in rad/s^1.5.
        angle: start angle from hanging down, in rad.
        velocity: start angular velocity, in rad/s.
        step: time step, in s.
        steps: number of steps.

    Returns:
        angle (rad, not wrapped) and angular velocity (rad/s) after each step, with shape (steps, 2).

    Example:
        >>> random_path(jax.random.key(0), 24.5, 0.8, 2.0, 0.0, 0.0, step=0.01, steps=300).shape
        (300, 2)
    """
    damping = jnp.asarray(damping, dtype=float)
    sd = kick * jnp.sqrt(-jnp.expm1(-2.0 * damping * step) / (2.0 * damping))
    return leapfrog(w0_sq, damping, angle, velocity, step, sd * jax.random.normal(key, (steps,)))


def pendulum_stochastic(
    points: int = 100,
    duration: float = 10.0,
    noise: float = 0.05,
    angle: float = 0.0,
    velocity: float = 0.0,
    *,
    free: str | Sequence[str] = tuple(PARAMETERS),
    values: Mapping[str, float] | None = None,
) -> Problem:
    """Noisy angles of a pendulum pushed at random: d velocity = (-w0_sq sin(angle) - damping velocity) dt + kick dW.

    The times are duration / points, 2 duration / points, ..., duration after the start, which is known.

    Args:
        points: measured angles per observation.
        duration: time of the last one, in s.
        noise: standard deviation of the measurement noise, in rad.
        angle: start angle from hanging down, in rad.
        velocity: start angular velocity, in rad/s.
        free: parameters to fit, in the order of theta's columns. The others stay at w0_sq = 24.5, damping = 0.8 and
            kick = 2.
        values: parameter -> its value: fixed there, or the truth where it is free.

    Returns:
        `Problem` with parameters w0_sq (1/s^2), damping (1/s) and kick (rad/s^1.5); x has shape (points,), in rad, not
        wrapped.

    Raises:
        ValueError: if an argument is out of range or names an unknown parameter.

    Example:
        >>> problem = pendulum_stochastic()
        >>> problem.simulate(jax.random.key(0), jnp.array([[24.5, 0.8, 2.0]])).shape
        (1, 100)
    """
    grid(points, duration, noise)
    finite("angle", angle)
    finite("velocity", velocity)
    choice = choose({name: (kind, DEFAULTS[name]) for name, kind in PARAMETERS.items()}, free, values)
    held = DEFAULTS | dict(values or {})
    if min(held["w0_sq"], held["damping"]) <= 0 or held["kick"] < 0:
        raise ValueError(f"values: w0_sq and damping must be above zero, kick not below; got {values!r}.")

    dt = duration / points
    largest = max(PARAMETERS["w0_sq"].high, held["w0_sq"])
    substeps = max(1, math.ceil(dt * math.sqrt(largest) / 0.1 - 1e-9))

    def draw(key: Array, theta: Float[Array, "d"]) -> Float[Array, "points"]:
        named = choice.named(theta)
        key_push, key_noise = jax.random.split(key)
        path = random_path(
            key_push, **named, angle=angle, velocity=velocity, step=dt / substeps, steps=points * substeps
        )
        return path[substeps - 1 :: substeps, 0] + noise * jax.random.normal(key_noise, (points,))

    return Problem(
        name="pendulum_stochastic",
        summary=HEADER.summary,
        simulate=vectorize(draw),
        space=choice.space,
        theta_true=choice.theta_true,
        x_shape=(points,),
        axes=(Axis("time", "s", dt * np.arange(1, points + 1)),),
        quantity="angle",
        unit="rad",
        tags=HEADER.tags,
    )
