"""Words dealt to the lanes that ask, and the sums and comparisons behind it."""

import dataclasses
import random

import pytest
from amaranth import Cat, Module, Signal
from amaranth.sim import Simulator

from arch.config import EngineConfig
from hw.bits import above, add, count_ones, exceeds
from hw.deal import Dealer
from tests.hw.weight_path import simulate

TINY = EngineConfig.preset("tiny")


def settled(design, check):
    """Runs ``check``, a testbench of a design without registers."""
    simulator = Simulator(design)
    simulator.add_testbench(check)
    simulator.run()


@pytest.mark.parametrize("together", (False, True))
@pytest.mark.parametrize("step_cycles", (1, 2))
@pytest.mark.parametrize("lanes, refill, build", [(4, 1, 1), (4, 4, 1), (8, 2, 1), (16, 8, 2)])
def test_words_are_dealt_in_the_order_of_requests(together, step_cycles, lanes, refill, build):
    """Rows come when they like, some words at the end are not stored; going back deals the same words again. Lanes that
    ask ``together`` may ask for a second word before the first one has come."""
    config = dataclasses.replace(TINY, lanes=lanes, refill_words=refill, build_columns=build, bus_bits=128 if refill > 4
                                 else 64, step_cycles=step_cycles)
    design = Dealer(config)
    rng = random.Random(lanes + refill + step_cycles)
    stored = 40 * lanes + rng.randrange(refill)
    words = [rng.getrandbits(16) for _ in range(stored)]

    async def check(ctx):
        wanted = [[] for _ in range(config.decoder_lanes)]  # numbers of words lanes have asked for, and since when
        row = following = cycle = waits = 0
        saved = None
        while following < stored + 3 * config.decoder_lanes:
            first = row * refill
            drained = first >= stored
            valid = not drained and rng.random() < .7
            ctx.set(design.valid, valid)
            ctx.set(design.drained, drained)
            ctx.set(design.past_end, sum((first + slot >= stored) << slot for slot in range(refill)))
            ctx.set(design.words, [words[first + slot] if first + slot < stored else 0 for slot in range(refill)])
            idle = not any(wanted)
            if together:
                may = all(len(open_) < 2 for open_ in wanted) and rng.random() < .4
                asks = range(config.decoder_lanes) if may else []
            else:
                asks = [lane for lane, open_ in enumerate(wanted) if not open_ and rng.random() < .3]
            # Nothing new while it is waited for a place to save.
            saving = saved is None and following > 10 * lanes
            restoring = saved is not None and saved[0] is not None and following > saved[0] + 5 * lanes
            asks = [] if saving or restoring else asks
            ctx.set(design.request, sum(1 << lane for lane in asks))
            ctx.set(design.save, saving and not ctx.get(design.pending))
            ctx.set(design.restore, restoring)
            served, take = ctx.get(design.served), ctx.get(design.take)
            ready = {lane: open_[0] for lane, open_ in enumerate(wanted) if open_
                     and open_[0][1] <= cycle and (drained or valid and open_[0][0] < first + refill)}
            assert served == sum(1 << lane for lane in ready)
            for lane, (number, _) in ready.items():
                assert number >= first or drained
                dealt = ctx.get(design.dealt[lane])
                assert dealt >> 16 == (number >= stored)
                assert number >= stored or dealt & 0xffff == words[number]
                wanted[lane].pop(0)
            assert idle or ctx.get(design.pending)
            if ctx.get(design.save):
                saved = following, row
            for lane in asks:
                wanted[lane].append((following, cycle + step_cycles))
                following += 1
            row += take
            await ctx.tick()
            cycle += 1
            if restoring:
                wanted = [[] for _ in range(config.decoder_lanes)]
                (following, row), saved = saved, (None, None)
            waits = 0 if ready else waits + 1
            assert waits < 50
        assert saved == (None, None)

    simulate(design, [check], [], 4000)


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
