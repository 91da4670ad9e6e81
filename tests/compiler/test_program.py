"""Programs: run from their image alone by a naive engine, they compute what the integer model does."""

import dataclasses

import numpy as np
import pytest

from arch import descriptor
from arch.config import EngineConfig
from arch.descriptor import Opcode
from compiler import compile_network
from golden import networks
from golden.topology import IMAGE, Layer, Pool, Topology
from tests.compiler.interpreter import Machine, descriptors
from tests.random_networks import random_image, random_network, random_values

TINY = EngineConfig.preset("tiny")
EDGE = EngineConfig.preset("edge")
CONFIGURATIONS = {
    "tiny": TINY,
    "two columns built": EngineConfig.preset("tiny", build_columns=2, bus_bits=32, requantiser_lanes=4),
    "ternary": EngineConfig.preset("tiny", weight_bits=2, accumulator_bits=16, rounds=20, columns=8),
    "bytes": EngineConfig.preset("tiny", weight_bits=8, lanes=16, requantiser_lanes=1, bus_bits=128),
}


def run(network, config, seed=0):
    """Compile and run one image; every layer must be right. Returns the program and what the naive engine did."""
    program = compile_network(network, config)
    image = random_image(network, seed)
    memory = bytearray(program.image)
    packed = program.pack_input(image)
    assert len(packed) == program.input_bytes
    memory[program.input_address:program.input_address + len(packed)] = packed
    ran = Machine(memory, config).execute(program.program_address)
    expected = network.run(image[None])
    for plan, layer, output in zip(program.layers, ran.layers, ran.outputs, strict=True):
        assert layer["output_address"] == plan.output_address
        assert np.array_equal(plan.tensor(output.tobytes()), expected[plan.name][0]), plan.name
    region = ran.memory[program.output_address:program.output_address + program.output_bytes]
    output = program.unpack_output(region)
    assert output.dtype == (np.int32 if program.layers[-1].wide else np.int8)
    assert np.array_equal(output, expected[program.layers[-1].name][0])
    return program, ran


@pytest.mark.parametrize("config", CONFIGURATIONS.values(), ids=CONFIGURATIONS.keys())
@pytest.mark.parametrize("seed", range(25))
def test_random_networks(seed, config):
    network = random_network(seed, config)
    program, ran = run(network, config, seed)
    check_regions(program)
    check_mask_buffer(program, ran)


@pytest.mark.parametrize("code", ["raw", "unary", "stored"])
def test_fashion_at_edge(code):
    program, ran = run(random_values(networks.fashion(), 1, EDGE, code), EDGE)
    check_regions(program)
    check_mask_buffer(program, ran)
    assert program.macs == sum(networks.fashion().macs().values())
    assert .8 < program.predicted_utilisation < 1
    for plan in program.layers:
        if plan.residual_address is not None:
            assert plan.residual_address // EDGE.bank_bytes != plan.input_address // EDGE.bank_bytes
    by_name = {plan.name: plan for plan in program.layers}
    # The stem's pooled output is updated while the image is read.
    assert by_name["stem"].input_address // EDGE.bank_bytes != by_name["stem"].output_address // EDGE.bank_bytes
    # Only the producer is waited for: the down-sample layer and the layer behind it run while others drain.
    waits = [plan.wait_layers for plan in program.layers]
    assert waits == [0, 1, 2, 3, 3, 4, 6, 6, 7, 9]
    # An output over the residual that dies with it.
    assert by_name["stage2.block1.conv2"].output_address == by_name["stage2.block1.downsample"].output_address


def check_regions(program):
    """Regions of the image are aligned and apart, and hold what the predicted bytes say."""
    beat = program.config.bus_bytes
    begin, load, *rest = descriptors(program.image, program.program_address)
    *layers, store, end = rest
    assert [load["opcode"], store["opcode"], end["opcode"]] == [Opcode.LOAD, Opcode.STORE, Opcode.END]
    assert {layer["opcode"] for layer in layers} == {Opcode.LAYER}
    sizes = {"program_bytes": [(program.program_address, descriptor.BYTES * (len(layers) + 4))],
             "mask_bytes": [(layer["mask_address"], -(-2 * layer["mask_words"] // beat) * beat) for layer in layers],
             "parameter_bytes": [(layer["parameter_address"], -(-9 * layer["out_channels"] // beat) * beat)
                                 for layer in layers],
             "load_bytes": [(load["memory_address"], load["beats"] * beat)],
             "store_bytes": [(store["memory_address"], store["beats"] * beat)]}
    assert program.predicted == {name: sum(size for _, size in regions) for name, regions in sizes.items()}
    regions = sorted(region for group in sizes.values() for region in group)
    assert all(address % max(64, beat) == 0 for address, _ in regions)
    ends = [address + size for address, size in regions]
    assert all(end <= start for end, (start, _) in zip(ends, regions[1:]))
    assert ends[-1] <= len(program.image)
    assert sizes["load_bytes"] == [(program.input_address, program.input_bytes)]
    assert sizes["store_bytes"] == [(program.output_address, program.output_bytes)]
    assert not any(program.image[program.input_address:program.input_address + program.input_bytes])


def check_mask_buffer(program, ran):
    """What is decoded again per pixel tile fits the mask buffer."""
    words_per_beat = program.config.bus_bits // 16
    for layer, words in zip(ran.layers, ran.tile_words):
        if layer["pixel_tiles"] > 1:
            beats = [-(-last // words_per_beat) - first // words_per_beat for first, last in zip(words, words[1:])]
            ring = program.config.mask_bytes // program.config.bus_bytes
            assert max(beats) + program.config.burst_beats - 1 <= ring


def test_long_chain_reuses_memory():
    """Twelve 1 KiB tensors, three alive at a time, in 4 KiB: addresses repeat and every layer is still right."""
    config = EngineConfig.preset("tiny", activation_bytes=4 << 10)
    layers = [Layer(name="layer0", input=IMAGE, in_channels=16, out_channels=16, kernel=1)]
    for index in range(1, 12):
        residual = f"layer{index - 2}" if index % 3 == 2 else None
        layers.append(Layer(name=f"layer{index}", input=layers[-1].name, in_channels=16, out_channels=16, kernel=3,
                            padding=1, stream=index, residual=residual))
    topology = Topology(name="chain", input_shape=(16, 8, 8), layers=tuple(layers))
    program, _ = run(random_values(topology, 3, config), config)
    assert len({plan.output_address for plan in program.layers}) <= 4


@pytest.mark.parametrize("changes, read_later, shared", [
    ({}, False, True),
    ({"pool": Pool(kind="average")}, False, True),
    ({}, True, False),
    ({"wide": True, "relu": False}, False, False),
    ({"pool": Pool(kind="max", kernel=2, stride=1, padding=1)}, False, False),
    ({"residual": "input"}, False, False),
], ids=["plain", "average pool", "read later", "wide", "maximum pool", "residual is input"])
def test_output_over_residual(changes, read_later, shared):
    """The output takes its residual's place where nothing is lost by that."""
    shape = {"in_channels": 6, "out_channels": 6, "kernel": 1}
    layers = [Layer(name="residual", input=IMAGE, **shape), Layer(name="input", input="residual", stream=1, **shape),
              Layer(name="sum", input="input", stream=2, **{**shape, "residual": "residual", **changes})]
    if read_later:
        layers.append(Layer(name="later", input="residual", stream=3, **shape))
    topology = Topology(name="sums", input_shape=(6, 5, 5), layers=tuple(layers))
    plan = run(random_values(topology, 6, TINY), TINY)[0].layers[2]
    assert (plan.output_address == plan.residual_address) is shared


def test_input_is_checked():
    program = compile_network(random_network(0), TINY)
    height, width, channels = program.input_shape
    with pytest.raises(ValueError, match="image must be int8 of shape"):
        program.pack_input(np.zeros((height, width, channels + 1), np.int8))
    with pytest.raises(ValueError, match="image must be int8 of shape"):
        program.pack_input(np.zeros((height, width, channels), np.uint8))


def test_program_is_frozen_and_deterministic():
    network = random_network(7)
    first, second = compile_network(network, TINY), compile_network(network, TINY)
    assert first.image == second.image
    with pytest.raises(dataclasses.FrozenInstanceError):
        first.image = b""
