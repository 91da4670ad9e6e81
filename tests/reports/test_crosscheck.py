"""Cross-checks: records are of the present model, and the page's tables are of the records."""

import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

from reports.actions import LayerRecord
from reports.crosscheck import nvdla
from reports.crosscheck.__main__ import main
from reports.crosscheck.problem import Case
from reports.crosscheck.record import TOOLS, load, renew
from reports.crosscheck.tables import TABLES, zigzag_layers, zigzag_parts

PAGE = Path(__file__).parents[2] / "docs" / "crosschecks.md"

SHOWN = [*((tool, "base", tables) for tool, tables in TABLES.items()),
         ("zigzag", "edge", (zigzag_layers, zigzag_parts))]
"""What the page shows: tool, preset, tables."""


@cache
def case(preset):
    return Case.of("resnet18", preset)


@pytest.mark.parametrize("tool, preset", [*((tool, "base") for tool in TOOLS), ("zigzag", "edge")])
def test_record_is_of_the_present_model(tool, preset):
    record, model = load(tool, preset=preset), case(preset)
    recorded, present = dict(record["problem"]), model.problem()
    assert present.pop("layers") == recorded.pop("layers")
    assert present.keys() == recorded.keys()
    for name, value in present.items():
        assert recorded[name] == (pytest.approx(value) if isinstance(value, float) else value), name
    for ours, recorded in zip(model.ours(), record["ours"], strict=True):
        assert {**ours, "pj": None} == {**recorded, "pj": None}, f"renew it: {record['command']} --run PYTHON"
        assert ours["pj"] == pytest.approx(recorded["pj"])


@pytest.mark.parametrize("preset", ["base", "edge"])
def test_layers_add_up_to_the_design(preset):
    """But for the descriptors, which belong to no layer."""
    costs = case(preset).costs
    program = LayerRecord(program_bytes=costs.estimate.bytes["program_bytes"])
    assert sum(case(preset).records(), program) == costs.record
    energy, = costs.energy.energies
    total = sum(sum(row["pj"].values()) for row in case(preset).ours())
    assert total + energy.dram["program"] == pytest.approx(energy.total_pj, rel=1e-6)


@pytest.mark.parametrize("preset, cycles", [("base", .06), ("edge", .07)])
def test_zigzag_agrees_where_it_should(preset, cycles):
    """Cycles of every layer to 6 %, with maps in DRAM to 7 %, weights to 2 %; of activations it moves every map, as
    methods count them."""
    record = load("zigzag", preset=preset)
    for ours, theirs in zip(record["ours"], record["theirs"], strict=True):
        found = theirs["engine"]
        assert ours["name"] == theirs["name"]
        assert ours["cycles"] == pytest.approx(found["cycles"], rel=cycles)
        assert ours["bytes"]["mask_bytes"] == pytest.approx(found["bytes"]["W"], rel=.02)
    moved = sum(theirs["engine"]["bytes"][name] for theirs in record["theirs"] for name in "IO")
    skipped = sum(3 * layer["input"][0] * layer["input"][1] * layer["in_channels"] // 4
                  for layer in record["problem"]["layers"] if layer["kernel"] == 1 and layer["stride"] == 2)
    wide = 3 * 1000
    assert moved + skipped - wide == pytest.approx(4.67e6, rel=.001)


def test_accelforge_agrees_where_it_should():
    """Cycles of every layer to 6 %, bytes of DRAM to 5 % (it pads the image), accesses of the weight buffer where the
    map is one tile to 1 %; its mapper finds nothing better than the engine's order."""
    record = load("accelforge")
    for layer, ours, theirs in zip(record["problem"]["layers"], record["ours"], record["theirs"], strict=True):
        found, best = theirs["engine"], theirs["search"]
        assert ours["name"] == theirs["name"]
        assert ours["cycles"] == pytest.approx(found["cycles"], rel=.06)
        moved = sum(ours["bytes"][f"{name}_bytes"] for name in ("mask", "load", "store"))
        assert moved == pytest.approx(sum(found["bytes"].values()), rel=.05)
        if layer["tile"] == layer["map"]:
            assert ours["accesses"]["mask buffer"] == pytest.approx(found["accesses"]["weight buffer"], rel=.01)
        assert best["loops"][0].startswith("T-k ") and found["cycles"] <= best["cycles"] < 1.01 * found["cycles"]
        assert sum(best["pj"].values()) == pytest.approx(sum(found["pj"].values()), rel=.001)
        assert sum(best["pj"].values()) > .99999 * sum(found["pj"].values())


@pytest.mark.parametrize("index", range(len(nvdla.PUBLISHED)), ids=lambda index: str(nvdla.PUBLISHED[index].macs))
def test_nvdla_record_is_of_the_present_model(index):
    assert nvdla.compare(nvdla.PUBLISHED[index]) == load("nvdla")["rows"][index]


@pytest.mark.parametrize("tool, preset, tables", SHOWN, ids=[f"{tool}-{preset}" for tool, preset, _ in SHOWN])
def test_page_shows_the_records(tool, preset, tables, capsys):
    assert main_with(tool, "--preset", preset) == 0
    shown = capsys.readouterr().out
    for table in tables:
        assert table(load(tool, preset=preset)) in shown
        assert table(load(tool, preset=preset)) in PAGE.read_text()


def main_with(*arguments: str) -> int:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["crosscheck", *arguments])
        return main()


def test_missing_record_and_missing_tool_are_one_line(capsys):
    assert main_with("zigzag", "--preset", "tiny") == 1
    assert capsys.readouterr().err.count("\n") == 1
    assert main_with("zigzag", "--run", "/no/such/python") == 1
    said = capsys.readouterr().err
    assert said.startswith("error: ") and "/no/such/python" in said and said.count("\n") == 1
    python = subprocess.run(["sh", "-c", "command -v false"], capture_output=True, text=True, check=True).stdout.strip()
    with pytest.raises(ValueError, match="^zigzag failed with .*: install what run_zigzag.py names there$"):
        renew("zigzag", python)
