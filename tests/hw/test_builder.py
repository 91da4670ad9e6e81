"""The weight builder with decoder and mask buffer: every weight of random layers, slots, counts and rate."""

import dataclasses
import random

import pytest
from amaranth import *
from amaranth.lib import wiring

from arch.config import EngineConfig
from golden.stream import weight_signs
from hw.builder import WeightBuilder
from hw.table import ScaleTable
from tests.hw.mask_stream import encode, pack, steps_of
from tests.hw.test_decoder import decode_command, engine_of
from tests.hw.weight_path import CODES, MaskedDecoder, random_values, send, simulate

TINY, EDGE = EngineConfig.preset("tiny"), EngineConfig.preset("edge")
CONFIGS = {
    "tiny": TINY,
    "ternary, two rows": dataclasses.replace(TINY, weight_bits=2, build_columns=2, refill_words=4, weight_slots=2),
    "int8, all rows": dataclasses.replace(TINY, weight_bits=8, build_columns=4, refill_words=4, rounds=20),
    "64 lanes": dataclasses.replace(TINY, lanes=64, refill_words=4),
}
SEED = 0x0123456789ABCDEF


class WeightPath(wiring.Component):
    """Mask buffer, decoder and builder."""

    def __init__(self, config):
        self.path, self.builder = MaskedDecoder(config), WeightBuilder(config)
        super().__init__({})

    def elaborate(self, platform):
        m = Module()
        m.submodules.path = self.path
        m.submodules.builder = self.builder
        wiring.connect(m, self.builder.step, self.path.decoder.step)
        wiring.connect(m, self.path.decoder.rows, self.builder.rows)
        return m


@dataclasses.dataclass
class Layer:
    """A layer as the dispatcher hands it out, and what must be written for it: {slot content} per pass, in order."""

    mask_words: list
    decode: dict
    build: dict
    passes: list


def make_layer(config, shape, code, size, values, table=(0,) * 8, pixel_tiles=1, stream=0):
    outs, ins, rows, width = shape
    run = width * ins
    coded = encode(engine_of(config), shape, code, size, values)
    if code == "stored":
        weights = list(values)
    else:
        signs = weight_signs(SEED, stream, outs, rows, width, ins, config.rounds).ravel().tolist()
        weights = [sign * table[value] for sign, value in zip(signs, values)]
    tiles = {}
    for step in steps_of(engine_of(config), shape):
        columns = tiles.setdefault(step.tile, {}).setdefault((step.kernel_row, step.chunk), {})
        for channel in range(step.channel, step.channel + step.columns):
            first = (channel * rows + step.kernel_row) * run + step.chunk * config.lanes
            columns[channel % config.columns] = weights[first:first + step.lanes]
    passes = [columns for tile in tiles.values() for _ in range(pixel_tiles) for columns in tile.values()]
    entries = sum((entry & 0xFF) << 8 * index for index, entry in enumerate(table))
    build = {
        "run_bytes": run, "kernel_rows": rows, "run_chunks": -(-run // config.lanes), "run_blocks": -(-run // 64),
        "pixel_tiles": pixel_tiles, "out_channels": outs, "stream": stream,
        "code": CODES[code], "table_low": entries & 0xFFFFFFFF, "table_high": entries >> 32,
    }
    return Layer(coded.words, decode_command(shape, code, size), build, passes)


def random_layer(rng, config, code, size):
    shape = (rng.randint(1, 3 * config.columns), rng.randint(1, 30), rng.choice((1, 2, 3)), rng.choice((1, 3)))
    limit = config.weight_limit
    table = [rng.randint(-limit, limit) for _ in range(8)]
    values = random_values(rng, code, size, shape[0] * shape[1] * shape[2] * shape[3])
    return make_layer(config, shape, code, size, values, table, rng.choice((1, 1, 2, 3)), rng.getrandbits(32))


def decode_row(config, row):
    """A written row as integers; checks the encoding's rules."""
    bits = config.weight_bits
    weights = list(row.weights)
    if bits == 8:
        assert row.negatives == 0
        return [weight - (weight >> 7 << 8) for weight in weights]
    signs, magnitudes = [weight >> bits - 1 for weight in weights], [weight & config.weight_limit for weight in weights]
    assert row.negatives == sum(signs)
    assert all(magnitude or not sign for sign, magnitude in zip(signs, magnitudes)), "zero has no sign"
    return [-magnitude if sign else magnitude for sign, magnitude in zip(signs, magnitudes)]


def build(config, layers, rng=None, free_after=lambda rng: rng.randint(0, 60)):
    """Builds ``layers``, checks every slot when it is complete and frees it ``free_after`` cycles later, oldest first.

    Returns the cycle in which each slot was complete, and the sums of both weight counts.
    """
    design = WeightPath(config)
    builder, path = design.builder, design.path
    passes = [columns for layer in layers for columns in layer.passes]
    beats = [beat for layer in layers for beat in pack(layer.mask_words, config.bus_bits)]
    times, counts, due = [], [0, 0], []

    async def check(ctx):
        ctx.set(builder.seed, SEED)
        slots = [{} for _ in range(config.weight_slots)]
        cycle, write, wrote = 0, None, False
        while len(times) < len(passes):
            freeing = bool(due) and due[0] <= cycle
            if freeing:
                due.pop(0)
            ctx.set(builder.freed, freeing)
            _, _, next_write, built, weights, zeros = await ctx.tick().sample(
                builder.write, builder.built, builder.built_weights, builder.zero_weights)
            cycle += 1
            counts[0] += weights
            counts[1] += zeros
            # `built` comes a cycle after its write, counts come two after theirs.
            assert wrote or weights == zeros == 0
            wrote = write is not None and write.valid
            if wrote:
                assert write.slot == len(times) % config.weight_slots
                assert len(due) < config.weight_slots, "a slot in use was written"
                for row in range(config.build_columns):
                    slots[write.slot][write.group * config.build_columns + row] = decode_row(config, write.rows[row])
            write = next_write
            if built:
                expected = passes[len(times)]
                content = slots[len(times) % config.weight_slots]
                slots[len(times) % config.weight_slots] = {}
                for column, values in expected.items():
                    assert content[column] == values + [0] * (config.lanes - len(values))
                # Other columns of the last step are zero; other groups are not written.
                absent = set(content) - set(expected)
                assert all(not any(content[column]) for column in absent) and len(absent) < config.build_columns
                times.append(cycle)
                due.append(max([cycle + (free_after(rng) if rng else 0), *due[-1:]]))
        ctx.set(builder.freed, 0)
        counts[0] += ctx.get(builder.built_weights)
        counts[1] += ctx.get(builder.zero_weights)

    async def watch_errors(ctx):
        while True:
            _, _, error = await ctx.tick().sample(path.decoder.error)
            assert not error

    async def seeded(ctx, stream, payloads, busy):
        await send(ctx, stream, payloads, rng, busy)

    simulate(design, [check], [
        lambda ctx: seeded(ctx, path.masks.beats, beats, .7),
        lambda ctx: seeded(ctx, path.masks.command, [{"mask_words": len(layer.mask_words)} for layer in layers], .2),
        lambda ctx: seeded(ctx, path.decoder.command, [layer.decode for layer in layers], .2),
        lambda ctx: seeded(ctx, builder.command, [layer.build for layer in layers], .2),
        watch_errors,
    ], 1000 + 100 * len(passes) + 4 * len(beats) * config.bus_bits // 16)
    return times, counts


@pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS)
@pytest.mark.parametrize("seed", range(2))
def test_layers_of_every_code(config, seed):
    rng = random.Random(seed)
    kinds = [("raw", 1), ("raw", 7), ("unary", 1), ("unary", 3), ("unary", 7), ("stored", config.weight_bits),
             ("stored", 2)]
    rng.shuffle(kinds)
    layers = [random_layer(rng, config, *kind) for kind in kinds]
    _, (weights, zeros) = build(config, layers, rng)
    passes = [columns for layer in layers for columns in layer.passes]
    assert weights == sum(len(values) for columns in passes for values in columns.values())
    assert zeros == sum(values.count(0) for columns in passes for values in columns.values())


def test_tables_with_negative_and_repeated_entries():
    """Index 0 need not be weight 0: lanes beyond the run are zero all the same."""
    rng = random.Random(5)
    shape = (5, 5, 1, 3)
    values = random_values(rng, "raw", 7, 75)
    build(TINY, [make_layer(TINY, shape, "raw", 7, values, (-7, 0, 7, 7, -1, 1, 3, -3))], rng)


def test_blocks_of_wide_runs():
    """Kernel rows whose runs take several blocks, the last one not full."""
    rng = random.Random(6)
    shape = (6, 50, 3, 3)
    values = random_values(rng, "unary", 1, 6 * 50 * 9)
    build(TINY, [make_layer(TINY, shape, "unary", 1, values, (0, 1, 0, 0, 0, 0, 0, 0), stream=0xFFFFFFFF)], rng)


@pytest.mark.parametrize("code, size", [("raw", 7), ("unary", 3), ("unary", 1)])
def test_one_step_per_cycle(code, size):
    """Passes of 16 pixels, as many as a pass has steps, do not wait for weights within a layer: chance delays are
    shorter than the slots ahead."""
    rng = random.Random(9)
    shape = (32, 256, 1, 1)
    values = [rng.randint(0, size) for _ in range(32 * 256)]
    layer = make_layer(EDGE, shape, code, size, values, (0, 1, 2, 3, 4, 5, 6, 7))
    times, _ = build(EDGE, [layer, layer])
    steps = EDGE.columns
    half = len(times) // 2
    slack = 0 if code == "raw" else 4
    assert times[half - 1] - times[0] <= steps * (half - 1) + slack
    assert times[-1] - times[half] <= steps * (half - 1) + slack
    assert times[half] - times[half - 1] <= steps + 8


@pytest.mark.parametrize("entry, sign, weight", [(-3, 0, 0b1011), (-3, 1, 0b0011), (3, 1, 0b1011), (0, 1, 0)])
def test_sign_and_magnitude(entry, sign, weight):
    design = ScaleTable(TINY)
    encoded = abs(entry) | (entry < 0) << 3

    async def check(ctx):
        ctx.set(design.table[5], encoded)
        ctx.set(design.lanes, 1)
        ctx.set(design.symbols[0], 5)
        ctx.set(design.signs, sign)
        await ctx.delay(1e-7)
        assert ctx.get(design.weights[0]) == weight
        ctx.set(design.lanes, 0)
        await ctx.delay(1e-7)
        assert ctx.get(design.weights[0]) == 0

    top = Module()
    top.submodules.table = design
    top.d.sync += Signal(name="clocked").eq(1)
    simulate(top, [check], [], 10)
