"""Section 2: mask stream in engine order."""

from generators.ans import ans_encode, ans_reader
from generators.codes import raw_width, read_symbol, symbol
from generators.common import Draw, expect_damage
from generators.lanes import interleave, read_interleaved


def walk_steps(shape, engine):
    """Steps of a layer: each is a list of (decoder lane, canonical position) for the weights that are coded in it.

    A step never crosses a chunk: in the last column tile, a chunk's columns are cut into steps of G from column 0, and
    the last step of the chunk has fewer rows when G does not divide them.
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


def mask_stream(symbols, shape, engine):
    """(stored words, number of requests) for `symbols`: the bits of each weight's symbol, in canonical order."""
    return interleave(walk_steps(shape, engine), used_lanes(shape, engine), symbols, {})


def read_mask_stream(words, count, code, size, shape, engine):
    return read_interleaved(words, count, walk_steps(shape, engine), used_lanes(shape, engine), 0,
                            lambda lane, next_bit: read_symbol(next_bit, code, size))


def ans_mask_stream(values, frequencies, offset, shape, engine):
    """(stored words, number of requests, coded bits)."""
    steps, used = walk_steps(shape, engine), used_lanes(shape, engine)
    symbols, heads = ans_encode(values, steps, frequencies, offset)
    words, requests = interleave(steps, used, symbols, heads)
    return words, requests, sum(len(bits) for bits in symbols) + sum(len(bits) for bits in heads.values())


def read_ans_mask_stream(words, count, frequencies, offset, shape, engine):
    return read_interleaved(words, count, walk_steps(shape, engine), used_lanes(shape, engine), 10,
                            ans_reader(frequencies, offset))


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
                "bits": sum(len(bits) for bits in symbols), "requests": requests,
                "words": ["%04x" % word for word in words]}
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
        (double, (4, 8, 1, 1), "raw", 3, 0.5), (double, (8, 3, 3, 3), "unary", 3, 0.3),
        (double, (6, 5, 3, 3), "raw", 7, 0.5), (double, (6, 2, 1, 1), "unary", 7, 0.7),
        (double, (10, 3, 5, 5), "unary", 1, 0.1), (double, (4, 4, 3, 3), "stored", 8, 1.0),
        (double, (8, 9, 1, 1), "stored", 2, 0.5),
        # Output channels of the last tile not a multiple of G.
        (double, (5, 3, 3, 3), "unary", 3, 0.5), (double, (7, 6, 3, 3), "raw", 5, 0.5),
        (double, (1, 8, 3, 3), "unary", 7, 0.6), (double, (3, 2, 5, 5), "stored", 4, 0.7)]
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

    # Code ans.
    def ans_case(engine, shape, frequencies, offset, values):
        words, requests, bits = ans_mask_stream(values, frequencies, offset, shape, engine)
        assert read_ans_mask_stream(words, len(values), frequencies, offset, shape, engine) == values
        return {"engine": list(engine), "shape": list(shape), "code": "ans", "size": len(frequencies) - 1,
                "frequencies": frequencies, "offset": offset, "values": values, "bits": bits, "requests": requests,
                "words": ["%04x" % word for word in words]}

    def frequencies_of(values, size):
        """Near the counts: every index gets an entry per 1024 / len(values) of its count, at least one; 0 the rest."""
        others = [max(1, values.count(s) * 1024 // len(values)) if s in values else 0 for s in range(1, size + 1)]
        return [1024 - sum(others)] + others

    quadruple = (4, 4, 4)
    for engine, shape, size, kept, offset in [
            (narrow, (4, 8, 1, 1), 1, 0.3, 0), (narrow, (6, 3, 3, 3), 3, 0.3, 5), (narrow, (5, 2, 1, 1), 2, 0.5, 1),
            (narrow, (7, 19, 1, 1), 7, 0.5, 9), (narrow, (9, 4, 3, 3), 5, 0.6, 15), (narrow, (8, 8, 3, 3), 1, 0.08, 2),
            (square, (17, 4, 3, 3), 3, 0.2, 12), (square, (3, 20, 1, 1), 6, 0.6, 3), (square, (33, 3, 1, 1), 4, 0.9, 7),
            (double, (8, 3, 3, 3), 3, 0.3, 4), (double, (5, 3, 3, 3), 3, 0.5, 14), (double, (7, 6, 3, 3), 7, 0.4, 6),
            (double, (6, 2, 1, 1), 1, 0.5, 13), (double, (3, 2, 5, 5), 2, 0.25, 11),
            (quadruple, (6, 5, 3, 3), 3, 0.35, 8)]:
        count = shape[0] * shape[1] * shape[2] * shape[3]
        values = draw.indices(count, size, kept)
        case = ans_case(engine, shape, frequencies_of(values, size), offset, values)
        cases.append(case)
        if shape not in ((6, 3, 3, 3), (5, 3, 3, 3), (33, 3, 1, 1)):
            continue
        base = {key: case[key] for key in ("engine", "shape", "code", "size", "frequencies", "offset")}
        words = [int(word, 16) for word in case["words"]]
        for error, changed in [("exhausted", words[:-1]), ("exhausted", []),
                               ("left_over", words + [0] * (case["requests"] - len(words) + 1))]:
            expect_damage(error, read_ans_mask_stream, changed, count, case["frequencies"], offset, shape, engine)
            damaged.append({"error": error, **base, "words": ["%04x" % word for word in changed]})
    # Indices that cost no bit, or ten; lanes that move at very different speed; frequencies that do not suit the
    # values.
    cases.append(ans_case(narrow, (6, 3, 3, 3), [1024, 0], 3, [0] * 162))
    cases.append(ans_case(narrow, (6, 8, 1, 1), [1017, 1, 1, 1, 1, 1, 1, 1], 2, [1 + i % 7 for i in range(48)]))
    cases.append(ans_case(double, (6, 8, 1, 3), [1021, 1, 1, 1], 10, [0 if i % 2 else 3 for i in range(24)] * 6))
    cases.append(ans_case(narrow, (4, 6, 3, 3), [0, 1023, 1], 0, [1] * 216))
    cases.append(ans_case(double, (6, 3, 3, 3), [128] * 8, 0, draw.indices(162, 7, 0.5)))

    # One output channel and two columns a step: the lanes of column 1 are used but decode nothing. Whether their bit
    # streams hold ten bits of a state is then left open; with the state 0 and a second word in other lanes the words
    # are the same.
    idle = ans_case(double, (1, 8, 3, 3), [100, 500, 300, 124], 4, draw.indices(72, 3, 0.6))
    assert len(idle["words"]) > 24
    del idle["bits"]
    return {
        "what": "Mask streams in engine order. engine is [K, C, G]; shape (out, in, ky, kx); values in canonical order "
                "(out, ky, kx, c); size is N for raw and unary, the width for stored; bits counts coded bits; requests "
                "counts all words requested, stored or not; words are the stored 16-bit words as hex numbers. A step "
                "never crosses a chunk, also where G does not divide the columns of the last tile. damaged: decoding "
                "must be an error: exhausted (bits from beyond the stored words), left_over (more words than "
                "requests), bad_symbol. Code ans: size is N; frequencies and offset give the table; bits includes the "
                "first state of every lane; the encoder's free last state is 0 in every lane (a decoder does not "
                "care, another encoder may give other words). ans_idle_lanes: likewise, with lanes that are used but "
                "decode nothing.",
        "specification": "2. Coat index and its codes, Mask stream (engine order)", "cases": cases, "damaged": damaged,
        "ans_idle_lanes": [idle]}
