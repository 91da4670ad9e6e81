"""The mask buffer alone: words in order, virtual words, layers, rewinding and the ring's limits."""

import dataclasses
import random

import pytest

from arch.config import EngineConfig
from hw.masks import MaskBuffer
from tests.hw.mask_stream import pack
from tests.hw.weight_path import send, simulate

TINY = EngineConfig.preset("tiny")
CONFIGS = {
    "tiny": dataclasses.replace(TINY, mask_bytes=256),
    "whole beats": dataclasses.replace(TINY, mask_bytes=256, refill_words=4),
    "single words": dataclasses.replace(TINY, mask_bytes=256, refill_words=1),
    "wide": dataclasses.replace(TINY, mask_bytes=4096, bus_bits=128, refill_words=8),
}


class Reader:
    """Takes rows as a decoder would and compares each with the layer's list. ``position`` is the row's first word, and
    that of the next beat when no word is left."""

    def __init__(self, ctx, design, config, rng):
        self.ctx, self.design, self.config, self.rng = ctx, design, config, rng
        self.words, self.position, self.saved = [], 0, None

    async def cycle(self, take=None, **strobes):
        """One cycle: checks the row on offer and takes it, or not, at random."""
        ctx, design, refill = self.ctx, self.design, self.config.refill_words
        valid, drained = ctx.get(design.valid), ctx.get(design.drained)
        assert drained == (self.position >= len(self.words))
        assert ctx.get(design.past_end) == sum(
            (self.position + number >= len(self.words)) << number for number in range(refill))
        if valid:
            row = self.words[self.position:self.position + refill]
            assert [ctx.get(design.words[number]) for number in range(len(row))] == row and row
        taken = valid and (self.rng.random() < .5 if take is None else take)
        ctx.set(design.take, taken)
        for name, value in strobes.items():
            ctx.set(getattr(design, name), value)
        await ctx.tick()
        for name in strobes:
            ctx.set(getattr(design, name), 0)
        ctx.set(design.take, 0)
        if strobes.get("restore"):
            self.position = self.saved
        else:
            if strobes.get("save"):
                self.saved = self.position
            self.position += refill * taken

    async def read_to(self, position):
        while self.position < min(position, len(self.words)):
            await self.cycle(None if self.rng.random() < .5 else 1)

    async def layer(self, words, keep=0, reuse=0):
        while self.rng.random() < .3:
            await self.ctx.tick()
        await send(self.ctx, self.design.command,
                   [{"mask_words": len(words), "mask_keep": keep, "mask_reuse": reuse}])
        self.words, self.position = words, 0


def run(config, lengths, check, seed, busy=.7, limit=20_000):
    """Runs ``check(reader, layers)`` on a buffer that is fed layers of ``lengths`` words."""
    rng = random.Random(seed)
    design = MaskBuffer(config)
    layers = [[rng.getrandbits(16) for _ in range(length)] for length in lengths]
    beats = [beat for words in layers for beat in pack(words, config.bus_bits)]

    async def checked(ctx):
        await check(Reader(ctx, design, config, rng), layers)

    simulate(design, [checked], [lambda ctx: send(ctx, design.beats, beats, random.Random(seed), busy)], limit)


@pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS)
@pytest.mark.parametrize("seed", range(2))
def test_layers_in_order(config, seed):
    async def check(reader, layers):
        for words in layers:
            await reader.layer(words)
            await reader.read_to(len(words) + reader.rng.randint(0, 9))
            await reader.cycle(0, finish=1)

    run(config, [1, 2, 5, 300, 4, 0, 37, 64, 150, 8], check, seed)


@pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS)
@pytest.mark.parametrize("seed", range(3))
def test_rewinding(config, seed):
    async def check(reader, layers):
        rng = reader.rng
        for words in layers:
            await reader.layer(words)
            while reader.position < len(words):
                await reader.cycle(0, save=1)
                rewinds = rng.randint(1, 3)
                # The saved part, with the beats that it begins and ends in, must fit the ring.
                end = reader.saved + rng.randint(1, 100)
                for rewind in range(rewinds):
                    await reader.read_to(min(end, reader.saved + rng.randint(1, 100)))
                    await reader.cycle(restore=1, release=rewind == rewinds - 1)
                await reader.read_to(end)
            await reader.cycle(0, finish=1)

    run(config, [3, 260, 90, 41], check, seed)


@pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS)
def test_rewinding_to_the_end_of_a_layer(config):
    """All words are taken when the place is saved, as in a layer that fits its lanes."""
    async def check(reader, layers):
        for delay, words in enumerate(layers):
            await reader.layer(words)
            await reader.read_to(len(words))
            for _ in range(delay):
                await reader.cycle(0)
            await reader.cycle(0, save=1)
            for rewind in range(2):
                await reader.cycle()
                await reader.cycle(restore=1, release=rewind)
            await reader.cycle(0, finish=1)

    run(config, [15, 14, 13, 16, 5], check, seed=4)


@pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS)
def test_words_left_over_are_dropped(config):
    async def check(reader, layers):
        for words, end in zip(layers, (10, 0, 299, 5)):
            await reader.layer(words)
            await reader.read_to(max(0, end - 20))
            await reader.cycle(0, save=1)  # never released: the layer's end does it
            await reader.read_to(end)
            await reader.cycle(0, finish=1)

    run(config, [400, 7, 300, 5], check, seed=1)


def test_space_is_kept_for_the_saved_part():
    config = CONFIGS["tiny"]

    async def check(reader, layers):
        ctx, design = reader.ctx, reader.design
        await reader.layer(layers[0])
        await reader.read_to(6)
        await reader.cycle(0, save=1)
        await reader.read_to(100)
        for _ in range(50):
            await ctx.tick()
        assert ctx.get(design.space) == 0, "everything from the saved word on is kept"
        await reader.cycle(0, restore=1, release=1)
        await reader.read_to(len(layers[0]))
        await ctx.tick().repeat(2)
        assert ctx.get(design.space) == config.mask_bytes // config.bus_bytes

    run(config, [400], check, seed=2)


def test_one_row_per_cycle():
    config = EngineConfig.preset("edge")
    cycles = 0

    async def check(reader, layers):
        nonlocal cycles
        for _ in range(220):
            await reader.ctx.tick()
        await reader.layer(layers[0])
        assert reader.ctx.get(reader.design.valid), "the layer's beats are there"
        while reader.position < 800:
            await reader.cycle(1)
            cycles += 1

    run(config, [800], check, seed=3, busy=1)
    assert cycles == 200


@pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS)
@pytest.mark.parametrize("seed", range(4))
def test_kept_layers(config, seed):
    """Some layers are used again, up to four times in all, with column tiles rewound inside; the largest fill the
    ring."""
    words_per_beat = config.bus_bits // 16
    ring = config.mask_bytes // 2
    rng = random.Random(seed)
    uses = [1, 4, 2, 1, 3, 2, 4]
    lengths = [rng.choice((ring, ring - words_per_beat + 1, rng.randint(0, ring), rng.randint(0, 20)))
               if count > 1 else rng.randint(1, 2 * ring) for count in uses]

    async def check(reader, layers):
        rng = reader.rng
        for words, count in zip(layers, uses):
            for use in range(count):
                await reader.layer(words, keep=use < count - 1, reuse=use > 0)
                while reader.position < len(words):
                    await reader.cycle(0, save=1)
                    end = min(reader.saved + rng.randint(1, 100), len(words) + rng.randint(0, 9))
                    for rewind in range(rng.randint(0, 2)):
                        await reader.read_to(min(end, reader.saved + rng.randint(1, 100)))
                        await reader.cycle(restore=1)
                    await reader.read_to(rng.randint(reader.saved, end))
                    await reader.cycle(restore=1, release=1)
                    await reader.read_to(end)
                await reader.read_to(len(words) + rng.choice((0, 0, 1, 9)))
                await reader.cycle(0, finish=1)

    run(config, lengths, check, seed, limit=100_000)


@pytest.mark.parametrize("end", (0, 13, 299, 300))
def test_a_kept_layer_that_ends_too_early_begins_again(end):
    """Words that one use leaves over are an error of that use; the next one has all of them."""
    async def check(reader, layers):
        for use in range(3):
            await reader.layer(layers[0], keep=use < 2, reuse=use > 0)
            await reader.read_to(300 if use == 1 else end)
            await reader.cycle(0, finish=1)
        await reader.layer(layers[1])
        await reader.read_to(5)

    run(CONFIGS["wide"], [300, 5], check, seed=end)


def test_later_layers_come_in_behind_a_kept_one():
    config = CONFIGS["tiny"]
    ring = config.mask_bytes // config.bus_bytes

    async def check(reader, layers):
        ctx, design = reader.ctx, reader.design
        await reader.layer(layers[0], keep=1)
        await reader.read_to(40)
        await reader.cycle(0, finish=1)
        for _ in range(100):
            await ctx.tick()
        assert ctx.get(design.space) == 0, "what follows a kept layer fills the ring"
        assert not ctx.get(design.valid) and not ctx.get(design.drained), "no layer has begun"
        await reader.layer(layers[0], reuse=1)
        await ctx.tick().repeat(4)
        assert ctx.get(design.valid), "its words are there at once"
        await reader.read_to(40)
        await reader.cycle(0, finish=1)
        for words in layers[1:]:
            await reader.layer(words)
            await reader.read_to(len(words))
            await reader.cycle(0, finish=1)
        await ctx.tick().repeat(2)
        assert ctx.get(design.space) == ring

    run(config, [40, 30, 200], check, seed=2)
