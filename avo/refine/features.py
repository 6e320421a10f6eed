"""What the regression of t sees of x: values, and averages of products that are known to matter, by the shape of x."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int
from scipy import special

from avo.observations import ALL_PRODUCTS, bend, kind_of, location_scale
from avo.refine import lacking

WIDEST = 512  # values beyond which x is shown by its principal components and by what u moves
COMPONENTS = 256
BLOCKS = 6  # along each side of an image, of which all products are shown
LAGS = (1, 2, 4)
SEGMENTS = 4
LEVELS = 25  # quantiles of a column at which indicators stand, at most
INDICATORS = 100  # of all columns together, at most
LEAST_LEVELS = 3  # of a column; fewer say nothing that its moments do not
POINTS = 512  # of a series or image, evenly spread, whose indicators are averaged, at most
POOLED = 20_000  # values from which quantiles are taken, at most
FAR = 30.0  # observed standard deviations, beyond which values are bent: a diverging simulation rules no average
CLIP = 8.0  # standard deviations at which a summary is cut off, so that no outlier rules the mean of t


def _mean(h: Float[Array, "T C"], segments: int = 1) -> Float[Array, "segments C"]:
    """Average over time, in segments: as a product of matrices, which is some five times as fast as sums."""
    parts = np.array_split(np.arange(len(h)), segments)
    weights = np.zeros((segments, len(h)))
    for segment, part in zip(weights, parts, strict=True):
        segment[part] = 1 / len(part)
    return jnp.asarray(weights, h.dtype) @ h


def _moments(h: Float[Array, "T C"]) -> list[Array]:
    """Average products of a series: of all channels at the same time, in four segments, and of each with its past."""
    i, j = np.triu_indices(h.shape[1])
    return [_mean(h[:, i] * h[:, j], SEGMENTS)] + [_mean(h[lag:] * h[:-lag]) for lag in LAGS]


def block_means(z: Float[Array, "H W *rest"]) -> Float[Array, "rows columns *rest"]:
    """Average an image over 6 x 6 blocks, fewer along a side of fewer pixels.

    Example:
        >>> block_means(jnp.arange(14.0).reshape(7, 2)).tolist()[:2]
        [[1.0, 2.0], [4.0, 5.0]]
    """
    for axis in (0, 1):
        parts = np.array_split(np.arange(z.shape[axis]), min(BLOCKS, z.shape[axis]))
        z = jnp.stack([jnp.mean(jnp.take(z, part, axis), axis) for part in parts], axis)
    return z


def _block_products(z: Float[Array, "H W *rest"]) -> Array:
    """Multiply the means of an image's blocks, over all channels, each with each."""
    h = block_means(jnp.mean(z.reshape(*z.shape[:2], -1), axis=2))
    i, j = np.triu_indices(h.size)
    flat = jnp.ravel(h)
    return flat[i] * flat[j]


class Features(eqx.Module):
    """What the regression sees of x and its condition c: values, and averages of products.

    A vector of up to 32 values shows itself and all products. A series shows its values, second moments of values and
    of increments d (in segments, and at lags), mean |d|^k for k = 1/2, 1, 3, 4, its ends squared, and moments of the
    residual that is left when all that u moves on average is projected out. For Gaussian noise, processes with
    independent increments and autoregressions the score is a sum of these. An image shows its values and all
    products of the means of 6 x 6 blocks. Longer x show principal components. `avo.observations.kind_of` tells them.
    Values far from all observations are bent (`avo.observations.bend`). A statistic of the user's own joins them, or
    stands alone, with all its products where there are up to 32 values.

    Whatever the distribution of its columns, smooth indicators show where x is among rows like the observations,

        mean over points of sigmoid(2 (q_k - value) / w_k),    q_k their quantiles, w_k the way between two,

    whose means over rows are the distribution function at q_k, to a width w_k: what order statistics say.

    Args:
        shift, scale: location and scale of x_obs, as the critic sees it; likewise of the conditions.
        channel_shift, channel_scale: location and scale of each channel of a series, else None.
        basis: columns onto which long x are projected, else None.
        moved: orthonormal directions in which u moves a series on average, else None.
        knots, widths: quantiles of each column (`quantiles`), else None.
        custom: the user's own statistic (avo/refine/custom.py), else None.
        gaps: which values may be missing (avo/gaps.py), else None. Then values are zero where they are, products are
            those expected given the others (avo/refine/lacking.py), and averages are over what was seen.
        mean, covariance: of known conditions and values, where some may be missing and all products are shown.
    """

    shift: Array
    scale: Array
    c_shift: Array | None
    c_scale: Array | None
    channel_shift: Array | None
    channel_scale: Array | None
    basis: Array | None
    moved: Array | None
    knots: Array | None = None
    widths: Array | None = None
    custom: Any = None
    gaps: Any = None
    mean: Array | None = None
    covariance: Array | None = None

    def units(self, x: Array) -> Array:
        """Show x in units of the observations, bent where it is far from them."""
        return bend((x - self.shift) / self.scale, FAR)

    def flat(self, x: Array, c: Array | None) -> Array:
        """Standardise values and condition."""
        z = jnp.ravel(self.units(x))
        z = z if self.basis is None else z @ self.basis
        if c is None or self.c_shift is None or self.c_scale is None:
            return z
        return jnp.concatenate([jnp.ravel((c - self.c_shift) / self.c_scale), z])

    def __call__(self, x: Float[Array, "*x_shape"], c: Array | None = None) -> Float[Array, " k"]:
        seen = None if self.gaps is None else jnp.logical_not(self.gaps.mask(c)).astype(x.dtype)
        if self.custom is None:
            return jnp.concatenate([self._chosen(x, c, seen), *self._indicators(x, seen)])
        z = self.custom(x, c)
        own = [z, _products(z)] if z.size <= ALL_PRODUCTS else [z]
        if self.custom.alone:
            return jnp.concatenate(own)
        return jnp.concatenate([self._chosen(x, c, seen), *own, *self._indicators(x, seen)])

    def _chosen(self, x: Array, c: Array | None, seen: Array | None) -> Float[Array, " k"]:
        if seen is not None:
            return self._lacking(x, c, seen)
        flat = self.flat(x, c)
        parts = [flat]
        if flat.size <= ALL_PRODUCTS:
            parts.append(_products(flat))
        elif kind_of(x.shape) == "image":
            parts.append(_block_products(self.units(x)))
        if self.channel_shift is not None:
            parts += self._series(x)
        return jnp.concatenate([jnp.ravel(part) for part in parts])

    def _lacking(self, x: Array, c: Array | None, seen: Array) -> Float[Array, " k"]:
        """Show a row of which values are missing: what is there, the mask, and what that lets expect."""
        flat = self.flat(x, c)
        parts = [flat]
        if self.mean is not None and self.covariance is not None:
            own = jnp.concatenate([flat[: self.gaps.own], jnp.ravel(self.units(x))])
            there = jnp.concatenate([jnp.ones(self.gaps.own, x.dtype), jnp.ravel(seen)])
            z, rest = lacking.expected(own, there, self.mean, self.covariance)
            parts += [_products(z) + rest[np.triu_indices(z.size)], z]
        elif kind_of(x.shape) == "image":
            parts.append(_block_products(seen * self.units(x)))
        if self.channel_shift is not None:
            parts += self._series(x, seen)
        return jnp.concatenate([jnp.ravel(part) for part in parts])

    def kinds(self, k: int) -> Int[np.ndarray, " k"]:
        """Tell the kind of each of k features.

        0 for values, 1 for products of values, 2 for moments of a series; 3 and 4 for the user's statistic, and its
        products; 5 for indicators.
        """
        values = self.shift.size if self.basis is None else self.basis.shape[1]
        values += 0 if self.c_shift is None else self.c_shift.size
        shown = values if self.gaps is None else values - self.gaps.columns
        products, own = _pairs(shown), 0 if self.custom is None else self.custom.shift.size
        if self.custom is not None and self.custom.alone:
            return np.repeat([0, 1], [own, _pairs(own)])
        moments = k - values - products - own - _pairs(own) - self.indicators
        return np.repeat([0, 1, 2, 3, 4, 5], [values, products, moments, own, _pairs(own), self.indicators])

    @property
    def indicators(self) -> int:
        """Number of indicators, which come last."""
        alone = self.custom is not None and self.custom.alone
        return 0 if self.knots is None or alone else self.knots.size

    def _indicators(self, x: Array, seen: Array | None) -> list[Array]:
        if self.knots is None or self.widths is None:
            return []
        parts, first = [], 0
        there = [None, None] if seen is None else _columns_seen(seen)
        for column, weight in zip(_columns(x), there, strict=False):
            some = slice(first, first + column.shape[1])
            far = (self.knots[None, some] - column[:, :, None]) / self.widths[None, some]
            shown = jax.nn.sigmoid(2 * far)
            parts.append(jnp.mean(shown if weight is None else weight[:, :, None] * shown, axis=0))
            first = some.stop
        return [jnp.ravel(part) for part in parts]

    def _series(self, x: Array, seen: Array | None = None) -> list[Array]:
        assert self.moved is not None and self.channel_shift is not None and self.channel_scale is not None
        h = bend((x.reshape(x.shape[0], -1) - self.channel_shift[None]) / self.channel_scale[None], FAR)
        d = jnp.diff(h, axis=0)
        z = jnp.ravel(self.units(x))
        r = (z - self.moved @ (self.moved.T @ z)).reshape(h.shape)
        more, first, last = [], h[0], h[-1]
        if seen is not None:
            s = seen.reshape(h.shape)
            both = s[1:] * s[:-1]
            h, d, r = s * h, both * d, s * r
            first, last = lacking.ends(h, s)
            more = [first, last, _mean(s), _mean(both), *lacking.across_gaps(h, s)]
        a = jnp.abs(d)
        powers = [_mean(a), _mean(a**3), _mean(a**4), _mean(jnp.sqrt(a + 1e-12))]
        residual = [_mean(r * r), _mean(r[1:] * r[:-1]), _mean(r[2:] * r[:-2])]
        return [*_moments(h), *_moments(d), *powers, *residual, first**2, last**2, *more]


def _pairs(values: int) -> int:
    """Count the products of so many values that are shown."""
    return values * (values + 1) // 2 if values <= ALL_PRODUCTS else 0


def _products(z: Float[Array, " k"]) -> Float[Array, " q"]:
    """Multiply values, each with each, cut where they are far out."""
    i, j = np.triu_indices(z.size)
    cut = jnp.clip(z, -CLIP, CLIP)
    return cut[i] * cut[j]


def quadratic(z: Float[np.ndarray, "n d"]) -> Float[np.ndarray, "n q"]:
    """Multiply the columns, each with each and with itself, in the order of an upper triangle."""
    i, j = np.triu_indices(z.shape[1])
    return z[:, i] * z[:, j]


def _columns(x: Any) -> list[Any]:
    """Take x apart into columns whose distribution matters: (points, columns), of NumPy or JAX.

    A vector's are its values, one point each; a series' its channels and their increments, over time; an image's its
    channels, over its pixels.
    """
    kind = kind_of(x.shape)
    if kind == "vector":
        return [x.reshape(1, -1)]
    if kind == "series":
        h = x.reshape(len(x), -1)
        return [_some(h), _some(h[1:] - h[:-1])]
    return [_some(x.reshape(x.shape[0] * x.shape[1], -1))]


def _columns_seen(seen: Array) -> list[Array]:
    """Say of each value of these columns whether it was seen; of an increment, whether both ends were."""
    kind = kind_of(seen.shape)
    if kind != "series":
        return _columns(seen)
    s = seen.reshape(len(seen), -1)
    return [_some(s), _some(s[1:] * s[:-1])]


def _some(h: Any) -> Any:
    return h[:: -(-len(h) // POINTS)]


def quantiles(x: Float[np.ndarray, "m *x_shape"]) -> tuple[np.ndarray, np.ndarray] | None:
    """Choose where indicators stand: at K quantiles of each column, and their widths, .7 of the way between two.

        q_k = quantile of level expit(l_k),  l_k even from -log(n / 3) to log(n / 3),    w_k = .7 (q_k+1 - q_k-1) / 2

    n the number of values of which they are the quantiles. Where many are equal, w is a hundredth of the middle half.
    NaN is missing, and left out.

    Returns:
        Knots and widths, each (columns, K); None where there are more columns than indicators would do for.

    Example:
        >>> knots, widths = quantiles(np.arange(60.0)[:, None])
        >>> knots.shape, knots[0, ::6].round(1).tolist(), widths[0, ::6].round(1).tolist()
        ((1, 25), [2.8, 10.8, 29.5, 48.2, 56.2], [0.5, 1.5, 2.6, 1.5, 0.5])
    """
    rows = x[np.linspace(0, len(x) - 1, min(len(x), POOLED)).astype(int)]
    per_row = [part.shape for part in _columns(x[0])]
    count = min(LEVELS, INDICATORS // sum(columns for _, columns in per_row))
    if count < LEAST_LEVELS:
        return None
    columns = []
    for i, (points, width) in enumerate(per_row):
        some = rows[:: max(len(rows) * points // POOLED, 1)]
        columns += list(np.concatenate([_columns(row)[i] for row in some]).reshape(-1, width).T)
    end = np.log(np.clip(len(x), 6, POOLED) / 3)
    levels = special.expit(np.linspace(-end, end, count))
    columns = [column[~np.isnan(column)] for column in columns]
    columns = [column if len(column) else np.zeros(1) for column in columns]
    knots = np.stack([np.quantile(column, levels) for column in columns])
    middle = np.stack([np.subtract(*np.quantile(column, [0.75, 0.25])) for column in columns])
    least = np.where(middle > 0, 0.01 * middle, 0.01 * np.stack([np.ptp(column) for column in columns]))
    widths = np.maximum(0.7 * np.gradient(knots, axis=1), np.where(least > 0, least, 1.0)[:, None])
    return knots, widths


def _orthonormal(columns: Float[np.ndarray, "p k"]) -> Float[np.ndarray, "p r"]:
    """Find an orthonormal basis of the columns' span, leaving out what is rounding error."""
    left, size, _ = np.linalg.svd(columns, full_matrices=False)
    return left[:, size > 1e-5 * max(size[0], 1e-30)]


def make_features(
    x_obs: np.ndarray, c_obs: np.ndarray | None, zeta: Float[np.ndarray, "n d"], x: np.ndarray, custom: Any = None,
    like: np.ndarray | None = None, *, c: np.ndarray | None = None, gaps: Any = None, shares: np.ndarray | None = None,
) -> Features:  # fmt: skip
    """Choose features by the shape of x, from observations and from simulations x of u = loc + L zeta.

    Args:
        x_obs: observations, which give the units of x; NaN is missing.
        c_obs: their conditions, or None.
        zeta: where the simulations were.
        x: simulations.
        custom: the user's own statistic, or None.
        like: rows like the observations, at whose quantiles indicators stand; None: the simulations. The observations'
            own would be no random numbers there: each mean would be the level of its quantile.
        c: conditions of the simulations, where values may be missing.
        gaps: which these are (avo/gaps.py), or None.
        shares: weights of the observations, or None.
    """
    dtype = jnp.result_type(float)
    units = [*location_scale(x_obs, shares), *((None, None) if c_obs is None else location_scale(c_obs, shares))]
    values = x_obs[0].size + (0 if c_obs is None else c_obs[0].size) - (0 if gaps is None else gaps.columns)
    series = kind_of(x_obs.shape[1:]) == "series" and values > ALL_PRODUCTS
    channel_shift = channel_scale = basis = moved = None
    if series or x_obs[0].size > WIDEST:
        z = bend((x - units[0]) / units[1], FAR).reshape(len(x), -1)
        design = np.concatenate([np.ones((len(zeta), 1)), zeta, quadratic(zeta)], 1)
        moved = _orthonormal(np.linalg.lstsq(design.T @ design, design.T @ z, rcond=1e-12)[0][1:].T)
        if x_obs[0].size > WIDEST:
            some = z[:2000] - z[:2000].mean(0)
            basis = np.concatenate([moved, np.linalg.svd(some, full_matrices=False)[2][:COMPONENTS].T], 1)
    if series:
        channel_shift, channel_scale = (a[0] for a in location_scale(x_obs.reshape(*x_obs.shape[:2], -1), shares))
    known = x if gaps is None else gaps.bare(x, c)
    knots, widths = quantiles(known if like is None else like) or (None, None)
    arrays: Any = (*units, channel_shift, channel_scale, basis, moved if series else None, knots, widths)
    made: Any = [None if a is None else jnp.asarray(a, dtype) for a in arrays]
    if gaps is None:
        return Features(*made, custom=custom)
    mean = covariance = None
    if values <= ALL_PRODUCTS and c is not None:
        z = bend((x - units[0]) / units[1], FAR).reshape(len(x), -1)
        known = ((c - units[2]) / units[3])[:, : gaps.own]
        there = np.concatenate([np.ones(known.shape), ~gaps.mask(c).reshape(z.shape)], 1)
        law = lacking.law_of(np.concatenate([known, z], 1), there, zeta)
        mean, covariance = (jnp.asarray(a, dtype) for a in law)
    gaps = jax.tree.map(jnp.asarray, gaps)
    return Features(*made, custom=custom, gaps=gaps, mean=mean, covariance=covariance)
