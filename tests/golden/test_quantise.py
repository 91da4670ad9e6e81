"""Quantisation: the integer network computes what the float one does, within its steps."""

import dataclasses

import numpy as np
import pytest
import torch

from golden import checkpoint, quantise
from golden.checkpoint import Checkpoint
from golden.densities import uniform_densities
from golden.integer import images_from_uint8
from golden.network import SupermaskNetwork
from golden.networks import plain, resnet
from golden.pack import CALIBRATION_IMAGES, pack
from golden.topology import IMAGE, Layer, Pool, Topology
from golden.trained import TrainingConfig, network_tensors

RESIDUAL = resnet(blocks=(1, 1), width=8, input_shape=(3, 12, 12), classes=5, stem_kernel=5,
                  stem_pool=Pool(kind="max", kernel=3, stride=2, padding=1), name="small")
PLAIN = plain(widths=(8, 8, 12), input_shape=(1, 14, 14), classes=4, name="small-plain")


def images(topology, count=48, seed=5):
    """Smooth random images: noise alone averages to nothing."""
    coarse = torch.from_numpy(np.random.default_rng(seed).random((count, topology.input_shape[0], 4, 4), np.float32))
    smooth = torch.nn.functional.interpolate(coarse, topology.input_shape[1:], mode="bilinear")
    return (smooth * 255).round().to(torch.uint8).numpy()


def settled(topology, densities, seed=3):
    """A network at its initialisation with running statistics of its images and random normalisation."""
    generator = torch.Generator().manual_seed(seed)
    network = SupermaskNetwork(topology, densities=densities, seed=2 ** 63 + seed, generator=generator)
    for module in network.layers.values():
        if module.norm is not None:
            torch.nn.init.uniform_(module.norm.weight, .3, 1.5, generator=generator)
            torch.nn.init.normal_(module.norm.bias, 0, .5, generator=generator)
            module.norm.momentum = None  # plain average over the calls
    network.train()
    with torch.no_grad():
        network(torch.from_numpy(images(topology)).float() / 255)
    return network.eval()


@torch.no_grad()
def compare(network, integer, pixels):
    """Root mean square error of every tensor over the float one's deviation, by name; logits by their best fit."""
    scales = quantise.calibrate(network, pixels)
    floats = network.tensors(torch.from_numpy(pixels).float() / 255)
    errors = {}
    for name, stored in integer.run(images_from_uint8(pixels)).items():
        expected = floats[name].permute(0, 2, 3, 1).numpy()
        values = stored.astype(np.float64)
        if name in scales:
            values = (values - scales[name].zero) * scales[name].step
        else:
            values *= (values * expected).sum() / (values * values).sum()
        errors[name] = float(np.sqrt(np.mean((values - expected) ** 2)) / expected.std())
    return errors


@pytest.mark.parametrize("topology", [RESIDUAL, PLAIN], ids=lambda topology: topology.name)
@pytest.mark.parametrize("densities", [(.3,), uniform_densities(.5, 3), uniform_densities(.9, 7), None], ids=str)
def test_integer_tensors_follow_the_float_ones(topology, densities):
    network = settled(topology, densities)
    pixels = images(topology)
    errors = compare(network, quantise.quantise(network, pixels), pixels)
    assert errors.pop(IMAGE) < 1e-6
    assert max(errors.values()) < (.05 if densities is None else .03), errors


def test_supermask_weights_are_exact():
    network = settled(RESIDUAL, uniform_densities(.5, 3))
    integer = quantise.quantise(network, images(RESIDUAL))
    for number, (layer, module) in enumerate(zip(integer.layers, network.layers.values())):
        expected = (module.conv.weight() / module.conv.scale).detach().permute(0, 2, 3, 1).numpy()
        np.testing.assert_allclose(integer.weights(number), expected, atol=1e-5)
        assert layer.kept == tuple(int((layer.indices > coat).sum()) for coat in range(3))
        assert layer.densities == network.densities and layer.table == (0, 1, 2, 3)


def test_the_logits_are_the_sums_of_the_classifier():
    """Proportional to the float logits: no rounding behind the last layer's sums."""
    network = settled(RESIDUAL, (.5,))
    integer = quantise.quantise(network, images(RESIDUAL))
    tensors = integer.run(images_from_uint8(images(RESIDUAL)))
    last = integer.layers[-1]
    assert not last.offset_input
    features = tensors[last.layer.input].astype(np.int64)[:, 0, 0]
    weights = integer.weights(len(integer.layers) - 1)[:, 0, 0].astype(np.int64)
    np.testing.assert_array_equal(tensors["fc"][:, 0, 0], features @ weights.T)


def test_dense_weights_use_their_eight_bits():
    integer = quantise.quantise(settled(RESIDUAL, None), images(RESIDUAL))
    for layer in integer.layers:
        assert (layer.code, layer.symbol_bits, layer.table, layer.kept) == ("stored", 8, (), ())
        largest = np.abs(layer.stored.astype(int)).max((1, 2, 3))
        assert largest.max() == 127
        assert layer.layer.wide or (largest == 127).all()


def test_tensors_behind_a_relu_are_offset_but_for_averages():
    integer = quantise.quantise(settled(RESIDUAL, (.3,)), images(RESIDUAL))
    for layer in integer.layers:
        average = layer.layer.pool is not None and layer.layer.pool.kind == "average"
        assert layer.offset_output == (layer.layer.relu and not average)
        assert layer.low == (0 if average else -128)


def test_a_channel_that_hardly_varies_does_not_cost_the_others_precision():
    gains, spread = np.array([.011, .02, .015, 30.]), np.array([90., 40., 60., 1e-6])
    shift = quantise._best_shift(gains, spread)
    assert 1 << 16 <= round(.02 * 2 ** shift) < 1 << 17
    spread[3] = 10.
    shift = quantise._best_shift(gains, spread)
    assert 1 << 16 <= round(30 * 2 ** shift) < 1 << 17


def test_best_step_clips_outliers_only():
    draw = np.random.default_rng(0)
    uniform = draw.uniform(0, 4, 20_000)
    assert quantise.best_step(uniform, 255) == pytest.approx(4 / 255, rel=.01)
    normal = np.append(draw.normal(size=20_000), 20.)
    assert quantise.best_step(normal, 15) < .5 * 20 / 15
    assert quantise.best_step(np.zeros(5), 127) > 0


@pytest.mark.parametrize("size", range(1, 40))
def test_average_pool_divides_by_the_pixels(size):
    layers = (Layer(name="conv", input=IMAGE, in_channels=1, out_channels=2, kernel=1, pool=Pool(kind="average")),)
    topology = Topology(name="pool", input_shape=(1, size, size), layers=layers)
    network = SupermaskNetwork(topology, densities=(.5,)).eval()
    pixels = images(topology, 4)
    scale = quantise.calibrate(network, pixels)["conv"]
    layer = quantise.quantise(network, pixels).layers[0]
    assert 1 << 16 <= layer.pool_multiplier < 1 << 17
    gain = layer.pool_multiplier / 2 ** layer.pool_shift
    assert gain * scale.step / scale.map_step == pytest.approx(1 / size ** 2, rel=2 ** -16)


def test_wide_layers_with_normalisation_are_refused():
    layers = (Layer(name="conv", input=IMAGE, in_channels=1, out_channels=2, kernel=1, relu=False, wide=True),)
    network = SupermaskNetwork(Topology(name="wide", input_shape=(1, 3, 3), layers=layers), densities=(.5,)).eval()
    with pytest.raises(ValueError, match="layer conv: a wide layer cannot have normalisation"):
        quantise.quantise(network, np.zeros((1, 1, 3, 3), np.uint8))


@pytest.mark.parametrize("convention", ["released", "edge-popup"])
def test_pack_reads_a_checkpoint(tmp_path, convention):
    config = TrainingConfig(topology=PLAIN, densities=(.5, .2), convention=convention, seed=77)
    network = config.build()
    tensors = {name: tensor.detach().numpy() for name, tensor in network_tensors(network).items()}
    checkpoint.save(tmp_path, Checkpoint(config=config.to_json(), epoch=4, complete=True,
                                         metrics={"test_accuracy": .5}, tensors=tensors))
    pixels = images(PLAIN, CALIBRATION_IMAGES + 1)
    integer = pack(tmp_path, pixels, data_set="noise")
    assert (integer.seed, integer.rounds, integer.convention) == (77, 13, convention)
    assert integer.provenance == {"data_set": "noise", "epochs": 4, "training_seed": 77, "float_accuracy": .5}
    for layer, module in zip(integer.layers, network.layers.values()):
        np.testing.assert_array_equal(layer.indices.transpose(0, 3, 1, 2), module.conv.coat_indices())
    same = quantise.quantise(network.eval(), pixels[:CALIBRATION_IMAGES])
    assert all((one.bias == other.bias).all() for one, other in zip(integer.layers, same.layers))
    checkpoint.save(tmp_path, Checkpoint(config=config.to_json(), epoch=3, complete=False, metrics={}, tensors=tensors))
    with pytest.raises(checkpoint.CheckpointError, match="stopped after 3 of 15 epochs"):
        pack(tmp_path, pixels, data_set="noise")
    dense = dataclasses.replace(config, densities=None).build()
    assert quantise.quantise(dense.eval(), pixels[:8]).layers[0].code == "stored"
