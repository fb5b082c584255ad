# numpy indexing yields Any where numba sees int64:
# mypy: disable-error-code="no-any-return"
"""The fast engine's loop: units as far as they know, then the memory up to the next transfer.

Same cycles as ``model/simulator.py``, without SimPy. The units' cycles follow from the cycles in
their tokens, in whichever order they are asked. Only the memory has to be kept in time order: it
may run up to the first cycle at which a master accepts a new transfer, for nothing that happens
later can make another one start before.
"""

from __future__ import annotations

from collections.abc import Callable

from model import compiled, fast_compute, fast_dma, fast_state, fast_tokens, memory_kernel
from model import memory_state as at
from model.compiled import entry, part, pointer
from model.fast_compute import run_depthwise, run_mac
from model.fast_dma import (
    PROGRAM_MASTER,
    STORE_MASTER,
    done,
    issued,
    next_transfer,
    responded,
    run_fetch,
    run_load,
    run_sequencer,
    run_store,
    run_weight,
    start_fetch,
    store_ends_command,
)  # fmt: skip
from model.fast_state import PENDING
from model.memory_kernel import advance, start_transfer
from model.memory_state import C_NOTICES, DONE, ISSUED, NEVER, NOTICES_AT, SENT, State


@part
def _units(s: State, loads: int, weights: int, depthwises: int, macs: int, stores: int) -> None:
    """All units until none gets any further."""
    moved = True
    while moved:
        moved = run_sequencer(s)
        moved = run_fetch(s) or moved
        moved = run_load(s, loads) or moved
        if weights > 0:
            moved = run_weight(s, weights) or moved
        if depthwises > 0:
            moved = run_depthwise(s, depthwises) or moved
        moved = run_mac(s, macs) or moved
        moved = run_store(s, stores) or moved


@part
def _deliver(s: State, weights: int, stores: int) -> None:
    """Tell the units what the memory found out."""
    for index in range(s[C_NOTICES]):
        notice = NOTICES_AT + 4 * index
        kind, master, first, last = s[notice], s[notice + 1], s[notice + 2], s[notice + 3]
        if kind == ISSUED:
            issued(s, first)
        elif kind in (DONE, SENT):
            done(s, master, first, last, weights, stores)
        else:
            responded(s, first, stores)
    s[C_NOTICES] = 0


@part
def _start(s: State, master: int, accept: int, stores: int) -> None:
    """The offered transfer of a master begins."""
    s[PENDING + master] = NEVER
    if master == PROGRAM_MASTER:
        if start_fetch(s, accept):
            start_transfer(s, master, accept, 1)
    elif master == STORE_MASTER:
        start_transfer(s, master, accept, store_ends_command(s, stores))
    else:
        start_transfer(s, master, accept, 0)


@part
def _run(s: State, loads: int, weights: int, depthwises: int, macs: int, stores: int) -> None:
    while True:
        _units(s, loads, weights, depthwises, macs, stores)
        master, accept = next_transfer(s)
        following = advance(s, accept)
        if s[C_NOTICES] > 0:
            _deliver(s, weights, stores)
        elif accept != NEVER:
            _start(s, master, accept, stores)
        elif following == NEVER:
            return


def _entry(sources: int) -> Callable[[State, int, int, int, int, int], None]:
    """``sources`` is part of the key under which the machine code is kept."""

    @entry
    def run(
        state: State, loads: int, weights: int, depthwises: int, macs: int, stores: int
    ) -> None:
        if sources >= 0:
            _run(pointer(state), loads, weights, depthwises, macs, stores)

    return run


run = _entry(compiled.version(at, memory_kernel, fast_state, fast_tokens, fast_compute, fast_dma))
"""Run a state of ``fast_state`` to its end; commands a frame of each unit."""
