"""NVDLA's published frame rates of ResNet-50 beside our model's arrays of as many multipliers."""

from __future__ import annotations

import math
from dataclasses import dataclass

from arch.config import EngineConfig
from compiler.geometry import geometries
from reports.design import Costs, Design, costs

SOURCE = "NVDLA Primer, nvdla.org, 'Example Area and Performance with NVDLA': int8 at 1 GHz, no on-chip SRAM"

CLOCK_HZ = 1e9


@dataclass(frozen=True)
class Published:
    """One row of the Primer's table, which calls it an estimate."""

    macs: int
    #: Convolution buffer, in KiB, for weights and activations together.
    buffer_kib: int
    #: GB/s of SDRAM.
    bandwidth: float
    #: Of ResNet-50, per second.
    frames: float
    #: Our array of as many multipliers.
    columns: int
    lanes: int


PUBLISHED = (
    Published(64, 128, 1, 7.3, 8, 8),
    Published(128, 256, 2, 20, 8, 16),
    Published(256, 256, 5, 46, 16, 16),
    Published(512, 256, 10, 93, 16, 32),
    Published(1024, 256, 15, 153, 32, 32),
    Published(2048, 512, 20, 269, 32, 64),
)


def engine(row: Published) -> EngineConfig:
    """`base` with another array, its widths in proportion: a weight buffer of NVDLA's size, and room for every map."""
    return EngineConfig.preset(
        "base", name=f"{row.columns} x {row.lanes}", columns=row.columns, lanes=row.lanes,
        requantiser_lanes=row.columns // 2, bus_bits=8 * row.lanes, refill_words=row.lanes // 4,
        mask_bytes=row.buffer_kib << 10, activation_bytes=4 << 20)


def compare(row: Published) -> dict:
    """Plain JSON values: published and modelled frames per second and utilisation; the model's cycles also with NVDLA's
    memory, where no map stays on chip: each layer takes its cycles or the time of its bytes, what is more."""
    found = costs(Design(network="resnet50", config=engine(row), coats=0, bits=8))
    run, per_cycle = found.estimate, row.bandwidth * 1e9 / CLOCK_HZ
    bound = sum(max(layer.cycles, spilled / per_cycle) for layer, spilled in zip(run.layers, _spilled(found)))
    peak = row.macs * CLOCK_HZ / run.macs
    return {"macs": row.macs, "array": found.engine.name, "bandwidth": row.bandwidth, "nvdla_frames": row.frames,
            "nvdla_utilisation": round(row.frames / peak, 4), "cycles": run.cycles,
            "frames": round(CLOCK_HZ / run.cycles, 2), "utilisation": round(run.utilisation, 4),
            "bound_frames": round(CLOCK_HZ / bound, 2), "bound_utilisation": round(CLOCK_HZ / bound / peak, 4)}


def _spilled(found: Costs) -> list[int]:
    """Bytes of each layer if its input, weights and output, and a residual, cross the memory interface once each."""
    layers = geometries(found.design.topology)
    sizes = {layer.name: layer.output_bytes for layer in layers}
    return [math.prod(layer.input_shape) + layer.layer.weights + layer.output_bytes + sizes.get(layer.layer.residual, 0)
            for layer in layers]
