"""The flow from the self-test to a bitstream: its inputs, its failures, and the record of the one that was made."""

import json
import re
from pathlib import Path

import pytest

from reports import bitstream
from reports.bitstream import BOARDS, Board
from sim.selftest import self_test
from topcoat.cli import main

ROOT = Path(__file__).parents[2]


def ports(text: str) -> set[str]:
    """Ports of the Verilog's module, bit by bit."""
    found = re.findall(r"(?:input|output) (?:\[(\d+):0\] )?(\w+)", text)
    return {name if high == "" else f"{name}[{bit}]" for high, name in found for bit in range(int(high or 0) + 1)}


@pytest.mark.parametrize("board", BOARDS.values(), ids=BOARDS)
def test_every_port_has_a_pin_of_its_own(board: Board):
    pins = re.findall(r'LOCATE COMP "(\S+)" SITE "(\w+)";', board.constraints())
    assert {port for port, _ in pins} == ports(board.top())
    assert len({site for _, site in pins}) == len(pins) == len(board.leds) + 2 + len(board.high)
    assert f'FREQUENCY PORT "{board.clock}" {board.clock_hz // 1_000_000} MHZ;' in board.constraints()


def test_the_command_writes_what_the_tools_read(tmp_path, capsys):
    assert main(["selftest", "--sources", "-o", str(tmp_path / "out")]) == 0
    paths = [Path(line) for line in capsys.readouterr().out.splitlines()]
    assert [path.name for path in paths] == ["self_test.v", "board.v", "board.lpf"]
    board = BOARDS["ulx3s-85f"]
    assert [path.read_text() for path in paths[1:]] == [board.top(), board.constraints()]
    assert "\nmodule topcoat_self_test(" in paths[0].read_text()


def test_a_missing_tool_is_named(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr("sys.executable", str(tmp_path / "python"))
    monkeypatch.setattr(bitstream, "find_yosys", lambda **_: "yosys")
    with pytest.raises(RuntimeError, match=r"^no nextpnr-ecp5 found \(tried .*\): install it with `pip install"):
        bitstream.make_bitstream(BOARDS["ulx3s-85f"], tmp_path)


def test_a_tool_that_fails_is_quoted(monkeypatch, tmp_path):
    tool = tmp_path / "tool"
    tool.write_text("#!/bin/sh\necho Info: fine\necho ERROR: no such pin\nexit 3\n")
    tool.chmod(0o755)
    monkeypatch.setattr(bitstream, "find_yosys", lambda **_: str(tool))
    monkeypatch.setattr(bitstream, "find_program", lambda name, **_: str(tool))
    with pytest.raises(RuntimeError, match="^tool failed: ERROR: no such pin$"):
        bitstream.make_bitstream(BOARDS["ulx3s-85f"], tmp_path)


def test_the_page_shows_the_record_of_this_self_test():
    record = json.loads((ROOT / "reports" / "selftest.json").read_text())
    verilog = self_test(record["preset"], record["lane"]).verilog(record["clock_hz"]).encode()
    assert record["verilog_sha256"] == bitstream.sha256(verilog), "make it again with `make bitstream`"
    page = (ROOT / "docs" / "selftest.md").read_text()
    shown = [f"crc={record['crc']}", record["sha256"], record["verilog_sha256"], f"{record['bytes']:,}", record["part"],
             f"{record['fmax_mhz']} MHz", *record["tool_versions"].values(),
             *(f"| {cell} | {count['used']:,} | {count['available']:,} |"
               for cell, count in record["utilisation"].items())]
    assert [text for text in shown if text not in page] == []
