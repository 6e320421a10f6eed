"""avo.benchmarks.suite.methods and the rivals: every call counted, none beyond the budget, answers near the truth."""

from types import SimpleNamespace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import avo
from avo.benchmarks.suite import methods, tasks
from avo.benchmarks.suite.methods import METHODS, Simulator, Spent, method_of, theta_at
from avo.benchmarks.suite.rivals import optimisers

pytestmark = pytest.mark.usefixtures("single_precision")

RIVALS = [name for name, method in METHODS.items() if method.rival]


def test_calls_are_counted_and_capped_exactly() -> None:
    simulate = Simulator(tasks.get("linear5"), budget=100, seed=0)
    theta = np.tile([1.3, -0.4], (37, 1))
    assert simulate(theta).shape == (37, 5) and simulate(theta).shape == (37, 5)
    assert (simulate.calls, simulate.left) == (74, 26)
    with pytest.raises(Spent, match="37 calls asked for, 26 of 100 left"):
        simulate(theta)
    assert simulate.calls == 74  # what was refused is not counted
    simulate(theta[:26])
    assert simulate.left == 0


def test_streams_share_random_numbers_and_others_do_not() -> None:
    """linear5 is its noise plus R (alpha, beta): with common numbers a shift of alpha moves x by its column of R."""
    simulate = Simulator(tasks.get("linear5"), budget=10_000, seed=3)
    theta = np.tile([0.0, 0.5], (70, 1))
    shifted = theta + np.array([0.25, 0.0])
    from avo.simulators.linear5 import R

    np.testing.assert_allclose(simulate(shifted, 5) - simulate(theta, 5), np.tile(0.25 * R[:, 0], (70, 1)), atol=1e-4)
    assert not np.allclose(simulate(theta), simulate(theta), atol=1e-2)
    again = Simulator(tasks.get("linear5"), budget=10_000, seed=3)
    assert np.array_equal(again(theta, 5), simulate(theta, 5))


def test_simulations_at_thetas_have_their_law() -> None:
    """Means of 4096 + 904 rows within 4.5 standard errors of R E[z]."""
    task = tasks.get("linear5")
    x = Simulator(task, budget=5000, seed=1)(np.tile([1.3, -0.4], (5000, 1)))
    exact = np.asarray(task.problem.mean(jnp.array([1.3, -0.4])))
    assert (np.abs(x.mean(0) - exact) < 4.5 * x.std(0) / np.sqrt(5000)).all()


def test_avo_counts_its_calls_as_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows of a compiled fit, adversary and learned scores, counted one by one from inside the simulator."""
    task, seen = tasks.get("poisson"), [0]

    def counted(key: Any, theta: Any) -> Any:
        jax.debug.callback(lambda n: seen.__setitem__(0, seen[0] + int(n)), jnp.array(theta.shape[0]))
        return task.problem.simulate(key, theta)

    simulate = Simulator(task, 9000, 0)
    simulate.jax = counted
    answer = METHODS["avo"].fit(simulate, task.observe(0), task.space, 9000, 0)
    jax.effects_barrier()
    assert simulate.calls == seen[0] and 8000 < simulate.calls <= 9000
    assert answer.stderr is not None


@pytest.mark.parametrize("name", RIVALS)
def test_rivals_keep_to_the_budget_and_come_near(name: str) -> None:
    """3000 calls on poisson: within a tenth of the range, some 30 floors."""
    if METHODS[name].missing:
        pytest.skip(f"{name} needs {', '.join(METHODS[name].missing)}: pip install 'avo-sbi[bench]'")
    task = tasks.get("poisson")
    simulate = Simulator(task, 3000, 1)
    answer = METHODS[name].fit(simulate, task.observe(1), task.space, 3000, 1)
    assert 2000 < simulate.calls <= 3000
    assert abs(task.judged(answer.theta) - task.judged(task.truth(1)))[0] < 0.1


@pytest.mark.parametrize(("name", "floors"), [("search", 8.0), ("search/scores", 4.0)])
def test_searches_keep_to_the_budget_and_come_near(name: str, floors: float) -> None:
    """20,000 calls on linear5: the region of the answer, a quarter of what one observation leaves; then the floor."""
    task = tasks.get("linear5")
    simulate = Simulator(task, 20_000, 2)
    fit = method_of(name).fit
    assert fit is not None
    answer = fit(simulate, task.observe(2), task.space, 20_000, 2)
    assert 12_000 < simulate.calls <= 20_000
    error = (task.judged(answer.theta) - task.judged(task.truth(2))) / task.floor(2)
    assert np.abs(error).max() < floors
    assert (answer.stderr is None) == (name == "search")


def test_populations_of_abc_come_nearer_with_more_calls() -> None:
    """Ten times the calls are more populations, not larger sets only: the last is at most 0.7 as wide."""
    if METHODS["abc-smc"].missing:
        pytest.skip("abc-smc needs pyabc and ot: pip install 'avo-sbi[bench]'")
    task, widths = tasks.get("poisson"), []
    for budget in (10_000, 100_000):
        answer = METHODS["abc-smc"].fit(Simulator(task, budget, 0), task.observe(0), task.space, budget, 0)
        assert answer.stderr is not None
        widths.append(answer.stderr[0])
    assert widths[1] < 0.7 * widths[0]


@pytest.mark.parametrize("name", ["poisson", "linear5"])
def test_moments_come_to_the_limit_with_all_calls(name: str) -> None:
    """8 seeds: the rms error over the floor is sqrt(1 + 1000 / 5000) within 2 errors, 2 / sqrt(2 x 8)."""
    task, over = tasks.get(name), []
    for seed in range(8):
        simulate = Simulator(task, 10_000, seed)
        answer = METHODS["moments"].fit(simulate, task.observe(seed), task.space, 10_000, seed)
        assert simulate.calls == 10_000 and answer.stderr is not None and np.isfinite(answer.stderr).all()
        over.append((task.judged(answer.theta) - task.judged(task.truth(seed))) / task.floor(seed))
    assert np.sqrt(np.mean(np.square(over))) < 1.5 * np.sqrt(1.2)


def test_moments_state_the_error_of_data_and_simulations(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where s is linear, r = A (position - best), the answer is `best` and its error ((A^T A)^-1 (1 + m / M))^1/2."""
    A, best, m, budget = np.array([[40.0, 10.0], [-15.0, 60.0], [5.0, 20.0]]), np.array([0.3, 0.6]), 500, 2000
    simulate: Any = SimpleNamespace(left=budget, note=methods.Answer)
    asked = []

    def residual(position: np.ndarray, rows: int, stream: int) -> np.ndarray:
        asked.append(rows)
        simulate.left -= rows
        return A @ (position - best)

    monkeypatch.setattr(optimisers, "_weighted", lambda *_: residual)
    space = avo.Space(a=avo.Interval(0.0, 1.0), b=avo.Interval(0.0, 4.0))
    answer = optimisers.moments(simulate, np.zeros((m, 1)), space, budget, 0)
    M = asked[-1]
    assert simulate.left == 0 and sum(asked) == budget and budget // 2 <= M < 1.02 * budget / 2
    np.testing.assert_allclose(answer.theta, best * [1, 4], rtol=1e-5)
    exact = np.sqrt(np.diag(np.linalg.inv(A.T @ A)) * (1 + m / M)) * [1, 4]
    np.testing.assert_allclose(answer.stderr, exact, rtol=1e-5)


def test_moments_hold_an_unidentified_direction_still() -> None:
    """Of epem's two parameters only one combination is known: what is judged is near, and no error is stated."""
    task = tasks.get("epem")
    simulate = Simulator(task, 20_000, 1)
    answer = METHODS["moments"].fit(simulate, task.observe(1), task.space, 20_000, 1)
    over = (task.judged(answer.theta) - task.judged(task.truth(1))) / task.floor(1)
    assert np.abs(over) < 4 and answer.stderr is not None and np.isinf(answer.stderr).any()


def test_positions_and_their_errors() -> None:
    space = avo.Space(a=avo.Interval(-1.0, 3.0), b=avo.LogInterval(0.1, 10.0))
    np.testing.assert_allclose(theta_at(space, np.array([0.25, 0.75])), [0.0, 10**0.5], rtol=1e-6)
    error = methods.stderr_at(space, np.array([0.25, 0.75]), np.array([0.01, 0.01]))
    np.testing.assert_allclose(error, [0.04, 10**0.5 * np.log(100.0) * 0.01], rtol=1e-5)
    assert methods.stderr_at(space, np.array([0.5, 0.5]), np.array([0.3, 0.2]))[0] == np.inf


def test_the_sliced_distance_of_a_shifted_set() -> None:
    """Of sets that differ by a shift s the squared distance is the mean of (direction . s)^2, |s|^2 / k on average."""
    rng = np.random.default_rng(0)
    observed = rng.normal(size=(200, 3))
    shift = np.array([0.3, -0.2, 0.6])
    far = optimisers.distance(observed, seed=1)
    directions = np.random.default_rng(1).normal(size=(3, optimisers.DIRECTIONS))
    directions /= np.linalg.norm(directions, axis=0)
    assert far(observed + shift) == pytest.approx(np.sqrt(np.mean((shift @ directions) ** 2)))
    assert optimisers.distance(observed[:, :1], 1)(observed[:, :1] + 0.4) == pytest.approx(0.4)
    assert far(observed[:50]) > 0


def test_statistics_and_scales_by_hand() -> None:
    z = np.array([[1.0], [2.0], [6.0]])
    found = optimisers.statistics(z)
    assert found[0] == 3.0 and found[1] == pytest.approx(np.log(np.sqrt(14 / 3))) and found[5] == 2.0
    assert len(optimisers.statistics(np.zeros((7, 5)))) == 10
    scaled = optimisers.Scaled(np.random.default_rng(0).normal(2.0, 3.0, size=(20_000, 1)))
    assert scaled(np.array([[2.0], [5.0]])).ravel() == pytest.approx([0.0, 1.0], abs=0.04)  # 4 x 1.4 / sqrt(20,000)
    assert scaled(np.array([[np.nan]]))[0, 0] == 1e3
    assert [optimisers.draws(b, 1000) for b in (1000, 20_000, 10**6)] == [32, 100, 1000]


def test_a_method_without_its_packages_says_so() -> None:
    absent = methods.Method("none", None, ("avo_has_no_such_package", "numpy"))
    assert absent.missing == ("avo_has_no_such_package",)
