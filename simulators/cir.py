"""The Cox-Ingersoll-Ross process, which returns to its mean and stays positive, drawn exactly on a grid.

    dX = rate (mean - X) dt + sigma sqrt(X) dW
    X_{t + dt} given X_t  ~  c chi'^2(df, X_t exp(-rate dt) / c)
    c = sigma^2 (1 - exp(-rate dt)) / (4 rate),    df = 4 rate mean / sigma^2

chi'^2(df, nc) is the noncentral chi-square. For df > 1 it is (Z + sqrt(nc))^2 + chi^2(df - 1), Z ~ N(0, 1). For any df
it is chi^2(df + 2 n) with n ~ Poisson(nc / 2), the number of points of a Poisson process. Given the first of them, at
e / 2, the others are Poisson with mean (nc - e) / 2, hence

    chi'^2(df, nc)  ~  (Z + sqrt(nc - e))^2 + chi^2(df + 1)  if e < nc,  chi^2(df)  otherwise,    e ~ chi^2(2)

and so it is drawn: no count is needed, of which single precision would lose the last digits where nc is large, as after
short steps. (Where df is far below 1, single precision takes values under 1e-38, which then are many, for 0.) The
stationary law is Gamma with shape df / 2 and scale
sigma^2 / (2 rate); the autocorrelation is exp(-rate |lag|). Where df < 2 (Feller's condition fails) the process touches
zero; the draws are exact there too. No maximum-likelihood estimate is known in closed form.

Identified: all three parameters. sigma comes from the increments, and every point sharpens it; mean is known to near
sigma sqrt(mean) / (rate sqrt(T)) from a long path of duration T; rate comes from the fall of the autocorrelation, which
a path of a few times 1 / rate tells badly. Where exp(-rate dt) is near 0 the values are independent, and tell mean and
sigma^2 / rate only.

Limits: the time steps are equal, and there is no measurement noise.

Source: Cox, Ingersoll and Ross (Econometrica 53, 1985).
"""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from avo.checks import grid, positive
from avo.simulators.bessel import log_bessel
from avo.simulators.ornstein_uhlenbeck import average
from avo.simulators.problem import Axis, Problem, vectorize
from avo.simulators.register import Header
from avo.space import LogInterval, Space

HEADER = Header(
    summary="Cox-Ingersoll-Ross process, exact paths of what stays positive",
    tags=("series", "diffusion", "finance", "population"),
    x_shape=(64,),
    parameters="rate (1/yr), mean, sigma (1/sqrt(yr))",
    x="X along time (yr)",
)

LEAST = 1e-30  # of x: single precision may round to zero, where a density may be infinite


def cir(points: int = 64, duration: float = 6.4, start: float | None = None) -> Problem:
    """Paths of the Cox-Ingersoll-Ross process, dX = rate (mean - X) dt + sigma sqrt(X) dW, by its exact transition.

    Args:
        points: values per path.
        duration: points * dt, in years.
        start: X_0, above zero, not returned; None: the first value is drawn from the stationary law.

    Returns:
        `Problem` with parameters rate (1/yr), mean and sigma (1/sqrt(yr) times the root of x's unit); x has shape
        (points,) and is not negative.

    Raises:
        ValueError: if an argument is out of range.

    Example:
        >>> problem = cir(points=8, duration=2.0)
        >>> problem.simulate(jax.random.key(0), jnp.array([[1.5, 0.7, 0.5]])).shape
        (1, 8)
    """
    grid(points, duration)
    if start is not None:
        positive("start", start, ", or None for the stationary law")
    dt = duration / points
    times = dt * np.arange(1, points + 1)

    def draw(key: Array, theta: Float[Array, "3"]) -> Float[Array, "points"]:
        rate, mean, sigma = theta
        decay = jnp.exp(-rate * dt)
        c = -jnp.expm1(-rate * dt) * sigma**2 / (4.0 * rate)
        df = 4.0 * rate * mean / sigma**2

        def advance(x: Array, key: Array) -> tuple[Array, Array]:
            key_e, key_z, key_gamma = jax.random.split(key, 3)
            rest = x * decay - 2.0 * c * jax.random.exponential(key_e)  # c (nc - e)
            moved = jnp.sqrt(c) * jax.random.normal(key_z) + jnp.sqrt(jnp.maximum(rest, 0.0))
            gamma = jax.random.gamma(key_gamma, jnp.where(rest > 0.0, df + 1.0, df) / 2.0)
            x = jnp.where(rest > 0.0, moved**2, 0.0) + 2.0 * c * gamma
            return x, x

        keys = jax.random.split(key, points)
        if start is not None:
            return jax.lax.scan(advance, jnp.asarray(start, dtype=float), keys)[1]
        first = jax.random.gamma(keys[0], df / 2.0) * sigma**2 / (2.0 * rate)
        return jnp.concatenate([first[None], jax.lax.scan(advance, first, keys[1:])[1]])

    def log_prob(theta: Float[Array, "3"], x: Float[Array, "points"]) -> Float[Array, ""]:
        rate, mean, sigma = theta
        c = -jnp.expm1(-rate * dt) * sigma**2 / (4.0 * rate)
        df = 4.0 * rate * mean / sigma**2
        x = jnp.maximum(x, LEAST)
        before = x[:-1] if start is None else jnp.concatenate([jnp.full(1, start), x[:-1]])
        y, nc, order = x[-before.size :] / c, before * jnp.exp(-rate * dt) / c, df / 2.0 - 1.0
        moves = log_bessel(order, jnp.sqrt(y * nc)) - (jnp.sqrt(y) - jnp.sqrt(nc)) ** 2 / 2.0
        moves = moves + order / 2.0 * jnp.log(y / nc) - jnp.log(2.0 * c)
        if start is not None:
            return jnp.sum(moves)
        return jnp.sum(moves) + jax.scipy.stats.gamma.logpdf(x[0], df / 2.0, scale=sigma**2 / (2.0 * rate))

    return Problem(
        name="cir",
        summary=HEADER.summary,
        simulate=vectorize(draw),
        space=Space(
            rate=LogInterval(0.2, 10.0, unit="1/yr"),
            mean=LogInterval(0.2, 5.0),
            sigma=LogInterval(0.1, 2.0, unit="1/sqrt(yr)"),
        ),
        theta_true=np.array([1.5, 0.7, 0.5]),
        x_shape=(points,),
        axes=(Axis("time", "yr", times),),
        quantity="X",
        mean=average(times, start),
        log_prob=log_prob,
        tags=HEADER.tags,
    )
