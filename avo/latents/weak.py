"""Pairs of observations that share most of what made them: which latents they share is seen from their posteriors.

Of a pair (x, x'), with q(z_i|x) = N(mean_i, var_i) and q(z_i|x') = N(mean'_i, var'_i), Ada-GVAE (Locatello, Poole,
Raetsch, Schoelkopf, Bachem and Tschannen 2020, arXiv:2002.02886, section 4 and equations 4 to 6) takes

    d_i = KL(q(z_i|x) || q(z_i|x')),    shared: d_i < (max_j d_j + min_j d_j) / 2

and where latent i is shared, both posteriors are N((mean_i + mean'_i) / 2, (var_i + var'_i) / 2) (Hosoya 2019). The
loss is the mean of both observations' R + beta K at these.
"""

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float


def shared_latents(mean: Float[Array, "two n k"], log_var: Float[Array, "two n k"]) -> Bool[Array, "n k"]:
    """Say which latents the two observations of each pair share.

    Example:
        >>> mean = jnp.array([[[0.0, 0.0, 1.0]], [[3.0, 0.1, 1.2]]])
        >>> shared_latents(mean, jnp.zeros_like(mean)).tolist()
        [[False, True, True]]
    """
    (one, other), (log_one, log_other) = mean, log_var
    ratio = log_one - log_other
    distance = 0.5 * (jnp.exp(ratio) - ratio - 1 + (one - other) ** 2 * jnp.exp(-log_other))
    threshold = 0.5 * (distance.max(axis=-1, keepdims=True) + distance.min(axis=-1, keepdims=True))
    return distance < threshold


def with_shared(
    mean: Float[Array, "two n k"], log_var: Float[Array, "two n k"]
) -> tuple[Float[Array, "two n k"], Float[Array, "two n k"]]:
    """Give the observations of each pair one posterior in the latents that they share.

    Example:
        >>> mean = jnp.array([[[0.0, 1.0]], [[3.0, 1.5]]])
        >>> found, _ = with_shared(mean, jnp.zeros_like(mean))
        >>> found.tolist()
        [[[0.0, 1.25]], [[3.0, 1.25]]]
    """
    shared = shared_latents(mean, log_var)
    middle = jnp.mean(mean, axis=0)
    spread = jnp.logaddexp(log_var[0], log_var[1]) - jnp.log(2.0)
    return jnp.where(shared, middle, mean), jnp.where(shared, spread, log_var)
