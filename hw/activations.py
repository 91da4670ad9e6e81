"""Activation memory: banks of byte-addressed memory that read any run of consecutive bytes in one cycle."""

from __future__ import annotations

from amaranth import *
from amaranth.lib import data, stream, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from arch.config import EngineConfig
from hw.bits import one_of

__all__ = ["ActivationMemory"]


def _run_layout(config: EngineConfig) -> data.StructLayout:
    """Where a run of bytes lies. Lists of two are for the even and the odd memories."""
    return data.StructLayout({
        #: The memories that the run needs, by bank, of the even and of the odd ones.
        "memories": data.ArrayLayout(config.activation_banks, 2),
        #: Rows within them.
        "rows": data.ArrayLayout(range(config.bank_bytes // (2 * config.lanes)), 2),
        #: The first byte's place in its word, and that word's parity.
        "offset": range(config.lanes),
        "odd": 1,
    })


def _locate(m: Module, config: EngineConfig, name: str, address: Value, size: int, *, aligned: bool = False):
    """Signal ``name``: the run of ``size`` bytes from ``address`` on. One that starts at a multiple of its size
    (``aligned``) shares no word with bytes before it."""
    layout = _run_layout(config)
    word_bits = config.lanes.bit_length() - 1
    row_bits = Shape.cast(layout["rows"].shape.elem_shape).width
    offset, odd, pair = address[:word_bits], address[word_bits], address[word_bits + 1:]
    crosses = Const(size > config.lanes) if aligned else offset > config.lanes - size
    # The even word of a run that starts in an odd one is the next pair's.
    pairs = [pair if aligned else (pair + odd)[:len(pair)], pair]
    touched = [~odd | crosses, odd | crosses]
    memories = [Cat(touched[side] & (pairs[side][row_bits:] == bank) for bank in range(config.activation_banks))
                for side in range(2)]
    run = Signal(layout, name=name)
    m.d.comb += run.eq(Cat(*memories, *(pair[:row_bits] for pair in pairs), offset, odd))
    return run


def _clash(run, other) -> Value:
    """Whether both runs need the same memory."""
    return (run.memories.as_value() & other.memories.as_value()).any()


class ActivationMemory(wiring.Component):
    """On-chip activations.

    Operation: the top address bits choose a bank. A bank has a memory for its even and one for its odd words of
    ``lanes`` bytes, so a run of at most ``lanes`` bytes takes at most one word of each. Runs may cross banks and wrap
    around at the end. Each of these memories serves one read per cycle: ``pool`` first, then ``window``, ``residual``
    and ``store``; a request that needs two of them waits until it gets both. ``write`` is served before ``load``.

    Requests are taken a cycle before the read, which finds out where they lie and what clashes. ``pool`` is read in the
    next cycle, the others in the next one in which their ``ready`` is set. ``store`` is not read while ``pool`` is, nor
    at the memories of a residual that waits.

    Latency: read data come ``latency.ACTIVATION_READ`` cycles after the read: one for the memory, one for its output
    register, one to choose the banks, one for the rotation; they stay until the port's next data. A write is asked for
    a cycle before its data, which are seen by reads from ``latency.ACTIVATION_WRITE`` cycles after them on.

    Members
    -------
    See the comments on the ports; ``write`` and ``pool`` are never refused.
    """

    def __init__(self, config: EngineConfig):
        self._config = config
        self._aux_bytes = aux_bytes = max(config.requantiser_lanes, 4)
        address = config.activation_address_bits
        super().__init__({
            #: Runs of activations for the array, and their ``lanes`` bytes. ``ready`` comes from a register.
            "window": In(stream.Signature(data.StructLayout({"address": address}))),
            "window_data": Out(8 * config.lanes),
            #: Reads of pooled bytes, for the next cycle.
            "pool": In(data.StructLayout({"valid": 1, "address": address})),
            #: Reads of residuals. ``ready`` comes from a register.
            "residual": In(stream.Signature(data.StructLayout({"address": address}))),
            #: The data of both.
            "aux_data": Out(8 * aux_bytes),
            #: Reads of the store unit, at multiples of a beat. ``ready`` comes from a register.
            "store": In(stream.Signature(data.StructLayout({"address": address}))),
            "store_data": Out(config.bus_bits),
            #: Writes of the post-processor: the bytes whose ``mask`` bit is set, and one cycle later their data.
            "write": In(data.StructLayout({"valid": 1, "address": address, "mask": aux_bytes})),
            "write_data": In(8 * aux_bytes),
            #: Writes of the load unit, at multiples of a beat: their data come in the next cycle with ``ready``, which
            #: comes from a register.
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
        write_run = _locate(m, config, "write_run", write.address, self._aux_bytes)
        # Of a load that is taken, the data come in the next cycle with ``ready``.
        load_taken = _locate(m, config, "load_taken", load.address, config.bus_bytes, aligned=True)
        load_run = Signal(_run_layout(config), name="load_run", reset_less=True)
        load_data = Signal(config.bus_bits, reset_less=True)
        load_waits, load_accepted = Signal(), Signal(init=1)
        load_next = Mux(load_accepted, load_taken.memories, load_run.memories)
        m.d.comb += self.load.ready.eq(load_accepted)
        with m.If(load_accepted):
            m.d.sync += [load_waits.eq(self.load.valid), load_run.eq(load_taken), load_data.eq(load.data)]
        # Enables of the run's first word and the next. They tell the copies in a word apart, so that data need turning
        # within their own size only.
        enables = Signal(2 * config.lanes, name="write_enables", reset_less=True)
        odd, turn = Signal(name="write_odd"), Signal(range(max(2, self._aux_bytes)), name="write_turn")
        rows = Signal(_run_layout(config)["rows"].shape, name="write_rows", reset_less=True)
        m.d.sync += [
            enables.eq(write.mask << write_run.offset),
            odd.eq(write_run.odd),
            turn.eq(write_run.offset),
            rows.eq(write_run.rows),
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
        load_words = [load_data.word_select(side, 8 * config.lanes) if config.bus_bytes > config.lanes
                      else load_data.replicate(config.lanes // config.bus_bytes) for side in range(2)]

        clashes = []
        load_follows = ~load_accepted | self.load.valid
        for (bank, side), port in ports.items():
            writes, written = Signal(name=f"writes_{bank}_{side}"), Signal(name=f"written_{bank}_{side}")
            m.d.comb += writes.eq(write.valid & Mux(write_run.odd ^ side, falls[1], falls[0])
                                  & write_run.memories[side][bank])
            m.d.sync += written.eq(writes)
            # Registers of its own beside every memory.
            row, word = (Signal.like(value, name=f"write_{name}_{bank}_{side}", reset_less=True)
                         for name, value in (("row", port.addr), ("word", port.data)))
            m.d.comb += [port.addr.eq(row), port.data.eq(word)]
            m.d.sync += port.en.eq(0)
            with m.If(written):
                m.d.sync += [port.en.eq(enables.word_select(odd ^ side, config.lanes)), row.eq(rows[side]),
                             word.eq(write_word)]
            # The half of a beat that has to wait may be written now and then again.
            with m.Elif(load_waits & load_run.memories[side][bank]):
                m.d.sync += [port.en.eq(load_enables.word_select(load_run.odd ^ side, config.lanes)),
                             row.eq(load_run.rows[side]), word.eq(load_words[side])]
            clashes.append(writes & load_next.word_select(side, config.activation_banks)[bank])
        m.d.sync += load_accepted.eq(~(load_follows & Cat(clashes).any()))

    def _connect_reads(self, m: Module, ports: dict):
        config = self._config

        # A cycle ahead: where runs lie, and which of them has to wait.
        pool, aux = (Signal(_run_layout(config), name=f"{name}_run", reset_less=True) for name in ("pool", "aux"))
        pool_next = _locate(m, config, "pool_next", self.pool.address, self._aux_bytes)
        pool_reads = Signal()
        m.d.sync += pool_reads.eq(self.pool.valid)
        with m.If(self.pool.valid):
            m.d.sync += pool.eq(pool_next)

        def ahead(name: str, port, size: int, **aligned):
            """Where the run of ``port`` lies that may be read in the next cycle, and whether there is one; the same of
            this cycle; and whether it is refused then."""
            run = Signal(_run_layout(config), name=f"{name}_run", reset_less=True)
            following = Signal(_run_layout(config), name=f"{name}_next")
            follows, waits, refuse = (Signal(name=f"{name}_{word}") for word in ("follows", "waits", "refuse"))
            accepted = Signal(name=f"{name}_accepted", init=1)
            taken = _locate(m, config, f"{name}_taken", port.payload.address, size, **aligned)
            m.d.comb += [
                port.ready.eq(accepted),
                following.eq(Mux(accepted, taken, run)),
                follows.eq(~accepted | port.valid),
            ]
            m.d.sync += [waits.eq(follows), accepted.eq(~(follows & refuse))]
            with m.If(accepted):
                m.d.sync += run.eq(taken)
            return following, follows, run, waits & accepted, refuse

        window_next, window_follows, window, window_reads, refuse_window = ahead("window", self.window, config.lanes)
        residual_next, residual_follows, residual, residual_reads, refuse_residual = ahead(
            "residual", self.residual, self._aux_bytes)
        store_next, store_follows, store, store_reads, refuse_store = ahead(
            "store", self.store, config.bus_bytes, aligned=True)
        m.d.comb += [
            refuse_window.eq(self.pool.valid & _clash(window_next, pool_next)),
            # There is one path for the data of both reads of the post-processor.
            refuse_residual.eq(self.pool.valid | window_follows & _clash(residual_next, window_next)),
            refuse_store.eq(self.pool.valid | window_follows & _clash(store_next, window_next)
                            | residual_follows & _clash(store_next, residual_next)),
        ]

        # What reads in the next cycle needs different memories. Which of the runs that share one are refused need not
        # be known: the first of them is not.
        for (bank, side), port in ports.items():
            enable = Signal(name=f"enable_{bank}_{side}")
            row = Signal.like(port.addr, name=f"row_{bank}_{side}", reset_less=True)
            m.d.comb += [port.en.eq(enable), port.addr.eq(row)]
            wanted, place = Const(0, 1), store_next.rows[side]
            for follows, run in ((store_follows, store_next), (residual_follows, residual_next),
                                 (window_follows, window_next), (self.pool.valid, pool_next)):
                wants = follows & run.memories[side][bank]
                wanted, place = wanted | wants, Mux(wants, run.rows[side], place)
            m.d.sync += enable.eq(wanted)
            with m.If(wanted):
                m.d.sync += row.eq(place)

        # Cycle 1: the memories' words are there, on the whole die; they go into registers beside them.
        words = {}
        for (bank, side), port in ports.items():
            words[bank, side] = word = Signal(8 * config.lanes, name=f"word_{bank}_{side}", reset_less=True)
            came = Signal(name=f"came_{bank}_{side}")
            m.d.sync += came.eq(port.en)
            with m.If(came):
                m.d.sync += word.eq(port.data)

        m.d.comb += aux.eq(Mux(pool_reads, pool, residual))
        for name, reads, run, result in (("aux", pool_reads | residual_reads, aux, self.aux_data),
                                         ("window", window_reads, window, self.window_data),
                                         ("store", store_reads, store, self.store_data)):
            # Cycle 2: each port takes the words of its banks. Cycle 3: the run. Nothing wide moves for a port that has
            # not read.
            reading, runs = [reads], [run]
            for cycle in (1, 2, 3):
                reading.append(Signal(name=f"{name}_reads_{cycle}"))
                runs.append(Signal(_run_layout(config), name=f"{name}_run_{cycle}", reset_less=True))
                m.d.sync += reading[cycle].eq(reading[cycle - 1])
                with m.If(reading[cycle - 1]):
                    m.d.sync += runs[cycle].eq(runs[cycle - 1])
            chosen = [Signal(8 * config.lanes, name=f"{name}_word_{side}", reset_less=True) for side in range(2)]
            register = Signal(len(result), name=f"{name}_register", reset_less=True)
            with m.If(reading[2]):
                m.d.sync += [word.eq(one_of([words[bank, side] for bank in range(config.activation_banks)],
                                             runs[2].memories[side])) for side, word in enumerate(chosen)]
            even_word, odd_word = chosen
            with m.If(reading[3]):
                m.d.sync += register.eq(Mux(runs[3].odd, Cat(odd_word, even_word), Cat(even_word, odd_word)).bit_select(
                    runs[3].offset << 3, len(result)))
            m.d.comb += result.eq(register)


def _rotated(value: Value, turn: Value) -> Value:
    """``value`` with its byte b at byte (b + turn) mod size."""
    twice = Cat(value, value)
    return twice.bit_select((-turn)[:len(turn)] << 3, len(value))
