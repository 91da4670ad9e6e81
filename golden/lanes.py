"""Bit streams of many decoder lanes as 16-bit words in the order in which the lanes request them.

Source: docs/specification.md, "Mask stream (engine order)".
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from arch.config import MASK_WORD_BITS

WORD_SHIFT = MASK_WORD_BITS.bit_length() - 1
"""A bit's word is its number shifted right by this."""


@dataclass(frozen=True, eq=False)
class LaneWords:
    """What :func:`interleave` makes of all lanes.

    ``words`` (uint16) are the stored words, ``bits`` the coded bits among them. ``requested`` (steps + 1) is how many
    words have been requested before each step, and after the last.
    """

    words: np.ndarray
    bits: int
    requested: np.ndarray


def interleave(values: np.ndarray, lengths: np.ndarray, used: np.ndarray,
               first: tuple[np.ndarray, np.ndarray] | None = None) -> LaneWords:
    """The words of lanes that consume ``lengths`` bits, of value ``values``, in every step; both (steps, lanes).

    A symbol has at most 16 bits, ``used`` are the numbers of the lanes that request words, all others have no symbols.
    ``first`` are values and lengths, at most 15, of what every lane has consumed before the first step.
    """
    if first is not None:
        values, lengths = (np.concatenate([head[None], body]) for head, body in zip(first, (values, lengths)))
    after = np.cumsum(lengths, axis=0, dtype=np.int64)
    totals = after[-1].copy()
    before = after - lengths
    # A lane may request one whole word past its last one.
    words = _lane_words(values, before, int(totals.max() >> WORD_SHIFT) + 2)

    after >>= WORD_SHIFT
    before >>= WORD_SHIFT
    crossed = after > before
    lane = np.concatenate([used, used, np.nonzero(crossed)[1]])
    word = np.concatenate([np.zeros_like(used), np.ones_like(used), after[crossed] + 1])
    stored = np.flatnonzero(word * MASK_WORD_BITS < totals[lane])[-1] + 1
    requested = 2 * used.size + np.concatenate([[0], np.cumsum(np.count_nonzero(crossed, axis=1))])
    return LaneWords(words[lane[:stored], word[:stored]], int(totals[used].sum()), requested[first is not None:])


def _lane_words(values: np.ndarray, starts: np.ndarray, words_per_lane: int) -> np.ndarray:
    """Each lane's symbols as words: uint16 (lanes, words_per_lane)."""
    lanes = values.shape[1]
    place = (starts >> WORD_SHIFT) + np.arange(lanes) * words_per_lane
    shifted = values.astype(np.int64) << (starts & MASK_WORD_BITS - 1)
    # Symbols do not overlap, so adding them is or-ing them; a float64 holds every sum exactly.
    size = lanes * words_per_lane
    low = np.bincount(place.ravel(), (shifted & 0xFFFF).ravel(), size)
    high = np.bincount(place.ravel() + 1, (shifted >> MASK_WORD_BITS).ravel(), size)
    return (low + high).astype(np.uint16).reshape(lanes, words_per_lane)
