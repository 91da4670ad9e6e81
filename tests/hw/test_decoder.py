"""The coat decoder on its mask buffer: symbols of whole layers, rewinding, damaged streams, and rate."""

import dataclasses
import json
import random
from pathlib import Path

import pytest

from arch.config import EngineConfig
from arch.descriptor import Error
from tests.hw.mask_stream import encode, pack, steps_of
from tests.hw.weight_path import CODES, MaskedDecoder, random_values, receive, send, simulate

VECTORS = json.loads((Path(__file__).parents[1] / "vectors" / "mask_stream.json").read_text())
ERRORS = {"exhausted": Error.MASK_EXHAUSTED, "left_over": Error.MASK_LEFT_OVER, "bad_symbol": Error.BAD_SYMBOL}
TINY, EDGE = EngineConfig.preset("tiny"), EngineConfig.preset("edge")
CONFIGS = {
    "tiny": TINY,
    "two rows a step": dataclasses.replace(TINY, build_columns=2, refill_words=4),
    "all rows a step": dataclasses.replace(TINY, build_columns=4, lanes=4, refill_words=1),
    "eight bits": dataclasses.replace(TINY, weight_bits=8),
}


def config_for(engine, weight_bits=4):
    """A configuration of (K, C, G) ``engine``."""
    columns, lanes, build = engine
    return dataclasses.replace(TINY, columns=columns, lanes=lanes, build_columns=build, weight_bits=weight_bits,
                               requantiser_lanes=2, parameter_channels=max(64, 2 * columns))


def engine_of(config):
    return config.columns, config.lanes, config.build_columns


def decode_command(shape, code, size):
    width = size.bit_length() if code == "raw" else size
    return {"code": CODES[code], "symbol_bits": width, "coats": 0 if code == "stored" else size,
            "run_bytes": shape[1] * shape[3]}


def walk(steps, pixel_tiles=1):
    """Step payloads of a layer, each column tile once per pixel tile, and the steps they decode."""
    tiles = {}
    for step in steps:
        tiles.setdefault(step.tile, []).append(step)
    payloads, order = [], []
    for tile in tiles.values():
        for pixel_tile in range(pixel_tiles):
            for index, step in enumerate(tile):
                first = index == 0 and pixel_tiles > 1
                payloads.append({
                    "lanes": step.lanes, "columns": step.columns, "save": first and pixel_tile == 0,
                    "restore": first and pixel_tile > 0, "release": first and pixel_tile == pixel_tiles - 1, "last": 0,
                })
                order.append(step)
    payloads[-1]["last"] = 1
    return payloads, order


def decode(config, layers, rng=None, settle=20):
    """Feeds ``layers`` of (command, words, step payloads). Returns all rows, the errors seen and every row's cycle."""
    design = MaskedDecoder(config)
    beats = [beat for _, words, _ in layers for beat in pack(words, config.bus_bits)]
    payloads = [payload for _, _, steps in layers for payload in steps]
    rows, errors, times = [], [], []

    async def check(ctx):
        rows.extend(await receive(ctx, design.decoder.rows, len(payloads), rng, .8))
        await ctx.tick().repeat(settle)

    async def watch(ctx):
        cycle = 0
        while True:
            _, _, error, valid, ready = await ctx.tick().sample(
                design.decoder.error, design.decoder.rows.valid, design.decoder.rows.ready)
            cycle += 1
            if error:
                errors.append(Error(error))
            if valid and ready:
                times.append(cycle)

    simulate(design, [check], [
        lambda ctx: send(ctx, design.masks.beats, beats, rng, .7),
        lambda ctx: send(ctx, design.masks.command, [{"mask_words": len(words)} for _, words, _ in layers], rng, .2),
        lambda ctx: send(ctx, design.decoder.command, [command for command, _, _ in layers], rng, .2),
        lambda ctx: send(ctx, design.decoder.step, payloads, rng, .8),
        watch,
    ], 500 + 20 * len(payloads) + 4 * sum(len(words) for _, words, _ in layers))
    return [list(row.symbols) for row in rows], errors, times


def expected_row(config, step):
    return [step.values.get(lane, 0) & 0xFF for lane in range(config.decoder_lanes)]


def random_layer(rng, config, code, size):
    """(command, words, payloads) of a layer of random shape, and its steps in decoding order."""
    shape = (rng.randint(1, 3 * config.columns), rng.randint(1, 20), rng.choice((1, 1, 2)), rng.choice((1, 3)))
    values = random_values(rng, code, size, shape[0] * shape[1] * shape[2] * shape[3])
    stream = encode(engine_of(config), shape, code, size, values)
    payloads, order = walk(stream.steps, rng.choice((1, 1, 2, 3)))
    return (decode_command(shape, code, size), stream.words, payloads), order


@pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS)
@pytest.mark.parametrize("seed", range(2))
def test_layers_of_every_code(config, seed):
    rng = random.Random(seed)
    kinds = [("raw", 1), ("raw", 2), ("raw", 7), ("unary", 1), ("unary", 3), ("unary", 7), ("stored", 2), ("stored", 4)]
    if config.weight_bits == 8:
        kinds.append(("stored", 8))
    rng.shuffle(kinds)
    layers, order = [], []
    for kind in kinds:
        layer, steps = random_layer(rng, config, *kind)
        layers.append(layer)
        order += steps
    rows, errors, _ = decode(config, layers, rng)
    assert errors == []
    assert rows == [expected_row(config, step) for step in order]


def test_column_tiles_larger_than_the_ring_stream_through():
    """Without pixel tiles nothing is kept, so a layer's masks may exceed the ring."""
    config = dataclasses.replace(TINY, mask_bytes=256)
    rng = random.Random(7)
    shape = (9, 40, 1, 3)
    values = random_values(rng, "unary", 7, 9 * 40 * 3)
    stream = encode(engine_of(config), shape, "unary", 7, values)
    assert 2 * len(stream.words) > config.mask_bytes
    rows, errors, _ = decode(config, [(decode_command(shape, "unary", 7), stream.words, walk(stream.steps)[0])], rng)
    assert errors == []
    assert rows == [expected_row(config, step) for step in stream.steps]


@pytest.mark.parametrize("seed", range(2))
def test_rewinding_with_the_next_tile_beyond_the_ring(seed):
    """Lanes ask ahead into the next column tile, whose words cannot come before the release: restore drops that."""
    config = dataclasses.replace(TINY, mask_bytes=256)
    rng = random.Random(seed)
    shape = (16, 118, 1, 1)
    values = [rng.randint(0, 7) for _ in range(16 * 118)]
    stream = encode(engine_of(config), shape, "unary", 7, values)
    payloads, order = walk(stream.steps, 3)
    rows, errors, _ = decode(config, [(decode_command(shape, "unary", 7), stream.words, payloads)], rng)
    assert errors == []
    assert rows == [expected_row(config, step) for step in order]


@pytest.mark.parametrize("number", range(len(VECTORS["cases"])))
def test_vectors(number):
    vector = VECTORS["cases"][number]
    engine, shape = tuple(vector["engine"]), tuple(vector["shape"])
    words = [int(word, 16) for word in vector["words"]]
    stream = encode(engine, shape, vector["code"], vector["size"], vector["values"])
    assert stream.words == words and stream.requests == vector["requests"]
    stored_bytes = vector["code"] == "stored" and vector["size"] == 8
    config = config_for(engine, 8 if stored_bytes else 4)
    rows, errors, _ = decode(config, [
        (decode_command(shape, vector["code"], vector["size"]), words, walk(stream.steps)[0])])
    assert errors == []
    assert rows == [expected_row(config, step) for step in stream.steps]


@pytest.mark.parametrize("number", range(len(VECTORS["damaged"])))
def test_damaged_streams_are_errors(number):
    vector = VECTORS["damaged"][number]
    engine, shape = tuple(vector["engine"]), tuple(vector["shape"])
    words = [int(word, 16) for word in vector["words"]]
    config = config_for(engine, 8 if vector["code"] == "stored" and vector["size"] == 8 else 4)
    command = decode_command(shape, vector["code"], vector["size"])
    steps = list(steps_of(engine, shape))
    # Decoding goes on after an error, and the next layer is not harmed.
    values = [1] * (shape[0] * shape[1] * shape[2] * shape[3])
    sound = encode(engine, shape, "raw", 1, values)
    rows, errors, _ = decode(config, [
        (command, words, walk(steps)[0]), (decode_command(shape, "raw", 1), sound.words, walk(sound.steps)[0])])
    assert errors and set(errors) == {ERRORS[vector["error"]]}
    assert rows[len(steps):] == [expected_row(config, step) for step in sound.steps]


def rate(code, size, values_of):
    """Steps of a layer at ``edge``, cycles from its first to its last row, and from there to the next layer's first."""
    shape = (16, 256, 1, 1)
    rng = random.Random(11)
    values = [values_of(rng) for _ in range(16 * 256)]
    stream = encode(engine_of(EDGE), shape, code, size, values)
    layer = decode_command(shape, code, size), stream.words, walk(stream.steps)[0]
    _, errors, times = decode(EDGE, [layer, layer])
    assert errors == []
    steps = len(stream.steps)
    return steps, times[steps - 1] - times[0] + 1, times[steps] - times[steps - 1]


@pytest.mark.parametrize("code, size, values_of", [
    ("raw", 7, lambda rng: rng.randint(0, 7)),
    ("raw", 1, lambda rng: rng.randint(0, 1)),
    ("unary", 1, lambda rng: rng.random() < .3),
    ("unary", 3, lambda rng: rng.randint(0, 3)),
    ("unary", 3, lambda rng: sum(rng.random() < .3 for _ in range(3))),
])
def test_one_step_per_cycle(code, size, values_of):
    steps, cycles, gap = rate(code, size, values_of)
    assert cycles == steps
    assert gap == 4 + EDGE.lanes // EDGE.refill_words


def test_as_many_bits_as_arrive():
    """Symbols of 4 bits use every bit that 4 words per cycle bring, at nine tenths of the rate."""
    steps, cycles, _ = rate("stored", 4, lambda rng: rng.randint(-7, 7))
    assert cycles < 1.13 * steps
