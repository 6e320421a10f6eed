"""Broken run folders: whatever happened to a file, or whoever wrote it, there is a sentence and no traceback.

Two kinds of damage: to the bytes of a file, which checksums tell, and to what it says, beside a checksum that is right,
as somebody else may write it. What is loaded all the same must be the run that it says it is.
"""

import copy
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

import avo
from avo.command import app, outcome
from avo.folder import read_arrays, read_json, stamped, write_arrays, write_json

pytestmark = pytest.mark.usefixtures("single_precision")

USER_FILE = """
import avo

space = avo.Space(mean=avo.Interval(-9, 11, unit="V"), sd=avo.LogInterval(0.1, 10))

def simulate(rng, theta):
    if rng.random() < 0.02:
        raise ZeroDivisionError("no water")
    return rng.normal(theta[0], theta[1], 3)
"""
FIT = "fit mine.py:simulate --data x.npy --budget 2560 --quantity U[V] --axis lead=I,II,V5 --out run --quiet".split()
FILES = ("result.json", "arrays.npz", "command.json")
SHARED = list(HealthCheck)  # each example puts the folder there anew
few = lambda n: settings(  # noqa: E731
    max_examples=n, derandomize=True, deadline=None, database=None, suppress_health_check=SHARED
)


class GONE:
    """In the place of a value: the value is not there."""


BAD = st.one_of(
    st.sampled_from([GONE, None, True, "", "x", -1, 0, 3.5, float("nan"), float("inf"), 10**9, 10**30, [], {}]),
    st.lists(st.one_of(st.integers(-3, 3), st.text(max_size=3)), max_size=3),
    st.dictionaries(st.sampled_from(["a", "mean", "name"]), st.integers(), max_size=2),
)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a finished run, its data and its simulator."""
    home = tmp_path_factory.mktemp("home")
    (home / "mine.py").write_text(USER_FILE)
    np.save(home / "x.npy", np.random.default_rng(0).normal(2.5, 0.7, (60, 3)))
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(home)
        patch.setattr(outcome, "draw", lambda *_: [])
        done = CliRunner().invoke(app, FIT, catch_exceptions=False)
        assert done.exit_code == 0, done.output
    (home / "run").rename(home / "whole")
    return home


@pytest.fixture
def anew(home: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], Path]:
    """Put the run there whole, once for each example; pictures, pages and checks take too long to be made."""
    monkeypatch.chdir(home)
    monkeypatch.setattr(outcome, "draw", lambda *_: [])
    monkeypatch.setattr("avo.report.page.write", lambda result, *_: result.to_dict() and "report.html")
    monkeypatch.setattr("avo.check", lambda *_, **__: pytest.fail("a broken run was checked"))

    def again() -> Path:
        shutil.rmtree("run", ignore_errors=True)
        shutil.copytree("whole", "run")
        return Path("run")

    return again


def command(*words: str) -> int:
    """Run a command, which must end well or in a sentence."""
    done = CliRunner().invoke(app, words)
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    assert done.exit_code in (0, 2, 3), done.output
    if done.exit_code == 2:
        last = done.stderr.splitlines()[-1]
        assert last.startswith("error: ") and len(last) > 20, done.stderr
    return done.exit_code


def loaded(folder: Path) -> avo.Result | None:
    """Load a run, which must be whole, or be refused in a sentence; what is loaded can be used."""
    try:
        found = avo.load(folder)
    except (ValueError, FileNotFoundError) as error:
        assert len(str(error)) > 20 and str(error).endswith(".")
        return None
    assert found.summary() and found.to_dict() and found.modes is not None
    return found


@few(10)
@given(name=st.sampled_from(FILES), cut=st.integers(0, 10**6), flip=st.integers(0, 7), gone=st.booleans())
def test_a_file_of_a_result_that_was_damaged_is_refused(
    name: str, cut: int, flip: int, gone: bool, anew: Any, home: Path
) -> None:
    path = anew() / name
    content = bytearray(path.read_bytes())
    if gone:
        content = content[: cut % len(content)]
    else:
        content[cut % len(content)] ^= 1 << flip
    path.write_bytes(content)
    if name != "command.json":
        assert loaded(path.parent) is None
    assert command("report", "run") == command("check", "run", "--data", "x.npy", "--trust", "--quiet") == 2


def places(value: Any, at: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """List the way to each value in a JSON value."""
    inside = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [at, *(place for name, one in inside for place in places(one, (*at, name)))]


def edited(value: Any, at: tuple[Any, ...], new: Any) -> Any:
    value = copy.deepcopy(value)
    holder = value
    for name in at[:-1]:
        holder = holder[name]
    if new is GONE:
        del holder[at[-1]]
    else:
        holder[at[-1]] = new
    return value


def rewritten(path: Path, data: st.DataObject) -> bool:
    """Change what a file says, and give it a checksum that is right; whether anything has changed."""
    words = read_json(path)
    words.pop("checksum")
    at = data.draw(st.sampled_from([place for place in places(words) if place and place[0] != "arrays"]))
    new = edited(words, at, data.draw(BAD))
    write_json(path, new if at == ("format",) or at == ("avo",) else stamped(new))
    return new != words


@few(60)
@given(data=st.data())
def test_a_result_with_other_words_is_refused_or_says_them(data: st.DataObject, anew: Any, home: Path) -> None:
    folder = anew()
    rewritten(folder / "result.json", data)
    if (found := loaded(folder)) is None:
        return
    words, whole = read_json(folder / "result.json"), avo.load("whole")
    np.testing.assert_allclose(found.theta, whole.theta, rtol=1e-3)
    np.testing.assert_allclose(found.theta, list(words["theta"].values()), rtol=1e-3)
    assert (found.calls, found.status, found.message) == (words["calls"], words["status"], words["message"])
    assert list(found.names) == list(words["theta"]) and list(found.x_shape) == words["x_shape"] == [3]
    assert type(found.calls) is int and found.calls >= 0


@few(20)
@given(data=st.data())
def test_arrays_of_other_shapes_are_refused(data: st.DataObject, anew: Any, home: Path) -> None:
    folder = anew()
    words, arrays = read_json(folder / "result.json"), read_arrays(folder / "arrays.npz")
    name = data.draw(st.sampled_from(sorted(arrays)))
    a = arrays.pop(name)
    way = data.draw(st.sampled_from(["gone", "longer", "scalar", "deeper", "words"]))
    if way != "gone":
        change = {"longer": np.concatenate([np.atleast_1d(a)] * 2), "scalar": np.float32(1.5), "deeper": a[..., None]}
        arrays[name] = change.get(way, np.array(["x"]))
    words["arrays"] = write_arrays(folder / "arrays.npz", arrays)
    words.pop("checksum")
    write_json(folder / "result.json", stamped(words))
    found = loaded(folder)
    if found is not None:
        np.testing.assert_array_equal(found.theta, avo.load("whole").theta)
        assert found.estimate is None or found.estimate.covariance.shape == (2, 2)
