"""Studies made of cells, one line of JSON each: a stopped study continues where it was, and a report needs no run."""

import argparse
import json
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


def read(path: Path) -> list[dict[str, Any]]:
    """Read the finished cells, none where there is no file."""
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def run(
    path: Path, name: str, study: Study, tasks: Sequence[str] | None = None, seeds: tuple[int, int] | None = None
) -> None:
    """Measure the cells that `path` does not hold yet; each is appended as soon as it is finished, and printed."""
    done = {(r["study"], r["task"], r["seed"]) for r in read(path)}
    for task in tasks or study.tasks:
        for seed in range(*(seeds or study.seeds)):
            if (name, task, seed) not in done:
                row = {"study": name, "task": task, "seed": seed, **study.measure(task, seed)}
                with path.open("a") as file:
                    file.write(json.dumps(row) + "\n")
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
