"""One column against plain sums of products: extreme weights, promised latencies, accumulation as close as allowed."""

import random

import pytest
from amaranth.sim import Simulator

from arch import latency
from arch.config import LANES, EngineConfig
from hw.column import Column
from hw.planes import SIGN_GROUP
from hw.weights import plane_row, weight_row


def plane_row_value(weights, config, group):
    """A weight row as bit planes: inverted magnitudes, and signs relative to that of another lane."""
    bits = config.weight_bits
    if bits == 8:
        return plane_row(config).const({"zeros": [~weight % 256 for weight in weights]}).as_value().value
    flips = weights[0] < 0
    for lane in range(1, config.lanes):
        first = lane - lane % group
        # The first lane of a group: the tree adds its lanes to as many on the left, or more.
        other = first if first != lane else lane - (lane & -lane)
        flips |= ((weights[lane] < 0) != (weights[other] < 0)) << lane
    zeros = [~abs(weight) % (1 << bits - 1) for weight in weights]
    return plane_row(config).const({"zeros": zeros, "flips": flips}).as_value().value


def row_value(weights, config, group):
    """A weight row as one integer: sign and magnitude and the count of signs, or two's complement; or as planes."""
    if config.lane == "planes":
        return plane_row_value(weights, config, group)
    bits = config.weight_bits
    codes = [weight % (1 << bits) if bits == 8 else abs(weight) | (weight < 0) << bits - 1 for weight in weights]
    negatives = 0 if bits == 8 else sum(weight < 0 for weight in weights)
    return weight_row(config).const({"weights": codes, "negatives": negatives}).as_value().value


def run_beats(config, beats, rows, group=SIGN_GROUP):
    """Runs (cycle, slot, activations, first, half, address) beats, in order of cycles, and (cycle, slot, weights)
    rows. Returns both halves of the partial sums, read as early as promised."""
    dut = Column(config, sign_group=group)
    stages = Column.tree_stages(config)
    end = max(cycle for cycle, *_ in beats) + stages + 2
    # A row is announced in the cycle before it: here cycle -1, the last one of the list, is the first one.
    inputs = [{"row_comes": 0, "store_valid": 0} for _ in range(end + 1)]
    for cycle, slot, weights in rows:
        inputs[cycle - 1] |= {"row_comes": 1, "row_slot": slot}
        inputs[cycle] |= {"row": row_value(weights, config, group)}
    for cycle, slot, activations, first, half, address in beats:
        inputs[cycle] |= {"slot": slot, "activations": sum(a % 256 << 8 * i for i, a in enumerate(activations))}
        inputs[cycle + stages - 1] |= {"read_addresses": [address] * 2}
        inputs[cycle + stages] |= {"goes_on": 0 if first else 1 << half}
        inputs[cycle + stages + 1] |= {"store_valid": 1 << half, "store_address": address}
    sums = []

    async def drive(ctx):
        for cycle in inputs[-1:] + inputs[:-1]:
            for name, value in cycle.items():
                signal = getattr(dut, name)
                ctx.set(signal.as_value() if name in ("row", "activations") else signal, value)
            await ctx.tick()
        ctx.set(dut.store_valid, 0)
        for half in range(2):
            for address in range(config.partial_sums):
                ctx.set(dut.read_addresses, [address, address])
                await ctx.tick()
                ctx.set(dut.drain_half, half)
                sums.append(ctx.get(dut.sum))

    simulator = Simulator(dut)
    simulator.add_clock(1e-6)
    simulator.add_testbench(drive)
    simulator.run()
    return sums[:config.partial_sums], sums[config.partial_sums:]


def check_dot_products(lane, lanes, weight_bits, group=SIGN_GROUP):
    """The extremes of every width, and random ones, each in a partial sum of its own."""
    rng = random.Random(lanes + weight_bits)
    config = EngineConfig.preset("tiny", lane=lane, lanes=lanes, weight_bits=weight_bits, bus_bits=32)
    limit = config.weight_limit
    lowest = -128 if weight_bits == 8 else -limit
    runs = [([a] * lanes, [w] * lanes) for a in (-128, 127, 0, -1) for w in (lowest, limit, 0, -1)]
    runs += [([rng.randint(-128, 127) for _ in range(lanes)], [rng.randint(lowest, limit) for _ in range(lanes)])
             for _ in range(config.partial_sums - len(runs))]
    # A row is written in the cycle before it is used.
    rows = [(n, n % config.weight_slots, weights) for n, (_, weights) in enumerate(runs)]
    beats = [(n + 1, n % config.weight_slots, activations, 1, n % 2, n) for n, (activations, _) in enumerate(runs)]
    sums = run_beats(config, beats, rows, group)
    expected = [sum(a * w for a, w in zip(*run)) for run in runs]
    assert [sums[n % 2][n] for n in range(len(runs))] == expected


@pytest.mark.parametrize("weight_bits", [2, 4, 8])
@pytest.mark.parametrize("lanes", [4, 8, 16, 32])
@pytest.mark.parametrize("lane", LANES)
def test_dot_products(lane, lanes, weight_bits):
    check_dot_products(lane, lanes, weight_bits)


@pytest.mark.parametrize("weight_bits", [2, 4])
@pytest.mark.parametrize("group", [1, 4, 16])
def test_signs_relative_within_a_group(group, weight_bits):
    """The groups of docs/lane.md that no engine has: the one that engines have is the default."""
    check_dot_products("planes", 16, weight_bits, group)


@pytest.mark.parametrize("lanes", [4, 8, 16, 64])
@pytest.mark.parametrize("lane", LANES)
def test_accumulation(lane, lanes):
    """Sums of the same address as close together as promised; the halves do not see each other."""
    rng = random.Random(lanes)
    config = EngineConfig.preset("tiny", lane=lane, lanes=lanes, bus_bits=32, activation_bytes=32 << 10)
    weights = [[rng.randint(-7, 7) for _ in range(lanes)] for _ in range(config.weight_slots)]
    rows = list(enumerate_rows(weights))
    expected = [[0] * config.partial_sums for _ in range(2)]
    beats, busy, started = [], {}, set()
    cycle = len(rows)
    for _ in range(300):
        cycle += rng.random() < .1
        half, address = rng.randrange(2), rng.randrange(5)
        if cycle - busy.get((half, address), -latency.ACCUMULATE) < latency.ACCUMULATE:
            cycle = busy[half, address] + latency.ACCUMULATE
        busy[half, address] = cycle
        slot, activations = rng.randrange(len(weights)), [rng.randint(-128, 127) for _ in range(lanes)]
        first = (half, address) not in started or rng.random() < .1
        started.add((half, address))
        dot = sum(a * w for a, w in zip(activations, weights[slot]))
        expected[half][address] = dot + (0 if first else expected[half][address])
        beats.append((cycle, slot, activations, first, half, address))
        cycle += 1
    sums = run_beats(config, beats, rows)
    assert [half[:5] for half in sums] == [half[:5] for half in expected]


def enumerate_rows(weights):
    """One row write per cycle, slot by slot."""
    for slot, row in enumerate(weights):
        yield slot, slot, row
