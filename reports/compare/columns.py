"""Columns of a comparison's tables: what each shows of a row, in which unit, and where it comes from."""

from __future__ import annotations

from collections.abc import Callable

from reports.compare.rows import CHIPS, Comparison, Row
from reports.compare.units import (STREAM_NAMES, area_unit, byte_unit, energy_of, middle_price, number, range_text,
                                   set_names, span)
from reports.energy import COMPONENTS, Convention, Energy
from reports.tables import Column


def ratios(row: Row, other: Row) -> list[float]:
    """Energy of ``other`` over that of ``row``, each within a set and a DRAM cost."""
    return list(row.energy.against(other.energy).values())


def _accuracy(row: Row) -> str:
    return f"{100 * row.accuracy.value:.2f}" if row.accuracy else "not measured"


def overview(comparison: Comparison) -> list[Column]:
    """The table on top: what coats buy, then one column per section, areas on two targets at most."""
    packed, packed_size = byte_unit(max(row.costs.packed_bytes for row in comparison.rows))
    moved, moved_size = byte_unit(max(row.dram_bytes for row in comparison.rows))
    columns = [
        Column("accuracy", "% of test images", "source-accuracy", _accuracy),
        Column("packed", packed, "source-size", lambda row: number(row.costs.packed_bytes / packed_size)),
        Column("traffic", f"{moved} per frame", "source-traffic", lambda row: number(row.dram_bytes / moved_size)),
        Column("cycles", "cycles per frame", "source-time", lambda row: f"{row.cycles:,.0f}"),
        Column("rate", "frames per second", "source-time", lambda row: number(row.frames_per_second)),
        Column("energy", "µJ per frame", "source-energy", lambda row: range_text(span(row))),
        Column("on chip, 40 to 45 nm", "fJ per operation", "source-convention",
               lambda row: range_text(row.femtojoules_per_op[CHIPS[0].name])),
    ]
    for target in comparison.overview_targets:
        unit, size = area_unit(comparison.rows[0].area[target]["unit"])
        columns.append(Column(f"{target} area", unit, "source-area",
                              lambda row, target=target, size=size: number(row.area[target]["total"] / size)))
    return columns


def sizes(comparison: Comparison) -> list[Column]:
    """Size by three measures."""
    unit, size = byte_unit(max(row.costs.packed_bytes for row in comparison.rows))

    def kept(row: Row) -> str | None:
        return f"{100 * row.design.densities[0]:g}" if row.design.coats else None

    return [
        Column("kept", "% of weights", "source-size", kept),
        Column("code", "name", "source-size", lambda row: row.costs.code),
        Column("packed", unit, "source-size", lambda row: f"{row.costs.packed_bytes / size:.2f}"),
        Column("Shannon bound", unit, "source-size", lambda row: f"{row.costs.estimate.shannon_bytes / size:.2f}"),
        Column("paper's formula", unit, "source-size", lambda row: f"{row.costs.paper_bytes / size:.2f}"),
        Column("packed", "bit per weight", "source-size",
               lambda row: f"{8 * row.costs.packed_bytes / row.costs.weights:.3f}"),
        Column("int8 / packed", "times", "source-size",
               lambda row: number(comparison.int8.costs.packed_bytes / row.costs.packed_bytes)),
    ]


def traffic(comparison: Comparison) -> list[Column]:
    """Bytes by stream beside the floor."""
    unit, size = byte_unit(max(row.dram_bytes for row in comparison.rows))
    unit = f"{unit} per frame"
    source = "source-traffic"
    streams = [Column(name, unit, source, lambda row, key=key: f"{row.bytes[key] / size:.3f}")
               for name, key in STREAM_NAMES.items()]
    return [*streams,
            Column("total", unit, source, lambda row: f"{row.dram_bytes / size:.3f}"),
            Column("floor", unit, source, lambda row: f"{row.floor_bytes / size:.3f}"),
            Column("total / floor", "times", source, lambda row: f"{row.dram_bytes / row.floor_bytes:.3f}"),
            Column("int8 / total", "times", source,
                   lambda row: number(comparison.int8.dram_bytes / row.dram_bytes))]


def time(comparison: Comparison) -> list[Column]:
    """Cycles, and what follows at the stated clock."""
    return [
        Column("cycles", "cycles per frame", "source-time", lambda row: f"{row.cycles:,.0f}"),
        Column("utilisation", "% of multiply positions", "source-time",
               lambda row: f"{100 * row.costs.estimate.utilisation:.1f}"),
        Column("rate", f"frames per second at {comparison.clock_mhz:g} MHz", "source-time",
               lambda row: number(row.frames_per_second)),
        Column("memory rate", "MB per second", "source-time",
               lambda row: number(row.dram_bytes * row.frames_per_second / 1e6)),
    ]


def layers(row: Row) -> list[Column]:
    """Traffic and cycles of a layer, as (:class:`~compiler.estimate.LayerTraffic`,
    :class:`~compiler.estimate.LayerWeights`)."""
    traffic, time, batch = "source-traffic", "source-time", row.design.batch
    streams = [Column(name, "bytes per frame", traffic, lambda layer, key=key: f"{layer[0].bytes[key] / batch:,.0f}")
               for name, key in STREAM_NAMES.items() if key != "program_bytes"]
    return [
        Column("weights", "weights", "source-network", lambda layer: f"{layer[1].weights:,}"),
        Column("code", "name", "source-size", lambda layer: layer[1].code),
        Column("work", "multiply-accumulates per frame", "source-network", lambda layer: f"{layer[0].macs // batch:,}"),
        Column("cycles", "cycles per frame", time, lambda layer: f"{layer[0].cycles / batch:,.0f}"),
        Column("fetches of the weights", "times per frame", traffic,
               lambda layer: number(layer[0].mask_fetches / batch)),
        *streams,
    ]


def area(comparison: Comparison, target: str) -> list[Column]:
    """Logic and memories on one target, against int8."""
    unit, size = area_unit(comparison.rows[0].area[target]["unit"])

    def part(name: str, of: str) -> Column:
        return Column(name, unit, "source-area", lambda row: number(row.area[target][of] / size))

    def ratio(title: str, of: str) -> Column:
        return Column(title, "times", "source-area",
                      lambda row: f"{row.area[target][of] / comparison.int8.area[target][of]:.2f}")

    def widened(row: Row) -> str | None:
        return number(row.widened_area[target] / size) if row.widened_area else None

    blocks = [
        Column("block memories", "of 18 Kbit", "source-area", lambda row: f"{row.area[target]['memory_blocks']:,}"),
        ratio("block memories / int8", "memory_blocks")] if unit == "kLUT" else []
    return [part("logic", "logic"), part("memory", "memory"), part("total", "total"), ratio("total / int8", "total"),
            *blocks, Column("with the path of coats", unit, "source-area", widened)]


def energy(comparison: Comparison) -> list[Column]:
    """The range, ratios within a set, and every set at every DRAM cost."""
    unit, source = "µJ per frame", "source-energy"
    columns = [Column("range", unit, source, lambda row: range_text(span(row))),
               Column("int8 / this", "times", source, lambda row: range_text(ratios(row, comparison.int8)))]
    prices = [energy.dram_pj_per_bit for energy in comparison.rows[0].energies]
    for name in set_names(comparison):
        columns.append(Column(f"{name}, on chip", unit, source, lambda row, name=name: number(
            row.per_frame(energy_of(row, name, prices[0]).on_chip_pj))))
        columns += [Column(f"{name}, {price:g} pJ/bit", unit, source, lambda row, name=name, price=price: number(
            row.per_frame(energy_of(row, name, price).total_pj))) for price in dict.fromkeys(prices)]
    return columns


def conventions() -> list[Column]:
    """Energy per operation as the chips' papers count it."""
    def column(chip: Convention) -> Column:
        return Column(f"as {chip.title}", "fJ per operation", "source-convention",
                      lambda row: range_text(row.femtojoules_per_op[chip.name]))

    return list(map(column, CHIPS))


def parts(comparison: Comparison, name: str) -> list[Column]:
    """Energy by component in the constant set ``name``, with DRAM at the cost in the middle."""
    price, unit, source = middle_price(comparison), "µJ per frame", "source-energy"

    def column(title: str, value: Callable[[Energy], float]) -> Column:
        return Column(title, unit, source, lambda row: number(row.per_frame(value(energy_of(row, name, price)))))

    lacking = energy_of(comparison.rows[0], name, price).costs.uncovered
    return [*(column(part, lambda energy, part=part: energy.components[part]) for part in COMPONENTS
              if part not in lacking),
            column(f"DRAM, {price:g} pJ/bit", lambda energy: energy.dram_pj),
            column("total", lambda energy: energy.total_pj)]
