"""Encoder and decoder of a VAE: an MLP, or convolutions over time and their mirror image.

Where no width and depth are named, an MLP has two hidden layers of 256 units; convolutions have three layers of 16
channels, which halve the series each, and in the decoder double it.
"""

import math
from collections.abc import Callable
from functools import partial
from typing import Literal

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

Network = Literal["mlp", "conv1d"]
SIZES = {"mlp": (256, 2), "conv1d": (16, 3)}  # width and depth
KERNEL = 5


class Upsampling(eqx.Module):
    """A linear map to the coarsest places, then convolutions that each put two places where one was (Shi et al. 2016).

    The mirror image of `avo.critics.modules.Convolutions`, and like it products over patches, for speed on a CPU.
    """

    head: eqx.nn.Linear
    layers: tuple[eqx.nn.Linear, ...]
    sizes: tuple[int, ...] = eqx.field(static=True)

    def __call__(self, z: Float[Array, " k"]) -> Float[Array, " size"]:
        from avo.critics.modules import patches

        h = jax.nn.silu(self.head(z)).reshape(self.sizes[0], -1)
        for i, (layer, size) in enumerate(zip(self.layers, self.sizes[1:], strict=True)):
            h = jax.nn.silu(h) if i else h
            rows = patches(h, 1, KERNEL, stride=1) @ layer.weight.T  # faster than vmap(layer)
            h = (rows + jnp.asarray(layer.bias)[None]).reshape(2 * len(h), -1)[:size]
        return jnp.ravel(h)


@eqx.filter_jit  # one program for all layers
def encoder_and_decoder(
    key: PRNGKeyArray, x_shape: tuple[int, ...], latents: int, network: Network, width: int, depth: int
) -> tuple[Callable, Callable]:
    """Make encoder and decoder, which take and return x in their own units, the decoder's flat.

    Example:
        >>> encoder, decoder = encoder_and_decoder(jax.random.key(0), (12, 2), 3, "conv1d", width=4, depth=2)
        >>> encoder(jnp.ones((12, 2))).shape, decoder(jnp.ones(3)).shape  # mean and log variance of z; x
        ((6,), (24,))
    """
    if network == "mlp":
        return _fully_connected(key, math.prod(x_shape), latents, width, depth)
    return _convolutional(key, x_shape, latents, width, depth)


def _fully_connected(key: PRNGKeyArray, size: int, latents: int, width: int, depth: int) -> tuple[Callable, Callable]:
    key_encoder, key_decoder = jax.random.split(key)
    mlp = partial(eqx.nn.MLP, width_size=width, depth=depth, activation=jax.nn.silu)
    encoder = mlp(size, 2 * latents, key=key_encoder)
    return eqx.nn.Sequential([eqx.nn.Lambda(jnp.ravel), encoder]), mlp(latents, size, key=key_decoder)


def _convolutional(
    key: PRNGKeyArray, x_shape: tuple[int, ...], latents: int, width: int, depth: int
) -> tuple[Callable, Callable]:
    from avo.critics.modules import convolutions

    key_encoder, key_decoder = jax.random.split(key)
    encoder = convolutions([*jax.random.split(key_encoder, depth + 1)], x_shape, 1, 2 * latents, width, KERNEL)
    sizes = [x_shape[0]]
    for _ in range(depth):
        sizes.append(-(-sizes[-1] // 2))
    key_head, *keys = jax.random.split(key_decoder, depth + 1)
    channels = [width] * (depth - 1) + [math.prod(x_shape[1:])]
    layers = [eqx.nn.Linear(KERNEL * width, 2 * c, key=k) for k, c in zip(keys, channels, strict=True)]
    head = eqx.nn.Linear(latents, width * sizes[-1], key=key_head)
    return encoder, Upsampling(head, tuple(layers), tuple(reversed(sizes)))
