"""The mask buffer: coded masks on chip, handed out as 16-bit words, rewindable."""

from amaranth import *
from amaranth.lib import data, stream, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from arch.config import MASK_WORD_BITS, EngineConfig
from hw.commands import MaskCommand

__all__ = ["MaskBuffer"]


class MaskBuffer(wiring.Component):
    """Ring buffer of the coded masks, and the aligner that hands out up to ``refill_words`` words per cycle.

    Operation: beats are stored as they come, ahead of their layer. A command begins a layer at the next whole beat.
    Words are taken in order; past the layer's last stored word there are zero words, marked ``past_end``, without end.
    ``finish`` ends the layer: words never taken are dropped and the next layer begins at the beat after them.

    A layer with ``mask_keep`` stays: after its end the buffer is at its beginning again, and the next command, which
    has ``mask_reuse``, takes the same words; the last one of them, without ``mask_keep``, moves on. All beats of a kept
    layer must fit the ring.

    ``save`` keeps everything from the next word on, and ``restore`` goes back there, until ``release`` (which may come
    with the last restore). The beats of all words asked for between save and the last restore must fit the ring.

    Latency: one cycle from a command to its words if its first beat is there four cycles ahead; after a restore
    ``available`` is 0 for three cycles.

    Members
    -------
    beats : In(stream of bus_bits)
    space : Out(range(beats + 1))
        Free beats of the ring, beats in flight not yet subtracted.
    command : In(stream of MaskCommand)
    words : Out(array of refill_words x 16)
    available : Out(range(refill_words + 1))
        How many of ``words`` may be taken in this cycle.
    past_end : Out(refill_words)
        Words from beyond the layer's stored words; they read zero.
    take : In(range(refill_words + 1))
        How many are taken: at most ``available``.
    save, restore, release, finish : In(1)
        Strobes. ``save``, ``restore`` and ``finish`` exclude each other; a word taken together with a save comes after
        it, one taken together with a restore has no effect.
    left_over : Out(1)
        With ``finish``: stored words of the layer were never taken.
    """

    def __init__(self, config: EngineConfig):
        self._config = config
        self._beats = config.mask_bytes // config.bus_bytes
        taken = range(config.refill_words + 1)
        super().__init__({
            #: Coded masks, layer after layer.
            "beats": In(stream.Signature(config.bus_bits)),
            #: Beats that can be stored.
            "space": Out(range(self._beats + 1)),
            #: The next layer.
            "command": In(stream.Signature(MaskCommand)),
            #: The next words.
            "words": Out(data.ArrayLayout(MASK_WORD_BITS, config.refill_words)),
            #: How many of them there are.
            "available": Out(taken),
            #: Which of them are not stored.
            "past_end": Out(config.refill_words),
            #: How many of them are taken.
            "take": In(taken),
            #: Remember the place of the next word.
            "save": In(1),
            #: Go back to it.
            "restore": In(1),
            #: Forget it.
            "release": In(1),
            #: The layer ends.
            "finish": In(1),
            #: It ends too early.
            "left_over": Out(1),
        })

    def elaborate(self, platform):
        m = Module()
        refill = self._config.refill_words
        row_bits = refill * MASK_WORD_BITS
        rows_per_beat = self._config.bus_bits // row_bits
        # Places are counted in words, with one bit above the ring's size to tell full from empty.
        offset_bits = refill.bit_length() - 1
        beat_shift = offset_bits + rows_per_beat.bit_length() - 1
        place_bits = beat_shift + self._beats.bit_length()

        place, saved_place = Signal(place_bits), Signal(place_bits)
        left, saved_left = Signal(MaskCommand["mask_words"].shape), Signal(MaskCommand["mask_words"].shape)
        written = Signal(place_bits - beat_shift)
        layer_beat = Signal(place_bits - beat_shift)
        active, kept, keeping = Signal(), Signal(), Signal()
        settled = Signal(init=1)  # `place` is where the next layer starts

        # Ring.
        m.submodules.ring = ring = Memory(shape=self._config.bus_bits, depth=self._beats, init=[])
        store, fetch = ring.write_port(), ring.read_port()
        oldest = Signal(place_bits - beat_shift)
        m.d.comb += [
            oldest.eq(Mux(kept, layer_beat, Mux(keeping, saved_place, place)[beat_shift:])),
            self.space.eq(self._beats - (written - oldest)[:len(written)]),
            self.beats.ready.eq(self.space != 0),
            store.addr.eq(written[:-1]),
            store.data.eq(self.beats.payload),
            store.en.eq(self.beats.valid & self.beats.ready),
        ]
        m.d.sync += written.eq(written + store.en)

        # Rows on their way to the aligner: memory output, second, first. `first` holds the next word.
        fetch_row = Signal(place_bits - offset_bits)
        part = Signal(range(rows_per_beat))
        fetched, first_valid, second_valid = Signal(), Signal(), Signal()
        first, second = Signal(row_bits), Signal(row_bits)
        move_first, move_second, move_fetched, present = Signal(), Signal(), Signal(), Signal()
        offset = place[:offset_bits]
        taken = Signal(range(refill + 1))
        beat_of_row = fetch_row[beat_shift - offset_bits:]
        m.d.comb += [
            # Zero words that follow a layer must not move the next layer's first row.
            move_first.eq(~first_valid | ~settled & (offset + taken >= refill)),
            move_second.eq(~second_valid | move_first),
            move_fetched.eq(~fetched | move_second),
            present.eq(beat_of_row != written),
            fetch.addr.eq(beat_of_row[:-1]),
            fetch.en.eq(move_fetched & present),
        ]
        with m.If(move_first):
            m.d.sync += [first.eq(second), first_valid.eq(second_valid)]
        with m.If(move_second):
            m.d.sync += [second.eq(fetch.data.word_select(part, row_bits)), second_valid.eq(fetched)]
        with m.If(move_fetched):
            m.d.sync += [
                fetched.eq(present),
                fetch_row.eq(fetch_row + present),
                part.eq(fetch_row[:beat_shift - offset_bits]),
            ]

        # Words.
        in_first = refill - offset
        stored = Signal(row_bits)
        complete = Signal()  # all stored words among the next `refill` are at hand
        amount = Signal(range(refill + 1))
        m.d.comb += [
            stored.eq(Cat(first, second).bit_select(Cat(Const(0, MASK_WORD_BITS.bit_length() - 1), offset), row_bits)),
            complete.eq((left == 0) | first_valid & (second_valid | (offset == 0) | (left <= in_first))),
            amount.eq(Mux(complete, refill, Mux(first_valid, in_first, 0))),
            self.available.eq(Mux(active, amount, 0)),
            # A layer that ended too early is skipped as fast as its words come.
            taken.eq(Mux(active, self.take, Mux(settled, 0, amount))),
            self.left_over.eq(left != 0),
        ]
        for number in range(refill):
            m.d.comb += [
                self.past_end[number].eq(left <= number),
                self.words[number].eq(Mux(self.past_end[number], 0, stored.word_select(number, MASK_WORD_BITS))),
            ]
        counted = Signal.like(taken)
        m.d.comb += counted.eq(Mux(left < taken, left, taken))
        m.d.sync += [place.eq(place + counted), left.eq(left - counted)]

        # Layers.
        m.d.comb += self.command.ready.eq(~active & settled)
        with m.If(self.command.valid & self.command.ready):
            m.d.sync += [
                active.eq(1),
                settled.eq(0),
                left.eq(self.command.payload.mask_words),
                # A kept layer begins where it began before: `place` is there already.
                layer_beat.eq(place[beat_shift:]),
                kept.eq(self.command.payload.mask_keep),
            ]
        with m.If(self.finish):
            m.d.sync += [active.eq(0), keeping.eq(0)]

        # Jumps: back to the saved place, or on to where the next layer begins: the beat after a layer's last word, or
        # the beginning of a layer that is kept.
        target, settle = Signal(place_bits), Signal()
        m.d.comb += [target.eq(saved_place), settle.eq(~settled & ~keeping & (left == 0))]
        with m.If(self.save):
            m.d.sync += [saved_place.eq(place), saved_left.eq(left), keeping.eq(1)]
        with m.If(self.release):
            m.d.sync += keeping.eq(0)
        with m.If(self.restore):
            m.d.sync += [left.eq(saved_left), settled.eq(0)]
        with m.Elif(settle):
            m.d.comb += target[:beat_shift].eq(0)
            m.d.comb += target[beat_shift:].eq(Mux(kept, layer_beat, place[beat_shift:] + place[:beat_shift].any()))
            m.d.sync += settled.eq(1)
        with m.If(self.restore | settle):
            m.d.sync += [
                place.eq(target),
                fetch_row.eq(target[offset_bits:]),
                fetched.eq(0),
                first_valid.eq(0),
                second_valid.eq(0),
            ]
        return m
