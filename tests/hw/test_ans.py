"""The builder of `ans` tables: every entry of random tables, when it builds none, and what it leaves alone."""

import random

import pytest
from amaranth.sim import Simulator

from hw.ans import AnsTable
from tests.hw.mask_stream import Table


def random_table(rng):
    """Frequencies of 2 to 8 symbols from flat to steep, zeros among them, and an offset."""
    steepness = rng.choice((1, 1, 4, 12))
    cuts = sorted(max(1, int(1024 * rng.random() ** steepness)) for _ in range(rng.randint(1, 7)))
    frequencies = [after - before for before, after in zip([0, *cuts], [*cuts, 1024])]
    rng.shuffle(frequencies)
    return Table(tuple(frequencies), rng.randrange(16))


EXTREME = [
    Table((1024,)),
    Table((1024, 0, 0, 0), 15),
    Table((1, 1023)),
    Table((1023, 1), 7),
    Table((0, 1, 1023), 9),
    Table((0, 0, 0, 0, 0, 0, 1, 1023), 3),
    Table((1, 1, 1, 1, 1, 1, 1, 1017), 8),
    Table((1017, 1, 1, 1, 1, 1, 1, 1), 1),
    Table((128,) * 8, 12),
]


def build(tables, rng=None):
    """Hands ``tables`` to a builder one after another; with ``rng`` there are pauses before and behind each.

    Returns, for each, the cycles it took, the content of its bank when it began and the longest symbol said; checks
    that nothing is written into a bank in use.
    """
    design = AnsTable()
    simulator = Simulator(design)
    simulator.add_clock(1e-6)
    content = [[None] * 1024, [None] * 1024]
    begun = False
    results = []

    async def watch(ctx):
        async for _, _, write, bank in ctx.tick().sample(design.write, design.bank):
            if write.valid:
                where, state = divmod(write.address, 1024)
                assert where != bank or not begun
                content[where][state] = write.entry.symbol, write.entry.bits, write.entry.base

    async def drive(ctx):
        nonlocal begun
        for table in tables:
            while rng and rng.random() < .5:
                await ctx.tick()
            frequencies = [*table.frequencies[1:], *[0] * 7][:7]
            ctx.set(design.frequencies, frequencies)
            ctx.set(design.offset, table.offset)
            ctx.set(design.waiting, 1)
            cycles = 0
            while not ctx.get(design.ready):
                await ctx.tick()
                cycles += 1
                assert cycles <= AnsTable.build_cycles
            while rng and rng.random() < .5:
                await ctx.tick()
                assert ctx.get(design.ready)
            longest = ctx.get(design.longest)
            ctx.set(design.start, 1)
            await ctx.tick()
            ctx.set(design.start, 0)
            ctx.set(design.waiting, 0)
            begun = True
            results.append((cycles, list(content[ctx.get(design.bank)]), longest))

    simulator.add_testbench(watch, background=True)
    simulator.add_testbench(drive)
    simulator.run()
    return results


def check(table, result):
    _, content, longest = result
    assert content == table.entries
    assert longest == max(bits for _, bits, _ in table.entries)


@pytest.mark.parametrize("number", range(len(EXTREME)))
def test_extreme_tables(number):
    table = EXTREME[number]
    result, = build([table])
    check(table, result)
    assert result[0] == AnsTable.build_cycles


def test_random_tables():
    rng = random.Random(5)
    tables = [random_table(rng) for _ in range(24)]
    for table, result in zip(tables, build(tables, rng)):
        check(table, result)


def test_tables_of_both_banks_are_used_again():
    rng = random.Random(6)
    first, second, third = (random_table(rng) for _ in range(3))
    moved = Table(first.frequencies, first.offset ^ 1)
    #        builds both; neither; third replaces second, which replaces first, which is not the moved one
    order = [first, first, second, second, first, second, first, third, first, second, first, moved]
    builds = [True, False, True, False, False, False, False, True, False, True, False, True]
    results = build(order, rng)
    assert [cycles > 2 for cycles, _, _ in results] == builds
    assert {cycles for cycles, _, _ in results} == {2, AnsTable.build_cycles}
    for table, result in zip(order, results):
        check(table, result)
