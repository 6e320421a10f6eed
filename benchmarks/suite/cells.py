"""Studies made of cells, one line of JSON each: a stopped study continues where it was, and a report needs no run.

A line is appended by one write at the file's end, so that several runs may share a file and a kill leaves at most the
beginning of a line, which is skipped and measured again.
"""

import argparse
import json
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple


class Study(NamedTuple):
    """A measurement repeated over tasks and seeds.

    Args:
        measure: `measure(task, seed)` gives the numbers of one cell, ready for JSON.
        tasks: names of the tasks.
        seeds: the first seed and the one after the last.
    """

    measure: Callable[[str, int], dict[str, Any]]
    tasks: Sequence[str]
    seeds: tuple[int, int]


NAME = ("study", "task", "method", "budget", "seed")  # what names a cell; single studies have neither method nor budget


def name_of(row: dict[str, Any]) -> tuple[Any, ...]:
    """Name the cell of a row."""
    return tuple(row.get(part) for part in NAME)


def read(path: Path, whole: Callable[[dict[str, Any]], bool] = lambda row: True) -> list[dict[str, Any]]:
    """Read the finished cells that are `whole`, none where there is no file; of a cell measured twice, the first."""
    found: dict[tuple[Any, ...], dict[str, Any]] = {}
    for line in path.read_text(errors="replace").splitlines() if path.exists() else ():
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


def run(
    path: Path, name: str, study: Study, tasks: Sequence[str] | None = None, seeds: tuple[int, int] | None = None
) -> None:
    """Measure the cells that `path` does not hold yet; each is appended as soon as it is finished, and printed."""
    done = {name_of(row) for row in read(path)}
    for task in tasks or study.tasks:
        for seed in range(*(seeds or study.seeds)):
            cell = {"study": name, "task": task, "seed": seed}
            if name_of(cell) not in done:
                row = {**cell, **study.measure(task, seed)}
                append(path, row)
                print(json.dumps({k: v for k, v in row.items() if not isinstance(v, list)}), flush=True)


def main(
    module: str, doc: str | None, out: Path, studies: dict[str, Study], report: Callable[[list[dict[str, Any]]], str]
) -> None:
    """Be the command `python -m module [STUDY | report]`: run a study, or print the tables of what is finished."""
    parser = argparse.ArgumentParser(prog=f"python -m {module}", description=(doc or "").splitlines()[0])
    parser.add_argument("study", choices=[*studies, "report"], nargs="?", default="report")
    parser.add_argument("--tasks", nargs="+", help="tasks of the study; all by default")
    parser.add_argument("--seeds", nargs=2, type=int, metavar=("FIRST", "END"), help="range of seeds")
    parser.add_argument("--out", type=Path, default=out, help="file of finished cells, one line of JSON each")
    arguments = parser.parse_args()
    if arguments.study != "report":
        known = studies[arguments.study].tasks
        if unknown := [task for task in arguments.tasks or [] if task not in known]:
            parser.error(f"--tasks: {', '.join(unknown)} is not among the study's tasks: {', '.join(known)}.")
        run(arguments.out, arguments.study, studies[arguments.study], arguments.tasks, arguments.seeds)
        return
    rows = read(arguments.out)
    print(report(rows) if rows else f"{arguments.out} holds no finished cells; run a study first.")
