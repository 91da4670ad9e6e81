"""Energies of small netlists by hand: 2 V, so a transition of a net with a load of 1 fF takes 2 fJ."""

import numpy as np
import pytest

from reports.gates.liberty import CellLibrary
from reports.gates.netlist import Port, gate_netlist
from reports.gates.simulate import simulate_gates
from tests.reports.gates.cells import LIBERTY

CELLS = CellLibrary([LIBERTY])


def module(ports: dict[str, tuple[str, list]], **cells: tuple) -> dict:
    """As Yosys writes it: ports, and cells with their pins' nets."""
    return {"ports": {name: {"direction": way, "bits": bits} for name, (way, bits) in ports.items()},
            "cells": {name: {"type": kind, "connections": {pin: [net] for pin, net in pins.items()}}
                      for name, (kind, pins) in cells.items()}}


def run(netlist: dict, **ports: list[int]):
    """Simulates what the ports, of one bit each, have in every cycle."""
    gates = gate_netlist(netlist, CELLS)
    cycles = len(next(iter(ports.values())))
    return simulate_gates(gates, lambda port: np.array(ports[port.name], np.uint8).reshape(cycles, port.bits),
                          np.ones(cycles, bool)), gates


INVERTER = module({"a": ("input", [2]), "y": ("output", [3])}, g=("INV", {"A": 2, "Y": 3}))


def test_an_inverter():
    """Net a: 1 fF, 2 fJ. Net y: no load, 2 fJ inside."""
    energy, gates = run(INVERTER, a=[0, 1, 1, 0], y=[1, 0, 0, 1])
    assert list(energy.fj) == pytest.approx([0, 4, 0, 4])
    assert list(energy.lasting_fj) == pytest.approx([0, 4, 0, 4])
    assert (gates.cells, gates.flops, gates.clock_fj) == (1, 0, 0)


def test_a_wrong_output_is_named():
    with pytest.raises(RuntimeError, match=r"^gate-level simulation failed: output y\[0\] is wrong in cycle 2$"):
        run(INVERTER, a=[0, 1, 1], y=[1, 0, 1])


def test_cycles_that_are_not_compared():
    energy = simulate_gates(gate_netlist(INVERTER, CELLS), lambda port: np.zeros((3, 1), np.uint8), np.zeros(3, bool))
    assert len(energy.fj) == 3


def test_a_flip_flop():
    """Net d: 1 fF, 2 fJ. The state: 6 fJ inside, and the clock pin, else 3 fJ and 1.5 fF twice, takes 2 less."""
    energy, gates = run(module({"clk": ("input", [9]), "d": ("input", [2]), "q": ("output", [3])},
                               f=("DFF", {"CK": 9, "D": 2, "Q": 3})), d=[0, 1, 1, 0, 0], q=[0, 0, 1, 1, 0])
    assert list(energy.fj) == pytest.approx([0, 2, 4, 2, 4])
    assert gates.flops == 1 and gates.clock_fj == pytest.approx(3 + 1.5 * 4)


def hazard(inverters: int) -> dict:
    """a XOR a, by way of some inverters."""
    nets = [2, *range(10, 10 + inverters)]
    chain = {f"i{index}": ("INV", {"A": nets[index], "Y": nets[index + 1]}) for index in range(inverters)}
    return module({"a": ("input", [2]), "y": ("output", [3])}, **chain, x=("XOR2", {"A": nets[-1], "B": 2, "Y": 3}))


def test_a_glitch_costs_what_it_takes():
    """Three inverters delay by .3 ns, an XOR by .25: its output falls and rises again."""
    energy, _ = run(hazard(3), a=[0, 1, 1, 0], y=[1, 1, 1, 1])
    # a: an inverter and an XOR, 3 fF. Two inverters with 1 fF: (3 + 1 + 1) / 2 and 2 fJ; the last one with 2 fF:
    # (3 + 1 + 2) / 2, 4 fJ, and .5 in the XOR. Two transitions of y, 4 fJ each.
    lasting = 6 + 2 * (2.5 + 2) + (3 + 4 + .5)
    assert list(energy.lasting_fj) == pytest.approx([0, lasting, 0, lasting])
    assert list(energy.fj) == pytest.approx([0, lasting + 8, 0, lasting + 8])


def test_a_pulse_shorter_than_a_gate_does_not_pass_it():
    energy, _ = run(hazard(1), a=[0, 1, 0], y=[1, 1, 1])
    assert list(energy.fj) == pytest.approx(list(energy.lasting_fj))
    assert energy.fj[1] > 0


def memory(registered: int) -> dict:
    """Four words of two bits."""
    one = {"SIZE": "100", "WIDTH": "10", "ABITS": "10", "OFFSET": "0", "RD_PORTS": "1", "WR_PORTS": "1",
           "RD_CLK_ENABLE": str(registered), "RD_TRANSPARENCY_MASK": "0", "MEMID": "m", "INIT": "xxxxxxxx"}
    pins = {"RD_CLK": [9], "RD_EN": [2], "RD_ARST": ["0"], "RD_SRST": ["0"], "RD_ADDR": [3, 4], "RD_DATA": [5, 6],
            "WR_CLK": [9], "WR_EN": [7, 7], "WR_ADDR": [10, 11], "WR_DATA": [12, 13]}
    return {"ports": {name: {"direction": way, "bits": pins[pin][:count]} for name, way, pin, count in (
        ("ren", "input", "RD_EN", 1), ("ra", "input", "RD_ADDR", 2), ("rd", "output", "RD_DATA", 2),
        ("wen", "input", "WR_EN", 1), ("wa", "input", "WR_ADDR", 2), ("wd", "input", "WR_DATA", 2))},
        "cells": {"m": {"type": "$mem_v2", "parameters": one, "connections": pins}}}


@pytest.mark.parametrize("registered", [0, 1])
def test_memories(registered):
    """As the RTL's: a read sees no write of its own cycle."""
    random = np.random.default_rng(1)
    cycles = 200
    ports = {name: random.integers(0, 1 << bits, cycles) for name, bits in
             (("ren", 1), ("ra", 2), ("wen", 1), ("wa", 2), ("wd", 2))}
    words, held, read = [0] * 4, 0, []
    for cycle in range(cycles):
        address = ports["ra"][cycle]
        read.append(held if registered else words[address])
        if ports["ren"][cycle]:
            held = words[address]
        if ports["wen"][cycle]:
            words[ports["wa"][cycle]] = ports["wd"][cycle]
    ports["rd"] = np.array(read)

    def values(port: Port) -> np.ndarray:
        return (ports[port.name][:, None] >> np.arange(port.bits) & 1).astype(np.uint8)

    simulate_gates(gate_netlist(memory(registered), CELLS), values, np.ones(cycles, bool))


def test_a_memory_that_the_rtl_has_not():
    netlist = memory(1)
    netlist["cells"]["m"]["parameters"]["RD_TRANSPARENCY_MASK"] = "1"
    with pytest.raises(ValueError, match="^a memory must have one read port without a reset"):
        gate_netlist(netlist, CELLS)


def test_outlines_are_cut_out():
    netlist = module({"a": ("input", [2]), "y": ("output", [5])}, g=("INV", {"A": 2, "Y": 3}),
                     part=("outline_Part", {"i": 3, "o": 4, "clk": 9, "rst": 8}), h=("INV", {"A": 4, "Y": 5}))
    netlist["cells"]["part"]["port_directions"] = {"i": "input", "o": "output", "clk": "input", "rst": "input"}
    energy, gates = run(netlist, a=[0, 1, 1], i=[1, 0, 0], o=[0, 0, 1], y=[1, 1, 0])
    assert gates.inputs == (Port("", "a", 1), Port("part", "o", 1))
    assert gates.outputs == (Port("", "y", 1), Port("part", "i", 1))
    assert list(energy.fj) == pytest.approx([0, 4, 4])


def test_a_loop_does_not_settle():
    with pytest.raises(RuntimeError, match="the netlist does not settle: it has a loop$"):
        run(module({"a": ("input", [3]), "y": ("output", [2])}, g=("INV", {"A": 2, "Y": 2})), a=[0], y=[0])
