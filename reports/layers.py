"""One simulated network layer by layer: every counter as a table, and a chart of where the cycles go."""

from __future__ import annotations

from matplotlib import pyplot

from reports import plots
from sim.network import BYTES, NetworkRun

PARTS = {
    "passes": ("beats", plots.COLOURS[0]),
    "weights being built": ("stall_weights", plots.COLOURS[1]),
    "masks on their way": ("stall_memory", plots.COLOURS[3]),
    "loads and stores": ("stall_activations", plots.COLOURS[4]),
    "write-back of inputs": ("stall_write_back", plots.COLOURS[2]),
    "partial sums": ("stall_sums", plots.COLOURS[6]),
    "bank conflict": ("stall_bank", plots.COLOURS[8]),
    "short passes": ("stall_short", plots.COLOURS[7]),
}
"""Parts of a layer's cycles: counter and colour. What they leave is :data:`REST`."""

REST = ("between passes", plots.COLOURS[5])
"""Name and colour of the cycles that no counter names."""

OUTSIDE = "(before)"
"""Row of what belongs to no layer: cycles before the first one, bytes of the program."""

_COUNTED = {"built_weights": "weights built", "zero_weights": "of them zero", "saturations": "saturations",
            "residual_waits": "residual waits"}

HEADER = ("layer", "cycles", "utilisation", *PARTS, REST[0], *(name.replace("_", " ") for name in BYTES),
          *_COUNTED.values())


def _sources(run: NetworkRun) -> list[tuple[str, dict[str, int], dict[str, int], float | None]]:
    """(name, counters, bytes, utilisation) of what belongs to no layer, then of every layer."""
    counters = {name: total - sum(layer.counters[name] for layer in run.layers) for name, total in run.counters.items()}
    moved = {name: total - sum(layer.bytes[name] for layer in run.layers) for name, total in run.bytes.items()}
    return [(OUTSIDE, counters, moved, None),
            *((layer.name, layer.counters, layer.bytes, layer.utilisation) for layer in run.layers)]


def cycle_parts(counters: dict[str, int]) -> list[int]:
    """Cycles by part, the rest last."""
    parts = [counters[counter] for counter, _ in PARTS.values()]
    return [*parts, counters["cycles"] - sum(parts)]


def rows(run: NetworkRun) -> list[tuple[str, ...]]:
    """Cells of the table under :data:`HEADER`: totals over all images, the last row that of the whole network."""
    sources = [*_sources(run), ("all", run.counters, run.bytes, run.utilisation)]
    return [(name, f"{counters['cycles']:,}", "-" if utilisation is None else f"{100 * utilisation:.1f} %",
             *(f"{number:,}" for number in (*cycle_parts(counters), *(moved[stream] for stream in BYTES),
                                            *(counters[counter] for counter in _COUNTED))))
            for name, counters, moved, utilisation in sources]


def plot(run: NetworkRun) -> str:
    """Stacked bars, one per layer: passes, stalls by cause, the rest. Labels are utilisations."""
    sources = _sources(run)
    with pyplot.rc_context(plots.STYLE):
        figure, axes = plots.new_figure(11.4, .27 * len(sources) + 1.4)
        names = [name for name, *_ in sources]
        parts = [cycle_parts(counters) for _, counters, _, _ in sources]
        left = [0.] * len(sources)
        kinds = [(label, colour) for label, (_, colour) in PARTS.items()]
        for number, (label, colour) in enumerate((*kinds, REST)):
            widths = [row[number] / run.images / 1000 for row in parts]
            bars = axes.barh(names, widths, left=left, color=colour, label=label, height=.74)
            left = [start + width for start, width in zip(left, widths)]
        axes.bar_label(bars, ["" if utilisation is None else f"{100 * utilisation:.0f} %"
                              for *_, utilisation in sources], padding=3, fontsize=8)
        axes.invert_yaxis()
        axes.margins(y=.01)
        axes.grid(axis="y", visible=False)
        axes.set(title="Cycles by layer (labels: utilisation)", xlabel="thousand cycles per image")
        figure.legend(fontsize=8, loc="outside lower center", ncols=5)
        return plots.svg(figure)


TRAFFIC_HEADER = ("bytes", "counted", "planned")


def traffic_rows(run: NetworkRun, floor: int, baseline: int) -> list[tuple[str, ...]]:
    """Cells of the table of bytes by stream under :data:`TRAFFIC_HEADER`, beside the traffic floor and the int8
    baseline's traffic."""
    total = sum(run.bytes.values())
    streams = [(name.removesuffix("_bytes"), f"{run.bytes[name]:,}", f"{run.planned_bytes[name]:,}") for name in BYTES]
    return [*streams, ("all", f"{total:,}", f"{sum(run.planned_bytes.values()):,}"),
            ("traffic floor", f"{floor:,}", f"counted is {total / floor:.3f} times that"),
            ("int8 weights", f"{baseline:,}", f"{baseline / total:.2f} times what was counted")]
