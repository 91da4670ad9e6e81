"""The scale table: from coat indices and signs to weights as the array wants them."""

from amaranth import *
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from arch.config import MAX_COATS, EngineConfig
from hw.bits import above
from hw.lane import symbol_bits

__all__ = ["ScaleTable", "encode_weight", "table_layout"]

ENTRY_BITS = 8
"""Width of a table entry in a descriptor: entry M is signed byte M of ``table_low`` and ``table_high``."""


def table_layout(config: EngineConfig) -> data.ArrayLayout:
    """A layer's scale table in the array's encoding (:func:`hw.weights.weight_row`)."""
    return data.ArrayLayout(config.weight_bits, MAX_COATS + 1)


def encode_weight(config: EngineConfig, value: Value) -> Value:
    """A two's complement number within the weight range, in the array's encoding."""
    if config.weight_bits == ENTRY_BITS:
        return value
    negative = value[-1]
    magnitude = Mux(negative, -value, value)[:config.weight_bits - 1]
    return Cat(magnitude, negative & magnitude.any())


class ScaleTable(wiring.Component):
    """Weights of one row.

    Operation: lane l's weight is ``table[symbols[l]]``, negated if bit l of ``signs`` is set; with ``stored`` it is
    ``symbols[l]`` itself; it is zero for l >= ``lanes``.

    Latency: none (combinational).
    """

    def __init__(self, config: EngineConfig):
        self._config = config
        super().__init__({
            #: The layer's table.
            "table": In(table_layout(config)),
            #: Symbols are weights already.
            "stored": In(1),
            #: Lanes within the run.
            "lanes": In(range(config.lanes + 1)),
            #: Coat indices, or weights in two's complement.
            "symbols": In(data.ArrayLayout(symbol_bits(config), config.lanes)),
            #: Set bits negate.
            "signs": In(config.lanes),
            #: The weights, encoded.
            "weights": Out(data.ArrayLayout(config.weight_bits, config.lanes)),
        })

    def elaborate(self, platform):
        m = Module()
        bits = self._config.weight_bits
        present = above(self.lanes, self._config.lanes)
        for lane in range(self._config.lanes):
            symbol, sign = self.symbols[lane], self.signs[lane]
            entry, signed_entry = Signal(bits, name=f"entry_{lane}"), Signal(bits, name=f"signed_entry_{lane}")
            m.d.comb += entry.eq(self.table.as_value().word_select(symbol[:MAX_COATS.bit_length()], bits))
            if bits == ENTRY_BITS:
                m.d.comb += signed_entry.eq(Mux(sign, -entry, entry))
            else:
                magnitude = entry[:-1]
                m.d.comb += signed_entry.eq(Cat(magnitude, (entry[-1] ^ sign) & magnitude.any()))
            with m.If(present[lane]):
                m.d.comb += self.weights[lane].eq(Mux(self.stored, encode_weight(self._config, symbol), signed_entry))
        return m
