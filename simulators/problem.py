"""What every simulator of the library hands over: a `Problem`, and the edge where one row becomes a batch.

A simulator is written for one parameter vector, `draw(key, theta) -> x`. `vectorize` makes it a batch with the key
`fold_in(key, i)` for row i, so that a batch of one equals the row of a batch, on one worker or eight.
"""

import functools
import math
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike, Float, PRNGKeyArray

from avo.host import HostSimulator
from avo.space import Parameter, Space


class ArgumentError(ValueError):
    """An array given to a problem does not have the shape that it needs; the message is for the user as it stands."""


class Axis(NamedTuple):
    """One axis of x: its name, unit and coordinates; `labels` name entries that differ, unit included."""

    name: str
    unit: str
    values: np.ndarray
    labels: tuple[str, ...] = ()


def vectorize(draw: Callable[..., Array]) -> Callable[..., Array]:
    """Turn a simulator of one row into `simulate(key, theta) -> x` over rows.

    Args:
        draw: `draw(key, theta) -> x` with theta of shape (d,); optionally `draw(key, theta, inputs)`.

    Returns:
        `simulate(key, theta, *inputs)` with theta of shape (n, d); row i is `draw(fold_in(key, i), theta[i])`.

    Raises:
        ValueError: when called, if theta does not have two axes.

    Example:
        >>> simulate = vectorize(lambda key, theta: theta[0] + jax.random.normal(key))
        >>> simulate(jax.random.key(3), jnp.ones((5, 2))).shape
        (5,)
    """

    def simulate(key: PRNGKeyArray, theta: Float[Array, "n d"], *inputs: Array) -> Float[Array, "n ..."]:
        theta = _shaped("theta", theta, (None, None), "(n, d), a row for each x")
        keys = jax.vmap(jax.random.fold_in, (None, 0))(key, jnp.arange(theta.shape[0]))
        return jax.vmap(draw)(keys, theta, *inputs)

    return simulate


class Choice(NamedTuple):
    """Which parameters are fitted: their space, their default truth, and `named(theta)`, the values of all by name."""

    space: Space
    theta_true: np.ndarray
    named: Callable[[ArrayLike], dict[str, Any]]


def choose(
    known: Mapping[str, tuple[Parameter, float]], free: str | Sequence[str], values: Mapping[str, float] | None = None
) -> Choice:
    """Choose the parameters to fit; the others are fixed.

    Args:
        known: name -> parameter and default value, a finite one.
        free: names of the parameters to fit, in the order of theta's columns; one name may stand alone.
        values: name -> value in place of the default: fixed there, or the truth where the parameter is free.

    Returns:
        A `Choice`.

    Raises:
        ValueError: if no name is free, one is unknown or free twice, a value is not finite, or a truth lies outside
            its range.

    Example:
        >>> from avo.space import Interval
        >>> known = {"rate": (Interval(1, 30), 7.0), "delay": (Interval(0, 1, unit="s"), 0.2)}
        >>> choice = choose(known, free=("delay",), values={"rate": 9.0})
        >>> choice.space.names, choice.theta_true.tolist(), choice.named([0.5])["rate"]
        (('delay',), [0.2], 9.0)
    """
    free = check_names("free", free, known)
    if not free:
        raise ValueError(f"free must name at least one parameter out of {', '.join(known)}; got none.")
    values = check_values("values", values, known)
    defaults = {name: default for name, (_, default) in known.items()} | values
    for name in free:
        low, high = known[name][0].support
        if not low < defaults[name] < high:
            others = tuple(other for other in free if other != name)
            raise ValueError(
                f"{name} must lie inside ({low:g}, {high:g}) where it is free; got {defaults[name]:g}. "
                f"To fix it there, leave it out of free{f': free={others!r}' if others else ''}."
            )

    def named(theta: ArrayLike) -> dict[str, Any]:
        theta = jnp.asarray(theta, dtype=float)
        return defaults | {name: theta[i] for i, name in enumerate(free)}

    space = Space(**{name: known[name][0] for name in free})
    return Choice(space, np.array([defaults[name] for name in free]), named)


# --- arguments of a factory: any object comes in, what does not fit ends in one sentence ------------------------------


def did_you_mean(name: object, known: Iterable[str], cutoff: float = 0.6) -> str:
    """Suggest the nearest known name, " Did you mean 'sigma'?"; "" where none is near.

    Example:
        >>> did_you_mean("sgma", ["mu", "sigma"])
        " Did you mean 'sigma'?"
    """
    near = get_close_matches(str(name), list(known), n=1, cutoff=cutoff)
    return f" Did you mean {near[0]!r}?" if near else ""


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float, np.number)) and not isinstance(value, (bool, complex, np.complexfloating))


def check_count(name: str, value: Any, least: int = 1) -> None:
    """Check an argument that counts something.

    Raises:
        ValueError: if value is not a whole number, or below `least`.

    Example:
        >>> check_count("points", 64)
    """
    whole = isinstance(value, (int, np.integer)) and not isinstance(value, bool)
    if not whole or value < least:
        raise ValueError(f"{name} must be {f'at least {least}' if whole else 'a whole number'}; got {value!r}.")


def check_number(name: str, value: Any) -> None:
    """Check an argument that must be a number, whatever its size.

    Raises:
        ValueError: if it is not.

    Example:
        >>> check_number("width", 0.3)
    """
    if not _is_number(value):
        raise ValueError(f"{name} must be a number; got {value!r}.")


def check_finite(name: str, value: Any, more: str = "") -> None:
    """Check an argument that must be a finite number.

    Raises:
        ValueError: if it is not; `more`, e.g. ", in dB", is part of what the message asks for.

    Example:
        >>> check_finite("start", -0.5)
    """
    if not (_is_number(value) and math.isfinite(value)):
        raise ValueError(f"{name} must be {'finite' if _is_number(value) else 'a finite number'}{more}; got {value!r}.")


def check_positive(name: str, value: Any, more: str = "") -> None:
    """Check an argument that must be above zero and finite.

    Raises:
        ValueError: if it is not; `more`, e.g. ", in Hz", is part of what the message asks for.

    Example:
        >>> check_positive("duration", 0.5)
    """
    if not (_is_number(value) and math.isfinite(value) and value > 0):
        words = "a number above zero"
        if _is_number(value):
            words = f"above zero{'' if value <= 0 else ' and finite'}"
        raise ValueError(f"{name} must be {words}{more}; got {value!r}.")


def check_grid(points: Any, duration: Any, noise: Any = 0.0) -> None:
    """Check what series of measurements have in common: their number, their duration and their noise.

    Raises:
        ValueError: if points is not a whole number above zero, duration not above zero, or noise below zero.

    Example:
        >>> check_grid(points=64, duration=0.5)
    """
    check_count("points", points)
    check_positive("duration", duration)
    check_finite("noise", noise)
    if noise < 0:
        raise ValueError(f"noise must not be negative; got {noise!r}.")


def check_flag(name: str, value: Any) -> None:
    """Check an argument that is true or false: the word "no" would count as true.

    Raises:
        ValueError: if it is not a bool.

    Example:
        >>> check_flag("summaries", True)
    """
    if not isinstance(value, (bool, np.bool_)):
        raise ValueError(f"{name} must be True or False; got {value!r}.")


def check_word(name: str, value: Any, known: Collection[str]) -> None:
    """Check an argument that is one of a few words.

    Raises:
        ValueError: if it is none of them; the message suggests the nearest.

    Example:
        >>> check_word("method", "rk4", ("rk4", "exact"))
    """
    if not (isinstance(value, str) and value in known):
        first = ", ".join(f'"{word}"' for word in list(known)[:-1])
        hint = did_you_mean(value, known) if isinstance(value, str) else ""
        raise ValueError(f'{name} must be {first} or "{list(known)[-1]}"; got {value!r}.{hint}')


def check_pair(name: str, value: Any, words: str) -> tuple[float, float]:
    """Check an argument that is two finite numbers.

    Raises:
        ValueError: if it is not; the message says `words`.

    Example:
        >>> check_pair("window", [-0.3, 0.5], "(first, end), in s")
        (-0.3, 0.5)
    """
    pair = tuple(value) if isinstance(value, (tuple, list, np.ndarray)) else ()
    if len(pair) != 2 or not all(_is_number(v) and math.isfinite(v) for v in pair):
        raise ValueError(f"{name} must be two finite numbers {words}; got {value!r}.")
    return pair


def check_names(name: str, value: Any, known: Collection[str]) -> tuple[str, ...]:
    """Check an argument that names some of a few things, each once; one name may stand alone.

    Raises:
        ValueError: if it names an unknown one, or one twice.

    Example:
        >>> check_names("free", "damping", ("w0_sq", "damping"))
        ('damping',)
    """
    several = isinstance(value, Iterable) and not isinstance(value, str)
    given: tuple[Any, ...] = tuple(value) if several else (value,)
    if not all(isinstance(word, str) for word in given):
        raise ValueError(f"{name} must be a name or several out of {', '.join(known)}; got {value!r}.")
    for word in given:
        if word not in known:
            raise ValueError(f"{name} must name some of {', '.join(known)}; got {word!r}.{did_you_mean(word, known)}")
        if given.count(word) > 1:
            raise ValueError(f"{name} must name each once; got {word!r} {given.count(word)} times.")
    return given


def check_values(name: str, value: Any, known: Collection[str]) -> dict[str, Any]:
    """Check an argument that gives some of a few names a finite number each; None gives none.

    Raises:
        ValueError: if it is no mapping, names an unknown one, or gives another thing than a finite number.

    Example:
        >>> check_values("values", {"damping": 0.2}, ("w0_sq", "damping"))
        {'damping': 0.2}
    """
    given = check_mapping(name, value, known, "numbers")
    for word, number in given.items():
        check_finite(f"{name}: {word}", number)
    return given


def check_mapping(name: str, value: Any, known: Collection[str], what: str) -> dict[str, Any]:
    """Check an argument that maps some of a few names to something; None maps none.

    Raises:
        ValueError: if it is no mapping, or names an unknown one.

    Example:
        >>> check_mapping("orders", {"t": 1}, ("p", "t"), "0, 1 or 2")
        {'t': 1}
    """
    if value is not None and not isinstance(value, Mapping):
        raise ValueError(f"{name} must map names to {what}, out of {', '.join(known)}; got {value!r}.")
    given = dict(value or {})
    check_names(name, tuple(given), known)
    return given


# --- the problem ------------------------------------------------------------------------------------------------------


def nan_of_nan(x: Float[Array, "*x_shape"], theta: Float[Array, "d"]) -> Float[Array, "*x_shape"]:
    """Pass x on; NaN where theta has a NaN, of which a count or an image would show nothing.

    Example:
        >>> nan_of_nan(jnp.array([3.0]), jnp.array([7.0, jnp.nan])).tolist()
        [nan]
    """
    return jnp.where(jnp.isnan(theta).any(), jnp.nan, x)


def _shaped(name: str, value: Any, shape: tuple[int | None, ...], words: str) -> Array:
    """Make an array and check its shape, of which None may be any size: costs nothing in a compiled program."""
    try:
        array = jnp.asarray(value, dtype=float)
    except (TypeError, ValueError) as error:
        if isinstance(error, jax.errors.JAXTypeError):  # a tracer where none can be: the caller's jit says it better
            raise
        raise ArgumentError(f"{name} must be numbers of shape {words}; got {value!r}.") from error
    if array.ndim != len(shape) or any(n not in (None, m) for m, n in zip(array.shape, shape, strict=True)):
        raise ArgumentError(f"{name} must have shape {words}; got {array.shape}.")
    return array


class Inputs(NamedTuple):
    """The known conditions that each observation has: the option that asks for them, and the names of their columns."""

    option: str
    names: tuple[str, ...]


def no_mle(x: Array) -> None:
    """Say that no maximum-likelihood estimate is known in closed form."""
    return None


@dataclass(frozen=True, eq=False)
class Problem:
    """A simulator with its parameter space, a truth, and what is known exactly about it.

    Args:
        name: the registry's name.
        summary: one line for `avo list`.
        simulate: `simulate(key, theta) -> x`, theta (n, d) in physical units, x (n, *x_shape).
        space: names, supports and units of theta.
        theta_true: (d,) default truth, inside the space.
        x_shape: shape of one observation.
        axes: one `Axis` per axis of x.
        quantity: what x measures, for plots, e.g. "voltage".
        unit: unit of x.
        mle: x_obs (m, *x_shape) -> maximum-likelihood theta (d,), or None where none is known. The space does not bind
            it: unless its simulator says so the estimate may lie outside, and it is nan where x_obs determines none.
        mean: theta (d,) -> E[x | theta] (*x_shape), where known without simulating, else None. A problem with inputs
            has `mean(theta, inputs)` of one row. Use `jax.vmap` for many.
        tags: words to search by.
        inputs: the columns of known conditions, of a problem that has them: `simulate(key, theta, inputs)`, (n, k).

    Raises:
        ValueError: from `simulate`, `mean` and `mle`, if an array does not have the shape described here; under jit,
            once, when it is traced.
    """

    name: str
    summary: str
    simulate: Callable[..., Array]
    space: Space
    theta_true: np.ndarray
    x_shape: tuple[int, ...]
    axes: tuple[Axis, ...] = ()
    quantity: str = "x"
    unit: str = ""
    mle: Callable[[Array], Array | None] = no_mle
    mean: Callable[..., Array] | None = None
    tags: tuple[str, ...] = ()
    inputs: Inputs | None = None

    def __post_init__(self) -> None:
        for name in ("simulate", "mean", "mle"):
            fn = getattr(self, name)
            plain = getattr(fn, "unchecked", fn)  # `dataclasses.replace` comes with a checked one, of other parameters
            if fn is not None and fn is not no_mle and not isinstance(fn, HostSimulator):
                checked: Any = functools.wraps(plain)(getattr(self, f"_checked_{name}")(plain))
                checked.unchecked = plain
                object.__setattr__(self, name, checked)  # the way into a frozen dataclass

    def _checked_simulate(self, plain: Callable[..., Array]) -> Any:
        d, names = self.space.dim, ", ".join(self.space.names)

        def simulate(key: PRNGKeyArray, theta: Float[Array, "n d"], *inputs: Array) -> Float[Array, "n ..."]:
            theta = _shaped("theta", theta, (None, d), f"(n, {d}), columns {names}")
            return plain(key, theta, *self._conditions(inputs, (theta.shape[0],)))

        return simulate

    def _checked_mean(self, plain: Callable[..., Array]) -> Any:
        d, names = self.space.dim, ", ".join(self.space.names)

        def mean(theta: Float[Array, "d"], *inputs: Array) -> Float[Array, "..."]:
            theta = _shaped("theta", theta, (d,), f"({d},), {names}")
            return plain(theta, *self._conditions(inputs, ()))

        return mean

    def _checked_mle(self, plain: Callable[[Array], Array | None]) -> Any:
        shape = "(m,)" if self.x_shape == () else f"({', '.join(map(str, ('m', *self.x_shape)))})"
        words = f"{shape}, an observation of {self.name} in each row"

        def mle(x: Float[Array, "m ..."]) -> Array | None:
            return plain(_shaped("x", x, (None, *self.x_shape), words))

        return mle

    def _conditions(self, inputs: tuple[Any, ...], rows: tuple[int, ...]) -> tuple[Array, ...]:
        """Check the known conditions of as many rows; () for one."""
        given = [c for c in inputs if c is not None]
        if self.inputs is None:
            if given:
                raise ArgumentError(f"{self.name} takes no inputs; got {len(given)}. Leave them out.")
            return ()
        k = len(self.inputs.names)
        words = f"({'n, ' if rows else ''}{k}{'' if rows else ','}), {' and '.join(self.inputs.names)}"
        if len(given) != 1:
            raise ArgumentError(f"{self.inputs.option} needs inputs of shape {words}.")
        return (_shaped("inputs", given[0], (*rows, k), words),)
