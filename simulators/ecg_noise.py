"""Noise of four kinds on an electrocardiogram, each at a stated signal-to-noise ratio.

    x(t) = f(t) + sum over kinds j of  s_j n_j(t),    s_j = sqrt(mean f^2) 10^(-SNR_j / 20),    E n_j(t)^2 = 1

so that in expectation SNR_j = 10 log10(mean f^2 / mean (s_j n_j)^2) for every kind, record length and sampling rate.
Kinds are independent and their powers add: together they have SNR = -10 log10(sum_j 10^(-SNR_j / 10)).

    white    independent N(0, 1): flat up to half the sampling rate
    wander   Gaussian, flat from 0.05 to 0.5 Hz: breathing and electrodes (baseline wander)
    mains    sqrt(2) sin(2 pi f t + phase), f = 50 or 60 Hz, phase uniform over a turn
    muscle   Gaussian, flat from 20 to 150 Hz, or to half the sampling rate where that is less (electromyogram)

The bands are those in common use in the field; that the spectrum is flat within them is our simplification. With K
equidistant lines f_k in its band a Gaussian kind is

    n(t) = K^(-1/2) sum_k  A_k cos(2 pi f_k t) + B_k sin(2 pi f_k t),    A_k, B_k ~ N(0, 1) independent

which repeats after 1 / (f_2 - f_1), at least twice the record. The four are used by `ecg` and `ecgsyn`.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike, Float

from avo.checks import finite, positive, some_of
from avo.space import Interval, Parameter

WANDER, MUSCLE = (0.05, 0.5), (20.0, 150.0)  # Hz
FEW = 64  # lines at most that are summed one by one
# kind -> the parameter that holds its signal-to-noise ratio, and its range where it is free
PARAMETERS = {
    "white": ("snr", Interval(15.0, 35.0, unit="dB")),
    "wander": ("wander_snr", Interval(5.0, 40.0, unit="dB")),
    "mains": ("mains_snr", Interval(5.0, 40.0, unit="dB")),
    "muscle": ("muscle_snr", Interval(5.0, 40.0, unit="dB")),
}


def unit_noise(kind: str, key: Array, points: int, rate: float, mains: float = 50.0) -> Float[Array, "points"]:
    """Draw noise n of one kind with E n(t)^2 = 1 at every sample.

    Args:
        kind: "white", "wander", "mains" or "muscle".
        key: random key.
        points: number of samples.
        rate: sampling rate, in Hz.
        mains: frequency of the mains, in Hz.

    Returns:
        n, with shape (points,).

    Example:
        >>> n = unit_noise("mains", jax.random.key(0), 250, rate=250.0)
        >>> bool(jnp.abs(jnp.mean(n**2) - 1) < 1e-5)  # five whole periods
        True
    """
    if kind == "white":
        return jax.random.normal(key, (points,))
    if kind == "mains":
        phase = jax.random.uniform(key, maxval=2.0 * math.pi)
        # Whole turns are taken off in double precision: single precision would lose the phase in long records.
        turns = np.mod(mains * np.arange(points) / rate, 1.0)
        return math.sqrt(2.0) * jnp.sin(jnp.asarray(2.0 * math.pi * turns, dtype=float) + phase)
    low, high = WANDER if kind == "wander" else (MUSCLE[0], min(MUSCLE[1], rate / 2.0))
    lines = max(16, math.ceil(2 * (high - low) * points / rate))
    if lines <= FEW:
        return _few_lines(key, points, rate, low, high, lines)
    return _many_lines(key, points, rate, low, high)


def _few_lines(key: Array, points: int, rate: float, low: float, high: float, lines: int) -> Float[Array, "points"]:
    """Sum lines one by one: the wander of a beat needs 16, where a transform would have 50 times its length."""
    f = low + (high - low) * (np.arange(lines) + 0.5) / lines
    angle = 2.0 * math.pi * f * np.arange(points)[:, None] / rate
    a, b = jax.random.normal(key, (2, lines)) / math.sqrt(lines)
    return jnp.asarray(np.cos(angle), dtype=float) @ a + jnp.asarray(np.sin(angle), dtype=float) @ b


def _many_lines(key: Array, points: int, rate: float, low: float, high: float) -> Float[Array, "points"]:
    """Sum more lines by an inverse Fourier transform of twice the record's length."""
    length = 2 * max(points, math.ceil(rate / low))
    f = np.arange(length // 2 + 1) * rate / length
    inside = (f >= low) & (f <= high) & (f < rate / 2)
    a, b = jax.random.normal(key, (2, len(f)))
    spectrum = jnp.where(jnp.asarray(inside), jax.lax.complex(a, -b), 0.0)
    return jnp.fft.irfft(spectrum, length)[:points] * (0.5 * length / math.sqrt(inside.sum()))


class Noise(NamedTuple):
    """Noise of the chosen kinds.

    Args:
        known: name of a signal-to-noise ratio -> its range where it is free, and its value.
        draw: `draw(key, signal, values) -> noise`, the sum over kinds of sqrt(mean signal^2) 10^(-SNR / 20) n, with the
            ratios (dB) by name in `values`; signal and noise have shape (points,).
    """

    known: dict[str, tuple[Parameter, float]]
    draw: Callable[[Array, Float[Array, "points"], Mapping[str, ArrayLike]], Float[Array, "points"]]


def make_noise(noise: str | Sequence[str] | Mapping[str, float], snr: float, rate: float, mains: float = 50.0) -> Noise:
    """Make the noise that the arguments of a simulator ask for.

    Args:
        noise: a kind, several kinds (each at `snr`), or kind -> its own ratio in dB; () for none.
        snr: signal-to-noise ratio, in dB.
        rate: sampling rate, in Hz.
        mains: frequency of the mains, in Hz.

    Returns:
        A `Noise`.

    Raises:
        ValueError: if a kind is unknown or named twice, a ratio is not finite, or the sampling rate is too low for one.

    Example:
        >>> noise = make_noise({"white": 20.0, "wander": 10.0}, snr=20.0, rate=250.0)
        >>> list(noise.known)
        ['snr', 'wander_snr']
        >>> signal = jnp.sin(jnp.arange(500) / 9.0)
        >>> noise.draw(jax.random.key(0), signal, {"snr": 25.0, "wander_snr": 12.0}).shape
        (500,)
    """
    finite("snr", snr, ", in dB")
    positive("rate", rate, ", in Hz")
    positive("mains", mains, ", in Hz")
    kinds = some_of("noise", noise, tuple(PARAMETERS))
    ratios = {kind: noise[kind] if isinstance(noise, Mapping) else snr for kind in kinds}
    for kind, ratio in ratios.items():
        finite(f"noise: {kind}", ratio, ", in dB; leave it out to have none")
    lowest = {"mains": 2 * mains, "muscle": 3 * MUSCLE[0]}
    for kind in kinds:
        if rate <= lowest.get(kind, 0.0):
            raise ValueError(f"rate must be above {lowest[kind]:g} Hz for {kind} noise; got {rate:g} Hz.")

    def draw(key: Array, signal: Float[Array, "points"], values: Mapping[str, ArrayLike]) -> Float[Array, "points"]:
        # A single kind takes the key as it is, so that white noise alone is the plainest program.
        keys = [key] if len(kinds) == 1 else jax.random.split(key, len(kinds))
        total = jnp.zeros(signal.shape)
        for kind, own in zip(kinds, keys, strict=True):
            ratio = jnp.asarray(values[PARAMETERS[kind][0]], dtype=float)
            sd = jnp.sqrt(jnp.mean(signal**2)) * 10.0 ** (-ratio / 20.0)
            total = total + sd * unit_noise(kind, own, len(signal), rate, mains)
        return total

    return Noise({PARAMETERS[kind][0]: (PARAMETERS[kind][1], ratios[kind]) for kind in kinds}, draw)
