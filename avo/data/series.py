"""Cutting series into windows: of any series, and of prices."""

import numpy as np
from jaxtyping import ArrayLike, Float

from avo.checks import whole
from avo.containers import plain


def windows(series: ArrayLike, length: int, step: int | None = None) -> np.ndarray:
    """Cut a series into windows of equal length; what is left at the end is dropped.

    The series is taken as evenly sampled and without gaps: split it at joins and gaps first.

    Args:
        series: the series, with shape (points,) or (points, *channels).
        length: points of a window.
        step: points from the start of one window to the start of the next; None: `length`, no overlap. Overlapping
            windows are not independent observations, and errors computed from them are too small.

    Returns:
        The windows, with shape (n, length, *channels).

    Raises:
        ValueError: if `length` or `step` is below 1, or the series is shorter than one window.

    Example:
        >>> windows(np.arange(7), 3)
        array([[0, 1, 2],
               [3, 4, 5]])
        >>> windows(np.arange(7), 3, step=2)
        array([[0, 1, 2],
               [2, 3, 4],
               [4, 5, 6]])
    """
    series = np.asarray(plain("series", series))
    step = length if step is None else step
    length, step = whole("length", length), whole("step", step)
    if series.ndim == 0 or len(series) < length:
        raise ValueError(
            f"series must have at least length={length} points; got shape {series.shape}. Use shorter windows."
        )
    starts = np.arange(0, len(series) - length + 1, step)
    return series[starts[:, None] + np.arange(length)]


def log_price_windows(price: ArrayLike, length: int) -> Float[np.ndarray, "n length"]:
    """Cut a price series into paths of log price relative to their start: x_t = log(price_t / price_0), t = 1..length.

    This is the shape of `avo.simulators.brownian`: a path starts at 0 and its start is not returned. The last price of
    a window is the start of the next, so that the windows share no increment and none is lost between them.

    Args:
        price: prices at even times, with shape (points,).
        length: increments of a window.

    Returns:
        The paths, with shape ((points - 1) // length, length).

    Raises:
        ValueError: if a price is not a positive number, or there are fewer than `length` + 1 of them.

    Example:
        >>> log_price_windows(np.exp([0.0, 0.5, 0.25, 1.25, 2.25]), 2)
        array([[0.5 , 0.25],
               [1.  , 2.  ]])
    """
    price, length = np.asarray(plain("price", price), dtype=float), whole("length", length)
    if price.ndim != 1 or len(price) <= length:
        raise ValueError(
            f"price must be one series of at least length + 1 = {length + 1} prices; got shape {price.shape}. "
            "Choose one column, or shorter windows."
        )
    bad = np.flatnonzero(~(np.isfinite(price) & (price > 0)))
    if bad.size:
        raise ValueError(
            f"price must be positive numbers; price[{bad[0]}] is {price[bad[0]]:g}. Remove or fill such rows."
        )
    paths = windows(np.log(price), length + 1, step=length)
    return paths[:, 1:] - paths[:, :1]


def log_return_windows(price: ArrayLike, length: int) -> Float[np.ndarray, "n length"]:
    """Cut a price series into windows of log returns: x_t = log(price_t / price_(t-1)), t = 1..length.

    The increments of `log_price_windows`: the same windows, which share none and lose none.

    Args:
        price: prices at even times, with shape (points,).
        length: returns of a window.

    Returns:
        The returns, with shape ((points - 1) // length, length).

    Raises:
        ValueError: if a price is not a positive number, or there are fewer than `length` + 1 of them.

    Example:
        >>> log_return_windows(np.exp([0.0, 0.5, 0.25, 1.25, 2.25]), 2)
        array([[ 0.5 , -0.25],
               [ 1.  ,  1.  ]])
    """
    return np.diff(log_price_windows(price, length), axis=1, prepend=0.0)


def scales(paths: Float[ArrayLike, "m points"]) -> dict[str, float]:
    """Compute three closed-form scales of the increments of paths that start at 0, equal for Brownian motion.

    Args:
        paths: with shape (m, points), without their start.

    Returns:
        "sd", the standard deviation of all increments; "window", the median of the paths' own standard deviations;
        "iqr", the inter-quartile range over that of N(0, 1).

    Example:
        >>> paths = np.cumsum([[1.0, -1.0, 1.0, -1.0], [2.0, -2.0, 2.0, -2.0]], axis=1)
        >>> {name: round(value, 4) for name, value in scales(paths).items()}
        {'sd': 1.5811, 'window': 1.5, 'iqr': 1.8533}
    """
    increments = np.diff(np.asarray(plain("paths", paths), dtype=float), axis=1, prepend=0.0)
    low, high = np.percentile(increments, [25, 75])
    return {
        "sd": float(increments.std()),
        "window": float(np.median(increments.std(axis=1))),
        "iqr": float((high - low) / 1.348980),
    }
