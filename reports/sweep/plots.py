"""Plots of a sweep: one heat map per pair of axes, as PNG and SVG."""

from __future__ import annotations

import itertools
import statistics
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path

import matplotlib

matplotlib.use("Agg")

from matplotlib.figure import Figure  # noqa: E402  (the backend comes first)
from matplotlib import rc_context  # noqa: E402

from reports.plots import STYLE  # noqa: E402
from reports.sweep.points import AXES, columns  # noqa: E402

METRICS = ("dram_bytes", "cycles", "energy_high_pj")
"""What is plotted if nothing else is asked for."""

_LABELS = {"width": "width (channels)", "coats": "coats (or stored bits)", "batch": "batch (images)",
           "density": "density of the first coat", "activation_bytes": "activation memory (KiB)",
           "mask_bytes": "mask buffer (KiB)"}

_COATS_ALONE = ("schedule", "density", "code")
"""Axes that stored weights do not have."""

_PREFIXES = ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"), (1, ""))
_UNITS = {"pJ": ((1e12, "J"), (1e9, "mJ"), (1e6, "µJ"), (1e3, "nJ"), (1, "pJ")), "um2": ((1e6, "mm²"), (1, "µm²"))}


def checked(chosen: Sequence[str]) -> Sequence[str]:
    """The names of columns, if they can be plotted. Raises ValueError."""
    known = [column.name for column in columns() if column.kind is not str and column.name not in AXES]
    for metric in chosen:
        if metric not in known:
            raise ValueError(f"metric must be one of {', '.join(known)}, not {metric!r}")
    return chosen


def swept(rows: Sequence[dict]) -> list[str]:
    """Axes with more than one value; stored weights are values of ``coats``."""
    return [axis for axis in AXES if axis != "bits" and len(_values(rows, axis)) > 1]


def write(rows: Sequence[dict], folder: Path, chosen: Sequence[str] = METRICS) -> Iterator[Path]:
    """Write ``<first axis>-<second axis>.png`` and ``.svg`` for every pair of axes with more than one value, one panel
    per metric in ``chosen``; yields the PNGs.

    A cell is the median over all points with its two values that did not fail. Stored weights are in plots of
    ``coats`` alone, the same along axes that they do not have.
    """
    axes = swept(rows)
    for pair in itertools.combinations(axes, 2):
        path = folder / f"{'-'.join(pair)}.png"
        folder.mkdir(parents=True, exist_ok=True)
        with rc_context(STYLE | {"axes.grid": False}):
            figure = _figure(rows, pair, [axis for axis in axes if axis not in pair], chosen)
            figure.savefig(path, dpi=110)
            figure.savefig(path.with_suffix(".svg"), metadata={"Date": None})
        yield path


def _value(row: dict, axis: str):
    """Where a row is along ``axis``: along ``coats`` those first, then stored bits."""
    return (row["bits"], row["coats"]) if axis == "coats" else row[axis]


def _values(rows: Sequence[dict], axis: str) -> list:
    """Values along ``axis``, sorted."""
    return sorted({_value(row, axis) for row in rows if not (row["bits"] and axis in _COATS_ALONE)})


def _scale(metric: str, largest: float) -> tuple[float, str]:
    """What values are divided by, and the unit they are in then."""
    unit = next(column.unit for column in columns() if column.name == metric)
    steps = _UNITS.get(unit, _PREFIXES)
    factor, prefix = next((step for step in steps if abs(largest) >= step[0]), steps[-1])
    if unit in _UNITS:
        return factor, prefix
    return factor, {"bytes": f"{prefix}B", "1": "ratio"}.get(unit, f"{prefix} {unit}".strip())


def _tick(axis: str, value) -> str:
    if axis == "coats":
        bits, coats = value
        return f"{bits}-bit" if bits else str(coats)
    if axis in ("activation_bytes", "mask_bytes"):
        return f"{value / 1024:g}"
    return f"{value:g}" if isinstance(value, float) else str(value)


def _figure(rows: Sequence[dict], pair: tuple[str, str], others: Sequence[str], chosen: Sequence[str]) -> Figure:
    values = [_values(rows, axis) for axis in pair]
    rows = [row for row in rows if "coats" in pair or not row["bits"]]
    cells = defaultdict(list)
    for row in rows:
        for cell in itertools.product(*(known if row["bits"] and axis in _COATS_ALONE else [_value(row, axis)]
                                        for axis, known in zip(pair, values))):
            cells[cell] += [row] if row["error"] is None else []
    width = max(1.2 + .75 * len(values[1]), 3.4)
    figure = Figure(figsize=(len(chosen) * width, max(1.6 + .45 * len(values[0]), 2.8)), layout="constrained")
    for panel, metric in zip(figure.subplots(1, len(chosen), squeeze=False)[0], chosen):
        _heat_map(panel, cells, pair, values, metric)
    over = f"median over {', '.join(_name(axis) for axis in others)}" if others else "all points"
    failed = sum(row["error"] is not None for row in rows)
    figure.suptitle(f"{over}; {len(rows)} points" + (f", {failed} failed" if failed else ""), fontsize=8)
    return figure


def _name(axis: str) -> str:
    return _LABELS.get(axis, axis).partition(" (")[0]


def _heat_map(panel, cells: dict, pair: tuple[str, str], values: Sequence[Sequence], metric: str):
    places = [[(down, across) for across in values[1]] for down in values[0]]
    medians = [[statistics.median(row[metric] for row in cells[cell]) if cells.get(cell) else float("nan")
                for cell in line] for line in places]
    known = [value for line in medians for value in line if value == value]
    factor, unit = _scale(metric, statistics.median(known) if known else 1)
    scaled = [[value / factor for value in line] for line in medians]
    image = panel.imshow(scaled, cmap="viridis", aspect="auto")
    _annotate(panel, scaled, image, [["failed" if cell in cells else "" for cell in line] for line in places])
    for axis, name, ticks, set_ticks in ((panel.yaxis, pair[0], values[0], panel.set_yticks),
                                         (panel.xaxis, pair[1], values[1], panel.set_xticks)):
        set_ticks(range(len(ticks)), [_tick(name, tick) for tick in ticks])
        axis.set_label_text(_LABELS.get(name, name))
    panel.set_title(f"{metric.removesuffix('_pj').removesuffix('_bytes').replace('_', ' ')} ({unit})", fontsize=9)


def _annotate(panel, values: Sequence[Sequence[float]], image, without: Sequence[Sequence[str]]):
    """Write each cell's value into it, or what stands there ``without`` one."""
    for down, line in enumerate(values):
        for across, value in enumerate(line):
            light = value != value or image.norm(value) > .6
            panel.text(across, down, f"{value:.3g}" if value == value else without[down][across], ha="center",
                       va="center", fontsize=8, color="black" if light else "white")
