"""One lane of the coat decoder."""

from amaranth import *
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from arch.config import MASK_WORD_BITS, MAX_COATS

__all__ = ["DecoderLane", "SYMBOL_BITS"]

SYMBOL_BITS = 8
"""Width of a symbol on its way to the weight builder."""


def _trailing_ones(bits: Value) -> Value:
    """How many of 7 ``bits`` are set below the lowest clear one."""
    def of_three(bits):
        return Cat(bits[0] & (~bits[1] | bits[2]), bits[0] & bits[1])

    low_ones = bits[:4].all()
    return Cat(Mux(low_ones, of_three(bits[4:]), of_three(bits)), low_ones)


class DecoderLane(wiring.Component):
    """One lane: two words of its bit stream and the symbol at its position.

    Operation: ``symbol`` is the symbol at the position, which ``fire`` moves past it. Words arrive in the next word and
    move on when the current one is used up. ``crossed`` asks for another word.

    Latency: none; a word that arrives is seen in the following cycle.
    """

    def __init__(self, window_bits: int):
        self._window_bits = window_bits
        super().__init__({
            #: Bits of the longest symbol.
            "length": In(range(SYMBOL_BITS + 1)),
            #: As many ones.
            "mask": In(window_bits),
            #: Symbols are unary.
            "unary": In(1),
            #: Symbols are signed.
            "stored": In(1),
            #: Forget everything: a layer starts.
            "clear": In(1),
            #: Remember the state.
            "save": In(1),
            #: Return to it.
            "restore": In(1),
            #: A word arrives.
            "arrive": In(1),
            "word": In(MASK_WORD_BITS),
            "word_virtual": In(1),
            #: Consume the symbol.
            "fire": In(1),
            #: The bits of the longest symbol are here.
            "ready": Out(1),
            #: The symbol, sign-extended if stored.
            "symbol": Out(SYMBOL_BITS),
            #: The symbol has bits of a virtual word.
            "exhausted": Out(1),
            #: ``fire`` uses up the current word.
            "crossed": Out(1),
        })

    def elaborate(self, platform):
        m = Module()
        state = data.StructLayout({
            "current": MASK_WORD_BITS,
            "current_virtual": 1,
            "following": MASK_WORD_BITS,
            "following_virtual": 1,
            "position": range(MASK_WORD_BITS),
        })
        now, saved = ({name: Signal(field.shape, name=f"{prefix}{name}") for name, field in state}
                      for prefix in ("", "saved_"))
        current_valid, following_valid = Signal(), Signal()

        window, masked = Signal(self._window_bits), Signal(self._window_bits)
        ones = Signal(range(MAX_COATS + 1))
        m.d.comb += [
            window.eq(Cat(now["current"], now["following"]).bit_select(now["position"], self._window_bits)),
            masked.eq(window & self.mask),
            ones.eq(_trailing_ones(masked[:MAX_COATS])),
        ]
        negative = self.stored & (masked & (self.mask ^ self.mask >> 1)).any()
        consumed = Signal.like(self.length)
        end = Signal(range(2 * MASK_WORD_BITS))
        m.d.comb += [
            self.symbol.eq(Mux(self.unary, ones, masked | Mux(negative, ~self.mask.as_signed(), 0))),
            consumed.eq(Mux(self.unary, ones + (ones != self.length), self.length)),
            end.eq(now["position"] + consumed),
            self.ready.eq(current_valid & (following_valid | (now["position"] + self.length <= MASK_WORD_BITS))),
            self.exhausted.eq(now["current_virtual"] | now["following_virtual"] & (end > MASK_WORD_BITS)),
            self.crossed.eq(self.fire & end[-1]),
        ]

        move = Signal()
        m.d.comb += move.eq(following_valid & (self.crossed | ~current_valid))
        m.d.sync += [
            current_valid.eq(current_valid & ~self.crossed | following_valid),
            following_valid.eq(self.arrive | following_valid & ~move),
        ]
        with m.If(self.fire):
            m.d.sync += now["position"].eq(end)
        with m.If(move):
            m.d.sync += [now["current"].eq(now["following"]), now["current_virtual"].eq(now["following_virtual"])]
        with m.If(self.arrive):
            m.d.sync += [now["following"].eq(self.word), now["following_virtual"].eq(self.word_virtual)]

        with m.If(self.clear):
            m.d.sync += [current_valid.eq(0), following_valid.eq(0), now["position"].eq(0)]
        # Nothing is asked for when the state is saved, so both words are there.
        with m.If(self.save):
            m.d.sync += [saved[name].eq(now[name]) for name in now]
        with m.If(self.restore):
            m.d.sync += [now[name].eq(saved[name]) for name in now]
            m.d.sync += [current_valid.eq(1), following_valid.eq(1)]
        return m
