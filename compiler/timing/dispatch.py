"""The dispatcher: descriptors in, commands out (hw/dispatch.py)."""

from __future__ import annotations

from arch import descriptor
from arch.depths import COMMANDS_AHEAD
from arch.descriptor import Opcode
from arch.latency import CRC, GIVE, JUDGE, ROOM
from compiler.timing.kernel import QUEUE_LATENCY, Events, Kernel, Queue
from compiler.timing.memory import Client
from compiler.timing.work import Operation

"""Depth of the queue behind each unit (hw/engine.py)."""

CHECK = CRC + 1
"""From a descriptor's last beat to the cycle from which that beat may leave the dispatcher's queue: it waits until the
checksum is known."""

LAYER_QUEUES = ("mask", "mask_read", "parameters", "parameter_read", "decode", "build", "passes", "post")


class Dispatcher(Client):
    """Reads a descriptor while the one before it waits for its units."""

    def __init__(self, kernel: Kernel, config, channel, index: int, operations: list[Operation], address: int):
        super().__init__(kernel, config, channel, index)
        self.queues = {name: Queue(kernel, COMMANDS_AHEAD) for name in (*LAYER_QUEUES, "load", "store")}
        #: The cycle from which on it waits for everything to be done.
        self.end = 0
        self._operations = operations
        self._address = address
        self._beats = Events(kernel)
        #: By descriptor: the cycle in which its last beat leaves the queue between fetching and obeying.
        self._left = Events(kernel)
        kernel.start(self._fetch())
        kernel.start(self._obey())

    def beat(self, beat: int, offered: int):
        # With room for one beat behind the output register, the second beat waits until the first has moved on.
        if beat and self.config.bus_bytes * 2 == descriptor.BYTES:
            offered = max(offered, self._beats.cycles[-1] + QUEUE_LATENCY)
        self._beats.post(offered)
        self.last_beat = offered
        return offered
        yield

    def _fetch(self):
        beats = list(range(descriptor.BYTES // self.config.bus_bytes))
        for number in range(len(self._operations)):
            # The fetcher wants the first one in the cycle after `start`, each other one behind the one before it.
            wanted = 1 + (yield from self._left.get(number - 1))
            yield from self.read(wanted, self._address + number * descriptor.BYTES, beats)

    def _obey(self):
        beats = descriptor.BYTES // self.config.bus_bytes
        names = {Opcode.LOAD: ("load",), Opcode.STORE: ("store",), Opcode.LAYER: LAYER_QUEUES}
        obeyed = 0
        for number, operation in enumerate(self._operations):
            left = 0
            for beat in range(number * beats, (number + 1) * beats):
                came = yield from self._beats.get(beat)
                left = max(came + QUEUE_LATENCY, left + 1, obeyed + 1)
            left = max(left, came + CHECK)
            self._left.post(left)
            obeyed = left + 1 + JUDGE
            queues = [self.queues[name] for name in names.get(operation.opcode, ())]
            for queue in queues:
                obeyed = max(obeyed, (yield from queue.room()) + ROOM)
            for queue in queues:
                queue.write(obeyed + GIVE)
        self.end = obeyed + 1
