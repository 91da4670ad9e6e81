"""Compare numbers of coats. With --network: size, traffic, cycles, area and energy of any network, from its shapes,
beside stored weights of 8, 4 and 1 bits. Without: accuracy, bytes, cycles and weight traffic of trained models,
simulated.

example: topcoat compare --network resnet50 --coats 1-7 -o out/resnet50
         topcoat compare -o out/compare
"""

import os
from pathlib import Path

from tqdm import tqdm

from arch.config import PRESETS, EngineConfig
from golden import bundled, codes, datasets
from golden.checkpoint import write_atomically
from reports import coats, page
from reports.area import points
from reports.compare import compare
from reports.compare import page as compare_page
from reports.compare.rows import CLOCK_MHZ, parse_coats
from reports.energy import DRAM_PJ_PER_BIT, NODE_NM, nodes
from sim.network import simulate
from topcoat.output import table, write_json

NETWORK_OPTIONS = {"coats": None, "schedule": "uniform:0.7", "clock": CLOCK_MHZ, "code": "best", "batch": 1,
                   "dram_pj": DRAM_PJ_PER_BIT, "node": NODE_NM, "jobs": None}
"""Options that say nothing about trained models, with their defaults."""


def configure(parser):
    parser.add_argument("models", nargs="*", metavar="M.coat", help="files or names (default: all bundled models)")
    parser.add_argument("--preset", choices=PRESETS, help="engine (default: base with --network, else edge)")
    parser.add_argument("--images", type=int, default=4, metavar="K",
                        help="images to simulate of trained models (default: %(default)s)")
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="DIR", help="folder for page and plots")
    parser.add_argument("--json", type=Path, metavar="F", help="write the rows as JSON")
    network = parser.add_argument_group("of a network by its shapes")
    network.add_argument("--network", metavar="NAME", help="resnet18, resnet50, ...")
    network.add_argument("--coats", metavar="LIST", help="1-7, 1,3,7 or 3 (default: all that the schedule has)")
    network.add_argument("--schedule", metavar="S", help="uniform:R or linear:R, R the fraction that the first coat "
                         "removes, or released (default: uniform:0.7)")
    network.add_argument("--code", choices=("best", *codes.COAT_CODES), help="code of the masks (default: best)")
    network.add_argument("--batch", type=int, metavar="B", help="images that share a fetch of the masks (default: 1)")
    network.add_argument("--clock", type=float, metavar="MHZ", help="clock that frames per second are given at "
                         f"(default: {CLOCK_MHZ:g})")
    network.add_argument("--dram-pj", type=float, nargs="+", metavar="PJ", help="pJ per bit of DRAM traffic (default: "
                         f"{' '.join(f'{price:g}' for price in DRAM_PJ_PER_BIT)})")
    network.add_argument("--node", type=int, metavar="NM", help="technology of the constant sets, in nm: "
                         f"{', '.join(map(str, nodes()))} (default: {NODE_NM})")
    network.add_argument("--jobs", type=int, metavar="J", help="processes (default: one per core)")


def rows(models: list[str], preset: str, images: int) -> list[coats.CoatRow]:
    """Simulate every model on the first bundled images; one row each."""
    config = EngineConfig.preset(preset)
    test = datasets.load(bundled.IMAGES, "test").first(images)
    result = []
    for model in models:
        path = bundled.find(model)
        result.append(coats.coat_row(model, path, simulate(path, test, config, label=model)))
    return sorted(result, key=lambda row: row.coats)


def _compare_network(options) -> int:
    given = {name: default if getattr(options, name) is None else getattr(options, name)
             for name, default in NETWORK_OPTIONS.items()}
    comparison = compare(
        options.network, parse_coats(given["coats"], given["schedule"]),
        config=EngineConfig.preset(options.preset or "base"), schedule=given["schedule"], code=given["code"],
        batch=given["batch"], clock_mhz=given["clock"], dram_pj_per_bit=given["dram_pj"], node_nm=given["node"],
        targets=points.targets(), jobs=os.cpu_count() or 1 if given["jobs"] is None else given["jobs"],
        progress=lambda done, count: tqdm(done, total=count, desc=f"designs of {options.network}", unit="design"))
    print(table(*compare_page.text_table(comparison)))
    options.output.mkdir(parents=True, exist_ok=True)
    compare_page.write(options.output, comparison)
    write_atomically(options.output / "compare.csv", lambda path: path.write_text(comparison.to_csv()))
    for path in options.output / "compare.json", options.json:
        write_json(path, comparison.to_json())
    print(f"\npage: {options.output / 'index.html'}; figures, compare.csv and compare.json beside it")
    return 0


def run(options) -> int:
    if options.network is not None:
        if options.models:
            raise ValueError(f"give --network or models, not both: {options.models[0]}")
        return _compare_network(options)
    for name in NETWORK_OPTIONS:
        if getattr(options, name) is not None:
            raise ValueError(f"--{name.replace('_', '-')} needs --network NAME")
    compared = rows(options.models or list(bundled.models()), options.preset or "edge", options.images)
    print(table(coats.HEADER, coats.text_rows(compared)))
    page.write(options.output / "index.html", "Topcoat: the cost of coats", [page.comparison(compared)])
    print(f"\nsizes in KiB; page with plots: {options.output / 'index.html'}")
    write_json(options.json, {"preset": options.preset or "edge", "models": [row.to_json() for row in compared]})
    return 0 if all(row.bit_exact for row in compared) else 1
