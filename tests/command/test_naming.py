import json
from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure
from typer.testing import CliRunner

import avo
from avo.command import app
from avo.command.naming import measured, named

FILE = """
import avo
space = avo.Space(rate=avo.Interval(0.1, 3.0))
def simulate(rng, theta):
    return theta[0] + rng.normal(size=3)
"""


def test_coordinates_names_and_units() -> None:
    dose, time, lead, count = named(
        ["dose [mg] = 1, 2.5", "time[s]=-1:0.25", "lead[mV]=I,II,V1", "count"], (2, 5, 3, 4)
    )
    assert (dose.name, dose.unit, dose.values.tolist(), dose.labels) == ("dose", "mg", [1.0, 2.5], ())
    assert (time.name, time.unit, time.values.tolist()) == ("time", "s", [-1.0, -0.75, -0.5, -0.25, 0.0])
    assert lead.labels == lead.entries == ("I mV", "II mV", "V1 mV")
    assert count.values.tolist() == [0, 1, 2, 3] and count.entries == ()
    assert named(None, (3,)) == ()


@pytest.mark.parametrize(
    "words,expected",
    [
        (["time"] * 2, "once for each axis of an observation, 1 axis; got it 2 times"),
        (["time[s=1"], "must look like"),
        (["=1,2,3"], "must look like"),
        (["time=0:0"], "must say first and step"),
        (["time=0:nan"], "must say first and step"),
        (["time=0:1:2"], "must say first and step"),
        (["time=1,2"], "must have 3 entries"),
        (["time=1,,2"], "must have 3 entries"),
        (["time=1,1,1"], "time must have finite coordinates that rise; in '1,1,1' 1 is followed by 1. Mend them"),
        (["time=1,3,2.5"], "that rise; in '1,3,2.5' 3 is followed by 2.5"),
        (["time=0:-1"], "that rise; in '0:-1' 0 is followed by -1"),
        (["time=1e9:1e-9"], "that rise; in '1e9:1e-9' 1e\\+09 is followed by 1e\\+09"),
        (["time=0:1e308"], "that rise; in '0:1e308' 1e\\+308 is followed by inf"),
        (["time=1,nan,3"], "time must have finite coordinates, or names; got 'nan' in '1,nan,3'"),
        (["time=1,2,1e999"], "must have finite coordinates, or names; got '1e999'"),
        (["lead=I,II,I"], "lead must name each entry otherwise; got 'I' twice"),
    ],
)
def test_what_suits_no_axis_is_refused(words: list[str], expected: str) -> None:
    with pytest.raises(ValueError, match=r"--axis .*" + expected):
        named(words, (3,))


def test_a_quantity_is_no_axis() -> None:
    with pytest.raises(ValueError, match=r"--quantity must look like 'concentration\[mg/l\]'; got 'time=0:1'"):
        measured("time=0:1")


def test_axes_of_one_name_are_refused() -> None:
    with pytest.raises(ValueError, match="a name of its own; got time, time"):
        named(["time", "time"], (3, 2))


def test_a_run_keeps_the_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "model.py").write_text(FILE)
    np.save(tmp_path / "x.npy", np.random.default_rng(0).normal(1.3, 1.0, (60, 3)))
    files = ["fit", f"{tmp_path}/model.py:simulate", "--data", f"{tmp_path}/x.npy", "--out", f"{tmp_path}/run"]
    words = ["--axis", "dose[mg]=1,2.5,7", "--budget", "640", "--no-refine", "--quiet"]
    words += ["--quantity", "concentration[mg/l]"]
    drawn: list[str] = []
    save = Figure.savefig
    monkeypatch.setattr(Figure, "savefig", lambda self, *given, **more: (
        drawn.extend(axes.get_xlabel() for axes in self.axes), save(self, *given, **more)))  # fmt: skip
    done = CliRunner().invoke(app, files + words)
    assert done.exit_code == 3, done.output  # no error was asked for
    (axis,) = avo.load(tmp_path / "run").axes
    assert axis.entries == ("dose 1 mg", "dose 2.5 mg", "dose 7 mg")
    assert json.loads((tmp_path / "run" / "command.json").read_text())["options"]["axis"] == ["dose[mg]=1,2.5,7"]
    assert avo.load(tmp_path / "run").quantity == ("concentration", "mg/l")
    assert "concentration, dose 2.5 mg (mg/l)" in drawn
