"""Finished cells, a line of JSON each: a stopped study continues where it was, and a report needs no run.

A line is appended by one write at the file's end, so that several runs may share a file and a kill leaves at most the
beginning of a line, which is skipped and measured again. What is kept for long is compressed: beside `cells.jsonl`
there may be `cells.jsonl.xz`, whose cells are finished too.
"""

import json
import lzma
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from avo.folder import damaged

NAME = ("study", "task", "method", "budget", "seed")  # what names a cell; single studies have neither method nor budget


def name_of(row: dict[str, Any]) -> tuple[Any, ...]:
    """Name the cell of a row."""
    return tuple(row.get(part) for part in NAME)


def compressed(path: Path) -> Path:
    """Name the compressed file beside a file of cells."""
    return path.with_name(path.name + ".xz")


def _lines(path: Path) -> Iterator[str]:
    """Read the compressed lines, then the others."""
    packed = compressed(path)
    try:
        old = lzma.decompress(packed.read_bytes()) if packed.exists() else b""
    except lzma.LZMAError as error:
        raise damaged(packed) from error
    new = path.read_bytes() if path.exists() else b""
    for part in (old, new):
        yield from part.decode(errors="replace").splitlines()


def read(path: Path, whole: Callable[[dict[str, Any]], bool] = lambda row: True) -> list[dict[str, Any]]:
    """Read the finished cells that are `whole`, none where there is no file; of a cell measured twice, the first.

    Args:
        path: the file that lines are appended to; the compressed one beside it is read before.
        whole: tells whether a row is a cell.

    Raises:
        ValueError: if the compressed file is damaged.
    """
    found: dict[tuple[Any, ...], dict[str, Any]] = {}
    for line in _lines(path):
        try:
            row = json.loads(line)
        except json.JSONDecodeError:
            continue  # the beginning of a line: its run was killed
        name = name_of(row) if isinstance(row, dict) and "study" in row else ()
        if name and all(part is None or isinstance(part, str | int) for part in name) and whole(row):
            found.setdefault(name, row)
    return list(found.values())


def append(path: Path, row: dict[str, Any]) -> None:
    """Append a cell in one write, on a line of its own whatever was left before it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("ab+", buffering=0) as file:
        end = file.seek(0, os.SEEK_END)
        torn = end > 0 and os.pread(file.fileno(), 1, end - 1) != b"\n"
        file.write(("\n" * torn + json.dumps(row) + "\n").encode())
