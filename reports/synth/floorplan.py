"""A picture of a routed design: the die, tile by tile, coloured by block of the engine."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from pathlib import Path

import matplotlib

matplotlib.use("Agg")

from matplotlib import pyplot  # noqa: E402  (the backend comes first)
from matplotlib.patches import Patch, Rectangle  # noqa: E402

from reports.plots import INK, PAPER, STYLE  # noqa: E402
from reports.synth.blocks import ADDED, BLOCKS, HARNESS  # noqa: E402
from reports.synth.flow import Report  # noqa: E402
from reports.synth.targets import TARGETS  # noqa: E402

__all__ = ["draw"]

_PALETTE = ("#3f7dc4", "#e08a1e", "#3f9b64", "#c4564b", "#8a6fb8", "#2aa5a0", "#b8860b", "#c46a9f", "#6b7f2a",
            "#1f3a5f", "#8c4a2f", "#7fb2e5", "#a3c585", "#5b2a5e", "#d9b44a")
_COLOURS = {**dict(zip(BLOCKS, _PALETTE, strict=True)), HARNESS: "#a9aeb6", ADDED: "#c9cdd3"}
_DIE, _TILE = "#f0f1f3", "#e2e4e8"

_LOGIC = re.compile(r"COMB|FF|_LC$|LUT|ALU|RAMW|RAM16")
_MEMORY = re.compile(r"DP16K|PDP|EBR|ICESTORM_RAM|^SDP|^DPB|^DPX|^SPX?9?$|pROM|BSRAM")
_MULTIPLIER = re.compile(r"MULT|DSP|MAC")
_DIVISIONS = 4


def draw(report: Report, path: Path, title: str):
    """Write the floor plan of a routed design as a picture; the ending of ``path`` says of what kind.

    A tile of logic is a square of 16 parts, filled in proportion to the blocks whose cells are in it; block memories
    have a dark edge, multiplier blocks a dashed one, and each stands in the first of the tiles that it takes.
    """
    routed = report.routed
    columns, rows = TARGETS[report.target].grids.get(routed.board.device) or (
        max(cell.column for cell in routed.cells) + 1, max(cell.row for cell in routed.cells) + 1)
    tiles, hard = defaultdict(Counter), []
    for cell in routed.cells:
        if _LOGIC.search(cell.type):
            tiles[cell.column, cell.row][cell.block] += 1
        elif _MEMORY.search(cell.type) or _MULTIPLIER.search(cell.type):
            hard.append(cell)
    parts = _DIVISIONS ** 2
    largest = max((tile.total() for tile in tiles.values()), default=1)

    with pyplot.rc_context({**STYLE, "axes.grid": False}):
        height = 7.
        figure, axes = pyplot.subplots(figsize=(height * columns / rows + 3.6, height), layout="constrained")
        axes.add_patch(Rectangle((0, 0), columns, rows, facecolor=_DIE, edgecolor=INK, linewidth=1.2))
        image = [[matplotlib.colors.to_rgb(_DIE)] * (columns * _DIVISIONS) for _ in range(rows * _DIVISIONS)]
        for (column, row), tile in tiles.items():
            filled = [block for block, count in sorted(tile.items())
                      for _ in range(round(count * parts / largest) or 1)]
            for index in range(parts):
                colour = _COLOURS[filled[index]] if index < len(filled) else _TILE
                y, x = divmod(index, _DIVISIONS)
                image[row * _DIVISIONS + y][column * _DIVISIONS + x] = matplotlib.colors.to_rgb(colour)
        axes.imshow(image, extent=(0, columns, rows, 0), interpolation="nearest", aspect="equal", zorder=2)
        for cell in hard:
            memory = _MEMORY.search(cell.type)
            axes.add_patch(Rectangle((cell.column, cell.row), 1, 1, facecolor=_COLOURS[cell.block], edgecolor=INK,
                                     linewidth=.9, linestyle="-" if memory else ":", zorder=3))
        axes.set(xlim=(-.5, columns + .5), ylim=(rows + .5, -.5), xticks=[], yticks=[])
        axes.set_title(title, fontsize=13)
        total = report.total
        axes.set_xlabel(f"{total.lut:,} LUT, {total.ff:,} flip-flops, {total.bram} block memories, "
                        f"{total.dsp} multiplier blocks; {routed.fmax_mhz:.1f} MHz routed")
        for side in axes.spines.values():
            side.set_visible(False)
        shown = {cell.block for cell in routed.cells}
        entries = [Patch(color=_COLOURS[name], label=f"{name}  {block.lut / total.lut:.0%}")
                   for name, block in report.blocks.items() if name in shown]
        entries += [Patch(facecolor=PAPER, edgecolor=INK, label="block memory"),
                    Patch(facecolor=PAPER, edgecolor=INK, linestyle=":", label="multiplier block")]
        axes.legend(handles=entries, loc="center left", bbox_to_anchor=(1., .5), title="share of the LUTs",
                    alignment="left")
        figure.savefig(path, dpi=150, facecolor=PAPER, metadata={"Software": None} if path.suffix == ".png" else None)
        pyplot.close(figure)
