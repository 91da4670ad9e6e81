"""The units that move activations: loads and stores (hw/transfer.py)."""

from __future__ import annotations

from itertools import count

from arch import latency
from arch.config import EngineConfig
from arch.depths import OUTSTANDING_BURSTS
from compiler.timing.kernel import QUEUE_LATENCY, Events, Kernel, Queue, Tape
from compiler.timing.memory import Client, Memory, Rate, bursts
from compiler.timing.work import Operation, beat_memories

STORE_QUEUE = 2 * (latency.ACTIVATION_READ + 1)
"""Beats that a store has asked for and not sent."""


class Done:
    """Layers, loads and stores that have ended: event k is the first cycle in which k + 1 of them are counted."""

    def __init__(self, kernel: Kernel):
        self.layers, self.loads, self.stores = (Events(kernel) for _ in range(3))

    def met(self, operation: Operation):
        """Process: the first cycle in which all that ``operation`` waits for has ended."""
        cycle = yield from self.layers.get(operation.wait_layers - 1)
        return max(cycle, (yield from self.loads.get(operation.wait_loads - 1)),
                   (yield from self.stores.get(operation.wait_stores - 1)))


class LoadUnit(Client):
    """Writes beats to the activation memory as they come; the post-processor's writes go first."""

    def __init__(self, kernel: Kernel, config: EngineConfig, channel, index: int, operations: list[Operation],
                 queue: Queue, done: Done, writes: Tape):
        super().__init__(kernel, config, channel, index)
        self._operations = operations
        self._queue = queue
        self._done = done
        self._writes = writes
        self._ended = Events(kernel)
        self._asked = 0
        #: By beat: the memories it goes to and whether it is the last one of its load; when it came and was written.
        self._beats: list[tuple[int, bool]] = []
        self._came, self._written = Events(kernel), Events(kernel)
        kernel.start(self._run())
        kernel.start(self._write())

    def fits(self, cycle: int, beats: int):
        self._asked += beats
        before = self._asked - OUTSTANDING_BURSTS * self.config.burst_beats - 1
        came = yield from self._came.get(before)
        return max(cycle, came + 1 + latency.BURST_SPACE) if before >= 0 else cycle

    def _run(self):
        ended = 0
        for number, load in enumerate(self._operations):
            visible = yield from self._queue.visible(number)
            taken = max(visible, (yield from self._done.met(load)))
            taken = max(taken + latency.MET, ended + 1, self.free)
            self._queue.take(taken)
            touched = beat_memories(load.activation_address, load.beats, self.config)
            first = len(self._beats)
            self._beats += [(one, number == load.beats) for number, one in enumerate(touched, 1)]
            yield from self.read(taken, load.memory_address, list(range(first, len(self._beats))))
            ended = yield from self._ended.get(number)

    def beat(self, beat: int, offered: int):
        # One beat waits at most.
        offered = max(offered, (yield from self._written.get(beat - 1)))
        self.last_beat = offered
        self._came.post(offered)
        return offered

    def _write(self):
        """The beats are written one by one, from the cycle after they come on."""
        written = 0
        for number in count():
            cycle = max((yield from self._came.get(number)) + latency.LOAD_BEAT, written + 1)
            touched, last = self._beats[number]
            while True:
                # The post-processor reads a residual so many cycles before the write.
                if cycle >= self.kernel.now + latency.POST_WRITE - latency.POST_READ:
                    yield cycle
                if not self._writes.at(cycle) & touched:
                    break
                cycle += 1
            written = cycle
            self._written.post(cycle)
            if last:
                self._done.loads.post(cycle + latency.DONE)
                self._ended.post(cycle)


class StoreUnit:
    """Reads the activation memory when neither the array nor the post-processor does, and sends bursts."""

    def __init__(self, kernel: Kernel, config: EngineConfig, memory: Memory, operations: list[Operation], queue: Queue,
                 done: Done, others: tuple[Tape, ...], urgent: dict[int, int]):
        self._kernel = kernel
        self._config = config
        self._memory = memory
        self._operations = operations
        self._queue = queue
        self._done = done
        self._others = others
        self._urgent = urgent
        kernel.start(self._run())

    def _run(self):
        rate = Rate(self._memory)
        free = 0
        for number, store in enumerate(self._operations):
            visible = yield from self._queue.visible(number)
            taken = max(max(visible, (yield from self._done.met(store))) + latency.MET, free)
            self._queue.take(taken)
            sizes = bursts(store.memory_address, store.beats, self._config)
            # Data are taken from the cycle after their request on.
            requested = [taken + latency.BURST_LENGTH * (burst + 1) for burst, size in enumerate(sizes)
                         for _ in range(size)]
            sent: list[int] = []
            cycle = taken + 1
            for beat, touched in enumerate(beat_memories(store.activation_address, store.beats, self._config)):
                # Reads never outnumber the places of the queue. A beat is asked for when the one before is read.
                if beat >= STORE_QUEUE:
                    cycle = max(cycle, sent[beat - STORE_QUEUE] + 1)
                cycle += 1
                while True:
                    # What the others do in a cycle is known once it is over.
                    if self._kernel.now <= cycle:
                        yield cycle + 1
                    if not (cycle in self._urgent or any(tape.at(cycle) & touched for tape in self._others)):
                        break
                    cycle += 1
                ready = max(cycle + latency.ACTIVATION_READ + QUEUE_LATENCY, sent[-1] + 1 if sent else 0,
                            requested[beat] + 1)
                sent.append(rate.take(ready))
            done = sent[-1] + 1 + self._memory.latency
            self._done.stores.post(done + 1 + latency.DONE)
            free = done + 2
