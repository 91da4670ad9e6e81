"""Named sets of what one action costs, in picojoules, from the files in ``reports/constants``.

A set is never mixed with another: between sources, figures of some actions differ by more than ten times. What a set
says nothing about costs nothing in it, and is named (:attr:`CostSet.uncovered`).
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path

FOLDER = Path(__file__).parent / "constants"
"""One JSON file per set, with its provenance."""


@dataclass(frozen=True)
class SramPoint:
    """One access of all ``bits`` bits of a word of a macro of ``bytes`` bytes."""

    bytes: int
    bits: int
    read_pj: float
    write_pj: float


@dataclass(frozen=True)
class Measured:
    """A measured price: replaces that of ``action`` in ``component`` (:func:`reports.energy.prices`) for engines of
    ``weight_bits``, or of any width if None."""

    component: str
    action: str
    pj: float
    weight_bits: int | None = None


def _line(x: float, points: list[tuple[float, float]]) -> float:
    """The value at ``x`` of the line through the two ``points`` (ascending in x) around it, or nearest to it."""
    if len(points) == 1:
        return points[0][1]
    upper = next((index for index in range(1, len(points) - 1) if x <= points[index][0]), len(points) - 1)
    (x0, y0), (x1, y1) = points[upper - 1], points[upper]
    return y0 + (y1 - y0) * (x - x0) / (x1 - x0)


@dataclass(frozen=True, kw_only=True, eq=False)
class CostSet:
    """What actions cost in one source's figures. Energies are in pJ.

    - Multipliers: in proportion to the product of the operands' widths, from one of ``multiply_bits``.
    - Adders and registers: in proportion to their width.
    - SRAM: by size and width, from points. Along the sizes of one width, and then across widths, log(energy) is linear
      in log(size) and log(width) between the two nearest points. Beyond the smallest and largest size the line through
      the nearest two goes on; beyond the narrowest and widest word energy is proportional to width.
    """

    name: str
    title: str
    #: Technology node the figures are for, in nm.
    node_nm: int
    source: str
    #: Command and versions of the tools that made the file; empty for published figures.
    command: str | None
    versions: dict[str, str]
    multiply_bits: tuple[int, int]
    multiply_pj: float
    #: The multiplier's figure is that of a multiply-accumulate.
    multiply_includes_add: bool
    #: One bit of an adder, one bit written into a register; None if the source has no figure.
    add_bit_pj: float | None
    register_bit_pj: float | None
    sram: tuple[SramPoint, ...]
    measured: tuple[Measured, ...] = ()
    #: Cost of a multiply-accumulate with a zero weight over another's: 1 where the source does not tell them apart.
    zero_mac: float = 1.
    #: The clock pin of one flip-flop, per cycle; None if the source has no figure.
    clock_bit_pj: float | None = None

    @property
    def uncovered(self) -> tuple[str, ...]:
        """What costs nothing here because the source has no figure for it."""
        adders = "adders outside the array" if self.multiply_includes_add else "adders"
        parts = {adders: self.add_bit_pj, "registers": self.register_bit_pj, "clock": self.clock_bit_pj}
        # What has adders outside the array is measured as a whole.
        return tuple(name for name, price in parts.items() if price is None and not (name == adders and self.measured))

    def multiply(self, one: int, other: int) -> float:
        """A multiplier of ``one`` by ``other`` bits."""
        return self.multiply_pj * one * other / math.prod(self.multiply_bits)

    def add(self, bits: float) -> float:
        """Adders of ``bits`` bits together."""
        return bits * (self.add_bit_pj or 0.)

    def register(self, bits: float) -> float:
        """Registers of ``bits`` bits together, written once."""
        return bits * (self.register_bit_pj or 0.)

    def clock(self, bits: float) -> float:
        """Clock pins of ``bits`` flip-flops in a cycle."""
        return bits * (self.clock_bit_pj or 0.)

    @cached_property
    def _columns(self) -> dict[str, list[tuple[float, list[tuple[float, float]]]]]:
        """For "read" and "write": log2(bits) ascending, each with its (log2(bytes), log2(pJ)), ascending."""
        widths = sorted({point.bits for point in self.sram})
        return {port: [(math.log2(width), sorted((math.log2(point.bytes), math.log2(getattr(point, f"{port}_pj")))
                                                 for point in self.sram if point.bits == width)) for width in widths]
                for port in ("read", "write")}

    def _sram(self, port: str, size: float, bits: int) -> float:
        columns, width = self._columns[port], math.log2(bits)
        inside = min(max(width, columns[0][0]), columns[-1][0])
        near = [(at, points) for at, points in columns if at <= inside][-1:] + [
            (at, points) for at, points in columns if at >= inside][:1]
        if near[0][0] == near[-1][0]:
            near = near[:1]
        value = _line(inside, [(at, _line(math.log2(size), points)) for at, points in near])
        return 2 ** (value + width - inside)

    def read(self, size: float, bits: int) -> float:
        """Reading a word of ``bits`` bits of an SRAM of ``size`` bytes."""
        return self._sram("read", size, bits)

    def write(self, size: float, bits: int) -> float:
        """Writing one."""
        return self._sram("write", size, bits)


def read_cost_set(path: Path) -> CostSet:
    """The set in a JSON file. Raises ValueError, with the file's name, for one that is not as it should be."""
    advice = "make it again with reports/constants/points.py, or measured ones with python -m reports.gates"
    try:
        content = json.loads(path.read_text())
        multiply, add, register = content["multiply"], content["add"], content["register"]
        clock = content.get("clock")
        costs = CostSet(
            name=content["name"], title=content["title"], node_nm=content["node_nm"], source=content["source"],
            command=content["command"], versions=content["versions"], multiply_bits=tuple(multiply["bits"]),
            multiply_pj=multiply["pj"], multiply_includes_add=multiply["includes_add"],
            add_bit_pj=None if add is None else add["pj"] / add["bits"],
            register_bit_pj=None if register is None else register["pj"] / register["bits"],
            sram=tuple(SramPoint(**point) for point in content["sram"]),
            measured=tuple(Measured(**price) for price in content.get("measured", ())),
            zero_mac=content.get("zero_mac", 1.),
            clock_bit_pj=None if clock is None else clock["pj"] / clock["bits"])
    except (KeyError, TypeError, json.JSONDecodeError) as error:
        raise ValueError(f"{path}: not a constant set ({error!r}): {advice}") from error
    if not costs.sram:
        raise ValueError(f"{path}: sram must have points: {advice}")
    return costs


@lru_cache(maxsize=None)
def cost_sets() -> dict[str, CostSet]:
    """Every set of :data:`FOLDER` by name."""
    sets = (read_cost_set(path) for path in sorted(FOLDER.glob("*.json")))
    return {costs.name: costs for costs in sets}


def cost_set(name: str) -> CostSet:
    """The set ``name``. Raises ValueError for one there is not."""
    sets = cost_sets()
    if name not in sets:
        raise ValueError(f"constant set must be one of {', '.join(sets)}, not {name!r}")
    return sets[name]
