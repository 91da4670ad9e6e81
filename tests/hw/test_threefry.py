"""The random stream: known answers, equality with the NumPy implementation, rate and latency."""

import json
import random
from pathlib import Path

import pytest

from golden import stream as golden
from hw.threefry import RandomStream
from tests.hw.weight_path import receive, send, simulate

VECTORS = json.loads((Path(__file__).parents[1] / "vectors" / "stream.json").read_text())


def answers(design, seed, requests, rng=None):
    """The (word 0, word 1) that ``design`` gives for every request, and the cycles it took."""
    taken, cycles = [], 0

    async def check(ctx):
        ctx.set(design.seed, seed)
        taken.extend(await receive(ctx, design.signs, len(requests), rng))

    async def count(ctx):
        nonlocal cycles
        while True:
            await ctx.tick()
            cycles += 1

    payloads = [{"block": block, "stream": stream} for block, stream in requests]
    simulate(design, [check], [lambda ctx: send(ctx, design.request, payloads, rng), count], 100 + 10 * len(requests))
    return [(signs & 0xFFFFFFFF, signs >> 32) for signs in taken], cycles


@pytest.mark.parametrize("seed, counter, rounds, words", [
    (0, (0, 0), 13, (0x9D1C5EC6, 0x8BD50731)),
    (0, (0, 0), 20, (0x6B200159, 0x99BA4EFE)),
    (0x0370734413198A2E, (0x243F6A88, 0x85A308D3), 13, (0xBA3E4725, 0xF27D669E)),
    (0x0370734413198A2E, (0x243F6A88, 0x85A308D3), 20, (0xC4923A9C, 0x483DF7A0)),
])
def test_known_answers(seed, counter, rounds, words):
    assert answers(RandomStream(rounds), seed, [counter])[0] == [words]


@pytest.mark.parametrize("rounds", golden.ROUNDS)
def test_vectors(rounds):
    """Also: a new seed holds for a request in the same cycle, once nothing is in flight."""
    vectors = [vector for vector in VECTORS["blocks"] if vector["rounds"] == rounds]
    design = RandomStream(rounds)

    async def check(ctx):
        ctx.set(design.signs.ready, 1)
        for vector in vectors:
            ctx.set(design.seed, vector["seed"])
            await send(ctx, design.request, [{"block": vector["block"], "stream": vector["stream"]}])
            signs, = await ctx.tick().sample(design.signs.payload).until(design.signs.valid)
            assert [signs & 0xFFFFFFFF, signs >> 32] == [int(word, 16) for word in vector["words"]]

    simulate(design, [check], [], 100 * len(vectors))


@pytest.mark.parametrize("rounds", golden.ROUNDS)
def test_order_under_stalls(rounds):
    rng = random.Random(rounds)
    seed = rng.getrandbits(64)
    requests = [(rng.getrandbits(32), rng.getrandbits(32)) for _ in range(150)]
    expected = [tuple(golden.blocks(seed, stream, block, 1, rounds)[0].tolist()) for block, stream in requests]
    assert answers(RandomStream(rounds), seed, requests, rng)[0] == expected


@pytest.mark.parametrize("rounds", golden.ROUNDS)
def test_one_block_per_cycle(rounds):
    design = RandomStream(rounds)
    _, cycles = answers(design, 1, [(block, 2) for block in range(50)])
    assert cycles == design.latency + 50


def test_rounds_are_checked():
    with pytest.raises(ValueError, match="rounds must be 13 or 20, not 12"):
        RandomStream(12)
