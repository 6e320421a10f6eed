"""The space of parameters: names, supports, units, and the map to unconstrained coordinates.

Every parameter theta has an unconstrained coordinate u, in which the proposal lives and all optimisation happens:

    Interval(low, high)      theta = low + (high - low) sigmoid(u)
    LogInterval(low, high)   log theta = log low + (log high - log low) sigmoid(u)
    Positive(scale)          theta = scale exp(u)
    Real(loc, scale)         theta = loc + scale u

The scales make u of order one, so that one start, N(0, 1.5^2 I), suits every problem.

A parameter may be `Fixed`. It has no u: names, dimension, u and theta are those of the free parameters, and `full` adds
the fixed ones where theta goes to the simulator.

Of a free parameter something may be `Known`, `prior=(value, sd)`: the result of another measurement of it,

    value = theta + error,    or    log value = log theta + error,    error ~ N(0, sd^2),

which enters the estimate once, beside the observations (avo/refine/known.py).
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

import jax
import jax.core
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike, Float

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
        >>> Space(dose=Fixed(0.7, unit="mg"), rate=Interval(0, 9)).names
        ('rate',)
    """

    bounded: ClassVar[bool] = False
    logarithmic: ClassVar[bool] = False

    value: float
    unit: str = ""

    def __post_init__(self) -> None:
        _check(self, "value")


FREE = (Interval, LogInterval, Positive, Real)
KINDS = {kind.__name__: kind for kind in (*FREE, Fixed)}


class Space:
    """Named parameters with supports and units, and the map between theta and u.

    Args:
        **parameters: name -> `Interval`, `LogInterval`, `Positive` or `Real`, or what it is fixed at, a number or
            `Fixed`, in the order of the columns of theta that the simulator gets.

    Raises:
        ValueError: if no parameter is free, or one is not of a known kind.

    Example:
        >>> space = Space(mu=Interval(-3, 3), sigma=LogInterval(0.05, 3.0, unit="V"))
        >>> space.names, space.dim, space.units
        (('mu', 'sigma'), 2, ('', 'V'))
        >>> theta = space.constrain(jnp.array([0.4, -1.2]))
        >>> bool(jnp.allclose(space.unconstrain(theta), jnp.array([0.4, -1.2]), atol=1e-5))
        True
        >>> space = Space(dose=0.7, rate=Interval(0, 9))
        >>> space.names, space.columns, space.full(np.array([4.0])).tolist()
        (('rate',), ('dose', 'rate'), [0.7, 4.0])
    """

    def __init__(self, /, **parameters: "Parameter | Fixed | float") -> None:
        if not parameters:
            raise ValueError("Space needs at least one parameter, e.g. Space(mu=avo.Interval(-3, 3)).")
        for word in (*parameters, *(str(getattr(p, "unit", "")) for p in parameters.values())):
            if not word.isprintable():  # of a stranger's file, on its way to a terminal
                raise ValueError(f"names and units of a Space must be printable; got {word!r}.")
        self._parameters: dict[str, Any] = {name: _parameter(name, p) for name, p in parameters.items()}
        self.fixed = {name: p for name, p in self._parameters.items() if isinstance(p, Fixed)}
        self._free: dict[str, Parameter] = {name: p for name, p in self._parameters.items() if name not in self.fixed}
        if not self._free:
            raise ValueError(
                f"Space needs a parameter that is free; all are fixed, {', '.join(self.fixed)}. Give one a range, e.g. "
                f"{next(iter(self.fixed))}=avo.Interval(0, 1)."
            )

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the free parameters, in the order of theta's columns."""
        return tuple(self._free)

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of all parameters, fixed ones too, in the order of the columns of theta that the simulator gets."""
        return tuple(self._parameters)

    @property
    def dim(self) -> int:
        """Number of free parameters, d."""
        return len(self._free)

    @property
    def units(self) -> tuple[str, ...]:
        """Units of the free parameters; "" where none was given."""
        return tuple(p.unit for p in self)

    @property
    def bounded(self) -> np.ndarray:
        """Which free parameters have two bounds, with shape (d,)."""
        return np.array([p.bounded for p in self])

    @property
    def known(self) -> dict[str, Known]:
        """What other measurements say of free parameters, by name."""
        return {name: p.prior for name, p in self._free.items() if isinstance(p.prior, Known)}

    def __iter__(self) -> Iterator[Parameter]:
        return iter(self._free.values())

    def __getitem__(self, name: str) -> Any:
        return self._parameters[name]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Space) and tuple(self._parameters.items()) == tuple(other._parameters.items())

    def __hash__(self) -> int:
        return hash(tuple(self._parameters.items()))

    def __repr__(self) -> str:
        return f"Space({', '.join(f'{name}={p!r}' for name, p in self._parameters.items())})"

    def constrain(self, u: Float[ArrayLike, "*n d"]) -> Float[Array, "*n d"]:
        """Map unconstrained coordinates to parameters.

        Args:
            u: unconstrained coordinates, with shape (..., d).

        Returns:
            theta in physical units, same shape, inside the supports.

        Raises:
            ValueError: if the last axis is not d.

        Example:
            >>> Space(a=Interval(-3, 5), b=Positive(2.5)).constrain([[0.0, 0.0]]).tolist()
            [[1.0, 2.5]]
        """
        u = self._wide(u, "u")
        return jnp.stack([p.constrain(u[..., i]) for i, p in enumerate(self)], axis=-1)

    def unconstrain(self, theta: Float[ArrayLike, "*n d"]) -> Float[Array, "*n d"]:
        """Map parameters to unconstrained coordinates, the inverse of `constrain`.

        Args:
            theta: parameters in physical units, with shape (..., d).

        Returns:
            u, same shape.

        Raises:
            ValueError: if the last axis is not d, or a value lies outside its support.

        Example:
            >>> Space(a=Interval(-3, 5), b=Positive(2.5)).unconstrain([1.0, 2.5]).tolist()
            [0.0, 0.0]
        """
        theta = self._wide(theta, "theta")
        if not isinstance(theta, jax.core.Tracer):
            for i, (name, p) in enumerate(self._free.items()):
                low, high = p.support
                column = np.asarray(theta[..., i])
                if not np.all((column > low) & (column < high)):
                    raise ValueError(
                        f"{name} must lie inside ({low}, {high}); got {column[~((column > low) & (column < high))][0]}."
                    )
        return jnp.stack([p.unconstrain(theta[..., i]) for i, p in enumerate(self)], axis=-1)

    def full(self, theta: Any) -> Any:
        """Add the fixed parameters: theta as the simulator gets it, a column for each of `columns`.

        Args:
            theta: the free parameters, with shape (..., d). NumPy's is taken for double precision, so that fixed
                values keep all their digits; JAX's stays what it is, traced too.

        Returns:
            All parameters, with shape (..., number of columns); theta itself where nothing is fixed.

        Raises:
            ValueError: if the last axis is not d.

        Example:
            >>> Space(a=Interval(-3, 5), n=Fixed(20_000_001), b=Real()).full(np.array([[1.5, 2.5]])).tolist()
            [[1.5, 20000001.0, 2.5]]
        """
        if not self.fixed:
            return theta
        xp: Any = jnp if isinstance(theta, jax.Array) else np
        theta = self._wide(theta, "theta") if xp is jnp else np.asarray(theta, float)
        self._check_wide(theta.shape, "theta")
        at = dict(zip(self.names, range(self.dim), strict=True))
        rows = (
            xp.full(theta.shape[:-1], p.value, theta.dtype) if name in self.fixed else theta[..., at[name]]
            for name, p in self._parameters.items()
        )  # fmt: skip
        return xp.stack(list(rows), axis=-1)

    def free(self, theta: Any) -> Any:
        """Leave out the fixed parameters, the inverse of `full`.

        Example:
            >>> Space(a=0.7, b=Real()).free(np.array([[0.7, 2.5]])).tolist()
            [[2.5]]
        """
        return theta[..., [self.columns.index(name) for name in self.names]] if self.fixed else theta

    def _wide(self, values: Float[ArrayLike, "*n d"], name: str) -> Float[Array, "*n d"]:
        a = jnp.asarray(values, dtype=jnp.result_type(float))
        self._check_wide(a.shape, name)
        return a

    def _check_wide(self, shape: tuple[int, ...], name: str) -> None:
        if not shape or shape[-1] != self.dim:
            without = f", without what is fixed ({', '.join(self.fixed)})" if self.fixed else ""
            raise ValueError(
                f"{name} must have {self.dim} values ({', '.join(self.names)}) along its last axis{without}; "
                f"got shape {shape}."
            )

    def to_json(self) -> list[dict[str, object]]:
        """Describe the space by plain values, for `Space.from_json`.

        Example:
            >>> Space.from_json(Space(rate=LogInterval(1, 30)).to_json()) == Space(rate=LogInterval(1, 30))
            True
        """
        return [{"name": name, "kind": type(p).__name__, **_fields(p)} for name, p in self._parameters.items()]

    @staticmethod
    def from_json(rows: list[dict]) -> "Space":
        """Rebuild a space from what `to_json` gave."""

        def made(row: dict) -> Any:
            fields: dict[str, Any] = {
                k: Known(**v) if k == "prior" else v for k, v in row.items() if k not in ("name", "kind")
            }
            return KINDS[row["kind"]](**fields)

        return Space(**{row["name"]: made(row) for row in rows})


def _parameter(name: str, parameter: Any) -> Any:
    """Take a number for what a parameter is fixed at, and refuse what is neither number nor parameter."""
    if isinstance(parameter, tuple(KINDS.values())):
        return parameter
    if hasattr(parameter, "__float__") and np.ndim(parameter) == 0 and not isinstance(parameter, (bool, np.bool_)):
        return Fixed(parameter)
    raise ValueError(
        f"Space: parameter {name!r} must be one of {', '.join(kind.__name__ for kind in FREE)}; "
        f"got {parameter!r}. For example {name}=avo.Interval(0, 1), or a number, at which it is fixed."
    )


def _fields(parameter: Any) -> dict[str, Any]:
    """Give a parameter's fields as plain values; of what is known nothing where nothing is, as older files do."""
    fields = dict(vars(parameter))
    prior = fields.pop("prior", None)
    return fields if prior is None else fields | {"prior": dict(vars(prior))}
