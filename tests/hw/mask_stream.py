"""Mask streams in plain Python, from the text of docs/specification.md ("ans", "Mask stream") and nothing else."""

from dataclasses import dataclass, field
from functools import cached_property


@dataclass
class Step:
    """One step: where it is, and for every decoder lane that takes part its symbol's value."""

    tile: int
    kernel_row: int
    chunk: int
    #: First output channel, and how many follow.
    channel: int
    columns: int
    lanes: int
    values: dict[int, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Table:
    """What an `ans` layer's table follows from: f[0..N] and the offset."""

    frequencies: tuple[int, ...]
    offset: int = 0

    @cached_property
    def entries(self) -> list[tuple[int, int, int]]:
        """(symbol, bits, base) of every state."""
        owners = [None] * 1024
        numbers = iter(range(1024))
        for symbol, frequency in enumerate(self.frequencies):
            for _ in range(frequency):
                owners[(643 * next(numbers) + 64 * self.offset) % 1024] = symbol
        entries, seen = [], [0] * len(self.frequencies)
        for symbol in owners:
            k = self.frequencies[symbol] + seen[symbol]
            seen[symbol] += 1
            bits = 10 - (k.bit_length() - 1)
            entries.append((symbol, bits, k * 2 ** bits - 1024))
        return entries

    @cached_property
    def origins(self) -> dict[tuple[int, int], tuple[int, int, int]]:
        """(bits, base, entry) from which a symbol leads to a state, by (symbol, state)."""
        return {(symbol, state): (bits, base, entry) for entry, (symbol, bits, base) in enumerate(self.entries)
                for state in range(base, base + 2 ** bits)}


@dataclass
class MaskStream:
    """The stored words of a layer, how many words were requested in all, and its steps."""

    words: list[int]
    requests: int
    steps: list[Step]


def symbol(code: str, size: int, value: int) -> list[int]:
    """Bits of one symbol, in stream order. ``size`` is N for raw and unary, the width for stored."""
    if code == "unary":
        return [1] * value + [0] * (value < size)
    width = size if code == "stored" else size.bit_length()  # ceil(log2(N + 1))
    return [value >> bit & 1 for bit in range(width)]


def ans_symbols(table: Table, values: list[int], last_state: int) -> list[list[int]]:
    """Bits of the first state, and then of every symbol, of one lane."""
    state, parts = last_state, []
    for value in reversed(values):
        bits, base, entry = table.origins[value, state]
        parts.append([state - base >> bit & 1 for bit in range(bits)])
        state = entry
    parts.append([state >> bit & 1 for bit in range(10)])
    return parts[::-1]


def decode_ans(engine, shape, table: Table, words: list[int]) -> list[int]:
    """The values of a mask stream of code `ans`, in canonical order."""
    (_, lanes, build), (outs, ins, rows, width) = engine, shape
    run = width * ins
    used = [g * lanes + lane for g in range(build) for lane in range(min(lanes, run))]
    incoming = iter(words)

    def request(lane):
        word = next(incoming, 0)
        streams[lane] += [word >> bit & 1 for bit in range(16)]

    streams = {lane: [] for lane in used}
    for lane in used + used:
        request(lane)
    states = {lane: sum(bit << index for index, bit in enumerate(stream[:10])) for lane, stream in streams.items()}
    consumed = dict.fromkeys(used, 10)
    values = [None] * (outs * rows * run)
    for step in steps_of(engine, shape):
        crossing = []
        for g in range(step.columns):
            for lane in range(g * lanes, g * lanes + step.lanes):
                symbol, bits, base = table.entries[states[lane]]
                place = ((step.channel + g) * rows + step.kernel_row) * run + step.chunk * lanes + lane % lanes
                values[place] = symbol
                before, after = consumed[lane], consumed[lane] + bits
                states[lane] = base + sum(bit << index for index, bit in enumerate(streams[lane][before:after]))
                consumed[lane] = after
                if after // 16 > before // 16:
                    crossing.append(lane)
        for lane in crossing:
            request(lane)
    return values


def steps_of(engine, shape):
    """The steps of a layer of ``shape`` (out, in, ky, kx) on an ``engine`` (K, C, G), without values."""
    (columns, lanes, build), (outs, ins, rows, width) = engine, shape
    run = width * ins
    for tile in range(-(-outs // columns)):
        end = min((tile + 1) * columns, outs)
        for row in range(rows):
            for chunk in range(-(-run // lanes)):
                for channel in range(tile * columns, end, build):
                    yield Step(tile, row, chunk, channel, min(build, end - channel), min(lanes, run - chunk * lanes))


def encode(engine, shape, code, size, values, table: Table | None = None, last_state=lambda: 0) -> MaskStream:
    """The mask stream of ``values``, which are in canonical order (out, ky, kx, c). For code `ans` with its table, and
    what gives each lane's last state."""
    (_, lanes, build), (_, ins, rows, width) = engine, shape
    run = width * ins
    used = [g * lanes + lane for g in range(build) for lane in range(min(lanes, run))]
    steps = list(steps_of(engine, shape))
    for step in steps:
        for g in range(step.columns):
            for lane in range(step.lanes):
                index = ((step.channel + g) * rows + step.kernel_row) * run + step.chunk * lanes + lane
                step.values[g * lanes + lane] = values[index]

    # Each lane's first bits, and then its symbols'.
    symbols = {}
    for lane in used:
        own = [step.values[lane] for step in steps if lane in step.values]
        symbols[lane] = iter(ans_symbols(table, own, last_state()) if code == "ans"
                             else [[], *(symbol(code, size, value) for value in own)])
    bits = {lane: next(parts) for lane, parts in symbols.items()}

    asked = used + used
    for step in steps:
        before = {lane: len(stream) for lane, stream in bits.items()}
        for lane in step.values:
            bits[lane] += next(symbols[lane])
        asked = asked + [lane for lane in used if len(bits[lane]) // 16 > before[lane] // 16]

    words, stored = [], 0
    place = dict.fromkeys(used, 0)
    for lane in asked:
        part = bits[lane][place[lane]:place[lane] + 16]
        place[lane] += 16
        words.append(sum(bit << position for position, bit in enumerate(part)))
        if part:
            stored = len(words)
    return MaskStream(words[:stored], len(words), steps)


def pack(words: list[int], beat_bits: int) -> list[int]:
    """Words as beats of the memory interface; the last one is padded."""
    per_beat = beat_bits // 16
    return [sum(word << 16 * index for index, word in enumerate(words[first:first + per_beat]))
            for first in range(0, len(words), per_beat)]
