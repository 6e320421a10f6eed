"""Pictures of images: what lies at a place of x is drawn at that place, channels last, volumes as their mean."""

import numpy as np
import pytest

from avo import plots
from avo.plots.images import Pixels
from avo.simulators import Axis

RNG = np.random.default_rng(6)


def shown(axes):
    """The numbers of the image in a panel."""
    return np.asarray(axes.images[0].get_array())


def panels(figure):
    return [axes for axes in figure.axes if axes.images and axes.get_label() != "<colorbar>"]


def test_means_and_difference_at_one_scale():
    x, y = RNG.normal(3.0, 1.0, size=(9, 12, 17)), RNG.normal(5.0, 2.0, size=(8, 12, 17))
    observed, simulated, difference, one, other, errors = panels(plots.predictive(x, y, quantity="light", unit="lm"))
    np.testing.assert_allclose(shown(observed), x.mean(0))
    np.testing.assert_allclose(shown(simulated), y.mean(0))
    np.testing.assert_allclose(shown(difference), y.mean(0) - x.mean(0))
    np.testing.assert_allclose(shown(one), x[0])
    np.testing.assert_allclose(shown(other), y[0])
    error = np.sqrt(x.var(0) / 9 + y.var(0) / 8)
    np.testing.assert_allclose(shown(errors), (y.mean(0) - x.mean(0)) / error)
    low, high = observed.images[0].get_clim()
    assert simulated.images[0].get_clim() == (low, high)
    assert (low, high) == (min(x.mean(0).min(), y.mean(0).min()), max(x.mean(0).max(), y.mean(0).max()))
    assert difference.images[0].get_clim() == pytest.approx((-(high - low) / 2, (high - low) / 2))


def test_channels_last_are_not_scrambled():
    x, y = RNG.normal(size=(9, 12, 17, 3)), RNG.normal(size=(8, 12, 17, 3))
    drawn = panels(plots.predictive(x, y))
    assert len(drawn) == 9
    for c in range(3):
        np.testing.assert_allclose(shown(drawn[3 * c]), x[..., c].mean(0))
        np.testing.assert_allclose(shown(drawn[3 * c + 1]), y[..., c].mean(0))
    drawn = panels(plots.draws(x))
    assert len(drawn) == 12
    for c in range(3):
        np.testing.assert_allclose(shown(drawn[4 * c + 1]), x[1, :, :, c])
        np.testing.assert_allclose(shown(drawn[4 * c + 3]), x[..., c].mean(0))
    np.testing.assert_allclose(shown(panels(plots.draws(x[..., :1]))[0]), x[0, :, :, 0])


def test_a_volume_is_its_mean_over_the_first_axis():
    x = RNG.normal(size=(9, 6, 12, 17))
    np.testing.assert_allclose(shown(panels(plots.draws(x))[0]), x[0].mean(0))
    np.testing.assert_allclose(shown(panels(plots.predictive(x, x))[1]), x.mean((0, 1)))
    told = "volumes of 6 x 12 x 17: means over the first axis"
    assert plots.draws(x).get_suptitle() == plots.predictive(x, x).get_suptitle() == told
    cube = x[:, :, :6, :6]
    assert "6 x 6 x 6: means" in plots.draws(cube).get_suptitle() and not plots.draws(x[:, 0]).get_suptitle()


def test_rows_and_columns_are_numbered_by_whole_numbers():
    for figure in (plots.draws(RNG.normal(size=(5, 8, 10))), plots.predictive(*RNG.normal(size=(2, 5, 8, 10)))):
        figure.draw_without_rendering()
        for axes in panels(figure):
            assert all(tick == round(tick) for tick in [*axes.get_xticks(), *axes.get_yticks()])


def test_coordinates_name_the_sides():
    axes = Axis("height", "mm", np.arange(12) * 2.0), Axis("width", "mm", np.arange(17) * 0.5)
    x = RNG.normal(size=(9, 12, 17))
    for figure in (plots.predictive(x, x, axes), plots.draws(x, axes)):
        first, last = panels(figure)[0], panels(figure)[-1]
        assert (first.get_ylabel(), last.get_xlabel()) == ("height (mm)", "width (mm)")
        assert first.images[0].get_extent() == [-0.25, 8.25, -1.0, 23.0]
        assert first.images[0].origin == "lower"


def test_pixels_are_square_and_lengths_of_one_unit_equal():
    x = RNG.normal(size=(5, 12, 17))
    assert {float(axes.get_aspect()) for axes in panels(plots.predictive(x, x))} == {1.0}
    sides = lambda unit: (Axis("y", "mm", np.arange(12) * 2.0), Axis("x", unit, np.arange(17) * 0.5))  # noqa: E731
    assert {float(axes.get_aspect()) for axes in panels(plots.draws(x, sides("mm")))} == {1.0}
    # A pixel is 2 mm high and .5 s wide: drawn square, a millimetre is a quarter as long as a second
    assert [float(axes.get_aspect()) for axes in panels(plots.draws(x, sides("s")))] == pytest.approx([0.25] * 4)


def test_blocks_of_pixels_lie_where_their_pixels_do():
    """Of 28 x 34 pixels 10 x 12 block means are drawn: rows go down, as where no axes are known."""
    x, y = RNG.normal(size=(9, 10, 12)), RNG.normal(size=(8, 10, 12))
    sides = Pixels("row", np.arange(28)), Pixels("column", np.arange(34))
    first = panels(plots.predictive(x, y, sides, kind="image"))[0]
    assert first.images[0].get_extent() == [-0.5, 33.5, 27.5, -0.5] and first.images[0].origin == "upper"
    assert first.get_ylim() == (27.5, -0.5)
    plain = panels(plots.predictive(x, y, kind="image"))[0]
    assert plain.images[0].get_extent() == [-0.5, 11.5, 9.5, -0.5] and plain.images[0].origin == "upper"
    np.testing.assert_array_equal(shown(first), shown(plain))
