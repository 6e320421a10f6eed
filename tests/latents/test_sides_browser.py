"""The page with two sides in a real browser: its decoder is Python's, locks hold what is decoded, it fits."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from browsers import SCHEMES, TOO_WIDE, WIDTHS, asked_for, ink_and_paper, needed, opened, press, start
from latents.linear_vae import magnified

import avo
from avo import latents
from avo.latents import BetaVAE

pytestmark = needed
K, SIZE = 5, 24
T = np.linspace(0.0, 1.0, SIZE)
SEED = 2


def early(x: np.ndarray) -> np.ndarray:
    return x[:, :8].mean(1)


def late(x: np.ndarray) -> np.ndarray:
    return x[:, -6:].mean(1)


ATTRIBUTES = {"early": early, "late": late}


def drawn(likelihood: Any = "gaussian", network: Any = "mlp") -> BetaVAE:
    """A model of random weights, larger than initial ones, so that it is bent and all latents speak."""
    model = BetaVAE.make(
        jax.random.key(SEED), (SIZE,), latents=K, network=network, width=6 if network == "conv1d" else 16, depth=2,
        likelihood=likelihood,
    )  # fmt: skip
    return magnified(model, 1.5, 2.0)


def decay(theta: Any) -> Any:
    return theta[0] * jnp.exp(-theta[1] * jnp.asarray(T)) + theta[2]


DECAY = avo.simulators.Problem(
    name="decay",
    summary="",
    simulate=lambda key, theta: jax.vmap(decay)(theta) + 0.1 * jax.random.normal(key, (len(theta), SIZE)),
    space=avo.Space(start=avo.Interval(0.5, 3, unit="mV"), rate=avo.LogInterval(0.5, 5), base=avo.Real(0, 1)),
    theta_true=np.array([1.5, 2.0, 0.3]),
    x_shape=(SIZE,),
    axes=(avo.simulators.Axis("time", "s", T),),
    quantity="voltage",
    unit="mV",
    mean=decay,
)
X = np.asarray(decay(DECAY.theta_true)) + 0.1 * np.random.default_rng(0).normal(size=SIZE)
WAVES = np.array([np.sin((k + 1) * 3 * T + k) for k in range(6)])
SIGNALS = X + np.random.default_rng(1).normal(size=(300, 6)) @ WAVES


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    driver = start()
    yield driver
    driver.quit()


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("sides")
    groups = np.where(early(SIGNALS) > early(X[None]), "high", "low")
    both = {"problem": DECAY, "theta": DECAY.theta_true, "attributes": ATTRIBUTES}
    return {
        "both": latents.page(drawn(), X, folder / "both.html", signals=SIGNALS, groups=groups, **both),
        "alone": latents.page(drawn(), X, folder / "alone.html"),
        "bernoulli": latents.page(drawn("bernoulli"), X.clip(0, 1), folder / "bernoulli.html", attributes={}),
        "conv1d": latents.page(drawn(network="conv1d"), X, folder / "conv1d.html", attributes={}),
    }


def code(browser: Any) -> np.ndarray:
    return np.array(browser.execute_script("return avo.code()"))


def measured(browser: Any, model: BetaVAE) -> dict[str, float]:
    """The attributes of what Python decodes from the page's code."""
    x = model.decode(code(browser)[None])
    return {name: float(fn(x)[0]) for name, fn in ATTRIBUTES.items()}


def text(browser: Any, element: str) -> str:
    return browser.find_element("id", element).text


def misfit(browser: Any, side: str) -> float:
    return float(browser.execute_script(f"return document.querySelector('#{side}-misfit strong').textContent"))


def click(browser: Any, *elements: str) -> None:
    for element in elements:
        browser.execute_script("document.getElementById(arguments[0]).click()", element)


def test_it_opens_without_errors_and_without_network(browser: Any, files: dict[str, Path]) -> None:
    for file in files.values():
        opened(browser, file)
        assert browser.get_log("browser") == []
        urls = asked_for(browser)
        assert urls and all(url.startswith(("file:", "data:")) for url in urls)


@pytest.mark.parametrize("form", ["both", "bernoulli"])
def test_the_decoder_in_the_page_is_python_s(browser: Any, files: dict[str, Path], form: str) -> None:
    model = drawn("bernoulli" if form == "bernoulli" else "gaussian")
    opened(browser, files[form])
    z = np.concatenate([code(browser)[None], 3 * np.random.default_rng(3).normal(size=(6, K))])
    made = browser.execute_script("return arguments[0].map((z) => avo.decode(z))", z.tolist())
    np.testing.assert_allclose(made, model.decode(z), atol=1e-4)
    np.testing.assert_allclose(browser.execute_script("return avo.shown()"), model.decode(z[:1])[0], atol=1e-4)


def test_an_emulated_decoder_is_as_far_off_as_the_page_says(browser: Any, files: dict[str, Path]) -> None:
    model = drawn(network="conv1d")
    said = opened(browser, files["conv1d"]).find_element("id", "notes").find_element("xpath", "..").text
    off = float(said.partition("off by ")[2].partition(" %")[0]) / 100
    z = np.random.default_rng(3).uniform(-3, 3, (300, K))
    made = np.array(browser.execute_script("return arguments[0].map((z) => avo.decode(z))", z.tolist()))
    expected = model.decode(z)
    assert np.sqrt(np.mean((made - expected) ** 2) / expected.var(0).mean()) < 1.5 * off < 0.75


@pytest.mark.parametrize("latent", range(3))
def test_a_locked_attribute_stays_where_a_latent_moves(browser: Any, files: dict[str, Path], latent: int) -> None:
    """Measured on what Python decodes: less than a tenth of what changes without the lock."""
    model, changes = drawn(), []
    for lock in (False, True):
        opened(browser, files["both"])
        names = [e.text for e in browser.find_elements("css selector", ".attribute .named")]
        before, at = measured(browser, model), code(browser)
        if lock:
            click(browser, *(f"attribute-lock-{a}" for a in range(len(names))))
        press(browser, f"latent-{latent}", "ARROW_RIGHT", 25)
        after = measured(browser, model)
        assert np.abs(code(browser) - at).max() > 0.5
        changes.append([abs(after[name] - before[name]) for name in ATTRIBUTES])
    (free, held), names = np.array(changes), list(ATTRIBUTES)
    assert names and free.max() > 0.05
    assert held.max() < 0.1 * free.max(), changes


def test_an_attribute_s_button_moves_it_and_what_is_locked_stays(browser: Any, files: dict[str, Path]) -> None:
    model = drawn()
    opened(browser, files["both"])
    names = [e.text for e in browser.find_elements("css selector", ".attribute .named")]
    moved, still = names.index("early"), names.index("late")
    click(browser, f"attribute-lock-{still}", "latent-lock-1")
    before, at = measured(browser, model), code(browser)
    click(browser, *[f"attribute-more-{moved}"] * 3)
    after = measured(browser, model)
    assert after["early"] - before["early"] > 0.1
    assert abs(after["late"] - before["late"]) < 0.1 * (after["early"] - before["early"])
    locked = int(browser.find_element("css selector", "label[for='latent-1']").text.split()[1])
    assert code(browser)[locked] == pytest.approx(at[locked], abs=1e-9) and np.abs(code(browser) - at).max() > 0.1
    assert not browser.find_element("id", "latent-1").is_enabled()
    click(browser, f"attribute-lock-{still}", "latent-lock-1", "right-back")
    np.testing.assert_allclose(code(browser), at, atol=1e-9)


def test_what_locks_leave_no_room_for_does_not_move_and_says_so(browser: Any, files: dict[str, Path]) -> None:
    opened(browser, files["both"])
    click(browser, *(f"latent-lock-{i}" for i in range(1, K)), "attribute-lock-0")
    before = code(browser)
    press(browser, "latent-0", "ARROW_RIGHT", 5)
    np.testing.assert_array_equal(code(browser), before)
    assert "cannot move while latent" in text(browser, "right-beyond")


def test_a_parameter_moves_the_simulated_mean_and_a_locked_one_does_not(browser: Any, files: dict[str, Path]) -> None:
    opened(browser, files["both"])
    value = lambda i: browser.find_element("id", f"parameter-{i}").get_attribute("value")  # noqa: E731
    line = "return document.querySelector('#chart .simulated.line').getAttribute('d')"
    before, fits = browser.execute_script(line), misfit(browser, "left")
    rest = X - np.asarray(decay(DECAY.theta_true))
    assert fits == pytest.approx(np.sqrt(np.mean(rest**2)), rel=0.05)
    assert text(browser, "parameter-value-0") == "1.50 mV"
    click(browser, "parameter-lock-1")
    press(browser, "parameter-0", "ARROW_RIGHT", 30)
    assert browser.execute_script(line) != before and misfit(browser, "left") > 2 * fits
    assert not browser.find_element("id", "parameter-1").is_enabled()
    click(browser, "parameter-more-1", "left-best")
    assert value(1) == "100" and misfit(browser, "left") < 1.1 * fits
    click(browser, "left-back")
    assert browser.execute_script(line) == before and browser.get_log("browser") == []


def test_groups_are_added_and_subtracted(browser: Any, files: dict[str, Path]) -> None:
    opened(browser, files["both"])
    model, before = drawn(), code(browser)
    z, high = model.encode(SIGNALS), early(SIGNALS) > early(X[None])
    click(browser, "add")
    np.testing.assert_allclose(code(browser) - before, z[high].mean(0) - z[~high].mean(0), atol=1e-4)
    press(browser, "strength", "HOME")
    click(browser, "add")
    np.testing.assert_allclose(code(browser) - before, -(z[high].mean(0) - z[~high].mean(0)), atol=1e-4)


def test_best_fits_better_and_the_misfit_is_drawn_along_a_slider(browser: Any, files: dict[str, Path]) -> None:
    opened(browser, files["alone"])
    before = misfit(browser, "right")
    assert before == pytest.approx(np.sqrt(np.mean((drawn().reconstruct(X[None])[0] - X) ** 2)), rel=0.01)
    press(browser, "latent-2", "ARROW_RIGHT", 3)
    (label,) = browser.execute_script("return [...document.querySelectorAll('#right-curve text')].slice(1)")
    assert label.text.startswith("misfit along latent ")
    curve = browser.find_element("css selector", "#right-curve .along").get_attribute("d")
    assert curve.count("L") == 25 and "NaN" not in curve
    click(browser, "right-best")
    assert misfit(browser, "right") < before


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("scheme", SCHEMES)
def test_it_fits_the_screen_in_light_and_dark(browser: Any, files: dict[str, Path], width: int, scheme: str) -> None:
    for form in ("both", "alone"):
        opened(browser, files[form], width, scheme, 640 if width < 500 else 900)
        assert browser.execute_script("return document.documentElement.scrollWidth") <= width
        assert browser.execute_script(TOO_WIDE) == []
    ink, paper = ink_and_paper(browser)
    assert (ink < 150 and paper > 700) if scheme == "light" else (ink > 600 and paper < 150)


SEEN = """const r = document.getElementById('chart').getBoundingClientRect();
const s = document.getElementById(arguments[0]).getBoundingClientRect();
return [r.top, r.bottom, r.left, r.right, s.top, s.bottom, s.left, s.right, innerHeight]"""


@pytest.mark.parametrize("width", WIDTHS)
def test_the_picture_is_seen_with_each_slider_that_moves_it(browser: Any, files: dict[str, Path], width: int) -> None:
    opened(browser, files["both"], width, height=640 if width < 500 else 900)
    for end in ("0", "document.body.scrollHeight"):
        for slider in ("parameter-0", "parameter-2", "latent-0", "latent-4", "attribute-more-1"):
            browser.execute_script(f"window.scrollTo(0, {end})")
            browser.execute_script("document.getElementById(arguments[0]).focus()", slider)
            top, bottom, left, right, first, last, near, far, high = browser.execute_script(SEEN, slider)
            assert min(bottom, high) - max(top, 0) >= 0.9 * (bottom - top) and bottom - top > 100, (slider, end)
            assert first > -1 and last < high + 1 and (first >= bottom or near >= right or far <= left), (slider, end)
