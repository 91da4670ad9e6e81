"""What costs of a comparison are weighed against each other, and against accuracy. Every axis says its unit.

Each function takes a :class:`~reports.compare.rows.Comparison` and returns a Matplotlib figure.
"""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib import ticker
from matplotlib.figure import Figure

from reports.compare.bars import legend, new_axes
from reports.compare.rows import Comparison, Row
from reports.compare.units import area_unit, byte_unit, energy_of, middle_price, set_names
from reports.plots import COLOURS

_NEAR = 12
"""Pixels between points that share a label."""


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


def _labels(axes, rows: Sequence[Row], points: Sequence[tuple[float, float]], below: int = -4):
    """The rows' marks beside their points, ``below`` them by so many points; points that nearly meet share a label."""
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
                      textcoords="offset points", xytext=(7, -below), fontsize=8)


def _pareto(axes, rows: Sequence[Row], points: Sequence[tuple[float, float]], colour: str, name: str) -> list[int]:
    """Marks of the points, those of the front filled. Returns the front."""
    best = front(points)
    for index, (row, (x, y)) in enumerate(zip(rows, points)):
        axes.plot(x, y, "o" if row.design.coats else "s", color=colour, markersize=5 if row.design.coats else 4,
                  markerfacecolor=colour if index in best else "none", label=name if row is rows[0] else None)
    return best


def _fronts(axes, series: Sequence[tuple[Sequence[tuple[float, float]], list[int], str]]):
    """The border of what each front beats, (points, front, colour), to the edges of the axes: they stay as they are."""
    (_, right), (_, top) = axes.get_xlim(), axes.get_ylim()
    for points, best, colour in series:
        corners = [points[index] for index in best]
        axes.plot([corners[0][0], *(x for x, _ in corners), right], [top, *(y for _, y in corners), corners[-1][1]],
                  color=colour, linewidth=1.2, alpha=.7, drawstyle="steps-post", scalex=False, scaley=False)


def _logarithmic(axes):
    axes.set_yscale("log")
    axes.yaxis.set_major_locator(ticker.LogLocator(subs=(1, 2, 5)))
    axes.yaxis.set_major_formatter(ticker.StrMethodFormatter("{x:,g}"))
    axes.yaxis.set_minor_locator(ticker.NullLocator())
    axes.margins(x=.12, y=.12)


def pareto_energy(comparison: Comparison) -> Figure:
    """Energy of a frame against area by constant set, at the DRAM cost in the middle; one panel per target of the
    overview. The marks stand at the set with the highest figures."""
    figure, panels = new_axes(len(comparison.overview_targets))
    rows, price = comparison.rows, middle_price(comparison)
    for axes, target in zip(panels, comparison.overview_targets):
        unit, size = area_unit(rows[0].area[target]["unit"])
        series = {name: [(row.area[target]["total"] / size, row.per_frame(energy_of(row, name, price).total_pj))
                         for row in rows] for name in set_names(comparison)}
        _logarithmic(axes)
        axes.set(xlabel=f"{target} area ({unit})", ylabel="energy (µJ per frame)")
        _fronts(axes, [(points, _pareto(axes, rows, points, colour, f"{name}, {price:g} pJ/bit"), colour)
                       for (name, points), colour in zip(series.items(), COLOURS[1:])])
        if axes is panels[0]:
            legend(axes, 2)
        _labels(axes, rows, max(series.values(), key=lambda points: points[0][1]))
    return figure


def pareto_traffic(comparison: Comparison) -> Figure:
    """Bytes of a frame against area, one panel per target of the overview."""
    figure, panels = new_axes(len(comparison.overview_targets), 2.9)
    rows = comparison.rows
    unit, size = byte_unit(max(row.dram_bytes for row in rows))
    for axes, target in zip(panels, comparison.overview_targets):
        measure, scale = area_unit(rows[0].area[target]["unit"])
        points = [(row.area[target]["total"] / scale, row.dram_bytes / size) for row in rows]
        _logarithmic(axes)
        axes.set(xlabel=f"{target} area ({measure})", ylabel=f"traffic ({unit} per frame)")
        _fronts(axes, [(points, _pareto(axes, rows, points, COLOURS[0], ""), COLOURS[0])])
        _labels(axes, rows, points)
    return figure


def _measured(axes, rows: Sequence[Row], points: Sequence[tuple[float, float]], colour: str, name: str | None = None):
    """Coats as a line, stored weights as squares."""
    coats = [point for row, point in zip(rows, points) if row.design.coats]
    axes.plot(*zip(*coats), "-o", color=colour, linewidth=1.2, markersize=4, label=name)
    for row, point in zip(rows, points):
        if not row.design.coats:
            axes.plot(*point, "s", color=colour, markersize=4)


def accuracy(comparison: Comparison) -> Figure:
    """Measured accuracy, of the rows that have one: against packed size, and against energy by constant set, at the
    DRAM cost in the middle."""
    figure, (sizes, energies) = new_axes(2, 2.8)
    rows, price = [row for row in comparison.rows if row.accuracy], middle_price(comparison)
    unit, size = byte_unit(max(row.costs.packed_bytes for row in rows))
    shares = [100 * row.accuracy.value for row in rows]
    points = [(row.costs.packed_bytes / size, share) for row, share in zip(rows, shares)]
    _measured(sizes, rows, points, COLOURS[0])
    series = {name: [(row.per_frame(energy_of(row, name, price).total_pj), share) for row, share in zip(rows, shares)]
              for name in set_names(comparison)}
    for (name, places), colour in zip(series.items(), COLOURS[1:]):
        _measured(energies, rows, places, colour, f"{name}, {price:g} pJ/bit")
    sizes.set(xlabel=f"packed size ({unit})", ylabel="test accuracy (%)")
    energies.set(xlabel="energy (µJ per frame)", ylabel="test accuracy (%)")
    energies.legend(fontsize=8, loc="lower right")
    for axes, places in (sizes, points), (energies, max(series.values(), key=lambda places: places[0][0])):
        axes.margins(x=.12, y=.15)
        _labels(axes, rows, places, below=11)  # clear of the lines, which rise
    return figure
