"""A memory of flip-flops: what a bit of one costs in standard cells."""

from amaranth import *
from amaranth.lib import wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

__all__ = ["REGISTER_FILE_BITS", "RegisterFile"]

REGISTER_FILE_BITS = 32
"""Width of a word."""


class RegisterFile(wiring.Component):
    """A memory built from flip-flops: one write port, one asynchronous read port.

    Operation: a word written is seen from the next cycle on.

    Latency: none for reads.

    Parameters
    ----------
    depth : int
        Words.
    """

    def __init__(self, depth: int):
        self._depth = depth
        super().__init__({
            #: Store a word.
            "write": In(1),
            "write_address": In(range(depth)),
            "write_data": In(REGISTER_FILE_BITS),
            #: The word to see.
            "read_address": In(range(depth)),
            "read_data": Out(REGISTER_FILE_BITS),
        })

    def elaborate(self, platform):
        m = Module()
        m.submodules.words = words = Memory(shape=REGISTER_FILE_BITS, depth=self._depth, init=[])
        write, read = words.write_port(), words.read_port(domain="comb")
        m.d.comb += [
            write.en.eq(self.write),
            write.addr.eq(self.write_address),
            write.data.eq(self.write_data),
            read.addr.eq(self.read_address),
            self.read_data.eq(read.data),
        ]
        return m
