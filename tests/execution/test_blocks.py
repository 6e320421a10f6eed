"""Blocks of rows: same numbers whatever the buffer, exact counts, shared random numbers, draws that survive a stop."""

from collections import Counter
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import avo
from avo.execution import blocks as rows
from avo.execution.blocks import Draws
from avo.execution.calls import Calls

SIZE = 8
SPACE = avo.Space(a=avo.Real(0.25, 2.0), b=avo.Interval(-3, 5))
KEY = jax.random.key(5)
RNG = np.random.default_rng


def simulate(key: Any, theta: Any) -> Any:
    """Three values: both parameters, each with noise of its own, and that noise's sum."""
    e = jax.random.normal(key, theta.shape)
    return jnp.concatenate([theta + e, e.sum(1, keepdims=True)], axis=1)


def row(rng: np.random.Generator, theta: np.ndarray) -> np.ndarray:
    e = rng.normal(size=2)
    return np.array([*(theta + e), e.sum()])


def with_inputs(key: Any, theta: Any, c: Any) -> Any:
    e = jax.random.normal(key, (len(theta), 1))
    return jnp.concatenate([theta[:, :1] * c[:, :1] + e, c], axis=1)


def row_with_inputs(rng: np.random.Generator, theta: np.ndarray, c: np.ndarray) -> np.ndarray:
    return np.array([theta[0] * c[0] + rng.normal(), *c])


class Counted:
    """The NumPy simulator `row`, which counts its calls and can be stopped by Ctrl-C."""

    def __init__(self, stop: float = np.inf) -> None:
        self.calls, self.stop = 0, stop

    def __call__(self, rng: np.random.Generator, theta: np.ndarray) -> np.ndarray:
        if self.calls >= self.stop:
            raise KeyboardInterrupt
        self.calls += 1
        return row(rng, theta)


def draws(simulator: Any, **options: Any) -> Draws:
    return Draws(simulator, SPACE, KEY, SIZE, (3,), **options)


BOTH = pytest.mark.parametrize("simulator", [simulate, avo.from_numpy(row)], ids=["jax", "numpy"])


# --- the same numbers ------------------------------------------------------------------------------------------------


@BOTH
def test_same_u_same_x_whatever_the_buffer(simulator: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    u = [RNG(k).normal(size=(n, 2)) for k, n in enumerate((40, 96, 8))]
    found = []
    for buffer in (1, 3 * SIZE, 4096):  # a block at a time, three (which do not divide five), all at once
        monkeypatch.setattr(rows, "BUFFER", buffer)
        some = draws(simulator)
        found.append([some(part).x for part in u])
    for a, b, c in zip(*found, strict=True):
        np.testing.assert_array_equal(a, b)
        np.testing.assert_array_equal(a, c)
    assert len(np.unique(np.concatenate(found[0])[:, 2])) == 144  # and nothing is drawn twice


@BOTH
def test_rows_belong_to_their_u(simulator: Any) -> None:
    """x1 + x2 - x3 = theta1 + theta2, so that a row in another place would show."""
    u = RNG(1).normal(size=(48, 2))
    drawn = draws(simulator)(u)
    np.testing.assert_array_equal(drawn.u, u)
    theta = np.asarray(SPACE.constrain(u))
    np.testing.assert_allclose(drawn.x[:, :2].sum(1) - drawn.x[:, 2], theta.sum(1), rtol=1e-12, atol=1e-12)


def test_blocks_have_the_numbers_of_a_fit() -> None:
    """One block is one call with one of the keys, as `simulate_jax` and `Calls` make them."""
    u = RNG(2).normal(size=(3 * SIZE, 2))
    keys = jax.random.split(jax.random.fold_in(KEY, 0), 3)
    theta = SPACE.constrain(u)
    one = np.concatenate([simulate(k, theta[i * SIZE : (i + 1) * SIZE]) for i, k in enumerate(keys)])
    np.testing.assert_allclose(draws(simulate)(u).x, one, rtol=1e-13)
    np.testing.assert_array_equal(rows.simulate_jax(jax.jit(simulate), keys, SIZE, theta), draws(simulate)(u).x)
    host = avo.from_numpy(row)
    np.testing.assert_array_equal(Calls(host, SIZE, (3,))(keys, theta), draws(host)(u).x)
    parts = [host(k, theta[i * SIZE : (i + 1) * SIZE]) for i, k in enumerate(keys)]
    np.testing.assert_array_equal(np.concatenate(parts), draws(host)(u).x)


@pytest.mark.parametrize("rows_at_a_time", [1, 3, 7, 20])
def test_rows_in_parts_are_those_of_all_at_once(rows_at_a_time: int) -> None:
    a, c, sizes = RNG(3).normal(size=(7, 2)), np.arange(7), []

    def fn(a: np.ndarray, none: None, c: np.ndarray) -> np.ndarray:
        assert none is None
        sizes.append((len(a), len(c)))
        return a[:, 1:] * c[:, None]

    np.testing.assert_array_equal(rows.batched(fn, a, None, c, rows=rows_at_a_time), a[:, 1:] * c[:, None])
    assert sizes == [(rows_at_a_time,) * 2] * -(-7 // rows_at_a_time)  # all of one size


# --- counts ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("asked", "mirrored", "given"),
    [(100, False, 96), (100, True, 96), (24, False, 24), (24, True, 16), (31.9, False, 24), (3, False, 8),
     (3, True, 16), (-5.0, False, 8)],
)  # fmt: skip
def test_whole_rounds_down_to_blocks_or_pairs_of_them(asked: float, mirrored: bool, given: int) -> None:
    assert draws(simulate).whole(asked, mirrored) == given


def test_calls_are_counted_exactly() -> None:
    simulator, ticks = Counted(), []
    host, compiled = draws(avo.from_numpy(simulator), tick=ticks.append), draws(simulate, tick=ticks.append)
    for some in (host, compiled):
        ticks.clear()
        for n, mirrored in ((16, False), (32, True), (8, False)):
            some(np.zeros((n, 2)), mirrored)
        assert some.calls == sum(ticks) == 56
    assert simulator.calls == 56


@pytest.mark.parametrize("host", [False, True])
def test_failed_rows_are_flagged_and_counted(host: bool) -> None:
    def fragile(key: Any, theta: Any) -> Any:
        return jnp.where(theta[:, 1:] > 2.0, jnp.array([[0.0, jnp.nan, 1.0]]), simulate(key, theta))

    def fragile_row(rng: np.random.Generator, theta: np.ndarray) -> np.ndarray:
        return np.array([np.inf, 0.0, 1.0]) if theta[1] > 2.0 else row(rng, theta)

    some = draws(avo.from_numpy(fragile_row) if host else fragile)
    total = 0
    for k in range(2):
        u = RNG(k).normal(size=(64, 2))
        bad = np.asarray(SPACE.constrain(u))[:, 1] > 2.0
        drawn = some(u)
        np.testing.assert_array_equal(drawn.ok, ~bad)
        total += int(bad.sum())
    assert 0 < some.failed == total < 128


# --- mirrored rows ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("host", [False, True])
def test_mirrored_rows_share_random_numbers(host: bool) -> None:
    """With noise in whole numbers and u in eighths no digit is lost: x+ - x- is u+ - u- to the bit."""
    line = avo.Space(a=avo.Real(), b=avo.Real(0.5, 2.0))

    def location(key: Any, theta: Any) -> Any:
        return theta + jax.random.randint(key, theta.shape, -1000, 1000)

    def location_row(rng: np.random.Generator, theta: np.ndarray) -> np.ndarray:
        return theta + rng.integers(-1000, 1000, 2)

    some = Draws(avo.from_numpy(location_row) if host else location, line, KEY, SIZE, (2,))
    du = RNG(0).integers(-40, 40, (32, 2)) / 8
    loc = np.array([0.375, -1.25])
    u = np.concatenate([loc + du, loc - du])
    x = some(u, mirrored=True).x
    scale = np.array([1.0, 2.0])
    np.testing.assert_array_equal(x[:32] - x[32:], 2 * du * scale)
    e = x - np.asarray(line.constrain(u))
    assert len(np.unique(e[:32, 0])) > 28  # 32 of 2000 numbers: the rows of one half do not share theirs
    later = some(u, mirrored=True).x
    assert np.mean(later == x) < 0.1


# --- inputs ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("host", [False, True])
def test_inputs_are_taken_in_turn(host: bool) -> None:
    c = np.stack([np.arange(1.0, 31.0), -np.arange(1.0, 31.0)], axis=1)
    some = draws(avo.from_numpy(row_with_inputs) if host else with_inputs, inputs=c)
    seen = Counter()
    for n, mirrored in ((16, False), (32, True), (8, False), (48, False)):
        drawn = some(RNG(n).normal(size=(n, 2)), mirrored)
        given = drawn.inputs
        assert given is not None
        np.testing.assert_array_equal(drawn.x[:, 1:], given)  # the simulator got what is said to be given
        np.testing.assert_array_equal(given[:, 1], -given[:, 0])
        if mirrored:
            np.testing.assert_array_equal(given[: n // 2], given[n // 2 :])
        seen.update(given[: n // 2 if mirrored else n, 0].tolist())
        times = [seen[value] for value in c[:, 0]]
        assert max(times) - min(times) <= 1
    assert sum(seen.values()) == 88


def test_inputs_are_not_taken_in_the_order_of_the_observations() -> None:
    c = np.arange(400.0)[:, None] * np.ones((1, 2))
    first = np.asarray(draws(with_inputs, inputs=c)(np.zeros((200, 2))).inputs)[:, 0]
    # Means of 200 of 400 without repetition vary by 400 / sqrt(12 * 200) / sqrt(2)
    assert abs(first.mean() - 199.5) < 4 * 400 / np.sqrt(12 * 400)


# --- compilation -----------------------------------------------------------------------------------------------------


def test_one_trace_for_all_numbers_of_rows() -> None:
    traces = 0

    def counted(key: Any, theta: Any) -> Any:
        nonlocal traces
        traces += 1
        return simulate(key, theta)

    some = draws(counted)
    for n in (8, 16, 200, 4096, 4104, 10_000, 3200):
        some(np.zeros((n, 2)), mirrored=n % 16 == 0)
    assert traces == 1
