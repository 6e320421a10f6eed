"""avo.benchmarks.suite.tables, .pictures and .command: arithmetic against hand-made rows, words, files."""

import csv
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from avo.benchmarks.suite import cells, command
from avo.benchmarks.suite import run as suite
from avo.benchmarks.suite.claims import calls_to, race, reach
from avo.benchmarks.suite.methods import METHODS
from avo.benchmarks.suite.pictures import curves, heat_map
from avo.benchmarks.suite.summary import bootstrap, line
from avo.benchmarks.suite.tables import markdown
from avo.benchmarks.suite.tasks import TASKS
from avo.command import app


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
    some[0] |= {"covered": [True, False], "stderr": [None, 0.1], "width": [1.5]}
    some[1] |= {"covered": [True, True], "stderr": [0.2, 0.3], "width": [2.5, 1.7]}
    found = line(some)
    assert (found.seeds, found.failed, found.over, found.worst) == (4, 1, 2.6, np.inf)
    assert (
        found.success == 0.75 and found.covered == pytest.approx(2 / 3) and found.finite == 3 / 8 and found.width == 1.7
    )
    assert (found.calls, found.cpu, found.peak_mb) == (1000, 3.5, 400.0)
    assert (found.covered_low, found.covered_high) == (0.0, 1.0)
    assert (found.width_low, found.width_high) == (1.5, np.inf)
    assert found.success_low == pytest.approx(0.1941, abs=1e-4)  # of 3 of 4: P(3 or more | p) = 0.025
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


def test_the_upper_limit_of_unequal_pairs_by_hand() -> None:
    """Two pairs, (1, 1) and (3, 1): resampled medians are 1, 2, 2, 3, so that the 95th percentile is 3, the 5th 1."""
    found = rows("poisson", "avo", 10_000, 1.0, 3.0) + rows("poisson", "cma", 10_000, 1.0, 1.0)
    r = race(found, "poisson", 10_000)
    assert r is not None and (r.ratio, r.upper) == (2.0, 3.0)


def test_a_rival_of_fewer_seeds_is_left_out_of_the_race() -> None:
    found = rows("poisson", "avo", 10_000, 1.0, 1.0) + rows("poisson", "cma", 10_000, 4.0, 4.0)
    r = race(found + rows("poisson", "nle", 10_000, 0.1), "poisson", 10_000)
    assert r is not None and (r.rival, r.seeds, r.ratio, r.few) == ("cma", 2, 0.25, ("nle",))
    told = markdown(found + rows("poisson", "nle", 10_000, 0.1))
    assert "- Left out for fewer seeds than others have: nle at 10,000 calls on poisson." in told
    absent = {"study": "bench", "method": "de", "ended": "not installed", "why": "ot"}
    assert "Left out" not in markdown([*found, absent])


def test_the_best_rival_is_so_on_the_same_seeds() -> None:
    """nle has .2 on the ten luckiest seeds, where avo has .1; cma .9 on all, avo 1 in the median."""
    found = rows("poisson", "avo", 10_000, *10 * [0.1], *20 * [1.0]) + rows("poisson", "cma", 10_000, *30 * [0.9])
    r = race(found + rows("poisson", "nle", 10_000, *10 * [0.2]), "poisson", 10_000)
    assert r is not None and (r.rival, r.seeds) == ("cma", 30)


def test_ten_seeds_are_enough_to_be_the_best_rival() -> None:
    found = rows("poisson", "avo", 10_000, *12 * [1.0]) + rows("poisson", "cma", 10_000, *12 * [4.0])
    for seeds, expected in ((9, ("cma", 12, 0.25)), (10, ("nle", 10, 2.0))):
        r = race(found + rows("poisson", "nle", 10_000, *seeds * [0.5]), "poisson", 10_000)
        assert r is not None and (r.rival, r.seeds, r.ratio) == expected


def test_a_race_says_what_the_maximum_likelihood_would_have() -> None:
    """As by hand above, the maximum likelihood's pairs (1, 2) and (6, 2): ratios of .5, 1.75, 1.75, 3."""
    found = rows("poisson", "avo", 10_000, 1.0, 1.0) + rows("poisson", "cma", 10_000, 2.0, 2.0)
    known = race(found + rows("poisson", "mle", 0, 1.0, 6.0), "poisson", 10_000)
    unknown = race(found, "poisson", 10_000)
    assert known is not None and (known.upper, known.ideal) == (0.5, 3.0)
    assert unknown is not None and unknown.ideal is None
    assert "With the maximum likelihood in avo's place it would be in 0 of 1" in markdown(
        found + rows("poisson", "mle", 0, 1.0, 6.0)
    )


def test_a_race_against_rivals_without_an_answer_is_kept() -> None:
    failed = rows("poisson", "cma", 10_000, None, float("nan")) + rows("poisson", "de", 10_000, None, None)
    for own, expected in (((1.0, 2.0), 0.0), ((None, None), np.inf)):
        r = race(rows("poisson", "avo", 10_000, *own) + failed, "poisson", 10_000)
        assert r is not None and (r.rival, r.ratio, r.upper) == ("cma", expected, expected)


def test_nothing_said_earns_no_coverage() -> None:
    silent = rows("poisson", "avo", 1000, 1.0, 1.0, covered=[True], stderr=[None])
    assert (line(silent).covered, line(silent).finite) == (None, 0.0)
    judged = line(rows("epem", "avo", 1000, 1.0, 1.0, covered=[True, True], stderr=[None, 0.1]))
    assert judged.covered is judged.finite is None
    assert line(rows("poisson", "avo", 1000, float("nan"), 1.0)).failed == 1


def test_the_rival_that_comes_first_to_twice_the_floor() -> None:
    """cma comes at 100,000, and was not run at the 2000 where avo comes; de never does."""
    found = [r for b, v in ((2000, 1.5), (10_000, 1.2), (100_000, 1.1)) for r in rows("poisson", "avo", b, v)]
    found += rows("poisson", "cma", 10_000, 5.0) + rows("poisson", "cma", 100_000, 1.9)
    found += rows("poisson", "de", 2000, 9.0)
    assert reach(found, "poisson") == ("poisson", 10_000, "cma", 100_000, 10_000, 100_000)
    never = reach([r for r in found if r["method"] != "cma"], "poisson")
    assert never is not None and never == ("poisson", 2000, "de", np.inf, 2000, 2000) and never.ratio == 1.0
    assert reach(found, "sir") is None
    text = markdown(found)
    assert "| poisson | at most 10,000 | 100,000 | cma | at most 0.10 |" in text and "Median ratio: 0.10, " in text
    assert "Upper limit at most 1.1 in 2 of 2 cells." in text


@pytest.mark.parametrize(
    "own, theirs, ratio",
    [
        ((9.0, 1.0, 1.0), (9.0, 9.0, 1.0), "0.10"),
        ((1.0, 1.0, 1.0), (9.0, 1.0, 1.0), "at most 0.10"),
        ((9.0, 1.0, 1.0), (1.0, 1.0, 1.0), "at least 10.00"),
        ((1.0, 1.0, 1.0), (1.0, 1.0, 1.0), "-"),
        ((9.0, 1.0, 1.0), (9.0, 9.0, 9.0), "at most 0.10"),
        ((9.0, 9.0, 9.0), (9.0, 1.0, 1.0), "-"),
    ],
)
def test_the_ratio_of_bounds_is_a_bound(own: tuple[float, ...], theirs: tuple[float, ...], ratio: str) -> None:
    found = []
    for budget, a, b in zip((1000, 10_000, 100_000), own, theirs, strict=True):
        found += rows("poisson", "avo", budget, a) + rows("poisson", "cma", budget, b)
    assert f"| cma | {ratio} |\n" in markdown(found)


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
        "| poisson | avo | 2 | 1.10 [1.00, 1.20] | 1.05 | 1.20 | 100 [16, 100] | - | - | - | 10,000 | 2.5 | 400 | ok |"
        in text
    )
    assert "| poisson | moments | 2 | none [3.00, none] | 1.05 | none | 50 [1, 99] |" in text and "**red**" in text
    assert "| mg1\\* | avo |" in text and "no likelihood: the floor is" in text
    assert "avo succeeds in all seeds on 1 of 2 tasks at 100,000 calls. Not on mg1." in text
    assert "- moments, 10,000 calls, 1 cells (poisson): no luck" in text
    assert "- cma: not installed, needs cma" in text and "- nle: not run" in text
    assert all(f"- {name}" in text for name in METHODS if name not in ("mle", "avo", "moments"))
    assert "- cma: not" not in markdown([*STORED, *rows("poisson", "cma", 10_000, 1.0)])
    assert markdown([]).startswith("No finished cells.")
    assert "- cma: not installed, needs cma" in markdown([STORED[-1]])


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


def test_nothing_written_in_a_picture_lies_outside_it() -> None:
    lines = [line(rows(task, "avo", 10**6, 1.0)) for task in TASKS]  # a narrow picture with long names
    for figure in (heat_map(lines, 10**6), curves(lines)):
        figure.draw_without_rendering()
        inside = figure.get_tightbbox()
        assert inside.x0 >= 0 and inside.y0 >= 0
        assert inside.x1 <= figure.get_figwidth() and inside.y1 <= figure.get_figheight()


@pytest.mark.parametrize(
    "words, sentence",
    [
        (["--tasks", "poison"], "--tasks must name some of poisson, .* got 'poison'. Did you mean 'poisson'"),
        (["--methods", ","], "--methods must name at least one of mle, "),
        (["--seeds", "5:5"], "--seeds must be a number above 0, or FIRST:END .* got '5:5'"),
        (["--budget", "1e4,x"], "--budget must be whole numbers of calls above 0, .* got '1e4,x'"),
        (["--budget", "0.5"], "--budget must be whole numbers of calls"),
        (["--tasks", "mg1", "--methods", "mle"], "--methods mle needs tasks with a likelihood, which mg1, detector"),
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


def test_words_name_the_argument_that_is_wrong(tmp_path: Path) -> None:
    (tmp_path / "o").write_text("")
    cells.append(tmp_path / suite.CELLS, STORED[0])
    (tmp_path / "bytes.md").write_bytes(b"\xff\xfe")
    (tmp_path / "plain.md").write_text(f"results\n{command.END}\n{command.START}\n")
    readme = ["report", str(tmp_path), "--readme"]
    for words, sentence in (
        (["--out", str(tmp_path / "o" / "x")], "--out: .*o is a file"),
        (["report", str(tmp_path / "o")], "report OUT: .*o is a file"),
        ([*readme, str(tmp_path / "missing.md")], "--readme: there is no file .*missing.md"),
        ([*readme, str(tmp_path / "bytes.md")], "--readme: .*bytes.md is no text"),
        ([*readme, str(tmp_path / "plain.md")], "--readme: .*plain.md must hold the lines"),
    ):
        done = CliRunner().invoke(app, ["bench", *words])
        assert done.exit_code == 2 and re.search(f"^error: {sentence}", done.stderr), done.stderr
        assert not (tmp_path / "table.md").exists()


def test_lines_that_are_no_cells_are_skipped(tmp_path: Path) -> None:
    path = tmp_path / suite.CELLS
    strange = ("7", "[1]", "{}", '{"study": ["bench"]}', '{"study": "bench", "task": "poisson"}', '{"study": "other"}')
    nameless = '{"study": "bench", "method": "avo", "task": "poisson", "budget": 10, "seed": 0}'
    path.write_bytes("\n".join([*strange, nameless, ""]).encode() + b'"\xff\xfe"\n')
    assert suite.stored(path) == [] and len(cells.read(path)) == 3
    cells.append(path, absent := STORED[-1] | {"budget": "10"})  # of a method that was not installed it says nothing
    assert suite.stored(path) == [absent]
    cells.append(path, STORED[1])
    assert suite.stored(path) == [absent, STORED[1]] and "| poisson | avo |" not in command.report(tmp_path)


@pytest.mark.parametrize(
    "part, value",
    [("budget", "10"), ("budget", None), ("budget", -10), ("seed", "0"), ("over", "1"), ("success", 3),
     ("stderr", [0.1, "x"]), ("stderr", None), ("stderr", [0.1, 0.2]), ("width", [[]]), ("why", 1), ("ended", None)],
)  # fmt: skip
def test_a_cell_with_a_value_of_another_kind_is_none(part: str, value: Any, tmp_path: Path) -> None:
    """It is measured again, and what was measured then counts."""
    path, right = tmp_path / suite.CELLS, row("poisson", "avo", 10, 0, 1.0, stderr=[0.1], covered=[True], width=[1.0])
    for one in (right | {part: value}, right):
        assert suite.stored(path) == []
        cells.append(path, one)
    assert suite.stored(path) == [right]


def test_a_damaged_description_of_the_machine_is_named(tmp_path: Path) -> None:
    cells.append(tmp_path / suite.CELLS, STORED[1])
    (tmp_path / suite.MACHINE).write_text("[1]")
    done = CliRunner().invoke(app, ["bench", "report", str(tmp_path)])
    assert done.exit_code == 2 and re.search("^error: .*machine.json is damaged", done.stderr)


def test_what_runs_by_default() -> None:
    own, rivals, between = command.studies(None, None, None, quick=False)
    assert own == (tuple(command.TASKS), ("mle", "avo"), (1000, 10_000, 100_000, 1_000_000))
    assert rivals[0] == command.SIX and {"cma", "avo-alone", "gp-2017"} < set(rivals[1]) and "avo" not in rivals[1]
    assert rivals[2] == (10_000, 100_000)
    assert between[0] == command.SIX and "avo" in between[1] and {*between[2]} & {*own[2]} == {1000}
    assert len(command.studies(None, None, "1e4", quick=False)) == 2
    assert command.studies("sir", "avo,cma", "1e4", quick=False) == [(("sir",), ("avo", "cma"), (10_000,))]
    assert command.seeds_of("3") == (0, 1, 2) and command.seeds_of("5:7") == (5, 6)
