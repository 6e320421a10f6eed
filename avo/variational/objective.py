"""What is to be minimised, called: a function in JAX in a compiled program, any other on the host, every call counted.

Rows come as a step asks for them, `pairs` mirrored pairs and one repeat (avo/variational/natural.py). The halves of a
pair share their random numbers, so that much of the noise in their difference cancels; the repeat has its own.
"""

import inspect
from collections.abc import Callable
from functools import partial
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray

from avo.budget import CHUNK
from avo.checks import takes
from avo.execution.calls import Calls
from avo.execution.failures import FARTHEST, Failures
from avo.execution.host import HostSimulator
from avo.execution.programs import JaxSimulator, compile_simulator
from avo.space import Space
from avo.variational.natural import Search, Told, ask, tell


class Alone:
    """A function of theta alone, as one of (rng, theta); a class, since processes are sent it."""

    def __init__(self, fn: Callable[..., Any]) -> None:
        self.fn = fn

    def __call__(self, rng: np.random.Generator, theta: np.ndarray) -> Any:
        """Call it."""
        return self.fn(theta)


def taken(f: Any, space: Space, pairs: int) -> JaxSimulator | HostSimulator:
    """Take what a user hands over, and make sure that it can be called; costs no call.

    Args:
        f: `f(key, theta) -> values` in JAX, with theta (n, columns) and values (n,); `avo.from_numpy(f)` of
            `f(rng, theta_i)`; or any function of one theta alone, (columns,), called on the host.
        space: the parameters.
        pairs: rows of a call in JAX.

    Raises:
        ValueError: if it is none of these, or returns another shape.
    """
    if isinstance(f, HostSimulator):
        if not takes(f.fn, 2):
            raise ValueError("f must be callable as f(rng, theta); known conditions are for avo.fit.")
        return f
    if not callable(f):
        raise ValueError(f"f must be a function, f(theta) or, in JAX, f(key, theta); got {f!r}.")
    name = getattr(f, "__name__", "f")
    if not takes(f, 2):
        if not takes(f, 1):
            raise ValueError(
                f"f must be callable as {name}(theta) or, in JAX, {name}(key, theta); got {inspect.signature(f)}."
            )
        return HostSimulator(Alone(f), False)
    made, theta = compile_simulator(f), jax.ShapeDtypeStruct((pairs, len(space.columns)), jnp.result_type(float))
    try:
        value = jax.eval_shape(made.fn, jax.random.key(0), theta)
    except Exception as error:
        raise ValueError(
            f"f failed with {type(error).__name__}: {' '.join(str(error).split())[:200]}. A function of two arguments "
            f"is written in JAX, f(key, theta) -> values, and gets many rows at once, here theta {theta.shape}; one in "
            "NumPy, f(rng, theta) of one theta, is wrapped by avo.from_numpy(f)."
        ) from error
    if getattr(value, "shape", None) != (pairs,):
        raise ValueError(
            f"f must return one number per row of theta: for theta {theta.shape} expected {(pairs,)}, got "
            f"{getattr(value, 'shape', value)}."
        )
    if jnp.issubdtype(value.dtype, jnp.complexfloating):
        raise ValueError(f"f must return real numbers; got {value.dtype}.")
    return made


class InJax:
    """A function in JAX: some steps are one compiled program, whose number of steps is data."""

    chunk = CHUNK

    def __init__(self, f: JaxSimulator, space: Space, pairs: int) -> None:
        self.space, self.pairs, self.calls, self.failures = space, pairs, 0, Failures()
        self._chunk = f.quick_program(_chunk, space, pairs)
        self._blocks = f.quick_program(_blocks, space)

    def steps(self, key: PRNGKeyArray, state: Search, count: int) -> tuple[Search, Told]:
        """Take so many steps, at most `CHUNK`."""
        state, told = self._chunk(key, state, jnp.asarray(count))
        told = jax.tree.map(lambda a: np.asarray(a)[:count], told)
        self._count(count * (2 * self.pairs + 1), int(told.failed.sum()))
        return state, told

    def at(self, key: PRNGKeyArray, theta: np.ndarray, blocks: int) -> np.ndarray:
        """Call f at one theta, `blocks` times as often as there are pairs."""
        rows = jnp.tile(jnp.asarray(theta, jnp.result_type(float)), (self.pairs, 1))
        found = [np.asarray(self._blocks(jax.random.fold_in(key, i), rows), float) for i in range(blocks)]
        values = np.concatenate(found)
        with np.errstate(invalid="ignore"):
            values = np.where(np.abs(values) <= FARTHEST, values, np.nan)
        self._count(len(values), int(np.isnan(values).sum()))
        return values

    def _count(self, calls: int, failed: int) -> None:
        self.calls += calls
        if failed:
            self.failures["non-finite"] = self.failures.get("non-finite", 0) + failed

    def where(self) -> None:
        """Say where calls failed, which is not known here."""
        return None

    def close(self) -> None:
        """End nothing."""


def _chunk(f: Callable[..., Array], space: Space, pairs: int) -> Callable[..., Any]:
    def one(key: PRNGKeyArray, state: Search) -> tuple[Search, Told]:
        key_ask, key_f, key_again = jax.random.split(jax.random.fold_in(key, state.step), 3)
        asked = ask(space, pairs, key_ask, state)
        plus, minus, again = jnp.split(space.full(asked.theta), [pairs, 2 * pairs])
        halves = jax.lax.map(lambda theta: f(key_f, theta), jnp.stack([plus, minus]))  # f is traced once for both
        return tell(space, pairs, state, asked, jnp.concatenate([halves.reshape(-1), f(key_again, again)]))

    def chunk(key: PRNGKeyArray, state: Search, steps: Array) -> tuple[Search, Told]:
        _, shapes = eqx.filter_eval_shape(one, key, state)
        room = jax.tree.map(lambda a: jnp.zeros((CHUNK, *a.shape), a.dtype), shapes)

        def body(i: Array, carry: tuple[Search, Told]) -> tuple[Search, Told]:
            state, told = one(key, carry[0])
            return state, jax.tree.map(lambda all, now: all.at[i].set(now), carry[1], told)

        return jax.lax.fori_loop(0, steps, body, (state, room))

    return chunk


def _blocks(f: Callable[..., Array], space: Space) -> Callable[..., Any]:
    return lambda key, theta: f(key, space.full(theta))


class OnHost:
    """Any other function, called row by row, each with a generator of its own; the halves of a pair share theirs."""

    chunk = 1

    def __init__(self, f: HostSimulator, space: Space, pairs: int, executor: Any, max_failures: float) -> None:
        self.space, self.pairs = space, pairs
        self._calls = Calls(f, 1, (), executor=executor, max_failures=max_failures)
        self._ask, self._tell = jax.jit(partial(ask, space, pairs)), jax.jit(partial(tell, space, pairs))

    @property
    def calls(self) -> int:
        """Calls that were made."""
        return self._calls.made

    @property
    def failures(self) -> Failures:
        """Of them."""
        return self._calls.failures

    def steps(self, key: PRNGKeyArray, state: Search, count: int) -> tuple[Search, Told]:
        """Take so many steps."""
        every = []
        for _ in range(count):
            key_ask, key_f, key_again = jax.random.split(jax.random.fold_in(key, state.step), 3)
            asked = self._ask(key_ask, state)
            pair = jax.random.split(key_f, self.pairs)
            values = self._values(jnp.concatenate([pair, pair, key_again[None]]), np.asarray(asked.theta, float))
            state, told = self._tell(state, asked, jnp.asarray(values))
            every.append(told)
        return state, jax.tree.map(lambda *a: np.stack(a), *every)

    def at(self, key: PRNGKeyArray, theta: np.ndarray, blocks: int) -> np.ndarray:
        """Call f at one theta, `blocks` times as often as there are pairs."""
        n = blocks * self.pairs
        return self._values(jax.random.split(key, n), np.tile(np.asarray(theta, float), (n, 1)))

    def _values(self, keys: PRNGKeyArray, theta: Float[np.ndarray, "n d"]) -> Float[np.ndarray, " n"]:
        return self._calls(keys, self.space.full(theta))

    def where(self) -> Any:
        """Say where calls failed."""
        return self._calls.where(self.space.columns)

    def close(self) -> None:
        """End the workers that were started."""
        self._calls.close()


def counted(f: Any, space: Space, pairs: int, executor: Any = None, max_failures: float = 0.5) -> InJax | OnHost:
    """Make of a user's function what calls and counts it.

    Raises:
        ValueError: if it cannot be called, or `executor` is given for a function in JAX.
    """
    made = taken(f, space, pairs)
    if isinstance(made, HostSimulator):
        return OnHost(made, space, pairs, executor, max_failures)
    if executor is not None:
        raise ValueError("executor= is for functions outside JAX; leave it out.")
    return InJax(made, space, pairs)
