"""The modified Bessel function I of any order above -1, in logarithms, compiled and differentiable.

For large orders v there is the uniform expansion (NIST Digital Library of Mathematical Functions, 10.41.3), with
p = v / sqrt(v^2 + z^2),

    log I_v(z) = sqrt(v^2 + z^2) + v log(z / (v + sqrt(v^2 + z^2))) - log(2 pi sqrt(v^2 + z^2)) / 2
                 + log(1 + u1(p) / v + u2(p) / v^2 + u3(p) / v^3 + ...)

whose rest is below 1e-9 from v = 99 on. Smaller orders are reached from there by the recurrence

    I_{v-1} = (2 v / z) I_v + I_{v+1}

all of whose terms are positive, so that nothing cancels on the way down.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, ArrayLike, Float

_STEPS = 100  # from the order of the expansion down


def log_bessel(order: Float[ArrayLike, ""], z: Float[ArrayLike, "*n"]) -> Float[Array, "*n"]:
    """Compute log(I_order(z) exp(-z)), to 1e-9, also where I is below the least number or above the largest.

    Args:
        order: above -1.
        z: above zero.

    Returns:
        The logarithm, with the shape of z.

    Example:
        >>> exact = jnp.log(jnp.sqrt(2.0 / (jnp.pi * 0.7)) * jnp.sinh(0.7) * jnp.exp(-0.7))  # I_1/2
        >>> bool(abs(log_bessel(0.5, 0.7) - exact) < 1e-5)
        True
    """
    order, z = jnp.asarray(order, dtype=float), jnp.asarray(z, dtype=float)
    highest = order + _STEPS
    start = _uniform(highest, z)
    above = jnp.exp(_uniform(highest + 1.0, z) - start)  # I_{v+1} / I_v

    def lower(step: Array, state: tuple[Array, Array]) -> tuple[Array, Array]:
        total, above = state
        below = 2.0 * (highest - step) / z + above  # I_{v-1} / I_v
        return total + jnp.log(below), 1.0 / below

    return jax.lax.fori_loop(0, _STEPS, lower, (start, above))[0]


def _uniform(order: Float[Array, ""], z: Float[Array, "*n"]) -> Float[Array, "*n"]:
    """Compute log(I_order(z) exp(-z)) for large orders, by three terms of the expansion."""
    root = jnp.hypot(order, z)
    p = order / root
    u1 = (3 * p - 5 * p**3) / 24
    u2 = (81 * p**2 - 462 * p**4 + 385 * p**6) / 1152
    u3 = (30375 * p**3 - 369603 * p**5 + 765765 * p**7 - 425425 * p**9) / 414720
    exponent = order**2 / (root + z) + order * jnp.log(z / (order + root))  # root - z, without cancellation
    series = jnp.log1p(u1 / order + u2 / order**2 + u3 / order**3)
    return exponent - jnp.log(2.0 * jnp.pi * root) / 2.0 + series
