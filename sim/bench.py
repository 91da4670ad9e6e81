"""How fast the engine simulates, beside the bound: the bare array, built with the same flags.

The bare array has a new beat of random activations in every cycle and a new weight tile every K*C/W cycles, as fast as
the weight builder can write it: W weights, the rows of ``build_columns`` columns, per cycle. Every lane is live. The
engine runs a whole network.
"""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path

from amaranth import *
from amaranth.back import verilog
from amaranth.lib import wiring
from amaranth.lib.wiring import Out

from arch.config import EngineConfig
from compiler.lower import compile_network
from golden import untrained
from golden.integer import images_from_uint8
from golden.photograph import photographs
from hw.array import Array
from hw.column import Column
from hw.verilog_text import tidy
from sim.build import verilate
from sim.harness import FOLDER
from sim.native import NativeBackend
from sim.toolchain import find_toolchain

TOP = "topcoat_array_bench"
"""Name of the benchmark's top module."""

DIGEST_BITS = 32

NETWORK = "resnet18"
"""What the engine runs."""

ARRAY_MACS = 1 << 30
"""Multiply-accumulates of a run of the bare array: a few seconds."""


class ArrayBench(wiring.Component):
    """An array fed by a linear feedback generator.

    Operation: activations and weight rows change every cycle. Rows go to the slot after the one in use, group by group;
    behind the last group that slot is used. Beats go to partial sums in rotation. All sums are drained into ``digest``,
    so nothing can be optimised away.

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
        groups = config.columns // config.build_columns
        group = Signal(range(max(2, groups)))
        half = Signal()
        m.d.sync += [address.eq(address + 1), group.eq(group + 1)]
        with m.If(group == groups - 1):
            m.d.sync += [group.eq(0), slot.eq(slot + 1)]
        with m.If(address == config.partial_sums - 1):
            m.d.sync += half.eq(~half)
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
class ArrayRun:
    """Speed of the bare array."""

    config: EngineConfig
    cycles: int
    #: Processor time.
    seconds: float
    #: Of all sums: equal for equal configurations and cycles.
    digest: int

    @property
    def macs_per_second(self) -> float:
        """Simulated multiply-accumulates per second of processor time; every lane is live in every cycle."""
        return self.cycles * self.config.macs_per_cycle / self.seconds


def bench_array(config: EngineConfig, cycles: int | None = None, cache: Path | None = None) -> ArrayRun:
    """Runs the bare array of ``config`` for ``cycles`` cycles (default: about as long for every configuration)."""
    cycles = ARRAY_MACS // config.macs_per_cycle if cycles is None else cycles
    if cycles < 1:
        raise ValueError(f"cycles must be at least 1, not {cycles!r}")
    options = dict(emit_src=False, strip_internal_attrs=True)
    text = tidy("\n".join((verilog.convert(Column(config), name="topcoat_column", **options),
                           verilog.convert(ArrayBench(config), name=TOP, **options))))
    toolchain = find_toolchain()
    model = verilate({"array.v": text}, [FOLDER / "bench.cpp"], top=TOP, toolchain=toolchain, cache=cache)
    run = subprocess.run([str(model), str(cycles)], capture_output=True, text=True, check=True)
    seconds, digest = run.stdout.split()
    return ArrayRun(config, cycles, float(seconds), int(digest))


@dataclass(frozen=True, kw_only=True)
class SimulationSpeed:
    """Simulated multiply-accumulates per second of processor time: the best of ``rounds`` rounds of both, in turns."""

    config: EngineConfig
    network: str
    rounds: int
    #: Cycles of the network on the engine.
    cycles: int
    #: Useful ones of a whole network, every layer's tensor recorded.
    engine_macs_per_second: float
    array_macs_per_second: float

    @property
    def ratio(self) -> float:
        """The engine's over the bare array's."""
        return self.engine_macs_per_second / self.array_macs_per_second

    def to_json(self) -> dict:
        """Plain JSON values."""
        return {"preset": self.config.name, "network": self.network, "rounds": self.rounds, "cycles": self.cycles,
                "engine_macs_per_second": self.engine_macs_per_second,
                "array_macs_per_second": self.array_macs_per_second, "ratio": self.ratio}


def bench(config: EngineConfig, network: str = NETWORK, rounds: int = 3) -> SimulationSpeed:
    """Speed of the engine on an untrained network, one image, beside the bare array's. Both are built with the same
    flags and run in turns."""
    integers = untrained.network(network)
    program = compile_network(integers, config)
    image = images_from_uint8(photographs(integers.topology.input_shape, 1))
    engine = NativeBackend(config)
    engine.build()
    bench_array(config, 1)
    engines, arrays = [], []
    for _ in range(rounds):
        engines.append(engine.run(program, image))
        arrays.append(bench_array(config))
    return SimulationSpeed(
        config=config, network=network, rounds=rounds, cycles=engines[0].cycles,
        engine_macs_per_second=max(program.macs / run.processor_seconds for run in engines),
        array_macs_per_second=max(run.macs_per_second for run in arrays))
