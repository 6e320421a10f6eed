"""The Ornstein-Uhlenbeck process, which returns to its mean, drawn exactly on a grid.

    dX = rate (mean - X) dt + sigma dW
    X_{t + dt} given X_t  ~  N(mean + a (X_t - mean), (1 - a^2) sigma^2 / (2 rate)),    a = exp(-rate dt)

Its stationary law is N(mean, sigma^2 / (2 rate)), its autocorrelation exp(-rate |lag|). On a grid it is an AR(1)
series.

Identified: all three parameters. sigma comes from the increments, and every point sharpens it; mean is known to near
sigma / (rate sqrt(T)) from a long path of duration T; rate comes from the fall of the autocorrelation, which a path of
a few times 1 / rate tells badly. Where a is near 0 the values are independent, and tell mean and sigma^2 / rate only.

Limits: the time steps are equal, and there is no measurement noise.

Source: Uhlenbeck and Ornstein (Physical Review 36, 1930).
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from avo.checks import finite, grid
from avo.simulators.problem import Axis, Problem, vectorize
from avo.simulators.register import Header
from avo.space import Interval, LogInterval, Space

HEADER = Header(
    summary="Ornstein-Uhlenbeck process, exact paths of what returns to its mean",
    tags=("series", "diffusion", "population"),
    x_shape=(64,),
    parameters="rate (1/s), mean, sigma (1/sqrt(s))",
    x="X along time (s)",
)


def average(times: Float[np.ndarray, "points"], start: float | None) -> Callable[[Array], Float[Array, "points"]]:
    """Make theta -> E[X_t] of a linear drift, rate (mean - X): mean + (start - mean) exp(-rate t), whatever the noise.

    Args:
        times: t, with shape (points,).
        start: X_0; None: the stationary law, whose mean is `mean`.

    Returns:
        A function of theta = (rate, mean, sigma).

    Example:
        >>> average(np.array([1.0, 50.0]), start=3.0)(jnp.array([jnp.log(2.0), 1.0, 0.4])).round(4).tolist()
        [2.0, 1.0]
    """

    def expected(theta: Float[Array, "3"]) -> Float[Array, "points"]:
        rate, mean, _ = jnp.asarray(theta, dtype=float)
        away = 0.0 if start is None else start - mean
        return mean + away * jnp.exp(-rate * jnp.asarray(times, dtype=float))

    return expected


def ornstein_uhlenbeck(points: int = 64, duration: float = 6.4, start: float | None = None) -> Problem:
    """Paths of the Ornstein-Uhlenbeck process, dX = rate (mean - X) dt + sigma dW, by its exact transition.

    The estimate regresses each value on the one before it, over all paths:

        a = cov / var,    rate = -log(a) / dt,    mean = (y' - a y) / (1 - a),    sigma^2 = 2 rate residual^2 / (1 -
        a^2)

    It maximises the likelihood exactly where `start` is known, and the likelihood given each path's first value where
    the start is stationary. It is nan where a <= 0, which short series with rate dt > 1 may have. With N pairs the
    standard deviation of rate is near sqrt((exp(2 rate dt) - 1) / N) / dt; of one path of duration T, rate comes out
    too high by some 4 / T.

    Args:
        points: values per path.
        duration: points * dt, in s.
        start: X_0, not returned; None: the first value is drawn from the stationary law.

    Returns:
        `Problem` with parameters rate (1/s), mean and sigma (1/sqrt(s)); x has shape (points,).

    Raises:
        ValueError: if an argument is out of range.

    Example:
        >>> problem = ornstein_uhlenbeck()
        >>> problem.simulate(jax.random.key(0), jnp.array([[1.5, 0.7, 0.5]])).shape
        (1, 64)
    """
    grid(points, duration)
    if start is not None:
        finite("start", start, ", or None for the stationary law")
    if start is None and points < 2:
        raise ValueError(f"points must be at least 2 where the start is stationary; got {points}.")
    dt = duration / points
    times = dt * np.arange(1, points + 1)

    def draw(key: Array, theta: Float[Array, "3"]) -> Float[Array, "points"]:
        rate, mean, sigma = theta
        a, spread = jnp.exp(-rate * dt), jnp.sqrt(-jnp.expm1(-2.0 * rate * dt))  # sqrt(1 - a^2) without cancellation
        noise = jax.random.normal(key, (points,)) * sigma / jnp.sqrt(2 * rate)

        def advance(x: Array, e: Array) -> tuple[Array, Array]:
            x = a * x + spread * e
            return x, x

        first = noise[0] if start is None else advance(start - mean, noise[0])[0]
        return mean + jnp.concatenate([first[None], jax.lax.scan(advance, first, noise[1:])[1]])

    def mle(x: Float[Array, "m points"]) -> Float[Array, "3"]:
        x = jnp.asarray(x, dtype=float)
        if start is not None:
            x = jnp.concatenate([jnp.full_like(x[:, :1], start), x], axis=1)
        before, after = x[:, :-1], x[:, 1:]
        a = jnp.mean((before - before.mean()) * (after - after.mean())) / before.var()
        rate = -jnp.log(a) / dt
        residual = after - after.mean() - a * (before - before.mean())
        sigma = jnp.sqrt(2.0 * rate * jnp.mean(residual**2) / (1.0 - a**2))
        return jnp.array([rate, (after.mean() - a * before.mean()) / (1.0 - a), sigma])

    def log_prob(theta: Float[Array, "3"], x: Float[Array, "points"]) -> Float[Array, ""]:
        rate, mean, sigma = theta
        sd = sigma / jnp.sqrt(2.0 * rate)  # of the stationary law
        step_sd = sd * jnp.sqrt(-jnp.expm1(-2.0 * rate * dt))
        before = jnp.concatenate([jnp.full(1, 0.0 if start is None else start), x[:-1]]) - mean
        moves = jax.scipy.stats.norm.logpdf(x - mean, jnp.exp(-rate * dt) * before, step_sd)
        first = jax.scipy.stats.norm.logpdf(x[0], mean, sd) if start is None else moves[0]
        return first + jnp.sum(moves[1:])

    return Problem(
        name="ornstein_uhlenbeck",
        summary=HEADER.summary,
        simulate=vectorize(draw),
        space=Space(
            rate=LogInterval(0.2, 20.0, unit="1/s"),
            mean=Interval(-3.0, 3.0),
            sigma=LogInterval(0.05, 3.0, unit="1/sqrt(s)"),
        ),
        theta_true=np.array([1.5, 0.7, 0.5]),
        x_shape=(points,),
        axes=(Axis("time", "s", times),),
        quantity="X",
        mle=mle,
        mean=average(times, start),
        log_prob=log_prob,
        tags=HEADER.tags,
    )
