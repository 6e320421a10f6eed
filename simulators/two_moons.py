"""Two moons: a crescent whose place depends on theta, twice, so that two thetas explain x equally well.

    a ~ U(-pi/2, pi/2),   r ~ N(0.1, 0.01^2)
    x = (r cos a + 0.25, r sin a) + (-|theta1 + theta2|, -theta1 + theta2) / sqrt(2)

Identified: |theta1 + theta2| and theta2 - theta1. theta and its mirror image (-theta2, -theta1) give the same law of x:
judge a fit by these two.

Limits: the crescent's place alone depends on theta; its radius and width are known.

Source: the task `two_moons` of sbibm (Lueckmann, Boelts, Greenberg, Goncalves, Macke, AISTATS 2021), after Greenberg,
Nonnenmacher, Macke (ICML 2019). Its prior is uniform on the box of the space. sbibm's likelihood of x leaves out the
factor 1 / (pi r) that turns the density of r into one of x; simulations do not need it.
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
    summary="points on a crescent that two thetas explain equally well",
    tags=("vector", "benchmark", "sbibm", "unidentified"),
    x_shape=(2,),
    parameters="theta1, theta2",
    x="x along coordinate",
)

RADIUS, RADIUS_SD = 0.1, 0.01
OFFSET = 0.25  # of the crescents along the first coordinate


def two_moons() -> Problem:
    """Points on a crescent: x = (r cos a + 0.25, r sin a) + (-|theta1 + theta2|, theta2 - theta1) / sqrt(2).

    The prior of sbibm is uniform on the space, theta1 and theta2 in (-1, 1).

    Returns:
        `Problem` with parameters theta1 and theta2 (no units); x has shape (2,).

    Example:
        >>> problem = two_moons()
        >>> mirrored = jnp.array([[0.3, 0.5], [-0.5, -0.3]])
        >>> low, high = jax.vmap(problem.mean)(mirrored)
        >>> bool(jnp.allclose(low, high, atol=1e-6))
        True
    """

    def centre(theta: Float[Array, "2"]) -> Float[Array, "2"]:
        return jnp.stack([-jnp.abs(theta[0] + theta[1]), theta[1] - theta[0]]) / math.sqrt(2.0)

    def draw(key: Array, theta: Float[Array, "2"]) -> Float[Array, "2"]:
        angle_key, radius_key = jax.random.split(key)
        a = jax.random.uniform(angle_key, minval=-math.pi / 2.0, maxval=math.pi / 2.0)
        r = RADIUS + RADIUS_SD * jax.random.normal(radius_key)
        return jnp.stack([r * jnp.cos(a) + OFFSET, r * jnp.sin(a)]) + centre(theta)

    def mean(theta: Float[Array, "2"]) -> Float[Array, "2"]:
        # E[cos a] = 2 / pi, E[sin a] = 0.
        return jnp.array([OFFSET + 2.0 * RADIUS / math.pi, 0.0]) + centre(jnp.asarray(theta, dtype=float))

    return Problem(
        name="two_moons",
        summary=HEADER.summary,
        simulate=vectorize(draw),
        space=Space(theta1=Interval(-1.0, 1.0), theta2=Interval(-1.0, 1.0)),
        theta_true=np.array([-0.8176656, -0.5756806]),  # of sbibm's observation 1
        x_shape=(2,),
        axes=(Axis("coordinate", "", np.arange(2)),),
        mean=mean,
        tags=HEADER.tags,
    )
