"""What tells one design, network, program or RTL from another: SHA-256 of what decides them."""

from __future__ import annotations

import hashlib
import json

import numpy as np

from model.design import Design
from model.design_writer import design_to_dict
from model.integer_network import IntegerNetwork
from model.program import encode
from model.schedule import Schedule
from rtl_sim.generate import library_sources, package_source, top_source


def design_sha256(design: Design) -> str:
    """Of all that the design file says, but for the design's name."""
    tables = {key: value for key, value in design_to_dict(design).items() if key != "name"}
    return _sha256(json.dumps(tables, sort_keys=True).encode())


def network_sha256(network: IntegerNetwork) -> str:
    """Of every number of the integer network, its box head included."""
    found = hashlib.sha256()
    for layer in network.layers:
        found.update(f"{layer.name} {layer.shift} {layer.round} {layer.pad_value}\n".encode())
        for values in (layer.weight, layer.bias, layer.mult):
            found.update(values.astype(np.dtype("<i8")).tobytes())
    found.update(repr(network.head).encode())
    return found.hexdigest()


def program_sha256(schedule: Schedule) -> str:
    """Of the tile program before the network's numbers are put in: it decides the timing."""
    return _sha256(encode(schedule.commands))


def rtl_sha256(design: Design) -> str:
    """Of every SystemVerilog source of the accelerator."""
    found = hashlib.sha256()
    for path in library_sources():
        found.update(path.read_bytes())
    for text in (package_source(design), top_source(design)):
        found.update(text.encode())
    return found.hexdigest()


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
