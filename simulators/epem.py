"""Angle of the muon in e+ e- -> mu+ mu-, drawn exactly: the particle-physics task published for AVO.

With x = cos A, beam energy E (GeV) and coupling G in units of its nominal value,

    p(x | theta) = 3/8 (1 + x^2 + a x),  -1 <= x <= 1,    a(E, G) = 2 G tanh(10 (2 E - 90) / 90)

Identified: only the asymmetry a. Every (E, G) on a curve G tanh(...) = const gives the same law of x.

Limits: the density is negative near x = -1 or 1 when |a| > 2, which the ranges allow at E near 40 or 50 with G > 1.24;
a is clipped to [-2, 2].

The distribution function is a cubic in x; with b = a / 2, x = y - b and u ~ U(0, 1) it reads

    y^3 + 3 (1 - b^2) y + 2 b^3 - 6 b + 4 - 8 u = 0

which has one real root for |b| <= 1, given by Cardano's formula.

Two beam energies with one coupling identify both: `epem2`.

Source: Louppe, Hermans, Cranmer, arXiv:1707.07113. Its first code rejects against f / max(f)^2, which distorts the law
where max f < 1, that is near E = 45; this sampler has no such defect.
"""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike, Float

from avo.simulators.bisection import bisect
from avo.simulators.problem import Problem, vectorize
from avo.simulators.register import Header
from avo.space import Interval, Space

HEADER = Header(
    summary="muon angle in electron-positron annihilation; only one combination is identified",
    tags=("scalar", "physics", "published", "unidentified"),
    x_shape=(),
    parameters="energy (GeV), coupling",
    x="cos A",
)


def asymmetry(theta: Float[ArrayLike, "*n 2"]) -> Float[Array, "*n"]:
    """Asymmetry a(E, G) = 2 G tanh(10 (2 E - 90) / 90), clipped to [-2, 2]: all that x tells about theta.

    Args:
        theta: beam energy (GeV) and coupling, with shape (..., 2).

    Returns:
        a, with shape (...); E[x] = a / 4.

    Example:
        >>> round(float(asymmetry(jnp.array([42.0, 0.9]))), 3)
        -1.049
    """
    theta = jnp.asarray(theta, dtype=float)
    energy, coupling = theta[..., 0], theta[..., 1]
    return jnp.clip(2.0 * coupling * jnp.tanh((2.0 * energy - 90.0) / 9.0), -2.0, 2.0)


def quantile(u: Float[ArrayLike, "*n"], a: Float[ArrayLike, "*n"]) -> Float[Array, "*n"]:
    """Inverse distribution function of x = cos A for asymmetry a, in closed form.

    Args:
        u: probabilities in [0, 1].
        a: asymmetry in [-2, 2], same shape.

    Returns:
        x in [-1, 1], same shape.

    Example:
        >>> round(float(quantile(0.125, 2.0)), 4)
        0.0
    """
    u, b = jnp.asarray(u, dtype=float), jnp.asarray(a, dtype=float) / 2.0
    p = 1.0 - b**2
    q = b**3 - 3.0 * b + 2.0 - 4.0 * u
    # Of Cardano's two cube roots the larger is free of cancellation; their product is -p.
    large = -jnp.where(q < 0, -1.0, 1.0) * jnp.cbrt(jnp.abs(q) + jnp.sqrt(q**2 + p**3))
    root = jnp.where(large == 0, 0.0, large - p / jnp.where(large == 0, 1.0, large))
    return jnp.clip(root - b, -1.0, 1.0)


def log_density(x: Float[ArrayLike, "*n"], a: Float[ArrayLike, "*n"]) -> Float[Array, "*n"]:
    """Log density of x = cos A for asymmetry a: log(3/8 (1 + x^2 + a x)) for -1 <= x <= 1.

    Args:
        x: cosines.
        a: asymmetry in [-2, 2], same shape or a scalar.

    Returns:
        log p(x), with the arguments' shape.

    Example:
        >>> round(float(jnp.exp(log_density(0.5, 1.2))), 5)
        0.69375
    """
    x = jnp.asarray(x, dtype=float)
    density = 3.0 / 8.0 * (1.0 + x**2 + a * x)
    inside = (jnp.abs(x) <= 1.0) & (density > 0.0)
    return jnp.where(inside, jnp.log(jnp.where(inside, density, 1.0)), -jnp.inf)


def likeliest_asymmetry(x: Float[ArrayLike, "m"]) -> Float[Array, ""]:
    """Maximum-likelihood asymmetry of a sample, by bisection: the root in [-2, 2] of sum x / (1 + x^2 + a x).

    The sum falls as a grows, hence the root is the maximum; without a root the maximum is at an end.

    Args:
        x: cosines, with shape (m,).

    Returns:
        a, with shape ().

    Example:
        >>> round(float(likeliest_asymmetry([0.4, -0.3, 0.1])), 3)
        0.844
    """
    x = jnp.asarray(x, dtype=float)
    return bisect(lambda a: jnp.sum(x / (1.0 + x**2 + a * x)) > 0, jnp.array(-2.0), jnp.array(2.0))


def epem() -> Problem:
    """Muon angle in electron-positron annihilation: p(x) = 3/8 (1 + x^2 + a(E, G) x), x = cos A.

    There is no `mle`: only a is identified (see `asymmetry`), so the likelihood has a ridge of maxima in (E, G) and no
    single best theta. Judge a fit by `asymmetry(theta)`.

    Returns:
        `Problem` with parameters energy (GeV) and coupling (in units of its nominal value); x_shape ().

    Example:
        >>> problem = epem()
        >>> problem.simulate(jax.random.key(0), jnp.array([[42.0, 0.9]])).shape
        (1,)
    """

    def draw(key: Array, theta: Float[Array, "2"]) -> Float[Array, ""]:
        return quantile(jax.random.uniform(key), asymmetry(theta))

    def mean(theta: Float[Array, "2"]) -> Float[Array, ""]:
        return asymmetry(theta) / 4.0

    def log_prob(theta: Float[Array, "2"], x: Float[Array, ""]) -> Float[Array, ""]:
        return log_density(x, asymmetry(theta))

    return Problem(
        name="epem",
        summary=HEADER.summary,
        simulate=vectorize(draw),
        space=Space(energy=Interval(40.0, 50.0, unit="GeV"), coupling=Interval(0.5, 1.5)),
        theta_true=np.array([42.0, 0.9]),
        x_shape=(),
        quantity="cos A",
        mean=mean,
        log_prob=log_prob,
        tags=HEADER.tags,
    )
