"""The requantiser: R lanes of the fixed-point formula that turns a partial sum into an activation."""

from amaranth import *
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from arch.config import BIAS_BITS, MULTIPLIER_BITS, EngineConfig
from arch.descriptor import FIELDS

__all__ = ["ACCUMULATOR_BITS", "Requantiser", "requantiser_operands", "requantiser_result"]

ACCUMULATOR_BITS = 32
"""Width of the values that enter: partial sums, and the sums of an average pool, which may be wider."""

_LOW_BITS = 17
"""The multiplication is split here, so that each part fits an 18 x 18 multiplier block."""


def requantiser_operands(config: EngineConfig) -> data.StructLayout:
    """One beat into the requantiser: everything its result depends on."""
    lanes = config.requantiser_lanes
    return data.StructLayout({
        "accumulators": data.ArrayLayout(signed(ACCUMULATOR_BITS), lanes),
        "multipliers": data.ArrayLayout(signed(MULTIPLIER_BITS), lanes),
        "biases": data.ArrayLayout(signed(BIAS_BITS), lanes),
        "residuals": data.ArrayLayout(signed(8), lanes),
        "residual_multiplier": signed(MULTIPLIER_BITS),
        "shift": FIELDS["shift"].bits,
        "clamp_low": signed(8),
        "wide": 1,
    })


def requantiser_result(config: EngineConfig) -> data.StructLayout:
    """One beat out of the requantiser."""
    lanes = config.requantiser_lanes
    return data.StructLayout({
        #: Each lane clamped to [clamp_low, 127].
        "outputs": data.ArrayLayout(signed(8), lanes),
        #: Lane 0 clamped to signed 32 bits.
        "wide_output": signed(32),
        #: Lanes that exceeded 127 before the clamp; none in a wide beat.
        "saturated": lanes,
    })


class Requantiser(wiring.Component):
    """R lanes of ``clamp((accumulator * multiplier + residual * residual_multiplier + bias + half) >> shift)``.

    Operation: a beat enters every cycle and never stalls; its result leaves ``LATENCY`` cycles later. ``half`` is
    ``2 ** (shift - 1)``, or 0 for shift 0. The sum is kept in 48 bits, which whoever packs the model has checked to
    be enough. Source: docs/specification.md, "Arithmetic".

    Latency: ``LATENCY`` cycles, one beat per cycle.

    Members
    -------
    operands : In(requantiser_operands)
    result : Out(requantiser_result)
    """

    LATENCY = 5

    def __init__(self, config: EngineConfig):
        self._config = config
        super().__init__({
            #: The beat that enters in this cycle.
            "operands": In(requantiser_operands(config)),
            #: What the beat of ``LATENCY`` cycles ago became.
            "result": Out(requantiser_result(config)),
        })

    def elaborate(self, platform):
        m = Module()
        operands = self.operands

        # What a beat brings along for its later stages.
        side = data.StructLayout({name: operands[name].shape() for name in ("shift", "clamp_low", "wide")})
        sides = [Signal(side, name=f"side_{stage}", reset_less=True) for stage in range(1, self.LATENCY)]
        m.d.sync += [sides[0][name].eq(operands[name]) for name in side.members]
        m.d.sync += [later.eq(earlier) for earlier, later in zip(sides, sides[1:])]

        half = Signal(BIAS_BITS)
        m.d.comb += half.eq((Const(1) << operands.shift)[1:])

        for lane in range(self._config.requantiser_lanes):
            # Cycle 1: products, and the bias with the rounding constant.
            accumulator, multiplier = operands.accumulators[lane], operands.multipliers[lane]
            high = Signal(signed(ACCUMULATOR_BITS - _LOW_BITS + MULTIPLIER_BITS), name=f"high_{lane}", reset_less=True)
            low = Signal(signed(_LOW_BITS + 1 + MULTIPLIER_BITS), name=f"low_{lane}", reset_less=True)
            residual = Signal(signed(8 + MULTIPLIER_BITS), name=f"residual_{lane}", reset_less=True)
            bias = Signal(signed(BIAS_BITS), name=f"bias_{lane}", reset_less=True)
            m.d.sync += [
                high.eq(accumulator[_LOW_BITS:].as_signed() * multiplier),
                low.eq(accumulator[:_LOW_BITS] * multiplier),
                residual.eq(operands.residuals[lane] * operands.residual_multiplier),
                bias.eq(operands.biases[lane] + half),
            ]
            # Cycles 2 and 3: the sum.
            product = Signal(signed(BIAS_BITS), name=f"product_{lane}", reset_less=True)
            addend = Signal(signed(BIAS_BITS), name=f"addend_{lane}", reset_less=True)
            total = Signal(signed(BIAS_BITS), name=f"total_{lane}", reset_less=True)
            m.d.sync += [
                product.eq((high << _LOW_BITS) + low),
                addend.eq(bias + residual),
                total.eq(product + addend),
            ]
            # Cycle 4: the shift.
            shifted = Signal(signed(BIAS_BITS), name=f"shifted_{lane}", reset_less=True)
            m.d.sync += shifted.eq(total >> sides[2].shift)

            # Cycle 5: the clamp. A value fits n bits if all bits from n - 1 on equal its sign.
            sign, low_byte, clamp_low = shifted[-1], shifted[:8].as_signed(), sides[3].clamp_low
            fits = Signal(name=f"fits_{lane}")
            m.d.comb += fits.eq(shifted[7:] == sign.replicate(BIAS_BITS - 7))
            with m.If(Mux(fits, low_byte < clamp_low, sign)):
                m.d.sync += self.result.outputs[lane].eq(clamp_low)
            with m.Else():
                m.d.sync += self.result.outputs[lane].eq(Mux(fits, low_byte, 127))
            m.d.sync += self.result.saturated[lane].eq(~fits & ~sign & ~sides[3].wide)
            if lane == 0:
                fits_wide = shifted[31:] == sign.replicate(BIAS_BITS - 31)
                m.d.sync += self.result.wide_output.eq(
                    Mux(fits_wide, shifted[:32], Cat(~sign.replicate(31), sign)))
        return m
