"""An engine after synthesis: its ECP5 netlist in the place of its RTL, on the same program and images.

    python -m reports.equivalence --preset edge

Yosys makes the netlist and replaces its logic cells by what Yosys's own simulation models say of them; block RAMs and
multipliers are those of sim/ecp5_cells.v. docs/equivalence.md has the method and the record.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from arch.config import EngineConfig
from compiler import CompileError, compile_network
from golden import bundled, datasets, packed
from golden.integer import IntegerNetwork, images_from_uint8
from hw.emit import ENGINE_MODULE
from reports.area.synthesis import find_yosys, yosys_version
from sim.backend import RunResult, SimulationError, emitted_engine
from sim.build import BuildError, cached_model
from sim.check import compare
from sim.harness import FOLDER
from sim.native import NativeBackend
from sim.toolchain import ToolchainError

__all__ = ["MODES", "Equivalence", "block_modes", "equivalence", "fpga_config", "logic_cells", "simulation_verilog",
           "synthesised"]

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


def fpga_config(preset: str) -> EngineConfig:
    """A preset as it is put on an FPGA: lanes of planes, and two decoder lanes to a pair of tables."""
    return EngineConfig.preset(preset, lane="planes", table_lanes=2)


@dataclass(frozen=True, kw_only=True)
class Equivalence:
    """What became of a network on an engine's RTL and on its netlist."""

    #: Block RAMs and multipliers, by mode.
    modes: Counter[str]
    rtl: RunResult
    netlist: RunResult
    #: Simulated cycles per second of the netlist.
    cycles_per_second: float
    #: One line for each thing in which the netlist's run differs from the RTL's or from the integer model.
    differences: tuple[str, ...]


def equivalence(config: EngineConfig, network: IntegerNetwork, images: np.ndarray, *, yosys: str,
                netlist: str | None = None, cache: Path | None = None) -> Equivalence:
    """Run ``network`` over ``images``, uint8 (n, c, h, w), as one batch on the RTL and on the netlist. ``netlist`` is
    one of the same ports that replaces the synthesised one.

    Raises RuntimeError if Yosys fails, and what simulation raises.
    """
    program = compile_network(network, config, batch=len(images))
    pixels = images_from_uint8(images)
    if netlist is None:
        netlist = synthesised(emitted_engine(config, cache), ENGINE_MODULE, yosys, cache)
    engines = (NativeBackend(config, cache=cache),
               NativeBackend(config, cache=cache, verilog=simulation_verilog(netlist, ENGINE_MODULE, yosys, cache)))
    rtl, mapped = (engine.run(program, pixels) for engine in engines)
    first, second = rtl.runs[0], mapped.runs[0]
    pairs = {"output": (first.outputs.tobytes(), second.outputs.tobytes()), "cycles": (first.cycles, second.cycles),
             "bytes read": (first.read_bytes, second.read_bytes),
             "bytes written": (first.write_bytes, second.write_bytes),
             **{f"counter {name}": (value, second.counters[name]) for name, value in first.counters.items()},
             **{f"cycles of layer {a.name}": (a.cycles, b.cycles) for a, b in zip(first.layers, second.layers)}}
    differences = [name + (f": {a} in the RTL, {b} in the netlist" if isinstance(a, int) else " of RTL and netlist")
                   for name, (a, b) in pairs.items() if a != b]
    differences += [f"integer model: {mismatch}" for mismatch in compare(mapped, network.run(pixels))]
    return Equivalence(modes=block_modes(netlist), rtl=first, netlist=second,
                       cycles_per_second=mapped.cycles_per_second, differences=tuple(differences))


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m reports.equivalence", description=__doc__.split("\n\n")[0])
    parser.add_argument("--preset", default="edge", help="engine (default: %(default)s)")
    parser.add_argument("--model", default="fashion-n3", help="bundled network (default: %(default)s)")
    parser.add_argument("--yosys", help="Yosys to use (default: YoWASP's, else the one on PATH)")
    options = parser.parse_args(arguments)
    try:
        config = fpga_config(options.preset)
        network = packed.load(bundled.find(options.model))
        result = equivalence(config, network, datasets.load(bundled.IMAGES, "test").images[:1],
                             yosys=find_yosys(options.yosys))
    except (BuildError, CompileError, OSError, RuntimeError, SimulationError, ToolchainError, ValueError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    for mode, count in sorted(result.modes.items()):
        print(f"{count:5} {mode}")
    for difference in result.differences:
        print(f"differs: {difference}")
    if not result.differences:
        print(f"EQUIVALENT: {options.model} on {options.preset}: {len(result.netlist.layers)} layers, "
              f"{len(result.netlist.counters)} counters, {result.netlist.cycles:,} cycles "
              f"({result.cycles_per_second:,.0f} per second)")
    return 1 if result.differences else 0


if __name__ == "__main__":
    sys.exit(main())
