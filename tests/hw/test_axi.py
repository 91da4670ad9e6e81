"""The AXI4 bridge against a memory on the bus, with random pauses on every channel, errors and resets."""

import random

import pytest
from amaranth.sim import Simulator

from arch.config import EngineConfig
from hw.axi import AxiMaster
from hw.queue import RegisterSlice
from tests.hw.axi_world import (PAGE_BYTES, Channel, Memory, Sink, Source, axi_channels, check_outputs_are_registered,
                                cycle)

CONFIGS = {
    64: EngineConfig.preset("tiny"),
    128: EngineConfig.preset("tiny", bus_bits=128, burst_beats=4),
    256: EngineConfig.preset("tiny", bus_bits=256, lanes=16, burst_beats=1),
    512: EngineConfig.preset("tiny", bus_bits=512, lanes=32, parameter_channels=256, burst_beats=32),
    # The longest burst of AXI4.
    32: EngineConfig.preset("tiny", bus_bits=32, burst_beats=256, parameter_channels=256),
}
LIMIT = 20_000


class Bridge:
    """The bridge between an engine's side, played by queues, and a memory."""

    def __init__(self, config: EngineConfig, rng: random.Random, *, rate: float = 1, error_rate: float = 0):
        self.config, self.rng = config, rng
        self.dut = AxiMaster(config)
        port = self.dut.memory
        bus = axi_channels(self.dut.axi)
        self.memory = Memory(bus, config.bus_bytes, config.burst_beats, rng, rate, error_rate)

        def request(name, stream):
            return Channel(name, stream.valid, stream.ready, address=stream.payload.address,
                           beats=stream.payload.beats)

        self.read_request = request("read_request", port.read_request)
        self.write_request = request("write_request", port.write_request)
        self.write_data = Channel("write_data", port.write_data.valid, port.write_data.ready,
                                  data=port.write_data.payload)
        # Errors hold still with what they qualify, as a payload does.
        self.read_data = Channel("read_data", port.read_data.valid, port.read_data.ready,
                                 data=port.read_data.payload, error=port.read_error)
        self.write_done = Channel("write_done", port.write_done.valid, port.write_done.ready, error=port.write_error)
        self.bus = list(bus.values())
        self.demands = [self.read_request, self.write_request, self.write_data]
        self.engine = [*self.demands, self.read_data, self.write_done]
        self.reads, self.writes, self.data = (
            Source(channel, rng, rate) for channel in (self.read_request, self.write_request, self.write_data))
        self.sinks = [Sink(channel, rng, rate) for channel in (self.read_data, self.write_done)]
        self.engine_actors = [self.reads, self.writes, self.data, *self.sinks]
        self.received, self.done = [], []
        #: Bursts and beats of writes the bridge has accepted.
        self.announced, self.handed = [], []

    async def cycle(self, ctx, *extra):
        memory = [*self.memory.sources.values(), *self.memory.sinks.values()]
        values = await cycle(ctx, self.engine_actors + memory, self.bus + self.engine, *extra)
        self.memory.react()
        if self.read_data.fired:
            self.received.append((self.read_data.fired["data"], bool(self.read_data.fired["error"])))
        if self.write_done.fired:
            # Its data are in memory: every later read sees them.
            assert len(self.done) < len(self.memory.writes)
            self.done.append(bool(self.write_done.fired["error"]))
        if self.write_request.fired:
            self.announced.append((self.write_request.fired["address"], self.write_request.fired["beats"]))
        if self.write_data.fired:
            self.handed.append(self.write_data.fired["data"])
        return values

    def bursts(self, count: int, base: int, beats: int | None = None) -> list[tuple[int, int]]:
        """Legal bursts at distinct pages from ``base`` on: (address, beats)."""
        result = []
        for index in range(count):
            longest = min(self.config.burst_beats, PAGE_BYTES // self.config.bus_bytes)
            length = beats or self.rng.choice((1, longest, self.rng.randint(1, longest)))
            place = self.rng.choice((0, PAGE_BYTES // self.config.bus_bytes - length))
            result.append((base + PAGE_BYTES * index + place * self.config.bus_bytes, length))
        return result

    def ask(self, reads, writes):
        """Queues bursts, and data for the writes. Returns the data."""
        words = [self.rng.getrandbits(self.config.bus_bits) for _, beats in writes for _ in range(beats)]
        self.reads.queue.extend({"address": address, "beats": beats} for address, beats in reads)
        self.writes.queue.extend({"address": address, "beats": beats} for address, beats in writes)
        self.data.queue.extend({"data": word} for word in words)
        return words

    async def finish(self, ctx, reads: int, writes: int):
        """Runs until that many beats were read and that many bursts acknowledged."""
        for _ in range(LIMIT):
            if len(self.received) == reads and len(self.done) == writes:
                return
            await self.cycle(ctx)
        raise TimeoutError(f"{len(self.received)} of {reads} beats, {len(self.done)} of {writes} writes")

    def run(self, testbench):
        sim = Simulator(self.dut)
        sim.add_clock(1e-6)
        sim.add_testbench(testbench)
        sim.run()

    def expected(self, bursts) -> list[int]:
        return [self.memory.read(address + self.config.bus_bytes * beat)
                for address, beats in bursts for beat in range(beats)]


READS, WRITES = 0x4000_0000, 0xFFF0_0000
"""Places of what is read and of what is written."""


@pytest.mark.parametrize("rate", (1, .7, .25))
@pytest.mark.parametrize("bits", CONFIGS)
def test_everything_arrives_in_order(bits, rate):
    bridge = Bridge(CONFIGS[bits], random.Random(f"{bits} {rate}"), rate=rate, error_rate=.1)
    count = 8 if bits == 32 else 30
    reads, writes = bridge.bursts(count, READS), bridge.bursts(count, WRITES)
    expected = bridge.expected(reads)
    words = bridge.ask(reads, writes)

    async def testbench(ctx):
        await bridge.finish(ctx, len(expected), count)
        # Nothing may follow.
        for _ in range(20):
            idle, = await bridge.cycle(ctx, bridge.dut.idle)
        assert idle

    bridge.run(testbench)
    memory = bridge.memory
    assert [word for word, _ in bridge.received] == expected
    assert [error for _, error in bridge.received] == memory.read_errors
    assert bridge.done == memory.write_errors
    assert (memory.reads, memory.writes) == (reads, writes)
    assert any(memory.read_errors) and not all(memory.read_errors)
    assert bridge.expected(writes) == words
    assert memory.dropped_beats == 0


@pytest.mark.parametrize("bits", CONFIGS)
def test_one_beat_per_cycle_each_way(bits):
    bridge = Bridge(CONFIGS[bits], random.Random(0))
    count, beats = 12, CONFIGS[bits].burst_beats
    reads, writes = bridge.bursts(count, READS, beats), bridge.bursts(count, WRITES, beats)
    bridge.ask(reads, writes)
    cycles = {"r": [], "w": []}

    async def testbench(ctx):
        for index in range(LIMIT):
            await bridge.cycle(ctx)
            for channel in bridge.bus:
                if channel.name in cycles and channel.fired:
                    cycles[channel.name].append(index)
            if len(bridge.done) == count and len(bridge.received) == count * beats:
                return
        raise TimeoutError

    bridge.run(testbench)
    for places in cycles.values():
        assert places == list(range(places[0], places[0] + count * beats))
    if beats > 1:
        assert bridge.memory.most_reads > 1 and bridge.memory.most_writes > 1


def test_latency_is_a_cycle_each_way():
    """A register in each direction of each channel: AR and R, AW, W and B."""
    bridge = Bridge(CONFIGS[64], random.Random(0))
    bridge.ask([(READS, 1)], [(WRITES, 1)])
    channels = {channel.name: channel for channel in bridge.bus + bridge.engine}
    cycles = {}

    async def testbench(ctx):
        for index in range(20):
            await bridge.cycle(ctx)
            cycles.update({name: index for name, channel in channels.items() if channel.fired})

    bridge.run(testbench)
    assert cycles["ar"] - cycles["read_request"] == 1
    assert cycles["read_data"] - cycles["r"] == 1
    assert cycles["aw"] - cycles["write_request"] == 1
    assert cycles["write_data"] - cycles["write_request"] == 2
    assert cycles["w"] - cycles["write_data"] == 1
    assert cycles["write_done"] - cycles["b"] == 1


@pytest.mark.parametrize("bits", (64, 512))
def test_outstanding_bursts_are_bounded(bits):
    """A memory that takes requests and answers none sees eight of each kind."""
    bridge = Bridge(CONFIGS[bits], random.Random(0))
    bridge.ask(bridge.bursts(20, READS), bridge.bursts(20, WRITES))

    async def testbench(ctx):
        for _ in range(1000):
            await cycle(ctx, [*bridge.engine_actors, *bridge.memory.sinks.values()], bridge.bus + bridge.engine)
            bridge.memory.react()

    bridge.run(testbench)
    assert (bridge.memory.most_reads, bridge.memory.most_writes) == (8, 8)


def test_write_data_do_not_wait_for_their_address():
    """A memory may hold AWREADY back until it has the data (A3.3.1)."""
    bridge = Bridge(CONFIGS[64], random.Random(0))
    writes = bridge.bursts(3, WRITES, 4)
    words = bridge.ask([], writes)
    bridge.memory.sinks["aw"].rate = 0

    async def testbench(ctx):
        for _ in range(60):
            await bridge.cycle(ctx)
        # Two requests wait in the bridge's registers, and all of their data have passed.
        assert not bridge.memory.writes and bridge.handed == words[:8]
        bridge.memory.sinks["aw"].rate = 1
        await bridge.finish(ctx, 0, 3)

    bridge.run(testbench)
    assert bridge.expected(writes) == words


@pytest.mark.parametrize("rate", (1, .4))
@pytest.mark.parametrize("bits", (64, 128, 256, 512))
def test_reset_in_the_middle_of_bursts(bits, rate):
    """Three times: traffic, a reset at a random cycle; then everything begun is completed and new traffic is clean."""
    config = CONFIGS[bits]
    rng = random.Random(f"reset {bits} {rate}")
    bridge = Bridge(config, rng, rate=rate, error_rate=.1)
    dut, memory = bridge.dut, bridge.memory
    completed_beats = []

    async def in_reset(ctx, *signals):
        """Nothing asked for is obtained; answers go on to come, for nobody."""
        values = await bridge.cycle(ctx, *signals)
        assert not any(channel.fired for channel in bridge.demands)
        for channel in bridge.engine:
            channel.forget()
        return values

    async def testbench(ctx):
        for part in range(3):
            place = WRITES - (part << 24)
            reads, writes = bridge.bursts(60, READS), bridge.bursts(60, place)
            words = bridge.ask(reads, writes)
            bridge.announced.clear(), bridge.handed.clear(), memory.writes.clear()
            dropped_before = memory.dropped_beats
            for _ in range(rng.randrange(8, 60)):
                await bridge.cycle(ctx)
            announced, handed = list(bridge.announced), list(bridge.handed)

            # The engine is still alive in the first cycle of its reset, but obtains nothing any more.
            ctx.set(dut.flush, 1)
            for channel in bridge.engine:
                channel.forget()
            await in_reset(ctx)
            for source in bridge.reads, bridge.writes, bridge.data:
                source.stop(ctx)
            for _ in range(LIMIT):
                idle, = await in_reset(ctx, dut.idle)
                if idle:
                    break
            assert idle and memory.settled
            ctx.set(dut.flush, 0)

            # Every announced burst is complete; what was handed over is stored, and nothing else is.
            assert memory.writes == announced
            owed = sum(beats for _, beats in announced) - len(handed)
            assert memory.dropped_beats - dropped_before == owed
            completed_beats.append(owed)
            assert handed == words[:len(handed)]
            assert bridge.expected(announced)[:len(handed)] == handed
            stored = {address + byte for address, beats in announced for byte in range(beats * config.bus_bytes)}
            written = len([address for address in memory.content if address in stored])
            assert written == len(handed) * config.bus_bytes

            # A new program finds a clean bridge.
            bridge.received.clear(), bridge.done.clear(), memory.writes.clear()
            memory.read_errors.clear(), memory.write_errors.clear()
            reads, writes = bridge.bursts(5, READS), bridge.bursts(5, place - (1 << 23))
            expected, words = bridge.expected(reads), bridge.ask(reads, writes)
            await bridge.finish(ctx, len(expected), 5)
            assert bridge.received == list(zip(expected, memory.read_errors))
            assert bridge.done == memory.write_errors
            assert bridge.expected(writes) == words
            bridge.received.clear(), bridge.done.clear()

    bridge.run(testbench)
    assert any(completed_beats), "no reset came in the middle of a burst"


@pytest.mark.parametrize("rate", (1, .5))
def test_register_slice(rate):
    rng = random.Random(rate)
    dut = RegisterSlice(16)
    enter = Channel("enter", dut.enter.valid, dut.enter.ready, data=dut.enter.payload)
    leave = Channel("leave", dut.leave.valid, dut.leave.ready, data=dut.leave.payload)
    source, sink = Source(enter, rng, rate), Sink(leave, rng, rate)
    words = [rng.getrandbits(16) for _ in range(300)]
    source.queue.extend({"data": word} for word in words)
    taken, cycles = [], []

    async def testbench(ctx):
        for count in range(LIMIT):
            await cycle(ctx, [source, sink], [enter, leave])
            if leave.fired:
                taken.append(leave.fired["data"])
            if len(taken) == len(words):
                cycles.append(count)
                return
        raise TimeoutError

    sim = Simulator(dut)
    sim.add_clock(1e-6)
    sim.add_testbench(testbench)
    sim.run()
    assert taken == words
    if rate == 1:
        assert cycles == [len(words)]


def test_bus_outputs_are_registered():
    check_outputs_are_registered(AxiMaster(CONFIGS[64]), "axi", random.Random(0))


def test_outstanding_is_checked():
    with pytest.raises(ValueError, match="outstanding must be at least 1, not 0"):
        AxiMaster(CONFIGS[64], outstanding=0)
