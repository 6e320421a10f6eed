"""avo.execution.host: NumPy simulators give the same numbers for the same key, and say what failed."""

import re
from typing import Any

import jax
import numpy as np
import pytest

from avo import from_numpy
from avo.execution.host import BATCH

KEY = jax.random.key(7)
THETA = np.random.default_rng(0).uniform(0.5, 2.0, (9, 2))


def draw(rng: np.random.Generator, theta: np.ndarray) -> np.ndarray:
    return rng.normal(theta[0], theta[1], size=3)


def draw_many(rng: np.random.Generator, theta: np.ndarray) -> np.ndarray:
    return rng.normal(theta[:, :1], theta[:, 1:], size=(len(theta), 3))


@pytest.mark.parametrize("simulate", [from_numpy(draw), from_numpy(draw_many, batched=True)], ids=["rows", "batched"])
def test_same_key_same_numbers(simulate: Any) -> None:
    x = simulate(KEY, THETA)
    assert x.shape == (9, 3)
    np.testing.assert_array_equal(simulate(KEY, THETA), x)
    assert not np.any(simulate(jax.random.key(8), THETA) == x)
    assert not np.any(simulate(jax.random.fold_in(KEY, 1), THETA) == x)


def test_rows_are_independent_of_each_other() -> None:
    simulate = from_numpy(draw)
    x = simulate(KEY, THETA)
    changed = THETA.copy()
    changed[4] += 1.0
    different = np.any(simulate(KEY, changed) != x, axis=1)
    np.testing.assert_array_equal(different, np.arange(9) == 4)
    np.testing.assert_array_equal(simulate(KEY, THETA[:5]), x[:5])
    # Equal thetas still have their own random numbers
    same = simulate(KEY, np.tile(THETA[:1], (50, 1)))
    assert np.unique(same).size == same.size


def test_rows_of_one_buffer_are_copied_as_they_come() -> None:
    """As wrappers of C and Fortran return them: the same memory each time, with other numbers."""
    buffer, wide = np.zeros(3), np.zeros((256, 3))

    def reuse(rng: np.random.Generator, theta: np.ndarray) -> np.ndarray:
        buffer[:] = draw(rng, theta)
        return buffer

    def reuse_many(rng: np.random.Generator, theta: np.ndarray) -> np.ndarray:
        wide[: len(theta)] = draw_many(rng, theta)
        return wide[: len(theta)]

    many = np.tile(THETA, (60, 1))  # three blocks
    np.testing.assert_array_equal(from_numpy(reuse)(KEY, THETA), from_numpy(draw)(KEY, THETA))
    np.testing.assert_array_equal(
        from_numpy(reuse_many, batched=True)(KEY, many), from_numpy(draw_many, batched=True)(KEY, many)
    )


@pytest.mark.parametrize("batched", [False, True])
def test_generators_are_those_of_key_and_row(batched: bool) -> None:
    """The numbers of the message, `default_rng([*key, row])`, and those of its children."""
    found, key = [], jax.random.fold_in(KEY, 1)

    def fn(rng: np.random.Generator, theta: np.ndarray) -> np.ndarray:
        (child,) = rng.spawn(1)
        found.append((rng.random(), child.random()))
        return theta

    from_numpy(fn, batched=batched)(key, np.ones((300, 2)))
    words = [int(word) for word in jax.random.key_data(key)]
    assert min(words) > 2**16
    rngs = [np.random.default_rng([*words, row]) for row in ((0, 256) if batched else range(300))]
    assert found == [(rng.random(), child.random()) for rng in rngs for child in rng.spawn(1)]


def test_batched_calls_get_blocks_of_fixed_size() -> None:
    sizes, states = [], []

    def fn(rng: np.random.Generator, theta: np.ndarray) -> np.ndarray:
        sizes.append(len(theta))
        states.append(rng.bit_generator.state["state"]["state"])
        return theta[:, 0] + rng.normal(size=len(theta))

    simulate = from_numpy(fn, batched=True)
    theta = np.random.default_rng(1).normal(size=(300, 2))
    x = simulate(KEY, theta)
    assert BATCH == 256 and sizes == [256, 44]
    assert states[0] != states[1]
    # A block's numbers do not depend on the blocks after it
    np.testing.assert_array_equal(simulate(KEY, theta[:256]), x[:256])


def test_arguments_arrive_as_float_rows() -> None:
    seen = []

    def fn(rng: np.random.Generator, theta: np.ndarray) -> float:
        seen.append(theta)
        return theta.sum()

    x = from_numpy(fn)(KEY, jax.numpy.asarray([[1, 2], [3, 5]]))
    np.testing.assert_array_equal(x, [3.0, 8.0])
    assert all(type(t) is np.ndarray and t.dtype == float and t.shape == (2,) for t in seen)


def test_inputs_reach_their_row() -> None:
    c = np.arange(9.0) + 0.5
    rows = from_numpy(lambda rng, theta, c: theta[0] * c)
    many = from_numpy(lambda rng, theta, c: theta[:, 0] * c, batched=True)
    for simulate in (rows, many):
        np.testing.assert_array_equal(simulate(KEY, THETA, c), THETA[:, 0] * c)


def test_integers_become_floats() -> None:
    x = from_numpy(lambda rng, theta: rng.poisson(theta[0] * 10))(KEY, THETA)
    assert x.shape == (9,) and x.dtype == float


def test_error_carries_theta_and_seed_and_can_be_replayed() -> None:
    def fn(rng: np.random.Generator, theta: np.ndarray) -> float:
        noise = rng.normal()
        if theta[0] > 1.7:
            raise ZeroDivisionError(f"noise {noise!r}")
        return noise

    theta = np.array([[1.1, 0.0], [1.3, 0.0], [1.75, 0.5]])
    with pytest.raises(RuntimeError, match=r"failed at theta = \[1.75, 0.5\] with ZeroDivisionError: noise") as caught:
        from_numpy(fn)(KEY, theta)
    assert isinstance(caught.value.__cause__, ZeroDivisionError)
    seed = re.search(r"default_rng\(\[([\d, ]+)\]\)", str(caught.value))
    assert seed is not None
    rng = np.random.default_rng([int(word) for word in seed.group(1).split(",")])
    with pytest.raises(ZeroDivisionError) as again:
        fn(rng, np.array([1.75, 0.5]))
    assert str(again.value) == str(caught.value.__cause__)


def test_interruption_is_not_a_failure() -> None:
    def fn(rng: np.random.Generator, theta: np.ndarray) -> float:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        from_numpy(fn)(KEY, THETA)


def test_shapes_that_differ() -> None:
    with pytest.raises(ValueError, match=r"must return the same shape each time; got \(1,\), then \(2,\)"):
        from_numpy(lambda rng, theta: np.zeros(1 + (theta[0] > 1)))(KEY, np.array([[0.5], [1.5]]))
    with pytest.raises(ValueError, match=r"one row of x per row of theta: expected 9 rows, got shape \(8, 2\)"):
        from_numpy(lambda rng, theta: theta[1:], batched=True)(KEY, THETA)
    with pytest.raises(ValueError, match=r"expected 9 rows, got shape \(\)"):
        from_numpy(lambda rng, theta: 1.0, batched=True)(KEY, THETA)
    with pytest.raises(ValueError, match=r"must return the same shape each time"):
        from_numpy(lambda rng, theta: np.zeros((len(theta), len(theta))), batched=True)(KEY, np.ones((300, 1)))


def test_wrong_functions() -> None:
    with pytest.raises(ValueError, match=r"from_numpy needs a function fn\(rng, theta\) -> x; got 3"):
        from_numpy(3)  # type: ignore[arg-type]

    def simulator(theta: np.ndarray) -> np.ndarray:
        return theta

    with pytest.raises(ValueError, match=r"two arguments, fn\(rng, theta\) -> x.*got simulator\(theta"):
        from_numpy(simulator)
    with pytest.raises(ValueError, match=r"two arguments"):
        from_numpy(lambda a, b, c, d: 0.0)
