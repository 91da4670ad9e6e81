"""CRC-32 over beats, against zlib."""

import random
import zlib

import pytest
from amaranth.sim import Simulator

from arch import latency
from hw.crc import INITIAL, Crc32, StreamCrc, residue


def beats_of(content: bytes, width: int) -> list[int]:
    return [int.from_bytes(content[at:at + width // 8], "little") for at in range(0, len(content), width // 8)]


@pytest.mark.parametrize("width", (32, 64, 72, 512, 1024))
def test_a_beat_at_a_time(width):
    rng = random.Random(width)
    dut = Crc32(width)
    content = rng.randbytes(20 * width // 8)

    async def testbench(ctx):
        state = INITIAL
        for number, beat in enumerate(beats_of(content, width), 1):
            ctx.set(dut.state, state)
            ctx.set(dut.beat, beat)
            state = ctx.get(dut.next)
            assert state ^ INITIAL == zlib.crc32(content[:number * width // 8])

    simulator = Simulator(dut)
    simulator.add_testbench(testbench)
    simulator.run()


@pytest.mark.parametrize("seed", range(3))
def test_streams_take_turns(seed):
    """Messages of three streams, mixed beat by beat: each leaves the residue, and one with a wrong bit does not."""
    rng = random.Random(seed)
    width = rng.choice((32, 64, 256))
    zeros = width // 8 - 4
    dut = StreamCrc(width, 3)
    work, damaged = [], []
    for stream in range(3):
        queue = []
        for _ in range(12):
            content = rng.randbytes(rng.randrange(0, 9) * width // 8)
            message = bytearray(content + zlib.crc32(content).to_bytes(4, "little") + bytes(zeros))
            damaged.append(rng.random() < .4)
            if damaged[-1]:
                bit = rng.randrange(8 * len(message))
                message[bit // 8] ^= 1 << bit % 8
            beats = beats_of(message, width)
            queue += [(beat, index == 0, damaged[-1] if index == len(beats) - 1 else None)
                      for index, beat in enumerate(beats)]
        work.append(queue)

    async def testbench(ctx):
        while any(work):
            stream = rng.choice([index for index, queue in enumerate(work) if queue])
            beat, first, verdict = work[stream].pop(0)
            ctx.set(dut.valid, 1)
            ctx.set(dut.stream, stream)
            ctx.set(dut.first, first)
            ctx.set(dut.beat, beat)
            await ctx.tick()
            if rng.random() < .3:  # what is not valid changes nothing
                ctx.set(dut.valid, 0)
                ctx.set(dut.stream, rng.randrange(3))
                ctx.set(dut.first, rng.randrange(2))
                ctx.set(dut.beat, rng.getrandbits(width))
                await ctx.tick()
            if verdict is not None:
                ctx.set(dut.valid, 0)
                await ctx.tick().repeat(latency.CRC - 1)
                assert (ctx.get(dut.state) != residue(zeros)) == verdict

    simulator = Simulator(dut)
    simulator.add_clock(1e-6)
    simulator.add_testbench(testbench)
    simulator.run()
    assert any(damaged) and not all(damaged)


def test_refuses_what_it_cannot_be():
    with pytest.raises(ValueError, match="bits must be a multiple of 8 and at least 32, not 16"):
        Crc32(16)
    with pytest.raises(ValueError, match="streams must be at least 2, not 1"):
        StreamCrc(64, 1)
