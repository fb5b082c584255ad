"""Design files: what is written is what is built, and every mistake is named."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest

from model.design import design_from_dict, load_design
from model.design_writer import design_text, design_to_dict, write_design
from model.device import known_devices, load_device, read_device
from model.errors import TandemError
from model.toml_reader import read_toml

DESIGNS = Path(__file__).parent.parent / "designs"
OWN = ("dnn_a", "dnn_b", "dnn_c", "tiny", "tiny_conv", "tiny_f16", "tiny_odd", "tiny_pixel",
       "tiny_ultra96", "tiny_bypass", "tiny_packed", "dnn_c_w8f8_packed",
       "skynet", "skrskr")  # fmt: skip


@pytest.fixture
def tables() -> dict[str, Any]:
    return copy.deepcopy(design_to_dict(load_design(DESIGNS / "tiny.toml")))


@pytest.mark.parametrize("name", OWN)
def test_every_design_loads_and_is_named_after_its_file(name: str) -> None:
    assert load_design(DESIGNS / f"{name}.toml").name == name


@pytest.mark.parametrize("name", OWN)
def test_a_written_design_reads_back_equal(name: str, tmp_path: Path) -> None:
    design = load_design(DESIGNS / f"{name}.toml")
    path = tmp_path / "copy.toml"
    write_design(design, path, "A comment\nof two lines.")
    copied = load_design(path)
    assert design_to_dict(copied) == design_to_dict(design)
    assert copied.network == design.network
    assert copied.accelerator == design.accelerator
    assert design_text(copied) == design_text(design)


def test_derived_widths() -> None:
    a, b = (load_design(DESIGNS / f"{name}.toml") for name in ("dnn_a", "dnn_b"))
    assert (a.feature_bytes, a.beat_features, a.channel_align) == (1, 8, 8)
    assert (b.feature_bytes, b.beat_features, b.channel_align) == (2, 4, 4)
    assert (a.feature_max, a.weight_range) == (255, (-32768, 32767))
    assert a.clock_khz == 100_000


def test_a_clock_may_have_a_fraction(tables: dict[str, Any]) -> None:
    tables["clock_mhz"] = 187.5
    assert design_from_dict(tables).clock_khz == 187_500


def test_devices_hold_the_data_sheet() -> None:
    z1 = load_device("pynq_z1")
    assert (z1.dsp, z1.bram18, z1.lut, z1.ff) == (220, 280, 53_200, 106_400)
    assert z1.ddr.peak_bytes_per_second == 2_100_000_000
    assert {"pynq_z1", "ultra96"} <= set(known_devices())


BAD_VALUES: list[tuple[str, object, str]] = [
    ("name", "", "not empty"),
    ("name", "a/b", "letters"),
    ("name", 3, "string"),
    ("device", "zcu102", "pynq_z1"),
    ("clock_mhz", 0, "from 1 to 1000"),
    ("clock_mhz", "fast", "must be a number"),
    ("clock_mhz", float("nan"), "from 1 to 1000"),
    ("network", 3, "must be a table"),
    ("network.channels", 0, "from 1 to"),
    ("network.height", 4096, "from 1 to"),
    ("network.width", 8.0, "whole number"),
    ("network.bundles", ["dw3"], "list of lists"),
    ("network.bundles", [["dw3", 7]], "list of lists"),
    ("network.head", "conv1:10", "list of strings"),
    ("network.head", [["conv1:10"]], "list of strings"),
    ("precision.weight_bits", 17, "from 4 to 16"),
    ("precision.weight_bits", 3, "from 4 to 16"),
    ("precision.feature_bits", 17, "from 4 to 16"),
    ("precision.feature_bits", True, "whole number"),
    ("accelerator.in_lanes", 0, "one of 1, 2, 4, 8, 16"),
    ("accelerator.in_lanes", 3, "one of 1, 2, 4, 8, 16"),
    ("accelerator.requant_lanes", 32, "one of 1, 2, 4, 8, 16"),
    ("accelerator.out_lanes", 0, "from 1 to"),
    ("accelerator.out_lanes", 12, "multiple of 8"),
    ("accelerator.dw_multipliers", 0, "from 1 to 9"),
    ("accelerator.dw_multipliers", 10, "from 1 to 9"),
    ("accelerator.dw_multiplier_style", "fabric", "dsp, lut"),
    ("accelerator.dw_kernel_max", 4, "one of 3, 5"),
    ("accelerator.conv_kernel_max", 2, "one of 1, 3, 5"),
    ("accelerator.accumulator_bits", 15, "from 16 to 48"),
    ("accelerator.accumulator_bits", 49, "from 16 to 48"),
    ("accelerator.outstanding_bursts", 0, "from 1 to"),
    ("accelerator.command_depth", 1, "from 2 to"),
    ("accelerator.buffers.input_lines", 1, "from 2 to"),
    ("accelerator.buffers.weight_words", -8, "from 2 to"),
    ("accelerator.ports.load", 4, "from 0 to 3"),
    ("accelerator.ports.store", -1, "from 0 to 3"),
    ("accelerator.tile.height", -1, "from 0 to"),
]


@pytest.mark.parametrize(("key", "value", "rule"), BAD_VALUES)
def test_a_bad_value_is_refused_by_key_and_rule(
    tables: dict[str, Any], key: str, value: object, rule: str
) -> None:
    _set(tables, key, value)
    with pytest.raises(TandemError) as refusal:
        design_from_dict(tables, "my.toml")
    message = str(refusal.value)
    assert message.startswith(f"my.toml: {key} = ")
    assert rule in message


@pytest.mark.parametrize(
    "key",
    [
        "name",
        "device",
        "clock_mhz",
        "network",
        "network.head",
        "precision.weight_bits",
        "accelerator",
        "accelerator.out_lanes",
        "accelerator.accumulator_bits",
        "accelerator.buffers",
        "accelerator.buffers.mid_words",
    ],
)
def test_a_missing_key_is_named(tables: dict[str, Any], key: str) -> None:
    table, last = _inner(tables, key)
    del table[last]
    with pytest.raises(TandemError, match=rf"my\.toml: the key {key} is missing"):
        design_from_dict(tables, "my.toml")


@pytest.mark.parametrize(
    "key",
    [
        "clock",
        "network.depth",
        "precision.bits",
        "accelerator.in_lane",
        "accelerator.buffers.lines",
        "accelerator.ports.read",
        "accelerator.tile.rows",
    ],
)
def test_an_unknown_key_is_refused(tables: dict[str, Any], key: str) -> None:
    _set(tables, key, 1)
    with pytest.raises(TandemError, match=rf"my\.toml: {key} = 1: unknown key"):
        design_from_dict(tables, "my.toml")


def test_an_unknown_key_is_told_its_neighbour(tables: dict[str, Any]) -> None:
    tables["accelerator"]["in_lane"] = 2
    with pytest.raises(TandemError, match="did you mean in_lanes"):
        design_from_dict(tables)


def test_ports_and_tile_have_safe_defaults(tables: dict[str, Any]) -> None:
    del tables["accelerator"]["ports"], tables["accelerator"]["tile"]
    built = design_from_dict(tables).accelerator
    assert (built.ports.load, built.ports.store) == (0, 0)
    assert (built.tile_height, built.tile_width) == (0, 0)


def test_the_accumulator_holds_one_product(tables: dict[str, Any]) -> None:
    tables["precision"] = {"weight_bits": 16, "feature_bits": 8}
    tables["accelerator"]["accumulator_bits"] = 23
    with pytest.raises(TandemError, match="at least 24"):
        design_from_dict(tables)


@pytest.mark.parametrize(
    ("layer", "key"), [("dw5", "dw_kernel_max"), ("conv3:8", "conv_kernel_max")]
)
def test_a_layer_larger_than_the_built_kernel_is_named(
    tables: dict[str, Any], layer: str, key: str
) -> None:
    tables["network"]["bundles"][0] = [layer]
    with pytest.raises(TandemError, match=rf"accelerator\.{key} = .: layer bundle0"):
        design_from_dict(tables)


def test_files_that_are_no_design_are_refused(tmp_path: Path) -> None:
    with pytest.raises(TandemError, match=r"none\.toml: the design file cannot be read"):
        load_design(tmp_path / "none.toml")
    broken = tmp_path / "broken.toml"
    broken.write_text('name = "x')
    with pytest.raises(TandemError, match=r"broken\.toml: the design file is not valid TOML"):
        load_design(broken)
    broken.write_bytes(b"\xff\xfe")
    with pytest.raises(TandemError, match="UTF-8"):
        load_design(broken)
    with pytest.raises(TandemError, match="cannot be read"):
        load_design(tmp_path)


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("base = 0x1000_0000", "base = 0x1000_0001", "memory.base"),
        ("dsp = 220", "dsp = 0", "dsp = 0"),
        ("dsp = 220", "dsps = 220", "dsp is missing"),
        ("t_rcd = 7", "t_rcd = -7", "ddr.t_rcd"),
        ("banks = 8", "bank = 8", "ddr.bank"),
        ("axi_ports = 4", "axi_ports = 4\ncolour = 1", "colour"),
    ],
)
def test_a_bad_device_file_is_refused(tmp_path: Path, old: str, new: str, words: str) -> None:
    text = (Path(read_device.__code__.co_filename).parent / "devices/pynq_z1.toml").read_text()
    assert old in text
    path = tmp_path / "board.toml"
    path.write_text(text.replace(old, new))
    with pytest.raises(TandemError) as refusal:
        read_device(read_toml(path, "device file"), "board")
    assert str(path) in str(refusal.value)
    assert words in str(refusal.value)


def _inner(tables: dict[str, Any], key: str) -> tuple[dict[str, Any], str]:
    *path, last = key.split(".")
    for part in path:
        tables = tables[part]
    return tables, last


def _set(tables: dict[str, Any], key: str, value: object) -> None:
    table, last = _inner(tables, key)
    table[last] = value
