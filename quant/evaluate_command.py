"""``tandem evaluate``: the boxes that a network finds, and how well they fit.

The metric: of each image the single most confident box, clipped to the image and rounded to whole
pixels, max exclusive; the mean over the images of its intersection over union with the true box.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from rich.console import RenderableType

from model import console
from model.design import Design, load_design
from model.detection import BoxHead, Detection, PixelBox, clip, iou, to_pixels
from model.errors import TandemError
from model.functional import run_head
from model.image import from_pixels
from model.integer_network import IntegerNetwork, Integers, check_accumulators
from model.network_file import load_network
from model.tables import facts, headline
from quant.augment import plain
from quant.contact_sheet import Tile, make_folder, write_sheets
from quant.dataset import Dataset, load_dataset
from quant.train_log import bar

LEVELS = ("float", "functional", "rtl")
WORKERS = 2  # images at a time; their matrix products use further cores
METRIC = "most confident box, clipped, rounded to pixels, max exclusive"


class Head(Protocol):
    """The RTL's answer for an image."""

    accumulators: Integers
    differing: int  # from the functional level


RunRtl = Callable[[Design, IntegerNetwork, Sequence[Integers], Path], Iterator[Any]]  # of Head
Answer = tuple[Detection, int]  # what was found, values that differ between levels


@dataclass(frozen=True)
class Evaluation:
    """What to evaluate; the RTL's files are written below ``out``."""

    design: Path
    network: Path
    data: str
    level: str = "functional"
    limit: int | None = None  # images, the first ones
    on_bad: str = "refuse"
    classes: tuple[str, ...] = ()
    seed: int = 1  # of synthetic scenes
    pictures: Path | None = None
    out: Path = Path("build")


@dataclass(frozen=True)
class Evaluated:
    """Boxes by image name, in the pixels of the image."""

    asked: Evaluation
    design: Design
    dataset: Dataset
    boxes: dict[str, PixelBox]
    ious: dict[str, float]
    unrounded_iou: float  # mean, of the boxes clipped but not rounded
    differing: int | None  # RTL: accumulators that differ from the functional level
    seconds: float

    @property
    def mean_iou(self) -> float:
        """Over all images evaluated."""
        return sum(self.ious.values()) / len(self.ious)

    def record(self) -> dict[str, Any]:
        """For JSON: the keys of ``tandem evaluate``."""
        report = self.dataset.report
        record = {
            "design": self.design.name,
            "network": str(self.asked.network),
            "data": self.asked.data,
            "level": self.asked.level,
            "metric": METRIC,
            "mean_iou": self.mean_iou,
            "mean_iou_unrounded": self.unrounded_iou,
            "images": len(self.boxes),
            "listed": report.listed,
            "skipped": report.skipped,
            "problems": report.counts,
            "seconds": self.seconds,
            "images_per_second": len(self.boxes) / self.seconds,
            "boxes": {name: list(box) for name, box in self.boxes.items()},
            "ious": self.ious,
        }
        if self.differing is not None:
            record["value_mismatches"] = self.differing
        return record


def evaluate_command(asked: Evaluation, run_rtl: RunRtl, as_json: bool) -> int:
    """Evaluate, print, return the exit status: 1 where the RTL differs from the model."""
    if asked.pictures is not None:
        make_folder(asked.pictures)  # now, not after an hour of work
    found = evaluate(asked, run_rtl)
    sheets = []
    if asked.pictures is not None:
        sheets = write_sheets(list(tiles(found)), asked.pictures)
    if as_json:
        console.put_json(found.record())
    else:
        console.put(*describe(found, sheets))
    return console.FAILED if found.differing else console.HELD


def evaluate(asked: Evaluation, run_rtl: RunRtl) -> Evaluated:
    """Find a box in every image. TandemError: design, network or data are wrong."""
    if asked.level not in LEVELS:
        raise TandemError(f"--level {asked.level}: must be one of {', '.join(LEVELS)}")
    design = load_design(asked.design)
    if design.network.channels != 3:
        raise TandemError(
            f"{asked.design}: network.channels = {design.network.channels}: images have 3"
        )
    answer = _answerer(asked, design, run_rtl)  # before the data: a wrong network is told at once
    dataset = load_dataset(asked.data, asked.on_bad, asked.classes, asked.seed)
    for line in dataset.report.lines():
        console.progress(line)
    if asked.limit is not None:
        dataset = dataset.subset(range(min(asked.limit, len(dataset))))
    started = time.perf_counter()
    boxes: dict[str, PixelBox] = {}
    unrounded = 0.0
    differing = 0
    answers = bar(answer(dataset), len(dataset), f"{asked.level} level")
    for sample, (detection, wrong) in zip(dataset.samples, answers, strict=True):
        boxes[sample.name] = to_pixels(detection.box, sample.width, sample.height)
        unrounded += iou(clip(detection.box, sample.width, sample.height), sample.box)
        differing += wrong
    ious = {sample.name: iou(boxes[sample.name], sample.box) for sample in dataset.samples}
    seconds = time.perf_counter() - started
    told = differing if asked.level == "rtl" else None
    mean = unrounded / len(dataset)
    return Evaluated(asked, design, dataset, boxes, ious, mean, told, seconds)


def _answerer(
    asked: Evaluation, design: Design, run_rtl: RunRtl
) -> Callable[[Dataset], Iterator[Answer]]:
    """How a data set is answered at the level asked for."""
    if asked.level == "float":
        from quant.float_level import float_detections  # noqa: PLC0415  (loads torch)

        detect = float_detections(asked.network, design)
        return lambda dataset: ((found, 0) for found in detect(dataset))
    network = load_network(asked.network, design)
    check_accumulators(network, design)
    head = network.head
    if head is None:
        raise TandemError(
            f"{asked.network}: its manifest has no box head, so its values cannot be read as boxes"
        )
    if asked.level == "functional":
        return lambda dataset: _functional(design, network, head, dataset)
    return lambda dataset: _rtl(asked, design, network, head, dataset, run_rtl)


def _functional(
    design: Design, network: IntegerNetwork, head: BoxHead, dataset: Dataset
) -> Iterator[Answer]:
    def answer(index: int) -> Answer:
        return head.detect(run_head(design, network, input_image(dataset, index, design))), 0

    with ThreadPoolExecutor(WORKERS) as pool:
        try:
            yield from pool.map(answer, range(len(dataset)))
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


def _rtl(
    asked: Evaluation,
    design: Design,
    network: IntegerNetwork,
    head: BoxHead,
    dataset: Dataset,
    run_rtl: RunRtl,
) -> Iterator[Answer]:
    images = [input_image(dataset, index, design) for index in range(len(dataset))]
    for found in run_rtl(design, network, images, asked.out.resolve()):
        yield head.detect(found.accumulators), found.differing


def input_image(dataset: Dataset, index: int, design: Design) -> Integers:
    """An image as the network takes it: resized by nearest neighbour, F bits, (3, H, W)."""
    size = (design.network.height, design.network.width)
    return from_pixels(plain(dataset.image(index), size), design)


def tiles(found: Evaluated) -> Iterator[Tile]:
    """One a picture, for contact sheets."""
    for index, sample in enumerate(found.dataset.samples):
        caption = f"{sample.name}  IoU {found.ious[sample.name]:.2f}"
        box = found.boxes[sample.name]
        yield Tile(found.dataset.image(index), sample.box, box, caption)


def describe(found: Evaluated, sheets: Sequence[Path]) -> Iterator[RenderableType]:
    """The result for people."""
    yield headline(
        f"{found.design.name}, {found.asked.level} level: mean IoU {found.mean_iou:.5f}",
        not found.differing,
    )
    yield facts(_facts(found, sheets))


def _facts(found: Evaluated, sheets: Sequence[Path]) -> Iterator[tuple[str, str]]:
    report = found.dataset.report
    yield "network", str(found.asked.network)
    images = f"{len(found.boxes)} images of {found.asked.data}"
    yield "data", images + (f", {report.skipped} skipped" if report.skipped else "")
    yield "metric", METRIC
    yield "mean IoU unrounded", f"{found.unrounded_iou:.5f}"
    half = sum(value >= 0.5 for value in found.ious.values())
    yield "IoU of 0.5 or more", f"{half} of {len(found.ious)}"
    yield "time", f"{found.seconds:.1f} s, {found.seconds / len(found.boxes):.2f} s an image"
    if found.differing is not None:
        yield "RTL against functional level", f"{found.differing} values differ"
    if sheets:
        yield "pictures", f"{sheets[0]}{' ...' if len(sheets) > 1 else ''}"
