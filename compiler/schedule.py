"""Tiling: how many pixels a weight tile is used for, chosen by a model of the engine's pipeline in cycles.

The array works on one (column tile, pixel tile) while the post-processor writes the previous one back and the weight
builder prepares the next passes. The model follows these three through every tile, with the latencies that
:mod:`compiler.timing` has too; it leaves out bank conflicts, waiting for memory and the order of mask words.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from arch import latency
from arch.config import EngineConfig
from compiler.errors import CompileError
from compiler.geometry import Geometry
from compiler.masks import MaskStream
from compiler.sizes import kept_mask_beats

_CANDIDATES = 24


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


def drain_cycles(geometry: Geometry, groups: int) -> np.ndarray:
    """Post-processor cycles of every pixel of a column tile of ``groups`` groups, in raster order."""
    pool = geometry.layer.pool
    height, width, _ = geometry.map_shape
    if geometry.pool_kind != "max":
        return np.full(height * width, groups, np.int64)
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
    return cycles.ravel()


def run_layer(timeline: Timeline, geometry: Geometry, stream: MaskStream, tiling: Tiling,
              config: EngineConfig, ready: int) -> Timeline:
    """The timeline behind one layer or strip. ``ready`` is when what it waits for is done."""
    array, builder, post, halves = timeline.array, timeline.builder, timeline.post, timeline.halves
    array = max(array, ready) + 1
    summed = latency.ACTIVATION_READ + latency.array_depth(config.lanes) + latency.POST_TILE - 1
    passes = geometry.layer.kernel * geometry.run_chunks(config)
    for tile in range(tiling.column_tiles):
        columns = geometry.tile_columns(config, tile)
        words = stream.tile_words[tile + 1] - stream.tile_words[tile]
        build = max(passes * -(-columns // config.build_columns), -(-words // config.refill_words))
        groups = geometry.groups(config, tile)
        drained = np.concatenate([[0], np.cumsum(drain_cycles(geometry, groups))])
        for first in range(0, geometry.pixels, tiling.tile_pixels):
            last = min(first + tiling.tile_pixels, geometry.pixels)
            beats = max(last - first, latency.ACCUMULATE)
            begin = max(array, halves[0])
            # The builder can be as many passes ahead as there are slots.
            ahead = min(config.weight_slots, passes)
            build_begin = max(builder, begin - ahead * build // passes)
            array = max(begin + passes * beats, build_begin + build + latency.BUILT + beats)
            builder = max(build_begin + build, array - (config.weight_slots - 1) * beats + latency.SLOT_FREED)
            post = max(array + summed, post) + int(drained[last] - drained[first])
            halves = halves[1], post + latency.POST_HALF_FREED + 1
        if geometry.pool_kind == "average":
            post += latency.POST_AVERAGE + groups
        post += latency.POST_COLUMN_TILE
    # The post-processor takes the next layer when this one is done.
    post += latency.POST_LAYER - latency.POST_COLUMN_TILE
    return Timeline(array, builder, post, halves, (*timeline.done, post + 1))


def tilings(geometry: Geometry, stream: MaskStream, config: EngineConfig) -> list[Tiling]:
    """The tilings the engine can run, fewest pixel tiles first. Raises CompileError if there is none."""
    pixels, sums = geometry.pixels, config.partial_sums
    fewest = -(-pixels // sums)
    # Shorter passes than this only wait for weights or for the accumulators.
    shortest = max(config.columns // config.build_columns, latency.ACCUMULATE)
    most = max(fewest, min(pixels // shortest, fewest + _CANDIDATES))
    room = kept_mask_beats(config)
    needed = stream.tile_beats(config)
    if needed > room:
        if fewest > 1:
            raise CompileError(
                f"layer {geometry.name}: {pixels} pixels in {fewest} tiles of partial sums need {needed} beats of "
                f"coded masks kept on chip, the mask buffer can keep {room}: use a configuration with larger "
                f"mask_bytes or partial_sums of {1 << (pixels - 1).bit_length()}")
        most = 1
    sizes = sorted({-(-pixels // count) for count in range(fewest, most + 1)}, reverse=True)
    return [Tiling(geometry.column_tiles(config), -(-pixels // size), size) for size in sizes]


def best_tiling(timeline: Timeline, geometry: Geometry, stream: MaskStream, config: EngineConfig, ready: int,
                awaited: bool) -> Tiling:
    """The tiling that lets the next layer start first: behind the last write-back if it waits for this one, else behind
    the last pass. Then the one that is complete first, then fewer tiles."""
    def key(tiling: Tiling) -> tuple[int, int, int]:
        behind = run_layer(timeline, geometry, stream, tiling, config, ready)
        return behind.done[-1] if awaited else behind.array, behind.done[-1], tiling.pixel_tiles

    return min(tilings(geometry, stream, config), key=key)
