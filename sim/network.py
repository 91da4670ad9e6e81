"""A network on the simulated engine: compiled, run, and held against the integer model layer by layer, and against the
compiler's plan byte by byte."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from tqdm import tqdm

from arch.config import EngineConfig
from arch.counters import STREAMS
from compiler.lower import compile_network
from compiler.program import Program
from compiler.timing import Prediction
from golden import packed
from golden.datasets import ImageSet
from golden.integer import IntegerNetwork, images_from_uint8
from golden.recode import recode
from sim.backend import Progress, SimulationResult
from sim.check import Mismatch, compare
from sim.cocotb_backend import CocotbBackend
from sim.memory import IDEAL, MemoryTiming
from sim.native import NativeBackend

BACKENDS = {"native": NativeBackend, "cocotb": CocotbBackend}
"""Simulators by name."""

CHECKS = ("layers", "output", "none")
"""What is held against the integer model: every tensor of every layer, the stored output alone, or nothing."""

BYTES = tuple(f"{stream}_bytes" for stream in STREAMS)
"""Keys of bytes by stream."""


@dataclass(frozen=True, kw_only=True)
class LayerRun:
    """One layer, summed over all images."""

    name: str
    #: None if it was not checked.
    bit_exact: bool | None
    #: From the layer's first pass being possible to the next layer's.
    cycles: int
    predicted_cycles: int
    macs: int
    #: Engine counters. Bytes are booked when they come: ahead, often while an earlier layer runs.
    counters: dict[str, int]
    #: Bytes that crossed the memory interface for the layer, by ``<stream>_bytes``, as the memory model counted them.
    bytes: dict[str, int]
    #: The same as the compiler planned them.
    planned_bytes: dict[str, int]
    macs_per_cycle: int

    @property
    def utilisation(self) -> float:
        """The layer's own multiply-accumulates over what the array could do in its cycles."""
        return self.macs / (self.cycles * self.macs_per_cycle)

    @property
    def weight_bytes(self) -> int:
        """Bytes of its mask stream or stored weights, checksums included."""
        return self.bytes["mask_bytes"]

    def to_json(self) -> dict:
        """Plain JSON values."""
        return {"name": self.name, "bit_exact": self.bit_exact, "cycles": self.cycles, "macs": self.macs,
                "weight_bytes": self.weight_bytes, "utilisation": self.utilisation}


@dataclass(frozen=True, kw_only=True)
class Seconds:
    """Wall time of the parts of a simulation."""

    compilation: float
    golden: float
    build: float
    simulation: float


@dataclass(frozen=True, kw_only=True)
class NetworkRun:
    """A network's run over ``images`` images. Cycles, MACs, bytes and counters are totals over all of them."""

    network: str
    config: EngineConfig
    #: What ran, once per batch.
    program: Program
    memory: MemoryTiming
    #: One of CHECKS.
    check: str
    batch: int
    images: int
    layers: tuple[LayerRun, ...]
    mismatches: tuple[Mismatch, ...]
    #: The stored outputs, read back from the simulated memory, equal the integer model's; None if unchecked.
    outputs_equal: bool | None
    #: Class of every image, from the output region of the simulated memory.
    predictions: np.ndarray
    #: None without labels; ``golden_accuracy`` also without a check.
    accuracy: float | None
    golden_accuracy: float | None
    cycles: int
    counters: dict[str, int]
    #: Bytes that crossed the memory interface, by ``<stream>_bytes``, as the memory model counted them.
    bytes: dict[str, int]
    #: With the same memory.
    predicted_cycles: int
    planned_bytes: dict[str, int]
    #: Where bytes differ: the memory model's from the plan's, by layer and stream, or from the engine's own.
    byte_differences: tuple[str, ...]
    seconds: Seconds

    @property
    def bit_exact(self) -> bool | None:
        """Every value that was checked equals the integer model's; None if nothing was checked."""
        return None if self.outputs_equal is None else not self.mismatches and self.outputs_equal

    @property
    def passed(self) -> bool:
        """Nothing that was checked is wrong, bytes against the plan included."""
        return self.bit_exact is not False and not self.byte_differences

    @property
    def macs(self) -> int:
        """Multiply-accumulates of the network, padding included."""
        return sum(layer.macs for layer in self.layers)

    @property
    def utilisation(self) -> float:
        """The network's own multiply-accumulates over what the array could do in the run's cycles, all included."""
        return self.macs / (self.cycles * self.config.macs_per_cycle)

    @property
    def weight_bytes(self) -> int:
        """Bytes of coded masks or stored weights that crossed the memory interface, checksums included."""
        return self.bytes["mask_bytes"]

    @property
    def cycles_per_second(self) -> float:
        """Simulated cycles per second of wall time, the model's build not counted."""
        return self.cycles / self.seconds.simulation

    def to_json(self) -> dict:
        """Plain JSON values, under the keys of the command line's contract."""
        return {
            "network": self.network, "preset": self.config.name, "check": self.check, "bit_exact": self.bit_exact,
            "layers": [layer.to_json() for layer in self.layers], "batch": self.batch, "images": self.images,
            "accuracy": self.accuracy, "golden_accuracy": self.golden_accuracy, "cycles": self.cycles,
            "macs": self.macs, "utilisation": self.utilisation, "weight_bytes": self.weight_bytes,
            "compile_seconds": self.seconds.compilation, "golden_seconds": self.seconds.golden,
            "build_seconds": self.seconds.build, "sim_seconds": self.seconds.simulation,
            "cycles_per_second": self.cycles_per_second,
            "memory": {"latency": self.memory.latency, "rate": list(self.memory.rate)},
            "counters": {
                "total": self.counters,
                "layers": [{"name": layer.name, "counters": layer.counters, "bytes": layer.bytes}
                           for layer in self.layers],
            },
            "bytes": self.bytes,
            "predicted": {
                "cycles": self.predicted_cycles, "bytes": self.planned_bytes,
                "layers": [{"name": layer.name, "cycles": layer.predicted_cycles, "bytes": layer.planned_bytes}
                           for layer in self.layers],
            },
            "byte_differences": list(self.byte_differences),
            "mismatches": [str(mismatch) for mismatch in self.mismatches],
        }


def _times(values: dict[str, int], factor: int) -> dict[str, int]:
    return {name: factor * value for name, value in values.items()}


def _sum(values) -> dict[str, int]:
    """Sum of dictionaries of numbers; a zero stays."""
    total = Counter()
    for value in values:
        total.update(value)
    return dict(total)


def _layer_runs(program: Program, prediction: Prediction, result: SimulationResult, mismatches: list[Mismatch],
                checked: bool) -> tuple[LayerRun, ...]:
    wrong = {mismatch.layer for mismatch in mismatches}
    count = len(result.runs)
    predicted = Counter()
    for operation, cycles in zip(program.operations, prediction.operations):
        predicted[operation.layer] += cycles
    layers = []
    for index, plan in enumerate(program.layers):
        traces = [run.layers[index] for run in result.runs]
        layers.append(LayerRun(
            name=plan.name, bit_exact=plan.name not in wrong if checked else None,
            cycles=sum(trace.cycles for trace in traces), predicted_cycles=predicted[index] * count,
            macs=plan.macs * program.batch * count, counters=_sum(trace.counters for trace in traces),
            bytes=_sum(trace.bytes for trace in traces),
            planned_bytes=_times(plan.bytes, count), macs_per_cycle=program.config.macs_per_cycle))
    return tuple(layers)


def _byte_differences(layers: tuple[LayerRun, ...], counters: dict[str, int], counted: dict[str, int],
                      planned: dict[str, int]) -> tuple[str, ...]:
    """One line per difference between what the memory model counted and the plan or the engine's counters."""
    pairs = [(f"layer {layer.name}: {name}", layer.bytes[name], "planned", value)
             for layer in layers for name, value in layer.planned_bytes.items()]
    for name in BYTES:
        pairs += [(name, counted[name], "planned", planned[name]),
                  (name, counted[name], "counted by the engine", counters[name])]
    return tuple(f"{place}: {got} at the memory, {expected} {source}"
                 for place, got, source, expected in pairs if got != expected)


def simulate_network(network: IntegerNetwork, images: np.ndarray, config: EngineConfig, *,
                     labels: np.ndarray | None = None, backend: str = "native", batch: int = 1, check: str = "layers",
                     memory: MemoryTiming = IDEAL, waves: Path | None = None, label: str = "") -> NetworkRun:
    """Run ``network`` over ``images``, uint8 (n, c, h, w), ``batch`` of them at a time.

    ``check`` is one of CHECKS. Raises CompileError, BuildError, ToolchainError or SimulationError, each with one line
    that says what to do, and ValueError for images of another shape than the network's, or not in whole batches.
    """
    shape = network.topology.input_shape
    label = label or network.topology.name
    if images.shape[1:] != shape:
        raise ValueError(f"images must have shape {shape} (channels, height, width) for {label}, "
                         f"not {images.shape[1:]}")
    if batch < 1 or len(images) % batch:
        raise ValueError(f"images must come in whole batches of {batch}, not {len(images)}")
    if check not in CHECKS:
        raise ValueError(f"check must be one of {', '.join(CHECKS)}, not {check!r}")
    marks = [time.monotonic()]
    program = compile_network(network, config, batch=batch)
    prediction = program.predict(memory)
    marks.append(time.monotonic())
    pixels = images_from_uint8(images)
    last = network.topology.layers[-1].name
    golden = {"layers": network.run, "output": lambda pixels: {last: network.outputs(pixels)},
              "none": lambda pixels: None}[check](pixels)
    marks.append(time.monotonic())
    engine = BACKENDS[backend](config, memory=memory, waves=waves, tensors=check == "layers")
    engine.build()
    marks.append(time.monotonic())
    runs = len(images) // batch
    with tqdm(total=prediction.cycles * runs, desc=f"simulating {label}", unit="cycle", unit_scale=True) as bar:
        def report(progress: Progress):
            bar.update(progress.cycles - bar.n)

        result = engine.run(program, pixels, progress=report)
        bar.update(result.cycles - bar.n)

    mismatches = compare(result, golden) if check == "layers" else []
    layers = _layer_runs(program, prediction, result, mismatches, check == "layers")
    counters = _sum(run.counters for run in result.runs)
    counted = _sum(run.bytes for run in result.runs)
    planned = _times({name: program.predicted[name] for name in BYTES}, runs)
    predictions = result.outputs.reshape(len(images), -1).argmax(1)

    def accuracy(classes: np.ndarray) -> float | None:
        return None if labels is None else float((classes == labels).mean())

    return NetworkRun(
        network=label, config=config, program=program, memory=memory, check=check, batch=batch,
        images=len(images), layers=layers, mismatches=tuple(mismatches),
        outputs_equal=None if golden is None else np.array_equal(result.outputs, golden[last]),
        predictions=predictions, accuracy=accuracy(predictions),
        golden_accuracy=None if golden is None else accuracy(golden[last].reshape(len(images), -1).argmax(1)),
        cycles=result.cycles, counters=counters, bytes=counted, predicted_cycles=prediction.cycles * runs,
        planned_bytes=planned, byte_differences=_byte_differences(layers, counters, counted, planned),
        seconds=Seconds(compilation=marks[1] - marks[0], golden=marks[2] - marks[1], build=marks[3] - marks[2],
                        simulation=result.seconds))


def simulate(model: Path, test: ImageSet, config: EngineConfig, *, code: str | None = None,
             label: str = "", **options) -> NetworkRun:
    """:func:`simulate_network` of a .coat file over the images of ``test``. ``code``, one of
    :data:`golden.codes.CHOICES`, replaces that of its masks. Raises CoatError as well."""
    network = packed.load(model)
    shape = network.topology.input_shape
    if test.images.shape[1:] != shape:
        raise ValueError(f"images must have shape {shape} (channels, height, width) for {model}, "
                         f"not {test.images.shape[1:]}")
    test.require_classes(network.topology.layers[-1].out_channels)
    if code is not None:
        network = recode(network, code)
    return simulate_network(network, test.images, config, labels=test.labels, label=label or str(model), **options)
