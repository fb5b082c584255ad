"""``tandem study dsp`` and ``tandem study bram``: what widths and sizes cost, model beside Yosys.

A study leaves NAME.png, NAME.svg, NAME.csv and NAME.json in its folder, and below ``yosys`` the
counts of every module that was mapped, from which the same command goes on where it was stopped.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from importlib import metadata
from itertools import pairwise
from pathlib import Path
from typing import Any

from rich.console import Console, RenderableType
from rich.progress import MofNCompleteColumn, Progress, TimeElapsedColumn

from model import console
from model.design import Design
from model.errors import TandemError
from model.network_file import write_atomically
from model.tables import headline, table
from rtl_sim.block_counts import PASSES, BlockCounter, Blocks, Unit
from rtl_sim.synth import FLAGS
from search import study_bram, study_dsp

PRINTED_BITS = (8, 12, 16)  # feature widths whose jumps and steps are printed


@dataclass(frozen=True)
class HardwareStudy:
    """A study's results in every form."""

    results: dict[str, Any]
    answers: list[str]
    rows: list[Sequence[Any]]  # of the CSV, titles first
    tables: list[RenderableType]
    compared: int  # values of the model beside one of Yosys
    differing: int
    draw: Callable[[Path], None]  # path without suffix


def dsp_command(out: Path, quick: bool, as_json: bool) -> int:
    """Study "dsp": map, compare, write, print; exit status 1 where model and Yosys differ."""
    blocks, counter = _count(out, study_dsp.all_units(quick))
    return _finish("dsp", _dsp(blocks, quick), out, quick, counter, as_json)


def bram_command(out: Path, quick: bool, as_json: bool) -> int:
    """Study "bram": map, compare, write, print; exit status 1 where model and Yosys differ."""
    base = study_bram.accelerator()
    blocks, counter = _count(out, study_bram.all_units(base, quick))
    return _finish("bram", _bram(base, blocks, quick), out, quick, counter, as_json)


def _count(out: Path, units: Sequence[Unit]) -> tuple[dict[Unit, Blocks], BlockCounter]:
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise TandemError(
            f"{out}: cannot be written ({error.strerror}): choose another --out"
        ) from None
    counter = BlockCounter(out / "yosys")
    columns = (*Progress.get_default_columns(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task("modules mapped", total=len(set(units)))
        return counter.count(units, lambda more: bar.advance(task, more)), counter


def _finish(
    name: str, found: HardwareStudy, out: Path, quick: bool, counter: BlockCounter, as_json: bool
) -> int:
    record = {
        "study": name,
        "setting": "quick" if quick else "full",
        "versions": {"yosys": counter.tool, "tandem": metadata.version("tandem-codesign")},
        "flags": f"synth_xilinx {FLAGS} {PASSES}",
        "compared": found.compared,
        "differing": found.differing,
        "answers": found.answers,
        "results": found.results,
    }
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(found.rows)
    write_atomically(out / f"{name}.csv", text.getvalue().encode())
    write_atomically(out / f"{name}.json", (json.dumps(record, indent=1) + "\n").encode())
    written = ".csv, .json" if not _drawn(found, out / name) else ".png, .svg, .csv, .json"
    if as_json:
        console.put_json(record)
    else:
        console.put(*_described(name, found), f"Written to {out}: {name} {written}")
    return console.FAILED if found.differing else console.HELD


def _drawn(found: HardwareStudy, path: Path) -> bool:
    """Whether there is a figure; the extra [quant] brings what draws it."""
    try:
        found.draw(path)
    except ModuleNotFoundError as error:
        if error.name != "matplotlib":
            raise
        console.progress("no figure: matplotlib is missing, pip install 'tandem-codesign[quant]'")
        return False
    return True


def _described(name: str, found: HardwareStudy) -> Iterator[RenderableType]:
    yield headline(
        f"{name}: model and Yosys compared at {found.compared} points, {found.differing} differ",
        not found.differing,
    )
    yield from found.tables
    yield from found.answers


def _dsp(blocks: dict[Unit, Blocks], quick: bool) -> HardwareStudy:
    points = study_dsp.points(blocks, quick)
    products = [
        (w, f, study_dsp.product_model(w, f), blocks[item].dsp)
        for w, f, item in study_dsp.product_units(quick)
    ]
    whole = [
        (name, w, f, model, blocks[item].dsp)
        for name, w, f, item, model in study_dsp.whole_units(quick)
    ]
    jumps = study_dsp.jumps(points)
    mapped = [point for point in points if point.yosys is not None]
    pairs = [*((one[-2], one[-1]) for one in products), *((one[-2], one[-1]) for one in whole)]

    def draw(path: Path) -> None:
        from search.hardware_figures import dsp_figure  # noqa: PLC0415

        dsp_figure(path, points, products)

    return HardwareStudy(
        results={
            "points": [asdict(point) for point in points],
            "products": [dict(zip(("weight_bits", "feature_bits", "model", "yosys"), one,
                                  strict=True)) for one in products],
            "whole_units": [dict(zip(("unit", "weight_bits", "feature_bits", "model", "yosys"),
                                     one, strict=True)) for one in whole],
            "jumps": [asdict(jump) for jump in jumps],
        },
        answers=[_range_answer(points, name) for name in study_dsp.accelerators()],
        rows=_dsp_rows(points, products, whole),
        tables=[_jump_table(jumps), _whole_table(whole)],
        compared=len(mapped) + len(pairs),
        differing=sum(not point.agrees for point in mapped)
        + sum(model != yosys for model, yosys in pairs),
        draw=draw,
    )  # fmt: skip


def _range_answer(points: Sequence[study_dsp.DspPoint], name: str) -> str:
    """What happens between W10 and W18."""
    own = [
        point for point in points
        if point.accelerator == name and point.weight_bits in study_dsp.PAPER_WEIGHT_BITS
    ]  # fmt: skip
    usual = own[0].model_dsp
    others = [p for p in own if p.model_dsp != usual]
    text = f"{name}: {usual} DSP48E1 at {len(own) - len(others)} of {len(own)} points of W10..18"
    named = [f"W{p.weight_bits} F{p.feature_bits}: {p.model_dsp}" for p in others]
    return "; ".join([text, *named])


def _dsp_rows(
    points: Sequence[study_dsp.DspPoint], products: Sequence[Any], whole: Sequence[Any]
) -> list[Sequence[Any]]:
    rows: list[Sequence[Any]] = [
        ("what", "weight_bits", "feature_bits", "accumulator_bits", "packing", "model", "yosys")
    ]
    rows += [
        (p.accelerator, p.weight_bits, p.feature_bits, p.accumulator_bits, p.packing,
         p.model_dsp, p.yosys_dsp)
        for p in points
    ]  # fmt: skip
    rows += [("one product", w, f, w + f, "none", model, yosys) for w, f, model, yosys in products]
    rows += [(f"whole: {name}", w, f, "", "", model, yosys) for name, w, f, model, yosys in whole]
    return rows


def _jump_table(jumps: Sequence[study_dsp.Jump]) -> RenderableType:
    name = next(iter(study_dsp.accelerators()))
    rows = [
        (f"F{j.feature_bits}", f"W{j.weight_bits}", str(j.before), str(j.after), j.reason)
        for j in jumps
        if j.accelerator == name and j.feature_bits in PRINTED_BITS
    ]
    columns = ("features", "from", "before", "DSP48E1", "because")
    return table(f"jumps, {name} (all: JSON)", columns, rows, left=(0, 1, 4))


def _whole_table(whole: Sequence[Any]) -> RenderableType:
    rows = [(name, f"W{w} F{f}", str(model), str(yosys)) for name, w, f, model, yosys in whole]
    return table("whole units", ("unit", "widths", "model", "Yosys"), rows, left=(0, 1))


def _bram(base: Design, blocks: dict[Unit, Blocks], quick: bool) -> HardwareStudy:
    points = study_bram.points(base, blocks, quick)
    banks = study_bram.bank_points(base, blocks, quick)
    steps = study_bram.steps(points)
    mapped = [point for point in points if point.yosys is not None]
    mapped_banks = [point for point in banks if point.yosys is not None]

    def draw(path: Path) -> None:
        from search.hardware_figures import bram_figure  # noqa: PLC0415

        bram_figure(path, points, banks)

    return HardwareStudy(
        results={
            "points": [asdict(point) for point in points],
            "banks": [asdict(point) for point in banks],
            "steps": [asdict(step) for step in steps],
        },
        answers=[*_ends(points), _halving(banks)],
        rows=_bram_rows(points, banks),
        tables=[_step_table(steps)],
        compared=len(mapped) + len(mapped_banks),
        differing=sum(not point.agrees for point in mapped)
        + sum(point.model != point.yosys for point in mapped_banks),
        draw=draw,
    )


def _ends(points: Sequence[study_bram.BramPoint]) -> Iterator[str]:
    for bits in study_bram.FEATURE_BITS:
        own = [point for point in points if point.feature_bits == bits]
        stores = own[0].model[study_bram.STORES]
        yield (
            f"F{bits}: {own[0].model_bram18} RAMB18 at {own[0].factor:.2f}, "
            f"{own[-1].model_bram18} at {own[-1].factor:.2f}, of these {stores} for weights"
        )


def _halving(banks: Sequence[study_bram.BankPoint]) -> str:
    """The largest relative step of the input buffer in banks."""
    pairs = [
        (after.model / before.model, before, after)
        for before, after in pairwise(banks)
        if before.banks == after.banks
    ]
    _, before, after = min(pairs, key=lambda pair: pair[0])
    return (
        f"largest step: {before.banks} banks of {before.words} words to {after.words} words, "
        f"factor {before.factor:.2f} to {after.factor:.2f}: {before.model} to {after.model} RAMB18"
    )


def _bram_rows(
    points: Sequence[study_bram.BramPoint], banks: Sequence[study_bram.BankPoint]
) -> list[Sequence[Any]]:
    names = (*study_bram.BUFFERS, study_bram.STORES)
    rows: list[Sequence[Any]] = [
        ("what", "factor", "feature_bits", "height", "width", *names, "model", "yosys")
    ]
    rows += [
        ("accelerator", f"{p.factor:.2f}", p.feature_bits, p.height, p.width,
         *(p.model[name] for name in names), p.model_bram18, p.yosys_bram18)
        for p in points
    ]  # fmt: skip
    rows += [
        (f"input buffer in {b.banks} banks", f"{b.factor:.2f}", 16, *study_bram.size_at(b.factor),
         b.model, "", "", "", "", b.model, b.yosys)
        for b in banks
    ]  # fmt: skip
    return rows


def _step_table(steps: Sequence[study_bram.Step]) -> RenderableType:
    rows = [
        (f"F{s.feature_bits}", f"{s.factor:.2f}", str(s.width), str(s.before), str(s.after),
         s.reason)
        for s in steps
        if s.feature_bits in PRINTED_BITS
    ]  # fmt: skip
    columns = ("features", "factor", "width", "before", "RAMB18", "because")
    return table("steps (all: JSON)", columns, rows, left=(0, 5))
