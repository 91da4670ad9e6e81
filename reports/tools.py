"""Yosys, nextpnr and their like: found, asked for their versions, run, and quoted where they fail."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

__all__ = ["find_program", "find_yosys", "nextpnr_version", "run_tool", "yosys_version"]


def find_program(name: str, command: str | None = None, *, option: str = "", extra: str) -> str:
    """Path of ``command``, else of YoWASP's ``name`` beside this Python or on PATH, else of a native one. Raises
    RuntimeError if there is none, with the extra that installs it and the option, if any, that names one."""
    if command is not None:
        candidates = [command]
    else:
        candidates = [str(Path(sys.executable).parent / f"yowasp-{name}"), f"yowasp-{name}", name]
    for candidate in candidates:
        if found := shutil.which(candidate):
            return found
    tool = "Yosys" if name == "yosys" else name
    raise RuntimeError(f"no {tool} found (tried {', '.join(candidates)}): install it with "
                       f"`pip install -c constraints.txt -e '.[{extra}]'`{option and f', or name one with {option}'}")


def find_yosys(command: str | None = None, *, extra: str = "area") -> str:
    """Path of a Yosys, as :func:`find_program`."""
    return find_program("yosys", command, option="--yosys", extra=extra)


def yosys_version(yosys: str) -> str:
    """Name, version and commit."""
    text = subprocess.run([yosys, "--version"], capture_output=True, text=True, check=True).stdout
    return f"{text.split(', ')[0].strip().rstrip(')')})"


def nextpnr_version(nextpnr: str) -> str:
    """Version of a nextpnr."""
    done = subprocess.run([nextpnr, "--version"], capture_output=True, text=True, check=True)
    return re.search(r"Version ([^\s)]+)", done.stdout + done.stderr)[1]


def run_tool(command: Sequence[str], folder: Path, results: Sequence[str], *,
             line: Callable[[str], None] = lambda text: None):
    """Run a tool in ``folder``, where it must make the files ``results``, of which it finds none there.

    What it prints goes into the file ``log``, and each line that appears there is handed to ``line``: a tool may write
    its log there itself. It ends with this call, however that ends. Raises RuntimeError with the tool's last error if
    it fails, or if a result is missing: where abc9 of Yosys 0.70 dies, its process ends well.
    """
    for result in results:
        (folder / result).unlink(missing_ok=True)
    last, errors = deque(maxlen=1), deque(maxlen=1)
    log = folder / "log"
    # Appended: a tool that truncates the file and writes it itself prints nothing.
    with open(log, "w"):
        pass
    with open(log, "a") as printed:
        process = subprocess.Popen(command, cwd=folder, stdout=printed, stderr=subprocess.STDOUT)
    try:
        for text in _follow(log, process):
            if text.strip():
                (errors if "ERROR" in text else last).append(text.strip())
            line(text)
    finally:
        process.kill()
        process.wait()
    name = Path(command[0]).name
    if process.returncode:
        raise RuntimeError(f"{name} failed: {(*errors, *last, 'no output')[0]}")
    if missing := [result for result in results if not (folder / result).exists()]:
        raise RuntimeError(f"{name} ended without {', '.join(missing)}: {(*errors, *last, 'no output')[0]}")


def _follow(path: Path, process: subprocess.Popen) -> Iterator[str]:
    """Lines of a file that a process is writing, until it ends."""
    with open(path, errors="replace") as file:
        rest = ""
        while True:
            running = process.poll() is None
            while text := file.readline():
                rest += text
                if rest.endswith("\n"):
                    yield rest
                    rest = ""
            if not running:
                if rest:
                    yield rest
                return
            time.sleep(.1)
