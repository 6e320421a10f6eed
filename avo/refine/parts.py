"""Parts of x, and what is seen of each: features of one part or of two, for avo/refine/sensitivity.py.

A part is a column of a vector, a window of a series, a patch of an image.
"""

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy import special

from avo.observations import ALL_PRODUCTS, bend, location_scale
from avo.refine.features import CLIP, FAR
from avo.refine.kept import Kept, View, view_of

if TYPE_CHECKING:
    from avo.result import Result

WINDOWS, FEWER, SIDE = 8, 4, 4  # of a series, of one with more than two channels, and patches along a side of an image
LEVELS, INDICATORS = 7, 100  # quantiles of a part at which indicators stand, at most, and indicators in all


def parts_of(result: "Result") -> tuple[tuple[str, ...], Int[np.ndarray, " k"]]:
    """Part what a result keeps of x: the parts' names, and to which part each number belongs."""
    view, axes = view_of(result.x_shape), view_of(result.x_shape).axes(result.axes)
    if view.kind == "vector" or (len(axes) == 1 and axes[0].labels):
        return tuple(view.names(result.axes)), np.arange(int(np.prod(view.shape)))
    if view.kind == "image":
        # The last pixel of a block is the one before the next block's first
        own = [np.arange(len(along)) * min(SIDE, len(along)) // len(along) for along in view.places]
        first = [
            [along[int(np.argmax(part == k))] for k in range(part.max() + 1)]
            for along, part in zip(view.places, own, strict=True)
        ]
        names = [f"from row {row}, column {column}" for row in first[0] for column in first[1]]
        return tuple(names), (own[0][:, None] * len(first[1]) + own[1]).ravel()
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
    """Features of rows: f of the simulations and of the observations, which are values, and which parts each sees."""

    f: Float[np.ndarray, "n q"]
    f_obs: Float[np.ndarray, "m q"]
    values: Bool[np.ndarray, " q"]
    sees: Bool[np.ndarray, "p q"]


def features_of(kept: Kept, own: Int[np.ndarray, " k"], shape: tuple[int, ...], kind: str) -> Seen:
    """Compute features of what is kept, in units of the simulations, each of one part, or of two.

    Values; all their products, or with more than 32 values the parts' mean squares, and products of the parts' means;
    of a series mean h^2, d^2, |d| and products with the past, d its increments; smooth indicators at quantiles.

    Args:
        kept: the rows.
        own: the part of each number.
        shape: of the view.
        kind: of x.
    """
    shift, scale = location_scale(np.asarray(kept.observed, float))
    x, x_obs = (bend((np.asarray(a, float) - shift) / scale, FAR) for a in (kept.x, kept.observed))
    count = int(own.max()) + 1
    mean = (own[:, None] == np.arange(count)) / np.bincount(own)
    found: list[tuple[np.ndarray, np.ndarray, list[tuple[int, ...]]]] = [(x, x_obs, [(int(i),) for i in own])]
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
    levels = min(LEVELS, INDICATORS // count)
    if levels >= 3:
        at = np.linspace(0, 1, levels + 2)[1:-1]
        for part in range(count):
            h = both[:, own == part]
            knots = np.quantile(h[: len(x)], at)
            width = np.maximum(np.gradient(knots), 1e-3 * max(float(np.ptp(knots)), 1e-12))
            add(special.expit(2 * (knots - h[:, :, None]) / width).mean(1), [(part,)] * levels)
    f, f_obs = (np.concatenate([a[k] for a in found], 1) for k in (0, 1))
    middle, size = f.mean(0), f.std(0)
    size = np.where(size > 1e-6 * (np.abs(middle) + 1e-30), size, 1.0)
    f, f_obs = (np.clip((a - middle) / size, -CLIP, CLIP) for a in (f, f_obs))
    seen = np.zeros((count, f.shape[1]), bool)
    for k, some in enumerate(some for _, _, sees in found for some in sees):
        seen[list(some), k] = True
    return Seen(f, f_obs, np.arange(f.shape[1]) < x.shape[1], seen)


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
