"""``tandem bench --search``: exact evaluations a minute inside a search, by the journal's clock."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from rich.console import RenderableType

from model import console
from model.tables import count, facts, headline, table
from quant.alignment import SKYNET_CHANNELS
from search.bundle import Bundle
from search.executor import Task, make_executor
from search.genome_space import GenomeSpace
from search.quality import QualityModel
from search.spec import load_spec
from search.trials import Journal

TARGET = 20_000  # a minute on two cores
METHODS = ("random", "scd_plain", "scd")
EVALUATIONS = 1500  # of each chain, one chain a process
JOBS = 2


def search_bench(spec_file: Path, as_json: bool) -> int:
    """Run chains of each method side by side, print, return the exit status.

    Random search and the paper's rule do nothing but build designs and simulate them; guided
    descent also weighs several moves for each simulation.
    """
    spec = load_spec(spec_file)
    space = GenomeSpace.of(spec, Bundle(("dw3", "conv1"))).record()
    target = vars(spec.targets[-1])
    rates: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as folder:
        for method in METHODS:
            console.progress(f"{method}: {JOBS} chains of {EVALUATIONS:,} simulations ...")
            rates[method] = _rate(Path(folder) / method, method, space, target)
    record = {"evaluations_per_minute": rates, "target": TARGET, "jobs": JOBS}
    if as_json:
        console.put_json(record)
    else:
        console.put(*describe(record))
    return console.HELD


def _rate(
    folder: Path, method: str, space: Mapping[str, Any], target: Mapping[str, Any]
) -> dict[str, float]:
    folder.mkdir()
    tasks = [
        Task(
            f"chain-{seed}",
            "chain",
            "search.chain:run_chain",
            {
                "chain": f"chain-{seed}",
                "space": space,
                "target": target,
                "method": method,
                "seed": seed,
                "evaluations": EVALUATIONS,
                "candidates": 8,
                "quality": QualityModel(source=SKYNET_CHANNELS).record(),
            },
        )
        for seed in range(JOBS)
    ]
    with Journal.open(folder, {"bench": method}) as journal:
        make_executor("local", JOBS, journal).run(tasks)
        found = journal.evaluations_per_minute()
    return {
        "evaluations": found.evaluations,
        "seconds": found.seconds,
        "per_minute": found.per_minute,
    }


def describe(record: Mapping[str, Any]) -> Iterator[RenderableType]:
    """The result for people."""
    yield headline("exact evaluations inside a search")
    rows = [
        [
            name,
            count(item["evaluations"]),
            f"{item['seconds']:.1f}",
            count(round(item["per_minute"])),
        ]
        for name, item in record["evaluations_per_minute"].items()
    ]
    yield table(None, ["method", "simulated", "seconds", "a minute"], rows)
    yield facts([("asked for", f"{record['target']:,} a minute on {record['jobs']} cores")])
