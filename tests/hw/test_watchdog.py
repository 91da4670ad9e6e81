"""The watchdog against a count of idle cycles."""

import random

import pytest
from amaranth.sim import Simulator

from hw.watchdog import Watchdog


@pytest.mark.parametrize("cycles", (1, 5, 8))
def test_counts_cycles_without_progress(cycles):
    rng = random.Random(cycles)
    dut = Watchdog(cycles)
    seen = 0

    async def testbench(ctx):
        nonlocal seen
        idle, counted, full = 0, False, False
        for _ in range(2000):
            running, progress = rng.random() < .97, rng.random() < .15
            ctx.set(dut.running, running)
            ctx.set(dut.progress, progress)
            assert ctx.get(dut.expired) == full
            seen += full
            # What was still in the cycle before counts if something still runs.
            idle = idle + 1 if running and counted else 0
            full, counted = idle == cycles, running and not progress
            idle %= cycles
            await ctx.tick()

    simulator = Simulator(dut)
    simulator.add_clock(1e-6)
    simulator.add_testbench(testbench)
    simulator.run()
    assert seen > 10


def test_refuses_no_cycles():
    with pytest.raises(ValueError, match="cycles must be at least 1, not 0"):
        Watchdog(0)
