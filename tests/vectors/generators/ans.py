"""Section 2: code ans."""

import hashlib

from generators.common import Draw, expect_damage
from generators.lanes import interleave, read_interleaved


def ans_table(frequencies, offset):
    """1024 entries (symbol, bits n, base b), by entry t."""
    assert 2 <= len(frequencies) <= 8 and sum(frequencies) == 1024 and 0 <= offset <= 15
    assert all(0 <= f <= 1023 for f in frequencies[1:]) and 0 <= frequencies[0] <= 1024
    symbol_of = [None] * 1024
    number = 0
    for s, frequency in enumerate(frequencies):
        for _ in range(frequency):
            t = (643 * number + 64 * offset) % 1024
            assert symbol_of[t] is None
            symbol_of[t] = s
            number += 1
    seen = [0] * len(frequencies)
    table = []
    for s in symbol_of:
        k = frequencies[s] + seen[s]
        seen[s] += 1
        log = 0
        while 2 ** (log + 1) <= k:
            log += 1
        bits = 10 - log
        base = k * 2 ** bits - 1024
        assert 0 <= base and base + 2 ** bits <= 1024
        table.append((s, bits, base))
    return table


def ans_encode(values, steps, frequencies, offset):
    """(bits of each position's symbol, the ten bits of each lane's first state). Every lane's last state is 0."""
    table = ans_table(frequencies, offset)
    arrive = {}                 # (symbol, state after it) -> entry before it
    for t, (s, bits, base) in enumerate(table):
        for after in range(base, base + 2 ** bits):
            assert (s, after) not in arrive, "one entry only"
            arrive[s, after] = t
    symbols, state = [None] * len(values), {}
    for step in reversed(steps):
        for lane, position in step:
            after = state.get(lane, 0)
            before = arrive[values[position], after]
            _, bits, base = table[before]
            symbols[position] = [after - base >> i & 1 for i in range(bits)]
            state[lane] = before
    return symbols, {lane: [t >> i & 1 for i in range(10)] for lane, t in state.items()}


def ans_reader(frequencies, offset):
    """read(lane, next_bit) for one stream: the next value of a lane, which begins with its first state."""
    table = ans_table(frequencies, offset)
    state = {}

    def read(lane, next_bit):
        if lane not in state:
            state[lane] = sum(next_bit() << i for i in range(10))
        value, bits, base = table[state[lane]]
        state[lane] = base + sum(next_bit() << i for i in range(bits))
        return value

    return read


def packed_steps(count, lanes):
    """Steps of a packed file's ans layer, and its used lanes."""
    steps = [[(i % lanes, i) for i in range(first, min(first + lanes, count))] for first in range(0, count, lanes)]
    return steps, list(range(min(lanes, count)))


def ans_packed(values, frequencies, offset, lanes):
    """(the layer's bytes, number of requests)."""
    steps, used = packed_steps(len(values), lanes)
    symbols, heads = ans_encode(values, steps, frequencies, offset)
    words, requests = interleave(steps, used, symbols, heads)
    return b"".join(word.to_bytes(2, "little") for word in words), requests


def read_ans_packed(data, count, frequencies, offset, lanes):
    words = [data[i] + 256 * data[i + 1] for i in range(0, len(data), 2)]
    steps, used = packed_steps(count, lanes)
    return read_interleaved(words, count, steps, used, 10, ans_reader(frequencies, offset))


def ans_vectors():
    """The parts of codes.json on ans: tables, packed, damaged."""
    draw = Draw(7)
    tables = []
    for frequencies, offset, sample in [
            ([700, 250, 50, 24], 5, 1024), ([512, 512], 0, 64), ([1023, 1], 0, 64), ([1, 1023], 15, 64),
            ([1024, 0], 3, 64), ([0, 1023, 1], 7, 64), ([0, 0, 0, 1023, 0, 1], 1, 64), ([128] * 8, 0, 64),
            ([128] * 8, 9, 64), ([400, 300, 200, 124], 0, 64), ([900, 100, 24], 15, 64),
            ([641, 200, 100, 50, 20, 8, 4, 1], 11, 64), ([0, 256, 256, 512], 8, 64), ([511, 0, 513], 4, 64),
            ([1017, 1, 1, 1, 1, 1, 1, 1], 2, 64), ([3, 341, 340, 340], 14, 64), ([818, 206], 6, 64),
            ([127, 897], 12, 64)]:
        table = ans_table(frequencies, offset)
        entries = [[t, *table[t]] for t in range(1024)
                   if sample == 1024 or t in (0, 1, 2, 1022, 1023) or frequencies[table[t][0]] == 1 or t % 17 == offset]
        text = "".join("%d %d %d\n" % entry for entry in table)
        tables.append({"frequencies": frequencies, "offset": offset, "entries": entries,
                       "sha256": hashlib.sha256(text.encode()).hexdigest()})

    packed, damaged = [], []

    def add(frequencies, offset, lanes, values):
        size = len(frequencies) - 1
        data, requests = ans_packed(values, frequencies, offset, lanes)
        assert read_ans_packed(data, len(values), frequencies, offset, lanes) == values
        layer = {"size": size, "frequencies": frequencies, "offset": offset, "lanes": lanes}
        packed.append({**layer, "values": values, "requests": requests, "coded_bits": 8 * len(data), "hex": data.hex(),
                       "last_state": 0})
        return layer, data, requests

    def draw_from(frequencies, count):
        values = []
        for _ in range(count):
            number, s = draw.integer(0, 1023), 0
            while number >= frequencies[s]:
                number -= frequencies[s]
                s += 1
            values.append(s)
        return values

    for frequencies, offset, lanes, count in [
            ([700, 250, 50, 24], 5, 1, 60), ([700, 250, 50, 24], 5, 8, 200), ([512, 512], 0, 4, 100),
            ([1023, 1], 0, 2, 90), ([128] * 8, 9, 16, 130), ([641, 200, 100, 50, 20, 8, 4, 1], 11, 32, 300),
            ([0, 256, 256, 512], 8, 2, 45), ([900, 100, 24], 15, 64, 700), ([818, 206], 6, 256, 600),
            ([818, 206], 6, 256, 100), ([511, 0, 513], 4, 8, 1), ([400, 300, 200, 124], 1, 128, 129),
            ([3, 341, 340, 340], 14, 4, 4), ([127, 897], 12, 32, 31)]:
        layer, data, requests = add(frequencies, offset, lanes, draw_from(frequencies, count))
        if count not in (60, 200, 100, 129):
            continue
        for error, changed in [("exhausted", data[:-2]), ("exhausted", b""),
                               ("left_over", data + bytes(2 * (requests + 1) - len(data)))]:
            expect_damage(error, read_ans_packed, changed, count, frequencies, offset, lanes)
            damaged.append({"error": error, **layer, "count": count, "hex": changed.hex()})
    # Symbols that cost ten bits each; symbols that cost none; frequencies that do not suit the values.
    add([1017, 1, 1, 1, 1, 1, 1, 1], 2, 1, [1 + i % 7 for i in range(20)])
    add([1017, 1, 1, 1, 1, 1, 1, 1], 2, 4, [i % 8 for i in range(50)])
    add([1024, 0], 3, 8, [0] * 40)
    add([1024, 0, 0, 0], 0, 2, [0])
    add([1023, 1], 5, 16, draw.indices(120, 1, 0.5))
    add([1, 1023], 0, 4, [1] * 100)
    add([1023, 1], 0, 4, [0] * 100)
    # Lanes that move at very different speed.
    add([1000, 8, 8, 8], 13, 8, [3 if i % 8 == 5 else 0 for i in range(96)])
    return tables, packed, damaged
