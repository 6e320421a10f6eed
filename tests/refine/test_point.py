"""avo.refine.point: exact algebra, and estimates with errors that are known in closed form.

Simulations have three values, conditions included, and two parameters: all fits share their compiled programs.
"""

from functools import cache
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

import avo
from avo.execution.blocks import Drawn, Draws
from avo.observations import Observed
from avo.refine import point as fisher
from avo.refine import population, statistic
from avo.refine.equation import Equation, Noise, Residual, covariance_of_mean, information, slope
from avo.refine.estimate import Estimate, Moments
from avo.refine.statistic import monomials

RNG = np.random.default_rng
SIZE, BUDGET, M = 64, 16_384, 300


def point(simulate: Any, x: np.ndarray, space: avo.Space, start: Any, budget: int = BUDGET, **known: Any) -> Estimate:
    """Refine from a start in u; no call is left over or too many."""
    draws = Draws(jax.jit(simulate), space, jax.random.key(7), SIZE, x.shape[1:], known.get("inputs"))
    found = fisher.solve_point(draws, Observed(x, **known), np.asarray(start, float), 0.1 * np.eye(2), budget, seed=3)
    assert draws.calls == budget
    return found


# --- algebra ---------------------------------------------------------------------------------------------------------


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
    # Groups of unequal size: by hand, sums (-1, 4, -3) of deviations from 3
    uneven = covariance_of_mean(np.array([[2.0], [1.0], [8.0], [4.0], [0.0]]), np.array([0, 1, 1, 2, 2]))
    np.testing.assert_allclose(uneven, (1 + 9 + 4) / 25 * 3 / 2)


class Known(NamedTuple):
    """The noise of a slope, by the covariance of its entries."""

    covariance: np.ndarray

    def bias(self, W: np.ndarray) -> np.ndarray:
        return np.einsum("ij,iajb->ab", W, self.covariance)


def covariance_of(noise: Any) -> np.ndarray:
    """Covariance of a slope's entries, (k, d, k, d), from independent terms."""
    return np.einsum("ni,na,nj,nb->iajb", noise.rest, noise.h, noise.rest, noise.h)


def test_own_scores_are_those_of_each_part() -> None:
    rng = RNG(1)
    factor, mean = np.array([[0.3, 0.0], [-0.2, 2.0]]), np.array([1.0, -4.0])
    zeta = np.concatenate([rng.normal(size=(500, 2)) @ factor.T + mean, np.ones((60, 2)), rng.normal(size=(7, 2))])
    own, known = np.cov(zeta[:500].T), np.array([0.25, 3.0])
    y, weight = statistic._own_scores(zeta, np.repeat([0, 1, 2], [500, 60, 7]), np.zeros(2))
    np.testing.assert_allclose(y[:500], np.linalg.solve(own, (zeta[:500] - zeta[:500].mean(0)).T).T, rtol=1e-9)
    # wide parts weigh no more than one in units of q; those that do not spread, or are few, nothing
    np.testing.assert_allclose(weight[0], np.minimum(1 / np.diagonal(np.linalg.inv(own)), 1))
    assert weight[0, 1] == 1.0 and weight[0, 0] < 0.1
    assert weight.shape == (3, 2) and not weight[1:].any()
    # E[y | x] is the same for all parts where u + e is seen, e of variance 1 / known: known x / (known + 1)
    y, weight = statistic._own_scores(zeta[:500], np.zeros(500, int), known)
    posterior = np.linalg.inv(np.diag(known) + np.linalg.inv(own))
    slope = np.linalg.inv(own) @ np.cov(zeta[:500].T, y.T)[:2, 2:]  # of y on zeta
    np.testing.assert_allclose(slope.T @ posterior @ np.diag(known), np.diag(known / (known + 1)), atol=1e-9)
    np.testing.assert_allclose(weight[0, 1], min(4.0 / np.linalg.inv(posterior)[1, 1], 1.0))


def test_slope_is_exact_for_what_is_odd_up_to_curvature() -> None:
    A = np.array([[2.0, -0.3], [0.0, 50.0], [1e-3, 1.0]])
    du = RNG(0).normal(size=(30, 2)) @ np.array([[0.2, 0.0], [-0.1, 0.01]])
    t = lambda du: du @ A.T + 7.0 * du[:, :1] * du[:, 1:] + np.cos(9 * du[:, :1]) - 4.0  # noqa: E731
    found, error = slope(du, t(du), t(-du))
    noise = covariance_of(error)
    np.testing.assert_allclose(found, A, rtol=1e-9, atol=1e-10)
    np.testing.assert_allclose(noise, 0.0, atol=1e-18)
    assert noise.shape == (3, 2, 3, 2)


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
    np.testing.assert_allclose(found.free(), 0.0)
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
    np.testing.assert_allclose(found.free(), 1.5**2 * np.outer(across, across), atol=1e-6)
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


def test_wide_directions_are_not_determined() -> None:
    for sd, identified in ((0.49, True), (0.51, False)):
        found = information(np.eye(1), np.array([[sd**2]]), Known(np.full((1, 1, 1, 1), 1e-9)))
        assert found.identified.tolist() == [identified]


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


def test_monomials_are_the_score_of_the_proposal() -> None:
    rng = RNG(4)
    loc, L = rng.normal(size=3), np.tril(rng.normal(size=(3, 3))) + 2 * np.eye(3)
    i, j = np.triu_indices(3)

    def log_prob(delta: Any, u: Any) -> Any:
        S = jnp.zeros((3, 3)).at[i, j].set(delta[3:]).at[j, i].set(delta[3:])
        return jax.scipy.stats.multivariate_normal.logpdf(u, loc + L @ delta[:3], L @ (jnp.eye(3) + S) @ L.T)

    zeta = rng.normal(size=(5, 3))
    exact = [jax.grad(log_prob)(jnp.zeros(9), jnp.asarray(loc + L @ z)) for z in zeta]
    np.testing.assert_allclose(monomials(zeta), exact, rtol=1e-9, atol=1e-9)


def test_chain_maps_steps_to_moments() -> None:
    rng = RNG(5)
    loc, L, delta = rng.normal(size=2), rng.normal(size=(2, 2)), rng.normal(size=5)
    mean, spread = population._moved(loc, L, delta)
    S = np.array([[delta[2], delta[3]], [delta[3], delta[4]]])
    np.testing.assert_allclose(mean, loc + L @ delta[:2])
    np.testing.assert_allclose(spread, L @ (np.eye(2) + S) @ L.T)
    change = np.concatenate([mean - loc, (spread - L @ L.T)[np.triu_indices(2)]])
    np.testing.assert_allclose(population._chain(L) @ delta, change, rtol=1e-9)


def test_a_populations_step_is_bounded() -> None:
    np.testing.assert_allclose(
        population._bounded(np.array([0.1, -0.2, 0.3, 0.1, -0.2]), 2), [0.1, -0.2, 0.3, 0.1, -0.2]
    )
    far = population._bounded(np.array([3.0, -4.0, 50.0, 0.0, -7.0]), 2)
    np.testing.assert_allclose(far, [0.6, -0.8, np.e - 1, 0.0, np.exp(-1) - 1])


# --- points ----------------------------------------------------------------------------------------------------------

# x ~ N(H theta, S), three values and two parameters of unequal scale
H = np.array([[1.0, 0.5], [-0.4, 2.0], [0.3, 0.3]])
ROOT = np.array([[0.7, 0.0, 0.0], [0.3, 1.3, 0.0], [-0.2, 0.1, 0.4]])
LINE = avo.Space(a=avo.Real(3.0, 2.0), b=avo.Real(-1.0, 0.5))
SCALE = np.array([2.0, 0.5])
TRUTH = np.array([4.1, -1.3])


def gauss(key: Any, theta: Any) -> Any:
    return theta @ H.T + jax.random.normal(key, (len(theta), 3)) @ ROOT.T


def least_squares(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The maximum-likelihood theta and, by the spread of these x, its error."""
    W = np.linalg.inv(ROOT @ ROOT.T)
    inverse = np.linalg.solve(H.T @ W @ H, H.T @ W)
    return inverse @ x.mean(0), np.sqrt(np.diagonal(inverse @ np.cov(x.T) @ inverse.T) / len(x))


@cache
def observed(seed: int = 0, m: int = M) -> np.ndarray:
    return TRUTH @ H.T + RNG(seed).normal(size=(m, 3)) @ ROOT.T


def limit(calls: int, m: int) -> float:
    return float(np.sqrt(1 + m / calls))


class Linear(eqx.Module):
    """A statistic that is known, W x."""

    weights: Any

    def __call__(self, x: Any, c: Any = None) -> Any:
        return self.weights @ x


def settled(
    simulate: Any, x: np.ndarray, space: avo.Space, weights: Any, start: Any, zeta: Any = None, **known: Any
) -> Estimate:
    """The last steps with a statistic that is known: errors are then exact, up to those of M simulations."""
    draws = Draws(jax.jit(simulate), space, jax.random.key(7), SIZE, x.shape[1:], known.get("inputs"))
    t: Any = Linear(jnp.asarray(weights))
    equation = Equation(draws, Observed(x, **known), t, len(weights))
    factor, zeta = 0.1 * np.eye(space.dim), RNG(8).normal(size=(512, space.dim)) if zeta is None else zeta
    found = fisher._settle(equation, np.asarray(start, float), factor, zeta, BUDGET, t, (np.zeros(2), factor))
    assert draws.calls == BUDGET
    if np.isfinite(found.moved):  # pairs and centre: all calls
        np.testing.assert_allclose(found.simulation_noise, limit(BUDGET, len(x)), rtol=1e-12)
    return found


def test_last_steps_are_exact_for_a_known_statistic() -> None:
    x = observed()
    start = LINE.unconstrain(TRUTH) + np.array([0.015, -0.05])
    found = settled(gauss, x, LINE, np.eye(3), start)
    best, error = least_squares(x)
    # Three values weighted by their observed covariance, which 300 rows know to a few per cent
    S = np.cov(x.T)
    W = np.linalg.inv(S)
    inverse = np.linalg.solve(H.T @ W @ H, H.T @ W)
    exact = np.sqrt(np.diagonal(inverse @ S @ inverse.T) / M)
    # 15,360 simulations know their covariance to 1 %, of which the error has a fiftieth
    np.testing.assert_allclose(found.stderr(LINE), exact * np.sqrt(1 + M / 15_360), rtol=2e-3)
    apart = np.sqrt(M / 15_360) * exact
    assert np.all(np.abs(np.asarray(LINE.constrain(found.loc)) - inverse @ x.mean(0)) < 4 * apart)
    assert found.moved < 1 and found.freedom == M - 1 and found.identified.all()
    np.testing.assert_allclose(
        1 / found.values, np.linalg.eigvalsh(found.covariance)[::-1] / (1 + M / 15_360), rtol=0.01
    )


def test_an_equation_that_is_not_solved_gives_no_estimate() -> None:
    """Too far for five steps of three widths; and three values that no two parameters have."""
    x, start = observed(), np.asarray(LINE.unconstrain(TRUTH)) + [0.015, -0.05]
    assert settled(gauss, x, LINE, np.eye(3), start).moved < fisher.STILL
    assert settled(gauss, x, LINE, np.eye(3), start + 40.0).moved == np.inf
    aside = np.linalg.svd(H.T)[2][2]
    np.testing.assert_allclose(aside @ H, 0.0, atol=1e-12)
    assert settled(gauss, x + 0.5 * aside, LINE, np.eye(3), start).moved == np.inf


def test_last_steps_count_clusters() -> None:
    x, clusters = observed(seed=4, m=100), np.tile(np.arange(100), 3)
    weights = np.linalg.inv(H.T @ np.linalg.inv(ROOT @ ROOT.T) @ H) @ H.T @ np.linalg.inv(ROOT @ ROOT.T)
    found = settled(gauss, np.tile(x, (3, 1)), LINE, weights, LINE.unconstrain(TRUTH), clusters=clusters)
    plain = settled(gauss, np.tile(x, (3, 1)), LINE, weights, LINE.unconstrain(TRUTH))
    assert (found.freedom, plain.freedom) == (99, 299)
    _, error = least_squares(x)
    simulated = np.sqrt(np.diagonal(weights @ ROOT @ ROOT.T @ weights.T) / 15_360)
    np.testing.assert_allclose(found.stderr(LINE), np.hypot(error, simulated), rtol=2e-3)
    np.testing.assert_allclose(plain.stderr(LINE), np.hypot(error * np.sqrt(99 / 299), simulated), rtol=2e-3)


def test_last_steps_know_the_conditions() -> None:
    """t = x: theta = mean x / mean c. How c scatters moves t by much more than the noise, and is no error."""
    m, noise, truth = 256, np.array([0.5, 4.0]), np.array([0.7, -4.0])
    c, e = RNG(2).normal(2.0, 3.0, (m, 1)), RNG(3).normal(size=(m, 2)) * noise
    space = avo.Space(a=avo.Real(), b=avo.Real(-3.0, 2.0))
    steps = np.repeat(np.eye(2), m, axis=0)  # each direction with each condition once: the slope is mean c
    found = settled(lines, c * truth + e, space, np.eye(2), space.unconstrain(truth + [0.005, -0.1]), steps, inputs=c)
    error = e.std(0, ddof=1) / np.sqrt(m) / c.mean()
    # A line and a parabola in c are taken out of the noise as the 15,360 simulations have them, here zero to 1 %
    np.testing.assert_allclose(found.stderr(space), error * found.simulation_noise, rtol=0.02)
    off = np.asarray(space.constrain(found.loc)) - truth - e.mean(0) / c.mean()
    assert np.all(np.abs(off) < 4 * error * np.sqrt(m / 15_360))
    assert np.abs(truth[0]) * c.std() > 3 * noise[0]  # taken for noise, the scatter of c would rule


def lines(key: Any, theta: Any, c: Any) -> Any:
    return theta * c + jax.random.normal(key, theta.shape) * jnp.array([[0.5, 4.0]])


@pytest.fixture(scope="module")
def normal() -> Estimate:
    return point(gauss, observed(), LINE, LINE.unconstrain(TRUTH) + np.array([0.15, -0.2]))


def test_point_is_the_maximum_likelihood_estimate_with_its_error(normal: Estimate) -> None:
    best, error = least_squares(observed())
    theta = np.asarray(LINE.constrain(normal.loc))
    assert normal.freedom == M - 1 and normal.population_covariance is None and normal.identified.all()
    # The simulations widen the error by more than all of them, and less than half of them, would
    assert limit(BUDGET, M) < normal.simulation_noise < limit(BUDGET // 2, M)
    np.testing.assert_allclose(normal.stderr(LINE), SCALE * normal.sd, rtol=1e-12)
    # What a t learned from 3000 pairs loses is a few per cent of the error; it gains nothing
    ratio = normal.stderr(LINE) / (error * normal.simulation_noise)
    assert np.all((0.97 < ratio) & (ratio < 1.12))
    apart = 4 * np.sqrt(normal.simulation_noise**2 - 1) + np.sqrt(np.maximum(ratio**2 - 1, 0))
    assert np.all(np.abs(theta - best) < apart * error)
    assert normal.moved < 1


def test_the_same_seed_gives_the_same_bits(normal: Estimate) -> None:
    again = point(gauss, observed(), LINE, LINE.unconstrain(TRUTH) + np.array([0.15, -0.2]))
    np.testing.assert_array_equal(again.loc, normal.loc)
    np.testing.assert_array_equal(again.covariance, normal.covariance)


SHAPED = avo.Space(mean=avo.Interval(-10, 30), sd=avo.LogInterval(0.1, 10))


def shaped(key: Any, theta: Any) -> Any:
    return theta[:, :1] + theta[:, 1:] * jax.random.normal(key, (len(theta), 3))


def test_point_in_a_bounded_space() -> None:
    x = RNG(1).normal(14.0, 2.5, (M, 3))
    found = point(shaped, x, SHAPED, np.asarray(SHAPED.unconstrain([14.3, 2.2])))
    theta, stderr = np.asarray(SHAPED.constrain(found.loc)), found.stderr(SHAPED)
    best = np.array([x.mean(), x.std()])
    spread = ((x - best[0]) ** 2).mean(1)
    error = np.array([x.mean(1).std(), spread.std() / 2 / best[1]]) / np.sqrt(M)  # those of the moments, as observed
    np.testing.assert_allclose(stderr, error * found.simulation_noise, rtol=0.06)
    # An estimate with 1.06 times the error of another lies sqrt(1.06^2 - 1) of it away; three times that
    assert np.all(np.abs(theta - best) < 3 * np.sqrt((1.06 * found.simulation_noise) ** 2 - 1) * error)


def test_point_with_conditions_is_least_squares() -> None:
    """Lines through zero."""
    c = RNG(2).normal(2.0, 3.0, (M, 1))
    space = avo.Space(a=avo.Real(), b=avo.Real(-3.0, 2.0))
    x = c * [0.7, -4.0] + RNG(3).normal(size=(M, 2)) * [0.5, 4.0]
    found = point(lines, x, space, np.asarray(space.unconstrain([0.75, -4.3])), inputs=c)
    best = (c * x).sum(0) / (c**2).sum()
    error = np.sqrt((c**2 * (x - c * best) ** 2).sum(0)) / (c**2).sum()
    ratio = found.stderr(space) / (error * found.simulation_noise)
    # t must learn all products of c and x: it loses a fifth of the error at this budget, a tenth at four times as many
    assert np.all((0.95 < ratio) & (ratio < 1.35))
    apart = 4 * np.sqrt(found.simulation_noise**2 - 1) + 2 * np.sqrt(np.maximum(ratio**2 - 1, 0))
    assert np.all(np.abs(np.asarray(space.constrain(found.loc)) - best) < apart * error)


def test_error_under_a_wrong_model_is_the_observations_own() -> None:
    """Counts three times as scattered as the Poisson model says: the mean's error is sd / sqrt(m)."""
    rates = np.array([6.0, 20.0, 20.0])
    x = RNG(5).negative_binomial(rates / 2, 1 / 3, (M, 3)).astype(float)
    space = avo.Space(low=avo.Positive(5.0), high=avo.LogInterval(1, 100))

    def counts(key: Any, theta: Any) -> Any:
        return jax.random.poisson(key, theta[:, np.array([0, 1, 1])]).astype(float)

    found = point(counts, x, space, np.asarray(space.unconstrain([6.3, 19.0])))
    z = np.stack([x[:, 0], x[:, 1:].mean(1)], 1)
    error = z.std(0, ddof=1) / np.sqrt(M)
    assert np.all(error / np.sqrt(rates[:2] / [1, 2] / M) > 1.5)  # the model's own would be far too small
    np.testing.assert_allclose(found.stderr(space), error * found.simulation_noise, rtol=0.1)
    # t is learned under the model, hence not quite linear in x; where it is, the estimate is the mean
    assert np.all(np.abs(np.asarray(space.constrain(found.loc)) - z.mean(0)) < error)


def test_what_is_not_identified_is_said() -> None:
    """x depends on u1 + u2 alone."""
    space = avo.Space(a=avo.Real(), b=avo.Interval(-3, 5))
    H = np.array([[1.0, -0.5, 3.0]])

    def together(key: Any, theta: Any) -> Any:
        u = theta[:, :1] - jnp.log(8 / (theta[:, 1:] + 3) - 1)
        return u @ H + jax.random.normal(key, (len(theta), 3))

    x = np.asarray(together(jax.random.key(8), space.constrain(np.tile([0.4, -0.2], (M, 1)))))
    found = point(together, x, space, [0.5, -0.1])
    best = (x @ H.T / (H @ H.T)).mean()
    error = 1 / np.sqrt((H @ H.T)[0, 0] * M)
    assert found.identified.tolist() == [False, True]
    np.testing.assert_allclose(np.abs(found.vectors[:, 1]), np.sqrt(0.5), atol=0.01)
    assert np.sign(found.vectors[0, 1]) == np.sign(found.vectors[1, 1])
    # Newton takes no step across; along it is as precise as any estimate of the sum
    assert abs(found.loc.sum() - best) < 4 * error * np.sqrt(found.simulation_noise**2 - 1) + 0.15 * error
    sd = np.sqrt(np.ones(2) @ found.covariance @ np.ones(2))  # a little of what is loose leaks into it
    assert 0.95 < sd / error < 1.15
    assert np.all(np.isinf(found.stderr(space)))
    np.testing.assert_array_equal(found.interval(space, 0.9), [[-np.inf, np.inf], [-3, 5]])
    first, second = found.identifiability(space.names)
    assert str(first).endswith("is not identified by these data") and second.identified
    assert first.weights[0] * first.weights[1] < 0 < second.weights[0] * second.weights[1]


def test_near_a_bound_the_truth_is_covered_or_the_parameter_flagged() -> None:
    space = avo.Space(a=avo.Interval(-3, 5), b=avo.Interval(-3, 5))
    truth = np.array([-3 + 8 * 0.999, 0.5])

    def both(key: Any, theta: Any) -> Any:
        e = jax.random.normal(key, (len(theta), 3))
        return theta[:, np.array([0, 1, 1])] + e

    x = np.asarray(both(jax.random.key(9), jnp.tile(jnp.asarray(truth), (M, 1))))
    found = point(both, x, space, [3.0, -0.3])
    low, high = found.interval(space, 0.999).T
    assert np.all((low <= truth) & (truth <= high))
    assert np.isfinite(found.stderr(space)[1]) and not found.loose[1]


def test_of_two_roots_the_nearest_is_found_and_covered() -> None:
    """x ~ N(theta^2, 1), started on the positive side of one parameter and the negative of the other."""
    space = avo.Space(a=avo.Real(), b=avo.Real())

    def squares(key: Any, theta: Any) -> Any:
        return theta[:, np.array([0, 1, 1])] ** 2 + jax.random.normal(key, (len(theta), 3))

    x = np.asarray(squares(jax.random.key(10), jnp.tile(jnp.array([[1.1, -0.8]]), (M, 1))))
    found = point(squares, x, space, [0.9, -1.1])
    means = np.array([x[:, 0].mean(), x[:, 1:].mean()])
    best = np.array([1, -1]) * np.sqrt(means)
    error = np.array([1, 0.5**0.5]) / np.sqrt(M) / 2 / np.abs(best)
    assert np.all(np.abs(found.loc - best) < error) and np.all(np.abs(found.loc - [1.1, -0.8]) < 4 * found.sd)
    # x scatters as it will: 4 %, and t is learned
    np.testing.assert_allclose(found.sd, error * found.simulation_noise, rtol=0.2)


# --- populations -----------------------------------------------------------------------------------------------------

POP_SPACE = avo.Space(a=avo.Real(), b=avo.Real())
E_SD = np.array([0.3, 0.5])


def noisy(key: Any, theta: Any) -> Any:
    """x = u + e, and a third value that says nothing."""
    e = jax.random.normal(key, (len(theta), 3))
    return jnp.concatenate([theta + e[:, :2] * E_SD[None], 3.0 + e[:, 2:]], axis=1)


def fit_population(x: np.ndarray, loc: Any, sd: float, budget: int = 40_960) -> Estimate:
    draws = Draws(jax.jit(noisy), POP_SPACE, jax.random.key(7), SIZE, (3,))
    found = population.solve_population(draws, Observed(x), np.asarray(loc, float), sd * np.eye(2), budget, seed=3)
    assert draws.calls == budget
    return found


def moments(found: Estimate) -> Moments:
    both = found.population(POP_SPACE)
    assert both is not None
    np.testing.assert_allclose(both.theta.mean, both.u.mean, atol=1e-3)
    return both.u


def test_population_has_the_observations_moments_less_the_noise() -> None:
    m, C = 1000, np.array([[0.5, -0.2], [-0.2, 0.3]])
    rng = RNG(6)
    u = rng.multivariate_normal([0.6, -1.1], C, m)
    x = np.concatenate([u + rng.normal(size=(m, 2)) * E_SD, 3.0 + rng.normal(size=(m, 1))], 1)
    found = fit_population(x, [0.4, -0.9], 0.5)
    n = m / (found.simulation_noise**2 - 1)
    assert 20_000 < n < 40_000  # the last round has half of the calls, and what the others left
    S = np.cov(x[:, :2].T, bias=True)
    V = C + np.diag(E_SD**2)
    scale = np.sqrt(np.diagonal(V) / m)
    i, j = np.triu_indices(2)
    z = x[:, :2] - x[:, :2].mean(0)
    entries = (z[:, i] * z[:, j]).std(0) / np.sqrt(m)
    np.testing.assert_allclose(found.sd, z.std(0) / np.sqrt(m) * found.simulation_noise, rtol=0.05)
    np.testing.assert_allclose(np.sqrt(np.diagonal(found.covariance)[2:]), entries * found.simulation_noise, rtol=0.1)
    assert found.population_covariance is not None
    near = 4 * np.sqrt(found.simulation_noise**2 - 1) + 0.15  # of an error: the simulations' noise, and what t loses
    assert np.all(np.abs(found.loc - x[:, :2].mean(0)) < near * scale)
    expected = S - np.diag(E_SD**2)
    assert np.all(np.abs(found.population_covariance - expected)[i, j] < near * entries)
    got = moments(found)
    np.testing.assert_allclose(got.sd, np.sqrt(np.diagonal(found.population_covariance)), rtol=1e-6)
    np.testing.assert_allclose(got.sd_stderr, entries[[0, 2]] / 2 / got.sd * found.simulation_noise, rtol=0.1)
    np.testing.assert_allclose(got.corr[0, 1], found.population_covariance[0, 1] / np.prod(got.sd), rtol=1e-6)
    assert np.isnan(got.sd_upper).all()
    covered = stats.chi2.isf(1e-4, 5)
    off = np.concatenate([found.loc - [0.6, -1.1], (found.population_covariance - C)[i, j]])
    assert off @ np.linalg.solve(found.covariance, off) < covered


def mixed(m: int, rng: Any) -> np.ndarray:
    """x of a population that is not normal: two values of u."""
    u = np.where(rng.uniform(size=(m, 1)) < 0.5, [0.0, -1.5], [1.2, -0.7])
    return np.concatenate([u + rng.normal(size=(m, 2)) * E_SD, 3.0 + rng.normal(size=(m, 1))], 1)


def test_a_last_step_that_is_too_long_counts_as_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    x = mixed(300, RNG(16))
    plain = fit_population(x, [0.4, -0.9], 0.5)
    monkeypatch.setattr(population, "STILL", 0.0)
    added = fit_population(x, [0.4, -0.9], 0.5)
    np.testing.assert_array_equal(added.loc, plain.loc)
    values = np.linalg.eigvalsh(added.covariance - plain.covariance)
    assert values[-1] > 0 and np.all(np.abs(values[:-1]) < 1e-9 * values[-1])
    assert added.moved == plain.moved > 0


def test_the_slope_of_a_population_is_a_sum_over_its_noise() -> None:
    rng, d = RNG(17), 2
    zeta = rng.normal(size=(400, d))
    draws = Draws(jax.jit(noisy), POP_SPACE, jax.random.key(7), SIZE, (3,))
    t: Any = Linear(jnp.asarray(rng.normal(size=(5, 3))))
    equation = Equation(draws, Observed(rng.normal(size=(50, 3))), t, 5)
    drawn = Drawn.of(zeta, rng.normal(size=(400, 3)) + np.append(zeta**2, zeta[:, :1], 1))
    found = population._against(equation, drawn, np.zeros(d), np.eye(d), zeta)
    of_drawn = drawn.x @ np.asarray(t.weights).T
    np.testing.assert_allclose(found.A, (of_drawn - of_drawn.mean(0)).T @ found.noise.h, atol=1e-9)


def test_encoded_observations_spread_as_encoded_simulations_where_a_population_fits() -> None:
    rng = RNG(18)
    t: Any = Linear(jnp.asarray([[1.0, 0.0, 0.5], [0.0, -2.0, 0.0]]))
    x, again = rng.normal(size=(300, 3)) * [1.0, 2.0, 1.0], Drawn.of(np.zeros((900, 2)), rng.normal(size=(900, 3)))
    sd, sd_sim, z = population._encoded(t, Observed(x), again)
    W = np.asarray(t.weights)
    np.testing.assert_allclose(sd, (x @ W.T).std(0), rtol=1e-6)
    np.testing.assert_allclose(sd_sim, (again.x @ W.T).std(0), rtol=1e-6)
    assert abs(z[0]) < 4
    # 16 and 4: the error of the first is 16 sqrt(2 / 300), of the second 4 sqrt(2 / 900)
    np.testing.assert_allclose(z[1], 12 / np.hypot(16 * np.sqrt(2 / 300), 4 * np.sqrt(2 / 900)), rtol=0.25)
    grouped = population._encoded(t, Observed(np.repeat(x, 2, axis=0), None, np.repeat(np.arange(300), 2)), again)
    np.testing.assert_allclose(grouped[2], z, rtol=1e-9)
    right = fit_population(
        np.concatenate([RNG(6).normal(size=(800, 2)), 3 + RNG(7).normal(size=(800, 1))], 1), [0, 0], 0.5
    )
    assert right.encoded is not None and np.all(np.abs(right.encoded[2]) < 4)


def test_population_without_spread_has_an_upper_bound() -> None:
    rng = RNG(7)
    x = np.concatenate([[0.6, -1.1] + rng.normal(size=(600, 2)) * E_SD, 3.0 + rng.normal(size=(600, 1))], 1)
    got = moments(fit_population(x, [0.5, -1.0], 0.2))
    assert np.isnan(got.sd_stderr).all()
    # E_SD^2 is known to sqrt(2 / 600) = 6 %: the variance is below 2 * 1.64 + 2 of that
    assert np.all(np.isfinite(got.sd_upper)) and np.all(got.sd_upper < np.sqrt(5 * 0.06) * E_SD)
    assert np.all(got.sd_upper >= got.sd)
    near = 4 * np.sqrt(600 / 20_480) + 0.15
    assert np.all(np.abs(got.mean - x[:, :2].mean(0)) < near * E_SD / np.sqrt(600))


def test_a_variance_that_would_be_negative_is_zero_and_the_rest_solved_anew() -> None:
    """m is linear in mean and covariance here; the observations scatter less in b than the simulations' noise alone."""
    rng = RNG(30)
    loc, factor = np.array([0.3, -1.0]), np.array([[0.5, 0.0], [0.2, 0.7]])
    A = rng.normal(size=(5, 5)) + 3 * np.eye(5)
    V = np.diag([1.0, 2.0, 0.5, 1.5, 1.0]) * 1e-6
    still = Noise(np.zeros((1, 5)), np.zeros((1, 5)))
    chain = population._chain(factor)

    def solved(mean: np.ndarray, spread: np.ndarray) -> tuple[population.Normal, population.Found]:
        psi = np.concatenate([mean - loc, (spread - factor @ factor.T)[np.triu_indices(2)]])
        r = A @ np.linalg.solve(chain, psi)
        return population.Comparison(loc, factor, A, still, Residual(r, V, V, 0 * V)).solve()

    mean, spread = np.array([0.5, -0.6]), np.array([[0.3, 0.1], [0.1, 0.4]])
    answer, found = solved(mean, spread)
    np.testing.assert_allclose(answer[0], mean, rtol=1e-9)
    np.testing.assert_allclose(answer[1], spread, rtol=1e-9)
    assert found.free.all() and found.information.identified.all()
    np.testing.assert_allclose(
        found.covariance(np.zeros((5, 5))), chain @ np.linalg.inv(A.T @ np.linalg.inv(V) @ A) @ chain.T, rtol=1e-6
    )

    answer, found = solved(mean, np.array([[0.3, 0.1], [0.1, -0.4]]))
    assert found.free.tolist() == [True, True, True, False, False]
    # Weighted least squares with the covariance and the variance of b held at zero
    B = A @ np.linalg.inv(chain)
    target = B @ np.concatenate(
        [mean - loc, (np.array([[0.3, 0.1], [0.1, -0.4]]) - factor @ factor.T)[np.triu_indices(2)]]
    )
    target = target + B[:, 3:] @ (factor @ factor.T)[np.triu_indices(2)][1:]
    weight = np.sqrt(1 / np.diag(V))
    known = np.linalg.lstsq(B[:, :3] * weight[:, None], target * weight, rcond=None)[0]
    np.testing.assert_allclose(np.concatenate([answer[0] - loc, [answer[1][0, 0] - 0.25]]), known, rtol=1e-8)
    np.testing.assert_allclose(answer[1].ravel()[1:], 0.0, atol=1e-15)
    beside = np.arange(25.0).reshape(5, 5)
    covariance = found.covariance(beside)
    np.testing.assert_array_equal(covariance[3:, 3:], beside[3:, 3:])
    np.testing.assert_array_equal(covariance[:3, 3:], 0.0)
    np.testing.assert_allclose(found.change((loc, 0 * spread), (loc + [0.5, 0.0], 0 * spread)), [1.0, 0.0, 0.0])
