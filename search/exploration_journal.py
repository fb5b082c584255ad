"""Measured points on disk, one JSON object a line, so that a stopped exploration goes on.

A line carries a mark of everything that decides its numbers: network, precision, device, clock,
frames, and the sources of the models. Lines with another mark are passed over, never mixed in.
"""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path

from model.design import Design
from model.design_writer import design_to_dict
from search.measure import Point

HERE = Path(__file__).resolve().parent
MODEL = HERE.parent / "model"


def mark(design: Design, frames: int) -> str:
    """Of what decides a point, besides its accelerator."""
    tables = design_to_dict(design)
    decisive = {key: tables[key] for key in ("device", "clock_mhz", "network", "precision")}
    digest = hashlib.sha256(json.dumps([decisive, frames], sort_keys=True).encode())
    for path in sorted((*MODEL.glob("*.py"), *MODEL.glob("devices/*.toml"), HERE / "measure.py")):
        digest.update(path.name.encode() + path.read_bytes())
    return digest.hexdigest()[:16]


class Journal:
    """Points of one mark in a file of JSON lines; without a path only in memory."""

    def __init__(self, path: Path | None, mark_text: str) -> None:
        self._path, self._mark = path, mark_text
        self.points: dict[str, Point] = {}
        self.found = 0  # points that were there already
        if path is not None and path.exists():
            for line in path.read_bytes().splitlines():
                point = self._point(line)
                if point is not None:
                    self.points[point.key] = point
            self.found = len(self.points)

    def _point(self, line: bytes) -> Point | None:
        """None for a line that a kill cut off, that has another mark, or that is none."""
        try:
            item = json.loads(line)
            if item.pop("mark") != self._mark:
                return None
            return Point.of_record(item)
        except (ValueError, KeyError, TypeError, AttributeError):
            return None

    def add(self, point: Point) -> None:
        """Keep a point, on the disk when this returns; a cut-off line is ended first."""
        self.points[point.key] = point
        if self._path is None:
            return
        text = json.dumps({"mark": self._mark, **point.record()}) + "\n"
        with self._path.open("ab+") as file:
            if file.tell():
                file.seek(-1, os.SEEK_END)
                text = text if file.read() == b"\n" else "\n" + text
            file.write(text.encode())
            file.flush()
