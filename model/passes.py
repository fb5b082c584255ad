"""Passes: what the pipeline load -> depth-wise -> MAC -> post-process -> store does in one go.

A bundle may be any chain of layers. It is cut, in order, into passes of at most one depth-wise
layer, one convolution (1x1 when it follows a depth-wise layer, for that needs no halo of its
result) and one pooling layer. Where a pass has no convolution, the MAC array copies: a
block-diagonal 1x1 convolution with weights 1, which is exact and needs no hardware of its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from model.network import Layer, Network


@dataclass(frozen=True)
class Pass:
    """One trip of a feature map through the pipeline."""

    index: int
    bundle: int
    depthwise: Layer | None
    conv: Layer | None
    pool: Layer | None
    raw: bool
    bundle_last: bool

    @property
    def layers(self) -> tuple[Layer, ...]:
        """What the pass computes, in order."""
        return tuple(la for la in (self.depthwise, self.conv, self.pool) if la is not None)

    @property
    def first(self) -> Layer:
        """The layer that reads the source map."""
        return self.layers[0]

    @property
    def last(self) -> Layer:
        """The layer that leaves the target map."""
        return self.layers[-1]

    @property
    def name(self) -> str:
        """The layer whose output this pass leaves in memory."""
        return self.last.name

    @property
    def halo(self) -> int:
        """Rows and columns of input needed around an output tile."""
        if self.depthwise is not None:
            return self.depthwise.kernel // 2
        return self.conv.kernel // 2 if self.conv is not None else 0

    @property
    def kernel(self) -> int:
        """Kernel of the MAC array's convolution."""
        return self.conv.kernel if self.conv is not None else 1

    @property
    def pool_kind(self) -> str:
        """``none``, ``maxpool`` or ``avgpool``."""
        return self.pool.kind if self.pool is not None else "none"

    @property
    def macs(self) -> int:
        """Multiply-accumulates the network asks for in this pass."""
        depthwise = self.depthwise.macs if self.depthwise is not None else 0
        return depthwise + self.array_macs

    @property
    def array_macs(self) -> int:
        """Those of them that the MAC array does."""
        return self.conv.macs if self.conv is not None else 0


def build_passes(network: Network) -> tuple[Pass, ...]:
    """Cut every bundle and the head into passes."""
    passes: list[Pass] = []
    chains = (*network.bundles, network.head)
    for bundle, chain in enumerate(chains):
        groups = _split(chain)
        for position, group in enumerate(groups):
            last = position == len(groups) - 1
            raw = last and bundle == len(chains) - 1
            passes.append(_make_pass(len(passes), bundle, group, raw, last))
    return tuple(passes)


def _split(chain: Sequence[Layer]) -> list[list[Layer]]:
    groups: list[list[Layer]] = []
    for layer in chain:
        if not groups or not _fits(groups[-1], layer):
            groups.append([])
        groups[-1].append(layer)
    return groups


def _fits(group: Sequence[Layer], layer: Layer) -> bool:
    """May this layer join the pass? A pass is [depth-wise] [convolution] [pool]."""
    last = group[-1].kind
    if layer.kind in ("maxpool", "avgpool"):
        return last in ("dw", "conv")
    return layer.kind == "conv" and layer.kernel == 1 and last == "dw"


def _make_pass(index: int, bundle: int, group: Sequence[Layer], raw: bool, last: bool) -> Pass:
    def pick(*kinds: str) -> Layer | None:
        return next((layer for layer in group if layer.kind in kinds), None)

    return Pass(
        index, bundle, pick("dw"), pick("conv"), pick("maxpool", "avgpool"), raw, last
    )
