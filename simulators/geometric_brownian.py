"""Geometric Brownian motion, a price with constant drift and volatility, drawn exactly on a grid.

    dS = mu S dt + sigma S dW,    S_t = S_0 exp((mu - sigma^2 / 2) t + sigma W_t)

The logarithm is Brownian motion with drift mu - sigma^2 / 2.

Identified: mu and sigma. Every point sharpens sigma. The drift is hard to know: its error is at least sigma / sqrt(T)
for one path of T years, however many points it has.

Limits: drift and volatility are constant, there are no jumps (see `merton`), and the time steps are equal.

Source: Black and Scholes (Journal of Political Economy 81, 1973).
"""

import math

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from avo.checks import grid, positive
from avo.simulators.problem import Axis, Problem, vectorize
from avo.simulators.register import Header
from avo.space import Interval, LogInterval, Space

HEADER = Header(
    summary="geometric Brownian motion, exact paths of a price",
    tags=("series", "diffusion", "finance", "population"),
    x_shape=(252,),
    parameters="mu (1/yr), sigma (1/sqrt(yr))",
    x="price along time (yr)",
)


def geometric_brownian(points: int = 252, duration: float = 1.0, start: float = 1.0) -> Problem:
    """Paths of geometric Brownian motion, S_t = S_0 exp((mu - sigma^2 / 2) t + sigma W_t).

    The logarithmic returns over dt = duration / points are independent N((mu - sigma^2 / 2) dt, sigma^2 dt), so the
    sampler is exact. So is the estimate: over m paths sigma^2 is the variance of all returns over dt, and
    mu = mean(return) / dt + sigma^2 / 2, with standard deviations sigma / sqrt(2 m points) and
    sqrt(sigma^2 / (m T) + sigma^4 / (2 m points)).

    Args:
        points: prices after the start; 252 is a year of trading days.
        duration: T, in years.
        start: S_0, above zero, not returned.

    Returns:
        `Problem` with parameters mu (1/yr) and sigma (1/sqrt(yr)); x has shape (points,), in the unit of start.

    Raises:
        ValueError: if an argument is out of range.

    Example:
        >>> problem = geometric_brownian(start=35.0)
        >>> problem.simulate(jax.random.key(0), jnp.array([[0.15, 0.3]])).shape
        (1, 252)
    """
    grid(points, duration)
    positive("start", start)
    dt = duration / points
    times = dt * np.arange(1, points + 1)

    def draw(key: Array, theta: Float[Array, "2"]) -> Float[Array, "points"]:
        mu, sigma = theta
        returns = (mu - sigma**2 / 2.0) * dt + sigma * jnp.sqrt(dt) * jax.random.normal(key, (points,))
        return start * jnp.exp(jnp.cumsum(returns))

    def mean(theta: Float[Array, "2"]) -> Float[Array, "points"]:
        return start * jnp.exp(jnp.asarray(theta, dtype=float)[0] * jnp.asarray(times, dtype=float))

    def mle(x: Float[Array, "m points"]) -> Float[Array, "2"]:
        returns = jnp.diff(jnp.log(jnp.asarray(x, dtype=float)), axis=1, prepend=math.log(start))
        variance = jnp.var(returns) / dt
        return jnp.array([returns.mean() / dt + variance / 2.0, jnp.sqrt(variance)])

    def log_prob(theta: Float[Array, "2"], x: Float[Array, "points"]) -> Float[Array, ""]:
        mu, sigma = theta
        log_x = jnp.log(x)
        returns = jnp.diff(log_x, prepend=math.log(start))
        law = jax.scipy.stats.norm.logpdf(returns, (mu - sigma**2 / 2.0) * dt, sigma * math.sqrt(dt))
        return jnp.sum(law - log_x)  # of prices: d log x = dx / x

    return Problem(
        name="geometric_brownian",
        summary=HEADER.summary,
        simulate=vectorize(draw),
        space=Space(mu=Interval(-1.0, 1.0, unit="1/yr"), sigma=LogInterval(0.05, 1.0, unit="1/sqrt(yr)")),
        theta_true=np.array([0.15, 0.3]),
        x_shape=(points,),
        axes=(Axis("time", "yr", times),),
        quantity="price",
        mle=mle,
        mean=mean,
        log_prob=log_prob,
        tags=HEADER.tags,
    )
