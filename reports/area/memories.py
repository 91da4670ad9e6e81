"""The memories of an engine, counted from its configuration, and what they cost."""

from __future__ import annotations

import math
from dataclasses import dataclass

from arch.config import ANS_BITS, MASK_WORD_BITS, MAX_COATS, EngineConfig
from arch.depths import ANS_BANKS
from hw.ans import ENTRIES, ans_entry
from hw.decoder import decode_step
from hw.masks import ROWS
from hw.parameters import parameter_row
from hw.walker import row_place
from hw.weights import slot_row
from reports.area import sram

__all__ = ["MemoryCost", "Shape", "WEIGHT_PATH_MEMORIES", "asic_memory", "fpga_memory", "memories"]

_BLOCKS = {36: 512, 18: 1024, 9: 2048, 4: 4096, 2: 8192, 1: 16384}
"""Words of a block memory by their width, read and write port alike: 18 Kbit, of ECP5 as of 7-series."""

_LUT_MEMORY = {"ecp5": (16, 4), "xc7": (32, 6)}
"""Words and bits of 4 LUTs used as memory."""

_SHALLOW_BITS = 1024
"""FPGA: a memory below this many bits per block memory it would take is built from LUTs."""


@dataclass(frozen=True, kw_only=True)
class Shape:
    """Memories of one kind in the engine, one write and one read port each."""

    name: str
    count: int
    depth: int
    width: int
    #: The read port has a register: without one it cannot be a block memory.
    registered: bool = True

    @property
    def bits(self) -> int:
        """Bits of all of them."""
        return self.count * self.depth * self.width


@dataclass(frozen=True, kw_only=True)
class MemoryCost:
    """Memories of one kind, priced."""

    shape: Shape
    #: "LUT", "block", "flip-flops" or "SRAM".
    kind: str
    #: LUTs used as memory; block memories (ECP5: 18 Kbit; 7-series: halves of 36 Kbit).
    luts: int = 0
    blocks: int = 0
    um2: float = 0.

    @property
    def main(self) -> float:
        """LUTs of an FPGA, square micrometres of standard cells."""
        return self.luts or self.um2


def memories(config: EngineConfig) -> tuple[Shape, ...]:
    """All memories of an engine that are worth counting. Queues of one or two entries are flip-flops in the blocks'
    cells; those of the memory interface, 7 to 15 entries deep, are not counted, nor are the sums of average pools."""
    depth = 1 << (config.rounds + 2).bit_length()
    return tuple(shape for shape in (
        Shape(name="activation memory", count=2 * config.activation_banks,
              depth=config.bank_bytes // (2 * config.lanes), width=8 * config.lanes),
        Shape(name="partial sums", count=2 * config.columns, depth=config.partial_sums, width=config.accumulator_bits),
        Shape(name="weight slots", count=config.columns, depth=config.weight_slots, width=slot_row(config).size,
              registered=False),
        Shape(name="mask buffer", count=1, depth=config.mask_bytes // config.bus_bytes, width=config.bus_bits),
        Shape(name="mask rows", count=1, depth=ROWS, width=config.refill_words * MASK_WORD_BITS, registered=False),
        Shape(name="parameters", count=1, depth=config.parameter_channels // config.requantiser_lanes,
              width=parameter_row(config).size),
        # Of two lanes, the second port reads, too: CACTI's cell grows by as much with any second port.
        Shape(name="ans tables", count=config.decoder_lanes, depth=ANS_BANKS * ENTRIES // config.table_lanes,
              width=ans_entry().size),
        Shape(name="ans counters", count=1, depth=MAX_COATS + 1, width=ANS_BITS + 1, registered=False),
        Shape(name="builder steps", count=1, depth=depth, width=decode_step(config).size, registered=False),
        Shape(name="builder places", count=1, depth=depth, width=row_place(config).size, registered=False),
    ))


WEIGHT_PATH_MEMORIES = ("ans tables", "ans counters", "builder steps", "builder places")
"""Memories of random stream, coat decoder and weight builder."""


def fpga_memory(shape: Shape, target: str) -> MemoryCost:
    """Block memories, or LUTs where blocks would be nearly empty or the read port has no register."""
    blocks = min(math.ceil(shape.width / width) * math.ceil(shape.depth / depth)
                 for width, depth in _BLOCKS.items())
    if shape.registered and shape.depth * shape.width >= _SHALLOW_BITS * blocks:
        return MemoryCost(shape=shape, kind="block", blocks=shape.count * blocks)
    words, bits = _LUT_MEMORY[target]
    return MemoryCost(shape=shape, kind="LUT",
                      luts=4 * shape.count * math.ceil(shape.depth / words) * math.ceil(shape.width / bits))


def asic_memory(shape: Shape, sram_cell: float, register_bit: float) -> MemoryCost:
    """SRAM macros with one read and one write port, or flip-flops of ``register_bit`` square micrometres per bit:
    whichever is smaller, but flip-flops where the read port has no register.

    A macro has CACTI's area at 45 nm times the ratio of the cells.
    """
    registers = MemoryCost(shape=shape, kind="flip-flops", um2=shape.bits * register_bit)
    if not shape.registered:
        return registers
    macro = sram.macro_area(shape.depth, shape.width) * sram_cell / sram.CELL
    return min(registers, MemoryCost(shape=shape, kind="SRAM", um2=shape.count * macro), key=lambda cost: cost.um2)
