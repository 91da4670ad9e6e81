"""Bursts and beats: readers, arbiter and the memory behind them (hw/memory.py, hw/segments.py, sim/memory.sv)."""

from __future__ import annotations

from dataclasses import dataclass

from arch.config import SEGMENT_BYTES, EngineConfig
from arch.depths import OUTSTANDING_BURSTS, PAGE_BYTES
from arch.latency import BURST_LENGTH, BURST_REQUEST, TAG
from compiler.timing.kernel import Events, Kernel, Signal


@dataclass(frozen=True, kw_only=True)
class Memory:
    """A memory's timing: the default is ideal."""

    #: Cycles added before a read burst's first beat and before a write burst's acknowledgement.
    latency: int = 0
    #: (beats, cycles): at most that many beats in that many cycles, each way.
    rate: tuple[int, int] = (1, 1)

    def __post_init__(self):
        if not 0 <= self.latency < 1 << 20:
            raise ValueError(f"latency must be in 0..2^20-1, not {self.latency!r}")
        beats, cycles = self.rate
        if not 1 <= beats <= cycles < 1 << 15:
            raise ValueError(f"rate must be (beats, cycles) with 1 <= beats <= cycles < 2^15, not {self.rate!r}")


IDEAL = Memory()
"""One beat per cycle each way, no latency."""


def bursts(address: int, beats: int, config: EngineConfig) -> list[int]:
    """Beats of each burst of a transfer: they end at multiples of the longest burst, which has ``burst_beats`` or a
    page."""
    longest = min(config.burst_beats, PAGE_BYTES // config.bus_bytes)
    result = []
    while beats:
        burst = min(beats, longest - address // config.bus_bytes % longest)
        result.append(burst)
        address += burst * config.bus_bytes
        beats -= burst
    return result


def content_beats(beats: int, config: EngineConfig) -> list[bool]:
    """Which beats of ``beats`` in checked segments are content; the others are checksums."""
    segment = SEGMENT_BYTES // config.bus_bytes
    return [number % segment != segment - 1 and number != beats - 1 for number in range(beats)]


class Rate:
    """The memory's bandwidth in one direction: credit comes every cycle, a beat takes some."""

    def __init__(self, memory: Memory):
        self._gain, self._price = memory.rate
        self._limit = self._gain + self._price - 1
        self._credit, self._cycle = self._gain, 1

    def take(self, cycle: int) -> int:
        """The first cycle from ``cycle`` on in which a beat can be on offer."""
        missing = self._price - self._credit
        ready = max(cycle, self._cycle + -(-missing // self._gain) if missing > 0 else cycle)
        self._credit = min(self._limit, self._credit + self._gain * (ready - self._cycle)) - self._price
        self._cycle = ready
        return ready


@dataclass(eq=False, slots=True)
class _Burst:
    client: object
    beats: list
    valid: int
    granted: Events


class ReadChannel:
    """Arbiter and read data: bursts are granted round robin and answered in order."""

    def __init__(self, kernel: Kernel, memory: Memory, clients: int):
        self._kernel = kernel
        self._memory = memory
        self._clients = clients
        self._asked = Signal(kernel)
        self._requests: dict[int, _Burst] = {}
        self._granted: list[_Burst] = []
        self._grants = Events(kernel)
        #: First cycle in which each burst's tag is at the output of the arbiter's queue.
        self._tags = Events(kernel)
        kernel.start(self._arbitrate())
        kernel.start(self._answer())

    def ask(self, index: int, burst: _Burst):
        """Client ``index`` shows a request from the cycle ``burst.valid`` on."""
        self._requests[index] = burst
        self._asked.notify()

    def _arbitrate(self):
        kernel, requests = self._kernel, self._requests
        last = 0
        while True:
            if not requests:
                yield self._asked
                continue
            now = kernel.now
            shown = [index for index, burst in requests.items() if burst.valid <= now]
            if not shown:
                yield min(burst.valid for burst in requests.values()), self._asked
                continue
            # The tags behind the output register are one fewer than the bursts outstanding.
            number = len(self._granted)
            room = yield from self._tags.get(number - (OUTSTANDING_BURSTS - 1))
            if room > kernel.now:
                yield room
            if kernel.now > now:
                continue
            last = min(shown, key=lambda index: (index - last - 1) % self._clients)
            burst = requests.pop(last)
            self._granted.append(burst)
            self._grants.post(now)
            burst.granted.post(now)
            yield now + 1

    def _answer(self):
        rate = Rate(self._memory)
        number, tag, accepted = 0, 0, 0
        while True:
            granted = yield from self._grants.get(number)
            burst = self._granted[number]
            tag = max(granted + TAG, accepted + 1)
            self._tags.post(tag)
            offered = max(granted + 1 + self._memory.latency, accepted + 1)
            for beat in burst.beats:
                offered = rate.take(offered)
                accepted = yield from burst.client.beat(beat, max(offered, tag))
                offered = accepted + 1
            number += 1


class Client:
    """A burst reader and the unit that takes its beats."""

    def __init__(self, kernel: Kernel, config: EngineConfig, channel: ReadChannel, index: int):
        self.kernel = kernel
        self.config = config
        self._channel = channel
        self._index = index
        self._granted = Events(kernel)
        #: First cycle in which the next command can be taken.
        self.free = 0
        #: Cycle in which the last beat so far was taken.
        self.last_beat = 0

    def fits(self, cycle: int, beats: int):
        """Process: the first cycle from ``cycle`` on in which ``beats`` more beats are known to have room."""
        return cycle
        yield

    def read(self, taken: int, address: int, beats: list):
        """Process: makes the requests of a command taken in cycle ``taken``, for ``beats``: what :meth:`beat` is to
        know of each."""
        self.free, first = taken + 1, 0
        cycle = taken + BURST_LENGTH
        for burst in bursts(address, len(beats), self.config):
            cycle = yield from self.fits(cycle, burst)
            shown = _Burst(self, beats[first:first + burst], cycle + BURST_REQUEST, self._granted)
            self._channel.ask(self._index, shown)
            granted = yield from self._granted.get(len(self._granted.cycles))
            self.free, first = granted + 1, first + burst
            cycle = granted + BURST_LENGTH

    def beat(self, beat, offered: int):
        """Process: the cycle in which ``beat``, on offer from ``offered`` on, is taken."""
        raise NotImplementedError
