"""The detector, the electron-positron task at two energies, and four standard tasks, against their exact laws.

Statistical tolerances are 5 standard errors, derived from the sample size where they are used; Kolmogorov-Smirnov and
chi-square tests ask for p > 1e-3. Seeds are fixed, so that a test passes always or never.
"""

import functools
import itertools
import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import integrate, optimize, stats

from avo.benchmarks.studies.speed import simulators as rivals
from avo.benchmarks.studies.speed import simulators_numpy as arrays
from avo.simulators import detector, epem2, g_and_k, ma2, mg1, ricker, sir
from avo.simulators.detector import _directions, _smoothing, density, hits
from avo.simulators.epem import asymmetry, likeliest_asymmetry, quantile
from avo.simulators.g_and_k import log_density, normal_score, robust_summaries
from avo.simulators.g_and_k import quantile as g_and_k_quantile
from avo.simulators.ma2 import autocovariances, coefficients
from avo.simulators.mg1 import departures
from avo.simulators.pendulum import exact as pendulum_exact
from avo.simulators.problem import Problem
from avo.simulators.ricker import log_population

KEY = jax.random.key(20)


@functools.cache
def compiled(problem: Problem) -> Callable[..., jax.Array]:
    return jax.jit(problem.simulate)


def rows(problem: Problem, theta: list[float], n: int) -> np.ndarray:
    """n observations at one theta; problems that are the same object are compiled once."""
    return np.asarray(compiled(problem)(KEY, jnp.tile(jnp.array(theta), (n, 1))), dtype=np.float64)


# --- epem2: two beam energies -------------------------------------------------------------------------------------


def both_asymmetries(energy: float, coupling: float, step: float = 10.0) -> np.ndarray:
    return 2 * coupling * np.tanh((2 * (energy + np.array([0.0, step])) - 90) / 9)


def information(a: float) -> float:
    """Fisher information of one cosine about the asymmetry, the integral of (dp/da)^2 / p."""
    return integrate.quad(lambda x: 3 / 8 * x**2 / (1 + x**2 + a * x), -1, 1)[0]


def fisher(energy: float, coupling: float, others: tuple[float, float]) -> np.ndarray:
    """Information of two cosines about (energy, coupling), the second at `others[0]` + `others[1]` * energy."""
    slopes = []
    for e, direction in ((energy, 1.0), (others[0] + others[1] * energy, others[1])):
        t = math.tanh((2 * e - 90) / 9)
        slope = np.array([2 * coupling * (1 - t**2) * 2 / 9 * direction, 2 * t])
        slopes.append(information(2 * coupling * t) * np.outer(slope, slope))
    return slopes[0] + slopes[1]


@pytest.mark.parametrize("step", [10.0, 2.3])
def test_epem2_law(step: float) -> None:
    n, energy, coupling = 20_000, 43.1, 0.83
    x = rows(epem2(step), [energy, coupling], n)
    for column, a in zip(x.T, both_asymmetries(energy, coupling, step), strict=True):
        cdf = np.polynomial.Polynomial([3 / 8, 3 * a / 8, 3 / 8]).integ(lbnd=-1)
        assert stats.kstest(column, cdf).pvalue > 1e-3
    assert abs(np.corrcoef(x.T)[0, 1]) < 5 / math.sqrt(n)


def test_epem2_density_is_never_negative() -> None:
    corners = itertools.product((40.0, 50.0), (0.5, 1.0))
    assert all(np.abs(both_asymmetries(*corner)).max() < 2 for corner in corners)


def test_epem2_asymmetry_of_largest_likelihood() -> None:
    x = rows(epem2(), [42.0, 0.9], 300)[:, 0]
    score = lambda a: np.sum(x / (1 + x**2 + a * x))  # noqa: E731
    assert np.isclose(likeliest_asymmetry(x), optimize.brentq(score, -2, 2, xtol=1e-13), rtol=0, atol=1e-11)
    assert np.isclose(likeliest_asymmetry(jnp.array([0.3, 0.9])), 2.0)


@pytest.mark.parametrize("energy", [40.3, 42.5, 43.7, 45.0, 47.2, 49.8])
@pytest.mark.parametrize("coupling", [0.53, 0.97])
def test_epem2_mle_inverts_the_asymmetries(energy: float, coupling: float) -> None:
    # Evenly spread quantiles: their likeliest asymmetry is the true one up to a term of order 1 / n^2.
    u = (np.arange(20_001) + 0.5) / 20_001
    x = np.stack([quantile(u, np.full_like(u, a)) for a in both_asymmetries(energy, coupling)], axis=1)
    assert np.allclose(epem2().mle(jnp.asarray(x)), [energy, coupling], rtol=0, atol=1e-4)


def test_epem2_mle_has_the_spread_of_the_bound() -> None:
    sets, m, theta = 300, 2000, [43.0, 0.75]
    problem = epem2()
    x = rows(problem, theta, sets * m).reshape(sets, m, 2)
    estimates = np.asarray(jax.lax.map(problem.mle, jnp.asarray(x)))
    sd = np.sqrt(np.diag(np.linalg.inv(m * fisher(*theta, (10.0, 1.0)))))
    # The bias is of order 1 / m: below .3 standard errors of this mean, within the 5 allowed.
    assert np.all(np.abs(estimates.mean(axis=0) - theta) < 5 * sd / math.sqrt(sets))
    assert np.all(np.abs(estimates.std(axis=0) / sd - 1) < 5 / math.sqrt(2 * sets))


def test_epem2_bound_as_the_docstring_states_it() -> None:
    raised, mirrored = (np.sqrt(np.diag(np.linalg.inv(fisher(42.0, 0.9, o)))) for o in ((10.0, 1.0), (90.8, -1.0)))
    assert np.allclose(raised, [7.9, 0.79], rtol=0.01) and np.allclose(mirrored, [32, 6.0], rtol=0.02)
    # One energy alone leaves a direction without information, whatever the number of muons; two energies do not
    both = lambda t: asymmetry(jnp.stack([t, t + jnp.array([10.0, 0.0])]))  # noqa: E731
    slopes = np.asarray(jax.jacfwd(both)(jnp.array([42.0, 0.9])))
    one, two = (information(a) * np.outer(s, s) for a, s in zip(both_asymmetries(42.0, 0.9), slopes, strict=True))
    assert np.linalg.matrix_rank(one) == 1 and np.linalg.matrix_rank(one + two) == 2
    assert np.allclose(one + two, fisher(42.0, 0.9, (10.0, 1.0)), rtol=1e-9)
    assert np.isclose(both_asymmetries(42.0, 0.9)[0], asymmetry(jnp.array([42.0, 0.9])))


def test_epem2_wants_a_step() -> None:
    with pytest.raises(ValueError, match="step must be a finite number above zero; got -1"):
        epem2(step=-1.0)
    with pytest.raises(ValueError, match="step must be a finite number above zero; got inf"):
        epem2(step=math.inf)


# --- detector -----------------------------------------------------------------------------------------------------

OFFSET = np.array([0.8, -0.55, 0.35])


def random_directions(n: int, seed: int = 1) -> np.ndarray:
    d = np.random.default_rng(seed).normal(size=(n, 3))
    return d / np.linalg.norm(d, axis=1, keepdims=True)


def test_detector_hits_are_on_the_track_and_on_the_sphere() -> None:
    d = random_directions(100)
    point = OFFSET + 2.7 * np.asarray(hits(d, OFFSET, 2.7))
    assert np.allclose(np.linalg.norm(point - OFFSET, axis=1), 2.7, atol=1e-12)
    assert np.allclose(np.cross(point, d), 0, atol=1e-12) and np.all(np.sum(point * d, axis=1) > 0)


def test_detector_density_is_that_of_transformed_directions() -> None:
    """f(q) |dq / dd| = g(d): the hit moves over an area that is the triple product of q and its two derivatives."""
    kappa = 7.3
    s = 1 + 3 / kappa**2 - 3 / (kappa * math.tanh(kappa))

    def place(angles: jax.Array) -> jax.Array:
        polar, turn = angles
        d = jnp.stack([jnp.sin(polar) * jnp.cos(turn), jnp.sin(polar) * jnp.sin(turn), jnp.cos(polar)])
        return hits(d[None], OFFSET, 2.7)[0]

    angles = np.random.default_rng(2).uniform(0.2, 2.9, (20, 2))
    q, slopes = jax.jit(jax.vmap(lambda a: (place(a), jax.jacfwd(place)(a))))(angles)
    area = np.abs(np.linalg.det(np.concatenate([q[:, :, None], slopes], axis=2))) / np.sin(angles[:, 0])
    g = (1 + s / 2 * (1.5 * np.cos(angles[:, 0]) ** 2 - 0.5)) / (4 * math.pi)
    assert np.allclose(density(q, OFFSET, 2.7, kappa) * area, g, rtol=1e-11)


@pytest.mark.parametrize(("kappa", "polar"), [(2.1, 0.3), (11.1, 1.2), (30.0, 2.9)])
def test_detector_directions_average_over_the_axis(kappa: float, polar: float) -> None:
    """g is the integral of p(n) p(d | n) over axes n, here by quadrature in n's cosine and azimuth."""
    cos, turn = np.polynomial.legendre.leggauss(200)[0], 2 * np.pi * np.arange(400) / 400
    weight = np.polynomial.legendre.leggauss(200)[1][:, None] * (2 * np.pi / 400)
    along = cos[:, None] * math.cos(polar) + np.sqrt(1 - cos[:, None] ** 2) * math.sin(polar) * np.cos(turn)
    jet = kappa / (4 * np.pi * math.sinh(kappa)) * np.exp(kappa * along)
    g = np.sum(weight * 3 / (16 * np.pi) * (1 + cos[:, None] ** 2) * jet)
    d = np.array([[math.sin(polar), 0.0, math.cos(polar)]])
    assert np.isclose(density(d, np.zeros(3), 1.0, kappa)[0], g, rtol=1e-9)


def test_detector_jets() -> None:
    """Cosines within a jet have their law, jets lie opposite each other, and pairs of tracks correlate as they must."""
    n, kappa = 20_000, 1.7
    keys = jax.random.split(KEY, (2, n))
    d = np.asarray(jax.vmap(lambda a, t: _directions(a, t, 2, kappa))(*keys), dtype=np.float64)
    assert np.allclose(np.linalg.norm(d, axis=2), 1, atol=1e-12)
    s = 1 + 3 / kappa**2 - 3 / (kappa * math.tanh(kappa))
    cos = np.sum(d[:, 0] * d[:, 1], axis=1)
    # Two tracks about the same axis, each on either side: E[P2(d1 . d2)] = s^2 and no mean
    p2 = 1.5 * cos**2 - 0.5
    assert abs(p2.mean() - s**2) < 5 * p2.std() / math.sqrt(n)
    assert abs(cos.mean()) < 5 * cos.std() / math.sqrt(n)
    # Against the middle of the track's own jet, which an infinitely narrow one shows
    narrow = jax.vmap(lambda a, t: _directions(a, t, 2, 1e12))(*keys)
    along = np.sum(d * np.asarray(narrow), axis=2).ravel()
    law = lambda v: (np.exp(kappa * (v - 1)) - math.exp(-2 * kappa)) / (1 - math.exp(-2 * kappa))  # noqa: E731
    assert stats.kstest(along, law).pvalue > 1e-3
    axis = np.asarray(narrow[:, 0, 2], dtype=np.float64)
    assert stats.kstest(axis, np.polynomial.Polynomial([3 / 8, 0, 3 / 8]).integ(lbnd=-1)).pvalue > 1e-3


def test_detector_counts_single_tracks_where_the_density_is() -> None:
    """The number of tracks is Poisson; one alone is in a pixel with its exact probability, images being independent."""
    n, problem = 40_000, detector(pixels=7, radius=2.7, tracks=0.9, width=0.5)
    x = rows(problem, list(OFFSET), n).reshape(n, 49)
    assert np.array_equal(x, np.round(x)) and x.min() == 0
    p = np.append(stats.poisson.pmf(np.arange(6), 0.9), stats.poisson.sf(5, 0.9))
    assert stats.chisquare(np.bincount(np.minimum(x.sum(axis=1).astype(int), 6), minlength=7), n * p).pvalue > 1e-3
    assert stats.poisson.sf(math.ceil(40 + 8 * math.sqrt(40)), 40) < 2e-12  # what the docstring says is cut off
    single = x[x.sum(axis=1) == 1]
    p = np.asarray(problem.mean(jnp.asarray(OFFSET))).ravel() / 0.9
    assert np.isclose(p.sum(), 1, atol=1e-9)
    assert len(single) * p.min() > 20
    assert stats.chisquare(single.sum(axis=0), len(single) * p / p.sum()).pvalue > 1e-3


@pytest.mark.parametrize("kappa", [1e-8, 1e-4, 0.09, 0.11, 1e4, 1e8])
def test_detector_jets_of_any_width_in_single_precision(kappa: float) -> None:
    n = 4000
    with jax.enable_x64(False):
        keys = jax.random.split(KEY, (2, n))
        d, narrow = (
            np.asarray(jax.vmap(lambda a, t, k=k: _directions(a, t, 2, k))(*keys), dtype=np.float64)
            for k in (kappa, 1e16)
        )
    # 1 - cos from the chord, which keeps its digits; its law is exponential with rate kappa, cut at 2
    below = np.sum((d - narrow) ** 2, axis=2).ravel() / 2
    rounded = 1e-6 * kappa / math.sqrt(kappa + 1e-3)  # the coordinates have 6e-8
    law = lambda v: np.expm1(-kappa * v) / math.expm1(-2 * kappa)  # noqa: E731
    gap = np.abs(law(np.sort(below)) - (np.arange(2 * n) + 0.5) / (2 * n)).max()
    assert gap < stats.kstwobign.isf(1e-3) / math.sqrt(2 * n) + rounded * 0.1


def test_detector_smoothing_of_wide_jets_joins_that_of_narrow_ones() -> None:
    for kappa in (3e-3, 0.0999, 0.1001):
        # s = E[P2(d . n)], by quadrature of the density of d . n
        c, w = np.polynomial.legendre.leggauss(20)
        weight = w * np.exp(kappa * c)
        exact = np.sum(weight * (1.5 * c**2 - 0.5)) / np.sum(weight)
        assert np.isclose(_smoothing(kappa), exact, rtol=1e-8, atol=1e-15)


@pytest.mark.parametrize("offset", [(0.99, 0.99, 0.99), (0.0, 0.0, 0.0), (-0.7, 0.99, 0.1)])
def test_detector_expected_image_is_accurate(offset: tuple[float, float, float]) -> None:
    """The pixels' quadrature, against adaptive quadrature in other variables, and its sum."""
    image = np.asarray(detector().mean(jnp.array(offset)))
    assert np.isclose(image.sum(), 40, rtol=1e-10)
    kappa = 1 / 0.3**2

    def f(turn: float, cos: float) -> float:
        sin = math.sqrt(1 - cos**2)
        q = np.array([sin * math.cos(turn), sin * math.sin(turn), cos])
        point = np.array(offset) + 3 * q
        r = np.linalg.norm(point)
        s = 1 + 3 / kappa**2 - 3 / (kappa * math.tanh(kappa))
        g = (1 + s / 2 * (1.5 * (point[2] / r) ** 2 - 0.5)) / (4 * math.pi)
        return g * 9 * (3 + q @ np.array(offset)) / r**3

    for i, j in ((0, 3), (13, 28), (31, 4)):
        cos, turn = -1 + 2 * np.array([i, i + 1]) / 32, -math.pi + 2 * math.pi * np.array([j, j + 1]) / 32
        exact = 40 * integrate.dblquad(f, *cos, *turn, epsabs=1e-12, epsrel=1e-9)[0]
        assert np.isclose(image[i, j], exact, rtol=1e-7)


def test_detector_image_shifts_against_the_offset() -> None:
    """To first order the mean direction of a hit is -2 c / 3 R where directions are even."""
    problem = detector(width=100.0)
    polar, turn = (axis.values for axis in problem.axes)
    sin = np.sqrt(1 - polar**2)
    parts = [np.outer(sin, np.cos(turn)), np.outer(sin, np.sin(turn)), np.outer(polar, np.ones(32))]
    small = np.array([0.011, -0.004, 0.007])
    image = np.asarray(problem.mean(jnp.asarray(small))) / 40
    # Pixels' middles stand for their hits: that is off by 1 part in 500
    assert np.allclose([np.sum(part * image) for part in parts], -2 * small / 9, rtol=5e-3)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"pixels": 0}, "pixels must be a whole number of at least 1; got 0"),
        ({"radius": 1.7}, r"radius must be above sqrt\(3\) cm, the largest offset; got 1.7"),
        ({"radius": math.inf}, "radius must be a finite number"),
        ({"tracks": 0.0}, "tracks must be a finite number above zero; got 0.0"),
        ({"width": -1.0}, r"width must be a number in \[0.0001, 10000\]; got -1.0"),
        ({"width": 2e4}, r"width must be a number in \[0.0001, 10000\]; got 20000.0"),
    ],
)
def test_detector_names_the_wrong_argument(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        detector(**options)


# --- mg1 ----------------------------------------------------------------------------------------------------------

QUEUES, JOBS = 20_000, mg1(points=23)


def by_the_clock(service: np.ndarray, waits: np.ndarray) -> np.ndarray:
    """Times between departures of one queue, event by event."""
    arrival = departure = 0.0
    y = []
    for needed, wait in zip(service, waits, strict=True):
        arrival += wait
        starts = max(arrival, departure)
        y.append(starts + needed - departure)
        departure = starts + needed
    return np.array(y)


@pytest.mark.parametrize("load", [0.1, 0.7, 0.98, 2.3])
def test_mg1_equals_the_events_of_its_clock(load: float) -> None:
    rng = np.random.default_rng(3)
    service, waits = rng.gamma(2.3, 1.1, 400), rng.exponential(2.53 / load, 400)
    y = np.asarray(departures(service, waits))
    assert np.allclose(y, by_the_clock(service, waits), rtol=0, atol=1e-10)
    # The last departure is the latest over k of: arrival of job k, then all services from k on without a pause
    last = np.max(np.cumsum(waits) + np.cumsum(service[::-1])[::-1])
    assert np.isclose(y.sum(), last, rtol=1e-12)


def test_mg1_in_single_precision_after_many_jobs() -> None:
    rng = np.random.default_rng(4)
    service, waits = rng.uniform(1.0, 5.0, 20_000), rng.exponential(5.0, 20_000)
    with jax.enable_x64(False):
        y = np.asarray(departures(service, waits))
    assert np.abs(y - by_the_clock(service, waits)).max() < 1e-4


def test_mg1_first_departures() -> None:
    """y_1 = s + w; y_2 = s + max(0, w - s_1), of which E exp(-rate s_1) / rate is the mean of the second part."""
    shortest, spread, rate = 1.3, 3.1, 0.23
    x = rows(JOBS, [shortest, spread, rate], QUEUES)

    def cdf(y: np.ndarray) -> np.ndarray:
        ends = np.clip(y - shortest, 0, spread)
        return (ends - (np.exp(-rate * (y - shortest - ends)) - np.exp(-rate * (y - shortest))) / rate) / spread

    assert stats.kstest(x[:, 0], lambda y: np.where(y > shortest, cdf(np.maximum(y, shortest)), 0.0)).pvalue > 1e-3
    idle = (math.exp(-rate * shortest) - math.exp(-rate * (shortest + spread))) / (rate**2 * spread)
    assert abs(x[:, 1].mean() - (shortest + spread / 2 + idle)) < 5 * x[:, 1].std() / math.sqrt(QUEUES)


def test_mg1_busy_server_shows_services_alone() -> None:
    x = rows(JOBS, [9.1, 0.7, 0.33], QUEUES)[:, 15:]
    # By job 15 some 90 units of work are waiting; a pause would need an arrival gap of 30 mean gaps
    assert stats.kstest(x.ravel(), stats.uniform(9.1, 0.7).cdf).pvalue > 1e-3


def test_mg1_quantiles() -> None:
    x = rows(JOBS, [1.3, 3.1, 0.23], QUEUES)[:40]
    expected = np.quantile(x, [0, 0.25, 0.5, 0.75, 1], axis=1).T
    assert np.allclose(rows(mg1(points=23, quantiles=5), [1.3, 3.1, 0.23], 40), expected, atol=1e-12)


def test_mg1_names_the_wrong_argument() -> None:
    with pytest.raises(ValueError, match="points must be a whole number of at least 1; got 0"):
        mg1(points=0)
    with pytest.raises(ValueError, match="quantiles must be a whole number of at least 2; got 1"):
        mg1(quantiles=1)


def test_rivals_of_the_speed_benchmark_draw_from_the_same_law() -> None:
    rng, theta = np.random.default_rng(5), np.array([1.3, 3.1, 0.23])
    last = rows(JOBS, list(theta), QUEUES)[:, -1]
    for other in (rivals.one_by_one, arrays.queues):
        test: Any = stats.ks_2samp(last, other(rng, theta, 4000, 23)[:, -1])
        assert test.pvalue > 1e-3
    # At its default absolute tolerance of 1.5e-8 odeint is 1.5 % off while a millionth of the people is infected
    np.testing.assert_allclose(rivals.infected(0.4, 0.125), rivals.integrated(0.4, 0.125), rtol=0.02)
    betas, gammas = np.array([0.4, 0.31]), np.array([0.125, 0.14])
    one_by_one = np.stack([rivals.infected(*theta) for theta in zip(betas, gammas, strict=True)], axis=1)
    np.testing.assert_allclose(rivals.infected_at_once(betas, gammas), one_by_one, rtol=1e-3)
    x = arrays.brownian(rng, 0.7, 0.4, 4000, 16)
    assert stats.kstest(x[:, -1], stats.norm(0.7, 0.4).cdf).pvalue > 1e-3
    assert stats.kstest(np.diff(x)[:, 5], stats.norm(0.7 / 16, 0.1).cdf).pvalue > 1e-3
    exact = np.exp(0.7 - 0.08 + 0.4 * np.sum(np.random.default_rng(6).standard_normal((400, 2000), np.float32), 0) / 20)
    euler, milstein = (
        np.abs(arrays.geometric(np.random.default_rng(6), 0.7, 0.4, 2000, 400, order)[:, -1] - exact).mean()
        for order in (0.5, 1.0)
    )
    # Errors near spread^2 / sqrt(2 * 400) and drift^2 / (2 * 400), times X
    assert 0.002 < euler < 0.02 and 5e-4 < milstein < 0.003
    angle, velocity, times = np.array([1.1, -2.0, 0.4, 0.4]), np.array([3.3, 0.5, 11.0, -11.0]), np.linspace(0.1, 9, 30)
    ours = jax.vmap(lambda a, v: pendulum_exact(24.5, a, v, times)[:, 0])(angle, velocity)
    assert np.abs(arrays.pendulum(24.5, angle, velocity, times) - ours).max() < 1e-10
    counts = rows(sir(), [0.4, 0.125], 4000)
    p = rivals.infected(0.4, 0.125)
    # The mean of 4000 counts of 1000 has standard deviation sqrt(1000 p (1 - p) / 4000)
    assert np.all(np.abs(counts.mean(0) - 1000 * p) < 5 * np.sqrt(1000 * p * (1 - p) / 4000) + 1e-3)


# --- g_and_k ------------------------------------------------------------------------------------------------------

NUMBERS = g_and_k()
GK = [[3.0, 1.0, 2.0, 0.5], [-1.3, 0.7, 0.4, 0.0], [5.1, 2.3, 7.7, 1.9]]


@pytest.mark.parametrize("theta", GK)
def test_g_and_k_quantile_function(theta: list[float]) -> None:
    a, b, g, k = theta
    z = np.array([-3.3, -1.0, 0.0, 0.2, 1.7])
    skew = (1 - np.exp(-g * z)) / (1 + np.exp(-g * z))  # as in Allingham et al., equation 1
    assert np.allclose(g_and_k_quantile(z, theta), a + b * (1 + 0.8 * skew) * (1 + z**2) ** k * z, rtol=1e-13)


def test_g_and_k_quantile_function_rises_everywhere() -> None:
    z = np.linspace(-8, 8, 2001)
    for g, k in itertools.product([0.0, 0.3, 1.0, 2.0, 4.0, 10.0], [0.0, 0.1, 1.0, 10.0]):
        assert np.all(np.diff(g_and_k_quantile(z, [0.0, 1.0, g, k])) > 0)


@pytest.mark.parametrize("theta", GK)
def test_g_and_k_law(theta: list[float]) -> None:
    x = rows(NUMBERS, theta, 20_000)
    assert x.shape == (20_000,)
    assert stats.kstest(np.asarray(normal_score(x, theta)), "norm").pvalue > 1e-3


@pytest.mark.parametrize("theta", GK)
def test_g_and_k_density(theta: list[float]) -> None:
    z = np.array([-6.1, -2.0, -0.3, 0.0, 1.1, 4.2])
    x = g_and_k_quantile(z, theta)
    assert np.allclose(normal_score(x, theta), z, rtol=0, atol=1e-11)
    h = 1e-5
    slope = (stats.norm.cdf(normal_score(x + h, theta)) - stats.norm.cdf(normal_score(x - h, theta))) / (2 * h)
    assert np.allclose(np.exp(log_density(x, theta)), slope, rtol=1e-5, atol=1e-9)


def test_g_and_k_of_no_skewness_and_light_tails_is_normal() -> None:
    x = np.array([-2.1, 0.4, 3.3])
    assert np.allclose(log_density(x, [1.7, 0.6, 0.0, 0.0]), stats.norm.logpdf(x, 1.7, 0.6), rtol=1e-10)


def test_g_and_k_summaries() -> None:
    sample = rows(g_and_k(draws=51), GK[0], 30)
    assert stats.kstest(np.asarray(normal_score(sample, GK[0])).ravel(), "norm").pvalue > 1e-3
    e = np.percentile(sample, 12.5 * np.arange(9), axis=1)
    scale = e[6] - e[2]
    expected = [e[4], scale, (e[6] + e[2] - 2 * e[4]) / scale, (e[7] - e[5] + e[3] - e[1]) / scale]
    assert np.allclose(rows(g_and_k(draws=51, summaries=True), GK[0], 30).T, expected, atol=1e-11)
    location, spread, *shape = robust_summaries(2.5 * sample[0] - 4.0)
    assert np.allclose([(location + 4.0) / 2.5, spread / 2.5, *shape], robust_summaries(sample[0]))


def test_g_and_k_names_the_wrong_argument() -> None:
    with pytest.raises(ValueError, match="draws must be a whole number of at least 2; got 1"):
        g_and_k(draws=1)
    with pytest.raises(ValueError, match="summaries need draws"):
        g_and_k(summaries=True)


# --- ricker -------------------------------------------------------------------------------------------------------

GROWTH, SPREAD, SCALE = 3.4, 0.45, 6.3
TWO_COUNTS, LONG = ricker(points=2), ricker(points=100, burn_in=100)
NODES, WEIGHTS = np.polynomial.hermite_e.hermegauss(120)
NORMAL = WEIGHTS / WEIGHTS.sum()


def test_ricker_population_grows_as_written() -> None:
    shocks, n = 0.3 * np.random.default_rng(6).normal(size=200), 1.7
    grown = []
    for shock in shocks:
        n = math.exp(GROWTH) * n * math.exp(-n + shock)
        grown.append(n)
    # The map is chaotic: errors grow, by a factor of some e^.4 a step
    assert np.allclose(np.exp(log_population(GROWTH, shocks, math.log(1.7)))[:40], grown[:40], rtol=1e-6)


def test_ricker_first_count_is_poisson_log_normal() -> None:
    n = 20_000
    y = rows(TWO_COUNTS, [GROWTH, SPREAD, SCALE], n)[:, 0]
    assert np.array_equal(y, np.round(y))
    rate = SCALE * np.exp(GROWTH - 1 + SPREAD * NODES)
    edges = np.array([-1, 25, 35, 45, 55, 65, 75, 90, 110, 140, 190, 10**6])
    p = np.diff(stats.poisson.cdf(edges[:, None], rate[None]) @ NORMAL)
    assert stats.chisquare(np.histogram(y, edges + 0.5)[0], n * p).pvalue > 1e-3
    mean = SCALE * math.exp(GROWTH - 1 + SPREAD**2 / 2)
    variance = mean + mean**2 * (math.exp(SPREAD**2) - 1)
    assert abs(y.mean() - mean) < 5 * math.sqrt(variance / n)
    assert abs(y.var() - variance) < 5 * np.std((y - y.mean()) ** 2) / math.sqrt(n)


def test_ricker_second_count() -> None:
    n = 20_000
    first = np.exp(GROWTH - 1 + SPREAD * NODES)
    mean = SCALE * math.exp(GROWTH + SPREAD**2 / 2) * np.sum(NORMAL * first * np.exp(-first))
    y = rows(TWO_COUNTS, [GROWTH, SPREAD, SCALE], n)[:, 1]
    assert abs(y.mean() - mean) < 5 * y.std() / math.sqrt(n)


@pytest.mark.parametrize(("log_r", "sigma"), [(3.8, 0.3), (3.2, 0.7)])
def test_ricker_mean_in_the_long_run(log_r: float, sigma: float) -> None:
    y = rows(LONG, [log_r, sigma, SCALE], 500)
    # After the burn-in the first count has the mean of all; without it, that of N_1, about four times as much
    for mean in (y.mean(axis=1), y[:, 0]):
        assert abs(mean.mean() - SCALE * log_r) < 5 * mean.std() / math.sqrt(500)
    assert LONG.axes[0].values[[0, -1]].tolist() == [101, 200]


def test_ricker_population_survives_a_crash() -> None:
    with jax.enable_x64(False):
        n = np.asarray(log_population(4.5, np.zeros(60), math.log(200.0)))
    expected = math.log(200) - 200 + 4.5 * np.arange(1, 41)  # N is exp(-16) at most so far
    assert np.allclose(n[:40], expected, atol=1e-3)
    assert n[40:].max() > 1


def test_ricker_summaries() -> None:
    y = rows(TWO_COUNTS, [GROWTH, SPREAD, SCALE], 20_000)
    expected = [y.mean(axis=1), y.var(axis=1), (y == 0).sum(axis=1)]
    assert set(expected[2]) >= {0, 1}
    found = rows(ricker(points=2, summaries=True), [GROWTH, SPREAD, SCALE], 50)
    assert np.allclose(found.T, np.array(expected)[:, :50])


def test_ricker_names_the_wrong_argument() -> None:
    with pytest.raises(ValueError, match="points must be a whole number of at least 1; got 0"):
        ricker(points=0)
    with pytest.raises(ValueError, match="burn_in must be a whole number of at least 0; got -1"):
        ricker(burn_in=-1)


# --- ma2 ----------------------------------------------------------------------------------------------------------


SERIES, POINTS, MA2 = 20_000, 25, ma2(points=25)


def covariance(theta: np.ndarray | list[float], points: int) -> np.ndarray:
    """Covariance of a series, from the matrix that makes it of its points + 2 shocks."""
    c1, c2 = theta[0] * (1 + theta[1]), theta[1]
    make = np.eye(points, points + 2) * c2 + np.eye(points, points + 2, 1) * c1 + np.eye(points, points + 2, 2)
    return make @ make.T


def test_ma2_covariance() -> None:
    theta = [0.62, -0.35]
    x = rows(MA2, theta, SERIES)
    exact = covariance(theta, POINTS)
    assert np.allclose(exact[0, :4], [*autocovariances(theta), 0.0])
    error = np.sqrt((np.outer(np.diag(exact), np.diag(exact)) + exact**2) / SERIES)
    assert np.all(np.abs(np.cov(x.T) - exact) < 5 * error)
    assert stats.kstest(x[:, 4] / math.sqrt(exact[0, 0]), "norm").pvalue > 1e-3


def test_ma2_parameters_are_the_triangle() -> None:
    theta = np.random.default_rng(7).uniform(-1, 1, (400, 2))
    c = np.asarray(coefficients(theta))
    assert np.allclose(c[:, 0], theta[:, 0] * (1 + theta[:, 1])) and np.array_equal(c[:, 1], theta[:, 1])
    for c1, c2 in c:
        assert np.abs(np.roots([c2, c1, 1])).min() > 1
    # and every point of the triangle is reached
    inside = np.random.default_rng(8).uniform([-2, -1], [2, 1], (400, 2))
    inside = inside[np.abs(inside[:, 0]) < 1 + inside[:, 1]]
    assert np.all(np.abs(inside[:, 0] / (1 + inside[:, 1])) < 1)
    assert np.allclose(coefficients([0.5, 0.2]), [0.6, 0.2])


def test_ma2_mle_is_the_largest_likelihood() -> None:
    x = rows(MA2, [0.3, -0.4], SERIES)[:6]

    def loss(theta: np.ndarray) -> float:
        return -stats.multivariate_normal(cov=covariance(theta, POINTS)).logpdf(x).sum()

    best = optimize.minimize(loss, [0.1, 0.1], method="Nelder-Mead", options={"xatol": 1e-8, "fatol": 1e-12}).x
    grid = [np.array(t) for t in itertools.product(np.linspace(-0.95, 0.95, 20), repeat=2)]
    assert loss(best) < min(map(loss, grid))
    assert np.allclose(MA2.mle(jnp.asarray(x)), best, rtol=0, atol=1e-5)


@pytest.mark.parametrize("theta", [(0.9, -0.8), (0.3, -0.95), (-0.95, 0.95)])
def test_ma2_mle_near_corners(theta: tuple[float, float]) -> None:
    """Where likelihoods have maxima in corners too: at least that of the truth and of a fine grid."""
    problem = ma2()
    x = np.asarray(jax.jit(problem.simulate)(jax.random.key(3), jnp.tile(jnp.array(theta), (20, 1))))
    angles = math.pi * ((np.arange(60) + 0.5) / 60 - 0.5)
    grid = np.array([theta, *itertools.product(np.sin(angles), repeat=2)])
    # The whitened series, e_t = (x_t - a_t e_{t-1} - b_t e_{t-2}) with variance v_t, by the innovations algorithm
    g = [np.asarray(jax.vmap(autocovariances)(grid))[:, i] for i in range(3)]

    def log_likelihoods(g: list[np.ndarray], x: np.ndarray) -> np.ndarray:
        total, v, e, a = np.zeros((len(g[0]), len(x))), [], [], np.zeros(len(g[0]))
        for t in range(x.shape[1]):
            b = g[2] / v[t - 2] if t > 1 else np.zeros_like(a)
            a = (g[1] - (b * a * v[t - 2] if t > 1 else 0.0)) / v[t - 1] if t > 0 else np.zeros_like(a)
            v.append(g[0] - (a**2 * v[t - 1] if t > 0 else 0.0) - (b**2 * v[t - 2] if t > 1 else 0.0))
            past = (a[:, None] * e[t - 1] if t > 0 else 0.0) + (b[:, None] * e[t - 2] if t > 1 else 0.0)
            e.append(x[None, :, t] - past)
            total -= (np.log(2 * np.pi * v[t])[:, None] + e[t] ** 2 / v[t][:, None]) / 2
        return total

    exact = stats.multivariate_normal(cov=covariance(list(theta), 100)).logpdf(x)
    on_grid = log_likelihoods(g, x)
    assert np.allclose(on_grid[0], exact, rtol=1e-9)
    for rows_ in (*np.arange(20)[:, None], np.arange(4)):
        g = list(np.asarray(autocovariances(problem.mle(x[rows_])))[:, None])
        assert log_likelihoods(g, x[rows_]).sum() > on_grid[:, rows_].sum(axis=1).max() - 1e-6


def test_ma2_mle_spread() -> None:
    sets, m, theta = 80, 30, np.array([0.5, 0.2])
    x = rows(MA2, list(theta), SERIES)[: sets * m].reshape(sets, m, POINTS)
    estimates = np.array([MA2.mle(jnp.asarray(part)) for part in x])
    inverse = np.linalg.inv(covariance(theta, POINTS))
    slopes = [(covariance(theta + h, POINTS) - covariance(theta - h, POINTS)) / 2e-6 for h in 1e-6 * np.eye(2)]
    fisher = m / 2 * np.array([[np.trace(inverse @ a @ inverse @ b) for b in slopes] for a in slopes])
    sd = np.sqrt(np.diag(np.linalg.inv(fisher)))
    # The bias, of order 1 / (m points), is .07 of this spread, within the .4 allowed
    assert np.all(np.abs(estimates.mean(axis=0) - theta) < 5 * sd / math.sqrt(sets))
    assert np.all(np.abs(estimates.std(axis=0) / sd - 1) < 5 / math.sqrt(2 * sets))


def test_ma2_summaries() -> None:
    theta = [0.62, -0.35]
    problem = ma2(POINTS, summaries=True)
    x = rows(MA2, theta, SERIES)[:5000]
    summaries = rows(problem, theta, 5000)
    expected = [(x[:, 1:] * x[:, :-1]).mean(axis=1), (x[:, 2:] * x[:, :-2]).mean(axis=1)]
    assert np.allclose(summaries.T, expected, atol=1e-12)
    mean = np.asarray(problem.mean(jnp.array(theta)))
    assert np.all(np.abs(summaries.mean(axis=0) - mean) < 5 * summaries.std(axis=0) / math.sqrt(5000))
    assert problem.mle(jnp.zeros((4, 2))) is None


def test_ma2_names_the_wrong_argument() -> None:
    with pytest.raises(ValueError, match="points must be a whole number of at least 3; got 2"):
        ma2(points=2)
