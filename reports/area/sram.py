"""Area of SRAM macros: points of CACTI 7 at 45 nm in ``reports/area/cache/sram.json``, and what lies between them.

To make the points again, in an environment of its own (ZigZag calls ``python`` from PATH and keeps a cache inside its
installation, so one run at a time; a few minutes):

    pip install zigzag-dse==3.9.1 six
    python reports/area/sram.py reports/area/cache/sram.json
"""

from __future__ import annotations

import functools
import json
import math
import sys
from pathlib import Path

__all__ = ["CELL", "macro_area"]

NODE = .045
"""Technology of the points, in micrometres."""

BITS = tuple(1 << power for power in range(10, 24))
WIDTHS = tuple(1 << power for power in range(4, 10))
PORTS = {"one read and one write port": (1, 1, 0), "one port": (0, 0, 1)}
"""What the points cover: sizes in bits, widths of a word, ports (read, write, both)."""

FEWEST_WORDS, MOST_WORDS = 32, 1 << 14
"""Words of a macro: CACTI takes no fewer; more only of narrow words."""

CELL = 146 * NODE ** 2
"""Square micrometres of CACTI's single-port cell: 146 F^2."""


def _measure() -> dict:
    from zigzag.cacti.cacti_parser import CactiParser

    points = []
    for ports, (read, write, both) in PORTS.items():
        for bits in BITS:
            for width in WIDTHS:
                if bits // width < FEWEST_WORDS:
                    continue
                try:
                    values = CactiParser().get_item(mem_name="", mem_type="sram", size=bits, r_bw=width, r_port=read,
                                                    w_port=write, rw_port=both, bank=1, technology=NODE)
                except (ChildProcessError, IndexError, ValueError) as error:
                    print(f"no point for {bits} bits of {width} with {ports}: {error}", file=sys.stderr)
                    continue
                points.append({"ports": ports, "bits": bits, "width": width, "um2": round(values[2] * 1e6, 1)})
    return {"tool": "CACTI 7 of zigzag-dse 3.9.1", "node_um": NODE, "type": "sram, one bank", "points": points}


@functools.cache
def _grid(ports: str) -> dict[tuple[int, int], float]:
    """Square micrometres by (log2 words, log2 width). CACTI's choice of subarrays makes steps down; here a memory with
    more words or wider ones is never smaller."""
    values = json.loads((Path(__file__).parent / "cache" / "sram.json").read_text())
    grid = {}
    for point in values["points"]:
        if point["ports"] == ports:
            grid[_log2(point["bits"] // point["width"]), _log2(point["width"])] = point["um2"]
    # 32 words of 16 bits are half as many bits as CACTI takes.
    grid.setdefault((_log2(FEWEST_WORDS), _log2(WIDTHS[0])), grid[_log2(FEWEST_WORDS) + 1, _log2(WIDTHS[0])])
    for words, width in sorted(grid):
        grid[words, width] = max(grid[words, width], grid.get((words - 1, width), 0), grid.get((words, width - 1), 0))
    return grid


def _log2(value: int) -> int:
    return value.bit_length() - 1


def _one_macro(words: float, width: float, ports: str) -> float:
    """Interpolates the logarithm of the area over those of words and width, which lie inside the grid."""
    grid = _grid(ports)
    words, width = math.log2(words), math.log2(width)
    low_words, low_width = min(int(words), _log2(MOST_WORDS) - 1), min(int(width), _log2(WIDTHS[-1]) - 1)
    area = 0.
    for more, weight in (0, 1 - (words - low_words)), (1, words - low_words):
        for wider, share in (0, 1 - (width - low_width)), (1, width - low_width):
            if weight * share:
                area += weight * share * math.log2(grid[low_words + more, low_width + wider])
    return 2 ** area


@functools.cache
def macro_area(depth: int, width: int, ports: str = "one read and one write port") -> float:
    """Square micrometres at 45 nm of one memory of ``depth`` words of ``width`` bits.

    It is made of as many equal macros side by side as is smallest, and of several on top of each other beyond 16,384
    words. Below 32 words or 16 bits it is as large as with them.
    """
    stacked = max(1, depth / MOST_WORDS)
    words = max(FEWEST_WORDS, min(depth, MOST_WORDS))
    sides = [1 << power for power in range(12) if WIDTHS[0] <= width / (1 << power) <= WIDTHS[-1]] or [1]
    return stacked * min(side * _one_macro(words, max(WIDTHS[0], width / side), ports) for side in sides)


if __name__ == "__main__":
    measured = _measure()
    lines = ",\n".join(json.dumps(point) for point in measured.pop("points"))
    Path(sys.argv[1]).write_text(json.dumps(measured, indent=1)[:-2] + f',\n "points": [\n{lines}\n]}}\n')
