"""A population that grows and crashes, counted with error: the Ricker model.

    N_t = r N_{t-1} exp(-N_{t-1} + sigma e_t),  e_t ~ N(0, 1),  N_0 = 1,    y_t ~ Poisson(phi N_t),  t = 1, 2, ...

Known exactly: log N_1 ~ N(log r - 1, sigma^2), and in the long run the mean of N_t is log r whatever sigma, since
log N_t - log N_{t-1} = log r - N_{t-1} + sigma e_t averages to zero; that of y_t is phi log r. At log r = 3.8 the map
is chaotic and the likelihood of a series ragged.

The code carries log N. After a large peak N is exp(-N) times smaller, which single precision calls 0 from N = 104 on:
the population would die out, and never does in the model.

Identified: all three by a series. A first count alone tells phi r and sigma only, since log N_1 has the law above; the
mean in the long run tells phi log r; the sizes of crashes and recoveries separate them.

Limits: a count of 0 says little about how small the population is. The likelihood is not known in closed form. N_0 = 1
is known.

Source: Ricker, J. Fisheries Research Board of Canada 11 (1954) 559; with these counts and the truth (3.8, 0.3, 10)
Wood, Nature 466 (2010) 1102. The start N_0 = 1 without burn-in is that of the example in ELFI; the ranges are ours.
"""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike, Float

from avo.checks import flag, whole
from avo.simulators.problem import Axis, Problem, nan_of_nan, vectorize
from avo.simulators.register import Header
from avo.space import Interval, LogInterval, Space

HEADER = Header(
    summary="population with Ricker growth, Poisson counts",
    tags=("series", "discrete", "ecology", "benchmark", "population"),
    x_shape=(50,),
    parameters="log_r, sigma, phi",
    x="count along time (generations)",
)


def log_population(
    log_r: ArrayLike, shocks: Float[ArrayLike, "steps"], log_start: ArrayLike = 0.0
) -> Float[Array, "steps"]:
    """Logarithm of the population: log N_t = log N_{t-1} + log r - N_{t-1} + shock_t.

    Args:
        log_r: log growth rate.
        shocks: sigma e_t, with shape (steps,).
        log_start: log N_0.

    Returns:
        log N_1, log N_2, ..., with shape (steps,).

    Example:
        >>> [round(float(v), 4) for v in log_population(2.0, [0.0, 0.5])]
        [1.0, 0.7817]
    """
    log_r = jnp.asarray(log_r, dtype=float)

    def grow(log_n: Array, shock: Array) -> tuple[Array, Array]:
        log_n = log_n + log_r - jnp.exp(log_n) + shock
        return log_n, log_n

    return jax.lax.scan(grow, jnp.asarray(log_start, dtype=float), jnp.asarray(shocks, dtype=float))[1]


def ricker(points: int = 50, burn_in: int = 0, summaries: bool = False) -> Problem:
    """Counts of a population with Ricker growth: y_t ~ Poisson(phi N_t), N_t = r N_{t-1} exp(-N_{t-1} + sigma e_t).

    Args:
        points: counts per observation.
        burn_in: steps before the first count; the R package of Wood's synthetic likelihood, synlik, takes 50.
        summaries: x is the mean, the variance and the number of zeros of the counts instead.

    Returns:
        `Problem` with parameters log_r, sigma and phi (no units); x has shape (points,) or (3,).

    Raises:
        ValueError: if `points` is not a whole number above zero or `burn_in` none of at least 0.

    Example:
        >>> problem = ricker()
        >>> problem.simulate(jax.random.key(0), jnp.array([[3.8, 0.3, 10.0]])).shape
        (1, 50)
    """
    whole("points", points)
    whole("burn_in", burn_in, least=0)
    flag("summaries", summaries)

    def draw(key: Array, theta: Float[Array, "3"]) -> Float[Array, "..."]:
        log_r, sigma, phi = theta
        growth_key, count_key = jax.random.split(key)
        shocks = sigma * jax.random.normal(growth_key, (burn_in + points,))
        n = jnp.exp(log_population(log_r, shocks)[burn_in:])
        y = nan_of_nan(jax.random.poisson(count_key, phi * n).astype(theta.dtype), theta)
        return jnp.stack([jnp.mean(y), jnp.var(y), jnp.sum(y == 0).astype(y.dtype)]) if summaries else y

    axis, quantity = Axis("time", "generations", burn_in + np.arange(1, points + 1)), "count"
    summary, tags = HEADER.summary, HEADER.tags
    if summaries:
        axis = Axis("statistic", "", np.arange(3), ("mean", "variance", "number of zeros"))
        quantity = "summary of the counts"
        summary = "population with Ricker growth, mean, variance and zeros of its Poisson counts"
        tags = ("vector", "ecology", "benchmark")
    return Problem(
        name="ricker",
        summary=summary,
        simulate=vectorize(draw),
        space=Space(log_r=Interval(3.0, 5.0), sigma=LogInterval(0.05, 0.8), phi=Interval(4.0, 20.0)),
        theta_true=np.array([3.8, 0.3, 10.0]),
        x_shape=(len(axis.values),),
        axes=(axis,),
        quantity=quantity,
        tags=tags,
    )
