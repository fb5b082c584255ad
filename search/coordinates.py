"""Coordinates of a genome and their unit steps.

``step(genome, count)`` moves a coordinate by a signed number of units and returns None where the
space ends. Upwards makes the network larger (deeper, wider, later down-sampling, more bits) or the
accelerator larger (more products a cycle, higher tiles).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from search.genome import EXPANSIONS, Genome
from search.genome_space import TILE_ROWS, GenomeSpace


@dataclass(frozen=True)
class Coordinate:
    """One coordinate: its kind, and which repetition or pool it is of."""

    kind: str  # "repetitions" | "expansion" | "pool" | "weight_bits" | "feature_bits" | "lanes" ...
    index: int = 0

    @property
    def name(self) -> str:
        """Such as ``expansion[2]``."""
        return f"{self.kind}[{self.index}]" if self.kind in ("expansion", "pool") else self.kind

    @property
    def of_network(self) -> bool:
        """Does it change what the network can learn?"""
        return self.kind not in ("lanes", "tile")

    def step(self, genome: Genome, space: GenomeSpace, count: int) -> Genome | None:
        """The genome ``count`` units away; None where that is outside the space."""
        if count == 0:
            return None
        return _STEPS[self.kind](genome, space, self.index, count)

    def value(self, genome: Genome) -> float | int:
        """Where it stands, for the trace; 0 for the expansion of a repetition that is gone."""
        if self.kind == "repetitions":
            return genome.repetitions
        if self.kind == "expansion":
            return genome.expansions[self.index] if self.index < genome.repetitions else 0
        if self.kind == "pool":
            return pool_places(genome)[self.index]
        found: int = getattr(genome, self.kind)
        return found


def coordinates(genome: Genome, space: GenomeSpace) -> list[Coordinate]:
    """Every coordinate of a genome that can move at all."""
    net = space.network
    found = [Coordinate("lanes"), Coordinate("tile")]
    if net.repetitions[0] < net.repetitions[1]:
        found.append(Coordinate("repetitions"))
    found += [Coordinate("expansion", index) for index in range(genome.repetitions)]
    found += [Coordinate("pool", index) for index in range(net.downsamplings)]
    for kind, choices in (("weight_bits", net.weight_bits), ("feature_bits", net.feature_bits)):
        if len(choices) > 1:
            found.append(Coordinate(kind))
    return found


def pool_places(genome: Genome) -> list[int]:
    """The repetitions that halve the map, in order."""
    return [index for index, pooled in enumerate(genome.pools) if pooled]


def _repetitions(genome: Genome, space: GenomeSpace, _: int, count: int) -> Genome | None:
    """Repetitions are added behind the last without growth, and taken from there."""
    low, high = space.network.repetitions
    total = genome.repetitions + count
    if not max(low, space.network.downsamplings) <= total <= high:
        return None
    if count > 0:
        return replace(
            genome,
            expansions=genome.expansions + (1.0,) * count,
            pools=genome.pools + (False,) * count,
        )
    places = _fitted(pool_places(genome), total)
    return replace(genome, expansions=genome.expansions[:total], pools=_pools(places, total))


def _fitted(places: list[int], total: int) -> list[int]:
    """Pools of repetitions that are gone move to the last ones that are left."""
    found: list[int] = []
    most = total - 1
    for place in reversed(places):
        found.append(min(place, most))
        most = found[-1] - 1
    return found[::-1]


def _expansion(genome: Genome, _: GenomeSpace, index: int, count: int) -> Genome | None:
    if index >= genome.repetitions:
        return None
    at = EXPANSIONS.index(genome.expansions[index]) + count
    if not 0 <= at < len(EXPANSIONS):
        return None
    values = list(genome.expansions)
    values[index] = EXPANSIONS[at]
    return replace(genome, expansions=tuple(values))


def _pool(genome: Genome, _: GenomeSpace, index: int, count: int) -> Genome | None:
    places = pool_places(genome)
    if index >= len(places):
        return None
    place = places[index] + count
    low = places[index - 1] + 1 if index else 0
    high = places[index + 1] if index + 1 < len(places) else genome.repetitions
    if not low <= place < high:
        return None
    places[index] = place
    return replace(genome, pools=_pools(places, genome.repetitions))


def _pools(places: list[int], total: int) -> tuple[bool, ...]:
    return tuple(index in places for index in range(total))


def _bits(kind: str, genome: Genome, choices: tuple[int, ...], count: int) -> Genome | None:
    at = choices.index(getattr(genome, kind)) + count
    if not 0 <= at < len(choices):
        return None
    changed: dict[str, Any] = {kind: choices[at]}
    return replace(genome, **changed)


def _weight_bits(genome: Genome, space: GenomeSpace, _: int, count: int) -> Genome | None:
    return _bits("weight_bits", genome, space.network.weight_bits, count)


def _feature_bits(genome: Genome, space: GenomeSpace, _: int, count: int) -> Genome | None:
    return _bits("feature_bits", genome, space.network.feature_bits, count)


def _lanes(genome: Genome, space: GenomeSpace, _: int, count: int) -> Genome | None:
    at = genome.lanes + count
    return replace(genome, lanes=at) if 0 <= at < len(space.lanes) else None


def _tile(genome: Genome, _space: GenomeSpace, _: int, count: int) -> Genome | None:
    at = genome.tile + count
    return replace(genome, tile=at) if 0 <= at < len(TILE_ROWS) else None


_STEPS = {
    "repetitions": _repetitions,
    "expansion": _expansion,
    "pool": _pool,
    "weight_bits": _weight_bits,
    "feature_bits": _feature_bits,
    "lanes": _lanes,
    "tile": _tile,
}
