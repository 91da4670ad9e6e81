"""The parameter buffer: per-channel multipliers and biases, from beats into rows of one requantiser beat each."""

from amaranth import *
from amaranth.lib import data, stream, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from arch.config import BIAS_BITS, MULTIPLIER_BITS, EngineConfig
from arch.descriptor import FIELDS, PARAMETER_BYTES

__all__ = ["ParameterBuffer", "parameter_row", "row_offset"]


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

    ``space`` counts beats of the current layer only, so that a beat in flight never waits for a command.

    Latency: one record per cycle, a beat in the cycles between; ``record`` follows ``row`` by one cycle.

    Members
    -------
    command : In(stream of {out_channels})
    beats : In(stream of bus_bits)
    space : Out(unsigned)
        Beats that are taken without any row being released; beats in flight not yet subtracted.
    row : In(row_offset)
        Row to read, counted from the oldest one.
    record : Out(parameter_row)
    rows_ready : Out(range(rows + 1))
        Complete rows not yet released.
    release : In(unsigned)
        That many of the oldest rows are free.
    """

    def __init__(self, config: EngineConfig):
        self._config = config
        self._rows = config.parameter_channels // config.requantiser_lanes
        capacity = (PARAMETER_BYTES * config.parameter_channels + PARAMETER_BYTES - 1) // config.bus_bytes + 1
        super().__init__({
            #: Number of records of the next layer.
            "command": In(stream.Signature(data.StructLayout({"out_channels": FIELDS["out_channels"].bits}))),
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
            #: Rows to free in this cycle.
            "release": In(range(config.columns // config.requantiser_lanes + 1)),
        })

    def elaborate(self, platform):
        m = Module()
        config, rows = self._config, self._rows
        lanes, bus_bytes = config.requantiser_lanes, config.bus_bytes
        beat_shift, lane_bits = bus_bytes.bit_length() - 1, lanes.bit_length() - 1

        m.submodules.memory = memory = Memory(shape=parameter_row(config), depth=rows, init=[])
        write, read = memory.write_port(granularity=1), memory.read_port()

        records_left = Signal(FIELDS["out_channels"].bits)
        beats_left = Signal(range((PARAMETER_BYTES << FIELDS["out_channels"].bits) // bus_bytes + 2))
        m.d.comb += self.command.ready.eq(records_left == 0)
        with m.If(self.command.valid & self.command.ready):
            channels = self.command.payload.out_channels
            m.d.sync += [
                records_left.eq(channels),
                beats_left.eq((channels * PARAMETER_BYTES + (bus_bytes - 1)) >> beat_shift),
            ]

        # Gearbox: `level` bytes, the oldest lowest. It takes a beat or gives a record.
        gearbox = Signal(8 * (bus_bytes + PARAMETER_BYTES - 1))
        level = Signal(range(bus_bytes + PARAMETER_BYTES))
        oldest, newest = Signal(range(rows)), Signal(range(rows))
        slot = Signal(range(max(2, lanes)))
        give, row_ends = Signal(), Signal()
        m.d.comb += [
            self.beats.ready.eq((beats_left != 0) & (level < PARAMETER_BYTES)),
            give.eq((records_left != 0) & (level >= PARAMETER_BYTES) & (self.rows_ready != rows)),
            row_ends.eq(give & ((slot == lanes - 1) | (records_left == 1))),
        ]
        with m.If(self.beats.valid & self.beats.ready):
            m.d.sync += [level.eq(level + bus_bytes), beats_left.eq(beats_left - 1)]
            with m.Switch(level):
                for kept in range(PARAMETER_BYTES):
                    with m.Case(kept):
                        m.d.sync += gearbox.eq(Cat(gearbox[:8 * kept], self.beats.payload))
        with m.If(give):
            m.d.sync += [
                level.eq(Mux(records_left == 1, 0, level - PARAMETER_BYTES)),
                gearbox.eq(gearbox >> 8 * PARAMETER_BYTES),
                records_left.eq(records_left - 1),
                slot.eq(Mux(row_ends, 0, slot + 1)),
            ]
        with m.If(row_ends):
            m.d.sync += newest.eq(newest + 1)
        m.d.sync += [
            self.rows_ready.eq(self.rows_ready + row_ends - self.release),
            oldest.eq(oldest + self.release),
        ]
        m.d.comb += [
            write.addr.eq(newest),
            write.data.eq(gearbox[:MULTIPLIER_BITS + BIAS_BITS].replicate(lanes)),
            write.en.eq(give << slot),
            read.addr.eq(oldest + self.row),
            self.record.eq(read.data),
        ]

        # A beat is certain if, with everything before it unpacked into the free slots, fewer bytes than a record
        # are left in the gearbox.
        free_slots = Signal(range(config.parameter_channels + 1))
        certain = Signal(signed(self.space.shape().width + 1))
        m.d.comb += [
            free_slots.eq(((rows - self.rows_ready) << lane_bits) - slot),
            certain.eq(((free_slots * PARAMETER_BYTES + (PARAMETER_BYTES - 1) - level) >> beat_shift) + 1),
            self.space.eq(Mux(beats_left < certain, beats_left, certain)),
        ]
        return m
