"""Comparisons across coats: sizes that the paper publishes, rows beside baselines, accuracy only where measured."""

import csv
import dataclasses
import io
import json

import pytest

from arch.config import PRESETS, EngineConfig
from golden.networks import network_topology
from golden.densities import schedule_densities
from reports.area.points import targets
from reports.compare import compare
from reports.compare.figures import figures
from reports.compare.pareto import front
from reports.compare.rows import measured_accuracy, parse_coats
from reports.compare.units import byte_unit
from reports.design import Design, costs

COATS = (1, 2, 3, 7)

SIZES = {
    "resnet18-cifar": (1.35, 1.85, 2.02, 2.89), "resnet18": (1.41, 1.94, 2.11, 3.02),
    "resnet50": (3.14, 4.29, 4.66, 6.66), "wide-resnet50": (8.33, 11.44, 12.44, 17.83),
    "resnet101": (5.50, 7.51, 8.15, 11.63),
}
"""MiB with one coat, three released, three uniform, seven uniform, of density .3."""

KEYS = {"network", "coats", "schedule", "code", "weights", "macs", "paper_mib", "shannon_bytes", "packed_bytes",
        "dram_bytes", "cycles", "utilisation", "area", "energy_pj", "accuracy"}


@pytest.fixture(scope="module")
def comparison():
    return compare("fashion", COATS, config=EngineConfig.preset("edge"), targets=targets())


@pytest.mark.parametrize("network", SIZES)
def test_sizes_by_the_papers_formula(network):
    found = [Design(network=network, config=PRESETS["base"], coats=coats, schedule=schedule).paper_bytes / 2 ** 20
             for coats, schedule in ((1, "uniform:0.7"), (3, "released"), (3, "uniform:0.7"), (7, "uniform:0.7"))]
    assert found == pytest.approx(SIZES[network], abs=.01)


@pytest.mark.parametrize("text, schedule, coats", [
    ("1-7", "uniform:0.7", (1, 2, 3, 4, 5, 6, 7)), ("1,3,7", "uniform:0.7", (1, 3, 7)), ("3", "linear:.5", (3,)),
    ("5-6,1,5", "uniform:0.7", (1, 5, 6)), (None, "uniform:0.7", (1, 2, 3, 4, 5, 6, 7)), (None, "released", (1, 2, 3)),
])
def test_coats(text, schedule, coats):
    assert parse_coats(text, schedule) == coats


@pytest.mark.parametrize("text", ["0", "8", "1-8", "3-1", "", "1,", "two", "1-2-3", "-2"])
def test_no_coats(text):
    with pytest.raises(ValueError, match=f"^coats must be counts and ranges in 1..7, such as .*, not '{text}'$"):
        parse_coats(text, "uniform:0.7")


def test_rows_are_the_designs(comparison):
    assert [row.label for row in comparison.rows] == [
        "1 coat", "2 coats", "3 coats", "7 coats", "int8", "int4", "1 bit"]
    alone = costs(Design(network="fashion", config=EngineConfig.preset("edge"), coats=3))
    assert comparison.coats[2].costs.to_json(targets()) == alone.to_json(targets())
    assert [row.costs.engine.weight_bits for row in comparison.rows] == [2, 4, 4, 4, 8, 4, 2]


def test_json_has_what_other_tools_read(comparison):
    result = json.loads(json.dumps(comparison.to_json()))
    assert [row["coats"] for row in result["rows"]] == list(COATS)
    assert [row["bits"] for row in result["baselines"]] == [8, 4, 1]
    for row in result["rows"] + result["baselines"]:
        assert set(row) >= KEYS
        assert set(row["area"]) == set(targets())
        streams = {name: size for name, size in row["dram_bytes"].items() if name != "total"}
        assert row["dram_bytes"]["total"] == sum(streams.values()) >= row["floor_bytes"] >= row["shannon_bytes"]
        assert {(one["set"], one["dram_pj_per_bit"]) for one in row["energy_pj"]} == {
            (name, price) for name in ("horowitz-45", "hwcomponents-45", "zigzag-45") for price in (4, 8, 20)}
        for one in row["energy_pj"]:
            assert one["dram"] == pytest.approx(8 * one["dram_pj_per_bit"] * row["dram_bytes"]["total"])
        assert row["frames_per_second"] == pytest.approx(100e6 / row["cycles"])


def test_one_more_coat_never_takes_less(comparison):
    rows = [row.to_json() for row in comparison.coats]
    for less, more in zip(rows, rows[1:]):
        assert less["packed_bytes"] < more["packed_bytes"] and less["paper_mib"] < more["paper_mib"]
        assert less["dram_bytes"]["total"] < more["dram_bytes"]["total"]
        assert all(less["area"][target]["total"] <= more["area"][target]["total"] for target in targets())


def test_csv_says_the_same(comparison):
    lines = list(csv.DictReader(io.StringIO(comparison.to_csv())))
    assert len(lines) == len(comparison.rows)
    for line, row in zip(lines, comparison.rows):
        values = row.to_json()
        assert line["row"] == row.label and int(line["packed_bytes"]) == values["packed_bytes"]
        assert int(line["cycles_per_run"]) == values["cycles"]
        assert int(line["dram_mask_bytes_per_run"]) == values["dram_bytes"]["mask_bytes"]
        assert float(line["area_ecp5_total_LUT"]) == values["area"]["ecp5"]["total"]
        assert float(line["energy_zigzag-45_dram_20_pJ_per_bit_total_pJ_per_run"]) == values["energy_pj"][-1]["total"]
        assert line["accuracy_fraction"] == ("" if values["accuracy"] is None else str(values["accuracy"]))


def test_accuracy_is_measured_or_absent(comparison):
    assert [row.accuracy and row.accuracy.model for row in comparison.rows] == [
        "fashion-n1", "fashion-n2", "fashion-n3", "fashion-n7", None, None, None]
    assert comparison.coats[-1].to_json()["accuracy"] == .9313
    topology = network_topology("fashion")
    assert measured_accuracy(topology, schedule_densities("uniform", .3, 4)) is None
    assert measured_accuracy(topology, schedule_densities("uniform", .5, 3)) is None
    assert measured_accuracy(network_topology("fashion", width=16), schedule_densities("uniform", .3, 3)) is None


def test_a_batch_is_shown_by_the_frame(comparison):
    row, = compare("fashion", (3,), config=EngineConfig.preset("edge"), batch=4).coats
    alone = comparison.coats[2]
    assert row.costs.estimate.macs == 4 * alone.costs.estimate.macs
    assert row.cycles < 1.1 * alone.cycles and row.dram_bytes < alone.dram_bytes
    assert row.frames_per_second == pytest.approx(4 * 1e8 / row.costs.estimate.cycles)
    assert row.femtojoules_per_op == pytest.approx(alone.femtojoules_per_op, rel=.1)


def test_another_node_has_other_sets(comparison):
    row, = compare("fashion", (3,), config=EngineConfig.preset("edge"), node_nm=130).coats
    assert {energy.costs.name for energy in row.energies} == {"sky130hd-130"}
    assert {energy.costs.node_nm for energy in comparison.coats[2].energies} == {45}
    assert row.energies[0].components["clock"] > 0 == comparison.coats[2].energies[0].components["clock"]


def test_a_baseline_has_no_path_from_masks_to_weights(comparison):
    for row in comparison.baselines:
        assert all(row.stored_area[target] < row.area[target]["total"] for target in targets())
    assert comparison.coats[0].stored_area == {}


@pytest.mark.parametrize("options, message", [
    ({"network": "resnet19"}, "network must be one of"), ({"schedule": "uniform:1"}, "schedule must be"),
    ({"schedule": "released", "coats": (4,)}, "schedule released has densities of 1 to 3 coats, not 4"),
    ({"code": "morse"}, "code must be one of best, raw, unary, ans, not 'morse'"), ({"batch": 0}, "batch must be"),
    ({"clock_mhz": 0}, "clock must be above 0 MHz, not 0"), ({"dram_pj_per_bit": (4, -1)}, "must be at least 0 pJ/bit"),
    ({"dram_pj_per_bit": ()}, "must be at least 0 pJ/bit, not none"), ({"jobs": 0}, "jobs must be at least 1, not 0"),
    ({"node_nm": 28}, "node must be one of .*, not 28"), ({"targets": ("nowhere",)}, None),
])
def test_refused_before_any_work(options, message):
    def worked(done, count):
        raise AssertionError("work began")

    with pytest.raises((ValueError, RuntimeError), match=message or "no points for target 'nowhere': make them with"):
        compare(**{"network": "fashion", "coats": (3,), "config": PRESETS["edge"], "progress": worked, **options})


def test_figures_say_their_units(comparison):
    drawn = figures(comparison)
    assert set(drawn) == {"size", "traffic", "cycles", "energy", "breakdown", "convention", "area", "pareto-energy",
                          "pareto-traffic", "accuracy"}
    for name, figure in drawn.items():
        for axes in figure.axes:
            labels = [axes.get_ylabel()] if axes.get_xlabel() == "coats, and weights stored" else [
                axes.get_xlabel(), axes.get_ylabel()]
            assert all(label.endswith(")") and "(" in label for label in labels), name


def test_figures_without_points_and_models(comparison):
    bare = dataclasses.replace(comparison, targets=(), coats=tuple(
        dataclasses.replace(row, targets=(), accuracy=None) for row in comparison.coats))
    assert not {"area", "pareto-energy", "pareto-traffic", "accuracy"} & set(figures(bare))


def test_front():
    assert front([(2, 2), (1, 3), (3, 1), (3, 3), (2, 3), (1, 3)]) == [1, 5, 0, 2]
    assert byte_unit(2 ** 20) == ("MiB", 2 ** 20) and byte_unit(2 ** 20 - 1) == ("KiB", 2 ** 10)
