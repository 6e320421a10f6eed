"""Electrocardiograms against closed forms, independent integrations and recordings: `ecg`, `ecg_noise` and `ecgsyn`.

Statistical tolerances are 5 standard errors, derived from the sample size where they are used; Kolmogorov-Smirnov tests
ask for p > 1e-3. Seeds are fixed.
"""

import math
from collections.abc import Callable
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import integrate, optimize, signal, special, stats

from avo.simulators import ecgsyn as make_ecgsyn
from avo.simulators.ecg import FIFTEEN, SEVEN, WIDE, ecg, gaussian_wave, plateau, waveform
from avo.simulators.ecg_noise import make_noise, unit_noise
from avo.simulators.ecgsyn import DOWER, GAIN, LEADS, WAVES, heights, lead_gains, line_offsets, rr_interval
from avo.simulators.problem import Problem

KEY = jax.random.key(20)
KINDS = ("white", "wander", "mains", "muscle")


def repeat(theta: list[float], n: int) -> jax.Array:
    return jnp.tile(jnp.array(theta), (n, 1))


def draw(problem: Problem, n: int, key: jax.Array = KEY) -> np.ndarray:
    """n observations at the problem's truth."""
    return np.asarray(jax.jit(problem.simulate)(key, repeat(list(problem.theta_true), n)), dtype=np.float64)


# --- leads ----------------------------------------------------------------------------------------------------------


def test_leads_are_beats_of_their_own_amplitudes_at_the_same_times() -> None:
    own = {"II": {"r_amp": 1.3, "t_amp": -0.1, "offset": 0.04}, "V5": {"r_amp": 1.9, "t_amp": 0.33, "offset": -0.02}}
    shared = {"r_width": 0.009, "t_centre": 0.31}
    values = shared | {f"{name}_{lead}": v for lead, some in own.items() for name, v in some.items()}
    both = ecg(("t_centre", "r_amp", "offset"), leads=("II", "V5"), values=values)
    assert both.space.names == ("t_centre", "r_amp_II", "r_amp_V5", "offset_II", "offset_V5")
    assert both.theta_true.tolist() == [0.31, 1.3, 1.9, 0.04, -0.02]
    singles = [ecg(("t_centre",), values=shared | some) for some in own.values()]
    exact = np.stack([np.asarray(one.mean(one.theta_true)) for one in singles], axis=1)
    np.testing.assert_allclose(both.mean(both.theta_true), exact, atol=1e-12)
    assert both.axes[1].labels == ("II", "V5")

    x = draw(both, 4000)
    sd = np.sqrt(np.mean((exact - [0.04, -0.02]) ** 2, axis=0)) / 10  # 20 dB
    rest = (x - exact) / sd
    # Of 4000 x 200 standard normal numbers a lead, and their products
    assert np.abs(rest.std(axis=(0, 1)) - 1).max() < 5 / math.sqrt(2 * 800_000)
    assert abs(np.mean(rest[..., 0] * rest[..., 1])) < 5 / math.sqrt(800_000)
    log_prob = stats.norm.logpdf(x[:3], exact, sd).sum(axis=(1, 2))
    np.testing.assert_allclose(both.log_prob(both.theta_true, x[:3]), log_prob, rtol=1e-9)


def test_a_name_without_a_lead_stands_for_all_of_them() -> None:
    wide = ecg((*WIDE,), ranges=WIDE | {"r_amp_V1": (-3.0, 0.5)}, values={"r_amp_V1": -1.0}, leads=("I", "V1"))
    assert wide.space.dim == 14 + 2 * 8
    assert wide.space["s_amp_I"].support == wide.space["s_amp_V1"].support == WIDE["s_amp"]
    assert wide.space["r_amp_V1"].support == (-3.0, 0.5)
    with pytest.raises(ValueError, match="free must name some of .*; got 'r_amp_V6'"):
        ecg(("r_amp_V6",), leads=("I", "V1"))
    with pytest.raises(ValueError, match="leads must name each lead once; got I, I"):
        ecg(leads=("I", "I"))
    with pytest.raises(ValueError, match="leads must be names of leads"):
        ecg(leads="II")


# --- noise ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_noise_has_its_covariance(kind: str) -> None:
    draws, points, rate = 8000, 23, 90.0
    n = np.asarray(jax.vmap(lambda k: unit_noise(kind, k, points, rate, mains=41.0))(jax.random.split(KEY, draws)))
    lag = np.subtract.outer(np.arange(points), np.arange(points)) / rate
    f = {"mains": np.array([41.0]), "muscle": np.linspace(20, 45, 1001), "wander": np.linspace(0.05, 0.5, 1001)}
    exact = np.eye(points) if kind == "white" else np.cos(2 * np.pi * f[kind][:, None, None] * lag).mean(axis=0)
    # Var(n_i n_j) = c_ii c_jj + c_ij^2 where Gaussian, 1/2 for a sine; the mean over the band by 16 lines or by 1001
    # differs over 0.26 s by 1e-3 at most for wander, by 0.013 for muscle noise.
    error = np.sqrt((1 + exact**2 if kind != "mains" else 0.5 * np.ones_like(lag)) / draws)
    assert np.all(np.abs(n.T @ n / draws - exact) < 5 * error + (0.013 if kind == "muscle" else 1e-3))
    assert np.all(np.abs(n.mean(axis=0)) < 5 / math.sqrt(draws))
    if kind == "mains":
        assert np.isclose(np.abs(n).max(), math.sqrt(2), atol=1e-3)
    else:
        assert stats.kstest(n[:, 7], "norm").pvalue > 1e-3


@pytest.mark.parametrize(
    ("points", "rate", "lags"), [(60, 250.0, (-0.183, -0.160, -0.126)), (20, 90.0, (-0.564, -0.098, 0.165))]
)
def test_muscle_noise_of_short_records_ends_at_half_the_sampling_rate(points: int, rate: float, lags: tuple) -> None:
    draws = 20_000
    n = np.asarray(jax.vmap(lambda k: unit_noise("muscle", k, points, rate))(jax.random.split(KEY, draws)))
    # Flat from 20 Hz to rate / 2: (sin(2 pi f lag) between the ends) / (2 pi lag (rate / 2 - 20))
    lag = 2 * np.pi * np.arange(1, 4) / rate
    exact = (np.sin(lag * rate / 2) - np.sin(lag * 20)) / (lag * (rate / 2 - 20))
    assert np.allclose(exact, lags, atol=5e-4)
    for i, value in enumerate(exact, start=1):
        products = n[:, 2] * n[:, 2 + i]
        assert abs(products.mean() - value) < 5 * products.std() / math.sqrt(draws) + 2e-3
    assert abs(np.mean(n**2) - 1) < 5 * np.mean(n**2, axis=1).std() / math.sqrt(draws)


@pytest.mark.parametrize(
    ("kind", "rate", "points", "band"),
    [("wander", 5.0, 2000, (0.05, 0.5)), ("mains", 500.0, 5000, (50.0, 50.0)), ("muscle", 500.0, 5000, (20.0, 150.0))],
)
def test_noise_fills_its_band(kind: str, rate: float, points: int, band: tuple[float, float]) -> None:
    records = 40
    n = np.asarray(jax.vmap(lambda k: unit_noise(kind, k, points, rate))(jax.random.split(KEY, records)))
    f, power = signal.periodogram(n, rate, window="hann", detrend=False)
    margin = 4 * rate / points
    inside = (f >= band[0] - margin) & (f <= band[1] + margin)
    assert power[:, inside].sum() > 0.9999 * power.sum()
    if kind != "mains":  # a quarter of the power in each quarter of the band
        quarter = np.clip((4 * (f - band[0]) / (band[1] - band[0])).astype(int), 0, 3)
        shares = np.stack([(power * inside * (quarter == i)).sum(axis=1) for i in range(4)]) / power.sum(axis=1)
        assert np.all(np.abs(shares.mean(axis=1) - 0.25) < 5 * shares.std(axis=1) / math.sqrt(records) + 0.01)


@pytest.mark.parametrize("kind", KINDS)
def test_noise_has_its_ratio(kind: str) -> None:
    beats, snr = 3000, 13.0
    problem = ecg(("offset",), noise={kind: snr}, values={"offset": 0.08})
    f = np.asarray(problem.mean(problem.theta_true)) - 0.08
    power = np.mean((draw(problem, beats) - f - 0.08) ** 2, axis=1)
    exact = np.mean(f**2) * 10 ** (-snr / 10)
    assert abs(power.mean() - exact) < 5 * power.std() / math.sqrt(beats) + 1e-9
    assert power.std() / math.sqrt(beats) < 0.03 * exact  # so that 1 dB, 26 %, would show


def test_noises_add_and_have_parameters_of_their_own() -> None:
    free = ("snr", "wander_snr", "mains_snr", "muscle_snr")
    problem = ecg(free, noise=KINDS[::-1], snr=21.0)
    assert problem.space.units == ("dB",) * 4 and problem.theta_true.tolist() == [21.0] * 4
    mean = problem.mean(problem.theta_true)
    simulate = jax.jit(problem.simulate)
    all_at_20 = simulate(KEY, jnp.full((1, 4), 20.0))[0] - mean
    parts = [simulate(KEY, jnp.full((1, 4), 400.0).at[0, i].set(20.0))[0] - mean for i in range(4)]
    assert np.allclose(sum(parts), all_at_20, atol=1e-12)
    for part, kind in zip(parts, KINDS, strict=True):
        louder = simulate(KEY, jnp.full((1, 4), 400.0).at[0, KINDS.index(kind)].set(14.0))[0] - mean
        assert np.allclose(louder, 10 ** (6 / 20) * part, atol=1e-12)


def test_noises_are_independent() -> None:
    draws = 3000
    model, unit = make_noise(KINDS, 20.0, 250.0), jnp.ones(12)

    def alone(kind: int, key: jax.Array) -> jax.Array:
        ratios = jnp.full(4, 400.0).at[kind].set(0.0)
        return model.draw(key, unit, dict(zip(model.known, ratios, strict=True)))

    keys = jax.random.split(KEY, draws)
    n = np.asarray(jax.jit(jax.vmap(jax.vmap(alone, (None, 0)), (0, None)))(jnp.arange(4), keys))
    assert np.allclose(n.std(axis=(1, 2)), 1, atol=0.1)
    for i, j in ((0, 1), (0, 2), (0, 3), (1, 2), (1, 3), (2, 3)):
        assert np.abs(n[i].T @ n[j] / draws).max() < 5 / math.sqrt(draws)


def test_no_noise() -> None:
    problem = ecg(noise=())
    assert np.allclose(draw(problem, 1)[0], problem.mean(problem.theta_true), rtol=0, atol=1e-14)
    with pytest.raises(ValueError, match="free must name some of .*; got 'snr'"):
        ecg(("snr",), noise=())


def test_white_noise_alone_is_drawn_plainly() -> None:
    """The numbers of earlier versions: one normal draw by the row's own key."""
    problem = ecg(snr=24.0)
    f = np.asarray(problem.mean(problem.theta_true))
    own = np.stack([jax.random.normal(jax.random.fold_in(KEY, i), (200,)) for i in range(3)])
    expected = f + math.sqrt(np.mean(f**2)) * 10 ** (-24 / 20) * own
    assert np.allclose(draw(problem, 3), expected, rtol=0, atol=1e-14)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"noise": "pink"}, "noise must name some of white, wander, mains, muscle; got 'pink'"),
        ({"noise": ("white", "white")}, "noise must name each once; got 'white' 2 times."),
        (
            {"noise": {"wander": math.nan}},
            "noise: wander must be a finite number, in dB; leave it out to have none",
        ),
        ({"noise": "mains", "rate": 100.0}, "rate must be above 100 Hz for mains noise; got 100 Hz"),
        ({"noise": "muscle", "rate": 60.0}, "rate must be above 60 Hz for muscle noise"),
        ({"mains": 0.0}, "mains must be a finite number above zero, in Hz; got 0.0."),
    ],
)
def test_noise_names_the_wrong_argument(options: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make_noise(**({"noise": "white", "snr": 20.0, "rate": 250.0} | options))


# --- ecg: waves -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("amp", [0.37, -0.62])
@pytest.mark.parametrize(("order", "peak"), [(0, 0.0), (1, -1.0), (2, 0.0)])
def test_ecg_wave_has_its_amplitude(order: int, peak: float, amp: float) -> None:
    centre, width = 0.13, 0.021
    t = centre + width * np.linspace(-6, 6, 24_001)
    wave = np.asarray(gaussian_wave(t, amp, centre, width, order))
    assert np.isclose(np.abs(wave).max(), abs(amp), rtol=1e-5)
    assert np.isclose(gaussian_wave(np.array([centre + peak * width]), amp, centre, width, order)[0], amp, rtol=1e-5)


@pytest.mark.parametrize(("order", "factor"), [(1, 0.021 * math.exp(0.5)), (2, -(0.021**2))])
def test_ecg_orders_are_derivatives(order: int, factor: float) -> None:
    with jax.enable_x64(True):
        derivative: Callable = lambda t: 0.37 * jnp.exp(-(((t - 0.13) / (math.sqrt(2) * 0.021)) ** 2))  # noqa: E731
        for _ in range(order):
            derivative = jax.grad(derivative)
        t = jnp.linspace(0.05, 0.21, 33)
        assert np.allclose(gaussian_wave(t, 0.37, 0.13, 0.021, order), factor * jax.vmap(derivative)(t), atol=1e-12)


def test_ecg_width_conventions() -> None:
    beside = np.array([0.03 + 0.011])
    single = waveform(beside, {"s_amp": -0.4, "s_centre": 0.03, "s_width": 0.011})
    assert np.isclose(single[0], -0.4 * math.exp(-0.5), rtol=1e-4)
    for half in ("q1", "q2"):
        value = waveform(beside, {f"{half}_amp": -0.4, f"{half}_centre": 0.03, f"{half}_width": 0.011})
        assert np.isclose(value[0], -0.4 * math.exp(-1), rtol=1e-4)


def test_ecg_waveform_sums_its_waves() -> None:
    problem = ecg(free=FIFTEEN, orders={"t": 1, "p": 2})
    t = problem.axes[0].values
    expected = np.zeros(200)
    for wave, (amp, centre, width) in zip("pqrst", problem.theta_true.reshape(5, 3), strict=True):
        u = (t - centre) / width
        gauss = np.exp(-(u**2) / 2)
        expected += amp * {"p": (1 - u**2) * gauss, "t": -u * math.exp(0.5) * gauss}.get(wave, gauss)
    assert np.allclose(problem.mean(problem.theta_true), expected, atol=1e-5)


def test_ecg_double_q() -> None:
    problem = ecg(q="double")
    assert problem.space.names == ("p_amp", "q1_amp", "q2_amp", "r_amp", "s_amp", "t_amp", "t_centre", "t_width")
    change = problem.mean(problem.theta_true + np.eye(8)[1]) - problem.mean(problem.theta_true)
    assert np.allclose(change, np.exp(-(((problem.axes[0].values + 0.032) / 0.01) ** 2)), atol=1e-5)


def test_ecg_grid() -> None:
    problem = ecg(rate=360.0, window=(-0.25, 0.45))
    assert problem.x_shape == (252,)
    assert np.allclose(np.diff(problem.axes[0].values), 1 / 360) and problem.axes[0].values[0] == -0.25
    assert ecg().x_shape == (200,)


@pytest.mark.parametrize("snr", [13.0, 20.0])
def test_ecg_signal_to_noise_ratio(snr: float) -> None:
    beats = 500
    problem = ecg(snr=snr, free=("r_amp", "offset"))
    theta = [1.3, 0.08]
    f = np.asarray(problem.mean(theta), dtype=np.float64)
    x = np.asarray(problem.simulate(KEY, repeat(theta, beats)), dtype=np.float64)
    measured = 10 * np.log10(np.mean((f - 0.08) ** 2) / np.mean((x - f) ** 2))
    # The noise variance of N samples has relative standard deviation sqrt(2 / N), 10 / ln 10 times that in dB.
    assert abs(measured - snr) < 5 * 10 / math.log(10) * math.sqrt(2 / (beats * 200))
    assert stats.kstest(((x - f) / (x - f).std()).ravel(), "norm").pvalue > 1e-3


def test_ecg_snr_as_a_parameter() -> None:
    problem = ecg(free=("snr",), snr=24.0)
    assert problem.theta_true == [24.0] and problem.space.units == ("dB",)
    quiet, loud = (problem.simulate(KEY, np.array([[v]]))[0] - problem.mean(np.array([v])) for v in (34.0, 16.0))
    assert np.allclose(loud, 10 ** (18 / 20) * quiet, rtol=1e-2, atol=1e-5)


def test_ecg_defaults() -> None:
    truth = ecg(free=FIFTEEN).theta_true.reshape(5, 3)
    assert truth.tolist() == [
        [0.12, -0.16, 0.023], [-0.12, -0.027, 0.008], [1.1, 0.001, 0.01], [-0.25, 0.028, 0.009], [0.28, 0.29, 0.048]
    ]  # fmt: skip


def test_ecg_presets() -> None:
    assert SEVEN == ("p_amp", "q_amp", "r_amp", "s_amp", "t_amp", "t_centre", "t_width")
    assert ecg().space.names == SEVEN
    assert FIFTEEN[:4] == ("p_amp", "p_centre", "p_width", "q_amp") and FIFTEEN[-1] == "t_width" and len(FIFTEEN) == 15
    fifteen = ecg(free=FIFTEEN)
    assert fifteen.space.names == FIFTEEN
    assert np.allclose(fifteen.mean(fifteen.theta_true), ecg().mean(ecg().theta_true), atol=1e-6)
    thetas = fifteen.space.constrain(1.5 * jax.random.normal(jax.random.key(11), (1000, 15)))
    assert jnp.isfinite(fifteen.simulate(KEY, thetas)).all()
    for value, parameter in zip(fifteen.theta_true, fifteen.space, strict=True):
        assert parameter.support[0] < value < parameter.support[1]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"free": ("u_amp",)}, "free must name some of p_amp, .*; got 'u_amp'. Did you mean"),
        ({"free": ("q_amp",), "q": "double"}, "q1_amp"),
        ({"free": ("r_amp", "r_amp")}, "free must name each once; got 'r_amp' 2 times."),
        ({"orders": {"t": 3}}, "orders: t must be a whole number from 0 to 2; got 3."),
        ({"orders": {"q": 1}, "q": "double"}, "orders must name some of p, r, s, t, t2; got 'q'."),
        ({"q": "triple"}, "q must be"),
        ({"rate": 0.0}, "rate must be a finite number above zero, in Hz; got 0.0."),
        ({"window": (0.5, -0.3)}, "window must be"),
        ({"free": ("snr",), "snr": 40.0}, "snr must lie inside"),
    ],
)
def test_ecg_names_the_wrong_argument(options: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ecg(**options)


# --- ecg: infarction, and what may be added -------------------------------------------------------------------------


def test_ecg_plateau() -> None:
    t = np.linspace(-0.1, 0.5, 301)
    exact = 0.23 * special.expit((t - 0.051) / 0.006) * special.expit((0.237 - t) / 0.006)
    assert np.allclose(plateau(t, 0.23, 0.051, 0.237), exact, atol=1e-14)
    # The level is read 60 to 80 ms after the end of S.
    assert np.allclose(plateau(np.array([0.11, 0.13]), 0.23, 0.05, 0.22), 0.23, rtol=1e-3)


def test_ecg_st_level_is_free_or_fixed() -> None:
    free = ecg(("st_amp", "st_start", "st_end"))
    theta = np.array([0.17, 0.043, 0.21])
    level = plateau(free.axes[0].values, *theta)
    normal = ecg().mean(ecg().theta_true)
    assert np.allclose(free.mean(theta) - normal, level, atol=1e-14)
    fixed = ecg(values={"st_amp": 0.17, "st_start": 0.043, "st_end": 0.21})
    assert fixed.space.names == SEVEN
    assert np.allclose(fixed.mean(fixed.theta_true), free.mean(theta), atol=1e-14)


def test_ecg_second_t_wave_is_a_derivative() -> None:
    problem = ecg(("t2_amp",), values={"t2_centre": 0.31, "t2_width": 0.055})
    u = (problem.axes[0].values - 0.31) / 0.055
    change = problem.mean(np.array([0.13])) - problem.mean(np.array([0.0]))
    assert np.allclose(change, -0.13 * u * np.exp(0.5 - u**2 / 2), atol=1e-14)
    hump = ecg(("t2_amp",), {"t2": 0}, values={"t2_centre": 0.31, "t2_width": 0.055})
    assert np.allclose(hump.mean(np.array([0.13])) - hump.mean(np.array([0.0])), 0.13 * np.exp(-(u**2) / 2), atol=1e-14)


def test_ecg_infarction() -> None:
    problem = ecg(infarction=True, rate=1000.0)
    assert problem.space.names == (*SEVEN, "st_amp")
    t, beat = problem.axes[0].values, np.asarray(problem.mean(problem.theta_true))
    before, after = (t > -0.06) & (t < 0), (t > 0.11) & (t < 0.13)
    # Q deeper than a quarter of R and below zero for 40 ms; ST above 0.1 mV; T inverted
    assert beat[before].min() < -0.25 * beat.max() and np.sum(beat[before] < -0.01) >= 40
    assert np.all(np.abs(beat[after] - 0.2) < 0.01)
    assert np.isclose(beat[np.argmin(np.abs(t - 0.29))], -0.2, atol=0.01)
    halves = tuple(f"q{i}_{part}" for i in (1, 2) for part in ("amp", "width"))
    for q, free in (("single", FIFTEEN), ("double", halves)):
        sick, normal = ecg(free, q=q, infarction=True), ecg(free, q=q)
        for name in free:  # its ranges hold the normal beat's
            (low, high), (inner_low, inner_high) = sick.space[name].support, normal.space[name].support
            assert low <= inner_low and inner_high <= high
    healed = ecg(infarction=True, values={"q_amp": -0.12, "q_width": 0.008, "t_amp": 0.28, "st_amp": 0.0})
    assert np.allclose(healed.mean(healed.theta_true), ecg().mean(ecg().theta_true), atol=1e-14)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"values": {"u_amp": 0.1}}, "values must name some of p_amp"),
        ({"values": {"r_amp": 2.5}}, r"r_amp must lie inside \(0.4, 2\) where it is free; got 2.5"),
        ({"values": {"r_width": 0.0}}, "values: r_width must be a finite number above zero; got 0.0."),
        ({"values": {"offset": math.inf}}, "values: offset must be a finite number; got inf."),
        ({"noise": "pink"}, "noise must name some of"),
        ({"free": ("wander_snr",)}, "free must name some of .*; got 'wander_snr'."),
    ],
)
def test_ecg_names_the_wrong_value(options: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ecg(**options)


# --- ecg: recorded beats --------------------------------------------------------------------------------------------


def median_beat(record: np.ndarray, lead: np.ndarray, fs: int) -> np.ndarray:
    """Median of a lead from 0.3 s before to 0.5 s after its R peaks, found by the slopes of all leads together."""
    band = signal.butter(2, [5, 25], "band", fs=fs, output="sos")
    slopes = np.abs(signal.sosfiltfilt(band, record)).sum(axis=0)
    slopes = signal.sosfiltfilt(signal.butter(2, 8, "low", fs=fs, output="sos"), slopes)
    found, _ = signal.find_peaks(slopes, distance=0.4 * fs, height=0.4 * np.percentile(slopes, 98))
    near, before, after = (round(s * fs) for s in (0.06, 0.3, 0.5))
    found = found[(found >= before + near) & (found < len(lead) - after - near)]
    peaks = [i - near + np.argmax(lead[i - near : i + near]) for i in found]
    assert len(peaks) >= 4
    return np.median([lead[i - before : i + after] for i in peaks], axis=0)


def explained_shares(beats: list[np.ndarray], problem: Problem, begin: np.ndarray, starts: int) -> list[float]:
    """Fractions of the variances of beats that a problem's mean explains at its least-squares fit inside its space."""
    low, high = np.array([parameter.support for parameter in problem.space]).T
    width = high - low
    residual = jax.jit(lambda theta, beat: problem.mean(theta) - beat)
    slope = jax.jit(jax.jacfwd(lambda theta, beat: problem.mean(theta) - beat))
    jitter = 0.15 * width * np.random.default_rng(0).normal(size=(starts, len(begin)))
    begins = [begin, *np.clip(begin + jitter, low + 1e-3 * width, high - 1e-3 * width)[1:]]
    shares = []
    for beat in beats:
        fits = [
            optimize.least_squares(
                residual, begin, slope, bounds=(low, high), x_scale=width, max_nfev=200, args=(beat,)
            )
            for begin in begins
        ]
        shares.append(1 - 2 * min(fit.cost for fit in fits) / np.sum((beat - beat.mean()) ** 2))
    return shares


def test_ecg_fits_recorded_beats(shared_data: Path) -> None:
    """Lead II of ten PTB subjects: P, Q, R, S, T, T2, ST and offset, each within its range of `WIDE`."""
    archive = np.load(shared_data / "ecg" / "ptb_10subjects_15lead.npz")
    fs, two = int(archive["fs"]), list(archive["leads"]).index("ii")
    records = archive["adu"] / float(archive["gain"])
    beats = [median_beat(record, record[two], fs) for record in records]
    problem = ecg(free=(*WIDE,), ranges=WIDE, rate=float(fs))
    begin = problem.theta_true + np.array([0.02 if name in ("t2_amp", "st_amp") else 0.0 for name in WIDE])
    shares = explained_shares([beat - np.median(beat) for beat in beats], problem, begin, starts=3)
    assert len(shares) == 10
    assert min(shares) >= 0.93, np.round(shares, 3)


def test_ranges_replace_the_defaults() -> None:
    problem = ecg(free=("r_amp", "snr"), ranges={"snr": (3.0, 50.0), "t_amp": (-9.0, 9.0)})
    assert [parameter.support for parameter in problem.space] == [(0.4, 2.0), (3.0, 50.0)]
    assert problem.space.units == ("mV", "dB")
    with pytest.raises(ValueError, match="ranges must name some of p_amp, .*; got 'u_amp'"):
        ecg(ranges={"u_amp": (0.0, 1.0)})


def test_wander_of_a_long_strip_has_unit_power_in_its_band() -> None:
    """300 s at 250 Hz, summed by a transform: 270 lines in 0.45 Hz, each with two squares of unit normals."""
    n = np.asarray(unit_noise("wander", jax.random.key(8), 75_000, 250.0))
    power, f = np.abs(np.fft.rfft(n * np.hanning(75_000))) ** 2, np.fft.rfftfreq(75_000, 1 / 250.0)
    inside = (f > 0.05 - 0.01) & (f < 0.5 + 0.01)
    assert power[~inside].sum() < 1e-3 * power.sum()
    # At least 270 lines, of which half a record sees as many degrees of freedom: variance 2 / 270
    assert abs(np.mean(n**2) - 1) < 5 * math.sqrt(2 / 270)


# --- ecgsyn: the equation -------------------------------------------------------------------------------------------

A = np.array([1.2, -5.0, 30.0, -7.5, 0.75])
ANGLES = np.radians([-70.0, -15.0, 0.0, 15.0, 100.0])
WIDTHS = np.array([0.25, 0.1, 0.1, 0.1, 0.4])
SILENT = {"heart_rate_sd": 0.0, "resp_amp": 0.0}


def at_rate(rate: float) -> tuple[np.ndarray, np.ndarray]:
    """Angles and widths scaled to a heart rate as the authors' software does it."""
    h = math.sqrt(rate / 60)
    return ANGLES * np.array([math.sqrt(h), h, 1, h, math.sqrt(h)]), WIDTHS * h


def solve_mcsharry(
    times: np.ndarray, onsets: np.ndarray, rr: np.ndarray, angles: np.ndarray, widths: np.ndarray, z: float
) -> tuple[np.ndarray, float]:
    """z at times by the published equations of (x, y, z), from (1, 0, z) at the first onset, and z at the end."""

    def slope(t: float, state: np.ndarray, w: float) -> list[float]:
        x, y, z = state
        pull = 1 - math.hypot(x, y)
        d = np.arctan2(y, x) - angles
        d -= 2 * np.pi * np.ceil((d - np.pi) / (2 * np.pi))
        push = -np.sum(A * d * np.exp(-(d**2) / (2 * widths**2)))
        return [pull * x - w * y, pull * y + w * x, push - z]

    state, out = np.array([1.0, 0.0, z]), np.empty(len(times))
    for begin, interval in zip(onsets, rr, strict=True):
        w = 2 * np.pi / interval
        # Integrated from jump to jump of the right-hand side, so that the order of the method holds
        stops = begin + np.sort([0, interval, *((angles + np.pi) / w)])
        for first, last in zip(stops[:-1], stops[1:], strict=True):
            path = integrate.solve_ivp(
                slope, (first, last), state, method="DOP853", dense_output=True, rtol=1e-11, atol=1e-13,
                max_step=0.03, args=(w,),
            )  # fmt: skip
            within = (times >= first) & (times < last)
            if within.any():
                out[within] = path.sol(times[within])[2]
            state = path.y[:, -1]
    return out, state[2]


@pytest.mark.parametrize(("rate", "seed"), [(61.0, 0), (177.0, 1)])
def test_ecgsyn_solves_its_equation(rate: float, seed: int) -> None:
    rr = 60 / rate * (1 + 0.15 * np.random.default_rng(seed).normal(size=4))
    onsets = 0.7 + np.concatenate([[0], np.cumsum(rr)[:-1]])
    times = np.arange(onsets[0], onsets[-1] + 0.9 * rr[-1], 1 / 211)
    angles, widths = at_rate(rate)
    arguments = [times, onsets, rr, angles, widths]
    solve = jax.jit(heights)
    z = A @ np.asarray(solve(*map(jnp.asarray, arguments)))
    exact, _ = solve_mcsharry(*arguments, z[0])
    assert np.abs(exact).max() > 0.04
    assert np.abs(z - exact).max() < 1e-10
    with jax.enable_x64(False):
        single = A @ np.asarray(solve(*(jnp.asarray(a, dtype=jnp.float32) for a in arguments)))
    assert np.abs(single - exact).max() < 1e-5  # 3e-4 mV


def test_ecgsyn_beat_has_the_gain_and_scaling_of_the_software() -> None:
    rate = 97.0
    problem = make_ecgsyn(
        ("heart_rate",), window=(-0.4, 0.7), rate=300.0, noise=(), values=SILENT | {"heart_rate": rate}
    )
    x, t = draw(problem, 1)[0], problem.axes[0].values
    interval, (angles, widths) = 60 / rate, at_rate(rate)
    onsets = interval * np.arange(-1, 2)
    # From any start z nears its periodic solution by exp(-RR) per beat.
    first = [np.array([]), onsets[:1], np.array([interval]), angles, widths]
    end = solve_mcsharry(*first, 0.04)[1]
    periodic = 0.04 + (end - 0.04) / (1 - math.exp(-interval))
    exact, _ = solve_mcsharry(t, onsets, np.full(3, interval), angles, widths, periodic)
    assert GAIN == pytest.approx(0.15 / 0.005)
    assert np.abs(x - 30 * exact).max() < 1e-8


def test_ecgsyn_baseline_is_the_filtered_sine() -> None:
    flat = {f"{wave}_a": 0.0 for wave in WAVES}
    values = flat | {"resp_amp": 0.21, "resp_freq": 0.35}
    x = draw(make_ecgsyn(("resp_amp", "resp_freq"), 20.0, 50.0, noise=(), values=values), 40)
    lines = 2 * np.abs(np.fft.rfft(x)) / x.shape[1]
    # z' = -z + A sin(w t) has the amplitude A / |1 + i w|; 0.35 Hz is line 7 of 20 s.
    exact = np.zeros(lines.shape[1])
    exact[7] = 0.21 / abs(1 + 2j * np.pi * 0.35)
    assert np.abs(lines - exact).max() < 1e-12
    phase = np.angle(np.fft.rfft(x)[:, 7]) / (2 * np.pi) + 0.5
    assert stats.kstest(phase, "uniform").pvalue > 1e-3


# --- ecgsyn: heart rate ---------------------------------------------------------------------------------------------


def test_rr_has_its_spectrum_exactly() -> None:
    offsets = line_offsets(10.0)
    phases = 2 * np.pi * np.random.default_rng(3).uniform(size=(2, len(offsets)))
    times, phases = jnp.arange(400.0), jnp.asarray(phases)
    rr = np.asarray(
        jax.vmap(lambda t: rr_interval(t, phases, offsets, mean=0.83, sd=0.047, lf_hf=1.7, resp_freq=0.29))(times)
    )
    # All lines are multiples of 1/400 Hz: over 400 s their sum has exactly its mean, variance and spectrum.
    power = 2 * np.abs(np.fft.rfft(rr) / 400) ** 2
    f = np.arange(201) / 400
    assert np.isclose(math.sqrt(power[0] / 2), 0.83, rtol=1e-12)
    assert np.isclose(power[1:].sum(), 0.047**2, rtol=1e-10)
    density = 1.7 * stats.norm.pdf(f, 0.1, 0.01) + stats.norm.pdf(f, 0.29, 0.01)
    cut = (np.abs(f - 0.1) < 0.0401) | (np.abs(f - 0.29) < 0.0401)
    assert np.allclose(power[1:], (0.047**2 * density * cut / (density * cut).sum())[1:], rtol=1e-8, atol=1e-16)


def test_rr_does_not_repeat_within_a_record() -> None:
    for longest in (10.0, 300.0, 1700.0):
        assert 1 / np.diff(line_offsets(longest)).max() >= max(400.0, 2 * longest) - 1e-6


def r_peaks(x: np.ndarray, rate: float) -> np.ndarray:
    """Times of R peaks, by parabolas through three samples."""
    top, _ = signal.find_peaks(x, height=0.6, distance=0.25 * rate)
    left, middle, right = x[top - 1], x[top], x[top + 1]
    return (top + (left - right) / (2 * (left - 2 * middle + right))) / rate


def test_ecgsyn_strips_have_the_rate_and_its_spectrum() -> None:
    records, rate, mean, sd, lf_hf, breath = 24, 100.0, 75.0, 2.0, 1.7, 0.28
    free = ("heart_rate", "heart_rate_sd", "lf_hf", "resp_freq")
    truth = dict(zip(free, (mean, sd, lf_hf, breath), strict=True))
    x = draw(make_ecgsyn(free, 256.0, rate, noise=(), values=truth), records)
    f, found, powers, centroids = np.arange(0.04, 0.36, 1 / 1024), [], [], []
    bands = [np.abs(f - centre) < 0.04 for centre in (0.1, breath)]
    for row in x:
        peaks = r_peaks(row, rate)
        rr = np.diff(peaks)
        # RR(t) is read at the time where it begins; Lomb's periodogram needs no even grid.
        power = signal.lombscargle(peaks[:-1], rr - rr.mean(), 2 * np.pi * f)
        found.append([rr.mean(), rr.std()])
        powers.append([power[band].sum() for band in bands])
        centroids.append([np.average(f[band], weights=power[band]) for band in bands])
    found, powers, centroids = map(np.array, (found, powers, centroids))
    error = 5 / math.sqrt(records)
    # Beats are counted where they are: 1 / mean(1 / RR), less than the mean over time by var / mean
    spread = 60 * sd / mean**2
    assert abs(found[:, 0].mean() - (60 / mean - spread**2 * mean / 60)) < error * found[:, 0].std() + 1e-4
    assert abs(found[:, 1].mean() / spread - 1) < error * found[:, 1].std() / spread + 0.01
    assert np.all(np.abs(centroids.mean(axis=0) - [0.1, breath]) < error * centroids.std(axis=0) + 5e-4)
    relative = powers.std(axis=0) / powers.mean(axis=0)
    ratio = powers[:, 0].mean() / powers[:, 1].mean()
    assert abs(ratio / lf_hf - 1) < error * np.linalg.norm(relative) < 0.5


def test_ecgsyn_strips_begin_anywhere_in_a_beat() -> None:
    n, interval = 1000, 60 / 75
    problem = make_ecgsyn(("r_a",), 1.0, 200.0, noise=(), values=SILENT | {"heart_rate": 75.0})
    first = [r_peaks(row, 200.0)[0] for row in draw(problem, n)]
    assert stats.kstest(np.mod(first, interval) / interval, "uniform").pvalue > 1e-3


def test_ecgsyn_beats_do_not_fall_over_each_other() -> None:
    values = SILENT | {"heart_rate": 150.0, "heart_rate_sd": 90.0, "t_a": 0.0, "p_a": 0.0, "q_a": 0.0, "s_a": 0.0}
    x = draw(make_ecgsyn(("lf_hf",), 10.0, 200.0, noise=(), values=values), 50)
    intervals = np.concatenate([np.diff(signal.find_peaks(row, height=0.6)[0]) for row in x]) / 200
    # RR has mean 0.4 s and standard deviation 0.24 s, without the shortest that is allowed
    assert 0.245 <= intervals.min() <= 0.255 and intervals.max() > 0.6


# --- ecgsyn: twelve leads -------------------------------------------------------------------------------------------


def largest_violation(x: np.ndarray) -> float:
    """The farthest that leads are from the laws of Einthoven and Goldberger, in mV."""
    one, two, three, right, left, foot = np.moveaxis(x[..., :6].astype(np.float64), -1, 0)
    laws = [one + three - two, right + (one + two) / 2, left - one + two / 2, foot - two + one / 2, right + left + foot]
    return float(np.abs(laws).max())


def test_ecgsyn_leads_obey_einthoven_and_goldberger_and_have_their_noise() -> None:
    records, snr = 300, (12.0, 19.0)
    problem = make_ecgsyn(("resp_amp", "wander_snr", "mains_snr"), 2.0, 250.0, 12, noise=("wander", "mains"))
    assert problem.x_shape == (500, 12) and tuple(problem.axes[1].values) == LEADS
    simulate = jax.jit(problem.simulate)
    # Equal keys and no noise to speak of at 400 dB: the difference is the noise.
    x, quiet, waves = (
        np.asarray(simulate(KEY, repeat(theta, records)))
        for theta in ([0.15, *snr], [0.15, 400.0, 400.0], [0.0, 400.0, 400.0])
    )
    assert largest_violation(x) < 1e-12
    assert x[..., :3].std(axis=(0, 1)).min() > 0.05
    with jax.enable_x64(False):
        single = np.asarray(simulate(KEY, repeat([0.15, *snr], 20)))
    assert single.dtype == np.float32 and largest_violation(single) < 1e-6
    # Recorded leads have the stated ratio to their own waves, and noise of their own.
    recorded = [LEADS.index(lead) for lead in DOWER]
    noise = (x - quiet)[..., recorded]
    ratio = np.mean(noise**2, axis=1) / np.mean(waves[..., recorded] ** 2, axis=1)
    exact, error = sum(10 ** (-value / 10) for value in snr), ratio.std(axis=0) / math.sqrt(records)
    assert np.all(np.abs(ratio.mean(axis=0) - exact) < 5 * error) and np.all(error < 0.05 * exact)
    assert np.abs(np.corrcoef(noise[:, 7].T) - np.eye(8)).max() < 5 / math.sqrt(records)
    # Lead II is the single lead.
    single = draw(make_ecgsyn(("resp_amp",), 2.0, 250.0, noise=()), 5)
    assert np.allclose(quiet[:5, :, 1], single, atol=1e-12)


def test_dower_matrix_has_the_published_inverse() -> None:
    """Inverse Dower matrix of Edenbrandt and Pahlm (Journal of Electrocardiology 21:361, 1988), V1 ... V6, I, II."""
    published = [
        [-0.172, -0.074, 0.122, 0.231, 0.239, 0.194, 0.156, -0.010],
        [0.057, -0.019, -0.106, -0.022, 0.041, 0.048, -0.227, 0.887],
        [-0.229, -0.310, -0.246, -0.063, 0.055, 0.108, 0.022, 0.102],
    ]
    matrix = np.array([DOWER[lead] for lead in (*LEADS[6:], "I", "II")])
    assert np.abs(np.linalg.pinv(matrix) - published).max() < 1e-3


def test_ecgsyn_leads_look_as_a_cardiologist_expects() -> None:
    gains = np.vstack([lead_gains(), np.zeros((4, 5))])
    gains = dict(zip([*DOWER, "III", "aVR", "aVL", "aVF"], gains, strict=True))
    gains["aVR"] = -(gains["I"] + gains["II"]) / 2
    gains["aVF"] = gains["II"] - gains["I"] / 2
    p, q, r, s, t = (dict(zip(gains, column, strict=True)) for column in np.array(list(gains.values())).T)
    for lead in ("I", "II", "V3", "V4", "V5", "V6"):
        assert t[lead] > 0.3  # in units of lead II
    assert min(p["I"], p["II"], p["aVF"]) > 0.3
    assert all(wave["aVR"] < -0.4 for wave in (p, q, r, s, t))
    assert q["V1"] < -0.5 < 0.2 < q["I"] and q["V6"] > 0.2  # first to the right and the front: R in V1, Q in I and V6
    assert r["V1"] < 0 < r["V2"] < r["V3"] < r["V4"]
    assert max(s, key=s.__getitem__) in ("V2", "V3") and s["V6"] < 0.3
    # V2 and V3 of (0.3, 0.7, -1.2) in Dower's matrix, over II, by hand
    assert math.isclose(s["V2"], 1.7924 / 0.9751, rel_tol=1e-9) and math.isclose(s["V3"], 1.8656 / 0.9751, rel_tol=1e-9)


# --- ecgsyn: another implementation ---------------------------------------------------------------------------------


@pytest.mark.filterwarnings("ignore")
def test_ecgsyn_agrees_with_neurokit() -> None:
    """NeuroKit2 (MIT licence) solves the equation with a relative tolerance of 1e-3 and scales the record."""
    neurokit2 = pytest.importorskip("neurokit2", reason="neurokit2 is not installed (extra dev)")
    rate, fs = 75.0, 500
    theirs = neurokit2.ecg_simulate(
        duration=10, sampling_rate=fs, noise=0, heart_rate=rate, heart_rate_std=0, random_state=1
    )
    t, interval, (angles, widths) = np.arange(len(theirs)) / fs, 60 / rate, at_rate(rate)
    onsets = interval * np.arange(14)
    z = A @ np.asarray(heights(*map(jnp.asarray, (t, onsets, np.full(14, interval), angles, widths))))
    w = 2 * np.pi * 0.25
    z += 0.005 * (np.sin(w * t) - w * np.cos(w * t)) / (1 + w**2)
    z += (0.04 - z[0]) * np.exp(-t)  # their start
    ours = 1.6 * (z - z.min()) / (z.max() - z.min()) - 0.4
    assert np.sqrt(np.mean((ours - theirs) ** 2)) < 0.02  # mV
    assert np.corrcoef(ours, theirs)[0, 1] > 0.999


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"leads": 3}, "leads must be 1 or 12; got 3"),
        ({"rate": 0.0}, "rate must be a finite number above zero, in Hz; got 0.0."),
        ({"duration": 0.0}, "duration must be a finite number above zero, in s; got 0.0."),
        ({"window": (0.5, -0.3)}, "window must hold at least one sample"),
        ({"free": ("r_amp",)}, "free must name some of heart_rate"),
        ({"values": {"heart_rate": 30.0}}, r"heart_rate must lie inside \(40, 180\)"),
        ({"values": {"r_width": -0.1}}, "values: r_width must be a finite number above zero; got -0.1"),
        ({"free": ("r_a",), "values": {"heart_rate": 250.0}}, "values: heart_rate must be at most 240 1/min; got 250"),
        ({"values": {"t_angle": 2.2}}, "values: t_angle must lie within 2.1 rad of R; got 2.2"),
        ({"values": {"s_angle": -1.6}}, "values: s_angle must lie within 1.5 rad of R; got -1.6"),
        ({"noise": "pink"}, "noise must name some of"),
    ],
)
def test_ecgsyn_names_the_wrong_argument(options: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make_ecgsyn(**options)
