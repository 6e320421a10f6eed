"""avo.refine.equation: exact algebra of slope, noise, information and residual."""

from typing import Any, NamedTuple

import numpy as np
import pytest
from scipy import special, stats

from avo.observations import Observed
from avo.refine.equation import (
    Contrasts,
    Damping,
    Noise,
    Residual,
    covariance_of_mean,
    information,
    slope,
    slope_by_condition,
    slope_given_success,
    slope_of_rows,
    success,
)

RNG = np.random.default_rng


def test_covariance_of_the_mean_is_that_over_m() -> None:
    t = RNG(0).normal([3.0, -100.0, 0.0], [0.1, 7.0, 2.0], (41, 3))
    expected = np.cov(t.T) / 41
    np.testing.assert_allclose(covariance_of_mean(t), expected, rtol=1e-12)
    np.testing.assert_allclose(covariance_of_mean(t, RNG(1).permutation(41)), expected, rtol=1e-12)


def test_covariance_of_the_mean_counts_clusters() -> None:
    t = RNG(0).normal([3.0, -100.0], [0.1, 7.0], (20, 2))
    clusters = np.repeat(np.arange(20), 3)
    order = RNG(1).permutation(60)
    copies = covariance_of_mean(np.repeat(t, 3, axis=0)[order], clusters[order])
    np.testing.assert_allclose(copies, covariance_of_mean(t), rtol=1e-12)  # copies teach nothing
    plain = covariance_of_mean(np.repeat(t, 3, axis=0))
    np.testing.assert_allclose(copies, 3 * plain * (20 / 19) / (60 / 59), rtol=1e-12)
    # Clusters of unequal size: by hand, sums (-1, 4, -3) of deviations from 3
    uneven = covariance_of_mean(np.array([[2.0], [1.0], [8.0], [4.0], [0.0]]), np.array([0, 1, 1, 2, 2]))
    np.testing.assert_allclose(uneven, (1 + 9 + 4) / 25 * 3 / 2)


class Known(NamedTuple):
    """The noise of a slope, by the covariance of its entries."""

    covariance: np.ndarray

    def bias(self, W: np.ndarray) -> np.ndarray:
        return np.einsum("ij,iajb->ab", W, self.covariance)


def covariance_of(noise: Any) -> np.ndarray:
    """Covariance of a slope's entries, (k, d, k, d), from independent terms."""
    return np.einsum("ni,na,nj,nb->iajb", *(noise.residuals, noise.weights) * 2)


def test_slope_is_exact_for_what_is_odd_up_to_curvature() -> None:
    A = np.array([[2.0, -0.3], [0.0, 50.0], [1e-3, 1.0]])
    du = RNG(0).normal(size=(30, 2)) @ np.array([[0.2, 0.0], [-0.1, 0.01]])
    t = lambda du: du @ A.T + 7.0 * du[:, :1] * du[:, 1:] + np.cos(9 * du[:, :1]) - 4.0  # noqa: E731
    found, error = slope(du, t(du), t(-du))
    noise = covariance_of(error)
    np.testing.assert_allclose(found, A, rtol=1e-9, atol=1e-10)
    np.testing.assert_allclose(noise, 0.0, atol=1e-18)
    assert noise.shape == (3, 2, 3, 2)


def test_the_noise_of_few_pairs_is_right_on_average() -> None:
    """Errors of variance one: E[dA^T dA] = (X^T X)^-1, which the stated one has where all pairs weigh the same.

    The mean of a quadratic over independent errors is its sum over one error at a time.
    """
    du = np.array([[1.0, 1.0], [1.0, -1.0], [-1.0, 1.0], [-1.0, -1.0]]) * [0.5, 2.0]
    stated = sum(slope(du, e[:, None], -e[:, None])[1].bias(np.eye(1)) for e in np.eye(4))
    np.testing.assert_allclose(stated, np.linalg.inv(du.T @ du), rtol=1e-12)


def test_slope_knows_its_noise() -> None:
    """The stated covariance against the spread over repeats, with errors that grow with |du|."""
    rng, A = RNG(1), np.array([[1.0, -2.0], [0.0, 3.0], [0.5, 0.5]])
    mix = np.array([[1.0, 0.0, 0.0], [0.8, 0.5, 0.0], [0.0, 0.0, 3.0]])
    du = rng.normal(size=(80, 2)) * [0.5, 2.0]
    found, stated = [], []
    for _ in range(1000):
        e = rng.normal(size=(80, 3)) @ mix.T * (0.3 + np.abs(du[:, :1]))
        a, error = slope(du, du @ A.T + e + 3.0, -du @ A.T - e + 3.0)
        noise = covariance_of(error)
        found.append(a.ravel())
        stated.append(noise.reshape(6, 6))
    spread, mean = np.cov(np.array(found).T), np.mean(stated, 0)
    size = np.sqrt(np.outer(np.diagonal(spread), np.diagonal(spread)))
    # 1000 repeats know a variance to sqrt(2 / 1000) = 4.5 %; that of 80 unequal errors is a few per cent too small
    assert np.abs((mean - spread) / size).max() < 4 * 0.045
    assert np.abs(np.diagonal(mean) / np.diagonal(spread) - 1).mean() < 0.12
    np.testing.assert_allclose(np.mean(found, 0), A.ravel(), atol=4 * np.sqrt(np.diagonal(spread) / 1000).max())


def test_slope_by_condition_is_that_at_the_mean_of_the_observed_conditions() -> None:
    """Conditions of few pairs, of another mean than the observed ones, say how the slope depends on them."""
    rng, A = RNG(2), np.array([[2.0, -0.3], [0.0, 50.0], [1e-3, 1.0]])
    B = rng.normal(size=(2, 3, 2)) * 5.0
    du, f = rng.normal(size=(40, 2)) * [0.2, 3.0], rng.normal(size=(40, 2)) + [0.4, -0.3]
    odd = du @ A.T + np.einsum("np,pkd,nd->nk", f, B, du)
    found, noise = slope_by_condition(du, odd, -odd, f)
    np.testing.assert_allclose(found, A, rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(noise.bias(np.eye(3)), 0.0, atol=1e-18)
    whole, error = slope(du, odd, -odd)
    assert np.abs(whole - A).max() > 1.0 and error.bias(np.eye(3)).trace() > 0.1
    # Of pairs too few for 2 x 3 numbers each, and where nothing is known of conditions, it is the plain one
    for some, known in ((slice(0, 23), f), (slice(None), None)):
        few, _ = slope_by_condition(du[some], odd[some], -odd[some], None if known is None else known[some])
        np.testing.assert_array_equal(few, slope(du[some], odd[some], -odd[some])[0])


def test_contrasts_have_mean_zero_variance_one_and_no_column_twice() -> None:
    """Two kinds, a constant and a number: the square of a kind, and its product with the constant, say nothing new."""
    rng = RNG(3)
    own = np.column_stack([np.arange(90) % 3 == 0, np.full(90, 7.0), rng.exponential(size=90)]).astype(float)
    f = Contrasts.of(Observed(np.zeros((90, 1)), own))
    assert f is not None
    np.testing.assert_allclose(f(own).mean(0), 0.0, atol=1e-12)
    np.testing.assert_allclose(f(own).T @ f(own) / 90, np.eye(4), atol=1e-9)  # kind, number, its square, and product
    shares = np.where(own[:, 0] > 0, 3.0, 1.0)
    weighted = Contrasts.of(Observed(np.zeros((90, 1)), own, shares=shares / shares.sum()))
    assert weighted is not None
    np.testing.assert_allclose(shares @ weighted(own), 0.0, atol=1e-9)
    assert Contrasts.of(Observed(np.zeros((90, 1)), np.full((90, 1), 7.0))) is None
    assert Contrasts.of(Observed(np.zeros((90, 1)))) is None


A3 = np.array([[2.0, 0.5], [-1.0, 3.0], [0.0, 0.2]])
V3 = np.array([[0.04, 0.01, 0.0], [0.01, 0.09, -0.02], [0.0, -0.02, 0.5]])
NOISE = 1e-5 * np.einsum("ij,ab->iajb", V3, np.array([[2.0, 0.3], [0.3, 1.0]]))


def test_information_is_exact() -> None:
    found = information(A3, V3, Known(NOISE))
    G = A3.T @ np.linalg.inv(V3) @ A3 - 3e-5 * np.array([[2.0, 0.3], [0.3, 1.0]])  # trace of V^-1 V is three
    np.testing.assert_allclose(found.vectors * found.values @ found.vectors.T, G, rtol=1e-9)
    np.testing.assert_allclose(found.sd, found.values**-0.5, rtol=1e-12)
    assert found.identified.all()
    np.testing.assert_allclose(found.inverse @ A3, np.eye(2), atol=1e-12)
    np.testing.assert_allclose(found.start_covariance(np.eye(2)), 0.0)
    # The weighted least-squares inverse: its error is that of G
    np.testing.assert_allclose(
        found.inverse @ V3 @ found.inverse.T, np.linalg.inv(A3.T @ np.linalg.inv(V3) @ A3), rtol=1e-9
    )


def test_truncated_inverse_is_a_projector() -> None:
    """Only u1 - 2 u2 moves t: that direction is kept, the other neither steps nor gets an error."""
    along = np.array([1.0, -2.0]) / np.sqrt(5)
    A = np.outer([2.0, 1.0, -3.0], along)
    found = information(A, V3, Known(1e-5 * NOISE))
    assert found.identified.tolist() == [False, True]
    P = found.inverse @ A
    np.testing.assert_allclose(P @ P, P, atol=1e-10)
    np.testing.assert_allclose(P, np.outer(along, along), atol=1e-7)
    across = np.array([2.0, 1.0]) / np.sqrt(5)
    np.testing.assert_allclose(found.start_covariance(np.eye(2)), 1.5**2 * np.outer(across, across), atol=1e-6)
    # In u = L v it is as wide, along the direction that L leads to: (.5, 0) and (.2, .7) give .5 * 2 + .2, .7
    leads = np.array([1.2, 0.7]) / np.sqrt(1.2**2 + 0.7**2)
    L = np.array([[0.5, 0.2], [0.0, 0.7]])
    np.testing.assert_allclose(found.start_covariance(L), 1.5**2 * np.outer(leads, leads), atol=1e-6)
    assert np.isinf(found.sd[0]) or found.sd[0] > 1e3


def test_information_does_not_depend_on_the_units_of_t() -> None:
    B = RNG(2).normal(size=(3, 3)) * [[100.0], [1.0], [0.01]]
    other = information(B @ A3, B @ V3 @ B.T, Known(np.einsum("ij,jakb,lk->ialb", B, NOISE, B)))
    found = information(A3, V3, Known(NOISE))
    np.testing.assert_allclose(other.values, found.values, rtol=1e-6)
    r = np.array([0.3, -0.1, 0.2])
    np.testing.assert_allclose(other.inverse @ B @ r, found.inverse @ r, rtol=1e-6)


@pytest.mark.parametrize(("k", "d"), [(2, 1), (3, 2), (5, 5), (10, 10)])
def test_noise_identifies_nothing(k: int, d: int) -> None:
    """200 slopes that are nothing but noise; 1e-3 is the level of each direction's test."""
    rng, wrong, values = RNG(3), 0, []
    root, axes = rng.normal(size=(k, k)), np.diag(rng.uniform(0.5, 3, d))
    V = root @ root.T * 1e-4  # small: a sharp t, of which one would believe anything
    for _ in range(200):
        if d > 5:
            A, noise = root @ rng.normal(size=(k, d)) @ axes, np.einsum("ij,ab->iajb", root @ root.T, axes**2)
        else:
            rows = np.einsum("ij,njd,de->nie", root, rng.normal(size=(400, k, d)), axes)
            A, noise = rows.mean(0), np.cov(rows.reshape(400, -1).T).reshape(k, d, k, d) / 400  # as one would know it
        found = information(A / 20, V, Known(noise / 400))
        wrong += bool(found.identified.any())
        values.append(np.trace(found.vectors * found.values @ found.vectors.T))
    assert wrong <= 4
    # Without its bias the information is zero on average
    assert abs(np.mean(values)) < 4 * np.std(values) / np.sqrt(200)


def test_wide_directions_are_not_identified() -> None:
    for sd, identified in ((0.49, True), (0.51, False)):
        found = information(np.eye(1), np.array([[sd**2]]), Known(np.full((1, 1, 1, 1), 1e-9)))
        assert found.identified.tolist() == [identified]


def test_a_stride_is_halved_where_a_step_turns_back() -> None:
    damping = Damping()
    steps = np.array([[1.0, 2.0], [0.1, -3.0], [-5.0, 0.0], [-1.0, 1.0], [-1.0, 1.0], [-1.0, 1.0], [-1.0, 1.0]])
    assert [damping.stride(step) for step in steps] == [1.0, 0.5, 0.25, 0.5, 1.0, 1.0, 1.0]


def test_damping_ends_what_a_full_step_would_repeat_for_ever() -> None:
    """m(u) = arctan(u) at u = 1.5: Newton's steps grow from here on."""
    u, damping = 1.5, Damping()
    for _ in range(20):
        step = np.array([-np.arctan(u) * (1 + u**2)])
        u += damping.stride(step) * step[0]
    assert abs(u) < 1e-6


def test_step_and_what_it_leaves() -> None:
    found = information(A3, V3, Known(NOISE))
    du = np.array([0.02, -0.05])
    on = Residual(A3 @ du, V3, V3, 0.5 * V3)
    move, covariance = on.step(found)
    np.testing.assert_allclose(move, du, rtol=1e-10)
    G = A3.T @ np.linalg.inv(V3) @ A3
    np.testing.assert_allclose(covariance, 1.5 * np.linalg.inv(G), rtol=1e-9)
    # Per direction, of two; noise that the move makes up for lengthens the standard errors
    np.testing.assert_allclose(on.length(found, move), np.sqrt(du @ G @ du / 1.5 / 2), rtol=1e-9)
    np.testing.assert_allclose(on.length(found, move, 2.5 * V3), np.sqrt(du @ G @ du / 4 / 2), rtol=1e-9)
    assert not on.unexplained(found, A3)
    off = np.cross(*A3.T)
    off = V3 @ off / np.sqrt(off @ V3 @ off)  # one standard deviation, of which no step explains anything
    for size, expected in ((3.0, False), (8.0, True)):
        assert Residual(A3 @ du + size * off, V3, V3, 1e-9 * V3).unexplained(found, A3) == expected


# --- where calls fail ------------------------------------------------------------------------------------------------


def some_pairs(n: int, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """x = theta + noise in two dimensions, at mirrored places a tenth of the noise apart."""
    rng = np.random.default_rng(seed)
    du, e = rng.normal(size=(n, 2)) * [0.1, 0.05], rng.normal(size=(n, 2))
    return du, e + du, e - du


def test_slope_where_calls_fail_by_chance_is_that_of_the_pairs_that_succeed() -> None:
    du, plus, minus = some_pairs(300, 0)
    t_plus, t_minus = plus + 0.3 * plus**2, minus + 0.3 * minus**2
    ok = np.random.default_rng(1).random(300) > 0.4
    A, noise = slope_given_success(du, t_plus, t_minus, np.column_stack([ok, ok]))
    expected, its_noise = slope(du[ok], t_plus[ok], t_minus[ok])
    np.testing.assert_allclose(A, expected, rtol=1e-12)
    np.testing.assert_allclose(noise.bias(np.eye(2)), its_noise.bias(np.eye(2)), rtol=1e-10)


def test_slope_where_calls_fail_by_their_x_is_that_of_the_mean_given_success() -> None:
    """Given x1 < 0.4 the mean of x1 moves by 1 - h (h + 0.4), h the inverse Mills ratio,, that of x2 by 1."""
    mills = stats.norm.pdf(0.4) / stats.norm.cdf(0.4)
    truth = np.diag([1 - mills * (mills + 0.4), 1.0])
    found, errors = [], []
    for seed in range(20):
        du, plus, minus = some_pairs(4000, seed)
        s = np.column_stack([plus[:, 0], minus[:, 0]]) < 0.4
        A, noise = slope_given_success(du, plus, minus, s)
        found.append(A)
        errors.append(noise.bias(np.array([[1.0, 0.0], [0.0, 0.0]]))[0, 0])
    spread = np.std(found, axis=0, ddof=1)
    assert np.all(np.abs(np.mean(found, axis=0) - truth) < 4 * spread / np.sqrt(20) + 0.01)
    assert abs(np.mean(found, axis=0)[0, 0] - 1.0) > 0.5  # what pairs that succeed say alone
    np.testing.assert_allclose(np.sqrt(np.mean(errors)), spread[0, 0], rtol=0.5)


def test_slope_of_rows_agrees_with_least_squares_and_states_its_noise() -> None:
    rng = np.random.default_rng(3)
    du = rng.normal(size=(200, 2)) * [1.0, 0.2] + 0.4
    truth, found, stated = np.array([[1.5, -0.5], [0.0, 2.0], [1.0, 1.0]]), [], []
    for _ in range(200):
        t = du @ truth.T + 0.7 + rng.normal(size=(200, 3)) * [1.0, 0.3, 2.0]
        A, noise = slope_of_rows(du, t)
        found.append(A)
        stated.append(noise.bias(np.diag([1.0, 0.0, 0.0])))
    line = np.linalg.lstsq(np.column_stack([np.ones(200), du]), t, rcond=None)[0]
    np.testing.assert_allclose(A, line[1:].T, rtol=1e-10, atol=1e-12)
    np.testing.assert_allclose(np.mean(stated, axis=0), np.cov(np.array(found)[:, 0].T), rtol=0.35, atol=0.002)


def test_success_recovers_a_logistic_law() -> None:
    rng = np.random.default_rng(4)
    zeta = rng.normal(size=(20_000, 2))
    p = special.expit(0.8 + zeta @ [0.5, -1.5])
    assert np.abs(success(zeta, rng.random(20_000) < p) - p).max() < 0.03
    assert np.all(success(zeta, np.ones(20_000, bool)) > 0.999)


def test_noise_alone_is_seldom_taken_for_a_direction_that_moves_t() -> None:
    """In 2 of 1000 cases, the clearest of three directions; against a chi-square of its own it would be in 80."""
    rng, rows, found = np.random.default_rng(0), 60, 0
    V = 1e-8 * np.diag([1.0, 4.0, 0.25])
    for _ in range(600):
        weights = rng.normal(size=(rows, 3)) * np.array([1.0, 0.3, 5.0])
        residuals = rng.normal(size=(rows, 3)) * np.array([1.0, 2.0, 0.5])
        told = information(residuals.T @ weights, V, Noise(residuals, weights), np.inf, singly=True)
        found += bool(told.identified.any())
    assert found <= 6
