"""Bitstreams of the self-test (hw/selftest.py) for boards, by Yosys, nextpnr and Project Trellis."""

from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from golden.checkpoint import write_atomically
from hw.emit import SELF_TEST_MODULE
from reports.synth.flow import script, synthesise
from reports.synth.harness import Design
from reports.synth.targets import TARGETS
from reports.tools import find_program, find_yosys, nextpnr_version, run_tool, yosys_version
from sim.build import cached_model, digest
from sim.selftest import SelfTestProgram

__all__ = ["BOARDS", "Board", "find_tools", "inputs_sha256", "make_bitstream", "sources"]

SEED = 1
"""Of the placement: the same Verilog and the same tools make the same bitstream."""


@dataclass(frozen=True, kw_only=True)
class Board:
    """A board with an ECP5."""

    title: str
    #: Of the FPGA, and nextpnr's options for it.
    part: str
    options: tuple[str, ...]
    #: Port, pin and frequency of the clock.
    clock: str
    clock_site: str
    clock_hz: int
    #: Pins of the LEDs: the verdict's, the clock's, and others, which stay dark.
    leds: tuple[str, ...]
    #: Port and pin of the serial line to the computer.
    uart: str
    uart_site: str
    #: Ports that must be high, and their pins.
    high: dict[str, str]
    #: Where the pins are from.
    source: str

    def top(self) -> str:
        """Module ``topcoat_board``: the self-test with the board's ports, and a reset after configuration."""
        ports = ", ".join([f"input {self.clock}", f"output [{len(self.leds) - 1}:0] led", f"output {self.uart}",
                           *(f"output {port}" for port in self.high)])
        assigns = "".join(f"  assign {port} = 1'b1;\n" for port in self.high)
        return (f"module topcoat_board ({ports});\n"
                "  reg [3:0] reset = 4'd15;\n"
                "  wire verdict, alive;\n"
                f"  always @(posedge {self.clock}) if (reset != 4'd0) reset <= reset - 4'd1;\n"
                f"  {SELF_TEST_MODULE} test (.clk({self.clock}), .rst(reset != 4'd0), .led(verdict), "
                f".alive(alive), .uart({self.uart}));\n"
                f"  assign led = {{{len(self.leds) - 2}'d0, alive, verdict}};\n"
                f"{assigns}endmodule\n")

    def constraints(self) -> str:
        """Pins, levels and clock in Lattice's preference format (LPF)."""
        pins = {self.clock: self.clock_site, **{f"led[{index}]": site for index, site in enumerate(self.leds)},
                self.uart: self.uart_site, **self.high}
        lines = [f"# {self.title}: {self.source}"]
        for port, site in pins.items():
            drive = "PULLMODE=NONE" if port == self.clock else "DRIVE=4"
            lines += [f'LOCATE COMP "{port}" SITE "{site}";', f'IOBUF PORT "{port}" IO_TYPE=LVCMOS33 {drive};']
        lines.append(f'FREQUENCY PORT "{self.clock}" {self.clock_hz / 1e6:g} MHZ;')
        return "\n".join(lines) + "\n"


BOARDS = {
    "ulx3s-85f": Board(
        title="ULX3S with LFE5U-85F", part="LFE5U-85F-6BG381C",
        options=("--85k", "--package", "CABGA381", "--speed", "6"), clock="clk_25mhz", clock_site="G2",
        clock_hz=25_000_000, leds=("B2", "C2", "C1", "D2", "D1", "E2", "E1", "H3"), uart="ftdi_rxd", uart_site="L4",
        high={"wifi_gpio0": "L2"},  # or the ESP32 may reboot the board
        source="github.com/emard/ulx3s, doc/constraints/ulx3s_v20.lpf"),
}
"""Boards by name. Ports are named as in the board's own constraints."""


def sha256(content: bytes) -> str:
    """In hexadecimal."""
    return hashlib.sha256(content).hexdigest()


def sources(test: SelfTestProgram, board: Board) -> dict[str, str]:
    """Texts of ``self_test.v``, ``board.v`` and ``board.lpf``."""
    return {"self_test.v": test.verilog(board.clock_hz), "board.v": board.top(), "board.lpf": board.constraints()}


_PACKING = ("--compress", "--input", "board.config", "--bit", "topcoat.bit")


def _routing(board: Board) -> tuple[str, ...]:
    return (*board.options, "--json", "netlist.json", "--lpf", "board.lpf", "--textcfg", "board.config",
            "--report", "report.json", "--seed", str(SEED), *TARGETS["ecp5"].place_and_route)


def _design(texts: Mapping[str, str]) -> Design:
    return Design(f"{texts['self_test.v']}\n{texts['board.v']}", top="topcoat_board")


def inputs_sha256(texts: Mapping[str, str], board: Board) -> str:
    """Digest of all but the tools that a bitstream follows from: :func:`sources` and the tools' commands."""
    return digest((*(part for item in texts.items() for part in item), script(_design(texts), TARGETS["ecp5"]),
                   *_routing(board), *_PACKING))


def find_tools() -> tuple[str, str, str]:
    """Yosys, nextpnr and ecppack. Raises RuntimeError for one that is missing."""
    return find_yosys(extra="synth"), *(find_program(name, extra="synth") for name in ("nextpnr-ecp5", "ecppack"))


def make_bitstream(texts: Mapping[str, str], board: Board, folder: Path, *, cache: Path | None = None,
                   progress: Callable[[str], None] = lambda step: None) -> dict:
    """Makes ``topcoat.bit`` in ``folder`` from :func:`sources`, and says what it is: size in bytes, SHA-256,
    nextpnr's utilisation and clock, versions of the tools. Synthesis and routing are kept in the build cache. Raises
    RuntimeError for a tool that is missing or fails, and for a clock slower than the board's."""
    yosys, nextpnr, ecppack = find_tools()
    versions = {"yosys": yosys_version(yosys), "nextpnr": nextpnr_version(nextpnr)}
    progress("synthesis")
    netlist = synthesise(_design(texts), TARGETS["ecp5"], yosys, cache=cache)

    def route(work: Path) -> Path:
        shutil.copyfile(netlist, work / "netlist.json")
        (work / "board.lpf").write_text(texts["board.lpf"])
        run_tool([nextpnr, *_routing(board)], work, ["board.config", "report.json"])
        routed = work / "routed.json"
        routed.write_text(json.dumps({"config": (work / "board.config").read_text(),
                                      "report": json.loads((work / "report.json").read_text())}))
        return routed

    progress("placement and routing")
    parts = ("board", versions["nextpnr"], *_routing(board), texts["board.lpf"], netlist.parent.name)
    routed = json.loads(cached_model(parts, "routed.json", route, cache, duration="minutes to an hour").read_text())
    (clock,) = routed["report"]["fmax"].values()
    if clock["achieved"] < board.clock_hz / 1e6:
        raise RuntimeError(f"routed at {clock['achieved']:.1f} MHz, below the board's {board.clock_hz / 1e6:g}")

    progress("bitstream")
    with tempfile.TemporaryDirectory(prefix="topcoat-build-") as name:
        work = Path(name)
        (work / "board.config").write_text(routed["config"])
        run_tool([ecppack, *_PACKING], work, ["topcoat.bit"])
        content = (work / "topcoat.bit").read_bytes()
    folder.mkdir(parents=True, exist_ok=True)
    write_atomically(folder / "topcoat.bit", lambda temporary: temporary.write_bytes(content))
    return {
        "bytes": len(content), "sha256": sha256(content),
        "verilog_sha256": sha256(texts["self_test.v"].encode()),
        "inputs_sha256": inputs_sha256(texts, board),
        "fmax_mhz": round(clock["achieved"], 1),
        "utilisation": {cell: count for cell, count in routed["report"]["utilization"].items() if count["used"]},
        "tool_versions": versions,
    }
