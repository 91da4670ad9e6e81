"""A world around AXI components, cycle by cycle: channels with checked handshakes, and a memory on the bus."""

from __future__ import annotations

import random
from collections import deque

from amaranth import Value
from amaranth.lib.wiring import In, Out
from amaranth.sim import Simulator

OKAY, SLVERR = 0, 2
PAGE_BYTES = 4096


class Channel:
    """One valid/ready channel. ``fired`` is what passed in the last cycle: a dict of the payload, or None.

    Raises AssertionError if a payload that was not taken is withdrawn or changed.
    """

    def __init__(self, name: str, valid, ready, **payload):
        self.name, self.valid, self.ready, self.payload = name, valid, ready, payload
        self.fired = self._waiting = None

    @property
    def signals(self):
        return [self.valid, self.ready, *self.payload.values()]

    def update(self, values):
        valid, ready, *rest = values
        shown = dict(zip(self.payload, rest)) if valid else None
        if self._waiting is not None:
            assert shown == self._waiting, f"{self.name} showed {self._waiting} and then {shown}"
        self.fired = shown if ready else None
        self._waiting = shown if not ready else None

    def forget(self):
        """Whoever sends is being reset: what it shows may go."""
        self._waiting = None


class Source:
    """Sends what is put into ``queue`` over a channel, with random pauses."""

    def __init__(self, channel: Channel, rng: random.Random, rate: float):
        self._channel, self._rng, self._rate = channel, rng, rate
        self.queue = deque()
        self._shown = False

    def drive(self, ctx):
        if self._channel.fired is not None:
            self.queue.popleft()
            self._shown = False
        self._shown = self._shown or bool(self.queue) and self._rng.random() < self._rate
        ctx.set(self._channel.valid, self._shown)
        if self._shown:
            for name, value in self.queue[0].items():
                ctx.set(self._channel.payload[name], value)

    def stop(self, ctx):
        """Forgets everything, as a reset does."""
        self.queue.clear()
        self._shown = False
        ctx.set(self._channel.valid, 0)


class Sink:
    """Takes from a channel, with random pauses."""

    def __init__(self, channel: Channel, rng: random.Random, rate: float):
        self._channel, self._rng = channel, rng
        #: Share of cycles in which it is ready.
        self.rate = rate

    def drive(self, ctx):
        ctx.set(self._channel.ready, self._rng.random() < self.rate)


def axi_channels(axi) -> dict[str, Channel]:
    """The five channels of an AXI4 or AXI4-Lite port."""
    members = [name for name in axi.signature.members]

    def channel(prefix: str) -> Channel:
        payload = {name.removeprefix(prefix): getattr(axi, name) for name in members
                   if name.startswith(prefix) and name not in (f"{prefix}valid", f"{prefix}ready")}
        return Channel(prefix, getattr(axi, f"{prefix}valid"), getattr(axi, f"{prefix}ready"), **payload)

    return {prefix: channel(prefix) for prefix in ("aw", "w", "b", "ar", "r")}


class Memory:
    """Byte memory on an AXI4 bus, answering in order, every handshake held up at random.

    Checks what a manager must keep to (IHI 0022): whole aligned beats, INCR, no page crossed, WLAST at the last beat.
    Takes write data before or after their address.
    """

    def __init__(self, channels: dict[str, Channel], beat_bytes: int, longest: int, rng: random.Random, rate: float = 1,
                 error_rate: float = 0):
        self._channels, self._beat, self._longest, self._rng = channels, beat_bytes, longest, rng
        self._error_rate = error_rate
        self.content: dict[int, int] = {}
        self.sources = {name: Source(channels[name], rng, rate) for name in ("r", "b")}
        self.sinks = {name: Sink(channels[name], rng, rate) for name in ("aw", "w", "ar")}
        self._addresses, self._bursts, self._beats = deque(), deque(), []
        #: (address, beats) of every burst, and per beat or burst whether it was answered with an error.
        self.reads, self.writes = [], []
        self.read_errors, self.write_errors = [], []
        #: Beats with all strobes off.
        self.dropped_beats = 0
        self.most_reads = self.most_writes = self._reads_open = self._writes_open = 0

    def read(self, address: int) -> int:
        """A beat: what was written, else something of the address."""
        return int.from_bytes(bytes(self.content.get(address + byte, (address + byte) * 37 % 251)
                                    for byte in range(self._beat)), "little")

    def _response(self) -> int:
        # 1 is EXOKAY, which a manager that never asks for exclusive access must not get.
        return self._rng.choice((1, 2, 3)) if self._rng.random() < self._error_rate else OKAY

    def _burst(self, request: dict) -> tuple[int, int]:
        address, beats = request["addr"], request["len"] + 1
        assert 1 << request["size"] == self._beat and request["burst"] == 1 and request["id"] == 0
        assert address % self._beat == 0 and beats <= self._longest
        assert address // PAGE_BYTES == (address + beats * self._beat - 1) // PAGE_BYTES, "a burst crosses a page"
        return address, beats

    def _finish_write(self):
        (address, beats), data = self._addresses.popleft(), self._bursts.popleft()
        assert len(data) == beats, f"WLAST after {len(data)} of {beats} beats"
        for index, (word, strobes) in enumerate(data):
            for byte in range(self._beat):
                if strobes >> byte & 1:
                    self.content[address + self._beat * index + byte] = word >> 8 * byte & 0xFF
        self.writes.append((address, beats))
        response = self._response()
        self.write_errors.append(response != OKAY)
        self.sources["b"].queue.append({"id": 0, "resp": response})

    def react(self):
        """After a cycle."""
        fired = {name: channel.fired for name, channel in self._channels.items()}
        if fired["ar"]:
            address, beats = self._burst(fired["ar"])
            self.reads.append((address, beats))
            self._reads_open += 1
            for index in range(beats):
                response = self._response()
                self.read_errors.append(response != OKAY)
                self.sources["r"].queue.append({"id": 0, "data": self.read(address + self._beat * index),
                                                "resp": response, "last": index == beats - 1})
        if fired["r"]:
            self._reads_open -= fired["r"]["last"]
        if fired["aw"]:
            self._addresses.append(self._burst(fired["aw"]))
            self._writes_open += 1
        if fired["w"]:
            strobes = fired["w"]["strb"]
            assert strobes in (0, (1 << self._beat) - 1)
            self.dropped_beats += strobes == 0
            self._beats.append((fired["w"]["data"], strobes))
            if fired["w"]["last"]:
                self._bursts.append(self._beats)
                self._beats = []
        if fired["b"]:
            self._writes_open -= 1
        if self._addresses and self._bursts:
            self._finish_write()
        self.most_reads = max(self.most_reads, self._reads_open)
        self.most_writes = max(self.most_writes, self._writes_open)

    @property
    def settled(self) -> bool:
        """Everything that was begun is answered, and the answers were taken."""
        return not (self._addresses or self._bursts or self._beats or any(s.queue for s in self.sources.values()))


async def cycle(ctx, actors, channels, *extra):
    """One clock cycle: actors drive, channels are checked. Returns the values of ``extra`` in that cycle."""
    for actor in actors:
        actor.drive(ctx)
    signals = [signal for channel in channels for signal in channel.signals]
    _, _, *values = await ctx.tick().sample(*signals, *extra)
    for channel in channels:
        count = len(channel.signals)
        channel.update(values[:count])
        values = values[count:]
    return values


def check_outputs_are_registered(dut, port: str, rng: random.Random, cycles: int = 300):
    """Random values on all inputs, changed in the middle of every cycle: the outputs of ``port`` must hold still.

    Stronger than what AXI asks for, that no VALID may hang on a READY within a cycle (A3.1).
    """
    members = list(dut.signature.flatten(dut))
    inputs = [Value.cast(value) for _, member, value in members if member.flow is In]
    outputs = {path[1]: value for path, member, value in members if member.flow is Out and path[0] == port}
    seen = set()

    async def testbench(ctx):
        for _ in range(cycles):
            for value in inputs:
                ctx.set(value, rng.getrandbits(len(value)))
            before = {name: ctx.get(value) for name, value in outputs.items()}
            for value in inputs:
                ctx.set(value, rng.getrandbits(len(value)))
            assert {name: ctx.get(value) for name, value in outputs.items()} == before
            seen.add(tuple(before.items()))
            await ctx.tick()

    sim = Simulator(dut)
    sim.add_clock(1e-6)
    sim.add_testbench(testbench)
    sim.run()
    assert len(seen) > 10, "the outputs hardly ever changed"
