"""Measures of routes against closed forms, on routes that are known exactly."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import avo
from avo.latents import BetaVAE, Trained, autoencoder, beta, cases, measures, routes
from avo.latents.measures import Probe
from avo.latents.objectives import Objective
from avo.latents.routes import Route

T = np.linspace(0.0, 1.0, 30)
SLOPE = np.stack([T, 1 - T**2, np.cos(5 * T)])  # x = theta SLOPE + noise


def signals(n: int, seed: int, noise: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    theta = rng.uniform([1.0, -2.0, 0.3], [2.0, 4.0, 0.9], (n, 3))
    return theta, theta @ SLOPE + noise * rng.normal(size=(n, len(T)))


def exact(own: bool = True, spread: float | None = None) -> Route:
    """Codes that are theta, or twice theta in another order."""
    turn = np.eye(3) if own else 2 * np.eye(3)[[1, 2, 0]]
    back = np.linalg.pinv(SLOPE)
    return Route(
        "exact", lambda x: x @ back @ turn, lambda z: z @ np.linalg.inv(turn) @ SLOPE,
        lambda key, n: signals(n, int(jax.random.randint(key, (), 0, 1000)))[1], own,
        None if spread is None else lambda x: np.full((len(x), 3), spread),
    )  # fmt: skip


def mean(theta: np.ndarray) -> np.ndarray:
    return theta @ SLOPE


@pytest.mark.parametrize("own", [True, False])
def test_an_exact_route_is_without_error(own: bool) -> None:
    theta, x = signals(200, 1)
    route = exact(own)
    reader = measures.probe(route, *signals(50, 2)[::-1])
    found = measures.accuracy(route, reader, x, theta)
    assert np.allclose(found["r2"], 1) and np.allclose(found["nrmse"], 0)
    assert np.allclose(measures.manipulation(route, reader, mean, x, theta), 0, atol=1e-9)
    read = lambda x: x @ np.linalg.pinv(SLOPE)  # noqa: E731
    assert np.allclose(measures.monotone(route, x, read), 1)


def test_the_probe_is_least_squares_and_knows_its_residual() -> None:
    theta, x = signals(4000, 3)
    noisy = exact()._replace(own=False, encode=lambda x: (x @ np.linalg.pinv(SLOPE))[:, :1])
    reader = measures.probe(noisy, x, theta)
    assert np.allclose(reader.read(theta[:, :1])[:, 0], theta[:, 0])
    # The other two are independent of the code: their residual is their own spread, width / sqrt(12)
    assert np.allclose(reader.sd[1:], [6 / 12**0.5, 0.6 / 12**0.5], rtol=0.02)


def test_coverage_of_intervals_of_known_width() -> None:
    # The error is N(0, s^2) in each parameter; 90 % intervals of s cover 90 %, of 2 s 99.9 %, of s / 2 58.9 %
    rng, n, s = np.random.default_rng(4), 20_000, 0.07
    theta, x = signals(n, 5)
    for factor, expected in ((1.0, 0.9), (2.0, 0.99900), (0.5, 0.58913)):
        off = exact(spread=factor * s)._replace(
            encode=lambda x: x @ np.linalg.pinv(SLOPE) + s * rng.normal(size=(len(x), 3))
        )
        found = measures.coverage(off, measures.probe(off, x, theta), x, theta)
        assert np.abs(found - expected).max() < 4 * np.sqrt(0.9 * 0.1 / n)


def test_spread_of_codes_goes_through_the_probe() -> None:
    # z = 2 theta in another order, sd .06 each, is an sd of .03 of every theta
    theta, x = signals(5000, 6)
    off, rng = exact(own=False, spread=0.06), np.random.default_rng(7)
    reader = measures.probe(off, x, theta)
    off = off._replace(encode=lambda x: exact(own=False).encode(x) + 0.06 * rng.normal(size=(len(x), 3)))
    assert np.abs(measures.coverage(off, reader, x, theta) - 0.9).max() < 4 * np.sqrt(0.09 / 5000)


def test_manipulation_counts_a_change_that_is_not_made_as_one() -> None:
    theta, x = signals(300, 8)
    stuck = exact()._replace(decode=lambda z: mean(theta))
    reader = Probe(np.zeros(3), np.zeros(3), np.eye(3), np.zeros(3))
    assert np.allclose(measures.manipulation(stuck, reader, mean, x, theta), 1)
    # Of a parameter that the mean does not depend on there is no change to make
    blind = lambda theta: mean(theta * [1.0, 0.0, 1.0])  # noqa: E731
    stuck = stuck._replace(decode=lambda z: blind(theta))
    np.testing.assert_allclose(measures.manipulation(stuck, reader, blind, x, theta), [1, np.nan, 1])


def test_manipulation_stays_inside_the_range_and_takes_the_shortest_way_in_units_of_the_codes() -> None:
    theta, x = signals(300, 8)
    route, asked = exact(), []

    def noted(theta: np.ndarray) -> np.ndarray:
        asked.append(theta)
        return mean(theta)

    measures.manipulation(route, measures.probe(route, x, theta), noted, x, theta)
    for j, changed in enumerate(asked[1:]):
        step = np.abs(changed - theta)
        np.testing.assert_allclose(step[:, j], np.ptp(theta[:, j]) / 4)
        assert np.all(np.delete(step, j, 1) == 0)
        assert theta[:, j].min() <= changed[:, j].min() and changed[:, j].max() <= theta[:, j].max()
    # The first parameter is read half from each of two codes, of which the second is 1/100 as wide, and does nothing
    rng = np.random.default_rng(0)
    z = np.concatenate([theta, 0.01 * (theta[:, :1] + 0.1 * rng.normal(size=(300, 1)))], 1)
    slope = np.concatenate([np.diag([0.5, 1.0, 1.0]), [[50.0, 0.0, 0.0]]])
    twofold = exact(own=False)._replace(encode=lambda x: z, decode=lambda z: mean(z[:, :3]))
    found = measures.manipulation(twofold, Probe(np.zeros(4), np.zeros(3), slope, np.zeros(3)), mean, x, theta)
    # (a, b) = (.5, .5) in units of the codes' spreads: the first code moves by all of the step, the second by as much
    a, b = 0.5 * z[:, 0].std(), 50 * z[:, 3].std()
    moved = a * z[:, 0].std() / (a**2 + b**2)
    np.testing.assert_allclose(found, [abs(1 - moved), 0, 0], atol=1e-6)


def test_a_code_that_hardly_moves_anything_is_not_monotone() -> None:
    theta, x = signals(100, 9)
    read = lambda x: x @ np.linalg.pinv(SLOPE)  # noqa: E731
    centre, z = theta.mean(0), exact().encode(x)
    for share, expected in ((0.01, 0.0), (0.5, 1.0)):
        weak = exact()._replace(decode=lambda z, s=share: (centre + s * (z - centre)) @ SLOPE)
        found = measures.monotone(weak, x, lambda x: np.clip(read(x), z.min(0), z.max(0)))
        np.testing.assert_allclose(found, expected)


def test_monotone_of_a_curve_that_returns_is_small() -> None:
    theta, x = signals(100, 9)
    centre = theta.mean(0)
    folded = exact()._replace(decode=lambda z: (centre + np.abs(z - centre)) @ SLOPE)
    read = lambda x: x @ np.linalg.pinv(SLOPE)  # noqa: E731
    # Zero but for pairs of equal values, whose order rounding decides: of nine at most |rho| = 1/3
    assert np.abs(measures.monotone(folded, x, read)).max() < 0.34


def test_generation_of_the_same_law_and_of_a_shifted_one() -> None:
    rng = np.random.default_rng(10)
    x = rng.normal(size=(2000, 12))
    same = measures.generation(rng.normal(size=(1000, 12)), x, 0)
    # 2000 judged rows: the accuracy has sd .011; the distances of two pairs of halves agree within a quarter
    assert abs(same["c2st"] - 0.5) < 0.045 and abs(same["sliced"] - 1) < 0.25
    off = measures.generation(rng.normal(size=(1000, 12)) + np.r_[1.5, np.zeros(11)], x, 0)
    # Best accuracy for a shift of 1.5 standard deviations: Phi(.75) = .773
    assert 0.7 < off["c2st"] < 0.8 and off["sliced"] > 4


def test_floor_is_the_white_noise_and_of_brownian_paths_055_of_a_step() -> None:
    rng = np.random.default_rng(11)
    smooth = np.sin(3 * T) + 0.2 * rng.normal(size=(3000, len(T)))
    assert abs(measures.floor(smooth) / 0.2 - 1) < 0.01
    assert abs(measures.floor(np.cumsum(rng.normal(size=(3000, 30)), axis=1)) / np.sqrt(6 / 20) - 1) < 0.01
    # A complex at the same place of all signals does not count; signals of several noises do by their squares
    spiked = smooth + 3.0 * np.exp(-(((np.arange(len(T)) - 14) / 1.5) ** 2))
    assert abs(measures.floor(spiked) / 0.2 - 1) < 0.02
    uneven = np.where(np.arange(3000) % 2, 0.1, 0.7)[:, None] * rng.normal(size=(3000, len(T)))
    assert abs(measures.floor(uneven) / 0.5 - 1) < 0.02


def test_components_reconstruct_all_but_the_other_components() -> None:
    theta, x = signals(500, 12, noise=0.05)
    route = routes.by_components(x, 3)
    left = np.linalg.svd(x - x.mean(0), compute_uv=False)[3:]
    rms = np.sqrt(np.sum(left**2) / x.size)
    assert abs(measures.reconstruction(route, x) * measures.floor(x) / rms - 1) < 1e-9
    z = route.encode(x)
    assert np.allclose(z.std(0), 1) and np.allclose(np.corrcoef(z.T), np.eye(3), atol=1e-9)
    made = route.sample(jax.random.key(3), 50_000)
    assert np.allclose(np.cov(made.T), np.cov(x.T), atol=0.03 * np.cov(x.T).max())


@pytest.mark.parametrize("objective", [beta(1.0), autoencoder()])
def test_latents_without_information_move_nothing(objective: Objective) -> None:
    """Two values along v1 and v2 plus noise; three latents, of which the second hears and says nothing."""
    v = np.linalg.qr(np.random.default_rng(2).normal(size=(30, 2)))[0]
    z = np.random.default_rng(3).normal(size=(4000, 2))
    x = 4.0 + z @ (v * [3.0, 2.0]).T + 0.1 * np.random.default_rng(4).normal(size=(4000, 30))
    model = BetaVAE.make(jax.random.key(0), (30,), latents=3, depth=0, shift=4.0)
    rows = np.stack([v[:, 0] / 3, np.zeros(30), v[:, 1] / 2])
    loud = np.log([1e-4, 1.0, 1e-4])
    # An autoencoder's constant code moves its decodes; a VAE's costs less than .01 nats, and its decoder ignores it
    constant, says = (0.1, 0.0) if objective.sampled else (0.2, 9.0)
    new = (np.concatenate([rows, np.zeros((3, 30))]), np.r_[0.0, constant, 0.0, loud],
           np.stack([3 * v[:, 0], says * v[:, 1], 2 * v[:, 1]], 1), np.zeros(30))  # fmt: skip
    where = lambda m: (m.encoder.layers[1].layers[0].weight, m.encoder.layers[1].layers[0].bias,  # noqa: E731
                       m.decoder.layers[0].weight, m.decoder.layers[0].bias)  # fmt: skip
    model = eqx.tree_at(where, model, tuple(map(jnp.asarray, new)))
    model = model.calibrated(x, draws=4 if objective.sampled else 0)
    route = routes.by_latents("VAE", Trained(model, objective, {}, 1, {"epochs": 1}), x)
    assert route.informative is not None and route.informative.tolist() == [True, False, True]
    # The silent latent's mean follows, a little, what the other two do not say
    codes, more = route.encode(x), np.random.default_rng(6).normal(size=len(x))
    whispered = np.stack([codes[:, 0], 1e-3 * more, codes[:, 2]], 1)
    hearing, slope = route._replace(encode=lambda _: whispered), np.array([[1.0, 0.5], [0.0, 2.0]])
    labels = z @ slope + 0.3 * more[:, None]
    every, drawn = (measures.probe(hearing, x, labels, drawn=d) for d in (False, True))
    np.testing.assert_allclose(every.slope[1], 300, rtol=0.02)
    np.testing.assert_allclose(drawn.slope[[0, 2]], slope, atol=5 * 0.3 / np.sqrt(len(x)) + 0.01)
    if objective.sampled:  # drawn, the silent latent has a standard deviation of 1, of which .3 more * .001 is lost
        assert np.all(abs(drawn.slope[1]) < 1e-3) and np.all(abs(drawn.sd / 0.3 - 1) < 0.06)
    else:  # an autoencoder's codes do not scatter
        np.testing.assert_array_equal(drawn.slope, every.slope)
    assert np.all(measures.monotone(hearing, x, lambda x: (x - 4.0) @ v / [3.0, 2.0]) > 0.99)
    made = route.sample(jax.random.key(5), 20_000)
    # Off the plane of v1 and v2 only the noise scatters: that of the model
    off = (made - made.mean(0)) @ np.linalg.svd(v.T)[2][2:].T
    assert abs(np.std(off) / float(model.noise) - 1) < 0.01
    if objective.sampled:  # all but the two directions that the codes hold, 28 of 30, and the codes' own sd of .01
        assert abs(float(model.noise) / np.sqrt((0.01 * 28 + 0.03**2 + 0.02**2) / 30) - 1) < 0.02
    if objective.sampled:
        assert route.spread is not None
        np.testing.assert_allclose(route.spread(x)[:, [0, 2]], 0.01, rtol=1e-6)


def test_labels_reach_the_regression_on_a_linear_gaussian_model() -> None:
    # x = theta + noise of equal spread s: E[theta | x] explains s^2 / 2 of s^2, R^2 = 1/2
    rng = np.random.default_rng(13)
    theta = 3.0 + 0.4 * rng.normal(size=(4000, 2))
    x = theta + 0.4 * rng.normal(size=theta.shape)
    problem = avo.simulators.gaussian_linear()
    route = routes.by_labels(problem, theta[:2000], x[:2000], 0)
    assert (
        np.abs(measures.accuracy(route, measures.probe(route, x, theta), x[2000:], theta[2000:])["r2"] - 0.5).max()
        < 0.06
    )


def test_cases_are_drawn_where_they_say() -> None:
    for name in cases.NAMES:
        case = cases.get(name)
        theta, x = cases.draw(case.problem, 300, cases.TRAINED, 5)
        u = np.asarray(case.problem.space.unconstrain(jnp.asarray(theta)))
        at = 1 / (1 + np.exp(-u))
        assert at.min() >= 0.1 - 1e-6 and at.max() <= 0.6 + 1e-6 and at.min() < 0.12 and at.max() > 0.58
        assert x.shape == (300, *case.problem.x_shape) and np.isfinite(x).all()
        foreign = case.foreign(50, 3)
        assert foreign.shape == (50, *case.problem.x_shape) and np.isfinite(foreign).all()
        assert case.real(foreign).x_shape == case.problem.x_shape
