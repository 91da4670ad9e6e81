"""Activation memory: banks of byte-addressed memory that read any run of consecutive bytes in one cycle."""

from __future__ import annotations

from functools import reduce
from operator import or_

from amaranth import *
from amaranth.lib import data, stream, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from arch.config import EngineConfig

__all__ = ["ActivationMemory"]


class _Run:
    """Where a run of bytes lies. Lists of two are for the even and the odd memories.

    ``offset`` is the first byte's place in its word, ``odd`` that word's parity; ``rows`` are the rows of the memories
    within their ``banks``, and ``touched`` says which of the two the run needs. A run that starts at a multiple of its
    size (``aligned``) shares no word with bytes before it.
    """

    def __init__(self, m: Module, config: EngineConfig, name: str, address: Value, size: int, *, aligned: bool = False):
        word_bits = config.lanes.bit_length() - 1
        row_bits = (config.bank_bytes // (2 * config.lanes)).bit_length() - 1
        self.offset = address[:word_bits]
        self.odd = address[word_bits]
        crosses = Const(size > config.lanes) if aligned else self.offset > config.lanes - size
        pair = address[word_bits + 1:]
        pairs = [Signal.like(pair, name=f"{name}_pair_{side}") for side in ("even", "odd")]
        m.d.comb += [pairs[0].eq(pair + self.odd), pairs[1].eq(pair)]
        self.rows = [pair[:row_bits] for pair in pairs]
        self.banks = [pair[row_bits:] for pair in pairs]
        self.touched = [~self.odd | crosses, self.odd | crosses]

    def clashes(self, other: _Run) -> Value:
        """Whether both runs need the same memory."""
        return Cat(self.touched[side] & other.touched[side] & (self.banks[side] == other.banks[side])
                   for side in range(2)).any()


class ActivationMemory(wiring.Component):
    """On-chip activations.

    Operation: the top address bits choose a bank. A bank has a memory for its even and one for its odd words of
    ``lanes`` bytes, so a run of at most ``lanes`` bytes takes at most one word of each. Runs may cross banks and wrap
    around at the end. Each of these memories serves one read per cycle: an urgent ``aux`` first, then ``window``, then
    a patient ``aux``, then ``store``; a request that needs two of them waits until it gets both. ``write`` is served
    before ``load``.

    Latency: read data come ``latency.ACTIVATION_READ`` cycles after the accepted request: one for the memory, one to
    choose the banks, one for the rotation; they stay until the port's next data. A write is asked for a cycle before
    its data. A byte of which the data come in a cycle is seen by requests accepted in later cycles.

    Members
    -------
    See the comments on the ports; ``write`` and an urgent ``aux`` are never refused.
    """

    def __init__(self, config: EngineConfig):
        self._config = config
        self._aux_bytes = aux_bytes = max(config.requantiser_lanes, 4)
        address = config.activation_address_bits
        super().__init__({
            #: Runs of activations for the array, and their ``lanes`` bytes.
            "window": In(stream.Signature(data.StructLayout({"address": address}))),
            "window_data": Out(8 * config.lanes),
            #: Reads of the post-processor; the ``urgent`` ones go before the array's.
            "aux": In(data.StructLayout({"valid": 1, "urgent": 1, "address": address})),
            #: A valid request on ``aux`` is accepted in this cycle.
            "aux_ready": Out(1),
            "aux_data": Out(8 * aux_bytes),
            #: Reads of the store unit, at multiples of a beat.
            "store": In(stream.Signature(data.StructLayout({"address": address}))),
            "store_data": Out(config.bus_bits),
            #: Writes of the post-processor: the bytes whose ``mask`` bit is set, and one cycle later their data.
            "write": In(data.StructLayout({"valid": 1, "address": address, "mask": aux_bytes})),
            "write_data": In(8 * aux_bytes),
            #: Writes of the load unit, at multiples of a beat.
            "load": In(stream.Signature(data.StructLayout({"address": address, "data": config.bus_bits}))),
        })

    def elaborate(self, platform):
        m = Module()
        config = self._config
        memories = {}
        for bank in range(config.activation_banks):
            for side in range(2):
                memory = Memory(shape=8 * config.lanes, depth=config.bank_bytes // (2 * config.lanes), init=[])
                m.submodules[f"bank_{bank}_{('even', 'odd')[side]}"] = memory
                memories[bank, side] = memory
        self._connect_writes(m, {key: memory.write_port(granularity=8) for key, memory in memories.items()})
        self._connect_reads(m, {key: memory.read_port() for key, memory in memories.items()})
        return m

    def _connect_writes(self, m: Module, ports: dict):
        config = self._config
        write, load = self.write, self.load.payload
        write_run = _Run(m, config, "write", write.address, self._aux_bytes)
        load_run = _Run(m, config, "load", load.address, config.bus_bytes, aligned=True)
        # Enables of the run's first word and the next. They tell the copies in a word apart, so that data need turning
        # within their own size only.
        enables = Signal(2 * config.lanes, name="write_enables", reset_less=True)
        odd, turn = Signal(name="write_odd"), Signal(range(max(2, self._aux_bytes)), name="write_turn")
        rows = [Signal.like(row, name=f"write_row_{side}") for side, row in enumerate(write_run.rows)]
        m.d.sync += [
            enables.eq(write.mask << write_run.offset),
            odd.eq(write_run.odd),
            turn.eq(write_run.offset),
            *(register.eq(row) for register, row in zip(rows, write_run.rows)),
        ]
        # Whether any byte goes to the first word, and to the next.
        falls = [Cat(bit & ((write_run.offset < config.lanes - byte) ^ next_word)
                     for byte, bit in enumerate(write.mask)).any() for next_word in range(2)]
        load_enables = Signal(2 * config.lanes)
        write_word = Signal(8 * config.lanes)
        m.d.comb += [
            load_enables.eq(Const((1 << config.bus_bytes) - 1) << load_run.offset),
            write_word.eq(_rotated(self.write_data, turn).replicate(config.lanes // self._aux_bytes)),
        ]
        load_words = [load.data.word_select(side, 8 * config.lanes) if config.bus_bytes > config.lanes
                      else load.data.replicate(config.lanes // config.bus_bytes) for side in range(2)]

        clashes = []
        for (bank, side), port in ports.items():
            written = Signal(name=f"written_{bank}_{side}")
            m.d.sync += written.eq(write.valid & Mux(write_run.odd ^ side, falls[1], falls[0])
                                   & (write_run.banks[side] == bank))
            loaded = load_run.touched[side] & (load_run.banks[side] == bank)
            with m.If(written):
                m.d.comb += [port.en.eq(enables.word_select(odd ^ side, config.lanes)), port.addr.eq(rows[side]),
                             port.data.eq(write_word)]
            with m.Else():
                m.d.comb += [port.addr.eq(load_run.rows[side]), port.data.eq(load_words[side])]
                with m.If(loaded & self.load.valid & self.load.ready):
                    m.d.comb += port.en.eq(load_enables.word_select(load_run.odd ^ side, config.lanes))
            clashes.append(written & loaded)
        m.d.comb += self.load.ready.eq(~Cat(clashes).any())

    def _connect_reads(self, m: Module, ports: dict):
        config = self._config
        aux = _Run(m, config, "aux", self.aux.address, self._aux_bytes)
        window = _Run(m, config, "window", self.window.payload.address, config.lanes)
        store = _Run(m, config, "store", self.store.payload.address, config.bus_bytes, aligned=True)
        # Every refusal follows from registers by one comparison of addresses, that of `store` by two.
        aux_reads, window_reads, store_reads = Signal(), Signal(), Signal()
        m.d.comb += [
            self.window.ready.eq(~(self.aux.valid & self.aux.urgent & window.clashes(aux))),
            self.aux_ready.eq(self.aux.urgent | ~(self.window.valid & aux.clashes(window))),
            aux_reads.eq(self.aux.valid & self.aux_ready),
            window_reads.eq(self.window.valid & self.window.ready),
            self.store.ready.eq(~(aux_reads & store.clashes(aux)) & ~(window_reads & store.clashes(window))),
            store_reads.eq(self.store.valid & self.store.ready),
        ]
        for (bank, side), port in ports.items():
            with m.If(aux_reads & aux.touched[side] & (aux.banks[side] == bank)):
                m.d.comb += [port.en.eq(1), port.addr.eq(aux.rows[side])]
            with m.Elif(window_reads & window.touched[side] & (window.banks[side] == bank)):
                m.d.comb += [port.en.eq(1), port.addr.eq(window.rows[side])]
            with m.Else():
                m.d.comb += [
                    port.en.eq(store_reads & store.touched[side] & (store.banks[side] == bank)),
                    port.addr.eq(store.rows[side]),
                ]

        for name, reads, run, result in (("aux", aux_reads, aux, self.aux_data),
                                         ("window", window_reads, window, self.window_data),
                                         ("store", store_reads, store, self.store_data)):
            # Cycle 1: the memories' words are there; each port takes those of its banks. Nothing wide moves for a port
            # that has not read.
            chosen = [Signal(config.activation_banks, name=f"{name}_chosen_{side}", reset_less=True)
                      for side in range(2)]
            words = [Signal(8 * config.lanes, name=f"{name}_word_{side}", reset_less=True) for side in range(2)]
            # Cycle 2: the run.
            reading = [reads, Signal(name=f"{name}_read_1"), Signal(name=f"{name}_read_2")]
            start = [run.offset, *(Signal.like(run.offset, name=f"{name}_start_{cycle}", reset_less=True)
                                   for cycle in (1, 2))]
            odd = [run.odd, *(Signal(name=f"{name}_odd_{cycle}", reset_less=True) for cycle in (1, 2))]
            register = Signal(len(result), name=f"{name}_register", reset_less=True)
            m.d.sync += [reading[1].eq(reading[0]), reading[2].eq(reading[1])]
            with m.If(reading[0]):
                m.d.sync += [start[1].eq(start[0]), odd[1].eq(odd[0])]
                m.d.sync += [chosen[side][bank].eq(run.banks[side] == bank)
                             for side in range(2) for bank in range(config.activation_banks)]
            with m.If(reading[1]):
                m.d.sync += [start[2].eq(start[1]), odd[2].eq(odd[1])]
                m.d.sync += [word.eq(_chosen([ports[bank, side].data for bank in range(config.activation_banks)],
                                             chosen[side])) for side, word in enumerate(words)]
            even_word, odd_word = words
            with m.If(reading[2]):
                m.d.sync += register.eq(Mux(odd[2], Cat(odd_word, even_word), Cat(even_word, odd_word)).bit_select(
                    start[2] << 3, len(result)))
            m.d.comb += result.eq(register)


def _chosen(values: list, select: Value) -> Value:
    """The one of ``values`` whose bit of ``select`` is set."""
    return reduce(or_, (value & bit.replicate(len(value)) for value, bit in zip(values, select)))


def _rotated(value: Value, turn: Value) -> Value:
    """``value`` with its byte b at byte (b + turn) mod size."""
    twice = Cat(value, value)
    return twice.bit_select((-turn)[:len(turn)] << 3, len(value))
