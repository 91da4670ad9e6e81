"""Measures the trainings of ``golden.sweep critique`` and renews record, tables and picture of docs/critique.md."""

from __future__ import annotations

import argparse
import re
import sys
from pathlib import Path

from matplotlib import pyplot

from arch.config import PRESETS
from golden import datasets
from reports import plots
from reports.critique.costs import Costs, costs
from reports.critique.figure import figure
from reports.critique.record import load, save
from reports.critique.tables import TABLES

PRESET = PRESETS["edge"]
PAGE = Path(__file__).parents[2] / "docs" / "critique.md"


def networks() -> list[Costs]:
    """The networks on record, with their costs."""
    return [costs(result, PRESET) for result in load()]


def page(text: str) -> str:
    """``text`` with the present tables in their places."""
    for name, table in TABLES.items():
        place = re.compile(f"(?<=<!-- {name}: begin -->\n).*?(?=\n<!-- {name}: end -->)", re.DOTALL)
        text, found = place.subn(lambda _: table(networks()), text)
        if found != 1:
            raise ValueError(f"{PAGE.name} must have one place for the table {name}, not {found}")
    return text


def main(arguments=None) -> int:
    """Exit status."""
    parser = argparse.ArgumentParser(prog="python -m reports.critique", description=__doc__)
    parser.add_argument("runs", type=Path, nargs="?",
                        help="folder of the trainings to measure; without one, the record stays as it is")
    parser.add_argument("--data", type=Path, default=datasets.FASHION_MNIST, help="IDX folder (default: %(default)s)")
    options = parser.parse_args(arguments)
    try:
        if options.runs is not None:
            from golden import sweep  # needs PyTorch, which the record does not
            from reports.critique.measure import measure
            results = []
            for name, config in sweep.critique_table().items():
                results.append(measure(options.runs / name, config, options.data))
                print(f"{name}: integer accuracy {results[-1].integer_accuracy:.4f}", flush=True)
            save(results)
        PAGE.write_text(page(PAGE.read_text()))
    except (OSError, ValueError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    with pyplot.rc_context(plots.STYLE):
        figure(networks()).savefig(PAGE.with_suffix(".svg"), metadata={"Date": None})
    return 0


if __name__ == "__main__":
    sys.exit(main())
