"""The constant set that measured blocks make, and whether one in ``reports/constants`` is of the RTL as it is."""

from __future__ import annotations

import importlib.metadata
import json
import shlex
import sys
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

from reports.area.blocks import Sample
from reports.area.library import DONT_USE, Library
from reports.area.synthesis import sample_sources, sample_verilog
from reports.costs import FOLDER, cost_set
from reports.gates.liberty import CellLibrary
from reports.gates.measure import PRESET, RUNS, Block
from reports.tools import yosys_version

__all__ = ["command", "measured_sets", "set_content", "stale_blocks", "write_set"]

MEMORIES = "zigzag-45"
"""The set whose memories are scaled: energy in proportion to the node's length times voltage squared."""

MEMORY_VOLTS = 1.
"""Of CACTI's technology at 45 nm."""


def _picojoules(femtojoules: float) -> float:
    return float(f"{femtojoules / 1000:.5g}")


def _measured(blocks: Sequence[Block]) -> list[dict]:
    """Prices, those of several blocks added up. One that all widths of weights have in common is of none."""
    sums: dict[tuple[str, str, int], float] = defaultdict(float)
    widths: dict[tuple[str, str], set[int]] = defaultdict(set)
    for block in blocks:
        width = block.sample.config.weight_bits
        for (component, action), price in block.prices.items():
            sums[component, action, width] += price
            widths[component, action].add(width)
            if action == "zero_macs":
                # An idle lane holds zero weights.
                sums[component, "idle_macs", width] += price
                widths[component, "idle_macs"].add(width)
    return [{"component": component, "action": action, "pj": _picojoules(price),
             "weight_bits": width if len(widths[component, action]) > 1 else None}
            for (component, action, width), price in sorted(sums.items())]


def command(library: Library, node_nm: int) -> str:
    """The command that measures the set; it names the cells to leave alone if they are others than is known."""
    words = ["python", "-m", "reports.gates", library.name, "--node", f"{node_nm}", "--liberty", *library.texts()]
    if library.dont_use != DONT_USE.get(library.name, ()):
        words += ["--dont-use", *library.dont_use]
    return shlex.join(words)


def set_content(library: Library, node_nm: int, blocks: Sequence[Block], *, yosys: str) -> dict:
    """The constant set as JSON values."""
    cells = CellLibrary(text.decode("latin-1") for text in library.texts().values())
    memories = cost_set(MEMORIES)
    scale = node_nm / memories.node_nm * (cells.voltage / MEMORY_VOLTS) ** 2
    multiply, = (block.prices["array", "nonzero_macs"] for block in blocks
                 if block.sample.block == "column" and block.sample.config.weight_bits == 8)
    flops = sum(block.flops for block in blocks)
    return {
        "name": f"{library.name}-{node_nm}", "node_nm": node_nm, "units": "pJ per action",
        "command": command(library, node_nm),
        "title": f"Standard cells of {library.name}, {node_nm} nm, {cells.voltage:g} V: our own netlists, simulated",
        "source": "toggles of mapped netlists on the inputs that blocks of an engine have in an inference "
                  f"({', '.join(f'{run} at weight_bits {width}' for width, run in RUNS.items())}; engine {PRESET}), "
                  f"energies of the library's cells; memories: {MEMORIES} times {scale:.4g}",
        "versions": {"python": sys.version.split()[0], "amaranth": importlib.metadata.version("amaranth"),
                     "yosys": yosys_version(yosys)},
        "liberty": library.digests(),
        "conditions": {"volts": cells.voltage, "slew_ps": float(f"{1e12 * cells.slew:.4g}"), "wires": "none"},
        "multiply": {"bits": [8, 8], "pj": _picojoules(multiply), "includes_add": True},
        "add": None,
        "register": {"bits": 1, "pj": _picojoules(1e15 * cells.register())},
        "clock": {"bits": 1, "pj": _picojoules(sum(block.clock_fj for block in blocks) / flops)},
        "measured": _measured(blocks),
        "blocks": [block.to_json() for block in blocks],
        "sram": [{"bytes": point.bytes, "bits": point.bits, "read_pj": float(f"{scale * point.read_pj:.5g}"),
                  "write_pj": float(f"{scale * point.write_pj:.5g}")} for point in memories.sram],
    }


def write_set(path: Path, content: dict):
    """A line per block, price and memory."""
    rows = {name: ",\n".join(f"    {json.dumps(row)}" for row in content[name])
            for name in ("measured", "blocks", "sram")}
    head = json.dumps({name: value for name, value in content.items() if name not in rows}, indent=2)[:-2]
    lists = ",\n".join(f'  "{name}": [\n{text}\n  ]' for name, text in rows.items())
    path.write_text(f"{head},\n{lists}\n}}\n")


def measured_sets() -> list[str]:
    """Names of the sets that were measured."""
    return [path.stem for path in sorted(FOLDER.glob("*.json")) if "blocks" in json.loads(path.read_text())]


def stale_blocks(name: str) -> list[str]:
    """Blocks of the set ``name`` that are of other RTL than there is now."""
    stale = []
    for block in json.loads((FOLDER / f"{name}.json").read_text())["blocks"]:
        sample = Sample(block["block"], block["preset"], tuple(block["overrides"].items()))
        if block["sources"] != sample_sources(sample) and block["verilog"] != sample_verilog(sample):
            stale.append(str(sample))
    return stale
