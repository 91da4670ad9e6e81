"""Signals get the names that the source gives them."""

from amaranth import *
from amaranth.lib import wiring
from amaranth.lib.wiring import Out

from hw.signal_names import name_signals


class Several(wiring.Component):
    out: Out(8)

    def elaborate(self, platform):
        m = Module()
        first, second, third = Signal(), Signal(2), Signal(3)
        wide, narrow = (
            Signal(7),
            Signal(1),
        )
        row = [Signal(4) for _ in range(3)]
        self.left, self.right = Signal(5), Signal(6)
        driven, _idle = Signal(8), Signal(8)
        self.signals = {"first": first, "second": second, "third": third, "wide": wide, "narrow": narrow,
                        "left": self.left, "right": self.right, **{f"row_{i}": one for i, one in enumerate(row)}}
        # Not in the order in which they were made.
        for signal in reversed(self.signals.values()):
            m.d.sync += signal.eq(signal + 1)
        m.d.comb += self.out.eq(driven)
        m.d.sync += driven.eq(driven + 1)
        self.driven = driven
        return m


def test_signals_are_named_after_their_variables():
    component = Several()
    name_signals(Fragment.get(component, None))
    for name, signal in component.signals.items():
        assert signal.name == name
    # It may be either of its line.
    assert component.driven.name == "$signal"
