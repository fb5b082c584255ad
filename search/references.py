"""What designs of a search are compared with: this repository's DNN-A, B, C, and the paper's.

Two scales of IoU that are near, not equal: Tandem's are of its integer networks on 104 validation
images, those of Zhang et al. 2019 of the contest's hidden set.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class ReferencePoint:
    """A design on the PYNQ-Z1 at 100 MHz. ``fps`` of the steady state."""

    name: str
    fps: float
    iou: float


# FPS: tandem simulate designs/NAME.toml; IoU: README, "Networks", the column integer network.
TANDEM_POINTS = (
    ReferencePoint("DNN-A", 82.3, 0.614),
    ReferencePoint("DNN-B", 76.9, 0.622),
    ReferencePoint("DNN-C", 45.6, 0.693),
    ReferencePoint("DNN-C W8 F8, packed", 81.5, 0.693),
)
# Zhang et al. 2019: latencies at 100 MHz of 47.8, 62.6 and 80.0 ms, one frame after the other.
PAPER_POINTS = (
    ReferencePoint("DNN-A, paper", 20.9, 0.593),
    ReferencePoint("DNN-B, paper", 16.0, 0.612),
    ReferencePoint("DNN-C, paper", 12.5, 0.686),
)


def beaten(fps: float, iou: float) -> list[str]:
    """Names of Tandem's own designs that are both slower and worse."""
    return [point.name for point in TANDEM_POINTS if fps > point.fps and iou > point.iou]
