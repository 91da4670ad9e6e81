"""One interface to every simulator: a program and images in, outputs, cycles, counters and layer tensors out."""

from __future__ import annotations

import resource
import tempfile
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from arch.config import EngineConfig
from arch.descriptor import Error
from hw.emit import engine_verilog
from sim import job
from sim.build import emitted
from sim.harness import harness_verilog
from sim.job import LayerTrace, Program, RunRecord
from sim.memory import IDEAL, NO_FAULTS, Faults, MemoryTiming


class SimulationError(RuntimeError):
    """A run did not end as it should. ``record`` is what is known of the run it stopped in, or None."""

    def __init__(self, message: str, record: RunRecord | None = None):
        super().__init__(message)
        self.record = record


class EngineError(SimulationError):
    """The engine reported ``error`` at descriptor ``position`` and, for a wrong checksum, segment ``segment``."""

    def __init__(self, message: str, record: RunRecord):
        super().__init__(message, record)
        self.error = Error(record.error)
        self.position = record.error_position
        self.segment = record.error_segment


class ProtocolError(SimulationError):
    """The engine broke a rule of its memory interface."""


class SimulationTimeout(SimulationError):
    """The engine was not done after the limit of cycles."""


@dataclass(frozen=True)
class Progress:
    """Where a simulation is: totals over its runs, operations and cycles."""

    runs: int
    operations: int
    cycles: int
    seconds: float

    @property
    def cycles_per_second(self) -> float:
        """Simulated cycles per second of wall time so far."""
        return self.cycles / max(self.seconds, 1e-9)


@dataclass(frozen=True)
class RunResult:
    """One run: the images of a batch."""

    #: The network's outputs, one per image, as the program unpacks them.
    outputs: np.ndarray
    #: Cycles from the start pulse to the first cycle of done.
    cycles: int
    #: Totals of the engine's counters.
    counters: dict[str, int]
    #: In program order; empty if the engine has no trace port.
    layers: tuple[LayerTrace, ...]
    #: Bytes that crossed the memory interface, as the memory saw them.
    read_bytes: int
    write_bytes: int
    #: The same by ``<stream>_bytes``; empty if bursts were not held against the program's transfers.
    bytes: dict[str, int]


@dataclass(frozen=True)
class SimulationResult:
    """All runs of a simulation."""

    runs: tuple[RunResult, ...]
    #: Wall time of the simulation itself, the model's build not counted.
    seconds: float
    #: Processor time of the same: what to compare speeds by on a machine that others use too.
    processor_seconds: float

    @property
    def outputs(self) -> np.ndarray:
        """Outputs of all images, one after another."""
        return np.concatenate([run.outputs for run in self.runs])

    @property
    def cycles(self) -> int:
        """Cycles of all runs."""
        return sum(run.cycles for run in self.runs)

    @property
    def cycles_per_second(self) -> float:
        """Simulated cycles per second of wall time."""
        return self.cycles / max(self.seconds, 1e-9)


def emitted_engine(config: EngineConfig, cache: Path | None = None) -> str:
    """:func:`hw.emit.engine_verilog`, kept in the cache."""
    return emitted("topcoat_engine.v", engine_verilog, config, cache)


def _children_seconds() -> float:
    """Processor time of all programs that this one has run so far."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


class Backend(ABC):
    """A simulated engine of configuration ``config``.

    ``memory`` is the timing of the memory behind it, ``faults`` what goes wrong in it. ``limit`` bounds the cycles of a
    run (default: from the program's work, see :func:`sim.job.cycle_limit`). ``tensors=False`` leaves layer tensors out
    of the results. ``strict=False`` is for programs that were corrupted: bursts are not held against the program's
    transfers, and those outside the memory are answered with an error, as a bus answers them. ``waves`` names a .vcd
    file for all signals (another, slower model). ``cache`` is the folder that keeps built models. ``verilog`` replaces
    the emitted engine.
    """

    def __init__(self, config: EngineConfig, *, memory: MemoryTiming = IDEAL, faults: Faults = NO_FAULTS,
                 limit: int | None = None, tensors: bool = True, strict: bool = True, waves: Path | None = None,
                 cache: Path | None = None, verilog: str | None = None):
        if limit is not None and limit < 1:
            raise ValueError(f"limit must be at least 1, not {limit!r}")
        if waves is not None and Path(waves).suffix != ".vcd":
            raise ValueError(f"waves must be a .vcd file, not {str(waves)!r}")
        self.config = config
        self.memory = memory
        self.faults = faults
        self.limit = limit
        self.tensors = tensors
        self.strict = strict
        self.waves = None if waves is None else Path(waves).resolve()
        self.cache = cache
        self._verilog = verilog

    def build(self) -> Path:
        """The executable model, built if the cache does not hold it. Raises ToolchainError or BuildError."""
        engine = emitted_engine(self.config, self.cache) if self._verilog is None else self._verilog
        return self._build({"engine.v": engine, **harness_verilog(self.config)})

    def run(self, program: Program, images: Iterable[np.ndarray], *,
            progress: Callable[[Progress], None] | None = None) -> SimulationResult:
        """Runs the program once per ``program.batch`` images, in order, on one engine without a reset between runs.

        ``progress`` is called now and then. Raises EngineError, ProtocolError or SimulationTimeout for the first run
        that does not come to its end, SimulationError if the simulator itself fails, and ValueError for images that do
        not fill whole batches.
        """
        images = np.asarray(images if isinstance(images, np.ndarray) else list(images))
        if not len(images) or len(images) % program.batch:
            raise ValueError(f"images must be one or more batches of {program.batch}, not {len(images)}")
        model = self.build()
        if self.waves is not None:
            self.waves.parent.mkdir(parents=True, exist_ok=True)
        limit = job.cycle_limit(program, self.config, self.memory) if self.limit is None else self.limit
        with tempfile.TemporaryDirectory(prefix="topcoat-run-") as name:
            folder = Path(name)
            job.write_job(folder, program, images, self.config, self.memory, limit=limit, tensors=self.tensors,
                          strict=self.strict, faults=self.faults)
            start, used = time.monotonic(), _children_seconds()

            def report(runs: int, operations: int, cycles: int):
                if progress is not None:
                    progress(Progress(runs, operations, cycles, time.monotonic() - start))

            self._execute(model, folder, report)
            seconds, processor_seconds = time.monotonic() - start, _children_seconds() - used
            records = job.read_records(folder, program, self.config)
        for index, record in enumerate(records):
            self._require_done(index, record, program, limit)
        if len(records) != len(images) // program.batch:
            raise SimulationError(f"the simulator ended after {len(records)} of {len(images) // program.batch} runs")
        return SimulationResult(tuple(
            RunResult(program.unpack_output(record.output), record.cycles, record.counters, record.layers,
                      record.read_bytes, record.write_bytes, record.bytes) for record in records), seconds,
            processor_seconds)

    def _require_done(self, index: int, record: RunRecord, program: Program, limit: int):
        """Raises the error that fits a record that does not end in `done`, or not with all operations."""
        count = len(program.operations)
        following = program.operations[record.operations_done].layer if record.operations_done < count else None
        name = "none" if following is None else program.layers[following].name
        state = (f"run {index}, cycle {record.cycles}, {record.operations_done} of {count} operations done, "
                 f"next layer {name}")
        error = Error(record.error).name if record.error in list(Error) else str(record.error)
        place = f"{error} at descriptor {record.error_position}"
        if record.error in (Error.MASK_CRC, Error.PARAMETER_CRC):
            place += f", segment {record.error_segment}"
        if record.reason == job.ERROR:
            raise EngineError(f"the engine reported {place} ({state})", record)
        if record.reason == job.FAULT:
            fault = job.FAULTS[record.fault].format(address=record.fault_address)
            raise ProtocolError(f"the engine {fault} ({state})", record)
        if record.reason == job.TIMEOUT:
            reported = f", though it reported {place}" if record.error else ""
            raise SimulationTimeout(f"the engine was not done after {limit} cycles{reported} ({state})", record)
        if record.operations_done != count:
            raise SimulationError(f"the engine was done with the wrong number of operations ({state})", record)
        if self.config.trace and record.stray:
            raise SimulationError(f"the engine wrote {record.stray} bytes of activation memory after the last "
                                  f"operation was done, the first at address {record.first_stray} ({state})", record)

    @abstractmethod
    def _build(self, verilog: dict[str, str]) -> Path:
        """An executable of the harness from Verilog texts by file name."""

    @abstractmethod
    def _execute(self, model: Path, folder: Path, report: Callable[[int, int, int], None]):
        """Runs the job in ``folder``. ``report`` takes totals of runs, operations, cycles. Raises SimulationError."""
