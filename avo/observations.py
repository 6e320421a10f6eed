"""What was observed: its validation, what kind of thing it is, its clusters, its units, and how the critic sees it.

x is shown to the critic in units of the observations, and what is far from all of them bent,

    z = f((x - shift) / scale),    f(z) = z within 5 of zero,    sign(z) 5 (1 + log(|z| / 5)) beyond

Shift and scale are those of x_obs, so that observations are of order one. Simulations need not be: where the observed
epidemics are all but over, one that is not lies far beyond anything observed, and a critic whose slope is bounded would
tell such distances and nothing nearer. f is strictly increasing, so that nothing is lost, and leaves nearly all
observations as they are. Known conditions stand beside z, as a flat pair (c, z).
"""

import math
from typing import Any, Literal, NamedTuple, cast, get_args

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float
from scipy import special

from avo.alerts import warn
from avo.checks import came, one_of, shaped
from avo.containers import Held, axes_of, padded, plain, refuse_namesakes, words_of
from avo.disk import SAMPLE, Pages
from avo.execution.failures import FARTHEST
from avo.folder import digest
from avo.space import Space, check_space
from avo.types import Data, Frame
from avo.weights import effective_of, mean_of, moments_of, quantiles_of, weights_of_values

Kind = Literal["vector", "series", "image"]

POINTS = 16  # from which an axis counts as time
CHANNELS = 16  # of a series, at most
COLOURS = 4  # channels of an image, at most
ALL_PRODUCTS = 32  # values up to which x shows all its products to the regression of scores
HEAVY = 3.0  # standard deviation of x_obs in units of that of its middle half, above which the middle gives the units
FAR = 5.0  # observed standard deviations, beyond which x is bent


class Observed(NamedTuple):
    """Observations as a fit holds them.

    Args:
        x: with shape (m, *x_shape); what is missing is filled.
        inputs: their conditions as critic and statistic see them, or None; where values are missing, the mask stands
            behind those that the simulator gets (avo/gaps.py).
        clusters: the cluster of each, 0 .. g - 1, or None.
        shares: weights that sum to one, all above zero; None: equal ones.
        gaps: which values may be missing, an `avo.gaps.Gaps`; None: none is.
        pages: all observations, where they are larger than memory and the others a random sample (avo/disk.py).
    """

    x: np.ndarray
    inputs: np.ndarray | None = None
    clusters: np.ndarray | None = None
    shares: np.ndarray | None = None
    gaps: Any = None
    pages: Pages | None = None

    @property
    def count(self) -> int:
        """Number of observations, m."""
        return len(self.x) if self.pages is None else len(self.pages)

    @property
    def effective(self) -> float:
        """Number of observations; of weighted ones, of equal ones that say as much."""
        return self.count if self.shares is None else effective_of(self.shares)

    @property
    def freedom(self) -> float:
        """Number of independent observations, or of clusters, less one; of weighted ones the effective number."""
        if self.shares is not None:
            rows = self.shares if self.clusters is None else np.bincount(self.clusters, self.shares)
            return effective_of(rows) - 1
        clusters = self.clusters if self.pages is None else self.pages.clusters
        return (self.count if clusters is None else int(clusters.max()) + 1) - 1

    @property
    def sample(self) -> "Observed":
        """The observations that are in memory."""
        return self._replace(pages=None)

    @property
    def digest(self) -> str:
        """Name the data by the hash of their bytes."""
        return digest(*self[:4]) if self.pages is None else self.pages.digest()

    @property
    def bare(self) -> np.ndarray:
        """The observations with NaN for what is missing."""
        return self.x if self.gaps is None else self.gaps.bare(self.x, self.inputs)

    def mean(self, t: Float[np.ndarray, "m *k"]) -> Float[np.ndarray, "*k"]:
        """Average over the observations, by their weights."""
        return mean_of(t, self.shares)


def kind_of(x_shape: tuple[int, ...], tag: str | None = None) -> Kind:
    """Decide what kind of thing one observation is: a vector, a series in time, or an image.

    The critic, the learned scores, `avo.check` and the plots ask here. By the shape,

        series    (T,) or (T, C) with T >= 16 and C <= 16
        image     any other of two axes or more with more than 32 values
        vector    whatever is left

    A long row of numbers is nearly always a record in time; averages over time need points enough, and the products of
    more channels would be too many features to regress on. What has both axes long, or the first one short, such as
    (32, 32) or (12, 40), is an image: neighbours matter along either axis. At most 32 values show all their products,
    so that no order among them needs to be known.

    Args:
        x_shape: shape of one observation.
        tag: what a problem says of itself, "scalar", "vector", "series" or "image", where the caller has a problem: the
            shape cannot tell ten days of an epidemic from ten numbers. None: the shape decides.

    Raises:
        ValueError: if the tag is another word.

    Example:
        >>> kind_of((5,)), kind_of((64,)), kind_of((1000, 12)), kind_of((32, 32)), kind_of((28, 28, 1))
        ('vector', 'series', 'series', 'image', 'image')
        >>> kind_of((10,), "series")
        'series'
    """
    if tag is not None:
        one_of("kind", tag, ("scalar", *get_args(Kind)), ", or None")
        return "vector" if tag == "scalar" else cast(Kind, tag)
    if 1 <= len(x_shape) <= 2 and x_shape[0] >= POINTS and math.prod(x_shape[1:]) <= CHANNELS:
        return "series"
    if len(x_shape) >= 2 and math.prod(x_shape) > ALL_PRODUCTS:
        return "image"
    return "vector"


def validate_observations(
    x_obs: Held, name: str = "x_obs", least: int = 2, *, missing: bool = False, advice: str = ""
) -> Float[np.ndarray, "m *x_shape"]:
    """Check observations once, before a fit.

    Args:
        x_obs: the observations, with shape (m, *x_shape): an array, a list, a DataFrame or Series, a DataArray, a
            tensor (`avo.containers.plain`).
        name: what messages call them.
        least: how many there must be; of inputs, or to encode, one will do.
        missing: whether NaN, and what is masked, are missing values, and a list may hold rows of unequal length, which
            lack their ends.
        advice: what else to do where values are missing, for the message.

    Returns:
        The observations as float64, same shape; NaN where values are missing.

    Raises:
        ValueError: if they are not finite numbers of one shape, some are masked, they are fewer than `least`, or two
            of their columns have the same name.

    Example:
        >>> validate_observations([[1, 2], [3, 4], [5, 6]]).dtype
        dtype('float64')
        >>> validate_observations([[1.0, 2.0], [3.0, float("nan")]])
        Traceback (most recent call last):
            ...
        ValueError: x_obs must hold finite numbers; x_obs[1, 1] is nan (row 1, column 1; 1 of 2 rows affected). Remove
        or fill such rows.
    """
    held = plain(name, x_obs, missing, advice)
    refuse_namesakes(name, x_obs)
    try:
        x = np.asarray(held)
    except ValueError as error:
        x = padded(held) if missing else None
        if x is None:
            raise ValueError(
                f"{name} must be an array with one observation per row; got rows of different shapes. "
                f"Make them equally long{advice}."
            ) from error
    if x.dtype.kind not in "biuf" and x.ndim == 0:
        raise ValueError(f"{name} must be an array of real numbers, one row for each observation; got {came(x_obs)}.")
    if x.dtype.kind not in "biuf":
        raise ValueError(
            f"{name} must be an array of real numbers; got dtype {x.dtype}. Convert it, or leave out columns that hold "
            "anything else."
        )
    if x.ndim == 0:
        raise ValueError(f"{name} must be an array with one observation per row; got the single number {x}.")
    if x.size == 0:
        raise ValueError(f"{name} must hold observations, one per row; got an empty array of shape {x.shape}.")
    if len(x) < least:
        raise ValueError(
            f"{name} must hold at least {least} observations, one per row; got {len(x)} (shape {x.shape}). Cut a "
            "recording into windows (avo.data.windows), or use a posterior method for a single observation."
        )
    finite = np.isfinite(x) | (missing & np.isnan(x))
    if not finite.all():
        at, told = _first_of(name, x, ~finite, x_obs)
        more = advice if np.isnan(x[at]) else ""
        raise ValueError(f"{name} must hold finite numbers; {told}. Remove or fill such rows{more}.")
    return x.astype(np.float64)


def _first_of(name: str, x: np.ndarray, wrong: np.ndarray, held: Held) -> tuple[tuple[int, ...], str]:
    """Find the first wrong number of x, and say where it stands, by the name of its column, and in how many rows."""
    row, *rest = at = tuple(np.argwhere(wrong)[0].tolist())
    names = axes_of(held)[0].labels if len(rest) == 1 and axes_of(held) else ()
    place = names[rest[0]] if names else rest[0] if len(rest) == 1 else tuple(rest)
    column = f", column {place}" if rest else ""
    rows = int(np.sum(wrong.reshape(len(x), -1).any(axis=1)))
    told = f"{name}[{', '.join(map(str, at))}] is {x[at]} (row {row}{column}; {rows} of {len(x)} rows affected)"
    return at, told


def refuse_far(name: str, x: Float[np.ndarray, "m *x_shape"], held: Held, most: float = FARTHEST) -> None:
    """Refuse numbers beyond what a fit computes with; NaN, where values may be missing, is none.

    Args:
        name: what messages call them.
        x: the numbers.
        held: what they came in, of which columns may have names.
        most: the largest; of x, beyond it a simulation counts as failed.

    Raises:
        ValueError: says where the first one stands.

    Example:
        >>> refuse_far("x_obs", np.array([[1.5, 2.0], [1e200, 3.0]]), None)
        Traceback (most recent call last):
            ...
        ValueError: x_obs must lie within 1e+30 of zero, farther than which avo does not compute; x_obs[1, 0] is 1e+200
        (row 1, column 0; 1 of 2 rows affected). Is it a word for a missing value? Leave such rows out, or change the
        unit.
    """
    far = np.abs(x) > most
    if far.any():
        raise ValueError(
            f"{name} must lie within {most:.3g} of zero, farther than which avo does not compute; "
            f"{_first_of(name, x, far, held)[1]}. Is it a word for a missing value? Leave such rows out, or change the "
            "unit."
        )


def validate_data(
    x_obs: Held, inputs: Held | None, space: Any, missing: bool = False, advice: str = ""
) -> tuple[np.ndarray, np.ndarray | None]:
    """Check what `fit` is given: observations and their conditions, as float64, and that they suit the space.

    Args:
        x_obs: the observations.
        inputs: their conditions, or None.
        space: the parameters.
        missing: whether values of x_obs may be missing.
        advice: what else to do where they are, for the message.

    Raises:
        ValueError: if they are no finite numbers, differ in number, or lie too far from zero to be computed with or
            resolved.
    """
    x = validate_observations(x_obs, missing=missing, advice="" if missing else advice)
    c = None if inputs is None else validate_observations(inputs, "inputs")
    if c is not None and len(c) != len(x):
        raise ValueError(
            f"inputs must have one row per observation: x_obs has {len(x)}, inputs {len(c)}. "
            f"Their shapes are {x.shape} and {c.shape}."
        )
    check_space(space)
    refuse_far("x_obs", x, x_obs)
    if c is not None and inputs is not None:
        refuse_far("inputs", c, inputs, float(jnp.finfo(jnp.result_type(float)).max))
    _check_precision(x, space)
    return x, c


def _check_precision(x: np.ndarray, space: Space) -> None:
    """Refuse ranges, and warn of data, of which floating-point numbers that far from zero resolve less than 1/1000."""
    dtype = jnp.result_type(float)
    eps = float(jnp.finfo(dtype).eps)
    for name, p in zip(space.names, space, strict=True):
        low, high = p.support
        far = [v for v in vars(p).values() if isinstance(v, (int, float)) and abs(v) > float(jnp.finfo(dtype).max)]
        if far:
            raise ValueError(
                f"space: {name} has {far[0]:g}, farther from zero than {dtype} numbers go; change the unit, or set "
                "jax.config.update('jax_enable_x64', True)."
            )
        if np.isfinite(high - low) and eps * max(abs(low), abs(high)) > 1e-3 * (high - low):
            raise ValueError(
                f"space: {name} in ({low}, {high}) is too narrow so far from zero for {dtype} numbers; let it count "
                "from an offset, or set jax.config.update('jax_enable_x64', True)."
            )
    if np.isnan(x).any():
        mean, sd = moments_of(*(a.reshape(len(x), -1) for a in (x, weights_of_values(x, None))))
        far = np.abs(mean)
    else:
        sd, far = x.std(0), np.abs(x.mean(0))
    if np.any((sd > 8 * np.finfo(float).eps * far) & (1e-3 * sd < eps * far)):
        warn(
            f"x_obs varies too little so far from zero for {dtype} numbers; subtract an offset from data and "
            "simulations, or set jax.config.update('jax_enable_x64', True).",
        )


def number_clusters(groups: Held, m: int) -> np.ndarray:
    """Number the groups of m observations, 0 .. g - 1, by their labels."""
    labels = shaped("groups", words_of("groups", groups), (m,), "one label for each observation")
    if any(label is None or label != label for label in labels.tolist()):
        raise ValueError("groups must have a label for each observation; some are None or NaN. Name or leave them out.")
    try:
        return np.unique(labels, return_inverse=True)[1]
    except TypeError as error:  # labels that have no order
        kinds = ", ".join(sorted({type(label).__name__ for label in labels.tolist()}))
        raise ValueError(f"groups must have labels of one kind; got {kinds}. Make them all strings, say.") from error


def validate_clusters(groups: Held | None, m: int, d: int) -> np.ndarray | None:
    """Number the clusters of m observations; None where there are none.

    Raises:
        ValueError: if they are too few for the errors of d parameters.
    """
    if groups is None:
        return None
    found, least = number_clusters(groups, m), max(8, d + 2)
    count = int(found.max()) + 1
    if count < least:
        raise ValueError(
            f"groups holds {count} different label{'s'[: count > 1]}, so that the observations are {count} "
            f"cluster{'s'[: count > 1]}, all in one of which may depend on one another; an error for {d} "
            f"parameter{'s'[: d > 1]} needs at least {least} clusters, better dozens. Leave groups out if the "
            "observations are independent."
        )
    return found


def sampled_from(pages: Pages, x: np.ndarray, groups: Held | None, d: int) -> Observed:
    """Put observations together of which x is a sample in memory."""
    pages.clusters = validate_clusters(groups, len(pages), d)
    clusters = None if pages.clusters is None else np.unique(pages.clusters[pages.rows], return_inverse=True)[1]
    return Observed(x, clusters=clusters, pages=pages)


def refuse_on_disk(**given: Any) -> None:
    """Refuse what is not done with more observations on disk than are kept in memory.

    Raises:
        ValueError: if it is asked for.
    """
    if named := [f"{name}=" for name, value in given.items() if value is not None]:
        raise ValueError(
            f"x_obs on disk, with more than {SAMPLE:,} rows, does not go together with {', '.join(named)}; load it, "
            "x_obs[:], or fit a part of its rows."
        )


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


def location_scale(x: np.ndarray, shares: Float[np.ndarray, " m"] | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Compute the location and scale of observations: per column of a vector, per channel of a series or image.

        mean and standard deviation;  median and 3 (q_.75 - q_.25) / 1.349  where that is narrower

    so that heavy tails, whose standard deviation is that of a few values, leave the others apart. An image's bright
    spots are what it shows: its units are mean and standard deviation.

    Args:
        x: with shape (m,), (m, p) for vectors, (m, ..., channels) for series and images, pooled over all axes between;
            an image of two axes, (m, height, width), has one channel. NaN is missing, and left out.
        shares: weights of the observations, which sum to one; None: equal ones.

    Returns:
        shift and scale, each with shape x.shape[1:]; a zero scale is replaced by 1.

    Example:
        >>> shift, scale = location_scale(np.array([[1.0, 5.0], [3.0, 5.0]]))
        >>> shift.tolist(), scale.tolist()
        ([2.0, 5.0], [1.0, 1.0])
        >>> [a.shape for a in location_scale(np.random.default_rng(0).normal(size=(9, 32, 32)))]
        [(32, 32), (32, 32)]
    """
    one_channel = x.ndim == 3 and kind_of(x.shape[1:]) == "image"
    axes = None if one_channel else tuple(range(x.ndim - 1)) if x.ndim > 2 else 0
    image = kind_of(x.shape[1:]) == "image"  # whose bright spots are what it shows
    levels, quarters = np.array([0.25, 0.5, 0.75]), None
    if shares is None and not np.isnan(x).any():
        shift, scale = x.mean(axes), x.std(axes)
        quarters = None if image else np.quantile(x, levels, axes)
    else:
        flat = (-1, 1) if x.ndim == 1 or one_channel else (-1, x.shape[-1])
        v, w = x.reshape(flat), weights_of_values(x, shares).reshape(flat)
        shift, scale = (a.reshape(() if x.ndim == 1 or one_channel else (-1,)) for a in moments_of(v, w))
        quarters = None if image else quantiles_of(v, w, levels).reshape(3, *shift.shape)
    if quarters is not None:
        low, middle, high = quarters
        widest = HEAVY * (high - low) / special.ndtri(0.75) / 2
        heavy = (widest > 0) & (scale > widest)
        shift, scale = np.where(heavy, middle, shift), np.where(heavy, widest, scale)
    flat = scale <= 4 * jnp.finfo(jnp.result_type(float)).eps * np.abs(shift)  # rounding error of a constant column
    scale = np.where(flat, 1.0, scale)
    return np.broadcast_to(shift, x.shape[1:]), np.broadcast_to(scale, x.shape[1:])


def patch(rows: tuple[int, int], columns: tuple[int, int]) -> str:
    """Name a patch of an image by the first and the last of its rows and columns of pixels.

    Example:
        >>> patch((0, 2), (25, 27)), patch((3, 3), (4, 5))
        ('rows 0-2, columns 25-27', 'row 3, columns 4-5')
    """
    words = (("row", *rows), ("column", *columns))
    return ", ".join(f"{word} {a}" if a == b else f"{word}s {a}-{b}" for word, a, b in words)


def planes(x: np.ndarray) -> np.ndarray:
    """Show images, with shape (n, *x_shape), as (n, rows, columns, channels); of a volume the mean over its first axis.

    The last axis of three or more counts channels where it has at most 4 entries.

    Example:
        >>> [planes(np.zeros((7, *shape))).shape for shape in ((9, 8), (9, 8, 3), (6, 9, 8), (6, 9, 8, 2))]
        [(7, 9, 8, 1), (7, 9, 8, 3), (7, 9, 8, 1), (7, 9, 8, 2)]
    """
    channels = x if x.ndim > 3 and x.shape[-1] <= COLOURS else x[..., None]
    while channels.ndim > 4:
        channels = channels.mean(1)
    return channels


def make_frame(
    x_obs: np.ndarray, inputs: np.ndarray | None, units: bool = True, shares: Float[np.ndarray, " m"] | None = None
) -> Frame:
    """Take the critic's view from the observations, in which NaN is missing; without units x is shown as it is."""
    x = np.asarray(x_obs, dtype=np.float64)
    shift, scale = location_scale(x, shares) if units else (np.zeros(x.shape[1:]), np.ones(x.shape[1:]))
    c_shift, c_scale = (None, None) if inputs is None else location_scale(np.asarray(inputs, dtype=np.float64), shares)
    return Frame(shift, scale, c_shift, c_scale, np.array(FAR if units else np.inf))


def show(seen: Frame, x: np.ndarray, inputs: np.ndarray | None = None) -> np.ndarray:
    """Show x, (n, *x_shape), to the critic: z, and with conditions the flat pair (c, z)."""
    z = bend((np.asarray(x, np.float64) - seen.shift) / seen.scale, seen.far)
    if inputs is None or seen.c_shift is None or seen.c_scale is None:
        return z
    c = (np.asarray(inputs, np.float64) - seen.c_shift) / seen.c_scale
    return np.concatenate([c.reshape(len(c), -1), z.reshape(len(z), -1)], axis=1)


def show_rows(data: Data, x: Array, rows: Array) -> Array:
    """Show simulations to the critic beside the conditions of the given rows: `show`, compiled."""
    z = bend((x - data.shift[None]) / data.scale[None], data.far)
    if data.inputs is None:
        return z
    size = data.z.shape[1] - math.prod(x.shape[1:])
    return jnp.concatenate([data.z[rows, :size], z.reshape(z.shape[0], -1)], axis=1)
