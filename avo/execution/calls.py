"""Calls of a simulator outside JAX, numbered in the order in which a fit asks for them.

The number of a call decides all that concerns it, its seed among it; when and where it is made decides nothing. A call
that fails is a row of NaN, counted; more failures than the user allows end the run.
"""

import time
from collections.abc import Callable
from typing import Any

import jax
import numpy as np
from jaxtyping import Array, PRNGKeyArray

from avo.alerts import warn
from avo.budget import PROBES
from avo.clock import stage
from avo.execution.chunks import FINE, Chunk, Ran
from avo.execution.executors import Pieces, place
from avo.execution.failures import KINDS, CallFailed, Failures, Where, where
from avo.execution.host import BATCH, HostSimulator
from avo.execution.store import Store
from avo.space import Space

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
        self.x_shape = tuple(x_shape)
        self.place = place(executor, simulate, self.x_shape)
        self.tick: Callable[[int], Any] = lambda rows: None
        self.made, self.failures = 0, Failures()
        self.store: Store | None = None
        self._theta: list[np.ndarray] = []
        self._failed: list[np.ndarray] = []

    @stage("simulations")
    def __call__(self, keys: PRNGKeyArray, theta: Any, inputs: Array | np.ndarray | None = None) -> np.ndarray:
        """Simulate blocks, one key each.

        Raises:
            CallFailed: where more calls fail than the user allows.
        """
        words = np.asarray(jax.random.key_data(keys), np.uint32).reshape(len(keys), -1)
        theta, c = np.asarray(theta, float), None if inputs is None else np.asarray(inputs)
        if self.simulate.batched:
            seeds = np.column_stack([words, np.zeros(len(words), np.uint32)])
            chunk = Chunk(seeds, self._blocks(theta), None if c is None else self._blocks(c))
        else:
            number = np.tile(np.arange(self.size, dtype=np.uint32), len(keys))
            chunk = Chunk(np.column_stack([np.repeat(words, self.size, axis=0), number]), theta, c)
        return self._made(chunk).reshape(len(theta), *self.x_shape)

    def alone(self, key: PRNGKeyArray, theta: Any, inputs: Any = None) -> np.ndarray:
        """Simulate any number of rows by one key, to the numbers of `HostSimulator`."""
        theta, c = np.asarray(theta, float), None if inputs is None else np.asarray(inputs)
        words, n, found = np.asarray(jax.random.key_data(key), np.uint32).ravel(), len(theta), []
        for first in range(0, n, BATCH if self.simulate.batched else n):
            part = slice(first, first + BATCH if self.simulate.batched else n)
            rows = [None if a is None else a[part][None] if self.simulate.batched else a for a in (theta, c)]
            number = [first] if self.simulate.batched else range(n)
            seeds = np.column_stack([np.tile(words, (len(number), 1)), np.array(number, np.uint32)])
            found.append(self._made(Chunk(seeds, *rows)).reshape(-1, *self.x_shape))  # pyright: ignore[reportArgumentType]
        return np.concatenate(found)

    def probe(self, key: PRNGKeyArray, theta: Any, inputs: Any = None) -> float:
        """Make the same call `PROBES` times, and warn of one that differs from itself: it draws elsewhere too.

        Returns:
            Seconds of a call.
        """
        began = time.perf_counter()
        theta, c = (None if a is None else np.repeat(np.asarray(a)[None], PROBES, axis=0) for a in (theta, inputs))
        if self.simulate.batched:
            theta, c = (None if a is None else a[:, None] for a in (theta, c))
        words = np.append(np.asarray(jax.random.key_data(key), np.uint32).ravel(), np.uint32(0))
        x = self._made(Chunk(np.tile(words, (PROBES, 1)), theta, c))  # pyright: ignore[reportArgumentType]
        if np.isfinite(x).all() and not np.array_equal(x[0], x[1]):
            warn(
                "simulate gave two different x from one theta and one generator, so that part of what it draws comes "
                "from elsewhere: numpy.random, random, the time. Draw all of it from rng (a program: from its {seed}); "
                "else no run can be repeated, and pairs of simulations cannot share their noise.",
            )
        return (time.perf_counter() - began) / PROBES * min(self.place.workers, PROBES)

    def _blocks(self, a: np.ndarray) -> np.ndarray:
        return a.reshape(-1, self.size, *a.shape[1:])

    def _made(self, calls: Chunk) -> np.ndarray:
        """Make calls, and settle them in their order: what is judged, and when, depends on nothing else."""
        ran, done, settled = Ran.empty(calls, self.x_shape), np.zeros(len(calls.seeds), bool), 0
        for at, piece in self._pieces(calls):
            ran.x[at], ran.states[at], done[at] = piece.x, piece.states, True
            ran.words.update({int(at[i]): words for i, words in piece.words.items()})
            self.tick(piece.states.size)
            until = len(done) if done.all() else int(done.argmin())
            if until > settled:
                self._settle(calls, ran, slice(settled, until))
                settled = until
        return ran.x

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
            self._settle(chunk, ran, slice(0, len(ran.x)))
        if self.made != until:
            raise ValueError(f"{self.store.path} lacks calls {self.made} to {until}; delete its folder to start anew.")

    def after(self, rows: int, failures: Failures, space: Space, most: int) -> list[tuple[np.ndarray, ...]]:
        """Stand after the calls of a finished run, and give the last of them that the store has.

        Args:
            rows: calls that the run made.
            failures: of them.
            space: the parameters.
            most: rows that are given, at most.

        Returns:
            For each chunk theta of the free parameters, x, and the known conditions or None.
        """
        assert self.store is not None
        try:
            self.skip(rows)
        except ValueError:  # a store that was taken away: its calls are not needed
            self.made, self.failures = rows, Failures(failures, examples=failures.examples)
            return []
        found = []
        for _, chunk, ran in self.store.between(max(rows - most, 0), rows):
            flat = (a.reshape(-1, *a.shape[1 + len(chunk.block) :]) for a in (chunk.theta, ran.x))
            theta, x = flat
            c = (
                None
                if chunk.inputs is None
                else chunk.inputs.reshape(len(theta), *chunk.inputs.shape[1 + len(chunk.block) :])
            )
            found.append((space.free(theta), x, c))
        return found

    def _pieces(self, calls: Chunk) -> Pieces:
        """Give the calls that the store has, then make the others, each of which it keeps before it is counted."""
        if self.store is None:
            yield from self.place.pieces(calls)
            return
        n, (each,), base = len(calls.seeds), calls.block or (1,), self.made
        left = np.ones(n, bool)
        for first, chunk, ran in self.store.between(base, base + n * each):
            at = (first - base) // each + np.arange(len(ran.x))
            if at[0] < 0 or at[-1] >= n or not np.array_equal(chunk.seeds, calls.seeds[at]):
                raise ValueError(f"{self.store.path} holds other calls than this run makes; delete its folder.")
            left[at] = False
            yield at, ran
        rest = np.flatnonzero(left)
        for at, ran in self.place.pieces(calls.part(rest)):
            at = rest[at]
            for part in np.split(np.arange(len(at)), np.flatnonzero(np.diff(at) != 1) + 1):
                self.store.add(base + int(at[part[0]]) * each, calls.part(at[part]), ran.part(part))
            yield at, ran

    def _settle(self, chunk: Chunk, ran: Ran, calls: slice) -> None:
        """Count the next calls in order, remember where they failed, and judge how many did."""
        states, theta = ran.states[calls].ravel(), chunk.theta[calls].reshape(-1, chunk.theta.shape[-1])
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
            raise self.too_many()

    @property
    def useless(self) -> bool:
        """Whether calls were made, and all failed."""
        return 0 < self.made == sum(self.failures.values())

    def too_many(self) -> CallFailed:
        """Make the error of a run with too many failures, which names the commonest kind."""
        total = sum(self.failures.values())
        kind, count = max(self.failures.items(), key=lambda item: item[1])
        words = self.failures.examples[kind][1]
        allowed = f", more than max_failures={self.max_failures:g} allows" if self.max_failures < 1 else ""
        return CallFailed(
            f"{total:,} of the first {self.made:,} calls failed{allowed}; "
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
        if not self._failed or not any(self.failures.values()):
            return None
        return where(names, np.concatenate(self._theta), np.concatenate(self._failed))
