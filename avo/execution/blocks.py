"""Rows of x, simulated block by block: inside a compiled program for JAX simulators, around it for all others.

A block is so many rows with one key. All parts of a fit ask for blocks of one size, so that a simulator is traced once.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike, Float, PRNGKeyArray

from avo.alerts import warn
from avo.budget import whole_blocks
from avo.clock import stage
from avo.execution.calls import Calls
from avo.execution.failures import FARTHEST
from avo.execution.host import HostSimulator
from avo.execution.programs import JaxSimulator, compile_simulator
from avo.execution.rounding import whole_rows
from avo.sizes import by_rows, power_of_four
from avo.space import Space
from avo.weights import row_at, turns_of

REPEATS = 8, 96  # of a theta, and of all thetas with so many, that tell whether x varies
LEAST_NAMES = 64  # of blocks, whose keys are made together
BUFFER = 4096  # rows of one compiled program, as many of them simulated as are wanted


def simulate_jax(simulate: Callable, keys: PRNGKeyArray, size: int, theta: Array, inputs: Array | None = None) -> Array:
    """Simulate blocks of `size` rows, one key each, inside a compiled program; `simulate` is traced once."""
    rows = (a.reshape((len(keys), size) + a.shape[1:]) for a in (theta, inputs) if a is not None)
    x = jax.lax.map(lambda block: simulate(*block), (keys, *rows))
    return x.reshape((len(keys) * size,) + x.shape[2:])


def _fill(simulate: Callable, space: Space, shape: tuple[int, ...]) -> Callable:
    """Make the program that fills a buffer of blocks."""

    def fill(key: PRNGKeyArray, names: Array, u: Array, inputs: Array | None, count: Array) -> Array:
        """Simulate the first `count` blocks; that number is data, so that one program serves any number of rows."""

        def body(i: Array, x: Array) -> Array:
            own = jax.random.fold_in(key, names[i])
            theta = space.full(whole_rows(space, own, space.constrain(u[i])))
            rows = (theta,) if inputs is None else (theta, inputs[i])
            return x.at[i].set(simulate(own, *rows))

        return jax.lax.fori_loop(0, count, body, jnp.zeros(u.shape[:2] + shape, u.dtype))

    return fill


def batched(fn: Callable[..., ArrayLike], *arrays: np.ndarray | None, rows: int) -> np.ndarray:
    """Apply a function to many rows, so many at a time: the last part is filled up, so that all have one shape.

    Args:
        fn: of as many arrays as are given, one row of its result for each of theirs.
        *arrays: with shape (n, ...); None is passed on.
        rows: how many at a time.

    Returns:
        The results, behind one another, with shape (n, ...).

    Example:
        >>> sizes = []
        >>> batched(lambda x, c: (sizes.append(len(x)), x**2)[1], np.arange(5), None, rows=3).tolist(), sizes
        ([0, 1, 4, 9, 16], [3, 3])
    """
    n = next(len(a) for a in arrays if a is not None)
    parts = []
    for first in range(0, n, rows):
        some = [None if a is None else a[first : first + rows] for a in arrays]
        found = fn(*(None if a is None else filled(a, rows) for a in some))
        parts.append(np.asarray(found)[: n - first])
    return np.concatenate(parts)


def filled(a: np.ndarray, rows: int) -> np.ndarray:
    """Fill an array up to so many rows by its first one, at which any function is defined that is at the others."""
    return np.concatenate([a, np.repeat(a[:1], rows - len(a), axis=0)])


class Drawn(NamedTuple):
    """Simulations: where in u, their x and known conditions, and which of them succeeded."""

    u: Float[np.ndarray, "n d"]
    x: np.ndarray
    inputs: np.ndarray | None
    ok: np.ndarray

    @staticmethod
    def of(u: np.ndarray, x: np.ndarray, inputs: np.ndarray | None = None) -> "Drawn":
        """Mark the rows that are not finite, or out of scale, as failed."""
        with np.errstate(invalid="ignore"):
            return Drawn(u, x, inputs, np.asarray((np.abs(x.reshape(len(x), -1)) <= FARTHEST).all(1)))

    def blocks(self, size: int) -> list["Drawn"]:
        """Cut into parts of so many rows."""
        ends = range(size, len(self.u), size)
        split = [[None] * (len(ends) + 1) if a is None else np.split(a, ends) for a in self]
        return [Drawn(*part) for part in zip(*split, strict=True)]

    @staticmethod
    def joined(parts: Sequence["Drawn"]) -> "Drawn":
        """Put parts behind one another."""
        u, x, inputs, ok = zip(*parts, strict=True)
        c = None if inputs[0] is None else np.concatenate(inputs)
        return Drawn(np.concatenate(u), np.concatenate(x), c, np.concatenate(ok))


def _varied(drawn: Drawn) -> bool:
    """Say whether rows at one theta differ, warn if nowhere two of very many do; False: there were too few to tell."""
    ends = np.flatnonzero(np.any(drawn.u[1:] != drawn.u[:-1], axis=1)) + 1
    parts = [part[ok] for part, ok in zip(np.split(drawn.x, ends), np.split(drawn.ok, ends), strict=True)]
    if any(len(part) > 1 and np.any(part != part[0]) for part in parts):
        return True
    same = [len(part) for part in parts if len(part) >= REPEATS[0]]
    if sum(same) < REPEATS[1]:
        return False
    warn(
        f"simulate gave the same x in all of {max(same)} calls at one theta, as if it drew nothing at random: does it "
        "use its key (a simulator outside JAX: its rng, its {seed})? Errors and p-values need its noise.",
    )
    return True


class Draws:
    """Simulations at given u, counted: the same u in the same order give the same x.

    Args:
        simulate: the simulator, any in JAX, `HostSimulator` or its `Calls`.
        space: the parameters.
        key: randomness of all draws.
        size: rows per block; every number of rows is a multiple of it.
        x_shape: shape of one x.
        inputs: the observed conditions (m, *c_shape), which simulations take in turn, each as often as any other.
        shares: weights of the observations, in proportion to which their conditions come up; None: equal ones.
        gaps: what is missing of the observations, and then of simulations (avo/gaps.py); None: nothing.
        tick: called with the number of rows after each block or buffer of blocks.
    """

    def __init__(
        self,
        simulate: Any,
        space: Space,
        key: PRNGKeyArray,
        size: int,
        x_shape: Sequence[int],
        inputs: np.ndarray | None = None,
        *,
        shares: np.ndarray | None = None,
        gaps: Any = None,
        tick: Callable[[int], Any] = lambda rows: None,
    ) -> None:
        if isinstance(simulate, HostSimulator):
            simulate = Calls(simulate, size, tuple(x_shape))
        self.simulate = simulate if isinstance(simulate, Calls) else compile_simulator(simulate)
        self.space, self.key, self.size = space, key, size
        self.x_shape, self.inputs, self.tick = tuple(x_shape), inputs, tick
        self.turns, self.gaps = None if shares is None else turns_of(shares), gaps
        self.calls, self.failed, self.stage, self.varied = 0, 0, 0, False
        self.order = np.random.default_rng(1).permutation(0 if inputs is None else len(inputs))
        self.met = 0

    def whole(self, rows: float, mirrored: bool = False) -> int:
        """Round a number of rows down to whole blocks, or whole pairs of blocks, at least one."""
        return whole_blocks(rows, self.size * (2 if mirrored else 1))

    @stage("simulations")
    def __call__(self, u: Float[np.ndarray, "n d"], mirrored: bool = False) -> Drawn:
        """Simulate one row per row of u; `mirrored`: rows i and i + n / 2 share random numbers and condition."""
        n = len(u)
        distinct = n // 2 if mirrored else n
        names = np.arange(n // self.size) % (distinct // self.size)  # of the blocks' keys
        c = None
        if self.inputs is not None:
            place = self.met + np.arange(distinct)
            rows = self.order[place % len(self.order)] if self.turns is None else row_at(place, self.turns)
            self.met += distinct
            c = self.inputs[np.concatenate([rows, rows]) if mirrored else rows]
        part = self._called if isinstance(self.simulate, Calls) else self._compiled
        known = c if self.gaps is None else self.gaps.known(c)
        x = part(jax.random.fold_in(self.key, self.stage), names, u, known)
        whole, x = x, x if self.gaps is None else self.gaps.filled(x, c)
        self.stage, self.calls = self.stage + 1, self.calls + n
        result = Drawn.of(u, x, c)
        self.failed += int(n - result.ok.sum())
        if not self.varied and known is None:
            self.varied = _varied(result._replace(x=whole))
        return result

    def _compiled(self, key: PRNGKeyArray, names: np.ndarray, u: np.ndarray, c: np.ndarray | None) -> np.ndarray:
        assert isinstance(self.simulate, JaxSimulator)
        dtype, wide = jnp.result_type(float), max(BUFFER // self.size, 1)
        fill, first = self.simulate.program(_fill, self.space, self.x_shape), 0

        def buffer(*blocks: np.ndarray | None) -> np.ndarray:
            nonlocal first
            count = min(wide, len(names) - first)
            x = np.asarray(fill(key, *(None if a is None else jnp.asarray(a) for a in blocks), jnp.asarray(count)))
            self.tick(count * self.size)
            first += count
            return x

        rows = (None if a is None else np.asarray(a, dtype).reshape((-1, self.size) + a.shape[1:]) for a in (u, c))
        return batched(buffer, names, *rows, rows=wide).reshape((len(u), *self.x_shape))

    def _called(self, key: PRNGKeyArray, names: np.ndarray, u: np.ndarray, c: np.ndarray | None) -> np.ndarray:
        assert isinstance(self.simulate, Calls)
        self.simulate.tick = self.tick
        more = np.resize(names, power_of_four(len(names), LEAST_NAMES))
        keys = jax.vmap(partial(jax.random.fold_in, key))(more)[: len(names)]
        theta = by_rows(self.space.constrain, np.asarray(u, jnp.result_type(float)))
        if self.space.counts.any():
            blocks = theta.reshape(len(keys), -1, theta.shape[1])
            whole = jax.vmap(partial(whole_rows, self.space))(keys, jnp.asarray(blocks))
            theta = np.asarray(whole).reshape(theta.shape)
        return self.simulate(keys, self.space.full(theta), c)
