"""What critics minimise, and the cost that the proposal sees.

Signs, for all losses: the critic d is high on observations and low on simulations. With L_W = E_fake[d] - E_real[d],
the critic minimises L_W + lambda * penalty over phi, the proposal minimises -L_W over psi; the gap
-L_W is what is reported.
"""

from collections.abc import Callable
from functools import lru_cache
from typing import Literal, NamedTuple, get_args

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

Penalty = Literal["one-sided", "two-sided", "none"]
Critic = Callable[[Array], Float[Array, ""]]


class Loss(NamedTuple):
    """A critic's loss, `critic(d, x_real, x_fake, w, key)`, and a simulation's cost to the proposal, `cost(d(x))`.

    The name goes into the folder of a run, so that `resume` notices another loss.
    """

    critic: Callable[[Critic, Array, Array, Array, PRNGKeyArray], tuple[Float[Array, ""], Float[Array, ""]]]
    cost: Callable[[Array], Array]
    name: str = "custom"


def interpolate(key: PRNGKeyArray, x_real: Array, x_fake: Array) -> Array:
    """Draw x_hat = eps x_real + (1 - eps) x_fake with its own eps ~ U[0, 1] for each pair of rows."""
    shape = (x_real.shape[0],) + (1,) * (x_real.ndim - 1)
    eps = jax.random.uniform(key, shape, x_real.dtype)
    return eps * x_real + (1 - eps) * x_fake


def gradient_norm(critic: Critic, x: Array) -> Float[Array, " n"]:
    """Compute |grad_x d(x)| for each row, differentiable also where it vanishes."""
    g = jax.vmap(jax.grad(critic))(x)
    square = jnp.sum(g.reshape(g.shape[0], -1) ** 2, axis=1)
    # sqrt has no finite derivative at 0: a constant critic would otherwise give NaN
    return jnp.sqrt(square + 1e-12)


@lru_cache  # equal losses are the same object, so that fits with them share one compiled program
def wasserstein(penalty: Penalty = "one-sided", weight: float = 10.0) -> Loss:
    """Wasserstein critic with gradient penalty (WGAN-GP; Gulrajani et al. 2017, arXiv:1704.00028, eq. 3).

        L = E_fake[d] - E_real[d] + weight * E_xhat[penalty],  cost = -d
        penalty = (|grad d| - 1)^2 two-sided,  max(0, |grad d| - 1)^2 one-sided (Petzka et al. 2018, arXiv:1709.08894)

    The two-sided form can trap a fit whose proposal starts wide: turning a slope round passes through zero slope,
    where that penalty is largest. The gap it reaches is W (1 + W / (2 weight)), not W.

    Args:
        penalty: "one-sided", "two-sided" or "none".
        weight: lambda, for x in units of its observed scale.

    Raises:
        ValueError: if `penalty` is not a known name or `weight` is negative.

    Example:
        >>> loss, gap = wasserstein("two-sided", 10.0).critic(
        ...     lambda x: 3.0 * x[0], jnp.ones((4, 2)), jnp.zeros((4, 2)), jnp.ones(4), jax.random.key(0))
        >>> float(gap), round(float(loss), 5)
        (3.0, 37.0)
    """
    if penalty not in get_args(Penalty):
        raise ValueError(f"penalty must be one of {', '.join(get_args(Penalty))}; got {penalty!r}.")
    if not weight >= 0:
        raise ValueError(f"weight must be zero or more; got {weight!r}.")

    def critic_loss(critic, x_real, x_fake, w, key):
        total = jnp.maximum(w.sum(), 1.0)
        d_real, d_fake = jax.vmap(critic)(x_real), jax.vmap(critic)(x_fake)
        gap = jnp.mean(d_real) - jnp.sum(w * d_fake) / total
        if penalty == "none":
            return -gap, gap
        excess = gradient_norm(critic, interpolate(key, x_real, x_fake)) - 1.0
        if penalty == "one-sided":
            excess = jnp.maximum(excess, 0.0)
        return -gap + weight * jnp.sum(w * excess**2) / total, gap

    return Loss(critic_loss, lambda d: -d, f"wasserstein('{penalty}', {weight:g})")
