"""The lanes of docs/lane.md that no engine has: their dot products, a row and a run of activations per cycle."""

import random

import pytest
from amaranth.sim import Simulator

from reports import lane_variants
from reports.area.cost import Cost
from reports.lane_variants import CONFIGS, VARIANTS, VariantColumns, main

ROWS, FLUSH = 40, 40


def sums(config, variant, runs):
    """What comes out, cycle by cycle, if ``runs`` of (activations, weights by column) go in."""
    dut = VariantColumns(config, variant, 2)
    lane_bits = variant.row_bits(config) // config.lanes
    seen = []

    def lane(word, width, number):
        return word & (1 << width) - 1 << width * number

    async def drive(ctx):
        words = [(sum(value % 256 << 8 * number for number, value in enumerate(activations)),
                  [variant.encode(config, weights[start:start + variant.columns])
                   for start in range(0, 2, variant.columns)]) for activations, weights in runs]
        words += [(0, [variant.encode(config, [[0] * config.lanes] * variant.columns)] * len(dut.rows))] * FLUSH
        for cycle, (activations, rows) in enumerate(words):
            if variant.skewed:
                # Lane n is n cycles behind.
                sources = [words[max(cycle - number, 0)] for number in range(config.lanes)]
                activations = sum(lane(source[0], 8, number) for number, source in enumerate(sources))
                rows = [sum(lane(source[1][row], lane_bits, number) for number, source in enumerate(sources))
                        for row in range(len(rows))]
            ctx.set(dut.activations.as_value(), activations)
            ctx.set(dut.rows, rows)
            seen.append([ctx.get(dut.sums[column]) for column in range(2)])
            await ctx.tick()

    simulator = Simulator(dut)
    simulator.add_clock(1e-6)
    simulator.add_testbench(drive)
    simulator.run()
    return seen


@pytest.mark.parametrize("name, bits", [(name, bits) for name, variant in VARIANTS.items()
                                        for bits in variant.weight_bits])
def test_dot_products(name, bits):
    rng = random.Random(name)
    config, variant = CONFIGS[bits], VARIANTS[name]
    limit, lanes = config.weight_limit, config.lanes
    runs = [([activation] * lanes, [[weight] * lanes, [-weight] * lanes])
            for activation in (-128, 127, -1) for weight in (-limit, limit, 1, 0)]
    runs += [([rng.randint(-128, 127) for _ in range(lanes)],
              [[rng.randint(-limit, limit) for _ in range(lanes)] for _ in range(2)]) for _ in range(ROWS)]
    expected = [[sum(a * w for a, w in zip(activations, column)) for column in weights]
                for activations, weights in runs]
    seen = sums(config, variant, runs)
    assert any(seen[delay:delay + len(runs)] == expected for delay in range(FLUSH)), seen


def test_what_columns_share_is_counted_once_for_all_of_them(monkeypatch, capsys):
    """10 LUTs a column and 256 beside them, of 256 lanes."""
    monkeypatch.setattr(lane_variants, "_synthesised",
                        lambda config, variant, count, *_: (Cost(luts=160 * count + 256, flip_flops=32 * count), count))
    assert main(["ecp5", "--yosys", "true"]) == 0
    header, _, first, *rows = capsys.readouterr().out.splitlines()
    assert first == "| 2 | planes, signs relative within 1 | 10.0 | 1.0 | 2.0 | 13.0 | 2.0 | 0.1 |"
    assert len(rows) == sum(len(variant.weight_bits) for variant in VARIANTS.values() if "ecp5" in variant.targets) - 1


def test_what_rounds_to_nothing_has_no_sign(monkeypatch, capsys):
    monkeypatch.setattr(lane_variants, "_synthesised",
                        lambda config, variant, count, *_: (Cost(luts=160 * count - 1, flip_flops=32 * count), count))
    assert main(["ecp5", "--yosys", "true"]) == 0
    assert capsys.readouterr().out.splitlines()[2].startswith("| 2 | planes, signs relative within 1 | 10.0 | 0.0 |")


def test_a_yosys_that_is_missing_is_one_line(capsys):
    assert main(["xc7", "--yosys", "/no/such/yosys"]) == 1
    assert "error: no Yosys found" in capsys.readouterr().err
