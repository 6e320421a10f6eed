"""How `compare` trains a member of its family: on which signals, how many of them, and at which noise."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from avo.latents import Trained, family
from avo.latents.family import DEFAULT, FAMILY, MEMBERS, QUICK, RIVALS, rank_members, train_member


@pytest.mark.parametrize(("name", "draws"), [("AE", 0), ("VAE", 16)])
def test_the_first_tenth_chooses_the_epoch_and_few_signals_are_repeated(
    monkeypatch: pytest.MonkeyPatch, name: str, draws: int
) -> None:
    """Of 20 signals, 2 for validation and 18 to learn from, in place of 100: each comes five times."""
    x, seen = 1.3 + np.arange(20.0)[:, None] * np.ones(16), {}
    model: Any = SimpleNamespace(calibrated=lambda x, draws: (x, draws))

    def noted(make: Any, x: np.ndarray, **options: Any) -> Trained:
        seen.update(options, x=x, make=make)
        return Trained(model, options["objective"], {}, 1, {})

    monkeypatch.setattr(family, "train", noted)
    found: Any = train_member(FAMILY[name], x, DEFAULT._replace(signals=100), 7, epochs=3)
    np.testing.assert_array_equal(seen["validation"], np.tile(x[:2], (5, 1)))
    np.testing.assert_array_equal(seen["x"], np.tile(x[2:], (5, 1)))
    np.testing.assert_array_equal(found.model[0], x[:2])
    assert found.model[1] == draws and seen["make"].keywords == {"latents": 10, "width": 128}
    assert (seen["seed"], seen["epochs"], seen["objective"]) == (7, 3, FAMILY[name].objective)


def test_sizes_name_members_and_measure_no_rung_twice() -> None:
    assert set(DEFAULT.family) == set(FAMILY) > set(QUICK.family)
    assert set(MEMBERS) - set(DEFAULT.family) == set(RIVALS) and len(MEMBERS) == len(FAMILY) + len(RIVALS)
    assert DEFAULT.small == [100, 1000, 10_000]  # of 5000 signals 1000 are labelled: no rung is the comparison itself
    assert QUICK.small == [100] and QUICK.ladder == (100, 1000)


def test_members_are_ranked_by_the_median_over_their_seeds() -> None:
    """Codes that are alike in all seeds score 1 / (1 + |r|), r of their columns within 3 / sqrt(500); others little."""
    rng = np.random.default_rng(0)
    z = rng.normal(size=(500, 2))
    codes = [{"alike": z[:, ::-1] * (1 + seed), "not": rng.normal(size=(500, 2))} for seed in range(3)]
    rank = rank_members(codes, ("alike", "not"))
    assert rank["alike"] == pytest.approx(1, abs=0.13) and rank["not"] < 0.2 < rank["alike"]
