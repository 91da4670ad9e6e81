"""One lane of the coat decoder."""

from amaranth import *
from amaranth.lib import data, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from arch.config import ANS_BITS, MASK_WORD_BITS, MAX_COATS, EngineConfig
from arch.depths import ANS_BANKS
from hw.ans import ENTRIES, ans_entry, table_write

__all__ = ["DecoderLane", "SYMBOL_BITS", "lane_ports", "lane_value_bits"]

SYMBOL_BITS = 8
"""Width of a symbol on its way to the weight builder."""


def lane_value_bits(config: EngineConfig) -> int:
    """Bits of the longest symbol that is not `ans`."""
    return max(MAX_COATS, config.weight_bits)


def lane_ports(config: EngineConfig) -> wiring.Signature:
    """Ports of a :class:`DecoderLane`."""
    return wiring.Signature({
        #: Bits of the longest symbol.
        "length": In(range(max(SYMBOL_BITS, ANS_BITS) + 1)),
        #: As many ones; not for `ans`.
        "mask": In(lane_value_bits(config)),
        #: Symbols are `ans`.
        "ans": In(1),
        #: Which table is the layer's.
        "bank": In(range(ANS_BANKS)),
        #: Entries of the tables.
        "table": In(table_write()),
        #: Symbols are unary.
        "unary": In(1),
        #: Symbols are signed.
        "stored": In(1),
        #: Remember the words and the position.
        "save": In(1),
        #: Return to them.
        "restore": In(1),
        #: The next word comes.
        "arrive": In(1),
        "word": In(MASK_WORD_BITS),
        #: The next word becomes the current one.
        "move": In(1),
        #: The first word is here: take the first state of `ans` from it, or begin at its first bit.
        "opening": In(1),
        #: That has been done.
        "opened": In(1),
        #: A step is decoded, in which the lane takes part: consume the symbol.
        "fire": In(1),
        "takes_part": In(1),
        #: The bits of the longest symbol are all in the current word.
        "fits": Out(1),
        #: The symbol, sign-extended if stored.
        "symbol": Out(SYMBOL_BITS),
        #: The symbol has bits of its own: one of `ans` may have none.
        "has_bits": Out(1),
        #: It ends with the current word or behind it.
        "crosses": Out(1),
        #: It has bits of the next word.
        "overlaps": Out(1),
    })


def _trailing_ones(bits: Value) -> Value:
    """How many of 7 ``bits`` are set below the lowest clear one."""
    def of_three(bits):
        return Cat(bits[0] & (~bits[1] | bits[2]), bits[0] & bits[1])

    low_ones = bits[:4].all()
    return Cat(Mux(low_ones, of_three(bits[4:]), of_three(bits)), low_ones)


class DecoderLane(wiring.Component):
    """Data path of one lane: two words of its bit stream and the symbol at its position.

    Operation: ``symbol`` is the symbol at the position, which ``fire`` moves past it. Which words are valid, and which
    are real, the :class:`~hw.decoder.CoatDecoder` keeps for all lanes together.

    For `ans` the symbol, the number of bits that follow it and the next state without them come straight from the
    output of the table's memory, where the entry of the lane's state waits; ``fire`` reads that of the next one, and
    ``opening`` that of the first one.

    Latency: none; a word that arrives is seen in the following cycle.

    Members
    -------
    See the comments in :func:`lane_ports`.
    """

    def __init__(self, config: EngineConfig):
        self._value_bits = lane_value_bits(config)
        super().__init__(lane_ports(config))

    def elaborate(self, platform):
        m = Module()
        state = data.StructLayout({
            "current": MASK_WORD_BITS,
            "following": MASK_WORD_BITS,
            "position": range(MASK_WORD_BITS),
            "entry": ANS_BITS,  # the state of `ans`
        })
        now, saved = ({name: Signal(field.shape, name=f"{prefix}{name}") for name, field in state}
                      for prefix in ("", "saved_"))

        window_bits = max(self._value_bits, ANS_BITS)
        window, masked = Signal(window_bits), Signal(self._value_bits)
        ones = Signal(range(MAX_COATS + 1))
        m.d.comb += [
            window.eq(Cat(now["current"], now["following"]).bit_select(now["position"], window_bits)),
            masked.eq(window & self.mask),
            ones.eq(_trailing_ones(masked[:MAX_COATS])),
        ]

        # The bank that is read is not written: synthesis need not care about the order of a write and a read.
        m.submodules.entries = entries = Memory(shape=ans_entry(), depth=ANS_BANKS * ENTRIES, init=[],
                                                attrs={"no_rw_check": 1})
        store, fetch = entries.write_port(), entries.read_port()
        entry = fetch.data
        next_entry, read_entry = Signal(ANS_BITS), Signal(ANS_BITS)
        m.d.comb += [
            store.en.eq(self.table.valid),
            store.addr.eq(self.table.address),
            store.data.eq(self.table.entry),
            # The base has zeros where bits follow.
            next_entry.eq(entry.base | window & ~(Const((1 << ANS_BITS) - 1) << entry.bits)),
            # What is read is known early, whether it is read is known late.
            read_entry.eq(Mux(self.restore, saved["entry"], Mux(self.opened, next_entry, now["following"]))),
            fetch.addr.eq(Cat(read_entry, self.bank)),
            fetch.en.eq(self.ans & (self.fire & self.takes_part | self.restore | self.opening)),
        ]
        with m.If(fetch.en):
            m.d.sync += now["entry"].eq(read_entry)

        negative = self.stored & (masked & (self.mask ^ self.mask >> 1)).any()
        consumed = Signal.like(self.length)
        end = Signal(range(2 * MASK_WORD_BITS))
        m.d.comb += [
            self.symbol.eq(Mux(self.ans, entry.symbol, Mux(
                self.unary, ones, masked | Mux(negative, ~self.mask.as_signed(), 0)))),
            consumed.eq(Mux(self.ans, entry.bits, Mux(self.unary, ones + (ones != self.length), self.length))),
            end.eq(now["position"] + consumed),
            self.fits.eq(now["position"] + self.length <= MASK_WORD_BITS),
            self.has_bits.eq(~self.ans | (entry.bits != 0)),
            self.crosses.eq(end[-1]),
            self.overlaps.eq(end > MASK_WORD_BITS),
        ]

        with m.If(self.fire):
            with m.If(self.takes_part):
                m.d.sync += now["position"].eq(end)
        with m.If(self.opening):
            m.d.sync += now["position"].eq(Mux(self.ans, ANS_BITS, 0))
        with m.If(self.move):
            m.d.sync += now["current"].eq(now["following"])
        with m.If(self.arrive):
            m.d.sync += now["following"].eq(self.word)
        with m.If(self.save):
            m.d.sync += [saved[name].eq(now[name]) for name in now]
        with m.If(self.restore):
            m.d.sync += [now[name].eq(saved[name]) for name in now]
        return m
