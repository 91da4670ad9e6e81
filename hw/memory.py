"""The engine's memory interface, and the arbiter and burst reader between it and the units that use it."""

from functools import reduce
from operator import or_

from amaranth import *
from amaranth.lib import data, fifo, stream, wiring
from amaranth.lib.wiring import In, Out

from arch.config import EngineConfig
from arch.depths import OUTSTANDING_BURSTS, PAGE_BYTES
from hw.commands import ReadCommand

__all__ = ["POSITION_BITS", "burst_request", "memory_port", "owned_request", "read_beat",
           "BurstReader", "ReadArbiter"]

POSITION_BITS = ReadCommand["position"].width
"""Width of a descriptor's index."""


def burst_request(config: EngineConfig) -> data.StructLayout:
    """A burst: the byte address of its first beat (a multiple of a beat) and its length in beats (1..burst_beats)."""
    return data.StructLayout({"address": 32, "beats": range(config.burst_beats + 1)})


def memory_port(config: EngineConfig) -> wiring.Signature:
    """The one interface through which everything reaches the engine, as the engine sees it.

    Read data come back in the order of the requests. ``write_done`` gives one token per write burst, once its data are
    visible to every later read. ``read_error`` goes with a beat of ``read_data`` and says that it is not what memory
    holds; ``write_error`` goes with a token and says that the burst was not written.
    """
    return wiring.Signature({
        "read_request": Out(stream.Signature(burst_request(config))),
        "read_data": In(stream.Signature(config.bus_bits)),
        "read_error": In(1),
        "write_request": Out(stream.Signature(burst_request(config))),
        "write_data": Out(stream.Signature(config.bus_bits)),
        "write_done": In(stream.Signature(0)),
        "write_error": In(1),
    })


def owned_request(config: EngineConfig) -> data.StructLayout:
    """A burst, the descriptor it is for, and whether it is the last one of its read command."""
    return data.StructLayout({**burst_request(config).members, "position": POSITION_BITS, "last": 1})


def read_beat(config: EngineConfig) -> data.StructLayout:
    """A beat that was read, the descriptor it is for, and whether it is the last one of its read command."""
    return data.StructLayout({"data": config.bus_bits, "position": POSITION_BITS, "last": 1})


class BurstSplitter(wiring.Component):
    """Splits a run of beats into bursts: each ends where its last beat does, or at a multiple of the longest burst.

    Operation: ``start`` begins a run, when the one before it is split. ``burst.beats`` is 0 while no burst is known.

    Latency: two cycles from ``start`` to the first burst, and from one that is taken to the next one.
    """

    def __init__(self, config: EngineConfig, count: Shape):
        self._config = config
        super().__init__({
            #: Begin a run at byte ``address`` (a multiple of a beat) of so many ``beats``.
            "start": In(1),
            "address": In(32),
            "beats": In(count),
            #: The next burst, and whether it ends the run.
            "burst": Out(burst_request(config)),
            "last": Out(1),
            #: Go on to the one behind it.
            "take": In(1),
        })

    def elaborate(self, platform):
        m = Module()
        # All pages are whole numbers of the longest burst: only the first burst of a run has less room.
        longest = min(self._config.burst_beats, PAGE_BYTES // self._config.bus_bytes)
        beat_shift = self._config.bus_bytes.bit_length() - 1
        burst = self.burst
        left, room = Signal.like(self.beats), Signal.like(burst.beats)
        m.d.sync += [
            burst.beats.eq(Mux(left < room, left, room)),
            self.last.eq(left <= room),
        ]
        with m.If(self.take):
            m.d.sync += [
                burst.address.eq(burst.address + (burst.beats << beat_shift)),
                burst.beats.eq(0),
                left.eq(left - burst.beats),
                room.eq(longest),
            ]
        with m.If(self.start):
            m.d.sync += [
                burst.address.eq(self.address),
                left.eq(self.beats),
                room.eq(longest - self.address[beat_shift:beat_shift + longest.bit_length() - 1]),
            ]
        return m


class BurstReader(wiring.Component):
    """Reads a run of beats as bursts, never asking for more than its consumer can take.

    Operation: takes one command at a time and issues bursts of at most ``burst_beats`` beats that do not cross a 4 KiB
    page. A burst is requested once the consumer's free ``space`` covers it and every beat still on its way.

    Latency: ``latency.BURST_LENGTH`` cycles from a command, or the burst before, to the decision on a burst,
    ``latency.BURST_REQUEST`` more to its request. A decision relies on the ``space`` of ``latency.BURST_SPACE`` cycles
    before.

    Members
    -------
    command : In(stream of ReadCommand)
        First byte address (a multiple of a beat) and number of beats; zero beats are allowed.
    space : In(unsigned)
        Beats the consumer can take, beats in flight not yet subtracted.
    request : Out(stream of owned_request)
    returned : In(1)
        A beat for this reader has come back and is accepted by the consumer in this cycle.
    busy : Out(1)
        There are beats to ask for, or on their way, or one has come in this cycle or the one before.
    """

    def __init__(self, config: EngineConfig, space: int):
        self._config = config
        super().__init__({
            #: What to read.
            "command": In(stream.Signature(ReadCommand)),
            #: Beats the consumer can take.
            "space": In(range(space + 1)),
            #: Bursts to the arbiter.
            "request": Out(stream.Signature(owned_request(config))),
            #: A requested beat has arrived.
            "returned": In(1),
            #: Not all beats have arrived.
            "busy": Out(1),
        })

    def elaborate(self, platform):
        m = Module()
        m.submodules.splitter = splitter = BurstSplitter(self._config, ReadCommand["beats"].shape)
        burst, request = splitter.burst, self.request.payload
        active = Signal()
        m.d.comb += [
            self.command.ready.eq(~active),
            splitter.start.eq(self.command.valid & ~active),
            splitter.address.eq(self.command.payload.address),
            splitter.beats.eq(self.command.payload.beats),
            splitter.take.eq(self.request.valid & self.request.ready),
            request.address.eq(burst.address),
            request.beats.eq(burst.beats),
            request.last.eq(splitter.last),
        ]
        with m.If(splitter.start):
            m.d.sync += [active.eq(self.command.payload.beats != 0), request.position.eq(self.command.payload.position)]

        # Space and beats that come back are seen a cycle late, both of them: what is free is never overrated.
        space, returned = Signal.like(self.space), Signal()
        free, in_flight = Signal.like(self.space), Signal(self.space.shape().width + 1)
        asked, fits = Signal.like(burst.beats), Signal()
        m.d.comb += fits.eq(~self.request.valid & (burst.beats != 0) & (burst.beats <= free))
        m.d.sync += [
            space.eq(self.space),
            returned.eq(self.returned),
            asked.eq(Mux(fits, burst.beats, 0)),
            in_flight.eq(in_flight + asked - returned),
            free.eq(space - in_flight - asked),
        ]
        with m.If(fits):
            m.d.sync += self.request.valid.eq(1)
        with m.If(splitter.take):
            m.d.sync += self.request.valid.eq(0)
            with m.If(splitter.last):
                m.d.sync += active.eq(0)
        m.d.comb += self.busy.eq(active | (in_flight != 0))
        return m


class ReadArbiter(wiring.Component):
    """Shares the memory interface's read side between several readers.

    Operation: grants burst requests round robin and remembers, in order, whose they are and how long; returned beats go
    to the owner of the oldest burst. Readers reserve space before they ask, so none that stalls blocks the others.

    Latency: none for requests and data (combinational); ``latency.TAG`` cycles from a granted request to its first beat
    being let through. Up to ``outstanding`` bursts in flight.

    Members
    -------
    requests : In(array of streams of owned_request)
    beats : Out(array of streams of read_beat)
    read_request, read_data
        The read half of :func:`memory_port`.
    client, position : Out
        Whose ``read_data`` are, and for which descriptor. Valid with ``read_data.valid & read_data.ready``.
    """

    def __init__(self, config: EngineConfig, clients: int, outstanding: int = OUTSTANDING_BURSTS):
        if clients < 2:
            raise ValueError(f"clients must be at least 2, not {clients!r}")
        if outstanding < 2:
            raise ValueError(f"outstanding must be at least 2, not {outstanding!r}")
        self._config = config
        self._clients = clients
        self._outstanding = outstanding
        super().__init__({
            #: Burst requests of each client.
            "requests": In(stream.Signature(owned_request(config))).array(clients),
            #: Beats for each client.
            "beats": Out(stream.Signature(read_beat(config))).array(clients),
            "read_request": Out(stream.Signature(burst_request(config))),
            "read_data": In(stream.Signature(config.bus_bits)),
            #: The client of the oldest burst, and its descriptor.
            "client": Out(range(clients)),
            "position": Out(POSITION_BITS),
        })

    def elaborate(self, platform):
        m = Module()
        config, clients = self._config, self._clients
        tag = data.StructLayout({"owner": clients, "beats": range(config.burst_beats + 1), "position": POSITION_BITS,
                                 "last": 1})
        m.submodules.tags = tags = fifo.SyncFIFO(width=tag.size, depth=self._outstanding - 1)
        tag_in, next_tag = data.View(tag, tags.w_data), data.View(tag, tags.r_data)

        # The first client from `turn` on that asks is chosen; one that was shown and not taken keeps its turn.
        turn = Signal(range(clients))
        asking = [request.valid for request in self.requests]
        chosen = Signal(clients)
        with m.Switch(turn):
            for first in range(clients):
                order = [(first + distance) % clients for distance in range(clients)]
                with m.Case(first):
                    for place, client in enumerate(order):
                        earlier = Cat(asking[other] for other in order[:place])
                        m.d.comb += chosen[client].eq(asking[client] & ~earlier.any())
        layout = owned_request(config)
        request = data.View(layout, reduce(or_, (one.payload.as_value() & chosen[client].replicate(layout.size)
                                                 for client, one in enumerate(self.requests))))
        m.d.comb += [
            self.read_request.payload.address.eq(request.address),
            self.read_request.payload.beats.eq(request.beats),
            self.read_request.valid.eq(Cat(asking).any() & tags.w_rdy),
            *(one.ready.eq(chosen[client] & self.read_request.ready & tags.w_rdy)
              for client, one in enumerate(self.requests)),
            tag_in.owner.eq(chosen),
            tag_in.beats.eq(request.beats),
            tag_in.position.eq(request.position),
            tag_in.last.eq(request.last),
            tags.w_en.eq(self.read_request.valid & self.read_request.ready),
        ]
        with m.If(self.read_request.valid):
            for client in range(clients):
                with m.If(chosen[client]):
                    m.d.sync += turn.eq(Mux(self.read_request.ready, (client + 1) % clients, client))

        # The tag of the oldest burst: its owner, if there is one, and how many beats come behind the next one.
        owner, last = Signal(clients), Signal()
        left, ends = Signal(range(config.burst_beats)), Signal()
        taken = Signal()
        m.d.comb += [
            taken.eq(self.read_data.valid & self.read_data.ready),
            tags.r_en.eq((owner == 0) | taken & ends),
            self.read_data.ready.eq((owner & Cat(beats.ready for beats in self.beats)).any()),
        ]
        with m.If(taken):
            m.d.sync += [left.eq(left - 1), ends.eq(left == 1)]
        with m.If(tags.r_en):
            m.d.sync += [
                owner.eq(next_tag.owner & tags.r_rdy.replicate(clients)),
                last.eq(next_tag.last),
                self.position.eq(next_tag.position),
                left.eq(next_tag.beats - 1),
                ends.eq(next_tag.beats == 1),
            ]
        for client, beats in enumerate(self.beats):
            m.d.comb += [
                beats.payload.data.eq(self.read_data.payload),
                beats.payload.position.eq(self.position),
                beats.payload.last.eq(last & ends),
                beats.valid.eq(self.read_data.valid & owner[client]),
            ]
            with m.If(owner[client]):
                m.d.comb += self.client.eq(client)
        return m
