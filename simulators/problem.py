"""What every simulator of the library hands over: a `Problem`, and the edge where one row becomes a batch.

A simulator is written for one parameter vector, `draw(key, theta) -> x`. `vectorize` makes it a batch with the key
`fold_in(key, i)` for row i, so that a batch of one equals the row of a batch, on one worker or eight.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike, Float, PRNGKeyArray

from avo.space import Parameter, Space


class Axis(NamedTuple):
    """One axis of x: its name, unit and coordinates."""

    name: str
    unit: str
    values: np.ndarray


def vectorize(draw: Callable[..., Array]) -> Callable[..., Array]:
    """Turn a simulator of one row into `simulate(key, theta) -> x` over rows.

    Args:
        draw: `draw(key, theta) -> x` with theta of shape (d,); optionally `draw(key, theta, inputs)`.

    Returns:
        `simulate(key, theta, *inputs)` with theta of shape (n, d); row i is `draw(fold_in(key, i), theta[i])`.

    Example:
        >>> simulate = vectorize(lambda key, theta: theta[0] + jax.random.normal(key))
        >>> simulate(jax.random.key(3), jnp.ones((5, 2))).shape
        (5,)
    """

    def simulate(key: PRNGKeyArray, theta: Float[Array, "n d"], *inputs: Array) -> Float[Array, "n ..."]:
        theta = jnp.asarray(theta, dtype=float)
        keys = jax.vmap(jax.random.fold_in, (None, 0))(key, jnp.arange(theta.shape[0]))
        return jax.vmap(draw)(keys, theta, *inputs)

    return simulate


class Choice(NamedTuple):
    """Which parameters are fitted: their space, their default truth, and `named(theta)`, the values of all by name."""

    space: Space
    theta_true: np.ndarray
    named: Callable[[ArrayLike], dict[str, Any]]


def choose(
    known: Mapping[str, tuple[Parameter, float]], free: Sequence[str], values: Mapping[str, float] | None = None
) -> Choice:
    """Choose the parameters to fit; the others are fixed.

    Args:
        known: name -> parameter and default value.
        free: names of the parameters to fit, in the order of theta's columns.
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
    free, values = tuple(free), dict(values or {})
    if not free or len(set(free)) != len(free) or not set(free) <= set(known):
        raise ValueError(f"free must name different parameters out of {', '.join(known)}; got {free!r}.")
    if not set(values) <= set(known):
        raise ValueError(f"values must name parameters out of {', '.join(known)}; got {values!r}.")
    defaults = {name: default for name, (_, default) in known.items()} | values
    for name, value in defaults.items():
        low, high = known[name][0].support
        if not math.isfinite(value):
            raise ValueError(f"{name} must be finite; got {value}.")
        if name in free and not low < value < high:
            raise ValueError(f"{name} must lie inside ({low:g}, {high:g}) where it is free; got {value:g}.")

    def named(theta: ArrayLike) -> dict[str, Any]:
        theta = jnp.asarray(theta, dtype=float)
        return defaults | {name: theta[i] for i, name in enumerate(free)}

    space = Space(**{name: known[name][0] for name in free})
    return Choice(space, np.array([defaults[name] for name in free]), named)


def check_count(name: str, value: int, least: int = 1) -> None:
    """Check an argument that counts something.

    Raises:
        ValueError: if value is not a whole number, or below `least`.

    Example:
        >>> check_count("points", 64)
    """
    whole = isinstance(value, (int, np.integer))
    if not whole or value < least:
        raise ValueError(f"{name} must be {f'at least {least}' if whole else 'a whole number'}; got {value}.")


def check_positive(name: str, value: float) -> None:
    """Check an argument that must be above zero and finite.

    Raises:
        ValueError: if it is not.

    Example:
        >>> check_positive("duration", 0.5)
    """
    if not (math.isfinite(value) and value > 0):
        raise ValueError(f"{name} must be above zero{'' if value <= 0 else ' and finite'}; got {value}.")


def check_grid(points: int, duration: float, noise: float = 0.0) -> None:
    """Check what series of measurements have in common: their number, their duration and their noise.

    Raises:
        ValueError: if points is not a whole number above zero, duration not above zero, or noise below zero.

    Example:
        >>> check_grid(points=64, duration=0.5)
    """
    check_count("points", points)
    check_positive("duration", duration)
    if not (math.isfinite(noise) and noise >= 0):
        raise ValueError(f"noise must not be negative; got {noise}.")


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
