"""Which listed images can be used: decoded whole, with a box inside; what is wrong with others."""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

from model.detection import Box
from quant.annotations import Entry, Listing, Problem, is_file
from quant.sample import IMAGE_ERRORS, Picture, Sample, decode

SLACK = 0.5  # pixels that a box may stand out, from rounding: clipped


def check_images(
    listing: Listing, classes: Sequence[str], room: int
) -> tuple[list[Sample], list[Problem], dict[str, Picture]]:
    """Samples that can be used, problems in the images' order, images kept in ``room`` bytes."""
    samples: list[Sample] = []
    problems = list(listing.problems)
    kept: dict[str, Picture] = {}
    entries = list(listing.entries.values())
    named = {problem.name for problem in problems}
    with ThreadPoolExecutor(thread_count()) as pool:
        for entry, picture in zip(entries, pool.map(_try_decode, _paths(entries)), strict=True):
            if isinstance(picture, Problem):
                problems.append(replace(picture, name=entry.name))
                continue
            found = _usable_box(entry, picture, classes, problems, entry.name in named)
            if found is None:
                continue
            samples.append(found)
            if picture.nbytes <= room:
                kept[entry.name] = picture
                room -= picture.nbytes
    return samples, problems, kept


def _paths(entries: Sequence[Entry]) -> list[Path]:
    return [entry.path for entry in entries]


def _try_decode(path: Path) -> Picture | Problem:
    if not is_file(path):
        return Problem("", "missing", f"there is no image {path}")
    try:
        return decode(path)
    except IMAGE_ERRORS as error:
        return Problem("", "unreadable", f"not a readable image: {error or type(error).__name__}")


def _usable_box(
    entry: Entry, picture: Picture, classes: Sequence[str], problems: list[Problem], told: bool
) -> Sample | None:
    """The sample with its largest usable box; None, with the problem noted, where it has none."""
    height, width = picture.shape[:2]
    good: list[tuple[float, str, Box]] = []
    chosen = chosen_boxes(entry, classes)
    for label, box in chosen:
        reason = _box_fault(box, width, height)
        if reason:
            problems.append(Problem(entry.name, "box", reason))
            continue
        clipped: Any = tuple(
            min(max(value, 0.0), float(side))
            for value, side in zip(box, (width, height, width, height), strict=True)
        )
        good.append(((box[2] - box[0]) * (box[3] - box[1]), label, clipped))
    if not good:
        if not chosen and not told:
            problems.append(Problem(entry.name, "no box", _no_box(entry, classes)))
        return None
    _, label, box = max(good, key=lambda item: item[0])
    return Sample(entry.name, entry.path, width, height, box, label, entry.scene)


def _no_box(entry: Entry, classes: Sequence[str]) -> str:
    if entry.boxes and classes:
        return f"no box of class {', '.join(classes)}"
    return "no box"


def _box_fault(box: Box, width: int, height: int) -> str | None:
    xmin, ymin, xmax, ymax = box
    text = f"box ({xmin:g}, {ymin:g}, {xmax:g}, {ymax:g})"
    if xmax <= xmin or ymax <= ymin:
        return f"{text} is empty"
    if min(xmin, ymin) < -SLACK or xmax > width + SLACK or ymax > height + SLACK:
        return f"{text} stands out of the image of {width} x {height} pixels"
    if xmin >= width or ymin >= height or xmax <= 0 or ymax <= 0:
        return f"{text} lies outside the image of {width} x {height} pixels"
    return None


def chosen_boxes(entry: Entry, classes: Sequence[str]) -> list[tuple[str, Box]]:
    """An entry's boxes of the classes; all where none is named."""
    return [item for item in entry.boxes if not classes or item[0] in classes]


def thread_count() -> int:
    """Threads that decode images."""
    return min(4, os.cpu_count() or 1)
