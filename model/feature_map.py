"""How a feature map lies in DDR: rows, channel blocks, columns, channels."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class FeatureMap:
    """One feature map in memory, layout ``[row][block][column][channel in block]``.

    Channels come in blocks of ``block_channels`` (the accelerator's output lanes); the last block
    is rounded up to ``align`` channels. A raw map holds signed accumulators as ``slices`` planes of
    ``feature_bytes`` bytes for each requantise step of ``step_channels`` channels. A map may be a
    part of a wider one: its rows then lie ``wider_pitch`` bytes apart. Channels that belong to no
    layer, there to fill blocks, are left out of ``lanes``.
    """

    name: str
    channels: int
    height: int
    width: int
    block_channels: int
    align: int
    feature_bytes: int
    step_channels: int
    slices: int = 1
    address: int = 0
    wider_pitch: int = 0  # 0: rows follow each other
    lanes: tuple[int, ...] | None = None  # where the layer's channels are; None: one by one

    @property
    def raw(self) -> bool:
        """Does the map hold signed accumulators?"""
        return self.slices > 1

    @cached_property
    def blocks(self) -> int:
        """Channel blocks, the last one perhaps smaller."""
        return -(-self.channels // self.block_channels)

    @cached_property
    def last_block_channels(self) -> int:
        """Channels of the last block, padding included."""
        rest = self.channels - (self.blocks - 1) * self.block_channels
        return -(-rest // self.align) * self.align

    def block_size(self, block: int) -> int:
        """Channels of one block, padding included."""
        return self.last_block_channels if block == self.blocks - 1 else self.block_channels

    @cached_property
    def padded_channels(self) -> int:
        """Channels of all blocks, padding included."""
        return (self.blocks - 1) * self.block_channels + self.last_block_channels

    @property
    def channel_bytes(self) -> int:
        """Bytes of one channel of one pixel."""
        return self.feature_bytes * self.slices

    @cached_property
    def block_pitch(self) -> int:
        """Bytes from one channel block to the next inside a row."""
        return self.width * self.block_channels * self.channel_bytes

    @cached_property
    def row_pitch(self) -> int:
        """Bytes from one row to the next."""
        return self.wider_pitch or self.row_bytes

    @cached_property
    def row_bytes(self) -> int:
        """Bytes of one row."""
        return self.width * self.padded_channels * self.channel_bytes

    @cached_property
    def contiguous(self) -> bool:
        """Do rows follow each other without a gap?"""
        return self.row_pitch == self.row_bytes

    @property
    def total_bytes(self) -> int:
        """Bytes from the first to the last."""
        return (self.height - 1) * self.row_pitch + self.row_bytes

    @property
    def positions(self) -> NDArray[np.int64]:
        """Where the channels of the layer are, among ``channels``."""
        return np.array(range(self.channels) if self.lanes is None else self.lanes, dtype=np.int64)

    def pack(self, values: NDArray[np.int64]) -> bytes:
        """Bytes of a (layer's channels, height, width) array of unsigned features."""
        assert self.contiguous
        padded = np.zeros((self.padded_channels, self.height, self.width), dtype=np.int64)
        padded[self.positions] = values
        dtype = np.dtype("<u1") if self.feature_bytes == 1 else np.dtype("<u2")
        parts = []
        for block in range(self.blocks):
            start = block * self.block_channels
            part = padded[start : start + self.block_size(block)]
            parts.append(part.transpose(1, 2, 0).reshape(self.height, -1))
        return np.concatenate(parts, axis=1).astype(dtype).tobytes()

    def unpack(self, data: bytes) -> NDArray[np.int64]:
        """(layer's channels, height, width) behind the ``total_bytes``; a raw map sign-extended."""
        dtype = np.dtype("<u1") if self.feature_bytes == 1 else np.dtype("<u2")
        data += bytes(self.height * self.row_pitch - len(data))
        rows = np.frombuffer(data, dtype=dtype).reshape(self.height, -1).astype(np.int64)
        parts = []
        start = 0
        for block in range(self.blocks):
            size = self.block_size(block) * self.slices
            part = rows[:, start : start + self.width * size].reshape(self.height, self.width, size)
            parts.append(self._join_slices(part) if self.raw else part)
            start += self.width * size
        return np.concatenate(parts, axis=2)[:, :, self.positions].transpose(2, 0, 1)

    def _join_slices(self, part: NDArray[np.int64]) -> NDArray[np.int64]:
        planes = part.reshape(self.height, self.width, -1, self.slices, self.step_channels)
        bits = 8 * self.feature_bytes
        value = np.zeros((*planes.shape[:3], self.step_channels), dtype=np.int64)
        for index in range(self.slices):
            value |= planes[:, :, :, index] << (bits * index)
        total = bits * self.slices
        if total < 64:
            value = (value ^ (1 << (total - 1))) - (1 << (total - 1))
        return value.reshape(self.height, self.width, -1)
