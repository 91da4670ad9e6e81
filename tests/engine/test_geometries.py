"""The whole engine against the integer model, on random geometries under random memory stalls, in Verilated RTL.

A failure's seed is in the test's name: ``pytest "tests/engine/test_geometries.py::test_random_network[native-7]"``.
"""

import numpy as np
import pytest

from arch.config import EngineConfig
from compiler import CompileError, compile_network
from sim.check import compare
from sim.memory import MemoryTiming
from sim.network import BACKENDS
from tests.random_networks import random_image, random_network

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
    "narrow bus": EngineConfig.preset("tiny", name="narrow", activation_bytes=2 << 10, mask_bytes=256, bus_bits=32,
                                      burst_beats=8, partial_sums=16, parameter_channels=32),
    "wide bus": EngineConfig.preset("tiny", name="wide", activation_bytes=2 << 10, mask_bytes=512, bus_bits=128,
                                    burst_beats=4, lanes=16, columns=8),
}


def memory_timing(seed: int) -> MemoryTiming:
    """A memory that is ideal, slow, far away or unsteady, by turns."""
    rng = np.random.default_rng([seed, 2])
    return MemoryTiming(latency=int(rng.choice((0, 3, 40))), rate=((1, 1), (1, 2), (3, 5))[rng.integers(3)],
                        stall=float(rng.choice((0, .1, .5))), seed=seed + 1)


def run(network, config: EngineConfig, backend: str, seed: int, images: int = 2, batch: int = 1):
    """Runs ``images`` images and returns every difference from the integer model and the plan, as text."""
    program = compile_network(network, config, batch=batch)
    inputs = np.stack([random_image(network, seed + number) for number in range(images)])
    golden = network.run(inputs)
    result = BACKENDS[backend](config, memory=memory_timing(seed)).run(program, inputs)
    differences = [str(mismatch) for mismatch in compare(result, golden)]
    if not np.array_equal(result.outputs, golden[program.layers[-1].name]):
        differences.append("the stored output differs")
    for one in result.runs:
        moved = {name: one.counters[name] for name in program.predicted}
        if moved != program.predicted:
            differences.append(f"bytes moved {moved}, predicted {program.predicted}")
        for plan, layer in zip(program.layers, one.layers):
            if layer.bytes != {"program_bytes": 0, **plan.bytes}:
                differences.append(f"layer {plan.name}: bytes moved {layer.bytes}, planned {plan.bytes}")
        useful = one.counters["useful_macs"]
        expected = sum(operation.macs for operation in program.operations)
        if useful != expected:
            differences.append(f"useful MACs {useful}, should be {expected}")
    return differences


@pytest.mark.parametrize("seed", range(48))
@pytest.mark.parametrize("name", CONFIGS)
def test_random_network(name, seed):
    config = CONFIGS[name]
    batch = 1 + seed % 3
    network = random_network(seed, config, channels=(20, 70)[seed % 2])
    assert not run(network, config, "native", seed, images=2 * batch if batch < 3 else 3, batch=batch)


@pytest.mark.parametrize("first", range(0, 48, 12))
@pytest.mark.parametrize("name", SMALL)
def test_random_networks_in_small_memories(name, first):
    config = SMALL[name]
    wrong, strips = {}, 0
    for seed in range(first, first + 12):
        network = random_network(seed, config, layers=5, side=24, tensor_bytes=6 << 10)
        try:
            strips += any(plan.strips > 1 for plan in compile_network(network, config).layers)
        except CompileError:
            continue  # a strip of one row is too large
        batch = 1 + seed % 3
        differences = run(network, config, "native", seed, images=batch, batch=batch)
        if differences:
            wrong[seed] = differences
    assert not wrong
    assert strips


COCOTB_SEEDS = range(100, 160)


@pytest.mark.parametrize("seed", COCOTB_SEEDS)
def test_random_network_under_cocotb(seed):
    config = CONFIGS["tiny"]
    assert not run(random_network(seed, config), config, "cocotb", seed, images=1)


def test_the_cocotb_networks_cover_what_an_engine_can_do():
    """The draw is not to lose a kernel size, a code, a number of coats or a pool unseen."""
    layers = [layer for seed in COCOTB_SEEDS for layer in random_network(seed, CONFIGS["tiny"]).layers]
    shapes = [layer.layer for layer in layers]
    assert {shape.kernel for shape in shapes} == set(range(1, 8))
    assert {shape.stride for shape in shapes} == {1, 2}
    assert {0, 1, 2} <= {shape.padding for shape in shapes}
    assert {layer.code for layer in layers} == {"raw", "unary", "ans", "stored"}
    assert {layer.coats for layer in layers if layer.code != "stored"} == set(range(1, 8))
    assert {shape.pool and shape.pool.kind for shape in shapes} == {None, "max", "average"}
    assert any(shape.residual for shape in shapes) and any(shape.wide for shape in shapes)
    assert any(shape.in_channels % 2 for shape in shapes) and any(shape.in_channels > 8 for shape in shapes)


@pytest.mark.parametrize("code", ("raw", "unary", "ans", "stored"))
def test_every_code(code):
    config = CONFIGS["tiny"]
    assert not run(random_network(7, config, code=code), config, "native", 7)
