"""The traffic floor: hand-computed cases, the least over all choices of bytes, and what must hold for any network."""

import itertools
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from golden import codes, untrained
from golden.densities import RELEASED_DENSITIES, kept_count, uniform_densities
from golden.networks import NETWORKS, network_topology
from golden.topology import IMAGE, Layer, Topology
from reports import traffic
from tests.random_networks import random_topology


def network(channels: int, *layers) -> Topology:
    """1x1 layers on one pixel, as (name, input, output channels, residual): a tensor has as many bytes as channels."""
    sizes = {IMAGE: channels}
    built = []
    for name, source, outputs, residual in layers:
        built.append(Layer(name=name, input=source, in_channels=sizes[source], out_channels=outputs, kernel=1,
                           residual=residual, wide=name == "fc"))
        sizes[name] = outputs
    return Topology(name="small", input_shape=(channels, 1, 1), layers=tuple(built))


def resident_buffer(topology: Topology) -> int:
    """The most bytes alive at one layer boundary: with as many nothing spills."""
    layers = topology.layers
    made = {IMAGE: -1} | {layer.name: position for position, layer in enumerate(layers)}
    used = {name: position for position, layer in enumerate(layers) for name in (layer.input, layer.residual)}
    sizes = {name: int(np.prod(shape)) for name, shape in topology.shapes().items()}
    return max(sum(size for name, size in sizes.items() if made[name] <= at < used.get(name, 0))
               for at in range(len(layers)))


def shannon_mask_bits(topology: Topology, densities) -> float:
    """Shannon bits of all coat indices with these kept fractions."""
    kept = [[layer.weights, *(kept_count(layer.weights, density) for density in densities), 0]
            for layer in topology.layers]
    return sum(codes.shannon_bits(-np.diff(counts)) for counts in kept)


CHAIN = network(5, ("a", IMAGE, 32, None), ("b", "a", 16, None), ("fc", "b", 3, None))
BLOCK = network(5, ("a", IMAGE, 32, None), ("b", "a", 32, None), ("c", "b", 32, "a"), ("fc", "c", 3, None))
IMAGE_TWICE = network(8, ("a", IMAGE, 8, None), ("b", "a", 8, IMAGE), ("fc", "b", 3, None))
BLOCKS = network(3, ("stem", IMAGE, 3, None), ("one", "stem", 1, None), ("shortcut", "stem", 3, None),
                 ("sum", "one", 3, "shortcut"), ("two", "sum", 2, None), ("last", "two", 3, "sum"),
                 ("fc", "last", 2, None))


@pytest.mark.parametrize("topology, buffer, expected", [
    (CHAIN, 0, (48, 48)), (CHAIN, 20, (12, 12)), (CHAIN, 31, (1, 1)), (CHAIN, 32, (0, 0)),
    (BLOCK, 0, (96, 128)),  # a is read twice
    (BLOCK, 64, (0, 0)), (BLOCK, 40, (24, 24)),  # a and b together
    # 16 bytes of a, read for b. Then 48 of a and b: the same 16, and 32 that DRAM has not seen. Then 16 of c.
    (BLOCK, 16, (16 + 32 + 16, 16 + 48 + 16)),
    # Beside a, 6 bytes of the image do not fit: never written, read for b.
    (IMAGE_TWICE, 10, (0, 6)), (IMAGE_TWICE, 0, (16, 24)), (IMAGE_TWICE, 16, (0, 0)),
])
def test_spills_by_hand(topology, buffer, expected):
    assert traffic.spills(topology, buffer) == expected


def test_parts_by_hand():
    floor = traffic.topology_floor(BLOCK, 801, 16, batch=3)
    assert floor.to_json() == {"masks": 101, "parameters": 9 * 99, "image": 3 * 5, "logits": 3 * 3 * 4,
                               "spill_writes": 3 * 64, "spill_reads": 3 * 80, "total": 101 + 891 + 15 + 36 + 192 + 240}
    assert floor.total == floor.to_json()["total"]
    assert resident_buffer(BLOCK) == 64 and resident_buffer(IMAGE_TWICE) == 16


def least(topology: Topology, buffer: int) -> int:
    """Fewest bytes over every choice of how many bytes of each tensor are away between two of its uses."""
    sizes = {name: channels for name, (channels, _, _) in topology.shapes().items()}
    spans, previous = [], {}
    for position, layer in enumerate(topology.layers):
        for name in {layer.input, layer.residual} - {None}:
            if name in previous:
                spans.append((name, previous[name], position))
            previous[name] = position
        previous[layer.name] = position
    best = sum(sizes.values()) * len(topology.layers)
    for away in itertools.product(*(range(sizes[name] + 1) for name, _, _ in spans)):
        fits = all(sum(sizes[name] - gone for (name, first, last), gone in zip(spans, away) if first <= at < last)
                   <= buffer for at in range(len(topology.layers)))
        if fits:
            written = {name: max(gone for (other, _, _), gone in zip(spans, away) if other == name)
                       for name, _, _ in spans if name != IMAGE}
            best = min(best, sum(away) + sum(written.values()))
    return best


@pytest.mark.parametrize("buffer", range(7))
def test_no_choice_of_bytes_moves_less(buffer):
    assert sum(traffic.spills(BLOCKS, buffer)) == least(BLOCKS, buffer)


@pytest.mark.parametrize("seed", range(40))
def test_a_larger_buffer_never_moves_more(seed):
    topology = random_topology(np.random.default_rng(seed), 3 + seed % 9, 20)
    resident = resident_buffer(topology)
    totals = [sum(traffic.spills(topology, buffer)) for buffer in range(resident + 1)]
    assert all(more >= less for more, less in zip(totals, totals[1:]))
    assert totals[-1] == 0 and (resident == 0 or totals[-2] > 0)


@pytest.mark.parametrize("name", NETWORKS)
def test_networks_without_and_with_enough_memory(name):
    topology = network_topology(name)
    sizes = {key: int(np.prod(shape)) for key, shape in topology.shapes().items()}
    last = topology.layers[-1].name
    reads = sum(sizes[layer.input] + (sizes[layer.residual] if layer.residual else 0) for layer in topology.layers)
    assert traffic.spills(topology, 0) == (sum(sizes.values()) - sizes[IMAGE] - sizes[last], reads - sizes[IMAGE])
    resident = resident_buffer(topology)
    assert traffic.spills(topology, resident) == (0, 0)
    assert min(traffic.spills(topology, resident - 1)) > 0


def test_known_sizes():
    """ResNet-18 without activation memory: 4.8 MB of activations in all; on chip from 392 KiB (ResNet-50: 1,176)."""
    topology = network_topology("resnet18")
    floor = traffic.topology_floor(topology, shannon_mask_bits(topology, (.3,)), 0)
    assert floor.total - floor.masks - floor.parameters == pytest.approx(4.8e6, rel=.01)
    assert floor.masks * 8 / 11678912 == pytest.approx(.881, abs=.001)
    released = shannon_mask_bits(topology, RELEASED_DENSITIES)
    assert released / 11678912 == pytest.approx(1.207, abs=.001)
    assert resident_buffer(topology) == 56 * 56 * 64 * 2
    assert resident_buffer(network_topology("resnet50")) == 56 * 56 * (256 + 128)


def test_masks_grow_with_density_and_coats():
    topology = network_topology("resnet18-cifar")
    def bits(density, coats):
        return shannon_mask_bits(topology, uniform_densities(density, coats))
    for coats in range(1, 8):
        densities = [bits(density, coats) for density in (.005, .02, .1, .3, .5)]
        assert densities == sorted(densities)
    assert [bits(.3, coats) for coats in range(1, 8)] == sorted(bits(.3, coats) for coats in range(1, 8))


def test_floor_of_a_network_is_that_of_its_masks():
    supermask = untrained.network("fashion", coats=3)
    floor = traffic.traffic_floor(supermask, 1 << 13, batch=2)
    expected = shannon_mask_bits(supermask.topology, uniform_densities(.3, 3))
    assert floor == traffic.topology_floor(supermask.topology, expected, 1 << 13, batch=2)
    coded = sum(codes.coded_bits(np.bincount(layer.indices.ravel(), minlength=4), "unary")
                for layer in supermask.layers)
    assert floor.masks < coded / 8
    stored = traffic.traffic_floor(untrained.network("fashion", stored=True), 1 << 13)
    assert stored.masks == 307232



def test_nothing_comes_from_the_compiler():
    """In a fresh process: whatever a module asks for, and however."""
    code = "import sys, reports.traffic; print(*{name.partition('.')[0] for name in sys.modules})"
    loaded = subprocess.run([sys.executable, "-c", code], cwd=Path(__file__).parents[2], check=True, text=True,
                            stdout=subprocess.PIPE).stdout.split()
    assert {"arch", "golden", "reports"} <= set(loaded)
    assert not {"compiler", "sim", "hw"} & set(loaded)
