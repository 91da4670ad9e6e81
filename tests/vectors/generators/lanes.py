"""Section 2: words of several lanes in the order of their requests."""

from generators.common import Damaged, to_word


def interleave(steps, used, symbols, heads):
    """(stored words, number of requests) of the lanes `used`.

    A step is a list of (lane, position); symbols[position] are the bits of the weight's symbol, heads[lane] those
    before the lane's first symbol.
    """
    lane_bits = {lane: list(heads.get(lane, [])) for lane in used}
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
    consumed = {lane: len(heads.get(lane, [])) for lane in used}
    for step in steps:
        before = dict(consumed)
        for lane, position in step:
            consumed[lane] += len(symbols[position])
        for lane in used:
            if consumed[lane] // 16 > before[lane] // 16:
                request(lane)
    for lane in used:
        assert consumed[lane] == len(lane_bits[lane]) <= 16 * next_word[lane]
    stored = len(requested)
    while stored and not requested[stored - 1][1]:
        stored -= 1
    return [word for word, _ in requested[:stored]], len(requested)


def read_interleaved(words, count, steps, used, head_bits, read):
    """The decoder: count values by position, or Damaged. read(lane, next_bit) reads one value; it first reads the
    lane's head, head_bits long, which counts as consumed before the first step."""
    buffers = {lane: [] for lane in used}       # bits that arrived; None for a bit from beyond the stored words
    position_of = {lane: 0 for lane in used}
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
    for step in steps:
        before = {lane: max(head_bits, position_of[lane]) for lane in used}
        for lane, position in step:
            def next_bit():
                bit = buffers[lane][position_of[lane]]
                if bit is None:
                    raise Damaged("exhausted")
                position_of[lane] += 1
                return bit

            values[position] = read(lane, next_bit)
        for lane in used:
            if max(head_bits, position_of[lane]) // 16 > before[lane] // 16:
                request(lane)
    if taken < len(words):
        raise Damaged("left_over")
    return values
