"""What anybody reads off a signal without a model: where it ends, how high it goes, how rough it is.

A latent that only repeats one of these says nothing that needs an autoencoder. Of a series, by channel,

    start, end, mean     its first and last value, and the mean over time
    lowest, highest      its extremes; `time of lowest`, `time of highest`: where they are
    spread               standard deviation over time
    roughness            root mean square of its steps

of an image, by channel, with weights w = x - min x, its total, its middle (row and column, means by w), its width (root
mean square distance from the middle, by w) and its highest pixel; of a vector its entries.
"""

from collections.abc import Sequence

import numpy as np
from jaxtyping import ArrayLike, Float

from avo.containers import Axis
from avo.observations import kind_of, planes, validate_observations


def simple_factors(x: ArrayLike, axes: Sequence[Axis] = ()) -> tuple[Float[np.ndarray, "n factors"], tuple[str, ...]]:
    """Read simple numbers off signals, against which latents are named where no parameters are known.

    Args:
        x: signals, with shape (n, *x_shape).
        axes: names of the axes of one signal; without them channels and entries are numbered.

    Returns:
        The numbers, and their names.

    Raises:
        ValueError: if x is not as described.

    Example:
        >>> t = np.linspace(0.0, 1.0, 16)
        >>> values, names = simple_factors([2.0 + t, -3.0 * t])
        >>> values[:, names.index("end")].tolist(), values[:, names.index("spread")].round(2).tolist()
        ([3.0, -3.0], [0.31, 0.92])
    """
    x = validate_observations(x, "x", least=1)
    x = x[:, None] if x.ndim == 1 else x
    kind = kind_of(x.shape[1:])
    if kind == "vector":
        entries = axes[0].entries if len(axes) == 1 else ()
        flat = x.reshape(len(x), -1)
        return flat, entries or tuple(f"x[{i}]" for i in range(flat.shape[1]))
    channels = planes(x) if kind == "image" else x.reshape(*x.shape[:2], -1)
    of_channel = _of_image if kind == "image" else _of_series
    count = channels.shape[-1]
    labels = axes[-1].entries if axes and len(axes) == x.ndim - 1 > 1 and len(axes[-1].entries) == count else ()
    found: list[np.ndarray] = []
    names: list[str] = []
    for c in range(count):
        label = "" if count == 1 else f"{labels[c] if labels else f'channel {c}'}: "
        for name, values in of_channel(channels[..., c]).items():
            found.append(values)
            names.append(label + name)
    return np.stack(found, axis=1), tuple(names)


def _of_series(x: Float[np.ndarray, "n points"]) -> dict[str, np.ndarray]:
    return {
        "start": x[:, 0],
        "end": x[:, -1],
        "mean": x.mean(1),
        "lowest": x.min(1),
        "highest": x.max(1),
        "time of lowest": x.argmin(1).astype(float),
        "time of highest": x.argmax(1).astype(float),
        "spread": x.std(1),
        "roughness": np.sqrt(np.mean(np.diff(x, axis=1) ** 2, axis=1)),
    }


def _of_image(x: Float[np.ndarray, "n rows columns"]) -> dict[str, np.ndarray]:
    weights = x - x.min((1, 2), keepdims=True)
    total = weights.sum((1, 2), keepdims=True)
    weights = np.where(total > 0, weights / np.where(total > 0, total, 1.0), 1.0 / x[0].size)
    row, column = np.arange(x.shape[1])[:, None], np.arange(x.shape[2])
    middle = (weights * row).sum((1, 2)), (weights * column).sum((1, 2))
    apart = (row - middle[0][:, None, None]) ** 2 + (column - middle[1][:, None, None]) ** 2
    return {
        "total": x.sum((1, 2)),
        "middle row": middle[0],
        "middle column": middle[1],
        "width": np.sqrt((weights * apart).sum((1, 2))),
        "highest pixel": x.max((1, 2)),
    }
