"""Small designs through Yosys and nextpnr, for every target."""

import dataclasses
import json
import shutil

import pytest
from amaranth import Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out
from matplotlib import pyplot

from arch.config import EngineConfig
from hw.column import Column
from hw.masks import MaskBuffer
from hw.rtl import BUSES
from reports.synth import floorplan
from reports.synth.blocks import BLOCKS, HARNESS, RESERVED, block_of, column_module, instances, kept_modules
from reports.synth.flow import Board, synth
from reports.synth.harness import HARNESS_MODULE, Design, accelerator_design, component_design
from reports.synth.preplace import preplace
from reports.synth.targets import TARGETS
from topcoat.cli import main

COST = {"lut", "ff", "bram", "dsp", "lut_per_lane"}

# The smallest device of the family, where it is not the target's own: the run is shorter.
BOARDS = {"ecp5": Board(device="25k", package="CABGA256")}

HIERARCHY = """
module topcoat_column (
  input clk, input [7:0] a, input [7:0] b, output reg [15:0] y
);
  always @(posedge clk) y <= a * b;
endmodule
module topcoat_engine_array (
  input clk, input [7:0] a, input [7:0] b, output [15:0] y
);
  topcoat_column u_column_0 (
    .clk(clk), .a(a), .b(b), .y(y)
  );
endmodule
module topcoat_engine (
  input clk, input [7:0] a, input [7:0] b, output [15:0] y
);
  topcoat_engine_array u_array (
    .clk(clk), .a(a), .b(b), .y(y)
  );
endmodule
module topcoat_axi (
  input clk, input [7:0] a, input [7:0] b, output [15:0] y, output reg [15:0] z
);
  topcoat_engine u_engine (
    .clk(clk), .a(a), .b(b), .y(y)
  );
  always @(posedge clk) z <= (a + 8'd1) * (b + 8'd3);
endmodule
module topcoat_harness (
  input clk, input [7:0] a, input [7:0] b, output [15:0] y, output [15:0] z
);
  topcoat_axi dut (
    .clk(clk), .a(a), .b(b), .y(y), .z(z)
  );
endmodule
"""


class Delay(wiring.Component):
    """A register of 8 bits."""

    def __init__(self):
        super().__init__({"enter": In(8), "leave": Out(8)})

    def elaborate(self, platform):
        m = Module()
        value = Signal(8, reset_less=True)
        m.d.sync += value.eq(self.enter)
        m.d.comb += self.leave.eq(value)
        return m


def _column() -> Design:
    return component_design(Column(EngineConfig.preset("tiny", lanes=4, weight_bits=2, lane="planes")))


@pytest.mark.parametrize("target", [name for name, target in TARGETS.items() if target.nextpnr])
def test_a_column_is_routed(target, tmp_path):
    report = synth(_column(), target, route=True, board=BOARDS.get(target, Board()))
    total = report.total
    assert total.lut > 50 and total.dsp == 0
    assert sum(block.ff for block in report.blocks.values()) == total.ff > report.blocks[HARNESS].ff > 0
    assert 20 < report.routed.fmax_mhz < 1000
    assert {cell.block for cell in report.routed.cells} >= set(report.blocks)
    columns, rows = TARGETS[target].grids[report.routed.board.device]
    assert all(0 <= cell.column < columns and 0 <= cell.row < rows for cell in report.routed.cells)
    assert set(report.tool_versions) == {"yosys", "nextpnr"}
    floorplan.draw(report, tmp_path / "plan.png", "a column")
    # More of the design's colour than its square in the legend.
    picture = (255 * pyplot.imread(tmp_path / "plan.png")[:, :, :3]).round().astype(int)
    assert (picture == (0xd9, 0xb4, 0x4a)).all(axis=2).sum() > 1500


def test_blocks_are_where_we_place_them(tmp_path, monkeypatch):
    """And no logic is where it is kept out, which no figure counts; nextpnr gets the options for that, or others in
    place of them."""
    chosen, reserved, stages = {}, set(), []

    def watched(cells, target, device, **options):
        preplace(cells, target, device, **options)
        for name, cell in cells.items():
            if bel := cell["attributes"].get("BEL"):
                column, row, _ = bel.split("/")
                place = int(column[1:]), int(row[1:])
                if name.startswith(RESERVED):
                    reserved.add(place)
                else:
                    chosen[name] = place

    monkeypatch.setattr("reports.synth.preplace.preplace", watched)
    board = dataclasses.replace(BOARDS["ecp5"], preplace=True)
    assert dataclasses.replace(board, place_and_route=("--placer", "heap")).on(TARGETS["ecp5"]).place_and_route == (
        "--placer", "heap")
    # What repeats the routing until the aim is met is for an aim that someone has set.
    assert [dataclasses.replace(board, frequency=aim).on(TARGETS["ecp5"]).place_and_route[4:] for aim in (0, 50)] == [
        (), ("--tmg-ripup",)]
    design = component_design(MaskBuffer(EngineConfig.preset("tiny")))
    report = synth(design, "ecp5", route=True, board=board, progress=stages.append, cache=tmp_path)
    assert len(chosen) == report.total.bram + report.total.dsp > 0
    logic = [(cell.column, cell.row) for cell in report.routed.cells if cell.type == "TRELLIS_COMB"]
    assert reserved and not reserved & set(logic)
    assert report.routed.used["TRELLIS_COMB"][0] == len(logic)
    assert sorted((cell.column, cell.row) for cell in report.routed.cells if cell.type == "DP16KD") == sorted(
        chosen.values())
    assert {"nextpnr: Running Static placer", "nextpnr: Running router2"} <= set(stages)
    assert any(stage.startswith("nextpnr: iter=") for stage in stages)


def test_scipy_is_missed_before_synthesis(monkeypatch):
    monkeypatch.setattr("reports.synth.flow.find_spec", lambda name: None)
    with pytest.raises(RuntimeError, match="^no scipy found for --preplace: install it"):
        synth(component_design(Delay()), "ecp5", route=True, board=Board(preplace=True), yosys="no-such-yosys")


def test_results_have_their_keys_and_come_from_the_cache_the_second_time(tmp_path):
    stages, design = [], component_design(Delay())
    first = synth(design, "xc7", progress=stages.append, cache=tmp_path).to_json()
    assert stages[0] == "Yosys: begin of topcoat_harness"
    assert set(first) == {"target", "blocks", "fmax_mhz", "tool_versions", "verilog_sha256"} | COST
    assert all(set(block) == COST for block in first["blocks"].values())
    assert first["fmax_mhz"] is None and first["verilog_sha256"] == design.sha256
    stages.clear()
    assert synth(design, "xc7", progress=stages.append, cache=tmp_path).to_json() == first
    assert not stages
    # Another design is another entry.
    assert synth(Design(design.verilog + "\n"), "xc7", progress=stages.append, cache=tmp_path).blocks and stages


def test_a_harness_has_a_register_at_every_port_and_keeps_them_all(tmp_path):
    report = synth(component_design(Delay()), "ecp5", cache=tmp_path)
    # Of the design 8; input, output and its second shift register 8 each; the reset is not used.
    assert report.total.ff == 8 + 3 * 8
    assert report.blocks[HARNESS].ff == 3 * 8


@pytest.mark.parametrize("target", ["ecp5", "ice40", "nexus", "xc7"])
def test_columns_have_no_multiplier_blocks_and_the_rest_has(target, tmp_path):
    report = synth(Design(HIERARCHY, lanes=4), target, cache=tmp_path)
    assert report.total.dsp == 1 and report.blocks["columns"].dsp == 0 < report.blocks["columns"].lut
    assert report.to_json()["lut_per_lane"] == report.blocks["columns"].lut / 4


def test_a_design_too_large_says_what_is_short():
    with pytest.raises(RuntimeError, match=r"^the design does not fit lp384 qn32: it needs ICESTORM_LC \d+ of 384"):
        synth(component_design(MaskBuffer(EngineConfig.preset("tiny"))), "ice40", route=True,
              board=Board(device="lp384", package="qn32"))


def test_columns_may_have_multiplier_blocks(tmp_path):
    report = synth(Design(HIERARCHY, lanes=4), "ecp5", dsp=True, cache=tmp_path)
    assert report.total.dsp == 2 and report.blocks["columns"].dsp == 1


@pytest.mark.parametrize("bus", BUSES)
def test_every_block_of_an_engine_has_its_modules(bus):
    verilog = accelerator_design(EngineConfig.preset("tiny", lane="planes"), bus).verilog
    found = instances(verilog, HARNESS_MODULE)
    kept = kept_modules(verilog, HARNESS_MODULE)
    assert column_module(verilog, HARNESS_MODULE) == "topcoat_column" not in kept
    blocks = {block_of(f"{path}.cell") for path, module in found.items() if module in kept}
    assert blocks | {"columns"} == set(BLOCKS)


def test_an_accelerator_is_what_topcoat_verilog_writes(tmp_path, capsys):
    assert main(["verilog", "--preset", "tiny", "--lane", "planes", "-o", str(tmp_path)]) == 0
    design = accelerator_design(EngineConfig.preset("tiny", lane="planes")).verilog
    files = sorted((tmp_path / "rtl").rglob("*.v"))
    assert files and [path.name for path in files if path.read_text() not in design] == []
    # And nothing else but the harness.
    assert design.count("\nendmodule") == len(files) + 1


@pytest.mark.parametrize("cell, block", [
    ("dut.u_engine.u_load_queue.u_fifo.cell", "queues and counters"),
    ("$flatten\\dut.$flatten\\u_engine.\\u_array.$flatten\\u_column_12.$abc$1$lut", "columns"),
    ("dut.u_engine.u_post.u_requantiser.product", "requantiser"), ("serial_in_IB", "harness"),
    ("$nextpnr_CCU2C_1$CCU2_COMB0", "added by nextpnr"), ("$abc$7$lut", "harness")])
def test_cells_belong_to_blocks(cell, block):
    assert block_of(cell) == block


@pytest.mark.parametrize("arguments, message", [
    (["--target", "xc7", "--route"], "xc7 is for synthesis only, nextpnr does not route it: leave out --route"),
    (["--target", "nexus", "--package", "CABGA256"], "--package is part of the device's name for nexus"),
    (["--target", "nexus", "--device", "LIFCL-17-9BG256C"], "--device LIFCL-17-9BG256C needs --pins: places in"),
    (["--target", "gowin", "--pins", "A1,A2"], "--pins must be places for clk, rst, serial_in, serial_out, not A1,A2"),
    (["--target", "ecp5", "--pins", "A1,A2,A3,A4"], "nextpnr places the pins for ecp5 itself"),
    (["--target", "nexus", "--freq", "50"], "--freq is not for nexus, whose clock is the device's oscillator"),
    (["--target", "gowin", "--route", "--preplace"],
     "--preplace is for ecp5's 25k, 45k, 85k: leave it out for GW5AST-LV138PG484AC1/I0"),
    (["--preplace"], "--preplace and --place-and-route are about routing: add --route"),
    (["--freq", "-1"], "--freq must be positive"),
    (["--yosys", "no-such-yosys"], "no Yosys found (tried no-such-yosys)"),
    (["--route", "--nextpnr", "no-such-nextpnr"], "no nextpnr-ecp5 found (tried no-such-nextpnr)")])
def test_what_cannot_be_is_one_line(arguments, message, capsys):
    assert main(["synth", "--preset", "tiny", *arguments]) == 1
    errors = capsys.readouterr().err.splitlines()
    assert errors[-1].startswith(f"topcoat synth: error: {message}")


def test_without_tools_the_extra_is_named(monkeypatch, capsys):
    monkeypatch.setattr(shutil, "which", lambda name: None)
    assert main(["synth", "--preset", "tiny"]) == 1
    assert "pip install -c constraints.txt -e '.[synth]'" in capsys.readouterr().err


def test_an_interrupted_run_leaves_nothing(tmp_path):
    def interrupt(stage):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        synth(component_design(Delay()), "ecp5", progress=interrupt, cache=tmp_path)
    assert not [path for path in tmp_path.iterdir() if path.suffix != ".lock"]


def test_the_command_writes_verilog_json_and_prints_json_alone(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr("topcoat.commands.synth.accelerator_design", lambda config, bus: Design(HIERARCHY, lanes=4))
    assert main(["synth", "--preset", "tiny", "--target", "xc7", "-o", str(tmp_path), "--json"]) == 0
    values = json.loads(capsys.readouterr().out)
    assert values == json.loads((tmp_path / "synth.json").read_text())
    assert values["target"] == "xc7" and (tmp_path / "design.v").read_text() == HIERARCHY
