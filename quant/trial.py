"""One trial of a search: a design trained by given settings, as a task that JSON describes.

A trial depends on its payload alone: one thread, seeds of its own, views of the images that follow
from seed and number. So it gives the same network on any worker, killed and resumed or not. What it
says while it runs goes to ``log.txt`` in its folder.
"""

from __future__ import annotations

import contextlib
import csv
import hashlib
import json
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from model.design import design_from_dict
from model.errors import TandemError
from quant.settings import TrainSettings, settings_from_dict
from quant.train_log import EpochRecord

Tick = Callable[[dict[str, Any]], None]
LOG, HISTORY = "log.txt", "history.csv"


@dataclass(frozen=True)
class Trial:
    """What decides a trial's result, plain values only."""

    design: Mapping[str, Any]  # tables of the design file
    data: str  # labelled images, as ``tandem train --data`` takes them
    val: str
    settings: Mapping[str, Any]  # tables of a settings file
    stages: tuple[str, ...]  # "float", "qat"
    data_digest: str = ""  # of the images; so that other data under the same name is other data
    start: str = ""  # weights
    teacher: str = ""

    @property
    def payload(self) -> dict[str, Any]:
        """For :func:`run_trial`."""
        plain: dict[str, Any] = json.loads(json.dumps(vars(self)))
        return plain

    @property
    def key(self) -> str:
        """16 hex digits of everything that decides the result; the design's name does not."""
        found = self.payload
        found["design"].pop("name")
        # Cycles are not learned: of the accelerator only the sums' width can matter.
        accelerator = found["design"].pop("accelerator")
        found["accumulator_bits"] = accelerator["accumulator_bits"]
        text = json.dumps(found, sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:16]


def trial_settings(payload: Mapping[str, Any]) -> TrainSettings:
    """The settings of a payload: one thread, no TensorBoard, weights and teacher as it says.

    Where weights are inherited and no rates are given, what is inherited learns slowly. TandemError
    for unknown or wrong settings.
    """
    settings = settings_from_dict(payload["settings"], "training settings of the search")
    start = settings.start
    weights = (str(payload.get("start", "")) if start.inherit else "") or start.weights
    start = replace(
        start,
        weights=weights,
        inherit=bool(weights) and start.inherit,
        teacher=str(payload.get("teacher", "")) or start.teacher,
    )
    settings = replace(
        settings, start=start, run=replace(settings.run, threads=1, tensorboard=False)
    )
    if start.inherit and not settings.float.rates:
        from quant.inherit import inherited_rates  # noqa: PLC0415  (loads torch)

        network = design_from_dict(payload["design"], "trial").network
        rates = tuple(inherited_rates(network))
        settings = replace(
            settings,
            float=replace(settings.float, rates=rates),
            qat=settings.qat if settings.qat.rates else replace(settings.qat, rates=()),
        )
    return settings


def run_trial(payload: dict[str, Any], folder: Path, tick: Tick) -> dict[str, Any]:
    """Train one design in ``folder``, from its last checkpoint where there is one.

    ``payload``: of :class:`Trial`, and ``cache``, a folder that all trials share, or None. ``tick``
    is called after every epoch with ``stage``, ``epoch``, ``epochs``, ``mean_iou``, ``loss``.
    Returns ``mean_iou``, ``float_iou``, ``qat_iou``, ``integer_iou``, ``network`` (file of the
    integer network in ``folder``, None without the qat stage), ``history``, ``inherited``
    (bundles), ``seconds`` (of this attempt), ``train_images``, ``val_images``. TandemError for
    what a user can mend.
    """
    try:
        from quant.train_run import Request, Run, read_data  # noqa: PLC0415  (loads torch)
    except ImportError as error:
        raise TandemError(
            f"training needs the [quant] extra ({error}): pip install 'tandem-codesign[quant]'"
        ) from error
    design = design_from_dict(payload["design"], "trial")
    settings = trial_settings(payload)
    stages = tuple(payload["stages"])

    def report(record: EpochRecord, epochs: int) -> None:
        seen = {
            "stage": record.stage,
            "epoch": record.epoch,
            "epochs": epochs,
            "mean_iou": record.mean_iou if math.isfinite(record.mean_iou) else None,
            "loss": record.loss,
        }
        tick(seen)

    folder.mkdir(parents=True, exist_ok=True)
    started = time.perf_counter()
    with (folder / LOG).open("a", encoding="utf-8") as log, contextlib.redirect_stderr(log):
        train, val, _ = read_data(payload["data"], payload["val"], settings)
        cache = payload.get("cache")
        request = Request(
            design, train, val, folder, settings, stages, resume=True,
            cache=Path(cache) if cache else None, report=report,
        )  # fmt: skip
        run = Run(request)
        found = run.run()
    return {
        "mean_iou": found.mean_iou,
        "float_iou": found.float_iou,
        "qat_iou": found.qat_iou,
        "integer_iou": found.integer_iou,
        "network": found.network.name if found.network else None,
        "history": read_history(folder),
        "inherited": found.warm_bundles,
        "seconds": time.perf_counter() - started,
        "train_images": len(train),
        "val_images": len(val),
    }


def read_history(folder: Path) -> list[dict[str, Any]]:
    """Every epoch of a trial, those before it was resumed too; no IoU where none was taken."""
    with (folder / HISTORY).open(encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream))
    found = []
    for row in rows:
        iou = float(row["mean_iou"])
        found.append(
            {
                "stage": row["stage"],
                "epoch": int(row["epoch"]),
                "loss": float(row["loss"]),
                "mean_iou": iou if math.isfinite(iou) else None,
            }
        )
    return found
