"""The memory interface's clients: bursts, arbitration, loads and stores, under random stalls."""

import random
from functools import partial

import pytest
from amaranth import *
from amaranth.lib import wiring
from amaranth.sim import Simulator

from arch.config import EngineConfig
from arch.depths import PAGE_BYTES
from hw.activations import ActivationMemory
from hw.memory import BurstReader, ReadArbiter
from hw.transfer import LoadUnit, StoreUnit

CONFIG = EngineConfig.preset("tiny")
BEAT = CONFIG.bus_bytes
LIMIT = 20_000


def word(address: int) -> int:
    """What the memory model holds at a beat address."""
    return (address * 0x9E3779B97F4A7C15 + 1) % (1 << CONFIG.bus_bits)


async def serve_reads(ctx, port, rng, seen):
    """A memory that answers reads in order with random delays; requests go to ``seen``."""
    queue = []
    while True:
        ctx.set(port.read_request.ready, rng.random() < .6)
        valid = bool(queue) and rng.random() < .7
        ctx.set(port.read_data.valid, valid)
        if valid:
            ctx.set(port.read_data.payload, word(queue[0]))
        _, _, asked, request, taken = await ctx.tick().sample(
            port.read_request.valid & port.read_request.ready, port.read_request.payload,
            port.read_data.valid & port.read_data.ready)
        while valid and not taken:
            ctx.set(port.read_request.ready, 0)
            _, _, taken = await ctx.tick().sample(port.read_data.ready)
        if taken:
            queue.pop(0)
        if asked:
            seen.append((request.address, request.beats))
            queue += [request.address + BEAT * beat for beat in range(request.beats)]


class Readers(wiring.Component):
    """Three burst readers behind one arbiter, their consumers left to the test."""

    def __init__(self, space):
        self.readers = [BurstReader(CONFIG, space) for _ in range(3)]
        self.arbiter = ReadArbiter(CONFIG, 3)
        self.read_request, self.read_data = self.arbiter.read_request, self.arbiter.read_data
        super().__init__({})

    def elaborate(self, platform):
        m = Module()
        m.submodules.arbiter = self.arbiter
        for index, reader in enumerate(self.readers):
            m.submodules[f"reader{index}"] = reader
            wiring.connect(m, reader.request, self.arbiter.requests[index])
            beats = self.arbiter.beats[index]
            m.d.comb += reader.returned.eq(beats.valid & beats.ready)
        return m


@pytest.mark.parametrize("seed", range(4))
def test_readers_share_the_interface(seed):
    rng = random.Random(seed)
    capacity = 2 * CONFIG.burst_beats
    dut = Readers(capacity)
    commands = [[(BEAT * rng.randrange(4 * PAGE_BYTES // BEAT), rng.choice((0, 1, 15, 16, 17, rng.randrange(80))))
                 for _ in range(6)] for _ in range(3)]
    expected = [[(word(address + BEAT * beat), 100 * index + number, beat == beats - 1)
                 for number, (address, beats) in enumerate(reader) for beat in range(beats)]
                for index, reader in enumerate(commands)]
    received = [[], [], []]
    seen = []

    async def command(ctx, index):
        port = dut.readers[index].command
        for number, (address, beats) in enumerate(commands[index]):
            await ctx.tick().repeat(1 + rng.randrange(4))
            ctx.set(port.payload, {"address": address, "beats": beats, "position": 100 * index + number})
            ctx.set(port.valid, 1)
            await ctx.tick().until(port.ready)
            ctx.set(port.valid, 0)

    async def consume(ctx, index):
        beats, reader = dut.arbiter.beats[index], dut.readers[index]
        held = 0
        for _ in range(LIMIT):
            # A consumer that has reserved space takes its beats at once; it frees them at random.
            ctx.set(beats.ready, 1)
            held -= rng.randrange(held + 1) if rng.random() < .3 else 0
            ctx.set(reader.space, capacity - held)
            _, _, valid, payload, owner = await ctx.tick().sample(
                beats.valid, beats.payload, Cat(dut.arbiter.client, dut.arbiter.position))
            if valid:
                held += 1
                assert held <= capacity, "more beats than the consumer had space for"
                assert owner == index | payload.position << len(dut.arbiter.client)
                received[index].append((payload.data, payload.position, payload.last))
            if len(received[index]) == len(expected[index]) and not valid:
                await ctx.tick()
                assert not ctx.get(reader.busy)
                return
            assert valid or not received[index] or received[index][-1][2] or ctx.get(reader.busy)
        raise TimeoutError(f"reader {index}: {len(received[index])} of {len(expected[index])} beats")

    sim = Simulator(dut)
    sim.add_clock(1e-6)
    for index in range(3):
        sim.add_testbench(partial(command, index=index))
        sim.add_testbench(partial(consume, index=index))
    sim.add_testbench(partial(serve_reads, port=dut, rng=rng, seen=seen), background=True)
    sim.run()
    assert received == expected
    for address, beats in seen:
        assert 1 <= beats <= CONFIG.burst_beats
        assert address // PAGE_BYTES == (address + beats * BEAT - 1) // PAGE_BYTES, "a burst crosses a page"


class Copier(wiring.Component):
    """Load unit, activation memory and store unit, as in the engine."""

    def __init__(self):
        self.load, self.store = LoadUnit(CONFIG), StoreUnit(CONFIG)
        self.activations = ActivationMemory(CONFIG)
        self.reader = BurstReader(CONFIG, CONFIG.burst_beats)
        self.arbiter = ReadArbiter(CONFIG, 2)
        self.read_request, self.read_data = self.arbiter.read_request, self.arbiter.read_data
        super().__init__({})

    def elaborate(self, platform):
        m = Module()
        for name in ("load", "store", "activations", "reader", "arbiter"):
            m.submodules[name] = getattr(self, name)
        beats = self.arbiter.beats[1]
        wiring.connect(m, self.load.read, self.reader.command)
        wiring.connect(m, self.reader.request, self.arbiter.requests[1])
        wiring.connect(m, beats, self.load.beats)
        wiring.connect(m, self.load.load, self.activations.load)
        wiring.connect(m, self.store.store, self.activations.store)
        m.d.comb += [
            self.reader.space.eq(CONFIG.burst_beats),
            self.reader.returned.eq(beats.valid & beats.ready),
            self.store.store_data.eq(self.activations.store_data),
        ]
        return m


@pytest.mark.parametrize("seed", range(4))
def test_load_then_store_copies(seed):
    rng = random.Random(seed)
    dut = Copier()
    beats = rng.choice((1, 2, 16, 17, 100))
    source, target, local = BEAT * rng.randrange(600), BEAT * rng.randrange(600), BEAT * rng.randrange(200)
    memory, seen = {}, []
    order = []

    async def drive(ctx):
        def command(unit, address):
            ctx.set(unit.command.payload, {
                "wait_layers": 3, "wait_loads": 1 if unit is dut.store else 0, "wait_stores": 2,
                "memory_address": address, "activation_address": local, "beats": beats,
                "position": 7 if unit is dut.store else 6})
            ctx.set(unit.command.valid, 1)

        command(dut.load, source)
        command(dut.store, target)
        await ctx.tick().repeat(30)
        assert not seen, "the load did not wait for its layers"
        for unit in dut.load, dut.store:
            ctx.set(unit.layers_done, 3)
        await ctx.tick().repeat(30)
        assert not seen, "the load did not wait for its stores"
        for unit in dut.load, dut.store:
            ctx.set(unit.stores_done, 2)
        for cycle in range(LIMIT):
            _, _, loading, storing, loaded, stored, arrived, position = await ctx.tick().sample(
                dut.load.command.valid & dut.load.command.ready, dut.store.command.valid & dut.store.command.ready,
                dut.load.done, dut.store.done, dut.read_data.valid & dut.read_data.ready, dut.arbiter.position)
            assert position == 6 or not arrived
            if loading:
                ctx.set(dut.load.command.valid, 0)
            if storing:
                ctx.set(dut.store.command.valid, 0)
            if loaded:
                order.append("load")
                ctx.set(dut.store.loads_done, 1)
            if stored:
                order.append("store")
                assert ctx.get(dut.store.position) == 7
                return
        raise TimeoutError("the store never ended")

    async def serve_writes(ctx):
        store, bursts, acknowledged = dut.store, [], 0
        while True:
            ctx.set(store.write_request.ready, rng.random() < .5)
            ctx.set(store.write_data.ready, bool(bursts) and rng.random() < .6)
            _, _, asked, request, written, payload = await ctx.tick().sample(
                store.write_request.valid & store.write_request.ready, store.write_request.payload,
                store.write_data.valid & store.write_data.ready, store.write_data.payload)
            ctx.set(store.write_done.valid, 0)
            if written:
                memory[bursts[0][0]] = payload
                bursts[0] = (bursts[0][0] + BEAT, bursts[0][1] - 1)
                if not bursts[0][1]:
                    bursts.pop(0)
                    acknowledged += 1
                    ctx.set(store.write_done.valid, 1)
            if asked:
                bursts.append((request.address, request.beats))

    sim = Simulator(dut)
    sim.add_clock(1e-6)
    sim.add_testbench(drive)
    sim.add_testbench(partial(serve_reads, port=dut, rng=rng, seen=seen), background=True)
    sim.add_testbench(serve_writes, background=True)
    sim.run()
    assert order == ["load", "store"]
    assert memory == {target + BEAT * beat: word(source + BEAT * beat) for beat in range(beats)}
