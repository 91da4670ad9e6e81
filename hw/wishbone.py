"""The memory interface as a Wishbone manager, and registers behind Wishbone (OpenCores Wishbone B4)."""

from amaranth import *
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from arch.config import EngineConfig
from arch.depths import OUTSTANDING_BURSTS
from hw.axi import RegisterSlice, Response, axi4_lite_port
from hw.memory import memory_port
from hw.queue import Queue

__all__ = ["wishbone_port", "wishbone_register_port", "WishboneMaster", "WishboneRegisters"]


def wishbone_port(config: EngineConfig) -> wiring.Signature:
    """Pipelined Wishbone as its manager sees it: 32-bit byte addresses of whole beats of ``bus_bits``."""
    return wiring.Signature({
        "cyc": Out(1), "stb": Out(1), "we": Out(1), "adr": Out(32), "dat_w": Out(config.bus_bits),
        "sel": Out(config.bus_bytes), "stall": In(1), "ack": In(1), "err": In(1), "dat_r": In(config.bus_bits),
    })


def wishbone_register_port(address_bits: int) -> wiring.Signature:
    """Classic Wishbone as its manager sees it: 32 bits of data, byte addresses."""
    return wiring.Signature({
        "cyc": Out(1), "stb": Out(1), "we": Out(1), "adr": Out(address_bits), "dat_w": Out(32), "sel": Out(4),
        "ack": In(1), "err": In(1), "dat_r": In(32),
    })


class WishboneMaster(wiring.Component):
    """Adapts the engine's memory interface to pipelined Wishbone (B4, 3.1.3.2).

    Operation: bursts are taken one at a time, reads and writes in turns where both wait, and become one transfer per
    beat. ``ack`` or ``err`` answers every transfer, in order. ``cyc`` is high while a transfer is unanswered, and low
    for two cycles at least between bursts, so that an arbiter can let another manager in: none is begun before all of
    the one before is answered. As nothing on the bus can hold answers up, a read is asked for only while there is room
    for its answer: in a queue of ``beats_ahead`` beats. Every byte of a beat is selected. ``err`` is reported with its
    beat (``read_error``) or its burst (``write_error``). There is no retry.

    While ``flush`` is high the engine is being reset: what it asks for is ignored and what it is shown means nothing.
    No transfer is begun, and the answers to those that were are taken and dropped. ``idle`` says that nothing is left;
    ``cyc`` is then low.

    Latency: two cycles from a request, or from write data after their request, to ``stb``; two from ``ack`` to
    ``read_data`` and one to ``write_done``. One transfer per cycle within a burst, as far as ``beats_ahead`` hides the
    bus's latency; three cycles from a burst's last answer to the next one's ``stb``.

    Parameters
    ----------
    beats_ahead : int
        Beats of a burst under way, or answered and not yet taken.

    Members
    -------
    memory : In(memory_port)
    bus : Out(wishbone_port)
    """

    def __init__(self, config: EngineConfig, *, beats_ahead: int = 32):
        if beats_ahead < 2:
            raise ValueError(f"beats_ahead must be at least 2, not {beats_ahead!r}")
        self._config = config
        self._beats_ahead = beats_ahead
        super().__init__({
            #: From the engine.
            "memory": In(memory_port(config)),
            #: To the bus.
            "bus": Out(wishbone_port(config)),
            #: Complete what was begun, without the engine.
            "flush": In(1),
            #: No transfer is under way.
            "idle": Out(1),
        })

    def elaborate(self, platform):
        m = Module()
        config, memory, bus = self._config, self.memory, self.bus

        # The burst being put on the bus.
        address, left = Signal(32), Signal.like(memory.read_request.payload.beats)
        writing = Signal()
        # Transfers that have been begun and not answered.
        unanswered = Signal(range(self._beats_ahead + 1))
        # Write bursts that have been taken and whose token has not.
        open_writes = Signal(range(OUTSTANDING_BURSTS + 1))
        choose_write = Signal()
        m.d.comb += choose_write.eq(memory.write_request.valid & (open_writes != OUTSTANDING_BURSTS)
                                    & ~(writing & memory.read_request.valid))
        with m.If(self.flush):
            m.d.sync += left.eq(0)
        with m.Elif((left == 0) & (unanswered == 0)):
            m.d.comb += [
                memory.write_request.ready.eq(choose_write),
                memory.read_request.ready.eq(~choose_write),
            ]
            with m.If(choose_write):
                m.d.sync += [address.eq(memory.write_request.payload.address),
                             left.eq(memory.write_request.payload.beats), writing.eq(1)]
            with m.Elif(memory.read_request.valid):
                m.d.sync += [address.eq(memory.read_request.payload.address),
                             left.eq(memory.read_request.payload.beats), writing.eq(0)]

        # Transfers.
        transfer = data.StructLayout({"write": 1, "address": 32, "data": config.bus_bits})
        m.submodules.shown = shown = RegisterSlice(transfer)
        room = Signal(range(self._beats_ahead + 1), init=self._beats_ahead)
        wanted = (left != 0) & ~self.flush & (room != 0)
        m.d.comb += [
            shown.enter.valid.eq(wanted & (~writing | memory.write_data.valid)),
            shown.enter.payload.write.eq(writing),
            shown.enter.payload.address.eq(address),
            shown.enter.payload.data.eq(memory.write_data.payload),
            memory.write_data.ready.eq(wanted & writing & shown.enter.ready),
        ]
        begins = shown.enter.valid & shown.enter.ready
        with m.If(begins):
            m.d.sync += [address.eq(address + config.bus_bytes), left.eq(left - 1)]

        m.d.comb += [
            bus.stb.eq(shown.leave.valid),
            shown.leave.ready.eq(~bus.stall),
            bus.cyc.eq(unanswered != 0),
            bus.we.eq(shown.leave.payload.write),
            bus.adr.eq(shown.leave.payload.address),
            bus.dat_w.eq(shown.leave.payload.data),
            bus.sel.eq(~0),
        ]

        # Answers: to transfers of one burst, the one on the bus.
        answered, wrote, wrote_last = Signal(), Signal(), Signal()
        m.d.comb += [
            answered.eq((bus.ack | bus.err) & bus.cyc),
            wrote.eq(answered & writing),
            wrote_last.eq(wrote & (left == 0) & (unanswered == 1)),
        ]
        m.d.sync += unanswered.eq(unanswered + begins - answered)
        beat = data.StructLayout({"data": config.bus_bits, "error": 1})
        m.submodules.beats = beats = Queue(beat, self._beats_ahead)
        m.d.comb += [
            beats.enter.valid.eq(answered & ~writing),
            beats.enter.payload.data.eq(bus.dat_r),
            beats.enter.payload.error.eq(bus.err),
            memory.read_data.valid.eq(beats.leave.valid),
            memory.read_data.payload.eq(beats.leave.payload.data),
            memory.read_error.eq(beats.leave.payload.error),
            beats.leave.ready.eq(memory.read_data.ready | self.flush),
        ]
        failed = Signal()
        m.submodules.done = done = Queue(data.StructLayout({"error": 1}), OUTSTANDING_BURSTS)
        with m.If(wrote):
            m.d.sync += failed.eq(Mux(wrote_last, 0, failed | bus.err))
        m.d.comb += [
            done.enter.valid.eq(wrote_last),
            done.enter.payload.error.eq(failed | bus.err),
            memory.write_done.valid.eq(done.leave.valid),
            memory.write_error.eq(done.leave.payload.error),
            done.leave.ready.eq(memory.write_done.ready | self.flush),
        ]
        taken = beats.leave.valid & beats.leave.ready
        m.d.sync += room.eq(room - begins + taken + wrote)
        opens = memory.write_request.valid & memory.write_request.ready
        closes = done.leave.valid & done.leave.ready
        m.d.sync += open_writes.eq(open_writes + opens - closes)
        with m.If(self.flush):
            # Of a burst that was cut short nobody asks.
            m.d.sync += [failed.eq(0), open_writes.eq(0)]
        m.d.comb += self.idle.eq((left == 0) & (unanswered == 0) & ~beats.leave.valid & ~done.leave.valid)
        return m


class WishboneRegisters(wiring.Component):
    """Lets classic Wishbone (B4, 3.1.3.1) reach registers behind AXI4-Lite.

    Operation: one access at a time. Any response but OKAY becomes ``err``. An access that its manager gives up (``cyc``
    or ``stb`` low before the answer) is completed on the other side if it was begun there; its answer is dropped.

    Latency: ``ack`` comes from a register, two cycles after the response of the other side can; it is
    high for one cycle. The next access begins in the cycle after it at the earliest.

    Members
    -------
    bus : In(wishbone_register_port)
    axil : Out(axi4_lite_port)
    """

    def __init__(self, address_bits: int):
        super().__init__({
            #: From the driver.
            "bus": In(wishbone_register_port(address_bits)),
            #: To the registers.
            "axil": Out(axi4_lite_port(address_bits)),
        })

    def elaborate(self, platform):
        m = Module()
        bus, axil = self.bus, self.axil
        asked, dropped = Signal(), Signal()
        selected = bus.cyc & bus.stb & ~bus.ack & ~bus.err
        answered = Signal()
        ok = Signal()
        m.d.comb += [
            axil.bready.eq(1),
            axil.rready.eq(1),
            answered.eq(axil.bvalid | axil.rvalid),
            ok.eq(Mux(axil.bvalid, axil.bresp, axil.rresp) == Response.OKAY),
        ]
        m.d.sync += [bus.ack.eq(0), bus.err.eq(0)]
        for valid, ready in ((axil.awvalid, axil.awready), (axil.wvalid, axil.wready), (axil.arvalid, axil.arready)):
            with m.If(ready):
                m.d.sync += valid.eq(0)
        with m.If(~asked):
            with m.If(selected):
                m.d.sync += [
                    asked.eq(1),
                    dropped.eq(0),
                    axil.awvalid.eq(bus.we),
                    axil.wvalid.eq(bus.we),
                    axil.arvalid.eq(~bus.we),
                    axil.awaddr.eq(bus.adr),
                    axil.araddr.eq(bus.adr),
                    axil.wdata.eq(bus.dat_w),
                    axil.wstrb.eq(bus.sel),
                ]
        with m.Else():
            with m.If(~selected):
                m.d.sync += dropped.eq(1)
            with m.If(answered):
                m.d.sync += [
                    asked.eq(0),
                    bus.dat_r.eq(axil.rdata),
                    bus.ack.eq(selected & ~dropped & ok),
                    bus.err.eq(selected & ~dropped & ~ok),
                ]
        return m
