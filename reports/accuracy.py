"""The accuracy table of docs/accuracy.md: ``python -m reports.accuracy RUNS``.

After ``golden.sweep accuracy --out RUNS``: packs every finished run, measures the packed integers on the whole test
split, writes the table and its record (:mod:`reports.trained`) and refreshes the bundled models from the runs of the
first seed.
"""

from __future__ import annotations

import argparse
import shutil
import statistics
import sys
from pathlib import Path

from golden import bundled, datasets, sweep
from golden.pack import pack_measured
from golden.trained import TrainingConfig
from reports.tables import markdown
from reports.trained import BUNDLED_SEED, Result, record

PAGE = Path(__file__).parent.parent / "docs" / "accuracy.md"
BEGIN, END = "<!-- table: begin -->\n", "<!-- table: end -->\n"


def measure(folder: Path, config: TrainingConfig, data: Path) -> Result:
    """Pack a finished run into its folder and measure it."""
    path = folder / "model.coat"
    provenance = pack_measured(folder, path, data).provenance
    return Result(network=config.topology.name, coats=len(config.densities or ()), seed=config.seed,
                  float_accuracy=provenance["float_accuracy"], integer_accuracy=provenance["integer_accuracy"],
                  file_bytes=path.stat().st_size, data_set=provenance["data_set"],
                  test_images=provenance["test_images"])


def page_table(results: list[Result]) -> str:
    """The Markdown table: one row per number of coats, dense last, with the gap to dense of the same seeds."""
    seeds = sorted({result.seed for result in results})
    dense = {result.seed: result.integer_accuracy for result in results if not result.coats}
    header = ("coats", *(f"seed {seed}" for seed in seeds), "mean (spread)", "float, mean", "gap to dense, points",
              "file bytes")
    lines = []
    for coats in sorted({result.coats for result in results}, key=lambda coats: coats or 99):
        rows = {result.seed: result for result in results if result.coats == coats}
        values = [100 * result.integer_accuracy for result in rows.values()]
        cells = [f"{100 * rows[seed].integer_accuracy:.2f}" if seed in rows else "" for seed in seeds]
        common = [seed for seed in rows if seed in dense]
        gap = statistics.mean(100 * (dense[seed] - rows[seed].integer_accuracy) for seed in common) if common else None
        spread = f" ({max(values) - min(values):.2f})" if len(values) > 1 else ""
        lines.append((coats or "dense int8", *cells, f"{statistics.mean(values):.2f}{spread}",
                      f"{100 * statistics.mean(result.float_accuracy for result in rows.values()):.2f}",
                      f"{gap:+.2f}" if coats and gap is not None else "", rows[min(rows)].file_bytes))
    return markdown(header, lines) + "\n"


def main(arguments=None) -> int:
    parser = argparse.ArgumentParser(prog="python -m reports.accuracy", description=__doc__.splitlines()[0])
    parser.add_argument("runs", type=Path, help="folder of the sweep")
    parser.add_argument("--data", type=Path, default=datasets.FASHION_MNIST, help="IDX folder (default: %(default)s)")
    options = parser.parse_args(arguments)
    results = []
    for name, config in sweep.accuracy_table().items():
        try:
            results.append(measure(options.runs / name, config, options.data))
        except (ValueError, OSError) as error:
            print(f"error: {name}: {error}", file=sys.stderr)
            return 1
        print(f"{name}: integer accuracy {results[-1].integer_accuracy:.4f}, float {results[-1].float_accuracy:.4f}")
        if config.densities and config.seed == BUNDLED_SEED:
            shutil.copyfile(options.runs / name / "model.coat",
                            bundled.FOLDER / f"fashion-n{len(config.densities)}.coat")
    record(results)
    before, rest = PAGE.read_text().split(BEGIN)
    PAGE.write_text(before + BEGIN + page_table(results) + END + rest.split(END)[1])
    return 0


if __name__ == "__main__":
    sys.exit(main())
