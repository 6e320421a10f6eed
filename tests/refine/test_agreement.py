"""avo.refine.agreement: p is uniform where observations are simulations, and small where they are not."""

import numpy as np
from scipy import stats

from avo.refine.agreement import share_as_large

RNG = np.random.default_rng


def rows(rng: np.random.Generator, n: int) -> np.ndarray:
    """Skew, unequal and correlated columns, one of them nearly a sum of others."""
    e = rng.exponential(size=(n, 4)) * [1.0, 5.0, 0.2, 1.0] - [1.0, 5.0, 0.2, 1.0]
    e[:, 3] = e[:, 0] + e[:, 1] + 1e-3 * e[:, 3]
    return e


def test_p_is_uniform_for_rows_of_the_same_law() -> None:
    p = []
    for seed in range(150):
        rng = RNG(seed)
        e = rows(rng, 800)
        p.append(share_as_large(e, rows(rng, 60), rng))
    assert stats.kstest(p, "uniform").statistic < 1.63 / np.sqrt(150)  # level 1 %
    assert min(p) < 0.05 and max(p) > 0.95


def test_p_is_small_where_a_mean_differs() -> None:
    """By four standard errors of a mean of 60, or of a difference that hardly varies."""
    e, e_obs = rows(RNG(0), 800), rows(RNG(1), 60)
    e_obs = e_obs - e_obs.mean(0) + e.mean(0)
    assert share_as_large(e, e_obs, RNG(2)) > 0.9
    off = np.array([0.0, 0.0, 4 * 0.2 / np.sqrt(60), 0.0])
    assert share_as_large(e, e_obs + off, RNG(2)) < 0.01
    assert share_as_large(e, e_obs + 4 * np.eye(4)[3], RNG(2)) < 0.01


def test_a_rare_value_that_no_simulation_has_is_no_misfit() -> None:
    """One row in 1061 is of a kind that no other is, and among the 61 observed ones in one choice of seventeen."""
    e, e_obs = rows(RNG(0), 1000), rows(RNG(1), 61)
    e, e_obs = np.column_stack([e, np.zeros(1000)]), np.column_stack([e_obs, np.zeros(61)])
    e_obs[3, 4] = 1.0
    assert share_as_large(e, e_obs, RNG(2)) > 0.02
