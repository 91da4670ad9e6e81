"""The walk over a layer's weights in the order of the array."""

from amaranth import *
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from arch.config import STREAM_BLOCK, EngineConfig
from arch.descriptor import Code
from hw.commands import BuildCommand
from hw.decoder import decode_step

__all__ = ["StepWalker", "row_place"]


def row_place(config: EngineConfig) -> data.StructLayout:
    """What becomes of a step's rows: their group of columns, where in a block of signs they start, how many weights
    they hold, and whether they end a weight slot or the layer."""
    return data.StructLayout({
        "group": range(config.columns // config.build_columns),
        "part": range(STREAM_BLOCK // config.lanes),
        "lanes": range(config.lanes + 1),
        "columns": range(config.build_columns + 1),
        "ends_slot": 1,
        "ends_layer": 1,
    })


class StepWalker(wiring.Component):
    """Enumerates a layer's steps: column tile, pixel tile, kernel row, chunk, group of columns.

    Operation: block numbers are kept incrementally. Row (out, ky, chunk j) starts in block
    ``(out * kernel_rows + ky) * run_blocks + j * lanes // 64``: over the passes of a pixel tile that runs through
    consecutive numbers, and from one output channel to the next it is a constant stride.

    Latency: two cycles from a command to its first step; one step per cycle.
    """

    def __init__(self, config: EngineConfig):
        self._config = config
        super().__init__({
            #: The next layer.
            "command": In(stream.Signature(BuildCommand)),
            #: A step: the blocks of its rows, what to decode, and what becomes of its rows.
            "walk": Out(stream.Signature(data.StructLayout({
                "blocks": data.ArrayLayout(32, config.build_columns),
                "decode": decode_step(config),
                "place": row_place(config),
            }))),
            #: Of the current layer: the stream id, and that weights are stored and need no signs.
            "stream": Out(32),
            "stored": Out(1),
        })

    def elaborate(self, platform):
        m = Module()
        config = self._config
        columns, build, lanes = config.columns, config.build_columns, config.lanes
        command = self.command.payload

        running, preparing = Signal(), Signal()
        layer = Signal(BuildCommand, reset_less=True)
        stride = Signal(len(command.kernel_rows) + len(command.run_blocks))  # blocks of one output channel
        m.d.comb += [
            self.command.ready.eq(~running & ~preparing),
            self.stream.eq(layer.stream),
            self.stored.eq(layer.code == Code.STORED),
        ]

        # Counters count down to zero.
        chunks_left, rows_left = Signal.like(command.run_chunks), Signal.like(command.kernel_rows)
        tiles_left = Signal.like(command.pixel_tiles)
        channels_left = Signal.like(command.out_channels)  # after the first of this column tile
        group = Signal(range(columns // build))
        part = Signal(range(STREAM_BLOCK // lanes))
        opening = Signal()  # the first step of a pixel tile
        rewound = Signal()  # not the first pixel tile
        tile_block, pass_block = Signal(32, reset_less=True), Signal(32, reset_less=True)
        blocks = [Signal(32, name=f"block_{row}", reset_less=True) for row in range(build)]
        offsets = [Signal.like(stride * row, name=f"offset_{row}", reset_less=True) for row in range(build)]

        group_bits, tile_bits = build.bit_length() - 1, columns.bit_length() - 1
        last_tile, last_row, last_chunk, last_group, last_rewind = (
            Signal(name=f"last_{name}") for name in ("tile", "row", "chunk", "group", "rewind"))
        last_channel = Signal(range(columns))  # last one of this column tile
        end_group = Signal.like(group)  # the one that it is in
        m.d.comb += [
            last_channel.eq(Mux(last_tile, channels_left, columns - 1)),
            last_group.eq(group == end_group),
            last_chunk.eq(chunks_left == 0),
            last_row.eq(rows_left == 0),
            last_rewind.eq(tiles_left == 0),
        ]

        def begin_tile(is_last: Value) -> list:
            return [last_tile.eq(is_last), end_group.eq(Mux(is_last, channels_left[group_bits:tile_bits], ~0))]

        ends_pass, ends_tile, ends_layer = last_group, Signal(), Signal()
        m.d.comb += [
            ends_tile.eq(ends_pass & last_chunk & last_row),
            ends_layer.eq(ends_tile & last_rewind & last_tile),
        ]
        decode, place = self.walk.payload.decode, self.walk.payload.place
        m.d.comb += [
            self.walk.valid.eq(running),
            *(self.walk.payload.blocks[row].eq(blocks[row]) for row in range(build)),
            decode.lanes.eq(Mux(last_chunk & layer.run_bytes[:lanes.bit_length() - 1].any(),
                                layer.run_bytes[:lanes.bit_length() - 1], lanes)),
            decode.columns.eq(Mux(last_group, last_channel[:group_bits] + 1, build)),
            decode.save.eq(opening & ~rewound & ~last_rewind),
            decode.restore.eq(opening & rewound),
            decode.release.eq(opening & rewound & last_rewind),
            decode.last.eq(ends_layer),
            place.group.eq(group),
            place.part.eq(part),
            place.lanes.eq(decode.lanes),
            place.columns.eq(decode.columns),
            place.ends_slot.eq(ends_pass),
            place.ends_layer.eq(ends_layer),
        ]

        base = Signal(32)  # first block of the next pass
        next_tile = tile_block + (stride << tile_bits)
        ends_block = (part == STREAM_BLOCK // lanes - 1) | last_chunk
        m.d.comb += base.eq(Mux(ends_tile, Mux(last_rewind, next_tile, tile_block), pass_block + ends_block))
        with m.If(self.walk.valid & self.walk.ready):
            m.d.sync += [group.eq(group + 1), opening.eq(0)]
            m.d.sync += [block.eq(block + (stride << group_bits)) for block in blocks]
            with m.If(ends_pass):
                m.d.sync += [group.eq(0), part.eq(part + 1), chunks_left.eq(chunks_left - 1), pass_block.eq(base)]
                m.d.sync += [block.eq(base + offset) for block, offset in zip(blocks, offsets)]
                with m.If(last_chunk):
                    m.d.sync += [part.eq(0), chunks_left.eq(layer.run_chunks - 1), rows_left.eq(rows_left - 1)]
            with m.If(ends_tile):
                m.d.sync += [
                    rows_left.eq(layer.kernel_rows - 1),
                    tiles_left.eq(tiles_left - 1),
                    opening.eq(1),
                    rewound.eq(1),
                ]
                with m.If(last_rewind):
                    m.d.sync += [
                        tiles_left.eq(layer.pixel_tiles - 1),
                        rewound.eq(0),
                        tile_block.eq(next_tile),
                        channels_left.eq(channels_left - columns),
                        *begin_tile(channels_left[tile_bits:] == 1),
                    ]
            with m.If(ends_layer):
                m.d.sync += running.eq(0)

        with m.If(self.command.valid & self.command.ready):
            m.d.sync += [
                preparing.eq(1),
                layer.eq(command),
                # A few sums: a multiplier would be far away.
                stride.eq(sum((Mux(bit, command.run_blocks << place, 0)
                               for place, bit in enumerate(command.kernel_rows)), Const(0))),
                chunks_left.eq(command.run_chunks - 1),
                rows_left.eq(command.kernel_rows - 1),
                tiles_left.eq(command.pixel_tiles - 1),
                channels_left.eq(command.out_channels - 1),
                group.eq(0),
                part.eq(0),
                opening.eq(1),
                rewound.eq(0),
                tile_block.eq(0),
                pass_block.eq(0),
            ]
        with m.If(preparing):
            m.d.sync += [preparing.eq(0), running.eq(1), *begin_tile(channels_left[tile_bits:] == 0)]
            for row in range(build):
                m.d.sync += [offsets[row].eq(stride * row), blocks[row].eq(stride * row)]
        return m
