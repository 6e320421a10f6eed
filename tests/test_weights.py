"""Weights of observations: exact sums against repeated rows and the sandwich, and a fit that agrees with both."""

from typing import Any, cast

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import avo
from avo.adversarial.trainer import _conditions, make_trainer
from avo.execution.blocks import Drawn, Draws
from avo.observations import Observed, location_scale
from avo.refine.equation import Equation, covariance_of_mean
from avo.refine.linear import LinearDraws, LinearSpace
from avo.refine.point import _settle
from avo.refine.scores import Normal
from avo.rows import Given, observe
from avo.search.misfit import Misfit
from avo.weights import effective_of, quantiles_of, row_at, shares_of, thinned, turns_of, validate_weights

pytestmark = pytest.mark.usefixtures("single_precision")

RNG = np.random.default_rng
ONE = avo.Space(mu=avo.Real())
COUNTS = RNG(3).integers(1, 6, 37)
T = RNG(4).normal([3.0, -100.0], [0.1, 7.0], (37, 2))
SHARES: Any = shares_of(COUNTS * 0.3)


# --- exact -----------------------------------------------------------------------------------------------------------


def test_whole_numbers_give_the_means_and_units_of_repeated_rows() -> None:
    repeated = np.repeat(T, COUNTS, axis=0)
    np.testing.assert_allclose(Observed(T, shares=SHARES).mean(T), repeated.mean(0), rtol=1e-12)
    for own, theirs in zip(location_scale(T, SHARES), location_scale(repeated), strict=True):
        np.testing.assert_allclose(own, theirs, rtol=1e-12)
    # Between the middles of the weights, or of the rows: they differ by less than the way to the next row
    levels = np.array([0.25, 0.5, 0.75])
    own = quantiles_of(T, np.tile(SHARES[:, None], 2), levels)
    between = np.abs(repeated[:, :, None] - own.T[None]).min(0)
    assert between.max() < 0.2 * T.std(0).max()
    low, high = (np.quantile(repeated, np.clip(levels + side, 0, 1), axis=0) for side in (-0.04, 0.04))
    assert np.all((low <= own) & (own <= high))


def test_heavy_tails_have_the_units_of_their_weighted_middle() -> None:
    x = RNG(0).standard_cauchy((4001, 1))
    half = np.where(x[:, 0] > 0, 3.0, 1.0)
    shift, scale = location_scale(x, shares_of(half))
    # P(x > 0) is 3/4: the median is the quantile 2/3 of a plain Cauchy
    assert abs(shift[0] - np.tan(np.pi * (2 / 3 - 0.5))) < 0.1 and 0 < scale[0] < 10


def test_the_sandwich_is_that_of_a_weighted_mean() -> None:
    rest = SHARES[:, None] * (T - SHARES @ T)
    second, third = np.sum(SHARES**2), np.sum(SHARES**3)
    expected = rest.T @ rest * second / (second - 2 * third + second**2)
    np.testing.assert_allclose(covariance_of_mean(T, None, SHARES), expected, rtol=1e-12)
    equal = np.full(37, 1 / 37)
    np.testing.assert_allclose(covariance_of_mean(T, None, equal), covariance_of_mean(T), rtol=1e-10)
    # Unbiased where weights say nothing of t: mean over 4000 samples, whose error is sqrt(2 / 5 / 4000) = 1 %
    w: Any = shares_of(np.array([5.0, 1.0, 1.0, 2.0, 0.5, 3.0]))
    samples = RNG(1).normal(size=(4000, 6, 1))
    found = np.mean([covariance_of_mean(t, None, w)[0, 0] for t in samples])
    assert abs(found / np.sum(w**2) - 1) < 0.05


def test_clusters_are_summed_with_their_weights() -> None:
    # A cluster's rows are copies: it counts as one row with the sum of their weights
    clusters = np.repeat(np.arange(37), 2)
    order = RNG(1).permutation(74)
    w: Any = shares_of(np.repeat(COUNTS, 2) * np.tile([0.25, 0.75], 37))
    found = covariance_of_mean(np.repeat(T, 2, axis=0)[order], clusters[order], w[order])
    np.testing.assert_allclose(found, covariance_of_mean(T, None, SHARES), rtol=1e-12)
    observed = Observed(np.repeat(T, 2, axis=0), None, clusters, w)
    np.testing.assert_allclose(observed.freedom, COUNTS.sum() ** 2 / np.sum(COUNTS**2) - 1, rtol=1e-12)
    np.testing.assert_allclose(Observed(T, shares=SHARES).effective, observed.freedom + 1, rtol=1e-12)


def test_residual_and_misfit_are_those_of_repeated_rows() -> None:
    class Itself:
        def __call__(self, x: Any, c: Any = None) -> Any:
            return x

    weighted, repeated = Observed(T, shares=SHARES), Observed(np.repeat(T, COUNTS, axis=0))
    t = RNG(5).normal([3.0, -99.0], [0.1, 7.0], (50, 2))
    a, b = (Equation(None, o, Itself()).residual(o.x, t) for o in (weighted, repeated))  # pyright: ignore[reportArgumentType]
    np.testing.assert_allclose(a.r, b.r, rtol=1e-9)
    np.testing.assert_allclose(a.V, covariance_of_mean(T, None, SHARES), rtol=1e-12)
    assert a.V[1, 1] > 1.5 * b.V[1, 1]  # which repeated rows would take for so many observations


def test_a_misfit_is_least_where_the_weighted_mean_is() -> None:
    x = np.concatenate([RNG(0).normal(0.0, 1.0, (200, 1)), RNG(1).normal(4.0, 1.0, (200, 1))])
    w: Any = shares_of(np.repeat([1.0, 9.0], 200))
    u = RNG(2).normal(0.0, 1.5, (3200, 1))
    misfit = Misfit(Observed(x, shares=w), Drawn.of(u, u + RNG(3).normal(size=(3200, 1))), 1.5)
    # Of the same mixture with parts .1 and .9, and of halves
    at = [np.where(RNG(4).random((1000, 1)) < p, 4.0, 0.0) + RNG(5).normal(size=(1000, 1)) for p in (0.9, 0.5, 0.1)]
    rows = np.concatenate(at)
    found = misfit.of(misfit.residuals(Drawn.of(rows, rows), 1000), 1000)
    assert found[0] < 0.8 < found[1] < found[2]  # .5 where only chance is left


def test_rows_come_up_in_proportion_to_their_weights() -> None:
    turns = turns_of(SHARES)
    for first, n in ((0, 5000), (2**31 - 2500, 5000)):
        places = np.arange(first, first + n)
        rows = row_at(places, turns)
        assert np.abs(np.bincount(rows, minlength=37) - n * SHARES).max() < 4
        again = row_at(jnp.asarray(places.astype(np.uint32)), jnp.asarray(turns))
        np.testing.assert_array_equal(np.asarray(again), rows)
    kept = np.concatenate([thinned(SHARES, RNG(seed)) for seed in range(400)])
    expected = 400 * SHARES / SHARES.max()
    assert np.all(np.abs(np.bincount(kept, minlength=37) - expected) < 4.5 * np.sqrt(expected))


def test_simulations_have_conditions_in_proportion_to_weights() -> None:
    seen = lambda key, theta, c: c + 0 * theta[:, :1]  # noqa: E731
    c = np.arange(4.0)[:, None]
    shares = np.array([0.5, 0.125, 0.25, 0.125])
    draws = Draws(seen, avo.Space(mu=avo.Real()), jax.random.key(0), 16, (1,), c, shares=shares)
    x = np.concatenate([draws(np.zeros((160, 1))).x for _ in range(10)])
    assert np.abs(np.bincount(x.ravel().astype(int)) - 1600 * shares).max() < 4
    mirrored = draws(np.zeros((64, 1)), mirrored=True)
    np.testing.assert_array_equal(mirrored.x[:32], mirrored.x[32:])


def test_rows_of_weight_zero_are_not_there() -> None:
    x, c = RNG(0).normal(size=(20, 2)), RNG(1).normal(size=(20, 1))
    w = np.array([0.0, 2.0] * 10)
    w[1] = 5.0
    groups = np.arange(20) % 20
    observed, known = observe(Given(x, c, groups, w), ONE)
    np.testing.assert_array_equal(observed.x, x[1::2])
    np.testing.assert_array_equal(known, c[1::2])
    assert observed.clusters is not None and observed.shares is not None
    assert observed.clusters.tolist() == list(range(10)) and abs(observed.shares[0] - 5 / 23) < 1e-15
    # Equal weights are none
    assert observe(Given(x, weights=np.full(20, 0.1)), ONE)[0].shares is None
    assert observe(Given(x, weights=np.arange(20) % 2), ONE)[0].shares is None


@pytest.mark.parametrize(
    ("weights", "words"),
    {
        "shape": (np.ones(3), r"weights must have one number for each observation, shape \(4,\); got shape \(3,\)"),
        "matrix": (np.ones((4, 1)), r"shape \(4,\); got shape \(4, 1\)"),
        "negative": ([1, 2, -0.5, 1], r"at least 0; weights\[2\] is -0.5"),
        "nan": ([1, np.nan, 1, 1], r"weights\[1\] is nan"),
        "infinite": ([1, 2, 3, np.inf], r"weights\[3\] is inf"),
        "zero": ([0, 0, 0, 0], "must not all be 0"),
        "words": (["a", "b", "c", "d"], "must be real numbers"),
        "complex": ([1j, 1, 1, 1], "must be real numbers"),
        "objects": (np.array([1, None, "x", 2], dtype=object), "must be real numbers"),
    }.values(),
)
def test_wrong_weights(weights: Any, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        validate_weights(weights, 4)


def test_huge_and_tiny_weights_have_shares() -> None:
    np.testing.assert_allclose(np.asarray(shares_of(np.array([1e308, 1e308, 5e307]))), [0.4, 0.4, 0.2])
    np.testing.assert_allclose(np.asarray(shares_of(np.array([4e-308, 1e-308]))), [0.8, 0.2])


# --- fits ------------------------------------------------------------------------------------------------------------


def shifted(key: Any, theta: Any) -> Any:
    """Two numbers about mu and mu + 2, of scales 1 and .5."""
    noise = jax.random.normal(key, (theta.shape[0], 2)) * jnp.array([[1.0, 0.5]])
    return theta[:, :1] + jnp.array([[0.0, 2.0]]) + noise


LINE = avo.Space(mu=avo.Interval(-10, 12))
M = 400
X = RNG(7).normal([1.3, 3.3], [1.0, 0.5], (M, 2))
W = RNG(8).gamma(1.0, 1.0, M)


@pytest.fixture(scope="module")
def weighted() -> avo.Result:
    return avo.fit(shifted, X, LINE, weights=W, budget=30_000, progress=False)


def exact(x: np.ndarray, w: np.ndarray) -> tuple[float, float]:
    """The weighted maximum likelihood, and its sandwich: the score of mu is (x_1 - mu) + 4 (x_2 - 2 - mu)."""
    own = (x[:, 0] + 4 * (x[:, 1] - 2)) / 5
    mu = np.average(own, weights=w)
    return mu, np.sqrt(np.sum((w * (own - mu)) ** 2)) / w.sum()


def test_a_fit_has_the_weighted_estimate_and_the_sandwich(weighted: avo.Result) -> None:
    mu, error = exact(X, W)
    noise = error * np.sqrt(weighted.estimate.simulation_noise**2 - 1)  # pyright: ignore[reportOptionalMemberAccess]
    # Of the simulations, and of a learned score that is not quite the best one
    assert abs(weighted.theta[0] - mu) < 4 * noise + 0.15 * error
    assert weighted.stderr is not None and abs(weighted.stderr[0] / error - 1) < 0.15
    assert weighted.stderr[0] > 1.2 * np.sqrt(0.2 / M)  # the error of as many equal rows
    effective = W.sum() ** 2 / np.sum(W**2)
    assert weighted.weighted is not None and weighted.weighted[0] == M
    np.testing.assert_allclose(weighted.weighted[1], effective, rtol=1e-12)
    assert f"400 rows say as much as {effective:,.1f} equal ones" in weighted.summary()
    found = weighted.estimate
    assert found is not None and found.p_value is not None and found.p_value > 0.005
    np.testing.assert_allclose(found.freedom, effective - 1, rtol=1e-12)


def test_parts_decide_by_the_weighted_error(weighted: avo.Result) -> None:
    found, p = weighted.sensitivity(), W / W.sum()
    own = X - [0.0, 2.0]
    each = np.sqrt(p**2 @ (own - p @ own) ** 2)
    # x_1 correlates .22 with mu, half a standard error of one row wide, and t is learned from 2000 rows: to 10 %
    np.testing.assert_allclose(found.without[:, 0], each[::-1] / exact(X, W)[1], rtol=0.3)
    np.testing.assert_allclose(found.stderr, exact(X, W)[1], rtol=0.2)


def test_the_scale_of_weights_does_not_matter() -> None:
    np.testing.assert_array_equal(np.asarray(shares_of(256 * W)), np.asarray(shares_of(W)))


def test_the_critic_meets_rows_in_proportion_to_their_weights() -> None:
    shares: Any = shares_of(W)
    state = make_trainer(LINE, X, steps=10, shares=shares).init(jax.random.key(0))
    assert state.data.turns is not None
    rows = row_at(np.arange(40_000), np.asarray(state.data.turns))
    z = np.asarray(state.data.z)
    middle, scale = location_scale(X, shares)
    np.testing.assert_allclose(z[rows].mean(0), (shares @ X - middle) / scale, atol=2e-3)
    # And conditions likewise, at random: 4.5 standard deviations of a share of 100,000 draws
    drawn = np.asarray(_conditions(jax.random.key(1), state.data, 100_000))
    p = shares[np.random.default_rng(0).permutation(M)]  # the order in which the trainer holds them
    assert np.all(np.abs(np.bincount(drawn, minlength=M) / 1e5 - p) < 4.5 * np.sqrt(p / 1e5) + 1e-8)


def test_whole_numbers_give_the_estimate_of_repeated_rows() -> None:
    class Both:
        def __call__(self, x: Any, c: Any = None) -> Any:
            return x

    counts = RNG(9).integers(0, 5, M)
    weighted, _ = observe(Given(X, weights=counts), LINE)
    repeated = Observed(np.repeat(X, counts, axis=0))
    start = np.asarray(LINE.unconstrain(jnp.array([1.0])))
    line = LinearSpace(LINE)
    q, zeta = Normal(line.of(start), np.array([[0.05]])), RNG(1).normal(size=(400, 1))

    def solved(observed: Observed) -> tuple[float, float]:
        draws = LinearDraws(Draws(jax.jit(shifted), LINE, jax.random.key(2), 16, (2,)))
        equation: Any = Equation(draws, observed, Both())
        found = _settle(equation, line, q, (zeta, zeta), draws.calls + 40_000, encoder=cast(Any, None), wide=q)
        return float(LINE.constrain(jnp.asarray(found.loc))[0]), float(found.stderr(LINE)[0])

    (a, error), (b, narrow) = solved(weighted), solved(repeated)
    mu, sandwich = exact(X, counts)
    # V weighs the entries of t, sandwich or not, by estimates of their covariance: a fraction of the error
    assert abs(a - b) < 0.2 * error and abs(a - mu) < 0.2 * error
    assert abs(error / sandwich - 1) < 0.06
    # Repeated rows count as so many observations
    assert abs(narrow / np.sqrt(0.2 / counts.sum()) - 1) < 0.1 and narrow < 0.8 * error


def test_a_check_keeps_rows_by_their_weights(weighted: avo.Result) -> None:
    # x of two laws, of which the weights leave the right one
    wrong = RNG(11).normal([3.3, 5.3], [1.0, 0.5], (300, 2))
    x, w = np.concatenate([X, wrong]), np.repeat([1.0, 0.0], [M, 300])
    options: Any = {"replicates": 19, "progress": False}
    found = avo.check(weighted, shifted, x, weights=w * 0.7, **options)
    assert found.rows == M and found.p_value > 0.05
    assert avo.check(weighted, shifted, x, weights=1.0 - 0.9 * w, **options).p_value == 0.05
    with pytest.raises(ValueError, match="leave at least 20 rows"):
        avo.check(weighted, shifted, X, weights=np.where(np.arange(M) < 3, 1.0, 1e-9), **options)
    groups = np.repeat(np.arange(M // 4), 4)
    clustered = avo.check(weighted, shifted, X, groups=groups, weights=W, **options)
    assert 20 <= clustered.rows < M // 4


def test_effective_number() -> None:
    assert effective_of(np.array([0.5, 0.5])) == 2.0
