"""Linear layers with the weights that Equinox gives them, drawn without a program for each size.

A layer's weights are uniform in (-1 / sqrt(n), 1 / sqrt(n)), n its number of inputs. Drawn one by one, each size of
them is a program to be compiled, a fifth of a second each: together more than a small fit. JAX draws the i-th of many
numbers from key and i alone (`jax_threefry_partitionable`, on unless a user turns it off), hence the first ones of more
numbers are the same, and all sizes share few programs.
"""

import math
from collections.abc import Callable
from typing import Any, Literal, cast

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import Array, PRNGKeyArray

from avo.sizes import power_of_four

LEAST = 4**6  # numbers drawn together
Size = int | Literal["scalar"]


def linear(inputs: int, outputs: Size, key: PRNGKeyArray, bias: bool = True) -> eqx.nn.Linear:
    """Make a linear layer: as `eqx.nn.Linear(inputs, outputs, bias, key=key)` does, to the bit.

    Example:
        >>> linear(3, 2, jax.random.key(0)).weight.shape
        (2, 3)
    """
    outputs_ = cast(Any, outputs)
    if isinstance(key, Tracer):
        return eqx.nn.Linear(inputs, outputs_, bias, key=key)
    layer = eqx.filter_eval_shape(eqx.nn.Linear, inputs, outputs_, bias, key=key)
    return _drawn(layer, key)


def mlp(
    inputs: int, outputs: Size, width: int, depth: int, activation: Callable[[Array], Array], key: PRNGKeyArray
) -> eqx.nn.MLP:
    """Make a fully connected network: as `eqx.nn.MLP(inputs, outputs, width, depth, activation, key=key)` does.

    Example:
        >>> mlp(5, "scalar", 64, 2, jax.nn.silu, jax.random.key(0))(jnp.ones(5)).shape
        ()
    """
    make = lambda key: eqx.nn.MLP(inputs, cast(Any, outputs), width, depth, activation=activation, key=key)  # noqa: E731
    if isinstance(key, Tracer):
        return make(key)
    net = eqx.filter_eval_shape(make, key)
    layers = tuple(_drawn(layer, own) for layer, own in zip(net.layers, jax.random.split(key, depth + 1), strict=True))
    return eqx.tree_at(lambda n: n.layers, net, layers)


def _drawn(layer: Any, key: PRNGKeyArray) -> eqx.nn.Linear:
    """Fill the shapes of a layer."""
    key_weight, key_bias = jax.random.split(key)
    limit = 1 / math.sqrt(max(layer.weight.shape[1], 1))
    weight = _uniform(key_weight, layer.weight, limit)
    layer = eqx.tree_at(lambda n: n.weight, layer, weight)
    if layer.bias is None:
        return layer
    return eqx.tree_at(lambda n: n.bias, layer, _uniform(key_bias, layer.bias, limit))


def _uniform(key: PRNGKeyArray, like: jax.ShapeDtypeStruct, limit: float) -> Array:
    size = math.prod(like.shape)
    numbers = np.asarray(jax.random.uniform(key, (power_of_four(size, LEAST),), like.dtype, -limit, limit))
    return jnp.asarray(numbers[:size].reshape(like.shape))
