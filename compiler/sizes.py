"""Sizes of what a layer fetches, and whether it stays on chip between the layer's strips."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from arch import descriptor, latency
from arch.config import MASK_WORD_BITS, SEGMENT_BYTES, EngineConfig
from compiler.geometry import Geometry

if TYPE_CHECKING:
    from compiler.masks import MaskStream


@dataclass(frozen=True)
class MaskSize:
    """Stored words of a layer's mask stream, and how many of them are requested when each column tile begins; the last
    entry is for the layer's end. All that planning needs to know of the masks."""

    words: int
    tile_words: tuple[int, ...]

    @classmethod
    def of(cls, stream: MaskStream) -> MaskSize:
        """The size of an encoded stream."""
        return cls(int(stream.words.size), tuple(stream.tile_words))


def content_beats(size: int, config: EngineConfig) -> int:
    """Beats of ``size`` bytes."""
    return -(-size // config.bus_bytes)


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


@dataclass(frozen=True)
class LayerSizes:
    """What a layer fetches, in beats with checksums, and how it uses the array."""

    mask: MaskSize
    mask_beats: int
    parameter_beats: int
    #: Whether masks and parameters stay on chip between strips.
    masks_stay: bool
    parameters_stay: bool
    #: Whether the masks of every column tile stay on chip between pixel tiles.
    tiles_stay: bool
    #: Beats of the largest column tile.
    tile_beats: int
    #: Bytes fetched again by every strip after the first.
    again_bytes: int
    #: Passes over the map, and pixels in one of its rows.
    passes: int
    row_pixels: int
    #: Cycles of the post-processor for a pixel of all column tiles.
    groups: int
    partial_sums: int
    #: Shortest pass that does not wait for weights.
    shortest: int

    @classmethod
    def of(cls, geometry: Geometry, mask: MaskSize, config: EngineConfig) -> LayerSizes:
        """Sizes of one layer."""
        mask_bytes = 2 * mask.words
        parameter_bytes = descriptor.PARAMETER_BYTES * geometry.layer.out_channels
        mask_beats, parameter_beats = checked_beats(mask_bytes, config), checked_beats(parameter_bytes, config)
        room = kept_mask_beats(config)
        masks_stay = content_beats(mask_bytes, config) <= room
        parameters_stay = geometry.layer.out_channels <= kept_channels(config)
        words_per_beat = config.bus_bits // MASK_WORD_BITS
        tile_beats = max(-(-last // words_per_beat) - first // words_per_beat
                         for first, last in zip(mask.tile_words, mask.tile_words[1:]))
        again = (0 if masks_stay else mask_beats) + (0 if parameters_stay else parameter_beats)
        return cls(
            mask=mask, mask_beats=mask_beats, parameter_beats=parameter_beats, masks_stay=masks_stay,
            parameters_stay=parameters_stay, tiles_stay=tile_beats <= room, tile_beats=tile_beats,
            again_bytes=again * config.bus_bytes,
            passes=geometry.column_tiles(config) * geometry.layer.kernel * geometry.run_chunks(config),
            row_pixels=geometry.map_shape[1],
            groups=sum(geometry.groups(config, tile) for tile in range(geometry.column_tiles(config))), partial_sums=config.partial_sums,
            shortest=max(config.columns // config.build_columns, latency.ACCUMULATE))

    def cycles(self, rows: int) -> int:
        """Cycles of the array for ``rows`` rows of the map, if only its weights can hold it up."""
        pixels = rows * self.row_pixels
        tiles = math.ceil(pixels / self.partial_sums)
        return self.passes * max(pixels, tiles * self.shortest)
