"""Few sizes of arrays, so that few programs are compiled: numbers of rows are powers of four, the rest padding."""

from collections.abc import Callable
from typing import Any

import numpy as np

LEAST = 4**4


def power_of_four(n: int, least: int = LEAST) -> int:
    """Compute the least power of four, times `least`, that holds n.

    Example:
        >>> power_of_four(3), power_of_four(1025), power_of_four(5, least=1)
        (256, 4096, 16)
    """
    while least < n:
        least *= 4
    return least


def padded(rows: np.ndarray, n: int, fill: Any = 0) -> np.ndarray:
    """Add rows of a number until there are n.

    Example:
        >>> padded(np.array([[1, 2]]), 2).tolist()
        [[1, 2], [0, 0]]
    """
    return np.concatenate([rows, np.full((n - len(rows), *rows.shape[1:]), fill, rows.dtype)])


def by_rows(fn: Callable[[Any], Any], rows: Any) -> np.ndarray:
    """Apply a function in JAX, outside of compiled programs, that takes each row by itself.

    Example:
        >>> by_rows(lambda rows: rows.sum(1), np.array([[1.0, 2.0], [3.0, 5.0]])).tolist()
        [3.0, 8.0]
    """
    rows = np.asarray(rows)
    more = np.repeat(rows[:1], power_of_four(len(rows)) - len(rows), axis=0)  # where fn is defined as it is elsewhere
    return np.asarray(fn(np.concatenate([rows, more])))[: len(rows)]
