"""`avo fit --workers`, `avo check` and `avo replay` of a user's own simulator, part of whose calls fail."""

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

import avo
from avo.command import app

pytestmark = pytest.mark.usefixtures("single_precision")

FILE = """
import numpy as np
import avo
import neighbour

space = avo.Space(rate=avo.LogInterval(0.1, 10, unit="1/s"), dead=avo.Interval(0, 2))

def gaps(rng, theta):
    if theta[1] > 1.5:
        raise ArithmeticError("dead for too long")
    return neighbour.gaps(rng, *theta)
"""
NEIGHBOUR = """
def gaps(rng, rate, dead):
    return dead + rng.exponential(1 / rate, size=4)
"""
BUDGET = 6000


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("home")
    (folder / "counter.py").write_text(FILE)
    (folder / "neighbour.py").write_text(NEIGHBOUR)
    rng = np.random.default_rng(3)
    for name, n in (("gaps.npy", 400), ("later.npy", 60)):
        np.save(folder / name, 0.7 + rng.exponential(1 / 2.5, size=(n, 4)))
    return folder


@pytest.fixture
def run(home: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.chdir(home)

    def command(*words: Any, status: int = 0) -> str:
        done = CliRunner().invoke(app, [str(word) for word in words])
        if done.exception is not None and not isinstance(done.exception, SystemExit):
            raise done.exception
        assert done.exit_code == status, done.output
        return done.output

    return command


@pytest.fixture
def fitted(run: Any, home: Path) -> str:
    """What the fit on two workers printed, run once."""
    kept = home / "printed.txt"
    if not kept.exists():
        words = ("counter.py:gaps", "--data", "gaps.npy", "--budget", BUDGET, "--workers", 2, "--out", "run")
        kept.write_text(run("fit", *words))
    return kept.read_text()


def test_two_workers_reach_a_fit_beside_a_corner_that_fails(fitted: str, home: Path) -> None:
    result = avo.load(home / "run")
    assert result.stderr is not None and result.answered
    assert abs(result.theta[0] - 2.5) < 4 * result.stderr[0] and abs(result.theta[1] - 0.7) < 0.05
    count = result.failures["exception"]
    assert f"of which failed: {count:,} exception" in fitted
    assert {path.name for path in (home / "run").iterdir()} >= {"calls.sqlite", "predictive.png", "command.json"}
    assert json.loads((home / "run" / "command.json").read_text())["options"]["workers"] == 2


def test_the_report_says_how_calls_failed(fitted: str, run: Any, home: Path) -> None:
    printed = run("report", "run")
    assert re.search(
        r"failed calls:\n\d+ exception, first call \d+: the simulator failed at .*ArithmeticError", printed
    )
    assert printed.endswith("run/report.html\n")
    page = (home / "run" / "report.html").read_text()
    assert "avo fit counter.py:gaps" in page and "Failed calls" in page


def test_a_failed_call_is_repeated(fitted: str, run: Any, home: Path) -> None:
    number, _ = avo.load(home / "run").failures.examples["exception"]
    printed = run("replay", "run", number, "--simulator", "counter.py:gaps")
    head, then, now = re.fullmatch(r"(.*)\nthen: (.*)\nnow: (.*)\n", printed, re.S).groups()  # type: ignore[union-attr]
    dead = re.search(r"dead=([\d.]+)", head)
    assert head.startswith(f"call {number} at rate=") and dead is not None and float(dead[1]) > 1.5
    assert then.startswith("exception: the simulator failed at theta = ")
    assert now.startswith("Traceback") and "counter.py" in now and now.endswith("ArithmeticError: dead for too long")


def test_a_call_that_succeeded_gives_the_same_again(fitted: str, run: Any, home: Path) -> None:
    number = next(i for i in range(100) if "x = " in run("replay", "run", i, "--trust"))
    printed = run("replay", "run", number, "--trust")
    then, now = re.search(r"then: (x = .*?)\nnow: (x = .*)\n", printed, re.S).groups()  # type: ignore[union-attr]
    assert then == now
    seed = json.loads(re.search(r"default_rng\((.*)\)", printed)[1])  # type: ignore[index]
    rate, dead = (float(value) for value in re.search(r"rate=(\S+), dead=(\S+)", printed).groups())  # type: ignore[union-attr]
    assert str(dead + np.random.default_rng(seed).exponential(1 / rate, size=4)) == then.removeprefix("x = ")


def test_nothing_that_a_folder_names_is_run_unasked(fitted: str, run: Any, home: Path) -> None:
    before = (home / "counter.py").read_text()
    (home / "counter.py").write_text("raise SystemExit('run')")
    try:
        for words in (("check", "run", "--data", "later.npy"), ("replay", "run", 3)):
            said = run(*words, status=2)
            assert re.search(r"run names counter.py, sha256 [0-9a-f]{16}, which would be run", said)
            assert "Say --simulator counter.py:gaps, or --trust." in said
    finally:
        (home / "counter.py").write_text(before)


def test_check_takes_the_simulator_and_workers(fitted: str, run: Any) -> None:
    words = ("check", "run", "--data", "later.npy", "--replicates", 19, "--quiet")
    alone = run(*words, "--simulator", "counter.py:gaps")
    assert alone == run(*words, "--trust", "--workers", 2)
    assert "19 replicates" in alone


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("replay", "run", 10**7, "--trust"), r"CALL must be the number of a call of run, from 0 to below \d"),
        (("replay", ".", 3), r"keeps no calls \(no calls.sqlite\); runs of simulators outside JAX do"),
        (("replay", "run", -3), "-3"),
        (("fit", "counter.py:gaps", "--data", "gaps.npy", "--workers", 0), "--workers"),
        (("fit", "poisson", "--workers", 2), "executor= is for simulators outside JAX"),
        (("fit", "counter.py:gaps", "--data", "gaps.npy", "--max-failures", 1.5), "--max-failures"),
        (("fit", "counter.py:gaps", "--data", "gaps.npy", "--max-failures", 0, "--budget", BUDGET, "--out", "none"),
         "more than max_failures=0 allows"),
    ],
)  # fmt: skip
def test_mistakes_end_in_a_sentence(words: tuple[Any, ...], said: str, fitted: str, run: Any, home: Path) -> None:
    assert re.search(said, run(*words, status=2))
