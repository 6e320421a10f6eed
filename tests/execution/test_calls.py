"""avo.execution.calls: the same numbers wherever calls are made, failures by kind, and what was made is kept."""

import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future, ProcessPoolExecutor, ThreadPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest
from rows import fails, hangs
from rows import three as row
from rows import threes as many

import avo
from avo.execution.calls import Calls
from avo.execution.chunks import Chunk
from avo.execution.executors import Pace
from avo.execution.failures import CallFailed
from avo.execution.store import Store

SIZE = 6
KEYS = jax.random.split(jax.random.key(3), 7)
THETA = np.random.default_rng(0).uniform(0.5, 2.0, (7 * SIZE, 2))
C = np.random.default_rng(1).normal(size=(7 * SIZE, 1))


def calls(fn: Any, batched: bool = False, timeout: float | None = None, **options: Any) -> Calls:
    return Calls(avo.from_numpy(fn, batched, timeout), SIZE, (3,), **options)


class Backwards:
    """An executor that hands its results back in the wrong order, after all were asked for."""

    def __init__(self) -> None:
        self.waiting: list[tuple[Future, Any]] = []

    def submit(self, fn: Any, *arguments: Any) -> Future:
        future: Future = Future()
        self.waiting.append((future, lambda: fn(*arguments)))
        if len(self.waiting) == 3:
            self.flush()
        else:
            threading.Timer(0.05, self.flush).start()
        return future

    def flush(self) -> None:
        waiting, self.waiting = self.waiting, []
        for future, made in reversed(waiting):
            future.set_result(made())


# --- the same numbers ------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def processes() -> Iterator[ProcessPoolExecutor]:
    """Two processes of the user's, which take seconds to start."""
    with ProcessPoolExecutor(2, get_context("spawn")) as pool:
        yield pool


@pytest.mark.parametrize("batched", [False, True])
@pytest.mark.parametrize("inputs", [False, True])
def test_numbers_do_not_depend_on_where_calls_are_made(
    batched: bool, inputs: bool, processes: ProcessPoolExecutor
) -> None:
    fn, given = many if batched else row, (C,) if inputs else ()
    expected = calls(fn, batched)(KEYS, THETA, *given)
    host = avo.from_numpy(fn, batched)
    parts = [host(key, *(a[i * SIZE : (i + 1) * SIZE] for a in (THETA, *given))) for i, key in enumerate(KEYS)]
    np.testing.assert_array_equal(expected, np.concatenate(parts))
    with ThreadPoolExecutor(3) as threads:
        for executor in (1, 2, threads, processes, Backwards()):
            some = calls(fn, batched, executor=executor)
            for _ in range(2):  # chunks are longer the second time
                np.testing.assert_array_equal(some(KEYS, THETA, *given), expected)
            some.close()


def test_chunks_take_a_tenth_of_a_second() -> None:
    pace, sizes = Pace(), []
    for _ in range(8):
        sizes.append(pace.size)
        pace.learn(pace.size, 1e-3 * pace.size)
    assert sizes == [1, 4, 16, 64, 100, 100, 100, 100]
    pace.learn(100, 500.0)
    assert pace.size == 1


def test_workers_know_modules_of_the_parent_and_their_share_of_threads() -> None:
    def environment(rng: np.random.Generator, theta: np.ndarray) -> np.ndarray:
        import rows  # beside the tests, which only sys.path says

        return np.array([rows.row(rng, theta).size, float(os.environ["OMP_NUM_THREADS"]), os.getpid()])

    some = calls(environment, executor=2)
    x = some(KEYS, THETA)
    some.close()
    known = os.environ.get("OMP_NUM_THREADS")
    assert set(x[:, 0]) == {10.0} and set(x[:, 1]) == {float(known or max((os.cpu_count() or 1) // 2, 1))}
    assert os.getpid() not in x[:, 2] and 1 <= len(set(x[:, 2])) <= 2


def test_what_a_function_prints_is_no_answer(capfd: pytest.CaptureFixture[str]) -> None:
    def talks(rng: np.random.Generator, theta: np.ndarray) -> np.ndarray:
        print("step 1")
        os.write(1, b"step 2\n")
        return row(rng, theta)

    some = calls(talks, executor=1)
    np.testing.assert_array_equal(some(KEYS, THETA), calls(row)(KEYS, THETA))
    some.close()
    assert "step 2" in capfd.readouterr().err


def test_what_cannot_be_sent_is_said() -> None:
    lock = threading.Lock()

    def locked(rng: np.random.Generator, theta: np.ndarray) -> np.ndarray:
        with lock:
            return row(rng, theta)

    with pytest.raises(
        ValueError, match=r"cannot be sent to another process \(TypeError: cannot pickle.*ThreadPoolExecutor"
    ):
        calls(locked, executor=2)
    with ThreadPoolExecutor(2) as threads:
        np.testing.assert_array_equal(calls(locked, executor=threads)(KEYS, THETA), calls(row)(KEYS, THETA))


@pytest.mark.parametrize("executor", [0, -2, 1.5, True, "two"])
def test_executors_that_are_none(executor: Any) -> None:
    with pytest.raises(ValueError, match="executor, unless it is an Executor, must be a whole number of at least 1"):
        calls(row, executor=executor)


# --- failures --------------------------------------------------------------------------------------------------------


WAYS = np.array([0, 1, 2, 3, 4, 5, 0, 1, 1, 0, 3, 0])
COUNTS = {"exception": 3, "non-finite": 2, "out of scale": 2, "wrong shape": 1}


@pytest.mark.parametrize("executor", [None, 2])
def test_failures_are_rows_of_nan_counted_by_kind(executor: Any) -> None:
    some, theta = calls(fails, executor=executor), np.column_stack([WAYS, WAYS])
    x = some(KEYS[:2], theta)
    some.close()
    np.testing.assert_array_equal(np.isnan(x), np.repeat((WAYS > 0)[:, None], 3, axis=1))
    np.testing.assert_array_equal(x[WAYS == 0], calls(fails)(KEYS[:2], 0.0 * theta)[WAYS == 0])
    assert some.failures == COUNTS and some.made == 12
    number, words = some.failures.examples["exception"]
    assert number == 1 and words.startswith(
        "the simulator failed at theta = [1.0, 1.0] with ZeroDivisionError: no water"
    )
    assert some.failures.examples["non-finite"] == (2, "at theta = [2.0, 2.0]")
    assert "expected (3,) for each theta, got (2,)" in some.failures.examples["wrong shape"][1]


def test_rows_of_a_block_fail_alone_unless_it_raises() -> None:
    def block(rng: np.random.Generator, theta: np.ndarray) -> np.ndarray:
        if theta[0, 0] > 8:
            raise ZeroDivisionError("no water")
        return np.where(theta[:, :1] > 5, np.nan, many(rng, theta))

    theta = np.column_stack([[1, 6, 2, 3, 7, 1, 9, 1, 1, 1, 1, 1], np.ones(12)])
    some = calls(block, batched=True)
    assert np.isnan(some(KEYS[:2], theta)).all(1).tolist() == [False, True, False, False, True, False] + 6 * [True]
    assert some.failures == {"non-finite": 2, "exception": 6}


def test_too_many_failures_stop_at_the_same_call_wherever_it_is_made() -> None:
    """Half may fail: 3.5 standard deviations above it are 13 of 13, and later fewer."""

    def broken(rng: np.random.Generator, theta: np.ndarray) -> np.ndarray:
        raise ZeroDivisionError("no water")

    words = (
        r"13 of the first 13 calls failed.* kind is 'exception', 13 calls; the first of them: the simulator failed at"
    )
    for executor in (None, 2):
        some = calls(broken, executor=executor, max_failures=0.5)
        with pytest.raises(CallFailed, match=words):
            some(KEYS, THETA)
        some.close()
    assert np.isnan(calls(broken)(KEYS, THETA)).all()  # all may fail


@pytest.mark.parametrize(("share", "stops"), [(0.0, True), (0.3, False), (0.05, True), (0.6, False), (1.0, False)])
def test_failures_by_chance_stop_no_run(share: float, stops: bool) -> None:
    def flaky(rng: np.random.Generator, theta: np.ndarray) -> np.ndarray:
        return np.full(3, np.nan if rng.random() < 0.25 else 1.0)

    keys = jax.random.split(jax.random.key(8), 400)
    some = calls(flaky, max_failures=share)
    if stops:
        with pytest.raises(CallFailed, match=f"max_failures={share:g} allows"):
            some(keys, np.ones((2400, 2)))
    else:
        assert abs(np.isnan(some(keys, np.ones((2400, 2)))).all(1).mean() - 0.25) < 0.05


def test_an_interruption_is_no_failure() -> None:
    def stops(rng: np.random.Generator, theta: np.ndarray) -> np.ndarray:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        calls(stops)(KEYS, THETA)


# --- workers that hang or die ----------------------------------------------------------------------------------------


def test_a_call_that_hangs_is_stopped_and_costs_itself_alone() -> None:
    late = THETA[:, 0] > 1.9
    assert 0 < late.sum() < 6
    for executor in (None, 2):  # None: one process, since only a process can be stopped
        some, start = calls(hangs, timeout=0.3, executor=executor), time.monotonic()
        x = some(KEYS, THETA)
        some.close()
        assert time.monotonic() - start < 30
        np.testing.assert_array_equal(np.isnan(x).all(1), late)
        np.testing.assert_array_equal(x[~late], calls(row)(KEYS, THETA)[~late])
        assert some.failures == {"timeout": late.sum()}
        assert "had not ended after 0.3 s, its timeout" in some.failures.examples["timeout"][1]


def test_a_call_that_kills_its_worker_costs_itself_alone() -> None:
    def dies(rng: np.random.Generator, theta: np.ndarray) -> np.ndarray:
        if theta[0] > 1.9:
            os.kill(os.getpid(), 9)
        return row(rng, theta)

    late = THETA[:, 0] > 1.9
    some = calls(dies, executor=2)
    x = some(KEYS, THETA)
    some.close()
    np.testing.assert_array_equal(np.isnan(x).all(1), late)
    np.testing.assert_array_equal(x[~late], calls(row)(KEYS, THETA)[~late])
    assert some.failures == {"dead worker": late.sum()}
    assert "died of the call (signal 9, Killed), and another one" in some.failures.examples["dead worker"][1]


def test_a_worker_that_dies_once_costs_nothing(tmp_path: Path) -> None:
    def dies_once(rng: np.random.Generator, theta: np.ndarray) -> np.ndarray:
        if theta[0] > 1.5 and not (tmp_path / "died").exists():
            (tmp_path / "died").touch()
            os._exit(4)
        return row(rng, theta)

    some = calls(dies_once, executor=2)
    np.testing.assert_array_equal(some(KEYS, THETA), calls(row)(KEYS, THETA))
    some.close()
    assert some.failures == {}


def test_ctrl_c_is_no_business_of_workers(capfd: pytest.CaptureFixture[str]) -> None:
    """Wherever it reaches them the call goes on, and nothing is printed."""

    def interrupted(rng: np.random.Generator, theta: np.ndarray) -> np.ndarray:
        os.kill(os.getpid(), signal.SIGINT)
        return row(rng, theta)

    some = calls(interrupted, executor=2)
    np.testing.assert_array_equal(some(KEYS, THETA), calls(row)(KEYS, THETA))
    some.close()
    assert some.failures == {} and capfd.readouterr().err == ""


def test_a_worker_that_is_asked_twice_ends_what_it_began(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    def asked(rng: np.random.Generator, theta: np.ndarray) -> np.ndarray:
        if theta[0] > 1.9:
            try:
                os.kill(os.getpid(), signal.SIGTERM)
                time.sleep(60)
            finally:
                os.kill(os.getpid(), signal.SIGTERM)
                (tmp_path / "ended").touch()
        return row(rng, theta)

    some = calls(asked, executor=2)
    x = some(KEYS, THETA)
    some.close()
    late = THETA[:, 0] > 1.9
    np.testing.assert_array_equal(np.isnan(x).all(1), late)
    assert some.failures == {"dead worker": late.sum()} and capfd.readouterr().err == ""
    assert (tmp_path / "ended").exists()


class Broken:
    """An executor each of whose chunks is lost so many times."""

    def __init__(self, times: int) -> None:
        self.times, self.lost = times, dict[tuple, int]()

    def submit(self, fn: Any, *arguments: Any) -> Future:
        future, chunk = Future(), arguments[-1]
        assert isinstance(chunk, Chunk)
        poison = tuple(map(tuple, chunk.theta[chunk.theta[:, 0] > 1.9]))
        self.lost[poison] = self.lost.get(poison, 0) + 1
        if poison and self.lost[poison] <= self.times:
            future.set_exception(RuntimeError("killed worker"))
        else:
            future.set_result(fn(*arguments))
        return future


def test_chunks_that_an_executor_loses_are_repeated_once_call_by_call() -> None:
    late, expected = THETA[:, 0] > 1.9, calls(row)(KEYS, THETA)
    some = calls(row, executor=Broken(1))
    np.testing.assert_array_equal(some(KEYS, THETA)[~late], expected[~late])
    some = calls(row, executor=Broken(99))
    x = some(KEYS, THETA)
    np.testing.assert_array_equal(np.isnan(x).all(1), late)
    np.testing.assert_array_equal(x[~late], expected[~late])
    assert some.failures == {"dead worker": late.sum()}


def test_an_executor_that_is_shut_down_ends_the_run() -> None:
    threads = ThreadPoolExecutor(1)
    threads.shutdown()
    with pytest.raises(
        CallFailed, match=r"the executor takes no more calls \(RuntimeError: cannot schedule.*executor=8"
    ):
        calls(row, executor=threads)(KEYS, THETA)


def test_a_timeout_needs_processes_of_avo() -> None:
    with ThreadPoolExecutor(1) as threads, pytest.raises(ValueError, match="timeout= of from_numpy needs processes"):
        calls(row, timeout=1.0, executor=threads)
    with pytest.raises(ValueError, match="timeout must be a finite number above zero, in seconds"):
        avo.from_numpy(row, timeout=0)


# --- what was made is kept -------------------------------------------------------------------------------------------


class Counted:
    """`fails` or `many` by theta, counting calls, stopped by Ctrl-C after some."""

    def __init__(self, fn: Any, stop: float = np.inf) -> None:
        self.fn, self.stop, self.calls = fn, stop, 0

    def __call__(self, rng: np.random.Generator, theta: np.ndarray) -> np.ndarray:
        if self.calls >= self.stop:
            raise KeyboardInterrupt
        self.calls += 1
        time.sleep(0.002)
        return self.fn(rng, theta)


@pytest.mark.parametrize("batched", [False, True])
def test_calls_of_a_stopped_run_are_not_made_again(batched: bool, tmp_path: Path) -> None:
    fn, per = (many, SIZE) if batched else (fails, 1)
    theta = THETA if batched else np.resize(WAYS, (len(THETA), 2)).astype(float)
    whole = calls(fn, batched)
    expected = [whole(KEYS[:3], theta[:18]), whole(KEYS[3:], theta[18:])]

    def kept(stop: float = np.inf) -> tuple[Counted, Calls]:
        counted = Counted(fn, stop)
        some = calls(counted, batched)
        some.store = Store(tmp_path / "calls.sqlite", "a run")
        return counted, some

    first, some = kept(30 // per)
    np.testing.assert_array_equal(some(KEYS[:3], theta[:18]), expected[0])
    with pytest.raises(KeyboardInterrupt):
        some(KEYS[3:], theta[18:])
    some.close()
    second, some = kept()
    ticks: list[int] = []
    some.tick = ticks.append
    for x, part in zip(expected, (slice(3), slice(3, 7)), strict=True):
        np.testing.assert_array_equal(some(KEYS[part], theta[SIZE * (part.start or 0) : SIZE * part.stop]), x)
    assert second.calls <= 24 // per and sum(ticks) == some.made == 42
    assert (some.failures, some.failures.examples) == (whole.failures, whole.failures.examples)
    some.close()
    third, some = kept()  # and a run that goes on after the first request counts what it passes over
    some.skip(18)
    np.testing.assert_array_equal(some(KEYS[3:], theta[18:]), expected[1])
    assert third.calls == 0 and some.made == 42
    assert (some.failures, some.failures.examples) == (whole.failures, whole.failures.examples)
    some.close()


def test_a_store_of_other_calls_is_refused(tmp_path: Path) -> None:
    for keys, words in ((KEYS[:3], ""), (KEYS[1:4], "holds other calls than this run makes")):
        some = calls(row)
        some.store = Store(tmp_path / "calls.sqlite", "a run")
        if words:
            with pytest.raises(ValueError, match=words):
                some(keys, THETA[:18])
            with pytest.raises(ValueError, match="lacks calls 18 to 19"):
                some.skip(19)
        else:
            some(keys, THETA[:18])
        some.close()


# --- ways to fail that are no exceptions -----------------------------------------------------------------------------


@pytest.mark.parametrize("executor", [None, 1])
def test_a_script_that_exits_is_a_failed_call(executor: Any) -> None:
    def exits(rng: np.random.Generator, theta: np.ndarray) -> np.ndarray:
        if theta[0] > 1.9:
            sys.exit("bad parameters")
        return row(rng, theta)

    some, late = calls(exits, executor=executor), THETA[:, 0] > 1.9
    np.testing.assert_array_equal(np.isnan(some(KEYS, THETA)).all(1), late)
    some.close()
    assert some.failures == {"exception": late.sum()}
    assert "with SystemExit: bad parameters" in some.failures.examples["exception"][1]


def test_masked_values_are_no_numbers() -> None:
    def masked(rng: np.random.Generator, theta: np.ndarray) -> np.ndarray:
        return np.ma.masked_array([1.0, -999.0, 2.0], mask=[False, theta[0] > 1.9, False])

    some, late = calls(masked), THETA[:, 0] > 1.9
    x = some(KEYS, THETA)
    np.testing.assert_array_equal(np.isnan(x).all(1), late)
    assert some.failures == {"non-finite": late.sum()} and np.all(x[~late, 1] == -999.0)


def test_a_block_that_raises_says_that_it_is_one() -> None:
    def raises(rng: np.random.Generator, theta: np.ndarray) -> np.ndarray:
        raise ValueError("too stiff")

    some = calls(raises, batched=True)
    some(KEYS, THETA)
    assert (
        "failed at a block of 6 rows, which fail together, the first at theta = "
        in some.failures.examples["exception"][1]
    )


def test_an_executor_that_was_not_made_is_refused() -> None:
    with pytest.raises(ValueError, match="executor, unless it is an Executor, must be a whole number"):
        calls(row, executor=ThreadPoolExecutor)


def test_workers_leave_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    some = calls(row, executor=2)
    some(KEYS, THETA)
    assert list(tmp_path.iterdir()) == []  # while they run, so that a kill leaves none either
    some.close()
