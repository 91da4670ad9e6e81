"""The integer model against a naive one in Python integers, and its refusals."""

import dataclasses

import numpy as np
import pytest

from golden import stream
from golden.integer import IntegerLayer, IntegerNetwork, images_from_uint8
from golden.topology import IMAGE, Layer, Pool, Topology
from tests.random_networks import random_network

SEEDS = range(30)


def clamp(value, low, high):
    return min(max(value, low), high)


def naive_weight(network, layer, out, ky, kx, channel):
    if layer.code == "stored":
        return int(layer.stored[out, ky, kx, channel])
    shape = layer.layer
    index = stream.canonical_index(out, ky, kx, channel, kernel_height=shape.kernel, kernel_width=shape.kernel,
                                   in_channels=shape.in_channels)
    sign = stream.sign(network.seed, shape.stream, index, network.rounds)
    return sign * layer.table[layer.indices[out, ky, kx, channel]]


def naive_map(network, layer, source, residual):
    """The layer's stored values before its pool, as nested lists [row][column][channel]."""
    shape = layer.layer
    height, width = shape.map_size(len(source), len(source[0]))
    taps = [(ky, kx, channel) for ky in range(shape.kernel) for kx in range(shape.kernel)
            for channel in range(shape.in_channels)]
    weights = [[naive_weight(network, layer, out, *tap) for tap in taps] for out in range(shape.out_channels)]
    low, high = (-2 ** 31, 2 ** 31 - 1) if shape.wide else (layer.low, 127)
    half = 2 ** (layer.shift - 1) if layer.shift else 0
    values = []
    for y in range(height):
        values.append([])
        for x in range(width):
            window = []
            for ky, kx, channel in taps:
                row, column = y * shape.stride + ky - shape.padding, x * shape.stride + kx - shape.padding
                inside = 0 <= row < len(source) and 0 <= column < len(source[0])
                window.append(source[row][column][channel] if inside else -128 if layer.offset_input else 0)
            pixel = []
            for out in range(shape.out_channels):
                total = sum(value * weight for value, weight in zip(window, weights[out]))
                total = total * int(layer.multiplier[out]) + int(layer.bias[out]) + half
                if residual is not None:
                    total += residual[y][x][out] * layer.residual_multiplier
                pixel.append(clamp(total >> layer.shift, low, high))
            values[-1].append(pixel)
    return values


def naive_pool(layer, values):
    pool, height, width = layer.layer.pool, len(values), len(values[0])
    channels = range(layer.layer.out_channels)
    if pool is None:
        return values
    if pool.kind == "average":
        sums = [sum(pixel[channel] for row in values for pixel in row) for channel in channels]
        half = 2 ** (layer.pool_shift - 1)
        return [[[clamp((total * layer.pool_multiplier + half) >> layer.pool_shift, -128, 127) for total in sums]]]

    def inside(start, length):
        places = range(start - pool.padding, start - pool.padding + pool.kernel)
        return [place for place in places if 0 <= place < length]

    return [[[max(values[row][column][channel] for row in inside(y * pool.stride, height)
                  for column in inside(x * pool.stride, width)) for channel in channels]
             for x in range(pool.output_size(width))] for y in range(pool.output_size(height))]


def naive_run(network, image):
    tensors = {IMAGE: image.tolist()}
    for layer in network.layers:
        residual = None if layer.layer.residual is None else tensors[layer.layer.residual]
        values = naive_map(network, layer, tensors[layer.layer.input], residual)
        tensors[layer.layer.name] = naive_pool(layer, values)
    return tensors


def drawn(seed):
    return random_network(seed, channels=5)


@pytest.mark.parametrize("seed", SEEDS)
def test_every_tensor_equals_the_naive_model(seed):
    network = drawn(seed)
    channels, height, width = network.topology.input_shape
    images = np.random.default_rng(seed).integers(-128, 128, (2, height, width, channels), np.int8)
    tensors = network.run(images)
    wide = {layer.layer.name for layer in network.layers if layer.layer.wide}
    assert set(tensors) == set(network.topology.shapes())
    for number, image in enumerate(images):
        for name, values in naive_run(network, image).items():
            assert tensors[name].dtype == (np.int32 if name in wide else np.int8)
            assert tensors[name][number].tolist() == values, name
    np.testing.assert_array_equal(network.outputs(images), tensors[network.topology.layers[-1].name])


def test_the_random_networks_reach_every_feature():
    layers = [layer for seed in SEEDS for layer in drawn(seed).layers]
    shapes = [layer.layer for layer in layers]
    assert {shape.pool.kind for shape in shapes if shape.pool} == {"max", "average"}
    assert {layer.code for layer in layers} == {"raw", "unary", "ans", "stored"}
    assert {layer.low for layer in layers} == {-128, 0}
    for feature in ("stride", "padding"):
        assert len({getattr(shape, feature) for shape in shapes}) > 1
    assert any(shape.wide for shape in shapes) and any(shape.residual for shape in shapes)
    assert any(not layer.offset_input for layer in layers) and any(layer.offset_output for layer in layers)


@pytest.mark.parametrize("seed", range(20))
def test_bounds_are_the_sums_of_the_worst_inputs(seed):
    network = drawn(seed)
    bounds = network.accumulator_bounds()
    for number, layer in enumerate(network.layers):
        weights = network.weights(number).astype(np.int64)
        best = np.where(weights > 0, 127, -128)
        worst = np.where(weights > 0, -128, 127)
        smallest, largest = ((weights * inputs).sum((1, 2, 3)) for inputs in (worst, best))
        assert (smallest.min(), largest.max()) == bounds[layer.layer.name]


def test_many_images_equal_single_ones():
    """More images than one chunk holds."""
    topology = Topology(name="chunks", input_shape=(1, 64, 64), layers=(
        Layer(name="conv", input=IMAGE, in_channels=1, out_channels=16, kernel=3, padding=1),))
    network = IntegerNetwork(topology, 1, 13, (simple(topology.layers[0]),), "released")
    images = np.random.default_rng(3).integers(-128, 128, (70, 64, 64, 1), np.int8)
    together = network.run(images)["conv"]
    np.testing.assert_array_equal(together, np.concatenate([network.run(image[None])["conv"] for image in images]))


def test_images_are_stored_as_pixel_minus_128():
    pixels = np.arange(256, dtype=np.uint8).reshape(2, 2, 8, 8)
    stored = images_from_uint8(pixels)
    assert stored.shape == (2, 8, 8, 2)
    np.testing.assert_array_equal(stored.transpose(0, 3, 1, 2), pixels.astype(np.int64) - 128)
    with pytest.raises(ValueError, match="images must be uint8"):
        images_from_uint8(pixels.astype(np.float32))


def simple(layer, **changes):
    """One coat, unit multipliers, everything offset."""
    shape = (layer.out_channels, layer.kernel, layer.kernel, layer.in_channels)
    indices = np.random.default_rng(0).integers(0, 2, shape)
    values = {"layer": layer, "code": "unary", "indices": indices.astype(np.uint8), "stored": None, "table": (0, 1),
              "symbol_bits": 1, "multiplier": np.ones(layer.out_channels, np.int32),
              "bias": np.zeros(layer.out_channels, np.int64), "residual_multiplier": 0, "shift": 3, "low": -128,
              "offset_input": True, "offset_output": True}
    return IntegerLayer(**{**values, **changes})


LAYER = Layer(name="conv", input=IMAGE, in_channels=2, out_channels=3, kernel=3, padding=1)


ANS = {"code": "ans", "symbol_bits": 10, "frequencies": (512, 512)}


@pytest.mark.parametrize("changes, message", [
    ({"code": "huffman"}, "code must be one of"),
    ({"code": "ans"}, "symbol_bits must be 10 for 1 coats, not 1"),
    ({**ANS, "frequencies": (512, 511)}, r"frequencies must be 2 integers of sum 1024, f\[0\] in 0..1024, the others"),
    ({**ANS, "frequencies": (0, 1024)}, "frequencies must be 2 integers"),
    ({**ANS, "frequencies": (512, 256, 256)}, "frequencies must be 2 integers"),
    ({**ANS, "indices": np.ones((3, 3, 3, 2), np.uint8), "frequencies": (1024, 0)},
     "frequencies must be at least 1 for every coat index that occurs"),
    ({**ANS, "offset": 16}, r"offset must be an integer in 0\.\.15, not 16"),
    ({"frequencies": (512, 512)}, "frequencies must be empty for code 'unary'"),
    ({"offset": 3}, "offset must be 0 for code 'unary', not 3"),
    ({"indices": None}, "indices must be given for code 'unary', not None"),
    ({"stored": np.zeros((3, 3, 3, 2), np.int8)}, "stored must be None for code 'unary'"),
    ({"indices": np.zeros((3, 3, 2, 3), np.uint8)}, r"indices must be uint8 of shape \(3, 3, 3, 2\)"),
    ({"indices": np.full((3, 3, 3, 2), 2, np.uint8)}, r"indices must be in 0\.\.1, not 2\.\.2"),
    ({"table": (0, 128)}, r"table must be 2 to 8 integers in -127\.\.127"),
    ({"table": (0,)}, "table must be 2 to 8 integers"),
    ({"symbol_bits": 2}, "symbol_bits must be 1 for 1 coats, not 2"),
    ({"multiplier": np.full(3, 1 << 17, np.int32)}, r"multiplier must be in -131072\.\.131071, not 131072"),
    ({"multiplier": np.ones(2, np.int32)}, r"multiplier must be int32 of shape \(3,\)"),
    ({"bias": np.full(3, -1 << 48)}, "bias must be in"),
    ({"bias": np.zeros(3, np.int32)}, "bias must be int64"),
    ({"residual_multiplier": 1 << 17}, "residual_multiplier must be an integer in"),
    ({"shift": 48}, r"shift must be an integer in 0\.\.47, not 48"),
    ({"pool_shift": 4}, r"pool_shift must be an integer in 0\.\.0, not 4"),
    ({"low": -1}, "low must be -128 or 0, not -1"),
    ({"offset_output": 1}, "offset_output must be True or False, not 1"),
    ({"code": "stored", "indices": None, "table": (), "symbol_bits": 2, "stored": np.full((3, 3, 3, 2), 2, np.int8)},
     r"stored must be in -2\.\.1"),
    ({"code": "stored", "indices": None, "symbol_bits": 2, "stored": np.zeros((3, 3, 3, 2), np.int8)},
     "table must be empty"),
])
def test_layers_that_cannot_be_are_refused(changes, message):
    with pytest.raises(ValueError, match=f"layer conv: {message}"):
        simple(LAYER, **changes)


def network_of(layer, **changes):
    topology = Topology(name="one", input_shape=(2, 8, 8), layers=(layer,))
    return IntegerNetwork(topology, 1, 13, (simple(layer, **changes),), "released")


def test_sums_that_could_leave_48_bits_are_refused():
    edge = (1 << 47) - 1
    largest = network_of(LAYER).accumulator_bounds()["conv"][1]
    fits = np.full(3, edge - largest - 4, np.int64)
    network_of(LAYER, bias=fits)
    with pytest.raises(ValueError, match="layer conv: acc .* can leave 48 bits"):
        network_of(LAYER, bias=fits + 1)
    pooled = dataclasses.replace(LAYER, pool=Pool(kind="average"))
    network_of(pooled, pool_multiplier=1 << 16, pool_shift=20)
    big = Topology(name="big", input_shape=(2, 4096, 4096), layers=(pooled,))
    with pytest.raises(ValueError, match="layer conv: the average pool can leave 48 bits"):
        IntegerNetwork(big, 1, 13, (simple(pooled, pool_multiplier=1 << 16, pool_shift=20),), "released")


def test_layers_must_fit_each_other():
    topology = Topology(name="two", input_shape=(2, 8, 8), layers=(
        LAYER, Layer(name="next", input="conv", in_channels=3, out_channels=3, kernel=1)))
    first, second = (simple(layer) for layer in topology.layers)
    IntegerNetwork(topology, 1, 13, (first, second), "released")
    for layers, message in (
            ((second, first), "layers must be those of its topology"),
            ((first, dataclasses.replace(second, offset_input=False)), "layer next: offset_input must be True"),
            ((dataclasses.replace(first, offset_output=False), second), "layer next: offset_input must be False"),
    ):
        with pytest.raises(ValueError, match=message):
            IntegerNetwork(topology, 1, 13, layers, "released")
    for seed, rounds, message in ((1 << 64, 13, "seed must be an unsigned 64-bit"), (1, 12, "rounds must be one of")):
        with pytest.raises(ValueError, match=message):
            IntegerNetwork(topology, seed, rounds, (first, second), "released")


def test_wide_tensors_are_outputs_only():
    wide = Layer(name="logits", input=IMAGE, in_channels=2, out_channels=2, kernel=1, wide=True)
    after = Layer(name="after", input="logits", in_channels=2, out_channels=2, kernel=1)
    topology = Topology(name="wide", input_shape=(2, 4, 4), layers=(wide, after))
    with pytest.raises(ValueError, match="layer after: reads logits, which is wide"):
        IntegerNetwork(topology, 1, 13, (simple(wide), simple(after)), "released")


@pytest.mark.parametrize("images", [np.zeros((1, 2, 8, 8), np.int8), np.zeros((1, 8, 8, 2), np.uint8)])
def test_images_of_another_shape_are_refused(images):
    with pytest.raises(ValueError, match=r"images must be int8 \(n, 8, 8, 2\)"):
        network_of(LAYER).run(images)
