"""What a user hands over as a simulator: looked at once before a fit, and compiled once where it is written in JAX."""

import inspect
from collections.abc import Callable, Hashable
from functools import lru_cache
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from avo.checks import takes
from avo.execution.host import HostSimulator
from avo.space import Space


def check_simulator(simulate: Any, space: Space, x: np.ndarray, inputs: np.ndarray | None, n: int) -> Any:
    """Make sure that `simulate` can be called and returns one row of x per theta; costs no call of a JAX simulator.

    n is the number of rows of a block: the compiled loop calls `simulate` with the same shapes.
    """
    arguments = "(key, theta)" if inputs is None else "(key, theta, inputs)"
    if not callable(simulate):
        came = f"a {type(simulate).__name__}, pass its .simulate" if hasattr(simulate, "simulate") else repr(simulate)
        raise ValueError(f"simulate must be a function simulate{arguments} -> x; got {came}.")
    host = isinstance(simulate, HostSimulator)
    fn = simulate.fn if host else simulate
    if not takes(fn, 2 if inputs is None else 3):
        wanted = arguments.replace("key", "rng") if host else arguments
        raise ValueError(
            f"simulate must be callable as {getattr(fn, '__name__', 'simulate')}{wanted}"
            + (" since inputs were given" if inputs is not None else "")
            + f"; got {getattr(fn, '__name__', 'simulate')}{inspect.signature(fn)}."
            + (" Known conditions need avo.fit(..., inputs=)." if inputs is None and takes(fn, 3) else "")
        )
    if host:
        return simulate
    # jit keeps this trace: the compiled loop calls `simulate` with the same shapes and does not trace it again
    compiled = _jit(simulate)
    dtype = jnp.result_type(float)
    rows = [jax.ShapeDtypeStruct((n, space.dim), dtype)]
    rows += [] if inputs is None else [jax.ShapeDtypeStruct((n, *inputs.shape[1:]), dtype)]
    from avo.checks import ArgumentError

    try:
        shape = jax.eval_shape(compiled, jax.random.key(0), *rows)
    except ArgumentError as error:  # of a simulator of the library, or by its means
        given = f"theta of space ({', '.join(space.names)}){'' if inputs is None else ' and inputs'}"
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
            f"{(n, space.dim)} expected x {expected}, got {getattr(shape, 'shape', shape)}."
        )
    return compiled


@lru_cache(maxsize=64)
def _shared_jit(simulate: Callable) -> Callable:
    return jax.jit(simulate)


def _jit(simulate: Callable) -> Callable:
    """Compile a simulator once, so that fits of the same one share their program."""
    return _shared_jit(simulate) if isinstance(simulate, Hashable) else jax.jit(simulate)
