"""How commands show results: aligned tables on the terminal, JSON files for other tools."""

from __future__ import annotations

import json
import os
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
        if path is not None and name != "waves" and not os.access(path if path.exists() else path.parent, os.W_OK):
            raise ValueError(f"{path} cannot be written: name another file")
    folder = getattr(options, "output", None)
    if folder is not None:
        place = next(place for place in (folder, *folder.absolute().parents) if place.exists())
        if not place.is_dir():
            raise ValueError(f"{place} is a file: name a folder")
        if not os.access(place, os.W_OK):
            raise ValueError(f"folder {place} cannot be written: name another folder than {folder}")


def write_json(path: Path | None, values: dict | list):
    """Write ``values`` to ``path``, whole or not at all; nothing for None."""
    if path is not None:
        write_atomically(path, lambda temporary: temporary.write_text(json.dumps(values, indent=1) + "\n"))


def write_texts(folder: Path, files: dict[str, str]) -> list[Path]:
    """Writes texts by their paths in ``folder``; returns their paths."""
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return [folder / name for name in files]
