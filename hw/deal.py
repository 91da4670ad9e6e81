"""Dealing words to lanes: the network between the mask buffer and the lanes of the coat decoder."""

import functools

from amaranth import *
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from hw.bits import above, add

__all__ = ["Dealer"]


class Dealer(wiring.Component):
    """Deals words to the lanes that ask, lowest lane first.

    Operation: as many lanes as there are words are a group. A group has all words, half of it the half that its lanes
    can get, and so on to the single lane. Of its words, a part has number i at place i modulo their number, so that
    half of it needs one of two words at every place: whichever is not below the first one that is for its lanes.

    Latency: none (combinational).

    Parameters
    ----------
    lanes, words : int
        Powers of two, ``words`` <= ``lanes``.
    width : int
        Bits of a word.
    """

    def __init__(self, lanes: int, words: int, width: int):
        super().__init__({
            #: Lanes that ask for a word.
            "asking": In(lanes),
            #: The words, and how many of them may be dealt.
            "words": In(data.ArrayLayout(width, words)),
            "available": In(range(words + 1)),
            #: How many are dealt.
            "take": Out(range(words + 1)),
            #: Lanes that ask and get one.
            "served": Out(lanes),
            #: What each gets.
            "dealt": Out(data.ArrayLayout(width, lanes)),
        })

    def elaborate(self, platform):
        m = Module()

        def named(name, value):
            signal = Signal(len(value), name=name)
            m.d.comb += signal.eq(value)
            return signal

        lanes, words = len(self.asking), len(self.words)
        bits = words.bit_length()

        @functools.cache
        def count(start, stop):
            """How many of some lanes ask."""
            if stop - start == 1:
                return self.asking[start]
            middle = (start + stop) // 2
            left, right = count(start, middle), count(middle, stop)
            return named(f"count_{start}_{stop}", add(left, right, len(left) + 1))

        def deal(start, stop, first, places):
            """Deal ``places`` to some lanes: the first one's word is at place ``first``."""
            if stop - start == 1:
                (word,) = places
                m.d.comb += [self.dealt[start].eq(word[:-1]), self.served[start].eq(self.asking[start] & word[-1])]
                return
            half = (stop - start) // 2
            middle = start + half
            later = named(f"first_{middle}_{stop}", add(first, count(start, middle), len(first)))
            for begin, end, first in (start, middle, first), (middle, stop, later):
                low, high = first[:-1], first[-1]
                beyond = high.replicate(half) ^ above(low, half)
                deal(begin, end, low, [
                    named(f"place_{begin}_{end}_{place}", Mux(beyond[place], places[place + half], places[place]))
                    for place in range(half)])

        may = above(self.available, words)
        asked = Const(0, bits)  # by lower groups; any number >= `words` may be another such number
        for start in range(0, lanes, words):
            free = may & ~above(asked[:-1], words) & ~asked[-1].replicate(words)
            deal(start, start + words, asked[:-1], [Cat(word, bit) for word, bit in zip(self.words, free)])
            total = named(f"asked_by_{start + words}", add(asked[:-1], count(start, start + words), bits))
            asked = Cat(total[:-1], total[-1] | asked[-1])
        m.d.comb += self.take.eq(Mux(asked < self.available, asked, self.available))
        return m
