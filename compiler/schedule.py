"""Tiling: how many pixels a weight tile is used for, chosen by a model of the engine's pipeline in cycles.

The array works on one (column tile, pixel tile) while the post-processor writes the previous one back and the weight
builder prepares the next passes. The model follows these three through every tile, with the latencies that
:mod:`compiler.timing` has too; it leaves out bank conflicts, waiting for memory and the order of mask words.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from arch import latency
from arch.config import EngineConfig
from compiler.errors import CompileError
from compiler.geometry import Geometry
from compiler.sizes import MaskSize, kept_mask_beats

_CANDIDATES = 24

_Moment = tuple[int, int, int, int, int]
"""Array, builder, post-processor and halves of a :class:`Timeline`."""


@dataclass(frozen=True)
class Tiling:
    """Column tiles of K channels (the last holds the rest) and pixel tiles of ``tile_pixels`` (likewise)."""

    column_tiles: int
    pixel_tiles: int
    tile_pixels: int


@dataclass(frozen=True)
class Timeline:
    """How far each unit is, in cycles from the start of the program."""

    #: The next decision on a pass, and on a step of the weight builder; the last decision of the post-processor.
    array: int = 0
    builder: int = 0
    post: int = 0
    #: From when on each half of the partial sums is free; the first is the next one to be filled.
    halves: tuple[int, int] = (0, 0)
    #: When the output of each layer so far is complete.
    done: tuple[int, ...] = ()


@functools.lru_cache(maxsize=256)
def _pool_cycles(geometry: Geometry, groups: int) -> list[int]:
    """Post-processor cycles of a column tile of ``groups`` groups up to each pixel of a map with a maximum pool, in
    raster order, and to its end."""
    pool = geometry.layer.pool
    height, width, _ = geometry.map_shape
    windows = []
    for size, pooled, padding in ((height, geometry.output_shape[0], geometry.pool_row_padding),
                                  (width, geometry.output_shape[1], pool.padding)):
        counts = np.zeros(size, np.int64)
        for index in range(pooled):
            first = index * pool.stride - padding
            counts[max(first, 0):first + pool.kernel] += 1
        windows.append(counts)
    # With a residual, reads of residuals and of pooled bytes take turns.
    updates = np.outer(*windows) * groups * (1 if geometry.layer.residual is None else 2)
    cycles = np.where(updates == 0, 1, np.maximum(updates, latency.POOL_UPDATE))
    cycles[:, -1] = updates[:, -1] + latency.POOL_UPDATE
    return [0, *np.cumsum(cycles).tolist()]


def _drains(geometry: Geometry, groups: int, tile_pixels: int) -> list[tuple[int, int, int]]:
    """Pixel tiles of a column tile of ``groups`` groups: (count, pixels, post-processor cycles) of tiles that follow
    one another and are alike."""
    pixels = geometry.pixels
    if geometry.pool_kind == "max":
        cycles = _pool_cycles(geometry, groups)
        edges = [*range(0, pixels, tile_pixels), pixels]
        return [(1, last - first, cycles[last] - cycles[first]) for first, last in itertools.pairwise(edges)]
    full, rest = divmod(pixels, tile_pixels)
    return [(count, size, size * groups) for count, size in ((full, tile_pixels), (1, rest)) if count and size]


def _repeat(count: int, step: Callable[[_Moment], _Moment], moment: _Moment) -> _Moment:
    """``moment`` after ``count`` steps. A step adds and takes maxima, so once everything has moved on by the same, it
    goes on like that."""
    while count:
        before, moment = moment, step(moment)
        count -= 1
        moved = moment[0] - before[0]
        if count and all(new - old == moved for new, old in zip(moment, before)):
            return tuple(time + count * moved for time in moment)
    return moment


def run_layer(timeline: Timeline, geometry: Geometry, mask: MaskSize, tiling: Tiling,
              config: EngineConfig, ready: int) -> Timeline:
    """The timeline behind one layer or strip. ``ready`` is when what it waits for is done."""
    # From behind the last decision to the last read, and to the sums.
    read = latency.WINDOW_READ - 1
    summed = read + latency.ACTIVATION_READ + latency.array_depth(config) + latency.POST_TILE - 1
    passes = geometry.layer.kernel * geometry.run_chunks(config)
    # The builder can be as many passes ahead as there are slots.
    ahead, slots = min(config.weight_slots, passes), config.weight_slots - 1

    def pixel_tile(pixels: int, drain: int, build: int, moment: _Moment) -> _Moment:
        array, builder, post, half, other = moment
        beats = max(pixels, latency.ACCUMULATE)
        begin = max(array, half)
        build_begin = max(builder, begin - ahead * build // passes)
        array = max(begin + passes * beats, build_begin + build + latency.BUILT + beats)
        builder = max(build_begin + build, array - slots * beats + read + latency.SLOT_FREED)
        post = max(array + summed, post) + drain
        return array, builder, post, other, post + latency.POST_HALF_FREED + 1

    def column_tile(columns: int, build: int, moment: _Moment) -> _Moment:
        groups = columns if geometry.layer.wide else -(-columns // config.requantiser_lanes)
        for count, pixels, drain in _drains(geometry, groups, tiling.tile_pixels):
            moment = _repeat(count, functools.partial(pixel_tile, pixels, drain, build), moment)
        array, builder, post, half, other = moment
        if geometry.pool_kind == "average":
            post += latency.POST_AVERAGE + groups
        return array, builder, post + latency.POST_COLUMN_TILE, half, other

    tiles = []
    for tile, served in enumerate(mask.tile_cycles):
        columns = geometry.tile_columns(config, tile)
        tiles.append((columns, max(config.step_cycles * passes * -(-columns // config.build_columns), served)))
    moment = max(timeline.array, ready) + 1, timeline.builder, timeline.post, *timeline.halves
    for (columns, build), alike in itertools.groupby(tiles):
        moment = _repeat(len(list(alike)), functools.partial(column_tile, columns, build), moment)
    array, builder, post, half, other = moment
    post -= latency.POST_COLUMN_TILE
    done = post + latency.POST_WRITE + 1
    return Timeline(array, builder, post + latency.POST_LAYER, (half, other), (*timeline.done, done))


def tilings(geometry: Geometry, mask: MaskSize, config: EngineConfig) -> list[Tiling]:
    """The tilings the engine can run, fewest pixel tiles first. Raises CompileError if there is none."""
    pixels, sums = geometry.pixels, config.partial_sums
    fewest = -(-pixels // sums)
    # Shorter passes than this only wait for weights or for the accumulators.
    shortest = max(config.step_cycles * config.columns // config.build_columns, latency.ACCUMULATE)
    most = max(fewest, min(pixels // shortest, fewest + _CANDIDATES))
    room = kept_mask_beats(config)
    needed = mask.tile_beats(config)
    if needed > room:
        if fewest > 1:
            raise CompileError(
                f"layer {geometry.name}: {pixels} pixels in {fewest} tiles of partial sums need {needed} beats of "
                f"coded masks kept on chip, the mask buffer can keep {room}: use a configuration with larger "
                f"mask_bytes or partial_sums of {1 << (pixels - 1).bit_length()}")
        most = 1
    sizes = sorted({-(-pixels // count) for count in range(fewest, most + 1)}, reverse=True)
    return [Tiling(geometry.column_tiles(config), -(-pixels // size), size) for size in sizes]


def best_tiling(timeline: Timeline, geometry: Geometry, mask: MaskSize, config: EngineConfig, ready: int,
                awaited: bool) -> Tiling:
    """The tiling that lets the next layer start first: behind the last write-back if it waits for this one, else behind
    the last pass. Then the one that is complete first, then fewer tiles."""
    def key(tiling: Tiling) -> tuple[int, int, int]:
        behind = run_layer(timeline, geometry, mask, tiling, config, ready)
        return behind.done[-1] if awaited else behind.array, behind.done[-1], tiling.pixel_tiles

    return min(tilings(geometry, mask, config), key=key)
