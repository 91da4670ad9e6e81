"""The self-test around an engine that never ends, and what it refuses."""

import pytest
from amaranth import Module
from amaranth.sim import Simulator

from arch.config import EngineConfig
from hw import selftest
from hw.engine import Engine
from hw.uart import BAUD

CONFIG = EngineConfig.preset("tiny")


class Stuck(Engine):
    """Nothing comes out of it."""

    def elaborate(self, platform):
        return Module()


def test_an_engine_that_never_ends_fails_after_a_second(monkeypatch):
    monkeypatch.setattr(selftest, "Engine", Stuck)
    dut = selftest.SelfTest(CONFIG, content=bytes(64), program_address=0, output_address=32, expected=bytes(32),
                            clock_hz=BAUD)
    text = ""

    async def terminal(ctx):
        nonlocal text
        # Of the test itself only the clock's LED tells.
        assert ctx.get(dut.alive)
        await ctx.tick().repeat(BAUD // 2)
        assert not ctx.get(dut.alive)
        await ctx.tick().repeat(BAUD - BAUD // 2)
        assert ctx.get(dut.alive) and not ctx.get(dut.led)
        # With this clock a bit takes a cycle.
        while not text.endswith("\n"):
            while ctx.get(dut.uart):
                await ctx.tick()
            bits = []
            for _ in range(10):
                bits.append(ctx.get(dut.uart))
                await ctx.tick()
            text += chr(sum(bit << index for index, bit in enumerate(bits[1:9])))
        assert ctx.get(dut.led)

    simulator = Simulator(dut)
    simulator.add_clock(1 / BAUD)
    simulator.add_testbench(terminal)
    simulator.run()
    assert text == "topcoat tiny: FAIL cycles=0000000000 crc=00000000 error=0\r\n"


def test_refuses_results_outside_of_memory():
    with pytest.raises(ValueError, match="results must be inside of 64 bytes of memory, not end at 72"):
        selftest.SelfTest(CONFIG, content=bytes(64), program_address=0, output_address=40, expected=bytes(32),
                          clock_hz=BAUD)
