"""The study of grey boxes: its pendulums against an integrator of SciPy's, its tables by hand."""

import jax.numpy as jnp
import numpy as np
import pytest
from scipy.integrate import solve_ivp

from avo.benchmarks.studies import grey


def test_pendulums_are_those_of_the_equation(monkeypatch):
    low = np.array([2.3, 0.7, 21.0, 4.4, -1.1])
    monkeypatch.setattr(grey, "LOW", low)
    monkeypatch.setattr(grey, "HIGH", low)
    _, x = grey.forced(40, 0)
    omega, gamma, size, f, start = low

    def rate(t, s):
        force = size * omega**2 * np.cos(2 * np.pi * f * t)
        return [s[1], force - gamma * s[1] - omega**2 * np.sin(s[0])]

    times = 0.05 * np.arange(50)
    exact = solve_ivp(rate, (0.0, times[-1]), [start, 0.0], t_eval=times, rtol=1e-9, atol=1e-9).y[0]
    # 40 signals with noise .01: the mean is known to .0016, the largest of 50 errors within four times that
    np.testing.assert_allclose(x.mean(0), exact, atol=4 * 0.0016)
    swing = solve_ivp(lambda _, s: [s[1], -(omega**2) * np.sin(s[0])], (0, 3), [start, 0.0], t_eval=times, rtol=1e-9)
    mean = grey.free().mean
    assert mean is not None
    np.testing.assert_allclose(mean(jnp.array([omega, start])), swing.y[0], atol=1e-3)


def test_the_tables_have_medians_and_ends_of_seeds():
    one = {
        "study": "pendulum", "mse": dict.fromkeys(grey.ROUTES, 0.002), "omega": dict.fromkeys(grey.ROUTES, 0.5),
        "spread": {"simulator": [12.0, 3.0], "grey box": [5.0, 2.0]},
    }  # fmt: skip
    rows = [one, one | {"mse": dict.fromkeys(grey.ROUTES, 0.004)}, one | {"mse": dict.fromkeys(grey.ROUTES, 0.003)}]
    beats = [{"study": "ptb", "task": "ii", "left": dict.fromkeys(grey.ROUTES, [0.1, 0.3]), "found": [3, 0]}]
    text = grey.report(rows + beats)
    assert "| simulator | 3.00 (2.00 .. 4.00) | 0.500 (0.500 .. 0.500) | 12.0 (12.0 .. 12.0) |" in text
    assert "| PCA | 0.200 (0.200 .. 0.200) | 0.300 (0.300 .. 0.300) |" in text
    assert grey._spread(np.array([[3.0], [-4.0]]), np.array([[1.0], [2.0]])) == pytest.approx([np.sqrt(6.5)])
