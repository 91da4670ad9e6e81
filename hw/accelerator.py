"""The engine as a bus sees it: an AXI4 manager for memory, AXI4-Lite registers, one interrupt."""

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

__all__ = ["Accelerator"]


class Accelerator(wiring.Component):
    """Engine, AXI4 bridge and control registers.

    Operation: as docs/registers.md says. The engine is in a clock domain of its own, ``core``: the same clock with a
    reset that the soft reset also drives. Its trace port is left out.

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
        engine = Engine(self._config, emit=self._emit)
        m.submodules.control = control = Control(self._config)
        m.submodules.bridge = bridge = AxiMaster(self._config)

        # Not a ResetInserter, which would miss the columns: they are Verilog instances.
        m.domains.core = ClockDomain(local=True)
        m.d.comb += [
            ClockSignal("core").eq(ClockSignal()),
            ResetSignal("core").eq(ResetSignal() | control.reset),
        ]
        m.submodules.engine = DomainRenamer("core")(engine)

        wiring.connect(m, wiring.flipped(self.s_axil), control.axil)
        wiring.connect(m, bridge.axi, wiring.flipped(self.m_axi))
        wiring.connect(m, engine.memory, bridge.memory)
        m.d.comb += [
            bridge.flush.eq(control.reset),
            control.drained.eq(bridge.idle),
            engine.start.eq(control.start),
            engine.program_address.eq(control.program_address),
            self.irq.eq(control.irq),
        ]
        m.d.comb += [getattr(control, name).eq(getattr(engine, name))
                     for name in ("busy", "done", "error", "error_position", "error_segment")]
        m.d.comb += [getattr(control.counters, name).eq(getattr(engine.counters, name)) for name in COUNTERS]
        return m
