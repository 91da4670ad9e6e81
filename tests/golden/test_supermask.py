"""Multicoated supermask layers: schedules, counts, nesting, gradients, and the network around them."""

import dataclasses
import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional

from golden import stream
from golden.densities import CONVENTIONS, RELEASED_DENSITIES, check_densities, kept_count, uniform_densities
from golden.network import SupermaskNetwork
from golden.networks import resnet
from golden.supermask import SupermaskConv2d, coat_indices
from golden.topology import IMAGE, Layer

LAYER = Layer(name="conv", input=IMAGE, in_channels=12, out_channels=16, kernel=3, padding=1, stream=5)
TINY = resnet(blocks=(1, 1), width=8, input_shape=(1, 12, 12), classes=4)


def conv(densities=(.5, .3, .1), convention="released", scores_seed=0):
    return SupermaskConv2d(LAYER, densities=densities, seed=11, convention=convention,
                           generator=torch.Generator().manual_seed(scores_seed))


def test_schedules():
    assert uniform_densities(.3, 1) == (.3,)
    assert uniform_densities(.3, 3) == pytest.approx((.3, .2, .1))
    # The other form of the schedule: removed fractions s_n = s_1 + (n - 1)(1 - s_1) / N.
    for coats in range(1, 8):
        removed = [.7 + coat * .3 / coats for coat in range(coats)]
        assert [1 - density for density in uniform_densities(.3, coats)] == pytest.approx(removed)
    assert RELEASED_DENSITIES == pytest.approx([1 - removed for removed in (.7, .9212, .9685)])


@pytest.mark.parametrize("densities, message", [
    ((), "1 to 7 coats, not 0"), ([.9 - .1 * coat for coat in range(8)], "1 to 7 coats, not 8"),
    ((.3, .3), "must fall"), ((.1, .3), "must fall"), ((1.1,), "must fall"), ((.3, 0), "must fall"),
])
def test_bad_densities(densities, message):
    with pytest.raises(ValueError, match=message):
        check_densities(densities)


def test_kept_counts_of_the_two_conventions():
    assert kept_count(36864, .3, "released") == 11059
    assert kept_count(36864, .3, "edge-popup") == 11060
    with pytest.raises(ValueError, match="convention must be one of"):
        kept_count(10, .3, "other")


@pytest.mark.parametrize("convention", CONVENTIONS)
@given(st.integers(1, 400), st.integers(1, 7), st.floats(.05, 1), st.integers(0, 99))
def test_indices_keep_the_largest_and_nest(convention, size, coats, first, seed):
    scores = np.random.default_rng(seed).permutation(size).astype(np.float32) - size / 2 + .25  # |score| all differ
    densities = uniform_densities(first, coats)
    index = coat_indices(scores, densities, convention)
    by_magnitude = index[np.argsort(np.abs(scores))]
    assert (np.diff(by_magnitude.astype(int)) >= 0).all()
    for coat, density in enumerate(densities, 1):
        assert (index >= coat).sum() == kept_count(size, density, convention)


def test_ties():
    scores = np.array([[2, -1, 1], [1, -1, .5]], np.float32)
    assert kept_count(6, .5, "released") == kept_count(6, .5, "edge-popup") == 3
    assert coat_indices(scores, (.5,), "released").tolist() == [[1, 1, 1], [1, 1, 0]]
    assert coat_indices(scores, (.5,), "edge-popup").tolist() == [[1, 0, 0], [1, 1, 0]]


@pytest.mark.parametrize("convention", CONVENTIONS)
@pytest.mark.parametrize("coats", range(1, 8))
def test_effective_weights(coats, convention):
    densities = uniform_densities(.5, coats)
    layer = conv(densities, convention)
    signs = stream.weight_signs(11, 5, 16, 3, 3, 12).transpose(0, 3, 1, 2)
    index = layer.coat_indices()
    assert index.max() == coats
    assert layer.scale == pytest.approx(math.sqrt(2) / math.sqrt(12 * 9 * .5))
    weight = layer.weight().detach().numpy()
    np.testing.assert_array_equal(weight, signs * np.float32(layer.scale) * index)


def test_thresholds_follow_only_when_refreshed():
    layer = conv()
    with torch.no_grad():
        layer.scores.mul_(-3)
    assert (layer.weight() != 0).float().mean() > .6
    layer.refresh()
    kept = int((layer.weight() != 0).sum())
    assert kept == kept_count(layer.scores.numel(), .5) == (layer.coat_indices() > 0).sum()


def test_gradient_is_the_straight_through_sum_over_coats():
    layer = conv()
    x = torch.randn(2, 12, 6, 6, generator=torch.Generator().manual_seed(1))
    layer(x).square().sum().backward()
    # The same by automatic differentiation: a coat is a constant plus |score| minus its detached self.
    scores = layer.scores.detach().clone().requires_grad_()
    magnitude = scores.abs()
    coats = [(magnitude >= threshold).float() + magnitude - magnitude.detach() for threshold in layer.thresholds]
    functional.conv2d(x, layer.base * sum(coats), padding=1).square().sum().backward()
    torch.testing.assert_close(layer.scores.grad, scores.grad)


def test_network_interprets_the_topology():
    network = SupermaskNetwork(TINY, densities=(.5, .2), seed=3).eval()
    images = torch.rand(2, 1, 12, 12)
    tensors = network.tensors(images)
    assert {name: tuple(tensor.shape[1:]) for name, tensor in tensors.items()} == TINY.shapes()
    torch.testing.assert_close(network(images), tensors["fc"].flatten(1))
    last = network.layers["stage2.block1.conv2"]
    total = last.norm(last.conv(tensors["stage2.block1.conv1"])) + tensors["stage2.block1.downsample"]
    torch.testing.assert_close(tensors["stage2.block1.conv2"], total.relu().mean((2, 3), keepdim=True))


def test_layers_of_one_stream_share_signs():
    layers = tuple(dataclasses.replace(layer, stream=0) for layer in TINY.layers)
    network = SupermaskNetwork(dataclasses.replace(TINY, layers=layers), densities=(.5,), seed=3)
    first, second = (network.layers[f"stage2.block1.{name}"].conv for name in ("conv1", "conv2"))
    assert first.base.sign()[0, :, 0, 0].tolist() == second.base.sign()[0, :8, 0, 0].tolist()


def test_dense_network_has_no_coats():
    network = SupermaskNetwork(TINY)
    assert network.coats is None
    network(torch.rand(2, 1, 12, 12)).sum().backward()
    assert network.layers["stem"].conv.trained.grad is not None
