"""A finished run goes on with more calls: its answer is the start, and gets no worse; to the same bits if killed."""

import shutil
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from fits import TINY, Interrupted, equal, fit
from rows import row

import avo
from avo.folder import read_json, read_stamped, stamped, write_json

SPACE = avo.Space(a=avo.Interval(-3, 3), b=avo.Real(0.0, 2.0))
TRUTH = np.array([0.7, -1.2])
X = np.random.default_rng(0).normal(size=(300, 2)) + TRUTH
BUDGET = 2400


class Counting:
    """Two numbers around theta, in blocks of rows; counts them, and is stopped by Ctrl-C after some."""

    def __init__(self, after: float = np.inf) -> None:
        self.rows, self.after, self.__qualname__ = 0, after, "Counting"

    def __call__(self, rng: np.random.Generator, theta: np.ndarray) -> np.ndarray:
        if self.rows + len(theta) > self.after:
            raise KeyboardInterrupt
        self.rows += len(theta)
        return theta + rng.normal(size=(len(theta), 2))


def run(simulator: Counting, out: Path, budget: int | None, **options: Any) -> avo.Result:
    defaults: dict[str, Any] = dict(refine=True, proposal=avo.Gaussian.start(2, loc=jnp.array([0.4, -0.3]), sd=0.5))
    return fit(
        avo.from_numpy(simulator, batched=True), X, SPACE, budget=budget, out=out, resume=True, **(defaults | options)
    )


def noise(result: avo.Result) -> float:
    assert result.estimate is not None
    return result.estimate.simulation_noise


@pytest.fixture(scope="module")
def chain(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[avo.Result]]:
    """A run, one with few further calls, and one with many."""
    out = tmp_path_factory.mktemp("chain") / "run"
    first = run(Counting(), out, BUDGET)
    shutil.copytree(out, out.parent / "first")
    return out, [first, *(run(Counting(), out, budget) for budget in (BUDGET + 1000, 3 * BUDGET))]


def test_further_calls_better_the_answer(chain: tuple[Path, list[avo.Result]]) -> None:
    first, joined, anew = chain[1]
    error = 1 / np.sqrt(len(X))
    for result, budget in ((first, BUDGET), (joined, BUDGET + 1000), (anew, 3 * BUDGET)):
        assert result.status == "converged" and budget - 4 * TINY.calls < result.calls <= budget
        # sqrt(1 + m / M) of the exact error; a t from few pairs loses some more
        assert result.stderr is not None and np.all(result.stderr / error > 0.9 * noise(result))
        own = error * np.sqrt(noise(result) ** 2 - 1)
        assert np.all(np.abs(result.theta - X.mean(0)) < 4 * own + 0.3 * error)
    assert noise(first) > noise(joined) > noise(anew) > 1
    # M counts up: with the calls that ended in the slope, twice, and at the centre
    rows = [len(X) / (noise(result) ** 2 - 1) for result in (first, joined)]
    assert rows[0] + 700 < rows[1] < rows[0] + 1000
    assert joined.estimate is not None and first.estimate is not None and anew.estimate is not None
    np.testing.assert_array_equal(joined.estimate.statistic.weights, first.estimate.statistic.weights)
    assert not np.array_equal(anew.estimate.statistic.weights, first.estimate.statistic.weights)


def test_a_run_that_went_on_is_given_back_without_a_call(chain: tuple[Path, list[avo.Result]]) -> None:
    out, results = chain
    for budget in (3 * BUDGET, None):
        assert equal(run(Counting(0), out, budget), results[-1])
    assert equal(avo.load(out), results[-1])
    names = sorted(path.name for path in out.iterdir())
    assert names == [f"arrays-{results[-1].calls}.npz", "calls.sqlite", "fit.json", "result.json"]
    with pytest.raises(ValueError, match=r"holds a run with other budget, in steps"):
        run(Counting(0), out, BUDGET - 400)


def test_killed_on_the_way_it_goes_on_to_the_same_bits(chain: tuple[Path, list[avo.Result]], tmp_path: Path) -> None:
    results = chain[1]
    shutil.copytree(chain[0].parent / "first", tmp_path / "run")
    stopped = run(Counting(400), tmp_path / "run", BUDGET + 1000)
    assert stopped.status == "stopped" and avo.load(tmp_path / "run").calls == results[0].calls
    last = Counting()
    resumed = run(last, tmp_path / "run", BUDGET + 1000)
    assert equal(resumed, results[1]) and last.rows < 900  # what was kept is not simulated again
    np.testing.assert_array_equal(resumed.stderr, results[1].stderr)


def test_a_store_that_was_removed_is_not_needed(chain: tuple[Path, list[avo.Result]], tmp_path: Path) -> None:
    shutil.copytree(chain[0].parent / "first", tmp_path / "run")
    (tmp_path / "run" / "calls.sqlite").unlink()
    assert equal(run(Counting(), tmp_path / "run", BUDGET + 1000), chain[1][1])


def test_without_refining_there_is_nothing_to_better(tmp_path: Path) -> None:
    fit(avo.from_numpy(row), out=tmp_path)
    with pytest.raises(ValueError, match=r"was made with refine=False, and further calls refine; fit anew"):
        fit(avo.from_numpy(Interrupted(0)), out=tmp_path, budget=5000, resume=True)


def test_a_result_names_no_file_but_its_own_arrays(tmp_path: Path) -> None:
    fit(avo.from_numpy(row), out=tmp_path)
    words = read_stamped(tmp_path / "result.json")
    assert "file" not in read_json(tmp_path / "result.json")
    write_json(tmp_path / "result.json", stamped(words | {"file": "../arrays.npz"}))
    with pytest.raises(ValueError, match=r"result.json is damaged, or was edited"):
        avo.load(tmp_path)


# --- without a budget ------------------------------------------------------------------------------------------------


SMALL = {"avo.budget.BUDGET": 100_000, "avo.task.BUDGET": 100_000, "avo.budget.FIRST": 40_000}


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """First 40,000 calls instead of 100,000, at most 100,000."""
    for name, calls in SMALL.items():
        monkeypatch.setattr(name, calls)


def two_normals(key: Any, theta: Any) -> Any:
    return theta + jax.random.normal(key, (len(theta), 2))


def without_budget(**options: Any) -> avo.Result:
    return fit(two_normals, **(dict(x=X, space=SPACE, budget=None, refine=True) | options))


def test_without_a_budget_a_fit_ends_when_it_is_done(
    small: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    first = without_budget(out=tmp_path / "run")
    # M of the comparison and the slope, more than 25 for each observation
    assert first.status == "converged" and first.calls <= 40_000 and 1 < noise(first) < 1.02
    assert "further" not in first.phases and first.budget is None
    assert np.all(np.abs(first.theta - X.mean(0)) < 0.3 / np.sqrt(len(X)))
    # 80,000 calls leave less than half of the noise
    monkeypatch.setattr("avo.further.NOISE", 1 + 0.6 * (noise(first) - 1))
    done = without_budget(out=tmp_path / "run", resume=True)
    assert noise(done) < 1 + 0.6 * (noise(first) - 1) and done.status == "converged"
    assert 40_000 < done.calls <= 80_000 and done.phases == {**first.phases, "further": done.calls - first.calls}
    # To the same bits as without a stop in between
    assert equal(without_budget(), done) and equal(without_budget(out=tmp_path / "run", resume=True), done)


def test_without_a_budget_a_misfit_is_looked_for_elsewhere(small: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Observations of another spread than the simulator's."""
    x = X * np.array([1.0, 2.0])
    monkeypatch.setattr("avo.further.MISFIT", 30_000)
    assert without_budget(x=x).calls <= 40_000
    monkeypatch.setattr("avo.further.MISFIT", 10**9)  # to the end
    result = without_budget(x=x)
    assert result.status == "misfit" and 90_000 < result.calls <= 100_000
