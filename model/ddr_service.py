"""When the DDR data bus carries a burst: banks, rows, refresh, turnaround.

`testbench/hdl/ddr_model.sv` takes exactly the same integer steps.
"""

from __future__ import annotations

from model.ddr_timing import BEAT_BYTES, DdrTiming

CLOSED = -1
"""Row number of a bank without an open row."""


class DdrService:
    """The data bus and the banks of one memory. Times are in ck, on the data bus.

    A column command's time is the time of its data: the constant from command to data is part of
    `read_delay` and `write_delay`. Address map: row : bank : column. The first byte's row stands
    for the whole burst. Rows stay open until another row of the bank or a refresh closes them.
    Left out because bursts of this size never reach it: the limit on activates in a window (tFAW).
    """

    __slots__ = (
        "_bank_bits",
        "_burst_bytes",
        "_burst_ck",
        "_page_shift",
        "_precharge_ck",
        "_ras_end_ck",
        "_refreshed_ck",
        "_rows",
        "_timing",
        "_writing",
        "bus_free_ck",
        "busy_ck",
        "next_refresh_ck",
        "refreshes",
        "row_hits",
        "row_misses",
    )

    def __init__(self, timing: DdrTiming) -> None:
        self._timing = timing
        self._burst_bytes = timing.burst_bytes
        self._burst_ck = timing.burst_bytes // timing.bytes_per_ck
        self._page_shift = timing.page_bytes.bit_length() - 1
        self._bank_bits = timing.banks.bit_length() - 1
        self._rows = [CLOSED] * timing.banks
        self._ras_end_ck = [0] * timing.banks
        self._precharge_ck = [0] * timing.banks
        self._refreshed_ck = 0
        self._writing = False
        self.bus_free_ck = 0
        self.next_refresh_ck = timing.t_refi
        self.busy_ck = 0
        self.row_hits = 0
        self.row_misses = 0
        self.refreshes = 0

    def serve(self, now_ck: int, is_write: bool, address: int, beats: int) -> tuple[int, int]:
        """Place one burst on the data bus.

        `now_ck` is the first tick at which the controller can act on the burst; calls come with
        `now_ck` in ascending order. Returns the first tick of the data and the tick after the last.
        """
        timing = self._timing
        earliest = self.bus_free_ck
        if is_write != self._writing:
            earliest += timing.turn_read_write if is_write else timing.turn_write_read
            self._writing = is_write
        earliest = max(earliest, now_ck)
        if earliest >= self.next_refresh_ck:
            self._refresh(earliest)

        page = address >> self._page_shift
        row = page >> self._bank_bits
        bank = page - (row << self._bank_bits)
        start = earliest
        if self._rows[bank] == row:
            self.row_hits += 1
        else:
            self.row_misses += 1
            activate = self._activate_ck(bank, now_ck)
            self._rows[bank] = row
            self._ras_end_ck[bank] = activate + timing.t_ras
            start = max(start, activate + timing.t_rcd)

        burst_bytes = self._burst_bytes
        touched = address % burst_bytes + beats * BEAT_BYTES
        data_ck = (touched + burst_bytes - 1) // burst_bytes * self._burst_ck
        end = start + data_ck
        self.busy_ck += data_ck
        if is_write:
            self.bus_free_ck = end + timing.write_gap
            precharge = end + timing.t_wr
        else:
            self.bus_free_ck = precharge = end
        self._precharge_ck[bank] = max(precharge, self._ras_end_ck[bank])
        return start, end

    def _activate_ck(self, bank: int, now_ck: int) -> int:
        """First tick at which the bank can open another row; the bus need not be free for it."""
        if self._rows[bank] == CLOSED:
            return max(now_ck, self._refreshed_ck)
        return max(now_ck, self._precharge_ck[bank]) + self._timing.t_rp

    def _refresh(self, earliest: int) -> None:
        """Account for every refresh due up to `earliest`; only the last one can delay the bus."""
        timing = self._timing
        due = (earliest - self.next_refresh_ck) // timing.t_refi + 1
        self.next_refresh_ck += due * timing.t_refi
        self.refreshes += due
        begin = max(self.next_refresh_ck - timing.t_refi, self.bus_free_ck)
        self._refreshed_ck = begin + timing.t_rp + timing.t_rfc
        for bank in range(timing.banks):
            self._rows[bank] = CLOSED
