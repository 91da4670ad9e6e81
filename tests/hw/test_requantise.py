"""The requantiser against the formula of docs/specification.md, section 3, in Python integers."""

import json
import random
from pathlib import Path

import pytest
from amaranth.sim import Simulator

from arch.config import EngineConfig
from hw.requantise import Requantiser

VECTORS = json.loads((Path(__file__).parents[1] / "vectors" / "arithmetic.json").read_text())["requantise"]
LANES = 8
CONFIG = EngineConfig.preset("tiny", columns=LANES, lanes=LANES, requantiser_lanes=LANES)


def signed_random(rng, bits):
    """A signed number of any magnitude up to ``bits`` bits, the ends included often."""
    high = (1 << rng.randint(1, bits) - 1) - 1
    return rng.choice((0, 1, -1, high, -high - 1, rng.randint(-high - 1, high), rng.randint(-high - 1, high)))


def random_beat(rng):
    """A beat whose sum stays within 48 bits."""
    return {
        "valid": 1,
        "accumulators": [signed_random(rng, rng.choice((16, 24, 28))) for _ in range(LANES)],
        "multipliers": [signed_random(rng, 18) for _ in range(LANES)],
        "biases": [signed_random(rng, 46) for _ in range(LANES)],
        "residuals": [signed_random(rng, 8) for _ in range(LANES)],
        "residual_multiplier": signed_random(rng, 18),
        "shift": rng.choice((0, 1, 47, rng.randrange(48), rng.randrange(8, 30))),
        "clamp_low": rng.choice((-128, 0, signed_random(rng, 8))),
        "wide": rng.random() < .3,
    }


def enter(ctx, dut, beat):
    """Puts a beat at the ports; a list may be for the first lanes only."""
    ctx.set(dut.round_up, 1 << beat["shift"] >> 1)
    for name, value in beat.items():
        if isinstance(value, list):
            for port, lane in zip(getattr(dut, name), value):
                ctx.set(port, lane)
        else:
            ctx.set(getattr(dut, name), value)


def model(beat):
    """(outputs, wide output or None, saturated lanes as a bit mask) of one beat."""
    outputs, wide, saturated = [], None, 0
    for lane in range(LANES):
        total = (beat["accumulators"][lane] * beat["multipliers"][lane] + beat["biases"][lane]
                 + beat["residuals"][lane] * beat["residual_multiplier"])
        if beat["shift"]:
            total += 1 << beat["shift"] - 1
        assert -(1 << 47) <= total < 1 << 47
        value = total >> beat["shift"]
        outputs.append(min(max(value, beat["clamp_low"]), 127))
        saturated |= (value > 127 and not beat["wide"]) << lane
        if lane == 0 and beat["wide"]:
            wide = min(max(value, -(1 << 31)), (1 << 31) - 1)
    return outputs, wide, saturated


@pytest.mark.parametrize("gaps", [0, .5])
def test_every_beat_after_the_fixed_latency(gaps):
    """Without a beat the result stays, whatever is at the operands."""
    rng = random.Random(gaps)
    dut = Requantiser(CONFIG)
    beats = [random_beat(rng) | {"valid": rng.random() >= gaps} for _ in range(1000)]
    expected, seen = [], []

    async def testbench(ctx):
        for beat in beats + [random_beat(rng)] * Requantiser.LATENCY:
            enter(ctx, dut, beat)
            _, _, *outputs, wide, saturated = await ctx.tick().sample(*dut.outputs, dut.wide_output, dut.saturated)
            seen.append((outputs, wide, saturated))

    for beat in beats:
        expected.append(model(beat) if beat["valid"] else expected[-1] if expected else None)
    simulator = Simulator(dut)
    simulator.add_clock(1e-6)
    simulator.add_testbench(testbench)
    simulator.run()
    for beat, want, result in zip(beats, expected, seen[Requantiser.LATENCY:], strict=True):
        if want is None:
            continue
        outputs, wide, saturated = want
        assert result[0] == outputs and result[2] == saturated, beat
        if wide is not None:
            assert result[1] == wide, beat
    reached = [want for want in expected if want is not None]
    assert {127, -128} <= {output for outputs, _, _ in reached for output in outputs}
    assert {-(1 << 31), (1 << 31) - 1} <= {wide for _, wide, _ in reached}


def test_independent_vectors():
    """Every row of the vectors, in lane 0."""
    dut = Requantiser(CONFIG)
    seen = []

    async def testbench(ctx):
        for acc, m, r, m_res, b, s, low, wide, _ in VECTORS + VECTORS[:1] * Requantiser.LATENCY:
            enter(ctx, dut, {
                "valid": 1, "accumulators": [acc], "multipliers": [m], "biases": [b], "residuals": [r],
                "residual_multiplier": m_res, "shift": s, "clamp_low": low, "wide": wide})
            _, _, output, wide = await ctx.tick().sample(dut.outputs[0], dut.wide_output)
            seen.append((output, wide))

    simulator = Simulator(dut)
    simulator.add_clock(1e-6)
    simulator.add_testbench(testbench)
    simulator.run()
    for row, result in zip(VECTORS, seen[Requantiser.LATENCY:], strict=True):
        *_, wide, y = row
        assert result[wide] == y, row
