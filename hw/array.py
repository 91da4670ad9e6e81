"""The array: columns side by side, and the one control pipeline that they share."""

from amaranth import *
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from arch import latency
from arch.config import EngineConfig
from hw.column import Column
from hw.planes import encode_planes
from hw.weights import weight_write

__all__ = ["Array", "beat_layout"]


def beat_layout(config: EngineConfig) -> data.StructLayout:
    """One pixel of one pass: a run of activations, the weights to multiply it with and the sum to add it to."""
    return data.StructLayout({
        "valid": 1,
        "activations": data.ArrayLayout(signed(8), config.lanes),
        "slot": range(config.weight_slots),
        "first": 1,
        "half": 1,
        "address": range(config.partial_sums),
    })


class Array(wiring.Component):
    """``columns`` columns that take the same beats.

    Operation: a beat multiplies its activations by the weights of ``slot`` in every column and accumulates the dot
    products at (``half``, ``address``); with ``first`` the sums start at that beat. Beats with the same (half, address)
    are at least ``latency.ACCUMULATE`` cycles apart. A half is drained only while no beat for it is on its way.

    Latency: a row written in a cycle is used by beats from the second one after it on. A beat's sums can be asked for
    ``depth`` cycles later; ``sums`` follow their drain request by one cycle.

    Parameters
    ----------
    emit : bool
        Instantiate the separately emitted module ``topcoat_column`` instead of elaborating every column again: for
        Verilog, where the columns are one module.
    """

    def __init__(self, config: EngineConfig, *, emit: bool = False):
        self._config = config
        self._emit = emit
        super().__init__({
            #: Rows from the weight builder.
            "write": In(weight_write(config)),
            #: Work from the pass sequencer.
            "beat": In(beat_layout(config)),
            #: Partial sums to read.
            "drain_half": In(1),
            "drain_address": In(range(config.partial_sums)),
            #: The partial sums asked for in the cycle before, one per column.
            "sums": Out(data.ArrayLayout(signed(config.accumulator_bits), config.columns)),
        })

    @property
    def depth(self) -> int:
        """:func:`arch.latency.array_depth` of this array."""
        return latency.array_depth(self._config)

    def _column(self, m: Module, index: int, inputs: dict) -> Value:
        """Adds column ``index`` and returns its sum."""
        if not self._emit:
            m.submodules[f"column_{index}"] = column = Column(self._config)
            m.d.comb += [Value.cast(getattr(column, name)).eq(value) for name, value in inputs.items()]
            return column.sum
        result = Signal(signed(self._config.accumulator_bits), name=f"sum_{index}")
        m.submodules[f"column_{index}"] = Instance(
            "topcoat_column", i_clk=ClockSignal(), i_rst=ResetSignal(), o_sum=result,
            **{f"i_{name}": value for name, value in inputs.items()})
        return result

    def elaborate(self, platform):
        m = Module()
        config = self._config
        stages = Column.tree_stages(config)

        # Entry d belongs to the beat of d cycles ago.
        fields = {"valid": 1, "first": 1, "half": 1, "address": range(config.partial_sums)}
        control = [Signal(data.StructLayout(fields), name=f"control_{cycle}") for cycle in range(stages + 2)]
        m.d.comb += [control[0][field].eq(self.beat[field]) for field in fields]
        m.d.sync += [later.eq(earlier) for earlier, later in zip(control, control[1:])]
        reading, adding = control[stages - 1], control[stages + 1]

        read_addresses = Signal(2 * len(self.drain_address))
        store_valid = Signal(2)
        drain_half = Signal()
        m.d.comb += [
            # The half that beats accumulate in is never the one being drained: the drain gets the other.
            read_addresses.eq(Cat(Mux(reading.valid & (reading.half == half), reading.address, self.drain_address)
                                  for half in range(2))),
            store_valid.eq(Cat(adding.valid & (adding.half == half) for half in range(2))),
        ]
        goes_on = Signal(2)
        m.d.sync += [
            drain_half.eq(self.drain_half),
            goes_on.eq(Cat(~reading.first & (reading.half == half) for half in range(2))),
        ]
        encoded = [encode_planes(config, row) if config.lane == "planes" else row.as_value()
                   for row in self.write.rows]
        rows = [Signal(len(row), name=f"row_{index}", reset_less=True) for index, row in enumerate(encoded)]
        with m.If(self.write.valid):
            m.d.sync += [register.eq(row) for register, row in zip(rows, encoded)]
        for index in range(config.columns):
            group, row = divmod(index, config.build_columns)
            m.d.comb += self.sums[index].eq(self._column(m, index, {
                "row_comes": self.write.valid & (self.write.group == group),
                "row_slot": self.write.slot,
                "row": rows[row],
                "activations": Value.cast(self.beat.activations),
                "slot": self.beat.slot,
                "read_addresses": read_addresses,
                "goes_on": goes_on,
                "store_valid": store_valid,
                "store_address": adding.address,
                "drain_half": drain_half,
            }))
        return m
