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
from sim.harness import harness_verilog
from sim.job import ImageRecord, LayerTrace, MemoryTiming, Program

IDEAL = MemoryTiming()
"""One beat per cycle each way, no latency, no stalls."""


class SimulationError(RuntimeError):
    """A run did not end as it should. ``record`` is what is known of the image it stopped at, or None."""

    def __init__(self, message: str, record: ImageRecord | None = None):
        super().__init__(message)
        self.record = record


class EngineError(SimulationError):
    """The engine reported ``error`` at descriptor ``position``."""

    def __init__(self, message: str, record: ImageRecord):
        super().__init__(message, record)
        self.error = Error(record.error)
        self.position = record.error_position


class ProtocolError(SimulationError):
    """The engine broke a rule of its memory interface."""


class SimulationTimeout(SimulationError):
    """The engine was not done after the limit of cycles."""


@dataclass(frozen=True)
class Progress:
    """Where a run is: totals over its images, layers and cycles."""

    images: int
    layers: int
    cycles: int
    seconds: float

    @property
    def cycles_per_second(self) -> float:
        """Simulated cycles per second of wall time so far."""
        return self.cycles / max(self.seconds, 1e-9)


@dataclass(frozen=True)
class ImageResult:
    """One image's run."""

    #: The network's output, as the program unpacks it.
    output: np.ndarray
    #: Cycles from the start pulse to the first cycle of done.
    cycles: int
    #: Totals of the engine's counters.
    counters: dict[str, int]
    #: In program order; empty if the engine has no trace port.
    layers: tuple[LayerTrace, ...]
    #: Bytes that crossed the memory interface, as the memory saw them.
    read_bytes: int
    write_bytes: int


@dataclass(frozen=True)
class SimulationResult:
    """All images of a run."""

    images: tuple[ImageResult, ...]
    #: Wall time of the simulation itself, the model's build not counted.
    seconds: float
    #: Processor time of the same: what to compare speeds by on a machine that others use too.
    processor_seconds: float

    @property
    def outputs(self) -> np.ndarray:
        """Outputs of all images, stacked."""
        return np.stack([image.output for image in self.images])

    @property
    def cycles(self) -> int:
        """Cycles of all images."""
        return sum(image.cycles for image in self.images)

    @property
    def cycles_per_second(self) -> float:
        """Simulated cycles per second of wall time."""
        return self.cycles / max(self.seconds, 1e-9)


def _children_seconds() -> float:
    """Processor time of all programs that this one has run so far."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


class Backend(ABC):
    """A simulated engine of configuration ``config``.

    ``memory`` is the timing of the memory behind it. ``limit`` bounds the cycles of an image (default: from the
    program's work, see :func:`sim.job.cycle_limit`). ``tensors=False`` leaves layer tensors out of the results;
    ``waves`` names a .vcd file for all signals (another, slower model). ``cache`` is the folder that keeps built
    models. ``verilog`` replaces the emitted engine.
    """

    def __init__(self, config: EngineConfig, *, memory: MemoryTiming = IDEAL, limit: int | None = None,
                 tensors: bool = True, waves: Path | None = None, cache: Path | None = None,
                 verilog: str | None = None):
        if limit is not None and limit < 1:
            raise ValueError(f"limit must be at least 1, not {limit!r}")
        if waves is not None and Path(waves).suffix != ".vcd":
            raise ValueError(f"waves must be a .vcd file, not {str(waves)!r}")
        self.config = config
        self.memory = memory
        self.limit = limit
        self.tensors = tensors
        self.waves = None if waves is None else Path(waves).resolve()
        self.cache = cache
        self._verilog = verilog

    def build(self) -> Path:
        """The executable model, built if the cache does not hold it. Raises ToolchainError or BuildError."""
        engine = engine_verilog(self.config) if self._verilog is None else self._verilog
        return self._build({"engine.v": engine, **harness_verilog(self.config)})

    def run(self, program: Program, images: Iterable[np.ndarray], *,
            progress: Callable[[Progress], None] | None = None) -> SimulationResult:
        """Runs the program once per image, in order, on one engine without a reset between them.

        ``progress`` is called now and then. Raises EngineError, ProtocolError or SimulationTimeout for the first image
        that does not come to its end, and SimulationError if the simulator itself fails.
        """
        images = list(images)
        if not images:
            raise ValueError("images must hold at least one image")
        model = self.build()
        if self.waves is not None:
            self.waves.parent.mkdir(parents=True, exist_ok=True)
        limit = job.cycle_limit(program, self.config, self.memory) if self.limit is None else self.limit
        with tempfile.TemporaryDirectory(prefix="topcoat-run-") as name:
            folder = Path(name)
            job.write_job(folder, program, images, self.config, self.memory, limit=limit, tensors=self.tensors)
            start, used = time.monotonic(), _children_seconds()

            def report(images: int, layers: int, cycles: int):
                if progress is not None:
                    progress(Progress(images, layers, cycles, time.monotonic() - start))

            self._execute(model, folder, report)
            seconds, processor_seconds = time.monotonic() - start, _children_seconds() - used
            records = job.read_records(folder, program, self.config)
        for index, record in enumerate(records):
            self._require_done(index, record, program, limit)
        if len(records) != len(images):
            raise SimulationError(f"the simulator ended after {len(records)} of {len(images)} images")
        return SimulationResult(tuple(
            ImageResult(program.unpack_output(record.output), record.cycles, record.counters, record.layers,
                        record.read_bytes, record.write_bytes) for record in records), seconds, processor_seconds)

    def _require_done(self, index: int, record: ImageRecord, program: Program, limit: int):
        """Raises the error that fits a record that does not end in `done`, or not with all layers."""
        layers = len(program.layers)
        layer = program.layers[record.layers_done].name if record.layers_done < layers else "none"
        state = (f"image {index}, cycle {record.cycles}, {record.layers_done} of {layers} layers done, "
                 f"next layer {layer}")
        if record.reason == job.ERROR:
            name = Error(record.error).name if record.error in list(Error) else str(record.error)
            raise EngineError(f"the engine reported {name} at descriptor {record.error_position} ({state})", record)
        if record.reason == job.FAULT:
            raise ProtocolError(f"the engine {job.FAULTS[record.fault]} ({state})", record)
        if record.reason == job.TIMEOUT:
            raise SimulationTimeout(f"the engine was not done after {limit} cycles ({state})", record)
        if record.layers_done != layers:
            raise SimulationError(f"the engine was done with the wrong number of layers ({state})", record)
        if self.config.trace and record.stray:
            raise SimulationError(f"the engine wrote {record.stray} bytes of activation memory after the last layer "
                                  f"was done, the first at address {record.first_stray} ({state})", record)

    @abstractmethod
    def _build(self, verilog: dict[str, str]) -> Path:
        """An executable of the harness from Verilog texts by file name."""

    @abstractmethod
    def _execute(self, model: Path, folder: Path, report: Callable[[int, int, int], None]):
        """Runs the job in ``folder``. ``report`` takes totals of images, layers and cycles. Raises SimulationError."""
