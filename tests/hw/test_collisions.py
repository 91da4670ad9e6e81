"""The memories of collisions.py, alone."""

import pytest
from amaranth.lib import memory
from amaranth.sim import Simulator

from tests.hw.collisions import undefined_collisions


def _read(address: int, enables: int, domain: str = "sync") -> int:
    """What is read at ``address`` of words 0x1111, 0x2222 while bytes of the second are written as 0xabcd."""
    with pytest.MonkeyPatch.context() as patch:
        undefined_collisions(patch)
        words = memory.Memory(shape=16, depth=2, init=[0x1111, 0x2222])
        write, read = words.write_port(granularity=8), words.read_port(domain=domain)
        simulator = Simulator(words)
        found = []

        async def testbench(context):
            context.set(write.addr, 1)
            context.set(write.data, 0xabcd)
            context.set(write.en, enables)
            context.set(read.addr, address)
            if domain == "comb":
                found.append(context.get(read.data))
            else:
                context.set(read.en, 1)
            await context.tick()
            if domain == "sync":
                found.append(context.get(read.data))
            # The next cycle's word is right again.
            context.set(write.en, 0)
            await context.tick()
            assert context.get(read.data) == (0x1111 if not address else 0x2222 & ~mask | 0xabcd & mask)

        mask = 0xff * (enables & 1) | 0xff00 * (enables >> 1)
        simulator.add_clock(1e-6)
        simulator.add_testbench(testbench)
        simulator.run()
    return found[0]


@pytest.mark.parametrize("address, enables, expected", [
    (0, 0b11, 0x1111), (1, 0b00, 0x2222), (1, 0b11, 0xdddd), (1, 0b01, 0x22dd), (1, 0b10, 0xdd22)])
def test_bits_that_are_written_are_wrong(address, enables, expected):
    assert _read(address, enables) == expected


def test_memories_without_a_clock_to_read_stay():
    assert _read(1, 0b11, "comb") == 0x2222
