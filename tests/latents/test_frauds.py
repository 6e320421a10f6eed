"""The table of rare frauds follows its law; the talk's autoencoder is what it says; confusion matrices by hand."""

from typing import Any

import jax
import numpy as np
import pytest
from scipy import stats
from sklearn.metrics import confusion_matrix

from avo import latents
from avo.latents import frauds
from avo.latents.models import BetaVAE

TABLE = latents.payments(30_000, 3000, seed=4)


def test_columns_have_the_stated_moments() -> None:
    usual = TABLE.x[~TABLE.fraud]
    sd = frauds._scales() * np.sqrt(frauds._variance())
    # Kurtosis of squares of normals and of t_5 is up to 15: the error of a variance is sqrt(14 / n), 2 %, of sd 1 %
    np.testing.assert_allclose(usual[:, :28].std(0), sd, rtol=0.05)
    assert np.all(np.abs(usual[:, :28].mean(0)) < 4.5 * sd / np.sqrt(30_000))
    assert stats.kstest(usual[:, 28] / 48, "uniform").pvalue > 0.01
    log = np.log(usual[:, 29])
    np.testing.assert_allclose([log.mean(), log.std()], [3.3, np.sqrt(0.25 + 0.64)], atol=0.03)
    b, _ = frauds._law()
    expected = 0.5 * b[:, 0] * frauds._scales()  # of a column with log amount, by z_1 alone
    found = np.mean((log - log.mean())[:, None] * usual[:, :28], axis=0)
    np.testing.assert_allclose(found, expected, atol=4 * 0.94 * sd.max() / np.sqrt(30_000))


def test_frauds_are_of_three_kinds() -> None:
    assert (len(TABLE.x), TABLE.fraud.sum()) == (33_000, 3000)
    for kind, share in frauds.KINDS.items():
        count = np.sum(TABLE.kind == kind)
        assert abs(count - 3000 * share) < 4 * np.sqrt(3000 * share * (1 - share))
    broken, shifted, usual = (TABLE.x[TABLE.kind == kind] for kind in ("broken", "shifted", ""))
    # Each column of broken rows by itself is as usual; 28 tests
    tests: Any = [stats.ks_2samp(broken[:, j], usual[:, j]) for j in range(28)]
    assert min(test.pvalue for test in tests) > 0.01 / 28
    # Eight of 28 columns come from elsewhere: a correlation keeps the share with neither or, by chance, none of them
    kept = 20 * 19 / (28 * 27)
    r, s = (np.corrcoef(rows[:, :28].T)[np.triu_indices(28, 1)] for rows in (usual, broken))
    assert abs(np.sum(r * s) / np.sum(r**2) - kept) < 0.05
    moved = (shifted[:, :28] - usual[:, :28].mean(0)) / usual[:, :28].std(0)
    assert abs(moved.sum(1).mean() - 12) < 4 * moved.sum(1).std() / np.sqrt(len(shifted))


def test_same_seed_same_rows_and_one_law() -> None:
    again = latents.payments(30_000, 3000, seed=4)
    np.testing.assert_array_equal(again.x, TABLE.x)
    assert not np.array_equal(latents.payments(50, 0, seed=5).x, latents.payments(50, 0, seed=6).x)
    with pytest.raises(ValueError, match="normal must be a whole number"):
        latents.payments(0, 3)


def test_the_talk_s_autoencoder() -> None:
    recipe, x = latents.recipe("fraud-talk"), TABLE.x[~TABLE.fraud][:4000]
    assert [recipe[name] for name in ("epochs", "batch")] == [500, 2048]
    model = recipe["model"](jax.random.key(0), x)
    assert isinstance(model, BetaVAE) and model.latents == 15
    widths = (
        [layer.out_features for layer in model.encoder.layers[1].layers],
        [  # pyright: ignore
            layer.out_features
            for layer in model.decoder.layers  # pyright: ignore
        ],
    )
    assert widths == ([100, 100, 30], [100, 100, 30])  # 15 means, and as many log variances that are not used
    scaled = (x - x.min(0)) / (x.max(0) - x.min(0))
    np.testing.assert_allclose((x - np.asarray(model.shift)) / np.asarray(model.scale), scaled, atol=1e-9)
    # R is the sum of squared errors of scaled columns, and a constant
    terms = [model.terms(row, np.zeros(15)) for row in x[:2]]
    squared = latents.distances(model, x[:2]) ** 2
    found = float(terms[1].reconstruction - terms[0].reconstruction)
    assert found == pytest.approx(squared[1] - squared[0], rel=1e-6)


def test_a_short_training_finds_what_is_far_out() -> None:
    x = TABLE.x[~TABLE.fraud][:3000]
    trained = latents.train(x=x, progress=False, **latents.recipe("fraud-talk") | {"epochs": 40, "batch": 128})
    assert trained.history["loss"][-1] < trained.history["loss"][0]
    shown = (TABLE.kind == "shifted") | (~TABLE.fraud & (np.arange(len(TABLE.x)) > 25_000))
    found = latents.detection(latents.distances(trained.model, TABLE.x[shown]), TABLE.fraud[shown], resamples=20)
    assert found.auc.value > 0.9


def test_confusion_is_scikit_learns_and_by_hand() -> None:
    rng = np.random.default_rng(7)
    scores, labels = rng.integers(0, 20, 300) / 2.0, rng.random(300) < 0.2
    found = latents.confusion(scores, labels, above=6.5)
    passed, alarms, missed, caught = confusion_matrix(labels, scores > 6.5).ravel()
    assert found == (caught, missed, alarms, passed)
    # The talk: 447 of 492 frauds at 10 % of 142,000 false alarms are 3.1 % of the alarms
    talk = latents.Confusion(447, 45, 14_200, 127_800)
    assert (round(talk.tpr, 3), talk.fpr, round(talk.precision, 3)) == (0.909, 0.1, 0.031)
    assert np.isnan(latents.Confusion(0, 3, 0, 5).precision)
    assert str(talk).splitlines()[1].split() == ["anomaly", "447", "45"]
