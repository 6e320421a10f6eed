"""What a user hands over as a simulator, looked at once before a fit."""

import hashlib
import inspect
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import ArrayLike

from avo.checks import ArgumentError, came, takes
from avo.execution.command import bound
from avo.execution.host import HostSimulator
from avo.execution.programs import JaxSimulator, compile_simulator
from avo.space import Space


def check_simulator(
    simulate: Any, space: Space, x: np.ndarray, inputs: np.ndarray | None, n: int
) -> HostSimulator | JaxSimulator:
    """Make sure that `simulate` can be called and returns one row of x per theta; costs no call of a JAX simulator.

    Args:
        simulate: what the user gave.
        space: the parameters.
        x: the observations, with shape (m, *x_shape).
        inputs: their known conditions, with shape (m, *c_shape), where there are any.
        n: number of rows of a block: compiled programs call `simulate` with the same shapes.

    Returns:
        The simulator, compiled if it is written in JAX, told the names of theta's columns if it is a command.

    Raises:
        ValueError: if it cannot be called so, is not written in JAX, or returns another shape.
    """
    _check_call(simulate, inputs is not None)
    if isinstance(simulate, HostSimulator):
        c_shape = None if inputs is None else inputs.shape[1:]
        return bound(simulate, space.columns, c_shape, x.shape[1:], space.count_names)
    compiled = compile_simulator(simulate)
    _check_rows(compiled, space, x, inputs, n)
    if n in x.shape[1:]:
        # Where each row meets each other, as (n, 1) times (n,) does, n rows of n numbers come out all the same
        _check_rows(compiled, space, x, inputs, next(i for i in range(n + 1, n + x.ndim + 1) if i not in x.shape[1:]))
    return compiled


def _check_rows(simulate: JaxSimulator, space: Space, x: np.ndarray, inputs: np.ndarray | None, n: int) -> None:
    """Make sure that a simulator in JAX makes n rows of x from n of theta, by their shapes alone."""
    dtype = jnp.result_type(float)
    rows = [jax.ShapeDtypeStruct((n, len(space.columns)), dtype)]
    rows += [] if inputs is None else [jax.ShapeDtypeStruct((n, *inputs.shape[1:]), dtype)]
    try:
        shape = jax.eval_shape(simulate.fn, jax.random.key(0), *rows)
    except ArgumentError as error:  # of a simulator of the library, or by its means
        given = f"theta of space ({', '.join(space.columns)}){'' if inputs is None else ' and inputs'}"
        raise ValueError(f"simulate does not suit {given}: {error}") from error
    except (jax.errors.JAXTypeError, jax.errors.JAXIndexError, jax.errors.UnexpectedTracerError) as error:
        raise ValueError(
            "simulate is not written in JAX. Wrap a NumPy function fn(rng, theta) -> x of one theta by "
            f"avo.from_numpy(fn). JAX said: {str(error).splitlines()[0]}"
        ) from error
    except Exception as error:
        raise ValueError(
            f"simulate failed with {type(error).__name__}: {' '.join(str(error).split())[:200]}. It was given a key, "
            f"then arrays with shapes {', '.join(str(row.shape) for row in rows)}, many rows at once. If it is written "
            "in NumPy, fn(rng, theta) -> x for one theta, wrap it by avo.from_numpy(fn)."
        ) from error
    expected = (n, *x.shape[1:])
    if getattr(shape, "shape", None) != expected:
        raise ValueError(
            f"simulate must return one row of x per row of theta, shaped like a row of x_obs: for theta "
            f"{rows[0].shape} expected x {expected}, got {getattr(shape, 'shape', shape)}."
            + _of_columns(x, getattr(shape, "shape", ()))
        )
    if jnp.issubdtype(shape.dtype, jnp.complexfloating):
        raise ValueError(
            f"simulate must return real numbers; got {shape.dtype}. Return real and imaginary parts side by side."
        )


def _of_columns(x: Any, made: tuple[int, ...]) -> str:
    """Say where columns of observations may belong that a simulator does not make."""
    if x.ndim != 2 or len(made) != 2 or made[1] >= x.shape[1]:
        return ""
    return " Columns of x_obs that are known conditions belong into inputs=, those that name rows into neither."


def _check_call(simulate: Any, conditions: bool) -> None:
    """Make sure that a simulator can be called with key and theta, and with known conditions where there are any."""
    arguments = "(key, theta, inputs)" if conditions else "(key, theta)"
    if not callable(simulate):
        own = hasattr(simulate, "simulate")
        told = f"a {type(simulate).__name__}, pass its .simulate" if own else came(simulate)
        raise ValueError(f"simulate must be a function simulate{arguments} -> x; got {told}.")
    host = isinstance(simulate, HostSimulator)
    fn = simulate.fn if host else simulate
    if inspect.isgeneratorfunction(fn):
        raise ValueError(f"simulate must return x; {getattr(fn, '__name__', 'it')} yields. Write return for yield.")
    if takes(fn, 3 if conditions else 2):
        return
    name, wanted = getattr(fn, "__name__", "simulate"), arguments.replace("key", "rng") if host else arguments
    raise ValueError(
        f"simulate must be callable as {name}{wanted}"
        + (" since inputs were given" if conditions else "")
        + f"; got {name}{inspect.signature(fn)}."
        + (" Known conditions need inputs=, a row for each observation." if not conditions and takes(fn, 3) else "")
    )


def handed(simulate: Any, space: Space, theta: Any) -> Any:
    """Make of free parameters the theta that a simulator is called with, for one outside JAX to all digits.

    Example:
        >>> from avo.space import Interval
        >>> handed(lambda key, theta: theta, Space(n=4, rate=Interval(0, 9)), jnp.array([[1.5]])).tolist()
        [[4.0, 1.5]]
    """
    return space.full(np.asarray(theta) if isinstance(simulate, HostSimulator) else theta)


def useless(space: Space, u: ArrayLike, calls: int) -> ValueError:
    """Make the error of a simulator none of whose first draws was finite, at u among others."""
    theta = dict(zip(space.columns, space.full(np.asarray(space.constrain(jnp.asarray(u)))).tolist(), strict=True))
    return ValueError(
        f"simulate returned NaN or infinity in all of its first {calls} draws, at parameters such as {theta}; "
        "check that it works there, or narrow the space."
    )


def source_of(simulate: Any) -> str | None:
    """Name what a user's function says by the hash of its source; None where Python does not have it."""
    fn = simulate.fn if isinstance(simulate, HostSimulator) else simulate
    try:
        return hashlib.sha256(inspect.getsource(fn).encode()).hexdigest()
    except (TypeError, OSError):
        return None
