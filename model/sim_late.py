"""Decisions of the simulator that must see everything else that happens at the same cycle."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import simpy

_LATE: Any = 2  # SimPy types only the priorities it uses itself, 0 and 1


def call_late(
    env: simpy.Environment, cycle: int, callback: Callable[[simpy.Event], None], value: int = 0
) -> None:
    """Call back at ``cycle``, after all processes of that cycle; a bare event costs least."""
    event = simpy.Event(env)
    event._ok = True  # noqa: SLF001  what Event.succeed() does, but for a later cycle
    event._value = value  # noqa: SLF001
    event.callbacks = [callback]
    env.schedule(event, _LATE, cycle - env.now)
