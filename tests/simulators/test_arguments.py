"""What does not fit a simulator of the library ends in one sentence that names the argument, what was expected and got.

The shapes of theta, x and known conditions are checked where the problem is called; JAX alone would clamp an index.
"""

import math
import re
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import avo
from avo import simulators as S
from avo.simulators import ecg, ecgsyn, pendulum

KEY = jax.random.key(0)
NAN, INF = math.nan, math.inf


def refused(call: Callable[[], Any], message: str) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(message)}") as found:
        call()
    assert type(found.value).__module__ in ("builtins", "avo.checks")


def grows(x: Any, t: Any, theta: Any) -> Any:
    return theta[0] * x


# --- shapes -----------------------------------------------------------------------------------------------------------


SWINGS, KNOWN = S.pendulum(points=3), S.pendulum(points=3, known_start=True)
SHAPES = {
    "two of three columns": (
        lambda: SWINGS.simulate(KEY, jnp.array([[24.5, 0.15]])),
        "theta must have shape (n, 3), columns w0_sq, damping, start; got (1, 2).",
    ),
    "one axis": (
        lambda: SWINGS.simulate(KEY, [24.5, 0.15, 1.1]),
        "theta must have shape (n, 3), columns w0_sq, damping, start; got (3,).",
    ),
    "under jit": (
        lambda: jax.jit(SWINGS.simulate)(KEY, jnp.ones((2, 4))),
        "theta must have shape (n, 3), columns w0_sq, damping, start; got (2, 4).",
    ),
    "mean": (lambda: SWINGS.mean([24.5]), "theta must have shape (3,), w0_sq, damping, start; got (1,)."),
    "words": (lambda: SWINGS.mean("fast"), "theta must be numbers of shape (3,), w0_sq, damping, start; got 'fast'."),
    "mle": (
        lambda: S.brownian().mle(jnp.ones((3, 5))),
        "x must have shape (m, 64), an observation of brownian in each row; got (3, 5).",
    ),
    "mle of numbers": (
        lambda: S.poisson().mle(jnp.ones((3, 1))),
        "x must have shape (m,), an observation of poisson in each row; got (3, 1).",
    ),
    "another space": (
        lambda: S.gaussian_linear_uniform().simulate(KEY, jnp.ones((2, 3))),
        "theta must have shape (n, 10), columns theta1, theta2",
    ),
    "inputs missing": (
        lambda: KNOWN.simulate(KEY, jnp.ones((2, 2))),
        "known_start=True needs inputs of shape (n, 2), angle and angular velocity.",
    ),
    "inputs of another length": (
        lambda: KNOWN.simulate(KEY, jnp.ones((2, 2)), jnp.ones((3, 2))),
        "inputs must have shape (n, 2), angle and angular velocity; got (3, 2).",
    ),
    "inputs of the mean": (
        lambda: KNOWN.mean(jnp.ones(2), jnp.ones(3)),
        "inputs must have shape (2,), angle and angular velocity; got (3,).",
    ),
    "inputs to none": (
        lambda: SWINGS.simulate(KEY, jnp.ones((2, 3)), jnp.ones((2, 2))),
        "pendulum takes no inputs; got 1. Leave them out.",
    ),
    "own simulator": (
        lambda: S.vectorize(lambda key, theta: theta[0])(KEY, jnp.ones(3)),
        "theta must have shape (n, d), a row for each x; got (3,).",
    ),
    "drift beyond theta": (
        lambda: S.sde(lambda x, t, theta: theta[5] * x, grows, 0.5)(KEY, jnp.ones((2, 2))),
        "drift reads theta[5]; theta has shape (n, 2).",
    ),
    "drift of nothing": (
        lambda: S.sde(lambda x, t, theta: None, grows, 0.5)(KEY, jnp.ones((2, 2))),
        "drift must return the state's shape, (); got None.",
    ),
}


@pytest.mark.parametrize("case", SHAPES)
def test_shapes_that_do_not_fit(case: str) -> None:
    refused(*SHAPES[case])


def test_fit_says_that_simulator_and_space_do_not_belong_together() -> None:
    x, space = np.random.default_rng(0).normal(size=(40, 3)), S.brownian().space
    said = "simulate does not suit theta of space (mu, sigma)"
    columns = "theta must have shape (n, 3), columns w0_sq, damping, start; got (4, 2)."
    refused(lambda: avo.fit(SWINGS.simulate, x, space, budget=2560, progress=False), f"{said}: {columns}")
    none = f"{said} and inputs: brownian takes no inputs; got 1. Leave them out."
    plain = S.brownian(points=3)
    refused(lambda: avo.fit(plain.simulate, x, space, inputs=x, budget=2560, progress=False), none)
    missing = "simulate does not suit theta of space (w0_sq, damping): known_start=True needs inputs of shape (n, 2)"
    refused(lambda: avo.fit(KNOWN.simulate, x, KNOWN.space, budget=2560, progress=False), missing)


def test_drift_may_do_with_theta_what_only_jax_can() -> None:
    simulate = S.sde(lambda x, t, theta: theta.at[0].set(0.0)[0] * x, lambda x, t, theta: 0.0 * x, 0.5, points=2)
    assert simulate(KEY, jnp.ones((1, 1))).tolist() == [[0.5, 0.5]]


# --- options ----------------------------------------------------------------------------------------------------------

LOSSES = "w0_sq, damping, start, velocity, drag, friction"
OPTIONS: list[tuple[Callable[..., Any], dict[str, Any], str]] = [
    (S.brownian, {"points": "64"}, "points must be a whole number of at least 1; got '64'."),
    (S.brownian, {"points": True}, "points must be a whole number of at least 1; got True."),
    (S.brownian, {"duration": "1"}, "duration must be a finite number above zero; got '1'."),
    (S.brownian, {"duration": None}, "duration must be a finite number above zero; got None."),
    (S.brownian, {"duration": [1, 2]}, "duration must be a finite number above zero; got [1, 2]."),
    (S.merton, {"start": [1, 2]}, "start must be a finite number above zero; got [1, 2]."),
    (S.cir, {"start": "a"}, "start must be a finite number above zero, or None for the stationary law; got 'a'."),
    (S.ornstein_uhlenbeck, {"start": "a"}, "start must be a finite number, or None for the stationary law; got 'a'."),
    (S.mg1, {"quantiles": "a"}, "quantiles must be a whole number of at least 2; got 'a'."),
    (S.ricker, {"summaries": "no"}, "summaries must be True or False; got 'no'."),
    (S.detector, {"width": None}, "width must be a number in [0.0001, 10000]; got None."),
    (S.detector, {"radius": "a"}, "radius must be a finite number; got 'a'."),
    (S.hodgkin_huxley, {"noise": "a"}, "noise must be a finite number of at least 0; got 'a'."),
    (S.bernoulli_glm, {"summary": ["raw"]}, "summary must be one of sufficient, raw; got ['raw']."),
    (pendulum, {"noise": "a"}, "noise must be a finite number of at least 0; got 'a'."),
    (pendulum, {"known_start": "yes"}, "known_start must be True or False; got 'yes'."),
    (pendulum, {"values": {"damping": "x"}}, "values: damping must be a finite number; got 'x'."),
    (pendulum, {"values": {"dampin": 1}}, f"values must name some of {LOSSES}; got 'dampin'. Did you mean 'damping'?"),
    (pendulum, {"values": "damping"}, f"values must map names to numbers, out of {LOSSES}; got 'damping'."),
    (pendulum, {"free": 3}, f"free must be a name or several out of {LOSSES}; got 3."),
    (pendulum, {"free": "dampin"}, f"free must name some of {LOSSES}; got 'dampin'. Did you mean 'damping'?"),
    (pendulum, {"free": ()}, f"free must name at least one parameter out of {LOSSES}; got none."),
    (pendulum, {"method": "rk5"}, "method must be one of rk4, leapfrog, exact; got 'rk5'. Did you mean 'rk4'?"),
    (
        pendulum,
        {"method": "exact", "values": {"damping": 0}},
        "damping must lie inside (0, 1) where it is free; got 0. To fix it there, leave it out of free: "
        "free=('w0_sq', 'start').",
    ),
    (S.pendulum_driven, {"values": {"w0_sq": -1}, "free": "drive"}, "values: w0_sq must be above zero, damping not"),
    (S.pendulum_stochastic, {"values": {"kick": -1}, "free": "w0_sq"}, "values: w0_sq and damping must be above zero,"),
    (ecg, {"infarction": "no"}, "infarction must be True or False; got 'no'."),
    (ecg, {"rate": "fast"}, "rate must be a finite number above zero, in Hz; got 'fast'."),
    (ecg, {"rate": -1}, "rate must be a finite number above zero, in Hz; got -1."),
    (ecg, {"snr": "a"}, "snr must be a finite number, in dB; got 'a'."),
    (ecg, {"mains": "a"}, "mains must be a finite number above zero, in Hz; got 'a'."),
    (
        ecg,
        {"noise": {"white": "a"}},
        "noise: white must be a finite number, in dB; leave it out to have none; got 'a'.",
    ),
    (ecg, {"noise": None}, "noise must be a name or several out of white, wander, mains, muscle; got None."),
    (ecg, {"window": 1}, "window must be two finite numbers (first, end), in s; got 1."),
    (ecg, {"window": (1, 2, 3)}, "window must be two finite numbers (first, end), in s; got (1, 2, 3)."),
    (ecg, {"window": (NAN, 1)}, "window must be two finite numbers (first, end), in s; got (nan, 1)."),
    (ecg, {"orders": [1]}, "orders must map names to 0, 1 or 2, out of p, q, r, s, t, t2; got [1]."),
    (ecg, {"orders": {"t": [1]}}, "orders: t must be a whole number from 0 to 2; got [1]."),
    (ecg, {"ranges": {"t_amp": 3}}, "ranges: t_amp must be two finite numbers (low, high); got 3."),
    (ecg, {"ranges": {"t_amp": (1, 0)}}, "ranges: t_amp must have low below high; got (1, 0)."),
    (ecg, {"free": ("p_amp", "p_amp")}, "free must name each once; got 'p_amp' 2 times."),
    (ecgsyn, {"duration": NAN}, "duration must be a finite number above zero, in s; got nan."),
    (ecgsyn, {"duration": INF}, "duration must be a finite number above zero, in s; got inf."),
    (ecgsyn, {"window": (0.1,)}, "window must be two finite numbers (first, end), in s; got (0.1,)."),
    (ecgsyn, {"leads": 12.0}, "leads must be a whole number of at least 1; got 12.0."),
    (S.sde, {"drift": "f"}, "drift must be a function drift(x, t, theta); got 'f'."),
    (S.sde, {"start": NAN}, "start must be a finite number, a vector of them, or a function of theta; got nan."),
    (S.sde, {"duration": "a"}, "duration must be a finite number above zero; got 'a'."),
    (S.sde_from_numpy, {"diffusion": None}, "diffusion must be a function diffusion(x, t, theta); got None."),
]


@pytest.mark.parametrize(("factory", "options", "message"), OPTIONS)
def test_options_that_do_not_fit(factory: Callable[..., Any], options: dict[str, Any], message: str) -> None:
    if factory in (S.sde, S.sde_from_numpy):
        options = {"drift": grows, "diffusion": grows, "start": 0.5} | options
    refused(lambda: factory(**options), message)


def test_names_that_the_registry_does_not_know() -> None:
    said = "options must be one of points, duration for brownian; got 'point'. Did you mean 'points'?"
    refused(lambda: S.get("brownian", point=3), said)
    refused(lambda: S.get("poisson", points=3), "options must be left out for poisson; got 'points'.")
    refused(lambda: S.get(3), "name must be a registered simulator; got 3. Known: bernoulli_glm, ")  # pyright: ignore
    with pytest.raises(ValueError, match="got 'serie'. Did you mean 'series'?"):
        S.find("serie")


def test_one_name_stands_for_itself() -> None:
    assert ecg(free="p_amp").space.names == ecg(free=("p_amp",)).space.names == ("p_amp",)
    assert S.pendulum_driven(free="drive", values={"drive": 5.0}).theta_true.tolist() == [5.0]
    held = S.pendulum_stochastic(points=4, free="kick", values={"damping": 0.5})
    full = S.pendulum_stochastic(points=4)
    x = held.simulate(KEY, jnp.array([[1.3]]))
    np.testing.assert_allclose(x, full.simulate(KEY, jnp.array([[24.5, 0.5, 1.3]])), rtol=1e-12)
