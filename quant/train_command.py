"""``tandem train``: from a design and labelled images to an integer network."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from rich.console import RenderableType

from model import console
from model.design import Design, load_design
from model.errors import TandemError
from model.network_file import write_atomically
from model.tables import facts, headline, share
from quant.settings import STAGES, TrainSettings, read_settings


@dataclass(frozen=True)
class TrainArguments:
    """What the command line says."""

    design: Path
    data: str
    val: str | None
    out: Path
    settings: Path | None
    resume: bool
    epochs: int | None
    stage: str
    start: Path | None
    teacher: Path | None


def train_command(arguments: TrainArguments, as_json: bool) -> int:
    """Train, write, print, return the exit status."""
    design = load_design(arguments.design)
    settings = chosen_settings(arguments)
    check_trainable(design)
    try:
        from quant.train_run import train_from_files  # noqa: PLC0415  (loads torch)
    except ImportError as error:
        raise TandemError(
            f"training needs the [quant] extra ({error}): pip install 'tandem-codesign[quant]'"
        ) from error
    stages = STAGES if arguments.stage == "all" else (arguments.stage,)
    result = train_from_files(
        design, arguments.data, arguments.val, arguments.out, settings, stages, arguments.resume
    )
    write_atomically(arguments.out / "result.json", (json.dumps(result, indent=1) + "\n").encode())
    if as_json:
        console.put_json(result)
    else:
        console.put(*describe(result))
    return console.HELD


def chosen_settings(arguments: TrainArguments) -> TrainSettings:
    """The settings file with what the command line changes."""
    if arguments.stage not in (*STAGES, "all"):
        raise TandemError(f"--stage {arguments.stage}: must be one of {', '.join(STAGES)}, all")
    settings = read_settings(arguments.settings)
    if arguments.epochs is not None:
        stages = STAGES if arguments.stage == "all" else (arguments.stage,)
        settings = settings.with_epochs(arguments.epochs, stages)
    start = settings.start
    if arguments.start is not None:
        start = replace(start, weights=str(arguments.start))
    if arguments.teacher is not None:
        start = replace(start, teacher=str(arguments.teacher))
    return replace(settings, start=start)


def check_trainable(design: Design) -> None:
    """Refuse a design that boxes cannot be learned with. TandemError."""
    if design.network.channels != 3:
        raise TandemError(
            f"{design.path or design.name}: network.channels = {design.network.channels}: training "
            "needs 3, images are RGB"
        )


def describe(result: Mapping[str, Any]) -> Iterator[RenderableType]:
    """The result for people."""
    yield headline(f"{result['design']}: mean IoU {result['mean_iou']:.4f}")
    yield facts(_facts(result))


def _facts(result: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for level in ("float", "qat", "integer"):
        if result[f"{level}_iou"] is not None:
            yield f"mean IoU, {level}", f"{result[f'{level}_iou']:.4f}"
    yield "validation", f"{result['val_images']} images, {result['val']}"
    yield "training", f"{result['train_images']} images, {result['data']}"
    if result["start"]:
        note = f"first {result['warm_bundles']} bundles of {result['start']}"
        yield "started from", note
    for name, stage in result["stages"].items():
        speed = (
            f", {stage['images_per_second']:.1f} images/s, {share(stage['wait_share'])} of the "
            "time waiting for data"
            if stage["images_per_second"]
            else ""
        )
        yield (
            f"{name} stage",
            f"best after epoch {stage['best_epoch']} of {stage['epochs']}{speed}",
        )
    yield "written to", result["network"] or result["out"]
