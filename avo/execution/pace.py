"""How long calls take: a budget in time becomes one in calls, and the time that a fit needs is said before it starts.

The clock decides once, before the run, how many calls there are. From then on the numbers depend on that number alone,
and a run that is continued reads it from its folder.
"""

import re
import time
from contextlib import closing
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from avo.execution.chunks import Chunk
from avo.execution.executors import place
from avo.execution.host import HostSimulator
from avo.execution.programs import compile_simulator
from avo.space import Space

UNITS = {"s": 1.0, "min": 60.0, "h": 3600.0, "d": 86400.0}
TIMED, ROWS = 4, 4096  # calls for each worker that are timed, after as many that start the workers; rows in JAX
# Seconds beside each call, of critic, proposal and scores, in JAX and outside, where steps are many programs
TRAINING = {False: 3e-5, True: 2e-4}
STARTING = 20.0  # seconds of a fit that do not depend on its calls, most of them compilation
LEAST_CALLS = 1000


def seconds_of(budget: str) -> float:
    """Read a time, such as "90 s", "30min", "2h" or "1.5 d".

    Raises:
        ValueError: if it is none.

    Example:
        >>> seconds_of("2h"), seconds_of("1.5 min")
        (7200.0, 90.0)
    """
    found = re.fullmatch(r"\s*(\d+(?:\.\d*)?)\s*(s|min|h|d)\s*", budget)
    if found is None or not float(found[1]) > 0:
        raise ValueError(
            "budget must be a number of calls, such as 10000, 1e4, 10k or 1.3M, or a time with its unit (s, min, h, d) "
            f"such as '2h'; got {budget!r}."
        )
    return float(found[1]) * UNITS[found[2]]


def in_calls(
    budget: str, simulate: Any, space: Space, x_shape: tuple[int, ...], c: np.ndarray | None, executor: Any = None,
) -> int:  # fmt: skip
    """Turn a time into calls, by timing some, which count for nothing else: at least `LEAST_CALLS`.

        calls = (seconds - STARTING) / (seconds of a call / workers + TRAINING)

    Args:
        budget: the time.
        simulate: the simulator, checked.
        space: the parameters.
        x_shape: of one x.
        c: known conditions of the observations.
        executor: where calls are made.

    Raises:
        ValueError: if it is no time.
    """
    seconds, host = seconds_of(budget), isinstance(simulate, HostSimulator)
    each = (_called if host else _compiled)(simulate, space, x_shape, c, executor)
    return max(int((seconds - STARTING) / (each + TRAINING[host])), LEAST_CALLS)


def _rows(space: Space, c: np.ndarray | None, n: int) -> tuple[np.ndarray, np.ndarray | None]:
    """Draw theta all over the space, with conditions in turn."""
    u = np.random.default_rng(1).uniform(-2.0, 2.0, (n, space.dim))
    theta = space.full(np.asarray(space.constrain(jnp.asarray(u)), float))
    return theta, None if c is None else c[np.arange(n) % len(c)]


def _called(simulate: Any, space: Space, x_shape: tuple[int, ...], c: np.ndarray | None, executor: Any) -> float:
    with closing(place(executor, simulate, x_shape)) as here:
        n = TIMED * here.workers
        theta, inputs = _rows(space, c, 2 * n)
        if simulate.batched:  # blocks of one row, as if nothing were won by larger ones
            theta, inputs = theta[:, None], None if inputs is None else inputs[:, None]
        calls = Chunk(np.random.default_rng(0).integers(0, 2**32, (2 * n, 3), np.uint32), theta, inputs)
        for part in (slice(0, n), slice(n, 2 * n)):
            began = time.perf_counter()
            for _ in here.pieces(calls.part(part)):
                pass
        return (time.perf_counter() - began) / n


def _compiled(simulate: Any, space: Space, x_shape: tuple[int, ...], c: np.ndarray | None, executor: Any) -> float:
    theta, inputs = _rows(space, c, ROWS)
    rows = [jnp.asarray(a, jnp.result_type(float)) for a in (theta, inputs) if a is not None]
    for seed in range(2):
        began = time.perf_counter()
        jax.block_until_ready(compile_simulator(simulate)(jax.random.key(seed), *rows))
    return (time.perf_counter() - began) / ROWS


def as_time(seconds: float) -> str:
    """Write a time as people do.

    Example:
        >>> as_time(7805.0), as_time(42.2), as_time(3 * 86400.0 + 7200), as_time(0.0123)
        ('2 h 10 min', '42.2 s', '3 d 2 h', '12.3 ms')
    """
    if seconds < 1:
        return f"{1000 * seconds:.3g} ms"
    for unit, below in (("d", "h"), ("h", "min"), ("min", "s")):
        if seconds >= UNITS[unit]:
            count, rest = divmod(seconds, UNITS[unit])
            parts = int(rest // UNITS[below])
            return f"{count:.0f} {unit}" + (f" {parts} {below}" if parts else "")
    return f"{seconds:.3g} s"
