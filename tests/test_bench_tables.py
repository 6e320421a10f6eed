"""avo.benchmarks.tables, .pictures and .command: arithmetic against hand-made rows, words, files."""

import csv
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from avo.benchmarks import cells, command, suite
from avo.benchmarks.methods import METHODS
from avo.benchmarks.tables import bootstrap, calls_to, line, markdown, race
from avo.cli import app


def row(task: str, method: str, budget: int, seed: int, over: float | None, **more: Any) -> dict[str, Any]:
    found = {"study": "bench", "task": task, "method": method, "budget": budget, "seed": seed, "ended": "done"}
    found |= {"calls": budget, "cpu": 2.0 + seed, "seconds": 3.0, "peak_mb": 400.0 + seed, "why": ""}
    if over is None:
        return found | {"ended": "failed", "why": "no luck"} | more
    return found | {"over": over, "success": over < 5, "theta": [1.0]} | more


def rows(task: str, method: str, budget: int, *over: float | None, **more: Any) -> list[dict[str, Any]]:
    return [row(task, method, budget, seed, value, **more) for seed, value in enumerate(over)]


def test_a_line_by_hand() -> None:
    some = rows("poisson", "avo", 1000, 1.2, 0.8, 4.0, None)
    some[0] |= {"covered": [True, False], "width": [1.5]}
    some[1] |= {"covered": [True], "width": [2.5, 1.7]}
    found = line(some)
    assert (found.seeds, found.failed, found.over, found.worst) == (4, 1, 2.6, np.inf)
    assert found.success == 0.75 and found.covered == pytest.approx(2 / 3) and found.width == 1.7
    assert (found.calls, found.cpu, found.peak_mb) == (1000, 3.5, 403.0)
    assert found.limit == pytest.approx(np.sqrt(2)) and found.over_high == np.inf
    assert found.red  # 75 % of success
    fine = line(rows("poisson", "avo", 1000, *10 * [3 * np.sqrt(2) - 0.01]))
    assert not fine.red and fine.over_low == fine.over_high == fine.over
    assert line(rows("poisson", "avo", 1000, *10 * [3 * np.sqrt(2) + 0.01])).red
    assert line(rows("poisson", "mle", 0, 0.7)).limit == 1.0


def test_bootstrap_intervals_are_those_of_the_sampling_law() -> None:
    """The mean of 400 numbers: sd / 20, to 3 %, the error of a percentile of 2000; and it covers as it should."""
    values = np.random.default_rng(0).normal(1.3, 2.0, size=400)
    low, high = bootstrap(values, np.mean, (2.5, 97.5))
    assert high - low == pytest.approx(2 * 1.96 * values.std() / 20, rel=0.06)
    assert (low + high) / 2 == pytest.approx(values.mean(), abs=0.02)
    assert np.array_equal(bootstrap(values, np.mean, (2.5,)), bootstrap(values, np.mean, (2.5,)))
    constant, infinite = bootstrap(np.array([1.0, 1.0, np.inf]), np.median, (0.0, 100.0))
    assert constant == 1.0 and infinite == np.inf


def test_avo_beside_its_best_rival() -> None:
    found = rows("poisson", "avo", 10_000, 1.0, 1.1, 1.2) + rows("poisson", "cma", 10_000, 2.0, 2.2, 2.4)
    found += rows("poisson", "de", 10_000, 0.1, 9.0, 9.0) + rows("poisson", "scores", 10_000, 0.1, 0.1, 0.1)
    r = race(found, "poisson", 10_000)
    assert r is not None and (r.rival, r.ratio, r.upper) == ("cma", 0.5, 0.5)  # seeds are drawn in pairs: always a half
    assert race(found, "poisson", 1000) is None and race(found, "linear5", 10_000) is None
    lost = race(
        rows("poisson", "avo", 10_000, None, None) + rows("poisson", "cma", 10_000, 2.0, 2.2), "poisson", 10_000
    )
    assert lost is not None and lost.ratio == lost.upper == np.inf


def test_calls_to_twice_the_floor() -> None:
    found = [r for b, over in ((1000, 9.0), (10_000, 1.9), (100_000, 1.1)) for r in rows("sir", "avo", b, over, over)]
    assert calls_to(found, "sir", "avo") == 10_000 and calls_to(found, "sir", "avo", 1.0) is None
    assert calls_to(found, "sir", "cma") is None


STORED = [
    *rows("poisson", "mle", 0, 0.9, 1.1), *rows("poisson", "avo", 10_000, 1.0, 1.2),
    *rows("poisson", "avo", 100_000, 0.9, 1.1), *rows("poisson", "moments", 10_000, 3.0, None),
    *rows("mg1", "avo", 100_000, 7.0, 8.0), {"study": "bench", "method": "cma", "ended": "not installed", "why": "cma"},
]  # fmt: skip


def test_the_report_says_everything() -> None:
    text = markdown(STORED)
    assert (
        "| poisson | avo | 2 | 1.10 [1.00, 1.20] | 1.05 | 1.20 | 100 [100, 100] | - | - | 10,000 | 2.5 | 401 | ok |"
        in text
    )
    assert "| poisson | moments | 2 | none [3.00, none] | 1.05 | none | 50 [0, 100] |" in text and "**red**" in text
    assert "| mg1\\* | avo |" in text and "no likelihood: the floor is" in text
    assert "avo succeeds in all seeds on 1 of 2 tasks at 100,000 calls. Not on mg1." in text
    assert "- moments, 10,000 calls, 1 cells (poisson): no luck" in text
    assert "- cma: not installed, needs cma" in text and "- nle: not run" in text
    assert all(f"- {name}" in text for name in METHODS if name not in ("mle", "avo", "moments"))
    assert "- cma: not" not in markdown([*STORED, *rows("poisson", "cma", 10_000, 1.0)])
    assert markdown([]) == "No finished cells."


def test_the_command_reports_without_running(tmp_path: Path) -> None:
    for r in STORED:
        cells.append(tmp_path / suite.CELLS, r)
    readme = tmp_path / "README.md"
    readme.write_text(f"before\n{command.START}\nold\n{command.END}\nafter\n")
    done = CliRunner().invoke(app, ["bench", "report", str(tmp_path), "--readme", str(readme)])
    assert done.exit_code == 0 and done.output.startswith("### No calls")
    assert readme.read_text() == f"before\n{command.START}\n\n{done.output.rstrip()}\n\n{command.END}\nafter\n"
    assert (tmp_path / "table.md").read_text() == done.output
    table = list(csv.DictReader((tmp_path / "table.csv").read_text().splitlines()))
    assert [t["task"] for t in table] == ["poisson", "poisson", "poisson", "poisson", "mg1"]
    assert table[1]["over"] == "1.1" and table[0]["covered"] == "" and table[2]["red"] == "True"
    assert all((tmp_path / name).stat().st_size > 5000 for name in ("curves.png", "heat-10000.png", "heat-100000.png"))


@pytest.mark.parametrize(
    "words, sentence",
    [
        (["--tasks", "poison"], "--tasks must name poisson, .* got 'poison'. Did you mean 'poisson'"),
        (["--methods", ","], "--methods must name at least one of mle, "),
        (["--seeds", "5:5"], "--seeds must be a number above 0, or FIRST:END .* got '5:5'"),
        (["--budget", "1e4,x"], "--budget must be whole numbers of calls above 0, .* got '1e4,x'"),
        (["--budget", "0.5"], "--budget must be whole numbers of calls"),
        (["report", "nowhere"], "nowhere holds no finished cells"),
    ],
)
def test_wrong_words_end_in_a_sentence(words: list[str], sentence: str, tmp_path: Path) -> None:
    done = CliRunner().invoke(app, ["bench", *([] if words[0] == "report" else ["--out", str(tmp_path / "o")]), *words])
    assert done.exit_code == 2 and len(done.stderr.splitlines()) == 1
    assert re.search(f"^error: .*{sentence}", done.stderr)
    assert not (tmp_path / "o").exists()


def test_a_file_in_place_of_the_folder(tmp_path: Path) -> None:
    (tmp_path / "o").write_text("")
    done = CliRunner().invoke(app, ["bench", "--out", str(tmp_path / "o")])
    assert done.exit_code == 2 and "is a file; choose a folder" in done.stderr


def test_what_runs_by_default() -> None:
    own, rivals, between = command.studies(None, None, None, quick=False)
    assert own == (tuple(command.TASKS), ("mle", "avo"), (1000, 10_000, 100_000, 1_000_000))
    assert rivals[0] == command.SIX and {"cma", "avo-alone", "gp-2017"} < set(rivals[1]) and "avo" not in rivals[1]
    assert rivals[2] == (10_000, 100_000)
    assert between[0] == command.SIX and "avo" in between[1] and not {*between[2]} & {*own[2]}
    assert len(command.studies(None, None, "1e4", quick=False)) == 2
    assert command.studies("sir", "avo,cma", "1e4", quick=False) == [(("sir",), ("avo", "cma"), (10_000,))]
    assert command.seeds_of("3") == (0, 1, 2) and command.seeds_of("5:7") == (5, 6)
