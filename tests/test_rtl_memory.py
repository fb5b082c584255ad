"""The memory side of the accelerator, module by module: parameters x stall patterns."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from rtl_sim.build import Build, build, run
from testbench.clocked import SEED_VARIABLE, STALL_VARIABLE, STALLS

HDL = Path(__file__).resolve().parent.parent / "rtl_sim" / "hdl"


@dataclass(frozen=True)
class Case:
    """A module, the parameters it is built with, and what its bench is told."""

    module: str
    parameters: Mapping[str, int] = field(default_factory=dict)
    plusargs: tuple[str, ...] = ()

    def __str__(self) -> str:
        values = "-".join(f"{name}{number}" for name, number in self.parameters.items())
        return f"{self.module}-{values}" if values else self.module


CASES = (
    Case("ram_sdp", {"Width": 40, "Depth": 37}, ("+depth=37",)),
    Case("ram_sdp", {"Width": 48, "Depth": 16, "Distributed": 1}, ("+depth=16",)),
    Case("sync_fifo", {"Width": 70, "Depth": 3}, ("+depth=3",)),
    Case("sync_fifo", {"Width": 1, "Depth": 1}, ("+depth=1",)),
    Case("bank_token"),
    Case("axi_read_master", {"Outstanding": 1}, ("+outstanding=1",)),
    Case("axi_read_master", {"Outstanding": 3}, ("+outstanding=3",)),
    Case("axi_read_mux", {"Mask": 7}, ("+mask=7",)),
    Case("axi_read_mux", {"Mask": 6}, ("+mask=6",)),
    Case("axi_read_mux", {"Mask": 2}, ("+mask=2",)),
    Case("axi_write_master", {"Outstanding": 1}, ("+outstanding=1",)),
    Case("axi_write_master", {"Outstanding": 3}, ("+outstanding=3",)),
    Case("sequencer"),
    Case("control_regs", {"BuildId": 0x7A4D_0001}),
    Case(
        "feature_load",
        {"InLanes": 4, "FeatureBits": 8, "InputLines": 100},
        ("+lanes=4", "+feature_bits=8", "+lines=100"),
    ),
    Case(
        "feature_load",
        {"InLanes": 16, "FeatureBits": 12, "InputLines": 128},
        ("+lanes=16", "+feature_bits=12", "+lines=128"),
    ),
    Case(
        "weight_load",
        {"MacWordBeats": 3, "MacParamLanes": 4, "DwWordBeats": 1, "DwParamLanes": 2},
        ("+word_beats=3,1", "+lanes=4,2"),
    ),
    Case(
        "weight_load",
        {"MacWordBeats": 1, "MacParamLanes": 1, "DwWordBeats": 2, "DwParamLanes": 8},
        ("+word_beats=1,2", "+lanes=1,8"),
    ),
    Case(
        "weight_store",
        {"WordBits": 150, "WordDepth": 21, "ParamLanes": 4, "ParamDepth": 9},
        ("+words=21", "+params=9"),
    ),
    Case(
        "weight_store",
        {"WordBits": 40, "WordDepth": 32, "ParamLanes": 1, "ParamDepth": 70},
        ("+words=32", "+params=70"),
    ),
    Case(
        "feature_store",
        {"RequantLanes": 4, "FeatureBits": 8, "OutputLines": 100},
        ("+lines=100",),
    ),
    Case(
        "feature_store",
        {"RequantLanes": 16, "FeatureBits": 12, "OutputLines": 64},
        ("+lines=64",),
    ),
)


def sources(module: str) -> list[Path]:
    """The package and the files of a module and of everything it instantiates."""
    found: list[str] = []
    todo = [module]
    names = [path.stem for path in HDL.glob("*.sv")]
    while todo:
        name = todo.pop()
        if name in found:
            continue
        found.append(name)
        text = (HDL / f"{name}.sv").read_text()
        # An instance: the module's name, then its parameters or its own name.
        instance = r"^\s*{}\s+(#\(|u_)"
        todo += [other for other in names if re.search(instance.format(other), text, re.MULTILINE)]
    return [HDL / "program_pkg.sv", *(HDL / f"{name}.sv" for name in sorted(found))]


@pytest.fixture(scope="module", params=CASES, ids=str)
def built(request: pytest.FixtureRequest, build_root: Path) -> tuple[Case, Build]:
    """A case and its simulation; stalls of one case share the build."""
    case: Case = request.param
    compiled = build(
        sources(case.module),
        case.module,
        parameters=case.parameters,
        build_root=build_root,
        optimise=False,
    )
    return case, compiled


@pytest.mark.parametrize("stall", STALLS)
def test_module_keeps_its_contract(
    built: tuple[Case, Build], stall: str, seed: int, tmp_path: Path
) -> None:
    case, compiled = built
    run(
        compiled,
        f"testbench.bench_{case.module}",
        plusargs=case.plusargs,
        env={STALL_VARIABLE: stall, SEED_VARIABLE: str(seed)},
        work_dir=tmp_path,
    )
