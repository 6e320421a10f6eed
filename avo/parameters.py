"""Kinds of parameters: supports, units, what is known of them, and the map to unconstrained coordinates.

Every parameter theta has an unconstrained coordinate u, in which the proposal lives and all optimisation happens:

    Interval(low, high)      theta = low + (high - low) sigmoid(u)
    LogInterval(low, high)   log theta = log low + (log high - log low) sigmoid(u)
    Positive(scale)          theta = scale exp(u)
    Real(loc, scale)         theta = loc + scale u
    Angle(period)            theta = period u / 4 mod period
    Count(low, high)         t = low + (high - low) sigmoid(u),    theta = floor(t) or floor(t) + 1

The scales make u of order one, so that one start, N(0, 1.5^2 I), suits every problem: on the circle its density is flat
within 12.5 %. u of an `Angle` has no ends and counts turns, four units each; two u a turn apart are one theta.

A `Count` is a whole number to the simulator: floor(t) + 1 with the chance t - floor(t), so that the law of x moves
smoothly with t, in straight lines from one whole number to the next (avo/execution/rounding.py). An estimate ends at
one of them (avo/refine/counts.py).

Of a parameter something may be `Known`, `prior=(value, sd)`: the result of another measurement of it,

    value = theta + error,    or    log value = log theta + error,    error ~ N(0, sd^2),

which enters the estimate once, beside the observations (avo/refine/known.py).
"""

import math
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from avo.checks import finite, flag, named_arguments, pair, positive, text

FAR, WIDE = 4.5, 1.5  # |u| within which a fit starts, three standard deviations, and one: beyond, nothing is known
TURN = 4.0  # of an angle in u, as wide as a range on the scale of avo/refine/linear.py
SHARP = 6.0  # standard errors of a measured angle that a turn has at least: half a turn is three of them
MOST = 2**24  # below, single precision knows whole numbers apart
NEAREST = 1e-6  # of a count's range: so near to an end is the end itself, where u is still a number


class Parameter(Protocol):
    """One parameter: a support, a unit and a map from the real line onto the support, increasing but for an angle's.

    `bounded` says whether both ends of the support are finite, `logarithmic` whether it is log theta that counts.
    """

    bounded: ClassVar[bool]
    logarithmic: ClassVar[bool]

    @property
    def unit(self) -> str: ...
    @property
    def prior(self) -> "Known | tuple[float, float] | None": ...
    @property
    def support(self) -> tuple[float, float]: ...
    def constrain(self, u: Array) -> Array: ...
    def unconstrain(self, theta: Array) -> Array: ...


@named_arguments()
@dataclass(frozen=True)
class Known:
    """What another measurement says of a parameter: its value, and the standard error of that.

    Args:
        value: the parameter's value, in its own unit.
        sd: standard error of the value; with `log` that of the value's logarithm, .1 for about a tenth of it.
        log: whether it is the logarithm that was measured with a normal error.

    Raises:
        ValueError: if `value` is not finite, or not above zero with `log`, or `sd` is not above zero.

    Example:
        >>> Interval(0.5, 50, prior=(5.0, 1.0)) == Interval(0.5, 50, prior=Known(5.0, 1.0))
        True
        >>> print(Known(5.0, 1.0), "or", Known(5.0, 0.2, log=True))
        5 +- 1 or 5 */ 1.22
    """

    value: float
    sd: float
    log: bool = False

    def __post_init__(self) -> None:
        _plain(self, "prior", "value", "sd")
        positive("prior: sd", self.sd)
        flag("prior: log", self.log)
        if self.log and self.value <= 0:
            raise ValueError(f"prior: value must be above zero where log=True; got {self.value:g}.")

    def __str__(self) -> str:
        return f"{self.value:.5g} " + (f"*/ {math.exp(self.sd):.3g}" if self.log else f"+- {self.sd:.3g}")

    @property
    def centre(self) -> float:
        """The value, or its logarithm, on the scale on which the error is normal."""
        return math.log(self.value) if self.log else self.value


def _plain(of: object, words: str, *names: str) -> None:
    """Check that fields are finite numbers, made Python's own so that what is equal hashes alike."""
    for name in names:
        value = getattr(of, name)
        plain = finite(f"{words}: {name}", value)
        if isinstance(value, np.number) or not isinstance(value, (int, float)):
            plain = value.item() if hasattr(value, "item") else plain
            object.__setattr__(of, name, plain)  # the way into a frozen dataclass


def _check(parameter: Any, *names: str) -> None:
    """Check that fields are finite numbers, the unit is text, and what is known suits the support."""
    kind = type(parameter).__name__
    _plain(parameter, kind, *names)
    text(f"{kind}: unit", vars(parameter)["unit"])
    prior = vars(parameter).get("prior")
    if prior is None:
        return
    if not isinstance(prior, Known):
        prior = Known(*pair(f"{kind}: prior", prior, "(value, sd), or avo.Known(value, sd, log=True)"))
        object.__setattr__(parameter, "prior", prior)
    if isinstance(parameter, Angle):
        _check_turn(parameter, prior)
        return
    low, high = parameter.support
    if prior.log and low < 0:
        raise ValueError(
            f"{kind}: prior is of log theta, and theta may be negative, down to {low:g}; leave log=True out, or take a "
            "range above zero."
        )
    if low < high and not contains(parameter, prior.value):
        raise ValueError(
            f"{kind}: prior must have a value inside ({low:g}, {high:g}), or the range be wider; got {prior}."
        )
    if not parameter.bounded:
        at = parameter.unconstrain(jnp.asarray(prior.value, float))
        rate = float(jax.grad(parameter.constrain)(at)) / (prior.value if prior.log else 1)
        if abs(at) > FAR or prior.sd > WIDE * rate:
            wanted = "loc and scale" if isinstance(parameter, Real) else "a scale"
            raise ValueError(
                f"{kind}: prior must lie where the fit looks, within {FAR:g} scales and known to {WIDE:g} of them; "
                f"{prior} is {at:.3g} from the start and known to {prior.sd / rate:.3g}. Give {kind} {wanted} near it."
            )


def _check_turn(angle: "Angle", prior: Known) -> None:
    """Check what is known of an angle: theta and theta + period are the same value, and so is the measured one."""
    if prior.log:
        raise ValueError("Angle: prior is of log theta, and an angle has none; leave log=True out.")
    if prior.sd > angle.period / SHARP:
        raise ValueError(
            f"Angle: prior must be known to a sixth of the period, {angle.period / SHARP:.4g}, so that it says which "
            f"turn is meant; got {prior}. Leave it out: it says hardly anything."
        )


def contains(parameter: "Parameter", theta: Any) -> Any:
    """Tell whether values lie inside a parameter's support; every number is an angle, and a count has its ends.

    Example:
        >>> contains(Interval(0, 3), 3.0), contains(Count(0, 3), 3.0), contains(Angle(3), -7.0)
        (False, True, True)
    """
    low, high = parameter.support
    if isinstance(parameter, Angle):
        return abs(theta) < math.inf
    return (low <= theta) & (theta <= high) if isinstance(parameter, Count) else (low < theta) & (theta < high)


def limit(parameter: "Parameter", low: float, high: float) -> str:
    """Say which end of an interval is a limit, "lower" or "upper", since the other is the parameter's bound; else "".

    The ends of a count are whole numbers, both inside, and the whole range is no limit.

    Example:
        >>> [limit(Interval(0, 5), *ends) for ends in ((0, 0.3), (4.1, 5), (2, 3), (0, 5))], limit(Count(0, 5), 0, 2)
        (['upper', 'lower', '', ''], '')
    """
    at_low, at_high = low == parameter.support[0], high == parameter.support[1]
    if at_low == at_high or not parameter.bounded or isinstance(parameter, Count):
        return ""
    return "upper" if at_low else "lower"


def unwound(values: Any, centre: Any, period: Any) -> np.ndarray:
    """Move values by whole periods to where they are nearest to a centre; by none where the period is infinite.

    Example:
        >>> unwound(np.array([359.0, 359.0]), np.array([2.0, 2.0]), np.array([360.0, np.inf])).tolist()
        [-1.0, 359.0]
    """
    values, period = np.asarray(values, float), np.asarray(period, float)
    return values - np.where(np.isfinite(period), period, 0.0) * np.round((values - centre) / period)


@named_arguments()
@dataclass(frozen=True)
class Interval:
    """Parameter between two bounds, uniform scale: theta = low + (high - low) sigmoid(u).

    Args:
        low: lower bound.
        high: upper bound, above `low`.
        unit: physical unit, for tables and plots.
        prior: what another measurement says of it, (value, sd) or `Known`.

    Raises:
        ValueError: if a bound is not finite, low >= high, or what is known lies outside.

    Example:
        >>> float(Interval(-3, 5).constrain(jnp.array(0.0)))
        1.0
    """

    bounded: ClassVar[bool] = True
    logarithmic: ClassVar[bool] = False

    low: float
    high: float
    unit: str = ""
    prior: Known | tuple[float, float] | None = None

    def __post_init__(self) -> None:
        _check(self, "low", "high")
        if self.low >= self.high:
            raise ValueError(f"Interval: low must be below high; got low={self.low}, high={self.high}.")

    @property
    def support(self) -> tuple[float, float]:
        return self.low, self.high

    def constrain(self, u: Array) -> Array:
        return self.low + (self.high - self.low) * jax.nn.sigmoid(u)

    def unconstrain(self, theta: Array) -> Array:
        return jnp.log((theta - self.low) / (self.high - theta))


@named_arguments()
@dataclass(frozen=True)
class LogInterval:
    """Positive parameter between two bounds, logarithmic scale: log theta is an `Interval`.

    Args:
        low: lower bound, above zero.
        high: upper bound, above `low`.
        unit: physical unit, for tables and plots.
        prior: what another measurement says of it, (value, sd) or `Known`.

    Raises:
        ValueError: if a bound is not finite, low <= 0, low >= high, or what is known lies outside.

    Example:
        >>> round(float(LogInterval(0.1, 10.0).constrain(jnp.array(0.0))), 6)
        1.0
    """

    bounded: ClassVar[bool] = True
    logarithmic: ClassVar[bool] = True

    low: float
    high: float
    unit: str = ""
    prior: Known | tuple[float, float] | None = None

    def __post_init__(self) -> None:
        _check(self, "low", "high")
        if self.low <= 0:
            raise ValueError(
                f"LogInterval: low must be above zero; got low={self.low}. Use Interval for signed ranges."
            )
        if self.low >= self.high:
            raise ValueError(f"LogInterval: low must be below high; got low={self.low}, high={self.high}.")

    @property
    def support(self) -> tuple[float, float]:
        return self.low, self.high

    def constrain(self, u: Array) -> Array:
        return self.low * jnp.exp(math.log(self.high / self.low) * jax.nn.sigmoid(u))

    def unconstrain(self, theta: Array) -> Array:
        return jnp.log(jnp.log(theta / self.low) / jnp.log(self.high / theta))


@named_arguments()
@dataclass(frozen=True)
class Positive:
    """Positive parameter without upper bound: theta = scale exp(u).

    Args:
        scale: typical size, above zero; the proposal starts there.
        unit: physical unit, for tables and plots.
        prior: what another measurement says of it, (value, sd) or `Known`.

    Raises:
        ValueError: if `scale` is not a finite number above zero, or what is known lies far from it.

    Example:
        >>> float(Positive(2.5).constrain(jnp.array(0.0)))
        2.5
    """

    bounded: ClassVar[bool] = False
    logarithmic: ClassVar[bool] = True

    scale: float = 1.0
    unit: str = ""
    prior: Known | tuple[float, float] | None = None

    def __post_init__(self) -> None:
        _check(self, "scale")
        positive("Positive: scale", self.scale)

    @property
    def support(self) -> tuple[float, float]:
        return 0.0, math.inf

    def constrain(self, u: Array) -> Array:
        return self.scale * jnp.exp(u)

    def unconstrain(self, theta: Array) -> Array:
        return jnp.log(theta / self.scale)


@named_arguments()
@dataclass(frozen=True)
class Real:
    """Unbounded parameter: theta = loc + scale u.

    Args:
        loc: typical value; the proposal starts there.
        scale: typical distance from `loc`, above zero.
        unit: physical unit, for tables and plots.
        prior: what another measurement says of it, (value, sd) or `Known`.

    Raises:
        ValueError: if `loc` or `scale` is not finite, scale <= 0, or what is known lies far from there.

    Example:
        >>> float(Real(2.0, 0.5).constrain(jnp.array(3.0)))
        3.5
    """

    bounded: ClassVar[bool] = False
    logarithmic: ClassVar[bool] = False

    loc: float = 0.0
    scale: float = 1.0
    unit: str = ""
    prior: Known | tuple[float, float] | None = None

    def __post_init__(self) -> None:
        _check(self, "loc", "scale")
        positive("Real: scale", self.scale)

    @property
    def support(self) -> tuple[float, float]:
        return -math.inf, math.inf

    def constrain(self, u: Array) -> Array:
        return self.loc + self.scale * u

    def unconstrain(self, theta: Array) -> Array:
        return (theta - self.loc) / self.scale


@named_arguments()
@dataclass(frozen=True)
class Angle:
    """Angle or phase, of which theta and theta + period are the same: theta = period u / 4 mod period, from 0 on.

    There is no seam: an estimate beside 0 has an interval such as -3 to 8, or 352 to 363, whose ends are values modulo
    the period, in one piece around the estimate.

    Args:
        period: of a full turn, 360 for degrees, 2 pi for radians, 24 for hours of the day.
        unit: physical unit, for tables and plots.
        prior: what another measurement says of it, (value, sd), sd at most a sixth of the period.

    Raises:
        ValueError: if `period` is not a finite number above zero, or what is known is the logarithm, or too vague.

    Example:
        >>> angle = Angle(360, unit="deg")
        >>> [float(angle.constrain(jnp.array(u))) for u in (1.0, -1.0, 5.0)], float(angle.unconstrain(jnp.array(450.0)))
        ([90.0, 270.0, 90.0], 1.0)
    """

    bounded: ClassVar[bool] = False
    logarithmic: ClassVar[bool] = False

    period: float
    unit: str = ""
    prior: Known | tuple[float, float] | None = None

    def __post_init__(self) -> None:
        _plain(self, "Angle", "period")
        positive("Angle: period", self.period)
        _check(self)

    @property
    def support(self) -> tuple[float, float]:
        return 0.0, float(self.period)

    def constrain(self, u: Array) -> Array:
        theta = jnp.mod(u * (self.period / TURN), self.period)
        return theta - self.period * (theta >= self.period)  # to which a small negative number is rounded

    def unconstrain(self, theta: Array) -> Array:
        """Give u of the turn around zero."""
        u = jnp.mod(theta / self.period, 1.0) * TURN
        return u - TURN * (u >= TURN / 2)


@named_arguments()
@dataclass(frozen=True)
class Count:
    """Whole number between two bounds, both of them possible: servers, stages, individuals.

    In a fit t = low + (high - low) sigmoid(u) lies between whole numbers, of which the simulator gets one of the two
    beside it, by chance; the result is a whole number.

    Args:
        low: the least.
        high: the largest.
        unit: physical unit, for tables and plots.
        prior: what another measurement says of it, (value, sd) or `Known`; the value need not be whole.

    Raises:
        ValueError: if a bound is no whole number below 2^24, low >= high, or what is known lies outside.

    Example:
        >>> float(Count(1, 30).constrain(jnp.array(0.0)))
        15.5
    """

    bounded: ClassVar[bool] = True
    logarithmic: ClassVar[bool] = False

    low: int
    high: int
    unit: str = ""
    prior: Known | tuple[float, float] | None = None

    def __post_init__(self) -> None:
        _plain(self, "Count", "low", "high")
        for name, value in (("low", self.low), ("high", self.high)):
            if value != round(value) or abs(value) >= MOST:
                raise ValueError(f"Count: {name} must be a whole number below 2^24; got {value:g}.")
            object.__setattr__(self, name, int(value))
        if self.low >= self.high:
            raise ValueError(f"Count: low must be below high; got low={self.low}, high={self.high}.")
        _check(self)

    @property
    def support(self) -> tuple[float, float]:
        return float(self.low), float(self.high)

    def constrain(self, u: Array) -> Array:
        """Give t, between whole numbers."""
        return self.low + (self.high - self.low) * jax.nn.sigmoid(u)

    def unconstrain(self, theta: Array) -> Array:
        place = jnp.clip((theta - self.low) / (self.high - self.low), NEAREST, 1 - NEAREST)
        return jnp.log(place) - jnp.log1p(-place)


@named_arguments(prior="What is fixed has no prior; for the data to move it, give avo.Interval(low, high, prior=...).")
@dataclass(frozen=True)
class Fixed:
    """Parameter that is known: the simulator gets it, and no fit moves it.

    Args:
        value: what it is.
        unit: physical unit, for tables and plots.

    Raises:
        ValueError: if `value` is not a finite number, or a prior is given.

    Example:
        >>> Fixed(0.7, unit="mg").value
        0.7
    """

    bounded: ClassVar[bool] = False
    logarithmic: ClassVar[bool] = False

    value: float
    unit: str = ""

    def __post_init__(self) -> None:
        _check(self, "value")


FREE = (Interval, LogInterval, Positive, Real, Angle, Count)
KINDS = {kind.__name__: kind for kind in (*FREE, Fixed)}
