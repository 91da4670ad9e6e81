"""Section 1: random stream."""

from generators.common import LOW_32, Draw

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
                "signs: sign(seed, stream, index). layers: all signs of a layer of shape (out, in, ky, kx), '+' or "
                "'-', in canonical order (out, ky, kx, c). weights: sign * table[index], in canonical order.",
        "specification": "1. Random stream; 2. Coat index and its codes (weights)",
        "known_answers": known, "blocks": blocks, "signs": at_index, "layers": layers, "weights": weights}
