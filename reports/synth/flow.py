"""Synthesis and routing of a design, each kept in the build cache under the digest of all that decides it."""

from __future__ import annotations

import json
import re
import shutil
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from importlib.metadata import version as version_of
from importlib.util import find_spec
from pathlib import Path

from reports.synth.blocks import COLUMN, RESERVED, Resources, block_of, column_module, kept_modules, resources
from reports.synth.harness import PINS, Design
from reports.synth.targets import TARGETS, Target
from reports.tools import find_program, find_yosys, nextpnr_version, run_tool, yosys_version
from sim.build import cached_model

__all__ = ["Board", "Placed", "Report", "Routed", "script", "synth", "synthesise"]

_STAGE = "topcoat stage:"

_ROUTE_STAGES = re.compile(r"Info: (Packing constants|Promoting globals|Creating initial analytic placement|"
                           r"Running main analytical placer|Running Static placer|Running simulated annealing placer|"
                           r" *at iteration #\d+: .*wirelen = \d+|Max frequency for clock .*: [\d.]+ MHz|"
                           r"Routing globals|Routing\.\.|Routing complete|Router1 time|Running router2|"
                           r" *iter=\d+ wires=\d+ overused=\d+(?: overuse=\d+ tmgfail=\d+)?)")
_USED = re.compile(r"Info:\s+(\w+):\s+(\d+)/\s*(\d+)\s")
_BEL = re.compile(r"X(\d+)/?Y(\d+)/")

Progress = Callable[[str], None]


@dataclass(frozen=True, kw_only=True)
class Board:
    """What a design is routed for: a device, and what nextpnr aims at. Empty: the target's own."""

    device: str = ""
    package: str = ""
    speed: str = ""
    #: Package pins of clock, reset, input and output.
    pins: tuple[str, ...] = ()
    #: MHz.
    frequency: float = 0.
    seed: int = 1
    #: Options of nextpnr that say how it places and routes.
    place_and_route: tuple[str, ...] = ()
    #: Whether :mod:`reports.synth.preplace` chooses sites before nextpnr places the rest.
    preplace: bool = False

    def on(self, target: Target) -> Board:
        """With the target's own where nothing is given. Raises ValueError for what the target has not."""
        for name in ("device", "package", "speed"):
            if getattr(self, name) and not any(f"{{{name}}}" in option for option in target.options):
                raise ValueError(f"--{name} is part of the device's name for {target.name}: give --device alone")
        if self.pins and not target.pins:
            raise ValueError(f"nextpnr places the pins for {target.name} itself: leave out --pins")
        ports = PINS[-len(target.pins):]
        if target.pins and self.device not in ("", target.device) and not self.pins:
            raise ValueError(f"--device {self.device} needs --pins: places in its package for {', '.join(ports)}")
        if self.pins and len(self.pins) != len(ports):
            raise ValueError(f"--pins must be places for {', '.join(ports)}, not {','.join(self.pins)}")
        if self.frequency and target.nextpnr and not target.frequency:
            raise ValueError(f"--freq is not for {target.name}, whose clock is the device's oscillator: leave it out")
        if self.preplace and (self.device or target.device) not in target.layouts:
            devices = ", ".join(f"{name}'s {', '.join(other.layouts)}" for name, other in TARGETS.items()
                                if other.layouts)
            raise ValueError(f"--preplace is for {devices}: leave it out for {self.device or target.device}")
        return Board(device=self.device or target.device, package=self.package or target.package,
                     speed=self.speed or target.speed, pins=self.pins or target.pins,
                     frequency=self.frequency or target.frequency, seed=self.seed,
                     place_and_route=self.place_and_route or (
                         target.preplaced + (target.aimed if self.frequency else ()) if self.preplace
                         else target.place_and_route),
                     preplace=self.preplace)

    def __str__(self) -> str:
        return " ".join(filter(None, (self.device, self.package, self.speed and f"speed grade {self.speed}")))


@dataclass(frozen=True)
class Placed:
    """A placed cell: its type, its tile, its block."""

    type: str
    column: int
    row: int
    block: str


@dataclass(frozen=True, kw_only=True)
class Routed:
    """A routed design."""

    board: Board
    fmax_mhz: float
    cells: tuple[Placed, ...]
    #: Used and available, by nextpnr's type of cell; what is not used is left out.
    used: Mapping[str, tuple[int, int]]


@dataclass(frozen=True, kw_only=True)
class Report:
    """What a design costs on a target, and how fast it is."""

    target: str
    design: Design
    blocks: Mapping[str, Resources]
    tool_versions: Mapping[str, str]
    routed: Routed | None = None

    @property
    def total(self) -> Resources:
        """All blocks together."""
        return sum(self.blocks.values(), Resources())

    def _per_lane(self, luts: int) -> float | None:
        return round(luts / self.design.lanes, 2) if self.design.lanes else None

    def to_json(self) -> dict:
        """Plain JSON values (docs/synth.md)."""
        return {
            "target": self.target,
            **asdict(self.total),
            "lut_per_lane": self._per_lane(self.blocks.get(COLUMN, Resources()).lut),
            "blocks": {name: {**asdict(block), "lut_per_lane": self._per_lane(block.lut)}
                       for name, block in self.blocks.items()},
            "fmax_mhz": None if self.routed is None else round(self.routed.fmax_mhz, 2),
            "tool_versions": dict(self.tool_versions),
            "verilog_sha256": self.design.sha256,
        }


def _stages(target: Target, top: str, options: str) -> list[str]:
    command = " ".join(filter(None, (target.synthesis, options, "-top", top)))
    lines = []
    for stage, after in zip(target.stages, (*target.stages[1:], "")):
        if stage == target.gates:
            # abc9 of Yosys 0.70 ends without a word on some netlists whose nets have names. Names come back from those
            # of cells in the last stage.
            lines.append("rename -hide w:*")
        lines += [f"log {_STAGE} {stage} of {top}", f"{command} -run {stage}:{after}"]
    return lines


def script(design: Design, target: Target, *, dsp: bool = False) -> str:
    """Yosys's commands from ``design.v`` to ``netlist.json``: flat, cells named by the hierarchy.

    Columns are synthesised apart, once, without multiplier blocks unless ``dsp``; the other blocks as modules that
    stay, too.
    """
    kept = kept_modules(design.verilog, design.top)
    column = column_module(design.verilog, design.top)
    lines = ["read_verilog design.v", f"hierarchy -top {design.top}"]
    if column:
        options = f"{target.use_dsp if dsp else target.no_dsp} {target.inner}".strip()
        lines += ["design -save whole", *_stages(target, column, options), "design -stash column", "design -load whole",
                  f"blackbox {column}"]
    if kept:
        lines.append(f"setattr -mod -set keep_hierarchy 1 {' '.join(kept)}")
    lines += _stages(target, design.top, target.use_dsp)
    if column:
        lines.append(f"design -copy-from column -as {column} {column}")
    return "\n".join((*lines, f"log {_STAGE} netlist", "setattr -mod -unset keep_hierarchy *", "flatten", "clean",
                      *filter(None, (target.finish,)), "setattr -unset src *", "write_json netlist.json", ""))


def _top(netlist: dict) -> dict:
    return next(module for module in netlist["modules"].values() if int(module["attributes"].get("top", "0"), 2))


def _adapt_to_nexus(netlist: dict):
    """What nextpnr 0.11 needs to route a netlist of Yosys 0.70 on Nexus.

    No constants on the carry inputs of first carry cells, where abc9 puts them (YosysHQ/yosys issue 4081); and the
    device's oscillator for a clock, as it finds no way from a pin to a clock buffer.
    """
    top = _top(netlist)
    cells = top["cells"].values()
    low = {cell["connections"]["Z"][0] for cell in cells if cell["type"] == "VLO"} | {"0"}
    high = next(cell["connections"]["Z"] for cell in cells if cell["type"] == "VHI")
    clock = top["ports"].pop("clk")["bits"]
    top["netnames"].pop("clk")
    for cell in cells:
        connections = cell["connections"]
        if cell["type"] == "CCU2" and connections.get("CIN", [None])[0] in low:
            connections["CIN"] = []
        elif cell["type"] == "IB" and connections["I"] == clock:
            cell.update(
                type="OSCA", connections={"HFOUTEN": high, "HFCLKOUT": connections["O"]},
                port_directions={"HFOUTEN": "input", "HFCLKOUT": "output"},
                parameters={"HF_CLK_DIV": "3", "HF_OSC_EN": "ENABLED", "LF_OUTPUT_EN": "DISABLED"})


def synthesise(design: Design, target: Target, yosys: str, *, dsp: bool = False,
               progress: Progress = lambda stage: None, cache: Path | None = None) -> Path:
    """The netlist of a design as Yosys's JSON, in a folder of the cache named by all that decides it. Raises
    RuntimeError if Yosys fails."""
    commands = script(design, target, dsp=dsp)

    def build(folder: Path) -> Path:
        (folder / "design.v").write_text(design.verilog)
        (folder / "flow.ys").write_text(commands)

        def line(text: str):
            if text.startswith(_STAGE):
                progress(f"Yosys: {text.removeprefix(_STAGE).strip()}")

        # YoWASP's Yosys 0.70 prints nothing more once it has run ABC, no error either; its log goes on.
        run_tool([yosys, "-q", "-L", "log", "-s", "flow.ys"], folder, ["netlist.json"], line=line)
        path = folder / "netlist.json"
        if target.name == "nexus":
            values = json.loads(path.read_text())
            _adapt_to_nexus(values)
            path.write_text(json.dumps(values))
        return path

    parts = ("synth", yosys_version(yosys), target.name, commands, design.verilog)
    return cached_model(parts, "netlist.json", build, cache, duration="minutes, more for larger engines")


class _Watch:
    """Follows nextpnr's output: its stages, and whether the design fits."""

    def __init__(self, board: Board, progress: Progress):
        self._board = board
        self._progress = progress
        self.used: dict[str, tuple[int, int]] = {}
        self._checked = False

    def line(self, text: str):
        if found := _USED.match(text):
            self.used[found[1]] = int(found[2]), int(found[3])
        elif self.used and not self._checked:
            self._checked = True
            # Of some cells nextpnr counts none as available, and uses them.
            self.require_fit({name: counts for name, counts in self.used.items() if counts[1]})
        if found := _ROUTE_STAGES.match(text):
            self._progress(f"nextpnr: {found[1].strip(' .')}")

    def require_fit(self, used: Mapping[str, tuple[int, int]]):
        short = [f"{name} {needed:,} of {available:,}" for name, (needed, available) in used.items()
                 if needed > available]
        if short:
            raise RuntimeError(f"the design does not fit {self._board}: it needs {', '.join(short)}")


def _route(netlist: Path, target: Target, board: Board, nextpnr: str, version: str, progress: Progress,
           cache: Path | None) -> Routed:
    options = [option.format(**asdict(board)) for option in target.options]
    options += board.place_and_route
    settings = target.router2 if any(option.endswith("router2") for option in board.place_and_route) else {}
    preparation = [json.dumps(settings)] if settings else []
    if board.preplace:
        from reports.synth import preplace  # needs scipy, which comes with the tools

        preparation += [Path(preplace.__file__).read_text(), repr(target), version_of("numpy"), version_of("scipy")]
    options += [option.format(file="pins") for option in target.pin_option]
    options += ["--freq", f"{board.frequency:g}"] if board.frequency else []
    options += ["--seed", str(board.seed), "--timing-allow-fail"]
    pins = "".join(f"{target.pin_line.format(port=port, site=site)}\n"
                   for port, site in zip(reversed(PINS), reversed(board.pins)))

    def build(folder: Path) -> Path:
        (folder / "pins").write_text(pins)
        watch = _Watch(board, progress)
        # YoWASP's tools see this folder, but not all others.
        if not preparation:
            shutil.copyfile(netlist, folder / "netlist.json")
        else:
            values = json.loads(netlist.read_text())
            top = _top(values)
            top["settings"] = settings
            if board.preplace:
                cells, layout = top["cells"], target.layouts[board.device]
                watch.require_fit({name: (sum(cell["type"] in kinds for cell in cells.values()), len(sites.bels()))
                                   for name, kinds, sites in (("block memories", target.bram, layout.memories),
                                                              ("multipliers", target.dsp, layout.multipliers))})
                progress("sites of block memories and multipliers")
                preplace.preplace(cells, target, board.device, seed=board.seed, progress=progress)
            (folder / "netlist.json").write_text(json.dumps(values))
        try:
            run_tool([nextpnr, *options, "--json", "netlist.json", "--report", "report.json", "--write", "placed.json"],
                     folder, ["report.json", "placed.json"], line=watch.line)
        except RuntimeError:
            watch.require_fit(watch.used)
            raise
        report = json.loads((folder / "report.json").read_text())
        placed = _top(json.loads((folder / "placed.json").read_text()))["cells"]
        reserved = Counter(cell["type"] for name, cell in placed.items() if name.startswith(RESERVED))
        cells = [[cell["type"], int(place[1]), int(place[2]), name] for name, cell in placed.items()
                 if not name.startswith(RESERVED)
                 and (place := _BEL.match(cell["attributes"].get("NEXTPNR_BEL", "")))]
        used = {name: (needed - reserved[name], available) for name, (needed, available) in watch.used.items()
                if needed > reserved[name]}
        result = folder / "routed.json"
        result.write_text(json.dumps({
            "fmax_mhz": min(clock["achieved"] for clock in report["fmax"].values()), "used": used, "cells": cells}))
        return result

    parts = ("route", version, target.nextpnr, *options, pins, *preparation, netlist.parent.name)
    routed = json.loads(cached_model(parts, "routed.json", build, cache, duration="minutes to an hour").read_text())
    return Routed(board=board, fmax_mhz=routed["fmax_mhz"], cells=tuple(
        Placed(kind, column, row, block_of(name)) for kind, column, row, name in routed["cells"]),
                  used={name: tuple(counts) for name, counts in routed["used"].items()})


def synth(design: Design, target: str, *, dsp: bool = False, route: bool = False, board: Board = Board(),
          yosys: str | None = None, nextpnr: str | None = None, progress: Progress = lambda stage: None,
          cache: Path | None = None) -> Report:
    """Synthesise a design for ``target``, and with ``route`` place and route it. With ``dsp`` columns may have
    multiplier blocks.

    Raises ValueError for a target that cannot be routed or a board that is not the target's, RuntimeError if a tool is
    missing or fails, or the design does not fit.
    """
    family = TARGETS[target]
    family.require(route=route)
    board = board.on(family)
    if board.preplace and not find_spec("scipy"):
        raise RuntimeError("no scipy found for --preplace: install it with "
                           "`pip install -c constraints.txt -e '.[synth]'`")
    yosys = find_yosys(yosys, extra="synth")
    if route:
        nextpnr = find_program(f"nextpnr-{family.nextpnr}", nextpnr, option="--nextpnr", extra="synth")
    versions = {"yosys": yosys_version(yosys)}
    path = synthesise(design, family, yosys, dsp=dsp, progress=progress, cache=cache)
    cells = _top(json.loads(path.read_text()))["cells"]
    found = resources(((name, cell["type"]) for name, cell in cells.items()), family)
    if not dsp and (columns := found.get(COLUMN)) and columns.dsp:
        raise RuntimeError(f"{columns.dsp} multiplier blocks are in the columns of {target}: lanes must have none")
    routed = None
    if route:
        versions["nextpnr"] = nextpnr_version(nextpnr)
        routed = _route(path, family, board, nextpnr, versions["nextpnr"], progress, cache)
    return Report(target=target, design=design, blocks=found, tool_versions=versions, routed=routed)
