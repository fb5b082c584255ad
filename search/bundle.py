"""Bundles: up to three compute layers and a pool, repeated to make a network (Zhang et al. 2019).

A bundle is a kind of layer chain, not yet a chain with channels: the search decides how many
channels each repetition leaves and which repetitions halve the map.
"""

from __future__ import annotations

from dataclasses import dataclass

from model.errors import TandemError

COMPUTE = ("dw3", "dw5", "conv1", "conv3", "conv5")
POOLS = ("maxpool", "avgpool")
ACTIVATIONS = ("relu", "relu6")  # one rectifier in hardware; they saturate elsewhere in training
LAYERS_MAX = 3


@dataclass(frozen=True, order=True)
class Bundle:
    """Compute layers in order, the pool of a repetition that halves the map, the activation."""

    compute: tuple[str, ...]
    pool: str = "maxpool"
    activation: str = "relu6"

    def __post_init__(self) -> None:
        if not 1 <= len(self.compute) <= LAYERS_MAX:
            raise TandemError(
                f"bundle {self.name}: {len(self.compute)} compute layers, it must have from 1 to "
                f"{LAYERS_MAX}"
            )
        for word, known in (
            *((layer, COMPUTE) for layer in self.compute),
            (self.pool, POOLS),
            (self.activation, ACTIVATIONS),
        ):
            if word not in known:
                raise TandemError(
                    f'bundle {self.name}: "{word}" is none of {", ".join(known)}: correct it'
                )

    @property
    def name(self) -> str:
        """Such as ``dw3-conv1-maxpool``; ``-relu`` follows where it is not ReLU6."""
        suffix = "" if self.activation == "relu6" else f"-{self.activation}"
        return "-".join((*self.compute, self.pool)) + suffix

    @staticmethod
    def named(name: str) -> Bundle:
        """The inverse of :attr:`name`. TandemError for what is none."""
        words = name.split("-")
        activation = words.pop() if words[-1] in ACTIVATIONS else "relu6"
        return Bundle(tuple(words[:-1]), words[-1], activation)

    @property
    def grows(self) -> bool:
        """Has it a convolution that can change the number of channels?"""
        return any(layer.startswith("conv") for layer in self.compute)

    def tokens(self, channels: int, pooled: bool) -> list[str]:
        """One repetition as a design file writes it: every convolution leaves ``channels``."""
        layers = [f"{c}:{channels}" if c.startswith("conv") else c for c in self.compute]
        return [*layers, self.pool] if pooled else layers
