"""A program's outline: its steps for every image of a batch, what each waits for, and the tiling of every strip.

All of it follows from shapes and sizes of masks, without any weights: :mod:`compiler.lower` makes a program of it,
:mod:`compiler.estimate` adds it up.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from arch.config import EngineConfig
from compiler.clock import Clock
from compiler.geometry import Geometry, tensors
from compiler.hazards import Hazards
from compiler.image import TensorRegions
from compiler.schedule import Tiling
from compiler.sizes import MaskSize
from compiler.steps import LayerStep, LoadStep, Step, StoreStep


@dataclass(frozen=True, eq=False)
class Outline:
    """What a run consists of, step by step."""

    #: Steps with the number of their image, in program order.
    run: list[tuple[Step, int]]
    #: The shape of every strip.
    parts: dict[LayerStep, Geometry]
    #: Waits of every step, and its tiling if it is a strip.
    waits: list[dict[str, int]]
    tilings: list[Tiling | None]
    #: How far everything is when the program ends, by the model that chose the tilings.
    clock: Clock

    @classmethod
    def of(cls, steps: Sequence[Step], layers: tuple[Geometry, ...], masks: Sequence[MaskSize], tables: Sequence,
           regions: TensorRegions, config: EngineConfig, batch: int, memory_bytes: int) -> Outline:
        """The outline of ``batch`` images, each in these ``steps``. ``tables`` are what :meth:`Clock.layer` asks for,
        by layer; ``regions`` are in a memory of ``memory_bytes``."""
        parts = {step: layers[step.layer].cut(step.strip, step.packed) for step in steps if isinstance(step, LayerStep)}
        run = [(step, number) for number in range(batch) for step in steps]
        waits = _waits(run, parts, regions, config, memory_bytes)
        clock = Clock(config)
        return cls(run, parts, waits, _tilings(run, parts, masks, tables, waits, clock), clock)


def with_early_stores(steps: tuple[Step, ...], layers: tuple[Geometry, ...], config: EngineConfig) -> list[Step]:
    """The steps, every store right behind the strip that writes the last of its bytes: what will take their place then
    seldom has to wait."""
    rows = tensors(layers, config)
    written: dict[str, list[tuple[int, int, int]]] = {geometry.name: [] for geometry in layers}
    places = []
    for place, step in enumerate(steps):
        if isinstance(step, LayerStep):
            name, strip = layers[step.layer].name, step.strip
            written[name].append((strip.first * rows[name].row_bytes, strip.last * rows[name].row_bytes, place))
        elif isinstance(step, StoreStep):
            place = max(place for first, last, place in written[step.tensor]
                        if first < step.offset + step.size and step.offset < last)
        places.append(place)
    return [steps[index] for index in sorted(range(len(steps)), key=places.__getitem__)]


def _waits(run: list[tuple[Step, int]], parts: dict[LayerStep, Geometry], regions: TensorRegions, config: EngineConfig,
           memory_bytes: int) -> list[dict[str, int]]:
    """What every step waits for."""
    hazards = Hazards(config, memory_bytes)
    waits = []
    for step, image in run:
        if isinstance(step, LayerStep):
            part = parts[step]
            residual = None
            if step.residual_address is not None:
                residual = step.residual_address, math.prod(part.map_shape)
            waits.append(hazards.layer((step.input_address, part.input_shape[0] * part.row_bytes), residual,
                                       (step.output_address, part.output_bytes)))
        else:
            wait = hazards.load if isinstance(step, LoadStep) else hazards.store
            address = regions.address(step.tensor, image) + step.offset
            waits.append(wait((address, step.size), (step.address, step.size)))
    return waits


def _tilings(run: list[tuple[Step, int]], parts: dict[LayerStep, Geometry], masks: Sequence[MaskSize], tables: Sequence,
             waits: list[dict[str, int]], clock: Clock) -> list[Tiling | None]:
    """The tiling of every strip, None for other steps."""
    awaited = {wait["wait_layers"] for (step, _), wait in zip(run, waits) if isinstance(step, LayerStep)}
    tilings: list[Tiling | None] = []
    for (step, _), wait in zip(run, waits):
        tiling = None
        if isinstance(step, LayerStep):
            tiling = clock.layer(wait, parts[step], masks[step.layer], tables[step.layer], clock.layers + 1 in awaited)
        elif isinstance(step, LoadStep):
            clock.load(wait, step.size)
        else:
            clock.store(wait, step.size)
        tilings.append(tiling)
    return tilings
