"""Bitstreams of the self-test (hw/selftest.py) for boards, by Yosys, nextpnr and Project Trellis."""

from __future__ import annotations

import hashlib
import json
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from hw.emit import SELF_TEST_MODULE
from reports.area.synthesis import find_program, find_yosys, yosys_version
from reports.synth.flow import nextpnr_version
from sim.selftest import SelfTestProgram

__all__ = ["BOARDS", "Board", "make_bitstream", "write_sources"]

SEED = 1
"""Of the placement: the same Verilog and the same tools make the same bitstream."""

DENSITY = "0.6"
"""How densely nextpnr may place. The device is large and the clock slow; placed as by default it routes for long."""


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
    #: Ports, pins and levels of the LEDs, the first of which shows the verdict and the others stay dark.
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
                "  wire verdict;\n"
                f"  always @(posedge {self.clock}) if (reset != 4'd0) reset <= reset - 4'd1;\n"
                f"  {SELF_TEST_MODULE} test (.clk({self.clock}), .rst(reset != 4'd0), .led(verdict), "
                f".uart({self.uart}));\n"
                f"  assign led = {{{len(self.leds) - 1}'d0, verdict}};\n"
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


def _run(command: list[str], folder: Path) -> str:
    """What a tool says. Raises RuntimeError with its first error if it fails."""
    done = subprocess.run(command, cwd=folder, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    if done.returncode:
        lines = done.stdout.splitlines()
        error = next((line for line in lines if "ERROR" in line), lines[-1] if lines else "no output")
        raise RuntimeError(f"{Path(command[0]).name} failed: {error}")
    return done.stdout


def sha256(content: bytes) -> str:
    """In hexadecimal."""
    return hashlib.sha256(content).hexdigest()


def write_sources(test: SelfTestProgram, board: Board, folder: Path) -> list[Path]:
    """Writes ``self_test.v``, ``board.v`` and ``board.lpf``; returns their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    texts = {"self_test.v": test.verilog(board.clock_hz), "board.v": board.top(), "board.lpf": board.constraints()}
    for name, text in texts.items():
        (folder / name).write_text(text)
    return [folder / name for name in texts]


def make_bitstream(board: Board, folder: Path, *, progress: Callable[[str], None] = lambda step: None) -> dict:
    """Makes ``topcoat.bit`` from what :func:`write_sources` has written, and says what it is: size in bytes, SHA-256,
    nextpnr's utilisation and clock, versions of the tools. Raises RuntimeError for a tool that is missing or fails, and
    for a clock slower than the board's."""
    yosys, nextpnr, ecppack = find_yosys(extra="synth"), *(
        find_program(name, extra="synth") for name in ("nextpnr-ecp5", "ecppack"))
    progress("synthesis")
    _run([yosys, "-q", "-l", "yosys.log", "-p", "read_verilog self_test.v board.v; "
          "synth_ecp5 -top topcoat_board -json netlist.json"], folder)
    progress("placement and routing")
    _run([nextpnr, *board.options, "--json", "netlist.json", "--lpf", "board.lpf", "--textcfg", "board.config",
          "--report", "report.json", "--log", "nextpnr.log", "--seed", str(SEED), "--placer-heap-beta", DENSITY,
          "--quiet"], folder)
    progress("bitstream")
    _run([ecppack, "--compress", "--input", "board.config", "--bit", "topcoat.bit"], folder)
    report = json.loads((folder / "report.json").read_text())
    (clock,) = report["fmax"].values()
    if clock["achieved"] < board.clock_hz / 1e6:
        raise RuntimeError(f"routed at {clock['achieved']:.1f} MHz, below the board's {board.clock_hz / 1e6:g}")
    bitstream = folder / "topcoat.bit"
    return {
        "bytes": bitstream.stat().st_size, "sha256": sha256(bitstream.read_bytes()),
        "verilog_sha256": sha256((folder / "self_test.v").read_bytes()),
        "fmax_mhz": round(clock["achieved"], 1),
        "utilisation": {cell: count for cell, count in report["utilization"].items() if count["used"]},
        "tool_versions": {"yosys": yosys_version(yosys), "nextpnr": nextpnr_version(nextpnr)},
    }
