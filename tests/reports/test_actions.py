"""What an engine does for a record: by hand, and in proportion."""

import dataclasses

import pytest

from arch.config import EngineConfig
from arch.counters import STREAMS
from compiler import compile_network
from reports.actions import COUNTED, Actions, LayerRecord, actions, counted_record
from reports.records import program_record
from tests.random_networks import random_network

#: 4 columns, 8 lanes, 2 build columns, 2 requantiser lanes.
ENGINE = EngineConfig.preset("tiny", build_columns=2)

#: A different count under every name.
RECORD = LayerRecord(**{field.name: number + 100 for number, field in enumerate(dataclasses.fields(LayerRecord))})


@pytest.mark.parametrize("record, expected", [
    ({"passes": 3}, {"slot_reads": 12}),
    ({"beats": 5, "macs": 70}, {"macs": 70, "idle_macs": 90, "window_bytes": 40, "sum_reads": 20, "sum_writes": 20}),
    ({"steps": 7, "stream_steps": 6}, {"slot_writes": 14, "generator_blocks": 12}),
    ({"groups": 9}, {"sum_drains": 36, "parameter_reads": 18}),
    ({"ans_tables": 2}, {"ans_entries": 2048}),
])
def test_by_hand(record, expected):
    counts = actions(LayerRecord(**record), ENGINE)
    assert {name: value for name, value in counts.to_json().items() if value} == expected


def test_what_is_counted_as_it_is():
    counts, record = actions(RECORD, ENGINE).to_json(), RECORD.to_json()
    alike = {"cycles", "macs", "zero_macs", "weights_built", "ans_symbols", "mask_words", "mask_buffer_reads",
             "mask_buffer_writes", "activation_reads", "activation_writes", "parameter_writes", "requantised",
             "residuals", *(f"{stream}_bytes" for stream in STREAMS)}
    assert {name: counts[name] for name in alike} == {name: record[name] for name in alike}
    assert set(counts) - alike == {"idle_macs", "window_bytes", "sum_reads", "sum_writes", "sum_drains", "slot_writes",
                                   "slot_reads", "generator_blocks", "ans_entries", "parameter_reads"}


def test_actions_add_up_as_records_do():
    other = LayerRecord(beats=1000, macs=10, groups=3)
    assert actions(RECORD + other * 3, ENGINE) == actions(RECORD, ENGINE) + actions(other, ENGINE) * 3
    assert actions(LayerRecord(), ENGINE) == Actions()


def test_every_multiply_position_is_used_or_idle():
    program = compile_network(random_network(3), EngineConfig.preset("tiny"))
    record = program_record(program)
    counts = actions(record, program.config)
    assert counts.macs + counts.idle_macs == record.beats * program.config.macs_per_cycle
    assert counts.nonzero_macs + counts.zero_macs == counts.macs
    assert counts.dram_bytes == record.dram_bytes == sum(program.predicted.values())


def test_counters_replace_what_they_count():
    counters = {counter: number for number, counter in enumerate(COUNTED.values())}
    record = counted_record(RECORD, counters, 7)
    assert {name: getattr(record, name) for name in COUNTED} == {name: counters[key] for name, key in COUNTED.items()}
    assert record.cycles == 7
    back = {name: getattr(RECORD, name) for name in ("cycles", *COUNTED)}
    assert dataclasses.replace(record, **back) == RECORD
