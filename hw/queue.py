"""Stream queues."""

from amaranth import *
from amaranth.lib import fifo, stream, wiring
from amaranth.lib.wiring import In, Out

__all__ = ["Queue", "RegisterSlice"]


class Queue(wiring.Component):
    """Holds up to ``depth`` payloads, first in first out. Latency: one cycle through an empty queue."""

    def __init__(self, payload, depth: int):
        self._depth = depth
        super().__init__({
            #: Where payloads enter.
            "enter": In(stream.Signature(payload)),
            #: Where they leave.
            "leave": Out(stream.Signature(payload)),
        })

    def elaborate(self, platform):
        m = Module()
        width = Value.cast(self.enter.payload).shape().width
        m.submodules.fifo = queue = fifo.SyncFIFOBuffered(width=width, depth=self._depth)
        m.d.comb += [
            queue.w_data.eq(self.enter.payload),
            queue.w_en.eq(self.enter.valid),
            self.enter.ready.eq(queue.w_rdy),
            Value.cast(self.leave.payload).eq(queue.r_data),
            self.leave.valid.eq(queue.r_rdy),
            queue.r_en.eq(self.leave.ready),
        ]
        return m


class RegisterSlice(wiring.Component):
    """Cuts every combinational path of a stream: payload, valid and ready all come from registers.

    Operation: a payload that arrives while the last one waits to be taken goes into a spare register.

    Latency: one cycle; one payload per cycle.
    """

    def __init__(self, payload):
        super().__init__({
            #: Where payloads enter.
            "enter": In(stream.Signature(payload)),
            #: Where they leave.
            "leave": Out(stream.Signature(payload)),
        })

    def elaborate(self, platform):
        m = Module()
        spare = Signal.like(self.enter.payload)
        spare_valid = Signal()
        m.d.comb += self.enter.ready.eq(~spare_valid)
        with m.If(~self.leave.valid | self.leave.ready):
            m.d.sync += [
                self.leave.valid.eq(self.enter.valid | spare_valid),
                self.leave.payload.eq(Mux(spare_valid, spare, self.enter.payload)),
                spare_valid.eq(0),
            ]
        with m.Elif(self.enter.valid):
            m.d.sync += spare_valid.eq(1)
        # `spare` follows what enters whether it has to wait or not, which is known late.
        with m.If(self.enter.valid & ~spare_valid):
            m.d.sync += spare.eq(self.enter.payload)
        return m
