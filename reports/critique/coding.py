"""How small pruned weights can be made: the length of an adaptive arithmetic code, which is a real one, tables and all.

Symbols are coded with Krichevsky and Trofimov's estimate from those before them (IEEE Trans. Inf. Theory 27, 1981):
counts plus a half each. Nothing else is stored, and an arithmetic coder is within two bits of the length.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np


def adaptive_bits(counts: Sequence[int]) -> float:
    """Bits of a sequence in which symbol i occurs ``counts[i]`` times, in whatever order."""
    half = len(counts) / 2
    nats = math.lgamma(sum(counts) + half) - math.lgamma(half)
    nats -= sum(math.lgamma(count + .5) - math.lgamma(.5) for count in counts)
    return nats / math.log(2)


def stored_bits(weights: np.ndarray, bits: int) -> float:
    """Bits of a layer's weights, integers of ``bits`` bits: whether each is zero; magnitudes, and a sign each, of the
    others."""
    counts = np.bincount(np.abs(weights.ravel().astype(np.int64)), minlength=1 << bits - 1).tolist()
    zeros, nonzeros = counts[0], sum(counts[1:])
    return adaptive_bits((zeros, nonzeros)) + adaptive_bits(counts[1:]) + nonzeros
