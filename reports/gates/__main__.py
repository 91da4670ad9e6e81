"""Measures the energy of the engine's blocks in standard cells and writes it as a constant set.

Engines run an image of a network on the RTL, with every port of their blocks recorded; the blocks' netlists, mapped as
in reports/area, run the same inputs cell by cell, and have to give the same outputs in every cycle.

example: python -m reports.gates sky130hd --node 130 --liberty sky130_fd_sc_hd__tt_025C_1v80.lib.gz
"""

import argparse
import sys
from pathlib import Path

from tqdm import tqdm

from reports.area.library import SRAM_CELLS, Library
from reports.costs import FOLDER
from reports.gates.constants import set_content, write_set
from reports.gates.measure import measure
from reports.tools import find_yosys
from sim.build import BuildError
from sim.toolchain import ToolchainError


def main() -> int:
    """Writes one file."""
    parser = argparse.ArgumentParser(prog="python -m reports.gates", description=__doc__.split("\n\n")[0])
    parser.add_argument("name", help=f"of the library (known: {', '.join(SRAM_CELLS)})")
    parser.add_argument("--node", type=int, required=True, metavar="NM", help="its technology")
    parser.add_argument("--liberty", nargs="+", type=Path, required=True, metavar="F", help="its Liberty files")
    parser.add_argument("--dont-use", nargs="*", metavar="GLOB", help="cells to leave alone (default: as known)")
    parser.add_argument("--yosys", metavar="PROGRAM", help="Yosys to use (default: YoWASP's, else one on PATH)")
    parser.add_argument("-o", "--output", type=Path, metavar="F", help="default: NAME-NM.json in reports/constants")
    options = parser.parse_args()
    try:
        library = Library.known(options.name, options.liberty, sram_cell=1., dont_use=options.dont_use)
        yosys = find_yosys(options.yosys)
        blocks = []
        for block in measure(library, yosys=yosys, progress=lambda work: tqdm(work, unit="block")):
            blocks.append(block)
            prices = ", ".join(f"{action} {fj:,.0f} fJ" for (_, action), fj in block.prices.items())
            tqdm.write(f"{block.sample}: {block.cells:,} cells equal the RTL in {block.cycles:,} cycles; {prices}; "
                       f"clock {block.clock_fj:,.0f} fJ per cycle")
        output = options.output or FOLDER / f"{options.name}-{options.node}.json"
        write_set(output, set_content(library, options.node, blocks, yosys=yosys))
    except (BuildError, OSError, RuntimeError, ToolchainError, ValueError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(output)
    return 0


if __name__ == "__main__":
    sys.exit(main())
