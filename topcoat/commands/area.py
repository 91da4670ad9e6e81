"""Area of engines for one coat, for up to seven and for int8, from cached points of synthesis.

example: topcoat area --preset edge --target ecp5 asap7
         topcoat area --renew ecp5                                   # after a change of the RTL; needs Yosys
         topcoat area --renew mylib --liberty mylib.lib.gz --sram-cell .5   # any standard cells; then: --target mylib
"""

from pathlib import Path

from tqdm import tqdm

from arch.config import PRESETS
from reports.area import comparison, points
from reports.area.library import SRAM_CELLS, Library
from reports.area.model import area_model
from reports.area.synthesis import FPGAS
from topcoat.output import table, write_json


def configure(parser):
    parser.add_argument("--preset", choices=PRESETS, default="edge", help="engine (default: %(default)s)")
    parser.add_argument("--target", nargs="+", metavar="T",
                        help=f"targets (default: all with points: {', '.join(points.targets())})")
    parser.add_argument("--renew", metavar="T", help="bring the points of a target up to date with Yosys first; cut "
                        f"short, it goes on where it stopped (FPGAs: {', '.join(FPGAS)})")
    parser.add_argument("--liberty", nargs="+", type=Path, metavar="F",
                        help="with --renew: Liberty files of a target that is no FPGA")
    parser.add_argument("--dont-use", nargs="*", metavar="GLOB", help="with --liberty: cells to leave alone")
    parser.add_argument("--sram-cell", type=float, metavar="UM2", help="with --liberty: area of an SRAM cell of that "
                        f"technology (known: {', '.join(SRAM_CELLS)})")
    parser.add_argument("--yosys", metavar="PROGRAM", help="Yosys to use (default: YoWASP's, else one on PATH)")
    parser.add_argument("--json", type=Path, metavar="F", help="write the rows as JSON")


def _renew(options):
    library = None
    if options.liberty:
        library = Library.known(options.renew, options.liberty, sram_cell=options.sram_cell, dont_use=options.dont_use)
    points.renew(options.renew, yosys=options.yosys, library=library,
                 progress=lambda samples: tqdm(samples, desc=f"points of {options.renew}", unit="block"))


def run(options) -> int:
    if options.renew:
        _renew(options)
    rows = []
    for target in options.target or ([options.renew] if options.renew else points.targets()):
        compared = comparison.compare_coats(options.preset, target)
        rows += compared
        model = area_model(target)
        cached = model.points
        unit = "LUTs" if target in FPGAS else f"um2, NAND2 = {cached.nand2_area:g} ({cached.nand2})"
        print(f"{target}, {options.preset}: {unit}; {cached.tool}")
        print(table(comparison.HEADER, comparison.text_rows(compared)))
        modelled = dict.fromkeys(name for row in compared for name in row.modelled)
        if modelled:
            worst = max(model.errors.get(name, 0) for name in modelled)
            print(f"without points of their own, modelled (fits within {worst:.1%}): {', '.join(modelled)}")
        print()
    write_json(options.json, {"preset": options.preset, "rows": [row.to_json() for row in rows]})
    return 0
