"""All figures of a comparison, and their files."""

from __future__ import annotations

from pathlib import Path

from matplotlib import pyplot
from matplotlib.figure import Figure

from golden.checkpoint import write_atomically
from reports import plots
from reports.compare import bars, pareto
from reports.compare.rows import Comparison
from reports.plots import GRID, INK, PAPER


def figures(comparison: Comparison) -> dict[str, Figure]:
    """All figures that this comparison has data for, by the names of their files."""
    drawn = [bars.size, bars.traffic, bars.cycles, bars.energy, bars.breakdown, bars.convention]
    if comparison.targets:
        drawn += [bars.area, pareto.pareto_energy, pareto.pareto_traffic]
    if any(row.accuracy for row in comparison.coats):
        drawn.append(pareto.accuracy)
    with pyplot.rc_context(plots.STYLE):
        return {draw.__name__.replace("_", "-"): draw(comparison) for draw in drawn}


def save(drawn: dict[str, Figure], folder: Path) -> dict[str, str]:
    """Write every figure as PNG and SVG on white paper, and return SVG text that takes a page's ink."""
    result = {}
    for name, figure in drawn.items():
        write_atomically(folder / f"{name}.png", lambda path: figure.savefig(path, format="png", dpi=130))
        text = result[name] = plots.svg(figure)
        paper = text.replace("currentColor", INK).replace("var(--line)", GRID).replace(
            "<svg", f'<svg style="background: {PAPER}"', 1)
        write_atomically(folder / f"{name}.svg", lambda path: path.write_text(paper, encoding="utf-8"))
    return result
