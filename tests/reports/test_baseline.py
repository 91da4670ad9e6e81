"""Stored-weight baselines: what differs from the network itself, and the buffer they are given."""

import dataclasses

import pytest

from arch.config import EngineConfig
from compiler import CompileError, compile_network
from reports.actions import LayerRecord
from reports.baseline import int8_bytes, stored_network, stored_program, stored_records
from reports.records import program_record, program_records
from reports.stored import BITS, LARGEST_BUFFER
from tests.random_networks import random_network

TINY = EngineConfig.preset("tiny")


def test_widths_differ_in_their_weights_alone():
    network = random_network(8, layers=3)
    records = {}
    for bits in BITS:
        program = stored_program(network, TINY, bits)
        assert program.config.weight_bits == max(bits, 2)
        records[bits] = sum(stored_records(program, bits), LayerRecord())
        assert records[bits].stream_steps == 0 < records[bits].steps
    assert records[8].mask_bytes > records[4].mask_bytes > records[1].mask_bytes
    for name in ("macs", "requantised", "residuals", "parameter_bytes", "load_bytes", "store_bytes"):
        assert len({getattr(one, name) for one in records.values()}) == 1, name
    with pytest.raises(ValueError, match=r"^bits must be one of \(8, 4, 1\), not 2$"):
        stored_program(network, TINY, 2)


def test_one_bit_needs_no_signs_but_is_built_alike():
    program = stored_program(random_network(8, layers=3), TINY, 1)
    for record, plain in zip(stored_records(program, 1), program_records(program)):
        assert record == dataclasses.replace(plain, stream_steps=0)
    assert program_record(program).stream_steps > 0


def test_weights_are_fetched_once():
    """With the buffer of the engine it is held against, some are fetched for every strip."""
    config = EngineConfig.preset("tiny", activation_bytes=2 << 10, mask_bytes=512)
    network = random_network(9, config, layers=4, tensor_bytes=8 << 10, side=24)
    program = stored_program(network, config)
    fetched = [transfer.layer for transfer in program.transfers if transfer.stream == "mask"]
    assert len(fetched) == len(set(fetched)) == len(program.layers)
    assert max(plan.strips for plan in program.layers) > 1
    assert config.mask_bytes < program.config.mask_bytes <= LARGEST_BUFFER
    half = dataclasses.replace(program.config, mask_bytes=program.config.mask_bytes // 2)
    less = compile_network(stored_network(network, 8), half)
    assert less.predicted["mask_bytes"] > program.predicted["mask_bytes"]
    assert int8_bytes(network, config) == program.predicted


def test_a_buffer_in_which_weights_cannot_stay_grows():
    """A row of this map is several tiles of partial sums, for each of which the weights are decoded again."""
    config = EngineConfig.preset("tiny", partial_sums=16, mask_bytes=512)
    network = random_network(12, config, layers=1, tensor_bytes=8 << 10, side=40)
    program = stored_program(network, config)
    assert program.config.mask_bytes == 2048
    with pytest.raises(CompileError, match="larger mask_bytes"):
        compile_network(stored_network(network, 8), dataclasses.replace(program.config, mask_bytes=1024))
    with pytest.raises(CompileError, match="larger activation_bytes"):
        stored_program(network, dataclasses.replace(config, activation_bytes=256))
