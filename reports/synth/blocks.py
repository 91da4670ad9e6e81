"""Which block of the engine a cell is part of, by its hierarchical name."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass

from reports.synth.harness import INSTANCE
from reports.synth.targets import Target, cell_kinds

__all__ = ["ADDED", "BLOCKS", "COLUMN", "HARNESS", "RESERVED", "Resources", "block_of", "column_module",
           "instances", "kept_modules", "resources"]

COLUMN = "columns"
HARNESS = "harness"
ADDED = "added by nextpnr"
_ADDED = ("$nextpnr", "$PACKER", "$gbuf")
RESERVED = "topcoat_reserved_"
"""What the names of cells begin with that are part of nothing and keep places free."""

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
    "registers": "registers",
    "": "queues and counters",
}
"""Instances in the accelerator, and the block each is: what is inside another one's is not that one's."""

BLOCKS = tuple(dict.fromkeys(_BLOCKS.values()))
"""Names of blocks."""


def _pattern(path: str) -> str:
    return re.escape(path).replace(r"\*", r"\d+")


_COLUMN = re.compile(r"(\w+\.)*array\.column_\d+")
# In whatever stands around an accelerator.
_KEPT = re.compile(rf"\w+|(\w+\.)?({'|'.join(_pattern(path) for path in _BLOCKS if path)})")
_MODULE = re.compile(r"^module \\?([^\s(]+)(.*?)^endmodule", re.DOTALL | re.MULTILINE)
_INSTANCE = re.compile(r"^  \\?(\S+) +(?:#\(.*?\) *)?\\?(\S+) +\(", re.MULTILINE)


def instances(verilog: str, top: str) -> dict[str, str]:
    """Modules by the paths of their instances in ``top``, without the u_ that emitted instances begin with."""
    bodies = dict(_MODULE.findall(verilog))
    found = {}

    def descend(module: str, path: str):
        for inner, name in _INSTANCE.findall(bodies[module]):
            if inner in bodies:
                found[f"{path}{name.removeprefix('u_')}"] = inner
                descend(inner, f"{path}{name.removeprefix('u_')}.")

    descend(top, "")
    return found


def kept_modules(verilog: str, top: str) -> list[str]:
    """Modules that are synthesised each by itself, so that no LUT belongs to two blocks; those of columns are not among
    them."""
    return sorted({module for path, module in instances(verilog, top).items()
                   if _KEPT.fullmatch(path) and not _COLUMN.fullmatch(path)})


def column_module(verilog: str, top: str) -> str | None:
    """The module of every column, if there are columns."""
    return next((module for path, module in instances(verilog, top).items() if _COLUMN.fullmatch(path)), None)


_PATHS = tuple((re.compile(_pattern(".".join(filter(None, (INSTANCE, path)))) + r"(\.|$)"), name)
               for path, name in sorted(_BLOCKS.items(), key=lambda item: -len(item[0])))


def block_of(cell: str) -> str:
    """Block of a cell of the flat netlist.

    >>> block_of("dut.u_engine.u_decoder.u_lane_3.window_LUT4_A"), block_of("serial_in_IB")
    ('decoder', 'harness')
    """
    path = re.sub(r"(?<=\.)u_", "", cell.replace("$flatten", "").replace("\\", ""))
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
