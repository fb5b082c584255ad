"""Makes a failing case smaller while it still fails, on the hardware it failed on."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import chain
from typing import Any

from model.design import Design, design_from_dict
from model.design_writer import design_to_dict
from model.device import load_device
from model.errors import TandemError
from testbench.campaign_cases import Case, fits

Tables = dict[str, Any]
CLOCK_MHZ = 100
SHALLOWER = {"conv5": "conv3", "conv3": "conv1", "dw5": "dw3"}


def shrink(case: Case, fails: Callable[[Case], bool], budget: int) -> Case:
    """The smallest case found with at most ``budget`` calls of ``fails``; ``case`` itself fails.

    Greedy: the first simpler case that still fails is taken, then all is tried again. Lanes,
    buffers and ports stay, so nothing is compiled.
    """
    tried: set[str] = set()
    while True:
        for candidate in simpler(case):
            key = _key(candidate)
            if key in tried or not fits(candidate.design, candidate.frames):
                continue
            if budget == 0:
                return case
            tried.add(key)
            budget -= 1
            if fails(candidate):
                case = candidate
                break
        else:
            return case


def simpler(case: Case) -> Iterator[Case]:
    """Every case one step simpler, the big steps first."""
    if case.frames > 1:
        yield replace(case, frames=1)
    for tables in _simpler_networks(design_to_dict(case.design)):
        design = _design(tables, case.design)
        if design is not None:
            yield replace(case, design=design)
    design = case.design
    plain = load_device(design.device.name)
    if design.device != plain:
        yield replace(case, design=replace(design, device=plain))
    if design.clock_khz != CLOCK_MHZ * 1000:
        yield replace(case, design=replace(design, clock_khz=CLOCK_MHZ * 1000))


def _key(case: Case) -> str:
    tables = design_to_dict(case.design)
    return repr((tables["network"], tables["clock_mhz"], tables["accelerator"]["tile"],
                 case.design.device.ddr, case.frames))  # fmt: skip


def _design(tables: Tables, like: Design) -> Design | None:
    """The design with the memory timing of ``like``; None where its network breaks a rule."""
    try:
        return replace(design_from_dict(tables), device=like.device)
    except TandemError:
        return None


def _simpler_networks(tables: Tables) -> Iterator[Tables]:
    network, accelerator = tables["network"], tables["accelerator"]
    for changes in chain(_fewer_layers(network), _smaller_maps(network), _simpler_chains(network)):
        yield {**tables, "network": {**network, **changes}}
    for key in ("height", "width"):
        if accelerator["tile"][key]:
            tile = {**accelerator["tile"], key: 0}
            yield {**tables, "accelerator": {**accelerator, "tile": tile}}


def _fewer_layers(network: Tables) -> Iterator[Tables]:
    bundles, head = network["bundles"], network["head"]
    for index in range(len(bundles)):
        yield {"bundles": bundles[:index] + bundles[index + 1 :]}
    for index in range(len(head) - 1):
        yield {"head": head[:index] + head[index + 1 :]}
    for index, tokens in enumerate(bundles):
        for place in range(len(tokens) if len(tokens) > 1 else 0):
            shorter = tokens[:place] + tokens[place + 1 :]
            yield {"bundles": [*bundles[:index], shorter, *bundles[index + 1 :]]}


def _smaller_maps(network: Tables) -> Iterator[Tables]:
    for key in ("height", "width", "channels"):
        for value in _smaller(network[key]):
            yield {key: value}


def _simpler_chains(network: Tables) -> Iterator[Tables]:
    chains = [*network["bundles"], network["head"]]
    for index, tokens in enumerate(chains):
        for place, token in enumerate(tokens):
            for other in _simpler_layers(token):
                changed = [*tokens[:place], other, *tokens[place + 1 :]]
                found = [*chains[:index], changed, *chains[index + 1 :]]
                yield {"bundles": found[:-1], "head": found[-1]}


def _simpler_layers(token: str) -> Iterator[str]:
    stem, _, outputs = token.partition(":")
    if stem in SHALLOWER:
        yield SHALLOWER[stem] + (f":{outputs}" if outputs else "")
    if outputs:
        for value in _smaller(int(outputs)):
            yield f"{stem}:{value}"


def _smaller(value: int) -> list[int]:
    return [v for v in dict.fromkeys((1, value // 2, value - 1)) if 0 < v < value]
