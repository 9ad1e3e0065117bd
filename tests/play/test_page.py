"""The page in a real Chromium: drawing by mouse, touch and keyboard, sliders, cells, saved pictures; no error, no other address.

Needs Chromium, chromedriver and selenium: ``apt install chromium chromium-driver`` and ``pip install selenium``.
"""

import json
import re
import shutil
import time
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import players
import pytest
from command_line import run_here

from numbacnn.backends import get_ops
from numbacnn.checkpoint import save_network
from numbacnn.play.neighbours import Neighbours
from numbacnn.play.server import PlayServer

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
DRIVER = shutil.which("chromedriver")
MISSING = [
    name
    for name, is_there in (("Chromium", CHROMIUM), ("chromedriver", DRIVER), ("the package selenium", find_spec("selenium")))
    if not is_there
]

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(bool(MISSING), reason=f"needs {', '.join(MISSING)}"),
    pytest.mark.filterwarnings("ignore"),  # selenium's own
]

FLAGS = (
    "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update",
    "--disable-sync", "--no-first-run", "--window-size=1400,1000",
)  # fmt: skip
SEVEN = ((0.25, 0.2), (0.45, 0.2), (0.7, 0.2), (0.6, 0.4), (0.5, 0.6), (0.45, 0.8))
"""A stroke, as shares of the drawing's width and height."""

SLIDERS_MOVED = ({}, {"rotation": 40, "light": 0.5, "size": 1.3}, {"bend": 2.5, "viewpoint": -0.4, "light": -0.5})

NETWORKS = {"cnn": players.network(players.cnn()), "dense": players.network(players.dense())}


@pytest.fixture(scope="module")
def server() -> Iterator[PlayServer]:
    images = np.random.default_rng(0).integers(0, 256, (20, 28, 28, 1), np.uint8)
    neighbours = Neighbours(NETWORKS["cnn"], get_ops("cpu"), images, np.arange(20) % 10)
    with players.serving(players.player(*NETWORKS.values(), neighbours=neighbours)) as server:
        server.read_training_images()
        yield server


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    from selenium import webdriver
    from selenium.webdriver.chrome.service import Service

    options = webdriver.ChromeOptions()
    options.binary_location = str(CHROMIUM)
    for flag in (*FLAGS, f"--user-data-dir={tmp_path_factory.mktemp('profile')}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = webdriver.Chrome(options=options, service=Service(str(DRIVER)))
    try:
        yield driver
    finally:
        driver.quit()


class Page:
    """The page in a browser, as a person sees it."""

    def __init__(self, browser: Any, server: PlayServer) -> None:
        self.browser = browser
        self.browser.execute_cdp_cmd(
            "Emulation.setDeviceMetricsOverride", {"width": 1400, "height": 1000, "deviceScaleFactor": 1, "mobile": False}
        )
        browser.get_log("performance"), browser.get_log("browser")
        browser.get(server.url)
        self.wait("document.body.dataset.ready")

    def run(self, script: str, *given: Any) -> Any:
        return self.browser.execute_script(script, *given)

    def wait(self, condition: str) -> Any:
        """The value of an expression, once it is true."""
        deadline = time.monotonic() + 30
        while not (value := self.run(f"return {condition}")):
            assert time.monotonic() < deadline, f"never came: {condition}; {self.browser.get_log('browser')}"
            time.sleep(0.02)
        return value

    def find(self, selector: str) -> Any:
        return self.browser.find_element("css selector", selector)

    def actions(self) -> Any:
        from selenium.webdriver.common.action_chains import ActionChains

        return ActionChains(self.browser, duration=0)

    def draw(self, points: tuple[tuple[float, float], ...] = SEVEN) -> None:
        """One stroke by mouse; returns when the networks have answered."""
        strokes = self.run("return performance.getEntriesByName('stroke-to-answer').length")
        canvas = self.find("#drawing")
        places = [(int((x - 0.5) * canvas.size["width"]), int((y - 0.5) * canvas.size["height"])) for x, y in points]
        actions = self.actions().move_to_element_with_offset(canvas, *places[0]).click_and_hold()
        for place in places[1:]:
            actions = actions.move_to_element_with_offset(canvas, *place)
        actions.release().perform()
        self.wait(f"performance.getEntriesByName('stroke-to-answer').length > {strokes}")

    def slide(self, name: str, value: float) -> None:
        """Move a slider; returns when the networks have answered."""
        self.run(
            "const s = document.getElementById(`slider-${arguments[0]}`); s.value = arguments[1]; s.dispatchEvent(new Event('input'))",
            name, value,
        )  # fmt: skip
        self.settle()

    def settle(self) -> None:
        """Wait for the answer to what was drawn last."""
        self.wait("!isAsking && Number(document.body.dataset.answered) >= version")

    def answers(self) -> list[tuple[str, list[float]]]:
        """The label and the probabilities of each network, as the page shows them."""
        return self.run(
            "return [...document.querySelectorAll('.answer')].map((card) => [card.querySelector('.label').textContent, "
            "[...card.querySelectorAll('.share')].map((share) => Number(share.dataset.probability))])"
        )

    def errors(self) -> list[Any]:
        return self.browser.get_log("browser")

    def addresses(self) -> set[str]:
        """Everything that was asked for over a network since the page was opened."""
        messages = [json.loads(entry["message"])["message"] for entry in self.browser.get_log("performance")]
        asked = [each["params"]["request"]["url"] for each in messages if each["method"] == "Network.requestWillBeSent"]
        return {url.partition("?")[0] for url in asked if not url.startswith(("data:", "blob:", "chrome:"))}


@pytest.fixture
def page(browser: Any, server: PlayServer) -> Iterator[Page]:
    """The page, newly opened; no test may leave an error in its console, or have asked any other server."""
    page = Page(browser, server)
    yield page
    assert page.errors() == []
    own = f"http://127.0.0.1:{server.server_port}/"
    assert {address[: len(own)] for address in page.addresses()} == {own}


def saved(page: Page, folder: Path) -> Path:
    """The picture that "Save PNG" saves."""
    page.browser.execute_cdp_cmd("Page.setDownloadBehavior", {"behavior": "allow", "downloadPath": str(folder)})
    page.find("#save").click()
    deadline = time.monotonic() + 30
    while not (folder / "digit.png").exists():
        assert time.monotonic() < deadline
        time.sleep(0.02)
    return folder / "digit.png"


@pytest.mark.parametrize("sliders", SLIDERS_MOVED, ids=str)
def test_label_and_probabilities_are_those_of_predict_for_the_saved_picture(
    page: Page, tmp_path: Path, sliders: dict[str, float]
) -> None:
    page.draw()
    for name, value in sliders.items():
        page.slide(name, value)
    shown = page.answers()
    picture = saved(page, tmp_path)
    for (label, probabilities), (name, network) in zip(shown, NETWORKS.items(), strict=True):
        save_network(tmp_path / f"{name}.safetensors", network)
        done = run_here("predict", picture, "--model", tmp_path / f"{name}.safetensors", "--format", "json")
        (predicted,) = json.loads(done.out)
        assert label == str(predicted["label"])
        assert probabilities == predicted["probabilities"]
    assert "numbacnn predict digit.png" in page.find("#saving").text


def test_every_slider_changes_the_answers_of_both_networks_and_reset_brings_them_back(page: Page) -> None:
    page.draw()
    before = page.answers()
    assert len(before) == 2
    for name, value in (("rotation", 60), ("light", 0.8), ("bend", 3), ("size", 0.6), ("viewpoint", 0.5)):
        page.slide(name, value)
        moved = page.answers()
        assert all(now[1] != then[1] for now, then in zip(moved, before, strict=True)), name
        page.find("#reset").click()
        page.settle()
        assert page.answers() == before


def test_a_click_on_a_cell_shows_the_sum_of_its_products(page: Page, server: PlayServer) -> None:
    page.draw()
    page.wait("document.querySelector('canvas[data-layer=conv2]').width > 50")
    canvas = page.find("canvas[data-layer=conv2]")
    page.run("arguments[0].scrollIntoView({block: 'center'})", canvas)
    side = 10  # pixels of a cell: a map of 6 x 4 cells is 60 pixels high
    place = (2.5 * side - canvas.size["width"] / 2, 3.5 * side - canvas.size["height"] / 2)
    page.actions().move_to_element_with_offset(canvas, *map(int, place)).click().perform()
    page.wait("document.querySelector('#cell .formula')")
    assert page.find("#cell-title").text == "conv2[3, 2, 0]"
    sentence = page.find("#cell .formula").text
    found = re.fullmatch(r"27 products \((\d+) not 0\): sum (\S+) \+ bias (\S+) = (\S+); the kernel computed (\S+)\.", sentence)
    assert found, sentence
    total, bias, value, kernel_value = map(float, found.groups()[1:])
    assert total + bias == pytest.approx(value, abs=1e-4)
    assert value == pytest.approx(kernel_value, rel=1e-4)
    rows = page.run("""return [...document.querySelectorAll("#cell tbody tr")]
        .map((row) => [...row.cells].map((cell) => cell.textContent.replace(/[×=] /, "")))""")
    assert len(rows) == 27
    assert sum(float(row[3]) for row in rows) == pytest.approx(total, abs=27 * 5e-5)
    assert all(float(row[1]) * float(row[2]) == pytest.approx(float(row[3]), abs=3e-4) for row in rows)
    page.slide("rotation", 30)
    page.wait(f"document.querySelector('#cell .formula').textContent !== {sentence!r}")
    page.find("#close").click()
    assert not page.find("#cell").is_displayed()


def test_maps_and_nearest_training_images_are_drawn(page: Page) -> None:
    page.draw()
    page.wait("!document.getElementById('layers').hidden")
    layers = page.run("return [...document.querySelectorAll('.layer canvas')].map((canvas) => canvas.dataset.layer)")
    assert layers == [node.name for network in NETWORKS.values() for node in network.graph.nodes]
    bright = """return [...document.querySelectorAll(arguments[0])].map((canvas) =>
        canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data
          .reduce((most, value, i) => i % 4 < 3 ? Math.max(most, value) : most))"""
    assert min(page.run(bright, ".layer canvas, #seen, .near canvas")) > 100
    assert page.run("return document.querySelectorAll('.near').length") == 5


def test_the_keyboard_draws_clears_undoes_and_chooses_a_cell(page: Page) -> None:
    from selenium.webdriver.common.keys import Keys

    page.find("#drawing").send_keys(Keys.ARROW_LEFT * 8 + " " + Keys.ARROW_RIGHT * 10 + Keys.ARROW_DOWN * 14 + " ")
    page.settle()
    drawn = page.answers()
    assert drawn[0][0] in "0123456789"
    page.find("#drawing").send_keys(Keys.DELETE)
    page.settle()
    assert page.find("#message").text == "Draw a digit to begin."
    assert page.answers()[0][0] == ""
    page.find("#drawing").send_keys(Keys.CONTROL + "z")
    page.settle()
    assert page.answers() == drawn
    page.wait("document.querySelector('canvas[data-layer=pool1]').width > 50")
    page.find("canvas[data-layer=pool1]").send_keys(Keys.ARROW_RIGHT * 2 + Keys.ARROW_DOWN * 3 + Keys.PAGE_DOWN + Keys.ENTER)
    page.wait("!document.getElementById('cell').hidden")
    assert page.find("#cell-title").text == "pool1[3, 2, 1]"
    page.find("canvas[data-layer=pool1]").send_keys(Keys.ESCAPE)
    assert not page.find("#cell").is_displayed()


def test_a_finger_draws(page: Page) -> None:
    box = page.run(
        "const b = document.getElementById('drawing').getBoundingClientRect(); return [b.left, b.top, b.width, b.height]"
    )
    for kind, points in (("touchStart", SEVEN[:1]), *(("touchMove", [point]) for point in SEVEN[1:]), ("touchEnd", [])):
        places = [{"x": box[0] + x * box[2], "y": box[1] + y * box[3]} for x, y in points]
        page.browser.execute_cdp_cmd("Input.dispatchTouchEvent", {"type": kind, "touchPoints": places})
    page.wait("performance.getEntriesByName('stroke-to-answer').length")
    assert page.answers()[0][0] in "0123456789"
    assert page.run("return window.scrollY") == 0


@pytest.mark.parametrize("width", [360, 800, 1400])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_page_fits_its_width_and_its_text_stands_out(page: Page, width: int, scheme: str) -> None:
    page.browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [{"name": "prefers-color-scheme", "value": scheme}]})
    page.browser.execute_cdp_cmd(
        "Emulation.setDeviceMetricsOverride", {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 500}
    )
    page.draw()
    page.wait("!document.getElementById('layers').hidden")
    assert page.run("return document.documentElement.scrollWidth") <= width
    assert (
        page.run("""return [...document.querySelectorAll("main *")]
        .filter((e) => e.getBoundingClientRect().right > innerWidth).map((e) => e.outerHTML)""")
        == []
    )
    colours = page.run("""
        const rgb = (text) => text.match(/\\d+/g).slice(0, 3).map(Number);
        return [...document.querySelectorAll('h1, h2, h3, p, label, output, button, .share')].filter((e) => e.offsetParent).map((e) => {
          let ground = e;
          while (getComputedStyle(ground).backgroundColor === 'rgba(0, 0, 0, 0)') ground = ground.parentElement;
          return [rgb(getComputedStyle(e).color), rgb(getComputedStyle(ground).backgroundColor)];
        })""")
    assert len(colours) > 40
    assert min(contrast(ink, paper) for ink, paper in colours) >= 4.5
    grounds = {tuple(paper) for _, paper in colours}
    assert all((sum(ground) > 500) == (scheme == "light") for ground in grounds)


def contrast(first: list[float], second: list[float]) -> float:
    """Of two colours, 1 ... 21. Source: WCAG 2.1, "contrast ratio"; 4.5 is its least for text."""

    def luminance(colour: list[float]) -> float:
        parts = [part / 255 for part in colour]
        linear = [part / 12.92 if part <= 0.03928 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    high, low = sorted((luminance(first), luminance(second)), reverse=True)
    return (high + 0.05) / (low + 0.05)


def test_a_page_with_a_wrong_token_says_what_to_open(browser: Any, server: PlayServer) -> None:
    browser.get(f"http://127.0.0.1:{server.server_port}/?token=wrong")
    assert "Open the address that was printed, token and all" in browser.page_source
    browser.get_log("browser")  # where the 403 is noted
