"""Whether rows of the observations depend on their neighbours, while errors assume that they do not.

    y_i = A^+ (t(x_i) - tbar),    what row i says of each parameter: m times its influence on the estimate; times the
                                  share m p_i of its weight, where it has one
    a_i = normal score of the rank of y_i,    one column for each parameter
    z_k = sum_i a_i a_i+k / sqrt(sum_i a_i^2 a_i+k^2),    k = 1 .. L rows apart

If the rows are independent, z_k is about N(0, 1), whatever the tails of y: given their sizes, the products have the
signs of coins. Where most values are equal, as of rare counts, large z are rarer still. The largest z over lags and
parameters is held against the sum of their tails. Only rows that resemble one another count: it is they that make
errors too small.

    f^2 = 1 + 2 sum_k (1 - k / m) r_k,    r_k the correlation of y_i and y_i+k, over the lags with |z_k| > 2

is by how much the variance of the mean of y exceeds that of independent rows. Correlations beyond L, or too weak to be
seen, are not in it, so that it is rather too small. Rows in sorted order correlate too, and mean nothing by it.

Source: Dalla, Giraitis, Phillips, "Robust tests for white noise and cross-correlation", Econometric Theory (2022), for
z; Efron, JASA 64 (1969), 1278, for its tails; van der Waerden's scores of ranks.
"""

import numpy as np
from jaxtyping import Float
from scipy import stats

from avo.execution.blocks import Drawn
from avo.refine.equation import Equation
from avo.refine.estimate import Neighbours

FURTHEST = 10  # times log10(m): lags that are looked at, at most a quarter of m
SEEN = 2.0  # |z| of lags whose correlation counts in f: twice the error of a correlation of independent rows
TINY = 1e-300  # for parameters of which no row says anything


def between_rows(equation: Equation, drawn: Drawn | None, inverse: Float[np.ndarray, "d k"]) -> Neighbours | None:
    """Look for correlations of the observations, in the order of their rows, in what they say of the parameters.

    Args:
        equation: that was solved.
        drawn: the last simulations, which tell what known conditions explain of t: in an order of these there is no
            harm.
        inverse: A^+, from t to the parameters.

    Returns:
        What is found; None where clusters are given, or fewer than four rows, or but a sample of them is in memory.
    """
    observed = equation.observed
    if drawn is None or observed.pages is not None or observed.clusters is not None or len(equation.t_obs) < 4:
        return None
    t = equation.t_obs if drawn.inputs is None else equation.values(drawn, drawn.ok)[1]
    y = t @ inverse.T
    shares = equation.observed.shares
    return correlations(y if shares is None else len(y) * shares[:, None] * (y - shares @ y))


def correlations(y: Float[np.ndarray, "m d"]) -> Neighbours:
    """Compute z over the lags, the p of the largest, and f.

    Example:
        >>> e = np.random.default_rng(0).normal(size=(1000, 1))
        >>> found = correlations(e[1:] + e[:-1])  # r_1 = 1 / 2, and no other: f^2 = 2
        >>> found.lag.tolist(), found.correlation.round(1).tolist(), found.widening.round(1).tolist()
        ([1], [0.5], [1.4])
        >>> bool(found.p_value < 1e-4), bool(correlations(e).p_value > 0.05)
        (True, True)
    """
    m, d = y.shape
    a = stats.norm.ppf((stats.rankdata(y, axis=0) - 0.5) / m)
    y, a = y - y.mean(0), a - a.mean(0)
    lags = np.arange(1, 1 + min(int(FURTHEST * np.log10(m)), m // 4))
    sums, squares, r = (np.zeros((len(lags), d)) for _ in range(3))
    for i, k in enumerate(lags):
        products = a[k:] * a[:-k]
        sums[i], squares[i], r[i] = products.sum(0), np.sum(products**2, 0), np.sum(y[k:] * y[:-k], 0)
    z, alike = sums / np.sqrt(squares + TINY), sums / (m - lags)[:, None] / (np.mean(a**2, 0) + TINY)
    most = np.where(z >= np.minimum(z.max(0), SEEN), alike, -np.inf).argmax(0)
    r /= np.sum(y**2, 0) + TINY  # of m - k products, so that this is (1 - k / m) r_k
    return Neighbours(
        correlation=alike[most, np.arange(d)],
        lag=lags[most],
        widening=np.sqrt(np.maximum(1 + 2 * np.sum(np.where(np.abs(z) > SEEN, r, 0.0), 0), 0.0)),
        p_value=np.minimum(z.size * stats.norm.sf(z.max(0)), 1.0),
    )
