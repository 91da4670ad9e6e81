"""Cells of one block of an engine, from Yosys.

Memories are left out of a block's cells and listed instead, because what they cost is another question
(:mod:`reports.area.memories`).
"""

from __future__ import annotations

import hashlib
import json
import re
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from reports.area.blocks import BLOCKS, TOP, Sample, block_verilog
from reports.area.library import Library
from reports.area.outline import OUTLINE
from reports.area.sources import source_digest
from reports.tools import run_tool

__all__ = ["CELLS", "FPGAS", "MemoryShape", "Point", "commands", "mapped_netlist",
           "run_yosys", "sample_sources", "sample_verilog", "synthesise"]


@dataclass(frozen=True, kw_only=True)
class MemoryShape:
    """Memories of one shape in a block, all with one write port: ``count`` of ``depth`` words of ``width`` bits."""

    count: int
    depth: int
    width: int
    #: The read port has a register.
    registered: bool


@dataclass(frozen=True, kw_only=True)
class Point:
    """Cells of one block of one configuration on one target."""

    sample: Sample
    #: SHA-256 of the Verilog text, as synthesised.
    verilog: str
    #: Digest of the sources that the Verilog comes from.
    sources: str
    #: Cells by type, memories left out.
    cells: dict[str, int]
    #: Standard cells: square micrometres, and those of flip-flops and latches among them.
    area: float = 0.
    sequential_area: float = 0.
    memories: tuple[MemoryShape, ...] = ()

    def to_json(self) -> dict:
        """Plain JSON values."""
        values = asdict(self)
        sample = values.pop("sample")
        return {**sample, "overrides": dict(self.sample.overrides), **values}

    @classmethod
    def from_json(cls, values: dict) -> Point:
        """The inverse of :meth:`to_json`."""
        values = dict(values)
        sample = Sample(values.pop("block"), values.pop("preset"), tuple(values.pop("overrides").items()))
        memories = tuple(MemoryShape(**shape) for shape in values.pop("memories"))
        return cls(sample=sample, memories=memories, **values)


_MEMORIES = "setparam -set INIT 1'x t:$mem_v2; tee -q -o memories.txt dump t:$mem_v2"

FPGAS = {
    "ecp5": ("synth_ecp5 -top {top} -nodsp -abc9 -nowidelut -run :map_ram; " + _MEMORIES + "; rename -hide; "
             "synth_ecp5 -top {top} -nodsp -abc9 -nowidelut -run map_gates:check; tee -q -o stat.json stat -json"),
    "xc7": ("synth_xilinx -family xc7 -flatten -top {top} -nodsp -noiopad -noclkbuf -run :map_memory; "
            + _MEMORIES + "; rename -hide; "
            "synth_xilinx -family xc7 -flatten -top {top} -nodsp -noiopad -noclkbuf -run fine:check; "
            "tee -q -o stat.json stat -json"),
}
"""Yosys commands by FPGA family (Lattice ECP5, Xilinx 7-series): multiplier blocks off, memories left as they are.
Names are hidden because abc9 of Yosys 0.70 ends without a word on some netlists that have them. They are not those of
reports/synth/targets.py: cells here are those of a block for any engine, its memories and products counted apart."""

CELLS = ("synth -flatten -top {top} -run :fine; {memories}; opt -fast -full; opt -undriven -fine; techmap; opt -fast; "
         "dfflibmap {liberty} {dont_use}; opt; abc {liberty} {dont_use}; opt_clean; "
         "tee -q -o stat.json stat -json {liberty}")
"""The same for standard cells: mapped for delay without a clock constraint, as ABC does by default; no buffers."""


def sample_sources(sample: Sample) -> str:
    """Digest of the sources of a sample's Verilog, and of what is left out of it."""
    block = BLOCKS[sample.block]
    parts = source_digest(block.component.__module__), *(part.__name__ for part in block.without)
    return hashlib.sha256(" ".join(parts).encode()).hexdigest()


def sample_verilog(sample: Sample) -> str:
    """SHA-256 of a sample's Verilog."""
    return hashlib.sha256(block_verilog(sample).encode()).hexdigest()


def _memory_shapes(text: str) -> tuple[MemoryShape, ...]:
    shapes: dict[tuple, int] = {}
    for cell in text.split("cell $mem_v2 ")[1:]:
        values = dict(re.findall(r"parameter(?: signed)? \\(\w+) ([^\n]*)", cell))
        shape = int(values["SIZE"]), int(values["WIDTH"]), "1" in values["RD_CLK_ENABLE"].split("'")[1]
        shapes[shape] = shapes.get(shape, 0) + 1
    return tuple(MemoryShape(count=count, depth=depth, width=width, registered=registered)
                 for (depth, width, registered), count in sorted(shapes.items()))


def commands(target: str, library: Library | None, *, registers: bool = False) -> str:
    """Yosys commands for module ``topcoat_block``; ``library`` is the one of a target that is no FPGA, ``registers``
    turns memories into flip-flops there."""
    if library is None:
        return FPGAS[target].format(top=TOP)
    return CELLS.format(top=TOP, memories="memory_map" if registers else _MEMORIES,
                        liberty=" ".join(f"-liberty {name}" for name in library.texts()),
                        dont_use=" ".join(f"-dont_use {name}" for name in library.dont_use))


def synthesise(sample: Sample, target: str, *, yosys: str, library: Library | None = None) -> Point:
    """Synthesise one block; ``library`` is the one of a target that is no FPGA. Raises RuntimeError if Yosys fails."""
    try:
        module, memories = run_yosys(block_verilog(sample), commands(
            target, library, registers=BLOCKS[sample.block].registers), yosys, library)
    except RuntimeError as error:
        raise RuntimeError(f"{sample} for {target}: {error}") from None
    cells = {cell: count for cell, count in module["num_cells_by_type"].items()
             if not cell.lstrip("\\").startswith(OUTLINE) and cell not in ("$mem_v2", "$scopeinfo")}
    if unmapped := [cell for cell in cells if cell.startswith("$")]:
        raise RuntimeError(f"Yosys left {', '.join(sorted(unmapped))} in {sample} for {target}")
    return Point(sample=sample, verilog=sample_verilog(sample), sources=sample_sources(sample), cells=cells,
                 area=module.get("area", 0.), sequential_area=module.get("sequential_area", 0.), memories=memories)


def run_yosys(text: str, script: str, yosys: str,
              library: Library | None = None) -> tuple[dict, tuple[MemoryShape, ...]]:
    """``stat`` of a module after ``script``, and its memories. Raises RuntimeError if Yosys fails."""
    stat, dump = _run(text, script, ["stat.json", "memories.txt"], yosys, library)
    (module,) = json.loads(stat)["modules"].values()
    return module, _memory_shapes(dump)


def mapped_netlist(sample: Sample, *, yosys: str, library: Library) -> dict:
    """The netlist that :func:`synthesise` counts the cells of, with its memories and outlines, as Yosys's JSON. Raises
    RuntimeError if Yosys fails."""
    script = commands(library.name, library, registers=BLOCKS[sample.block].registers)
    try:
        text, = _run(block_verilog(sample), f"{script}; write_json netlist.json", ["netlist.json"], yosys, library)
    except RuntimeError as error:
        raise RuntimeError(f"{sample} for {library.name}: {error}") from None
    return json.loads(text)["modules"][TOP]


def _run(text: str, script: str, results: Sequence[str], yosys: str, library: Library | None) -> list[str]:
    """Texts of the files ``results`` that Yosys's ``script`` writes for a module. Raises RuntimeError if it fails."""
    with tempfile.TemporaryDirectory() as path:
        folder = Path(path)
        (folder / "block.v").write_text(text)
        (folder / "memories.txt").touch()
        for name, content in library.texts().items() if library else ():
            (folder / name).write_bytes(content)
        # The others are not always written.
        run_tool([yosys, "-p", f"read_verilog block.v; {script}"], folder, results[:1])
        return [(folder / name).read_text() for name in results]
