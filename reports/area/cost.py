"""What a part of the engine costs in cells, and how that is read from synthesis."""

from __future__ import annotations

from dataclasses import dataclass

from reports.area.synthesis import FPGAS, Point

__all__ = ["Cost", "cost_of_cells", "measured"]

LUT_CELLS = {
    "ecp5": {"LUT4": 1, "CCU2C": 2},
    "xc7": {**{f"LUT{inputs}": 1 for inputs in range(1, 7)}, "INV": 1, "SRL16E": 1, "SRLC32E": 1},
}
"""LUTs that a cell occupies. A carry cell of ECP5 is two LUTs; the carry cells and wide multiplexers of 7-series stand
beside LUTs that are counted already."""

FLIP_FLOPS = ("TRELLIS_FF", "FDRE", "FDSE", "FDCE", "FDPE")
"""Flip-flops of both families."""


@dataclass(frozen=True)
class Cost:
    """Cells of a part of the engine: LUTs and flip-flops of an FPGA, or the area of standard cells."""

    luts: float = 0.
    flip_flops: float = 0.
    #: Square micrometres, before placement.
    um2: float = 0.

    def __add__(self, other: Cost) -> Cost:
        return Cost(self.luts + other.luts, self.flip_flops + other.flip_flops, self.um2 + other.um2)

    def __mul__(self, count: float) -> Cost:
        return Cost(count * self.luts, count * self.flip_flops, count * self.um2)

    @property
    def main(self) -> float:
        """LUTs of an FPGA, square micrometres of standard cells."""
        return self.luts or self.um2


def measured(point: Point, target: str) -> Cost:
    """The cost of a point of ``target``."""
    return cost_of_cells(point.cells, point.area, target)


def cost_of_cells(cells: dict[str, int], area: float, target: str) -> Cost:
    """The cost of cells by type: those of an FPGA counted, else their area."""
    if target in FPGAS:
        return Cost(luts=sum(LUT_CELLS[target].get(cell, 0) * count for cell, count in cells.items()),
                    flip_flops=sum(cells.get(cell, 0) for cell in FLIP_FLOPS))
    return Cost(um2=area)
