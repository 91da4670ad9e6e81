"""Plots of the comparison across coats, as SVG text that stands in a page and takes its ink, light or dark."""

from __future__ import annotations

import io

import matplotlib

matplotlib.use("Agg")

from matplotlib import pyplot  # noqa: E402  (the backend comes first)

from reports.coats import CoatRow

INK, PAPER, GRID = "#22252a", "#ffffff", "#d9dce1"
COLOURS = ("#3f7dc4", "#e08a1e", "#3f9b64", "#c4564b", "#8a6fb8", "#8a8f98", "#2aa5a0", "#b8860b", "#c46a9f",
           "#6b7f2a")

STYLE = {
    "font.size": 10, "axes.edgecolor": INK, "axes.labelcolor": INK, "text.color": INK, "xtick.color": INK,
    "ytick.color": INK, "axes.spines.top": False, "axes.spines.right": False, "axes.grid": True, "grid.color": GRID,
    "grid.linewidth": .6, "axes.axisbelow": True, "figure.facecolor": PAPER, "svg.hashsalt": "topcoat",
    "axes.titlesize": 11, "axes.titleweight": "bold", "axes.titlelocation": "left", "legend.frameon": False,
}


def svg(figure) -> str:
    """The figure as SVG, the same text for the same data."""
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg", metadata={"Date": None}, bbox_inches="tight", transparent=True)
    pyplot.close(figure)
    text = buffer.getvalue()
    text = text[text.index("<svg"):]
    return text.replace(INK, "currentColor").replace(GRID, "var(--line)")


def new_figure(width: float = 5.6, height: float = 3.4):
    """(figure, axes), in inches."""
    with pyplot.rc_context(STYLE):
        return pyplot.subplots(figsize=(width, height), layout="constrained")


def accuracy_against_size(rows: list[CoatRow]) -> str:
    """Accuracy of the packed integers against the size of the file."""
    with pyplot.rc_context(STYLE):
        figure, axes = new_figure()
        known = [row for row in rows if row.accuracy is not None]
        sizes = [row.file_bytes / 1024 for row in known]
        axes.plot(sizes, [100 * row.accuracy for row in known], "-o", color=COLOURS[0], linewidth=1.4)
        for row, size in zip(known, sizes):
            axes.annotate(f"{row.coats}", (size, 100 * row.accuracy), textcoords="offset points", xytext=(6, -11))
        axes.set(title="Accuracy against size (points: coats)", xlabel="file (KiB)", ylabel="test accuracy (%)")
        return svg(figure)


def bits_per_weight(rows: list[CoatRow]) -> str:
    """Bits per weight: Shannon bound, coded masks, the paper's formula and the whole file."""
    with pyplot.rc_context(STYLE):
        figure, axes = new_figure()
        kinds = (("Shannon bound", "shannon_bytes"), ("coded masks", "mask_bytes"), ("paper's formula", "paper_bytes"),
                 ("whole file", "file_bytes"))
        width = .8 / len(kinds)
        for number, (label, field) in enumerate(kinds):
            heights = [8 * getattr(row, field) / row.weights for row in rows]
            axes.bar([index + (number - 1.5) * width for index in range(len(rows))], heights, width, label=label,
                     color=COLOURS[number])
        axes.set_xticks(range(len(rows)), [f"{row.coats}" for row in rows])
        axes.set(title="Size (int8: 8, fp32: 32 bits per weight)", xlabel="coats", ylabel="bits per weight")
        axes.legend(fontsize=8)
        return svg(figure)


def weight_traffic(rows: list[CoatRow]) -> str:
    """Weight bytes per image over the memory interface, with int8 weights as the reference."""
    with pyplot.rc_context(STYLE):
        figure, axes = new_figure()
        labels = [f"{row.coats}" for row in rows] + ["int8"]
        values = [row.weight_traffic / 1024 for row in rows] + [rows[0].int8_traffic / 1024]
        bars = axes.bar(labels, values, color=[COLOURS[0]] * len(rows) + [COLOURS[5]], width=.65)
        axes.bar_label(bars, fmt="%.0f", padding=2)
        axes.set(title="Weight traffic of one image", xlabel="coats", ylabel="KiB per image")
        return svg(figure)


def cycles(rows: list[CoatRow]) -> str:
    """Cycles per image, with the share of useful multiply positions."""
    with pyplot.rc_context(STYLE):
        figure, axes = new_figure()
        bars = axes.bar([f"{row.coats}" for row in rows], [row.cycles / 1000 for row in rows], color=COLOURS[2],
                        width=.65)
        axes.bar_label(bars, [f"{100 * row.utilisation:.1f} %" for row in rows], padding=2)
        axes.set(title="Cycles of one image (labels: utilisation)", xlabel="coats", ylabel="thousand cycles")
        return svg(figure)

