"""Regenerates the test vectors next to this file, from docs/specification.md alone.

Plain and slow on purpose: standard library only, nothing imported from the project, so that the vectors are independent
of every implementation they test. The field layout below is a transcription of arch/descriptor.py, which is part of the
specification. Every part checks itself where it can (printed constants, decoding what was encoded, offset arithmetic
against arithmetic without offsets).

    python tests/vectors/generate.py            write the files
    python tests/vectors/generate.py --check    exit with status 1 if a file differs from what would be written
"""

import hashlib
import json
import pathlib
import random
import sys

HERE = pathlib.Path(__file__).resolve().parent
LOW_32 = 0xFFFFFFFF


class Draw:
    """Deterministic draws: only random.random(), whose sequence Python promises to keep."""

    def __init__(self, seed):
        self.random = random.Random(seed).random

    def integer(self, low, high):
        """An integer in low..high."""
        return min(high, low + int(self.random() * (high - low + 1)))

    def bits(self, count):
        """An unsigned integer of `count` bits."""
        value = 0
        for _ in range(count):
            value = value * 2 + self.integer(0, 1)
        return value

    def indices(self, count, coats, kept):
        """Coat indices: each further coat keeps a weight with probability `kept`."""
        result = []
        for _ in range(count):
            index = 0
            while index < coats and self.random() < kept:
                index += 1
            result.append(index)
        return result

    def stored(self, count, bits, kept):
        """Signed weights of magnitude below 2^(bits-1), zero with probability 1 - kept."""
        limit = 2 ** (bits - 1) - 1
        return [self.integer(-limit, limit) if self.random() < kept else 0 for _ in range(count)]


# Section 1: random stream.

ROTATIONS = [13, 15, 26, 6, 17, 29, 16, 24]


def threefry(counter, key, rounds):
    """Threefry2x32: counter and key are (word 0, word 1); so is the result."""
    keys = [key[0], key[1], key[0] ^ key[1] ^ 0x1BD11BDA]
    x0, x1 = counter
    for done in range(rounds + 1):
        if done % 4 == 0:
            injection = done // 4
            x0 = (x0 + keys[injection % 3]) & LOW_32
            x1 = (x1 + keys[(injection + 1) % 3] + injection) & LOW_32
        if done < rounds:
            rotation = ROTATIONS[done % 8]
            x0 = (x0 + x1) & LOW_32
            x1 = (x1 << rotation | x1 >> (32 - rotation)) & LOW_32
            x1 = x1 ^ x0
    return x0, x1


def block_words(seed, stream, block, rounds):
    assert 0 <= seed < 2 ** 64 and 0 <= stream < 2 ** 32 and 0 <= block < 2 ** 32
    return threefry((block, stream), (seed & LOW_32, seed >> 32), rounds)


def sign(seed, stream, index, rounds):
    words = block_words(seed, stream, index // 64, rounds)
    bit = index % 64
    set_bit = words[0] >> bit & 1 if bit < 32 else words[1] >> (bit - 32) & 1
    return -1 if set_bit else 1


def layer_signs(seed, stream, shape, rounds):
    """Signs of a layer of `shape` (out, in, ky, kx), in canonical order (out, ky, kx, c)."""
    outputs, channels, height, width = shape
    run = width * channels
    padded_run = (run + 63) // 64 * 64
    signs = []
    for out in range(outputs):
        for ky in range(height):
            for kx in range(width):
                for c in range(channels):
                    index = (out * height + ky) * padded_run + kx * channels + c
                    signs.append(sign(seed, stream, index, rounds))
    return signs


def plus_minus(signs):
    return "".join("+" if value == 1 else "-" for value in signs)


def stream_vectors():
    draw = Draw(1)
    known = []
    for counter, key, rounds, result in [
            ("00000000 00000000", "00000000 00000000", 13, "9d1c5ec6 8bd50731"),
            ("00000000 00000000", "00000000 00000000", 20, "6b200159 99ba4efe"),
            ("243f6a88 85a308d3", "13198a2e 03707344", 13, "ba3e4725 f27d669e"),
            ("243f6a88 85a308d3", "13198a2e 03707344", 20, "c4923a9c 483df7a0")]:
        words = threefry([int(w, 16) for w in counter.split()], [int(w, 16) for w in key.split()], rounds)
        assert "%08x %08x" % words == result, "known answer of the specification"
        known.append({"counter": counter.split(), "key": key.split(), "rounds": rounds, "words": result.split()})

    points = [(0, 0, 0), (0, 0, 1), (0, 1, 0), (1, 0, 0), (2 ** 32, 0, 0), (2 ** 32 - 1, 0, 0), (2 ** 64 - 1, 0, 0),
              (0, 2 ** 32 - 1, 0), (0, 0, 2 ** 32 - 1), (2 ** 64 - 1, 2 ** 32 - 1, 2 ** 32 - 1),
              (2 ** 63, 2 ** 31, 2 ** 31), (0x0123456789ABCDEF, 7, 63)]
    for _ in range(30):
        points.append((draw.bits(64), draw.bits(32), draw.bits(32)))
    for _ in range(10):
        points.append((draw.bits(32), draw.integer(0, 60), draw.integer(0, 5000)))
    blocks = []
    for seed, stream, block in points:
        for rounds in (13, 20):
            words = ["%08x" % word for word in block_words(seed, stream, block, rounds)]
            blocks.append({"seed": seed, "stream": stream, "block": block, "rounds": rounds, "words": words})

    at_index = []
    for rounds in (13, 20):
        for index in [0, 1, 31, 32, 33, 63, 64, 95, 96, 127, 128, 2 ** 31, 2 ** 32 + 5, 2 ** 38 - 1, 2 ** 38 - 33] + \
                [draw.bits(38) for _ in range(10)]:
            seed, stream = draw.bits(64), draw.bits(32)
            at_index.append({"seed": seed, "stream": stream, "index": index, "rounds": rounds,
                             "sign": sign(seed, stream, index, rounds)})

    layers = []
    for seed, stream, shape, rounds in [
            (0, 0, (1, 1, 1, 1), 13), (0, 0, (3, 64, 1, 1), 13), (1, 2, (4, 3, 3, 3), 13),
            (2 ** 32 + 5, 1, (5, 8, 3, 3), 13), (0xFEDCBA9876543210, 3, (3, 32, 3, 3), 13),
            (0xFEDCBA9876543210, 4, (2, 65, 1, 1), 13), (99, 2 ** 32 - 1, (2, 22, 3, 3), 13), (99, 9, (2, 7, 5, 5), 13),
            (2 ** 64 - 1, 11, (10, 20, 1, 1), 13), (12345, 5, (3, 5, 2, 3), 13), (12345, 6, (2, 26, 5, 5), 20),
            (7, 8, (3, 6, 3, 3), 20)]:
        signs = layer_signs(seed, stream, shape, rounds)
        layers.append({"seed": seed, "stream": stream, "shape": list(shape), "rounds": rounds,
                       "signs": plus_minus(signs)})

    weights = []
    for seed, stream, shape, table in [
            (1, 2, (4, 3, 3, 3), [0, 1]), (2 ** 40 + 3, 7, (3, 5, 3, 3), [0, 1, 2, 3]),
            (2 ** 40 + 3, 8, (2, 70, 1, 1), [0, 1, 3, 4, 5, 6, 7, 2]), (31, 9, (3, 4, 2, 2), [5, -7, 0]),
            (31, 10, (2, 3, 3, 3), [0, 127, -127, 64, 1])]:
        signs = layer_signs(seed, stream, shape, 13)
        indices = draw.indices(len(signs), len(table) - 1, 0.6)
        weights.append({"seed": seed, "stream": stream, "shape": list(shape), "rounds": 13, "table": table,
                        "indices": indices, "weights": [s * table[m] for s, m in zip(signs, indices)]})
    return {
        "what": "Random stream. known_answers: Threefry2x32 on words in hex. blocks: the two output words of a block. "
                "signs: sign(seed, stream, index). layers: all signs of a layer of shape (out, in, ky, kx), '+' or '-', in "
                "canonical order (out, ky, kx, c). weights: sign * table[index], in canonical order.",
        "specification": "1. Random stream; 2. Coat index and its codes (weights)",
        "known_answers": known, "blocks": blocks, "signs": at_index, "layers": layers, "weights": weights}


# Section 2: codes. A bit stream is a list of 0 and 1 here.


def raw_width(coats):
    width = 1
    while 2 ** width < coats + 1:
        width += 1
    return width


def symbol(value, code, size):
    """Bits of one symbol. `size` is N for raw and unary, the width for stored."""
    if code == "unary":
        return [1] * value + [0] if value < size else [1] * value
    width = raw_width(size) if code == "raw" else size
    pattern = value % 2 ** width
    return [pattern >> i & 1 for i in range(width)]


class Damaged(Exception):
    """The stream is not a valid one."""


def read_symbol(next_bit, code, size):
    """Inverse of symbol(); next_bit() gives the next bit or raises Damaged."""
    if code == "unary":
        index = 0
        while index < size and next_bit():
            index += 1
        return index
    width = raw_width(size) if code == "raw" else size
    value = 0
    for i in range(width):
        value += next_bit() << i
    if code == "raw" and value > size:
        raise Damaged("bad_symbol")
    if code == "stored" and value >= 2 ** (width - 1):
        value -= 2 ** width
    return value


def to_bytes(bits):
    data = bytearray((len(bits) + 7) // 8)
    for i, bit in enumerate(bits):
        data[i // 8] |= bit << (i % 8)
    return bytes(data)


def encode(values, code, size):
    bits = []
    for value in values:
        bits += symbol(value, code, size)
    return bits


def decode(data, count, code, size):
    position = 0

    def next_bit():
        nonlocal position
        if position >= 8 * len(data):
            raise Damaged("exhausted")
        position += 1
        return data[(position - 1) // 8] >> ((position - 1) % 8) & 1

    return [read_symbol(next_bit, code, size) for _ in range(count)]


def expect_damage(kind, function, *arguments):
    try:
        function(*arguments)
    except Damaged as error:
        assert str(error) == kind, (str(error), kind)
    else:
        raise AssertionError(f"{kind}: not found")


def codes_vectors():
    draw = Draw(2)
    cases = []

    def add(code, size, values):
        bits = encode(values, code, size)
        assert decode(to_bytes(bits), len(values), code, size) == values
        cases.append({"code": code, "size": size, "values": values, "bits": len(bits), "hex": to_bytes(bits).hex()})

    for code in ("raw", "unary"):
        for coats in range(1, 8):
            everything = list(range(coats + 1))
            add(code, coats, everything + everything[::-1])
            add(code, coats, [0])
            add(code, coats, [coats])
            add(code, coats, [0] * 8)
            add(code, coats, [coats] * 17)
            for kept in (0.1, 0.5, 0.8):
                add(code, coats, draw.indices(draw.integer(20, 75), coats, kept))
        add(code, 3, [])
    for width in (2, 4, 8):
        limit = 2 ** (width - 1) - 1
        add("stored", width, [0, 1, -1, limit, -limit])
        add("stored", width, [-1])
        add("stored", width, [-limit] * 7)
        add("stored", width, draw.stored(33, width, 1))
        add("stored", width, draw.stored(40, width, 0.3))

    damaged = []
    for code, size, values in [
            ("raw", 1, [1] * 9), ("raw", 2, [2, 0, 1, 2, 1]), ("raw", 5, [5, 4, 3]), ("raw", 7, [0] * 6), ("unary", 1, [0] * 9),
            ("unary", 2, [2] * 5), ("unary", 3, [0, 0, 0, 0, 0, 0, 3]), ("unary", 7, [7, 7]), ("unary", 7, [7, 6, 5, 4]),
            ("stored", 2, [1, -1, 0, 1, 1]), ("stored", 4, [7, -7, 3]), ("stored", 8, [-127, 127])]:
        data = to_bytes(encode(values, code, size))
        for keep in sorted({0, len(data) - 1}):
            expect_damage("exhausted", decode, data[:keep], len(values), code, size)
            damaged.append({"error": "exhausted", "code": code, "size": size, "count": len(values),
                            "hex": data[:keep].hex()})
    for coats in (2, 4, 5, 6):
        for bad in range(coats + 1, 2 ** raw_width(coats)):
            for before in (0, 3):
                values = draw.indices(before, coats, 0.5) + [bad] + draw.indices(4, coats, 0.5)
                bits = []
                for value in values:
                    bits += [value >> i & 1 for i in range(raw_width(coats))]
                expect_damage("bad_symbol", decode, to_bytes(bits), len(values), "raw", coats)
                damaged.append({"error": "bad_symbol", "code": "raw", "size": coats, "count": len(values),
                                "hex": to_bytes(bits).hex()})
    return {
        "what": "Codes of a packed file: symbols one after another, padded to a byte. size is N (largest index) for raw and "
                "unary, the width in bits for stored; values are coat indices, or signed weights for stored; bits is "
                "the count before padding. damaged: decoding count symbols must be an error: the stream ends early "
                "(exhausted) or a raw index is above N (bad_symbol).",
        "specification": "2. Coat index and its codes", "cases": cases, "damaged": damaged}


# Section 2: mask stream in engine order.


def walk_steps(shape, engine):
    """Steps of a layer: each is a list of (decoder lane, canonical position) for the weights that are coded in it.

    A step never crosses a chunk: in the last column tile, a chunk's columns are cut into steps of G from column 0, and the
    last step of the chunk has fewer rows when G does not divide them.
    """
    outputs, channels, height, width = shape
    columns, lanes, built = engine
    run = width * channels
    steps = []
    for tile_start in range(0, outputs, columns):
        tile_columns = min(columns, outputs - tile_start)
        for ky in range(height):
            for chunk_start in range(0, run, lanes):
                for first in range(0, tile_columns, built):
                    step = []
                    for g in range(min(built, tile_columns - first)):
                        out = tile_start + first + g
                        for l in range(lanes):
                            position = chunk_start + l
                            if position < run:
                                step.append((g * lanes + l, (out * height + ky) * run + position))
                    steps.append(step)
    return steps


def used_lanes(shape, engine):
    columns, lanes, built = engine
    run = shape[3] * shape[1]
    return [g * lanes + l for g in range(built) for l in range(lanes) if l < min(lanes, run)]


def to_word(bits):
    return sum(bit << i for i, bit in enumerate(bits))


def mask_stream(symbols, shape, engine):
    """(stored words, number of requests) for `symbols`: the bits of each weight's symbol, in canonical order."""
    steps = walk_steps(shape, engine)
    used = used_lanes(shape, engine)
    lane_bits = {lane: [] for lane in used}
    for step in steps:
        for lane, position in step:
            lane_bits[lane] += symbols[position]

    requested = []          # (word, whether it holds a coded bit) in the order of the requests
    next_word = {lane: 0 for lane in used}

    def request(lane):
        start = 16 * next_word[lane]
        bits = lane_bits[lane][start:start + 16]
        requested.append((to_word(bits), bool(bits)))
        next_word[lane] += 1

    for lane in used:
        request(lane)
    for lane in used:
        request(lane)
    consumed = {lane: 0 for lane in used}
    for step in steps:
        before = dict(consumed)
        for lane, position in step:
            consumed[lane] += len(symbols[position])
        for lane in used:
            if consumed[lane] // 16 > before[lane] // 16:
                request(lane)
    stored = len(requested)
    while stored and not requested[stored - 1][1]:
        stored -= 1
    return [word for word, _ in requested[:stored]], len(requested)


def read_mask_stream(words, count, code, size, shape, engine):
    """The decoder: values in canonical order, or Damaged."""
    used = used_lanes(shape, engine)
    buffers = {lane: [] for lane in used}       # bits that arrived; None for a bit from beyond the stored words
    consumed = {lane: 0 for lane in used}
    taken = 0

    def request(lane):
        nonlocal taken
        if taken < len(words):
            buffers[lane] += [words[taken] >> i & 1 for i in range(16)]
        else:
            buffers[lane] += [None] * 16
        taken += 1

    for lane in used + used:
        request(lane)
    values = [None] * count
    for step in walk_steps(shape, engine):
        before = dict(consumed)
        for lane, position in step:
            def next_bit():
                bit = buffers[lane][consumed[lane]]
                if bit is None:
                    raise Damaged("exhausted")
                consumed[lane] += 1
                return bit

            values[position] = read_symbol(next_bit, code, size)
        for lane in used:
            if consumed[lane] // 16 > before[lane] // 16:
                request(lane)
    if taken < len(words):
        raise Damaged("left_over")
    return values


def mask_stream_vectors():
    draw = Draw(3)
    cases, damaged = [], []

    def add(engine, shape, code, size, values):
        outputs, channels, height, width = shape
        assert len(values) == outputs * channels * height * width
        symbols = [symbol(value, code, size) for value in values]
        words, requests = mask_stream(symbols, shape, engine)
        assert read_mask_stream(words, len(values), code, size, shape, engine) == values
        case = {"engine": list(engine), "shape": list(shape), "code": code, "size": size, "values": values,
                "bits": sum(len(bits) for bits in symbols), "requests": requests, "words": ["%04x" % word for word in words]}
        cases.append(case)
        return case

    narrow, square, double = (4, 8, 1), (16, 16, 1), (4, 8, 2)
    plan = [
        # engine, (out, in, ky, kx), code, N or width, probability of each further coat
        (narrow, (4, 8, 1, 1), "raw", 1, 0.5), (narrow, (1, 1, 1, 1), "unary", 1, 0.5),
        (narrow, (6, 3, 3, 3), "raw", 3, 0.5), (narrow, (6, 3, 3, 3), "unary", 3, 0.3),
        (narrow, (5, 2, 1, 1), "unary", 7, 0.8), (narrow, (7, 19, 1, 1), "raw", 7, 0.5),
        (narrow, (3, 3, 5, 5), "unary", 2, 0.2), (narrow, (4, 5, 3, 3), "raw", 5, 0.7),
        (narrow, (9, 4, 3, 3), "unary", 5, 0.6), (narrow, (8, 8, 3, 3), "unary", 1, 0.08),
        (narrow, (6, 5, 1, 1), "stored", 2, 0.5), (narrow, (5, 3, 3, 3), "stored", 4, 0.8),
        (narrow, (6, 4, 3, 3), "stored", 8, 1.0), (narrow, (12, 2, 3, 3), "raw", 2, 0.2),
        (square, (16, 16, 1, 1), "unary", 3, 0.4), (square, (20, 5, 3, 3), "unary", 7, 0.5),
        (square, (17, 4, 5, 5), "raw", 3, 0.2), (square, (3, 20, 1, 1), "raw", 6, 0.6),
        (square, (18, 7, 3, 3), "unary", 2, 0.15), (square, (33, 3, 1, 1), "unary", 4, 0.9),
        (square, (10, 6, 3, 3), "stored", 4, 0.6), (square, (2, 3, 5, 5), "stored", 8, 1.0),
        (double, (4, 8, 1, 1), "raw", 3, 0.5), (double, (8, 3, 3, 3), "unary", 3, 0.3), (double, (6, 5, 3, 3), "raw", 7, 0.5),
        (double, (6, 2, 1, 1), "unary", 7, 0.7), (double, (10, 3, 5, 5), "unary", 1, 0.1),
        (double, (4, 4, 3, 3), "stored", 8, 1.0), (double, (8, 9, 1, 1), "stored", 2, 0.5),
        # Output channels of the last tile not a multiple of G.
        (double, (5, 3, 3, 3), "unary", 3, 0.5), (double, (7, 6, 3, 3), "raw", 5, 0.5), (double, (1, 8, 3, 3), "unary", 7, 0.6),
        (double, (3, 2, 5, 5), "stored", 4, 0.7)]
    for engine, shape, code, size, kept in plan:
        count = shape[0] * shape[1] * shape[2] * shape[3]
        values = draw.stored(count, size, kept) if code == "stored" else draw.indices(count, size, kept)
        case = add(engine, shape, code, size, values)
        if shape not in ((6, 3, 3, 3), (4, 5, 3, 3), (8, 3, 3, 3), (16, 16, 1, 1), (5, 3, 3, 3)):
            continue
        base = {key: case[key] for key in ("engine", "shape", "code", "size")}
        words = [int(word, 16) for word in case["words"]]
        # Without its last word; without any; with one word more than the layer requests.
        for error, changed in [("exhausted", words[:-1]), ("exhausted", []),
                               ("left_over", words + [0] * (case["requests"] - len(words) + 1))]:
            expect_damage(error, read_mask_stream, changed, count, code, size, shape, engine)
            damaged.append({"error": error, **base, "words": ["%04x" % word for word in changed]})
        if code == "raw" and 2 ** raw_width(size) > size + 1:
            for place in (0, count // 2, count - 1):
                symbols = [symbol(value, code, size) for value in values]
                symbols[place] = [1] * raw_width(size)
                changed, _ = mask_stream(symbols, shape, engine)
                expect_damage("bad_symbol", read_mask_stream, changed, count, code, size, shape, engine)
                damaged.append({"error": "bad_symbol", **base, "words": ["%04x" % word for word in changed]})
    # All zero and all kept: words that are zero yet hold coded bits are stored; every lane moves in step.
    add(narrow, (6, 3, 3, 3), "unary", 3, [0] * 162)
    add(narrow, (6, 3, 3, 3), "unary", 7, [7] * 162)
    add(narrow, (6, 8, 3, 3), "raw", 1, [0] * 432)
    add(double, (2, 8, 1, 1), "unary", 1, [0] * 16)
    # Lanes that move at very different speed: index N in even lanes, 0 in odd lanes.
    for engine, shape in [(narrow, (6, 8, 1, 3)), (double, (6, 8, 1, 3)), (square, (17, 16, 1, 2))]:
        run = shape[1] * shape[3]
        add(engine, shape, "unary", 7, [0 if position % 2 else 7 for position in range(run)] * shape[0])
    # Exactly 16 and 32 bits in every lane: the last crossing falls on the last step.
    add(narrow, (4, 8, 2, 2), "raw", 1, draw.indices(128, 1, 0.5))
    add(narrow, (4, 8, 1, 1), "stored", 8, draw.stored(32, 8, 1.0))
    add(narrow, (2, 8, 1, 1), "stored", 8, draw.stored(16, 8, 1.0))
    return {
        "what": "Mask streams in engine order. engine is [K, C, G]; shape (out, in, ky, kx); values in canonical order "
                "(out, ky, kx, c); size is N for raw and unary, the width for stored; bits counts coded bits; requests counts "
                "all words requested, stored or not; words are the stored 16-bit words as hex numbers. A step never "
                "crosses a chunk, also where G does not divide the columns of the last tile. damaged: decoding must be an "
                "error: exhausted (bits from beyond the stored words), left_over (more words than requests), bad_symbol.",
        "specification": "2. Coat index and its codes, Mask stream (engine order)", "cases": cases, "damaged": damaged}


# Section 3: arithmetic.


def half(shift):
    return 2 ** (shift - 1) if shift >= 1 else 0


def clamp(value, low, high):
    return low if value < low else high if value > high else value


def fits_48(value):
    return -2 ** 47 <= value < 2 ** 47


def requantise(acc, m, r, m_res, b, s, low, wide):
    total = acc * m + r * m_res + b + half(s)
    assert fits_48(total) and fits_48(acc * m) and fits_48(b) and -2 ** 17 <= m < 2 ** 17 and -2 ** 17 <= m_res < 2 ** 17
    shifted = total // 2 ** s          # floor: the arithmetic shift
    return clamp(shifted, -2 ** 31, 2 ** 31 - 1) if wide else clamp(shifted, low, 127)


def convolve(a, in_shape, w, w_shape, stride, padding, pad_value):
    """acc as a flat list over (oy, ox, k), and its (height, width)."""
    height, width, channels = in_shape
    outputs, _, kernel_height, kernel_width = w_shape
    out_height = (height + 2 * padding - kernel_height) // stride + 1
    out_width = (width + 2 * padding - kernel_width) // stride + 1
    result = []
    for oy in range(out_height):
        for ox in range(out_width):
            for k in range(outputs):
                total = 0
                for ky in range(kernel_height):
                    for kx in range(kernel_width):
                        for c in range(channels):
                            y = oy * stride + ky - padding
                            x = ox * stride + kx - padding
                            inside = 0 <= y < height and 0 <= x < width
                            value = a[(y * width + x) * channels + c] if inside else pad_value
                            total += value * w[((k * kernel_height + ky) * kernel_width + kx) * channels + c]
                result.append(total)
    return result, out_height, out_width


def max_pool(y, height, width, channels, kernel, stride, padding):
    out_height = (height + 2 * padding - kernel) // stride + 1
    out_width = (width + 2 * padding - kernel) // stride + 1
    result = []
    for py in range(out_height):
        for px in range(out_width):
            for k in range(channels):
                inside = []
                for dy in range(kernel):
                    for dx in range(kernel):
                        row, column = py * stride + dy - padding, px * stride + dx - padding
                        if 0 <= row < height and 0 <= column < width:
                            inside.append(y[(row * width + column) * channels + k])
                result.append(max(inside))
    return result, out_height, out_width


def average(values, pm, ps):
    total = sum(values) * pm + half(ps)
    assert fits_48(total) and -2 ** 17 <= pm < 2 ** 17 and 1 <= ps <= 47
    return clamp(total // 2 ** ps, -128, 127)


def arithmetic_vectors():
    draw = Draw(4)
    names = ["acc", "m", "r", "m_res", "b", "s", "low", "wide", "y"]
    rows = []

    def add(acc, m, r, m_res, b, s, low=-128, wide=False):
        rows.append([acc, m, r, m_res, b, s, low, int(wide), requantise(acc, m, r, m_res, b, s, low, wide)])

    for value in range(-6, 7):                       # ties and their neighbours, both signs
        add(value, 1, 0, 0, 0, 1)
        add(value, 1, 0, 0, 0, 2)
        add(value, 1, 0, 0, 0, 0)
        add(0, 0, value, 1, 0, 1, 0)
        add(value, -3, 0, 0, 1, 2)
    for s in (1, 4, 8, 16, 20, 30, 40, 46):          # exactly at, one below and one above a tie
        for whole in (-129, -128, -3, -1, 0, 1, 126, 127):
            if not fits_48((2 * whole + 2) * 2 ** s):
                continue
            for off in (-1, 0, 1):
                add(0, 0, 0, 0, whole * 2 ** s + half(s) + off, s)
    for s in (0, 3, 17):                             # saturation both sides, with each low
        for low in (-128, 0):
            for value in (-2 ** 20, -129, -128, -127, -1, 0, 1, 127, 128, 2 ** 20):
                add(value, 2 ** min(s, 16), 0, 0, value if s > 16 else 0, s, low)
    for b in (-2 ** 47, -2 ** 47 + 1, -2 ** 46 - 1, -2 ** 46, -1, 0, 1, 2 ** 46 - 1):    # shift 47
        add(0, 0, 0, 0, b, 47)
        add(0, 0, 0, 0, b, 47, wide=True)
    for b in (-2 ** 47, -2 ** 31 - 1, -2 ** 31, -2 ** 31 + 1, 2 ** 31 - 2, 2 ** 31 - 1, 2 ** 31, 2 ** 47 - 1):
        add(0, 0, 0, 0, b, 0, wide=True)
        add(0, 0, 0, 0, b, 0)
    for m in (-2 ** 17, -2 ** 17 + 1, 2 ** 17 - 1):  # extreme multipliers
        for acc in (-2 ** 26, -1, 1, 2 ** 26):
            add(acc, m, -128, m, 0, 24)
            add(acc, m, 127, -2 ** 17, 12345, 10, wide=True)
    for _ in range(150):
        s = draw.integer(0, 36)
        acc, m = draw.integer(-2 ** 18, 2 ** 18), draw.integer(-2 ** 17, 2 ** 17 - 1)
        r, m_res = draw.integer(-128, 127), draw.integer(-2 ** 17, 2 ** 17 - 1)
        target = draw.integer(-200, 200) * 2 ** s + draw.integer(0, 2 ** s)
        b = target - acc * m - r * m_res
        if fits_48(b):
            add(acc, m, r, m_res, b, s, draw.integer(-1, 0) * 128, draw.random() < 0.2)

    averages = []
    for values, pm, ps in [
            ([1, 2], 1, 1), ([-1, -2], 1, 1), ([3, 4], 1, 1), ([-3, -4], 1, 1), ([5], 1, 1), ([-5], 1, 1), ([127] * 4, 1, 1),
            ([-128] * 4, 1, 1), ([127] * 49, 2 ** 17 - 1, 22), ([-128] * 64, 2 ** 16, 22), ([-128] * 9, -2 ** 17, 20),
            ([127] * 16, 2 ** 17 - 1, 47), ([-128] * 16, 2 ** 17 - 1, 47), ([0] * 4, 5, 3),
            ([draw.integer(-128, 127) for _ in range(49)], 85599, 22), ([draw.integer(-128, -90) for _ in range(64)], 65536, 22),
            ([draw.integer(0, 127) for _ in range(9)], 116508, 20), ([draw.integer(-20, 20) for _ in range(4)], 1, 2)]:
        averages.append({"values": values, "pm": pm, "ps": ps, "y": average(values, pm, ps)})

    layers = []

    def add_layer(note, in_shape, outputs, kernel, stride=1, padding=0, weight=1, offset_input=False, offset_output=False,
                  relu=False, residual=None, wide=False, pool=None, shift=12, spread=100, kernel_width=None):
        height, width, channels = in_shape
        kernel_width = kernel_width or kernel
        w_shape = (outputs, channels, kernel, kernel_width)
        fan_in = channels * kernel * kernel_width
        # True values first (what the tensors mean), stored values from them.
        true_input = [draw.integer(0, 255) if offset_input else draw.integer(-128, 127) for _ in range(height * width * channels)]
        a = [value - 128 if offset_input else value for value in true_input]
        w = [draw.integer(-weight, weight) for _ in range(outputs * fan_in)]
        pad_value = -128 if offset_input else 0
        acc, map_height, map_width = convolve(a, in_shape, w, w_shape, stride, padding, pad_value)
        true_acc, _, _ = convolve(true_input, in_shape, w, w_shape, stride, padding, 0)
        largest = max(1, max(abs(value) for value in true_acc))
        limit = max(1, min(2 ** 17 - 1, spread * 2 ** shift // largest))
        m = [draw.integer(-limit, limit) for _ in range(outputs)]
        true_b = [draw.integer(-spread * 2 ** shift // 3, spread * 2 ** shift) for _ in range(outputs)]
        offset_residual = residual == "offset"
        if residual is None:
            true_r, m_res = [0] * len(acc), 0
        else:
            true_r = [draw.integer(0, 255) if offset_residual else draw.integer(-128, 127) for _ in acc]
            m_res = draw.integer(-2 ** shift, 2 ** shift) if shift < 17 else draw.integer(-2 ** 16, 2 ** 16)
        r = [value - 128 if offset_residual else value for value in true_r]
        low = 0 if relu and not offset_output else -128
        b = []
        for k in range(outputs):
            value = true_b[k]
            if offset_input:
                value += 128 * sum(w[k * fan_in:(k + 1) * fan_in]) * m[k]
            if offset_residual:
                value += 128 * m_res
            if offset_output:
                value -= 128 * 2 ** shift
            b.append(value)
        y = []
        for i, value in enumerate(acc):
            k = i % outputs
            y.append(requantise(value, m[k], r[i], m_res, b[k], shift, low, wide))
            # The same without offsets: the true output is in 0..255 where the output is offset.
            true_sum = (true_acc[i] * m[k] + true_r[i] * m_res + true_b[k] + half(shift)) // 2 ** shift
            if wide:
                expected = clamp(true_sum, -2 ** 31, 2 ** 31 - 1)
            elif offset_output:
                expected = clamp(true_sum, 0, 255) - 128
            else:
                expected = clamp(true_sum, low, 127)
            assert y[-1] == expected
        case = {"note": note, "input_shape": list(in_shape), "input": a, "weight_shape": list(w_shape), "weights": w,
                "stride": stride, "padding": padding, "pad_value": pad_value, "m": m, "b": b, "s": shift, "m_res": m_res,
                "residual": r if residual else None, "low": low, "wide": wide, "pool": pool,
                "map_shape": [map_height, map_width, outputs], "map": y}
        if pool is None:
            output, out_height, out_width = y, map_height, map_width
        elif pool["kind"] == "max":
            output, out_height, out_width = max_pool(
                y, map_height, map_width, outputs, pool["kernel"], pool["stride"], pool["padding"])
        else:
            output, out_height, out_width = [], 1, 1
            for k in range(outputs):
                output.append(average(y[k::outputs], pool["pm"], pool["ps"]))
        case["output_shape"] = [out_height, out_width, outputs]
        case["output"] = output
        layers.append(case)

    pool_max = {"kind": "max", "kernel": 3, "stride": 2, "padding": 1}
    add_layer("3x3, signed input, ReLU", (5, 6, 3), 4, 3, padding=1, weight=3, relu=True)
    add_layer("3x3, no ReLU, no padding", (4, 5, 2), 3, 3, weight=7, spread=250)
    add_layer("offset input and output, stride 2", (7, 6, 3), 3, 3, stride=2, padding=1, offset_input=True, offset_output=True,
              relu=True, spread=350)
    add_layer("offset input, signed output without ReLU", (4, 4, 4), 3, 3, padding=1, offset_input=True)
    add_layer("offset output, signed input", (4, 3, 4), 3, 3, padding=1, offset_output=True, relu=True)
    add_layer("offset everywhere, offset residual", (4, 4, 5), 5, 3, padding=1, weight=1, offset_input=True,
              offset_output=True, residual="offset", relu=True, shift=14)
    add_layer("signed residual", (5, 3, 3), 4, 3, padding=1, weight=2, residual="signed", relu=True)
    add_layer("1x1, stride 2", (5, 5, 4), 3, 1, stride=2, weight=7)
    add_layer("1x1, stride 3, residual", (7, 4, 3), 3, 1, stride=3, weight=7, residual="signed")
    add_layer("5x5, padding 2, maximum pool 3/2/1", (6, 7, 2), 3, 5, padding=2, relu=True, pool=pool_max)
    add_layer("3x3, all negative values through the maximum pool", (5, 5, 2), 2, 3, padding=1, pool=pool_max, spread=60,
              offset_output=True)
    add_layer("maximum pool 2/2/0 on an odd map", (5, 7, 2), 3, 1, weight=7, pool={"kind": "max", "kernel": 2, "stride": 2,
                                                                                  "padding": 0})
    add_layer("maximum pool 3/3/2", (5, 4, 2), 2, 1, weight=7, pool={"kind": "max", "kernel": 3, "stride": 3, "padding": 2})
    add_layer("maximum pool with residual, offset", (4, 4, 3), 3, 3, padding=1, offset_input=True, offset_output=True,
              residual="offset", relu=True, pool=pool_max)
    add_layer("average pool", (7, 7, 3), 4, 1, weight=3, relu=True, pool={"kind": "average", "pm": 85599, "ps": 22})
    add_layer("average pool, offset, residual", (4, 4, 3), 3, 3, padding=1, offset_input=True, offset_output=True,
              residual="offset", relu=True, pool={"kind": "average", "pm": 65536, "ps": 20})
    add_layer("average pool that saturates", (3, 3, 2), 4, 1, weight=3, spread=120, pool={"kind": "average", "pm": 8191, "ps": 13})
    add_layer("wide classifier on a 1x1 map", (1, 1, 20), 10, 1, weight=7, wide=True, shift=3, spread=5000)
    add_layer("wide, offset input, shift 0, m in full range", (1, 1, 12), 5, 1, weight=127, wide=True, offset_input=True,
              shift=0, spread=2 ** 33)
    add_layer("wide on a larger map", (2, 3, 4), 3, 1, weight=1, wide=True, shift=0, spread=90000)
    add_layer("kernel as large as the map, shift 0", (3, 3, 2), 4, 3, weight=1, shift=0, spread=300)
    add_layer("one pixel, kernel 5, padding 4", (1, 1, 3), 2, 5, padding=4, weight=3, offset_input=True, offset_output=True)
    add_layer("even kernel 2, stride 3, padding 1", (6, 5, 3), 3, 2, stride=3, padding=1, weight=2)
    add_layer("stride larger than the kernel", (6, 6, 2), 3, 1, stride=4, weight=7, offset_input=True)
    add_layer("run of 66 bytes, large shift", (3, 4, 22), 3, 3, padding=1, weight=1, shift=24, offset_input=True,
              offset_output=True, relu=True)
    return {
        "what": "requantise: rows of the named columns, y from the others (wide is 0 or 1). averages: the average pool "
                "of one channel. layers: whole layers of stored values: input, residual, map (before the pool) and output "
                "are flat in order (y, x, channel), shapes likewise; weights flat in canonical order (out, ky, kx, c), "
                "weight_shape (out, in, ky, kx); m and b per output channel; residual null: none.",
        "specification": "3. Arithmetic", "columns": names, "requantise": rows, "averages": averages, "layers": layers}


# Section 5: descriptors (layout transcribed from arch/descriptor.py) and parameter records.

UNSIGNED_FIELDS = """
opcode 0 0 8, wait_layers 0 8 12, wait_loads 0 20 12,
magic 1 0 32, version 2 0 32, configuration 3 0 32, seed_low 4 0 32, seed_high 5 0 32,
memory_address 1 0 32, activation_address 2 0 24, beats 3 0 24,
input_address 1 0 24, input_height 2 0 16, row_bytes 2 16 16, step_bytes 3 0 16, pad_bytes 3 16 16,
run_bytes 4 0 16, kernel_rows 4 16 4, stride 4 20 4, pad_rows 4 24 4, row_step_bytes 5 0 24, run_chunks 6 0 16, run_blocks 6 16 16,
map_height 7 0 16, map_width 7 16 16, pixels 8 0 24, pixel_tiles 9 0 16, tile_pixels 9 16 16, out_channels 10 0 16,
column_tiles 10 16 16, stream 11 0 32, mask_address 12 0 32, mask_words 13 0 32, code 14 0 4, symbol_bits 14 4 4, coats 14 8 4,
table_low 15 0 32, table_high 16 0 32, parameter_address 17 0 32, residual 18 0 1, wide 18 1 1, pool 18 2 2, shift 18 4 6,
residual_address 20 0 24, output_address 21 0 24, pool_kernel 22 0 4, pool_stride 22 4 4, pool_padding 22 8 4, pool_shift 22 12 6,
pool_height 23 0 16, pool_width 23 16 16, pool_row_bytes 25 0 24
"""
SIGNED_FIELDS = "pad_value 1 24 8, clamp_low 18 16 8, residual_multiplier 19 0 18, pool_multiplier 24 0 18"

LAYOUT = {}
for text, signed in ((UNSIGNED_FIELDS, False), (SIGNED_FIELDS, True)):
    for entry in text.split(","):
        name, word, lsb, bits = entry.split()
        LAYOUT[name] = (int(word), int(lsb), int(bits), signed)


def field_range(name):
    _, _, bits, signed = LAYOUT[name]
    return (-2 ** (bits - 1), 2 ** (bits - 1) - 1) if signed else (0, 2 ** bits - 1)


def descriptor_hex(values):
    """A descriptor as one 1024-bit number: word w begins at bit 32 w."""
    number = 0
    for name, value in values.items():
        word, lsb, bits, _ = LAYOUT[name]
        low, high = field_range(name)
        assert low <= value <= high
        position = 32 * word + lsb
        assert number >> position & (2 ** bits - 1) == 0, "fields of one descriptor do not overlap"
        number += value % 2 ** bits << position
    return number.to_bytes(128, "little").hex()


GENERAL = ["opcode", "wait_layers", "wait_loads"]
BEGIN = ["magic", "version", "configuration", "seed_low", "seed_high"]
MOVE = ["memory_address", "activation_address", "beats"]


def descriptors_vectors():
    draw = Draw(5)
    layer = [name for name in LAYOUT if name not in GENERAL + BEGIN + MOVE]
    cases = []

    def add(note, values):
        cases.append({"note": note, "fields": values, "hex": descriptor_hex(values)})

    add("BEGIN", {"opcode": 1, "magic": 0x544F4354, "version": 1, "configuration": 0x89ABCDEF, "seed_low": 42, "seed_high": 0})
    add("LOAD", {"opcode": 2, "wait_layers": 3, "wait_loads": 1, "memory_address": 0x10040, "activation_address": 0x1000,
                 "beats": 196})
    add("LAYER, 3x3 over 16 channels, offset, residual, maximum pool", {
        "opcode": 3, "wait_layers": 2, "wait_loads": 1, "input_address": 0x4000, "pad_value": -128, "input_height": 32,
        "row_bytes": 512, "step_bytes": 16, "pad_bytes": 16, "run_bytes": 48, "kernel_rows": 3, "stride": 1, "pad_rows": 1,
        "row_step_bytes": 512, "run_chunks": 6, "run_blocks": 1, "map_height": 32, "map_width": 32, "pixels": 1024,
        "pixel_tiles": 16, "tile_pixels": 64, "out_channels": 16, "column_tiles": 4, "stream": 2, "mask_address": 0x2000,
        "mask_words": 288, "code": 1, "symbol_bits": 3, "coats": 3, "table_low": 0x03020100, "table_high": 0,
        "parameter_address": 0x3000, "residual": 1, "wide": 0, "pool": 1, "shift": 20, "clamp_low": -128,
        "residual_multiplier": -12345, "residual_address": 0x8000, "output_address": 0xC000, "pool_kernel": 3, "pool_stride": 2,
        "pool_padding": 1, "pool_shift": 0, "pool_height": 16, "pool_width": 16, "pool_multiplier": 0, "pool_row_bytes": 256})
    add("STORE", {"opcode": 4, "wait_layers": 21, "memory_address": 0xFFFFFFC0, "activation_address": 0xFFFFC0, "beats": 1})
    add("END", {"opcode": 5, "wait_layers": 21, "wait_loads": 2})
    add("no fields", {})
    for group, names in (("BEGIN", BEGIN), ("LOAD and STORE", MOVE), ("LAYER", layer)):
        add(group + ": every field at its largest", {name: field_range(name)[1] for name in GENERAL + names})
        add(group + ": every field at its smallest", {name: field_range(name)[0] for name in GENERAL + names})
        for _ in range(4):
            add(group + ": random", {name: draw.integer(*field_range(name)) for name in GENERAL + names})
    add("LAYER: signed fields -1", {name: -1 for name in layer if LAYOUT[name][3]})
    refused = []
    for name in LAYOUT:
        low, high = field_range(name)
        add(name, {name: high})
        if LAYOUT[name][3]:
            for value in (low, -1):
                add(name, {name: value})
        for value in (low - 1, high + 1):
            refused.append({name: value})
    refused.append({"opcode": 3, "pad_value": 200})
    refused.append({"opcode": 3, "shift": -3, "map_width": 3})
    refused.append({"seed_low": 2 ** 32 + 1})

    records = []
    pairs = [(0, 0), (1, 0), (0, 1), (-1, 0), (0, -1), (-1, -1), (2 ** 17 - 1, 2 ** 47 - 1), (-2 ** 17, -2 ** 47),
             (-2 ** 17, 2 ** 47 - 1), (12345, -67890123456)]
    pairs += [(draw.integer(-2 ** 17, 2 ** 17 - 1), draw.integer(-2 ** 47, 2 ** 47 - 1)) for _ in range(12)]
    for m, b in pairs:
        number = m % 2 ** 18 + (b % 2 ** 48 << 18)
        records.append({"m": m, "b": b, "hex": number.to_bytes(9, "little").hex()})
    return {
        "what": "descriptors: field values (others zero) and the descriptor's 128 bytes. refused: field values of which at "
                "least one is out of its field's range. parameter_records: m and b of one output channel and the 9 bytes.",
        "specification": "5. Program and memory image; arch/descriptor.py", "descriptors": cases, "refused": refused,
        "parameter_records": records}


# Section 4: packed model.


def digest(json_text, tensors):
    total = json_text.encode("ascii")
    for tensor in sorted(tensors, key=lambda tensor: tensor["name"].encode("ascii")):
        total += tensor["name"].encode("ascii") + b"\0"
        total += tensor["type"].encode("ascii") + b"\0"
        total += "x".join(str(length) for length in tensor["shape"]).encode("ascii") + b"\0"
        total += bytes.fromhex(tensor["hex"])
    return hashlib.sha256(total).hexdigest()


def packed_vectors():
    draw = Draw(6)

    def little(values, size):
        return b"".join((value % 256 ** size).to_bytes(size, "little") for value in values).hex()

    def uint8(name, values, shape=None):
        return {"name": name, "type": "U8", "shape": shape or [len(values)], "hex": little(values, 1)}

    def int32(name, values):
        return {"name": name, "type": "I32", "shape": [len(values)], "hex": little(values, 4)}

    def int64(name, values):
        return {"name": name, "type": "I64", "shape": [len(values)], "hex": little(values, 8)}

    canonical = []
    for value, text in [
            ({"b": 1, "a": [1, 2, 3]}, '{"a":[1,2,3],"b":1}'),
            ({"version": 1, "format": "topcoat", "layers": [{"table": [0, 1], "code": "raw"}]},
             '{"format":"topcoat","layers":[{"code":"raw","table":[0,1]}],"version":1}'),
            ({"x": None, "y": True, "z": False, "Z": -1}, '{"Z":-1,"x":null,"y":true,"z":false}'),
            ({"data set": "caf\u00e9 \"1\""}, '{"data set":"caf\\u00e9 \\"1\\""}'),
            ({"seed": 2 ** 64 - 1}, '{"seed":18446744073709551615}'),
            ({}, "{}")]:
        assert json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True) == text
        canonical.append({"value": value, "json": text})

    digests = []

    def add(note, json_text, tensors):
        digests.append({"note": note, "json": json_text, "tensors": tensors, "sha256": digest(json_text, tensors)})

    add("nothing", "", [])
    add("JSON only", "{}", [])
    add("one tensor", "{}", [uint8("masks.0", [1, 2, 3])])
    add("an empty tensor", "{}", [uint8("masks.0", [])])
    add("two axes", "{}", [uint8("masks.0", list(range(6)), [2, 3])])
    add("the same bytes in another shape", "{}", [uint8("masks.0", list(range(6)), [3, 2])])
    small = [uint8("masks.0", [draw.integer(0, 255) for _ in range(40)]),
             int32("multipliers.0", [-131072, 131071, 0, -1, 77]), int64("biases.0", [-2 ** 47, 2 ** 47 - 1, 0, -1, 123456789])]
    text = '{"format":"topcoat","layers":[],"rounds":13,"seed":42,"version":1}'
    add("three tensors, not given in the order of their names", text, small)
    add("the same given in the order of their names", text, sorted(small, key=lambda tensor: tensor["name"]))
    changed = [dict(tensor) for tensor in small]
    changed[0]["hex"] = "%02x" % (int(changed[0]["hex"][:2], 16) ^ 1) + changed[0]["hex"][2:]
    add("one bit of a tensor changed", text, changed)
    add("one digit of the JSON changed", text.replace("42", "43"), small)
    add("banks beyond 9: masks.10 comes before masks.2", text,
        [uint8("masks.2", [2]), uint8("masks.10", [10]), uint8("masks.0", [0]), int32("Upper", [1])])
    assert digests[6]["sha256"] == digests[7]["sha256"] != digests[8]["sha256"]
    assert digests[2]["sha256"] == hashlib.sha256(b"{}masks.0\0U8\0003\0\1\2\3").hexdigest()

    masks = []
    for layers in ([("raw", 3, 11), ("unary", 2, 17), ("stored", 4, 5)], [("unary", 1, 3), ("unary", 7, 9)], [("raw", 1, 16)],
                   [("stored", 2, 9), ("raw", 5, 8), ("stored", 8, 3), ("unary", 3, 1)]):
        entries, content = [], b""
        for code, size, count in layers:
            values = draw.stored(count, size, 0.7) if code == "stored" else draw.indices(count, size, 0.6)
            bits = encode(values, code, size)
            data = to_bytes(bits)
            content += data
            entry = {"code": code, "size": size, "values": values, "coded_bits": len(bits),
                     "mask_sha256": hashlib.sha256(data).hexdigest()}
            if code == "stored":
                assert len(bits) == size * count
            else:
                entry["kept"] = [sum(1 for value in values if value >= level) for level in range(1, size + 1)]
            entries.append(entry)
        masks.append({"layers": entries, "hex": content.hex()})
    return {
        "what": "canonical: values and their canonical JSON. digests: the JSON text and tensors (name, safetensors type, shape, "
                "raw bytes in hex) and their SHA-256. masks: layers (code, size as in codes.json, values in canonical "
                "order) and the content of masks.0 in hex, with coded_bits, kept, and mask_sha256, here read as the SHA-256 "
                "of the layer's bytes in masks.0.",
        "specification": "4. Packed model: .coat", "canonical": canonical, "digests": digests, "masks": masks}


# Files.


def to_text(vectors):
    """JSON with one case a line."""
    parts = []
    for key, value in vectors.items():
        if isinstance(value, list) and value and isinstance(value[0], (dict, list)):
            lines = ",\n".join(json.dumps(case, separators=(",", ":")) for case in value)
            parts.append(f"{json.dumps(key)}: [\n{lines}\n]")
        else:
            parts.append(f"{json.dumps(key)}: {json.dumps(value)}")
    text = "{\n" + ",\n".join(parts) + "\n}\n"
    assert json.loads(text) == vectors
    return text


FILES = {
    "stream.json": stream_vectors, "codes.json": codes_vectors, "mask_stream.json": mask_stream_vectors,
    "arithmetic.json": arithmetic_vectors, "descriptors.json": descriptors_vectors, "packed.json": packed_vectors}


def main(arguments):
    if arguments not in ([], ["--check"]):
        print("usage: generate.py [--check]", file=sys.stderr)
        return 2
    differing = 0
    for name, make in FILES.items():
        text = to_text(make())
        path = HERE / name
        if not arguments:
            path.write_bytes(text.encode("ascii"))
            print(f"{name}: {len(text)} bytes")
        elif not path.exists() or path.read_bytes() != text.encode("ascii"):
            print(f"{name}: differs from what generate.py writes", file=sys.stderr)
            differing = 1
    return differing


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
