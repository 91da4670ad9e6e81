"""What every design of a grid costs (bytes, cycles, area, energy): one Parquet file, and a plot per pair of axes.

Lists are values and ranges: 1-7, 8,16,32. Results in a folder are kept: a sweep that was stopped continues, and other
values extend it. Points that another version of the model computed are computed again if the lists have them. What is
said, plotted and written as JSON is of the points of the lists alone.

example: topcoat sweep --coats 1-7 --density .1,.3,.5 --code raw,ans --columns 8,16 -o out/sweep
         dask scheduler & dask worker tcp://HOST:8786 --nworkers 2 --nthreads 1 &
         topcoat sweep --network resnet50 --lanes 16,32,64 --scheduler tcp://HOST:8786 -o out/sweep50
"""

from collections import Counter
from collections.abc import Callable
from pathlib import Path

from tqdm import tqdm

from golden.codes import CHOICES
from topcoat.output import write_json
from topcoat.sizes import kib

_MOST_ERRORS = 5

_LISTS = {
    "network": ("resnet18-cifar", "networks"), "width": ("the network's own", "channels of the first stage"),
    "preset": ("edge", "engines, changed by the next four"), "columns": ("the preset's", "columns of the array"),
    "lanes": ("the preset's", "multiply positions of a column"),
    "activation-kib": ("the preset's", "on-chip activation memory, KiB"),
    "mask-kib": ("the preset's", "buffer of coded masks, KiB"), "coats": ("1-7", "numbers of coats"),
    "density": (".3", "kept fractions of the first coat"),
    "schedule": ("uniform", "how further densities follow: uniform, linear, released (three at most)"),
    "code": ("best", ", ".join(CHOICES)), "stored": ("8,4,1", "bits of stored weights, the baselines; or none"),
    "batch": ("1", "images of a run; each fetches the masks again"),
}
"""Options that are lists, with their defaults and help."""


def configure(parser):
    for name, (default, text) in _LISTS.items():
        given = None if default.startswith("the ") else default
        parser.add_argument(f"--{name}", default=given, metavar="LIST", help=f"{text} (default: {default})")
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="DIR", help="folder of results and plots")
    parser.add_argument("--scheduler", metavar="ADDRESS",
                        help="Dask scheduler to work on (default: workers on this machine); this version of Topcoat "
                        "must be installed where its workers run")
    parser.add_argument("--workers", type=int, metavar="K", help="processes on this machine (default: one per core)")
    parser.add_argument("--metric", metavar="LIST", help="columns to plot (default: dram_bytes,cycles,energy_high_pj)")
    parser.add_argument("--json", type=Path, metavar="F", help="write the rows of these points there as well")
    parser.add_argument("--stale", action="store_true",
                        help="also compute all other points of the folder that another version has computed")
    parser.add_argument("--dry-run", action="store_true", help="say how many points there are to compute, and stop")


def _numbers(name: str, text: str | None, kind: Callable[[str | int], int | float] = int) -> list | None:
    """Values of a list such as 1-3,8."""
    if text is None:
        return None
    values = []
    for item in text.split(","):
        first, dash, last = item.partition("-")
        try:
            values += map(kind, range(int(first), int(last) + 1)) if dash and kind is not float else [kind(item)]
        except ValueError:
            example = {int: "1-7 or 8,16", float: ".1,.3"}.get(kind, "16,64 or .5, in KiB and whole bytes")
            raise ValueError(f"--{name} must be a list such as {example}, not {text!r}") from None
    if not values:
        raise ValueError(f"--{name} has no value: {text!r}")
    return values


def _lists(options) -> dict:
    """Arguments of the grid."""
    return dict(
        networks=options.network.split(","), presets=options.preset.split(","), coats=_numbers("coats", options.coats),
        densities=_numbers("density", options.density, float), codes=options.code.split(","),
        schedules=options.schedule.split(","), widths=_numbers("width", options.width),
        columns=_numbers("columns", options.columns), lanes=_numbers("lanes", options.lanes),
        stored=() if options.stored == "none" else _numbers("stored", options.stored),
        batches=_numbers("batch", options.batch),
        activation_bytes=_numbers("activation-kib", options.activation_kib, kib),
        mask_bytes=_numbers("mask-kib", options.mask_kib, kib))


def run(options) -> int:
    try:
        from reports.area import points as area
        from reports.sweep import plots
        from reports.sweep.points import area_targets, grid
        from reports.sweep.run import compute, missing
        from reports.sweep.store import Store
    except ModuleNotFoundError as error:
        raise ValueError(f"{error.name} is missing: install Topcoat with the extra that sweeps need, "
                         f"pip install -e '.[sweep]'") from None
    if options.workers is not None and options.workers < 1:
        raise ValueError(f"--workers must be at least 1, not {options.workers}")
    if options.workers and options.scheduler:
        raise ValueError("--workers are processes on this machine: leave it out with --scheduler")
    chosen = plots.checked(options.metric.split(",") if options.metric else plots.METRICS)
    points = grid(**_lists(options))
    if options.dry_run:
        store = Store(options.output)
        store.read()
        print(f"{len(points)} points, {len(missing(points, store, stale=options.stale))} to compute")
        return 0
    with Store(options.output) as store:
        left = missing(points, store, stale=options.stale)
        for target in sorted(set(area.targets()) - set(area_targets())):
            print(f"area on {target} is left out: its points are of other RTL (`topcoat area --renew`)")
        print(f"{len(points)} points, {len(left)} to compute", flush=True)
        with tqdm(total=len(left), unit="point", disable=not left) as bar:
            for rows in compute(left, scheduler=options.scheduler, workers=options.workers):
                store.add(rows)
                bar.update(len(rows))
        path, rows = store.merge(), [store.rows[point] for point in points]
        errors = Counter(row["error"] for row in rows if row["error"] is not None)
        print(f"{path}: {len(store.rows)} rows; of these {len(points)} points {errors.total()} failed")
        for error, count in errors.most_common(_MOST_ERRORS):
            print(f"  {count} x {error}")
        if store.stale:
            print(f"{len(store.stale)} other points were computed by another version: --stale computes them again")
        write_json(options.json, rows)
        folder = options.output / "plots"
        drawn = sum(1 for _ in tqdm(plots.write(rows, folder, chosen), unit="plot", desc="plots"))
        print(f"{folder}: {drawn} pairs of axes" if drawn else "no plot: one takes two lists of several values")
    return 0 if errors.total() < len(rows) else 1
