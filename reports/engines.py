"""Engines of equal throughput that are held against each other: for one coat, for up to seven, and for int8."""

from __future__ import annotations

import dataclasses

from arch.config import MAX_COATS, EngineConfig

__all__ = ["coat_engine", "int8_engine"]


def coat_engine(config: EngineConfig, coats: int) -> EngineConfig:
    """``config`` with the narrowest weights for that many coats: ternary weights hold one, 4 bits hold seven. Raises
    ValueError for more."""
    if not 1 <= coats <= MAX_COATS:
        raise ValueError(f"coats must be in 1..{MAX_COATS}, not {coats}")
    return dataclasses.replace(config, weight_bits=2 if coats == 1 else 4)


def int8_engine(config: EngineConfig) -> EngineConfig:
    """``config`` as the int8 baseline: as many multiply positions, weights of 8 bits, sums of 32."""
    return dataclasses.replace(config, weight_bits=8, accumulator_bits=32)
