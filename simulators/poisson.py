"""Counts at a constant rate, x ~ Poisson(rate): the first task published for adversarial variational optimization.

    p(x | rate) = rate^x exp(-rate) / x!,    E[x] = Var[x] = rate

Identified: the rate, by the mean of the counts.

Limits: the variance is the mean, so that counts which scatter more or less than that do not fit.

Source: Louppe, Hermans, Cranmer, arXiv:1707.07113, where the parameter is log rate and the truth log 7.
"""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from avo.simulators.problem import Problem, nan_of_nan, vectorize
from avo.simulators.register import Header
from avo.space import Interval, Space

HEADER = Header(
    summary="Poisson counts with one rate",
    tags=("scalar", "discrete", "published"),
    x_shape=(),
    parameters="rate",
    x="count",
)


def poisson() -> Problem:
    """Counts with one rate: x ~ Poisson(rate).

    The maximum-likelihood estimate over m counts is their mean, with standard deviation sqrt(rate / m).

    Returns:
        `Problem` with parameter rate (no unit); x is one count as a float, x_shape ().

    Example:
        >>> problem = poisson()
        >>> problem.simulate(jax.random.key(0), jnp.array([[7.0], [21.5]])).shape
        (2,)
    """

    def draw(key: Array, theta: Float[Array, "1"]) -> Float[Array, ""]:
        return nan_of_nan(jax.random.poisson(key, theta[0]).astype(theta.dtype), theta)

    def mle(x: Float[Array, "m"]) -> Float[Array, "1"]:
        return jnp.mean(jnp.asarray(x, dtype=float))[None]

    def mean(theta: Float[Array, "1"]) -> Float[Array, ""]:
        return jnp.asarray(theta, dtype=float)[0]

    def log_prob(theta: Float[Array, "1"], x: Float[Array, ""]) -> Float[Array, ""]:
        return jax.scipy.stats.poisson.logpmf(x, theta[0])

    return Problem(
        name="poisson",
        summary=HEADER.summary,
        simulate=vectorize(draw),
        space=Space(rate=Interval(1.0, 30.0)),
        theta_true=np.array([7.0]),
        x_shape=(),
        quantity="count",
        mle=mle,
        mean=mean,
        log_prob=log_prob,
        tags=HEADER.tags,
    )
