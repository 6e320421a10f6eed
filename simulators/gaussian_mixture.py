"""Two Gaussians around one centre, a wide and a narrow one: the location is the parameter.

    x ~ 1/2 N(theta, I) + 1/2 N(theta, 0.1^2 I),   theta in (-10, 10)^2

1 and 0.1 are standard deviations. Both coordinates of a row share the component, so they are uncorrelated but not
independent: Cov(x1^2, x2^2) around theta is (1 - 0.01)^2 / 4.

Identified: both parameters, the centre; the narrow component tells them ten times as exactly as the wide one.

Limits: the two standard deviations and their shares are known.

Source: the task `gaussian_mixture` of sbibm (Lueckmann, Boelts, Greenberg, Goncalves, Macke, AISTATS 2021), after
Sisson, Fan, Tanaka (PNAS 2007). Its code draws the component once per call, for all rows at once; here each row has its
own.
"""

import math

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from avo.simulators.problem import Axis, Problem, vectorize
from avo.simulators.register import Header
from avo.space import Interval, Space

HEADER = Header(
    summary="a wide and a narrow Gaussian around one centre",
    tags=("vector", "benchmark", "sbibm"),
    x_shape=(2,),
    parameters="theta1, theta2",
    x="x along coordinate",
)


def gaussian_mixture() -> Problem:
    """Two Gaussians around one centre: x ~ 1/2 N(theta, I) + 1/2 N(theta, 0.01 I).

    The prior of sbibm is uniform on the space. The mean of m observations is a poor estimate, with standard deviations
    sqrt(0.505 / m): the narrow component tells far more. The maximum-likelihood estimate has no closed form.

    Returns:
        `Problem` with parameters theta1 and theta2 in (-10, 10) (no units); x has shape (2,).

    Example:
        >>> problem = gaussian_mixture()
        >>> problem.simulate(jax.random.key(0), jnp.array([[2.3, -4.1]])).shape
        (1, 2)
    """

    def draw(key: Array, theta: Float[Array, "2"]) -> Float[Array, "2"]:
        side_key, normal_key = jax.random.split(key)
        sd = jnp.where(jax.random.bernoulli(side_key), 1.0, 0.1)
        return theta + sd * jax.random.normal(normal_key, (2,))

    def mean(theta: Float[Array, "2"]) -> Float[Array, "2"]:
        return jnp.asarray(theta, dtype=float)

    def log_prob(theta: Float[Array, "2"], x: Float[Array, "2"]) -> Float[Array, ""]:
        wide, narrow = (jnp.sum(jax.scipy.stats.norm.logpdf(x, theta, sd)) for sd in (1.0, 0.1))
        return jnp.logaddexp(wide, narrow) - math.log(2.0)

    return Problem(
        name="gaussian_mixture",
        summary=HEADER.summary,
        simulate=vectorize(draw),
        space=Space(theta1=Interval(-10.0, 10.0), theta2=Interval(-10.0, 10.0)),
        theta_true=np.array([2.3, -4.1]),  # ours: sbibm's observation 1 has (-9.5, -1.5), near the edge
        x_shape=(2,),
        axes=(Axis("coordinate", "", np.arange(2)),),
        mean=mean,
        log_prob=log_prob,
        tags=HEADER.tags,
    )
