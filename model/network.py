"""Networks: chains of hardware-friendly layers with the shape of every feature map."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from model.errors import TandemError

LAYER_POOL = (
    *("dw3", "dw5", "conv1:N", "conv3:N", "conv5:N", "maxpool", "avgpool", "relu"),
    "bypass:K",
)
CHANNELS_MAX = 4095
SIDE_MAX = 4095
BUNDLES_MAX = 254  # the head is one more chain, and a record numbers chains in 8 bits
_DW = re.compile(r"dw([35])")
_CONV = re.compile(r"conv([135]):([0-9]{1,6})")
_BYPASS = re.compile(r"bypass:([0-9]{1,3})")

Shape = tuple[int, int, int]  # channels, height, width


@dataclass(frozen=True)
class Layer:
    """One layer with its input and output shape; stride 1, same padding, pooling 2 x 2."""

    name: str
    kind: str  # "dw" | "conv" | "maxpool" | "avgpool" | "bypass"
    kernel: int
    in_channels: int
    out_channels: int
    in_height: int
    in_width: int
    out_height: int
    out_width: int
    bundle: int  # index of the chain: bundles from 0, then the head
    source: int | None = None  # bypass: the bundle whose output comes first in the channels

    @property
    def computes(self) -> bool:
        """Has this layer weights?"""
        return self.kind in ("dw", "conv")

    @property
    def token(self) -> str:
        """The layer as a design file writes it."""
        if self.kind == "conv":
            return f"conv{self.kernel}:{self.out_channels}"
        if self.kind == "bypass":
            return f"bypass:{self.source}"
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
        """Depth-wise (C, k, k), convolution (O, I, k, k); empty for other layers."""
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
    left: list[Shape] = []  # what each chain leaves
    chains: list[tuple[Layer, ...]] = []
    for index, tokens in enumerate([*bundles, head]):
        is_head = index == len(bundles)
        key = f"{where}.head" if is_head else f"{where}.bundles[{index}]"
        prefix = "head" if is_head else f"bundle{index}"
        chain, shape = _parse_chain(tokens, shape, left, prefix, key)
        chains.append(chain)
        left.append(shape)
    _check_head(head, f"{where}.head")
    return Network(channels, height, width, tuple(chains[:-1]), chains[-1])


def _parse_chain(
    tokens: Sequence[str], shape: Shape, left: Sequence[Shape], prefix: str, key: str
) -> tuple[tuple[Layer, ...], Shape]:
    """The layers of one chain and the shape it leaves; ``left`` by the chains before it."""
    chain: list[Layer] = []
    bundle = len(left)
    used: dict[str, int] = {}
    for token in tokens:
        if token == "relu":  # noqa: S105  (a layer, no secret)
            if not chain or not chain[-1].computes:
                raise TandemError(f'{key}: "relu" must follow a convolution, it is folded into it')
            continue
        stem = token.partition(":")[0]
        used[stem] = used.get(stem, 0) + 1
        suffix = f"_{used[stem]}" if used[stem] > 1 else ""
        name = f"{prefix}.{stem}{suffix}"
        if stem == "bypass":
            if chain:
                raise TandemError(f'{key}: "{token}" must be the first layer of its chain')
            layer = _parse_bypass(token, name, shape, left, key)
        else:
            layer = _parse_layer(token, name, shape, bundle, key)
        chain.append(layer)
        shape = (layer.out_channels, layer.out_height, layer.out_width)
    if not chain:
        raise TandemError(f"{key}: the chain has no layer, write at least one")
    if chain[-1].kind == "bypass":
        raise TandemError(f'{key}: "{chain[-1].token}" must be followed by a layer in its chain')
    return tuple(chain), shape


def _parse_bypass(token: str, name: str, shape: Shape, left: Sequence[Shape], key: str) -> Layer:
    """Space-to-depth of an earlier bundle's output, then the current map's channels."""
    channels, height, width = shape
    match = _BYPASS.fullmatch(token)
    if match is None:
        raise TandemError(f'{key}: "{token}" is not a layer, a bypass is written bypass:K')
    source, bundle = int(match[1]), len(left)
    if source > bundle - 2:
        reach = f"bundles 0 to {bundle - 2}" if bundle >= 2 else "no bundle"
        raise TandemError(
            f'{key}: "{token}" must name a bundle before the one that leaves the current map, '
            f"here it can reach {reach}"
        )
    from_channels, *size = left[source]
    if size != [2 * height, 2 * width]:
        raise TandemError(
            f"{key}: layer {name}: bundle {source} leaves a map of {size[0]} x {size[1]}, it must "
            f"be twice the current {height} x {width}, that is {2 * height} x {2 * width}"
        )
    outputs = 4 * from_channels + channels
    if outputs > CHANNELS_MAX:
        raise TandemError(
            f"{key}: layer {name}: 4 x {from_channels} + {channels} = {outputs} channels, "
            f"at most {CHANNELS_MAX} allowed"
        )
    return Layer(
        name, "bypass", 1, channels, outputs, height, width, height, width, bundle, source
    )


def _parse_layer(token: str, name: str, shape: Shape, bundle: int, key: str) -> Layer:
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
