"""Verilog of an engine, with the documents a flow needs beside it: a name map and a port table."""

from __future__ import annotations

import functools
import json
from pathlib import Path

from amaranth.back import verilog
from amaranth.hdl import Fragment, Value
from amaranth.hdl._ir import PortDirection  # what verilog.convert uses; has no public name in 0.5
from amaranth.lib import wiring

from arch.config import EngineConfig
from arch.counters import COUNTERS
from hw.accelerator import Accelerator
from hw.column import Column
from hw.engine import Engine
from hw.lane import DecoderLane
from hw.verilog_text import tidy

__all__ = ["ACCELERATOR_MODULE", "COLUMN_MODULE", "ENGINE_MODULE", "LANE_MODULE", "accelerator_verilog",
           "component_ports", "engine_verilog", "write"]

ENGINE_MODULE = "topcoat_engine"
COLUMN_MODULE = "topcoat_column"
LANE_MODULE = "topcoat_lane"
ACCELERATOR_MODULE = "topcoat_accelerator"

_GROUPS = {
    "clk": "clock, rising edge",
    "rst": "synchronous reset, active high",
    "start": "run the program at `program_address`; ignored while busy",
    "program_address": "byte address of the program",
    "busy": "a program is running",
    "done": "the last program has ended",
    "error": "why it failed: arch/descriptor.py `Error`, 0 if it did not",
    "error_position": "index of the descriptor it failed at",
    "error_segment": "segment of its masks or parameters whose checksum is wrong",
    "memory__read_request": "burst reads: byte address (low 32 bits), beats (above)",
    "memory__read_data": "beats, in the order of the requests",
    "memory__read_error": "this beat of `memory__read_data` is bad",
    "memory__write_request": "burst writes: byte address (low 32 bits), beats (above)",
    "memory__write_data": "beats, in the order of the requests",
    "memory__write_done": "one token per write burst that later reads can see",
    "memory__write_error": "with this token of `memory__write_done`: the burst was not written",
    "layer_start": "pulse: the first pass of a layer may begin",
    "layer_done": "pulse: the last output of a layer is written",
    "trace": "copy of the post-processor's writes into the activation memory",
}


def component_ports(component: wiring.Component) -> dict[str, tuple[Value, PortDirection]]:
    """The flattened ports of a component, named as in the Verilog."""
    directions = {wiring.In: PortDirection.Input, wiring.Out: PortDirection.Output}
    return {"__".join(map(str, path)): (Value.cast(value), directions[member.flow])
            for path, member, value in component.signature.flatten(component)}


def _convert(component: wiring.Component, name: str):
    """(Verilog text, Amaranth's map from signals to paths)."""
    text, names = verilog.convert_fragment(Fragment.get(component, None), component_ports(component), name,
                                           emit_src=False, strip_internal_attrs=True)
    return tidy(text), names


@functools.cache
def _parts(config: EngineConfig) -> str:
    """The modules of which every engine has several instances."""
    column, _ = _convert(Column(config), COLUMN_MODULE)
    lane, _ = _convert(DecoderLane(config), LANE_MODULE)
    return f"{column}\n{lane}"


@functools.cache
def engine_verilog(config: EngineConfig) -> str:
    """The whole engine as one text: module ``topcoat_engine``, its column ``topcoat_column`` and its decoder's lane
    ``topcoat_lane``.

    The same configuration always gives the same text.
    """
    engine, _ = _convert(Engine(config, emit=True), ENGINE_MODULE)
    return f"{_parts(config)}\n{engine}"


@functools.cache
def accelerator_verilog(config: EngineConfig) -> str:
    """Engine, AXI4 bridge and registers as one text: module ``topcoat_accelerator`` and the two of
    :func:`engine_verilog` that it has several instances of.

    The same configuration always gives the same text.
    """
    accelerator, _ = _convert(Accelerator(config, emit=True), ACCELERATOR_MODULE)
    return f"{_parts(config)}\n{accelerator}"


def _describe(port: str) -> str:
    if port.startswith("counters__"):
        return COUNTERS[port.removeprefix("counters__")]
    return next(text for prefix, text in _GROUPS.items() if port == prefix or port.startswith(f"{prefix}__"))


def _port_table(config: EngineConfig, ports: dict) -> str:
    lines = [f"# Ports of `{ENGINE_MODULE}`, configuration `{config.name}` ({config.hash:08x})", "",
             "| port | direction | bits | meaning |", "|---|---|---|---|",
             f"| clk | input | 1 | {_describe('clk')} |", f"| rst | input | 1 | {_describe('rst')} |"]
    for name, (value, direction) in ports.items():
        lines.append(f"| {name} | {direction.value} | {len(value)} | {_describe(name)} |")
    return "\n".join(lines) + "\n"


def write(config: EngineConfig, folder: Path) -> list[Path]:
    """Write ``topcoat_engine.v``, ``name_map.json`` and ``ports.md`` into ``folder``; returns their paths.

    The name map gives, for each of the three modules, every Verilog hierarchical name of an Amaranth signal, and its
    width in bits.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    texts, names = [], {}
    engine = Engine(config, emit=True)
    for module, component in ((COLUMN_MODULE, Column(config)), (LANE_MODULE, DecoderLane(config)),
                              (ENGINE_MODULE, engine)):
        text, signals = _convert(component, module)
        texts.append(text)
        names[module] = {".".join(path[1:]): {"signal": signal.name, "bits": len(signal)}
                         for signal, path in sorted(signals.items(), key=lambda item: item[1])}
    files = {
        f"{ENGINE_MODULE}.v": "\n".join(texts),
        "name_map.json": json.dumps({"configuration": config.name, "hash": config.hash, "modules": names}, indent=1),
        "ports.md": _port_table(config, component_ports(engine)),
    }
    for name, text in files.items():
        (folder / f".{name}.partial").write_text(text)
    # All are complete before the first one replaces an earlier one.
    return [(folder / f".{name}.partial").replace(folder / name) for name in files]
