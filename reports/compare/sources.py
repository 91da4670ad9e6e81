"""Where every figure of a comparison's page comes from: one entry per anchor, as HTML."""

from __future__ import annotations

from html import escape

from reports.area import points
from reports.compare.rows import CHIPS, Comparison
from reports.energy import Convention

LINKS = {
    "horowitz": ("Horowitz, ISSCC 2014", "https://doi.org/10.1109/ISSCC.2014.6757323"),
    "hwcomponents": ("hwcomponents", "https://github.com/Accelergy-Project/hwcomponents"),
    "aladdin": ("Aladdin, ISCA 2014", "https://doi.org/10.1145/2678373.2665689"),
    "cacti": ("CACTI 7, TACO 2017", "https://doi.org/10.1145/3085572"),
    "zigzag": ("ZigZag", "https://github.com/KULeuven-MICAS/zigzag"),
    "sky130hd": ("SkyWater SKY130 PDK", "https://github.com/google/skywater-pdk"),
    "asap7": ("Clark et al., ASAP7, Microelectronics Journal 53, 2016", "https://doi.org/10.1016/j.mejo.2016.04.006"),
    "hwcomponents-cacti": ("hwcomponents-cacti", "https://github.com/Accelergy-Project/hwcomponents-cacti"),
    "paper": ("Okoshi et al., Multicoated Supermasks Enhance Hidden Networks, ICML 2022",
              "https://proceedings.mlr.press/v162/okoshi22a.html"),
}
"""Origins by name: text and address."""

_ORIGINS = {"horowitz": ("horowitz",), "hwcomponents": ("hwcomponents", "aladdin", "cacti"),
            "zigzag": ("zigzag", "cacti"), "sky130hd": ("sky130hd", "zigzag", "cacti"),
            "asap7": ("asap7", "zigzag", "cacti")}


_DRAM = {4.: ("HBM3, 4.05 pJ/bit in", "hwcomponents-cacti"), 8.: ("LPDDR4, 8 pJ/bit in", "hwcomponents-cacti"),
         20.: ("off-chip DRAM, from 20 pJ/bit in", "horowitz")}
"""What a DRAM cost in pJ/bit stands for, and whose figure it is."""


def _link(name: str) -> str:
    text, address = LINKS[name]
    return f'<a href="{address}">{escape(text)}</a>'


def _sets(comparison: Comparison) -> str:
    """The constant sets, with source, command and versions."""
    found, engine = {energy.costs.name: energy.costs for energy in comparison.rows[0].energies}, comparison.config
    items = []
    for costs in found.values():
        made = (f" Made with <code>{escape(costs.command)}</code>: {escape(_pairs(costs.versions))}."
                if costs.command else "")
        lacking = f" No figure for {escape(', '.join(costs.uncovered))}." if costs.uncovered else ""
        widths = sorted({point.bits for point in costs.sram})
        stretched = (f" SRAM figures are of words of {widths[0]} bits: others, here {engine.bus_bits} bits in the mask "
                     f"buffer and {8 * engine.lanes} in the activation memory, are taken to cost in proportion, which "
                     "is too much for wide ones." if len(widths) == 1 else "")
        links = ", ".join(map(_link, _ORIGINS.get(costs.name.split("-")[0], ("zigzag", "cacti"))))
        items.append(f"<li><code>{escape(costs.name)}</code>, {costs.node_nm} nm: {escape(costs.source)}."
                     f"{made}{lacking}{stretched} Origin: {links}. Figures: "
                     f"<code>reports/constants/{escape(costs.name)}.json</code>.</li>")
    return f"<ul>{''.join(items)}</ul>"


def _dram(prices: list[float]) -> str:
    """DRAM costs with what they stand for."""
    items = []
    for price in prices:
        text, origin = _DRAM.get(price, ("given with <code>--dram-pj</code>", None))
        items.append(f"<li>DRAM at {price:g} pJ/bit: {text}{f' {_link(origin)}' if origin else ''}.</li>")
    return f"<ul>{''.join(items)}</ul>"


def _pairs(values: dict[str, str]) -> str:
    return ", ".join(f"{name} {value}" for name, value in values.items())


def _targets(comparison: Comparison) -> str:
    items = []
    for target in comparison.targets:
        cached = points.load(target)
        modelled = sorted({name for row in comparison.rows for name in row.area[target]["modelled"]})
        library = f" Liberty files: {escape(_pairs(cached.liberty))}." if cached.liberty else ""
        between = f" Without points of their own, modelled: {escape(', '.join(modelled))}." if modelled else ""
        items.append(f"<li><code>{escape(target)}</code>: {escape(cached.tool)}, "
                     f"Amaranth {escape(cached.amaranth)}.{library}{between} Points, with the hash of "
                     f"their Verilog: <code>reports/area/cache/{escape(target)}.json</code>.</li>")
    return f"<ul>{''.join(items)}</ul>"


def _chip(chip: Convention) -> str:
    published = ", ".join(f"{value:g} fJ/op ({network})" for network, value in chip.published.items())
    node = f" at {chip.node_nm} nm" if chip.node_nm else ""
    return (f"<li>{escape(chip.title)}: {escape(published)}{node}, published in {escape(chip.source)}. "
            f"{escape(chip.remark)} Sets: {', '.join(chip.sets)}.</li>")


def entries(comparison: Comparison) -> dict[str, tuple[str, str]]:
    """Title and HTML by anchor."""
    prices = sorted({energy.dram_pj_per_bit for energy in comparison.rows[0].energies})
    result = {
        "source-rows": ("Rows", (
            "<p>A row with coats is the network with that many nested masks, on the engine with the narrowest weights "
            "that hold them: 2 bits for one coat, 4 bits for two to seven (<code>reports/engines.py</code>). int8, "
            "int4 and 1 bit are the same network with its weights stored, on as many multiply positions with weights "
            "of 8, 4 and 2 bits; int8 has sums of 32 bits. A baseline's weight buffer is doubled until its weights are "
            "fetched once per frame, to 1 MiB at most (<code>reports/stored.py</code>).</p>"
            "<p>Baselines are shown for their cost: a network of 1-bit or 4-bit weights has to be trained as such, and "
            "its accuracy is not that of coats.</p>")),
        "source-size": ("Size", (
            "<p><em>Packed</em>: coded coat indices of every layer and 12 bytes of multiplier and bias per channel, as "
            "in a <code>.coat</code> file without its header (<code>docs/specification.md</code>, “Packed model”). "
            "Masks are taken to have exactly the scheduled number of kept weights, in random order; no weight is drawn "
            "(<code>compiler/expected.py</code>). Baselines: stored weights and the same 12 bytes. The code "
            "<em>best</em> is the smallest of raw, unary and ans, layer by layer; the table names that of most "
            "weights.</p><p><em>Shannon bound</em>: count of weights × entropy of their coat index, summed over "
            "layers; a baseline's weights count with all their bits.</p>"
            f"<p><em>Paper's formula</em>: {_link('paper')}: weights × (1 + Σ k<sub>n</sub>, the kept fractions of all "
            "coats but the last) bits, and 32 bits per normalised channel; 1 MiB is 1,048,576 bytes "
            "(<code>golden/codes.py</code>, <code>paper_bits</code>).</p>")),
        "source-traffic": ("Traffic", (
            "<p>Bytes that cross the memory interface for one frame, whole beats, checksums and descriptors included, "
            "from the compiler's own plan of tiles, strips and transfers with masks of expected size "
            "(<code>compiler/estimate.py</code>). Held against compiled programs in "
            "<code>tests/compiler/test_estimate.py</code>, and those against counters of the RTL: "
            "<code>docs/measurements.md</code>. Every image of a run (<code>--batch</code>) fetches the masks again; "
            "the floor counts them once for the whole run.</p><p><em>Floor</em>: each mask at its Shannon bound (or "
            "each stored weight), each parameter, the image and the logits once, and the least spills of activations "
            "that an activation memory of this size can have (<code>reports/traffic.py</code>).</p>")),
        "source-time": ("Cycles and frames per second", (
            "<p>Cycles: the schedule model that the compiler chooses its tilings by, for a memory that always answers "
            "(<code>compiler/estimate.py</code>). Utilisation: multiply-accumulates ÷ (cycles × multiply "
            f"positions).</p><p>Frames per second: {comparison.clock_mhz:g} MHz ÷ cycles per frame. The clock is an "
            "input (<code>--clock</code>), the same for all rows, and no result of timing analysis. "
            "<em>Memory rate</em> is traffic × frames per second: what the memory has to deliver for it.</p>")),
        "source-area": ("Area", (
            "<p>Cells of every block from cached points of synthesis, memories counted from the configuration: block "
            f"memories on an FPGA, SRAM of {_link('cacti')} and register files on standard cells; a model between the "
            "points (<code>docs/area.md</code>). kLUT are thousands of LUT4 equivalents on ECP5 and of LUTs of any "
            "size on 7-series; block memories of 18 Kbit stand beside them and are in no total. mm² are cell areas "
            "before placement; SRAM has a read and a write port, as the RTL asks for, where energy is that of "
            "single-ported macros.</p><p>Baselines are without random stream, coat decoder and weight builder: the "
            "least that an engine for stored weights could have. <em>With the path of coats</em> is the same engine as "
            "for coats with wider weights. An engine for coats is the same for every code: where all masks are raw or "
            f"unary, it still has the tables of <code>ans</code>, which it never reads.</p>{_targets(comparison)}")),
        "source-energy": ("Energy", (
            "<p>Number of actions × cost of one action, for every part of the chip, and bits of traffic × cost of a "
            "DRAM bit (<code>reports/records.py</code>, <code>reports/actions.py</code>, "
            "<code>reports/energy.py</code>). Sources differ by more than ten times for some actions: the figure is "
            "the range, and ratios are taken within one set and one DRAM cost. SRAM is single-ported, CACTI's default; "
            "that of the area has a read and a write port, and takes more. What the model assumes and leaves out, "
            "clock tree, leakage and wires among it, is listed in <code>docs/assumptions.md</code>; absolute figures "
            f"are too low for it.</p>{_dram(prices)}{_sets(comparison)}")),
        "source-convention": ("Energy per operation", (
            "<p>On-chip energy ÷ (2 × multiply-accumulates of the dense network), without DRAM, over the sets nearest "
            "to each chip's technology (<code>reports/energy.py</code>, <code>CONVENTIONS</code>).</p>"
            f"<ul>{''.join(map(_chip, CHIPS))}</ul>")),
        "source-network": ("Network", (
            "<p>Shapes of the network (<code>golden/networks.py</code>): weights of convolutions and of the "
            "classifier; multiply-accumulates of one frame, those with padding included.</p>")),
    }
    known = [row.accuracy for row in comparison.rows if row.accuracy]
    measured = (f"Here: {', '.join(f'<code>{escape(one.model)}</code>' for one in known)}, on "
                f"{known[0].test_images:,} test images of {escape(known[0].data_set)}." if known else
                "There is none for this network.")
    result["source-accuracy"] = ("Accuracy", (
        "<p>Of a trained, packed integer model with this topology, these coats and densities, on a whole test set, as "
        "measured when it was packed; its code may be another, which changes no answer. int8: the "
        "dense network of these shapes, trained with the same seed (<code>reports/trained.json</code>). Without such a "
        f"model, <em>not measured</em>: nothing is estimated. {measured} How they were trained, and with other seeds: "
        "<code>docs/accuracy.md</code>.</p>"))
    return result


def section(comparison: Comparison) -> str:
    """The section "Sources", with an anchor per entry."""
    parts = "".join(f'<section id="{anchor}"><h3>{title}</h3>{text}</section>'
                    for anchor, (title, text) in entries(comparison).items())
    return f'<h2 id="sources">Sources</h2><p>Files are in Topcoat\'s repository.</p>{parts}'
