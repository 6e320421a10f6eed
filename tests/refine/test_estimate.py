"""Estimates: intervals, errors and moments in theta against closed forms, and words that say what is known."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

import avo
from avo.refine import statistic as scores
from avo.refine.estimate import Estimate, Neighbours, floored, symmetric
from avo.refine.features import Features
from avo.refine.linear import LinearSpace
from avo.refine.statistic import LearnedStatistic

RNG = np.random.default_rng
SPACE = avo.Space(a=avo.Interval(-3, 5), b=avo.Positive(2.5), c=avo.Real(10.0, 4.0))
REAL = avo.Space(a=avo.Real(), b=avo.Real(), c=avo.Real())  # theta = u
LOC = np.array([0.7, -1.2, 0.4])
ROOT = np.array([[0.1, 0.0, 0.0], [-0.04, 0.06, 0.0], [0.02, 0.03, 0.2]])


def statistic(seed: int) -> LearnedStatistic:
    features = Features(*(jnp.asarray(a) for a in (np.zeros(2), np.ones(2))), *[None] * 6)
    rng = RNG(seed)
    numbers = [jnp.asarray(rng.normal(size=s)) for s in (5, 5, (5, 6), 6, 6)]
    return LearnedStatistic(features, *numbers[:4], scores._network(jax.random.key(0), 5, 6), numbers[4])


def made(covariance: Any = None, loc: Any = LOC, **changes: Any) -> Estimate:
    d = len(loc)
    covariance = ROOT @ ROOT.T if covariance is None else covariance
    values, vectors = np.linalg.eigh(covariance[:d, :d])
    options: dict[str, Any] = dict(
        values=1 / values, vectors=vectors, identified=values < 0.25, statistic=statistic(1), encoder=statistic(2),
        reference=(np.zeros(d), np.eye(d)), simulation_noise=1.01, moved=0.3, freedom=24,
    )  # fmt: skip
    return Estimate(loc=np.asarray(loc), covariance=covariance, **(options | changes))


# --- points ----------------------------------------------------------------------------------------------------------


def test_intervals_of_angles_lie_around_the_estimate() -> None:
    """A sixth of a turn from the seam: 60 -+ t sd, with sd .5 of 4 for a turn; beyond half a turn all of it."""
    space = avo.Space(phase=avo.Angle(360), b=avo.Real())
    found = made(covariance=np.diag([0.25, 0.04]), loc=np.array([4 / 6 - 8, 0.0]))
    reach = stats.t.ppf(0.95, 24) * 0.5 * 90
    np.testing.assert_allclose(found.interval(space, 0.9)[0], [60 - reach, 60 + reach], rtol=1e-9)
    np.testing.assert_allclose(found.stderr(space), [45.0, 0.2], rtol=1e-9)
    assert np.all(found.interval(space, 0.9999)[0] == [0, 360]) and np.isfinite(found.stderr(space)[0])
    vague = made(covariance=np.diag([1.23**2, 0.04]), loc=found.loc)  # 1.645 of them are half a turn
    assert vague.unidentified(space).tolist() == [True, False] and np.all(vague.interval(space, 0.5)[0] == [0, 360])
    assert not made(covariance=np.diag([1.2**2, 0.04]), loc=found.loc).unidentified(space).any()


def test_intervals_of_counts_are_whole_and_hold_the_estimate() -> None:
    """n = 2 .. 12 at t = 5.3: w = (t - 2) / 2.5, error .5 in t; n = 5 is the estimate."""
    space = avo.Space(n=avo.Count(2, 12), b=avo.Real())
    line = LinearSpace(space)
    loc, between = line.u(np.array([3 / 2.5, 0.3])), np.array([3.3 / 2.5, 0.2])
    for sd, ends in ((0.5, [5, 6]), (0.05, [5, 5]), (1.0, [4, 7]), (2.4, [2, 9])):
        found = made(covariance=np.diag([(sd / 2.5) ** 2, 0.04]), loc=loc, between=between)
        t = stats.t.ppf(0.95, 24) * sd
        assert ends == [max(np.ceil(5.3 - t), 2), np.floor(5.3 + t)] or sd == 0.05
        np.testing.assert_allclose(found.interval(space, 0.9)[0], ends)
        np.testing.assert_allclose(found.stderr(space), [sd, 0.2], rtol=1e-6)
        np.testing.assert_allclose(found.continuous(space), [5.3, 0.2], rtol=1e-6)
    n = np.asarray(found.truths(space, jax.random.key(0), 4000))[:, 0]
    assert np.array_equal(n, np.round(n)) and n.min() == 2
    np.testing.assert_allclose(np.mean(n), np.mean(np.clip(5.3 + 2.4 * RNG(0).normal(size=4000), 2, 12)), atol=0.2)
    arrays, words = found.to_files()
    np.testing.assert_array_equal(Estimate.from_files(arrays, words).interval(space, 0.9), found.interval(space, 0.9))


@pytest.mark.parametrize("level", [0.5, 0.9, 0.99])
def test_ends_of_intervals_are_mapped(level: float) -> None:
    """In theta or its logarithm where that has two bounds, in u elsewhere."""
    t = stats.t.ppf(0.5 + level / 2, 24)
    sd = np.sqrt([0.01, 0.0052, 0.0413])
    ends = made().interval(SPACE, level)
    middle = -3 + 8 / (1 + np.exp(-0.7))
    for column, sign in enumerate((-1, 1)):
        theta = [middle + sign * t * 2 * sd[0], *np.asarray(SPACE.constrain(LOC + sign * t * sd))[1:]]
        np.testing.assert_allclose(ends[:, column], theta, rtol=1e-12)


def test_an_interval_ends_at_a_bound_and_is_no_wider_in_a_narrower_range() -> None:
    """.2 +- .5 above a lower bound at 0, and 1 +- 1.3 of 8 decades below an upper one, in ranges of many widths."""
    q = stats.t.isf(0.05, 24)
    last = np.inf
    for high in (8.0, 2.0, 1.2, 0.9, 0.5):
        space = avo.Space(a=avo.Interval(0, high), b=avo.LogInterval(1e-3, 1e5))
        sd = np.array([4 * 0.5 / high, 1.3 / 2])
        loc = np.asarray(space.unconstrain([0.2, 1e4]))
        found = made(loc=loc, covariance=np.diag(sd**2), identified=np.ones(2, bool))
        ends = found.interval(space, 0.9)
        np.testing.assert_allclose(ends[0], [0.0, min(0.2 + q * 0.5, high)], rtol=1e-9)
        assert ends[1, 1] == 1e5
        np.testing.assert_allclose(ends[1, 0], 10 ** (4 - q * 1.3), rtol=1e-6)
        assert ends[0, 1] <= last
        last = ends[0, 1]
        # No error where the central 90 % span the range
        error = [0.5 if high > 0.2 + 1.645 * 0.5 else np.inf, 1e4 * np.log(10) * 1.3]
        np.testing.assert_allclose(found.stderr(space), error, rtol=1e-6)


def test_standard_errors_are_those_of_theta() -> None:
    found = made()
    np.testing.assert_allclose(found.sd, np.sqrt([0.01, 0.0052, 0.0413]))
    slope = np.array([8 / 4, 2.5 * np.exp(-1.2), 4.0])
    np.testing.assert_allclose(found.stderr(SPACE), slope * found.sd, rtol=1e-12)


def test_what_is_not_identified_has_no_error_but_its_support() -> None:
    covariance = np.diag([0.01, 1.51**2, 1.51**2])
    found = made(covariance=covariance)
    np.testing.assert_array_equal(found.unidentified(SPACE), [False, True, True])
    assert np.isfinite(found.stderr(SPACE)[0]) and np.all(np.isinf(found.stderr(SPACE)[1:]))
    ends = found.interval(SPACE, 0.9)
    np.testing.assert_array_equal(ends[1:], [[0, np.inf], [-np.inf, np.inf]])
    np.testing.assert_allclose(ends[0], made(covariance=np.diag([0.01, 0.01, 0.01])).interval(SPACE, 0.9)[0])
    for sd, loose in ((1.49, False), (1.51, True)):
        wide = made(covariance=np.eye(3) * sd**2, identified=np.ones(3, bool))
        # of the first the range is 4 wide: 1.64 standard deviations span it from its place, 2.67, and above 1.62
        assert wide.unidentified(SPACE).tolist() == [False, loose, loose]
    wide = made(covariance=np.eye(3) * 1.63**2, identified=np.ones(3, bool))
    assert wide.unidentified(SPACE).tolist() == [True, True, True]
    spread = made(covariance=np.eye(9) * 0.501**2, population_covariance=SPREAD)
    assert spread.unidentified(SPACE).tolist() == [True] * 3


def test_a_parameter_that_leans_on_what_is_not_identified_is_not_either() -> None:
    """Error .01 across a ridge and 1.5 along it; a little of the ridge is an error, much of it is none."""
    for weight, loose in ((0.05, False), (0.19, False), (0.21, True)):
        along = np.array([np.sqrt(1 - weight**2), weight, 0.0])
        covariance = 1.5**2 * np.outer(along, along) + 1e-4 * np.eye(3)
        vectors = np.stack([along, [-along[1], along[0], 0], [0, 0, 1]], 1)
        found = made(
            covariance=covariance, vectors=vectors, values=np.array([0.0, 1e4, 1e4]),
            identified=np.array([False, True, True]),
        )  # fmt: skip
        assert found.unidentified(SPACE).tolist() == [True, loose, False], weight
        assert found.without_effect.tolist() == [weight < 0.1, False, False]
        if not loose:  # theta_b = 2.5 exp(u)
            error = 2.5 * np.exp(-1.2) * np.hypot(1.5 * weight, 0.01)
            np.testing.assert_allclose(found.stderr(SPACE)[1], error, rtol=1e-3)


def test_directions_are_told_the_worst_first_and_their_largest_weight_is_positive() -> None:
    vectors = np.array([[0.6, -0.8, 0.0], [0.8, 0.6, 0.0], [0.0, 0.0, -1.0]])
    found = made(values=np.array([-0.5, 400.0, 25.0]), vectors=vectors, identified=np.array([False, True, True]))
    told = found.identifiability(SPACE)
    assert [d.identified for d in told] == [False, True, True]
    np.testing.assert_allclose([d.sd for d in told], [np.inf, 0.2, 0.05])
    np.testing.assert_allclose([d.weights for d in told], [[0.6, 0.8, 0], [0, 0, 1], [0.8, -0.6, 0]])
    assert [str(d) for d in told] == [
        "direction (+0.60 a, +0.80 b) is not identified by these data",
        "direction (+1.00 c) is identified to 5 % of a range",
        "direction (+0.80 a, -0.60 b) is identified to 1.2 % of a range",
    ]
    # One standard error along it: .2 of u is .8 of c; theta_a = -3 + 2 w, theta_b = 2.5 exp(u), both in units of theta
    space = avo.Space(a=avo.Interval(-3, 5, unit="mV"), b=avo.Positive(2.5), c=avo.Real(10.0, 4.0, unit="ms"))
    rows = [line.split() for line in str(found.identifiability(space)).splitlines()]
    b = 2.5 * np.exp(-1.2)
    assert rows[0][:5] == ["a", "(mV)", "b", "c", "(ms)"]
    assert rows[1] == [f"{1.5 * 0.6 * 2:+.2g}", f"{1.5 * 0.8 * b:+.2g}", "0", *"is open: x does not tell it".split()]
    assert rows[2] == ["0", "0", "+0.8", *"is one standard error".split()]
    assert rows[3] == [f"{0.05 * 0.8 * 2:+.2g}", f"{-0.05 * 0.6 * b:+.2g}", "0", *"is one standard error".split()]
    one = made(loc=[0.3], covariance=np.eye(1) * 0.0004).identifiability(avo.Space(rate=avo.Real()))
    assert str(one[0]) == "rate is identified to 0.5 % of a range"


# --- plausible truths ------------------------------------------------------------------------------------------------


def test_replicates_of_a_point_have_its_covariance() -> None:
    found = made()
    keys = jax.random.split(jax.random.key(3), 4000)
    u = np.asarray(jax.vmap(lambda key: found.replicate(REAL, key, 2))(keys))
    np.testing.assert_array_equal(u[:, 0], u[:, 1])  # one truth per key
    C = ROOT @ ROOT.T
    # Means and covariances of 4000 draws
    assert np.all(np.abs(u[:, 0].mean(0) - LOC) < 4 * np.sqrt(np.diagonal(C) / 4000))
    size = np.sqrt((np.outer(np.diagonal(C), np.diagonal(C)) + C**2) / 4000)
    assert np.all(np.abs(np.cov(u[:, 0].T) - C) < 4 * size)
    exact = found.replicate(REAL, jax.random.key(4), 5, exact=True)
    np.testing.assert_array_equal(exact, np.tile(LOC, (5, 1)))


def test_replicates_do_not_move_what_is_not_identified() -> None:
    loose = np.array([1.0, -1.0, 0.0]) / np.sqrt(2)
    tight = np.array([1.0, 1.0, 0.0]) / np.sqrt(2)
    covariance = 2.25 * np.outer(loose, loose) + 0.01 * np.outer(tight, tight) + 0.04 * np.diag([0, 0, 1.0])
    vectors, values = np.stack([loose, tight, [0, 0, 1]], 1), np.array([0.0, 100.0, 25.0])
    options = dict(vectors=vectors, values=values, identified=np.array([False, True, True]))
    draw = lambda estimate: np.asarray(  # noqa: E731
        jax.vmap(lambda key: estimate.replicate(REAL, key, 1)[0])(jax.random.split(jax.random.key(5), 500))
    )
    u = draw(made(covariance=covariance, **options))
    np.testing.assert_allclose(u @ loose, LOC @ loose, atol=1e-6)
    # What is identified to .8 has that error
    wide = {"values": values + 1 / 0.64, "identified": np.ones(3, bool)}
    known = made(covariance=covariance + (0.64 - 2.25) * np.outer(loose, loose), **options | wide)
    assert abs(np.std(draw(known) @ loose) / 0.8 - 1) < 4 / np.sqrt(1000)
    for v, sd in ((tight, 0.1), (np.array([0, 0, 1.0]), 0.2)):
        assert abs(np.std(u @ v) / sd - 1) < 4 / np.sqrt(1000)


def test_replicates_stay_inside_the_range() -> None:
    space = avo.Space(a=avo.Interval(0, 8), b=avo.LogInterval(1e-3, 1e5))
    loc = np.asarray(space.unconstrain([0.2, 30.0]))
    found = made(loc=loc, covariance=np.diag([0.25, 0.3]) ** 2, identified=np.ones(2, bool))
    keys = jax.random.split(jax.random.key(3), 4000)
    theta = np.asarray(jax.vmap(lambda key: found.replicate(space, key, 1)[0])(keys))
    # a ~ N(.2, .5^2), cut off at 0, where 34 % of it are, known to .75 %
    assert abs(np.mean(theta[:, 0] < 1e-4) - stats.norm.cdf(-0.4)) < 4 * 0.0075 and theta[:, 0].min() >= 0
    assert abs(np.mean(theta[:, 0] < 0.7) - stats.norm.cdf(1.0)) < 4 * 0.0058
    assert abs(np.std(np.log10(theta[:, 1])) / 0.6 - 1) < 4 / np.sqrt(8000)


# --- populations -----------------------------------------------------------------------------------------------------

SPREAD = np.array([[0.5, -0.1, 0.05], [-0.1, 0.3, 0.1], [0.05, 0.1, 0.2]])
P_ROOT = RNG(2).normal(size=(9, 9)) * 0.01
P_COV = P_ROOT @ P_ROOT.T + 1e-4 * np.eye(9)
ROW, COLUMN = np.triu_indices(3)


def test_replicates_of_a_population() -> None:
    found = made(population_covariance=SPREAD, covariance=P_COV)
    exact = np.asarray(found.replicate(REAL, jax.random.key(6), 40_000, exact=True))
    assert np.all(np.abs(exact.mean(0) - LOC) < 4 * np.sqrt(np.diagonal(SPREAD) / 40_000))
    size = np.sqrt((np.outer(np.diagonal(SPREAD), np.diagonal(SPREAD)) + SPREAD**2) / 40_000)
    assert np.all(np.abs(np.cov(exact.T) - SPREAD) < 4 * size)
    # Other keys have other truths: their means scatter by the error, and by 2000 draws of each
    u = np.asarray(
        jax.vmap(lambda key: found.replicate(REAL, key, 2000).mean(0))(jax.random.split(jax.random.key(7), 1500))
    )
    C = P_COV[:3, :3] + SPREAD / 2000
    size = np.sqrt((np.outer(np.diagonal(C), np.diagonal(C)) + C**2) / 1500)
    assert np.all(np.abs(np.cov(u.T) - C) < 4.5 * size)


def test_moments_in_u_are_those_fitted() -> None:
    found = made(population_covariance=SPREAD, covariance=P_COV).population(SPACE)
    assert found is not None
    sd, V = np.sqrt(np.diagonal(SPREAD)), np.diagonal(P_COV)
    np.testing.assert_allclose(found.u.mean, LOC, rtol=1e-9)
    np.testing.assert_allclose(found.u.sd, sd, rtol=1e-9)
    np.testing.assert_allclose(found.u.corr, SPREAD / np.outer(sd, sd), rtol=1e-9)
    np.testing.assert_allclose(found.u.mean_stderr, np.sqrt(V[:3]), rtol=1e-9)
    np.testing.assert_allclose(found.u.sd_stderr, np.sqrt(V[3:][ROW == COLUMN]) / 2 / sd, rtol=1e-9)
    # d corr = d s12 / (s1 s2) - corr (d s11 / s11 + d s22 / s22) / 2
    slope = np.zeros(9)
    corr = SPREAD[0, 1] / sd[0] / sd[1]
    slope[3:][(ROW == 0) & (COLUMN == 1)] = 1 / sd[0] / sd[1]
    slope[3:][(ROW == 0) & (COLUMN == 0)] = -corr / 2 / SPREAD[0, 0]
    slope[3:][(ROW == 1) & (COLUMN == 1)] = -corr / 2 / SPREAD[1, 1]
    np.testing.assert_allclose(found.u.corr_stderr[0, 1], np.sqrt(slope @ P_COV @ slope), rtol=1e-7)
    np.testing.assert_allclose(found.u.corr_stderr, found.u.corr_stderr.T, rtol=1e-7)
    np.testing.assert_array_equal(np.diagonal(found.u.corr_stderr), 0.0)
    assert np.isnan(found.u.sd_upper).all()


def test_moments_in_theta_are_those_of_log_normals_and_lines() -> None:
    space = avo.Space(p=avo.Positive(2.5), q=avo.Positive(0.1), r=avo.Real(10.0, 4.0))
    found = made(population_covariance=SPREAD, covariance=P_COV).population(space)
    assert found is not None
    got = found.theta

    def moments(psi: Any) -> tuple[Any, Any]:
        loc, S = (
            psi[:3],
            jnp.asarray(symmetric(np.zeros(6), 3)).at[ROW, COLUMN].set(psi[3:]).at[COLUMN, ROW].set(psi[3:]),
        )
        scale = jnp.array([2.5, 0.1])
        mean = scale * jnp.exp(loc[:2] + jnp.diagonal(S)[:2] / 2)
        both = jnp.outer(mean, mean) * (jnp.exp(S[:2, :2]) - 1)
        line = 4.0 * mean * S[:2, 2]
        C = jnp.block([[both, line[:, None]], [line[None], 16.0 * S[2:, 2:]]])
        return jnp.append(mean, 10.0 + 4.0 * loc[2]), C

    psi = jnp.asarray(np.concatenate([LOC, SPREAD[ROW, COLUMN]]))
    mean, C = (np.asarray(a) for a in moments(psi))
    sd = np.sqrt(np.diagonal(C))
    # A net of 16,384 points knows smooth means to a thousandth, heavy-tailed products to one in a hundred
    np.testing.assert_allclose(got.mean, mean, rtol=1e-3)
    np.testing.assert_allclose(got.sd, sd, rtol=0.01)
    np.testing.assert_allclose(got.corr, C / np.outer(sd, sd), atol=0.01)

    def error(f: Any) -> np.ndarray:
        slope = np.asarray(jax.jacobian(f)(psi)).reshape(-1, 9)
        return np.sqrt(np.diagonal(slope @ P_COV @ slope.T))

    np.testing.assert_allclose(got.mean_stderr, error(lambda psi: moments(psi)[0]), rtol=0.01)
    np.testing.assert_allclose(got.sd_stderr, error(lambda psi: jnp.sqrt(jnp.diagonal(moments(psi)[1]))), rtol=0.02)


@pytest.mark.parametrize("rho", [-0.9, -0.99999])
def test_moments_of_log_normals_that_are_nearly_proportional(rho: float) -> None:
    space = avo.Space(p=avo.Positive(2.5), q=avo.Positive(0.1))
    spread = np.array([[0.5, rho * np.sqrt(0.15)], [rho * np.sqrt(0.15), 0.3]])
    covariance = np.diag([4e-4, 9e-4, 1e-3, 2e-4, 5e-4])
    found = made(population_covariance=spread, covariance=covariance, loc=LOC[:2]).population(space)
    assert found is not None
    v = np.diagonal(spread)
    mean = np.array([2.5, 0.1]) * np.exp(LOC[:2] + v / 2)
    sd = mean * np.sqrt(np.exp(v) - 1)
    # d log mean = d loc + dv / 2; d log sd = d loc + dv / 2 + dv exp(v) / (exp(v) - 1) / 2
    slope = 0.5 + 0.5 * np.exp(v) / (np.exp(v) - 1)
    np.testing.assert_allclose(found.theta.mean_stderr, mean * np.sqrt([4e-4 + 2.5e-4, 9e-4 + 1.25e-4]), rtol=0.01)
    np.testing.assert_allclose(found.theta.sd_stderr, sd * np.sqrt([4e-4, 9e-4] + slope**2 * [1e-3, 5e-4]), rtol=0.03)


def test_nothing_is_said_of_a_population_along_what_the_data_do_not_identify() -> None:
    covariance = P_COV.copy()
    covariance[1, 1] += 1.5**2
    found = made(population_covariance=SPREAD, covariance=covariance).population(SPACE)
    assert found is not None
    for got in found:
        np.testing.assert_array_equal(np.isinf(got.mean_stderr), [False, True, False])
        np.testing.assert_array_equal(np.isnan(got.sd_stderr), [False, True, False])
        np.testing.assert_array_equal(np.isinf(got.sd_upper), [False, True, False])
        np.testing.assert_array_equal(np.isnan(got.corr_stderr[0]), [False, True, False])


def test_a_population_without_spread_has_upper_limits() -> None:
    spread = np.diag([0.0, 0.04, -0.01])
    covariance = np.diag([1e-4] * 3 + [0.02**2, 0, 0, 0.01**2, 0, 0.02**2])
    found = made(population_covariance=spread, covariance=covariance).population(SPACE)
    assert found is not None
    got = found.u
    np.testing.assert_array_equal(np.isnan(got.sd_stderr), [True, False, True])
    np.testing.assert_array_equal(np.isnan(got.sd_upper), [False, True, False])
    # v + 1.645 of its error, at least zero
    np.testing.assert_allclose(got.sd_upper[[0, 2]], np.sqrt(1.6449 * 0.02), rtol=1e-3)
    np.testing.assert_allclose(got.sd[1], 0.2, rtol=1e-9)
    np.testing.assert_allclose(got.sd_stderr[1], 0.01 / 0.4, rtol=1e-9)
    off = ~np.eye(3, dtype=bool)
    assert np.isnan(got.corr_stderr[off]).all()
    assert np.isfinite(got.mean_stderr).all()
    assert np.all(np.isfinite(found.theta.sd_upper[[0, 2]])) and np.isfinite(found.theta.sd_stderr[1])


def test_a_point_has_no_population() -> None:
    assert made().population(SPACE) is None


# --- helpers and files -----------------------------------------------------------------------------------------------


def test_floored_and_symmetric() -> None:
    np.testing.assert_array_equal(symmetric(np.array([1, 2, 3, 4, 5, 6.0]), 3), [[1, 2, 3], [2, 4, 5], [3, 5, 6]])
    F = floored(SPREAD, 1e-3)
    np.testing.assert_allclose(F @ F.T, SPREAD, rtol=1e-12)
    low = floored(np.diag([4.0, 1e-9, -3.0]), 0.05)
    np.testing.assert_allclose(low @ low.T, np.diag([4.0, 0.0025, 0.0025]), atol=1e-12)


@pytest.mark.parametrize("kind", ["point", "population"])
def test_files_give_back_the_same(kind: str) -> None:
    rows = Neighbours(*RNG(3).uniform(size=(4, 3)))
    found = made(neighbours=rows) if kind == "point" else made(population_covariance=SPREAD, covariance=P_COV)
    arrays, words = found.to_files()
    back = Estimate.from_files({name: np.asarray(a) for name, a in arrays.items()}, words)
    for name in ("loc", "population_covariance", "covariance", "values", "vectors", "identified"):
        np.testing.assert_array_equal(getattr(back, name), getattr(found, name))
    assert back.identified.dtype == bool
    if kind == "point":
        np.testing.assert_array_equal(np.stack(back.neighbours), np.stack(rows))
    else:  # and of a file that older versions wrote
        assert back.neighbours is None
    assert (back.simulation_noise, back.moved, back.freedom) == (found.simulation_noise, found.moved, found.freedom)
    np.testing.assert_array_equal(back.reference[0], found.reference[0])
    np.testing.assert_array_equal(back.reference[1], found.reference[1])
    x = jnp.array([0.3, -0.4])
    for name in ("statistic", "encoder"):
        np.testing.assert_array_equal(getattr(back, name)(x), getattr(found, name)(x))
    assert not np.array_equal(back.statistic(x), back.encoder(x))
    assert str(back.identifiability(SPACE)) == str(found.identifiability(SPACE))
