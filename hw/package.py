"""What other people's flows want beside the Verilog: FuseSoC core, file lists and constraints for Vivado and Quartus,
IP-XACT, lint waivers, the drivers' C headers, licence, port document and name map."""

from __future__ import annotations

import json
from dataclasses import dataclass
from importlib import metadata, resources
from xml.etree import ElementTree

from arch.config import EngineConfig
from arch.registers import ADDRESS_BITS, REGISTERS, Access
from hw.rtl import MEANING, Port, Rtl, group

__all__ = ["VERSION", "package"]

VERSION = metadata.version("topcoat")
"""Of the cores that are written."""

NAMESPACE = "http://www.accellera.org/XMLSchema/IPXACT/1685-2014"
"""IEEE 1685-2014."""

_WAIVERS = """\
// What `verilator --lint-only -Wall` would say of this design, and why it is all right.
`verilator_config
// Sums keep their carry, and units take whole command words of which they use the fields that concern them.
lint_off -rule UNUSEDSIGNAL -file "*rtl/{prefix}_*.v" -match "Bits of signal are not used: *"
lint_off -rule UNUSEDSIGNAL -file "*tb/{bench}.v" -match "Bits of signal are not used: *"
"""

_AXI_WAIVERS = """\
// AXI has them and the accelerator has no use for them: it tells no privileges apart, and uses one ID.
lint_off -rule UNUSEDSIGNAL -file "*rtl/{prefix}_*.v" -match "Signal is not used: 's_axil_a?prot'"
lint_off -rule UNUSEDSIGNAL -file "*rtl/{prefix}_*.v" -match "Signal is not used: 'm_axi_?id'"
"""

_HEADERS = ("topcoat.h", "topcoat_registers.h")
"""The driver in C, and the registers that it includes."""

@dataclass(frozen=True)
class _Interface:
    """A bus interface: the prefix of its ports, whether the core is its manager, bus and abstraction by vendor,
    library, name and version."""

    prefix: str
    manager: bool
    bus: tuple[str, str, str, str]
    abstraction: tuple[str, str, str, str]

    def logical(self, port: str) -> str:
        """What the bus calls a port."""
        return port.removeprefix(f"{self.prefix}_").upper()


_INTERFACES = {
    "axi": (_Interface("s_axil", False, ("amba.com", "AMBA4", "AXI4-Lite", "r0p0_0"),
                       ("amba.com", "AMBA4", "AXI4-Lite_rtl", "r0p0_0")),
            _Interface("m_axi", True, ("amba.com", "AMBA4", "AXI4", "r0p0_0"),
                       ("amba.com", "AMBA4", "AXI4_rtl", "r0p0_0"))),
    "wishbone": (_Interface("s_wb", False, ("opencores.org", "interface", "wishbone", "b4"),
                            ("opencores.org", "interface", "wishbone_rtl", "b4")),
                 _Interface("m_wb", True, ("opencores.org", "interface", "wishbone", "b4"),
                            ("opencores.org", "interface", "wishbone_rtl", "b4"))),
}

_SIGNALS = {"clk": ("clock", "CLK"), "rst": ("reset", "RST"), "irq": ("interrupt", "INTERRUPT")}
"""Ports that are an interface by themselves: what Vivado calls them, and their logical names."""

_ACCESS = {Access.READ: ("read-only", None), Access.READ_WRITE: ("read-write", None),
           Access.CLEAR: ("read-write", "oneToClear"), Access.PULSE: ("write-only", None)}
"""IP-XACT's access and what writing does besides."""


def _ports_document(config: EngineConfig, rtl: Rtl) -> str:
    lines = [f"# Ports of `{rtl.top}`, configuration `{config.name}` ({config.hash:08x})", "",
             "Everything is synchronous to `clk`; no output of a bus hangs on an input in the same cycle.", "",
             "| port | direction | bits | meaning |", "|---|---|---|---|"]
    lines += [f"| {port.name} | {port.direction} | {port.width} | "
              f"{MEANING[group(port.name)]} |" for port in rtl.ports]
    return "\n".join(lines) + "\n"


def _readme(config: EngineConfig, bus: str, rtl: Rtl) -> str:
    refusal = "" if bus == "axi" else (
        "\nWhere docs/registers.md speaks of AXI4-Lite and SLVERR, this core has Wishbone and `err`.\n")
    return f"""\
# {rtl.top}

Topcoat {VERSION}, an accelerator for supermask networks; configuration `{config.name}` ({config.hash:08x}). Apache-2.0.

`{rtl.top}.f` lists the Verilog, relative to this folder; docs/ports.md says what the ports are, docs/registers.md how
software runs a program, driver/topcoat.h does so in C.
{refusal}
    fusesoc --cores-root . run --target=sim topcoat::{rtl.top}
    (cd tb && iverilog -g2001 -o bench topcoat_tb.v $(sed 's|^|../|' ../{rtl.top}.f) && vvp -N bench)
"""


def _core(rtl: Rtl, files: list[str], bench: list[str]) -> str:
    """FuseSoC's description (CAPI 2)."""
    def listed(names: list[str], indent: str = "      ") -> str:
        return "".join(f"{indent}- {name}\n" for name in names)

    data = "".join(f"      - {name}: {{file_type: user, copyto: {name.rpartition('/')[2]}}}\n"
                   for name in bench if name.endswith(".hex"))
    sources = listed([name for name in bench if name.endswith(".v")])
    return f"""\
CAPI=2:
name: topcoat::{rtl.top}:{VERSION}
description: Supermask network accelerator

filesets:
  rtl:
    files:
{listed(files)}    file_type: verilogSource
  waivers:
    files:
      - lint/{rtl.top}.vlt: {{file_type: vlt}}
  bench:
    files:
{sources}    file_type: verilogSource
  vectors:
    files:
{data}  vivado:
    files:
      - vivado/{rtl.top}_ooc.xdc: {{file_type: xdc}}
      - vivado/{rtl.top}_ooc.tcl: {{file_type: tclSource}}
  quartus:
    files:
      - quartus/{rtl.top}.sdc: {{file_type: SDC}}
      - quartus/{rtl.top}_pins.tcl: {{file_type: tclSource}}

targets:
  default: &default
    filesets: [rtl]
    toplevel: {rtl.top}
  lint:
    <<: *default
    description: Verilator's warnings, all of them
    filesets: [waivers, rtl]
    flow: lint
    flow_options:
      tool: verilator
      verilator_options: [-Wall]
  sim:
    description: One layer against its golden output in Icarus; prints PASS or FAIL
    filesets: [rtl, bench, vectors]
    toplevel: topcoat_tb
    flow: sim
    flow_options:
      tool: icarus
      iverilog_options: [-g2001]
      vvp_options: [-N]
  sim_verilator:
    description: The same in Verilator
    filesets: [waivers, rtl, bench, vectors]
    toplevel: topcoat_tb
    flow: sim
    flow_options:
      tool: verilator
      mode: binary
      verilator_options: [--timing, -Wall]
  synth:
    <<: *default
    description: Synthesis in Vivado, out of context
    filesets: [rtl, vivado]
    flow: vivado
    flow_options:
      pnr: none
      part: xc7a200tfbg484-1
  synth_quartus:
    <<: *default
    description: Quartus
    filesets: [rtl, quartus]
    default_tool: quartus
    tools:
      quartus:
        family: Cyclone V
        device: 5CSXFC6D6F31C6
"""


def _vivado(rtl: Rtl, files: list[str], period: float) -> dict[str, str]:
    names = " \\\n  ".join(f"[file join $here .. {name}]" for name in files)
    return {
        f"vivado/{rtl.top}.tcl": f"""\
# Synthesis of {rtl.top} out of context: vivado -mode batch -source {rtl.top}.tcl -tclargs PART
if {{$argc != 1}} {{
  error "name the part: vivado -mode batch -source {rtl.top}.tcl -tclargs PART"
}}
set here [file dirname [file normalize [info script]]]
read_verilog [list \\
  {names}]
read_xdc -mode out_of_context [file join $here {rtl.top}_ooc.xdc]
synth_design -top {rtl.top} -part [lindex $argv 0] -mode out_of_context
write_checkpoint -force {rtl.top}.dcp
report_utilization -hierarchical -file {rtl.top}_utilization.txt
report_timing_summary -file {rtl.top}_timing.txt
""",
        f"vivado/{rtl.top}_ooc.tcl": """\
# For a project: its synthesis is out of context, as the core's ports are no pins.
set_property -name {STEPS.SYNTH_DESIGN.ARGS.MORE OPTIONS} -value {-mode out_of_context} -objects [get_runs synth_1]
""",
        f"vivado/{rtl.top}_ooc.xdc": f"create_clock -name clk -period {period:.3f} [get_ports clk]\n",
    }


def _bits(port: Port) -> str:
    """All of a port, as Quartus' assignments name it: a bus bit by bit, in braces, as brackets would be a command."""
    return f"{{{port.name}[*]}}" if port.width > 1 else port.name


def _quartus(rtl: Rtl, files: list[str], period: float) -> dict[str, str]:
    sources = "".join(f'set_global_assignment -name VERILOG_FILE [file join $::quartus(qip_path) ".." "{name}"]\n'
                      for name in files)
    pins = "".join(f"set_instance_assignment -name VIRTUAL_PIN ON -to {_bits(port)}\n"
                   for port in rtl.ports if port.name != "clk")
    return {
        f"quartus/{rtl.top}.qip": sources,
        f"quartus/{rtl.top}_pins.tcl": f"# For the core by itself: every port but the clock is a virtual pin.\n{pins}",
        f"quartus/{rtl.top}.qpf": f'PROJECT_REVISION = "{rtl.top}"\n',
        f"quartus/{rtl.top}.sdc": f"create_clock -name clk -period {period:.3f} [get_ports clk]\n",
        f"quartus/{rtl.top}.qsf": f"""\
# {rtl.top} by itself. Set FAMILY and DEVICE to yours.
set_global_assignment -name FAMILY "Cyclone V"
set_global_assignment -name DEVICE 5CSXFC6D6F31C6
set_global_assignment -name TOP_LEVEL_ENTITY {rtl.top}
set_global_assignment -name QIP_FILE {rtl.top}.qip
set_global_assignment -name SDC_FILE {rtl.top}.sdc
set_global_assignment -name SOURCE_TCL_SCRIPT_FILE {rtl.top}_pins.tcl
""",
    }


def _element(parent: ElementTree.Element, name: str, text: object = None, /,
             **attributes: str) -> ElementTree.Element:
    element = ElementTree.SubElement(parent, f"ipxact:{name}", attributes)
    element.text = None if text is None else str(text)
    return element


def _identifier(parent: ElementTree.Element, vlnv: tuple[str, str, str, str]):
    for name, value in zip(("vendor", "library", "name", "version"), vlnv):
        _element(parent, name, value)


def _reference(parent: ElementTree.Element, name: str, vlnv: tuple[str, str, str, str]):
    _element(parent, name, **dict(zip(("vendor", "library", "name", "version"), vlnv)))


def _bus_interface(parent: ElementTree.Element, name: str, bus, abstraction, ports: list[tuple[str, Port]]):
    """A bus interface and its port maps, up to its mode, which the caller adds."""
    interface = _element(parent, "busInterface")
    _element(interface, "name", name)
    _reference(interface, "busType", bus)
    kind = _element(_element(interface, "abstractionTypes"), "abstractionType")
    _reference(kind, "abstractionRef", abstraction)
    maps = _element(kind, "portMaps")
    for logical, port in ports:
        mapping = _element(maps, "portMap")
        _element(_element(mapping, "logicalPort"), "name", logical)
        _element(_element(mapping, "physicalPort"), "name", port.name)
    return interface


def _memory_map(parent: ElementTree.Element):
    memory = _element(_element(parent, "memoryMaps"), "memoryMap")
    _element(memory, "name", "registers")
    block = _element(memory, "addressBlock")
    _element(block, "name", "registers")
    _element(block, "baseAddress", "'h0")
    _element(block, "range", f"'h{1 << ADDRESS_BITS:x}")
    _element(block, "width", 32)
    _element(block, "usage", "register")
    for register in REGISTERS:
        access, modifies = _ACCESS[register.access]
        entry = _element(block, "register")
        _element(entry, "name", register.name)
        _element(entry, "description", register.description)
        _element(entry, "addressOffset", f"'h{register.offset:x}")
        _element(entry, "size", 32)
        for field in register.fields:
            part = _element(entry, "field")
            _element(part, "name", field.name)
            _element(part, "description", field.description)
            _element(part, "bitOffset", field.lsb)
            _element(part, "bitWidth", field.bits)
            _element(part, "access", access)
            if modifies:
                _element(part, "modifiedWriteValue", modifies)
    _element(memory, "addressUnitBits", 8)


def _ipxact(rtl: Rtl, bus: str, files: list[str]) -> str:
    """An IEEE 1685-2014 component."""
    root = ElementTree.Element("ipxact:component", {"xmlns:ipxact": NAMESPACE})
    _identifier(root, ("topcoat", "accelerators", rtl.top, VERSION))
    interfaces = _element(root, "busInterfaces")
    for one in _INTERFACES[bus]:
        ports = [(one.logical(port.name), port) for port in rtl.ports if group(port.name) == one.prefix]
        interface = _bus_interface(interfaces, one.prefix, one.bus, one.abstraction, ports)
        if one.manager:
            _element(_element(interface, "master"), "addressSpaceRef", addressSpaceRef="memory")
        else:
            _element(_element(interface, "slave"), "memoryMapRef", memoryMapRef="registers")
    associations = {
        "clk": {"ASSOCIATED_BUSIF": ":".join(one.prefix for one in _INTERFACES[bus]), "ASSOCIATED_RESET": "rst"},
        "rst": {"POLARITY": "ACTIVE_HIGH"},
    }
    for name, (kind, logical) in _SIGNALS.items():
        port = next(port for port in rtl.ports if port.name == name)
        vlnv = ("xilinx.com", "signal", kind, "1.0")
        interface = _bus_interface(interfaces, name, vlnv, (*vlnv[:2], f"{kind}_rtl", "1.0"), [(logical, port)])
        _element(interface, "master" if port.direction == "output" else "slave")
        parameters = _element(interface, "parameters") if name in associations else None
        for parameter, value in associations.get(name, {}).items():
            entry = _element(parameters, "parameter", parameterId=f"{name}_{parameter.lower()}")
            _element(entry, "name", parameter)
            _element(entry, "value", value)
    space = _element(_element(root, "addressSpaces"), "addressSpace")
    width = next(port.width for port in rtl.ports if port.name in ("m_axi_wdata", "m_wb_dat_w"))
    _element(space, "name", "memory")
    _element(space, "range", "'h100000000")
    _element(space, "width", width)
    _element(space, "addressUnitBits", 8)
    _memory_map(root)
    model = _element(root, "model")
    view = _element(_element(model, "views"), "view")
    _element(view, "name", "rtl")
    _element(view, "componentInstantiationRef", "verilog")
    instantiation = _element(_element(model, "instantiations"), "componentInstantiation")
    _element(instantiation, "name", "verilog")
    _element(instantiation, "language", "verilog")
    _element(instantiation, "moduleName", rtl.top)
    _element(_element(instantiation, "fileSetRef"), "localName", "rtl")
    ports = _element(model, "ports")
    for port in rtl.ports:
        entry = _element(ports, "port")
        _element(entry, "name", port.name)
        wire = _element(entry, "wire")
        _element(wire, "direction", {"input": "in", "output": "out"}[port.direction])
        if port.width > 1:
            vector = _element(_element(wire, "vectors"), "vector")
            _element(vector, "left", port.width - 1)
            _element(vector, "right", 0)
    sources = _element(_element(root, "fileSets"), "fileSet")
    _element(sources, "name", "rtl")
    for name in files:
        entry = _element(sources, "file")
        _element(entry, "name", f"../{name}")
        _element(entry, "fileType", "verilogSource")
    _element(root, "description", "Supermask network accelerator")
    ElementTree.indent(root)
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{ElementTree.tostring(root, encoding="unicode")}\n'


def _license() -> str:
    """Of the project, from wherever it is installed."""
    return next(file for file in metadata.files("topcoat") if file.name == "LICENSE").locate().read_text()


def package(config: EngineConfig, bus: str, rtl: Rtl, bench: dict[str, str], clock_mhz: float) -> dict[str, str]:
    """Everything of a deliverable: texts by path. ``bench`` are the testbench's; constraints ask for ``clock_mhz``."""
    files = [f"rtl/{name}" for name in rtl.files]
    benches = [f"tb/{name}" for name in bench]
    period = 1000 / clock_mhz
    driver = resources.files("driver")
    prefix, name = rtl.top.removesuffix(f"_{bus}"), next(name for name in bench if name.endswith(".v"))
    waivers = (_WAIVERS + (_AXI_WAIVERS if bus == "axi" else "")).format(prefix=prefix, bench=name.removesuffix(".v"))
    return {
        **dict(zip(files, rtl.files.values())),
        **dict(zip(benches, bench.values())),
        "LICENSE": _license(),
        "README.md": _readme(config, bus, rtl),
        f"{rtl.top}.core": _core(rtl, files, benches),
        f"{rtl.top}.f": "".join(f"{name}\n" for name in files),
        f"lint/{rtl.top}.vlt": waivers,
        **_vivado(rtl, files, period),
        **_quartus(rtl, files, period),
        f"ip-xact/{rtl.top}.xml": _ipxact(rtl, bus, files),
        **{f"driver/{name}": driver.joinpath(name).read_text() for name in _HEADERS},
        "docs/ports.md": _ports_document(config, rtl),
        "docs/name_map.json": json.dumps({"configuration": config.name, "hash": f"{config.hash:08x}", "top": rtl.top,
                                          "signals": rtl.names}, indent=1) + "\n",
    }
