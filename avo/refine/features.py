"""What the regression of t sees of x: values, and averages of products that are known to matter, by the shape of x."""

from typing import Any

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from avo.observations import ALL_PRODUCTS, kind_of, location_scale

WIDEST = 512  # values beyond which x is shown by its principal components and by what u moves
COMPONENTS = 256
BLOCKS = 6  # along each side of an image, of which all products are shown
LAGS = (1, 2, 4)
SEGMENTS = 4
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
    A statistic of the user's own joins them, or stands alone, with all its products where there are up to 32 values.

    Args:
        shift, scale: location and scale of x_obs, as the critic sees it; likewise of the conditions.
        channel_shift, channel_scale: location and scale of each channel of a series, else None.
        basis: columns onto which long x are projected, else None.
        moved: orthonormal directions in which u moves a series on average, else None.
        custom: the user's own statistic (avo/refine/custom.py), else None.
    """

    shift: Array
    scale: Array
    c_shift: Array | None
    c_scale: Array | None
    channel_shift: Array | None
    channel_scale: Array | None
    basis: Array | None
    moved: Array | None
    custom: Any = None

    def flat(self, x: Array, c: Array | None) -> Array:
        """Standardise values and condition."""
        z = jnp.ravel((x - self.shift) / self.scale)
        z = z if self.basis is None else z @ self.basis
        if c is None or self.c_shift is None or self.c_scale is None:
            return z
        return jnp.concatenate([jnp.ravel((c - self.c_shift) / self.c_scale), z])

    def __call__(self, x: Float[Array, "*x_shape"], c: Array | None = None) -> Float[Array, " k"]:
        if self.custom is None:
            return self._chosen(x, c)
        z = self.custom(x, c)
        parts = [z, _products(z)] if z.size <= ALL_PRODUCTS else [z]
        return jnp.concatenate(parts if self.custom.alone else [self._chosen(x, c), *parts])

    def _chosen(self, x: Array, c: Array | None) -> Float[Array, " k"]:
        flat = self.flat(x, c)
        parts = [flat]
        if flat.size <= ALL_PRODUCTS:
            parts.append(_products(flat))
        elif kind_of(x.shape) == "image":
            parts.append(_block_products((x - self.shift) / self.scale))
        if self.channel_shift is not None:
            parts += self._series(x)
        return jnp.concatenate([jnp.ravel(part) for part in parts])

    def kinds(self, k: int) -> Int[np.ndarray, " k"]:
        """Tell the kind of each of k features.

        0 for values, 1 for products of values, 2 for moments of a series; 3 and 4 for the user's statistic, and its
        products.
        """
        values = self.shift.size if self.basis is None else self.basis.shape[1]
        values += 0 if self.c_shift is None else self.c_shift.size
        products = _pairs(values)
        if self.custom is None:
            return np.repeat([0, 1, 2], [values, products, k - values - products])
        own = self.custom.shift.size
        if self.custom.alone:
            return np.repeat([0, 1], [own, _pairs(own)])
        chosen = k - own - _pairs(own)
        return np.repeat([0, 1, 2, 3, 4], [values, products, chosen - values - products, own, _pairs(own)])

    def _series(self, x: Array) -> list[Array]:
        assert self.moved is not None and self.channel_shift is not None and self.channel_scale is not None
        h = (x.reshape(x.shape[0], -1) - self.channel_shift[None]) / self.channel_scale[None]
        d = jnp.diff(h, axis=0)
        a = jnp.abs(d)
        z = jnp.ravel((x - self.shift) / self.scale)
        r = (z - self.moved @ (self.moved.T @ z)).reshape(h.shape)
        powers = [_mean(a), _mean(a**3), _mean(a**4), _mean(jnp.sqrt(a + 1e-12))]
        residual = [_mean(r * r), _mean(r[1:] * r[:-1]), _mean(r[2:] * r[:-2])]
        return [*_moments(h), *_moments(d), *powers, *residual, h[0] ** 2, h[-1] ** 2]


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


def _orthonormal(columns: Float[np.ndarray, "p k"]) -> Float[np.ndarray, "p r"]:
    """Find an orthonormal basis of the columns' span, leaving out what is rounding error."""
    left, size, _ = np.linalg.svd(columns, full_matrices=False)
    return left[:, size > 1e-5 * max(size[0], 1e-30)]


def make_features(
    x_obs: np.ndarray, c_obs: np.ndarray | None, zeta: Float[np.ndarray, "n d"], x: np.ndarray, custom: Any = None
) -> Features:
    """Choose features by the shape of x, from observations and from simulations x of u = loc + L zeta.

    Args:
        x_obs: observations, which give the units of x.
        c_obs: their conditions, or None.
        zeta: where the simulations were.
        x: simulations.
        custom: the user's own statistic, or None.
    """
    dtype = jnp.result_type(float)
    units = [*location_scale(x_obs), *((None, None) if c_obs is None else location_scale(c_obs))]
    values = x_obs[0].size + (0 if c_obs is None else c_obs[0].size)
    series = kind_of(x_obs.shape[1:]) == "series" and values > ALL_PRODUCTS
    channel_shift = channel_scale = basis = moved = None
    if series or x_obs[0].size > WIDEST:
        z = ((x - units[0]) / units[1]).reshape(len(x), -1)
        design = np.concatenate([np.ones((len(zeta), 1)), zeta, quadratic(zeta)], 1)
        moved = _orthonormal(np.linalg.lstsq(design.T @ design, design.T @ z, rcond=1e-12)[0][1:].T)
        if x_obs[0].size > WIDEST:
            some = z[:2000] - z[:2000].mean(0)
            basis = np.concatenate([moved, np.linalg.svd(some, full_matrices=False)[2][:COMPONENTS].T], 1)
    if series:
        channels = x_obs.reshape(*x_obs.shape[:2], -1)
        channel_shift, channel_scale = channels.mean((0, 1)), np.maximum(channels.std((0, 1)), 1e-12)
    arrays: Any = (*units, channel_shift, channel_scale, basis, moved if series else None)
    made: Any = [None if a is None else jnp.asarray(a, dtype) for a in arrays]
    return Features(*made, custom=custom)
