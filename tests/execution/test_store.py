"""avo.execution.store: what calls gave is read again to the bit, and nothing else is taken for it."""

import sqlite3
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from avo.execution.chunks import FINE, Chunk, Ran
from avo.execution.store import Store

RNG = np.random.default_rng(3)


def some(calls: int, *shape: int, rows: int = 1, inputs: bool = False) -> tuple[Chunk, Ran]:
    block = (rows,) if rows > 1 else ()
    c = RNG.normal(size=(calls, *block, 2)) if inputs else None
    chunk = Chunk(RNG.integers(0, 2**32, (calls, 3), np.uint32), RNG.normal(size=(calls, *block, 4)), c)
    x = RNG.normal(size=(calls, *block, *shape))
    x[0] = np.nan
    states = np.full((calls, rows), FINE, np.uint8)
    states[0] = 0
    return chunk, Ran(x, states, {0: "it\nhung"}, 0.25)


def same(a: tuple[Chunk, Ran], b: tuple[Chunk, Ran]) -> bool:
    arrays = [(getattr(a[k], name), getattr(b[k], name)) for k, name in
              ((0, "seeds"), (0, "theta"), (0, "inputs"), (1, "x"), (1, "states"))]  # fmt: skip
    equal = all(
        p is q is None or (p.dtype == q.dtype and np.array_equal(p, q, equal_nan=p.dtype == float)) for p, q in arrays
    )
    return equal and (a[1].words, a[1].seconds) == (b[1].words, b[1].seconds)


@pytest.mark.parametrize(
    ("shape", "rows", "inputs"), [((), 1, False), ((3,), 1, True), ((5, 2), 4, False), ((), 4, True), ((2,), 1, False)]
)
def test_what_is_added_is_read_to_the_bit(shape: tuple[int, ...], rows: int, inputs: bool, tmp_path: Path) -> None:
    parts = [some(n, *shape, rows=rows, inputs=inputs) for n in (3, 1, 7)]
    store = Store(tmp_path / "calls.sqlite", "a")
    for first, part in zip((0, 3 * rows, 40 * rows), parts, strict=True):
        store.add(first, *part)
    store.close()
    again = Store(tmp_path / "calls.sqlite", "a")
    found = list(again.between(0, 100 * rows))
    assert [kept.first for kept in found] == [0, 3 * rows, 40 * rows]
    assert all(same(kept[1:], part) for kept, part in zip(found, parts, strict=True))
    # Those of which any row is asked for
    for first, last, number in (
        (0, 1, 1),
        (3 * rows - 1, 3 * rows + 1, 2),
        (4 * rows, 40 * rows, 0),
        (46 * rows, 99 * rows, 1),
    ):
        assert len(list(again.between(first, last))) == number
    again.close()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["calls.sqlite"]


def test_calls_of_another_run_are_refused(tmp_path: Path) -> None:
    Store(tmp_path / "calls.sqlite", "a").close()
    with pytest.raises(ValueError, match="holds calls of another run"):
        Store(tmp_path / "calls.sqlite", "b")


@pytest.mark.parametrize("content", [b"no such thing" * 100, b"SQLite format 3\0" + b"\1" * 4000])
def test_a_damaged_file_is_named(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "calls.sqlite").write_bytes(content)
    with pytest.raises(ValueError, match="calls.sqlite is damaged"):
        Store(tmp_path / "calls.sqlite", "a")


def test_edited_arrays_are_named(tmp_path: Path) -> None:
    store = Store(tmp_path / "calls.sqlite", "a")
    store.add(0, *some(4, 3))
    store.close()
    with sqlite3.connect(tmp_path / "calls.sqlite") as file:
        file.execute("UPDATE chunks SET x = ?", (b"123",))
    file.close()
    with pytest.raises(ValueError, match="calls.sqlite is damaged"):
        list(Store(tmp_path / "calls.sqlite", "a").between(0, 4))


def test_what_cannot_be_written_is_said_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = Store(tmp_path / "calls.sqlite", "a")
    store.add(0, *some(2, 3))
    store.file.execute("PRAGMA query_only = ON")
    with pytest.warns(UserWarning, match="cannot be written any more .*; the run goes on"):
        store.add(2, *some(2, 3))
    store.add(4, *some(2, 3))
    assert [kept.first for kept in store.between(0, 9)] == [0]
    store.close()


def test_a_killed_process_leaves_what_it_has_added(tmp_path: Path) -> None:
    path = tmp_path / "calls.sqlite"
    script = (
        "import os, pathlib, sys, numpy as np\n"
        "from avo.execution.store import Store\n"
        "from avo.execution.chunks import Chunk, Ran\n"
        "store = Store(pathlib.Path(sys.argv[1]), 'a')\n"
        "for first in range(0, 50, 5):\n"
        "    chunk = Chunk(np.zeros((5, 1), np.uint32), np.full((5, 1), 1.5), None)\n"
        "    store.add(first, chunk, Ran(np.full((5, 2), first + 0.25), np.full((5, 1), 7, np.uint8), {}, 0.1))\n"
        "os.kill(os.getpid(), 9)\n"
    )
    assert subprocess.run([sys.executable, "-c", script, path], check=False).returncode == -9
    store = Store(path, "a")
    found = list(store.between(0, 50))
    assert [kept.first for kept in found] == list(range(0, 50, 5))
    assert all(np.all(kept.ran.x == kept.first + 0.25) for kept in found)
    store.close()
