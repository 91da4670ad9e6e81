"""Standard-cell libraries: Liberty files, and what Yosys must know about them."""

from __future__ import annotations

import gzip
import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

__all__ = ["DONT_USE", "Library", "SRAM_CELLS"]

SRAM_CELLS = {"osu018": 146 * .18 ** 2, "sky130hd": 146 * .13 ** 2, "asap7": .270 * .108}
"""Square micrometres of a 6-transistor cell in the technology of well-known libraries: 146 F^2 as CACTI has it, for
ASAP7 10 fin by 2 gate pitches (Clark et al., Microelectronics Journal 53, 2016)."""

DONT_USE = {
    # Isolation cells of power domains; delay and clock cells.
    "sky130hd": ("*lpflow*", "*dly*", "*clkdly*"),
    # A flip-flop of fourfold strength: its inverting sibling of single strength and an inverter are smaller.
    "asap7": ("DFFHQx4*",),
}
"""Cells of well-known libraries that are not for plain logic."""

_CELL = re.compile(r'\bcell\s*\(\s*"?(\w+)"?\s*\)\s*\{(.*?)\barea\s*:\s*"?([\d.]+)', re.DOTALL)
_NAND2 = re.compile(r"(^|_)nand2(x|_|$)", re.IGNORECASE)


@dataclass(frozen=True)
class Library:
    """A standard-cell library."""

    name: str
    #: Liberty files, gzipped (.gz) or not.
    files: tuple[Path, ...]
    #: Square micrometres of an SRAM cell of that technology.
    sram_cell: float
    #: Cells that synthesis may not use, with wildcards.
    dont_use: tuple[str, ...] = ()

    @classmethod
    def known(cls, name: str, files: Sequence[Path], *, sram_cell: float | None = None,
              dont_use: Sequence[str] | None = None) -> Library:
        """The library ``name``, with what is known about it where nothing is given. Raises ValueError without an area
        of an SRAM cell."""
        cell = SRAM_CELLS.get(name) if sram_cell is None else sram_cell
        if not cell or cell < 0:
            raise ValueError(f"give the area of an SRAM cell in the technology of {name} with --sram-cell UM2")
        return cls(name, tuple(files), cell, tuple(DONT_USE.get(name, ()) if dont_use is None else dont_use))

    def texts(self) -> dict[str, bytes]:
        """Contents of the files by their names without .gz."""
        return {path.name.removesuffix(".gz"): gzip.decompress(path.read_bytes()) if path.suffix == ".gz"
                else path.read_bytes() for path in self.files}

    def digests(self) -> dict[str, str]:
        """SHA-256 of :meth:`texts`."""
        return {name: hashlib.sha256(text).hexdigest() for name, text in self.texts().items()}

    def nand2(self) -> tuple[str, float]:
        """Name and square micrometres of the smallest NAND2. Raises ValueError if no cell is named like one."""
        gates = [(float(cell[3]), cell[1]) for text in self.texts().values()
                 for cell in _CELL.finditer(text.decode("latin-1")) if _NAND2.search(cell[1])]
        if not gates:
            raise ValueError(f"{self.name}: no cell is named like a NAND2 (nand2_1, NAND2X1) to express areas in")
        size, name = min(gates)
        return name, size
