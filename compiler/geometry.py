"""The shape of a layer as the engine walks it: every length that placement, timing and descriptors share."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from arch.config import EngineConfig
from golden.topology import IMAGE, Layer, Topology

WIDE_BYTES = 4
"""Bytes of one value of a wide tensor."""


@dataclass(frozen=True)
class Strip:
    """Rows of a layer's output that one LAYER operation computes. All ranges are half open.

    A maximum pool computes every row of the map that its pooled rows need, so the maps of its strips overlap.
    """

    #: Rows of the output.
    first: int
    last: int
    #: Rows of the convolution's map.
    map_first: int
    map_last: int
    #: Rows of the input, without padding.
    input_first: int
    input_last: int


@dataclass(frozen=True)
class Tensor:
    """A tensor as memory sees it: rows one behind the other, an average pool's is one row."""

    name: str
    rows: int
    row_bytes: int
    #: Layers that read it, in order.
    uses: tuple[int, ...]
    #: Rows between two row boundaries that are beat boundaries: where a transfer may begin and end.
    quantum: int

    def rounded(self, row: int) -> int:
        """The first row boundary from ``row`` on at which a transfer may end."""
        return min(self.rows, -(-row // self.quantum) * self.quantum)


@dataclass(frozen=True, kw_only=True)
class Geometry:
    """Sizes of one layer, or of a strip of it. Shapes are (height, width, channels); ``map`` is the convolution's
    output before the pool."""

    layer: Layer
    #: Number of the layer.
    index: int
    input_shape: tuple[int, int, int]
    map_shape: tuple[int, int, int]
    output_shape: tuple[int, int, int]
    #: Rows of padding above the input, and of the pool's above the map.
    pad_rows: int
    pool_row_padding: int
    #: Input rows from one output row's window to the next.
    row_stride: int

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

    @property
    def macs(self) -> int:
        """Multiply-accumulates, padding counted."""
        return self.pixels * self.layer.out_channels * self.layer.fan_in

    @property
    def splits(self) -> bool:
        """Whether the layer may run in strips: an average pool needs the whole map."""
        return self.pool_kind != "average"

    def strip(self, first: int, last: int) -> Strip:
        """The strip that computes output rows ``first`` to ``last``; to the output's last row, all the map's rest."""
        layer, pool = self.layer, self.layer.pool
        map_first, map_last = first, last
        if self.pool_kind == "max":
            map_first = max(first * pool.stride - pool.padding, 0)
            map_last = (last - 1) * pool.stride - pool.padding + pool.kernel
        if last == self.output_shape[0]:
            map_last = self.map_shape[0]
        map_last = min(map_last, self.map_shape[0])
        return Strip(first, last, map_first, map_last, max(map_first * layer.stride - layer.padding, 0),
                     min((map_last - 1) * layer.stride - layer.padding + layer.kernel, self.input_shape[0]))

    def strips(self, height: int) -> tuple[Strip, ...]:
        """The whole layer in strips of ``height`` output rows; the last has the rest."""
        rows = self.output_shape[0]
        return tuple(self.strip(first, min(first + height, rows)) for first in range(0, rows, height))

    @property
    def skips_rows(self) -> bool:
        """Whether a strip's input can be the rows alone that its windows touch, one per row of the map."""
        return self.layer.kernel == 1 and self.layer.stride > 1 and self.layer.padding == 0

    def cut(self, strip: Strip, packed: bool = False) -> Geometry:
        """The strip as a layer of its own. ``packed``: its input is the rows alone that its windows touch."""
        layer, pool = self.layer, self.layer.pool
        rows = strip.map_last - strip.map_first
        return replace(
            self, input_shape=(rows if packed else strip.input_last - strip.input_first, *self.input_shape[1:]),
            row_stride=1 if packed else layer.stride, map_shape=(rows, *self.map_shape[1:]),
            output_shape=(strip.last - strip.first, *self.output_shape[1:]),
            pad_rows=strip.input_first - strip.map_first * layer.stride + layer.padding,
            pool_row_padding=strip.map_first - strip.first * pool.stride + pool.padding
            if self.pool_kind == "max" else 0)

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
    return tuple(Geometry(
        layer=layer, index=index, input_shape=shapes[layer.input],
        map_shape=(*layer.map_size(*shapes[layer.input][:2]), layer.out_channels), output_shape=shapes[layer.name],
        row_stride=layer.stride, pad_rows=layer.padding, pool_row_padding=layer.pool.padding if layer.pool else 0)
        for index, layer in enumerate(topology.layers))


def tensors(layers: tuple[Geometry, ...], config: EngineConfig) -> dict[str, Tensor]:
    """Every tensor by name, the image included."""
    uses: dict[str, list[int]] = {IMAGE: []} | {geometry.name: [] for geometry in layers}
    for geometry in layers:
        for name in {geometry.layer.input, geometry.layer.residual} - {None}:
            uses[name].append(geometry.index)
    shapes = {IMAGE: layers[0].input_shape} | {geometry.name: geometry.output_shape for geometry in layers}
    wide = {geometry.name for geometry in layers if geometry.layer.wide}
    found = {}
    for name, (height, width, channels) in shapes.items():
        row_bytes = width * channels * (WIDE_BYTES if name in wide else 1)
        found[name] = Tensor(name, height, row_bytes, tuple(uses[name]),
                             config.bus_bytes // math.gcd(row_bytes, config.bus_bytes))
    return found
