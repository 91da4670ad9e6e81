"""What a program asks of the engine: its descriptors as loops, and the activation memories that each cycle touches."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from arch.config import MASK_WORD_BITS, EngineConfig
from arch.descriptor import PARAMETER_BYTES, PoolMode
from compiler.timing.requests import Requests


def _ceil(value: int, unit: int) -> int:
    return -(-value // unit)


def memories(addresses: np.ndarray, size: int | np.ndarray, config: EngineConfig) -> np.ndarray:
    """Which of the activation memories a run of ``size`` bytes, at most ``lanes``, at each of ``addresses`` touches:
    bit 2 b for the even words of bank b, bit 2 b + 1 for the odd ones (hw/activations.py)."""
    words = config.activation_bytes // config.lanes
    first = addresses // config.lanes
    last = (addresses + size - 1) // config.lanes

    def bit(word: np.ndarray) -> np.ndarray:
        word = word % words
        return np.left_shift(1, 2 * (word // (words // config.activation_banks)) + word % 2)

    return bit(first) | bit(last)


def beat_memories(address: int, beats: int, config: EngineConfig) -> list[int]:
    """The same for consecutive beats from ``address`` on."""
    size = config.bus_bytes
    return memories(address + size * np.arange(beats), size, config).tolist()


@dataclass(frozen=True, eq=False)
class Operation:
    """A descriptor."""

    config: EngineConfig
    fields: dict[str, int]

    def __getattr__(self, name: str) -> int:
        return self.fields[name]


@dataclass(frozen=True, eq=False)
class Layer(Operation):
    """A LAYER descriptor: passes, steps of the weight builder, steps of the post-processor."""

    requests: Requests

    @cached_property
    def tile_sizes(self) -> list[int]:
        """Pixels of every pixel tile."""
        sizes = [self.tile_pixels] * (_ceil(self.pixels, self.tile_pixels) - 1)
        return sizes + [self.pixels - sum(sizes)]

    @cached_property
    def tile_channels(self) -> list[int]:
        """Output channels of every column tile."""
        columns = self.config.columns
        return [min(columns, self.out_channels - first) for first in range(0, self.out_channels, columns)]

    @cached_property
    def passes(self) -> int:
        """Passes over a pixel tile."""
        return self.kernel_rows * self.run_chunks

    @cached_property
    def used_lanes(self) -> int:
        """Decoder lanes that decode anything."""
        return self.config.build_columns * min(self.run_bytes, self.config.lanes)

    @cached_property
    def steps(self) -> int:
        """Steps of the weight builder."""
        return len(self.tile_sizes) * self.passes * sum(
            _ceil(channels, self.config.build_columns) for channels in self.tile_channels)

    @cached_property
    def mask_content(self) -> int:
        """Beats of the mask stream, checksums not counted."""
        return _ceil(self.mask_words * MASK_WORD_BITS, self.config.bus_bits)

    @cached_property
    def parameter_content(self) -> int:
        """Beats of the parameter records, likewise."""
        return _ceil(self.out_channels * PARAMETER_BYTES, self.config.bus_bytes)

    # Windows: what the pass sequencer reads.

    @cached_property
    def _windows(self) -> list[np.ndarray]:
        """Per pixel tile, (passes, pixels): the memories that are read."""
        pixel = np.arange(self.pixels)
        origin = (self.input_address - self.pad_rows * self.row_bytes - self.pad_bytes
                  + pixel // self.map_width * self.row_step_bytes + pixel % self.map_width * self.step_bytes)
        row, chunk = np.divmod(np.arange(self.passes), self.run_chunks)
        offset = row * self.row_bytes + chunk * self.config.lanes
        touched = memories(offset[:, None] + origin, self.config.lanes, self.config)
        return np.split(touched, np.cumsum(self.tile_sizes)[:-1], axis=1)

    @cached_property
    def _window_lists(self) -> dict[int, list[list[int]]]:
        return {}

    def windows(self, tile: int) -> list[list[int]]:
        """The memories that every pass over pixel tile ``tile`` reads, pixel by pixel."""
        if tile not in self._window_lists:
            self._window_lists[tile] = self._windows[tile].tolist()
        return self._window_lists[tile]

    @cached_property
    def window_memories(self) -> int:
        """All memories that windows read."""
        return int(np.bitwise_or.reduce([np.bitwise_or.reduce(tile, axis=None) for tile in self._windows]))

    # Drain: what the post-processor reads and writes.

    @cached_property
    def group_channels(self) -> int:
        """Channels that the post-processor takes in a cycle."""
        return 1 if self.wide else self.config.requantiser_lanes

    def groups(self, column: int) -> int:
        """Steps of a pixel, or of a pool target of it, in column tile ``column``."""
        return _ceil(self.tile_channels[column], self.group_channels)

    def rows(self, column: int) -> int:
        """Rows of parameters of column tile ``column``."""
        return _ceil(self.tile_channels[column], self.config.requantiser_lanes)

    def _group_offsets(self, column: int) -> tuple[np.ndarray, np.ndarray]:
        """First channel of every group of column tile ``column``, and how many it has."""
        first = np.arange(self.groups(column)) * self.group_channels
        return (column * self.config.columns + first,
                np.minimum(self.group_channels, self.tile_channels[column] - first))

    def residuals(self, column: int, first: int, pixels: int) -> np.ndarray:
        """(pixels, groups): memories that hold the residuals of pixels from ``first`` on."""
        pixel = np.arange(first, first + pixels)
        channels, _ = self._group_offsets(column)
        addresses = self.residual_address + pixel[:, None] * self.out_channels + channels
        return memories(addresses, max(self.config.requantiser_lanes, 4), self.config)

    def writes(self, column: int, first: int, pixels: int) -> np.ndarray:
        """(pixels, groups): memories that the results of pixels from ``first`` on are written to, without a pool."""
        pixel = np.arange(first, first + pixels)
        size = 4 if self.wide else 1
        channels, present = self._group_offsets(column)
        addresses = self.output_address + size * (pixel[:, None] * self.out_channels + channels)
        return memories(addresses, size * present, self.config)

    def averages(self, column: int) -> np.ndarray:
        """(groups,): memories that an average pool writes."""
        channels, present = self._group_offsets(column)
        return memories(self.output_address + channels, present, self.config)

    @cached_property
    def targets(self) -> list[list[tuple[int, bool]]]:
        """Per pixel of the map, the maximum-pool targets in the order of hw/pool.py: the pooled pixel, and whether this
        is not the first pixel of its window."""
        kernel, stride = self.pool_kernel, self.pool_stride

        def axis(position: int, padding: int, windows: int) -> list[tuple[int, bool]]:
            near = (position + padding) // stride
            return [(window, position > max(0, window * stride - padding)) for window in (near, near - 1)
                    if 0 <= window < windows and position + padding - window * stride < kernel]

        columns = [axis(x, self.pool_padding, self.pool_width) for x in range(self.map_width)]
        result = []
        for y in range(self.pixels // self.map_width):
            rows = axis(y, self.pool_row_padding, self.pool_height)
            result += [[(row * self.pool_width + column, row_later or column_later)
                        for column, column_later in along for row, row_later in rows] for along in columns]
        return result

    def pooled(self, column: int) -> list[list[int]]:
        """By pooled pixel and group, the memories that are read to update it."""
        return self._pooled[column][0]

    def pooled_writes(self, column: int) -> list[list[int]]:
        """Likewise, those that are written."""
        return self._pooled[column][1]

    @cached_property
    def _pooled(self) -> list[list[list[list[int]]]]:
        pixel = np.arange(self.pool_height * self.pool_width)
        tables = []
        for column in range(len(self.tile_channels)):
            channels, present = self._group_offsets(column)
            addresses = self.output_address + pixel[:, None] * self.out_channels + channels
            sizes = max(self.config.requantiser_lanes, 4), present
            tables.append([memories(addresses, size, self.config).tolist() for size in sizes])
        return tables

    @cached_property
    def read_memories(self) -> int:
        """All memories that the post-processor reads."""
        touched = 0
        for column in range(len(self.tile_channels)):
            if self.residual:
                touched |= int(np.bitwise_or.reduce(self.residuals(column, 0, self.pixels), axis=None))
            if self.pool == PoolMode.MAX:
                touched |= int(np.bitwise_or.reduce(np.array(self.pooled(column)), axis=None))
        return touched
