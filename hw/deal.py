"""Dealing words to lanes: between the mask buffer and the lanes of the coat decoder."""

from amaranth import *
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from arch.config import EngineConfig, MASK_WORD_BITS
from hw.bits import add

__all__ = ["Dealer"]


class Dealer(wiring.Component):
    """Deals the words of a layer's mask stream to the lanes in the order in which they ask.

    Operation: a lane that asks gets the number of its word: those asked for before, and in the same cycle by lower
    lanes. When the row with that number is shown, it takes its word. A row is used up when all its numbers are given,
    or all that are stored; when no stored word is left, every lane that asks is served.

    A lane may ask again before it is served, but not for a third word, if all lanes ask in the same steps: then its
    second word's number is ``decoder_lanes`` above that of its first one, and never in the same row.

    Latency: ``step_cycles`` from a request to the first cycle in which it can be served; up to a row per cycle.

    Members
    -------
    request : In(decoder_lanes)
        Lanes that ask for a word. Not together with ``save``.
    words, valid, past_end, drained, take
        The :class:`~hw.masks.MaskBuffer`'s ports, mirrored.
    save, restore, finish : In(1)
        Strobes. ``save`` only if nothing is ``pending``; with the others, what is asked for is forgotten.
    served : Out(decoder_lanes)
    dealt : Out(array of decoder_lanes x 17)
        The words of those served; the top bit is set if it is not stored.
    asking : Out(1)
        Any lane asks.
    pending : Out(1)
        So, or the row is not the one with the next word.
    left_over : Out(1)
        The next word is stored, if the row is the one with it.
    """

    def __init__(self, config: EngineConfig):
        self._config = config
        lanes, words = config.decoder_lanes, config.refill_words
        super().__init__({
            #: Lanes that want a word.
            "request": In(lanes),
            #: A row of words.
            "words": In(data.ArrayLayout(MASK_WORD_BITS, words)),
            #: It is there.
            "valid": In(1),
            #: Which of its words are not stored.
            "past_end": In(words),
            #: No more words are stored.
            "drained": In(1),
            #: The row is used up.
            "take": Out(1),
            #: Remember the number of the next word.
            "save": In(1),
            #: Go back to it.
            "restore": In(1),
            #: The layer ends.
            "finish": In(1),
            #: Lanes that get a word.
            "served": Out(lanes),
            #: What each gets.
            "dealt": Out(data.ArrayLayout(MASK_WORD_BITS + 1, lanes)),
            #: A lane waits for a word.
            "asking": Out(1),
            #: That, or the row is not the next word's.
            "pending": Out(1),
            #: The next word is stored.
            "left_over": Out(1),
        })

    def elaborate(self, platform):
        m = Module()
        lanes, words = len(self.served), len(self.words)
        slot_bits, lane_bits = words.bit_length() - 1, lanes.bit_length() - 1
        # A lane asks for two words at most, so the numbers of no more than so many rows are told apart.
        bits = slot_bits + (2 * lanes // words).bit_length()

        def row_of(number):
            return number[slot_bits:]

        def slot_of(number):
            return number[:slot_bits]

        request, waiting, asking = Signal(lanes), Signal(lanes), Signal(lanes)
        twice = Signal(lanes)  # for the word ``lanes`` numbers on as well
        following, saved, end = Signal(bits), Signal(bits), Signal(bits)  # the number of the next word
        row = Signal(bits - slot_bits)  # the row that is shown or comes next
        if self._config.step_cycles == 1:
            m.d.comb += [request.eq(self.request), waiting.eq(asking)]
        else:
            m.d.sync += request.eq(self.request)
            m.d.comb += waiting.eq(asking | request)

        numbers = [Signal(bits, name=f"number_{lane}") for lane in range(lanes)]
        counts = {}

        def count(start, stop):
            """How many of some lanes ask."""
            if stop - start == 1:
                return request[start]
            if (start, stop) not in counts:
                middle = (start + stop) // 2
                left, right = count(start, middle), count(middle, stop)
                counts[start, stop] = total = Signal(min(len(left) + 1, bits), name=f"count_{start}_{stop}")
                m.d.comb += total.eq(add(left, right, len(total)))
            return counts[start, stop]

        def give(start, stop, first):
            """Numbers for some lanes, from ``first`` on."""
            if stop - start == 1:
                with m.If(twice[start]):
                    with m.If(self.served[start]):
                        above = numbers[start][lane_bits:]
                        m.d.sync += above.eq(add(above, Const(1), len(above)))
                with m.Elif(request[start] & (self.served[start] | ~asking[start])):
                    m.d.sync += numbers[start].eq(first)
                return
            middle = (start + stop) // 2
            later = Signal(bits, name=f"first_{middle}_{stop}")
            m.d.comb += later.eq(add(first, count(start, middle), bits))
            give(start, middle, first)
            give(middle, stop, later)

        give(0, lanes, following)
        m.d.comb += end.eq(add(following, count(0, lanes), bits))
        places = Array(Cat(word, past_end) for word, past_end in zip(self.words, self.past_end))
        for lane, number in enumerate(numbers):
            m.d.comb += [
                self.served[lane].eq(asking[lane] & (self.drained | self.valid & (row_of(number) == row))),
                self.dealt[lane].eq(places[slot_of(number)]),
            ]
        m.d.comb += [
            self.left_over.eq(~self.past_end.bit_select(slot_of(following), 1)),
            self.take.eq(self.valid & ((row_of(following) != row) | ~self.left_over)),
            self.asking.eq(waiting.any()),
            self.pending.eq(self.asking | ~self.drained & (row_of(following) != row)),
        ]
        m.d.sync += [
            asking.eq(asking & ~self.served | twice | request),
            twice.eq(~self.served & (twice | asking & request)),
            following.eq(end),
            row.eq(row + self.take),
        ]
        with m.If(self.save):
            m.d.sync += saved.eq(following)
        with m.If(self.restore):
            m.d.sync += [asking.eq(0), twice.eq(0), following.eq(saved), row.eq(row_of(saved))]
        with m.If(self.finish):
            m.d.sync += [asking.eq(0), twice.eq(0), following.eq(0), row.eq(0)]
        return m
