"""Kinds of parameters: supports, units, what is known of them, and the map to unconstrained coordinates.

Every parameter theta has an unconstrained coordinate u, in which the proposal lives and all optimisation happens:

    Interval(low, high)      theta = low + (high - low) sigmoid(u)
    LogInterval(low, high)   log theta = log low + (log high - log low) sigmoid(u)
    Positive(scale)          theta = scale exp(u)
    Real(loc, scale)         theta = loc + scale u

The scales make u of order one, so that one start, N(0, 1.5^2 I), suits every problem.

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

from avo.checks import finite, flag, pair, positive, text

FAR, WIDE = 4.5, 1.5  # |u| within which a fit starts, three standard deviations, and one: beyond, nothing is known


class Parameter(Protocol):
    """One parameter: a support, a unit and an increasing map from the real line onto the support.

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
    low, high = parameter.support
    if prior.log and low < 0:
        raise ValueError(
            f"{kind}: prior is of log theta, and theta may be negative, down to {low:g}; leave log=True out, or take a "
            "range above zero."
        )
    if low < high and not low < prior.value < high:
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


@dataclass(frozen=True)
class Fixed:
    """Parameter that is known: the simulator gets it, and no fit moves it.

    Args:
        value: what it is.
        unit: physical unit, for tables and plots.

    Raises:
        ValueError: if `value` is not a finite number.

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


FREE = (Interval, LogInterval, Positive, Real)
KINDS = {kind.__name__: kind for kind in (*FREE, Fixed)}
