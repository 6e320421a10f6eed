"""avo.execution.rounding: one key gives the same whole numbers to every kind of simulator, wherever its calls run."""

import sys
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from fits import TINY, TINY_BUDGET, equal
from rows import whole as noisy_row

import avo
from avo.execution.blocks import Draws
from avo.execution.replay import find
from avo.execution.rounding import chances, whole_rows
from avo.execution.simulator import check_simulator
from avo.execution.store import Store

SPACE = avo.Space(a=avo.Real(), n=avo.Count(1, 30), m=avo.Count(-5, 5))
U = np.random.default_rng(0).normal(size=(32, 3))


def told(key: Any, theta: Any) -> Any:
    """Give theta back, as it came."""
    return theta[:, 1:]


def told_row(rng: np.random.Generator, theta: np.ndarray) -> np.ndarray:
    return theta[1:]


def draws(simulate: Any) -> Draws:
    return Draws(simulate, SPACE, jax.random.key(7), 8, (2,))


def test_rows_have_chances_of_their_own() -> None:
    key = jax.random.key(3)
    found = np.asarray(chances(key, 2000, 2))
    np.testing.assert_array_equal(chances(key, 3, 2), found[:3])  # a batch of one is the row of a batch
    assert len(np.unique(found)) == found.size and abs(found.mean() - 0.5) < 4.5 / np.sqrt(12 * found.size)
    assert not np.intersect1d(found, chances(jax.random.key(4), 2000, 2)).size
    # and none of what a simulator draws from the same key
    assert not np.intersect1d(found, jax.random.uniform(key, (2000, 2))).size
    theta = jnp.ones((5, 1))
    assert whole_rows(avo.Space(a=avo.Real()), key, theta) is theta


def test_the_same_key_gives_the_same_whole_numbers() -> None:
    t = np.asarray(SPACE.constrain(U))[:, 1:]
    x = draws(jax.jit(told))(U).x
    assert np.array_equal(x, np.round(x)) and np.all((x == np.floor(t)) | (x == np.floor(t) + 1))
    assert 0.2 < np.mean(x > t) < 0.8
    np.testing.assert_array_equal(draws(avo.from_numpy(told_row))(U).x, x)
    rows = avo.from_numpy(lambda rng, theta: theta[:, 1:], batched=True)
    np.testing.assert_array_equal(draws(rows)(U).x, x)
    # Stage by stage other numbers, and from the start again the same
    again = draws(jax.jit(told))
    first, second = again(U).x, again(U).x
    assert np.array_equal(first, x) and not np.array_equal(second, x)


def test_mirrored_pairs_share_the_chance() -> None:
    """Rows i and i + n / 2 at one u get the same whole numbers; a little apart most do, and none the wrong way."""
    half = U[:16]
    x = draws(jax.jit(told))(np.concatenate([half, half]), mirrored=True).x
    np.testing.assert_array_equal(x[:16], x[16:])
    x = draws(jax.jit(told))(np.concatenate([half + 0.02, half - 0.02]), mirrored=True).x
    assert np.all(x[:16] >= x[16:]) and np.mean(x[:16] == x[16:]) > 0.5


def test_a_command_is_told_whole_numbers_without_a_point() -> None:
    code = "import sys; print(int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3]) * 0)"
    simulate = avo.from_command([sys.executable, "-S", "-c", code, "{n}", "{m}", "{a}"])
    one = Draws(avo.from_numpy(told_row), SPACE, jax.random.key(7), 2, (2,))(U[:4]).x
    simulate = check_simulator(simulate, SPACE, np.zeros((5, 3)), None, 2)
    x = Draws(simulate, SPACE, jax.random.key(7), 2, (3,))(U[:4]).x
    np.testing.assert_array_equal(x, np.column_stack([one, np.zeros(4)]))


@pytest.mark.parametrize("gradient", ["paired", "plain"])
def test_steps_ask_for_whole_numbers(gradient: str) -> None:
    options: Any = {"target": "population", "gradient": "plain", "baseline": "none"} if gradient == "plain" else {}
    settings = avo.Settings(batch=8, pairs=4, **options)
    trainer = avo.make_trainer(SPACE, np.random.default_rng(0).normal(size=(20, 2)), steps=10, settings=settings)
    theta, state = trainer.ask(jax.random.key(1), trainer.init(jax.random.key(0)))
    t = np.asarray(SPACE.constrain(state.pending.u))
    n = np.asarray(theta)
    assert np.array_equal(n[:, 0], t[:, 0])
    assert np.all((n[:, 1:] == np.floor(t[:, 1:])) | (n[:, 1:] == np.floor(t[:, 1:]) + 1))
    assert np.any(n[:, 1:] > t[:, 1:]) and np.any(n[:, 1:] < t[:, 1:])


def test_a_run_keeps_and_repeats_its_calls_with_whole_numbers(tmp_path: Path) -> None:
    x = np.random.default_rng(0).normal(5.0, 1.0, (40, 2))
    options: Any = dict(settings=TINY, budget=TINY_BUDGET, refine=False, progress=False, seed=3)
    simulate = avo.from_numpy(noisy_row)
    one = avo.fit(simulate, x, SPACE, out=tmp_path / "run", **options)
    assert equal(one, avo.fit(simulate, x, SPACE, executor=2, **options)) and not any(one.failures.values())
    store = Store(tmp_path / "run" / "calls.sqlite", None)
    theta = np.concatenate([kept.chunk.theta for kept in store.between(0, 2**40)])
    store.close()
    assert len(theta) == one.calls and np.array_equal(theta[:, 1:], np.round(theta[:, 1:]))
    call = find(tmp_path / "run", 77)
    np.testing.assert_array_equal(call(simulate), call.x)
    again = avo.load(tmp_path / "run")
    assert again.space == SPACE and np.array_equal(again.theta, one.theta)
    assert np.array_equal(one.theta[1:], np.round(one.theta[1:]))
