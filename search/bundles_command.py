"""``tandem bundles``: the bundles of a specification's pool, estimated and simulated."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from rich.console import Console, RenderableType
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from model import console
from model.errors import TandemError
from model.tables import count, facts, headline, share, table
from search.bundle import ACTIVATIONS, COMPUTE, LAYERS_MAX, POOLS
from search.bundle_pool import BundlePool, Refused, make_bundles
from search.bundle_report import Measured, accuracy, measure_bundles, write_bundles
from search.spec import ALL, BundleSpec, load_spec

SHOWN = 16
REASONS = 3


@dataclass(frozen=True)
class BundleArguments:
    """What the command line says; None: the specification's."""

    spec: Path
    whole: bool = False
    pool: str | None = None
    layers: int | None = None
    draw: int | None = None
    seed: int | None = None
    out: Path | None = None


def bundle_pool(spec: BundleSpec, arguments: BundleArguments) -> BundlePool:
    """The bundles that are asked for. TandemError for a pool or a number that makes no sense."""
    wanted = spec
    if arguments.pool is not None:
        words = tuple(arguments.pool.replace(",", " ").split())
        known = (*COMPUTE, *POOLS, *ACTIVATIONS)
        for word in words:
            if word not in known:
                raise TandemError(f"--pool: {word!r} is no layer, those are {', '.join(known)}")
        if not any(word in COMPUTE for word in words):
            raise TandemError(f"--pool: has no layer that computes: add {', '.join(COMPUTE)}")
        wanted = replace(wanted, pool=words)
    for key, least, most in (("layers", 1, LAYERS_MAX), ("draw", 1, 100_000), ("seed", 0, 2**31)):
        value = getattr(arguments, key)
        if value is None:
            continue
        if not least <= value <= most:
            raise TandemError(f"--{key} {value}: must be from {least} to {most}")
        wanted = replace(wanted, **{key: value})
    if arguments.whole and arguments.draw is not None:
        raise TandemError("--all and --draw contradict each other: leave one out")
    return make_bundles(replace(wanted, draw=ALL) if arguments.whole else wanted)


def bundles_command(arguments: BundleArguments, as_json: bool) -> int:
    """Build, estimate, simulate, print, return the exit status."""
    spec, out = load_spec(arguments.spec), arguments.out
    pool = bundle_pool(spec.bundles, arguments)
    failed: list[Refused] = []
    columns = (
        TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(),
    )  # fmt: skip
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("bundles", total=len(pool.bundles))
        found = measure_bundles(
            spec,
            pool.bundles,
            lambda done, _: bar.update(task, completed=done),
            lambda name, reason: failed.append(Refused(name, reason)),
        )
    how_well = accuracy(found)
    record = {
        "name": spec.name,
        "bundles": [bundle.name for bundle in pool.bundles],
        "possible": pool.possible,
        "refused": [vars(item) for item in (*pool.refused, *failed)],
        "duplicates": [vars(item) for item in pool.duplicates],
        "accuracy": how_well.record(),
        "points": [item.row() for item in found],
    }
    if out is not None:
        try:
            out.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise TandemError(
                f"{out}: cannot be made ({error.strerror}): choose another --out"
            ) from None
        write_bundles(found, out)
        from search.bundle_figure import draw_bundles  # noqa: PLC0415  (matplotlib is optional)

        draw_bundles(found, out / "bundles.png")
    if as_json:
        console.put_json(record)
    else:
        console.put(*describe(record, found))
    return console.HELD


def describe(record: Mapping[str, Any], found: Sequence[Measured]) -> Iterator[RenderableType]:
    """The result for people: the bundles on the largest accelerator they were given."""
    names = len(record["bundles"])
    yield headline(f"{record['name']}: {names} bundles of {record['possible']}")
    largest = max(item.in_lanes * item.out_lanes for item in found)
    shown = [
        item for item in found
        if item.in_lanes * item.out_lanes == largest and item.weight_bits == 8
    ]  # fmt: skip
    shown.sort(key=lambda item: item.truth.cycles_per_frame)
    rows = [
        [
            item.bundle.removesuffix("-maxpool"),
            f"{item.truth.fps:.1f}",
            count(round(item.estimate.cycles)),
            count(round(item.truth.cycles_per_frame)),
            f"{100 * item.error:+.1f} %",
            f"{item.estimate.traffic_bytes / 1e6:.1f} MB",
            count(item.estimate.dsp),
            count(item.estimate.bram18),
            count(item.estimate.lut),
        ]
        for item in shown
    ]
    title = f"on {largest} products a cycle, W8 F8" + (
        f", the {SHOWN} fastest of {len(rows)}" if len(rows) > SHOWN else ""
    )
    columns = [
        "bundle", "FPS", "estimated", "simulated", "off by", "traffic", "DSP",
        "RAMB18", "LUT",
    ]  # fmt: skip
    yield table(title, columns, rows[:SHOWN])
    how = record["accuracy"]
    pairs = [
        ("points", f"{how['points']}: bundles x parallel factors x precisions"),
        ("cycles off by", f"{share(how['mean_error'])} on average"),
        ("at worst", f"{share(how['worst_error'])}, {how['worst']}"),
        ("first frame off by", f"{share(how['latency_mean'])} on average"),
        ("at worst", share(how["latency_worst"])),
        ("rank correlation", f"{how['tau']:.3f}; {how['least_tau']:.3f} on the worst accelerator"),
        ("traffic off by", f"{how['traffic_worst']:.1e} at worst"),
        ("refused", _reasons(record["refused"])),
        ("duplicates", _reasons(record["duplicates"])),
    ]  # fmt: skip
    yield facts([(name, text) for name, text in pairs if text])


def _reasons(items: Sequence[Mapping[str, str]]) -> str:
    """How many, and the first of each reason."""
    if not items:
        return ""
    first: dict[str, str] = {}
    for item in items:
        first.setdefault(item["reason"], item["bundle"])
    named = [f"{name} {reason}" for reason, name in first.items()][:REASONS]
    return f"{len(items)}: " + "; ".join(named)
