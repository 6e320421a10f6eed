"""avo.folder: a run is continued to the same bits, and nobody else's files are read or written over."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from fits import LONG, SPACE, TINY, X_OBS, Interrupted, equal, fit
from rows import row

import avo
from avo.critics import mlp, wasserstein
from avo.folder import FORMAT, digest


def test_a_stopped_fit_says_so_and_goes_on_bit_for_bit(tmp_path: Path) -> None:
    whole = fit(avo.from_numpy(row), budget=LONG)
    stopped = fit(avo.from_numpy(Interrupted(31 * TINY.calls + 5)), budget=LONG, out=tmp_path)
    assert stopped.status == "stopped" and stopped.message == "stopped by the user after 31 of 60 steps."
    assert stopped.calls == 32 * TINY.calls  # the five calls of the step that was cut short count as a whole step's
    np.testing.assert_array_equal(stopped.history["u"], whole.history["u"][:31])
    assert sorted(p.name for p in tmp_path.iterdir()) == ["calls.sqlite", "checkpoint.npz", "fit.json"]
    again = fit(avo.from_numpy(Interrupted(20 * TINY.calls)), budget=LONG, out=tmp_path, resume=True)
    assert again.status == "stopped" and again.calls == 52 * TINY.calls
    resumed = fit(avo.from_numpy(row), budget=LONG, out=tmp_path, resume=True)
    assert equal(resumed, whole)
    assert equal(avo.load(tmp_path), whole)
    assert not (tmp_path / "checkpoint.npz").exists()


def test_a_run_that_was_killed_at_its_very_end_is_tidied(tmp_path: Path) -> None:
    done = fit(avo.from_numpy(row), out=tmp_path)
    names = sorted(path.name for path in tmp_path.iterdir())
    script = (
        "import sqlite3, os, sys; f = sqlite3.connect(sys.argv[1]); f.execute('DELETE FROM chunks WHERE first < 0'); "
    )
    script += "f.execute('INSERT INTO run SELECT identity FROM run LIMIT 0'); f.commit(); os.kill(os.getpid(), 9)"
    subprocess.run([sys.executable, "-c", script, tmp_path / "calls.sqlite"], check=False)
    (tmp_path / "checkpoint.npz").write_bytes(b"whatever")
    assert sorted(path.name for path in tmp_path.iterdir()) != names
    assert equal(fit(avo.from_numpy(Interrupted(0)), out=tmp_path, resume=True), done)
    assert sorted(path.name for path in tmp_path.iterdir()) == names


def test_a_finished_run_is_loaded_without_a_call(tmp_path: Path) -> None:
    done = fit(avo.from_numpy(row), out=tmp_path)
    assert equal(fit(avo.from_numpy(Interrupted(0)), out=tmp_path, resume=True), done)


def test_a_resumed_run_judges_failures_by_the_latest_steps(tmp_path: Path) -> None:
    # One draw in eight fails; 300 steps at once in the history of the resumed run are not 300 * 16 failures of one step
    def flaky(rng: np.random.Generator, theta: np.ndarray) -> np.ndarray:
        calls[0] += 1
        if calls[0] == stop:
            raise KeyboardInterrupt
        return row(rng, theta) * (np.nan if rng.random() < 0.125 else 1.0)

    calls, stop, budget = [0], 300 * TINY.calls + 3, 400 * TINY.calls
    known: Any = {"budget": budget, "refine": False}
    assert fit(avo.from_numpy(flaky), out=tmp_path, **known).status == "stopped"
    resumed = fit(avo.from_numpy(flaky), out=tmp_path, resume=True, **known)
    calls, stop = [0], -1
    assert equal(resumed, fit(avo.from_numpy(flaky), **known))
    assert resumed.status != "failed" and 600 < resumed.failures["non-finite"] < 1000


def test_a_result_without_a_run_is_never_taken_for_the_fit(tmp_path: Path) -> None:
    fit(avo.from_numpy(row)).save(tmp_path)
    for resume in (False, True):
        with pytest.raises(FileExistsError, match=r"already holds a run; choose another folder\.$"):
            fit(avo.from_numpy(row), out=tmp_path, resume=resume)


def test_arrays_of_something_else_are_never_written_over(tmp_path: Path) -> None:
    np.savez(tmp_path / "arrays.npz", own=np.arange(3))
    for resume in (False, True):
        with pytest.raises(FileExistsError, match=r"already holds another arrays\.npz; choose another folder\.$"):
            fit(avo.from_numpy(row), out=tmp_path, resume=resume)
    np.testing.assert_array_equal(np.load(tmp_path / "arrays.npz")["own"], np.arange(3))


@pytest.mark.parametrize("name", ["checkpoint.npz", "fit.json"])
def test_damaged_files_are_named(tmp_path: Path, name: str) -> None:
    fit(avo.from_numpy(Interrupted(4 * TINY.calls)), budget=LONG, out=tmp_path)
    whole = (tmp_path / name).read_bytes()
    for damaged in (whole[: len(whole) // 2], b"no such thing"):
        (tmp_path / name).write_bytes(damaged)
        with pytest.raises(ValueError, match=rf"{name} is damaged, or was edited; delete it"):
            fit(avo.from_numpy(row), budget=LONG, out=tmp_path, resume=True)


def test_an_impossible_folder_is_refused_before_the_first_call(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    with pytest.raises(FileExistsError, match=r"is a file; choose a folder"):
        fit(avo.from_numpy(Interrupted(0)), out=tmp_path / "file")
    with pytest.raises(ValueError, match=r"cannot be made \(Not a directory\)"):
        fit(avo.from_numpy(Interrupted(0)), out=tmp_path / "file" / "run")


def test_a_finished_run_with_own_modules_is_loaded(tmp_path: Path) -> None:
    own: dict[str, Any] = {
        "critic": lambda key, shape: eqx.nn.Linear(shape[0], "scalar", key=key),
        "proposal": lambda dim: avo.Gaussian.start(dim, loc=0.3, full=False),
    }
    done = fit(avo.from_numpy(row), out=tmp_path, **own)
    assert equal(fit(avo.from_numpy(Interrupted(0)), out=tmp_path, resume=True, **own), done)


def test_resume_without_a_run_starts_one(tmp_path: Path) -> None:
    assert equal(fit(avo.from_numpy(row), out=tmp_path / "new", resume=True), fit(avo.from_numpy(row)))


def test_a_stop_before_the_first_step_is_passed_on(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        fit(avo.from_numpy(Interrupted(3)))


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"seed": 8}, r"holds a run with other seed; resume needs the same"),
        ({"budget": LONG + 3 * TINY.calls}, r"holds a run with other budget, in steps"),
        ({"settings": avo.Settings(batch=8, pairs=4, rate=(0.2, 0.02))}, r"holds a run with other settings"),
        ({"x": X_OBS + 1.0}, r"holds a run with other data"),
        ({"space": avo.Space(mean=avo.Interval(-9, 10), sd=avo.LogInterval(0.1, 10))}, r"with other space"),
        ({"loss": wasserstein(weight=9.0)}, r"with other loss"),
        ({"critic": mlp}, r"with other critic and proposal"),
        ({"proposal": avo.Gaussian.start(2, loc=0.1)}, r"with other critic and proposal"),
    ],
    ids=["seed", "budget", "settings", "data", "space", "loss", "critic", "proposal"],
)
def test_resume_needs_the_same_fit(tmp_path: Path, changed: dict[str, Any], words: str) -> None:
    options: dict[str, Any] = dict(budget=LONG, out=tmp_path)
    fit(avo.from_numpy(Interrupted(4 * TINY.calls)), **options)
    with pytest.raises(ValueError, match=words):
        fit(avo.from_numpy(row), **(options | changed), resume=True)


def test_numpy_numbers_are_written_as_plain_ones(tmp_path: Path) -> None:
    space = avo.Space(mean=avo.Interval(np.float32(-10), np.int64(10)), sd=avo.LogInterval(np.float64(0.1), 10))
    assert equal(fit(avo.from_numpy(row), space=space, seed=np.int64(0), out=tmp_path), fit(avo.from_numpy(row)))
    assert avo.load(tmp_path).space == SPACE


def test_a_folder_that_holds_a_run_is_refused(tmp_path: Path) -> None:
    fit(avo.from_numpy(row), out=tmp_path)
    with pytest.raises(
        FileExistsError, match=r"already holds a run; choose another folder, or continue it: resume=True"
    ):
        fit(avo.from_numpy(row), out=tmp_path)


def test_resume_needs_a_folder() -> None:
    with pytest.raises(ValueError, match=r"resume=True needs out="):
        fit(avo.from_numpy(row), resume=True)


def test_resume_notices_another_critic_with_the_same_arrays(tmp_path: Path) -> None:
    problem = avo.simulators.get("poisson")
    x_obs = np.asarray(problem.simulate(jax.random.key(0), jnp.full((100, 1), 7.0)))
    settings = avo.Settings(pairs=8, batch=16)
    known: Any = {"budget": 20 * 32, "out": tmp_path, "refine": False, "progress": False, "settings": settings}
    avo.fit(problem.simulate, x_obs, problem.space, critic=avo.critics.packed(4), **known)
    with pytest.raises(ValueError, match=r"holds a run with other kind of critic; resume needs the same"):
        avo.fit(problem.simulate, x_obs, problem.space, critic=avo.critics.packed(2), resume=True, **known)


def test_a_simulator_of_no_use_leaves_its_folder_free(tmp_path: Path) -> None:
    nan = avo.from_numpy(lambda rng, theta: np.full(10, np.nan))
    with pytest.raises(
        RuntimeError, match=r"13 of the first 13 calls failed, .* kind is 'non-finite', 13 calls; .*: at theta"
    ):
        fit(nan, budget=60 * TINY.calls, out=tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_run_of_another_format_is_not_continued(tmp_path: Path) -> None:
    fit(avo.from_numpy(Interrupted(4 * TINY.calls)), budget=LONG, out=tmp_path)
    told = json.loads((tmp_path / "fit.json").read_text())
    assert told["format"] == FORMAT and told["avo"] == avo.__version__ and told["seed"] == 0
    (tmp_path / "fit.json").write_text(json.dumps(told | {"format": FORMAT + 1}))
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    with pytest.raises(ValueError, match=rf"fit.json has format {FORMAT + 1} by avo .* reads format {FORMAT}"):
        fit(avo.from_numpy(row), budget=LONG, out=tmp_path, resume=True)
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_a_result_knows_its_seed_and_its_data(tmp_path: Path) -> None:
    a, b = fit(avo.from_numpy(row), seed=7, out=tmp_path), fit(avo.from_numpy(row), X_OBS + 1.0)
    assert (a.seed, b.seed) == (7, 0) and a.data == digest(X_OBS) != b.data
    back = avo.load(tmp_path)
    assert (back.seed, back.data) == (a.seed, a.data)
