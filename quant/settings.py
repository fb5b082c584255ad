"""Every setting of a training run, typed, with its default, its range and what it does.

``settings_text(TrainSettings())`` is the file ``designs/train_default.toml``: the one place that
shows them all. Files hold only what differs; unknown keys are refused.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from model.errors import TandemError
from model.toml_reader import Table, read_toml
from quant.augment import Augmentation

STAGES = ("float", "qat")
FEATURE_RULES = ("mse", "percentile", "max")  # those of quant.calibration, which needs torch
WEIGHT_RULES = ("max", "mse")


def _whole(default: int, low: int, high: int, text: str) -> Any:
    return field(default=default, metadata={"low": low, "high": high, "text": text})


def _real(default: float, low: float, high: float, text: str) -> Any:
    return field(default=default, metadata={"low": low, "high": high, "text": text})


def _word(default: str, choices: tuple[str, ...], text: str) -> Any:
    return field(default=default, metadata={"choices": choices, "text": text})


def _path(text: str) -> Any:
    return field(default="", metadata={"text": text})


def _flag(default: bool, text: str) -> Any:
    return field(default=default, metadata={"text": text})


def _rates(text: str) -> Any:
    return field(default=(), metadata={"low": 0.0, "high": 100.0, "text": text})


@dataclass(frozen=True)
class RunSettings:
    """How it runs."""

    seed: int = _whole(1, 0, 2**31 - 1, "of everything that is random")
    threads: int = _whole(0, 0, 256, "CPU threads, 0 = all; equal numbers give equal bits")
    device: str = _word("auto", ("auto", "cpu", "cuda"), "auto = CUDA when there is one")
    mixed_precision: str = _word(
        "auto", ("auto", "on", "off"), "float stage in half precision; auto = on with CUDA"
    )
    checkpoint_minutes: float = _real(
        10.0, 0.0, 1e6, "also in mid-epoch, that often; every epoch's end is saved anyway"
    )
    tensorboard: bool = _flag(True, "log to OUT/tensorboard where tensorboard is installed")


@dataclass(frozen=True)
class DataSettings:
    """Images, their augmentation, and the cache of what frozen layers make of them."""

    on_bad: str = _word("refuse", ("refuse", "skip"), "what to do with images that cannot be used")
    images: int = _whole(0, 0, 10**7, "train on so many images, evenly taken; 0 = on all")
    val_share: float = _real(0.15, 0.0, 0.9, "of the scenes, held out where no --val is given")
    views: int = _whole(8, 0, 1000, "augmented views an image, reused in turn; 0 = always new ones")
    cache: bool = _flag(True, "keep views on disk behind the frozen bundles (needs views > 0)")
    cache_limit_gb: float = _real(16.0, 0.0, 1e5, "largest cache, in 10^9 bytes")
    workers: int = _whole(2, 0, 64, "threads that prepare images while the network computes")
    crop: int = _whole(0, 0, 4096, "cells of a crop's side to train on, 0 = whole images")
    crop_others: int = _whole(1, 0, 64, "crops without the object beside the one with it")
    crop_border: int = _whole(1, 0, 64, "cells at a crop's edge that are left out of the loss")
    flip: bool = _flag(True, "mirror left and right, half of the views")
    brightness: float = _real(0.2, 0.0, 1.0, "largest change, share")
    contrast: float = _real(0.2, 0.0, 1.0, "largest change, share")
    saturation: float = _real(0.2, 0.0, 1.0, "largest change, share")
    hue: float = _real(0.02, 0.0, 1.0, "largest turn, share of the circle")
    scale_low: float = _real(0.8, 0.1, 10.0, "smallest zoom")
    scale_high: float = _real(1.25, 0.1, 10.0, "largest zoom")
    shift: float = _real(0.1, 0.0, 1.0, "largest shift, share of the side")

    @property
    def augmentation(self) -> Augmentation:
        """How far views may differ from the picture."""
        return Augmentation(**{f.name: getattr(self, f.name) for f in fields(Augmentation)})


@dataclass(frozen=True)
class StartSettings:
    """What it starts from; the command's --start and --teacher come before these."""

    weights: str = _path("SkyNet's HDF5 file or a checkpoint: bundles that match from the front")
    teacher: str = _path("SkyNet's HDF5 file: a network to learn from on the same images")
    activation: str = _word("relu6", ("relu6", "relu"), "after every layer but the last")
    inherit: bool = _flag(False, "cut and pad those weights where shapes differ")
    fold: bool = _flag(False, "fold batch norm into those weights and hold its statistics still")


@dataclass(frozen=True)
class LossSettings:
    """What is minimised."""

    box: float = _real(2.0, 0.0, 1e3, "pulls boxes to the true one")
    place: float = _real(0.0, 0.0, 1e3, "pulls place and size apart to the true ones")
    confidence: float = _real(1.0, 0.0, 1e3, "the cell that fits best is to speak up")
    teacher_box: float = _real(0.5, 0.0, 1e3, "pulls boxes to the teacher's, where it is sure")
    teacher_place: float = _real(0.0, 0.0, 1e3, "pulls place and size to the teacher's")
    teacher_confidence: float = _real(1.0, 0.0, 1e3, "speak up where the teacher does")
    sharpness: float = _real(8.0, 0.0, 1e3, "how much the cells whose boxes fit best are favoured")
    reach: float = _real(0.75, 0.5, 1e3, "cells around the centre that may answer")


@dataclass(frozen=True)
class FloatSettings:
    """Float stage."""

    epochs: int = _whole(40, 0, 100_000, "0 skips training of the stage")
    batch_size: int = _whole(16, 1, 4096, "images a step")
    optimiser: str = _word("adamw", ("adamw", "sgd"), "")
    learning_rate: float = _real(1e-3, 0.0, 10.0, "full rate, after the warm-up")
    rates: tuple[float, ...] = _rates("share of it by bundle, the head last; [] = 1 for all")
    momentum: float = _real(0.9, 0.0, 0.9999, "of sgd")
    weight_decay: float = _real(1e-4, 0.0, 10.0, "of convolution weights")
    warmup_epochs: float = _real(1.0, 0.0, 1e4, "linear, then half a cosine")
    final_rate: float = _real(0.01, 0.0, 1.0, "share of the rate that the cosine ends at")
    clip_norm: float = _real(10.0, 0.0, 1e6, "largest norm of the gradient, 0 = any")
    ema: float = _real(0.0, 0.0, 0.99999, "decay a step of the averaged weights, 0 = none")
    frozen_bundles: int = _whole(0, 0, 254, "bundles from the front that stay as they are")
    frozen_batch_norm: bool = _flag(False, "batch norm in inference mode in the other bundles too")
    patience: int = _whole(0, 0, 100_000, "epochs without a better IoU until it stops, 0 = never")
    score_every: int = _whole(1, 1, 100_000, "epochs between scores; the last is scored too")
    keep: str = _word("best", ("best", "last"), "which of the scored networks the stage leaves")


@dataclass(frozen=True)
class QatSettings(FloatSettings):
    """Quantisation-aware stage: from the folded, calibrated network."""

    epochs: int = _whole(8, 0, 100_000, "0 leaves the calibrated network as it is")
    learning_rate: float = _real(1e-4, 0.0, 10.0, "full rate, after the warm-up")
    weight_decay: float = _real(0.0, 0.0, 10.0, "of convolution weights")
    learned_scales: bool = _flag(True, "train thresholds with the weights")
    qonnx: bool = _flag(False, "write OUT/NAME.onnx too, for FINN and hls4ml, and run it once")


@dataclass(frozen=True)
class CalibrationPart:
    """Calibration: the scales that the quantised stage begins with."""

    images: int = _whole(64, 1, 100_000, "of the training images, without augmentation")
    features: str = _word("mse", FEATURE_RULES, "mse = least squared error, max = largest feature")
    percentile: float = _real(99.99, 50.0, 100.0, "of each map's features, for percentile")
    weights: str = _word("max", WEIGHT_RULES, "max = the channel's largest weight")
    equalise: bool = _flag(False, "bring the channels before depth-wise layers to one range")
    correct_biases: bool = _flag(False, "give each channel the mean it has in float")


@dataclass(frozen=True)
class TrainSettings:
    """All settings."""

    run: RunSettings = field(default_factory=RunSettings)
    data: DataSettings = field(default_factory=DataSettings)
    start: StartSettings = field(default_factory=StartSettings)
    loss: LossSettings = field(default_factory=LossSettings)
    float: FloatSettings = field(default_factory=FloatSettings)
    calibration: CalibrationPart = field(default_factory=CalibrationPart)
    qat: QatSettings = field(default_factory=QatSettings)

    def stage(self, name: str) -> FloatSettings:
        """The settings of a stage."""
        return self.qat if name == "qat" else self.float

    def with_epochs(self, epochs: int, stages: tuple[str, ...]) -> TrainSettings:
        """The same with another number of epochs in those stages."""
        changed: dict[str, Any] = {
            name: replace(self.stage(name), epochs=epochs) for name in stages
        }
        return replace(self, **changed)


def read_settings(path: str | Path | None) -> TrainSettings:
    """Settings from a TOML file, defaults without one. TandemError names key, value and rule."""
    if path is None:
        return TrainSettings()
    table = read_toml(Path(path), "settings file")
    return _read_settings(table)


def settings_from_dict(data: Mapping[str, Any], source: str) -> TrainSettings:
    """Settings from the tables of such a file, checked alike."""
    return _read_settings(Table(data, source))


def settings_to_dict(settings: TrainSettings) -> dict[str, Any]:
    """The tables of a settings file with every key."""
    tables = asdict(settings)
    return {name: {k: _plain(v) for k, v in part.items()} for name, part in tables.items()}


def settings_text(settings: TrainSettings) -> str:
    """The settings as TOML with a comment for each: what it does and what it may be."""
    lines = [
        "# Every setting of `tandem train`. A settings file needs only what differs from this one;",
        "# `tandem train` writes the settings it ran with, in full, to OUT/settings.toml.",
    ]
    for section in fields(settings):
        part = getattr(settings, section.name)
        summary = (part.__doc__ or "").splitlines()[0]
        lines += ["", f"[{section.name}]  # {summary[:1].lower()}{summary[1:].rstrip('.')}"]
        rows = [(f"{f.name} = {_toml(getattr(part, f.name))}", _remark(f)) for f in fields(part)]
        width = max(len(text) for text, _ in rows)
        lines += [f"{text:<{width}}  # {remark}" for text, remark in rows]
    return "\n".join(lines) + "\n"


def settings_differences(found: TrainSettings, wanted: TrainSettings) -> list[str]:
    """``section.key: found, now wanted`` of every setting that differs."""
    have, want = settings_to_dict(found), settings_to_dict(wanted)
    return [
        f"{section}.{key} was {_toml(have[section][key])}, now {_toml(value)}"
        for section, part in want.items()
        for key, value in part.items()
        if have[section][key] != value
    ]


def _read_settings(table: Table) -> TrainSettings:
    parts: dict[str, Any] = {}
    for section in fields(TrainSettings):
        default: Any = getattr(TrainSettings(), section.name)
        part = table.table(section.name, optional=True)
        values = {f.name: _value(part, f) for f in fields(default) if f.name in part}
        part.finish()
        parts[section.name] = replace(default, **values)
    table.finish()
    settings = TrainSettings(**parts)
    _check(settings, table)
    return settings


def _check(settings: TrainSettings, table: Table) -> None:
    data = settings.data
    if data.scale_low > data.scale_high:
        rule = f"must not be above data.scale_high = {data.scale_high:g}"
        raise table.refuse("data.scale_low", data.scale_low, rule)


def _value(part: Table, item: Any) -> Any:
    """One value, by the type of its default and the range beside it."""
    name, default, rule = item.name, item.default, item.metadata
    if isinstance(default, bool):
        found = part.value(name)
        if not isinstance(found, bool):
            raise part.refuse(name, found, "must be true or false")
        return found
    if isinstance(default, int):
        return part.integer(name, rule["low"], rule["high"])
    if isinstance(default, float):
        return float(part.number(name, rule["low"], rule["high"]))
    if isinstance(default, tuple):
        return tuple(_numbers(part, name, rule["low"], rule["high"]))
    if "choices" in rule:
        return part.text(name, rule["choices"])
    found = part.value(name)
    if not isinstance(found, str) or "\0" in found:
        raise part.refuse(name, found, "must be a string")
    return found


def _numbers(part: Table, name: str, low: float, high: float) -> Iterator[float]:
    found = part.value(name)
    rule = f"must be a list of numbers from {low:g} to {high:g}"
    if not isinstance(found, list):
        raise part.refuse(name, found, rule)
    for number in found:
        if isinstance(number, bool) or not isinstance(number, int | float):
            raise part.refuse(name, found, rule)
        if not low <= number <= high:
            raise part.refuse(name, found, rule)
        yield float(number)


def check_rates(stage: FloatSettings, name: str, chains: int) -> tuple[float, ...]:
    """The rate of each bundle and the head. TandemError where their number does not fit."""
    if not stage.rates:
        return (1.0,) * chains
    if len(stage.rates) != chains:
        raise TandemError(
            f"settings: {name}.rates has {len(stage.rates)} numbers, the design has {chains - 1} "
            f"bundles and a head: write {chains}"
        )
    return stage.rates


def _remark(item: Any) -> str:
    rule = item.metadata
    if "choices" in rule:
        allowed = " | ".join(rule["choices"])
        return f"{allowed}; {rule['text']}" if rule["text"] else allowed
    if "low" in rule:
        return f"{rule['text']} ({rule['low']:g} to {rule['high']:g})"
    return str(rule["text"])


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


def _toml(value: Any) -> str:
    if isinstance(value, float):
        text = repr(value)
        mantissa, _, exponent = text.partition("e")
        point = "" if "." in mantissa else ".0"  # TOML takes 1.0e-05, Python writes 1e-05
        return f"{mantissa}{point}e{exponent}" if exponent else text
    return json.dumps(_plain(value))
