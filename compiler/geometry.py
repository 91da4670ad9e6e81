"""The shape of a layer as the engine walks it: every length that scheduling, allocation and descriptors share."""

from __future__ import annotations

from dataclasses import dataclass

from arch.config import EngineConfig
from golden.topology import IMAGE, Layer, Topology

WIDE_BYTES = 4
"""Bytes of one value of a wide tensor."""


@dataclass(frozen=True, kw_only=True)
class Geometry:
    """Sizes of one layer. Shapes are (height, width, channels); ``map`` is the convolution's output before the pool.

    ``producer`` is the index of the layer that writes the input, -1 for the image; ``residual_producer`` likewise,
    None without a residual.
    """

    layer: Layer
    index: int
    producer: int
    residual_producer: int | None
    input_shape: tuple[int, int, int]
    map_shape: tuple[int, int, int]
    output_shape: tuple[int, int, int]

    @property
    def name(self) -> str:
        """Name of the layer and of the tensor it writes."""
        return self.layer.name

    @property
    def pool_kind(self) -> str | None:
        """"max", "average" or None."""
        return self.layer.pool.kind if self.layer.pool else None

    @property
    def row_bytes(self) -> int:
        """Bytes of one row of the input map."""
        return self.input_shape[1] * self.input_shape[2]

    @property
    def run_bytes(self) -> int:
        """Bytes of one kernel row: kernel x in_channels."""
        return self.layer.kernel * self.layer.in_channels

    @property
    def pixels(self) -> int:
        """Pixels of the convolution's output map."""
        return self.map_shape[0] * self.map_shape[1]

    @property
    def output_bytes(self) -> int:
        """Bytes of the tensor the layer writes."""
        height, width, channels = self.output_shape
        return height * width * channels * (WIDE_BYTES if self.layer.wide else 1)

    def run_chunks(self, config: EngineConfig) -> int:
        """Chunks of ``lanes`` bytes in one run."""
        return -(-self.run_bytes // config.lanes)

    def column_tiles(self, config: EngineConfig) -> int:
        """Tiles of ``columns`` output channels."""
        return -(-self.layer.out_channels // config.columns)

    def tile_columns(self, config: EngineConfig, tile: int) -> int:
        """Output channels of column tile number ``tile``."""
        return min(config.columns, self.layer.out_channels - tile * config.columns)

    def groups(self, config: EngineConfig, tile: int) -> int:
        """Cycles in which the post-processor takes one pixel of a column tile: a wide value at a time, else R."""
        columns = self.tile_columns(config, tile)
        return columns if self.layer.wide else -(-columns // config.requantiser_lanes)


def geometries(topology: Topology) -> tuple[Geometry, ...]:
    """One :class:`Geometry` per layer, in running order."""
    shapes = {name: (height, width, channels) for name, (channels, height, width) in topology.shapes().items()}
    numbers = {IMAGE: -1} | {layer.name: index for index, layer in enumerate(topology.layers)}
    return tuple(Geometry(
        layer=layer, index=index, producer=numbers[layer.input],
        residual_producer=None if layer.residual is None else numbers[layer.residual],
        input_shape=shapes[layer.input],
        map_shape=(*layer.map_size(*shapes[layer.input][:2]), layer.out_channels),
        output_shape=shapes[layer.name]) for index, layer in enumerate(topology.layers))
