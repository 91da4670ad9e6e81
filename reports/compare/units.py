"""Units that numbers of a comparison are shown in, and the numbers that tables and figures share."""

from __future__ import annotations

from collections.abc import Sequence

from reports.compare.rows import Comparison, Row
from reports.energy import Energy

STREAM_NAMES = {"masks or weights": "mask_bytes", "parameters": "parameter_bytes", "activations in": "load_bytes",
                "activations out": "store_bytes", "program": "program_bytes"}
"""Streams by the names that pages give them."""


def number(value: float) -> str:
    """Three significant digits, or all digits before the point; three decimals at most."""
    digits = 0 if abs(value) >= 100 else 1 if abs(value) >= 10 else 2 if abs(value) >= 1 else 3
    return f"{value:,.{digits}f}"


def range_text(values: Sequence[float]) -> str:
    """Least and most of the values; one number where they are the same."""
    low, high = number(min(values)), number(max(values))
    return low if low == high else f"{low} – {high}"


def byte_unit(largest: float) -> tuple[str, float]:
    """(unit, bytes in it) for values up to ``largest`` bytes."""
    return ("MiB", 2. ** 20) if largest >= 2 ** 20 else ("KiB", 2. ** 10)


def area_unit(unit: str) -> tuple[str, float]:
    """(unit to show, how many of ``unit`` are in it): thousands of LUTs, or square millimetres."""
    return ("kLUT", 1e3) if unit == "LUT" else ("mm²", 1e6)


def middle_price(comparison: Comparison) -> float:
    """The DRAM cost in the middle of those compared, in pJ/bit."""
    prices = sorted({energy.dram_pj_per_bit for energy in comparison.rows[0].energies})
    return prices[(len(prices) - 1) // 2]


def set_names(comparison: Comparison) -> list[str]:
    """The constant sets compared."""
    return list(dict.fromkeys(energy.costs.name for energy in comparison.rows[0].energies))


def energy_of(row: Row, name: str, price: float) -> Energy:
    """A row's energy in the constant set ``name`` with DRAM at ``price`` pJ/bit."""
    return next(energy for energy in row.energies if (energy.costs.name, energy.dram_pj_per_bit) == (name, price))


def span(row: Row) -> tuple[float, float]:
    """Least and most energy of a frame over all sets and DRAM costs, in microjoules."""
    return row.per_frame(row.energy.low.total_pj), row.per_frame(row.energy.high.total_pj)
