"""Inheritance: the first weights of any network of depth-wise and point-wise layers from another's.

Warm starts need equal shapes. A search changes shapes, so here layers are matched in order and cut
or padded: of a layer that is narrower than its source the channels that weigh most for what follows
are kept, everywhere alike; channels that the source does not have begin at random; repetitions that
the source does not have begin as the identity, which ReLU6 leaves as it is. Where channels are
missing, sums behind them are off, so batch norm is measured anew there (``recalibrate``).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from model.errors import TandemError
from model.network import Layer, Network
from quant.alignment import identities, matching_chains
from quant.network import BATCH_NORM, Arrays, DetectionNetwork

PAD_SHARE = 0.3  # weights of channels that a source's filter does not know, over fresh ones
Kept = NDArray[np.int64]  # source channel of each channel, -1 for none
_BLOCK = re.compile(r"bundle(\d+)\.dw3\.weight")


@dataclass(frozen=True)
class Block:
    """Depth-wise 3 x 3 (C, 3, 3) and point-wise (O, C) weights of a source, each with batch norm.

    ``weighs`` (O,): how much each output counts for what follows.
    """

    depthwise: Mapping[str, NDArray[np.float32]]
    pointwise: Mapping[str, NDArray[np.float32]]
    weighs: NDArray[np.float64]

    @property
    def channels(self) -> int:
        """Inputs."""
        return len(self.depthwise["weight"])

    @property
    def outputs(self) -> int:
        """Outputs."""
        return len(self.pointwise["weight"])


@dataclass
class Inherited:
    """What was taken over."""

    blocks: int = 0  # of the source
    identities: int = 0
    measured: list[str] = field(default_factory=list)  # layers whose batch norm is to be measured


def inherit(network: DetectionNetwork, source: Arrays, seed: int) -> Inherited:
    """Fill a network from a source's arrays; what is not matched keeps its random values.

    TandemError where not even the first block can be matched.
    """
    blocks = source_blocks(source)
    chains = matching_chains(network.network)
    if not blocks or not chains or blocks[0].channels != network.network.channels:
        raise TandemError(
            "start.inherit: the weights or the design do not begin with a depth-wise 3 x 3 and a "
            "point-wise convolution of the image: start without inheritance"
        )
    rng = np.random.default_rng([seed, 7])
    found = Inherited()
    kept: Kept = np.arange(network.network.channels)
    skipped = identities(chains, len(blocks))
    for index, (depthwise, pointwise) in enumerate(chains):
        if index in skipped:
            arrays, kept = _identity(depthwise, pointwise, kept, rng)
            found.identities += 1
        elif found.blocks < len(blocks):
            block = blocks[found.blocks]
            whole = len(kept) == block.channels and (kept >= 0).all()
            if found.measured or not whole:  # other sums than the source's
                found.measured += [depthwise.name, pointwise.name]
            arrays, kept = _taken(depthwise, pointwise, block, kept, rng)
            found.blocks += 1
        else:
            break
        network.load_arrays(arrays, strict=False)
    done = found.blocks + found.identities
    found.measured += [
        layer.name
        for chain in network.network.chains[done:]
        for layer in chain
        if layer.computes and layer is not network.network.output
    ]
    return found


def inherited_rates(network: Network, low: float = 0.1, high: float = 0.33) -> list[float]:
    """Learning rates of the bundles and the head, as shares: what is inherited moves little.

    Bundles that nothing is inherited for, and the head, learn at the full rate.
    """
    count = len(matching_chains(network))
    steps = [low + (high - low) * min(1.0, index / 3) for index in range(count)]
    return [round(step, 4) for step in steps] + [1.0] * (len(network.bundles) - count + 1)


def recalibrate(
    network: DetectionNetwork, layers: Iterable[str], batches: Iterable[Tensor]
) -> None:
    """Measure the batch norm statistics of these layers on normalised images (B, C, H, W)."""
    wanted = {name.replace(".", "/") for name in layers}
    if not wanted:
        return
    network.eval()
    found = [module.bn for name, module in network.layers.items() if name in wanted]
    norms = [norm for norm in found if isinstance(norm, nn.BatchNorm2d)]
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # the mean over all batches
        norm.train()
    with torch.no_grad():
        for images in batches:
            network(images)
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
    network.train()


def source_blocks(arrays: Arrays) -> list[Block]:
    """The blocks of a source in order, as far as each reads what the one before it leaves."""
    numbers = sorted(int(m[1]) for name in arrays if (m := _BLOCK.fullmatch(name)))
    parts = []
    width = None
    for number in numbers:
        depthwise = _layer(arrays, f"bundle{number}.dw3")
        pointwise = _layer(arrays, f"bundle{number}.conv1")
        if not pointwise or (width is not None and len(depthwise["weight"]) != width):
            break
        pointwise["weight"] = pointwise["weight"].reshape(len(pointwise["weight"]), -1)
        width = len(pointwise["weight"])
        parts.append((depthwise, pointwise))
    found = []
    for index, (depthwise, pointwise) in enumerate(parts):
        weighs = np.abs(pointwise["bn.weight"].astype(np.float64))
        if index + 1 < len(parts):
            after_dw, after_pw = parts[index + 1]
            gain = np.abs(after_dw["bn.weight"]) / np.sqrt(after_dw["bn.running_var"] + 1e-5)
            spread = np.linalg.norm(after_dw["weight"].reshape(len(gain), -1), axis=1)
            weighs = weighs * gain * spread * np.linalg.norm(after_pw["weight"], axis=0)
        found.append(Block(depthwise, pointwise, weighs))
    return found


def _layer(arrays: Arrays, name: str) -> dict[str, NDArray[np.float32]]:
    wanted = ("weight", *(f"bn.{part}" for part in BATCH_NORM))
    if any(f"{name}.{part}" not in arrays for part in wanted):
        return {}
    return {part: arrays[f"{name}.{part}"] for part in wanted}


def _taken(
    depthwise: Layer, pointwise: Layer, block: Block, kept: Kept, rng: np.random.Generator
) -> tuple[Arrays, Kept]:
    """A block's arrays from its source's."""
    outputs = pointwise.out_channels
    chosen = np.arange(block.outputs)
    if outputs < block.outputs:
        chosen = np.sort(np.argsort(-block.weighs, kind="stable")[:outputs])
    after = np.concatenate([chosen, np.full(outputs - len(chosen), -1)])
    arrays = _fresh(depthwise, rng) | _fresh(pointwise, rng)
    known, old = kept >= 0, kept[kept >= 0]
    for part, values in block.depthwise.items():
        arrays[f"{depthwise.name}.{part}"][known] = values[old]
    weight = arrays[f"{pointwise.name}.weight"]
    weight[: len(chosen)] *= PAD_SHARE
    rows, columns = np.ix_(after >= 0, known)
    weight[rows, columns, 0, 0] = block.pointwise["weight"][np.ix_(chosen, old)]
    for part in BATCH_NORM:
        arrays[f"{pointwise.name}.bn.{part}"][after >= 0] = block.pointwise[f"bn.{part}"][chosen]
    return arrays, after


def _identity(
    depthwise: Layer, pointwise: Layer, kept: Kept, rng: np.random.Generator
) -> tuple[Arrays, Kept]:
    """A block that leaves its input as it is, and random channels behind it."""
    arrays = _fresh(depthwise, rng) | _fresh(pointwise, rng)
    arrays[f"{depthwise.name}.weight"][:] = 0
    arrays[f"{depthwise.name}.weight"][:, 1, 1] = 1
    inputs, outputs = pointwise.in_channels, pointwise.out_channels
    arrays[f"{pointwise.name}.weight"][:inputs] = np.eye(inputs, dtype=np.float32)[:, :, None, None]
    return arrays, np.concatenate([kept, np.full(outputs - inputs, -1)])


def _fresh(layer: Layer, rng: np.random.Generator) -> Arrays:
    """Random weights (Kaiming for ReLU), batch norm that changes nothing."""
    fan = layer.terms
    channels = layer.out_channels
    weight = rng.normal(0, np.sqrt(2 / fan), layer.weight_shape).astype(np.float32)
    one, zero = np.ones(channels, np.float32), np.zeros(channels, np.float32)
    parts = {"weight": one, "bias": zero, "running_mean": zero, "running_var": one - 1e-5}
    found = {f"{layer.name}.bn.{part}": value.copy() for part, value in parts.items()}
    return {f"{layer.name}.weight": weight, **found}
