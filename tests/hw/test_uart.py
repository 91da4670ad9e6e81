"""The serial line's transmitter against the waveform of 8N1."""

import random

import pytest
from amaranth.sim import Simulator

from hw.uart import UartTransmitter


@pytest.mark.parametrize("cycles", (1, 2, 7))
def test_sends_frames(cycles):
    rng = random.Random(cycles)
    sent = [0x00, 0xFF, 0x55, *(rng.randrange(256) for _ in range(20))]
    dut = UartTransmitter(cycles * 115_200)
    levels = []

    async def source(ctx):
        for value in sent:
            ctx.set(dut.bytes.payload, value)
            ctx.set(dut.bytes.valid, 1)
            await ctx.tick().until(dut.bytes.ready)
            ctx.set(dut.bytes.valid, 0)
            for _ in range(rng.choice((0, 0, 3, 30))):
                await ctx.tick()

    async def line(ctx):
        while len(levels) < len(sent) * (10 * cycles + 40):
            levels.append(ctx.get(dut.line))
            await ctx.tick()

    simulator = Simulator(dut)
    simulator.add_clock(1e-6)
    simulator.add_testbench(source)
    simulator.add_testbench(line)
    simulator.run()
    received = []
    while 0 in levels:
        del levels[:levels.index(0)]
        frame, levels = levels[:10 * cycles], levels[10 * cycles:]
        bits = frame[::cycles]
        assert frame == [bit for bit in bits for _ in range(cycles)]
        assert bits[0] == 0 and bits[9] == 1
        received.append(sum(bit << index for index, bit in enumerate(bits[1:9])))
    assert received == sent


@pytest.mark.parametrize("clock_hz", (50_000, 170_000))
def test_refuses_clocks_that_miss_the_rate(clock_hz):
    with pytest.raises(ValueError, match="clock_hz must be a multiple of 115200 within 2%, not"):
        UartTransmitter(clock_hz)
