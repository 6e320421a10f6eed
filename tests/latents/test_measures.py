"""Measures of routes against closed forms, on routes that are known exactly."""

import numpy as np
import pytest
from latents.linear_routes import SLOPE, T, exact, mean, signals

from avo.latents import measures
from avo.latents.measures import Probe


@pytest.mark.parametrize("own", [True, False])
def test_an_exact_route_is_without_error(own: bool) -> None:
    theta, x = signals(200, 1)
    route = exact(own)
    probe = measures.fit_probe(route, *signals(50, 2)[::-1])
    found = measures.accuracy(route, probe, x, theta)
    assert np.allclose(found["r2"], 1) and np.allclose(found["nrmse"], 0)
    assert np.allclose(measures.manipulation(route, probe, mean, x, theta), 0, atol=1e-9)
    read = lambda x: x @ np.linalg.pinv(SLOPE)  # noqa: E731
    assert np.allclose(measures.monotone(route, x, read), 1)


def test_the_probe_is_least_squares_and_knows_its_residual() -> None:
    theta, x = signals(4000, 3)
    noisy = exact()._replace(own=False, encode=lambda x: (x @ np.linalg.pinv(SLOPE))[:, :1])
    probe = measures.fit_probe(noisy, x, theta)
    assert np.allclose(probe.read(theta[:, :1])[:, 0], theta[:, 0])
    # The other two are independent of the code: their residual is their own standard deviation, width / sqrt(12)
    assert np.allclose(probe.sd[1:], [6 / 12**0.5, 0.6 / 12**0.5], rtol=0.02)


def test_coverage_of_intervals_of_known_width() -> None:
    # The error is N(0, s^2) in each parameter; 90 % intervals of s cover 90 %, of 2 s 99.9 %, of s / 2 58.9 %
    rng, n, s = np.random.default_rng(4), 20_000, 0.07
    theta, x = signals(n, 5)
    for factor, expected in ((1.0, 0.9), (2.0, 0.99900), (0.5, 0.58913)):
        off = exact(sd=factor * s)._replace(
            encode=lambda x: x @ np.linalg.pinv(SLOPE) + s * rng.normal(size=(len(x), 3))
        )
        found = measures.coverage(off, measures.fit_probe(off, x, theta), x, theta)
        assert np.abs(found - expected).max() < 4 * np.sqrt(0.9 * 0.1 / n)


def test_the_sd_of_codes_goes_through_the_probe() -> None:
    # z = 2 theta in another order, sd .06 each, is an sd of .03 of every theta
    theta, x = signals(5000, 6)
    off, rng = exact(own=False, sd=0.06), np.random.default_rng(7)
    probe = measures.fit_probe(off, x, theta)
    off = off._replace(encode=lambda x: exact(own=False).encode(x) + 0.06 * rng.normal(size=(len(x), 3)))
    assert np.abs(measures.coverage(off, probe, x, theta) - 0.9).max() < 4 * np.sqrt(0.09 / 5000)


def test_manipulation_counts_a_change_that_is_not_made_as_one() -> None:
    theta, x = signals(300, 8)
    stuck = exact()._replace(decode=lambda z: mean(theta))
    probe = Probe(np.zeros(3), np.zeros(3), np.eye(3), np.zeros(3))
    assert np.allclose(measures.manipulation(stuck, probe, mean, x, theta), 1)
    # Of a parameter that the mean does not depend on there is no change to make
    blind = lambda theta: mean(theta * [1.0, 0.0, 1.0])  # noqa: E731
    stuck = stuck._replace(decode=lambda z: blind(theta))
    np.testing.assert_allclose(measures.manipulation(stuck, probe, blind, x, theta), [1, np.nan, 1])


def test_manipulation_stays_inside_the_range_and_takes_the_shortest_way_in_units_of_the_codes() -> None:
    theta, x = signals(300, 8)
    route, asked = exact(), []

    def noted(theta: np.ndarray) -> np.ndarray:
        asked.append(theta)
        return mean(theta)

    measures.manipulation(route, measures.fit_probe(route, x, theta), noted, x, theta)
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
    # (a, b) = (.5, .5) in units of the codes' standard deviations: the first moves by all of the step, the second too
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
    # 2000 test rows: the accuracy has sd .011; the distances of two pairs of halves agree within a quarter
    assert abs(same["c2st"] - 0.5) < 0.045 and abs(same["sliced"] - 1) < 0.25
    off = measures.generation(rng.normal(size=(1000, 12)) + np.r_[1.5, np.zeros(11)], x, 0)
    # Best accuracy for a shift of 1.5 standard deviations: Phi(.75) = .773
    assert 0.7 < off["c2st"] < 0.8 and off["sliced"] > 4


def test_the_noise_floor_is_the_white_noise_and_of_brownian_paths_055_of_a_step() -> None:
    rng = np.random.default_rng(11)
    smooth = np.sin(3 * T) + 0.2 * rng.normal(size=(3000, len(T)))
    assert abs(measures.noise_floor(smooth) / 0.2 - 1) < 0.01
    assert abs(measures.noise_floor(np.cumsum(rng.normal(size=(3000, 30)), axis=1)) / np.sqrt(6 / 20) - 1) < 0.01
    # A complex at the same place of all signals does not count; signals of several noises do by their squares
    spiked = smooth + 3.0 * np.exp(-(((np.arange(len(T)) - 14) / 1.5) ** 2))
    assert abs(measures.noise_floor(spiked) / 0.2 - 1) < 0.02
    uneven = np.where(np.arange(3000) % 2, 0.1, 0.7)[:, None] * rng.normal(size=(3000, len(T)))
    assert abs(measures.noise_floor(uneven) / 0.5 - 1) < 0.02
