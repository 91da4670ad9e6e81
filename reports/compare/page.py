"""The page of one network's comparison across coats: every number with its unit, and a link to where it comes from."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from pathlib import Path

from reports import page, tables
from reports.compare import columns, figures, sources
from reports.compare.columns import ratios
from reports.compare.rows import CHIPS, Comparison, Row
from reports.compare.units import area_unit, byte_unit, middle_price, number, range_text, set_names, span
from reports.tables import Column

STYLE = """
h2 { scroll-margin-top: 1rem } section { scroll-margin-top: 1rem } h3 { font-size: 1rem; margin-bottom: .2rem }
#figure-breakdown { grid-row: span 2 }
.pair { display: flex; flex-wrap: wrap; gap: 0 2.5rem; align-items: flex-start } .pair > .tables { min-width: 0 }
.pair > figure { flex: 1 1 360px; max-width: 540px; min-width: 0; margin: 1rem 0 }
figure { margin: 0 } figcaption { font-size: 13px; color: var(--soft); max-width: 60ch }
.plots { align-items: start; margin: 1.2rem 0 } summary { cursor: pointer }
details { margin: .8rem 0 } details details { margin-left: 1.2rem }
nav { font-size: 13px } li { max-width: 75ch; margin: .3rem 0; overflow-wrap: anywhere }
code { overflow-wrap: anywhere }
"""


def _value(text: str, unit: str, source: str) -> str:
    """A number in running text."""
    return f'<a href="#{source}" data-unit="{escape(unit)}">{escape(text)} {escape(unit)}</a>'


def _table(rows: Sequence[Row], shown: Sequence[Column]) -> str:
    return tables.table(rows, shown, name=lambda row: row.label, head="weights", source="source-rows",
                        baseline=lambda row: not row.design.coats)


def _settings(comparison: Comparison) -> str:
    costs, engine = comparison.rows[0].costs, comparison.config
    rows = (
        ("weights", f"{costs.weights:,}", "weights", "source-network"),
        ("work", f"{costs.estimate.macs / comparison.batch / 1e6:,.1f}", "million multiply-accumulates per frame",
         "source-network"),
        ("first stage", f"{comparison.int8.design.topology.layers[0].out_channels:,}", "channels", "source-network"),
        ("array", f"{engine.columns:,}", "columns", "source-rows"),
        ("column", f"{engine.lanes:,}", "multiply positions", "source-rows"),
        ("activation memory", f"{engine.activation_bytes / 1024:,.0f}", "KiB", "source-rows"),
        ("mask buffer", f"{engine.mask_bytes / 1024:,g}", "KiB", "source-rows"),
        ("memory interface", f"{engine.bus_bits:,}", "bit per cycle", "source-time"),
        ("clock", f"{comparison.clock_mhz:g}", "MHz, assumed", "source-time"),
        ("batch", f"{comparison.batch:,}", f"image{'s' * (comparison.batch > 1)} at a time", "source-traffic"),
    )
    body = "".join(f'<tr><th scope="row"><a href="#{source}">{name}</a></th><td data-unit="{unit}">{value} '
                   f'<span class="soft">{unit}</span></td></tr>' for name, value, unit, source in rows)
    names = ", ".join(f"{name} <code>{escape(value)}</code>" for name, value in (
        ("network", comparison.network), ("engine", comparison.config.name), ("schedule", comparison.schedule),
        ("code", comparison.code)))
    return (f"<p>{names}</p><div class=\"scroll\"><table class=\"settings\"><tbody>{body}</tbody></table></div>")


def _findings(comparison: Comparison) -> str:
    """What the first coat and the last one differ in, and the last one against int8."""
    first, last, int8 = comparison.coats[0], comparison.coats[-1], comparison.int8
    unit, size = byte_unit(last.dram_bytes)
    items = []
    name = {row: _value(row.label.split()[0], row.label.split()[1], "source-rows") for row in (first, last)}
    if first is not last:
        parts = [f"packed size {_value(number(first.costs.packed_bytes / size), unit, 'source-size')} to "
                 f"{_value(number(last.costs.packed_bytes / size), unit, 'source-size')}",
                 f"traffic {_value(number(first.dram_bytes / size), f'{unit} per frame', 'source-traffic')} to "
                 f"{_value(number(last.dram_bytes / size), f'{unit} per frame', 'source-traffic')}",
                 f"energy {_value(range_text(ratios(first, last)), 'times as much', 'source-energy')}"]
        for target in comparison.overview_targets:
            measure, scale = area_unit(first.area[target]["unit"])
            parts.append(f"<code>{escape(target)}</code> area "
                         f"{_value(number(first.area[target]['total'] / scale), measure, 'source-area')} to "
                         f"{_value(number(last.area[target]['total'] / scale), measure, 'source-area')}")
        if first.accuracy and last.accuracy:
            parts.append(f"accuracy {_value(f'{100 * first.accuracy.value:.2f}', '%', 'source-accuracy')} to "
                         f"{_value(f'{100 * last.accuracy.value:.2f}', '%', 'source-accuracy')}")
        items.append(f"From {name[first]} to {name[last]}: {'; '.join(parts)}.")
    parts = [f"{_value(number(int8.dram_bytes / last.dram_bytes), 'times', 'source-traffic')} the traffic",
             f"{_value(range_text(ratios(last, int8)), 'times', 'source-energy')} the energy"]
    parts += [f"{_value(number(int8.area[target]['total'] / last.area[target]['total']), 'times', 'source-area')} the "
              f"<code>{escape(target)}</code> area" for target in comparison.overview_targets]
    items.append(f"Weights stored in eight bits against {name[last]}: {'; '.join(parts)}.")
    if comparison.unary and last.costs.code != "unary":
        unary = comparison.unary
        values = [f"{_value(number(row.costs.packed_bytes / size), unit, 'source-size')} and "
                  f"{_value(range_text(span(row)), 'µJ per frame', 'source-energy')}" for row in (last, unary)]
        items.append(f"Code <code>best</code> is the smallest, not the one of least energy: with {name[last]} mostly "
                     f"<code>{last.costs.code}</code>, {values[0]}; all <code>unary</code>, {values[1]}.")
    return f"<ul>{''.join(f'<li>{item}</li>' for item in items)}</ul>"


def _layers(comparison: Comparison) -> str:
    """A table of layers per row."""
    found = "".join(
        f"<details><summary><code>{escape(row.label)}</code></summary>"
        + tables.table(list(zip(row.costs.estimate.layers, row.costs.estimate.weights)), columns.layers(row),
                       name=lambda layer: layer[0].name, head="layer", source="source-network") + "</details>"
        for row in comparison.rows)
    return f'<details id="layers"><summary>Traffic and cycles layer by layer</summary>{found}</details>'


def _areas(comparison: Comparison) -> str:
    """A table per target, those of the overview open."""
    shown = comparison.overview_targets
    order = (*shown, *(target for target in comparison.targets if target not in shown))
    return "".join(f"<details{' open' * (target in shown)}><summary><code>{escape(target)}</code></summary>"
                   f"{_table(comparison.rows, columns.area(comparison, target))}</details>" for target in order)


def _breakdown(comparison: Comparison) -> str:
    """A table of parts per constant set."""
    return "".join(f"<details><summary>Parts, <code>{escape(name)}</code></summary>"
                   f"{_table(comparison.rows, columns.parts(comparison, name))}</details>"
                   for name in set_names(comparison))


def _figure(name: str, drawings: dict[str, str], source: str, caption: str) -> str:
    """One drawing with its caption; nothing if it was not drawn."""
    if name not in drawings:
        return ""
    return (f'<figure id="figure-{name}">{drawings[name]}<figcaption>{caption} <a href="#{source}">Source</a>; '
            f'<a href="{name}.png">PNG</a>, <a href="{name}.svg">SVG</a>.</figcaption></figure>')


def _pair(tables: str, *drawn: str) -> str:
    """Tables with figures beside them, or below where there is no room."""
    return f'<div class="pair"><div class="tables">{tables}</div>{"".join(drawn)}</div>'


def sections(comparison: Comparison, drawings: dict[str, str]) -> list[str]:
    """The page's HTML, section by section; ``drawings`` are SVG texts by name
    (:func:`reports.compare.figures.save`)."""
    rows = comparison.rows
    price = _value(f"{middle_price(comparison):g}", "pJ/bit", "source-energy")
    published = "; ".join(f"{chip.title} " + ", ".join(
        f"{_value(f'{value:g}', 'fJ per operation', 'source-convention')} (<code>{escape(network)}</code>)"
        for network, value in chip.published.items()) for chip in CHIPS)
    nav = " · ".join(f'<a href="#{anchor}">{anchor}</a>' for anchor in (
        "overview", "size", "traffic", "time", *(["area"] if comparison.targets else []), "energy", "pareto",
        "sources"))
    no_accuracy = ("" if "accuracy" in drawings else
                   " Accuracy, which is what coats buy, is in neither: no trained model of this network is at hand.")
    return [
        f"<nav>{nav}</nav><p>What one more coat costs, and what stored weights would. Baselines are shaded; every "
        "number has its unit in the head of its column, and the head leads to its source.</p>",
        f'<h2 id="overview">Overview</h2>{_findings(comparison)}{_table(rows, columns.overview(comparison))}'
        f"{_settings(comparison)}",
        '<h2 id="size">Size</h2>' + _pair(
            _table(rows, columns.sizes(comparison)),
            _figure("size", drawings, "source-size", "Size per weight by three measures."),
            _figure("accuracy", drawings, "source-accuracy",
                    f"Measured accuracy against size, and against energy with DRAM at {price}.")),
        '<h2 id="traffic">Traffic</h2>' + _pair(
            _table(rows, columns.traffic(comparison)),
            _figure("traffic", drawings, "source-traffic",
                    "Bytes of a frame over the memory interface, by stream; the line is the compulsory floor.")),
        '<h2 id="time">Cycles and frames per second</h2>' + _pair(
            _table(rows, columns.time(comparison)),
            _figure("cycles", drawings, "source-time", "Cycles of a frame; the label is the share of multiply "
                    "positions that do useful work.")) + _layers(comparison),
        *(['<h2 id="area">Area</h2>' + _pair(
            _areas(comparison),
            _figure("area", drawings, "source-area",
                    "Logic and memory of the whole engine, block memories of an FPGA left out."))]
          if comparison.targets else []),
        f'<h2 id="energy">Energy</h2>{_table(rows, columns.energy(comparison))}{_breakdown(comparison)}'
        "<details><summary>On chip, per operation, as two chips count it</summary>"
        f"{_table(rows, columns.conventions())}</details>"
        '<div class="plots">'
        + _figure("energy", drawings, "source-energy", f"Range over all constant sets and DRAM costs; marks are the "
                  f"sets with DRAM at {price}.")
        + _figure("breakdown", drawings, "source-energy", f"Where it goes, set by set, DRAM at {price}.")
        + _figure("convention", drawings, "source-convention", f"On-chip energy per operation, as a range over "
                  f"constant sets. Lines are published: {published}.") + "</div>",
        f'<h2 id="pareto">Pareto</h2><p>Down and to the left is better; circles are coats, squares stored weights; '
        "filled is what nothing else beats in both, one set at a time, and all that is above or right of the line is "
        f"beaten.{no_accuracy}</p><div class=\"plots\">"
        + _figure("pareto-energy", drawings, "source-energy", f"Energy against area, DRAM at {price}.")
        + _figure("pareto-traffic", drawings, "source-traffic", "Traffic against area.") + "</div>",
        sources.section(comparison),
    ]


def text_table(comparison: Comparison) -> tuple[list[str], list[list[str]]]:
    """Header and cells of the overview for a terminal, units first."""
    shown = columns.overview(comparison)
    rows = [[row.label, *(column.value(row) or "-" for column in shown)] for row in comparison.rows]
    return ["weights", *(column.title for column in shown)], [["", *(column.unit for column in shown)], *rows]


def write(folder: Path, comparison: Comparison):
    """Write ``index.html`` and its figures as PNG and SVG."""
    drawings = figures.save(figures.figures(comparison), folder)
    page.write(folder / "index.html", f"Topcoat: the cost of coats, {comparison.network}",
               sections(comparison, drawings), style=STYLE)
