"""The Cox-Ingersoll-Ross process, which returns to its mean and stays positive, drawn exactly on a grid.

    dX = rate (mean - X) dt + sigma sqrt(X) dW
    X_{t + dt} given X_t  ~  c chi'^2(df, X_t exp(-rate dt) / c)
    c = sigma^2 (1 - exp(-rate dt)) / (4 rate),    df = 4 rate mean / sigma^2

chi'^2(df, nc) is the noncentral chi-square. The stationary law is Gamma with shape df / 2 and scale sigma^2 / (2 rate);
the autocorrelation is exp(-rate |lag|). Where df < 2 (Feller's condition fails) the process touches zero; the draws are
exact there too. No maximum-likelihood estimate is known in closed form.

Source: Cox, Ingersoll and Ross (Econometrica 53, 1985).
"""

import math

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike, Float

from avo.simulators.problem import Axis, Problem, check_grid, vectorize
from avo.space import LogInterval, Space


def noncentral_chi2(key: Array, df: ArrayLike, nc: ArrayLike) -> Float[Array, ""]:
    """Draw from the noncentral chi-square law, exactly, for any df > 0 and nc >= 0.

    Where df > 1 it is (z + sqrt(nc))^2 + chi^2(df - 1) with z ~ N(0, 1), and elsewhere chi^2(df + 2 n) with n ~
    Poisson(nc / 2). The first form is the better one where nc is large: a Poisson draw of many thousand is inexact in
    single precision.

    Args:
        key: random key.
        df: degrees of freedom, above zero, a scalar.
        nc: noncentrality, not negative, a scalar.

    Returns:
        One draw; its mean is df + nc and its variance 2 (df + 2 nc).

    Example:
        >>> draws = jax.vmap(noncentral_chi2, (0, None, None))(jax.random.split(jax.random.key(0), 4000), 0.5, 3.0)
        >>> abs(float(draws.mean()) - 3.5) < 0.3
        True
    """
    df, nc = jnp.asarray(df, dtype=float), jnp.asarray(nc, dtype=float)
    key_z, key_n, key_gamma = jax.random.split(key, 3)
    shifted = (jax.random.normal(key_z) + jnp.sqrt(nc)) ** 2
    n = jax.random.poisson(key_n, jnp.where(df > 1.0, 0.0, nc / 2.0))
    shape = jnp.where(df > 1.0, (df - 1.0) / 2.0, df / 2.0 + n)
    return jnp.where(df > 1.0, shifted, 0.0) + 2.0 * jax.random.gamma(key_gamma, shape)


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
    check_grid(points, duration)
    if start is not None and not (math.isfinite(start) and start > 0):
        raise ValueError(f"start must be above zero, or None for the stationary law; got {start}.")
    dt = duration / points
    times = dt * np.arange(1, points + 1)

    def draw(key: Array, theta: Float[Array, "3"]) -> Float[Array, "points"]:
        rate, mean, sigma = theta
        decay = jnp.exp(-rate * dt)
        c = -jnp.expm1(-rate * dt) * sigma**2 / (4.0 * rate)
        df = 4.0 * rate * mean / sigma**2

        def advance(x: Array, key: Array) -> tuple[Array, Array]:
            x = c * noncentral_chi2(key, df, x * decay / c)
            return x, x

        keys = jax.random.split(key, points)
        if start is not None:
            return jax.lax.scan(advance, jnp.asarray(start, dtype=float), keys)[1]
        first = jax.random.gamma(keys[0], df / 2.0) * sigma**2 / (2.0 * rate)
        return jnp.concatenate([first[None], jax.lax.scan(advance, first, keys[1:])[1]])

    def average(theta: Float[Array, "3"]) -> Float[Array, "points"]:
        rate, mean, _ = jnp.asarray(theta, dtype=float)
        away = 0.0 if start is None else start - mean
        return mean + away * jnp.exp(-rate * jnp.asarray(times, dtype=float))

    return Problem(
        name="cir",
        summary="Cox-Ingersoll-Ross process, exact paths of a positive quantity that returns to its mean",
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
        mean=average,
        tags=("series", "diffusion", "finance"),
    )
