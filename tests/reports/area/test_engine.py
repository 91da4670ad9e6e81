import dataclasses
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from arch.config import PRESETS, EngineConfig
from reports.area import area, points, sram
from reports.area.comparison import compare_coats
from reports.area.cost import measured
from reports.area.memories import memories
from reports.area.model import TERMS, area_model
from reports.area.synthesis import FPGAS
from reports.engines import coat_engine, stored_engine

TARGETS = points.targets()


BLOCK_OF = {"activation memory": "activations", "partial sums": "column", "weight slots": "column",
            "mask buffer": "mask_buffer", "mask rows": "mask_buffer", "parameters": "parameter_buffer",
            "ans tables": "decoder", "ans counters": "ans_table", "builder steps": "builder",
            "builder places": "builder"}


def _stands_for(sample, config):
    """Whether a sample's memories are those of the same block of ``config``."""
    if sample.block == "column":
        return all(getattr(sample.config, field) == getattr(config, field)
                   for field in ("lanes", "weight_bits", "accumulator_bits", "partial_sums", "weight_slots"))
    return sample.block == "ans_table" or sample.config == config


@pytest.mark.parametrize("preset, expected", [("tiny", 8), ("edge", 10), ("base", 9), ("hiddenite", 8)])
def test_memories_are_those_that_yosys_finds(preset, expected):
    config = PRESETS[preset]
    copies = {"column": config.columns}
    checked = 0
    for shape in memories(config):
        block = BLOCK_OF[shape.name]
        point = next((point for point in points.load("ecp5").of(block) if _stands_for(point.sample, config)), None)
        if point is not None:
            found = sum(memory.count for memory in point.memories
                        if (memory.depth, memory.width, memory.registered) == (
                            shape.depth, shape.width, shape.registered))
            assert found * copies.get(block, 1) == shape.count, shape
            checked += 1
    assert checked == expected


@pytest.mark.parametrize("target", TARGETS)
def test_fits_are_near_their_points(target):
    assert max(area_model(target).errors.values()) < .15


@pytest.mark.parametrize("target", TARGETS)
def test_blocks_add_up_to_a_whole_engine(target):
    """Synthesised flat, all blocks together: Yosys may then optimise across their borders."""
    (point,) = points.load(target).of("engine")
    whole, parts = measured(point, target), area(point.sample.config, target).logic
    assert parts.main == pytest.approx(whole.main, rel=.08)
    assert parts.flip_flops == pytest.approx(whole.flip_flops, rel=.08)


@pytest.mark.parametrize("target", TARGETS)
def test_a_configuration_with_points_has_their_cells(target):
    by_sample = {(point.sample.block, point.sample.config): measured(point, target)
                 for point in points.load(target).points}
    for preset in PRESETS.values():
        report = area(preset, target)
        for name in TERMS:
            if (name, preset) in by_sample:
                assert report.blocks[name] == by_sample[name, preset] and name not in report.modelled
    assert area(dataclasses.replace(PRESETS["edge"], bus_bits=128), target).modelled


@pytest.mark.parametrize("target", TARGETS)
def test_a_column_without_a_point_lies_between_those_with_one(target):
    def column(**parameters):
        report = area(EngineConfig.preset("edge", **parameters), target)
        return report.array.main, "column" in report.modelled

    (small, _), (middle, _), (large, _) = (column(lanes=lanes) for lanes in (8, 16, 32))
    assert small < middle < large
    wider, modelled = column(accumulator_bits=28)
    assert modelled and middle < wider < column(accumulator_bits=32)[0]
    least, modelled = column(lanes=4, requantiser_lanes=4)
    assert modelled and 0 < least < small


@pytest.mark.parametrize("target", TARGETS)
def test_the_breakdown_adds_up(target):
    for config in (*PRESETS.values(), stored_engine(PRESETS["base"], 8)):
        for weight_path in (True, False):
            report = area(config, target, weight_path=weight_path)
            assert sum(report.breakdown.values()) == pytest.approx(report.total)
            assert report.total == report.logic.main + report.memory
            assert report.lane.main * config.macs_per_cycle == pytest.approx(report.array.main)
            assert bool(report.weight_path.main) == weight_path
            assert report.unit == ("LUT" if target in FPGAS else "um2")
            assert bool(report.memory_blocks) == (target in FPGAS) != bool(report.nand2)


@pytest.mark.parametrize("target", TARGETS)
def test_coats_cost_area_in_order(target):
    for preset in PRESETS:
        one, seven, int8, stored = compare_coats(preset, target)
        assert one.lane < seven.lane < int8.lane
        assert one.logic < seven.logic < int8.logic
        assert stored.logic < int8.logic and stored.logic_ratio == stored.total_ratio == 1


def test_engines_hold_their_coats():
    config = PRESETS["edge"]
    assert [coat_engine(config, coats).weight_limit for coats in (1, 2, 7)] == [1, 7, 7]
    with pytest.raises(ValueError, match=r"coats must be in 1\.\.7, not 8"):
        coat_engine(config, 8)
    int8 = stored_engine(config, 8)
    assert int8.macs_per_cycle == config.macs_per_cycle and int8.weight_limit == 127


_GROWING = ("columns", "lanes", "activation_bytes", "activation_banks", "mask_bytes", "partial_sums", "refill_words",
            "parameter_channels", "build_columns", "requantiser_lanes", "bus_bits", "weight_bits", "weight_slots")


@given(st.sampled_from([*PRESETS]), st.sampled_from(_GROWING), st.sampled_from(_GROWING), st.sampled_from(TARGETS))
def test_a_larger_engine_is_never_smaller(preset, field, other, target):
    configs = [PRESETS[preset]]
    for name in (field, other):
        try:
            configs.append(dataclasses.replace(configs[-1], **{name: 2 * getattr(configs[-1], name)}))
        except ValueError:
            break
    sizes = [(report.total, report.memory_blocks) for report in (area(config, target) for config in configs)]
    for (smaller, fewer), (larger, more) in zip(sizes, sizes[1:]):
        assert larger >= smaller or more > fewer


def test_sram_area_grows_with_size():
    sizes = [sram.macro_area(depth, 64) for depth in (32, 64, 100, 128, 1024, 1500, 4096, 1 << 20)]
    assert sizes == sorted(sizes) and sizes[0] > 0
    assert sram.macro_area(64, 1024) == 2 * sram.macro_area(64, 512)
    # As published for ZigZag's examples: 64 KiB of 64 bits.
    assert sram._one_macro(8192, 64, "one port") == pytest.approx(234_013, rel=.001)


def test_a_sweep_is_fast():
    configs = [EngineConfig.preset("edge", columns=columns, lanes=lanes, weight_bits=bits, mask_bytes=kib << 10)
               for columns in (8, 16, 32, 64) for lanes in (8, 16, 32, 64) for bits in (2, 4, 8)
               for kib in (16, 32, 64, 128)]
    area(configs[0], "ecp5")
    begin = time.process_time()
    for config in configs:
        area(config, "ecp5")
    assert (time.process_time() - begin) / len(configs) < .02
