"""Weights of observations: importance weights, by which each row stands for a share of what is to be fitted.

    p_i = w_i / sum_j w_j,    mean of t = sum_i p_i t_i,    effective number of rows = 1 / sum_i p_i^2

Only shares p_i are kept, so that weights may have any scale. Rows of weight zero are left out before anything is done,
and equal weights are none.
"""

from typing import Any

import numpy as np
from jaxtyping import Array, Float, Int, UInt32

from avo.checks import shaped
from avo.containers import Held, words_of

GOLDEN = 2654435769  # 2^32 divided by the golden ratio, odd: multiples of it fill 32 bits as evenly as can be


def validate_weights(weights: Held | None, m: int) -> Float[np.ndarray, " m"] | None:
    """Check the weights of m observations; None where there are none.

    Raises:
        ValueError: if they are not m finite numbers of at least zero, some of them above.

    Example:
        >>> validate_weights([2, 0, 6], 3).tolist()
        [2.0, 0.0, 6.0]
        >>> validate_weights([2, -1, 6], 3)
        Traceback (most recent call last):
            ...
        ValueError: weights must be finite numbers of at least 0; weights[1] is -1.0. Leave such rows out, or weigh
        them 0.
    """
    if weights is None:
        return None
    given = shaped("weights", words_of("weights", weights), (m,), "one number for each observation")
    try:
        w = np.array(given, dtype=np.float64) if given.dtype.kind in "biufO" else None
    except (TypeError, ValueError):
        w = None
    if w is None:
        raise ValueError(f"weights must be real numbers, one for each observation; got dtype {given.dtype}.")
    wrong = ~(np.isfinite(w) & (w >= 0))
    if wrong.any():
        row = int(wrong.argmax())
        raise ValueError(
            f"weights must be finite numbers of at least 0; weights[{row}] is {w[row]}. Leave such rows out, or weigh "
            "them 0."
        )
    if not w.any():
        raise ValueError("weights must not all be 0: no observation would count.")
    return w


def shares_of(weights: Float[np.ndarray, " m"] | None) -> Float[np.ndarray, " m"] | None:
    """Make shares, which sum to one, of positive weights; None for equal ones.

    Example:
        >>> shares_of(np.array([2.0, 6.0])).tolist(), shares_of(np.array([3.0, 3.0]))
        ([0.25, 0.75], None)
    """
    if weights is None or np.ptp(weights) == 0:
        return None
    w = weights / weights.max()  # whose sum is finite
    return w / w.sum()


def mean_of(t: Float[np.ndarray, "m *k"], shares: Float[np.ndarray, " m"] | None) -> Float[np.ndarray, "*k"]:
    """Average over observations.

    Example:
        >>> mean_of(np.array([[1.0], [5.0]]), np.array([0.25, 0.75])).tolist()
        [4.0]
    """
    return t.mean(0) if shares is None else np.tensordot(shares, t, 1)


def effective_of(shares: Float[np.ndarray, " m"]) -> float:
    """Count as how many equal rows weighted ones do: (sum w)^2 / sum w^2.

    Source: Kish, "Survey Sampling" (1965), section 11.7.

    Example:
        >>> round(effective_of(np.array([0.25, 0.75])), 6)
        1.6
    """
    return float(1 / np.sum(shares**2))


def covariance_of_weighted_mean(
    t: Float[np.ndarray, "m k"], shares: Float[np.ndarray, " m"], clusters: np.ndarray | None = None
) -> Float[np.ndarray, "k k"]:
    """Compute the covariance of a weighted mean of independent rows, or of independent clusters of them: the sandwich.

        sum_g s_g s_g^T * f,    s_g = sum over the cluster of p_i (t_i - mean),    P_g = sum over the cluster of p_i
        f = S_2 / (S_2 - 2 S_3 + S_2^2),    S_k = sum_g P_g^k

    A row is a cluster where none are given. f makes up for the mean, which is that of the same rows: it makes the
    covariance unbiased where weights say nothing of t, and is m / (m - 1) for equal ones.

    Source: Huber, Proc. 5th Berkeley Symp. (1967), 221; Binder, Int. Stat. Rev. 51 (1983), 279, equation 4.2.

    Example:
        >>> t, p = np.array([[1.0], [2.0], [6.0]]), np.full(3, 1 / 3)
        >>> bool(np.isclose(covariance_of_weighted_mean(t, p)[0, 0], np.var(t, ddof=1) / 3))
        True
    """
    rest = shares[:, None] * (t - mean_of(t, shares))
    if clusters is not None:
        sums = np.zeros((int(clusters.max()) + 1, t.shape[1]))
        np.add.at(sums, clusters, rest)
        rest, shares = sums, np.bincount(clusters, shares)
    second, third = np.sum(shares**2), np.sum(shares**3)
    return rest.T @ rest * second / max(second - 2 * third + second**2, 1e-12 * second)


# --- rows in proportion to their weights -----------------------------------------------------------------------------


def turns_of(shares: Float[np.ndarray, " m"]) -> UInt32[np.ndarray, " _"]:
    """Divide 32 bits among the rows, for `row_at`: where the part of each but the first begins."""
    ends = np.cumsum(shares)[:-1] * 2.0**32
    return np.minimum(np.round(ends), 2**32 - 1).astype(np.uint32)


def row_at(place: Int[Any, " n"], turns: UInt32[Any, " _"]) -> Int[Array | np.ndarray, " n"]:
    """Find which row stands at these places of an endless queue, in which each stands in proportion to its weight.

        i with  turns_i-1 <= place * GOLDEN mod 2^32 < turns_i

    After n places a row has stood n p_i times, to a few times log n: it is Weyl's sequence of the golden ratio.

    Args:
        place: counted from 0, whole numbers of NumPy or JAX.
        turns: of `turns_of`.

    Example:
        >>> rows = row_at(np.arange(8000), turns_of(np.array([0.125, 0.5, 0.375])))
        >>> rows[:8].tolist(), np.bincount(rows).tolist()
        ([0, 1, 1, 2, 1, 0, 2, 1], [1002, 3999, 2999])
    """
    xp = place.__array_namespace__()
    return xp.searchsorted(turns, place.astype(xp.uint32) * xp.uint32(GOLDEN), side="right")


def thinned(shares: Float[np.ndarray, " m"], rng: np.random.Generator) -> Int[np.ndarray, " n"]:
    """Draw rows that need no weights any more: each with probability w_i / max w, by itself.

    Where weights make up for how the rows were chosen, those left are a plain sample of what is to be fitted, and
    where they say nothing of the rows, too: what is exact for independent rows holds for them.

    Source: rejection sampling, von Neumann (1951).

    Example:
        >>> thinned(np.array([0.25, 0.0, 0.5, 0.25]), np.random.default_rng(0)).tolist()
        [2, 3]
    """
    return np.flatnonzero(rng.random(len(shares)) < shares / shares.max())


# --- location, scale and quantiles of columns, of which some values may be missing -----------------------------------


def weights_of_values(
    x: Float[np.ndarray, "m *k"], shares: Float[np.ndarray, " m"] | None
) -> Float[np.ndarray, "m *k"]:
    """Weigh each value like its row, and NaN, which is missing, by zero."""
    own = np.ones(len(x)) if shares is None else shares
    return np.where(np.isnan(x), 0.0, own.reshape((-1,) + (1,) * (x.ndim - 1)))


def moments_of(v: Float[np.ndarray, "n k"], w: Float[np.ndarray, "n k"]) -> tuple[np.ndarray, np.ndarray]:
    """Compute mean and standard deviation of columns; those of a column without values are 0.

    Example:
        >>> v, w = np.array([[1.0, np.nan], [5.0, np.nan]]), np.array([[0.25, 0.0], [0.75, 0.0]])
        >>> [a.round(3).tolist() for a in moments_of(v, w)]
        [[4.0, 0.0], [1.732, 0.0]]
    """
    total, v = np.maximum(w.sum(0), 1e-300), np.where(w > 0, v, 0.0)
    mean = np.sum(w * v, 0) / total
    return mean, np.sqrt(np.sum(w * (v - mean) ** 2, 0) / total)


def quantiles_of(
    v: Float[np.ndarray, "n k"], w: Float[np.ndarray, "n k"], levels: Float[np.ndarray, " q"]
) -> Float[np.ndarray, "q k"]:
    """Compute quantiles of columns, between the middles of the values' weights; 0 of a column without values.

    Example:
        >>> v = np.array([[4.0], [0.0], [2.0]])
        >>> quantiles_of(v, np.array([[1.0], [1.0], [2.0]]), np.array([0.5, 0.25, 1.0])).ravel().round(3).tolist()
        [2.0, 0.667, 4.0]
    """
    found = np.zeros((len(levels), v.shape[1]))
    for j, (column, weight) in enumerate(zip(v.T, w.T, strict=True)):
        order = np.argsort(column[weight > 0])
        column, weight = column[weight > 0][order], weight[weight > 0][order]
        if len(column):
            found[:, j] = np.interp(levels, (np.cumsum(weight) - weight / 2) / weight.sum(), column)
    return found
