"""The space of parameters: names, supports, units, and the map to unconstrained coordinates.

Each parameter is of a kind (avo/parameters.py), which maps it to an unconstrained coordinate u, in which the proposal
lives and all optimisation happens.

Two kinds take more than a map. Of an `Angle`, u and u + 4 are one theta: what is near, and what is a mean, goes around
the circle (`near`, `circles`). A `Count` is a whole number wherever theta goes to the simulator (`by_chance`,
`nearest_whole`, `full`).

A parameter may be `Fixed`. It has no u: names, dimension, u and theta are those of the free parameters, and `full` adds
the fixed ones where theta goes to the simulator.
"""

from collections.abc import Iterator, Mapping
from typing import Any, Never

import jax
import jax.core
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike, Float

from avo.checks import came, finite, numbers, shaped
from avo.parameters import FREE as FREE
from avo.parameters import KINDS as KINDS
from avo.parameters import TURN, contains, unwound
from avo.parameters import Angle as Angle
from avo.parameters import Count as Count
from avo.parameters import Fixed as Fixed
from avo.parameters import Interval as Interval
from avo.parameters import Known as Known
from avo.parameters import LogInterval as LogInterval
from avo.parameters import Parameter as Parameter
from avo.parameters import Positive as Positive
from avo.parameters import Real as Real


class Space:
    """Named parameters with supports and units, and the map between theta and u.

    Args:
        **parameters: name -> `Interval`, `LogInterval`, `Positive`, `Real`, `Angle` or `Count`, or what it is fixed
            at, a number or `Fixed`, in the order of the columns of theta that the simulator gets.

    Raises:
        ValueError: if no parameter is free, one is not of a known kind, or one has no name.

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

    def __init__(self, /, *nameless: Never, **parameters: "Parameter | Fixed | float") -> None:
        if nameless:
            raise ValueError(
                "Space takes each parameter by its name, Space(mu=avo.Interval(-3, 3)), and those of a dictionary by "
                f"Space(**parameters); got {nameless[0]!r}."
            )
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
    def angles(self) -> np.ndarray:
        """Which free parameters are an `Angle`, with shape (d,)."""
        return np.array([isinstance(p, Angle) for p in self])

    @property
    def counts(self) -> np.ndarray:
        """Which free parameters are a `Count`, with shape (d,)."""
        return np.array([isinstance(p, Count) for p in self])

    @property
    def count_names(self) -> frozenset[str]:
        """Names of the parameters that are a `Count`."""
        return frozenset(name for name, p in self._free.items() if isinstance(p, Count))

    @property
    def periods(self) -> np.ndarray:
        """After which theta is the same again, with shape (d,); infinite but for angles."""
        return np.array([p.period if isinstance(p, Angle) else np.inf for p in self])

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
                if not np.all(inside := contains(p, column)):
                    raise ValueError(f"{name} must lie inside ({low}, {high}); got {column[~inside][0]}.")
        return jnp.stack([p.unconstrain(theta[..., i]) for i, p in enumerate(self)], axis=-1)

    def near(self, u: Any, centre: Any) -> Any:
        """Move u by whole turns of its angles to where it is nearest to a centre; u itself where there is no angle.

        Example:
            >>> Space(a=Real(), phase=Angle(360)).near(np.array([[1.9, 1.9]]), np.array([-1.8, -1.8])).round(6).tolist()
            [[1.9, -2.1]]
        """
        return unwound(u, centre, np.where(self.angles, TURN, np.inf)) if self.angles.any() else u

    def circles(self, theta: Float[np.ndarray, "n d"]) -> Float[np.ndarray, "n k"]:
        """Write each angle as cosine, in its column, and sine, behind all: a mean of these is one of directions.

        Example:
            >>> space = Space(phase=Angle(360), a=Real())
            >>> wide = space.circles(np.array([[359.0, 5.0], [3.0, 7.0]]))
            >>> wide.shape, space.directions(wide.mean(0, keepdims=True)).round(6).tolist()
            ((2, 3), [[1.0, 6.0]])
        """
        at = np.flatnonzero(self.angles)
        turned = 2 * np.pi * theta[:, at] / self.periods[at]
        theta = np.concatenate([theta, np.sin(turned)], axis=1)
        theta[:, at] = np.cos(turned)
        return theta

    def directions(self, wide: Float[np.ndarray, "n k"]) -> Float[np.ndarray, "n d"]:
        """Make theta of what `circles` gave, or of means of it."""
        at = np.flatnonzero(self.angles)
        theta = wide[:, : self.dim].copy()
        turned = np.arctan2(wide[:, self.dim :], wide[:, at])
        theta[:, at] = np.mod(turned / (2 * np.pi), 1.0) * self.periods[at]
        return theta

    def by_chance(self, theta: Any, chance: Float[Array, "*n counts"]) -> Any:
        """Round counts up with the chance of what they are above a whole number, else down.

            n = floor(t) + 1  if chance < t - floor(t),    floor(t)  else

        Args:
            theta: the free parameters, with shape (..., d).
            chance: uniform on [0, 1), for each count.

        Example:
            >>> space, theta = Space(a=Real(), n=Count(0, 9)), jnp.array([[0.5, 3.4], [0.5, 3.4]])
            >>> space.by_chance(theta, jnp.array([[0.39], [0.41]])).tolist()
            [[0.5, 4.0], [0.5, 3.0]]
        """
        at = np.flatnonzero(self.counts)
        below = jnp.floor(theta[..., at])
        return theta.at[..., at].set(below + (chance < theta[..., at] - below))

    def nearest_whole(self, theta: Any) -> Any:
        """Round counts to the nearest whole number; theta itself where there is no count.

        Example:
            >>> Space(a=Real(), n=Count(0, 9)).nearest_whole(np.array([0.4, 3.6])).tolist()
            [0.4, 4.0]
        """
        if not self.counts.any():
            return theta
        xp: Any = jnp if isinstance(theta, jax.Array) else np
        return xp.where(xp.broadcast_to(self.counts, theta.shape), xp.round(theta), theta)

    def full(self, theta: Any) -> Any:
        """Add the fixed parameters: theta as the simulator gets it, a column for each of `columns`, counts whole.

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
        theta = self.nearest_whole(theta)
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


def start_in(space: Space, start: Mapping[str, float] | ArrayLike) -> Float[np.ndarray, " d"]:
    """Take a theta to begin at, by name or in order, to u.

    Raises:
        ValueError: if it is not one finite number for each parameter, inside its support.

    Example:
        >>> start_in(Space(a=Real(1.0, 2.0), b=Real()), {"b": 0.5, "a": 4.0}).tolist()
        [1.5, 0.5]
    """
    if isinstance(start, Mapping):
        given = numbers("start", start, space.names)
        if left := [name for name in space.names if name not in given]:
            raise ValueError(f"start must have a value for each parameter; {', '.join(left)} is missing.")
        values: ArrayLike = np.array([given[name] for name in space.names], float)
    else:
        values = start
    theta = shaped("start", values, (space.dim,), f"one value for each of {', '.join(space.names)}")
    for name, value, p in zip(space.names, theta, space, strict=True):
        low, high = p.support
        if not contains(p, finite(f"start: {name}", value)):
            raise ValueError(f"start: {name} must lie inside its support, ({low:g}, {high:g}); got {value:g}.")
    return np.asarray(space.unconstrain(jnp.asarray(theta, float)), float)


def check_space(space: Any, more: str = "") -> None:
    """Refuse what is no space; `more` ends the sentence.

    Example:
        >>> check_space({"mu": Interval(-3, 3)})
        Traceback (most recent call last):
            ...
        ValueError: space must be an avo.Space, e.g. avo.Space(mu=avo.Interval(-3, 3)); got a dict: avo.Space(**it).
    """
    if isinstance(space, Space):
        return
    named = isinstance(space, Mapping) and bool(space)
    told = "a dict: avo.Space(**it)" if named else came(space)
    raise ValueError(f"space must be an avo.Space, e.g. avo.Space(mu=avo.Interval(-3, 3)); got {told}.{more}")


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
