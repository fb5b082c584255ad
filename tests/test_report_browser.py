"""The report in real, headless Chromium: it runs, reacts to keys, and says nothing wrong."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from html import unescape
from pathlib import Path
from typing import Any

import pytest

from model.design import load_design
from search.report_data import Asked, report_data
from search.report_page import page

NAMES = ("chromium", "chromium-browser", "google-chrome")
CHROMIUM = next(filter(None, map(shutil.which, NAMES)), None)
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium is installed")
QUIET = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
    "--enable-logging=stderr", "--virtual-time-budget=4000", "--hide-scrollbars",
)  # fmt: skip
# What a user does, then what there is to see, as an attribute that the printed page shows.
PROBE = """
<script>
const probe = {};
const view = () => [from, to];
const key = (name) =>
  canvas.dispatchEvent(new KeyboardEvent("keydown", { key: name, cancelable: true }));
const inked = () => {
  const pixels = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data;
  const seen = new Set();
  for (let i = 0; i < pixels.length; i += 4)
    seen.add(pixels[i] * 65536 + pixels[i + 1] * 256 + pixels[i + 2]);
  return seen.size;
};
probe.ready = root.dataset.ready;
probe.all = view();
probe.colours = inked();
key("+"); key("+");
probe.zoomed = view();
probe.said = what.textContent;
key("ArrowRight");
probe.moved = view();
key("ArrowDown");
probe.below = what.textContent;
key("Home");
probe.home = view();
document.getElementById("zoom-in").click();
probe.button = view();
canvas.dispatchEvent(
  new WheelEvent("wheel", { deltaY: 100, clientX: 300, clientY: 80, cancelable: true }));
probe.wheel = view();
probe.before = getComputedStyle(document.body).backgroundColor;
document.getElementById("theme").click();
probe.after = getComputedStyle(document.body).backgroundColor;
probe.wide = document.documentElement.scrollWidth - document.documentElement.clientWidth;
document.querySelectorAll("details").forEach((item) => { item.open = true; });
probe.reachable = [...document.querySelectorAll("button, canvas, .wide, summary")]
  .every((item) => { item.focus(); return document.activeElement === item; });
probe.figures = Object.fromEntries([...document.querySelectorAll("[data-figure]")]
  .map((item) => [item.dataset.figure, item.dataset.value]));
document.body.dataset.probe = JSON.stringify(probe);
</script>
"""


@pytest.fixture(scope="module")
def report(root: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    design = load_design(root / "designs" / "dnn_a.toml")
    return report_data(design, Asked(Path("dnn_a.toml"), tmp_path_factory.mktemp("build")))


def visit(report: dict[str, Any], folder: Path, size: str, *options: str) -> dict[str, Any]:
    path = folder / "report.html"
    path.write_text(page(report).replace("</body>", PROBE + "</body>"))
    assert CHROMIUM is not None
    done = subprocess.run(
        [CHROMIUM, *QUIET, *options, f"--window-size={size}", f"--user-data-dir={folder / 'user'}",
         "--dump-dom", path.as_uri()],
        capture_output=True, text=True, timeout=60, check=True,
    )  # fmt: skip
    assert "CONSOLE" not in done.stderr
    found = re.search(r'data-probe="([^"]*)"', done.stdout)
    assert found is not None, "the page's script did not come to its end"
    probe: dict[str, Any] = json.loads(unescape(found.group(1)))
    return probe


@pytest.mark.parametrize("size", ["1280,900", "390,844"])
@pytest.mark.parametrize("dark", [False, True])
def test_the_page_works(report: dict[str, Any], tmp_path: Path, size: str, dark: bool) -> None:
    found = visit(report, tmp_path, size, *(["--force-dark-mode"] if dark else []))
    cycles = report["timeline"]["cycles"]
    assert found["ready"] == "1"
    assert found["all"] == found["home"] == [1, cycles + 1]
    assert found["colours"] > 4
    wide = found["zoomed"][1] - found["zoomed"][0]
    assert wide == pytest.approx(cycles / 4)
    assert found["moved"][0] == pytest.approx(found["zoomed"][0] + wide / 5)
    assert found["said"].startswith("Cycle ")
    assert "sequencer" in found["said"]
    assert "load" in found["below"]
    assert found["button"][1] - found["button"][0] == pytest.approx(cycles / 2)
    assert found["wheel"][1] - found["wheel"][0] == pytest.approx(cycles / 2 * 1.25)
    assert found["before"] != found["after"]
    assert found["reachable"]
    assert found["wide"] <= 0  # nothing sticks out sideways
    for key, value in found["figures"].items():
        assert float(value) == report["simulation"][key]


def test_the_page_of_dnn_a_is_small(report: dict[str, Any]) -> None:
    assert len(page(report)) < 3_000_000
