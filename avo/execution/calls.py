"""Calls of a simulator outside JAX, numbered in the order in which a fit asks for them.

The number of a call decides all that concerns it, its seed among it; when and where it is made decides nothing. A call
that fails is a row of NaN, counted; more failures than the user allows end the run.
"""

from collections.abc import Callable
from typing import Any

import jax
import numpy as np
from jaxtyping import Array, PRNGKeyArray

from avo.execution.chunks import FINE, Chunk, Ran
from avo.execution.executors import Pieces, place
from avo.execution.failures import KINDS, CallFailed, Failures, Where, where
from avo.execution.host import HostSimulator
from avo.execution.store import Store

CHANCE = 3.5  # standard deviations of a share of failures that count as chance


class Calls:
    """A simulator's calls, in blocks of rows with one key each; failed rows are NaN, counted and remembered.

    Args:
        simulate: the user's function.
        size: rows of a block.
        x_shape: shape of one x.
        executor: where calls are made: None: here; a number of processes, or an executor.
        max_failures: share of failed calls beyond which the run ends; 1: none.

    Example:
        >>> from avo.execution.host import from_numpy
        >>> calls = Calls(from_numpy(lambda rng, theta: np.sqrt(theta - 1)), 2, (1,))
        >>> keys = jax.random.split(jax.random.key(0), 1)
        >>> with np.errstate(invalid="ignore"):
        ...     calls(keys, np.array([[5.0], [0.0]])).ravel().tolist(), dict(calls.failures)
        ([2.0, nan], {'non-finite': 1})
    """

    def __init__(
        self,
        simulate: HostSimulator,
        size: int,
        x_shape: tuple[int, ...],
        *,
        executor: Any = None,
        max_failures: float = 1.0,
    ) -> None:
        self.simulate, self.size, self.max_failures = simulate, size, max_failures
        self.shape = (size, *x_shape) if simulate.batched else tuple(x_shape)
        self.place = place(executor, simulate, self.shape)
        self.tick: Callable[[int], Any] = lambda rows: None
        self.made, self.failures = 0, Failures()
        self.store: Store | None = None
        self._theta: list[np.ndarray] = []
        self._failed: list[np.ndarray] = []

    def __call__(self, keys: PRNGKeyArray, theta: Any, inputs: Array | np.ndarray | None = None) -> np.ndarray:
        """Simulate blocks, one key each.

        Raises:
            CallFailed: where more calls fail than the user allows.
        """
        rows = np.asarray(theta, float)
        calls = self._chunk(keys, rows, None if inputs is None else np.asarray(inputs))
        n, each = len(calls.seeds), self.rows
        ran, done, settled = Ran.empty(n, self.shape, self.simulate.batched), np.zeros(n, bool), 0
        for at, piece in self._pieces(calls):
            ran.x[at], ran.states[at], done[at] = piece.x, piece.states, True
            ran.words.update({int(at[i]): words for i, words in piece.words.items()})
            self.tick(each * len(at))
            # In the order of calls: what is judged, and when, depends on nothing else
            until = n if done.all() else int(done.argmin())
            if until > settled:
                self._settle(rows[each * settled : each * until], ran, slice(settled, until))
                settled = until
        return ran.x.reshape(len(rows), *self.shape[1 if self.simulate.batched else 0 :])

    def skip(self, rows: int) -> None:
        """Pass over rows whose calls were made and used before the run was stopped; their failures count.

        Raises:
            ValueError: if the store does not have them all.
        """
        assert self.store is not None
        until = self.made + rows
        for first, chunk, ran in self.store.between(self.made, until):
            if first != self.made:
                break
            self._settle(chunk.theta.reshape(-1, chunk.theta.shape[-1]), ran, slice(0, len(ran.x)))
        if self.made != until:
            raise ValueError(f"{self.store.path} lacks calls {self.made} to {until}; delete its folder to start anew.")

    @property
    def rows(self) -> int:
        """Rows that one call of the function makes."""
        return self.size if self.simulate.batched else 1

    def _pieces(self, calls: Chunk) -> Pieces:
        """Give the calls that the store has, then make the others, each of which it keeps before it is counted."""
        if self.store is None:
            yield from self.place.pieces(calls)
            return
        n, base = len(calls.seeds), self.made
        left = np.ones(n, bool)
        for first, chunk, ran in self.store.between(base, base + n * self.rows):
            at = (first - base) // self.rows + np.arange(len(ran.x))
            if at[0] < 0 or at[-1] >= n or not np.array_equal(chunk.seeds, calls.seeds[at]):
                raise ValueError(f"{self.store.path} holds other calls than this run makes; delete its folder.")
            left[at] = False
            yield at, ran
        rest = np.flatnonzero(left)
        for at, ran in self.place.pieces(calls.part(rest)):
            at = rest[at]
            for part in np.split(np.arange(len(at)), np.flatnonzero(np.diff(at) != 1) + 1):
                self.store.add(base + int(at[part[0]]) * self.rows, calls.part(at[part]), ran.part(part))
            yield at, ran

    def _chunk(self, keys: PRNGKeyArray, theta: np.ndarray, inputs: np.ndarray | None) -> Chunk:
        """Give each call its seed, the block's key and the row's number, as `HostSimulator` does."""
        words = np.asarray(jax.random.key_data(keys), np.uint32).reshape(len(keys), -1)
        if self.simulate.batched:
            theta, inputs = (None if a is None else a.reshape(-1, self.size, *a.shape[1:]) for a in (theta, inputs))  # pyright: ignore[reportAssignmentType]
            return Chunk(np.column_stack([words, np.zeros(len(words), np.uint32)]), theta, inputs)
        number = np.tile(np.arange(self.size, dtype=np.uint32), len(keys))
        return Chunk(np.column_stack([np.repeat(words, self.size, axis=0), number]), theta, inputs)

    def _settle(self, theta: np.ndarray, ran: Ran, calls: slice) -> None:
        """Count the next calls in order, remember where they failed, and judge how many did."""
        states = ran.states[calls].ravel()
        each, failed = ran.states.shape[1], states != FINE
        n, share = self.made + np.arange(1, len(failed) + 1), self.max_failures
        so_far = sum(self.failures.values()) + np.cumsum(failed)
        over = so_far > share * n + CHANCE * np.sqrt(n * share * (1 - share))
        if over.any():
            failed = failed[: over.argmax() + 1]
        for row in np.flatnonzero(failed).tolist():
            kind = KINDS[states[row]]
            self.failures[kind] = self.failures.get(kind, 0) + 1
            if kind not in self.failures.examples:
                words = ran.words.get(calls.start + row // each, f"at theta = {theta[row].tolist()}")
                self.failures.examples[kind] = (self.made + row, words)
        self._theta.append(theta[: len(failed)].astype(np.float32))
        self._failed.append(failed)
        self.made += len(failed)
        if over.any():
            self._stop()

    def _stop(self) -> None:
        total = sum(self.failures.values())
        kind, count = max(self.failures.items(), key=lambda item: item[1])
        words = self.failures.examples[kind][1]
        raise CallFailed(
            f"{total:,} of the first {self.made:,} calls failed, more than max_failures={self.max_failures:g} allows; "
            f"mend the simulator, narrow the space, or allow more. The commonest kind is {kind!r}, "
            f"{count:,} calls; the first of them: {words}"
        )

    def close(self) -> None:
        """End the workers that were started for these calls, and close the store."""
        self.place.close()
        if self.store is not None:
            self.store.close()

    def where(self, names: tuple[str, ...]) -> Where | None:
        """Say where calls failed."""
        if not any(self.failures.values()):
            return None
        return where(names, np.concatenate(self._theta), np.concatenate(self._failed))
