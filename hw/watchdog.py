"""The watchdog: ends what does not end by itself."""

from amaranth import *
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

__all__ = ["Watchdog"]


class Watchdog(wiring.Component):
    """Counts cycles without progress.

    Operation: after ``cycles`` consecutive cycles in which ``running`` was set and ``progress`` was not, ``expired`` is
    set for a cycle unless ``running`` is not any more; then the count begins again.

    Latency: two cycles from the last of them to ``expired``.
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
        still, counts, full = Signal(), Signal(), Signal()
        idle = Signal(range(self._cycles))
        m.d.comb += [counts.eq(self.running & still), full.eq(idle == self._cycles - 1)]
        m.d.sync += [
            still.eq(self.running & ~self.progress),
            idle.eq(Mux(counts & ~full, idle + 1, 0)),
            self.expired.eq(counts & full),
        ]
        return m
