"""What is added to a VAE's loss so that its latents are told apart: the penalty P of a batch.

With q(z) = mean_n q(z|x_n) the aggregate posterior of N observations, from a batch of M with one z each:

*Total correlation* (Chen, Li, Grosse and Duvenaud 2018, arXiv:1802.04942), TC = KL(q(z) || prod_i q(z_i)),

    P = mean_a log q(z_a) - sum_i log q(z_ai),
    q(z_a) = 1/N q(z_a|x_a) + (N - 1) / (N (M - 1)) sum_{b != a} q(z_a|x_b)        and of each z_ai the same

the stratified estimate of their appendix C.2, without bias of q(z), but that all other observations of the batch share
the weight (N - 1) / N: their last one alone has another, and its turn could come to each. With M = N it is q(z) itself.
Its logarithms are biased downwards, the joint one the most, so that P of a small batch is below TC, also below zero: of
batches of 64 from 2,000 observations with TC = .54, .48 on average.

*Density ratio* (Kim and Mnih 2018, arXiv:1802.05983), the same TC from a network, avo/latents/discriminator.py.

*Covariance* (Kumar, Sattigeri and Balakrishnan 2018, arXiv:1711.00848, equations 6 and 7),

    P = sum_{i != j} C_ij^2 + r sum_i (C_ii - 1)^2,    C = Cov(mean) of the batch    DIP-VAE-I
                                                       C = Cov(mean) + E[diag(exp(log_var))], that of z    II
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


def covariance_penalty(
    mean: Float[Array, "m k"], log_var: Float[Array, "m k"], ratio: ArrayLike, drawn: bool
) -> Float[Array, ""]:
    """Compute sum_{i != j} C_ij^2 + ratio sum_i (C_ii - 1)^2.

    Args:
        mean: of each posterior.
        log_var: of each posterior.
        ratio: weight of the diagonal over that of the rest.
        drawn: whether C is the covariance of z, DIP-VAE-II, or of `mean`, DIP-VAE-I.

    Example:
        >>> mean = jnp.array([[1.0, 3.0], [-1.0, -3.0]])  # covariances 1, 3 and 9
        >>> float(covariance_penalty(mean, jnp.zeros((2, 2)), 10.0, drawn=False))  # 2 * 9 + 10 * 64
        658.0
        >>> float(covariance_penalty(mean, jnp.zeros((2, 2)), 10.0, drawn=True))  # 2 * 9 + 10 * (1 + 81)
        838.0
    """
    apart = mean - jnp.mean(mean, axis=0, keepdims=True)
    covariance = apart.T @ apart / len(mean)
    diagonal = jnp.diag(covariance)
    rest = jnp.sum(covariance**2) - jnp.sum(diagonal**2)
    if drawn:
        diagonal = diagonal + jnp.mean(jnp.exp(log_var), axis=0)
    return rest + ratio * jnp.sum((diagonal - 1) ** 2)
