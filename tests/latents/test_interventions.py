"""Metrics by intervention: what is fixed, what varies, and which codes may vote."""

from types import SimpleNamespace

import numpy as np
import pytest
from latents.factors import RNG, turn, uniform

from avo import latents
from avo.latents import interventions


def test_beta_vae_score_does_not_mind_a_smaller_turn():
    y = RNG(2).uniform(-1, 1, (3000, 2))
    assert latents.beta_vae_score(y @ turn(30), y).min() > 0.99
    np.testing.assert_allclose(latents.sap(y @ turn(30), y), 0.5, atol=0.06)  # cos^2 30 - sin^2 30


def test_scores_of_votes_and_pairs_are_judged_on_rows_that_they_were_not_learned_from():
    """A thousand codes of noise on 40 rows: some of them tell the batches of one half apart, and none those of another.

    The codes that win the votes on 20 rows, or separate their pairs, are right about nearly all of these (to .9 and 1,
    were the scores judged there). About the other 20 they know nothing: chance is 1/4, with a standard deviation of
    less than sqrt(1/4 3/4 / 4) for each seed, since the codes' answers to a factor's batches may all be one.
    """
    votes, pairs = [], []
    for seed in range(4):
        rng = RNG([12, seed])
        factors, codes = rng.uniform(size=(40, 4)), rng.normal(size=(40, 1000))
        votes.append(latents.factor_vae_score(codes, factors, seed=seed).mean())
        pairs.append(latents.beta_vae_score(codes[:, :30], factors, seed=seed).mean())
    assert abs(np.mean(votes) - 0.25) < 4 * np.sqrt(0.25 * 0.75 / 4 / 4)
    assert abs(np.mean(pairs) - 0.25) < 4 * np.sqrt(0.25 * 0.75 / 4 / 4)


def test_both_halves_of_pairs_are_in_units_of_the_half_that_is_learned_from(monkeypatch: pytest.MonkeyPatch):
    rng, seen = RNG(13), []
    sets = [offset + rng.uniform(size=(2, interventions.BATCHES, 5, 3)) * [1.0, 20.0, 0.3] for offset in (2.0, 7.0)]
    drawn = iter([(a, np.zeros_like(a)) for a in sets])

    class Fake:
        def __init__(self, **_):
            pass

        def fit(self, f, label):
            seen.append(f)
            return self

        def predict(self, f):
            seen.append(f)
            return np.zeros(len(f))

    monkeypatch.setattr(interventions, "_pairs", lambda *_: next(drawn))
    monkeypatch.setattr(interventions, "sklearn_module", lambda _: SimpleNamespace(LogisticRegression=Fake))
    np.testing.assert_array_equal(latents.beta_vae_score(uniform(40, 3), uniform(40, 2)), [1.0, 0.0])
    train, test = (a.mean(2).reshape(-1, 3) for a in sets)
    np.testing.assert_allclose(seen[0], (train - train.mean(0)) / train.std(0), atol=1e-9)
    np.testing.assert_allclose(seen[1], (test - train.mean(0)) / train.std(0), atol=1e-9)


def test_draw_fixes_one_factor_and_leaves_the_others():
    y = uniform(300, 3)
    seen = []

    def draw(rng, theta):
        seen.append(theta.reshape(3, interventions.BATCHES, -1, 3))
        return theta[:, [1, 2, 0]] + 1e-3 * rng.normal(size=theta.shape)

    np.testing.assert_array_equal(latents.factor_vae_score(y[:, [1, 2, 0]], y, draw=draw), 1)
    width = np.ptp(seen[0], axis=2).mean(1)
    np.testing.assert_array_equal(np.diag(width), 0)
    assert (width / np.ptp(y, axis=0) + np.eye(3)).min() > 0.9
    seen.clear()
    np.testing.assert_array_equal(latents.beta_vae_score(y[:, [1, 2, 0]], y, draw=draw), 1)
    first, second = seen[:2]
    for j in range(3):
        np.testing.assert_array_equal(first[j, ..., j], second[j, ..., j])
        assert np.ptp(first[j, 0, :, j]) > 0  # pairs differ among themselves
        assert np.mean(first[j, ..., j - 1] == second[j, ..., j - 1]) < 0.02
    with pytest.raises(ValueError, match="draw must return finite codes, one row for each"):
        latents.factor_vae_score(y, y, draw=lambda rng, theta: theta[:5])


def test_codes_that_are_not_active_get_no_votes():
    y = uniform(1000, 2)
    codes = np.concatenate([RNG(10).normal(size=(1000, 1)), y], axis=1)
    copy = np.concatenate([codes, y[:, :1] + 1e-9], axis=1)
    np.testing.assert_array_equal(latents.factor_vae_score(copy, y, active=[True, False, False, False]).mean(), 0.5)
    np.testing.assert_array_equal(latents.factor_vae_score(codes, y, active=[True, True, True]), 1)
    np.testing.assert_array_equal(latents.factor_vae_score(np.ones((1000, 2)), y), 0)
