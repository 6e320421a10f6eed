"""Nothing of a comparison is lost: stopped and continued it ends in the same numbers, in a folder of its own."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from avo import latents
from avo.command import app
from avo.latents import comparison, repetition
from avo.latents.cells import Cell
from avo.latents.family import Size
from avo.latents.repetition import Record, Setup, record

TINY = Size(60, 60, 2, 12_000, (50, 60), ("AE", "beta 4"), 30, 200)
MADE: list[str] = []  # cells, in their order
CELLS = 2 * (1 + 2) + 2 * 2 * (1 + 1)  # two seeds: fit and two members; one rung and outside, of members and of others


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    """Make cells of numbers drawn by their names; `left` of them, then Ctrl-C comes."""
    state = {"left": 10**6}

    def numbers(seed: int, route: str, *measures: str) -> list[Record]:
        if state["left"] == 0:
            raise KeyboardInterrupt
        state["left"] -= 1
        MADE.append(f"{seed} {route} {measures[0]}")
        rng = np.random.default_rng([seed, *route.encode(), *measures[0].encode()])
        return [record(seed, route, name, rng.normal()) for name in measures]

    def arrays(seed: int, rows: int) -> dict[str, np.ndarray]:
        shown = {"moved": np.random.default_rng(rows).normal(size=(rows, 7, 64)), "active": np.arange(rows) > 0}
        return {} if seed else shown

    def regressions(self: Any) -> Cell:
        return Cell(numbers(self.seed, "simulator", "mig", "r2"), arrays(self.seed, 4))

    def autoencoder(self: Any, name: str) -> Cell:
        found = numbers(self.seed, name, "label score", "mig")
        codes = np.random.default_rng([self.seed, *name.encode()]).normal(size=(30, 3))
        return Cell(found, arrays(self.seed, 3) | {"codes": codes})

    def small(setup: Setup, members: Sequence[str], n: int, seed: int) -> list[Record]:
        return numbers(seed, " and ".join(members) or "PCA", f"r2 from {n}")

    def outside(setup: Setup, members: Sequence[str], seed: int) -> list[Record]:
        return numbers(seed, " and ".join(members) or "PCA", "outside error")

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(repetition._Seed, "regressions", regressions)
    monkeypatch.setattr(repetition._Seed, "autoencoder", autoencoder)
    for module, name, replaced in (
        (repetition, "_small", small), (repetition, "_outside", outside), (comparison, "QUICK", TINY),
    ):  # fmt: skip
        monkeypatch.setattr(module, name, replaced)
    MADE.clear()
    return state


def compare(**options: Any) -> latents.Comparison:
    return latents.compare("oscillator", **{"seeds": 2, "quick": True, "progress": False, "jobs": 1} | options)


@pytest.mark.parametrize("stops", [(1,), (4, 5), (CELLS - 1,)])
def test_stopped_and_continued_ends_in_the_same_numbers(drawn: Any, tmp_path: Path, stops: tuple[int, ...]) -> None:
    whole = compare()
    assert len(MADE) == CELLS == len(set(MADE))
    MADE.clear()
    for i, drawn["left"] in enumerate(stops):
        with pytest.raises(KeyboardInterrupt):
            compare(out=tmp_path / "run", resume=i > 0)
        assert len(list((tmp_path / "run" / "cells").iterdir())) == sum(stops[: i + 1])
    drawn["left"] = 10**6
    found = compare(out=tmp_path / "run", resume=True)
    assert len(MADE) == CELLS  # none twice
    assert found.records == whole.records and found.chosen == whole.chosen and found.settings == whole.settings
    for part in ("moved", "active"):
        ours, theirs = getattr(found.shown, part), getattr(whole.shown, part)
        assert set(ours) == set(theirs) == {"simulator", "AE", "beta 4"}
        assert all(np.array_equal(ours[name], theirs[name]) for name in ours)
    # Again, and with a seed more, which is all that is made
    assert compare(out=tmp_path / "run", resume=True).records == whole.records and len(MADE) == CELLS
    MADE.clear()
    more = compare(out=tmp_path / "run", resume=True, seeds=3)
    assert {r["seed"] for r in more.records} == {0, 1, 2, "all"}
    assert all(name.startswith("2 ") for name in MADE) or more.chosen != whole.chosen


def test_another_comparison_is_refused(drawn: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = tmp_path / "run"
    compare(out=out)
    before = {path: path.read_bytes() for path in out.rglob("*") if path.is_file()}
    with pytest.raises(FileExistsError, match=r"already holds a run; choose another folder, or continue it"):
        compare(out=out)
    x = np.random.default_rng(0).normal(size=(60, 64))
    with pytest.raises(ValueError, match=r"holds a run with other signals; resume needs the same"):
        compare(out=out, resume=True, data=x)
    monkeypatch.setattr(comparison, "QUICK", TINY._replace(epochs=3))
    with pytest.raises(ValueError, match=r"holds a run with other size; resume needs the same"):
        compare(out=out, resume=True)
    monkeypatch.setattr(comparison, "QUICK", TINY)
    assert before == {path: path.read_bytes() for path in out.rglob("*") if path.is_file()}
    (out / "cells" / "seed-0-AE.npz").write_bytes(before[out / "cells" / "seed-0-AE.npz"][:-50])
    with pytest.raises(ValueError, match=r"seed-0-AE.npz is damaged, or was edited"):
        compare(out=out, resume=True)
    (out / "cells" / "seed-0-AE.npz").unlink()
    compare(out=tmp_path / "other", seeds=2, data=x)
    (tmp_path / "other" / "cells" / "seed-0-AE.npz").rename(out / "cells" / "seed-0-AE.npz")
    with pytest.raises(ValueError, match=r"seed-0-AE.npz is of another comparison; choose another folder"):
        compare(out=out, resume=True)
    (tmp_path / "fit").mkdir()
    (tmp_path / "fit" / "fit.json").write_text("{}")
    with pytest.raises(FileExistsError, match=r"holds a run of another kind \(fit.json\)"):
        compare(out=tmp_path / "fit")


def test_the_command_says_what_is_kept(drawn: Any, tmp_path: Path) -> None:
    words = ["latents", "compare", "oscillator", "--quick", "--quiet", "--jobs", "1", "--out", "run"]
    drawn["left"] = 0
    stopped = CliRunner().invoke(app, words)
    assert "stopped; nothing was written." in stopped.output and not (tmp_path / "run").exists()
    drawn["left"] = 3
    stopped = CliRunner().invoke(app, words)
    assert stopped.exit_code not in (0, 2) and "stopped; 3 finished cells are kept." in stopped.output
    assert "continue it: the same command with --resume --out run" in stopped.output
    drawn["left"] = 10**6
    again = CliRunner().invoke(app, words)
    assert again.exit_code == 2 and "already holds a run; choose another folder, or continue it by" in again.output
    for option, said in (("--out=never", "there is no folder never"), ("--out=.", ". holds no run; leave --resume")):
        refused = CliRunner().invoke(app, [*words[:-2], "--resume", option])
        assert refused.exit_code == 2 and said in refused.output
    assert len(MADE) == 3
