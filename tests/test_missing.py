"""Missing values: what is shown of them, against exact conditional laws, and fits against the maximum likelihood."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from fits import LOSS, TINY, TINY_BUDGET, small_critic

import avo
from avo.execution.blocks import Draws
from avo.gaps import find_gaps
from avo.observations import location_scale
from avo.refine import lacking
from avo.refine.features import make_features
from avo.refine.statistic import apply
from avo.rows import Given, observe, observe_new
from avo.space import Space

RNG = np.random.default_rng
NAN = np.nan
SPACE = avo.Space(m1=avo.Interval(-10, 12), m2=avo.Interval(-30, 20))
COVARIANCE = np.array([[1.0, 1.8], [1.8, 4.0]])  # correlation .9
PAIR = np.array([0.7, -6.2])


def pair(key: Any, theta: Any) -> Any:
    """Two numbers of unequal scale, correlated, about theta."""
    return theta + jax.random.normal(key, theta.shape) @ jnp.asarray(np.linalg.cholesky(COVARIANCE).T)


def with_gaps(m: int = 300) -> np.ndarray:
    """Rows of every pattern, in no order."""
    x = RNG(5).multivariate_normal(PAIR, COVARIANCE, m)
    pattern = RNG(6).integers(0, 3, m)
    x[pattern == 0, 0] = NAN
    x[pattern == 1, 1] = NAN
    return x


X = with_gaps()


# --- what is shown ---------------------------------------------------------------------------------------------------


def test_units_are_those_of_what_was_seen() -> None:
    x = RNG(0).normal([2.0, -300.0, 5.0], [0.1, 40.0, 3.0], (500, 3))
    lost = RNG(1).random(x.shape) < [0.1, 0.7, 0.0]
    shift, scale = location_scale(np.where(lost, NAN, x))
    for j in range(3):
        own = location_scale(x[~lost[:, j], j])
        np.testing.assert_allclose([shift[j], scale[j]], own, rtol=1e-10)
    series = np.where(RNG(2).random((50, 20, 2)) < 0.3, NAN, RNG(3).normal([1.0, 7.0], [2.0, 0.1], (50, 20, 2)))
    shift, scale = location_scale(series)
    np.testing.assert_allclose(shift[3], np.nanmean(series, axis=(0, 1)), rtol=1e-12)
    np.testing.assert_allclose(scale[3], np.nanstd(series, axis=(0, 1)), rtol=1e-10)


def test_a_mask_has_a_column_for_each_set_of_values_missing_together() -> None:
    x = RNG(0).normal(size=(30, 2, 3))
    x[:5, 0, 1] = NAN
    x[3:9, 1, :2] = NAN
    gaps = find_gaps(x, c := RNG(1).normal(size=(30, 2, 1)))
    assert gaps is not None and gaps.columns == 2 and gaps.column.tolist() == [-1, 0, -1, 1, 1, -1]
    together = gaps.conditions(np.isnan(x), c)
    assert together.shape == (30, 4)
    np.testing.assert_array_equal(gaps.known(together), c)
    np.testing.assert_array_equal(gaps.mask(together), np.isnan(x))
    whole = RNG(2).normal(size=(30, 2, 3))
    filled = gaps.filled(whole, together)
    np.testing.assert_array_equal(filled[~np.isnan(x)], whole[~np.isnan(x)])
    np.testing.assert_array_equal(filled[:3, 0, 1], np.full(3, gaps.fill[0, 1]))
    np.testing.assert_array_equal(np.isnan(gaps.bare(filled, together)), np.isnan(x))
    whole[4, 0, 1] = np.inf  # a call that failed stays one, whatever would have been missing
    assert not np.isfinite(gaps.filled(whole, together)[4, 0, 1])
    assert find_gaps(whole, None) is None


def test_condition_and_mask_of_a_row_travel_together() -> None:
    c = np.arange(6.0)[:, None]
    x = np.concatenate([10.0 + c, 3.0 - c], axis=1)
    x[[1, 4], 0] = x[[2, 5], 1] = NAN
    observed, known = observe(Given(x, c, missing=True), Space(mu=avo.Real()))
    assert known is not None and observed.inputs is not None and observed.inputs.shape == (6, 3)

    def seen(key: Any, theta: Any, c: Any) -> Any:
        return jnp.concatenate([c + theta[:, :1], -c], axis=1)

    draws = Draws(seen, Space(mu=avo.Real()), jax.random.key(0), 12, (2,), observed.inputs, gaps=observed.gaps)
    drawn = draws(np.zeros((24, 1)))
    assert drawn.inputs is not None and observed.gaps is not None
    bare = observed.gaps.bare(drawn.x, drawn.inputs)
    own = drawn.inputs[:, 0].astype(int)
    assert np.bincount(own).tolist() == [4] * 6
    np.testing.assert_array_equal(np.isnan(bare), np.isnan(x)[own])
    np.testing.assert_allclose(bare[~np.isnan(bare)], np.stack([own, -own], 1)[~np.isnan(bare)])


def test_what_is_expected_given_what_was_seen() -> None:
    A = RNG(0).normal(size=(4, 4))
    S, mean, v = A @ A.T, np.array([3.0, -1.0, 0.5, 20.0]), RNG(1).normal(size=4) + 5
    seen = np.array([True, False, True, False])
    z, rest = lacking.expected(*map(jnp.asarray, (np.where(seen, v, 999.0), seen * 1.0, mean, S)))
    gain = S[np.ix_(~seen, seen)] @ np.linalg.inv(S[np.ix_(seen, seen)])
    np.testing.assert_allclose(z[~seen], mean[~seen] + gain @ (v - mean)[seen], rtol=1e-9)
    np.testing.assert_allclose(z[seen], v[seen])
    expected = S[np.ix_(~seen, ~seen)] - gain @ S[np.ix_(seen, ~seen)]
    np.testing.assert_allclose(np.asarray(rest)[np.ix_(~seen, ~seen)], expected, rtol=1e-9)
    assert np.all(np.asarray(rest)[seen] == 0)


def test_features_hold_the_score_of_what_was_seen() -> None:
    # Of a normal law in all of mean and covariance, with rows of every pattern: 3 columns, any of them missing
    A = RNG(0).normal(size=(3, 3))
    S, mean = A @ A.T + np.eye(3), np.array([3.0, -100.0, 0.5])
    x = RNG(1).multivariate_normal(mean, S, 20_000)
    lost = RNG(2).random(x.shape) < 0.3
    lost[lost.all(1)] = False
    observed, _ = observe(Given(np.where(lost, NAN, x), missing=True), SPACE)
    zeta = RNG(3).normal(size=(len(x), 1))
    features = make_features(observed.bare, observed.inputs, zeta, observed.x, c=observed.inputs, gaps=observed.gaps)
    f = apply(features, observed.x, observed.inputs)

    def score(of: np.ndarray, missing: np.ndarray) -> np.ndarray:
        o = ~missing
        rest, W = (of - mean)[o], np.linalg.inv(S[np.ix_(o, o)])
        dS = np.zeros((3, 3))
        dS[np.ix_(o, o)] = (np.outer(W @ rest, W @ rest) - W) / 2
        dmean = np.zeros(3)
        dmean[o] = W @ rest
        return np.concatenate([dmean, (dS + dS.T)[np.triu_indices(3)]])

    y = np.stack([score(*row) for row in zip(x[:4000], lost[:4000], strict=True)])
    design = np.concatenate([np.ones((4000, 1)), f[:4000]], 1)
    left = y - design @ np.linalg.lstsq(design, y, rcond=None)[0]
    # The law is estimated from 20,000 rows, a third of them missing: 1 % of the score's spread
    assert np.all(left.std(0) < 0.05 * y.std(0))
    assert f.shape[1] == len(features.kinds(f.shape[1]))


def test_averages_over_a_series_are_over_what_was_seen() -> None:
    x = RNG(0).normal(5.0, 2.0, (60, 40)).cumsum(1)
    lost = RNG(1).random(x.shape) < 0.2
    lost[:, 30:] |= RNG(2).random((60, 1)) < 0.5
    observed, _ = observe(Given(np.where(lost, NAN, x), missing=True), SPACE)
    zeta = RNG(3).normal(size=(60, 1))
    features = make_features(observed.bare, observed.inputs, zeta, observed.x, c=observed.inputs, gaps=observed.gaps)
    scale, shift = float(features.channel_scale[0]), float(features.channel_shift[0])  # pyright: ignore[reportOptionalSubscript]
    h, seen = (x[7] - shift) / scale, ~lost[7]
    at = np.flatnonzero(seen)
    step, d = np.diff(at), np.diff(h[at])
    c, whole = jnp.asarray(observed.inputs)[7], jnp.asarray(observed.x)[7]  # pyright: ignore[reportArgumentType]
    own = features._series(whole, jnp.asarray(seen, float))
    near, far = step == 1, step > 1
    assert near.any() and far.any()
    expected = [
        np.sum((d**2 / step)[far]) / 40, np.sum(d[far] ** 2) / 40, np.sum((h[at][1:] * h[at][:-1])[far]) / 40,
        np.sum((h[at][1:] ** 2)[far]) / 40, np.sum((h[at][:-1] ** 2)[far]) / 40, far.sum() / 40,
    ]  # fmt: skip
    np.testing.assert_allclose(np.ravel(jnp.stack(own[-6:])), expected, rtol=1e-6)
    np.testing.assert_allclose([float(a.ravel()[0]) for a in own[-10:-6]],
                               [h[at[0]], h[at[-1]], seen.mean(), near.sum() / 39], rtol=1e-6)  # fmt: skip
    # And nothing depends on what stands where values are missing
    other = jnp.where(jnp.asarray(seen), whole, whole + 7.0)
    for a, b in zip(features._series(other, jnp.asarray(seen, float))[4:8], own[4:8], strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-9)
    assert features(whole, c).shape == (len(features.kinds(features(whole, c).size)),)


# --- what is refused -------------------------------------------------------------------------------------------------

ONE = Space(mu=avo.Real())
ROWS = [[1.0, 2.0], [NAN, 4.0], [5.0, 6.0], [7.0, 8.0], [9.0, 1.0], [2.0, 2.0]]
REFUSED: dict[str, tuple[Any, dict[str, Any], str]] = {
    "not said": (ROWS, {}, r"x_obs\[1, 0\] is nan .*, or say missing=True, by which NaN"),
    "masked": (np.ma.masked_equal(np.nan_to_num(ROWS), 0.0), {}, "or fill them, or say missing=True"),
    "ragged": ([[1.0, 2.0], [3.0], [4.0, 5.0]], {}, "Make them equally long, or say missing=True"),
    "empty rows": (
        [[NAN, NAN], [1.0, 2.0], [NAN, NAN], [3.0, 4.0]], {"missing": True},
        r"a value in every row; rows 0, 2 have none \(2 of 4 rows\)",
    ),
    "empty column": ([[1.0, NAN], [2.0, NAN]], {"missing": True}, "in every column; column 1 has none"),
    "empty entry": (np.where(np.arange(8).reshape(1, 4, 2) == 3, NAN, np.ones((3, 4, 2))), {"missing": True},
                    r"column \(1, 1\) has none"),
    "infinite": ([[1.0, NAN], [np.inf, 3.0]], {"missing": True}, r"x_obs\[1, 0\] is inf .* Remove or fill such rows\."),
    "inputs": (ROWS, {"missing": True, "inputs": [[NAN]] * 6}, r"inputs must hold finite numbers"),
    "ragged in two ways": ([np.ones((2, 1)), np.ones((3, 2))], {"missing": True}, "rows of different shapes"),
    "weights": ([[1.0, 2.0], [3.0, NAN], [4.0, NAN]], {"missing": True, "weights": [0, 1, 2]},
                "where weights are above 0, must have a value in every column; column 1"),
}  # fmt: skip


@pytest.mark.parametrize(("x", "more", "words"), REFUSED.values(), ids=REFUSED)
@pytest.mark.filterwarnings("ignore:.*avo fits many observations")
def test_what_is_refused(x: Any, more: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        observe(Given(x, **more), ONE)


def test_missing_is_true_or_false() -> None:
    with pytest.raises(ValueError, match="missing must be True or False"):
        avo.fit(pair, X, SPACE, missing="yes")  # pyright: ignore[reportArgumentType]


@pytest.mark.filterwarnings("ignore:.*avo fits many observations")
def test_masks_short_rows_and_nan_are_the_same() -> None:
    rows = [[1.0, 2.0, NAN], [3.0, NAN, NAN], [4.0, 5.0, 6.0], [7.0, 2.0, NAN]]
    expected, _ = observe(Given(rows, missing=True), ONE)
    hidden = np.ma.masked_invalid(rows)
    hidden.data[hidden.mask] = -999
    for given in (hidden, [row[: 3 - int(np.isnan(row).sum())] for row in rows], list(map(np.ma.masked_invalid, rows))):
        found, _ = observe(Given(given, missing=True), ONE)
        for a, b in zip(found[:4], expected[:4], strict=True):
            assert a is b is None or np.array_equal(a, b)  # pyright: ignore[reportArgumentType]


# --- fits ------------------------------------------------------------------------------------------------------------


def likeliest(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The maximum likelihood of the mean, whose covariance is known, and its errors: generalised least squares."""
    information, pull = np.zeros((2, 2)), np.zeros(2)
    for row in x:
        o = np.flatnonzero(~np.isnan(row))
        W = np.linalg.inv(COVARIANCE[np.ix_(o, o)])
        information[np.ix_(o, o)] += W
        pull[o] += W @ row[o]
    return np.linalg.solve(information, pull), np.sqrt(np.diagonal(np.linalg.inv(information)))


@pytest.fixture(scope="module")
def fitted() -> avo.Result:
    return avo.fit(pair, X, SPACE, missing=True, budget=20_000, progress=False)


def test_a_fit_reaches_the_maximum_likelihood(fitted: avo.Result) -> None:
    assert fitted.estimate is not None and fitted.stderr is not None
    mle, error = likeliest(X)
    available = np.sqrt(np.diagonal(COVARIANCE) / np.isfinite(X).sum(0))
    assert np.all(error < 0.9 * available)  # the other column says what a missing one would have been
    noise = np.sqrt(fitted.estimate.simulation_noise**2 - 1)
    assert np.all(np.abs(fitted.theta - mle) < (4 * noise + 0.2) * error)
    assert np.all(np.abs(fitted.stderr / error - 1.07) < 0.15)
    assert fitted.estimate.p_value is not None and fitted.estimate.p_value > 0.005
    share = 100 * np.isnan(X).mean()
    assert fitted.lacking == (np.isnan(X).sum(), X.size)
    words = "values of x_obs are missing, by assumption for reasons that do not depend on what they would have been"
    assert f"\n{share:.2g} % of the {words}\n" in fitted.summary()
    few = replace(fitted, lacking=(3, 4000)).summary()
    assert "\n3 of 4,000 values of x_obs are missing, by assumption for reasons" in few
    assert "\nvalues are taken to be missing for reasons" in replace(fitted, lacking=None).summary()  # of older files


def test_sensitivity_knows_which_values_are_missing(fitted: avo.Result) -> None:
    found = fitted.sensitivity()
    assert np.isinf(found.without[[0, 1], [0, 1]]).all()
    # From the 1800 rows around the answer slopes are known to some 15 %; tests/refine has exact ones
    assert np.all(np.abs(np.log(found.stderr / likeliest(X)[1])) < 0.45)


def test_single_rows_are_encoded_by_what_was_seen(fitted: avo.Result, tmp_path: Path) -> None:
    theta = fitted.encode(X)
    both = np.isfinite(X).all(1)
    # Without x_1 a row says of m1 only what it says of m2, with which the reference correlates it
    lost = np.isnan(X[:, 0])
    assert theta[lost, 0].std() < 0.9 * theta[both, 0].std()
    assert np.corrcoef(theta[lost, 1], X[lost, 1])[0, 1] > 0.95
    fitted.save(tmp_path / "run")
    again = avo.load(tmp_path / "run")
    np.testing.assert_array_equal(again.encode(X), theta)
    assert again.gaps is not None and again.summary() == fitted.summary()
    with pytest.raises(ValueError, match=r"x must have a value in every row; row 1 has none"):
        again.encode([[1.0, 2.0], [NAN, NAN]])
    with pytest.raises(ValueError, match="x must have rows like those that were fitted"):
        again.encode([[1.0, 2.0, 3.0]])


def test_a_check_gives_simulations_the_same_gaps(fitted: avo.Result) -> None:
    options: Any = {"replicates": 19, "progress": False}
    x = with_gaps(200)
    found = avo.check(fitted, pair, x, **options)
    assert found.p_value > 0.05
    rows = {row.name: row for row in found.table}
    np.testing.assert_allclose(rows["column 0, mean"].observed, np.nanmean(x[:, 0]), rtol=1e-4)
    np.testing.assert_allclose(rows["column 1, sd"].observed, np.nanstd(x[:, 1]), rtol=1e-4)
    kept = np.isfinite(x).all(1)
    r = np.mean((x - np.nanmean(x, 0))[kept].prod(1)) / np.nanstd(x, axis=0).prod()
    found_r = rows["correlation of column 0 and column 1"].observed
    assert abs(found_r - r) < 0.01 and rows["column 0, correlation with entry 1 missing"].p > 0.05
    # Values that are missing where they are large: then what is seen is too small
    biased = RNG(8).multivariate_normal(PAIR, COVARIANCE, 400)
    biased[biased[:, 0] > 0.7, 0] = NAN
    assert avo.check(fitted, pair, biased, **options).p_value == 0.05
    with pytest.raises(ValueError, match=r"values may be missing where some were in a fit with missing=True"):
        avo.check(replace(fitted, gaps=None), pair, x, **options)


def test_gaps_that_the_fit_never_had_are_refused() -> None:
    x = RNG(0).normal(size=(40, 3))
    x[:10, 1:] = NAN
    gaps = find_gaps(x, None)
    assert gaps is not None
    with pytest.raises(ValueError, match=r"x\[1, 0\] is missing, and was there in all rows of the fit"):
        gaps.conditions(np.array([[False] * 3, [True, False, False]]), None)
    with pytest.raises(ValueError, match=r"x\[0, 2\] is missing without others, or there without them"):
        gaps.conditions(np.array([[False, False, True]]), None)


def test_rows_that_all_are_shorter_than_those_of_the_fit() -> None:
    paths = [RNG(i).normal(size=n) for i, n in enumerate((40, 7, 12, 30, 9, 40))]
    observed, _ = observe(Given(paths, missing=True), ONE)
    assert observed.x.shape == (6, 40) and observed.gaps is not None
    np.testing.assert_array_equal(np.isnan(observed.bare).sum(1), [0, 33, 28, 10, 31, 0])
    x, c, _ = observe_new([row[:7] for row in paths[:3]], None, observed.gaps, "x")
    np.testing.assert_array_equal(x[:, :7], observed.x[:3, :7])
    assert c is not None and observed.gaps.mask(c)[:, 7:].all()


# --- simulators outside JAX, conditions, statistics ------------------------------------------------------------------


class Row:
    """A NumPy simulator with conditions, which can be stopped after some calls."""

    def __init__(self, after: int | None = None) -> None:
        self.left, self.__qualname__ = after, "Row"

    def __call__(self, rng: np.random.Generator, theta: np.ndarray, c: np.ndarray) -> np.ndarray:
        if self.left is not None:
            self.left -= 1
            if self.left < 0:
                raise KeyboardInterrupt
        assert c.shape == (1,)  # the mask is not for the simulator
        return theta + c + rng.normal(size=2)


def test_a_stopped_run_outside_jax_goes_on_to_the_same_bits(tmp_path: Path) -> None:
    c = RNG(0).uniform(0, 5, (300, 1))
    options: Any = dict(
        inputs=c, missing=True, weights=RNG(1).integers(1, 4, 300), budget=3 * TINY_BUDGET, settings=TINY,
        critic=small_critic, loss=LOSS, refine=False, progress=False,
    )  # fmt: skip
    whole = avo.fit(avo.from_numpy(Row()), X + c, SPACE, **options)
    half: Any = dict(out=tmp_path / "run", **options)
    avo.fit(avo.from_numpy(Row(after=TINY_BUDGET)), X + c, SPACE, **half)
    again = avo.fit(avo.from_numpy(Row()), X + c, SPACE, resume=True, **half)
    np.testing.assert_array_equal(again.theta, whole.theta)
    np.testing.assert_array_equal(again.history["gap"], whole.history["gap"])
    assert again.gaps is not None and again.weighted == whole.weighted
    other = with_gaps()
    other[0] = [1.0, NAN]
    with pytest.raises(ValueError, match="other data"):
        avo.fit(avo.from_numpy(Row()), other + c, SPACE, resume=True, **half)


def test_a_statistic_of_ones_own_sees_nan() -> None:
    from avo.refine.custom import custom_statistic

    observed, _ = observe(Given(X, missing=True), SPACE)
    seen = custom_statistic(jnp.nanmean, observed.x, observed.inputs, observed.gaps)
    assert seen is not None
    np.testing.assert_allclose(seen.shift, np.nanmean(X, 1).mean(), rtol=1e-6)
    with pytest.raises(ValueError, match="where NaN stands for what is missing"):
        custom_statistic(jnp.mean, observed.x, observed.inputs, observed.gaps)


def test_without_gaps_missing_changes_nothing() -> None:
    x = RNG(0).multivariate_normal(PAIR, COVARIANCE, 100)
    (plain, c), (said, d) = (observe(Given(x, x, missing=missing), SPACE) for missing in (False, True))
    assert said.gaps is None and c is not None and d is not None
    for a, b in zip((*plain[:4], c), (*said[:4], d), strict=True):
        assert a is b is None or np.array_equal(a, b)  # pyright: ignore[reportArgumentType]


def test_pictures_show_what_was_seen() -> None:
    sim = np.where(np.isnan(X), NAN, 1.0 + np.nan_to_num(X))
    assert len(avo.plots.predictive(X, sim).axes) >= 2
    series = RNG(0).normal(size=(30, 20))
    series[:, 18:] = NAN
    avo.plots.predictive(series, series + 1)
