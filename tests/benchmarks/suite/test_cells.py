"""avo.benchmarks.suite.cells: what a kill leaves is measured again, and compressed cells count as finished."""

import json
import lzma
from pathlib import Path

import pytest

from avo.benchmarks.suite import cells

ROWS = [{"study": "s", "task": task, "seed": seed, "value": 10 * seed} for task in "ab" for seed in (0, 1)]


def packed(path: Path, rows: list) -> None:
    text = "".join(json.dumps(row) + "\n" for row in rows)
    cells.compressed(path).write_bytes(lzma.compress(text.encode()))


def test_a_torn_line_is_skipped_and_the_next_stands_on_its_own(tmp_path: Path) -> None:
    path = tmp_path / "new" / "cells.jsonl"
    assert cells.read(path) == []
    cells.append(path, ROWS[0])
    with path.open("a") as file:
        file.write(json.dumps(ROWS[1])[:-7])
    cells.append(path, ROWS[2])
    assert cells.read(path) == [ROWS[0], ROWS[2]]


def test_compressed_cells_come_first_and_lines_are_appended_to_the_plain_file(tmp_path: Path) -> None:
    path = tmp_path / "cells.jsonl"
    packed(path, ROWS[:2])
    assert cells.read(path) == ROWS[:2]
    before = cells.compressed(path).read_bytes()
    cells.append(path, ROWS[1] | {"value": -1})  # measured twice: the first counts
    cells.append(path, ROWS[2])
    assert cells.read(path) == ROWS[:3] and cells.compressed(path).read_bytes() == before
    assert cells.read(path, lambda row: row["task"] == "b") == [ROWS[2]]


def test_a_damaged_compressed_file_is_named(tmp_path: Path) -> None:
    path = tmp_path / "cells.jsonl"
    cells.compressed(path).write_bytes(b"no xz")
    with pytest.raises(ValueError, match="cells.jsonl.xz is damaged, .* restore it from a copy"):
        cells.read(path)
