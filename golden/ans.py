"""Code `ans`: table-based asymmetric numeral systems (Duda 2013) for coat indices, over many lanes at once.

A lane is sequential, so all loops here go along the lanes and take every lane of every layer in each step. Source:
docs/specification.md, "ans".
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from arch.config import ANS_BITS, ANS_OFFSETS, ANS_STEP, MASK_WORD_BITS, MAX_COATS

ENTRIES = 1 << ANS_BITS
"""Entries of a table; the sum of a layer's frequencies."""

HOLE = MAX_COATS + 1
"""In place of a symbol: the lane codes nothing in this step."""

_BLOCK = 1 << 21
"""States that are held at once in 64 bits."""

_WARM_UP = 256
_SETTLED = 256
"""Steps of the chain of states before and within the average that stands for its stationary distribution. At density
.005, the slowest, the rate is then right to .01 %."""

_GOOD_LOSS = .0005
"""Loss against the entropy at which offset 0 is good enough."""


def limits(symbols: int) -> np.ndarray:
    """Largest frequency of each of ``symbols`` symbols."""
    return np.where(np.arange(symbols) == 0, ENTRIES, ENTRIES - 1)


def valid_frequencies(frequencies, symbols: int) -> bool:
    """Whether ``frequencies`` are what a layer of ``symbols`` coat indices may have."""
    return (len(frequencies) == symbols and all(type(frequency) is int for frequency in frequencies)
            and all(0 <= frequency <= limit for frequency, limit in zip(frequencies, limits(symbols)))
            and sum(frequencies) == ENTRIES)


def frequencies_text(coats: int) -> str:
    """What :func:`valid_frequencies` asks for, in words."""
    return f"{coats + 1} integers of sum {ENTRIES}, f[0] in 0..{ENTRIES}, the others in 0..{ENTRIES - 1}"


def valid_offset(offset) -> bool:
    """Whether ``offset`` is one of the places where a table may begin."""
    return type(offset) is int and 0 <= offset < ANS_OFFSETS


@dataclass(frozen=True, eq=False)
class Table:
    """A decoding table, by entry: its symbol, the bits it takes, and what they are added to for the next entry."""

    symbols: np.ndarray
    bits: np.ndarray
    bases: np.ndarray

    @property
    def intervals(self) -> np.ndarray:
        """Number of entries that an entry leads to."""
        return np.left_shift(1, self.bits)


def decoding_table(frequencies: Sequence[int], offset: int) -> Table:
    """The table of ``frequencies`` f[0..N] of sum 1024 and ``offset`` 0..15; arrays of 1024."""
    frequencies = np.asarray(frequencies)
    numbers = np.arange(ENTRIES)
    symbols = np.empty(ENTRIES, np.int64)
    symbols[(ANS_STEP * numbers + ENTRIES // ANS_OFFSETS * offset) % ENTRIES] = np.repeat(
        np.arange(len(frequencies)), frequencies)
    k = np.empty(ENTRIES, np.int64)
    below = np.cumsum(frequencies) - frequencies
    k[np.argsort(symbols, kind="stable")] = numbers + np.repeat(frequencies - below, frequencies)
    bits = ANS_BITS + 1 - np.frexp(k)[1].astype(np.int64)
    return Table(symbols, bits, (k << bits) - ENTRIES)


def _encoding_rows(table: Table) -> dict[int, np.ndarray]:
    """For every symbol that has entries, the one that leads to each state."""
    order = np.lexsort((table.bases, table.symbols))
    rows = np.repeat(order, table.intervals[order]).reshape(-1, ENTRIES)
    return dict(zip(np.unique(table.symbols).tolist(), rows))


def _quantise(probabilities: np.ndarray) -> np.ndarray:
    """Frequencies whose code lengths cost least, every symbol that occurs with at least 1."""
    occurs, highest = probabilities > 0, limits(len(probabilities))
    frequencies = np.clip(np.rint(probabilities * ENTRIES), occurs, highest).astype(np.int64)

    def costs(change: int) -> np.ndarray:
        """Bits per symbol that a change of each frequency alone adds."""
        changed = frequencies + change
        allowed = (changed >= occurs) & (changed <= highest)
        ratio = np.maximum(frequencies, 1) / np.maximum(changed, 1)
        return np.where(allowed, probabilities * np.log2(ratio), np.inf)

    while (missing := ENTRIES - int(frequencies.sum())) != 0:
        change = 1 if missing > 0 else -1
        frequencies[np.argmin(costs(change))] += change
    while True:
        # The sum of the two is convex in either frequency: the best exchange is the cheapest loss and the best gain.
        source, target = np.argmin(costs(-1)), np.argmin(costs(1))
        if source == target or costs(-1)[source] + costs(1)[target] > -1e-12:
            return frequencies
        frequencies[source] -= 1
        frequencies[target] += 1


def _rates(probabilities: np.ndarray, tables: Sequence[Table]) -> np.ndarray:
    """Bits per symbol of every table, for independent symbols, in the long run of an encoder."""
    bits = np.array([table.bits for table in tables])
    weights = probabilities[np.array([table.symbols for table in tables])]
    # Sums of the distribution over the states that lead to an entry, from its running sum with a zero in front.
    start = np.array([table.bases for table in tables]) + np.arange(len(tables))[:, None] * (ENTRIES + 1)
    stop = start + (1 << bits)
    running = np.zeros((len(tables), ENTRIES + 1))
    states = np.log2(1 + 1 / np.arange(ENTRIES, 2 * ENTRIES))
    states = np.tile(states, (len(tables), 1))
    total = np.zeros_like(states)
    for step in range(_WARM_UP + _SETTLED):
        np.cumsum(states, axis=1, out=running[:, 1:])
        states = weights * (running.take(stop) - running.take(start))
        if step >= _WARM_UP:
            total += states
    return (total * bits).sum(1) / _SETTLED


def _probabilities(counts) -> np.ndarray:
    counts = np.asarray(counts, np.float64)
    return counts / counts.sum()


@functools.lru_cache(maxsize=1024)
def _best_table(counts: tuple[int, ...]) -> tuple[tuple[int, ...], int, float]:
    probabilities = _probabilities(counts)
    frequencies = _quantise(probabilities)
    occurring = probabilities[probabilities > 0]
    entropy = -float(occurring @ np.log2(occurring))
    offset, rate = 0, float(_rates(probabilities, [decoding_table(frequencies, 0)])[0])
    if rate > (1 + _GOOD_LOSS) * entropy:
        rates = _rates(probabilities, [decoding_table(frequencies, offset) for offset in range(ANS_OFFSETS)])
        # Rounded, so that the last bit of a sum decides nothing.
        offset = int(np.argmin(np.round(rates, 9)))
        rate = float(rates[offset])
    return tuple(frequencies.tolist()), offset, rate


def best_table(counts) -> tuple[tuple[int, ...], int]:
    """Frequencies and offset for coat indices with the histogram ``counts`` (of 0, 1, .., N)."""
    return _best_table(tuple(map(int, counts)))[:2]


def expected_bits(counts) -> float:
    """Bits that the best table's code takes for indices with the histogram ``counts``, what a lane adds left out."""
    return sum(counts) * _best_table(tuple(map(int, counts)))[2]


@dataclass(frozen=True, eq=False)
class Steps:
    """A layer to encode: ``symbols`` uint8 (steps, lanes), HOLE where a lane codes nothing."""

    symbols: np.ndarray
    frequencies: tuple[int, ...]
    offset: int


@dataclass(frozen=True, eq=False)
class Coded:
    """A layer's bits: the ``first`` states uint16 (lanes,), and of each step ``values`` and ``lengths`` (steps, lanes),
    uint16 and uint8."""

    first: np.ndarray
    values: np.ndarray
    lengths: np.ndarray

    @property
    def head(self) -> tuple[np.ndarray, np.ndarray]:
        """What every lane consumes before the first step: values and lengths."""
        return self.first, np.full(self.first.size, ANS_BITS)


def _encode_states(layers: Sequence[Steps], tables: Sequence[Table]) -> list[np.ndarray]:
    """Every layer's states: uint16 (steps + 1, lanes); row i is the entry that decodes the symbols of step i.

    The last state is 0. To encode is to count up: with b bits written, state t stands for the number (1024 + t) 2^b,
    and encoding a symbol keeps the order of two such numbers. So the least to begin with needs the fewest bits.
    """
    # One row of next states for every symbol of every layer, and one that changes nothing for holes.
    rows = [np.arange(ENTRIES)]
    starts = []
    for table in tables:
        start = np.zeros(HOLE + 1, np.int64)
        for symbol, row in _encoding_rows(table).items():
            start[symbol] = len(rows) * ENTRIES
            rows.append(row)
        starts.append(start)
    following = np.concatenate(rows)

    results = [np.zeros((len(layer.symbols) + 1, layer.symbols.shape[1]), np.uint16) for layer in layers]
    order = sorted(range(len(layers)), key=lambda index: -len(layers[index].symbols))
    ends = np.cumsum([0, *(layers[index].symbols.shape[1] for index in order)])
    state = np.zeros(ends[-1], np.int64)
    lengths = [len(layers[index].symbols) for index in order] + [0]
    # Backwards, the longest layers begin alone, and the others join them where they end.
    for active in range(1, len(lengths)):
        width = ends[active]
        block = max(1, _BLOCK // int(width))
        for stop in range(lengths[active - 1], lengths[active], -block):
            begin = max(lengths[active], stop - block)
            keys = np.empty((stop - begin, width), np.int64)
            for place, index in enumerate(order[:active]):
                keys[:, ends[place]:ends[place + 1]] = starts[index][layers[index].symbols[begin:stop]]
            current, places = state[:width], np.empty(width, np.int64)
            for key in keys[::-1]:
                np.add(key, current, out=places)
                current = np.take(following, places, out=key, mode="clip")  # not "raise": that would copy
            state[:width] = current
            for place, index in enumerate(order[:active]):
                results[index][begin:stop] = keys[:, ends[place]:ends[place + 1]]
    return results


def encode(layers: Sequence[Steps]) -> Iterator[Coded]:
    """The bits of every layer in turn; they are found together, because that is much faster.

    A symbol's frequency must not be zero. Of all streams that decode to the symbols, a lane's has the fewest bits.
    """
    tables = [decoding_table(layer.frequencies, layer.offset) for layer in layers]
    results = _encode_states(layers, tables)[::-1]
    for layer, table in zip(layers, tables):
        states = results.pop()
        entries = states[:-1]
        coded = layer.symbols != HOLE
        values = (states[1:] - table.bases.astype(np.uint16)[entries]) * coded
        yield Coded(states[0], values, table.bits.astype(np.uint8)[entries] * coded)


@dataclass(frozen=True, eq=False)
class Stream:
    """A layer to decode: ``words`` uint16 in the order of requests, for symbols that lanes take in turn."""

    words: np.ndarray
    count: int
    lanes: int
    frequencies: tuple[int, ...]
    offset: int

    @property
    def steps(self) -> int:
        """Symbols of the busiest lane."""
        return -(-self.count // self.lanes)


class _Decoder:
    """Lanes of several streams, side by side, that have not reached their ends.

    ``entry`` numbers the entries of all tables. ``held`` bits of a lane have arrived and are in ``buffer``; ``lane`` is
    its number among all there were. Those of stream i are between ``starts[i]`` and ``starts[i + 1]``. ``owners`` are
    the lanes that requested the words.
    """

    def __init__(self, streams: Sequence[Stream]):
        self.streams = streams
        tables = [decoding_table(stream.frequencies, stream.offset) for stream in streams]
        first_entries = np.arange(len(streams)) * ENTRIES
        self.symbols = np.concatenate([table.symbols for table in tables]).astype(np.uint8)
        self.bits = np.concatenate([table.bits for table in tables])
        self.masks = (1 << self.bits) - 1
        self.bases = np.concatenate([table.bases + first for table, first in zip(tables, first_entries)])
        # Symbols decoded without a bit before one that takes some, and the entries 1, 2, 4, .. symbols on.
        self.runs = (self.bits == 0).astype(np.int64)
        self.jumps = [np.where(self.runs, self.bases, np.arange(self.runs.size))]
        for _ in range(ANS_BITS):
            self.runs += self.runs[self.jumps[-1]]
            self.jumps.append(self.jumps[-1][self.jumps[-1]])
        # Only a symbol with more than half of the entries has some that take no bits.
        self.outputs = [np.full((stream.steps, stream.lanes), np.argmax(stream.frequencies), np.uint8)
                        for stream in streams]

        # Behind each stream's words is a zero, which stands for all requests past its end.
        self.words = np.concatenate([np.append(stream.words, 0) for stream in streams]).astype(np.int64)
        self.ends = np.cumsum([stream.words.size + 1 for stream in streams]) - 1
        self.first_word = self.ends - [stream.words.size for stream in streams]
        self.next_word = self.first_word.copy()
        self.owners = np.full(self.words.size, -1)

        used = [min(stream.lanes, stream.count) for stream in streams]
        self.first_lane = np.cumsum([0, *used])
        self.lane = np.arange(self.first_lane[-1])
        self.stream_of = np.repeat(np.arange(len(streams)), used)
        self.lengths = np.concatenate([-((np.arange(lanes) - stream.count) // stream.lanes)
                                       for stream, lanes in zip(streams, used)])
        self.starts = self.first_lane
        self.entry, self.buffer, self.held = (np.zeros(self.lane.size, np.int64) for _ in range(3))
        self.last_buffer, self.last_held, self.requests = (np.zeros(self.lane.size, np.int64) for _ in range(3))
        for _ in range(2):
            self._request(self.lane)
        self.entry += first_entries[self.stream_of] + (self.buffer & ENTRIES - 1)
        self.buffer >>= ANS_BITS
        self.held -= ANS_BITS

    def _request(self, lanes: np.ndarray):
        """Hand a word to each of ``lanes``, ascending positions among those that still decode."""
        before = np.searchsorted(lanes, self.starts)
        streams = self.stream_of[lanes]
        place = np.arange(lanes.size)
        place += (self.next_word - before[:-1])[streams]
        np.minimum(place, self.ends[streams], out=place)
        self.next_word += before[1:] - before[:-1]
        owners = self.lane[lanes]
        self.owners[place] = owners
        self.requests[owners] += 1
        held = self.held[lanes]
        self.buffer[lanes] |= self.words[place] << held
        self.held[lanes] = held + MASK_WORD_BITS

    def _retire(self, step: int):
        """Put aside the lanes that have no symbol at ``step``."""
        going = self.lengths <= step
        done = self.lane[going]
        self.last_buffer[done] = self.buffer[going]
        self.last_held[done] = self.held[going]
        for name in ("entry", "buffer", "held", "lane", "lengths", "stream_of"):
            setattr(self, name, getattr(self, name)[~going])
        self.starts = np.searchsorted(self.stream_of, np.arange(len(self.streams) + 1))

    def _decode_steps(self, begin: int, stop: int, skip: bool):
        """Decode steps ``begin`` to ``stop``, in which no lane ends; ``skip`` those that take no bits at all."""
        steps, visited = [], []
        entry, buffer, held = self.entry, self.buffer, self.held
        scratch, need = np.empty_like(entry), np.empty(entry.size, bool)
        step = begin
        while step < stop:
            if skip:
                free = min(int(self.runs.take(entry).min()), stop - step)
                step += free
                for power in range(free.bit_length()):
                    if free >> power & 1:
                        entry = self.jumps[power].take(entry)
                if step == stop:
                    break
            steps.append(step)
            visited.append(entry)
            np.take(self.masks, entry, out=scratch, mode="clip")
            scratch &= buffer
            bits = self.bits.take(entry)
            entry = self.bases.take(entry)
            entry += scratch
            buffer >>= bits
            held -= bits
            np.less_equal(held, MASK_WORD_BITS, out=need)
            lanes = need.nonzero()[0]
            if lanes.size:
                self._request(lanes)
            step += 1
        self.entry = entry
        if steps:
            self._write(np.array(steps), np.array(visited))

    def _write(self, steps: np.ndarray, visited: np.ndarray):
        symbols = self.symbols[visited]
        for output, start, stop in zip(self.outputs, self.starts, self.starts[1:]):
            if start < stop:
                output[steps, :stop - start] = symbols[:, start:stop]

    def run(self):
        """Decode everything."""
        step = 0
        while self.lane.size:
            stop = int(self.lengths.min())
            block = max(1, _BLOCK // self.lane.size)
            # Every step that takes bits is visited. Skipping pays where steps outnumber bits.
            bits = sum(MASK_WORD_BITS * self.streams[index].words.size / self.streams[index].steps
                       for index in np.unique(self.stream_of))
            while step < stop:
                end = min(stop, step + block)
                self._decode_steps(step, end, bits < 1)
                step = end
            self._retire(step)

    def fault(self, index: int) -> str | None:
        """What no encoder would have written of stream ``index``; None if nothing."""
        first, stop = self.first_lane[index], self.first_lane[index + 1]
        size = self.streams[index].words.size
        owners = self.owners[self.first_word[index]:self.ends[index]]
        stored = np.bincount(owners[owners >= 0] - first, minlength=stop - first)
        consumed = MASK_WORD_BITS * self.requests[first:stop] - self.last_held[first:stop]
        if (consumed > MASK_WORD_BITS * stored).any():
            lane = int(np.argmax(consumed > MASK_WORD_BITS * stored))
            return f"its {size} words are exhausted within the symbols of lane {lane}"
        if (owners < 0).any():
            return f"{np.count_nonzero(owners < 0)} of its {size} words are left over after the last symbol"
        if self.last_buffer[first:stop].any():
            lane = int(np.argmax(self.last_buffer[first:stop] != 0))
            return f"the bits of lane {lane} after its last symbol must be zero: they are padding"
        last = owners[-1] - first
        if consumed[last] <= MASK_WORD_BITS * (stored[last] - 1):
            return f"its last word, number {size - 1}, must be left out: it holds no coded bit"
        return None


@dataclass(frozen=True, eq=False)
class Decoded:
    """A layer's symbols, uint8 (count,), and what is wrong with its stream, which makes them void; None if nothing."""

    symbols: np.ndarray
    fault: str | None


def decode(streams: Sequence[Stream]) -> list[Decoded]:
    """The symbols of every stream; they are found together, because that is much faster.

    A stream has a fault unless it is exactly what an encoder makes of the symbols, whatever state it begins with.
    """
    if not streams:
        return []
    decoder = _Decoder(streams)
    decoder.run()
    return [Decoded(output.ravel()[:stream.count], decoder.fault(index))
            for index, (stream, output) in enumerate(zip(streams, decoder.outputs))]
