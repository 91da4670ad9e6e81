"""Variants of the lane, synthesised: cells of a lane of the column of a preset. Record and command: docs/lane.md."""

from __future__ import annotations

import argparse
import dataclasses
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from arch.config import LANES, MAX_COATS, PRESETS, EngineConfig
from hw.column import Column
from reports.area.blocks import standalone_verilog
from reports.area.cost import cost_of_cells
from reports.area.library import Library
from reports.area.memories import fpga_memory, memories
from reports.area.synthesis import FPGAS, commands, run_yosys
from reports.engines import coat_engine, stored_engine
from reports.tables import print_markdown
from reports.tools import find_yosys

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
    """All variants for one coat, for up to seven and for int8. ``library`` is that of a target that is no FPGA. Raises
    RuntimeError if Yosys fails."""
    base = PRESETS[preset]
    for engine in coat_engine(base, 1), coat_engine(base, MAX_COATS), stored_engine(base, 8):
        for variant, lane, group in _variants(engine):
            config = dataclasses.replace(engine, lane=lane)
            text = standalone_verilog(Column(config, sign_group=group))
            module, _ = run_yosys(text, commands(target, library), yosys, library)
            cost = cost_of_cells(module["num_cells_by_type"], module.get("area", 0.), target)
            slots = 0
            if target in FPGAS:
                (shape,) = (shape for shape in memories(config) if shape.name == "weight slots")
                slots = fpga_memory(shape, target).luts
            yield LaneCost(variant=variant, weight_bits=config.weight_bits, logic=cost.main / config.lanes,
                           slots=slots / config.macs_per_cycle, flip_flops=cost.flip_flops / config.lanes)


def _cells(cost: LaneCost, fpga: bool) -> tuple[str, ...]:
    numbers = (cost.logic, cost.slots, cost.logic + cost.slots, cost.flip_flops) if fpga else (cost.logic,)
    return f"{cost.weight_bits}", cost.variant, *(f"{number:.1f}" for number in numbers)


def main(arguments: list[str] | None = None) -> int:
    """Exit status of ``python -m reports.lanes``."""
    parser = argparse.ArgumentParser(prog="python -m reports.lanes", description=__doc__)
    parser.add_argument("target", help=f"{', '.join(FPGAS)}, or another name with --liberty")
    parser.add_argument("--preset", choices=PRESETS, default="edge", help="engine (default: %(default)s)")
    parser.add_argument("--liberty", type=Path, nargs="+", help="Liberty files of standard cells")
    parser.add_argument("--yosys", help="Yosys to run")
    options = parser.parse_args(arguments)
    fpga = options.target in FPGAS
    if fpga == bool(options.liberty):
        parser.error(f"{', '.join(FPGAS)} take no --liberty, and other targets need it")
    header = ("weight bits", "lane", *(("logic", "weight slots", "sum", "flip-flops") if fpga else ("um2",)))

    def rows() -> Iterator[tuple[str, ...]]:
        # No memory is priced: any area of an SRAM cell will do.
        library = None if fpga else Library.known(options.target, options.liberty, sram_cell=1.)
        costs = lane_costs(options.preset, options.target, yosys=find_yosys(options.yosys), library=library)
        return (_cells(cost, fpga) for cost in costs)

    return print_markdown(header, rows, unit="lane")


if __name__ == "__main__":
    sys.exit(main())
