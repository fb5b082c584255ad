"""A training run: float stage, quantised stage, integer network, and what each scores."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from model.console import progress
from model.design import Design
from model.detection import PixelBox
from model.errors import TandemError
from model.network_file import write_atomically
from quant.batches import PLAIN, BatchSource, record_type, split, stack
from quant.checkpoint import check_design, design_facts, load_checkpoint, load_last
from quant.dataset import Dataset, load_dataset
from quant.feature_cache import FeatureCache, plan_cache
from quant.memory import keep_memory
from quant.network import DetectionNetwork, build_network, normalise
from quant.pictures import Labelled, data_digest
from quant.scoring import Scorer
from quant.settings import (
    STAGES,
    TrainSettings,
    settings_differences,
    settings_from_dict,
    settings_text,
    settings_to_dict,
)
from quant.split import split_by_scene
from quant.starting import (
    inherit_from,
    load_teacher,
    make_folder,
    remove_stages,
    start_from,
    take_float,
)
from quant.train_log import EpochRecord, TrainLog
from quant.train_state import arrays_digest, load_module, module_arrays
from quant.trainee import Machine, QuantisedTrainee, Trainee, pick_machine
from quant.training import Stage, StageResult, stage_paths

MEASURED_IMAGES = 32  # on which batch norm is measured where inherited weights were cut


@dataclass(frozen=True)
class Request:
    """What is to be trained, on what, into which folder."""

    design: Design
    train: Dataset
    val: Dataset
    out: Path
    settings: TrainSettings
    stages: tuple[str, ...] = STAGES
    resume: bool = False
    cache: Path | None = None  # shared by several runs, which leave each other's views alone
    report: Callable[[EpochRecord, int], None] | None = None  # after every epoch, of how many


@dataclass(frozen=True)
class RunResult:
    """What came out; None where a stage was not asked for."""

    float_iou: float | None
    qat_iou: float | None
    integer_iou: float | None
    boxes: Mapping[str, PixelBox]  # of the last level that was reached
    network: Path | None  # the integer network
    warm_bundles: int
    stages: Mapping[str, StageResult]

    @property
    def mean_iou(self) -> float:
        """Of the last level that was reached."""
        found = [v for v in (self.integer_iou, self.qat_iou, self.float_iou) if v is not None]
        return found[0]


class Run:
    """One run in its folder."""

    def __init__(self, request: Request) -> None:
        self.request = request
        self.settings = request.settings
        self.design = request.design
        self.facts = design_facts(request.design)
        keep_memory()
        run = request.settings.run
        self.machine = pick_machine(run.device, run.mixed_precision)
        if run.threads:
            torch.set_num_threads(run.threads)
        net = request.design.network
        size = (net.height, net.width)
        data = request.settings.data
        self.train = Labelled(request.train, size, data, request.settings.run.seed)
        self.val = Labelled(request.val, size, data, request.settings.run.seed)
        self.data = {"train": data_digest(request.train), "val": data_digest(request.val)}
        self.warm_bundles = 0
        self.results: dict[str, StageResult] = {}

    def run(self) -> RunResult:
        """Train the stages asked for. TandemError for everything that a user can mend."""
        request = self.request
        torch.manual_seed(self.settings.run.seed)
        network = build_network(self.design, self.settings.start.activation)
        teacher = load_teacher(self.settings.start.teacher, network)
        if teacher is not None:
            self.machine.place(teacher)
        make_folder(request.out)
        write_atomically(request.out / "settings.toml", settings_text(self.settings).encode())
        if not request.resume:
            remove_stages(request.out, request.stages)
        log = TrainLog(request.out, self.settings.run.tensorboard, request.report)
        float_iou = qat_iou = integer_iou = None
        boxes: Mapping[str, PixelBox] = {}
        path: Path | None = None
        try:
            if "float" in request.stages:
                float_iou, boxes = self._float(network, teacher, log)
            if "qat" in request.stages:
                take_float(network, self.design, request.out, self.settings.start.weights)
                qat_iou, integer_iou, boxes, path = self._qat(network, teacher, log)
        finally:
            log.close()
        return RunResult(
            float_iou, qat_iou, integer_iou, boxes, path, self.warm_bundles, self.results
        )

    def _float(
        self, network: DetectionNetwork, teacher: DetectionNetwork | None, log: TrainLog
    ) -> tuple[float, Mapping[str, PixelBox]]:
        start = self.settings.start
        if start.weights and start.inherit:
            seed = self.settings.run.seed
            self.warm_bundles = inherit_from(start.weights, network, seed, self._measured_on())
        else:
            self.warm_bundles = start_from(start.weights, network)
        if start.fold:
            network.fold_batch_norm()
        settings = self.settings.float
        trainee = Trainee(
            network, self.design.feature_bits, settings.frozen_bundles, self.machine, teacher,
            settings.frozen_batch_norm or start.fold,
        )  # fmt: skip
        self.train_stage("float", trainee, log, arrays_digest(module_arrays(network)))
        return self.score_best("float", trainee)

    def _measured_on(self) -> Iterator[torch.Tensor]:
        """Training images, evenly taken, without augmentation, for batch norm."""
        count = min(MEASURED_IMAGES, len(self.train))
        chosen = np.linspace(0, len(self.train) - 1, count).astype(int)
        for group in split(chosen, 8):
            images, _ = stack([self.train.view(int(index), PLAIN) for index in group])
            yield normalise(images, self.design.feature_bits)

    def _qat(
        self, network: DetectionNetwork, teacher: DetectionNetwork | None, log: TrainLog
    ) -> tuple[float, float, Mapping[str, PixelBox], Path]:
        # Loads Brevitas, which the float stage does without.
        from quant.train_qat import (  # noqa: PLC0415
            export_network,
            export_onnx,
            integer_score,
            starting_network,
        )

        resumed = self.request.resume and stage_paths(self.request.out, "qat")[0].is_file()
        digest = arrays_digest(module_arrays(network))
        quantised = starting_network(
            network, self.design, self.train, self.settings, calibrated=not resumed
        )
        # Half precision cannot tell the whole numbers apart.
        machine = Machine(self.machine.device, None)
        trainee = QuantisedTrainee(
            quantised, self.design.feature_bits, self.settings.qat.frozen_bundles, machine, teacher
        )
        self.train_stage("qat", trainee, log, digest)
        qat_iou, _ = self.score_best("qat", trainee)
        path = self.request.out / f"{self.design.name}.npz"
        exported = export_network(quantised, self.design, path)
        if self.settings.qat.qonnx:
            export_onnx(exported, self.design, self.val, path.with_suffix(".onnx"))
        progress(f"{path}: the integer network; its score at the functional level follows")
        integer_iou, boxes = integer_score(exported.integers, self.design, self.val)
        return qat_iou, integer_iou, boxes, path

    def train_stage(self, name: str, trainee: Trainee, log: TrainLog, started_from: str) -> None:
        """Train a stage, from its last checkpoint where the run is resumed and there is one.

        ``started_from`` is a digest of the weights that the stage begins with.
        """
        settings = self.settings.stage(name)
        out = self.request.out
        data = self.settings.data
        cached = data.cache and data.views > 0 and settings.epochs > 0
        self.request.train.keep_images()
        self.request.val.keep_images()
        cache = self._cache(name, trainee, self.train, data.views) if cached else None
        source = BatchSource(
            self.train, trainee, settings.batch_size, self.settings.run.seed, data.views,
            data.workers, cache,
        )  # fmt: skip
        kept = self._cache(f"{name}_val", trainee, self.val, 1)
        scorer = Scorer(self.val, settings.batch_size, data.workers, kept)
        facts = {
            "data": self.data,
            "started_from": started_from,
            "settings": settings_to_dict(self.settings),
            "activation": self.settings.start.activation,
            "warm_bundles": self.warm_bundles,
        }
        stage = Stage(
            name, trainee, source, lambda t: scorer.score(t)[0], self.settings, out, self.facts,
            facts,
        )  # fmt: skip
        if self.request.resume and stage.last.is_file():
            self._check_resumed(stage.last)
            if note := stage.resume():
                progress(note)
            progress(f"{name}: going on after epoch {stage.position.epoch}")
        self.results[name] = stage.run(log)

    def score_best(self, name: str, trainee: Trainee) -> tuple[float, Mapping[str, PixelBox]]:
        """Load the best network of a stage and score it without any cache."""
        path = stage_paths(self.request.out, name)[1]
        with torch.no_grad():
            load_module(trainee.module, load_checkpoint(path).part("model"), str(path))
        trainee.eval()
        settings = self.settings.stage(name)
        scorer = Scorer(self.val, settings.batch_size, self.settings.data.workers, None)
        return scorer.score(trainee)

    def _cache(self, name: str, trainee: Trainee, pictures: Labelled, views: int) -> FeatureCache:
        net = self.design.network
        decides = {
            "data": data_digest(pictures.data, files=True),
            "views": pictures.facts() if pictures is self.train else None,
            "front": trainee.front_digest(),
            # In front of the first bundle only the image's size matters.
            "network": self.facts if trainee.split else [net.channels, net.height, net.width],
            "split": trainee.split,
        }
        record = record_type(trainee, pictures.view(0, 0)[0], pictures is self.train)
        limit = self.settings.data.cache_limit_gb * 1e9
        shared = self.request.cache
        root = self.request.out / "cache" / name if shared is None else shared
        cache = plan_cache(root, record, len(pictures), views, decides, limit)
        if shared is None:
            cache.remove_others()
        progress(
            f"{name}: cache of {views} views of {len(pictures)} images behind bundle "
            f"{trainee.split}: {cache.total_bytes / 1e6:,.1f} MB when all are made"
        )
        return cache

    def _check_resumed(self, path: Path) -> None:
        """Refuse to go on with another design or other settings, naming what differs."""
        checkpoint = load_last(path)[0]
        check_design(checkpoint, self.design, path, precision=True)
        found = checkpoint.facts.get("settings")
        if not isinstance(found, dict):
            raise TandemError(f"{path}: holds no settings, it cannot be gone on from")
        lines = settings_differences(settings_from_dict(found, str(path)), self.settings)
        lines = [line for line in lines if not line.startswith(_MAY_CHANGE)]
        if lines:
            raise TandemError(
                f"{path}: was trained with other settings: {'; '.join(lines[:3])}: leave them as "
                "they were, or start anew without --resume"
            )


# Where and how often it writes does not decide what it computes.
_MAY_CHANGE = ("run.checkpoint_minutes", "run.tensorboard", "data.workers", "data.cache_limit_gb",
               "data.cache was")  # fmt: skip


def train_from_files(
    design: Design,
    data: str,
    val: str | None,
    out: Path,
    settings: TrainSettings,
    stages: tuple[str, ...],
    resume: bool,
) -> dict[str, Any]:
    """Read the data, train, and tell everything as JSON holds it. TandemError as ``Run.run``."""
    train_set, val_set, val_name = read_data(data, val, settings)
    request = Request(design, train_set, val_set, out, settings, stages, resume)
    found = Run(request).run()
    speeds = [s for s in found.stages.values() if s.images_per_second]
    last = speeds[-1] if speeds else None
    return {
        "design": design.name,
        "mean_iou": found.mean_iou,
        "float_iou": found.float_iou,
        "qat_iou": found.qat_iou,
        "integer_iou": found.integer_iou,
        "boxes": {name: list(box) for name, box in found.boxes.items()},
        "images_per_second": last.images_per_second if last else 0.0,
        "wait_share": last.wait_share if last else 0.0,
        "stages": {name: vars(stage) for name, stage in found.stages.items()},
        "start": settings.start.weights,
        "warm_bundles": found.warm_bundles,
        "data": data,
        "train_images": len(train_set),
        "val": val_name,
        "val_images": len(val_set),
        "network": str(found.network) if found.network else None,
        "out": str(out),
    }


def read_data(data: str, val: str | None, settings: TrainSettings) -> tuple[Dataset, Dataset, str]:
    """Training and validation images; without the latter some scenes of the former are kept."""
    seed = settings.run.seed
    train_set = load_dataset(data, settings.data.on_bad, seed=seed)
    for line in train_set.report.lines():
        progress(line)
    if val is not None:
        val_set = load_dataset(val, settings.data.on_bad, seed=seed + 1)
        for line in val_set.report.lines():
            progress(line)
        return _fewer(train_set, settings.data.images), val_set, val
    rest, held = split_by_scene(train_set, settings.data.val_share, seed)
    progress(f"{data}: {len(held)} images of other scenes held out for validation")
    return _fewer(rest, settings.data.images), held, f"held out of {data}"


def _fewer(dataset: Dataset, count: int) -> Dataset:
    """At most ``count`` images (0: all), evenly taken."""
    if not 0 < count < len(dataset):
        return dataset
    return dataset.subset(np.linspace(0, len(dataset) - 1, count).astype(int).tolist())
