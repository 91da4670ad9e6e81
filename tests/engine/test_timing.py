"""Predicted cycles against counted ones: equal, operation by operation, whatever the network and the memory."""

import itertools

import numpy as np
import pytest

from arch.config import EngineConfig
from compiler import compile_network
from golden import bundled, datasets, packed
from golden.integer import images_from_uint8
from golden.topology import IMAGE, Layer, Topology
from sim.memory import DEVICES, IDEAL, MemoryTiming, memory_timing
from sim.native import NativeBackend
from tests.engine.test_geometries import CONFIGS, PLANES
from tests.random_networks import random_image, random_network, random_values

EDGE = EngineConfig.preset("edge")
ENGINES = CONFIGS | PLANES


def differences(network, config: EngineConfig, images: np.ndarray, memory: MemoryTiming) -> list[str]:
    """What of a run on an engine just reset is not as predicted."""
    program = compile_network(network, config, batch=len(images))
    prediction = program.predict(memory)
    run = NativeBackend(config, memory=memory, tensors=False).run(program, images).runs[0]
    found = []
    if prediction.cycles != run.cycles:
        found.append(f"predicted {prediction.cycles} cycles, counted {run.cycles}")
    predicted = [0] * len(run.layers)
    for operation, cycles in zip(program.operations, prediction.operations):
        predicted[operation.layer] += cycles
    return found + [f"layer {layer.name}: predicted {cycles} cycles, counted {layer.cycles}"
                    for layer, cycles in zip(run.layers, predicted) if cycles != layer.cycles]


def memory_of(seed: int) -> MemoryTiming:
    """Ideal, slow, far away or both, by turns."""
    return MemoryTiming(latency=(0, 0, 40, 7)[seed % 4], rate=((1, 1), (1, 2), (1, 1), (3, 5))[seed % 4])


@pytest.mark.parametrize("seed", range(16))
@pytest.mark.parametrize("name", ENGINES)
def test_random_network(name, seed):
    config = ENGINES[name]
    network = random_network(200 + seed, config)
    images = np.stack([random_image(network, number) for number in range(1 + seed % 3)])
    assert not differences(network, config, images, memory_of(seed // 3))


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("name", CONFIGS)
def test_random_network_with_ideal_memory(name, seed):
    config = CONFIGS[name]
    network = random_network(300 + seed, config)
    assert not differences(network, config, random_image(network, seed)[None], IDEAL)


def test_many_stored_weights_between_coded_ones():
    """The random stream stands still meanwhile."""
    config, middle = CONFIGS["tiny"], {"in_channels": 48, "out_channels": 48, "kernel": 3, "padding": 1}
    topology = Topology(name="between", input_shape=(4, 12, 12), layers=(
        Layer(name="first", input=IMAGE, in_channels=4, out_channels=48, kernel=1),
        Layer(name="stored", input="first", stream=1, **middle),
        Layer(name="last", input="stored", in_channels=48, out_channels=4, kernel=1, stream=2)))
    network = next(network for network in (random_values(topology, seed, config) for seed in itertools.count())
                   if [layer.code == "stored" for layer in network.layers] == [False, True, False])
    assert not differences(network, config, random_image(network, 1)[None], IDEAL)


@pytest.mark.parametrize("memory", ("ideal", *DEVICES))
@pytest.mark.parametrize("model", bundled.models())
def test_bundled(model, memory):
    images = images_from_uint8(datasets.load(bundled.IMAGES, "test").first(1).images)
    assert not differences(packed.load(bundled.find(model)), EDGE, images, memory_timing(memory, EDGE))
