"""The weight builder: brings signs and coat indices together."""

from amaranth import *
from amaranth.lib import data, fifo, stream, wiring
from amaranth.lib.wiring import In, Out

from arch.config import EngineConfig
from arch.descriptor import Code
from hw.bits import count_ones
from hw.commands import BuildCommand
from hw.decoder import decode_step, symbol_rows
from hw.lane import symbol_bits
from hw.table import ENTRY_BITS, ScaleTable, encode_weight, table_layout
from hw.threefry import RandomStream
from hw.walker import StepWalker, row_place
from hw.weights import weight_write

__all__ = ["WeightBuilder"]


class WeightBuilder(wiring.Component):
    """Builds the weight slots of every pass, in order, as far ahead as there are free slots.

    Operation: every step asks a :class:`~hw.threefry.RandomStream` per row for signs (not for stored weights) and the
    coat decoder for a row of symbols; where they meet, symbols go through the layer's scale table and are written.
    Slots are used in rotation. The walk runs ahead of the decoder by the latency of the random stream, also into the
    next layer. Groups of columns beyond the layer are not written; other columns and lanes beyond it are written zero.

    Latency: from a command to its first row ``RandomStream.latency`` + 3 cycles; one step per cycle while there are
    free slots.

    Members
    -------
    seed : In(64)
        Seed of the random stream, static while a layer is built.
    command : In(stream of BuildCommand)
    step : Out(stream of decode_step)
    rows : In(stream of symbol_rows)
    write : Out(weight_write)
    built : Out(1)
        In the cycle after the last write of a slot.
    freed : In(1)
        The oldest slot in use is free again. All slots are free at reset.
    built_weights, zero_weights : Out(range(decoder_lanes + 1))
        Weights of the layer in the ``write`` of two cycles before, and how many of them are zero.
    """

    def __init__(self, config: EngineConfig):
        self._config = config
        count = range(config.decoder_lanes + 1)
        super().__init__({
            #: Seed of the model.
            "seed": In(64),
            #: The next layer.
            "command": In(stream.Signature(BuildCommand)),
            #: To the coat decoder: what to decode.
            "step": Out(stream.Signature(decode_step(config))),
            #: From the coat decoder.
            "rows": In(stream.Signature(symbol_rows(config))),
            #: Rows for the columns.
            "write": Out(weight_write(config)),
            #: A slot is complete.
            "built": Out(1),
            #: A slot is free again.
            "freed": In(1),
            #: Weights written.
            "built_weights": Out(count),
            #: Zero weights among them.
            "zero_weights": Out(count),
        })

    def elaborate(self, platform):
        m = Module()
        config = self._config
        lanes = config.lanes
        generators = range(config.build_columns)
        place_layout = row_place(config)

        m.submodules.walker = walker = StepWalker(config)
        signs = []
        for row in generators:
            m.submodules[f"random_{row}"] = random = RandomStream(config.rounds)
            signs.append(random)

        # Table of the layer being written, and of the one after it, which the walker may have reached already.
        layer_layout = data.StructLayout({"table": table_layout(config), "stored": 1})
        layer, next_layer = Signal(layer_layout, reset_less=True), Signal(layer_layout, reset_less=True)
        layer_valid, next_valid, layer_done = Signal(), Signal(), Signal()
        command = self.command.payload
        m.d.comb += [
            walker.command.payload.eq(command),
            walker.command.valid.eq(self.command.valid & ~next_valid),
            self.command.ready.eq(walker.command.ready & ~next_valid),
        ]
        with m.If(layer_done | ~layer_valid):
            m.d.sync += [layer.eq(next_layer), layer_valid.eq(next_valid), next_valid.eq(0)]
        with m.If(self.command.valid & self.command.ready):
            entries = Cat(command.table_low, command.table_high)
            m.d.sync += [
                *(next_layer.table[index].eq(encode_weight(config, entries.word_select(index, ENTRY_BITS)))
                  for index in range(len(next_layer.table))),
                next_layer.stored.eq(command.code == Code.STORED),
                next_valid.eq(1),
            ]

        # Every step goes three ways at once: to the generators, to the decoder, and to the place where their answers
        # meet. The queues hold all steps that the generators can hold.
        depth = 1 << (signs[0].latency + 1).bit_length()
        m.submodules.steps = steps = fifo.SyncFIFO(width=decode_step(config).size, depth=depth)
        m.submodules.places = places = fifo.SyncFIFO(width=place_layout.size, depth=depth)
        walk = walker.walk
        room, taken, moves = Signal(), Signal(), Signal()
        m.d.comb += [
            # The depth is a power of two: a full queue's level has its highest bit set.
            room.eq(~steps.level[-1] & ~places.level[-1]),
            taken.eq(walk.valid & room & (walker.stored | moves)),
            walk.ready.eq(taken),
            steps.w_data.eq(walk.payload.decode),
            steps.w_en.eq(taken),
            places.w_data.eq(walk.payload.place),
            places.w_en.eq(taken),
            Value.cast(self.step.payload).eq(steps.r_data),
            self.step.valid.eq(steps.r_rdy),
            steps.r_en.eq(self.step.ready),
        ]
        # The generators work in lockstep, so the first one speaks for all: they move on unless its signs have to wait.
        # Those of absent columns make unused signs.
        for row, random in enumerate(signs):
            m.d.comb += [
                random.seed.eq(self.seed),
                random.request.payload.block.eq(walk.payload.blocks[row]),
                random.request.payload.stream.eq(walker.stream),
                random.request.valid.eq(walk.valid & room & ~walker.stored),
            ]

        # Meeting point. A slot is claimed by its first row and counted by its last.
        place = data.View(place_layout, places.r_data)
        free = Signal(range(config.weight_slots + 1), init=config.weight_slots)
        next_free, slot_free = Signal.like(free), Signal(init=1)
        meet, open_ = Signal(), Signal()
        m.d.comb += [
            open_.eq(self.rows.valid & layer_valid & slot_free),
            moves.eq(~signs[0].signs.valid | open_ & ~layer.stored),
            meet.eq(open_ & (layer.stored | signs[0].signs.valid)),
            self.rows.ready.eq(meet),
            places.r_en.eq(meet),
            next_free.eq(free + self.freed - (meet & place.ends_slot)),
            layer_done.eq(meet & place.ends_layer),
            *(random.signs.ready.eq(meet & ~layer.stored) for random in signs),
        ]
        m.d.sync += [free.eq(next_free), slot_free.eq(next_free != 0)]

        # Cycle 1: weights, which go to the array's registers. Cycle 2: `built`, and how many weights there are and how
        # many are not zero. Cycle 3: the sums of these.
        met, where = Signal(), Signal(place_layout, reset_less=True)
        weights = [Signal(data.ArrayLayout(config.weight_bits, lanes), name=f"weights_{row}", reset_less=True)
                   for row in generators]
        m.d.sync += met.eq(meet)
        with m.If(meet):
            m.d.sync += where.eq(place)
        symbols = self.rows.payload.symbols.as_value()
        for row, random in enumerate(signs):
            m.submodules[f"table_{row}"] = table = ScaleTable(config)
            m.d.comb += [
                table.table.eq(layer.table),
                table.stored.eq(layer.stored),
                table.lanes.eq(Mux(place.columns > row, place.lanes, 0)),
                table.symbols.eq(symbols.word_select(row, symbol_bits(config) * lanes)),
                table.signs.eq(random.signs.payload.word_select(place.part, lanes)),
            ]
            with m.If(meet):
                m.d.sync += weights[row].eq(table.weights)

        slot = Signal(range(config.weight_slots))
        present, nonzero = Signal.like(self.built_weights), Signal.like(self.built_weights)
        m.d.sync += [
            self.built.eq(met & where.ends_slot),
            present.eq(Mux(met, sum(Mux(where.columns > row, where.lanes, 0) for row in generators), 0)),
            nonzero.eq(Mux(met, count_ones([weight.any() for row in weights for weight in row]), 0)),
            self.built_weights.eq(present),
            self.zero_weights.eq(present - nonzero),
        ]
        m.d.comb += [self.write.valid.eq(met), self.write.slot.eq(slot), self.write.group.eq(where.group)]
        for row in generators:
            negatives = count_ones([weight[-1] for weight in weights[row]]) if config.weight_bits < 8 else 0
            m.d.comb += [
                self.write.rows[row].weights.eq(weights[row]),
                self.write.rows[row].negatives.eq(negatives),
            ]
        with m.If(met):
            m.d.sync += slot.eq(slot + where.ends_slot)
        return m
