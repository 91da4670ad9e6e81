"""Records of layers: against the simulated engine's counters, against a walk over every single access, and by hand."""

import dataclasses

import numpy as np
import pytest

from arch.config import SEGMENT_BYTES, EngineConfig
from arch.counters import STREAMS
from arch.descriptor import BYTES, FIELDS, Code, Opcode, PoolMode, unpack
from compiler import Program, compile_network
from compiler.geometry import geometries
from compiler.masks import mask_streams
from reports.actions import COUNTED, LayerRecord, counted_record
from reports.records import (operation_record, program_record, program_records, run_record, shape_record,
                             zero_fractions)
from sim.native import NativeBackend
from sim.network import simulate_network
from tests.random_networks import random_image, random_network

TINY = EngineConfig.preset("tiny")
TERNARY = EngineConfig.preset("tiny", name="ternary", weight_bits=2, build_columns=2, refill_words=4)
SMALL = EngineConfig.preset("tiny", name="small", activation_bytes=2 << 10, mask_bytes=512)
"""Layers run in strips, tensors leave and come back, masks are fetched again."""

CASES = [(TINY, random_network(seed)) for seed in range(6)]
CASES += [(TERNARY, random_network(seed, TERNARY)) for seed in range(6)]
CASES += [(SMALL, random_network(seed, SMALL, layers=4, tensor_bytes=8 << 10, side=24)) for seed in (4, 9, 43, 55, 57)]


def descriptors(program: Program) -> list[dict[str, int]]:
    """Fields of every descriptor."""
    first = program.program_address
    return [unpack(program.image[first + position * BYTES:][:BYTES]) for position in range(program.descriptors)]


@pytest.mark.parametrize("number", range(len(CASES)))
def test_as_the_engine_counts(number):
    config, network = CASES[number]
    batch = 1 + number % 2
    program, zeros = compile_network(network, config, batch=batch), zero_fractions(network)
    images = np.stack([random_image(network, number + image) for image in range(2 * batch)])
    first, second = NativeBackend(config).run(program, images).runs
    expected = program_record(program, zeros)
    assert counted_record(expected, first.counters, first.cycles) == expected
    assert counted_record(expected, second.counters, expected.cycles) == expected  # its `ans` tables may be there
    assert 0 < expected.zero_weights < expected.weights_built or expected.zero_weights == expected.zero_macs == 0


@pytest.mark.parametrize("number", range(4, len(CASES)))
def test_layers_as_the_engine_counts(number):
    """Up to eight beats of a layer are on their way to the array when the next one starts, and counted with that."""
    config, network = CASES[number]
    images = np.random.default_rng(1).integers(0, 256, (2, *network.topology.input_shape), np.uint8)
    run = simulate_network(network, images, config, batch=2, check="none")
    program = compile_network(network, config, batch=2)
    records = program_records(program)
    assert [layer.cycles for layer in run.layers] == [record.cycles for record in records[:-1]]
    for layer, record in zip(run.layers, records):
        assert {name: getattr(record, name) for name in layer.bytes} == layer.bytes
        late = 8 * program.batch
        assert abs(record.beats - layer.counters["beats"]) <= late
        assert abs(record.macs - layer.counters["useful_macs"]) <= late * config.macs_per_cycle


def test_strips_are_met():
    """By the two tests above: more strips than one with and without pools, spills, masks fetched again and kept."""
    programs = [compile_network(network, config) for config, network in CASES if config is SMALL]
    layers = [plan for program in programs for plan in program.layers]
    assert {plan.pool for plan in layers if plan.strips > 1} == {PoolMode.NONE, PoolMode.MAX}
    assert any(plan.bytes["store_bytes"] for program in programs for plan in program.layers[:-1])
    fields = [one for program in programs for one in descriptors(program) if one["opcode"] == Opcode.LAYER]
    assert any(one["mask_reuse"] for one in fields)
    fetches = [(transfer.layer, program) for program in programs for transfer in program.transfers
               if transfer.stream == "mask"]
    assert any(fetches.count(fetch) > 1 for fetch in fetches)


def test_of_a_network_run():
    network = random_network(3)
    images = np.random.default_rng(1).integers(0, 256, (4, *network.topology.input_shape), np.uint8)
    run = simulate_network(network, images, TINY, batch=2, check="none")
    program, zeros = compile_network(network, TINY, batch=2), zero_fractions(network)
    assert run_record(run, zeros) == program_record(program, zeros) * 2
    slower = dataclasses.replace(run, counters={**run.counters, "beats": run.counters["beats"] + 1})
    assert run_record(slower).beats == run_record(run).beats + 1


WALKED = ("passes", "beats", "macs", "steps", "stream_steps", "weights_built", "mask_buffer_writes", "groups",
          "requantised", "residuals", "parameter_writes", "activation_reads", "activation_writes")


class Walk:
    """Counts of one run by walking through every pass, pixel, window and group of a program's layers."""

    def __init__(self, program):
        self.config, self.counts = program.config, dict.fromkeys(WALKED, 0)
        for fields in descriptors(program):
            if fields["opcode"] == Opcode.LAYER:
                self._array(fields)
                self._drain(fields)
            elif fields["opcode"] in (Opcode.LOAD, Opcode.STORE):
                for beat in range(fields["beats"]):
                    address = fields["activation_address"] + beat * self.config.bus_bytes
                    self._access("writes" if fields["opcode"] == Opcode.LOAD else "reads", address,
                                 self.config.bus_bytes)
        for transfer in program.transfers:
            if transfer.stream == "mask":
                segments = len(range(0, transfer.bytes, SEGMENT_BYTES))
                self.counts["mask_buffer_writes"] += transfer.bytes // self.config.bus_bytes - segments
            elif transfer.stream == "parameter":
                self.counts["parameter_writes"] += program.layers[transfer.layer].output_shape[2]

    def _access(self, port: str, address: int, size: int):
        lanes = self.config.lanes
        self.counts[f"activation_{port}"] += (address + size - 1) // lanes - address // lanes + 1

    def _array(self, layer):
        counts, config = self.counts, self.config
        height = layer["pixels"] // layer["map_width"]
        for tile in range(0, layer["out_channels"], config.columns):
            columns = min(config.columns, layer["out_channels"] - tile)
            for _ in range(layer["pixel_tiles"]):
                for _ in range(layer["kernel_rows"] * layer["run_chunks"]):
                    steps = len(range(0, columns, config.build_columns))
                    counts["passes"] += 1
                    counts["steps"] += steps
                    if layer["code"] != Code.STORED:
                        counts["stream_steps"] += steps
            for ky in range(layer["kernel_rows"]):
                for first in range(0, layer["run_bytes"], config.lanes):
                    for y in range(height):
                        row = y * layer["stride"] + ky - layer["pad_rows"]
                        row = layer["input_address"] + row * layer["row_bytes"] - layer["pad_bytes"] + first
                        for x in range(layer["map_width"]):
                            self._access("reads", row + x * layer["step_bytes"], config.lanes)
                            counts["beats"] += 1
                            counts["macs"] += columns * min(config.lanes, layer["run_bytes"] - first)
        counts["weights_built"] += (layer["out_channels"] * layer["kernel_rows"] * layer["run_bytes"]
                                    * layer["pixel_tiles"])

    def _targets(self, layer, y: int, x: int) -> list[int]:
        """Offsets, from the output, of the pooled pixels that hold the map's pixel (y, x)."""
        kernel, stride = layer["pool_kernel"], layer["pool_stride"]
        return [row * layer["pool_row_bytes"] + column * layer["out_channels"]
                for row in range(layer["pool_height"]) for column in range(layer["pool_width"])
                if 0 <= y + layer["pool_row_padding"] - row * stride < kernel
                and 0 <= x + layer["pool_padding"] - column * stride < kernel]

    def _drain(self, layer):
        counts, config, out = self.counts, self.config, layer["out_channels"]
        size, step = (4, 1) if layer["wide"] else (1, config.requantiser_lanes)
        touched = set()
        for tile in range(0, out, config.columns):
            channels = range(tile, min(tile + config.columns, out))
            for pixel in range(layer["pixels"]):
                targets = [pixel * out * size]
                if layer["pool"] == PoolMode.MAX:
                    targets = self._targets(layer, *divmod(pixel, layer["map_width"]))
                for target in targets:
                    for first in channels[::step]:
                        self._group(layer, pixel, target, first, min(step, channels[-1] + 1 - first), size, touched)
            if layer["pool"] == PoolMode.AVERAGE:
                for first in channels[::step]:
                    self._access("writes", layer["output_address"] + first, min(step, channels[-1] + 1 - first))
                counts["requantised"] += len(channels)

    def _group(self, layer, pixel: int, target: int, first: int, channels: int, size: int, touched: set):
        counts, aux = self.counts, max(self.config.requantiser_lanes, 4)
        counts["groups"] += 1
        counts["requantised"] += channels
        if layer["residual"]:
            counts["residuals"] += channels
            self._access("reads", layer["residual_address"] + pixel * layer["out_channels"] + first, aux)
        if layer["pool"] == PoolMode.AVERAGE:
            return
        address = layer["output_address"] + target + first * size
        if address in touched:
            self._access("reads", address, aux)
        if layer["pool"] == PoolMode.MAX:
            touched.add(address)
        self._access("writes", address, channels * size)


WALKS = [(config, random_network(seed, config)) for seed in range(30) for config in (TINY, TERNARY)]
WALKS += [case for case in CASES if case[0] is SMALL]


@pytest.mark.parametrize("number", range(len(WALKS)))
def test_as_a_walk_over_every_access(number):
    config, network = WALKS[number]
    program = compile_network(network, config, batch=1 + number % 2)
    record, walk = program_record(program), Walk(program)
    assert {name: getattr(record, name) for name in WALKED} == walk.counts


def test_walks_meet_every_kind_of_layer():
    layers = [layer for _, network in WALKS for layer in network.topology.layers]
    kinds = {layer.pool.kind if layer.pool else None for layer in layers}
    assert kinds == {None, "max", "average"}
    for kind in kinds:
        assert any(layer.residual for layer in layers if (layer.pool.kind if layer.pool else None) == kind)
    assert any(layer.wide for layer in layers)


def layer_fields(**changes) -> dict[str, int]:
    """A 3x3 layer of 8 to 6 channels on a 4x4 map, whose descriptor fields ``changes`` replaces."""
    fields = dict.fromkeys(FIELDS, 0)
    fields |= {"input_height": 4, "row_bytes": 32, "step_bytes": 8, "pad_bytes": 8, "run_bytes": 24, "kernel_rows": 3,
               "stride": 1, "pad_rows": 1, "run_chunks": 3, "map_width": 4, "pixels": 16, "pixel_tiles": 2,
               "tile_pixels": 8, "out_channels": 6, "code": Code.RAW, "mask_words": 21, "mask_beats": 7,
               "parameter_beats": 8, "output_address": 256}
    return fields | changes


def test_a_layer_by_hand():
    """Two column tiles (4 and 2 channels) of 9 passes, for two pixel tiles; windows lie on whole words of 8 bytes."""
    assert operation_record(TINY, layer_fields(), .5) == LayerRecord(
        passes=2 * 9 * 2, beats=2 * 9 * 16, macs=6 * 72 * 16, zero_macs=3 * 72 * 16, steps=2 * 9 * 6,
        stream_steps=2 * 9 * 6, weights_built=6 * 72 * 2, zero_weights=3 * 72 * 2, mask_words=42,
        mask_buffer_reads=2 * 11, mask_buffer_writes=6, groups=16 * 3, requantised=16 * 6, parameter_writes=6,
        activation_reads=2 * 9 * 16, activation_writes=16 * 3)


def test_what_is_kept_is_not_written_again():
    first, kept = (operation_record(TINY, layer_fields(**changes))
                   for changes in ({}, {"mask_beats": 0, "mask_reuse": 1, "parameter_beats": 0, "parameter_reuse": 1}))
    assert kept == dataclasses.replace(first, mask_buffer_writes=0, parameter_writes=0)


def test_stored_weights_and_ans():
    raw, stored, coded = (operation_record(TINY, layer_fields(code=code))
                          for code in (Code.RAW, Code.STORED, Code.ANS))
    assert stored == dataclasses.replace(raw, stream_steps=0)
    assert coded == dataclasses.replace(raw, ans_symbols=raw.weights_built)


def test_a_table_is_built_once_for_all_images():
    network = random_network(5, layers=1, code="ans")
    for batch in (1, 3):
        assert program_record(compile_network(network, TINY, batch=batch)).ans_tables == 1
    assert program_record(compile_network(random_network(5, layers=1, code="raw"), TINY)).ans_tables == 0


@pytest.mark.parametrize("number", range(len(CASES)))
def test_layers_add_up(number):
    config, network = CASES[number]
    program = compile_network(network, config, batch=2)
    records = program_records(program)
    assert len(records) == len(program.layers) + 1
    total = program_record(program)
    assert sum(records, LayerRecord()) == total
    assert total.cycles == program.predicted_cycles and total.dram_bytes == sum(program.predicted.values())
    assert records[-1] == LayerRecord(program_bytes=program.predicted["program_bytes"], cycles=records[-1].cycles)
    for index, (plan, record) in enumerate(zip(program.layers, records)):
        assert record.macs == sum(one.macs for one in program.operations if one.layer == index) >= 2 * plan.macs
        assert {name: getattr(record, name) for name in plan.bytes} == plan.bytes


@pytest.mark.parametrize("number", range(len(CASES)))
def test_by_shape_alone(number):
    """What follows from a whole layer's shape, how often its map is cut, and the bytes that it moves: all that a
    program's record has but rows computed twice, and words that a run of bytes touches at its ends."""
    config, network = CASES[number]
    program = compile_network(network, config)
    zeros, tiles, fields = zero_fractions(network), [0] * len(program.layers), descriptors(program)
    for operation in program.operations:
        tiles[operation.layer] += fields[operation.position]["pixel_tiles"]
    streams, exact = mask_streams(network.layers, config), program_records(program, zeros)
    for geometry, plan, expected in zip(geometries(network.topology), program.layers, exact):
        layer, index = network.layers[plan.index], plan.index
        record = shape_record(config, geometry, code=layer.code, mask_words=streams[index].words.size,
                              pixel_tiles=tiles[index], moved=plan.bytes, cycles=expected.cycles,
                              ans_tables=expected.ans_tables, zeros=zeros[index])
        inexact = {"activation_reads", "activation_writes"}
        if plan.strips > 1 and plan.pool == PoolMode.MAX:
            inexact |= {"beats", "macs", "zero_macs"}
        for name, value in vars(record).items():
            if name not in inexact:
                assert value == getattr(expected, name), (plan.name, name)
            else:
                assert value == pytest.approx(getattr(expected, name), rel=.5), (plan.name, name)


def test_counted_names():
    names = {field.name for field in dataclasses.fields(LayerRecord)}
    assert set(COUNTED) | {f"{stream}_bytes" for stream in STREAMS} <= names
    assert set(program_record(compile_network(random_network(1), TINY)).to_json()) == names
