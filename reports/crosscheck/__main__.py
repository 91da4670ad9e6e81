"""Shows the tables of a cross-check, from its record or a run of the tool: ``python -m reports.crosscheck --help``."""

import argparse
import sys

from arch.config import PRESETS
from reports.crosscheck.record import TOOLS, load, renew
from reports.crosscheck.tables import TABLES


def main() -> int:
    """Exit status."""
    parser = argparse.ArgumentParser(prog="python -m reports.crosscheck", description=__doc__.partition(":")[0] + ".")
    parser.add_argument("tool", choices=(*TOOLS, "nvdla"))
    parser.add_argument("--network", default="resnet18", help="default: %(default)s")
    parser.add_argument("--preset", default="base", choices=PRESETS, help="default: %(default)s")
    parser.add_argument("--run", nargs="?", const="", metavar="PYTHON",
                        help="run the tool, with this Python if given, and write its record")
    options = parser.parse_args()
    try:
        if options.run is None:
            record = load(options.tool, options.network, options.preset)
        else:
            record = renew(options.tool, options.run or sys.executable, options.network, options.preset)
    except (OSError, ValueError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print("\n\n".join(table(record) for table in TABLES[options.tool]))
    return 0


if __name__ == "__main__":
    sys.exit(main())
