"""``tandem report``: everything an architect wants to see of a design, in one HTML file."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from typing import Any

from rich.console import RenderableType

from model import console
from model.design import load_design
from model.errors import TandemError
from model.evaluation import check_frames
from model.network_file import write_atomically
from model.tables import facts, headline
from search.report_data import Asked, report_data
from search.report_page import embedded, page


def report_command(asked: Asked, as_json: bool) -> int:
    """Write DIR/report.html and DIR/report.json, print, return the exit status."""
    check_frames(asked.frames)
    started = time.perf_counter()
    design = load_design(asked.design)
    try:
        asked.out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise TandemError(
            f"{asked.out}: cannot be made ({error.strerror or error}): choose another with --out"
        ) from error
    report = report_data(design, asked)
    text = page(report)
    write_atomically(asked.out / "report.html", text.encode())
    write_atomically(asked.out / "report.json", (embedded(report) + "\n").encode())
    if as_json:
        console.put_json({**report, "page": str(asked.out / "report.html")})
        return console.HELD
    seconds = time.perf_counter() - started
    console.put(*describe(report, str(asked.out / "report.html"), len(text), seconds))
    return console.HELD


def describe(
    report: Mapping[str, Any], path: str, size: int, seconds: float
) -> Iterator[RenderableType]:
    """What was written, for people."""
    run = report["simulation"]
    yield headline(f"{report['design']} on {report['device']}: {run['fps']:.1f} FPS")
    verified = report["verified"]
    yield facts(
        [
            ("bottleneck", report["bottleneck"]),
            ("verified", "no" if verified is None else f"{verified['when']}"),
            ("report", f"{path}, {size / 1e6:.2f} MB, in {seconds:.1f} s"),
        ]
    )
