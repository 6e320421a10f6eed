"""What `avo.check` looks at in a sample: features with names, and the units in which they are computed.

A *summary* is a number per observation; a *feature* one per sample: mean and standard deviation of a summary over the
observations, its correlation with a known condition, or, of vectors and images, something of all columns or blocks
together. `avo.observations.kind_of` tells what x is: a vector is looked at by its columns, an image, as by the learned
scores, by the means of 6 x 6 blocks. All are computed in standardised units, where rounding is harmless, and given in
those of x.
"""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from avo.containers import Axis
from avo.observations import Kind, kind_of, patch
from avo.refine.features import BLOCKS, block_means

CHANNELS = 4  # of a series or image that are looked at, evenly chosen where there are more
COLUMNS = 30  # of a vector that are looked at, evenly chosen where there are more
PAIRS = 6  # columns up to which each pair's correlation is a feature of its own
PLACES = 8  # of a series, all channels together, at which its values are features
CURVE = 16  # of a series, all channels together, at which its values are shown to the classifier
INPUTS = 3  # columns of the inputs with which summaries are correlated
INCREMENT_LAGS = (1, 2, 5)


class Look(NamedTuple):
    """What of x is looked at; the shapes decide.

    Args:
        x_shape: of one observation.
        inputs: columns of the flat inputs.
        kind: what x is looked at as.
        chosen: the columns of a vector, or channels of a series or image, that are looked at.
        places: the points of the series at which its values are features.
        curve: the points at which they are shown to the classifier.
    """

    x_shape: tuple[int, ...]
    inputs: int
    kind: Kind
    chosen: tuple[int, ...]
    places: tuple[int, ...] = ()
    curve: tuple[int, ...] = ()


class Units(NamedTuple):
    """The units in which a sample is looked at, taken from reference simulations.

    Args:
        shift: location of x, shaped like one observation.
        scale: its scale, likewise.
        middle: location of the summaries.
        width: their scale.
        correlations: between the columns of a vector, or the blocks of an image.
        inputs_shift: location of the inputs.
        inputs_scale: their scale.
        gaps: which columns of a vector may be missing (avo/gaps.py), else None: what is missing has no weight. Of
            series and images it stands filled, in x_new as in the simulations.
    """

    shift: np.ndarray
    scale: np.ndarray
    middle: Array
    width: Array
    correlations: Array
    inputs_shift: Array
    inputs_scale: Array
    gaps: Any = None


def look_of(x_shape: tuple[int, ...], inputs: int = 0) -> Look:
    """Decide how observations of a shape are looked at.

    Example:
        >>> look_of((64,)).kind, look_of((28, 28, 1)).kind, len(names(look_of((28, 28, 1))))
        ('series', 'image', 76)
    """
    kind = kind_of(x_shape)
    if kind == "series":
        chosen = _even(math.prod(x_shape[1:]), CHANNELS)
        places = tuple(_last(x_shape[0], count // len(chosen)) for count in (PLACES, CURVE))
        return Look(x_shape, inputs, kind, chosen, *places)
    if kind == "image":
        return Look(x_shape, inputs, kind, _even(math.prod(x_shape[2:]), CHANNELS))
    return Look(x_shape, inputs, kind, _even(math.prod(x_shape), COLUMNS))


def _even(size: int, most: int) -> tuple[int, ...]:
    return tuple(np.linspace(0, size - 1, min(size, most)).round().astype(int).tolist())


def _last(points: int, count: int) -> tuple[int, ...]:
    """The last point of each of `count` equal parts: a path's start is often fixed, its end never."""
    return tuple((np.arange(1, count + 1) * points // count - 1).tolist())


def _value_lags(points: int) -> tuple[int, ...]:
    return 1, points // 8, points // 4


# Autocorrelations, by what comes after the word; then the other summaries of a series, by their unit
def _series_names(points: int) -> list[tuple[str, str]]:
    sizes = ["net change", "sd within an observation", "sd of increments"]
    lags = [f"values, lag {lag}" for lag in _value_lags(points)]
    lags += [f"{what}, lag {lag}" for what in ("increments", "|increments|") for lag in INCREMENT_LAGS]
    numbers = [*(f"autocorrelation of {words}" for words in lags), "skewness of increments", "kurtosis of increments"]
    return [("level", "value"), *((name, "size") for name in sizes), *((name, "number") for name in numbers)]


def _summary_names(look: Look, axes: Sequence[Axis] = ()) -> list[tuple[str, str, int]]:
    """Name, unit ("value", "size" or "number") and column of the flat x, whose units it has, of each summary."""
    # What names the last axis names columns and channels; a series of one channel has none to name
    own = axes[-1].entries if len(axes) == len(look.x_shape) > 0 else ()
    if look.kind == "vector":
        return [(_column(look.x_shape, i, own), "value", i) for i in look.chosen]
    spatial = 2 if look.kind == "image" else 1
    channels = math.prod(look.x_shape[spatial:])
    own = own if len(look.x_shape) == spatial + 1 else ()
    prefix = {c: f"{own[c] if own else f'channel {c}'}: " if channels > 1 else "" for c in look.chosen}
    if look.kind == "image":
        sides = [np.array_split(np.arange(size), min(BLOCKS, size)) for size in look.x_shape[:2]]
        rows, columns = ([(int(part[0]), int(part[-1])) for part in side] for side in sides)
        blocks = [patch(row, column) for row in rows for column in columns]
        return [(prefix[c] + block, "value", c) for block in blocks for c in look.chosen]
    along = axes[0].entries if len(axes) == len(look.x_shape) else ()
    at = [along[i] if along else f"point {i}" for i in look.places]
    names = [*_series_names(look.x_shape[0]), *((f"value at {place}", "value") for place in at)]
    return [(prefix[c] + name, unit, c) for c in look.chosen for name, unit in names]


def _column(x_shape: tuple[int, ...], i: int, own: Sequence[str]) -> str:
    if own and len(x_shape) == 1:
        return own[i]
    if math.prod(x_shape) == 1:
        return "x"
    at = [int(k) for k in np.unravel_index(i, x_shape)]
    return f"column {i}" if len(at) == 1 else f"entry ({', '.join(map(str, at))})"


def names(look: Look, axes: Sequence[Axis] = (), inputs: Sequence[Axis] = ()) -> list[str]:
    """Name the features; columns and channels by the axes of x, known conditions by their own, where these have names.

    Example:
        >>> names(look_of((2,)))  # doctest: +NORMALIZE_WHITESPACE
        ['column 0, mean', 'column 1, mean', 'column 0, sd', 'column 1, sd', 'skewness, mean over columns',
        'kurtosis, mean over columns', 'correlation of column 0 and column 1']
        >>> names(look_of((2,)), (Axis("column", "", np.arange(2), ("angle", "rate")),))[:2]
        ['angle, mean', 'rate, mean']
        >>> names(look_of((40,)), (Axis("day", "d", np.arange(1, 41)),))[15]
        'value at day 5 d, mean'
    """
    own = [name for name, _, _ in _summary_names(look, axes)]
    conditions = inputs[0].entries if len(inputs) == 1 else ()
    found = [f"{name}, {what}" for what in ("mean", "sd") for name in own]
    for j in range(min(look.inputs, INPUTS)):
        condition = conditions[j] if conditions else f"input {j}"
        found += [f"{name}, correlation with {condition}" for name in own]
    if look.kind == "series":
        return found
    parts = "blocks" if look.kind == "image" else "columns"
    found += [f"{what}, mean over {parts}" if len(own) > 1 else what for what in ("skewness", "kurtosis")]
    if len(own) <= PAIRS:
        pairs = np.triu_indices(len(own), 1)
        return found + [f"correlation of {own[i]} and {own[j]}" for i, j in zip(*pairs, strict=True)]
    return [*found, f"correlation of {parts}, mean over pairs", f"correlation of {parts}, distance from expected"]


def in_units_of_x(look: Look, units: Units) -> tuple[np.ndarray, np.ndarray]:
    """Say what takes the features from standardised units to those of x: features * factor + offset."""
    own = _summary_names(look)
    shift, scale = (np.ravel(a) for a in (units.shift, units.scale))
    factor = np.array([1.0 if unit == "number" else scale[i] for _, unit, i in own])
    offset = np.array([shift[i] if unit == "value" else 0.0 for _, unit, i in own])
    rest = len(names(look)) - 2 * len(own)
    return np.concatenate([factor, factor, np.ones(rest)]), np.concatenate([offset, np.zeros(len(own) + rest)])


def positive(look: Look) -> np.ndarray:
    """Say which features are standard deviations, kurtoses or distances: above zero, and judged by their logarithm.

    In few rows they are skewed, which their logarithms are not.

    Example:
        >>> [name for name, above in zip(names(look_of(())), positive(look_of(())), strict=True) if above]
        ['x, sd', 'kurtosis']
    """
    words = (", sd", "distance from expected")
    above = [name.endswith(words) or name.split(": ")[-1].startswith("kurtosis") for name in names(look)]
    # A kurtosis may be correlated with a condition, and of either sign
    return np.array([a and ", correlation with" not in name for a, name in zip(above, names(look), strict=True)])


def _autocorrelations(y: Float[Array, "m t"], lags: Sequence[int]) -> list[Float[Array, " m"]]:
    """Compute sum_t y_t y_(t + lag) / sum_t y_t^2 of each row, its mean removed; 0 where a row is constant."""
    mean = y.mean(1, keepdims=True)
    deviation = y - mean
    power = jnp.sum(deviation**2, axis=1)
    flat = power <= y.shape[1] * (8 * jnp.finfo(y.dtype).eps * jnp.abs(mean[:, 0])) ** 2
    power = jnp.where(flat, jnp.inf, power)
    return [jnp.sum(deviation[:, lag:] * deviation[:, :-lag], axis=1) / power for lag in lags]


def _moments(y: Float[Array, "m t"], axis: int, weight: Array | float) -> tuple[Array, Array, Array]:
    """Compute standard deviation, skewness and kurtosis (0 and 3 of a normal) along an axis."""
    mean = jnp.sum(weight * y, axis=axis, keepdims=True)
    deviation = y - mean
    variance, third, fourth = (jnp.sum(weight * deviation**k, axis=axis) for k in (2, 3, 4))
    flat = variance <= (8 * jnp.finfo(y.dtype).eps * jnp.squeeze(mean, axis)) ** 2
    safe = jnp.where(flat, jnp.inf, variance)
    return jnp.sqrt(variance), third / safe**1.5, jnp.where(flat, 0.0, fourth / safe / safe)


def _of_series(y: Float[Array, "m t"]) -> Float[Array, "m summaries"]:
    increments = jnp.diff(y, axis=1)
    sd, skewness, kurtosis = _moments(increments, 1, 1 / increments.shape[1])
    columns = [y.mean(1), y[:, -1] - y[:, 0], y.std(1), sd, *_autocorrelations(y, _value_lags(y.shape[1]))]
    columns += [a for part in (increments, jnp.abs(increments)) for a in _autocorrelations(part, INCREMENT_LAGS)]
    return jnp.stack([*columns, skewness, kurtosis], axis=1)


def summaries(look: Look, z: Float[Array, "m *x_shape"]) -> Float[Array, "m summaries"]:
    """Compute the summaries of each row of standardised x."""
    if look.kind == "vector":
        return z.reshape(len(z), -1)[:, jnp.array(look.chosen)]
    if look.kind == "image":
        channels = z.reshape(*z.shape[:3], -1)[..., jnp.array(look.chosen)]
        return jax.vmap(block_means)(channels).reshape(len(z), -1)
    z = z.reshape(len(z), z.shape[1], -1)
    each = [jnp.concatenate([_of_series(z[:, :, c]), z[:, jnp.array(look.places), c]], axis=1) for c in look.chosen]
    return jnp.concatenate(each, axis=1)


def sample_features(
    look: Look,
    units: Units,
    s: Float[Array, "m summaries"],
    c: Float[Array, "m inputs"] | None,
    ok: Bool[Array, " m"],
) -> Float[Array, " features"]:
    """Compute the features of a sample from its summaries, in standardised units and the order of `names`."""
    weight = own = (ok / ok.sum())[:, None].astype(s.dtype)
    if units.gaps is not None:
        there = ok[:, None] & ~jnp.isnan(s)
        s, own = jnp.where(there, s, 0.0), (there / jnp.maximum(there.sum(0), 1)[None]).astype(s.dtype)
    mean = jnp.sum(own * s, axis=0)
    sd, skewness, kurtosis = _moments(s, 0, own)
    found = [mean, sd]
    if c is not None:
        d = c[:, :INPUTS] - jnp.sum(weight * c[:, :INPUTS], axis=0)[None]
        sd_c = jnp.sqrt(jnp.sum(weight * d**2, axis=0))
        together = (weight * d).T @ (s - mean[None]) if own is weight else d.T @ (own * (s - mean[None]))
        safe, safe_c = (jnp.where(a == 0, jnp.inf, a) for a in (sd, sd_c))
        found.append((together / safe_c[:, None] / safe[None]).ravel())
    if look.kind == "series":
        return jnp.concatenate(found)
    found.append(jnp.stack([skewness.mean(), kurtosis.mean()]))
    upper = correlations(s, weight) if own is weight else _correlations_of_pairs(s, own > 0)
    if s.shape[1] > PAIRS:
        upper = jnp.stack([upper.mean(), jnp.sqrt(jnp.mean((upper - units.correlations) ** 2))])
    return jnp.concatenate([*found, upper])


def _correlations_of_pairs(s: Float[Array, "m columns"], there: Bool[Array, "m columns"]) -> Float[Array, " pairs"]:
    """Compute the same from the rows in which both columns are there."""
    count = there.astype(s.dtype)
    deviation = count * (s - (jnp.sum(count * s, axis=0) / jnp.maximum(count.sum(0), 1))[None])
    covariance = deviation.T @ deviation / jnp.maximum(count.T @ count, 1)
    sd = jnp.sqrt(jnp.diagonal(covariance))
    sd = jnp.where(sd == 0, jnp.inf, sd)
    return (covariance / sd[:, None] / sd[None])[np.triu_indices(len(sd), 1)]


def correlations(s: Float[Array, "m columns"], weight: Float[Array, "m 1"]) -> Float[Array, " pairs"]:
    """Compute the correlation of each pair of columns, 0 where one of them is constant."""
    deviation = s - jnp.sum(weight * s, axis=0)[None]
    covariance = deviation.T @ (weight * deviation)
    sd = jnp.sqrt(jnp.diagonal(covariance))
    sd = jnp.where(sd == 0, jnp.inf, sd)
    return (covariance / sd[:, None] / sd[None])[np.triu_indices(len(sd), 1)]
