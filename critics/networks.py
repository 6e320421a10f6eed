"""Critics d(x; phi): Equinox modules from one observation to a scalar.

Any callable module will do; `vmap` is applied at the edge. These are short factories of good ones.
"""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray


class MLP(eqx.Module):
    """Fully connected critic on the flattened observation: d(x) = w . h(x) + v . x + c.

    h is an MLP with SiLU units. The linear part sees shifts of x from the first step on.
    """

    net: eqx.nn.MLP
    skip: eqx.nn.Linear

    def __call__(self, x: Float[Array, "*x_shape"]) -> Float[Array, ""]:
        x = jnp.ravel(x)
        return self.net(x) + self.skip(x)[0]


def mlp(key: PRNGKeyArray, x_shape: tuple[int, ...], width: int = 64, depth: int = 2) -> MLP:
    """Make a fully connected critic of `depth` hidden layers of `width` SiLU units.

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
    size = 1
    for n in x_shape:
        size *= n
    key_net, key_skip = jax.random.split(key)
    net = eqx.nn.MLP(size, "scalar", width, depth, activation=jax.nn.silu, key=key_net)
    return MLP(net, eqx.nn.Linear(size, 1, use_bias=False, key=key_skip))
