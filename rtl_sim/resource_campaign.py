"""The resource model against Yosys over many designs: residuals as a table and a picture.

Designs vary one thing at a time around a small one, because a unit that was mapped is found again;
then come the large ones. The table is committed (``docs/resources_residuals.csv``); running the
campaign again after a change of RTL or model maps what is new and writes it anew.
"""

from __future__ import annotations

import copy
import csv
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console, RenderableType
from rich.progress import MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from model import console
from model.design import Design, design_from_dict, load_design
from model.errors import TandemError
from model.tables import count, headline, table
from rtl_sim.synth_command import LOGIC_TOLERANCE, RESOURCES, TITLES, Synthesised, synthesise_design

DESIGNS = Path(__file__).resolve().parent.parent / "designs"
BASE = "tiny"
WHOLE = ("tiny", "tiny_f16", "tiny_ultra96", "dnn_a", "dnn_b", "dnn_c")
TABLE, PICTURE = "resources_residuals.csv", "resources_residuals.png"

# Name -> what differs from the base; keys as in a design file, dots lead into tables.
VARIANTS: dict[str, dict[str, Any]] = {
    "w4f4, short products": {"precision.weight_bits": 4, "precision.feature_bits": 4},
    "w5f7, odd widths": {"precision.weight_bits": 5, "precision.feature_bits": 7},
    "w13f11, odd widths": {"precision.weight_bits": 13, "precision.feature_bits": 11},
    "w16f8": {"precision.weight_bits": 16},
    "w11f16": {"precision.weight_bits": 11, "precision.feature_bits": 16},
    "w16f16, wide sums": {
        "precision.weight_bits": 16, "precision.feature_bits": 16,
        "accelerator.accumulator_bits": 42,
    },
    "one input lane": {"accelerator.in_lanes": 1},
    "four input lanes": {"accelerator.in_lanes": 4},
    "eight input lanes": {"accelerator.in_lanes": 8},
    "24 output lanes": {"accelerator.out_lanes": 24},
    "64 output lanes": {"accelerator.out_lanes": 64},
    "one requantising lane": {"accelerator.requant_lanes": 1},
    "eight requantising lanes": {"accelerator.requant_lanes": 8},
    "depth-wise in DSP": {"accelerator.dw_multiplier_style": "dsp"},
    "one depth-wise multiplier": {"accelerator.dw_multipliers": 1},
    "three depth-wise multipliers": {"accelerator.dw_multipliers": 3},
    "depth-wise 5 x 5": {"accelerator.dw_kernel_max": 5, "accelerator.dw_multipliers": 5},
    "convolution 5 x 5": {"accelerator.conv_kernel_max": 5},
    "accumulator of 20 bits": {"accelerator.accumulator_bits": 20},
    "accumulator of 48 bits": {"accelerator.accumulator_bits": 48},
    "deep input buffer": {"accelerator.buffers.input_lines": 8192},
    "shallow input buffer": {"accelerator.buffers.input_lines": 200},
    "mid buffer of odd depth": {"accelerator.buffers.mid_words": 5000},
    "deep output buffer": {"accelerator.buffers.output_lines": 4352},
    "deep weight store": {"accelerator.buffers.weight_words": 1500},
    "parameters in block RAM": {
        "accelerator.buffers.param_words": 100, "accelerator.buffers.dw_param_words": 100,
    },
    "long lines": {"accelerator.buffers.dw_line_words": 700},
    "16 bursts, deep queues": {
        "accelerator.outstanding_bursts": 16, "accelerator.command_depth": 8,
    },
    "four ports": {"accelerator.ports": {"program": 0, "weight": 1, "load": 2, "store": 3}},
    "one port": {"accelerator.ports": {"program": 0, "weight": 0, "load": 0, "store": 0}},
    "packed": {"accelerator.mac_packing": "pair"},
    "packed, 4 x 32 lanes": {
        "accelerator.mac_packing": "pair", "accelerator.in_lanes": 4, "accelerator.out_lanes": 32,
    },
}  # fmt: skip


def campaign_designs() -> Iterator[tuple[str, Design]]:
    """Name and design of every point."""
    base = tomllib.loads((DESIGNS / f"{BASE}.toml").read_text())
    for name, changes in VARIANTS.items():
        tables = copy.deepcopy(base)
        for path, value in changes.items():
            *outer, key = path.split(".")
            where = tables
            for part in outer:
                where = where[part]
            where[key] = value
        tables["name"] = f"{BASE}_{''.join(c if c.isalnum() else '_' for c in name)}"
        yield name, design_from_dict(tables)
    for name in WHOLE:
        yield name, load_design(DESIGNS / f"{name}.toml")


def resource_campaign_command(out: Path, as_json: bool) -> int:
    """Map every design, compare, write table and picture below ``out``; the exit status.

    Stopped and started again, it goes on with the units that are not mapped yet.
    """
    out.mkdir(parents=True, exist_ok=True)
    found = run_campaign(out)
    drawn = draw(out / PICTURE, found)
    if as_json:
        console.put_json(
            {"agrees": all(i.agrees for _, i in found), "designs": [i.record() for _, i in found]}
        )
    else:
        console.put(*describe(found))
        if not drawn:
            console.progress("no picture: install the extra [quant] for matplotlib")
    return console.HELD if all(item.agrees for _, item in found) else console.FAILED


def run_campaign(out: Path) -> list[tuple[str, Synthesised]]:
    """Every design; a run that was stopped goes on with what is not mapped yet."""
    designs = list(campaign_designs())
    columns = (*Progress.get_default_columns(), MofNCompleteColumn(), TimeElapsedColumn())
    found = []
    with Progress(*columns, TextColumn("{task.fields[name]}"), console=Console(stderr=True)) as bar:
        task = bar.add_task("designs", total=len(designs), name="")
        for name, design in designs:
            bar.update(task, name=name)
            found.append((name, synthesise_design(design, out)))
            write_table(out / TABLE, found)  # what is known so far
            bar.advance(task)
    return found


def write_table(path: Path, found: Sequence[tuple[str, Synthesised]]) -> None:
    """One line a design: parameters, model, Yosys, error, tool."""
    with path.open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        head = ["design", "device", "weight_bits", "feature_bits", "in_lanes", "out_lanes"]
        head += [f"{name}_{side}" for name in RESOURCES for side in ("model", "yosys")]
        writer.writerow([*head, "lut_error", "ff_error", "tool"])
        for name, item in found:
            design, acc = item.design, item.design.accelerator
            row: list[Any] = [name, design.device.name, design.weight_bits, design.feature_bits]
            row += [acc.in_lanes, acc.out_lanes]
            for key in RESOURCES:
                row += [item.model.totals()[key], getattr(item.yosys, key)]
            row += [f"{item.error('lut'):.4f}", f"{item.error('ff'):.4f}", item.yosys.tool]
            writer.writerow(row)


def draw(path: Path, found: Sequence[tuple[str, Synthesised]]) -> bool:
    """Errors of LUT and FF of every design; False where matplotlib is not installed."""
    try:
        import matplotlib as mpl  # noqa: PLC0415

        mpl.use("Agg")
        from matplotlib import pyplot as plt  # noqa: PLC0415
    except ImportError:
        return False
    names = [name for name, _ in found]
    figure, axes = plt.subplots(figsize=(9, 0.24 * len(found) + 1.4), layout="constrained")
    for offset, key, colour in ((-0.18, "lut", "#1b6ca8"), (0.18, "ff", "#e08e0b")):
        errors = [100 * item.error(key) for _, item in found]
        places = [index + offset for index in range(len(found))]
        axes.barh(places, errors, height=0.34, color=colour, label=TITLES[key])
    for bound in (-100 * LOGIC_TOLERANCE, 100 * LOGIC_TOLERANCE):
        axes.axvline(bound, color="black", linestyle=":", linewidth=1)
    axes.axvline(0, color="black", linewidth=0.8)
    axes.set_yticks(range(len(found)), names, fontsize=8)
    axes.invert_yaxis()
    axes.set_xlabel("model against Yosys, % (DSP48E1 and RAMB18 are compared for equality)")
    axes.legend(loc="lower right")
    figure.savefig(path, dpi=120)
    plt.close(figure)
    return True


def describe(found: Sequence[tuple[str, Synthesised]]) -> Iterator[RenderableType]:
    """The comparison for people."""
    wrong = [name for name, item in found if not item.agrees]
    verdict = "all agree" if not wrong else f"{len(wrong)} DIFFER"
    yield headline(f"resource model against Yosys, {len(found)} designs: {verdict}", not wrong)
    rows = []
    for name, item in found:
        row = [name]
        for key in ("dsp", "bram18"):
            ours, theirs = item.model.totals()[key], int(getattr(item.yosys, key))
            row.append(count(theirs) if ours == theirs else f"{theirs} / {ours}")
        for key in ("lut", "ff"):
            row += [count(int(getattr(item.yosys, key))), f"{100 * item.error(key):+.1f} %"]
        rows.append(row)
    yield table(None, ("design", "DSP", "RAMB18", "LUT", "model", "FF", "model"), rows)
    yield f"DSP and RAMB18: Yosys / model where they differ. {found[0][1].yosys.tool}"


def unit_rows(found: Sequence[tuple[str, Synthesised]]) -> Iterator[Mapping[str, Any]]:
    """Per unit, for whoever fits the model: design, unit, LUT, FF."""
    for name, item in found:
        for unit, use in item.yosys.units.items():
            yield {"design": name, "unit": unit, "lut": use.lut, "ff": use.ff}


def named(name: str) -> Design:
    """The design of a point of the campaign. TandemError where there is none of that name."""
    for other, design in campaign_designs():
        if other == name:
            return design
    raise TandemError(f"{name!r} is no point of the resource campaign")
