"""avo.execution.failures: where calls fail is found, and where they fail by chance nothing is."""

import copy

import numpy as np
import pytest

from avo.execution.failures import CallFailed, Failures, Where, where

NAMES = ("mu", "sigma", "rate")
RNG = np.random.default_rng


def box(n: int, seed: int = 0) -> np.ndarray:
    return RNG(seed).uniform([-3, 0.5, 10], [5, 2.5, 90], size=(n, 3))


def test_one_bound_is_found_with_its_shares() -> None:
    theta = box(6000)
    inside = theta[:, 1] > 2.1
    failed = inside & (RNG(1).random(6000) < 0.83)
    found = where(NAMES, theta, failed)
    assert found is not None
    ((name, sign, value),) = found.bounds
    assert (name, sign) == ("sigma", ">") and abs(value - 2.1) < 0.02
    assert found.share > 0.99 and found.elsewhere < 0.002
    assert abs(found.there - failed.sum() / inside.sum()) < 0.02
    assert str(
        found
    ) == f"100 % where sigma > {value:.3g}; {found.there:.0%} of the calls there fail, 0 % elsewhere".replace(
        "83%", "83 %"
    ).replace("82%", "82 %").replace("84%", "84 %")


def test_a_corner_takes_two_bounds() -> None:
    theta = box(6000, seed=2)
    found = where(NAMES, theta, (theta[:, 0] < 1.0) & (theta[:, 2] > 50.0))
    assert found is not None and found.share == pytest.approx(1.0, abs=0.02) and found.there > 0.97
    bounds = {name: (sign, value) for name, sign, value in found.bounds}
    assert bounds["mu"][0] == "<" and abs(bounds["mu"][1] - 1.0) < 0.05
    assert bounds["rate"][0] == ">" and abs(bounds["rate"][1] - 50.0) < 0.5


def test_failures_by_chance_lie_nowhere() -> None:
    """Of 40 sets of failures that do not depend on theta, none is given a place."""
    for seed in range(40):
        assert where(NAMES, box(3000, seed), RNG(100 + seed).random(3000) < 0.3) is None


def test_few_failures_none_and_all_lie_nowhere() -> None:
    theta = box(500)
    for failed in (np.zeros(500, bool), np.ones(500, bool), theta[:, 0] > np.sort(theta[:, 0])[-5]):
        assert where(NAMES, theta, failed) is None


def test_summary_names_kinds_examples_and_the_place() -> None:
    place = Where((("sigma", ">", 2.1),), 0.83, 0.61, 0.01)
    failures = Failures({"non-finite": 3, "timeout": 40, "exception": 0}, place, {"timeout": (17, "it hung")})
    assert str(failures) == failures.summary()
    assert failures.summary().splitlines() == [
        "40 timeout, first call 17: it hung",
        "3 non-finite",
        "83 % where sigma > 2.1; 61 % of the calls there fail, 1 % elsewhere",
    ]
    assert Failures().summary() == "no call failed"
    for again in (Failures.from_json(failures.to_json()), copy.copy(failures)):
        assert again == failures == {"non-finite": 3, "timeout": 40, "exception": 0}
        assert (again.place, again.examples) == (place, failures.examples)


def test_an_error_travels_between_processes() -> None:
    """A copy is made of what a pickle holds."""
    again = copy.copy(CallFailed("it hung", "timeout"))
    assert (str(again), again.kind) == ("it hung", "timeout")


def test_the_tighter_of_two_bounds_on_one_parameter_stands() -> None:
    theta = box(6000, seed=4)
    share = np.where(theta[:, 0] > 3.0, 0.9, np.where(theta[:, 0] > 1.0, 0.3, 0.0))
    found = where(NAMES, theta, RNG(5).random(6000) < share)
    assert found is not None and len({bound[:2] for bound in found.bounds}) == len(found.bounds)
