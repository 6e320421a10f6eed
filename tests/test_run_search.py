"""avo.run: a fit of one theta begins with a search within its budget, goes on where it stopped, and takes a start."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from fits import TINY, equal, fit
from helpers import CORRELATED, CORRELATION, correlated
from scipy import optimize
from test_run_refining import SHIFT, X3, Stopping, shift, shift_rows

import avo
from avo.budget import for_search
from avo.verdict import _believed, refined

pytestmark = pytest.mark.usefixtures("single_precision")

BUDGET = 40_003


def searched(simulator: Any, **options: Any) -> avo.Result:
    return fit(simulator, **(dict(x=X3, space=SHIFT, budget=BUDGET, refine=True) | options))


@pytest.fixture(scope="module")
def whole() -> tuple[Stopping, avo.Result]:
    """The NumPy simulator that counted its rows, and its fit."""
    simulator = Stopping()
    return simulator, searched(avo.from_numpy(simulator, batched=True))


def test_search_steps_and_refining_share_the_budget(whole: tuple[Stopping, avo.Result]) -> None:
    simulator, result = whole
    assert simulator.rows == result.calls <= BUDGET
    steps = result.history["calls"][-1]
    search, refine = for_search(BUDGET, 4, 2), 0.75 * (BUDGET - for_search(BUDGET, 4, 2))
    assert search == int(0.4 * BUDGET) and BUDGET - search - refine - TINY.calls < steps <= BUDGET - search - refine
    assert 0.75 * search + refine < result.calls - steps <= search + refine
    # The steps begin where the search ended, which is nearer than the sd of one observation
    best = np.array([X3[:, 0].mean(), (4 * X3[:, 1] + X3[:, 2]).mean() / 5])
    assert np.all(np.abs(result.history["theta"][0] - best) < 0.5)
    assert result.stderr is not None and np.all(np.abs(result.theta - best) < result.stderr)
    np.testing.assert_allclose(result.stderr, np.array([1.0, np.sqrt(4 / 5)]) / np.sqrt(300), rtol=0.2)


def test_stopped_while_searching_it_goes_on_bit_for_bit(whole: tuple[Stopping, avo.Result], tmp_path: Path) -> None:
    first = Stopping(after=9001)
    with pytest.raises(KeyboardInterrupt):
        searched(avo.from_numpy(first, batched=True), out=tmp_path)
    with pytest.raises(FileExistsError, match="already holds a run; choose another folder, or continue it"):
        searched(avo.from_numpy(first, batched=True), out=tmp_path)
    last = Stopping()
    resumed = searched(avo.from_numpy(last, batched=True), out=tmp_path, resume=True)
    assert equal(resumed, whole[1])
    # The chunk of a tenth of a second that was cut short is made again
    assert whole[1].calls - first.rows <= last.rows < whole[1].calls - first.rows / 2
    assert sorted(p.name for p in tmp_path.iterdir()) == ["arrays.npz", "calls.sqlite", "fit.json", "result.json"]


def test_a_simulator_of_no_use_leaves_the_folder_free(tmp_path: Path) -> None:
    def raises(rng: np.random.Generator, theta: np.ndarray) -> np.ndarray:
        raise ZeroDivisionError("no water")

    with pytest.raises(RuntimeError, match="no water"):
        searched(avo.from_numpy(raises, batched=True), out=tmp_path)
    assert not list(tmp_path.iterdir())
    with pytest.raises(RuntimeError, match="of the first .* calls failed.*'non-finite', .*: at theta"):
        searched(avo.from_numpy(lambda rng, theta: shift_rows(rng, theta) * np.nan, batched=True), out=tmp_path)
    assert not list(tmp_path.iterdir())


def test_draws_made_before_a_simulator_raises_are_kept(tmp_path: Path) -> None:
    seen = Stopping()

    def later(rng: np.random.Generator, theta: np.ndarray) -> np.ndarray:
        if seen.rows >= 600:
            raise ZeroDivisionError("no water")
        return seen(rng, theta)

    with pytest.raises(RuntimeError, match="no water"):
        searched(avo.from_numpy(later, batched=True), out=tmp_path)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["calls.sqlite", "fit.json"]


# --- a start of the user's -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("start", [{"b": 0.25, "a": 4.0}, [4.0, 0.25]])
def test_steps_without_a_search_begin_at_a_start(start: Any) -> None:
    slow = avo.Settings(batch=8, pairs=4, rate=(1e-9, 1e-9))
    result = fit(shift, X3, SHIFT, settings=slow, start=start)
    np.testing.assert_allclose(result.theta, [4.0, 0.25], rtol=1e-5)
    np.testing.assert_allclose(result.history["sd"][0], 0.3, rtol=0.5)


@pytest.mark.parametrize(
    ("start", "words"),
    [
        ({"a": 1.0}, "start must have a value for each parameter; b is missing"),
        ({"a": 1.0, "c": 2.0}, "start"),
        ([1.0], r"start must have one value for each of a, b, shape \(2,\)"),
        ([1.0, 6.0], r"start: b must lie inside its support, \(-4, 6\); got 6"),
        ({"a": np.nan, "b": 0.0}, "start: a must be a"),
    ],
)
def test_a_start_that_is_none_is_refused(start: Any, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        fit(shift, X3, SHIFT, start=start)


def test_a_start_beside_a_proposal_is_refused() -> None:
    with pytest.raises(ValueError, match="start= and proposal= both say where to begin"):
        fit(shift, X3, SHIFT, start=[1.0, 0.0], proposal=avo.Gaussian.start)


# --- how far the answer may be believed ------------------------------------------------------------------------------


def test_the_status_is_the_first_word_that_holds(whole: tuple[Stopping, avo.Result]) -> None:
    found = whole[1].estimate
    assert found is not None and found.p_value is not None and found.p_value > 0.005
    loose = replace(found, identified=np.array([False, True]), covariance=9.0 * np.eye(2))
    assert loose.unidentified(SHIFT).any()
    assert _believed(found, SHIFT) == whole[1].status == "converged"
    assert _believed(loose, SHIFT) == "undetermined"
    assert _believed(replace(found, moved=3.1), SHIFT) == "budget"
    assert _believed(replace(loose, hidden=True), SHIFT) == _believed(replace(found, hidden=True), SHIFT) == "budget"
    assert _believed(replace(loose, p_value=0.004, moved=3.1), SHIFT) == "misfit"
    assert _believed(replace(found, encoded=np.array([[1.0, 1.0], [2.0, 1.0], [-5.1, 0.0]])), SHIFT) == "misfit"


def test_a_wrong_simulator_is_a_misfit() -> None:
    """The last two values are correlated as no theta makes them; their means, which t sees, are as they should be."""
    x = X3.copy()
    x[:, 2] = x[:, 1].mean() + 2.0 * (x[:, 1] - x[:, 1].mean())
    result = searched(shift, x=x)
    assert result.status == "misfit" and "searched" not in result.message
    assert "simulations at the estimate do not reproduce the observations, p = 0.0025" in result.summary()
    few = searched(shift, x=x, budget=12_000)
    assert few.status == "misfit" and few.message.endswith("a budget of 38,400 calls: the answer may be elsewhere.")


def test_a_correlation_is_found_by_few_calls() -> None:
    """Steps alone left it at -.2, where no t told it, and fits said "misfit", or that r had no effect on x.

    The maximum likelihood, of known spreads: r has the error (1 - r^2) / sqrt(1 + r^2) / sqrt(m).
    """
    x = np.asarray(correlated(jax.random.key(9), jnp.tile(jnp.array(CORRELATION), (400, 1))))
    y, z = ((x - x.mean(0)) / [2.0, 100.0]).T

    def minus_log(r: float) -> float:
        return float(np.mean(y**2 - 2 * r * y * z + z**2) / (1 - r**2) + np.log(1 - r**2))

    r = float(optimize.fminbound(minus_log, 0.5, 0.99))
    best, errors = [*x.mean(0), r], np.array([2.0, 100.0, (1 - r**2) / np.sqrt(1 + r**2)]) / np.sqrt(400)
    fits = [avo.fit(correlated, x, CORRELATED, budget=20_000, seed=seed, progress=False) for seed in range(4)]
    found = [result for result in fits if result.status == "converged"]
    assert len(found) >= 3  # in single precision all of twelve did
    for result in found:
        # By some 6000 simulations, of which half are pairs for the slope, and a t that few of them taught
        assert np.all(abs(result.theta - best) < errors)
        assert result.stderr is not None
        # A t that few rows taught says less than the likelihood of r, whose rows say little each
        assert np.all(result.stderr > 0.8 * errors) and np.all(result.stderr < [*(1.3 * errors[:2]), 2 * errors[2]])


def test_without_errors_a_fit_ends_for_want_of_budget() -> None:
    result = fit(shift, X3, SHIFT, budget=2100 * TINY.calls)
    assert result.status == "budget" and result.message.endswith("no error was asked for (refine=False).")


# --- several solutions -----------------------------------------------------------------------------------------------

SQUARE = avo.Space(theta=avo.Interval(-3, 3))
X_SQUARE = np.random.default_rng(7).normal(1.5**2, 0.5, (500, 3))


class Square:
    """x ~ N(theta^2, .5^2), in NumPy, which counts its rows and is stopped by Ctrl-C after some."""

    def __init__(self, after: float = np.inf) -> None:
        self.rows, self.after, self.__qualname__ = 0, after, "square"

    def __call__(self, rng: np.random.Generator, theta: np.ndarray) -> np.ndarray:
        if self.rows + len(theta) > self.after:
            raise KeyboardInterrupt
        self.rows += len(theta)
        return theta**2 + rng.normal(0.0, 0.5, (len(theta), 3))


@pytest.fixture(scope="module")
def both() -> tuple[Square, avo.Result]:
    """The simulator that counted its rows, and its fit."""
    simulator = Square()
    return simulator, searched(avo.from_numpy(simulator, batched=True), x=X_SQUARE, space=SQUARE)


def test_solutions_that_fit_equally_well_are_named(both: tuple[Square, avo.Result], tmp_path: Path) -> None:
    """The maximum likelihood is at +- sqrt(mean x), told to .5 / sqrt(1500) / (2 theta)."""
    simulator, result = both
    assert simulator.rows == result.calls <= BUDGET
    assert result.status == "undetermined" and len(result.modes) == 2
    best, error = np.sqrt(X_SQUARE.mean()), 0.5 / np.sqrt(1500) / (2 * np.sqrt(X_SQUARE.mean()))
    assert np.array_equal(result.modes[0].theta, result.theta)
    assert np.prod([mode.theta[0] for mode in result.modes]) < 0
    for mode in result.modes:
        assert mode.p_value is not None and mode.p_value > 0.005
        assert abs(abs(mode.theta[0]) - best) < error
        np.testing.assert_allclose(mode.stderr, error, rtol=0.25)
    named = " and ".join(f"theta = {mode.theta[0]:.3g}" for mode in result.modes)
    assert f"undetermined: two solutions fit equally well: {named}; the last step" in result.summary()
    assert f"another solution: {result.modes[1]}\n" in result.summary()
    assert str(result.modes[1]).startswith(f"theta = {result.modes[1].theta[0]:.4f} +- ")
    back = avo.load(result.save(tmp_path))
    for one, other in zip(back.modes, result.modes, strict=True):
        assert all(np.array_equal(a, b) for a, b in zip(one, other, strict=True))


def test_stopped_while_the_second_solution_is_refined_it_goes_on_bit_for_bit(
    both: tuple[Square, avo.Result], tmp_path: Path
) -> None:
    simulator, whole = both
    first = Square(after=whole.calls - 1001)
    options: dict[str, Any] = dict(x=X_SQUARE, space=SQUARE, out=tmp_path)
    assert searched(avo.from_numpy(first, batched=True), **options).status == "stopped"
    last = Square()
    resumed = searched(avo.from_numpy(last, batched=True), resume=True, **options)
    assert equal(resumed, whole)
    for one, other in zip(resumed.modes, whole.modes, strict=True):
        assert all(np.array_equal(a, b) for a, b in zip(one, other, strict=True))
    # Draws of search and refining that were finished are kept
    assert last.rows < whole.calls / 2


def test_an_ordinary_fit_has_its_answer_as_the_only_mode(whole: tuple[Stopping, avo.Result]) -> None:
    (mode,), result = whole[1].modes, whole[1]
    assert np.array_equal(mode.theta, result.theta) and np.array_equal(mode.stderr, np.asarray(result.stderr))
    assert "another solution" not in result.summary() and "equally well" not in result.message


def test_another_solution_takes_the_place_of_one_that_does_not_fit(whole: tuple[Stopping, avo.Result]) -> None:
    result = whole[1]
    found = result.estimate
    assert found is not None
    away = replace(found, loc=found.loc + 1.0)
    assert refined(result, replace(found, p_value=0.001), [away]).estimate is away
    assert refined(result, None, [None, away], "no").status == "converged"
    two = refined(result, found, [replace(found, p_value=0.001), away])
    assert two.estimate is found and two.status == "undetermined" and len(two.modes) == 2
    assert refined(result, replace(found, p_value=0.001), [None]).status == "misfit"
    assert refined(result, None, [None], "too few").message.endswith("without errors; too few.")
