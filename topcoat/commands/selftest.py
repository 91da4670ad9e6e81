"""Make a bitstream that tests itself on a board: an engine, a small program in block RAM, the verdict on a LED and a
serial line (docs/selftest.md).

example: topcoat selftest -o out/selftest
"""

from __future__ import annotations

from pathlib import Path

from arch.config import LANES, PRESETS
from reports.bitstream import BOARDS, find_tools, make_bitstream, sources
from sim.selftest import self_test
from topcoat.output import table, write_json, write_texts


def configure(parser):
    parser.add_argument("--board", choices=BOARDS, default=next(iter(BOARDS)), help="board (default: %(default)s)")
    parser.add_argument("--preset", choices=PRESETS, default="tiny", help="engine (default: %(default)s)")
    parser.add_argument("--lane", choices=LANES, default="planes", help="how lanes multiply (default: %(default)s)")
    parser.add_argument("--sources", action="store_true", help="write Verilog and constraints only")
    parser.add_argument("--json", type=Path, metavar="F", help="write what the bitstream is")
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="DIR", help="folder to write into")


def run(options) -> int:
    if not options.sources:
        # Before the Verilog, which takes a while.
        find_tools()
    board, test = BOARDS[options.board], self_test(options.preset, options.lane)
    texts = sources(test, board)
    for path in write_texts(options.output, texts):
        print(path)
    if options.sources:
        return 0
    made = make_bitstream(texts, board, options.output, progress=lambda step: print(f"{step} ..", flush=True))
    print(f"{options.output / 'topcoat.bit'}: {made['bytes']} bytes for {board.part}, SHA-256 {made['sha256']}")
    print(f"clock: {made['fmax_mhz']} MHz routed, {board.clock_hz / 1e6:g} MHz on the board")
    print(table(("cells", "used", "of"), [(cell, count["used"], count["available"])
                                          for cell, count in made["utilisation"].items()]))
    checksum = f"{test.checksum:08x}"
    print(f"on the serial line, 115200 baud, if it passes: PASS and crc={checksum}")
    write_json(options.json, {"board": options.board, "part": board.part, "preset": options.preset,
                              "lane": options.lane, "clock_hz": board.clock_hz, "crc": checksum, **made})
    return 0
