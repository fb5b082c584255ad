"""The state of a stage of training: what a checkpoint must hold to go on with equal bits."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from model.errors import TandemError
from quant.checkpoint import Checkpoint, take
from quant.network import DetectionNetwork

Arrays = dict[str, NDArray[Any]]
_POSITION_MAX = 1 << 40


@dataclass
class Position:
    """Where a stage stands. Randomness outside torch follows from the seed and this alone."""

    epoch: int = 0  # whole epochs done
    batch: int = 0  # batches done of the epoch that runs
    step: int = 0  # updates done, which decides the learning rate
    loss_sum: float = 0.0  # over the batches done of this epoch
    best_iou: float = -1.0
    best_epoch: int = 0
    finished: bool = False

    def facts(self) -> dict[str, Any]:
        """As JSON holds it."""
        return dict(vars(self))


def read_position(facts: Mapping[str, Any], where: str) -> Position:
    """The position in a checkpoint's facts. TandemError where they are damaged."""
    found = facts.get("position")
    if not isinstance(found, Mapping) or set(found) != set(vars(Position())):
        raise TandemError(f"{where}: the position in the training is missing or damaged")
    for key, default in vars(Position()).items():
        value = found[key]
        good = type(value) is type(default) or (isinstance(default, float) and type(value) is int)
        if not good or not -_POSITION_MAX < value < _POSITION_MAX:
            raise TandemError(f"{where}: the position in the training is damaged: {key} = {value}")
    return Position(**found)


def module_arrays(module: nn.Module) -> Arrays:
    """A network's numbers by name: by layer, such as ``bundle0.dw3.weight``, in the float stage."""
    if isinstance(module, DetectionNetwork):
        return dict(module.to_arrays())
    return {n: t.detach().cpu().numpy().copy() for n, t in module.state_dict().items()}


def arrays_digest(arrays: Mapping[str, NDArray[Any]]) -> str:
    """Of names and numbers."""
    digest = hashlib.sha256()
    for name, values in sorted(arrays.items()):
        digest.update(f"{name} {values.dtype} {values.shape} ".encode())
        digest.update(np.ascontiguousarray(values).tobytes())
    return digest.hexdigest()


def load_module(module: nn.Module, arrays: Mapping[str, NDArray[Any]], where: str) -> None:
    """Put arrays into a network, all of them. TandemError for a missing or different one."""
    have = module_arrays(module)
    if extra := sorted(set(arrays) - set(have)):
        raise TandemError(f"{where}: the array {extra[0]} belongs to no layer of this network")
    found = {name: take(arrays, name, like, where) for name, like in have.items()}
    if isinstance(module, DetectionNetwork):
        module.load_arrays(found)
        return
    with torch.no_grad():
        for name, tensor in module.state_dict().items():
            tensor.copy_(torch.from_numpy(found[name]))


def optimiser_arrays(optimiser: torch.optim.Optimizer) -> Arrays:
    """Momenta and counters of an optimiser; learning rates follow from the position."""
    state = optimiser.state_dict()["state"]
    return {
        f"{index}/{key}": value.detach().cpu().numpy().copy()
        for index, part in state.items()
        for key, value in part.items()
        if isinstance(value, torch.Tensor)
    }


def load_optimiser(
    optimiser: torch.optim.Optimizer, arrays: Mapping[str, NDArray[Any]], where: str
) -> None:
    """The inverse. TandemError for arrays that do not belong to the optimiser's parameters."""
    parameters = [p for group in optimiser.param_groups for p in group["params"]]
    state: dict[int, dict[str, torch.Tensor]] = {}
    for name, values in arrays.items():
        index, _, key = name.partition("/")
        if not index.isdecimal() or int(index) >= len(parameters):
            raise TandemError(f"{where}: the optimiser's array {name} belongs to no parameter")
        shape = tuple(parameters[int(index)].shape)
        if values.dtype != np.float32 or values.shape not in (shape, ()):
            raise TandemError(
                f"{where}: the optimiser's array {name} has shape {values.shape}, the parameter "
                f"has {shape}"
            )
        state.setdefault(int(index), {})[key] = torch.from_numpy(values)
    groups = optimiser.state_dict()["param_groups"]
    optimiser.load_state_dict({"state": state, "param_groups": groups})


def random_arrays() -> Arrays:
    """The state of torch's generators."""
    found = {"torch": torch.get_rng_state().numpy().copy()}
    if torch.cuda.is_available():
        for index, state in enumerate(torch.cuda.get_rng_state_all()):
            found[f"cuda{index}"] = state.numpy().copy()
    return found


def load_random(arrays: Mapping[str, NDArray[Any]], where: str) -> None:
    """Set torch's generators."""
    state = take(arrays, "torch", torch.get_rng_state().numpy(), where)
    try:
        torch.set_rng_state(torch.from_numpy(state))
    except RuntimeError as error:
        raise TandemError(f"{where}: the state of the random generator is damaged") from error
    for index in range(torch.cuda.device_count()):
        if f"cuda{index}" in arrays:
            torch.cuda.set_rng_state(torch.from_numpy(arrays[f"cuda{index}"]), index)


class Average:
    """An exponential moving average of a module's numbers, batch norm's statistics included."""

    def __init__(self, module: nn.Module, decay: float) -> None:
        self.decay = decay
        self.shadow = {name: tensor.detach().clone() for name, tensor in _floats(module)}

    @torch.no_grad()
    def update(self, module: nn.Module, step: int) -> None:
        """One step on. Young averages follow faster, as (1 + step) / (10 + step)."""
        decay = min(self.decay, (1 + step) / (10 + step))
        for name, tensor in _floats(module):
            self.shadow[name].lerp_(tensor, 1.0 - decay)

    @torch.no_grad()
    def swap(self, module: nn.Module) -> None:
        """Exchange the module's numbers with the averaged ones; again to undo it."""
        for name, tensor in _floats(module):
            kept = tensor.clone()
            tensor.copy_(self.shadow[name])
            self.shadow[name].copy_(kept)

    def arrays(self) -> Arrays:
        """The averaged numbers by name."""
        return {n: t.cpu().numpy().copy() for n, t in self.shadow.items()}

    def load(self, arrays: Mapping[str, NDArray[Any]], where: str) -> None:
        """The inverse."""
        for name, mean in self.shadow.items():
            mean.copy_(torch.from_numpy(take(arrays, name, mean.cpu().numpy(), where)))


def _floats(module: nn.Module) -> Iterator[tuple[str, torch.Tensor]]:
    for name, tensor in module.state_dict().items():
        if tensor.is_floating_point():
            yield name, tensor


def stage_checkpoint(
    design: Mapping[str, Any],
    facts: Mapping[str, Any],
    position: Position,
    parts: Mapping[str, Arrays],
) -> Checkpoint:
    """A checkpoint of a stage from its parts: model, average, optimiser, random."""
    arrays = {f"{part}/{name}": v for part, found in parts.items() for name, v in found.items()}
    return Checkpoint(design, {**facts, "position": position.facts()}, arrays)
