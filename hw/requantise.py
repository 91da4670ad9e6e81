"""The requantiser: R lanes of the fixed-point formula that turns a partial sum into an activation."""

from amaranth import *
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from arch import latency
from arch.config import BIAS_BITS, MULTIPLIER_BITS, EngineConfig
from arch.descriptor import FIELDS
from hw.bits import above

__all__ = ["ACCUMULATOR_BITS", "Requantiser", "rounding"]

ACCUMULATOR_BITS = 32
"""Width of the values that enter: partial sums, and the sums of an average pool, which may be wider."""

_LOW_BITS = 17
"""The multiplication is split here, so that each part fits an 18 x 18 multiplier block."""


def rounding(shift: Value) -> Value:
    """What is added before a shift to the right, so that it rounds: 2 ** (shift - 1), or 0 for shift 0."""
    return (Const(1) << shift)[1:]


class Requantiser(wiring.Component):
    """R lanes of ``clamp((accumulator * multiplier + residual * residual_multiplier + bias + round_up) >> shift)``.

    Operation: a beat may enter every cycle and never stalls; its result leaves ``LATENCY`` cycles later and stays until
    the next one. The sum is kept in 48 bits, which whoever packs the model has checked to be enough. Source:
    docs/specification.md, "Arithmetic".

    Latency: ``LATENCY`` cycles, one beat per cycle.

    Members
    -------
    See the comments on the ports. Lanes are ports of their own: a vector of them all would be rebuilt in every cycle of
    a simulation.
    """

    LATENCY = latency.REQUANTISE

    def __init__(self, config: EngineConfig):
        self._config = config
        lanes = config.requantiser_lanes
        super().__init__({
            #: A beat enters in this cycle: everything its result depends on.
            "valid": In(1),
            "accumulators": In(signed(ACCUMULATOR_BITS)).array(lanes),
            "multipliers": In(signed(MULTIPLIER_BITS)).array(lanes),
            "biases": In(signed(BIAS_BITS)).array(lanes),
            "residuals": In(signed(8)).array(lanes),
            "residual_multiplier": In(signed(MULTIPLIER_BITS)),
            "shift": In(FIELDS["shift"].bits),
            #: :func:`rounding` of the shift: all lanes add it at once.
            "round_up": In(BIAS_BITS),
            "clamp_low": In(signed(8)),
            "wide": In(1),
            #: The result of ``LATENCY`` cycles later: each lane clamped to [clamp_low, 127].
            "outputs": Out(signed(8)).array(lanes),
            #: Lane 0 clamped to signed 32 bits.
            "wide_output": Out(signed(32)),
            #: Lanes that exceeded 127 before the clamp; none in a wide beat.
            "saturated": Out(lanes),
        })

    def elaborate(self, platform):
        m = Module()
        # What a beat brings along for its later stages. A stage stands still without a beat.
        side = data.StructLayout({name: getattr(self, name).shape() for name in ("shift", "clamp_low", "wide")})
        sides = [Signal(side, name=f"side_{stage}", reset_less=True) for stage in range(1, self.LATENCY)]
        valids = [self.valid, *(Signal(name=f"valid_{stage}") for stage in range(1, self.LATENCY))]
        m.d.sync += [later.eq(earlier) for earlier, later in zip(valids, valids[1:])]
        with m.If(valids[0]):
            m.d.sync += [sides[0][name].eq(getattr(self, name)) for name in side.members]
        for valid, earlier, later in zip(valids[1:], sides, sides[1:]):
            with m.If(valid):
                m.d.sync += later.eq(earlier)

        # Bits that are copies of the sign in a sum whose shifted value fits a byte; known with the sum.
        beyond = Signal(BIAS_BITS, reset_less=True)
        with m.If(valids[2]):
            m.d.sync += beyond.eq(Cat(Const(0, 7), ~above(sides[1].shift, BIAS_BITS - 7)))

        for lane in range(self._config.requantiser_lanes):
            # Cycle 1: products, and the bias with the rounding constant.
            accumulator, multiplier = self.accumulators[lane], self.multipliers[lane]
            high = Signal(signed(ACCUMULATOR_BITS - _LOW_BITS + MULTIPLIER_BITS), name=f"high_{lane}", reset_less=True)
            low = Signal(signed(_LOW_BITS + 1 + MULTIPLIER_BITS), name=f"low_{lane}", reset_less=True)
            residual = Signal(signed(8 + MULTIPLIER_BITS), name=f"residual_{lane}", reset_less=True)
            bias = Signal(signed(BIAS_BITS), name=f"bias_{lane}", reset_less=True)
            with m.If(valids[0]):
                m.d.sync += [
                    high.eq(accumulator[_LOW_BITS:].as_signed() * multiplier),
                    low.eq(accumulator[:_LOW_BITS] * multiplier),
                    residual.eq(self.residuals[lane] * self.residual_multiplier),
                    bias.eq(self.biases[lane] + self.round_up),
                ]
            # Cycles 2 and 3: the sum.
            product = Signal(signed(BIAS_BITS), name=f"product_{lane}", reset_less=True)
            addend = Signal(signed(BIAS_BITS), name=f"addend_{lane}", reset_less=True)
            total = Signal(signed(BIAS_BITS), name=f"total_{lane}", reset_less=True)
            with m.If(valids[1]):
                m.d.sync += [product.eq(Cat(Const(0, _LOW_BITS), high).as_signed() + low), addend.eq(bias + residual)]
            with m.If(valids[2]):
                m.d.sync += total.eq(product + addend)
            # Cycle 4: the shift, of which lanes keep what can leave, and whether the rest is its sign. By the widest
            # distance first: that leaves the fewest bits to move.
            kept = len(self.wide_output) if lane == 0 else 8
            value = total
            for power in reversed(range(len(self.shift))):
                moved = Signal(signed(kept - 1 + (1 << power)), name=f"moved_{lane}_{power}")
                m.d.comb += moved.eq(Mux(sides[2].shift[power], value >> (1 << power), value))
                value = moved
            shifted = Signal(signed(kept), name=f"shifted_{lane}", reset_less=True)
            sign = Signal(name=f"sign_{lane}", reset_less=True)
            fits = Signal(name=f"fits_{lane}", reset_less=True)
            # A value fits n bits if all bits from n - 1 on equal its sign.
            differs = total.as_unsigned() ^ total[-1].replicate(BIAS_BITS)
            with m.If(valids[3]):
                m.d.sync += [shifted.eq(value), sign.eq(total[-1]), fits.eq(~(differs & beyond).any())]

            # Cycle 5: the clamp.
            low_byte, clamp_low = shifted[:8].as_signed(), sides[3].clamp_low
            with m.If(valids[4]):
                m.d.sync += [
                    self.outputs[lane].eq(Mux(Mux(fits, low_byte < clamp_low, sign), clamp_low,
                                              Mux(fits, low_byte, 127))),
                    self.saturated[lane].eq(~fits & ~sign & ~sides[3].wide),
                ]
            if lane == 0:
                fits_wide = Signal(reset_less=True)
                with m.If(valids[3]):
                    m.d.sync += fits_wide.eq(~(differs & (beyond << kept - 8)).any())
                with m.If(valids[4]):
                    m.d.sync += self.wide_output.eq(Mux(fits_wide, shifted, Cat(~sign.replicate(kept - 1), sign)))
        return m
