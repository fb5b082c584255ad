"""The report of a finished search: ``report.json`` for machines, ``report.md`` for people."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from model.network_file import write_atomically
from search.references import beaten
from search.search_figures import draw_search
from search.search_status import TRAINED
from search.stages import Candidate, Progress
from search.trials import Journal, JournalView

REPORT, REPORT_JSON = "report.md", "report.json"
RESOURCES = (("dsp", "DSP48E1"), ("bram18", "RAMB18"), ("lut", "LUT"), ("ff", "FF"))
VERIFIED = {True: "0 differ", False: "DIFFERS", None: "not run"}
Record = dict[str, Any]


def report_of(found: Progress, journal: Journal, command: str) -> Record:
    """Everything that was found, as plain values; ``designs`` are the winners."""
    spec = found.spec
    rows = baselines(found)
    return {
        "name": spec.name,
        "command": command,
        "digest": spec.digest,
        "device": spec.device.name,
        "clock_mhz": spec.clock_khz / 1000,
        "data": asdict(spec.data),
        "limits": asdict(spec.limits),
        "targets": [asdict(target) | {"least_fps": target.least_fps} for target in spec.targets],
        "designs": [_design(item, found) for item in found.winners],
        "selected": [bundle.name for bundle in found.selected],
        "bundles_tried": len(found.prototypes),
        "prototypes": found.prototypes,
        "refused": found.refused,
        "reach": found.reach,
        "quality": found.quality,
        "chains": found.chains,
        "candidates": [_candidate(item, found) for item in found.candidates if _ran(item, found)],
        "evaluations": sum(journal.chains().values()),
        "evaluations_per_minute": asdict(journal.evaluations_per_minute()),
        "trained": sum(len(journal.results(kind)) for kind in TRAINED),
        "seconds": seconds_of(journal),
        "baselines": rows,
        "failures": journal.failures(),
        "report": str(found.out / REPORT),
    }


def seconds_of(journal: JournalView) -> dict[str, float]:
    """What the trials of every kind took, all workers together."""
    found: dict[str, float] = {}
    for trial in journal.trials():
        if trial.finished_at and trial.claimed_at:
            kind = trial.task.kind
            found[kind] = found.get(kind, 0.0) + trial.finished_at - trial.claimed_at
    return found


def baselines(found: Progress) -> list[Record]:
    """For every target the best trained candidate of each method, and the mean of all of them."""
    rows = []
    for target in found.spec.targets:
        row: Record = {"target_fps": target.fps}
        for method in sorted({item.method for item in found.candidates}):
            trained = [
                found.trained[item.name]["mean_iou"]
                for item in found.candidates
                if item.target == target and item.method == method and item.name in found.trained
            ]
            row[method] = max(trained, default=None)
            row[f"{method}_mean"] = sum(trained) / len(trained) if trained else None
            row[f"{method}_trained"] = len(trained)
        rows.append(row)
    return rows


def _design(item: Mapping[str, Any], found: Progress) -> Record:
    """A winner with what it is better than, and the IoU that it was chosen by."""
    chosen = found.trained.get(item["name"], {}).get("mean_iou")
    return {
        **item,
        "candidate_iou": chosen,
        "target_gap": item["fps"] / item["target_fps"] - 1,
        "beats": beaten(item["fps"], item["mean_iou"]),
    }


def write_report(record: Mapping[str, Any], folder: Path) -> None:
    """Both files; each appears whole or not at all."""
    text = json.dumps(record, indent=1) + "\n"
    write_atomically(folder / REPORT_JSON, text.encode())
    write_atomically(folder / REPORT, ("\n".join(markdown(record)) + "\n").encode())


def draw_report(record: Mapping[str, Any], journal: JournalView, folder: Path) -> list[str]:
    """The pictures of a report; names of the files. None without matplotlib."""
    traces = {}
    for chain in record["chains"]:
        name = chain["chain"]
        traces[name] = journal.steps(chain["key"])
    return draw_search(folder, record, traces)


def markdown(record: Mapping[str, Any]) -> Iterator[str]:
    """The report as text. Where a key is missing its part is left out."""
    yield f"# Search {record['name']}"
    yield ""
    limits = record.get("limits", {})
    taken = ", ".join(f"{limits[key]:,} {name}" for key, name in RESOURCES if key in limits)
    most = f", at most {taken}" if taken else ""
    yield f"{record['device']} at {record['clock_mhz']:g} MHz{most}."
    yield (
        f"{record['evaluations']:,} accelerators simulated exactly{_rate(record)}, "
        f"{record['trained']} networks trained. The same command gives the same designs:"
    )
    yield ""
    yield f"    {record['command']}"
    yield ""
    yield from _designs(record)
    yield from _methods(record)
    yield from _prototypes(record)
    yield from _candidates(record)
    yield from _quality(record.get("quality", {}))
    yield from _refused(record)


def _rate(record: Mapping[str, Any]) -> str:
    rate = record.get("evaluations_per_minute")
    if not rate or not rate["best_minute"]:
        return ""
    return f" ({rate['best_minute']:,} in the best minute)"


def _designs(record: Mapping[str, Any]) -> Iterator[str]:
    yield "## Designs"
    yield "FPS of the steady state and IoU of the integer network on the validation images."
    yield ""
    names = " | ".join(name for _, name in RESOURCES)
    yield f"| target FPS | FPS | IoU | float | bundle | W, F | {names} | W | RTL | design |"
    yield "|" + "---|" * (9 + len(RESOURCES))
    for item in record["designs"]:
        costs = " | ".join(f"{item[key]:,.0f}" for key, _ in RESOURCES)
        yield (
            f"| {item['target_fps']:g} | {item['fps']:.1f} | {_iou(item['mean_iou'])} "
            f"| {_iou(item.get('float_iou'))} | {item['bundle']} "
            f"| {item['weight_bits']}, {item['feature_bits']} | {costs} | {item['power_w']:.2f} "
            f"| {VERIFIED[item['verified']]} | {item['path']} |"
        )
    yield ""
    met = {item["target_fps"] for item in record["designs"]}
    for target in record.get("targets", []):
        if target["fps"] not in met:
            yield f"No design for {target['fps']:g} FPS."
    for item in record["designs"]:
        if item.get("beats"):
            yield (
                f"{item['name']} is faster and has a higher IoU than {', '.join(item['beats'])} of "
                "`designs/`, where the validation images are the same."
            )
    yield from _again(record["designs"])


def _again(designs: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """How each design is checked without the search."""
    if not designs:
        return
    yield ""
    yield "Each by itself:"
    yield ""
    for item in designs:
        yield f"    tandem verify {item['path']} --network {item['network']}"
    yield ""


def _methods(record: Mapping[str, Any]) -> Iterator[str]:
    rows = record["baselines"]
    methods = sorted({key.removesuffix("_mean") for row in rows for key in row if "_mean" in key})
    if not methods:
        return
    yield "## Methods of search"
    yield "IoU of each method's candidates, all trained alike: the best (mean, number)."
    yield ""
    yield f"| target FPS | {' | '.join(methods)} |"
    yield "|" + "---|" * (1 + len(methods))
    for row in rows:
        cells = [
            f"{row[key]:.4f} ({row[key + '_mean']:.4f}, {row[key + '_trained']})"
            if row.get(key) is not None
            else ""
            for key in methods
        ]
        yield f"| {row['target_fps']:g} | {' | '.join(cells)} |"
    yield ""


def _prototypes(record: Mapping[str, Any]) -> Iterator[str]:
    yield "## Prototypes"
    yield f"Selected, the best first: {', '.join(record['selected'])}."
    yield ""
    yield "| bundle | group | IoU | FPS | latency, ms | DSP48E1 | RAMB18 | Pareto | survives |"
    yield "|---|---|---|---|---|---|---|---|---|"
    for item in sorted(record["prototypes"], key=lambda p: (p["latency_ms"], p["bundle"])):
        yield (
            f"| {item['bundle']} | {item['group'] + 1} | {item['iou']:.4f} | {item['fps']:.1f} "
            f"| {item['latency_ms']:.2f} | {item['dsp']} | {item['bram18']} "
            f"| {'front' if item['front'] else ''} | {'yes' if item['kept'] else ''} |"
        )
    yield ""


def _candidates(record: Mapping[str, Any]) -> Iterator[str]:
    rows = record["candidates"]
    if not rows:
        return
    yield "## Trained candidates"
    yield "| candidate | method | bundle | W, F | FPS | IoU | predicted |"
    yield "|---|---|---|---|---|---|---|"
    for item in sorted(rows, key=lambda c: (c["target"], -c["iou"], c["name"])):
        yield (
            f"| {item['name']} | {item['method']} | {item['bundle']} "
            f"| {item['weight_bits']}, {item['feature_bits']} | {item['fps']:.1f} "
            f"| {item['iou']:.4f} | {item['quality']:.4f} |"
        )
    yield ""


def _quality(quality: Mapping[str, Any]) -> Iterator[str]:
    if not quality.get("samples"):
        return
    yield "## Predicted IoU"
    text = f"Fitted to {quality['samples']} trained networks"
    if quality.get("error") is not None:
        text += (
            f"; with each left out in turn a mean error of {quality['error']:.4f} (by their mean "
            f"{quality['mean_error']:.4f}) and a rank correlation (Kendall's tau) of "
            f"{quality['tau']:.2f}"
        )
    yield text + "."
    yield ""


def _refused(record: Mapping[str, Any]) -> Iterator[str]:
    if record["refused"]:
        yield "## Bundles not tried"
        for item in record["refused"]:
            yield f"- {item['bundle']}: {item['reason']}"
        yield ""
    if record.get("failures"):
        yield "## Failed"
        for key, reason in record["failures"].items():
            yield f"- {key}: {reason}"


def _iou(value: float | None) -> str:
    return "" if value is None else f"{value:.4f}"


def _ran(item: Candidate, found: Progress) -> bool:
    return item.name in found.trained


def _candidate(item: Candidate, found: Progress) -> Record:
    record = item.record()
    record.pop("design")
    net = item.design.network
    return record | {
        "iou": found.trained[item.name]["mean_iou"],
        "bundles": [[layer.token for layer in chain] for chain in net.bundles],
        "weight_bits": item.design.weight_bits,
        "feature_bits": item.design.feature_bits,
    }
