"""Compare numbers of coats. With --network: size, traffic, cycles, area and energy of any network, from its shapes,
beside stored weights of 8, 4 and 1 bits. Without: accuracy, bytes, cycles and weight traffic of trained models,
simulated.

example: topcoat compare --network resnet50 --coats 1-7 -o out/resnet50
         topcoat compare -o out/compare
"""

from pathlib import Path

from arch.config import PRESETS
from topcoat.commands import compare_models, compare_network


def configure(parser):
    parser.add_argument("models", nargs="*", metavar="M.coat", help="files or names (default: all bundled models)")
    parser.add_argument("--preset", choices=PRESETS, help="engine (default: base with --network, else edge)")
    parser.add_argument("--images", type=int, default=4, metavar="K",
                        help="images to simulate of trained models (default: %(default)s)")
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="DIR", help="folder for page and plots")
    parser.add_argument("--json", type=Path, metavar="F", help="write the rows as JSON")
    compare_network.configure(parser)


def run(options) -> int:
    if options.network is not None:
        if options.models:
            raise ValueError(f"give --network or models, not both: {options.models[0]}")
        return compare_network.run(options)
    for name in compare_network.DEFAULTS:
        if getattr(options, name) is not None:
            raise ValueError(f"--{name.replace('_', '-')} needs --network NAME")
    return compare_models.run(options)
