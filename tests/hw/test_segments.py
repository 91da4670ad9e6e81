"""Segment checkers in the read path as the engine has it: burst readers, arbiter, one CRC unit."""

import random
from functools import partial

import pytest
from amaranth import *
from amaranth.lib import wiring
from amaranth.sim import Simulator

from arch.config import EngineConfig
from hw.crc import StreamCrc
from hw.memory import BurstReader, ReadArbiter
from hw.segments import SegmentChecker
from tests.hw.segments import segmented

LIMIT = 60_000


class CheckedReaders(wiring.Component):
    """Two burst readers with a segment checker each."""

    def __init__(self, config, space):
        self.config = config
        self.readers = [BurstReader(config, space) for _ in range(2)]
        self.checkers = [SegmentChecker(config) for _ in range(2)]
        self.arbiter = ReadArbiter(config, 2)
        super().__init__({})

    def elaborate(self, platform):
        m = Module()
        m.submodules.arbiter = arbiter = self.arbiter
        m.submodules.crc = crc = StreamCrc(self.config.bus_bits, 2)
        arrived = Signal(2)
        for index, (reader, checker) in enumerate(zip(self.readers, self.checkers)):
            m.submodules[f"reader{index}"], m.submodules[f"checker{index}"] = reader, checker
            wiring.connect(m, reader.request, arbiter.requests[index])
            wiring.connect(m, arbiter.beats[index], checker.beats)
            m.d.comb += [
                arrived[index].eq(checker.beats.valid & checker.beats.ready),
                reader.returned.eq(arrived[index]),
                checker.crc.eq(crc.state),
            ]
        m.d.comb += [
            crc.valid.eq(arrived.any()),
            crc.stream.eq(arbiter.client),
            crc.first.eq(Array(checker.first for checker in self.checkers)[arbiter.client]),
            crc.beat.eq(arbiter.read_data.payload),
        ]
        return m


@pytest.mark.parametrize("seed, bus_bits, burst_beats", [
    (0, 64, 16), (1, 1024, 16), (2, 1024, 1), (3, 256, 8), (4, 1024, 64), (5, 512, 2)])
def test_segments(seed, bus_bits, burst_beats):
    rng = random.Random(seed)
    config = EngineConfig.preset("edge", lanes=64, bus_bits=bus_bits, burst_beats=burst_beats,
                                 parameter_channels=2048)
    capacity = 2 * burst_beats
    dut = CheckedReaders(config, capacity)
    content_beats = 4096 // config.bus_bytes - 1
    memory, commands, expected, errors = {}, [[], []], [[], []], [[], []]
    address = 0
    for reader in range(2):
        for position in range(4):
            address += config.bus_bytes * rng.randrange(1, 40)
            length = rng.choice((1, 2, content_beats, content_beats + 1, rng.randint(1, 3 * content_beats)))
            content = [rng.getrandbits(bus_bits) for _ in range(length)]
            beats = segmented(content, bus_bits)
            commands[reader].append((address, len(beats), 10 * reader + position))
            bad = rng.randrange(len(beats)) if rng.random() < .5 else None
            if bad is not None:  # any bit of any beat, those behind the checksum included
                beats[bad] ^= 1 << rng.randrange(bus_bits)
                errors[reader].append((10 * reader + position, bad // (content_beats + 1)))
            for number, beat in enumerate(beats):
                memory[address] = beat
                address += config.bus_bytes
                if number != len(beats) - 1 and number % (content_beats + 1) != content_beats:
                    expected[reader].append(beat)
    received, found = [[], []], [[], []]

    async def command(ctx, index):
        port = dut.readers[index].command
        for address, beats, position in commands[index]:
            ctx.set(port.payload, {"address": address, "beats": beats, "position": position})
            ctx.set(port.valid, 1)
            await ctx.tick().until(port.ready)
            ctx.set(port.valid, 0)

    async def consume(ctx, index):
        reader, checker, held = dut.readers[index], dut.checkers[index], 0
        for _ in range(LIMIT):
            ctx.set(checker.content.ready, 1)
            held -= rng.randrange(held + 1) if rng.random() < .3 else 0
            ctx.set(reader.space, capacity - held)
            _, _, valid, beat, error, position, segment, busy = await ctx.tick().sample(
                checker.content.valid, checker.content.payload, checker.error, checker.position, checker.segment,
                reader.busy | reader.command.valid)
            if valid:
                held += 1
                assert held <= capacity, "more beats than the consumer had space for"
                received[index].append(beat)
            if error:
                found[index].append((position, segment))
            if len(received[index]) == len(expected[index]) and not busy:
                if ctx.get(checker.error):
                    found[index].append((ctx.get(checker.position), ctx.get(checker.segment)))
                return
        raise TimeoutError(f"reader {index}: {len(received[index])} of {len(expected[index])} beats")

    async def serve(ctx):
        queue, port = [], dut.arbiter
        ctx.set(port.read_request.ready, 1)
        while True:
            valid = bool(queue) and rng.random() < .9
            ctx.set(port.read_data.valid, valid)
            ctx.set(port.read_data.payload, memory[queue[0]] if valid else rng.getrandbits(bus_bits))
            _, _, asked, request, taken = await ctx.tick().sample(
                port.read_request.valid, port.read_request.payload, port.read_data.ready)
            if valid and taken:
                queue.pop(0)
            if asked:
                queue += [request.address + config.bus_bytes * beat for beat in range(request.beats)]

    simulator = Simulator(dut)
    simulator.add_clock(1e-6)
    for index in range(2):
        simulator.add_testbench(partial(command, index=index))
        simulator.add_testbench(partial(consume, index=index))
    simulator.add_testbench(serve, background=True)
    simulator.run()
    assert received == expected
    assert found == errors and errors != [[], []]
