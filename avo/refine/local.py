"""A local regression of t on u: the value and the slope of m(u) = E[t | u] at one place, from rows anywhere near it.

    t_i = c_0 + A s_i + (quadratic in s_i) + error,    s_i = (u_i - centre) in units of a window, |s_i| < 1,

by least squares with Epanechnikov's weights 1 - |s|^2. Given where the rows lie, c_0 estimates m(centre), whatever
distribution they were drawn from: a regression needs no density. Both are sums over rows, c_0 = sum_i l_i t_i, whose
errors are those of the rows, e_i, each divided by 1 - h_i, h_i the share of the row in its own fit, so that few rows do
not seem more precise than they are.

A window must be so narrow that m is quadratic in it. Whether it is, the same fit tells with terms more, the third and
fourth powers of each s: its value differs from the first one's by sum_i (l'_i - l_i) t_i, which has an error of its
own. The widest window is taken in which no difference stands out, before two in turn in which one does, and there the
fit with more terms is believed: its error counts what they cost, and its bias is of an order that was not seen.

Source: Fan and Gijbels, "Local Polynomial Modelling and Its Applications" (1996), chapter 3; MacKinnon and White,
Journal of Econometrics 29 (1985), 305, for errors divided by 1 - h; Calonico, Cattaneo and Titiunik, Econometrica 82
(2014), 2295, for the error of the fit with more terms.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from scipy import stats

from avo.refine.features import quadratic

EACH = 12  # rows for each coefficient of the fit with more terms, without which a window is too small
WIDER = 1.25  # from one window to the next
STANDS_OUT = 0.01  # level of the test that more terms change the value in a window
MISSES = 2  # windows in turn in which they do, one of which may be chance, beyond which none is looked at
TRIED = 2.0  # radii of the smallest window, up to which a first one is looked for


class Local(NamedTuple):
    """A local fit at a centre, of rows with shape (n,).

    Args:
        value: m there.
        slope: dm / ds there.
        value_weights: l_i, with which rows enter the value.
        slope_weights: those with which they enter the slope.
        residuals: e_i / (1 - h_i).
        rest: coefficients of further columns.
    """

    value: Float[np.ndarray, " k"]
    slope: Float[np.ndarray, "k d"]
    value_weights: Float[np.ndarray, " n"]
    slope_weights: Float[np.ndarray, "n d"]
    residuals: Float[np.ndarray, "n k"]
    rest: Float[np.ndarray, "p k"]

    @property
    def covariance(self) -> Float[np.ndarray, "k k"]:
        """Covariance of the value: sum_i l_i^2 e_i e_i^T."""
        errors = self.value_weights[:, None] * self.residuals
        return errors.T @ errors

    @property
    def rows(self) -> float:
        """How many rows at the centre itself would tell the value as well: 1 / sum_i l_i^2."""
        return float(1 / np.sum(self.value_weights**2))


def coefficients(d: int, more: int = 0) -> int:
    """Count the coefficients of the fit with more terms; `more` is the number of further columns.

    Example:
        >>> coefficients(1), coefficients(2), coefficients(5)
        (5, 13, 61)
    """
    return 1 + d + d**2 + d * (d + 1) + more


def fit_local(
    s: Float[np.ndarray, "n d"], t: Float[np.ndarray, "n k"], *, powers: bool, more: np.ndarray | None = None
) -> Local:
    """Fit t by a polynomial in s, weighted by 1 - |s|^2.

    Args:
        s: where rows are, within 1 of the centre.
        t: what is regressed.
        powers: whether s_j s_k^2 and s_j^2 s_k^2 are among the terms.
        more: further columns, zero where the value is meant: known conditions less their mean.

    Raises:
        LinAlgError: if the rows do not tell the terms apart.

    Example:
        >>> s = np.random.default_rng(0).uniform(-1, 1, size=(200, 1)) ** 3  # rows crowd at the centre
        >>> found = fit_local(s, 2.0 + 3.0 * s - s**2, powers=True)
        >>> found.value.round(6).tolist(), found.slope.round(6).tolist()
        ([2.0], [[3.0]])
    """
    n, d = s.shape
    columns = [np.ones((n, 1)), s, quadratic(s)]
    columns += [(s[:, :, None] * (s**2)[:, None, :]).reshape(n, -1), quadratic(s**2)] if powers else []
    terms = sum(column.shape[1] for column in columns)
    f = np.concatenate(columns if more is None else [*columns, more], axis=1)
    weights = np.sqrt(np.maximum(1 - np.sum(s**2, axis=1), 0.0))[:, None]
    left, size, right = np.linalg.svd(weights * f, full_matrices=False)
    if len(size) < f.shape[1] or size[-1] < 1e-7 * size[0]:
        raise np.linalg.LinAlgError("the rows lie in too few places")
    inverse = (right.T / size @ left.T) * weights.T  # (columns, n)
    c = inverse @ t
    own = np.minimum(np.einsum("nq,qn->n", f, inverse), 0.95)
    return Local(c[0], c[1 : 1 + d].T, inverse[0], inverse[1 : 1 + d].T, (t - f @ c) / (1 - own)[:, None], c[terms:])


def bent(narrow: Local, wide: Local) -> bool:
    """Tell whether the value of the fit with more terms differs from that without, beyond chance.

    Args:
        narrow: the fit without.
        wide: the fit with more terms, of the same rows.
    """
    errors = (wide.value_weights - narrow.value_weights)[:, None] * wide.residuals
    way = wide.value - narrow.value
    size = way @ np.linalg.pinv(errors.T @ errors, rcond=1e-10, hermitian=True) @ way
    return bool(size > stats.chi2.isf(STANDS_OUT, len(way)))


class Window(NamedTuple):
    """The widest window in which m is a quadratic: its radius, the rows in it, the fit with more terms."""

    radius: float
    rows: np.ndarray
    found: Local


def widest(
    s: Float[np.ndarray, "n d"], t: Float[np.ndarray, "n k"], more: np.ndarray | None = None, most: float = np.inf
) -> Window | None:
    """Find the widest window in which m is seen to be a quadratic; None if it is not even in the smallest one.

    Args:
        s: where the rows are, from the centre, in any unit; the window's radius is in this unit.
        t: what is regressed.
        more: further columns, as in `fit_local`.
        most: largest radius, or twice that of the smallest window where none before it would do.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> s = rng.uniform(-3, 3, size=(20_000, 1))
        >>> window = widest(s, np.sin(4 * s) + 0.1 * rng.normal(size=s.shape))
        >>> 0.3 < window.radius < 1.2, bool(abs(window.found.value[0]) < 4 * window.found.covariance[0, 0] ** 0.5)
        (True, True)
    """
    far = np.linalg.norm(s, axis=1)
    order, least = np.argsort(far), EACH * coefficients(s.shape[1], 0 if more is None else more.shape[1])
    apart = np.sort(far[far > 0])  # rows at the centre itself tell no slope
    if len(apart) < least:
        return None
    radius, best = float(apart[least - 1]) * (1 + 1e-9), None
    smallest, missed = radius, 0
    while True:
        rows = order[: int(np.searchsorted(far[order], radius))]
        found = _unbent(s[rows] / radius, t[rows], None if more is None else more[rows])
        if found is None:
            missed += 1
        else:
            best, missed = Window(radius, rows, found), 0
        radius, limit = radius * WIDER, most if best is not None else max(most, TRIED * smallest)
        if len(rows) == len(s) or radius > limit or (best is not None and missed == MISSES):
            return best


def _unbent(s: Float[np.ndarray, "n d"], t: Float[np.ndarray, "n k"], more: np.ndarray | None) -> Local | None:
    """Fit with more terms in a window; None if they change the value, or the rows do not tell the terms apart."""
    try:
        fits = [fit_local(s, t, powers=powers, more=more) for powers in (False, True)]
    except np.linalg.LinAlgError:  # few places, of a grid
        return None
    return None if bent(*fits) else fits[1]
