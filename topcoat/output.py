"""How commands show results: aligned tables on the terminal, JSON files for other tools."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Text table: the first column left-aligned, the others right-aligned."""
    cells = [list(map(str, row)) for row in (header, *rows)]
    widths = [max(map(len, column)) for column in zip(*cells)]
    lines = ["  ".join((cell.rjust if index else cell.ljust)(width)
                       for index, (cell, width) in enumerate(zip(row, widths))).rstrip() for row in cells]
    return "\n".join([lines[0], "-" * max(map(len, lines)), *lines[1:]])


def write_json(path: Path | str | None, values: dict):
    """Write ``values`` to ``path``, whole or not at all; nothing for None."""
    if path is None:
        return
    path = Path(path)
    partial = path.with_name(f"{path.name}.partial")
    partial.write_text(json.dumps(values, indent=1) + "\n")
    os.replace(partial, path)
