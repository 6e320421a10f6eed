"""The REINFORCE gradient of a proposal, and the baselines that tame its variance.

The simulator has no gradient, but the proposal's log-density has one (Williams 1992):

    grad_psi E_{u ~ q}[f(u)] = E[ f(u) grad_psi log q(u; psi) ] = E[ (f(u) - b) grad_psi log q(u; psi) ]

for every b independent of u, since E[grad_psi log q] = 0. With f = -d(x), x ~ p(x | theta(u)), this is the gradient of
the proposal's loss. The constant of a Wasserstein critic is arbitrary, so without a baseline the estimate holds an
arbitrary amount of pure noise. The baseline must not see the row it is subtracted from: a mean over the whole batch of
M rows shrinks the gradient by 1 - 1/M. Rows that share a theta, or whose thetas are mirror images, are one group, and
the whole group is left out.

The draws need not be independent. `orthogonal` gives standard normal z in orthogonal blocks, so that the effect of one
parameter does not leak into the estimate for another: over whole blocks sum z z^T is exactly a multiple of I.
"""

from typing import Literal, get_args

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from avo.checks import one_of

Baseline = Literal["none", "mean", "leave-one-out", "optimal"]


def reinforce_gradient(
    cost: Float[Array, "groups g"],
    score: Float[Array, "groups g p"],
    baseline: Baseline = "leave-one-out",
) -> Float[Array, " p"]:
    """Estimate grad_psi E[f] = E[(f - b) grad_psi log q] from groups of draws.

    The baselines, with M rows in all and sums over the rows outside row i's group G (for "mean": all rows):

        none            b = 0                                    unbiased
        mean            b = sum f / M                            shrinks the gradient by 1 - 1/M (groups of one)
        leave-one-out   b_i = sum f / (M - |G|)                  unbiased
        optimal         b_ik = sum f s_k^2 / sum s_k^2           unbiased, one per parameter k

    Args:
        cost: f of each draw; rows of one group share a theta or mirror each other.
        score: grad_psi log q of each draw, psi flattened to p values.
        baseline: one of the names above.

    Returns:
        The gradient, with shape (p,).

    Raises:
        ValueError: if `baseline` is not a known name.

    Example:
        >>> cost, score = jnp.array([[3.0], [5.0]]), jnp.array([[[1.0]], [[-1.0]]])
        >>> reinforce_gradient(cost, score, "none").tolist(), reinforce_gradient(cost, score).tolist()
        ([-1.0], [-2.0])
    """
    one_of("baseline", baseline, get_args(Baseline))
    f, s, total = cost[..., None], score, cost.size
    if baseline == "none":
        b = jnp.zeros_like(f)
    elif baseline == "mean":
        b = f.sum((0, 1), keepdims=True) / total
    elif baseline == "leave-one-out":
        outside = f.sum((0, 1), keepdims=True) - f.sum(1, keepdims=True)
        b = outside / max(total - cost.shape[1], 1)
    else:
        weighted, weight = f * s**2, s**2
        outside = weighted.sum((0, 1), keepdims=True) - weighted.sum(1, keepdims=True)
        count = weight.sum((0, 1), keepdims=True) - weight.sum(1, keepdims=True)
        b = outside / jnp.where(count > 0, count, 1.0)
    return jnp.sum((f - b) * s, axis=(0, 1)) / total


def orthogonal(key: PRNGKeyArray, n: int, d: int) -> Float[Array, "n d"]:
    """Draw n standard normal vectors, orthogonal within blocks of d (Choromanski et al. 2018, arXiv:1804.02395).

    A block is r Q^T with Q uniform over the orthogonal matrices and r^2 ~ chi^2 with d degrees of freedom, one r a
    block: each row is exactly N(0, I), and Z^T Z = r^2 I over the block.

    Args:
        key: randomness.
        n: number of vectors; the last block is cut where n is not a multiple of d.
        d: dimension.

    Example:
        >>> z = orthogonal(jax.random.key(0), 3, 3)
        >>> gram = z.T @ z
        >>> bool(jnp.allclose(gram, gram[0, 0] * jnp.eye(3), atol=1e-5))
        True
    """
    blocks = -(-n // d)
    q, triangle = jnp.linalg.qr(jax.random.normal(key, (blocks, d, d)))
    corner = jnp.diagonal(triangle, axis1=1, axis2=2)
    # QR alone is not uniform: the signs of the triangle's diagonal must be made positive (Mezzadri 2007). Its first
    # entry is the length of a Gaussian vector, independent of Q: the r that is wanted.
    rows = (q * jnp.sign(corner)[:, None, :]).swapaxes(1, 2) * jnp.abs(corner[:, :1, None])
    return rows.reshape(blocks * d, d)[:n]
