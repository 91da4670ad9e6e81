"""An accelerator as Verilog-2001 for other people's flows: a file per module, no attribute or construct of one tool."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from amaranth.back import verilog
from amaranth.hdl import Fragment
from amaranth.lib import wiring
from amaranth.lib.fifo import FIFOInterface

from arch.config import EngineConfig
from hw.accelerator import Accelerator, WishboneAccelerator
from hw.column import Column
from hw.emit import COLUMN_MODULE, LANE_MODULE, component_ports
from hw.lane import DecoderLane
from hw.signal_names import name_signals
from hw.verilog_names import Names, name_nets, natural
from hw.verilog_print import print_module
from hw.verilog_rewrite import rewrite
from hw.verilog_syntax import Module, parse
from hw.verilog_text import portable

__all__ = ["BUSES", "MEANING", "Port", "Rtl", "emit_rtl", "group"]

BUSES = {"axi": Accelerator, "wishbone": WishboneAccelerator}
"""Accelerators by what they are attached to."""


@dataclass(frozen=True)
class Port:
    """A port of the top module; ``direction`` is "input" or "output"."""

    name: str
    direction: str
    width: int


@dataclass(frozen=True)
class Rtl:
    """A design: its top module, the top's ports, texts by file name, and for every named signal of the source by its
    path there (hierarchy with dots) its hierarchical name in the Verilog and its width in bits."""

    top: str
    ports: tuple[Port, ...]
    files: dict[str, str]
    names: dict[str, dict]


def _plain(path: str) -> str:
    """A module's name without what Amaranth tells namesakes apart by."""
    return re.sub(r"\$\d+", "", path)


def _components(fragment: Fragment, path: str) -> Iterator[tuple[str, wiring.Component | FIFOInterface]]:
    """Every component of a design by the name of its module."""
    for origin in fragment.origins or ():
        if isinstance(origin, (wiring.Component, FIFOInterface)):
            yield path, origin
    for inner, name, _ in fragment.subfragments:
        if name is not None:
            yield from _components(inner, f"{path}.{name}")


def _about(component: wiring.Component | FIFOInterface) -> str:
    """The first line of what a component says of itself, and its source, as a comment."""
    kind = type(component)
    summary = re.sub(r"`+", "'", re.sub(r":\w+:`([^`]*)`", r"\1", kind.__doc__.strip().splitlines()[0]))
    return f"// {summary}\n// Source: {kind.__module__}.{kind.__qualname__}\n"


def _convert(component: wiring.Component, name: str) -> tuple[list[Module], dict, dict[str, object]]:
    """Modules, Amaranth's map from signals to paths, and components by the names of their modules."""
    fragment = Fragment.get(component, None)
    name_signals(fragment)
    text, signals = verilog.convert_fragment(fragment, component_ports(component), name, emit_src=False,
                                             strip_internal_attrs=True)
    return parse(portable(text)), signals, dict(_components(fragment, name))


def _base(name: str) -> str:
    """A module's name without the numbers that tell its kind apart."""
    return re.sub(r"(?<=\w)_\d+(?=\.|$)", "", name)


def _merge(modules: list[Module], nets: dict[str, Names], identifiers: dict[str, str]) -> dict[str, str]:
    """Modules that do not differ but in their number, as the lanes' tables do, become one. Returns for every module the
    one that stands for it, itself or another; instances in the others still name it."""
    stands: dict[str, str] = {}
    alike: dict[tuple[str, str], list[str]] = {}
    # Those inside others first.
    for module in sorted(modules, key=lambda module: -module.name.count(".")):
        ids = {name: identifiers[stands.get(name, name)] for name in identifiers} | {module.name: "self"}
        key = _base(module.name), print_module(module, nets, ids, "")
        alike.setdefault(key, []).append(module.name)
        stands[module.name] = alike[key][0]
    taken = Counter(base for base, _ in alike)
    names = {module.name for module in modules}
    for (base, _), members in alike.items():
        if len(members) > 1 and taken[base] == 1 and base not in names:
            identifiers[members[0]] = _base(identifiers[members[0]])
    return stands


MEANING = {
    "clk": "clock, rising edge",
    "rst": "synchronous reset, active high",
    "irq": "interrupt, a level: a program has ended (register INTERRUPT_PENDING), if enabled (INTERRUPT_ENABLE)",
    "s_axil": "registers: AXI4-Lite subordinate",
    "m_axi": "memory: AXI4 manager, INCR bursts of whole beats under one ID, none across 4 KiB",
    "s_wb": "registers: Wishbone B4 classic device, byte addresses; err where the document of registers says SLVERR",
    "m_wb": "memory: Wishbone B4 pipelined manager, byte addresses of whole beats",
}
"""What the ports of a top are for, by :func:`group`."""


def group(port: str) -> str:
    """The interface that a port of a top belongs to: a prefix, or the port itself."""
    return "_".join(port.split("_")[:2])


def emit_rtl(config: EngineConfig, bus: str, prefix: str = "topcoat") -> Rtl:
    """The accelerator for ``bus`` (a key of ``BUSES``): module ``topcoat_axi`` or ``topcoat_wishbone``. All modules'
    names begin with ``prefix`` in the place of "topcoat".

    The same configuration always gives the same texts.
    """
    top = f"topcoat_{bus}"
    component = BUSES[bus](config, emit=True)
    modules, paths, components = [], {}, {}
    for name, part in ((top, component), (COLUMN_MODULE, Column(config)), (LANE_MODULE, DecoderLane(config))):
        found, signals, inside = _convert(part, name)
        modules += found
        paths.update({path: len(signal) for signal, path in signals.items()})
        components.update(inside)
    rewrite(modules, top)

    files = Names()
    identifiers = {
        module.name: files.add(module.name, re.sub(
            "^topcoat", prefix, module.name.lstrip("\\").replace(f"{top}.", "topcoat."))) for module in modules}
    sources = {module.name: components.get(_plain(module.name.lstrip("\\"))) for module in modules}
    nets = name_nets(modules, {name: component_ports(source) for name, source in sources.items()
                               if isinstance(source, wiring.Component)})
    order = {name: place for place, name in enumerate(("clk", "rst", *component_ports(component)))}
    for module in modules:
        own = nets[module.name]
        module.ports.sort(key=lambda port: order[port] if module.name == top else (
            not port.endswith(("clk", "rst")), module.nets[port].direction, natural(own[port])))
    stands = _merge(modules, nets, identifiers)
    identifiers = {name: identifiers[stands[name]] for name in identifiers}
    texts = {}
    for module in modules:
        if stands[module.name] != module.name:
            continue
        comment = ("// SPDX-License-Identifier: Apache-2.0\n"
                   f"// Topcoat, configuration {config.name} ({config.hash:08x}).\n"
                   + ("" if sources[module.name] is None else _about(sources[module.name])))
        groups = {}
        if module.name == top:
            first = {}
            for port in module.ports:
                first.setdefault(group(nets[top][port]), port)
            groups = {port: MEANING[interface] for interface, port in first.items()}
        texts[f"{identifiers[module.name]}.v"] = print_module(module, nets, identifiers, comment, groups)

    named = {module.name: module for module in modules}
    ports = []
    for name, direction, width in (("clk", "input", 1), ("rst", "input", 1), *(
            (name, direction.value, len(value)) for name, (value, direction) in component_ports(component).items())):
        ports.append(Port(nets[top][name], direction, width))
    return Rtl(identifiers[top], tuple(ports), texts, _name_map(paths, named, nets, identifiers))


def _name_map(paths: dict, modules: dict[str, Module], nets: dict[str, Names],
              identifiers: dict[str, str]) -> dict[str, dict]:
    """Where signals of the source are found in the Verilog. What nothing reads is not there."""
    found = {}
    for path, width in sorted(paths.items()):
        module, names = modules[path[0]], [identifiers[path[0]]]
        for step in path[1:-1]:
            instance = next((one for one in module.instances if one.name.lstrip("\\") == step), None)
            if instance is None:
                break
            names.append(nets[module.name][f"{instance.name} instance"])
            module = modules[instance.module]
        else:
            net = next((name for name in (path[-1], f"\\{path[-1]}") if name in module.nets), None)
            if net is not None:
                names.append(nets[module.name][net])
                found[".".join(path)] = {"verilog": ".".join(names), "bits": width}
    return found
