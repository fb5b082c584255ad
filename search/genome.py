"""A point of the co-design search: a network of one bundle, its precision and its accelerator."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from search.bundle import Bundle

EXPANSIONS = (1.0, 1.2, 1.3, 1.5, 1.75, 2.0)  # channels of a repetition over those before it
CHANNEL_STEP = 8  # features in a 64-bit beat: channels are rounded to whole beats


@dataclass(frozen=True)
class Genome:
    """What the search changes. ``expansions`` and ``pools`` have one entry a repetition."""

    bundle: Bundle
    expansions: tuple[float, ...]
    pools: tuple[bool, ...]  # which repetitions halve the map
    weight_bits: int
    feature_bits: int
    lanes: int  # index into the space's parallel factors
    tile: int  # index into the space's tile heights

    @property
    def repetitions(self) -> int:
        """Bundles between stem and head."""
        return len(self.expansions)

    @property
    def key(self) -> str:
        """Names the genome."""
        text = json.dumps(self.record(), sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    @property
    def network_key(self) -> tuple[object, ...]:
        """What decides the network and its arithmetic, the accelerator left out."""
        return (self.bundle, self.expansions, self.pools, self.weight_bits, self.feature_bits)

    def channels(self, stem_channels: int, most: int) -> list[int]:
        """Channels that each repetition leaves, whole beats, at most ``most``."""
        found = []
        exact = float(stem_channels)
        for expansion in self.expansions:
            exact = min(exact * expansion, float(most))
            found.append(max(CHANNEL_STEP, round(exact / CHANNEL_STEP) * CHANNEL_STEP))
        return found

    def record(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "bundle": self.bundle.name,
            "expansions": self.expansions,
            "pools": self.pools,
            "weight_bits": self.weight_bits,
            "feature_bits": self.feature_bits,
            "lanes": self.lanes,
            "tile": self.tile,
        }

    @staticmethod
    def of_record(record: Mapping[str, Any]) -> Genome:
        """The inverse of :meth:`record`."""
        return Genome(
            bundle=Bundle.named(str(record["bundle"])),
            expansions=tuple(float(value) for value in record["expansions"]),
            pools=tuple(bool(value) for value in record["pools"]),
            weight_bits=int(record["weight_bits"]),
            feature_bits=int(record["feature_bits"]),
            lanes=int(record["lanes"]),
            tile=int(record["tile"]),
        )
