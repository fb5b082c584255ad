"""The Vivado script in a plain Tcl interpreter: steps, files and names, not Vivado itself."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest
from board_cases import deploy

from model.design import Design, design_from_dict, load_design
from model.design_writer import design_to_dict
from rtl_sim.generate import port_count

STUB = Path(__file__).parent / "vivado_stub.tcl"
TCLSH = shutil.which("tclsh")
needs_tcl = pytest.mark.skipif(TCLSH is None, reason="needs tclsh: apt install tcl")


def top_ports(folder: Path) -> list[str]:
    text = (folder / "rtl" / "tandem_top.sv").read_text()
    header = text[: text.index(");")]
    return re.findall(r"(?:input|output) logic (?:\[\d+:0\] )?(\w+)", header)


def tiny(root: Path, ports: int) -> Design:
    data = design_to_dict(load_design(root / "designs" / "tiny.toml"))
    data["accelerator"]["ports"]["store"] = ports - 1
    data["accelerator"]["ports"]["weight"] = data["accelerator"]["ports"]["program"] = 0
    found = design_from_dict(data)
    assert port_count(found) == ports
    return found


def built(design: Design, folder: Path, board: bool, slack: float = 0.4) -> str:
    deploy(design, folder)
    (folder / "ports.txt").write_text("\n".join(top_ports(folder)))
    script = folder / "vivado" / "build.tcl"
    command = [TCLSH or "", str(STUB), str(script), str(folder / "ports.txt")]
    done = subprocess.run(
        [*command, str(int(board)), str(slack)], capture_output=True, text=True, check=False
    )
    return done.stdout + done.stderr


@needs_tcl
@pytest.mark.parametrize("board", [False, True])
@pytest.mark.parametrize("ports", [1, 2, 4])
def test_the_script_joins_every_port_of_the_generated_top(
    ports: int, board: bool, root: Path, tmp_path: Path
) -> None:
    said = built(tiny(root, ports), tmp_path / "d", board)
    assert "accelerator 0x" in said.splitlines()[-1], said
    for port in range(ports):
        assert f"joined tandem_0/m_axi_hp{port} processing_system7_0/S_AXI_HP{port}" in said
        assert f"joined processing_system7_0/FCLK_CLK0 processing_system7_0/S_AXI_HP{port}_" in said
        assert f"property processing_system7_0 CONFIG.PCW_USE_S_AXI_HP{port} 1" in said
    if ports < 4:
        assert f"CONFIG.PCW_USE_S_AXI_HP{ports} 0" in said
    for pin in ("clk_i", "rst_i", "s_axil"):
        assert re.search(rf"^joined \S+ tandem_0/{pin}$", said, re.MULTILINE)
    assert "joined reset_0/peripheral_reset tandem_0/rst_i" in said  # active high
    assert "joined tandem_0/irq_o axi_intc_0/intr" in said
    assert ("WARNING" in said) == (not board)
    assert (tmp_path / "d" / "tandem.bit").exists()
    assert (tmp_path / "d" / "tandem.hwh").exists()


@needs_tcl
def test_no_bitstream_is_handed_over_where_timing_is_not_met(root: Path, tmp_path: Path) -> None:
    said = built(tiny(root, 2), tmp_path / "d", False, slack=-0.2)
    assert "timing is not met at 100 MHz: worst slack -0.2 ns" in said
    assert not (tmp_path / "d" / "tandem.bit").exists()


def test_every_port_of_the_top_is_in_an_interface_of_the_script(root: Path, tmp_path: Path) -> None:
    # The same without Tcl: the names that the script lists are those of the top, none is left out.
    folder = tmp_path / "d"
    deploy(tiny(root, 2), folder)
    script = (folder / "vivado" / "build.tcl").read_text()
    listed = {"clk_i", "rst_i", "irq_o"}
    for prefix, names in re.findall(r"ports_of (\S+) \{([^}]*)\}", script):
        for port in range(2) if prefix == "$name" else [None]:
            start = prefix if port is None else f"m_axi_hp{port}"
            listed |= {f"{start}_{name}" for name in names.split()}
    assert listed == set(top_ports(folder))
    settings = (folder / "vivado" / "settings.tcl").read_text()
    sources = re.findall(r"^    (rtl/\S+)$", settings, re.MULTILINE)
    assert set(sources) == {f"rtl/{path.name}" for path in (folder / "rtl").iterdir()}
