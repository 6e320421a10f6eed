r"""An emulator of x: its mean and 90 % band as polynomials of the parameters, from the simulations that a run kept.

With z the parameters on the scale of the error (avo/refine/linear.py) in units of the sliders, and f(z) the monomials
up to some degree,

    mean_j(z) = f(z)^T b_j,    log s_j(z) = g(z)^T c_j,    band_j(z) = mean_j + s_j (e_05, e_95)_j

where b comes from least squares, c from a gamma regression of the absolute residuals with a log link, and e are
quantiles of the residuals in units of s. Rows at the estimate, a third of all, hold it in place there. The degree is
the one that predicts rows best which were not used; by such rows is also judged how far the mean is off, in standard
deviations of x, and how many simulations the band holds.

Near an answer x follows the parameters smoothly, and noise is what limits any regression; networks and kernels are no
better there (benchmarks/studies/emulator.py).
"""

from itertools import combinations_with_replacement
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int

DEGREES = (1, 2, 3)
LEAST_ROWS = 12  # for each monomial
FOLDS = 4
SWEEPS = 12  # of the gamma regression, at most
BAND = (0.05, 0.95)
PLACES = (-1.0, -0.75, -0.5, -0.25, 0.0, 0.25, 0.5, 0.75, 1.0)  # along each slider
ORTHANTS = 5  # parameters whose signs part what lies far out, at most
BINS = 6  # along each parameter, in which residuals are averaged
FAR = 8.0  # observed standard deviations from the observed mean, beyond which x is cut off


class Emulator(NamedTuple):
    """Polynomials of z for what a page draws.

    Args:
        powers: exponents of each monomial.
        mean: coefficients of E[x_j | z], then of E[t_j | z].
        scale: coefficients of log s_j, of the first monomials, as many as there are.
        band: (e_05, e_95), with shape (2, k).
        ends: least and largest of each x_j, which bands do not pass.
        held_at: whether so many lie at the least, or the largest, that the band ends there.
        variance: of x_j in units of s_j^2.
        roughness: by how much the variance is off, as a share of it.
        error: by how much the mean of each x_j, then t_j, is off, in its own units.
        degree: of the mean's polynomials.
        off: the same for x, in standard deviations of x, the root mean square over all.
        held: share of simulations not used that the band holds.
        rows: simulations used.
    """

    powers: Int[np.ndarray, "p d"]
    mean: Float[np.ndarray, "p k_and_t"]
    scale: Float[np.ndarray, "q k"]
    band: Float[np.ndarray, "2 k"]
    ends: Float[np.ndarray, "2 k"]
    held_at: Bool[np.ndarray, "2 k"]
    variance: Float[np.ndarray, " k"]
    roughness: Float[np.ndarray, " k"]
    error: Float[np.ndarray, " k_and_t"]
    degree: int
    off: float
    held: float
    rows: int

    def __call__(self, z: Float[np.ndarray, "n d"]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Compute mean and both ends of the band of x, each with shape (n, k)."""
        f, k = monomials(z, self.powers), self.band.shape[1]
        mean, s = f @ self.mean[:, :k], np.exp(f[:, : len(self.scale)] @ self.scale)
        low, high = _ends(mean, s, self.band, self.ends, self.held_at)
        return mean, low, high


def monomials(z: Float[np.ndarray, "n d"], powers: Int[np.ndarray, "p d"]) -> Float[np.ndarray, "n p"]:
    """Compute products of powers, z_1^a_1 ... z_d^a_d for each row of exponents.

    Example:
        >>> monomials(np.array([[2.0, -3.0]]), np.array([[0, 0], [1, 0], [1, 2]])).tolist()
        [[1.0, 2.0, 18.0]]
    """
    f = np.ones((len(z), len(powers)))
    for i, along in enumerate(powers.T):
        for degree in range(1, int(along.max(initial=0)) + 1):
            f[:, along >= degree] *= z[:, i : i + 1]
    return f


def exponents(d: int, degree: int) -> Int[np.ndarray, "p d"]:
    """List the exponents of all monomials up to a degree, by degree.

    Example:
        >>> exponents(2, 2).tolist()
        [[0, 0], [1, 0], [0, 1], [2, 0], [1, 1], [0, 2]]
    """
    found = []
    for total in range(degree + 1):
        for chosen in combinations_with_replacement(range(d), total):
            found.append(np.bincount(np.array(chosen, int), minlength=d))
    return np.array(found)


def fit_emulator(
    z: Float[np.ndarray, "n d"],
    x: Float[np.ndarray, "n k"],
    t: Float[np.ndarray, "n p"],
    units: tuple[Float[np.ndarray, " k"], Float[np.ndarray, " k"]],
    seed: int = 0,
) -> Emulator:
    """Fit mean, scale and band of x, and the mean of its scores t, and measure how far they are off.

    Args:
        z: parameters, in units of the sliders.
        x: simulations there, NaN where a value is missing, which takes no part in what is fitted of its column.
        t: their learned scores.
        units: location and scale of the observations, beyond `FAR` of which x is cut off.
        seed: of the parts that are left out in turn.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> z = rng.uniform(-1, 1, size=(4000, 1))
        >>> x = 2.0 + 3.0 * z**2 + 0.5 * np.exp(z) * rng.normal(size=z.shape)
        >>> found = fit_emulator(z, x, x, (np.zeros(1), np.ones(1)))
        >>> mean, low, high = (float(a[0, 0]) for a in found(np.array([[0.5]])))
        >>> abs(mean - 2.75) < 0.05, abs(high - low - 2.71) < 0.15, 0.88 < found.held < 0.92  # 3.29 * 0.5 * exp(0.5)
        (True, True, True)
    """
    shift, size = units
    rare = np.sum(~np.isnan(x), axis=0) < FOLDS * LEAST_ROWS
    x = np.where(rare & np.isnan(x), shift, x)  # what is nearly never there cannot be fitted: its location
    y = np.concatenate([np.clip((x - shift) / size, -FAR, FAR), t], axis=1).astype(float)
    z, k = z.astype(float), x.shape[1]
    folds = np.random.default_rng(seed).permutation(len(z)) % FOLDS
    chosen = None
    for degree in DEGREES:
        powers = exponents(z.shape[1], degree)
        if degree > 1 and len(powers) * LEAST_ROWS > len(z):
            break
        left = _left_out(monomials(z, powers), y, folds)
        loss = float(np.nanmean(left**2 / np.maximum(np.nanvar(y, 0), 1e-300)))
        if chosen is None or loss < chosen[0]:
            chosen = loss, powers, left
    assert chosen is not None
    _, powers, left = chosen
    used, quadratic = len(powers), exponents(z.shape[1], 2)
    if used < len(quadratic) and len(quadratic) * LEAST_ROWS <= len(z):
        powers = quadratic  # of which the mean takes the first
    f = monomials(z, powers)
    scale_size = min(len(powers), len(quadratic))
    mean = np.concatenate([_least_squares(f[:, :used], y), np.zeros((len(powers) - used, y.shape[1]))])
    e = y - f @ mean
    scale, standard = _scaled(f[:, :scale_size], e[:, :k])
    sd = np.maximum(np.nanstd(e, 0), 1e-12)
    rest = np.abs(standard) / np.maximum(np.nanmean(np.abs(standard), 0), 1e-300) - 1
    off = _off(z, left, f[:, :used], powers[:used])
    ends = np.stack([np.nanmin(x, 0), np.nanmax(x, 0)]).astype(float)
    share_at = np.sum(x == ends[:, None], axis=1) / np.sum(~np.isnan(x), axis=0)
    held_at = (share_at >= BAND[0]) & (ends[0] < ends[1])
    mean[:, :k] *= size
    mean[0, :k] += shift
    scale[0] += np.log(size)
    return Emulator(
        powers=powers,
        mean=mean,
        scale=scale,
        band=np.nanquantile(standard, BAND, axis=0),
        ends=ends,
        held_at=held_at,
        variance=np.nanvar(standard, 0),
        roughness=2 * _off(z, rest, f[:, :scale_size], powers[:scale_size]),
        error=off * np.concatenate([size, np.ones(t.shape[1])]),
        degree=int(powers[:used].sum(1).max()),
        off=float(np.sqrt(np.mean((off / sd)[:k] ** 2))),
        held=_held(f[:, :scale_size], y[:, :k], left[:, :k], folds, (ends - shift) / size, held_at),
        rows=len(z),
    )


def _patterns(y: Float[np.ndarray, "n k"]) -> list[tuple[np.ndarray, np.ndarray]]:
    """Find the columns that lack the same rows, and the rows that they have: one pair where nothing is missing.

    Example:
        >>> [(c.tolist(), r.tolist()) for c, r in _patterns(np.array([[1, np.nan, 3], [4, 5, 6.0]]))]
        [([1], [1]), ([0, 2], [0, 1])]
    """
    there = ~np.isnan(y)
    if there.all():
        return [(np.arange(y.shape[1]), np.arange(len(y)))]
    kinds, which = np.unique(there, axis=1, return_inverse=True)
    which = which.ravel()
    return [(np.flatnonzero(which == k), np.flatnonzero(rows)) for k, rows in enumerate(kinds.T)]


def _least_squares(f: np.ndarray, y: np.ndarray) -> np.ndarray:
    found = np.zeros((f.shape[1], y.shape[1]))
    for columns, rows in _patterns(y):
        found[:, columns] = np.linalg.lstsq(f[rows], y[np.ix_(rows, columns)], rcond=1e-10)[0]
    return found


def _left_out(f: np.ndarray, y: np.ndarray, folds: np.ndarray) -> np.ndarray:
    """Compute what each part's mean, fitted to the other parts, leaves of it."""
    left = np.empty_like(y)
    for fold in range(FOLDS):
        out = folds == fold
        left[out] = y[out] - f[out] @ _least_squares(f[~out], y[~out])
    return left


def _scaled(g: np.ndarray, e: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Regress |e| by a gamma law with a log link; the coefficients, and e in units of its scale.

    The iteration is c <- c + g^+ (|e| / s - 1), s = exp(g c): a gamma regression's weights are all one.
    """
    found = np.zeros((g.shape[1], e.shape[1]))
    for columns, rows in _patterns(e):
        found[:, columns] = _scale_of(g[rows], e[np.ix_(rows, columns)])
    return found, e / np.exp(g @ found)


def _scale_of(g: np.ndarray, e: np.ndarray) -> np.ndarray:
    """Compute the coefficients of columns that have all rows."""
    size = np.abs(e) + 1e-3 * np.abs(e).mean(0) + 1e-12
    c = np.zeros((g.shape[1], e.shape[1]))
    c[0] = np.log(size.mean(0))
    inverse = np.linalg.pinv(g, rcond=1e-10)
    for _ in range(SWEEPS):
        step = inverse @ (size / np.exp(g @ c) - 1)
        c += step * np.minimum(1.0, 1.0 / np.maximum(np.abs(step).max(0), 1e-12))
        if np.abs(step).max() < 1e-4:
            break
    return c


def _held(
    g: np.ndarray, y: np.ndarray, left: np.ndarray, folds: np.ndarray, ends: np.ndarray, held_at: np.ndarray
) -> float:
    """Compute the share of rows that bands hold which were made of the other rows."""
    out = folds == 0
    c, standard = _scaled(g[~out], left[~out])
    mean, s = (y - left)[out], np.exp(g[out] @ c)
    low, high = _ends(mean, s, np.nanquantile(standard, BAND, axis=0), ends, held_at)
    # Rounding must not exclude what lies at an end
    inside, there = (y[out] >= low - 1e-6) & (y[out] <= high + 1e-6), ~np.isnan(y[out])
    return float(np.mean(inside[there]))


def _ends(
    mean: np.ndarray, s: np.ndarray, band: np.ndarray, ends: np.ndarray, held_at: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Compute the ends of the band: mean + s e, within the ends of x, or at these where many lie there."""
    low, high = (np.clip(mean + s * e, *ends) for e in band)
    return np.where(held_at[0], ends[0], low), np.where(held_at[1], ends[1], high)


def _off(
    z: Float[np.ndarray, "n d"], left: Float[np.ndarray, "n k"], f: Float[np.ndarray, "n p"], powers: np.ndarray
) -> Float[np.ndarray, " k"]:
    """Estimate how far the mean is off: what residuals of rows not used average to over parts of the space, and noise.

    The parts are bins along each parameter, and the orthants of what lies farthest out. In one of n rows the mean of
    the residuals squared is off^2 + var / n. Noise of the coefficients makes the mean at z uncertain by
    var f(z)^T (f^T f)^-1 f(z), the mean of which over places along each slider is added.
    """
    square, count = np.zeros(left.shape[1]), np.zeros(left.shape[1])
    for part in _parts(z):
        for k in range(part.max() + 1):
            some = left[part == k]
            there = np.sum(~np.isnan(some), axis=0)
            enough = there > 1
            if enough.any():
                some = some[:, enough]
                noise_of = np.nanvar(some, 0) / there[enough]
                square[enough] += np.maximum(np.nanmean(some, 0) ** 2 - noise_of, 0.0)
                count += enough
    at = monomials(np.concatenate([share * np.eye(z.shape[1]) for share in PLACES]), powers)
    noise = float(np.mean(np.einsum("np,pq,nq->n", at, np.linalg.pinv(f.T @ f, hermitian=True), at)))
    return np.sqrt(square / np.maximum(count, 1) + np.nanvar(left, 0) * noise)


def _parts(z: Float[np.ndarray, "n d"]) -> list[Int[np.ndarray, " n"]]:
    """Part the rows in bins along each parameter, then the outer quarter in orthants; -1 is no part."""
    found = []
    for along in z.T:
        ends = np.unique(np.quantile(along, np.linspace(0, 1, BINS + 1)[1:-1]))
        found.append(np.searchsorted(ends, along))
    radius, few = np.linalg.norm(z, axis=1), z[:, :ORTHANTS]
    outer = radius > np.quantile(radius, 0.75)
    return [*found, np.where(outer, (few > 0) @ 2 ** np.arange(few.shape[1]), -1)]
