"""Probes learn from the labels and are tested on the rest; errors of guessing are known."""

import numpy as np
import pytest
from latents.factors import uniform

from avo import latents
from avo.latents import probes


def test_probes_learn_from_the_labels_and_are_tested_on_the_rest():
    y = uniform(400, 2)
    codes = y @ np.array([[1.0, 2.0, 0.0], [0.5, -1.0, 3.0]]) + 4
    np.testing.assert_allclose(latents.linear_r2(codes, y, labels=3), 1)
    assert latents.boosted_r2(y, y, labels=300).min() > 0.99 > latents.boosted_r2(y, y, labels=20).max()
    split = probes.split_rows(100, 30, seed=5)
    assert len(split.train) == 30
    np.testing.assert_array_equal(np.sort(np.concatenate(split)), np.arange(100))


def test_errors_of_guessing_and_of_stated_noise():
    y = uniform(20_000, 2)
    guess = np.broadcast_to(y.mean(0), y.shape)
    np.testing.assert_allclose(latents.nrmse(guess, y), 1 / np.sqrt(12), rtol=0.02)
    np.testing.assert_allclose(latents.r2(guess, y), 0, atol=1e-12)
    np.testing.assert_allclose(latents.nrmse(y + 0.1 * np.ptp(y, axis=0), y), 0.1)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda y: latents.mig(y[:50], y), "must be of the same observations, at least 40; got 50 and 100"),
        (lambda y: latents.mig(y[:, 0], y), r"codes must have one observation per row and one column each; got shape"),
        (lambda y: latents.linear_r2(y, y, labels=90), "labels must leave at least 20 of 100 rows"),
        (lambda y: latents.mig(y * np.nan, y), "codes must hold finite numbers"),
        (lambda y: latents.r2(y[:, :1], y), r"must have one shape \(n, d\); got \(100, 1\) and \(100, 2\)"),
        (lambda y: latents.nrmse(y[:, :1], y), r"must have one shape \(n, d\); got \(100, 1\) and \(100, 2\)"),
    ],
)
def test_what_does_not_fit_is_named(call, message):
    with pytest.raises(ValueError, match=message):
        call(uniform(100, 2))
