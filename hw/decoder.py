"""The coat decoder: one symbol per lane and cycle, from words that arrive in the order in which lanes ask for them."""

from amaranth import *
from amaranth.lib import data, fifo, stream, wiring
from amaranth.lib.wiring import In, Out

from arch.config import ANS_BITS, MASK_WORD_BITS, MAX_COATS, EngineConfig
from arch.depths import QUEUED_STEPS
from arch.descriptor import Code, Error
from hw.ans import AnsTable
from hw.commands import DecodeCommand
from hw.instance import emitted_instance
from hw.lane import SYMBOL_BITS, DecoderLane, lane_ports, lane_value_bits

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
    return data.StructLayout({"symbols": data.ArrayLayout(SYMBOL_BITS, config.decoder_lanes)})


def connect_masks(m: Module, masks: wiring.Component, decoder: wiring.Component):
    """Wires a decoder's mask side to its mask buffer."""
    m.d.comb += [getattr(decoder, name).eq(getattr(masks, name))
                 for name in ("words", "available", "past_end", "left_over")]
    m.d.comb += [getattr(masks, name).eq(getattr(decoder, name))
                 for name in ("take", "save", "restore", "release", "finish")]


def _exclusive_ranks(m: Module, bits: Value, limit: int) -> tuple[list[Value], Value]:
    """For every bit of ``bits`` how many below it are set, and how many are set in all; any count >= ``limit`` (a power
    of two) is some number >= ``limit``. A prefix network of logarithmic depth."""
    width = limit.bit_length()

    def add(name, left, right):
        total = Signal(width, name=name)
        low = Signal(width, name=f"{name}_low")
        m.d.comb += [low.eq(left[:-1] + right[:-1]), total.eq(low | Cat(Const(0, width - 1), left[-1] | right[-1]))]
        return total

    counts = [Cat(bit, Const(0, width - 1)) for bit in bits]
    span = 1
    while span < len(counts):
        counts = [add(f"count_{span}_{index}", counts[index // span * span - 1], count) if index & span else count
                  for index, count in enumerate(counts)]
        span *= 2
    return [Const(0, width), *counts[:-1]], counts[-1]


class CoatDecoder(wiring.Component):
    """Decodes mask streams (docs/specification.md, "Mask stream").

    Operation: a lane holds a current word, a next word and a position in the current one. A step is decoded once every
    lane that takes part has the bits of the longest symbol; lanes that cross the end of their current word then ask for
    a word. The requests of a step are served together, lowest lane first and ``refill_words`` per cycle, steps in
    order. A step with ``save`` waits until nothing is asked for; one with ``restore`` drops what is asked for. After
    the last step, what is asked for is served as far as it is stored, ``finish`` is given, and the next command taken.
    While a command for code `ans` waits to be taken, its table is built (:class:`~hw.ans.AnsTable`), behind the layer
    being decoded; it is taken when the table is complete. A layer with the table of one of the last two builds none.

    Latency: two cycles from an accepted step to its row, one step per cycle while words keep up: symbols may average
    three quarters of the bits that ``refill_words`` bring per cycle. `ans` loses up to 2 % to lanes that wait for a
    word because the longest symbol would need it. From a layer's last step to the next one's first it takes
    4 + ceil(used lanes / refill_words) cycles if its words are there, and ceil(used lanes / refill_words) - 1 more for
    an `ans` layer with symbols of more than 6 bits. Its table, if none is there, is ready ``AnsTable.build_cycles``
    after its command became the next one.

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
    words, available, past_end, take, save, restore, release, finish, left_over
        The :class:`~hw.masks.MaskBuffer`'s ports, mirrored.
    error : Out(4)
        ``arch.descriptor.Error``, for one cycle each. Rows keep coming after an error, with any content.
    starved : Out(1)
        In the cycle before, a step waited for mask words and fewer than ``refill_words`` were available.
    """

    def __init__(self, config: EngineConfig, *, emit: bool = False):
        self._config = config
        self._emit = emit
        taken = range(config.refill_words + 1)
        super().__init__({
            #: The next layer's code.
            "command": In(stream.Signature(DecodeCommand)),
            #: What to decode.
            "step": In(stream.Signature(decode_step(config))),
            #: What was decoded.
            "rows": Out(stream.Signature(symbol_rows(config))),
            #: The next words of the mask stream.
            "words": In(data.ArrayLayout(MASK_WORD_BITS, config.refill_words)),
            #: How many of them there are.
            "available": In(taken),
            #: Which of them are not stored.
            "past_end": In(config.refill_words),
            #: How many of them are taken.
            "take": Out(taken),
            #: Remember the place of the next word.
            "save": Out(1),
            #: Go back to it.
            "restore": Out(1),
            #: Forget it.
            "release": Out(1),
            #: The layer ends.
            "finish": Out(1),
            #: It ended too early.
            "left_over": In(1),
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
        length, mask = Signal(range(max(SYMBOL_BITS, ANS_BITS) + 1)), Signal(lane_value_bits(config))
        running, ending, start = Signal(), Signal(), Signal()
        command = self.command.payload
        used = Cat(command.run_bytes > lane % config.lanes for lane in lanes)
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
        with m.If(start):
            m.d.sync += [
                code.eq(command.code),
                coats.eq(command.coats),
                length.eq(Mux(wants_table, table.longest, command.symbol_bits)),
                mask.eq((1 << command.symbol_bits) - 1),
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
                takes_part.eq(Cat((step.columns > lane // config.lanes) & (step.lanes > lane % config.lanes)
                                  for lane in lanes)),
                save.eq(step.save),
                restore.eq(step.restore),
                release.eq(step.release),
                last.eq(step.last),
            ]

        # Requests: one mask per step that has any. `asking` is what is left of the oldest one.
        asking, crossed, served, remaining = (Signal(config.decoder_lanes, name=name)
                                              for name in ("asking", "crossed", "served", "remaining"))
        pending, more = Signal(), Signal()
        m.submodules.requests = requests = ResetInserter(self.restore | self.finish)(
            fifo.SyncFIFO(width=config.decoder_lanes, depth=QUEUED_STEPS))
        ranks, total = _exclusive_ranks(m, asking, config.refill_words)
        m.d.comb += [
            served.eq(Cat(asking[lane] & (ranks[lane] < self.available) for lane in lanes)),
            self.take.eq(Mux(total < self.available, total, self.available)),
            remaining.eq(asking & ~served),
            more.eq(remaining.any()),
            pending.eq(asking.any() | requests.r_rdy),
            requests.r_en.eq(~more),
            requests.w_data.eq(Mux(start, used, crossed)),
            requests.w_en.eq(start | crossed.any() & (more | requests.r_rdy)),
        ]
        m.d.sync += asking.eq(Mux(more, remaining, Mux(requests.r_rdy, requests.r_data, crossed)))
        # A layer starts with two requests of every used lane: one here, one in the queue.
        with m.If(start):
            m.d.sync += asking.eq(used)
        with m.If(self.restore | self.finish):
            m.d.sync += asking.eq(0)

        # Which words of a lane are there and which of them are virtual, and whether its first one has come: of all
        # lanes together, which a simulator handles as a few wide words. ``used_virtual`` is about the last step.
        def of_lanes(*names):
            return (Signal(config.decoder_lanes, name=name) for name in names)

        current_valid, current_virtual, following_valid, following_virtual = of_lanes(
            "current_valid", "current_virtual", "following_valid", "following_virtual")
        saved_current_virtual, saved_following_virtual = of_lanes("saved_current_virtual", "saved_following_virtual")
        opened, opened_virtual, used_virtual = of_lanes("opened", "opened_virtual", "used_virtual")
        ready, move, opening = of_lanes("ready", "move", "opening")
        fits, crosses, overlaps, has_bits, bad = of_lanes("fits", "crosses", "overlaps", "has_bits", "bad")
        virtual = Signal(config.decoder_lanes)
        m.d.comb += [
            ready.eq(~takes_part | current_valid & (following_valid | fits)),
            crossed.eq(Mux(fire, takes_part & crosses, 0)),
            move.eq(following_valid & (crossed | ~current_valid)),
            opening.eq(following_valid & ~opened),
        ]
        m.d.sync += [
            current_valid.eq(current_valid & ~crossed | following_valid),
            following_valid.eq(served | following_valid & ~move),
            current_virtual.eq(current_virtual & ~move | following_virtual & move),
            opened.eq(opened | opening),
            opened_virtual.eq(opened_virtual & ~opening | following_virtual & opening),
        ]
        with m.If(asking.any()):
            m.d.sync += following_virtual.eq(following_virtual & ~served | virtual & served)
        with m.If(fire):
            m.d.sync += used_virtual.eq(
                takes_part & (current_virtual & (opened_virtual | has_bits) | following_virtual & overlaps))
        with m.If(start):
            m.d.sync += [current_valid.eq(0), following_valid.eq(0), opened.eq(0)]
        # Nothing is asked for when the state is saved, so both words are there.
        with m.If(self.save):
            m.d.sync += [saved_current_virtual.eq(current_virtual), saved_following_virtual.eq(following_virtual)]
        with m.If(self.restore):
            m.d.sync += [
                current_virtual.eq(saved_current_virtual),
                following_virtual.eq(saved_following_virtual),
                current_valid.eq(~0),
                following_valid.eq(~0),
            ]

        # Lanes.
        rows = self.rows
        for number in lanes:
            lane = lane_ports(config).create(path=(f"lane_{number}",)) if self._emit else DecoderLane(config)
            m.submodules[f"lane_{number}"] = emitted_instance("topcoat_lane", lane) if self._emit else lane
            rank = ranks[number][:-1]
            m.d.comb += [
                lane.length.eq(length),
                lane.mask.eq(mask),
                lane.ans.eq(code == Code.ANS),
                lane.bank.eq(table.bank),
                lane.table.eq(table.write),
                lane.unary.eq(code == Code.UNARY),
                lane.stored.eq(code == Code.STORED),
                lane.save.eq(self.save),
                lane.restore.eq(self.restore),
                lane.arrive.eq(served[number]),
                lane.word.eq(self.words.as_value().word_select(rank, MASK_WORD_BITS)),
                virtual[number].eq(self.past_end.bit_select(rank, 1)),
                lane.move.eq(move[number]),
                lane.opening.eq(opening[number]),
                lane.opened.eq(opened[number]),
                lane.fire.eq(fire),
                lane.takes_part.eq(takes_part[number]),
                fits[number].eq(lane.fits),
                has_bits[number].eq(lane.has_bits),
                crosses[number].eq(lane.crosses),
                overlaps[number].eq(lane.overlaps),
                bad[number].eq(rows.payload.symbols[number] > coats),
            ]
            with m.If(fire):
                m.d.sync += rows.payload.symbols[number].eq(Mux(takes_part[number], lane.symbol, 0))

        m.d.comb += fire.eq(
            waiting & running & ~save & ~restore & ready.all() & requests.w_rdy & (~rows.valid | rows.ready))
        with m.If(fire):
            m.d.sync += rows.valid.eq(1)
        with m.Elif(rows.ready):
            m.d.sync += rows.valid.eq(0)

        short = Mux(save, pending, ~ready.all())
        m.d.sync += self.starved.eq(
            waiting & running & ~restore & short & more & (self.available != config.refill_words))

        # Flags and the layer's end.
        m.d.comb += [
            self.save.eq(waiting & running & save & ~pending),
            self.restore.eq(waiting & running & restore),
            self.release.eq(self.restore & release),
            # No stored word can be left over once a word that is asked for would be virtual.
            self.finish.eq(ending & (~pending | self.past_end[0])),
        ]
        with m.If(self.save):
            m.d.sync += save.eq(0)
        with m.If(self.restore):
            m.d.sync += restore.eq(0)
        with m.If(fire & last):
            m.d.sync += [running.eq(0), ending.eq(1)]
        with m.If(self.finish):
            m.d.sync += ending.eq(0)

        # Errors, one cycle behind the step: they need not be fast.
        fired = Signal()
        m.d.sync += [fired.eq(fire), self.error.eq(Error.NONE)]
        with m.If(fired & used_virtual.any()):
            m.d.sync += self.error.eq(Error.MASK_EXHAUSTED)
        with m.Elif(fired & (code == Code.RAW) & bad.any()):
            m.d.sync += self.error.eq(Error.BAD_SYMBOL)
        with m.Elif(self.finish & self.left_over):
            m.d.sync += self.error.eq(Error.MASK_LEFT_OVER)
        return m
