"""avo.benchmarks.studies.study: a stopped study goes on where it was, and wrong words end in a sentence."""

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from avo.benchmarks.studies import study as studies
from avo.benchmarks.studies.study import Study
from avo.benchmarks.suite import cells


def study(calls: list[tuple[str, int]], stop_after: int = 99) -> Study:
    def measure(task: str, seed: int) -> dict[str, Any]:
        if len(calls) == stop_after:
            raise KeyboardInterrupt
        calls.append((task, seed))
        return {"value": 10 * seed, "list": [1, 2]}

    return Study(measure, ["a", "b"], (0, 2))


def test_a_stopped_study_goes_on_where_it_was(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path, calls = tmp_path / "cells.jsonl", []
    with pytest.raises(KeyboardInterrupt):
        studies.run(path, "s", study(calls, 3))
    assert calls == [("a", 0), ("a", 1), ("b", 0)]
    calls.clear()
    studies.run(path, "s", study(calls))
    assert calls == [("b", 1)]
    studies.run(path, "other", study(calls), tasks=["b"], seeds=(5, 6))
    assert [(r["study"], r["task"], r["seed"], r["value"]) for r in cells.read(path)] == [
        ("s", "a", 0, 0), ("s", "a", 1, 10), ("s", "b", 0, 0), ("s", "b", 1, 10), ("other", "b", 5, 50),
    ]  # fmt: skip
    printed = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert len(printed) == 5 and all("list" not in row for row in printed)


def test_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """It measures into the current folder, and reports of the checkout's results, or of a file named."""
    calls: list[tuple[str, int]] = []
    stored = tmp_path / "checkout"
    monkeypatch.setattr(studies, "RESULTS", stored)
    monkeypatch.chdir(tmp_path)

    def command(*words: str) -> None:
        monkeypatch.setattr(sys, "argv", ["x", *words])
        studies.main("x", "What it is.\n\nMore.", {"s": study(calls)}, lambda rows: f"{len(rows)} rows")

    with pytest.raises(SystemExit, match="checkout/x.jsonl holds no finished cells; run a study first"):
        command()
    with pytest.raises(SystemExit) as stopped:
        command("s", "--tasks", "a", "c")
    assert stopped.value.code == 2 and calls == []
    assert "--tasks: c is not among the study's tasks: a, b." in capsys.readouterr().err
    command("s", "--tasks", "b", "--seeds", "1", "2")
    assert calls == [("b", 1)] and [p.name for p in tmp_path.iterdir()] == ["x.jsonl"]
    capsys.readouterr()
    command("report", "--out", "x.jsonl")
    assert capsys.readouterr().out == "1 rows\n"


def test_the_stored_results_are_there_and_reported_from_the_checkout() -> None:
    assert len(cells.read(studies.RESULTS / "check.jsonl")) == 1400
    assert len(cells.read(studies.RESULTS / "suite" / "cells.jsonl")) == 14_960
