"""The folder through which a backend and the harness's C++ side (job.cpp) talk: written before a run, read after it."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np

from arch.config import EngineConfig
from arch.counters import COUNTERS, STREAMS
from arch.depths import PAGE_BYTES
from sim.harness import trace_bytes
from sim.memory import NO_FAULTS, Faults, MemoryTiming

DONE, ERROR, FAULT, TIMEOUT = 1, 2, 3, 4
"""Why the harness stopped."""

FAULTS = {
    1: "withdrew a valid, or changed its payload, before it was accepted",
    2: "asked for a burst outside the memory, or not aligned to a beat, at address {address:#x}",
    3: "asked for a burst of no beats, of too many, or across a 4 KiB page, at address {address:#x}",
    4: "asked for a burst that its program does not make then, at address {address:#x}",
}
"""What each fault code of memory.sv says of the engine."""

_HEADER = ("reason", "cycles", "fault", "fault_address", "error", "error_position", "error_segment", "samples",
           "operations_done", "read_bytes", "write_bytes", "stray", "first_stray")
_STALL_ONE = 1 << 12
_NEVER = (1 << 64) - 1


class ProgramLayer(Protocol):
    """What simulation needs to know about a network's layer; ``compiler.program.LayerPlan`` is one."""

    name: str
    #: Of one image.
    macs: int
    #: (height, width, channels).
    output_shape: tuple[int, int, int]
    output_type: np.dtype


class Operation(Protocol):
    """One LAYER operation: ``rows`` rows from ``first_row`` on of layer ``layer``'s tensor of image ``image`` of the
    batch, written to ``output_bytes`` bytes from ``output_address`` on, around the end of the activation memory."""

    layer: int
    image: int
    first_row: int
    rows: int
    output_address: int
    output_bytes: int


class Transfer(Protocol):
    """``bytes`` bytes from ``address`` of the memory on, moved by ``stream`` for layer ``layer``, or None."""

    stream: str
    address: int
    bytes: int
    layer: int | None


class Program(Protocol):
    """What simulation needs to know about a compiled program; ``compiler.program.Program`` is one. Regions are of all
    ``batch`` images of a run. Without ``transfers``, no burst is held against them and no bytes are attributed."""

    image: bytes
    batch: int
    program_address: int
    input_address: int
    input_bytes: int
    output_address: int
    output_bytes: int
    layers: tuple[ProgramLayer, ...]
    operations: tuple[Operation, ...]
    transfers: tuple[Transfer, ...]

    def pack_input(self, images: np.ndarray) -> bytes: ...

    def unpack_output(self, content: bytes) -> np.ndarray: ...


@dataclass(frozen=True)
class LayerTrace:
    """What the operations of a layer did in a run. ``tensor`` and ``written`` have the shape (batch, height, width,
    channels); ``written`` is None if all of it is, ``tensor`` if tensors were not kept."""

    name: str
    #: From each of its operations' layer_start to the next operation's, together.
    cycles: int
    counters: dict[str, int]
    #: Bytes that the memory saw, by ``<stream>_bytes``; empty if the program says nothing of transfers.
    bytes: dict[str, int]
    #: Cycle of the last operation's layer_done.
    done_cycle: int
    missing: int
    stray: int
    first_stray: int
    tensor: np.ndarray | None
    written: np.ndarray | None


@dataclass(frozen=True)
class RunRecord:
    """One run as the harness recorded it. ``layers`` are those of which all operations are done, in program order."""

    reason: int
    cycles: int
    fault: int
    fault_address: int
    error: int
    error_position: int
    error_segment: int
    operations_done: int
    read_bytes: int
    write_bytes: int
    counters: dict[str, int]
    #: Bytes of all layers and of none, as in :class:`LayerTrace`.
    bytes: dict[str, int]
    layers: tuple[LayerTrace, ...]
    stray: int
    first_stray: int
    output: bytes


def cycle_limit(program: Program, config: EngineConfig, memory: MemoryTiming) -> int:
    """Cycles after which a run is surely a hang: sixteen times what its work should take, and more."""
    compute = program.batch * sum(layer.macs for layer in program.layers) / config.macs_per_cycle
    data = len(program.image) + 2 * sum(operation.output_bytes for operation in program.operations)
    beats = data / config.bus_bytes
    transfer = beats * (memory.cycles_per_beat + memory.latency / config.burst_beats)
    return int(100_000 + 2 * config.watchdog_cycles + 100 * memory.latency + 16 * (compute + transfer))


def _check_operations(program: Program, config: EngineConfig):
    """Raises ValueError for an operation whose region is not that of its rows, or larger than the memory."""
    for operation in program.operations:
        layer = program.layers[operation.layer]
        height, width, channels = layer.output_shape
        if not 0 <= operation.first_row <= operation.first_row + operation.rows <= height:
            raise ValueError(f"layer {layer.name}: rows {operation.first_row} and {operation.rows - 1} more are not in "
                             f"a tensor of {height}")
        size = operation.rows * width * channels * layer.output_type.itemsize
        if operation.output_bytes != size:
            raise ValueError(f"layer {layer.name}: {operation.rows} rows must have {size} bytes, "
                             f"not {operation.output_bytes}")
        if size > config.activation_bytes:
            raise ValueError(f"layer {layer.name}: its output must fit the activation memory")


def write_job(folder: Path, program: Program, images: np.ndarray, config: EngineConfig, memory: MemoryTiming, *,
              limit: int, tensors: bool = True, strict: bool = True, faults: Faults = NO_FAULTS):
    """Writes the job that runs ``images``, ``program.batch`` of them at a time. Raises ValueError for an image or
    program of the wrong size."""
    batch = program.batch
    inputs = [program.pack_input(images[first:first + batch]) for first in range(0, len(images), batch)]
    for index, data in enumerate(inputs):
        if len(data) != program.input_bytes:
            raise ValueError(f"run {index} must have {program.input_bytes} bytes of images, not {len(data)}")
    _check_operations(program, config)
    end = max(len(program.image), program.input_address + program.input_bytes,
              program.output_address + program.output_bytes)
    settings = {
        "program_address": program.program_address, "input_address": program.input_address,
        "input_bytes": program.input_bytes, "output_address": program.output_address,
        "output_bytes": program.output_bytes, "runs": len(inputs), "limit": limit, "tensors": int(tensors),
        "memory_bytes": -(-end // PAGE_BYTES) * PAGE_BYTES, "activation_bytes": config.activation_bytes,
        "bus_bytes": config.bus_bytes, "trace_bytes": trace_bytes(config), "layers": len(program.layers),
        "streams": len(STREAMS), "strict": int(strict),
        "latency": memory.latency, "rate_beats": memory.rate[0], "rate_cycles": memory.rate[1],
        "stall": round(memory.stall * _STALL_ONE), "seed": memory.seed,
    }
    for name in ("read_error_beat", "write_error_beat", "stuck_cycle", "reset_cycle"):
        value = getattr(faults, name)
        settings[name] = _NEVER if value is None else value
    lines = [f"{name} {value}" for name, value in settings.items()]
    if config.trace:
        lines += [f"operation {operation.output_address} {operation.output_bytes}" for operation in program.operations]
    (folder / "job.txt").write_text("\n".join(lines) + "\n")
    (folder / "memory.bin").write_bytes(program.image)
    (folder / "inputs.bin").write_bytes(b"".join(inputs))
    none = len(program.layers)
    transfers = [(STREAMS.index(transfer.stream), transfer.address, transfer.bytes,
                  none if transfer.layer is None else transfer.layer)
                 for transfer in (program.transfers if strict else ())]
    (folder / "transfers.bin").write_bytes(np.array(transfers, "<u8").tobytes())


@dataclass(frozen=True)
class _OperationRecord:
    """One operation as recorded: samples before and after it, and what it wrote."""

    cycles: int
    counters: dict[str, int]
    done_cycle: int
    missing: int
    stray: int
    first_stray: int
    tensor: np.ndarray | None
    written: np.ndarray | None


def _layer_trace(program: Program, index: int, records: dict[int, _OperationRecord],
                 moved: dict[str, int]) -> LayerTrace:
    """Puts the strips of a layer together. ``records`` are of its operations, by their place in the program."""
    layer = program.layers[index]
    shape = (program.batch, *layer.output_shape)
    tensor = np.zeros(shape, layer.output_type)
    written = np.zeros(shape, bool)
    counters = Counter(dict.fromkeys(COUNTERS, 0))
    for number, record in records.items():
        counters.update(record.counters)
        if record.tensor is not None:
            operation = program.operations[number]
            rows = slice(operation.first_row, operation.first_row + operation.rows)
            tensor[operation.image, rows] = record.tensor
            written[operation.image, rows] = True if record.written is None else record.written
    strays = [record for record in records.values() if record.stray]
    kept = all(record.tensor is not None for record in records.values())
    return LayerTrace(
        name=layer.name, cycles=sum(record.cycles for record in records.values()), counters=dict(counters), bytes=moved,
        done_cycle=max(record.done_cycle for record in records.values()),
        missing=sum(record.missing for record in records.values()), stray=sum(record.stray for record in strays),
        first_stray=strays[0].first_stray if strays else 0, tensor=tensor if kept else None,
        written=None if not kept or written.all() else written)


def read_records(folder: Path, program: Program, config: EngineConfig) -> list[RunRecord]:
    """What the harness recorded, one entry per run it stopped for."""
    data = np.fromfile(folder / "results.bin", dtype=np.uint8)
    attributed = (folder / "transfers.bin").stat().st_size > 0
    position = 0

    def take(count: int) -> np.ndarray:
        nonlocal position
        position += count
        return data[position - count:position]

    def integers(count: int) -> list[int]:
        return take(8 * count).view("<u8").tolist()

    def moved() -> dict[str, int]:
        return {f"{stream}_bytes": count for stream, count in zip(STREAMS, integers(len(STREAMS)))}

    records = []
    while position < len(data):
        header = dict(zip(_HEADER, integers(len(_HEADER))))
        samples = [integers(1 + len(COUNTERS)) for _ in range(header.pop("samples"))]
        by_layer = [moved() for _ in range(len(program.layers) + 1)]
        done: dict[int, dict[int, _OperationRecord]] = {}
        operations = program.operations[:header["operations_done"]] if config.trace else ()
        for number, operation in enumerate(operations):
            layer = program.layers[operation.layer]
            shape = (operation.rows, *layer.output_shape[1:])
            done_cycle, missing, stray, first_stray, kept, mapped = integers(6)
            tensor = take(operation.output_bytes).view(layer.output_type).reshape(shape) if kept else None
            written = take(operation.output_bytes).reshape(*shape, -1).all(-1) if mapped else None
            start, end = (samples[min(at, len(samples) - 1)] for at in (number, number + 1))
            counters = {name: after - before for name, before, after in zip(COUNTERS, start[1:], end[1:])}
            done.setdefault(operation.layer, {})[number] = _OperationRecord(
                end[0] - start[0], counters, done_cycle, missing, stray, first_stray, tensor, written)
        needed = Counter(operation.layer for operation in program.operations)
        layers = tuple(_layer_trace(program, index, done[index], by_layer[index] if attributed else {})
                       for index in sorted(done) if len(done[index]) == needed[index])
        total = {name: sum(row[name] for row in by_layer) for name in by_layer[0]} if attributed else {}
        records.append(RunRecord(**header, counters=dict(zip(COUNTERS, samples[-1][1:])), bytes=total, layers=layers,
                                 output=take(program.output_bytes).tobytes()))
    return records
