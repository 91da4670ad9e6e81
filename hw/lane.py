"""One lane of the coat decoder."""

from amaranth import *
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from arch.config import ANS_BITS, MASK_WORD_BITS, MAX_COATS, EngineConfig
from hw.ans import ans_entry
from hw.bits import exceeds

__all__ = ["DecoderLane", "lane_code", "lane_ports", "symbol_bits"]


def symbol_bits(config: EngineConfig) -> int:
    """Width of a symbol on its way to the weight builder: a coat index or a stored weight."""
    return max(MAX_COATS.bit_length(), config.weight_bits)


def lane_code(config: EngineConfig) -> data.StructLayout:
    """A layer's code, as every lane needs it."""
    return data.StructLayout({
        #: Symbols are `ans`.
        "ans": 1,
        #: `raw` and `stored`: bits of a symbol, as many ones, and for `stored` the last of them; otherwise zero.
        "length": range(symbol_bits(config) + 1),
        "mask": symbol_bits(config),
        "sign": symbol_bits(config),
        #: `unary`: as many ones as coats; otherwise zero.
        "ones": MAX_COATS,
        #: The last position from which on a step needs no next word.
        "limit": range(MASK_WORD_BITS),
    })


def lane_ports(config: EngineConfig) -> wiring.Signature:
    """Ports of a :class:`DecoderLane`."""
    return wiring.Signature({
        #: The layer's code.
        "code": In(lane_code(config)),
        #: The layer's first word comes in a later cycle: go to where its symbols begin.
        "begin": In(1),
        #: Remember the words and the position.
        "save": In(1),
        #: Return to them.
        "restore": In(1),
        #: The next word comes.
        "arrive": In(1),
        "word": In(MASK_WORD_BITS),
        #: The next word becomes the current one.
        "move": In(1),
        #: The next word is the first one: take the first state of `ans` from it.
        "opening": In(1),
        #: A step is decoded, in which the lane takes part: consume the symbol.
        "fire": In(1),
        "takes_part": In(1),
        #: The step needs no next word, whatever the symbol.
        "fits": Out(1),
        #: The symbol, sign-extended if stored.
        "symbol": Out(symbol_bits(config)),
        #: It ends with the current word or behind it.
        "crosses": Out(1),
        #: It ends within a word.
        "within": Out(1),
        #: The state of `ans` whose entry is read.
        "fetch": Out(1),
        "state": Out(ANS_BITS),
        #: What was read.
        "entry": In(ans_entry()),
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
    are real, the :class:`~hw.decoder.CoatDecoder` keeps for all lanes together. What a code does not use of
    ``code`` is zero and adds nothing to a symbol or its length: so they are sums, not choices.

    For `ans` the symbol, the number of bits that follow it and the next state without them are the entry of the lane's
    state, which waits at the output of a :class:`~hw.ans.TableMemory`; ``fire`` fetches that of the next state, and
    ``opening`` that of the first one.

    Latency: a word that arrives is seen in the following cycle, and in the symbol ``step_cycles`` - 1 later; so is the
    new position after ``fire``, of which ``crosses`` and ``within`` are seen at once.

    Members
    -------
    See the comments in :func:`lane_ports` and :func:`lane_code`.
    """

    def __init__(self, config: EngineConfig):
        self._domain = "comb" if config.step_cycles == 1 else "sync"
        super().__init__(lane_ports(config))

    def elaborate(self, platform):
        m = Module()
        code = self.code
        layout = data.StructLayout({
            "current": MASK_WORD_BITS,
            "following": MASK_WORD_BITS,
            "position": range(MASK_WORD_BITS),
            "state": ANS_BITS,  # of `ans`
        })
        now, saved = ({name: Signal(field.shape, name=f"{prefix}{name}", reset_less=True) for name, field in layout}
                      for prefix in ("", "saved_"))

        # By the widest distance first: that leaves the fewest bits to move.
        window = Cat(now["current"], now["following"])
        for power in reversed(range(len(now["position"]))):
            shifted = Signal(ANS_BITS - 1 + (1 << power), name=f"window_{power}")
            m.d.comb += shifted.eq(Mux(now["position"][power], window >> (1 << power), window))
            window = shifted

        base, bits, next_state = Signal(ANS_BITS, reset_less=True), Signal(ANS_BITS, reset_less=True), Signal(ANS_BITS)
        consumed = Signal(range(max(ANS_BITS, len(self.symbol)) + 1), reset_less=True)
        m.d[self._domain] += [base.eq(self.entry.base), bits.eq(window)]
        m.d.comb += [
            # The base has zeros where bits follow.
            next_state.eq(base | bits & ~(Const((1 << ANS_BITS) - 1) << consumed)),
            # Three sources, none or one of them gated through.
            self.state.eq(Mux(self.restore, saved["state"], 0) | Mux(self.opening, now["following"], 0)
                          | Mux(self.restore | self.opening, 0, next_state)),
            self.fetch.eq(code.ans & (self.fire & self.takes_part | self.restore | self.opening)),
        ]
        with m.If(self.fetch):
            m.d.sync += now["state"].eq(self.state)

        ones, negative, terminated = Signal(range(MAX_COATS + 1)), Signal(), Signal()
        end = Signal(range(2 * MASK_WORD_BITS))
        m.d.comb += [
            ones.eq(_trailing_ones(window & code.ones)),
            negative.eq((window & code.sign).any()),
        ]
        m.d[self._domain] += [
            terminated.eq((code.ones & ~window).any()),
            self.symbol.eq(ones | window & code.mask | Mux(negative, ~code.mask, 0)
                           | Mux(code.ans, self.entry.symbol, 0)),
            consumed.eq(ones | code.length | Mux(code.ans, self.entry.bits, 0)),
        ]
        m.d.comb += [
            # One addition: the zero that ends ones is its carry.
            end.eq((Cat(terminated, now["position"]) + Cat(terminated, consumed)) >> 1),
            self.fits.eq(~exceeds(now["position"], code.limit)),
            self.crosses.eq(end[-1]),
            self.within.eq(end[:-1].any()),
        ]

        with m.If(self.fire & self.takes_part):
            m.d.sync += now["position"].eq(end)
        with m.If(self.begin):
            m.d.sync += now["position"].eq(Mux(code.ans, ANS_BITS, 0))
        with m.If(self.move):
            m.d.sync += now["current"].eq(now["following"])
        with m.If(self.arrive):
            m.d.sync += now["following"].eq(self.word)
        with m.If(self.save):
            m.d.sync += [saved[name].eq(now[name]) for name in now]
        with m.If(self.restore):
            m.d.sync += [now[name].eq(saved[name]) for name in now if name != "state"]  # that one is fetched
        return m
