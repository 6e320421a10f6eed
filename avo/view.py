"""How x is shown to the critic: in units of the observations, and what is far from all of them bent.

    z = f((x - shift) / scale),    f(z) = z within 5 of zero,    sign(z) 5 (1 + log(|z| / 5)) beyond

Shift and scale are those of x_obs, so that observations are of order one. Simulations need not be: where the observed
epidemics are all but over, one that is not lies far beyond anything observed, and a critic whose slope is bounded would
tell such distances and nothing nearer. f is strictly increasing, so that nothing is lost, and leaves nearly all
observations as they are. Known conditions stand beside z, as a flat pair (c, z).
"""

import math
from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from avo.types import Data, Frame

FAR = 5.0  # observed standard deviations


def bend(z: Any, far: Any = FAR) -> Any:
    """Bend what is far: f(z) = z where |z| <= far, else sign(z) far (1 + log(|z| / far)), continuous with its slope.

    Args:
        z: values in units of the observations, any shape, of NumPy or JAX.
        far: where bending begins, above zero; infinite: nowhere.

    Example:
        >>> bend(np.array([-1.5, 5.0, 5.0 * np.e])).tolist()
        [-1.5, 5.0, 10.0]
    """
    xp = z.__array_namespace__()
    return xp.clip(z, -far, far) * (1 + xp.log(xp.maximum(xp.abs(z) / far, 1)))


def standardize(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Compute the location and scale of observations: per column for vectors, per channel (last axis) for series.

    Args:
        x: with shape (m,), (m, p) for vectors, (m, ..., channels) for series and images, pooled over all axes between.

    Returns:
        shift and scale, each with shape x.shape[1:]; a zero scale is replaced by 1.

    Example:
        >>> shift, scale = standardize(np.array([[1.0, 5.0], [3.0, 5.0]]))
        >>> shift.tolist(), scale.tolist()
        ([2.0, 5.0], [1.0, 1.0])
    """
    axes = tuple(range(x.ndim - 1)) if x.ndim > 2 else 0
    shift, scale = x.mean(axes), x.std(axes)
    flat = scale <= 4 * jnp.finfo(jnp.result_type(float)).eps * np.abs(shift)  # rounding error of a constant column
    scale = np.where(flat, 1.0, scale)
    return np.broadcast_to(shift, x.shape[1:]), np.broadcast_to(scale, x.shape[1:])


def frame(x_obs: np.ndarray, inputs: np.ndarray | None, units: bool = True) -> Frame:
    """Take the critic's view from the observations; without units x is shown as it is."""
    x = np.asarray(x_obs, dtype=np.float64)
    shift, scale = standardize(x) if units else (np.zeros(x.shape[1:]), np.ones(x.shape[1:]))
    c_shift, c_scale = (None, None) if inputs is None else standardize(np.asarray(inputs, dtype=np.float64))
    return Frame(shift, scale, c_shift, c_scale, np.array(FAR if units else np.inf))


def show(seen: Frame, x: np.ndarray, inputs: np.ndarray | None = None) -> np.ndarray:
    """Show x, (n, *x_shape), to the critic: z, and with conditions the flat pair (c, z)."""
    z = bend((np.asarray(x, np.float64) - seen.shift) / seen.scale, seen.far)
    if inputs is None or seen.c_shift is None or seen.c_scale is None:
        return z
    c = (np.asarray(inputs, np.float64) - seen.c_shift) / seen.c_scale
    return np.concatenate([c.reshape(len(c), -1), z.reshape(len(z), -1)], axis=1)


def view(data: Data, x: Array, rows: Array) -> Array:
    """Show simulations to the critic beside the conditions of the given rows: `show`, compiled."""
    z = bend((x - data.shift[None]) / data.scale[None], data.far)
    if data.inputs is None:
        return z
    size = data.z.shape[1] - math.prod(x.shape[1:])
    return jnp.concatenate([data.z[rows, :size], z.reshape(z.shape[0], -1)], axis=1)
