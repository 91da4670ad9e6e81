"""RTL after synthesis: its ECP5 netlist as Verilog to put in its place in a simulator (docs/equivalence.md).

Yosys makes the netlist and replaces its logic cells by what Yosys's own simulation models say of them; block RAMs and
multipliers are those of sim/ecp5_cells.v.
"""

from __future__ import annotations

import re
import subprocess
from collections import Counter
from pathlib import Path

from reports.area.synthesis import yosys_version
from sim.build import cached_model
from sim.harness import FOLDER

__all__ = ["MODES", "block_modes", "logic_cells", "simulation_verilog", "synthesised"]

CELLS = FOLDER / "ecp5_cells.v"
"""Block RAM and multiplier."""

MODES = frozenset({
    "DP16KD: A 36 bits, writes; B 36 bits, reads",
    "DP16KD: A 36 bits, writes; B 36 bits, reads, enabled",
    "DP16KD: A 18 bits, writes, READBEFOREWRITE; B 18 bits, reads, enabled",
    "DP16KD: A 18 bits, writes, NORMAL, enabled; B 18 bits, reads, enabled",
    "DP16KD: A 9 bits, writes, READBEFOREWRITE; B 9 bits, reads, enabled",
    "MULT18X18D: signed",
    "MULT18X18D: unsigned",
})
"""What netlists may use block RAMs and multipliers for: tests/reports/test_equivalence.py holds the model of each
against the RTL that it is inferred from. Signedness is that of both factors."""

_SYNTHESIS = ("read_verilog {source}; synth_ecp5 -top {top} -run :map_gates; rename -hide; "
              "synth_ecp5 -top {top} -run map_gates:check; hierarchy -check; check -noinit -assert; "
              "delete t:$scopeinfo; rename -hide; write_verilog -noattr -noexpr {result}")
# Hidden names: abc9 of Yosys 0.70 ends without a word on some netlists that have others. `autoname`, of the part of
# synth_ecp5 that is left out, makes the text ten times as long.

_LOGIC_CELLS = ("read_verilog {source}; read_verilog -D NO_INCLUDES +/lattice/common_sim.vh +/lattice/ccu2c_sim.vh; "
                "read_verilog -lib {cells}; hierarchy -check -top {top}; proc; flatten -noscopeinfo; opt_expr; "
                "opt_clean -purge; write_verilog -noattr {result}")


def _yosys(yosys: str, script: str, name: str, cache: Path | None, **files: str) -> str:
    """The text that ``script`` writes as its {result}, kept in the cache. ``files`` are the texts of its other files,
    by their place in it. Raises RuntimeError with the end of Yosys's output if it fails."""
    version = yosys_version(yosys)

    def build(folder: Path) -> Path:
        for place, text in files.items():
            (folder / f"{place}.v").write_text(text)
        done = subprocess.run([yosys, "-p", script.format(result=name, **{place: f"{place}.v" for place in files})],
                              cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        # Where abc9 dies, its process ends well.
        if done.returncode or not (folder / name).exists():
            raise RuntimeError("Yosys failed:\n" + "\n".join(done.stdout.splitlines()[-10:]))
        return folder / name

    parts = [version, script, *(part for item in files.items() for part in item)]
    return cached_model(parts, name, build, cache).read_text()


def synthesised(verilog: str, top: str, yosys: str, cache: Path | None = None) -> str:
    """The ECP5 netlist of module ``top``: Verilog with the family's cells, flat. Raises RuntimeError if Yosys fails."""
    return _yosys(yosys, _SYNTHESIS.replace("{top}", top), "netlist.v", cache, source=verilog)


def logic_cells(netlist: str, top: str, yosys: str, cache: Path | None = None) -> str:
    """``netlist`` with every logic cell replaced by the content of Yosys's simulation model for it, of the installation
    that ``yosys`` is of. Raises RuntimeError if Yosys fails."""
    return _yosys(yosys, _LOGIC_CELLS.replace("{top}", top), "logic.v", cache, source=netlist, cells=CELLS.read_text())


def simulation_verilog(netlist: str, top: str, yosys: str, cache: Path | None = None) -> str:
    """What stands for module ``top`` in a simulator. Raises RuntimeError if Yosys fails, or for a block RAM or
    multiplier in a mode that is not one of MODES."""
    if unknown := sorted(block_modes(netlist).keys() - MODES):
        raise RuntimeError(f"no tested model of {'; '.join(unknown)}: add it to MODES of reports/equivalence.py with a "
                           "block in its test")
    return f"{logic_cells(netlist, top, yosys, cache)}\n{CELLS.read_text()}"


_BLOCK = re.compile(r"^  (DP16KD|MULT18X18D) (?:#\((.*?)^  \) )?\S+ \((.*?)^  \);", re.DOTALL | re.MULTILINE)
_VALUE = re.compile(r"\.(\w+)\((.*)\)")
_ONLY = {"REGMODE_A": '"NOREG"', "REGMODE_B": '"NOREG"', "CSDECODE_A": '"0b000"', "CSDECODE_B": '"0b000"',
         "CLKAMUX": '"CLKA"', "CLKBMUX": '"CLKB"', "SOURCEA": "1'h0", "SOURCEB": "1'h0",
         **{f"{pin}{port}{bit}": "1'h0" for port in "AB" for pin, bit in (
             ("RST", ""), ("CS", 0), ("CS", 1), ("CS", 2))}}


def block_modes(netlist: str) -> Counter[str]:
    """Block RAMs and multipliers of a netlist, by mode."""
    return Counter(_mode(cell, dict(_VALUE.findall(parameters)), dict(_VALUE.findall(pins)))
                   for cell, parameters, pins in _BLOCK.findall(netlist))


def _mode(cell: str, parameters: dict[str, str], pins: dict[str, str]) -> str:
    values = parameters | pins
    others = [f"{name} {values[name]}" for name, only in _ONLY.items() if values.get(name, only) != only]
    if cell == "MULT18X18D":
        signs = {values["SIGNEDA"], values["SIGNEDB"]}
        words = {"1'h0": "unsigned", "1'h1": "signed"}
        # Registers are parameters.
        return "; ".join([f"{cell}: {' x '.join(words.get(sign, sign) for sign in sorted(signs))}", *others,
                          *parameters])
    if values["CLKA"] != values["CLKB"]:
        others.append("two clocks")
    return "; ".join([f"{cell}: {_port('A', values)}", _port("B", values), *others])


def _port(port: str, values: dict[str, str]) -> str:
    width = int(values[f"DATA_WIDTH_{port}"].split("'d")[1])
    words = [f"{port} {width} bits"]
    if values[f"WE{port}"] == "1'h0":
        words.append("reads")
    else:
        # A port of 36 bits that writes has no output.
        words += ["writes"] if width == 36 else ["writes", values[f"WRITEMODE_{port}"].strip('"')]
    if values[f"CE{port}"] != "1'h1":
        words.append("enabled")
    return ", ".join(words)
