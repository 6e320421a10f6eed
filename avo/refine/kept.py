"""What a run keeps of its simulations near the answer, and of the observations: small enough for the result's file.

A fit makes its last simulations at the estimate and around it. Some of them stay in the result,

    u             where each was made;
    x             each as a view: at most 120 numbers of it, a vector's columns, points of a series, means over the
                  blocks of an image;
    t             its learned scores (avo/refine/scores.py), what the fit itself looks at,

so that whoever holds the result can draw simulated beside observed data, fit an emulator of x, or ask what another
theta would look like, without the simulator. They are calls that were made, counted and used: no further ones.

Of the observations stay some rows, seen the same way, and of all of them the moments. What is chosen is in
avo/refine/keeping.py.
"""

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float

from avo.containers import Axis
from avo.observations import kind_of, patch, planes

NUMBERS_OF_X = 120  # of one x, at most
SIDE = 10  # blocks along either side of an image, at most
CHANNELS = 4  # of a series, at most
LEVELS = (0.05, 0.25, 0.5, 0.75, 0.95)  # of the observations' quantiles


class View(NamedTuple):
    """How x is shown by few numbers: its kind, and the places or blocks along each axis that are kept.

    Args:
        kind: "vector", "series" or "image".
        shape: of the view; (k,) of a vector, (points,) or (points, channels) of a series, (rows, columns) of an image.
        places: of each axis of the view, the places along x's own axis; of an image the first place of each block.
        whole: whether nothing of x is left out.
        pixels: numbers of rows and columns of an image; () of others.
    """

    kind: str
    shape: tuple[int, ...]
    places: tuple[tuple[int, ...], ...]
    whole: bool
    pixels: tuple[int, ...] = ()

    def __call__(self, x: Float[np.ndarray, "n *x_shape"]) -> Float[np.ndarray, "n k"]:
        """Show rows of x, with shape (n, *x_shape), as (n, k).

        NaN, which is missing, stays NaN; a block of an image is the mean of what is there of it.
        """
        n = len(x)
        if self.kind == "image":
            images, (rows, columns) = planes(x), self.places
            there = ~np.isnan(images)

            def sums(a: np.ndarray) -> np.ndarray:
                return np.add.reduceat(np.add.reduceat(a.sum(-1), rows, axis=1), columns, axis=2)

            counts = sums(there.astype(float))
            means = sums(np.where(there, images, 0.0)) / np.maximum(counts, 1.0)
            return np.where(counts > 0, means, np.nan).reshape(n, -1)
        if self.kind == "series":
            channels = x.reshape(n, x.shape[1], -1)
            points, *others = self.places
            last = list(others[0]) if others else [0]
            return channels[:, list(points)][:, :, last].reshape(n, -1)
        return x.reshape(n, -1)[:, list(self.places[0])]

    def axes(self, axes: Sequence[Axis]) -> tuple[Axis, ...]:
        """Thin the axes of x to what the view shows; () where they are not those of x."""
        if len(axes) != len(self.places):
            return ()
        ends = list(zip(axes, self.places, strict=True))
        if self.kind == "image":  # a block lies at the mean of its pixels
            cut = [np.split(np.asarray(axis.values, float), first[1:]) for axis, first in ends]
            values = [np.array([part.mean() for part in parts]) for parts in cut]
            return tuple(Axis(axis.name, axis.unit, at) for axis, at in zip(axes, values, strict=True))
        return tuple(
            Axis(
                axis.name,
                axis.unit,
                np.asarray(axis.values)[list(at)],
                tuple(axis.labels[i] for i in at if axis.labels),
            )
            for axis, at in ends
        )

    @property
    def blocks(self) -> tuple[list[tuple[int, int]], list[tuple[int, int]]]:
        """The first and the last row of pixels of each block of an image, and the same of columns."""
        rows, columns = (
            [(a, b - 1) for a, b in pairwise((*firsts, size))]
            for firsts, size in zip(self.places, self.pixels, strict=True)
        )
        return rows, columns

    def names(self, axes: Sequence[Axis]) -> list[str]:
        """Name the numbers that are kept, by the axes of x, else by their places.

        Example:
            >>> view_of((3,)).names(()), view_of((1000, 12)).names(())[3:5]
            (['x[0]', 'x[1]', 'x[2]'], ['channel 11: point 0', 'channel 0: point 34'])
            >>> view_of((28, 28)).names(())[-2:]
            ['rows 25-27, columns 22-24', 'rows 25-27, columns 25-27']
        """
        thin = self.axes(axes)
        if self.kind == "vector":
            own = thin[0].entries if len(thin) == 1 else ()
            return list(own) or (["x"] if self.shape == (1,) else [f"x[{i}]" for i in self.places[0]])
        if self.kind == "image":
            if len(thin) == 2 and all(axis.entries for axis in thin):
                return [f"{row}, {column}" for row in thin[0].entries for column in thin[1].entries]
            return [patch(row, column) for row in self.blocks[0] for column in self.blocks[1]]
        at = list(thin[0].entries) if thin else []
        at = at or [f"point {i}" for i in self.places[0]]
        return [f"{channel}: {point}" for point in at for channel in self.channels(axes)] if self.places[1:] else at

    def channels(self, axes: Sequence[Axis]) -> list[str]:
        """Name the channels of a series that has some."""
        thin = self.axes(axes)
        own = list(thin[1].entries) if len(thin) > 1 else []
        return own or [f"channel {i}" for i in self.places[1]]


def view_of(x_shape: tuple[int, ...]) -> View:
    """Choose what is kept of observations of a shape.

    Example:
        >>> view_of(()).shape, view_of((5,)).shape, view_of((1000, 12)).shape, view_of((28, 28, 3)).shape
        ((1,), (5,), (30, 4), (10, 10))
        >>> view_of((4, 4))(np.arange(32.0).reshape(2, 4, 4)).shape  # no more than 32 numbers are a vector
        (2, 16)
    """
    kind = kind_of(x_shape)
    if kind == "image":
        sizes = planes(np.zeros((1, *x_shape))).shape[1:3]
        blocks = tuple(tuple(np.arange(min(size, SIDE)) * size // min(size, SIDE)) for size in sizes)
        return View(kind, tuple(map(len, blocks)), _plain(blocks), False, sizes)
    if kind == "series":
        channels = evenly(math.prod(x_shape[1:]), CHANNELS)
        points = evenly(x_shape[0], NUMBERS_OF_X // len(channels))
        places = (points, channels) if len(x_shape) > 1 else (points,)
    else:
        places = (evenly(math.prod(x_shape), NUMBERS_OF_X),)
    shape = tuple(map(len, places))
    return View(kind, shape, _plain(places), math.prod(shape) == math.prod(x_shape))


def evenly(size: int, most: int) -> Any:
    """Choose at most so many of `size` places, from the first to the last.

    Example:
        >>> evenly(9, 4).tolist(), evenly(3, 4).tolist()
        ([0, 3, 5, 8], [0, 1, 2])
    """
    return np.linspace(0, size - 1, min(size, most)).round().astype(int)


def _plain(places: Any) -> tuple[tuple[int, ...], ...]:
    return tuple(tuple(int(i) for i in along) for along in places)


class Kept(NamedTuple):
    """Rows near the answer, and what the observations look like beside them, in float32 where that holds them.

    Where observations may lack values, what is missing is NaN in `x` and `observed`, and takes no part in `quantiles`
    and `moments`. A simulation lacks what some row of the observations lacks.

    Args:
        u: where simulations were made; the first `there` of them at the estimate, of a population from the fitted one,
            the others around it.
        x: the simulations, as `view_of` shows them.
        t: their learned scores.
        there: how many rows lie at the estimate.
        observed: rows of the observations, evenly chosen, seen the same way.
        encoded: of a population, E[theta | x] of these rows; else None.
        quantiles: of all observations, at `LEVELS`.
        moments: of all observations: mean and its standard error, variance and its standard error, of each number of x;
            by clusters, where the fit had some.
        scores: mean of the observations' learned scores, and its standard error.
        rows: number of the observations.
        inputs: known conditions of the simulations, seen the same way; None where the simulator gets none.
        observed_inputs: those of the rows in `observed`.
        shares: weights of the rows in `observed`, which sum to one; None: equal ones.

    Files of versions that kept neither conditions nor weights have None for them.
    """

    u: Float[np.ndarray, "n d"]
    x: Float[np.ndarray, "n k"]
    t: Float[np.ndarray, "n p"]
    there: int
    observed: Float[np.ndarray, "r k"]
    encoded: Float[np.ndarray, "r d"] | None
    quantiles: Float[np.ndarray, "levels k"]
    moments: Float[np.ndarray, "4 k"]
    scores: Float[np.ndarray, "2 p"]
    rows: int
    inputs: Float[np.ndarray, "n c"] | None = None
    observed_inputs: Float[np.ndarray, "r c"] | None = None
    shares: Float[np.ndarray, " r"] | None = None

    def to_arrays(self) -> dict[str, Any]:
        """Name all arrays, for a file."""
        return {f"kept.{name}": np.asarray(a) for name, a in self._asdict().items() if a is not None}

    @staticmethod
    def from_arrays(arrays: dict[str, np.ndarray]) -> "Kept | None":
        """Read what `to_arrays` gave; None where a file has nothing of it."""
        if "kept.x" not in arrays:
            return None
        found: Any = {name: arrays.get(f"kept.{name}") for name in Kept._fields}
        return Kept(**found | {name: int(found[name]) for name in ("there", "rows")})
