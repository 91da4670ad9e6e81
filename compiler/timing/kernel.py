"""Time in the timing model: processes that post when things happen, to each other.

A process is a generator that stands for one unit of the engine. It computes in which cycle its next event happens from
cycles that others have posted, and posts that cycle in turn, often long before the kernel's clock gets there: an event
that waits for several others happens in the latest of their cycles, whenever that becomes known. Only what depends on
others *not* having done something by a cycle (an arbiter's choice, a refused read) has to wait for the clock.

A posted cycle is never earlier than the clock, and cycles of one kind are posted in order.
"""

from __future__ import annotations

import heapq
from bisect import bisect_right
from collections.abc import Callable, Generator

QUEUE_LATENCY = 2
"""From the cycle in which an entry is written to an empty queue to the first one in which it is at its output: a
register in front of the storage and one behind it (amaranth.lib.fifo.SyncFIFOBuffered)."""

_NEVER = 1 << 62


class _Process:
    __slots__ = ("generator", "ticket")

    def __init__(self, generator: Generator):
        self.generator = generator
        self.ticket = 0


class Kernel:
    """Runs processes in the order of their cycles.

    A process yields what it waits for: a cycle, a :class:`Signal`, or a tuple of a cycle and signals, whichever comes
    first. It goes on with ``now`` at that cycle, or at the cycle in which the signal was notified.
    """

    def __init__(self):
        self.now = 0
        self._agenda: list = []
        self._order = 0

    def start(self, generator: Generator):
        """Adds a process that begins in the current cycle."""
        self.schedule(_Process(generator), 0, self.now)

    def schedule(self, process: _Process, ticket: int, cycle: int):
        """Lets ``process`` go on in ``cycle`` unless it has gone on since it was given ``ticket``."""
        self._order += 1
        heapq.heappush(self._agenda, (cycle, self._order, process, ticket))

    def run(self):
        """Runs until nobody waits for a cycle any more."""
        agenda = self._agenda
        while agenda:
            cycle, _, process, ticket = heapq.heappop(agenda)
            if ticket != process.ticket:
                continue
            self.now = cycle
            process.ticket = ticket = ticket + 1
            wait = next(process.generator, None)
            for one in wait if type(wait) is tuple else (wait,):
                if type(one) is int:
                    self.schedule(process, ticket, max(one, cycle))
                elif one is not None:
                    one.waiting.append((process, ticket))


class Signal:
    """Something that processes can wait for."""

    __slots__ = ("kernel", "waiting")

    def __init__(self, kernel: Kernel):
        self.kernel = kernel
        self.waiting: list = []

    def notify(self):
        """Lets all that wait go on."""
        if self.waiting:
            waiting, self.waiting = self.waiting, []
            for process, ticket in waiting:
                self.kernel.schedule(process, ticket, self.kernel.now)


class Events(Signal):
    """Cycles of events of one kind, in order: ``cycles[k]`` is that of event number k, once it is known."""

    __slots__ = ("cycles",)

    def __init__(self, kernel: Kernel):
        super().__init__(kernel)
        self.cycles: list[int] = []

    def post(self, cycle: int):
        """The next event happens in ``cycle``."""
        self.cycles.append(cycle)
        if self.waiting:
            self.notify()

    def get(self, number: int):
        """Process: the cycle of event ``number``; 0 for a negative one, which nobody has to wait for."""
        while number >= len(self.cycles):
            yield self
        return self.cycles[number] if number >= 0 else 0


class RecentEvents(Events):
    """Events of which only the latest are remembered: more than anyone looks back."""

    __slots__ = ("_forgotten",)

    _LENGTH = 1 << 13

    def __init__(self, kernel: Kernel):
        super().__init__(kernel)
        self._forgotten = 0

    def get(self, number: int):
        while number >= self._forgotten + len(self.cycles):
            yield self
        if 0 <= number < self._forgotten:
            raise IndexError(f"event {number} is forgotten")
        return self.cycles[number - self._forgotten] if number >= 0 else 0

    def posted(self):
        """Events have been appended to ``cycles``."""
        if len(self.cycles) > self._LENGTH:
            self._forgotten += self._LENGTH // 2
            del self.cycles[:self._LENGTH // 2]
        self.notify()


class Queue:
    """A stream queue of hw/queue.py: when entries are written, can be seen at the output, and are taken."""

    def __init__(self, kernel: Kernel, depth: int):
        self._held = depth - 1  # behind the output register
        self._written = Events(kernel)
        self._taken = Events(kernel)
        self._seen: list[int] = []

    def visible(self, number: int):
        """Process: the first cycle in which entry ``number`` is at the output."""
        seen = self._seen
        while len(seen) <= number:
            entry = len(seen)
            written = yield from self._written.get(entry)
            free = yield from self._taken.get(entry - 1)
            if len(seen) == entry:  # or somebody else who waited for it was faster
                seen.append(max(written + QUEUE_LATENCY, free + 1 if entry else 0))
        return seen[number]

    def room(self):
        """Process: the first cycle in which the next entry can be written."""
        return (yield from self.visible(len(self._written.cycles) - self._held)) if (
            len(self._written.cycles) >= self._held) else 0

    def write(self, cycle: int):
        """The next entry is written in ``cycle``."""
        self._written.post(cycle)

    def take(self, cycle: int):
        """The next entry is taken from the output in ``cycle``."""
        self._taken.post(cycle)


class Tape:
    """What a port of the activation memory does, by cycle: runs of consecutive cycles, each cycle with the memories it
    reads or writes as a mask of bits."""

    _LENGTH = 256

    def __init__(self):
        self._firsts: list[int] = []
        self._runs: list[tuple[int, Callable[[], list[int]]]] = []  # end, masks

    def add(self, now: int, first: int, length: int, masks: Callable[[], list[int]]):
        """From cycle ``first`` on, behind all runs so far, one of ``masks()`` in each of ``length`` cycles. What ended
        before ``now`` may be forgotten."""
        if len(self._runs) > self._LENGTH and self._runs[self._LENGTH // 2][0] < now - 1:
            del self._runs[:self._LENGTH // 2], self._firsts[:self._LENGTH // 2]
        self._firsts.append(first)
        self._runs.append((first + length, masks))

    def run(self, cycle: int) -> tuple[list[int] | None, int]:
        """The masks from ``cycle`` on, None if the port is idle, and the first cycle for which that is not the
        answer."""
        following = bisect_right(self._firsts, cycle)
        if following:
            end, masks = self._runs[following - 1]
            if cycle < end:
                return masks()[cycle - self._firsts[following - 1]:], end
        return None, self._firsts[following] if following < len(self._firsts) else _NEVER

    def at(self, cycle: int) -> int:
        """The mask of ``cycle``: 0 if the port is idle."""
        number = bisect_right(self._firsts, cycle) - 1
        if number < 0:
            return 0
        end, masks = self._runs[number]
        return masks()[cycle - self._firsts[number]] if cycle < end else 0
