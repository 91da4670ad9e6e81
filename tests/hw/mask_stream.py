"""Mask streams in plain Python, from the text of docs/specification.md ("Mask stream") and nothing else."""

from dataclasses import dataclass, field


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


def encode(engine, shape, code, size, values) -> MaskStream:
    """The mask stream of ``values``, which are in canonical order (out, ky, kx, c)."""
    (_, lanes, build), (_, ins, rows, width) = engine, shape
    run = width * ins
    used = [g * lanes + lane for g in range(build) for lane in range(min(lanes, run))]
    bits = {lane: [] for lane in used}
    asked = used + used
    steps = list(steps_of(engine, shape))
    for step in steps:
        before = {lane: len(stream) for lane, stream in bits.items()}
        for g in range(step.columns):
            for lane in range(step.lanes):
                index = ((step.channel + g) * rows + step.kernel_row) * run + step.chunk * lanes + lane
                step.values[g * lanes + lane] = values[index]
                bits[g * lanes + lane] += symbol(code, size, values[index])
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
