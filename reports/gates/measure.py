"""Energies of actions from gate-level simulation of blocks on what a network puts on their ports."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from arch.config import EngineConfig
from compiler import compile_network
from golden import bundled, datasets, packed, untrained
from golden.integer import IntegerNetwork, images_from_uint8
from reports.area.blocks import Sample
from reports.area.library import Library
from reports.area.synthesis import mapped_netlist, sample_sources, sample_verilog
from reports.engines import stored_engine
from reports.gates.blocks import PARTS, Part
from reports.gates.liberty import CellLibrary
from reports.gates.netlist import GateNetlist, Port, gate_netlist
from reports.gates.record import Recording, record
from reports.gates.simulate import GateEnergy, simulate_gates

__all__ = ["Block", "PRESET", "RUNS", "engine", "measure", "separate"]

PRESET = "edge"

RUNS = {4: "fashion-n3", 2: "fashion-n1", 8: "int8"}
"""By width of weights the network that the first test image is run through. The first run measures all parts, the
others those that depend on the width. ``int8`` has the topology of the others and random weights, half of them zero, so
that zeros are told apart."""

WINDOW = 64
"""Cycles that are counted together where a block does several things: more than a pipeline is long."""


@dataclass(frozen=True, kw_only=True)
class Block:
    """What was measured of one block."""

    sample: Sample
    #: SHA-256 of its Verilog, digest of the sources of that.
    verilog: str
    sources: str
    cells: int
    flops: int
    #: Femtojoules per cycle of its clock pins.
    clock_fj: float
    #: Cycles that were simulated, all instances together; femtojoules of all transitions; share of those that do not
    #: last to the end of a cycle.
    cycles: int
    fj: float
    glitches: float
    #: Femtojoules by component and action.
    prices: dict[tuple[str, str], float]

    def to_json(self) -> dict:
        """Plain JSON values."""
        return {**dataclasses.asdict(self.sample), "overrides": dict(self.sample.overrides), "verilog": self.verilog,
                "sources": self.sources, "cells": self.cells, "flops": self.flops,
                "clock_fj_per_cycle": float(f"{self.clock_fj:.5g}"), "cycles": self.cycles,
                "fj": float(f"{self.fj:.5g}"), "glitches": float(f"{self.glitches:.3g}"),
                "fj_per_action": {f"{component}: {action}": float(f"{fj:.5g}")
                                  for (component, action), fj in self.prices.items()}}


def separate(energy: np.ndarray, counts: list[np.ndarray], window: int = WINDOW) -> list[float]:
    """What each of ``counts``, all by cycle, costs: nothing below zero, and together all of ``energy``. Raises
    ValueError if nothing was done."""
    edges = np.arange(0, len(energy), window)
    target = np.add.reduceat(energy, edges)
    columns = np.stack([np.add.reduceat(count.astype(float), edges) for count in counts], axis=1)
    used = list(np.flatnonzero(columns.any(0)))
    if not used:
        raise ValueError("nothing was done")
    while True:
        found = np.linalg.lstsq(columns[:, used], target, rcond=None)[0]
        if len(used) == 1 or found.min() >= 0:
            break
        used.pop(int(found.argmin()))
    result = np.zeros(len(counts))
    result[used] = found
    return list(result * target.sum() / (columns @ result).sum())


def _network(name: str) -> IntegerNetwork:
    if name != "int8":
        return packed.load(bundled.find(name))
    dense = untrained.network(packed.load(bundled.find(RUNS[4])).topology, stored=True)
    random = np.random.default_rng(1)
    return dataclasses.replace(dense, layers=tuple(
        dataclasses.replace(layer, stored=layer.stored * random.integers(0, 2, layer.stored.shape, np.int8))
        for layer in dense.layers))


def engine(weight_bits: int) -> EngineConfig:
    """The engine that weights of that width are measured on: with a table memory for each decoder lane, as only
    memories with one read port are simulated (:mod:`reports.gates.netlist`)."""
    config = EngineConfig.preset(PRESET, table_lanes=1)
    return stored_engine(config, 8) if weight_bits == 8 else dataclasses.replace(config, weight_bits=weight_bits)


def _run(weight_bits: int, cache: Path | None) -> Mapping[str, Recording]:
    config, network = engine(weight_bits), _network(RUNS[weight_bits])
    pixels = images_from_uint8(datasets.load(bundled.IMAGES, "test").first(1).images)
    result, recordings = record(compile_network(network, config), pixels, cache=cache)
    last = network.topology.layers[-1].name
    if not np.array_equal(result.outputs, network.run(pixels)[last]):
        raise RuntimeError(f"{RUNS[weight_bits]} on the recorded engine differs from the integer model")
    return recordings


def _simulate(netlist: GateNetlist, recordings: Mapping[str, Recording], path: str, cache: Path | None) -> GateEnergy:
    def values(port: Port) -> np.ndarray:
        # Yosys numbers names that another module has too.
        outline = port.outline.partition("$")[0]
        return recordings[f"{path}.{outline}" if outline else path].bits(port.name)

    reset = recordings[path].values("rst") != 0
    compared = np.arange(len(reset)) >= len(reset) - reset[::-1].argmax()
    return simulate_gates(netlist, values, compared, cache=cache)


def _block(part: Part, weight_bits: int, recordings: Mapping[str, Recording], library: Library, cells: CellLibrary,
           yosys: str, cache: Path | None) -> Block:
    config = engine(weight_bits)
    preset = dataclasses.asdict(EngineConfig.preset(PRESET))
    overrides = {name: value for name, value in dataclasses.asdict(config).items()
                 if name != "name" and value != preset[name]}
    sample = Sample(part.block, PRESET, tuple(overrides.items()))
    netlist = gate_netlist(mapped_netlist(sample, yosys=yosys, library=library), cells)
    found = {path: _simulate(netlist, recordings, path, cache) for path in part.instances}
    energy = np.concatenate([one.fj for one in found.values()])
    counts = [np.concatenate(values) for values in
              zip(*(part.counts(recordings, path, config) for path in part.instances))]
    lasting = sum(one.lasting_fj.sum() for one in found.values())
    return Block(
        sample=sample, verilog=sample_verilog(sample), sources=sample_sources(sample), cells=netlist.cells,
        flops=netlist.flops, clock_fj=netlist.clock_fj, cycles=len(energy), fj=float(energy.sum()),
        glitches=float(1 - lasting / energy.sum()), prices=dict(zip(part.prices, separate(energy, counts))))


def measure(library: Library, *, yosys: str, cache: Path | None = None,
            progress: Callable[[Iterable], Iterable] = iter) -> Iterator[Block]:
    """Blocks of all runs, as they are done; ``progress`` wraps the list of what is to be done. Raises RuntimeError if
    Yosys fails or a netlist does something else than the RTL, ValueError for cells that cannot be simulated."""
    cells = CellLibrary(text.decode("latin-1") for text in library.texts().values())
    work = [(weight_bits, part) for index, weight_bits in enumerate(RUNS) for part in PARTS
            if part.by_weight_bits or not index]
    recorded = None, {}
    for weight_bits, part in progress(work):
        if recorded[0] != weight_bits:
            recorded = weight_bits, _run(weight_bits, cache)
        yield _block(part, weight_bits, recorded[1], library, cells, yosys, cache)
