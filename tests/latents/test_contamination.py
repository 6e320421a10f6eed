"""Contaminated observations have the moments, shapes and shares that they are said to have."""

import jax
import numpy as np
import pytest
from latents.factors import RNG
from scipy import stats

from avo import latents


def test_contaminations_are_what_they_say():
    clean = np.zeros((4000, 50)) + 7
    key = jax.random.key(60)
    x, anomalous = latents.contaminate(key, clean, "noise", 0.25, noise=0.4, degrees=6)
    assert anomalous.sum() == 1000
    for rows, kurtosis in ((x[anomalous], 6.0), (x[~anomalous], 3.0)):  # Student with 6 degrees: 3 + 6 / (6 - 4)
        assert rows.mean() == pytest.approx(7, abs=0.01)
        assert rows.std() == pytest.approx(0.4, rel=0.02)
        assert stats.kurtosis(rows.ravel(), fisher=False) == pytest.approx(kurtosis, rel=0.2)
    x, anomalous = latents.contaminate(key, clean, "outliers", 0.01, size=3.0, points=0.2)
    moved = x[anomalous] - 7
    assert anomalous.sum() == 40 and not (x[~anomalous] - 7).any()
    assert set(np.unique(np.abs(moved))) == {0.0, 3.0}
    assert np.mean(moved != 0) == pytest.approx(0.2, abs=4 * np.sqrt(0.16 / 2000))
    assert np.all((latents.contaminate(key, clean, "outliers", size=3.0, points=1e-9)[0] != 7).sum(1) <= 1)
    x, anomalous = latents.contaminate(key, clean, "wave", 0.1, size=2.0)
    height = np.abs(x[anomalous] - 7)
    assert height.max(1).min() > 1.95 and height.max() <= 2
    assert 0.05 * np.sqrt(2 * np.pi) * 2 == pytest.approx(height.mean(1).max(), rel=0.05)  # the bump's area
    x, anomalous = latents.contaminate(key, clean[..., None] * [1.0, 2.0], "drift", 0.1, size=2.0)
    np.testing.assert_allclose(np.abs(x[anomalous][:, [0, 49], 1] - 14), [[0.0, 2.0]] * 400)
    again, same = latents.contaminate(key, clean, "noise", 0.25, noise=0.4, degrees=6)
    assert same.sum() == 1000 and not np.array_equal(
        again, latents.contaminate(jax.random.key(1), clean, "noise", 0.25, noise=0.4)[0]
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"kind": "noise"}, "needs noise="),
        ({"kind": "wave"}, "or size= in units of x"),
        ({"kind": "bump", "noise": 1.0}, "kind must be one of noise, drift"),
        ({"kind": "wave", "share": 2.0, "noise": 1.0}, r"share must be a number in \(0, 1\); got 2.0"),
        ({"kind": "outliers", "points": 0.0, "noise": 1.0}, r"points must be a number in \(0, 1\]; got 0.0"),
        ({"kind": "noise", "degrees": 2, "noise": 1.0}, r"degrees must be a number in \(2, inf\); got 2"),
        ({"kind": "wave", "size": np.nan}, "size must be a finite number; got nan"),
    ],
)
def test_what_does_not_fit_is_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        latents.contaminate(jax.random.key(0), RNG(70).normal(size=(120, 40)) + 12, **arguments)
