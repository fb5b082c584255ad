"""The report of a finished search: ``report.json`` for machines, ``report.md`` for people."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from model.network_file import write_atomically
from search.stages import Candidate, Progress
from search.trials import Journal

REPORT, REPORT_JSON = "report.md", "report.json"
Record = dict[str, Any]


def report_of(found: Progress, journal: Journal, command: str) -> Record:
    """Everything that was found, as plain values; ``designs`` are the winners."""
    rate = journal.evaluations_per_minute()
    return {
        "name": found.spec.name,
        "command": command,
        "device": found.spec.device.name,
        "clock_mhz": found.spec.clock_khz / 1000,
        "designs": found.winners,
        "selected": [bundle.name for bundle in found.selected],
        "bundles_tried": len(found.prototypes),
        "prototypes": found.prototypes,
        "refused": found.refused,
        "reach": found.reach,
        "quality": found.quality,
        "chains": found.chains,
        "candidates": [_candidate(item, found) for item in found.candidates if _ran(item, found)],
        "evaluations": sum(journal.chains().values()),
        "evaluations_per_minute": vars(rate) if hasattr(rate, "__dict__") else None,
        "trained": sum(
            len(journal.results(kind)) for kind in ("prototype", "sample", "candidate", "winner")
        ),
        "baselines": baselines(found),
        "report": str(found.out / REPORT),
    }


def baselines(found: Progress) -> list[Record]:
    """For every target the best trained candidate of each method."""
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


def write_report(record: Mapping[str, Any], folder: Path) -> None:
    """Both files; each appears whole or not at all."""
    text = json.dumps(record, indent=1) + "\n"
    write_atomically(folder / REPORT_JSON, text.encode())
    write_atomically(folder / REPORT, ("\n".join(markdown(record)) + "\n").encode())


def markdown(record: Mapping[str, Any]) -> Iterator[str]:
    """The report as text."""
    yield f"# Search {record['name']}"
    yield ""
    yield f"{record['device']} at {record['clock_mhz']:g} MHz. Again with:"
    yield ""
    yield f"    {record['command']}"
    yield ""
    yield "## Designs"
    yield "| target FPS | FPS | mean IoU | bundle | W, F | DSP | RAMB18 | LUT | W | RTL | design |"
    yield "|---|---|---|---|---|---|---|---|---|---|---|"
    for item in record["designs"]:
        verified = {True: "0 differ", False: "DIFFERS", None: "not run"}[item["verified"]]
        bits = f"{item['weight_bits']}, {item['feature_bits']}"
        yield (
            f"| {item['target_fps']:g} | {item['fps']:.1f} | {item['mean_iou']:.4f} "
            f"| {item['bundle']} | {bits} | {item['dsp']:.0f} | {item['bram18']:.0f} "
            f"| {item['lut']:.0f} | {item['power_w']:.2f} | {verified} | {item['path']} |"
        )
    yield ""
    yield "## Methods, best and mean IoU of the trained candidates"
    for row in record["baselines"]:
        methods = [key for key in row if key + "_mean" in row]
        parts = [
            f"{key} {row[key]:.4f} (mean {row[key + '_mean']:.4f} of {row[key + '_trained']})"
            for key in methods
            if row[key] is not None
        ]
        yield f"- {row['target_fps']:g} FPS: {'; '.join(parts)}"
    yield ""
    yield "## Prototypes"
    yield "| bundle | group | IoU | FPS | latency ms | DSP | RAMB18 | kept |"
    yield "|---|---|---|---|---|---|---|---|"
    for item in sorted(record["prototypes"], key=lambda p: p["latency_ms"]):
        yield (
            f"| {item['bundle']} | {item['group']} | {item['iou']:.4f} | {item['fps']:.1f} "
            f"| {item['latency_ms']:.2f} | {item['dsp']} | {item['bram18']} "
            f"| {'yes' if item['kept'] else ''} |"
        )


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
