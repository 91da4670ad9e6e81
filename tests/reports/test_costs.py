"""Constant sets: the published figures they hold, interpolation of SRAM points, and files that are not sets."""

import json

import pytest

from arch.config import PRESETS
from reports.costs import FOLDER, CostSet, Measured, SramPoint, cost_set, cost_sets, read_cost_set
from reports.gates.constants import measured_sets

GENERATED = sorted(name for name in cost_sets() if name.split("-")[0] in ("hwcomponents", "zigzag"))


def simple(**changes) -> CostSet:
    """One pJ for an 8 x 8 multiplier and for a bit of anything; SRAM points whose energy is size x width / 64."""
    points = tuple(SramPoint(size, bits, size * bits / 64, 2 * size * bits / 64) for bits in (16, 64)
                   for size in (64, 256))
    fields = {"name": "simple", "title": "Simple", "node_nm": 45, "source": "made up", "command": None, "versions": {},
              "multiply_bits": (8, 8), "multiply_pj": 1., "multiply_includes_add": False, "add_bit_pj": 1.,
              "register_bit_pj": 1., "sram": points}
    return CostSet(**{**fields, **changes})


def test_names_are_file_names():
    assert set(cost_sets()) == {path.stem for path in FOLDER.glob("*.json")}
    assert set(GENERATED) == {"hwcomponents-45", "hwcomponents-40", "hwcomponents-22", "zigzag-45", "zigzag-22"}
    assert set(cost_sets()) == {*GENERATED, *measured_sets(), "horowitz-45"}


@pytest.mark.parametrize("name", GENERATED)
def test_generated_sets_say_how(name):
    costs = cost_set(name)
    library, node = name.split("-")
    assert costs.command == f"python reports/constants/points.py {library} --node {node}"
    assert costs.node_nm == int(node) and costs.versions["python"] and len(costs.versions) >= 2


@pytest.mark.parametrize("name, size, bits, read, write", [
    ("horowitz-45", 8, 64, 10, 10), ("horowitz-45", 32, 64, 20, 20), ("horowitz-45", 1024, 64, 100, 100),
    ("hwcomponents-45", 64, 64, 25.9, 19.6), ("hwcomponents-45", 8, 64, 6.1, 7.9),
    ("hwcomponents-45", 1024, 64, 93.5, 76.2),
    ("hwcomponents-22", 64, 64, 5.67, 4.43), ("zigzag-45", 64, 64, 21.2, 18.7), ("zigzag-22", 64, 64, 5.33, 4.57),
])
def test_known_memories(name, size, bits, read, write):
    costs = cost_set(name)
    assert costs.read(size << 10, bits) == pytest.approx(read, rel=.01)
    assert costs.write(size << 10, bits) == pytest.approx(write, rel=.01)


@pytest.mark.parametrize("name, multiply, mac", [
    ("horowitz-45", .2, .3), ("hwcomponents-45", .912, 1.154), ("hwcomponents-40", .79, 1.), ("zigzag-45", .04, .04)])
def test_known_arithmetic(name, multiply, mac):
    costs = cost_set(name)
    assert costs.multiply(8, 8) == pytest.approx(multiply, rel=.01)
    assert costs.multiply(8, 8) + costs.add(32) == pytest.approx(mac, rel=.01)


def test_what_sets_leave_out():
    assert cost_set("horowitz-45").uncovered == ("registers", "clock")
    assert cost_set("zigzag-45").uncovered == ("adders outside the array", "clock")
    assert cost_set("hwcomponents-45").uncovered == ("clock",)
    assert simple(add_bit_pj=None, register_bit_pj=None, clock_bit_pj=1.).uncovered == ("adders", "registers")
    assert simple(add_bit_pj=None, measured=(Measured("array", "nonzero_macs", 1.),)).uncovered == ("clock",)
    assert simple(add_bit_pj=None).add(32) == 0


def test_scaling_by_width():
    assert simple().multiply(8, 3) == 3 / 8 and simple().add(48) == 48 and simple().register(7) == 7
    assert simple().clock(7) == 0 and simple(clock_bit_pj=2.).clock(7) == 14


@pytest.mark.parametrize("size, bits", [
    (64, 16), (128, 16), (100, 30), (256, 64), (16, 16), (5000, 64), (96, 4), (96, 500)])
def test_a_power_law_is_met_between_and_beyond_the_points(size, bits):
    """The points lie on size x width / 64, which is a line in the logarithms, proportional to width everywhere."""
    assert simple().read(size, bits) == pytest.approx(size * bits / 64)
    assert simple().write(size, bits) == pytest.approx(size * bits / 32)


def test_between_points_that_bend():
    costs = simple(sram=(SramPoint(64, 64, 1, 1), SramPoint(256, 64, 4, 4), SramPoint(1024, 64, 64, 64)))
    assert costs.read(128, 64) == pytest.approx(2) and costs.read(512, 64) == pytest.approx(16)
    assert costs.read(32, 64) == pytest.approx(.5) and costs.read(4096, 64) == pytest.approx(1024)
    assert costs.read(256, 128) == pytest.approx(8) and costs.read(256, 16) == pytest.approx(1)
    assert simple(sram=(SramPoint(64, 64, 3, 5),)).read(1 << 20, 32) == pytest.approx(1.5)


@pytest.mark.parametrize("name", GENERATED)
def test_the_memories_of_the_presets_are_points(name):
    points = {(point.bytes, point.bits): point for point in cost_set(name).sram}
    for config in PRESETS.values():
        for size, bits in ((config.activation_bytes // (2 * config.activation_banks), 8 * config.lanes),
                           (config.mask_bytes, config.bus_bits)):
            point = points[size, bits]
            assert cost_set(name).read(size, bits) == pytest.approx(point.read_pj)
            assert cost_set(name).write(size, bits) == pytest.approx(point.write_pj)


@pytest.mark.parametrize("changes, reason", [
    ({"sram": []}, "sram must have points"), ({"multiply": None}, "not a constant set"),
    ({"sram": [{"bytes": 1}]}, "not a constant set")])
def test_a_file_that_is_not_a_set(tmp_path, changes, reason):
    path = tmp_path / "bad.json"
    path.write_text(json.dumps(json.loads((FOLDER / "horowitz-45.json").read_text()) | changes))
    with pytest.raises(ValueError, match=f"bad.json: {reason}.*: make it again with reports/constants/points.py, or"):
        read_cost_set(path)


def test_no_such_set():
    with pytest.raises(ValueError, match="^constant set must be one of asap7-7, .*, not 'magic'$"):
        cost_set("magic")
