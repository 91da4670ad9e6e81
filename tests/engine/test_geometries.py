"""The whole engine against the integer model, on random geometries under random memory stalls, in Verilated RTL.

Every engine below has seeds of its own, so no two of them run the same network. A test names each network that goes
wrong by the command that runs it again: ``python -m tests.engine.test_geometries narrow 17 native``.
"""

import dataclasses
import sys

import numpy as np
import pytest

from arch.config import EngineConfig
from arch.depths import ANS_BANKS
from compiler import CompileError, Program, compile_network
from golden.integer import IntegerNetwork
from golden.topology import Topology
from hw import emit
from hw.ans import ENTRIES
from sim.backend import SimulationError, emitted_engine
from sim.check import compare
from sim.memory import MemoryTiming
from sim.network import BACKENDS
from tests.hw.collisions import undefined_collisions
from tests.random_networks import random_image, random_topology, random_values

CONFIGS = {
    "tiny": EngineConfig.preset("tiny"),
    # Ternary and 8-bit weights, two columns built per cycle, another bus and other buffers.
    "ternary": EngineConfig.preset("tiny", name="ternary", weight_bits=2, build_columns=2, refill_words=4),
    "int8": EngineConfig.preset("tiny", name="int8", weight_bits=8, accumulator_bits=32, bus_bits=32, rounds=20,
                                requantiser_lanes=4, partial_sums=16),
}

# Memories that networks do not fit: layers in strips, tensors in memory, masks kept or fetched again.
SMALL = {
    "small": EngineConfig.preset("tiny", name="small", activation_bytes=2 << 10, mask_bytes=512),
    "smaller": EngineConfig.preset("tiny", name="smaller", activation_bytes=1 << 10, mask_bytes=256, burst_beats=4),
    "narrow": EngineConfig.preset("tiny", name="narrow", activation_bytes=2 << 10, mask_bytes=256, bus_bits=32,
                                  burst_beats=8, partial_sums=16, parameter_channels=32),
    "wide": EngineConfig.preset("tiny", name="wide", activation_bytes=2 << 10, mask_bytes=512, bus_bits=128,
                                burst_beats=4, lanes=16, columns=8),
    "widest": EngineConfig.preset("tiny", name="widest", activation_bytes=4 << 10, mask_bytes=512, bus_bits=512,
                                  burst_beats=4, lanes=32, columns=2, refill_words=32),
}

# Lanes without multipliers, and with longer adder trees; two cycles for a step.
PLANES = {"planes": EngineConfig.preset("tiny", name="planes", lane="planes", step_cycles=2)}

# As `edge` is routed: two decoder lanes share their tables, too.
SHARED = {"shared": EngineConfig.preset("tiny", name="shared", lane="planes", step_cycles=2, table_lanes=2,
                                        activation_banks=8)}

ENGINES = CONFIGS | SMALL | PLANES | SHARED
FITTING, STRIPPED = 42, 30
"""Networks that each engine of CONFIGS and of SMALL runs."""

COCOTB = 48
"""Further networks, which ``tiny`` runs under cocotb."""

NUMBERS = {**dict.fromkeys(CONFIGS, range(FITTING)), **dict.fromkeys(SMALL, range(STRIPPED))}
COCOTB_NUMBERS = range(FITTING, FITTING + COCOTB)

CANDIDATES, SEED_STEP = 100, 1000
"""Seeds tried for one network, and how far they lie apart."""


@dataclasses.dataclass(frozen=True)
class Draw:
    """A network that an engine can run, and the program for it."""

    engine: str
    number: int
    seed: int
    network: IntegerNetwork
    program: Program

    @property
    def in_strips(self) -> bool:
        return any(plan.strips > 1 for plan in self.program.layers)


def topology_of(engine: str, seed: int, number: int) -> Topology:
    """Geometry of a network: deeper and larger ones for the engines of SMALL."""
    sizes = {"layers": 5, "side": 24, "tensor_bytes": 6 << 10} if engine in SMALL else {"layers": 1 + number // 2 % 4}
    return random_topology(np.random.default_rng([seed, 0]), channels=(20, 70)[number % 2], **sizes)


def outgrows(topology: Topology, size: int) -> bool:
    """Whether a layer's input and output are more than ``size`` bytes."""
    sizes = {name: int(np.prod(shape)) for name, shape in topology.shapes().items()}
    return any(sizes[layer.input] + sizes[layer.name] > size for layer in topology.layers)


def draw(engine: str, number: int) -> Draw:
    """The ``number``-th network of ``engine``, of the first seed that gives one it runs; two of three for an engine of
    SMALL are in strips."""
    config, strips = ENGINES[engine], engine in SMALL and number % 3 > 0
    first = number + SEED_STEP * CANDIDATES * list(ENGINES).index(engine)
    for seed in range(first, first + SEED_STEP * CANDIDATES, SEED_STEP):
        topology = topology_of(engine, seed, number)
        if strips and not outgrows(topology, config.activation_bytes):
            continue
        network = random_values(topology, seed, config)
        try:
            drawn = Draw(engine, number, seed, network, compile_network(network, config, batch=1 + number // 2 % 3))
        except CompileError:  # a strip of one row is too large
            continue
        if drawn.in_strips or not strips:
            return drawn
    raise AssertionError(f"none of {CANDIDATES} seeds gives network {number} of engine {engine}")


def memory_timing(seed: int) -> MemoryTiming:
    """A memory that is ideal, slow, far away or unsteady, by turns."""
    rng = np.random.default_rng([seed, 2])
    return MemoryTiming(latency=int(rng.choice((0, 3, 40))), rate=((1, 1), (1, 2), (3, 5))[rng.integers(3)],
                        stall=float(rng.choice((0, .1, .5))), seed=seed + 1)


def differences(drawn: Draw, backend: str = "native", verilog: str | None = None) -> list[str]:
    """Every difference of its runs, one or two without a reset between them, from the integer model and the plan, as
    text."""
    network, program, seed = drawn.network, drawn.program, drawn.seed
    runs = 2 if backend == "native" and drawn.engine in CONFIGS and program.batch < 3 else 1
    inputs = np.stack([random_image(network, seed + number) for number in range(runs * program.batch)])
    golden = network.run(inputs)
    memory = memory_timing(seed)
    result = BACKENDS[backend](ENGINES[drawn.engine], memory=memory, verilog=verilog).run(program, inputs)
    found = [str(mismatch) for mismatch in compare(result, golden)]
    if not np.array_equal(result.outputs, golden[program.layers[-1].name]):
        found.append("the stored output differs")
    if memory == MemoryTiming(seed=memory.seed) and result.runs[0].cycles != program.predicted_cycles:
        found.append(f"{result.runs[0].cycles} cycles with an ideal memory, predicted {program.predicted_cycles}")
    for one in result.runs:
        moved = {name: one.counters[name] for name in program.predicted}
        if moved != program.predicted:
            found.append(f"bytes moved {moved}, predicted {program.predicted}")
        for plan, layer in zip(program.layers, one.layers, strict=True):
            if layer.bytes != {"program_bytes": 0, **plan.bytes}:
                found.append(f"layer {plan.name}: bytes moved {layer.bytes}, planned {plan.bytes}")
        useful = one.counters["useful_macs"]
        expected = sum(operation.macs for operation in program.operations)
        if useful != expected:
            found.append(f"useful MACs {useful}, should be {expected}")
    return found


def wrong(draws: list[Draw], backend: str = "native", verilog: str | None = None) -> dict[str, str]:
    """What is wrong with those networks with which anything is, by the command that runs one again."""
    found = {}
    for drawn in draws:
        try:
            text = "\n".join(differences(drawn, backend, verilog))
        except SimulationError as error:
            text = str(error)
        if text:
            found[f"python -m tests.engine.test_geometries {drawn.engine} {drawn.number} {backend}"] = text
    return found


def require_everything(draws: list[Draw]):
    """The draw is not to lose a kernel size, a code, a number of coats, a pool or a batch unseen."""
    layers = [layer for drawn in draws for layer in drawn.network.layers]
    shapes = [layer.layer for layer in layers]
    assert {shape.kernel for shape in shapes} == set(range(1, 8))
    assert {shape.stride for shape in shapes} == {1, 2}
    assert {0, 1, 2, 3} <= {shape.padding for shape in shapes}
    assert {layer.code for layer in layers} == {"raw", "unary", "ans", "stored"}
    for code in "raw", "unary", "ans":
        assert len({layer.coats for layer in layers if layer.code == code}) >= 6, code
    assert {layer.coats for layer in layers if layer.code != "stored"} == set(range(1, 8))
    assert {shape.pool and shape.pool.kind for shape in shapes} == {None, "max", "average"}
    assert sum(shape.residual is not None for shape in shapes) >= 5 and sum(shape.wide for shape in shapes) >= 3
    for channels in "in_channels", "out_channels":
        assert {getattr(shape, channels) % 2 for shape in shapes} == {0, 1}
        assert max(getattr(shape, channels) for shape in shapes) > 60 > 20 > min(
            getattr(shape, channels) for shape in shapes)
    assert {drawn.program.batch for drawn in draws} == {1, 2, 3}
    assert len({memory_timing(drawn.seed).stall for drawn in draws}) == 3


@pytest.mark.parametrize("engine", NUMBERS)
def test_random_networks(engine):
    draws = [draw(engine, number) for number in NUMBERS[engine]]
    require_everything(draws)
    if engine in SMALL:
        assert sum(drawn.in_strips for drawn in draws) >= 2 * STRIPPED // 3
    assert not wrong(draws)


def test_lanes_of_planes():
    assert not wrong([draw("planes", number) for number in range(12)])


def test_random_networks_under_cocotb():
    draws = [draw("tiny", number) for number in COCOTB_NUMBERS]
    require_everything(draws)
    assert not wrong(draws, "cocotb")


def test_no_network_is_drawn_twice():
    """Whatever seeds are taken, over all engines: more than 300 geometries, and buses from 32 to 512 bits."""
    seen = set()
    numbers = [(engine, number) for engine, numbers in NUMBERS.items() for number in numbers]
    numbers += [("tiny", number) for number in COCOTB_NUMBERS]
    for engine, number in numbers:
        first = number + SEED_STEP * CANDIDATES * list(ENGINES).index(engine)
        for seed in range(first, first + 3 * SEED_STEP, SEED_STEP):
            topology = topology_of(engine, seed, number)
            seen.add((topology.input_shape, *(dataclasses.replace(layer, stream=0) for layer in topology.layers)))
    assert len(numbers) >= 300 and len(seen) == 3 * len(numbers)
    assert {config.bus_bits for config in ENGINES.values()} >= {32, 64, 128, 512}


def untidied(config: EngineConfig) -> str:
    """The engine's Verilog as Yosys prints it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(emit, "tidy", lambda text: text)
        patch.setattr(emit, "_parts", emit._parts.__wrapped__)
        return emit.engine_verilog.__wrapped__(config)


def other_tools(config: EngineConfig) -> str:
    """The engine's Verilog as every tool but Verilator reads it."""
    return emitted_engine(config).replace("`ifdef VERILATOR", "`ifdef NEVER")


@pytest.mark.parametrize("text", (untidied, other_tools))
def test_what_other_tools_read(text):
    """How the Verilog is put for a simulator changes nothing that it does."""
    assert "`ifdef VERILATOR" in emitted_engine(SMALL["small"])
    verilog = text(SMALL["small"])
    assert "VERILATOR" not in verilog
    assert not wrong([draw("small", number) for number in range(STRIPPED, STRIPPED + 8)], verilog=verilog)


@pytest.mark.parametrize("engine", ("tiny", "small", "wide", "shared"))
def test_nothing_hangs_on_a_word_that_is_read_while_it_is_written(engine):
    """Of which block memories of FPGAs promise nothing, or only with logic around them (docs/synth.md)."""
    config = ENGINES[engine]
    with pytest.MonkeyPatch.context() as patch:
        memories = undefined_collisions(patch)
        patch.setattr(emit, "_parts", emit._parts.__wrapped__)
        verilog = emit.engine_verilog.__wrapped__(config)
    depths = {depth for depth, _ in memories}
    # Activations, partial sums, masks, parameters; tables of `ans`.
    assert {config.bank_bytes // (2 * config.lanes), config.partial_sums, config.mask_bytes // config.bus_bytes,
            config.parameter_channels // config.requantiser_lanes} <= depths
    assert (ENTRIES if config.table_lanes > 1 else ANS_BANKS * ENTRIES) in depths
    draws = [draw(engine, number) for number in NUMBERS.get(engine, range(18))]
    assert {layer.code for drawn in draws for layer in drawn.network.layers} == {"raw", "unary", "ans", "stored"}
    assert not wrong(draws, verilog=verilog)


@pytest.mark.parametrize("code", ("raw", "unary", "ans", "stored"))
def test_every_code(code):
    config, topology = CONFIGS["tiny"], topology_of("tiny", 7, 7)
    network = random_values(topology, 7, config, code)
    assert not differences(Draw("tiny", 7, 7, network, compile_network(network, config)))


if __name__ == "__main__":
    engine, number, *backend = sys.argv[1:]
    print("\n".join(differences(draw(engine, int(number)), *backend)) or "nothing differs")
