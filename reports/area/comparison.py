"""Area of engines of equal throughput side by side: for one coat, for up to seven, and for int8."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

from arch.config import PRESETS
from reports.area.engine import area, suited
from reports.engines import coat_engine, stored_engine

__all__ = ["CoatArea", "HEADER", "compare_coats", "text_rows"]


@dataclass(frozen=True, kw_only=True)
class CoatArea:
    """One row of the comparison across coats; areas are in ``unit``."""

    preset: str
    target: str
    #: "1 coat", "2 to 7 coats", "int8", "int8, stored only": the last one has no path that makes weights from masks.
    engine: str
    #: "LUT" or "um2".
    unit: str
    lane: float
    array: float
    generator: float
    decoder: float
    builder: float
    #: Generator, decoder and builder / array.
    weight_path_share: float
    logic: float
    memory: float
    memory_blocks: int
    total: float
    #: Logic and total against the int8 engine with stored weights only: below 1 is smaller.
    logic_ratio: float
    total_ratio: float
    #: Blocks whose cells are modelled.
    modelled: tuple[str, ...]

    def to_json(self) -> dict:
        """Plain JSON values."""
        return dataclasses.asdict(self)


def compare_coats(preset: str, target: str) -> list[CoatArea]:
    """Engines of equal throughput: for one coat, for up to seven, and for int8 with and without the weight path; on
    FPGAs all with lanes of planes. Raises StalePoint for a target without points of this RTL."""
    config = suited(PRESETS[preset], target)
    reports = {
        "1 coat": area(coat_engine(config, 1), target),
        "2 to 7 coats": area(coat_engine(config, 7), target),
        "int8": area(stored_engine(config, 8), target),
        "int8, stored only": area(stored_engine(config, 8), target, weight_path=False),
    }
    base = reports["int8, stored only"]
    return [CoatArea(
        preset=preset, target=target, engine=engine, unit=report.unit, lane=report.lane.main, array=report.array.main,
        generator=report.generator.main, decoder=report.decoder.main, builder=report.builder.main,
        weight_path_share=report.weight_path.main / report.array.main, logic=report.logic.main, memory=report.memory,
        memory_blocks=report.memory_blocks, total=report.total, logic_ratio=report.logic.main / base.logic.main,
        total_ratio=report.total / base.total, modelled=report.modelled,
    ) for engine, report in reports.items()]


HEADER = ("engine", "lane", "array", "generator", "decoder", "builder", "weight path/array", "logic", "memory",
          "block memories", "total", "logic/int8", "total/int8")


def text_rows(rows: list[CoatArea]) -> list[tuple[str, ...]]:
    """Cells of the table under :data:`HEADER`."""
    def number(value: float) -> str:
        return f"{value:,.0f}" if value >= 1000 else f"{value:,.1f}"

    return [(row.engine, *map(number, (row.lane, row.array, row.generator, row.decoder, row.builder)),
             f"{row.weight_path_share:.1%}", number(row.logic), number(row.memory), str(row.memory_blocks or ""),
             number(row.total), f"{row.logic_ratio:.2f}x", f"{row.total_ratio:.2f}x") for row in rows]
