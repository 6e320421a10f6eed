"""A chunk of calls of a user's simulator, as it runs anywhere: here, in a thread, in a process, on another machine.

The numbers of a call are those of its own generator, whose seed comes with it: where it runs, beside what, and in how
large a chunk, changes nothing. Whatever a call does wrong is a failure of that call. Nothing here needs JAX, so that a
worker starts fast.
"""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from avo.checks import ArgumentError
from avo.execution.failures import FARTHEST, KINDS, CallFailed

if TYPE_CHECKING:  # it imports JAX
    from jaxtyping import ArrayLike, Float, UInt8, UInt32

LONGEST = 2000  # characters of what is kept of an error
FINE = len(KINDS)  # state of a row that did not fail; others are places in KINDS


class Chunk(NamedTuple):
    """Calls to make.

    Args:
        seeds: words of the seed of each call's generator.
        theta: of each call, (d,), or (size, d) where a call simulates a block of rows.
        inputs: known conditions of the same.
    """

    seeds: UInt32[np.ndarray, "calls words"]
    theta: np.ndarray
    inputs: np.ndarray | None

    @property
    def block(self) -> tuple[int, ...]:
        """Rows of theta that a call gets: () where it is one."""
        return self.theta.shape[1:-1]

    def part(self, chosen: slice | np.ndarray) -> Chunk:
        """Take some of the calls."""
        return Chunk(*(None if a is None else a[chosen] for a in self))  # pyright: ignore[reportArgumentType]


class Ran(NamedTuple):
    """What calls gave.

    Args:
        x: of each call, NaN in rows that failed.
        states: of each row of each call, `FINE` or a place in `KINDS`.
        words: what the calls that raised said, by their place in the chunk.
        seconds: that all calls took.
    """

    x: np.ndarray
    states: UInt8[np.ndarray, "calls rows"]
    words: dict[int, str]
    seconds: float

    @staticmethod
    def empty(chunk: Chunk, x_shape: tuple[int, ...]) -> Ran:
        """Make what the calls of a chunk are to fill."""
        n, (rows,) = len(chunk.seeds), chunk.block or (1,)
        return Ran(np.full((n, *chunk.block, *x_shape), np.nan), np.full((n, rows), FINE, np.uint8), {}, 0.0)

    def part(self, chosen: np.ndarray) -> Ran:
        """Take what some of the calls gave; the time is that of all."""
        words = {i: self.words[int(call)] for i, call in enumerate(chosen) if int(call) in self.words}
        return Ran(self.x[chosen], self.states[chosen], words, self.seconds)

    def failed(self, call: int, error: CallFailed) -> None:
        """Mark a call as failed."""
        self.states[call], self.words[call] = KINDS.index(error.kind), str(error)[:LONGEST]


def run(
    fn: Callable[..., ArrayLike],
    x_shape: tuple[int, ...],
    chunk: Chunk,
    begun: Callable[[int], Any] = lambda call: None,
) -> Ran:
    """Make the calls of a chunk; one that fails is marked, and the others go on.

    Args:
        fn: the user's function.
        x_shape: of one x. Rows of a block fail alone where they are not finite, together where the call raises.
        chunk: the calls.
        begun: told the place of each call before it is made.

    Raises:
        ArgumentError: if all calls would fail because of what the user handed over.

    Example:
        >>> def fn(rng, theta):
        ...     return 1 / (theta - 2.0)
        >>> chunk = Chunk(np.arange(3, dtype=np.uint32)[:, None], np.array([[1.0], [2.0], [4.0]]), None)
        >>> with np.errstate(divide="ignore"):
        ...     ran = run(fn, (1,), chunk)
        >>> ran.x.ravel().tolist(), [KINDS[state] for state in ran.states.ravel() if state != FINE]
        ([-1.0, nan, 0.5], ['non-finite'])
    """
    ran, start = Ran.empty(chunk, x_shape), time.perf_counter()
    shape = ran.x.shape[1:]
    for i, seed in enumerate(chunk.seeds):
        begun(i)
        given = (chunk.theta[i],) if chunk.inputs is None else (chunk.theta[i], chunk.inputs[i])
        try:
            x = call(fn, seed, *given)
            if x.shape != shape:
                words = f"{shape} for {shape[0]} rows of theta" if chunk.block else f"{shape} for each theta"
                raise CallFailed(
                    f"the simulator must return x shaped like a row of x_obs: expected {words}, got {x.shape}.",
                    "wrong shape",
                )
        except CallFailed as error:
            ran.failed(i, error)
            continue
        ran.x[i] = x  # a copy: the function may return one buffer each time
    _mask(ran)
    return ran._replace(seconds=time.perf_counter() - start)


def _mask(ran: Ran) -> None:
    """Mark the rows that are not finite, or out of scale."""
    rows = ran.x.reshape(*ran.states.shape, -1)
    with np.errstate(invalid="ignore"):
        silent = (ran.states == FINE) & ~(np.abs(rows) <= FARTHEST).all(-1)
    if silent.any():
        finite = np.isfinite(rows).all(-1)
        ran.states[silent & finite] = KINDS.index("out of scale")
        ran.states[silent & ~finite] = KINDS.index("non-finite")
        rows[silent] = np.nan


def call(
    fn: Callable[..., ArrayLike], seed: UInt32[np.ndarray, " words"], theta: Float[np.ndarray, "*rows d"],
    *inputs: np.ndarray,
) -> np.ndarray:  # fmt: skip
    """Call the user's function once.

    Raises:
        CallFailed: if it raised; says where in the user's file, at which theta, and by which seed to repeat it.
    """
    try:
        return real(fn(np.random.default_rng(seed), theta, *inputs))
    except (CallFailed, ArgumentError):  # which say all that there is to say
        raise
    except (Exception, SystemExit, GeneratorExit) as error:  # a script may end by sys.exit where it gives up
        place = traceback.extract_tb(error.__traceback__)[-1]
        where = f"theta = {theta.tolist()}"
        if theta.ndim > 1:
            where = f"a block of {len(theta)} rows, which fail together, the first at theta = {theta[0].tolist()},"
        raise CallFailed(
            f"the simulator failed at {where} with "
            f"{type(error).__name__}: {error} ({_file(place)}, line {place.lineno}). "
            f"To repeat the call: rng = numpy.random.default_rng({seed.tolist()})."
        ) from error


def _file(place: traceback.FrameSummary) -> str:
    """Name the user's file, or the function where a worker got it by value and knows no file."""
    return place.name if place.filename.startswith("<") else Path(place.filename).name


def real(x: ArrayLike) -> np.ndarray:
    """Make an array of real numbers of what a user's function returned; what is masked is NaN."""
    drawn = np.ma.filled(x.astype(float), np.nan) if isinstance(x, np.ma.MaskedArray) else np.asarray(x)
    if drawn.dtype.kind == "c":
        raise TypeError("x is complex, and must be real; return its parts side by side")
    return np.asarray(drawn, dtype=float)
