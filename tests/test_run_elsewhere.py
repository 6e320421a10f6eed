"""`fit` of simulators outside JAX: the same answer wherever calls are made, beside failures, and after a kill."""

import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fits import LONG, TINY, TRUTH, X_OBS, Interrupted, equal, fit, simulate
from rows import row, rows
from scipy import stats

import avo
from avo.execution.store import Store

pytestmark = pytest.mark.usefixtures("single_precision")

RNG = np.random.default_rng


def refined(simulator: Any, x: Any = X_OBS, **options: Any) -> avo.Result:
    known: dict[str, Any] = {"refine": True, "budget": 8000} | options
    return fit(simulator, x, **known)


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> tuple[avo.Result, Path]:
    """A refined fit, and its folder."""
    folder = tmp_path_factory.mktemp("stored")
    return refined(avo.from_numpy(row), out=folder), folder


@pytest.fixture(scope="module")
def plain(stored: tuple[avo.Result, Path]) -> avo.Result:
    return stored[0]


def test_workers_change_no_number() -> None:
    """Of the steps; of refining too, on two workers, below where they are killed."""
    alone = fit(avo.from_numpy(row))
    with ThreadPoolExecutor(3) as threads:
        for executor in (2, threads):
            assert equal(fit(avo.from_numpy(row), executor=executor), alone)


def test_a_simulator_in_jax_takes_no_executor() -> None:
    with pytest.raises(ValueError, match="executor= is for simulators outside JAX"):
        fit(simulate, executor=2)


@pytest.mark.parametrize("share", [-0.1, 1.2, "half", np.nan])
def test_max_failures_is_a_share(share: Any) -> None:
    with pytest.raises(ValueError, match=r"max_failures must be a number in \[0, 1\]"):
        fit(avo.from_numpy(row), max_failures=share)


# --- what cannot work is noticed -------------------------------------------------------------------------------------


def test_draws_from_elsewhere_are_noticed() -> None:
    other = RNG(8)

    def elsewhere(rng: np.random.Generator, theta: np.ndarray) -> np.ndarray:
        return other.normal(theta[0], theta[1], 10)

    with pytest.raises(UserWarning, match="two different x from one theta and one generator"):  # an error in tests
        refined(avo.from_numpy(elsewhere))


def still(rng: np.random.Generator, theta: np.ndarray) -> np.ndarray:
    return theta[0] + theta[1] * np.linspace(-1, 1, 10)


def still_in_jax(key: Any, theta: Any) -> Any:
    return theta[:, :1] + theta[:, 1:] * np.linspace(-1, 1, 10)[None]


NOTHING_DRAWN = r"simulate gave the same x in all of \d+ calls at one theta"


@pytest.mark.parametrize("budget", [8000, 40_000])  # without and with a search
@pytest.mark.parametrize("simulator", [avo.from_numpy(still), still_in_jax], ids=["numpy", "jax"])
def test_a_simulator_that_draws_nothing_is_noticed(simulator: Any, budget: int) -> None:
    with pytest.raises(UserWarning, match=NOTHING_DRAWN):  # an error in tests
        refined(simulator, budget=budget)


def test_a_simulator_that_draws_nothing_is_fitted_all_the_same() -> None:
    with pytest.warns(UserWarning, match=NOTHING_DRAWN):
        assert refined(still_in_jax).calls <= 8000


def test_whole_numbers_that_hardly_vary_are_no_reason_to_warn() -> None:
    """Counts are zero at most places of the space; where the observations are, they vary (warnings are errors)."""

    def counts(rng: np.random.Generator, theta: np.ndarray) -> np.ndarray:
        return rng.poisson(theta, (len(theta), 3)).astype(float)

    x = RNG(2).poisson(2.5, (200, 3)).astype(float)
    found = refined(
        avo.from_numpy(counts, batched=True), x, budget=40_000, space=avo.Space(rate=avo.LogInterval(1e-9, 30))
    )
    assert found.stderr is not None and abs(found.theta[0] - x.mean()) < found.stderr[0]


# --- failures --------------------------------------------------------------------------------------------------------


def test_failures_at_random_move_nothing(plain: avo.Result, tmp_path: Path) -> None:
    """Three calls in ten raise: the estimate agrees within two standard errors, and the summary tells."""

    def flaky(rng: np.random.Generator, theta: np.ndarray) -> np.ndarray:
        x = row(rng, theta)
        if rng.random() < 0.3:
            raise ArithmeticError("no water")
        return x

    found = refined(avo.from_numpy(flaky), budget=10_000, out=tmp_path)
    assert found.status == "converged" and found.stderr is not None and plain.stderr is not None
    assert np.all(np.abs(found.theta - plain.theta) < 2 * plain.stderr)
    np.testing.assert_allclose(found.stderr, plain.stderr, rtol=0.25)
    assert abs(found.failures["exception"] / found.calls - 0.3) < 4 * np.sqrt(0.21 / 10_000)
    assert found.failures.place is None
    summary = found.summary()
    assert "% of the simulations at the estimate fail and are left out: theta is that of observations given" in summary
    assert f"simulator calls, of which failed: {found.failures['exception']:,} exception" in summary
    assert "ArithmeticError: no water" in found.failures.summary()
    back = avo.load(tmp_path)
    assert back.summary() == summary and back.failures.summary() == found.failures.summary()
    assert back.estimate is not None and abs(back.estimate.failing - 0.3) < 0.05


def test_a_corner_where_all_calls_fail_is_named(plain: avo.Result) -> None:
    def cornered(rng: np.random.Generator, theta: np.ndarray) -> np.ndarray:
        mean, sd = theta[:, :1], theta[:, 1:]
        return rows(rng, theta) * np.where((mean < 0.0) & (sd > 1.0), np.nan, 1.0)

    found = refined(avo.from_numpy(cornered, batched=True), budget=40_000)
    assert found.stderr is not None and plain.stderr is not None
    assert np.all(np.abs(found.theta - plain.theta) < 2 * plain.stderr)
    place = found.failures.place
    assert place is not None and place.share > 0.95 and place.there > 0.95
    bounds = {name: (sign, value) for name, sign, value in place.bounds}
    assert bounds["mean"][0] == "<" and abs(bounds["mean"][1]) < 0.3
    assert f"{found.failures['non-finite']:,} non-finite; {place}" in found.summary()
    assert found.estimate is not None and found.estimate.failing == 0
    assert "at the estimate fail" not in found.summary()


def test_what_fails_by_its_x_is_estimated_given_success() -> None:
    """Rows with a value above 3.6 are lost, in simulations and observations: theta is found, and the share is said."""

    def lossy(rng: np.random.Generator, theta: np.ndarray) -> np.ndarray:
        x = rows(rng, theta)
        return np.where(x.max(1, keepdims=True) > 3.6, np.nan, x)

    rng, seen = RNG(5), []
    while len(seen) < 500:
        x = rng.normal(*TRUTH, 10)
        seen += [x] if x.max() <= 3.6 else []
    found = refined(avo.from_numpy(lossy, batched=True), np.array(seen), budget=60_000, max_failures=0.9)
    assert found.stderr is not None and np.all(np.abs(found.theta - TRUTH) < 3.5 * found.stderr)
    lost = 1 - stats.norm.cdf(3.6, *found.theta) ** 10
    assert found.estimate is not None and abs(found.estimate.failing - lost) < 0.06  # one step before the last
    assert found.status == "converged"
    # The maximum likelihood estimate of such rows varies by .0127 and .0094, that of rows among which none is lost by
    # .0099 and .0070 (300 data sets)
    np.testing.assert_allclose(found.stderr, [0.0127, 0.0094], rtol=0.35)


def test_errors_are_finite_beside_a_bound_beyond_which_all_calls_fail(plain: avo.Result) -> None:
    def cut(rng: np.random.Generator, theta: np.ndarray) -> np.ndarray:
        return row(rng, theta) * (np.nan if theta[0] > 2.53 else 1.0)

    found = refined(avo.from_numpy(cut), budget=40_000, max_failures=0.9)
    assert found.stderr is not None and plain.stderr is not None and found.status == "converged"
    assert np.all(np.abs(found.theta - X_OBS.mean())[:1] < plain.stderr[:1])
    np.testing.assert_allclose(found.stderr, [0.7 / 5000**0.5, 0.7 / 10_000**0.5], rtol=0.3)


def test_too_many_failures_end_the_fit_with_the_commonest_cause(tmp_path: Path) -> None:
    def sparse(rng: np.random.Generator, theta: np.ndarray) -> np.ndarray:
        if rng.random() < 0.8:
            raise ArithmeticError("no water")
        return row(rng, theta) * (np.nan if rng.random() < 0.1 else 1.0)

    with pytest.raises(RuntimeError, match=r"max_failures=0.5 allows.*kind is 'exception'.*ArithmeticError: no water"):
        refined(avo.from_numpy(sparse), out=tmp_path)
    # What succeeded is kept, and goes on where more may fail
    found = refined(avo.from_numpy(sparse), out=tmp_path, resume=True, max_failures=1)
    assert equal(found, refined(avo.from_numpy(sparse), max_failures=1))


# --- what a run leaves -----------------------------------------------------------------------------------------------


def test_calls_stay_with_the_result(stored: tuple[avo.Result, Path]) -> None:
    found, folder = stored
    assert sorted(path.name for path in folder.iterdir()) == ["arrays.npz", "calls.sqlite", "fit.json", "result.json"]
    store = Store(folder / "calls.sqlite", _identity(folder))
    kept = list(store.between(0, 10**9))
    assert sum(len(part.ran.x) for part in kept) == found.calls
    _, chunk, ran = kept[len(kept) // 2]
    np.testing.assert_array_equal(row(RNG(chunk.seeds[0]), chunk.theta[0]), ran.x[0])  # each can be repeated
    store.close()


def _identity(folder: Path) -> str:
    with sqlite3.connect(folder / "calls.sqlite") as file:
        ((identity,),) = file.execute("SELECT identity FROM run").fetchall()
    file.close()
    return identity


def test_a_folder_in_use_is_refused(tmp_path: Path) -> None:
    refusals: list[str] = []

    def nested(rng: np.random.Generator, theta: np.ndarray) -> np.ndarray:
        if not refusals:
            with pytest.raises(FileExistsError) as refused:
                fit(avo.from_numpy(row), out=tmp_path, resume=True)
            refusals.append(str(refused.value))
        return row(rng, theta)

    done = fit(avo.from_numpy(nested), out=tmp_path)
    assert refusals == [f"{tmp_path} is in use by a run that goes on; choose another folder, or wait for it."]
    assert equal(avo.load(tmp_path), done)


@pytest.mark.parametrize("gone", ["fit.json", None])
def test_another_runs_calls_and_checkpoint_are_never_taken(gone: str | None, tmp_path: Path) -> None:
    """Also where a damaged fit.json was deleted."""
    fit(avo.from_numpy(Interrupted(31 * TINY.calls)), budget=LONG, out=tmp_path)
    if gone:
        (tmp_path / gone).unlink()
        with pytest.raises(ValueError, match=r"calls.sqlite holds calls of another run"):
            fit(avo.from_numpy(row), X_OBS + 1.0, budget=LONG, out=tmp_path, resume=True)
        (tmp_path / "calls.sqlite").unlink()
        with pytest.raises(ValueError, match=r"checkpoint.npz is of another run"):
            fit(avo.from_numpy(row), X_OBS + 1.0, budget=LONG, out=tmp_path, resume=True)
    else:
        resumed = fit(avo.from_numpy(row), budget=LONG, out=tmp_path, resume=True)
        assert equal(resumed, fit(avo.from_numpy(row), budget=LONG))


def test_a_changed_simulator_is_said(tmp_path: Path) -> None:
    def changed(rng: np.random.Generator, theta: np.ndarray) -> np.ndarray:
        return row(rng, theta)

    changed.__qualname__ = row.__qualname__
    started: Any = {"budget": LONG, "out": tmp_path}

    def interrupted(rng: np.random.Generator, theta: np.ndarray) -> np.ndarray:
        left.pop()
        return row(rng, theta)

    interrupted.__qualname__ = row.__qualname__
    left = [0] * 31 * TINY.calls
    with pytest.raises(RuntimeError, match="IndexError"):
        fit(avo.from_numpy(interrupted), max_failures=0, **started)
    with pytest.warns(UserWarning, match="the simulator has changed since the run in .* was begun"):
        fit(avo.from_numpy(changed), resume=True, max_failures=1, **started)


def test_a_run_whose_folder_is_gone_still_ends_in_a_result(tmp_path: Path) -> None:
    calls = 0

    def removes(rng: np.random.Generator, theta: np.ndarray) -> np.ndarray:
        nonlocal calls
        calls += 1
        if calls == 30 * TINY.calls:
            shutil.rmtree(tmp_path / "run")
            (tmp_path / "run").write_text("a file in its place")
        return row(rng, theta)

    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        found = fit(avo.from_numpy(removes), budget=LONG, out=tmp_path / "run")
    assert equal(found, fit(avo.from_numpy(row), budget=LONG))
    words = [str(warning.message) for warning in said]
    (elsewhere,) = [word.split("the result is in ")[1].rstrip(".") for word in words if "the result is in" in word]
    assert equal(avo.load(elsewhere), found)


# --- killed ----------------------------------------------------------------------------------------------------------

SCRIPT = """
import sys, time
sys.path.insert(0, {tests!r})
import numpy as np
import fits, avo
from rows import row

def slow(rng, theta):
    time.sleep(0.0001)
    return row(rng, theta)

slow.__qualname__ = "row"
found = fits.fit(avo.from_numpy(slow), refine=True, budget=8000, out=sys.argv[1], resume=True, executor=2)
np.savez(sys.argv[2], theta=found.theta, stderr=found.stderr, u=found.history["u"])
"""


def test_killed_at_any_moment_it_goes_on_to_the_same_bits(plain: avo.Result, tmp_path: Path) -> None:
    """Two kills, in the steps and while refining, on two workers; what was done by then is not done again."""
    script = SCRIPT.format(tests=str(Path(__file__).parent))
    command = [sys.executable, "-c", script, str(tmp_path / "run"), str(tmp_path / "run.npz")]
    env = dict(os.environ)
    killed = env | {"JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "1e9"}  # leaves no half of a program for others
    done = []
    for wanted in (1000, 5000):
        process = subprocess.Popen(command, env=killed)
        while process.poll() is None and _kept(tmp_path / "run") < wanted:
            time.sleep(0.02)
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        done.append(_kept(tmp_path / "run"))
    assert done == sorted(done) and done[0] >= 1000 and done[-1] < 8000
    subprocess.run(command, check=True, env=env)
    with np.load(tmp_path / "run.npz") as found:
        for name, expected in (("theta", plain.theta), ("stderr", plain.stderr), ("u", plain.history["u"])):
            np.testing.assert_array_equal(found[name], expected)
    names = sorted(path.name for path in (tmp_path / "run").iterdir())
    assert names == ["arrays.npz", "calls.sqlite", "fit.json", "result.json"]


def _kept(folder: Path) -> int:
    """Count the calls on disk."""
    path = folder / "calls.sqlite"
    if not path.exists():
        return 0
    file = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
    try:
        return file.execute("SELECT SUM(calls) FROM chunks").fetchone()[0] or 0
    except sqlite3.Error:
        return 0
    finally:
        file.close()


def test_where_all_calls_fail_the_cause_is_said_whatever_is_allowed() -> None:
    def broken(rng: np.random.Generator, theta: np.ndarray) -> np.ndarray:
        raise ArithmeticError("no water")

    for budget in (1000, 40_000):
        with pytest.raises(RuntimeError, match=r"of the first [\d,]+ calls failed; mend the simulator.*no water"):
            refined(avo.from_numpy(broken), budget=budget, max_failures=1)
