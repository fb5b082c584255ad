"""A picture to paint soft-edged shapes on, and smooth noise to texture it with."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Plane = NDArray[np.float32]  # (rows, columns)
Colour = tuple[float, float, float]  # red, green, blue, 0 to 255
Window = tuple[slice, slice]


@dataclass(frozen=True, eq=False)
class Canvas:
    """Pixels being painted, float32 (height, width, 3), 0 to 255; ``unit`` scales the motifs."""

    pixels: NDArray[np.float32]

    @property
    def height(self) -> int:
        """Rows."""
        return int(self.pixels.shape[0])

    @property
    def width(self) -> int:
        """Columns."""
        return int(self.pixels.shape[1])

    @property
    def unit(self) -> float:
        """1 at 160 x 360 pixels: motifs grow with the picture."""
        return float(np.sqrt(self.height * self.width)) / 240

    def grid(self) -> tuple[Plane, Plane]:
        """Row and column of every pixel's centre."""
        rows = np.arange(self.height, dtype=np.float32)[:, None] + np.float32(0.5)
        cols = np.arange(self.width, dtype=np.float32)[None, :] + np.float32(0.5)
        return rows, cols

    def window(self, x: float, y: float, reach: float) -> Window:
        """The part of the picture within ``reach`` of a point."""
        top, left = max(0, int(y - reach) - 1), max(0, int(x - reach) - 1)
        bottom, right = max(0, int(y + reach) + 2), max(0, int(x + reach) + 2)
        return slice(top, min(bottom, self.height)), slice(left, min(right, self.width))

    def turned(self, window: Window, x: float, y: float, angle: float) -> tuple[Plane, Plane]:
        """Distances of a window's pixels from a point, along a direction and across it."""
        rows, cols = self.grid()
        dy, dx = rows[window[0]] - np.float32(y), cols[:, window[1]] - np.float32(x)
        cos, sin = np.float32(np.cos(angle)), np.float32(np.sin(angle))
        return dx * cos + dy * sin, dy * cos - dx * sin

    def paint(self, window: Window, cover: Plane, colour: Colour | NDArray[np.float32]) -> None:
        """Lay a colour over a window where ``cover`` (0 to 1) says so."""
        part = self.pixels[window]
        part += cover[..., None] * (np.asarray(colour, np.float32) - part)

    def shade(self, window: Window, cover: Plane, share: float) -> None:
        """Darken a window by a share where ``cover`` (0 to 1) says so."""
        part = self.pixels[window]
        part *= 1 - np.float32(share) * cover[..., None]


def inside(distance: Plane, softness: float = 1.0) -> Plane:
    """Cover of a shape from the signed distance to its edge in pixels, negative inside."""
    found: Plane = np.clip(np.float32(0.5) - distance / np.float32(softness), 0, 1)
    return found


def box_distance(along: Plane, across: Plane, half: tuple[float, float], radius: float) -> Plane:
    """Signed distance to a box of half sides ``half`` with rounded corners."""
    dx = np.abs(along) - np.float32(half[0] - radius)
    dy = np.abs(across) - np.float32(half[1] - radius)
    outside = np.hypot(np.maximum(dx, 0), np.maximum(dy, 0))
    found: Plane = outside + np.minimum(np.maximum(dx, dy), 0) - np.float32(radius)
    return found


def oval_distance(along: Plane, across: Plane, half: tuple[float, float]) -> Plane:
    """About the signed distance to an ellipse of half axes ``half``."""
    a, b = (np.float32(max(side, 1e-3)) for side in half)
    found: Plane = (np.hypot(along / a, across / b) - 1) * min(a, b)
    return found


def smooth_noise(rng: np.random.Generator, height: int, width: int, size: float) -> Plane:
    """Noise from -1 to 1, smooth over about ``size`` pixels."""
    size = max(size, 1.0)
    rows, cols = _blend(height, size), _blend(width, size)
    knots = rng.uniform(-1, 1, (rows.shape[1], cols.shape[1])).astype(np.float32)
    return np.asarray(rows @ knots @ cols.T, np.float32)


def rough_noise(
    rng: np.random.Generator, height: int, width: int, sizes: tuple[float, ...], fall: float = 0.6
) -> Plane:
    """A sum of smooth noises, each next one weaker by ``fall``, about -1 to 1."""
    total = np.zeros((height, width), np.float32)
    weights = [fall**level for level in range(len(sizes))]
    for size, weight in zip(sizes, weights, strict=True):
        total += np.float32(weight / sum(weights)) * smooth_noise(rng, height, width, size)
    return total


def _blend(count: int, size: float) -> Plane:
    """Weights (count, knots) that blend neighbouring knots, smooth at each."""
    place = np.arange(count) / size
    low = place.astype(np.int64)
    share = (place - low).astype(np.float32)
    share = share * share * (3 - 2 * share)
    weights = np.zeros((count, int(low[-1]) + 2), np.float32)
    every = np.arange(count)
    weights[every, low] = 1 - share
    weights[every, low + 1] = share
    return weights
