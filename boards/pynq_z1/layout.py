"""Bytes of the accelerator's memory: program, feature maps, and the box behind the last one.

Runs on the board: Python 3.8 and NumPy alone. The twins in ``model/`` (feature_map, program,
detection) say the same; tests hold them against each other.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

RECORD_WORDS = 16
LOG_SIZE_MAX = 8.0  # exp of it is wider than any image


@dataclass(frozen=True)
class MapLayout:
    """A feature map ``[row][block][column][channel in block]``; frames are ``stride`` bytes apart.

    ``offset`` counts from the start of the accelerator's memory.
    """

    offset: int
    stride: int
    channels: int
    height: int
    width: int
    block_channels: int
    align: int  # the last block is rounded up to a multiple of it
    feature_bytes: int
    step_channels: int
    slices: int  # more than one: signed accumulators in planes of feature_bytes
    positions: tuple[int, ...]  # of the layer's channels among ``channels``

    @classmethod
    def from_json(cls, entry: dict[str, Any]) -> MapLayout:
        """From the deployment's manifest."""
        return cls(**{**entry, "positions": tuple(entry["positions"])})

    @property
    def shape(self) -> tuple[int, int, int]:
        """(layer's channels, height, width)."""
        return len(self.positions), self.height, self.width

    def blocks(self) -> list[int]:
        """Channels of each block, padding included."""
        full, rest = divmod(self.channels, self.block_channels)
        last = [-(-rest // self.align) * self.align] if rest else []
        return [self.block_channels] * full + last

    def total_bytes(self) -> int:
        """Bytes of one frame."""
        return self.height * self.width * sum(self.blocks()) * self.feature_bytes * self.slices

    def pack(self, values: NDArray[np.int64]) -> NDArray[np.uint8]:
        """Bytes of unsigned features (layer's channels, height, width)."""
        padded = np.zeros((sum(self.blocks()), self.height, self.width), dtype=self._dtype())
        padded[list(self.positions)] = values
        parts, start = [], 0
        for size in self.blocks():
            part = padded[start : start + size].transpose(1, 2, 0)
            parts.append(part.reshape(self.height, -1))
            start += size
        return np.ascontiguousarray(np.concatenate(parts, axis=1)).reshape(-1).view(np.uint8)

    def unpack(self, data: NDArray[np.uint8]) -> NDArray[np.int64]:
        """(layer's channels, height, width) behind the bytes of one frame; raw maps are signed."""
        rows = data.view(self._dtype()).reshape(self.height, -1).astype(np.int64)
        parts, start = [], 0
        for size in self.blocks():
            span = self.width * size * self.slices
            part = rows[:, start : start + span].reshape(self.height, self.width, -1)
            parts.append(self._join(part) if self.slices > 1 else part)
            start += span
        return np.concatenate(parts, axis=2)[:, :, list(self.positions)].transpose(2, 0, 1)

    def _dtype(self) -> np.dtype[Any]:
        return np.dtype("<u1" if self.feature_bytes == 1 else "<u2")

    def _join(self, part: NDArray[np.int64]) -> NDArray[np.int64]:
        planes = part.reshape(self.height, self.width, -1, self.slices, self.step_channels)
        bits = 8 * self.feature_bytes
        value = np.zeros((*planes.shape[:3], self.step_channels), dtype=np.int64)
        for index in range(self.slices):
            value |= planes[:, :, :, index] << (bits * index)
        total = bits * self.slices
        if total < 64:
            value = (value ^ (1 << (total - 1))) - (1 << (total - 1))
        return value.reshape(self.height, self.width, -1)


def relocate(
    program: NDArray[np.uint8],
    delta: int,
    opcodes: Sequence[int],
    address_bit: int,
    checksum_seed: int,
) -> NDArray[np.uint8]:
    """A tile program (whole records of 64 bytes) whose memory moves by ``delta`` bytes.

    Records of ``opcodes`` hold a 32-bit address from ``address_bit`` on (at most 32); the last word
    of a record is its checksum, rotate and add over the others.
    """
    words = program.view("<u4").reshape(-1, RECORD_WORDS).astype(np.uint64)
    moved = np.isin(words[:, 0] & np.uint64(15), np.array(opcodes, dtype=np.uint64))
    low = words[:, 0] | (words[:, 1] << np.uint64(32))
    shift, ones = np.uint64(address_bit), np.uint64(0xFFFF_FFFF)
    address = ((low >> shift) + np.uint64(delta % (1 << 32))) & ones
    low = np.where(moved, (low & ~(ones << shift)) | (address << shift), low)
    words[:, 0], words[:, 1] = low & ones, low >> np.uint64(32)
    total = np.full(len(words), checksum_seed, dtype=np.uint64)
    for index in range(RECORD_WORDS - 1):
        total = ((total << np.uint64(1)) | (total >> np.uint64(31))) & ones
        total = (total + words[:, index]) & ones
    words[:, -1] = total
    return np.ascontiguousarray(words.astype("<u4")).reshape(-1).view(np.uint8)


def decode_box(
    accumulators: NDArray[np.int64], head: dict[str, Any]
) -> tuple[tuple[float, float, float, float], float]:
    """The most confident box of a head's accumulators (5 * anchors, H, W), and its confidence.

    ``head``: scale and offset of each channel, anchors in cells. The box is (xmin, ymin, xmax,
    ymax) in shares of the image, not clipped; of equal confidences the first counts.
    """
    scale = np.array(head["scale"])[:, None, None]
    values = accumulators * scale + np.array(head["offset"])[:, None, None]
    anchors = head["anchors"]
    height, width = values.shape[1:]
    cells = values.reshape(len(anchors), 5, height, width)
    place = np.unravel_index(int(np.argmax(cells[:, 4])), (len(anchors), height, width))
    anchor, row, column = (int(index) for index in place)
    tx, ty, tw, th, conf = (float(value) for value in cells[anchor, :, row, column])
    x, y = (_sigmoid(tx) + column) / width, (_sigmoid(ty) + row) / height
    w = float(np.exp(min(tw, LOG_SIZE_MAX))) * anchors[anchor][0] / width
    h = float(np.exp(min(th, LOG_SIZE_MAX))) * anchors[anchor][1] / height
    return (x - w / 2, y - h / 2, x + w / 2, y + h / 2), _sigmoid(conf)


def _sigmoid(value: float) -> float:
    return float(0.5 * (1 + np.tanh(value / 2)))  # never overflows
