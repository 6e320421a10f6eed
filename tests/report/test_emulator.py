"""The emulator of the report: exact where x is a polynomial, honest errors, and a script of the same numbers."""

import json
import shutil
import subprocess
from dataclasses import replace
from importlib import resources

import numpy as np
import pytest
import reports

import avo
from avo.gaps import find_gaps
from avo.refine.linear import LinearSpace
from avo.report.emulator import exponents, fit_emulator, monomials
from avo.report.page import text_of
from avo.report.sliders import STEPS, Sliders

UNITS = np.array([1.3, -20.0]), np.array([2.0, 300.0])


def test_monomials_are_products_of_powers():
    z = np.array([[2.0, -3.0, 0.5], [1.5, 4.0, -2.0]])
    powers = exponents(3, 3)
    assert len(powers) == 20 and (powers.sum(1) <= 3).all() and len(set(map(tuple, powers.tolist()))) == 20
    expected = np.array([[np.prod(row**power) for power in powers] for row in z])
    np.testing.assert_allclose(monomials(z, powers), expected, rtol=1e-12)


def test_a_polynomial_without_noise_is_found_exactly():
    rng = np.random.default_rng(0)
    z = rng.uniform(-1, 1, size=(2000, 2))
    x = np.stack([1.3 + z[:, 0] - 2.5 * z[:, 0] * z[:, 1], -20 + 300 * z[:, 1] ** 3], 1)
    found = fit_emulator(z, x, z[:, :1], UNITS)
    mean, low, high = found(z[:50])
    np.testing.assert_allclose(mean, x[:50], atol=1e-6 * 300)
    assert found.degree == 3 and found.error.max() < 1e-9
    np.testing.assert_allclose(monomials(z[:50], found.powers) @ found.mean[:, 2], z[:50, 0], atol=1e-8)
    assert np.all(high - low < 1e-3)


def test_mean_and_band_of_noise_that_grows():
    """Exact mean and quantiles of a normal law; 6,000 rows leave .013 sd of the mean, 2 % of a quantile, as error."""
    rng = np.random.default_rng(1)
    z = rng.uniform(-1, 1, size=(6000, 2))
    sd = 2.0 * np.exp(0.6 * z[:, 0] - 0.2 * z[:, 1])
    x = np.stack([1.3 + 3.0 * z[:, 1] + sd * rng.normal(size=6000), -20 + 300 * rng.exponential(size=6000)], 1)
    found = fit_emulator(z, x, z[:, :1], UNITS)
    for at in ([0.0, 0.0], [0.8, -0.5], [-0.6, 0.7]):
        mean, low, high = (a[0] for a in found(np.array([at])))
        own = 2.0 * np.exp(0.6 * at[0] - 0.2 * at[1])
        assert abs(mean[0] - 1.3 - 3.0 * at[1]) < 4 * 0.04 * own
        np.testing.assert_allclose([low[0] - mean[0], high[0] - mean[0]], np.array([-1.645, 1.645]) * own, rtol=0.1)
        # Of an exponential law: lopsided, -log .95 and -log .05
        np.testing.assert_allclose([low[1] + 20, high[1] + 20], [0.0513 * 300, 2.996 * 300], rtol=0.08, atol=12)
    assert 0.88 < found.held < 0.92
    assert found(np.array([[0.9, -1.0]]))[1][0, 1] >= x[:, 1].min()
    assert found.degree == 1 and 0.005 < found.off < 0.05


def test_the_band_of_counts_ends_at_zero_where_many_are_zero():
    """Poisson counts: of mean 1.2 at most, 30 % are zero, the 5 % quantile whatever z; of mean 5 hardly any are."""
    rng = np.random.default_rng(3)
    z = rng.uniform(-1, 1, size=(5000, 1))
    x = rng.poisson(np.concatenate([0.7 + 0.5 * z, 5 + 2 * z], 1)).astype(float)
    found = fit_emulator(z, x, z, (np.zeros(2), np.ones(2)))
    _, low, high = found(np.array([[-0.9], [0.0], [0.9]]))
    assert low[:, 0].tolist() == [0.0, 0.0, 0.0] and found.held_at.tolist() == [[True, False], [False, False]]
    assert low[0, 1] < low[1, 1] < low[2, 1] and abs(low[2, 1] - 3) < 0.7 and abs(high[0, 0] - 1.2) < 1


def test_the_stated_error_grows_where_no_polynomial_fits():
    """The rest of a step function beyond a cubic is about .3 high."""
    rng = np.random.default_rng(2)
    z = rng.uniform(-1, 1, size=(3000, 1))
    x = np.sign(z) + 0.3 * rng.normal(size=z.shape)
    found = fit_emulator(z, x, x, (np.zeros(1), np.ones(1)))
    mean = found(z)[0]
    actual = np.sqrt(np.mean((mean - np.sign(z)) ** 2)) / np.std(x - mean)
    assert actual / 3 < found.off < 1.5 * actual


def test_what_is_missing_takes_no_part():
    """Columns that lack rows are fitted as if they had only the others; of whole ones nothing changes."""
    rng = np.random.default_rng(5)
    z = rng.uniform(-1, 1, size=(3000, 2))
    x = np.stack([1.3 + z[:, 0], -20 + 300 * z[:, 1]], 1) + rng.normal(size=(3000, 2)) * [0.5, 70.0]
    gone, lost = x.copy(), rng.random(3000) < 0.4
    gone[lost, 1] = np.nan
    found = fit_emulator(z, gone, z, UNITS)
    at = np.array([[0.0, 0.0], [0.6, -0.5], [-0.7, 0.4]])
    mean, low, high = found(at)
    # Up to 10 coefficients of 1,800 rows: .05 sd of the mean at most, each; those of 3,000 for the other column
    np.testing.assert_allclose(mean, np.stack([1.3 + at[:, 0], -20 + 300 * at[:, 1]], 1), atol=4 * 0.05 * 70)
    np.testing.assert_allclose(mean[:, 0], 1.3 + at[:, 0], atol=4 * 0.04 * 0.5)
    np.testing.assert_allclose(high - low, np.full((3, 1), 3.29) * [0.5, 70.0], rtol=0.15)
    assert 0.88 < found.held < 0.92


def gapped(target: str = "point") -> avo.Result:
    """A result whose rows lack a number, and another one in every second row."""
    result = reports.reported("vector", target)
    kept = result.kept
    assert kept is not None and result.estimate is not None
    x, observed = kept.x.copy(), kept.observed.copy()
    x[:, 2], observed[:, 2] = np.nan, np.nan  # of so few rows, no one has a value that is nearly never there
    x[::2, 4], observed[::2, 4] = np.nan, np.nan
    return replace(result, estimate=replace(result.estimate, kept=kept._replace(x=x, observed=observed)))


def test_rows_lack_in_the_page_what_they_lack():
    result = gapped("population")
    assert result.kept is not None
    values = json.loads(json.dumps(Sliders(result, result.kept).values(), allow_nan=False))
    assert all(row["x"][2] is None and row["x"][0] is not None for row in values["rows"])
    assert sum(values["chart"]["histograms"][4]["counts"]) in range(145, 151)  # of 300 rows, but for a percent
    assert text_of(result)  # with all pictures


def test_a_mask_is_no_known_condition():
    result = reports.reported("vector")
    gaps = lambda c: find_gaps(np.array([[1.0, np.nan, 2.0, 3.0, 4.0], np.arange(5.0)]), c)  # noqa: E731
    for c, known in ((None, False), (np.ones((2, 1)), True)):
        own = replace(result, gaps=gaps(c))
        assert own.kept is not None and Sliders(own, own.kept).conditions == known


@pytest.mark.parametrize("form", ["vector", "series"])
def test_sliders_say_the_parameters_values(form):
    result = reports.reported(form)
    assert result.kept is not None
    sliders = Sliders(result, result.kept)
    values, line = sliders.values(), LinearSpace(result.space)
    for i, parameter in enumerate(values["parameters"]):
        z = np.array(parameter["z"])
        assert z[STEPS] == 0.0 and len(z) == 2 * STEPS + 1 and np.all(np.diff(z) > 0) and np.abs(z).max() <= 1
        places = np.tile(line.of(np.asarray(result.proposal.loc, float)), (len(z), 1))
        places[:, i] += z * sliders.half[i]
        expected = np.asarray(line.constrain(places))[:, i]
        np.testing.assert_allclose([float(word) for word in parameter["theta"]], expected, rtol=0.02)
        assert float(parameter["theta"][STEPS]) == pytest.approx(float(result.theta[i]), rel=1e-3)
    assert values["right"]["low"] < 1 < values["right"]["high"]
    # The simulator is linear with noise of .7 where it was simulated, and x shows all numbers of a vector
    mean, low, high = sliders.emulator(np.zeros((1, result.space.dim)))
    np.testing.assert_allclose(mean, reports.SHIFT, atol=0.15)
    np.testing.assert_allclose(high - low, 2 * 1.645 * reports.NOISE, rtol=0.12)


def misfit(data, z, row=None):
    """How well a setting fits, in Python: independent of the script."""
    emulator = data["emulator"]
    f = np.prod(np.power(np.array(z), np.array(emulator["powers"])), axis=1)
    size = np.exp(f[: len(emulator["scale"])] @ np.array(emulator["scale"]))
    k = len(size)
    both = f @ np.array(emulator["mean"])
    variance = size**2 * np.array(emulator["variance"])
    if row is not None:
        return float(np.sqrt(np.nanmean((np.array(row["x"], float) - both[:k]) ** 2 / variance)))
    m, m_error, v, v_error = np.array(data["observed"]["moments"])
    t, t_error = np.array(data["observed"]["scores"])
    off, rough = np.array(emulator["error"]), np.array(emulator["roughness"])
    parts = [
        (m - both[:k]) ** 2 / (m_error**2 + off[:k] ** 2),
        (v - variance) ** 2 / (v_error**2 + (rough * variance) ** 2),
        (t - both[k:]) ** 2 / (t_error**2 + off[k:] ** 2),
    ]
    return float(np.sqrt(np.mean([part.mean() for part in parts])))


SCRIPT = """
const page = require(process.argv[1]), {data, places} = JSON.parse(require("fs").readFileSync(0, "utf8"));
const row = data.rows[0];
process.stdout.write(JSON.stringify(places.map((z) => [
  page.emulate(data.emulator, z), page.misfit(data, z), row ? page.misfit(data, z, row) : null, page.distance(data, z),
]).concat([[page.best(data, [30, 150, 100], [false, false, true])], [page.ticks(-0.31, 1.02, 5)]])));
"""


@pytest.mark.skipif(shutil.which("node") is None, reason="node is not installed")
@pytest.mark.parametrize("target", ["point", "population", "gaps"])
def test_the_script_computes_what_python_does(target):
    result = gapped("population") if target == "gaps" else reports.reported("vector", target)
    assert result.kept is not None
    sliders = Sliders(result, result.kept)
    data = json.loads(json.dumps(sliders.values()))
    places = [[0.0, 0.0, 0.0], [0.5, -0.3, 0.2], [-1.0, 0.9, -0.4]]
    given = json.dumps({"data": data, "places": places})
    with resources.as_file(resources.files("avo.report").joinpath("page.js")) as script:
        done = subprocess.run(
            ["node", "-e", SCRIPT, str(script)], input=given, capture_output=True, text=True, check=True
        )
    *found, (best,), (ticks,) = json.loads(done.stdout)
    for z, (own, fits, row, far) in zip(places, found, strict=True):
        for name, expected in zip(("mean", "low", "high"), sliders.emulator(np.array([z])), strict=True):
            np.testing.assert_allclose(own[name], expected[0], rtol=1e-4, atol=1e-4)
        assert fits == pytest.approx(misfit(data, z), rel=1e-9)
        if target != "point":
            assert row == pytest.approx(misfit(data, z, data["rows"][0]), rel=1e-9)
        assert far == pytest.approx(float(np.array(z) @ np.array(data["precision"]) @ np.array(z)), rel=1e-9)
    if target == "point":  # the observations come from the estimate, the middle of all sliders
        assert best[2] == 100 and max(abs(step - 100) for step in best) < 12
    assert ticks == [0, 0.5, 1]
