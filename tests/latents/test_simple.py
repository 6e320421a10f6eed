"""Simple numbers read off signals, by hand."""

import numpy as np
import pytest

from avo.containers import Axis, named_columns
from avo.latents import simple_factors


def test_of_a_series() -> None:
    x = np.r_[3.0, 5.0, np.full(12, 1.0), -2.0, 4.0]
    values, names = simple_factors(np.stack([x, 2 * x]))
    found = dict(zip(names, values[0], strict=True))
    assert (found["start"], found["end"], found["lowest"], found["highest"]) == (3.0, 4.0, -2.0, 5.0)
    assert (found["time of lowest"], found["time of highest"]) == (14.0, 1.0)
    assert found["mean"] == pytest.approx(22 / 16) and found["spread"] == pytest.approx(x.std())
    assert found["roughness"] == pytest.approx(np.sqrt((4 + 16 + 9 + 36) / 15))
    assert dict(zip(names, values[1], strict=True))["roughness"] == pytest.approx(2 * found["roughness"])


def test_channels_have_their_names() -> None:
    x = np.stack([np.arange(20.0), -np.arange(20.0)], axis=1)[None]
    time = Axis("time", "s", np.arange(20))
    values, names = simple_factors(x, (time, Axis("lead", "", np.arange(2), ("II", "V1"))))
    assert values[0, names.index("V1: end")] == -19.0 and values[0, names.index("II: end")] == 19.0
    assert "channel 1: end" in simple_factors(x)[1]


def test_of_an_image() -> None:
    image = np.full((9, 12), 0.5)
    image[2, 3], image[6, 3] = 2.5, 4.5  # weights 2 and 4 above the lowest
    values, names = simple_factors(image[None])
    found = dict(zip(names, values[0], strict=True))
    assert found["total"] == pytest.approx(0.5 * 108 + 6) and found["highest pixel"] == 4.5
    assert found["middle row"] == pytest.approx((2 * 2 + 4 * 6) / 6) and found["middle column"] == pytest.approx(3.0)
    assert found["width"] == pytest.approx(np.sqrt((2 * (8 / 3) ** 2 + 4 * (4 / 3) ** 2) / 6))
    assert np.isfinite(simple_factors(np.ones((1, 9, 12)))[0]).all()  # of one grey


def test_of_a_vector() -> None:
    x = [[1.5, -2.0, 7.0]]
    assert simple_factors(x, named_columns(("dose", "age", "mass")))[1] == ("dose", "age", "mass")
    values, names = simple_factors(x)
    assert values.tolist() == x and names == ("x[0]", "x[1]", "x[2]")
    assert simple_factors([4.0])[0].tolist() == [[4.0]]
