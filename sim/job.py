"""The folder through which a backend and the harness's C++ side (job.cpp) talk: written before a run, read after it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np

from arch.config import EngineConfig
from arch.counters import COUNTERS
from sim.harness import trace_bytes

DONE, ERROR, FAULT, TIMEOUT = 1, 2, 3, 4
"""Why the harness stopped."""

FAULTS = {
    1: "withdrew a valid, or changed its payload, before it was accepted",
    2: "asked for a burst outside the memory, or not aligned to a beat",
    3: "asked for a burst of no beats, of too many, or across a 4 KiB page",
}
"""What each fault code of memory.sv says of the engine."""

_HEADER = ("reason", "cycles", "fault", "error", "error_position", "samples", "layers_done", "read_bytes",
           "write_bytes", "stray", "first_stray")
_STALL_ONE = 1 << 12
_PAGE_BYTES = 4096


class ProgramLayer(Protocol):
    """What simulation needs to know about a layer; ``compiler.program.LayerPlan`` is one."""

    name: str
    macs: int
    output_address: int
    output_bytes: int
    output_shape: tuple[int, int, int]

    def tensor(self, content: bytes) -> np.ndarray: ...


class Program(Protocol):
    """What simulation needs to know about a compiled program; ``compiler.program.Program`` is one."""

    image: bytes
    program_address: int
    input_address: int
    input_bytes: int
    output_address: int
    output_bytes: int
    layers: tuple[ProgramLayer, ...]

    def pack_input(self, image: np.ndarray) -> bytes: ...

    def unpack_output(self, content: bytes) -> np.ndarray: ...


@dataclass(frozen=True, kw_only=True)
class MemoryTiming:
    """How the simulated memory behaves; the default is the ideal memory: one beat per cycle each way, no latency."""

    #: Cycles added before a read burst's first beat and before a write burst's ``write_done``.
    latency: int = 0
    #: (beats, cycles): at most that many beats in that many cycles, each way.
    rate: tuple[int, int] = (1, 1)
    #: Chance that a handshake is held up in a cycle.
    stall: float = 0.0
    #: Of the stalls.
    seed: int = 1

    def __post_init__(self):
        if not 0 <= self.latency < 1 << 20:
            raise ValueError(f"latency must be in 0..2^20-1, not {self.latency!r}")
        beats, cycles = self.rate
        if not 1 <= beats <= cycles < 1 << 15:
            raise ValueError(f"rate must be (beats, cycles) with 1 <= beats <= cycles < 2^15, not {self.rate!r}")
        if not 0 <= self.stall <= 0.95:
            raise ValueError(f"stall must be in 0..0.95, not {self.stall!r}")
        if not 0 < self.seed < 1 << 64:
            raise ValueError(f"seed must be in 1..2^64-1, not {self.seed!r}")

    @property
    def cycles_per_beat(self) -> float:
        """Average cycles a beat takes in a long burst."""
        return self.rate[1] / self.rate[0] / (1 - self.stall)


@dataclass(frozen=True)
class LayerTrace:
    """What a layer wrote. ``tensor`` and ``written`` have the layer's output shape; ``written`` is None if all of it
    is."""

    name: str
    cycles: int
    counters: dict[str, int]
    done_cycle: int
    missing: int
    stray: int
    first_stray: int
    tensor: np.ndarray | None
    written: np.ndarray | None


@dataclass(frozen=True)
class ImageRecord:
    """One image as the harness recorded it."""

    reason: int
    cycles: int
    fault: int
    error: int
    error_position: int
    layers_done: int
    read_bytes: int
    write_bytes: int
    counters: dict[str, int]
    layers: tuple[LayerTrace, ...]
    stray: int
    first_stray: int
    output: bytes


def cycle_limit(program: Program, config: EngineConfig, memory: MemoryTiming) -> int:
    """Cycles after which a run of one image is surely a hang: sixteen times what its work should take, and more."""
    compute = sum(layer.macs for layer in program.layers) / config.macs_per_cycle
    data = len(program.image) + 2 * sum(layer.output_bytes for layer in program.layers)
    beats = data / config.bus_bytes
    transfer = beats * (memory.cycles_per_beat + memory.latency / config.burst_beats)
    return int(100_000 + 100 * memory.latency + 16 * (compute + transfer))


def write_job(folder: Path, program: Program, images: list, config: EngineConfig, memory: MemoryTiming, *, limit: int,
              tensors: bool):
    """Writes the job that runs ``images``. Raises ValueError for an image or program of the wrong size."""
    inputs = [program.pack_input(image) for image in images]
    for index, data in enumerate(inputs):
        if len(data) != program.input_bytes:
            raise ValueError(f"image {index} must be packed into {program.input_bytes} bytes, not {len(data)}")
    end = max(len(program.image), program.input_address + program.input_bytes,
              program.output_address + program.output_bytes)
    settings = {
        "program_address": program.program_address, "input_address": program.input_address,
        "input_bytes": program.input_bytes, "output_address": program.output_address,
        "output_bytes": program.output_bytes, "images": len(inputs), "limit": limit, "tensors": int(tensors),
        "memory_bytes": -(-end // _PAGE_BYTES) * _PAGE_BYTES, "activation_bytes": config.activation_bytes,
        "bus_bytes": config.bus_bytes, "trace_bytes": trace_bytes(config), "counters": len(COUNTERS),
        "latency": memory.latency, "rate_beats": memory.rate[0], "rate_cycles": memory.rate[1],
        "stall": round(memory.stall * _STALL_ONE), "seed": memory.seed,
    }
    lines = [f"{name} {value}" for name, value in settings.items()]
    if config.trace:
        for layer in program.layers:
            if layer.output_bytes > config.activation_bytes:
                raise ValueError(f"layer {layer.name}: its output must fit the activation memory")
            lines.append(f"layer {layer.output_address} {layer.output_bytes}")
    (folder / "job.txt").write_text("\n".join(lines) + "\n")
    (folder / "memory.bin").write_bytes(program.image)
    (folder / "inputs.bin").write_bytes(b"".join(inputs))


def read_records(folder: Path, program: Program, config: EngineConfig) -> list[ImageRecord]:
    """What the harness recorded, one entry per image it stopped for."""
    data = np.fromfile(folder / "results.bin", dtype=np.uint8)
    position = 0

    def take(count: int) -> np.ndarray:
        nonlocal position
        position += count
        return data[position - count:position]

    def integers(count: int) -> list[int]:
        return take(8 * count).view("<u8").tolist()

    records = []
    while position < len(data):
        header = dict(zip(_HEADER, integers(len(_HEADER))))
        samples = [integers(1 + len(COUNTERS)) for _ in range(header.pop("samples"))]
        layers = []
        for index, layer in enumerate(program.layers[:header["layers_done"]] if config.trace else ()):
            done_cycle, missing, stray, first_stray, kept, mapped = integers(6)
            tensor = layer.tensor(take(layer.output_bytes).tobytes()) if kept else None
            written = take(layer.output_bytes).reshape(*layer.output_shape, -1).all(-1) if mapped else None
            start, end = (samples[min(at, len(samples) - 1)] for at in (index, index + 1))
            counters = {name: after - before for name, before, after in zip(COUNTERS, start[1:], end[1:])}
            layers.append(LayerTrace(layer.name, end[0] - start[0], counters, done_cycle, missing, stray, first_stray,
                                     tensor, written))
        records.append(ImageRecord(**header, counters=dict(zip(COUNTERS, samples[-1][1:])), layers=tuple(layers),
                                   output=take(program.output_bytes).tobytes()))
    return records
