"""What studies share: cells over tasks and seeds, and a command to measure them or to print the tables.

python -m avo.benchmarks.studies.NAME STUDY      measures, into NAME.jsonl in the current folder
python -m avo.benchmarks.studies.NAME report     prints the tables of the rows in benchmarks/results
python -m avo.benchmarks.studies.NAME report --out NAME.jsonl     of one's own
"""

import argparse
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from avo.benchmarks.suite import cells

RESULTS = Path(__file__).parents[1] / "results"  # of the checkout; nothing is written there unless one says so


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


def run(
    path: Path, name: str, study: Study, tasks: Sequence[str] | None = None, seeds: tuple[int, int] | None = None
) -> None:
    """Measure the cells that `path` does not hold yet; each is appended as soon as it is finished, and printed."""
    done = {cells.name_of(row) for row in cells.read(path)}
    for task in tasks or study.tasks:
        for seed in range(*(seeds or study.seeds)):
            cell = {"study": name, "task": task, "seed": seed}
            if cells.name_of(cell) not in done:
                row = {**cell, **study.measure(task, seed)}
                cells.append(path, row)
                print(json.dumps({k: v for k, v in row.items() if not isinstance(v, list)}), flush=True)


def main(name: str, doc: str | None, studies: dict[str, Study], report: Callable[[list[dict[str, Any]]], str]) -> None:
    """Be the command `python -m avo.benchmarks.studies.NAME [STUDY | report]`.

    Args:
        name: the module's.
        doc: its docstring, whose first line describes the command.
        studies: what may be measured, by name.
        report: rows of finished cells -> their tables.
    """
    parser = argparse.ArgumentParser(
        prog=f"python -m avo.benchmarks.studies.{name}", description=(doc or "").splitlines()[0]
    )
    parser.add_argument("study", choices=[*studies, "report"], nargs="?", default="report")
    parser.add_argument("--tasks", nargs="+", help="tasks of the study; all by default")
    parser.add_argument("--seeds", nargs=2, type=int, metavar=("FIRST", "END"), help="range of seeds")
    parser.add_argument(
        "--out", type=Path,
        help=f"file of finished cells, a line of JSON each: {name}.jsonl here; for a report, that of the checkout",
    )  # fmt: skip
    arguments = parser.parse_args()
    if arguments.study != "report":
        known = studies[arguments.study].tasks
        if unknown := [task for task in arguments.tasks or [] if task not in known]:
            parser.error(f"--tasks: {', '.join(unknown)} is not among the study's tasks: {', '.join(known)}.")
        out = arguments.out or Path(f"{name}.jsonl")
        run(out, arguments.study, studies[arguments.study], arguments.tasks, arguments.seeds)
        return
    out = arguments.out or RESULTS / f"{name}.jsonl"
    rows = cells.read(out)
    if not rows:
        raise SystemExit(f"{out} holds no finished cells; run a study first, or name its file by --out.")
    print(report(rows))
