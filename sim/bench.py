"""How fast the engine simulates, beside the bound: the bare array with the same flags. ``python -m sim.bench``.

Every cycle the bare array has a new beat of random activations and a new row of random weights in every column's turn,
so that every lane is live. The engine runs a bundled network.
"""

from __future__ import annotations

import argparse
import subprocess
from dataclasses import dataclass
from pathlib import Path

from amaranth import *
from amaranth.back import verilog
from amaranth.lib import wiring
from amaranth.lib.wiring import Out

from arch.config import PRESETS, EngineConfig
from compiler import compile_network
from golden import bundled, datasets, packed
from golden.integer import images_from_uint8
from hw.array import Array
from hw.column import Column
from sim.backend import SimulationResult
from sim.build import verilate
from sim.harness import FOLDER
from sim.network import BACKENDS
from sim.toolchain import find_toolchain

TOP = "topcoat_array_bench"
"""Name of the benchmark's top module."""

DIGEST_BITS = 32


class ArrayBench(wiring.Component):
    """An array fed by a linear feedback generator.

    Operation: activations and weight rows change every cycle; weights go to groups and slots in rotation, beats to
    partial sums in rotation. All sums are drained into ``digest``, so nothing can be optimised away.

    Members
    -------
    digest : Out(DIGEST_BITS)
        Changes with every sum.
    """

    def __init__(self, config: EngineConfig):
        self._config = config
        super().__init__({"digest": Out(DIGEST_BITS)})

    def elaborate(self, platform):
        m = Module()
        config = self._config
        m.submodules.array = array = Array(config, emit=True)

        # xorshift64 (Marsaglia 2003).
        state = Signal(64, init=0x9E3779B97F4A7C15)
        first, second, third = (Signal(64, name=f"shifted_{step}") for step in (13, 7, 17))
        m.d.comb += [
            first.eq(state ^ state << 13),
            second.eq(first ^ first >> 7),
            third.eq(second ^ second << 17),
        ]
        m.d.sync += state.eq(third)

        def draw(bits: int, salt: int) -> Value:
            """``bits`` bits of the state, rotated by ``salt``, repeated if there are not enough."""
            copies = [state.rotate_left(salt + 5 * copy) for copy in range(-(-bits // 64))]
            return Cat(copies)[:bits]

        address = Signal(range(config.partial_sums))
        slot = Signal(range(config.weight_slots))
        group = Signal(range(max(2, config.columns // config.build_columns)))
        half = Signal()
        m.d.sync += [
            address.eq(address + 1),
            group.eq(Mux(group == config.columns // config.build_columns - 1, 0, group + 1)),
        ]
        with m.If(address == config.partial_sums - 1):
            m.d.sync += [half.eq(~half), slot.eq(slot + 1)]
        m.d.comb += [
            array.write.valid.eq(1),
            array.write.slot.eq(slot + 1),
            array.write.group.eq(group),
            array.beat.valid.eq(1),
            Value.cast(array.beat.activations).eq(draw(8 * config.lanes, 1)),
            array.beat.slot.eq(slot),
            array.beat.first.eq(state[0]),
            array.beat.half.eq(half),
            array.beat.address.eq(address),
            array.drain_half.eq(~half),
            array.drain_address.eq(address),
        ]
        for index, row in enumerate(array.write.rows):
            weights = draw(config.weight_bits * config.lanes, 29 + index)
            m.d.comb += [Value.cast(row.weights).eq(weights), row.negatives.eq(state[:4])]
        sums = Value.cast(array.sums)
        parts = [sums[low:low + DIGEST_BITS] for low in range(0, len(sums), DIGEST_BITS)]
        while len(parts) > 1:
            pairs = [low ^ high for low, high in zip(parts[::2], parts[1::2])]
            parts = pairs + parts[2 * len(pairs):]
        m.d.sync += self.digest.eq(self.digest.rotate_left(1) ^ parts[0])
        return m


@dataclass(frozen=True)
class BenchResult:
    """Speed of the bare array."""

    config: EngineConfig
    cycles: int
    #: Processor time.
    processor_seconds: float
    #: Of all sums: equal for equal configurations and cycles.
    digest: int

    @property
    def cycles_per_second(self) -> float:
        """Simulated cycles per second of processor time."""
        return self.cycles / self.processor_seconds


def bench_array(config: EngineConfig, cycles: int = 1_000_000, cache: Path | None = None) -> BenchResult:
    """Runs the bare array of ``config`` for ``cycles`` cycles."""
    if cycles < 1:
        raise ValueError(f"cycles must be at least 1, not {cycles!r}")
    options = dict(emit_src=False, strip_internal_attrs=True)
    text = "\n".join((verilog.convert(Column(config), name="topcoat_column", **options),
                      verilog.convert(ArrayBench(config), name=TOP, **options)))
    toolchain = find_toolchain()
    model = verilate({"array.v": text}, [FOLDER / "bench.cpp"], top=TOP, toolchain=toolchain, cache=cache)
    run = subprocess.run([str(model), str(cycles)], capture_output=True, text=True, check=True)
    seconds, digest = run.stdout.split()
    return BenchResult(config, cycles, float(seconds), int(digest))


def bench_engine(backend: str, config: EngineConfig, images: int) -> SimulationResult:
    """Runs the bundled three-coat network on the whole engine; layer tensors are recorded, as in every checked run."""
    program = compile_network(packed.load(bundled.find("fashion-n3")), config)
    pixels = datasets.load(bundled.IMAGES, "test").first(images).images
    return BACKENDS[backend](config).run(program, images_from_uint8(pixels))


def main():
    """Command line: array and whole engine in one run, by processor time, best of three."""
    parser = argparse.ArgumentParser(prog="python -m sim.bench",
                                     description="Simulation speed of the whole engine beside the bare array's.")
    parser.add_argument("preset", nargs="?", default="edge", choices=sorted(PRESETS))
    parser.add_argument("--images", type=int, default=20, help="images for the engine (default: %(default)s)")
    options = parser.parse_args()
    config = EngineConfig.preset(options.preset)
    array = max(bench_array(config).cycles_per_second for _ in range(3))
    print(f"| {options.preset} | cycles/s of processor time | cycles/s of wall time | against the bare array |")
    print("|---|---|---|---|")
    print(f"| bare array | {array:,.0f} | | 1.00 |")
    for backend in BACKENDS:
        runs = [bench_engine(backend, config, options.images) for _ in range(3)]
        best = max(run.cycles / run.processor_seconds for run in runs)
        wall = max(run.cycles_per_second for run in runs)
        print(f"| {backend} | {best:,.0f} | {wall:,.0f} | {best / array:.2f} |")


if __name__ == "__main__":
    main()
