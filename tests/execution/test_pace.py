"""avo.execution.pace: a time becomes calls, by a clock that is known here, and a run that is continued keeps them."""

from itertools import count
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from fits import SPACE, TINY, X_OBS, Interrupted, equal, fit, simulate
from rows import row, rows

import avo
from avo.execution import pace
from avo.execution.pace import LEAST_CALLS, STARTING, TIMED, TRAINING, as_time, in_calls, seconds_of

pytestmark = pytest.mark.usefixtures("single_precision")

SHAPE = (10,)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each look at the clock of the module is three seconds after the last."""
    readings = count(0, 3)
    monkeypatch.setattr(pace, "time", SimpleNamespace(perf_counter=lambda: next(readings)))


@pytest.mark.parametrize(
    ("text", "seconds"), [("90 s", 90.0), ("30min", 1800.0), (" 2h ", 7200.0), ("1.5 d", 129600.0), ("3. h", 10800.0)]
)
def test_times_are_read(text: str, seconds: float) -> None:
    assert seconds_of(text) == seconds


@pytest.mark.parametrize(
    "text", ["", "h", "2 hours", "-2h", "0 s", "1e3 s", "2h 30min", "10kk", "1,00", "nan h", "1e4x"]
)
def test_what_is_no_time_is_refused(text: str) -> None:
    with pytest.raises(
        ValueError, match="budget must be a number of calls, .*, or a time with its unit .* such as '2h'"
    ):
        fit(simulate, budget=text)


@pytest.mark.parametrize("text", ["-5", "0", "1.5", "1.2345k", "0.0000001M"])
def test_numbers_that_are_no_calls_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match="budget must be a whole number of calls above 0, .*, or a time such as '2h'"):
        fit(simulate, budget=text)


def test_calls_are_read_as_people_write_them() -> None:
    whole = fit(simulate, budget=60 * TINY.calls)
    assert equal(fit(simulate, budget=f"{60 * TINY.calls / 1000}k"), whole) and whole.budget == 60 * TINY.calls


@pytest.mark.parametrize(
    ("fn", "batched", "executor", "workers"), [(row, False, None, 1), (rows, True, None, 1), (row, False, 2, 2)]
)
def test_calls_are_those_that_fit_into_the_time(
    fn: Any, batched: bool, executor: Any, workers: int, clock: None
) -> None:
    """Three seconds for `TIMED` calls of each worker, all of them at once."""
    host = avo.from_numpy(fn, batched)
    each = 3.0 / (TIMED * workers)
    expected = int((7200 - STARTING) / (each + TRAINING[True]))
    assert in_calls("2h", host, SPACE, SHAPE, None, executor) == expected
    assert in_calls("30 s", host, SPACE, SHAPE, None, executor) == LEAST_CALLS


def test_rows_in_jax_are_timed_together(clock: None) -> None:
    expected = int((7200 - STARTING) / (3.0 / pace.ROWS + TRAINING[False]))
    assert in_calls("2h", simulate, SPACE, SHAPE, None) == expected


def test_known_conditions_are_handed_over(clock: None) -> None:
    seen = []

    def given(rng: np.random.Generator, theta: np.ndarray, c: np.ndarray) -> np.ndarray:
        seen.append(c.tolist())
        return row(rng, theta)

    in_calls("2h", avo.from_numpy(given), SPACE, SHAPE, np.array([[0.5, 1.0], [2.0, 3.0], [4.0, 5.0]]))
    assert seen[:4] == [[0.5, 1.0], [2.0, 3.0], [4.0, 5.0], [0.5, 1.0]]


def test_a_continued_run_keeps_its_number_of_calls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("avo.run.in_calls", lambda *_: 60 * TINY.calls)
    stopped = fit(avo.from_numpy(Interrupted(31 * TINY.calls)), budget="1h", out=tmp_path)
    assert stopped.status == "stopped"
    monkeypatch.setattr("avo.run.in_calls", lambda *_: 77 * TINY.calls)  # a slower day
    resumed = fit(avo.from_numpy(row), budget="1h", out=tmp_path, resume=True)
    assert equal(resumed, fit(avo.from_numpy(row), X_OBS, budget=60 * TINY.calls))


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0.00123, "1.23 ms"), (7.0, "7 s"), (59.9, "59.9 s"), (90.0, "1 min 30 s"), (3600.0, "1 h"),
     (7805.0, "2 h 10 min"), (90_000.0, "1 d 1 h")],
)  # fmt: skip
def test_times_are_written_as_people_do(seconds: float, words: str) -> None:
    assert as_time(seconds) == words
