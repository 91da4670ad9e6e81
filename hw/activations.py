"""Activation memory: banks of byte-addressed memory that read any run of consecutive bytes in one cycle."""

from __future__ import annotations

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

    Latency: read data come ``latency.ACTIVATION_READ`` cycles after the accepted request: one for the memory, one for
    the rotation; they stay until the port's next data. A byte written in a cycle is seen by requests accepted in later
    cycles.

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
            #: Writes of the post-processor: the bytes whose ``mask`` bit is set.
            "write": In(data.StructLayout({
                "valid": 1, "address": address, "data": 8 * aux_bytes, "mask": aux_bytes})),
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
        write_enables = Signal(2 * config.lanes)
        load_enables = Signal(2 * config.lanes)
        turn = write_run.offset[:self._aux_bytes.bit_length() - 1]
        write_word = Signal(8 * config.lanes)
        m.d.comb += [
            write_enables.eq(Mux(write.valid, write.mask, 0) << write_run.offset),
            load_enables.eq(Const((1 << config.bus_bytes) - 1) << load_run.offset),
            write_word.eq(_rotated(write.data, turn).replicate(config.lanes // self._aux_bytes)),
        ]
        load_words = [load.data.word_select(side, 8 * config.lanes) if config.bus_bytes > config.lanes
                      else load.data.replicate(config.lanes // config.bus_bytes) for side in range(2)]

        clashes = []
        for (bank, side), port in ports.items():
            enables = write_enables.word_select(write_run.odd ^ side, config.lanes)
            written = enables.any() & (write_run.banks[side] == bank)
            loaded = self.load.valid & load_run.touched[side] & (load_run.banks[side] == bank)
            with m.If(written):
                m.d.comb += [port.en.eq(enables), port.addr.eq(write_run.rows[side]), port.data.eq(write_word)]
            with m.Else():
                m.d.comb += [port.addr.eq(load_run.rows[side]), port.data.eq(load_words[side])]
                with m.If(loaded & self.load.ready):
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
            # Cycle 1: the memories' words are there. Nothing wide moves for a port that has not read.
            read = Signal(name=f"{name}_read")
            start = Signal(len(run.offset), name=f"{name}_start", reset_less=True)
            swapped = Signal(name=f"{name}_swapped", reset_less=True)
            banks = [Signal(len(run.banks[side]), name=f"{name}_bank_{side}", reset_less=True) for side in range(2)]
            m.d.sync += read.eq(reads)
            with m.If(reads):
                m.d.sync += [start.eq(run.offset), swapped.eq(run.odd)]
                m.d.sync += [bank.eq(of_run) for bank, of_run in zip(banks, run.banks)]
            even, odd = (_chosen([ports[bank, side].data for bank in range(config.activation_banks)], banks[side])
                         for side in range(2))
            register = Signal(len(result), name=f"{name}_register", reset_less=True)
            with m.If(read):
                m.d.sync += register.eq(Mux(swapped, Cat(odd, even), Cat(even, odd)).bit_select(
                    start << 3, len(result)))
            m.d.comb += result.eq(register)


def _chosen(values: list, index: Value) -> Value:
    """``values[index]`` as one expression: simulators then evaluate it only where it is used, unlike an ``Array``."""
    for bit in index:
        values = [Mux(bit, high, low) for low, high in zip(values[::2], values[1::2])]
    return values[0]


def _rotated(value: Value, turn: Value) -> Value:
    """``value`` with its byte b at byte (b + turn) mod size."""
    twice = Cat(value, value)
    return twice.bit_select((-turn)[:len(turn)] << 3, len(value))
