"""The dispatcher: reads the program and tells every unit its part of each operation."""

from amaranth import *
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from arch import descriptor
from arch.config import EngineConfig
from arch.descriptor import FIELDS, Error, Opcode
from hw.commands import (COUNT_BITS, BuildCommand, DecodeCommand, MaskCommand, PassCommand, PostCommand, ReadCommand,
                         TransferCommand)

__all__ = ["Dispatcher", "LAYER_COMMANDS", "PositionedDecode", "ParameterCommand"]

#: For the parameter buffer: records of the layer.
ParameterCommand = data.StructLayout({"out_channels": FIELDS["out_channels"].bits})

#: A decode command with the index of its descriptor, which an error reports.
PositionedDecode = data.StructLayout({"command": DecodeCommand, "position": 16})

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
    """Reads descriptors one ahead of the units and hands out their commands.

    Operation: from ``start`` reads the descriptors at ``program_address`` in order. BEGIN is checked and gives the
    seed; LOAD, STORE and LAYER become commands, given to all their units in the same cycle; END waits until everything
    handed out is done. ``done`` then stays high until the next start. A descriptor that cannot be obeyed ends the
    program in the same way, with ``error``.

    Latency: a descriptor takes ``BYTES / bus_bytes`` beats and two cycles; units hold queues so that this is hidden.
    """

    def __init__(self, config: EngineConfig):
        self._config = config
        ports = {name: Out(stream.Signature(payload)) for name, payload in LAYER_COMMANDS.items()}
        super().__init__({
            #: Begin the program at ``program_address``; ignored while busy.
            "start": In(1),
            #: Byte address of the first descriptor.
            "program_address": In(32),
            #: A program is running.
            "busy": Out(1),
            #: The last program has ended.
            "done": Out(1),
            #: Why it could not be obeyed, ``Error.NONE`` if it could.
            "error": Out(4),
            #: Index of the descriptor being read or obeyed.
            "position": Out(16),
            #: The model's seed.
            "seed": Out(64),
            "layers_done": In(COUNT_BITS),
            "loads_done": In(COUNT_BITS),
            "stores_done": In(COUNT_BITS),
            #: To the burst reader of descriptors.
            "read": Out(stream.Signature(ReadCommand)),
            "beats": In(stream.Signature(config.bus_bits)),
            "load": Out(stream.Signature(TransferCommand)),
            "store": Out(stream.Signature(TransferCommand)),
            **ports,
        })

    def elaborate(self, platform):
        m = Module()
        config = self._config
        bus_bits, bus_bytes = config.bus_bits, config.bus_bytes
        beats_per_descriptor = descriptor.BYTES // bus_bytes

        words = Signal(8 * descriptor.BYTES)
        arrived = Signal(range(beats_per_descriptor + 1))
        address = Signal(32)
        layers, loads, stores = (Signal(COUNT_BITS, name=name) for name in ("layers", "loads", "stores"))

        def field(name: str) -> Value:
            place = FIELDS[name]
            bits = words.word_select(place.word, 32)[place.lsb:place.lsb + place.bits]
            return bits.as_signed() if place.signed else bits

        def fill(payload, layout: data.StructLayout) -> list:
            return [payload[name].eq(field(name)) for name in layout.members]

        def beats_of(size: Value) -> Value:
            return (size + (bus_bytes - 1)) >> (bus_bytes.bit_length() - 1)

        opcode = field("opcode")
        m.d.comb += [
            self.read.payload.address.eq(address),
            self.read.payload.beats.eq(beats_per_descriptor),
            *fill(self.load.payload, TransferCommand),
            *fill(self.store.payload, TransferCommand),
            *fill(self.mask.payload, MaskCommand),
            self.mask_read.payload.address.eq(field("mask_address")),
            self.mask_read.payload.beats.eq(beats_of(field("mask_words") << 1)),
            *fill(self.parameters.payload, ParameterCommand),
            self.parameter_read.payload.address.eq(field("parameter_address")),
            self.parameter_read.payload.beats.eq(beats_of(field("out_channels") * descriptor.PARAMETER_BYTES)),
            *fill(self.decode.payload.command, DecodeCommand),
            self.decode.payload.position.eq(self.position),
            *fill(self.build.payload, BuildCommand),
            *fill(self.passes.payload, PassCommand),
            *fill(self.post.payload, PostCommand),
        ]
        layer_ports = [getattr(self, name) for name in LAYER_COMMANDS]
        layer_ready = Cat(port.ready for port in layer_ports).all()

        m.d.comb += self.busy.eq(1)
        with m.FSM():
            with m.State("IDLE"):
                m.d.comb += self.busy.eq(0)
                with m.If(self.start):
                    m.d.sync += [
                        self.done.eq(0), self.error.eq(Error.NONE), self.position.eq(0),
                        address.eq(self.program_address), layers.eq(0), loads.eq(0), stores.eq(0),
                    ]
                    m.next = "READ"

            with m.State("READ"):
                m.d.comb += self.read.valid.eq(1)
                m.d.sync += arrived.eq(0)
                with m.If(self.read.ready):
                    m.next = "RECEIVE"

            with m.State("RECEIVE"):
                m.d.comb += self.beats.ready.eq(1)
                with m.If(self.beats.valid):
                    m.d.sync += words.eq(Cat(words[bus_bits:], self.beats.payload)), arrived.eq(arrived + 1)
                    with m.If(arrived == beats_per_descriptor - 1):
                        m.d.sync += address.eq(address + descriptor.BYTES)
                        m.next = "OBEY"

            with m.State("OBEY"):
                obeyed = Signal()
                # BEGIN comes first, and only there.
                waits_forever = (field("wait_layers") > layers) | (field("wait_loads") > loads)
                empty_transfer = ((opcode == Opcode.LOAD) | (opcode == Opcode.STORE)) & (field("beats") == 0)
                empty_layer = (opcode == Opcode.LAYER) & Cat(field(name) == 0 for name in NEVER_ZERO).any()
                with m.If((self.position == 0) != (opcode == Opcode.BEGIN)):
                    m.d.sync += self.error.eq(Mux(self.position == 0, Error.BAD_PROGRAM, Error.BAD_OPCODE))
                    m.next = "DRAIN"
                with m.Elif((opcode != Opcode.BEGIN) & (waits_forever | empty_transfer | empty_layer)):
                    m.d.sync += self.error.eq(Error.IMPOSSIBLE)
                    m.next = "DRAIN"
                with m.Else():
                    with m.Switch(opcode):
                        with m.Case(Opcode.BEGIN):
                            m.d.sync += self.seed.eq(Cat(field("seed_low"), field("seed_high")))
                            with m.If((field("magic") != descriptor.MAGIC) | (field("version") != descriptor.VERSION)):
                                m.d.sync += self.error.eq(Error.BAD_PROGRAM)
                                m.next = "DRAIN"
                            with m.Elif(field("configuration") != config.hash):
                                m.d.sync += self.error.eq(Error.WRONG_CONFIGURATION)
                                m.next = "DRAIN"
                            with m.Else():
                                m.d.comb += obeyed.eq(1)
                        with m.Case(Opcode.LOAD):
                            m.d.comb += [self.load.valid.eq(1), obeyed.eq(self.load.ready)]
                            m.d.sync += loads.eq(loads + obeyed)
                        with m.Case(Opcode.STORE):
                            m.d.comb += [self.store.valid.eq(1), obeyed.eq(self.store.ready)]
                            m.d.sync += stores.eq(stores + obeyed)
                        with m.Case(Opcode.LAYER):
                            # All units or none, or one would run a layer that the others do not know of.
                            m.d.comb += obeyed.eq(layer_ready)
                            m.d.comb += [port.valid.eq(layer_ready) for port in layer_ports]
                            m.d.sync += layers.eq(layers + obeyed)
                        with m.Case(Opcode.END):
                            m.next = "DRAIN"
                        with m.Default():
                            m.d.sync += self.error.eq(Error.BAD_OPCODE)
                            m.next = "DRAIN"
                with m.If(obeyed):
                    m.d.sync += self.position.eq(self.position + 1)
                    m.next = "READ"

            with m.State("DRAIN"):
                with m.If((self.layers_done == layers) & (self.loads_done == loads) & (self.stores_done == stores)):
                    m.d.sync += self.done.eq(1)
                    m.next = "IDLE"
        return m
