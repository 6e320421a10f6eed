"""Unsupervised ranking: by loops, in closed form, and preferring the models that agree."""

import numpy as np
import pytest
from latents.factors import GRID, RNG, turn, uniform
from scipy.stats import spearmanr
from sklearn.linear_model import Lasso

from avo import latents


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
        (lambda y: latents.udr([y]), "codes must be of at least 2 models"),
        (lambda y: latents.udr([y, y[:9]]), "same observations; got 100, 9 rows"),
        (lambda y: latents.udr([y, y * 0]), r"codes\[1\] must have at least one active code"),
        (lambda y: latents.udr([y, y], relation="mi"), "relation must be one of spearman, lasso; got 'mi'"),
        (lambda y: latents.udr(y), r"codes must be a list of arrays \(n, k\).*got one array \(100, 2\)"),
    ],
)
def test_what_does_not_fit_is_named(call, message):
    with pytest.raises(ValueError, match=message):
        call(uniform(100, 2))
