"""Sizing the accelerator of a candidate as a task: what ``tandem explore`` does, top-down."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from model.design import design_from_dict
from model.design_writer import design_to_dict
from search.measure import Limits, evaluate
from search.sizing import size_accelerator

Tick = Callable[[dict[str, Any]], None]
EVALUATIONS, STRUCTURES = 120, 8


def run_sizing(payload: dict[str, Any], _folder: Path, tick: Tick) -> dict[str, Any]:
    """The fastest accelerator for a network that a search has found. JSON in, JSON out.

    ``payload``: ``design`` (tables of the design file) and ``limits``. Returns the ``design`` with
    the better accelerator of the two, ``fps``, ``latency_ms``, its demand and ``sized`` (was it the
    search's own that was beaten?).
    """
    design = design_from_dict(payload["design"], "candidate")
    limits = Limits(**payload["limits"])
    own = evaluate(design)
    tick({"step": "sizing"})
    found = size_accelerator(design, limits, EVALUATIONS, STRUCTURES)
    sized = found is not None and found.fps >= own.fps and not limits.exceeded(found.costs)
    best = evaluate(found.design(design)) if found is not None and sized else own
    return {
        "design": design_to_dict(best.design(design)),
        "fps": best.fps,
        "latency_ms": best.latency_cycles / design.clock_khz,
        "fps_before": own.fps,
        "sized": sized,
        **best.costs,
    }
