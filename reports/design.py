"""What one design costs: a network, its masks, a code and an engine, to bytes, cycles, area and energy.

All of it follows from shapes and densities; no weight is drawn. Bytes are those of the compiler's own plan with masks
of expected size, cycles those of the model that its tilings are chosen by (:mod:`compiler.estimate`); accesses follow
from both (:mod:`reports.records`).
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable
from dataclasses import dataclass

from arch.config import EngineConfig
from compiler.estimate import Estimate, estimate
from compiler.expected import Coats
from compiler.geometry import geometries
from golden import codes
from golden.densities import RELEASED_DENSITIES, schedule_densities
from golden.networks import network_topology
from golden.topology import Topology
from reports.actions import LayerRecord, actions
from reports.area import area, suited
from reports.energy import DRAM_PJ_PER_BIT, EnergyRange, default_sets, energies
from reports.engines import coat_engine, stored_engine
from reports.records import AnsTables, shape_record
from reports.stored import BITS, stored_estimate
from reports.traffic import topology_floor

NORMALISATION_BYTES = 12
"""Of a channel in a packed file: multiplier and bias (docs/specification.md, "Packed model")."""


def parse_schedule(text: str, coats: int) -> tuple[float, ...]:
    """Densities of ``coats`` coats from a schedule as the papers name it: "uniform:S" or "linear:S", S the fraction
    that the first coat removes, or "released", of whose three densities the first ``coats`` are taken. Raises
    ValueError for others."""
    name, colon, removed = text.partition(":")
    if name == "released" and not colon:
        if not 1 <= coats <= len(RELEASED_DENSITIES):
            raise ValueError(f"schedule released has densities of 1 to {len(RELEASED_DENSITIES)} coats, not {coats}")
        return RELEASED_DENSITIES[:coats]
    try:
        density = round(1 - float(removed), 12)
    except ValueError:
        density = 0.
    if name not in ("uniform", "linear") or not 0 < density <= 1:
        raise ValueError(f"schedule must be uniform:S, linear:S with 0 <= S < 1, the fraction that the first coat "
                         f"removes, or released, not {text!r}")
    return schedule_densities(name, density, coats)


@dataclass(frozen=True, kw_only=True)
class Design:
    """One network on one engine. ``coats`` from 1 to 7 with their ``schedule`` and ``code``; or, with ``coats`` 0, the
    baseline with stored weights of ``bits`` bits."""

    network: str
    config: EngineConfig
    coats: int = 0
    schedule: str = "uniform:0.7"
    code: str = "best"
    bits: int = 8
    #: Channels of the first stage; None is the network's own.
    width: int | None = None
    batch: int = 1

    def __post_init__(self):
        if self.coats:
            parse_schedule(self.schedule, self.coats)
        elif self.bits not in BITS:
            raise ValueError(f"bits must be one of {BITS}, not {self.bits!r}")

    @property
    def densities(self) -> tuple[float, ...]:
        """Kept fractions; none of stored weights."""
        return parse_schedule(self.schedule, self.coats) if self.coats else ()

    @property
    def topology(self) -> Topology:
        """The network's shapes."""
        return network_topology(self.network, width=self.width)

    @property
    def paper_bytes(self) -> float:
        """Size by the formula of the multicoated-supermask paper; stored weights as they are."""
        sizes = ((layer.weights, layer.out_channels * layer.normalised) for layer in self.topology.layers)
        return sum(codes.paper_bits(weights, self.densities, channels) if self.coats
                   else weights * self.bits + 32 * channels for weights, channels in sizes) / 8

    @property
    def engine(self) -> EngineConfig:
        """The configuration as it is built for this: weights as narrow as its coats allow, or as wide as stored."""
        if self.coats:
            return coat_engine(self.config, self.coats)
        return stored_engine(self.config, self.bits)


@dataclass(frozen=True, kw_only=True)
class Costs:
    """What a design costs. Traffic, cycles and energy are of a run of the whole batch."""

    design: Design
    #: As built: a baseline's weight buffer is as large as it takes.
    engine: EngineConfig
    estimate: Estimate
    #: Of the compulsory traffic (:mod:`reports.traffic`).
    floor_bytes: int
    #: Coded masks and normalisation, the header left out.
    packed_bytes: int
    record: LayerRecord
    energy: EnergyRange

    @property
    def paper_bytes(self) -> float:
        """As :attr:`Design.paper_bytes`."""
        return self.design.paper_bytes

    @property
    def weights(self) -> int:
        """Number of weights."""
        return sum(layer.weights for layer in self.estimate.weights)

    @property
    def code(self) -> str:
        """The code of most weights."""
        weights: dict[str, int] = {}
        for layer in self.estimate.weights:
            weights[layer.code] = weights.get(layer.code, 0) + layer.weights
        return max(weights, key=weights.__getitem__)

    def area(self, target: str, *, weight_path: bool | None = None) -> dict:
        """Area on ``target``: plain JSON values. Engines for stored weights are without the path that makes weights
        from masks, unless ``weight_path`` asks for it. Raises StalePoint without points of this RTL."""
        report = area(suited(self.engine, target), target,
                      weight_path=bool(self.design.coats) if weight_path is None else weight_path)
        return {"unit": report.unit, "total": report.total, "logic": report.logic.main, "memory": report.memory,
                "memory_blocks": report.memory_blocks, "modelled": list(report.modelled)}

    def to_json(self, targets: Iterable[str], accuracy: float | None = None) -> dict:
        """Plain JSON values, under the keys of the command line's contract."""
        run, design = self.estimate, self.design
        return {
            "network": design.network, "width": design.width, "coats": design.coats,
            "bits": None if design.coats else design.bits,
            "schedule": design.schedule if design.coats else None, "densities": list(design.densities),
            "code": self.code, "weights": self.weights, "macs": run.macs,
            "batch": run.batch, "paper_mib": self.paper_bytes / 2 ** 20, "shannon_bytes": run.shannon_bytes,
            "packed_bytes": self.packed_bytes, "dram_bytes": run.bytes, "dram_total_bytes": run.dram_bytes,
            "floor_bytes": self.floor_bytes, "cycles": run.cycles, "utilisation": run.utilisation,
            "engine": dataclasses.asdict(self.engine), "area": {target: self.area(target) for target in targets},
            "energy_pj": [one.to_json() for one in self.energy.energies], "accuracy": accuracy,
            "layers": [{"name": layer.name, "code": weights.code, "weights": weights.weights, "macs": layer.macs,
                        "cycles": layer.cycles, "mask_fetches": layer.mask_fetches, "dram_bytes": layer.bytes}
                       for layer, weights in zip(run.layers, run.weights)],
        }


def costs(design: Design, *, sets=None, dram_pj_per_bit: Iterable[float] = DRAM_PJ_PER_BIT) -> Costs:
    """What ``design`` costs. Raises CompileError if no such engine can run it, ValueError for an unknown network."""
    topology = design.topology
    if design.coats:
        run = estimate(topology, design.engine, Coats(design.densities, design.code), batch=design.batch)
    else:
        run = stored_estimate(topology, design.config, design.bits, batch=design.batch)
    engine = run.config
    record = _record(topology, run, engine, design.densities, design.bits)
    packed = sum(math.ceil(layer.packed_bytes) for layer in run.weights)
    return Costs(
        design=design, engine=engine, estimate=run,
        floor_bytes=topology_floor(topology, 8 * run.shannon_bytes, engine.activation_bytes, batch=design.batch).total,
        packed_bytes=packed + NORMALISATION_BYTES * sum(layer.out_channels for layer in topology.layers),
        record=record,
        energy=energies(actions(record, engine), engine, sets=default_sets() if sets is None else sets,
                        dram_pj_per_bit=dram_pj_per_bit))


def _record(topology: Topology, run: Estimate, engine: EngineConfig, densities: tuple[float, ...],
            bits: int) -> LayerRecord:
    """What all layers ask of the engine, descriptors included."""
    total, tables = LayerRecord(program_bytes=run.bytes["program_bytes"]), AnsTables()
    for geometry, layer, weights in zip(geometries(topology), run.layers, run.weights):
        moved = {name: size // run.batch for name, size in layer.bytes.items()}
        one = shape_record(
            engine, geometry, code="raw" if bits == 1 and not densities else weights.code, mask_words=layer.mask_words,
            pixel_tiles=layer.pixel_tiles // run.batch, moved=moved,
            cycles=layer.cycles // run.batch, ans_tables=tables.built(weights.table),
            zeros=1 - densities[0] if densities else 0.)
        total += one * run.batch
    return total if densities or bits > 1 else dataclasses.replace(total, stream_steps=0)
