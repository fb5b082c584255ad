"""Power of the board's supply rails, where it has sensors."""

from __future__ import annotations

import math
from typing import Any

INTERVAL_SECONDS = 0.001  # the sensors are slower still


class PowerMeter:
    """Samples the power of every rail of ``pynq.get_rails()`` in watts, or volts times amperes.

    The PYNQ-Z1 itself has no such sensor; a board that has them, or a meter that a driver offers as
    a rail, is sampled between two looks at the accelerator. A sample that is no number ends the
    measurement: ``problem`` says so, and no power is reported.
    """

    def __init__(self, pynq: Any, time: Any) -> None:
        self._time, self._begin = time, time.perf_counter()
        self._next = 0.0
        self.problem: str | None = None
        self._sensors = {
            name: sensors for name, rail in _rails(pynq).items() if (sensors := _sensors(rail))
        }
        self._seconds: list[float] = []
        self._watts: dict[str, list[float]] = {name: [] for name in self._sensors}

    def sample(self) -> None:
        """Read all sensors, if it is time to."""
        now = self._time.perf_counter() - self._begin
        if not self._sensors or self.problem or now < self._next:
            return
        self._next = now + INTERVAL_SECONDS
        read = {
            name: math.prod(float(sensor.value) for sensor in sensors)
            for name, sensors in self._sensors.items()
        }
        for name, value in read.items():
            if not math.isfinite(value):
                self.problem = (
                    f"rail {name}: sample {len(self._seconds)} is {value}, no number: "
                    "no power is reported"
                )
                return
        self._seconds.append(now)
        for name, value in read.items():
            self._watts[name].append(value)

    def record(self) -> dict[str, Any] | None:
        """``seconds`` of the samples and ``watts`` by rail; None where there is nothing to say."""
        if self.problem or not self._seconds:
            return None
        return {"seconds": self._seconds, "watts": self._watts}


def _sensors(rail: Any) -> tuple[Any, ...]:
    """Those whose product is the power; none where it cannot be known."""
    if rail.power:
        return (rail.power,)
    return (rail.voltage, rail.current) if rail.voltage and rail.current else ()


def _rails(pynq: Any) -> dict[str, Any]:
    if not hasattr(pynq, "get_rails"):
        return {}
    try:
        return dict(pynq.get_rails())
    except Exception:  # noqa: BLE001  (libsensors may be missing, each board fails in its own way)
        return {}
