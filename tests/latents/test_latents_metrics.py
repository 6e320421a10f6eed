"""avo.latents: scores of codes against factors, by hand, by other implementations, at their ceiling and at chance."""

import numpy as np
import pytest
from scipy.stats import entropy, spearmanr
from sklearn.linear_model import Lasso
from sklearn.metrics import mutual_info_score

from avo import latents
from avo.latents import information, metrics, probes

RNG = np.random.default_rng
GRID = np.stack(np.meshgrid(np.arange(20.0), np.arange(20.0)), axis=-1).reshape(-1, 2)
BY_FACTOR = (
    latents.mig,
    latents.sap,
    latents.factor_vae_score,
    latents.beta_vae_score,
    latents.explicitness,
    latents.linear_r2,
    latents.boosted_r2,
)


def turn(degrees: float) -> np.ndarray:
    a = np.deg2rad(degrees)
    return np.array([[np.cos(a), -np.sin(a)], [np.sin(a), np.cos(a)]])


def uniform(n: int = 2000, d: int = 3, seed: int = 0) -> np.ndarray:
    """Factors at odd places and of unequal scales."""
    return RNG(seed).uniform(-1, 1, (n, d)) * np.geomspace(0.03, 20, d) + 1.3


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


def test_beta_vae_score_does_not_mind_a_smaller_turn():
    y = RNG(2).uniform(-1, 1, (3000, 2))
    assert latents.beta_vae_score(y @ turn(30), y).min() > 0.99
    np.testing.assert_allclose(latents.sap(y @ turn(30), y), 0.5, atol=0.06)  # cos^2 30 - sin^2 30


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


def test_information_agrees_with_sklearn_on_bins_by_rank():
    y = uniform(1000, 2)
    codes = np.stack([y[:, 0] + 0.02 * RNG(4).normal(size=1000), np.exp(RNG(5).normal(size=1000))], axis=1)
    rank = lambda a: (np.argsort(np.argsort(a)) * 8) // len(a)  # noqa: E731
    expected = [[mutual_info_score(rank(z), rank(f)) for f in y.T] for z in codes.T]
    np.testing.assert_allclose(latents.mutual_information(codes, y, bins=8), expected)
    wide = lambda a: np.digitize(a, np.histogram(a, 8)[1][1:-1])  # noqa: E731
    expected = [[mutual_info_score(wide(z), wide(f)) for f in y.T] for z in codes.T]
    np.testing.assert_allclose(latents.mutual_information(codes, y, bins=8, binning="width"), expected)
    by_hand = (np.sort(expected, axis=0)[-1] - np.sort(expected, axis=0)[-2]) / [
        entropy(np.bincount(wide(f))) for f in y.T
    ]
    np.testing.assert_allclose(latents.mig(codes, y, bins=8, binning="width"), by_hand)


def test_information_of_a_normal_pair_is_the_closed_form_in_fine_bins():
    rho, n, bins = 0.8, 200_000, 60
    a, b = RNG(6).normal(size=(2, n))
    found = latents.mutual_information(a[:, None], (rho * a + np.sqrt(1 - rho**2) * b)[:, None], bins=bins)[0, 0]
    # Bins lose information, .006 at 60; the bias is less than (bins - 1)^2 / (2 n) = .009, since some stay empty
    assert abs(found + 0.5 * np.log(1 - rho**2)) < 0.012


def test_sap_is_the_gap_of_squared_correlations():
    y = uniform(300, 2)
    codes = np.stack([y[:, 0] * 5 + RNG(7).normal(size=300) * 0.2, y.sum(1), y[:, 1] ** 2], axis=1)
    square = np.corrcoef(codes.T, y.T)[:3, 3:] ** 2
    np.testing.assert_allclose(latents.sap(codes, y), np.sort(square, axis=0)[-1] - np.sort(square, axis=0)[-2])
    np.testing.assert_allclose(latents.sap(codes[:, :1], y), square[0])  # a single code has no rival


def test_modularity_and_dci_by_hand():
    np.testing.assert_allclose(information.modularity_of(np.array([[2.0, 1.0], [0.0, 0.0], [0.0, 3.0]])), [0.75, 0, 1])
    r = np.array([[0.7, 0.1], [0.2, 0.1], [0.1, 0.8]])
    found = metrics._dci(probes.Trees(r, np.zeros(2), np.zeros(2)))
    d_each = 1 - entropy(r.T, base=2)
    assert found.disentanglement == pytest.approx(d_each @ r.sum(1) / 2)
    np.testing.assert_allclose(found.completeness, 1 - entropy(r, base=3))


def test_probes_learn_from_the_labels_and_are_judged_on_the_rest():
    y = uniform(400, 2)
    codes = y @ np.array([[1.0, 2.0, 0.0], [0.5, -1.0, 3.0]]) + 4
    np.testing.assert_allclose(latents.linear_r2(codes, y, labels=3), 1)
    assert latents.boosted_r2(y, y, labels=300).min() > 0.99 > latents.boosted_r2(y, y, labels=20).max()
    split = probes.halves(100, 30, seed=5)
    assert len(split.learn) == 30
    np.testing.assert_array_equal(np.sort(np.concatenate(split)), np.arange(100))


def test_errors_of_guessing_and_of_stated_noise():
    y = uniform(20_000, 2)
    guess = np.broadcast_to(y.mean(0), y.shape)
    np.testing.assert_allclose(latents.nrmse(guess, y), 1 / np.sqrt(12), rtol=0.02)
    np.testing.assert_allclose(latents.r2(guess, y), 0, atol=1e-12)
    np.testing.assert_allclose(latents.nrmse(y + 0.1 * np.ptp(y, axis=0), y), 0.1)


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


def test_draw_fixes_one_factor_and_leaves_the_others():
    y = uniform(300, 3)
    seen = []

    def draw(rng, theta):
        seen.append(theta.reshape(3, metrics.BATCHES, -1, 3))
        return theta[:, [1, 2, 0]] + 1e-3 * rng.normal(size=theta.shape)

    np.testing.assert_array_equal(latents.factor_vae_score(y[:, [1, 2, 0]], y, draw=draw), 1)
    spread = np.ptp(seen[0], axis=2).mean(1)
    np.testing.assert_array_equal(np.diag(spread), 0)
    assert (spread / np.ptp(y, axis=0) + np.eye(3)).min() > 0.9
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


def udr_by_loops(models, relation):
    def pair(a, b):
        r = np.array([[relation(a, b, i, j) for j in range(b.shape[1])] for i in range(a.shape[1])])
        lines = [line for matrix in (r, r.T) for line in matrix if line.sum() > 0]
        return sum(line.max() ** 2 / line.sum() for line in lines) / (a.shape[1] + b.shape[1])

    return [np.median([pair(a, b) for j, b in enumerate(models) if j != i]) for i, a in enumerate(models)]


def test_udr_agrees_with_loops():
    base = RNG(11).normal(size=(200, 3))
    models = [np.exp(base @ RNG(s).normal(size=(3, k))) for s, k in ((1, 3), (2, 2), (3, 4), (4, 3))]
    rank = lambda a, b, i, j: abs(spearmanr(a[:, i], b[:, j])[0])  # noqa: E731
    np.testing.assert_allclose(latents.udr(models), udr_by_loops(models, rank))
    unit = [(m - m.mean(0)) / m.std(0) for m in models]
    lasso = lambda a, b, i, j: abs(Lasso(alpha=0.1).fit(a, b[:, j]).coef_[i])  # noqa: E731
    np.testing.assert_allclose(latents.udr(models, relation="lasso"), udr_by_loops(unit, lasso), rtol=1e-4)


def test_udr_is_one_for_copies_and_the_closed_form_for_a_turn():
    copies = [GRID * [2.0, -1.0], GRID[:, ::-1] + 3, np.exp(GRID)]
    np.testing.assert_allclose(latents.udr(copies), 1)
    y = RNG(12).normal(size=(20_000, 2))
    # All |r| = sqrt(1/2), in ranks (6 / pi) arcsin(r / 2); r^2 / 2 r; standard error of a rank correlation .007 at most
    expected = 3 / np.pi * np.arcsin(np.sqrt(0.5) / 2)
    np.testing.assert_allclose(latents.udr([y, y @ turn(45)]), expected, atol=0.02)
    np.testing.assert_allclose(latents.udr([y, y[:, ::-1]], relation="lasso"), 0.9, atol=0.01)


def test_udr_prefers_the_models_that_agree_and_leaves_out_dead_codes():
    base = RNG(13).normal(size=(2000, 4))
    turns = [np.linalg.qr(RNG(s).normal(size=(4, 4)))[0] for s in range(4)]
    alike = latents.udr([base[:, RNG(s).permutation(4)] * [1, -2, 3, 1] for s in range(4)])
    mixed = latents.udr([base @ turn for turn in turns])
    assert alike.min() > 0.9 > 0.6 > mixed.max()
    dead = [np.concatenate([base, RNG(s).normal(size=(2000, 3))], axis=1) for s in range(3)]
    active = [[True] * 4 + [False] * 3] * 3
    np.testing.assert_allclose(latents.udr(dead, active=active), latents.udr([base] * 3))
    assert latents.udr(dead).max() < 0.75


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda y: latents.mig(y[:50], y), "must be of the same observations, at least 40; got 50 and 100"),
        (lambda y: latents.mig(y[:, 0], y), r"codes must have one observation per row and one column each; got shape"),
        (lambda y: latents.sap(y, y * [1, 0]), "factors must vary; column 1 is the same in all rows"),
        (lambda y: latents.scores(y, y[:, :1]), "at least 2 columns"),
        (lambda y: latents.linear_r2(y, y, labels=90), "labels must leave at least 20 of 100 rows"),
        (lambda y: latents.mig(y, y, binning="equal"), "binning must be one of frequency, width"),
        (lambda y: latents.mig(y, y, bins=1), "bins must be a whole number of at least 2"),
        (lambda y: latents.mig(y, y > np.sort(y, axis=0)[-2]), "at least 2 bins; column 0 falls into one"),
        (lambda y: latents.mig(y * np.nan, y), "codes must hold finite numbers"),
        (lambda y: latents.scores(y, y, rows=10), "rows must be a whole number of at least 40; got 10"),
        (lambda y: latents.ceiling(y, -1.0), "noise must be one number of at least 0"),
        (lambda y: latents.ceiling(y, [0.1, 0.1, 0.1]), "or one for each of 2 factors"),
        (lambda y: latents.udr([y]), "codes must be of at least 2 models"),
        (lambda y: latents.udr([y, y[:9]]), "same observations; got 100, 9 rows"),
        (lambda y: latents.udr([y, y * 0]), r"codes\[1\] must have at least one informative code"),
        (lambda y: latents.udr([y, y], relation="mi"), "relation must be one of spearman, lasso"),
    ],
)
def test_what_does_not_fit_is_named(call, message):
    with pytest.raises(ValueError, match=message):
        call(uniform(100, 2))


def test_shapes_that_do_not_match_are_named():
    y = np.random.default_rng(0).normal(size=(30, 3))
    for measure in (latents.r2, latents.nrmse):
        with pytest.raises(ValueError, match=r"must have one shape \(n, d\); got \(30, 1\) and \(30, 3\)"):
            measure(y[:, :1], y)
    with pytest.raises(ValueError, match=r"codes must be a list of arrays \(n, k\).*got one array \(30, 3\)"):
        latents.udr(y)
