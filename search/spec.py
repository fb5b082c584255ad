"""The specification of a search: targets, device, data, space and budgets, from one TOML file."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

from model.device import Device, known_devices, load_device
from model.errors import TandemError
from model.network import LAYER_POOL, Network, parse_network
from model.toml_reader import Table, read_toml
from search.bundle import ACTIVATIONS, COMPUTE, LAYERS_MAX, POOLS
from search.measure import USABLE_SHARE, Limits

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")
BASELINES = ("random", "tpe", "nsga2")
ALL = 0  # bundles.draw: every bundle of the pool


@dataclass(frozen=True)
class Target:
    """A quality of service: frames per second of the steady state."""

    fps: float
    tolerance: float  # share of it that a design may miss

    @property
    def name(self) -> str:
        """Such as ``fps40``, for files."""
        return f"fps{self.fps:g}".replace(".", "_")

    @property
    def least_fps(self) -> float:
        """What still counts."""
        return self.fps * (1 - self.tolerance)


@dataclass(frozen=True)
class DataSpec:
    """Labelled images and the weights a candidate may begin with; paths as the file has them."""

    train: str
    val: str
    start: str = ""  # published or trained float weights, inherited; "": random values
    teacher: str = ""


@dataclass(frozen=True)
class NetworkSpace:
    """What all networks of the search have in common, and how far they may differ."""

    channels: int
    height: int
    width: int
    stem: tuple[str, ...]
    head: tuple[str, ...]
    repetitions: tuple[int, int]  # fewest, most
    downsamplings: int  # repetitions that end with a pool
    max_channels: int
    weight_bits: tuple[int, ...]
    feature_bits: tuple[int, ...]

    @property
    def stem_channels(self) -> int:
        """Channels that the stem leaves."""
        return self.sample.bundles[0][-1].out_channels

    @property
    def sample(self) -> Network:
        """The network of the stem and the head alone. TandemError where they are wrong."""
        return parse_network(
            self.channels, self.height, self.width, [self.stem], self.head, "network"
        )


@dataclass(frozen=True)
class BundleSpec:
    """Which bundles are looked at."""

    pool: tuple[str, ...]
    layers: int  # compute layers of a bundle, at most
    draw: int  # drawn at random; ALL: every one
    seed: int


@dataclass(frozen=True)
class PrototypeSpec:
    """How bundles are tried."""

    repetitions: int
    channels: tuple[int, ...]  # of each repetition
    groups: int  # of similar quality of service
    keep: int  # bundles of a group that survive
    fps: float  # to which all are made equally fast, by their channels; 0: channels as they are
    settings: Mapping[str, Any]  # of training


@dataclass(frozen=True)
class ScdSpec:
    """Budget of the search for networks, for each target and bundle."""

    evaluations: int
    candidates: int
    trained: int  # of all candidates of a target, over all bundles
    chains: int  # of a target and bundle, from different starts
    samples: int  # networks trained beforehand, to learn what makes one good
    seed: int


@dataclass(frozen=True)
class TrainingSpec:
    """How candidates and winners are trained; settings files' tables."""

    candidate: Mapping[str, Any]
    winner: Mapping[str, Any]
    winners: int  # a target's best candidates that are trained to the end


@dataclass(frozen=True)
class FinishSpec:
    """What is done with a winner."""

    verify_frames: int  # on the RTL; 0: none
    synthesise: bool


@dataclass(frozen=True)
class BaselineSpec:
    """What the search is compared with, under the same budget."""

    methods: tuple[str, ...]
    seeds: int
    trained: int  # best of random search that are trained as candidates are, per target


@dataclass(frozen=True)
class SearchSpec:
    """A whole search."""

    name: str
    device: Device
    clock_khz: int
    data: DataSpec
    targets: tuple[Target, ...]
    limits: Limits
    network: NetworkSpace
    bundles: BundleSpec
    prototypes: PrototypeSpec
    scd: ScdSpec
    training: TrainingSpec
    finish: FinishSpec
    baselines: BaselineSpec
    path: Path | None = None

    def record(self) -> dict[str, Any]:
        """Everything that decides the result, for JSON."""
        found = {f.name: getattr(self, f.name) for f in fields(self) if f.name != "path"}
        found["device"] = self.device.name
        for name, value in found.items():
            if name == "targets":
                found[name] = [asdict(target) for target in value]
            elif hasattr(value, "__dataclass_fields__"):
                found[name] = asdict(value)
        plain: dict[str, Any] = json.loads(json.dumps(found))
        return plain

    @property
    def digest(self) -> str:
        """Names the search by what decides its result."""
        text = json.dumps(self.record(), sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:16]


def load_spec(path: str | Path) -> SearchSpec:
    """Read a specification. TandemError names file, key, value and rule."""
    path = Path(path)
    return replace(spec_from_table(read_toml(path, "search specification"), path.parent), path=path)


def spec_from_dict(data: Mapping[str, Any], source: str = "specification") -> SearchSpec:
    """A specification from the tables of such a file, checked alike."""
    return spec_from_table(Table(data, source), Path())


def spec_from_table(table: Table, folder: Path) -> SearchSpec:
    """The specification; settings files are looked for beside it, in ``folder``."""
    name = table.text("name")
    if not _NAME.fullmatch(name):
        raise table.refuse("name", name, "must be letters, digits, '_', '-' and '.'")
    device = load_device(table.text("device", known_devices()))
    found = SearchSpec(
        name=name,
        device=device,
        clock_khz=round(table.number("clock_mhz", 1, 1000) * 1000),
        data=_data(table.table("data")),
        targets=_targets(table.table("targets")),
        limits=_limits(table.table("limits", optional=True), device),
        network=_network(table.table("network"), table.table("precision")),
        bundles=_bundles(table.table("bundles", optional=True)),
        prototypes=_prototypes(table.table("prototypes"), folder),
        scd=_scd(table.table("scd", optional=True)),
        training=_training(table.table("training"), folder),
        finish=_finish(table.table("finish", optional=True)),
        baselines=_baselines(table.table("baselines", optional=True)),
    )
    table.finish()
    return found


def _data(table: Table) -> DataSpec:
    found = DataSpec(
        table.text("train"),
        table.text("val"),
        _path(table, "start"),
        _path(table, "teacher"),
    )
    table.finish()
    return found


def _path(table: Table, key: str) -> str:
    found = table.value(key) if key in table else ""
    if not isinstance(found, str):
        raise table.refuse(key, found, "must be a path, or empty for none")
    return found


def _targets(table: Table) -> tuple[Target, ...]:
    tolerance = float(table.number("tolerance", 0, 0.5)) if "tolerance" in table else 0.03
    keys = [key for key in ("fps", "latency_ms") if key in table]
    if len(keys) != 1:
        rule = "both are given, write one" if keys else "must list frames per second"
        raise table.refuse("fps", "", rule)
    values = table.value(keys[0])
    good = isinstance(values, list) and values
    if not good or not all(isinstance(v, int | float) and 0.01 <= v <= 1e5 for v in values):
        raise table.refuse(keys[0], values, "must be a list of numbers from 0.01 to 100000")
    rates = [v if keys[0] == "fps" else 1000 / v for v in values]
    if len(set(rates)) < len(rates):
        raise table.refuse(keys[0], values, "names a target twice")
    table.finish()
    return tuple(Target(float(rate), tolerance) for rate in sorted(rates))


def _limits(table: Table, device: Device) -> Limits:
    most = {
        "dsp": device.dsp,
        "bram18": device.bram18,
        "lut": int(device.lut * USABLE_SHARE),
        "ff": int(device.ff * USABLE_SHARE),
    }
    whole = {
        key: table.integer(key, 1, getattr(device, key), default=value)
        for key, value in most.items()
    }
    power = float(table.number("power_w", 0.01, 1000)) if "power_w" in table else None
    table.finish()
    return Limits(**whole, power_w=power)


def _network(table: Table, precision: Table) -> NetworkSpace:
    low, high = _pair(table, "repetitions", 1, 60)
    found = NetworkSpace(
        channels=table.integer("channels", 1, 4095),
        height=table.integer("height", 1, 4095),
        width=table.integer("width", 1, 4095),
        stem=table.strings("stem"),
        head=table.strings("head"),
        repetitions=(low, high),
        downsamplings=table.integer("downsamplings", 0, 12),
        max_channels=table.integer("max_channels", 8, 4095, default=512),
        weight_bits=_bits(precision, "weight_bits"),
        feature_bits=_bits(precision, "feature_bits"),
    )
    precision.finish()
    table.finish()
    if found.downsamplings > high:
        rule = f"is more than the {high} repetitions that a network has at most"
        raise table.refuse("downsamplings", found.downsamplings, rule)
    try:
        channels = found.stem_channels
    except TandemError as error:
        raise TandemError(f"{table.source}: {error}") from error
    if channels > found.max_channels:
        raise table.refuse("max_channels", found.max_channels, f"the stem leaves {channels}")
    return found


def _pair(table: Table, key: str, low: int, high: int) -> tuple[int, int]:
    found = table.value(key)
    rule = f"must be two whole numbers from {low} to {high}, the fewest and the most"
    good = isinstance(found, list) and len(found) == 2 and all(type(v) is int for v in found)
    if not good or not low <= found[0] <= found[1] <= high:
        raise table.refuse(key, found, rule)
    return found[0], found[1]


def _bits(table: Table, key: str) -> tuple[int, ...]:
    found = _whole_numbers(table, key, 4, 16)
    return tuple(sorted(set(found)))


def _whole_numbers(table: Table, key: str, low: int, high: int) -> tuple[int, ...]:
    found = table.value(key)
    rule = f"must be a list of whole numbers from {low} to {high}, one at least"
    if not isinstance(found, list) or not found:
        raise table.refuse(key, found, rule)
    if not all(type(v) is int and low <= v <= high for v in found):
        raise table.refuse(key, found, rule)
    return tuple(found)


def _bundles(table: Table) -> BundleSpec:
    known = (*COMPUTE, *POOLS, *ACTIVATIONS)
    pool = table.strings("pool") if "pool" in table else (*COMPUTE, "maxpool", "relu6")
    if not any(word in COMPUTE for word in pool):
        rule = f"has no layer that computes: add some of {', '.join(COMPUTE)}"
        raise table.refuse("pool", list(pool), rule)
    for word in pool:
        if word not in known:
            layers = ", ".join((*LAYER_POOL[:2], *known[2:]))
            raise table.refuse("pool", word, f"is no layer, the layers are {layers}")
    draw = ALL
    if "draw" in table and table.value("draw") != "all":
        draw = table.integer("draw", 1, 100_000)
    found = BundleSpec(
        pool=pool,
        layers=table.integer("layers", 1, LAYERS_MAX, default=LAYERS_MAX),
        draw=draw,
        seed=table.integer("seed", 0, 2**31 - 1, default=1),
    )
    table.finish()
    return found


def _prototypes(table: Table, folder: Path) -> PrototypeSpec:
    repetitions = table.integer("repetitions", 1, 60, default=3)
    channels = _whole_numbers(table, "channels", 1, 4095)
    if len(channels) != repetitions:
        rule = f"must be {repetitions} numbers, one for each repetition"
        raise table.refuse("channels", list(channels), rule)
    found = PrototypeSpec(
        repetitions=repetitions,
        channels=channels,
        groups=table.integer("groups", 1, 100, default=3),
        keep=table.integer("keep", 1, 100, default=1),
        fps=float(table.number("fps", 0, 1e5)) if "fps" in table else 0.0,
        settings=_settings(table, "settings", folder),
    )
    table.finish()
    return found


def _settings(table: Table, key: str, folder: Path) -> Mapping[str, Any]:
    """Training settings: a table, or the name of a settings file beside the specification."""
    if key not in table:
        return {}
    found = table.value(key)
    if isinstance(found, str):
        return read_toml(folder / found, "settings file").whole()
    return table.mapping(key)


def _scd(table: Table) -> ScdSpec:
    candidates = table.integer("candidates", 1, 10_000, default=8)
    found = ScdSpec(
        evaluations=table.integer("evaluations", 1, 10_000_000, default=2000),
        candidates=candidates,
        trained=table.integer("trained", 1, 10_000, default=min(4, candidates)),
        chains=table.integer("chains", 1, 1000, default=2),
        samples=table.integer("samples", 0, 10_000, default=0),
        seed=table.integer("seed", 0, 2**31 - 1, default=1),
    )
    table.finish()
    return found


def _training(table: Table, folder: Path) -> TrainingSpec:
    found = TrainingSpec(
        candidate=_settings(table, "candidate", folder),
        winner=_settings(table, "winner", folder),
        winners=table.integer("winners", 1, 100, default=1),
    )
    table.finish()
    return found


def _finish(table: Table) -> FinishSpec:
    synthesise = table.value("synthesise") if "synthesise" in table else True
    if not isinstance(synthesise, bool):
        raise table.refuse("synthesise", synthesise, "must be true or false")
    found = FinishSpec(table.integer("verify_frames", 0, 100, default=1), synthesise)
    table.finish()
    return found


def _baselines(table: Table) -> BaselineSpec:
    methods = table.strings("methods") if "methods" in table else ()
    for word in methods:
        if word not in BASELINES:
            raise table.refuse("methods", word, f"must be some of {', '.join(BASELINES)}")
    found = BaselineSpec(
        methods=methods,
        seeds=table.integer("seeds", 1, 1000, default=5),
        trained=table.integer("trained", 0, 1000, default=0),
    )
    table.finish()
    return found
