"""A stream queue."""

from amaranth import *
from amaranth.lib import fifo, stream, wiring
from amaranth.lib.wiring import In, Out

__all__ = ["Queue"]


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
