"""studies/speed/race.py: ways take turns, and ratios are within turns."""

import numpy as np
import pytest

from avo.benchmarks.studies.speed import calls, race, simulators
from avo.benchmarks.studies.speed.race import Way


def test_ways_take_turns_after_one_that_does_not_count(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a clock that the ways themselves advance: b takes three times as long as a, and all grows by the turn."""
    now, order = [0.0], []
    monkeypatch.setattr(race, "CLOCKS", {"cpu": lambda: now[0]})

    def way(name: str, takes: float) -> Way:
        def run(turn: int) -> None:
            order.append((name, turn))
            now[0] += takes * 2.0**turn

        return Way(run, units=4, note=f"way {name}")

    found = race.measure({"a": way("a", 1.0), "b": way("b", 3.0)}, [("b", "a")], turns=3, first=5)
    assert order == [(name, turn) for turn in (5, 5, 6, 7) for name in "ab"]
    np.testing.assert_allclose(list(found["cpu"]["each"].values()), [16.0, 48.0])  # 2^6 takes / 4 units
    assert found["cpu"]["ratio"] == {"b/a": [3.0, 3.0, 3.0]} and found["notes"] == {"a": "way a", "b": "way b"}


def test_a_ratio_is_the_median_of_those_within_turns() -> None:
    found = race.summary({"a": [1.0, 10.0, 1.0], "b": [2.0, 10.0, 3.0]}, [("b", "a")])
    assert found == {"each": {"a": 1.0, "b": 3.0}, "ratio": {"b/a": [2.0, 1.0, 3.0]}}


def test_rows_of_one_clock_and_ratios_without_ends_are_written() -> None:
    row = {"task": "t", "wall": {"each": {"avo": 2.5e-3}, "ratio": {"avo/bare": [1.234]}}}
    assert race.table([row], "step").splitlines()[-1] == "| t | avo |  | 2.5 ms |  | 1.23 bare |  |"
    assert [race.duration(v) for v in (59.4, 2.04e-6)] == ["59.4 s", "2.04 us"]


def test_a_simulator_races_its_rival_on_the_same_law() -> None:
    """Ours comes first and the rival is named; of 10 x 1000 paths each, by CPU seconds of a path."""
    assert set(simulators.RACES) >= {"brownian", "ecgsyn, 1 lead", "pendulum, exact", "mg1 against arrays"}
    ours, rival = simulators.RACES["brownian against arrays"]().items()
    assert ours[0] == "avo" and rival[0] == "NumPy, all paths at once"
    assert ours[1].units == rival[1].units == 10_000 and ours[1].note == rival[1].note == "single"


def test_calls_outside_jax_race_what_they_cannot_do_without(monkeypatch: pytest.MonkeyPatch) -> None:
    """The bare way comes first; a program's time is by the wall clock alone, for it is no time of this process."""
    monkeypatch.setattr(calls, "PROGRAMS", 2)
    found = calls.race("program", 0)
    assert list(found["wall"]["each"]) == ["subprocess.run", "from_command", "with a timeout"] and "cpu" not in found
    assert list(found["wall"]["ratio"]) == ["from_command/subprocess.run", "with a timeout/subprocess.run"]
    ways = calls.RACES["function"]()
    assert list(ways) == ["generator", "from_numpy", "from_numpy, batched"]
    assert {way.units for way in ways.values()} == {calls.BLOCKS * 256}
