"""The named networks: sizes known from the papers, and the order in which their layers run."""

import math

import pytest

from golden.networks import NETWORKS, network_topology


@pytest.mark.parametrize("name, weights", [
    ("resnet18-cifar", 11_164_352), ("resnet18", 11_678_912), ("resnet50", 25_502_912), ("wide-resnet50", 68_814_016),
    ("resnet101", 44_442_816),
])
def test_weights(name, weights):
    assert sum(layer.weights for layer in network_topology(name).layers) == weights


@pytest.mark.parametrize("name, macs, activations", [("resnet18", 1.814e9, 4.67e6), ("resnet50", 4.089e9, 21.8e6)])
def test_work(name, macs, activations):
    """Activations: input and output bytes of every layer, its map before the pool, in int8."""
    topology = network_topology(name)
    shapes = topology.shapes()
    assert sum(topology.macs().values()) == pytest.approx(macs, rel=.001)
    maps = [layer.out_channels * math.prod(layer.map_size(*shapes[layer.input][1:])) for layer in topology.layers]
    moved = sum(maps) + sum(math.prod(shapes[layer.input]) for layer in topology.layers)
    assert moved == pytest.approx(activations, rel=.005)


@pytest.mark.parametrize("name", NETWORKS)
def test_shapes(name):
    topology = network_topology(name)
    shapes = topology.shapes()
    assert topology.name == name
    if name == "fashion":
        return
    cifar = name.endswith("-cifar")
    assert topology.input_shape == ((3, 32, 32) if cifar else (3, 224, 224))
    assert shapes["stem"] == ((64, 32, 32) if cifar else (64, 56, 56))
    bottleneck = name.startswith(("resnet50", "resnet101", "wide"))
    final = topology.layers[-2]
    assert (final.out_channels, shapes[final.name][1:]) == (2048 if bottleneck else 512, (1, 1))
    assert final.map_size(*shapes[final.input][1:]) == ((4, 4) if cifar else (7, 7))
    assert shapes["fc"] == (10 if cifar else 1000, 1, 1) and topology.layers[-1].wide
    assert len({layer.stream for layer in topology.layers}) == len(topology.layers)


def test_order_in_a_block():
    def first_block(name):
        prefix = "stage2.block1."
        return [(layer.name.removeprefix(prefix), layer.stride) for layer in network_topology(name).layers
                if layer.name.startswith(prefix)]
    assert first_block("resnet34") == [("conv1", 2), ("downsample", 2), ("conv2", 1)]
    assert first_block("resnet50") == [("conv1", 1), ("conv2", 2), ("downsample", 2), ("conv3", 1)]


def test_unknown_network():
    with pytest.raises(ValueError, match="network must be one of resnet18, resnet34, .*, fashion, not 'resnet19'"):
        network_topology("resnet19")
