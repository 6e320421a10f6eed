"""A cortical neuron of Hodgkin-Huxley type under a step of current, with noise in the current.

    C V' = -gNa m^3 h (V - 53) - gK n^4 (V + 107) - gM p (V + 107) - gL (V + 70) + I(t) + noise(t)
    z' = alpha_z (1 - z) - beta_z z      for the gates z = m, h, n
    p' = (p_inf - p) / tau_p

with V in mV, t in ms, currents in uA/cm^2, conductances in mS/cm^2, C = 1 uF/cm^2, gL = 0.1, gM = 0.07. With v = V + 60
and g(z) = z / (exp(z) - 1), whose value at 0 is 1,

    alpha_m = 1.28 g(-(v - 13) / 4)          beta_m = 1.4 g((v - 40) / 5)
    alpha_h = 0.128 exp(-(v - 17) / 18)      beta_h = 4 / (1 + exp(-(v - 40) / 5))
    alpha_n = 0.16 g(-(v - 15) / 5)          beta_n = 0.5 exp(-(v - 10) / 40)
    p_inf = 1 / (1 + exp(-(V + 35) / 10))    tau_p = 600 / (3.3 exp((V + 35) / 20) + exp(-(V + 35) / 20))

The current is 0 until 10 ms, then 0.0005 uA over the surface of a sphere of diameter 70 um (pi 0.007^2 cm^2), that is
3.248 uA/cm^2, until 110 ms, then 0 until 120 ms. The noise is white, noise(t) dt = 0.1 dW with t in ms. V starts at
-70 mV, the gates at their steady state there.

The steps are Runge-Kutta steps of order 4 and 0.025 ms. Without noise, against steps six times finer and at 1000 thetas
drawn evenly over the space, the voltage's largest error over the 120 ms has the median 0.24 mV, 95 % quantile 1.2 and
99 % quantile 1.8; the largest was 20 mV, at (24.7, 13.7), where a spike just happens. Until 20 ms it is below 0.1 mV.

Identified: g_na and g_k, where the neuron spikes: the spikes' number and shape depend on both. Where it does not, as at
(2.1, 9), only the rise of the voltage below threshold tells of them.

Limits: one compartment; all constants but the two conductances are known. A spike near threshold comes early or late by
a small error of any kind, so that single voltages there are the least certain.

Source: the equations are those of Pospischil et al. (Biological Cybernetics 99, 2008). The setting, the ranges (with a
uniform prior) and the seven summary statistics are those of the Hodgkin-Huxley tutorial of the `sbi` toolbox, after
Goncalves et al. (eLife 9:e56261, 2020).
"""

import math
from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike, Float

from avo.checks import nonnegative, one_of
from avo.simulators.ode import runge_kutta
from avo.simulators.problem import Axis, Problem, vectorize
from avo.simulators.register import Header
from avo.space import Interval, Space

HEADER = Header(
    summary="spiking neuron of Hodgkin-Huxley type, seven statistics of its voltage",
    tags=("vector", "benchmark", "neuroscience"),
    x_shape=(7,),
    parameters="g_na (mS/cm^2), g_k (mS/cm^2)",
    x="summary of the voltage along statistic",
)

STEP = 0.025  # ms
ON, OFF, END = (
    round(t / STEP) for t in (10.0, 110.0, 120.0)
)  # steps at which the current starts and ends, and the last
AMPLITUDE = 5e-4 / (math.pi * 0.007**2)  # uA/cm^2
START = -70.0  # mV
EVERY = 4  # steps between two recorded voltages, 0.1 ms
SPIKE = -10.0  # mV, above which a maximum is a spike


# What `summarize` gives
STATISTICS = (
    "spikes",
    "resting mean (mV)",
    "resting sd (mV)",
    "mean (mV)",
    "variance (mV$^2$)",
    "skewness",
    "kurtosis",
)


def ratio(z: Float[Array, "*n"]) -> Float[Array, "*n"]:
    """z / (exp(z) - 1), exact at z = 0, where it is 1, and beside it.

    Example:
        >>> [round(float(v), 6) for v in ratio(jnp.array([-1.0, 0.0, 1e-6, 2.0]))]
        [1.581977, 1.0, 1.0, 0.313035]
    """
    zero = z == 0
    return jnp.where(zero, 1.0, z / jnp.where(zero, 1.0, jnp.expm1(z)))


def gate_rates(v: Float[Array, "*n"]) -> tuple[tuple[Array, Array], ...]:
    """Opening and closing rates (alpha, beta) of the gates m, h, n, p, in 1/ms, at the voltage v in mV.

    The gate p has alpha = p_inf / tau_p and beta = (1 - p_inf) / tau_p.

    Example:
        >>> (alpha, beta), *_ = gate_rates(jnp.array(-47.0))  # where alpha_m has its 0 / 0
        >>> round(float(alpha), 4)
        1.28
    """
    w = v + 60.0
    slow = jnp.exp((v + 35.0) / 20.0)
    opened = 1.0 / (1.0 + 1.0 / slow**2)
    speed = (3.3 * slow + 1.0 / slow) / 600.0
    return (
        (1.28 * ratio(-(w - 13.0) / 4.0), 1.4 * ratio((w - 40.0) / 5.0)),
        (0.128 * jnp.exp(-(w - 17.0) / 18.0), 4.0 / (1.0 + jnp.exp(-(w - 40.0) / 5.0))),
        (0.16 * ratio(-(w - 15.0) / 5.0), 0.5 * jnp.exp(-(w - 10.0) / 40.0)),
        (opened * speed, (1.0 - opened) * speed),
    )


def trajectory(
    theta: Float[ArrayLike, "2"], current: Float[ArrayLike, "steps"], step: float = STEP
) -> Float[Array, "points"]:
    """Solve the equations by Runge-Kutta steps of order 4, with a current that is constant over each step.

    Args:
        theta: conductances gNa and gK (mS/cm^2), with shape (2,).
        current: current density of each step, noise included (uA/cm^2), with shape (steps,).
        step: time step, in ms.

    Returns:
        Voltage (mV) at the start and after each step, with shape (steps + 1,).

    Example:
        >>> quiet = trajectory(jnp.array([50.0, 5.0]), jnp.zeros(400))
        >>> driven = trajectory(jnp.array([50.0, 5.0]), jnp.full(400, 3.25))
        >>> bool(quiet.max() < -69), bool(driven.max() > 30)  # a spike within 10 ms
        (True, True)
    """
    g_na, g_k = jnp.asarray(theta, dtype=float)

    def advance(state: tuple[Array, ...], injected: Array) -> tuple[tuple[Array, ...], Array]:
        def rate(state: tuple[Array, ...]) -> tuple[Array, ...]:
            v, m, h, n, p = state
            ions = g_na * m**3 * h * (v - 53.0) + (g_k * n**4 + 0.07 * p) * (v + 107.0) + 0.1 * (v + 70.0)
            gates = (a * (1.0 - z) - b * z for z, (a, b) in zip((m, h, n, p), gate_rates(v), strict=True))
            return injected - ions, *gates

        state = runge_kutta(rate, state, step)
        return state, state[0]

    v = jnp.asarray(START, dtype=float)
    _, path = jax.lax.scan(advance, (v, *(a / (a + b) for a, b in gate_rates(v))), jnp.asarray(current, dtype=float))
    return jnp.concatenate([v[None], path])


def summarize(voltage: Float[Array, "points"]) -> Float[Array, "7"]:
    """Reduce a recording of all steps, 120 ms, to seven numbers.

    They are: spikes during the current; mean voltage before it; standard deviation of the voltage over the last ms
    before it; mean, variance, skewness and kurtosis of the voltage during it. A spike is a local maximum above -10 mV
    with no other one in the 0.5 ms before.

    Args:
        voltage: in mV, every `STEP` from 0 to 120 ms, with shape (4801,).

    Returns:
        Spikes, resting mean (mV), resting sd (mV), mean (mV), variance (mV^2), skewness, kurtosis, with shape (7,).

    Example:
        >>> voltage = jnp.full(4801, -70.0).at[1000:1004].set(jnp.array([-5.0, 20.0, 10.0, -20.0]))
        >>> [round(float(v), 2) for v in summarize(voltage)[:4]]
        [1.0, -70.0, 0.0, -69.93]
    """
    before, during = voltage[:ON], voltage[ON:OFF]
    last_ms = before[-round(1.0 / STEP) :]
    left, top, right = during[:-2], during[1:-1], during[2:]
    maxima = (left > SPIKE) & (top >= left) & (top > right)
    counts = jnp.cumsum(maxima)
    gap = round(0.5 / STEP)
    earlier = jnp.concatenate([jnp.zeros(gap, counts.dtype), counts[:-gap]])
    spikes = jnp.sum(maxima & (counts - earlier == 1)).astype(voltage.dtype)
    mean = during.mean()
    away = during - mean
    variance = jnp.mean(away**2)
    skewness, kurtosis = jnp.mean(away**3) / variance**1.5, jnp.mean(away**4) / variance**2
    return jnp.stack([spikes, before.mean(), last_ms.std(), mean, variance, skewness, kurtosis])


def hodgkin_huxley(output: Literal["summary", "voltage"] = "summary", noise: float = 0.1) -> Problem:
    """A spiking neuron with two unknown conductances: seven statistics of its voltage, or the voltage.

    The prior of the tutorial is uniform on the space; its truth is (50, 5).

    Args:
        output: "summary": the seven numbers of `summarize`. "voltage": V every 0.1 ms, 1201 numbers.
        noise: intensity of the white noise in the current, in uA/cm^2 sqrt(ms).

    Returns:
        `Problem` with parameters g_na and g_k, the largest conductances of the sodium and potassium channels (mS/cm^2);
        x has shape (7,), or (1201,) in mV.

    Raises:
        ValueError: if an argument is out of range.

    Example:
        >>> problem = hodgkin_huxley()
        >>> x = problem.simulate(jax.random.key(0), jnp.array([[50.0, 5.0]]))
        >>> x.shape, round(float(x[0, 0]))  # five spikes
        ((1, 7), 5)
    """
    nonnegative("noise", noise)
    one_of("output", output, ("summary", "voltage"))
    current = np.where((np.arange(END) >= ON) & (np.arange(END) < OFF), AMPLITUDE, 0.0)
    points = END // EVERY + 1

    def draw(key: Array, theta: Float[Array, "2"]) -> Float[Array, "..."]:
        # White noise averaged over a step has the standard deviation noise / sqrt(step).
        jitter = noise / math.sqrt(STEP) * jax.random.normal(key, (END,))
        voltage = trajectory(theta, jnp.asarray(current, dtype=float) + jitter)
        return voltage[::EVERY] if output == "voltage" else summarize(voltage)

    recorded = output == "voltage"
    return Problem(
        name="hodgkin_huxley",
        summary="spiking neuron of Hodgkin-Huxley type, its voltage" if recorded else HEADER.summary,
        simulate=vectorize(draw),
        space=Space(g_na=Interval(0.5, 80.0, unit="mS/cm^2"), g_k=Interval(1e-4, 15.0, unit="mS/cm^2")),
        theta_true=np.array([50.0, 5.0]),
        x_shape=(points,) if recorded else (7,),
        axes=(
            Axis("time", "ms", EVERY * STEP * np.arange(points))
            if recorded
            else Axis("statistic", "", np.arange(7), STATISTICS),
        ),
        quantity="voltage" if recorded else "summary of the voltage",
        unit="mV" if recorded else "",
        tags=("series", *HEADER.tags[1:]) if recorded else HEADER.tags,
    )
