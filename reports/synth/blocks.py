"""Which block of the engine a cell is part of, by its hierarchical name."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass

from hw.emit import ACCELERATOR_MODULE, COLUMN_MODULE, LANE_MODULE
from reports.area.blocks import TOP as BLOCK_MODULE
from reports.synth.harness import INSTANCE
from reports.synth.targets import Target, cell_kinds

__all__ = ["ADDED", "COLUMN", "HARNESS", "Resources", "block_of", "kept_modules", "resources"]

COLUMN = "columns"
HARNESS = "harness"
ADDED = "added by nextpnr"
_ADDED = ("$nextpnr", "$PACKER", "$gbuf")

_BLOCKS = {
    "engine.array.column_*": COLUMN,
    "engine.array": "array control",
    "engine.builder.random_*": "generator",
    "engine.builder": "weight builder",
    "engine.decoder.lane_*": "decoder",
    "engine.decoder": "decoder",
    "engine.masks": "mask buffer",
    "engine.parameters": "parameter buffer",
    "engine.activations": "activations",
    "engine.sequencer": "sequencer",
    "engine.dispatcher": "dispatcher",
    "engine.post.requantiser": "requantiser",
    "engine.post": "post-processor",
    **{f"engine.{part}": "memory interface" for part in (
        "load", "store", "arbiter", "crc", "mask_checker", "parameter_checker", "program_reader", "mask_reader",
        "parameter_reader", "load_reader")},
    "bridge": "memory interface",
    "control": "registers",
    "": "queues and counters",
}
"""Instances in the accelerator, and the block each is: what is inside another one's is not that one's."""

_MODULES = {"engine.array.column_*": COLUMN_MODULE, "engine.decoder.lane_*": LANE_MODULE}


def _pattern(path: str) -> str:
    return re.escape(path).replace(r"\*", r"\d+")


def kept_modules(verilog: str) -> list[str]:
    """Modules that are synthesised each by itself, so that no LUT belongs to two blocks; those of columns are not among
    them."""
    names = {_MODULES.get(path, ".".join(filter(None, (ACCELERATOR_MODULE, path)))) for path in _BLOCKS}
    # A number follows where Amaranth has used a name already.
    kept = re.compile("|".join(rf"{_pattern(name)}(\$\d+)?" for name in {BLOCK_MODULE} | names - {COLUMN_MODULE}))
    return [name for name in re.findall(r"^module \\?([^\s(]+)", verilog, re.MULTILINE) if kept.fullmatch(name)]


_PATHS = tuple((re.compile(_pattern(".".join(filter(None, (INSTANCE, path)))) + r"(\.|$)"), name)
               for path, name in sorted(_BLOCKS.items(), key=lambda item: -len(item[0])))


def block_of(cell: str) -> str:
    """Block of a cell of the flat netlist.

    >>> block_of("dut.engine.decoder.lane_3.window_LUT4_A"), block_of("serial_in_IB")
    ('decoder', 'harness')
    """
    path = cell.replace("$flatten", "").replace("\\", "")
    rest = ADDED if path.startswith(_ADDED) else HARNESS
    return next((name for pattern, name in _PATHS if pattern.match(path)), rest)


@dataclass(frozen=True, kw_only=True)
class Resources:
    """Cells of a part of a design. Units: LUTs, flip-flops, block memories, multiplier blocks (docs/synth.md)."""

    lut: int = 0
    ff: int = 0
    bram: int = 0
    dsp: int = 0

    def __add__(self, other: Resources) -> Resources:
        return Resources(**{name: count + getattr(other, name) for name, count in asdict(self).items()})


def resources(cells: Iterable[tuple[str, str]], target: Target) -> Mapping[str, Resources]:
    """Resources by block, the largest first, from names and types of cells."""
    kinds = cell_kinds(target)
    found: dict[str, Resources] = {}
    for name, cell in cells:
        kind, count = kinds.get(cell, (None, 0))
        if kind is not None:
            block = block_of(name)
            found[block] = found.get(block, Resources()) + Resources(**{kind: count})
    return dict(sorted(found.items(), key=lambda item: -item[1].lut))
