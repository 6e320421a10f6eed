import time
from collections.abc import Callable
from pathlib import Path

import jax
import jax.numpy as jnp
import pytest
from typer.testing import CliRunner

from avo.clock import Clock, stage
from avo.command import app


@stage("sleep")
def sleep(seconds: float) -> None:
    time.sleep(seconds)


@stage("outer")
def outer(fn: Callable[[], object]) -> object:
    time.sleep(0.03)
    return fn()


def test_a_stage_has_its_time_without_those_inside() -> None:
    with Clock() as clock:
        outer(lambda: outer(lambda: sleep(0.2)))
        time.sleep(0.05)
    assert clock.seconds["sleep"] >= 0.2 and clock.seconds["outer"] >= 0.06 and clock.seconds["rest"] >= 0.05
    assert sum(clock.seconds.values()) < 0.31 + 0.5  # each second once; a busy machine adds some
    assert str(clock).splitlines()[0].split() == ["stage", "time", "share"] and "0 programs compiled" in str(clock)


def test_nothing_is_measured_without_a_clock_or_after_it() -> None:
    with Clock() as clock:
        sleep(0.0)
    before = dict(clock.seconds)
    sleep(0.01)
    jax.jit(lambda a: a * 41.5)(jnp.ones(3))
    assert dict(clock.seconds) == before and not clock.programs


def test_tracing_and_compiling_are_no_time_of_the_stage() -> None:
    def slowly_traced(a: jax.Array) -> jax.Array:
        time.sleep(0.2)
        return jax.jit(lambda a: a + 43.25)(a)

    with Clock() as clock:
        outer(lambda: jax.jit(slowly_traced)(jnp.ones(7)))
    assert clock.seconds["trace"] >= 0.2 > 0.15 > clock.seconds["outer"] - 0.03 and clock.programs >= 1
    assert clock.seconds["compile"] > 0


def test_one_clock_at_a_time_and_none_is_left_by_an_error() -> None:
    with Clock(), pytest.raises(RuntimeError, match="one at a time"), Clock():
        pass
    with pytest.raises(KeyError), Clock() as clock:
        outer(lambda: {}["missing"])
    assert Clock.running is None and clock.seconds["outer"] >= 0.03


@pytest.mark.parametrize("budget,status", [("640", 3), ("64", 2)])
def test_the_command_says_where_the_time_went(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, budget: str, status: int
) -> None:
    monkeypatch.setattr(time, "process_time", lambda: 1.25)  # of this process, hours
    words = ["fit", "poisson", "--budget", budget, "--no-refine", "--quiet", "--profile"]
    done = CliRunner().invoke(app, [*words, "--out", str(tmp_path / "run")])
    assert done.exit_code == status, done.output
    assert Clock.running is None
    lines = [line.split() for line in done.stdout.splitlines()]
    assert (["stage", "time", "share"] in lines) == (status == 3)
    if status == 3:
        named = {" ".join(line[:-3]) for line in lines[lines.index(["stage", "time", "share"]) + 1 :]}
        assert {"adversarial steps", "pictures", "start", "rest"} <= named
