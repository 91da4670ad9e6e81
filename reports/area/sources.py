"""Digest of the Python sources that a module of the RTL is made of."""

from __future__ import annotations

import ast
import functools
import hashlib
import importlib.util
from pathlib import Path

__all__ = ["source_digest"]

PACKAGES = ("arch", "hw")
"""Packages whose modules are followed."""


def _plain(node):
    """A syntax tree as nested tuples, without docstrings and positions; the same for every version of Python."""
    if isinstance(node, list):
        return [_plain(item) for item in node
                if not (isinstance(item, ast.Expr) and isinstance(item.value, ast.Constant))]
    if isinstance(node, ast.AST):
        return type(node).__name__, [(name, _plain(value)) for name, value in ast.iter_fields(node)
                                     if value is not None and value != []]
    return node


@functools.cache
def _module(name: str) -> tuple[str, frozenset[str]]:
    """Digest of a module's syntax, and the modules of ``PACKAGES`` that it imports."""
    tree = ast.parse(Path(importlib.util.find_spec(name).origin).read_text())
    imports = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] in PACKAGES:
            inside = "." in node.module
            imports |= {node.module} if inside else {f"{node.module}.{alias.name}" for alias in node.names}
    return hashlib.sha256(repr(_plain(tree)).encode()).hexdigest(), frozenset(imports)


@functools.cache
def source_digest(module: str) -> str:
    """SHA-256 over a module and all of ``arch`` and ``hw`` that it imports, directly or not.

    Comments, docstrings and layout do not change it.
    """
    pending, seen = {module}, {}
    while pending:
        name = pending.pop()
        seen[name], imports = _module(name)
        pending |= imports - set(seen)
    return hashlib.sha256("\n".join(f"{name} {seen[name]}" for name in sorted(seen)).encode()).hexdigest()
