"""Simulators written in plain Python and NumPy.

`from_numpy` gives a user's function the interface of a JAX simulator, `simulate(key, theta, inputs) -> x`, with one
random generator per call made from the key and the row's number: same key, same numbers, whatever runs beside it.
"""

import inspect
from collections.abc import Callable
from dataclasses import dataclass

import jax
import numpy as np
from jaxtyping import ArrayLike, PRNGKeyArray

from avo.checks import ArgumentError, flag, positive, takes
from avo.execution.chunks import call

BATCH = 256  # rows that a batched simulator gets at a time, with one generator; fixed, since it decides the numbers


@dataclass(frozen=True, eq=False)
class HostSimulator:
    """A Python function, or a program behind one, as a simulator; made by `from_numpy` and `from_command`."""

    fn: Callable[..., ArrayLike]
    batched: bool
    timeout: float | None = None

    def __call__(self, key: PRNGKeyArray, theta: ArrayLike, inputs: ArrayLike | None = None) -> np.ndarray:
        """Draw one x per row of theta (n, d), with inputs (n, *c_shape) where there are any.

        Raises:
            CallFailed: if the function fails; names the parameters and the seed, so that the call can be repeated.
            ValueError: if rows differ in shape, or a batched function returns the wrong number of rows.
        """
        rows = np.asarray(theta, dtype=float)
        if rows.ndim != 2 or not len(rows):
            raise ArgumentError(f"theta must have shape (n, d), a row for each call; got shape {rows.shape}.")
        conditions = None if inputs is None else np.asarray(inputs)
        starts = np.arange(0, len(rows), BATCH if self.batched else 1, dtype=np.uint32)
        key_words = np.asarray(jax.random.key_data(key), np.uint32).ravel()
        # As words of 32 bits, a seed takes NumPy a third of the time that it takes as Python's integers
        seeds = np.column_stack([np.broadcast_to(key_words, (len(starts), len(key_words))), starts])
        x = None
        for first, seed in zip(starts.tolist(), seeds, strict=True):
            part = slice(first, first + BATCH) if self.batched else first
            arguments = (rows[part],) if conditions is None else (rows[part], conditions[part])
            drawn = call(self.fn, seed, *arguments)
            if self.batched and (drawn.ndim == 0 or len(drawn) != len(rows[part])):
                raise ValueError(
                    f"a batched simulator must return one row of x per row of theta: "
                    f"expected {len(rows[part])} rows, got shape {drawn.shape}."
                )
            shape = drawn.shape[1:] if self.batched else drawn.shape
            if x is None:
                x = np.empty((len(rows), *shape))
            elif shape != x.shape[1:]:
                raise ValueError(
                    f"the simulator must return the same shape each time; got {x.shape[1:]}, then {shape}."
                )
            x[part] = drawn  # a copy: the function may return one buffer each time
        assert x is not None
        return x


def from_numpy(fn: Callable[..., ArrayLike], batched: bool = False, timeout: float | None = None) -> HostSimulator:
    """Make a simulator from a function of NumPy arrays, `fn(rng, theta) -> x` or `fn(rng, theta, inputs) -> x`.

    Args:
        fn: draws one x from one theta, with shape (d,), and `rng`, a `numpy.random.Generator`; with `batched=True` n
            rows of x from theta (n, d), those of one block: 4 to 32 in `avo.fit` by default, as many as divide
            batch and pairs of the settings; elsewhere more, never more than 256. What it returns is copied.
        batched: whether `fn` takes many rows at once.
        timeout: seconds that a call in `avo.fit` may take, which needs processes: `executor=` a number of them, else
            one is started. A call that takes longer is stopped with its process, and counts as failed. None: any
            number.

    Returns:
        A simulator for `avo.fit`, `simulate(key, theta) -> x`.

    Raises:
        ValueError: if `fn` cannot be called with (rng, theta).

    Example:
        >>> simulate = from_numpy(lambda rng, theta: rng.normal(theta[0], theta[1], size=3))
        >>> simulate(jax.random.key(1), np.array([[0.5, 2.0], [0.1, 1.0]])).shape
        (2, 3)
    """
    if not callable(fn):
        raise ValueError(f"from_numpy needs a function fn(rng, theta) -> x; got {fn!r}.")
    if not (takes(fn, 2) or takes(fn, 3)):
        raise ValueError(
            "from_numpy needs a function of two arguments, fn(rng, theta) -> x, or three, fn(rng, theta, inputs) -> x; "
            f"got {getattr(fn, '__name__', fn)}{inspect.signature(fn)}."
        )
    seconds = None if timeout is None else positive("timeout", timeout, ", in seconds")
    return HostSimulator(fn, flag("batched", batched), seconds)
