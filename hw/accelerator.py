"""The engine as a bus sees it: a manager for memory, registers, one interrupt; on AXI or on Wishbone."""

import dataclasses

from amaranth import *
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from arch.config import EngineConfig
from arch.counters import COUNTERS
from arch.registers import ADDRESS_BITS
from hw.axi import AxiMaster, axi4_lite_port, axi4_port
from hw.control import Control
from hw.engine import Engine
from hw.wishbone import WishboneMaster, WishboneRegisters, wishbone_port, wishbone_register_port

__all__ = ["Accelerator", "WishboneAccelerator"]


def _assemble(m: Module, config: EngineConfig, emit: bool, bridge) -> Control:
    """Engine, ``bridge`` of its memory interface, and registers. The engine is in a clock domain of its own, ``core``:
    the same clock with a reset that the soft reset also drives."""
    engine = Engine(config, emit=emit)
    m.submodules.control = control = Control(config)
    m.submodules.bridge = bridge

    # Not a ResetInserter, which would miss the columns: they are Verilog instances.
    m.domains.core = ClockDomain(local=True)
    # From a register, as it goes everywhere.
    core_reset = Signal(init=1)
    m.d.sync += core_reset.eq(control.reset)
    m.d.comb += [
        ClockSignal("core").eq(ClockSignal()),
        ResetSignal("core").eq(core_reset),
    ]
    m.submodules.engine = DomainRenamer("core")(engine)

    wiring.connect(m, engine.memory, bridge.memory)
    m.d.comb += [
        bridge.flush.eq(core_reset),
        control.drained.eq(bridge.idle & core_reset),
        engine.start.eq(control.start),
        engine.program_address.eq(control.program_address),
    ]
    m.d.comb += [getattr(control, name).eq(getattr(engine, name))
                 for name in ("busy", "done", "error", "error_position", "error_segment")]
    m.d.comb += [getattr(control.counters, name).eq(getattr(engine.counters, name)) for name in COUNTERS]
    return control


class Accelerator(wiring.Component):
    """Engine, AXI4 bridge and control registers.

    Operation: as docs/registers.md says. Its trace port is left out.

    Members
    -------
    s_axil : In(axi4_lite_port)
        Registers.
    m_axi : Out(axi4_port)
        Memory.
    """

    def __init__(self, config: EngineConfig, *, emit: bool = False):
        self._config = dataclasses.replace(config, trace=False)
        self._emit = emit
        super().__init__({
            #: Registers.
            "s_axil": In(axi4_lite_port(ADDRESS_BITS)),
            #: Memory.
            "m_axi": Out(axi4_port(config)),
            #: A program has ended, if enabled; a level.
            "irq": Out(1),
        })

    def elaborate(self, platform):
        m = Module()
        bridge = AxiMaster(self._config)
        control = _assemble(m, self._config, self._emit, bridge)
        wiring.connect(m, wiring.flipped(self.s_axil), control.axil)
        wiring.connect(m, bridge.axi, wiring.flipped(self.m_axi))
        m.d.comb += self.irq.eq(control.irq)
        return m


class WishboneAccelerator(wiring.Component):
    """Engine, Wishbone bridge and control registers.

    Operation: as docs/registers.md says, with ``err`` for SLVERR. Its trace port is left out.

    Members
    -------
    s_wb : In(wishbone_register_port)
        Registers: classic Wishbone.
    m_wb : Out(wishbone_port)
        Memory: pipelined Wishbone.
    """

    def __init__(self, config: EngineConfig, *, emit: bool = False):
        self._config = dataclasses.replace(config, trace=False)
        self._emit = emit
        super().__init__({
            #: Registers.
            "s_wb": In(wishbone_register_port(ADDRESS_BITS)),
            #: Memory.
            "m_wb": Out(wishbone_port(config)),
            #: A program has ended, if enabled; a level.
            "irq": Out(1),
        })

    def elaborate(self, platform):
        m = Module()
        bridge = WishboneMaster(self._config)
        control = _assemble(m, self._config, self._emit, bridge)
        m.submodules.registers = registers = WishboneRegisters(ADDRESS_BITS)
        wiring.connect(m, wiring.flipped(self.s_wb), registers.bus)
        wiring.connect(m, registers.axil, control.axil)
        wiring.connect(m, bridge.bus, wiring.flipped(self.m_wb))
        m.d.comb += self.irq.eq(control.irq)
        return m
