"""Pushes command records into a unit's FIFO, as the sequencer would."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

from model.program import RECORD_BYTES, Command
from testbench.clocked import Stall, value


def record(command: Command) -> int:
    """The 512 bits of a command's record."""
    data = command.encode()
    assert len(data) == RECORD_BYTES
    return int.from_bytes(data, "little")


class CommandSource:
    """One push a cycle while the FIFO is not full and the stall allows; notes the cycles."""

    def __init__(self, dut: Any, rng: random.Random, commands: Sequence[Command]) -> None:
        self.dut = dut
        self.commands = commands
        self.pushed: list[int] = []  # cycle of each push
        self._stall = Stall(rng)
        self._mask = (1 << len(dut.cmd_i)) - 1

    def drive(self, cycle: int) -> None:
        """Inputs of this cycle."""
        # full is a register: it has its value of this cycle already.
        push = (
            len(self.pushed) < len(self.commands)
            and not value(self.dut.cmd_full_o)
            and not self._stall(cycle)
        )
        self.dut.cmd_push_i.value = push
        if push:
            self.dut.cmd_i.value = record(self.commands[len(self.pushed)]) & self._mask
            self.pushed.append(cycle)

    def sample(self, _cycle: int) -> None:
        """Nothing to look at."""


def split(segments: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """Segments as bursts (address, beats): at most 16 beats, never across 4 KB."""
    bursts = []
    for start, count in segments:
        address, beats = start, count
        while beats:
            length = min(16, beats, (4096 - address % 4096) // 8)
            bursts.append((address, length))
            address += 8 * length
            beats -= length
    return bursts
