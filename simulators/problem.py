"""What every simulator of the library hands over: a `Problem`, and the edge where one row becomes a batch.

A simulator is written for one parameter vector, `draw(key, theta) -> x`. `vectorize` makes it a batch with the key
`fold_in(key, i)` for row i, so that a batch of one equals the row of a batch, on one worker or eight.
"""

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike, Float, PRNGKeyArray

from avo.checks import ArgumentError, numbers, some_of
from avo.containers import Axis
from avo.execution.host import HostSimulator
from avo.space import Parameter, Space


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
    free = some_of("free", free, known)
    if not free:
        raise ValueError(f"free must name at least one parameter out of {', '.join(known)}; got none.")
    values = numbers("values", values, known)
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
        space: names, supports and units of theta, none of it fixed; a fit may fix some in a space of its own.
        theta_true: (d,) default truth, inside the space.
        x_shape: shape of one observation.
        axes: one `Axis` per axis of x.
        quantity: what x measures, for plots, e.g. "voltage".
        unit: unit of x.
        mle: x_obs (m, *x_shape) -> maximum-likelihood theta (d,), or None where none is known. The space does not bind
            it: unless its simulator says so the estimate may lie outside, and it is nan where x_obs determines none.
        mean: theta (d,) -> E[x | theta] (*x_shape), where known without simulating, else None. A problem with inputs
            has `mean(theta, inputs)` of one row. Use `jax.vmap` for many.
        log_prob: theta (d,) and x (m, *x_shape) -> log p(x_i | theta) of each observation (m,), where known, else None;
            of counts the logarithm of their probability. A simulator writes it for one x.
        tags: words to search by.
        inputs: the columns of known conditions, of a problem that has them: `simulate(key, theta, inputs)`, (n, k).

    Raises:
        ValueError: if the space has a fixed parameter; from `simulate`, `mean`, `mle` and `log_prob`, if an array does
            not have the shape described here; under jit, once, when it is traced.
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
    log_prob: Callable[..., Array] | None = None
    tags: tuple[str, ...] = ()
    inputs: Inputs | None = None

    def __post_init__(self) -> None:
        if self.space.fixed:
            raise ValueError(
                f"{self.name}: the space of a Problem has no fixed parameters; got {', '.join(self.space.fixed)}. Fix "
                "them for a fit: avo.fit(problem.simulate, x_obs, avo.Space(...))."
            )
        for name in ("simulate", "mean", "mle", "log_prob"):
            fn = getattr(self, name)
            plain = getattr(fn, "unchecked", fn)  # `dataclasses.replace` comes with a checked one, of other parameters
            if fn is not None and fn is not no_mle and not isinstance(fn, HostSimulator):
                checked: Any = functools.wraps(plain)(getattr(self, f"_checked_{name}")(plain))
                checked.unchecked = plain
                object.__setattr__(self, name, checked)  # the way into a frozen dataclass
        if self.mean is not None and self.inputs is None and not isinstance(self.simulate, HostSimulator):
            self.simulate.mean = self.mean  # pyright: ignore[reportFunctionMemberAccess]  # which a fit keeps

    def _checked_simulate(self, plain: Callable[..., Array]) -> Any:
        d, names = self.space.dim, ", ".join(self.space.names)

        def simulate(key: PRNGKeyArray, theta: Float[Array, "n d"], *inputs: Array) -> Float[Array, "n ..."]:
            theta = _shaped("theta", theta, (None, d), f"(n, {d}), columns {names}")
            return plain(key, theta, *self._conditions(inputs, (theta.shape[0],)))

        return simulate

    def _checked_mean(self, plain: Callable[..., Array]) -> Any:
        d, names, compiled = self.space.dim, ", ".join(self.space.names), jax.jit(plain)

        def mean(theta: Float[Array, "d"], *inputs: Array) -> Float[Array, "..."]:
            theta = _shaped("theta", theta, (d,), f"({d},), {names}")
            return compiled(theta, *self._conditions(inputs, ()))

        return mean

    def _checked_mle(self, plain: Callable[[Array], Array | None]) -> Any:
        def mle(x: Float[Array, "m ..."]) -> Array | None:
            return plain(self._observations(x))

        return mle

    def _checked_log_prob(self, plain: Callable[..., Array]) -> Any:
        d, names = self.space.dim, ", ".join(self.space.names)

        @jax.jit
        def of_rows(theta: Array, x: Array, *conditions: Array) -> Array:
            return jax.vmap(functools.partial(plain, theta))(x, *conditions)

        def log_prob(theta: Float[Array, "d"], x: Float[Array, "m ..."], *inputs: Array) -> Float[Array, "m"]:
            theta, x = _shaped("theta", theta, (d,), f"({d},), {names}"), self._observations(x)
            conditions = self._conditions(inputs, (x.shape[0],))
            return of_rows(theta, x, *conditions)

        return log_prob

    def _observations(self, x: Any) -> Array:
        """Check observations, one in each row."""
        shape = "(m,)" if self.x_shape == () else f"({', '.join(map(str, ('m', *self.x_shape)))})"
        return _shaped("x", x, (None, *self.x_shape), f"{shape}, an observation of {self.name} in each row")

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
