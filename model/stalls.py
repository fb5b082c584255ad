"""Closed stall accounting: where every cycle of every unit went, by cause, exactly.

For each unit busy and waits by cause sum to the cycles of the run. The causes refine the hardware's
counters: ``wait_input`` is input + fill + drain, ``wait_output`` is output, ``wait_ddr`` is weights
+ ddr_latency + ddr_bandwidth + arbitration + refresh (``tests/test_stalls.py`` compares them). What
each cause means, and how it is found, is in ``docs/stalls.md``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from model.schedule import Schedule
from model.simulator import Simulation
from model.spans import CAUSES, CLASS_OF_CAUSE, CLASSES, Spans
from model.timeline import Timeline, build_timeline

__all__ = ["CAUSES", "Stalls", "by_bundle", "counters", "find_stalls", "stall_account"]

Account = dict[str, int]


@dataclass(frozen=True)
class Stalls:
    """Cycles by unit and cause, and the same by unit, bundle and cause."""

    total_cycles: int
    units: dict[str, Account]
    bundles: dict[str, dict[int, Account]]

    @staticmethod
    def of(timeline: Timeline) -> Stalls:
        """The sums of a timeline."""
        bundles = {name: _by_bundle(spans) for name, spans in timeline.units.items()}
        return Stalls(
            timeline.total, {name: _sum(found) for name, found in bundles.items()}, bundles
        )

    def record(self) -> dict[str, object]:
        """For JSON: ``units`` and ``bundles``; the bundles' numbers are keys, so strings."""
        bundles = {
            name: {str(bundle): dict(account) for bundle, account in found.items()}
            for name, found in self.bundles.items()
        }
        return {"causes": list(CAUSES), "units": self.units, "bundles": bundles}


def find_stalls(schedule: Schedule, run: Simulation) -> Stalls:
    """The stalls of a run of the schedule, whichever engine it was.

    TandemError for a run too long to be looked at burst by burst.
    """
    return Stalls.of(build_timeline(schedule, run))


def stall_account(schedule: Schedule, run: Simulation) -> dict[str, Account]:
    """Cycles by unit and cause; each unit's sum is ``run.total_cycles``. Errors: find_stalls."""
    return find_stalls(schedule, run).units


def by_bundle(schedule: Schedule, run: Simulation) -> dict[str, dict[int, Account]]:
    """Cycles by unit, bundle and cause; over the bundles they sum to :func:`stall_account`.

    A wait belongs to the bundle of the tile waited for; after a unit's last tile, to that one's.
    """
    return find_stalls(schedule, run).bundles


def counters(account: Mapping[str, int]) -> Account:
    """What the hardware's counters say of a unit: each is the sum of its causes."""
    found = dict.fromkeys(CLASSES, 0)
    for cause, number in zip(CAUSES, CLASS_OF_CAUSE.tolist(), strict=True):
        found[CLASSES[number]] += account[cause]
    return found


def _by_bundle(spans: Spans) -> dict[int, Account]:
    """A unit that has nothing to do in the whole run counts as waiting in bundle 0."""
    bundle = np.maximum(spans.tag, 0) >> 16
    key = bundle * len(CAUSES) + spans.cause
    sums = np.bincount(key, weights=spans.cycles, minlength=(int(bundle.max()) + 1) * len(CAUSES))
    table = sums.astype(np.int64).reshape(-1, len(CAUSES)).tolist()
    there = set(bundle.tolist())
    return {
        index: dict(zip(CAUSES, row, strict=True))
        for index, row in enumerate(table)
        if index in there
    }


def _sum(bundles: Mapping[int, Account]) -> Account:
    return {cause: sum(account[cause] for account in bundles.values()) for cause in CAUSES}
