"""Whole numbers at the end of a fit: which one, what the other parameters are beside it, and their errors.

Up to its last steps a fit takes a count for a number t on a line, with an error s. There E[t(x)] of simulations is a
straight line from one whole number to the next, so that the estimate is not biased by the rounding (avo/parameters.py);
but at no t in between is there a simulator. The last simulations are made at whole numbers, and the answer is

    n = the whole number nearest to t,    v + C_vt / s^2 (n - t)  of the other parameters v,

C the covariance of all: v as it is where the count is n. With several counts one after the other, the one of least
error first (Babai's nearest plane). Whole numbers near t may be true as well as n, and v differs with them,

    C_vv - C_vt C_tv / s^2  +  C_vt C_tv / s^4 sum_k p_k (k - n)^2,    p_k ~ exp(-(k - t)^2 / 2 s^2),

which is C_vv where s is large, and the error at a known count where only one whole number is left.

Source: Babai, Combinatorica 6 (1986), 1, section 3, for the order.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from avo.refine.linear import LinearSpace

LEAST = 1e-4  # error of a count, in units of it, at least: so that one of none can be divided by
FAR = 6.0  # standard errors beyond which a whole number is not looked at


class Wholes(NamedTuple):
    """A place w whose counts are whole numbers, P that holds them there, and the variance of each parameter beside it.

    P makes of a step of all parameters that of the others where the counts stay.
    """

    w: Float[np.ndarray, "*n d"]
    P: Float[np.ndarray, "d d"]
    variance: Float[np.ndarray, " d"]


def wholes(space: LinearSpace, w: Float[np.ndarray, "*n d"], covariance: Float[np.ndarray, "d d"]) -> Wholes:
    """Move places to the nearest whole numbers, the other parameters along with them.

    Args:
        space: the parameters.
        w: one place, or many.
        covariance: C of w.

    Returns:
        The places, P, and the variance at the first place; w as it is, I and diag C where there is no count.

    Example:
        >>> from avo.space import Count, Real, Space
        >>> line = LinearSpace(Space(n=Count(0, 8), v=Real()))  # w = n / 2
        >>> found = wholes(line, np.array([1.6, 5.0]), np.array([[0.01, -0.02], [-0.02, 0.05]]))
        >>> found.w.round(6).tolist(), found.P.round(6).tolist(), found.variance.round(3).tolist()
        ([1.5, 5.2], [[0.0, 0.0], [2.0, 1.0]], [0.01, 0.011])
    """
    C, P, w = covariance.copy(), np.eye(space.dim), np.array(w, float)
    variance = np.diagonal(covariance).copy()
    at = [int(i) for i in np.flatnonzero(space.counts)]
    while at:
        i = min(at, key=lambda i: C[i, i])
        at.remove(i)
        t, gap = w[..., i], space.gap[i]
        s2 = max(C[i, i], (LEAST * gap) ** 2)
        slope = C[:, i] / s2
        slope[i] = 1.0
        n = np.clip(gap * np.clip(np.round(t / gap), 0, space.steps[i]), space.low[i], space.high[i])
        spread = _spread(float(np.ravel(t)[0]), float(np.ravel(n)[0]), gap, np.sqrt(s2))
        w = w + (n - t)[..., None] * slope
        C = C - s2 * np.outer(slope, slope)
        P = P - np.outer(slope, P[i])
        others = [j for j in range(space.dim) if not space.counts[j]]
        variance[others] += (spread - s2) * slope[others] ** 2
    return Wholes(space.inside(w), P, np.maximum(variance, 0.0))


def _spread(t: float, n: float, gap: float, s: float) -> float:
    """Compute sum_k p_k (k - n)^2 over whole numbers, a gap apart.

    Example:
        >>> round(_spread(3.5, 3.0, 1.0, 0.01), 6), round(_spread(3.1, 3.0, 1.0, 5.0), 1)
        (0.5, 25.0)
    """
    reach = np.arange(-np.ceil(FAR * s / gap) - 1, np.ceil(FAR * s / gap) + 2) * gap
    square = (n + reach - t) ** 2 / (2 * s**2)
    p = np.exp(square.min() - square)
    return float(p @ reach**2 / p.sum())
