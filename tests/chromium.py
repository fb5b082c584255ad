"""Headless Chromium for tests, driven over its debugging pipe: nothing but the standard library.

``--window-size`` alone cannot stand for a phone: a headless window is at least 500 pixels wide. The
DevTools protocol (https://chromedevtools.github.io/devtools-protocol/) sets any screen, and its
keys, wheel and fingers are those of a user, not events that a script makes up.
"""

from __future__ import annotations

import base64
import json
import os
import select
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

NAMES = ("chromium", "chromium-browser", "google-chrome")
CHROMIUM = next(filter(None, map(shutil.which, NAMES)), None)
QUIET = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
    "--disable-dev-shm-usage", "--hide-scrollbars", "--remote-debugging-pipe",
)  # fmt: skip
# Chromium's pipe has the descriptors 3 and 4. Copies come first: an end may be 3 or 4 already.
AS_3_AND_4 = """
import fcntl, os, sys
ends = [fcntl.fcntl(int(end), fcntl.F_DUPFD, 100) for end in sys.argv[1:3]]
for want, end in zip((3, 4), ends):
    os.dup2(end, want)
os.execv(sys.argv[3], sys.argv[3:])
"""
PATIENCE = 30.0  # seconds for one answer
PRINTED = {"+": 187, "=": 187, "-": 189}  # keys that print, and Windows' codes of the others
NAMED = {"Tab": 9, "Enter": 13, "End": 35, "Home": 36}
NAMED |= {"ArrowLeft": 37, "ArrowUp": 38, "ArrowRight": 39, "ArrowDown": 40}

Json = dict[str, Any]


@dataclass(frozen=True)
class Screen:
    """A screen in CSS pixels, its scheme of colours, and whether fingers touch it."""

    width: int
    height: int
    dark: bool = False
    touch: bool = False
    scale: float = 1.0


@dataclass
class Browser:
    """One Chromium with one page. Use with ``with``."""

    folder: Path
    complaints: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)

    def __enter__(self) -> Self:
        assert CHROMIUM is not None
        to_child, self._write = os.pipe()
        self._read, from_child = os.pipe()
        ends = (to_child, from_child)
        self._process = subprocess.Popen(
            [sys.executable, "-c", AS_3_AND_4, *map(str, ends), CHROMIUM, *QUIET,
             f"--user-data-dir={self.folder}", "about:blank"],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, pass_fds=ends,
        )  # fmt: skip
        os.close(to_child)
        os.close(from_child)
        self._left, self._asked, self._session = b"", 0, ""
        targets = self.send("Target.getTargets")["targetInfos"]
        page = next(item["targetId"] for item in targets if item["type"] == "page")
        attached = self.send("Target.attachToTarget", targetId=page, flatten=True)
        self._session = attached["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.send(f"{domain}.enable")
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        os.close(self._write)  # Chromium ends when its pipe does
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        os.close(self._read)

    def send(self, method: str, **params: Any) -> Json:
        """A command's result. AssertionError where Chromium refuses it or does not answer."""
        self._asked += 1
        message: Json = {"id": self._asked, "method": method, "params": params}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._write, json.dumps(message).encode() + b"\0")
        asked = self._asked
        answer = self._until(lambda said: said.get("id") == asked)
        assert "error" not in answer, f"{method}: {answer.get('error')}"
        result: Json = answer["result"]
        return result

    def _until(self, wanted: Callable[[Json], bool]) -> Json:
        deadline = time.monotonic() + PATIENCE
        while True:
            *whole, self._left = self._left.split(b"\0")
            for index, text in enumerate(whole):
                said: Json = json.loads(text)
                self._note(said)
                if wanted(said):
                    self._left = b"\0".join([*whole[index + 1 :], self._left])
                    return said
            ready, _, _ = select.select([self._read], [], [], deadline - time.monotonic())
            assert ready, "Chromium does not answer"
            data = os.read(self._read, 1 << 20)
            assert data, "Chromium ended"
            self._left += data

    def _note(self, said: Json) -> None:
        method, params = said.get("method", ""), said.get("params", {})
        if method == "Runtime.exceptionThrown":
            self.complaints.append(str(params["exceptionDetails"].get("exception", params)))
        elif method == "Runtime.consoleAPICalled":
            self.complaints.append(str([item.get("value") for item in params["args"]]))
        elif method == "Log.entryAdded":
            self.complaints.append(params["entry"]["text"])
        elif method == "Network.requestWillBeSent":
            self.requests.append(params["request"]["url"])

    def visit(self, path: Path, screen: Screen, scripts: bool = True) -> None:
        """Show a file on such a screen and wait until it is loaded and painted."""
        self.complaints.clear()
        self.requests.clear()
        self.send(
            "Emulation.setDeviceMetricsOverride", width=screen.width, height=screen.height,
            deviceScaleFactor=screen.scale, mobile=screen.touch,
        )  # fmt: skip
        self.send("Emulation.setTouchEmulationEnabled", enabled=screen.touch)
        self.send("Emulation.setScriptExecutionDisabled", value=not scripts)
        colours = {"name": "prefers-color-scheme", "value": "dark" if screen.dark else "light"}
        self.send("Emulation.setEmulatedMedia", features=[colours])
        self.send("Page.navigate", url=path.as_uri())
        self._until(lambda said: said.get("method") == "Page.loadEventFired")

    def js(self, expression: str) -> Any:
        """The value of an expression in the page; promises are awaited."""
        found = self.send(
            "Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True
        )
        assert "exceptionDetails" not in found, found["exceptionDetails"]
        return found["result"].get("value")

    def key(self, name: str) -> None:
        """Press and release a key, as a user does."""
        code = PRINTED.get(name) or NAMED[name]
        text = {"text": name} if name in PRINTED else {"text": "\r"} if name == "Enter" else {}
        both: Json = {"key": name, "windowsVirtualKeyCode": code}
        self.send("Input.dispatchKeyEvent", type="keyDown", **both, **text)
        self.send("Input.dispatchKeyEvent", type="keyUp", **both)

    def mouse(self, kind: str, x: float, y: float, **more: Any) -> None:
        """One event of the mouse: mouseMoved, mousePressed, mouseReleased, mouseWheel."""
        self.send("Input.dispatchMouseEvent", type=kind, x=x, y=y, **more)

    def fingers(self, kind: str, *points: tuple[float, float]) -> None:
        """One event of the screen: touchStart, touchMove, touchEnd with the fingers left on it."""
        touched = [{"x": x, "y": y, "id": number} for number, (x, y) in enumerate(points)]
        self.send("Input.dispatchTouchEvent", type=kind, touchPoints=touched)

    def picture(self, path: Path, whole: bool = True) -> None:
        """A PNG of what is seen, or of the whole page."""
        shot = self.send("Page.captureScreenshot", captureBeyondViewport=whole)
        if whole:
            size = self.send("Page.getLayoutMetrics")["cssContentSize"]
            clip = {"x": 0, "y": 0, "width": size["width"], "height": size["height"], "scale": 1}
            shot = self.send("Page.captureScreenshot", captureBeyondViewport=True, clip=clip)
        path.write_bytes(base64.b64decode(shot["data"]))
