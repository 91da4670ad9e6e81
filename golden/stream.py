"""The random stream: Threefry2x32 (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", 2011) in NumPy.

A sign is a pure function of (seed, stream, index): no state is carried, so any tile order, lane count or skip reads
the same network. Source: docs/specification.md, "Random stream".
"""

from __future__ import annotations

import numpy as np

ROUNDS = (13, 20)
"""Round counts with published known answers: 13 (default; the fewest that pass BigCrush) and 20 (with margin)."""

BLOCK = 64
"""Signs in a block: one evaluation of the generator."""

_ROTATIONS = (13, 15, 26, 6, 17, 29, 16, 24)
_PARITY = 0x1BD11BDA


def blocks(seed: int, stream: int, first_block: int, count: int, rounds: int = 13) -> np.ndarray:
    """Raw words of ``count`` consecutive blocks: uint32 of shape (count, 2), word 0 first.

    ``seed`` is an unsigned 64-bit integer (key word 0 is its low half), ``stream`` an unsigned 32-bit id (counter
    word 1); counter word 0 is the block number. The key is injected after every fourth round, so 13 rounds end with
    one round behind the third injection. Raises ValueError for a value out of range or a block past 2**32 - 1.
    """
    if rounds not in ROUNDS:
        raise ValueError(f"rounds must be one of {ROUNDS}, not {rounds!r}")
    if not 0 <= seed < 1 << 64:
        raise ValueError(f"seed must be an unsigned 64-bit integer, not {seed!r}")
    if not 0 <= stream < 1 << 32:
        raise ValueError(f"stream must be an unsigned 32-bit id, not {stream!r}")
    if first_block < 0 or count < 0 or first_block + count > 1 << 32:
        raise ValueError(f"blocks must be within 0..2**32-1, not {count} from {first_block}")
    low, high = seed & 0xFFFFFFFF, seed >> 32
    key = [np.uint32(word) for word in (low, high, low ^ high ^ _PARITY)]
    words = np.empty((count, 2), np.uint32)
    words[:, 0] = np.arange(first_block, first_block + count, dtype=np.uint64)
    words[:, 1] = stream
    left, right = words[:, 0], words[:, 1]
    left += key[0]
    right += key[1]
    for step in range(rounds):
        rotation = _ROTATIONS[step % 8]
        left += right
        right[:] = (right << np.uint32(rotation)) | (right >> np.uint32(32 - rotation))
        right ^= left
        if step % 4 == 3:
            injection = step // 4 + 1
            left += key[injection % 3]
            right += key[(injection + 1) % 3]
            right += np.uint32(injection)
    return words


def signs(seed: int, stream: int, first_block: int, count: int, rounds: int = 13) -> np.ndarray:
    """Signs of ``count`` blocks: int8 of shape (count * 64,), +1 or -1. A set bit means -1."""
    octets = blocks(seed, stream, first_block, count, rounds).astype("<u4", copy=False).view(np.uint8)
    bits = np.unpackbits(octets.ravel(), bitorder="little").view(np.int8)
    return 1 - 2 * bits


def sign(seed: int, stream: int, index: int, rounds: int = 13) -> int:
    """Sign (+1 or -1) of one canonical index."""
    block, bit = divmod(index, BLOCK)
    return int(signs(seed, stream, block, 1, rounds)[bit])


def row_length(kernel_width: int, in_channels: int) -> int:
    """Canonical indices that one (out, ky) row takes: kernel_width * in_channels rounded up to a multiple of 64."""
    return -(-kernel_width * in_channels // BLOCK) * BLOCK


def canonical_index(out: int, ky: int, kx: int, channel: int, *, kernel_height: int, kernel_width: int,
                    in_channels: int) -> int:
    """Place of one weight in its stream: every (kx, channel) run starts a block."""
    return (out * kernel_height + ky) * row_length(kernel_width, in_channels) + kx * in_channels + channel


def weight_signs(seed: int, stream: int, out_channels: int, kernel_height: int, kernel_width: int, in_channels: int,
                 rounds: int = 13) -> np.ndarray:
    """Signs of a weight tensor: int8 of shape (out, ky, kx, channel), which is the canonical order, +1 or -1."""
    row = row_length(kernel_width, in_channels)
    rows = signs(seed, stream, 0, out_channels * kernel_height * row // BLOCK, rounds)
    rows = rows.reshape(out_channels, kernel_height, row)[:, :, :kernel_width * in_channels]
    return rows.reshape(out_channels, kernel_height, kernel_width, in_channels)
