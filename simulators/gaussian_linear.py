"""Ten Gaussian numbers whose means are the parameters, with a Gaussian prior.

    x ~ N(theta, 0.1 I),   theta in R^10

0.1 is the variance, although sbibm's code calls it a scale: a standard deviation of 0.316. Its prior is N(0, 0.1 I), so
the posterior of a single x is N(x / 2, 0.05 I).

Identified: each parameter by its own number, to sqrt(0.1) for one observation.

Limits: nothing is hard about it; it is a check that an exact answer is found.

Source: the task `gaussian_linear` of sbibm (Lueckmann, Boelts, Greenberg, Goncalves, Macke, AISTATS 2021).
"""

import math

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from avo.simulators.problem import Axis, Problem, vectorize
from avo.simulators.register import Header
from avo.space import Real, Space

HEADER = Header(
    summary="ten Gaussian numbers around their parameters, Gaussian prior",
    tags=("vector", "benchmark", "sbibm"),
    x_shape=(10,),
    parameters="theta1, theta2, theta3, theta4, theta5, theta6, theta7, theta8, theta9, theta10",
    x="x along coordinate",
)


def gaussian_linear() -> Problem:
    """Ten Gaussian numbers: x ~ N(theta, 0.1 I).

    The maximum-likelihood estimate over m observations is their mean, with standard deviations sqrt(0.1 / m). The prior
    of sbibm is N(0, 0.1 I), the scale of the space's coordinates.

    Returns:
        `Problem` with parameters theta1, ..., theta10 (no units); x has shape (10,).

    Example:
        >>> problem = gaussian_linear()
        >>> x = problem.simulate(jax.random.key(0), jnp.zeros((1000, 10)))
        >>> bool(jnp.all(jnp.abs(problem.mle(x)) < 0.05))
        True
    """

    def draw(key: Array, theta: Float[Array, "10"]) -> Float[Array, "10"]:
        return theta + math.sqrt(0.1) * jax.random.normal(key, (10,))

    def mle(x: Float[Array, "m 10"]) -> Float[Array, "10"]:
        return jnp.mean(jnp.asarray(x, dtype=float), axis=0)

    def mean(theta: Float[Array, "10"]) -> Float[Array, "10"]:
        return jnp.asarray(theta, dtype=float)

    # Of sbibm's observation 1.
    truth = [0.27184236, 0.6762953, 0.17189318, -0.04218617, -0.82151634]
    truth += [0.024290232, -0.24255924, -0.16438946, -0.13595216, 0.26958188]

    def log_prob(theta: Float[Array, "10"], x: Float[Array, "10"]) -> Float[Array, ""]:
        return jnp.sum(jax.scipy.stats.norm.logpdf(x, theta, math.sqrt(0.1)))

    return Problem(
        name="gaussian_linear",
        summary=HEADER.summary,
        simulate=vectorize(draw),
        space=Space(**{f"theta{i}": Real(0.0, math.sqrt(0.1)) for i in range(1, 11)}),
        theta_true=np.array(truth),
        x_shape=(10,),
        axes=(Axis("coordinate", "", np.arange(10)),),
        mle=mle,
        mean=mean,
        log_prob=log_prob,
        tags=HEADER.tags,
    )
