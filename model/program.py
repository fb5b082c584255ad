"""The tile program: what the accelerator reads from memory, one 64-byte record per command.

A record is 16 little-endian 32-bit words. Fields are packed from bit 0 upwards in the order of
the tables below; word 15 holds the checksum. The same tables generate
``rtl_sim/hdl/program_pkg.sv``, so the hardware and the scheduler cannot disagree about a bit.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

RECORD_BYTES = 64
RECORD_BITS = 8 * RECORD_BYTES
PAYLOAD_BITS = RECORD_BITS - 32
CHECKSUM_SEED = 0x7A4DE301
_MASK32 = 0xFFFF_FFFF

OPCODES = {"load": 1, "weight": 2, "depthwise": 3, "mac": 4, "store": 5, "end": 6}

HEADER: tuple[tuple[str, int], ...] = (("opcode", 4), ("bundle", 8), ("tile", 16))

FIELDS: dict[str, tuple[tuple[str, int], ...]] = {
    # Feature load: a rectangle of a feature map, row by row, channel block by channel block.
    "load": (
        ("address", 32),  # byte address of the first pixel of the first row, block 0
        ("row_pitch", 32),  # bytes from one row to the next
        ("block_pitch", 32),  # bytes from one channel block to the next inside a row
        ("last_block_pitch", 32),  # to the last one: shorter where its pixels are narrower
        ("rows", 12),
        ("cols", 16),  # pixels per segment
        ("segment_beats", 24),  # cols * pixel_beats, and in the last block: no multiplier there
        ("last_segment_beats", 24),
        ("blocks", 8),
        ("pixel_beats", 8),  # beats per pixel in every block but the last
        ("last_pixel_beats", 8),  # beats per pixel in the last block
        ("pixel_lines", 12),  # buffer lines per pixel, all blocks together
        ("block_lines", 8),  # buffer lines per pixel in a full block
        ("sync", 16),  # stores of this frame that must be complete first
        ("sync_enable", 1),
        ("frame_offset", 1),  # add frame index * image stride to the address
        ("to_mac", 1),  # who reads the bank: 0 the depth-wise unit, 1 the MAC array
    ),
    # Weight load: a run of equal groups, contiguous in memory.
    "weight": (
        ("address", 32),
        ("groups", 12),
        ("param_beats", 12),  # per group, one beat per channel: bias, mult
        ("group_words", 12),  # weight words per group
        ("param_words", 8),  # parameter-memory words per group
        ("group_beats", 24),  # beats per group, parameters and weights together
        ("target", 1),  # 0: MAC array, 1: depth-wise unit
    ),
    "depthwise": (
        ("rows", 12),  # output rows of the tile
        ("cols", 12),
        ("in_rows", 12),  # rows present in the input buffer
        ("in_cols", 12),
        ("pad_top", 3),  # padding rows above the first row present
        ("pad_left", 3),
        ("groups", 12),  # channel groups of in_lanes channels
        ("pixel_words", 12),  # buffer words (of in_lanes channels) per pixel
        ("kernel5", 1),
        ("pad_value", 16),
        ("shift", 6),
        ("round", 1),
        ("release_weights", 1),
    ),
    "mac": (
        ("rows", 12),  # convolution output rows of the tile (before pooling)
        ("cols", 12),
        ("in_rows", 12),
        ("in_cols", 12),
        ("pad_top", 3),
        ("pad_left", 3),
        ("kernel", 3),  # 1, 3 or 5
        ("source_mid", 1),  # 0: input buffer, 1: mid buffer (written by the depth-wise unit)
        ("groups", 12),  # input channel groups accumulated per output
        ("group_step", 12),  # first input group advances by this per output group
        ("pixel_words", 12),
        ("row_words", 20),  # buffer words from a source row to the next
        ("out_groups", 12),
        ("steps", 8),  # requantise steps per vector, every output group but the last
        ("last_steps", 8),
        ("pool", 2),  # 0 none, 1 max, 2 average
        ("pad_cycles", 8),  # idle cycles after each emitted vector, so that requantising keeps up
        ("pad_value", 16),
        ("shift", 6),
        ("round", 1),
        ("raw", 1),  # write signed accumulators instead of requantised values
        ("group_words", 12),  # weight words per output group
        ("param_words", 8),  # parameter words per output group
        ("release_weights", 1),
    ),
    "store": (
        ("address", 32),
        ("row_pitch", 32),  # bytes from a segment to the next; to_depth: after each fourth segment
        ("block_pitch", 32),
        ("segments", 13),  # per output group
        ("segment_beats", 16),
        ("last_segment_beats", 16),  # the same for the last output group
        ("out_groups", 12),
        ("frame_offset", 1),
        ("bundle_last", 1),
        ("frame_last", 1),
        ("last_skew", 24),  # bytes the last block starts earlier: its pixels are narrower
        # Space to depth: of each row of the tile first the pixels in even, then in odd columns.
        ("to_depth", 1),
        ("phase_pitch", 32),  # bytes from a segment to the next within four: two rows of the tile
        ("run_pixels", 12),  # pixels per segment
        ("pixel_lines", 8),  # output-buffer lines per pixel
        ("run_back", 24),  # what leads from a row's last even pixel to its first odd one (signed)
    ),
    "end": (),
}


@dataclass(frozen=True)
class Command:
    """One record: the unit it is for, its bundle and tile, and the unit's fields."""

    unit: str
    bundle: int
    tile: int
    fields: Mapping[str, int] = field(default_factory=dict)
    layer: str | None = None  # whose padding, shift and rounding the command takes (not encoded)

    def __getattr__(self, name: str) -> int:
        try:
            return self.fields[name]
        except KeyError:
            raise AttributeError(f"a {self.unit} command has no field {name!r}") from None

    def encode(self) -> bytes:
        """The 64 bytes of the record. ValueError names the field that does not fit its bits."""
        layout = FIELDS[self.unit]
        if set(self.fields) != {name for name, _ in layout}:
            wrong = set(self.fields) ^ {name for name, _ in layout}
            raise ValueError(f"{self.unit} command: missing or unknown fields {sorted(wrong)}")
        values = {
            "opcode": OPCODES[self.unit],
            "bundle": self.bundle,
            "tile": self.tile,
            **self.fields,
        }
        word = 0
        offset = 0
        for name, bits in HEADER + layout:
            value = values[name]
            if not 0 <= value < 1 << bits:
                raise ValueError(
                    f"bundle {self.bundle} tile {self.tile}: {self.unit} field {name!r} = {value} "
                    f"does not fit {bits} bits"
                )
            word |= value << offset
            offset += bits
        payload = word.to_bytes(RECORD_BYTES - 4, "little")
        return payload + checksum(payload).to_bytes(4, "little")


def checksum(payload: bytes) -> int:
    """Rotate-and-add over the 15 payload words; any change inside one 32-bit word changes it."""
    total = CHECKSUM_SEED
    for i in range(0, len(payload), 4):
        total = ((total << 1) | (total >> 31)) & _MASK32
        total = (total + int.from_bytes(payload[i : i + 4], "little")) & _MASK32
    return total


def encode(commands: Iterable[Command]) -> bytes:
    """The whole program as bytes, padded to a multiple of 128 (one 16-beat burst)."""
    data = b"".join(command.encode() for command in commands)
    return data + bytes(-len(data) % 128)


def layout_of(unit: str) -> dict[str, tuple[int, int]]:
    """Field name -> (lowest bit, width) inside the record."""
    result = {}
    offset = 0
    for name, bits in HEADER + FIELDS[unit]:
        result[name] = (offset, bits)
        offset += bits
    if offset > PAYLOAD_BITS:
        raise ValueError(f"{unit} record needs {offset} bits, there are {PAYLOAD_BITS}")
    return result


def package_text() -> str:
    """SystemVerilog package with the position of every field (``rtl_sim/hdl/program_pkg.sv``)."""
    lines = [
        "// Bit positions of the tile program's records. Generated from model/program.py by",
        "// `python -m rtl_sim.generate`; a test keeps the two equal.",
        "`default_nettype none",
        "package program_pkg;",
        "  // The units name the fields they need; the table below is complete.",
        "  /* verilator lint_off UNUSEDPARAM */",
        f"  localparam int RecordBits = {RECORD_BITS};",
        f"  localparam logic [31:0] ChecksumSeed = 32'h{CHECKSUM_SEED:08x};",
    ]
    for unit, code in OPCODES.items():
        lines.append(f"  localparam logic [3:0] Op{_camel(unit)} = 4'd{code};")
    for name, (low, bits) in list(layout_of("end").items()):
        lines.append(f"  localparam int {_camel(name)}Lsb = {low};")
        lines.append(f"  localparam int {_camel(name)}Bits = {bits};")
    for unit in FIELDS:
        fields = list(layout_of(unit).items())
        for name, (low, bits) in fields[len(HEADER) :]:
            lines.append(f"  localparam int {_camel(unit)}{_camel(name)}Lsb = {low};")
            lines.append(f"  localparam int {_camel(unit)}{_camel(name)}Bits = {bits};")
        total = fields[-1][1][0] + fields[-1][1][1]
        lines.append(f"  localparam int {_camel(unit)}Bits = {total};  // header included")
    lines += ["  /* verilator lint_on UNUSEDPARAM */", "endpackage", "`default_nettype wire", ""]
    return "\n".join(lines)


def _camel(name: str) -> str:
    return "".join(part.capitalize() for part in name.split("_"))
