"""Predicted cycles against counted ones: equal, operation by operation, whatever the network and the memory."""

import numpy as np
import pytest

from arch.config import EngineConfig
from compiler import compile_network
from golden import bundled, datasets, packed
from golden.integer import images_from_uint8
from sim.memory import DEVICES, IDEAL, MemoryTiming, memory_timing
from sim.native import NativeBackend
from tests.engine.test_geometries import CONFIGS
from tests.random_networks import random_image, random_network

EDGE = EngineConfig.preset("edge")


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
@pytest.mark.parametrize("name", CONFIGS)
def test_random_network(name, seed):
    config = CONFIGS[name]
    network = random_network(200 + seed, config)
    images = np.stack([random_image(network, number) for number in range(1 + seed % 3)])
    assert not differences(network, config, images, memory_of(seed // 3))


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("name", CONFIGS)
def test_random_network_with_ideal_memory(name, seed):
    config = CONFIGS[name]
    network = random_network(300 + seed, config)
    assert not differences(network, config, random_image(network, seed)[None], IDEAL)


@pytest.mark.parametrize("memory", ("ideal", *DEVICES))
@pytest.mark.parametrize("model", bundled.models())
def test_bundled(model, memory):
    images = images_from_uint8(datasets.load(bundled.IMAGES, "test").first(1).images)
    assert not differences(packed.load(bundled.find(model)), EDGE, images, memory_timing(memory, EDGE))
