"""The walk over a layer's passes and pixels, in the order in which every unit works."""

from amaranth import *
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from arch.config import EngineConfig
from arch.descriptor import FIELDS
from hw.commands import COUNT_BITS, PassCommand

__all__ = ["PassWalker", "pass_step"]

#: Signed widths that hold a row and a byte position anywhere around the map, padding and last run included.
ROW_SHAPE = signed(FIELDS["input_height"].bits + 2)
POSITION_SHAPE = signed(FIELDS["row_bytes"].bits + 4)


def pass_step(config: EngineConfig) -> data.StructLayout:
    """One pixel of one pass."""
    return data.StructLayout({
        #: First byte of the run in the activation memory.
        "window": config.activation_address_bits,
        #: The same byte's place in its input row, and how many bytes of the row there are from it on.
        "position": POSITION_SHAPE,
        "bytes_left": signed(POSITION_SHAPE.width + 1),
        "row_inside": 1,
        "pad_value": 8,
        #: For the array's beat.
        "slot": range(config.weight_slots),
        "first": 1,
        "half": 1,
        "address": range(config.partial_sums),
        "begins": 1,
        "last_of_pass": 1,
        "last_of_tile": 1,
        "lanes_in_run": range(config.lanes + 1),
        "columns_in_tile": range(config.columns + 1),
    })


class PassWalker(wiring.Component):
    """Counts through column tiles, pixel tiles, kernel rows, chunks and pixels without a multiplier.

    Operation: ``step`` is valid while ``active`` and moves on with ``advance``; the walk is a step ahead of it. A
    layer's command is taken when no layer is walked, the counts of completed layers, loads and stores have reached what
    it waits for, and it has been seen for ``pad_rows`` cycles, which find its first row, usually while the layer before
    it is walked; all that ``latency.MET`` cycles before. Every loop rolls over in the cycle of its last pixel.

    Latency: the first step follows the command by ``latency.PASS_STEP`` cycles, if the last step of the layer before is
    gone by then.
    """

    def __init__(self, config: EngineConfig):
        self._config = config
        super().__init__({
            #: A new program: slots go on in rotation, halves start at 0. Only between layers.
            "start": In(1),
            #: Layers, in running order.
            "command": In(stream.Signature(PassCommand)),
            #: Completed layers, loads and stores of this program.
            "layers_done": In(COUNT_BITS),
            "loads_done": In(COUNT_BITS),
            "stores_done": In(COUNT_BITS),
            #: One cycle: a layer's command is taken.
            "layer_start": Out(1),
            #: In the cycle before the next layer had to wait for loads or stores.
            "waits_transfers": Out(1),
            #: It had to wait for layers.
            "waits_layers": Out(1),
            #: There are steps, now or soon.
            "busy": Out(1),
            #: There is a step.
            "active": Out(1),
            "step": Out(pass_step(config)),
            #: Go to the next one.
            "advance": In(1),
        })

    def elaborate(self, platform):
        m = Module()
        config = self._config
        address_bits = config.activation_address_bits
        cursor = data.StructLayout({
            #: Address of the input row for ky = 0, and the row itself.
            "row_address": address_bits,
            "row": ROW_SHAPE,
            #: First byte of the run in that row, for chunk 0.
            "position": POSITION_SHAPE,
            #: Pixels after this one in its row of the output map.
            "columns_left": FIELDS["map_width"].bits,
        })
        layer = Signal(PassCommand, reset_less=True)
        # The pixel to be worked on, the tile's first one, the map's first one, and the one after ``pixel``.
        pixel, tile_start, map_start, following = (
            Signal(cursor, name=name, reset_less=True) for name in ("pixel", "tile_start", "map_start", "following"))
        m.d.comb += following.eq(pixel)
        with m.If(pixel.columns_left != 0):
            m.d.comb += [
                following.position.eq(pixel.position + layer.step_bytes),
                following.columns_left.eq(pixel.columns_left - 1),
            ]
        with m.Else():
            m.d.comb += [
                following.row_address.eq(pixel.row_address + layer.row_step_bytes),
                following.row.eq(pixel.row + layer.stride),
                following.position.eq(map_start.position),
                following.columns_left.eq(map_start.columns_left),
            ]

        # Offsets of the pass (ky, j), and what is left of each loop.
        kernel_row = Signal.like(layer.kernel_rows)
        row_offset = Signal(address_bits)
        chunk_offset = Signal.like(layer.run_bytes)
        run_left = Signal.like(layer.run_bytes)
        pixels_left = Signal.like(layer.pixels)
        channels_left = Signal.like(layer.out_channels)
        index, last_index, full_index = (
            Signal(range(config.partial_sums), name=name) for name in ("index", "last_index", "full_index"))
        slot, half = Signal(range(config.weight_slots)), Signal()

        last_of_pass, last_chunk, last_row, last_pass, last_tile, last_columns = (
            Signal(name=f"last_{name}") for name in ("of_pass", "chunk", "row", "pass", "tile", "columns"))
        one_chunk, one_row, one_tile = (Signal(name=f"one_{name}") for name in ("chunk", "row", "tile"))
        # The step after ``step``, which moves up when that one goes.
        walking, move, step = Signal(), Signal(), Signal(pass_step(config), name="next_step")
        m.d.comb += [move.eq(walking & (~self.active | self.advance)), self.busy.eq(walking | self.active)]
        with m.If(move):
            m.d.sync += [self.active.eq(1), self.step.eq(step)]
        with m.Elif(self.advance):
            m.d.sync += self.active.eq(0)
        run_position = Signal(POSITION_SHAPE)
        input_row = Signal(ROW_SHAPE)
        m.d.comb += [
            last_pass.eq(last_chunk & last_row),
            last_columns.eq(channels_left <= config.columns),
            run_position.eq(pixel.position + chunk_offset),
            input_row.eq(pixel.row + kernel_row),
            step.window.eq(pixel.row_address + row_offset + run_position),
            step.position.eq(run_position),
            step.bytes_left.eq(layer.row_bytes - run_position),
            step.row_inside.eq((input_row >= 0) & (input_row < layer.input_height)),
            step.pad_value.eq(layer.pad_value),
            step.slot.eq(slot),
            step.first.eq((kernel_row == 0) & (chunk_offset == 0)),
            step.half.eq(half),
            step.address.eq(index),
            step.begins.eq(index == 0),
            step.last_of_pass.eq(last_of_pass),
            step.last_of_tile.eq(last_of_pass & last_pass),
            step.lanes_in_run.eq(Mux(last_chunk, run_left, config.lanes)),
            step.columns_in_tile.eq(Mux(last_columns, channels_left, config.columns)),
        ]

        # Later assignments win: the innermost loop that does not roll over decides. That a step is the last of its loop
        # is known a step ahead.
        with m.If(move):
            m.d.sync += [index.eq(index + 1), last_of_pass.eq(index + 1 == last_index), pixel.eq(following)]
            with m.If(last_of_pass):
                m.d.sync += [
                    index.eq(0), last_of_pass.eq(last_index == 0), pixel.eq(tile_start), slot.eq(slot + 1),
                    chunk_offset.eq(chunk_offset + config.lanes), run_left.eq(run_left - config.lanes),
                    last_chunk.eq(run_left <= 2 * config.lanes),
                ]
                with m.If(last_chunk):
                    m.d.sync += [
                        chunk_offset.eq(0), run_left.eq(layer.run_bytes), last_chunk.eq(one_chunk),
                        kernel_row.eq(kernel_row + 1), row_offset.eq(row_offset + layer.row_bytes),
                        last_row.eq(kernel_row + 2 == layer.kernel_rows),
                    ]
                with m.If(last_pass):
                    two_tiles = layer.tile_pixels << 1
                    m.d.sync += [
                        kernel_row.eq(0), row_offset.eq(0), last_row.eq(one_row), half.eq(~half),
                        pixel.eq(following), tile_start.eq(following),
                        pixels_left.eq(pixels_left - layer.tile_pixels), last_tile.eq(pixels_left <= two_tiles),
                    ]
                    with m.If(pixels_left < two_tiles):
                        rest = pixels_left - layer.tile_pixels
                        m.d.sync += [last_index.eq(rest - 1), last_of_pass.eq(rest == 1)]
                with m.If(last_pass & last_tile):
                    m.d.sync += [
                        pixel.eq(map_start), tile_start.eq(map_start), pixels_left.eq(layer.pixels),
                        last_tile.eq(one_tile), last_index.eq(full_index), last_of_pass.eq(full_index == 0),
                        channels_left.eq(channels_left - config.columns),
                        walking.eq(~last_columns),
                    ]
        with m.If(self.start):
            m.d.sync += half.eq(0)

        # The next layer: its first row is input_address - pad_rows * row_bytes.
        command = self.command.payload
        rows_above, bytes_above = Signal.like(command.pad_rows), Signal(address_bits)
        found = rows_above == command.pad_rows
        # In the first cycle of a layer these still are about the command before: then a layer is walked.
        layers_met, transfers_met, begins = Signal(), Signal(), Signal()
        m.d.comb += [
            layers_met.eq(self.layers_done >= command.wait_layers),
            transfers_met.eq((self.loads_done >= command.wait_loads) & (self.stores_done >= command.wait_stores)),
        ]
        m.d.sync += [
            self.waits_transfers.eq(self.command.valid & ~transfers_met),
            self.waits_layers.eq(self.command.valid & ~layers_met),
            begins.eq(self.command.valid & layers_met & transfers_met & found),
        ]
        m.d.comb += [
            self.command.ready.eq(~walking & begins),
            self.layer_start.eq(self.command.valid & self.command.ready),
        ]
        with m.If(self.layer_start):
            origin = Signal(cursor)
            tile_pixels = Mux(command.pixels < command.tile_pixels, command.pixels, command.tile_pixels)
            m.d.comb += [
                origin.row_address.eq(command.input_address - bytes_above),
                origin.row.eq(-command.pad_rows),
                origin.position.eq(-command.pad_bytes),
                origin.columns_left.eq(command.map_width - 1),
            ]
            m.d.sync += [
                walking.eq(1), layer.eq(command), rows_above.eq(0), bytes_above.eq(0),
                pixel.eq(origin), tile_start.eq(origin), map_start.eq(origin),
                last_index.eq(tile_pixels - 1), full_index.eq(tile_pixels - 1), last_of_pass.eq(tile_pixels == 1),
                *(flag.eq(command.run_bytes <= config.lanes) for flag in (last_chunk, one_chunk)),
                *(flag.eq(command.kernel_rows == 1) for flag in (last_row, one_row)),
                *(flag.eq(command.pixels <= command.tile_pixels) for flag in (last_tile, one_tile)),
                run_left.eq(command.run_bytes), pixels_left.eq(command.pixels), channels_left.eq(command.out_channels),
            ]
        with m.Elif(self.command.valid & ~found):
            m.d.sync += [rows_above.eq(rows_above + 1), bytes_above.eq(bytes_above + command.row_bytes)]
        return m
