"""What a DMA unit asks of its AXI master: segments of contiguous beats in a regular pattern."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

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
