"""Energies: by hand in a set of simple costs, and what must hold of any."""

import dataclasses
import re
from pathlib import Path

import pytest

from arch.config import PRESETS, EngineConfig
from arch.counters import STREAMS
from compiler import compile_network
from reports.actions import Actions, LayerRecord, actions
from reports.area import area
from reports.baseline import BITS, stored_program, stored_records
from reports.costs import CostSet, Measured, SramPoint, cost_set, cost_sets
from reports.energy import (COMPONENTS, CONVENTIONS, DRAM_PJ_PER_BIT, default_sets, energies, prices)
from reports.records import program_record, zero_fractions
from tests.random_networks import random_network

TINY = EngineConfig.preset("tiny")
ASSUMPTIONS = Path(__file__).parents[2] / "docs" / "assumptions.md"

#: One pJ for an 8 x 8 multiplier; 1 fJ for a bit of an adder, 2 for one of a register; SRAM 1/64 pJ per bit.
SIMPLE = CostSet(name="simple", title="Simple", node_nm=45, source="made up", command=None, versions={},
                 multiply_bits=(8, 8), multiply_pj=1., multiply_includes_add=False, add_bit_pj=.001,
                 register_bit_pj=.002, sram=(SramPoint(1024, 64, 1, 1), SramPoint(2048, 64, 1, 1)))


@pytest.fixture(scope="module")
def run() -> tuple[Actions, EngineConfig]:
    """A network with everything that costs energy."""
    network = random_network(8, layers=4, code="ans")
    return actions(program_record(compile_network(network, TINY), zero_fractions(network)), TINY), TINY


def alone(config: EngineConfig = TINY, costs: CostSet = SIMPLE, **counts: int) -> dict[str, float]:
    """Components, of those that are not zero, of these counts alone."""
    result = energies(Actions(**counts), config, sets=[costs], dram_pj_per_bit=[1]).energies[0]
    return {name: value for name, value in {**result.components, **result.dram}.items() if value}


def test_by_hand():
    """`tiny`: 8 lanes, 4 columns, weights of 4 bits, sums of 24, activation words of 64 bits, beats of 64."""
    # Per column: 8 products of 11 bits, sums of 4 x 12, 2 x 13 and 14 bits of which the last two levels are registered.
    adders, registers = 4 * 12 + 2 * 13 + 14 + 24, 8 * 11 + 2 * 13 + 14 + 24
    assert alone(macs=8) == pytest.approx({"array": 8 * 3 / 8 + adders * .001 + registers * .002})
    assert alone(window_bytes=8) == pytest.approx({"array": 8 * 16 * .002})
    assert alone(sum_reads=1) == pytest.approx({"partial sums": 24 / 64})
    assert alone(slot_writes=1) == alone(slot_reads=1) == pytest.approx({"weight slots": (8 * 4 + 4) * .002})
    assert alone(weights_built=1) == pytest.approx({"weight builder": 8 * .002, "decoder": 8 * .002})
    assert alone(generator_blocks=1) == pytest.approx({"generator": 21 * 32 * .001 + 14 * 64 * .002})
    assert alone(mask_words=1) == pytest.approx({"decoder": 64 * .002})
    assert alone(ans_symbols=1) == pytest.approx({"decoder": 17 / 64 + 10 * .002})
    assert alone(ans_entries=1) == pytest.approx({"decoder": 8 * 17 / 64})
    assert alone(mask_buffer_reads=2, mask_buffer_writes=3) == pytest.approx({"mask buffer": 5})
    assert alone(activation_reads=2, activation_writes=3) == pytest.approx({"activation memory": 5})
    assert alone(parameter_reads=1) == alone(parameter_writes=1) == pytest.approx({"parameters": 66 / 64})
    assert alone(requantised=1) == pytest.approx(
        {"requantiser": 24 * 18 / 64 + 96 * .001 + (5 * 48 + 2 * (24 + 66)) * .002})
    assert alone(residuals=1) == pytest.approx({"requantiser": 8 * 18 / 64 + 48 * .001})
    assert alone(mask_bytes=3, store_bytes=1) == pytest.approx({"mask": 24, "store": 8})
    assert alone(idle_macs=1000) == {}


def test_every_count_is_priced_or_stands_for_one_that_is():
    priced = {price.action for price in prices(TINY, SIMPLE)} | {f"{stream}_bytes" for stream in STREAMS}
    assert {field.name for field in dataclasses.fields(Actions)} - priced == {"macs"}
    assert {price.component for price in prices(TINY, SIMPLE)} == set(COMPONENTS)


def test_energy_adds_up_and_grows_in_proportion(run):
    counts, config = run
    for one, twice in zip(energies(counts, config).energies, energies(counts * 2, config).energies):
        assert one.total_pj == pytest.approx(sum(one.components.values()) + sum(one.dram.values()))
        assert twice.total_pj == pytest.approx(2 * one.total_pj)
        values = one.to_json()
        assert values["on_chip"] + values["dram"] == pytest.approx(values["total"])
        assert one.dram_pj == pytest.approx(8 * counts.dram_bytes * one.dram_pj_per_bit)


def test_a_range_over_sets_and_dram(run):
    found = energies(*run)
    assert {(energy.costs.name, energy.dram_pj_per_bit) for energy in found.energies} == {
        (name, price) for name in ("horowitz-45", "hwcomponents-45", "zigzag-45") for price in DRAM_PJ_PER_BIT}
    assert found.low.dram_pj_per_bit == 4 and found.high.dram_pj_per_bit == 20
    assert found.low.total_pj < found.high.total_pj
    assert all(found.low.total_pj <= energy.total_pj <= found.high.total_pj for energy in found.energies)
    values = found.to_json()
    assert (values["low"], values["high"]) == (found.low.total_pj, found.high.total_pj)
    assert len(values["energies"]) == 9 and set(values["energies"][0]["components"]) == set(COMPONENTS)
    own = energies(*run, sets=["zigzag-22"], dram_pj_per_bit=[0])
    assert own.low.total_pj == own.high.total_pj == own.low.on_chip_pj


def test_a_set_without_registers_prices_the_rest(run):
    missing, full = (energies(*run, sets=[dataclasses.replace(SIMPLE, register_bit_pj=price)]).low
                     for price in (None, .002))
    assert missing.components["weight slots"] == 0 < full.components["weight slots"]
    assert missing.components["activation memory"] == full.components["activation memory"]
    assert missing.to_json()["uncovered"] == ["registers", "clock"]


def test_a_multiply_accumulate_that_includes_the_adder():
    costs = dataclasses.replace(SIMPLE, multiply_includes_add=True)
    assert alone(macs=8, costs=costs) == {"array": 3.}
    assert alone(EngineConfig.preset("tiny", weight_bits=8, accumulator_bits=32), costs, macs=8) == {"array": 8.}
    assert alone(EngineConfig.preset("tiny", weight_bits=2), costs, macs=8) == {"array": 1.}


def test_measured_prices_replace_computed_ones():
    measured = (Measured("array", "nonzero_macs", .5, 4), Measured("array", "idle_macs", .01, 4),
                Measured("generator", "generator_blocks", 9))
    costs = dataclasses.replace(SIMPLE, measured=measured, zero_mac=.1)
    full = alone(macs=1)["array"]
    assert alone(costs=costs, macs=8) == {"array": 4} and alone(costs=costs, generator_blocks=1) == {"generator": 9}
    assert alone(costs=costs, idle_macs=100) == {"array": 1}
    assert alone(costs=costs, macs=8, zero_macs=8)["array"] == pytest.approx(.8 * full)
    ternary = EngineConfig.preset("tiny", weight_bits=2)
    assert alone(ternary, costs, macs=8) == alone(ternary, macs=8)


@pytest.mark.parametrize("blocks", (0, 1))
def test_the_clock_runs_in_every_cycle(blocks):
    """1 fJ a flip-flop, as many as in the engine's synthesis; of stored weights without the path from masks."""
    clocked = dataclasses.replace(SIMPLE, clock_bit_pj=.001)
    flops = area(TINY, "ecp5", weight_path=bool(blocks)).logic.flip_flops
    assert 9_000 < flops < area(TINY, "ecp5").logic.flip_flops + blocks
    assert alone(costs=clocked, cycles=5, generator_blocks=blocks)["clock"] == pytest.approx(5 * flops * .001)
    assert alone(cycles=5) == {}


def test_unknown_weights_cost_most(run):
    counts, config = run
    costs = dataclasses.replace(SIMPLE, zero_mac=.25)
    known, unknown = (energies(one, config, sets=[costs]).low.components["array"]
                      for one in (counts, dataclasses.replace(counts, zero_macs=0)))
    assert counts.zero_macs and known < unknown


def test_regeneration_per_bit():
    """About .2 pJ per bit at 40 nm, a fortieth of LPDDR4."""
    block = alone(EngineConfig.preset("base"), cost_set("hwcomponents-40"), generator_blocks=1)["generator"]
    assert block / 64 == pytest.approx(.2, rel=.1)


@pytest.mark.parametrize("name", cost_sets())
@pytest.mark.parametrize("preset", PRESETS)
def test_prices_of_the_presets(preset, name):
    config, costs = PRESETS[preset], cost_set(name)
    table = prices(config, costs)
    assert all(price.pj >= 0 for price in table)
    by_action = {price.action: price.pj for price in table if price.component not in ("decoder", "weight builder")}
    assert 0 < by_action["nonzero_macs"] < 5 and 0 < by_action["sum_reads"] < by_action["activation_reads"]
    assert by_action["nonzero_macs"] < {price.action: price.pj for price in prices(dataclasses.replace(
        config, weight_bits=8, accumulator_bits=32), costs)}["nonzero_macs"]


def test_ratios_stay_within_a_set(run):
    counts, config = run
    one, twice = energies(counts, config), energies(counts * 2, config)
    assert list(one.against(twice).values()) == pytest.approx([2] * 9)
    message = "^ratios of energies must be taken within the same constant sets and DRAM costs$"
    with pytest.raises(ValueError, match=message):
        one.against(energies(counts, config, dram_pj_per_bit=[4]))


def test_more_bits_per_stored_weight_cost_more():
    network = random_network(8, layers=3)
    ranges = []
    for bits in BITS:
        program = stored_program(network, TINY, bits)
        record = sum(stored_records(program, bits), LayerRecord())
        ranges.append(energies(actions(record, program.config), program.config))
    for more, less in zip(ranges, ranges[1:]):
        assert all(ratio > 1 for ratio in less.against(more).values())


def test_conventions(run):
    counts, config = run
    hiddenite = CONVENTIONS["hiddenite"]
    for label, efficiency in (("CIFAR-100", 34.8), ("ImageNet", 16.0)):
        assert hiddenite.published[label] == pytest.approx(1000 / efficiency, rel=.01)
    for convention in CONVENTIONS.values():
        assert set(convention.sets) <= set(cost_sets()) and not convention.includes_dram
        found = energies(counts, config, sets=convention.sets)
        low, high = convention.range(found, counts.macs)
        assert low == pytest.approx(min(1000 * energy.on_chip_pj / (2 * counts.macs) for energy in found.energies))
        assert low < high
    system = dataclasses.replace(hiddenite, includes_dram=True)
    energy = energies(counts, config).high
    assert system.femtojoules_per_op(energy, 10) == pytest.approx(50 * energy.total_pj)


@pytest.mark.parametrize("options, message", [
    ({"sets": []}, "sets and dram_pj_per_bit must name at least one each"),
    ({"dram_pj_per_bit": []}, "sets and dram_pj_per_bit must name at least one each"),
    ({"dram_pj_per_bit": [4, -1]}, "dram_pj_per_bit must be at least 0, not -1"),
    ({"sets": ["magic"]}, "constant set must be one of .*, not 'magic'")])
def test_refused(options, message):
    with pytest.raises(ValueError, match=f"^{message}$"):
        energies(Actions(), TINY, **options)


def test_default_sets_are_of_one_node():
    assert [costs.name for costs in default_sets()] == ["horowitz-45", "hwcomponents-45", "zigzag-45"]
    assert [costs.name for costs in default_sets(22)] == ["hwcomponents-22", "zigzag-22"]
    with pytest.raises(ValueError, match="^node must be one of 7, 22, 40, 45, 130 nm, not 28$"):
        default_sets(28)


def test_the_document_has_every_set_and_complete_rows():
    text = ASSUMPTIONS.read_text()
    assumptions = text[:text.index("\n## ")].splitlines()
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in assumptions if line.startswith("|")]
    header, _, *body = (row for row in rows if not row[0].startswith("**"))
    assert header == ["what", "value", "unit", "source"] and len(body) > 40
    assert all(len(row) == 4 and all(row) for row in body)
    for name in (*cost_sets(), *COMPONENTS):
        assert re.search(rf"(?<![\w-]){name}(?![\w-])", text), name
    for convention in CONVENTIONS.values():
        assert all(f"{value:g}" in text for value in convention.published.values())
