"""avo.execution.programs: what is compiled is what was written, and goes when nobody needs it any more."""

import gc
import weakref
from functools import lru_cache
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from fits import SPACE, TINY_BUDGET, fit

from avo.critics import linear
from avo.execution import programs
from avo.execution.programs import PROGRAMS, SIMULATORS, JaxSimulator, compile_simulator, compiled


class Line(eqx.Module):
    slope: Any
    bend: Any = eqx.field(static=True)

    def __call__(self, x: Any) -> Any:
        return self.bend(self.slope * x)


def test_arrays_and_all_else_go_in_and_come_out() -> None:
    traces = []

    def apply(line: Line, x: Any, words: tuple[str, int], none: None) -> Any:
        traces.append(words)
        return Line(line.slope + 1.0, jnp.cos), line(x), words, none

    run = compiled(apply)
    x = np.array([0.3, -1.1])
    for slope, words in ((2.0, ("a", 3)), (5.0, ("a", 3)), (2.0, ("b", 3))):
        line, y, told, none = run(Line(jnp.array(slope), jnp.sin), x, words, None)
        np.testing.assert_allclose(y, np.sin(slope * x), rtol=1e-12)
        assert line.bend is jnp.cos and float(line.slope) == slope + 1.0 and told == words and none is None
        assert float(run(line, x=x, none=None, words=words)[0].slope) == slope + 2.0
    assert traces == [("a", 3)] * 2 + [("b", 3)] * 2  # one program for all numbers, one for each of the rest


def test_programs_go_with_their_function() -> None:
    def made(i: int) -> Any:
        return compiled(lambda x, words: x + i)

    run = made(3)
    assert float(run(jnp.array(1.5), "words")) == 4.5
    gone = weakref.ref(run.__wrapped__)
    del run
    gc.collect()
    assert gone() is None


def test_programs_of_a_users_functions_go_with_them() -> None:
    def made() -> Any:
        return lambda x: 2.5 * x

    run, x, bend = compiled(lambda line, x: line(x)), jnp.array(3.0), made()
    assert float(run(Line(jnp.array(0.5), bend), x)) == 3.75
    gone = weakref.ref(bend)
    del bend
    for _ in range(PROGRAMS):
        run(Line(jnp.array(0.5), made()), x)
    gc.collect()
    assert gone() is None


def test_a_simulator_is_compiled_once_and_has_its_programs_once() -> None:
    def simulate(key: Any, theta: Any) -> Any:
        return theta

    def twice(simulate: Any, name: str) -> Any:
        return lambda x: 2 * simulate(None, x)

    first = compile_simulator(simulate)
    assert isinstance(first, JaxSimulator) and compile_simulator(simulate) is compile_simulator(first) is first
    program = first.program(twice, "a")
    assert first.program(twice, "a") is program and first.program(twice, "b") is not program
    assert float(program(jnp.array(1.5))) == 3.0
    for i in range(PROGRAMS):
        first.program(twice, i)
    assert first.program(twice, "a") is not program  # the oldest one goes
    for i in range(SIMULATORS):
        compile_simulator(lambda key, theta, i=i: theta)
    assert compile_simulator(simulate) is not first


@pytest.mark.skipif(not Path("/proc/self/maps").exists(), reason="the system does not tell its memory maps")
def test_a_process_that_fits_many_closures_keeps_few_programs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Linux gives a process 65,530 memory maps; without a bound each of these fits takes some 200 for good.

    The bound is lower here than for users, so that few fits reach it.
    """
    monkeypatch.setattr(programs, "_shared", lru_cache(maxsize=3)(programs._shared.__wrapped__))

    def maps() -> int:
        gc.collect()
        return len(Path("/proc/self/maps").read_text().splitlines())

    x, counts = np.random.default_rng(0).normal(2.5, 0.7, (100, 4)), [maps()]
    for i in range(8):
        fit(lambda key, theta, i=i: theta[:, :1] + theta[:, 1:] * jax.random.normal(key, (len(theta), 4)), x, SPACE,
            budget=TINY_BUDGET, critic=linear)  # fmt: skip
        counts.append(maps())
    first, last = counts[4] - counts[0], counts[8] - counts[4]
    assert first > 250 and last < first / 10
