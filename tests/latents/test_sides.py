"""The page with two sides: one file without hosts, harmless whatever its names are, that says what it does not show."""

import json
import re
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest
from latents.linear_vae import SHIFT, D, linear, magnified, weights

import avo
from avo import latents
from avo.latents import BetaVAE

RNG = np.random.default_rng(5)
SIGNALS = SHIFT + RNG.normal(size=(200, D))
LINEAR = linear(weights(np.random.default_rng(2)))
HOSTILE = '"><img src=x onerror=alert(1)></script><script>alert(2)</script>'


def page(folder: Path, model: Any, x: Any, **more: Any) -> tuple[str, dict[str, Any]]:
    """Write a page: its text, and the values of its script."""
    file = latents.page(model, x, folder / "sides.html", **more)
    text = file.read_text("utf-8")
    found = re.search(r'<script type="application/json" id="data">(.*?)</script>', text)
    assert found is not None
    return text, json.loads(found[1])


def test_it_is_one_file_that_names_no_host_and_runs_no_name(tmp_path: Path) -> None:
    attributes = {HOSTILE: SIGNALS @ np.arange(D)}
    groups = np.where(SIGNALS[:, 0] > SHIFT[0], HOSTILE, "b")
    text, _ = page(
        tmp_path, LINEAR, SIGNALS[0], signals=SIGNALS, attributes=attributes, groups=groups, quantity=HOSTILE
    )
    assert re.findall(r"https?://[^\"']*", text) == ["http://www.w3.org/2000/svg"]  # a name, that nobody asks for
    assert not re.search(r"<(link|img|iframe)|<[^>]* src=|@import|url\(|fetch\(|XMLHttp", text)
    assert text.count("<script") == 2 and "default-src 'none'" in text
    assert len(text) < 200_000


def test_a_linear_model_s_values(tmp_path: Path) -> None:
    """The mean code of groups, and attributes of signals, in units of the latents' sizes."""
    z = LINEAR.encode(SIGNALS)
    groups = np.where(z[:, 1] > 0, "high", "low")
    attributes = {"tilt": 5.0 - 2.0 * z[:, 2], "chance": RNG.normal(size=200)}
    text, data = page(tmp_path, LINEAR, SIGNALS[0], signals=SIGNALS, attributes=attributes, groups=groups)
    right = data["right"]
    np.testing.assert_allclose(right["z"], z[0], rtol=1e-6)
    order = [one["k"] for one in right["latents"]]
    size, centre = (np.array([one[name] for one in right["latents"]]) for name in ("size", "centre"))
    for group in right["groups"]:
        name = group["name"].split(" (")[0]
        np.testing.assert_allclose(group["mean"], ((z[:, order] - centre) / size)[groups == name].mean(0), rtol=1e-4)
    (tilt,) = right["attributes"]
    assert tilt["name"] == "tilt"
    slope = dict(zip(map(tuple, tilt["powers"]), tilt["coefficients"], strict=True))
    at = order.index(2)
    assert slope[tuple(int(i == at) for i in range(3))] == pytest.approx(-2.0 * size[at], rel=1e-5)
    assert "No lock holds what the latents hardly say (R² in brackets): chance (" in text
    assert data["left"] is None and 'id="left"' not in text


def test_a_decoder_of_convolutions_is_emulated_and_it_says_so(tmp_path: Path) -> None:
    model = BetaVAE.make(jax.random.key(1), (16,), latents=2, network="conv1d", width=4, depth=2)
    text, data = page(tmp_path, magnified(model, 3.0), np.zeros(16), attributes={})
    assert data["right"]["decoder"]["kind"] == "polynomials"
    assert "The decoder is not evaluated in the page" in text and "polynomials of degree" in text


def test_a_model_that_says_nothing_has_no_sliders(tmp_path: Path) -> None:
    model = BetaVAE.make(jax.random.key(1), (6,), latents=2, width=4)
    text, data = page(tmp_path, magnified(model, 0.0), np.arange(6.0))
    assert data["right"]["latents"] == [] and "there is nothing to move" in text


def test_a_simulator_s_side_starts_at_the_signal_s_parameters(tmp_path: Path) -> None:
    problem = avo.simulators.linear5()
    model = BetaVAE.make(jax.random.key(1), problem.x_shape, latents=2, width=4)
    theta = np.asarray(problem.theta_true) * 0.9
    text, data = page(tmp_path, model, np.zeros(problem.x_shape), problem=problem, theta=theta, attributes={})
    parameters = data["left"]["parameters"]
    assert [one["name"] for one in parameters] == list(problem.space.names)
    np.testing.assert_allclose([float(one["theta"][100]) for one in parameters], theta, rtol=0.02)
    assert all(np.all(np.diff(one["v"]) >= 0) and len(one["v"]) == len(one["theta"]) == 201 for one in parameters)
    assert "an emulator of its mean: polynomials of degree" in text


@pytest.mark.parametrize(
    "model,x,path,more,words",
    [
        (LINEAR, SIGNALS[0], "a.txt", {}, "path must name an .html file; got 'a.txt'"),
        (LINEAR, SIGNALS[0, :3], "a.html", {}, "x must have one signal, shape"),
        (LINEAR, SIGNALS[0], "a.html", {"groups": ["a"]}, "groups of single signals need these; give signals"),
        (LINEAR, SIGNALS[0], "a.html", {"attributes": {"a": [1.0]}}, "attributes of single signals need these"),
        (
            LINEAR, SIGNALS[0], "a.html", {"attributes": {"a": lambda x: x}},
            r"attributes\['a'\] must give one number for each signal, shape",
        ),
        (
            LINEAR, SIGNALS[0], "a.html", {"signals": SIGNALS, "groups": ["a"] * 200},
            "groups must name at least two groups; got only 'a'",
        ),
        (
            LINEAR, SIGNALS[0], "a.html", {"problem": avo.simulators.pendulum()},
            "x must have one signal of pendulum, shape",
        ),
        (
            BetaVAE.make(jax.random.key(0), (9, 9, 1), latents=2, width=4), np.zeros((9, 9, 1)), "a.html", {},
            "x must be a vector or a series; got an image",
        ),
    ],
)  # fmt: skip
def test_a_mistake_is_named(model: Any, x: Any, path: str, more: Any, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        latents.page(model, x, path, **more)
