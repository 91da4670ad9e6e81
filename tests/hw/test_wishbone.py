"""The Wishbone bridges against a memory on the bus and registers behind it, with random pauses, errors and resets."""

import random
from collections import deque

import pytest
from amaranth.sim import Simulator

from arch.config import EngineConfig
from hw.wishbone import WishboneMaster, WishboneRegisters
from tests.hw.axi_world import PAGE_BYTES, Channel, Sink, Source, axi_channels, check_outputs_are_registered, cycle

CONFIGS = {64: EngineConfig.preset("tiny"),
           256: EngineConfig.preset("tiny", bus_bits=256, lanes=16, burst_beats=1),
           32: EngineConfig.preset("tiny", bus_bits=32, burst_beats=256, parameter_channels=256)}
LIMIT = 20_000
READS, WRITES = 0x4000_0000, 0xFFF0_0000


class Memory:
    """Byte memory on a pipelined Wishbone bus: stalls, delays its answers and refuses transfers at random.

    Checks that what is stalled holds still and that `cyc` lasts until the last answer. ``cycs`` are the transfers of
    each time that `cyc` was high, and how many cycles it was low before.
    """

    def __init__(self, bus, beat_bytes: int, rng: random.Random, rate: float, error_rate: float, latency: int):
        self._bus, self._beat, self._rng, self._rate, self._error_rate = bus, beat_bytes, rng, rate, error_rate
        self._latency = latency
        self.content: dict[int, int] = {}
        self._answers, self._held, self._now = deque(), None, 0
        self.transfers, self.read_errors, self.write_errors = [], [], []
        self.cycs: list[tuple[int, list[tuple[bool, int]]]] = []
        self._low = 0
        self.frozen = False

    def read(self, address: int) -> int:
        return self.content.get(address, address * 0x9E3779B97F4A7C15 % (1 << 8 * self._beat))

    @property
    def settled(self) -> bool:
        return not self._answers

    def drive(self, ctx):
        bus, rng = self._bus, self._rng
        self._now += 1
        shown = None
        if not ctx.get(bus.cyc):
            self._low += 1
        elif self._low or not self.cycs:
            self.cycs.append((self._low, []))
            self._low = 0
        if ctx.get(bus.stb):
            assert ctx.get(bus.cyc)
            shown = tuple(ctx.get(signal) for signal in (bus.we, bus.adr, bus.dat_w, bus.sel))
        assert self._held is None or shown is not None and shown[:2] == self._held[:2]
        assert not self._answers or ctx.get(bus.cyc)
        stall = self.frozen or rng.random() >= self._rate
        ctx.set(bus.stall, stall)
        self._held = shown if stall else None
        if shown and not stall:
            write, address, word, selected = shown
            assert address % self._beat == 0 and selected == (1 << self._beat) - 1
            error = rng.random() < self._error_rate
            self.transfers.append((bool(write), address))
            self.cycs[-1][1].append((bool(write), address))
            (self.write_errors if write else self.read_errors).append(error)
            # A refused write changes nothing; what a refused read shows is of no use.
            if write and not error:
                self.content[address] = word
            self._answers.append((self._now + self._latency, error, 0 if write else self.read(address)))
        answer = (not self.frozen and self._answers and self._answers[0][0] <= self._now
                  and rng.random() < self._rate)
        _, error, word = self._answers.popleft() if answer else (0, False, rng.getrandbits(8))
        ctx.set(bus.ack, bool(answer) and not error)
        ctx.set(bus.err, bool(answer) and error)
        ctx.set(bus.dat_r, word)


class Bridge:
    """The bridge between an engine's side, played by queues, and a memory."""

    def __init__(self, config, rng, *, rate: float = 1, error_rate: float = 0, latency: int = 0):
        self.config, self.rng = config, rng
        self.dut = WishboneMaster(config)
        port = self.dut.memory
        self.memory = Memory(self.dut.bus, config.bus_bytes, rng, rate, error_rate, latency)

        def request(name, stream):
            return Channel(name, stream.valid, stream.ready, address=stream.payload.address,
                           beats=stream.payload.beats)

        self.channels = {
            "read_request": request("read_request", port.read_request),
            "write_request": request("write_request", port.write_request),
            "write_data": Channel("write_data", port.write_data.valid, port.write_data.ready,
                                  data=port.write_data.payload),
            "read_data": Channel("read_data", port.read_data.valid, port.read_data.ready, data=port.read_data.payload,
                                 error=port.read_error),
            "write_done": Channel("write_done", port.write_done.valid, port.write_done.ready, error=port.write_error),
        }
        self.demands = [self.channels[name] for name in ("read_request", "write_request", "write_data")]
        self.sources = [Source(channel, rng, rate) for channel in self.demands]
        sinks = [Sink(self.channels[name], rng, rate) for name in ("read_data", "write_done")]
        self._actors = [*self.sources, *sinks, self.memory]
        self.seen = {name: [] for name in self.channels}
        self.cycles = {name: [] for name in self.channels}

    async def cycle(self, ctx, *extra):
        values = await cycle(ctx, self._actors, self.channels.values(), *extra)
        for name, channel in self.channels.items():
            if channel.fired:
                self.seen[name].append(channel.fired)
                self.cycles[name].append(self.memory._now)
        return values

    def bursts(self, count: int, base: int, beats: int | None = None) -> list[tuple[int, int]]:
        longest = min(self.config.burst_beats, PAGE_BYTES // self.config.bus_bytes)
        return [(base + PAGE_BYTES * index, beats or self.rng.choice((1, longest, self.rng.randint(1, longest))))
                for index in range(count)]

    def ask(self, reads, writes) -> list[int]:
        words = [self.rng.getrandbits(self.config.bus_bits) for _, beats in writes for _ in range(beats)]
        for source, bursts in zip(self.sources, (reads, writes)):
            source.queue.extend({"address": address, "beats": beats} for address, beats in bursts)
        self.sources[2].queue.extend({"data": word} for word in words)
        return words

    async def finish(self, ctx, reads: int, writes: int):
        for _ in range(LIMIT):
            if len(self.seen["read_data"]) == reads and len(self.seen["write_done"]) == writes:
                return
            await self.cycle(ctx)
        raise TimeoutError({name: len(seen) for name, seen in self.seen.items()})

    def addresses(self, bursts) -> list[int]:
        return [address + self.config.bus_bytes * beat for address, beats in bursts for beat in range(beats)]

    def run(self, testbench):
        simulate(self.dut, testbench)


def simulate(dut, testbench):
    sim = Simulator(dut)
    sim.add_clock(1e-6)
    sim.add_testbench(testbench)
    sim.run()


@pytest.mark.parametrize(("rate", "latency"), ((1, 0), (.7, 3), (.25, 50)))
@pytest.mark.parametrize("bits", CONFIGS)
def test_everything_arrives_in_order(bits, rate, latency):
    bridge = Bridge(CONFIGS[bits], random.Random(f"{bits} {rate}"), rate=rate, error_rate=.1, latency=latency)
    count = {32: 4, 64: 12, 256: 60}[bits]
    reads, writes = bridge.bursts(count, READS), bridge.bursts(count, WRITES)
    read_addresses, write_addresses = bridge.addresses(reads), bridge.addresses(writes)
    words = bridge.ask(reads, writes)

    async def testbench(ctx):
        await bridge.finish(ctx, len(read_addresses), count)
        for _ in range(20):
            idle, cyc = await bridge.cycle(ctx, bridge.dut.idle, bridge.dut.bus.cyc)
        assert idle and not cyc

    bridge.run(testbench)
    memory = bridge.memory
    assert [address for write, address in memory.transfers if not write] == read_addresses
    assert [address for write, address in memory.transfers if write] == write_addresses
    assert [beat["error"] for beat in bridge.seen["read_data"]] == memory.read_errors
    assert [beat["data"] for beat in bridge.seen["read_data"]] == [memory.read(address) for address in read_addresses]
    errors, outcomes = iter(memory.write_errors), []
    for _, beats in writes:
        outcomes.append(any([next(errors) for _ in range(beats)]))
    assert [bool(token["error"]) for token in bridge.seen["write_done"]] == outcomes
    for address, word, error in zip(write_addresses, words, memory.write_errors):
        assert error or memory.content[address] == word
    assert any(memory.read_errors) and any(memory.write_errors)


@pytest.mark.parametrize(("rate", "latency"), ((1, 0), (1, 9), (.5, 3)))
@pytest.mark.parametrize("bits", CONFIGS)
def test_cyc_falls_between_bursts(bits, rate, latency):
    """Nothing of two bursts while it is high, however many wait; low for two cycles; as long as the longest burst
    takes, no longer, where the bus does not pause."""
    config = CONFIGS[bits]
    bridge = Bridge(config, random.Random(f"cyc {bits} {rate} {latency}"), rate=rate, latency=latency)
    count = {32: 2, 64: 6, 256: 20}[bits]
    reads, writes = bridge.bursts(count, READS), bridge.bursts(count, WRITES)
    bridge.ask(reads, writes)
    beats = sum(beats for _, beats in reads)
    cycs, high = [], 0

    async def testbench(ctx):
        nonlocal high
        while len(bridge.seen["read_data"]) < beats or len(bridge.seen["write_done"]) < count:
            cyc, = await bridge.cycle(ctx, bridge.dut.bus.cyc)
            if not cyc and high:
                cycs.append(high)
            high = high + 1 if cyc else 0

    bridge.run(testbench)
    bursts = [{(write, address // PAGE_BYTES) for write, address in transfers} for _, transfers in bridge.memory.cycs]
    assert all(len(burst) == 1 for burst in bursts)
    assert len({burst.pop() for burst in bursts}) == 2 * count
    if rate == 1:
        assert len(bursts) == 2 * count
        assert min(low for low, _ in bridge.memory.cycs[1:]) == 2
        assert max(cycs) == max(beats for _, beats in reads + writes) + latency


def test_latency_and_rate():
    """Documented latencies; within a burst one transfer per cycle each way, then three to the next."""
    bridge = Bridge(CONFIGS[64], random.Random(0))
    beats = CONFIGS[64].burst_beats
    bridge.ask(bridge.bursts(4, READS, beats), [])
    stb = []

    async def testbench(ctx):
        while len(bridge.seen["read_data"]) < 4 * beats:
            shown, = await bridge.cycle(ctx, bridge.dut.bus.stb)
            stb.append(shown)
        bridge.ask([], bridge.bursts(4, WRITES, beats))
        while len(bridge.seen["write_done"]) < 4:
            shown, = await bridge.cycle(ctx, bridge.dut.bus.stb)
            stb.append(shown)

    bridge.run(testbench)
    shown = [index + 1 for index, one in enumerate(stb) if one]
    assert shown[0] - bridge.cycles["read_request"][0] == 2
    assert bridge.cycles["read_data"][0] - shown[0] == 2
    assert shown[4 * beats - 1] - shown[0] == 4 * beats + 3 * 2 - 1
    writes = shown[4 * beats:]
    assert writes[0] - bridge.cycles["write_request"][0] == 2
    assert writes[-1] - writes[0] == 4 * beats + 3 * 2 - 1
    assert bridge.cycles["write_done"][-1] - writes[-1] == 2


@pytest.mark.parametrize("rate", (1, .4))
@pytest.mark.parametrize("bits", CONFIGS)
def test_reset_in_the_middle_of_bursts(bits, rate):
    """Traffic, a reset at a random cycle, three times: what was shown is answered, nothing follows, new traffic is
    clean. Before the memory answers, the reset does not end."""
    bridge = Bridge(CONFIGS[bits], random.Random(f"reset {bits} {rate}"), rate=rate, latency=5)
    dut, rng = bridge.dut, bridge.rng

    async def in_reset(ctx, *signals):
        """Nothing asked for is obtained; answers go on to come, for nobody."""
        values = await bridge.cycle(ctx, *signals)
        assert not any(channel.fired for channel in bridge.demands)
        for channel in bridge.channels.values():
            channel.forget()
        return values

    async def testbench(ctx):
        for part in range(3):
            place = WRITES - (part << 24)
            words = bridge.ask(bridge.bursts(60, READS), bridge.bursts(60, place))
            for seen in bridge.seen.values():
                seen.clear()
            for _ in range(rng.randrange(10, 60)):
                await bridge.cycle(ctx)
            handed = len(bridge.seen["write_data"])
            taken = [request["address"] for request in bridge.seen["write_request"]]
            ctx.set(dut.flush, 1)
            bridge.memory.frozen = True
            for channel in bridge.channels.values():
                channel.forget()
            # The engine is still alive in the first cycle of its reset, but obtains nothing any more.
            await in_reset(ctx)
            for source in bridge.sources:
                source.stop(ctx)
            waits = not bridge.memory.settled
            for _ in range(30):
                idle, *_ = await in_reset(ctx, dut.idle)
                assert not (waits and idle)
            bridge.memory.frozen = False
            for _ in range(LIMIT):
                idle, cyc = await in_reset(ctx, dut.idle, dut.bus.cyc)
                if idle:
                    break
            assert idle and not cyc and bridge.memory.settled
            count = len(bridge.memory.transfers)
            for _ in range(10):
                await in_reset(ctx)
            assert len(bridge.memory.transfers) == count
            stored = sorted(address for address in bridge.memory.content if place <= address < place + (1 << 23))
            assert [bridge.memory.content[address] for address in stored] == words[:handed]
            assert {address // PAGE_BYTES for address in stored} <= {address // PAGE_BYTES for address in taken}
            ctx.set(dut.flush, 0)

            for seen in bridge.seen.values():
                seen.clear()
            reads, writes = bridge.bursts(5, READS), bridge.bursts(5, place - (1 << 23))
            words = bridge.ask(reads, writes)
            await bridge.finish(ctx, sum(beats for _, beats in reads), 5)
            assert [beat["data"] for beat in bridge.seen["read_data"]] == [
                bridge.memory.read(address) for address in bridge.addresses(reads)]
            assert [bridge.memory.content[address] for address in bridge.addresses(writes)] == words

    bridge.run(testbench)


def test_beats_ahead_is_checked():
    with pytest.raises(ValueError, match="beats_ahead must be at least 2, not 1"):
        WishboneMaster(CONFIGS[64], beats_ahead=1)


@pytest.mark.parametrize("rate", (1, .4))
def test_registers(rate):
    """Writes, reads, refusals and accesses given up, against 32-bit words behind AXI4-Lite."""
    rng = random.Random(f"registers {rate}")
    dut = WishboneRegisters(12)
    bus, words = dut.bus, {}
    channels = axi_channels(dut.axil)
    sources = {name: Source(channels[name], rng, rate) for name in ("b", "r")}
    sinks = [Sink(channels[name], rng, rate) for name in ("aw", "w", "ar")]
    waiting = {"aw": deque(), "w": deque()}

    async def step(ctx) -> tuple[int, int, int]:
        answer = await cycle(ctx, [*sources.values(), *sinks], channels.values(), bus.ack, bus.err, bus.dat_r)
        for name, queue in waiting.items():
            if channels[name].fired:
                queue.append(channels[name].fired)
        while all(waiting.values()):
            address, written = waiting["aw"].popleft()["addr"], waiting["w"].popleft()
            if address < 0x800:
                mask = sum(0xFF << 8 * byte for byte in range(4) if written["strb"] >> byte & 1)
                words[address] = words.get(address, 0) & ~mask | written["data"] & mask
            sources["b"].queue.append({"resp": 0 if address < 0x800 else 2})
        if channels["ar"].fired:
            address = channels["ar"].fired["addr"]
            sources["r"].queue.append({"data": words.get(address, 0), "resp": 0 if address < 0x800 else 3})
        return answer

    async def testbench(ctx):
        expected, refused, given_up = {}, 0, 0
        for _ in range(200):
            write, address, word, sel = (rng.random() < .5, rng.randrange(0, 0x1000, 4), rng.getrandbits(32),
                                         rng.randrange(16))
            address = rng.choice((address & 0x83C, address))
            for signal, value in ((bus.cyc, 1), (bus.stb, 1), (bus.we, write), (bus.adr, address), (bus.dat_w, word),
                                  (bus.sel, sel)):
                ctx.set(signal, value)
            patience = rng.randrange(1, 4) if rng.random() < .2 else LIMIT
            for _ in range(patience):
                ack, err, data = await step(ctx)
                if ack or err:
                    break
            assert not (ack and err)
            before = expected.get(address, 0)
            mask = sum(0xFF << 8 * byte for byte in range(4) if sel >> byte & 1)
            after = before & ~mask | word & mask if write and address < 0x800 else before
            if ack or err:
                assert ack == (address < 0x800)
                refused += err
                assert write or err or data == before
                expected[address] = after
                pause = rng.randrange(3)
            else:
                given_up += 1
                pause = 30
            if pause:
                ctx.set(bus.cyc, 0), ctx.set(bus.stb, 0)
                # The answer to what is given up may come in the cycle in which it is.
                await step(ctx)
                for _ in range(pause):
                    ack, err, _ = await step(ctx)
                    assert not ack and not err
            if pause == 30:
                assert words.get(address, 0) in (before, after)
                expected[address] = words.get(address, 0)
        ctx.set(bus.stb, 0)
        for _ in range(50):
            await step(ctx)
        assert words == {address: word for address, word in expected.items() if address in words}
        assert any(words.values()) and refused and given_up

    simulate(dut, testbench)


def test_bus_outputs_are_registered():
    """No path from the inputs of either bridge to what it drives on the bus, whatever either side does."""
    check_outputs_are_registered(WishboneRegisters(12), "bus", random.Random(0))
    check_outputs_are_registered(WishboneMaster(CONFIGS[64]), "bus", random.Random(0))
