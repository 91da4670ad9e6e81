"""Synthesise an engine for an FPGA family with open tools, and route it: resources by block, clock, floor plan.

example: topcoat synth --preset tiny --target ecp5 --route -o out/tiny-ecp5
         topcoat synth --preset edge --target xc7 --json edge-xc7.json
"""

import json
import shlex
import sys
import time
from pathlib import Path

from golden.checkpoint import write_atomically
from hw.rtl import BUSES
from reports.synth.flow import Board, synth
from reports.synth.harness import accelerator_design
from reports.synth.targets import TARGETS
from reports.tools import find_program, find_yosys
from topcoat.engine import add_engine_arguments, engine_config
from topcoat.output import table, write_json

_STDOUT = Path("-")


def configure(parser):
    add_engine_arguments(parser, "planes",
                         ", other than that of `topcoat verilog`: the smaller without multiplier blocks")
    parser.add_argument("--target", choices=TARGETS, default="ecp5", help="FPGA family (default: %(default)s)")
    parser.add_argument("--bus", choices=BUSES, default="axi",
                        help="what the engine is attached to, as for `topcoat verilog` (default: %(default)s)")
    parser.add_argument("--dsp", action="store_true", help="multiplier blocks in the columns, too")
    parser.add_argument("--route", action="store_true", help="place and route, too: clock and floor plan")
    parser.add_argument("--device", default="", help="device, as nextpnr names it (defaults: "
                        + ", ".join(f"{target.name} {target.device}" for target in TARGETS.values() if target.device)
                        + ")")
    parser.add_argument("--package", default="", help="package, for ecp5 (CABGA756) and ice40 (sg48)")
    parser.add_argument("--speed", default="", choices=("6", "7", "8"), help="speed grade, for ecp5 (default: 6)")
    parser.add_argument("--pins", default="", metavar="A,B,..", help="package pins of clock (not nexus), reset, input "
                        "and output: nexus and gowin with another --device")
    parser.add_argument("--freq", type=float, default=0., metavar="MHZ", help="clock that nextpnr aims at, with "
                        "--preplace until it is met: one within reach (defaults: "
                        + ", ".join(f"{target.name} {target.frequency:g}" for target in TARGETS.values()
                                    if target.frequency) + ")")
    parser.add_argument("--seed", type=int, default=1, help="of the placement (default: %(default)s)")
    parser.add_argument("--preplace", action="store_true",
                        help="choose sites of block memories and multipliers, and keep logic apart where wires are "
                             "crowded, before nextpnr places: for a design that nearly fills an ecp5 (docs/synth.md)")
    parser.add_argument("--place-and-route", default="", metavar="OPTIONS",
                        help="options of nextpnr in place of ours (" + "; ".join(
                            f"{target.name}: {' '.join(target.place_and_route)}, or after --preplace: "
                            f"{' '.join(target.preplaced)}, and {' '.join(target.aimed)} if --freq is given"
                            for target in TARGETS.values() if target.preplaced) + ")")
    parser.add_argument("--yosys", metavar="PROGRAM", help="Yosys to use (default: YoWASP's, else one on PATH)")
    parser.add_argument("--nextpnr", metavar="PROGRAM", help="nextpnr to use (default: as Yosys)")
    parser.add_argument("--json", type=Path, nargs="?", const=_STDOUT, metavar="F",
                        help="write the result as JSON (without F: print it, and nothing else)")
    parser.add_argument("-o", "--output", type=Path, metavar="DIR",
                        help="folder for the Verilog, the result as JSON and the floor plan of a routed design")


def _write(report, folder: Path, title: str):
    from reports.synth import floorplan

    folder.mkdir(parents=True, exist_ok=True)
    write_atomically(folder / "design.v", lambda temporary: temporary.write_text(report.design.verilog))
    write_json(folder / "synth.json", report.to_json())
    if report.routed:
        partial = folder / ".floorplan.partial.png"
        floorplan.draw(report, partial, title)
        partial.replace(folder / "floorplan.png")


def run(options) -> int:
    if options.freq < 0:
        raise ValueError(f"--freq must be positive, not {options.freq:g}")
    start = time.monotonic()

    def progress(stage: str):
        print(f"{time.monotonic() - start:6.0f} s  {stage}", file=sys.stderr, flush=True)

    if not options.route and (options.preplace or options.place_and_route):
        raise ValueError("--preplace and --place-and-route are about routing: add --route")
    target = TARGETS[options.target]
    board = Board(device=options.device, package=options.package, speed=options.speed,
                  pins=tuple(filter(None, options.pins.split(","))), frequency=options.freq, seed=options.seed,
                  place_and_route=tuple(shlex.split(options.place_and_route)), preplace=options.preplace)
    # Before the Verilog, which takes a while.
    target.require(route=options.route)
    board.on(target)
    yosys = find_yosys(options.yosys, extra="synth")
    nextpnr = options.route and find_program(f"nextpnr-{target.nextpnr}", options.nextpnr, option="--nextpnr",
                                             extra="synth")
    config = engine_config(options)
    progress(f"Verilog of {options.preset}")
    report = synth(accelerator_design(config, options.bus), options.target, dsp=options.dsp, route=options.route,
                   board=board, yosys=yosys, nextpnr=nextpnr or None, progress=progress)
    if options.output:
        _write(report, options.output, f"Topcoat {options.preset} on {report.routed.board}" if report.routed else "")
    values = report.to_json()
    if options.json == _STDOUT:
        print(json.dumps(values, indent=1))
        return 0
    write_json(options.json, values)
    rows = [(name, f"{block.lut:,}", f"{block.ff:,}", block.bram, block.dsp) for name, block in report.blocks.items()]
    total = report.total
    print(table(("block", "LUT", "FF", "BRAM", "DSP"),
                [*rows, ("sum", f"{total.lut:,}", f"{total.ff:,}", total.bram, total.dsp)]))
    print(f"{values['lut_per_lane']:.1f} LUT per lane ({config.macs_per_cycle} lanes: columns / lanes)")
    if report.routed:
        print(f"{report.routed.fmax_mhz:.1f} MHz routed on {report.routed.board}")
    return 0
