"""The report in real, headless Chromium: figures, keys, mouse, fingers, colours."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from chromium import CHROMIUM, Browser, Screen

from model.design import load_design
from search.report_data import Asked, report_data
from search.report_page import page
from testbench.verified_record import KEPT

pytestmark = [
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium is installed"),
    pytest.mark.xdist_group("chromium"),  # one browser for all
]
LAPTOP, PHONE = Screen(1280, 800), Screen(390, 844, touch=True, scale=3)
NIGHT = Screen(1280, 800, dark=True), Screen(390, 844, dark=True, touch=True, scale=3)
VIEW = "[from, to]"
INK = """(() => {
  const {data} = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
  return new Set(new Uint32Array(data.buffer)).size;
})()"""
PAINTED = "new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))"
BACKGROUND = "getComputedStyle(document.body).backgroundColor"


@pytest.fixture(scope="module")
def report(root: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    design = load_design(root / "designs" / "dnn_a.toml")
    return report_data(design, Asked(Path("dnn_a.toml"), tmp_path_factory.mktemp("build")))


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with Browser(tmp_path_factory.mktemp("chromium")) as browser:
        yield browser


@pytest.fixture(scope="module")
def path(report: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("report") / "report.html"
    path.write_text(page(report), encoding="utf-8")
    return path


def middle(browser: Browser) -> tuple[float, float]:
    """The middle of the timeline, in the window."""
    browser.js("canvas.scrollIntoView({block: 'center'})")
    box = browser.js("(({x, y, width, height}) => [x, y, width, height])"
                     "(canvas.getBoundingClientRect())")  # fmt: skip
    return box[0] + (78 + box[2]) / 2, box[1] + box[3] / 2


def wide(browser: Browser) -> float:
    start, end = browser.js(VIEW)
    return float(end - start)


@pytest.mark.parametrize("screen", [LAPTOP, PHONE, *NIGHT], ids=str)
def test_it_shows_the_figures_of_the_json(
    browser: Browser, path: Path, report: dict[str, Any], screen: Screen
) -> None:
    browser.visit(path, screen)
    assert browser.js("innerWidth") == screen.width
    assert browser.js("document.documentElement.scrollWidth") <= screen.width
    assert browser.js(BACKGROUND) == ("rgb(18, 22, 27)" if screen.dark else "rgb(246, 247, 249)")
    assert browser.js(VIEW) == [1, report["timeline"]["cycles"] + 1]
    assert browser.js(INK) > 8
    shown = browser.js("""Object.fromEntries([...document.querySelectorAll("[data-figure]")]
      .map((item) => [item.dataset.figure, [item.dataset.value, item.textContent]]))""")
    run = report["simulation"]
    assert {key: float(value) for key, (value, _) in shown.items()} == {
        key: run[key] for key in shown
    }
    assert shown["fps"][1] == f"{run['fps']:.1f}"
    assert browser.js('JSON.parse(document.getElementById("report").textContent)') == json.loads(
        json.dumps(report)
    )
    assert browser.js("performance.timing.loadEventEnd - performance.timing.navigationStart") < 1000
    assert browser.complaints == []
    assert browser.requests == [path.as_uri()]  # nothing else is fetched


def test_tables_have_the_figures_of_the_json(
    browser: Browser, path: Path, report: dict[str, Any]
) -> None:
    browser.visit(path, LAPTOP)
    cells = """[...document.querySelectorAll("#NAME tbody tr")]
      .map((row) => [...row.cells].map((cell) => cell.textContent))"""
    bundles = browser.js(cells.replace("NAME", "bundles"))
    assert [row[4] for row in bundles] == [f"{item['cycles']:,.0f}" for item in report["bundles"]]
    stalls = {row[0]: row[1:] for row in browser.js(cells.replace("NAME", "stalls"))}
    for name, account in report["stalls"]["units"].items():
        assert stalls[name] == [f"{n:,}" for n in (*account.values(), sum(account.values()))]
    changes = browser.js(cells.replace("NAME", "changes"))
    assert [row[1] for row in changes] == [
        f"{item['fps']:.2f}" for item in report["sensitivities"]["sensitivities"]
    ]
    assert browser.js('document.querySelectorAll("svg circle").length') == len(report["bundles"])


def test_all_can_be_reached_and_done_with_keys(
    browser: Browser, path: Path, report: dict[str, Any]
) -> None:
    browser.visit(path, LAPTOP)
    seen = []
    for _ in range(40):
        browser.key("Tab")
        seen.append(browser.js("document.activeElement.id || document.activeElement.tagName"))
        if seen[-1] == "timeline":
            break
    assert {"theme", "A", "zoom-in", "all"} <= set(seen)
    assert seen[-1] == "timeline"
    cycles = report["timeline"]["cycles"]
    browser.key("+")
    browser.key("+")
    assert wide(browser) == pytest.approx(cycles / 4)
    assert browser.js("what.textContent").startswith("Cycle ")
    start = browser.js("from")
    browser.key("ArrowRight")
    assert browser.js("from") == pytest.approx(start + cycles / 20)
    browser.key("ArrowDown")
    assert ", load: " in browser.js("what.textContent")
    browser.key("-")
    assert wide(browser) == pytest.approx(cycles / 2)
    browser.key("Home")
    assert browser.js(VIEW) == [1, cycles + 1]
    browser.js('document.getElementById("zoom-in").focus()')
    browser.key("Enter")
    assert wide(browser) == pytest.approx(cycles / 2)
    browser.js("""document.querySelectorAll("details").forEach((item) => { item.open = true; })""")
    assert browser.js("""[...document.querySelectorAll("a, button, canvas, .wide, summary")]
      .every((item) => { item.focus(); return document.activeElement === item; })""")
    assert browser.complaints == []


def test_what_is_told_is_what_the_json_says(
    browser: Browser, path: Path, report: dict[str, Any]
) -> None:
    browser.visit(path, LAPTOP)
    line = report["timeline"]
    for number, unit in enumerate(line["units"]):
        lengths = [int(length, 36) for length in unit["lengths"].split(" ")]
        index = len(lengths) // 2
        cycle = 1 + sum(lengths[:index])
        browser.js(f"tell({cycle}, {number})")
        told = browser.js("what.textContent")
        assert told.startswith(f"Cycle {cycle:,} (")
        word = line["words"][line["causes"][int(unit["causes"][index])]]
        assert f"{unit['name']}: {word} for {lengths[index]:,} cycle" in told


def test_the_mouse_zooms_drags_and_asks(browser: Browser, path: Path) -> None:
    browser.visit(path, LAPTOP)
    x, y = middle(browser)
    browser.mouse("mouseMoved", x, y)
    assert browser.js("what.textContent").startswith("Cycle ")
    whole, top = wide(browser), browser.js("scrollY")
    browser.mouse("mouseWheel", x, y, deltaX=0, deltaY=-60)
    browser.js(PAINTED)
    assert wide(browser) == whole  # the page is being read, not the timeline
    browser.mouse("mouseWheel", x, y, deltaX=0, deltaY=60)
    x, y = middle(browser)
    for kind in ("mousePressed", "mouseReleased"):
        browser.mouse(kind, x, y, button="left", clickCount=1)
    for _ in range(4):
        browser.mouse("mouseWheel", x, y, deltaX=0, deltaY=-60)
    browser.js(PAINTED)
    assert wide(browser) == pytest.approx(whole * 0.8**4)
    assert abs(browser.js("scrollY") - top) < 200
    start = browser.js("from")
    browser.mouse("mousePressed", x, y, button="left", clickCount=1)
    for step in range(5):
        browser.mouse("mouseMoved", x - 20 * step, y, button="left", buttons=1)
    browser.mouse("mouseReleased", x - 80, y, button="left", clickCount=1)
    plot = browser.js("canvas.clientWidth") - 78
    assert browser.js("from") == pytest.approx(start + 80 / plot * wide(browser), rel=0.02)
    assert browser.complaints == []


def test_fingers_tap_drag_pinch_and_leave_the_page_alone(browser: Browser, path: Path) -> None:
    browser.visit(path, PHONE)
    x, y = middle(browser)
    whole = wide(browser)
    browser.fingers("touchStart", (x, y))
    browser.fingers("touchEnd")
    assert browser.js("what.textContent").startswith("Cycle ")
    browser.fingers("touchStart", (x - 20, y), (x + 20, y))
    for apart in (25, 35, 50, 60):
        browser.fingers("touchMove", (x - apart, y), (x + apart, y))
    browser.fingers("touchEnd")
    zoomed = wide(browser)
    assert zoomed == pytest.approx(whole / 3, rel=0.1)
    start = browser.js("from")
    browser.fingers("touchStart", (x, y))
    for step in range(1, 5):
        browser.fingers("touchMove", (x - 15 * step, y))
    browser.fingers("touchEnd")
    assert browser.js("from") > start
    assert wide(browser) == pytest.approx(zoomed)
    top = browser.js("scrollY")
    browser.fingers("touchStart", (x, y))
    for step in range(1, 9):  # upwards: the page scrolls, also from here
        browser.fingers("touchMove", (x, y - 20 * step))
    browser.fingers("touchEnd")
    browser.js(PAINTED)
    assert browser.js("scrollY") > top
    assert browser.complaints == []


def test_the_button_changes_the_colours_both_ways(browser: Browser, path: Path) -> None:
    browser.visit(path, LAPTOP)
    light = browser.js(BACKGROUND)
    browser.js('document.getElementById("theme").click()')
    assert browser.js(BACKGROUND) != light
    browser.js('document.getElementById("theme").click()')
    assert browser.js(BACKGROUND) == light


def test_without_scripts_all_but_the_timeline_is_there(browser: Browser, path: Path) -> None:
    browser.visit(path, LAPTOP, scripts=False)
    found = browser.send("DOM.getDocument", depth=0)["root"]["nodeId"]
    for name, there in (
        ("#stalls .bar", True), ("#bundles td", True), ("svg circle", True), ("noscript p", True),
        ("#timeline", False), ("#theme", False),
    ):  # fmt: skip
        node = browser.send("DOM.querySelector", nodeId=found, selector=name)["nodeId"]
        assert node, name
        if there:
            browser.send("DOM.getBoxModel", nodeId=node)
        else:
            with pytest.raises(AssertionError, match="box model"):
                browser.send("DOM.getBoxModel", nodeId=node)


@pytest.mark.parametrize(
    "name", ["</script><script>alert(1)</script>", "\"'><img src=x onerror=a>"]
)
def test_hostile_names_run_nothing(
    browser: Browser, report: dict[str, Any], tmp_path: Path, name: str
) -> None:
    bundles = [{**item, "layers": name} for item in report["bundles"]]
    verified = dict.fromkeys(KEPT, 0) | {"exact": True, "when": name}
    verified |= {"network": name, "image_source": name}
    hostile = {**report, "design": name, "device": name, "bottleneck": name, "bundles": bundles}
    path = tmp_path / "report.html"
    path.write_text(page({**hostile, "verified": verified}), encoding="utf-8")
    browser.visit(path, LAPTOP)
    assert browser.js("document.querySelector('h1').textContent") == name
    assert browser.js("document.scripts.length") == 2
    assert browser.js("document.images.length") == 0
    assert browser.js("document.body.dataset.hit || root.dataset.ready") == "1"
    assert browser.complaints == []
    assert browser.requests == [path.as_uri()]


def test_a_run_too_long_for_a_timeline_says_so(
    browser: Browser, report: dict[str, Any], tmp_path: Path
) -> None:
    path = tmp_path / "report.html"
    gone = {"cycles": None, "ms": None, "useful": None, "gmacs_per_s": None}
    bundles = [{**item, **gone} for item in report["bundles"]]
    roof = {**report["roofline"], "points": []}
    long = {"timeline": None, "stalls": None, "bundles": bundles, "roofline": roof}
    path.write_text(page({**report, **long}), encoding="utf-8")
    browser.visit(path, LAPTOP)
    assert "too long" in browser.js("document.getElementById('timeline-part').textContent")
    light = browser.js(BACKGROUND)
    browser.js('document.getElementById("theme").click()')
    assert browser.js(BACKGROUND) != light
    assert browser.complaints == []


def test_the_page_of_dnn_a_is_small(path: Path) -> None:
    assert path.stat().st_size < 3_000_000
