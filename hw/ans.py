"""The tables of code `ans`: built on chip from a layer's frequencies (docs/specification.md, "ans")."""

from amaranth import *
from amaranth.lib import data, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from arch.config import ANS_BITS, ANS_OFFSETS, ANS_STEP, MAX_COATS
from arch.depths import ANS_BANKS

__all__ = ["AnsTable", "ENTRIES", "TableMemory", "ans_entry", "table_write"]

ENTRIES = 1 << ANS_BITS
"""States, each an entry of a decoding table."""


def ans_entry() -> data.StructLayout:
    """What a state means: its symbol, how many bits follow it, and the next state when they are zero. Bits below
    ``bits`` of ``base`` are zero."""
    return data.StructLayout({"base": ANS_BITS, "bits": range(ANS_BITS + 1), "symbol": range(MAX_COATS + 1)})


def table_write() -> data.StructLayout:
    """An entry on its way into all memories; the bank is the top bit of the address."""
    return data.StructLayout({"valid": 1, "address": range(ANS_BANKS * ENTRIES), "entry": ans_entry()})


class TableMemory(wiring.Component):
    """The tables of one lane, or of two.

    Operation: for one lane, both banks are one memory with a port to read and one to write. For two, each bank is a
    memory of two ports: each lane reads the bank in use through its own, and the other bank is written through the
    first. So the two need no copies; addresses and entries pass one multiplexer each.

    Latency: one cycle from ``fetch`` to the entry, which stays until the next one as long as ``bank`` does.

    Parameters
    ----------
    lanes : int
        1 or 2.

    Members
    -------
    write : In(table_write)
        Not of the bank in use.
    bank : In(1)
        The bank in use.
    fetch : In(lanes)
        Lanes that read.
    states : In(array of lanes x 10)
        The entries that they read.
    entries : Out(array of lanes x ans_entry)
        What they have read.
    """

    def __init__(self, lanes: int):
        self._lanes = lanes
        super().__init__({
            #: Entries of tables.
            "write": In(table_write()),
            #: The bank in use.
            "bank": In(range(ANS_BANKS)),
            #: What each lane reads.
            "fetch": In(lanes),
            "states": In(data.ArrayLayout(ANS_BITS, lanes)),
            "entries": Out(data.ArrayLayout(ans_entry(), lanes)),
        })

    def elaborate(self, platform):
        m = Module()
        # What is read is not written: synthesis need not care about the order of a read and a write.
        options = dict(shape=ans_entry(), init=[], attrs={"no_rw_check": 1})
        if self._lanes == 1:
            m.submodules.banks = memory = Memory(depth=ANS_BANKS * ENTRIES, **options)
            store, port = memory.write_port(), memory.read_port()
            m.d.comb += [
                store.en.eq(self.write.valid),
                store.addr.eq(self.write.address),
                store.data.eq(self.write.entry),
                port.en.eq(self.fetch),
                port.addr.eq(Cat(self.states[0], self.bank)),
                self.entries[0].eq(port.data),
            ]
            return m
        for bank in range(ANS_BANKS):
            m.submodules[f"bank_{bank}"] = memory = Memory(depth=ENTRIES, **options)
            store = memory.write_port()
            used, address = Signal(name=f"used_{bank}"), Signal(ANS_BITS, name=f"address_{bank}")
            m.d.comb += [
                used.eq(self.bank == bank),
                address.eq(Mux(used, self.states[0], self.write.address)),
                store.en.eq(self.write.valid & ~used),
                store.addr.eq(address),
                store.data.eq(self.write.entry),
            ]
            for lane in range(self._lanes):
                port = memory.read_port()
                m.d.comb += [
                    port.en.eq(self.fetch[lane] & used),
                    port.addr.eq(self.states[lane] if lane else address),
                ]
                with m.If(used):
                    m.d.comb += self.entries[lane].eq(port.data)
        return m


class AnsTable(wiring.Component):
    """Builds decoding tables ahead of their layers and says in which bank a layer's table is.

    Operation: the parameters of a layer that waits are compared with those of both banks. If neither holds its table,
    it is written into the bank that is not in use: number i of entry t = 0, 1, .. is kept by adding, its symbol found
    by comparing with the cumulative frequencies c[1..7], and a counter per symbol, all in one memory, gives k.

    Latency: from ``waiting`` to ``ready`` two cycles if a bank holds the table, else ``build_cycles``.
    """

    build_cycles = 2 + MAX_COATS + ENTRIES + 3

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
        built, holds = Signal(ANS_BANKS), Signal(ANS_BANKS)  # ``holds`` is about the cycle before
        chosen = Signal()  # bank of the layer that waits
        m.d.sync += holds.eq(built & Cat(key == other for other in held))
        m.d.comb += self.longest.eq(longest[chosen])

        # boundaries[s - 1] is c[s]: c[7] is found first and passed on until it is in its place.
        boundaries = [Signal(ANS_BITS + 1, name=f"boundary_{symbol}") for symbol in range(1, MAX_COATS + 1)]
        settling = Signal(range(MAX_COATS + 1))  # the symbol whose frequency is taken off next
        scanning, first = Signal(), Signal()
        number, state = Signal(ANS_BITS), Signal(ANS_BITS)

        m.submodules.counters = counters = Memory(shape=ANS_BITS + 1, depth=MAX_COATS + 1, init=[])
        count, counted = counters.write_port(), counters.read_port(domain="comb")

        inverse = pow(ANS_STEP, -1, ENTRIES)
        with m.FSM():
            with m.State("IDLE"):
                with m.If(self.waiting):
                    m.next = "CHECK"

            with m.State("CHECK"):
                m.d.sync += chosen.eq(Mux(holds.any(), holds[1], ~self.bank))
                m.next = "READY"
                with m.If(~holds.any()):
                    m.d.sync += [settling.eq(MAX_COATS), boundaries[0].eq(ENTRIES)]
                    m.next = "SETTLE"

            with m.State("SETTLE"):
                frequency = Cat(Const(0, ANS_BITS), self.frequencies.as_value()).word_select(settling, ANS_BITS)
                m.d.sync += [
                    boundaries[0].eq(boundaries[0] - frequency),
                    *(above.eq(boundary) for above, boundary in zip(boundaries[1:], boundaries)),
                ]
                m.d.comb += [count.en.eq(1), count.addr.eq(settling), count.data.eq(frequency)]
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
                with m.If(settling == 1):
                    m.d.sync += [scanning.eq(1), first.eq(1)]
                    m.next = "SCAN"

            with m.State("SCAN"):
                # The frequency of symbol 0 is what is left; nothing is counted yet.
                with m.If(first):
                    m.d.sync += first.eq(0)
                    m.d.comb += [count.en.eq(1), count.addr.eq(0), count.data.eq(boundaries[0])]
                m.d.sync += [number.eq(number + inverse), state.eq(state + 1)]
                with m.If(state == ENTRIES - 1):
                    m.d.sync += scanning.eq(0)
                with m.If(self.write.valid & self.write.address[:ANS_BITS].all()):
                    m.next = "READY"

            with m.State("READY"):
                m.d.comb += self.ready.eq(1)
                with m.If(self.start):
                    m.d.sync += self.bank.eq(chosen)
                    m.next = "IDLE"

        # Cycle 0: the symbols at or below that of the number.
        reached = Signal(MAX_COATS)
        reached_valid, counted_valid = Signal(), Signal()
        reached_state, counted_state = Signal(ANS_BITS), Signal(ANS_BITS)
        m.d.sync += reached_valid.eq(scanning)
        with m.If(scanning):
            m.d.sync += [
                reached.eq(Cat(number >= boundary for boundary in boundaries)),
                reached_state.eq(state),
            ]

        # Cycle 1: the symbol, which is how many are reached, and its counter.
        counter = Signal(ANS_BITS + 1)
        symbol, reached_symbol = Signal(range(MAX_COATS + 1)), Signal(range(MAX_COATS + 1))
        m.d.comb += [
            reached_symbol.eq(Cat(
                Mux(reached[3], Mux(reached[5], reached[6], reached[4]), Mux(reached[1], reached[2], reached[0])),
                Mux(reached[3], reached[5], reached[1]), reached[3])),
            counted.addr.eq(reached_symbol),
        ]
        m.d.sync += counted_valid.eq(reached_valid)
        with m.If(reached_valid):
            m.d.comb += [count.en.eq(1), count.addr.eq(reached_symbol), count.data.eq(counted.data + 1)]
            m.d.sync += [counter.eq(counted.data), symbol.eq(reached_symbol), counted_state.eq(reached_state)]

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
