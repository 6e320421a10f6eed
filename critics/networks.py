"""Critics d(x; phi): Equinox modules from one observation to a scalar.

Any callable module will do; `vmap` is applied at the edge. These are short factories, `name(key, x_shape, ...)`, most
of them of a network with a linear part beside it,

    d(x) = net(x) + v . x,

since the linear part sees shifts of x from the first step on. `packed` makes of any of them a critic of several
observations at once. `for_shape` is the choice of `avo.fit`.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, PRNGKeyArray

from avo import layers
from avo.checks import whole
from avo.critics.modules import Constant, Critic, DeepSets, Flat, LeNet, Lipschitz, Logistic, Recurrent, convolutions
from avo.observations import kind_of
from avo.types import MakeCritic


def _critic(
    net: Callable, key: PRNGKeyArray, name: str, x_shape: tuple[int, ...], size: int | None = None, **options: int
) -> Critic:
    skip = layers.linear(size or math.prod(x_shape), 1, key, bias=False)
    return Critic(net, skip, (name, tuple(x_shape), tuple(options.items())))


def _whole(name: str, **options: int) -> None:
    for option, value in options.items():
        whole(f"{name}: {option}", value)


def linear(key: PRNGKeyArray, x_shape: tuple[int, ...]) -> Critic:
    """Make the linear critic d(x) = v . x + c.

    With `wasserstein` it compares means; with `jensen_shannon` it is logistic regression, whose optimum for two normal
    populations of equal covariance S is Fisher's discriminant, v = S^-1 (mean_obs - mean_sim).

    Example:
        >>> critic = linear(jax.random.key(0), (3,))
        >>> bool(jnp.allclose(critic(jnp.ones(3)) - critic(jnp.zeros(3)), critic.skip.weight.sum()))
        True
    """
    return _critic(Constant(jnp.zeros(())), key, "linear", x_shape)


def logistic(key: PRNGKeyArray, x_shape: tuple[int, ...]) -> Critic:
    """Make the logistic critic d(x) = 1 / (1 + exp(-(v . x + c))), bounded by 0 and 1.

    With `wasserstein("none")` its gap, E_obs[d] - E_sim[d], tends to twice the accuracy of the best linear classifier
    less one: 2 Phi(D/2) - 1 for two normal populations of equal covariance S with D^2 = delta^T S^-1 delta.

    Example:
        >>> critic = logistic(jax.random.key(0), (3,))
        >>> bool(0 < critic(jnp.array([9.0, -3.0, 2.0])) < 1)
        True
    """
    net = Logistic(layers.linear(math.prod(x_shape), "scalar", key))
    return Critic(net, None, ("logistic", tuple(x_shape), ()))


def mlp(key: PRNGKeyArray, x_shape: tuple[int, ...], width: int = 64, depth: int = 2) -> Critic:
    """Make a fully connected critic on the flattened observation, `depth` hidden layers of `width` SiLU units.

    Args:
        key: randomness of the initial weights.
        x_shape: shape of one observation.
        width: units per hidden layer.
        depth: number of hidden layers.

    Example:
        >>> critic = mlp(jax.random.key(0), (5,))
        >>> critic(jnp.ones(5)).shape
        ()
    """
    _whole("mlp", width=width, depth=depth)
    key_net, key_skip = jax.random.split(key)
    net = layers.mlp(math.prod(x_shape), "scalar", width, depth, jax.nn.silu, key_net)
    return _critic(Flat(net), key_skip, "mlp", x_shape, width=width, depth=depth)


@cache  # the same function for the same slope, so that equal critics share one compiled program
def _leaky(slope: float) -> Callable[[Array], Array]:
    return lambda x: jax.nn.leaky_relu(x, slope)


def leaky(
    key: PRNGKeyArray, x_shape: tuple[int, ...], width: int = 10, slope: float = 0.2, last: float = 0.01
) -> Critic:
    """Make the critic of the published recipes of adversarial variational optimization, see avo/adversarial/recipes.py.

    Two hidden layers of leaky rectifiers, no linear part beside them, zero biases, and weights of a tenth of Glorot and
    Bengio's (2010), the last layer's of `last` of them: d starts near zero.

    Args:
        key: randomness of the initial weights.
        x_shape: shape of one observation.
        width: units per hidden layer.
        slope: of the rectifiers below zero.
        last: factor of the last layer's weights.

    Example:
        >>> bool(abs(leaky(jax.random.key(0), (5,))(jnp.ones(5))) < 0.01)
        True
    """
    _whole("leaky", width=width)
    net = layers.mlp(math.prod(x_shape), "scalar", width, 2, _leaky(slope), key)
    draw, keys = jax.nn.initializers.glorot_uniform(), jax.random.split(key, 3)
    scales = (0.1, 0.1, last)
    weights = [s * draw(k, layer.weight.shape) for s, k, layer in zip(scales, keys, net.layers, strict=True)]
    net = eqx.tree_at(lambda n: [layer.weight for layer in n.layers], net, weights)
    net = eqx.tree_at(lambda n: [layer.bias for layer in n.layers], net, replace_fn=jnp.zeros_like)
    options = (("width", width), ("slope", slope), ("last", last))
    return Critic(Flat(net), None, ("leaky", tuple(x_shape), options))


def _need_axes(name: str, dims: int, x_shape: tuple[int, ...], **sizes: int) -> None:
    if len(x_shape) not in (dims, dims + 1):
        raise ValueError(f"{name} needs x with {dims} axes of time or space, and channels last or none; got {x_shape}.")
    _whole(name, **sizes)
    if sizes["kernel"] % 2 == 0:
        raise ValueError(f"{name} needs an odd kernel; got {sizes['kernel']}.")


def _convolutional(
    key: PRNGKeyArray, name: str, dims: int, x_shape: tuple[int, ...], *, width: int, depth: int, kernel: int
) -> Critic:
    _need_axes(name, dims, x_shape, width=width, depth=depth, kernel=kernel)
    *keys, key_skip = jax.random.split(key, depth + 2)
    net = convolutions(keys, x_shape, dims, "scalar", width, kernel)
    options = {"width": width, "depth": depth, "kernel": kernel}
    return _critic(net, key_skip, name, x_shape, **options)


def conv1d(key: PRNGKeyArray, x_shape: tuple[int, ...], width: int = 16, depth: int = 3, kernel: int = 5) -> Critic:
    """Make a critic of series: `depth` convolutions of stride 2, SiLU, then a linear map; no batch normalisation.

    Args:
        key: randomness of the initial weights.
        x_shape: (T,) or (T, channels).
        width: channels of each layer.
        depth: number of layers; each halves the length.
        kernel: length of the filters, odd.

    Raises:
        ValueError: if x has another number of axes, or the kernel is even.

    Example:
        >>> conv1d(jax.random.key(0), (50, 3))(jnp.ones((50, 3))).shape
        ()
    """
    return _convolutional(key, "conv1d", 1, x_shape, width=width, depth=depth, kernel=kernel)


def conv2d(key: PRNGKeyArray, x_shape: tuple[int, ...], width: int = 16, depth: int = 3, kernel: int = 3) -> Critic:
    """Make a critic of images: `depth` convolutions of stride 2, SiLU, then a linear map; no batch normalisation.

    Args:
        key: randomness of the initial weights.
        x_shape: (H, W) or (H, W, channels).
        width: channels of each layer.
        depth: number of layers; each halves height and width.
        kernel: side of the filters, odd.

    Raises:
        ValueError: if x has another number of axes, or the kernel is even.

    Example:
        >>> conv2d(jax.random.key(0), (32, 24))(jnp.ones((32, 24))).shape
        ()
    """
    return _convolutional(key, "conv2d", 2, x_shape, width=width, depth=depth, kernel=kernel)


def lenet(key: PRNGKeyArray, x_shape: tuple[int, ...], width: int = 6, hidden: int = 120, kernel: int = 5) -> Critic:
    """Make a critic of images after LeNet-5 (LeCun et al. 1998): 6 and 16 maps, means of 2 x 2, 120 and 84 units, tanh.

    Args:
        key: randomness of the initial weights.
        x_shape: (H, W) or (H, W, channels).
        width: maps of the first layer; the second has 8 / 3 as many.
        hidden: units of the first linear map; the second has 7 / 10 as many.
        kernel: side of the filters, odd.

    Raises:
        ValueError: if x has another number of axes, or the kernel is even.

    Example:
        >>> critic = lenet(jax.random.key(0), (28, 28))
        >>> critic(jnp.ones((28, 28))).shape, [layer.out_features for layer in critic.net.filters + critic.net.dense]
        ((), [6, 16, 120, 84, 'scalar'])
    """
    _need_axes("lenet", 2, x_shape, width=width, hidden=hidden, kernel=kernel)
    *keys, key_skip = jax.random.split(key, 6)
    maps, units = (width, max(8 * width // 3, 1)), (hidden, max(7 * hidden // 10, 1))
    channels = (x_shape[2] if len(x_shape) == 3 else 1, *maps)
    filters = [layers.linear(kernel**2 * a, b, k) for a, b, k in zip(channels[:-1], maps, keys[:2], strict=True)]
    places = math.prod(-(-n // 4) for n in x_shape[:2])  # halved, rounded up, twice
    sizes = (places * maps[1], *units)
    dense = [layers.linear(a, b, k) for a, b, k in zip(sizes, (*units, "scalar"), keys[2:], strict=True)]
    net = LeNet(tuple(filters), tuple(dense), kernel)
    return _critic(net, key_skip, "lenet", x_shape, width=width, hidden=hidden, kernel=kernel)


def _need_rows(name: str, x_shape: tuple[int, ...]) -> None:
    if not x_shape:
        raise ValueError(f"{name} needs observations of several rows, (rows, ...); one observation is a single number.")


def gru(key: PRNGKeyArray, x_shape: tuple[int, ...], width: int = 32) -> Critic:
    """Make a recurrent critic of series: a gated recurrent unit (Cho et al. 2014), its last state mapped to a scalar.

    Args:
        key: randomness of the initial weights.
        x_shape: (T, ...); the first axis is time.
        width: size of the state.

    Example:
        >>> gru(jax.random.key(0), (50, 3))(jnp.ones((50, 3))).shape
        ()
    """
    return _recurrent(key, "gru", eqx.nn.GRUCell, x_shape, width=width)


def lstm(key: PRNGKeyArray, x_shape: tuple[int, ...], width: int = 32) -> Critic:
    """Make a recurrent critic of series: long short-term memory (Hochreiter and Schmidhuber 1997), with forget gates.

    Args:
        key: randomness of the initial weights.
        x_shape: (T, ...); the first axis is time.
        width: size of the state, and of the memory beside it.

    Example:
        >>> lstm(jax.random.key(0), (50, 3))(jnp.ones((50, 3))).shape
        ()
    """
    return _recurrent(key, "lstm", eqx.nn.LSTMCell, x_shape, width=width)


def _recurrent(key: PRNGKeyArray, name: str, kind: Callable, x_shape: tuple[int, ...], *, width: int) -> Critic:
    key_cell, key_head, key_skip = jax.random.split(key, 3)
    _whole(name, width=width)
    _need_rows(name, x_shape)
    cell = kind(math.prod(x_shape[1:]), width, key=key_cell)
    head = layers.linear(width, "scalar", key_head)
    return _critic(Recurrent(cell, head), key_skip, name, x_shape, width=width)


def deep_sets(key: PRNGKeyArray, x_shape: tuple[int, ...], width: int = 64, depth: int = 1) -> Critic:
    """Make a critic of exchangeable sets: d(x) = rho(mean_i phi(x_i)) (Zaheer et al. 2017, arXiv:1703.06114).

    One observation is a set of n rows in any order. Unlike a critic of single rows, it sees how the rows of one set
    depend on one another.

    Args:
        key: randomness of the initial weights.
        x_shape: (n, ...); the first axis counts the members.
        width: units of phi and rho, and size of the mean.
        depth: hidden layers of each.

    Example:
        >>> critic, x = deep_sets(jax.random.key(0), (5, 2)), jax.random.normal(jax.random.key(1), (5, 2))
        >>> bool(jnp.allclose(critic(x), critic(x[::-1]), atol=1e-6))
        True
    """
    _whole("deep_sets", width=width, depth=depth)
    _need_rows("deep_sets", x_shape)
    size = math.prod(x_shape[1:])
    key_phi, key_rho, key_skip = jax.random.split(key, 3)
    phi = layers.mlp(size, width, width, depth, jax.nn.silu, key_phi)
    rho = layers.mlp(width, "scalar", width, depth, jax.nn.silu, key_rho)
    return _critic(DeepSets(phi, rho), key_skip, "deep_sets", x_shape, size, width=width, depth=depth)


def lipschitz(key: PRNGKeyArray, x_shape: tuple[int, ...], width: int = 64, depth: int = 6) -> Critic:
    """Make a critic with |d(x) - d(y)| <= |x - y| whatever its weights (Araujo et al. 2023, arXiv:2303.03169).

        h <- h - 2 W T^-1 relu(W^T h + b),    T = diag(sum_j |W^T W|_ij q_j / q_i),    d = v . h / |v|

    Each layer is 1-Lipschitz since T - W^T W is positive semi-definite (diagonal dominance). Use it with
    `wasserstein("none")`; the gap then lies below the distance, up to sampling.

    Args:
        key: randomness of the initial weights.
        x_shape: shape of one observation, flattened and set beside zeros to `width`, or wider where it is larger.
        width: size of the layers.
        depth: number of layers; it takes many turns of the slope, and depth serves better than width.

    Example:
        >>> critic = lipschitz(jax.random.key(0), (3,))
        >>> bool(jnp.linalg.norm(jax.grad(critic)(jnp.array([0.3, -1.2, 2.0]))) <= 1 + 1e-4)
        True
    """
    _whole("lipschitz", width=width, depth=depth)
    size = max(width, math.prod(x_shape))
    key_w, key_b, key_v = jax.random.split(key, 3)
    net = Lipschitz(
        weights=jax.random.normal(key_w, (depth, size, size)) / math.sqrt(size),
        biases=0.1 * jax.random.normal(key_b, (depth, size)),
        log_q=jnp.zeros((depth, size)),
        out=jax.random.normal(key_v, (size,)),
    )
    return Critic(net, None, ("lipschitz", tuple(x_shape), (("width", width), ("depth", depth))))


def for_shape(key: PRNGKeyArray, x_shape: tuple[int, ...]) -> Critic:
    """Make the critic that `avo.fit` takes, by the kind of x (`avo.observations.kind_of`).

    For vectors `mlp`, for series (T, channels) `conv1d`, for images `conv2d`. Series without an axis of channels have
    `mlp`, with which the library's numbers were measured, and so, for want of filters, have more axes than an image's.

    Example:
        >>> [for_shape(jax.random.key(0), shape).recipe[0] for shape in ((5,), (50, 3), (32, 32))]
        ['mlp', 'conv1d', 'conv2d']
    """
    kind, axes = kind_of(x_shape), len(x_shape)
    if kind == "series" and axes == 2:
        return conv1d(key, x_shape)
    if kind == "image" and axes <= 3:
        return conv2d(key, x_shape)
    return mlp(key, x_shape)


@dataclass(frozen=True)
class packed:  # noqa: N801, a factory like the functions above, which a fit asks for its size
    """Make a critic of several observations at once (PacGAN; Lin et al. 2018, arXiv:1712.04086).

    d(x_1 .. x_k) sees what no single observation shows: that the simulations of one theta are alike. For a point,
    the k simulations of a pack share their theta; for a population each has its own, like the observations.

    Args:
        size: number k of observations in a pack.
        make: factory of a critic of x with shape (k, *x_shape); `mlp` sees them in their order, `deep_sets` as a set.

    Raises:
        ValueError: if `size` is not a whole number of at least 1, or `make` no factory of single critics.

    Example:
        >>> critic = packed(4)(jax.random.key(0), (5,))
        >>> critic.pack, critic(jnp.ones((4, 5))).shape
        (4, ())
    """

    size: int
    make: MakeCritic = deep_sets

    def __post_init__(self) -> None:
        object.__setattr__(self, "size", whole("packed: size", self.size))
        if not callable(self.make) or isinstance(self.make, packed | eqx.Module):
            raise ValueError(f"packed: make must be a factory of critics such as avo.critics.mlp; got {self.make!r}.")

    @property
    def pack(self) -> int:
        """Number of observations in a pack, as the critics that are made have it."""
        return self.size

    def __call__(self, key: PRNGKeyArray, x_shape: tuple[int, ...]) -> Critic:
        """Make a critic of packs."""
        inner = self.make(key, (self.size, *x_shape))
        if isinstance(inner, Critic):
            return replace(inner, pack=self.size)
        return Critic(inner, None, None, self.size)


FACTORIES: dict[str, Callable[..., Critic]] = {
    make.__name__: make
    for make in (linear, logistic, mlp, leaky, conv1d, conv2d, lenet, gru, lstm, deep_sets, lipschitz)
}


def rebuild(name: str, x_shape: tuple[int, ...], options: dict[str, Any], pack: int = 1) -> Critic:
    """Make a critic from its recipe, untrained: the same structure for `avo.load` to fill.

    Example:
        >>> rebuild("mlp", (5,), {"width": 8, "depth": 1}).recipe
        ('mlp', (5,), (('width', 8), ('depth', 1)))
    """
    return replace(FACTORIES[name](jax.random.key(0), tuple(x_shape), **options), pack=pack)
