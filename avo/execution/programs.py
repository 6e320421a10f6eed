"""Compiled programs that go when nobody needs them any more.

`eqx.filter_jit` keeps the programs of all functions of one name together, and with them every function that was ever an
argument. A study that fits hundreds of closures would hold all their programs, each of which takes memory maps of the
process until Linux gives no more and the process ends. Here each compiled function has its own programs, the last ones,
and a bounded number of simulators have theirs.
"""

from collections.abc import Callable, Hashable
from functools import cache, lru_cache, partial, wraps
from typing import Any

import equinox as eqx
import jax
from jax.core import Tracer

SIMULATORS = 8  # whose programs are kept, the last ones
PROGRAMS = 16  # of one simulator, for fits with different settings; of one function, for critics of different kinds


@cache
def quickly() -> dict[str, Any] | None:
    """Tell the compiler's options for programs that compile in less than half the time.

    Products of critics and networks are as fast by them; loops over simulations and features take up to a third longer,
    and are compiled with all care. None: with all care, on accelerators and where XLA does not know these options.

    Example:
        >>> quickly() is None or "xla_backend_optimization_level" in quickly()
        True
    """
    if jax.default_backend() != "cpu":
        return None
    options = {"xla_cpu_use_fusion_emitters": False, "xla_backend_optimization_level": 1}
    try:
        jax.jit(lambda a: a, compiler_options=options)(0)
    except jax.errors.JaxRuntimeError:
        return None
    return options


def compiled(fn: Callable[..., Any], quick: bool = False) -> Callable[..., Any]:
    """Compile a function of any arguments, arrays or not, as `eqx.filter_jit` does; its programs are dropped with it.

    Those are kept which the last `PROGRAMS` kinds of arguments needed: what is no array may be a user's function.

    Args:
        fn: the function.
        quick: whether the compiler spares itself what costs more than it saves, see `quickly`.

    Example:
        >>> import jax.numpy as jnp
        >>> power = compiled(lambda x, n, words: (x**n, words))
        >>> x, words = power(jnp.array([2, 3]), 3, "cubes")
        >>> x.tolist(), words
        ([8, 27], 'cubes')
    """

    @lru_cache(maxsize=PROGRAMS)
    def program(leaves: tuple[Any, ...], structure: Any, quick: bool) -> Callable[[Any], tuple[Any, "_Static"]]:
        @partial(jax.jit, compiler_options=quickly() if quick else None)
        def run(arrays: list[Any]) -> tuple[Any, "_Static"]:
            arguments, named = jax.tree.unflatten(structure, eqx.combine(arrays, list(leaves)))
            out = fn(*arguments, **named)
            arrays, others = eqx.partition(out, eqx.is_array)
            return arrays, _Static(*_hashable(others))

        return run

    @wraps(fn)
    def call(*arguments: Any, **named: Any) -> Any:
        leaves, structure = jax.tree.flatten((arguments, named))
        arrays, others = eqx.partition(leaves, eqx.is_array)
        inside = any(isinstance(a, Tracer) for a in arrays)  # of another program, whose options hold
        found, rest = program(tuple(others), structure, quick and not inside)(arrays)
        return eqx.combine(found, jax.tree.unflatten(rest.structure, rest.leaves))

    return call


class _Static(eqx.Module):
    """What a program gives back beside arrays."""

    leaves: tuple[Any, ...] = eqx.field(static=True)
    structure: Any = eqx.field(static=True)


def _hashable(tree: Any) -> tuple[tuple[Any, ...], Any]:
    leaves, structure = jax.tree.flatten(tree)
    return tuple(leaves), structure


class JaxSimulator:
    """A simulator written in JAX, compiled once, with the programs of the fits that call it."""

    def __init__(self, fn: Callable[..., Any]) -> None:
        # jit keeps its trace: programs call it with blocks of one size and do not trace it again
        self.fn = jax.jit(fn)
        self.program = lru_cache(maxsize=PROGRAMS)(partial(_program, self.fn, False))
        self.quick_program = lru_cache(maxsize=PROGRAMS)(partial(_program, self.fn, True))

    def __call__(self, key: Any, theta: Any, *inputs: Any) -> Any:
        """Draw one x per row of theta."""
        return self.fn(key, theta, *inputs)


def _program(
    simulate: Callable[..., Any], quick: bool, make: Callable[..., Callable[..., Any]], *arguments: Hashable
) -> Callable:
    """Compile the function `make(simulate, *arguments)`."""
    return compiled(make(simulate, *arguments), quick)


@lru_cache(maxsize=SIMULATORS)
def _shared(fn: Callable[..., Any]) -> JaxSimulator:
    return JaxSimulator(fn)


def compile_simulator(simulate: Callable[..., Any]) -> JaxSimulator:
    """Compile a simulator; fits of the same one share their programs, as long as it is among the last eight."""
    if isinstance(simulate, JaxSimulator):
        return simulate
    return _shared(simulate) if isinstance(simulate, Hashable) else JaxSimulator(simulate)
