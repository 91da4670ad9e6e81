"""Figures of one network's comparison across coats. Every axis says its unit; baselines stand on the right.

Each function takes a :class:`~reports.compare.Comparison` and returns a Matplotlib figure.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from matplotlib import pyplot, ticker
from matplotlib.figure import Figure

from golden.checkpoint import write_atomically
from reports import plots
from reports.compare import CHIP, Comparison, Row
from reports.energy import Energy
from reports.plots import COLOURS, GRID, INK, PAPER

WIDTH = 5.4

_NEAR = 12
"""Pixels between points that share a label."""

PARTS = {
    "array": ("array",), "partial sums": ("partial sums",), "activation memory": ("activation memory",),
    "weight slots, builder": ("weight slots", "weight builder"), "generator": ("generator",),
    "decoder": ("decoder",), "mask buffer": ("mask buffer",), "parameters, requantiser": ("parameters", "requantiser"),
}
"""Bars of the energy breakdown and the components (:data:`reports.energy.COMPONENTS`) in them; DRAM comes on top."""

STREAMS = {"masks or weights": "mask_bytes", "parameters": "parameter_bytes", "activations in": "load_bytes",
           "activations out": "store_bytes", "program": "program_bytes"}
"""Streams by the names that pages give them."""


def byte_unit(largest: float) -> tuple[str, float]:
    """(unit, bytes in it) for values up to ``largest`` bytes."""
    return ("MiB", 2. ** 20) if largest >= 2 ** 20 else ("KiB", 2. ** 10)


def area_unit(unit: str) -> tuple[str, float]:
    """(unit to show, how many of ``unit`` are in it): thousands of LUTs, or square millimetres."""
    return ("kLUT", 1e3) if unit == "LUT" else ("mm²", 1e6)


def middle_price(comparison: Comparison) -> float:
    """The DRAM cost in the middle of those compared, in pJ/bit."""
    prices = sorted({energy.dram_pj_per_bit for energy in comparison.rows[0].energies})
    return prices[(len(prices) - 1) // 2]


def set_names(comparison: Comparison) -> list[str]:
    """The constant sets compared."""
    return list(dict.fromkeys(energy.costs.name for energy in comparison.rows[0].energies))


def energy_of(row: Row, name: str, price: float) -> Energy:
    """A row's energy in the constant set ``name`` with DRAM at ``price`` pJ/bit."""
    return next(energy for energy in row.energies if (energy.costs.name, energy.dram_pj_per_bit) == (name, price))


def span(row: Row) -> tuple[float, float]:
    """Least and most energy of a frame over all sets and DRAM costs, in microjoules."""
    return row.per_frame(row.energy.low.total_pj), row.per_frame(row.energy.high.total_pj)


def _axes(count: int = 1, height: float = 3.2):
    figure, axes = pyplot.subplots(count, 1, figsize=(WIDTH, height * count), layout="constrained", squeeze=False)
    return figure, list(axes[:, 0])


def _ticks(axes, rows: Sequence[Row]):
    axes.set_xticks(range(len(rows)), [row.mark for row in rows])
    axes.set_xlabel("coats, and weights stored")
    axes.grid(axis="x", visible=False)


def _legend(axes, columns: int = 3):
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
    figure, (axes,) = _axes()
    measures = {"Shannon bound": lambda row: row.costs.estimate.shannon_bytes,
                "packed": lambda row: row.costs.packed_bytes, "paper's formula": lambda row: row.costs.paper_bytes}
    for number, (name, value) in enumerate(measures.items()):
        heights = [8 * value(row) / row.costs.weights for row in comparison.rows]
        axes.bar([index + (number - 1) * .27 for index in range(len(heights))], heights, .27, label=name,
                 color=COLOURS[number])
    axes.set_ylabel("size (bit per weight)")
    _ticks(axes, comparison.rows)
    _legend(axes)
    return figure


def traffic(comparison: Comparison) -> Figure:
    """Bytes of a frame by stream, with the floor."""
    figure, (axes,) = _axes()
    unit, size = byte_unit(max(row.dram_bytes for row in comparison.rows))
    _stack(axes, comparison.rows, {name: lambda row, key=key: row.bytes[key] / size for name, key in STREAMS.items()})
    for index, row in enumerate(comparison.rows):
        axes.plot([index - .45, index + .45], [row.floor_bytes / size] * 2, color=INK, linewidth=1.6,
                  label="floor" if not index else None)
    axes.set_ylabel(f"traffic ({unit} per frame)")
    _legend(axes)
    return figure


def cycles(comparison: Comparison) -> Figure:
    """Cycles of a frame, with the share of useful multiply positions."""
    figure, (axes,) = _axes(height=2.9)
    rows = comparison.rows
    bars = axes.bar(range(len(rows)), [row.cycles / 1e3 for row in rows], .7,
                    color=[COLOURS[2] if row.design.coats else COLOURS[5] for row in rows])
    axes.bar_label(bars, [f"{100 * row.costs.estimate.utilisation:.0f} %" for row in rows], padding=2, fontsize=8)
    axes.set_ylabel("time (thousand cycles per frame)")
    _ticks(axes, rows)
    return figure


def area(comparison: Comparison) -> Figure:
    """Logic and memory, one panel per target."""
    figure, panels = _axes(len(comparison.targets), 2.9)
    for axes, target in zip(panels, comparison.targets):
        unit, size = area_unit(comparison.rows[0].area[target]["unit"])
        _stack(axes, comparison.rows, {part: lambda row, part=part: row.area[target][part] / size
                                       for part in ("logic", "memory")})
        axes.set_ylabel(f"{target} area ({unit})")
    _legend(panels[0])
    return figure


def energy(comparison: Comparison) -> Figure:
    """Energy of a frame: the range, and every constant set at the DRAM cost in the middle."""
    figure, (axes,) = _axes()
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
    _legend(axes, 2)
    return figure


def breakdown(comparison: Comparison) -> Figure:
    """Energy of a frame by part, one panel per constant set, at the DRAM cost in the middle."""
    names, price = set_names(comparison), middle_price(comparison)
    figure, panels = _axes(len(names), 2.5)
    for axes, name in zip(panels, names):
        parts = {part: lambda row, keys=keys: row.per_frame(
            sum(energy_of(row, name, price).components[key] for key in keys)) for part, keys in PARTS.items()}
        _stack(axes, comparison.rows,
               {**parts, "DRAM": lambda row: row.per_frame(energy_of(row, name, price).dram_pj)})
        axes.set_ylabel(f"{name}\n(µJ per frame)")
    _legend(panels[0])
    return figure


def convention(comparison: Comparison) -> Figure:
    """On-chip energy per operation beside the chip's."""
    figure, (axes,) = _axes(height=2.9)
    rows = comparison.rows
    spans = [row.femtojoules_per_op for row in rows]
    axes.bar(range(len(rows)), [high - low for low, high in spans], .5, bottom=[low for low, _ in spans], alpha=.55,
             color=[COLOURS[0] if row.design.coats else COLOURS[5] for row in rows])
    for (network, value), style in zip(CHIP.published.items(), ("--", ":")):
        axes.axhline(value, color=COLOURS[3], linestyle=style, linewidth=1.4, label=f"Hiddenite, {network}")
    axes.set_ylim(bottom=0)
    axes.set_ylabel("on chip (fJ per operation)")
    _ticks(axes, rows)
    _legend(axes)
    return figure


def front(points: Sequence[tuple[float, float]]) -> list[int]:
    """Indices of the points that no other is below in one coordinate and at most equal to in the other, by the first
    coordinate ascending."""
    best = [index for index, (x, y) in enumerate(points)
            if not any(a <= x and b <= y and (a, b) != (x, y) for a, b in points)]
    return sorted(best, key=lambda index: points[index])


def _span_text(rows: Sequence[Row]) -> str:
    """Marks of rows, runs of coats as "2–7"."""
    coats, parts = [row.design.coats for row in rows if row.design.coats], []
    for count in coats:
        if parts and count == parts[-1][1] + 1:
            parts[-1][1] = count
        else:
            parts.append([count, count])
    return ", ".join([str(low) if low == high else f"{low}–{high}" for low, high in parts]
                     + [row.mark for row in rows if not row.design.coats])


def _labels(axes, rows: Sequence[Row], points: Sequence[tuple[float, float]]):
    """The rows' marks beside their points; points that nearly meet share a label."""
    axes.figure.draw_without_rendering()  # for the scale of the axes
    places = axes.transData.transform(points)
    groups: list[list[int]] = []
    for index in sorted(range(len(points)), key=lambda index: (round(places[index][0] / _NEAR), places[index][1])):
        if groups and abs(places[index] - places[groups[-1][-1]]).max() < _NEAR:
            groups[-1].append(index)
        else:
            groups.append([index])
    for group in groups:
        axes.annotate(_span_text([rows[index] for index in sorted(group)]), points[group[len(group) // 2]],
                      textcoords="offset points", xytext=(7, -3), fontsize=8)


def _pareto(axes, rows: Sequence[Row], points: Sequence[tuple[float, float]], colour: str, name: str):
    best = front(points)
    axes.plot(*zip(*(points[index] for index in best)), color=colour, linewidth=1., drawstyle="steps-post")
    for row, (x, y) in zip(rows, points):
        axes.plot(x, y, "o" if row.design.coats else "s", color=colour, markersize=5 if row.design.coats else 4,
                  label=name if row is rows[0] else None)


def _logarithmic(axes):
    axes.set_yscale("log")
    axes.yaxis.set_major_locator(ticker.LogLocator(subs=(1, 2, 5)))
    axes.yaxis.set_major_formatter(ticker.StrMethodFormatter("{x:,g}"))
    axes.yaxis.set_minor_locator(ticker.NullLocator())
    axes.margins(x=.12, y=.12)


def pareto_energy(comparison: Comparison) -> Figure:
    """Energy of a frame against area by constant set, at the DRAM cost in the middle; one panel per target. The marks
    stand at the set with the highest figures."""
    figure, panels = _axes(len(comparison.targets))
    rows, price = comparison.rows, middle_price(comparison)
    for axes, target in zip(panels, comparison.targets):
        unit, size = area_unit(rows[0].area[target]["unit"])
        series = {name: [(row.area[target]["total"] / size, row.per_frame(energy_of(row, name, price).total_pj))
                         for row in rows] for name in set_names(comparison)}
        _logarithmic(axes)
        axes.set(xlabel=f"{target} area ({unit})", ylabel="energy (µJ per frame)")
        for (name, points), colour in zip(series.items(), COLOURS[1:]):
            _pareto(axes, rows, points, colour, f"{name}, {price:g} pJ/bit")
        if axes is panels[0]:
            _legend(axes, 2)
        _labels(axes, rows, max(series.values(), key=lambda points: points[0][1]))
    return figure


def pareto_traffic(comparison: Comparison) -> Figure:
    """Bytes of a frame against area, one panel per target."""
    figure, panels = _axes(len(comparison.targets), 2.9)
    rows = comparison.rows
    unit, size = byte_unit(max(row.dram_bytes for row in rows))
    for axes, target in zip(panels, comparison.targets):
        measure, scale = area_unit(rows[0].area[target]["unit"])
        points = [(row.area[target]["total"] / scale, row.dram_bytes / size) for row in rows]
        _logarithmic(axes)
        axes.set(xlabel=f"{target} area ({measure})", ylabel=f"traffic ({unit} per frame)")
        _pareto(axes, rows, points, COLOURS[0], "")
        _labels(axes, rows, points)
    return figure


def accuracy(comparison: Comparison) -> Figure:
    """Measured accuracy, of the rows that have one: against packed size, and against energy by constant set, at the
    DRAM cost in the middle."""
    figure, (sizes, energies) = _axes(2, 2.8)
    rows, price = [row for row in comparison.rows if row.accuracy], middle_price(comparison)
    unit, size = byte_unit(max(row.costs.packed_bytes for row in rows))
    shares = [100 * row.accuracy.value for row in rows]
    points = [(row.costs.packed_bytes / size, share) for row, share in zip(rows, shares)]
    sizes.plot(*zip(*points), "-o", color=COLOURS[0], linewidth=1.2, markersize=5)
    series = {name: [(row.per_frame(energy_of(row, name, price).total_pj), share) for row, share in zip(rows, shares)]
              for name in set_names(comparison)}
    for (name, places), colour in zip(series.items(), COLOURS[1:]):
        energies.plot(*zip(*places), "-o", color=colour, linewidth=1.2, markersize=4, label=f"{name}, {price:g} pJ/bit")
    sizes.set(xlabel=f"packed size ({unit})", ylabel="test accuracy (%)")
    energies.set(xlabel="energy (µJ per frame)", ylabel="test accuracy (%)")
    energies.legend(fontsize=8, loc="lower right")
    for axes, places in (sizes, points), (energies, max(series.values(), key=lambda places: places[0][0])):
        axes.margins(x=.12, y=.15)
        _labels(axes, rows, places)
    return figure


def figures(comparison: Comparison) -> dict[str, Figure]:
    """All figures that this comparison has data for, by the names of their files."""
    drawn = [size, traffic, cycles, energy, breakdown, convention]
    if comparison.targets:
        drawn += [area, pareto_energy, pareto_traffic]
    if any(row.accuracy for row in comparison.rows):
        drawn.append(accuracy)
    with pyplot.rc_context(plots.STYLE):
        return {draw.__name__.replace("_", "-"): draw(comparison) for draw in drawn}


def save(drawn: dict[str, Figure], folder: Path) -> dict[str, str]:
    """Write every figure as PNG and SVG on white paper, and return SVG text that takes a page's ink; closes them."""
    result = {}
    for name, figure in drawn.items():
        write_atomically(folder / f"{name}.png", lambda path: figure.savefig(path, format="png", dpi=130))
        text = result[name] = plots.svg(figure)
        paper = text.replace("currentColor", INK).replace("var(--line)", GRID).replace(
            "<svg", f'<svg style="background: {PAPER}"', 1)
        write_atomically(folder / f"{name}.svg", lambda path: path.write_text(paper, encoding="utf-8"))
    return result
