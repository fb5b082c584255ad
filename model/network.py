"""Networks: chains of hardware-friendly layers with the shape of every feature map."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from model.errors import TandemError

LAYER_POOL = ("dw3", "dw5", "conv1:N", "conv3:N", "conv5:N", "maxpool", "avgpool", "relu")
CHANNELS_MAX = 4095
SIDE_MAX = 4095
BUNDLES_MAX = 254  # the head is one more chain, and a record numbers chains in 8 bits
_DW = re.compile(r"dw([35])")
_CONV = re.compile(r"conv([135]):([0-9]{1,6})")


@dataclass(frozen=True)
class Layer:
    """One layer with its input and output shape; stride 1, same padding, pooling 2 x 2."""

    name: str
    kind: str  # "dw" | "conv" | "maxpool" | "avgpool"
    kernel: int
    in_channels: int
    out_channels: int
    in_height: int
    in_width: int
    out_height: int
    out_width: int
    bundle: int  # index of the chain: bundles from 0, then the head

    @property
    def computes(self) -> bool:
        """Has this layer weights?"""
        return self.kind in ("dw", "conv")

    @property
    def token(self) -> str:
        """The layer as a design file writes it."""
        if self.kind == "conv":
            return f"conv{self.kernel}:{self.out_channels}"
        return f"dw{self.kernel}" if self.kind == "dw" else self.kind

    @property
    def terms(self) -> int:
        """Products summed into one accumulator."""
        if not self.computes:
            return 0
        return self.kernel**2 * (self.in_channels if self.kind == "conv" else 1)

    @property
    def macs(self) -> int:
        """Multiply-accumulates of one frame."""
        return self.terms * self.out_channels * self.out_height * self.out_width

    @property
    def weight_shape(self) -> tuple[int, ...]:
        """Depth-wise (C, k, k), convolution (O, I, k, k); empty for a pooling layer."""
        if self.kind == "dw":
            return (self.out_channels, self.kernel, self.kernel)
        if self.kind == "conv":
            return (self.out_channels, self.in_channels, self.kernel, self.kernel)
        return ()


@dataclass(frozen=True)
class Network:
    """An input shape, bundles, and a head whose last convolution leaves signed accumulators."""

    channels: int
    height: int
    width: int
    bundles: tuple[tuple[Layer, ...], ...]
    head: tuple[Layer, ...]

    @cached_property
    def chains(self) -> tuple[tuple[Layer, ...], ...]:
        """The bundles, then the head."""
        return (*self.bundles, self.head)

    @cached_property
    def layers(self) -> tuple[Layer, ...]:
        """Every layer in order."""
        return tuple(layer for chain in self.chains for layer in chain)

    @cached_property
    def compute_layers(self) -> tuple[Layer, ...]:
        """The layers that have weights, in order."""
        return tuple(layer for layer in self.layers if layer.computes)

    @property
    def output(self) -> Layer:
        """The head's last convolution."""
        return self.head[-1]

    @cached_property
    def macs(self) -> int:
        """Multiply-accumulates of one frame."""
        return sum(layer.macs for layer in self.layers)


def parse_network(
    channels: int,
    height: int,
    width: int,
    bundles: Sequence[Sequence[str]],
    head: Sequence[str],
    where: str = "network",
) -> Network:
    """Build a network from layer strings such as ``dw3``, ``conv1:48``, ``maxpool``.

    ``relu`` after a convolution is folded: features are unsigned, every layer with weights clips at
    0 (all but the head's last convolution). TandemError names the layer and the rule it breaks.
    """
    for key, value, limit in (
        ("channels", channels, CHANNELS_MAX),
        ("height", height, SIDE_MAX),
        ("width", width, SIDE_MAX),
    ):
        if not 1 <= value <= limit:
            raise TandemError(f"{where}.{key} = {value}: must be a whole number from 1 to {limit}")
    if len(bundles) > BUNDLES_MAX:
        raise TandemError(f"{where}.bundles: {len(bundles)} bundles, at most {BUNDLES_MAX} allowed")
    shape = (channels, height, width)
    chains: list[tuple[Layer, ...]] = []
    for index, tokens in enumerate([*bundles, head]):
        is_head = index == len(bundles)
        key = f"{where}.head" if is_head else f"{where}.bundles[{index}]"
        prefix = "head" if is_head else f"bundle{index}"
        chain, shape = _parse_chain(tokens, shape, index, prefix, key)
        chains.append(chain)
    _check_head(head, f"{where}.head")
    return Network(channels, height, width, tuple(chains[:-1]), chains[-1])


def _parse_chain(
    tokens: Sequence[str], shape: tuple[int, int, int], bundle: int, prefix: str, key: str
) -> tuple[tuple[Layer, ...], tuple[int, int, int]]:
    """The layers of one chain and the shape it leaves."""
    chain: list[Layer] = []
    used: dict[str, int] = {}
    for token in tokens:
        if token == "relu":  # noqa: S105  (a layer, no secret)
            if not chain or not chain[-1].computes:
                raise TandemError(f'{key}: "relu" must follow a convolution, it is folded into it')
            continue
        stem = token.partition(":")[0]
        used[stem] = used.get(stem, 0) + 1
        suffix = f"_{used[stem]}" if used[stem] > 1 else ""
        layer = _parse_layer(token, f"{prefix}.{stem}{suffix}", shape, bundle, key)
        chain.append(layer)
        shape = (layer.out_channels, layer.out_height, layer.out_width)
    if not chain:
        raise TandemError(f"{key}: the chain has no layer, write at least one")
    return tuple(chain), shape


def _parse_layer(
    token: str, name: str, shape: tuple[int, int, int], bundle: int, key: str
) -> Layer:
    channels, height, width = shape
    if token in ("maxpool", "avgpool"):
        if height < 2 or width < 2:
            raise TandemError(
                f"{key}: layer {name} would pool a map of {height} x {width}, "
                "a 2 x 2 window needs at least two rows and two columns"
            )
        return Layer(
            name, token, 2, channels, channels, height, width, height // 2, width // 2, bundle
        )
    if match := _DW.fullmatch(token):
        kind, kernel, outputs = "dw", int(match[1]), channels
    elif match := _CONV.fullmatch(token):
        kind, kernel, outputs = "conv", int(match[1]), int(match[2])
        if not 1 <= outputs <= CHANNELS_MAX:
            raise TandemError(
                f'{key}: layer "{token}": output channels must be from 1 to {CHANNELS_MAX}'
            )
    else:
        raise TandemError(
            f'{key}: "{token}" is not a layer, the layer pool is {", ".join(LAYER_POOL)}'
        )
    return Layer(name, kind, kernel, channels, outputs, height, width, height, width, bundle)


def _check_head(tokens: Sequence[str], key: str) -> None:
    if not tokens[-1].startswith("conv"):
        raise TandemError(
            f'{key}: ends with "{tokens[-1]}", the last layer must be a convolution (conv1:N, '
            "conv3:N, conv5:N): it leaves signed accumulators"
        )
