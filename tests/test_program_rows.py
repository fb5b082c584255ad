"""The compiled engine's program rows against the commands they stand for, number for number."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from model.design import load_design
from model.program import Command
from model.program_rows import DEPTHWISE, END, LOAD, MAC, STORE, WEIGHT, ProgramRows
from model.schedule import Schedule, compile_schedule
from model.segments import Segments
from model.sim_compute import MacShape
from testbench.campaign_cases import draw_case

NUMBER = {n: i for i, n in enumerate(("load", "weight", "depthwise", "mac", "store", "end"))}
NAMES = ("dnn_a", "dnn_c_w8f8_packed", "skynet", "tiny", "tiny_bypass", "tiny_odd", "tiny_conv")


def agree(schedule: Schedule) -> None:
    found, wanted = ProgramRows(schedule), CommandRows(schedule)
    assert found.commands == wanted.commands
    assert found.weight_groups == wanted.weight_groups
    assert found.output_groups == wanted.output_groups
    for ours, theirs in zip(found.parts, wanted.parts, strict=True):
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize("name", NAMES)
def test_designs_give_the_same_rows(root: Path, name: str) -> None:
    agree(compile_schedule(load_design(root / "designs" / f"{name}.toml"), 2))


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(seed=st.integers(0, 1 << 20), number=st.integers(0, 1 << 20))
def test_random_designs_give_the_same_rows(seed: int, number: int) -> None:
    case = draw_case(seed, number)
    agree(compile_schedule(case.design, case.frames))


class CommandRows:
    """What ``ProgramRows`` holds, from the commands one by one."""

    def __init__(self, schedule: Schedule) -> None:
        parts: list[list[int]] = [[] for _ in range(END + 1)]
        self.commands = [0] * END
        self.weight_groups = [0, 0]
        self.output_groups = 0
        slices = schedule.output.slices
        multipliers = schedule.design.accelerator.dw_multipliers
        inputs = 0  # input tile that the load before brought
        for command in schedule.commands:
            unit = NUMBER[command.unit]
            tag = command.bundle << 16 | command.tile
            parts[END] += (unit, tag)
            if unit == END:
                break
            self.commands[unit] += 1
            fields = command.fields
            if unit == LOAD:
                parts[LOAD] += (*_load(command), tag)
                inputs += 1
            elif unit == WEIGHT:
                self.weight_groups[fields["target"]] += fields["groups"]
                names = ("address", "groups", "group_words", "param_words", "group_beats", "target")
                parts[WEIGHT] += (*(fields[name] for name in names), tag)
            elif unit == DEPTHWISE:
                parts[DEPTHWISE] += (*_depthwise(command, multipliers), inputs - 1, tag)
            elif unit == MAC:
                parts[MAC] += (*_mac(command, inputs - 1, slices), tag)
            else:
                self.output_groups += fields["out_groups"]
                parts[STORE] += (*_store(command), tag)
        self.parts = [np.array(part, dtype=np.int64) for part in parts]


def _load(command: Command) -> Sequence[int]:
    get = command.fields
    segments = Segments.of_load(command)
    needed = get["sync"] if get["sync_enable"] else -1
    return (*segments.as_tuple(), get["frame_offset"], needed, segments.total_beats)


def _depthwise(command: Command, multipliers: int) -> Sequence[int]:
    get = command.fields
    kernel = 5 if get["kernel5"] else 3
    phases = -(-kernel * kernel // multipliers)
    stream = (get["rows"] + kernel - 1) * (get["cols"] + kernel - 1) * phases
    return (get["groups"], get["release_weights"], kernel * kernel, stream)


def _mac(command: Command, tile: int, slices: int) -> Sequence[int]:
    get = command.fields
    shape = MacShape.of(command, slices if get["raw"] else 1)
    return (
        get["source_mid"],
        tile,
        get["out_groups"],
        get["release_weights"],
        shape.cycles,
        shape.issues,
        shape.vectors,
        shape.first_vector,
        shape.first_emit,
        shape.last_issue,
        get["steps"] * shape.slices,
        get["last_steps"] * shape.slices,
        get["group_words"],
        get["param_words"],
    )


def _store(command: Command) -> Sequence[int]:
    get = command.fields
    groups = get["out_groups"]
    first = Segments.of_store(command, 0)
    last = Segments.of_store(command, groups - 1) if groups > 1 else first
    return (
        *first.as_tuple(),
        get["frame_offset"],
        groups,
        get["block_pitch"],
        last.last_beats,
        last.last_skew,
        get["bundle_last"],
        get["frame_last"],
    )
