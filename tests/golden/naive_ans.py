"""Code `ans` one symbol and one bit at a time, as the text of docs/specification.md words it."""

from __future__ import annotations


def table(frequencies, offset):
    """(symbol, bits, base) of every entry."""
    entries = [None] * 1024
    number = 0
    for symbol, frequency in enumerate(frequencies):
        for _ in range(frequency):
            entries[(643 * number + 64 * offset) % 1024] = symbol
            number += 1
    seen = [0] * len(frequencies)
    for entry, symbol in enumerate(entries):
        k = frequencies[symbol] + seen[symbol]
        seen[symbol] += 1
        bits = 10 - (k.bit_length() - 1)
        entries[entry] = symbol, bits, k * 2 ** bits - 1024
    return entries


def bit_count(symbols, frequencies, offset, last_state):
    """Bits of a lane that holds ``symbols`` and whose encoder begins with ``last_state``."""
    entries, state, count = table(frequencies, offset), last_state, 10
    for wanted in reversed(symbols):
        (state, taken), = [(entry, bits) for entry, (symbol, bits, base) in enumerate(entries)
                           if symbol == wanted and base <= state < base + 2 ** bits]
        count += taken
    return count


class _Lane:
    def __init__(self):
        self.bits, self.consumed, self.state = [], 0, None

    def take(self, count):
        """The next ``count`` bits as a number, the first one the least significant."""
        value = 0
        for place in range(count):
            assert self.bits[self.consumed] is not None, "exhausted"
            value += self.bits[self.consumed] << place
            self.consumed += 1
        return value


def decode(words, steps, used, frequencies, offset):
    """The symbol of every position, and the words requested before each step and at the end.

    ``steps`` are lists of (lane, position), ``used`` the numbers of the lanes that request words.
    """
    entries = table(frequencies, offset)
    lanes = {number: _Lane() for number in used}
    requested = 0

    def request(number):
        nonlocal requested
        present = requested < len(words)
        lanes[number].bits += [int(words[requested]) >> bit & 1 if present else None for bit in range(16)]
        requested += 1

    for number in [*used, *used]:
        request(number)
    for lane in lanes.values():
        lane.state = lane.take(10)
    symbols, before_step = {}, []
    for step in steps:
        before_step.append(requested)
        consumed = {number: lane.consumed for number, lane in lanes.items()}
        for number, position in step:
            lane = lanes[number]
            symbols[position], count, base = entries[lane.state]
            lane.state = base + lane.take(count)
        for number, lane in lanes.items():
            if lane.consumed // 16 > consumed[number] // 16:
                request(number)
    assert requested >= len(words), "left over"
    return symbols, [*before_step, requested]


def decode_file(data, count, lanes, frequencies, offset):
    """The ``count`` symbols that a packed file has on ``lanes`` lanes."""
    words = [data[place] + 256 * data[place + 1] for place in range(0, len(data), 2)]
    steps = [[(position % lanes, position) for position in range(first, min(first + lanes, count))]
             for first in range(0, count, lanes)]
    symbols, _ = decode(words, steps, range(min(lanes, count)), frequencies, offset)
    return [symbols[position] for position in range(count)]
