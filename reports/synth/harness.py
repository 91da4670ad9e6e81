# amaranth: UnusedElaboratable=no
"""What stands around a design that has more ports than a package has pins."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from amaranth import *
from amaranth.back import verilog
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from arch.config import EngineConfig
from hw.emit import component_ports
from hw.rtl import Port, emit_rtl
from reports.area.blocks import TOP as BLOCK_MODULE
from reports.area.blocks import standalone_verilog
from sim.build import emitted

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
    ports : sequence of hw.rtl.Port
        Its ports but ``clk`` and ``rst``.
    """

    def __init__(self, module: str, ports: Sequence[Port]):
        self._module = module
        self._ports = ports
        super().__init__({"serial_in": In(1), "serial_out": Out(1)})

    def elaborate(self, platform):
        m = Module()
        signals = {port: Signal(port.width, name=port.name) for port in self._ports}
        inputs = Cat(signal for port, signal in signals.items() if port.direction == "input")
        outputs = Cat(signal for port, signal in signals.items() if port.direction == "output")

        m.domains.design = ClockDomain(local=True)
        m.submodules[INSTANCE] = Instance(
            self._module, i_clk=ClockSignal("design"), i_rst=ResetSignal("design"),
            **{f"{port.direction[0]}_{port.name}": signal for port, signal in signals.items()})
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
    """What is synthesised: a design, in its harness mostly."""

    verilog: str
    #: Multiply positions, 0 if it has no array.
    lanes: int = 0
    #: Name of the top module.
    top: str = HARNESS_MODULE

    @property
    def sha256(self) -> str:
        """Digest of the Verilog."""
        return hashlib.sha256(self.verilog.encode()).hexdigest()


def _harnessed(module: str, ports: Sequence[Port], text: str, lanes: int = 0) -> Design:
    harness = verilog.convert(Harness(module, ports), name=HARNESS_MODULE, emit_src=False, strip_internal_attrs=True)
    return Design(f"{text}\n{harness}", lanes)


def accelerator_design(config: EngineConfig, bus: str = "axi", cache: Path | None = None) -> Design:
    """The whole accelerator for ``bus`` (a key of ``hw.rtl.BUSES``): the files of ``topcoat verilog``, one after
    another. They are kept in the build cache."""
    def emit(config: EngineConfig) -> str:
        rtl = emit_rtl(config, bus)
        return json.dumps({"top": rtl.top, "ports": [asdict(port) for port in rtl.ports], "files": rtl.files})

    values = json.loads(emitted(f"topcoat_{bus}.json", emit, config, cache))
    ports = [Port(**port) for port in values["ports"] if port["name"] not in ("clk", "rst")]
    return _harnessed(values["top"], ports, "\n".join(values["files"].values()), config.macs_per_cycle)


def component_design(component: wiring.Component) -> Design:
    """One component of the engine by itself."""
    ports = [Port(name, direction.value, len(value)) for name, (value, direction) in component_ports(component).items()]
    return _harnessed(BLOCK_MODULE, ports, standalone_verilog(component))
