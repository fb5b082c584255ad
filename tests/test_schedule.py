"""Claims about passes, tiles, weight groups, memory layout and the tile program."""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from model.design import Design, design_from_dict, load_design
from model.design_writer import design_to_dict
from model.errors import TandemError
from model.passes import Pass, build_passes
from model.program import RECORD_BYTES, checksum, encode, package_text
from model.schedule import Schedule, compile_schedule
from model.segments import Segments
from rtl_sim.generate import PROGRAM_PACKAGE

DESIGNS = ("tiny", "tiny_conv", "tiny_odd", "tiny_f16", "tiny_ultra96", "tiny_pixel", "dnn_a")
DESIGNS += ("tiny_bypass", "skynet")


def changed(root: Path, name: str, **changes: Any) -> Design:
    """A committed design with keys replaced, named ``table__key`` or ``table__table__key``."""
    data = design_to_dict(load_design(root / "designs" / f"{name}.toml"))
    for path, value in changes.items():
        *tables, key = path.split("__")
        target = data
        for table in tables:
            target = target[table]
        target[key] = value
    return design_from_dict(data, name)


@pytest.fixture(params=DESIGNS)
def schedule(request: pytest.FixtureRequest, root: Path) -> Schedule:
    return compile_schedule(load_design(root / "designs" / f"{request.param}.toml"))


def passes_of(design: Design) -> tuple[Pass, ...]:
    return build_passes(design.network, design.accelerator)


def test_dw_then_pw_then_pool_is_one_pass(root: Path) -> None:
    design = changed(root, "tiny", network__bundles=[["dw3", "conv1:8", "maxpool"]])
    assert [len(item.layers) for item in passes_of(design)] == [3, 1]


def test_a_conv3_after_a_depthwise_layer_starts_a_pass(root: Path) -> None:
    design = changed(
        root,
        "tiny_conv",
        network__bundles=[["dw3", "conv3:8", "conv1:8", "maxpool", "avgpool"]],
        network__head=["conv1:4"],
    )
    names = [item.name for item in passes_of(design)]
    assert names == [
        "bundle0.dw3",
        "bundle0.conv3",
        "bundle0.maxpool",
        "bundle0.avgpool",
        "head.conv1",
    ]


def test_tiles_cover_every_output_pixel_once(schedule: Schedule) -> None:
    for plan in schedule.plans:
        seen: set[tuple[int, int]] = set()
        for tile in plan.tiles:
            cells = {
                (row, col)
                for row in range(tile.row, tile.row + tile.rows)
                for col in range(tile.col, tile.col + tile.cols)
            }
            assert not cells & seen
            seen |= cells
        scale = plan.item.scale
        assert all(not edge % scale for tile in plan.tiles for edge in (tile.row, tile.col))
        assert len(seen) == plan.target.height * plan.target.width * scale**2


def test_regions_of_memory_do_not_overlap(schedule: Schedule) -> None:
    base = schedule.design.device.memory_base
    regions = [(schedule.program_address, len(schedule.commands) * RECORD_BYTES)]
    regions.append((schedule.image.address, schedule.image.total_bytes))
    for plan in schedule.plans:
        target = plan.target
        for phase in range(4 if plan.item.to_depth else 1):
            start = target.address + phase * target.blocks * target.block_pitch
            starts = (start + row * target.row_pitch for row in range(target.height))
            regions += [(begin, target.row_bytes) for begin in starts]
        runs = (plan.dw_weights, plan.mac_weights)
        regions += [(run.address, run.total_bytes) for run in runs if run is not None]
    regions.sort()
    for (start, size), (following, _) in itertools.pairwise(regions):
        assert start + size <= following
    assert regions[-1][0] + regions[-1][1] <= base + schedule.memory_bytes


def test_a_load_waits_for_the_stores_that_write_what_it_reads(schedule: Schedule) -> None:
    base = schedule.design.device.memory_base
    writer = np.zeros(schedule.memory_bytes // 8, dtype=np.int64)  # store that wrote a beat, from 1

    def beats(segments: Iterable[tuple[int, int]]) -> list[slice]:
        return [slice((at - base) // 8, (at - base) // 8 + count) for at, count in segments]

    stores = 0
    for command in schedule.commands:
        if command.unit == "load":
            parts = [writer[part] for part in beats(Segments.of_load(command))]
            needed = set(np.concatenate(parts).tolist())
            assert max(needed) == command.sync * command.sync_enable
            assert (0 in needed) == (not command.sync_enable), "reads what nobody wrote"
        elif command.unit == "store":
            stores += 1
            for group in range(command.out_groups):
                for part in beats(Segments.of_store(command, group)):
                    assert not writer[part].any(), "written twice"
                    writer[part] = stores


def test_every_record_decodes_to_its_checksum(schedule: Schedule) -> None:
    data = encode(schedule.commands)
    assert len(data) % 128 == 0
    for index in range(len(schedule.commands)):
        record = data[index * RECORD_BYTES : (index + 1) * RECORD_BYTES]
        assert checksum(record[:-4]) == int.from_bytes(record[-4:], "little")


def test_any_changed_word_changes_the_checksum(schedule: Schedule) -> None:
    record = schedule.commands[0].encode()
    for word in range(15):
        damaged = bytearray(record)
        damaged[4 * word + word % 4] ^= 0x10
        assert checksum(bytes(damaged[:-4])) != int.from_bytes(record[-4:], "little")


def test_the_generated_package_is_the_committed_one() -> None:
    assert PROGRAM_PACKAGE.read_text() == package_text(), "run python -m rtl_sim.generate"


@pytest.mark.parametrize(
    ("buffer", "value"),
    [("input_lines", 4), ("mid_words", 2), ("output_lines", 2), ("dw_line_words", 2)],
)
def test_a_tile_too_large_for_its_buffer_says_need_and_limit(
    root: Path, buffer: str, value: int
) -> None:
    design = changed(root, "tiny", accelerator__tile={"height": 8, "width": 24})
    buffers = replace(design.accelerator.buffers, **{buffer: value})
    design = replace(design, accelerator=replace(design.accelerator, buffers=buffers))
    with pytest.raises(TandemError, match=rf"bundle0.*needs \d+ {buffer}, the design has {value}"):
        compile_schedule(design)


def test_weights_that_do_not_fit_their_store_name_the_layer(root: Path) -> None:
    design = changed(root, "tiny", accelerator__buffers__weight_words=2)
    with pytest.raises(TandemError, match=r"layer bundle1.*needs \d+ weight_words, .* has 2"):
        compile_schedule(design)


def test_weights_that_fit_only_group_by_group_are_fetched_for_every_tile(root: Path) -> None:
    resident = compile_schedule(changed(root, "tiny"))
    streamed = compile_schedule(changed(root, "tiny", accelerator__buffers__weight_words=13))

    def runs(schedule: Schedule) -> int:
        return sum(command.unit == "weight" for command in schedule.commands)

    assert runs(streamed) > runs(resident)


def test_a_memory_image_too_large_for_the_device_is_refused(root: Path) -> None:
    with pytest.raises(TandemError, match="memory image needs"):
        compile_schedule(load_design(root / "designs" / "dnn_a.toml"), frames=2000)


# ---- bypass


def bypassed(root: Path, *bundles: list[str], **changes: Any) -> Design:
    return changed(root, "tiny_bypass", network__bundles=list(bundles), **changes)


def test_the_pool_after_a_bypassed_bundle_joins_its_pass_where_that_is_faster(root: Path) -> None:
    def cut(inputs: int) -> list[tuple[str, int, bool, bool]]:
        middle = ["dw3", "conv1:8"]
        design = bypassed(
            root, [f"conv1:{inputs}"], middle, ["maxpool", "dw3"], ["bypass:1", "conv1:8"]
        )
        found = passes_of(design)[1:-3]
        return [(item.name, len(item.layers), item.to_depth, item.bundle_last) for item in found]

    # Of 8 lanes out and 2 in: a copy takes 4 cycles a pixel, the convolution one for 2 channels.
    assert cut(16) == [("bundle2.maxpool", 3, False, False), ("bundle1.conv1", 2, True, True)]
    assert cut(17) == [
        ("bundle1.conv1", 2, False, False),
        ("bundle1.conv1", 0, True, True),
        ("bundle2.maxpool", 1, False, False),
    ]


def test_every_bundle_keeps_a_pass(root: Path) -> None:
    design = bypassed(root, ["conv1:8"], ["maxpool"], ["bypass:0", "conv1:8"])
    assert [item.bundle for item in passes_of(design) if item.bundle_last] == [0, 1, 2, 3]


def test_multiplications_done_twice_count_once(root: Path) -> None:
    for name in ("tiny_bypass", "skynet"):
        design = load_design(root / "designs" / f"{name}.toml")
        assert sum(item.macs for item in passes_of(design)) == design.network.macs


@pytest.mark.parametrize(("channels", "padded"), [(8, 8), (5, 8), (9, 16)])
def test_phases_of_a_bypass_are_whole_blocks(root: Path, channels: int, padded: int) -> None:
    design = bypassed(root, [f"conv1:{channels}"], ["maxpool"], ["bypass:0", "conv1:8"])
    source = next(
        plan.source
        for plan in compile_schedule(design).plans
        if plan.item.source is not None and plan.item.source.kind == "bypass"
    )
    assert source.channels == 4 * padded + channels
    phases = [padded * phase + channel for phase in range(4) for channel in range(channels)]
    assert source.positions.tolist() == phases + [4 * padded + c for c in range(channels)]


def test_a_bypass_too_wide_in_whole_blocks_is_refused(root: Path) -> None:
    wide = [["conv1:1"], ["maxpool", "conv1:4090"], ["bypass:0", "dw3", "conv1:8"]]
    with pytest.raises(TandemError, match=r"bundle2.bypass: 4122 channels .* lower out_lanes"):
        compile_schedule(bypassed(root, *wide, accelerator__buffers__param_words=2048))


def test_a_map_of_too_many_blocks_is_refused(root: Path) -> None:
    design = bypassed(
        root, ["conv1:2048"], ["conv1:8"], accelerator__buffers__param_words=2048
    )
    with pytest.raises(TandemError, match=r"bundle1.conv1: reads a map of 256 blocks"):
        compile_schedule(design)
