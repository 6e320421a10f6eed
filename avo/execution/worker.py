"""A worker process: makes calls of one simulator until its parent has no more.

    parent -> worker    the job once, then chunks; each a pickle with its length before it, on stdin
    worker -> parent    what each chunk gave, likewise, on what was stdout

What the user's function prints goes to stderr. A small file, shared by both, says which call runs since when: where the
process dies or hangs, the parent knows by which call. A worker whose parent is gone ends.
"""

from __future__ import annotations

import mmap
import os
import pickle
import signal
import struct
import sys
import threading
import time
from collections.abc import Callable
from typing import IO, Any, NamedTuple

from avo.execution.chunks import run

LENGTH = struct.Struct("<Q")
NOW = struct.Struct("<dq")  # by the system's clock, when the present call began, and its place; -1: none runs
WATCH_SECONDS = 1.0  # between two looks whether the parent is there


class Job(NamedTuple):
    """A simulator, as workers get it: the arguments of `avo.execution.chunks.run` before the chunk."""

    fn: Callable[..., Any]
    x_shape: tuple[int, ...]


def send(stream: IO[bytes], data: bytes) -> None:
    """Write bytes with their length before them."""
    stream.write(LENGTH.pack(len(data)))
    stream.write(data)
    stream.flush()


def receive(stream: IO[bytes]) -> bytes:
    """Read what `send` wrote.

    Raises:
        EOFError: if the other side is gone.
    """
    head = stream.read(LENGTH.size)
    size = LENGTH.unpack(head)[0] if len(head) == LENGTH.size else 0
    data = stream.read(size)
    if len(head) < LENGTH.size or len(data) < size:
        raise EOFError
    return data


def main() -> None:
    """Serve the parent that started this process, with the path of the shared file as the only argument."""
    source, sink = sys.stdin.buffer, os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what the user's function prints must not get between the answers
    signal.signal(signal.SIGINT, _nothing)  # Ctrl-C is the parent's, which then asks for the end
    threading.Thread(target=_watch, args=(os.getppid(),), daemon=True).start()
    with open(sys.argv[1], "r+b") as file, mmap.mmap(file.fileno(), NOW.size) as now:
        if os.name == "posix":  # nothing is left behind, however both of them end
            os.unlink(sys.argv[1])
        try:
            signal.signal(signal.SIGTERM, _end)
            _serve(source, sink, now)
        except (EOFError, BrokenPipeError):  # the parent is gone
            os._exit(0)
        except _Ended:
            os._exit(1)


class _Ended(BaseException):
    """The parent has asked for the end; it passes through a call, so that what that began is ended, a program say."""


def _end(*_: Any) -> None:
    signal.signal(signal.SIGTERM, _nothing)  # asked again, it goes on ending
    raise _Ended


def _nothing(*_: Any) -> None:
    """Take no notice of a signal; with SIG_IGN, programs that a call starts would take none either."""


def _serve(source: IO[bytes], sink: IO[bytes], now: mmap.mmap) -> None:
    try:
        job = Job(*pickle.loads(receive(source)))
    except EOFError:
        raise
    except Exception as error:
        send(sink, f"{type(error).__name__}: {error}".encode())
        return
    send(sink, b"")

    def begun(call: int) -> None:
        NOW.pack_into(now, 0, time.monotonic(), call)

    while True:
        chunk = pickle.loads(receive(source))
        ran = run(*job, chunk, begun)
        begun(-1)
        send(sink, pickle.dumps(ran, protocol=5))


def _watch(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(WATCH_SECONDS)
    os._exit(1)


if __name__ == "__main__":
    main()
