# amaranth: UnusedElaboratable=no
"""What stands around a design that has more ports than a package has pins."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from amaranth import *
from amaranth.back import verilog
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from arch.config import EngineConfig
from hw.accelerator import Accelerator
from hw.emit import ACCELERATOR_MODULE, accelerator_verilog
from hw.instance import emitted_instance
from reports.area.blocks import TOP as BLOCK_MODULE
from reports.area.blocks import standalone_verilog

__all__ = ["HARNESS_MODULE", "INSTANCE", "PINS", "Design", "Harness", "accelerator_design", "component_design"]

HARNESS_MODULE = "topcoat_harness"
INSTANCE = "dut"
"""Name of the design in its harness."""

PINS = ("clk", "rst", "serial_in", "serial_out")
"""Ports of the harness."""


class Harness(wiring.Component):
    """A design behind four pins, with a register at each of its ports: paths between registers are those of the design.

    Operation: one shift register feeds every input. Outputs are captured, and added bit by bit to a second shift
    register, so that each of them reaches the pin. The reset goes through a register, too.

    Parameters
    ----------
    module : str
        Name of the design's Verilog module, which is an instance here.
    signature : wiring.Signature
        Its ports but ``clk`` and ``rst``.
    """

    def __init__(self, module: str, signature: wiring.Signature):
        self._module = module
        self._signature = signature
        super().__init__({"serial_in": In(1), "serial_out": Out(1)})

    def elaborate(self, platform):
        m = Module()
        interface = self._signature.create()
        ports = [(member.flow, Value.cast(value)) for _, member, value in self._signature.flatten(interface)]
        inputs = Cat(value for flow, value in ports if flow is In)
        outputs = Cat(value for flow, value in ports if flow is Out)

        m.domains.design = ClockDomain(local=True)
        m.submodules[INSTANCE] = DomainRenamer("design")(emitted_instance(self._module, interface))
        shifted = Signal(len(inputs), reset_less=True)
        captured = Signal(len(outputs), reset_less=True)
        folded = Signal(len(outputs), reset_less=True)
        reset = Signal(init=1, reset_less=True)
        m.d.comb += [
            ClockSignal("design").eq(ClockSignal()),
            ResetSignal("design").eq(reset),
            inputs.eq(shifted),
            self.serial_out.eq(folded[-1]),
        ]
        m.d.sync += [
            reset.eq(ResetSignal()),
            shifted.eq(Cat(self.serial_in, shifted)),
            captured.eq(outputs),
            folded.eq(Cat(Const(0, 1), folded) ^ captured),
        ]
        return m


@dataclass(frozen=True)
class Design:
    """What is synthesised: a design in its harness."""

    #: Verilog, top module ``topcoat_harness``.
    verilog: str
    #: Multiply positions, 0 if it has no array.
    lanes: int = 0

    @property
    def sha256(self) -> str:
        """Digest of the Verilog."""
        return hashlib.sha256(self.verilog.encode()).hexdigest()


def _harnessed(module: str, component: wiring.Component, text: str, lanes: int = 0) -> Design:
    harness = verilog.convert(Harness(module, component.signature), name=HARNESS_MODULE, emit_src=False,
                              strip_internal_attrs=True)
    return Design(f"{text}\n{harness}", lanes)


def accelerator_design(config: EngineConfig) -> Design:
    """The whole accelerator, as ``topcoat verilog`` has it."""
    return _harnessed(ACCELERATOR_MODULE, Accelerator(config), accelerator_verilog(config), config.macs_per_cycle)


def component_design(component: wiring.Component) -> Design:
    """One component of the engine by itself."""
    return _harnessed(BLOCK_MODULE, component, standalone_verilog(component))
