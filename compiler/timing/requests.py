"""Which words of a mask stream the decoder asks for, and when it needs them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from arch.config import MASK_WORD_BITS, EngineConfig

_SHIFT = MASK_WORD_BITS.bit_length() - 1


@dataclass(frozen=True, eq=False)
class Requests:
    """What the decoder does with the words of a layer's mask stream, step by step; the words of a stream are numbered
    in the order in which they are asked for, and those past the stored ones are zero.

    ``asked[s]`` is how many words have been asked for before step s (the last entry: in all). Before it decodes step s,
    every lane that takes part has word ``current[s]`` at its position, and word ``following[s]`` (or 0) behind it if it
    might reach that. All are int32.
    """

    asked: np.ndarray
    current: np.ndarray
    following: np.ndarray


def in_lockstep(code: str, out: int, run: int, config: EngineConfig) -> bool:
    """Whether all decoder lanes ask for words in the same steps of a layer with ``out`` output channels and runs of
    ``run`` weights: then a symbol may end with a word though the next one has not come (hw/decoder.py)."""
    return code in ("raw", "stored") and run % config.lanes == 0 and out % config.build_columns == 0


def requests(lengths: np.ndarray, part: np.ndarray, used: np.ndarray, longest: int, head: int, *,
             lockstep: bool = False) -> Requests:
    """Requests of lanes that consume ``lengths`` bits (steps, lanes) in the steps that they have a ``part`` in.

    ``used`` are the numbers of the lanes that ask for words, ``longest`` the bits of the longest symbol, ``head`` the
    bits that every lane has consumed before the first step, ``lockstep`` is :func:`in_lockstep`.
    """
    steps, lanes = lengths.shape
    after = np.cumsum(lengths, axis=0, dtype=np.int32)
    after += head
    before = after - lengths
    crossed = after >> _SHIFT > before >> _SHIFT
    asked = np.empty(steps + 1, np.int32)
    asked[0] = 2 * used.size
    np.cumsum(crossed.sum(axis=1, dtype=np.int32), out=asked[1:])
    asked[1:] += asked[0]
    # The word that a lane has asked for last before a step, and the one before that.
    newest, older = np.zeros((steps + 1, lanes), np.int32), np.zeros((steps + 1, lanes), np.int32)
    older[0, used] = np.arange(used.size)
    newest[0, used] = older[0, used] + used.size
    rank = np.cumsum(crossed, axis=1, dtype=np.int32) - 1
    np.multiply(rank + asked[:-1, None], crossed, out=newest[1:])
    np.maximum.accumulate(newest, axis=0, out=newest)
    np.multiply(newest[:-1], crossed, out=older[1:])
    np.maximum.accumulate(older, axis=0, out=older)
    short = part & ((before & MASK_WORD_BITS - 1) + longest >= MASK_WORD_BITS + lockstep)
    return Requests(asked, (older[:-1] * part).max(axis=1), (newest[:-1] * short).max(axis=1))
