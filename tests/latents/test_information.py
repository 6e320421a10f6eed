"""Mutual information and its scores: by sklearn, by the closed form of a normal pair, by hand."""

import numpy as np
import pytest
from latents.factors import RNG, uniform
from scipy.stats import entropy
from sklearn.metrics import mutual_info_score

from avo import latents
from avo.latents import information


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


def test_modularity_by_hand():
    np.testing.assert_allclose(information.modularity_of(np.array([[2.0, 1.0], [0.0, 0.0], [0.0, 3.0]])), [0.75, 0, 1])


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda y: latents.mig(y, y, binning="equal"), "binning must be one of frequency, width; got 'equal'"),
        (lambda y: latents.mig(y, y, bins=1), "bins must be a whole number of at least 2"),
        (lambda y: latents.mig(y, y > np.sort(y, axis=0)[-2]), "at least 2 bins; column 0 falls into one"),
    ],
)
def test_what_does_not_fit_is_named(call, message):
    with pytest.raises(ValueError, match=message):
        call(uniform(100, 2))
