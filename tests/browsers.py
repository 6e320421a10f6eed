"""A real browser for tests of pages, without network: Chromium and its driver of the system, and selenium."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

webdriver = pytest.importorskip("selenium.webdriver", reason="selenium is not installed")
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
DRIVER = shutil.which("chromedriver")
needed = pytest.mark.skipif(
    CHROMIUM is None or DRIVER is None, reason="no chromium and chromedriver among the system's programs"
)
WIDTHS, SCHEMES = (1200, 400), ("light", "dark")
TOO_WIDE = """return [...document.querySelectorAll('main *')].filter((e) =>
  e.getBoundingClientRect().right > innerWidth + 1 && !e.closest('.scroll, pre, svg')).map((e) => e.tagName + e.id)"""


def start() -> Any:
    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    for word in ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"):
        options.add_argument(word)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    return webdriver.Chrome(options=options, service=webdriver.ChromeService(DRIVER))


def opened(browser: Any, file: Path, width: int = 1200, scheme: str = "light", height: int = 900) -> Any:
    browser.execute_cdp_cmd(
        "Emulation.setEmulatedMedia", {"features": [{"name": "prefers-color-scheme", "value": scheme}]}
    )
    size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    browser.get(file.as_uri())
    return browser


def press(browser: Any, element: str, key: str, times: int = 1) -> None:
    browser.find_element("id", element).send_keys(getattr(webdriver.Keys, key) * times)


def asked_for(browser: Any) -> list[str]:
    """The addresses that a page asked for."""
    sent = [json.loads(entry["message"])["message"] for entry in browser.get_log("performance")]
    return [one["params"]["request"]["url"] for one in sent if one["method"] == "Network.requestWillBeSent"]


def ink_and_paper(browser: Any) -> tuple[int, int]:
    """How light text and page are, from 0 to 765."""
    colours = browser.execute_script("const s = getComputedStyle(document.body); return [s.color, s.backgroundColor]")
    ink, paper = (sum(int(part) for part in colour.strip("rgb()").split(",")) for colour in colours)
    return ink, paper
