"""Layers of critics, and the module that puts a linear part beside them.

    d(x) = net(x) + v . x

The linear part sees shifts of x from the first step on. Each module maps one observation to a scalar (`Convolutions` to
as many outputs as asked for); the factories that make them are in avo/critics/networks.py.
"""

import itertools
import math
from collections.abc import Callable, Sequence
from typing import Any, cast

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from avo.layers import linear

Recipe = tuple[str, tuple[int, ...], tuple[tuple[str, float], ...]]


class Critic(eqx.Module):
    """A network with a linear part beside it: d(x) = net(x) + v . x.

    Args:
        net: module from one observation, shaped as it comes, to a scalar.
        skip: the linear part, on the flattened observation or, for a set, on the mean of its rows; None for none.
        recipe: name of the factory, shape of x and options, from which `rebuild` makes the like of it; None where the
            net is yours.
        pack: number of observations that make up one x, stacked along a first axis; 1 for one, without that axis.
    """

    net: Callable[[Array], Array]
    skip: eqx.nn.Linear | None
    recipe: Recipe | None = eqx.field(static=True)
    pack: int = eqx.field(static=True, default=1)

    def __call__(self, x: Float[Array, "*x_shape"]) -> Float[Array, ""]:
        if self.recipe is not None and self.recipe[0] != "deep_sets" and x.shape != self.recipe[1]:
            raise ValueError(f"critic {self.recipe[0]} was made for x of shape {self.recipe[1]}; got {x.shape}.")
        if self.skip is None:
            return self.net(x)
        rows = x.reshape(-1, self.skip.in_features)
        return self.net(x) + self.skip(jnp.mean(rows, axis=0))[0]


class Constant(eqx.Module):
    bias: Float[Array, ""]

    def __call__(self, x: Array) -> Array:
        return self.bias


class Logistic(eqx.Module):
    line: eqx.nn.Linear

    def __call__(self, x: Array) -> Array:
        return jax.nn.sigmoid(self.line(jnp.ravel(x)))


class Flat(eqx.Module):
    net: eqx.nn.MLP

    def __call__(self, x: Array) -> Array:
        return self.net(jnp.ravel(x))


class Convolutions(eqx.Module):
    """Convolutions of stride 2 over all axes but the channels, then a linear map of what is left, places kept apart.

    A layer is a linear map of every patch. Written so, it runs as matrix products; a convolution with a kernel of its
    own per row, as the gradient of a penalty has, is many times slower on a CPU.
    """

    layers: tuple[eqx.nn.Linear, ...]
    head: eqx.nn.Linear
    dims: int = eqx.field(static=True)
    kernel: int = eqx.field(static=True)

    def __call__(self, x: Array) -> Array:
        h = x if x.ndim == self.dims + 1 else x[..., None]
        for layer in self.layers:
            rows = patches(h, self.dims, self.kernel)
            moved = jax.vmap(layer)(rows.reshape(-1, rows.shape[-1]))
            h = jax.nn.silu(moved).reshape(*rows.shape[:-1], -1)
        return self.head(jnp.ravel(h))


def patches(x: Float[Array, "*sizes c"], dims: int, kernel: int, stride: int = 2) -> Float[Array, "*places k"]:
    """Collect the patches around every place, or every second one, zeros beyond the edges.

    Args:
        x: values, channels last.
        dims: number of axes before the channels.
        kernel: length of a patch along each of them, odd.
        stride: from one place to the next.

    Returns:
        The patches, with shape (ceil(size / stride), ..., kernel^dims * channels).

    Example:
        >>> patches(jnp.arange(1.0, 6.0)[:, None], 1, 3).tolist()
        [[0.0, 1.0, 2.0], [2.0, 3.0, 4.0], [4.0, 5.0, 0.0]]
    """
    places = [-(-n // stride) for n in x.shape[:dims]]
    x = jnp.pad(x, [(kernel // 2, kernel // 2)] * dims + [(0, 0)])
    shifted = [
        x[tuple(slice(o, o + stride * (n - 1) + 1, stride) for o, n in zip(offset, places, strict=True))]
        for offset in itertools.product(range(kernel), repeat=dims)
    ]
    return jnp.concatenate(shifted, axis=-1)


def convolutions(
    keys: Sequence[PRNGKeyArray], x_shape: tuple[int, ...], dims: int, out: int | str, width: int, kernel: int
) -> Convolutions:
    """Make the network of `conv1d` and `conv2d`: one layer per key but the last, which is that of the linear map.

    Args:
        keys: randomness of the initial weights.
        x_shape: one observation, with `dims` axes, and channels last or none.
        dims: number of axes of time or space.
        out: number of outputs, or "scalar".
        width: channels of each layer.
        kernel: length of the filters, odd.

    Example:
        >>> net = convolutions(jax.random.split(jax.random.key(0), 3), (11, 2), 1, 7, width=4, kernel=3)
        >>> net(jnp.ones((11, 2))).shape, net.head.in_features  # 4 channels at 3 places
        ((7,), 12)
    """
    channels, sizes = (x_shape[dims] if len(x_shape) > dims else 1), list(x_shape[:dims])
    layers = []
    for key in keys[:-1]:
        layers.append(linear(kernel**dims * channels, width, key))
        channels, sizes = width, [-(-n // 2) for n in sizes]
    head = linear(channels * math.prod(sizes), cast(Any, out), keys[-1])
    return Convolutions(tuple(layers), head, dims, kernel)


class LeNet(eqx.Module):
    """Two layers of filters with means of 2 x 2 places behind each, then three linear maps, tanh between all.

    The layers of LeNet-5 (LeCun, Bottou, Bengio, Haffner 1998, Proceedings of the IEEE 86, 2278, figure 2): filters of
    all maps below, zeros beyond the edges so that any size will do, and a scalar in place of ten distances.
    """

    filters: tuple[eqx.nn.Linear, ...]
    dense: tuple[eqx.nn.Linear, ...]
    kernel: int = eqx.field(static=True)

    def __call__(self, x: Array) -> Array:
        h = x if x.ndim == 3 else x[..., None]
        for layer in self.filters:
            rows = patches(h, 2, self.kernel, stride=1)
            moved = jax.vmap(layer)(rows.reshape(-1, rows.shape[-1]))
            h = halved(jnp.tanh(moved).reshape(*rows.shape[:-1], -1))
        h = jnp.ravel(h)
        for layer in self.dense[:-1]:
            h = jnp.tanh(layer(h))
        return self.dense[-1](h)


def halved(x: Float[Array, "h w c"]) -> Float[Array, "h2 w2 c"]:
    """Average 2 x 2 places; the last row and column of an odd number stand for themselves.

    Example:
        >>> halved(jnp.arange(6.0).reshape(2, 3, 1))[..., 0].tolist()
        [[2.0, 3.5]]
    """
    h, w, c = x.shape
    x = jnp.pad(x, [(0, h % 2), (0, w % 2), (0, 0)], mode="edge")
    return x.reshape(-(-h // 2), 2, -(-w // 2), 2, c).mean((1, 3))


class Recurrent(eqx.Module):
    """A cell that reads row after row, of one state or, with a memory beside it, of two; the last is mapped on."""

    cell: eqx.nn.GRUCell | eqx.nn.LSTMCell
    head: eqx.nn.Linear

    def __call__(self, x: Array) -> Array:
        rows, cell = x.reshape(x.shape[0], -1), self.cell
        zero = jnp.zeros(cell.hidden_size, x.dtype)
        first: Any = (zero, zero) if isinstance(cell, eqx.nn.LSTMCell) else zero
        last, _ = jax.lax.scan(lambda h, row: (cast(Any, cell)(row, h), None), first, rows)
        return self.head(last[0] if isinstance(cell, eqx.nn.LSTMCell) else last)


class DeepSets(eqx.Module):
    phi: eqx.nn.MLP
    rho: eqx.nn.MLP

    def __call__(self, x: Array) -> Array:
        return self.rho(jnp.mean(jax.vmap(self.phi)(x.reshape(x.shape[0], -1)), axis=0))


class Lipschitz(eqx.Module):
    """Residual layers h <- h - 2 W T^-1 relu(W^T h + b) on the observation beside zeros, then a unit vector."""

    weights: Float[Array, "depth width width"]
    biases: Float[Array, "depth width"]
    log_q: Float[Array, "depth width"]
    out: Float[Array, " width"]

    def __call__(self, x: Array) -> Array:
        h = jnp.ravel(x)
        h = jnp.concatenate([h, jnp.zeros(len(self.out) - len(h), h.dtype)])
        for w, b, log_q in zip(self.weights, self.biases, self.log_q, strict=True):
            q = jnp.exp(log_q)
            t = jnp.abs(w.T @ w) @ q / q
            h = h - 2.0 * w @ (jax.nn.relu(w.T @ h + b) / jnp.maximum(t, 1e-12))
        return self.out @ h / jnp.maximum(jnp.linalg.norm(self.out), 1e-12)
