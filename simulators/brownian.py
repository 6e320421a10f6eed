"""Brownian motion with drift, X_t = mu t + sigma W_t, drawn exactly on a grid.

Identified: mu and sigma. Every point sharpens sigma; mu only gains by the time observed, since over m paths of duration
T its error is sigma / sqrt(m T) on any grid.

Limits: the start X_0 = 0 is known, the time steps are equal, and there is no measurement noise.

Source: Karatzas and Shreve, Brownian Motion and Stochastic Calculus (1991), chapters 2 and 5.
"""

import math

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from avo.checks import grid
from avo.simulators.problem import Axis, Problem, vectorize
from avo.simulators.register import Header
from avo.space import Interval, LogInterval, Space

HEADER = Header(
    summary="Brownian motion with drift, exact paths",
    tags=("series", "diffusion", "population"),
    x_shape=(64,),
    parameters="mu (1/s), sigma (1/sqrt(s))",
    x="X along time (s)",
)


def brownian(points: int = 64, duration: float = 1.0) -> Problem:
    """Paths of Brownian motion with drift: X_t = mu t + sigma W_t, X_0 = 0 (not returned).

    The increments over dt = duration / points are independent N(mu dt, sigma^2 dt), so the sampler is exact. So is the
    estimate: over m paths, mu = mean(X_T) / T and sigma^2 = mean((increment - mu dt)^2) / dt, with standard deviations
    sigma / sqrt(m T) and sigma / sqrt(2 m points).

    Args:
        points: time points after 0.
        duration: T, in s.

    Returns:
        `Problem` with parameters mu (1/s) and sigma (1/sqrt(s)); x has shape (points,).

    Raises:
        ValueError: if an argument is out of range.

    Example:
        >>> problem = brownian()
        >>> x = problem.simulate(jax.random.key(0), jnp.array([[0.8, 0.5]]))
        >>> x.shape
        (1, 64)
    """
    grid(points, duration)
    dt = duration / points
    times = dt * np.arange(1, points + 1)

    def draw(key: Array, theta: Float[Array, "2"]) -> Float[Array, "points"]:
        mu, sigma = theta
        return jnp.cumsum(mu * dt + sigma * jnp.sqrt(dt) * jax.random.normal(key, (points,)))

    def mean(theta: Float[Array, "2"]) -> Float[Array, "points"]:
        return jnp.asarray(theta, dtype=float)[0] * jnp.asarray(times, dtype=float)

    def mle(x: Float[Array, "m points"]) -> Float[Array, "2"]:
        increments = jnp.diff(jnp.asarray(x, dtype=float), axis=1, prepend=0.0)
        mu = increments.mean() / dt
        return jnp.array([mu, jnp.sqrt(jnp.mean((increments - mu * dt) ** 2) / dt)])

    def log_prob(theta: Float[Array, "2"], x: Float[Array, "points"]) -> Float[Array, ""]:
        increments = jnp.diff(x, prepend=0.0)
        return jnp.sum(jax.scipy.stats.norm.logpdf(increments, theta[0] * dt, theta[1] * math.sqrt(dt)))

    return Problem(
        name="brownian",
        summary=HEADER.summary,
        simulate=vectorize(draw),
        space=Space(mu=Interval(-3.0, 3.0, unit="1/s"), sigma=LogInterval(0.05, 3.0, unit="1/sqrt(s)")),
        theta_true=np.array([0.8, 0.5]),
        x_shape=(points,),
        axes=(Axis("time", "s", times),),
        quantity="X",
        mle=mle,
        mean=mean,
        log_prob=log_prob,
        tags=HEADER.tags,
    )
