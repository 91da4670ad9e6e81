"""A serial line's transmitter."""

from amaranth import *
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

__all__ = ["BAUD", "UartTransmitter"]

BAUD = 115_200
"""Bits in a second."""

WORST_ERROR = .02
"""Of the rate: a receiver that samples in the middle of the tenth bit can be off by half of one."""


class UartTransmitter(wiring.Component):
    """Sends bytes with one start bit, 8 data bits (lowest first), no parity, one stop bit.

    Operation: the line is high between bytes. A byte is taken when the one before it has left.

    Latency: a byte's start bit begins in the cycle after it is taken and a byte lasts 10 bits of
    ``round(clock_hz / baud)`` cycles.
    """

    def __init__(self, clock_hz: int, baud: int = BAUD):
        self._cycles = max(round(clock_hz / baud), 1)
        if abs(clock_hz / self._cycles / baud - 1) > WORST_ERROR:
            raise ValueError(f"clock_hz must be a multiple of {baud} within {WORST_ERROR:.0%}, not {clock_hz!r}")
        super().__init__({
            "bytes": In(stream.Signature(8)),
            #: The line.
            "line": Out(1, init=1),
        })

    def elaborate(self, platform):
        m = Module()
        frame = Signal(9, init=0x1FF)
        bits = Signal(range(11))
        cycle = Signal(range(self._cycles))
        m.d.comb += self.bytes.ready.eq(bits == 0)
        with m.If(self.bytes.ready):
            with m.If(self.bytes.valid):
                m.d.sync += [self.line.eq(0), frame.eq(Cat(self.bytes.payload, 1)), bits.eq(10)]
        with m.Elif(cycle == self._cycles - 1):
            m.d.sync += [cycle.eq(0), Cat(self.line, frame).eq(Cat(frame, 1)), bits.eq(bits - 1)]
        with m.Else():
            m.d.sync += cycle.eq(cycle + 1)
        return m
