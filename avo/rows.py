"""Rows of x, simulated block by block: inside a compiled program for JAX simulators, around it for all others.

A block is so many rows with one key. All parts of a fit ask for blocks of one size, so that a simulator is traced once.
"""

from collections.abc import Callable

import jax
import numpy as np
from jaxtyping import Array, PRNGKeyArray


def simulate_jax(
    simulate: Callable, keys: PRNGKeyArray, size: int, theta: Array, inputs: Array | None = None
) -> Array:
    """Simulate blocks of `size` rows, one key each, inside a compiled program; `simulate` is traced once."""
    split = lambda a: a.reshape((len(keys), size) + a.shape[1:])  # noqa: E731
    rows = (split(theta),) if inputs is None else (split(theta), split(inputs))
    x = jax.lax.map(lambda block: simulate(*block), (keys, *rows))
    return x.reshape((len(keys) * size,) + x.shape[2:])


def simulate_host(
    simulate: Callable, keys: PRNGKeyArray, size: int, theta: Array, inputs: Array | None = None
) -> np.ndarray:
    """Simulate blocks of `size` rows by calls of `simulate`, with the keys of `simulate_jax`."""
    split = lambda a: np.asarray(a).reshape((len(keys), size) + a.shape[1:])  # noqa: E731
    rows = (split(theta),) if inputs is None else (split(theta), split(inputs))
    return np.concatenate([simulate(k, *block) for k, *block in zip(keys, *rows, strict=True)])
