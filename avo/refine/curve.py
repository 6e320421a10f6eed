"""E[x | w], the mean of simulations as a function of their parameters, where no formula gives it; and units of noise.

The principal components of x are regressed on w as t is on x elsewhere (avo/refine/statistic.py): ridge regression on w
and its products, and a small network for what that leaves.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from avo.observations import Observed
from avo.refine.statistic import Pairs, learn_statistic

COMPONENTS = 40  # of x
FLOOR = 1e-3  # of the mean variance of noise, in any direction


def learned_curve(
    w: Float[np.ndarray, "n d"], x: Float[np.ndarray, "n *x_shape"], seed: int
) -> Callable[[Array], Array]:
    """Learn E[x | w] from pairs, as a function of one w in JAX that gives all values of x behind one another.

    Example:
        >>> w = np.random.default_rng(0).normal(size=(2000, 1))
        >>> curve = learned_curve(w, np.concatenate([w**2, 3 - w, 0 * w], axis=1), seed=0)
        >>> bool(np.abs(curve(jnp.array([0.7])) - np.array([0.49, 2.3, 0.0])).max() < 0.05)
        True
    """
    flat = x.reshape(len(x), -1)
    middle = flat.mean(0)
    _, values, vectors = np.linalg.svd(flat - middle, full_matrices=False)
    k = max(1, min(COMPONENTS, int(np.sum(values > 1e-6 * values[0]))))
    size = values[:k] / np.sqrt(len(x))
    y = (flat - middle) @ vectors[:k].T / size
    t = learn_statistic(jax.random.key(seed), Observed(w), Pairs(w, w, y=y))
    basis, shift = jnp.asarray(size[:, None] * vectors[:k], float), jnp.asarray(middle, float)
    return lambda w: shift + t(w) @ basis


def root(shape: np.ndarray) -> np.ndarray:
    """Compute C^(-1/2), or its diagonal, with variances that are not below a thousandth of their mean.

    Example:
        >>> root(np.array([4.0, 0.25])).tolist(), root(np.diag([4.0, 0.25])).tolist()
        ([0.5, 2.0], [[0.5, 0.0], [0.0, 2.0]])
    """
    if shape.ndim == 1:
        return 1 / np.sqrt(np.maximum(shape, FLOOR * shape.mean()))
    values, vectors = np.linalg.eigh(shape)
    return vectors / np.sqrt(np.maximum(values, FLOOR * values.mean())) @ vectors.T
