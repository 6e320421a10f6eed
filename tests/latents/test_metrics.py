"""Scores of codes against factors: by hand, at their ceiling, at chance, and for factors that are turned."""

import numpy as np
import pytest
from latents.factors import GRID, RNG, turn, uniform
from scipy.stats import entropy

from avo import latents
from avo.latents import metrics, probes

BY_FACTOR = (
    latents.mig,
    latents.sap,
    latents.factor_vae_score,
    latents.beta_vae_score,
    latents.explicitness,
    latents.linear_r2,
    latents.boosted_r2,
)


def test_permuted_and_rescaled_factors_on_a_grid_score_one_exactly():
    """On a grid information has no bias, hence no ceiling below 1; the third code is dead."""
    codes = np.stack([-3 * GRID[:, 1] + 7, 0.01 * GRID[:, 0], np.full(400, 4.2)], axis=1)
    for binning in ("frequency", "width"):
        np.testing.assert_allclose(
            latents.mutual_information(codes, GRID, binning=binning), np.log(20) * np.array([[0, 1], [1, 0], [0, 0]])
        )
        # Exactly: of a code that is dead up to rounding, modularity would be anything
        np.testing.assert_allclose(latents.mig(codes, GRID, binning=binning), 1)
        np.testing.assert_allclose(latents.modularity(codes, GRID, binning=binning), [1, 1, 0])
    np.testing.assert_allclose(latents.sap(codes, GRID), 1)
    # Frequency bins do not mind an increasing function either
    np.testing.assert_allclose(latents.mig(np.exp(codes), GRID), 1)


def test_permuted_and_rescaled_random_factors_reach_the_ceiling():
    y = uniform()
    codes = y[:, [2, 0, 1]] * [0.1, -40.0, 3.0] - 5
    for score in (latents.factor_vae_score, latents.beta_vae_score, latents.linear_r2):
        np.testing.assert_allclose(score(codes, y), 1)
    np.testing.assert_allclose(latents.sap(codes, y), 1, atol=0.01)  # second best: chance r^2, about 1 / n
    assert latents.boosted_r2(codes, y).min() > 0.998
    found = latents.dci(codes, y)
    assert found.disentanglement > 0.99 and found.completeness.min() > 0.99
    np.testing.assert_array_equal(found.importance.argmax(0), [1, 2, 0])
    # Of exact codes MIG lacks the bias of the second best, (bins - 1)^2 / (2 n) = .09, and its maximum's excess
    np.testing.assert_allclose(latents.mig(codes, y), 1 - 361 / 4000 / np.log(20), atol=0.01)


@pytest.mark.parametrize("draw", ["uniform", "normal"])
def test_factors_turned_by_45_degrees_are_in_both_codes_alike(draw):
    n = 4000
    y = RNG(1).uniform(-1, 1, (n, 2)) if draw == "uniform" else RNG(1).normal(size=(n, 2))
    codes = y @ turn(45) * [3.0, 0.2] + 11
    # r^2 = 1/2 of all four pairs, each with standard error 2 r (1 - r^2) / sqrt(n) = .011 at most
    np.testing.assert_allclose(latents.sap(codes, y), 0, atol=0.07)
    np.testing.assert_allclose(latents.mig(codes, y), 0, atol=0.02)
    np.testing.assert_allclose(latents.modularity(codes, y), 0, atol=0.06)
    found = latents.dci(codes, y)
    assert found.disentanglement < 0.02 and found.completeness.max() < 0.02
    assert found.informativeness.min() > 0.98
    # Neighbours in a factor leave both codes half their variance: votes and distances are a coin's
    np.testing.assert_allclose(latents.factor_vae_score(codes, y).mean(), 0.5, atol=0.1)
    np.testing.assert_allclose(latents.beta_vae_score(codes, y).mean(), 0.5, atol=0.1)


def test_noise_is_chance():
    y, d = uniform(4000, 4), 4
    codes = RNG(3).normal(size=(4000, 6)) * 30
    # d * 200 = 800 batches; of the rows 2000 / 64 = 31 windows per factor do not overlap: sqrt(3 / 16 / 124) = .04
    np.testing.assert_allclose(latents.factor_vae_score(codes, y).mean(), 1 / d, atol=0.12)
    np.testing.assert_allclose(latents.beta_vae_score(codes, y).mean(), 1 / d, atol=0.08)
    np.testing.assert_allclose(latents.explicitness(codes, y).mean(), 0.5, atol=0.02)
    assert np.abs(latents.linear_r2(codes, y)).max() < 0.02
    assert latents.mig(codes, y).max() < 0.01 and latents.sap(codes, y).max() < 0.01
    found = latents.dci(codes[:, :4], y[:, :2])
    assert found.disentanglement < 0.05 and found.completeness.max() < 0.05
    assert -0.1 < found.informativeness.min() and found.informativeness.max() < 0.02


def test_sap_is_the_gap_of_squared_correlations():
    y = uniform(300, 2)
    codes = np.stack([y[:, 0] * 5 + RNG(7).normal(size=300) * 0.2, y.sum(1), y[:, 1] ** 2], axis=1)
    square = np.corrcoef(codes.T, y.T)[:3, 3:] ** 2
    np.testing.assert_allclose(latents.sap(codes, y), np.sort(square, axis=0)[-1] - np.sort(square, axis=0)[-2])
    np.testing.assert_allclose(latents.sap(codes[:, :1], y), square[0])  # a single code has no rival


def test_dci_by_hand():
    r = np.array([[0.7, 0.1], [0.2, 0.1], [0.1, 0.8]])
    found = metrics._dci(probes.Trees(r, np.zeros(2), np.zeros(2)))
    d_each = 1 - entropy(r.T, base=2)
    assert found.disentanglement == pytest.approx(d_each @ r.sum(1) / 2)
    np.testing.assert_allclose(found.completeness, 1 - entropy(r, base=3))


def test_ceiling_is_that_of_factors_with_noise():
    y = uniform(3000, 2)
    exact, noisy = latents.ceiling(y), latents.ceiling(y, [0.0, 0.5])
    np.testing.assert_allclose(noisy.per_factor["linear_r2"], [1, 1 / 1.25], atol=0.02)  # 1 / (1 + noise^2)
    np.testing.assert_allclose(noisy.per_factor["sap"], [1, 1 / 1.25], atol=0.02)
    assert exact["mig"] > 0.97 and noisy.per_factor["mig"][1] < 0.3
    assert exact["explicitness"] > 0.95


def test_scores_are_those_of_the_functions():
    y = uniform(500, 3)
    codes = np.concatenate([y @ RNG(8).normal(size=(3, 3)), RNG(9).normal(size=(500, 1))], axis=1)
    found = latents.scores(codes, y, names=("a", "b", "c"), seed=3)
    seeded = {f: {} if f in (latents.mig, latents.sap) else {"seed": 3} for f in BY_FACTOR}
    for function in BY_FACTOR:
        name = function.__name__.removesuffix("_score")
        each = function(codes, y, **seeded[function])
        np.testing.assert_allclose(found.per_factor[name], each)
        assert found[name] == pytest.approx(each.mean())
    parts = latents.dci(codes, y, seed=3)
    assert found["dci_disentanglement"] == parts.disentanglement
    assert found["dci_completeness"] == pytest.approx(parts.completeness.mean())
    np.testing.assert_array_equal(found.importance, parts.importance)
    assert found["modularity"] == latents.modularity(codes, y).mean()
    assert dict(found) == dict(latents.scores(codes, y, seed=3)) and len(found) == 11
    assert found.summary().splitlines()[0].split() == ["score", "value", "a", "b", "c"]
    few = latents.scores(codes, y, rows=200)
    assert few["mig"] != found["mig"]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda y: latents.sap(y, y * [1, 0]), "factors must vary; column 1 is the same in all rows"),
        (lambda y: latents.scores(y, y[:, :1]), "at least 2 columns"),
        (lambda y: latents.scores(y, y, rows=10), "rows must be a whole number of at least 40; got 10"),
        (lambda y: latents.ceiling(y, -1.0), "noise must be one number of at least 0"),
        (lambda y: latents.ceiling(y, [0.1, 0.1, 0.1]), "or one for each of 2 factors"),
    ],
)
def test_what_does_not_fit_is_named(call, message):
    with pytest.raises(ValueError, match=message):
        call(uniform(100, 2))
