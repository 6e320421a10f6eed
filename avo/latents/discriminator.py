"""A network that tells codes from codes whose latents were permuted, and so knows their total correlation.

If z' has in each latent i the z_i of another observation of the batch, drawn for each i anew, then z' ~ prod_i q(z_i).
A network l trained to tell z from z' by the logistic loss

    E log(1 + exp(-l(z))) / 2 + E log(1 + exp(l(z'))) / 2    is least at    l(z) = log q(z) - sum_i log q(z_i)

so that TC = E l(z), whose gradient trains the encoder while l is held fixed (Kim and Mnih 2018, arXiv:1802.05983,
section 3 and algorithm 2, but that z' is made from the batch that trains the VAE, as in disentanglement_lib, and not
from a second one). One step of Adam with their moments of .5 and .9 after each step of the VAE. Theirs had six layers
of 1000 units and a rate of 1e-4 for 300,000 steps; here are two layers of 128 and a rate of 1e-3, for thousands.
"""

from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, PRNGKeyArray

ADAM = optax.scale_by_adam(b1=0.5, b2=0.9)
RATE = 1e-3
WIDTH, DEPTH = 128, 2


class LogRatio(eqx.Module):
    """l(z), of one z."""

    layers: tuple[eqx.nn.Linear, ...]

    def __call__(self, z: Float[Array, " k"]) -> Float[Array, ""]:
        for layer in self.layers[:-1]:
            z = jax.nn.leaky_relu(layer(z), 0.2)
        return self.layers[-1](z)[0]


class Discriminator(NamedTuple):
    """The network in training, and its optimiser's moments."""

    network: Any
    moments: Any


def untrained(key: PRNGKeyArray, latents: int) -> Discriminator:
    """Make a discriminator that has learned nothing.

    Example:
        >>> start = untrained(jax.random.key(0), 3)
        >>> [layer.weight.shape for layer in start.network.layers]
        [(128, 3), (128, 128), (1, 128)]
    """
    sizes = [latents, *[WIDTH] * DEPTH, 1]
    keys = jax.random.split(key, len(sizes) - 1)
    layers = [eqx.nn.Linear(a, b, key=k) for a, b, k in zip(sizes[:-1], sizes[1:], keys, strict=True)]
    network: Any = LogRatio(tuple(layers))
    return Discriminator(network, ADAM.init(network))


def permuted(z: Float[Array, "m k"], key: PRNGKeyArray) -> Float[Array, "m k"]:
    """Permute each latent among the observations, each by itself.

    Example:
        >>> z = jnp.arange(6.0).reshape(3, 2)
        >>> jnp.sort(permuted(z, jax.random.key(0)), axis=0).tolist()
        [[0.0, 1.0], [2.0, 3.0], [4.0, 5.0]]
    """
    return jax.random.permutation(key, z, axis=0, independent=True)


def mean_log_ratio(discriminator: Discriminator, z: Float[Array, "m k"]) -> Float[Array, ""]:
    """Compute E l(z), the total correlation as the discriminator knows it, in nats."""
    return jnp.mean(jax.vmap(discriminator.network)(z))


def improved(discriminator: Discriminator, z: Float[Array, "m k"], key: PRNGKeyArray) -> Discriminator:
    """Take one step of Adam that tells z better from z permuted.

    Args:
        discriminator: what was learned so far.
        z: codes of a batch.
        key: randomness of the permutations.
    """
    other = permuted(z, key)

    def loss(network: LogRatio) -> Array:
        own, mixed = jax.vmap(network)(z), jax.vmap(network)(other)
        return 0.5 * (jnp.mean(jax.nn.softplus(-own)) + jnp.mean(jax.nn.softplus(mixed)))

    move, moments = ADAM.update(jax.grad(loss)(discriminator.network), discriminator.moments)
    return Discriminator(jax.tree.map(lambda p, m: p - RATE * m, discriminator.network, move), moments)
