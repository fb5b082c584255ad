"""Which blocks of a network stand for which blocks of a source whose weights it inherits.

No torch here: a search asks this of thousands of networks.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from model.network import Layer, Network

BLOCK = (("dw", 3), ("conv", 1))  # kind and kernel of the two layers of a block
SKYNET_CHANNELS = (48, 96, 192, 384, 512)  # outputs of its blocks in front of the bypass
SKYNET_HALVINGS = (0, 1, 2, 3, 3)  # of the image, where each of these blocks reads
MISPLACED = 0.5  # what a halving too many or too few counts in kept_channels


def matching_chains(network: Network) -> list[tuple[Layer, Layer]]:
    """The two layers of every bundle, from the front, that is such a block."""
    found = []
    for chain in network.bundles:
        layers = [layer for layer in chain if layer.computes]
        if tuple((la.kind, la.kernel) for la in layers) != BLOCK:
            break
        if any(layer.kind == "bypass" for layer in chain):
            break
        found.append((layers[0], layers[1]))
    return found


def identities(chains: Sequence[tuple[Layer, Layer]], sources: int) -> frozenset[int]:
    """Which blocks begin as the identity where there are more than the source has.

    Those that grow least, late ones first; never one that shrinks, nor the first, which reads the
    image.
    """
    surplus = len(chains) - sources
    if surplus <= 0:
        return frozenset()

    def growth(index: int) -> tuple[float, int]:
        layer = chains[index][1]
        return (layer.out_channels / layer.in_channels, -index)

    able = [index for index in range(1, len(chains)) if growth(index)[0] >= 1]
    return frozenset(sorted(able, key=growth)[:surplus])


def kept_channels(network: Network, source: Sequence[int]) -> float:
    """How much of a source a network keeps: the sum of log2 of the kept share of each block.

    0: all of it, -1: half of the channels of one block, or of two blocks 71 % each. A block that
    reads at another resolution than SkyNet's counts MISPLACED a halving. A block of the source that
    has no place at all counts as -1, one that the network cannot take over as -2.
    """
    if not source:
        return 0.0
    chains = matching_chains(network)
    skipped = identities(chains, len(source))
    found, block = 0.0, 0
    for index, (depthwise, pointwise) in enumerate(chains):
        if index in skipped:
            continue
        if block < len(source):
            found += math.log2(min(1.0, pointwise.out_channels / source[block]))
            halved = round(math.log2(network.height / depthwise.in_height))
            found -= MISPLACED * abs(halved - SKYNET_HALVINGS[min(block, len(SKYNET_HALVINGS) - 1)])
            block += 1
    missing = len(source) - block
    fits = len(chains) == len(network.bundles)
    return found - missing * (1.0 if fits else 2.0)
