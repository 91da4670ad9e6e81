"""Action counts: against the simulated engine's counters, against a walk over every single access, and by hand."""

import dataclasses

import numpy as np
import pytest

from arch import descriptor
from arch.config import EngineConfig
from arch.descriptor import FIELDS, Code, Opcode, PoolMode
from compiler import compile_network
from reports.actions import (COUNTED, NAMES, Actions, counted_actions, layer_actions, operation_actions,
                             program_actions, run_actions, zero_fractions)
from reports.baseline import BITS, stored_actions, stored_program
from sim.native import NativeBackend
from sim.network import simulate_network
from tests.random_networks import random_image, random_network

TINY = EngineConfig.preset("tiny")
TERNARY = EngineConfig.preset("tiny", name="ternary", weight_bits=2, build_columns=2, refill_words=4)


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("config", [TINY, TERNARY], ids=lambda config: config.name)
def test_as_the_engine_counts(config, seed):
    network, batch = random_network(seed, config), 1 + seed % 2
    program, zeros = compile_network(network, config, batch=batch), zero_fractions(network)
    images = np.stack([random_image(network, seed + number) for number in range(2 * batch)])
    runs = NativeBackend(config).run(program, images).runs
    expected = program_actions(program, zeros)
    for run in runs:
        assert counted_actions(program, run.counters, zeros=zeros) == expected
    assert 0 < expected.zero_weights < expected.weights_built or expected.zero_weights == expected.zero_macs == 0


def test_of_a_network_run():
    network = random_network(3)
    images = np.random.default_rng(1).integers(0, 256, (4, *network.topology.input_shape), np.uint8)
    run = simulate_network(network, images, TINY, batch=2, check="none")
    program, zeros = compile_network(network, TINY, batch=2), zero_fractions(network)
    assert run_actions(run, program, zeros=zeros) == program_actions(program, zeros) * 2
    slower = dataclasses.replace(run, counters={**run.counters, "beats": run.counters["beats"] + 1})
    assert run_actions(slower, program).idle_macs == run_actions(run, program).idle_macs + TINY.macs_per_cycle
    with pytest.raises(ValueError, match="^program must be compiled for the run's configuration tiny, not ternary$"):
        run_actions(run, compile_network(random_network(3, TERNARY), TERNARY))


class Walk:
    """Counts of one run by walking through every pass, pixel, window and group of a program's layers."""

    def __init__(self, program):
        self.config, self.counts = program.config, dict.fromkeys(NAMES, 0)
        for position in range(program.descriptors):
            start = program.program_address + position * descriptor.BYTES
            words = np.frombuffer(program.image[start:start + descriptor.BYTES], "<u4").tolist()
            fields = {name: words[field.word] >> field.lsb & (1 << field.bits) - 1 for name, field in FIELDS.items()}
            if fields["opcode"] == Opcode.LAYER:
                self._array(fields)
                self._drain(fields)
            elif fields["opcode"] in (Opcode.LOAD, Opcode.STORE):
                for beat in range(fields["beats"]):
                    address = fields["activation_address"] + beat * self.config.bus_bytes
                    self._access("writes" if fields["opcode"] == Opcode.LOAD else "reads", address,
                                 self.config.bus_bytes)

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
                    counts["steps"] += steps
                    counts["slot_writes"] += steps * config.build_columns
                    counts["slot_reads"] += config.columns
                    if layer["code"] != Code.STORED:
                        counts["generator_blocks"] += steps * config.build_columns
            for ky in range(layer["kernel_rows"]):
                for first in range(0, layer["run_bytes"], config.lanes):
                    for y in range(height):
                        row = y * layer["stride"] + ky - layer["pad_rows"]
                        row = layer["input_address"] + row * layer["row_bytes"] - layer["pad_bytes"] + first
                        for x in range(layer["map_width"]):
                            self._access("reads", row + x * layer["step_bytes"], config.lanes)
                            counts["beats"] += 1
                            counts["window_bytes"] += config.lanes
                            counts["sum_reads"] += config.columns
                            counts["sum_writes"] += config.columns
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
                    self._write(layer["output_address"] + first, min(step, channels[-1] + 1 - first))
                counts["requantised"] += len(channels)

    def _group(self, layer, pixel: int, target: int, first: int, channels: int, size: int, touched: set):
        counts, config = self.counts, self.config
        aux = max(config.requantiser_lanes, 4)
        counts["sum_drains"] += config.columns
        counts["parameter_reads"] += config.requantiser_lanes
        counts["requantised"] += channels
        if layer["residual"]:
            counts["residuals"] += channels
            counts["residual_bytes"] += channels
            self._access("reads", layer["residual_address"] + pixel * layer["out_channels"] + first, aux)
        if layer["pool"] == PoolMode.AVERAGE:
            return
        address = layer["output_address"] + target + first * size
        if address in touched:
            counts["pool_bytes"] += channels
            self._access("reads", address, aux)
        if layer["pool"] == PoolMode.MAX:
            touched.add(address)
        self._write(address, channels * size)

    def _write(self, address: int, size: int):
        self.counts["output_bytes"] += size
        self._access("writes", address, size)


WALKED = ("beats", "macs", "weights_built", "steps", "generator_blocks", "slot_writes", "slot_reads", "sum_reads",
          "sum_writes", "sum_drains", "requantised", "residuals", "parameter_reads", "window_bytes", "residual_bytes",
          "pool_bytes", "output_bytes", "activation_reads", "activation_writes")


@pytest.mark.parametrize("seed", range(60))
def test_as_a_walk_over_every_access(seed):
    config = (TINY, TERNARY)[seed % 2]
    program = compile_network(random_network(seed, config), config)
    actions, walk = program_actions(program), Walk(program)
    assert {name: getattr(actions, name) for name in WALKED} == {name: walk.counts[name] for name in WALKED}


def test_walks_meet_every_kind_of_layer():
    layers = [layer for seed in range(60) for layer in random_network(seed, (TINY, TERNARY)[seed % 2]).topology.layers]
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
    assert operation_actions(TINY, layer_fields(), .5) == Actions(
        beats=2 * 9 * 16, macs=6 * 72 * 16, zero_macs=3 * 72 * 16, idle_macs=2 * 9 * 16 * 32 - 6 * 72 * 16,
        weights_built=6 * 72 * 2, zero_weights=3 * 72 * 2, steps=2 * 9 * 6, generator_blocks=2 * 9 * 6,
        mask_words=42, mask_buffer_reads=2 * 11, mask_buffer_writes=6, slot_writes=2 * 9 * 6,
        slot_reads=2 * 9 * 2 * 4, sum_reads=2 * 9 * 16 * 4, sum_writes=2 * 9 * 16 * 4, sum_drains=16 * 3 * 4,
        requantised=16 * 6, parameter_reads=16 * 3 * 2, parameter_writes=6, window_bytes=2 * 9 * 16 * 8,
        output_bytes=96, activation_reads=2 * 9 * 16, activation_writes=16 * 3)


def test_what_is_kept_is_not_written_again():
    first, kept = (operation_actions(TINY, layer_fields(**changes))
                   for changes in ({}, {"mask_beats": 0, "mask_reuse": 1, "parameter_beats": 0, "parameter_reuse": 1}))
    assert kept == dataclasses.replace(first, mask_buffer_writes=0, parameter_writes=0)


def test_stored_weights_and_ans():
    raw, stored, coded = (operation_actions(TINY, layer_fields(code=code))
                          for code in (Code.RAW, Code.STORED, Code.ANS))
    assert stored == dataclasses.replace(raw, generator_blocks=0)
    assert coded == dataclasses.replace(raw, ans_symbols=raw.weights_built)


def test_a_table_is_built_once_for_all_images():
    network = random_network(5, layers=1, code="ans")
    for batch in (1, 3):
        assert program_actions(compile_network(network, TINY, batch=batch)).ans_entries == 1024
    assert program_actions(compile_network(random_network(5, layers=1, code="raw"), TINY)).ans_entries == 0


def test_layers_add_up():
    network = random_network(8, layers=4)
    program = compile_network(network, TINY, batch=2)
    layers = layer_actions(program)
    assert len(layers) == len(program.layers) + 1
    assert sum(layers, Actions()) == program_actions(program)
    assert layers[-1] == Actions(program_bytes=program.predicted["program_bytes"])
    for plan, actions in zip(program.layers, layers):
        assert actions.macs == 2 * plan.macs and actions.beats > 0
        assert {name: getattr(actions, name) for name in plan.bytes} == plan.bytes
    assert program_actions(program).dram_bytes == sum(program.predicted.values())


def test_counted_names_are_counts():
    assert set(COUNTED) <= set(NAMES)
    assert list(program_actions(compile_network(random_network(1), TINY)).to_json()) == list(NAMES)


def test_stored_baselines_differ_in_their_weights_alone():
    network = random_network(8, layers=3)
    actions = {}
    for bits in BITS:
        program = stored_program(network, TINY, bits)
        assert program.config.weight_bits == max(bits, 2)
        actions[bits] = stored_actions(program, bits)
        assert actions[bits].generator_blocks == 0
    assert actions[8].mask_bytes > actions[4].mask_bytes > actions[1].mask_bytes
    for name in ("macs", "requantised", "residual_bytes", "output_bytes", "load_bytes", "store_bytes"):
        assert len({getattr(one, name) for one in actions.values()}) == 1, name
    with pytest.raises(ValueError, match=r"^bits must be one of \(8, 4, 1\), not 2$"):
        stored_program(network, TINY, 2)
