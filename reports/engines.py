"""Engines of equal throughput that are held against each other: one coat, up to seven, stored weights."""

from __future__ import annotations

import dataclasses

from arch.config import MAX_COATS, EngineConfig

__all__ = ["coat_engine", "stored_engine"]


def coat_engine(config: EngineConfig, coats: int) -> EngineConfig:
    """``config`` with the narrowest weights for that many coats: ternary weights hold one, 4 bits hold seven. Raises
    ValueError for more."""
    if not 1 <= coats <= MAX_COATS:
        raise ValueError(f"coats must be in 1..{MAX_COATS}, not {coats}")
    return dataclasses.replace(config, weight_bits=2 if coats == 1 else 4)


def stored_engine(config: EngineConfig, bits: int) -> EngineConfig:
    """``config`` for stored weights of ``bits`` bits: as many multiply positions, weights of that width, of 2 bits at
    least, and sums of 32 bits if weights have 8."""
    return dataclasses.replace(config, weight_bits=max(bits, 2),
                               accumulator_bits=32 if bits == 8 else config.accumulator_bits)
