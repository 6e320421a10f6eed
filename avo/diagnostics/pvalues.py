"""Where one number stands among exchangeable others: z, ranks, and the correction for having looked at several."""

import numpy as np
from jaxtyping import ArrayLike, Float


def standing(t: Float[np.ndarray, "sets statistics"]) -> Float[np.ndarray, "sets statistics"]:
    """Compute each set's z among all other sets: (t_i - mean of others) / (sd of others * sqrt(1 + 1 / others)).

    Example:
        >>> standing(np.array([[5.0], [1.0], [2.0], [3.0]])).round(4)[0]
        array([2.5981])
    """
    n = len(t)
    rounding = 1e-6 * np.maximum(1, np.abs(t[1:].mean(0)))  # statistics are of order one, their sd 1 / sqrt(rows)
    deviation = t - t.mean(0)
    variance = np.maximum((deviation**2).sum(0) - deviation**2 * n / (n - 1), 0) / (n - 2)
    variance[0] = t[1:].var(0, ddof=1)  # the difference above rounds to nothing where the first is far out
    sd, apart = np.sqrt(variance), deviation * n / (n - 1)
    z = np.where(np.abs(apart) > rounding, np.copysign(np.inf, apart), 0.0)
    return np.divide(apart, sd * np.sqrt(n / (n - 1)), out=z, where=sd > rounding)


def rank(t: Float[np.ndarray, " sets"]) -> float:
    """Rank the first of exchangeable numbers: p = (1 + #{others at least as large}) / all.

    Example:
        >>> rank(np.array([0.7, 0.9, 0.1, 0.2]))
        0.5
    """
    return float(np.mean(t >= t[0]))


def holm(p: Float[ArrayLike, " n"]) -> Float[np.ndarray, " n"]:
    """Correct p-values for their number (Holm 1979): p_(i) -> max over j <= i of min(1, (n + 1 - j) p_(j)).

    Example:
        >>> holm([0.01, 0.04, 0.03]).tolist()
        [0.03, 0.06, 0.06]
    """
    values = np.asarray(p, dtype=float)
    order = np.argsort(values)
    corrected = np.empty_like(values)
    steps = np.arange(len(values), 0, -1) * values[order]
    corrected[order] = np.minimum(np.maximum.accumulate(steps), 1.0)
    return corrected
