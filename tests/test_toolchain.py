"""The tools are found or asked for, and a build is either complete or absent."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from model.errors import TandemError
from rtl_sim import lint, toolchain
from rtl_sim.build import Build, SimulationFailed, build, run
from rtl_sim.cache import staged
from rtl_sim.toolchain import execute, find_toolchain
from rtl_sim.verilate import first_error

ROOT = Path(__file__).resolve().parent.parent
COUNTER = """\
`default_nettype none
module counter #(
  parameter int Width = 8
) (
  input  wire logic             clk_i,
  input  wire logic             rst_i,
  output logic [Width-1:0] count_o
);
  always_ff @(posedge clk_i) begin
    if (rst_i) count_o <= '0;
    else count_o <= count_o + 1'b1;
  end
  initial if (Width > 32) $fatal(1, "%m: Width = %0d, at most 32", Width);
endmodule
`default_nettype wire
"""
BENCH = """\
import cocotb
from cocotb.clock import Clock
from cocotb.triggers import ClockCycles

@cocotb.test()
async def counts(dut):
    Clock(dut.clk_i, 10, unit="ns", impl="gpi").start()
    dut.rst_i.value = 1
    await ClockCycles(dut.clk_i, 2)
    dut.rst_i.value = 0
    await ClockCycles(dut.clk_i, 101)
    assert int(dut.count_o.value) == 100

@cocotb.test()
async def fails(dut):
    assert len(dut.count_o) == 7, "not seven bits"
"""
HALTING_COMPILER = """\
#!/bin/sh
if rm {folder}/halt 2>/dev/null; then
  echo $$ > {folder}/started
  exec sleep 600
fi
exec g++ "$@" -O0
"""
# A test run in the background of a shell passes an ignored SIGINT on to its children.
BUILDER = """\
import signal, sys
from pathlib import Path
from rtl_sim.build import build
signal.signal(signal.SIGINT, signal.default_int_handler)
build([Path(sys.argv[1])], "counter", build_root=Path(sys.argv[2]), optimise=False)
"""


@pytest.fixture
def counter(tmp_path: Path) -> Path:
    path = tmp_path / "counter.sv"
    path.write_text(COUNTER)
    return path


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    (tmp_path / "bench_of_counter.py").write_text(BENCH)
    monkeypatch.syspath_prepend(str(tmp_path))
    return "bench_of_counter"


def compiled(counter: Path, build_root: Path, width: int = 8) -> Build:
    return build(
        [counter], "counter", parameters={"Width": width}, build_root=build_root, optimise=False
    )


# Finding the tools


@pytest.mark.parametrize(("tool", "advice"), [("make", "install make"), ("perl", "install perl")])
def test_a_missing_program_is_named(
    tool: str, advice: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in {"g++", "make", "perl"} - {tool}:
        (tmp_path / name).symlink_to("/bin/true")
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CXX", raising=False)
    with pytest.raises(TandemError, match=f"{tool} is not on PATH.*{advice}"):
        find_toolchain()


def test_a_missing_compiler_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CXX", raising=False)
    with pytest.raises(TandemError, match=r"no C\+\+ compiler .* install g\+\+"):
        find_toolchain()


def test_a_wrong_cxx_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CXX", "no-such-compiler -m64")
    with pytest.raises(TandemError, match="CXX='no-such-compiler -m64' is not on PATH"):
        find_toolchain()


def test_a_missing_package_is_named() -> None:
    with pytest.raises(TandemError, match="the Python package no-such-tool is not installed"):
        toolchain._package_dir("no_such_tool")


def test_the_callers_compiler_flags_do_not_reach_the_build(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CXXFLAGS", "-O0")
    monkeypatch.setenv("MAKEFLAGS", "-n")
    assert not {"CXXFLAGS", "MAKEFLAGS"} & set(find_toolchain().environment())


def test_a_tool_that_does_not_end_is_killed(tmp_path: Path) -> None:
    status = execute(
        ["sleep", "600"], cwd=tmp_path, env=os.environ, log=tmp_path / "log", timeout_s=0.05
    )
    assert status == -signal.SIGKILL


# Building


def test_a_build_is_found_again_until_something_changes(counter: Path, build_root: Path) -> None:
    first = compiled(counter, build_root)
    assert compiled(counter, build_root) == Build(first.directory, "counter", False, cached=True)
    assert compiled(counter, build_root, width=9).directory != first.directory
    counter.write_text(COUNTER.replace("1'b1", "1'd1"))
    assert compiled(counter, build_root).directory != first.directory


def test_threads_that_want_the_same_build_make_it_once(counter: Path, build_root: Path) -> None:
    counter.write_text(COUNTER + f"// {os.urandom(8).hex()}\n")  # never built before
    with ThreadPoolExecutor(3) as pool:
        builds = list(pool.map(lambda _: compiled(counter, build_root), range(3)))
    assert sorted(made.cached for made in builds) == [False, True, True]


@pytest.mark.parametrize(
    ("top", "text", "message"),
    [
        ("counter", COUNTER.replace("+ 1'b1", "+ step"), r"%Error: .*counter.sv:11.*'step'"),
        ("other", COUNTER, "%Error: .*'other' was not found"),
    ],
)
def test_verilators_first_error_is_the_message(
    top: str, text: str, message: str, counter: Path, build_root: Path
) -> None:
    counter.write_text(text)
    with pytest.raises(TandemError, match=f"Verilator refused {top}: {message}"):
        build([counter], top, build_root=build_root)


def test_a_missing_source_is_named(tmp_path: Path, build_root: Path) -> None:
    with pytest.raises(TandemError, match=r"none\.sv does not exist"):
        build([tmp_path / "none.sv"], "none", build_root=build_root)


def test_a_build_directory_with_a_space_is_refused(counter: Path, tmp_path: Path) -> None:
    with pytest.raises(TandemError, match="has a space in its path"):
        compiled(counter, tmp_path / "my builds")


def test_what_fails_while_staged_leaves_nothing(tmp_path: Path) -> None:
    def interrupted() -> None:
        with staged(tmp_path / "key") as scratch:
            (scratch / "half").write_text("written")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL], ids=["ctrl-c", "killed"])
def test_an_interrupted_build_is_never_used(
    how: signal.Signals, counter: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    compiler = tmp_path / "compiler"
    compiler.write_text(HALTING_COMPILER.format(folder=tmp_path))
    compiler.chmod(compiler.stat().st_mode | stat.S_IXUSR)
    os.mkfifo(tmp_path / "started")
    (tmp_path / "halt").touch()
    monkeypatch.setenv("CXX", str(compiler))
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    builds = tmp_path / "builds"
    process = subprocess.Popen([sys.executable, "-c", BUILDER, str(counter), str(builds)])
    halted = int((tmp_path / "started").read_text())  # waits for the compiler
    process.send_signal(how)
    assert process.wait() != 0
    leftovers = list(builds.glob("*.tmp-*"))
    if how == signal.SIGKILL:
        os.kill(halted, signal.SIGKILL)
    else:
        assert leftovers == []
    assert not list(builds.rglob("Vtop"))
    assert compiled(counter, builds).executable.exists()
    assert not list(builds.glob("*.tmp-*"))


def test_the_first_error_of_an_output_is_found() -> None:
    assert first_error("%Warning: w\n%Error: a.sv:1: bad\n%Error: Exiting due to 1") == (
        "%Error: a.sv:1: bad"
    )
    assert first_error("make: entering\nx.cpp:3: error: no\nmake: *** stop") == "x.cpp:3: error: no"
    assert first_error("") == "no output"


# Running


@pytest.mark.parametrize("optimise", [True, False])
def test_a_bench_runs_under_the_gpi_clock(
    optimise: bool, counter: Path, bench: str, build_root: Path, tmp_path: Path
) -> None:
    made = build([counter], "counter", build_root=build_root, optimise=optimise)
    result = run(made, bench, testcase="counts", work_dir=tmp_path / "work")
    assert [test.name for test in result.tests] == ["counts"]
    assert result.tests[0].sim_ns == pytest.approx(1020, abs=20)


@pytest.mark.parametrize(
    ("width", "testcase", "message"),
    [
        (8, "fails", "fails: AssertionError: not seven bits"),
        (8, "absent", "no test ran"),
        (33, "counts", "%Fatal: .*Width = 33, at most 32"),
    ],
)
def test_a_failure_is_told_in_one_line(
    width: int, testcase: str, message: str, counter: Path, bench: str, build_root: Path,
    tmp_path: Path,
) -> None:  # fmt: skip
    made = compiled(counter, build_root, width)
    with pytest.raises(SimulationFailed, match=message) as caught:
        run(made, bench, testcase=testcase, work_dir=tmp_path / "work")
    assert "\n" not in str(caught.value)


def test_a_missing_bench_is_told(counter: Path, build_root: Path, tmp_path: Path) -> None:
    with pytest.raises(SimulationFailed, match="No module named 'no_such_bench'"):
        run(compiled(counter, build_root), "no_such_bench", work_dir=tmp_path / "work")


# Linting


def test_lint_finds_what_each_tool_should(tmp_path: Path) -> None:
    sound = tmp_path / "counter.sv"
    sound.write_text(COUNTER)
    wide = tmp_path / "wide.sv"
    wide.write_text(COUNTER.replace("counter", "wide").replace("+ 1'b1", "+ 40'd1"))
    twice = tmp_path / "twice.sv"
    twice.write_text(
        "module twice (input wire logic a_i, input wire logic b_i, output logic y_o);\n"
        "  wire c;\n  assign c = a_i & b_i;\n  assign c = a_i | b_i;\n"
        "  assign y_o = c;\nendmodule\n"
    )
    files = lint.in_order([sound, wide, twice])
    targets = [lint.Target(path.stem, files, True) for path in files]
    verilator = lint.verilator_findings(targets, tmp_path)
    yosys = lint.yosys_findings(targets, tmp_path)
    assert [finding.target.top for finding in verilator] == ["wide"]
    assert [finding.target.top for finding in yosys] == ["twice"]


def test_a_simulation_only_module_is_not_shown_to_yosys(tmp_path: Path) -> None:
    path = tmp_path / "recorder.sv"
    path.write_text("// Records events. Simulation only.\nmodule recorder; endmodule\n")
    assert not lint.is_hardware(path)
