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
from reports import coats, plots
from reports.coats import CoatRow
from sim.network import NetworkRun

FASHION_CLASSES = ("T-shirt", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "boot")

_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; color: #22252a; max-width: 1180px; margin: 2rem auto; padding: 0 1rem }
h1 { font-size: 1.6rem; margin-bottom: .2rem } h2 { font-size: 1.15rem; margin-top: 2.2rem }
p { max-width: 75ch } svg { max-width: 100%; height: auto }
table { border-collapse: collapse; font-size: 13px; font-variant-numeric: tabular-nums }
th, td { padding: .25rem .6rem; text-align: right; border-bottom: 1px solid #d9dce1 } th { font-weight: 600 }
th:first-child, td:first-child { text-align: left }
.scroll { overflow-x: auto } .plots { display: grid; gap: 1rem;
  grid-template-columns: repeat(auto-fit, minmax(420px, 1fr)) }
.good { color: #2b7a4b; font-weight: 600 } .bad { color: #b5473c; font-weight: 600 }
.images { display: flex; flex-wrap: wrap; gap: .5rem } .images figure { margin: 0; text-align: center; font-size: 11px }
.images img { width: 64px; height: 64px; image-rendering: pixelated; display: block }
"""


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
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
             "yes" if layer.bit_exact else "NO") for layer in run.layers]


LAYER_HEADER = ("layer", "MACs", "cycles", "utilisation", "mask bytes", "bit-exact")


def comparison(rows: list[CoatRow]) -> str:
    """The section on coats: table and plots."""
    figures = (plots.accuracy_against_size(rows), plots.bits_per_weight(rows), plots.weight_traffic(rows),
               plots.cycles(rows))
    return (f"<h2>One to {max(row.coats for row in rows)} coats</h2>"
            "<p>Sizes in KiB. Accuracy is the packed integer model's on the whole test set, measured on packing; "
            "cycles, traffic and utilisation are counters of the simulated engine. <em>Paper</em> is the size formula "
            "of the multicoated-supermask paper (mask bits and 32 bits per normalisation scale); <em>against int8</em> "
            "divides the bytes of 8-bit weights by the mask bytes that crossed the memory interface.</p>"
            f"{_table(coats.HEADER, coats.text_rows(rows))}<div class=\"plots\">{''.join(figures)}</div>")


def simulated(model: str, run: NetworkRun, images: np.ndarray, labels: np.ndarray) -> str:
    """The section on one simulated network: verdict, images, layer table, where the cycles go."""
    verdict = ('<span class="good">BIT-EXACT</span>' if run.bit_exact else '<span class="bad">NOT bit-exact</span>')
    shown = slice(0, 32)
    return (f"<h2>{html.escape(model)} on the <code>{run.config.name}</code> engine: {verdict}</h2>"
            f"<p>{run.images} images, {run.cycles:,} cycles of {run.config.macs_per_cycle} multiply positions, "
            f"simulated in {run.seconds:.1f} s ({run.cycles_per_second:,.0f} cycles per second). Every tensor of every "
            f"layer was compared with the integer model. Accuracy on these images: {100 * run.accuracy:.2f} % in "
            f"hardware, {100 * run.golden_accuracy:.2f} % in the integer model.</p>"
            f"{_images(images[shown], labels[shown], run.predictions[shown])}"
            f"<h2>Layer by layer, one image</h2>{_table(LAYER_HEADER, layer_rows(run))}{plots.layer_cycles(run)}")


def write(path: Path, title: str, sections: Sequence[str]):
    """Write the page; it needs nothing but itself."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    text = (f'<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" '
                    f'content="width=device-width"><title>{html.escape(title)}</title><style>{_STYLE}</style>'
                    f"<h1>{html.escape(title)}</h1>{''.join(sections)}</html>\n")
    write_atomically(path, lambda temporary: temporary.write_text(text, encoding="utf-8"))
