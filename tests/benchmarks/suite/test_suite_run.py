"""avo.benchmarks.suite: cells are measured once, whatever is killed, and a broken avo shows up red."""

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest

import avo
from avo.adversarial import trainer
from avo.benchmarks.suite import cells, summary, tasks
from avo.benchmarks.suite import run as suite
from avo.benchmarks.suite.methods import METHODS, Answer, Method, Spent, _avo
from avo.benchmarks.suite.run import Group, judge, measure, plan
from avo.execution import programs


def put(monkeypatch: pytest.MonkeyPatch, fit: Callable[..., Answer], name: str = "avo") -> None:
    monkeypatch.setitem(METHODS, name, Method("of the test", fit))


def test_errors_success_and_intervals_by_hand() -> None:
    task, seed = tasks.get("poisson"), 3
    (rate,), (floor,) = task.truth(seed), task.floor(seed)
    at = lambda off, stderr: judge(task, Answer(rate + np.array([off]), np.array([stderr])), seed)  # noqa: E731
    row = at(0.29, 0.2)  # 1 % of the range, 1.45 standard errors
    assert row["over"] == pytest.approx(0.01 / floor, rel=1e-3) and row["success"] and row["covered"] == [True]
    assert row["width"] == pytest.approx([0.2 / 29 / floor], rel=0.05)  # in u, where the scale changes with theta
    assert at(0.29, 0.15)["covered"] == [False]
    assert at(1.46, np.inf) | {"success": False} == at(1.46, np.inf)  # 5.03 % of the range
    assert at(1.44, np.inf)["success"] and at(1.44, np.inf)["covered"] == [True] and at(1.44, np.inf)["width"] == []
    assert at(1.44, np.inf)["stderr"] == [None]
    # Each error in u by the slope where it is stated: 29 p (1 - p), at the estimate and, for the floor's, at the truth
    p, p_true = (np.array([1.44, 0.0]) + rate - 1) / 29
    own = floor / (p_true * (1 - p_true))
    assert at(1.44, 0.2)["width"] == pytest.approx([0.2 / (29 * p * (1 - p)) / own], rel=1e-5)
    assert abs(p * (1 - p) / (p_true * (1 - p_true)) - 1) > 0.05
    assert "covered" not in judge(task, Answer(np.array([rate])), seed)


def test_success_where_the_data_allow_no_five_per_cent() -> None:
    """epem2's floor is 4.1 % of the range of the energy at seed 3: 4 floors are allowed."""
    task, seed = tasks.get("epem2"), 3
    floor = task.floor(seed)[0]
    assert 0.05 < 3.9 * floor
    theta = task.truth(seed)
    assert judge(task, Answer(theta + np.array([39.0 * floor, 0.0])), seed)["success"]
    assert not judge(task, Answer(theta + np.array([41.0 * floor, 0.0])), seed)["success"]


def test_what_goes_wrong_is_in_the_row(monkeypatch: pytest.MonkeyPatch) -> None:
    def greedy(simulate: Any, x_obs: Any, space: Any, budget: int, seed: int) -> Answer:
        simulate(np.full((60, 1), 7.0))
        simulate.note(np.array([11.0]), np.array([0.5]))
        return Answer(simulate(np.full((60, 1), 7.0)))

    put(monkeypatch, greedy)
    row = measure("poisson", "avo", 100, 0)
    assert (row["ended"], row["calls"], row["theta"]) == ("spent", 60, [11.0])
    assert row["why"] == "60 calls asked for, 40 of 100 left"

    def without(simulate: Any, *_: Any) -> Answer:
        raise Spent("nothing noted")

    def wrong(*_: Any) -> Answer:
        raise ValueError("no such\n luck")

    for fit, why in ((without, "nothing noted"), (wrong, "ValueError: no such luck"),
                     (lambda *_: Answer(np.array([np.nan])), "no answer")):  # fmt: skip
        put(monkeypatch, fit)
        row = measure("poisson", "avo", 100, 0)
        assert (row["ended"], row["why"]) == ("failed", why) and "over" not in row
    put(monkeypatch, lambda *_: (np.array([7.0]), None))  # pyright: ignore[reportArgumentType]
    row = measure("poisson", "avo", 100, 0)
    assert row["ended"] == "failed" and row["why"].startswith("AttributeError: 'tuple'")


def test_the_maximum_likelihood_is_a_method() -> None:
    row = measure("linear5", "mle", 0, 2)
    assert row["calls"] == 0 and row["over"] < 2.5 and row["width"] == pytest.approx([1, 1], rel=0.02)
    assert measure("mg1", "mle", 0, 2)["why"] == "ValueError: mg1 has no likelihood."
    with pytest.raises(ValueError, match="task poisson must have a problem with log_prob, or features= "):
        tasks.Task(replace(tasks.get("poisson").problem, log_prob=None))


def test_the_plan_has_small_budgets_first_and_the_reference_once() -> None:
    """mg1 has no likelihood, and so no reference."""
    assert plan(("poisson", "mg1"), ("mle", "avo"), (200, 100), (0, 1)) == [
        Group("poisson", "mle", 0, (0, 1)), Group("poisson", "avo", 100, (0, 1)), Group("mg1", "avo", 100, (0, 1)),
        Group("poisson", "avo", 200, (0, 1)), Group("mg1", "avo", 200, (0, 1)),
    ]  # fmt: skip


def test_time_left_is_that_of_like_cells() -> None:
    rows = [{"method": "avo", "budget": b, "seconds": s} for b, s in ((100, 2.0), (100, 4.0), (10_000, 50.0))]
    left = suite.time_left(rows, [Group("sir", "avo", 1000, (0, 1)), Group("sir", "cma", 100, (0,))], jobs=2)
    near_100 = 3.0  # 1000 is as near to 100 as to 10,000: the first of them
    assert left == pytest.approx((2 * min(near_100, 50.0) + (3.0 + 50.0) / 2) / 2)
    assert np.isnan(suite.time_left([], [], 1))


def test_a_killed_run_leaves_at_most_a_torn_line(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "cells.jsonl"
    row = {"study": "bench", "task": "a", "method": "avo", "budget": 10, "seed": 0, "over": 1.5}
    cells.append(path, row)
    with path.open("a") as file:
        file.write(json.dumps(row | {"seed": 1})[:25])
    cells.append(path, row | {"seed": 2})
    cells.append(path, row | {"over": 9.0})  # measured twice: the first counts
    assert [(r["seed"], r["over"]) for r in cells.read(path)] == [(0, 1.5), (2, 1.5)]
    assert path.read_bytes().count(b"\n") == 4


def test_processes_measure_what_is_missing_and_survive_a_death(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The process stands for a group's; it dies at seed 2, and hangs at seed 4."""
    monkeypatch.setattr(suite, "_WORK", _CHILD)
    group = Group("poisson", "moments", 50, (0, 1, 2, 3, 4, 5))
    cells.append(tmp_path / suite.CELLS, group.cell(1) | {"ended": "done", "over": 7.0})
    assert suite.run_groups(tmp_path, [group], jobs=2, limit=6.0, progress=False) == 5
    rows = {row["seed"]: row for row in cells.read(tmp_path / suite.CELLS)}
    assert sorted(rows) == [0, 1, 2, 3, 4, 5] and rows[1]["over"] == 7.0
    assert [rows[s]["ended"] for s in (0, 2, 3, 4, 5)] == ["done", "failed", "done", "failed", "done"]
    assert rows[2]["why"] == "its process ended by 3: no memory" and rows[4]["why"] == "took more than 6 s"
    assert suite.run_groups(tmp_path, [group], jobs=1, progress=False) == 0


def test_sigterm_ends_the_processes_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(suite, "_WORK", "import time; time.sleep(60)")
    children, before = [], signal.getsignal(signal.SIGTERM)

    def remember(child: Any, *others: Any) -> threading.Timer:
        children.append(child)
        threading.Timer(0.5, os.kill, (os.getpid(), signal.SIGTERM)).start()
        return real(child, *others)

    real = suite._clock
    monkeypatch.setattr(suite, "_clock", remember)
    with pytest.raises(KeyboardInterrupt):
        suite.run_groups(tmp_path, [Group("poisson", "moments", 50, (0,))], progress=False)
    (child,) = children
    assert child.returncode == -signal.SIGKILL and cells.read(tmp_path / suite.CELLS) == []
    assert signal.getsignal(signal.SIGTERM) is before


_CHILD = """
import json, sys, time
group = json.loads(sys.stdin.readline())
for seed in group["seeds"]:
    if seed == 2: print("no memory", file=sys.stderr); sys.exit(3)
    if seed == 4: time.sleep(60)
    cell = {"study": "bench", "task": group["task"], "method": group["method"], "budget": group["budget"], "seed": seed}
    print(json.dumps(cell | {"ended": "done", "over": 1.0, "seconds": 0.1}), flush=True)
"""


def test_a_process_ends_with_its_suite() -> None:
    """The suite's end of stdin closes, as it does when the suite is killed, in a fit that would take minutes."""
    group = json.dumps(Group("brownian", "avo-alone", 10**8, (0,))._asdict())
    words = [sys.executable, "-c", suite._WORK]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=suite.environment()) as child:
        assert child.stdin and child.stdout
        child.stdin.write(f"{group}\n".encode())
        child.stdin.close()
        assert child.stdout.read() == b"" and child.wait(60) == 1


def test_a_real_process_measures_like_this_one(tmp_path: Path) -> None:
    suite.run_groups(tmp_path, plan(("linear5",), ("moments",), (2000,), (3,)), progress=False)
    (row,) = cells.read(tmp_path / suite.CELLS)
    assert row["ended"] == "done" and row["calls"] <= 2000 and 50 < row["peak_mb"] < 5000
    assert json.loads((tmp_path / suite.MACHINE).read_text())["avo"] == avo.__version__


# --- the suite finds what it should ----------------------------------------------------------------------------------


@pytest.fixture
def single_precision() -> Iterator[None]:
    """Fit as users do, and forget the compiled programs of a broken trainer."""
    with jax.enable_x64(False):
        yield
    _forget()


def _forget() -> None:
    """Have a trainer's functions and a simulator's programs made anew; all others stay."""
    trainer._functions.cache_clear()
    programs._shared.cache_clear()


PLAIN = replace(avo.Settings.for_budget(30_000, target="population"), gradient="plain")


def verdict(monkeypatch: pytest.MonkeyPatch, **options: Any) -> summary.Line:
    """Fit poisson with 15,000 calls, adversarial only, since learned scores would mend much of what is broken."""
    put(monkeypatch, _avo(refine=False, **options))
    group = Group("poisson", "avo", 15_000, (0, 1, 2))
    return summary.line([group.cell(seed) | measure(*group[:3], seed) for seed in group.seeds])


@pytest.mark.usefixtures("single_precision")
def test_a_flipped_baseline_shows_red(monkeypatch: pytest.MonkeyPatch) -> None:
    """With plain REINFORCE, and a cost that is far from zero: mirrored pairs cancel the baseline."""
    options = {"settings": PLAIN, "loss": avo.critics.jensen_shannon("saturating")}
    assert not verdict(monkeypatch, **options).red
    right = trainer.reinforce_gradient

    def flipped(cost: Any, score: Any, baseline: Any) -> Any:  # (f + b) score
        return 2 * right(cost, score, "none") - right(cost, score, baseline)

    _forget()
    monkeypatch.setattr(trainer, "reinforce_gradient", flipped)
    assert verdict(monkeypatch, **options).red


@pytest.mark.usefixtures("single_precision")
def test_a_wrong_constant_and_a_critic_without_penalty_show_red(monkeypatch: pytest.MonkeyPatch) -> None:
    assert not verdict(monkeypatch).red
    task = tasks.get("poisson")
    with monkeypatch.context() as other:  # the data have 1.3 times the simulator's rate
        right = lambda seed: tasks.observe(task.problem, 1.3 * task.truth(seed), task.m, seed)  # noqa: E731
        other.setattr(tasks.Task, "observe", lambda self, seed: right(seed))
        assert verdict(monkeypatch).red
    assert verdict(monkeypatch, loss=avo.critics.wasserstein(weight=0.0)).red
