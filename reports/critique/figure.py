"""The picture of docs/critique.md: accuracy against bytes, energy and area x time."""

from __future__ import annotations

import math
from collections.abc import Sequence

from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullLocator, StrMethodFormatter

from reports import plots
from reports.critique.costs import Costs
from reports.critique.equal import front
from reports.critique.tables import SIDES, by_side

_MARKS = {"coats": "o", "int4": "s", "int8": "D"}


def _energy(network: Costs) -> tuple[float, float]:
    low, high = network.built.energy.low.total_pj, network.built.energy.high.total_pj
    return low / 1e6, high / 1e6


def _panel(axes, sides: dict[str, list[Costs]], cost, label: str, span=None):
    for (side, networks), colour in zip(sides.items(), plots.COLOURS):
        points = [(cost(each), each.accuracy) for each in networks]
        best = front(points)
        axes.plot(*zip(*best), color=colour, linewidth=1.2)
        axes.plot(*zip(*points), _MARKS[side], color=colour, markersize=5, label=SIDES.get(side, "coats"))
        if span:
            for each in networks:
                axes.plot(span(each), [each.accuracy] * 2, color=colour, linewidth=.6, alpha=.6)
        for each, (x, y) in zip(networks, points):
            mark = f"{each.result.coats}x{each.result.width}" if each.result.coats else f"{each.result.width}"
            axes.annotate(mark, (x, y), textcoords="offset points", xytext=(5, -9), fontsize=7, color=colour)
    axes.set_xscale("log")
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5), numticks=99))
    axes.xaxis.set_major_formatter(StrMethodFormatter("{x:,g}"))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_xlabel(label)
    axes.margins(x=.1)


def figure(networks: Sequence[Costs]) -> Figure:
    """Three panels that share the accuracy. Lines join each side's best networks; marks say coats x width, or width.
    Drawn in the style of the caller's ``rc_context``."""
    drawn = Figure(figsize=(10.5, 4), layout="constrained")
    axes = drawn.subplots(1, 3, sharey=True)
    found = by_side(networks)
    sides = {side: found[side] for side in _MARKS}
    _panel(axes[0], sides, lambda each: each.model_bytes / 1000, "model (kB)")
    _panel(axes[1], sides, lambda each: math.sqrt(math.prod(_energy(each))), "energy (µJ per image)", _energy)
    _panel(axes[2], sides, lambda each: each.area("asap7") / 1e6 * each.built.cycles / 1000,
           "area x time (mm² x kcycles, asap7)")
    axes[0].set_ylabel("test accuracy (%)")
    axes[0].legend(loc="lower right", fontsize=8)
    return drawn
