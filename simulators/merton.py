"""Merton's jump diffusion, a price that moves by geometric Brownian motion and by sudden jumps, drawn exactly.

    log S_{t + dt} - log S_t = (mu - sigma^2 / 2) dt + sigma (W_{t + dt} - W_t) + sum of n jumps
    n ~ Poisson(rate dt),    jump ~ N(jump_mean, jump_sd^2)

The logarithmic returns are independent; their density is a Poisson mixture of normals, and their cumulants are

    k1 = (mu - sigma^2 / 2 + rate jump_mean) dt
    k2 = (sigma^2 + rate (jump_mean^2 + jump_sd^2)) dt
    k3 = rate (jump_mean^3 + 3 jump_mean jump_sd^2) dt
    k4 = rate (jump_mean^4 + 6 jump_mean^2 jump_sd^2 + 3 jump_sd^4) dt

mu is the drift without the jumps: Merton's alpha is mu + rate (exp(jump_mean + jump_sd^2 / 2) - 1), which is the rate
at which the expected price grows. No maximum-likelihood estimate is known in closed form.

Identified: sigma from the many small returns, rate, jump_mean and jump_sd from the few large ones: a path of T years
holds some rate T jumps. Jumps much smaller than sigma sqrt(dt) cannot be told from diffusion. The drift mu is hard to
know: its error is at least sigma / sqrt(T), however many points there are.

Limits: drift, volatility and the rate of jumps are constant, and the time steps are equal.

Source: Merton (Journal of Financial Economics 3, 1976).
"""

import math

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float
from scipy import stats

from avo.checks import grid, positive
from avo.simulators.problem import Axis, Problem, vectorize
from avo.simulators.register import Header
from avo.space import Interval, LogInterval, Space

HEADER = Header(
    summary="Merton's jump diffusion, exact paths of a price with jumps",
    tags=("series", "diffusion", "finance", "jumps"),
    x_shape=(252,),
    parameters="mu (1/yr), sigma (1/sqrt(yr)), rate (1/yr), jump_mean, jump_sd",
    x="price along time (yr)",
)

RATE = LogInterval(0.5, 20.0, unit="1/yr")
SPACE = Space(
    mu=Interval(-1.0, 1.0, unit="1/yr"),
    sigma=LogInterval(0.05, 1.0, unit="1/sqrt(yr)"),
    rate=RATE,
    jump_mean=Interval(-0.2, 0.2),
    jump_sd=LogInterval(0.01, 0.2),
)
RARE = 1e-12  # probability of more jumps in one step than the density counts


def merton(points: int = 252, duration: float = 1.0, start: float = 1.0) -> Problem:
    """Paths of Merton's jump diffusion: log returns N((mu - sigma^2 / 2) dt, sigma^2 dt) plus a Poisson sum of jumps.

    The sum of n normal jumps is N(n jump_mean, n jump_sd^2), so the sampler is exact over any dt.

    Args:
        points: prices after the start; 252 is a year of trading days.
        duration: time of the last price, in years.
        start: S_0, above zero, not returned.

    Returns:
        `Problem` with parameters mu (1/yr), sigma (1/sqrt(yr)), rate (1/yr), jump_mean and jump_sd (of the logarithm of
        the price); x has shape (points,), in the unit of start.

    Raises:
        ValueError: if an argument is out of range.

    Example:
        >>> problem = merton(start=35.0)
        >>> problem.simulate(jax.random.key(0), jnp.array([[0.15, 0.2, 6.0, -0.05, 0.08]])).shape
        (1, 252)
    """
    grid(points, duration)
    positive("start", start)
    dt = duration / points
    times = dt * np.arange(1, points + 1)
    jumps = int(stats.poisson.isf(RARE, RATE.high * dt)) + 1  # at most, in one step

    def draw(key: Array, theta: Float[Array, "5"]) -> Float[Array, "points"]:
        mu, sigma, rate, jump_mean, jump_sd = theta
        key_n, key_z = jax.random.split(key)
        n = jax.random.poisson(key_n, rate * dt, (points,)).astype(theta.dtype)
        sd = jnp.sqrt(sigma**2 * dt + jump_sd**2 * n)
        returns = (mu - sigma**2 / 2.0) * dt + jump_mean * n + sd * jax.random.normal(key_z, (points,))
        return start * jnp.exp(jnp.cumsum(returns))

    def mean(theta: Float[Array, "5"]) -> Float[Array, "points"]:
        mu, _, rate, jump_mean, jump_sd = jnp.asarray(theta, dtype=float)
        growth = mu + rate * jnp.expm1(jump_mean + jump_sd**2 / 2.0)
        return start * jnp.exp(growth * jnp.asarray(times, dtype=float))

    def log_prob(theta: Float[Array, "5"], x: Float[Array, "points"]) -> Float[Array, ""]:
        mu, sigma, rate, jump_mean, jump_sd = theta
        log_x, n = jnp.log(x), jnp.arange(jumps + 1, dtype=float)
        returns = jnp.diff(log_x, prepend=math.log(start))
        means, sds = (mu - sigma**2 / 2.0) * dt + jump_mean * n, jnp.sqrt(sigma**2 * dt + jump_sd**2 * n)
        law = jax.scipy.stats.norm.logpdf(returns[:, None], means[None], sds[None])
        law = jax.scipy.special.logsumexp(law + jax.scipy.stats.poisson.logpmf(n, rate * dt)[None], axis=1)
        return jnp.sum(law - log_x)  # of prices: d log x = dx / x

    return Problem(
        name="merton",
        summary=HEADER.summary,
        simulate=vectorize(draw),
        space=SPACE,
        theta_true=np.array([0.15, 0.2, 6.0, -0.05, 0.08]),
        x_shape=(points,),
        axes=(Axis("time", "yr", times),),
        quantity="price",
        mean=mean,
        log_prob=log_prob,
        tags=HEADER.tags,
    )
