"""Compare models that differ in their coats: accuracy, bytes, cycles and weight traffic, simulated on the engine.

example: topcoat compare -o out/compare
"""

from pathlib import Path

from arch.config import PRESETS, EngineConfig
from golden import bundled, datasets
from reports import coats, page
from sim.network import simulate
from topcoat.output import table, write_json


def configure(parser):
    parser.add_argument("models", nargs="*", metavar="M.coat", help="files or names (default: all bundled models)")
    parser.add_argument("--preset", choices=PRESETS, default="edge", help="engine (default: %(default)s)")
    parser.add_argument("--images", type=int, default=4, metavar="K", help="images to simulate (default: %(default)s)")
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="DIR", help="folder for page and plots")
    parser.add_argument("--json", type=Path, metavar="F", help="write the rows as JSON")


def rows(models: list[str], preset: str, images: int) -> list[coats.CoatRow]:
    """Simulate every model on the first bundled images; one row each."""
    config = EngineConfig.preset(preset)
    test = datasets.load(bundled.IMAGES, "test").first(images)
    result = []
    for model in models:
        path = bundled.find(model)
        result.append(coats.coat_row(model, path, simulate(path, test, config, label=model)))
    return sorted(result, key=lambda row: row.coats)


def run(options) -> int:
    compared = rows(options.models or list(bundled.models()), options.preset, options.images)
    print(table(coats.HEADER, coats.text_rows(compared)))
    page.write(options.output / "index.html", "Topcoat: the cost of coats", [page.comparison(compared)])
    print(f"\nsizes in KiB; page with plots: {options.output / 'index.html'}")
    write_json(options.json, {"preset": options.preset, "models": [row.to_json() for row in compared]})
    return 0 if all(row.bit_exact for row in compared) else 1
