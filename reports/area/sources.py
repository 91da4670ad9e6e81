"""Digest of the Python sources that a module, of the RTL or another, is made of."""

from __future__ import annotations

import ast
import functools
import hashlib
import importlib.util
from pathlib import Path

__all__ = ["source_digest"]

PACKAGES = ("arch", "hw")
"""Packages of the RTL: their modules are followed if no others are named."""


def _plain(node):
    """A syntax tree as nested tuples, without docstrings and positions; the same for every version of Python."""
    if isinstance(node, list):
        return [_plain(item) for item in node
                if not (isinstance(item, ast.Expr) and isinstance(item.value, ast.Constant))]
    if isinstance(node, ast.AST):
        return type(node).__name__, [(name, _plain(value)) for name, value in ast.iter_fields(node)
                                     if value is not None and value != []]
    return node


def _modules(package: str, names: list[str]) -> set[str]:
    """What ``from package import names`` imports: modules of a package, or a module."""
    if importlib.util.find_spec(package).submodule_search_locations is None:
        return {package}
    inner = (f"{package}.{name}" for name in names)
    return {name if importlib.util.find_spec(name) else package for name in inner}


@functools.cache
def _module(name: str, packages: tuple[str, ...] = PACKAGES) -> tuple[str, frozenset[str]]:
    """Digest of a module's syntax, and the modules of ``packages`` that it imports."""
    tree = ast.parse(Path(importlib.util.find_spec(name).origin).read_text())
    imports = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] in packages:
            imports |= _modules(node.module, [alias.name for alias in node.names])
    return hashlib.sha256(repr(_plain(tree)).encode()).hexdigest(), frozenset(imports)


@functools.cache
def source_digest(module: str, packages: tuple[str, ...] = PACKAGES) -> str:
    """SHA-256 over a module and all of ``packages`` that it imports, directly or not.

    Comments, docstrings and layout do not change it.
    """
    pending, seen = {module}, {}
    while pending:
        name = pending.pop()
        seen[name], imports = _module(name, packages)
        pending |= imports - set(seen)
    return hashlib.sha256("\n".join(f"{name} {seen[name]}" for name in sorted(seen)).encode()).hexdigest()
