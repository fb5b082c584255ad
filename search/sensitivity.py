"""What to change next: each change of a design re-simulated to the cycle, and ranked.

Nothing is estimated of the cycles: a change is made, its memories follow, the whole design is
compiled and simulated again. Resources and power come from their models, as everywhere.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

from model.design import Design
from model.errors import TandemError
from model.resources import Resources, estimate_resources
from search.board_changes import BOARD_CHANGES
from search.changes import BOARD, CHANGES, NOTHING, RETRAINING, Change, checked
from search.differences import Edits, differences, told
from search.inloop import InLoop, evaluate_exact
from search.measure import RESOURCES, STEADY_FRAMES, USABLE_SHARE, Limits

PAIRED = 3  # the best changes of which pairs are tried
WORTH = 0.001  # of the frames per second: less is no gain, and no loss
LARGER_CHIP = "a larger chip"
CLASSES = (NOTHING, RETRAINING, BOARD, LARGER_CHIP)  # in this order they are ranked
UNITS = {"dsp": "DSP48E1", "bram18": "RAMB18", "lut": "LUT", "ff": "FF"}


@dataclass(frozen=True)
class Sensitivity:
    """A change that can be built, simulated."""

    name: str
    title: str
    sentence: str
    fps: float
    fps_gain: float
    cycles_per_frame: float
    latency_cycles: int
    latency_change_ms: float
    paid: dict[str, int]  # dsp, bram18, lut, ff more than before; negative: saved
    power_w: float
    power_change_w: float
    fits: bool
    shortages: tuple[str, ...]  # what the chip has too little of, and what to do
    crowded: tuple[str, ...]  # LUT or FF above 84.5 % of the chip: hard to place and route
    needs: str  # one of CLASSES
    edits: Edits  # key of the design file: before, after
    design: Design
    parts: tuple[str, ...] = ()  # of a pair: the names of its changes
    caveat: str = ""  # what a simulation cannot say

    @property
    def faster(self) -> bool:
        """By 0.1 % or more."""
        return self.fps_gain >= WORTH * (self.fps - self.fps_gain)

    @property
    def improves(self) -> bool:
        """Faster; or slower by less than 0.1 % and cheaper, something saved and nothing paid."""
        paid = self.paid.values()
        cheaper = min(paid) < 0 and max(paid) <= 0
        return self.faster or (cheaper and -self.fps_gain < WORTH * (self.fps - self.fps_gain))

    def record(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "name": self.name,
            "title": self.title,
            "sentence": self.sentence,
            "needs": self.needs,
            "caveat": self.caveat,
            "fps": self.fps,
            "fps_gain": self.fps_gain,
            "cycles_per_frame": self.cycles_per_frame,
            "latency_cycles": self.latency_cycles,
            "latency_change_ms": self.latency_change_ms,
            "paid": dict(self.paid),
            "power_w": self.power_w,
            "power_change_w": self.power_change_w,
            "fits": self.fits,
            "shortages": list(self.shortages),
            "crowded": list(self.crowded),
            "improves": self.improves,
            "edits": {key: list(values) for key, values in self.edits.items()},
            "parts": list(self.parts),
        }


@dataclass(frozen=True)
class Refused:
    """A change that cannot be made of this design, and why not."""

    name: str
    title: str
    reason: str


@dataclass(frozen=True)
class Study:
    """All changes of a design, the best first, and those that cannot be made."""

    design: Design
    frames: int
    base: InLoop
    found: tuple[Sensitivity, ...]
    refused: tuple[Refused, ...]
    pairs: tuple[Sensitivity, ...]
    simulations: int
    seconds: float

    def record(self) -> dict[str, Any]:
        """For JSON."""
        design = self.design
        return {
            "design": design.name,
            "device": design.device.name,
            "clock_mhz": design.clock_mhz,
            "frames": self.frames,
            "base": {**self.base.record(), "latency_ms": latency_ms(design, self.base)},
            "sensitivities": [item.record() for item in self.found],
            "pairs": [item.record() for item in self.pairs],
            "not_possible": [vars(item) for item in self.refused],
            "simulations": self.simulations,
            "seconds": self.seconds,
        }


def sensitivities(design: Design, frames: int = STEADY_FRAMES) -> list[Sensitivity]:
    """Every change that can be built, the best first. TandemError where the design cannot be."""
    return list(study(design, frames, pairs=False).found)


def study(design: Design, frames: int = STEADY_FRAMES, pairs: bool = True) -> Study:
    """Try every change, and ``pairs`` of the best ones. TandemError as for a simulation."""
    started = time.perf_counter()
    bench = _Bench(design, frames)
    found: list[Sensitivity] = []
    refused: list[Refused] = []
    changes = {change.name: change for change in (*CHANGES, *BOARD_CHANGES)}
    for change in changes.values():
        try:
            found.append(bench.try_change(change))
        except TandemError as error:
            refused.append(Refused(change.name, change.title, str(error)))
    found.sort(key=_rank)
    best = [item for item in found if item.faster][:PAIRED]
    joined = list(_pairs(bench, best, changes)) if pairs else []
    return Study(
        design=design,
        frames=frames,
        base=bench.base,
        found=tuple(found),
        refused=tuple(refused),
        pairs=tuple(sorted(joined, key=_rank)),
        simulations=bench.simulations,
        seconds=time.perf_counter() - started,
    )


def _pairs(
    bench: _Bench, best: list[Sensitivity], changes: Mapping[str, Change]
) -> Iterator[Sensitivity]:
    """Pairs of changes: the second made of the design that the first one left."""
    for first, second in combinations(best, 2):
        change = changes[second.name]
        needs = max(changes[first.name].needs, change.needs, key=CLASSES.index)
        title = f"{first.title} + {second.title}"
        caveat = changes[first.name].caveat or change.caveat
        pair = Change(f"{first.name}+{second.name}", title, change.make, needs, caveat)
        try:
            yield bench.try_change(pair, first.design, (first.name, second.name))
        except TandemError:
            continue  # together they cannot be built; each alone is in the list


def _rank(item: Sensitivity) -> tuple[int, float, float, str]:
    share = sum(
        paid / getattr(item.design.device, resource) for resource, paid in item.paid.items()
    )
    return CLASSES.index(item.needs), -item.fps_gain, share, item.name


class _Bench:
    """The design as it is, and how a change is tried on it."""

    def __init__(self, design: Design, frames: int) -> None:
        self.design = design
        self.frames = frames
        self.simulations = 1
        self.base = evaluate_exact(design, frames)

    def try_change(
        self, change: Change, start: Design | None = None, parts: tuple[str, ...] = ()
    ) -> Sensitivity:
        """The best of the designs that a change makes. TandemError: none of them can be built."""
        tried: list[tuple[Design, InLoop, Resources]] = []
        reason = TandemError("it leaves the design as it is")
        for design in change.make(start or self.design):
            try:
                resources = estimate_resources(checked(design))
                self.simulations += 1
                tried.append((design, evaluate_exact(design, self.frames, resources), resources))
            except TandemError as error:
                reason = error
        if not tried:
            raise reason
        design, measured, resources = min(tried, key=lambda item: (-item[1].fps, item[1].bram18))
        return self._weigh(change, design, measured, resources, parts)

    def _weigh(
        self,
        change: Change,
        design: Design,
        measured: InLoop,
        resources: Resources,
        parts: tuple[str, ...],
    ) -> Sensitivity:
        base = self.base
        paid = {name: getattr(measured, name) - getattr(base, name) for name in RESOURCES}
        shortages = tuple(str(shortage) for shortage in resources.shortages())
        limits = Limits.of(design)
        crowded = tuple(
            name for name in ("lut", "ff") if getattr(measured, name) > getattr(limits, name)
        )
        needs = LARGER_CHIP if shortages else change.needs
        edits = differences(self.design, design)
        return Sensitivity(
            name=change.name,
            title=change.title,
            sentence=_sentence(change, edits, (base.fps, measured.fps), paid, needs, crowded),
            fps=measured.fps,
            fps_gain=measured.fps - base.fps,
            cycles_per_frame=measured.cycles_per_frame,
            latency_cycles=measured.latency_cycles,
            latency_change_ms=latency_ms(design, measured) - latency_ms(self.design, base),
            paid=paid,
            power_w=measured.power_w,
            power_change_w=measured.power_w - base.power_w,
            fits=not shortages,
            shortages=shortages,
            crowded=crowded,
            needs=needs,
            edits=edits,
            design=design,
            parts=parts,
            caveat=change.caveat,
        )


def latency_ms(design: Design, measured: InLoop) -> float:
    """Milliseconds from the start of a frame to its end, no other under way."""
    return measured.latency_cycles / design.clock_khz


def price(paid: Mapping[str, int]) -> str:
    """Resources paid and saved, in words; empty where there are none."""
    spent = [f"{count:,} {UNITS[name]}" for name, count in paid.items() if count > 0]
    saved = [f"{-count:,} {UNITS[name]}" for name, count in paid.items() if count < 0]
    parts = []
    if spent:
        parts.append(f"pays {', '.join(spent)}")
    if saved:
        parts.append(f"saves {', '.join(saved)}")
    return "; ".join(parts)


def _sentence(
    change: Change,
    edits: Edits,
    fps: tuple[float, float],
    paid: Mapping[str, int],
    needs: str,
    crowded: Sequence[str],
) -> str:
    """One change in words: what, how fast, at what price, under which condition."""
    title = change.title[0].upper() + change.title[1:]
    text = f"{title} ({told(edits)}): {fps[0]:.2f} to {fps[1]:.2f} FPS"
    text += f", {price(paid) or 'at no cost in resources'}"
    if needs != NOTHING:
        text += f"; takes {needs}"
    elif crowded:
        names = " and ".join(UNITS[name] for name in crowded)
        text += f"; more than {USABLE_SHARE:.1%} of the chip's {names} is hard to place and route"
    return f"{text}; {change.caveat}." if change.caveat else f"{text}."
