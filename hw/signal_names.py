"""Names for signals that Amaranth leaves nameless: it names ``a = Signal()`` after the variable, but neither of
``a, b = Signal(), Signal()`` nor any of ``a = [Signal() for ..]``. The source has their names."""

from __future__ import annotations

import ast
import functools
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

from amaranth.hdl import Fragment, Signal

__all__ = ["name_signals"]

_NAMELESS = "$signal"
"""What Amaranth calls them."""


@functools.cache
def _assignments(file: str) -> dict[int, tuple[ast.expr, ...]]:
    """Targets of a source file's assignments, by the line in which their values are: one for each, or one for all."""
    found = {}
    for node in ast.walk(ast.parse(Path(file).read_text())):
        if not isinstance(node, ast.Assign) or len(node.targets) != 1:
            continue
        (target,), value = node.targets, node.value
        if isinstance(target, ast.Tuple) and isinstance(value, ast.Tuple) and len(target.elts) == len(value.elts):
            lines = defaultdict(list)
            for name, part in zip(target.elts, value.elts):
                lines[part.lineno].append(name)
            found |= {line: tuple(names) for line, names in lines.items()}
        elif isinstance(target, (ast.Name, ast.Attribute)):
            found |= {line: (target,) for line in range(value.lineno, value.end_lineno + 1)}
    return found


def _driven(fragment: Fragment) -> Iterator[Signal]:
    for statements in fragment.statements.values():
        for statement in statements:
            yield from (target for target in statement._lhs_signals() if isinstance(target, Signal))


def name_signals(fragment: Fragment):
    """Names the nameless signals that ``fragment`` and those inside it drive, where the source tells which is which."""
    lines = defaultdict(dict)
    for signal in _driven(fragment):
        lines[signal.src_loc][signal.duid] = signal
    for (file, line), signals in lines.items():
        # In the order in which they were made. Amaranth may have named the last of them.
        ordered = [signals[number] for number in sorted(signals)]
        if all(signal.name != _NAMELESS for signal in ordered):
            continue
        names = [target.id if isinstance(target, ast.Name) else target.attr
                 for target in _assignments(file).get(line, ()) if isinstance(target, (ast.Name, ast.Attribute))]
        if len(names) == 1:
            names = [f"{names[0]}_{index}" for index in range(len(ordered))] if len(ordered) > 1 else names
        # Others would have to be guessed: one of them is not driven, or the line runs several times.
        if len(names) == len(ordered):
            for signal, name in zip(ordered, names):
                signal.name = name if signal.name == _NAMELESS else signal.name
    for inner, *_ in fragment.subfragments:
        name_signals(inner)
