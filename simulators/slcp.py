"""Simple likelihood, complex posterior (SLCP): four points of a Gaussian in the plane.

    m = (theta1, theta2),   s1 = theta3^2,   s2 = theta4^2,   rho = tanh(theta5)
    S = [[s1^2, rho s1 s2], [rho s1 s2, s2^2]] + 1e-6 I
    x = (four independent draws of N(m, S)), as x1, y1, x2, y2, x3, y3, x4, y4

Identified: theta1, theta2, theta5, theta3^2 and theta4^2. The standard deviations are squares: the signs of theta3 and
theta4 cannot be told, so the likelihood has four equal maxima. Judge a fit by the squares.

Limits: where theta3 or theta4 is near 0 the 1e-6 I outweighs it, and theta5 is not told. One observation is four
points, few for a covariance.

Source: the task `slcp` of sbibm (Lueckmann, Boelts, Greenberg, Goncalves, Macke, AISTATS 2021), after Papamakarios,
Sterratt, Murray (AISTATS 2019). Its prior is uniform on the box of the space.
"""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from avo.simulators.problem import Axis, Problem, vectorize
from avo.simulators.register import Header
from avo.space import Interval, Space

HEADER = Header(
    summary="four points of a Gaussian in the plane; simple likelihood, complex posterior",
    tags=("vector", "benchmark", "sbibm", "unidentified"),
    x_shape=(8,),
    parameters="theta1, theta2, theta3, theta4, theta5",
    x="x along coordinate",
)

SPACE = Space(**{f"theta{i}": Interval(-3.0, 3.0) for i in range(1, 6)})
# The published truth has theta3 = -1 and theta4 = -0.9, with the same law of x; these signs are those of `mle`.
TRUTH = np.array([0.7, -2.9, 1.0, 0.9, 0.6])
JITTER = 1e-6


def four_points(key: Array, theta: Float[Array, "5"]) -> Float[Array, "8"]:
    """Draw four points of N(m, S), S = L L^T with L lower triangular.

    Args:
        key: random key.
        theta: with shape (5,).

    Returns:
        x1, y1, ..., x4, y4, with shape (8,).

    Example:
        >>> four_points(jax.random.key(0), jnp.array(TRUTH)).shape
        (8,)
    """
    s1, s2, rho = theta[2] ** 2, theta[3] ** 2, jnp.tanh(theta[4])
    l11 = jnp.sqrt(s1**2 + JITTER)
    l21 = rho * s1 * s2 / l11
    # s2^2 + jitter - l21^2 without cancellation
    l22 = jnp.sqrt(s2**2 * (1.0 - rho**2 * s1**2 / l11**2) + JITTER)
    e1, e2 = jax.random.normal(key, (2, 4))
    return jnp.stack([theta[0] + l11 * e1, theta[1] + l21 * e1 + l22 * e2], axis=-1).ravel()


def best(x: Float[Array, "m 8"]) -> Float[Array, "5"]:
    """Maximum-likelihood theta, the one with theta3 and theta4 above zero, from the moments of all 4 m points.

    Args:
        x: observations, with shape (m, 8).

    Returns:
        theta with shape (5,), not held inside the box; nan where the points have a variance below 1e-6 or lie nearly on
        a line.

    Example:
        >>> theta = best(jnp.array([[1.0, 2.0, 1.0, 6.0, 3.0, 2.0, 3.0, 6.0]]))  # the corners of a box
        >>> [round(float(v), 3) for v in theta]
        [2.0, 4.0, 1.0, 1.414, 0.0]
    """
    points = jnp.asarray(x, dtype=float).reshape(-1, 2)
    centre = points.mean(axis=0)
    away = points - centre[None]
    cov = away.T @ away / points.shape[0]
    s1, s2 = jnp.sqrt(cov[0, 0] - JITTER), jnp.sqrt(cov[1, 1] - JITTER)
    return jnp.stack([*centre, jnp.sqrt(s1), jnp.sqrt(s2), jnp.arctanh(cov[0, 1] / (s1 * s2))])


def slcp() -> Problem:
    """Four points of N(m, S): m = (theta1, theta2), standard deviations theta3^2 and theta4^2, correlation tanh theta5.

    The maximum-likelihood estimate over m observations comes from the mean and covariance of their 4 m points; of its
    four equal maxima `mle` gives the one with theta3 and theta4 above zero. The prior of sbibm is uniform on the space.

    Returns:
        `Problem` with parameters theta1, ..., theta5 in (-3, 3) (no units); x has shape (8,).

    Example:
        >>> problem = slcp()
        >>> problem.simulate(jax.random.key(0), problem.theta_true[None]).shape
        (1, 8)
    """

    def mean(theta: Float[Array, "5"]) -> Float[Array, "8"]:
        return jnp.tile(jnp.asarray(theta, dtype=float)[:2], 4)

    return Problem(
        name="slcp",
        summary=HEADER.summary,
        simulate=vectorize(four_points),
        space=SPACE,
        theta_true=TRUTH,
        x_shape=(8,),
        axes=(
            Axis("coordinate", "", np.arange(8), tuple(f"point {i}, {axis}" for i in (1, 2, 3, 4) for axis in "xy")),
        ),
        mle=best,
        mean=mean,
        tags=HEADER.tags,
    )
