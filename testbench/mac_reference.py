"""MAC array and post-process as the contract tells them, one call a cycle."""

from __future__ import annotations

from dataclasses import dataclass, field

from testbench.mac_layer import MAX_POOL, NO_POOL, Build, Tile

BUSY, WAIT_INPUT, WAIT_OUTPUT, WAIT_DDR = range(4)
PULSES = ("mac_start_o", "mac_end_o", "claim_o", "release_o", "in_release_o", "mid_release_o")
SELECT_TO_WRITE = 8


@dataclass
class Group:
    """Progress of the output group in RUN."""

    terms: int  # issues per pixel
    pixels: int
    issued: int = 0
    padding: int = 0  # idle cycles left after a vector
    vectors: int = 0  # vectors that went to requantising
    writes: int = 0


@dataclass
class Reference:
    """One object for both units; the post-process follows from the issues alone."""

    build: Build
    tiles: list[Tile]
    started: int = 0
    state: str = "idle"
    og: int = 0
    claims: int = 0
    group: Group = field(default_factory=lambda: Group(0, 0))
    post_free: int = 0  # first cycle at which an issue may complete the next vector
    later: dict[int, dict[str, int]] = field(default_factory=dict)

    @property
    def tile(self) -> Tile:
        """The tile at work."""
        return self.tiles[self.started - 1]

    @property
    def tag(self) -> int:
        """Bundle and tile number as one word."""
        return self.tile.command.bundle << 16 | self.tile.command.tile

    def cycle(
        self, cycle: int, command: bool, full: bool, free: bool, ready: int
    ) -> dict[str, int]:
        """Outputs of this cycle, given what the units see; `full` is the command's source."""
        out = dict.fromkeys(PULSES, 0)
        out["mac_class_o"] = BUSY
        if self.state == "idle":
            if command and full:
                self.started += 1
                self.og, self.state = 0, "wait"
                out["mac_start_o"] = 1
            else:
                out["mac_class_o"] = WAIT_INPUT
        elif self.state == "wait":
            self._wait(out, free, ready)
        else:
            self._run(out, cycle)
        if out["mac_start_o"] or out["mac_end_o"]:
            out["mac_tag_o"] = self.tag
        quiet = dict.fromkeys(("post_start_o", "post_end_o", "out_fill_o", "params_done_o"), 0)
        quiet |= {"post_class_o": WAIT_INPUT, "out_we_o": 0}
        return out | quiet | self.later.pop(cycle, {})

    def _wait(self, out: dict[str, int], free: bool, ready: int) -> None:
        command = self.tile.command
        if ready <= (0 if command.release_weights else self.og):
            out["mac_class_o"] = WAIT_DDR
        elif not free:
            out["mac_class_o"] = WAIT_OUTPUT
        else:
            out["claim_o"] = 1
            terms = command.kernel**2 * command.groups
            self.group = Group(terms, command.rows * command.cols)
            self.state = "run"
            self.claims += 1

    def _run(self, out: dict[str, int], cycle: int) -> None:
        group, command = self.group, self.tile.command
        if group.padding:
            out["mac_class_o"] = WAIT_OUTPUT
            group.padding -= 1
        else:
            pixel, term = divmod(group.issued, group.terms)
            last_term = term == group.terms - 1
            emits = last_term and (command.pool != MAX_POOL or pixel % 4 == 3)
            if emits and cycle < self.post_free:
                out["mac_class_o"] = WAIT_OUTPUT
                return
            group.issued += 1
            if last_term:
                self._vector(cycle, pixel, emits)
            if emits:
                group.padding = command.pad_cycles
        if group.issued == group.terms * group.pixels and not group.padding:
            self._end_group(out)

    def _end_group(self, out: dict[str, int]) -> None:
        command = self.tile.command
        out["release_o"] = command.release_weights
        self.og += 1
        self.state = "wait"
        if self.og == command.out_groups:
            self.state = "idle"
            out["mac_end_o"] = 1
            out["mid_release_o" if command.source_mid else "in_release_o"] = 1

    def _vector(self, cycle: int, pixel: int, emits: bool) -> None:
        """The accumulator vector of a pixel; if it is requantised, all that follows."""
        build, command, group = self.build, self.tile.command, self.group
        arrival = cycle + 5 + (build.in_lanes - 1).bit_length()
        if self.og == 0 and pixel == 0:
            self._at(arrival, post_start_o=1, post_start_tag_o=self.tag)
        if not emits:
            return
        last_group = self.og == command.out_groups - 1
        steps = command.last_steps if last_group else command.steps
        count = steps * (build.slices if command.raw else 1)
        self.post_free = cycle + count
        writes = command.pool in {NO_POOL, MAX_POOL} or group.vectors % 4 == 3
        group.vectors += 1
        for index in range(count):
            self._at(arrival + 1 + index, post_class_o=BUSY)
            if writes:
                self._write(arrival + 1 + index + SELECT_TO_WRITE)
        if group.issued == group.terms * group.pixels:
            self._at(arrival + count, params_done_o=command.release_weights)
            end = arrival + count + SELECT_TO_WRITE
            self._at(end, out_fill_o=1, post_end_o=int(last_group), post_end_tag_o=self.tag)

    def _write(self, cycle: int) -> None:
        build, number = self.build, self.group.writes
        self.group.writes += 1
        line, part = divmod(number, build.line_parts)
        word = self.tile.writes[self.og][number]
        width = build.requant_lanes * build.byte_bits
        data = sum(word << width * p for p in range(build.line_parts))
        bank = (self.claims - 1) % 2
        self._at(cycle, out_we_o=1 << part, out_line_o=line, out_data_o=data, out_bank_o=bank)

    def _at(self, cycle: int, **outputs: int) -> None:
        self.later.setdefault(cycle, {}).update(outputs)
