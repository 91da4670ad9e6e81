"""Bit-stream codes of coat indices and stored weights, and the sizes they are measured against.

A layer's symbols follow one another in canonical order as one bit stream, low bit first, padded with zero bits to a
byte; those of code `ans` are on several lanes. Source: docs/specification.md, "Coat index and its codes".
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from arch.config import ANS_BITS, ANS_OFFSETS, MASK_WORD_BITS, MAX_COATS
from golden import ans
from golden.lanes import interleave

COAT_CODES = ("raw", "unary", "ans")
"""Codes of coat indices."""

CHOICES = ("best", *COAT_CODES)
"""A layer's code, or the smallest for it."""

CODES = (*COAT_CODES, "stored")

MAX_LANES = 256
"""Most lanes of an `ans` layer in a packed file."""

LANE_BITS = 18
"""What a lane adds to an `ans` layer in a packed file: its first state and the padding of its last word."""

_LANE_SHARE = .004
"""What all lanes may add to a layer, as a share of its entropy."""

_STEPS = 1 << 17
"""Most symbols of a lane, wherever more lanes can help it: files of nearly empty layers would be slow to read."""


class CodeError(ValueError):
    """Symbols that a code cannot hold, or a damaged bit stream; the message says which symbol or bit."""


def raw_width(coats: int) -> int:
    """Bits of a raw coat index: ceil(log2(coats + 1))."""
    return coats.bit_length()


def _check(code: str, coats: int, width: int) -> None:
    if code not in CODES:
        raise CodeError(f"code must be one of {CODES}, not {code!r}")
    if code == "stored":
        if width not in (2, 4, 8):
            raise CodeError(f"width must be 2, 4 or 8, not {width!r}")
    elif not 1 <= coats <= MAX_COATS:
        raise CodeError(f"coats must be in 1..{MAX_COATS}, not {coats!r}")


def _check_symbols(symbols: np.ndarray, low: int, high: int, what: str) -> None:
    if symbols.size and not low <= symbols.min() <= symbols.max() <= high:
        position = int(np.argmax((symbols < low) | (symbols > high)))
        raise CodeError(f"symbol {position}: {what} must be in {low}..{high}, not {int(symbols[position])}")


@dataclass(frozen=True, kw_only=True)
class Format:
    """How a layer's symbols are coded: coat indices 0..``coats`` (raw, unary, ans) or signed weights of ``width`` bits.

    ``frequencies``, ``offset`` and ``lanes`` belong to code "ans". Raises CodeError for what is none.
    """

    code: str
    coats: int = 0
    width: int = 0
    frequencies: tuple[int, ...] = ()
    offset: int = 0
    lanes: int = 1

    def __post_init__(self):
        _check(self.code, self.coats, self.width)
        if self.code != "ans":
            return
        if not ans.valid_frequencies(self.frequencies, self.coats + 1):
            raise CodeError(f"frequencies must be {ans.frequencies_text(self.coats)}, not {self.frequencies!r}")
        if not ans.valid_offset(self.offset):
            raise CodeError(f"offset must be in 0..{ANS_OFFSETS - 1}, not {self.offset!r}")
        if type(self.lanes) is not int or self.lanes not in (1 << power for power in range(MAX_LANES.bit_length())):
            raise CodeError(f"lanes must be a power of two up to {MAX_LANES}, not {self.lanes!r}")


def encode(symbols: np.ndarray, code: str, **parameters) -> tuple[bytes, int]:
    """The coded bytes of ``symbols`` in memory order, and how many bits of them count.

    ``parameters`` are those of the code's :class:`Format`.
    """
    return encode_layers([(symbols, Format(code=code, **parameters))])[0]


def encode_layers(layers: Sequence[tuple[np.ndarray, Format]]) -> list[tuple[bytes, int]]:
    """:func:`encode` of many layers, which for code "ans" is much faster than one after another."""
    layers = [(np.ascontiguousarray(symbols).ravel(), form) for symbols, form in layers]
    streams = _encode_ans([(symbols, form) for symbols, form in layers if form.code == "ans"])
    return [next(streams) if form.code == "ans" else _encode_bits(symbols, form) for symbols, form in layers]


def _encode_bits(symbols: np.ndarray, form: Format) -> tuple[bytes, int]:
    if form.code == "stored":
        limit = 1 << form.width - 1
        _check_symbols(symbols, -limit, limit - 1, "weight")
        bits = _fixed_bits(symbols.astype(np.int8).view(np.uint8), form.width)
    else:
        _check_symbols(symbols, 0, form.coats, "coat index")
        symbols = symbols.astype(np.uint8, copy=False)
        raw = form.code == "raw"
        bits = _fixed_bits(symbols, raw_width(form.coats)) if raw else _unary_bits(symbols, form.coats)
    return np.packbits(bits, bitorder="little").tobytes(), bits.size


def _encode_ans(layers: Sequence[tuple[np.ndarray, Format]]):
    """Bytes and bits of every layer in turn."""
    steps = []
    for symbols, form in layers:
        _check_symbols(symbols, 0, form.coats, "coat index")
        if not symbols.size:
            raise CodeError("code 'ans' needs at least one symbol")
        without = np.equal(form.frequencies, 0)[symbols]
        if without.any():
            position = int(np.argmax(without))
            raise CodeError(f"symbol {position}: the frequency of coat index {symbols[position]} must not be 0")
        lanes = min(form.lanes, symbols.size)
        rows = np.full((-(-symbols.size // lanes), lanes), ans.HOLE, np.uint8)
        rows.ravel()[:symbols.size] = symbols
        steps.append(ans.Steps(rows, form.frequencies, form.offset))
    for coded in ans.encode(steps):
        words = interleave(coded.values, coded.lengths, np.arange(coded.first.size), coded.head).words
        yield words.astype("<u2").tobytes(), MASK_WORD_BITS * words.size


def decode(data: bytes, bits: int, count: int, code: str, **parameters) -> np.ndarray:
    """The ``count`` symbols that the first ``bits`` bits of ``data`` hold: coat indices uint8, stored weights int8.

    ``parameters`` are those of the code's :class:`Format`. Raises CodeError unless ``data`` is exactly what
    :func:`encode` would have made of the symbols; with code "ans", what any encoder may have made of them.
    """
    symbols = decode_layers([Coded(data, bits, count, Format(code=code, **parameters))])[0]
    if isinstance(symbols, CodeError):
        raise symbols
    return symbols


@dataclass(frozen=True)
class Coded:
    """A layer to decode: ``count`` symbols in the first ``bits`` bits of ``data``."""

    data: bytes
    bits: int
    count: int
    form: Format


def decode_layers(layers: Sequence[Coded]) -> list[np.ndarray | CodeError]:
    """:func:`decode` of many layers, which for code "ans" is much faster than one after another.

    Where that would raise, a layer's result is the error.
    """
    results, streams = [], {}
    for index, layer in enumerate(layers):
        try:
            if layer.form.code == "ans":
                streams[index] = _ans_stream(layer)
                results.append(None)
            else:
                results.append(_decode_bits(layer))
        except CodeError as error:
            results.append(error)
    for index, decoded in zip(streams, ans.decode(list(streams.values()))):
        results[index] = decoded.symbols if decoded.fault is None else CodeError(f"bit stream: {decoded.fault}")
    return results


def _check_size(layer: Coded) -> None:
    size = -(-layer.bits // 8)
    if len(layer.data) != size:
        raise CodeError(f"bit stream must have {size} bytes for its {layer.bits} bits, not {len(layer.data)}")


def _ans_stream(layer: Coded) -> ans.Stream:
    _check_size(layer)
    if layer.count < 1:
        raise CodeError("code 'ans' needs at least one symbol")
    if layer.bits % MASK_WORD_BITS:
        raise CodeError(f"bit stream must be whole words of {MASK_WORD_BITS} bits, not {layer.bits} bits")
    form = layer.form
    return ans.Stream(np.frombuffer(layer.data, "<u2"), layer.count, form.lanes, form.frequencies, form.offset)


def _decode_bits(layer: Coded) -> np.ndarray:
    _check_size(layer)
    bits, count, code, coats = layer.bits, layer.count, layer.form.code, layer.form.coats
    stream = np.unpackbits(np.frombuffer(layer.data, np.uint8), bitorder="little")
    if stream[bits:].any():
        raise CodeError(f"bit {bits + int(np.argmax(stream[bits:]))} of the bit stream must be zero: it is padding")
    stream = stream[:bits]
    if code == "unary":
        return _unary_symbols(stream, count, coats)
    fixed = layer.form.width if code == "stored" else raw_width(coats)
    if bits != count * fixed:
        raise CodeError(f"bit stream must have {count * fixed} bits for {count} symbols of {fixed}, not {bits}")
    symbols = np.packbits(stream.reshape(count, fixed), axis=1, bitorder="little").ravel()
    if code == "stored":
        return symbols.view(np.int8) << 8 - fixed >> 8 - fixed
    if symbols.size and symbols.max() > coats:
        position = int(np.argmax(symbols > coats))
        raise CodeError(f"symbol {position} at bit {position * fixed}: coat index must be in 0..{coats}, "
                        f"not {int(symbols[position])}")
    return symbols


def _fixed_bits(symbols: np.ndarray, width: int) -> np.ndarray:
    return np.unpackbits(symbols[:, None], axis=1, count=width, bitorder="little").ravel()


def _unary_bits(symbols: np.ndarray, coats: int) -> np.ndarray:
    ends = np.cumsum(np.minimum(symbols + 1, coats), dtype=np.int64)
    bits = np.ones(int(ends[-1]) if ends.size else 0, np.uint8)
    bits[ends[symbols < coats] - 1] = 0
    return bits


def _unary_symbols(stream: np.ndarray, count: int, coats: int) -> np.ndarray:
    # A run of ones up to the next zero is as many symbols of N as fit, then one symbol of what is left. The end of
    # the stream counts as a zero whose symbol, if it is not empty, is incomplete.
    zeros = np.append(np.flatnonzero(stream == 0), stream.size)
    full, rest = np.divmod(np.diff(zeros, prepend=-1) - 1, coats)
    ends = np.cumsum(full + 1)
    if rest[-1]:
        raise CodeError(f"bit stream ends at bit {stream.size}, within symbol {int(ends[-1]) - 1} of {count}")
    if ends[-1] - 1 != count:
        raise CodeError(f"bit stream of {stream.size} bits must hold {count} symbols, not {int(ends[-1]) - 1}")
    symbols = np.full(count, coats, np.uint8)
    symbols[ends[:-1] - 1] = rest[:-1]
    return symbols


def ans_lanes(counts) -> int:
    """Lanes on which a packed file has coat indices with the histogram ``counts``: more are faster, but cost more."""
    wanted = max(shannon_bits(counts) * _LANE_SHARE / LANE_BITS, 1)
    needed = math.ceil(sum(map(int, counts)) / _STEPS)
    return min(MAX_LANES, max(1 << math.floor(math.log2(wanted)), 1 << (needed - 1).bit_length()))


def coded_bits(counts, code: str) -> int:
    """Bits that coat indices with the histogram ``counts`` (of 0, 1, .., N) take in ``code``, one of COAT_CODES.

    For code "ans", which depends on the indices' order as well, it is what to expect in a packed file.
    """
    counts = np.asarray(counts, np.int64)
    coats = len(counts) - 1
    _check(code, coats, 0)
    if code == "ans":
        return math.ceil(ans.expected_bits(counts)) + LANE_BITS * ans_lanes(counts)
    if code == "raw":
        return int(counts.sum()) * raw_width(coats)
    return int(counts @ np.minimum(np.arange(coats + 1) + 1, coats))


def best_code(counts) -> str:
    """The code, of COAT_CODES, that is the smallest for coat indices with the histogram ``counts``; the first of
    several."""
    return min(COAT_CODES, key=lambda code: coded_bits(counts, code))


def symbol_bits(code: str, coats: int) -> int:
    """Width of a raw coat index or an `ans` state; for "unary", the number of coats."""
    return {"raw": raw_width(coats), "unary": coats, "ans": ANS_BITS}[code]


def shannon_bits(counts) -> float:
    """Least bits of any code that knows only the histogram ``counts``: the empirical entropy times the symbols."""
    counts = np.asarray(counts, np.float64)
    counts = counts[counts > 0]
    return float(counts @ np.log2(counts.sum() / counts))


def paper_bits(weights: int, densities, normalised_channels: int) -> float:
    """Size of a layer as the M-Sup paper counts it: unary masks at the densities asked for, and 32 bits per BN gamma.

    That is ``weights * (1 + k1 + .. + k(N-1)) + 32 * normalised_channels``; a layer without coats (no ``densities``)
    counts 32 bits per weight. BN beta and running statistics are left out there, not here.
    """
    per_weight = 1 + sum(densities[:-1]) if densities else 32
    return weights * per_weight + 32 * normalised_channels
