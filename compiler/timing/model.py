"""The whole engine: units, the queues between them, and what comes out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from arch import descriptor
from arch.config import EngineConfig
from arch.descriptor import Opcode
from arch.latency import QUIET
from compiler.timing.builder import WeightPath
from compiler.timing.dispatch import Dispatcher
from compiler.timing.drain import PostProcessor
from compiler.timing.kernel import Kernel, Tape
from compiler.timing.memory import IDEAL, Memory, ReadChannel
from compiler.timing.parameters import Parameters
from compiler.timing.passes import PassSequencer
from compiler.timing.requests import Requests
from compiler.timing.transfer import Done, LoadUnit, StoreUnit
from compiler.timing.masks import MaskReader
from compiler.timing.work import Layer, Operation

CLIENTS = ("program", "mask", "parameter", "load")
"""The arbiter's clients, in its order."""


@dataclass(frozen=True)
class Prediction:
    """What a run of a program takes on an engine that was just reset."""

    #: From the start pulse to `done`, as the harness counts them.
    cycles: int
    #: By LAYER operation, the cycle of its layer_start.
    starts: tuple[int, ...]

    @property
    def operations(self) -> tuple[int, ...]:
        """Cycles from each operation's layer_start to the next one's, from the last one's to the end."""
        return tuple(end - start for start, end in zip(self.starts, (*self.starts[1:], self.cycles)))


def predict(config: EngineConfig, program: Sequence[bytes], requests: Sequence[Requests], memory: Memory = IDEAL, *,
            address: int = 0) -> Prediction:
    """Cycles of ``program``, a list of descriptors at ``address``, with the ``requests`` of each of its LAYERs' mask
    streams. ``memory`` has a ``latency`` and a ``rate`` like :class:`~compiler.timing.memory.Memory`. Raises ValueError
    for a program that would never end."""
    fields = [descriptor.unpack(one) for one in program]
    streams = iter(requests)
    operations = [Layer(config, one, next(streams)) if one["opcode"] == Opcode.LAYER else Operation(config, one)
                  for one in fields]
    layers, loads, stores = ([operation for operation in operations if operation.opcode == opcode]
                             for opcode in (Opcode.LAYER, Opcode.LOAD, Opcode.STORE))

    kernel = Kernel()
    channel = ReadChannel(kernel, memory, len(CLIENTS))
    done = Done(kernel)
    reads, writes = Tape(), Tape()
    urgent: dict[int, int] = {}
    dispatcher = Dispatcher(kernel, config, channel, CLIENTS.index("program"), operations, address)
    queues = dispatcher.queues
    masks = MaskReader(kernel, config, channel, CLIENTS.index("mask"), layers, queues["mask_read"])
    parameters = Parameters(kernel, config, channel, CLIENTS.index("parameter"), layers, queues["parameters"],
                            queues["parameter_read"])
    load = LoadUnit(kernel, config, channel, CLIENTS.index("load"), loads, queues["load"], done, writes)
    weights = WeightPath(kernel, config, layers, queues, masks)
    sequencer = PassSequencer(kernel, config, layers, queues["passes"], done, weights, urgent)
    PostProcessor(kernel, config, layers, queues["post"], done, parameters, sequencer, urgent, reads, writes)
    StoreUnit(kernel, config, memory, stores, queues["store"], done, (sequencer.windows, reads), urgent)
    kernel.run()

    for name, operations_of, events in (("layers", layers, done.layers), ("loads", loads, done.loads),
                                        ("stores", stores, done.stores)):
        if len(events.cycles) < len(operations_of):
            raise ValueError(f"program never ends: {len(events.cycles)} of {len(operations_of)} {name} do; check what "
                             "its operations wait for, and whether the masks it keeps fit")
    quiet = max(client.last_beat for client in (dispatcher, masks, parameters, load)) + QUIET
    end = max(dispatcher.end, quiet, *(events.cycles[-1] for events in (done.layers, done.loads, done.stores)
                                                 if events.cycles))
    return Prediction(end + 1, tuple(sequencer.started.cycles))
