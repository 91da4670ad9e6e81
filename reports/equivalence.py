"""An engine after synthesis: its ECP5 netlist in the place of its RTL, on the same program and images.

    python -m reports.equivalence --preset tiny --layers 1

Yosys makes the netlist and replaces its logic cells by what Yosys's own simulation models say of them; block RAMs and
multipliers are those of sim/ecp5_cells.v. docs/equivalence.md has the method and the record.
"""

from __future__ import annotations

import argparse
import dataclasses
import re
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
from reports.synth.flow import synthesise
from reports.synth.harness import Design
from reports.synth.targets import TARGETS
from reports.tools import find_yosys, run_tool, yosys_version
from sim.backend import RunResult, SimulationError, emitted_engine
from sim.build import BuildError, cached_model
from sim.check import compare
from sim.harness import FOLDER
from sim.native import NativeBackend
from sim.toolchain import ToolchainError

__all__ = ["MODES", "Equivalence", "block_modes", "equivalence", "first_layers", "logic_cells",
           "simulation_verilog", "synthesised", "with_flips"]

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

_VERILOG = ("read_json {source}; delete t:$scopeinfo; rename -hide; check -noinit -assert; "
            "write_verilog -noattr -noexpr {result}")
# Names of nets make the text ten times as long.

_LOGIC_CELLS = ("read_verilog {source}; read_verilog -D NO_INCLUDES +/lattice/common_sim.vh +/lattice/ccu2c_sim.vh; "
                "read_verilog -lib {cells}; hierarchy -check -top {top}; proc; simplemap t:$mux t:$and t:$or t:$not "
                "t:$xor; opt_expr -mux_bool; splitnets; opt_clean -purge; flatten -noscopeinfo; splitnets; "
                "opt_expr -mux_bool; opt_clean -purge; rename -hide; write_verilog -noattr {result}")
# Each variant of a cell is made small before all are put in place: of the tables as they are written, Verilator's
# model is several times as large.


def _yosys(yosys: str, script: str, name: str, cache: Path | None, **files: str) -> str:
    """The text that ``script`` writes as its {result}, kept in the cache. ``files`` are the texts of its other files,
    by their place in it. Raises RuntimeError if Yosys fails."""
    version = yosys_version(yosys)

    def build(folder: Path) -> Path:
        for place, text in files.items():
            (folder / place).write_text(text)
        run_tool([yosys, "-p", script.format(result=name, **{place: place for place in files})], folder, [name])
        return folder / name

    parts = [version, script, *(part for item in files.items() for part in item)]
    return cached_model(parts, name, build, cache).read_text()


def synthesised(verilog: str, top: str, yosys: str, cache: Path | None = None) -> str:
    """The ECP5 netlist of module ``top`` that ``topcoat synth`` counts: Verilog with the family's cells, flat. Raises
    RuntimeError if Yosys fails."""
    source = synthesise(Design(verilog, top=top), TARGETS["ecp5"], yosys, cache=cache).read_text()
    return _yosys(yosys, _VERILOG, "netlist.v", cache, source=source)


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


_LUT = re.compile(r"^  LUT4 #\(.*?^  \);", re.DOTALL | re.MULTILINE)


def with_flips(netlist: str, count: int) -> str:
    """``netlist`` with switches at ``count`` of its LUTs, spread evenly: a model that is started with ``+flip=N``, N
    from 1 to ``count``, has the lowest bit of the table of the N-th of them inverted, and no other model has."""
    luts = list(_LUT.finditer(netlist))
    if not 0 <= count <= len(luts):
        raise ValueError(f"flips must be 0 to {len(luts)}, the LUTs of the netlist, not {count}")
    parts, end = [], 0
    for number in range(1, count + 1):
        lut = luts[(2 * number - 1) * len(luts) // (2 * count)]
        inputs = ", ".join(re.findall(r"\.[A-D]\(.*\)", lut[0]))
        output = re.search(r"\.Z\((.*)\)", lut[0])
        parts += [netlist[end:lut.start()], f"  wire right_{number};\n",
                  lut[0][:output.start(1)], f"right_{number}", lut[0][output.end(1):],
                  f"\n  TABLE_FLIP #(.NUMBER({number})) flip_{number} ({inputs}, .right(right_{number}), "
                  f".Z({output[1]}));"]
        end = lut.end()
    return "".join(parts) + netlist[end:]


def first_layers(network: IntegerNetwork, count: int) -> IntegerNetwork:
    """The first ``count`` layers of ``network``. Raises ValueError if it has fewer."""
    if not 1 <= count <= len(network.layers):
        raise ValueError(f"layers must be 1 to {len(network.layers)}, those of {network.topology.name}, not {count}")
    topology = dataclasses.replace(network.topology, layers=network.topology.layers[:count])
    return dataclasses.replace(network, topology=topology, layers=network.layers[:count])


@dataclass(frozen=True, kw_only=True)
class Equivalence:
    """What became of a network on an engine's RTL and on its netlist."""

    #: Block RAMs and multipliers, by mode.
    modes: Counter[str]
    #: LUTs of the netlist.
    luts: int
    rtl: RunResult
    #: Simulated cycles per second of the netlist.
    cycles_per_second: float
    #: One line for each thing in which the netlist's run differs from the RTL's or from the integer model.
    differences: tuple[str, ...]
    #: The same of the netlist with each flip.
    flips: tuple[tuple[str, ...], ...]


class _Netlist(NativeBackend):
    # The C++ of a netlist is some 30 MB: to optimise it takes longer than to run a layer as it is.
    variables = ("OPT_FAST=-O0", "OPT_GLOBAL=-O0")


def _differences(rtl: RunResult, run: RunResult) -> list[str]:
    pairs = {"output": (rtl.outputs.tobytes(), run.outputs.tobytes()), "cycles": (rtl.cycles, run.cycles),
             "bytes read": (rtl.read_bytes, run.read_bytes), "bytes written": (rtl.write_bytes, run.write_bytes),
             **{f"counter {name}": (value, run.counters[name]) for name, value in rtl.counters.items()},
             **{f"cycles of layer {a.name}": (a.cycles, b.cycles) for a, b in zip(rtl.layers, run.layers)}}
    return [name + (f": {a} in the RTL, {b} in the netlist" if isinstance(a, int) else " of RTL and netlist")
            for name, (a, b) in pairs.items() if a != b]


def equivalence(config: EngineConfig, network: IntegerNetwork, images: np.ndarray, *, yosys: str, flips: int = 0,
                cache: Path | None = None) -> Equivalence:
    """Run ``network`` over ``images``, uint8 (n, c, h, w), as one batch on the RTL and on the netlist, and on the
    netlist once more for each of ``flips`` (:func:`with_flips`).

    Raises RuntimeError if Yosys fails, and what simulation raises.
    """
    program = compile_network(network, config, batch=len(images))
    pixels = images_from_uint8(images)
    golden = network.run(pixels)
    rtl = NativeBackend(config, cache=cache).run(program, pixels).runs[0]
    netlist = synthesised(emitted_engine(config, cache), ENGINE_MODULE, yosys, cache)
    engine = _Netlist(config, limit=rtl.cycles + 1, cache=cache,
                      verilog=simulation_verilog(with_flips(netlist, flips), ENGINE_MODULE, yosys, cache))
    engine.build()
    found, speed = [], 0.0
    for flip in range(flips + 1):
        engine.arguments = (f"+flip={flip}",)
        try:
            result = engine.run(program, pixels)
        except SimulationError as error:
            found.append((str(error),))
            continue
        found.append((*_differences(rtl, result.runs[0]),
                      *(f"integer model: {mismatch}" for mismatch in compare(result, golden))))
        speed = speed or result.cycles_per_second
    return Equivalence(modes=block_modes(netlist), luts=len(_LUT.findall(netlist)), rtl=rtl, cycles_per_second=speed,
                       differences=tuple(found[0]), flips=tuple(found[1:]))


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m reports.equivalence", description=__doc__.split("\n\n")[0])
    parser.add_argument("--preset", default="tiny", help="engine, its lanes of planes (default: %(default)s)")
    parser.add_argument("--model", default="fashion-n3", help="bundled network (default: %(default)s)")
    parser.add_argument("--layers", type=int, metavar="N", help="only its first N layers")
    parser.add_argument("--flips", type=int, default=0, metavar="N",
                        help="run N more times, each with one bit of another LUT inverted (default: %(default)s)")
    parser.add_argument("--yosys", help="Yosys to use (default: YoWASP's, else the one on PATH)")
    options = parser.parse_args(arguments)
    try:
        network = packed.load(bundled.find(options.model))
        if options.layers is not None:
            network = first_layers(network, options.layers)
        result = equivalence(EngineConfig.preset(options.preset, lane="planes"), network,
                             datasets.load(bundled.IMAGES, "test").images[:1], yosys=find_yosys(options.yosys),
                             flips=options.flips)
    except (BuildError, CompileError, OSError, RuntimeError, SimulationError, ToolchainError, ValueError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(f"{result.luts:6,} LUT4")
    for mode, count in sorted(result.modes.items()):
        print(f"{count:6,} {mode}")
    for number, differences in enumerate(result.flips, 1):
        print(f"flip {number}: {differences[0] if differences else 'not found'}")
    for difference in result.differences:
        print(f"differs: {difference}")
    if not result.differences:
        print(f"EQUIVALENT: {len(network.layers)} layers of {options.model} on {options.preset}: outputs, every layer, "
              f"{len(result.rtl.counters)} counters, {result.rtl.cycles:,} cycles "
              f"({result.cycles_per_second:,.0f} per second)")
    return 1 if result.differences else 0


if __name__ == "__main__":
    sys.exit(main())
