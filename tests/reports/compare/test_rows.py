"""Comparisons across coats: sizes that the paper publishes, rows beside baselines, accuracy only where measured."""

import csv
import dataclasses
import io
import json

import pytest

from arch.config import PRESETS, EngineConfig
from arch.counters import STREAMS
from golden import packed
from golden.bundled import models
from golden.networks import network_topology
from reports import accuracy
from reports.area.comparison import compare_coats
from reports.area.points import targets
from reports.compare import compare
from reports.compare.figures import figures
from reports.compare.pareto import front
from reports.compare.rows import measured_accuracy, parse_coats
from reports.compare.units import area_unit, byte_unit
from reports.design import Design, costs
from reports.trained import BUNDLED_SEED, recorded

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
    assert [row["coats"] for row in result] == [*COATS, 0, 0, 0]
    assert [row["bits"] for row in result] == [None] * len(COATS) + [8, 4, 1]
    for row in result:
        assert set(row) >= KEYS
        assert set(row["area"]) == set(targets())
        assert set(row["dram_bytes"]) == {f"{stream}_bytes" for stream in STREAMS}
        total = sum(row["dram_bytes"].values())
        assert row["dram_total_bytes"] == total >= row["floor_bytes"] >= row["shannon_bytes"]
        assert {(one["set"], one["dram_pj_per_bit"]) for one in row["energy_pj"]} == {
            (name, price) for name in ("horowitz-45", "hwcomponents-45", "zigzag-45") for price in (4, 8, 20)}
        for one in row["energy_pj"]:
            assert one["dram"] == pytest.approx(8 * one["dram_pj_per_bit"] * total)
            assert one["total"] == pytest.approx(one["dram"] + sum(one["components"].values()))
        assert row["frames_per_second"] == pytest.approx(100e6 / row["cycles"])


def test_layers_add_up(comparison):
    for row in (*comparison.rows, comparison.unary):
        values = row.to_json()
        layers = values["layers"]
        assert [layer["name"] for layer in layers] == [layer.name for layer in network_topology("fashion").layers]
        for key in "weights", "macs", "cycles":
            assert sum(layer[key] for layer in layers) == values[key]
        for stream, size in values["dram_bytes"].items():
            assert stream == "program_bytes" or sum(layer["dram_bytes"][stream] for layer in layers) == size


def test_one_more_coat_never_takes_less(comparison):
    rows = [row.to_json() for row in comparison.coats]
    for less, more in zip(rows, rows[1:]):
        assert less["packed_bytes"] < more["packed_bytes"] and less["paper_mib"] < more["paper_mib"]
        assert less["dram_total_bytes"] < more["dram_total_bytes"]
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
        "fashion-n1", "fashion-n2", "fashion-n3", "fashion-n7", "dense, seed 1", None, None]
    assert comparison.coats[-1].to_json()["accuracy"] == .9313 < comparison.int8.to_json()["accuracy"]
    engine = {"network": "fashion", "config": EngineConfig.preset("edge")}
    topology = network_topology("fashion")
    assert measured_accuracy(topology, Design(coats=4, **engine)) is None
    assert measured_accuracy(topology, Design(coats=3, schedule="uniform:.5", **engine)) is None
    for design in Design(coats=3, **engine), Design(bits=8, **engine):
        assert measured_accuracy(topology, design).data_set == "fashion-mnist"
        assert measured_accuracy(network_topology("fashion", width=16), design) is None


def test_the_record_of_trained_networks_is_the_document():
    assert accuracy.page_table(recorded()) in accuracy.PAGE.read_text()
    bundled = {row.coats: row.integer_accuracy for row in recorded() if row.seed == BUNDLED_SEED}
    assert bundled == {len(network.layers[0].densities): network.provenance["integer_accuracy"] for network in map(
        packed.load, models().values())} | {0: bundled[0]}


def test_a_batch_is_shown_by_the_frame(comparison):
    row, = compare("fashion", (3,), config=EngineConfig.preset("edge"), batch=4).coats
    alone = comparison.coats[2]
    assert row.costs.estimate.macs == 4 * alone.costs.estimate.macs
    assert row.cycles < 1.1 * alone.cycles and row.dram_bytes < alone.dram_bytes
    assert row.frames_per_second == pytest.approx(4 * 1e8 / row.costs.estimate.cycles)
    for chip, found in row.femtojoules_per_op.items():
        assert found == pytest.approx(alone.femtojoules_per_op[chip], rel=.1)
    # No image shares another one's masks; the floor, which needs them once, falls.
    assert row.bytes["mask_bytes"] == alone.bytes["mask_bytes"] and row.floor_bytes < alone.floor_bytes


def test_another_node_has_other_sets(comparison):
    row, = compare("fashion", (3,), config=EngineConfig.preset("edge"), node_nm=130).coats
    assert {energy.costs.name for energy in row.energies} == {"sky130hd-130"}
    assert {energy.costs.node_nm for energy in comparison.coats[2].energies} == {45}
    assert row.energies[0].components["clock"] > 0 == comparison.coats[2].energies[0].components["clock"]


def test_a_baseline_has_no_path_from_masks_to_weights(comparison):
    for row in comparison.baselines:
        assert all(row.widened_area[target] > row.area[target]["total"] for target in targets())
    assert comparison.coats[0].widened_area == {}


@pytest.mark.parametrize("target", targets())
def test_areas_are_those_of_the_area_report(comparison, target):
    """Lanes that suit the target, int8 without the path from masks to weights; only its weight buffer has grown."""
    area = {row.engine: row.total for row in compare_coats("edge", target)}
    assert comparison.coats[0].area[target]["total"] == area["1 coat"]
    assert comparison.coats[-1].area[target]["total"] == area["2 to 7 coats"]
    assert comparison.int8.area[target]["total"] >= area["int8, stored only"]
    assert comparison.int8.widened_area[target] >= area["int8"]


def test_the_overview_has_room_for_two_targets(comparison):
    many = dataclasses.replace(comparison, targets=("asap7", "ecp5", "osu018", "xc7"))
    assert many.overview_targets == ("ecp5", "asap7")
    assert dataclasses.replace(comparison, targets=("osu018",)).overview_targets == ("osu018",)


def test_trade_offs_stand_at_the_areas_of_the_table(comparison):
    figure = figures(comparison)["pareto-traffic"]
    places = {(line.get_xdata()[0], line.get_marker()) for line in figure.axes[0].lines if line.get_marker() != "None"}
    target = comparison.overview_targets[0]
    unit, size = area_unit(comparison.int8.area[target]["unit"])
    assert places == {(row.area[target]["total"] / size, "o" if row.design.coats else "s") for row in comparison.rows}
    border, = (line for line in figure.axes[0].lines if line.get_marker() == "None")
    assert len(border.get_xdata()) >= 3 and border.get_xdata()[-1] == figure.axes[0].get_xlim()[1]


def test_the_code_of_least_energy_stands_beside_the_smallest(comparison):
    unary = comparison.unary
    assert (unary.design.coats, unary.costs.code) == (7, "unary")
    assert unary.costs.packed_bytes > comparison.coats[-1].costs.packed_bytes
    assert unary.energy.low.total_pj < comparison.coats[-1].energy.low.total_pj
    assert compare("fashion", (1,), config=EngineConfig.preset("edge"), code="raw").unary is None


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
