"""The parameter buffer under random stalls: every record of every row, and beats promised by `space`."""

import random

import pytest
from amaranth.sim import Simulator

from arch.config import EngineConfig
from arch.descriptor import PARAMETER_BYTES
from hw.parameters import ParameterBuffer

LIMIT = 20_000


def packed(records, beat_bytes, rng):
    """A layer's records as beats; the rest of the last beat is anything."""
    octets = b"".join((multiplier % (1 << 18) | bias % (1 << 48) << 18).to_bytes(PARAMETER_BYTES, "little")
                      for multiplier, bias in records)
    octets += rng.randbytes(-len(octets) % beat_bytes)
    return [int.from_bytes(octets[at:at + beat_bytes], "little") for at in range(0, len(octets), beat_bytes)]


@pytest.mark.parametrize("seed, lanes, bus_bits", [
    (0, 2, 64), (1, 1, 32), (2, 4, 128), (3, 2, 64), (4, 4, 64), (5, 1, 128), (6, 2, 64), (7, 4, 32)])
def test_rows_and_space(seed, lanes, bus_bits):
    """Layers of all sizes, some of them used again; the largest kept one fills the ring."""
    rng = random.Random(seed)
    config = EngineConfig.preset("tiny", requantiser_lanes=lanes, bus_bits=bus_bits, parameter_channels=32,
                                 burst_beats=8)
    dut = ParameterBuffer(config)
    capacity = config.parameter_channels // lanes
    channels = [(1, 1), (5, 3), (31, 1), (32, 2), (33, 1), (rng.randint(40, 90), 1), (4, 4), (rng.randint(1, 20), 2),
                (rng.randint(1, 20), rng.randint(1, 3)), (rng.randint(1, 40), 1)]
    uses = [(layer, use, count) for layer, count in (
        ([(rng.randrange(-(1 << 17), 1 << 17), rng.randrange(-(1 << 47), 1 << 47)) for _ in range(number)], count)
        for number, count in channels) for use in range(count)]
    # Rows as they are read: tiles of K channels, each tile's rows together.
    tiles = [[layer[at:at + lanes] for at in range(tile, min(tile + config.columns, len(layer)), lanes)]
             for layer, _, _ in uses for tile in range(0, len(layer), config.columns)]
    # Beats that may be asked for: those of layers whose commands are taken.
    queue, in_flight, progress = [], 0, {"rows": 0, "waits": 0, "commands": 0}

    async def commands(ctx):
        for layer, use, count in uses:
            while rng.random() < .5:
                await ctx.tick()
            ctx.set(dut.command.payload, {"out_channels": len(layer), "parameter_keep": use < count - 1,
                                          "parameter_reuse": use > 0})
            ctx.set(dut.command.valid, 1)
            await ctx.tick().until(dut.command.ready)
            ctx.set(dut.command.valid, 0)
            progress["commands"] += 1
            if use == 0:
                queue.extend(packed(layer, config.bus_bytes, rng))

    async def reader(ctx):
        """Asks for beats against `space` and brings them later; a promised beat waits for unpacking only."""
        nonlocal in_flight
        waited = 0
        while queue or progress["commands"] < len(uses):
            space = ctx.get(dut.space)
            assert in_flight <= space, "the space promised for beats in flight was taken back"
            progress["waits"] += space == in_flight
            in_flight += rng.randint(0, min(space, len(queue)) - in_flight)
            valid = in_flight > 0 and (waited > 0 or rng.random() < .7)
            ctx.set(dut.beats.valid, valid)
            ctx.set(dut.beats.payload, queue[0] if valid else 0)
            _, _, taken = await ctx.tick().sample(dut.beats.ready)
            waited = 0 if not valid or taken else waited + 1
            assert waited <= config.bus_bytes // PARAMETER_BYTES + 2, "a promised beat waits for more than unpacking"
            if valid and taken:
                queue.pop(0)
                in_flight -= 1
        ctx.set(dut.beats.valid, 0)

    async def consumer(ctx):
        for rows in tiles:
            patience = rng.choice((0, 0, 5, 200))
            await ctx.tick().repeat(patience + 1)
            for _ in range(LIMIT):
                if ctx.get(dut.rows_ready) >= len(rows):
                    break
                await ctx.tick()
            else:
                raise AssertionError("no rows")
            assert ctx.get(dut.rows_ready) <= capacity
            await ctx.tick()
            for _ in range(2 * len(rows)):
                index = rng.randrange(len(rows))
                ctx.set(dut.row, index)
                await ctx.tick()
                record = ctx.get(dut.record)
                for lane, expected in enumerate(rows[index]):
                    assert (record[lane].multiplier, record[lane].bias) == expected
            ctx.set(dut.release, len(rows))
            await ctx.tick()
            ctx.set(dut.release, 0)
            progress["rows"] += len(rows)

    async def timeout(ctx):
        await ctx.tick().repeat(LIMIT)
        raise AssertionError("timeout")

    simulator = Simulator(dut)
    simulator.add_clock(1e-6)
    for testbench in commands, reader, consumer:
        simulator.add_testbench(testbench)
    simulator.add_testbench(timeout, background=True)
    simulator.run()
    assert progress["rows"] == sum(map(len, tiles))
    assert progress["waits"], "the ring was never full"


def feed(config, layers, cycles):
    """Beats taken of ``layers`` (channels, keep, reuse), none of them read, in ``cycles``; rows ready and space
    left."""
    dut = ParameterBuffer(config)
    result = {"taken": 0}

    async def commands(ctx):
        for channels, keep, reuse in layers:
            ctx.set(dut.command.payload, {"out_channels": channels, "parameter_keep": keep, "parameter_reuse": reuse})
            ctx.set(dut.command.valid, 1)
            await ctx.tick().until(dut.command.ready)
        ctx.set(dut.command.valid, 0)

    async def testbench(ctx):
        ctx.set(dut.beats.valid, 1)
        for _ in range(cycles):
            _, _, ready = await ctx.tick().sample(dut.beats.ready)
            result["taken"] += ready
        result.update(rows=ctx.get(dut.rows_ready), space=ctx.get(dut.space))

    simulator = Simulator(dut)
    simulator.add_clock(1e-6)
    simulator.add_testbench(commands, background=True)
    simulator.add_testbench(testbench)
    simulator.run()
    return result


def test_reads_ahead_into_later_layers():
    """With nothing released, everything that fits is taken, across layers."""
    config = EngineConfig.preset("tiny")
    result = feed(config, [(9, 0, 0), (17, 1, 0), (17, 0, 1), (99, 0, 0)], 1000)
    # 5 and 9 rows; the last layer finds 18 of the 32, and fills the gearbox.
    assert result["rows"] == 32 and result["space"] == 0
    assert result["taken"] == 11 + 20 + (18 * 2 * PARAMETER_BYTES + PARAMETER_BYTES - 1) // config.bus_bytes + 1
