"""The units that move activations: loads and stores (hw/transfer.py)."""

from __future__ import annotations

from arch import latency
from arch.config import EngineConfig
from arch.depths import OUTSTANDING_BURSTS
from compiler.timing.kernel import QUEUE_LATENCY, Events, Kernel, Queue, Tape
from compiler.timing.memory import Client, Memory, Rate, bursts
from compiler.timing.work import Operation, beat_memories

STORE_QUEUE = 2 * (latency.ACTIVATION_READ + 1)
"""Beats that a store has read and not sent."""


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
        self._came = Events(kernel)
        kernel.start(self._run())

    def fits(self, cycle: int, beats: int):
        self._asked += beats
        came = yield from self._came.get(self._asked - OUTSTANDING_BURSTS * self.config.burst_beats - 1)
        return max(cycle, came + 1)

    def _run(self):
        ended = 0
        for number, load in enumerate(self._operations):
            visible = yield from self._queue.visible(number)
            taken = max(visible, (yield from self._done.met(load)), ended + 1, self.free)
            self._queue.take(taken)
            touched = beat_memories(load.activation_address, load.beats, self.config)
            beats = [(one, number == load.beats) for number, one in enumerate(touched, 1)]
            yield from self.read(taken, load.memory_address, beats)
            ended = yield from self._ended.get(number)

    def beat(self, beat: tuple[int, bool], offered: int):
        touched, last = beat
        # The post-processor decides on a write POST_WRITE cycles ahead.
        if offered >= self.kernel.now + latency.POST_WRITE:
            yield offered
        while self._writes.at(offered) & touched:
            offered += 1
            if offered >= self.kernel.now + latency.POST_WRITE:
                yield offered
        self.last_beat = offered
        self._came.post(offered)
        if last:
            self._done.loads.post(offered + latency.DONE)
            self._ended.post(offered)
        return offered


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
            taken = max(visible, (yield from self._done.met(store)), free)
            self._queue.take(taken)
            sizes = bursts(store.memory_address, store.beats, self._config)
            # Requests go out one per cycle; data are taken from the cycle after their request on.
            requested = [taken + 1 + burst for burst, size in enumerate(sizes) for _ in range(size)]
            reads: list[int] = []
            sent: list[int] = []
            cycle = taken + 1
            for beat, touched in enumerate(beat_memories(store.activation_address, store.beats, self._config)):
                # Reads never outnumber the places of the queue.
                if beat >= STORE_QUEUE:
                    cycle = max(cycle, sent[beat - STORE_QUEUE] + 1)
                while True:
                    # What the others do in a cycle is known once it is over.
                    if self._kernel.now <= cycle:
                        yield cycle + 1
                    if not (self._urgent.get(cycle, 0) & touched or any(
                            tape.at(cycle) & touched for tape in self._others)):
                        break
                    cycle += 1
                reads.append(cycle)
                ready = max(cycle + latency.ACTIVATION_READ + QUEUE_LATENCY, sent[-1] + 1 if sent else 0,
                            requested[beat] + 1)
                sent.append(rate.take(ready))
                cycle += 1
            done = sent[-1] + 1 + self._memory.latency
            self._done.stores.post(done + 1 + latency.DONE)
            free = done + 2
