"""Rewritten modules do what the originals do, and no linter minds them: random expressions side by side."""

import random
import re
import subprocess

import pytest
from amaranth import *
from amaranth.back import verilog
from amaranth.lib import wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from hw.verilog_names import Names, name_nets
from hw.verilog_print import print_module
from hw.verilog_rewrite import rewrite
from hw.verilog_syntax import parse
from hw.verilog_text import portable
from sim.build import run_tool
from sim.toolchain import find_toolchain

SEEDS = 8
CYCLES = 3000
INPUTS = {"a": 1, "b": 3, "c": 4, "d": 7, "e": 8, "f": 13}
OUTPUTS = {"wide": 24, "narrow": 5, "kept": 16, "read": 8}

MAIN = f"""
#include <cstdint>
#include <cstdio>
#include "Vtop.h"
int main() {{
    Vtop top;
    uint64_t state = 88172645463325252, seen = 0;
    for (int cycle = 0; cycle < {CYCLES}; ++cycle) {{
        state ^= state << 13; state ^= state >> 7; state ^= state << 17;
        top.rst = cycle == 0;
        top.inputs = state;
        top.clk = 0; top.eval(); top.clk = 1; top.eval();
        if (cycle > 1 && top.differs) {{ std::printf("cycle %d: %x\\n", cycle, top.differs); return 1; }}
        seen |= uint64_t(1) << (top.digest & 63);
    }}
    std::printf("%d\\n", __builtin_popcountll(seen));
}}
"""


class Inner(wiring.Component):
    """One of its outputs is not used, nor what only that is made of."""

    def __init__(self):
        super().__init__({"x": In(9), "unused": In(4), "y": Out(10), "spare": Out(3)})

    def elaborate(self, platform):
        m = Module()
        m.d.comb += [self.y.eq(self.x[2:] + self.x[:4]), self.spare.eq(self.unused + self.x[:3])]
        return m


class Sample(wiring.Component):
    """Random expressions of all operators, in processes and outside, over a memory and a submodule."""

    def __init__(self, seed: int):
        self._rng = random.Random(seed)
        super().__init__({**{name: In(bits) for name, bits in INPUTS.items()},
                          **{name: Out(bits) for name, bits in OUTPUTS.items()}})

    def _leaf(self) -> Value:
        rng = self._rng
        if rng.random() < .15:
            return Const(rng.getrandbits(4), 4)
        value = getattr(self, rng.choice(list(INPUTS)))
        if rng.random() < .3:
            low = rng.randrange(len(value))
            value = value[low:rng.randint(low + 1, len(value))]
        return value.as_signed() if rng.random() < .3 else value

    def expression(self, depth: int) -> Value:
        rng = self._rng
        if depth == 0:
            return self._leaf()

        def inner() -> Value:
            value = self.expression(depth - 1)
            return value[:20] if len(value) > 20 else value

        match rng.randrange(13):
            case 0 | 1:
                return inner() + inner()
            case 2:
                return inner() - inner()
            case 3:
                return inner()[:6] * inner()[:6].as_signed()
            case 4:
                return rng.choice((inner() & inner(), inner() | inner(), inner() ^ inner()))
            case 5:
                return rng.choice((~inner(), -inner()))
            case 6:
                return rng.choice((inner() == inner(), inner() < inner(), inner() >= inner(), inner() != inner()))
            case 7:
                return rng.choice((inner().any(), inner().all(), inner().xor(), inner().bool(), ~inner().bool()))
            case 8:
                return Mux(inner(), inner(), inner())
            case 9:
                return Cat(inner(), inner()[:3].replicate(2))
            case 10:
                return inner() >> inner()[:3]
            case 11:
                return inner()[:8] << inner()[:2]
            case 12:
                value = inner()
                return value[:rng.randint(1, len(value))]

    def elaborate(self, platform):
        m = Module()
        m.submodules.inner = inner = Inner()
        m.submodules.memory = memory = Memory(shape=8, depth=8, init=[3, 1, 4])
        write, read = memory.write_port(granularity=4), memory.read_port()
        middle = Signal(11)
        m.d.comb += [
            inner.x.eq(self.expression(2)),
            inner.unused.eq(self.d),
            middle.eq(self.expression(3) + inner.y),
            self.wide.eq(self.expression(4) + middle),
            write.en.eq(self.expression(1)), write.addr.eq(self.b), write.data.eq(self.expression(2)),
            read.addr.eq(self.c), read.en.eq(self.a), self.read.eq(read.data),
        ]
        with m.If(self.expression(2).bool()):
            m.d.comb += self.narrow.eq(self.expression(3))
            m.d.sync += self.kept.eq(self.kept + self.expression(2))
        with m.Elif(self.expression(1).bool()):
            m.d.comb += self.narrow[1:4].eq(self.expression(2))
        with m.Else():
            with m.Switch(self.b):
                with m.Case(1, 5):
                    m.d.sync += self.kept[3:9].eq(self.expression(2))
                with m.Case("11-"):
                    m.d.comb += self.narrow.eq(middle)
                with m.Default():
                    m.d.sync += self.kept.eq(middle - self.kept)
        return m


def rewritten(text: str, top: str) -> dict[str, str]:
    modules = parse(portable(text))
    rewrite(modules, top)
    identifiers = Names()
    ids = {module.name: identifiers.add(module.name) for module in modules}
    names = name_nets(modules, {module.name: module.ports for module in modules if module.name == top})
    return {f"{ids[module.name]}.v": print_module(module, names, ids, "") for module in modules}


@pytest.fixture(scope="module")
def files() -> tuple[dict[str, str], dict[str, str]]:
    """(originals, rewritten ones)."""
    before, after = {}, {}
    for seed in range(SEEDS):
        before[f"old_{seed}.v"] = verilog.convert(Sample(seed), name=f"old_{seed}", emit_src=False,
                                                  strip_internal_attrs=True)
        text = verilog.convert(Sample(seed), name=f"new_{seed}", emit_src=False, strip_internal_attrs=True)
        after.update(rewritten(text, f"new_{seed}"))
    return before, after


def test_the_same_happens(files, tmp_path):
    before, after = files
    total = sum(INPUTS.values())
    ports, at = [".clk(clk), .rst(rst)"], 0
    for name, bits in INPUTS.items():
        ports.append(f".{name}(inputs[{at}+:{bits}])")
        at += bits
    width = sum(OUTPUTS.values())
    lines = [f"module top(input clk, input rst, input [{total - 1}:0] inputs, output [{SEEDS - 1}:0] differs, "
             "output [7:0] digest);"]
    for seed in range(SEEDS):
        for version in "old", "new":
            place, outputs = 0, []
            for name, bits in OUTPUTS.items():
                outputs.append(f".{name}({version}{seed}[{place}+:{bits}])")
                place += bits
            lines += [f"wire [{width - 1}:0] {version}{seed};",
                      f"{version}_{seed} {version}_unit{seed} ({', '.join(ports + outputs)});"]
        lines.append(f"assign differs[{seed}] = old{seed} != new{seed};")
    lines += [f"assign digest = {' ^ '.join(f'new{seed}[7:0]' for seed in range(SEEDS))};", "endmodule"]
    sources = {"top.v": "\n".join(lines), **before, **after, "main.cpp": MAIN}
    for name, text in sources.items():
        (tmp_path / name).write_text(text)
    toolchain = find_toolchain()
    run_tool([toolchain.verilator, "--cc", "--exe", "--top-module", "top", "--prefix", "Vtop", "-Mdir", "model",
              "-o", "top", "-Wno-lint", "-Wno-fatal", "-O3", *sources], toolchain, tmp_path)
    run_tool(["make", "-C", "model", "-f", "Vtop.mk", *toolchain.make_variables, "OPT_FAST=-O0"], toolchain, tmp_path)
    result = subprocess.run([tmp_path / "model" / "top"], capture_output=True, text=True)
    assert result.returncode == 0, result.stdout
    assert int(result.stdout) > 50, "the outputs hardly ever changed"


def test_linter_has_nothing_to_say(files, tmp_path):
    """But that bits are not used, which is what these expressions leave."""
    _, after = files
    for name, text in after.items():
        (tmp_path / name).write_text(text)
    toolchain = find_toolchain()
    for seed in range(SEEDS):
        result = subprocess.run([
            toolchain.verilator, "--lint-only", "-Wall", "-Wno-fatal", "-Wno-UNUSEDSIGNAL", "--default-language",
            "1364-2001", "-y", ".", f"new_{seed}.v"], cwd=tmp_path, text=True, env=toolchain.environment,
            capture_output=True)
        # A comparison may be one that always comes out the same.
        warnings = re.findall(r"%(?:Warning|Error)[^\n]*", result.stderr)
        assert [one for one in warnings if "UNSIGNED" not in one and "CMPCONST" not in one] == []


def test_what_nothing_reads_is_gone(files):
    _, after = files
    text = "".join(after.values())
    assert "spare" not in text and "unused" not in text
    assert not re.search(r"\\|`|\(\*", text)


def test_names_stay_apart_and_off_keywords():
    names = Names()
    assert [names.add(name) for name in ("\\table ", "\\a.b", "a_b", "\\a__b$7 ", "7up")] == [
        "table_", "a_b", "a_b_2", "a_b_3", "n7up"]


def test_what_is_not_understood_is_an_error():
    with pytest.raises(ValueError, match="expected ';', not"):
        parse("module m (a);\n  input a = 1 2;\nendmodule\n")


@pytest.mark.parametrize("odd", ("`define A", "'", "é"))
def test_an_unknown_character_is_an_error(odd):
    with pytest.raises(ValueError, match=f"unexpected '?\"?{re.escape(odd)}"):
        parse(f"module m (a);\n  {odd} input a;\nendmodule\n")


def test_a_literal_keeps_its_sign():
    text = "module m (a, b);\n  input [3:0] a;\n  output b;\n  assign b = $signed(a) < {};\nendmodule\n"
    signed, = parse(text.format("4'sh8"))
    named, = parse(text.format("$signed(4'h8)"))
    plain, = parse(text.format("4'h8"))
    assert signed.assigns == named.assigns != plain.assigns


def test_a_block_on_its_own_is_its_statements():
    """As Yosys prints a case that has no branch but the default."""
    text = "module m (a, b);\n  input a;\n  output b;\n  reg b;\n  always @* begin\n    {}\n  end\nendmodule\n"
    alone, inside = parse(text.format("b = a;")), parse(text.format("begin b = a; end"))
    assert alone[0].processes == inside[0].processes
