"""Tables: of a page, where every column says its unit and leads to where its numbers come from, and of Markdown."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

from tqdm import tqdm

STYLE = """
:root { --link: #2f6fb5; --soft: #6a7079; --band: #f3f4f6 }
@media (prefers-color-scheme: dark) { :root { --link: #7fb2ea; --soft: #a0a6af; --band: #21242a } }
a { color: inherit; text-decoration-color: var(--link); text-underline-offset: .2em } a:hover { color: var(--link) }
:target { outline: 2px solid var(--link); outline-offset: .5rem }
.values th { vertical-align: bottom } .values tbody th { text-align: left; white-space: nowrap }
.values .unit { display: block; white-space: nowrap; font-weight: 400; color: var(--soft) }
.values td { white-space: nowrap }
.values tr > :first-child { position: sticky; left: 0; background: var(--paper) }
.values .baseline > * { background: var(--band) } .values .baseline > :first-child { background: var(--band) }
.whole { white-space: nowrap }
"""
"""Style sheet of pages with such tables."""


@dataclass(frozen=True)
class Column:
    """A column of numbers: one unit for all of them, and the anchor that says where they come from."""

    title: str
    unit: str
    source: str
    #: Cell of a row's item; None for none.
    value: Callable[[Any], str | None]


def _head(column: Column) -> str:
    title = ", ".join(f'<span class="whole">{escape(part)}</span>' for part in column.title.split(", "))
    return (f'<th scope="col" data-unit="{escape(column.unit)}"><a href="#{column.source}">{title}</a>'
            f'<span class="unit">{escape(column.unit)}</span></th>')


def table(items: Sequence[Any], columns: Sequence[Column], *, name: Callable[[Any], str], head: str, source: str,
          baseline: Callable[[Any], bool] = lambda item: False) -> str:
    """HTML of a table that scrolls sideways where it must: a row per item, by its ``name`` under ``head``, whose
    anchor is ``source``. Rows that are a ``baseline`` are shaded."""
    lines = []
    for item in items:
        cells = "".join(f"<td>{escape(text) if (text := column.value(item)) is not None else '–'}</td>"
                        for column in columns)
        kind = ' class="baseline"' if baseline(item) else ""
        lines.append(f'<tr{kind}><th scope="row">{escape(name(item))}</th>{cells}</tr>')
    heads = f'<th scope="col"><a href="#{source}">{head}</a></th>' + "".join(map(_head, columns))
    return (f'<div class="scroll" tabindex="0"><table class="values"><thead><tr>{heads}</tr></thead>'
            f"<tbody>{''.join(lines)}</tbody></table></div>")


def markdown(header: Iterable[str], rows: Iterable[Iterable]) -> str:
    """Markdown of a table. Whole numbers get separators."""
    lines = [[str(cell) for cell in header]]
    lines.append(["---"] * len(lines[0]))
    lines += [[f"{cell:,}" if isinstance(cell, int) else str(cell) for cell in row] for row in rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def print_markdown(header: Iterable[str], rows: Callable[[], Iterable[Iterable]], *, unit: str) -> int:
    """Print the table of a study whose rows, each a ``unit``, take their time. Its exit status: 1, and one line, if
    ``rows`` or one of them fails."""
    try:
        print(markdown(header, tqdm(rows(), unit=unit)))
    except (OSError, RuntimeError, ValueError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0
