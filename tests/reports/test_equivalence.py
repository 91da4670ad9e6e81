"""ECP5 blocks in every mode that engines use: what Yosys makes of their RTL, with our models, against that RTL."""

import re
import subprocess

import pytest

from arch.config import EngineConfig
from golden import bundled, datasets, packed
from reports.equivalence import (
    MODES, block_modes, equivalence, first_layers, simulation_verilog, synthesised, with_flips,
)
from reports.tools import find_yosys
from sim.build import verilate
from sim.toolchain import find_toolchain

# Every memory starts with contents that tell its words apart.
MEMORY = """
module words_{name}(input clk, input enable, input [{address}:0] to, from, input [{last}:0] data,
        input [{bytes}:0] write, output reg [{last}:0] read);
    reg [{last}:0] memory [0:{depth} - 1];
    integer i;
    initial for (i = 0; i < {depth}; i = i + 1) memory[i] = i * 36'd40503 + (i >> 3);
    initial read = 0;
    always @(posedge clk) begin
        for (i = 0; i <= {bytes}; i = i + 1) if (write[i]) memory[to][9 * i +: 9] <= data[9 * i +: 9];
        if ({enable}) read <= memory[{place}];
    end
endmodule
"""
# Two to read, one of which also writes.
SHARED = """
module shared(input clk, input enable, input [9:0] to, from, input [17:0] data, input write,
        output reg [17:0] own, read);
    reg [17:0] memory [0:1023];
    integer i;
    initial for (i = 0; i < 1024; i = i + 1) memory[i] = i * 40503 + (i >> 3);
    initial {own, read} = 0;
    always @(posedge clk) begin
        if (write) memory[to] <= data;
        if (enable && !write) own <= memory[to];
        if (enable) read <= memory[{!to[9], from[8:0]}];
    end
endmodule
"""
OUTPUTS = {"words_36": 36, "words_36_enabled": 36, "words_18": 18, "words_9": 9, "shared": 36, "signed": 36,
           "unsigned": 36, "lut": 1}
_BLOCKS = """
module blocks(input clk, input enable, input [10:0] to, from, input [35:0] data, input [3:0] write,
        output [35:0] words_36, words_36_enabled, output [17:0] words_18, output [8:0] words_9, output [35:0] shared,
        signed_, unsigned_, output lut);
    words_36 a(clk, 1'b1, to[8:0], from[8:0], data, write, words_36);
    words_36_enabled b(clk, enable, to[8:0], from[8:0], data, write, words_36_enabled);
    words_18 c(clk, enable, to[9:0], from[9:0], data[17:0], write[1:0], words_18);
    words_9 d(clk, enable, to, from, data[8:0], write[0], words_9);
    shared e(clk, enable, to[9:0], from[9:0], data[17:0], write[0], shared[35:18], shared[17:0]);
    assign signed_ = $signed(data[17:0]) * $signed(data[35:18]);
    assign unsigned_ = data[17:0] * data[35:18];
    assign lut = data[0] & data[1] ^ data[2] | data[3];
endmodule
"""


def _blocks(place: str) -> str:
    """The blocks, of which those with one port to read do so at ``place``."""
    return _BLOCKS + "".join(
        MEMORY.format(name=name, last=width - 1, depth=18432 // width, address=depth_bits - 1, bytes=width // 9 - 1,
                      enable=enable, place=place.format(top=depth_bits - 1, below=depth_bits - 2))
        for name, width, depth_bits, enable in (("36", 36, 9, "1'b1"), ("36_enabled", 36, 9, "enable"),
                                                ("18", 18, 10, "enable"), ("9", 9, 11, "enable"))) + SHARED


BLOCKS = _blocks("{{!to[{top}], from[{below}:0]}}")
"""Nothing is read that is just written."""

COLLIDING = _blocks("from")
_WIRES = "".join(f"    wire [{width - 1}:0] {name}_{side};\n" for side in "ab" for name, width in OUTPUTS.items())
_SIDES = "".join(f"    {module} {side}(clk, enable, to, from, data, write, "
                 f"{', '.join(f'{name}_{side}' for name in OUTPUTS)});\n"
                 for module, side in (("blocks", "a"), ("netlist", "b")))
BENCH = f"""
module bench(input clk, input enable, input [10:0] to, from, input [35:0] data, input [3:0] write,
        output reg [{len(OUTPUTS) - 1}:0] wrong);
{_WIRES}{_SIDES}
    initial wrong = 0;
    always @(posedge clk) wrong <= wrong | {{{', '.join(f'{name}_a != {name}_b' for name in reversed(OUTPUTS))}}};
endmodule
"""
MAIN = """
#include <cstdio>
#include <random>
#include "Vtop.h"

int main(int argc, char** argv) {
    Verilated::commandArgs(argc, argv);
    Vtop top;
    std::mt19937_64 random(1);
    for (int cycle = 0; cycle < 100'000; ++cycle) {
        // Few addresses in every other stretch: then reads and writes often meet.
        const unsigned mask = cycle >> 10 & 1 ? 0x3 : 0x7ff;
        top.to = random() & mask;
        top.from = random() & mask;
        top.data = random() & 0xfffffffff;
        top.write = random() & random() & 0xf;
        top.enable = random() & 3 ? 1 : 0;
        for (int clk = 0; clk < 2; ++clk) {
            top.clk = clk;
            top.eval();
        }
    }
    std::printf("%d\\n", top.wrong);
}
"""


@pytest.fixture(scope="module")
def yosys():
    return find_yosys()


@pytest.fixture(scope="module")
def blocks(yosys):
    return synthesised(BLOCKS, "blocks", yosys)


def luts(netlist):
    return re.findall(r"^  LUT4 #\(.*?^  \);", netlist, re.DOTALL | re.MULTILINE)


def wrong(netlist, yosys, folder, flip=0, rtl=BLOCKS):
    """Blocks whose netlist does other than their RTL, with a bit of its ``flip``-th LUT inverted."""
    switched = with_flips(netlist, len(luts(netlist)))
    mapped = simulation_verilog(switched, "blocks", yosys).replace("module blocks", "module netlist")
    (folder / "main.cpp").write_text(MAIN)
    model = verilate({"blocks.v": rtl, "netlist.v": mapped, "bench.v": BENCH}, [folder / "main.cpp"], top="bench",
                     toolchain=find_toolchain())
    found = int(subprocess.run([model, f"+flip={flip}"], capture_output=True, text=True, check=True).stdout)
    return [name for bit, name in enumerate(OUTPUTS) if found >> bit & 1]


def test_blocks_do_what_the_rtl_does_that_they_come_from(blocks, yosys, tmp_path):
    assert block_modes(blocks).keys() == MODES
    assert wrong(blocks, yosys, tmp_path) == []


def test_a_word_that_is_read_while_it_is_written_is_another_one(yosys, tmp_path):
    netlist = synthesised(COLLIDING, "blocks", yosys)
    assert block_modes(netlist).keys() == MODES
    assert wrong(netlist, yosys, tmp_path, rtl=COLLIDING) == [name for name in OUTPUTS if name.startswith("words")]


def test_one_bit_of_a_lut_is_seen(blocks, yosys, tmp_path):
    number, = (number for number, text in enumerate(luts(blocks), 1)
               if len(re.findall(r"\.[A-D]\(data\[[0-3]\]\)", text)) == 4)
    assert wrong(blocks, yosys, tmp_path, flip=number) == ["lut"]


def test_an_unknown_mode_is_refused(blocks, yosys):
    other = blocks.replace('.REGMODE_A("NOREG")', '.REGMODE_A("OUTREG")', 1)
    with pytest.raises(RuntimeError, match=r'no tested model of DP16KD: .*; REGMODE_A "OUTREG": add it to MODES'):
        simulation_verilog(other, "blocks", yosys)


def test_more_flips_than_luts_are_refused(blocks):
    with pytest.raises(ValueError, match=rf"flips must be 0 to {len(luts(blocks))}, the LUTs of the netlist, not 9999"):
        with_flips(blocks, 9999)


def test_more_layers_than_the_network_has_are_refused():
    with pytest.raises(ValueError, match="layers must be 1 to 10, those of .*, not 11"):
        first_layers(packed.load(bundled.find("fashion-n3")), 11)


@pytest.mark.nightly
def test_the_netlist_of_an_engine_runs_a_layer_as_the_rtl_and_the_integer_model_do(yosys):
    network = first_layers(packed.load(bundled.find("fashion-n3")), 1)
    result = equivalence(EngineConfig.preset("tiny", lane="planes"), network,
                         datasets.load(bundled.IMAGES, "test").images[:1], yosys=yosys, flips=8)
    assert result.modes.keys() <= MODES
    assert result.differences == ()
    # Of most LUTs the layer does not use this entry of the table.
    assert any(result.flips)
