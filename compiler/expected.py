"""Sizes of mask streams to expect of weights that nobody has drawn.

Coat indices are taken to be in random order, every coat with exactly its kept count. What a stream holds besides coded
bits, padding of lanes and words asked for ahead, is found by following the lanes through their last steps.
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass

import numpy as np

from arch import latency
from arch.config import ANS_BITS, MASK_WORD_BITS, EngineConfig
from compiler.geometry import Geometry
from compiler.sizes import MaskSize
from compiler.timing.requests import in_lockstep
from golden import ans, codes
from golden.densities import check_densities, kept_count

_TAIL_WORDS = 3
"""Words per lane, about, that are followed step by step."""

_MOST_STEPS = 1 << 12


@dataclass(frozen=True)
class Coats:
    """A layer's weights as coat indices: kept fractions of its coats, falling, and a code of
    :data:`golden.codes.CHOICES`. Raises ValueError for what no layer can have."""

    densities: tuple[float, ...]
    code: str = "best"

    def __post_init__(self):
        check_densities(self.densities)
        if self.code not in codes.CHOICES:
            raise ValueError(f"code must be one of {', '.join(codes.CHOICES)}, not {self.code!r}")


@dataclass(frozen=True)
class Stored:
    """A layer's weights themselves, of ``bits`` bits each. Raises ValueError for less than 1 and more than 8."""

    bits: int

    def __post_init__(self):
        if not 1 <= self.bits <= 8:
            raise ValueError(f"bits must be in 1..8, not {self.bits!r}")


@dataclass(frozen=True)
class _Lengths:
    """Lengths of a code's symbols and how probable each is."""

    bits: tuple[int, ...]
    probabilities: tuple[float, ...]
    #: Bits of a symbol in the long run.
    mean: float
    #: What a lane consumes before its first symbol.
    head: int = 0

    @property
    def fixed(self) -> bool:
        """Whether all symbols have the same length."""
        return len(self.bits) == 1

    @property
    def variance(self) -> float:
        """Of a symbol's bits."""
        mean = float(np.dot(self.bits, self.probabilities))
        return float(np.dot(np.square(self.bits), self.probabilities)) - mean ** 2


def histogram(weights: Coats, count: int) -> tuple[int, ...]:
    """How many of ``count`` weights have coat index 0, 1, .., N, by the "released" convention."""
    kept = (count, *(kept_count(count, density) for density in weights.densities), 0)
    return tuple(more - less for more, less in zip(kept, kept[1:]))


@functools.lru_cache(maxsize=4096)
def _lengths(counts: tuple[int, ...], code: str) -> _Lengths:
    coats, count = len(counts) - 1, sum(counts)
    if code == "raw" or coats == 1 and code == "unary":
        return _fixed(codes.raw_width(coats))
    shares = tuple(number / count for number in counts)
    if code == "unary":
        bits = tuple(min(index + 1, coats) for index in range(coats + 1))
        return _Lengths(bits, shares, float(np.dot(bits, shares)))
    # A symbol of f entries takes one of two lengths, on average that of its information.
    frequencies, _ = ans.best_table(counts)
    found: dict[int, float] = {}
    for frequency, share in zip(frequencies, shares):
        if frequency:
            information = math.log2(ans.ENTRIES / frequency)
            low = math.floor(information)
            for bits, part in (low, 1 - information + low), (low + 1, information - low):
                found[bits] = found.get(bits, 0) + share * part
    return _Lengths(tuple(found), tuple(found.values()), ans.expected_bits(counts) / count, ANS_BITS)


def _fixed(bits: int) -> _Lengths:
    return _Lengths((bits,), (1.,), bits)


def shannon_bits(weights: Coats | Stored, count: int) -> float:
    """Least bits of ``count`` weights."""
    return count * weights.bits if isinstance(weights, Stored) else codes.shannon_bits(histogram(weights, count))


def packed_bits(weights: Coats | Stored, count: int) -> int:
    """Bits of ``count`` weights in a packed file."""
    if isinstance(weights, Stored):
        return count * weights.bits
    return codes.coded_bits(histogram(weights, count), code_of(weights, count))


def code_of(weights: Coats | Stored, count: int) -> str:
    """The code of a layer of ``count`` weights."""
    if isinstance(weights, Stored):
        return "stored"
    return codes.best_code(histogram(weights, count)) if weights.code == "best" else weights.code


def table(weights: Coats | Stored, count: int) -> tuple | None:
    """The decoding table of a layer of ``count`` weights in code `ans`; None for another code."""
    return ans.best_table(histogram(weights, count)) if code_of(weights, count) == "ans" else None


@dataclass(frozen=True)
class ExpectedMask:
    """A layer's mask stream: its size, and the coded bits in it."""

    size: MaskSize
    bits: float


def expected_mask(geometry: Geometry, weights: Coats | Stored, config: EngineConfig) -> ExpectedMask:
    """The mask stream to expect of a layer."""
    count = geometry.layer.weights
    code = code_of(weights, count)
    lengths = _fixed(weights.bits) if code == "stored" else _lengths(histogram(weights, count), code)
    out, run = geometry.layer.out_channels, geometry.run_bytes
    wait = 0 if in_lockstep(code, out, run, config) else latency.word_wait(config)
    return _expected(out, geometry.layer.kernel, run, lengths, config.columns, config.lanes, config.build_columns,
                     config.refill_words, wait)


@functools.lru_cache(maxsize=4096)
def _expected(out: int, kernel: int, run: int, lengths: _Lengths, columns: int, lanes: int,
              build_columns: int, refill: int, wait: int) -> ExpectedMask:
    groups, lane = np.arange(build_columns)[:, None], np.arange(min(run, lanes))
    tiles, chunks = -(-out // columns), -(-run // lanes)
    used = build_columns * lane.size
    # Symbols of every lane before each column tile: (tiles + 1, used).
    built = np.minimum(np.arange(tiles + 1) * columns, out)
    shares = -((lane - run) // lanes) * kernel
    symbols = (-((groups.T - built[:, None]) // build_columns))[:, :, None] * shares
    symbols = symbols.reshape(tiles + 1, used)
    bits = float(symbols[-1].sum() * lengths.mean + used * lengths.head)

    def requested(consumed: np.ndarray) -> np.ndarray:
        """Words that lanes have asked for when they have consumed so many bits, half a word more or less."""
        if lengths.fixed:
            return (2 + consumed.astype(np.int64) // MASK_WORD_BITS).sum(axis=-1)
        return (2 + np.maximum(consumed / MASK_WORD_BITS - .5, 0)).sum(axis=-1)

    parts = _last_steps(out, kernel, run, lengths, columns, lanes, build_columns, chunks)
    before = symbols[-1] - parts.sum(axis=0)
    rng = np.random.default_rng(0)
    consumed = before * lengths.mean + lengths.head
    if lengths.fixed:
        taken = parts * lengths.bits[0]
    else:
        # Lanes are anywhere in a word, as soon as they have seen enough symbols.
        spread = np.minimum(np.sqrt(12 * before * lengths.variance), MASK_WORD_BITS)
        consumed = consumed + spread * ((rng.permutation(used) + .5) / used - .5)
        edges = np.cumsum(lengths.probabilities)[:-1]
        taken = np.array(lengths.bits)[np.searchsorted(edges, rng.random(parts.shape))] * parts
    consumed = np.maximum(np.rint(consumed), 0).astype(np.int64)
    after = consumed + np.cumsum(taken, axis=0, dtype=np.int64)
    word = after // MASK_WORD_BITS
    crossed = word > (after - taken) // MASK_WORD_BITS
    asked = int((2 + consumed // MASK_WORD_BITS).sum())
    # The last word that is asked for and holds a coded bit is the last one stored.
    total = after[-1]
    useful = ((word + 1) * MASK_WORD_BITS < total)[crossed]
    if useful.any():
        words = asked + int(np.flatnonzero(useful)[-1]) + 1
    else:
        ahead = np.concatenate([total > 0, total > MASK_WORD_BITS])
        words = int(np.flatnonzero(ahead)[-1]) + 1 if (before == 0).all() and ahead.any() else asked
    # The drawn symbols are not exactly as many bits as the expected ones.
    words = max(words + round((bits - float(total.sum())) / MASK_WORD_BITS), 1)
    tile_words = np.minimum(requested(symbols * lengths.mean + lengths.head), words).astype(np.int64)
    steps = -(-np.diff(built) // build_columns) * kernel * chunks
    asks = np.diff(symbols.sum(axis=1)) / steps  # symbols of a step
    served = [math.ceil(count * _service(round(lanes_there), lengths, refill, wait))
              for count, lanes_there in zip(steps.tolist(), asks.tolist())]
    return ExpectedMask(MaskSize(words, (*tile_words[:-1].tolist(), words), tuple(served)), bits)


@functools.lru_cache(maxsize=4096)
def _service(lanes: int, lengths: _Lengths, refill: int, wait: int) -> float:
    """Cycles in which a step's requests are served: each of its lanes asks for a word or not."""
    share = lengths.mean / MASK_WORD_BITS
    if lengths.fixed:  # all of them in the same step, and none goes on before it has its word
        return share * (-(-lanes // refill) + wait)
    chance, cycles = (1 - share) ** lanes, 0.
    for words in range(1, lanes + 1):
        chance *= (lanes - words + 1) / words * share / (1 - share)
        cycles += chance * -(-words // refill)
    return cycles


def _last_steps(out: int, kernel: int, run: int, lengths: _Lengths, columns: int, lanes: int, build_columns: int,
                chunks: int) -> np.ndarray:
    """Which lanes take part in a layer's last steps: bool (steps, used lanes)."""
    lane = np.arange(min(run, lanes))
    wanted = math.ceil(_TAIL_WORDS * MASK_WORD_BITS / lengths.mean * chunks * lanes / run)
    parts, steps = [], 0
    for first in range((out - 1) // columns * columns, -1, -columns):
        present = np.arange(min(columns, out - first))
        groups = -(-present.size // build_columns)
        columns_there = np.arange(groups * build_columns).reshape(groups, build_columns) < present.size
        lanes_there = np.arange(chunks)[:, None] * lanes + lane < run
        tile = columns_there[None, :, :, None] & lanes_there[:, None, None, :]
        tile = np.broadcast_to(tile, (kernel, *tile.shape)).reshape(-1, build_columns * lane.size)
        parts.append(tile)
        steps += len(tile)
        if steps >= min(wanted, _MOST_STEPS):
            break
    return np.concatenate(parts[::-1])[-min(wanted, _MOST_STEPS):]
