"""The study of minima: its functions are least where they are said to be, calls are counted, all methods start."""

import jax.numpy as jnp
import numpy as np
import pytest

from avo.benchmarks.studies import minimize


@pytest.mark.parametrize("name", minimize.FUNCTIONS)
def test_functions_by_hand(name) -> None:
    x = np.array([[0.0, 0.0], [0.3, -1.2]])
    expected = {
        "sphere": 0.09 + 1.44,
        "ellipsoid": 0.09 + 1e6 * 1.44,
        "rosenbrock": 100 * (-0.2 - 1.3**2) ** 2 + 0.3**2,
        "rastrigin": 20 + 1.53 - 10 * (np.cos(0.6 * np.pi) + np.cos(2.4 * np.pi)),
        "noisy": 1.53,
        "steps": 0.0 + 1.0,
    }
    np.testing.assert_allclose(minimize.clear(name, x), [0.0, expected[name]], atol=1e-12)
    np.testing.assert_allclose(minimize.clear(name, jnp.asarray(x)), minimize.clear(name, x), atol=1e-9)


def test_calls_are_counted_and_end() -> None:
    f = minimize.Counted("sphere", np.array([1.0, -0.5]), seed=0, most=3)
    assert [f(np.array(theta)) for theta in ([2.0, 0.5], [1.0, -0.5], [1.0, 0.0])] == [2.0, 0.0, 0.25]
    assert (f.calls, f.reached) == (3, 2)
    with pytest.raises(minimize.Spent):
        f(np.zeros(2))


def test_the_table_has_calls_where_all_came_near_and_values_elsewhere() -> None:
    rows = [{"task": "sphere/2/avo", "value": 1e-12, "reached": calls} for calls in (300, 500, 400)]
    rows += [
        {"task": "sphere/2/de", "value": value, "reached": at} for value, at in ((1e-9, 90), (0.2, None), (3.0, None))
    ]
    assert minimize.report(rows).splitlines()[2] == "| sphere | 2 | 400 calls |  |  |  | 2.0e-01 (3.0e+00), 1 of 3 |"


def test_differential_evolution_keeps_its_best_when_calls_end(monkeypatch) -> None:
    monkeypatch.setattr(minimize, "EACH", 60)
    found = minimize.by_de("sphere", np.array([1.0, -0.5]), seed=0)
    assert found["calls"] == 120 and np.sum((found["theta"] - [1.0, -0.5]) ** 2) < 4.0
