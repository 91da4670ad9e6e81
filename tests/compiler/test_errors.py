"""Networks an engine cannot run are refused in one line that says which layer, and what to do."""

import dataclasses

import numpy as np
import pytest

from arch.config import EngineConfig
from compiler import CompileError, compile_network
from golden.integer import IntegerNetwork
from golden.topology import IMAGE, Layer, Pool, Topology
from tests.random_networks import random_values

TINY = EngineConfig.preset("tiny")


def network(config=TINY, input_shape=(8, 8, 8), code="raw", **options):
    """One layer, 1x1 and of 8 channels unless ``options`` say otherwise."""
    options = {"in_channels": input_shape[0], "out_channels": 8, "kernel": 1} | options
    topology = Topology(name="single", input_shape=input_shape, layers=(Layer(name="one", input=IMAGE, **options),))
    return random_values(topology, 1, config, code)


def with_layer(drawn, **changes):
    layers = (dataclasses.replace(drawn.layers[0], **changes),)
    return IntegerNetwork(drawn.topology, drawn.seed, drawn.rounds, layers, drawn.convention)


SEVEN = {"table": tuple(range(8)), "symbol_bits": 3}
ALL_SEVEN = {**SEVEN, "indices": np.full((8, 1, 1, 200), 7, np.uint8)}


@pytest.mark.parametrize("build, config, message", [
    (lambda: network(), {"rounds": 20}, "network single: its random stream has 13 rounds, the engine's has 20"),
    (lambda: with_layer(network(), **SEVEN), {"weight_bits": 2}, r"layer one: scale table in 0\.\.7 need more"),
    (lambda: with_layer(network(code="stored"), stored=np.full((8, 1, 1, 8), -8, np.int8), symbol_bits=4), {},
     r"layer one: stored weights in -8\.\.-8 need more than the engine's weight_bits 4 \(-7\.\.7\)"),
    (lambda: with_layer(network(input_shape=(200, 1, 1)), **ALL_SEVEN), {"accumulator_bits": 16},
     r"layer one: sums in .* need 19 bits, the engine's accumulator_bits is 16"),
    (lambda: network(input_shape=(1, 1, 1 << 16)), {"activation_bytes": 1 << 20},
     "layer one: needs 65536 bytes in a row of input, the engine has at most 65535"),
    (lambda: network(input_shape=(1, 65535, 1), kernel=3, padding=2, out_channels=1),
     {"activation_bytes": 1 << 19, "partial_sums": 1 << 16},
     r"layer one: descriptor field map_height must be in 0\.\.65535, not 65537: use a smaller layer"),
    (lambda: network(kernel=16, padding=8), {}, "layer one: needs 16 kernel rows, the engine has at most 15"),
    (lambda: network(pool=Pool(kind="max", kernel=5, stride=2)), {},
     "layer one: a maximum pool of kernel 5 and stride 2"),
    (lambda: network(input_shape=(8, 20, 20), pool=Pool(kind="max", kernel=16, stride=8)), {},
     "layer one: needs 16 rows of pool window, the engine has at most 15"),
    (lambda: network(input_shape=(8, 48, 48)), {"activation_bytes": 512},
     "layer one: a strip of its rows, in whole beats, needs 768 bytes of activation memory.* the engine's 512: use"),
    (lambda: network(input_shape=(8, 48, 48), pool=Pool(kind="average")), {},
     "layer one: a strip of its rows, in whole beats, needs 18440 bytes of activation memory.* engine's 16384: use"),
    (lambda: network(input_shape=(60, 2, 36), kernel=3, padding=1, code="stored"), {"mask_bytes": 256},
     r"layer one: 72 pixels in 3 tiles .* need \d+ beats .* the mask buffer can keep 17, .* partial_sums of 128"),
])
def test_refused(build, config, message):
    with pytest.raises(CompileError, match=message) as caught:
        compile_network(build(), dataclasses.replace(TINY, **config))
    assert "\n" not in str(caught.value)


def test_mask_buffer_limits_tiles_only_where_masks_are_decoded_again():
    """One pixel tile streams its masks through a buffer of any size."""
    small = dataclasses.replace(TINY, mask_bytes=256)
    program = compile_network(network(input_shape=(60, 5, 5), kernel=3, padding=1, code="stored"), small)
    assert program.layers[0].strips == 1
    assert program.layers[0].bytes["mask_bytes"] > 256


def test_too_many_operations():
    with pytest.raises(CompileError, match="4096 x 1 layers or strips of layers, a program has at most 4095: use"):
        compile_network(network(), TINY, batch=4096)


def test_widest_weights():
    """A stored byte may be -128 where weights have eight bits."""
    config = EngineConfig.preset("tiny", weight_bits=8)
    drawn = with_layer(network(config, code="stored"), stored=np.full((8, 1, 1, 8), -128, np.int8), symbol_bits=8)
    assert compile_network(drawn, config).layers[0].mask_bits == 8 * 64
