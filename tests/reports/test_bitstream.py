"""The flow from the self-test to a bitstream: its inputs, its failures, and the record of the one that was made."""

import dataclasses
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


def test_a_missing_tool_is_named_before_anything_is_made(monkeypatch, tmp_path, capsys):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr("sys.executable", str(tmp_path / "python"))
    monkeypatch.setattr(bitstream, "find_yosys", lambda **_: "yosys")
    assert main(["selftest", "-o", str(tmp_path / "out")]) == 1
    assert "no nextpnr-ecp5 found (tried" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


TEXTS = {"self_test.v": "module topcoat_self_test ();\nendmodule\n",
         "board.v": "module topcoat_board ();\n  topcoat_self_test test ();\nendmodule\n", "board.lpf": "# pins\n"}
BOARD = BOARDS["ulx3s-85f"]
REPORT = {"fmax": {"clk": {"achieved": 45.12}}, "utilization": {"LUT": {"used": 3, "available": 9}}}


@pytest.fixture
def tools(monkeypatch, tmp_path):
    """Tools of one line each, which say in a file that they ran and what folder they found."""
    paths = {}
    for name, work in {
            "yosys": "echo netlist > netlist.json",
            "nextpnr": f"cp netlist.json board.config; echo '{json.dumps(REPORT)}' > report.json",
            "ecppack": "cp board.config topcoat.bit"}.items():
        paths[name] = tmp_path / name
        paths[name].write_text(f"""#!/bin/sh
[ "$1" = --version ] && echo "{name} 1 (Version x)" && exit
echo {name} $(ls | grep -v log) >> {tmp_path / "runs"}
{work}
""")
        paths[name].chmod(0o755)
    monkeypatch.setattr(bitstream, "find_tools", lambda: tuple(map(str, paths.values())))
    return paths


def test_every_step_starts_in_an_empty_folder_and_once(tools, tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    (out / "netlist.json").write_text("of another design")
    made = bitstream.make_bitstream(TEXTS, BOARD, out, cache=tmp_path / "cache")
    assert (out / "topcoat.bit").read_text() == "netlist\n" and made["bytes"] == 8 and made["fmax_mhz"] == 45.1
    assert made["utilisation"] == REPORT["utilization"]
    runs = tmp_path / "runs"
    assert runs.read_text().splitlines() == ["yosys design.v flow.ys", "nextpnr board.lpf netlist.json",
                                             "ecppack board.config"]
    runs.unlink()
    assert bitstream.make_bitstream(TEXTS, BOARD, out, cache=tmp_path / "cache") == made
    assert runs.read_text() == "ecppack board.config\n"


def test_a_tool_that_dies_without_a_word_makes_no_bitstream(tools, tmp_path):
    tools["yosys"].write_text("#!/bin/sh\necho Executing ABC9\n")
    with pytest.raises(RuntimeError, match=r"^yosys ended without netlist\.json: Executing ABC9$"):
        bitstream.make_bitstream(TEXTS, BOARD, tmp_path, cache=tmp_path / "cache")
    assert not (tmp_path / "topcoat.bit").exists()


def test_a_tool_that_fails_is_quoted(tools, tmp_path):
    tools["nextpnr"].write_text("#!/bin/sh\necho Version 1\necho ERROR: no such pin\necho Info: end\n"
                                "[ $1 = --version ]\n")
    with pytest.raises(RuntimeError, match="^nextpnr failed: ERROR: no such pin$"):
        bitstream.make_bitstream(TEXTS, BOARD, tmp_path, cache=tmp_path / "cache")


def test_a_clock_below_the_board_s_is_refused(tools, tmp_path):
    board = dataclasses.replace(BOARD, clock_hz=50_000_000)
    with pytest.raises(RuntimeError, match=r"^routed at 45\.1 MHz, below the board's 50$"):
        bitstream.make_bitstream(TEXTS, board, tmp_path, cache=tmp_path / "cache")


@pytest.mark.parametrize("name", TEXTS)
def test_every_input_decides_on_the_digest(name, monkeypatch):
    first = bitstream.inputs_sha256(TEXTS, BOARD)
    assert bitstream.inputs_sha256({**TEXTS, name: TEXTS[name] + "\n"}, BOARD) != first
    monkeypatch.setattr(bitstream, "SEED", 2)
    assert bitstream.inputs_sha256(TEXTS, BOARD) != first


def test_the_page_shows_the_record_of_this_self_test():
    record = json.loads((ROOT / "reports" / "selftest.json").read_text())
    texts = bitstream.sources(self_test(record["preset"], record["lane"]), BOARDS[record["board"]])
    assert record["inputs_sha256"] == bitstream.inputs_sha256(texts, BOARDS[record["board"]]), \
        "make it again with `make bitstream`"
    assert record["verilog_sha256"] == bitstream.sha256(texts["self_test.v"].encode())
    assert record["sha256"] == bitstream.sha256((ROOT / "reports" / "selftest.bit").read_bytes())
    page = (ROOT / "docs" / "selftest.md").read_text()
    shown = [f"crc={record['crc']}", record["sha256"], record["verilog_sha256"], f"{record['bytes']:,}", record["part"],
             f"{record['fmax_mhz']} MHz", *record["tool_versions"].values(),
             *(f"| {cell} | {count['used']:,} | {count['available']:,} |"
               for cell, count in record["utilisation"].items())]
    assert [text for text in shown if text not in page] == []
