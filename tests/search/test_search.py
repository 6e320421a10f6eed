"""avo.search: misfits and regressions that are known in closed form, and a search that finds its way."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import CORRELATED, CORRELATION, correlated

import avo
from avo.budget import Round, SearchRows, for_descent
from avo.execution.blocks import Drawn, Draws
from avo.observations import Observed
from avo.refine.custom import custom_statistic
from avo.refine.scores import Normal
from avo.search.descent import PRIOR, descend, elsewhere, stepped, together
from avo.search.misfit import LEAST_VARIANCE, Misfit
from avo.search.places import Places, all_over, apart, distance
from avo.search.region import nearer, search
from avo.search.regression import adjusted, estimate

RNG = np.random.default_rng


def test_residuals_are_whitened_by_the_observations() -> None:
    """Of a number and its square, shown by a user's statistic: their covariance, and the misfit, by hand."""
    x, u = RNG(1).normal(3.0, 2.0, size=(500, 1)), RNG(2).normal(size=(320, 1))
    custom = custom_statistic(avo.Only(lambda x: jnp.tanh(x - 3)), x)  # bounded, so that nothing is cut
    misfit = Misfit(Observed(x), Drawn.of(u, 3.0 + 2.0 * u), 1.5, custom)

    def shown(values: np.ndarray) -> np.ndarray:
        z = (np.tanh(values - 3) - np.tanh(x - 3).mean()) / np.tanh(x - 3).std()
        return np.concatenate([z, z**2], 1)

    f, places = shown(x), RNG(3).normal(2.5, 2.0, size=(4, 80, 1))
    r = np.stack([(shown(rows).mean(0) - f.mean(0)) / f.std(0) for rows in places])
    W = np.linalg.inv(np.cov((f / f.std(0)).T) + LEAST_VARIANCE * np.eye(2))
    z = misfit.residuals(Drawn.of(np.zeros((320, 1)), places.reshape(320, 1)), 80)
    np.testing.assert_allclose(np.sum(z**2, 1), np.einsum("nk,kl,nl->n", r, W, r), rtol=1e-6)
    np.testing.assert_allclose(misfit.of(z, 80), np.log1p(z**2 / (1 / 80 + 1 / 500)).mean(1), rtol=1e-12)


def test_what_conditions_explain_is_no_misfit() -> None:
    """Simulations at the truth that have the larger half of the conditions alone fit as those with all of them do.

    By x and x^2, whose means are a line and a parabola in c. Taken as they come, the means are many errors off.
    """
    rng = RNG(4)
    c, u = rng.uniform(0, 10, size=(400, 1)), RNG(2).normal(size=(320, 1))
    x = 3.0 - 1.2 * c + rng.normal(size=(400, 1))
    drawn = Drawn(u, 3.0 - 1.2 * c[:320] + u, c[:320], np.ones(320, bool))
    misfit = Misfit(Observed(x, c), drawn, 1.5, custom_statistic(avo.Only(lambda x, c: x / 10), x, c))
    larger = c[c[:, 0] > 5][:100]
    some = Drawn(np.zeros((100, 1)), 3.0 - 1.2 * larger + rng.normal(size=(100, 1)), larger, np.ones(100, bool))
    explained = misfit.of(misfit.residuals(some, 100), 100)[0]
    misfit.contrasts = None
    plain = misfit.of(misfit.residuals(some, 100), 100)[0]
    assert explained < 1.5 < 3.0 < plain  # E[log(1 + z^2)] of a standard normal is .53


def test_failed_simulations_count_as_far() -> None:
    x = RNG(1).normal(size=(200, 1))
    u = RNG(2).normal(size=(320, 1))
    misfit = Misfit(Observed(x), Drawn.of(u, u), 1.5)
    rows = RNG(3).normal(size=(64, 1))
    some = np.where(np.arange(64)[:, None] % 8 == 0, np.nan, rows)
    all_of_them = np.full((64, 1), np.nan)
    values = [misfit.of(misfit.residuals(Drawn.of(rows, a), 64), 64)[0] for a in (rows, some, all_of_them)]
    assert values[0] < values[1] < values[2] and np.isfinite(values).all()


def test_adjusted_places_follow_the_best_ridge() -> None:
    """Against the normal equations, at a penalty that a direct search of the evidence finds."""
    rng = RNG(4)
    z, B = rng.normal(size=(30, 50)) * np.linspace(0.1, 3.0, 50), rng.normal(size=(50, 2)) * [0.3, 2.0]
    u = np.array([0.4, -7.0]) + z @ B + 0.5 * rng.normal(size=(30, 2))
    z_new, u_new = rng.normal(size=(3, 50)), rng.normal(size=(3, 2))
    found, zc = adjusted(z, u, z_new, u_new), z - z.mean(0)

    def log_evidence(p: float, y: np.ndarray) -> float:
        # y ~ N(0, s (I + zc zc^T / p)) over the n - 1 directions that the mean leaves
        basis = np.linalg.svd(np.eye(30) - 1 / 30)[0][:, :29]
        K = basis.T @ (np.eye(30) + zc @ zc.T / p) @ basis
        y = basis.T @ y
        return -0.5 * np.linalg.slogdet(K)[1] - 29 / 2 * np.log(y @ np.linalg.solve(K, y) / 29)

    for k in range(2):
        y = u[:, k] - u[:, k].mean()
        penalties = np.linalg.norm(zc, 2) ** 2 * np.logspace(-7, 2, 37)
        p = max(penalties, key=lambda p: log_evidence(p, y))
        slope = np.linalg.solve(zc.T @ zc + p * np.eye(50), zc.T @ y)
        np.testing.assert_allclose(found[:, k], u_new[:, k] - z_new @ slope, rtol=1e-6)


def test_the_spread_of_an_estimate_is_that_of_places_held_out() -> None:
    """With ten times as many z as places, a slope's own places would say that nothing is left open."""
    rng, wide = RNG(5), 400
    z = 0.05 * rng.normal(size=(40, wide))  # where asinh is straight
    u = 1.5 + z[:, :1] * 4.0 + 0.3 * rng.normal(size=(40, 1))
    loc, covariance = estimate(z, u)
    assert abs(loc[0] - 1.5) < 4 * 0.36 / np.sqrt(40)
    assert 0.2**2 < covariance[0, 0] < 0.6**2


LINE = avo.Space(a=avo.Interval(-3, 5), b=avo.LogInterval(0.1, 10), c=avo.Real(2.0, 3.0))
TRUTH = np.array([1.7, 0.6, -1.0])


def line(key: jax.Array, theta: jax.Array) -> jax.Array:
    """Five points on a line of slope a from c, with errors of standard deviation b."""
    t = jnp.array([0.0, 0.4, 1.0, 1.7, 2.0])[None]
    return theta[:, 2:] + theta[:, :1] * t + theta[:, 1:2] * jax.random.normal(key, (len(theta), 5))


@pytest.mark.parametrize("seed", range(3))
def test_a_search_ends_near_the_truth(seed: int) -> None:
    x = np.asarray(line(jax.random.key(40 + seed), jnp.tile(jnp.asarray(TRUTH), (400, 1))))
    draws = Draws(jax.jit(line), LINE, jax.random.key(seed), 16, (5,))
    found = search(draws, Observed(x), budget=16_000, seed=seed)
    assert sum(len(part.u) for part in found.drawn) < draws.calls <= 16_000
    # One observation leaves .5, 1.1 and .4 in u at least; 400 a twentieth of that, some 400 simulations as much
    off = found.q.loc - np.asarray(LINE.unconstrain(TRUTH))
    assert np.all(np.abs(off) < 0.25)
    again = search(Draws(jax.jit(line), LINE, jax.random.key(seed), 16, (5,)), Observed(x), budget=16_000, seed=seed)
    np.testing.assert_array_equal(again.q.loc, found.q.loc)


def test_a_simulator_that_never_returns_a_number_ends_in_a_sentence() -> None:
    draws = Draws(jax.jit(lambda key, theta: theta * jnp.nan), LINE, jax.random.key(0), 16, (3,))
    with pytest.raises(ValueError, match=r"NaN or infinity in all of its first \d+ draws, at parameters such as {'a'"):
        search(draws, Observed(RNG(0).normal(size=(50, 3))), budget=8000, seed=0)


def test_a_start_joins_the_search() -> None:
    """Where 1 value in 10^4 of the range tells the answer, only the start lies near it, and is kept."""
    space = avo.Space(a=avo.Interval(0, 1))

    def spike(key: jax.Array, theta: jax.Array) -> jax.Array:
        return jnp.exp(-(((theta - 0.31234) / 1e-4) ** 2)) + 0.01 * jax.random.normal(key, (len(theta), 1))

    x = 1 + 0.01 * RNG(1).normal(size=(100, 1))
    at = np.asarray(space.unconstrain(jnp.array([0.31234])), float)

    def found(start: np.ndarray | None) -> float:
        draws = Draws(jax.jit(spike), space, jax.random.key(0), 16, (1,))
        return abs(float(search(draws, Observed(x), budget=8000, seed=0, start=start).q.loc[0] - at[0]))

    assert found(at) < 1e-3 < 0.01 < found(None)


# --- descents --------------------------------------------------------------------------------------------------------


def plane(key: jax.Array, theta: jax.Array) -> jax.Array:
    """Of three numbers, with means that are linear in theta."""
    B = jnp.array([[2.0, 0.3, -1.0], [0.0, 1.5, 0.7]])
    return theta @ B + jax.random.normal(key, (len(theta), 3))


def test_a_step_is_that_of_gauss_and_newton() -> None:
    """Of a linear simulator whose random numbers cancel in pairs: A, and the step, in closed form."""
    space, m, pairs = avo.Space(a=avo.Real(0.0, 1.0), b=avo.Real(0.0, 1.0)), 300, 64
    x = np.asarray(plane(jax.random.key(3), jnp.tile(jnp.array([[0.4, -0.2]]), (m, 1))))
    custom = custom_statistic(avo.Only(lambda x: x / 40), x)  # nothing is cut, and all products are nearly zero
    u = RNG(2).normal(size=(320, 2))
    misfit = Misfit(Observed(x), Drawn.of(u, np.asarray(plane(jax.random.key(4), jnp.asarray(u)))), 1.5, custom)
    draws = Draws(jax.jit(plane), space, jax.random.key(5), 16, (3,))
    q = Normal(np.array([1.0, 0.5]), 0.2 * np.eye(2))
    near = stepped(draws, misfit, q, pairs, RNG(6))
    at = Draws(jax.jit(plane), space, jax.random.key(5), 16, (3,))
    at.stage = 1  # the rows at the centre are the second draw; the pairs are the first
    z = misfit.residuals(at(np.tile(q.loc, (2 * pairs, 1))), 2 * pairs)[0]
    du, rng = 1e-3, np.eye(2)
    ends = [np.tile(q.loc + sign * du * e, (16, 1)) for e in rng for sign in (1, -1)]
    rows = [misfit.residuals(Draws(jax.jit(plane), space, jax.random.key(9), 16, (3,))(end), 16)[0] for end in ends]
    A = np.stack([(rows[0] - rows[1]) / (2 * du), (rows[2] - rows[3]) / (2 * du)], axis=1)
    s = 1 / (1 / (2 * pairs) + 1 / m)
    step = -np.linalg.solve(s * A.T @ A + PRIOR * np.eye(2), s * A.T @ z)
    assert np.linalg.norm(step) < 3 * 0.2  # no longer than three widths
    # A from 64 pairs of products that do not cancel, beside that of one place
    np.testing.assert_allclose(near.loc - q.loc, step, atol=0.05 * np.linalg.norm(step))
    far = stepped(draws, misfit, Normal(np.array([30.0, 0.5]), 0.2 * np.eye(2)), pairs, RNG(6))
    np.testing.assert_allclose(np.linalg.norm(far.loc - [30.0, 0.5]), 0.6, rtol=1e-9)


def test_pairs_become_half_as_wide_as_what_one_observation_leaves() -> None:
    """One observation of B u + normal errors leaves (B B^T)^-1/2; the width moves there by a factor of 4 at most."""
    space = avo.Space(a=avo.Real(0.0, 1.0), b=avo.Real(0.0, 1.0))
    x = np.asarray(plane(jax.random.key(3), jnp.zeros((4000, 2))))
    custom = custom_statistic(avo.Only(lambda x: x / 40), x)
    u = RNG(2).normal(size=(320, 2))
    misfit = Misfit(Observed(x), Drawn.of(u, np.asarray(plane(jax.random.key(4), jnp.asarray(u)))), 1.5, custom)
    draws = Draws(jax.jit(plane), space, jax.random.key(5), 16, (3,))
    B = np.array([[2.0, 0.3, -1.0], [0.0, 1.5, 0.7]])
    q = stepped(draws, misfit, Normal(np.zeros(2), 0.2 * np.eye(2)), 2048, RNG(7))
    # LEAST_VARIANCE of the whitened features, and their products, take and add some hundredths
    np.testing.assert_allclose(q.factor @ q.factor.T, np.linalg.inv(B @ B.T) / 4, rtol=0.1, atol=0.002)
    q = stepped(draws, misfit, Normal(np.zeros(2), 0.01 * np.eye(2)), 2048, RNG(7))
    np.testing.assert_allclose(np.linalg.norm(q.factor, axis=0), 0.04, rtol=1e-9)


def test_the_better_half_goes_on() -> None:
    """Of four starts two lie where nothing leads away: the last proposal is that of one of the others."""
    space = avo.Space(a=avo.Real(0.0, 1.0))

    def flat(key: jax.Array, theta: jax.Array) -> jax.Array:
        return jnp.where(theta > 0, theta, -5.0) + jax.random.normal(key, (len(theta), 1))

    x = 1.0 + RNG(1).normal(size=(200, 1))
    u = RNG(2).normal(size=(320, 1))
    misfit = Misfit(Observed(x), Drawn.of(u, u + RNG(3).normal(size=(320, 1))), 1.5)
    draws = Draws(jax.jit(flat), space, jax.random.key(0), 16, (1,))
    rounds = (Round(4, 2, 32, 64), Round(2, 1, 32, 64), Round(1, 1, 64, 64))
    starts = [np.array([place]) for place in (-3.0, 2.0, -1.5, 0.5)]
    q, *aside = descend(draws, misfit, starts, rounds, RNG(4))
    assert abs(q.loc[0] - x.mean()) < 4 * np.sqrt(1 / 200 + 1 / 128)
    assert draws.calls == 4 * (4 * 2 * 32 + 2 * 32 + 64) + 6 * 64
    # What is flat fits worse by far, and is not kept aside
    assert all(other.loc[0] > 0 for other in aside)


PLANE = avo.Space(a=avo.Real(), b=avo.Real())


def test_places_within_two_widths_of_either_are_one() -> None:
    narrow, wide = (Normal(np.zeros(2), factor) for factor in (0.1 * np.eye(2), np.array([[3.0, 0.0], [1.0, 0.5]])))
    places = [Normal(np.array([at]), np.eye(1)) for at in (0.0, 1.9, 2.1, 3.0, 4.2, 7.0)]
    space = avo.Space(a=avo.Real())
    assert elsewhere(space, places[:1], places[1:]) == [places[2], places[4]]
    assert elsewhere(space, places[5:], places) == [places[0], places[2]]
    for far, answer in ((1.99, True), (2.01, False)):
        for q, axis in ((narrow, [0.06, 0.08]), (wide, [0.6 * 3.0, 0.6 * 1.0 + 0.8 * 0.5])):
            other = Normal(far * np.array(axis), 0.05 * np.eye(2))
            assert together(PLANE, q, other) is together(PLANE, other, q) is answer


def test_on_a_circle_places_are_near_the_shorter_way_around() -> None:
    """Places at 1.95 and -1.95 are .1 apart, of a turn of 4; those half a turn apart are two."""
    space = avo.Space(a=avo.Angle(360), b=avo.Real())
    q, other, far = (Normal(np.array([at, 0.3]), 0.1 * np.eye(2)) for at in (1.95, -1.95, 0.0))
    assert together(space, q, other) and together(space, other, q) and not together(space, q, far)
    assert elsewhere(space, [q], [other, far, far]) == [far]
    np.testing.assert_allclose(distance(space, q.loc, other.loc), 0.1, rtol=1e-9)
    np.testing.assert_allclose(distance(space, q.loc + [8.0, 0.4], other.loc), math.hypot(0.1, 0.4), rtol=1e-9)
    assert [list(u) for u in apart(space, np.stack([q.loc, other.loc, far.loc]), 3)] == [[1.95, 0.3], [0.0, 0.3]]
    u = all_over(space, np.random.default_rng(0), 400)[:, 0]
    # Evenly over one turn: quarters of it hold a quarter each, within what a net of 400 points leaves
    np.testing.assert_allclose(np.histogram(u, [-2, -1, 0, 1, 2])[0], 100, atol=5)


def test_regressions_do_not_cut_a_circle_beside_the_best_place() -> None:
    """Places within .3 of the seam, some at 1.8 and some at -1.8: the answer, where z is zero, is at 2.1 = -1.9."""
    space, rng = avo.Space(a=avo.Angle(360)), np.random.default_rng(0)
    way = rng.uniform(-0.3, 0.3, (60, 1))
    u = space.near(2.1 + way, np.zeros(1))
    found = Places(u, way, np.abs(way[:, 0]), space)
    for candidate in (*found.said(), *found.candidates()):
        assert distance(space, candidate.loc, np.array([2.1])) < 0.1 and candidate.covariance[0, 0] < 0.1


# --- several solutions -----------------------------------------------------------------------------------------------


def test_how_much_worse_a_place_fits_is_told_in_standard_deviations() -> None:
    """By 400 observations at 0 and 300 rows at each place: not where both are there, c^2 / sd where one is c away."""
    found = []
    for rng in (RNG(seed) for seed in range(200)):
        x, u = rng.normal(size=(400, 1)), rng.normal(size=(64, 1))
        if not found:
            misfit = Misfit(Observed(x), Drawn.of(u, u), 1.5)
        misfit.own = np.concatenate([x, rng.normal(size=(400, 1))], 1)
        middle = misfit.own.mean(0)
        misfit.own = misfit.own - middle
        rows = rng.normal(size=(3, 300, 2)) - middle
        rows[2, :, 1] += 0.5
        found.append([misfit.worse(rows[0], rows[1]), misfit.worse(rows[2], rows[0])])
    equal, worse = np.array(found).T
    assert abs(equal.mean()) < 4 / np.sqrt(200) and abs(equal.std() - 1) < 4 / np.sqrt(400)
    # The direction is that of the first halves: .5 in one feature, and noise of variance 2 / 150 in both
    away = 0.5**2 / np.sqrt(0.5**2 + 4 / 150) / np.sqrt(2 / 150 + 4 / 400)
    assert abs(worse.mean() - away) < 4 / np.sqrt(200) and abs(worse.std() - 1) < 0.25


def square(key: jax.Array, theta: jax.Array) -> jax.Array:
    return theta**2 + 0.5 * jax.random.normal(key, (len(theta), 3))


SQUARE = avo.Space(theta=avo.Interval(-3, 3))


@pytest.mark.parametrize("start", [None, -1.2, 1.2])
def test_all_ends_that_fit_as_well_are_handed_over(start: float | None) -> None:
    """x ~ N(theta^2, .5^2) is told at theta and at -theta; the first is the one nearer to the user's start."""
    x = np.asarray(square(jax.random.key(3), jnp.full((500, 1), 1.5)))
    at = None if start is None else np.asarray(SQUARE.unconstrain(jnp.array([start])), float)
    draws = Draws(jax.jit(square), SQUARE, jax.random.key(1), 16, (3,))
    found = search(draws, Observed(x), budget=40_000, seed=1, start=at)
    assert draws.calls <= 40_000
    ends = np.array([float(SQUARE.constrain(q.loc)[0]) for q in (found.q, *found.others)])
    # A step of some 100 pairs tells theta to .5 / 3 sqrt(1 / 600 + 1 / 1500), where the last one was long enough
    np.testing.assert_allclose(abs(ends), 1.5, atol=0.1)
    assert set(np.sign(ends)) == {-1.0, 1.0} and (start is None or np.sign(ends[0]) == np.sign(start))
    assert [q.loc[0] for q in found.elsewhere(SQUARE, found.q)][0] in [q.loc[0] for q in found.others]
    assert found.q.loc[0] in [q.loc[0] for q in found.elsewhere(SQUARE, found.others[0])]


def test_an_end_that_fits_worse_is_none() -> None:
    """Where two values of three are as well at -theta, and the third differs by 1.2 of its spread."""

    def uneven(key: jax.Array, theta: jax.Array) -> jax.Array:
        return theta**2 + jnp.array([[0.0, 0.0, 0.2]]) * theta + 0.5 * jax.random.normal(key, (len(theta), 3))

    x = np.asarray(uneven(jax.random.key(3), jnp.full((500, 1), 1.5)))
    found = search(Draws(jax.jit(uneven), SQUARE, jax.random.key(1), 16, (3,)), Observed(x), budget=40_000, seed=1)
    assert found.others == [] and abs(float(SQUARE.constrain(found.q.loc)[0]) - 1.5) < 0.03


# --- a descent where there was no search ---------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(3))
def test_a_descent_moves_what_the_steps_left_behind(seed: int) -> None:
    x = np.asarray(correlated(jax.random.key(7), jnp.tile(jnp.array(CORRELATION), (400, 1))))
    draws = Draws(jax.jit(correlated), CORRELATED, jax.random.key(seed), 16, (2,))
    at = np.asarray(CORRELATED.unconstrain(jnp.array([11.0, 2210.0, -0.2])), float)
    around = draws(at + 0.3 * RNG(seed).normal(size=(800, 3)))
    q, before = Normal(at, 0.3 * np.eye(3)), draws.calls
    found = nearer(draws, Observed(x), q, [around], calls=30_000, seed=seed)
    a, b, r = np.asarray(CORRELATED.constrain(found.loc))
    # Its last steps have 112 pairs, and as many rows at the place: one observation's spread over some ten
    assert abs(r - 0.85) < 0.15 and abs(a - 11.3) < 1 and abs(b - 2200) < 50
    assert 0.8 * 0.2 * 30_000 < draws.calls - before <= 0.2 * 30_000


def test_a_descent_that_leads_nowhere_better_is_not_taken() -> None:
    """From the answer itself, noise leads away; with too few calls, or simulations around, there is none."""
    x = np.asarray(correlated(jax.random.key(7), jnp.tile(jnp.array(CORRELATION), (400, 1))))
    draws = Draws(jax.jit(correlated), CORRELATED, jax.random.key(1), 16, (2,))
    q = Normal(np.asarray(CORRELATED.unconstrain(jnp.array(CORRELATION)), float), 0.3 * np.eye(3))
    around, before = [draws(q.at(RNG(0).normal(size=(96, 3))))], draws.calls
    assert nearer(draws, Observed(x), q, around, calls=1000, seed=0) is q
    assert nearer(draws, Observed(x), q, around, calls=30_000, seed=0) is q
    assert nearer(draws, Observed(x), q, [], calls=30_000, seed=0) is q and draws.calls == before


@pytest.mark.parametrize(("calls", "size", "d"), [(15_000, 16, 3), (3333, 5, 1), (40_000, 64, 5), (9000, 16, 20)])
def test_such_a_descent_never_exceeds_its_calls(calls: int, size: int, d: int) -> None:
    rows = for_descent(calls, size, d)
    assert rows is not None and rows.starts == 1 and rows.pairs % size == rows.choice % size == 0
    used = 4 * rows.steps * rows.pairs + 2 * rows.choice
    assert 2 <= rows.steps <= 12 and rows.pairs >= max(32, 4 * d) and 0.05 * calls < used <= 0.2 * calls + 2 * size


# --- the calls -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("calls", "size", "d"), [(15_000, 16, 2), (4_000, 8, 3), (3_333, 5, 1), (40_000, 64, 5), (40_000, 16, 40)]
)
def test_a_search_never_exceeds_its_calls(calls: int, size: int, d: int) -> None:
    rows = SearchRows.of(calls, size, d)
    assert rows.each % size == rows.choice % size == rows.end % size == rows.again_each % size == 0
    assert rows.each >= 16 and all(now.pairs % size == 0 and now.pairs >= 4 * d for now in rows.rounds)
    assert rows.rounds[-1].starts == 1 and len(rows.rounds) <= 4
    used = rows.each * (rows.first + rows.stages * rows.stage) + (rows.stages * 4 + 3) * rows.choice
    used += rows.again * rows.again_each + 3 * rows.end
    used += sum(4 * now.starts * now.steps * now.pairs for now in rows.rounds)
    used += sum(now.starts * now.choice for now in rows.rounds if now.starts > 1)
    assert 0.5 * calls < used <= calls


def test_too_few_calls_are_refused() -> None:
    with pytest.raises(ValueError, match="a search in blocks of 16 rows takes at least 6400 calls; got 1000."):
        SearchRows.of(1000, 16, 2)
