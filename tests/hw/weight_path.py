"""Drivers for the tests of the weight path: random stalls on streams, and the mask buffer wired to the decoder."""

import random
from functools import partial

from amaranth import Module
from amaranth.lib import wiring
from amaranth.sim import Simulator

from hw.decoder import CoatDecoder, connect_masks
from hw.masks import MaskBuffer

CODES = {"raw": 0, "unary": 1, "stored": 2, "ans": 3}


class MaskedDecoder(wiring.Component):
    """A coat decoder on a mask buffer."""

    def __init__(self, config):
        self.masks, self.decoder = MaskBuffer(config), CoatDecoder(config)
        super().__init__({})

    def elaborate(self, platform):
        m = Module()
        m.submodules.masks = masks = self.masks
        m.submodules.decoder = decoder = self.decoder
        connect_masks(m, masks, decoder)
        return m


async def send(ctx, stream, payloads, rng=None, busy=.6):
    """Offers ``payloads`` in order, with random gaps if ``rng`` is given."""
    for payload in payloads:
        while rng and rng.random() > busy:
            await ctx.tick()
        ctx.set(stream.payload, payload)
        ctx.set(stream.valid, 1)
        await ctx.tick().until(stream.ready)
        ctx.set(stream.valid, 0)


async def receive(ctx, stream, count, rng=None, busy=.6):
    """Takes ``count`` payloads, with random gaps if ``rng`` is given."""
    taken = []
    while len(taken) < count:
        ctx.set(stream.ready, rng is None or rng.random() < busy)
        _, _, valid, ready, payload = await ctx.tick().sample(stream.valid, stream.ready, stream.payload)
        if valid and ready:
            taken.append(payload)
    ctx.set(stream.ready, 0)
    return taken


def simulate(design, checks, drivers, limit):
    """Runs until every testbench of ``checks`` has ended, ``drivers`` beside them, and fails after ``limit`` cycles."""
    simulator = Simulator(design)
    simulator.add_clock(1e-6)
    open_checks = len(checks)

    async def counted(ctx, check):
        nonlocal open_checks
        await check(ctx)
        open_checks -= 1

    async def watchdog(ctx):
        for _ in range(limit):
            if not open_checks:
                return
            await ctx.tick()
        raise AssertionError(f"{open_checks} checks still wait after {limit} cycles")

    async def background(ctx, driver):
        await driver(ctx)

    for check in checks:
        simulator.add_testbench(partial(counted, check=check), background=True)
    for driver in drivers:
        simulator.add_testbench(partial(background, driver=driver), background=True)
    simulator.add_testbench(watchdog)
    simulator.run()
    assert not open_checks


def random_values(rng: random.Random, code: str, size: int, count: int) -> list[int]:
    """Coat indices with every value likely enough, or stored weights within their symmetric range."""
    if code == "stored":
        limit = (1 << size - 1) - 1
        return [rng.randint(-limit, limit) for _ in range(count)]
    return [min(size, int(rng.expovariate(1))) if rng.random() < .8 else rng.randint(0, size) for _ in range(count)]
