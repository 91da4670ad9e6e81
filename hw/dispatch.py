"""The dispatcher: reads the program and tells every unit its part of each operation."""

from amaranth import *
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import exact_log2

from arch import descriptor
from arch.config import EngineConfig
from arch.descriptor import FIELDS, Error, Opcode
from hw.commands import (COUNT_BITS, BuildCommand, DecodeCommand, MaskCommand, ParameterCommand, PassCommand,
                         PostCommand, ReadCommand, TransferCommand)
from hw.crc import CRC_BITS, residue
from hw.memory import POSITION_BITS, read_beat
from hw.queue import Queue

__all__ = ["Dispatcher", "LAYER_COMMANDS", "PositionedDecode"]

#: A decode command with the index of its descriptor, which an error reports.
PositionedDecode = data.StructLayout({"command": DecodeCommand, "position": POSITION_BITS})

NEVER_ZERO = ("run_bytes", "kernel_rows", "run_chunks", "pixels", "pixel_tiles", "tile_pixels", "map_width",
              "out_channels")
"""Counts of a layer's loops."""

LAYER_COMMANDS = {
    "mask": MaskCommand,
    "mask_read": ReadCommand,
    "parameters": ParameterCommand,
    "parameter_read": ReadCommand,
    "decode": PositionedDecode,
    "build": BuildCommand,
    "passes": PassCommand,
    "post": PostCommand,
}
"""What a LAYER descriptor becomes: one command per unit, by the name of the dispatcher's port."""


class Dispatcher(wiring.Component):
    """Reads descriptors ahead of the units and hands out their commands.

    Operation: from ``start`` reads the descriptors at ``program_address`` in order, up to END: while one waits for its
    units, the next one is read into a queue. BEGIN is checked and gives the seed; LOAD, STORE and LAYER become
    commands, given to all their units in the same cycle; END waits until everything handed out is done. ``done`` then
    stays high until the next start. A descriptor whose checksum is wrong or that cannot be obeyed ends the program in
    the same way, with ``error``; one that begins inside a beat ends before anything is read. With ``halt`` nothing more
    is handed out; ``expired`` ends the program at once.

    Latency: a descriptor takes ``BYTES / bus_bytes`` beats, once to come and once more if it waited for its units, and
    a few cycles, one of them (``latency.JUDGE``) to see whether it can be obeyed; units hold queues so that this is
    hidden. A command is given for one cycle, ``latency.ROOM`` + ``latency.GIVE`` cycles after the first in which all
    its ports are ready: they stay so until then.
    """

    def __init__(self, config: EngineConfig):
        self._config = config
        ports = {name: Out(stream.Signature(payload)) for name, payload in LAYER_COMMANDS.items()}
        super().__init__({
            #: Begin the program at ``program_address``; ignored while busy.
            "start": In(1),
            #: Byte address of the first descriptor, a multiple of a beat.
            "program_address": In(32),
            #: A program is running.
            "busy": Out(1),
            #: The last program has ended.
            "done": Out(1),
            #: Why it could not be obeyed, ``Error.NONE`` if it could.
            "error": Out(4),
            #: Index of the descriptor being waited for or obeyed.
            "position": Out(POSITION_BITS),
            #: Something else went wrong: end when what was handed out is done.
            "halt": In(1),
            #: Nothing will ever be done any more: end.
            "expired": In(1),
            #: No beat that was asked for, for whatever unit, is still to come.
            "quiet": In(1),
            #: The model's seed.
            "seed": Out(64),
            "layers_done": In(COUNT_BITS),
            "loads_done": In(COUNT_BITS),
            "stores_done": In(COUNT_BITS),
            #: To the burst reader of descriptors.
            "read": Out(stream.Signature(ReadCommand)),
            "beats": In(stream.Signature(read_beat(config))),
            #: The next beat is the first of its descriptor.
            "first": Out(1),
            #: The CRC register after the last beat (:class:`~hw.crc.StreamCrc`).
            "crc": In(CRC_BITS),
            "load": Out(stream.Signature(TransferCommand)),
            "store": Out(stream.Signature(TransferCommand)),
            **ports,
        })

    def elaborate(self, platform):
        m = Module()
        config = self._config
        descriptor_beats = descriptor.BYTES // config.bus_bytes
        m.submodules.queue = queue = Queue(config.bus_bits, descriptor_beats)

        # The descriptor at work comes out of the queue beat by beat, as soon as the one before it is obeyed.
        words, complete, damaged = Signal(8 * descriptor.BYTES, reset_less=True), Signal(), Signal()
        judged, misplaced, impossible, alien, foreign = (Signal(name=name) for name in (
            "judged", "misplaced", "impossible", "alien", "foreign"))
        kinds = {kind: Signal(name=f"is_{kind.name.lower()}") for kind in Opcode}
        obeyed, moved, beats_moved = Signal(), Signal(), Signal(range(descriptor_beats))
        astray = self._askew(self.program_address)
        fetching, wrong = self._fetch(m, queue.enter, self.start & ~self.busy & ~astray, moved)
        last_beat = beats_moved == descriptor_beats - 1
        m.d.comb += [
            # The last beat waits until the checksum is known.
            queue.leave.ready.eq(~complete & ~(last_beat & fetching)),
            moved.eq(queue.leave.valid & ~complete & ~fetching & last_beat),
        ]
        with m.If(queue.leave.valid & queue.leave.ready):
            m.d.sync += [words.eq(Cat(words[config.bus_bits:], queue.leave.payload)),
                         beats_moved.eq(Mux(moved, 0, beats_moved + 1))]
        with m.If(moved):
            m.d.sync += [complete.eq(1), damaged.eq(wrong)]
        with m.If(obeyed):
            m.d.sync += [complete.eq(0), self.position.eq(self.position + 1)]

        layers, loads, stores = (Signal(COUNT_BITS, name=name) for name in ("layers", "loads", "stores"))
        mask_kept, parameters_kept = Signal(), Signal()

        def field(name: str) -> Value:
            return _field(words, name)

        # A command goes out in the cycle after it is obeyed, when its descriptor still is there.
        given = Signal.like(self.position)
        m.d.sync += given.eq(self.position)

        def fill(payload, layout: data.StructLayout) -> list:
            return [payload[name].eq(field(name) if name in FIELDS else given) for name in layout.members]

        opcode = field("opcode")
        m.d.comb += [
            *fill(self.load.payload, TransferCommand),
            *fill(self.store.payload, TransferCommand),
            *fill(self.mask.payload, MaskCommand),
            *fill(self.parameters.payload, ParameterCommand),
            *fill(self.decode.payload.command, DecodeCommand),
            self.decode.payload.position.eq(given),
            *fill(self.build.payload, BuildCommand),
            *fill(self.passes.payload, PassCommand),
            *fill(self.post.payload, PostCommand),
        ]
        for name in "mask", "parameter":
            read = getattr(self, f"{name}_read").payload
            m.d.comb += [
                read.address.eq(field(f"{name}_address")),
                read.beats.eq(Mux(field(f"{name}_reuse"), 0, field(f"{name}_beats"))),
                read.position.eq(given),
            ]
        layer_ports = [getattr(self, name) for name in LAYER_COMMANDS]
        # Of the cycle before: a port that can take a command still can when it is given.
        layer_ready, load_ready, store_ready = (Signal(name=f"{name}_ready") for name in ("layer", "load", "store"))
        m.d.sync += [
            layer_ready.eq(Cat(port.ready for port in layer_ports).all()),
            load_ready.eq(self.load.ready),
            store_ready.eq(self.store.ready),
        ]

        is_layer, transfers = opcode == Opcode.LAYER, (opcode == Opcode.LOAD) | (opcode == Opcode.STORE)
        waits_forever = ((field("wait_layers") > layers) | (field("wait_loads") > loads)
                         | (field("wait_stores") > stores))
        empty_layer = is_layer & Cat(field(name) == 0 for name in NEVER_ZERO).any()
        # What a layer keeps is for the layer after it, and for no other; END comes too late for it.
        uses_kept = is_layer | (opcode == Opcode.END)
        kept_differs = uses_kept & (((is_layer & field("mask_reuse")) != mask_kept)
                                    | ((is_layer & field("parameter_reuse")) != parameters_kept))
        # A transfer beyond the activation memory would overwrite its own beats, for millions of them.
        misses = transfers & ((field("beats") == 0) | (field("beats") > config.activation_bytes // config.bus_bytes))
        askew = (transfers & self._askew(field("memory_address"), field("activation_address"))
                 | is_layer & self._askew(field("mask_address"), field("parameter_address")))
        # All that is known about a descriptor a cycle after it is complete; nothing of it changes until it is obeyed.
        m.d.sync += [
            judged.eq(complete),
            *(is_kind.eq(opcode == kind) for kind, is_kind in kinds.items()),
            alien.eq((field("magic") != descriptor.MAGIC) | (field("version") != descriptor.VERSION)),
            foreign.eq(field("configuration") != config.hash),
            # BEGIN comes first, and only there.
            misplaced.eq((self.position == 0) != (opcode == Opcode.BEGIN)),
            impossible.eq((opcode != Opcode.BEGIN) & (waits_forever | misses | askew | empty_layer | kept_differs)),
        ]

        # What is handed out: to all units or none, or one would run a layer that the others do not know of.
        acts = Signal()
        loads_now, stores_now, runs_now = (
            acts & kinds[kind] & ready for kind, ready in (
                (Opcode.LOAD, load_ready), (Opcode.STORE, store_ready), (Opcode.LAYER, layer_ready)))
        m.d.comb += obeyed.eq(acts & kinds[Opcode.BEGIN] & ~alien & ~foreign | loads_now | stores_now | runs_now)
        m.d.sync += [
            self.load.valid.eq(loads_now),
            self.store.valid.eq(stores_now),
            *(port.valid.eq(runs_now) for port in layer_ports),
        ]
        with m.If(obeyed):
            m.d.sync += [loads.eq(loads + kinds[Opcode.LOAD]), stores.eq(stores + kinds[Opcode.STORE])]
            with m.If(kinds[Opcode.BEGIN]):
                m.d.sync += self.seed.eq(Cat(field("seed_low"), field("seed_high")))
            with m.If(kinds[Opcode.LAYER]):
                m.d.sync += [layers.eq(layers + 1), mask_kept.eq(field("mask_keep")),
                             parameters_kept.eq(field("parameter_keep"))]

        def end(error: Error):
            m.d.sync += self.error.eq(error)
            m.next = "DRAIN"

        m.d.comb += self.busy.eq(1)
        with m.FSM() as fsm:
            with m.State("IDLE"):
                m.d.comb += self.busy.eq(0)
                with m.If(self.start):
                    m.d.sync += [
                        self.done.eq(0), self.error.eq(Error.NONE), self.position.eq(0), complete.eq(0),
                        layers.eq(0), loads.eq(0), stores.eq(0), mask_kept.eq(0), parameters_kept.eq(0),
                    ]
                    m.next = "OBEY"
                    with m.If(astray):
                        end(Error.IMPOSSIBLE)

            with m.State("OBEY"):
                with m.If(self.expired):
                    m.d.sync += self.done.eq(1)
                    m.next = "IDLE"
                with m.Elif(self.halt):
                    m.next = "DRAIN"
                with m.Elif(complete & judged):
                    with m.If(damaged):
                        end(Error.PROGRAM_CRC)
                    with m.Elif(misplaced):
                        m.d.sync += self.error.eq(Mux(self.position == 0, Error.BAD_PROGRAM, Error.BAD_OPCODE))
                        m.next = "DRAIN"
                    with m.Elif(impossible):
                        end(Error.IMPOSSIBLE)
                    with m.Elif(kinds[Opcode.BEGIN] & (alien | foreign)):
                        m.d.sync += self.error.eq(Mux(alien, Error.BAD_PROGRAM, Error.WRONG_CONFIGURATION))
                        m.next = "DRAIN"
                    with m.Elif(kinds[Opcode.END]):
                        m.next = "DRAIN"
                    with m.Elif(~Cat(kinds.values()).any()):
                        end(Error.BAD_OPCODE)

            with m.State("DRAIN"):
                with m.If((self.layers_done == layers) & (self.loads_done == loads) & (self.stores_done == stores)
                          & ~fetching & self.quiet | self.expired):
                    m.d.sync += self.done.eq(1)
                    m.next = "IDLE"
        m.d.comb += acts.eq(fsm.ongoing("OBEY") & complete & judged
                            & ~(self.expired | self.halt | damaged | misplaced | impossible))
        return m

    def _askew(self, *addresses: Value) -> Value:
        """Any is not a multiple of a beat: a memory that rounds it down would give, or lose, other bytes."""
        return Cat(address[:exact_log2(self._config.bus_bytes)] for address in addresses).any()

    def _fetch(self, m: Module, enter, begins: Value, moved: Value):
        """Once it ``begins``, reads descriptors into the queue, the next one when all of the last one has ``moved`` on,
        up to END or a damaged one. Returns whether one is coming, and whether the last one's checksum is wrong."""
        beats = descriptor.BYTES // self._config.bus_bytes
        fetching, last, wrong = Signal(), Signal(), Signal()
        arrived = Signal(range(beats))
        request = self.read.payload
        m.d.comb += [
            fetching.eq(1),
            self.first.eq(arrived == 0),
            request.beats.eq(beats),
            enter.payload.eq(self.beats.payload.data),
            enter.valid.eq(self.beats.valid),
            # The queue is empty when a descriptor is asked for.
            self.beats.ready.eq(enter.ready),
        ]
        with m.If(self.beats.valid & self.beats.ready):
            m.d.sync += arrived.eq(Mux(self.beats.payload.last, 0, arrived + 1))
            with m.If(self.first):
                m.d.sync += last.eq(_field(self.beats.payload.data, "opcode") == Opcode.END)
        with m.FSM(name="fetch"):
            with m.State("IDLE"):
                m.d.comb += fetching.eq(0)
                m.d.sync += [request.address.eq(self.program_address), request.position.eq(0)]
                with m.If(begins):
                    m.next = "READ"
            with m.State("READ"):
                m.d.comb += self.read.valid.eq(1)
                with m.If(self.read.ready):
                    m.next = "RECEIVE"
            with m.State("RECEIVE"):
                with m.If(self.beats.valid & self.beats.ready & self.beats.payload.last):
                    m.next = "WAIT"
            with m.State("WAIT"):
                m.next = "CHECK"
            with m.State("CHECK"):
                # The register is that of the last beat in this cycle only, `latency.CRC` cycles behind it.
                m.d.sync += wrong.eq(self.crc != residue())
                m.next = "FETCHED"
            with m.State("FETCHED"):
                m.d.comb += fetching.eq(0)
                with m.If(moved):
                    m.d.sync += [request.address.eq(request.address + descriptor.BYTES),
                                 request.position.eq(request.position + 1)]
                    m.next = "READ"
                    with m.If(last | wrong):
                        m.next = "IDLE"
        return fetching, wrong


def _field(words: Value, name: str) -> Value:
    """A field of the descriptor that is ``words``."""
    place = FIELDS[name]
    bits = words.word_select(place.word, 32)[place.lsb:place.lsb + place.bits]
    return bits.as_signed() if place.signed else bits
