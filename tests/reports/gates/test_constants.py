"""The measured sets in reports/constants."""

import json

import pytest

from arch.config import PRESETS, EngineConfig
from reports.area.blocks import Sample
from reports.area.library import Library
from reports.costs import FOLDER, cost_set
from reports.energy import prices
from reports.gates.blocks import PARTS
from reports.gates.constants import command, measured_sets, stale_blocks, write_set
from reports.gates.measure import RUNS, engine

SETS = measured_sets()


def content(name: str) -> dict:
    return json.loads((FOLDER / f"{name}.json").read_text())


def test_there_are_sets():
    assert SETS == ["asap7-7", "sky130hd-130"]


@pytest.mark.parametrize("name", SETS)
def test_they_are_of_this_rtl(name):
    assert not stale_blocks(name), f"{name} is of other RTL: renew it with `{content(name)['command']}`"


def test_a_block_of_other_rtl_is_found(tmp_path, monkeypatch):
    values = content(SETS[0])
    values["blocks"][0].update(verilog="0" * 64, sources="0" * 64)
    values["blocks"][1].update(sources="0" * 64)
    write_set(tmp_path / f"{SETS[0]}.json", values)
    monkeypatch.setattr("reports.gates.constants.FOLDER", tmp_path)
    block = values["blocks"][0]
    assert stale_blocks(SETS[0]) == [str(Sample(block["block"], block["preset"], tuple(block["overrides"].items())))]


@pytest.mark.parametrize("dont_use, options", [(None, ""), (["*dly*", "x"], " --dont-use '*dly*' x"),
                                               ([], " --dont-use")])
def test_the_command_names_unusual_choices(dont_use, options, tmp_path):
    file = tmp_path / "typical.lib"
    file.write_text("library (typical) {}")
    library = Library.known("sky130hd", [file], dont_use=dont_use)
    assert command(library, 130) == f"python -m reports.gates sky130hd --node 130 --liberty typical.lib{options}"


@pytest.mark.parametrize("name", SETS)
def test_where_they_come_from(name):
    values = content(name)
    library, node = name.split("-")
    assert values["command"].startswith(f"python -m reports.gates {library} --node {node} --liberty ")
    assert values["versions"]["yosys"].startswith("Yosys ") and values["versions"]["amaranth"]
    assert values["liberty"] and all(len(digest) == 64 for digest in values["liberty"].values())
    measured = [(block["block"], Sample(block["block"], block["preset"], tuple(block["overrides"].items())).config)
                for block in values["blocks"]]
    assert measured == [(part.block, engine(width)) for index, width in enumerate(RUNS) for part in PARTS
                        if part.by_weight_bits or not index]
    assert all(0 < block["glitches"] < 1 and block["flops"] < block["cells"] for block in values["blocks"])


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("name", SETS)
def test_prices(name, preset):
    costs, found = cost_set(name), {}
    for width in RUNS:
        config = EngineConfig.preset(preset, weight_bits=width)
        found[width] = {(price.component, price.action): price.pj for price in prices(config, costs)}
        mac, zero, idle = (found[width]["array", f"{kind}_macs"] for kind in ("nonzero", "zero", "idle"))
        assert 0 < zero == idle < .3 * mac
        assert 0 < found[width]["clock", "cycles"]
    assert found[2]["array", "nonzero_macs"] < found[4]["array", "nonzero_macs"] < found[8]["array", "nonzero_macs"]
    assert found[4]["generator", "generator_blocks"] == found[8]["generator", "generator_blocks"] > 0
    # A sign costs what the multiply-accumulate does that it is for, which is done for many pixels.
    assert found[4]["generator", "generator_blocks"] / 64 < 1.05 * found[4]["array", "nonzero_macs"]
    assert costs.uncovered == ()


def test_an_action_is_priced_alike_in_both_nodes():
    """130 nm at 1.8 V over 7 nm at .7 V: the same for all blocks, within a factor."""
    old, new = ({(price.component, price.action, price.weight_bits): price.pj for price in cost_set(name).measured}
                for name in ("sky130hd-130", "asap7-7"))
    ratios = [old[key] / new[key] for key in old if new[key]]
    assert old.keys() == new.keys() and len(ratios) == len(old) - 1 and 25 < min(ratios) <= max(ratios) < 60
