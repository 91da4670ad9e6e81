"""Section 2: codes. A bit stream is a list of 0 and 1 here."""

from generators.ans import ans_vectors
from generators.common import Damaged, Draw, expect_damage, to_bytes


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
            ("raw", 1, [1] * 9), ("raw", 2, [2, 0, 1, 2, 1]), ("raw", 5, [5, 4, 3]), ("raw", 7, [0] * 6),
            ("unary", 1, [0] * 9), ("unary", 2, [2] * 5), ("unary", 3, [0, 0, 0, 0, 0, 0, 3]), ("unary", 7, [7, 7]),
            ("unary", 7, [7, 6, 5, 4]),
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
    tables, ans_streams, ans_damaged = ans_vectors()
    return {
        "what": "Codes of a packed file: symbols one after another, padded to a byte. size is N (largest index) for "
                "raw and unary, the width in bits for stored; values are coat indices, or signed weights for stored; "
                "bits is the count before padding. damaged: decoding count symbols must be an error: the stream ends "
                "early (exhausted) or a raw index is above N (bad_symbol). ans_tables: entries are [t, symbol, bits, "
                "base], all 1024 or some; sha256 is over all, as lines 'symbol bits base' in decimal, each ended by a "
                "newline, by ascending t. ans_packed: a layer of code ans; size is N, values are coat indices, "
                "requests counts all words requested, stored or not, hex holds the stored words. The encoder's free "
                "choice, the last state of every lane, is last_state, 0 everywhere: a decoder does not care, another "
                "encoder may give other bytes. ans_damaged: as damaged, also left_over (more words than requests).",
        "specification": "2. Coat index and its codes", "cases": cases, "damaged": damaged, "ans_tables": tables,
        "ans_packed": ans_streams, "ans_damaged": ans_damaged}
