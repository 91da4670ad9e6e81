"""Control and status of the accelerator behind AXI4-Lite: the registers of arch/registers.rdl."""

from amaranth import *
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from arch.config import EngineConfig
from arch.counters import COUNTER_BITS, COUNTERS
from arch.descriptor import MAGIC, VERSION
from arch.registers import ADDRESS_BITS, MAP_VERSION, REGISTERS, Access, Register
from hw.axi import Response, axi4_lite_port
from hw.bits import one_of

__all__ = ["Control"]


def _layout(register: Register) -> data.Layout:
    """The register's word."""
    return data.FlexibleLayout(32, {field.name: data.Field(field.bits, field.lsb) for field in register.fields})


class Control(wiring.Component):
    """Lets a driver start programs, learn how they ended, and reset the engine without breaking the bus.

    Operation: decodes the table ``arch.registers.REGISTERS``. A start is passed on if nothing runs, nothing failed
    and no soft reset is under way. A soft reset holds ``reset`` until the bus bridge, which the same signal tells to
    complete what was begun, is ``drained``: for ever if the memory never answers. The counters are copied in
    the cycle after ``done`` rises, or after a request. ``irq`` is a level.

    Latency: a read is answered in the third cycle after its address is accepted, a write in the second cycle
    after its address and data are; one of each at a time. ``start`` follows the write by a cycle.

    Members
    -------
    axil : In(axi4_lite_port)
    counters : In(struct)
        As the engine's.
    """

    def __init__(self, config: EngineConfig):
        self._config = config
        super().__init__({
            #: From the driver.
            "axil": In(axi4_lite_port(ADDRESS_BITS)),
            #: A program has ended and the driver wants to know.
            "irq": Out(1),
            #: Run the program at ``program_address``.
            "start": Out(1),
            #: Byte address of the program.
            "program_address": Out(32),
            #: Hold the engine in reset.
            "reset": Out(1),
            #: Nothing is left to do on the memory bus.
            "drained": In(1),
            #: As the engine's ports of these names.
            "busy": In(1),
            "done": In(1),
            "error": In(4),
            "error_position": In(16),
            "error_segment": In(16),
            "counters": In(wiring.Signature({name: Out(COUNTER_BITS) for name in COUNTERS})),
        })

    def _readable(self, snapshot: dict) -> dict[str, dict[str, Value | int]]:
        """What read-only registers show: values by register and field."""
        config = self._config
        ready = ~self.busy & (self.error == 0) & ~self.reset
        halves = {}
        for name, value in snapshot.items():
            halves[f"{name}_low".upper()] = {"value": value[:32]}
            halves[f"{name}_high".upper()] = {"value": value[32:]}
        return {
            "ID": {"value": MAGIC},
            "VERSION": {"program": VERSION, "registers": MAP_VERSION},
            "CONFIGURATION": {"value": config.hash},
            "ARRAY": {"columns": config.columns, "lanes": config.lanes},
            "WEIGHTS": {"bits": config.weight_bits, "build_columns": config.build_columns},
            "BUS": {"bits": config.bus_bits, "burst_beats": config.burst_beats},
            "ACTIVATION_MEMORY": {"value": config.activation_bytes},
            "MASK_BUFFER": {"value": config.mask_bytes},
            "PARAMETER_BUFFER": {"value": config.parameter_channels},
            "STATUS": {"busy": self.busy, "done": self.done, "error": self.error != 0, "resetting": self.reset,
                       "ready": ready},
            "ERROR": {"value": self.error},
            "ERROR_POSITION": {"value": self.error_position},
            "ERROR_SEGMENT": {"value": self.error_segment},
            **halves,
        }

    def elaborate(self, platform):
        m = Module()
        axil = self.axil
        words = {register.name: Signal(_layout(register), name=register.name.lower()) for register in REGISTERS}
        #: Bits that software writes as one in this cycle.
        ones = {register.name: Signal(_layout(register), name=f"{register.name.lower()}_ones")
                for register in REGISTERS if register.access in (Access.CLEAR, Access.PULSE)}

        # Writes: address and data come in any order.
        write_address = Signal(ADDRESS_BITS)
        write_data, write_mask = Signal(32), Signal(32)
        address_held, data_held, write = Signal(), Signal(), Signal()
        m.d.comb += [
            axil.awready.eq(~address_held),
            axil.wready.eq(~data_held),
            write.eq(address_held & data_held & ~axil.bvalid),
        ]
        with m.If(axil.awvalid & axil.awready):
            m.d.sync += [write_address.eq(axil.awaddr), address_held.eq(1)]
        with m.If(axil.wvalid & axil.wready):
            m.d.sync += [
                write_data.eq(axil.wdata),
                write_mask.eq(Cat(strobe.replicate(8) for strobe in axil.wstrb)),
                data_held.eq(1),
            ]
        with m.If(axil.bready):
            m.d.sync += axil.bvalid.eq(0)
        with m.If(write):
            m.d.sync += [
                address_held.eq(0),
                data_held.eq(0),
                axil.bvalid.eq(1),
                axil.bresp.eq(Response.SLVERR),
            ]
            with m.Switch(write_address[2:]):
                for register in REGISTERS:
                    if register.access is Access.READ:
                        continue
                    with m.Case(register.offset >> 2):
                        m.d.sync += axil.bresp.eq(Response.OKAY)
                        word = words[register.name]
                        if register.access is Access.READ_WRITE:
                            merged = (word.as_value() & ~write_mask) | (write_data & write_mask)
                            merged = data.View(_layout(register), merged)
                            m.d.sync += [word[field.name].eq(merged[field.name]) for field in register.fields]
                        else:
                            m.d.comb += ones[register.name].eq(write_data & write_mask)

        # Reads: which register, then its word, out of many.
        read_address, select = Signal(ADDRESS_BITS), Signal(len(REGISTERS))
        read_held, read_chosen = Signal(), Signal()
        m.d.comb += axil.arready.eq(~read_held & ~read_chosen & ~axil.rvalid)
        m.d.sync += [
            select.eq(Cat(read_address[2:] == register.offset >> 2 for register in REGISTERS)),
            read_chosen.eq(read_held),
        ]
        with m.If(axil.arvalid & axil.arready):
            m.d.sync += [read_address.eq(axil.araddr), read_held.eq(1)]
        with m.Else():
            m.d.sync += read_held.eq(0)
        with m.If(axil.rready):
            m.d.sync += axil.rvalid.eq(0)
        with m.If(read_chosen):
            m.d.sync += [
                axil.rvalid.eq(1),
                axil.rdata.eq(one_of([words[register.name].as_value() for register in REGISTERS], select)),
                axil.rresp.eq(Mux(select.any(), Response.OKAY, Response.SLVERR)),
            ]

        # Commands.
        command, status = ones["CONTROL"], words["STATUS"]
        m.d.sync += self.start.eq(command.start & ~command.reset & status.ready)
        with m.If(command.reset):
            m.d.sync += self.reset.eq(1)
        with m.Elif(self.drained):
            m.d.sync += self.reset.eq(0)
        m.d.comb += self.program_address.eq(words["PROGRAM_ADDRESS"].value)

        # The end of a program; what a soft reset interrupts has none.
        done_before, ended = Signal(), Signal()
        m.d.sync += done_before.eq(self.done)
        m.d.comb += ended.eq(self.done & ~done_before & ~self.reset)
        pending, enable = words["INTERRUPT_PENDING"], words["INTERRUPT_ENABLE"]
        m.d.sync += pending.done.eq((pending.done & ~ones["INTERRUPT_PENDING"].done) | ended)
        m.d.comb += self.irq.eq(pending.done & enable.done)

        # A cycle late, from a register: the enable goes to every counter's copy.
        takes = Signal()
        m.d.sync += takes.eq(ended | command.snapshot)
        snapshot = {name: Signal(COUNTER_BITS, name=f"{name}_snapshot") for name in COUNTERS}
        with m.If(takes):
            m.d.sync += [value.eq(getattr(self.counters, name)) for name, value in snapshot.items()]

        for name, values in self._readable(snapshot).items():
            m.d.comb += [words[name][field].eq(value) for field, value in values.items()]
        return m
