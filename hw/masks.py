"""The mask buffer: coded masks on chip, handed out in rows of 16-bit words, rewindable."""

from amaranth import *
from amaranth.lib import data, stream, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from arch.config import MASK_WORD_BITS, EngineConfig
from hw.bits import above
from hw.commands import MaskCommand

__all__ = ["MaskBuffer"]

#: Rows between ring and decoder: a row is taken three cycles after it is fetched, at the earliest.
ROWS = 4


class MaskBuffer(wiring.Component):
    """Ring buffer of the coded masks, read in rows of ``refill_words`` words.

    Operation: beats are stored as they come, ahead of their layer. A command begins a layer at the next whole beat.
    Rows are shown in order, each until it is taken; past the layer's last stored word there are only words marked
    ``past_end``, with any content, and ``drained`` says that no other is left. ``finish`` ends the layer: rows never
    taken are dropped and the next layer begins at the beat after them.

    A layer with ``mask_keep`` stays: after its end the buffer is at its beginning again, and the next command, which
    has ``mask_reuse``, takes the same words; the last one of them, without ``mask_keep``, moves on. All beats of a kept
    layer must fit the ring.

    ``save`` keeps everything from the row shown on, and ``restore`` goes back there, until ``release`` (which may come
    with the last restore). The beats of all words asked for between save and the last restore must fit the ring.

    Latency: one cycle from a command to its first row if its first beat is there four cycles ahead; a row per cycle;
    after a restore ``valid`` is 0 for three cycles. ``space`` grows two cycles after the row that makes it is taken.

    Members
    -------
    beats : In(stream of bus_bits)
    space : Out(range(beats + 1))
        Free beats of the ring, beats in flight not yet subtracted.
    command : In(stream of MaskCommand)
    words : Out(array of refill_words x 16)
    valid : Out(1)
        ``words`` is a row of the layer with stored words in it.
    past_end : Out(refill_words)
        Words of the row, shown already or not, that are beyond the layer's stored words.
    drained : Out(1)
        A layer has begun, and this row has no stored word, nor have later ones.
    take : In(1)
        The row is used up. No effect unless ``valid``.
    save, restore, release, finish : In(1)
        Strobes. ``save``, ``restore`` and ``finish`` exclude each other; a row is not taken together with a save, one
        taken together with a restore has no effect.
    """

    def __init__(self, config: EngineConfig):
        self._config = config
        self._beats = config.mask_bytes // config.bus_bytes
        super().__init__({
            #: Coded masks, layer after layer.
            "beats": In(stream.Signature(config.bus_bits)),
            #: Beats that can be stored.
            "space": Out(range(self._beats + 1), init=self._beats),
            #: The next layer.
            "command": In(stream.Signature(MaskCommand)),
            #: The next row of words.
            "words": Out(data.ArrayLayout(MASK_WORD_BITS, config.refill_words)),
            #: It is there.
            "valid": Out(1),
            #: Which of its words are not stored.
            "past_end": Out(config.refill_words),
            #: No more words are stored.
            "drained": Out(1),
            #: The row is used up.
            "take": In(1),
            #: Remember the row.
            "save": In(1),
            #: Go back to it.
            "restore": In(1),
            #: Forget it.
            "release": In(1),
            #: The layer ends.
            "finish": In(1),
        })

    def elaborate(self, platform):
        m = Module()
        refill = self._config.refill_words
        row_bits = refill * MASK_WORD_BITS
        rows_per_beat = self._config.bus_bits // row_bits
        # Places are counted in rows, with one bit above the ring's size to tell full from empty.
        beat_shift = rows_per_beat.bit_length() - 1
        place_bits = beat_shift + self._beats.bit_length()

        # The row that is shown or comes next, the stored words from it on, and which of its words are none.
        place, saved_place = Signal(place_bits), Signal(place_bits)
        left, saved_left = Signal(MaskCommand["mask_words"].shape), Signal(MaskCommand["mask_words"].shape)
        saved_past_end = Signal(refill)
        written = Signal(place_bits - beat_shift)
        layer_beat = Signal(place_bits - beat_shift)
        active, next_active, kept, keeping = Signal(), Signal(), Signal(), Signal()
        settled = Signal(init=1)  # `place` is where the next layer starts
        refill_shift = refill.bit_length() - 1
        in_row, rows_left = left[:refill_shift], left[refill_shift:]

        def empty(whole, begun, filled):
            """Places of a row without a word: none if ``whole``, else, if ``begun``, all but the ``filled`` first."""
            return ~(whole.replicate(refill) | begun.replicate(refill) & above(filled, refill))

        # Ring. What is free is known late.
        m.submodules.ring = ring = Memory(shape=self._config.bus_bits, depth=self._beats, init=[])
        store, fetch = ring.write_port(), ring.read_port()
        oldest = Signal(place_bits - beat_shift)
        m.d.sync += [
            oldest.eq(Mux(kept, layer_beat, Mux(keeping, saved_place, place)[beat_shift:])),
            self.space.eq(self._beats - (written + store.en - oldest)[:len(written)]),
        ]
        m.d.comb += [
            self.beats.ready.eq(self.space != 0),
            store.addr.eq(written[:-1]),
            store.data.eq(self.beats.payload),
            store.en.eq(self.beats.valid & self.beats.ready),
        ]
        m.d.sync += written.eq(written + store.en)

        # Rows on their way: memory output, register, and a queue whose first one is shown. A row is fetched if there is
        # room for all of them, so that nothing from the memory on waits for whether a row is taken.
        fetch_row = Signal(place_bits)
        part = Signal(range(rows_per_beat))
        fetched, arriving, fetches = Signal(), Signal(), Signal()
        arriving_row = Signal(row_bits)
        m.submodules.queue = queue = Memory(shape=row_bits, depth=ROWS, init=[])
        enter, leave = queue.write_port(), queue.read_port(domain="comb")
        queued, on_their_way = Signal(range(ROWS + 1)), Signal(range(ROWS + 1))
        next_queued, shown, next_shown = Signal.like(queued), Signal(), Signal()
        past, next_past_end = self.past_end[0], Signal(refill)
        taken = Signal()
        beat_of_row = fetch_row[beat_shift:]
        m.d.comb += [
            self.words.eq(leave.data),
            self.drained.eq(active & past),
            # A layer that ended too early is skipped as fast as its rows come.
            taken.eq(self.valid & self.take | ~active & shown & ~past & ~settled),
            fetches.eq((beat_of_row != written) & (on_their_way != ROWS)),
            fetch.addr.eq(beat_of_row[:-1]),
            fetch.en.eq(fetches),
            enter.data.eq(arriving_row),
            enter.en.eq(arriving),
            next_queued.eq(queued + arriving - taken),
            next_shown.eq(next_queued != 0),
            next_active.eq(active),
            next_past_end.eq(self.past_end),
        ]
        m.d.sync += [
            fetched.eq(fetches),
            arriving.eq(fetched),
            fetch_row.eq(fetch_row + fetches),
            enter.addr.eq(enter.addr + arriving),
            leave.addr.eq(leave.addr + taken),
            queued.eq(next_queued),
            shown.eq(next_shown),
            active.eq(next_active),
            self.past_end.eq(next_past_end),
            # Much waits for it, so it is known a cycle ahead.
            self.valid.eq(next_active & next_shown & ~next_past_end[0]),
            on_their_way.eq(on_their_way + fetches - taken),
        ]
        with m.If(fetches):
            m.d.sync += part.eq(fetch_row[:beat_shift])
        with m.If(fetched):
            m.d.sync += arriving_row.eq(fetch.data.word_select(part, row_bits))
        with m.If(taken):
            m.d.sync += [
                place.eq(place + 1),
                left.eq(Mux(rows_left.any(), Cat(in_row, rows_left - 1), 0)),
            ]
            m.d.comb += next_past_end.eq(empty(rows_left[1:].any(), rows_left[0], in_row))

        # Layers.
        m.d.comb += self.command.ready.eq(~active & settled)
        with m.If(self.command.valid & self.command.ready):
            words = self.command.payload.mask_words
            m.d.comb += [
                next_active.eq(1),
                next_past_end.eq(empty(words[refill_shift:].any(), Const(1), words[:refill_shift])),
            ]
            m.d.sync += [
                settled.eq(0),
                left.eq(words),
                # A kept layer begins where it began before: `place` is there already.
                layer_beat.eq(place[beat_shift:]),
                kept.eq(self.command.payload.mask_keep),
            ]
        with m.If(self.finish):
            m.d.comb += next_active.eq(0)
            m.d.sync += keeping.eq(0)

        # Jumps: back to the saved place, or on to where the next layer begins: the beat after a layer's last word, or
        # the beginning of a layer that is kept.
        target, settle = Signal(place_bits), Signal()
        m.d.comb += [target.eq(saved_place), settle.eq(~settled & ~keeping & past)]
        with m.If(self.save):
            m.d.sync += [saved_place.eq(place), saved_left.eq(left), saved_past_end.eq(self.past_end), keeping.eq(1)]
        with m.If(self.release):
            m.d.sync += keeping.eq(0)
        with m.If(self.restore):
            m.d.comb += next_past_end.eq(saved_past_end)
            m.d.sync += [left.eq(saved_left), settled.eq(0)]
        with m.Elif(settle):
            m.d.comb += target[:beat_shift].eq(0)
            m.d.comb += target[beat_shift:].eq(Mux(kept, layer_beat, place[beat_shift:] + place[:beat_shift].any()))
            m.d.sync += settled.eq(1)
        with m.If(self.restore | settle):
            m.d.comb += next_shown.eq(0)
            m.d.sync += [
                place.eq(target),
                fetch_row.eq(target),
                fetched.eq(0),
                arriving.eq(0),
                queued.eq(0),
                on_their_way.eq(0),
                leave.addr.eq(enter.addr + arriving),
            ]
        return m
