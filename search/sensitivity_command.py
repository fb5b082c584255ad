"""``tandem sensitivities``: what to change next in a design, ranked, with its price."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from rich.console import RenderableType
from rich.text import Text

from model import console
from model.design import Design, load_design
from model.design_writer import write_design
from model.device import known_devices
from model.errors import RunFailed, TandemError
from model.evaluation import check_frames
from model.network_file import write_atomically
from model.tables import headline, table
from search.board_changes import device_text
from search.changes import BOARD, NOTHING, RETRAINING
from search.sensitivity import LARGER_CHIP, Sensitivity, Study, study

DEVICES = "devices"  # folder of the device files that designs on another board need
TITLES = {
    NOTHING: "on this chip, as it is",
    RETRAINING: "after training again",
    BOARD: "on another board",
    LARGER_CHIP: "on a larger chip",
}
COLUMNS = ("FPS gain", "%", "latency ms", "DSP", "RAMB18", "LUT", "FF", "W")


def sensitivity_command(path: Path, frames: int, out: Path | None, as_json: bool) -> int:
    """Try every change, write the improved designs, print, return the exit status."""
    check_frames(frames)
    found = study(load_design(path), frames)
    files = write_improved(found, out) if out is not None else {}
    if as_json:
        record = found.record()
        for item in (*record["sensitivities"], *record["pairs"]):
            item["file"] = files.get(item["name"])
        console.put_json(record)
    else:
        console.put(*describe(found, files, out))
    return console.HELD


def write_improved(found: Study, out: Path) -> dict[str, str]:
    """Design files of all that improve; by name of the change the file's name.

    A design on another board also needs that board's device file, which goes to ``devices``.
    TandemError where the folder cannot be written; RunFailed where a file is not what was measured.
    """
    improved = [item for item in (*found.found, *found.pairs) if item.improves]
    try:
        (out / DEVICES if any(map(_foreign, improved)) else out).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise TandemError(
            f"{out}: cannot be written ({error.strerror}): choose another --out"
        ) from None
    return {item.name: _write(found.design, item, out) for item in improved}


def _foreign(item: Sensitivity) -> bool:
    return item.design.device.name not in known_devices()


def _write(before: Design, item: Sensitivity, out: Path) -> str:
    name = f"{before.name}_{item.name.replace('+', '_')}"
    comment = f"{before.name}, changed by `tandem sensitivities`:\n{item.sentence}"
    path = out / f"{name}.toml"
    device = item.design.device
    if _foreign(item):
        board = f"{DEVICES}/{device.name}.toml"
        comment += f"\nIts device file is {board}; it belongs into model/devices."
        text = device_text(before.device, device, f"{before.device.name}: {item.title}.")
        write_atomically(out / board, text.encode())
    write_design(_named(item.design, name), path, comment)
    if not _foreign(item) and load_design(path) != _named(item.design, name, path):
        raise RunFailed(f"{path}: what was written is not the design that was measured")
    return path.name


def _named(design: Design, name: str, path: Path | None = None) -> Design:
    return replace(design, name=name, path=path)


def describe(found: Study, files: Mapping[str, str], out: Path | None) -> Iterator[RenderableType]:
    """The study for people."""
    design, base = found.design, found.base
    yield headline(
        f"{design.name} on {design.device.name}, {design.clock_mhz:g} MHz: {base.fps:.2f} FPS, "
        f"{base.dsp} DSP48E1, {base.bram18} RAMB18, {base.power_w:.2f} W"
    )
    yield Text(advice(found))
    yield Text("")
    for needs, title in TITLES.items():
        rows = [_row(item) for item in found.found if item.needs == needs]
        if rows:
            yield table(None, (title, *COLUMNS), rows)
    if found.pairs:
        rows = [_row(item) for item in found.pairs]
        yield table(None, ("two of the best together", *COLUMNS), rows)
    if found.refused:
        rows = [[item.title, item.reason] for item in found.refused]
        yield table(None, ("not possible", "because"), rows, left=(0, 1))
    yield Text(f"{found.simulations} designs simulated to the cycle in {found.seconds:.1f} s")
    if out is not None:
        yield Text(f"{len(files)} improved designs written to {out}")


def advice(found: Study) -> str:
    """The best change that needs nothing but the chip at hand, in a sentence."""
    best = next((item for item in found.found if item.faster and item.needs == NOTHING), None)
    if best is not None:
        return best.sentence
    other = next((item for item in found.found if item.faster), None)
    none = "No single change makes it faster on this chip."
    return none if other is None else f"{none} {other.sentence}"


def _row(item: Sensitivity) -> Sequence[str]:
    share = 100 * item.fps_gain / (item.fps - item.fps_gain)
    return [
        item.title,
        f"{item.fps_gain:+.2f}",
        f"{share:+.1f}",
        f"{item.latency_change_ms:+.3f}",
        *(_change(item.paid[name]) for name in ("dsp", "bram18", "lut", "ff")),
        f"{item.power_change_w:+.2f}",
    ]


def _change(value: int) -> str:
    return f"{value:+,}" if value else "0"
