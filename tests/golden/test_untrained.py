"""Untrained networks: exact densities, activations that spread, and the photograph they see."""

import numpy as np
import pytest

from golden import codes, untrained
from golden.densities import (RELEASED_DENSITIES, SCHEDULES, kept_count, linear_densities, schedule_densities,
                              uniform_densities)
from golden.integer import images_from_uint8, kept_counts
from golden.networks import network_topology
from golden.photograph import photograph, photographs


@pytest.fixture(scope="module")
def resnet():
    return untrained.network("resnet18-cifar", code="raw")


@pytest.mark.parametrize("coats, density, schedule, densities", [
    (1, .5, "uniform", (.5,)), (3, .3, "released", RELEASED_DENSITIES),
    (7, .005, "uniform", uniform_densities(.005, 7)), (5, .3, "linear", linear_densities(.3, 5)),
])
def test_densities_are_exact(coats, density, schedule, densities):
    network = untrained.network("fashion", coats=coats, density=density, schedule=schedule)
    for layer in network.layers:
        assert layer.densities == densities
        assert layer.kept == tuple(kept_count(layer.layer.weights, density) for density in densities)
        assert layer.kept == kept_counts(layer.indices, coats)
        assert layer.table == tuple(range(coats + 1))


def test_indices_are_spread_over_the_layer():
    indices = untrained.random_indices((64, 3, 3, 64), (.3, .1), np.random.default_rng(3))
    for axis in range(4):
        others = tuple(other for other in range(4) if other != axis)
        share = (indices > 0).mean(others)
        assert np.abs(share - .3).max() < 5 * np.sqrt(.21 * len(share) / indices.size)


def test_everything_follows_from_the_seed():
    one, same, other = (untrained.network("fashion", seed=seed) for seed in (7, 7, 8))
    assert one.seed == 7 and other.seed == 8
    for first, second in zip(one.layers, same.layers):
        np.testing.assert_array_equal(first.indices, second.indices)
        np.testing.assert_array_equal(first.bias, second.bias)
    assert not np.array_equal(one.layers[3].indices, other.layers[3].indices)
    assert "accuracy means nothing" in one.provenance["weights"]
    stored = [untrained.network("fashion", seed=seed, stored=True) for seed in (7, 7, 8)]
    np.testing.assert_array_equal(stored[0].layers[3].stored, stored[1].layers[3].stored)
    assert not np.array_equal(stored[0].layers[3].stored, stored[2].layers[3].stored)


def check_spread(network):
    tensors = network.run(images_from_uint8(photographs(network.topology.input_shape, 1)))
    for layer in network.layers[:-2]:
        values = tensors[layer.layer.name].astype(np.int64)
        assert 15 < values.std() < 60, layer.layer.name
        assert ((values == 127) | (values == -128) & (not layer.offset_output)).mean() < .01
        if layer.offset_output and layer.layer.pool is None:
            assert .15 < (values == -128).mean() < .65  # what ReLU makes zero
    logits = tensors["fc"].ravel()
    assert logits.std() > 100 and len(set(logits)) > .9 * len(logits)


def test_activations_spread(resnet):
    assert {layer.code for layer in resnet.layers} == {"raw"}
    check_spread(resnet)


def test_stored_twin(resnet):
    twin = untrained.network("resnet18-cifar", stored=True)
    assert twin.topology == resnet.topology
    for layer in twin.layers:
        assert (layer.code, layer.symbol_bits, layer.indices) == ("stored", 8, None)
        assert layer.stored.max() > 100 and layer.stored.std() > 20
    check_spread(twin)


def test_codes():
    raw, unary, ans, best = (untrained.network("fashion", code=code) for code in ("raw", "unary", "ans", "best"))
    for layers in zip(raw.layers, unary.layers, ans.layers, best.layers):
        for layer in layers[1:]:
            np.testing.assert_array_equal(layer.indices, layers[0].indices)
            np.testing.assert_array_equal(layer.multiplier, layers[0].multiplier)
        assert [(layer.code, layer.symbol_bits) for layer in layers[:3]] == [("raw", 2), ("unary", 3), ("ans", 10)]
        assert layers[3].code == codes.best_code(np.bincount(layers[0].indices.ravel(), minlength=4))


@pytest.mark.parametrize("arguments, message", [
    ({"topology": "lenet"}, "network must be one of"),
    ({"coats": 8}, "coats must be in 1..7, not 8"), ({"coats": 0}, "coats must be in 1..7, not 0"),
    ({"density": 0.}, "density must be above 0 and at most 1, not 0.0"),
    ({"density": 1.5, "schedule": "linear"}, "must be above 0 and at most 1"),
    ({"schedule": "cosine"}, "schedule must be one of uniform, linear, released, not 'cosine'"),
    ({"schedule": "released", "coats": 2}, "schedule released has 3 coats at density 0.3, not 2 at 0.3"),
    ({"schedule": "released", "density": .5}, "schedule released has 3 coats at density 0.3, not 3 at 0.5"),
    ({"code": "huffman"}, "code must be one of"), ({"code": "stored"}, "code must be one of"),
])
def test_bad_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        untrained.network(**{"topology": "fashion", **arguments})


def test_schedules():
    for schedule in SCHEDULES:
        assert schedule_densities(schedule, .3, 3)[0] == .3
    assert schedule_densities("linear", .3, 1) == (.3,)
    # Normal scores: |z| passes 1.036, 2.322 and 3.607 with these chances, and 4.892 once in a million.
    assert linear_densities(.3, 3) == pytest.approx((.3, .02025, .00031), rel=.01)
    samples = np.abs(np.random.default_rng(2).normal(size=1 << 20))
    thresholds = np.quantile(samples, 1 - np.array(linear_densities(.3, 4)[:3]))
    assert thresholds[2] - thresholds[1] == pytest.approx(thresholds[1] - thresholds[0], rel=.03)


def test_photograph():
    shape = (3, 224, 224)
    picture = photograph(shape)
    assert picture.shape == shape and picture.dtype == np.uint8
    assert picture.std() > 40 and len(np.unique(picture)) > 200
    # Neighbours are alike, as in no noise.
    assert np.abs(np.diff(picture.astype(int), axis=2)).mean() < 20
    views = photographs(shape, 3)
    np.testing.assert_array_equal(views[0], picture)
    np.testing.assert_array_equal(photographs(shape, 2), views[:2])
    assert all(np.abs(one.astype(int) - other).mean() > 10 for one, other in zip(views, np.roll(views, 1, 0)))
    assert photographs((1, 20, 31), 5).shape == (5, 1, 20, 31)
    with pytest.raises(ValueError, match="1 or 3 channels, not 2"):
        photograph((2, 8, 8))


def test_a_topology_runs_as_well_as_its_name():
    network = untrained.network(network_topology("fashion"), coats=1)
    assert network.topology.name == "fashion" and network.layers[0].kept[0] == kept_count(800, .3)
