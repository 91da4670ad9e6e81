"""What an engine costs in LUTs and flip-flops, or in square micrometres, for any configuration.

Cells of its blocks come from cached points of synthesis and a model of what lies between them
(:mod:`reports.area.model`). Memories are counted from the configuration and priced apart from the cells: flip-flops or
LUT memories where they are shallow, else block memories or SRAM macros (:mod:`reports.area.memories`).
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

from arch.config import EngineConfig
from reports.area.cost import Cost
from reports.area.memories import WEIGHT_PATH_MEMORIES, MemoryCost, asic_memory, fpga_memory, memories
from reports.area.model import TERMS, area_model
from reports.area.synthesis import FPGAS

__all__ = ["AreaReport", "WEIGHT_PATH", "area"]

WEIGHT_PATH = ("generator", "decoder_lane", "ans_table", "decoder", "builder")
"""Blocks that turn masks into weights."""

_DECODER = ("decoder_lane", "ans_table", "decoder")


@dataclass(frozen=True, kw_only=True)
class AreaReport:
    """Area of one engine on one target."""

    config: EngineConfig
    target: str
    #: Cells by block; every block as often as the engine has it.
    blocks: dict[str, Cost]
    #: Blocks whose cells are modelled, because this configuration of them has no point.
    modelled: tuple[str, ...]
    memories: tuple[MemoryCost, ...]
    #: Square micrometres of the library's smallest NAND2; 0 for an FPGA.
    nand2_um2: float

    @property
    def unit(self) -> str:
        """Unit of ``total``, ``memory`` and ``breakdown``."""
        return "LUT" if self.target in FPGAS else "um2"

    def _sum(self, names: tuple[str, ...]) -> Cost:
        return sum((self.blocks[name] for name in names if name in self.blocks), Cost())

    @property
    def logic(self) -> Cost:
        """All cells, memories left out."""
        return self._sum(tuple(self.blocks))

    @property
    def array(self) -> Cost:
        """All columns, weight slots and partial sums left out."""
        return self.blocks["column"]

    @property
    def lane(self) -> Cost:
        """One multiply position: a column's share, its part of tree and accumulator included."""
        return self.array * (1 / self.config.macs_per_cycle)

    @property
    def generator(self) -> Cost:
        """The random stream."""
        return self._sum(("generator",))

    @property
    def decoder(self) -> Cost:
        """The coat decoder: lanes, requests, the table builder."""
        return self._sum(_DECODER)

    @property
    def builder(self) -> Cost:
        """The weight builder."""
        return self._sum(("builder",))

    @property
    def weight_path(self) -> Cost:
        """Generator, decoder and weight builder."""
        return self._sum(WEIGHT_PATH)

    @property
    def nand2(self) -> float:
        """The logic in NAND2 equivalents; 0 for an FPGA."""
        return self.logic.um2 / self.nand2_um2 if self.nand2_um2 else 0.

    @property
    def memory(self) -> float:
        """All memories in the target's unit: LUTs used as memory, block memories left out; or square micrometres."""
        return sum(memory.main for memory in self.memories)

    @property
    def memory_blocks(self) -> int:
        """Block memories of 18 Kbit of an FPGA."""
        return sum(memory.blocks for memory in self.memories)

    @property
    def total(self) -> float:
        """Logic and memories in the target's unit; block memories left out."""
        return self.logic.main + self.memory

    @property
    def breakdown(self) -> dict[str, float]:
        """Every block and every kind of memory by name, in the target's unit; they add up to ``total``."""
        return ({name: cost.main for name, cost in self.blocks.items()}
                | {memory.shape.name: memory.main for memory in self.memories})

    def to_json(self) -> dict:
        """Plain JSON values."""
        return {
            "config": dataclasses.asdict(self.config), "target": self.target, "unit": self.unit, "total": self.total,
            "logic": self.logic.main, "memory": self.memory, "memory_blocks": self.memory_blocks,
            "nand2_equivalents": self.nand2, "modelled": list(self.modelled),
            "blocks": {name: dataclasses.asdict(cost) for name, cost in self.blocks.items()},
            "memories": {memory.shape.name: {**dataclasses.asdict(memory.shape), "kind": memory.kind,
                                             "luts": memory.luts, "blocks": memory.blocks, "um2": memory.um2}
                         for memory in self.memories},
        }


def suited(config: EngineConfig, target: str) -> EngineConfig:
    """``config`` with the lanes that suit ``target``: planes on FPGAs; multipliers in standard cells, where planes as
    they are gain at most 1 % for weights of 2 bits and lose for 4 (docs/lane.md)."""
    return dataclasses.replace(config, lane="planes" if target in FPGAS else "multiplier")


def area(config: EngineConfig, target: str, *, weight_path: bool = True) -> AreaReport:
    """Area of an engine on ``target``, from cached points: no synthesis runs.

    ``weight_path=False`` leaves out random stream, coat decoder and weight builder with their memories: the least that
    an engine for stored weights alone would have. Raises StalePoint for a target without points of this RTL, and
    ValueError for lanes of planes outside of FPGAs.
    """
    if config.lane == "planes" and target not in FPGAS:
        raise ValueError(f"target {target} has no points for lanes of planes, which are for {', '.join(FPGAS)}")
    model = area_model(target)
    names = [name for name in ("column", "generator", "decoder_lane", "ans_table", *TERMS)
             if weight_path or name not in WEIGHT_PATH]
    costs = {name: model.cost(name, config) for name in names}
    shapes = [shape for shape in memories(config) if weight_path or shape.name not in WEIGHT_PATH_MEMORIES]
    return AreaReport(
        config=config, target=target, blocks={name: cost for name, (cost, _) in costs.items()},
        modelled=tuple(name for name, (_, known) in costs.items() if not known),
        memories=tuple(fpga_memory(shape, target) if target in FPGAS
                       else asic_memory(shape, model.points.sram_cell, model.register_bit(shape.depth))
                       for shape in shapes),
        nand2_um2=model.points.nand2_area)
