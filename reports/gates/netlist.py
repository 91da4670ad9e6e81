"""A mapped netlist with the energy of every net's transition, in the form that gates.cpp reads."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import median

from reports.area.outline import OUTLINE
from reports.gates.liberty import CellLibrary

__all__ = ["GateNetlist", "Port", "gate_netlist"]

_FEMTO, _PICO = 1e15, 1e12
_MEMORY_PORTS = ("RD_EN", "RD_ADDR", "RD_DATA", "WR_EN", "WR_ADDR", "WR_DATA")


@dataclass(frozen=True)
class Port:
    """A port of the netlist: of the block itself, or of an outline in it, whose outputs are inputs of the rest."""

    #: Name of the outline; empty for the block.
    outline: str
    name: str
    bits: int


@dataclass(frozen=True, kw_only=True)
class GateNetlist:
    """What is simulated: cells; memories by their behaviour; outlines are cut out. The clock is no net."""

    text: str
    inputs: tuple[Port, ...]
    outputs: tuple[Port, ...]
    cells: int
    flops: int
    #: Of the clock pins of all flip-flops in a cycle in which none changes, their capacitance included.
    clock_fj: float


class _Nets:
    """Numbers of nets, 0 and 1 being the constants, and what hangs on them."""

    def __init__(self):
        self._numbers = {"0": 0, "x": 0, "z": 0, "1": 1}
        #: By net: farads of the pins on it, and joules of a transition without what charges these.
        self.load: dict[int, float] = {}
        self.energy: dict[int, float] = {}

    def __len__(self) -> int:
        return 1 + max(self._numbers.values())

    def of(self, bits: list) -> list[int]:
        return [self._numbers.setdefault(bit, len(self._numbers) - 2) for bit in bits]

    def add(self, net: int, *, load: float = 0., energy: float = 0.):
        self.load[net] = self.load.get(net, 0.) + load
        self.energy[net] = self.energy.get(net, 0.) + energy


def _listed(nets: list[int]) -> str:
    return " ".join(map(str, (len(nets), *nets)))


def _truth(table: int, inputs: int) -> str:
    return "".join(str(table >> row & 1) for row in range(1 << inputs))


def _memory(cell: dict, nets: _Nets) -> str:
    """A memory by its behaviour. Raises ValueError for one with other ports than the RTL's."""
    values = {name: value if isinstance(value, int) else int("".join(bit if bit in "01" else "0" for bit in value), 2)
              for name, value in cell["parameters"].items() if name not in ("MEMID", "INIT")}
    pins = {name: nets.of(bits) for name, bits in cell["connections"].items()}
    if values["RD_PORTS"] != 1 or values["WR_PORTS"] != 1 or values["OFFSET"] or values["RD_TRANSPARENCY_MASK"] or any(
            pins["RD_ARST"] + pins["RD_SRST"]):
        raise ValueError("a memory must have one read port without a reset, that sees no write of its cycle, "
                         "and one write port")
    return " ".join((f"{values['RD_CLK_ENABLE']} {values['SIZE']}", *(_listed(pins[port]) for port in _MEMORY_PORTS)))


def _ports(ports: dict[str, tuple[str, list]], outline: str, direction: str) -> list[tuple[Port, list]]:
    return [(Port(outline, name, len(bits)), bits) for name, (way, bits) in ports.items()
            if way == direction and name != "clk" and not (outline and name == "rst")]


def gate_netlist(module: dict, library: CellLibrary) -> GateNetlist:
    """The netlist of a mapped block (:func:`reports.area.synthesis.mapped_netlist`). Raises ValueError for a cell or a
    memory that cannot be simulated.

    A transition of a net costs what its driver takes inside, what the pins that it drives take inside, and
    capacitance times voltage squared, by 2, of these pins. There are no wires: it is the netlist before placement.
    """
    nets, gates, flops = _Nets(), [], []
    outlines = {name: cell for name, cell in module["cells"].items() if cell["type"].lstrip("\\").startswith(OUTLINE)}
    ports = {name: (port["direction"], port["bits"]) for name, port in module["ports"].items()}
    inputs, outputs = _ports(ports, "", "input"), _ports(ports, "", "output")
    for name, cell in outlines.items():
        ports = {port: (cell["port_directions"][port], bits) for port, bits in cell["connections"].items()}
        inputs += _ports(ports, name, "output")
        outputs += _ports(ports, name, "input")
    cells = {name: (library.cell(cell["type"]), {pin: nets.of(bits)[0] for pin, bits in cell["connections"].items()})
             for name, cell in module["cells"].items() if name not in outlines and not cell["type"].startswith("$")}
    memories = [_memory(cell, nets) for cell in module["cells"].values() if cell["type"] == "$mem_v2"]
    for cell, pins in cells.values():
        for pin in cell.inputs:
            nets.add(pins[pin], load=cell.capacitance[pin], energy=cell.input_energy[pin])
    clock = 0.
    for cell, pins in cells.values():
        driven = {pin: output for pin, output in cell.outputs.items() if pin in pins}
        delays = {pin: max(1, round(_PICO * output.delay.at(nets.load.get(pins[pin], 0.))))
                  for pin, output in driven.items()}
        for pin, output in driven.items():
            nets.add(pins[pin], energy=sum(curve.at(nets.load.get(pins[pin], 0.)) for curve in output.internal))
        sources = _listed([pins[pin] for pin in cell.inputs])
        if cell.flop is None:
            gates += [f"{delays[pin]} {pins[pin]} {sources} {_truth(output.truth, len(cell.inputs))}"
                      for pin, output in driven.items()]
            continue
        clock += cell.flop.clock_hold + cell.capacitance[cell.flop.clock] * library.voltage ** 2
        same, inverse = ([pins[pin] for pin, output in driven.items() if output.truth == truth]
                         for truth in (0b10, 0b01))
        flops.append((max(delays.values(), default=1), f"{_FEMTO * cell.flop.clock_change} {sources} "
                      f"{_truth(cell.flop.next_state, len(cell.inputs) + 1)} {_listed(same)} {_listed(inverse)}"))
    lists = [_listed([net for _, bits in ports for net in nets.of(bits)]) for ports in (inputs, outputs)]
    energies = [_FEMTO * (nets.energy.get(net, 0.) + nets.load.get(net, 0.) * library.voltage ** 2 / 2)
                for net in range(len(nets))]
    lines = [int(median(delay for delay, _ in flops)) if flops else 1, len(nets), *energies, *lists,
             len(gates), *gates, len(flops), *(f"{delay} {text}" for delay, text in flops), len(memories), *memories]
    return GateNetlist(
        text="\n".join(map(str, lines)) + "\n", inputs=tuple(port for port, _ in inputs),
        outputs=tuple(port for port, _ in outputs), cells=len(cells), flops=len(flops), clock_fj=_FEMTO * clock)
