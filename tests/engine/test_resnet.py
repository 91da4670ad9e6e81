"""Whole ResNets, every layer bit-exact: the CIFAR one in every run of the tests, the ImageNet ones in `make nightly`."""

import pytest

from arch.config import EngineConfig
from golden import untrained
from golden.photograph import photographs
from reports.traffic import traffic_floor
from sim.network import simulate_network


def run(network: str, preset: str, utilisation: float):
    """Simulates and checks, with at least ``utilisation`` and near the traffic floor."""
    integers, config = untrained.network(network), EngineConfig.preset(preset)
    result = simulate_network(integers, photographs(integers.topology.input_shape, 1), config)
    assert result.bit_exact, result.mismatches
    assert not result.byte_differences
    assert result.counters["useful_macs"] == result.macs
    assert result.utilisation >= utilisation
    floor = traffic_floor(integers, config.activation_bytes)
    assert sum(result.bytes.values()) <= (1.25 if floor.spill_reads else 1.05) * floor.total


def test_cifar():
    run("resnet18-cifar", "edge", .95)


@pytest.mark.nightly
@pytest.mark.parametrize("preset, utilisation", [("edge", .95), ("base", .92), ("hiddenite", .85)])
@pytest.mark.parametrize("network", ("resnet18", "resnet50"))
def test_imagenet(network, preset, utilisation):
    run(network, preset, utilisation)
