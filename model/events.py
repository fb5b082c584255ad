"""Timed events and the file format that simulator and RTL share.

One event a line: ``cycle unit kind bundle tile``, sorted. Cycle 0 is the clock edge that accepts
the start write. Comparing two runs is comparing two sorted lists.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from model.errors import TandemError

UNITS = ("sequencer", "load", "weight", "depthwise", "mac", "post", "store")
KINDS = (
    "dispatch",
    "tile_start",
    "tile_end",
    "first_beat",
    "last_beat",
    "weight_ready",
    "bundle_done",
    "frame_done",
)


class Event(NamedTuple):
    """What happened when: ``cycle`` from the accepted start, tags of the command concerned."""

    cycle: int
    unit: str
    kind: str
    bundle: int
    tile: int


def write_events(path: Path, events: Iterable[Event]) -> None:
    """Write the events sorted, one a line."""
    path.write_text("".join(" ".join(map(str, event)) + "\n" for event in sorted(events)))


def read_events(path: Path) -> list[Event]:
    """Read and sort an event file. TandemError names the line that is not an event."""
    events = []
    for number, line in enumerate(path.read_text().splitlines(), 1):
        parts = line.split()
        if len(parts) != 5 or parts[1] not in UNITS or parts[2] not in KINDS:
            raise TandemError(f"{path}:{number}: {line!r} is no event: simulate again")
        cycle, unit, kind, bundle, tile = parts
        events.append(Event(int(cycle), unit, kind, int(bundle), int(tile)))
    return sorted(events)


def mismatches(left: Sequence[Event], right: Sequence[Event]) -> list[tuple[str, Event]]:
    """Events that only one side has (as multisets): ("left" | "right", event), in time order."""
    ours, theirs = Counter(left), Counter(right)
    only = [("left", event) for event in (ours - theirs).elements()]
    only += [("right", event) for event in (theirs - ours).elements()]
    return sorted(only, key=lambda item: (item[1], item[0]))
