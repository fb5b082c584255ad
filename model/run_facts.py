"""A finished run as columns: its events by unit and kind, and the program's commands by unit."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from model import fast_state as at
from model.events import Event
from model.fast_simulator import PackedEvents
from model.program_rows import DEPTHWISE, END, LOAD, MAC, STORE, WEIGHT, ProgramRows
from model.schedule import Schedule

Column = NDArray[np.int64]

_ROW_SIZES = {
    LOAD: at.LOAD_ROW,
    WEIGHT: at.WEIGHT_ROW,
    DEPTHWISE: at.DEPTHWISE_ROW,
    MAC: at.MAC_ROW,
    STORE: at.STORE_ROW,
    END: at.SEQUENCER_ROW,
}


class EventColumns:
    """Events as columns, sorted by cycle."""

    def __init__(self, events: Sequence[Event]) -> None:
        keys = events.keys() if isinstance(events, PackedEvents) else _keys(events)
        self.cycle = keys >> at.CYCLE_SHIFT
        self.unit = keys >> at.TAG_BITS + at.KIND_BITS & (1 << at.UNIT_BITS) - 1
        self.kind = keys >> at.TAG_BITS & (1 << at.KIND_BITS) - 1
        self.tag = keys & (1 << at.TAG_BITS) - 1

    def __len__(self) -> int:
        return len(self.cycle)

    def where(self, unit: str, kind: str) -> tuple[Column, Column]:
        """(cycles, tags) of the events of one unit and kind."""
        chosen = self.unit == at.EVENT_UNITS.index(unit)
        chosen &= self.kind == at.EVENT_KINDS.index(kind)
        return self.cycle[chosen], self.tag[chosen]

    def cycles(self, unit: str, kind: str) -> Column:
        """The cycles of the events of one unit and kind."""
        return self.where(unit, kind)[0]


def _keys(events: Sequence[Event]) -> Column:
    units = {name: index for index, name in enumerate(at.EVENT_UNITS)}
    kinds = {name: index for index, name in enumerate(at.EVENT_KINDS)}
    unit_shift = at.TAG_BITS + at.KIND_BITS
    return np.array(
        [
            cycle << at.CYCLE_SHIFT
            | units[unit] << unit_shift
            | kinds[kind] << at.TAG_BITS
            | bundle << 16
            | tile
            for cycle, unit, kind, bundle, tile in events
        ],
        np.int64,
    )


class Commands:
    """The commands of all frames by unit: rows of numbers, ``model/fast_state.py`` names them."""

    def __init__(self, schedule: Schedule) -> None:
        self.frames = schedule.frames
        self._rows = ProgramRows(schedule)

    def of(self, unit: int) -> Column:
        """(commands of all frames, numbers of a row); of END: (unit, tag) of every record."""
        rows = self._rows.parts[unit].reshape(-1, _ROW_SIZES[unit])
        return np.tile(rows, (self.frames, 1))

    @cached_property
    def per_frame(self) -> int:
        """Records of a frame, ``end`` included."""
        return len(self._rows.parts[END]) // at.SEQUENCER_ROW
