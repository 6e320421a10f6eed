"""Tasks and methods that run where they are named: floors in closed form, settings and starts as published."""

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from scipy import integrate

import avo
from avo.benchmarks.suite import command, methods, tasks
from avo.benchmarks.suite.methods import Answer, Simulator, method_of
from avo.benchmarks.suite.run import judge

EACH = np.sqrt(20_000)


def test_floors_of_the_published_tasks() -> None:
    """Of a log rate 1 / sqrt(m rate); of linear5's noise 1 and 3; of the asymmetry by quadrature."""
    np.testing.assert_allclose(tasks.get("poisson-published").floor(0), [1 / np.sqrt(7.0) / EACH], rtol=1e-5)
    np.testing.assert_allclose(tasks.get("poisson-20000").floor(0), [np.sqrt(7.0) / EACH], rtol=1e-5)
    for name in ("linear5-published", "linear5-20000"):
        np.testing.assert_allclose(tasks.get(name).floor(0), [1 / EACH, 3 / EACH], rtol=1e-5)
    c = 2 * 1.1 * np.tanh((2 * 42.0 - 90) / 9)
    told = integrate.quad(lambda x: 3 / 8 * x**2 / (1 + x**2 + c * x), -1, 1)[0]
    task = tasks.get("epem-published")
    np.testing.assert_allclose(task.floor(0), [1 / np.sqrt(told) / EACH], rtol=1e-4)
    np.testing.assert_allclose(task.judged(np.array([42.0, 1.1])), [c], rtol=1e-5)


def test_published_truths_stay_and_observations_follow_the_seed() -> None:
    task = tasks.get("linear5-published")
    assert task.truth(0).tolist() == task.truth(5).tolist() == [1.0, -1.0]
    assert task.observe(0).shape == (20_000, 5) and not np.array_equal(task.observe(0), task.observe(1))
    assert tasks.get("ecg15").space.dim == 15 and tasks.get("ecg15").truth(1).shape == (15,)


def test_answers_without_bounds_are_judged_as_they_are() -> None:
    """Errors in the unit of theta; a draw far out is far off, and not clipped."""
    task = tasks.get("linear5-published")
    row = judge(task, Answer(np.array([1.02, -9.0]), np.array([0.01, np.inf])), 0)
    np.testing.assert_allclose(row["error"], [0.02, -8.0], rtol=1e-4)
    assert row["theta"] == [1.02, -9.0] and not row["success"] and row["covered"] == [False, True]
    free = tasks.get("linear5-unbounded")
    assert judge(free, Answer(free.truth(2).astype(float)), 2)["success"]


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> Callable[[str, str], dict[str, Any]]:
    """What a method hands to `avo.fit` on a task."""
    seen: dict[str, Any] = {}

    def fit(simulate: Any, x_obs: Any, space: Any, **options: Any) -> Any:
        seen.update(options)
        return SimpleNamespace(calls=10, status="converged", theta=np.zeros(space.dim), stderr=np.ones(space.dim))

    monkeypatch.setattr(avo, "fit", fit)

    def ask(task: str, method: str) -> dict[str, Any]:
        seen.clear()
        known = tasks.get(task)
        answer = method_of(method).fit(Simulator(known, 10**6, 0), np.zeros(3), known.space, 10**6, 0)
        return dict(seen) | {"stated": answer.stderr is not None}

    return ask


def test_methods_take_the_start_of_the_task_or_their_own(asked: Callable[[str, str], dict[str, Any]]) -> None:
    start = tasks.get("poisson-published").start
    assert asked("poisson-published", "avo-alone")["proposal"] is start
    assert asked("poisson-published", "r1-2018")["proposal"] is start
    assert asked("poisson", "avo")["proposal"] is None
    wide = asked("poisson-published", "gp-2017/poisson")["proposal"](1)
    np.testing.assert_allclose([*wide.loc, *wide.sd()], [np.log(5.0), 1.0], rtol=1e-5)
    np.testing.assert_allclose([*start.loc, *start.sd()], [np.log(5.0), 0.1], rtol=1e-5)


def test_variants_hand_on_their_settings(asked: Callable[[str, str], dict[str, Any]]) -> None:
    found = asked("linear5-published", "r1-2018/linear5")
    assert found["settings"].rate == found["settings"].critic_rate == (1e-2, 1e-2)
    assert found["budget"] == 1001 * found["settings"].calls and not found["stated"]
    assert asked("epem-published", "r1-2018/epem")["critic"].keywords == {"width": 50}
    slow = asked("poisson-20000", "avo-alone/slow")
    assert slow["settings"] == avo.Settings.for_budget(300_000) and slow["budget"] == 10**6 and not slow["refine"]
    tried = asked("brownian", "avo-alone/gru/one-sided")
    assert tried["critic"] is avo.critics.gru and tried["refine"] is False


def test_variants_run_where_they_are_named_only() -> None:
    own, rest, _ = command.studies(None, None, None, quick=False)
    assert not {*own[0]} & {*tasks.VARIANTS} and not {*rest[1]} & {*methods.VARIANTS}
    named = command.studies("ecg15", "avo-alone/mlp/js", "3e5", quick=False)
    assert named == [(("ecg15",), ("avo-alone/mlp/js",), (300_000,))]
