"""Passes: what the pipeline load -> depth-wise -> MAC -> post-process -> store does in one go.

A bundle may be any chain of layers. It is cut, in order, into passes of at most one depth-wise
layer, one convolution (1x1 when it follows a depth-wise layer, for that needs no halo of its
result) and one pooling layer. Where a pass has no convolution, the MAC array copies: a
block-diagonal 1x1 convolution with weights 1, which is exact and needs no hardware of its own.

A bypass is no work of a pass but of where results are stored: its output map is written in two
parts, by the pass before it and by a pass of the earlier bundle that stores space to depth. That
pass copies the earlier bundle's output; where the bundle after it begins with a pool, pooling can
join the earlier bundle's last pass, and the other pass then computes the output a second time.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from model.accelerator import Accelerator
from model.copies import with_values
from model.network import Layer, Network

POOLS = ("maxpool", "avgpool")
KEPT_MAX = 256  # networks whose passes are kept


@dataclass(frozen=True)
class Pass:
    """One trip of a feature map through the pipeline."""

    index: int
    bundle: int
    depthwise: Layer | None
    conv: Layer | None
    pool: Layer | None
    source: Layer | None  # whose output is read; None: the image
    output: Layer  # whose output is left in memory
    raw: bool
    bundle_last: bool
    joins: Layer | None = None  # a bypass: the result is stored as a part of its output
    to_depth: bool = False  # as its first part, each 2 x 2 window as one pixel

    @property
    def layers(self) -> tuple[Layer, ...]:
        """What the pass computes, in order; nothing where it copies a map."""
        return tuple(la for la in (self.depthwise, self.conv, self.pool) if la is not None)

    @property
    def first(self) -> Layer:
        """The layer that reads the source map."""
        return (*self.layers, self.output)[0]

    @property
    def name(self) -> str:
        """The layer whose output this pass leaves in memory."""
        return self.output.name

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
    def scale(self) -> int:
        """Rows of the convolution's output per row of the stored map; tiles are multiples of it."""
        return 2 if self.pool is not None or self.to_depth else 1

    @property
    def macs(self) -> int:
        """Multiply-accumulates the network asks for in this pass, none for a second time."""
        if self.to_depth:
            return 0
        depthwise = self.depthwise.macs if self.depthwise is not None else 0
        return depthwise + self.array_macs

    @property
    def array_macs(self) -> int:
        """Those of them that the MAC array does."""
        return self.conv.macs if self.conv is not None and not self.to_depth else 0


_KEPT: dict[int, tuple[Network, tuple[Pass, ...]]] = {}  # by identity; holds the network too


def build_passes(network: Network, accelerator: Accelerator) -> tuple[Pass, ...]:
    """Cut every bundle and the head into passes.

    Only a bypass looks at the accelerator; without one the passes of a network are kept, for a
    search plans the same network many times.
    """
    if any(layer.kind == "bypass" for layer in network.layers):
        return _build(network, accelerator)
    known = _KEPT.get(id(network))
    if known is None or known[0] is not network:
        if len(_KEPT) >= KEPT_MAX:
            _KEPT.clear()
        known = _KEPT[id(network)] = network, _build(network, accelerator)
    return known[1]


def _build(network: Network, accelerator: Accelerator) -> tuple[Pass, ...]:
    chains = network.chains
    groups = [_split(chain) for chain in chains]
    bypasses = [chain[0] if chain[0].kind == "bypass" else None for chain in chains]
    for bundle in {layer.source for layer in bypasses if layer is not None}:
        assert bundle is not None
        if bypasses[bundle + 1] is None:
            _fuse_pool(groups[bundle], groups[bundle + 1], accelerator)
    passes: list[Pass] = []
    output: Layer | None = None
    for bundle, chain in enumerate(groups):
        found: list[Pass] = []
        for group in chain:
            joined = bypasses[bundle] if group is chain[0] else None
            found.append(_make_pass(bundle, group, joined or output))
            output = group[-1]
        if bundle + 1 < len(groups):
            found[-1] = with_values(found[-1], joins=bypasses[bundle + 1])
        found += [
            _to_depth(found[-1], chains[bundle][-1], bypass)
            for bypass in bypasses
            if bypass is not None and bypass.source == bundle
        ]
        found[-1] = with_values(found[-1], bundle_last=True)
        passes += found
    passes[-1] = replace(passes[-1], raw=True)
    return tuple(with_values(item, index=index) for index, item in enumerate(passes))


def _split(chain: Sequence[Layer]) -> list[list[Layer]]:
    groups: list[list[Layer]] = []
    for layer in chain:
        if layer.kind == "bypass":
            continue
        if not groups or not _fits(groups[-1], layer):
            groups.append([])
        groups[-1].append(layer)
    return groups


def _fits(group: Sequence[Layer], layer: Layer) -> bool:
    """May this layer join the pass? A pass is [depth-wise] [convolution] [pool]."""
    last = group[-1].kind
    if layer.kind in POOLS:
        return last in ("dw", "conv")
    return layer.kind == "conv" and layer.kernel == 1 and last == "dw"


def _fuse_pool(groups: list[list[Layer]], following: list[list[Layer]], acc: Accelerator) -> None:
    """Let the next bundle's leading pool join this bundle's last pass, where that is faster.

    The output is then computed twice, pooled and to be stored space to depth, instead of once and
    copied twice. A bundle keeps at least one pass.
    """
    pool = following[0][0]
    if len(following) == 1 or not _fits(groups[-1], pool) or pool.kind not in POOLS:
        return
    copy = acc.out_lanes // acc.in_lanes  # cycles per pixel and output group
    conv = next((layer for layer in groups[-1] if layer.kind == "conv"), None)
    issues = -(-conv.in_channels // acc.in_lanes) * conv.kernel**2 if conv is not None else copy
    if issues <= 2 * copy:
        groups[-1].append(pool)
        del following[0]


def _make_pass(bundle: int, group: Sequence[Layer], source: Layer | None) -> Pass:
    def pick(*kinds: str) -> Layer | None:
        for layer in group:
            if layer.kind in kinds:
                return layer
        return None

    return Pass(
        index=0,
        bundle=bundle,
        depthwise=pick("dw"),
        conv=pick("conv"),
        pool=pick(*POOLS),
        source=source,
        output=group[-1],
        raw=False,
        bundle_last=False,
    )


def _to_depth(last: Pass, output: Layer, bypass: Layer) -> Pass:
    """The pass that leaves a bundle's output in front of a bypass; ``last`` is the bundle's."""
    found = replace(last, output=output, joins=bypass, to_depth=True, pool=None)
    if last.output is output:  # it lies in memory
        return replace(found, depthwise=None, conv=None, source=output)
    return found
