"""The units that move activations between the memory interface and the activation memory."""

from amaranth import *
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from arch import latency
from arch.config import EngineConfig
from hw.commands import COUNT_BITS, ReadCommand, TransferCommand
from hw.memory import POSITION_BITS, BurstSplitter, burst_request, read_beat
from hw.queue import Queue

__all__ = ["LoadUnit", "StoreUnit", "dependencies_met"]


def dependencies_met(counts, command) -> Value:
    """Whether as many layers, loads and stores are complete as ``command`` waits for."""
    return ((counts.layers_done >= command.wait_layers) & (counts.loads_done >= command.wait_loads)
            & (counts.stores_done >= command.wait_stores))


class LoadUnit(wiring.Component):
    """Copies beats from memory to the activation memory.

    Operation: waits until the layers, loads and stores it depends on are done, has its beats read and writes them to
    consecutive activation addresses, whole beats as they come. ``done`` follows the last write.

    Latency: ``latency.MET`` cycles from a command that waits for nothing to its read, ``latency.LOAD_BEAT`` from a beat
    to its data at the activation memory.
    """

    def __init__(self, config: EngineConfig):
        self._config = config
        address = config.activation_address_bits
        super().__init__({
            "command": In(stream.Signature(TransferCommand)),
            #: Completed layers of this program.
            "layers_done": In(COUNT_BITS),
            #: Completed loads of this program.
            "loads_done": In(COUNT_BITS),
            #: Completed stores of this program.
            "stores_done": In(COUNT_BITS),
            #: To the burst reader.
            "read": Out(stream.Signature(ReadCommand)),
            #: From the burst reader.
            "beats": In(stream.Signature(read_beat(config))),
            #: To the activation memory.
            "load": Out(stream.Signature(data.StructLayout({"address": address, "data": config.bus_bits}))),
            #: One cycle: a load has ended, and a read asked for in the next one sees its bytes.
            "done": Out(1),
        })

    def elaborate(self, platform):
        m = Module()
        command = self.command.payload
        left = Signal.like(command.beats)
        address = Signal(self._config.activation_address_bits)
        # `met` still is that of the command before in the first cycle of a load, when it does not matter.
        met, busy, last = Signal(), Signal(), Signal()

        m.d.sync += met.eq(self.command.valid & dependencies_met(self, command))
        m.d.comb += [
            self.read.valid.eq(met & ~busy),
            self.read.payload.address.eq(command.memory_address),
            self.read.payload.beats.eq(command.beats),
            self.read.payload.position.eq(command.position),
            self.command.ready.eq(self.read.ready & met & ~busy),
            self.load.valid.eq(self.beats.valid),
            self.load.payload.address.eq(address),
            self.load.payload.data.eq(self.beats.payload.data),
            self.beats.ready.eq(self.load.ready),
            last.eq(left == 1),
        ]
        m.d.sync += self.done.eq(0)
        with m.If(self.command.valid & self.command.ready):
            m.d.sync += [busy.eq(1), left.eq(command.beats), address.eq(command.activation_address)]
        # A beat that is taken waits to be written.
        waiting = Signal()
        with m.If(self.load.ready):
            m.d.sync += waiting.eq(self.load.valid)
            with m.If(self.load.valid):
                m.d.sync += address.eq(address + self._config.bus_bytes)
            with m.If(waiting):
                m.d.sync += [left.eq(left - 1), busy.eq(~last), self.done.eq(last)]
        return m


class StoreUnit(wiring.Component):
    """Copies beats from the activation memory to memory, burst by burst.

    Operation: waits until the layers, loads and stores it depends on are done; sends every burst's request, then its
    data. ``done`` follows the acknowledgement of the last burst.

    Latency: ``latency.MET`` cycles before a command that waits for nothing is taken, ``latency.BURST_LENGTH`` more to
    its first request, and between two requests.
    """

    def __init__(self, config: EngineConfig):
        self._config = config
        super().__init__({
            "command": In(stream.Signature(TransferCommand)),
            #: Completed layers of this program.
            "layers_done": In(COUNT_BITS),
            #: Completed loads of this program.
            "loads_done": In(COUNT_BITS),
            #: Completed stores of this program.
            "stores_done": In(COUNT_BITS),
            #: Read requests to the activation memory; they are read in the next cycle with ``ready``.
            "store": Out(stream.Signature(data.StructLayout({"address": config.activation_address_bits}))),
            #: Their data, ACTIVATION_READ cycles after the read.
            "store_data": In(config.bus_bits),
            "write_request": Out(stream.Signature(burst_request(config))),
            "write_data": Out(stream.Signature(config.bus_bits)),
            "write_done": In(stream.Signature(0)),
            #: The descriptor that write bursts on their way belong to.
            "position": Out(POSITION_BITS),
            #: One cycle: a store has ended and memory has acknowledged it.
            "done": Out(1),
        })

    def elaborate(self, platform):
        m = Module()
        config = self._config
        command = self.command.payload
        depth = 2 * (latency.ACTIVATION_READ + 1)
        m.submodules.queue = queue = Queue(config.bus_bits, depth)

        m.submodules.splitter = splitter = BurstSplitter(config, TransferCommand["beats"].shape)
        to_read = Signal.like(command.beats)
        bursts_open = Signal.like(command.beats)
        # `met` still is that of the command before in the first cycle of a store, when it does not matter.
        met, busy, requesting = Signal(), Signal(), Signal()

        m.d.sync += met.eq(self.command.valid & dependencies_met(self, command))
        m.d.comb += [
            self.command.ready.eq(met & ~busy),
            splitter.start.eq(met & ~busy),
            splitter.address.eq(command.memory_address),
            splitter.beats.eq(command.beats),
        ]
        with m.If(met & ~busy):
            m.d.sync += [
                busy.eq(1),
                requesting.eq(1),
                to_read.eq(command.beats),
                self.position.eq(command.position),
                self.store.payload.address.eq(command.activation_address),
            ]

        # Requests run ahead of their data.
        requested = Signal()
        m.d.comb += [
            self.write_request.valid.eq(splitter.burst.beats != 0),
            self.write_request.payload.eq(splitter.burst),
            requested.eq(self.write_request.valid & self.write_request.ready),
            splitter.take.eq(requested),
            self.write_done.ready.eq(1),
        ]
        with m.If(requested & splitter.last):
            m.d.sync += requesting.eq(0)
        m.d.sync += bursts_open.eq(bursts_open + requested - self.write_done.valid)

        # Reads never outnumber the free places of the queue.
        held = Signal(range(depth + 1))
        taken, waiting = self.store.valid & self.store.ready, Signal()
        with m.If(self.store.ready):
            m.d.sync += waiting.eq(self.store.valid)
        arrived = waiting & self.store.ready
        for _ in range(latency.ACTIVATION_READ):
            delayed = Signal()
            m.d.sync += delayed.eq(arrived)
            arrived = delayed
        m.d.comb += [
            self.store.valid.eq((to_read != 0) & (held != depth)),
            queue.enter.valid.eq(arrived),
            queue.enter.payload.eq(self.store_data),
            self.write_data.payload.eq(queue.leave.payload),
            self.write_data.valid.eq(queue.leave.valid),
            queue.leave.ready.eq(self.write_data.ready),
        ]
        m.d.sync += held.eq(held + taken - (self.write_data.valid & self.write_data.ready))
        with m.If(taken):
            m.d.sync += [
                to_read.eq(to_read - 1),
                self.store.payload.address.eq(self.store.payload.address + config.bus_bytes),
            ]

        m.d.sync += self.done.eq(0)
        with m.If(busy & ~requesting & (to_read == 0) & (held == 0) & (bursts_open == 0)):
            m.d.sync += [busy.eq(0), self.done.eq(1)]
        return m
