"""avo.budget: the calls of a fit are divided as the table says, and none is lost."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from fits import TINY

import avo
from avo.budget import CHUNK, LEAST_STEPS, REUSE, least_refining, plan, step_numbers
from avo.execution.blocks import Draws
from avo.observations import Observed
from avo.refine import statistic
from avo.refine.point import solve_point
from avo.refine.population import solve_population
from avo.refine.scores import Normal
from avo.task import planned

BUDGET = 16_000


def refining(budget: int, settings: avo.Settings | None = TINY, target: str | None = None, **options: int) -> int:
    """Calls left to refining of a fit of 300 observations by two parameters."""
    return planned(budget, settings, target, host=True, refine=True, **({"m": 300, "d": 2} | options))[1].refine  # pyright: ignore[reportArgumentType]


def test_all_of_a_budget_is_steps_without_refining() -> None:
    settings, found = planned(BUDGET, TINY, None, host=True, m=300, d=2, refine=False)
    assert (settings, found.refine, found.steps, found.reuse) == (TINY, 0, BUDGET // TINY.calls, 0)


def test_three_quarters_refine_unless_a_part_has_enough() -> None:
    assert refining(BUDGET) == 12_000
    # Few calls: twenty steps first, and no refining where fewer than 500 calls would be left to it
    assert refining(1000) == 1000 - 20 * TINY.calls
    assert refining(20 * TINY.calls + 500) == 500 and refining(20 * TINY.calls + 499) == 0
    assert refining(20 * TINY.calls + 799, d=20) == 0 and refining(20 * TINY.calls + 800, d=20) == 800
    assert refining(5000, target="population") == 0
    assert refining(1_300_000) == 70_000
    assert refining(1_300_000, m=10_000) == 400_000
    assert refining(1_300_000, target="population") == 300_000
    assert refining(1_300_000, target="population", d=3) == 540_000
    assert refining(1_300_000, target="population", d=7) == 975_000


def test_a_fit_without_budget_has_one() -> None:
    for host, calls in ((False, 1_300_000), (True, 100_000)):
        settings, found = planned(None, None, None, host=host, m=300, d=2, refine=True)
        assert calls - found.chunk * settings.calls < found.steps * settings.calls + found.refine <= calls


def test_a_searched_point_without_budget_has_what_its_parts_use() -> None:
    known: dict[str, Any] = {"host": False, "d": 2, "refine": True, "searched": True}
    for m, search, refine, steps in ((300, 40_000, 45_000, 15_000), (1000, 40_000, 45_000, 15_000),
                                     (5000, 60_000, 200_000, 200_000 / 3)):  # fmt: skip
        settings, found = planned(None, None, None, m=m, **known)
        assert (found.search, found.refine) == (search, refine)
        assert steps - found.chunk * settings.calls < found.steps * settings.calls <= steps
    # As much as ever of more observations, of a population, and outside JAX
    for changed, calls in (({"m": 10**5}, 1_300_000), ({"m": 300, "target": "population"}, 1_300_000),
                           ({"m": 300, "host": True}, 100_000)):  # fmt: skip
        target, options = changed.get("target"), known | {k: v for k, v in changed.items() if k != "target"}
        settings, found = planned(None, None, target, **options)
        used = found.search + found.refine + found.steps * settings.calls
        assert calls - found.chunk * settings.calls < used <= calls


def test_target_alone_decides_the_default_rate() -> None:
    for settings, target in ((avo.Settings(), "population"), (avo.Settings(target="population"), "point")):
        found = planned(10**6, settings, target, host=False, m=500, d=2, refine=False)[0]
        assert found.proposal_rate == ((0.05, 0.002) if target == "population" else (0.1, 0.1))


@pytest.mark.parametrize(
    ("calls", "steps", "chunk"), [(320, 20, 1), (340, 21, 1), (16 * 61, 60, 3), (16 * 3777, 3750, 50)]
)
def test_steps_come_in_whole_chunks(calls: int, steps: int, chunk: int) -> None:
    assert plan(calls, refine=0, step=16, host=False) == (steps, chunk, 0, 0, 0)
    assert plan(calls, refine=0, step=16, host=True) == (calls // 16, 1, 0, 0, 0)
    assert chunk <= CHUNK and steps // chunk >= LEAST_STEPS


def test_no_more_is_kept_for_refining_than_it_can_use() -> None:
    assert plan(100_000, refine=60_000, step=16, host=False).reuse == REUSE // 16
    assert plan(10_000, refine=5000, step=16, host=False).reuse == 5000 // 16


def test_a_budget_of_fewer_steps_than_twenty_is_refused() -> None:
    plan(320, refine=0, step=16, host=False)
    with pytest.raises(ValueError, match=r"budget=1319 is too small: a step takes 16 .* at least 20 steps, 320 calls"):
        plan(1319, refine=1000, step=16, host=False)


def test_steps_shrink_with_the_budget() -> None:
    calls = [avo.Settings(**step_numbers(budget, "point")).calls for budget in (1_152_000, 1_151_999, 287_999, 999)]
    assert calls == [128, 96, 32, 16]
    calls = [avo.Settings(**step_numbers(budget, "population")).calls for budget in (1_152_000, 288_000, 287_999, 1)]
    assert calls == [128, 96, 32, 32]
    # sqrt(9000 / steps), up to twice
    for budget, longer in ((287_999, 1.0001), (144_000, 2**0.5), (72_000, 2.0), (1000, 2.0), (1, 2.0)):
        assert step_numbers(budget, "point")["rate"] == pytest.approx((0.1 * longer,) * 2, rel=1e-4)


# --- the hard limit --------------------------------------------------------------------------------------------------


class Counting:
    """Three values of two parameters by NumPy; counts its rows."""

    def __init__(self) -> None:
        self.rows = 0

    def __call__(self, rng: np.random.Generator, theta: np.ndarray) -> np.ndarray:
        self.rows += len(theta)
        return theta[:, [0, 1, 1]] + rng.normal(size=(len(theta), 3)) * [1.0, 1.0, 2.0]


PAIR = avo.Space(a=avo.Real(1.0, 2.0), b=avo.Real(0.0, 3.0))
X3 = np.random.default_rng(1).normal([2.0, 0.5, 0.5], [1.0, 1.0, 2.0], (300, 3))


def untrained(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave the networks zero: the calls are counted all the same."""
    make = lambda key, net, rows, looks: net  # noqa: E731
    monkeypatch.setattr(statistic, "_train", make)


@pytest.mark.parametrize("host", [True, False])
@pytest.mark.parametrize(("target", "size"), [("point", 4), ("point", 64), ("population", 16), ("population", 256)])
def test_refining_never_exceeds_its_calls(monkeypatch: pytest.MonkeyPatch, target: str, size: int, host: bool) -> None:
    untrained(monkeypatch)
    first = next(n for n in range(size, 10**6) if n >= least_refining(n, target, size, 2))
    for budget in sorted({max(first, 150) + more for more in (0, 4 * size - 1, 17 * size)}):
        count = Counting()
        jax_rows = lambda key, theta: theta[:, jnp.array([0, 1, 1])] + jax.random.normal(key, (len(theta), 3))  # noqa: E731
        simulate = avo.from_numpy(count, batched=True) if host else jax.jit(jax_rows)
        draws = Draws(simulate, PAIR, jax.random.key(7), size, (3,))
        # From afar, so that as many rounds are taken as there may be
        q = Normal(np.array([1.5, -1.0]), 0.3 * np.eye(2))
        solve = solve_point if target == "point" else solve_population
        solve(draws, Observed(X3), q, budget=budget, seed=3)
        assert budget - 2 * size < draws.calls <= budget
        assert count.rows == (draws.calls if host else 0)


@pytest.mark.parametrize(
    ("settings", "target", "budget", "refine"),
    [
        (avo.Settings(), "point", 20 * 128 + 540, 540),  # in blocks of 32: 416 at least
        (avo.Settings(batch=64, pairs=64), "point", 20 * 192 + 831, 0),  # in blocks of 64: 832
        (avo.Settings(batch=64, pairs=64), "point", 20 * 192 + 832, 832),
        (avo.Settings(batch=256, pairs=256), "point", 15_860, 0),
        (avo.Settings(batch=1024, pairs=1024), "population", 61_440 + 6143, 0),  # in blocks of 1024: 6144 at least
        (avo.Settings(batch=1024, pairs=1024), "population", 61_440 + 6144, 6144),
    ],
)
def test_what_blocks_are_too_large_to_refine_is_left_to_the_steps(
    settings: avo.Settings, target: str, budget: int, refine: int
) -> None:
    assert refining(budget, settings, target) == refine


def test_a_fit_of_large_blocks_keeps_within_its_budget(monkeypatch: pytest.MonkeyPatch) -> None:
    untrained(monkeypatch)
    count = Counting()
    result = avo.fit(
        avo.from_numpy(count, batched=True), X3, PAIR, settings=avo.Settings(), budget=3100, progress=False
    )  # fmt: skip
    assert 3100 - 32 < count.rows == result.calls <= 3100
