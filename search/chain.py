"""One chain of a search as a task that JSON describes: a target, a bundle, a method, a seed.

A chain is sequential; many run side by side in worker processes. What it evaluates and every step
go to the journal in batches, with the time at which each was done.
"""

from __future__ import annotations

import gc
import random
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from model.design_writer import design_to_dict
from search.baselines import search_baseline
from search.evaluator import Evaluated, Evaluator
from search.genome_space import GenomeSpace
from search.quality import QualityModel
from search.scd import Chain, Step
from search.spec import Target

BATCH_SECONDS = 1.0
SCD, PLAIN = "scd", "scd_plain"  # guided; the paper's rule alone
Tick = Callable[[dict[str, Any]], None]


class _Recorder:
    """Stores what a chain does in batches."""

    def __init__(self, tick: Tick) -> None:
        self.tick = tick
        self.steps: list[tuple[int, float, dict[str, Any]]] = []
        self.sent = time.monotonic()

    def step(self, step: Step) -> None:
        """Keep a step."""
        self.steps.append((step.index, time.time(), step.record()))

    def flush(self, evaluator: Evaluator, force: bool = False) -> None:
        """Store what has gathered, once a second."""
        if not force and time.monotonic() - self.sent < BATCH_SECONDS:
            return
        self.sent = time.monotonic()
        self.tick(
            {
                "evaluations": list(evaluator.log),
                "steps": list(self.steps),
                "spent": evaluator.spent,
                "budget": evaluator.budget,
            }
        )
        evaluator.log.clear()
        self.steps.clear()


class _Recorded(Evaluator):
    """An evaluator whose results are stored as they come."""

    def __init__(self, recorder: _Recorder, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.recorder = recorder

    def __call__(self, genome: Any) -> Evaluated:
        """As the evaluator."""
        found = super().__call__(genome)
        self.recorder.flush(self)
        return found


def run_chain(payload: dict[str, Any], _folder: Path, tick: Tick) -> dict[str, Any]:
    """Search from one seed. JSON in, JSON out.

    ``payload``: ``chain`` (its name), ``space`` (:meth:`GenomeSpace.record`), ``target``
    (``fps``, ``tolerance``), ``method`` ("scd", "scd_plain", or a baseline), ``seed``,
    ``evaluations``, ``candidates``, ``quality`` (:meth:`QualityModel.record`). ``tick`` gets
    batches: ``evaluations`` (key, time, record), ``steps`` (index, time, record), and ``spent``,
    ``budget``. Returns ``candidates`` (records of evaluations, each with its ``design``),
    ``spent``, ``refused``, ``steps``, ``seconds``.
    """
    space = GenomeSpace.of_record(payload["space"])
    target = Target(**payload["target"])
    quality = QualityModel.of_record(payload["quality"])
    recorder = _Recorder(tick)
    evaluate = _Recorded(recorder, space, quality.predict, int(payload["evaluations"]))
    gc.freeze()  # what is loaded by now stays: collections need not look through it again
    started = time.perf_counter()
    found, steps = _search(payload, evaluate, target, recorder)
    recorder.flush(evaluate, force=True)
    return {
        "candidates": [_candidate(point, space) for point in found],
        "spent": evaluate.spent,
        "refused": evaluate.refused,
        "steps": steps,
        "seconds": time.perf_counter() - started,
    }


def _search(
    payload: dict[str, Any], evaluate: Evaluator, target: Target, recorder: _Recorder
) -> tuple[list[Evaluated], int]:
    seed, count = int(payload["seed"]), int(payload["candidates"])
    if payload["method"] not in (SCD, PLAIN):
        return search_baseline(payload["method"], evaluate, target, seed, count), 0
    chain = Chain(
        target, evaluate.space, evaluate, random.Random(seed), count, recorder.step,
        plain=payload["method"] == PLAIN,
    )  # fmt: skip
    return chain.run(), len(chain.steps)


def _candidate(point: Evaluated, space: GenomeSpace) -> dict[str, Any]:
    design = space.build(point.genome, f"candidate_{point.genome.key}")
    return point.record() | {"design": design_to_dict(design)}
