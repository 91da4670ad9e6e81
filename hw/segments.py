"""Checked segments: content passes, checksums stay (docs/specification.md, section 5)."""

from amaranth import *
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from arch import latency
from arch.config import SEGMENT_BYTES, EngineConfig
from hw.crc import CRC_BITS, residue
from hw.memory import POSITION_BITS, read_beat

__all__ = ["SEGMENT_BITS", "SegmentChecker"]

SEGMENT_BITS = 16
"""Width of a segment's number within its stream."""


class SegmentChecker(wiring.Component):
    """Takes the checksum beats out of a stream of segments and says which segments are wrong.

    Operation: the last beat of every ``SEGMENT_BYTES`` bytes, and the last one of every read command, is a checksum: it
    is taken at once. All others pass; a read command has some. Content passes before its checksum is known: an error
    comes behind what it is about. The beats themselves go to a :class:`~hw.crc.StreamCrc`, whose register comes back.

    Latency: none for beats; an error follows its checksum beat by ``latency.CRC`` cycles.
    """

    def __init__(self, config: EngineConfig):
        self._config = config
        super().__init__({
            #: From the arbiter.
            "beats": In(stream.Signature(read_beat(config))),
            #: Without checksums.
            "content": Out(stream.Signature(config.bus_bits)),
            #: The next beat is the first of its segment.
            "first": Out(1),
            #: The CRC register after the last beat.
            "crc": In(CRC_BITS),
            #: One cycle: it is known whether a segment is wrong.
            "known": Out(1),
            #: With ``known``: it is.
            "error": Out(1),
            #: With ``known``: the descriptor it was read for, and its number there.
            "position": Out(POSITION_BITS),
            "segment": Out(SEGMENT_BITS),
        })

    def elaborate(self, platform):
        m = Module()
        segment_beats = SEGMENT_BYTES // self._config.bus_bytes
        index, number = Signal(range(segment_beats)), Signal(SEGMENT_BITS)
        beat = self.beats.payload
        full, checksum, taken = Signal(), Signal(), Signal()
        checked = Signal(latency.CRC)
        m.d.comb += [
            checksum.eq(full | beat.last),
            self.content.payload.eq(beat.data),
            self.content.valid.eq(self.beats.valid & ~checksum),
            self.beats.ready.eq(self.content.ready | checksum),
            taken.eq(self.beats.valid & self.beats.ready),
            self.first.eq(index == 0),
            # Behind the four bytes of the checksum, its beat is zero.
            self.known.eq(checked[-1]),
            self.error.eq(self.known & (self.crc != residue(self._config.bus_bytes - CRC_BITS // 8))),
        ]
        m.d.sync += checked.eq(Cat(taken & checksum, checked))
        with m.If(taken):
            m.d.sync += [index.eq(index + 1), full.eq(index == segment_beats - 2)]
            with m.If(checksum):
                m.d.sync += [
                    index.eq(0),
                    full.eq(0),
                    number.eq(Mux(beat.last, 0, number + 1)),
                    self.position.eq(beat.position),
                    self.segment.eq(number),
                ]
        return m
