"""Write an engine's Verilog, its name map and its port table into a folder.

example: topcoat verilog --preset edge -o out/edge
"""

from pathlib import Path

from arch.config import PRESETS, EngineConfig
from hw import emit


def configure(parser):
    parser.add_argument("--preset", choices=PRESETS, default="edge", help="engine to write (default: %(default)s)")
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="DIR", help="folder to write into")


def run(options) -> int:
    for path in emit.write(EngineConfig.preset(options.preset), options.output):
        print(path)
    return 0
