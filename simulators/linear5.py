"""Five mixed random variables, of which two carry a parameter: the five-dimensional task published for AVO.

    z0 ~ N(alpha, 1),  z1 ~ N(beta, 3^2),  z2 ~ 1/2 N(-2, 1) + 1/2 N(2, 0.5^2),  z3 ~ Exp(rate 3),  z4 ~ Exp(rate 0.5)
    x = R z,    log p(x | theta) = sum_j log p_j(z_j | theta) - log |det R|,  z = R^-1 x

Identified: alpha by z0 and beta by z1, the first two numbers of R^-1 x. They have errors of 1 and 3 for one
observation.

Limits: the other three variables of z say nothing about theta; R is known.

Source: Louppe, Hermans, Cranmer, arXiv:1707.07113. The text calls R positive semi-definite; the matrix of the
published code, used here, is not symmetric (R[0, 3] and R[3, 0] differ in sign) and has full rank.
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
    summary="five mixed random variables with two location parameters",
    tags=("vector", "published"),
    x_shape=(5,),
    parameters="alpha, beta",
    x="x along coordinate",
)

R = np.array(
    [
        [1.31229955, 0.10499961, 0.48310515, -0.3249938, -0.26387927],
        [0.10499961, 1.15833058, -0.55865473, 0.25275522, -0.39790775],
        [0.48310515, -0.55865473, 2.25874579, -0.52087938, -0.39271231],
        [0.3249938, 0.25275522, -0.52087938, 1.4034925, -0.63521059],
        [-0.26387927, -0.39790775, -0.39271231, -0.63521059, 1.0],
    ]
)

ROUNDING = 1e-4  # of R^-1 x in single precision


def linear5() -> Problem:
    """Five mixed random variables with two location parameters: x = R z.

    R is invertible, so z = R^-1 x is recovered and the estimate is exact: alpha = mean(z0) and beta = mean(z1), with
    standard deviations 1 / sqrt(m) and 3 / sqrt(m) over m observations.

    Returns:
        `Problem` with parameters alpha and beta (no units); x has shape (5,).

    Example:
        >>> problem = linear5()
        >>> x = problem.simulate(jax.random.key(0), jnp.tile(jnp.array([1.0, -1.0]), (1000, 1)))
        >>> bool(jnp.all(jnp.abs(problem.mle(x) - jnp.array([1.0, -1.0])) < jnp.array([0.15, 0.4])))
        True
    """
    inverse, log_volume = np.linalg.inv(R), float(np.linalg.slogdet(R)[1])

    def draw(key: Array, theta: Float[Array, "2"]) -> Float[Array, "5"]:
        normal_key, side_key, exponential_key = jax.random.split(key, 3)
        e0, e1, e2 = jax.random.normal(normal_key, (3,))
        z2 = jnp.where(jax.random.bernoulli(side_key), 2.0 + 0.5 * e2, -2.0 + e2)
        z3, z4 = jax.random.exponential(exponential_key, (2,))
        z = jnp.stack([theta[0] + e0, theta[1] + 3.0 * e1, z2, z3 / 3.0, z4 / 0.5])
        return jnp.asarray(R, dtype=float) @ z

    def mle(x: Float[Array, "m 5"]) -> Float[Array, "2"]:
        return jnp.asarray(inverse[:2], dtype=float) @ jnp.mean(jnp.asarray(x, dtype=float), axis=0)

    def mean(theta: Float[Array, "2"]) -> Float[Array, "5"]:
        z = jnp.concatenate([jnp.asarray(theta, dtype=float), jnp.array([0.0, 1.0 / 3.0, 2.0])])
        return jnp.asarray(R, dtype=float) @ z

    def log_prob(theta: Float[Array, "2"], x: Float[Array, "5"]) -> Float[Array, ""]:
        z = jnp.asarray(inverse, dtype=float) @ x
        locations = jnp.stack([theta[0], theta[1], -2.0, 2.0])
        normal = jax.scipy.stats.norm.logpdf(z[jnp.array([0, 1, 2, 2])], locations, jnp.array([1.0, 3.0, 1.0, 0.5]))
        rates = jnp.array([3.0, 0.5])
        # Rounding takes z3 and z4 below zero, where their density ends
        waiting = jnp.where(z[3:] > -ROUNDING, jnp.log(rates) - rates * jnp.maximum(z[3:], 0.0), -jnp.inf)
        two_humps = jnp.logaddexp(normal[2], normal[3]) - math.log(2.0)
        return normal[0] + normal[1] + two_humps + jnp.sum(waiting) - log_volume

    return Problem(
        name="linear5",
        summary=HEADER.summary,
        simulate=vectorize(draw),
        space=Space(alpha=Real(0.0, 1.0), beta=Real(0.0, 1.0)),
        theta_true=np.array([1.0, -1.0]),
        x_shape=(5,),
        axes=(Axis("coordinate", "", np.arange(5)),),
        mle=mle,
        mean=mean,
        log_prob=log_prob,
        tags=HEADER.tags,
    )
