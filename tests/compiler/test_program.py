"""Programs: run from their image alone by a naive engine, they compute what the integer model does."""

import dataclasses
from collections import Counter

import numpy as np
import pytest

from arch import descriptor
from arch.config import EngineConfig
from arch.descriptor import Opcode
from compiler import CompileError, compile_network
from golden import networks
from golden.integer import IntegerLayer, IntegerNetwork
from golden.topology import IMAGE, Layer, Pool, Topology
from reports.traffic import traffic_floor
from tests.compiler.dataflow import Dataflow
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
# Memories that most networks do not fit: layers in strips, tensors in memory, masks kept or fetched again.
SMALL = {
    "small": EngineConfig.preset("tiny", activation_bytes=2 << 10, mask_bytes=512),
    "smaller": EngineConfig.preset("tiny", activation_bytes=1 << 10, mask_bytes=256, burst_beats=4),
    "narrow bus": EngineConfig.preset("tiny", activation_bytes=2 << 10, mask_bytes=256, bus_bits=32, burst_beats=8,
                                      partial_sums=16, parameter_channels=32),
    "wide bus": EngineConfig.preset("tiny", activation_bytes=2 << 10, mask_bytes=512, bus_bits=128, burst_beats=4,
                                    lanes=16, columns=8),
}


def run(network, config, seed=0, batch=1):
    """Compile and run one batch; every layer must be right. Returns the program and what the naive engine did."""
    program = compile_network(network, config, batch=batch)
    images = np.stack([random_image(network, seed + number) for number in range(batch)])
    memory = bytearray(program.image)
    packed = program.pack_input(images)
    assert len(packed) == program.input_bytes
    memory[program.input_address:program.input_address + len(packed)] = packed
    ran = Machine(memory, config).execute(program.program_address)
    expected = network.run(images)
    computed = {plan.name: np.zeros((batch, plan.output_shape[0]), int) for plan in program.layers}
    for operation, layer, output in zip(program.operations, ran.layers, ran.outputs, strict=True):
        plan = program.layers[operation.layer]
        assert layer["output_address"] == operation.output_address and output.size == operation.output_bytes
        assert operation.macs == layer["pixels"] * layer["out_channels"] * layer["kernel_rows"] * layer["run_bytes"]
        rows = slice(operation.first_row, operation.first_row + operation.rows)
        tensor = np.frombuffer(output.tobytes(), plan.output_type).reshape(operation.rows, *plan.output_shape[1:])
        assert np.array_equal(tensor, expected[plan.name][operation.image, rows]), plan.name
        computed[plan.name][operation.image, rows] += 1
    assert all((rows == 1).all() for rows in computed.values())
    region = ran.memory[program.output_address:program.output_address + program.output_bytes]
    output = program.unpack_output(region)
    assert output.dtype == (np.int32 if program.layers[-1].wide else np.int8)
    assert np.array_equal(output, expected[program.layers[-1].name])
    return program, ran


@pytest.mark.parametrize("config", CONFIGURATIONS.values(), ids=CONFIGURATIONS.keys())
@pytest.mark.parametrize("seed", range(25))
def test_random_networks(seed, config):
    network = random_network(seed, config)
    program, ran = run(network, config, seed, batch=1 + seed % 3)
    check_regions(program)
    check_mask_buffer(program, ran)


@pytest.mark.parametrize("config", SMALL.values(), ids=SMALL.keys())
def test_random_networks_in_small_memories(config):
    seen = Counter()
    for seed in range(24):
        network = random_network(seed, config, layers=5, side=24, tensor_bytes=6 << 10)
        try:
            program, ran = run(network, config, seed, batch=1 + seed % 2)
        except CompileError:
            seen["refused"] += 1
            continue
        check_regions(program)
        check_mask_buffer(program, ran)
        seen["strips"] += any(plan.strips > 1 for plan in program.layers)
        seen["spilled"] += program.predicted["store_bytes"] > program.output_bytes
        seen["kept"] += any(layer["mask_keep"] for layer in ran.layers)
        seen["fetched again"] += any(
            later["mask_address"] == layer["mask_address"] and not later["mask_reuse"]
            for layer, later in zip(ran.layers, ran.layers[1:]))
    assert seen["refused"] <= 12
    assert min(seen["strips"], seen["kept"]) >= 3 and seen["spilled"], seen


def shapes_only(name):
    """A network of weights without meaning."""
    layers = []
    for layer in networks.network_topology(name).layers:
        indices = np.random.default_rng(layer.stream).random(layer.weights) < .3
        average = layer.pool is not None and layer.pool.kind == "average"
        layers.append(IntegerLayer(
            layer=layer, multiplier=np.ones(layer.out_channels, np.int32), bias=np.zeros(layer.out_channels, np.int64),
            residual_multiplier=int(layer.residual is not None), shift=8, low=-128, offset_input=layer.input == IMAGE,
            offset_output=False, pool_multiplier=int(average), pool_shift=8 * average, code="raw",
            indices=indices.astype(np.uint8).reshape(layer.out_channels, layer.kernel, layer.kernel, layer.in_channels),
            stored=None, table=(0, 1), symbol_bits=1))
    return IntegerNetwork(networks.network_topology(name), 1, EDGE.rounds, tuple(layers), "released")


@pytest.mark.parametrize("config", SMALL.values(), ids=SMALL.keys())
def test_every_byte_is_where_it_is_looked_for(config):
    """Longer networks, too slow for the naive engine."""
    followed = 0
    for seed in range(100, 160):
        network = random_network(seed, config, layers=10, channels=32, side=20, tensor_bytes=4 << 10, code="raw")
        largest = sorted(np.prod(shape) for shape in network.topology.shapes().values())[-3:]
        if sum(largest) < config.activation_bytes:
            continue
        try:
            program = compile_network(network, config, batch=1 + seed % 2)
        except CompileError:
            continue
        Dataflow(program, network.topology).follow()
        followed += any(plan.strips > 1 for plan in program.layers)
    assert followed >= 3


# Bytes over the floor. Masks here are raw, 1.13 times their entropy, and a batch fetches them for every image.
@pytest.mark.parametrize("name, preset, batch, excess, utilisation", [
    ("resnet18", "edge", 1, 1.21, .95),
    ("resnet18", "base", 2, 2.05, .95),
    ("resnet50", "edge", 1, 1.28, .954),
    ("resnet50", "base", 1, 1.17, .96),
    ("resnet50-cifar", "edge", 2, 2.02, .98),
])
def test_large_networks(name, preset, batch, excess, utilisation):
    """Every byte of every tensor is where it is looked for, and memory is seldom asked."""
    config, network = EngineConfig.preset(preset), shapes_only(name)
    program = compile_network(network, config, batch=batch)
    Dataflow(program, network.topology).follow()
    check_regions(program)
    floor = traffic_floor(network, config.activation_bytes, batch=batch).total
    assert sum(program.predicted.values()) <= excess * floor
    assert program.predicted_utilisation >= utilisation


@pytest.mark.parametrize("code", ["raw", "unary", "ans", "stored"])
def test_fashion_at_edge(code):
    program, ran = run(random_values(networks.fashion(), 1, EDGE, code), EDGE)
    check_regions(program)
    check_mask_buffer(program, ran)
    assert program.macs == sum(networks.fashion().macs().values())
    assert .8 < program.predicted_utilisation < 1
    layers = {plan.name: layer for plan, layer in zip(program.layers, ran.layers)}
    for layer in layers.values():
        if layer["residual"]:
            assert layer["residual_address"] // EDGE.bank_bytes != layer["input_address"] // EDGE.bank_bytes
    # The stem's pooled output is updated while the image is read.
    assert layers["stem"]["input_address"] // EDGE.bank_bytes != layers["stem"]["output_address"] // EDGE.bank_bytes
    # Only the producer is waited for: the down-sample layer and the layer behind it run while others drain.
    assert [layer["wait_layers"] for layer in ran.layers] == [0, 1, 2, 3, 3, 4, 6, 6, 7, 9]
    # An output over the residual that dies with it.
    assert layers["stage2.block1.conv2"]["output_address"] == layers["stage2.block1.downsample"]["output_address"]


def check_regions(program):
    """Regions of the image are aligned and apart, and the transfers are those that the descriptors ask for."""
    beat = program.config.bus_bytes
    operations = descriptors(program.image, program.program_address)
    assert operations[0]["opcode"] == Opcode.BEGIN and len(operations) == program.descriptors
    assert [at for at, operation in enumerate(operations) if operation["opcode"] == Opcode.LAYER] == [
        operation.position for operation in program.operations]
    asked = {"program": [(program.program_address, descriptor.BYTES * len(operations))], "mask": [], "parameter": [],
             "load": [], "store": []}
    for operation in operations:
        if operation["opcode"] == Opcode.LAYER:
            for name in ("mask", "parameter"):
                if not operation[f"{name}_reuse"]:
                    asked[name].append((operation[f"{name}_address"], operation[f"{name}_beats"] * beat))
        elif operation["opcode"] in (Opcode.LOAD, Opcode.STORE):
            stream = Opcode(operation["opcode"]).name.lower()
            asked[stream].append((operation["memory_address"], operation["beats"] * beat))
    for name, runs in asked.items():
        made = [transfer for transfer in program.transfers if transfer.stream == name]
        assert [(transfer.address, transfer.bytes) for transfer in made] == runs
        assert program.predicted[f"{name}_bytes"] == sum(size for _, size in runs)
    for name in ("mask_bytes", "parameter_bytes", "load_bytes", "store_bytes"):
        assert sum(plan.bytes[name] for plan in program.layers) == program.predicted[name]
    for name in "load", "store":
        assert all(address % beat == 0 for address, _ in asked[name])
    # What is only read is apart from what is written.
    fixed = sorted({region for name in ("program", "mask", "parameter") for region in asked[name]})
    assert all(address % max(64, beat) == 0 for address, _ in fixed)
    ends = [address + size for address, size in fixed]
    assert all(end <= start for end, (start, _) in zip(ends, fixed[1:]))
    assert all(address >= ends[-1] and address + size <= len(program.image)
               for name in ("load", "store") for address, size in asked[name])
    # Every result is stored, whole.
    stored = {byte for address, size in asked["store"] for byte in range(address, address + size, beat)}
    assert stored >= set(range(program.output_address, program.output_address + program.output_bytes, beat))
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
    assert len({operation.output_address for operation in program.operations}) <= 4


def test_memory_in_pieces():
    """Tensors whose sizes add up to the memory: they only fit because it wraps around."""
    channels = [80, 16, 32, 32, 80, 24, 56, 8, 64, 56, 32, 72, 72]
    sources = [0, 1, 2, 3, 2, 0, 6, 5, 4, 8, 10, 6]
    names = [IMAGE, *(f"layer{index}" for index in range(12))]
    topology = Topology(name="pieces", input_shape=(80, 1, 1), layers=tuple(
        Layer(name=names[index + 1], input=names[source], in_channels=channels[source],
              out_channels=channels[index + 1], kernel=1) for index, source in enumerate(sources)))
    config = EngineConfig.preset("tiny", activation_bytes=256)
    program, _ = run(random_values(topology, 1, config), config)
    assert program.predicted["store_bytes"] == program.output_bytes


@pytest.mark.parametrize("changes, read_later, shared", [
    ({}, False, True),
    ({"pool": Pool(kind="average")}, False, False),
    ({}, True, False),
    ({"pool": Pool(kind="max", kernel=2, stride=1, padding=1)}, False, False),
    ({"residual": "input"}, False, False),
], ids=["plain", "average pool", "read later", "maximum pool", "residual is input"])
def test_output_over_residual(changes, read_later, shared):
    """The output takes its residual's place where nothing is lost by that."""
    shape = {"in_channels": 6, "out_channels": 6, "kernel": 1}
    layers = [Layer(name="residual", input=IMAGE, **shape), Layer(name="input", input="residual", stream=1, **shape),
              Layer(name="sum", input="input", stream=2, **{**shape, "residual": "residual", **changes})]
    layers.append(Layer(name="later", input="residual" if read_later else "sum", stream=3, **shape))
    topology = Topology(name="sums", input_shape=(6, 5, 5), layers=tuple(layers))
    layer = run(random_values(topology, 6, TINY), TINY)[1].layers[2]
    assert (layer["output_address"] == layer["residual_address"]) is shared


def test_input_is_checked():
    program = compile_network(random_network(0), TINY)
    height, width, channels = program.input_shape
    with pytest.raises(ValueError, match="images must be int8 of shape"):
        program.pack_input(np.zeros((1, height, width, channels + 1), np.int8))
    with pytest.raises(ValueError, match="images must be int8 of shape"):
        program.pack_input(np.zeros((1, height, width, channels), np.uint8))


def test_program_is_frozen_and_deterministic():
    network = random_network(7)
    first, second = compile_network(network, TINY), compile_network(network, TINY)
    assert first.image == second.image
    with pytest.raises(dataclasses.FrozenInstanceError):
        first.image = b""
