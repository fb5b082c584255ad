"""One stage of training: epochs over batches, a score after each, a checkpoint of every state.

Everything that decides the result is in the settings, the data and the checkpoint, so a stage that
was killed goes on with the bits it would have had (on one kind of CPU, with equal thread counts).
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from model.errors import TandemError
from quant.batches import Batch, BatchSource, Waited
from quant.checkpoint import Checkpoint, load_last, save_checkpoint
from quant.crops import Cropping, make_cropping
from quant.loss import Cells, LossWeights, crop_cells, detection_loss
from quant.schedule import RateSchedule
from quant.settings import FloatSettings, TrainSettings, check_rates
from quant.train_log import EpochRecord, TrainLog, bar
from quant.train_state import (
    Arrays,
    Average,
    Position,
    load_module,
    load_optimiser,
    load_random,
    module_arrays,
    optimiser_arrays,
    random_arrays,
    read_position,
    stage_checkpoint,
)
from quant.trainee import Trainee

Score = Callable[[Trainee], float]  # mean IoU of the validation images


@dataclass(frozen=True)
class StageResult:
    """How a stage ended."""

    best_iou: float
    best_epoch: int
    epochs: int
    images_per_second: float  # over the epochs of this call; 0 where there were none
    wait_share: float


class Stage:
    """A stage: the network, its data, where it writes."""

    def __init__(
        self,
        name: str,
        trainee: Trainee,
        source: BatchSource,
        score: Score,
        settings: TrainSettings,
        out: Path,
        design: Mapping[str, Any],
        facts: Mapping[str, Any],
    ) -> None:
        self.name, self.trainee, self.source, self.score = name, trainee, source, score
        self.settings: FloatSettings = settings.stage(name)
        self.run_settings = settings.run
        self.loss_weights = loss_weights(settings)
        self.cropping = stage_cropping(trainee, settings, name)
        self.last, self.best = stage_paths(out, name)
        self.design, self.facts = design, {**facts, "stage": name}
        self.anchors = trainee.anchors
        self.position = Position()
        self.rates = chain_rates(trainee, self.settings, name)
        self.optimiser = make_optimiser(trainee, self.settings, self.rates)
        self.average = Average(trainee.module, self.settings.ema) if self.settings.ema else None
        self.schedule = RateSchedule(
            self.settings.epochs * source.batches,
            round(self.settings.warmup_epochs * source.batches),
            self.settings.final_rate,
        )
        self._saved = time.monotonic()

    def run(self, log: TrainLog) -> StageResult:
        """Train to the end of the stage. The best network is then in the best checkpoint."""
        log.start(self.name, self.position.epoch)
        images, seconds, waited = 0, 0.0, 0.0
        if self.position.epoch == 0 and self.position.batch == 0 and self.position.best_epoch == 0:
            torch.manual_seed(self.run_settings.seed)
            self._judge(self.scored())  # what it starts from may be the best there is
            self.save()
        while self.position.epoch < self.settings.epochs and not self.position.finished:
            record, trained = self.epoch()
            log.epoch(record, self.settings.epochs, self.position.best_epoch == record.epoch)
            images += trained
            seconds += record.seconds
            waited += record.wait_share * record.seconds
        return StageResult(
            self.position.best_iou,
            self.position.best_epoch,
            self.position.epoch,
            images / seconds if seconds else 0.0,
            waited / seconds if seconds else 0.0,
        )

    def epoch(self) -> tuple[EpochRecord, int]:
        """The rest of the current epoch, its score, its checkpoint; images seen."""
        at = self.position
        clock, waited = time.perf_counter(), Waited()
        self.source.prepare(at.epoch)
        prepared = time.perf_counter() - clock
        clock += prepared
        self.trainee.train()
        images = 0
        left = self.source.batches - at.batch
        batches = self.source.epoch(at.epoch, at.batch, waited)
        for batch in bar(batches, left, f"{self.name} {at.epoch + 1}/{self.settings.epochs}"):
            at.loss_sum += self.update(batch)
            at.batch += 1
            images += len(batch.boxes)
            if time.monotonic() - self._saved > 60 * self.run_settings.checkpoint_minutes:
                self.save()
        trained = time.perf_counter() - clock
        loss = at.loss_sum / self.source.batches
        at.epoch, at.batch, at.loss_sum = at.epoch + 1, 0, 0.0
        due = at.epoch % self.settings.score_every == 0 or at.epoch == self.settings.epochs
        iou = self.scored() if due else math.nan
        self._judge(iou)
        if self.settings.patience and at.epoch - at.best_epoch >= self.settings.patience:
            at.finished = True
        self.save()
        record = EpochRecord(
            stage=self.name,
            epoch=at.epoch,
            loss=loss,
            mean_iou=iou,
            learning_rate=self.settings.learning_rate * self.schedule.share(at.step - 1),
            images_per_second=images / trained if trained else 0.0,
            wait_share=waited.seconds / trained if trained else 0.0,
            seconds=trained,
            cache_seconds=prepared,
        )
        return record, images

    def update(self, batch: Batch) -> float:
        """One step of the optimiser; the loss before it."""
        share = self.settings.learning_rate * self.schedule.share(self.position.step)
        for group in self.optimiser.param_groups:
            group["lr"] = share * group["rate"]
        batch, origin = self._cropped(batch)
        device = self.trainee.machine.device
        teacher = None if batch.teacher is None else batch.teacher.to(device).float()
        with self.trainee.machine.autocast():
            values = self.trainee.head(batch.stem)
        cells = None if origin is None else self._cells(values, origin)
        truth = batch.boxes.to(device)
        terms = detection_loss(values, truth, self.anchors, self.loss_weights, teacher, cells)
        loss = terms["total"]
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        if self.settings.clip_norm:
            nn.utils.clip_grad_norm_(trainable(self.trainee.module), self.settings.clip_norm)
        self.optimiser.step()
        value = loss.item()
        if not torch.isfinite(loss):
            raise TandemError(
                f"{self.name} stage: the loss is {value} in epoch {self.position.epoch + 1}: lower "
                f"{self.name}.learning_rate or {self.name}.clip_norm"
            )
        if self.average is not None:
            self.average.update(self.trainee.module, self.position.step)
        self.position.step += 1
        return value

    def scored(self) -> float:
        """Mean IoU of the averaged network, or of the network where none is averaged."""
        if self.average is not None:
            self.average.swap(self.trainee.module)
        self.trainee.eval()
        with torch.no_grad():
            found = self.score(self.trainee)
        if self.average is not None:
            self.average.swap(self.trainee.module)
        return found

    def save(self) -> None:
        """Write the last checkpoint; the one before it stays."""
        save_checkpoint(self._checkpoint(), self.last, keep_previous=True)
        self._saved = time.monotonic()

    def resume(self) -> str:
        """Take over the last checkpoint; a note where it was damaged. TandemError if unfit."""
        checkpoint, path, note = load_last(self.last)
        where = str(path)
        check_facts(checkpoint.facts, self.facts, where)
        with torch.no_grad():
            load_module(self.trainee.module, checkpoint.part("model"), where)
            if self.average is not None:
                self.average.load(checkpoint.part("average"), where)
        load_optimiser(self.optimiser, checkpoint.part("optimiser"), where)
        load_random(checkpoint.part("random"), where)
        self.position = read_position(checkpoint.facts, where)
        return note

    def _cropped(self, batch: Batch) -> tuple[Batch, Tensor | None]:
        """The batch in crops where they are asked for, and where they begin."""
        if self.cropping is None:
            return batch, None
        # Of the place in the training alone, so that a resumed run cuts the same crops.
        rng = np.random.default_rng((self.run_settings.seed, 2, self.position.step))
        return self.cropping.cut(batch, rng)

    def _cells(self, values: Tensor, origin: Tensor) -> Cells:
        assert self.cropping is not None
        size = (self.cropping.width, self.cropping.height)
        origin = origin.to(values.device)
        return crop_cells(values, self.anchors, origin, self.cropping.border, size)

    def _judge(self, iou: float) -> None:
        """Keep the network where it is the best so far, or where the last one is asked for."""
        newest = self.settings.keep == "last" and not math.isnan(iou)
        if iou > self.position.best_iou or newest:
            self.position.best_iou, self.position.best_epoch = iou, self.position.epoch
            if self.average is not None:
                self.average.swap(self.trainee.module)
            facts = {**self.facts, "mean_iou": iou}
            parts = {"model": module_arrays(self.trainee.module)}
            if self.average is not None:
                self.average.swap(self.trainee.module)
            save_checkpoint(stage_checkpoint(self.design, facts, self.position, parts), self.best)

    def _checkpoint(self) -> Checkpoint:
        parts: dict[str, Arrays] = {
            "model": module_arrays(self.trainee.module),
            "optimiser": optimiser_arrays(self.optimiser),
            "random": random_arrays(),
        }
        if self.average is not None:
            parts["average"] = self.average.arrays()
        return stage_checkpoint(self.design, self.facts, self.position, parts)


def stage_paths(out: Path, name: str) -> tuple[Path, Path]:
    """The last and the best checkpoint of a stage."""
    return out / f"{name}_last.npz", out / f"{name}_best.npz"


def check_facts(found: Mapping[str, Any], wanted: Mapping[str, Any], where: str) -> None:
    """Refuse to go on with other settings or other data."""
    if found.get("stage") != wanted["stage"]:
        raise TandemError(f"{where}: a checkpoint of the stage {found.get('stage')}")
    if found.get("started_from") != wanted.get("started_from"):
        raise TandemError(
            f"{where}: its training began with other weights than this one would: begin anew "
            "without --resume"
        )
    if found.get("data") != wanted.get("data"):
        raise TandemError(
            f"{where}: was trained on other images or boxes ({found.get('data')}, now "
            f"{wanted.get('data')}): go on with the same data, or start anew without --resume"
        )


def loss_weights(settings: TrainSettings) -> LossWeights:
    """The loss's own record of its settings."""
    return LossWeights(**vars(settings.loss))


def chain_rates(trainee: Trainee, stage: FloatSettings, name: str) -> tuple[float, ...]:
    """The share of the learning rate of each bundle and the head."""
    return check_rates(stage, name, len(trainee.network.chains))


def stage_cropping(trainee: Trainee, settings: TrainSettings, name: str) -> Cropping | None:
    """The crops of a stage, None for whole images. TandemError where they cannot be cut."""
    data = settings.data
    if not data.crop:
        return None
    if trainee.split:
        raise TandemError(
            f"settings: data.crop = {data.crop} needs images, but {name}.frozen_bundles = "
            f"{trainee.frozen} keeps features in their place: set one of them to 0"
        )
    return make_cropping(trainee.network, data.crop, data.crop_others, data.crop_border)


def make_optimiser(
    trainee: Trainee, stage: FloatSettings, rates: tuple[float, ...]
) -> torch.optim.Optimizer:
    """An optimiser over what is trainable; ``rate`` of a group is its share of the rate."""
    groups = [group for index, rate in enumerate(rates) for group in _groups(trainee, index, rate)]
    for group in groups:
        group["weight_decay"] = stage.weight_decay if group.pop("decays") else 0.0
    if not groups:
        raise TandemError("settings: nothing is left to train: lower frozen_bundles or raise rates")
    if stage.optimiser == "sgd":
        return torch.optim.SGD(groups, lr=stage.learning_rate, momentum=stage.momentum)
    return torch.optim.AdamW(groups, lr=stage.learning_rate)


def _groups(trainee: Trainee, index: int, rate: float) -> Iterator[dict[str, Any]]:
    """The weights of a chain, which decay, then biases, batch norm and scales, which do not."""
    parameters = [p for p in trainee.chain_parameters(index) if p.requires_grad]
    for decays in (True, False):
        # Batch norm, biases, thresholds: one number a channel.
        chosen = [p for p in parameters if (p.ndim > 1 and p[0].numel() > 1) == decays]
        if chosen:
            yield {"params": chosen, "rate": rate, "decays": decays}


def trainable(module: nn.Module) -> list[Tensor]:
    """The parameters that have gradients."""
    return [p for p in module.parameters() if p.requires_grad]
