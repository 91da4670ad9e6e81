"""The coat decoder: one symbol per lane and cycle, from words that arrive in the order in which lanes ask for them."""

from amaranth import *
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from arch.config import MASK_WORD_BITS, MAX_COATS, EngineConfig
from arch.descriptor import Code, Error
from hw.ans import AnsTable, TableMemory
from hw.bits import above, exceeds
from hw.commands import DecodeCommand
from hw.deal import Dealer
from hw.instance import emitted_instance
from hw.lane import DecoderLane, lane_code, lane_ports, symbol_bits

__all__ = ["CoatDecoder", "connect_masks", "decode_step", "symbol_rows"]


def decode_step(config: EngineConfig) -> data.StructLayout:
    """What to decode: lanes < ``lanes`` of the first ``columns`` rows, after the flags' actions."""
    return data.StructLayout({
        "lanes": range(config.lanes + 1),
        "columns": range(config.build_columns + 1),
        "save": 1,
        "restore": 1,
        "release": 1,
        "last": 1,
    })


def symbol_rows(config: EngineConfig) -> data.StructLayout:
    """The symbols of one step: decoder lane ``g * lanes + l`` is lane l of row g."""
    return data.StructLayout({"symbols": data.ArrayLayout(symbol_bits(config), config.decoder_lanes)})


def connect_masks(m: Module, masks: wiring.Component, decoder: wiring.Component):
    """Wires a decoder's mask side to its mask buffer."""
    m.d.comb += [getattr(decoder, name).eq(getattr(masks, name))
                 for name in ("words", "valid", "past_end", "drained")]
    m.d.comb += [getattr(masks, name).eq(getattr(decoder, name))
                 for name in ("take", "save", "restore", "release", "finish")]


class CoatDecoder(wiring.Component):
    """Decodes mask streams (docs/specification.md, "Mask stream").

    Operation: a lane holds a current word, a next word and a position in the current one. A step is decoded once every
    lane that takes part has its next word or would not reach the end of the current one with the longest symbol; where
    all lanes ask in the same steps (a fixed length, all lanes in all steps), the symbol may end there. Lanes that cross
    the end of their current word then ask for a word, which a :class:`~hw.deal.Dealer` deals them. A step with
    ``save`` waits until nothing is asked for; one with ``restore`` drops what is asked for. After the last step, what
    is asked for is served as far as it is stored, ``finish`` is given, and the next command taken. While a command for
    code `ans` waits to be taken, its table is built (:class:`~hw.ans.AnsTable`), behind the layer being decoded; it is
    taken when the table is complete. A layer with the table of one of the last two builds none.

    Latency: ``step_cycles`` + 1 from an accepted step to its row, a step every ``step_cycles`` while words keep up.
    `ans` loses up to 2 % to lanes that wait for a word because the longest symbol would need it. A layer begins
    5 + ceil(used lanes / refill_words) cycles behind the last step of the one before if its words are there and
    ``step_cycles`` is 1, and ceil(used lanes / refill_words) more for an `ans` layer with symbols of more than 5 bits.
    Its table, if none is there, is ready ``AnsTable.build_cycles`` after its command became the next one.

    With ``step_cycles`` = 2 a step is looked at in one cycle, symbols and whether all lanes are ready kept, and takes
    place in the next one; then positions move, and so on. A row has to leave before the next step takes place.

    Parameters
    ----------
    emit : bool
        Instantiate the separately emitted module ``topcoat_lane`` instead of elaborating every lane again: for Verilog,
        where the lanes are one module.

    Members
    -------
    command : In(stream of DecodeCommand)
        A command that waits must stay as it is, as in any stream: it is looked at before it is taken.
    step : In(stream of decode_step)
    rows : Out(stream of symbol_rows)
        Coat indices, or weights in two's complement for ``Code.STORED``; 0 for lanes that take no part.
    words, valid, past_end, drained, take, save, restore, release, finish
        The :class:`~hw.masks.MaskBuffer`'s ports, mirrored.
    error : Out(4)
        ``arch.descriptor.Error``, for one cycle each. Rows keep coming after an error, with any content.
    starved : Out(1)
        In the cycle before, a step waited for mask words, and their row was not there.
    """

    def __init__(self, config: EngineConfig, *, emit: bool = False):
        self._config = config
        self._emit = emit
        super().__init__({
            #: The next layer's code.
            "command": In(stream.Signature(DecodeCommand)),
            #: What to decode.
            "step": In(stream.Signature(decode_step(config))),
            #: What was decoded.
            "rows": Out(stream.Signature(symbol_rows(config))),
            #: The next row of the mask stream.
            "words": In(data.ArrayLayout(MASK_WORD_BITS, config.refill_words)),
            #: It is there.
            "valid": In(1),
            #: Which of its words are not stored.
            "past_end": In(config.refill_words),
            #: No more words are stored.
            "drained": In(1),
            #: The row is used up.
            "take": Out(1),
            #: Remember the row.
            "save": Out(1),
            #: Go back to it.
            "restore": Out(1),
            #: Forget it.
            "release": Out(1),
            #: The layer ends.
            "finish": Out(1),
            #: What is wrong with the mask stream.
            "error": Out(4),
            #: A step waits because mask words are not there.
            "starved": Out(1),
        })

    def elaborate(self, platform):
        m = Module()
        config = self._config
        lanes = range(config.decoder_lanes)

        # The layer.
        code, coats = Signal(Code), Signal(range(MAX_COATS + 1))
        lanes_code = Signal(lane_code(config))
        running, ending, start, begin = Signal(), Signal(), Signal(), Signal()
        command = self.command.payload
        # A run longer than a row uses all lanes.
        row_bits = config.lanes.bit_length() - 1
        uses = (above(command.run_bytes[:row_bits], config.lanes)
                | command.run_bytes[row_bits:].any().replicate(config.lanes))
        used = Signal(config.lanes)
        m.submodules.table = table = AnsTable()
        wants_table = command.code == Code.ANS
        m.d.comb += [
            table.waiting.eq(self.command.valid & wants_table),
            *(table.frequencies[index].eq(command[f"frequency_{index + 1}"]) for index in range(MAX_COATS)),
            table.offset.eq(command.ans_offset),
            table.start.eq(start & wants_table),
            self.command.ready.eq(~running & ~ending & (table.ready | ~wants_table)),
            start.eq(self.command.valid & self.command.ready),
        ]
        wants_unary, wants_stored = command.code == Code.UNARY, command.code == Code.STORED
        longest = Mux(wants_table, table.longest, command.symbol_bits)
        symbol_ones = (1 << command.symbol_bits) - 1
        of_length = ~(wants_table | wants_unary)
        # All lanes take part in all steps and consume as much: they ask together. They are as many as words of a row or
        # more, or the bus would be wider than the activation memory's words.
        group_bits = config.build_columns.bit_length() - 1
        lockstep = of_length & ~command.run_bytes[:row_bits].any() & ~command.out_channels[:group_bits].any()
        m.d.sync += begin.eq(start)
        with m.If(start):
            m.d.sync += [
                code.eq(command.code),
                coats.eq(command.coats),
                lanes_code.ans.eq(wants_table),
                lanes_code.length.eq(Mux(of_length, command.symbol_bits, 0)),
                lanes_code.mask.eq(Mux(of_length, symbol_ones, 0)),
                lanes_code.sign.eq(Mux(wants_stored, symbol_ones & ~(symbol_ones >> 1), 0)),
                lanes_code.ones.eq(Mux(wants_unary, symbol_ones, 0)),
                lanes_code.limit.eq((longest ^ MASK_WORD_BITS - 1) + lockstep),
                used.eq(uses),
                running.eq(1),
            ]

        # The step: unpacked in one cycle, decoded in a later one.
        waiting, fire = Signal(), Signal()
        save, restore, release, last = (Signal(name=f"step_{name}") for name in ("save", "restore", "release", "last"))
        takes_part = Signal(config.decoder_lanes)
        step = self.step.payload
        m.d.comb += self.step.ready.eq(~waiting | fire)
        with m.If(self.step.ready):
            m.d.sync += [
                waiting.eq(self.step.valid),
                takes_part.eq(Cat(above(step.lanes, config.lanes) & column.replicate(config.lanes)
                                  for column in above(step.columns, config.build_columns))),
                save.eq(step.save),
                release.eq(step.release),
                last.eq(step.last),
            ]
        # High in a step's first cycle only. Its layer runs: a step of it with `save` has been done before.
        m.d.sync += restore.eq(self.step.valid & self.step.ready & step.restore)

        # A layer starts with two requests of every used lane: the second ones when all first ones are served.
        served, crossed = (Signal(config.decoder_lanes, name=name) for name in ("served", "crossed"))
        quiet, twice, again = Signal(), Signal(), Signal()
        m.submodules.dealer = dealer = Dealer(config)
        m.d.comb += [
            *(getattr(dealer, name).eq(getattr(self, name))
              for name in ("words", "valid", "past_end", "drained", "save", "restore", "finish")),
            self.take.eq(dealer.take),
            served.eq(dealer.served),
            again.eq(twice & ~begin & ~dealer.asking),
            dealer.request.eq(
                crossed | (used & (begin | again).replicate(config.lanes)).replicate(config.build_columns)),
        ]
        # Nothing is asked for, nor has been in the cycle before.
        m.d.sync += quiet.eq((running | ending) & ~dealer.pending & ~twice & ~fire)
        with m.If(start):
            m.d.sync += twice.eq(1)
        with m.Elif(again | self.finish):
            m.d.sync += twice.eq(0)

        # Which words of a lane are there and which of them are virtual: of all lanes together, which a simulator
        # handles as a few wide words. A lane whose first word has come always has a current one, as it leaves that only
        # for the next, but in lockstep, where a symbol may end with it. ``used_virtual`` is about the last step.
        def of_lanes(*names):
            return (Signal(config.decoder_lanes, name=name) for name in names)

        current_valid, current_virtual, following_valid, following_virtual = of_lanes(
            "current_valid", "current_virtual", "following_valid", "following_virtual")
        saved_current_virtual, saved_following_virtual = of_lanes("saved_current_virtual", "saved_following_virtual")
        used_virtual, virtual = of_lanes("used_virtual", "virtual")
        ready, move, opening = of_lanes("ready", "move", "opening")
        fits, crosses, within, bad = of_lanes("fits", "crosses", "within", "bad")
        m.d.comb += [
            ready.eq(~takes_part | current_valid & (following_valid | fits)),
            crossed.eq(Mux(fire, takes_part & crosses, 0)),
            move.eq(crossed | opening),
            opening.eq(following_valid & ~current_valid),
        ]
        m.d.sync += [
            current_valid.eq(current_valid & ~crossed | following_valid),
            following_valid.eq(served | following_valid & ~move),
            current_virtual.eq(current_virtual & ~move | following_virtual & move),
        ]
        with m.If(dealer.asking):
            m.d.sync += following_virtual.eq(following_virtual & ~served | virtual & served)
        with m.If(fire):
            # A word is used if the step begins or ends behind its first bit.
            m.d.sync += used_virtual.eq(
                takes_part & (current_virtual & (within | crosses) | following_virtual & within & crosses))
        # Nothing is asked for when the state is saved, so both words are there.
        with m.If(self.save):
            m.d.sync += [saved_current_virtual.eq(current_virtual), saved_following_virtual.eq(following_virtual)]
        with m.If(self.restore):
            m.d.sync += [
                current_valid.eq(~0),
                following_valid.eq(~0),
                current_virtual.eq(saved_current_virtual),
                following_virtual.eq(saved_following_virtual),
            ]
        with m.If(start):
            m.d.sync += [current_valid.eq(0), following_valid.eq(0)]

        # Lanes and their tables.
        memories = [TableMemory(config.table_lanes) for _ in range(config.decoder_lanes // config.table_lanes)]
        for number, memory in enumerate(memories):
            m.submodules[f"tables_{number}"] = memory
            m.d.comb += [memory.bank.eq(table.bank), memory.write.eq(table.write)]
        rows = self.rows
        for number in lanes:
            lane = lane_ports(config).create(path=(f"lane_{number}",)) if self._emit else DecoderLane(config)
            memory, port = memories[number // config.table_lanes], number % config.table_lanes
            m.submodules[f"lane_{number}"] = emitted_instance("topcoat_lane", lane) if self._emit else lane
            m.d.comb += [
                lane.code.eq(lanes_code),
                memory.fetch[port].eq(lane.fetch),
                memory.states[port].eq(lane.state),
                lane.entry.eq(memory.entries[port]),
                lane.begin.eq(begin),
                lane.save.eq(self.save),
                lane.restore.eq(self.restore),
                lane.arrive.eq(served[number]),
                Cat(lane.word, virtual[number]).eq(dealer.dealt[number]),
                lane.move.eq(move[number]),
                lane.opening.eq(opening[number]),
                lane.fire.eq(fire),
                lane.takes_part.eq(takes_part[number]),
                fits[number].eq(lane.fits),
                crosses[number].eq(lane.crosses),
                within[number].eq(lane.within),
                bad[number].eq(exceeds(rows.payload.symbols[number][:len(coats)], coats)
                               | rows.payload.symbols[number][len(coats):].any()),
            ]
            with m.If(fire):
                m.d.sync += rows.payload.symbols[number].eq(Mux(takes_part[number], lane.symbol, 0))

        able = Signal()
        decodes = waiting & running & ~save & ~restore & ready.all()
        if config.step_cycles == 1:
            m.d.comb += [able.eq(decodes), fire.eq(able & (~rows.valid | rows.ready))]
        else:
            m.d.sync += able.eq(decodes & ~fire)
            m.d.comb += fire.eq(able & ~rows.valid)
        with m.If(fire):
            m.d.sync += rows.valid.eq(1)
        with m.Elif(rows.ready):
            m.d.sync += rows.valid.eq(0)

        short = Mux(save, ~quiet, ~ready.all())
        m.d.sync += self.starved.eq(
            waiting & running & ~restore & short & dealer.asking & ~self.valid & ~self.drained)

        # Flags and the layer's end.
        m.d.comb += [
            self.save.eq(waiting & running & save & quiet),
            self.restore.eq(restore),
            self.release.eq(self.restore & release),
            self.finish.eq(ending & (quiet | self.drained)),
        ]
        with m.If(self.save):
            m.d.sync += save.eq(0)
        with m.If(fire & last):
            m.d.sync += [running.eq(0), ending.eq(1)]
        with m.If(self.finish):
            m.d.sync += ending.eq(0)

        # Errors, two cycles behind the step: they need not be fast.
        fired, exhausted, bad_symbol, left_over = Signal(), Signal(), Signal(), Signal()
        m.d.sync += [
            fired.eq(fire),
            exhausted.eq(fired & used_virtual.any()),
            bad_symbol.eq(fired & (code == Code.RAW) & bad.any()),
            left_over.eq(self.finish & dealer.left_over),
            self.error.eq(Mux(exhausted, Error.MASK_EXHAUSTED, Mux(bad_symbol, Error.BAD_SYMBOL, Mux(
                left_over, Error.MASK_LEFT_OVER, Error.NONE)))),
        ]
        return m
