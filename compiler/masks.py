"""Mask streams: a layer's coat indices or stored weights in the order in which the decoder lanes ask for them.

Source: docs/specification.md, "Mask stream (engine order)".
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from arch.config import MASK_WORD_BITS, EngineConfig

if TYPE_CHECKING:  # importing it would load torch, which the compiler does not need
    from golden.integer import IntegerLayer

_WORD_SHIFT = MASK_WORD_BITS.bit_length() - 1


@dataclass(frozen=True, eq=False)
class MaskStream:
    """The coded weights of one layer.

    ``words`` (uint16) are the stored words, ``bits`` the coded bits among them. ``tile_words[t]`` is how many stored
    words have been requested when column tile t begins; the last entry is for the layer's end.
    """

    words: np.ndarray
    bits: int
    tile_words: tuple[int, ...]

    def tile_beats(self, config: EngineConfig) -> int:
        """Beats that the largest column tile touches: what has to be kept to decode it again."""
        words_per_beat = config.bus_bits // MASK_WORD_BITS
        return max(-(-last // words_per_beat) - first // words_per_beat
                   for first, last in zip(self.tile_words, self.tile_words[1:]))


def _symbols(code: str, values: np.ndarray, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Every value's symbol and its length in bits, uint8."""
    if code == "unary":
        table = np.array([(1 << index) - 1 for index in range(size + 1)], np.uint8)
        return table[values], np.minimum(values + np.uint8(1), np.uint8(size))
    return values & np.uint8((1 << size) - 1), np.full_like(values, size)


def _engine_order(values: np.ndarray, config: EngineConfig) -> np.ndarray:
    """(out, ky, run) in step order: (steps, decoder lanes), 0 for positions outside the run and the layer.

    Columns outside the layer become steps or lanes without symbols: they consume nothing, so the stream is the same.
    """
    out, kernel, run = values.shape
    tiles, chunks = -(-out // config.columns), -(-run // config.lanes)
    padded = np.zeros((tiles * config.columns, kernel, chunks * config.lanes), values.dtype)
    padded[:out, :, :run] = values
    groups = config.columns // config.build_columns
    ordered = padded.reshape(tiles, groups, config.build_columns, kernel, chunks, config.lanes)
    return ordered.transpose(0, 3, 4, 1, 2, 5).reshape(-1, config.decoder_lanes)


def _lane_words(values: np.ndarray, starts: np.ndarray, words_per_lane: int) -> np.ndarray:
    """Each lane's symbols as 16-bit words: uint16 (decoder lanes, words_per_lane)."""
    lanes = values.shape[1]
    place = (starts >> _WORD_SHIFT) + np.arange(lanes) * words_per_lane
    shifted = values.astype(np.int64) << (starts & MASK_WORD_BITS - 1)
    # Symbols do not overlap, so adding them is or-ing them; a float64 holds every sum exactly.
    size = lanes * words_per_lane
    low = np.bincount(place.ravel(), (shifted & 0xFFFF).ravel(), size)
    high = np.bincount(place.ravel() + 1, (shifted >> MASK_WORD_BITS).ravel(), size)
    return (low + high).astype(np.uint16).reshape(lanes, words_per_lane)


def encode(code: str, values: np.ndarray, size: int, config: EngineConfig) -> MaskStream:
    """The mask stream of ``values``, uint8 of shape (out, ky, run): coat indices, or stored weights as bytes. ``size``
    is the width of a symbol, for "unary" the number of coats."""
    out, _, run = values.shape
    symbols, lengths = (_engine_order(part, config) for part in _symbols(code, values, size))
    after = np.cumsum(lengths, axis=0, dtype=np.int64)
    totals = after[-1]
    # A lane may request one whole word past its last one.
    words = _lane_words(symbols, after - lengths, int(totals.max() >> _WORD_SHIFT) + 2)

    crossed = after >> _WORD_SHIFT > after - lengths >> _WORD_SHIFT
    used = np.flatnonzero(np.arange(config.decoder_lanes) % config.lanes < min(config.lanes, run))
    lane = np.concatenate([used, used, np.nonzero(crossed)[1]])
    word = np.concatenate([np.zeros_like(used), np.ones_like(used), (after[crossed] >> _WORD_SHIFT) + 1])
    stored = np.flatnonzero(word * MASK_WORD_BITS < totals[lane])[-1] + 1

    tiles = -(-out // config.columns)
    requested = 2 * used.size + np.concatenate([[0], np.cumsum(crossed.reshape(tiles, -1).sum(1))])
    return MaskStream(words=words[lane[:stored], word[:stored]], bits=int(totals.sum()),
                      tile_words=tuple(np.minimum(requested, stored).tolist()))


def mask_stream(layer: IntegerLayer, config: EngineConfig) -> MaskStream:
    """The mask stream of ``layer`` for an engine of ``config``."""
    weights = layer.stored.view(np.uint8) if layer.code == "stored" else layer.indices
    return encode(layer.code, weights.reshape(*weights.shape[:2], -1), layer.symbol_bits, config)
