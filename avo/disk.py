"""Observations larger than memory: an array on disk, looked at block by block.

    a pass over all rows    are they finite numbers, the hash of the data, and a random sample of 20,000 rows
    the sample              serves all that learns: units, search, critic, learned scores, p
    all rows                the mean of t over the observations and its covariance, from sums over blocks,

        tbar = t_0 + d,    d = sum (t_i - t_0) / m,    V = [sum (t_i - t_0) (t_i - t_0)^T - m d d^T] / (m (m - 1)),

with t_0 that of one row, so that no digits are lost. Memory depends neither on m nor on the steps; what is learned from
20,000 observations is good enough, and the estimate and its error rest on all of them.
"""

import hashlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float

from avo.execution.failures import FARTHEST

SAMPLE = 20_000  # rows in memory; fewer observations are read whole
BLOCK = 2**18  # values of a block, 2 MB in double precision
PACKAGES = ("h5py", "zarr")


def opened(name: str, value: Any) -> Any:
    """Open what lies on disk: the path of a `.npy` file; anything else stays what it is.

    Raises:
        ValueError: if a path does not name a file of NumPy's.
    """
    if not isinstance(value, (str, Path)):
        return value
    if not str(value).endswith(".npy"):
        raise ValueError(
            f"{name} must be an array, or the path of a .npy file; got {str(value)!r}. Read others by avo.data.read."
        )
    try:
        return np.load(value, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError) as error:
        raise ValueError(f"{name}: {value} cannot be read as an array of NumPy ({error}).") from error


def is_large(value: Any) -> bool:
    """Say whether an array lies on disk and has more than `SAMPLE` rows.

    Example:
        >>> is_large(np.zeros((30_000, 2)))
        False
    """
    on_disk = isinstance(value, np.memmap) or type(value).__module__.split(".")[0] in PACKAGES
    return on_disk and len(getattr(value, "shape", ())) > 0 and value.shape[0] > SAMPLE


class Moments(NamedTuple):
    """The mean of t over all rows, and its covariance, of independent rows and of clusters."""

    mean: Float[np.ndarray, " k"]
    V: Float[np.ndarray, "k k"]
    V_obs: Float[np.ndarray, "k k"]


class Pages:
    """An array on disk, in blocks of rows.

    Args:
        name: what messages call it.
        array: with `shape`, `dtype` and slices of rows.
        seed: of the sample.

    Raises:
        ValueError: if it does not hold finite real numbers, or some are too far from zero.

    Example:
        >>> pages = Pages("x_obs", np.arange(50_000.0)[:, None])
        >>> len(pages), pages.sample.shape, pages.moments(lambda x: x**2).mean.tolist() == [49_999 * 99_999 / 6]
        (50000, (20000, 1), True)
    """

    def __init__(self, name: str, array: Any, seed: int = 0) -> None:
        if np.dtype(array.dtype).kind not in "biuf":
            raise ValueError(f"{name} must hold real numbers; got dtype {array.dtype}.")
        self.array = array
        self.clusters: np.ndarray | None = None  # the number of each row's
        self.rows = np.sort(np.random.default_rng(seed).choice(len(self), SAMPLE, replace=False))
        found, taken, first = hashlib.sha256(), [], 0
        for block in self.blocks():
            if not (finite := np.isfinite(block.reshape(len(block), -1)).all(1)).all():
                row = first + int((~finite).argmax())
                raise ValueError(f"{name} must hold finite numbers; row {row} does not. Remove or fill such rows.")
            if (far := np.abs(block.reshape(len(block), -1)).max(1) > FARTHEST).any():
                row = first + int(far.argmax())
                raise ValueError(f"{name} must lie within {FARTHEST:g} of zero; row {row} does not. Change the unit.")
            found.update(block.tobytes())
            own = self.rows[np.searchsorted(self.rows, first) : np.searchsorted(self.rows, first + len(block))]
            taken.append(block[own - first])
            first += len(block)
        self.hash, self.sample = found, np.concatenate(taken)

    def __len__(self) -> int:
        return self.array.shape[0]

    def blocks(self) -> Iterator[np.ndarray]:
        """Read rows in turn, in double precision."""
        size = max(BLOCK // max(int(np.prod(self.array.shape[1:])), 1), 1)
        for first in range(0, len(self), size):
            yield np.ascontiguousarray(self.array[first : first + size], np.float64)

    def digest(self) -> str:
        """Name the data by the hash that they would have in memory."""
        found = self.hash.copy()
        if self.clusters is not None:
            found.update(np.ascontiguousarray(self.clusters).tobytes())
        return found.hexdigest()

    def moments(self, statistic: Callable[[np.ndarray], np.ndarray]) -> Moments:
        """Compute mean and covariance of t, (n, k) for rows x (n, *x_shape), over all rows."""
        m, start, first = len(self), statistic(self.sample[:1])[0], 0
        k = len(start)
        total, square = np.zeros(k), np.zeros((k, k))
        sums = None if self.clusters is None else np.zeros((int(self.clusters.max()) + 1, k))
        counts = None if self.clusters is None else np.bincount(self.clusters)
        for block in self.blocks():
            t = statistic(block) - start
            total += t.sum(0)
            square += t.T @ t
            if sums is not None and self.clusters is not None:
                np.add.at(sums, self.clusters[first : first + len(t)], t)
            first += len(t)
        way = total / m
        V = (square - m * np.outer(way, way)) / (m * (m - 1))
        if sums is None or counts is None:
            return Moments(start + way, V, V)
        rest = sums - counts[:, None] * way
        return Moments(start + way, V, rest.T @ rest / m**2 * len(rest) / (len(rest) - 1))
