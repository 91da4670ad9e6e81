"""Whole ResNets, every layer bit-exact: the CIFAR one in every run of the tests, the ImageNet ones in `make nightly`,
which leaves a record of each in build/nightly."""

import json
from pathlib import Path

import pytest

from arch.config import EngineConfig
from compiler import compile_network
from compiler.estimate import estimate
from compiler.expected import Coats
from golden import untrained
from golden.densities import schedule_densities
from golden.networks import NETWORKS
from golden.photograph import photographs
from reports.baseline import int8_bytes
from reports.traffic import traffic_floor
from sim.memory import DEVICES, memory_timing
from sim.network import NetworkRun, simulate_network
from tests.compiler.dataflow import Dataflow
from tests.compiler.test_program import check_regions, shapes_only

RECORDS = Path(__file__).parents[2] / "build" / "nightly"

SPILLED, RESIDENT = 1.25, 1.05
"""Most bytes, as multiples of the traffic floor."""

UTILISATION = {"edge": .95, "base": .92, "hiddenite": .85}
"""Least of a whole network, by preset."""

MASKS = {"base": 1.01, "hiddenite": 1.022}
"""Most bytes of masks over their entropy, checksums included, where each is fetched once."""


def run(network: str, preset: str, coats: int = 3, memory: str = "ideal") -> tuple[NetworkRun, float]:
    """Simulates and checks: every tensor, every byte, every cycle; that the estimate from shapes alone is near; and how
    near it is to the traffic floor. Returns the bytes over the floor as well."""
    integers, config = untrained.network(network, coats=coats), EngineConfig.preset(preset)
    result = simulate_network(integers, photographs(integers.topology.input_shape, 1), config,
                              memory=memory_timing(memory, config))
    assert result.bit_exact, result.mismatches
    assert not result.byte_differences
    assert result.bytes == result.planned_bytes
    assert result.cycles == result.predicted_cycles
    assert all(layer.cycles == layer.predicted_cycles for layer in result.layers)
    shapes = estimate(integers.topology, config, Coats(schedule_densities("uniform", .3, coats), "best"))
    assert shapes.dram_bytes == pytest.approx(sum(result.bytes.values()), rel=.002)
    if memory == "ideal":
        assert shapes.cycles == pytest.approx(result.cycles, rel=.008)
    # Strips of a pooled layer compute the rows that they share twice.
    assert result.macs <= result.counters["useful_macs"] < 1.002 * result.macs
    floor = traffic_floor(integers, config.activation_bytes)
    excess = sum(result.bytes.values()) / floor.total
    assert excess <= (SPILLED if floor.spill_reads else RESIDENT)
    return result, excess


def record(result: NetworkRun, excess: float) -> dict:
    """What a run cost, as numbers to compare with earlier ones."""
    return {
        "network": result.network, "preset": result.config.name, "cycles": result.cycles,
        "utilisation": result.utilisation, "counters": result.counters, "bytes": result.bytes,
        "bytes_over_floor": excess, "seconds": vars(result.seconds),
    }


def test_cifar():
    result, _ = run("resnet18-cifar", "edge")
    assert result.utilisation >= UTILISATION["edge"]


def keep(name: str, result: NetworkRun, excess: float, capsys):
    text = json.dumps(record(result, excess), indent=1)
    RECORDS.mkdir(parents=True, exist_ok=True)
    (RECORDS / f"{name}.json").write_text(text + "\n")
    with capsys.disabled():
        print(f"\n{text}")


@pytest.mark.nightly
@pytest.mark.parametrize("preset", UTILISATION)
@pytest.mark.parametrize("network", ("resnet18", "resnet50"))
def test_imagenet(network, preset, capsys):
    result, excess = run(network, preset)
    keep(f"{network}-{preset}", result, excess, capsys)
    assert result.utilisation >= UTILISATION[preset]
    if preset in MASKS:
        entropy = traffic_floor(untrained.network(network), result.config.activation_bytes).masks
        assert result.bytes["mask_bytes"] <= MASKS[preset] * entropy


@pytest.mark.nightly
@pytest.mark.parametrize("coats", (1, 7))
@pytest.mark.parametrize("network", ("resnet18", "resnet50"))
def test_imagenet_with_other_coats(network, coats, capsys):
    keep(f"{network}-base-{coats}-coats", *run(network, "base", coats), capsys)


@pytest.mark.nightly
@pytest.mark.parametrize("memory", DEVICES)
def test_imagenet_behind_a_real_memory(memory, capsys):
    keep(f"resnet18-base-{memory}", *run("resnet18", "base", memory=memory), capsys)


@pytest.mark.nightly
@pytest.mark.parametrize("kibibytes", (128, 256))
def test_traffic_against_int8(kibibytes):
    """ResNet-18 with an activation memory too small for it: all bytes, against the same engine with int8 weights."""
    config = EngineConfig.preset("edge", activation_bytes=kibibytes << 10)
    networks = {coats: untrained.network("resnet18", coats=coats, code="ans") for coats in (1, 3)}
    assert traffic_floor(networks[1], config.activation_bytes).spill_reads
    int8 = sum(int8_bytes(networks[1], config).values())
    for coats, least in (1, 2.6), (3, 2.35):
        ours = sum(compile_network(networks[coats], config).predicted.values())
        assert int8 >= least * ours, coats


@pytest.mark.nightly
@pytest.mark.parametrize("name", NETWORKS)
def test_every_network_compiles(name):
    """Every byte of every tensor is where it is looked for: ImageNet's shapes at `base`, the smaller ones at `edge`."""
    network = shapes_only(name)
    config = EngineConfig.preset("base" if max(network.topology.input_shape) > 32 else "edge")
    program = compile_network(network, config)
    Dataflow(program, network.topology).follow()
    check_regions(program)
