"""ECGSYN: heartbeats as a walk round a circle with hills and dips, paced by RR intervals that breathe.

Source: McSharry, Clifford, Tarassenko and Smith, IEEE Transactions on Biomedical Engineering 50(3):289-294 (2003).

A point runs round the unit circle, its limit cycle, once per beat; its height z is the voltage:

    phase' = 2 pi / RR,    z' = -sum_i a_i D_i exp(-D_i^2 / (2 b_i^2)) - (z - z0(t)),    z0 = A sin(2 pi f_resp t)

over the waves i = P, Q, R, S, T, with D_i = phase - angle_i brought to (-pi, pi]. R is at phase 0; a wave at angle_i is
RR angle_i / (2 pi) after it. a_i, b_i and angles are the defaults of the authors' software; the paper's Table I has
other angles (-pi/3, -pi/12, 0, pi/12, pi/2).

On the circle the phase is known exactly, and z is linear. With w = 2 pi / RR constant over a beat, as in the software,
and r_i = b_i / w, a wave alone gives, with the normal distribution function Phi,

    z_i = a_i b_i^2 / w [exp(-D_i^2 / (2 b_i^2)) - sqrt(2 pi) r_i exp(r_i^2 / 2 - D_i / w) Phi(D_i / b_i - r_i)]

plus a multiple of exp(-t) that makes z continuous where a beat begins and where D_i jumps from pi to -pi. So z is
computed without time steps, to rounding error, at any sampling rate. In single precision the times of
beats are rounded, more so in a long strip: x is off by at most 5e-5 mV over 8 s, 7e-3 over 240 s and 0.09 over 1440 s,
in 20 records at the default truth. z starts on its periodic solution for
the first RR, not at the software's 0.04, and z0, whose phase is random, has long been on: nothing has to be waited for.

Heart rate. The software's scaling keeps a_i b_i^2 / w, so that amplitudes hardly depend on the mean rate HR (1/min):
with h = sqrt(HR / 60) the widths are h b_i, the angles h^(1/2), h, 1, h, h^(1/2) times those of P, Q, R, S, T.

RR intervals. A beat that begins at t lasts RR(t), a sum of sines with random phases, mean 60 / HR, standard deviation
60 HR_sd / HR^2 and the power spectrum, normalised,

    S(f) = LF/HF N(f; 0.1 Hz, 0.01 Hz) + N(f; f_resp, 0.01 Hz),    f_resp = 0.25 Hz

Mayer waves and breathing (respiratory sinus arrhythmia). The software's lines are 1 / n apart for a record of about
n s, n a power of two: at 10 s they are 1/16 Hz apart, miss the peak at 0.1 Hz and give LF/HF = 0.02 where 0.5 is asked
for. Ours are at most 0.0025 Hz apart in every record. RR is kept above 0.25 s.

Gain. x = 30 mV z: the factor between the paper's A = 0.15 mV and the software's 0.005. It is fixed, unlike the
software's scaling of every record to -0.4 ... 1.2 mV, which makes amplitudes unidentifiable.

Twelve leads. The heart vector of wave i is a_i v_i / (II . v_i) with the directions v_i of `VECTORS` in Frank's frame
(x to the left, y to the feet, z to the back), II the lead vector of lead II, so that lead II is the single lead. Leads
I, II, V1 ... V6 are the vector's projections by Dower's matrix (Dower, Machado and Osborne, Clinical Cardiology 3:87,
1980), each recorded with baseline and noise of its own; the others follow from the laws of Einthoven and Goldberger,

    III = II - I,    aVR = -(I + II) / 2,    aVL = I - II / 2,    aVF = II - I / 2

The directions are our choice: P, R and T to the left, the feet and the front; Q (the septum) to the right, the head and
the front; S to the head and the back. They give R growing from V1 to V4, S deepest in V2 and V3, T upright in I, II and
V3 to V6, all waves turned round in aVR.

Identified: from beats the heights, angles and widths, where Q, R and S trade among each other; from strips also
heart_rate and heart_rate_sd. lf_hf and resp_freq need minutes: a Mayer wave lasts 10 s. The baseline has the amplitude
resp_amp / sqrt(1 + (2 pi f_resp)^2) in x, and looks like noise of the kind "wander".

Limits: all beats of a record have one shape, up to the scaling by their RR; no premature beats, no arrhythmia, no
disease.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike, Float

from avo.checks import pair, positive, whole
from avo.simulators.ecg_noise import make_noise
from avo.simulators.problem import Axis, Problem, choose, vectorize
from avo.simulators.register import Header
from avo.space import Interval, LogInterval, Parameter

HEADER = Header(
    summary="electrocardiogram by ECGSYN: strips or beats, 1 or 12 leads, heart rate that varies",
    tags=("series", "medicine"),
    x_shape=(1000,),
    parameters="heart_rate (1/min), heart_rate_sd (1/min), p_a, q_a, r_a, s_a, t_a",
    x="voltage (mV) along time (s)",
)

WAVES = ("p", "q", "r", "s", "t")
LEADS = ("I", "II", "III", "aVR", "aVL", "aVF", "V1", "V2", "V3", "V4", "V5", "V6")
GAIN = 30.0  # mV
FREE = ("heart_rate", "heart_rate_sd", "p_a", "q_a", "r_a", "s_a", "t_a")
DEGREE = math.pi / 180
PARAMETERS: dict[str, tuple[Parameter, float]] = {
    "heart_rate": (Interval(40.0, 180.0, unit="1/min"), 60.0),
    "heart_rate_sd": (Interval(0.2, 6.0, unit="1/min"), 1.0),
    "lf_hf": (LogInterval(0.1, 10.0), 0.5),
    "resp_freq": (Interval(0.15, 0.4, unit="Hz"), 0.25),
    "resp_amp": (Interval(0.0, 0.3, unit="mV"), 0.15),
    "p_a": (Interval(0.0, 3.0), 1.2),
    "q_a": (Interval(-15.0, 0.0), -5.0),
    "r_a": (Interval(10.0, 60.0), 30.0),
    "s_a": (Interval(-20.0, 0.0), -7.5),
    "t_a": (Interval(-2.0, 2.0), 0.75),
    "p_angle": (Interval(-90 * DEGREE, -50 * DEGREE, unit="rad"), -70 * DEGREE),
    "q_angle": (Interval(-25 * DEGREE, -8 * DEGREE, unit="rad"), -15 * DEGREE),
    "r_angle": (Interval(-5 * DEGREE, 5 * DEGREE, unit="rad"), 0.0),
    "s_angle": (Interval(8 * DEGREE, 25 * DEGREE, unit="rad"), 15 * DEGREE),
    "t_angle": (Interval(75 * DEGREE, 120 * DEGREE, unit="rad"), 100 * DEGREE),
    "p_width": (Interval(0.15, 0.35, unit="rad"), 0.25),
    "q_width": (Interval(0.06, 0.15, unit="rad"), 0.1),
    "r_width": (Interval(0.06, 0.15, unit="rad"), 0.1),
    "s_width": (Interval(0.06, 0.15, unit="rad"), 0.1),
    "t_width": (Interval(0.25, 0.55, unit="rad"), 0.4),
}
# Directions of the heart vector, to the left, the feet and the back.
VECTORS = {
    "p": (1.0, 0.7, -0.45),
    "q": (1.0, 1.0, 1.0),
    "r": (1.05, 0.7, -0.2),
    "s": (0.3, 0.7, -1.2),
    "t": (1.0, 0.7, -0.4),
}
DOWER = {
    "I": (0.632, -0.235, 0.059),
    "II": (0.235, 1.066, -0.132),
    "V1": (-0.515, 0.157, -0.917),
    "V2": (0.044, 0.164, -1.387),
    "V3": (0.882, 0.098, -1.277),
    "V4": (1.213, 0.127, -0.601),
    "V5": (1.125, 0.127, -0.086),
    "V6": (0.831, 0.076, 0.230),
}
_MAYER, _SPREAD = 0.1, 0.01  # Hz
_SHORTEST = 0.25  # s


def lead_gains() -> Float[np.ndarray, "8 5"]:
    """Height of each wave in leads I, II, V1 ... V6 in units of its height in lead II.

    Example:
        >>> lead_gains()[1].tolist()
        [1.0, 1.0, 1.0, 1.0, 1.0]
    """
    gains = np.array([DOWER[lead] for lead in DOWER]) @ np.array([VECTORS[wave] for wave in WAVES]).T
    return gains / gains[1]


def twelve_leads(recorded: Float[Array, "points 8"]) -> Float[Array, "points 12"]:
    """Complete leads I, II, V1 ... V6 by III = II - I, aVR = -(I + II)/2, aVL = I - II/2, aVF = II - I/2.

    Args:
        recorded: leads I, II, V1 ... V6, in mV.

    Returns:
        The leads in the order of `LEADS`, in mV.

    Example:
        >>> twelve_leads(jnp.array([[0.5, 1.25, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0]]))[0, :6].tolist()
        [0.5, 1.25, 0.75, -0.875, -0.125, 1.0]
    """
    one, two = recorded[:, 0], recorded[:, 1]
    limbs = jnp.stack([one, two, two - one, -(one + two) / 2.0, one - two / 2.0, two - one / 2.0], axis=1)
    return jnp.concatenate([limbs, recorded[:, 2:]], axis=1)


def line_offsets(longest: float) -> Float[np.ndarray, "lines"]:
    """Distances of the lines of a peak in the spectrum of RR from its centre, in Hz: 4 standard deviations each way.

    Args:
        longest: time within which RR(t) must not repeat, in s.

    Example:
        >>> offsets = line_offsets(10.0)
        >>> round(float(offsets[1] - offsets[0]), 6), round(float(offsets[-1]), 6)
        (0.0025, 0.04)
    """
    half = math.ceil(4 * _SPREAD * max(400.0, 2 * longest))
    return 4 * _SPREAD * np.arange(-half, half + 1) / half


def rr_interval(
    t: ArrayLike,
    phases: Float[Array, "2 lines"],
    offsets: Float[np.ndarray, "lines"],
    *,
    mean: ArrayLike,
    sd: ArrayLike,
    lf_hf: ArrayLike,
    resp_freq: ArrayLike,
) -> Float[Array, ""]:
    """RR(t) = mean + sd sum_k sqrt(2 p_k) cos(2 pi f_k t + phase_k), p_k the shares of the lines in the spectrum.

    Args:
        t: time, in s.
        phases: of the lines about 0.1 Hz and of those about resp_freq.
        offsets: distances of the lines from these centres, in Hz.
        mean: mean, in s.
        sd: standard deviation over time, in s.
        lf_hf: power about 0.1 Hz over power about resp_freq.
        resp_freq: frequency of breathing, in Hz.

    Returns:
        RR, in s.

    Example:
        >>> offsets = line_offsets(10.0)
        >>> phases = jnp.zeros((2, len(offsets)))
        >>> round(float(rr_interval(1.7, phases, offsets, mean=0.8, sd=0.0, lf_hf=0.5, resp_freq=0.25)), 6)
        0.8
    """
    shares = np.exp(-(offsets**2) / (2 * _SPREAD**2))
    lf = jnp.asarray(lf_hf, dtype=float) / (1.0 + jnp.asarray(lf_hf, dtype=float))
    power = jnp.stack([lf, 1.0 - lf])[:, None] * jnp.asarray(shares / shares.sum(), dtype=float)[None]
    centres = jnp.stack([jnp.asarray(_MAYER, dtype=float), jnp.asarray(resp_freq, dtype=float)])
    angles = 2.0 * math.pi * (centres[:, None] + jnp.asarray(offsets, dtype=float)[None]) * t + phases
    return jnp.asarray(mean, dtype=float) + sd * jnp.sum(jnp.sqrt(2.0 * power) * jnp.cos(angles))


def heights(
    times: Float[Array, "points"],
    onsets: Float[Array, "beats"],
    rr: Float[Array, "beats"],
    angles: Float[Array, "waves"],
    widths: Float[Array, "waves"],
) -> Float[Array, "waves points"]:
    """Solve z' = -D exp(-D^2 / (2 b^2)) - z for each wave, exactly; z of all is `a @ heights(...)`.

    Args:
        times: none before the first onset, in s.
        onsets: times of the R peaks, where phase is 0, in s.
        rr: time from each to the next, in s.
        angles: phases of the waves in (-pi, pi], in rad.
        widths: b, in rad.

    Returns:
        z of a wave with a = 1, on its periodic solution for the first RR, with shape (waves, points).

    Example:
        >>> onsets, rr = jnp.arange(4.0), jnp.ones(4)
        >>> z = heights(jnp.array([0.3, 2.3]), onsets, rr, jnp.array([1.5]), jnp.array([0.4]))
        >>> bool(jnp.abs(z[0, 0] - z[0, 1]) < 1e-6)
        True
    """
    angles, widths = angles[:, None], widths[:, None]

    def alone(d: Array, w: Array) -> Array:
        r = widths / w
        # Phi by erf: its relative accuracy far below zero, which ndtr pays for, does not matter in a sum
        phi = 0.5 + 0.5 * jax.lax.erf((d / widths - r) / math.sqrt(2.0))
        tail = math.sqrt(2.0 * math.pi) * r * jnp.exp(r**2 / 2.0 - d / w) * phi
        return widths**2 / w * (jnp.exp(-((d / widths) ** 2) / 2.0) - tail)

    # Where D jumps from pi to -pi, at the time (angle + pi) / w of a beat, z must not: `jump` is the multiple of
    # exp(-t) that it takes up there, `rest` the one that it has from the beginning of the beat.
    w = 2.0 * math.pi / rr[None]
    first = alone(-angles, w)
    jump = jnp.exp((angles + math.pi) / w) * (alone(jnp.array([[math.pi]]), w) - alone(jnp.array([[-math.pi]]), w))

    def advance(z: Array, beat: tuple[Array, Array, Array]) -> tuple[Array, Array]:
        first, jump, rr = beat
        return first + jnp.exp(-rr) * (z - first + jump), z - first

    start = first[:, 0] + jump[:, 0] / jnp.expm1(rr[0])
    rest = jax.lax.scan(advance, start, (first.T, jump.T, rr))[1].T
    beat = jnp.searchsorted(onsets, times, side="right", method="scan_unrolled") - 1
    t, w = (times - onsets[beat])[None], w[:, beat]
    d = w * t - angles
    passed = d > math.pi
    d = jnp.where(passed, d - 2.0 * math.pi, d)
    return alone(d, w) + jnp.exp(-t) * (rest[:, beat] + jnp.where(passed, jump[:, beat], 0.0))


def _check(name: str, value: float) -> None:
    """Refuse a fixed value with which the equation has no meaning."""
    if name.endswith("_width") or name in ("heart_rate", "lf_hf", "resp_freq"):
        positive(f"values: {name}", value)
    if name == "heart_rate" and value > 60.0 / _SHORTEST:
        raise ValueError(f"values: heart_rate must be at most {60.0 / _SHORTEST:g} 1/min; got {value}.")
    # At 240 1/min the angles of P and T grow by the square root of 2, those of Q and S twofold: pi is their limit.
    widest = 2.1 if name[0] in "pt" else 1.5
    if name.endswith("_angle") and abs(value) > widest:
        raise ValueError(f"values: {name} must lie within {widest} rad of R; got {value}.")


def ecgsyn(
    free: str | Sequence[str] | None = None,
    duration: float = 10.0,
    rate: float = 100.0,
    leads: Literal[1, 12] = 1,
    *,
    window: tuple[float, float] | None = None,
    values: Mapping[str, float] | None = None,
    noise: str | Sequence[str] | Mapping[str, float] = "white",
    snr: float = 20.0,
    mains: float = 50.0,
) -> Problem:
    """Strips or beats of ECGSYN: z' = -sum_i a_i D_i exp(-D_i^2 / (2 b_i^2)) - (z - z0), x = 30 mV z + noise.

    The parameters are heart_rate and heart_rate_sd (1/min), lf_hf, resp_freq (Hz), resp_amp (mV); the height p_a, the
    angle p_angle (rad) and the width p_width (rad) of P, and so on for q, r, s, t; snr, wander_snr, mains_snr,
    muscle_snr (dB), those of the kinds of noise there are. The noise is relative to the waves alone, without baseline,
    in each recorded lead.

    Args:
        free: names of the parameters to fit, in the order of theta's columns; None: `FREE` (from avo.simulators.ecgsyn
            import FREE), the heart rate, its spread and the heights. The others stay at the software's defaults.
        duration: of a strip, in s. It begins anywhere in a beat.
        rate: sampling rate, in Hz.
        leads: 1, or 12 in the order of `LEADS` (from avo.simulators.ecgsyn import LEADS).
        window: (first, end) in s after an R peak: one beat per observation instead of a strip.
        values: name -> value in place of the default: fixed there, or the truth where the parameter is free.
        noise: a kind or several out of "white", "wander", "mains", "muscle", or kind -> its own ratio in dB; () for
            none.
        snr: signal-to-noise ratio of each kind of noise, in dB; the truth if it is free.
        mains: frequency of the mains, in Hz.

    Returns:
        `Problem`; x has shape (points,), with 12 leads (points, 12), in mV.

    Raises:
        ValueError: if an argument is out of range or names an unknown parameter or kind of noise.

    Example:
        >>> problem = ecgsyn(duration=3.0, leads=12)
        >>> x = jax.jit(problem.simulate)(jax.random.key(0), problem.theta_true[None])
        >>> x.shape
        (1, 300, 12)
        >>> bool(jnp.abs(x[..., 0] + x[..., 2] - x[..., 1]).max() < 1e-6)  # Einthoven: I + III = II
        True
        >>> ecgsyn(("r_a", "t_angle"), window=(-0.3, 0.5), rate=250.0).x_shape
        (200,)
    """
    whole("leads", leads)
    if leads not in (1, 12):
        raise ValueError(f"leads must be 1 or 12; got {leads!r}.")
    extra = make_noise(noise, snr, rate, mains)
    positive("duration", duration, ", in s")
    first, end = (0.0, duration) if window is None else pair("window", window, "(first, end), in s")
    points = round(rate * (end - first))
    if points < 1:
        name, given = ("duration", duration) if window is None else ("window", window)
        raise ValueError(f"{name} must hold at least one sample; got {given} at {rate} Hz.")
    choice = choose(PARAMETERS | extra.known, FREE if free is None else free, values)
    for name, value in dict(values or {}).items():
        _check(name, value)

    grid = first + np.arange(points) / rate
    # A beat has the R peak of its window after as many beats as may lie before it.
    before = 0 if window is None else max(0, math.ceil(-first / _SHORTEST))
    beats = before + max(0, math.ceil(end / _SHORTEST)) + 2
    offsets = line_offsets(end)
    gains = np.ones((1, 5)) if leads == 1 else lead_gains()

    def pace(
        phases: Float[Array, "2 lines"], v: Mapping[str, Array]
    ) -> tuple[Float[Array, "beats"], Float[Array, "beats"]]:
        mean, sd = 60.0 / v["heart_rate"], 60.0 * v["heart_rate_sd"] / v["heart_rate"] ** 2

        def advance(t: Array, _: None) -> tuple[Array, tuple[Array, Array]]:
            rr = rr_interval(t, phases, offsets, mean=mean, sd=sd, lf_hf=v["lf_hf"], resp_freq=v["resp_freq"])
            rr = jnp.maximum(rr, _SHORTEST)
            return t + rr, (t, rr)

        return jax.lax.scan(advance, jnp.zeros(()), None, length=beats)[1]

    def draw(key: Array, theta: Float[Array, "d"]) -> Float[Array, "..."]:
        v = {name: jnp.asarray(value, dtype=float) for name, value in choice.named(theta).items()}
        key_turns, key_noise = jax.random.split(key)
        turns = jax.random.uniform(key_turns, (2 * len(offsets) + 2,))
        onsets, rr = pace(2.0 * math.pi * turns[2:].reshape(2, -1), v)
        t = jnp.asarray(grid, dtype=float) + (turns[0] * rr[0] if window is None else onsets[before])

        a, angles, widths = (jnp.stack([v[f"{wave}_{part}"] for wave in WAVES]) for part in ("a", "angle", "width"))
        h = jnp.sqrt(v["heart_rate"] / 60.0)
        stretch = jnp.stack([jnp.sqrt(h), h, jnp.ones_like(h), h, jnp.sqrt(h)])
        z = (jnp.asarray(gains, dtype=float) * a[None]) @ heights(t, onsets, rr, stretch * angles, h * widths)
        waves = GAIN * z
        w = 2.0 * math.pi * v["resp_freq"]
        baseline = v["resp_amp"] / jnp.sqrt(1.0 + w**2) * jnp.sin(w * t + 2.0 * math.pi * turns[1])
        added = jax.vmap(lambda k, lead: extra.draw(k, lead, v))(jax.random.split(key_noise, len(waves)), waves)
        x = waves + baseline[None] + added
        return x[0] if leads == 1 else twelve_leads(x.T)

    time = Axis("time", "s", grid)
    return Problem(
        name="ecgsyn",
        summary=HEADER.summary,
        simulate=vectorize(draw),
        space=choice.space,
        theta_true=choice.theta_true,
        x_shape=(points,) if leads == 1 else (points, 12),
        axes=(time,) if leads == 1 else (time, Axis("lead", "", np.array(LEADS))),
        quantity="voltage",
        unit="mV",
        tags=HEADER.tags,
    )
