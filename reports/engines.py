"""Engines of as many multiply positions that are held against each other: one coat, up to seven, stored weights."""

from __future__ import annotations

import dataclasses

from arch.config import MASK_WORD_BITS, MAX_COATS, EngineConfig

__all__ = ["coat_engine", "stored_engine"]


def coat_engine(config: EngineConfig, coats: int) -> EngineConfig:
    """``config`` with the narrowest weights for that many coats: ternary weights hold one, 4 bits hold seven. Raises
    ValueError for more."""
    if not 1 <= coats <= MAX_COATS:
        raise ValueError(f"coats must be in 1..{MAX_COATS}, not {coats}")
    return dataclasses.replace(config, weight_bits=2 if coats == 1 else 4)


def stored_engine(config: EngineConfig, bits: int) -> EngineConfig:
    """``config`` for stored weights of ``bits`` bits: as many multiply positions, weights of that width, of 2 bits at
    least, sums of 32 bits if weights have 8, and a weight buffer that gives a step's weights in every cycle, or as
    many as the memory interface is wide."""
    wanted = -(-bits * config.decoder_lanes // MASK_WORD_BITS)
    return dataclasses.replace(
        config, weight_bits=max(bits, 2), accumulator_bits=32 if bits == 8 else config.accumulator_bits,
        refill_words=max(config.refill_words, min(wanted, config.bus_bits // MASK_WORD_BITS)))
