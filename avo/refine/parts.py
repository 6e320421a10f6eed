"""Parts of x, and what is seen of each: features of one part or of two, for avo/refine/sensitivity.py.

A part is a column of a vector, a window of a series, a patch of an image.
"""

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy import special

from avo.observations import ALL_PRODUCTS, bend, location_scale, patch
from avo.refine.equation import conditions
from avo.refine.features import CLIP, FAR
from avo.refine.kept import Kept, View, view_of

if TYPE_CHECKING:
    from avo.result import Result

WINDOWS, FEWER, SIDE = 8, 4, 4  # of a series, of one with more than two channels, and patches along a side of an image
LEVELS, INDICATORS = 7, 100  # quantiles of a part at which indicators stand, at most, and indicators in all
COLUMNS, TIMES, TILTS = 20, 320, 4  # of what is given of a row, products of it with values, and with u, at most


def parts_of(result: "Result") -> tuple[tuple[str, ...], Int[np.ndarray, " k"]]:
    """Part what a result keeps of x: the parts' names, and to which part each number belongs."""
    view, axes = view_of(result.x_shape), view_of(result.x_shape).axes(result.axes)
    if view.kind == "vector" or (len(axes) == 1 and axes[0].labels):
        return tuple(view.names(result.axes)), np.arange(int(np.prod(view.shape)))
    if view.kind == "image":
        own = [np.arange(len(along)) * min(SIDE, len(along)) // len(along) for along in view.blocks]
        ends = [
            [(along[np.flatnonzero(part == k)[0]][0], along[np.flatnonzero(part == k)[-1]][1]) for k in np.unique(part)]
            for along, part in zip(view.blocks, own, strict=True)
        ]
        names = [patch(rows, columns) for rows in ends[0] for columns in ends[1]]
        return tuple(names), (own[0][:, None] * len(ends[1]) + own[1]).ravel()
    points, channels = view.shape[0], view.shape[1] if len(view.shape) > 1 else 1
    windows = min(WINDOWS if channels <= 2 else FEWER, points)
    own = np.arange(points) * windows // points
    spans = [_span(view, axes, np.flatnonzero(own == k)) for k in range(windows)]
    labels = [""] if len(view.shape) == 1 else [f"{name}: " for name in view.channels(result.axes)]
    names = [label + span for span in spans for label in labels]
    return tuple(names), (own[:, None] * channels + np.arange(channels)).ravel()


def _span(view: View, axes: Any, some: Int[np.ndarray, " points"]) -> str:
    """Name a window by the first and the last point that is kept of it."""
    first, last = int(some[0]), int(some[-1])
    if not axes or not axes[0].entries:
        return f"points {view.places[0][first]} to {view.places[0][last]}"
    values, axis = np.asarray(axes[0].values), axes[0]
    words = [f"{a:.4g}" if isinstance(a, float) else str(a) for a in (values[first].item(), values[last].item())]
    return f"{axis.name} {words[0]} to {words[1]} {axis.unit}".strip()


class Seen(NamedTuple):
    """Features of rows: f of the simulations and of the observations, which are values, and which parts each sees.

    Where something is given of each row, `c` are some of its columns, uncorrelated, with mean zero; else None.
    """

    f: Float[np.ndarray, "n q"]
    f_obs: Float[np.ndarray, "m q"]
    values: Bool[np.ndarray, " q"]
    sees: Bool[np.ndarray, "p q"]
    c: Float[np.ndarray, "n k"] | None

    def tilts(self, zeta: Float[np.ndarray, "n d"]) -> Float[np.ndarray, "n p"] | None:
        """Make columns of zeta times c, by which slopes differ between rows: their mean slope is that without."""
        if self.c is None:
            return None
        return (zeta[:, :, None] * self.c[:, None, :]).reshape(len(zeta), -1)


class Given(NamedTuple):
    """What is given of each row, whatever part is left out: columns of its known conditions and of its mask.

    Args:
        g: of the simulations: at most 20 uncorrelated columns, their squares, products of up to 10, and smooth
            indicators at their quantiles.
        g_obs: of the observations, in the same units.
        columns: how many come before squares, products and indicators.
    """

    g: Float[np.ndarray, "n k"]
    g_obs: Float[np.ndarray, "m k"]
    columns: int

    @staticmethod
    def of(kept: Kept) -> "Given | None":
        """Find it; None where nothing is."""
        # The mask has one column for all values that are missing in the same rows
        mask = np.unique(np.isnan(np.concatenate([kept.x, kept.observed])), axis=1).astype(float)
        c, c_obs = np.split(mask, [len(kept.x)])
        if kept.inputs is not None and kept.observed_inputs is not None:
            c, c_obs = np.concatenate([kept.inputs, c], axis=1), np.concatenate([kept.observed_inputs, c_obs], axis=1)
        middle, size = c.mean(0), c.std(0)
        varies = size > 1e-6 * (np.abs(middle) + 1e-30)
        if not varies.any():
            return None
        c, c_obs = (((a - middle) / np.where(varies, size, 1.0))[:, varies] for a in (c, c_obs))
        _, sizes, axes = np.linalg.svd(c, full_matrices=False)
        axes = axes[sizes > 1e-6 * sizes[0]][:COLUMNS]
        c, c_obs = c @ axes.T, c_obs @ axes.T
        g, levels = np.concatenate([conditions(a, c) for a in (c, c_obs)]), min(LEVELS, INDICATORS // len(axes))
        if levels >= 3:
            both = np.concatenate([c, c_obs])
            g = np.concatenate([g, *(_indicators(h[:, None], len(c), levels) for h in both.T)], axis=1)
        return Given(g[: len(c)], g[len(c) :], len(axes))

    def cleared(
        self, f: Float[np.ndarray, "n q"], f_obs: Float[np.ndarray, "m q"]
    ) -> tuple[Float[np.ndarray, "n q"], Float[np.ndarray, "m q"]]:
        """Take out of simulations, and of observations, what a regression on g over simulations explains."""
        middle = self.g.mean(0)
        coefficients = np.linalg.lstsq(self.g - middle, f - f.mean(0), rcond=1e-9)[0]
        return f - (self.g - middle) @ coefficients, f_obs - (self.g_obs - middle) @ coefficients

    def times(self, both: Float[np.ndarray, "n_m k"]) -> tuple[Float[np.ndarray, "n_m q"], int]:
        """Multiply values, of simulations and then observations, by as many columns as `TIMES` allows; by how many."""
        count = min(self.g.shape[1], max(1, TIMES // both.shape[1]))
        g = np.concatenate([self.g, self.g_obs])[:, :count, None]
        return (g * both[:, None, :]).reshape(len(both), -1), count


def features_of(kept: Kept, own: Int[np.ndarray, " k"], shape: tuple[int, ...], kind: str) -> Seen:
    """Compute features of what is kept, in units of the simulations, each of one part, or of two.

    Values; all their products, or with more than 32 values the parts' mean squares, and products of the parts' means;
    of a series mean h^2, d^2, |d| and products with the past, d its increments; smooth indicators at quantiles.

    What is missing is filled by the location of its column. Where rows have known conditions, or a mask, values, and
    then all features, are less what these explain of them, and values times conditions are among the features: they say
    what depends on both, as x says of a slope times c.

    Args:
        kept: the rows.
        own: the part of each number.
        shape: of the view.
        kind: of x.
    """
    shift, scale = location_scale(np.asarray(kept.observed, float), kept.shares)
    x, x_obs = (bend(np.nan_to_num((np.asarray(a, float) - shift) / scale), FAR) for a in (kept.x, kept.observed))
    given = Given.of(kept)
    if given is not None:
        x, x_obs = given.cleared(x, x_obs)
        scale = np.maximum(x.std(0), 1e-9)
        x, x_obs = bend(x / scale, FAR), bend(x_obs / scale, FAR)
    count = int(own.max()) + 1
    mean = (own[:, None] == np.arange(count)) / np.bincount(own)
    each_value: list[tuple[int, ...]] = [(int(i),) for i in own]
    found: list[tuple[np.ndarray, np.ndarray, list[tuple[int, ...]]]] = [(x, x_obs, each_value)]
    both = np.concatenate([x, x_obs])
    each = [(i,) for i in range(count)]

    def add(f: np.ndarray, sees: list[tuple[int, ...]]) -> None:
        found.append((f[: len(x)], f[len(x) :], sees))

    if x.shape[1] <= ALL_PRODUCTS:
        i, j = np.triu_indices(x.shape[1])
        add(both[:, i] * both[:, j], [(int(own[a]), int(own[b])) for a, b in zip(i, j, strict=True)])
    else:
        add(both**2 @ mean, each)
        if count <= ALL_PRODUCTS:
            i, j = np.triu_indices(count)
            means = both @ mean
            add(means[:, i] * means[:, j], [(int(a), int(b)) for a, b in zip(i, j, strict=True)])
    if kind == "series" and count < x.shape[1]:
        add(*_moments(both.reshape(len(both), shape[0], -1), own.reshape(shape[0], -1)))
    if given is not None:
        products, count_of_c = given.times(both)
        add(products, each_value * count_of_c)
    levels = min(LEVELS, INDICATORS // count)
    if levels >= 3:
        for part in range(count):
            add(_indicators(both[:, own == part], len(x), levels), [(part,)] * levels)
    f, f_obs = (np.concatenate([a[k] for a in found], 1) for k in (0, 1))
    middle, size = f.mean(0), f.std(0)
    size = np.where(size > 1e-6 * (np.abs(middle) + 1e-30), size, 1.0)
    f, f_obs = (np.clip((a - middle) / size, -CLIP, CLIP) for a in (f, f_obs))
    if given is not None:
        f, f_obs = given.cleared(f, f_obs)
        size = f.std(0)
        size = np.where(size > 1e-6, size, 1.0)
        f, f_obs = f / size, f_obs / size
    seen = np.zeros((count, f.shape[1]), bool)
    for k, some in enumerate(some for _, _, sees in found for some in sees):
        seen[list(some), k] = True
    c = None if given is None else given.g[:, : min(given.columns, TILTS)]
    return Seen(f, f_obs, np.arange(f.shape[1]) < x.shape[1], seen, c)


def _indicators(h: Float[np.ndarray, "n k"], first: int, levels: int) -> Float[np.ndarray, "n levels"]:
    """Compute smooth indicators at quantiles of the first rows, on average over the values of each row."""
    knots = np.quantile(h[:first], np.linspace(0, 1, levels + 2)[1:-1])
    width = np.maximum(np.gradient(knots), 1e-3 * max(float(np.ptp(knots)), 1e-12))
    return special.expit(2 * (knots - h[:, :, None]) / width).mean(1)


def _moments(
    h: Float[np.ndarray, "n T C"], own: Int[np.ndarray, "T C"]
) -> tuple[Float[np.ndarray, "n q"], list[tuple[int, ...]]]:
    """Average products of a series and its increments over each window of each channel."""
    parts, sees = [], []
    for part in range(int(own.max()) + 1):
        t, c = np.nonzero(own == part)
        a = h[:, t, c[0]]
        d = np.diff(a, axis=1)
        terms = [a[:, 1:] * a[:, :-1], d**2, np.abs(d), d[:, 1:] * d[:, :-1]]
        terms = [term.mean(1) for term in terms if term.shape[1]]
        parts += terms
        sees += [(part,)] * len(terms)
    return np.stack(parts, 1), sees
