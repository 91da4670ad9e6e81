"""Native backend: a C++ main loop over the Verilated harness. For whole networks."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

from sim.backend import Backend, SimulationError
from sim.build import verilate
from sim.harness import FOLDER, JOB_SOURCE, TOP
from sim.toolchain import find_toolchain


class NativeBackend(Backend):
    """Runs whole networks: no Python while the clock runs. Reports progress every 65,536 cycles."""

    #: Variables of make and arguments of the model, besides those of every model.
    variables: tuple[str, ...] = ()
    arguments: tuple[str, ...] = ()

    def _build(self, verilog: dict[str, str]) -> Path:
        flags = () if self.waves is None else ("--trace",)
        return verilate(verilog, (FOLDER / "native.cpp", JOB_SOURCE), top=TOP, toolchain=find_toolchain(), flags=flags,
                        variables=self.variables, cache=self.cache)

    def _execute(self, model: Path, folder: Path, report: Callable[[int, int, int], None]):
        command = [str(model), f"+job={folder}", *self.arguments]
        if self.waves is not None:
            command.append(f"+waves={self.waves}")
        log = folder / "log.txt"
        with open(log, "w") as errors, subprocess.Popen(command, cwd=folder, text=True, stdout=subprocess.PIPE,
                                                        stderr=errors) as process:
            try:
                for line in process.stdout:
                    words = line.split()
                    if len(words) == 3 and all(word.isdigit() for word in words):
                        report(*map(int, words))
                code = process.wait()
            except BaseException:
                process.kill()
                raise
        if code != 0:
            raise SimulationError(f"the native model ended with exit code {code}:\n{log.read_text()[-2000:]}")
