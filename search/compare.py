"""Two designs compared: why one takes more cycles a frame than the other, by cause.

The designs are taken apart into groups of fields. A design between them has some groups of A and
the others of B; it is compiled and simulated like any other, so nothing is estimated and the parts
of the causes add up to the whole difference (``search/attribution.py``).
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from typing import Any

from model.accelerator import Accelerator
from model.design import Design
from model.errors import TandemError
from model.evaluation import Evaluation, evaluate
from model.fast_simulator import cycles_fast
from model.schedule import compile_schedule
from search.attribution import Attribution, Values, attribute
from search.changes import checked
from search.differences import Edits, differences
from search.measure import STEADY_FRAMES

MEASURES = ("cycles_per_frame", "ms_per_frame", "fps", "latency_cycles")
GROUPS_MAX = 8  # that are told apart: 256 designs between the two
JOIN = ", "  # between the names of groups that are taken together


@dataclass(frozen=True)
class Group:
    """Fields that are changed together."""

    name: str
    fields: tuple[str, ...] = ()  # of the design
    accelerator: tuple[str, ...] = ()

    def differs(self, a: Design, b: Design) -> bool:
        """Is there anything to change?"""
        return self.take(a, b) != a

    def take(self, into: Design, source: Design) -> Design:
        """``into`` with this group of ``source``."""
        acc = _taken(into.accelerator, source.accelerator, self.accelerator)
        values = {name: getattr(source, name) for name in self.fields}
        return replace(into, **values, accelerator=acc)


def _taken(into: Accelerator, source: Accelerator, names: Sequence[str]) -> Accelerator:
    return replace(into, **{name: getattr(source, name) for name in names})


# In this order they are merged, where they have to be, and listed.
GROUPS = (
    Group("network", ("network",), ("dw_kernel_max", "conv_kernel_max")),
    Group("precision", ("weight_bits", "feature_bits"), ("accumulator_bits",)),
    Group("lanes", (), ("in_lanes", "out_lanes", "requant_lanes")),
    Group("depth-wise", (), ("dw_multipliers", "dw_multiplier_style")),
    Group("packing", (), ("mac_packing",)),
    Group("memories", (), ("buffers", "tile_height", "tile_width")),
    Group("ports", (), ("ports",)),
    Group("bursts", (), ("outstanding_bursts",)),
    Group("queues", (), ("command_depth",)),
    Group("device", ("device",)),
    Group("clock", ("clock_khz",)),
)
# Taken together, in this order, where more than GROUPS_MAX differ.
COARSER = (
    ("bursts", "queues"),
    ("depth-wise", "packing"),
    ("ports", "bursts", "queues"),
)


@dataclass(frozen=True)
class Cause:
    """A group, or groups that had to be changed together, and its part in each measure."""

    name: str
    edits: Edits  # key of the design file: in A, in B
    parts: dict[str, Fraction]  # by measure: B less A
    first: dict[str, Fraction] | None  # its step in A as it is; None: that cannot be compiled
    last: dict[str, Fraction] | None  # its step to B, all others made

    def record(self) -> dict[str, Any]:
        """For JSON; every part as a number and exactly, as a fraction in a string."""
        return {
            "name": self.name,
            "edits": {key: list(values) for key, values in self.edits.items()},
            **{name: float(part) for name, part in self.parts.items()},
            "exact": {name: str(part) for name, part in self.parts.items()},
            "first": _numbers(self.first),
            "last": _numbers(self.last),
        }


def _numbers(step: dict[str, Fraction] | None) -> dict[str, float] | None:
    return None if step is None else {name: float(value) for name, value in step.items()}


@dataclass(frozen=True)
class Comparison:
    """What differs, and by how much each cause contributes."""

    a: Evaluation
    b: Evaluation
    causes: tuple[Cause, ...]
    whole: dict[str, Fraction]  # by measure: B less A
    orders: int
    all_orders: int
    refused: tuple[tuple[str, str], ...]  # groups of B that A does not compile with, and why
    simulations: int
    seconds: float

    @property
    def adds_up(self) -> bool:
        """Do the parts sum to the whole, exactly, in every measure?"""
        zero = Fraction(0)
        return all(
            sum((cause.parts[name] for cause in self.causes), zero) == whole
            for name, whole in self.whole.items()
        )


def compare(
    a: Design, b: Design, frames: int = STEADY_FRAMES, together: Sequence[str] = ()
) -> Comparison:
    """Explain B's cycles a frame, time and FPS from A's.

    ``together``: names of groups to take as one cause. TandemError where A or B cannot be
    compiled, or a name is none of a group.
    """
    started = time.perf_counter()
    ends = [_evaluated(design, frames) for design in (a, b)]
    groups = coarsened(_together([group for group in GROUPS if group.differs(a, b)], together))
    between = _Between(a, b, groups, frames)
    found = attribute(len(groups), between.measure)
    first, last = between.measure(0), between.measure((1 << len(groups)) - 1)
    assert first is not None
    assert last is not None
    return Comparison(
        a=ends[0],
        b=ends[1],
        causes=tuple(_causes(a, b, groups, found)),
        whole={name: last[i] - first[i] for i, name in enumerate(MEASURES)},
        orders=found.orders,
        all_orders=found.all_orders,
        refused=tuple(between.refused),
        simulations=between.simulations,
        seconds=time.perf_counter() - started,
    )


def coarsened(groups: Sequence[Group]) -> list[Group]:
    """At most ``GROUPS_MAX`` groups: those that matter least to time are taken together."""
    found = list(groups)
    for names in COARSER:
        there = [group for group in found if set(group.name.split(JOIN)) <= set(names)]
        if len(found) > GROUPS_MAX and len(there) > 1:
            found[found.index(there[0])] = _joined(there)
            found = [group for group in found if group not in there[1:]]
    return found


def _together(groups: Sequence[Group], names: Sequence[str]) -> list[Group]:
    """The groups with those of these names as one; names that do not differ are left out."""
    known = [group.name for group in GROUPS]
    for name in names:
        if name not in known:
            raise TandemError(f"--together {name}: must be one of {', '.join(known)}")
    there = [group for group in groups if group.name in names]
    if len(there) < 2:
        return list(groups)
    return [
        _joined(there) if group is there[0] else group for group in groups if group not in there[1:]
    ]


def _joined(groups: Sequence[Group]) -> Group:
    return Group(
        JOIN.join(group.name for group in groups),
        tuple(name for group in groups for name in group.fields),
        tuple(name for group in groups for name in group.accelerator),
    )


def _causes(a: Design, b: Design, groups: Sequence[Group], found: Attribution) -> Iterator[Cause]:
    for at, player in enumerate(found.players):
        group = _joined([group for index, group in enumerate(groups) if player >> index & 1])
        parts = _by_measure(found.parts[at])
        assert parts is not None
        yield Cause(
            name=group.name,
            edits=differences(a, group.take(a, b)),
            parts=parts,
            first=_by_measure(found.first[at]),
            last=_by_measure(found.last[at]),
        )


def _by_measure(values: Values | None) -> dict[str, Fraction] | None:
    return None if values is None else dict(zip(MEASURES, values, strict=True))


def _evaluated(design: Design, frames: int) -> Evaluation:
    """A design evaluated; an error says which one it is."""
    try:
        return evaluate(checked(design), frames, "fast")
    except TandemError as error:
        raise TandemError(f"design {design.name}: {error}") from error


@dataclass
class _Between:
    """The designs between A and B, simulated when they are asked for."""

    a: Design
    b: Design
    groups: Sequence[Group]
    frames: int
    simulations: int = 0
    refused: list[tuple[str, str]] = field(default_factory=list)
    _refused_sets: list[int] = field(default_factory=list)

    def measure(self, taken: int) -> Values | None:
        """The ``MEASURES`` with these groups of B in A; None where it cannot be compiled."""
        design = self.a
        names = []
        for index, group in enumerate(self.groups):
            if taken >> index & 1:
                design = group.take(design, self.b)
                names.append(group.name)
        try:
            schedule = compile_schedule(checked(design), self.frames)
            done, _ = cycles_fast(schedule)
        except TandemError as error:
            if not any(taken & known == known for known in self._refused_sets):
                self._refused_sets.append(taken)
                self.refused.append((" + ".join(names), str(error)))
            return None
        self.simulations += 1
        return values_of(done, design.clock_khz)


def values_of(done: Sequence[int], clock_khz: int) -> Values:
    """The ``MEASURES`` of a run from the cycles at which its frames were done."""
    cycles = Fraction(done[-1] - done[0], len(done) - 1) if len(done) > 1 else Fraction(done[0])
    return cycles, cycles / clock_khz, clock_khz * 1000 / cycles, Fraction(done[0])
