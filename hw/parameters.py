"""The parameter buffer: per-channel multipliers and biases, from beats into rows of one requantiser beat each."""

from amaranth import *
from amaranth.lib import data, stream, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from arch.config import BIAS_BITS, MULTIPLIER_BITS, EngineConfig
from arch.descriptor import FIELDS, PARAMETER_BYTES
from hw.commands import ParameterCommand
from hw.queue import Queue

__all__ = ["ParameterBuffer", "parameter_row", "row_offset"]

LAYERS_AHEAD = 4
"""Layers, besides the one being read, whose rows can be in the ring."""


def parameter_row(config: EngineConfig) -> data.ArrayLayout:
    """The records of one requantiser beat."""
    record = data.StructLayout({"multiplier": signed(MULTIPLIER_BITS), "bias": signed(BIAS_BITS)})
    return data.ArrayLayout(record, config.requantiser_lanes)


def row_offset(config: EngineConfig) -> range:
    """Shape of a row's position within its column tile."""
    return range(max(2, config.columns // config.requantiser_lanes))


class ParameterBuffer(wiring.Component):
    """Unpacks 9-byte records from beats and keeps them in a ring of rows of R records.

    Operation: per command takes the beats of ``out_channels`` packed records; record k goes to row k div R, lane
    k mod R. The layer ends its last row, and bytes left in its last beat are dropped. The next command is taken as soon
    as the layer's last record is in the ring, so records run ahead of their use as far as there are rows.

    A layer with ``parameter_keep`` stays: its rows are read and released as always, then all of them are there again
    for the next layer, which has ``parameter_reuse`` and brings no beats; the last one of them, without
    ``parameter_keep``, frees them. A kept layer must fit the ring.

    Beats of a layer must not be asked for before its command is taken: then none ever waits for a command.

    Latency: one record per cycle, a beat in the cycles between; ``record`` follows ``row`` by one cycle. A row can be
    asked for from the cycle after the first one in which it is ready.

    Members
    -------
    command : In(stream of ParameterCommand)
    beats : In(stream of bus_bits)
    space : Out(unsigned)
        Beats that are taken without any row being released; beats in flight not yet subtracted.
    row : In(row_offset)
        Row to read, counted from the oldest one not released.
    record : Out(parameter_row)
    rows_ready : Out(range(rows + 1))
        Complete rows not yet released.
    release : In(unsigned)
        That many of the oldest rows have been used; no more than the current layer has.
    """

    def __init__(self, config: EngineConfig):
        self._config = config
        self._rows = config.parameter_channels // config.requantiser_lanes
        capacity = (PARAMETER_BYTES * config.parameter_channels + PARAMETER_BYTES - 1) // config.bus_bytes + 1
        super().__init__({
            #: The next layer.
            "command": In(stream.Signature(ParameterCommand)),
            #: Packed records, each layer from a fresh beat.
            "beats": In(stream.Signature(config.bus_bits)),
            #: Beats certain to be taken.
            "space": Out(range(capacity + 1)),
            #: Row to read, from the oldest.
            "row": In(row_offset(config)),
            #: The row asked for in the cycle before.
            "record": Out(parameter_row(config)),
            #: Complete rows.
            "rows_ready": Out(range(self._rows + 1)),
            #: Rows done with in this cycle.
            "release": In(range(config.columns // config.requantiser_lanes + 1)),
        })

    def elaborate(self, platform):
        m = Module()
        config, rows = self._config, self._rows
        lanes, bus_bytes = config.requantiser_lanes, config.bus_bytes
        beat_shift, lane_bits = bus_bytes.bit_length() - 1, lanes.bit_length() - 1

        m.submodules.memory = memory = Memory(shape=parameter_row(config), depth=rows, init=[])
        write, read = memory.write_port(granularity=1), memory.read_port()

        # Layers whose rows are not all released, in order.
        command = self.command.payload
        layer_rows = Shape(FIELDS["out_channels"].bits + 1)
        layout = data.StructLayout({"rows": layer_rows, "keep": 1})
        m.submodules.layers = layers = Queue(layout, LAYERS_AHEAD)

        records_left = Signal(FIELDS["out_channels"].bits)
        unpacking = Signal()  # there are records left
        beats_left = Signal(range((PARAMETER_BYTES << FIELDS["out_channels"].bits) // bus_bytes + 2))
        m.d.comb += [
            self.command.ready.eq(~unpacking & layers.enter.ready),
            layers.enter.valid.eq(self.command.valid & ~unpacking),
            layers.enter.payload.rows.eq((command.out_channels + (lanes - 1)) >> lane_bits),
            layers.enter.payload.keep.eq(command.parameter_keep),
        ]
        # Nine bytes each, without a multiplier.
        octets = sum((command.out_channels << bit for bit in range(PARAMETER_BYTES.bit_length())
                      if PARAMETER_BYTES >> bit & 1), Const(0))
        hungry = Signal()  # the gearbox has room for a beat, and there are beats left
        with m.If(self.command.valid & self.command.ready & ~command.parameter_reuse):
            m.d.sync += [
                unpacking.eq(1),
                hungry.eq(1),
                records_left.eq(command.out_channels),
                beats_left.eq(octets + (bus_bytes - 1) >> beat_shift),
            ]

        # The layer being read. `unread` rows are complete and not released by it; `free` ones may be overwritten.
        layer, layer_valid, rows_left = Signal(layout), Signal(), Signal(layer_rows)
        first, place, newest = Signal(range(rows)), Signal(range(rows)), Signal(range(rows))
        unread, free = Signal(range(rows + 1)), Signal(range(rows + 1), init=rows)
        next_free, room = Signal.like(free), Signal(init=1)
        row_ends, layer_ends, again = Signal(), Signal(), Signal()
        m.d.comb += [
            layers.leave.ready.eq(~layer_valid),
            layer_ends.eq(layer_valid & (self.release != 0) & (self.release == rows_left)),
            again.eq(layer_ends & layer.keep),
            self.rows_ready.eq(Mux(layer_valid, unread, 0)),
            next_free.eq(free - row_ends + Mux(layer.keep, 0, self.release)),
        ]
        m.d.sync += [
            rows_left.eq(rows_left - self.release),
            place.eq(Mux(again, first, place + self.release)),
            unread.eq(unread + row_ends - self.release + Mux(again, layer.rows, 0)),
            free.eq(next_free),
            room.eq(next_free != 0),
        ]
        with m.If(layer_ends):
            m.d.sync += layer_valid.eq(0)
        with m.If(layers.leave.valid & layers.leave.ready):
            m.d.sync += [
                layer.eq(layers.leave.payload),
                layer_valid.eq(1),
                rows_left.eq(layers.leave.payload.rows),
                first.eq(place),
            ]

        # Gearbox: `level` bytes, the oldest lowest. It takes a beat or gives a record.
        gearbox = Signal(8 * (bus_bytes + PARAMETER_BYTES - 1))
        level = Signal(range(bus_bytes + PARAMETER_BYTES))
        slot = Signal(range(max(2, lanes)))
        holds, give = Signal(), Signal()  # the gearbox holds a record; it gives it
        m.d.comb += [
            self.beats.ready.eq(hungry),
            give.eq(unpacking & holds & room),
            row_ends.eq(give & ((slot == lanes - 1) | (records_left == 1))),
        ]
        with m.If(self.beats.valid & self.beats.ready):
            m.d.sync += [
                level.eq(level + bus_bytes),
                holds.eq(level + bus_bytes >= PARAMETER_BYTES),
                beats_left.eq(beats_left - 1),
                hungry.eq((beats_left != 1) & (level + bus_bytes < PARAMETER_BYTES)),
            ]
            with m.Switch(level):
                for kept in range(PARAMETER_BYTES):
                    with m.Case(kept):
                        m.d.sync += gearbox.eq(Cat(gearbox[:8 * kept], self.beats.payload))
        with m.If(give):
            m.d.sync += [
                level.eq(Mux(records_left == 1, 0, level - PARAMETER_BYTES)),
                holds.eq((records_left != 1) & (level >= 2 * PARAMETER_BYTES)),
                hungry.eq((beats_left != 0) & (level < 2 * PARAMETER_BYTES)),
                unpacking.eq(records_left != 1),
                gearbox.eq(gearbox >> 8 * PARAMETER_BYTES),
                records_left.eq(records_left - 1),
                slot.eq(Mux(row_ends, 0, slot + 1)),
            ]
        with m.If(row_ends):
            m.d.sync += newest.eq(newest + 1)
        # A cycle later: the memory's enables and data are far apart.
        given, given_row = (Signal(shape, name=name, reset_less=True) for name, shape in (
            ("given", MULTIPLIER_BITS + BIAS_BITS), ("given_row", range(rows))))
        m.d.sync += write.en.eq(give << slot)
        with m.If(give):
            m.d.sync += [given.eq(gearbox), given_row.eq(newest)]
        m.d.comb += [
            write.addr.eq(given_row),
            write.data.eq(given.replicate(lanes)),
            read.addr.eq(place + self.row),
            self.record.eq(read.data),
        ]

        # A beat is certain if, with everything before it unpacked into the free slots, fewer bytes than a record
        # are left in the gearbox.
        slots = Signal(range(config.parameter_channels + 1))
        m.d.comb += [
            slots.eq((free << lane_bits) - slot),
            # A sum, not a product: no multiplier is worth it here.
            self.space.eq((slots * (PARAMETER_BYTES - 1) + slots + (PARAMETER_BYTES - 1 + bus_bytes - level))
                          >> beat_shift),
        ]
        return m
