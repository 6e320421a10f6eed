"""One heartbeat as a sum of Gaussian waves, with noise at a stated signal-to-noise ratio.

    f(t) = sum over waves of  M g_k((t - c) / w),    x(t) = f(t) + offset + noise
    g_0(u) = exp(-u^2 / 2)             one hump
    g_1(u) = -u exp(1/2 - u^2 / 2)     its derivative: up, then down (biphasic)
    g_2(u) = (1 - u^2) exp(-u^2 / 2)   minus its second derivative: a hump between two dips
    noise ~ N(0, s^2) independent,     s = sqrt(mean f^2) 10^(-SNR / 20)

The waves are P, Q, R, S, T; c is the centre in s after the R peak, w the standard deviation in s. Every g_k has its
largest absolute value 1, so that an amplitude M is in mV whatever the order k, and its sign is the wave's polarity.

In the double form of Q it is two Gaussians M exp(-((t - c) / w)^2), whose w is the half width at 1/e of the peak,
sqrt(2) times a standard deviation.

Waves that overlap (Q, R and S) trade amplitude against width. Judge a fit by the error of its waveform (`Problem.mean`)
beside that of its parameters.

The model is our reading of a formula shown in a talk by A. Honchar; no published source of it is known. Its relatives
are the Gaussian pulse decomposition of Suppappola, Sun and Chiaramida (1997) and the Gaussian combination model of
Parvaneh and Pashna (Computing in Cardiology 2007). Ranges and defaults suit lead II.
"""

import math
from collections.abc import Mapping
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike, Float

from avo.simulators.problem import Axis, Problem, vectorize
from avo.space import Interval, Space

SEVEN = ("p_amp", "q_amp", "r_amp", "s_amp", "t_amp", "t_centre", "t_width")
FIFTEEN = tuple(f"{wave}_{part}" for wave in "pqrst" for part in ("amp", "centre", "width"))

# wave: (amplitude mV, centre s, width s), each as (low, high, default).
_WAVES = {
    "p": ((0.05, 0.25, 0.12), (-0.2, -0.1, -0.16), (0.015, 0.035, 0.023)),
    "q": ((-0.3, 0.0, -0.12), (-0.045, -0.015, -0.027), (0.005, 0.012, 0.008)),
    "q1": ((-0.3, 0.0, -0.08), (-0.045, -0.025, -0.032), (0.007, 0.017, 0.01)),
    "q2": ((-0.3, 0.0, -0.08), (-0.025, -0.01, -0.021), (0.007, 0.017, 0.01)),
    "r": ((0.4, 2.0, 1.1), (-0.01, 0.01, 0.001), (0.007, 0.014, 0.01)),
    "s": ((-0.6, 0.0, -0.25), (0.015, 0.045, 0.028), (0.006, 0.012, 0.009)),
    "t": ((-0.3, 0.6, 0.28), (0.2, 0.35, 0.29), (0.03, 0.07, 0.048)),
}
_PARTS = (("amp", "mV"), ("centre", "s"), ("width", "s"))


def gaussian_wave(
    t: Float[ArrayLike, "points"], amp: ArrayLike, centre: ArrayLike, width: ArrayLike, order: int = 0
) -> Float[Array, "points"]:
    """One wave amp * g_order((t - centre) / width), whose largest absolute value is |amp|.

    Args:
        t: times, in s.
        amp: amplitude, in mV.
        centre: centre, in s.
        width: standard deviation of the Gaussian, in s.
        order: order of the derivative, 0, 1 or 2.

    Returns:
        Voltage in mV, same shape as t.

    Example:
        >>> t = jnp.array([0.26, 0.3, 0.34])
        >>> jnp.abs(gaussian_wave(t, 0.2, 0.3, 0.04, order=1) - jnp.array([0.2, 0.0, -0.2])).max() < 1e-6
        Array(True, dtype=bool)
    """
    u = (jnp.asarray(t, dtype=float) - centre) / width
    shapes = {
        0: lambda: jnp.exp(-(u**2) / 2.0),
        1: lambda: -u * jnp.exp(0.5 - u**2 / 2.0),
        2: lambda: (1.0 - u**2) * jnp.exp(-(u**2) / 2.0),
    }
    return shapes[order]() * amp


def waveform(
    t: Float[ArrayLike, "points"], values: Mapping[str, ArrayLike], orders: Mapping[str, int] | None = None
) -> Float[Array, "points"]:
    """Sum of the waves that `values` names, without offset and noise.

    Args:
        t: times after the R peak, in s.
        values: "p_amp" (mV), "p_centre" (s), "p_width" (s), and so on for the waves p, q or q1 and q2, r, s, t. The
            widths of q1 and q2 are half widths at 1/e, the others standard deviations.
        orders: wave -> order of the derivative; 0 where not named.

    Returns:
        Voltage in mV, same shape as t.

    Example:
        >>> beat = waveform([0.0, 0.1], {"r_amp": 1.2, "r_centre": 0.0, "r_width": 0.01})
        >>> [round(float(v), 3) for v in beat]
        [1.2, 0.0]
    """
    orders = orders or {}
    total = jnp.zeros(np.shape(t), dtype=float)
    for wave in _WAVES:
        if f"{wave}_amp" in values:
            amp, centre, width = (values[f"{wave}_{part}"] for part, _ in _PARTS)
            if wave in ("q1", "q2"):
                width = jnp.asarray(width, dtype=float) / math.sqrt(2.0)
            total = total + gaussian_wave(t, amp, centre, width, orders.get(wave, 0))
    return total


def ecg(
    free: tuple[str, ...] | None = None,
    orders: Mapping[str, int] | None = None,
    q: Literal["single", "double"] = "single",
    snr: float = 20.0,
    rate: float = 250.0,
    window: tuple[float, float] = (-0.3, 0.5),
) -> Problem:
    """One heartbeat per observation: Gaussian waves P, Q, R, S, T plus white noise.

    The parameters are p_amp (mV), p_centre (s), p_width (s), and so on for q, r, s, t; offset (mV); snr (dB). With
    q="double" q1_... and q2_... take the place of q_.... The noise is relative to the waves alone, without offset.

    Args:
        free: names of the parameters to fit, in the order of theta's columns, e.g. `FIFTEEN`; None: `SEVEN`, the
            amplitudes, t_centre and t_width. The others stay at their lead-II defaults, offset at 0.
        orders: wave -> order of the derivative 0, 1 or 2, e.g. {"t": 1}; 0 where not named.
        q: the Q wave as one Gaussian or two.
        snr: signal-to-noise ratio, in dB; the truth if "snr" is free.
        rate: sampling rate, in Hz.
        window: first time and end, in s after the R peak.

    Returns:
        `Problem`; x has shape (points,) in mV, points = rate * (end - first). `mean` is the waveform without noise.

    Raises:
        ValueError: if an argument is out of range or names an unknown parameter or wave.

    Example:
        >>> problem = ecg()
        >>> problem.space.names
        ('p_amp', 'q_amp', 'r_amp', 's_amp', 't_amp', 't_centre', 't_width')
        >>> x = problem.simulate(jax.random.key(0), problem.theta_true[None])
        >>> x.shape, problem.mean(problem.theta_true).shape
        ((1, 200), (200,))
        >>> ecg(free=FIFTEEN, rate=360.0).space.dim
        15
    """
    if q not in ("single", "double"):
        raise ValueError(f'q must be "single" or "double"; got {q!r}.')
    if not (math.isfinite(snr) and math.isfinite(rate) and rate > 0):
        raise ValueError(f"snr must be finite and rate above zero; got snr={snr}, rate={rate}.")
    points = round(rate * (window[1] - window[0]))
    if points < 1:
        raise ValueError(f"window must be (first, end) in s and hold at least one sample; got {window} at {rate} Hz.")
    orders = dict(orders or {})
    if not set(orders) <= set("prst" if q == "double" else "pqrst") or not set(orders.values()) <= {0, 1, 2}:
        raise ValueError(f"orders must map waves of p, q (if single), r, s, t to 0, 1 or 2; got {orders}.")

    waves = ("p", "q1", "q2", "r", "s", "t") if q == "double" else ("p", "q", "r", "s", "t")
    ranges = {f"{w}_{part}": (row, unit) for w in waves for row, (part, unit) in zip(_WAVES[w], _PARTS, strict=True)}
    ranges |= {"offset": ((-0.1, 0.1, 0.0), "mV"), "snr": ((15.0, 35.0, snr), "dB")}
    if free is None:
        free = SEVEN if q == "single" else (SEVEN[0], "q1_amp", "q2_amp", *SEVEN[2:])
    free = tuple(free)
    if not free or len(set(free)) != len(free) or not set(free) <= set(ranges):
        raise ValueError(f"free must name different parameters out of {', '.join(ranges)}; got {free!r}.")
    if "snr" in free and not 15.0 < snr < 35.0:
        raise ValueError(f"snr must lie inside (15, 35) dB where it is free; got {snr}.")

    times = window[0] + np.arange(points) / rate
    defaults = {name: row[2] for name, (row, _) in ranges.items()}

    def parts(theta: Float[ArrayLike, "d"]) -> tuple[Array, dict[str, ArrayLike]]:
        theta = jnp.asarray(theta, dtype=float)
        values: dict[str, Any] = defaults | {name: theta[i] for i, name in enumerate(free)}
        return waveform(times, values, orders), values

    def mean(theta: Float[ArrayLike, "d"]) -> Float[Array, "points"]:
        beat, values = parts(theta)
        return beat + values["offset"]

    def draw(key: Array, theta: Float[Array, "d"]) -> Float[Array, "points"]:
        beat, values = parts(theta)
        sd = jnp.sqrt(jnp.mean(beat**2)) * 10.0 ** (-jnp.asarray(values["snr"], dtype=float) / 20.0)
        return beat + values["offset"] + sd * jax.random.normal(key, (points,))

    return Problem(
        name="ecg",
        summary="one heartbeat as Gaussian waves P, Q, R, S, T with noise",
        simulate=vectorize(draw),
        space=Space(**{name: Interval(*ranges[name][0][:2], unit=ranges[name][1]) for name in free}),
        theta_true=np.array([defaults[name] for name in free]),
        x_shape=(points,),
        axes=(Axis("time", "s", times),),
        quantity="voltage",
        unit="mV",
        mean=mean,
        tags=("series", "medicine", "population"),
    )
