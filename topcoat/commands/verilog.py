"""Write an engine's Verilog, its name map, its port table and the documents of its registers into a folder.

example: topcoat verilog --preset edge -o out/edge
"""

from pathlib import Path

from arch.config import LANES, PRESETS, EngineConfig
from hw import emit, registers


def configure(parser):
    parser.add_argument("--preset", choices=PRESETS, default="edge", help="engine to write (default: %(default)s)")
    parser.add_argument("--lane", choices=LANES, default=LANES[0],
                        help="how lanes multiply: planes are smaller on FPGAs without multiplier blocks, and need "
                             "programs compiled for them (docs/lane.md; default: %(default)s)")
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="DIR", help="folder to write into")


def run(options) -> int:
    paths = emit.write(EngineConfig.preset(options.preset, lane=options.lane), options.output)
    for path in (*paths, *registers.write_documents(options.output)):
        print(path)
    return 0
