"""A network in training: frozen bundles in front, trainable ones behind, a teacher beside it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from model.errors import TandemError
from model.network import Network
from quant.network import DetectionNetwork, key, normalise


@dataclass(frozen=True)
class Machine:
    """Where it computes, and in what precision the trainable layers run forward."""

    device: torch.device
    half: torch.dtype | None  # None: float32 throughout

    def autocast(self) -> AbstractContextManager[Any]:
        """Around the trainable layers."""
        if self.half is None:
            return nullcontext()
        return torch.autocast(self.device.type, self.half)

    def place(self, module: nn.Module) -> None:
        """Move a network here; channels last is the faster layout on CPU and GPU alike."""
        module.to(self.device, memory_format=torch.channels_last)  # type: ignore[call-overload]


class Trainee:
    """A network split behind its frozen bundles.

    Between the parts features are kept in ``store``: float16 in the float stage, whole numbers of a
    known step in the quantised one. Without frozen bundles that is the image itself.
    """

    def __init__(
        self,
        module: nn.Module,
        feature_bits: int,
        frozen: int,
        machine: Machine,
        teacher: DetectionNetwork | None = None,
        frozen_batch_norm: bool = False,
    ) -> None:
        self.module = module
        self.feature_bits = feature_bits
        self.machine = machine
        self.teacher = teacher
        self.frozen_batch_norm = frozen_batch_norm
        self.anchors: tuple[tuple[float, float], ...] = module.anchors  # type: ignore[assignment]
        self.network: Network = module.network  # type: ignore[assignment]
        if frozen > len(self.network.bundles):
            raise TandemError(
                f"settings: frozen_bundles = {frozen}, the design has "
                f"{len(self.network.bundles)} bundles"
            )
        self.frozen = frozen
        self.split = split_point(self.network, frozen)
        machine.place(module)
        for index in range(frozen):
            for parameter in self.chain_parameters(index):
                parameter.requires_grad_(False)

    def chain_parameters(self, index: int) -> Sequence[nn.Parameter]:
        """The parameters of a bundle, or of the head."""
        return list(self.module.chain_parameters(index))  # type: ignore[operator]

    @torch.no_grad()
    def stem(self, images: Tensor) -> Tensor:
        """What the first trainable layer sees of uint8 images, as it is stored."""
        if self.split == 0:
            return images
        was = self.module.training
        self.module.eval()
        found = self.run(self.normalised(images), 0, self.split)
        self.module.train(was)
        if was:
            self.train()
        return self.pack(found)

    def head(self, stem: Tensor) -> Tensor:
        """The head's values from what ``stem`` gave."""
        stem = stem.to(self.machine.device)
        features = self.unpack(stem) if self.split else self.normalised(stem)
        return self.run(features, self.split, None).float()

    @torch.no_grad()
    def teach(self, images: Tensor) -> Tensor | None:
        """The teacher's head, float16."""
        if self.teacher is None:
            return None
        found: Tensor = self.teacher(self.normalised(images, 8)).half()
        return found

    def front_digest(self) -> str:
        """Of everything that decides what ``stem`` and ``teach`` give."""
        facts = (self.split, self.feature_bits, getattr(self.module, "activation", ""))
        digest = hashlib.sha256(str(facts).encode())
        for name, tensor in self._front_tensors():
            digest.update(name.encode())
            digest.update(tensor.detach().cpu().contiguous().numpy().tobytes())
        return digest.hexdigest()

    def train(self) -> None:
        """Training mode; frozen layers and, where asked for, all batch norm stay in inference."""
        self.module.train()
        frozen = {id(p) for i in range(self.frozen) for p in self.chain_parameters(i)}
        for part in self.module.modules():
            if isinstance(part, nn.BatchNorm2d) and (
                self.frozen_batch_norm or id(part.weight) in frozen
            ):
                part.eval()

    def eval(self) -> None:
        """Inference mode."""
        self.module.eval()

    def run(self, features: Tensor, first: int, last: int | None) -> Tensor:
        """Chains of the network."""
        found: Tensor = self.module.run(features, first, last)  # type: ignore[operator]
        return found

    def normalised(self, images: Tensor, feature_bits: int | None = None) -> Tensor:
        """uint8 images as the network takes them, on its device."""
        pixels = images.to(self.machine.device)
        found = normalise(pixels, self.feature_bits if feature_bits is None else feature_bits)
        return found.contiguous(memory_format=torch.channels_last)

    def _front_tensors(self) -> Iterator[tuple[str, Tensor]]:
        front = [key(layer) for layer in self.network.compute_layers if layer.bundle < self.split]
        for name, tensor in self.module.state_dict().items():
            if any(f".{layer}." in f".{name}" for layer in front):
                yield name, tensor
        if self.teacher is not None:
            for name, tensor in self.teacher.state_dict().items():
                yield f"teacher.{name}", tensor

    def pack(self, features: Tensor) -> Tensor:
        """Features as they are stored."""
        largest = float(np.finfo(np.float16).max)
        return features.clamp(max=largest).half().contiguous()

    def unpack(self, stored: Tensor) -> Tensor:
        """The inverse."""
        return stored.float().contiguous(memory_format=torch.channels_last)


class QuantisedTrainee(Trainee):
    """A quantised network: frozen bundles leave whole numbers, stored as such."""

    def pack(self, features: Tensor) -> Tensor:
        """Whole numbers, uint8 or uint16."""
        whole = torch.round(features / self._scale()).to(torch.int32)
        return whole.to(torch.uint8 if self.feature_bits <= 8 else torch.uint16).contiguous()

    def unpack(self, stored: Tensor) -> Tensor:
        """The features of the whole numbers."""
        features = stored.to(torch.int32).float() * self._scale()
        return features.contiguous(memory_format=torch.channels_last)

    def _scale(self) -> Tensor:
        """What one step of each channel is worth, (1 or C, 1, 1)."""
        found: Tensor = self.module.chain_scale(self.split)  # type: ignore[operator]
        return found.detach()[:, None, None]


def split_point(network: Network, frozen: int) -> int:
    """Where to cut behind at most ``frozen`` bundles so that no bypass crosses the cut."""
    jumps = [(la.source, la.bundle) for la in network.layers if la.source is not None]
    point = frozen
    while any(source < point <= user for source, user in jumps):
        point -= 1
    return point


def pick_machine(device: str, mixed: str) -> Machine:
    """The device asked for. TandemError where there is none."""
    if device == "cuda" and not torch.cuda.is_available():
        raise TandemError('settings: run.device = "cuda": there is no CUDA device here')
    cuda = torch.cuda.is_available() and device != "cpu"
    chosen = torch.device("cuda" if cuda else "cpu")
    if mixed == "off" or (mixed == "auto" and not cuda):
        return Machine(chosen, None)
    # bfloat16 has float32's range, so that gradients need no scaling.
    return Machine(chosen, torch.bfloat16)
