"""Bit-stream codes of coat indices and stored weights, and the sizes they are measured against.

A layer's symbols follow one another in canonical order as one bit stream, low bit first, padded with zero bits to a
byte. Source: docs/specification.md, "Coat index and its codes".
"""

from __future__ import annotations

import numpy as np

CODES = ("raw", "unary", "stored")

MAX_COATS = 7


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


def encode(symbols: np.ndarray, code: str, *, coats: int = 0, width: int = 0) -> tuple[bytes, int]:
    """The coded bytes of ``symbols`` in memory order, and how many bits of them count.

    ``symbols`` are coat indices 0..``coats`` (raw, unary) or signed weights of ``width`` bits (stored).
    """
    _check(code, coats, width)
    symbols = np.ascontiguousarray(symbols).ravel()
    if code == "stored":
        limit = 1 << width - 1
        _check_symbols(symbols, -limit, limit - 1, "weight")
        bits = _fixed_bits(symbols.astype(np.int8).view(np.uint8), width)
    else:
        _check_symbols(symbols, 0, coats, "coat index")
        symbols = symbols.astype(np.uint8, copy=False)
        bits = _fixed_bits(symbols, raw_width(coats)) if code == "raw" else _unary_bits(symbols, coats)
    return np.packbits(bits, bitorder="little").tobytes(), bits.size


def decode(data: bytes, bits: int, count: int, code: str, *, coats: int = 0, width: int = 0) -> np.ndarray:
    """The ``count`` symbols that the first ``bits`` bits of ``data`` hold: uint8 (raw, unary) or int8 (stored).

    Raises CodeError unless ``data`` is exactly what :func:`encode` would have made of them.
    """
    _check(code, coats, width)
    if len(data) != -(-bits // 8):
        raise CodeError(f"bit stream must have {-(-bits // 8)} bytes for its {bits} bits, not {len(data)}")
    stream = np.unpackbits(np.frombuffer(data, np.uint8), bitorder="little")
    if stream[bits:].any():
        raise CodeError(f"bit {bits + int(np.argmax(stream[bits:]))} of the bit stream must be zero: it is padding")
    stream = stream[:bits]
    if code == "unary":
        return _unary_symbols(stream, count, coats)
    fixed = width if code == "stored" else raw_width(coats)
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


def coded_bits(counts, code: str) -> int:
    """Bits that coat indices with the histogram ``counts`` (of 0, 1, .., N) take in code "raw" or "unary"."""
    counts = np.asarray(counts, np.int64)
    coats = len(counts) - 1
    _check(code, coats, 0)
    if code == "raw":
        return int(counts.sum()) * raw_width(coats)
    return int(counts @ np.minimum(np.arange(coats + 1) + 1, coats))


def best_code(counts) -> str:
    """The smaller of "raw" and "unary" for coat indices with the histogram ``counts``; "raw" if they are equal."""
    return min(("raw", "unary"), key=lambda code: coded_bits(counts, code))


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
