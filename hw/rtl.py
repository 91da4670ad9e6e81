"""An accelerator as Verilog-2001 for other people's flows: a file per module, no attribute or construct of one tool."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from amaranth.back import verilog
from amaranth.hdl import Fragment
from amaranth.lib import wiring

from arch.config import EngineConfig
from hw.accelerator import Accelerator, WishboneAccelerator
from hw.column import Column
from hw.emit import COLUMN_MODULE, LANE_MODULE, component_ports
from hw.lane import DecoderLane
from hw.verilog_print import Names, net_names, print_module
from hw.verilog_rewrite import rewrite
from hw.verilog_syntax import Module, parse
from hw.verilog_text import portable

__all__ = ["BUSES", "Port", "Rtl", "emit_rtl"]

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


def _summaries(fragment: Fragment, path: str) -> Iterator[tuple[str, str]]:
    """The first line of what every component says of itself, by the name of its module."""
    for origin in fragment.origins or ():
        if isinstance(origin, wiring.Component) and type(origin).__doc__:
            yield path, re.sub(r":\w+:(?=`)|`", "", type(origin).__doc__.strip().splitlines()[0])
    for inner, name, _ in fragment.subfragments:
        if name is not None:
            yield from _summaries(inner, f"{path}.{name}")


def _convert(component: wiring.Component, name: str) -> tuple[list[Module], dict, dict[str, str]]:
    """Modules, Amaranth's map from signals to paths, and what modules are for."""
    fragment = Fragment.get(component, None)
    summaries = dict(_summaries(fragment, name))
    text, signals = verilog.convert_fragment(fragment, component_ports(component), name, emit_src=False,
                                             strip_internal_attrs=True)
    return parse(portable(text)), signals, summaries


def emit_rtl(config: EngineConfig, bus: str) -> Rtl:
    """The accelerator for ``bus`` (a key of ``BUSES``): module ``topcoat_axi`` or ``topcoat_wishbone``.

    The same configuration always gives the same texts.
    """
    top = f"topcoat_{bus}"
    component = BUSES[bus](config, emit=True)
    modules, paths, summaries = [], {}, {}
    for name, part in ((top, component), (COLUMN_MODULE, Column(config)), (LANE_MODULE, DecoderLane(config))):
        found, signals, said = _convert(part, name)
        modules += found
        paths.update({path: len(signal) for signal, path in signals.items()})
        summaries.update(said)
    rewrite(modules, top)

    files, nets, identifiers = Names(), {}, {}
    for module in modules:
        plain = module.name.lstrip("\\")
        identifiers[module.name] = files.add(module.name, plain.replace(f"{top}.", "topcoat."))
        nets[module.name] = net_names(module)
    order = {name: place for place, name in enumerate(("clk", "rst", *component_ports(component)))}
    for module in modules:
        own = nets[module.name]
        module.ports.sort(key=lambda port: order[port] if module.name == top else (
            not port.endswith(("clk", "rst")), module.nets[port].direction, own[port]))
    texts = {}
    for module in modules:
        summary = summaries.get(_plain(module.name.lstrip("\\")), "")
        comment = ("// SPDX-License-Identifier: Apache-2.0\n"
                   f"// Topcoat, configuration {config.name} ({config.hash:08x}).\n")
        comment += f"// {summary}\n" if summary else ""
        texts[f"{identifiers[module.name]}.v"] = print_module(module, nets, identifiers, comment)

    named = {module.name: module for module in modules}
    ports = []
    for name, direction, width in (("clk", "input", 1), ("rst", "input", 1), *(
            (name, direction.value, len(value)) for name, (value, direction) in component_ports(component).items())):
        ports.append(Port(nets[top][name], direction, width))
    return Rtl(top, tuple(ports), texts, _name_map(paths, named, nets))


def _name_map(paths: dict, modules: dict[str, Module], nets: dict[str, Names]) -> dict[str, dict]:
    """Where signals of the source are found in the Verilog. What nothing reads is not there."""
    found = {}
    for path, width in sorted(paths.items()):
        module, names = modules[path[0]], [path[0]]
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
