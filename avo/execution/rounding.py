"""Whole numbers where theta goes to a simulator: a count is rounded up or down by chance.

Each row has a chance of its own, from the key of its block and its number there, apart from what the simulator draws
from that key. So the same key gives the same whole numbers to a simulator in JAX, to one outside and to a command,
wherever a call is made; rows that share their random numbers share the chance. What calls are kept with is what they
were made with.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from avo.space import Space

ROUNDING = 2**31 - 19  # names the key of the chances, beyond the numbers of rows


def chances(key: PRNGKeyArray, rows: int, counts: int) -> Float[Array, "rows counts"]:
    """Draw the chances of a block's rows, uniform on [0, 1); those of the first rows do not depend on how many follow.

    Example:
        >>> key = jax.random.key(0)
        >>> bool(jnp.all(chances(key, 2, 3) == chances(key, 5, 3)[:2]))
        True
    """
    own = jax.vmap(lambda i: jax.random.fold_in(jax.random.fold_in(key, ROUNDING), i))(jnp.arange(rows))
    return jax.vmap(lambda key: jax.random.uniform(key, (counts,), jnp.result_type(float)))(own)


def whole_rows(space: Space, key: PRNGKeyArray, theta: Float[Array, "n d"]) -> Float[Array, "n d"]:
    """Round the counts of a block's rows by chance; theta itself where there are none.

    Example:
        >>> from avo.space import Count
        >>> n = whole_rows(Space(n=Count(0, 9)), jax.random.key(0), jnp.full((1000, 1), 3.25))
        >>> sorted(set(n.ravel().tolist())), bool(abs(n.mean() - 3.25) < 0.05)
        ([3.0, 4.0], True)
    """
    if not space.counts.any():
        return theta
    return space.by_chance(theta, chances(key, len(theta), int(space.counts.sum())))
