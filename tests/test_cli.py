"""The commands: what they print, their JSON, their exit status, and every kind of bad input."""

from __future__ import annotations

import dataclasses
import json
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from click.testing import Result
from typer.testing import CliRunner

from model.design import load_design
from model.events import Event, read_events
from model.network_file import save_network
from model.random_network import random_network
from model.schedule import compile_schedule
from model.simulator import simulate
from rtl_sim.build import SimulationFailed, build
from tandem import app
from testbench import bench_command, verify_command
from testbench.campaign import Journal, fingerprint
from testbench.campaign_report import Outcome
from testbench.verify import MapDifference, Verification, verify

SIMULATE_KEYS = {
    "latency_cycles", "cycles_per_frame", "latency_ms", "fps", "ddr_bytes", "units",
    "mac_utilisation", "resources", "power_w", "images_per_joule", "sim_seconds",
}  # fmt: skip
VERIFY_KEYS = {
    "sim_cycles", "rtl_cycles", "events", "event_mismatches", "values", "value_mismatches",
    "sim_seconds", "rtl_seconds",
}  # fmt: skip
CLASSES = ("busy", "wait_input", "wait_output", "wait_ddr")

Edit = Callable[..., Path]


def run(*args: object) -> Result:
    return CliRunner().invoke(app, [str(arg) for arg in args])


def refused(*args: object) -> str:
    """The one line of a command that refuses its input."""
    found = run(*args)
    assert found.exit_code == 2, found.output
    assert found.stdout == ""
    (line,) = found.stderr.strip().splitlines()
    assert line.startswith("tandem: ")
    return line


@pytest.fixture
def tiny(root: Path) -> Path:
    return root / "designs" / "tiny.toml"


@pytest.fixture
def out(root: Path) -> Path:
    """Where the tests' compiled simulations are."""
    return root / "build"


@pytest.fixture
def edited(tiny: Path, tmp_path: Path) -> Edit:
    """A copy of tiny.toml with one text replaced."""

    def edit(old: str, new: str) -> Path:
        text = tiny.read_text()
        assert old in text
        path = tmp_path / "edited.toml"
        path.write_text(text.replace(old, new, 1))
        return path

    return edit


# ---- help ----


@pytest.mark.parametrize(
    "command", [(), ("simulate",), ("verify",), ("evaluate",), ("scenes",), ("bench",)]
)
def test_help_reads_without_running_anything(command: tuple[str, ...]) -> None:
    found = run(*command, "--help")
    assert found.exit_code == 0
    assert "Usage" in found.stdout
    assert "--help" in found.stdout


def test_an_unknown_option_is_wrong_input(tiny: Path) -> None:
    assert run("simulate", tiny, "--frame", "1").exit_code == 2


# ---- simulate ----


def test_simulate_gives_the_record_of_the_contract(tiny: Path) -> None:
    found = run("simulate", tiny, "--json")
    assert found.exit_code == 0
    record = json.loads(found.stdout)
    assert set(record) >= SIMULATE_KEYS
    assert set(record["resources"]) >= {"dsp", "bram18", "lut", "ff", "fits"}
    wanted = simulate(compile_schedule(load_design(tiny)))
    assert record["latency_cycles"] == wanted.latency_cycles == record["cycles_per_frame"]
    assert record["fps"] == pytest.approx(1e8 / wanted.total_cycles)
    assert record["latency_ms"] == pytest.approx(wanted.total_cycles / 1e5)
    assert record["images_per_joule"] == pytest.approx(record["fps"] / record["power_w"])


def test_each_units_classes_sum_to_the_total(tiny: Path) -> None:
    record = json.loads(run("simulate", tiny, "--frames", 2, "--json").stdout)
    for account in record["units"].values():
        assert sum(account[kind] for kind in CLASSES) == record["total_cycles"]


def test_frames_per_second_are_of_the_steady_state(tiny: Path) -> None:
    record = json.loads(run("simulate", tiny, "--frames", 3, "--json").stdout)
    done = simulate(compile_schedule(load_design(tiny), 3)).frame_done_cycles
    assert record["cycles_per_frame"] == (done[2] - done[0]) / 2
    assert record["fps"] == pytest.approx(1e8 / record["cycles_per_frame"])


def test_simulate_prints_a_table(tiny: Path) -> None:
    found = run("simulate", tiny)
    assert found.exit_code == 0
    assert "tiny on pynq_z1, W8 F8, 100 MHz" in found.stdout
    for word in ("depthwise", "dw3 conv1:16 maxpool", "RAMB18", "images per joule"):
        assert word in found.stdout


def test_both_engines_give_the_same_record(tiny: Path) -> None:
    simpy, fast = (
        json.loads(run("simulate", tiny, "--frames", 2, "--engine", engine, "--json").stdout)
        for engine in ("simpy", "fast")
    )
    assert simpy.pop("sim_seconds") > 0
    assert fast.pop("sim_seconds") > 0
    assert simpy == fast


def test_the_fast_engine_writes_the_same_event_file(tiny: Path, tmp_path: Path) -> None:
    for engine in ("simpy", "fast"):
        found = run("simulate", tiny, "--engine", engine, "--events", tmp_path / engine)
        assert found.exit_code == 0
    assert (tmp_path / "simpy").read_bytes() == (tmp_path / "fast").read_bytes()


def test_simulate_writes_the_event_file_whole(tiny: Path, tmp_path: Path) -> None:
    path = tmp_path / "events.txt"
    assert run("simulate", tiny, "--events", path, "--json").exit_code == 0
    assert read_events(path) == list(simulate(compile_schedule(load_design(tiny))).events)
    assert list(tmp_path.iterdir()) == [path]


def test_a_design_that_does_not_fit_is_simulated_and_told(edited: Edit) -> None:
    path = edited("out_lanes = 8", "out_lanes = 256")
    found = run("simulate", path)
    assert found.exit_code == 0, found.output
    assert "does not fit" in found.stdout
    record = json.loads(run("simulate", path, "--json").stdout)
    assert record["resources"]["fits"] is False
    assert {"dsp"} <= {item["resource"] for item in record["resources"]["shortages"]}


def test_two_runs_are_identical(tiny: Path) -> None:
    first, second = (json.loads(run("simulate", tiny, "--json").stdout) for _ in range(2))
    first.pop("sim_seconds")
    second.pop("sim_seconds")
    assert first == second


# ---- verify ----


def test_verify_compares_three_levels_and_finds_no_difference(tiny: Path, out: Path) -> None:
    found = run("verify", tiny, "--frames", 2, "--out", out, "--json")
    assert found.exit_code == 0, found.output
    record = json.loads(found.stdout)
    assert set(record) >= VERIFY_KEYS
    assert record["sim_cycles"] == record["rtl_cycles"]
    assert record["event_mismatches"] == record["value_mismatches"] == 0
    assert record["counter_mismatches"] == 0
    assert record["events"] == len(simulate(compile_schedule(load_design(tiny), 2)).events)
    assert record["values"] > 0
    assert record["image_source"] == "synthetic scene, seed 1"
    assert "running 2 frames" in found.stderr


def test_verify_takes_a_network_and_an_image(tiny: Path, out: Path, tmp_path: Path) -> None:
    design = load_design(tiny)
    network, image = tmp_path / "net.npz", tmp_path / "image.npy"
    save_network(random_network(design, np.random.default_rng(5)), design, network)
    np.save(image, np.full((3, 16, 24), 7, dtype=np.uint8))
    found = run("verify", tiny, "--network", network, "--image", image, "--out", out)
    assert found.exit_code == 0, found.output
    assert "0 differences" in found.stdout
    assert "head.conv1" in found.stdout


def altered(change: Callable[[Verification], Verification]) -> Callable[..., Verification]:
    return lambda *args: change(verify(*args))


def one_value(found: Verification) -> Verification:
    wrong = MapDifference("bundle0.maxpool", 0, 1536, 1, (2, 3, 4))
    return dataclasses.replace(found, maps=(wrong, *found.maps[1:]))


def one_event(found: Verification) -> Verification:
    event = Event(17, "mac", "tile_end", 1, 2)
    return dataclasses.replace(found, event_differences=(("right", event),))


def one_counter(found: Verification) -> Verification:
    return dataclasses.replace(found, counter_differences=(("store.busy", 5, 6),))


@pytest.mark.parametrize(
    ("change", "line"),
    [
        (one_value, "bundle0.maxpool, frame 0, first at channel, row, column (2, 3, 4)"),
        (one_event, "only in RTL: cycle 17 mac tile_end bundle 1 tile 2"),
        (one_counter, "store.busy: SimPy 5, RTL 6"),
    ],
)
def test_a_difference_of_any_kind_is_listed_and_fails(
    change: Callable[[Verification], Verification],
    line: str,
    tiny: Path,
    out: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(verify_command, "verify", altered(change))
    found = run("verify", tiny, "--out", out)
    assert found.exit_code == 1
    assert "DIFFER" in found.stdout
    assert line in found.stdout
    record = run("verify", tiny, "--out", out, "--json")
    assert record.exit_code == 1
    assert json.loads(record.stdout)["exact"] is False


def test_an_rtl_that_gives_up_is_a_failed_comparison(
    tiny: Path, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def give_up(*args: object) -> Verification:
        raise SimulationFailed(f"%Fatal: vector lost, see {args[4]}/simulation.log")

    monkeypatch.setattr(verify_command, "verify", give_up)
    found = run("verify", tiny, "--out", out)
    assert found.exit_code == 1
    assert "vector lost" in found.stderr
    assert f"{out}/verify_tiny/simulation.log" in found.stderr


# ---- bad input ----


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ('device = "pynq_z1"', 'device = "pynq_z9"', ("device", "pynq_z9", "pynq_z1")),
        ("clock_mhz = 100\n", "", ("clock_mhz", "missing")),
        ("clock_mhz = 100", 'clock_mhz = "fast"', ("clock_mhz", "fast", "number")),
        ("in_lanes = 2", "in_lanes = 0", ("accelerator.in_lanes", "0", "one of")),
        ("out_lanes = 8", "out_lanes = 0", ("accelerator.out_lanes", "0")),
        ("weight_bits = 8", "weight_bits = 17", ("precision.weight_bits", "17", "4 to 16")),
        ("in_lanes = 2", "in_lines = 2", ("in_lanes", "missing")),
        ("name =", "nom = 1\nname =", ("nom", "unknown key")),
        ("name =", "name", ("not valid TOML",)),
    ],
)
def test_a_wrong_design_file_is_told_with_file_key_and_rule(
    old: str, new: str, words: tuple[str, ...], edited: Edit
) -> None:
    path = edited(old, new)
    for command in ("simulate", "verify"):
        line = refused(command, path)
        assert str(path) in line
        assert all(word in line for word in words), line


def test_a_design_file_that_is_not_there(tmp_path: Path) -> None:
    assert "cannot be read" in refused("simulate", tmp_path / "none.toml")
    assert "cannot be read" in refused("verify", tmp_path)


def test_a_tile_that_overflows_its_buffer_says_need_and_limit(edited: Edit) -> None:
    buffers = "[accelerator.buffers]\ninput_lines = "
    tile = "[accelerator.tile]\nheight = 16\n\n"
    line = refused("simulate", edited(f"{buffers}512", f"{tile}{buffers}100"))
    assert "needs 384 input_lines, the design has 100" in line


def test_an_accumulator_that_could_overflow_names_layer_and_worst_case(
    edited: Edit, tmp_path: Path
) -> None:
    roomy = load_design(edited("accumulator_bits = 32", "accumulator_bits = 40"))
    network = random_network(roomy, np.random.default_rng(1))
    path = tmp_path / "net.npz"
    save_network(network, roomy, path)
    narrow = edited("accumulator_bits = 32", "accumulator_bits = 17")
    line = refused("verify", narrow, "--network", path, "--out", tmp_path)
    assert "layer " in line
    assert "could reach" in line
    assert "accumulator of 17 bits" in line


@pytest.mark.parametrize(
    ("shape", "dtype"), [((3, 16, 23), np.uint8), ((1, 16, 24), np.uint8), ((16, 24), np.uint8)]
)
def test_an_image_of_the_wrong_size(
    shape: tuple[int, ...], dtype: type, tiny: Path, tmp_path: Path
) -> None:
    path = tmp_path / "image.npy"
    np.save(path, np.zeros(shape, dtype=dtype))
    line = refused("verify", tiny, "--image", path, "--out", tmp_path)
    assert str(path) in line
    assert "(3, 16, 24)" in line


def test_truncated_files(tiny: Path, tmp_path: Path) -> None:
    image = tmp_path / "image.npy"
    np.save(image, np.zeros((3, 16, 24), dtype=np.uint8))
    image.write_bytes(image.read_bytes()[:-10])
    assert "truncated" in refused("verify", tiny, "--image", image, "--out", tmp_path)
    picture = tmp_path / "image.ppm"
    picture.write_bytes(b"P6\n24 16\n255\n" + bytes(100))
    assert "truncated" in refused("verify", tiny, "--image", picture, "--out", tmp_path)
    design = load_design(tiny)
    network = tmp_path / "net.npz"
    save_network(random_network(design, np.random.default_rng(1)), design, network)
    network.write_bytes(network.read_bytes()[:500])
    assert "truncated" in refused("verify", tiny, "--network", network, "--out", tmp_path)


def test_files_that_are_not_there(tiny: Path, tmp_path: Path) -> None:
    assert "no such" in refused("verify", tiny, "--image", tmp_path / "a.png", "--out", tmp_path)
    assert "no such" in refused("verify", tiny, "--network", tmp_path / "n.npz", "--out", tmp_path)


def test_options_out_of_range(tiny: Path, tmp_path: Path) -> None:
    assert "from 1 to" in refused("simulate", tiny, "--frames", 0)
    assert "from 1 to" in refused("verify", tiny, "--frames", 0, "--out", tmp_path)
    assert "one of simpy, fast" in refused("simulate", tiny, "--engine", "quick")


def test_no_compiler_on_the_path(
    tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CXX", raising=False)
    found = run("verify", tiny, "--out", tmp_path)
    assert found.exit_code == 2
    assert "no C++ compiler" in found.stderr
    assert "install" in found.stderr


def test_verilators_own_failure_shows_its_first_error(
    tiny: Path, tmp_path: Path, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = tmp_path / "broken.sv"
    source.write_text("module broken; assign nowhere = 1'b1 +; endmodule\n")

    def broken(*_: object) -> object:
        return build([source], "broken", build_root=out / "verilator")

    monkeypatch.setattr(verify_command, "build_accelerator", broken)
    found = run("verify", tiny, "--out", tmp_path)
    assert found.exit_code == 2
    assert "%Error" in found.stderr
    assert "broken.sv:1" in found.stderr


def test_an_output_folder_that_cannot_be_written(tiny: Path, tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("here first")
    assert "--out" in refused("verify", tiny, "--out", blocked)
    assert "--out" in refused("verify", tiny, "--out", blocked / "below")
    line = refused("simulate", tiny, "--events", blocked / "events.txt")
    assert "cannot be written" in line
    assert blocked.read_text() == "here first"


def test_ctrl_c_is_one_line_and_leaves_nothing_half_written(tiny: Path, tmp_path: Path) -> None:
    # pytest may itself run with SIGINT ignored, which a child would inherit
    program = (
        "import signal, sys; signal.signal(signal.SIGINT, signal.default_int_handler); "
        "import tandem; tandem.main()"
    )
    command = [sys.executable, "-c", program, "verify", str(tiny), "--out", str(tmp_path)]
    with subprocess.Popen(
        command, cwd=tiny.parent.parent, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stderr is not None
        assert "building the RTL" in process.stderr.readline()
        process.send_signal(signal.SIGINT)
        output, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert output == ""
    assert errors == "tandem: stopped; nothing half-written is left\n"
    assert [path for path in tmp_path.rglob("*") if ".tmp-" in path.name] == []
    assert not (tmp_path / "verify_tiny").exists()


# ---- synth ----


def test_synth_wants_one_design_or_the_campaign(tiny: Path) -> None:
    for arguments in ((), (tiny, "--campaign")):
        assert "either a design file or --campaign" in refused("synth", *arguments)


def test_synth_names_a_design_that_is_not_there(tmp_path: Path) -> None:
    assert "none.toml" in refused("synth", tmp_path / "none.toml")


# ---- bench ----


@pytest.fixture
def short_bench(monkeypatch: pytest.MonkeyPatch) -> None:
    """The bench on the small design: the full frame takes a minute to compile."""
    monkeypatch.setattr(bench_command, "MEASURED", "tiny")
    monkeypatch.setattr(bench_command, "TARGET_FPS", {"tiny": 1.0, "tiny_odd": 1e9})
    monkeypatch.setattr(bench_command, "NAMED", ("tiny", "tiny_odd"))


@pytest.mark.usefixtures("short_bench")
def test_bench_measures_all_levels_and_the_steady_state(out: Path) -> None:
    found = run("bench", "--out", out, "--json")
    assert found.exit_code == 0, found.output
    record = json.loads(found.stdout)
    assert record["exact"] is True
    assert set(record["verify"]) >= VERIFY_KEYS
    assert set(record["steady_state"]) == {"tiny", "tiny_odd"}


@pytest.mark.usefixtures("short_bench")
def test_bench_shows_a_missed_target_without_failing(out: Path) -> None:
    found = run("bench", "--out", out)
    assert found.exit_code == 0, found.output
    (line,) = [text for text in found.stdout.splitlines() if "tiny_odd: steady state" in text]
    assert line.split()[-1] == "NO"
    assert "kcycles/s" in found.stdout


@pytest.mark.usefixtures("short_bench")
def test_bench_fails_where_the_levels_differ(out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verify_command, "verify", altered(one_value))
    assert run("bench", "--out", out).exit_code == 1


def test_bench_reads_the_campaign_of_these_sources_only(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    assert bench_command.read_campaign(path) is None
    for sources, number in ((fingerprint(), 1), ("others", 2)):
        journal = Journal(path, bench_command.CAMPAIGN_SEED, sources)
        journal.append([Outcome(number, cycles=10, values=5)])
    found = bench_command.read_campaign(path)
    assert found is not None
    assert (found["cases_total"], found["cases_exact"], found["values"]) == (1, 1, 5)
