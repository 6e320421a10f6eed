"""The calls of a run in its folder: what they gave is on disk before the next ones are counted.

`calls.sqlite` has a row for each chunk of calls, with theta, seeds, x and states as arrays of bytes. One transaction a
chunk writes all of it or nothing, so that no x can stand beside another call's theta, as it could in two files. The
write-ahead log makes a transaction cheap, and leaves the file whole when the process is killed.

A run that is continued asks for the same calls by their numbers, and is given what is there.
"""

import json
import sqlite3
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import numpy as np

from avo.alerts import warn
from avo.execution.chunks import Chunk, Ran

SCHEMA = """
CREATE TABLE IF NOT EXISTS run (identity TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS chunks (
    first INTEGER PRIMARY KEY, calls INTEGER NOT NULL, rows INTEGER NOT NULL, shapes TEXT NOT NULL,
    seeds BLOB NOT NULL, theta BLOB NOT NULL, inputs BLOB, x BLOB NOT NULL, states BLOB NOT NULL,
    words TEXT NOT NULL, seconds REAL NOT NULL
);
"""


class Kept(NamedTuple):
    """Calls that a store has: the number of the first row, what was asked, and what they gave."""

    first: int
    chunk: Chunk
    ran: Ran


class Store:
    """Calls on disk, by their numbers; one call makes one row of x, or a block of them.

    Args:
        path: the file.
        identity: of the run; calls of another run are never taken. None: whatever is there, for a look at it.

    Raises:
        FileNotFoundError: if there is no file to look at.
        ValueError: if the file is damaged, or holds calls of another run.

    Example:
        >>> import tempfile
        >>> store = Store(Path(tempfile.mkdtemp()) / "calls.sqlite", "a run")
        >>> chunk = Chunk(np.zeros((2, 3), np.uint32), np.array([[1.0], [2.0]]), None)
        >>> ran = Ran(np.array([[0.5], [0.7]]), np.full((2, 1), 7, np.uint8), {}, 0.1)
        >>> store.add(40, chunk, ran)
        >>> [(kept.first, kept.ran.x.ravel().tolist()) for kept in store.between(32, 64)]
        [(40, [0.5, 0.7])]
        >>> store.close()
    """

    def __init__(self, path: Path, identity: str | None) -> None:
        self.path, self.writes = path, identity is not None
        if identity is None and not path.is_file():
            raise FileNotFoundError(
                f"{path.parent} keeps no calls (no {path.name}); runs of simulators outside JAX do."
            )
        try:
            self.file = sqlite3.connect(path, check_same_thread=False, timeout=5.0)
            if identity is None:
                self.file.execute("SELECT identity FROM run").fetchall()
                return
            self.file.execute("PRAGMA journal_mode=WAL")
            self.file.execute("PRAGMA synchronous=NORMAL")
            with self.file:
                self.file.executescript(SCHEMA)
                known = self.file.execute("SELECT identity FROM run").fetchall()
                if not known:
                    self.file.execute("INSERT INTO run VALUES (?)", (identity,))
        except sqlite3.OperationalError as error:  # a full disk, a lock, a file that may only be read
            raise ValueError(f"{path} cannot be used ({error}); make room for it, or choose another folder.") from error
        except sqlite3.DatabaseError as error:
            raise ValueError(f"{path} is damaged ({error}); delete its folder to start anew.") from error
        if known and known != [(identity,)]:
            raise ValueError(f"{path} holds calls of another run; choose another folder.")

    def add(self, first: int, chunk: Chunk, ran: Ran) -> None:
        """Write calls, the first of whose rows has this number; where nothing can be written, say so once and go on."""
        if not self.writes:
            return
        arrays = (chunk.theta, chunk.inputs, ran.x)
        shapes = json.dumps([None if a is None else a.shape for a in arrays])
        theta, inputs, x = (None if a is None else np.ascontiguousarray(a, float).tobytes() for a in arrays)
        row = (
            first, len(chunk.seeds), ran.states.shape[1], shapes, chunk.seeds.tobytes(), theta, inputs, x,
            ran.states.tobytes(), json.dumps(ran.words), ran.seconds,
        )  # fmt: skip
        try:
            with self.file:
                self.file.execute(f"INSERT OR REPLACE INTO chunks VALUES ({', '.join('?' * len(row))})", row)
        except sqlite3.Error as error:
            self.writes = False
            warn(
                f"{self.path} cannot be written any more ({error}); the run goes on, but what it does from here on is "
                "lost if it is stopped.",
            )

    def between(self, first: int, last: int) -> Iterator[Kept]:
        """Read the calls of which rows have numbers from `first` to below `last`.

        Raises:
            ValueError: if the file is damaged.
        """
        query = "SELECT * FROM chunks WHERE first < ? AND first + calls * rows > ? ORDER BY first"
        try:
            for row in self.file.execute(query, (last, first)):
                yield _kept(row)
        except (sqlite3.DatabaseError, ValueError, TypeError, KeyError) as error:
            raise ValueError(f"{self.path} is damaged ({error}); delete its folder to start anew.") from error

    def close(self) -> None:
        """Leave the file, whole in itself."""
        with suppress(sqlite3.Error):
            self.file.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        with suppress(sqlite3.Error):
            self.file.close()


def _kept(row: tuple) -> Kept:
    first, calls, rows, shapes, seeds, theta, inputs, x, states, words, seconds = row
    theta_shape, c_shape, x_shape = json.loads(shapes)
    theta, x = np.frombuffer(theta).reshape(theta_shape), np.frombuffer(x).reshape(x_shape)
    c = None if inputs is None else np.frombuffer(inputs).reshape(c_shape)
    chunk = Chunk(np.frombuffer(seeds, np.uint32).reshape(calls, -1), theta, c)
    told = {int(place): str(text) for place, text in json.loads(words).items()}
    return Kept(first, chunk, Ran(x, np.frombuffer(states, np.uint8).reshape(calls, rows), told, seconds))
