"""Pruned layers: exactly as many weights as asked for, on the grid of their bits, the same in the integer network."""

import dataclasses

import numpy as np
import pytest
import torch
from torch.nn import functional

from golden import quantise
from golden.densities import kept_count
from golden.pruned import PRUNING, PrunedConv2d, scheduled_density
from golden.topology import Layer
from golden.trained import TrainingConfig
from golden.training import prepare
from tests.golden.test_quantise import PLAIN, images

LAYER = Layer(name="conv", input="image", in_channels=6, out_channels=8, kernel=3, padding=1, stream=0)


def conv(density=.25, bits=4, layer=LAYER):
    return PrunedConv2d(layer, density=density, bits=bits, generator=torch.Generator().manual_seed(3))


def test_schedule_falls_from_all_to_the_final_density():
    densities = [scheduled_density(.1, step / 100) for step in range(101)]
    assert densities == sorted(densities, reverse=True)
    begin, end = (round(100 * progress) for progress in PRUNING)
    assert set(densities[:begin + 1]) == {1} and set(densities[end:]) == {.1}
    assert scheduled_density(.1, sum(PRUNING) / 2) == pytest.approx(.1 + .9 / 8)


@pytest.mark.parametrize("convention", ["released", "edge-popup"])
@pytest.mark.parametrize("density", [.05, .25, .999, 1.])
@pytest.mark.parametrize("progress", [0., .3, 1.])
def test_kept_fraction_is_exact(convention, density, progress):
    layer = PrunedConv2d(LAYER, density=density, bits=8, convention=convention)
    layer.refresh(progress)
    magnitudes, kept = layer.trained.detach().abs(), layer.mask > 0
    assert kept.sum() == kept_count(LAYER.weights, scheduled_density(density, progress), convention)
    assert kept.all() or magnitudes[kept].min() >= magnitudes[~kept].max()
    assert (layer.weight()[~kept] == 0).all()


def test_what_is_cut_stays_cut():
    layer = conv(.25)
    layer.refresh(.3)
    first = layer.mask.clone()
    with torch.no_grad():
        layer.trained.copy_(torch.where(first > 0, layer.trained * 1e-3, 1.))
        layer.trained.view(-1)[:100] *= first.view(-1)[:100] - 1  # kept ones that became 0, -0 among them
    layer.refresh()
    assert (layer.mask <= first).all()
    assert layer.mask.sum() == kept_count(LAYER.weights, .25)


@pytest.mark.parametrize("bits", [4, 8])
@pytest.mark.parametrize("wide", [False, True])
def test_weights_are_on_the_grid(bits, wide):
    layer = conv(.5, bits, dataclasses.replace(LAYER, wide=wide))
    layer.refresh()
    weights, trained = layer.weight().detach(), layer.trained.detach()
    limit = (1 << bits - 1) - 1
    largest = trained.abs().amax((1, 2, 3), keepdim=True)
    step = (largest.max() if wide else largest) / limit
    integers = weights / step
    torch.testing.assert_close(integers, integers.round(), atol=1e-5, rtol=0)
    assert integers.abs().max().round() == limit
    assert ((weights - trained).abs() <= step * .5001)[layer.mask > 0].all()


def test_gradient_reaches_kept_weights_alone():
    layer = conv()
    layer.refresh()
    x = torch.randn(2, 6, 5, 5, generator=torch.Generator().manual_seed(1))
    layer(x).square().sum().backward()
    plain = layer.weight().detach().requires_grad_()
    functional.conv2d(x, plain, padding=1).square().sum().backward()
    torch.testing.assert_close(layer.trained.grad, plain.grad * layer.mask)


def test_channel_without_weights_is_zero():
    layer = conv()
    with torch.no_grad():
        layer.trained[2] *= 1e-6
    layer.refresh()
    assert (layer.weight()[2] == 0).all() and torch.isfinite(layer.weight()).all()


@pytest.mark.parametrize("bits", [4, 8])
def test_integer_network_has_the_trained_integers(bits):
    network = TrainingConfig(topology=PLAIN, densities=None, kept=.3, bits=bits).build()
    network.refresh()
    pixels = images(PLAIN)
    with torch.no_grad():
        network(prepare(torch.from_numpy(pixels)))
    integer = quantise.quantise(network.eval(), pixels)
    for number, module in enumerate(network.layers.values()):
        weights = module.conv.weight().detach().permute(0, 2, 3, 1).numpy()
        stored = integer.weights(number)
        assert np.abs(stored).max() == (1 << bits - 1) - 1 and integer.layers[number].symbol_bits == bits
        magnitudes = np.abs(weights).max() if module.layer.wide else np.abs(weights).max((1, 2, 3), keepdims=True)
        np.testing.assert_allclose(stored * magnitudes / ((1 << bits - 1) - 1), weights, rtol=1e-5)
        # Some kept weights round to 0, none that was cut comes back.
        assert np.count_nonzero(stored) <= kept_count(stored.size, .3)
