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


@pytest.mark.parametrize("seed, lanes, bus_bits", [(0, 2, 64), (1, 1, 32), (2, 4, 128), (3, 2, 64), (4, 4, 64)])
def test_rows_and_space(seed, lanes, bus_bits):
    rng = random.Random(seed)
    config = EngineConfig.preset("tiny", requantiser_lanes=lanes, bus_bits=bus_bits, parameter_channels=32,
                                 burst_beats=8)
    dut = ParameterBuffer(config)
    capacity = config.parameter_channels // lanes
    layers = [[(rng.randrange(-(1 << 17), 1 << 17), rng.randrange(-(1 << 47), 1 << 47)) for _ in range(channels)]
              for channels in (1, 5, 31, 32, 33, rng.randint(40, 90), 4, rng.randint(1, 20))]
    beats = [beat for layer in layers for beat in packed(layer, config.bus_bytes, rng)]
    # Rows as they are read: tiles of K channels, each tile's rows together.
    tiles = [[layer[at:at + lanes] for at in range(tile, min(tile + config.columns, len(layer)), lanes)]
             for layer in layers for tile in range(0, len(layer), config.columns)]
    in_flight, progress = 0, {"rows": 0, "waits": 0, "refused": 0}

    async def commands(ctx):
        for layer in layers:
            while rng.random() < .5:
                await ctx.tick()
            ctx.set(dut.command.payload.out_channels, len(layer))
            ctx.set(dut.command.valid, 1)
            await ctx.tick().until(dut.command.ready)
            ctx.set(dut.command.valid, 0)

    async def reader(ctx):
        """Asks for beats against `space` and brings them later; a promised beat waits for unpacking only."""
        nonlocal in_flight
        queue, waited = list(beats), 0
        while queue:
            space = ctx.get(dut.space)
            assert in_flight <= space, "the space promised for beats in flight was taken back"
            progress["waits"] += space == in_flight
            in_flight += rng.randint(0, space - in_flight)
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


def test_reads_ahead_into_the_next_layer():
    """With nothing released, everything that fits is taken, across layers."""
    config = EngineConfig.preset("tiny")
    dut = ParameterBuffer(config)
    taken = 0

    async def testbench(ctx):
        nonlocal taken
        ctx.set(dut.command.valid, 1)
        ctx.set(dut.command.payload.out_channels, 9)
        ctx.set(dut.beats.valid, 1)
        for _ in range(1000):
            _, _, ready = await ctx.tick().sample(dut.beats.ready)
            taken += ready
        # 5 rows and 11 beats a layer; the seventh finds two of the 32 rows, and fills the gearbox.
        assert ctx.get(dut.rows_ready) == 32
        assert ctx.get(dut.space) == 0

    simulator = Simulator(dut)
    simulator.add_clock(1e-6)
    simulator.add_testbench(testbench)
    simulator.run()
    assert taken == 6 * 11 + (2 * config.requantiser_lanes * PARAMETER_BYTES + PARAMETER_BYTES - 1) // config.bus_bytes + 1
