"""The board's side: alone it says the same as ``model/``, and it needs NumPy and pynq only."""

from __future__ import annotations

import ast
import dataclasses
import json
import math
import sys
import types
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from board_cases import FRAMES, boxed_network, deploy

from boards.deployment import ADDRESSED, map_layout, plan_deployment, write_deployment
from boards.package_command import self_test_images
from boards.pynq_z1 import run as board_run
from boards.pynq_z1.driver import Accelerator, BoardError, Host, read_manifest
from boards.pynq_z1.layout import MapLayout, decode_box, relocate
from boards.pynq_z1.power import PowerMeter
from model.design import Design, load_design
from model.errors import TandemError
from model.feature_map import FeatureMap
from model.memory_image import bind
from model.program import CHECKSUM_SEED, OPCODES, encode, layout_of
from model.schedule import compile_schedule

BOARD_FILES = sorted((Path(board_run.__file__).parent).glob("*.py"))
DESIGNS = ("tiny", "tiny_f16", "tiny_bypass", "tiny_odd")


def design_of(root: Path, name: str) -> Design:
    return load_design(root / "designs" / f"{name}.toml")


@pytest.mark.parametrize("path", BOARD_FILES, ids=lambda path: path.name)
def test_the_driver_needs_python_3_8_numpy_and_pynq_only(path: Path) -> None:
    tree = ast.parse(path.read_text(), feature_version=(3, 8))
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names.add(node.module or "")
    ours = {"boards.pynq_z1.driver", "boards.pynq_z1.layout", "boards.pynq_z1.power"}
    foreign = {name.split(".")[0] for name in names - ours}
    assert foreign <= {"numpy", "PIL"} | set(sys.stdlib_module_names)


@pytest.mark.parametrize(
    ("channels", "lanes", "slices", "feature_bytes"),
    [(3, None, 1, 1), (20, None, 1, 2), (11, (0, 4, 9), 1, 1), (10, None, 4, 1), (10, None, 2, 2)],
)
def test_maps_are_packed_and_unpacked_as_in_the_model(
    channels: int,
    lanes: tuple[int, ...] | None,
    slices: int,
    feature_bytes: int,
    rng: np.random.Generator,
) -> None:
    theirs = FeatureMap("m", channels, 5, 7, 8, 4, feature_bytes, 4, slices, 0x2000, 0, lanes)
    ours = MapLayout.from_json(map_layout(theirs, 0x1000, 4096))
    assert ours.total_bytes() == theirs.total_bytes and ours.offset == 0x1000
    data = rng.integers(0, 256, theirs.total_bytes, dtype=np.uint8)
    np.testing.assert_array_equal(ours.unpack(data), theirs.unpack(data.tobytes()))
    if slices == 1:
        values = rng.integers(0, 256, ours.shape)
        assert ours.pack(values).tobytes() == theirs.pack(values)


@pytest.mark.parametrize("name", DESIGNS)
@pytest.mark.parametrize("delta", [0x0680_4000, -0x0800_0000])
def test_a_moved_program_is_the_program_compiled_for_there(
    name: str, delta: int, root: Path
) -> None:
    design = design_of(root, name)
    network = boxed_network(design)
    base = design.device.memory_base
    device = dataclasses.replace(design.device, memory_base=base + delta)
    here, there = (
        np.frombuffer(encode(bind(compile_schedule(d, 2), network)), np.uint8)
        for d in (design, dataclasses.replace(design, device=device))
    )
    codes = [OPCODES[unit] for unit in ADDRESSED]
    end = 64 * len(compile_schedule(design, 2).commands)
    bit = layout_of("load")["address"][0]
    moved = relocate(here[:end], delta, codes, bit, CHECKSUM_SEED)
    np.testing.assert_array_equal(moved, there[:end])
    assert relocate(here[:end], 0, codes, bit, CHECKSUM_SEED).tobytes() == here[:end].tobytes()


def test_the_box_is_the_model_s(root: Path, rng: np.random.Generator) -> None:
    head = boxed_network(design_of(root, "tiny")).head
    assert head is not None
    entry = {"scale": head.scale, "offset": head.offset, "anchors": head.anchors}
    for _ in range(20):
        values = rng.integers(-4000, 4000, (10, 6, 9))
        wanted = head.detect(values)
        assert decode_box(values, entry) == (wanted.box, wanted.confidence)


class Clock:
    """A clock that a test sets."""

    def __init__(self) -> None:
        self.now = 0.0

    def perf_counter(self) -> float:
        self.now += 0.01
        return self.now


class Sensor:
    """Reads one value after the other, then the last one for ever."""

    def __init__(self, *values: float) -> None:
        self.left = list(values)

    @property
    def value(self) -> float:
        return self.left.pop(0) if len(self.left) > 1 else self.left[0]


def rails(*watts: float) -> Any:
    def rail(**sensors: Sensor) -> Any:
        return types.SimpleNamespace(**{"power": None, "voltage": None, "current": None, **sensors})

    found = {
        "5V": rail(power=Sensor(*watts)),
        "3V3": rail(voltage=Sensor(3.3)),
        "1V": rail(voltage=Sensor(1.0), current=Sensor(0.5)),
    }
    return types.SimpleNamespace(get_rails=lambda: found)


def test_rails_are_sampled_where_there_are_some() -> None:
    meter = PowerMeter(rails(2.0, 2.5), Clock())
    meter.sample()
    meter.sample()
    record = meter.record()
    assert record is not None
    assert record["watts"] == {"5V": [2.0, 2.5], "1V": [0.5, 0.5]}
    assert record["seconds"] == sorted(record["seconds"])


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_sample_that_is_no_number_ends_the_measurement(value: float) -> None:
    meter = PowerMeter(rails(2.0, value, 2.0), Clock())
    for _ in range(3):
        meter.sample()
    assert meter.record() is None
    assert meter.problem is not None and "rail 5V: sample 1 is" in meter.problem


def broken() -> None:
    raise OSError("libsensors is not there")


@pytest.mark.parametrize("pynq", [types.SimpleNamespace(), types.SimpleNamespace(get_rails=broken)])
def test_a_board_without_sensors_reports_no_power(pynq: Any) -> None:
    meter = PowerMeter(pynq, Clock())
    meter.sample()
    assert meter.record() is None and meter.problem is None


class FakeBoard:
    """Registers that answer as told; the accelerator computes nothing."""

    Clocks = types.SimpleNamespace(fclk0_mhz=100.0)

    def __init__(self, manifest: dict[str, Any], status: list[int]) -> None:
        self.names = {at: name for name, at in manifest["registers"].items()}
        self.values = {"BUILD_ID": manifest["build_id"], "ERROR_INFO": 0x02_0003_01}
        self.status, self.written = status, []
        place = {manifest["ip"]: {"phys_addr": 0x43C0_0000, "addr_range": 4096}}
        self.Overlay = lambda _: types.SimpleNamespace(ip_dict=place)

    def MMIO(self, *_: int) -> Any:  # noqa: N802  (pynq's name)
        def read(at: int) -> int:
            name = self.names.get(at, "")
            if name == "STATUS":
                return self.status.pop(0) if len(self.status) > 1 else self.status[0]
            return self.values.get(name, 0)

        def write(at: int, value: int) -> None:
            self.written.append((self.names[at], value))

        return types.SimpleNamespace(read=read, write=write)

    def allocate(self, shape: tuple[int], dtype: Any) -> Any:
        class Buffer(np.ndarray):  # type: ignore[type-arg]
            physical_address = 0x1680_1000

            def flush(self) -> None: ...

            invalidate = freebuffer = flush

        return np.zeros(shape, dtype=dtype).view(Buffer)


class Sleeper(Clock):
    def sleep(self, seconds: float) -> None:
        self.now += seconds


@pytest.fixture(scope="module")
def folder(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("board") / "deployment"
    deploy(design_of(root, "tiny"), out)
    (out / "tandem.bit").write_bytes(b"bits")
    return out


def accelerator(folder: Path, *status: int) -> tuple[Accelerator, FakeBoard, list[Any]]:
    manifest = read_manifest(folder)
    pynq = FakeBoard(manifest, list(status))
    found = Accelerator(folder, Host(pynq, Sleeper()))
    return found, pynq, [np.zeros(found.image.shape, np.int64)]


def test_the_memory_lies_where_every_burst_keeps_its_bank(folder: Path) -> None:
    found, pynq, images = accelerator(folder, 0, 1, 2)
    align = found.manifest["memory"]["alignment"]
    assert found.memory_address % align == 0
    found.run(images, 1.0)
    assert ("PROGRAM_ADDRESS", found.memory_address) in pynq.written
    assert ("FRAMES", 1) in pynq.written


@pytest.mark.parametrize(
    ("status", "words"),
    [
        ((1,), "is busy with another run"),
        ((0, 0x0504), "error 5 (feature read response) in bundle 1, tile 3, response 2"),
        ((0, 1), "no end after 0.5 s"),
    ],
)
def test_a_run_that_does_not_end_well_is_told(
    status: tuple[int, ...], words: str, folder: Path
) -> None:
    found, pynq, images = accelerator(folder, *status)
    with pytest.raises(BoardError) as caught:
        found.run(images, 0.5)
    assert words in str(caught.value)
    assert (("CTRL", 2) in pynq.written) == (status == (0, 1))  # aborted


def test_a_power_sample_that_is_no_number_costs_the_power_alone(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    manifest = read_manifest(folder)
    pynq = FakeBoard(manifest, [0, 1, 1, 2])
    pynq.values.update(FRAMES_DONE=FRAMES, TOTAL_CYCLES=7 * 100)
    pynq.get_rails = rails(2.0, math.nan).get_rails  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "pynq", pynq)
    log = tmp_path / "run.json"
    status = board_run.main(["--folder", str(folder), "--log", str(log)], Sleeper())
    assert status == 1  # this board computes nothing
    assert "rail 5V: sample 1 is nan" in capsys.readouterr().err
    found = json.loads(log.read_text())
    assert found["power"] is None and "rail 5V" in found["power_problem"]
    assert found["runs"][0]["total_cycles"] == 700 and len(found["answers"]) == FRAMES


def test_images_that_do_not_fit_are_refused(folder: Path) -> None:
    found, _, images = accelerator(folder, 0)
    bad = {
        "takes 1 to 3 at a time": images * (FRAMES + 1),
        "has shape": [images[0][:, :-1]],
        "values outside 0 to 255": [images[0] + 256],
    }
    for words, given in bad.items():
        with pytest.raises(BoardError, match=words):
            found.run(given, 1.0)


def test_another_accelerator_in_the_fpga_is_refused(folder: Path) -> None:
    pynq = FakeBoard(read_manifest(folder), [0])
    pynq.values["BUILD_ID"] = 7
    with pytest.raises(BoardError, match="the FPGA holds accelerator 0x00000007"):
        Accelerator(folder, Host(pynq, Sleeper()))


def test_a_damaged_folder_is_refused(root: Path, tmp_path: Path) -> None:
    deploy(design_of(root, "tiny"), tmp_path / "d")
    pynq = FakeBoard(read_manifest(tmp_path / "d"), [0])
    with pytest.raises(BoardError, match="is missing: build it"):
        Accelerator(tmp_path / "d", Host(pynq, Sleeper()))
    (tmp_path / "d" / "tandem.bit").write_bytes(b"bits")
    (tmp_path / "d" / "memory.bin").write_bytes(b"half")
    with pytest.raises(BoardError, match=r"4 bytes, \d+ are wanted"):
        Accelerator(tmp_path / "d", Host(pynq, Sleeper()))
    for text in ("", "{", "[]", '{"schema": "tandem-deployment", "version": 9}'):
        (tmp_path / "d" / "deployment.json").write_text(text)
        with pytest.raises(BoardError, match="deployment"):
            read_manifest(tmp_path / "d")


def test_a_folder_with_something_else_is_left_alone(root: Path, tmp_path: Path) -> None:
    design = design_of(root, "tiny")
    plan = plan_deployment(design, boxed_network(design), self_test_images(design, 1, 1))
    (tmp_path / "letter.txt").write_text("dear")
    with pytest.raises(TandemError, match="holds something else"):
        write_deployment(plan, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["letter.txt"]
    out = tmp_path / "d"
    write_deployment(plan, out)
    (out / "tandem.bit").write_bytes(b"bits")
    write_deployment(plan, out)  # the same RTL: its bitstream stays
    other = design_of(root, "tiny_bypass")
    with pytest.raises(TandemError, match="bitstream of another accelerator"):
        write_deployment(
            plan_deployment(other, boxed_network(other), self_test_images(other, 1, 1)), out
        )


def test_only_boards_that_there_are_can_be_packaged(root: Path) -> None:
    design = design_of(root, "tiny_ultra96")
    with pytest.raises(TandemError, match="is for ultra96, boards can be packaged for pynq_z1"):
        plan_deployment(design, boxed_network(design), self_test_images(design, 1, 1))
