"""What was observed: its kind, its units, and how it is shown to the critic."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import avo
from avo import critics
from avo.diagnostics import features as diagnostics
from avo.observations import (
    ALL_PRODUCTS,
    FAR,
    bend,
    kind_of,
    location_scale,
    make_frame,
    refuse_far,
    show,
    show_rows,
    validate_observations,
)
from avo.refine.features import make_features
from avo.types import Data

KINDS = {
    (): "vector",
    (5,): "vector",
    (15,): "vector",
    (16,): "series",
    (64,): "series",
    (1000,): "series",
    (10, 1): "vector",
    (100, 1): "series",
    (16, 2): "series",
    (50, 3): "series",
    (5, 3): "vector",
    (1000, 12): "series",
    (16, 16): "series",
    (16, 17): "image",
    (15, 16): "image",
    (200, 17): "image",
    (12, 3): "image",
    (8, 4): "vector",
    (8, 8): "image",
    (28, 28): "image",
    (32, 32): "image",
    (28, 28, 1): "image",
    (32, 32, 3): "image",
    (2, 2, 2): "vector",
    (9, 7, 5, 2): "image",
}


@pytest.mark.parametrize(("shape", "kind"), KINDS.items(), ids=str)
def test_the_shape_says_what_kind_of_thing_x_is(shape: tuple[int, ...], kind: str) -> None:
    assert kind_of(shape) == kind


@pytest.mark.parametrize("tag", ["scalar", "vector", "series", "image"])
def test_a_tag_goes_before_the_shape(tag: str) -> None:
    expected = "vector" if tag == "scalar" else tag
    assert {kind_of(shape, tag) for shape in KINDS} == {expected}


def test_an_unknown_tag_is_refused() -> None:
    with pytest.raises(ValueError, match="kind must be one of scalar, vector, series, image, or None; got 'serie'"):
        kind_of((5,), "serie")


@pytest.mark.parametrize(("shape", "kind"), KINDS.items(), ids=str)
def test_critic_scores_and_check_take_x_for_the_same_thing(shape: tuple[int, ...], kind: str) -> None:
    recipe = eqx.filter_eval_shape(critics.for_shape, jax.random.key(0), shape).recipe
    filters = {("series", 2): "conv1d", ("image", 2): "conv2d", ("image", 3): "conv2d"}
    assert recipe[0] == filters.get((kind, len(shape)), "mlp")
    assert diagnostics.look_of(shape).kind == kind
    rng, size = np.random.default_rng(3), int(np.prod(shape))
    seen = make_features(rng.normal(size=(40, *shape)), None, rng.normal(size=(60, 2)), rng.normal(size=(60, *shape)))
    series, products = kind == "series" and size > ALL_PRODUCTS, seen.kinds(jax.eval_shape(seen, jnp.ones(shape)).size)
    assert (seen.channel_shift is not None) == series
    # All products of few values; else moments of a series, or products of an image's blocks. 5: indicators
    assert set(products.tolist()) - {5} == ({0, 1} if size <= ALL_PRODUCTS else {0, 2})


def test_standardize_vectors_by_column() -> None:
    x = np.random.default_rng(2).normal([1.3, -50.0, 0.2], [2.0, 0.1, 30.0], (40, 3))
    shift, scale = location_scale(x)
    np.testing.assert_allclose(shift, x.mean(0), rtol=1e-12)
    np.testing.assert_allclose(scale, np.sqrt(((x - x.mean(0)) ** 2).mean(0)), rtol=1e-12)


def test_standardize_series_by_channel() -> None:
    x = np.random.default_rng(2).normal([1.3, -50.0], [2.0, 0.1], (40, 7, 2)) + np.arange(7.0)[None, :, None]
    shift, scale = location_scale(x)
    assert shift.shape == scale.shape == (7, 2)
    for channel in range(2):
        np.testing.assert_allclose(shift[:, channel], x[..., channel].mean(), rtol=1e-12)
        np.testing.assert_allclose(scale[:, channel], x[..., channel].std(), rtol=1e-12)


def test_standardize_images_of_one_channel_by_all_their_pixels() -> None:
    x = np.random.default_rng(2).normal(1.3, 2.0, (5, 18, 21)) + np.arange(21.0)
    shift, scale = location_scale(x)
    np.testing.assert_allclose(shift, np.full((18, 21), x.mean()), rtol=1e-12)
    np.testing.assert_allclose(scale, np.full((18, 21), x.std()), rtol=1e-12)


def test_units_of_heavy_tails_are_those_of_the_middle() -> None:
    """A Cauchy column, whose quartiles are 1 from its centre, a series of spikes, and Student's t with 5 degrees."""
    rng = np.random.default_rng(4)
    x = np.stack([7.0 + 2.0 * rng.standard_cauchy(4001), rng.standard_t(5, 4001)], axis=1)
    shift, scale = location_scale(x)
    assert shift[0] == np.median(x[:, 0])
    np.testing.assert_allclose([shift[1], scale[1]], [x[:, 1].mean(), x[:, 1].std()], rtol=1e-9)
    # 3 quartile deviations in units of a normal one; that of 4001 Cauchy values has the error pi / 2 / sqrt(4001)
    np.testing.assert_allclose(scale[0], 3 * 2.0 / 0.67449, rtol=4 * np.pi / 2 / np.sqrt(4001))
    spikes = rng.normal(size=(20, 30, 2))
    spikes[::5, 3, 1] = 1e6
    shift, scale = location_scale(spikes)
    np.testing.assert_allclose(shift[:, 0], spikes[..., 0].mean(), rtol=1e-9)
    assert np.all(scale[:, 1] < 5.0)


def test_an_image_keeps_the_units_of_its_bright_spots() -> None:
    x = np.random.default_rng(5).normal(size=(9, 16, 20))
    x[:, 4, 5] = 300.0
    np.testing.assert_allclose(location_scale(x)[1], np.full((16, 20), x.std()), rtol=1e-12)


def test_standardize_scalars() -> None:
    shift, scale = location_scale(np.array([1.0, 3.0, 8.0]))
    assert shift.shape == scale.shape == ()
    np.testing.assert_allclose([shift, scale], [4.0, np.sqrt(26 / 3)], rtol=1e-14)


@pytest.mark.parametrize("constant", [0.0, 5.0, 0.1, -1e8])
def test_standardize_constant_columns(constant: float) -> None:
    x = np.stack([np.full(30, constant), np.arange(30.0)], axis=1)
    shift, scale = location_scale(x)
    np.testing.assert_allclose(shift[0], constant, rtol=1e-12)
    assert scale[0] == 1.0
    np.testing.assert_allclose(scale[1], np.arange(30.0).std(), rtol=1e-12)


# --- bending ---------------------------------------------------------------------------------------------------------


def test_what_is_near_stays_as_it_is() -> None:
    z = np.linspace(-FAR, FAR, 77)
    np.testing.assert_array_equal(bend(z), z)
    np.testing.assert_array_equal(bend(jnp.asarray(z)), z)


def test_what_is_far_goes_by_its_logarithm() -> None:
    z = np.array([-1e300, -3e4, -7.0, 5.1, 41.0, 1e12])
    expected = [np.sign(a) * 2.5 * (1 + np.log(abs(a) / 2.5)) for a in z]
    np.testing.assert_allclose(bend(z, 2.5), expected, rtol=1e-14)
    np.testing.assert_array_equal(bend(z, np.inf), z)


def test_bending_is_smooth_and_keeps_the_order() -> None:
    z = np.linspace(-300, 300, 60_001)
    slope = np.diff(bend(z)) / np.diff(z)
    assert (slope > 0).all() and slope.max() < 1 + 1e-9
    assert np.abs(np.diff(slope)).max() < 0.01 / FAR * 1.01  # no step: the slope's own slope is 1 / FAR at most


def test_what_failed_stays_visible() -> None:
    assert np.isnan(bend(np.array([np.nan]))).all() and np.isinf(bend(np.array([-np.inf]))).all()


@pytest.mark.parametrize("inputs", [False, True])
def test_the_compiled_view_is_that_of_the_result(inputs: bool) -> None:
    rng = np.random.default_rng(5)
    x_obs, c_obs = rng.normal([1.3, -50.0], [2.0, 0.1], (40, 2)), rng.gamma(2.0, 3.0, (40, 1)) if inputs else None
    seen, rows = make_frame(x_obs, c_obs), np.array([3, 3, 39])
    arrays = show(seen, x_obs, c_obs), c_obs, len(x_obs), *seen[:2], seen.far
    data = Data(*(None if a is None else jnp.asarray(a) for a in arrays))
    x = x_obs[rows] + np.array([[0.0, 7.0], [-400.0, 0.0], [0.1, -0.1]])
    z = np.asarray(jax.jit(show_rows)(data, x, rows))
    np.testing.assert_allclose(z, show(seen, x, None if c_obs is None else c_obs[rows]), rtol=1e-12)
    u = (7.0 + x_obs[3, 1] - x_obs[:, 1].mean()) / x_obs[:, 1].std()
    assert u > 50
    np.testing.assert_allclose(z[0, -1], 5 * (1 + np.log(u / 5)), rtol=1e-12)


def test_as_it_is_means_unbent() -> None:
    x = np.array([[1e6], [-1.0]])
    np.testing.assert_array_equal(show(make_frame(x[1:], None, units=False), x), x)


def test_a_fit_finds_home_from_thousands_of_deviations_away() -> None:
    # The truth has x = (34, -69), the bounds 4000 and more, with noise .02; unbent, seeds end .005 to .009 away
    def simulate(key: jax.Array, theta: jax.Array) -> jax.Array:
        return jnp.sinh(9 * theta) * jnp.array([[1.0, -2.0]]) + 0.02 * jax.random.normal(key, (len(theta), 2))

    x = np.asarray(simulate(jax.random.key(1), jnp.full((200, 1), 0.47)))
    space = avo.Space(a=avo.Interval(-1.0, 1.0))
    result = avo.fit(simulate, x, space, budget=9000, refine=False, progress=False)
    assert abs(result.theta[0] - 0.47) < 0.001


def test_valid_observations_become_float64():
    for x in (
        [[1, 2], [3, 4]],
        np.array([True, False]),
        np.array([1.5, 2.5], np.float32),
        np.ones((3, 2, 4), np.uint8),
    ):
        valid = validate_observations(x)
        assert valid.dtype == np.float64 and valid.shape == np.shape(x)
        np.testing.assert_array_equal(valid, x)


def test_validation_leaves_the_callers_array_alone():
    x = np.array([[1.5, -2.25, 3.0], [0.1, 1e-300, -1e300]])
    before = x.copy()
    validate_observations(x)[0] = 99.0
    np.testing.assert_array_equal(x, before)


@pytest.mark.parametrize(
    "at,value,shape,message",
    [
        ((3, 5), np.nan, (7, 6), r"x_obs\[3, 5\] is nan \(row 3, column 5; 1 of 7 rows affected\)"),
        ((4,), -np.inf, (7,), r"x_obs\[4\] is -inf \(row 4; 1 of 7 rows affected\)"),
        ((2, 1, 3), np.inf, (5, 2, 4), r"x_obs\[2, 1, 3\] is inf \(row 2, column \(1, 3\); 1 of 5 rows affected\)"),
        ((slice(2, 5),), np.nan, (7, 6), r"x_obs\[2, 0\] is nan \(row 2, column 0; 3 of 7 rows affected\)"),
    ],
)
def test_values_that_are_not_finite(at, value, shape, message):
    x = np.ones(shape)
    x[at] = value
    with pytest.raises(ValueError, match=message):
        validate_observations(x)


@pytest.mark.parametrize(
    "x,message",
    [
        (3.5, r"x_new must be an array with one observation per row; got the single number 3.5"),
        ([], r"x_new must hold observations, one per row; got an empty array of shape \(0,\)"),
        (np.ones((4, 0)), r"got an empty array of shape \(4, 0\)"),
        (np.ones((1, 5)), r"x_new must hold at least 2 observations, one per row; got 1 \(shape \(1, 5\)\)"),
        ([["1", "2"], ["3", "4"]], r"x_new must be an array of real numbers; got dtype <U1"),
        (np.array([[1], None], dtype=object), r"got dtype object"),
        ([1j, 2.0], r"got dtype complex128"),
        ([[1.0, 2.0], [3.0]], r"x_new must be an array with one observation per row; got rows of different shapes"),
    ],
)
def test_observations_that_are_not_an_array_of_numbers(x, message):
    with pytest.raises(ValueError, match=message):
        validate_observations(x, "x_new")


@pytest.mark.parametrize("value", [1.1e30, -1e200])
def test_values_too_far_to_compute_with_are_refused(value: float) -> None:
    """Beyond 1e30 simulations count as failed, and squares leave double precision from 1e154 on."""
    x, space = np.random.default_rng(0).normal(size=(40, 2)), avo.Space(mu=avo.Interval(-3.0, 3.0))
    x[7, 1] = value
    words = rf"x_obs\[7, 1\] is {value:g}".replace("+", r"\+") + r" \(row 7, column 1; 1 of 40 rows affected\)\. Is"
    with pytest.raises(ValueError, match=r"^x_obs must lie within 1e\+30 of zero, farther .*" + words):
        avo.fit(lambda key, theta: jnp.zeros((len(theta), 2)), x, space)
    refuse_far("x", np.where(np.abs(x) > 1e29, np.nan, x), None)
    refuse_far("x", np.array([1e30]), None)


@pytest.mark.usefixtures("single_precision")
def test_conditions_and_ranges_beyond_single_precision_are_refused() -> None:
    x, space = np.zeros((40, 2)), avo.Space(mu=avo.Interval(-3.0, 3.0))
    c = np.where(np.arange(40) == 3, 1e200, 1.0)
    with pytest.raises(ValueError, match=r"inputs must lie within 3.4e\+38 of zero, .*\[3\] is 1e\+200 \(row 3; 1"):
        avo.fit(lambda key, theta, c: x, x, space, inputs=c)
    for parameter in (avo.Interval(0, 1e60), avo.Positive(1e60), avo.Real(0.0, 1e60)):
        with pytest.raises(ValueError, match=r"space: a has 1e\+60, farther from zero than float32 numbers go; change"):
            avo.fit(lambda key, theta: x, x, avo.Space(a=parameter))


@pytest.mark.usefixtures("single_precision")
@pytest.mark.parametrize("value", [1e30, 1e22])
def test_a_fit_of_far_values_ends_without_a_raw_warning(value: float) -> None:
    """Warnings are errors here."""

    def simulate(key: jax.Array, theta: jax.Array) -> jax.Array:
        return theta * jax.random.normal(key, (len(theta), 2))

    x = np.random.default_rng(0).normal(size=(60, 2))
    x[7, 1] = value
    result = avo.fit(simulate, x, avo.Space(sd=avo.Interval(0.1, 3.0)), budget=6000, progress=False)
    assert np.isfinite(result.theta).all()
    x[:, 1] *= value / 10
    assert avo.fit(simulate, x[:7], avo.Space(sd=avo.Interval(0.1, 3.0)), budget=4000, progress=False).calls <= 4000
