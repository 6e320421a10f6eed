"""What a call of a simulator outside JAX costs beside what it cannot do without.

function   a NumPy function that does nothing, by rows and in batches, beside the making of the generator that each call
           gets; blocks of 256 rows
program    a program that prints one number and ends, beside `subprocess.run` of it
place      the same function as a fit calls it: here, in one process, in two, and with all calls kept on disk
5 ms, 50 ms    a function that takes so long, in one process and in two: 2 is what two can be

The last three by the wall clock alone: what others do is no time of this process.
"""

import subprocess
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import jax
import numpy as np

import avo
from avo.benchmarks.studies.speed.race import Way, measure
from avo.execution.calls import Calls
from avo.execution.host import BATCH, HostSimulator
from avo.execution.store import Store

BLOCKS, PROGRAMS = 40, 100
ECHO = ["/bin/echo", "1"]


def function() -> dict[str, Way]:
    """Race `from_numpy` against bare generators and bare calls, per call."""
    theta, x = np.ones((BATCH, 2)), np.zeros(4)
    words = [int(word) for word in jax.random.key_data(jax.random.key(0))]
    simulators = {
        "from_numpy": avo.from_numpy(lambda rng, theta: x),
        "from_numpy, batched": avo.from_numpy(lambda rng, theta: theta, batched=True),
    }

    def simulate(turn: int, simulator: Callable[..., Any]) -> None:
        for block in range(BLOCKS):
            simulator(jax.random.key(BLOCKS * turn + block), theta)

    def generators(_: int) -> None:
        for _ in range(BLOCKS):
            for row in range(BATCH):
                np.random.default_rng([*words, row])

    calls = BLOCKS * BATCH
    ours = {name: Way(lambda turn, s=s: simulate(turn, s), calls) for name, s in simulators.items()}
    return {"generator": Way(generators, calls, "default_rng([*key, row])"), **ours}


def program() -> dict[str, Way]:
    """Race `from_command` against `subprocess.run`, per call."""
    simulators = {"from_command": avo.from_command(ECHO), "with a timeout": avo.from_command(ECHO, timeout=60)}

    def bare(_: int) -> None:
        for _ in range(PROGRAMS):
            subprocess.run(ECHO, capture_output=True, check=True)

    theta = np.ones((PROGRAMS, 2))
    ours = {
        name: Way(lambda turn, s=s: s(jax.random.key(turn), theta), PROGRAMS, "a folder for each call")
        for name, s in simulators.items()
    }
    return {"subprocess.run": Way(bare, PROGRAMS), **ours}


def place() -> dict[str, Way]:
    """Race the calls of a fit against bare generators, per call, in blocks of 256."""
    simulator, words = avo.from_numpy(lambda rng, theta: theta), np.arange(3, dtype=np.uint32)
    calls = BLOCKS * BATCH

    def generators(_: int) -> None:
        for _ in range(calls):
            np.random.default_rng(words)

    ways = {"generator": Way(generators, calls, "default_rng of three words")}
    for name, executor in (("here", None), ("one process", 1), ("two processes", 2)):
        ways[name] = Way(_blocks(simulator, executor, BLOCKS, BATCH), calls)
    return ways | {"here, kept": Way(_blocks(simulator, None, BLOCKS, BATCH, keep=True), calls, "calls.sqlite")}


def _blocks(simulator: HostSimulator, executor: Any, blocks: int, size: int, keep: bool = False) -> Callable:
    """Make the calls of so many blocks, by workers that go on from turn to turn."""
    calls = Calls(simulator, size, (2,), executor=executor)
    if keep:
        calls.store = Store(Path(tempfile.mkdtemp()) / "calls.sqlite", "race")
    theta = np.ones((blocks * size, 2))
    return lambda turn: calls(jax.random.split(jax.random.key(turn), blocks), theta)


def slow(seconds: float) -> dict[str, Way]:
    """Race two processes against one, per call."""

    def waits(rng: np.random.Generator, theta: np.ndarray) -> np.ndarray:
        time.sleep(seconds)
        return theta

    n = round(4 / seconds) // 32
    simulator = avo.from_numpy(waits)
    return {f"{count} processes": Way(_blocks(simulator, count, n, 32), 32 * n) for count in (2, 1)}


RACES = {"function": function, "program": program, "place": place}
RACES |= {f"{1000 * seconds:g} ms": partial(slow, seconds) for seconds in (0.005, 0.05)}


def race(name: str, seed: int) -> dict[str, Any]:
    """Run one of the races."""
    ways = RACES[name]()
    bare, *ours = ways
    found = measure(ways, [(way, bare) for way in ours], turns=7, first=seed)
    return {clock: each for clock, each in found.items() if name == "function" or clock != "cpu"}
