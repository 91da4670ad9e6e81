"""The walk over finished sums: what the post-processor reads and where the result goes, one step per cycle."""

from amaranth import *
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from arch import latency
from arch.config import EngineConfig
from arch.descriptor import PoolMode
from hw.commands import PostCommand
from hw.parameters import row_offset
from hw.pool import PoolWindows
from hw.queue import RegisterSlice

__all__ = ["DrainWalker", "drain_step"]


def drain_step(config: EngineConfig) -> data.StructLayout:
    """One group of channels on its way through the post-processor."""
    lanes = config.requantiser_lanes
    return data.StructLayout({
        #: There is a group; without it no other flag is set but those at the end.
        "valid": 1,
        #: The result is written to the activation memory.
        "write": 1,
        #: The result is added to the sums of an average pool; ``initial`` if it starts them.
        "accumulate": 1,
        "initial": 1,
        #: The group is an average-pool sum, not a partial sum.
        "average": 1,
        #: The result is joined with what the activation memory holds at ``address``.
        "update": 1,
        #: The group has a residual.
        "residual": 1,
        #: Lane 0 is a channel of a wide layer.
        "wide": 1,
        #: Clamped lanes count as saturated.
        "count": 1,
        #: Where its sums are.
        "half": 1,
        "pixel": range(config.partial_sums),
        #: Group within the column tile, and the lane of a wide layer's channel.
        "row": row_offset(config),
        "lane": range(max(2, lanes)),
        #: Lanes that hold a channel of the layer.
        "mask": lanes,
        "address": config.activation_address_bits,
        #: The half's sums, and so many parameter rows, are not needed after this step, and nothing of the layer comes
        #: after it. Given with or without a group.
        "frees_half": 1,
        "release": range(config.columns // lanes + 1),
        "last": 1,
    })


class DrainWalker(wiring.Component):
    """Turns finished halves of the partial sums into steps: pixel, (maximum-pool target), group.

    Operation: takes a layer, then for every column tile and pixel tile waits for the half's sums and the column tile's
    parameter rows and decides on its steps. Every address is kept by adding. What is decided in a cycle, a step or
    none, goes through a register slice, which keeps the distances between steps and stands between the activation
    memory and the walk. At its end, the activation memory takes the residual of the step, and the step stays until that
    is read; meanwhile those behind it fill the slice, then the whole walk stands still. The read comes before the write
    of the same bytes, so an output may overwrite its residual in place.

    Progress: what can refuse a residual is a read of a pooled byte, of which at most ``latency.POST_WRITE`` are on
    their way, and a window read of the array. While a step waits, its half of the partial sums is not freed, whatever
    the walk has decided since: a step frees it further on. So the array can finish at most the tile that it works on,
    in the other half. Then it makes no window reads, and the residual gets through. So a layer whose residual lies
    where its windows are goes on, at worst by array and drain taking turns.

    Latency: a step follows its decision by two cycles. A pixel takes ``groups`` = ceil(channels of the column tile / R)
    cycles, in a wide layer one per channel. With a maximum pool it takes ``max(targets * groups, POOL_UPDATE)`` cycles,
    1 if it has no target, and the last pixel of a map row ``targets * groups + POOL_UPDATE``. Cycles that residuals
    wait come on top. Pixel tiles that are ready follow each other without a gap, column tiles with one of
    ``POST_COLUMN_TILE``, layers of ``POST_LAYER`` cycles. An average pool takes another ``POST_AVERAGE + groups`` after
    the last pixel of a column tile. All of these are in :mod:`arch.latency`.

    Members
    -------
    command : In(stream of PostCommand)
    start, tile_done, rows_ready
        As :class:`PostProcessor`.
    settled : In(1)
        Every ``step`` so far that accumulates is in the sums of the average pool before one decided next reads them.
    layer_ends : In(1)
        The next layer may be taken: everything of the last one is written before the first residual can be read.
    layer : Out(PostCommand)
        The layer at work, static until ``layer_ends``.
    residual : Out(stream of {address})
        The residual of the step that will be ``step``. Without ``ready`` that of ``step`` was not read.
    step : Out(drain_step)
        Goes with ``residual.ready``.
    pool_offset : Out(unsigned)
        What a maximum pool adds to the address of ``step``, else 0.
    """

    def __init__(self, config: EngineConfig):
        self._config = config
        super().__init__({
            "command": In(stream.Signature(PostCommand)),
            "start": In(1),
            "tile_done": In(1),
            "rows_ready": In(range(config.parameter_channels // config.requantiser_lanes + 1)),
            "settled": In(1),
            "layer_ends": In(1),
            "layer": Out(PostCommand),
            "residual": Out(stream.Signature(data.StructLayout({"address": config.activation_address_bits}))),
            "step": Out(drain_step(config)),
            "pool_offset": Out(config.activation_address_bits),
        })

    def elaborate(self, platform):
        m = Module()
        config, layer = self._config, self.layer
        lanes, address_bits = config.requantiser_lanes, config.activation_address_bits
        lane_bits = lanes.bit_length() - 1

        m.submodules.windows = windows = PoolWindows(config)
        m.d.comb += windows.layer.eq(layer)
        maximum, average = Signal(), Signal()
        m.d.comb += [maximum.eq(layer.pool == PoolMode.MAX), average.eq(layer.pool == PoolMode.AVERAGE)]

        # Finished halves.
        half, tiles_ready, take_tile, free_half = Signal(), Signal(range(3)), Signal(), Signal()
        tile_waits = (tiles_ready != 0) | self.tile_done
        m.d.sync += [
            tiles_ready.eq(tiles_ready + self.tile_done - take_tile),
            half.eq(half ^ free_half),
        ]

        # Column tile: its channels, and where its pixels go.
        tile_base, channels_left = Signal(16), Signal(16)
        columns, last_column = Signal(range(config.columns + 1)), Signal()
        rows = (columns + (lanes - 1)) >> lane_bits
        output_base, residual_base, residual = Signal(address_bits), Signal(address_bits), Signal(address_bits)
        next_residual_base = residual_base + layer.out_channels
        # Pixels.
        pixels_left, tile_left, last_tile = Signal(24), Signal(range(config.partial_sums + 1)), Signal()
        pixel, first_pixel = Signal(range(config.partial_sums)), Signal()
        # Groups of the current pixel and target. `fresh`: no target of the pixel is finished.
        channel, channels_in_group = Signal(range(config.columns)), Signal(range(config.columns + 1))
        group_channels = Mux(layer.wide, 1, lanes)
        last_group, fresh = Signal(), Signal()
        m.d.comb += last_group.eq(channels_in_group <= group_channels)
        # Idle cycles that the current pixel of a maximum pool still needs, besides those that a residual waits.
        hold = Signal(range(latency.POOL_UPDATE))

        issue, averaging, end_pixel, end_column, end_layer = Signal(), Signal(), Signal(), Signal(), Signal()
        m.submodules.slice = register_slice = RegisterSlice(data.StructLayout({
            "step": drain_step(config),
            "residual": address_bits,
            "column_offset": address_bits,
            "row_offset": address_bits,
        }))
        decided, leaving, moves = register_slice.enter.payload, register_slice.leave.payload, register_slice.enter.ready

        whole = Signal()  # there are more pixels than those of a tile

        def next_tile():
            m.d.comb += take_tile.eq(1)
            m.d.sync += [
                pixel.eq(0),
                last_tile.eq(~whole),
                tile_left.eq(Mux(whole, layer.tile_pixels, pixels_left)),
                pixels_left.eq(pixels_left - layer.tile_pixels),
                whole.eq(pixels_left > layer.tile_pixels << 1),
            ]

        def next_group():
            m.d.sync += [
                channel.eq(Mux(last_group, 0, channel + group_channels)),
                channels_in_group.eq(Mux(last_group, columns, channels_in_group - group_channels)),
                residual.eq(Mux(last_group, residual_base, residual + group_channels)),
            ]

        with m.FSM():
            with m.State("LAYER"):
                m.d.comb += self.command.ready.eq(1)
                m.d.sync += [layer.eq(self.command.payload), tile_base.eq(0),
                             channels_left.eq(self.command.payload.out_channels)]
                with m.If(self.command.valid):
                    m.next = "COLUMN"
            with m.State("COLUMN"):
                # Every step of the column tile before has its residual.
                with m.If(moves & ~Cat(step.valid | step.frees_half for step in (leaving.step, self.step)).any()):
                    m.d.comb += windows.restart.eq(1)
                    m.d.sync += [
                        last_column.eq(channels_left <= config.columns),
                        columns.eq(Mux(channels_left <= config.columns, channels_left, config.columns)),
                        channels_left.eq(channels_left - config.columns),
                        tile_base.eq(tile_base + config.columns),
                        residual_base.eq(layer.residual_address + tile_base),
                        residual.eq(layer.residual_address + tile_base),
                        output_base.eq(layer.output_address + Mux(layer.wide, tile_base << 2, tile_base)),
                        pixels_left.eq(layer.pixels),
                        whole.eq(layer.pixels > layer.tile_pixels),
                        first_pixel.eq(1),
                    ]
                    m.next = "ROWS"
            with m.State("ROWS"):
                # Those of the column tile before are given back in this cycle.
                m.next = "TILE"
            with m.State("TILE"):
                with m.If(moves):
                    m.d.sync += [channel.eq(0), channels_in_group.eq(columns), fresh.eq(1)]
                    with m.If(tile_waits & (self.rows_ready >= rows)):
                        next_tile()
                        m.d.comb += windows.advance.eq(first_pixel)
                        m.d.sync += hold.eq(latency.POOL_UPDATE - 1)
                        m.next = "PIXEL"
            with m.State("PIXEL"):
                with m.If(moves):
                    empty = maximum & windows.empty
                    finished = empty | (last_group & (~maximum | windows.single))
                    m.d.comb += issue.eq(~empty)
                    with m.If(issue):
                        next_group()
                        with m.If(last_group):
                            m.d.comb += windows.drop.eq(1)
                            m.d.sync += fresh.eq(0)
                    with m.If(windows.row_end & issue):
                        m.d.sync += hold.eq(latency.POOL_UPDATE - 1)
                    with m.Elif(hold != 0):
                        m.d.sync += hold.eq(hold - 1)
                    with m.If(~maximum):
                        m.d.comb += end_pixel.eq(finished)
                    with m.Elif(windows.row_end):
                        m.d.comb += end_pixel.eq(empty & (hold == 0))
                    with m.Else():
                        m.d.comb += end_pixel.eq(finished & ((hold == 0) | (empty & fresh)))
                    with m.If(end_pixel):
                        m.d.comb += windows.advance.eq(1)
                        m.d.sync += [
                            pixel.eq(pixel + 1),
                            tile_left.eq(tile_left - 1),
                            first_pixel.eq(0),
                            fresh.eq(1),
                            hold.eq(latency.POOL_UPDATE - 1),
                            residual_base.eq(next_residual_base),
                            residual.eq(next_residual_base),
                        ]
                        with m.If(layer.pool == PoolMode.NONE):
                            m.d.sync += output_base.eq(
                                output_base + Mux(layer.wide, layer.out_channels << 2, layer.out_channels))
                        with m.If(tile_left == 1):
                            m.d.comb += free_half.eq(1)
                            with m.If(~last_tile):
                                with m.If(tile_waits):
                                    next_tile()
                                with m.Else():
                                    m.next = "TILE"
                            with m.Else():
                                m.d.comb += end_column.eq(1)
                                with m.If(average):
                                    m.next = "SETTLE"
                                with m.Elif(last_column):
                                    m.d.comb += end_layer.eq(1)
                                    m.next = "WRITE"
                                with m.Else():
                                    m.next = "COLUMN"
            with m.State("SETTLE"):
                with m.If(moves & ~leaving.step.accumulate & self.settled):
                    m.next = "AVERAGE"
            with m.State("AVERAGE"):
                m.d.comb += averaging.eq(1)  # there is room: no step is left that could wait
                next_group()
                with m.If(last_group):
                    m.next = "COLUMN"
                    with m.If(last_column):
                        m.d.comb += end_layer.eq(1)
                        m.next = "WRITE"
            with m.State("WRITE"):
                with m.If(self.layer_ends):
                    m.next = "LAYER"

        step = decided.step
        m.d.comb += [
            register_slice.enter.valid.eq(1),
            step.valid.eq(issue | averaging),
            step.write.eq((issue & ~average) | averaging),
            step.accumulate.eq(issue & average),
            step.initial.eq(first_pixel),
            step.average.eq(averaging),
            step.update.eq(issue & maximum & ~windows.first),
            step.residual.eq(issue & layer.residual),
            step.wide.eq(layer.wide),
            step.count.eq(issue & fresh & ~layer.wide),
            step.half.eq(half),
            step.pixel.eq(pixel),
            step.row.eq(channel >> lane_bits),
            step.lane.eq(channel & (lanes - 1)),
            step.mask.eq(Cat(channels_in_group > lane for lane in range(lanes))),
            step.address.eq(output_base + Mux(layer.wide, channel << 2, channel)),
            step.frees_half.eq(free_half),
            step.release.eq(Mux(end_column, rows, 0)),
            step.last.eq(end_layer),
            decided.residual.eq(residual),
            decided.column_offset.eq(windows.column_offset),
            decided.row_offset.eq(windows.row_offset),
            self.residual.valid.eq(leaving.step.residual),
            self.residual.payload.address.eq(leaving.residual),
            register_slice.leave.ready.eq(self.residual.ready),
        ]
        with m.If(self.residual.ready):
            m.d.sync += [
                self.step.eq(leaving.step),
                self.pool_offset.eq(Mux(maximum, leaving.column_offset + leaving.row_offset, 0)),
            ]
        with m.If(self.start):
            m.d.sync += [tiles_ready.eq(0), half.eq(0)]
        return m
