"""The block memory against a list of words, with bursts both ways and handshakes held up at random."""

import random

import pytest
from amaranth.sim import Simulator

from arch.config import EngineConfig
from hw.block_memory import BlockMemory

CONFIG = EngineConfig.preset("tiny")
DEPTH = 48


def content(rng: random.Random) -> bytes:
    return rng.randbytes(DEPTH * CONFIG.bus_bytes)


def word(memory: bytes, number: int) -> int:
    return int.from_bytes(memory[number * CONFIG.bus_bytes:(number + 1) * CONFIG.bus_bytes], "little")


def bursts(rng: random.Random, count: int, beyond: float = .1) -> list[tuple[int, int]]:
    """(first word, words); some leave the memory."""
    drawn = []
    for _ in range(count):
        beats = rng.randint(1, CONFIG.burst_beats)
        inside = rng.random() > beyond
        drawn.append((rng.randrange(DEPTH - beats + 1) if inside else rng.randrange(DEPTH, 1 << 29), beats))
    return [*drawn, (DEPTH - 2, 4)]


async def request(ctx, rng, stream, asked, stall):
    for first, beats in asked:
        while rng.random() < stall:
            await ctx.tick()
        ctx.set(stream.payload, {"address": first * CONFIG.bus_bytes, "beats": beats})
        ctx.set(stream.valid, 1)
        await ctx.tick().until(stream.ready)
        ctx.set(stream.valid, 0)


def simulate(dut, *testbenches):
    simulator = Simulator(dut)
    simulator.add_clock(1e-6)
    for testbench in testbenches:
        simulator.add_testbench(testbench)
    simulator.run()


@pytest.mark.parametrize("stall", (0, .4))
def test_writes_then_reads(stall):
    rng = random.Random(int(10 * stall))
    stored = content(rng)
    dut = BlockMemory(CONFIG, stored)
    memory = [word(stored, number) for number in range(DEPTH)]
    port = dut.memory
    written, asked = bursts(rng, 30), bursts(rng, 60)
    beats = [[rng.getrandbits(CONFIG.bus_bits) for _ in range(count)] for _, count in written]
    errors, read = [], []

    async def write_requests(ctx):
        await request(ctx, rng, port.write_request, written, stall)

    async def write_data(ctx):
        for value in sum(beats, []):
            while rng.random() < stall:
                await ctx.tick()
            ctx.set(port.write_data.payload, value)
            ctx.set(port.write_data.valid, 1)
            await ctx.tick().until(port.write_data.ready)
            ctx.set(port.write_data.valid, 0)

    async def write_done(ctx):
        while len(errors) < len(written):
            ctx.set(port.write_done.ready, rng.random() >= stall)
            if ctx.get(port.write_done.valid & port.write_done.ready):
                errors.append(ctx.get(port.write_error))
            await ctx.tick()
        await request(ctx, rng, port.read_request, asked, stall)

    async def read_data(ctx):
        while len(read) < sum(count for _, count in asked):
            ctx.set(port.read_data.ready, rng.random() >= stall)
            if ctx.get(port.read_data.valid & port.read_data.ready):
                read.append((ctx.get(port.read_data.payload), ctx.get(port.read_error)))
            await ctx.tick()

    simulate(dut, write_requests, write_data, write_done, read_data)
    for (first, count), values in zip(written, beats):
        for number, value in zip(range(first, first + count), values):
            if number < DEPTH:
                memory[number] = value
    assert errors == [first + count > DEPTH for first, count in written] and 0 < sum(errors) < len(errors)
    numbers = [number for first, count in asked for number in range(first, first + count)]
    assert [error for _, error in read] == [number >= DEPTH for number in numbers]
    assert all(value == memory[number] for number, (value, error) in zip(numbers, read) if not error)


def test_reads_without_a_gap():
    dut = BlockMemory(CONFIG, content(random.Random(1)))
    asked = [(0, 4), (8, 1), (16, 3)]
    valid = []

    async def requests(ctx):
        await request(ctx, random, dut.memory.read_request, asked, 0)

    async def watch(ctx):
        ctx.set(dut.memory.read_data.ready, 1)
        for _ in range(14):
            valid.append(ctx.get(dut.memory.read_data.valid))
            await ctx.tick()

    simulate(dut, requests, watch)
    assert valid == [0, 0, *[1] * 8, *[0] * 4]


@pytest.mark.parametrize("size", (0, 12))
def test_refuses_broken_beats(size):
    with pytest.raises(ValueError, match=f"one or more beats of 8 bytes, not {size} bytes"):
        BlockMemory(CONFIG, bytes(size))
