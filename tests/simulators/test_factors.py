"""The heartbeat by lead, pulse, infarction and size against the simulators that it is made of; the oscillator."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.integrate import solve_ivp

from avo import simulators
from avo.simulators.ecg import waveform
from avo.simulators.ecg_factors import height
from avo.simulators.ecgsyn import VECTORS

WAVES = [f"{wave}_{part}" for wave in "pqrst" for part in ("amp", "centre", "width")]
NAMES = (*WAVES, "st_amp", "st_start", "st_end")


def defaults(infarction: bool) -> dict[str, float]:
    problem = simulators.ecg(NAMES, infarction=infarction)
    return dict(zip(problem.space.names, problem.theta_true.tolist(), strict=True))


@pytest.mark.parametrize("infarction", [0.0, 1.0])
def test_lead_two_at_75_beats_is_that_of_ecg(infarction: float) -> None:
    problem = simulators.ecg_factors()
    expected = waveform(problem.axes[0].values, defaults(infarction == 1.0))
    np.testing.assert_allclose(problem.mean([60.0, 75.0, infarction, 1.0]), expected, atol=1e-12)
    np.testing.assert_allclose(problem.mean([60.0, 75.0, infarction, 1.7]), 1.7 * expected, atol=1e-12)


def test_pulse_scales_times_as_ecgsyn_does() -> None:
    # At 108 / min RR is 75 / 108 of that at 75: widths, Q and S by its root, P, T and ST by its power 3/4
    rr, values = 75 / 108, defaults(False)
    for name in NAMES:
        wave, part = name.split("_")
        if part != "amp":
            values[name] *= rr ** (0.75 if wave in ("p", "t", "st") and part != "width" else 0.5)
    problem = simulators.ecg_factors(points=90)
    expected = waveform(problem.axes[0].values, values)
    np.testing.assert_allclose(problem.mean([60.0, 108.0, 0.0, 1.0]), expected, atol=1e-12)


def test_heights_are_projections_and_obey_einthoven() -> None:
    # Leads I and II look from 0 and 60 degrees, III from 120: II = I + III of the projections on unit vectors
    for wave, (left, feet, _) in VECTORS.items():
        at = {a: float(height(a)[wave]) * (left / 2 + feet * 3**0.5 / 2) for a in (0.0, 60.0, 120.0, 90.0)}
        assert at[0.0] == pytest.approx(left) and at[90.0] == pytest.approx(feet)
        assert at[60.0] == pytest.approx(at[0.0] + at[120.0])
    assert float(height(17.0)["st"]) == float(height(17.0)["t"])


def test_noise_is_white_with_its_standard_deviation() -> None:
    problem = simulators.ecg_factors(points=50, noise=0.07)
    theta = jnp.tile(jnp.asarray(problem.theta_true), (4000, 1))
    noise = np.asarray(problem.simulate(jax.random.key(5), theta)) - np.asarray(problem.mean(problem.theta_true))
    # 200,000 values: relative error 1 / sqrt(400,000), correlations 1 / sqrt(196,000)
    assert abs(noise.std() / 0.07 - 1) < 5 / np.sqrt(4e5)
    assert abs(np.mean(noise[:, 1:] * noise[:, :-1]) / 0.07**2) < 5 / np.sqrt(1.96e5)


def test_the_oscillator_solves_its_equation() -> None:
    # y'' = -2 g y' - (w^2 + g^2) y with y(0) = A, y'(0) = -g A
    w, g, a, o = 2.3, 0.37, 1.2, -0.6
    problem = simulators.oscillator(points=41, duration=7.0)
    solved = solve_ivp(
        lambda _, y: [y[1], -2 * g * y[1] - (w**2 + g**2) * y[0]], (0, 7), [a, -g * a], "DOP853",
        problem.axes[0].values, rtol=1e-11, atol=1e-12,
    )  # fmt: skip
    np.testing.assert_allclose(problem.mean([w, g, a, o]), solved.y[0] + o, atol=1e-9)


def test_the_oscillators_noise_is_as_stated() -> None:
    problem = simulators.oscillator(noise=0.3)
    theta = jnp.tile(jnp.asarray(problem.theta_true), (3000, 1))
    noise = np.asarray(problem.simulate(jax.random.key(5), theta)) - np.asarray(problem.mean(problem.theta_true))
    assert abs(noise.std() / 0.3 - 1) < 5 / np.sqrt(2 * noise.size)
