"""Mask streams: equal to the published vectors, decoded back by naive decoders, and as short as promised."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest

from arch.config import EngineConfig
from arch.descriptor import Code
from compiler.masks import CodedLayer, encode, mask_streams
from golden import ans
from golden.codes import shannon_bits
from golden.densities import uniform_densities
from tests.compiler.interpreter import decode
from tests.golden import naive_ans
from tests.random_networks import random_network

VECTORS = json.loads((Path(__file__).parents[1] / "vectors" / "mask_stream.json").read_text())

CODES = {"raw": Code.RAW, "unary": Code.UNARY, "stored": Code.STORED}


def engine(columns, lanes, build_columns):
    return EngineConfig.preset("tiny", columns=columns, lanes=lanes, build_columns=build_columns, bus_bits=32)


def coded(shape, code, size, values):
    """What to encode of a kernel of ``shape`` (out, in, ky, kx) for values in canonical order; ``size`` is N or the
    width of stored weights."""
    out, channels, kernel, width = shape
    values = np.asarray(values, np.int16).astype(np.uint8).reshape(out, kernel, width * channels)
    if code != "ans":
        return CodedLayer(code, values, size.bit_length() if code == "raw" else size)
    return CodedLayer(code, values, 10, *ans.best_table(np.bincount(values.ravel(), minlength=size + 1)))


def stream_of(shape, code, size, values, config):
    """The stream of one layer."""
    return encode([coded(shape, code, size, values)], config)[0]


def walk(shape, config):
    """Steps of a layer as lists of (lane, position), the numbers of its used lanes, and the steps of column tiles."""
    out, kernel, run = shape
    steps, tiles = [], []
    for tile in range(0, out, config.columns):
        tiles.append(len(steps))
        for ky in range(kernel):
            for first in range(0, run, config.lanes):
                for group in range(tile, min(out, tile + config.columns), config.build_columns):
                    rows = range(group, min(group + config.build_columns, out, tile + config.columns))
                    steps.append([((row - group) * config.lanes + place - first, (row, ky, place))
                                  for row in rows for place in range(first, min(first + config.lanes, run))])
    used = [lane for lane in range(config.decoder_lanes) if lane % config.lanes < min(config.lanes, run)]
    return steps, used, tiles


def assert_ans_decodes(stream, layer, config):
    """The definition decodes the stream to the layer, and requests words when the stream says so."""
    steps, used, tiles = walk(layer.values.shape, config)
    symbols, requested = naive_ans.decode(stream.words, steps, used, layer.frequencies, layer.offset)
    assert len(symbols) == layer.values.size
    assert all(layer.values[position] == symbol for position, symbol in symbols.items())
    assert stream.tile_words == tuple(min(requested[step], len(stream.words)) for step in [*tiles, len(steps)])


@pytest.mark.parametrize("case", [*VECTORS["cases"], *VECTORS["ans_idle_lanes"]],
                         ids=lambda case: f"{case['engine']}-{case['shape']}-{case['code']}")
def test_vectors(case):
    layer = coded(case["shape"], case["code"], case["size"], case["values"])
    if case["code"] == "ans":
        layer = dataclasses.replace(layer, frequencies=tuple(case["frequencies"]), offset=case["offset"])
    stream, = encode([layer], engine(*case["engine"]))
    assert [f"{word:04x}" for word in stream.words.tolist()] == case["words"]
    assert stream.bits == case.get("bits", stream.bits)


@pytest.mark.parametrize("code", CODES)
@pytest.mark.parametrize("columns, lanes, build_columns", [(4, 8, 1), (4, 8, 4), (8, 4, 2), (16, 16, 1)])
@pytest.mark.parametrize("out, channels, kernel", [(1, 1, 1), (5, 3, 5), (10, 20, 3), (33, 7, 1)])
def test_decoded_back(code, columns, lanes, build_columns, out, channels, kernel):
    rng = np.random.default_rng([out, columns, build_columns])
    config = engine(columns, lanes, build_columns)
    for size in (2, 4, 8) if code == "stored" else (1, 3, 4, 7):
        count = out * channels * kernel * kernel
        if code == "stored":
            values = rng.integers(-(1 << size - 1), 1 << size - 1, count)
        else:
            values = rng.integers(0, size + 1, count) * (rng.random(count) < .4)
        stream = stream_of((out, channels, kernel, kernel), code, size, values, config)
        decoded = decode(stream.words.tolist(), code=CODES[code], size=size.bit_length() if code == "raw" else size,
                         out=out, kernel=kernel, run=kernel * channels, config=config)
        assert np.array_equal(decoded.symbols.ravel(), values & (1 << size) - 1 if code == "stored" else values)
        assert stream.tile_words == tuple(decoded.tile_words)


@pytest.mark.parametrize("columns, lanes, build_columns", [(4, 8, 1), (4, 8, 4), (8, 4, 2), (16, 16, 1)])
@pytest.mark.parametrize("out, channels, kernel", [(1, 1, 1), (5, 3, 5), (10, 20, 3), (33, 7, 1)])
def test_ans_is_decoded_by_its_definition(columns, lanes, build_columns, out, channels, kernel):
    rng = np.random.default_rng([out, columns, build_columns])
    config = engine(columns, lanes, build_columns)
    count = out * channels * kernel * kernel
    layers = []
    for size in (1, 3, 4, 7):
        for density in (0, .05, .4, 1):
            values = rng.integers(1, size + 1, count) * (rng.random(count) < density)
            layers.append(coded((out, channels, kernel, kernel), "ans", size, values))
    for stream, layer in zip(encode(layers, config), layers, strict=True):
        assert_ans_decodes(stream, layer, config)


def test_layers_of_a_network_are_encoded_together():
    network = random_network(0, layers=8)
    assert {layer.code for layer in network.layers} == {"raw", "unary", "ans", "stored"}
    config = EngineConfig.preset("tiny")
    for layer, stream in zip(network.layers, mask_streams(network.layers, config), strict=True):
        alone, = mask_streams([layer], config)
        assert (stream.words.tolist(), stream.bits, stream.tile_words) == (
            alone.words.tolist(), alone.bits, alone.tile_words)
        if layer.code == "ans":
            shape = layer.indices.shape
            assert_ans_decodes(stream, CodedLayer("ans", layer.indices.reshape(*shape[:2], -1), 10, layer.frequencies,
                                                  layer.offset), config)


@pytest.mark.parametrize("preset", ["tiny", "edge", "base", "hiddenite"])
def test_ans_is_near_the_entropy(preset):
    """Layers of 37 thousand to 2.4 million weights, 8 to 128 lanes: what is coded stays within 1 % of the entropy, 16
    bits per lane and 32 bytes. Each lane pads its last word, and requests up to two words that it does not need."""
    config, rng = EngineConfig.preset(preset), np.random.default_rng(7)
    layers = []
    shapes = ((64, 64, 3), (128, 128, 3), (1024, 256, 1), (512, 512, 3))
    settings = [(coats, density) for coats in (1, 3, 7) for density in (.5, .3, .1, .02, .005)]
    for number, (coats, density) in enumerate(settings):
        for out, channels, kernel in shapes[:3] if number % 5 else shapes:
            draw = rng.random((out, kernel, kernel * channels), np.float32)
            values = sum((draw < kept).astype(np.uint8) for kept in uniform_densities(density, coats))
            layers.append(coded((out, channels, kernel, kernel), "ans", coats, values))
    for stream, layer in zip(encode(layers, config), layers, strict=True):
        entropy = shannon_bits(np.bincount(layer.values.ravel()))
        assert stream.bits <= 1.01 * entropy + 16 * config.decoder_lanes + 8 * 32
        assert 0 <= 16 * stream.words.size - stream.bits <= 47 * config.decoder_lanes


def test_bits_are_counted():
    stream = stream_of((2, 4, 1, 1), "unary", 3, [0, 1, 2, 3, 3, 0, 0, 1], engine(4, 8, 1))
    assert stream.bits == 1 + 2 + 3 + 3 + 3 + 1 + 1 + 2
    # Indices that take no bits, on three of eight lanes and both groups: first states alone, of lanes 0-2 and 8-10.
    stream = stream_of((1, 3, 1, 1), "ans", 1, [0, 0, 0], engine(4, 8, 2))
    assert stream.bits == 6 * 10 and stream.words.tolist() == [0] * 6


def test_naive_decoder_notices_damage():
    config = engine(4, 8, 1)
    words = stream_of((4, 8, 3, 3), "raw", 1, [1] * 288, config).words.tolist()
    arguments = {"code": Code.RAW, "size": 1, "out": 4, "kernel": 3, "run": 24, "config": config}
    with pytest.raises(AssertionError, match="beyond the stored words"):
        decode(words[:-1], **arguments)
    with pytest.raises(AssertionError, match="left over"):
        decode(words + [0] * 32, **arguments)
