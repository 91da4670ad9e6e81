"""The command of docs/lane.md."""

import pytest

from arch.config import LANES
from reports import lanes
from reports.lanes import LaneCost, main

COST = LaneCost(variant=LANES[0], weight_bits=2, logic=2.5, slots=1.25, flip_flops=3.)


@pytest.mark.parametrize("arguments, row", [
    (["ecp5"], "| 2 | multiplier | 2.5 | 1.2 | 3.8 | 3.0 |"),
    (["mylib", "--liberty", "my.lib"], "| 2 | multiplier | 2.5 |")])
def test_fpgas_have_slots_and_flip_flops_of_their_own(arguments, row, monkeypatch, capsys):
    monkeypatch.setattr(lanes, "lane_costs", lambda *_, **__: iter([COST]))
    assert main([*arguments, "--yosys", "true"]) == 0
    header, line, shown = capsys.readouterr().out.splitlines()
    assert shown == row and header.count("|") == line.count("|") == row.count("|")


@pytest.mark.parametrize("yosys, message", [
    ("/no/such/yosys", "no Yosys found"), ("true", "No such file or directory")])
def test_what_is_missing_is_one_line(yosys, message, tmp_path, capsys):
    assert main(["mylib", "--liberty", str(tmp_path / "my.lib"), "--yosys", yosys]) == 1
    line, = (line for line in capsys.readouterr().err.splitlines() if "lane/s" not in line and line)
    assert line.startswith("error: ") and message in line
