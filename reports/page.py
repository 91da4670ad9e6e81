"""One self-contained HTML page: the simulated network layer by layer, its images, and the coats side by side."""

from __future__ import annotations

import base64
import html
import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib import image as matplotlib_image

from golden.checkpoint import write_atomically
from reports import coats, layers, plots, tables
from reports.coats import CoatRow
from reports.energy import COMPONENTS, EnergyRange
from sim.network import NetworkRun

FASHION_CLASSES = ("T-shirt", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "boot")

_STYLE = """
:root { color-scheme: light dark; --ink: #22252a; --paper: #fff; --line: #d9dce1; --good: #2b7a4b; --bad: #b5473c }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e3e5e8; --paper: #17191d; --line: #3a3e45; --good: #6cc492; --bad: #ee8277 } }
body { font: 15px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--paper); max-width: 1180px;
  margin: 2rem auto; padding: 0 1rem }
h1 { font-size: 1.6rem; margin-bottom: .2rem } h2 { font-size: 1.15rem; margin-top: 2.2rem }
p { max-width: 75ch } svg { max-width: 100%; height: auto }
table { border-collapse: collapse; font-size: 13px; font-variant-numeric: tabular-nums }
th, td { padding: .25rem .6rem; text-align: right; border-bottom: 1px solid var(--line) } th { font-weight: 600 }
th:first-child, td:first-child { text-align: left }
.scroll { overflow-x: auto; margin: 1rem 0 } .plots { display: grid; gap: 1rem;
  grid-template-columns: repeat(auto-fit, minmax(min(420px, 100%), 1fr)) }
.good { color: var(--good); font-weight: 600 } .bad { color: var(--bad); font-weight: 600 }
.images { display: flex; flex-wrap: wrap; gap: .5rem } .images figure { margin: 0; text-align: center; font-size: 11px }
.images img { width: 64px; height: 64px; image-rendering: pixelated; display: block }
""" + tables.STYLE


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """An HTML table that scrolls sideways where it must."""
    def line(cells, tag):
        return "<tr>" + "".join(f"<{tag}>{html.escape(cell)}</{tag}>" for cell in cells) + "</tr>"

    body = "".join(line(row, "td") for row in rows)
    return f'<div class="scroll"><table>{line(header, "th")}{body}</table></div>'


def _thumbnail(image: np.ndarray) -> str:
    """A uint8 (channels, height, width) image as a PNG data address."""
    buffer = io.BytesIO()
    grey = image[0] if len(image) == 1 else np.moveaxis(image, 0, -1)
    matplotlib_image.imsave(buffer, grey, cmap="gray", format="png", vmin=0, vmax=255)
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()


def _images(images: np.ndarray, labels: np.ndarray, predictions: np.ndarray) -> str:
    figures = []
    for image, label, predicted in zip(images, labels, predictions):
        verdict = "good" if label == predicted else "bad"
        figures.append(f'<figure><img alt="" src="{_thumbnail(image)}"><figcaption class="{verdict}">'
                       f"{FASHION_CLASSES[predicted]}</figcaption></figure>")
    return f'<div class="images">{"".join(figures)}</div>'


def layer_rows(run: NetworkRun) -> list[tuple[str, ...]]:
    """Cells of the layer table, under :data:`LAYER_HEADER`; cycles and MACs of one image."""
    return [(layer.name, f"{layer.macs // run.images:,}", f"{layer.cycles / run.images:,.0f}",
             f"{100 * layer.utilisation:.1f} %", f"{layer.weight_bytes // run.images:,}",
             {True: "yes", False: "NO", None: "-"}[layer.bit_exact]) for layer in run.layers]


LAYER_HEADER = ("layer", "MACs", "cycles", "utilisation", "mask bytes", "bit-exact")


_SOURCES = {
    "source-models": ("Models", (
        "Trained models in <code>.coat</code> files. <em>Density</em> is the share of weights that the first coat "
        "keeps. <em>Accuracy</em> is the packed integer model's on the whole test set, measured on packing "
        "(<code>docs/accuracy.md</code>).")),
    "source-sizes": ("Sizes", (
        "<em>File</em>: the whole <code>.coat</code> file. <em>Masks</em>: coded coat indices alone. <em>Shannon</em>: "
        "count of weights × entropy of their coat index. <em>Paper</em>: the size formula of the multicoated-supermask "
        "paper, mask bits and 32 bits per normalisation scale (<code>golden/codes.py</code>). <em>int8</em> and "
        "<em>fp32</em>: a byte and four bytes per weight.")),
    "source-counters": ("Cycles and traffic", (
        "Counters of the simulated engine with ideal memory, per image (<code>topcoat simulate</code>). "
        "<em>Utilisation</em>: multiply-accumulates ÷ (cycles × multiply positions), the peak. <em>Against int8</em>: "
        "bytes of 8-bit weights ÷ mask bytes that crossed the memory interface; activations, alike in both, are not in "
        "it.")),
}


def comparison(rows: list[CoatRow]) -> str:
    """The section on coats: table, plots, and where their numbers come from."""
    anchors = ("source-models",) * 3 + ("source-sizes",) * 6 + ("source-counters",) * 4
    columns = [tables.Column(title, unit, anchor, lambda row, cell=cell: coats.text_rows([row])[0][cell])
               for cell, (title, unit, anchor) in enumerate(zip(coats.HEADER[1:], coats.UNITS, anchors), 1)]
    figures = (plots.accuracy_against_size(rows), plots.bits_per_weight(rows), plots.weight_traffic(rows),
               plots.cycles(rows))
    sources = "".join(f'<section id="{anchor}"><h3>{title}</h3><p>{text}</p></section>'
                      for anchor, (title, text) in _SOURCES.items())
    shown = tables.table(rows, columns, name=lambda row: row.model, head="model", source="source-models")
    return f'<h2>Coats</h2>{shown}<div class="plots">{"".join(figures)}</div>{sources}'


def simulated(model: str, run: NetworkRun, images: np.ndarray, labels: np.ndarray) -> str:
    """The section on one simulated network: verdict, images, layer table, where the cycles go."""
    verdict = ('<span class="good">BIT-EXACT</span>' if run.bit_exact else '<span class="bad">NOT bit-exact</span>')
    shown = slice(0, 32)
    return (f"<h2>{html.escape(model)} on the <code>{run.config.name}</code> engine: {verdict}</h2>"
            f"<p>{run.images} images, {run.cycles:,} cycles of {run.config.macs_per_cycle} multiply positions, "
            f"simulated in {run.seconds.simulation:.1f} s ({run.cycles_per_second:,.0f} cycles per second). Every "
            f"tensor of every layer was compared with the integer model. Accuracy on these images: "
            f"{100 * run.accuracy:.2f} % in hardware, {100 * run.golden_accuracy:.2f} % in the integer model.</p>"
            f"{_images(images[shown], labels[shown], run.predictions[shown])}"
            f"<h2>Layer by layer, one image</h2>{table(LAYER_HEADER, layer_rows(run))}{layers.plot(run)}")


def layer_report(run: NetworkRun, floor: int, baseline: int) -> str:
    """The sections on one run's counters: where cycles and bytes went, layer by layer. ``floor`` and ``baseline`` are
    bytes of all its images: the traffic floor and the int8 baseline's traffic."""
    beats, cycles = run.memory.rate
    rate = "a beat per cycle" if beats == cycles else f"{beats} beats in {cycles} cycles"
    meaning = " Its masks are random: its answers mean nothing." if run.accuracy is None else ""
    return (f"<h2>Cycles</h2><p>{run.images} images, {run.batch} at a time, on the <code>{run.config.name}</code> "
            f"engine of {run.config.macs_per_cycle:,} multiply positions; memory: {run.memory.latency} cycles of "
            f"latency, {rate}. {run.cycles:,} cycles ({run.predicted_cycles:,} predicted), "
            f"{100 * run.utilisation:.1f} % of all multiply positions useful.{meaning}</p>{layers.plot(run)}"
            "<h2>Bytes over the memory interface</h2>"
            f"{table(layers.TRAFFIC_HEADER, layers.traffic_rows(run, floor, baseline))}"
            "<h2>Every counter</h2><p>Cycles and counts are the engine's own, over all images. Bytes are the memory's, "
            f"booked on the layer they are for.</p>{table(layers.HEADER, layers.rows(run))}")


_ENERGY_HEADER = ("constants", "DRAM, pJ/bit", "on chip, µJ", "DRAM, µJ", "together, µJ")


def energy_report(run: NetworkRun, found: EnergyRange) -> str:
    """The section on the energy of one run: an image's, by constant set and cost of DRAM, and by part of the chip."""
    def micro(picojoules: float) -> str:
        return f"{picojoules / run.images / 1e6:,.2f}"

    ranges = [(one.costs.name, f"{one.dram_pj_per_bit:g}", *map(micro, (one.on_chip_pj, one.dram_pj, one.total_pj)))
              for one in found.energies]
    sets = {one.costs.name: one.components for one in found.energies}
    parts = [(part, *(micro(components[part]) for components in sets.values())) for part in COMPONENTS]
    return (f"<h2>Energy of an image</h2><p>{micro(found.low.total_pj)} to {micro(found.high.total_pj)} µJ, by "
            "constant set and cost of DRAM. Actions are the program's that ran, with the engine's own counts where it "
            "has a counter; their prices are a model (docs/assumptions.md).</p>"
            f"{table(_ENERGY_HEADER, ranges)}<p>On chip by part, in µJ.</p>{table(('part', *sets), parts)}")


def write(path: Path, title: str, sections: Sequence[str], *, style: str = ""):
    """Write the page, with ``style`` beside the style of all pages; it needs nothing but itself."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    text = ('<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" '
            f'content="width=device-width, initial-scale=1"><title>{html.escape(title)}</title>'
            f"<style>{_STYLE}{style}</style><h1>{html.escape(title)}</h1>{''.join(sections)}</html>\n")
    write_atomically(path, lambda temporary: temporary.write_text(text, encoding="utf-8"))
