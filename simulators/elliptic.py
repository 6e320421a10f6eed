"""Elliptic functions and the integral of the first kind, by the arithmetic-geometric mean (AGM).

From a_0 = 1 and b_0 = sqrt(m1) the mean takes the steps

    a_i+1 = (a_i + b_i) / 2,    b_i+1 = sqrt(a_i b_i)

until a and b agree; the number of equal digits doubles with each. With a phase that goes along, phi_0 to phi_n in n
steps (Abramowitz and Stegun, Handbook of Mathematical Functions, 16.4 and 17.6),

    K = pi / (2 a_n)
    F(phi_0) = phi_n / (2^n a_n)         where  tan(phi_i+1 - phi_i) = (b_i / a_i) tan(phi_i)
    am(u) = phi_0,  phi_n = 2^n a_n u    where  sin(2 phi_i - phi_i+1) = (a_i - b_i) / (a_i + b_i) sin(phi_i+1)

The parameter is m1 = 1 - m = 1 - k^2, the complement of SciPy's m, since it keeps its digits where m is close to 1:
near a pendulum's separatrix. Nine steps give K to 1e-15 for every m1 from 1e-60 to 1; at m1 = 0 the functions are
hyperbolic and given in closed form. Shapes are equal, or one argument is a scalar.
"""

import math

import jax.numpy as jnp
from jaxtyping import Array, ArrayLike, Float

_STEPS = 9


def _means(m1: Float[Array, "*n"]) -> list[tuple[Array, Array]]:
    """Pairs (a, b) of the mean, from the first to the last."""
    pairs = [(jnp.ones_like(m1), jnp.sqrt(m1))]
    for _ in range(_STEPS):
        a, b = pairs[-1]
        pairs.append(((a + b) / 2.0, jnp.sqrt(a * b)))
    return pairs


def ellipk(m1: Float[ArrayLike, "*n"]) -> Float[Array, "*n"]:
    """Complete integral of the first kind, K = integral over 0..pi/2 of dt / sqrt(1 - (1 - m1) sin(t)^2).

    Args:
        m1: complementary parameter 1 - m, in (0, 1].

    Returns:
        K, same shape.

    Example:
        >>> round(float(ellipk(1.0)), 5), round(float(ellipk(0.5)), 5)
        (1.5708, 1.85407)
    """
    return math.pi / (2.0 * _means(jnp.asarray(m1, dtype=float))[-1][0])


def ellipf(phi: Float[ArrayLike, "*n"], m1: Float[ArrayLike, "*#n"]) -> Float[Array, "*n"]:
    """Incomplete integral of the first kind, F = integral over 0..phi of dt / sqrt(1 - (1 - m1) sin(t)^2).

    Args:
        phi: amplitude in rad, any real number; at m1 = 0 between -pi/2 and pi/2.
        m1: complementary parameter 1 - m, in [0, 1].

    Returns:
        F, with the arguments' shape; `ellipj` inverts it.

    Example:
        >>> round(float(ellipf(0.7, 1.0)), 5), round(float(ellipf(0.7, 0.5)), 5)
        (0.7, 0.72877)
    """
    phi, m1 = jnp.asarray(phi, dtype=float), jnp.asarray(m1, dtype=float)
    pairs, phase = _means(m1), phi
    for a, b in pairs[:-1]:
        # tan(phase' - phase) = (b / a) tan(phase), written without poles and without jumps
        sin, cos = jnp.sin(phase), jnp.cos(phase)
        phase = 2.0 * phase - jnp.arctan2((a - b) * sin * cos, a * cos**2 + b * sin**2)
    return jnp.where(m1 > 0.0, phase / (2.0**_STEPS * pairs[-1][0]), jnp.arcsinh(jnp.tan(phi)))


def ellipj(u: Float[ArrayLike, "*n"], m1: Float[ArrayLike, "*#n"]) -> tuple[Array, Array, Array, Array]:
    """Jacobi's functions sn = sin(am), cn = cos(am), dn = sqrt(1 - (1 - m1) sn^2) and the amplitude am itself.

    Args:
        u: argument, any real number.
        m1: complementary parameter 1 - m, in [0, 1].

    Returns:
        (sn, cn, dn, am), each with the arguments' shape; am is in rad and grows without jumps.

    Example:
        >>> sn, cn, dn, am = ellipj(0.8, 0.3)
        >>> round(float(sn), 5), round(float(ellipf(am, 0.3)), 5)
        (0.68023, 0.8)
    """
    u, m1 = jnp.asarray(u, dtype=float), jnp.asarray(m1, dtype=float)
    pairs = _means(m1)
    am = 2.0**_STEPS * pairs[-1][0] * u
    for a, b in reversed(pairs[:-1]):
        am = (am + jnp.arcsin((a - b) / (a + b) * jnp.sin(am))) / 2.0
    am = jnp.where(m1 > 0.0, am, 2.0 * jnp.arctan(jnp.tanh(u / 2.0)))
    sn, cn = jnp.sin(am), jnp.cos(am)
    return sn, cn, jnp.sqrt(m1 + (1.0 - m1) * cn**2), am
