"""The array against plain sums: gaps, slots rewritten while others are used, one half drained while the other fills."""

import random
import re

import pytest
from amaranth.back import verilog
from amaranth.sim import Simulator

from arch import latency
from arch.config import LANES, EngineConfig
from hw.array import Array
from hw.column import Column

CONFIGS = [dict(), dict(build_columns=2), dict(build_columns=4, weight_bits=2), dict(lanes=4, bus_bits=64),
           dict(lanes=16, weight_bits=8, columns=2),
           dict(lane="planes"), dict(lane="planes", build_columns=2, weight_bits=2),
           dict(lane="planes", lanes=16, weight_bits=8, columns=2)]


def written_rows(rng, config):
    """Random weights of one step, and the rows of weights and sign counts that carry them."""
    lowest = -128 if config.weight_bits == 8 else -config.weight_limit
    weights = [[rng.randint(lowest, config.weight_limit) for _ in range(config.lanes)]
               for _ in range(config.build_columns)]
    top = 1 << config.weight_bits - 1
    if config.weight_bits == 8:
        return weights, [{"weights": [w % 256 for w in row], "negatives": 0} for row in weights]
    return weights, [{"weights": [abs(w) | top * (w < 0) for w in row], "negatives": sum(w < 0 for w in row)}
                     for row in weights]


@pytest.mark.parametrize("overrides", CONFIGS)
def test_tiles(overrides):
    """Tiles of random passes; a tile's sums are asked for from ``depth`` cycles after its last beat on, that beat's sum
    first, while the next tile fills the other half."""
    rng = random.Random(str(overrides))
    config = EngineConfig.preset("tiny", **overrides)
    dut = Array(config)
    # What slots hold that are all zeros.
    start = 0 if config.lane == "multiplier" else -1 if config.weight_bits == 8 else config.weight_limit
    weights = [[[start] * config.lanes for _ in range(config.columns)] for _ in range(config.weight_slots)]
    drains, writes = {}, 0
    cycles = 700

    async def drive(ctx):
        nonlocal writes
        coming = []
        sums, half, index, pixels, passes, slot, pause = {}, 0, 0, 5, 2, 0, 0
        half_free = [0, 0]
        for cycle in range(cycles):
            # A beat with random gaps; short passes keep the distance of accumulations.
            valid = pause == 0 and cycle >= half_free[half] and rng.random() < .8
            pause -= pause > 0
            activations = [rng.randint(-128, 127) for _ in range(config.lanes)]
            first = index not in sums
            if valid:
                dots = [sum(a * w for a, w in zip(activations, column)) for column in weights[slot]]
                sums[index] = [dot + (0 if first else old) for dot, old in zip(dots, sums.get(index, dots))]
            ctx.set(dut.beat, {"valid": valid, "activations": activations, "slot": slot, "first": first, "half": half,
                               "address": index})
            if valid:
                index += 1
                if index == pixels:
                    slot = (slot + 1) % config.weight_slots
                    index, passes, pause = 0, passes - 1, max(0, latency.ACCUMULATE - pixels)
                    if passes == 0:
                        for order, address in enumerate(reversed(range(pixels))):
                            drains[cycle + dut.depth + order] = half, address, sums[address]
                        half_free[half] = cycle + dut.depth + pixels
                        sums, half, pixels, passes = {}, 1 - half, rng.choice((1, 2, 3, 7, 20)), rng.randint(1, 4)
            # A slot that the next beat does not use is rewritten, for beats from the one after that on.
            for target, group, new in coming:
                weights[target][group * config.build_columns:(group + 1) * config.build_columns] = new
            group = rng.randrange(config.columns // config.build_columns)
            target = (slot + rng.randint(1, config.weight_slots - 1)) % config.weight_slots
            written = rng.random() < .6
            new, rows = written_rows(rng, config)
            ctx.set(dut.write, {"valid": written, "slot": target, "group": group, "rows": rows})
            coming = [(target, group, new)] if written else []
            writes += written
            await ctx.tick()

    async def drain(ctx):
        checked = 0
        for cycle in range(cycles):
            half, index, expected = drains.get(cycle, (rng.randrange(2), rng.randrange(config.partial_sums), None))
            ctx.set(dut.drain_half, half)
            ctx.set(dut.drain_address, index)
            await ctx.tick()
            if expected is not None:
                checked += 1
                assert [ctx.get(value) for value in dut.sums] == expected, f"cycle {cycle}"
        assert checked > 100 and writes > 300

    simulator = Simulator(dut)
    simulator.add_clock(1e-6)
    simulator.add_testbench(drive)
    simulator.add_testbench(drain)
    simulator.run()


@pytest.mark.parametrize("lane", LANES)
def test_depth_is_tight(lane):
    """One cycle before ``depth`` a drain request still sees the old sum."""
    dut = Array(EngineConfig.preset("tiny", lane=lane))
    seen = []

    async def drive(ctx):
        ctx.set(dut.write, {"valid": 1, "rows": [{"weights": [1] * 8, "negatives": 0}]})
        await ctx.tick()
        ctx.set(dut.write.valid, 0)
        await ctx.tick()
        ctx.set(dut.beat, {"valid": 1, "activations": [3] * 8, "first": 1})
        for _ in range(dut.depth + 2):
            await ctx.tick()
            ctx.set(dut.beat.valid, 0)
            seen.append(ctx.get(dut.sums[0]))

    simulator = Simulator(dut)
    simulator.add_clock(1e-6)
    simulator.add_testbench(drive)
    simulator.run()
    assert seen == [0] * dut.depth + [24, 24]


@pytest.mark.parametrize("lane", LANES)
@pytest.mark.parametrize("preset", ["tiny", "edge"])
def test_column_instances_match_the_emitted_column(preset, lane):
    config = EngineConfig.preset(preset, lane=lane)
    column = verilog.convert(Column(config), name="topcoat_column", emit_src=False, strip_internal_attrs=True)
    array = verilog.convert(Array(config, emit=True), name="topcoat_array", emit_src=False, strip_internal_attrs=True)
    ports = set(re.search(r"module topcoat_column\(([^)]*)\)", column)[1].split(", "))
    instances = re.findall(r"topcoat_column (\w+) \((.*?)\n  \);", array, re.DOTALL)
    assert len(instances) == config.columns
    for name, connections in instances:
        assert set(re.findall(r"^\s*\.(\w+)\(", connections, re.MULTILINE)) == ports, name
