"""The report in a real browser, without network: it opens without errors, sliders and keys work, it fits."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import reports
from browsers import SCHEMES, TOO_WIDE, WIDTHS, asked_for, ink_and_paper, needed, opened, press, start, webdriver

from avo.report import page as pages
from avo.report.page import write

pytestmark = needed


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    driver = start()
    yield driver
    driver.quit()


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A whole page of a series, and pages without pictures of images and of a population of vectors."""
    folder = tmp_path_factory.mktemp("report")
    made = {"series": write(reports.reported("series"), folder / "series.html")}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pages, "all_pictures", lambda *_: [])
        made["image"] = write(reports.reported("image"), folder / "image.html")
        made["long"] = write(long_vector(), folder / "long.html")
        made["gaps"] = write(gapped(), folder / "gaps.html")
        made["population"] = write(reports.reported("vector", "population"), folder / "population.html")
    return made


def long_vector() -> Any:
    """Vectors of 14 numbers, each of which has a strip of its own."""
    result, size = reports.reported("vector"), 14
    assert result.estimate is not None
    kept = reports.kept(result.space, np.asarray(result.estimate.loc), (size,))
    return replace(result, x_shape=(size,), estimate=replace(result.estimate, kept=kept))


def gapped() -> Any:
    """A population of series, the rows of which lack points 10 to 14, or 15 to 19, of channel 0."""
    result = reports.reported("series", "population")
    kept = result.kept
    assert kept is not None and result.estimate is not None
    x, observed = kept.x.copy(), kept.observed.copy()
    for rows in (x, observed):
        rows[::2, 20:30:2] = np.nan
        rows[1::2, 30:40:2] = np.nan
    return replace(result, estimate=replace(result.estimate, kept=kept._replace(x=x, observed=observed)))


def shown(browser: Any) -> list[str]:
    """What the chart shows: the shapes of its bands and lines, or the shades of its squares."""
    found = "document.querySelectorAll('#chart .simulated')"
    return browser.execute_script(
        f"return [...{found}].map((e) => e.getAttribute('d') || e.getAttribute('fill-opacity'))"
    )


def misfit(browser: Any) -> float:
    return float(browser.execute_script("return document.querySelector('#misfit strong').textContent"))


def test_it_opens_without_errors_and_without_network(browser, files):
    for file in files.values():
        opened(browser, file)
        assert browser.get_log("browser") == []
        urls = asked_for(browser)
        assert urls and all(url.startswith(("file:", "data:")) for url in urls)


@pytest.mark.parametrize("form", ["series", "image", "population"])
def test_sliders_move_the_picture_and_back_restores_it(browser, files, form):
    opened(browser, files[form])
    before, fits = shown(browser), misfit(browser)
    assert before and all(before)
    press(browser, "slider-0", "ARROW_RIGHT", 60)
    moved = shown(browser)
    assert len(moved) == len(before) and moved != before
    if form != "population":
        assert misfit(browser) > 2 * fits
    said = browser.find_element("id", "slider-0").get_attribute("aria-valuetext")
    assert said == browser.find_element("id", "value-0").text and said.endswith("mV")
    browser.find_element("id", "back").click()
    assert shown(browser) == before and misfit(browser) == fits
    assert browser.get_log("browser") == []


def test_it_is_used_by_keyboard_alone(browser, files):
    opened(browser, files["series"])
    body, reached = browser.find_element("tag name", "body"), []
    body.send_keys(webdriver.Keys.TAB)
    for _ in range(12):
        reached.append(browser.execute_script("return document.activeElement.id"))
        browser.switch_to.active_element.send_keys(webdriver.Keys.TAB)
    order = [name for name in reached if name]
    assert order == ["slider-0", "lock-0", "slider-1", "lock-1", "slider-2", "lock-2", "back", "best"]
    before = shown(browser)
    press(browser, "slider-1", "HOME")
    assert browser.find_element("id", "slider-1").get_attribute("value") == "0" and shown(browser) != before
    press(browser, "back", "ENTER")
    assert shown(browser) == before


def test_what_is_locked_stays(browser, files):
    opened(browser, files["series"])
    press(browser, "slider-0", "ARROW_RIGHT", 40)
    press(browser, "lock-0", "SPACE")
    press(browser, "slider-1", "ARROW_LEFT", 30)
    at = lambda i: int(browser.find_element("id", f"slider-{i}").get_attribute("value"))  # noqa: E731
    assert (at(0), at(1)) == (140, 70) and not browser.find_element("id", "slider-0").is_enabled()
    fits = misfit(browser)
    press(browser, "best", "ENTER")
    assert at(0) == 140 and misfit(browser) < fits
    press(browser, "back", "ENTER")
    assert (at(0), at(1), at(2)) == (140, 100, 100)
    press(browser, "lock-0", "SPACE")
    press(browser, "best", "ENTER")
    assert abs(at(0) - 100) < 15  # the observations come from the middle


def test_a_setting_beyond_the_simulations_says_so(browser, files):
    opened(browser, files["series"])
    beyond = browser.find_element("id", "beyond")
    assert not beyond.is_displayed()
    for i in range(3):
        press(browser, f"slider-{i}", "END")
    assert beyond.is_displayed()


def test_rows_of_a_population_bring_their_own_parameters(browser, files):
    opened(browser, files["population"])
    own = lambda: browser.execute_script("return document.querySelector('#chart .row').getAttribute('d')")  # noqa: E731
    first, theta = own(), browser.find_element("id", "value-0").text
    press(browser, "row", "ARROW_DOWN", 3)
    assert own() != first and browser.find_element("id", "value-0").text != theta


def test_a_row_with_missing_values_is_a_line_with_a_gap(browser, files):
    opened(browser, files["gaps"])
    rows = "return [...document.querySelectorAll('#chart .row')].map((e) => e.getAttribute('d'))"
    gap, whole = browser.execute_script(rows)
    assert gap.count("M") == 2 and whole.count("M") == 1 and "NaN" not in gap
    assert gap.count("M") + gap.count("L") == 40 - 5
    assert browser.get_log("browser") == [] and 0.5 < misfit(browser) < 2


def test_a_misfit_is_judged_in_one_way(browser, files):
    opened(browser, files["series"])
    told = browser.find_element("id", "misfit").text
    assert "no more than a right model's. In 19 of 20 cases a right model's is below 1." in told
    press(browser, "slider-0", "END")
    assert "right model's is below 1." in browser.find_element("id", "misfit").text


SEEN = """const r = document.getElementById('chart').getBoundingClientRect();
const s = document.getElementById(arguments[0]).getBoundingClientRect();
return [r.top, r.bottom, r.right, s.top, s.bottom, s.left, innerHeight]"""


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("form", ["series", "image", "population", "long"])
def test_the_picture_is_seen_with_each_slider_that_moves_it(browser, files, form, width):
    """From above and from below: neither has scrolled away, nor lies over the other, nor on a phone."""
    opened(browser, files[form], width, height=640 if width < 500 else 900)
    for end in ("0", "document.body.scrollHeight"):
        for i in range(3):
            browser.execute_script(f"window.scrollTo(0, {end})")
            browser.execute_script("document.getElementById(arguments[0]).focus()", f"slider-{i}")
            top, bottom, right, start, stop, left, high = browser.execute_script(SEEN, f"slider-{i}")
            least = min(bottom - top, 0.5 * high) if width < 500 else 150
            assert min(bottom, high) - max(top, 0) >= least - 1, (form, i, end)
            assert 0 <= start and stop <= high and (start >= bottom or left >= right), (form, i, end)


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("scheme", SCHEMES)
def test_it_fits_the_screen_in_light_and_dark(browser, files, width, scheme):
    for form in ("series", "population"):
        opened(browser, files[form], width, scheme)
        assert browser.execute_script("return document.documentElement.scrollWidth") <= width
        assert browser.execute_script(TOO_WIDE) == []
    table = "const t = document.querySelector('.scroll'); return [t.scrollWidth, t.clientWidth]"
    opened(browser, files["series"], width, scheme)
    whole, seen = browser.execute_script(table)
    assert whole <= seen  # the unit, too
    ink, paper = ink_and_paper(browser)
    assert (ink < 150 and paper > 700) if scheme == "light" else (ink > 600 and paper < 150)
