"""Labelled images: one box each, checked, with a report of everything that could not be used."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path

from model.errors import TandemError
from model.scene import draw_scene
from quant.annotations import Listing, Problem, is_file, read_coco, read_csv, read_voc
from quant.image_checks import check_images, chosen_boxes, thread_count
from quant.sample import IMAGE_ERRORS, Picture, Sample, decode

ON_BAD = ("refuse", "skip")
CACHE_BYTES = 640 << 20  # decoded images kept in memory
NAMED = 3  # problems named in one sentence
SYNTHETIC = "synthetic:"


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
        with ThreadPoolExecutor(thread_count()) as pool:
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
    samples, problems, kept = check_images(listing, classes, CACHE_BYTES)
    report = Report(
        source=str(path),
        listed=len(listing.entries),
        used=len(samples),
        several=sum(len(chosen_boxes(listing.entries[s.name], classes)) > 1 for s in samples),
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
