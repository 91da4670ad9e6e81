"""Bars of a comparison: size, traffic, cycles, area, energy. Every axis says its unit; baselines stand on the right.

Each function takes a :class:`~reports.compare.rows.Comparison` and returns a Matplotlib figure.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from matplotlib.figure import Figure

from reports.compare.rows import CHIPS, Comparison, Row
from reports.compare.units import STREAM_NAMES, area_unit, byte_unit, energy_of, middle_price, set_names, span
from reports.plots import COLOURS, INK

WIDTH = 5.4

PARTS = {
    "array": ("array",), "partial sums": ("partial sums",), "activation memory": ("activation memory",),
    "weight slots, builder": ("weight slots", "weight builder"), "generator": ("generator",),
    "decoder": ("decoder",), "mask buffer": ("mask buffer",), "parameters, requantiser": ("parameters", "requantiser"),
    "clock": ("clock",),
}
"""Bars of the energy breakdown and the components (:data:`reports.energy.COMPONENTS`) in them; DRAM comes on top. What
no set compared has a figure for has no bar."""


def new_axes(count: int = 1, height: float = 3.2):
    """(figure, axes), one above the other, each of ``height`` inches."""
    figure = Figure(figsize=(WIDTH, height * count), layout="constrained")
    return figure, list(figure.subplots(count, 1, squeeze=False)[:, 0])


def _ticks(axes, rows: Sequence[Row]):
    axes.set_xticks(range(len(rows)), [row.mark for row in rows])
    axes.set_xlabel("coats, and weights stored")
    axes.grid(axis="x", visible=False)


def legend(axes, columns: int = 3):
    """The axes' legend above their figure."""
    handles, labels = axes.get_legend_handles_labels()
    axes.figure.legend(handles, labels, fontsize=8, ncols=columns, loc="outside upper left", handlelength=1.2,
                       columnspacing=1.)


def _stack(axes, rows: Sequence[Row], parts: dict[str, Callable[[Row], float]]):
    below = [0.] * len(rows)
    for (name, value), colour in zip(parts.items(), COLOURS):
        heights = [value(row) for row in rows]
        axes.bar(range(len(rows)), heights, .7, bottom=below, label=name, color=colour)
        below = [one + other for one, other in zip(below, heights)]
    _ticks(axes, rows)


def size(comparison: Comparison) -> Figure:
    """Bits per weight by the three measures of size."""
    figure, (axes,) = new_axes()
    measures = {"Shannon bound": lambda row: row.costs.estimate.shannon_bytes,
                "packed": lambda row: row.costs.packed_bytes, "paper's formula": lambda row: row.costs.paper_bytes}
    for number, (name, value) in enumerate(measures.items()):
        heights = [8 * value(row) / row.costs.weights for row in comparison.rows]
        axes.bar([index + (number - 1) * .27 for index in range(len(heights))], heights, .27, label=name,
                 color=COLOURS[number])
    axes.set_ylabel("size (bit per weight)")
    _ticks(axes, comparison.rows)
    legend(axes)
    return figure


def traffic(comparison: Comparison) -> Figure:
    """Bytes of a frame by stream, with the floor."""
    figure, (axes,) = new_axes()
    unit, size = byte_unit(max(row.dram_bytes for row in comparison.rows))
    _stack(axes, comparison.rows,
           {name: lambda row, key=key: row.bytes[key] / size for name, key in STREAM_NAMES.items()})
    for index, row in enumerate(comparison.rows):
        axes.plot([index - .45, index + .45], [row.floor_bytes / size] * 2, color=INK, linewidth=1.6,
                  label="floor" if not index else None)
    axes.set_ylabel(f"traffic ({unit} per frame)")
    legend(axes)
    return figure


def cycles(comparison: Comparison) -> Figure:
    """Cycles of a frame, with the share of useful multiply positions."""
    figure, (axes,) = new_axes(height=2.9)
    rows = comparison.rows
    bars = axes.bar(range(len(rows)), [row.cycles / 1e3 for row in rows], .7,
                    color=[COLOURS[2] if row.design.coats else COLOURS[5] for row in rows])
    axes.bar_label(bars, [f"{100 * row.costs.estimate.utilisation:.0f} %" for row in rows], padding=2, fontsize=8)
    axes.set_ylabel("time (thousand cycles per frame)")
    _ticks(axes, rows)
    return figure


def area(comparison: Comparison) -> Figure:
    """Logic and memory, one panel per target of the overview."""
    figure, panels = new_axes(len(comparison.overview_targets), 2.9)
    for axes, target in zip(panels, comparison.overview_targets):
        unit, size = area_unit(comparison.rows[0].area[target]["unit"])
        _stack(axes, comparison.rows, {part: lambda row, part=part: row.area[target][part] / size
                                       for part in ("logic", "memory")})
        axes.set_ylabel(f"{target} area ({unit})")
    legend(panels[0])
    return figure


def energy(comparison: Comparison) -> Figure:
    """Energy of a frame: the range, and every constant set at the DRAM cost in the middle."""
    figure, (axes,) = new_axes()
    rows, price = comparison.rows, middle_price(comparison)
    spans = [span(row) for row in rows]
    axes.bar(range(len(rows)), [high - low for low, high in spans], .5, bottom=[low for low, _ in spans], alpha=.35,
             color=[COLOURS[0] if row.design.coats else COLOURS[5] for row in rows])
    for number, name in enumerate(set_names(comparison)):
        axes.plot(range(len(rows)), [row.per_frame(energy_of(row, name, price).total_pj) for row in rows],
                  "os^Dv"[number % 5], color=COLOURS[number + 1], markersize=5, label=f"{name}, {price:g} pJ/bit")
    axes.set_ylabel("energy (µJ per frame)")
    axes.set_ylim(bottom=0)
    _ticks(axes, rows)
    legend(axes, 2)
    return figure


def breakdown(comparison: Comparison) -> Figure:
    """Energy of a frame by part, one panel per constant set, at the DRAM cost in the middle."""
    names, price = set_names(comparison), middle_price(comparison)
    figure, panels = new_axes(len(names), 2.5)
    lacking = set.intersection(*(set(energy.costs.uncovered) for energy in comparison.rows[0].energies))
    for axes, name in zip(panels, names):
        parts = {part: lambda row, keys=keys: row.per_frame(
            sum(energy_of(row, name, price).components[key] for key in keys))
            for part, keys in PARTS.items() if not lacking.issuperset(keys)}
        _stack(axes, comparison.rows,
               {**parts, "DRAM": lambda row: row.per_frame(energy_of(row, name, price).dram_pj)})
        axes.set_ylabel(f"{name}\n(µJ per frame)")
    legend(panels[0])
    return figure


def convention(comparison: Comparison) -> Figure:
    """On-chip energy per operation beside the chips', one panel per convention."""
    figure, panels = new_axes(len(CHIPS), 2.9)
    rows = comparison.rows
    for axes, chip, colour in zip(panels, CHIPS, (COLOURS[3], COLOURS[4])):
        spans = [row.femtojoules_per_op[chip.name] for row in rows]
        axes.bar(range(len(rows)), [high - low for low, high in spans], .5, bottom=[low for low, _ in spans], alpha=.55,
                 color=[COLOURS[0] if row.design.coats else COLOURS[5] for row in rows])
        for (network, value), style in zip(chip.published.items(), ("--", ":", "-.")):
            axes.axhline(value, color=colour, linestyle=style, linewidth=1.4, label=f"{chip.title}, {network}")
        axes.set_ylim(bottom=0)
        axes.set_ylabel("on chip (fJ per operation)")
        _ticks(axes, rows)
        axes.legend(fontsize=8, loc="upper left")
    return figure
