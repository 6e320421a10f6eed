"""Simulators written in plain Python and NumPy.

`from_numpy` gives a user's function the interface of a JAX simulator, `simulate(key, theta, inputs) -> x`, with one
random generator per call made from the key and the row's number: same key, same numbers, whatever runs beside it.
"""

import inspect
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import jax
import numpy as np
from jaxtyping import ArrayLike, PRNGKeyArray

from avo.checks import flag, takes

BATCH = 256  # rows that a batched simulator gets at a time, with one generator; fixed, since it decides the numbers


@dataclass(frozen=True, eq=False)
class HostSimulator:
    """A Python function as a simulator; made by `from_numpy`."""

    fn: Callable[..., ArrayLike]
    batched: bool

    def __call__(self, key: PRNGKeyArray, theta: ArrayLike, inputs: ArrayLike | None = None) -> np.ndarray:
        """Draw one x per row of theta (n, d), with inputs (n, *c_shape) where there are any.

        Raises:
            RuntimeError: if the function fails; names the parameters and the seed, so that the call can be repeated.
            ValueError: if rows differ in shape, or a batched function returns the wrong number of rows.
        """
        rows = np.asarray(theta, dtype=float)
        conditions = None if inputs is None else np.asarray(inputs)
        entropy = [int(word) for word in np.asarray(jax.random.key_data(key)).ravel()]
        size = BATCH if self.batched else 1
        parts = []
        for first in range(0, len(rows), size):
            part = slice(first, first + size) if self.batched else first
            arguments = (rows[part],) if conditions is None else (rows[part], conditions[part])
            seed = [*entropy, first]
            try:
                drawn = np.asarray(self.fn(np.random.default_rng(seed), *arguments))
                if np.iscomplexobj(drawn):
                    raise TypeError("x is complex, and must be real; return its parts side by side")
                x = np.asarray(drawn, dtype=float)
            except Exception as error:
                place = traceback.extract_tb(error.__traceback__)[-1]
                raise RuntimeError(
                    f"the simulator failed at theta = {rows[first].tolist()} with {type(error).__name__}: {error} "
                    f"({Path(place.filename).name}, line {place.lineno}). "
                    f"To repeat the call: rng = numpy.random.default_rng({seed})."
                ) from error
            if self.batched and (x.ndim == 0 or len(x) != len(rows[part])):
                raise ValueError(
                    f"a batched simulator must return one row of x per row of theta: "
                    f"expected {len(rows[part])} rows, got shape {x.shape}."
                )
            if parts and (x.shape[1:] if self.batched else x.shape) != (
                parts[0].shape[1:] if self.batched else parts[0].shape
            ):
                raise ValueError(
                    f"the simulator must return the same shape each time; got {parts[0].shape}, then {x.shape}."
                )
            parts.append(x)
        return np.concatenate(parts) if self.batched else np.stack(parts)


def from_numpy(fn: Callable[..., ArrayLike], batched: bool = False) -> HostSimulator:
    """Make a simulator from a function of NumPy arrays, `fn(rng, theta) -> x` or `fn(rng, theta, inputs) -> x`.

    Args:
        fn: draws one x from one theta, with shape (d,), and `rng`, a `numpy.random.Generator`; with `batched=True` n
            rows of x from theta (n, d), those of one block: 4 to 32 in `avo.fit` by default, as many as divide
            batch and pairs of the settings; elsewhere more, never more than 256.
        batched: whether `fn` takes many rows at once.

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
    return HostSimulator(fn, flag("batched", batched))
