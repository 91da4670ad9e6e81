"""A network's traffic and cycles from its shapes alone: no weights, no masks, no memory image.

Plan, waits and tilings are those of :func:`compiler.compile_network`, so that masks of the same sizes give the same
bytes. Cycles are those of :mod:`compiler.schedule`, the model that tilings are chosen by, for an ideal memory.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Sequence
from dataclasses import dataclass

from arch import descriptor
from arch.config import EngineConfig
from arch.counters import STREAMS
from compiler.checks import check_length, check_shapes
from compiler.expected import Coats, Stored, code_of, expected_mask, packed_bits, shannon_bits, table
from compiler.geometry import Geometry, geometries
from compiler.image import Allocator, TensorRegions
from compiler.outline import Outline, with_early_stores
from compiler.planning import plan
from compiler.sizes import MaskSize, fetched_bytes
from compiler.steps import LayerStep, LoadStep, StoreStep
from golden.topology import Topology


@dataclass(frozen=True, kw_only=True)
class LayerTraffic:
    """One layer in a run of a whole batch."""

    name: str
    index: int
    #: LAYER operations for one image.
    strips: int
    macs: int
    #: 16-bit words of its mask stream, and how often a run fetches it.
    mask_words: int
    mask_fetches: int
    #: Tiles of partial sums in which its map is computed, all strips and images together.
    pixel_tiles: int
    #: Cycles from the end of the layer before it to its own.
    cycles: int
    #: By ``<stream>_bytes``, without the program.
    bytes: dict[str, int]


@dataclass(frozen=True, kw_only=True)
class Traffic:
    """A run of ``batch`` images."""

    config: EngineConfig
    batch: int
    layers: tuple[LayerTraffic, ...]
    descriptors: int
    #: With an ideal memory.
    cycles: int

    @property
    def macs(self) -> int:
        """Multiply-accumulates."""
        return sum(layer.macs for layer in self.layers)

    @property
    def bytes(self) -> dict[str, int]:
        """Bytes that cross the memory interface, by ``<stream>_bytes``."""
        moved = Counter({f"{stream}_bytes": 0 for stream in STREAMS})
        moved["program_bytes"] = self.descriptors * descriptor.BYTES
        for layer in self.layers:
            moved.update(layer.bytes)
        return dict(moved)

    @property
    def dram_bytes(self) -> int:
        """All of them."""
        return sum(self.bytes.values())

    @property
    def utilisation(self) -> float:
        """Multiply-accumulates over what the array could do in all cycles."""
        return self.macs / (self.cycles * self.config.macs_per_cycle)


@dataclass(frozen=True, kw_only=True)
class LayerWeights:
    """The weights of one layer: number, code, and bytes by three measures."""

    weights: int
    #: "raw", "unary", "ans" or "stored".
    code: str
    #: What stands for the decoding table of code `ans`; None for other codes.
    table: Hashable | None
    #: In a packed file, at the entropy's bound, and as coded bits of the mask stream.
    packed_bytes: float
    shannon_bytes: float
    coded_bytes: float


@dataclass(frozen=True, kw_only=True)
class Estimate(Traffic):
    """What to expect of a network whose weights nobody has drawn."""

    #: By layer.
    weights: tuple[LayerWeights, ...]

    @property
    def packed_bytes(self) -> float:
        """Masks in a packed file, without header and normalisation."""
        return sum(layer.packed_bytes for layer in self.weights)

    @property
    def shannon_bytes(self) -> float:
        """The least that the masks can take."""
        return sum(layer.shannon_bytes for layer in self.weights)


def estimate(topology: Topology, config: EngineConfig, weights: Coats | Stored | Sequence[Coats | Stored], *,
             batch: int = 1) -> Estimate:
    """What a run of ``batch`` images of ``topology`` costs on an engine of ``config``; ``weights`` are those of all
    layers, or one entry per layer.

    Raises CompileError if the engine cannot run it. Widths of tables and sums are not looked at, so that stored weights
    may be wider than the engine's. Against :func:`compiler.compile_network`: tests/compiler/test_estimate.py.
    """
    layers = geometries(topology)
    each = (weights,) * len(layers) if isinstance(weights, (Coats, Stored)) else tuple(weights)
    if len(each) != len(layers):
        raise ValueError(f"weights must be given for {len(layers)} layers, not {len(each)}")
    masks = [expected_mask(geometry, one, config) for geometry, one in zip(layers, each)]
    counts = [geometry.layer.weights for geometry in layers]
    tables = list(map(table, each, counts))
    run = traffic(topology, config, [mask.size for mask in masks], tables, batch=batch)
    return Estimate(**vars(run), weights=tuple(
        LayerWeights(weights=count, code=code_of(one, count), table=entries, packed_bytes=packed_bits(one, count) / 8,
                     shannon_bytes=shannon_bits(one, count) / 8, coded_bytes=mask.bits / 8)
        for one, count, mask, entries in zip(each, counts, masks, tables)))


def traffic(topology: Topology, config: EngineConfig, masks: Sequence[MaskSize], tables: Sequence[Hashable | None], *,
            batch: int = 1) -> Traffic:
    """What a run costs with mask streams of known sizes: every byte, and cycles, about. ``tables`` stand for the
    decoding tables of layers in code `ans`, None for other codes."""
    if batch < 1:
        raise ValueError(f"batch must be at least 1, not {batch!r}")
    layers = geometries(topology)
    check_shapes(layers)
    steps = with_early_stores(plan(layers, masks, config), layers, config)
    check_length(topology.name, steps, batch)
    memory = Allocator(config)
    regions = TensorRegions(memory, layers, steps, config, batch)
    outline = Outline.of(steps, layers, masks, tables, regions, config, batch, memory.size)
    moved = _moved(outline, layers, masks, config)
    cycles = _layer_cycles(outline, len(layers))
    strips = Counter(step.layer for step in steps if isinstance(step, LayerStep))
    fetches, tiles = Counter(), Counter()
    for (step, _), tiling in zip(outline.run, outline.tilings):
        if isinstance(step, LayerStep):
            fetches[step.layer] += not step.mask_reuse
            tiles[step.layer] += tiling.pixel_tiles
    return Traffic(
        config=config, batch=batch, descriptors=len(outline.run) + 2, cycles=outline.clock.cycles,
        layers=tuple(LayerTraffic(
            name=geometry.name, index=geometry.index, strips=strips[geometry.index], macs=batch * geometry.macs,
            mask_words=masks[geometry.index].words, mask_fetches=fetches[geometry.index],
            pixel_tiles=tiles[geometry.index],
            cycles=cycles[geometry.index], bytes=moved[geometry.index]) for geometry in layers))


def _moved(outline: Outline, layers: tuple[Geometry, ...], masks: Sequence[MaskSize],
           config: EngineConfig) -> list[dict[str, int]]:
    """Bytes by layer and stream."""
    moved = [{f"{stream}_bytes": 0 for stream in STREAMS[1:]} for _ in layers]
    numbers = {geometry.name: geometry.index for geometry in layers}
    for step, _ in outline.run:
        if isinstance(step, LoadStep):
            moved[step.layer]["load_bytes"] += step.size
        elif isinstance(step, StoreStep):
            moved[numbers[step.tensor]]["store_bytes"] += step.size
        else:
            mask, parameter = fetched_bytes(step, layers[step.layer], masks[step.layer], config)
            moved[step.layer]["mask_bytes"] += mask
            moved[step.layer]["parameter_bytes"] += parameter
    return moved


def _layer_cycles(outline: Outline, layers: int) -> list[int]:
    """Cycles by layer; those behind the last one's end are its own."""
    cycles, before = [0] * layers, 0
    strips = [step.layer for step, _ in outline.run if isinstance(step, LayerStep)]
    for layer, done in zip(strips, (*outline.clock.done[:-1], outline.clock.cycles)):
        cycles[layer] += done - before
        before = done
    return cycles
