"""The comparison of `topcoat compare` without --network: trained models, simulated."""

from arch.config import EngineConfig
from golden import bundled, datasets
from reports import coats, page
from sim.network import simulate
from topcoat.output import table, write_json


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
    """Compare, print the table, and write page and JSON."""
    preset = options.preset or "edge"
    compared = rows(options.models or list(bundled.models()), preset, options.images)
    print(table(coats.HEADER, coats.text_rows(compared)))
    page.write(options.output / "index.html", "Topcoat: the cost of coats", [page.comparison(compared)])
    print(f"\nsizes in KiB; page with plots: {options.output / 'index.html'}")
    write_json(options.json, {"preset": preset, "models": [row.to_json() for row in compared]})
    return 0 if all(row.bit_exact for row in compared) else 1
