"""Labelled images: one box each, checked, with a report of everything that could not be used."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from model.detection import Box
from model.errors import TandemError
from model.scene import draw_scene
from quant.annotations import Entry, Listing, Problem, is_file, read_coco, read_csv, read_voc

ON_BAD = ("refuse", "skip")
PIXELS_MAX = 1 << 26  # of one image; beyond it memory is at stake
CACHE_BYTES = 640 << 20  # decoded images kept in memory
SLACK = 0.5  # pixels that a box may stand out, from rounding: clipped
NAMED = 3  # problems named in one sentence
SYNTHETIC = "synthetic:"
IMAGE_ERRORS = (OSError, ValueError, SyntaxError, EOFError, MemoryError, OverflowError, KeyError,
                IndexError, TypeError, Image.DecompressionBombError)  # fmt: skip

FORMATS = ("JPEG", "PNG", "BMP", "PPM", "TIFF", "WEBP")  # read in this process, by no other tool

Picture = NDArray[np.uint8]  # (height, width, 3), RGB


@dataclass(frozen=True)
class Sample:
    """An image and its box."""

    name: str  # as the annotations write it
    path: Path
    width: int
    height: int
    box: Box  # pixels of the image, max exclusive
    label: str = ""
    scene: str | None = None  # images of one scene are never split; None: not told

    @property
    def shares(self) -> Box:
        """The box in shares of width and height."""
        sides = (self.width, self.height, self.width, self.height)
        xmin, ymin, xmax, ymax = (v / s for v, s in zip(self.box, sides, strict=True))
        return xmin, ymin, xmax, ymax


@dataclass(frozen=True)
class Report:
    """What became of the images of a data set."""

    source: str
    listed: int
    used: int
    several: int = 0  # images with several boxes, of which the largest is used
    problems: tuple[Problem, ...] = ()
    empty_classes: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def skipped(self) -> int:
        """Images listed and not used."""
        return self.listed - self.used

    @property
    def counts(self) -> dict[str, int]:
        """Problems of each kind."""
        return dict(Counter(problem.kind for problem in self.problems))

    def lines(self) -> Iterator[str]:
        """Everything, in words: each problem by file name, the counts at the end."""
        yield from map(str, self.problems)
        yield from self.notes
        if self.empty_classes:
            yield f"classes without a box: {', '.join(self.empty_classes)}"
        if self.several:
            images = "image has" if self.several == 1 else "images have"
            yield f"{self.several} {images} several boxes: the largest is used"
        counts = ", ".join(f"{count} {kind}" for kind, count in self.counts.items())
        bad = f", {self.skipped} skipped ({counts})" if self.problems else ""
        yield f"{self.source}: {self.used} of {self.listed} images used{bad}"


@dataclass(frozen=True, eq=False)
class Dataset:
    """Samples in a fixed order; ``image`` decodes, or remembers where memory allows."""

    samples: tuple[Sample, ...]
    report: Report
    read: Callable[[Sample], Picture]
    _kept: dict[str, Picture] = field(default_factory=dict, repr=False)  # by name, read only

    def __len__(self) -> int:
        return len(self.samples)

    def image(self, index: int) -> Picture:
        """An image, uint8 (height, width, 3), RGB, read only. TandemError names the file."""
        sample = self.samples[index]
        kept = self._kept.get(sample.name)
        if kept is not None:
            return kept
        try:
            return self.read(sample)
        except IMAGE_ERRORS as error:
            raise TandemError(f"{sample.path}: cannot be read any more: {error}") from error

    def subset(self, indices: Sequence[int]) -> Dataset:
        """Some of the samples, in the order given, sharing the images in memory."""
        return replace(self, samples=tuple(self.samples[index] for index in indices))

    def keep_images(self, limit_bytes: int = CACHE_BYTES) -> bool:
        """Decode all and keep them where they fit in ``limit_bytes``; were they kept?"""
        if sum(s.width * s.height * 3 for s in self.samples) > limit_bytes:
            return False
        missing = [i for i, s in enumerate(self.samples) if s.name not in self._kept]
        with ThreadPoolExecutor(_threads()) as pool:
            for index, picture in zip(missing, pool.map(self.image, missing), strict=True):
                self._kept[self.samples[index].name] = picture
        return True


def load_dataset(
    path: str | Path,
    on_bad: str = "refuse",
    classes: Sequence[str] = (),
    seed: int = 1,
) -> Dataset:
    """Labelled images from a CSV file, a folder of Pascal VOC files or a COCO JSON file.

    ``synthetic:N`` draws N scenes of ``seed`` instead. ``on_bad`` says what becomes of images that
    cannot be used: "refuse" names them in a TandemError, "skip" goes on without them; the report
    lists them. ``classes`` keeps the boxes of those classes. Of several boxes the largest is used.
    Every image is decoded once, so that the report is complete. TandemError where no image is left.
    """
    if on_bad not in ON_BAD:
        raise TandemError(f'on_bad = "{on_bad}" must be one of {", ".join(ON_BAD)}')
    if str(path).startswith(SYNTHETIC):
        return synthetic_dataset(_scene_count(str(path)), seed)
    path = Path(path)
    listing = _read_listing(path)
    empty = _check_classes(listing, classes)
    samples, problems, kept = _check_images(listing, classes)
    report = Report(
        source=str(path),
        listed=len(listing.entries),
        used=len(samples),
        several=sum(len(_chosen(listing.entries[s.name], classes)) > 1 for s in samples),
        problems=tuple(problems),
        empty_classes=empty,
        notes=tuple(listing.notes),
    )
    if problems and on_bad == "refuse":
        raise TandemError(_refusal(report))
    if not samples:
        raise TandemError(f"{path}: no image is left to use{_reasons(problems)}")
    return Dataset(tuple(samples), report, read_image, kept)


def synthetic_dataset(count: int, seed: int, height: int = 360, width: int = 640) -> Dataset:
    """``count`` generated scenes. Each is a scene of its own."""
    samples: list[Sample] = []
    kept: dict[str, Picture] = {}
    for index in range(count):
        scene = draw_scene(seed, index, height, width)
        name = f"scene{index:05}"
        xmin, ymin, xmax, ymax = map(float, scene.box)
        path = Path(f"synthetic-{seed}") / name
        box = (xmin, ymin, xmax, ymax)
        samples.append(Sample(name, path, width, height, box, scene.kind, name))
        if (index + 1) * scene.image.nbytes <= CACHE_BYTES:
            scene.image.flags.writeable = False
            kept[name] = scene.image
    report = Report(f"{SYNTHETIC}{count}", count, count)
    return Dataset(tuple(samples), report, SceneReader(seed), kept)


@dataclass(frozen=True)
class SceneReader:
    """Draws the scene of a sample."""

    seed: int

    def __call__(self, sample: Sample) -> Picture:
        """The scene that the sample's name numbers."""
        index = int(sample.name.removeprefix("scene"))
        return draw_scene(self.seed, index, sample.height, sample.width).image


def read_image(sample: Sample) -> Picture:
    """The decoded image of a sample. One of ``IMAGE_ERRORS`` where it cannot be."""
    return decode(sample.path)


def decode(path: Path) -> Picture:
    """An image file as uint8 (height, width, 3), RGB, as stored: no rotation is applied.

    One of ``IMAGE_ERRORS`` where it is not a whole image or larger than ``PIXELS_MAX``.
    """
    with Image.open(path, formats=FORMATS) as picture:
        if picture.width * picture.height > PIXELS_MAX:
            raise ValueError(f"{picture.width} x {picture.height} pixels are more than this reads")
        found: Picture = np.array(picture.convert("RGB"), dtype=np.uint8)
    found.flags.writeable = False
    return found


def _read_listing(path: Path) -> Listing:
    if path.is_dir():
        if not any(path.rglob("*.xml")):
            raise TandemError(
                f"{path}: the folder holds no .xml file of Pascal VOC: name a .csv or .json file"
            )
        return read_voc(path)
    readers = {".csv": read_csv, ".json": read_coco}
    reader = readers.get(path.suffix.lower())
    if reader is None:
        raise TandemError(
            f"{path}: data is read from a .csv file, a COCO .json file, a folder of Pascal VOC "
            f".xml files, or {SYNTHETIC}N"
        )
    if not is_file(path):
        raise TandemError(f"{path}: there is no such file")
    return reader(path)


def _check_classes(listing: Listing, classes: Sequence[str]) -> tuple[str, ...]:
    """Classes without a box. TandemError where a class asked for does not exist."""
    boxes = Counter(label for entry in listing.entries.values() for label, _ in entry.boxes)
    known = dict.fromkeys([*listing.classes, *(name for name in boxes if name)])
    for name in classes:
        if name not in known:
            have = f"its classes are {', '.join(known)}" if known else "its boxes have no classes"
            raise TandemError(f'{listing.source}: no class is named "{name}", {have}')
    return tuple(name for name in known if not boxes[name])


def _chosen(entry: Entry, classes: Sequence[str]) -> list[tuple[str, Box]]:
    return [item for item in entry.boxes if not classes or item[0] in classes]


def _check_images(
    listing: Listing, classes: Sequence[str]
) -> tuple[list[Sample], list[Problem], dict[str, Picture]]:
    """Samples that can be used, problems in the order of the images, decoded images that fit."""
    samples: list[Sample] = []
    problems = list(listing.problems)
    kept: dict[str, Picture] = {}
    room = CACHE_BYTES
    entries = list(listing.entries.values())
    named = {problem.name for problem in problems}
    with ThreadPoolExecutor(_threads()) as pool:
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
    chosen = _chosen(entry, classes)
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


def _refusal(report: Report) -> str:
    count = len(report.problems)
    what = "problem" if count == 1 else "problems"
    return (
        f"{report.source}: {count} {what} in {report.listed} images{_reasons(report.problems)}: "
        "mend the data, or leave such images out with --on-bad skip"
    )


def _reasons(problems: Sequence[Problem]) -> str:
    if not problems:
        return ""
    more = f"; and {len(problems) - NAMED} more" if len(problems) > NAMED else ""
    return f" ({'; '.join(str(problem) for problem in problems[:NAMED])}{more})"


def _scene_count(text: str) -> int:
    number = text.removeprefix(SYNTHETIC)
    if not number.isdigit() or not 0 < int(number) <= 1_000_000:
        raise TandemError(f"{text}: write {SYNTHETIC}N with N from 1 to 1000000")
    return int(number)


def _threads() -> int:
    return min(4, os.cpu_count() or 1)
