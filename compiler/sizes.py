"""Sizes of what a layer fetches, and whether it stays on chip between the layer's strips."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from arch import descriptor, latency
from arch.config import MASK_WORD_BITS, SEGMENT_BYTES, EngineConfig
from compiler.geometry import Geometry
from compiler.steps import LayerStep

if TYPE_CHECKING:
    from compiler.masks import MaskStream


@dataclass(frozen=True)
class MaskSize:
    """Stored words of a layer's mask stream; how many of them are requested when each column tile begins, the last
    entry for the layer's end; and in how many cycles each column tile's requests are served. All that planning and
    timing by :mod:`compiler.schedule` need to know of the masks."""

    words: int
    tile_words: tuple[int, ...]
    tile_cycles: tuple[int, ...]

    @classmethod
    def of(cls, stream: MaskStream) -> MaskSize:
        """The size of an encoded stream."""
        return cls(int(stream.words.size), stream.tile_words, stream.tile_cycles)

    def tile_beats(self, config: EngineConfig) -> int:
        """Beats that the largest column tile touches: what has to be kept to decode it again."""
        words_per_beat = config.bus_bits // MASK_WORD_BITS
        return max(-(-last // words_per_beat) - first // words_per_beat
                   for first, last in itertools.pairwise(self.tile_words))


def content_beats(size: int, config: EngineConfig) -> int:
    """Beats of ``size`` bytes."""
    return -(-size // config.bus_bytes)


def mask_bytes(mask: MaskSize) -> int:
    """Bytes of a layer's mask stream, without checksums."""
    return mask.words * MASK_WORD_BITS // 8


def parameter_bytes(geometry: Geometry) -> int:
    """Bytes of a layer's parameters, without checksums."""
    return descriptor.PARAMETER_BYTES * geometry.layer.out_channels


def segment_beats(config: EngineConfig) -> int:
    """Beats of content in a whole segment: all but the one with the checksum."""
    return SEGMENT_BYTES // config.bus_bytes - 1


def checked_beats(size: int, config: EngineConfig) -> int:
    """Beats of ``size`` bytes in checked segments, checksums included."""
    beats = content_beats(size, config)
    return beats + -(-beats // segment_beats(config))


def kept_mask_beats(config: EngineConfig) -> int:
    """Most beats of masks that can be decoded again. The reader asks for whole bursts, so up to a burst less one beat
    behind them has to fit as well."""
    return config.mask_bytes // config.bus_bytes - (config.burst_beats - 1)


def kept_channels(config: EngineConfig) -> int:
    """Most channels whose parameters stay for the next layer: behind them go a column tile and a burst."""
    burst = -(-config.burst_beats * config.bus_bytes // descriptor.PARAMETER_BYTES)
    return config.parameter_channels - config.columns - burst


def stays(geometry: Geometry, mask: MaskSize, config: EngineConfig) -> tuple[bool, bool]:
    """Whether masks and parameters of a layer stay on chip between its strips."""
    return (content_beats(mask_bytes(mask), config) <= kept_mask_beats(config),
            geometry.layer.out_channels <= kept_channels(config))


def fetched_bytes(step: LayerStep, geometry: Geometry, mask: MaskSize, config: EngineConfig) -> tuple[int, int]:
    """Bytes of masks and of parameters that a strip of a layer fetches."""
    masks = 0 if step.mask_reuse else checked_beats(mask_bytes(mask), config)
    parameters = 0 if step.parameter_reuse else checked_beats(parameter_bytes(geometry), config)
    return masks * config.bus_bytes, parameters * config.bus_bytes


@dataclass(frozen=True)
class Supposition:
    """What a plan is made for, whatever the engine and the masks are: layers of at most so many ``weights`` and
    ``channels`` stay on chip between their strips, and a weight has so many ``bits``."""

    weights: int
    channels: int
    bits: float


@dataclass(frozen=True)
class LayerSizes:
    """What planning needs to know of a layer: what is fetched again, and how it uses the array."""

    #: Whether the masks of every column tile stay on chip between pixel tiles.
    tiles_stay: bool
    #: Bytes fetched again by every strip after the first.
    again_bytes: int
    #: Passes over the map, and pixels in one of its rows.
    passes: int
    row_pixels: int
    #: Cycles of the post-processor for a pixel of all column tiles.
    groups: int
    #: Shortest pass that does not wait for weights.
    shortest: int

    @classmethod
    def of(cls, geometry: Geometry, supposed: Supposition, config: EngineConfig, *, tiles_stay: bool) -> LayerSizes:
        """Sizes of one layer."""
        layer, again = geometry.layer, 0
        if layer.weights > supposed.weights:
            again += checked_beats(math.ceil(layer.weights * supposed.bits / 8), config)
        if layer.out_channels > supposed.channels:
            again += checked_beats(parameter_bytes(geometry), config)
        tiles = geometry.column_tiles(config)
        return cls(
            tiles_stay=tiles_stay, again_bytes=again * config.bus_bytes,
            passes=tiles * geometry.layer.kernel * geometry.run_chunks(config), row_pixels=geometry.map_shape[1],
            groups=sum(geometry.groups(config, tile) for tile in range(tiles)),
            shortest=max(config.columns // config.build_columns, latency.ACCUMULATE))

    def cycles(self, rows: int) -> int:
        """Cycles of the array for ``rows`` rows of the map, if only its weights can hold it up."""
        return self.passes * max(rows * self.row_pixels, self.shortest)
