"""Runs a netlist on recorded inputs, holds its outputs against recorded ones, and tells the energy of every cycle."""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from reports.gates.netlist import GateNetlist, Port
from sim.build import cached_model, run_tool
from sim.toolchain import find_toolchain

__all__ = ["GateEnergy", "simulate_gates"]

_SOURCE = Path(__file__).parent / "gates.cpp"


@dataclass(frozen=True)
class GateEnergy:
    """Femtojoules of every cycle, those of clock pins left out."""

    #: Of all transitions.
    fj: np.ndarray
    #: Of those that last to the end of the cycle: without glitches.
    lasting_fj: np.ndarray


def _simulator(cache: Path | None) -> Path:
    toolchain = find_toolchain()

    def build(folder: Path) -> Path:
        run_tool(["g++", "-O2", "-std=c++17", "-o", "gates", str(_SOURCE)], toolchain, folder)
        return folder / "gates"

    return cached_model(("gates", toolchain.identity, _SOURCE.read_text()), "gates", build, cache)


def _packed(ports: tuple[Port, ...], values: Callable[[Port], np.ndarray]) -> np.ndarray:
    bits = np.concatenate([values(port) for port in ports], axis=1)
    return np.packbits(bits, axis=1, bitorder="little")


def simulate_gates(netlist: GateNetlist, values: Callable[[Port], np.ndarray], compared: np.ndarray, *,
                   cache: Path | None = None) -> GateEnergy:
    """Energy of every cycle. ``values`` gives the bits of a port, lowest first, in every cycle: uint8 (cycles, bits);
    ``compared`` says in which cycles outputs have to equal them. Raises RuntimeError, with port and cycle, if one does
    not."""
    data = np.concatenate([compared.astype(np.uint8)[:, None], _packed(netlist.inputs, values),
                           _packed(netlist.outputs, values)], axis=1)
    with tempfile.TemporaryDirectory() as path:
        folder = Path(path)
        (folder / "netlist").write_text(netlist.text)
        data.tofile(folder / "stimulus")
        result = subprocess.run([_simulator(cache), *(folder / name for name in ("netlist", "stimulus", "energy"))],
                                capture_output=True, text=True)
        if result.returncode:
            words = result.stderr.split()
            if words[:1] == ["output"]:
                bits = [f"{port.outline} {port.name}[{bit}]".strip() for port in netlist.outputs
                        for bit in range(port.bits)]
                words[1] = bits[int(words[1])]
            raise RuntimeError(f"gate-level simulation failed: {' '.join(words)}")
        energies = np.fromfile(folder / "energy").reshape(-1, 2)
    return GateEnergy(energies[:, 0], energies[:, 1])
