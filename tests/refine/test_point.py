"""avo.refine.point: estimates with errors that are known in closed form.

Simulations have three values, conditions included, and two parameters: all fits share their compiled programs.
"""

from functools import cache
from types import SimpleNamespace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from known_statistic import Linear

import avo
from avo.execution.blocks import Draws
from avo.observations import Observed
from avo.refine import equation, point
from avo.refine.equation import Equation, Information, Noise, Residual, information
from avo.refine.estimate import Estimate
from avo.refine.linear import LinearDraws, LinearSpace
from avo.refine.modes import fits
from avo.refine.scores import Normal
from avo.refine.statistic import apply

pytestmark = pytest.mark.usefixtures("single_precision")

RNG = np.random.default_rng
SIZE, BUDGET, M = 64, 16_384, 300


def solve(simulate: Any, x: np.ndarray, space: avo.Space, start: Any, budget: int = BUDGET, **known: Any) -> Estimate:
    """Refine from a start in u; no call is left over or too many."""
    draws = Draws(jax.jit(simulate), space, jax.random.key(7), SIZE, x.shape[1:], known.get("inputs"))
    q = Normal(np.asarray(start, float), 0.1 * np.eye(2))
    found = point.solve_point(draws, Observed(x, **known), q, budget=budget, seed=3)
    assert draws.calls == budget
    return found


def limit(calls: int, m: int) -> float:
    return float(np.sqrt(1 + m / calls))


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


def settled(
    simulate: Any, x: np.ndarray, space: avo.Space, weights: Any, start: Any, zeta: Any = None, **known: Any
) -> Estimate:
    """The last steps with a statistic that is known: errors are then exact, up to those of M simulations."""
    draws = Draws(jax.jit(simulate), space, jax.random.key(7), SIZE, x.shape[1:], known.get("inputs"))
    t: Any = Linear(jnp.asarray(weights))
    solved = Equation(LinearDraws(draws), Observed(x, **known), t)
    q, zeta = Normal(np.asarray(start, float), 0.1 * np.eye(2)), RNG(8).normal(size=(512, 2)) if zeta is None else zeta
    found = point._settle(
        solved, LinearSpace(space), q, (zeta, RNG(10).normal(size=(1024, 2))), BUDGET, encoder=t, wide=q
    )
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


def test_an_equation_that_is_not_solved_gives_no_estimate_and_one_that_no_theta_solves_a_misfit() -> None:
    """Too far for five steps of three widths; and three values that no two parameters have: least squares of them."""
    x, start = observed(), np.asarray(LINE.unconstrain(TRUTH)) + [0.015, -0.05]
    right = settled(gauss, x, LINE, np.eye(3), start)
    assert right.moved < point.STILL and right.p_value is None  # of a known statistic nothing else is asked
    assert settled(gauss, x, LINE, np.eye(3), start + 40.0).moved == np.inf
    S = np.cov(x.T)
    aside = S @ np.linalg.svd(H.T)[2][2]  # what weighted least squares see nothing of
    np.testing.assert_allclose(aside @ np.linalg.inv(S) @ H, 0.0, atol=1e-12)
    wrong = settled(gauss, x + aside, LINE, np.eye(3), start)
    assert wrong.moved < point.STILL and wrong.p_value == equation.NEVER and not fits(wrong)
    np.testing.assert_allclose(wrong.loc, right.loc, atol=0.3 * right.sd.min())
    np.testing.assert_allclose(wrong.stderr(LINE), right.stderr(LINE), rtol=0.02)


def test_a_misfit_opens_q_less_the_more_directions_are_open() -> None:
    """What a wrong simulator cannot reproduce is nowhere; q of 1.5 in w, of 4, along twenty is mostly at the bounds."""
    for d, opened, soft in ((2, 1.5, 0.6), (4, 1.0, 0.4), (5, 0.75, 0.3), (21, 0.5, 0.3)):
        told = np.arange(d) == d - 1
        rough = np.where(told, 0.1, 1.1)
        found = Information(np.where(told, 2500.0, -1.0), np.eye(d), told, np.zeros((d, 1)), rough)
        for lost, width in ((True, opened), (False, soft)):
            widths = np.linalg.norm(point._adapt(found, Normal(np.zeros(d), 0.4 * np.eye(d)), 100.0, lost), axis=0)
            np.testing.assert_allclose(widths, np.where(told, point.NARROW * 10 * 0.02, width), rtol=1e-12)


def test_a_direction_that_moves_t_but_not_beyond_chance_keeps_its_width() -> None:
    """The second of three; the first opens, as one of two would; where t says that the answer is elsewhere, both do."""
    told, size = np.array([False, False, True]), np.array([0.4, 0.05, 0.03])
    found = Information(np.array([-1.0, 900.0, 2500.0]), np.eye(3), told, np.zeros((3, 1)), np.array([1.1, 0.5, 0.1]))
    for lost, first, second in ((False, 0.6, 0.05), (True, 1.5, 0.2)):
        widths = np.linalg.norm(point._adapt(found, Normal(np.zeros(3), np.diag(size)), 100.0, lost), axis=0)
        np.testing.assert_allclose(widths, [first, second, point.NARROW * 10 * 0.02], rtol=1e-12)


@pytest.mark.parametrize("near", [True, False])
def test_the_last_step_is_held_against_the_noise_of_both_ends(monkeypatch: pytest.MonkeyPatch, near: bool) -> None:
    """Residuals and covariances by hand; the step from `here` to the last loc makes up for the noise of `here` too.

        moved^2 = mean over directions of r^2 / (V_obs + V_sim + V_here),

    where r and V_sim are those of both ends, 1000 and 3000 simulations, if the first step was short.
    """
    a, r_here, r_there, way = (np.array(v) for v in ([2.0, 0.5], [0.05, -0.02], [-0.03, 0.04], [0.01, -0.03]))
    V_obs, V_here, V_there = (np.array(v) / 1e4 for v in ([4, 3], [7, 2], [1.5, 0.8]))
    here, there = (
        Residual(r, np.diag(V_obs), np.diag(V_obs), np.diag(V)) for r, V in ((r_here, V_here), (r_there, V_there))
    )
    still, start = Noise(np.zeros((1, 2)), np.zeros((1, 2))), np.array([0.4, -0.7])
    slope = point.Slope(np.diag(a), still, 500)
    found = information(slope.A, here.V, still)
    before = point.Approach(start, here, 1000, slope, found, 2.0 if near else 3.5, start + way)
    monkeypatch.setattr(point, "_approach", lambda *_: before)
    draws = SimpleNamespace(calls=2000, whole=int)
    equals: Any = SimpleNamespace(
        draws=draws,
        observed=Observed(np.arange(50.0)[:, None]),
        statistic=None,
        centre=lambda loc, rows: there,
        there=None,
    )
    q, t = Normal(np.zeros(2), np.eye(2)), Linear(np.eye(2))
    found = point._settle(equals, LinearSpace(LINE), q, (np.zeros((500, 2)), np.zeros((0, 2))), 5000, encoder=t, wide=q)
    r, V_sim = r_there, V_there
    if near:
        r, V_sim = 0.25 * (r_here - a * way) + 0.75 * r_there, 0.25**2 * V_here + 0.75**2 * V_there
    np.testing.assert_allclose(found.loc, start + way + r / a, rtol=1e-9)
    np.testing.assert_allclose(found.covariance, np.diag((V_obs + V_sim) / a**2), rtol=1e-9, atol=1e-15)
    np.testing.assert_allclose(found.moved, np.sqrt(np.mean(r**2 / (V_obs + V_sim + V_here))), rtol=1e-9)


def coin(key: Any, theta: Any) -> Any:
    """A normal number around a, and a coin whose log odds are b: of pairs that share random numbers few differ."""
    rows = (len(theta), 1)
    heads = jax.random.uniform(key, rows) < jax.nn.sigmoid(theta[:, 1:])
    return jnp.concatenate([theta[:, :1] + jax.random.normal(jax.random.fold_in(key, 1), rows), 1.0 * heads], axis=1)


def test_what_few_pairs_leave_to_chance_gets_more(monkeypatch: pytest.MonkeyPatch) -> None:
    """The slope of the coin is .235 +- .18 by 64 pairs, +- .04 by 1024 more."""
    space, start = avo.Space(a=avo.Real(), b=avo.Real()), np.array([0.3, 0.5])
    p = 1 / (1 + np.exp(-0.5))
    x = np.stack([0.3 + RNG(1).normal(size=M), np.arange(M) < p * M], axis=1).astype(float)
    found = settled(coin, x, space, np.eye(2), start, RNG(5).normal(size=(64, 2)))
    assert found.identified.all()
    np.testing.assert_allclose(found.stderr(space)[1], 1 / np.sqrt(M * p * (1 - p)), rtol=4 * 0.04 / 0.235)
    monkeypatch.setattr(point, "LEFT", 1e9)  # never
    found = settled(coin, x, space, np.eye(2), start, RNG(5).normal(size=(64, 2)))
    assert found.identified.tolist() == [False, True] and found.values[0] <= 0.0
    assert np.isinf(found.stderr(space)[1]) and np.isfinite(found.stderr(space)[0])


def test_slopes_are_joined_by_their_shares_of_the_pairs() -> None:
    """As if all pairs had been one regression on du with the same second moments, noise and all."""
    rng, du = RNG(4), np.concatenate([np.eye(2), -np.eye(2)])
    odd = rng.normal(size=(3, 4, 2))
    few = point.Slope(*equation.slope(du, odd[0], -odd[0]), 4)
    more_du, more_odd = np.tile(du, (2, 1)), odd[1:].reshape(8, 2)
    more = point.Slope(*equation.slope(more_du, more_odd, -more_odd), 8)
    A, noise, pairs = few.with_more(more)
    whole, _ = equation.slope(np.tile(du, (3, 1)), odd.reshape(12, 2), -odd.reshape(12, 2))
    np.testing.assert_allclose(A, whole, rtol=1e-12)
    assert pairs == 12
    W = np.array([[2.0, 0.3], [0.3, 1.0]])
    np.testing.assert_allclose(noise.bias(W), (few.noise.bias(W) + 4 * more.noise.bias(W)) / 9, rtol=1e-12)


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


@pytest.mark.usefixtures("double_precision")
def test_an_estimate_tells_of_rows_that_depend_on_one_another() -> None:
    """The noise of x, and so what rows say of theta, is an autoregression: r_k = .7^k, f^2 = 1.7 / .3."""
    m, start = 2000, LINE.unconstrain(TRUTH)
    e = RNG(6).normal(size=(m, 3))
    for i in range(1, m):
        e[i] = 0.7 * e[i - 1] + np.sqrt(0.51) * e[i]
    x = TRUTH @ H.T + e @ ROOT.T
    found = settled(gauss, x, LINE, np.eye(3), start).neighbours
    assert found is not None and found.dependent.all() and found.lag.tolist() == [1, 1]
    np.testing.assert_allclose(found.correlation, 0.7, atol=4 * np.sqrt(0.51 / m))
    np.testing.assert_allclose(found.widening, np.sqrt(1.7 / 0.3), rtol=0.15)  # an error of 2 sqrt(10 / m), and twice
    assert settled(gauss, x, LINE, np.eye(3), start, clusters=np.arange(m) // 50).neighbours is None
    found = settled(gauss, x[RNG(7).permutation(m)], LINE, np.eye(3), start).neighbours
    assert found is not None and not found.dependent.any()


def test_last_steps_know_the_conditions(monkeypatch: pytest.MonkeyPatch) -> None:
    """t = x: theta = mean x / mean c. How c scatters moves t by much more than the noise, and is no error."""
    monkeypatch.setattr(point, "ROUGH", np.inf)  # further pairs have other conditions
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
    return solve(gauss, observed(), LINE, LINE.unconstrain(TRUTH) + np.array([0.15, -0.2]))


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


def test_the_statistic_of_an_estimate_solves_the_equation(normal: Estimate) -> None:
    """mean of t over x_obs = E[t | u], by 40,000 simulations that are new; the fit had 10,000 at u itself."""
    theta = jnp.tile(LINE.constrain(jnp.asarray(normal.loc)), (40_000, 1))
    x = np.asarray(gauss(jax.random.key(11), theta))
    t_obs, t = apply(normal.statistic, observed()), apply(normal.statistic, x)
    off = np.abs(t_obs.mean(0) - t.mean(0)) / t.std(0)
    assert t.shape == (40_000, 2) and np.all(off < 4 * np.sqrt(1 / 40_000 + 1 / 10_000))


def test_the_same_seed_gives_the_same_bits(normal: Estimate) -> None:
    again = solve(gauss, observed(), LINE, LINE.unconstrain(TRUTH) + np.array([0.15, -0.2]))
    np.testing.assert_array_equal(again.loc, normal.loc)
    np.testing.assert_array_equal(again.covariance, normal.covariance)


SHAPED = avo.Space(mean=avo.Interval(-10, 30), sd=avo.LogInterval(0.1, 10))


def shaped(key: Any, theta: Any) -> Any:
    return theta[:, :1] + theta[:, 1:] * jax.random.normal(key, (len(theta), 3))


def test_point_in_a_bounded_space() -> None:
    x = RNG(1).normal(14.0, 2.5, (M, 3))
    found = solve(shaped, x, SHAPED, np.asarray(SHAPED.unconstrain([14.3, 2.2])))
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
    found = solve(lines, x, space, np.asarray(space.unconstrain([0.75, -4.3])), inputs=c)
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

    found = solve(counts, x, space, np.asarray(space.unconstrain([6.3, 19.0])))
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
    found = solve(together, x, space, [0.5, -0.1])
    best = (x @ H.T / (H @ H.T)).mean()
    error = 1 / np.sqrt((H @ H.T)[0, 0] * M)
    assert found.identified.tolist() == [False, True]
    np.testing.assert_allclose(np.abs(found.vectors[:, 1]), np.sqrt(0.5), atol=0.01)
    assert np.sign(found.vectors[0, 1]) == np.sign(found.vectors[1, 1])
    # Newton takes no step across; along it is as precise as any estimate of the sum
    assert abs(found.loc.sum() - best) < 4 * error * np.sqrt(found.simulation_noise**2 - 1) + 0.15 * error
    way = 1 / LinearSpace(space).rate(found.loc)  # of u1 + u2
    sd = np.sqrt(way @ found.covariance @ way)
    # What is loose, 1.5 wide, leaks into it where vectors are off, by .01 at most
    assert 0.95 * error < sd < np.hypot(error, 1.5 * 0.01)
    assert np.all(np.isinf(found.stderr(space)))
    np.testing.assert_array_equal(found.interval(space, 0.9), [[-np.inf, np.inf], [-3, 5]])
    first, second = found.identifiability(space)
    assert str(first).endswith("is not identified by these data") and second.identified
    assert first.weights[0] * first.weights[1] < 0 < second.weights[0] * second.weights[1]


def both(key: Any, theta: Any) -> Any:
    return theta[:, np.array([0, 1, 1])] + jax.random.normal(key, (len(theta), 3))


def test_near_a_bound_there_is_a_limit() -> None:
    """x = (a, b, b) + noise, a a fifth of its error below its upper bound: an ordinary interval, cut off."""
    space = avo.Space(a=avo.Interval(-3, 5), b=avo.Interval(-3, 5))
    x = RNG(9).normal(size=(M, 3))
    x = x - x.mean(0) + np.array([5 - 0.2 / np.sqrt(M), 0.5, 0.5])
    found = solve(both, x, space, [3.0, -0.3])
    error = np.array([1.0, np.sqrt(0.5)]) / np.sqrt(M)
    np.testing.assert_allclose(found.stderr(space), error * found.simulation_noise, rtol=0.15)
    assert np.all(np.abs(np.asarray(space.constrain(found.loc)) - x.mean(0)[:2]) < 0.3 * error)
    ends = found.interval(space, 0.9)
    np.testing.assert_allclose(ends[0], [5 - 0.2 * error[0] - 1.65 * error[0], 5.0], atol=0.5 * error[0])
    assert ends[0, 1] == 5.0
    assert found.p_value is not None and found.p_value > 0.005


def test_beyond_a_bound_the_others_follow_and_the_check_sees_it() -> None:
    """The observations want a = 4.3, which ends at 3.9: b is that of least squares at a = 3.9."""
    space = avo.Space(a=avo.Interval(-2.1, 3.9), b=avo.Real(-1.0, 0.5))
    x = observed()
    x = x - x.mean(0) + np.array([4.3, -1.3]) @ H.T
    found = solve(gauss, x, space, [2.5, -0.4])
    W = np.linalg.inv(ROOT @ ROOT.T)
    b = H[:, 1] @ W @ (x.mean(0) - 3.9 * H[:, 0]) / (H[:, 1] @ W @ H[:, 1])
    theta, error = np.asarray(space.constrain(found.loc)), least_squares(x)[1]
    np.testing.assert_allclose(theta[0], 3.9, atol=1e-4)
    assert abs(b + 1.3) > 2 * error[1]  # left alone b would have been 1.3
    assert abs(theta[1] - b) < (4 * np.sqrt(found.simulation_noise**2 - 1) + 0.15) * error[1]
    assert found.interval(space, 0.9)[0, 1] == 3.9
    assert found.p_value is not None and found.p_value < 0.005


def test_of_two_roots_the_nearest_is_found_and_covered() -> None:
    """x ~ N(theta^2, 1), started on the positive side of one parameter and the negative of the other."""
    space = avo.Space(a=avo.Real(), b=avo.Real())

    def squares(key: Any, theta: Any) -> Any:
        return theta[:, np.array([0, 1, 1])] ** 2 + jax.random.normal(key, (len(theta), 3))

    x = np.asarray(squares(jax.random.key(10), jnp.tile(jnp.array([[1.1, -0.8]]), (M, 1))))
    found = solve(squares, x, space, [0.9, -1.1])
    means = np.array([x[:, 0].mean(), x[:, 1:].mean()])
    best = np.array([1, -1]) * np.sqrt(means)
    error = np.array([1, 0.5**0.5]) / np.sqrt(M) / 2 / np.abs(best)
    assert np.all(np.abs(found.loc - best) < error) and np.all(np.abs(found.loc - [1.1, -0.8]) < 4 * found.sd)
    # x scatters as it will: 4 %, and t is learned
    np.testing.assert_allclose(found.sd, error * found.simulation_noise, rtol=0.2)
