"""The random stream: Threefry2x32 (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", 2011), pipelined."""

from amaranth import *
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from arch.config import STREAM_BLOCK

__all__ = ["BlockRequest", "RandomStream"]

ROTATIONS = (13, 15, 26, 6, 17, 29, 16, 24)
"""Left rotations of the rounds, repeating."""

PARITY = 0x1BD11BDA
"""The third key word is the exclusive or of this and the other two."""

ROUNDS_PER_INJECTION = 4
"""The key is added after every so many rounds."""

#: A block of signs: its number within the stream, and the stream's id.
BlockRequest = data.StructLayout({"block": 32, "stream": 32})


class RandomStream(wiring.Component):
    """64 signs of the random stream per cycle.

    Operation: every request is answered, in order, by its block of signs; a set bit means -1. One register per round,
    key injections folded into the round before, and one register for the initial injection. The pipeline stalls as a
    whole while ``signs`` is not taken.

    Latency: ``latency`` cycles (rounds + 1) from an accepted request to its signs; one block per cycle.

    Members
    -------
    seed : In(64)
        Key word 0 in the low half. Static from the first request until the last block is taken.
    request : In(stream of BlockRequest)
    signs : Out(stream of 64 bits)
    """

    def __init__(self, rounds: int = 13):
        if rounds not in (13, 20):
            raise ValueError(f"rounds must be 13 or 20, not {rounds!r}")
        self._rounds = rounds
        self.latency = rounds + 1
        super().__init__({
            #: Seed of the model.
            "seed": In(64),
            #: Which block.
            "request": In(stream.Signature(BlockRequest)),
            #: The block's signs.
            "signs": Out(stream.Signature(STREAM_BLOCK)),
        })

    def elaborate(self, platform):
        m = Module()
        advance = Signal()
        m.d.comb += [
            advance.eq(~self.signs.valid | self.signs.ready),
            self.request.ready.eq(advance),
        ]

        # The seed is static, so registers between it and the rounds add no latency and keep it off the rounds' paths.
        key = [self.seed[:32], self.seed[32:], Signal(32, name="parity_key")]
        m.d.sync += key[2].eq(key[0] ^ key[1] ^ PARITY)

        left, right, valid = Signal(32), Signal(32), Signal()
        with m.If(advance):
            m.d.sync += [
                left.eq(self.request.payload.block + key[0]),
                right.eq(self.request.payload.stream + key[1]),
                valid.eq(self.request.valid),
            ]
        for done in range(self._rounds):
            total, mixed = Signal(32, name=f"total_{done}"), Signal(32, name=f"mixed_{done}")
            m.d.comb += [
                total.eq(left + right),
                mixed.eq(right.rotate_left(ROTATIONS[done % len(ROTATIONS)]) ^ total),
            ]
            injection, rest = divmod(done + 1, ROUNDS_PER_INJECTION)
            if rest == 0:
                numbered = Signal(32, name=f"numbered_key_{injection}")
                m.d.sync += numbered.eq(key[(injection + 1) % 3] + injection)
                total, mixed = total + key[injection % 3], mixed + numbered
            previous = valid
            left, right = (Signal(32, name=f"{side}_{done + 1}", reset_less=True) for side in ("left", "right"))
            valid = Signal(name=f"valid_{done + 1}")
            with m.If(advance):
                m.d.sync += [left.eq(total), right.eq(mixed), valid.eq(previous)]

        m.d.comb += [
            self.signs.payload.eq(Cat(left, right)),
            self.signs.valid.eq(valid),
        ]
        return m
