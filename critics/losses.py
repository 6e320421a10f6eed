"""What critics minimise, and the cost that the proposal sees.

Signs, for all losses: the critic d is high on observations and low on simulations, and the gap, zero where the critic
cannot tell them apart, is what is reported. The critic minimises -gap + weight * penalty over phi; the proposal
minimises E_fake[cost], a falling function of d, over psi. For Wasserstein -gap is L_W = E_fake[d] - E_real[d] and the
cost is -d. The penalties, with x_hat between an observation and a simulation:

    one-sided   E_xhat[ max(0, |grad d| - 1)^2 ]     Petzka et al. 2018, arXiv:1709.08894
    two-sided   E_xhat[ (|grad d| - 1)^2 ]           Gulrajani et al. 2017, arXiv:1704.00028, eq. 3
    r1          E_real[ |grad d|^2 ] / 2             Mescheder et al. 2018, arXiv:1801.04406, eq. 9
    none        0                                    for critics that are 1-Lipschitz by construction

Instance noise adds N(0, noise^2) to observations and simulations alike, for the critic only (Arjovsky and Bottou 2017,
arXiv:1701.04862).
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal, get_args

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from avo.checks import nonnegative, one_of
from avo.types import Critic

Penalty = Literal["one-sided", "two-sided", "r1", "none"]


@dataclass(frozen=True)
class Loss:
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


def _masked(values: Array, w: Array) -> Array:
    return jnp.sum(w * values) / jnp.maximum(w.sum(), 1.0)


def _penalty(
    kind: Penalty, critic: Critic, x_real: Array, x_fake: Array, w: Float[Array, " n"], key: PRNGKeyArray
) -> Float[Array, ""]:
    if kind == "none":
        return jnp.zeros((), x_real.dtype)
    if kind == "r1":
        g = jax.vmap(jax.grad(critic))(x_real)
        return 0.5 * jnp.mean(jnp.sum(g.reshape(g.shape[0], -1) ** 2, axis=1))
    excess = gradient_norm(critic, interpolate(key, x_real, x_fake)) - 1.0
    if kind == "one-sided":
        excess = jnp.maximum(excess, 0.0)
    return _masked(excess**2, w)


def make(
    name: str,
    gap: Callable[[Array, Array, Array], Array],
    cost: Callable[[Array], Array],
    penalty: Penalty,
    weight: float | Array,
    noise: float = 0.0,
) -> Loss:
    """Make a loss from its gap(d_real, d_fake, w); the weight may be traced."""

    def critic_loss(critic, x_real, x_fake, w, key):
        if noise > 0:
            key, key_real, key_fake = jax.random.split(key, 3)
            x_real = x_real + noise * jax.random.normal(key_real, x_real.shape, x_real.dtype)
            x_fake = x_fake + noise * jax.random.normal(key_fake, x_fake.shape, x_fake.dtype)
        found = gap(jax.vmap(critic)(x_real), jax.vmap(critic)(x_fake), w)
        return -found + weight * _penalty(penalty, critic, x_real, x_fake, w, key), found

    return Loss(critic_loss, cost, f"{name}({penalty!r}, weight={weight!r}, noise={noise!r})")


_loss = lru_cache(make)  # equal losses are the same object, so that fits with them share one compiled program


def _checked(penalty: Penalty, weight: float, noise: float) -> tuple[Penalty, float, float]:
    one_of("penalty", penalty, get_args(Penalty))
    return penalty, nonnegative("weight", weight), nonnegative("noise", noise)


def wasserstein_gap(d_real: Array, d_fake: Array, w: Array) -> Array:
    """Compute E_real[d] - E_fake[d]; w is 0 for simulations to leave out."""
    return jnp.mean(d_real) - _masked(d_fake, w)


def _jensen_shannon_gap(d_real: Array, d_fake: Array, w: Array) -> Array:
    return math.log(4.0) - jnp.mean(jax.nn.softplus(-d_real)) - _masked(jax.nn.softplus(d_fake), w)


def minus(d: Array) -> Array:
    """Take -d, what a Wasserstein critic costs the proposal."""
    return -d


def _non_saturating(d: Array) -> Array:
    return jax.nn.softplus(-d)


def _saturating(d: Array) -> Array:
    return -jax.nn.softplus(d)


def wasserstein(penalty: Penalty = "one-sided", weight: float = 10.0, noise: float = 0.0) -> Loss:
    """Wasserstein critic (Arjovsky et al. 2017, arXiv:1701.07875), by default with gradient penalty (WGAN-GP).

        gap = E_real[d] - E_fake[d],  L = -gap + weight * penalty,  cost = -d

    The two-sided penalty can trap a fit whose proposal starts wide: turning a slope round passes through zero slope,
    where that penalty is largest. The gap that either form reaches is not W but at least W (1 + W / (2 weight)), equal
    where the transport passes evenly through the interpolates, as between two normals of one scale in one dimension.

    Args:
        penalty: "one-sided", "two-sided", "r1" or "none".
        weight: lambda, for x in units of its observed scale.
        noise: standard deviation of the instance noise, in the same units.

    Raises:
        ValueError: if `penalty` is not a known name, or `weight` or `noise` no number of at least zero.

    Example:
        >>> loss, gap = wasserstein("two-sided", 10.0).critic(
        ...     lambda x: 3.0 * x[0], jnp.ones((4, 2)), jnp.zeros((4, 2)), jnp.ones(4), jax.random.key(0))
        >>> float(gap), round(float(loss), 5)
        (3.0, 37.0)
    """

    return _loss("wasserstein", wasserstein_gap, minus, *_checked(penalty, weight, noise))


def jensen_shannon(
    cost: Literal["non-saturating", "saturating"] = "non-saturating",
    penalty: Penalty = "r1",
    weight: float = 1.0,
    noise: float = 0.0,
) -> Loss:
    """Compare by the original GAN's critic, a classifier with log-odds d (Goodfellow et al. 2014, arXiv:1406.2661).

        gap = E_real[log s(d)] + E_fake[log(1 - s(d))] + log 4,  L = -gap + weight * penalty,  s(d) = 1 / (1 + exp(-d))
        cost = -log s(d) non-saturating,  log(1 - s(d)) saturating

    At the optimum d = log p_obs / p_sim, and the gap is twice the Jensen-Shannon divergence, between 0 and log 4.

    Args:
        cost: what the proposal minimises; both fall with d, the first is steep where d is low.
        penalty: "r1", "one-sided", "two-sided" or "none".
        weight: of the penalty, for x in units of its observed scale.
        noise: standard deviation of the instance noise, in the same units.

    Raises:
        ValueError: if a name is not known, or `weight` or `noise` no number of at least zero.

    Example:
        >>> loss, gap = jensen_shannon(weight=0.0).critic(
        ...     lambda x: 0.0 * x[0], jnp.ones((4, 2)), jnp.zeros((4, 2)), jnp.ones(4), jax.random.key(0))
        >>> abs(float(gap)) < 1e-6
        True
    """
    costs = {"non-saturating": _non_saturating, "saturating": _saturating}
    one_of("cost", cost, costs)
    return _loss(f"jensen_shannon:{cost}", _jensen_shannon_gap, costs[cost], *_checked(penalty, weight, noise))
