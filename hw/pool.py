"""Addresses of maximum pooling: which pooled pixels a convolution pixel belongs to."""

from amaranth import *
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from arch.config import EngineConfig
from arch.descriptor import FIELDS
from hw.commands import PostCommand

__all__ = ["PoolWindows"]


class _Axis(wiring.Component):
    """The pool windows along one axis that hold the current map position: at most two, ``near`` and the one before.

    Operation: ``restart`` goes to position 0, ``advance`` to the next position; everything is kept by counting.
    """

    def __init__(self, config: EngineConfig):
        address = config.activation_address_bits
        super().__init__({
            "kernel": In(FIELDS["pool_kernel"].bits),
            "stride": In(FIELDS["pool_stride"].bits),
            "padding": In(FIELDS["pool_padding"].bits),
            #: Number of windows.
            "windows": In(16),
            #: Bytes from one window's pooled pixel to the next.
            "pitch": In(address),
            "restart": In(1),
            "advance": In(1),
            #: The position is in the window that starts last at or before it.
            "near": Out(1),
            #: The position is in the window before that.
            "far": Out(1),
            #: The position is the first one of that window inside the map.
            "near_first": Out(1),
            "far_first": Out(1),
            #: Byte offset of the near window's pooled pixel.
            "offset": Out(address),
        })

    def elaborate(self, platform):
        m = Module()
        phase = Signal(5)
        window = Signal(17)
        edge = Signal()
        m.d.comb += [
            self.near.eq((phase < self.kernel) & (window < self.windows)),
            self.far.eq((phase + self.stride < self.kernel) & (window != 0) & (window <= self.windows)),
            self.near_first.eq((phase == 0) | edge),
            self.far_first.eq(edge),
        ]
        # kernel <= 2 x stride and padding < kernel: position 0 has phase `padding` or `padding - stride`.
        late = self.padding >= self.stride
        with m.If(self.restart):
            m.d.sync += [
                phase.eq(Mux(late, self.padding - self.stride, self.padding)),
                window.eq(late),
                self.offset.eq(Mux(late, self.pitch, 0)),
                edge.eq(1),
            ]
        with m.Elif(self.advance):
            m.d.sync += edge.eq(0)
            with m.If(phase + 1 == self.stride):
                m.d.sync += [phase.eq(0), window.eq(window + 1), self.offset.eq(self.offset + self.pitch)]
            with m.Else():
                m.d.sync += phase.eq(phase + 1)
        return m


class PoolWindows(wiring.Component):
    """Walks a convolution's map in raster order and lists, for each pixel, the pool windows that hold it.

    Operation: the map has ``pool_padding`` columns of padding at its left and ``pool_row_padding`` rows above it, 0 for
    a strip that begins with a window. A cycle of ``restart`` and then one of ``advance`` make the map's first pixel
    current; every further ``advance`` makes the next one current, with all its targets pending. ``drop`` ends the
    current target.
    Targets come column by column, the later window first: the target that the next pixel shares is then never earlier
    in the next pixel's list, so updates of one pooled pixel within a map row are at least a pixel's duration apart.

    Latency: registered; the offsets are those of the current target.

    Members
    -------
    layer : In(PostCommand)
        Static from ``restart`` on; ``pool_kernel <= 2 * pool_stride``.
    restart, advance, drop : In(1)
    empty : Out(1)
        The current pixel has no pending target.
    single : Out(1)
        It has exactly one.
    first : Out(1)
        The current pixel is the first of the current target's window.
    row_end : Out(1)
        The current pixel is the last of a map row.
    column_offset, row_offset : Out(unsigned)
        Their sum is the byte offset, for channel 0, of the current target.
    """

    def __init__(self, config: EngineConfig):
        self._config = config
        super().__init__({
            "layer": In(PostCommand),
            "restart": In(1),
            "advance": In(1),
            "drop": In(1),
            "empty": Out(1),
            "single": Out(1),
            "first": Out(1),
            "row_end": Out(1),
            "column_offset": Out(config.activation_address_bits),
            "row_offset": Out(config.activation_address_bits),
        })

    def elaborate(self, platform):
        m = Module()
        layer = self.layer
        m.submodules.columns = columns = _Axis(self._config)
        m.submodules.rows = rows = _Axis(self._config)

        # The axes are at the pixel after the current one.
        columns_left = Signal(16)
        wraps = columns_left == 1
        for axis, padding, windows, pitch in (
                (columns, layer.pool_padding, layer.pool_width, layer.out_channels),
                (rows, layer.pool_row_padding, layer.pool_height, layer.pool_row_bytes)):
            m.d.comb += [
                axis.kernel.eq(layer.pool_kernel),
                axis.stride.eq(layer.pool_stride),
                axis.padding.eq(padding),
                axis.windows.eq(windows),
                axis.pitch.eq(pitch),
            ]
        m.d.comb += [
            columns.restart.eq(self.restart | (self.advance & wraps)),
            columns.advance.eq(self.advance),
            rows.restart.eq(self.restart),
            rows.advance.eq(self.advance & wraps),
        ]
        with m.If(columns.restart):
            m.d.sync += columns_left.eq(layer.map_width)
        with m.Elif(self.advance):
            m.d.sync += columns_left.eq(columns_left - 1)

        # The current pixel. Pending targets: both near, row far, column far, both far.
        pending = Signal(4)
        place = data.StructLayout({"near_first": 1, "far_first": 1, "offset": self._config.activation_address_bits})
        column, row = Signal(place), Signal(place)
        with m.If(self.advance):
            m.d.sync += [
                pending.eq(Cat(columns.near & rows.near, columns.near & rows.far,
                               columns.far & rows.near, columns.far & rows.far)),
                self.row_end.eq(wraps),
            ]
            m.d.sync += [current[name].eq(getattr(axis, name))
                         for current, axis in ((column, columns), (row, rows)) for name in place.members]
        with m.Elif(self.drop):
            m.d.sync += pending.eq(pending & (pending - 1))

        column_far, row_far = Signal(), Signal()
        m.d.comb += [
            column_far.eq(~pending[:2].any()),
            row_far.eq(Mux(column_far, ~pending[2], ~pending[0])),
            self.empty.eq(pending == 0),
            self.single.eq(~self.empty & ((pending & (pending - 1)) == 0)),
            self.first.eq(Mux(column_far, column.far_first, column.near_first)
                          & Mux(row_far, row.far_first, row.near_first)),
            self.column_offset.eq(column.offset - Mux(column_far, layer.out_channels, 0)),
            self.row_offset.eq(row.offset - Mux(row_far, layer.pool_row_bytes, 0)),
        ]
        return m
