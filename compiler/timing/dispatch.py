"""The dispatcher: descriptors in, commands out (hw/dispatch.py)."""

from __future__ import annotations

from arch import descriptor
from arch.descriptor import Opcode
from compiler.timing.kernel import QUEUE_LATENCY, Events, Kernel, Queue
from compiler.timing.memory import Client
from compiler.timing.work import Operation

COMMANDS_AHEAD = 2
"""Depth of the queue behind each unit (hw/engine.py)."""

CHECK = 2
"""From a descriptor's last beat to the cycle from which that beat may leave the dispatcher's queue: it waits until the
checksum is known."""

LAYER_QUEUES = ("mask", "mask_read", "parameters", "parameter_read", "decode", "build", "passes", "post")


class Dispatcher(Client):
    """Reads a descriptor while the one before it waits for its units."""

    def __init__(self, kernel: Kernel, config, channel, index: int, operations: list[Operation], address: int):
        super().__init__(kernel, config, channel, index)
        self.queues = {name: Queue(kernel, COMMANDS_AHEAD) for name in (*LAYER_QUEUES, "load", "store")}
        #: The cycle in which END is reached, once it is known.
        self.end = Events(kernel)
        self._operations = operations
        self._address = address
        self._beats = Events(kernel)
        kernel.start(self._run())

    def beat(self, number: int, offered: int):
        # With room for one beat behind the output register, the second beat waits until the first has moved on.
        if number and self.config.bus_bytes * 2 == descriptor.BYTES:
            offered = max(offered, self._beats.cycles[-1] + QUEUE_LATENCY)
        self._beats.post(offered)
        self.last_beat = offered
        return offered
        yield

    def _run(self):
        count = descriptor.BYTES // self.config.bus_bytes
        wanted, obeyed = 1, 0  # the fetcher asks from the cycle after `start` on
        for number, operation in enumerate(self._operations):
            yield from self.read(wanted, self._address + number * descriptor.BYTES, count)
            left = 0
            for beat in range(count):
                came = yield from self._beats.get(number * count + beat)
                left = max(came + QUEUE_LATENCY, left + 1, obeyed + 1)
            left = max(left, came + CHECK)
            wanted = left + 1
            obeyed = yield from self._obey(operation, left + 1)

    def _obey(self, operation: Operation, cycle: int):
        names = {Opcode.LOAD: ("load",), Opcode.STORE: ("store",), Opcode.LAYER: LAYER_QUEUES}
        if operation.opcode == Opcode.END:
            self.end.post(cycle + 1)
        queues = [self.queues[name] for name in names.get(operation.opcode, ())]
        for queue in queues:
            cycle = max(cycle, (yield from queue.room()))
        for queue in queues:
            queue.write(cycle)
        return cycle
