"""A packed network on the simulated engine: compiled, run, and held against the integer model layer by layer."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from tqdm import tqdm

from arch.config import EngineConfig
from compiler.lower import compile_network
from golden import packed
from golden.datasets import ImageSet
from golden.integer import images_from_uint8
from sim.backend import IDEAL, Progress
from sim.check import Mismatch, compare
from sim.cocotb_backend import CocotbBackend
from sim.job import MemoryTiming
from sim.native import NativeBackend

BACKENDS = {"native": NativeBackend, "cocotb": CocotbBackend}
"""Simulators by name."""


@dataclass(frozen=True, kw_only=True)
class LayerRun:
    """One layer, summed over all images."""

    name: str
    bit_exact: bool
    #: From the layer's first pass being possible to the next layer's.
    cycles: int
    macs: int
    #: Bytes of its mask stream or stored weights, whole beats. (The counters book bytes when they come: ahead.)
    weight_bytes: int
    counters: dict[str, int]
    macs_per_cycle: int

    @property
    def utilisation(self) -> float:
        """Useful multiply positions over all, from the counters."""
        return self.counters["useful_macs"] / (self.cycles * self.macs_per_cycle)

    def to_json(self) -> dict:
        """Plain JSON values."""
        return {"name": self.name, "bit_exact": self.bit_exact, "cycles": self.cycles, "macs": self.macs,
                "weight_bytes": self.weight_bytes, "utilisation": self.utilisation, "counters": self.counters}


@dataclass(frozen=True, kw_only=True)
class NetworkRun:
    """A network's run over ``images`` images. Cycles, MACs and counters are totals over all of them."""

    config: EngineConfig
    images: int
    layers: tuple[LayerRun, ...]
    mismatches: tuple[Mismatch, ...]
    #: The stored outputs, read back from the simulated memory, equal the integer model's last tensor.
    outputs_equal: bool
    #: Class of every image, from the output region of the simulated memory.
    predictions: np.ndarray
    accuracy: float
    golden_accuracy: float
    cycles: int
    counters: dict[str, int]
    seconds: float

    @property
    def bit_exact(self) -> bool:
        """Every value of every layer, and of the stored output, equals the integer model's."""
        return not self.mismatches and self.outputs_equal

    @property
    def macs(self) -> int:
        """Multiply-accumulates of the network, padding included."""
        return sum(layer.macs for layer in self.layers)

    @property
    def utilisation(self) -> float:
        """Useful multiply positions over all, load and store included, from the counters."""
        return self.counters["useful_macs"] / (self.cycles * self.config.macs_per_cycle)

    @property
    def weight_bytes(self) -> int:
        """Bytes of coded masks or stored weights that crossed the memory interface."""
        return self.counters["mask_bytes"]

    @property
    def cycles_per_second(self) -> float:
        """Simulated cycles per second of wall time, the model's build not counted."""
        return self.cycles / self.seconds

    def to_json(self) -> dict:
        """Plain JSON values, under the keys of the command line's contract."""
        return {
            "bit_exact": self.bit_exact, "layers": [layer.to_json() for layer in self.layers], "images": self.images,
            "accuracy": self.accuracy, "golden_accuracy": self.golden_accuracy, "cycles": self.cycles,
            "macs": self.macs, "utilisation": self.utilisation, "weight_bytes": self.weight_bytes,
            "sim_seconds": self.seconds, "cycles_per_second": self.cycles_per_second, "counters": self.counters,
            "mismatches": [str(mismatch) for mismatch in self.mismatches], "preset": self.config.name,
        }


def simulate(model: Path, test: ImageSet, config: EngineConfig, *, backend: str = "native", waves: Path | None = None,
             memory: MemoryTiming = IDEAL, label: str = "") -> NetworkRun:
    """Run a .coat file over the images of ``test``, one at a time, and check every layer.

    Raises CoatError, CompileError, BuildError, ToolchainError or SimulationError, each with one line that says what to
    do, and ValueError for images of another shape than the network's.
    """
    network = packed.load(model)
    shape = network.topology.input_shape
    if test.images.shape[1:] != shape:
        raise ValueError(f"images must have shape {shape} (channels, height, width) for {model}, "
                         f"not {test.images.shape[1:]}")
    test.require_classes(network.topology.layers[-1].out_channels)
    program = compile_network(network, config)
    images = images_from_uint8(test.images)
    golden = network.run(images)

    engine = BACKENDS[backend](config, memory=memory, waves=waves)
    engine.build()
    with tqdm(total=len(images), desc=f"simulating {label or model}", unit="image") as bar:
        def report(progress: Progress):
            bar.update(progress.images - bar.n)
            bar.set_postfix_str(f"{progress.cycles_per_second / 1000:,.0f} kcycles/s")

        result = engine.run(program, images, progress=report)
        bar.update(len(images) - bar.n)

    mismatches = compare(result, golden)
    wrong = {mismatch.layer for mismatch in mismatches}
    layers = []
    for index, plan in enumerate(program.layers):
        traces = [image.layers[index] for image in result.images]
        counters = Counter()
        for trace in traces:
            counters.update(trace.counters)
        layers.append(LayerRun(name=plan.name, bit_exact=plan.name not in wrong,
                               cycles=sum(trace.cycles for trace in traces), macs=plan.macs * len(images),
                               weight_bytes=plan.mask_bytes * len(images), counters=dict(counters),
                               macs_per_cycle=config.macs_per_cycle))
    counters = Counter()
    for image in result.images:
        counters.update(image.counters)
    logits = golden[program.layers[-1].name]
    predictions = result.outputs.reshape(len(images), -1).argmax(1)
    expected = logits.reshape(len(images), -1).argmax(1)
    return NetworkRun(config=config, images=len(images), layers=tuple(layers), mismatches=tuple(mismatches),
                      outputs_equal=np.array_equal(result.outputs, logits), predictions=predictions,
                      accuracy=float((predictions == test.labels).mean()),
                      golden_accuracy=float((expected == test.labels).mean()), cycles=result.cycles,
                      counters=dict(counters), seconds=result.seconds)
