"""Critics that take k observations at once (PacGAN; Lin et al. 2018, arXiv:1712.04086): how their packs are made up."""

from jaxtyping import Array, Int

from avo.adversarial.critic import pack_size
from avo.adversarial.settings import Settings
from avo.types import Critic


def packed_rows(a: Array, k: int) -> Array:
    """Put rows together as the critic takes them, (n, ...) -> (n / k, k, ...)."""
    return a if k == 1 else a.reshape((a.shape[0] // k, k) + a.shape[1:])


def met(place: Int[Array, " n"], k: int, m: int | Int[Array, ""]) -> Int[Array, " n"]:
    """Find which of m observations the critic meets at these places of an endless queue.

    With packs of k, pack j holds j, j + s, j + 2 s, ..; the stride s changes each time that all have led a pack, so
    that an observation's neighbours change.

    Example:
        >>> import jax.numpy as jnp
        >>> met(jnp.arange(6), 3, 7).tolist(), met(jnp.arange(21, 24), 3, 7).tolist()
        ([0, 3, 6, 1, 4, 0], [0, 2, 4])
    """
    if k == 1:
        return place % m
    pack, member, widest = place // k, place % k, (m - 1) // (k - 1)
    return (pack + member * (widest - pack // m % widest)) % m


def check_packs(critic: Critic, s: Settings, observations: int) -> None:
    """Check that batch, pairs and observations make up packs.

    Raises:
        ValueError: if they do not; says which settings would.
    """
    k = pack_size(critic)
    if observations < k:
        raise ValueError(f"critic takes {k} observations at once; x_obs has {observations}.")
    if s.batch % k or s.pairs % k or (k > 1 and s.pairs < 2 * k):
        batch, pairs = k * max(1, -(-s.batch // k)), k * max(2, -(-s.pairs // k))
        raise ValueError(
            f"critic takes {k} observations at once, so batch and pairs of the settings must be multiples of {k} "
            f"and pairs at least {2 * k}; got batch={s.batch}, pairs={s.pairs}. Pass "
            f"settings=avo.Settings(batch={batch}, pairs={pairs})."
        )
