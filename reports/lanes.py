"""Variants of the lane, synthesised: cells of a lane of the column of a preset. Record and command: docs/lane.md."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from arch.config import LANES, EngineConfig
from hw.column import Column
from reports.area.blocks import standalone_verilog
from reports.area.cost import cost_of_cells
from reports.area.library import Library
from reports.area.memories import fpga_memory, memories
from reports.area.synthesis import FPGAS, commands, find_yosys, run_yosys

__all__ = ["LaneCost", "lane_costs"]


@dataclass(frozen=True, kw_only=True)
class LaneCost:
    """A column / its lanes."""

    variant: str
    weight_bits: int
    #: LUTs, or square micrometres, of tree and accumulator.
    logic: float
    #: LUTs of an FPGA used as weight slots.
    slots: float
    flip_flops: float


def _variants(config: EngineConfig) -> Iterator[tuple[str, str, int]]:
    """Name, form of the lane, lanes that share a sign."""
    yield "multiplier", LANES[0], 1
    if config.weight_bits == 8:
        yield "planes", LANES[1], 1
        return
    for power in range(config.lanes.bit_length()):
        yield f"planes, signs relative within {1 << power}", LANES[1], 1 << power


def lane_costs(preset: str, target: str, *, yosys: str, library: Library | None = None) -> Iterator[LaneCost]:
    """All variants for weights of 2, 4 and 8 bits. ``library`` is that of a target that is no FPGA. Raises RuntimeError
    if Yosys fails."""
    for weight_bits, accumulator_bits in ((2, 24), (4, 24), (8, 32)):
        narrow = EngineConfig.preset(preset, weight_bits=weight_bits, accumulator_bits=accumulator_bits)
        for variant, lane, group in _variants(narrow):
            config = EngineConfig.preset(preset, lane=lane, weight_bits=weight_bits, accumulator_bits=accumulator_bits)
            text = standalone_verilog(Column(config, sign_group=group))
            module, _ = run_yosys(text, commands(target, library), yosys, library)
            cost = cost_of_cells(module["num_cells_by_type"], module.get("area", 0.), target)
            slots = 0
            if target in FPGAS:
                (shape,) = (shape for shape in memories(config) if shape.name == "weight slots")
                slots = fpga_memory(shape, target).luts
            yield LaneCost(variant=variant, weight_bits=weight_bits, logic=cost.main / config.lanes,
                           slots=slots / config.macs_per_cycle, flip_flops=cost.flip_flops / config.lanes)


def main():
    """Entry point of ``python -m reports.lanes``."""
    parser = argparse.ArgumentParser(prog="python -m reports.lanes", description=__doc__)
    parser.add_argument("target", help=f"{', '.join(FPGAS)}, or another name with --liberty")
    parser.add_argument("--preset", default="edge", help="engine configuration (default: edge)")
    parser.add_argument("--liberty", type=Path, nargs="+", help="Liberty files of standard cells")
    parser.add_argument("--yosys", help="Yosys to run")
    arguments = parser.parse_args()
    if (arguments.target in FPGAS) == bool(arguments.liberty):
        parser.error(f"{', '.join(FPGAS)} take no --liberty, and other targets need it")
    library = Library.known(arguments.target, arguments.liberty) if arguments.liberty else None
    print("| weight bits | lane | logic | weight slots | sum | flip-flops |\n|---|---|---|---|---|---|")
    for cost in lane_costs(arguments.preset, arguments.target, yosys=find_yosys(arguments.yosys), library=library):
        print(f"| {cost.weight_bits} | {cost.variant} | {cost.logic:.1f} | {cost.slots:.1f} "
              f"| {cost.logic + cost.slots:.1f} | {cost.flip_flops:.1f} |", flush=True)


if __name__ == "__main__":
    main()
