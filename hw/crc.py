"""CRC-32 over beats of the memory interface (zlib's: IEEE 802.3; docs/specification.md, section 5)."""

import zlib

from amaranth import *
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

__all__ = ["CRC_BITS", "INITIAL", "Crc32", "StreamCrc", "advance", "residue"]

CRC_BITS = 32
"""Width of the checksum and of the register that computes it."""

INITIAL = (1 << CRC_BITS) - 1
"""The register before the first byte. The checksum is the complement of the register after the last one."""


def advance(state: int, octets: bytes) -> int:
    """The register after ``octets``, from ``state``. Linear over GF(2) in both together."""
    return zlib.crc32(octets, state ^ INITIAL) ^ INITIAL


def residue(zeros: int = 0) -> int:
    """The register after any content, its checksum (little-endian) and ``zeros`` zero bytes."""
    checksum = zlib.crc32(b"").to_bytes(CRC_BITS // 8, "little")
    return advance(INITIAL, checksum + bytes(zeros))


class Crc32(wiring.Component):
    """The CRC-32 register from one beat to the next, lowest byte first. Latency: none.

    Parameters
    ----------
    bits : int
        Width of a beat: a multiple of 8, at least 32.
    """

    def __init__(self, bits: int):
        if bits < CRC_BITS or bits % 8:
            raise ValueError(f"bits must be a multiple of 8 and at least {CRC_BITS}, not {bits!r}")
        self._bits = bits
        super().__init__({
            #: The register before the beat.
            "state": In(CRC_BITS),
            "beat": In(bits),
            #: The register after it.
            "next": Out(CRC_BITS),
        })

    def elaborate(self, platform):
        m = Module()
        # What each bit of the beat contributes; the register enters like the beat's first four bytes.
        columns = [advance(0, (1 << bit).to_bytes(self._bits // 8, "little")) for bit in range(self._bits)]
        mixed = Signal(self._bits)
        m.d.comb += [
            mixed.eq(self.beat ^ self.state),
            self.next.eq(Cat(Cat(mixed[bit] for bit, column in enumerate(columns) if column >> row & 1).xor()
                             for row in range(CRC_BITS))),
        ]
        return m


class StreamCrc(wiring.Component):
    """CRC-32 registers of several streams whose beats come one at a time.

    Operation: ``state`` is the register of the stream of the last valid beat. The others are put away until their
    stream goes on.

    Latency: ``state`` follows its beat by ``latency.CRC`` cycles: what the beat and what the register before it
    contribute to the next one are exclusive or'ed, so each has a :class:`Crc32` and a cycle of its own.
    """

    def __init__(self, bits: int, streams: int):
        if streams < 2:
            raise ValueError(f"streams must be at least 2, not {streams!r}")
        self._bits = bits
        self._streams = streams
        super().__init__({
            #: There is a beat.
            "valid": In(1),
            #: Whose it is.
            "stream": In(range(streams)),
            #: It is the first one under its checksum.
            "first": In(1),
            "beat": In(bits),
            #: The register after the last beat.
            "state": Out(CRC_BITS),
        })

    def elaborate(self, platform):
        m = Module()
        m.submodules.of_beat = of_beat = Crc32(self._bits)
        m.submodules.of_state = of_state = Crc32(self._bits)
        contribution = Signal(CRC_BITS)
        # `same`: the beat before is of the same stream.
        valid, first, same, stream = Signal(), Signal(), Signal(), Signal.like(self.stream)
        last = Signal.like(self.stream)
        away = Array(Signal(CRC_BITS, name=f"away_{stream}") for stream in range(self._streams))
        m.d.comb += [
            of_beat.beat.eq(self.beat),
            of_state.state.eq(Mux(first, INITIAL, Mux(same, self.state, away[stream]))),
        ]
        m.d.sync += valid.eq(self.valid)
        # Each `next` is used in one place only: a simulator then works it out for valid beats and no others.
        with m.If(self.valid):
            m.d.sync += [contribution.eq(of_beat.next), first.eq(self.first), stream.eq(self.stream),
                         same.eq(self.stream == Mux(valid, stream, last))]
        with m.If(valid):
            m.d.sync += [self.state.eq(contribution ^ of_state.next), last.eq(stream)]
        with m.If(valid & ~same):
            m.d.sync += away[last].eq(self.state)
        return m
