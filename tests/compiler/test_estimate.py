"""The light estimate: against the compiler, and what must hold of it whatever the network and the engine."""

import dataclasses
import functools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from arch.config import EngineConfig
from arch.counters import STREAMS
from compiler import CompileError, compile_network
from compiler.estimate import estimate, traffic
from compiler.expected import Coats, Stored
from compiler.masks import mask_streams
from compiler.sizes import MaskSize
from golden import networks, untrained
from golden.densities import schedule_densities
from golden.topology import IMAGE, Layer, Topology
from tests.random_networks import random_network, random_topology

TINY, EDGE = EngineConfig.preset("tiny"), EngineConfig.preset("edge")
SMALL = EngineConfig.preset("tiny", activation_bytes=2 << 10, mask_bytes=512)
UNIFORM = Coats(schedule_densities("uniform", .3, 3))


def tables(network):
    return [(layer.frequencies, layer.offset) if layer.code == "ans" else None for layer in network.layers]


@pytest.mark.parametrize("config", [TINY, SMALL], ids=["tiny", "small"])
def test_masks_of_known_sizes_give_the_bytes_of_the_program(config):
    strips = 0
    for seed in range(24):
        network = random_network(seed, config, layers=5, side=24, tensor_bytes=6 << 10)
        sizes = [MaskSize.of(stream) for stream in mask_streams(network.layers, config)]
        try:
            program = compile_network(network, config, batch=1 + seed % 2)
        except CompileError as error:
            with pytest.raises(CompileError, match=str(error)[:30]):
                traffic(network.topology, config, sizes, tables(network))
            continue
        found = traffic(network.topology, config, sizes, tables(network), batch=1 + seed % 2)
        assert found.bytes == program.predicted
        assert found.macs == program.macs and found.descriptors == program.descriptors
        for layer, plan in zip(found.layers, program.layers, strict=True):
            assert layer.bytes == plan.bytes and layer.strips == plan.strips
        assert sum(layer.cycles for layer in found.layers) == found.cycles
        strips += any(plan.strips > 1 for plan in program.layers)
    assert strips >= (3 if config is SMALL else 0)


@pytest.mark.parametrize("name, preset, coats, density, code", [
    ("fashion", "edge", 3, .3, "best"),
    ("fashion", "base", 7, .1, "ans"),
    ("fashion", "hiddenite", 3, .3, "ans"),
    ("fashion", "edge", 5, .5, "unary"),
    ("fashion", "tiny", 2, .3, "raw"),
    ("resnet18-cifar", "base", 7, .7, "unary"),
    ("resnet18-cifar", "edge", 3, .3, "best"),
    ("resnet18", "base", 3, .3, "best"),
])
def test_against_the_compiler(name, preset, coats, density, code):
    """Weights drawn at random have the bytes expected, and their exact cycles are near."""
    config, densities = EngineConfig.preset(preset), schedule_densities("uniform", density, coats)
    if preset == "tiny":
        config = EngineConfig.preset("tiny", activation_bytes=32 << 10, mask_bytes=16 << 10)
    network = untrained.network(name, coats=coats, density=density, code=code)
    program = compile_network(network, config)
    found = estimate(network.topology, config, Coats(densities, code))
    assert [layer.code for layer in found.weights] == [layer.code for layer in network.layers]
    assert found.dram_bytes == pytest.approx(sum(program.predicted.values()), rel=.005)
    assert found.cycles == pytest.approx(program.predicted_cycles, rel=.02)
    assert sum(layer.coded_bytes for layer in found.weights) == pytest.approx(
        sum(plan.mask_bits for plan in program.layers) / 8, rel=.002)
    if code == "raw":
        assert found.bytes == program.predicted


def test_stored_weights_against_the_compiler():
    network = untrained.network("fashion", stored=True)
    config = EngineConfig.preset("edge", weight_bits=8, accumulator_bits=32)
    program = compile_network(network, config, batch=2)
    found = estimate(network.topology, config, Stored(8), batch=2)
    assert found.bytes == program.predicted
    assert found.cycles == pytest.approx(program.predicted_cycles, rel=.02)
    assert found.packed_bytes == found.shannon_bytes == 307232


def test_one_bit_per_weight_is_one_coat_in_raw():
    topology = networks.fashion()
    assert estimate(topology, EDGE, Stored(1)).bytes == estimate(topology, EDGE, Coats((.4,), "raw")).bytes


def test_weights_by_layer():
    topology = networks.fashion()
    each = [UNIFORM] * (len(topology.layers) - 1) + [Stored(4)]
    found = estimate(topology, EDGE, each)
    assert found.weights[-1].code == "stored" and found.weights[-1].packed_bytes == topology.layers[-1].weights / 2
    assert found.layers[:-1] == estimate(topology, EDGE, UNIFORM).layers[:-1]
    with pytest.raises(ValueError, match="weights must be given for 10 layers, not 1"):
        estimate(topology, EDGE, [UNIFORM])


@pytest.mark.parametrize("build, message", [
    (lambda: Coats((.3, .4)), "densities must fall from at most 1 and stay above 0"),
    (lambda: Coats(()), "densities must name 1 to 7 coats, not 0"),
    (lambda: Coats((.3,), "huffman"), "code must be one of best, raw, unary, ans, not 'huffman'"),
    (lambda: Stored(9), r"bits must be in 1\.\.8, not 9"),
    (lambda: estimate(networks.fashion(), EDGE, UNIFORM, batch=0), "batch must be at least 1, not 0"),
])
def test_errors(build, message):
    with pytest.raises(ValueError, match=message):
        build()


def test_an_engine_that_cannot_run_it_is_refused():
    topology = Topology(name="single", input_shape=(8, 48, 48), layers=(
        Layer(name="one", input=IMAGE, in_channels=8, out_channels=8, kernel=1),))
    with pytest.raises(CompileError, match="layer one: a strip of its rows"):
        estimate(topology, dataclasses.replace(TINY, activation_bytes=512), UNIFORM)


@pytest.mark.parametrize("name, preset, most", [
    ("resnet18", "edge", 3_077_808), ("resnet18", "base", 2_209_792), ("resnet18", "hiddenite", 2_232_960),
    ("resnet50", "edge", 20_013_016), ("resnet50", "base", 5_249_536), ("resnet50", "hiddenite", 4_834_112),
])
def test_plans_of_large_networks(name, preset, most):
    """Traffic is no more than has been found before, but for the draw of masks."""
    found = estimate(networks.network_topology(name), EngineConfig.preset(preset), UNIFORM)
    assert found.dram_bytes <= 1.001 * most
    assert found.dram_bytes == sum(found.bytes.values())
    assert set(found.bytes) == {f"{stream}_bytes" for stream in STREAMS}


@functools.cache
def drawn(seed):
    return random_topology(np.random.default_rng(seed), 3 + seed % 8, 32, 20, 4 << 10)


WEIGHTS = st.sampled_from([UNIFORM, Coats((.3,), "unary"), Coats((.7, .5, .3, .1)), Stored(8), Stored(4), Stored(1)])
CASES = st.one_of(
    st.tuples(st.builds(drawn, st.integers(0, 10 ** 6)), st.builds(
        functools.partial(EngineConfig.preset, "tiny"), activation_bytes=st.sampled_from([1 << 10, 2 << 10, 4 << 10]),
        mask_bytes=st.sampled_from([512, 1 << 10, 4 << 10]))),
    st.tuples(st.sampled_from([networks.network_topology(name) for name in ("fashion", "resnet18-cifar")]), st.builds(
        functools.partial(EngineConfig.preset, "edge"), columns=st.sampled_from([16, 32]),
        activation_bytes=st.sampled_from([16 << 10, 32 << 10, 64 << 10]),
        mask_bytes=st.sampled_from([2 << 10, 8 << 10]), parameter_channels=st.sampled_from([256, 512]))))


BUFFERS = ("activation_bytes", "mask_bytes", "parameter_channels", "partial_sums", "weight_slots")


@pytest.mark.parametrize("buffer", BUFFERS)
@settings(max_examples=25, deadline=None, derandomize=True)
@given(case=CASES, weights=WEIGHTS, batch=st.integers(1, 2))
def test_doubling_a_buffer_never_raises_traffic(buffer, case, weights, batch):
    topology, config = case
    try:
        before = estimate(topology, config, weights, batch=batch)
    except CompileError:
        return
    larger = dataclasses.replace(config, **{buffer: 2 * getattr(config, buffer)})
    assert estimate(topology, larger, weights, batch=batch).dram_bytes <= before.dram_bytes


@pytest.mark.nightly
@pytest.mark.parametrize("weights", (UNIFORM, Stored(8)))
@pytest.mark.parametrize("name", ("resnet18", "resnet50"))
@pytest.mark.parametrize("buffer", BUFFERS)
def test_doubling_a_buffer_never_raises_traffic_of_large_networks(buffer, name, weights):
    topology, config = networks.network_topology(name), EngineConfig.preset("edge")
    moved = []
    for _ in range(4):
        moved.append(estimate(topology, config, weights).dram_bytes)
        config = dataclasses.replace(config, **{buffer: 2 * getattr(config, buffer)})
    assert moved == sorted(moved, reverse=True)


@settings(max_examples=25, deadline=None, derandomize=True)
@given(coats=st.integers(1, 7), schedule=st.sampled_from(["uniform", "linear"]),
       code=st.sampled_from(["raw", "unary", "ans", "best"]), densities=st.tuples(*[st.floats(.01, .5)] * 2))
def test_a_denser_schedule_never_packs_smaller(coats, schedule, code, densities):
    """Up to density .5: beyond, entropy falls again."""
    sparse, dense = (estimate(networks.fashion(), EDGE, Coats(schedule_densities(schedule, density, coats), code))
                     for density in sorted(densities))
    assert dense.packed_bytes >= sparse.packed_bytes
    assert dense.shannon_bytes >= sparse.shannon_bytes
    assert dense.packed_bytes >= dense.shannon_bytes


@settings(max_examples=15, deadline=None, derandomize=True)
@given(case=CASES, weights=WEIGHTS)
def test_utilisation_and_bytes_are_possible(case, weights):
    topology, config = case
    try:
        found = estimate(topology, config, weights)
    except CompileError:
        return
    assert 0 < found.utilisation <= 1
    assert found.bytes["mask_bytes"] >= sum(layer.coded_bytes for layer in found.weights)
    assert found.bytes["load_bytes"] >= np.prod(topology.input_shape)
    assert found.macs == sum(topology.macs().values())
