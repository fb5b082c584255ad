"""The accelerator's register map (AXI4-Lite byte offsets), as in ``docs/microarchitecture.md``."""

from __future__ import annotations

from model.events import UNITS

REGISTERS = {
    "CTRL": 0x00,
    "STATUS": 0x04,
    "IRQ_ENABLE": 0x08,
    "IRQ_STATUS": 0x0C,
    "PROGRAM_ADDRESS": 0x10,
    "FRAMES": 0x14,
    "IMAGE_STRIDE": 0x18,
    "OUTPUT_STRIDE": 0x1C,
    "ERROR_INFO": 0x20,
    "FRAMES_DONE": 0x24,
    "BUILD_ID": 0x28,
    "TOTAL_CYCLES": 0x80,
}
CTRL_START, CTRL_ABORT = 1, 2
STATUS_BUSY, STATUS_DONE, STATUS_ERROR, STATUS_START_IGNORED = 1, 2, 4, 8
CLASSES = ("busy", "wait_input", "wait_output", "wait_ddr")
COUNTERS = {
    (unit, kind): 0x100 + 16 * index + 4 * place
    for index, unit in enumerate(UNITS)
    for place, kind in enumerate(CLASSES)
}
ERROR_CODES = {
    0: "none",
    1: "record checksum",
    2: "record opcode",
    3: "program read response",
    4: "weight read response",
    5: "feature read response",
    6: "write response",
    7: "aborted by the host",
}
