"""What a result costs on an engine, in bytes, cycles, energy and area; where we had to choose, in favour of stored
weights.

Coats run on the narrowest engine that holds them. Stored weights run on the engine for their width as if it had an
entropy decoder of no energy, no area and any speed: masks in memory, in the weight buffer and on their way to the array
have their coded size, and the path that makes weights from masks is left out of the area.

An engine multiplies by zeros as well. The bound ``skipping`` is of one that does not, for nothing: accesses, cycles and
energy of all that happens per weight or per multiply-accumulate shrink with the fraction of weights that are not zero,
on either side. A coat's random stream and the reads of decoding tables do not, as symbols come in order.
"""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from functools import lru_cache

from arch.config import EngineConfig
from compiler.estimate import Traffic, traffic
from compiler.expected import Coats, Stored, code_of, expected_mask, table
from compiler.geometry import Geometry, geometries
from compiler.sizes import MaskSize
from reports.actions import LayerRecord, actions
from reports.area import area, suited
from reports.critique.record import Result
from reports.design import NORMALISATION_BYTES
from reports.energy import EnergyRange, energies
from reports.engines import coat_engine, stored_engine
from reports.records import AnsTables, shape_record

TARGETS = ("ecp5", "asap7")
"""Targets that areas are given for."""

_SKIPPED = ("cycles", "passes", "beats", "macs", "steps", "weights_built", "activation_reads")


@dataclass(frozen=True, kw_only=True)
class Run:
    """One image on the engine."""

    cycles: int
    energy: EnergyRange


@dataclass(frozen=True, kw_only=True)
class Costs:
    """What a result costs."""

    result: Result
    engine: EngineConfig
    #: Coded weights, and the same with multiplier and bias of every channel; file headers are in neither.
    weight_bytes: int
    model_bytes: int
    #: Bytes that cross the memory interface for one image.
    dram_bytes: int
    macs: int
    built: Run
    skipping: Run
    #: As built, with stored weights decoded at what a symbol of coats takes; tables still cost nothing.
    decoding: Run

    @property
    def accuracy(self) -> float:
        """In per cent."""
        return 100 * self.result.integer_accuracy

    def area(self, target: str, *, decoder: bool = False) -> float:
        """The engine in LUTs or square micrometres. That for stored weights has no path that makes weights from masks,
        or with ``decoder`` that of coats, for want of an entropy decoder of its own. Raises StalePoint without points
        of this RTL."""
        return area(suited(self.engine, target), target, weight_path=decoder or bool(self.result.coats)).total


def _shrunk(size: MaskSize, share: float) -> MaskSize:
    return MaskSize(math.ceil(size.words * share), tuple(math.ceil(words * share) for words in size.tile_words),
                    tuple(math.ceil(cycles * share) for cycles in size.tile_cycles))


def _weights(result: Result) -> Coats | Stored:
    return Coats(result.densities) if result.coats else Stored(result.bits)


def _mask(geometry: Geometry, result: Result, engine: EngineConfig) -> MaskSize:
    size = expected_mask(geometry, _weights(result), engine).size
    if result.coats:
        return size
    return _shrunk(size, result.coded_bits[geometry.index] / (geometry.layer.weights * result.bits))


def _record(result: Result, run: Traffic, *, skipping: bool = False, decoding: bool = False) -> LayerRecord:
    total, tables = LayerRecord(program_bytes=run.bytes["program_bytes"]), AnsTables()
    for geometry, layer in zip(geometries(result.topology), run.layers, strict=True):
        weights, count = _weights(result), geometry.layer.weights
        zeros = result.zeros[geometry.index] / count
        one = shape_record(run.config, geometry, code=code_of(weights, count), mask_words=layer.mask_words,
                           pixel_tiles=layer.pixel_tiles, moved=layer.bytes, cycles=layer.cycles,
                           ans_tables=tables.built(table(weights, count)), zeros=zeros)
        if skipping:
            shrunk = {name: round((1 - zeros) * getattr(one, name)) for name in _SKIPPED}
            one = dataclasses.replace(one, **shrunk, zero_macs=0)
        if decoding and not result.coats:
            one = dataclasses.replace(one, ans_symbols=one.weights_built)
        total += one
    return total


def _run(record: LayerRecord, engine: EngineConfig) -> Run:
    return Run(cycles=record.cycles, energy=energies(actions(record, engine), engine))


@lru_cache(maxsize=None)
def costs(result: Result, preset: EngineConfig) -> Costs:
    """What ``result`` costs on an engine of ``preset`` with weights as wide as it needs. Raises CompileError if that
    cannot run it."""
    engine = coat_engine(preset, result.coats) if result.coats else stored_engine(preset, result.bits)
    layers = geometries(result.topology)
    masks = [_mask(geometry, result, engine) for geometry in layers]
    tables = [table(_weights(result), geometry.layer.weights) for geometry in layers]
    run = traffic(result.topology, engine, masks, tables)
    channels = sum(geometry.layer.out_channels for geometry in layers)
    weight_bytes = sum(math.ceil(bits / 8) for bits in result.coded_bits)
    return Costs(
        result=result, engine=engine, weight_bytes=weight_bytes,
        model_bytes=weight_bytes + NORMALISATION_BYTES * channels, dram_bytes=run.dram_bytes, macs=run.macs,
        built=_run(_record(result, run), engine), skipping=_run(_record(result, run, skipping=True), engine),
        decoding=_run(_record(result, run, decoding=True), engine))
