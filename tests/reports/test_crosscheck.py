"""Cross-checks: records are of the present model, and the page's tables are of the records."""

import subprocess
import sys
from pathlib import Path

import pytest

from reports.actions import LayerRecord
from reports.crosscheck import nvdla
from reports.crosscheck.__main__ import main
from reports.crosscheck.problem import Case
from reports.crosscheck.record import TOOLS, load, renew
from reports.crosscheck.tables import TABLES

PAGE = Path(__file__).parents[2] / "docs" / "crosschecks.md"


@pytest.fixture(scope="module")
def case():
    return Case.of("resnet18", "base")


@pytest.mark.parametrize("tool", TOOLS)
def test_record_is_of_the_present_model(case, tool):
    record = load(tool)
    recorded, present = dict(record["problem"]), case.problem()
    assert present.pop("layers") == recorded.pop("layers")
    assert present.keys() == recorded.keys()
    for name, value in present.items():
        assert recorded[name] == (pytest.approx(value) if isinstance(value, float) else value), name
    for ours, recorded in zip(case.ours(), record["ours"], strict=True):
        assert {**ours, "pj": None} == {**recorded, "pj": None}, f"renew it: {record['command']} --run PYTHON"
        assert ours["pj"] == pytest.approx(recorded["pj"])


def test_layers_add_up_to_the_design(case):
    """But for the descriptors, which belong to no layer."""
    program = LayerRecord(program_bytes=case.costs.estimate.bytes["program_bytes"])
    assert sum(case.records(), program) == case.costs.record
    energy, = case.costs.energy.energies
    total = sum(sum(row["pj"].values()) for row in case.ours())
    assert total + energy.dram["program"] == pytest.approx(energy.total_pj, rel=1e-6)


def test_zigzag_agrees_where_it_should():
    """Cycles of every layer to 4 %, weights to 2 %; of activations it moves every map, as methods count them."""
    record = load("zigzag")
    for ours, theirs in zip(record["ours"], record["theirs"], strict=True):
        found = theirs["engine"]
        assert ours["name"] == theirs["name"]
        assert ours["cycles"] == pytest.approx(found["cycles"], rel=.04)
        assert ours["bytes"]["mask_bytes"] == pytest.approx(found["bytes"]["W"], rel=.02)
    moved = sum(theirs["engine"]["bytes"][name] for theirs in record["theirs"] for name in "IO")
    skipped = sum(3 * layer["input"][0] * layer["input"][1] * layer["in_channels"] // 4
                  for layer in record["problem"]["layers"] if layer["kernel"] == 1 and layer["stride"] == 2)
    wide = 3 * 1000
    assert moved + skipped - wide == pytest.approx(4.67e6, rel=.001)


@pytest.mark.parametrize("index", range(len(nvdla.PUBLISHED)), ids=lambda index: str(nvdla.PUBLISHED[index].macs))
def test_nvdla_record_is_of_the_present_model(index):
    assert nvdla.compare(nvdla.PUBLISHED[index]) == load("nvdla")["rows"][index]


@pytest.mark.parametrize("tool", TABLES)
def test_page_shows_the_records(tool, capsys):
    assert main_with(tool) == 0
    shown = capsys.readouterr().out
    for table in TABLES[tool]:
        assert table(load(tool)) in shown
        assert table(load(tool)) in PAGE.read_text()


def main_with(*arguments: str) -> int:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["crosscheck", *arguments])
        return main()


def test_missing_record_and_missing_tool_are_one_line(capsys):
    assert main_with("zigzag", "--preset", "tiny") == 1
    assert capsys.readouterr().err.count("\n") == 1
    python = subprocess.run(["sh", "-c", "command -v false"], capture_output=True, text=True, check=True).stdout.strip()
    with pytest.raises(ValueError, match="^zigzag failed with .*: install what run_zigzag.py names there$"):
        renew("zigzag", python)
