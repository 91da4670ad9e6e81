"""The requantiser against the formula of docs/specification.md, section 3, in Python integers."""

import json
import random
from pathlib import Path

import pytest
from amaranth.sim import Simulator

from arch.config import EngineConfig
from hw.requantise import Requantiser

VECTORS = json.loads((Path(__file__).parents[1] / "vectors" / "arithmetic.json").read_text())["requantise"]
LANES = 2
CONFIG = EngineConfig.preset("tiny", requantiser_lanes=LANES)


def signed_random(rng, bits):
    """A signed number of any magnitude up to ``bits`` bits, the ends included often."""
    high = (1 << rng.randint(1, bits) - 1) - 1
    return rng.choice((0, 1, -1, high, -high - 1, rng.randint(-high - 1, high), rng.randint(-high - 1, high)))


def random_beat(rng):
    """A beat whose sum stays within 48 bits."""
    return {
        "accumulators": [signed_random(rng, rng.choice((16, 24, 28))) for _ in range(LANES)],
        "multipliers": [signed_random(rng, 18) for _ in range(LANES)],
        "biases": [signed_random(rng, 46) for _ in range(LANES)],
        "residuals": [signed_random(rng, 8) for _ in range(LANES)],
        "residual_multiplier": signed_random(rng, 18),
        "shift": rng.choice((0, 1, 47, rng.randrange(48), rng.randrange(8, 30))),
        "clamp_low": rng.choice((-128, 0, signed_random(rng, 8))),
        "wide": rng.random() < .3,
    }


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


@pytest.mark.parametrize("seed", range(2))
def test_every_beat_after_the_fixed_latency(seed):
    rng = random.Random(seed)
    dut = Requantiser(CONFIG)
    beats = [random_beat(rng) for _ in range(1500)]
    expected = [model(beat) for beat in beats]
    seen = []

    async def testbench(ctx):
        for beat in beats + [random_beat(rng)] * Requantiser.LATENCY:
            ctx.set(dut.operands, beat)
            _, _, result = await ctx.tick().sample(dut.result)
            seen.append(([result.outputs[lane] for lane in range(LANES)], result.wide_output, result.saturated))

    simulator = Simulator(dut)
    simulator.add_clock(1e-6)
    simulator.add_testbench(testbench)
    simulator.run()
    for beat, (outputs, wide, saturated), result in zip(beats, expected, seen[Requantiser.LATENCY:], strict=True):
        assert result[0] == outputs and result[2] == saturated, beat
        if wide is not None:
            assert result[1] == wide, beat
    assert {127, -128} <= {output for outputs, _, _ in expected for output in outputs}
    assert {-(1 << 31), (1 << 31) - 1} <= {wide for _, wide, _ in expected}


def test_independent_vectors():
    """Every row of the vectors, in lane 0."""
    dut = Requantiser(CONFIG)
    seen = []

    async def testbench(ctx):
        for acc, m, r, m_res, b, s, low, wide, _ in VECTORS + VECTORS[:1] * Requantiser.LATENCY:
            ctx.set(dut.operands, {
                "accumulators": [acc, 0], "multipliers": [m, 0], "biases": [b, 0], "residuals": [r, 0],
                "residual_multiplier": m_res, "shift": s, "clamp_low": low, "wide": wide})
            _, _, result = await ctx.tick().sample(dut.result)
            seen.append((result.outputs[0], result.wide_output))

    simulator = Simulator(dut)
    simulator.add_clock(1e-6)
    simulator.add_testbench(testbench)
    simulator.run()
    for row, result in zip(VECTORS, seen[Requantiser.LATENCY:], strict=True):
        *_, wide, y = row
        assert result[wide] == y, row
