"""What the tools are given, and what our model says of it: ResNets with stored int8 weights on the baseline engine."""

from __future__ import annotations

import math
from dataclasses import dataclass

from arch.config import EngineConfig
from compiler.geometry import Geometry, geometries
from golden.topology import IMAGE
from reports.actions import LayerRecord, actions
from reports.costs import cost_set
from reports.design import Costs, Design, costs
from reports.energy import energies, prices
from reports.records import shape_record

COST_SET = "zigzag-45"
"""The constant set that both sides take their unit costs from."""

DRAM_PJ_PER_BIT = 8.
"""Both sides' cost of a bit of DRAM, in pJ."""

BITS = 8
"""Width of the stored weights."""


@dataclass(frozen=True, kw_only=True)
class Case:
    """One network on one engine, by our model."""

    network: str
    preset: str
    costs: Costs
    geometries: tuple[Geometry, ...]

    @classmethod
    def of(cls, network: str, preset: str) -> Case:
        """Raises ValueError for an unknown network or preset, CompileError if the engine cannot run it."""
        design = Design(network=network, config=EngineConfig.preset(preset), coats=0, bits=BITS)
        found = costs(design, sets=(COST_SET,), dram_pj_per_bit=(DRAM_PJ_PER_BIT,))
        return cls(network=network, preset=preset, costs=found, geometries=geometries(design.topology))

    def problem(self) -> dict:
        """Plain JSON values for the tools: layers, sizes and unit costs. Sizes in bytes, energies in pJ."""
        engine = self.costs.engine
        price = {(row.component, row.action): row.pj for row in prices(engine, cost_set(COST_SET))}
        return {
            "network": self.network, "preset": self.preset, "cost_set": COST_SET, "dram_pj_per_bit": DRAM_PJ_PER_BIT,
            "columns": engine.columns, "lanes": engine.lanes, "weight_slots": engine.weight_slots,
            "partial_sums": engine.partial_sums, "accumulator_bits": engine.accumulator_bits,
            "activation_bytes": engine.activation_bytes, "weight_bytes": engine.mask_bytes,
            "weight_bits_per_cycle": 16 * engine.refill_words, "bus_bits": engine.bus_bits,
            "multiply_accumulate_pj": price["array", "nonzero_macs"],
            "weight_slot_pj": price["weight slots", "slot_writes"] / engine.lanes,
            "sum_read_pj": price["partial sums", "sum_reads"], "sum_write_pj": price["partial sums", "sum_writes"],
            "weight_read_pj": price["mask buffer", "mask_buffer_reads"],
            "weight_write_pj": price["mask buffer", "mask_buffer_writes"],
            "activation_read_pj": price["activation memory", "activation_reads"],
            "activation_write_pj": price["activation memory", "activation_writes"],
            "layers": [_shape(geometry, engine) for geometry in self.geometries],
        }

    def records(self) -> list[LayerRecord]:
        """What each layer asks of the engine; with the program's bytes they add up to ``costs.record``."""
        return [shape_record(self.costs.engine, geometry, code="stored", mask_words=layer.mask_words,
                             pixel_tiles=layer.pixel_tiles, moved=layer.bytes, cycles=layer.cycles)
                for geometry, layer in zip(self.geometries, self.costs.estimate.layers)]

    def ours(self) -> list[dict]:
        """By layer, plain JSON values: cycles, bytes of DRAM by stream, accesses by memory, pJ by component."""
        engine, rows = self.costs.engine, []
        for geometry, layer, record in zip(self.geometries, self.costs.estimate.layers, self.records()):
            done = actions(record, engine)
            energy, = energies(done, engine, sets=(COST_SET,), dram_pj_per_bit=(DRAM_PJ_PER_BIT,)).energies
            parts = {name: pj for name, pj in energy.components.items() if name not in energy.costs.uncovered}
            parts["dram"] = energy.dram_pj
            rows.append({"name": geometry.name, "macs": layer.macs, "cycles": layer.cycles, "bytes": layer.bytes,
                         "accesses": {
                             "partial sums": {"read": done.sum_reads + done.sum_drains, "write": done.sum_writes},
                             "mask buffer": {"read": done.mask_buffer_reads, "write": done.mask_buffer_writes},
                             "activation memory": {"read": done.activation_reads, "write": done.activation_writes}},
                         "pj": {name: round(pj, 1) for name, pj in parts.items()}})
        return rows


def _shape(geometry: Geometry, engine: EngineConfig) -> dict:
    """A layer, and how the engine takes it: the largest pixel tile, in rows and columns, that divides the map and fits
    the partial sums, and the channels and kernel columns that lanes take at once."""
    layer, (height, width) = geometry.layer, geometry.map_shape[:2]
    channels = min(layer.in_channels, engine.lanes)
    tile = max(((rows, columns) for rows in range(1, height + 1) if height % rows == 0
                for columns in range(1, width + 1) if width % columns == 0
                if rows * columns <= engine.partial_sums), key=math.prod)
    return {"name": geometry.name, "in_channels": layer.in_channels, "out_channels": layer.out_channels,
            "kernel": layer.kernel, "stride": layer.stride, "padding": layer.padding,
            "input": list(geometry.input_shape[:2]), "map": [height, width], "tile": list(tile),
            "lane_channels": channels, "lane_taps": _parts(layer.kernel, _parts(layer.kernel * channels, engine.lanes)),
            "output_bits": 32 if layer.wide else 8, "image": layer.input == IMAGE}


def _parts(size: int, part: int) -> int:
    """How many parts of size ``part`` hold ``size``."""
    return -(-size // part)
