"""A damped oscillation with an offset, measured with noise.

    x(t) = amplitude exp(-damping t) cos(frequency t) + offset + noise e,    e ~ N(0, 1) independent

Identified: all four; damping the less, the smaller the amplitude.

Limits: it starts at its largest; the noise is white.

Source: the linear pendulum of any textbook. It stands here as a case with closed form for comparisons of descriptions.
"""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike, Float

from avo.checks import grid
from avo.simulators.problem import Axis, Problem, vectorize
from avo.simulators.register import Header
from avo.space import Interval, Space

HEADER = Header(
    summary="damped oscillation with an offset",
    tags=("series", "physics", "population"),
    x_shape=(64,),
    parameters="frequency (rad/s), damping (1/s), amplitude, offset",
    x="displacement along time (s)",
)


def oscillator(points: int = 64, duration: float = 10.0, noise: float = 0.05) -> Problem:
    """One damped oscillation per observation.

    Args:
        points: measured values, the first at time 0.
        duration: time of the last, in s.
        noise: standard deviation of the measurement noise.

    Returns:
        `Problem` with parameters frequency (rad/s), damping (1/s), amplitude and offset; x has shape (points,).

    Raises:
        ValueError: if an argument is out of range.

    Example:
        >>> problem = oscillator()
        >>> [round(float(v), 3) for v in problem.mean([2.0, 0.0, 0.7, 0.1])[:2]]
        [0.8, 0.765]
    """
    grid(points, duration, noise)
    times = np.linspace(0.0, duration, points)

    def mean(theta: Float[ArrayLike, "4"]) -> Float[Array, "points"]:
        frequency, damping, amplitude, offset = jnp.asarray(theta, dtype=float)
        t = jnp.asarray(times, dtype=float)
        return amplitude * jnp.exp(-damping * t) * jnp.cos(frequency * t) + offset

    def draw(key: Array, theta: Float[Array, "4"]) -> Float[Array, "points"]:
        return mean(theta) + noise * jax.random.normal(key, (points,))

    def log_prob(theta: Float[Array, "4"], x: Float[Array, "points"]) -> Float[Array, ""]:
        return jnp.sum(jax.scipy.stats.norm.logpdf(x, mean(theta), noise))

    return Problem(
        name="oscillator",
        summary=HEADER.summary,
        simulate=vectorize(draw),
        space=Space(
            frequency=Interval(1.0, 3.0, unit="rad/s"),
            damping=Interval(0.05, 0.6, unit="1/s"),
            amplitude=Interval(0.5, 1.5),
            offset=Interval(-1.0, 1.0),
        ),
        theta_true=np.array([1.7, 0.21, 1.12, -0.3]),
        x_shape=(points,),
        axes=(Axis("time", "s", times),),
        quantity="displacement",
        mean=mean,
        log_prob=log_prob if noise > 0 else None,
        tags=HEADER.tags,
    )
