"""What a DMA unit asks of its AXI master: segments of contiguous beats in a regular pattern."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from model.program import Command

Segment = tuple[int, int]  # byte address, beats


@dataclass(frozen=True, slots=True)
class Segments:
    """Rows of blocks: segment (r, b) starts at ``base + r * row_pitch + b * block_pitch``.

    The last block of a row has ``last_beats`` beats and starts ``last_skew`` bytes earlier.
    """

    base: int
    row_pitch: int
    rows: int
    block_pitch: int
    blocks: int
    beats: int
    last_beats: int
    last_skew: int

    @staticmethod
    def one(address: int, beats: int) -> Segments:
        """A single segment."""
        return Segments(address, 0, 1, 0, 1, beats, beats, 0)

    @staticmethod
    def of_load(command: Command, frame_bytes: int = 0) -> Segments:
        """What a load command reads; ``frame_bytes`` counts where it has the frame's offset."""
        get = command.fields  # the attributes of a command take four times as long
        return Segments(
            get["address"] + frame_bytes * get["frame_offset"],
            get["row_pitch"],
            get["rows"],
            get["block_pitch"],
            get["blocks"],
            get["segment_beats"],
            get["last_segment_beats"],
            get["block_pitch"] - get["last_block_pitch"],
        )

    @staticmethod
    def of_store(command: Command, group: int, frame_bytes: int = 0) -> Segments:
        """What a store command writes for one output group."""
        get = command.fields
        last = group == get["out_groups"] - 1
        base = get["address"] + group * get["block_pitch"] + frame_bytes * get["frame_offset"]
        beats = get["last_segment_beats"] if last else get["segment_beats"]
        pitch, segments = get["row_pitch"], get["segments"]
        if get["to_depth"]:  # two rows of the tile, four segments, lie in one row of the map
            phase = get["phase_pitch"]
            return Segments(base, pitch + 3 * phase, segments // 4, phase, 4, beats, beats, 0)
        skew = get["last_skew"] if last else 0
        return Segments(base, pitch, segments, 0, 1, beats, beats, skew)

    @property
    def total_beats(self) -> int:
        """Beats of all segments."""
        return self.rows * ((self.blocks - 1) * self.beats + self.last_beats)

    def __iter__(self) -> Iterator[Segment]:
        for row in range(self.rows):
            for block in range(self.blocks):
                address = self.base + row * self.row_pitch + block * self.block_pitch
                if block == self.blocks - 1:
                    yield address - self.last_skew, self.last_beats
                else:
                    yield address, self.beats

    def as_tuple(self) -> tuple[int, int, int, int, int, int, int, int]:
        """In the order of the compiled kernel's master record."""
        return (
            self.base,
            self.row_pitch,
            self.rows,
            self.block_pitch,
            self.blocks,
            self.beats,
            self.last_beats,
            self.last_skew,
        )
