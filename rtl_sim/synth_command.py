"""``tandem synth``: Yosys on the generated RTL beside the resource model."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

from rich.console import Console, RenderableType

from model import console
from model.design import Design, load_design
from model.resources import Resources, estimate_resources
from model.tables import count, headline, share, table
from rtl_sim.synth import FLAGS, SynthesisResult, synthesise

RESOURCES = ("dsp", "bram18", "lut", "ff")
TITLES = {"dsp": "DSP48E1", "bram18": "RAMB18", "lut": "LUT", "ff": "FF"}
EXACT = ("dsp", "bram18")
LOGIC_TOLERANCE = 0.15  # of LUT and FF, as the design contract asks


@dataclass(frozen=True)
class Synthesised:
    """A design, what the model says of it and what Yosys made of it."""

    design: Design
    model: Resources
    yosys: SynthesisResult

    def error(self, resource: str) -> float:
        """(model - Yosys) / Yosys."""
        ours, theirs = self.model.totals()[resource], int(getattr(self.yosys, resource))
        return (ours - theirs) / theirs if theirs else float(ours != 0)

    @property
    def agrees(self) -> bool:
        """DSP and RAMB18 equal, LUT and FF within the tolerance."""
        return all(
            self.error(name) == 0 if name in EXACT else abs(self.error(name)) <= LOGIC_TOLERANCE
            for name in RESOURCES
        )

    def record(self) -> dict[str, Any]:
        """For JSON: the keys of ``tandem synth``."""
        model, design = self.model, self.design
        found = {name: int(getattr(self.yosys, name)) for name in RESOURCES}
        return {
            "design": design.name,
            "device": design.device.name,
            "weight_bits": design.weight_bits,
            "feature_bits": design.feature_bits,
            "agrees": self.agrees,
            "model": model.totals(),
            "yosys": found,
            "error": {name: self.error(name) for name in RESOURCES},
            "limits": dict(model.limits),
            "fits": all(found[name] <= model.limits[name] for name in RESOURCES),
            "shortages": [asdict(item) for item in model.shortages()],
            "parts": [asdict(part) for part in model.parts],
            "units": {name: asdict(use) for name, use in self.yosys.units.items()},
            "tool": self.yosys.tool,
            "flags": FLAGS,
            "tandem": metadata.version("tandem-codesign"),
            "synth_seconds": self.yosys.seconds,
            "cached": self.yosys.cached,
        }


def synth_command(design: Path, out: Path, as_json: bool) -> int:
    """Synthesise, compare, print, return the exit status."""
    found = synthesise_design(load_design(design), out)
    if as_json:
        console.put_json(found.record())
    else:
        console.put(*describe(found))
    return console.HELD if found.agrees else console.FAILED


def synthesise_design(design: Design, out: Path) -> Synthesised:
    """Model and Yosys for one design; results are kept below ``out``. Minutes where none is."""
    model = estimate_resources(design)
    with Console(stderr=True).status(f"{design.name}: Yosys maps the accelerator ..."):
        yosys = synthesise(design, out / "yosys")
    return Synthesised(design, model, yosys)


def describe(found: Synthesised) -> Iterator[RenderableType]:
    """The comparison for people."""
    record = found.record()
    verdict = "model and synthesis agree" if found.agrees else "model and synthesis DIFFER"
    yield headline(
        f"{record['design']} on {record['device']}, W{record['weight_bits']} "
        f"F{record['feature_bits']}: {verdict}",
        found.agrees,
    )
    yield _totals(record)
    yield _units(record)
    for item in record["shortages"]:
        yield (
            f"[bold red]does not fit[/]: {item['resource']}: needs {item['need']:,}, the device "
            f"has {item['limit']:,}: {item['advice']}"
        )
    how = "found mapped" if record["cached"] else f"mapped in {record['synth_seconds']:.0f} s"
    yield f"{record['tool']}, synth_xilinx {record['flags']}; {how}"


def _totals(record: Mapping[str, Any]) -> RenderableType:
    rows = []
    for name in RESOURCES:
        error = record["error"][name]
        used = record["yosys"][name] / record["limits"][name]
        rows.append(
            [
                TITLES[name],
                count(record["model"][name]),
                count(record["yosys"][name]),
                f"{100 * error:+.1f} %" if error else "0",
                "0" if name in EXACT else f"{100 * LOGIC_TOLERANCE:.0f} %",
                count(record["limits"][name]),
                share(used),
            ]
        )
    head = ("resource", "model", "Yosys", "model is off by", "allowed", "device", "used")
    return table(None, head, rows)


def _units(record: Mapping[str, Any]) -> RenderableType:
    rows = [
        [name.replace("_", " "), *(count(use[key]) if use[key] else "" for key in RESOURCES)]
        for name, use in record["units"].items()
    ]
    return table("Yosys, by unit", ("unit", *TITLES.values()), rows)
