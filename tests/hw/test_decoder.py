"""The coat decoder on its mask buffer: symbols of whole layers, rewinding, damaged streams, and rate."""

import dataclasses
import json
import random
from pathlib import Path

import pytest

from arch.config import EngineConfig
from arch.descriptor import Error
from hw.ans import AnsTable
from hw.lane import symbol_bits
from tests.hw.mask_stream import Table, decode_ans, encode, pack, steps_of
from tests.hw.weight_path import CODES, MaskedDecoder, random_values, receive, send, simulate

VECTORS = json.loads((Path(__file__).parents[1] / "vectors" / "mask_stream.json").read_text())
ERRORS = {"exhausted": Error.MASK_EXHAUSTED, "left_over": Error.MASK_LEFT_OVER, "bad_symbol": Error.BAD_SYMBOL}
TINY, EDGE = EngineConfig.preset("tiny"), EngineConfig.preset("edge")
CONFIGS = {
    "tiny": TINY,
    "two rows a step": dataclasses.replace(TINY, build_columns=2, refill_words=4),
    "all rows a step": dataclasses.replace(TINY, build_columns=4, lanes=4, refill_words=1),
    "eight bits": dataclasses.replace(TINY, weight_bits=8),
    "shared tables": dataclasses.replace(TINY, table_lanes=2),
    "two cycles a step": dataclasses.replace(TINY, step_cycles=2, table_lanes=2),
    "two rows in two cycles": dataclasses.replace(TINY, build_columns=2, refill_words=4, step_cycles=2),
}


def config_for(engine, weight_bits=4):
    """A configuration of (K, C, G) ``engine``."""
    columns, lanes, build = engine
    return dataclasses.replace(TINY, columns=columns, lanes=lanes, build_columns=build, weight_bits=weight_bits,
                               requantiser_lanes=2, parameter_channels=max(64, 2 * columns))


def engine_of(config):
    return config.columns, config.lanes, config.build_columns


def decode_command(shape, code, size, table=None):
    width = {"raw": size.bit_length(), "ans": 10}.get(code, size)
    command = {"code": CODES[code], "symbol_bits": width, "coats": 0 if code == "stored" else size,
               "run_bytes": shape[1] * shape[3], "out_channels": shape[0]}
    if code == "ans":
        command["ans_offset"] = table.offset
        command |= {f"frequency_{index}": table.frequencies[index] for index in range(1, size + 1)}
    return command


def released(size, density):
    """Probabilities of the coat indices 0..N where ``density`` of the weights are kept by the first coat, and each coat
    keeps as many again less than the one before."""
    kept = [1, *(density * (size - coat) / size for coat in range(size)), 0]
    return [above - below for above, below in zip(kept, kept[1:])]


def ans_table(probabilities, offset=0):
    """A table for coat indices of these probabilities: every one that occurs has an entry."""
    frequencies = [0, *(round(1024 * probability) or (probability > 0) for probability in probabilities[1:])]
    frequencies[0] = 1024 - sum(frequencies)
    return Table(tuple(frequencies), offset)


def draw(rng, probabilities, count):
    """``count`` coat indices of these probabilities."""
    return rng.choices(range(len(probabilities)), probabilities, k=count)


def ans_layer(rng, config, shape, table, values, pixel_tiles=1):
    """(command, words, payloads) of a layer of code `ans`, and its steps in decoding order."""
    engine, size = engine_of(config), len(table.frequencies) - 1
    stream = encode(engine, shape, "ans", size, values, table, lambda: rng.randrange(1024))
    assert decode_ans(engine, shape, table, stream.words) == values
    payloads, order = walk(stream.steps, pixel_tiles)
    return (decode_command(shape, "ans", size, table), stream.words, payloads), order


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


def decode(config, layers, rng=None, settle=20, memory=None):
    """Feeds ``layers`` of (command, words, step payloads), with stalls if ``rng`` is given; ``memory`` alone makes only
    the beats come slowly. Returns all rows, the errors seen, every row's cycle and the cycles that were ``starved``."""
    design = MaskedDecoder(config)
    beats = [beat for _, words, _ in layers for beat in pack(words, config.bus_bits)]
    payloads = [payload for _, _, steps in layers for payload in steps]
    rows, errors, times, starved = [], [], [], []

    async def check(ctx):
        rows.extend(await receive(ctx, design.decoder.rows, len(payloads), rng, .8))
        await ctx.tick().repeat(settle)

    async def watch(ctx):
        cycle = 0
        while True:
            _, _, error, valid, ready, starves = await ctx.tick().sample(
                design.decoder.error, design.decoder.rows.valid, design.decoder.rows.ready, design.decoder.starved)
            cycle += 1
            if starves:
                starved.append(cycle)
            if error:
                errors.append(Error(error))
            if valid and ready:
                times.append(cycle)

    simulate(design, [check], [
        lambda ctx: send(ctx, design.masks.beats, beats, memory or rng, .2 if memory else .7),
        lambda ctx: send(ctx, design.masks.command, [{"mask_words": len(words)} for _, words, _ in layers], rng, .2),
        lambda ctx: send(ctx, design.decoder.command, [command for command, _, _ in layers], rng, .2),
        lambda ctx: send(ctx, design.decoder.step, payloads, rng, .8),
        watch,
    ], 500 + 20 * len(payloads) + sum(4 * len(words) + AnsTable.build_cycles for _, words, _ in layers))
    return [list(row.symbols) for row in rows], errors, times, starved


def expected_row(config, step):
    return [step.values.get(lane, 0) & (1 << symbol_bits(config)) - 1 for lane in range(config.decoder_lanes)]


def random_shape(rng, config):
    return rng.randint(1, 3 * config.columns), rng.randint(1, 20), rng.choice((1, 1, 2)), rng.choice((1, 3))


def random_layer(rng, config, code, size):
    """(command, words, payloads) of a layer of random shape, and its steps in decoding order."""
    shape = random_shape(rng, config)
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
    rows, errors, *_ = decode(config, layers, rng)
    assert errors == []
    assert rows == [expected_row(config, step) for step in order]


@pytest.mark.parametrize("coats", range(1, 8))
def test_ans_of_every_density(coats):
    rng = random.Random(coats)
    config = [*CONFIGS.values()][coats % len(CONFIGS)]
    layers, order = [], []
    for density in .5, .3, .1, .02, .005:
        shape, probabilities = random_shape(rng, config), released(coats, density)
        values = draw(rng, probabilities, shape[0] * shape[1] * shape[2] * shape[3])
        table = ans_table(probabilities, rng.randrange(16))
        layer, steps = ans_layer(rng, config, shape, table, values, rng.choice((1, 1, 2, 3)))
        layers.append(layer)
        order += steps
    rows, errors, *_ = decode(config, layers, rng)
    assert errors == []
    assert rows == [expected_row(config, step) for step in order]


@pytest.mark.parametrize("frequencies", [
    (1024, 0), (1024, 0, 0, 0, 0, 0, 0, 0), (0, 1, 1023), (1, 1, 1, 1021), (0, 0, 0, 512, 0, 0, 512, 0),
    (1, 1, 1, 1, 1, 1, 1, 1017),
])
def test_ans_tables_at_their_limits(frequencies):
    """Symbols of no bits and of ten, indices that have no entry, layers without any bits but the first states."""
    rng = random.Random(1)
    config = CONFIGS["two rows a step"]
    present = [index for index, frequency in enumerate(frequencies) if frequency]
    layers, order = [], []
    for offset, pixel_tiles in (0, 1), (11, 3):
        shape = (7, 21, 2, 1)
        values = [rng.choice(present) for _ in range(7 * 21 * 2)]
        layer, steps = ans_layer(rng, config, shape, Table(frequencies, offset), values, pixel_tiles)
        layers.append(layer)
        order += steps
    rows, errors, *_ = decode(config, layers, rng)
    assert errors == []
    assert rows == [expected_row(config, step) for step in order]


@pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS)
def test_codes_and_tables_mixed(config):
    """Few tables over many layers: built, found in either bank, replaced; other codes between them."""
    rng = random.Random(100)
    laws = [released(3, .3), released(7, .5), released(1, .1)]
    tables = [ans_table(law, rng.randrange(16)) for law in laws]
    layers, order = [], []
    for kind in rng.choices((0, 0, 1, 1, 2, "raw", "unary", "stored"), k=16):
        if isinstance(kind, str):
            layer, steps = random_layer(rng, config, kind, 4 if kind == "stored" else rng.randint(1, 7))
        else:
            shape = random_shape(rng, config)
            values = draw(rng, laws[kind], shape[0] * shape[1] * shape[2] * shape[3])
            layer, steps = ans_layer(rng, config, shape, tables[kind], values, rng.choice((1, 2, 3)))
        layers.append(layer)
        order += steps
    rows, errors, *_ = decode(config, layers, rng)
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
    rows, errors, *_ = decode(config, [(decode_command(shape, "unary", 7), stream.words, walk(stream.steps)[0])], rng)
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
    rows, errors, *_ = decode(config, [(decode_command(shape, "unary", 7), stream.words, payloads)], rng)
    assert errors == []
    assert rows == [expected_row(config, step) for step in order]


def test_rewinding_ans_with_the_next_tile_beyond_the_ring():
    """The same with a state to go back to."""
    config = dataclasses.replace(TINY, mask_bytes=256)
    rng = random.Random(3)
    table = Table((256, 256, 128, 128, 64, 64, 64, 64), 2)
    values = draw(rng, table.frequencies, 16 * 118)
    layer, order = ans_layer(rng, config, (16, 118, 1, 1), table, values, 3)
    assert 2 * len(layer[1]) > config.mask_bytes
    rows, errors, *_ = decode(config, [layer, layer], rng)
    assert errors == []
    assert rows == [expected_row(config, step) for step in order + order]


def vector_command(vector):
    """A vector's `ans` table, if it has one, and its decode command."""
    table = Table(tuple(vector["frequencies"]), vector["offset"]) if vector["code"] == "ans" else None
    return table, decode_command(tuple(vector["shape"]), vector["code"], vector["size"], table)


@pytest.mark.parametrize("vector", VECTORS["cases"] + VECTORS["ans_idle_lanes"])
def test_vectors(vector):
    engine, shape = tuple(vector["engine"]), tuple(vector["shape"])
    words = [int(word, 16) for word in vector["words"]]
    table, command = vector_command(vector)
    stream = encode(engine, shape, vector["code"], vector["size"], vector["values"], table)
    assert stream.words == words and stream.requests == vector["requests"]
    stored_bytes = vector["code"] == "stored" and vector["size"] == 8
    config = config_for(engine, 8 if stored_bytes else 4)
    rows, errors, *_ = decode(config, [(command, words, walk(stream.steps)[0])])
    assert errors == []
    assert rows == [expected_row(config, step) for step in stream.steps]


@pytest.mark.parametrize("vector", VECTORS["damaged"])
def test_damaged_streams_are_errors(vector):
    engine, shape = tuple(vector["engine"]), tuple(vector["shape"])
    words = [int(word, 16) for word in vector["words"]]
    config = config_for(engine, 8 if vector["code"] == "stored" and vector["size"] == 8 else 4)
    _, command = vector_command(vector)
    steps = list(steps_of(engine, shape))
    # Decoding goes on after an error, and the next layer is not harmed.
    values = [1] * (shape[0] * shape[1] * shape[2] * shape[3])
    sound = encode(engine, shape, "raw", 1, values)
    rows, errors, *_ = decode(config, [
        (command, words, walk(steps)[0]), (decode_command(shape, "raw", 1), sound.words, walk(sound.steps)[0])])
    assert errors and set(errors) == {ERRORS[vector["error"]]}
    assert rows[len(steps):] == [expected_row(config, step) for step in sound.steps]


@pytest.mark.parametrize("coats, worst", [(1, 2), (1, 9), (7, 8), (7, 15)])
def test_a_symbol_above_the_coats_is_an_error(coats, worst):
    """In all of its bits, which may be more than a coat index has."""
    shape = (1, 4, 1, 1)
    stream = encode(engine_of(TINY), shape, "raw", 8, [worst, 0, 1, 0])
    command = decode_command(shape, "raw", 8) | {"coats": coats}
    assert command["symbol_bits"] == 4
    assert decode(TINY, [(command, stream.words, walk(stream.steps)[0])])[1] == [Error.BAD_SYMBOL]


def test_all_lanes_but_not_in_all_steps():
    """Runs fill the lanes of a row, an odd number of channels not the rows of a step: not in lockstep."""
    config = dataclasses.replace(config_for((4, 8, 2), 8), refill_words=1)
    shape = (1, 256, 1, 1)
    values = random_values(random.Random(2), "stored", 8, 256)
    stream = encode(engine_of(config), shape, "stored", 8, values)
    rows, errors, *_ = decode(config, [(decode_command(shape, "stored", 8), stream.words, walk(stream.steps)[0])])
    assert errors == []
    assert rows == [expected_row(config, step) for step in stream.steps]


@pytest.mark.parametrize("density", [.5, .02])
@pytest.mark.parametrize("words, error", [
    (lambda words: words[:-1], Error.MASK_EXHAUSTED),
    (lambda words: words[:2], Error.MASK_EXHAUSTED),
    (lambda words: [], Error.MASK_EXHAUSTED),
    (lambda words: [*words, *[1] * 20], Error.MASK_LEFT_OVER),
], ids=["last word missing", "states missing", "empty", "left over"])
def test_damaged_ans_streams_are_errors(density, words, error):
    rng = random.Random(9)
    shape, law = (5, 30, 1, 1), released(3, density)
    layer, order = ans_layer(rng, TINY, shape, ans_table(law), draw(rng, law, 150))
    command, sound, payloads = layer
    rows, errors, *_ = decode(TINY, [(command, words(sound), payloads), layer])
    assert errors and set(errors) == {error}
    assert rows[len(order):] == [expected_row(TINY, step) for step in order]


@pytest.mark.parametrize("frequencies", [(1024, 0), (1020, 4)])
def test_symbols_of_no_bits_end_with_their_states(frequencies):
    """Without a word there is no state, so even a symbol of no bits is exhausted; with just the states there is one."""
    rng = random.Random(4)
    shape = (4, 8, 1, 1)
    layer, order = ans_layer(rng, TINY, shape, Table(frequencies), [0] * 32)
    command, words, payloads = layer
    assert len(words) == 8
    rows, errors, *_ = decode(TINY, [layer, (command, words[:7], payloads)])
    assert errors == [Error.MASK_EXHAUSTED] * 4
    assert rows[:4] == [expected_row(TINY, step) for step in order]


def rate(code, size, values_of):
    """Steps of a layer at ``edge``, cycles from its first to its last row, and from there to the next layer's first."""
    shape = (16, 256, 1, 1)
    rng = random.Random(11)
    values = [values_of(rng) for _ in range(16 * 256)]
    stream = encode(engine_of(EDGE), shape, code, size, values)
    layer = decode_command(shape, code, size), stream.words, walk(stream.steps)[0]
    _, errors, times, _ = decode(EDGE, [layer, layer])
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
    assert gap == 5 + EDGE.lanes // EDGE.refill_words


def test_as_many_bits_as_arrive():
    """Symbols of 4 bits use every bit that 4 words per cycle bring, at nine tenths of the rate, though all lanes ask in
    the same steps."""
    steps, cycles, _ = rate("stored", 4, lambda rng: rng.randint(-7, 7))
    assert cycles < 1.13 * steps


def ans_rate(probabilities, chunks, second=None):
    """Of two layers of ``chunks`` x 16 steps at ``edge``, the second one with the table of ``second`` if that is given:
    cycles to the first row, from there to the layer's last one, to the next layer's first, and to its last."""
    rng = random.Random(12)
    layers = []
    for law in probabilities, second or probabilities:
        values = draw(rng, law, 16 * 16 * chunks)
        layers.append(ans_layer(rng, EDGE, (16, 16 * chunks, 1, 1), ans_table(law, 5), values)[0])
    _, errors, times, _ = decode(EDGE, layers)
    assert errors == []
    steps = 16 * chunks
    return times[0], times[steps - 1] - times[0] + 1, times[steps] - times[steps - 1], times[-1] - times[steps] + 1


@pytest.mark.parametrize("probabilities, share", [
    (released(1, .5), 1), (released(3, .3), 1), (released(7, .3), 1), (released(7, .5), .98), (released(3, .02), .98),
    (released(7, .005), .98), ([1 / 8] * 8, 1),
], ids=["1 coat .5", "3 coats .3", "7 coats .3", "7 coats .5", "3 coats .02", "7 coats .005", "3 bits"])
def test_one_step_per_cycle_of_ans(probabilities, share):
    """But for the start, where all lanes ask at once, and for lanes that wait for bits that they may need."""
    start, first, gap, second = ans_rate(probabilities, 16)
    refill = EDGE.lanes // EDGE.refill_words
    # After the first state a word has 6 bits left; a symbol that ends the word needs the next one, too.
    waits_for_second_words = max(bits for _, bits, _ in ans_table(probabilities).entries) >= 6
    assert gap == 5 + refill + waits_for_second_words * refill
    assert start <= AnsTable.build_cycles + gap
    assert first <= 256 / share + 4 and second <= 256 / share + 4


def test_the_next_table_is_built_behind_the_layer():
    chunks = -(-AnsTable.build_cycles // 16)
    _, first, gap, second = ans_rate(released(3, .3), chunks, released(7, .3))
    assert first <= 16 * chunks + 4 and second <= 16 * chunks + 4
    assert gap == 5 + EDGE.lanes // EDGE.refill_words


def starving(code, size, values_of, memory=None):
    """Cycles from a layer's first row to its last in which no row came, how many of them were starved, and how many it
    takes to hand out the layer's words."""
    shape = (16, 256, 1, 1)
    rng = random.Random(13)
    values = [values_of(rng) for _ in range(16 * 256)]
    stream = encode(engine_of(EDGE), shape, code, size, values)
    _, errors, times, starved = decode(
        EDGE, [(decode_command(shape, code, size), stream.words, walk(stream.steps)[0])], memory=memory)
    assert errors == []
    lost = times[-1] - times[0] + 1 - len(times)
    return lost, sum(times[0] < cycle <= times[-1] for cycle in starved), len(stream.words) / EDGE.refill_words


def test_starved_while_words_are_missing():
    lost, starved, served = starving("raw", 7, lambda rng: rng.randint(0, 7), random.Random(14))
    assert lost > 2 * served
    assert lost - served < starved <= lost


def test_not_starved_by_its_own_rate():
    lost, starved, _ = starving("stored", 4, lambda rng: rng.randint(-7, 7))
    assert lost > 0 and starved == 0
