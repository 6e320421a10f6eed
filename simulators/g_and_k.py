"""Skewed, heavy-tailed numbers given by their quantile function: the g-and-k distribution.

    x = Q(z) = A + B (1 + c tanh(g z / 2)) (1 + z^2)^k z,    z ~ N(0, 1),    c = 0.8

A is the median, B the scale, g the skewness, k the weight of the tails; g = k = 0 is N(A, B^2). Q rises for every g and
every k >= 0 at this c, so that the distribution function is Phi(Q^-1(x)) and the density phi(z) / Q'(z) at Q(z) = x.
There is no closed form of Q^-1; `normal_score` bisects. Nor is there one of E[x].

Identified: all four by a sample: A by its median, B by its spread near there, g by its skewness, k by its tails. A
large g is told badly, since tanh(g z / 2) is then near the sign of z.

Limits: (1 + z^2)^k is 10^k at |z| = 3, so that where k is large a few numbers decide the mean and the variance of any
sample.

Source: Rayner and MacGillivray, Statistics and Computing 12 (2002) 57; Allingham, King and Mengersen, Statistics and
Computing 19 (2009) 189, with the ranges (0, 10) and the truth (3, 1, 2, 0.5) that others took over.
"""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike, Float

from avo.checks import flag, whole
from avo.simulators.bisection import bisect
from avo.simulators.problem import Axis, Problem, vectorize
from avo.simulators.register import Header
from avo.space import Interval, Space

HEADER = Header(
    summary="g-and-k distribution: location, scale, skewness, tails",
    tags=("scalar", "benchmark"),
    x_shape=(),
    parameters="A, B, g, k",
    x="x",
)

C = 0.8
_FARTHEST = 40.0  # |z|: beyond, the density is below 1e-300


def quantile(z: Float[ArrayLike, "*n"], theta: Float[ArrayLike, "4"]) -> Float[Array, "*n"]:
    """Quantile function in terms of normal quantiles: Q(z) = A + B (1 + c tanh(g z / 2)) (1 + z^2)^k z.

    Args:
        z: standard normal quantiles, any shape.
        theta: A, B, g, k, with shape (4,).

    Returns:
        Q(z), same shape.

    Example:
        >>> round(float(quantile(1.0, [3.0, 1.0, 2.0, 0.5])), 4)
        5.2759
    """
    z = jnp.asarray(z, dtype=float)
    a, b, g, k = jnp.asarray(theta, dtype=float)
    return a + b * (1.0 + C * jnp.tanh(g * z / 2.0)) * (1.0 + z**2) ** k * z


def normal_score(x: Float[ArrayLike, "*n"], theta: Float[ArrayLike, "4"]) -> Float[Array, "*n"]:
    """Inverse of `quantile`, z = Q^-1(x), by bisection; the distribution function is Phi(z).

    Args:
        x: values, any shape.
        theta: A, B, g, k, with shape (4,).

    Returns:
        z in [-40, 40], same shape.

    Example:
        >>> round(float(normal_score(5.2758, [3.0, 1.0, 2.0, 0.5])), 4)
        1.0
    """
    x = jnp.asarray(x, dtype=float)
    far = jnp.full_like(x, _FARTHEST)
    z = jax.lax.stop_gradient(bisect(lambda z: quantile(z, theta) < x, -far, far))
    # Adds nothing but its derivative, by the implicit function theorem: bisection has none
    newton = (x - quantile(z, theta)) / _slope(z, theta)
    return z + newton - jax.lax.stop_gradient(newton)


def log_density(x: Float[ArrayLike, "*n"], theta: Float[ArrayLike, "4"]) -> Float[Array, "*n"]:
    """Log density: log phi(z) - log Q'(z) at z = Q^-1(x), with Q' from automatic differentiation.

    Args:
        x: values, any shape.
        theta: A, B, g, k, with shape (4,).

    Returns:
        log p(x | theta), same shape.

    Example:
        >>> round(float(log_density(7.0, [3.0, 2.0, 0.0, 0.0]) - log_density(3.0, [3.0, 2.0, 0.0, 0.0])), 4)
        -2.0
    """
    z = normal_score(x, theta)
    return jax.scipy.stats.norm.logpdf(z) - jnp.log(_slope(z, theta))


def _slope(z: Float[Array, "*n"], theta: Float[ArrayLike, "4"]) -> Float[Array, "*n"]:
    """Differentiate the quantile function by z."""
    return jnp.vectorize(jax.grad(lambda z: quantile(z, theta)))(z)


def robust_summaries(x: Float[ArrayLike, "draws"]) -> Float[Array, "4"]:
    """Location, scale, skewness and kurtosis from the octiles E_1 .. E_7 of a sample (Drovandi and Pettitt 2011).

        E_4,    E_6 - E_2,    (E_6 + E_2 - 2 E_4) / (E_6 - E_2),    (E_7 - E_5 + E_3 - E_1) / (E_6 - E_2)

    Where E_6 = E_2, as when B is lost in the rounding of A, the last two are divided by 1 instead.

    Args:
        x: a sample, with shape (draws,).

    Returns:
        The four, with shape (4,).

    Example:
        >>> [round(float(v), 4) for v in robust_summaries([0.0, 1.0, 2.0, 3.0, 4.0, 6.0, 8.0, 11.0, 12.0])]
        [4.0, 6.0, 0.3333, 1.1667]
    """
    e = jnp.quantile(jnp.asarray(x, dtype=float), jnp.arange(1, 8) / 8.0)
    scale = e[5] - e[1]
    safe = jnp.where(scale > 0.0, scale, 1.0)
    return jnp.stack([e[3], scale, (e[5] + e[1] - 2.0 * e[3]) / safe, (e[6] - e[4] + e[2] - e[0]) / safe])


def g_and_k(draws: int | None = None, summaries: bool = False) -> Problem:
    """Numbers from the g-and-k distribution: x = A + B (1 + c tanh(g z / 2)) (1 + z^2)^k z.

    The literature calls a whole sample one observation; here each number is one, and a sample is the set of them.

    Args:
        draws: None: x is one number. Otherwise x is a sample of so many, independent of each other.
        summaries: x is `robust_summaries` of the sample instead; needs `draws`.

    Returns:
        `Problem` with parameters A, B, g and k; x has shape (), (draws,) or (4,).

    Raises:
        ValueError: if `draws` is below 2, or missing where summaries are asked for.

    Example:
        >>> problem = g_and_k()
        >>> problem.simulate(jax.random.key(0), jnp.array([[3.0, 1.0, 2.0, 0.5]])).shape
        (1,)
        >>> g_and_k(draws=1000, summaries=True).x_shape
        (4,)
    """
    if draws is not None:
        whole("draws", draws, least=2)
    flag("summaries", summaries)
    if summaries and draws is None:
        raise ValueError("summaries need draws, the size of a sample, e.g. draws=1000; got draws=None.")

    def draw(key: Array, theta: Float[Array, "4"]) -> Float[Array, "..."]:
        x = quantile(jax.random.normal(key, () if draws is None else (draws,)), theta)
        return robust_summaries(x) if summaries else x

    axes = ()
    if summaries:
        axes = (Axis("summary", "", np.arange(4)),)
    elif draws is not None:
        axes = (Axis("draw", "", np.arange(1, draws + 1)),)

    def log_prob(theta: Float[Array, "4"], x: Float[Array, "..."]) -> Float[Array, ""]:
        return jnp.sum(log_density(x, theta))

    return Problem(
        name="g_and_k",
        summary=HEADER.summary,
        simulate=vectorize(draw),
        space=Space(A=Interval(0.0, 10.0), B=Interval(0.0, 10.0), g=Interval(0.0, 10.0), k=Interval(0.0, 10.0)),
        theta_true=np.array([3.0, 1.0, 2.0, 0.5]),
        x_shape=tuple(len(axis.values) for axis in axes),
        axes=axes,
        log_prob=None if summaries else log_prob,
        tags=HEADER.tags if draws is None else ("vector", *HEADER.tags[1:]),
    )
