"""The comparison of `topcoat compare --network`: any network by its shapes, no training."""

import os

from tqdm import tqdm

from arch.config import EngineConfig
from golden import codes
from golden.checkpoint import write_atomically
from reports.area import points
from reports.compare import compare, page
from reports.compare.rows import CLOCK_MHZ, parse_coats
from reports.energy import DRAM_PJ_PER_BIT, NODE_NM, nodes
from topcoat.output import table, write_json
from topcoat.sizes import kib

DEFAULTS = {"coats": None, "schedule": "uniform:0.7", "clock": CLOCK_MHZ, "code": "best", "batch": 1,
            "dram_pj": DRAM_PJ_PER_BIT, "node": NODE_NM, "jobs": None, "width": None, "columns": None, "lanes": None,
            "activation_kib": None, "mask_kib": None}
"""Options that say nothing about trained models, with their defaults."""


def configure(parser):
    """Options of a network by its shapes. All default to None, so that what is given can be told."""
    network = parser.add_argument_group("of a network by its shapes")
    network.add_argument("--network", metavar="NAME", help="resnet18, resnet50, ...")
    network.add_argument("--coats", metavar="LIST", help="1-7, 1,3,7 or 3 (default: all that the schedule has)")
    network.add_argument("--schedule", metavar="S", help="uniform:R or linear:R, R the fraction that the first coat "
                         "removes, or released (default: uniform:0.7)")
    network.add_argument("--code", choices=codes.CHOICES, help="code of the masks; best is the smallest, "
                         "layer by layer, not the one of least energy (default: best)")
    network.add_argument("--batch", type=int, metavar="B",
                         help="images per run; each fetches the masks again (default: 1)")
    network.add_argument("--clock", type=float, metavar="MHZ", help="clock that frames per second are given at "
                         f"(default: {CLOCK_MHZ:g})")
    network.add_argument("--dram-pj", type=float, nargs="+", metavar="PJ", help="pJ per bit of DRAM traffic (default: "
                         f"{' '.join(f'{price:g}' for price in DRAM_PJ_PER_BIT)})")
    network.add_argument("--node", type=int, metavar="NM", help="technology of the constant sets, in nm: "
                         f"{', '.join(map(str, nodes()))} (default: {NODE_NM})")
    network.add_argument("--jobs", type=int, metavar="J", help="processes (default: one per core)")
    network.add_argument("--width", type=int, metavar="W",
                         help="channels of the first stage (default: the network's own)")
    engine = parser.add_argument_group("of its engine, else the preset's")
    engine.add_argument("--columns", type=int, metavar="K", help="columns of the array")
    engine.add_argument("--lanes", type=int, metavar="C", help="multiply positions of a column")
    engine.add_argument("--activation-kib", metavar="KIB", help="on-chip activation memory")
    engine.add_argument("--mask-kib", metavar="KIB", help="buffer of coded masks")


def _engine(preset: str, given: dict) -> EngineConfig:
    """The preset with what is given of an engine."""
    sizes = {"columns": given["columns"], "lanes": given["lanes"],
             **{f"{name}_bytes": None if given[f"{name}_kib"] is None else kib(given[f"{name}_kib"])
                for name in ("activation", "mask")}}
    changes = {name: value for name, value in sizes.items() if value is not None}
    return EngineConfig.preset(preset, **changes, **({"name": "custom"} if changes else {}))


def run(options) -> int:
    """Compare, print the overview, and write page, figures, CSV and JSON."""
    given = {name: default if getattr(options, name) is None else getattr(options, name)
             for name, default in DEFAULTS.items()}
    comparison = compare(
        options.network, parse_coats(given["coats"], given["schedule"]),
        config=_engine(options.preset or "base", given), width=given["width"], schedule=given["schedule"],
        code=given["code"], batch=given["batch"], clock_mhz=given["clock"], dram_pj_per_bit=given["dram_pj"],
        node_nm=given["node"], targets=points.targets(),
        jobs=os.cpu_count() or 1 if given["jobs"] is None else given["jobs"],
        progress=lambda done, count: tqdm(done, total=count, desc=f"designs of {options.network}", unit="design"))
    print(table(*page.text_table(comparison)))
    options.output.mkdir(parents=True, exist_ok=True)
    page.write(options.output, comparison)
    write_atomically(options.output / "compare.csv", lambda path: path.write_text(comparison.to_csv()))
    for path in options.output / "compare.json", options.json:
        write_json(path, comparison.to_json())
    print(f"\npage: {options.output / 'index.html'}; figures, compare.csv and compare.json beside it")
    return 0
