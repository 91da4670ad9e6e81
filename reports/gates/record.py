"""A network on the simulated engine with every port of its blocks written down in every cycle."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from amaranth.lib import wiring

from arch.config import EngineConfig
from compiler import Program
from hw.ans import AnsTable
from hw.builder import WeightBuilder
from hw.column import Column
from hw.decoder import CoatDecoder
from hw.emit import COLUMN_MODULE, ENGINE_MODULE, LANE_MODULE, component_ports
from hw.engine import Engine
from hw.lane import DecoderLane
from hw.masks import MaskBuffer
from hw.postprocess import PostProcessor
from hw.requantise import Requantiser
from hw.threefry import RandomStream
from hw.verilog_text import tidy
from reports.area.outline import OUTLINE, outlined_verilog
from sim.backend import SimulationResult
from sim.native import NativeBackend

__all__ = ["Recording", "record"]

_SUFFIX = ".record"


def _modules(config: EngineConfig) -> dict[str, tuple[wiring.Component, tuple[type, ...]]]:
    """Modules that are recorded: each a component, and the recorded ones in it, by name."""
    components = (
        (MaskBuffer(config), ()), (CoatDecoder(config, emit=True), (AnsTable,)), (AnsTable(), ()),
        (WeightBuilder(config), (RandomStream,)), (RandomStream(config.rounds), ()),
        (PostProcessor(config), (Requantiser,)), (Requantiser(config), ()))
    outlines = {f"{OUTLINE}{type(component).__name__}": (component, inner) for component, inner in components}
    return {COLUMN_MODULE: (Column(config), ()), LANE_MODULE: (DecoderLane(config), ()), **outlines}


def _ports(component: wiring.Component) -> dict[str, int]:
    """Widths of what is recorded of a module, first in the lowest bits."""
    return {"rst": 1} | {name: len(value) for name, (value, _) in component_ports(component).items() if len(value)}


def _recorder(module: str, ports: dict[str, int]) -> str:
    names = ", ".join(f"\\{name} " for name in reversed(ports))
    return f"""\
  string record_folder;
  integer record_file;
  initial begin
    void'($value$plusargs("job=%s", record_folder));
    record_file = $fopen({{record_folder, $sformatf("/{module} %m{_SUFFIX}")}}, "wb");
  end
  always @(posedge clk) $fwrite(record_file, "%u", {{{names}}});
  final $fclose(record_file);
endmodule
"""


def _text(component: wiring.Component, name: str, inner: tuple[type, ...]) -> str:
    return tidy(outlined_verilog(component, name, inner).partition("(* blackbox *)")[0])


def _recording_engine(config: EngineConfig) -> tuple[str, dict[str, dict[str, int]]]:
    """Verilog of the engine with recorders, and what they record by module."""
    outlined = MaskBuffer, CoatDecoder, WeightBuilder, PostProcessor
    texts, ports = [_text(Engine(config, emit=True), ENGINE_MODULE, outlined)], {}
    for name, (component, inner) in _modules(config).items():
        ports[name] = _ports(component)
        recorder = _recorder(name, ports[name])
        texts.append(re.sub(rf"(^module {name}\b.*?)^endmodule\n", lambda match: match[1] + recorder,
                            _text(component, name, inner), flags=re.DOTALL | re.MULTILINE))
    return "\n".join(texts), ports


@dataclass(frozen=True)
class Recording:
    """One instance of a block: what was on its ports before every clock edge, from the model's start on."""

    #: Widths by port, the first one in the lowest bits.
    ports: dict[str, int]
    #: uint8 (cycles, bytes).
    data: np.ndarray

    def bits(self, port: str) -> np.ndarray:
        """uint8 (cycles, bits), lowest bit first."""
        first = sum(list(self.ports.values())[:list(self.ports).index(port)])
        last = first + self.ports[port]
        bits = np.unpackbits(self.data[:, first // 8:-(-last // 8)], axis=1, bitorder="little")
        return bits[:, first % 8:first % 8 + last - first]

    def values(self, port: str) -> np.ndarray:
        """Unsigned, of a port of at most 63 bits."""
        bits = self.bits(port)
        return bits.astype(np.int64) @ (1 << np.arange(bits.shape[1]))


class _RecordingBackend(NativeBackend):
    def __init__(self, config: EngineConfig, **options):
        verilog, self._ports = _recording_engine(config)
        super().__init__(config, verilog=verilog, **options)
        self.recordings: dict[str, Recording] = {}

    def _execute(self, model: Path, folder: Path, report: Callable[[int, int, int], None]):
        super()._execute(model, folder, report)
        for path in folder.glob(f"*{_SUFFIX}"):
            module, _, instance = path.name.removesuffix(_SUFFIX).partition(" ")
            ports = self._ports[module]
            data = np.fromfile(path, np.uint8).reshape(-1, 4 * -(-sum(ports.values()) // 32))
            self.recordings[instance.partition(".engine.")[2]] = Recording(ports, data)


def record(program: Program, images: np.ndarray, *, cache: Path | None = None
           ) -> tuple[SimulationResult, dict[str, Recording]]:
    """Runs ``images``, int8 as the integer model takes them; recordings are by the instance's path in the engine."""
    backend = _RecordingBackend(program.config, cache=cache)
    result = backend.run(program, images)
    return result, backend.recordings
