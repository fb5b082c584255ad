"""Changes of the board's memory: half the refresh, the next speed grade, twice the width.

They make a device that Tandem has no file of; :func:`device_text` writes one.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import asdict, replace

from model.ddr_timing import DdrTiming
from model.design import Design
from model.device import DEVICE_DIRECTORY, Device
from model.errors import TandemError
from search.changes import BOARD, Change

# JEDEC data rates, MT/s: DDR3 (JESD79-3) up to 2133, DDR4 (JESD79-4) and LPDDR4 (JESD209-4) above.
DATA_RATES = (800, 1066, 1333, 1600, 1866, 2133, 2400, 2667, 3200, 3733, 4267)
GRADE_RATIO = 1.25  # a rate nearer than that to the present one is the same grade, rounded
# Of the memory and its controller in time; in a faster clock they take more ticks. The others are
# counted in ticks or fabric cycles whatever the clock.
TIMES = (
    "t_rcd", "t_rp", "t_ras", "t_wr", "t_rfc", "turn_read_write", "turn_write_read", "lookahead",
    "read_delay", "write_delay",
)  # fmt: skip
FOLLOWING = frozenset(f"ddr.{key}" for key in (*TIMES, "burst_bytes", "page_bytes"))


def half_the_refresh(design: Design) -> Iterator[Design]:
    """A refresh every two tREFI: what retention at a lower temperature would allow."""
    ddr = design.device.ddr
    yield with_ddr(design, "half_refresh", replace(ddr, t_refi=2 * ddr.t_refi))


def next_grade(design: Design) -> Iterator[Design]:
    """The next JEDEC data rate at least a quarter above; what is a time stays one, rounded up."""
    ddr = design.device.ddr
    present = 2 * ddr.ddr_khz  # kT/s
    rate = next((rate for rate in DATA_RATES if rate * 1000 >= GRADE_RATIO * present), None)
    if rate is None:
        raise TandemError(
            f"the memory runs at {present / 1000:g} MT/s, the fastest grade known is "
            f"{DATA_RATES[-1]}"
        )
    khz = rate * 500
    values = asdict(ddr)
    scaled = {key: -(-values[key] * khz // ddr.ddr_khz) for key in TIMES}
    interval = ddr.t_refi * khz // ddr.ddr_khz  # no later than before
    faster = DdrTiming(**{**values, **scaled, "t_refi": interval, "ddr_khz": khz})
    yield with_ddr(design, f"ddr_{rate}", faster)


def twice_the_width(design: Design) -> Iterator[Design]:
    """Two chips beside each other: twice the bytes a tick, a burst and a row."""
    ddr = design.device.ddr
    wide = replace(
        ddr,
        bytes_per_ck=2 * ddr.bytes_per_ck,
        burst_bytes=2 * ddr.burst_bytes,
        page_bytes=2 * ddr.page_bytes,
    )
    yield with_ddr(design, f"ddr_{4 * ddr.bytes_per_ck * 2}bit", wide)


def with_ddr(design: Design, suffix: str, ddr: DdrTiming) -> Design:
    """The design on a board of another name, with this memory."""
    device = design.device
    return replace(design, device=replace(device, name=f"{device.name}_{suffix}", ddr=ddr))


def device_text(before: Device, after: Device, comment: str) -> str:
    """The device file of ``before`` with the memory of ``after``; its other lines stay as they are.

    TandemError where the file of ``before`` cannot be read.
    """
    path = DEVICE_DIRECTORY / f"{before.name}.toml"
    try:
        text = path.read_text()
    except OSError as error:
        raise TandemError(
            f"{path}: cannot be read ({error.strerror}): a device file is needed"
        ) from None
    old = asdict(before.ddr)
    for key, value in asdict(after.ddr).items():
        if value != old[key]:
            text = re.sub(rf"(?m)^({key}\s*=\s*)[\d_]+", rf"\g<1>{value}", text)
    lines = [f"# {line}".rstrip() for line in comment.splitlines()]
    return "\n".join([*lines, text])


BOARD_CHANGES = (
    Change("refresh_half", "half the refresh", half_the_refresh, BOARD),
    Change("ddr_grade", "the next DDR speed grade", next_grade, BOARD),
    Change("ddr_width", "twice the DDR width", twice_the_width, BOARD),
)
