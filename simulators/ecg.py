"""One heartbeat as a sum of Gaussian waves, with noise at a stated signal-to-noise ratio.

    f(t) = sum over waves of  M g_k((t - c) / w)  +  M_ST plateau(t),    x(t) = f(t) + offset + noise
    g_0(u) = exp(-u^2 / 2)             one hump
    g_1(u) = -u exp(1/2 - u^2 / 2)     its derivative: up, then down (biphasic)
    g_2(u) = (1 - u^2) exp(-u^2 / 2)   minus its second derivative: a hump between two dips
    plateau(t) = S((t - start) / h) S((end - t) / h),   S the logistic function, h = 6 ms
    noise ~ N(0, s^2) independent,     s = sqrt(mean f^2) 10^(-SNR / 20); more kinds in `avo.simulators.ecg_noise`

The waves are P, Q, R, S, T; c is the centre in s after the R peak, w the standard deviation in s. Every g_k has its
largest absolute value 1, so that an amplitude M is in mV whatever the order k, and its sign is the wave's polarity.

In the double form of Q it is two Gaussians M exp(-((t - c) / w)^2), whose w is the half width at 1/e of the peak,
sqrt(2) times a standard deviation.

Several leads have one theta: centres and widths are those of all leads, amplitudes and offset each lead's own. Their
noise is independent, at the stated ratio to each lead's own waves.

Two parts are absent unless asked for: T2, a second part of T, of order 1 by default, which makes T skewed or biphasic;
and the ST segment's level, a plateau from the end of S to T.

Identified: the waveform, and by it the parameters of waves that stand alone. Waves that overlap (Q, R and S; T, T2 and
the plateau) trade amplitude against width. Judge a fit by the error of its waveform (`Problem.mean`) beside that of its
parameters.

Source: the model is our reading of a formula shown in a talk by A. Honchar; no published source of it is known. Its
relatives are the Gaussian pulse decomposition of Suppappola, Sun and Chiaramida (1997) and the Gaussian combination
model of Parvaneh and Pashna (Computing in Cardiology 2007). T2 and the plateau are our additions.

Limits: defaults and their ranges suit a healthy lead II. `WIDE` has ranges for beats of patients; within them, with T2
and the plateau free, the model explains at least 93 % of the variance of each of ten PTB subjects' median beats.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike, Float

from avo.checks import flag, mapping, one_of, pair, positive, some_of, whole
from avo.simulators.ecg_noise import make_noise
from avo.simulators.problem import Axis, Problem, choose, vectorize
from avo.simulators.register import Header
from avo.space import Interval, Parameter

HEADER = Header(
    summary="one heartbeat as Gaussian waves P, Q, R, S, T with noise",
    tags=("series", "medicine", "population"),
    x_shape=(200,),
    parameters="p_amp (mV), q_amp (mV), r_amp (mV), s_amp (mV), t_amp (mV), t_centre (s), t_width (s)",
    x="voltage (mV) along time (s)",
)

SEVEN = ("p_amp", "q_amp", "r_amp", "s_amp", "t_amp", "t_centre", "t_width")
FIFTEEN = tuple(f"{wave}_{part}" for wave in "pqrst" for part in ("amp", "centre", "width"))

# Ranges for beats that need not be healthy: `ecg(free=(*WIDE,), ranges=WIDE)`
WIDE = {
    "p_amp": (-0.3, 0.5), "p_centre": (-0.25, -0.07), "p_width": (0.01, 0.06),
    "q_amp": (-1.0, 0.5), "q_centre": (-0.08, -0.01), "q_width": (0.004, 0.03),
    "r_amp": (-2.0, 3.0), "r_centre": (-0.02, 0.02), "r_width": (0.004, 0.03),
    "s_amp": (-1.0, 1.0), "s_centre": (0.005, 0.08), "s_width": (0.004, 0.04),
    "t_amp": (-0.6, 1.0), "t_centre": (0.15, 0.42), "t_width": (0.02, 0.12),
    "t2_amp": (-0.6, 0.6), "t2_centre": (0.15, 0.45), "t2_width": (0.02, 0.12),
    "st_amp": (-0.5, 0.5), "st_start": (0.03, 0.1), "st_end": (0.12, 0.35),
    "offset": (-1.0, 1.0),
}  # fmt: skip

# wave: (amplitude mV, centre s, width s), each as (low, high, default).
_WAVES = {
    "p": ((0.05, 0.25, 0.12), (-0.2, -0.1, -0.16), (0.015, 0.035, 0.023)),
    "q": ((-0.3, 0.0, -0.12), (-0.045, -0.015, -0.027), (0.005, 0.012, 0.008)),
    "q1": ((-0.3, 0.0, -0.08), (-0.045, -0.025, -0.032), (0.007, 0.017, 0.01)),
    "q2": ((-0.3, 0.0, -0.08), (-0.025, -0.01, -0.021), (0.007, 0.017, 0.01)),
    "r": ((0.4, 2.0, 1.1), (-0.01, 0.01, 0.001), (0.007, 0.014, 0.01)),
    "s": ((-0.6, 0.0, -0.25), (0.015, 0.045, 0.028), (0.006, 0.012, 0.009)),
    "t": ((-0.3, 0.6, 0.28), (0.2, 0.35, 0.29), (0.03, 0.07, 0.048)),
    "t2": ((-0.3, 0.3, 0.0), (0.2, 0.4, 0.3), (0.03, 0.1, 0.06)),
}
_ST = ((-0.3, 0.6, 0.0), (0.03, 0.08, 0.05), (0.15, 0.3, 0.22))
_PARTS = (("amp", "mV"), ("centre", "s"), ("width", "s"))
_ST_PARTS = (("amp", "mV"), ("start", "s"), ("end", "s"))
_EDGE = 0.006  # s
# The infarcted beat: a deep and broad Q, a raised ST segment, an inverted T. Its ranges hold the normal beat too.
_INFARCTION = {
    "q_amp": (-0.8, 0.0, -0.35),
    "q_width": (0.005, 0.02, 0.011),
    "q1_amp": (-0.8, 0.0, -0.2),
    "q2_amp": (-0.8, 0.0, -0.25),
    "q1_width": (0.007, 0.025, 0.012),
    "q2_width": (0.007, 0.025, 0.012),
    "t_amp": (-0.6, 0.6, -0.2),
    "st_amp": (-0.3, 0.6, 0.2),
}


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


def plateau(t: Float[ArrayLike, "points"], amp: ArrayLike, start: ArrayLike, end: ArrayLike) -> Float[Array, "points"]:
    """The ST segment's level amp S((t - start) / h) S((end - t) / h), with edges of h = 6 ms.

    Args:
        t: times, in s.
        amp: level between the edges, in mV.
        start: where it has risen by half, in s.
        end: where it has fallen by half, in s.

    Returns:
        Voltage in mV, same shape as t.

    Example:
        >>> level = plateau(jnp.array([0.0, 0.05, 0.11, 0.4]), 0.2, start=0.05, end=0.22)
        >>> [round(float(v), 3) for v in level]
        [0.0, 0.1, 0.2, 0.0]
    """
    t = jnp.asarray(t, dtype=float)
    return jax.nn.sigmoid((t - start) / _EDGE) * jax.nn.sigmoid((end - t) / _EDGE) * amp


def waveform(
    t: Float[ArrayLike, "points"], values: Mapping[str, ArrayLike], orders: Mapping[str, int] | None = None
) -> Float[Array, "points"]:
    """Sum of the parts that `values` names, without offset and noise.

    Args:
        t: times after the R peak, in s.
        values: "p_amp" (mV), "p_centre" (s), "p_width" (s), and so on for the waves p, q or q1 and q2, r, s, t, t2;
            "st_amp" (mV), "st_start" (s), "st_end" (s). The widths of q1 and q2 are half widths at 1/e, the others
            standard deviations.
        orders: wave -> order of the derivative; where not named 1 for t2, 0 for the others.

    Returns:
        Voltage in mV, same shape as t.

    Example:
        >>> beat = waveform([0.0, 0.1], {"r_amp": 1.2, "r_centre": 0.0, "r_width": 0.01})
        >>> [round(float(v), 3) for v in beat]
        [1.2, 0.0]
    """
    orders = {"t2": 1} | dict(orders or {})
    total = jnp.zeros(np.shape(t), dtype=float)
    for wave in _WAVES:
        if f"{wave}_amp" in values:
            amp, centre, width = (values[f"{wave}_{part}"] for part, _ in _PARTS)
            if wave in ("q1", "q2"):
                width = jnp.asarray(width, dtype=float) / math.sqrt(2.0)
            total = total + gaussian_wave(t, amp, centre, width, orders.get(wave, 0))
    if "st_amp" in values:
        total = total + plateau(t, *(values[f"st_{part}"] for part, _ in _ST_PARTS))
    return total


def _ranges(waves: Sequence[str], infarction: bool) -> dict[str, tuple[Parameter, float]]:
    """Name -> range and default of all that a waveform of these waves may have."""
    rows = {wave: (_WAVES[wave], _PARTS) for wave in waves} | {"st": (_ST, _ST_PARTS)}
    known: dict[str, tuple[Parameter, float]] = {}
    for wave, (triples, parts) in rows.items():
        for triple, (part, unit) in zip(triples, parts, strict=True):
            name = f"{wave}_{part}"
            low, high, default = _INFARCTION.get(name, triple) if infarction else triple
            known[name] = Interval(low, high, unit=unit), default
    return known


class _Leads(NamedTuple):
    """What leads have of their own; of a single lead, which has no name, everything is as it is.

    Args:
        leads: their names; None: a single lead.
        known: name -> range and default of all parameters.
    """

    leads: tuple[str, ...] | None
    known: dict[str, Any]

    @staticmethod
    def of(leads: Sequence[str] | None, known: dict[str, Any]) -> "_Leads":
        if leads is None:
            return _Leads(None, known)
        if isinstance(leads, str) or not leads or not all(isinstance(lead, str) and lead for lead in leads):
            raise ValueError(f'leads must be names of leads, such as ("II", "V5"); got {leads!r}.')
        if len(set(leads)) < len(leads):
            raise ValueError(f"leads must name each lead once; got {', '.join(leads)}.")
        own = _Leads(tuple(leads), {})
        return own._replace(known={each: value for name, value in known.items() for each in own._each(name)})

    def names(self, names: str | Sequence[str]) -> tuple[str, ...]:
        """Write a name that leads have of their own as those of all leads."""
        given = (names,) if isinstance(names, str) else tuple(names)
        return tuple(each for name in given for each in (self._each(name) if name not in self.known else (name,)))

    def spread(self, values: Mapping[str, Any] | None) -> Mapping[str, Any] | None:
        """Give all leads what stands under a name without a lead; a lead's own goes before."""
        if values is None or self.leads is None or not isinstance(values, Mapping):
            return values
        given = {each: value for name, value in values.items() for each in self.names((name,))}
        return given | {name: value for name, value in values.items() if name in self.known}

    def each(self, shape: Any, named: Mapping[str, Any]) -> Array:
        """Compute a curve for each lead from its own values, (points,) or (points, leads)."""
        if self.leads is None:
            return shape(named)
        first = f"_{self.leads[0]}"
        generic = [name.removesuffix(first) for name in named if name.endswith(first)]
        own = {name: self._values(name, named) for name in generic}
        each = {name for all_of in generic for name in self._each(all_of)}
        shared = {name: value for name, value in named.items() if name not in each}
        return jax.vmap(lambda mine: shape(shared | mine), out_axes=1)(own)

    def offset(self, named: Mapping[str, Any]) -> Any:
        """Take the offset, of several leads a row of them."""
        return named["offset"] if self.leads is None else self._values("offset", named)[None]

    def _each(self, name: str) -> tuple[str, ...]:
        if self.leads is None or not (name.endswith("_amp") or name == "offset"):
            return (name,)
        return tuple(f"{name}_{lead}" for lead in self.leads)

    def _values(self, name: str, named: Mapping[str, Any]) -> Array:
        return jnp.stack([jnp.asarray(named[each], float) for each in self._each(name)])


def ecg(
    free: str | Sequence[str] | None = None,
    orders: Mapping[str, int] | None = None,
    q: Literal["single", "double"] = "single",
    snr: float = 20.0,
    rate: float = 250.0,
    window: tuple[float, float] = (-0.3, 0.5),
    *,
    values: Mapping[str, float] | None = None,
    ranges: Mapping[str, tuple[float, float]] | None = None,
    infarction: bool = False,
    noise: str | Sequence[str] | Mapping[str, float] = "white",
    mains: float = 50.0,
    leads: Sequence[str] | None = None,
) -> Problem:
    """One heartbeat per observation: Gaussian waves P, Q, R, S, T plus noise.

    The parameters are p_amp (mV), p_centre (s), p_width (s), and so on for q, r, s, t, t2; st_amp (mV), st_start (s),
    st_end (s); offset (mV); snr, wander_snr, mains_snr, muscle_snr (dB), those of the kinds of noise there are. With
    q="double" q1_... and q2_... take the place of q_.... The noise is relative to the waves alone, without offset.

    Args:
        free: names of the parameters to fit, in the order of theta's columns, e.g. `FIFTEEN` (from avo.simulators.ecg
            import FIFTEEN); None: `SEVEN`, the amplitudes, t_centre and t_width, and with infarction st_amp. The others
            stay at their lead-II defaults, offset, t2_amp and st_amp at 0.
        orders: wave -> order of the derivative 0, 1 or 2, e.g. {"t": 1}; where not named 1 for t2, 0 for the others.
        q: the Q wave as one Gaussian or two.
        snr: signal-to-noise ratio of each kind of noise, in dB; the truth if it is free.
        rate: sampling rate, in Hz.
        window: first time and end, in s after the R peak.
        values: name -> value in place of the default: fixed there, or the truth where the parameter is free.
        ranges: name -> (low, high) in place of the default range, e.g. `WIDE` (from avo.simulators.ecg import WIDE).
        infarction: an infarcted beat, in ranges that hold the normal one too: Q 0.35 mV deep and 44 ms broad (4
            widths), ST raised by 0.2 mV, T inverted. ST raised by 0.1 mV in two neighbouring leads other than V2 and V3
            counts as a sign of infarction (Fourth Universal Definition of Myocardial Infarction, 2018).
        noise: a kind or several out of "white", "wander", "mains", "muscle", or kind -> its own ratio in dB, e.g.
            {"white": 25.0, "wander": 10.0}; () for none.
        mains: frequency of the mains, in Hz.
        leads: names of leads that were recorded together, e.g. ("II", "V5"): r_amp, st_amp, offset and the like become
            r_amp_II, r_amp_V5; in `free`, `values` and `ranges` the name without a lead stands for all of them.

    Returns:
        `Problem`; x has shape (points,) in mV, points = rate * (end - first), or (points, leads). `mean` is the
        waveform without noise.

    Raises:
        ValueError: if an argument is out of range or names an unknown parameter, wave or kind of noise.

    Example:
        >>> problem = ecg()
        >>> problem.space.names
        ('p_amp', 'q_amp', 'r_amp', 's_amp', 't_amp', 't_centre', 't_width')
        >>> x = problem.simulate(jax.random.key(0), problem.theta_true[None])
        >>> x.shape, problem.mean(problem.theta_true).shape
        ((1, 200), (200,))
        >>> ecg(free=FIFTEEN, rate=360.0).space.dim
        15
        >>> ecg(("t_amp", "st_amp", "wander_snr"), infarction=True, noise=("white", "wander")).theta_true.tolist()
        [-0.2, 0.2, 20.0]
        >>> both = ecg(("r_amp", "r_width"), leads=("II", "V5"), values={"r_amp_V5": 1.9})
        >>> both.space.names, both.theta_true.tolist(), both.x_shape
        (('r_amp_II', 'r_amp_V5', 'r_width'), [1.1, 1.9, 0.01], (200, 2))
    """
    one_of("q", q, ("single", "double"))
    flag("infarction", infarction)
    added = make_noise(noise, snr, rate, mains)
    first, end = pair("window", window, "(first, end), in s")
    points = round(rate * (end - first))
    if points < 1:
        raise ValueError(f"window must be (first, end) in s and hold at least one sample; got {window} at {rate} Hz.")
    waves = ("p", "q1", "q2", "r", "s", "t", "t2") if q == "double" else ("p", "q", "r", "s", "t", "t2")
    orders = mapping("orders", orders, [wave for wave in waves if wave not in ("q1", "q2")], "0, 1 or 2")
    for wave, order in orders.items():
        whole(f"orders: {wave}", order, least=0, most=2)
    known = _ranges(waves, infarction) | {"offset": (Interval(-0.1, 0.1, unit="mV"), 0.0)} | added.known
    of_leads = _Leads.of(leads, known)
    known, values, ranges = of_leads.known, of_leads.spread(values), of_leads.spread(ranges)
    free = free if free is None else of_leads.names(free)
    for name, ends in mapping("ranges", ranges, known, "(low, high)").items():
        low, high = pair(f"ranges: {name}", ends, "(low, high)")
        if low >= high:
            raise ValueError(f"ranges: {name} must have low below high; got {ends!r}.")
        known[name] = Interval(low, high, unit=known[name][0].unit), known[name][1]
    if free is None:
        free = SEVEN if q == "single" else (SEVEN[0], "q1_amp", "q2_amp", *SEVEN[2:])
        free = of_leads.names((*free, "st_amp") if infarction else free)
    choice, free, values = choose(known, free, values), some_of("free", free, known), dict(values or {})
    for name, value in values.items():
        if name.endswith("_width"):
            positive(f"values: {name}", value)
    asked = (*free, *values, *(_INFARCTION if infarction else ()))
    absent = tuple(part for part in ("t2_", "st_") if not any(name.startswith(part) for name in asked))

    times = first + np.arange(points) / rate

    def parts(theta: Float[ArrayLike, "d"]) -> tuple[Array, dict[str, Any]]:
        named = {name: value for name, value in choice.named(theta).items() if not name.startswith(absent)}
        return of_leads.each(lambda own: waveform(times, own, orders), named), named

    def mean(theta: Float[ArrayLike, "d"]) -> Float[Array, "*x_shape"]:
        beat, named = parts(theta)
        return beat + of_leads.offset(named)

    def draw(key: Array, theta: Float[Array, "d"]) -> Float[Array, "*x_shape"]:
        beat, named = parts(theta)
        if leads is None:
            return beat + named["offset"] + added.draw(key, beat, named)
        one = jax.vmap(lambda key, beat: added.draw(key, beat, named), (0, 1), 1)
        return beat + of_leads.offset(named) + one(jax.random.split(key, len(leads)), beat)

    def log_prob(theta: Float[ArrayLike, "d"], x: Float[Array, "*x_shape"]) -> Float[Array, ""]:
        beat, named = parts(theta)
        sd = jnp.sqrt(jnp.mean(beat**2, axis=0)) * 10.0 ** (-named["snr"] / 20.0)
        sd = sd if leads is None else sd[None]
        return jnp.sum(jax.scipy.stats.norm.logpdf(x, beat + of_leads.offset(named), sd))

    return Problem(
        name="ecg",
        summary=HEADER.summary,
        simulate=vectorize(draw),
        space=choice.space,
        theta_true=choice.theta_true,
        x_shape=(points,) if leads is None else (points, len(leads)),
        axes=(
            Axis("time", "s", times),
            *(() if leads is None else (Axis("lead", "", np.arange(len(leads)), tuple(leads)),)),
        ),
        quantity="voltage",
        unit="mV",
        mean=mean,
        log_prob=log_prob if set(added.known) == {"snr"} else None,
        tags=HEADER.tags,
    )
