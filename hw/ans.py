"""The tables of code `ans`: built on chip from a layer's frequencies (docs/specification.md, "ans")."""

from functools import reduce
from operator import or_

from amaranth import *
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from arch.config import ANS_BITS, ANS_OFFSETS, ANS_STEP, MAX_COATS
from arch.depths import ANS_BANKS

__all__ = ["AnsTable", "ENTRIES", "ans_entry", "table_write"]

ENTRIES = 1 << ANS_BITS
"""States, each an entry of a decoding table."""


def ans_entry() -> data.StructLayout:
    """What a state means: its symbol, how many bits follow it, and the next state when they are zero. Bits below
    ``bits`` of ``base`` are zero."""
    return data.StructLayout({"base": ANS_BITS, "bits": range(ANS_BITS + 1), "symbol": range(MAX_COATS + 1)})


def table_write() -> data.StructLayout:
    """An entry on its way into every lane's memory; the bank is the top bit of the address."""
    return data.StructLayout({"valid": 1, "address": range(ANS_BANKS * ENTRIES), "entry": ans_entry()})


class AnsTable(wiring.Component):
    """Builds decoding tables ahead of their layers and says in which bank a layer's table is.

    Operation: the parameters of a layer that waits are compared with those of both banks. If neither holds its table,
    it is written into the bank that is not in use: number i of entry t = 0, 1, .. is kept by adding, its symbol found
    by comparing with the cumulative frequencies c[1..7], and a counter per symbol gives k.

    Latency: from ``waiting`` to ``ready`` one cycle if a bank holds the table, else ``build_cycles``.
    """

    build_cycles = 1 + MAX_COATS + ENTRIES + 3

    def __init__(self):
        super().__init__({
            #: A layer waits, with the frequencies f[1..7] and the offset given; they stay until ``start``.
            "waiting": In(1),
            "frequencies": In(data.ArrayLayout(ANS_BITS, MAX_COATS)),
            "offset": In(range(ANS_OFFSETS)),
            #: Its table is built.
            "ready": Out(1),
            #: Most bits that follow a symbol of it; valid with ``ready``.
            "longest": Out(range(ANS_BITS + 1)),
            #: The layer begins and uses it: only with ``ready``.
            "start": In(1),
            #: Bank of the layer that began last.
            "bank": Out(1),
            #: Entries for every lane.
            "write": Out(table_write()),
        })

    def elaborate(self, platform):
        m = Module()
        key = Cat(self.frequencies.as_value(), self.offset)
        held = [Signal(len(key), name=f"held_{bank}") for bank in range(ANS_BANKS)]
        longest = Array(Signal.like(self.longest, name=f"longest_{bank}") for bank in range(ANS_BANKS))
        built, holds = Signal(ANS_BANKS), Signal(ANS_BANKS)
        chosen = Signal()  # bank of the layer that waits
        m.d.comb += [
            holds.eq(built & Cat(key == other for other in held)),
            self.longest.eq(longest[chosen]),
        ]

        # boundaries[s] is c[s]; each is right a cycle after the one above it.
        symbols = range(MAX_COATS + 1)
        boundaries = {symbol: Signal(ANS_BITS + 1, name=f"boundary_{symbol}") for symbol in symbols[1:]}
        counters = [Signal(ANS_BITS + 1, name=f"counter_{symbol}") for symbol in symbols]
        settling = Signal(range(MAX_COATS))
        scanning = Signal()
        number, state = Signal(ANS_BITS), Signal(ANS_BITS)

        inverse = pow(ANS_STEP, -1, ENTRIES)
        with m.FSM():
            with m.State("CHECK"):
                with m.If(self.waiting):
                    m.d.sync += chosen.eq(Mux(holds.any(), holds[1], ~self.bank))
                    m.next = "READY"
                    with m.If(~holds.any()):
                        m.d.sync += settling.eq(MAX_COATS - 1)
                        m.next = "SETTLE"

            with m.State("SETTLE"):
                above = ENTRIES
                for symbol in range(MAX_COATS, 0, -1):
                    frequency = self.frequencies[symbol - 1]
                    m.d.sync += [boundaries[symbol].eq(above - frequency), counters[symbol].eq(frequency)]
                    if symbol == 1:
                        m.d.sync += counters[0].eq(above - frequency)
                    above = boundaries[symbol]
                first_number = (self.offset * (-inverse % ANS_OFFSETS))[:len(self.offset)]
                m.d.sync += [
                    settling.eq(settling - 1),
                    number.eq(Cat(Const(0, ANS_BITS - len(self.offset)), first_number)),
                    state.eq(0),
                    longest[chosen].eq(0),
                ]
                for bank in range(ANS_BANKS):
                    with m.If(chosen == bank):
                        m.d.sync += [held[bank].eq(key), built[bank].eq(1)]
                with m.If(settling == 0):
                    m.d.sync += scanning.eq(1)
                    m.next = "SCAN"

            with m.State("SCAN"):
                m.d.sync += [number.eq(number + inverse), state.eq(state + 1)]
                with m.If(state == ENTRIES - 1):
                    m.d.sync += scanning.eq(0)
                with m.If(self.write.valid & self.write.address[:ANS_BITS].all()):
                    m.next = "READY"

            with m.State("READY"):
                m.d.comb += self.ready.eq(1)
                with m.If(self.start):
                    m.d.sync += self.bank.eq(chosen)
                    m.next = "CHECK"

        # Cycle 0: the symbols at or below that of the number.
        reached = Signal(MAX_COATS)
        reached_valid, counted_valid = Signal(), Signal()
        reached_state, counted_state = Signal(ANS_BITS), Signal(ANS_BITS)
        m.d.sync += reached_valid.eq(scanning)
        with m.If(scanning):
            m.d.sync += [
                reached.eq(Cat(number >= boundary for boundary in boundaries.values())),
                reached_state.eq(state),
            ]

        # Cycle 1: the symbol, as one bit of `owner`, and its counter.
        owner = Signal(MAX_COATS + 1)
        counter = Signal(ANS_BITS + 1)
        symbol = Signal(range(MAX_COATS + 1))
        m.d.comb += owner.eq(Cat(Const(1, 1), reached) & ~Cat(reached, Const(0, 1)))
        m.d.sync += counted_valid.eq(reached_valid)
        with m.If(reached_valid):
            m.d.sync += [
                counter.eq(reduce(or_, (Mux(owner[index], counters[index], 0) for index in symbols))),
                symbol.eq(Cat(Cat(owner[index] for index in symbols if index >> bit & 1).any()
                              for bit in range(len(symbol)))),
                counted_state.eq(reached_state),
                *(counters[index].eq(counters[index] + owner[index]) for index in symbols),
            ]

        # Cycle 2: the counter, shifted up until its top bit is set, is the base above the table's size.
        shifted, bits = counter, []
        for shift in (8, 4, 2, 1):
            small, value = Signal(name=f"small_{shift}"), Signal(ANS_BITS + 1, name=f"shifted_{shift}")
            m.d.comb += [small.eq(~shifted[-shift:].any()), value.eq(Mux(small, shifted << shift, shifted))]
            bits.insert(0, small)
            shifted = value
        entry = self.write.entry
        m.d.sync += self.write.valid.eq(counted_valid)
        with m.If(counted_valid):
            m.d.sync += [
                self.write.address.eq(Cat(counted_state, chosen)),
                entry.symbol.eq(symbol),
                entry.bits.eq(Cat(bits)),
                entry.base.eq(shifted),
            ]
        with m.If(self.write.valid & (entry.bits > self.longest)):
            m.d.sync += longest[chosen].eq(entry.bits)
        return m
