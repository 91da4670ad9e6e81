"""The engine's memory interface, and the arbiter and burst reader between it and the units that use it."""

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


def next_burst(config: EngineConfig, address: Value, left: Value) -> Value:
    """Beats of the next burst of a transfer: as many as are left, as a burst may have, and as the page allows."""
    page_beats = PAGE_BYTES // config.bus_bytes
    beat_shift = config.bus_bytes.bit_length() - 1
    to_page_end = page_beats - address[beat_shift:PAGE_BYTES.bit_length() - 1]
    longest = Mux(to_page_end < config.burst_beats, to_page_end, config.burst_beats)
    return Mux(left < longest, left, longest)


class BurstReader(wiring.Component):
    """Reads a run of beats as bursts, never asking for more than its consumer can take.

    Operation: takes one command at a time and issues bursts of at most ``burst_beats`` beats that do not cross a 4 KiB
    page. A burst is requested once the consumer's free ``space`` covers it and every beat still on its way.

    Latency: one cycle from a command to the first request; one request every two cycles at most.

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
        There are beats to ask for, or on their way.
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
        address = Signal(32)
        left = Signal(32)
        position = Signal(POSITION_BITS)
        in_flight = Signal(self.space.shape().width + 1)
        requested = Signal.like(self.request.payload.beats)

        beats = next_burst(self._config, address, left)
        m.d.comb += [
            self.command.ready.eq((left == 0) & ~self.request.valid),
            self.busy.eq(~self.command.ready | (in_flight != 0)),
        ]
        with m.If(self.command.valid & self.command.ready):
            m.d.sync += [
                address.eq(self.command.payload.address),
                left.eq(self.command.payload.beats),
                position.eq(self.command.payload.position),
            ]

        fits = in_flight + beats <= self.space
        with m.If(self.request.valid):
            with m.If(self.request.ready):
                m.d.sync += self.request.valid.eq(0)
        with m.Elif((left != 0) & fits):
            m.d.comb += requested.eq(beats)
            m.d.sync += [
                self.request.valid.eq(1),
                self.request.payload.address.eq(address),
                self.request.payload.beats.eq(beats),
                self.request.payload.position.eq(position),
                self.request.payload.last.eq(beats == left),
                address.eq(address + (beats << self._config.bus_bytes.bit_length() - 1)),
                left.eq(left - beats),
            ]
        m.d.sync += in_flight.eq(in_flight + requested - self.returned)
        return m


class ReadArbiter(wiring.Component):
    """Shares the memory interface's read side between several readers.

    Operation: grants burst requests round robin and remembers, in order, whose they are and how long; returned beats go
    to the owner of the oldest burst. Readers reserve space before they ask, so none that stalls blocks the others.

    Latency: none for requests and data (combinational), up to ``outstanding`` bursts in flight.

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
        tag = data.StructLayout({"client": range(clients), "beats": range(config.burst_beats + 1),
                                 "position": POSITION_BITS, "last": 1})
        m.submodules.tags = tags = fifo.SyncFIFOBuffered(width=tag.size, depth=self._outstanding)
        tag_in, tag_out = data.View(tag, tags.w_data), data.View(tag, tags.r_data)

        last = Signal(range(clients))
        chosen = Signal(range(clients))
        locked = Signal()
        choice = Signal(range(clients))
        with m.Switch(last):
            for previous in range(clients):
                with m.Case(previous):
                    # Later assignments win, so the client after the previous one comes last.
                    for distance in range(clients, 0, -1):
                        client = (previous + distance) % clients
                        with m.If(self.requests[client].valid):
                            m.d.comb += choice.eq(client)
        # A request that was shown must not be replaced by another client's before it is taken.
        m.d.comb += chosen.eq(Mux(locked, last, choice))
        for client in range(clients):
            request = self.requests[client].payload
            with m.If(chosen == client):
                m.d.comb += [
                    self.read_request.payload.address.eq(request.address),
                    self.read_request.payload.beats.eq(request.beats),
                    self.read_request.valid.eq(self.requests[client].valid & tags.w_rdy),
                    self.requests[client].ready.eq(self.read_request.ready & tags.w_rdy),
                    tag_in.client.eq(client),
                    tag_in.beats.eq(request.beats),
                    tag_in.position.eq(request.position),
                    tag_in.last.eq(request.last),
                ]
        m.d.comb += tags.w_en.eq(self.read_request.valid & self.read_request.ready)
        with m.If(self.read_request.valid):
            m.d.sync += [last.eq(chosen), locked.eq(~self.read_request.ready)]

        taken = Signal(range(config.burst_beats + 1))
        ends = Signal()
        m.d.comb += [ends.eq(taken + 1 == tag_out.beats), self.client.eq(tag_out.client),
                     self.position.eq(tag_out.position)]
        for client in range(clients):
            beat = self.beats[client].payload
            m.d.comb += [
                beat.data.eq(self.read_data.payload),
                beat.position.eq(tag_out.position),
                beat.last.eq(tag_out.last & ends),
            ]
            with m.If(tags.r_rdy & (tag_out.client == client)):
                m.d.comb += [
                    self.beats[client].valid.eq(self.read_data.valid),
                    self.read_data.ready.eq(self.beats[client].ready),
                ]
        with m.If(self.read_data.valid & self.read_data.ready):
            m.d.sync += taken.eq(taken + 1)
            with m.If(ends):
                m.d.sync += taken.eq(0)
                m.d.comb += tags.r_en.eq(1)
        return m
