"""What a call of a simulator outside JAX costs beside what it cannot do without.

function   a NumPy function that does nothing, by rows and in batches, beside the making of the generator that each call
           gets; blocks of 256 rows
program    a program that prints one number and ends, beside `subprocess.run` of it, by the wall clock alone: the
           program's own time is no time of this process
"""

import subprocess
from collections.abc import Callable
from typing import Any

import jax
import numpy as np

import avo
from avo.benchmarks.studies.speed.race import Way, measure
from avo.execution.host import BATCH

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


RACES = {"function": function, "program": program}


def race(name: str, seed: int) -> dict[str, Any]:
    """Race one of both."""
    ways = RACES[name]()
    bare, *ours = ways
    found = measure(ways, [(way, bare) for way in ours], turns=7, first=seed)
    return {clock: each for clock, each in found.items() if (name, clock) != ("program", "cpu")}
