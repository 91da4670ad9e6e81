"""What cocotb runs: starts every run of the job and waits until the harness stops."""

import cocotb
from cocotb.clock import Clock
from cocotb.triggers import ClockCycles, First, RisingEdge, Timer

PERIOD = 2
"""Of the clock, in nanoseconds."""

RESET_CYCLES = 4

LOOK_CYCLES = 100_000
"""Cycles between two looks at where the engine is."""


@cocotb.test()
async def run_job(dut):
    """The harness stops by itself at the job's limit of cycles, so this ends."""
    dut.start.value = 0
    dut.rst.value = 1
    Clock(dut.clk, PERIOD, unit="ns").start()
    await ClockCycles(dut.clk, RESET_CYCLES)
    dut.rst.value = 0
    runs = 0
    while True:
        dut.start.value = 1
        await ClockCycles(dut.clk, 1)
        dut.start.value = 0
        await ClockCycles(dut.clk, 1)
        while not dut.stopped.value:
            await First(RisingEdge(dut.stopped), Timer(LOOK_CYCLES * PERIOD, unit="ns"))
            dut._log.info("run %d, operation %d, cycle %d", runs, int(dut.operation.value), int(dut.cycle.value))
        runs += 1
        # `more` settles with `stopped`.
        await ClockCycles(dut.clk, 1)
        if not dut.more.value:
            break
