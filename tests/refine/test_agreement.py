"""avo.refine.agreement: p is uniform where observations are simulations; features that say more than t are seen."""

import numpy as np
from scipy import stats

from avo.refine.agreement import responds, share_as_large
from avo.refine.equation import slope
from avo.refine.estimate import UNDETERMINED

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


def pairs(rng: np.random.Generator, A: np.ndarray, n: int) -> tuple[np.ndarray, np.ndarray]:
    """Pairs whose features, 8 of them, skew and correlated, respond to three parameters by a slope A."""
    du = rng.normal(size=(n, 3)) * [0.1, 0.3, 0.6]
    e = (rng.exponential(size=(n, 8)) - 1) * rng.choice([-1, 1], size=(n, 1)) + rng.normal(size=(n, 1))
    return du, du @ A.T + 0.3 * e


def told(rng: np.random.Generator, A: np.ndarray, n: int = 80) -> bool:
    """Ask whether features respond to more than the first of three directions."""
    du, odd = pairs(rng, A, n)
    return responds(*slope(du, odd, -odd), np.array([True, False, False]), rng.normal(size=(400, 8)), rng)


FIRST = np.outer(np.ones(8), [30.0, 2.0, -1.0]) * np.linspace(1, 2, 8)[:, None]  # all go one way: t says it all


def test_features_that_say_no_more_than_t_are_seldom_taken_for_more() -> None:
    """Two directions are left open, each at level 1 / 400, though what t says leaks into both: 3 of 300 expected."""
    assert sum(told(RNG(seed), FIRST) for seed in range(300)) <= 9  # more once in a thousand


def test_what_an_open_direction_has_of_an_identified_one_is_no_response() -> None:
    """Random numbers that pairs share cancel but for the way along the identified one, and so does what is known of it.

    By (W A_i)^+ W A_o, which noise of A_i makes too small, 12 of these 60 were taken for a response.
    """

    def seen(seed: int) -> bool:
        rng = RNG(seed)
        du = rng.choice([-1.0, 1.0], size=(80, 3)) * [0.1, 0.3, 0.6]
        each = np.linspace(1, 2, 8) + 6.0 * (rng.exponential(size=(80, 8)) - 1)
        odd = (du @ [1.0, 0.3, -0.6])[:, None] * each
        identified = np.array([True, False, False])
        return responds(*slope(du, odd, -odd), identified, 0.1 * rng.normal(size=(400, 8)), rng)

    assert sum(seen(seed) for seed in range(60)) <= 3  # .3 expected; more once in three thousand


def test_where_nothing_is_identified_any_response_is_seen() -> None:
    du, odd = pairs(RNG(0), FIRST, 80)
    assert responds(*slope(du, odd, -odd), np.zeros(3, bool), RNG(1).normal(size=(400, 8)), RNG(2))


def test_features_that_say_more_than_t_are_seen() -> None:
    """Two of eight respond to the third parameter alone, each by seven standard errors."""
    more = FIRST.copy()
    more[5:7, 2] += 7 * 0.3 * np.sqrt(2) / 0.6 / np.sqrt(80)
    assert sum(told(RNG(seed), more) for seed in range(20)) >= 18


def test_a_response_that_the_observations_would_not_tell_is_none() -> None:
    """Clear from many pairs, but along it 400 observations leave a standard deviation beyond the range."""
    little = FIRST.copy()
    little[5:7, 2] += 1 / UNDETERMINED / np.sqrt(400) / 2
    assert not any(told(RNG(seed), little, 100_000) for seed in range(3))
    assert all(told(RNG(seed), FIRST + 10 * (little - FIRST), 100_000) for seed in range(3))
