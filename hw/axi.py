"""The memory interface as an AXI4 manager, and the AXI signatures (AMBA AXI and ACE protocol, IHI 0022)."""

from amaranth import *
from amaranth.lib import data, enum, wiring
from amaranth.lib.wiring import In, Out

from arch.config import EngineConfig
from arch.depths import OUTSTANDING_BURSTS
from hw.memory import memory_port
from hw.queue import Queue, RegisterSlice

__all__ = ["Response", "axi4_port", "axi4_lite_port", "AxiMaster"]


class Response(enum.Enum, shape=2):
    """What BRESP and RRESP say (A3.4.4)."""

    OKAY = 0
    EXOKAY = 1
    SLVERR = 2
    DECERR = 3


INCR = 1
"""AxBURST: each beat follows the one before (A3.4.1)."""

NORMAL_NON_CACHEABLE = 0b0010
"""AxCACHE: not bufferable, so a write response comes from where the data end up, and whoever is told that a program is
done finds them there (A4.4)."""


def axi4_port(config: EngineConfig) -> wiring.Signature:
    """AXI4 as its manager sees it: 32-bit addresses, ``bus_bits`` of data, one ID."""
    address = {"id": Out(1), "addr": Out(32), "len": Out(8), "size": Out(3), "burst": Out(2), "cache": Out(4),
               "prot": Out(3), "valid": Out(1), "ready": In(1)}
    return wiring.Signature({
        **{f"aw{name}": member for name, member in address.items()},
        "wdata": Out(config.bus_bits), "wstrb": Out(config.bus_bytes), "wlast": Out(1), "wvalid": Out(1),
        "wready": In(1),
        "bid": In(1), "bresp": In(2), "bvalid": In(1), "bready": Out(1),
        **{f"ar{name}": member for name, member in address.items()},
        "rid": In(1), "rdata": In(config.bus_bits), "rresp": In(2), "rlast": In(1), "rvalid": In(1), "rready": Out(1),
    })


def axi4_lite_port(address_bits: int) -> wiring.Signature:
    """AXI4-Lite as its manager sees it: 32 bits of data."""
    return wiring.Signature({
        "awaddr": Out(address_bits), "awprot": Out(3), "awvalid": Out(1), "awready": In(1),
        "wdata": Out(32), "wstrb": Out(4), "wvalid": Out(1), "wready": In(1),
        "bresp": In(2), "bvalid": In(1), "bready": Out(1),
        "araddr": Out(address_bits), "arprot": Out(3), "arvalid": Out(1), "arready": In(1),
        "rdata": In(32), "rresp": In(2), "rvalid": In(1), "rready": Out(1),
    })


class AxiMaster(wiring.Component):
    """Adapts the engine's memory interface to AXI4.

    Operation: every burst request becomes one INCR burst of whole beats on AR or AW, all under one ID, so that
    everything comes back in order. Up to ``outstanding`` bursts each way are under way at a time. Write data wait for
    nothing but their request, so W neither waits for AW nor for B. A response that is not OKAY is reported
    with its beat (``read_error``) or its burst (``write_error``).

    While ``flush`` is high the engine is being reset: what it asks for is ignored and what it is shown means nothing.
    On the bus everything that was begun is completed: reads are taken and dropped, beats of write bursts still owed are
    sent with all strobes off, write responses are taken. ``idle`` says that nothing is left.

    Latency: one cycle in each direction of every channel, hence two for a read from request to data and
    two for a write from data to ``write_done``, besides the memory's own; write data are
    accepted from the second cycle after their request on. One beat per cycle each way, bursts back to back.

    Parameters
    ----------
    outstanding : int
        Bursts under way each way, from the engine's request until the cycle after the one in which the last beat, or
        the write response, reaches it.

    Members
    -------
    memory : In(memory_port)
    axi : Out(axi4_port)
        Requests are legal AXI if the engine's are: 1 to 256 whole, aligned beats inside a page of 4 KiB.
    """

    def __init__(self, config: EngineConfig, *, outstanding: int = OUTSTANDING_BURSTS):
        if outstanding < 1:
            raise ValueError(f"outstanding must be at least 1, not {outstanding!r}")
        self._config = config
        self._outstanding = outstanding
        super().__init__({
            #: From the engine.
            "memory": In(memory_port(config)),
            #: To the bus.
            "axi": Out(axi4_port(config)),
            #: Complete what was begun, without the engine.
            "flush": In(1),
            #: No burst is under way.
            "idle": Out(1),
        })

    def _requests(self, m: Module, channel: str, request, accept: Value) -> Value:
        """Puts burst requests on AR or AW while ``accept`` is high. Returns the strobe of an accepted one."""
        m.submodules[channel] = requests = RegisterSlice(data.StructLayout({"address": 32, "length": 8}))
        m.d.comb += [
            requests.enter.valid.eq(request.valid & accept),
            requests.enter.payload.address.eq(request.payload.address),
            requests.enter.payload.length.eq(request.payload.beats - 1),
            request.ready.eq(requests.enter.ready & accept),
        ]
        constant = {"id": 0, "size": self._config.bus_bytes.bit_length() - 1, "burst": INCR,
                    "cache": NORMAL_NON_CACHEABLE, "prot": 0}
        values = {**constant, "addr": requests.leave.payload.address, "len": requests.leave.payload.length,
                  "valid": requests.leave.valid}
        m.d.comb += [getattr(self.axi, channel + name).eq(value) for name, value in values.items()]
        m.d.comb += requests.leave.ready.eq(getattr(self.axi, f"{channel}ready"))
        return request.valid & request.ready

    def elaborate(self, platform):
        m = Module()
        axi, memory = self.axi, self.memory
        reads, writes = (Signal(range(self._outstanding + 1), name=name) for name in ("reads", "writes"))
        read_room, write_room = Signal(init=1), Signal(init=1)

        def count(bursts: Signal, room: Signal, opens: Value, closes: Value):
            """Counts ``bursts``, and whether there is ``room`` for another one. ``opens`` is known late."""
            rest = Signal.like(bursts)
            m.d.comb += rest.eq(bursts - closes)
            m.d.sync += [
                bursts.eq(Mux(opens, rest + 1, rest)),
                room.eq(Mux(opens, rest != self._outstanding - 1, rest != self._outstanding)),
            ]
        m.d.comb += self.idle.eq((reads == 0) & (writes == 0))

        # Reads.
        read_opens = self._requests(m, "ar", memory.read_request, read_room & ~self.flush)
        beat = data.StructLayout({"data": self._config.bus_bits, "error": 1, "last": 1})
        m.submodules.r = returned = RegisterSlice(beat)
        m.d.comb += [
            returned.enter.valid.eq(axi.rvalid),
            returned.enter.payload.data.eq(axi.rdata),
            returned.enter.payload.error.eq(axi.rresp != Response.OKAY),
            returned.enter.payload.last.eq(axi.rlast),
            axi.rready.eq(returned.enter.ready),
            memory.read_data.valid.eq(returned.leave.valid),
            memory.read_data.payload.eq(returned.leave.payload.data),
            memory.read_error.eq(returned.leave.payload.error),
            returned.leave.ready.eq(memory.read_data.ready | self.flush),
        ]
        read_closes = Signal()
        m.d.sync += read_closes.eq(returned.leave.valid & returned.leave.ready & returned.leave.payload.last)
        count(reads, read_room, read_opens, read_closes)

        # Write requests; the lengths of their bursts wait for the data.
        m.submodules.lengths = lengths = Queue(8, self._outstanding + 1)
        write_accept = write_room & lengths.enter.ready & ~self.flush
        write_opens = self._requests(m, "aw", memory.write_request, write_accept)
        m.d.comb += [
            lengths.enter.valid.eq(write_opens),
            lengths.enter.payload.eq(memory.write_request.payload.beats - 1),
        ]

        # Write data.
        beat = data.StructLayout({"data": self._config.bus_bits, "keep": 1, "last": 1})
        m.submodules.w = written = RegisterSlice(beat)
        sent = Signal(8)
        owed = lengths.leave.valid
        last = sent == lengths.leave.payload
        m.d.comb += [
            written.enter.valid.eq(owed & (memory.write_data.valid | self.flush)),
            written.enter.payload.data.eq(memory.write_data.payload),
            written.enter.payload.keep.eq(~self.flush),
            written.enter.payload.last.eq(last),
            memory.write_data.ready.eq(owed & written.enter.ready & ~self.flush),
            lengths.leave.ready.eq(written.enter.valid & written.enter.ready & last),
            axi.wvalid.eq(written.leave.valid),
            axi.wdata.eq(written.leave.payload.data),
            axi.wstrb.eq(written.leave.payload.keep.replicate(self._config.bus_bytes)),
            axi.wlast.eq(written.leave.payload.last),
            written.leave.ready.eq(axi.wready),
        ]
        with m.If(written.enter.valid & written.enter.ready):
            m.d.sync += sent.eq(Mux(last, 0, sent + 1))

        # Write responses.
        m.submodules.b = acknowledged = RegisterSlice(data.StructLayout({"error": 1}))
        m.d.comb += [
            acknowledged.enter.valid.eq(axi.bvalid),
            acknowledged.enter.payload.error.eq(axi.bresp != Response.OKAY),
            axi.bready.eq(acknowledged.enter.ready),
            memory.write_done.valid.eq(acknowledged.leave.valid),
            memory.write_error.eq(acknowledged.leave.payload.error),
            acknowledged.leave.ready.eq(memory.write_done.ready | self.flush),
        ]
        count(writes, write_room, write_opens, acknowledged.leave.valid & acknowledged.leave.ready)
        return m
