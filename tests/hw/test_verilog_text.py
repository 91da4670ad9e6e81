"""Rewritten Verilog does what the original does: both are run side by side on random inputs."""

import re
import subprocess

import pytest
from amaranth import *
from amaranth.back import verilog
from amaranth.lib import wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from hw.verilog_text import tidy
from sim.build import VERILATOR_FLAGS, run_tool
from sim.toolchain import find_toolchain

CYCLES = 2000

MAIN = f"""
#include <cstdint>
#include <cstdio>
#include "Vtop.h"
int main() {{
    Vtop top;
    uint64_t state = 88172645463325252;
    for (int cycle = 0; cycle < {CYCLES}; ++cycle) {{
        state ^= state << 13; state ^= state >> 7; state ^= state << 17;
        top.rst = cycle == 0 || (state >> 58) == 0;
        top.enable = state & 7; top.choice = state >> 8 & 7; top.parts = state >> 11 & 15;
        top.address = state >> 15 & 3; top.data = state >> 24;
        top.clk = 0; top.eval(); top.clk = 1; top.eval();
        for (const auto& sample : {{top.original, top.tidied, top.others}})
            std::printf("%08x%08x%08x ", sample[2], sample[1], sample[0]);
        std::printf("\\n");
    }}
}}
"""


class Sample(wiring.Component):
    """Registers of every kind, and a memory that is written in parts."""

    def __init__(self):
        super().__init__({"enable": In(3), "choice": In(3), "parts": In(4), "address": In(2), "data": In(32),
                          "kept": Out(32), "counted": Out(16), "read": Out(32)})

    def elaborate(self, platform):
        m = Module()
        m.submodules.memory = memory = Memory(shape=32, depth=4, init=[])
        write, read = memory.write_port(granularity=8), memory.read_port()
        m.d.comb += [write.en.eq(self.parts), write.addr.eq(self.address), write.data.eq(self.data),
                     read.addr.eq(self.address), read.en.eq(self.enable[0]), self.read.eq(read.data)]
        with m.If(self.enable[0]):
            m.d.sync += self.kept.eq(self.data)
        with m.If(self.enable[1]):
            m.d.sync += self.kept[4:9].eq(self.choice)
        # Against the assignments above: keep the value after all.
        with m.If(self.enable[2]):
            m.d.sync += self.kept.eq(self.kept)
        with m.Switch(self.choice):
            with m.Case(0, 3):
                m.d.sync += self.counted.eq(self.counted + 1)
            with m.Case(5):
                m.d.sync += self.counted[8:].eq(self.data)
            with m.Default():
                with m.If(self.enable[1]):
                    m.d.sync += self.counted.eq(self.counted ^ self.kept)
        return m


@pytest.fixture(scope="module")
def texts():
    original = verilog.convert(Sample(), name="sample", emit_src=False, strip_internal_attrs=True)
    return original, tidy(original)


def test_every_form_is_rewritten(texts):
    original, tidied = texts
    # The memory's zeros, both registers, and the memory's writes.
    assert "memory[3] = " in original and "memory[3] = " not in tidied
    assert len(re.findall(r"always @\*", original)) == 2 and "always @*" not in tidied and "$auto$" not in tidied
    assert tidied.count("`ifdef VERILATOR") == 1


def test_the_same_happens(texts, tmp_path):
    original, tidied = texts
    # The last one without what only Verilator sees.
    variants = {"original": original, "tidied": tidied, "others": tidied.replace("`ifdef VERILATOR", "`ifdef NEVER")}
    inputs = "input clk, input rst, input [2:0] enable, input [2:0] choice, input [3:0] parts, input [1:0] address, " \
             "input [31:0] data"
    names = re.findall(r"(\w+)(?:,|$)", inputs)
    outputs = ", ".join(f"output [79:0] {name}" for name in variants)
    instances = "\n".join(
        f"sample_{name} {name}_ ({', '.join(f'.{port}({port})' for port in names)}, .kept({name}[31:0]), "
        f".counted({name}[47:32]), .read({name}[79:48]));" for name in variants)
    (tmp_path / "top.v").write_text("\n".join((
        f"module top({inputs}, {outputs});\n{instances}\nendmodule",
        *(text.replace("module sample(", f"module sample_{name}(") for name, text in variants.items()))))
    (tmp_path / "main.cpp").write_text(MAIN)
    toolchain = find_toolchain()
    run_tool([toolchain.verilator, "--cc", "--exe", "--top-module", "top", "--prefix", "Vtop", "-Mdir", "model",
              "-o", "top", *VERILATOR_FLAGS, "top.v", "main.cpp"], toolchain, tmp_path)
    run_tool(["make", "-C", "model", "-f", "Vtop.mk", *toolchain.make_variables], toolchain, tmp_path)
    result = subprocess.run([tmp_path / "model" / "top"], check=True, capture_output=True, text=True).stdout
    rows = [line.split() for line in result.splitlines()]
    assert len({row[0] for row in rows}) > CYCLES // 2
    assert all(row[0] == row[1] == row[2] for row in rows)
