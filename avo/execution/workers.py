"""Worker processes of this machine: one that dies or hangs is replaced, and costs the call alone.

Each worker is served by a thread, which gives it one chunk after another. By a small shared file the parent knows which
call runs since when. A worker whose call exceeds its time is killed, and the call has failed; one that dies takes its
call with it, which is repeated once by its seed. The other calls of the chunk are made again, to the same numbers.

Processes are started as programs, not by `multiprocessing`, which would run the user's script again in each of them
unless it was written for that.
"""

import mmap
import os
import pickle
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from typing import Any

import numpy as np

from avo.checks import ArgumentError
from avo.execution.chunks import Chunk, Ran
from avo.execution.failures import CallFailed
from avo.execution.worker import NOW, Job, receive, send

GRACE = 1.0  # seconds between asking a worker to end and killing it
ATTEMPTS = 2  # of a call whose worker dies
# Say how many threads libraries take, which would be as many as there are cores in each worker
THREADS = tuple(f"{name}_NUM_THREADS" for name in ("OMP", "OPENBLAS", "MKL", "NUMEXPR")) + ("VECLIB_MAXIMUM_THREADS",)


class Workers:
    """So many processes that make calls of one simulator.

    Args:
        count: of processes.
        job: the simulator.
        data: the same, pickled.
        timeout: seconds that a call may take; None: any number.

    Example:
        >>> job = Job(lambda rng, theta: 2 * theta, (1,))
        >>> import cloudpickle
        >>> workers = Workers(2, job, cloudpickle.dumps(tuple(job)), None)
        >>> chunk = Chunk(np.zeros((3, 1), np.uint32), np.array([[1.0], [2.0], [3.0]]), None)
        >>> workers.submit(chunk).result().x.ravel().tolist()
        [2.0, 4.0, 6.0]
        >>> workers.close()
    """

    def __init__(self, count: int, job: Job, data: bytes, timeout: float | None) -> None:
        self.count, self.job, self.data, self.timeout = count, job, data, timeout
        self.threads = ThreadPoolExecutor(count, thread_name_prefix="avo-worker")
        self.own, self.processes, self.closed = threading.local(), set[_Process](), threading.Event()
        if timeout is not None:
            threading.Thread(target=self._watch, args=(timeout,), daemon=True).start()

    def submit(self, chunk: Chunk) -> "Future[Ran]":
        """Have a chunk of calls made by the next process that is free."""
        return self.threads.submit(self._made, chunk)

    def close(self) -> None:
        """End all processes, and whatever call they are at."""
        self.closed.set()
        self.threads.shutdown(wait=False, cancel_futures=True)
        for process in list(self.processes):
            process.ask()
        for process in list(self.processes):
            process.end()
        self.threads.shutdown()

    def _watch(self, timeout: float) -> None:
        """Kill processes whose call has not ended in time."""
        while not self.closed.wait(min(timeout / 10, 0.1)):
            for process in list(self.processes):
                process.stop_if_late(timeout)

    def _made(self, chunk: Chunk) -> Ran:
        """Make the calls of a chunk, by one process after another where calls end them."""
        size = len(chunk.seeds)
        lost, deaths = Ran.empty(chunk, self.job.x_shape), Counter[int]()
        while True:
            left = np.array([i for i in range(size) if i not in lost.words], int)
            process = self._process()
            try:
                ran = process.run(chunk.part(left))
            except _Died as died:
                self._drop(process)
                if self.closed.is_set():
                    raise
                call = int(left[max(died.call, 0)])
                deaths[call] += 1
                if died.late:
                    words = f"the call had not ended after {self.timeout:g} s, its timeout, and was stopped"
                    lost.failed(call, CallFailed(words, "timeout"))
                elif deaths[call] == ATTEMPTS:
                    words = f"the worker died of the call ({died}), and another one when it was repeated"
                    lost.failed(call, CallFailed(words, "dead worker"))
                if len(lost.words) == size:
                    return lost
                continue
            if len(left) == size:
                return ran
            lost.x[left], lost.states[left] = ran.x, ran.states
            lost.words.update({int(left[i]): words for i, words in ran.words.items()})
            return lost._replace(seconds=ran.seconds)

    def _process(self) -> "_Process":
        """Find this thread's process, or start it."""
        process = getattr(self.own, "process", None)
        if process is None:
            process = self.own.process = _Process(self.count)
            self.processes.add(process)
            process.load(self.data)
        return process

    def _drop(self, process: "_Process") -> None:
        process.end()
        self.processes.discard(process)
        self.own.process = None


class _Died(Exception):
    """A worker ended in the call of this place, of itself or since it was late."""

    def __init__(self, call: int, code: int, late: bool) -> None:
        super().__init__(f"signal {-code}, {signal.strsignal(-code)}" if code < 0 else f"exit status {code}")
        self.call, self.late = call, late


class _Process:
    """One worker process."""

    def __init__(self, count: int) -> None:
        handle, self.path = tempfile.mkstemp(prefix="avo-worker-")
        with os.fdopen(handle, "r+b") as file:
            file.write(NOW.pack(0.0, -1))
            file.flush()
            self.now = mmap.mmap(file.fileno(), NOW.size)
        self.late = False
        own_group: Any = {"process_group": 0} if os.name == "posix" else {}  # Ctrl-C is the parent's
        self.process = subprocess.Popen(
            [sys.executable, "-m", "avo.execution.worker", self.path],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=os.environ | _environment(count), **own_group,
        )  # fmt: skip
        assert self.process.stdin is not None and self.process.stdout is not None
        self.stdin, self.stdout = self.process.stdin, self.process.stdout

    def load(self, data: bytes) -> None:
        """Give it the simulator.

        Raises:
            ArgumentError: if it cannot be made again there.
        """
        try:
            send(self.stdin, data)
            words = receive(self.stdout).decode()
        except (EOFError, OSError):
            words = f"it ended with status {self.process.wait()}"
        if words:
            raise ArgumentError(
                f"simulate cannot be loaded in a worker process ({words}). What it needs must be importable there: put "
                "it into a module, or give executor=concurrent.futures.ThreadPoolExecutor(n), whose threads share it."
            )

    def run(self, chunk: Chunk) -> Ran:
        """Have calls made.

        Raises:
            _Died: if the process ends before they are.
        """
        try:
            send(self.stdin, pickle.dumps(chunk, protocol=5))
            return pickle.loads(receive(self.stdout))
        except (EOFError, OSError):
            code = self.process.wait()
            raise _Died(NOW.unpack_from(self.now)[1], code, self.late) from None

    def stop_if_late(self, timeout: float) -> None:
        """Kill it if its call began longer ago than that."""
        since, call = NOW.unpack_from(self.now)
        if call >= 0 and time.monotonic() - since > timeout and not self.late:
            self.late = True
            self._kill()

    def ask(self) -> None:
        """Ask it to end."""
        with suppress(OSError):
            self.process.terminate()

    def end(self) -> None:
        """See to it that it has ended, and leave nothing behind."""
        self.ask()
        try:
            self.process.wait(GRACE)
        except subprocess.TimeoutExpired:
            self._kill()
            self.process.wait()
        for stream in (self.stdin, self.stdout):
            with suppress(OSError):
                stream.close()
        with suppress(OSError):
            os.unlink(self.path)

    def _kill(self) -> None:
        """Kill it, and what it started in its group."""
        with suppress(OSError):
            if os.name == "posix":
                os.killpg(self.process.pid, signal.SIGKILL)
            else:
                self.process.kill()


def _environment(count: int) -> dict[str, str]:
    """Say where Python finds what the parent found, and hold libraries to the worker's share of the cores."""
    share = str(max((os.cpu_count() or 1) // count, 1))
    env = {name: share for name in THREADS if name not in os.environ}
    if "XLA_FLAGS" not in os.environ:
        env["XLA_FLAGS"] = f"--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads={share}"
    return env | {"PYTHONPATH": os.pathsep.join(path or os.getcwd() for path in sys.path)}
