"""Run a model on the simulated engine and compare every tensor of every layer with the integer model.

example: topcoat simulate fashion-n3 --preset edge --images 16 --backend native --json run.json
"""

from pathlib import Path

from arch.config import PRESETS, EngineConfig
from golden import bundled, datasets
from reports import page
from sim.network import BACKENDS, simulate
from topcoat.output import table, write_json


def configure(parser):
    parser.add_argument("model", metavar="M.coat", help="file, or a bundled model's name")
    parser.add_argument("--preset", choices=PRESETS, default="edge", help="engine (default: %(default)s)")
    parser.add_argument("--images", type=int, default=1, metavar="K", help="how many images (default: %(default)s)")
    parser.add_argument("--backend", choices=BACKENDS, default="native", help="(default: %(default)s)")
    parser.add_argument("--data", type=Path, default=bundled.IMAGES, metavar="DIR",
                        help="IDX folder whose test images are run (default: the bundled ones)")
    parser.add_argument("--waves", type=Path, metavar="F", help="write the waveforms of the run there")
    parser.add_argument("--json", type=Path, metavar="F", help="write the result there")


def run(options) -> int:
    test = datasets.load(options.data, "test").first(options.images)
    result = simulate(bundled.find(options.model), test, EngineConfig.preset(options.preset), backend=options.backend,
                      waves=options.waves, label=options.model)
    print(table(page.LAYER_HEADER, page.layer_rows(result)))
    for mismatch in result.mismatches:
        print(mismatch)
    print(f"\n{'BIT-EXACT' if result.bit_exact else 'NOT BIT-EXACT'}, {result.images} images, "
          f"accuracy RTL {result.accuracy:.4f}, golden {result.golden_accuracy:.4f}, "
          f"utilisation {100 * result.utilisation:.1f} %, {result.cycles:,} cycles, "
          f"{result.cycles_per_second:,.0f} cycles per second")
    write_json(options.json, result.to_json())
    return 0 if result.bit_exact else 1
