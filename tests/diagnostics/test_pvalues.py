"""Where a number stands among exchangeable others, and what is left of p-values that were chosen."""

import numpy as np
from scipy import stats

from avo.diagnostics.pvalues import holm, standing

RNG = np.random.default_rng


def test_each_set_stands_among_the_others() -> None:
    t = RNG(3).gamma(2.0, size=(30, 4))
    t[0, 1] = 1e9  # far out, where a variance by differences would round to nothing
    t[:, 2] = 5.0
    t[:, 3] = 5.0
    t[0, 3] = 4.0
    z = standing(t)
    for i in range(30):
        others = np.delete(t, i, axis=0)
        with np.errstate(divide="ignore", invalid="ignore"):
            expected = (t[i] - others.mean(0)) / (others.std(0, ddof=1) * np.sqrt(1 + 1 / 29))
        np.testing.assert_allclose(z[i, :2], expected[:2], rtol=1e-6)
    assert np.all(z[:, 2] == 0) and z[0, 3] == -np.inf


def test_z_of_a_normal_is_a_student() -> None:
    t = RNG(4).normal(size=(20, 4000))
    p = 2 * stats.t.sf(np.abs(standing(t)[0]), 18)
    assert stats.kstest(p, "uniform").pvalue > 1e-3


def test_holm() -> None:
    np.testing.assert_allclose(holm([0.2, 0.001, 0.9, 0.02]), [0.4, 0.004, 0.9, 0.06])
    assert holm([0.5, 0.6]).max() == 1.0
