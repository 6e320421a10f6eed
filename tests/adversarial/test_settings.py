"""avo.adversarial.settings: what is refused, and which numbers suit a budget."""

import dataclasses
import json
import math
from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest

import avo
from avo.adversarial.critic import optimiser


@pytest.mark.parametrize(
    ("budget", "pairs", "batch", "passes", "rate"),
    [
        (1_152_000, 32, 64, 1, 0.1),
        (1_151_999, 16, 64, 1, 0.1),
        (288_000, 16, 64, 1, 0.1),
        (287_999, 8, 16, 8, 0.1),
        (144_000, 8, 16, 8, 0.1 * math.sqrt(2)),
        (1000, 8, 16, 8, 0.2),
        (999, 4, 8, 16, 0.2),
    ],
)
def test_sizes_for_a_budget(budget: int, pairs: int, batch: int, passes: int, rate: float) -> None:
    settings = avo.Settings.for_budget(budget)
    assert (settings.pairs, settings.batch, settings.passes) == (pairs, batch, passes)
    assert avo.Settings.for_budget(budget, target="population").passes == 1
    np.testing.assert_allclose(settings.proposal_rate, (rate, rate), rtol=1e-5)
    assert avo.Settings.for_budget(budget, target="population").proposal_rate == (0.05, 0.002)


def test_a_points_step_size_does_not_change() -> None:
    assert avo.Settings(rate=(0.2, 0.003)).proposal_rate == (0.2, 0.2)
    assert avo.Settings(rate=(0.2, 0.003), target="population").proposal_rate == (0.2, 0.003)


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"batch": 0}, r"batch must be a whole number of at least 1; got 0"),
        ({"batch": 2.5}, r"batch must be a whole number of at least 1; got 2.5"),
        ({"critic_steps": -1}, r"critic_steps must be a whole number"),
        ({"pairs": 1}, r"pairs must be a whole number of at least 2; got 1"),
        ({"rate": (0.1,)}, r"rate must be two finite numbers above 0 \(first, last\); got \(0.1,\)"),
        ({"spread": (1.0, 0.0)}, r"spread must be two finite numbers above 0"),
        ({"ceiling": (-1.0, 0.5)}, r"ceiling must be two finite numbers above 0"),
        ({"reach": (3.0, math.inf)}, r"reach must be two finite numbers above 0"),
        ({"critic_rate": (math.nan, 1e-3)}, r"critic_rate must be two finite numbers above 0"),
        ({"watch": 0.0}, r"watch must be a finite number above zero; got 0.0"),
        ({"anneal": 0.0}, r"anneal must be a number in \(0, 1\]; got 0.0"),
        ({"average": 1.5}, r"average must be a number in \(0, 1\]; got 1.5"),
        ({"baseline": "median"}, r"baseline must be one of none, mean, leave-one-out, optimal; got 'median'"),
        ({"target": "cloud"}, r"target must be one of point, population; got 'cloud'"),
        ({"entropy": 0.1}, r"use target='population' with it, or entropy=0"),
    ],
)
def test_settings_errors(values: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        avo.Settings(**values)


def test_settings_from_json_are_those_that_were_written() -> None:
    settings = avo.Settings(rate=(0.2, 0.3))
    assert avo.Settings(**json.loads(json.dumps(dataclasses.asdict(settings)))) == settings
    assert len({settings, avo.Settings(rate=[0.2, 0.3])}) == 1


def test_calls_of_a_step() -> None:
    assert avo.Settings(critic_steps=3, batch=11, pairs=7).calls == 3 * 11 + 2 * 7


def test_plain_is_for_a_population() -> None:
    with pytest.raises(ValueError, match=r"gradient='plain' learns a proposal's spread too; use target='population'"):
        avo.Settings(gradient="plain")


def test_optimisers_by_name() -> None:
    g = np.array([3.0, -0.2, 0.7])
    adam, rms = optimiser(("adam", 0.6, 0.8)), optimiser(("rms", 0.9, 2.5))
    m = v = np.zeros(3)
    square = np.full(3, 2.5)
    adam_state, rms_state = adam.init(jnp.zeros(3)), rms.init(jnp.zeros(3))
    for t in (1, 2, 3):
        m, v, square = 0.6 * m + 0.4 * t * g, 0.8 * v + 0.2 * (t * g) ** 2, 0.9 * square + 0.1 * (t * g) ** 2
        move, adam_state = adam.update(jnp.asarray(t * g), adam_state)
        np.testing.assert_allclose(move, m / (1 - 0.6**t) / np.sqrt(v / (1 - 0.8**t)), rtol=1e-6)
        move, rms_state = rms.update(jnp.asarray(t * g), rms_state)
        np.testing.assert_allclose(move, t * g / np.sqrt(square), rtol=1e-6)
    for words in (("sgd", 0.1), ("adam", 0.5), ("adam", 1.0, 0.9), ("rms", 0.9), ("rms", -0.1, 1.0)):
        with pytest.raises(ValueError, match=r"an optimiser is \('adam', b1, b2\) or \('rms', decay, start\)"):
            avo.Settings(critic_optimiser=words)
    assert avo.Settings(critic_optimiser=["rms", 0.9, 1]) == avo.Settings(critic_optimiser=("rms", 0.9, 1))
