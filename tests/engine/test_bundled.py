"""Whole bundled networks on the `edge` engine: every tensor of every layer, and what the counters say about it."""

import pytest

from arch.config import EngineConfig
from compiler import compile_network
from golden import bundled, datasets, packed
from sim.memory import MemoryTiming
from sim.network import simulate

EDGE = EngineConfig.preset("edge")
IMAGES = datasets.load(bundled.IMAGES, "test")


@pytest.mark.parametrize("model", bundled.models())
def test_native(model):
    run = simulate(bundled.find(model), IMAGES.first(16), EDGE)
    assert run.bit_exact, run.mismatches
    assert run.images == 16 and run.accuracy == run.golden_accuracy
    assert run.counters["useful_macs"] == run.macs
    predicted = compile_network(packed.load(bundled.find(model)), EDGE).predicted_cycles
    assert abs(predicted * run.images - run.cycles) < .03 * run.cycles


@pytest.mark.parametrize("model", bundled.models())
def test_cocotb(model):
    run = simulate(bundled.find(model), IMAGES.first(2), EDGE, backend="cocotb")
    assert run.bit_exact, run.mismatches


def test_slow_memory_changes_no_bit():
    slow = MemoryTiming(latency=60, rate=(1, 2), stall=.2)
    run = simulate(bundled.find("fashion-n3"), IMAGES.first(1), EDGE, memory=slow)
    assert run.bit_exact, run.mismatches


@pytest.mark.parametrize("model", bundled.models())
def test_utilisation(model):
    """Convolutions with a multiple of 16 input channels fill the array; weights are seldom waited for."""
    run = simulate(bundled.find(model), IMAGES.first(1), EDGE)
    topology = {layer.name: layer for layer in packed.load(bundled.find(model)).topology.layers}
    full = [layer for layer in run.layers
            if topology[layer.name].in_channels % 16 == 0 and not topology[layer.name].wide]
    assert len(full) == 8
    useful = sum(layer.counters["useful_macs"] for layer in full)
    assert useful >= .9 * EDGE.macs_per_cycle * sum(layer.cycles for layer in full)
    assert run.counters["stall_weights"] < .05 * run.cycles
