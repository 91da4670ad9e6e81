"""How commands show results: aligned tables on the terminal, JSON files for other tools."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from golden.checkpoint import write_atomically


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Text table: the first column left-aligned, the others right-aligned."""
    cells = [list(map(str, row)) for row in (header, *rows)]
    widths = [max(map(len, column)) for column in zip(*cells)]
    lines = ["  ".join((cell.rjust if index else cell.ljust)(width)
                       for index, (cell, width) in enumerate(zip(row, widths))).rstrip() for row in cells]
    return "\n".join([lines[0], "-" * max(map(len, lines)), *lines[1:]])


def require_writable(options):
    """Refuse an output that cannot be written before any work is done for it. Raises ValueError."""
    for name in ("json", "waves", "file"):
        path = getattr(options, name, None)
        if path is not None and path.is_dir():
            raise ValueError(f"{path} is a folder: name a file")
        if path is not None and name != "waves" and not path.parent.is_dir():
            raise ValueError(f"folder {path.parent} does not exist: make it, or name another file than {path}")
    folder = getattr(options, "output", None)
    if folder is not None and folder.exists() and not folder.is_dir():
        raise ValueError(f"{folder} is a file: name a folder")


def write_json(path: Path | None, values: dict):
    """Write ``values`` to ``path``, whole or not at all; nothing for None."""
    if path is not None:
        write_atomically(path, lambda temporary: temporary.write_text(json.dumps(values, indent=1) + "\n"))
