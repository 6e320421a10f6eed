"""avo.budget: the calls of a fit are divided as the table says, and none is lost."""

import pytest
from fits import TINY

import avo
from avo.budget import CHUNK, LEAST_STEPS, REUSE, plan, step_numbers
from avo.run import planned

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
    assert refining(1_300_000, m=10_000) == 200_000
    assert refining(1_300_000, target="population") == 300_000
    assert refining(1_300_000, target="population", d=3) == 540_000
    assert refining(1_300_000, target="population", d=7) == 975_000


def test_a_fit_without_budget_has_one() -> None:
    for host, calls in ((False, 1_300_000), (True, 100_000)):
        settings, found = planned(None, None, None, host=host, m=300, d=2, refine=True)
        assert calls - found.chunk * settings.calls < found.steps * settings.calls + found.refine <= calls


def test_target_alone_decides_the_default_rate() -> None:
    for settings, target in ((avo.Settings(), "population"), (avo.Settings(target="population"), "point")):
        found = planned(10**6, settings, target, host=False, m=500, d=2, refine=False)[0]
        assert found.proposal_rate == ((0.05, 0.002) if target == "population" else (0.1, 0.1))


@pytest.mark.parametrize(
    ("calls", "steps", "chunk"), [(320, 20, 1), (340, 21, 1), (16 * 61, 60, 3), (16 * 3777, 3750, 50)]
)
def test_steps_come_in_whole_chunks(calls: int, steps: int, chunk: int) -> None:
    assert plan(calls, refine=0, step=16, host=False) == (steps, chunk, 0, 0)
    assert plan(calls, refine=0, step=16, host=True) == (calls // 16, 1, 0, 0)
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
