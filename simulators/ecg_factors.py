"""One heartbeat by what tells patients and recordings apart: lead, pulse, infarction and size.

The Gaussian waves of `avo.simulators.ecg`, at its defaults for a healthy lead II and its infarcted ones, moved by four
parameters:

    lead a        angle of the frontal plane, from which one electrode looks: I at 0, II at 60, aVF at 90 degrees.
                  Wave i, with heart vector v_i (`avo.simulators.ecgsyn.VECTORS`), has the height
                  size M_i (v_i . e(a)) / (v_i . e(60)),   e(a) = (cos a, sin a) to the left and the feet
    pulse HR      RR = 60 / HR. ECGSYN's scaling, h = sqrt(HR / 60), in time after R: widths and the centres of Q and S
                  go as RR h ~ RR^(1/2), the centres of P and T and the ST segment as RR h^(1/2) ~ RR^(3/4),
                  relative to 75 / min
    infarction s  0 healthy, 1 infarcted: M and w of Q, M of T and the level of ST go from one to the other by straight
                  lines; ST looks as T does from every lead
    size          of all heights

    x(t) = f(t) + noise,   noise ~ N(0, noise^2) independent

Identified: all four, `infarction` the better the larger the beat stands in its lead. Where a lead looks across a heart
vector the wave vanishes; the angles end before P, R and T do.

Limits: one beat, of which nothing but these four differs from patient to patient; the frontal plane only. The waves
scale with the pulse, the noise does not.

Source: the waves as in `avo.simulators.ecg`, the scaling of McSharry et al. (2003), as in `avo.simulators.ecgsyn`; the
four parameters are our choice, after the latents that a talk by A. Honchar named by eye: lead, infarction, pulse.
"""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike, Float

from avo.checks import positive, whole
from avo.simulators.ecg import ecg, waveform
from avo.simulators.ecgsyn import VECTORS
from avo.simulators.problem import Axis, Problem, vectorize
from avo.simulators.register import Header
from avo.space import Interval, Space

HEADER = Header(
    summary="one heartbeat by lead, pulse, infarction and size",
    tags=("series", "medicine", "population"),
    x_shape=(128,),
    parameters="lead (degrees), pulse (1/min), infarction, size",
    x="voltage (mV) along time (s)",
)

_PULSE, _LEAD = 75.0, 60.0  # 1/min, degrees: where the waves are those of `ecg`
_GROWTH = {"p": 0.75, "q": 0.5, "r": 0.5, "s": 0.5, "t": 0.75, "st": 0.75}  # of centres, as powers of RR


def height(lead: ArrayLike) -> dict[str, Array]:
    """Height of each wave, seen from the angle `lead` (degrees), in units of its height in lead II.

    Example:
        >>> {wave: round(float(h), 2) for wave, h in height(0.0).items()}["t"]
        0.9
    """

    def seen(wave: str, angle: ArrayLike) -> Array:
        left, feet, _ = VECTORS[wave]
        a = jnp.deg2rad(jnp.asarray(angle, dtype=float))
        return jnp.cos(a) * left + jnp.sin(a) * feet

    heights = {wave: seen(wave, lead) / seen(wave, _LEAD) for wave in "pqrst"}
    return heights | {"st": heights["t"]}


def ecg_factors(points: int = 128, duration: float = 0.85, noise: float = 0.03) -> Problem:
    """One heartbeat per observation, by lead, pulse, infarction and size.

    Args:
        points: samples per beat.
        duration: their span, in s; the first is at 0.3 / 0.85 of it before the R peak.
        noise: standard deviation of the white noise, in mV.

    Returns:
        `Problem` with parameters lead (degrees), pulse (1/min), infarction and size; x has shape (points,), in mV.
        `mean` is the waveform without noise.

    Raises:
        ValueError: if an argument is out of range.

    Example:
        >>> problem = ecg_factors()
        >>> problem.simulate(jax.random.key(0), problem.theta_true[None]).shape
        (1, 128)
    """
    whole("points", points)
    positive("duration", duration)
    positive("noise", noise)
    times = duration * (np.arange(points) / points - 0.3 / 0.85)
    healthy, infarcted = (_defaults(sick) for sick in (False, True))

    def mean(theta: Float[ArrayLike, "4"]) -> Float[Array, "points"]:
        lead, pulse, infarction, size = jnp.asarray(theta, dtype=float)
        longer, heights = _PULSE / pulse, height(lead)
        values = {}
        for name, well in healthy.items():
            wave, part = name.split("_")
            value = well + (infarcted[name] - well) * infarction
            power = 0.5 if part == "width" else _GROWTH[wave]
            values[name] = value * (heights[wave] * size if part == "amp" else longer**power)
        return waveform(times, values)

    def draw(key: Array, theta: Float[Array, "4"]) -> Float[Array, "points"]:
        return mean(theta) + noise * jax.random.normal(key, (points,))

    return Problem(
        name="ecg_factors",
        summary=HEADER.summary,
        simulate=vectorize(draw),
        space=Space(
            lead=Interval(-20.0, 100.0, unit="degrees"),
            pulse=Interval(45.0, 130.0, unit="1/min"),
            infarction=Interval(0.0, 1.0),
            size=Interval(0.5, 1.8),
        ),
        theta_true=np.array([42.0, 81.0, 0.35, 1.1]),
        x_shape=(points,),
        axes=(Axis("time", "s", times),),
        quantity="voltage",
        unit="mV",
        mean=mean,
        tags=HEADER.tags,
    )


def _defaults(infarction: bool) -> dict[str, float]:
    """Values of P, Q, R, S, T and ST that `ecg` has by default."""
    names = [f"{wave}_{part}" for wave in "pqrst" for part in ("amp", "centre", "width")]
    problem = ecg((*names, "st_amp", "st_start", "st_end"), infarction=infarction)
    return dict(zip(problem.space.names, problem.theta_true.tolist(), strict=True))
