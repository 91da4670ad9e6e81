"""Words dealt to the lanes that ask, and the sums and comparisons behind it."""

import random

import pytest
from amaranth import Cat, Module, Signal
from amaranth.sim import Simulator

from hw.bits import above, add, count_ones, exceeds
from hw.deal import Dealer


def settled(design, check):
    """Runs ``check``, a testbench of a design without registers."""
    simulator = Simulator(design)
    simulator.add_testbench(check)
    simulator.run()


@pytest.mark.parametrize("lanes, words", [(4, 1), (4, 4), (8, 2), (32, 8)])
def test_the_lowest_lanes_that_ask_get_the_words_in_order(lanes, words):
    design = Dealer(lanes, words, 8)
    rng = random.Random(lanes + words)

    async def check(ctx):
        for _ in range(25):
            few = rng.random()
            asking = [number for number in range(lanes) if rng.random() < few]
            available, offered = rng.randint(0, words), [rng.randrange(256) for _ in range(words)]
            ctx.set(design.asking, sum(1 << number for number in asking))
            ctx.set(design.available, available)
            ctx.set(design.words, offered)
            served = asking[:available]
            assert ctx.get(design.take) == len(served)
            assert ctx.get(design.served) == sum(1 << number for number in served)
            assert [ctx.get(design.dealt[number]) for number in served] == offered[:len(served)]

    settled(design, check)


def test_sums_and_comparisons():
    m = Module()
    left, right = Signal(3), Signal(3)
    results = [Signal(16, name=f"result_{index}") for index in range(6)]
    seven = [*left, *right, left[0] & right[0]]
    values = above(left, 5), above(left, 12), exceeds(left, right), add(left, right, 4), add(left, right, 2)
    m.d.comb += [result.eq(value) for result, value in zip(results, (*values, count_ones(seven)))]

    async def check(ctx):
        for a in range(8):
            for b in range(8):
                ctx.set(Cat(left, right), a | b << 3)
                ones = a.bit_count() + b.bit_count() + (a & b & 1)
                assert [ctx.get(result) for result in results] == [
                    (1 << min(a, 5)) - 1, (1 << a) - 1, a > b, a + b, (a + b) & 3, ones]

    settled(m, check)
