"""AXI4-Lite master of the benches: one access at a time, for control registers."""

from __future__ import annotations

from typing import Any

from cocotb.triggers import FallingEdge, Timer

ACCESS_CYCLES_MAX = 200  # an access that takes longer hangs


class Lite:
    """Signals change at falling clock edges; READY is looked at just before the rising one."""

    def __init__(self, dut: Any, period_ns: int) -> None:
        self.dut = dut
        self.settle = Timer(period_ns // 4, "ns")
        for name in ("awvalid", "wvalid", "bready", "arvalid", "rready"):
            getattr(dut, f"s_axil_{name}").value = 0

    async def _until(self, name: str) -> None:
        """Return at a falling edge; the rising edge that follows it sees the signal high."""
        for _ in range(ACCESS_CYCLES_MAX):
            await self.settle
            if getattr(self.dut, f"s_axil_{name}").value == 1:
                return
            await FallingEdge(self.dut.clk_i)
        raise TimeoutError(f"s_axil_{name} stayed low for {ACCESS_CYCLES_MAX} cycles")

    async def write(self, address: int, value: int) -> None:
        """One 32-bit write, response awaited."""
        dut = self.dut
        await FallingEdge(dut.clk_i)
        dut.s_axil_awaddr.value, dut.s_axil_awvalid.value = address, 1
        dut.s_axil_wdata.value, dut.s_axil_wstrb.value, dut.s_axil_wvalid.value = value, 15, 1
        dut.s_axil_bready.value = 1
        await self._until("awready")  # the slave takes address and data together
        await FallingEdge(dut.clk_i)
        dut.s_axil_awvalid.value = 0
        dut.s_axil_wvalid.value = 0
        await self._until("bvalid")
        await FallingEdge(dut.clk_i)
        dut.s_axil_bready.value = 0

    async def read(self, address: int) -> int:
        """One 32-bit read."""
        dut = self.dut
        await FallingEdge(dut.clk_i)
        dut.s_axil_araddr.value, dut.s_axil_arvalid.value = address, 1
        dut.s_axil_rready.value = 1
        await self._until("arready")
        await FallingEdge(dut.clk_i)
        dut.s_axil_arvalid.value = 0
        await self._until("rvalid")
        value = int(dut.s_axil_rdata.value)
        await FallingEdge(dut.clk_i)
        dut.s_axil_rready.value = 0
        return value
