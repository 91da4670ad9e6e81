"""The watchdog: ends what does not end by itself."""

from amaranth import *
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

__all__ = ["Watchdog"]


class Watchdog(wiring.Component):
    """Counts cycles without progress.

    Operation: ``expired`` is set in the last of ``cycles`` consecutive cycles in which ``running`` was set and
    ``progress`` was not; then the count begins again.
    """

    def __init__(self, cycles: int):
        if cycles < 1:
            raise ValueError(f"cycles must be at least 1, not {cycles!r}")
        self._cycles = cycles
        super().__init__({
            #: There is something to watch.
            "running": In(1),
            #: It moves.
            "progress": In(1),
            #: It has not moved for too long.
            "expired": Out(1),
        })

    def elaborate(self, platform):
        m = Module()
        idle = Signal(range(self._cycles))
        m.d.comb += self.expired.eq(self.running & ~self.progress & (idle == self._cycles - 1))
        m.d.sync += idle.eq(Mux(self.running & ~self.progress & ~self.expired, idle + 1, 0))
        return m
