"""Where the calls of a simulator are made: here, in worker processes, or by an executor of the user's.

All give the same numbers: a call's seed comes with it. What differs is when a call is made, and that decides nothing.
"""

import os
import pickle
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from functools import lru_cache, partial
from typing import Any, Protocol

import cloudpickle
import numpy as np

from avo.checks import ArgumentError, whole
from avo.execution.chunks import Chunk, Ran, run
from avo.execution.failures import CallFailed
from avo.execution.host import HostSimulator
from avo.execution.worker import Job
from avo.execution.workers import Workers

CHUNK_SECONDS = 0.1  # that a chunk of calls should take: long beside what sending it costs, short beside patience
AHEAD = 3  # chunks for each worker that are sent before their turn


class Pace:
    """How many calls a chunk has: as many as take `CHUNK_SECONDS`, by the time of the last ones."""

    def __init__(self) -> None:
        self.size = 1

    def learn(self, calls: int, seconds: float) -> None:
        """Take note of how long so many calls took."""
        fits = CHUNK_SECONDS * calls / max(seconds, 1e-9)
        self.size = int(np.clip(fits, 1, 4 * self.size))


Pieces = Iterator[tuple[np.ndarray, Ran]]  # places of calls, and what they gave, in any order


class Place(Protocol):
    """Where calls are made, by so many workers."""

    workers: int

    def pieces(self, calls: Chunk) -> Pieces:
        """Make calls, and give what they gave as it comes."""
        ...

    def close(self) -> None:
        """End what was started for it."""
        ...


class Here:
    """Calls one after another, in this thread."""

    def __init__(self, job: Job) -> None:
        self.job, self.pace, self.workers = job, Pace(), 1

    def pieces(self, calls: Chunk) -> Pieces:
        """Make calls, a chunk after another."""
        first, n = 0, len(calls.seeds)
        while first < n:
            at = np.arange(first, min(first + self.pace.size, n))
            ran = run(*self.job, calls.part(at))
            self.pace.learn(len(at), ran.seconds)
            first += len(at)
            yield at, ran

    def close(self) -> None:
        """Nothing was started."""


class There:
    """Calls by workers, in chunks; those of a chunk that was lost are repeated once, one by one.

    Args:
        job: the simulator.
        submit: sends a chunk.
        workers: how many there are.
        end: ends what was started.
    """

    def __init__(
        self, job: Job, submit: Callable[[Chunk], "Future[Ran]"], workers: int, end: Callable[[], Any] | None = None
    ) -> None:
        self.job, self.submit, self.workers, self.end, self.pace = job, submit, workers, end, Pace()

    def pieces(self, calls: Chunk) -> Pieces:
        """Send chunks, a few for each worker ahead of their turn, and give what comes back as it comes."""
        n, first = len(calls.seeds), 0
        again: list[int] = []
        repeated = np.zeros(n, bool)
        flying: dict[Future[Ran], np.ndarray] = {}
        try:
            while first < n or again or flying:
                while len(flying) < AHEAD * self.workers and (again or first < n):
                    if again:
                        at = np.array([again.pop()])
                    else:
                        at = np.arange(first, min(first + min(self.pace.size, -(-n // (2 * self.workers))), n))
                        first += len(at)
                    flying[self._sent(calls.part(at))] = at
                for future in wait(flying, return_when=FIRST_COMPLETED).done:
                    at, error = flying.pop(future), future.exception()
                    if error is None:
                        self.pace.learn(len(at), future.result().seconds)
                        yield at, future.result()
                    elif isinstance(error, ArgumentError) or not isinstance(error, Exception):
                        raise error
                    elif repeated[at].all():
                        yield at, self._lost(calls.part(at), error)
                    else:
                        again.extend(at.tolist())
                        repeated[at] = True
        finally:
            for future in flying:
                future.cancel()

    def close(self) -> None:
        """End the workers, where they are avo's."""
        if self.end is not None:
            self.end()

    def _sent(self, chunk: Chunk) -> "Future[Ran]":
        try:
            return self.submit(chunk)
        except (RuntimeError, OSError) as error:  # broken, or shut down
            raise CallFailed(
                f"the executor takes no more calls ({type(error).__name__}: {error}). executor=8, a number of "
                "processes, replaces those that die."
            ) from error

    def _lost(self, chunk: Chunk, error: Exception) -> Ran:
        ran = Ran.empty(chunk, self.job.x_shape)
        words = f"the call was lost twice with its worker ({type(error).__name__}: {error})"
        ran.failed(0, CallFailed(words, "dead worker"))
        return ran


def place(executor: Any, simulate: HostSimulator, x_shape: tuple[int, ...]) -> Place:
    """Make the place that a user chose.

    Args:
        executor: None: here; a number of processes; or an executor of `concurrent.futures`, or one like it.
        simulate: the simulator.
        x_shape: of one x.

    Raises:
        ValueError: if it is none of these, or the simulator cannot be sent there.
    """
    job = Job(simulate.fn, x_shape)
    if executor is None and simulate.timeout is not None:
        executor = 1
    if executor is None:
        return Here(job)
    if isinstance(executor, ThreadPoolExecutor) and simulate.timeout is None:
        return There(job, lambda chunk: executor.submit(run, *job, chunk), _workers(executor))
    if isinstance(executor, type) or not callable(getattr(executor, "submit", None)):
        count = whole("executor, unless it is an Executor,", executor)
        workers = Workers(count, job, _pickled(job), simulate.timeout)
        return There(job, workers.submit, count, workers.close)
    if simulate.timeout is not None:
        raise ValueError(
            "timeout= of from_numpy needs processes that avo may kill; give executor= a number of them, or leave "
            "timeout out."
        )
    return There(job, partial(executor.submit, run_pickled, _pickled(job)), _workers(executor))


def run_pickled(data: bytes, chunk: Chunk) -> Ran:
    """Make the calls of a chunk, in a worker of somebody else's; the simulator is unpickled once."""
    return run(*_job(data), chunk)


@lru_cache(maxsize=4)
def _job(data: bytes) -> Job:
    return Job(*pickle.loads(data))


def _pickled(job: Job) -> bytes:
    """Pickle a simulator, by value where it is no part of a module that workers can import."""
    try:
        return cloudpickle.dumps(tuple(job))
    except Exception as error:
        raise ValueError(
            f"simulate cannot be sent to another process ({type(error).__name__}: {error}). Make what it holds inside "
            "the function, or give executor=concurrent.futures.ThreadPoolExecutor(n), whose threads share it."
        ) from error


def _workers(executor: Any) -> int:
    """Ask an executor how many workers it has; as many as there are cores where it does not say."""
    if (client := getattr(executor, "_client", None)) is not None and hasattr(client, "nthreads"):  # Dask's
        known = sum(client.nthreads().values())
    else:  # of concurrent.futures and loky; of mpi4py
        known = getattr(executor, "_max_workers", getattr(executor, "num_workers", None))
    return known if isinstance(known, int) and known > 0 else os.cpu_count() or 1
