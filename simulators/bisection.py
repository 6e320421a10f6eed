"""Bisection: the point where a condition ceases to hold, halving by halving, compiled and for any shape."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

_HALVINGS = 60  # ends 100 apart come within 1e-16


def bisect(below: Callable[[Array], Array], low: Float[Array, "*n"], high: Float[Array, "*n"]) -> Float[Array, "*n"]:
    """Find where `below` turns from true to false between `low` and `high`; an end where it does not turn.

    Args:
        below: values (*n) -> truth values (*n), each of which turns at most once.
        low: lower ends.
        high: upper ends, same shape.

    Returns:
        The points, to the rounding of their dtype, same shape.

    Example:
        >>> bisect(lambda z: z**3 < jnp.array([8.0, 27.0]), jnp.zeros(2), jnp.full(2, 9.0)).round(4).tolist()
        [2.0, 3.0]
    """

    def halve(_: int, ends: tuple[Array, Array]) -> tuple[Array, Array]:
        low, high = ends
        middle = (low + high) / 2.0
        lower = below(middle)
        return jnp.where(lower, middle, low), jnp.where(lower, high, middle)

    low, high = jax.lax.fori_loop(0, _HALVINGS, halve, (low, high))
    return (low + high) / 2.0
