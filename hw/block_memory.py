"""On-chip memory behind the engine's memory interface, for programs that are small enough."""

from amaranth import *
from amaranth.lib import memory, stream, wiring
from amaranth.lib.wiring import In, Out

from arch.config import EngineConfig
from hw.memory import burst_request, memory_port

__all__ = ["BlockMemory", "beats"]


def beats(config: EngineConfig, content: bytes) -> list[int]:
    """``content`` as a memory's words. Raises ValueError if it is not one or more whole beats."""
    size = config.bus_bytes
    if not content or len(content) % size:
        raise ValueError(f"content must be one or more beats of {size} bytes, not {len(content)} bytes")
    return [int.from_bytes(content[first:first + size], "little") for first in range(0, len(content), size)]


class _Beats(wiring.Component):
    """The beats of burst requests, one by one. Latency: one cycle; no gap between bursts."""

    def __init__(self, config: EngineConfig):
        self._config = config
        super().__init__({
            "request": In(stream.Signature(burst_request(config))),
            #: There is a beat.
            "valid": Out(1),
            #: It is served in this cycle.
            "take": In(1),
            #: Its number in the memory.
            "number": Out(32),
            #: It is the last one of its burst.
            "last": Out(1),
        })

    def elaborate(self, platform):
        m = Module()
        request, left = self.request.payload, Signal.like(self.request.payload.beats)
        m.d.comb += [
            self.valid.eq(left != 0),
            self.last.eq(left == 1),
            self.request.ready.eq(~self.valid | (self.take & self.last)),
        ]
        with m.If(self.request.ready):
            m.d.sync += [
                self.number.eq(request.address >> self._config.bus_bytes.bit_length() - 1),
                left.eq(Mux(self.request.valid, request.beats, 0)),
            ]
        with m.Elif(self.take):
            m.d.sync += [self.number.eq(self.number + 1), left.eq(left - 1)]
        return m


class BlockMemory(wiring.Component):
    """A memory from address 0 that holds ``content`` from the beginning: block RAM on FPGAs.

    Operation: bursts are served in order, reads beside writes. Beats beyond the memory's end are read with an error,
    and not written, which their burst's ``write_error`` says.

    Latency: a read's first beat comes two cycles after its request, the others without a gap, also between bursts.
    Write data are taken from the cycle after their request on; ``write_done`` follows a burst's last beat by a cycle. A
    request is accepted with the last beat of the one before.

    Parameters
    ----------
    content : bytes
        Whole beats; their number is the memory's depth.

    Members
    -------
    memory : In(memory_port)
    """

    def __init__(self, config: EngineConfig, content: bytes):
        self._config = config
        self._words = beats(config, content)
        super().__init__({
            #: The interface's other end.
            "memory": In(memory_port(config)),
        })

    def elaborate(self, platform):
        m = Module()
        port, depth = self.memory, len(self._words)
        m.submodules.words = words = memory.Memory(shape=self._config.bus_bits, depth=depth, init=self._words)
        read, write = words.read_port(), words.write_port()

        m.submodules.reads = reads = _Beats(self._config)
        wiring.connect(m, wiring.flipped(port.read_request), reads.request)
        m.d.comb += [
            reads.take.eq(~port.read_data.valid | port.read_data.ready),
            read.addr.eq(reads.number),
            read.en.eq(reads.take),
            port.read_data.payload.eq(read.data),
        ]
        with m.If(reads.take):
            m.d.sync += [port.read_data.valid.eq(reads.valid), port.read_error.eq(reads.number >= depth)]

        m.submodules.writes = writes = _Beats(self._config)
        wiring.connect(m, wiring.flipped(port.write_request), writes.request)
        outside = Signal()
        told = ~port.write_done.valid | port.write_done.ready
        m.d.comb += [
            port.write_data.ready.eq(writes.valid & (told | ~writes.last)),
            writes.take.eq(port.write_data.valid & port.write_data.ready),
            outside.eq(writes.number >= depth),
            write.addr.eq(writes.number),
            write.data.eq(port.write_data.payload),
            write.en.eq(writes.take & ~outside),
        ]
        lost = Signal()
        with m.If(writes.take):
            m.d.sync += lost.eq(~writes.last & (lost | outside))
        with m.If(told):
            m.d.sync += [port.write_done.valid.eq(writes.take & writes.last), port.write_error.eq(lost | outside)]
        return m
